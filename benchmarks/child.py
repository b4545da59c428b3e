"""A worker's process, as seen by the bench."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


class Child:
    """A process that is asked and answers. What it says on stderr is kept for the case that it ends."""

    def __init__(self, wanted: dict[str, Any]) -> None:
        self.name = str(wanted)
        self.said = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 - until `close`
        self.process = subprocess.Popen([sys.executable, "-m", "benchmarks.worker", json.dumps(wanted)], cwd=ROOT,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.said, text=True,
                                        encoding="utf-8", env=environment())

    def ask(self, do: str, **options: Any) -> dict[str, Any]:
        """Have it done. Raises RuntimeError with the end of what it said where the process ends instead."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps({"do": do, **options}) + "\n")
            self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            code = self.process.wait()
            self.said.seek(0)
            said = self.said.read()[-3000:]
            raise RuntimeError(f"{self.name}: ended with exit code {code} when asked to {do}\n{said}")
        return dict(json.loads(answer))

    def close(self) -> None:
        """No more questions: the process comes to its end."""
        try:
            with contextlib.suppress(BrokenPipeError):
                self.process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
        self.said.close()


@contextlib.contextmanager
def child(**wanted: Any) -> Iterator[Child]:
    """A worker for as long as the block lasts."""
    started = Child(wanted)
    try:
        yield started
    finally:
        started.close()


def environment() -> dict[str, str]:
    """The bench's own, without a limit to the threads, which each worker sets for itself."""
    left = {name: value for name, value in os.environ.items() if name not in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    places = [str(ROOT / "src"), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return left | {"PYTHONPATH": os.pathsep.join(places)}
