"""Do compiled steps and PyTorch's train networks that are equally accurate? The same recipes and seeds by both.

    mnist-ops sweep quick --seeds 10 --out sweeps/compiled
    mnist-ops sweep quick --seeds 10 --config FILE --out sweeps/pytorch     FILE: engine = "pytorch"
    python -m tools.engines sweeps/compiled sweeps/pytorch ...              compare, write docs/engine.md
    python -m tools.engines                                                 write it again from figures/engines.json
"""

import argparse
import json
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

from mnist_ops.comparison.difference import difference
from mnist_ops.disk import write_whole
from mnist_ops.run.folder import CONFIG
from mnist_ops.sweeps.seeds import RESULTS
from tools.readme import renew

DOCS = Path(__file__).resolve().parents[1] / "docs"
FIGURES, PAGE = DOCS / "figures" / "engines.json", DOCS / "engine.md"
COMMAND = "python -m tools.engines"


def measured(folders: Sequence[Path]) -> dict[str, dict[str, dict[str, float]]]:
    """Test accuracy of sweeps on MNIST, by recipe, engine and seed. Ends the program where a recipe lacks an engine."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for folder in folders:
        results = json.loads((folder / RESULTS).read_text(encoding="utf-8"))
        engines = {json.loads(path.read_text(encoding="utf-8"))["engine"] for path in folder.glob(f"s*/{CONFIG}")}
        if len(engines) != 1 or results["dataset"] != "mnist":
            raise SystemExit(f"{folder}: found runs on {results['dataset']} by {', '.join(sorted(engines))}, expected "
                             "runs on mnist by one engine")
        accuracies = {str(run["seed"]): run["test_accuracy"] for run in results["runs"]}
        found.setdefault(results["recipe"], {})[engines.pop()] = accuracies
    for recipe, by_engine in found.items():
        if set(by_engine) != {"compiled", "pytorch"}:
            raise SystemExit(f"{recipe}: found a sweep by {', '.join(by_engine)}, expected one by compiled and one by "
                             "pytorch")
    return found


def section(found: dict[str, dict[str, dict[str, float]]]) -> str:
    """The table: means, and the mean difference of the same seeds with its interval."""
    lines = ["| recipe | seeds | compiled | PyTorch | difference | 95 % interval |",
             "| --- | ---: | ---: | ---: | ---: | ---: |"]
    for recipe, engines in found.items():
        compiled, pytorch = ({int(seed): value for seed, value in engines[name].items()}
                             for name in ("compiled", "pytorch"))
        apart = difference(pytorch, compiled)
        assert apart.interval is not None
        low, high = apart.interval
        lines.append(f"| `{recipe}` | {len(compiled)} | {statistics.mean(compiled.values()):.3f} % | "
                     f"{statistics.mean(pytorch.values()):.3f} % | {apart.difference:+.3f} | "
                     f"{low:+.3f} to {high:+.3f} |")
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> int:
    """Carry out the command line, see the top of this file; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path, help="of sweeps, two for a recipe: one by each engine")
    parser.add_argument("--check", action="store_true", help="change nothing; exit code 1 where the page is stale")
    chosen = parser.parse_args(arguments)
    found = json.loads(FIGURES.read_text(encoding="utf-8")) if FIGURES.exists() else {}
    found |= measured(chosen.folders)
    if chosen.folders:
        write_whole(FIGURES, (json.dumps(found, indent=1) + "\n").encode())
    return renew(PAGE, {"engines": lambda: section(found)}, COMMAND, check=chosen.check)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
