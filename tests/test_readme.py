"""README.md and the guides: generated sections are fresh, commands and Python run, links lead somewhere."""

import io
import json
import re
import shlex
import shutil
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open

from mnist_ops.arch.zoo import named_network
from mnist_ops.cli.main import app, main
from mnist_ops.cli.screen import Verdicts
from mnist_ops.cli.settings import Selection, configure
from mnist_ops.cli.wording import epoch_line, next_text, result_text, start_text
from mnist_ops.config import RECIPES
from mnist_ops.data.source import read
from mnist_ops.events import Started
from mnist_ops.run.folder import CONFIG, SUMMARY, read_json, write_json
from mnist_ops.run.named import find_run
from mnist_ops.run.trained import load_trained
from mnist_ops.score.statistics import wilson
from mnist_ops.score.verdict import judge
from tests.miniature import few_digits, few_tensors
from tests.small_networks import logits
from tools import readme

REPOSITORY = Path(__file__).resolve().parents[1]
# Every page that people read, by its place in the repository. The commands of the log and of old versions are history.
PAGES = {path.relative_to(REPOSITORY).as_posix(): path.read_text(encoding="utf-8")
         for path in sorted((*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/*.md")))}
CURRENT = [page for page in PAGES if page not in ("CHANGELOG.md", "docs/log.md")]
README = PAGES["README.md"]
# What makes a run short, in place of what the line says.
SHORT = {"--data": "digits", "--epochs": "1", "--lr": "0.1", "--validation": "100", "--threads": "1"}


def blocks(page: str, language: str) -> list[str]:
    """The content of all fenced blocks of a language that people wrote on that page."""
    return re.findall(rf"^```{language}\n(.*?)^```$", written(page), re.DOTALL | re.MULTILINE)


def written(page: str) -> str:
    """What people wrote on that page: all of it but the generated sections."""
    return readme.MARKED.sub("", PAGES[page])


def shell_lines(page: str, program: str) -> list[list[str]]:
    """The arguments of every line in the page's shell blocks that calls the program."""
    lines = [shlex.split(line, comments=True) for block in blocks(page, "sh") for line in block.splitlines()]
    return [words[1:] for words in lines if words[:1] == [program]]


def command_lines(program: str) -> list[list[str]]:
    """The same of all pages, and of what stands in their text, each once."""
    found = [line for page in CURRENT for line in shell_lines(page, program)]
    found += [shlex.split(line, comments=True)[1:] for page in CURRENT
              for line in re.findall(rf"`({program} [a-z].*?)`", written(page), re.DOTALL)]
    return [list(line) for line in dict.fromkeys(map(tuple, found))]


def shortened(arguments: list[str]) -> list[str]:
    """The same training with SHORT's options in place of its own, and without pictures."""
    own = [name for name in ("my-signs", "my-digits", "letters.npz", "train.csv") if name in arguments]
    options = {**SHORT, "--data": own[0], "--validation": "1"} if own else SHORT
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
    monkeypatch.setattr("mnist_ops.data.source.digits", lambda how: source)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_no_generated_section_is_stale(capsys):
    assert readme.main(["--check"]) == 0, capsys.readouterr().err


def test_a_stale_section_is_named_with_its_page_and_nothing_is_written(tmp_path, monkeypatch, capsys):
    page, fresh = tmp_path / "networks.md", PAGES["docs/networks.md"]
    stale = fresh.replace("Trainable parameters ", "Trainable parameters  ", 1)
    page.write_text(stale, encoding="utf-8")
    monkeypatch.setattr(readme, "PAGES", {str(page): readme.PAGES["docs/networks.md"]})
    assert readme.main(["--check"]) == 1
    assert "networks.md: the section 'network-default' is stale; run python tools/readme.py" in capsys.readouterr().err
    assert page.read_text(encoding="utf-8") == stale
    assert readme.main([]) == 0
    assert page.read_text(encoding="utf-8") == fresh


def test_what_the_package_says_of_the_records_is_what_they_say(tmp_path, monkeypatch, capsys):
    for name, one in json.loads(readme.PACKAGED.read_text()).items():
        record = json.loads((readme.RECORDS / f"{name}.json").read_text())
        assert one.pop("runs") == [run["test_accuracy"] for run in record["runs"]]
        assert one == {key: record.get(key, "pytorch") for key in one}
        assert record["epochs"] == RECIPES[name].epochs
    stale = tmp_path / "records.json"
    stale.write_text(readme.packaged().replace("99.", "98."))
    monkeypatch.setattr(readme, "PACKAGED", stale)
    assert readme.main(["--check"]) == 1
    assert "records.json: is not what the records say; run python tools/readme.py" in capsys.readouterr().err
    assert readme.main([]) == 0
    assert stale.read_text() == readme.packaged()


def test_a_section_that_is_lost_is_missed():
    with pytest.raises(SystemExit, match=r"own-data\.md: found sections marked drawn, folders, expected each once: "):
        readme.renewed(PAGES["docs/own-data.md"].replace("<!-- generated: datasets -->", ""),
                       readme.PAGES["docs/own-data.md"], Path("own-data.md"))


def test_a_record_becomes_a_row(tmp_path, monkeypatch):
    monkeypatch.setattr(readme, "RECORDS", tmp_path)
    (tmp_path / "default.json").write_text(
        '{"recipe": "default", "model": "seed", "parameters": 7758, "macs": 463840, "epochs": 12, '
        '"dataset": "mnist", "device": "cpu", "threads": 1, "torch": "2.13.0", "commit": "abc", '
        '"command": "mnist-ops sweep", "machine": "x86_64, 2 cores", '
        '"n": 3, "mean": 99.5, "sd": 0.1, "interval": [99.2516, 99.7484], "runs": ['
        '{"seed": 0, "test_accuracy": 99.4, "train_seconds": 90}, '
        '{"seed": 1, "test_accuracy": 99.5, "train_seconds": 9}, '
        '{"seed": 2, "test_accuracy": 99.6, "train_seconds": 80}]}', encoding="utf-8")
    text = readme.results()
    assert ("| `default` | 7,758 | 7,676 | 463,840 | 12 | **99.500 %** | 0.100 | 3 | 99.252 to 99.748 | 80 s | "
            "cpu (x86_64, 2 cores), 1 thread a run, PyTorch's steps, torch 2.13.0 |") in text  # median of 9, 80, 90
    assert "99.40, 99.50, 99.60" in text
    assert "| `default` | 7,758 | 7,676 | 12 | **99.50 %** | 0.10 | 80 s | the usual choice" in readme.results_short()


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
    accuracy = rows[-1]["test_accuracy"]
    seconds = re.search(r"11 epochs, (\S+) s of training", readme.LOG.read_text(encoding="utf-8"))
    assert seconds is not None
    summary = read_json(find_run("default").with_suffix(".json")) | {
        "reported_epoch": 11, "test_accuracy": accuracy, "interval": list(wilson(round(100 * accuracy), 10_000)),
        "dataset": "mnist", "test_images": 10_000, "parameters": 9688, "epochs": 11, "train_seconds": float(seconds[1])}
    monkeypatch.setattr("shutil.which", lambda name: name == "xdg-open")
    monkeypatch.setattr("sys.platform", "linux")
    for text in (start_text(started).splitlines()[-1], result_text(summary, rows, started),
                 next_text(started.path, started.path / "report.html", True, None)):
        assert f"\n{text}\n" in readme.LOG.read_text(encoding="utf-8")


def test_a_large_picture_is_packed_into_fewer_colours():
    grey = np.random.default_rng(0).integers(0, 256, (100, 100, 1), np.uint8)
    whole = io.BytesIO()
    Image.fromarray(np.repeat(grey, 3, axis=2)).save(whole, "PNG", compress_level=0)  # 30 KB; 10 KB as an index
    packed = io.BytesIO(readme.small_png(whole.getvalue(), 20_000))
    assert len(packed.getvalue()) <= 20_000
    assert np.array_equal(np.asarray(Image.open(packed).convert("L")), grey[:, :, 0])


def test_every_recipe_finds_its_rate_as_described():
    assert len({config.tune for config in RECIPES.values()}) == 1, "docs/learning-rate.md describes one way"


@pytest.mark.parametrize("arguments", command_lines("mnist-ops"), ids=shlex.join)
def test_a_command_line_is_understood(arguments):
    app.parse_args(arguments, exit_on_error=False, print_error=False)


def test_make_has_the_targets_that_are_named():
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    targets = {arguments[0] for arguments in command_lines("make")}
    assert {"train", "test"} <= targets
    assert {target for target in targets if not re.search(rf"^{target}:", makefile, re.MULTILINE)} == set()


@pytest.mark.parametrize("page", [page for page in CURRENT if blocks(page, "toml") and page != "docs/scaling.md"])
def test_a_configuration_is_accepted(page, tmp_path):
    for number, content in enumerate(blocks(page, "toml")):
        path = tmp_path / f"{number}.toml"
        path.write_text(content, encoding="utf-8")
        assert configure(None, Selection(config=path)) != RECIPES["default"]


def test_all_settings_are_those_of_the_default_recipe(tmp_path):
    everything = tmp_path / "all.toml"
    everything.write_text(readme.settings().removeprefix("```toml\n").removesuffix("```"), encoding="utf-8")
    assert configure(None, Selection(config=everything)) == RECIPES["default"]


def test_every_guide_begins_with_a_command():
    listed = README.split("## Guides\n\n")[1].split("\n\n")[0]
    guides = re.findall(r"^- \[[^]]+\]\((docs/[\w-]+\.md)\)", listed, re.MULTILINE)
    assert len(guides) > 5
    assert [page for page in guides if not re.match(r"# .+\n\n```sh\nmnist-ops ", PAGES[page])] == []


def runs_in_tests(arguments: list[str]) -> bool:
    """Whether a command is carried out: none that downloads, searches, resumes, draws, takes long or needs an extra."""
    return (arguments[0] in ("check", "data", "predict", "recipes", "score", "table", "train")
            and not {"--fetch", "--help", "--resume", "--show", "--tensorboard"} & {*arguments})


@pytest.mark.parametrize("page", [page for page in CURRENT if any(map(runs_in_tests, shell_lines(page, "mnist-ops")))])
def test_the_commands_of_a_page_run_one_after_the_other(page, few, capsys):
    """Trainings on a few of the digits, each once; the others as they stand."""
    (few / "my.toml").write_text(blocks("docs/configuration.md", "toml")[0], encoding="utf-8")
    (few / "my-net.toml").write_text(blocks("docs/networks.md", "toml")[0], encoding="utf-8")
    draw_pictures(few / "my-signs")
    write_digits(few)
    write_tables(few)
    trained = []
    for arguments in filter(runs_in_tests, shell_lines(page, "mnist-ops")):
        if arguments[0] == "train":
            arguments = shortened(arguments)
            if arguments in trained:
                continue
            trained.append(arguments)
        if arguments[0] == "check":
            assert main(arguments) == 1  # as it should: the digits are not MNIST
            assert "FAIL  dataset: digits, expected mnist" in capsys.readouterr().out
        else:
            assert main(arguments) == 0, capsys.readouterr().err


def draw_pictures(folder: Path) -> None:
    """Two classes of five pictures each, 20x30."""
    for name, value in (("stop", 60), ("give-way", 200)):
        (folder / name).mkdir(parents=True)
        for number in range(5):
            Image.fromarray(np.full((20, 30), value + number, np.uint8)).save(folder / name / f"{number}.png")


def write_tables(folder: Path) -> None:
    """Digits as arrays in letters.npz, and as rows of pixels in train.csv and test.csv."""
    digits = few_digits(100, 10).train
    rows = digits.images.reshape(len(digits.images), -1)
    np.savetxt(folder / "train.csv", np.column_stack([digits.labels, rows]), "%d", ",")
    np.savetxt(folder / "test.csv", rows[:9], "%d", ",")
    np.savez(folder / "letters.npz", images=digits.images, labels=digits.labels)


def write_digits(folder: Path) -> None:
    """Pictures of digits, as photo.jpg, drawing.png and in a folder my-digits with a subfolder per class."""
    digits = few_digits(100, 10).train
    for number in (place for label in range(3) for place in np.flatnonzero(digits.labels == label)[:3]):
        file = folder / "my-digits" / str(digits.labels[number]) / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(255 - digits.images[number]).resize((140, 140)).save(file)
    for name in ("photo.jpg", "drawing.png"):
        Image.open(file).save(folder / name)


def test_the_python_runs(few, capsys):
    [code] = blocks("README.md", "python")
    names: dict[str, object] = {}
    exec(code, names)
    assert getattr(names["probabilities"], "shape", None) == (5, 10)
    assert len(capsys.readouterr().out.splitlines()) == 2


@pytest.mark.filterwarnings("ignore:only .* training steps")
def test_code_of_your_own_runs_as_described(few):
    [code] = blocks("docs/networks.md", "python")
    exec(code, {"__name__": "__main__"})
    assert read_json(few / "runs" / "mine" / CONFIG)["code"] == {
        "network": "__main__.Net", "augment": "__main__.noise", "optimizer": "__main__.adam"}


def test_the_weights_load_without_this_package_as_described(tmp_path, monkeypatch):
    [code] = [block for block in blocks("docs/export.md", "python") if "safe_open" in block]
    shutil.copyfile(find_run("default"), tmp_path / "model.safetensors")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(code, names)
    assert "mnist_ops" not in code.replace('["mnist_ops"]', "")
    pixels, one = read("digits").test.images[:50], load_trained(tmp_path)
    found = names["logits"](torch.from_numpy(pixels)[:, None]).detach().numpy()
    np.testing.assert_allclose(found, logits(one, pixels), rtol=1e-4, atol=1e-4)
    with safe_open(tmp_path / "model.safetensors", "pt") as file:
        assert file.metadata()["format"] == "pt"


def test_every_link_leads_somewhere():
    lost = []
    links = [(page, target) for page in PAGES
             for target in re.findall(r"(?:\]\(|<img src=\")([^)\s\"]+)[)\"]", unfenced(page))]
    for page, target in links:
        if not target.startswith(("http", "../../actions/")):  # the badge's are of the site that shows this file
            place, _, anchor = target.partition("#")
            file = (REPOSITORY / page).parent / place if place else REPOSITORY / page
            name = file.resolve().relative_to(REPOSITORY).as_posix()
            if not file.exists() or (anchor and anchor not in anchors(name)):
                lost.append(f"{page}: {target}")
    assert lost == []


def anchors(page: str) -> set[str]:
    """What a link may name after #: the headings in lower case, spaces as hyphens, without other signs."""
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-")
            for head in re.findall(r"^#+ (.*)$", unfenced(page), re.MULTILINE)}


def unfenced(page: str) -> str:
    return re.sub(r"^```.*?^```$", "", PAGES[page], flags=re.DOTALL | re.MULTILINE)


def test_every_page_is_linked_from_readme():
    assert [page for page in PAGES if page != "README.md" and f"]({page})" not in README] == []


def test_readme_is_short_enough_to_be_read():
    assert len(README.splitlines()) <= 200
    assert len(README.encode()) <= 12_000


def test_every_tool_that_is_named_is_there():
    named = {name for page in CURRENT
             for name in re.findall(r"\bpython (?:-m )?((?:tools|benchmarks)[./]\w+)", PAGES[page])}
    assert {name for name in named if not (REPOSITORY / f"{name.replace('.', '/')}.py").exists()} == set()


def test_the_first_picture_is_small():
    picture = REPOSITORY / re.findall(r'<img src="(.*?)"', README)[0]
    assert picture.stat().st_size <= 120_000


def test_the_pictures_and_the_log_of_a_real_run_are_shown():
    for name in readme.TAKEN:
        picture = readme.PICTURES / name
        assert picture.exists(), "train, then python tools/readme.py --run RUN"
        assert picture.stat().st_size <= readme.MOST_BYTES
    assert "mnist: 60,000 training, 10,000 test images" in readme.log()


def test_the_badge_is_that_of_the_workflow_here():
    # Relative, so that it is the badge of whichever repository shows this file.
    [workflow] = re.findall(r"\(\.\./\.\./actions/workflows/([\w.-]+)/badge\.svg\)", README)
    assert f"](../../actions/workflows/{workflow})" in README
    assert (REPOSITORY / ".github" / "workflows" / workflow).exists()


def test_a_perfect_readers_score_follows_from_the_disputed_labels():
    text = PAGES["docs/records.md"]
    [listed] = re.findall(r"^```text\n([\d ]+)\n```$", text, re.MULTILINE)
    indices = [int(index) for index in listed.split()]
    assert indices == sorted(set(indices))
    assert f"{len(indices)} of its 10,000 images" in text
    assert f"about {100 - len(indices) / 100:g} %" in text


def test_package_metadata_names_readme_and_the_newest_version_of_the_changelog():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["readme"] == "README.md"
    assert re.findall(r"^## (.+)$", PAGES["CHANGELOG.md"], re.MULTILINE)[0] == project["version"]
    oldest = project["requires-python"].removeprefix(">=")
    assert f"Python {oldest} or newer" in README
