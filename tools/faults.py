"""Lets every operation on the disk of every command fail in every way, and looks at what the command says and leaves.

    python -m tools.faults                         all; the figures become docs/figures/faults.json
    python -m tools.faults --cases run --every 9   every ninth fault of one command

A point is one operation of a command on one file, such as the second flush of checkpoint.pt. At each point each fault
that it may have is raised once. The command must end with exit code 1 and a message, or do without; each file must be
whole, old or new; nothing temporary may be left; and the same command then goes on to the same result.
"""

import contextlib
import errno
import os
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

from mnist_ops.data.catalog import CATALOG
from mnist_ops.disk import PART
from tools import power
from tools.crash_states import State
from tools.disk_layer import Layer, Operation, tree
from tools.in_process import Answer, carry_out, lay
from tools.power import Case, begin, left_over, measure, same_files, torn, versions

NAMES = {"checkpoint": "checkpoint.pt", "weights": "model.safetensors", "history": "history.jsonl",
         "summary": "summary.json", "config": "config.json", "journal": "journal.log"}  # short names of files
FAULTS = {  # the operations that may meet it
    "ENOSPC": ("create", "write", "flush", "flush folder", "rename", "mkdir"),
    "EDQUOT": ("create", "write", "flush", "rename", "mkdir"),
    "EIO": ("create", "write", "flush", "flush folder", "close", "rename"),
    "EROFS": ("create", "rename", "mkdir"),
    "short write": ("write",),
    "out of memory": ("create", "write"),
}
FINISHED = "this run has finished all"  # what a whole run answers; its files are compared all the same
OUTCOMES = ("an error", "done without", "wrong")


@dataclass(frozen=True)
class Point:
    """One operation on one file: the nth of its kind."""

    file: str
    kind: str
    nth: int = 1


@dataclass
class FailureInjector:
    """Raises faults at points: `FailureInjector().fail_at("checkpoint", "flush", epoch=2)`."""

    faults: dict[Point, str] = field(default_factory=dict)
    seen: Counter[tuple[str, str]] = field(default_factory=Counter)
    struck: list[Point] = field(default_factory=list)
    full: bool = False  # after a short write the next one finds no space

    def fail_at(self, file: str, kind: str, fault: str = "EIO", epoch: int = 1) -> "FailureInjector":
        """Let the operation of that kind on that file fail, when it comes for the `epoch`th time."""
        self.faults[Point(NAMES.get(file, file), kind, epoch)] = fault
        return self

    def before(self, operation: Operation) -> int | None:
        """What `Layer` asks before each operation."""
        name = named(operation)
        if self.full and operation.kind == "write":
            self.full = False
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.seen[name, operation.kind] += 1
        point = Point(name, operation.kind, self.seen[name, operation.kind])
        fault = self.faults.get(point)
        if fault is None:
            return None
        self.struck.append(point)
        if fault == "out of memory":
            raise MemoryError
        if fault == "short write":
            self.full = True
            return len(operation.content) // 2
        raise OSError(getattr(errno, fault), os.strerror(getattr(errno, fault)))


def named(operation: Operation) -> str:
    """The name of the file that an operation is about, of a temporary file that of what it becomes."""
    name = Path(operation.path).name
    part = PART.fullmatch(name)
    return part[1] if part else "workers' lock" if "workers/" in operation.path else name


def exporting(to: str, *names: str) -> Case:
    """An export of the run's network."""
    return Case(f"export --to {to}", lambda root: ["export", root / "disk" / "run", "--to", to], (),
                same_files(*names), "")


CASES = {**{name: power.CASES[name] for name in ("run", "sweep", "search", "report")}, **{case.name: case for case in (
    exporting("onnx", "mnist_ops.onnx", "mnist_ops.onnx.md"), exporting("html", "mnist_ops.html"),
    exporting("c", "mnist_ops_c/mnist_ops.c", "mnist_ops_c/mnist_ops.h"), exporting("arduino", "mnist_ops.zip"),
    Case("predict --show --csv", lambda root: [
        "predict", root / "disk" / "run", root / "pictures", "--out", root / "disk" / "run" / "sheet.png", "--csv",
        root / "disk" / "run" / "table.csv"], (), same_files("sheet.png", "table.csv"), ""),
    Case("suspects", lambda root: ["suspects", "--config", root / "run.toml", "--folds", 2, "--jobs", 1, "--lr", 0.1,
                                   "--epochs", 1, "--out", root / "disk" / "run" / "suspects"], (),
         same_files("suspects/suspects.csv"), ""),
    Case("data --fetch", lambda root: ["data", "mnist", "--fetch", "--data-dir", root / "disk" / "run"], (),
         same_files("MNIST/raw/train-images-idx3-ubyte.gz", "MNIST/raw/t10k-labels-idx1-ubyte.gz"), ""),
)}}


@contextlib.contextmanager
def fetched_from_here() -> Iterator[None]:
    """Within the block MNIST is a miniature of it, on a server of this machine."""
    from tests.datasets import MNIST, PACKED
    from tests.server import content, serving

    with serving() as server:
        server.routes |= {f"/{name}.gz": content(raw) for name, raw in PACKED.items()}
        with patch.dict(CATALOG, {"mnist": replace(MNIST, bases=(server.url(),))}):
            yield


def points_of(layer: Layer) -> list[Point]:
    """Every point of a command, in order."""
    seen: Counter[tuple[str, str]] = Counter()
    found = []
    for one in layer.operations:
        seen[named(one), one.kind] += 1
        found.append(Point(named(one), one.kind, seen[named(one), one.kind]))
    return found


def struck(case: Case, root: Path, before: State, *, point: Point, fault: str) -> tuple[str, list[str], Answer]:
    """Carry out the command with one fault, then again without. -> one of OUTCOMES, what is wrong, its answer."""
    lay(root / "disk", before)
    injector = FailureInjector().fail_at(point.file, point.kind, fault, point.nth)
    layer = Layer(root / "disk", injector.before)
    with layer.active():
        answer = carry_out(case.words(root))
    problems = [] if injector.struck else ["the point was not reached"]
    lines = [line for line in answer.error.splitlines() if line.startswith("mnist-ops: error:")]
    if answer.code not in (0, 1):
        problems.append(f"exit code {answer.code}: {answer.error.strip()[-400:]}")
    elif answer.code == 1 and len(lines) != 1:
        problems.append(f"not one message: {answer.error.strip()[-400:]}")
    there = tree(root / "disk")
    problems += torn({path: content for path, content in there.items() if path}, versions(layer))
    problems += left_over(root / "disk")
    goes_on = Answer(0, "", "") if answer.code == 0 else carry_out([*case.words(root), *case.again])
    if goes_on.code and FINISHED not in goes_on.error:  # a fault of the very last flush leaves a whole run
        problems.append(f"then exit code {goes_on.code}: {goes_on.error.strip()[-400:]}")
    problems += case.compare(root / "whole", root / "disk")
    return OUTCOMES[2 if problems else 0 if answer.code else 1], problems, answer


def trial(case: Case, root: Path, every: int = 1, told: Any = len) -> dict[str, Any]:
    """Every fault at every point of a command; or every so manieth."""
    before = begin(case, root)
    layer = Layer(root / "disk")
    with layer.active():
        answer = carry_out(case.words(root))
    if answer.code:
        raise SystemExit(f"{case.name}: {answer.error}")
    lay(root / "whole", {path: content for path, content in tree(root / "disk").items() if path})
    table: dict[str, Counter[str]] = {}
    problems: list[str] = []
    tries = [(point, fault) for point in points_of(layer) for fault, kinds in FAULTS.items() if point.kind in kinds]
    for point, fault in tries[::every]:
        kind, wrong, answer = struck(case, root, before, point=point, fault=fault)
        table.setdefault(f"{fault} at {point.kind}", Counter())[kind] += 1
        if wrong:
            problems.append(f"{fault} at {point.kind} {point.nth} of {point.file}: {'; '.join(wrong)}")
            told(f"{case.name}: {problems[-1]}")
    return {"name": case.name, "points": len({point for point, _ in tries}), "tried": len(tries[::every]),
            "faults": {name: dict(counts) for name, counts in table.items()}, "problems": problems}


if __name__ == "__main__":
    with fetched_from_here():
        raise SystemExit(measure("faults", sys.argv[1:], CASES, lambda name, *given: trial(CASES[name], *given)))
