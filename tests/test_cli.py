"""The commands as a user meets them: what they print where, what they write, and how they end."""

import contextlib
import dataclasses
import json
import re
import resource
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from mnist_ops import cli
from mnist_ops.arch.zoo import MODELS
from mnist_ops.cli.main import COMMANDS, main
from mnist_ops.cli.recipes import packaged_records
from mnist_ops.cli.settings import completed
from mnist_ops.config import PURPOSES, RECIPES
from mnist_ops.data.catalog import CATALOG
from mnist_ops.errors import UsageError
from mnist_ops.run.folder import FORMAT
from mnist_ops.score.statistics import wilson
from tests.datasets import MNIST, PACKED, lay
from tests.server import content, serving, status

QUICK = """
data = "digits"
device = "cpu"
threads = 1
batch_size = 32
[tune]
steps = 60
sweeps = 1
"""


@pytest.fixture
def quick(tmp_path: Path) -> Path:
    """A configuration whose rate search and epochs take a fraction of a second."""
    path = tmp_path / "quick.toml"
    path.write_text(QUICK)
    return path


def command(*words: object, code: str = "") -> list[str]:
    """The command line of a process that runs `code` and then mnist-ops with these words."""
    program = f"import sys\n{code}\nfrom mnist_ops.cli.main import main\nsys.exit(main())"
    return [sys.executable, "-c", program, *map(str, words)]


def test_the_story_of_a_run(tmp_path, quick, capfd, monkeypatch):
    run = tmp_path / "run"
    done = subprocess.run(command("train", "--config", quick, "--epochs", 2, "--no-report", "--out", run),
                          capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Recipe default, model early-pool-wide, seed 0, run folder ")
    assert "Receptive field" not in done.stdout  # which `mnist-ops table` shows
    number = r"\d+\.\d+"
    line = (rf"epoch (\d)/2  train loss {number} accuracy {number} %  test loss {number} accuracy {number} %  "
            rf"lr \S+  {number} s  saved: .+")
    assert re.findall(rf"^{line}$", done.stdout, re.MULTILINE) == ["1", "2"]
    assert "\r" not in done.stdout
    assert "\x1b" not in done.stdout
    summary = json.loads((run / "summary.json").read_text())
    assert f"{summary['test_accuracy']:.2f} % test accuracy, 95 % interval" in done.stdout

    following = dict(re.findall(r"^  (make|draw|read) .*?  (mnist-ops .*)$", done.stdout, re.MULTILINE))
    assert following["make"] == f"mnist-ops report {run}"
    assert main([*shlex.split(following["draw"])[1:], "--no-open"]) == 0
    monkeypatch.chdir(tmp_path)
    picture = Image.new("L", (60, 60), 255)
    ImageDraw.Draw(picture).line([(30, 10), (30, 50)], fill=0, width=5)
    picture.save("my-digit.png")
    assert main(shlex.split(following["read"])[1:]) == 0
    assert re.search(rf"file://{run}/demo\.html\nmy-digit\.png  \d  ", capfd.readouterr().out)

    assert main(["score", str(run), "--json"]) == 0
    scored = json.loads(capfd.readouterr().out)
    assert {name: scored[name] for name in ("test_accuracy", "interval", "test_images", "dataset")} == {
        name: summary[name] for name in ("test_accuracy", "interval", "test_images", "dataset")}

    reached = ["check", str(run), "--data", "digits", "--accuracy", str(summary["test_accuracy"]),
               "--parameters", str(summary["parameters"] + 1)]
    assert main([*reached, "--epochs", "3"]) == 0
    assert capfd.readouterr().out.count("ok  ") == 4
    assert main([*reached, "--epochs", "2"]) == 1  # fewer than 2 was asked for
    assert re.findall("FAIL  (.+)", capfd.readouterr().out) == ["epochs: 2, expected fewer than 2"]
    assert main(["check", str(run)]) == 1  # digits are not MNIST
    assert "FAIL  dataset: digits, expected mnist" in capfd.readouterr().out

    again = ["train", "--config", str(quick), "--epochs", "2", "--out", str(run)]
    assert main(again) == 2
    assert "already exists; continue it with --resume" in capfd.readouterr().err
    assert main([*again, "--resume"]) == 1
    finished = capfd.readouterr().err
    assert "this run has finished all 2 epochs" in finished
    assert "another run from its weights: mnist-ops train --from" in finished
    assert main([*again, "--resume", "--seed", "5"]) == 2
    assert "seed: 0 there, 5 requested" in capfd.readouterr().err


def test_ctrl_c_leaves_a_whole_folder_and_says_how_to_go_on(tmp_path, quick, capfd):
    run = tmp_path / "a run"
    # A process that was started in the background may have been told to ignore Ctrl-C.
    listening = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    words = command("train", "--config", quick, "--epochs", 4, "--lr", 0.05, "--out", run, code=listening)
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        with contextlib.suppress(StopIteration):
            while not next(process.stdout).startswith("epoch 1/4"):
                pass
        process.send_signal(signal.SIGINT)
        text = process.stderr.read()
    assert process.returncode == 130
    assert re.search(r"a run is intact, with [1-4] finished epochs?\. Continue with\n  mnist-ops train", text)
    assert "Traceback" not in text

    assert main(shlex.split(text.splitlines()[-1])[1:]) == 0
    told = capfd.readouterr().out
    assert "Resuming after epoch" in told
    assert "epoch 4/4" in told
    assert "Pictures" in told
    assert [json.loads(line)["epoch"] for line in (run / "history.jsonl").read_text().splitlines()] == [1, 2, 3, 4]
    assert {path.name for path in run.glob("*.png")} >= {"curves.png"}


def test_json_is_exactly_one_object(tmp_path, quick, capfd):
    run = tmp_path / "run"
    assert main(["train", "--config", str(quick), "--epochs", "2", "--lr", "0.05", "--validation", "400", "--no-report",
                 "--out", str(run), "--json"]) == 0
    out, err = capfd.readouterr()
    assert err == ""
    assert json.loads(out) == {"run": str(run), **json.loads((run / "summary.json").read_text())}
    assert main(["table", "seed", "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["totals"]["parameters"] == 7758


def test_tune_shows_its_suggestions_and_writes_them(tmp_path, quick, capfd):
    out = tmp_path / "rates"
    assert main(["tune", "--config", str(quick), "--out", str(out)]) == 0
    told = capfd.readouterr().out
    assert re.findall(r"^(steepest|valley|minimum/10) +[\d.e-]+ +[\d.]+(  used)?$", told, re.MULTILINE) == [
        ("steepest", "  used"), ("valley", ""), ("minimum/10", "")]
    written = json.loads((out / "lr.json").read_text())
    assert f"Peak learning rate {written['lr']:.4g}" in told
    assert (out / "lr.png").read_bytes().startswith(b"\x89PNG")
    assert main(["tune", "--config", str(quick), "--out", str(out)]) == 2
    assert f"{out}: already exists" in capfd.readouterr().err


def test_a_run_config_gives_the_same_run_again(tmp_path, quick, capfd):
    first, second = tmp_path / "first", tmp_path / "second"
    assert main(["train", "seed", "--config", str(quick), "--epochs", "1", "--lr", "0.05", "--no-report",
                 "--out", str(first)]) == 0
    assert main(["train", "--config", str(first / "config.json"), "--no-report", "--out", str(second)]) == 0
    assert (first / "model.safetensors").read_bytes() == (second / "model.safetensors").read_bytes()
    assert main(["train", "default", "--config", str(first / "config.json"), "--out", str(tmp_path / "third")]) == 2
    assert "config.json: recipe 'seed', but 'default' on the command line" in capfd.readouterr().err


@pytest.mark.parametrize(("name", "text", "message"), [
    ("a.toml", "epoch = 3", r"a\.toml: epoch: unknown field; did you mean epochs\?"),
    ("a.toml", "epochs = 1.5", r"a\.toml: epochs: found 1\.5, expected an integer from 1"),
    ("a.toml", "[schedule]\nname = 'linear'", r"a\.toml: schedule: name: found 'linear', expected 'one-cycle'"),
    ("a.toml", 'model = "tiny"', r"a\.toml: model: 'tiny' is a recipe; its network is 'blocks:6-12p2d-16d-16dr"),
    ("a.toml", "epochs = 3\nlr = fast", r"a\.toml: not TOML: .*line 2"),
    ("a.toml", "recipe = 'defalt'", r"a\.toml: unknown recipe 'defalt'; did you mean default\?"),
    ("a.toml", "recipe = 3", r"a\.toml: recipe: found 3, expected a string"),
    ("a.json", '{"format": 99}', r"a\.json: format 99, expected 2"),
    ("a.json", "[1]", r"a\.json: found \[1\], expected an object"),
    ("a.json", '{"lr": NaN}', r"a\.json: lr: found nan, expected 'auto' or a number"),
    ("a.json", "\xff", r"a\.json: byte 0 is not UTF-8"),
    ("a.yaml", "epochs: 3", r"a\.yaml: expected a \.toml file"),
    ("a.toml", None, r"a\.toml: cannot be read \(No such file"),
])
def test_a_wrong_configuration_is_named_with_its_file_and_field(tmp_path, capsys, name, text, message):
    path = tmp_path / name
    if text is not None:
        path.write_bytes(text.encode("latin-1"))
    assert main(["train", "--config", str(path)]) == 2
    assert re.search(message, capsys.readouterr().err)


@pytest.mark.parametrize(("words", "message"), [
    ("train --epochs -1", "command line: epochs: found -1, expected an integer from 1"),
    ("train --batch-size 1.5", "--batch-size: found '1.5', expected an integer"),
    ("train --lr fast", 'Invalid value for --lr: unable to convert "fast"'),
    ("train --lr nan", "command line: lr: found nan, expected 'auto' or a number"),
    ("train --device tpu", 'Invalid value "tpu" for --device'),
    ("train --epoch 3", "Did you mean --epochs?"),
    ("train sede", "unknown recipe 'sede'; did you mean seed?"),
    ("train --data digist", "--data digist: unknown dataset or folder; did you mean digits?"),
    ("trian", 'Unknown command "trian". Did you mean "train"?'),
    ("table sede", "'sede' is not a network or recipe; did you mean seed?"),
    ("train separable", "'separable' is a network; use a recipe that trains it: best or quick"),
    ("sweep", "sweep: expected --seeds N, or --search SPACE.toml"),
    ("help trian", "'trian' is not a command; did you mean train?"),
    ("predict nothere.png", "nothere.png: expected a run folder or default as the first argument; did you mean\n"
                            "  mnist-ops predict default nothere.png\n"),
    ("predict a.jpg b.tif", "\n  mnist-ops predict default a.jpg b.tif\n"),
    ("predict default", "no pictures given; expected picture files or folders of them, such as\n"
                        "  mnist-ops predict default my-digit.png\n"),
    ("table --classes 0", "0 classes: Conv.channels is 0, expected an integer from 1"),
    ("data mnits", "unknown dataset 'mnits'; did you mean mnist or kmnist?, or the path of a folder or file"),
    ("check", "parameter RUN requires an argument"),
])
def test_wrong_use_ends_in_one_message_and_code_2(capsys, words, message):
    assert main(words.split()) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("mnist-ops: error: ")
    assert message in err


@pytest.mark.parametrize("words", ["score", "check"])
def test_a_folder_without_a_run_is_refused(tmp_path, capsys, words):
    assert main([words, str(tmp_path)]) == 1
    assert "does not exist; expected a run folder written by mnist-ops train" in capsys.readouterr().err


@pytest.mark.parametrize("found", [{}, {"test_accuracy": "99.9"}, {"test_accuracy": True}, {"test_accuracy": 1e9},
                                   {"parameters": None}, {"parameters": -5},
                                   {"parameters": True}, {"epochs": []}, {"epochs": 0}])
def test_check_is_not_fooled_by_what_is_missing_or_senseless(tmp_path, capsys, found):
    whole = {"format": FORMAT, "dataset": "mnist", "recipe": "seed", "test_accuracy": 99.5, "parameters": 7000,
             "epochs": 12, "macs": 1, "test_images": 200, "seed": 0, "train_seconds": 1.0, "peak_lr": 0.1,
             "interval": [*wilson(199, 200)]}
    words = ["check", str(tmp_path), "--accuracy", "99.4", "--parameters", "10000", "--epochs", "20", "--json"]
    (tmp_path / "summary.json").write_text(json.dumps(whole))
    assert main(words) == 0
    damaged = whole | found if found else {"format": FORMAT}
    (tmp_path / "summary.json").write_text(json.dumps(damaged))
    assert main(words) == 1
    passed, failed = map(json.loads, re.findall(r"^\{.*?^\}", capsys.readouterr().out, re.MULTILINE | re.DOTALL))
    assert (passed["passed"], failed["passed"]) == (True, False)
    names = {"dataset", "test_accuracy", "parameters", "epochs"}
    assert {one["name"] for one in failed["conditions"] if not one["passed"]} == set(found or names)


def test_data_says_what_is_whole_damaged_and_missing(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(CATALOG, "mnist", MNIST)
    assert main(["data", "--json", "--data-dir", str(lay(tmp_path))]) == 0
    found = {one["name"]: one for one in json.loads(capsys.readouterr().out)["datasets"]}
    assert {name: one["whole"] for name, one in found.items()} == {
        "mnist": True, "fashion-mnist": False, "kmnist": False, "emnist-letters": False, "emnist-balanced": False,
        "emnist-digits": False, "digits": True}
    victim = tmp_path / MNIST.folder / "t10k-labels-idx1-ubyte.gz"
    victim.write_bytes(victim.read_bytes()[:-9])
    assert main(["data", "mnist", "--data-dir", str(tmp_path)]) == 1
    said = capsys.readouterr().out
    assert re.search(r"damaged: .*\n?.*t10k-labels", said)
    assert "Looked in" not in said
    victim.unlink()
    assert main(["data", "mnist", "--data-dir", str(tmp_path)]) == 0
    assert f"Looked in:\n  {tmp_path / MNIST.folder}: lacks t10k-labels-idx1-ubyte\n" in capsys.readouterr().out


def test_data_fetches_what_is_missing_and_fails_where_it_cannot(tmp_path, monkeypatch, capsys):
    with serving() as server:
        monkeypatch.setitem(CATALOG, "mnist", dataclasses.replace(MNIST, bases=(server.url(),)))
        server.routes = {f"/{name}.gz": content(packed) for name, packed in PACKED.items()}
        assert main(["data", "mnist", "--fetch", "--data-dir", str(tmp_path)]) == 0
        out, err = capsys.readouterr()
        assert out.count("original: ") == 4
        assert err.count("downloading") == 4
        server.routes = {f"/{name}.gz": status(404) for name in PACKED}
        assert main(["data", "mnist", "--fetch", "--data-dir", str(tmp_path / "other")]) == 1
        assert "answered 404" in capsys.readouterr().err


def test_help_and_table_come_at_once_and_without_torch():
    words = ("import sys; from mnist_ops.cli.main import main; main(['table']); main(['train', '--help']); "
             "main(['--help']); assert not {'torch', 'numpy', 'matplotlib'} & set(sys.modules)")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert (done.returncode, done.stderr) == (0, "")
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1.0  # 0.4 for one, on a quiet core
    for name in ("train", "tune", "table", "score", "check", "sweep", "data", "--version"):
        assert re.search(rf"^\W*{name} ", done.stdout, re.MULTILINE)


def test_a_reader_who_leaves_ends_the_command_quietly():
    reader = subprocess.Popen(command("data", "digits"), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert reader.stdout is not None
    reader.stdout.close()
    assert reader.stderr is not None
    assert reader.stderr.read() == b""
    assert reader.wait() == 141
    reader.stderr.close()


@pytest.mark.parametrize("words", [[], *([name, "--help"] for name in ("tune", "score", "check", "sweep", "data"))])
def test_every_option_of_every_command_is_explained(capsys, words):
    assert main(words) == 0
    options = re.findall(r"^│ \*? *(--[a-z-]+)([^│]*)", capsys.readouterr().out, re.MULTILINE)
    assert options
    assert [name for name, text in options if len(text.split()) < 3] == []


@pytest.mark.parametrize("name", [command.__name__ for command in COMMANDS])
def test_help_is_a_command_too(capsys, name):
    assert main(["help", name]) == 0
    by_command = capsys.readouterr().out
    assert main([name, "--help"]) == 0
    assert by_command == capsys.readouterr().out


def test_help_of_nothing_lists_the_commands(capsys):
    assert main(["help"]) == 0
    listed = re.findall(r"^│ ([a-z]+) ", capsys.readouterr().out, re.MULTILINE)
    assert listed == [command.__name__ for command in COMMANDS]


@pytest.mark.parametrize(("words", "known"), [
    *(([name], RECIPES) for name in ("train", "tune", "sweep", "suspects")),
    *(([name], ["auto", *CATALOG]) for name in ("train", "tune", "sweep", "suspects", "score", "export")),
    (["table"], MODELS),
    (["data"], CATALOG),
])
def test_names_in_help_texts_are_those_there_are(capsys, words, known):
    assert main([*words, "--help"]) == 0
    shown = " ".join(re.sub("[│\n]", " ", capsys.readouterr().out).split())
    assert ", ".join(known) in shown


def test_no_help_text_lists_by_hand_what_has_a_list():
    typed = {path.name for path in Path(cli.__file__).parent.glob("*.py")
             if re.search("fashion-mnist|seed-tuned|early-pool|separable", path.read_text())}
    assert typed == set()


def test_recipes_are_listed_with_their_size_and_purpose(capsys):
    assert set(PURPOSES) == set(RECIPES)
    assert main(["recipes"]) == 0
    out = capsys.readouterr().out
    rows = [line.split(maxsplit=8) for line in out.splitlines()[1:1 + len(RECIPES)]]
    assert [row[0] for row in rows] == list(RECIPES)
    records = Path(__file__).resolve().parents[1] / "records"
    record = json.loads((records / "tiny.json").read_text())
    accuracy = f"{record['mean']:.2f}", "%", f"{record['sd']:.2f}"
    assert ["tiny", "2,636", "2,538", "241,624", "18", *accuracy, PURPOSES["tiny"]] in rows
    assert f"n = {record['n']} seeds on mnist" in out
    assert next(row for row in rows if row[0] == "sprint")[4] == "1.75"
    assert "The hardest come more often in sprint and micro." in out
    assert main(["recipes", "--json"]) == 0
    found = {one["name"]: one for one in json.loads(capsys.readouterr().out)["recipes"]}
    micro = json.loads((records / "micro.json").read_text())
    assert found["micro"] == {"name": "micro", "model": "blocks:8p2a-8d-8d-12d-14d", "parameters": 1028,
                              "folded_parameters": 978, "macs": 110460, "epochs": 38,
                              "passes": pytest.approx(10 + 28 * 0.33), "batch_size": 64, "purpose": PURPOSES["micro"],
                              "record": packaged_records()["micro"]}
    assert {name: found["micro"]["record"][name] for name in ("n", "mean", "sd", "interval", "commit")} == {
        name: micro[name] for name in ("n", "mean", "sd", "interval", "commit")}


def test_table_takes_a_recipe_for_its_network(capsys):
    for recipe, model in (("best", "separable"), ("seed", "seed"), ("tiny", "blocks:6-12p2d-16d-16dr-24d-24d")):
        assert main(["table", recipe, "--json"]) == 0
        by_recipe = json.loads(capsys.readouterr().out)
        assert main(["table", model, "--json"]) == 0
        assert by_recipe == json.loads(capsys.readouterr().out)
        assert by_recipe["model"] == model


def test_a_folder_of_pictures_in_the_place_of_the_run_is_named_with_the_command_that_was_meant(tmp_path, capsys):
    mine = tmp_path / "my digits"
    mine.mkdir()
    assert main(["predict", str(mine)]) == 2
    assert f"\n  mnist-ops predict default '{mine}'\n" in capsys.readouterr().err
    (mine / "config.json").write_text("{}")  # a run then
    assert main(["predict", str(mine)]) == 2
    assert f"no pictures given; expected picture files or folders of them, such as\n  mnist-ops predict '{mine}' " \
           "my-digit.png\n" in capsys.readouterr().err


def test_a_sweep_takes_its_recipe_from_the_file(tmp_path, quick, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    quick.write_text('recipe = "micro"\nepochs = 1\nlr = 0.05\n' + quick.read_text())
    assert main(["sweep", "--config", "quick.toml", "--seeds", "1"]) == 0
    assert "micro on digits: 1 run," in capsys.readouterr().out
    assert json.loads((tmp_path / "runs/sweep-micro-config-quick.toml/s0/config.json").read_text())["recipe"] == "micro"
    assert main(["sweep", "tiny", "--config", "quick.toml", "--seeds", "1"]) == 2
    assert "quick.toml: recipe 'micro', but 'tiny' on the command line" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "ending", "completed_to"), [
    ("page", ".html", "page.html"), ("a/net", ".onnx", "a/net.onnx"), ("page.htm", ".html", "page.htm"),
    ("v1.2", ".c", "v1.2"), (".", ".html", "."), ("there", ".png", "there")])
def test_a_file_without_an_ending_gets_that_of_what_it_holds(tmp_path, monkeypatch, name, ending, completed_to):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()
    assert completed(Path(name), ending) == Path(completed_to)


@pytest.mark.parametrize("words", ["sweep --seeds 2", "sweep --search space.toml", "suspects", "train", "tune"])
def test_every_command_that_trains_on_pictures_can_leave_out_damaged_ones(words, tmp_path, monkeypatch, capsys):
    def stop(config, *_, **__):
        raise UsageError(f"skip_damaged is {config.skip_damaged}")

    monkeypatch.chdir(tmp_path)
    (tmp_path / "space.toml").write_text("[fields]\nlr = [0.1, 0.2]\n", encoding="utf-8")
    for module in ("search", "suspects", "sweep", "train", "tune"):
        monkeypatch.setattr(f"mnist_ops.cli.{module}.read_source", stop)
    for options, expected in ([], False), (["--skip-damaged"], True):
        assert main([*words.split(), "--data", "my-signs", *options]) == 2
        assert f"skip_damaged is {expected}" in capsys.readouterr().err
