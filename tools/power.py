"""Takes the power away after every operation of a run, a sweep, a search and others, and starts each again.

    python -m tools.power                    all; the figures become docs/figures/power.json
    python -m tools.power --cases run        one case
    python -m tools.power --every 20         every twentieth state

Each command is carried out once, while `disk_layer` records what it does to the disk. For every beginning of these
operations `crash_states` gives what the disk may hold after a loss of power. From each such state, equal ones once, the
command is given again: its result must have the same bits as the one that was never stopped. Before that every file
must be whole, old or new; and after a command has ended, what it has written must be in every state.
"""

import argparse
import hashlib
import json
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias
from unittest.mock import patch

import numpy as np
from PIL import Image

from mnist_ops.data import picture_set
from mnist_ops.disk import PART
from mnist_ops.run.folder import CONFIG, SUMMARY
from mnist_ops.run.provenance import commit
from mnist_ops.sweeps.records import machine
from tools.crash_states import State, key, states
from tools.disk_layer import Layer, Operation, changed, tree
from tools.in_process import Answer, carry_out, json_of, lay, together
from tools.kills import differences

FIGURES = Path(__file__).resolve().parents[1] / "docs" / "figures"
CLASSES, EACH, SIDE = 3, 8, 12  # pictures of the runs
SETTINGS = ('model = "blocks:4-8"\ndevice = "cpu"\nthreads = 1\nprecision = "float32"\nbatch_size = 8\n'
            'engine = "pytorch"\nsize = 12\ncolour = false\nvalidation = 4\n')
RATE = "[tune]\nlowest = 1e-3\nhighest = 1.0\nsteps = 12\nsweeps = 1\nscale = 1.0\n"
SPACE = 'pruner = "none"\n[fields]\nlr = { low = 0.02, high = 0.2 }\n'
APPENDED = ("journal.log",)  # grows line by line, so it has no old and new version
OUTCOMES = ("the same bits", "refused by name", "wrong")


@dataclass(frozen=True)
class Case:
    """A command, the one that goes on after a crash, and the comparison with the result that is known."""

    name: str
    words: Callable[[Path], list[object]]  # of the command, with the bench's folder
    again: tuple[str, ...]  # words for going on
    compare: Callable[[Path, Path], Iterator[str]]  # (whole, found): what differs
    result: str  # the file that is there once the command has ended
    within: Callable[[Path], AbstractContextManager[object]] = nullcontext  # what each command is carried out in


@dataclass
class Trial:
    """What a case came to."""

    name: str
    operations: int = 0
    states: int = 0  # of all beginnings, equal ones counted again
    outcomes: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    refusals: Counter[str] = field(default_factory=Counter)


# ---------------------------------------------------------------- what is compared


def whole_run(whole: Path, found: Path) -> Iterator[str]:
    """A run's folder."""
    yield from differences(whole / "run", found / "run")
    for name in ("split.json", "start.safetensors"):
        if (whole / "run" / name).exists() and bytes_of(whole / "run" / name) != bytes_of(found / "run" / name):
            yield f"{name} differs"


def whole_sweep(whole: Path, found: Path) -> Iterator[str]:
    """A sweep's folder and those of its runs."""
    for seed in ("s0", "s1"):
        yield from (f"{seed}: {text}" for text in differences(whole / "out" / seed, found / "out" / seed))
    for name in (CONFIG, "results.json"):
        if json_of(whole / "out" / name) != json_of(found / "out" / name):
            yield f"{name} differs"
    if bytes_of(whole / "out" / "seeds.png") != bytes_of(found / "out" / "seeds.png"):
        yield "seeds.png differs"


def whole_search(whole: Path, found: Path) -> Iterator[str]:
    """How many trials were done, and the chosen one; of equal ones another may be chosen, as a repeated one has a later
    number. Its weights are compared if it has the same settings."""
    there, here = (json_of(place / "out" / "results.json") for place in (whole, found))
    if here is None:
        yield "results.json is missing"
        return
    runs = [[Path(row.pop("run")) for row in results["chosen"]] for results in (there, here)]
    (best,), (chosen,) = there["chosen"], here["chosen"]
    same = best["params"] == chosen["params"]
    if best["validation_accuracy"] != chosen["validation_accuracy"] or (same and best != chosen) or (
            here["trials"]["done"] != there["trials"]["done"]):
        yield f"results.json differs: {here}"
    for old, new in zip(*runs, strict=True) if same else ():
        moved = whole / old.relative_to(found)  # written while it was in `found`
        if bytes_of(moved / "model.safetensors") != bytes_of(new / "model.safetensors"):
            yield "the chosen weights differ"


def same_files(*names: str) -> Callable[[Path, Path], Iterator[str]]:
    """A comparison of files of a run by their bytes."""
    def compare(whole: Path, found: Path) -> Iterator[str]:
        for name in names:
            if bytes_of(whole / "run" / name) != bytes_of(found / "run" / name):
                yield f"{name} differs"
    return compare


@contextmanager
def caches_on_disk(root: Path) -> Iterator[None]:
    """Within the block caches are on the disk that loses its power, and of few pictures too."""
    with patch.dict(os.environ, {"XDG_CACHE_HOME": str(root / "disk" / "cache")}), patch.object(picture_set, "FEW", 0):
        yield


def whole_caches(whole: Path, found: Path) -> Iterator[str]:
    """A run, and what of both caches is there: they may be lost, but not be damaged."""
    yield from whole_run(whole, found)
    for path in (found / "cache").rglob("*.npz"):
        if bytes_of(path) != bytes_of(whole / path.relative_to(found)):
            yield f"{path.name} differs"
    for path in (found / "cache").rglob("*.so"):
        if bytes_of(path.with_suffix(".sha256")) not in (None, hashlib.sha256(path.read_bytes()).hexdigest().encode()):
            yield f"{path.name} differs from its sum"


def bytes_of(path: Path) -> bytes | None:
    """The content; None if there is no file."""
    return path.read_bytes() if path.is_file() else None


def training(root: Path, *words: object, settings: str = "run.toml") -> list[object]:
    """A run."""
    return ["train", "--config", root / settings, "--out", root / "disk" / "run", "--no-report", *words]


CASES = {case.name: case for case in (
    Case("run", lambda root: training(root, "--epochs", 4), ("--resume",), whole_run, f"run/{SUMMARY}"),
    Case("run from weights", lambda root: [*training(root, "--epochs", 2, "--lr", 0.05), "--from",
                                           root / "start.safetensors"], ("--resume",), whole_run, f"run/{SUMMARY}"),
    Case("sweep", lambda root: ["sweep", "--config", root / "run.toml", "--epochs", 2, "--seeds", 2, "--jobs", 1,
                                "--out", root / "disk" / "out"], (), whole_sweep, "out/results.json"),
    Case("search", lambda root: ["sweep", "--config", root / "run.toml", "--epochs", 2, "--lr", 0.1, "--search",
                                 root / "space.toml", "--trials", 3, "--jobs", 1, "--out", root / "disk" / "out"],
         (), whole_search, "out/results.json"),
    Case("report", lambda root: ["report", root / "disk" / "run"], (),
         same_files("report.html", "confusion.png", "mistakes-test.csv"), "run/report.html"),
    Case("export", lambda root: ["export", root / "disk" / "run", "--to", "c"], (),
         same_files(*(f"mnist_ops_c/{name}" for name in ("mnist_ops.c", "mnist_ops.h", "mnist_ops.c.md"))),
         "run/mnist_ops_c/mnist_ops.c.md"),
    Case("caches", lambda root: training(root, "--epochs", 1, "--lr", 0.05, settings="compiled.toml"), ("--resume",),
         whole_caches, f"run/{SUMMARY}", caches_on_disk),
)}


# ---------------------------------------------------------------- one case


def prepare(root: Path) -> Path:
    """Pictures, settings, and the weights that a run starts from. -> the bench's folder."""
    root = root.resolve()
    generator = np.random.default_rng(0)
    for label in range(CLASSES):
        folder = root / "pictures" / f"class{label}"
        folder.mkdir(parents=True)
        for number in range(EACH):
            image = generator.integers(0, 60, (SIDE, SIDE), dtype=np.uint8)
            image[3 * label:3 * label + 4] += 150
            Image.fromarray(image).save(folder / f"{number}.png")
    (root / "run.toml").write_text(f'data = "{root}/pictures"\n{SETTINGS}{RATE}')
    (root / "compiled.toml").write_text((root / "run.toml").read_text().replace('"pytorch"', '"compiled"'))
    (root / "space.toml").write_text(SPACE)
    (root / "disk").mkdir()
    answer = carry_out(training(root, "--epochs", 1, "--lr", 0.05))
    if answer.code:
        raise SystemExit(f"the run that gives the weights to start from failed: {answer.error}")
    shutil.copy(root / "disk" / "run" / "model.safetensors", root / "start.safetensors")
    return root


def begin(case: Case, root: Path) -> State:
    """What is on the disk before the command: for a report and an export a run, else nothing."""
    lay(root / "disk", {})
    if not case.name.startswith(("run", "sweep", "search", "caches")):
        carry_out(training(root, "--epochs", 1, "--lr", 0.05))
    return {path: content for path, content in tree(root / "disk").items() if path}


def recorded(case: Case, root: Path) -> Layer:
    """The operations of the command; `whole` then holds what it leaves. Raises SystemExit if something escaped."""
    begin(case, root)
    layer = Layer(root / "disk")
    with case.within(root), layer.active():
        answer = carry_out(case.words(root))
    if answer.code or (unseen := layer.unseen()):
        raise SystemExit(f"{case.name}: {answer.error or f'written without a record: {sorted(unseen)}'}")
    lay(root / "whole", {path: content for path, content in tree(root / "disk").items() if path})
    return layer


def versions(layer: Layer) -> dict[str, set[bytes]]:
    """By path: every content that was complete when its name came to stand there."""
    found: dict[str, set[bytes]] = {path: {content} for path, content in layer.start.items() if content is not None}
    data = {number: content for number, content in enumerate(layer.start.values()) if content is not None}
    for one in layer.operations:
        if one.kind in ("write", "truncate"):
            data[one.file] = changed(data.get(one.file, b""), one)
        elif one.kind == "rename":
            found.setdefault(one.target, set()).add(data.get(one.file, b""))
    return found


def torn(state: State, known: dict[str, set[bytes]]) -> Iterator[str]:
    """Files under their own names that are neither old nor new."""
    for path, content in state.items():
        name = Path(path).name
        own = name in APPENDED or name.endswith(".lock") or PART.fullmatch(name)
        if content is not None and not own and content not in known.get(path, set()):
            yield f"{path} is torn: {len(content)} bytes"


def left_over(disk: Path) -> Iterator[str]:
    """Temporary files that nobody removes."""
    yield from (f"{path.relative_to(disk)} is left" for path in disk.rglob("*")
                if PART.fullmatch(path.name) or "mnist-ops-" in path.name)


def power_lost(layer: Layer) -> dict[Any, tuple[int, State]]:
    """Every different state, with the last operation before it; and how many there were, equal ones too, at None."""
    found: dict[Any, tuple[int, State]] = {}
    count = 0
    for done in range(len(layer.operations) + 1):
        for state in states(layer, done):
            count += 1
            found[key(state)] = (done, state)  # the last operation, so that it is known whether the command had ended
    found[None] = (count, {})
    return found


def outcome(case: Case, root: Path, state: State, known: dict[str, set[bytes]]) -> tuple[str, list[str], Answer]:
    """Go on from one state. -> one of OUTCOMES, what is wrong, and the command's answer."""
    problems = list(torn(state, known))
    lay(root / "disk", state)
    ended = case.result in state and bool(case.again)
    with case.within(root):
        answer = Answer(0, "", "") if ended else carry_out([*case.words(root), *case.again])
    if answer.code in (1, 2) and str(root / "disk") in answer.error and not problems:
        return OUTCOMES[1], [], answer
    if answer.code:
        problems.append(f"exit code {answer.code}: {answer.error.strip()[-600:]}")
    problems += case.compare(root / "whole", root / "disk")
    problems += [] if ended else left_over(root / "disk")
    return OUTCOMES[2 if problems else 0], problems, answer


def trial(case: Case, root: Path, every: int = 1, told: Callable[[str], object] = len) -> Trial:
    """Take the power away at every operation of the case; or try every so manieth of the states."""
    layer = recorded(case, root)
    known, found = versions(layer), power_lost(layer)
    made = Trial(case.name, len(layer.operations), found.pop(None)[0])
    chosen = list(found.values())
    for number, (done, state) in enumerate(chosen):
        if number % every:
            continue
        kind, problems, answer = outcome(case, root, state, known)
        if done == len(layer.operations) and case.result not in state:
            kind, problems = OUTCOMES[2], [*problems, f"{case.result} is lost although the command has ended"]
        made.outcomes[kind] += 1
        if kind == OUTCOMES[1]:
            made.refusals[answer.error.strip().replace(str(root), "")[:300]] += 1
        if problems:
            last = layer.operations[done - 1] if done else Operation("nothing", "")
            made.problems.append(f"after operation {done} ({last.kind} {last.path}), state "
                                 f"{ {path: content and len(content) for path, content in state.items()} }: "
                                 f"{'; '.join(problems)}")
            told(f"{case.name}: {made.problems[-1]}")
        elif number % (50 * every) == 0:
            told(f"{case.name}: {number} of {len(chosen)} states")
    return made


Measured: TypeAlias = Callable[[str, Path, int, Callable[[str], None]], dict[str, Any]]


def measure(tool: str, arguments: Sequence[str], cases: Iterable[str], measured: Measured) -> int:
    """Carry out the command line of that tool: try the chosen cases, one of so many trials each, and write the figures.

    measured: (case, the bench's folder, one of how many, where to tell what went wrong) -> figures with a list
    "problems". -> the exit code, 1 where there are any."""
    parser = argparse.ArgumentParser(description=sys.modules["__main__"].__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", choices=(names := list(cases)), default=names)
    parser.add_argument("--every", type=int, default=1, help="try one of so many")
    parser.add_argument("--out", type=Path, default=FIGURES / f"{tool}.json", help="where the figures go, as JSON")
    given = parser.parse_args(arguments)
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, together(Path(folder, "cache")):
        root = prepare(Path(folder, "bench"))
        made = [measured(name, root, given.every, lambda text: print(text, file=sys.stderr, flush=True))
                for name in given.cases]
    found = {"command": f"python -m tools.{tool}" + (f" --every {given.every}" if given.every > 1 else ""),
             "commit": commit(), "machine": machine(), "seconds": time.monotonic() - begun, "cases": made}
    text = json.dumps(found, indent=1)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(f"{text}\n", encoding="utf-8")
    print(text)
    return 1 if any(one["problems"] for one in made) else 0


def figures_of(name: str, root: Path, every: int, told: Callable[[str], None]) -> dict[str, Any]:
    """The trial of the case as plain data."""
    one = trial(CASES[name], root, every, told)
    return {**vars(one), "tried": sum(one.outcomes.values()), "outcomes": dict(one.outcomes),
            "refusals": dict(one.refusals)}


if __name__ == "__main__":
    raise SystemExit(measure("power", sys.argv[1:], CASES, figures_of))
