"""A run's folder: create, lock, reopen; and the names of its files. No torch."""

import json
import math
import os
import re
import shlex
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mnist_ops.arch.zoo import INPUT
from mnist_ops.config import Config
from mnist_ops.disk import create_folder, remove_parts, write_whole
from mnist_ops.errors import RunError, UsageError, brief
from mnist_ops.mapping import differences, from_mapping, to_mapping
from mnist_ops.run.safe_files import MOST_JSON, check_containers, check_names, check_own, parse_json, read_own

if TYPE_CHECKING:
    from filelock import FileLock

RUNS = Path("runs")  # default folder of runs
FORMAT = 2  # of every file here; a newer one is refused
FORMATS = (1, FORMAT)  # readable ones; 1 had other names for some entries of history and summary
CONFIG, HISTORY, WEIGHTS, CHECKPOINT = "config.json", "history.jsonl", "model.safetensors", "checkpoint.pt"
RANGE_TEST, SUMMARY, SPLIT, LOCK = "lr.json", "summary.json", "split.json", ".lock"
START = "start.safetensors"  # a copy of the weights that the run started from, if any
HARMLESS = ("threads", "device", "engine")  # may change when a run is continued; they affect only the last bits
ROW = ("train_loss", "train_accuracy", "last_lr", "seconds")  # every row of the history has these and its epoch


@dataclass(frozen=True, eq=False)
class RunFolder:
    """A locked run folder; the lock ends with the process."""

    path: Path
    lock: "FileLock"
    warnings: list[str] = field(default_factory=list)  # about changes to the last bits of a continued run

    def close(self) -> None:
        """Let another run in."""
        self.lock.release()


def default_path(root: Path, config: Config) -> Path:
    """`root`/<date>-<recipe>-s<seed>, with -2, -3, ... if that exists."""
    name = f"{date.today().isoformat()}-{Path(config.recipe).name}-s{config.seed}"
    taken = (root / name, *(root / f"{name}-{number}" for number in range(2, 10_000)))
    return next(path for path in taken if not path.exists())


def latest_path(root: Path, config: Config) -> Path | None:
    """The newest folder from `default_path` for this recipe and seed; None if there is none."""
    name = re.compile(rf"\d{{4}}-\d\d-\d\d-{re.escape(Path(config.recipe).name)}-s{config.seed}(-\d+)?")
    found = [path for path in root.glob("*") if name.fullmatch(path.name)]
    return max(found, key=lambda path: path.stat().st_mtime, default=None)


def open_folder(path: Path, config: Config, resume: bool) -> RunFolder:
    """Create the folder, or reopen it to resume, and lock it; its config.json is then that of `config`.

    Raises UsageError if the folder has content and `resume` is off, or if it belongs to a run with another config,
    naming the fields; RunError if another run is writing to it or it cannot be written."""
    from filelock import FileLock, Timeout  # here, because it is slow to import

    try:
        if path.exists() and not path.is_dir():
            raise UsageError(f"{path}: is a file, expected a folder for the run; choose another with --out")
        if not resume and path.is_dir() and any(path.iterdir()):
            raise UsageError(f"{path}: already exists; continue it with --resume, or choose another folder with --out")
        create_folder(path)
        check_own(path / LOCK)  # an older filelock would follow a link and empty what it leads to
        lock = FileLock(path / LOCK)
        lock.acquire(blocking=False)
    except Timeout:
        raise RunError(f"{path}: another run is writing to it; wait for it, or choose another with --out") from None
    except OSError as error:
        raise RunError(f"{path}: cannot be written ({error.strerror}); choose another folder with --out") from error
    except NotImplementedError as error:  # raised by filelock
        raise RunError(f"{path}: its file system has no locks; choose a folder elsewhere with --out") from error
    folder = RunFolder(path, lock)
    try:
        remove_parts(path)
        folder.warnings.extend(settle_config(path, config, resume=resume, harmless=HARMLESS))
    except BaseException:
        folder.close()
        raise
    return folder


def settle_config(path: Path, config: Config, *, resume: bool, harmless: Collection[str] = ()) -> list[str]:
    """Write config.json or, on resuming, check that it equals the existing one. -> a warning for each setting in
    `harmless` that differs.

    Raises UsageError, naming them, if other settings differ."""
    warnings = []
    if resume and (path / CONFIG).exists():
        differing = {name: (old, new) for name, old, new in differences(read_config(path), config)}
        warnings = [continued_with(path, name, *differing.pop(name)) for name in harmless if name in differing]
        if differing:
            told = "; ".join(f"{name}: {brief(old)} there, {brief(new)} requested"
                             for name, (old, new) in differing.items())
            why = f" {longer(path)}" if "epochs" in differing else ""
            raise UsageError(f"{path}: the run has other settings ({told}). Remove these options, or choose another "
                             f"folder with --out.{why}")
    elif (path / CHECKPOINT).exists():
        raise RunError(f"{path}: has {CHECKPOINT} but no {CONFIG}, so its settings are unknown; restore it, "
                       "or choose another folder with --out")
    if not (path / SUMMARY).exists():  # a finished run stays as it is
        write_json(path / CONFIG, to_mapping(config))
    return warnings


def continued_with(path: Path, name: str, old: object, new: object) -> str:
    """The warning for a run that is continued with something else than it was started with."""
    return (f"{path}: the run was started with {name} {old} and continues with {new}: its last bits may differ from "
            "those of an uninterrupted run")


def longer(path: Path) -> str:
    """Why the run in `path` cannot get more epochs, and what to do instead."""
    return ("A run's learning rate is scheduled over all its epochs and is near 0 at the end. To train longer, start "
            "another run from its weights: "
            f"{shlex.join(['mnist-ops', 'train', '--from', str(path), '--epochs', '2'])}")


def settle_split(path: Path, train: Sequence[str], test: Sequence[str]) -> None:
    """Record in split.json the names of a folder's training pictures, in order, and of its test pictures.

    Raises UsageError if the run was started with others."""
    names = {"train": list(train), "test": list(test)}
    if (path / SPLIT).exists():
        there = read_json(path / SPLIT)
        if {part: there.get(part) for part in names} != names:
            raise UsageError(f"{path}: the run was started with other pictures, listed in {SPLIT}; restore them, or "
                             "choose another folder with --out")
        return
    write_json(path / SPLIT, names)


def read_split(path: Path, part: Literal["train", "test"] = "test") -> list[str] | None:
    """The names of the pictures of a set, the test set; None for a run on data without names."""
    if not os.path.lexists(path / SPLIT):  # a broken link is an error below
        return None
    return check_names(path / SPLIT, read_json(path / SPLIT).get(part))


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write one JSON object with the format version, indented, atomically."""
    write_whole(path, (json.dumps({"format": FORMAT, **content}, indent=1, allow_nan=False) + "\n").encode())


def read_json(path: Path) -> dict[str, Any]:
    """Raises RunError, naming the file, if it is missing, damaged or of a newer format."""
    try:
        raw = read_own(path, MOST_JSON)
        check_containers(path, raw)
        content = parse_json(raw)
    except FileNotFoundError:
        raise RunError(f"{path}: does not exist; expected a run folder written by mnist-ops train") from None
    except (ValueError, RecursionError) as error:
        raise RunError(f"{path}: damaged, not JSON ({error}); restore it, or train again") from error
    if not isinstance(content, dict) or not is_readable(content.get("format")):
        found = content.get("format") if isinstance(content, dict) else None
        raise RunError(f"{path}: format {brief(found)}, expected {FORMAT}; damaged, or from another version of "
                       "mnist-ops")
    return content


def is_readable(version: object) -> bool:
    """Whether files of that format can be read."""
    return type(version) is int and version in FORMATS


def read_config(path: Path) -> Config:
    """The config of the run in folder `path`."""
    content = read_json(path / CONFIG)
    del content["format"]
    older = Config(engine="pytorch", size=INPUT[1], colour=False)  # of files that do not set them
    return from_mapping(older, content, str(path / CONFIG))


def write_history(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write history.jsonl with exactly these rows, atomically."""
    write_whole(path / HISTORY, "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows).encode())


def renamed(row: Any) -> Any:
    """A row of the history, with names of an older version replaced."""
    return {"last_lr" if name == "lr" else name: value for name, value in row.items()} if type(row) is dict else row


def is_row(row: Any, epoch: int) -> bool:
    """Whether it is a valid row for that epoch."""
    return (type(row) is dict and all(type(name) is str for name in row) and all(map(is_number, row.values()))
            and type(row.get("epoch")) is int and row["epoch"] == epoch and set(ROW) <= set(row))


def is_number(value: Any, low: float = 0, high: float = math.inf) -> bool:
    """Whether it is a number from `low` to `high` that a float can hold."""
    return type(value) in (int, float) and low <= value <= min(high, sys.float_info.max)


def read_history(path: Path) -> list[dict[str, Any]]:
    """The epochs in history.jsonl, without a truncated last line. Raises RunError if another line is damaged."""
    try:
        lines = read_own(path / HISTORY, MOST_JSON).decode("utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            row = renamed(parse_json(line))
            if not is_row(row, number):
                raise ValueError(f"it is not epoch {number} with finite numbers for {', '.join(ROW)}")
            rows.append(row)
        except (ValueError, RecursionError) as error:
            if number < len(lines):
                raise RunError(f"{path / HISTORY}: line {number} is damaged ({error}); restore it, or continue the run "
                               "with --resume, which rewrites it") from error
    return rows
