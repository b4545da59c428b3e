"""Measures this program against two others on this machine, and what training costs; writes docs/performance.md.

    python -m benchmarks.bench                            everything, about 15 minutes on two cores
    python -m benchmarks.bench --parts compare --whole    the comparison alone, with the reference run to its end
    python -m benchmarks.bench --quick                    every path in short; nothing is written

Figures go to docs/figures/bench.json, from which `python -m benchmarks.page` makes the page and its pictures.
"""

import argparse
import contextlib
import json
import re
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks import page
from benchmarks.compare import Say, compare
from benchmarks.cost import cost, operations, scaling
from benchmarks.settings import Settings, smoke
from benchmarks.start import start
from mnist_ops.config import RECIPES
from mnist_ops.disk import write_whole

FORMAT = 1
PARTS: dict[str, Callable[[Settings, Say], dict[str, Any]]] = {
    "compare": compare, "operations": operations, "scaling": scaling, "cost": cost, "start": start}


def main(arguments: Sequence[str]) -> int:
    """Carry out the command line, see the top of this file; the exit code."""
    given = _parser().parse_args(arguments)
    settings = _settings(given, arguments)
    out = given.out or (None if given.quick else page.FIGURES)
    found: dict[str, Any] = page.figures(out) if out else {}
    for name in given.parts:
        try:
            found[name] = PARTS[name](settings, _say)
        except RuntimeError as error:
            _say(str(error))
            return 1
        if out:  # after each part, so that a stop in the next one costs only that
            write_whole(out, (json.dumps({"format": FORMAT, **found}, indent=1) + "\n").encode())
    if out == page.FIGURES:
        page.main([])
    print(json.dumps(found) if given.json else page.told({name: found[name] for name in given.parts}))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART",
                        help=f"of {', '.join(PARTS)}; those not named stay as they were measured")
    parser.add_argument("--recipes", nargs="+", choices=RECIPES, metavar="RECIPE",
                        default=[name for name in ("default", "quick", "sprint", "seed") if name in RECIPES])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=8.0, help="of training of each program in each round")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--threads", type=int, default=0, help="0 takes every core")
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--whole", action="store_true", help="run the reference to its end too, about 20 minutes more")
    parser.add_argument("--quick", action="store_true", help="a smoke test of every path")
    parser.add_argument("--out", type=Path, help="another file for the figures; the page is then left alone")
    parser.add_argument("--json", action="store_true", help="print the figures, not the table")
    return parser


def _settings(given: argparse.Namespace, arguments: Sequence[str]) -> Settings:
    device = given.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    settings = Settings(command=_command(arguments), rounds=given.rounds,
                        seconds=given.seconds, recipes=tuple(given.recipes), device=device, threads=given.threads,
                        data=given.data, data_dir=given.data_dir and str(given.data_dir.absolute()), whole=given.whole)
    return smoke(settings) if given.quick else settings


def _command(arguments: Sequence[str]) -> str:
    """The command again, without what does not change a figure: places on this machine, the form of the output."""
    kept = re.sub(r"--(data-dir|out)[ =]('[^']*'|\S+) ?|--json ?", "", shlex.join(arguments)).strip()
    return f"python -m benchmarks.bench {kept}".strip()


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        raise SystemExit(main(sys.argv[1:]))
    raise SystemExit(130)
