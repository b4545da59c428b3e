"""The page's script in the engines that are here: what it answers, and what becomes of an engine that does not."""

import html
import os
import re
import shutil
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from mnist_ops.arch.zoo import MODELS
from mnist_ops.errors import RunError
from mnist_ops.export import forward, javascript
from mnist_ops.export.fold_norms import fold_trained
from mnist_ops.export.javascript import NotRun, ScriptOutput
from mnist_ops.export.page import page_html
from mnist_ops.templating import hash_source
from tests.small_networks import images, trained

FIGURE = trained(MODELS["separable-micro"])
OPERATIONS = fold_trained(FIGURE)
PAGE = page_html(FIGURE, OPERATIONS)
ENGINES = {"Node.js": ("NODE", javascript.NODE), "Chromium": ("CHROMIUM", javascript.CHROMIUM)}


def need(engine: str) -> None:
    programs = ENGINES[engine][1]
    if not any(map(shutil.which, programs)):
        pytest.skip(f"needs {engine}: none of {', '.join(programs)} is here")


@pytest.fixture(params=ENGINES)
def engine(request, monkeypatch):
    """One engine alone; its name."""
    need(request.param)
    for name, (constant, _) in ENGINES.items():
        if name != request.param:
            monkeypatch.setattr(javascript, constant, ())
    return request.param


@pytest.fixture
def chromium(monkeypatch):
    """Chromium alone."""
    need("Chromium")
    monkeypatch.setattr(javascript, "NODE", ())


@pytest.fixture
def stub(tmp_path, monkeypatch):
    """Makes a program of Python code that is taken for Node.js, the only engine."""
    if os.name != "posix":
        pytest.skip("needs programs that begin with the name of their interpreter")
    monkeypatch.setattr(javascript, "CHROMIUM", ())

    def make(code, first=f"#!{sys.executable}"):
        program = tmp_path / "node"
        program.write_text(f"{first}\n{code}\n", encoding="utf-8")
        program.chmod(0o755)
        monkeypatch.setattr(javascript, "NODE", (str(program),))
        return program

    return make


def not_run() -> str:
    """Why nothing ran the page."""
    found = javascript.run_script(PAGE, images(2))
    assert isinstance(found, NotRun)
    return found.reason


def test_every_engine_gives_the_classes_and_probabilities_of_the_network(engine):
    found = javascript.run_script(PAGE, images(30))
    assert isinstance(found, ScriptOutput)
    assert re.fullmatch(rf"{re.escape(engine)} \d+(\.\d+)*", found.engine)
    expected = forward.softmax(forward.logits(OPERATIONS, images(30)))
    np.testing.assert_allclose(found.probabilities, expected, atol=1e-12)
    np.testing.assert_array_equal(found.predicted, expected.argmax(1))


@pytest.mark.parametrize(("right", "wrong", "said"), [
    ("function answer(pixels) {", "function answer(pixels) { throw new Error('<not> & so');", "Error: <not> & so"),
    ('"input":[1,28,28]', '"input":[1,32,32]', "RangeError: The image has 784 pixels, but the network takes 1024"),
    ('"values":"', '"values":"=', "InvalidCharacterError"),
    ('"operations":', '"operation":', "TypeError: operations is not iterable"),
])
def test_a_script_that_fails_is_refused_in_the_words_of_the_engine(engine, right, wrong, said):
    assert PAGE.count(right) == 1
    page = page_html_with(right, wrong)
    with pytest.raises(RunError, match=rf"script fails in {engine} [\d.]+, so nothing was written: .*{said}"):
        javascript.run_script(page, images(3))


def page_html_with(right: str, wrong: str) -> str:
    """The page with one change, and the policy that belongs to it."""
    changed = PAGE.replace(right, wrong)
    old, new = (html.escape(hash_source(re.findall(r"<script>(.*?)</script>", text, re.DOTALL)[0]))
                for text in (PAGE, changed))
    return changed.replace(old.replace("&#x27;", "&#39;"), new)


@pytest.mark.usefixtures("chromium")
def test_a_script_that_the_pages_own_policy_does_not_allow_is_not_run_in_a_browser():
    with pytest.raises(RunError, match="mnistOps is not defined"):
        javascript.run_script(PAGE.replace("function answer", " function answer"), images(3))


@pytest.mark.usefixtures("chromium")
def test_a_page_that_does_not_start_in_a_browser_is_refused():
    with pytest.raises(RunError, match=r"fails in Chromium .*: Uncaught TypeError: Cannot read properties of null"):
        javascript.run_script(PAGE.replace('id="stages"', 'id="stage"'), images(3))


def test_a_number_that_is_none_comes_through_as_such(engine):
    page = page_html_with("return powers.map((power) => power / total)", "return powers.map(() => NaN)")
    found = javascript.run_script(page, images(2))
    assert isinstance(found, ScriptOutput)
    assert np.isnan(found.probabilities).all()


@pytest.mark.usefixtures("chromium")
def test_the_browser_has_no_window_and_a_profile_of_its_own_that_is_gone_afterwards(monkeypatch):
    commands: list[list[str]] = []
    of = javascript._told

    def told(command):
        commands.append(command)
        return of(command)

    monkeypatch.setattr(javascript, "_told", told)
    assert isinstance(javascript.run_script(PAGE, images(2)), ScriptOutput)
    [command] = commands
    [profile] = [word.removeprefix("--user-data-dir=") for word in command if word.startswith("--user-data-dir=")]
    assert "--headless" in command
    assert not Path(profile).parent.exists()
    assert ("--no-sandbox" in command) == (os.geteuid() == 0)


@pytest.mark.parametrize(("code", "said"), [
    ("print('hello')", r"printed unexpected output \(b'hello\\n'\.\.\.\)"),
    ("", r"printed unexpected output \(b''\.\.\.\)"),
    ("import sys; sys.exit('no\\nlicence')", r"failed \(no licence\)"),
    ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", r"failed \(killed by SIGSEGV\)"),
    ("print('mnist-ops answers: {\"engine\"!}')", "Expecting"),
    ("print('mnist-ops answers: {\"engine\": \"mine\"}')", "'best'"),
    ("print('mnist-ops answers: {\"engine\": 1, \"best\": {}, \"probabilities\": \"all\"}')", "int"),
    ("print('mnist-ops answers: {\"engine\": 1, \"best\": [1], \"probabilities\": [[1], [1, 2]]}')", "inhomogeneous"),
])
def test_an_engine_that_crashes_or_prints_rubbish_has_not_run_it(stub, code, said):
    program = stub(code)
    assert re.match(f"{re.escape(str(program))}: .*{said}", not_run())


def test_a_program_that_cannot_be_started_has_not_run_it(stub):
    stub("", first="#!/not/here")
    assert "No such file" in not_run()


@pytest.mark.parametrize("code", [
    "import time; time.sleep(60)",
    "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])",  # holds stdout
], ids=["itself", "its child"])
def test_an_engine_that_does_not_end_is_ended_with_its_children(stub, monkeypatch, code):
    stub(code)
    monkeypatch.setattr(javascript, "SECONDS", 1)
    start = time.monotonic()
    assert not_run().endswith("took longer than 1 seconds")
    assert time.monotonic() - start < 30


def test_an_engine_that_prints_without_end_is_ended(stub, monkeypatch):
    stub("while True: print('y')")
    monkeypatch.setattr(javascript, "MOST_BYTES", 10_000)
    assert "printed unexpected output" in not_run()


def test_an_old_node_is_passed_over(monkeypatch):
    need("Node.js")
    monkeypatch.setattr(javascript, "CHROMIUM", ())
    monkeypatch.setattr(javascript, "OLDEST_NODE", 10_000)
    assert re.search(r"failed \(version [\d.]+ is too old, expected 10000 or later\)", not_run())


def test_the_next_engine_is_asked_where_the_first_does_not_run(stub, monkeypatch):
    need("Chromium")
    stub("print('hello')")
    monkeypatch.setattr(javascript, *ENGINES["Chromium"])
    found = javascript.run_script(PAGE, images(2))
    assert isinstance(found, ScriptOutput)
    assert found.engine.startswith("Chromium ")


def test_a_temporary_folder_that_cannot_be_made_is_said(monkeypatch, tmp_path):
    def refuse(**named):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.TemporaryDirectory", refuse)
    monkeypatch.setattr(javascript, "NODE", (sys.executable,))
    assert "No space left on device" in not_run()
