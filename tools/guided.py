"""Lets libFuzzer look for inputs that reach new code in every reader of tools/readers.py, and keeps what it finds.

    python -m tools.guided                        two hours for each reader; figures become docs/figures/guided.json
    python -m tools.guided --minutes 5 weights    one reader for five minutes; its figures replace its earlier ones
    python -m tools.guided --grow                 the same, and tests/corpus.zip keeps a few inputs that reach it all

It needs atheris: pip install atheris. It begins with the inputs of tests/corpus.zip, and with some that tools/fuzz.py
would draw. A failure is what it is there; each is printed once for its place in the code, and the search goes on."""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mnist_ops.run.folder import write_json
from mnist_ops.sweeps.records import machine
from tools.forms import zipped
from tools.fuzz import drawn
from tools.readers import BYTES, READERS

REPOSITORY = Path(__file__).resolve().parents[1]
FIGURES, CORPUS = REPOSITORY / "docs" / "figures" / "guided.json", REPOSITORY / "tests" / "corpus.zip"
GUIDED = [name for name, reader in READERS.items() if reader.form is not None]
DRAWN = 100  # inputs of tools/fuzz.py that the search begins with
KEPT, LONGEST = 40, 8000  # inputs of a reader in the corpus, and bytes of one


def corpus(name: str) -> list[bytes]:
    """The inputs of a reader that tests/corpus.zip keeps, as the bytes of its form."""
    if not CORPUS.exists():
        return []
    with zipfile.ZipFile(CORPUS) as archive:
        return [archive.read(one) for one in archive.namelist() if one.startswith(f"{name}/")]


def _fuzz(name: str, words: Sequence[object]) -> tuple[str, list[dict[str, Any]]]:
    """libFuzzer's log, and the failures; the end of the process is one of them, if it is not its own."""
    command = [sys.executable, "-m", "tools.libfuzzer", name, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, check=False, errors="replace",
                          env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"})
    failures = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"where"')]
    if done.returncode:
        failures.append({"where": f"process ended with {done.returncode}", "what": done.stderr[-1500:], "input": ""})
    return done.stderr, failures


def search(name: str, seconds: int, grow: bool) -> dict[str, Any]:
    """The figures of so many seconds with one reader. grow: -> its part of the corpus too, as `corpus`."""
    with tempfile.TemporaryDirectory() as place:
        known, found = Path(place, "known"), Path(place, "found")
        for folder in (known, found):
            folder.mkdir()
        for number, raw in enumerate([*corpus(name), *drawn(name, DRAWN)]):
            (known / str(number)).write_bytes(raw)
        log, failures = _fuzz(name, [
            found, known, f"-max_total_time={seconds}", "-print_final_stats=1", f"-artifact_prefix={place}/",
            f"-rss_limit_mb={BYTES // 10**6}", "-timeout=20", "-reload=0", "-max_len=100000"])
        edges = [int(one) for one in re.findall(r"\bcov: (\d+)", log)]
        begun = re.search(r"INITED\s+cov: (\d+)", log)
        counted = {key: int(one[1]) if (one := re.search(rf"stat::{key}:\s+(\d+)", log)) else 0
                   for key in ("number_of_executed_units", "peak_rss_mb")}
        kept = _small(name, [found, known], Path(place)) if grow else []
    return {"name": name, "what": READERS[name].what, "inputs": counted["number_of_executed_units"], "seconds": seconds,
            "edges_at_first": int(begun[1]) if begun else 0, "edges": max(edges, default=0),
            "peak_mb": counted["peak_rss_mb"], "failures": failures, "kept": kept}


def _small(name: str, folders: Sequence[Path], place: Path) -> list[bytes]:
    """Few short inputs that together reach nearly all that those in the folders do: libFuzzer's -merge=1, which takes
    the shortest first."""
    least = place / "least"
    least.mkdir()
    _fuzz(name, ["-merge=1", f"-max_len={LONGEST}", f"-artifact_prefix={place}/", least, *folders])
    contents = sorted((path.read_bytes() for path in least.iterdir()), key=lambda raw: (len(raw), raw))
    step = max(1, -(-len(contents) // KEPT))
    return contents[::step]


def write_corpus(parts: dict[str, list[bytes]]) -> None:
    """Replace these readers' inputs in tests/corpus.zip."""
    everything = {name: parts.get(name) or corpus(name) for name in GUIDED}
    CORPUS.write_bytes(zipped({f"{name}/{number:02}": raw for name, contents in sorted(everything.items())
                               for number, raw in enumerate(contents)}, packed=True))


def main(arguments: list[str]) -> int:
    """Carry out the command line, see the top of this file; exit code 1 if an input is a failure."""
    parser = argparse.ArgumentParser(description="Look for inputs that reach new code in every reader.")
    parser.add_argument("readers", nargs="*", choices=[[], *GUIDED], help="these alone")
    parser.add_argument("--minutes", type=float, default=120, help="for each reader")
    parser.add_argument("--grow", action="store_true", help="keep what it finds in tests/corpus.zip")
    chosen = parser.parse_args(arguments)
    before = json.loads(FIGURES.read_text()) if FIGURES.exists() else {"readers": []}
    figures = {one["name"]: one for one in before["readers"]}
    for name in chosen.readers or GUIDED:
        found = search(name, round(60 * chosen.minutes), chosen.grow)
        if kept := found.pop("kept"):
            write_corpus({name: kept})
        for failure in found["failures"]:
            print(f"FAILURE in {name}: {json.dumps(failure)}", file=sys.stderr, flush=True)
        print(f"{name}: {found['inputs']:,} inputs, {found['edges']:,} edges", file=sys.stderr, flush=True)
        figures[name] = found | {"failures": [one["where"] for one in found["failures"]]}
        write_json(FIGURES, {"command": f"python -m tools.guided --minutes {chosen.minutes:g}", "machine": machine(),
                             "readers": [figures[one] for one in GUIDED if one in figures]})
    return 1 if any(one["failures"] for one in figures.values()) else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
