"""Where the output goes, and what becomes of a command whose output goes nowhere."""

import contextlib
import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from mnist_ops.cli.main import main
from mnist_ops.cli.output import checked
from tests.miniature import SHORT, train
from tests.studies import SPACE

MEMORY = 4 * 2**30  # bytes
QUICK = """
data = "digits"
device = "cpu"
threads = 1
epochs = 1
lr = 0.05
[tune]
steps = 10
sweeps = 1
"""
FULL = Path("/dev/full")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A folder with two runs of a seed each, a picture, and the settings of a quick run on the digits."""
    folder = tmp_path_factory.mktemp("output")
    for seed in (0, 1):
        train(replace(SHORT, seed=seed), folder / f"r{seed}")
    picture = Image.new("L", (60, 60), 255)
    ImageDraw.Draw(picture).line([(30, 10), (30, 50)], fill=0, width=5)
    picture.save(folder / "one.png")
    (folder / "quick.toml").write_text(QUICK)
    (folder / "space.toml").write_text(SPACE)
    return folder


@contextlib.contextmanager
def lost(how: str) -> Iterator[str]:
    """Stdout of this process that cannot be written. -> what is said of it. To be entered in the midst of a test, for
    pytest sets the stream between a fixture and its test."""
    if how == "full" and not FULL.exists():
        pytest.skip(f"needs {FULL}, a file that is always full")
    with pytest.MonkeyPatch.context() as patch, open(FULL if how == "full" else os.devnull, "w") as full:
        patch.setattr(sys, "stdout", full if how == "full" else None)
        yield "No space left on device" if how == "full" else "it is closed"


@pytest.mark.parametrize(("how", "words"), [
    *(("closed", words) for words in ("--version", "train --help", "data", "score {}/r0 --json")),
    *(("full", words) for words in (
        "--version", "--help", "train --help", "data", "table", "check {}/r0 --data digits", "check {}/r0 --json",
        "score {}/r0", "compare {}/r0 {}/r1", "report {}/r0", "predict {}/r0 {}/one.png", "demo --no-open",
        "export {}/r0 --to html --out x.html", "tune --config {}/quick.toml",
        "train --config {}/quick.toml --no-report --out o --json",
        "sweep micro --config {}/quick.toml --seeds 1 --out o --json")),
])
def test_a_result_that_cannot_be_written_is_one_line_on_stderr_and_code_1(runs, tmp_path, monkeypatch, capfd, how,
                                                                          words):
    monkeypatch.chdir(tmp_path)
    with lost(how) as why:
        assert main(words.replace("{}", str(runs)).split()) == 1
    out, err = capfd.readouterr()
    told = [line for line in err.splitlines() if not line.startswith("mnist-ops: warning: ")]  # of what was computed
    assert (out, told) == ("", [f"mnist-ops: error: cannot write the output ({why}); free some space or redirect "
                                "it"])


@pytest.mark.parametrize(("how", "words", "made"), [
    ("closed", "train --config {}/quick.toml --no-report --out o", ["summary.json"]),
    ("full", "train --config {}/quick.toml --out o", ["summary.json", "report.html"]),
    ("full", "sweep micro --config {}/quick.toml --seeds 2 --jobs 2 --out o", ["results.json", "s1/summary.json"]),
    ("full", "sweep micro --config {}/quick.toml --seeds 1 --abreast --out o", ["results.json"]),
    ("full", "suspects --config {}/quick.toml --first 200 --folds 2 --jobs 1 --out o", ["suspects.json"]),
    ("full", "sweep micro --config {}/quick.toml --search {}/space.toml --trials 1 --jobs 1 --out o", ["results.json"]),
])
def test_a_run_goes_on_without_its_log_and_says_so_once(runs, tmp_path, monkeypatch, capfd, how, words, made):
    monkeypatch.chdir(tmp_path)
    with lost(how) as why:
        assert main(words.replace("{}", str(runs)).split()) == 0
    warning = f"mnist-ops: warning: cannot write the output ({why}); free some space or redirect it. " \
              "The run continues without it."
    assert capfd.readouterr().err.splitlines().count(warning) == 1
    assert [name for name in made if not Path("o", name).exists()] == []


@pytest.mark.parametrize("where", [">&-", ">/dev/full", ">&- 2>&- <&-", "2>&-", ">/dev/full 2>/dev/full"])
def test_the_process_ends_with_its_own_code_whichever_of_its_streams_are_lost(where):
    if "full" in where and not FULL.exists():
        pytest.skip(f"needs {FULL}, a file that is always full")
    program = f"{sys.executable} -m mnist_ops"
    done = subprocess.run(["bash", "-c", f"{program} table seed {where}"], capture_output=True, text=True)
    assert done.returncode == (1 if ">&-" in where.split() or ">/dev/full" in where.split() else 0)
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == (1 if "2" not in where else 0)
    done = subprocess.run(["bash", "-c", f"{program} table sede {where}"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")  # nothing that is meant for stderr gets onto stdout


@pytest.mark.parametrize("columns", ["0", "1", "39", "-5", "many", "²", "999999999999"])
@pytest.mark.parametrize("words", [["--help"], ["train", "--help"]])
def test_a_width_that_no_text_fits_into_counts_as_80(columns, words):
    done = subprocess.run([sys.executable, "-m", "mnist_ops", *words], capture_output=True, text=True, timeout=20,
                          env={**os.environ, "COLUMNS": columns, "LINES": "0"},
                          preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY)))
    assert (done.returncode, done.stderr) == (0, "")
    assert max(map(len, done.stdout.splitlines())) == 80


def test_a_width_of_40_is_kept_and_the_terminal_is_asked_where_none_is_given(monkeypatch):
    for columns, kept in (("40", "40"), ("120", "120"), ("39", "80")):
        monkeypatch.setenv("COLUMNS", columns)
        with checked():
            assert os.environ["COLUMNS"] == kept
    for wide, then in ((100, None), (20, "80"), (0, None)):  # 0: a terminal that does not know, which all take for 80
        monkeypatch.delenv("COLUMNS", raising=False)
        monkeypatch.setattr(os, "get_terminal_size", lambda descriptor, wide=wide: os.terminal_size((wide, 24)))
        with checked():
            assert os.environ.get("COLUMNS") == then


def test_json_goes_to_stdout_alone_and_a_lost_log_does_not_spoil_it(runs, capfd, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stderr", None)
    assert main(["train", "--config", str(runs / "quick.toml"), "--no-report", "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["epochs"] == 1
