"""docs/map.md: it names every room, module and command, and is fresh; what it says to touch is there."""

import re

import pytest

from mnist_ops.cli.main import COMMANDS
from tests.test_structure import MODULES, SOURCE
from tools import map as code_map
from tools.readme import MARKED

TEXT = code_map.PAGE.read_text(encoding="utf-8")


def test_no_generated_section_is_stale(capsys):
    assert code_map.main(["--check"]) == 0, capsys.readouterr().err


def test_every_module_and_every_command_is_on_the_map():
    rooms, commands = code_map.rooms(), code_map.commands()
    links = {module: path.parent if path.name == "__init__.py" and path.parent.parent != SOURCE else path
             for module, path in MODULES.items()}
    assert [module for module, path in links.items() if f"](../{path.relative_to(SOURCE.parent)})" not in rooms] == []
    assert [name for command in COMMANDS if f"| `{(name := command.__name__)}` |" not in commands] == []


def test_a_room_without_a_sentence_is_refused(tmp_path):
    empty = tmp_path / "__init__.py"
    empty.write_text("")
    with pytest.raises(SystemExit, match=r"__init__\.py: has no docstring, expected one that says what it is"):
        code_map.sentence(empty)


def test_a_command_is_placed_by_the_functions_that_it_calls():
    from mnist_ops.cli import check

    assert code_map.called(check) == {"run/folder", "run/summary"}


@pytest.mark.parametrize("thing", ["A dataset known by name", "A kind of layer", "A network or a recipe",
                                   "An optimiser", "An export format", "A command", "A setting",
                                   "A picture in the report"])
def test_to_add_something_says_which_files_to_touch(thing):
    section = TEXT.split(f"### {thing}\n")[1].split("\n#")[0]
    assert section.count("](../") >= 3


def test_what_is_named_beside_a_file_stands_in_it():
    lost, seen = [], 0
    for item in re.split(r"\n(?=\d+\. |\| )|\n\n", MARKED.sub("", TEXT)):
        linked = [code_map.PAGE.parent / link for link in re.findall(r"\]\((\.\./[^)]+)\)", item)]
        names = re.findall(r"(?<!\[)`(\w+)`", item)
        seen += len(names)
        if texts := [path.read_text(encoding="utf-8") for path in linked if path.is_file()]:
            lost += [name for name in names if not any(re.search(rf"\b{name}\b", text) for text in texts)]
    assert (lost, seen > 8) == ([], True)
