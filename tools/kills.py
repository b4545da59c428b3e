"""Kills training runs at many moments, resumes them, and compares each with a run that was never stopped.

    python tools/kills.py                             1,000 kills; their figures become docs/figures/kills.json
    python tools/kills.py --moments 25 --writes 15    fewer

Every run is a separate process of `mnist-ops train`, of a few epochs on a few images. Some kills come
from outside, at moments spread evenly over the run's own length; the others strike within the writing of a file: at
every step of it, in every file of a run. SIGKILL, SIGTERM and SIGINT take turns. After each kill the folder must be
whole, and the resumed run must end with the same bits as the one that was never stopped.
"""

import argparse
import contextlib
import dataclasses
import itertools
import json
import mmap
import os
import signal
import statistics
import struct
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from io import BufferedWriter, FileIO
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from mnist_ops import disk
from mnist_ops.cli.main import main as mnist_ops
from mnist_ops.data.catalog import CATALOG, TEST_IMAGES, TEST_LABELS, TRAIN_IMAGES, TRAIN_LABELS
from mnist_ops.data.source import read
from mnist_ops.device import available_cores
from mnist_ops.errors import MnistOpsError
from mnist_ops.run.checkpoint import load_checkpoint
from mnist_ops.run.folder import CHECKPOINT, CONFIG, HISTORY, RANGE_TEST, SUMMARY, WEIGHTS, read_history, read_json
from mnist_ops.run.provenance import commit
from mnist_ops.run.trained import load_trained
from mnist_ops.sweeps.records import machine

FIGURES = Path(__file__).resolve().parents[1] / "docs" / "figures" / "kills.json"
TRAIN, TEST = 40, 20  # images
EPOCHS = 3
TOP = f'data = "mnist"\ndevice = "cpu"\nthreads = 1\nprecision = "float32"\nepochs = {EPOCHS}\nbatch_size = 8\n'
SEARCH = "[tune]\nlowest = 1e-3\nhighest = 1.0\nsteps = 12\nsweeps = 1\nscale = 1.0\n"
CASES = {
    # Dropout, every kind of draw, and weights that are those of the best epoch.
    "validation": 'model = "seed"\nvalidation = 16\n' + TOP
                  + "[augment]\nperspective = 0.2\nbrightness = 0.1\nshift = 2.0\n" + SEARCH,
    # No search, another optimiser, weights that are those of the last epoch.
    "last epoch": 'model = "early-pool"\nlr = 0.01\n' + TOP
                  + '[augment]\ndegrees = 12.0\n[optimizer]\nname = "adamw"\n',
}
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
CODES = {signal.SIGKILL: -signal.SIGKILL, signal.SIGTERM: 128 + signal.SIGTERM, signal.SIGINT: 128 + signal.SIGINT}
LIMIT = 100  # seconds for a run, which takes one
PLACES = ("before anything was saved", "in the rate search", "in an epoch", "in the writing of a file", "after the end")


@dataclass(frozen=True)
class Kill:
    """One signal to one run: at a share of the run's own length, or (`point` not None) at that point of its writes."""

    case: str
    signal: signal.Signals
    share: float = 0.0
    point: int | None = None


@dataclass(frozen=True)
class Outcome:
    """Where the signal struck, how long the process took to end (None: it ended or struck itself before), and what was
    wrong."""

    kill: Kill
    place: str
    seconds: float | None
    problems: tuple[str, ...]


@dataclass(frozen=True)
class Bench:
    """A folder with small data, the settings of each case, and a run of each that was never stopped."""

    root: Path
    seconds: dict[str, float]  # length of the run of each case
    points: dict[str, int]  # points of its writes

    def command(self, case: str, run: Path) -> list[str]:
        """The arguments of mnist-ops for a run of the case."""
        return ["train", "--config", str(self.root / f"{case}.toml"), "--data-dir", str(self.root / "data"),
                "--out", str(run), "--no-report"]

    def whole(self, case: str) -> Path:
        """The run folder of the case's run that was never stopped."""
        return self.root / case


# ---------------------------------------------------------------- the process that is killed


class Trace:
    """Two numbers that survive the process: the points of writes it has passed, and whether it is within one."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(bytes(8))
        with path.open("r+b") as file:
            self.memory = mmap.mmap(file.fileno(), 8)

    def get(self) -> tuple[int, bool]:
        """Points passed, and whether the process is, or was at its end, within a write."""
        passed, within = struct.unpack("ii", self.memory[:])
        return passed, bool(within)

    def put(self, passed: int, within: bool) -> None:
        """Replace both."""
        self.memory[:] = struct.pack("ii", passed, within)


def start(arguments: list[str], trace: Path, kill: Kill | None = None) -> int:
    """Fork a process that carries out mnist-ops with these arguments. -> its number.

    Forked from a process that has done so before, it needs no seconds to load PyTorch."""
    process = os.fork()
    if process:
        return process
    code = 70
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # which a job in the background is told to ignore
        log = os.open(trace.with_suffix(".log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for stream in (1, 2):
            os.dup2(log, stream)
        watch_writes(Trace(trace), kill)
        code = mnist_ops(arguments)
    except KeyboardInterrupt:
        code = 130  # before the command has begun, as mnist_ops.__main__ does
    finally:
        with contextlib.suppress(BaseException):
            sys.stdout.flush()
        os._exit(code)


def finish(process: int, seconds: float = LIMIT) -> int | None:
    """Wait so long for its end. -> exit code, negative for a signal that ended it; None if it is still running."""
    end = time.monotonic() + seconds
    while not (status := os.waitpid(process, os.WNOHANG))[0]:
        if time.monotonic() > end:
            return None
        time.sleep(0.001)
    return os.waitstatus_to_exitcode(status[1])


def end(process: int) -> int:
    """Wait for its end, or end it where it takes too long. -> exit code."""
    code = finish(process)
    if code is None:
        os.kill(process, signal.SIGKILL)
        raise TimeoutError(f"a run did not end within {LIMIT} s")
    return code


def watch_writes(trace: Trace, kill: Kill | None) -> None:
    """Make every step of `disk.write_whole` a point at which the process may strike itself."""
    points = itertools.count(1)

    def point(within: bool = True) -> None:
        passed = next(points)
        trace.put(passed, within)
        if kill is not None and passed == kill.point:
            os.kill(os.getpid(), kill.signal)

    class Torn(BufferedWriter):
        def write(self, content: Any) -> int:
            point()  # the file is there, and empty
            half = super().write(content[:len(content) // 2])
            self.flush()
            point()
            return half + super().write(content[len(content) // 2:])

    fsync, replace = os.fsync, os.replace
    flushed = itertools.cycle((True, False))  # the file, then its folder

    def struck_fsync(descriptor: int) -> None:
        point()  # written, or renamed, and not flushed yet
        fsync(descriptor)
        if not next(flushed):
            point(within=False)

    def struck_replace(old: Path, new: Path) -> None:
        point()  # flushed and not renamed yet
        replace(old, new)

    vars(disk)["open"] = lambda path, mode: Torn(FileIO(path, mode.removesuffix("b")))
    vars(os).update(fsync=struck_fsync, replace=struck_replace)


# ---------------------------------------------------------------- what must be so afterwards


def prepare(root: Path) -> Bench:
    """Write the data and the settings, and train each case to its end: here first, for the processes that follow to
    find everything loaded, then in a separate process."""
    lay_digits(root / "data")
    bench = Bench(root, {}, {})
    for case, settings in CASES.items():
        (root / f"{case}.toml").write_text(settings)
        trace = root / f"{case}.trace"
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
            mnist_ops(bench.command(case, root / f"{case} loaded"))
        begun = time.monotonic()
        if code := end(start(bench.command(case, bench.whole(case)), trace)):
            raise SystemExit(f"{case}: the run that nobody stops failed with {code}: "
                             f"{trace.with_suffix('.log').read_text()[-1000:]}")
        bench.seconds[case] = time.monotonic() - begun
        bench.points[case] = Trace(trace).get()[0]
    return bench


def lay_digits(place: Path) -> None:
    """Write the first of the embedded digits into the data folder `place`, as files of MNIST's names and format."""
    folder, digits = place / CATALOG["mnist"].folder, read("digits", how="resize")
    folder.mkdir(parents=True)
    for images, labels, part, count in ((TRAIN_IMAGES, TRAIN_LABELS, digits.train, TRAIN),
                                        (TEST_IMAGES, TEST_LABELS, digits.test, TEST)):
        head = struct.pack(">4BIII", 0, 0, 8, 3, count, 28, 28)
        (folder / images).write_bytes(head + part.images[:count].tobytes())
        head = struct.pack(">4BI", 0, 0, 8, 1, count)
        (folder / labels).write_bytes(head + part.labels[:count].astype("u1").tobytes())


def strike(bench: Bench, kill: Kill, run: Path) -> Outcome:
    """Begin a run in the folder `run`, kill it, look at what is left, resume it, and compare it with the whole one."""
    trace, command = run.with_suffix(".trace"), bench.command(kill.case, run)
    process, seconds = start(command, trace, kill), None
    code = finish(process, LIMIT if kill.point else kill.share * bench.seconds[kill.case])
    if code is None:
        begun = time.monotonic()
        os.kill(process, kill.signal)
        code = end(process)
        seconds = time.monotonic() - begun
    place = place_of(run, Trace(trace).get()[1])
    # Before the command has begun and after it has ended, a signal does what it does to any process.
    expected = {0, CODES[kill.signal], *((-kill.signal,) if place in (PLACES[0], PLACES[4]) else ())}
    problems = [*unsound(run, kill.signal), *([] if code in expected else [f"exit code {code}"])]
    if kill.point is not None and code == 0 and kill.point < bench.points[kill.case]:
        problems.append("the signal did not end it")
    if not (run / SUMMARY).exists():
        resumed = end(start([*command, "--resume"], trace))
        if resumed:
            problems.append(f"resuming failed: {trace.with_suffix('.log').read_text()[-1000:]}")
    return Outcome(kill, place, seconds, (*problems, *differences(bench.whole(kill.case), run)))


def place_of(run: Path, within_write: bool) -> str:
    """Which of PLACES a run was at when it ended."""
    if (run / SUMMARY).exists():
        return PLACES[4]
    if within_write:
        return PLACES[3]
    if not (run / CONFIG).exists():
        return PLACES[0]
    searching = read_json(run / CONFIG)["lr"] == "auto" and not (run / RANGE_TEST).exists()
    return PLACES[1] if searching else PLACES[2]


def unsound(run: Path, number: signal.Signals) -> Iterator[str]:
    """What is damaged, half-written or shown too early in the folder of a run that was killed."""
    parts = [path.name for path in run.glob("*") if disk.PART.fullmatch(path.name)]
    if parts and number != signal.SIGKILL:
        yield f"{', '.join(parts)} left behind"
    try:
        for name in (CONFIG, RANGE_TEST, SUMMARY):
            if (run / name).exists():
                read_json(run / name)
        checkpoint = load_checkpoint(run / CHECKPOINT)
        saved = checkpoint.history if checkpoint else []
        if (run / WEIGHTS).exists():
            load_trained(run)
            if not saved:
                yield f"{WEIGHTS} without {CHECKPOINT}"
        told = read_history(run)
        if told != saved[:len(told)] or len(told) < len(saved) - 1:
            yield f"{HISTORY} has {len(told)} epochs, {CHECKPOINT} {len(saved)}"
    except MnistOpsError as error:
        yield str(error)


def differences(whole: Path, run: Path) -> Iterator[str]:
    """Which files of `run` are not as in `whole`: all bytes are compared, except those of seconds."""
    try:
        here, there = ({path.name for path in folder.iterdir()} for folder in (run, whole))
        if here != there:
            yield f"files {sorted(here ^ there)} are in one alone"
        for name in (WEIGHTS, CONFIG, RANGE_TEST):
            if name in there and (run / name).read_bytes() != (whole / name).read_bytes():
                yield f"{name} differs"
        if timeless(read_history(run)) != timeless(read_history(whole)):
            yield f"{HISTORY} differs"
        if timeless([read_json(run / SUMMARY)]) != timeless([read_json(whole / SUMMARY)]):
            yield f"{SUMMARY} differs"
        if state(run) != state(whole):
            yield f"{CHECKPOINT} differs"
    except (OSError, MnistOpsError) as error:
        yield str(error)


def timeless(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows without their seconds."""
    return [{key: value for key, value in row.items() if key not in ("seconds", "train_seconds")} for row in rows]


def state(run: Path) -> Any:
    """The content of the checkpoint except seconds, as values that can be compared."""
    found = vars(load_checkpoint(run / CHECKPOINT))
    return bits({key: value for key, value in found.items() if key != "search_seconds"}
                | {"history": timeless(found["history"])})


def bits(value: Any) -> Any:
    """Nested state with the bytes of its tensors."""
    if isinstance(value, dict):
        return {key: bits(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [bits(one) for one in value]
    return (str(value.dtype), value.shape, value.numpy().tobytes()) if hasattr(value, "numpy") else value


# ---------------------------------------------------------------- many


def moments(count: int, cases: Sequence[str] = tuple(CASES)) -> list[Kill]:
    """Kills spread evenly over the length of a run, the signals and cases taking turns."""
    turns = itertools.cycle(itertools.product(cases, SIGNALS))
    return [Kill(*next(turns), share=(number + 0.5) / count) for number in range(count)]


def within_writes(bench: Bench) -> list[Kill]:
    """A kill for every point of the writes of every case and every signal; neighbours are far apart."""
    every = [Kill(case, one, point=point) for case in CASES for one in SIGNALS
             for point in range(1, bench.points[case] + 1)]
    return [kill for first in range(17) for kill in every[first::17]]


def strike_all(bench: Bench, kills: Sequence[Kill], jobs: int) -> Iterator[Outcome]:
    """Carry out all, several at a time; each outcome in its turn."""
    with ProcessPoolExecutor(jobs, get_context("fork")) as pool, tempfile.TemporaryDirectory(dir=bench.root) as folder:
        runs = [Path(folder, str(number)) for number in range(len(kills))]
        yield from pool.map(strike, itertools.repeat(bench), kills, runs)


def figures(bench: Bench, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """What the outcomes come to."""
    places, signals = (Counter(values) for values in ([one.place for one in outcomes],
                                                      [one.kill.signal.name for one in outcomes]))
    told, killed = ([one.seconds for one in outcomes if one.seconds is not None
                     and (one.kill.signal == signal.SIGKILL) is by_force] for by_force in (False, True))
    return {
        "kills": len(outcomes), "identical": sum(not one.problems for one in outcomes),
        "failures": [{**dataclasses.asdict(one), "problems": list(one.problems)} for one in outcomes if one.problems],
        "places": {place: places[place] for place in PLACES}, "signals": dict(sorted(signals.items())),
        "write_points": bench.points, "run_seconds": bench.seconds,
        # Seconds from the signal until the end is seen: told to end, and killed, which no program can hasten.
        "median_end_seconds": statistics.median(told) if told else None, "slowest_end_seconds": max(told, default=None),
        "slowest_kill_seconds": max(killed, default=None),
    }


def main() -> int:
    """Carry out the command line; the exit code is 1 where a run came out otherwise than the whole one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--moments", type=int, default=500, help="kills from outside")
    parser.add_argument("--writes", type=int, default=500, help="kills within a write")
    parser.add_argument("--jobs", type=int, default=available_cores(), help="runs at a time")
    parser.add_argument("--out", type=Path, default=FIGURES, help="where the figures go, as JSON")
    given = parser.parse_args()
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        bench = prepare(Path(folder))
        kills = [*itertools.islice(itertools.cycle(within_writes(bench)), given.writes), *moments(given.moments)]
        outcomes = []
        for outcome in strike_all(bench, kills, given.jobs):
            outcomes.append(outcome)
            if outcome.problems or len(outcomes) % 50 == 0:
                print(f"{len(outcomes)} of {len(kills)}: {'; '.join(outcome.problems) or 'as the whole run'}",
                      file=sys.stderr, flush=True)
    command = f"python tools/kills.py --moments {given.moments} --writes {given.writes}"
    found = {"command": command, "commit": commit(), "machine": machine(), "seconds": time.monotonic() - begun,
             **figures(bench, outcomes)}
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=1))
    return 0 if found["identical"] == found["kills"] else 1


if __name__ == "__main__":
    sys.exit(main())
