"""Do compiled steps and PyTorch's train networks that are equally accurate? The same recipes and seeds by both.

    mnist-ops sweep quick --seeds 10 --out sweeps/quick     by compiled steps
    python -m tools.engines sweeps/quick sweeps/tiny ...    compare with the records, write docs/engine.md
    python -m tools.engines                                 write the page again from docs/figures/engines.json
"""

import argparse
import json
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mnist_ops.comparison.difference import difference
from mnist_ops.disk import write_whole
from mnist_ops.run.folder import CONFIG
from mnist_ops.sweeps.seeds import RESULTS
from tools.readme import RECORDS, renew

DOCS = Path(__file__).resolve().parents[1] / "docs"
FIGURES, PAGE = DOCS / "figures" / "engines.json", DOCS / "engine.md"
COMMAND = "python -m tools.engines"


def pair(folder: Path) -> dict[str, Any]:
    """Test accuracy and seconds by seed, of a sweep by compiled steps and of the record by PyTorch's."""
    results = json.loads((folder / RESULTS).read_text(encoding="utf-8"))
    engines = {json.loads(path.read_text(encoding="utf-8"))["engine"] for path in folder.glob(f"s*/{CONFIG}")}
    record = json.loads((RECORDS / f"{results['recipe']}.json").read_text(encoding="utf-8"))
    by_engine = {"compiled": results["runs"], "pytorch": record["runs"]}
    if engines != {"compiled"} or record.get("engine", "pytorch") != "pytorch" or results["dataset"] != "mnist":
        raise SystemExit(f"{folder}: found runs on {results['dataset']} by {', '.join(engines)} and a record by "
                         f"{record.get('engine', 'pytorch')}, expected compiled runs on mnist and a record by pytorch")
    return {name: {str(run["seed"]): run["test_accuracy"] for run in runs} for name, runs in by_engine.items()}


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
    parser.add_argument("folders", nargs="*", type=Path, help="of sweeps by compiled steps, named after their recipes")
    parser.add_argument("--check", action="store_true", help="change nothing; exit code 1 where the page is stale")
    chosen = parser.parse_args(arguments)
    found = json.loads(FIGURES.read_text(encoding="utf-8")) if FIGURES.exists() else {}
    found |= {folder.resolve().name: pair(folder) for folder in chosen.folders}
    if chosen.folders:
        write_whole(FIGURES, (json.dumps(found, indent=1) + "\n").encode())
    return renew(PAGE, {"engines": lambda: section(found)}, COMMAND, check=chosen.check)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
