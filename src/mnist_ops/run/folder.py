"""One run's directory: create, lock, reopen; which file is which. Knows no torch."""

import json
import math
import os
import re
import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mnist_ops.config import Config, differences, from_mapping, to_mapping
from mnist_ops.disk import remove_parts, write_whole
from mnist_ops.errors import RunError, UsageError, brief
from mnist_ops.run.safe_files import MOST_JSON, check_containers, check_names, check_own, parse_json, read_own

if TYPE_CHECKING:
    from filelock import FileLock

RUNS = Path("runs")  # where runs lie that are given no folder
FORMAT = 2  # of every file here; a newer one is refused
FORMATS = (1, FORMAT)  # that are read; 1 had other names for some entries of history and summary
CONFIG, HISTORY, WEIGHTS, CHECKPOINT = "config.json", "history.jsonl", "model.safetensors", "checkpoint.pt"
RANGE_TEST, SUMMARY, SPLIT, LOCK = "lr.json", "summary.json", "split.json", ".lock"
START = "start.safetensors"  # the weights that a run began with, where it was begun from another's
HARMLESS = ("threads", "device", "engine")  # settings that may differ where a run goes on; its last bits depend on them
ROW = ("train_loss", "train_accuracy", "last_lr", "seconds")  # what every row of the history has, beside its epoch
MOST_WEIGHTS = 2**26  # bytes of a file, far beyond any network here


@dataclass(frozen=True, eq=False)
class RunFolder:
    """A locked run folder; the lock goes with the process, however it ends."""

    path: Path
    lock: "FileLock"
    warnings: list[str] = field(default_factory=list)  # what may change the last bits of a run that is continued

    def close(self) -> None:
        """Let another run in."""
        self.lock.release()


def default_path(root: Path, config: Config) -> Path:
    """`root`/<date>-<recipe>-s<seed>, with -2, -3, ... where that is taken."""
    name = f"{date.today().isoformat()}-{Path(config.recipe).name}-s{config.seed}"
    taken = (root / name, *(root / f"{name}-{number}" for number in range(2, 10_000)))
    return next(path for path in taken if not path.exists())


def latest_path(root: Path, config: Config) -> Path | None:
    """The newest folder that `default_path` has given to this recipe and seed; None where there is none."""
    name = re.compile(rf"\d{{4}}-\d\d-\d\d-{re.escape(Path(config.recipe).name)}-s{config.seed}(-\d+)?")
    found = [path for path in root.glob("*") if name.fullmatch(path.name)]
    return max(found, key=lambda path: path.stat().st_mtime, default=None)


def open_folder(path: Path, config: Config, resume: bool) -> RunFolder:
    """Create the folder, or reopen it to resume, and lock it; its config.json is then that of `config`.

    Raises UsageError where the folder has content and `resume` is off, and where it belongs to a run with another
    config, naming the fields; RunError where another run is writing to it or it cannot be written."""
    from filelock import FileLock, Timeout  # here, because its import would delay every --help

    try:
        if path.exists() and not path.is_dir():
            raise UsageError(f"{path}: is a file, expected a folder for the run; name another with --out")
        if not resume and path.is_dir() and any(path.iterdir()):
            raise UsageError(f"{path}: already exists; continue it with --resume, or name another folder with --out")
        path.mkdir(parents=True, exist_ok=True)
        check_own(path / LOCK)  # an older filelock would follow a link and empty what it leads to
        lock = FileLock(path / LOCK)
        lock.acquire(blocking=False)
    except Timeout:
        raise RunError(f"{path}: another run is writing to it; wait for that, or name another with --out") from None
    except OSError as error:
        raise RunError(f"{path}: cannot be written ({error.strerror}); name another folder with --out") from error
    except NotImplementedError as error:  # what filelock raises there
        raise RunError(f"{path}: lies on a file system without locks; name a folder elsewhere with --out") from error
    folder = RunFolder(path, lock)
    try:
        remove_parts(path)
        folder.warnings.extend(settle_config(path, config, resume=resume, harmless=HARMLESS))
    except BaseException:
        folder.close()
        raise
    return folder


def settle_config(path: Path, config: Config, *, resume: bool, harmless: Collection[str] = ()) -> list[str]:
    """Write config.json, or, on resuming, check that it equals the one there; -> a warning for each setting in
    `harmless` that differs.

    Raises UsageError, naming them, where other settings differ."""
    warnings = []
    if resume and (path / CONFIG).exists():
        differing = {name: (old, new) for name, old, new in differences(read_config(path), config)}
        warnings = [continued_with(path, name, *differing.pop(name)) for name in harmless if name in differing]
        if differing:
            told = "; ".join(f"{name}: {old!r} there, {new!r} asked for" for name, (old, new) in differing.items())
            why = f" {longer(path)}" if "epochs" in differing else ""
            raise UsageError(f"{path}: holds a run with other settings ({told}). Leave out what was not asked for "
                             f"then, or name another folder with --out.{why}")
    elif (path / CHECKPOINT).exists():
        raise RunError(f"{path}: has {CHECKPOINT} and no {CONFIG}, so what it was begun with is not known; restore it, "
                       "or name another folder with --out")
    write_json(path / CONFIG, to_mapping(config))
    return warnings


def continued_with(path: Path, name: str, old: object, new: object) -> str:
    """The warning of a run that is continued on something else than it was begun with."""
    return (f"{path}: the run was begun with {name} {old} and goes on with {new}: its last bits may differ from those "
            "of a run that never stopped")


def longer(path: Path) -> str:
    """Why the run in `path` gets no more epochs, and what works instead."""
    return ("The learning rate of a run is laid out over all its epochs and is near 0 at the end of the last: more "
            "epochs are another run, from its weights: "
            f"{shlex.join(['mnist-ops', 'train', '--from', str(path), '--epochs', '2'])}")


def settle_split(path: Path, train: Sequence[str], test: Sequence[str]) -> None:
    """Record in split.json which pictures of a folder are trained on, in their order, and which are the test part.

    Raises UsageError where the run was begun with others."""
    names = {"train": list(train), "test": list(test)}
    if (path / SPLIT).exists():
        there = read_json(path / SPLIT)
        if {part: there.get(part) for part in names} != names:
            raise UsageError(f"{path}: the run was begun with other pictures, those in {SPLIT}; bring them back, or "
                             "name another folder with --out")
        return
    write_json(path / SPLIT, names)


def read_split(path: Path) -> list[str] | None:
    """The names of the test part's pictures; None for a run on data without names."""
    if not os.path.lexists(path / SPLIT):  # a link that leads nowhere is not followed either, but named
        return None
    return check_names(path / SPLIT, read_json(path / SPLIT).get("test"))


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """One JSON object with the format version, indented, whole or not at all."""
    write_whole(path, (json.dumps({"format": FORMAT, **content}, indent=1, allow_nan=False) + "\n").encode())


def read_json(path: Path) -> dict[str, Any]:
    """Raises RunError, naming the file, where it is missing, damaged or of a newer format."""
    try:
        raw = read_own(path, MOST_JSON)
        check_containers(path, raw)
        content = parse_json(raw)
    except FileNotFoundError:
        raise RunError(f"{path}: is not there; expected a run folder as written by mnist-ops train") from None
    except (ValueError, RecursionError) as error:
        raise RunError(f"{path}: damaged, not JSON ({error}); restore it, or train again") from error
    if not isinstance(content, dict) or not is_readable(content.get("format")):
        found = content.get("format") if isinstance(content, dict) else None
        raise RunError(f"{path}: format {brief(found)}, expected {FORMAT}; damaged, or from another version of "
                       "mnist-ops")
    return content


def is_readable(version: object) -> bool:
    """Whether a file of that format can be read."""
    return type(version) is int and version in FORMATS


def read_weights(path: Path, *, link: bool = False) -> bytes:
    """The content of the weights file `path`. Raises RunError where it is not there, or as `read_own`."""
    try:
        return read_own(path, MOST_WEIGHTS, link=link)
    except FileNotFoundError:
        raise RunError(f"{path}: is not there; expected the weights of a run, as mnist-ops train writes them") from None


def describe_weights(path: Path, raw: bytes) -> dict[str, Any]:
    """What the weights file `path`, whose content is `raw`, says of itself: model, dataset, layers and more.

    The tensors are not looked at. Raises RunError where it is not a weights file of mnist-ops."""
    try:
        header = parse_json(raw[8:8 + int.from_bytes(raw[:8], "little")])
        described = parse_json(header["__metadata__"]["mnist_ops"])
        if not isinstance(described, dict):
            raise ValueError("it describes nothing")
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError) as error:
        raise RunError(f"{path}: damaged, or not the weights of a network of mnist-ops ({error!s:.300}); restore it, "
                       "or train again") from error
    return described


def read_config(path: Path) -> Config:
    """The config of the run in folder `path`."""
    content = read_json(path / CONFIG)
    del content["format"]
    return from_mapping(Config(engine="pytorch"), content, str(path / CONFIG))  # which older ones do not name


def write_history(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """history.jsonl with these rows and no other, whole or not at all."""
    write_whole(path / HISTORY, "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows).encode())


def renamed(row: Any) -> Any:
    """A row of the history, as an older version may have written it, with the names of this one."""
    return {"last_lr" if name == "lr" else name: value for name, value in row.items()} if type(row) is dict else row


def is_row(row: Any, epoch: int) -> bool:
    """Whether it is the history's row of that epoch."""
    return (type(row) is dict and all(type(name) is str for name in row) and all(map(is_number, row.values()))
            and type(row.get("epoch")) is int and row["epoch"] == epoch and set(ROW) <= set(row))


def is_number(value: Any, low: float = 0, high: float = math.inf) -> bool:
    """Whether it is a finite number from `low` to `high`."""
    return type(value) in (int, float) and low <= value <= high and value != math.inf


def read_history(path: Path) -> list[dict[str, Any]]:
    """The epochs that history.jsonl holds; a last line that was cut is left out. RunError where another is damaged."""
    try:
        lines = read_own(path / HISTORY, MOST_JSON).decode("utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            row = renamed(parse_json(line))
            if not is_row(row, number):
                raise ValueError(f"it is not epoch {number}, with finite numbers for {', '.join(ROW)}")
            rows.append(row)
        except (ValueError, RecursionError) as error:
            if number < len(lines):
                raise RunError(f"{path / HISTORY}: line {number} is damaged ({error}); restore it, or --resume the "
                               "run, which writes it anew") from error
    return rows
