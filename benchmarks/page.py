"""Writes what docs/performance.md derives from docs/figures/bench.json, and its pictures.

    python -m benchmarks.page             write the marked sections and the pictures anew
    python -m benchmarks.page --check     exit code 1, naming them, where some sections are stale
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks import curves, sections
from tools.readme import renew

REPOSITORY = Path(__file__).resolve().parents[1]
PAGE, FOLDER = REPOSITORY / "docs" / "performance.md", REPOSITORY / "docs" / "figures"
FIGURES, RECORDS = FOLDER / "bench.json", REPOSITORY / "records"
NOT_YET = "*The figures stand here once `make bench` has been run.*"
Part = dict[str, Any]
# Section -> the part of the figures that it shows, and how.
SECTIONS: dict[str, tuple[str, Callable[[Part], str]]] = {
    "machine": ("compare", sections.machine),
    "speed": ("compare", sections.speed),
    "target": ("compare", lambda part: sections.target(part, records())),
    "reference": ("compare", sections.reference_check),
    "inference": ("compare", sections.inference),
    "limit": ("compare", sections.limit),
    "compiled-operations": ("operations", curves.compiled_operations),
    "operations": ("operations", curves.operations),
    "scaling": ("scaling", curves.scaling),
    "cost": ("cost", curves.cost),
    "start": ("start", curves.start),
}


def figures(path: Path | None = None) -> dict[str, Part]:
    """What the bench has left, part by part; nothing where it has not been run."""
    place = path or FIGURES
    found: dict[str, Part] = json.loads(place.read_text(encoding="utf-8")) if place.exists() else {}
    return {name: part for name, part in found.items() if name != "format"}


def records() -> dict[str, Part]:
    """The records by recipe."""
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(RECORDS.glob("*.json"))}


def section(name: str, found: dict[str, Part]) -> str:
    """The text of one section."""
    part, write = SECTIONS[name]
    return write(found[part]) if part in found else NOT_YET


def told(found: dict[str, Part]) -> str:
    """All sections that have figures, for a terminal."""
    return "\n\n".join(section(name, found) for name, (part, _) in SECTIONS.items() if part in found)


def main(arguments: Sequence[str]) -> int:
    """Carry out the command line, see the top of this file; the exit code."""
    parser = argparse.ArgumentParser(description="Write docs/performance.md anew from the figures of the bench.")
    parser.add_argument("--check", action="store_true", help="change nothing; exit code 1 where a section is stale")
    chosen = parser.parse_args(arguments)
    found = figures()
    writers = {name: (lambda name=name: section(name, found)) for name in SECTIONS}
    code = renew(PAGE, writers, "python -m benchmarks.page", check=chosen.check)
    if not chosen.check:
        print(f"{', '.join(draw_all(found, FOLDER)) or 'nothing'} drawn")
    return code


def draw_all(found: dict[str, Part], folder: Path) -> Iterable[str]:
    """The pictures of the parts that have figures; their names."""
    from benchmarks.pictures import PICTURES
    from mnist_ops.report import style

    names = []
    for name, (part, draw) in PICTURES.items():
        if part in found:
            with style.look():
                style.save(folder / name, draw(found[part]))
            names.append(name)
    return names


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
