"""Processes that work for a command: started from several threads, ended from another, never left behind."""

import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

PARTING = 0.2  # seconds in which those that are stopped may end by themselves


@dataclass(eq=False)
class Children:
    """The processes that are running, started from several threads and ended from another."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    running: list[subprocess.Popen[str]] = field(default_factory=list)
    stopped: threading.Event = field(default_factory=threading.Event)

    def run(self, command: Sequence[str], environment: Mapping[str, str] | None = None,
            each_line: Callable[[str], object] = len) -> tuple[int, str]:
        """Run the command to its end, calling `each_line` with every line of its stdout. -> exit code, stderr.

        A command that comes after the stop is not started. environment: the process's own; None inherits this one's."""
        with self.lock:
            if self.stopped.is_set():
                return 1, "stopped"
            # A terminal's Ctrl-C reaches them too, and changes nothing about how they end.
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=environment,
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
        """Ask those that run to end, and end those that do not soon; a run folder stays whole in either case."""
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


def _read(process: subprocess.Popen[str], said: list[str]) -> None:
    assert process.stderr is not None
    with process.stderr:
        said += process.stderr


def ended_by(code: int, error: str) -> str:
    """Why a process ended: what it said, or the signal that killed it."""
    if code >= 0:
        return error.strip().removeprefix("mnist-ops: error: ") or f"exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    short = " (a lack of memory makes the system do that)" if name == "SIGKILL" else ""
    return f"killed by {name}{short}"
