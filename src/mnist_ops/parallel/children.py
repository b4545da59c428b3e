"""Worker processes of a command: a limited number at a time, with their output, and never left behind."""

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

WRONG_USE = 2  # exit code
PARTING = 0.2  # seconds that stopped processes get to end by themselves
TRACEBACK = "Traceback (most recent call last):"
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True)
class Said:
    """A line on the stdout of the process for that task."""

    task: int
    line: str


@dataclass(frozen=True)
class Ended:
    """The process for that task has ended; reason: why, if the code is not 0."""

    task: int
    code: int
    reason: str


class Children:
    """Processes of this program, each for a numbered task, with a thread each.

    Leaving the block that this opens ends all processes."""

    def __init__(self, jobs: int = 1, environment: Mapping[str, str] | None = None) -> None:
        """jobs: the number at a time. environment: of the processes; None inherits this one's."""
        self.environment = environment
        self.pool = ThreadPoolExecutor(jobs)
        self.heard: queue.SimpleQueue[Said | Ended] = queue.SimpleQueue()
        self.left = 0
        self.lock = threading.Lock()
        self.running: list[subprocess.Popen[str]] = []
        self.stopped = threading.Event()

    def start(self, task: int, words: Sequence[str]) -> None:
        """Queue a command line of `mnist-ops`."""
        self.left += 1
        self.pool.submit(self._follow, task, [sys.executable, "-m", "mnist_ops", *words])

    def events(self) -> Iterator[Said | Ended]:
        """The output and the end of each started process, until none is left."""
        while self.left:
            event = self.heard.get()
            self.left -= isinstance(event, Ended)
            yield event

    def __enter__(self) -> "Children":
        return self

    def __exit__(self, *_: object) -> None:
        self.pool.shutdown(wait=False, cancel_futures=True)
        self.stop()

    def _follow(self, task: int, command: Sequence[str]) -> None:
        try:
            code, error = self.run(command, lambda line: self.heard.put(Said(task, line)))
        except OSError as error_of_start:
            code, error = 1, str(error_of_start)
        self.heard.put(Ended(task, code, ended_by(code, error)))

    def run(self, command: Sequence[str], each_line: Callable[[str], object] = len) -> tuple[int, str]:
        """Run the command to its end, calling `each_line` with every line of its stdout. -> exit code, stderr.

        After a stop no command is started."""
        with self.lock:
            if self.stopped.is_set():
                return 1, "stopped"
            # They ignore a terminal's Ctrl-C, which reaches them too.
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=self.environment,
                                       stderr=subprocess.PIPE, text=True, errors="replace")
            self.running.append(process)
        said: list[str] = []
        listener = threading.Thread(target=_read, args=(process, said), daemon=True)  # or a full pipe would stop it
        listener.start()
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                each_line(line)
        listener.join()
        code = process.wait()
        with self.lock:
            self.running.remove(process)
        return code, "".join(said)

    def stop(self) -> None:
        """Ask the running processes to end, and kill those that do not; run folders stay intact."""
        with self.lock:
            self.stopped.set()
            running = list(self.running)
        for process in running:
            process.terminate()
        end = time.monotonic() + PARTING
        while time.monotonic() < end and any(process.poll() is None for process in running):
            time.sleep(0.01)
        for process in running:
            process.kill()
        for process in running:
            process.wait()


def _read(process: subprocess.Popen[str], said: list[str]) -> None:
    assert process.stderr is not None
    with process.stderr:
        said += process.stderr


def with_threads(threads: int) -> dict[str, str]:
    """This environment, for a process with that many threads from its start."""
    return dict(os.environ) | dict.fromkeys(THREADS, str(threads))


def ended_by(code: int, error: str) -> str:
    """Why a process ended: its message, the last line of a traceback, or the signal that killed it."""
    if code >= 0:
        text = error.strip().removeprefix("mnist-ops: error: ")
        return (text.splitlines()[-1] if TRACEBACK in text else text) or f"exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    short = " (possibly out of memory)" if name == "SIGKILL" else ""
    return f"killed by {name}{short}"
