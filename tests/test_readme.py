"""README.md: its generated sections are fresh, its commands and its Python run, what it links to is there."""

import io
import re
import shlex
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mnist_ops.arch.zoo import named_network
from mnist_ops.cli.main import app, main
from mnist_ops.cli.screen import Verdicts
from mnist_ops.cli.settings import Selection, configure
from mnist_ops.cli.wording import epoch_line, next_text, result_text, start_text
from mnist_ops.config import RECIPES
from mnist_ops.events import Started
from mnist_ops.run.folder import SUMMARY, read_json, write_json
from mnist_ops.run.named import find_run
from mnist_ops.score.verdict import judge
from tests.miniature import few_digits, few_tensors
from tools import readme

REPOSITORY = Path(__file__).resolve().parents[1]
TEXT = (REPOSITORY / "README.md").read_text(encoding="utf-8")
# What makes a run short, in place of what the line says.
SHORT = {"--data": "digits", "--epochs": "1", "--lr": "0.1", "--validation": "100", "--threads": "1"}


def blocks(language: str) -> list[str]:
    """The content of all fenced blocks of a language that people wrote."""
    written = readme.MARKED.sub("", TEXT)
    return re.findall(rf"^```{language}\n(.*?)^```$", written, re.DOTALL | re.MULTILINE)


def command_lines(program: str) -> list[list[str]]:
    """The arguments of every line in the shell blocks, and in the text, that calls the program."""
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    lines += re.findall(rf"`({program} [a-z].*?)`", TEXT, re.DOTALL)
    return [words[1:] for line in lines if (words := shlex.split(line, comments=True)) and words[0] == program]


def shortened(arguments: list[str]) -> list[str]:
    """The same training with SHORT's options in place of its own, and without pictures."""
    options = SHORT if "my-signs" not in arguments else {**SHORT, "--data": "my-signs", "--validation": "1"}
    kept = list(arguments)
    for option in options:
        if option in kept:
            place = kept.index(option)
            del kept[place:place + 2]
    return [*kept, *(text for pair in options.items() for text in pair), "--no-report"]


@pytest.fixture
def few(monkeypatch, tmp_path):
    """An empty folder to work in, where the embedded digits are few."""
    source = few_digits(256, 100)
    monkeypatch.setattr("mnist_ops.data.source._read_digits", lambda how: source)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_no_generated_section_is_stale(capsys):
    assert readme.main(["--check"]) == 0, capsys.readouterr().err


def test_a_stale_section_is_named_and_nothing_is_written(tmp_path, monkeypatch, capsys):
    stale = TEXT.replace("Trainable parameters ", "Trainable parameters  ", 1)
    monkeypatch.setattr(readme, "README", tmp_path / "README.md")
    readme.README.write_text(stale, encoding="utf-8")
    assert readme.main(["--check"]) == 1
    assert "'network-default' is stale; run python tools/readme.py" in capsys.readouterr().err
    assert readme.README.read_text(encoding="utf-8") == stale
    assert readme.main([]) == 0
    assert readme.README.read_text(encoding="utf-8") == TEXT


def test_a_section_that_is_lost_is_missed():
    with pytest.raises(SystemExit, match=r"found sections marked.*expected each once: .*datasets"):
        readme.renewed(TEXT.replace("<!-- generated: datasets -->", ""))


def test_a_record_becomes_a_row(tmp_path, monkeypatch):
    monkeypatch.setattr(readme, "RECORDS", tmp_path)
    (tmp_path / "default.json").write_text(
        '{"recipe": "default", "parameters": 7568, "macs": 463840, "epochs": 12, "dataset": "mnist", "device": "cpu", '
        '"threads": 1, "torch": "2.13.0", "commit": "abc", "command": "mnist-ops sweep", "machine": "x86_64, 2 cores", '
        '"n": 3, "mean": 99.5, "sd": 0.1, "interval": [99.2516, 99.7484], "runs": ['
        '{"seed": 0, "test_accuracy": 99.4, "train_seconds": 90}, '
        '{"seed": 1, "test_accuracy": 99.5, "train_seconds": 9}, '
        '{"seed": 2, "test_accuracy": 99.6, "train_seconds": 80}]}', encoding="utf-8")
    text = readme.results()
    assert ("| `default` | 7,568 | 463,840 | 12 | **99.500 %** | 0.100 | 3 | 99.252 to 99.748 | 80 s | "
            "cpu (x86_64, 2 cores), 1 thread a run, torch 2.13.0 |") in text  # the median of 9, 80, 90 is 80
    assert "99.40, 99.50, 99.60" in text


def test_the_log_is_what_a_run_printed(tmp_path, monkeypatch):
    monkeypatch.setattr(readme, "LOG", tmp_path / "log.txt")
    readme.LOG.write_text("Recipe default, model x\nepoch 1/1  \n", encoding="utf-8")
    assert "```text\nRecipe default, model x\nepoch 1/1\n```" in readme.log()
    readme.LOG.write_text("Layer  Output\nRecipe default\n", encoding="utf-8")
    with pytest.raises(SystemExit, match="does not begin with 'Recipe '; expected the printed output"):
        readme.log()


def test_pictures_are_taken_from_the_run_that_the_log_is_of(tmp_path, monkeypatch):
    run, pictures = tmp_path / "run", tmp_path / "pictures"
    run.mkdir()
    monkeypatch.setattr(readme, "PICTURES", pictures)
    monkeypatch.setattr(readme, "LOG", tmp_path / "log.txt")
    for name in readme.TAKEN:
        (run / name).write_bytes(name.encode())
    said = read_json(find_run("default").with_suffix(".json")) | {"test_accuracy": 99.5}
    write_json(run / SUMMARY, said | {"dataset": "digits"})
    with pytest.raises(SystemExit, match="trained on digits, expected mnist"):
        readme.take_pictures(run)
    write_json(run / SUMMARY, said)
    readme.LOG.write_text("Result (epoch 12): 99.40 % test accuracy", encoding="utf-8")
    with pytest.raises(SystemExit, match=r"log\.txt: does not say '99\.50 % test accuracy'.*put there what that run"):
        readme.take_pictures(run)
    assert not pictures.exists()
    readme.LOG.write_text("Result (epoch 12): 99.50 % test accuracy", encoding="utf-8")
    readme.take_pictures(run)
    assert {path.name: path.read_text() for path in pictures.iterdir()} == {name: name for name in readme.TAKEN}


def test_the_log_has_the_form_in_which_a_run_prints_today(monkeypatch):
    verdicts, rows = Verdicts(), []
    for line in readme.LOG.read_text(encoding="utf-8").splitlines():
        if found := re.fullmatch(r"epoch +(\d+)/11  train loss (\S+) accuracy (\S+) %  test loss (\S+) accuracy (\S+) %"
                                 r"  lr (\S+)  (\S+) s(  .+)?", line):
            names = ("train_loss", "train_accuracy", "test_loss", "test_accuracy", "last_lr", "seconds")
            row = dict(zip(names, map(float, found.groups()[1:7]), strict=True)) | {"epoch": int(found[1])}
            rows.append(row)
            verdict = judge(rows, replace(RECIPES["default"], target=99.4))
            assert epoch_line(row, 11, verdicts.news(verdict)) == line
    assert len(rows) == RECIPES["default"].epochs
    started = Started(replace(RECIPES["default"], target=99.4), Path("runs/readme"), few_tensors(),
                      named_network("early-pool-wide"), 0)
    summary = read_json(find_run("default").with_suffix(".json")) | {
        "reported_epoch": 11, "test_accuracy": 99.58, "interval": [99.43, 99.69], "dataset": "mnist",
        "test_images": 10000, "parameters": 9688, "epochs": 11, "train_seconds": 112.2}
    monkeypatch.setattr("shutil.which", lambda name: name == "xdg-open")
    monkeypatch.setattr("sys.platform", "linux")
    for text in (start_text(started).splitlines()[-1], result_text(summary, rows, started),
                 next_text(started.path, started.path / "report.html", tuple("0123456789"), None)):
        assert f"\n{text}\n" in readme.LOG.read_text(encoding="utf-8")


def test_a_large_picture_is_packed_into_fewer_colours(monkeypatch):
    grey = np.random.default_rng(0).integers(0, 256, (100, 100, 1), np.uint8)
    whole = io.BytesIO()
    Image.fromarray(np.repeat(grey, 3, axis=2)).save(whole, "PNG", compress_level=0)  # 30 KB; 10 KB as an index
    monkeypatch.setattr(readme, "MOST_BYTES", 20_000)
    packed = io.BytesIO(readme.small_png(whole.getvalue()))
    assert len(packed.getvalue()) <= 20_000
    assert np.array_equal(np.asarray(Image.open(packed).convert("L")), grey[:, :, 0])


def test_every_recipe_finds_its_rate_as_described():
    assert len({config.tune for config in RECIPES.values()}) == 1, "README.md describes one way"


@pytest.mark.parametrize("arguments", command_lines("mnist-ops"), ids=shlex.join)
def test_a_command_line_is_understood(arguments):
    app.parse_args(arguments, exit_on_error=False, print_error=False)


def test_make_has_the_targets_that_are_named():
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    targets = {arguments[0] for arguments in command_lines("make")}
    assert {"train", "test"} <= targets
    assert {target for target in targets if not re.search(rf"^{target}:", makefile, re.MULTILINE)} == set()


def test_the_configuration_is_accepted(tmp_path):
    path = tmp_path / "my.toml"
    path.write_text(blocks("toml")[0], encoding="utf-8")
    assert configure(None, Selection(config=path)).augment.degrees == 15.0
    everything = tmp_path / "all.toml"
    everything.write_text(readme.settings().removeprefix("```toml\n").removesuffix("```"), encoding="utf-8")
    assert configure(None, Selection(config=everything)) == RECIPES["default"]


def test_the_commands_run_one_after_the_other(few, capsys):
    """Trainings on a few of the digits; the others as they stand, but for those that download, search or resume."""
    (few / "my.toml").write_text(blocks("toml")[0], encoding="utf-8")
    draw_pictures(few / "my-signs")
    for arguments in command_lines("mnist-ops"):
        command = arguments[0]
        if command == "train" and "--resume" not in arguments:
            assert main(shortened(arguments)) == 0, capsys.readouterr().err
        elif command in ("score", "table") or arguments == ["data"]:
            assert main(arguments) == 0, capsys.readouterr().err
        elif command == "check":
            assert main(arguments) == 1  # as it should: the digits are not MNIST
            assert "FAIL  dataset: digits, expected mnist" in capsys.readouterr().out
    assert {"first", "default-0", "again"} <= {path.name for path in (few / "runs").iterdir()}


def draw_pictures(folder: Path) -> None:
    """Two classes of five pictures each, 20x30."""
    for name, value in (("stop", 60), ("give-way", 200)):
        (folder / name).mkdir(parents=True)
        for number in range(5):
            Image.fromarray(np.full((20, 30), value + number, np.uint8)).save(folder / name / f"{number}.png")


def test_the_python_runs(few, capsys):
    [code] = blocks("python")
    names: dict[str, object] = {}
    with pytest.warns(UserWarning, match="too few to learn much"):  # of the few images that the test leaves
        exec(code, names)
    assert getattr(names["probabilities"], "shape", None) == (5, 10)
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_every_link_leads_somewhere():
    targets = re.findall(r"\]\(([^)]+)\)", TEXT)
    files = {target for target in targets if not target.startswith(("http", "#", "../../actions/"))}
    assert {target for target in files if not (REPOSITORY / target).exists()} == set()
    heads = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```$", "", TEXT, flags=re.DOTALL | re.MULTILINE), re.MULTILINE)
    anchors = {"#" + re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}
    assert {target for target in targets if target.startswith("#")} <= anchors


def test_the_pictures_and_the_log_of_a_real_run_are_shown():
    for name in readme.TAKEN:
        picture = readme.PICTURES / name
        assert picture.exists(), "train, then python tools/readme.py --run RUN"
        assert picture.stat().st_size <= readme.MOST_BYTES
    assert "mnist: 60,000 images to train on" in readme.log()


def test_the_badge_is_that_of_the_workflow_here():
    # Relative, so that it is the badge of whichever repository shows this file.
    [workflow] = re.findall(r"\(\.\./\.\./actions/workflows/([\w.-]+)/badge\.svg\)", TEXT)
    assert f"](../../actions/workflows/{workflow})" in TEXT
    assert (REPOSITORY / ".github" / "workflows" / workflow).exists()


def test_a_perfect_readers_score_follows_from_the_disputed_labels():
    [listed] = re.findall(r"^```text\n([\d ]+)\n```$", TEXT, re.MULTILINE)
    indices = [int(text) for text in listed.split()]
    assert indices == sorted(set(indices))
    assert f"{len(indices)} of its 10,000 images" in TEXT
    assert f"about {100 - len(indices) / 100:g} %" in TEXT


def test_package_metadata_names_this_file():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["readme"] == "README.md"
    oldest = project["requires-python"].removeprefix(">=")
    assert f"Python {oldest} or newer" in TEXT
