"""Writes the generated sections of docs/map.md: the rooms and modules of the code, and where each command enters.

    python -m tools.map           write those that are stale
    python -m tools.map --check   change nothing; name those that are stale
"""

import argparse
import ast
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from mnist_ops.cli.main import COMMANDS
from tests.test_structure import STAGES, imported_names, parse
from tools.readme import DOCS, REPOSITORY, renew

PAGE = DOCS / "map.md"
SOURCE = REPOSITORY / "src" / "mnist_ops"
# What nearly every command uses is not named for each.
EVERYWHERE = ("errors", "disk", "config", "mapping", "device", "randomness", "cli")


def rooms() -> str:
    """A line per room, in the order of the data, and below it a line per module."""
    places = [SOURCE / stage for stage in STAGES]
    lines = [line for place in places
             for line in (_room(place) if place.is_dir() else [_line(place.with_suffix(".py"))])]
    return "\n".join([*lines, _line(SOURCE / "__init__.py"), _line(SOURCE / "__main__.py")])


def _room(folder: Path, indent: str = "") -> Iterator[str]:
    """The lines of a package: its own, its modules, the packages in it, and the names of other files."""
    name = folder.relative_to(SOURCE).as_posix()
    yield f"{indent}- [**`{name}/`**]({_link(folder)}): {sentence(folder / '__init__.py')}"
    for path in sorted(folder.glob("*.py"), key=_order):
        if path.name != "__init__.py":
            yield f"{indent}  {_line(path)}"
    for inner in sorted(path for path in folder.iterdir() if path.is_dir() and path.name != "__pycache__"):
        if (inner / "__init__.py").exists():
            yield from _room(inner, f"{indent}  ")
        else:
            files = ", ".join(f"`{path.name}`" for path in sorted(inner.iterdir()) if path.is_file())
            yield f"{indent}  - [`{inner.name}/`]({_link(inner)}): {files}"


def _line(path: Path) -> str:
    return f"- [`{path.name}`]({_link(path)}): {sentence(path)}"


def _link(path: Path) -> str:
    return f"../{path.relative_to(REPOSITORY).as_posix()}"


def _order(path: Path) -> tuple[int, str]:
    """The place of a module within its room; what the room does not place comes last, by name."""
    names = STAGES.get(path.parent.name, ())
    return names.index(path.stem) if path.stem in names else len(names), path.stem


def sentence(path: Path) -> str:
    """The first paragraph of the module's docstring, on one line."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    if not text:
        raise SystemExit(f"{path}: has no docstring, expected one that says what it is")
    return " ".join(text.split("\n\n")[0].split())


def commands() -> str:
    """A row per command: its module, and the modules whose functions it calls."""
    rows = ["| command | module | calls |", "| --- | --- | --- |"]
    for command in COMMANDS:
        module = inspect.getmodule(command)
        assert module is not None
        place = Path(inspect.getfile(module))
        calls = ", ".join(f"`{name}`" for name in sorted(called(module), key=_stage))
        rows.append(f"| `{command.__name__}` | [`cli/{place.name}`]({_link(place)}) | {calls} |")
    return "\n".join(rows)


def called(module: ModuleType) -> set[str]:
    """The modules of other rooms from which that one imports functions, such as run/folder."""
    names = (name.removeprefix("mnist_ops.") for name in imported_names(parse(module.__name__), module.__name__)
             if name.startswith("mnist_ops.") and re.match("[a-z]", name.rpartition(".")[2]))
    return {place.replace(".", "/") for name in names if (place := name.rpartition(".")[0])
            and place.split(".")[0] not in EVERYWHERE}


def _stage(place: str) -> tuple[int, str]:
    return list(STAGES).index(place.split("/")[0]), place


SECTIONS = {"rooms": rooms, "commands": commands}


def main(arguments: list[str]) -> int:
    """Carry out the command line, see the top of this file; the exit code."""
    parser = argparse.ArgumentParser(description="Write the generated sections of docs/map.md.")
    parser.add_argument("--check", action="store_true", help="change nothing; exit code 1 if a section is stale")
    chosen = parser.parse_args(arguments)
    return renew(PAGE, SECTIONS, "python -m tools.map", check=chosen.check)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
