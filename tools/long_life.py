"""Long life: many runs, seeds and trials, and what happens to them on the way.

    python -m tools.long_life runs            200 runs in one process, with reports and exports
    python -m tools.long_life sweep           500 seeds, killed in the middle
    python -m tools.long_life search          2,000 trials, whose workers are killed at random
    python -m tools.long_life database        PostgreSQL restarted, and its connections dropped, in the middle
    python -m tools.long_life sweep --count 9 fewer

Each prints what it found, which becomes a part of docs/figures/long_life.json. Exit code 1 if something is wrong.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mnist_ops.run.provenance import commit
from mnist_ops.sweeps.records import machine
from tools import long_database, long_runs, long_search, long_sweep

FIGURES = Path(__file__).resolve().parents[1] / "docs" / "figures" / "long_life.json"
# What is tried, how often, and the function: (how often, an empty folder) -> figures with a list "problems".
TRIALS: dict[str, tuple[int, Callable[[int, Path], dict[str, Any]]]] = {
    "runs": (200, long_runs.trial), "sweep": (500, long_sweep.trial), "search": (2000, long_search.trial),
    "database": (60, long_database.trial)}


def main(arguments: list[str]) -> int:
    """Carry out the command line, see the top of this file; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trial", choices=TRIALS)
    parser.add_argument("--count", type=int, help="how many runs, seeds or trials")
    parser.add_argument("--out", type=Path, default=FIGURES, help="where the figures go, as JSON")
    given = parser.parse_args(arguments)
    usual, measured = TRIALS[given.trial]
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        found = measured(given.count or usual, Path(folder))
    words = ["python -m tools.long_life", given.trial, *([f"--count {given.count}"] if given.count else [])]
    found = {"command": " ".join(words), "commit": commit(), "machine": machine(),
             "seconds": round(time.monotonic() - begun, 1), **found}
    kept = json.loads(given.out.read_text(encoding="utf-8")) if given.out.exists() else {}
    text = json.dumps({**kept, given.trial: found}, indent=1)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(f"{text}\n", encoding="utf-8")
    print(json.dumps(found, indent=1))
    return 1 if found["problems"] else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
