"""mnist-ops export: nothing is written that has not shown that it agrees with PyTorch; what is says what it is."""

import errno
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace

import numpy as np
import pytest

from mnist_ops.arch.layers import Conv
from mnist_ops.cli.main import main
from mnist_ops.data.source import read
from mnist_ops.disk import write_together
from mnist_ops.engine.compiler import c_compiler
from mnist_ops.errors import RunError
from mnist_ops.export import forward, javascript, onnx, page, proof
from mnist_ops.export.c import compiler, example, int8, target
from mnist_ops.export.c.quantize import quantize
from mnist_ops.export.c.steps import stages
from mnist_ops.export.fold_norms import fold_trained
from mnist_ops.export.model_card import plain
from mnist_ops.run.folder import read_json, write_json
from mnist_ops.run.trained import load_trained, save_trained
from mnist_ops.sweeps.records import check_record
from tests.miniature import SHORT, train
from tests.small_networks import logits, trained


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A short run on the embedded digits."""
    path = tmp_path_factory.mktemp("run") / "run"
    train(replace(SHORT, data="digits", epochs=2), path, source=read("digits"))
    return path


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder to write in."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def needs_compiler():
    if c_compiler() is None:
        pytest.skip("needs a C compiler: none of $CC, cc, gcc, clang is here")


def needs_javascript():
    programs = (*javascript.NODE, *javascript.CHROMIUM)
    if not any(map(shutil.which, programs)):
        pytest.skip(f"needs something that runs JavaScript: none of {', '.join(programs)} is here")


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(("to", "files"), [
    ("onnx", ["mnist_ops.onnx", "mnist_ops.onnx.md"]),
    ("html", ["mnist_ops.html", "mnist_ops.html.md"]),
])
def test_an_export_prints_its_proof_and_lies_in_the_run_folder_with_its_card(run, here, capsys, to, files):
    shutil.copytree(run, here / "r")
    before = names(here / "r")
    assert main(["export", "r", "--to", to]) == 0
    said, warned = capsys.readouterr()
    assert sorted({*names(here / "r")} - {*before}) == files
    assert [line.split()[0] for line in said.splitlines()[-2:]] == [f"r/{name}" for name in files]
    assert warned == ""
    assert "Compared with PyTorch on the 360 test images of digits" in said
    card = (here / "r" / f"mnist_ops.{to}.md").read_text()
    assert "CC BY 4.0" in card
    assert "one run (n = 1, seed 0, recipe `short`, 2 epochs)" in card


@pytest.mark.parametrize(("changed", "said"), [
    ({"interval": []}, r"interval is \[\], expected two numbers"), ({"test_accuracy": "x"}, "test_accuracy is 'x'"),
    ({"recipe": 3}, "recipe is 3, expected a string"), ({"epochs": None}, "epochs is None"),
])
def test_a_damaged_summary_is_no_card_but_an_error_by_name(run, here, capsys, changed, said):
    shutil.copytree(run, here / "r")
    write_json(here / "r" / "summary.json", read_json(here / "r" / "summary.json") | changed)
    assert main(["export", "r", "--to", "onnx"]) == 1
    assert re.search(f"r/summary.json: damaged: {said}", capsys.readouterr().err)
    assert not (here / "r" / "mnist_ops.onnx").exists()


@pytest.mark.parametrize("changed", [{"mean": "high"}, {"sd": []}, {"n": None}, {"recipe": 1}, {"dataset": {}}])
def test_a_damaged_record_beside_the_weights_is_an_error_by_name(changed, tmp_path):
    whole = {"n": 30, "mean": 99.0, "sd": None, "recipe": "seed", "dataset": "mnist"}
    assert check_record(tmp_path / "a.json", whole) == whole
    with pytest.raises(RunError, match=r"a\.json: damaged: found .*expected the number n, mean and sd"):
        check_record(tmp_path / "a.json", whole | changed)


def snippet(card, title):
    """The code under that title of a card."""
    text = re.search(rf"{title}:\n\n```\w+\n(.*?)\n```", card.read_text(), re.DOTALL)
    assert text
    return text[1]


@pytest.mark.parametrize(("title", "package"), [("NumPy and ONNX Runtime", "onnxruntime"), ("OpenCV", "cv2")])
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 20, 20)], ids=["grey", "colour"])
def test_the_card_calls_the_onnx_file_as_it_is(here, tmp_path, title, package, shape):
    pytest.importorskip(package)
    one = replace(trained((Conv(4, kernel=shape[1]),), shape=shape), dataset="mnist")
    save_trained(tmp_path, one)
    assert main(["export", str(tmp_path / "model.safetensors"), "--to", "onnx", "--out", "net.onnx"]) == 0
    code = snippet(here / "net.onnx.md", title)
    planes = np.arange(np.prod(shape)).reshape(shape).astype(np.uint8)
    image = planes if package != "cv2" else planes[0] if shape[0] == 1 else np.moveaxis(planes[::-1], 0, -1)
    named = re.sub(r"image = np.zeros\(\((.*?)\), np.uint8\)", r"assert given.shape == (\1); image = given", code)
    names = {"given": np.ascontiguousarray(image)}
    exec(named, names)
    wanted = forward.softmax(logits(one, planes[None] if shape[0] > 1 else planes))
    np.testing.assert_allclose(names["probabilities"], wanted, atol=1e-5)


def test_the_card_has_the_lines_for_a_browser(run, here):
    assert main(["export", str(run), "--to", "onnx", "--out", "net.onnx"]) == 0
    code = snippet(here / "net.onnx.md", "ONNX Runtime Web")
    assert 'InferenceSession.create("net.onnx")' in code
    assert 'new ort.Tensor("uint8", pixels, [1, 1, 28, 28])' in code


def test_json_is_one_object_with_the_proof(run, here, capsys):
    assert main(["export", str(run), "--to", "onnx", "--out", "net.onnx", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["images"], told["same"] + told["ties"], told["different"], told["own_data"]) == (360, 360, 0, True)
    assert told["largest_difference"] <= 1e-5
    assert told["accuracy"] == pytest.approx(told["pytorch_accuracy"], abs=0.3)
    assert [entry["path"] for entry in told["files"]] == ["net.onnx", "net.onnx.md"]
    assert [entry["bytes"] for entry in told["files"]] == [(here / name).stat().st_size for name in names(here)]


def test_json_of_c_states_flash_ram_and_mismatches(run, here, capsys):
    needs_compiler()
    assert main(["export", str(run), "--to", "c", "--name", "tiny", "--out", "tiny.c", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["arithmetic"], told["compiled"], told["mismatches"]) == ("int8", True, 0)
    assert told["integers_compared"] == 360 * (10 + 10 + 1)  # logits, probabilities, a class
    assert told["buffer_bytes"] == 8 * 13 * 13 + 12 * 11 * 11 + 8 * 9 * 16 + 2 * 4 * 4 * 16  # maps, gathered, sums
    assert names(here) == ["example_main.c", "tiny.c", "tiny.c.md", "tiny.h"]
    assert "int tiny_predict(" in (here / "tiny.h").read_text()


def build_lines(card):
    """The lines of a card that build something here, and whether a compiler for each is here."""
    return {line: shutil.which(line.split()[0]) for line in snippet(card, "Build it").splitlines()}


@pytest.mark.parametrize("kind", [[], ["--float"]])
def test_c_lies_in_a_folder_of_its_own_with_an_example_and_the_lines_that_build_it(run, here, capsys, kind):
    needs_compiler()
    shutil.copytree(run, here / "r")
    before = names(here / "r")
    assert main(["export", "r", "--to", "c", "--name", "signs", *kind]) == 0
    assert sorted({*names(here / "r")} - {*before}) == ["signs_c"]
    made = here / "r" / "signs_c"
    assert names(made) == ["example_main.c", "signs.c", "signs.c.md", "signs.h"]
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[-4:]] == [
        f"r/signs_c/{name}" for name in ("signs.h", "signs.c", "example_main.c", "signs.c.md")]
    lines = build_lines(made / "signs.c.md")
    assert [line.split()[0] for line in lines] == ["cc", "arm-none-eabi-gcc", "avr-gcc"]
    told = [subprocess.run(line, shell=True, cwd=made, check=True, capture_output=True, text=True).stdout
            for line, found in lines.items() if found]
    labels = read("digits").test.labels
    shown = re.search(r"Image (\d+) of the 360 test images of digits", (made / "example_main.c").read_text())
    assert shown
    index = int(shown[1])
    assert re.match(rf"class {labels[index]}, probability [\d.]+ %, \d+ microseconds\n", told[0])


def test_an_example_that_prints_another_class_is_not_written(run, here, capsys, monkeypatch):
    needs_compiler()
    monkeypatch.setattr(target, "example", lambda *given, **named: example.example(*given, **named).replace(
        "_classes[best]", "_classes[(best + 1) % 10]"))
    assert main(["export", str(run), "--to", "c", "--out", "net.c"]) == 1
    assert re.search(r"net\.c: example_main\.c prints 'class \d.*expected the class \d; nothing was written",
                     capsys.readouterr().err)
    assert names(here) == []


def test_two_networks_in_one_program_need_two_names(run, here):
    needs_compiler()
    for out, given in (("one.c", ["--name", "one"]), ("two.c", ["--name", "two", "--float"]),
                       ("same.c", ["--name", "one", "--float"])):
        assert main(["export", str(run), "--to", "c", "--out", out, *given]) == 0
    (here / "main.c").write_text('#include "one.h"\n#include "two.h"\n#include "one.h"\nint main(void)\n{\n    '
                                 "return ONE_PIXELS != TWO_PIXELS;\n}\n")
    (here / "both.c").write_text('#include "one.h"\n#include "same.h"\n')
    program = c_compiler()
    assert program
    subprocess.run([*program, *compiler.STRICT, "main.c", "one.c", "two.c", "-o", "both"], check=True)
    assert subprocess.run(["./both"], check=False).returncode == 0
    refused = subprocess.run([*program, *compiler.STRICT, "-c", "both.c"], check=False, capture_output=True, text=True)
    assert 'two exports of the name one in one program; export one of them again with another --name' in refused.stderr


def test_arduino_is_one_zip_with_a_card(run, here, capsys):
    needs_compiler()
    assert main(["export", str(run), "--to", "arduino", "--name", "signs", "--out", "library"]) == 0
    assert names(here) == ["library.zip", "library.zip.md"]
    card = (here / "library.zip.md").read_text()
    assert "arduino-cli lib install --zip-path library.zip" in card
    assert "File, Examples, signs, read_image" in card


def test_a_run_folder_that_takes_no_folder_is_said(run, here, capsys):
    needs_compiler()
    shutil.copytree(run, here / "r")
    (here / "r" / "mnist_ops_c").write_text("a file")
    assert main(["export", "r", "--to", "c"]) == 2
    assert "r/mnist_ops_c: is a file, expected a folder; choose another with --out" in capsys.readouterr().err


def test_the_float_pair_has_floating_logits(run, here):
    needs_compiler()
    assert main(["export", str(run), "--to", "c", "--float", "--out", "net.h"]) == 0
    assert "float logits[" in (here / "net.h").read_text()


def test_nothing_is_written_where_the_classes_of_the_onnx_file_differ(run, here, capsys, monkeypatch):
    of = onnx.run_onnx
    monkeypatch.setattr(onnx, "run_onnx", lambda *given: [np.roll(one, 1, axis=1) for one in of(*given)])
    assert main(["export", str(run), "--to", "onnx", "--out", "net.onnx"]) == 1
    assert "the ONNX file does not match PyTorch, so nothing was written" in capsys.readouterr().err
    assert names(here) == []


@pytest.mark.parametrize(("right", "wrong", "said"), [
    ("output[place] += weight * input[from]", "output[place] -= weight * input[from]", "does not match PyTorch"),
    ("value > most ? value : most", "value < most ? value : most", "does not match PyTorch"),
    ("values[index] > values[best]", "values[index] < values[best]", "360 of 360 images get another class"),
    ("Math.exp(logit - most)", "1 + logit - most", "a probability differs"),
    ("getFloat32(4 * index, true)", "getFloat32(4 * index, true) / 2", "does not match PyTorch"),
    ("[unit] * Math.max(0, value)", "[unit] * value", r"does not match PyTorch.*: the oddness of image \d+ differs"),
    ("[unit] * Math.max(0, value)", "[unit] * NaN", r"does not match PyTorch.*: the oddness of image 0 differs by nan"),
    ("probabilities, logits: Array", "probabilities: probabilities.slice(1), logits: Array",
     r"shapes \(\(360,\), \(360, 9\)\), expected .* 10"),
    ("first.output.set(pixels)", "first.output.set(pixel)", "fails in .*: .*ReferenceError: pixel"),
    ("const COMPUTE", "const const COMPUTE", "fails in .*: .*SyntaxError"),
    ('"input":[1,28,28]', '"input":[1,32,32]', "fails in .*: .*RangeError: The image has 784 pixels"),
])
def test_nothing_is_written_where_the_pages_own_code_is_wrong(run, here, capsys, monkeypatch, right, wrong, said):
    needs_javascript()
    assert right in page.page_html(load_trained(run), fold_trained(load_trained(run)))
    script, as_json = page._script(), page._json
    monkeypatch.setattr(page, "_script", lambda: script.replace(right, wrong))
    monkeypatch.setattr(page, "_json", lambda data: as_json(data).replace(right, wrong))
    assert main(["export", str(run), "--to", "html", "--out", "net.html"]) == 1
    assert re.search(said, " ".join(capsys.readouterr().err.split()))
    assert names(here) == []


def test_what_is_written_is_the_script_and_the_data_that_were_run(run, here, capsys, monkeypatch):
    of, given = javascript.run_script, []

    def answers(text, images):
        given.append(text)
        return of(text, images)

    monkeypatch.setattr(javascript, "run_script", answers)
    assert main(["export", str(run), "--to", "html", "--out", "mnist_ops.html", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    [proved], written = given, (here / "mnist_ops.html").read_text("utf-8")
    scripts = [re.findall(r"<script.*?</script>", text, re.DOTALL) for text in (proved, written)]
    assert scripts[0] == scripts[1]
    assert len(scripts[0]) == 2
    how = (f"The code of this page was run by {told['engine']}." if told["engine"] else
           "The code of this page was not run when it was written; its operations were compared only in Python.")
    assert how in written
    assert how in (here / "mnist_ops.html.md").read_text("utf-8")


def test_nothing_is_written_where_one_integer_of_the_compiled_code_differs(run, here, capsys, monkeypatch):
    monkeypatch.setattr(compiler, "c_compiler", lambda: ["cc"])
    monkeypatch.setattr(compiler, "sizes", lambda *given: None)

    def one_off(source, images, **names):
        whole = quantize(stages(fold_trained(load_trained(run))), read("digits").train.images)
        logits = int8.logits(whole, images)
        shares = int8.probabilities(whole, logits)
        logits[7, 3] += 1
        predicted = int8.logits(whole, images).argmax(1).astype(np.int32)
        return compiler.CompiledOutput(predicted, logits.astype(np.int32), shares.astype(np.uint16))

    monkeypatch.setattr(compiler, "run_compiled", one_off)
    assert main(["export", str(run), "--to", "c", "--out", "net.c"]) == 1
    assert "differs from the integer reference in 1 numbers" in capsys.readouterr().err
    assert names(here) == []


def test_without_a_compiler_c_is_refused_and_written_only_as_unproved(run, here, capsys, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert main(["export", str(run), "--to", "c", "--out", "net.c"]) == 1
    assert "Install gcc, or write it unchecked with --unproved" in capsys.readouterr().err
    assert names(here) == []
    assert main(["export", str(run), "--to", "c", "--unproved", "--out", "net.c"]) == 0
    assert "NOT COMPILED" in capsys.readouterr().out
    assert "NOT COMPILED" in (here / "net.h").read_text()
    assert "not measured" in (here / "net.c.md").read_text()


def test_temporary_files_that_cannot_be_written_are_said_of_the_file_that_is_asked_for(run, here):
    needs_compiler()
    done = subprocess.run([sys.executable, "-m", "mnist_ops", "export", str(run), "--to", "c", "--out", "x.c"],
                          capture_output=True, text=True,
                          preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (3072, 3072)))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == ("mnist-ops: error: x.c: the temporary files for compiling the C code cannot be written "
                           "(File too large); free some space, or set $TMPDIR to another folder\n")
    assert names(here) == []


@pytest.mark.parametrize(("told", "why"), [
    ("cc1: fatal error: error writing to $TMPDIR/cc1.s: No space left on device\ncompilation terminated.",
     "error writing to cc1.s: No space left on device"),
    ("x.c:5:1: internal compiler error: Segmentation fault\nPlease submit a full bug report", "Segmentation fault"),
    ("clang: error: unable to execute command: Killed\nPLEASE submit a bug report to https://example.org",
     "unable to execute command: Killed"),
])
def test_a_compiler_that_breaks_asks_nobody_for_a_report(run, here, capsys, monkeypatch, told, why):
    broken = here.parent / "broken"
    broken.write_text(f'#!/bin/sh\ncat >&2 <<END\n{told}\nEND\nexit 4\n')
    broken.chmod(0o755)
    monkeypatch.setenv("CC", str(broken))
    assert main(["export", str(run), "--to", "c", "--out", "x.c"]) == 1
    said = capsys.readouterr().err
    assert f"error: x.c: broken could not finish ({why}); nothing was written. Free some space" in said
    assert "report" not in said
    assert tempfile.gettempdir() not in said
    assert names(here) == []


def test_a_folder_without_room_is_said_of_the_file_that_is_asked_for(run, here, capsys, monkeypatch):
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert main(["export", str(run), "--to", "html", "--out", "x.html"]) == 1
    told = capsys.readouterr().err
    assert "error: x.html: cannot be written (No space left on device); an existing file is unchanged." in told
    assert names(here) == []


def test_a_run_whose_data_is_gone_is_proved_on_the_embedded_digits_and_says_so(here, capsys, tmp_path):
    one = trained((Conv(10, kernel=28),))
    save_trained(tmp_path, replace(one, dataset="mnist"))
    assert main(["export", str(tmp_path / "model.safetensors"), "--to", "onnx"]) == 0
    said, warned = capsys.readouterr()
    assert "this run's data, mnist, was not found" in warned
    assert "360 test images of digits, not the run's own data" in said
    assert "no record of the training" in (tmp_path / "mnist_ops.onnx.md").read_text()


def test_names_from_outside_are_text_in_the_card_and_images_of_other_classes_are_not_scored(here, capsys, tmp_path):
    one = replace(trained((Conv(2, kernel=28),)), classes=("<b>|*", "two\n# lines"), dataset="my <pictures>")
    save_trained(tmp_path, one)
    assert main(["export", str(tmp_path / "model.safetensors"), "--to", "onnx"]) == 0
    assert "accuracy" not in capsys.readouterr().out
    card = (tmp_path / "mnist_ops.onnx.md").read_text()
    assert "\\<b\\>\\|\\*, two\\\\n\\# lines" in card
    assert "not counted" in card


@pytest.mark.parametrize(("words", "said"), [
    (["--to", "onnx", "--float"], "need --to c"),
    (["--to", "onnx", "--out", "net.c"], "expected a file ending in .onnx"),
    (["--to", "c", "--out", "ä.c"], "letters, digits"),
    (["--to", "c", "--name", "a-b"], "--name"),
    (["--to", "onnx", "--out", "nowhere/net.onnx"], "folder nowhere does not exist"),
    (["--to", "pdf"], "pdf"),
])
def test_wrong_use_is_said_and_writes_nothing(run, here, capsys, words, said):
    before = names(run)
    assert main(["export", str(run), *words]) == 2
    assert said in capsys.readouterr().err
    assert (names(here), names(run)) == ([], before)


def test_files_that_are_there_are_replaced_together_or_not_at_all(tmp_path):
    files = {tmp_path / "a.h": b"new", tmp_path / "a.c": b"new"}
    for path in files:
        path.write_bytes(b"old")
    with pytest.raises(RunError, match=rf"^{tmp_path}/(long)+: cannot be written \(File name too long\)"):
        write_together({**files, tmp_path / ("long" * 100): b"new"})
    assert {path.read_bytes() for path in files} == {b"old"}
    write_together(files)
    assert {path.read_bytes() for path in files} == {b"new"}
    assert names(tmp_path) == ["a.c", "a.h"]


LOGITS = np.array([[2.0, 1.0], [1.0, 1.00005], [0.0, 3.0]])


@pytest.mark.parametrize(("predicted", "same", "ties", "different"), [
    ([0, 1, 1], 3, 0, 0), ([0, 0, 1], 2, 1, 0), ([1, 1, 1], 2, 0, 1), ([1, 0, 0], 0, 1, 2)])
def test_a_class_may_turn_only_where_the_two_best_logits_lie_within_1e_4(predicted, same, ties, different):
    found = proof.compare(proof.Expected(LOGITS, None), np.array(predicted), forward.softmax(LOGITS))
    assert (found.same, found.ties, found.different) == (same, ties, different)
    if different:
        with pytest.raises(RunError, match=f"{different} of 3 images get another class"):
            proof.require_equal(found, "it")
    else:
        proof.require_equal(found, "it")


@pytest.mark.parametrize("off", [2e-5, np.nan, np.inf])
def test_a_probability_that_is_off_or_no_number_is_refused(off):
    shares = forward.softmax(LOGITS)
    shares[0, 0] += off
    with pytest.raises(RunError, match="a probability differs by"):
        proof.require_equal(proof.compare(proof.Expected(LOGITS, None), LOGITS.argmax(1), shares), "it")


@pytest.mark.parametrize(("images", "lost", "labelled", "refused"), [
    (1000, 8, True, r"8 of 1,000 images are right with PyTorch alone and 0 with int8 alone.*--float.*--data-dir"),
    (1000, 3, True, None), (360, 3, True, None),  # as often by chance
    (100_000, 150, True, None),  # not by chance, but few
    (1000, 30, False, r"30 of 1,000 images get another class"), (100, 2, False, None), (24, 1, False, None),
])
def test_int8_that_loses_more_than_chance_is_refused_and_names_the_way_out(images, lost, labelled, refused):
    logits = np.tile([[2.0, 1.0]], (images, 1))
    predicted = np.zeros(images, int)
    predicted[:lost] = 1
    expected = proof.Expected(logits, np.zeros(images, np.int64) if labelled else None)
    found = proof.compare(expected, predicted, forward.softmax(logits))
    if refused is None:
        proof.require_near(found, "int8")
    else:
        with pytest.raises(RunError, match=refused):
            proof.require_near(found, "int8")


def test_images_of_other_data_may_lose_more_as_they_lie_near_the_borders_of_classes():
    logits = np.tile([[2.0, 1.0]], (360, 1))
    predicted = np.zeros(360, int)
    predicted[:13] = 1
    found = proof.compare(proof.Expected(logits, np.zeros(360, np.int64)), predicted, forward.softmax(logits))
    proof.require_near(found, "int4", own=False)
    with pytest.raises(RunError, match="with --bits 8"):
        proof.require_near(found, "int4")


def test_images_that_int8_alone_reads_right_count_against_those_that_it_loses():
    logits = np.tile([[2.0, 1.0]], (1000, 1))
    predicted, labels = np.zeros(1000, int), np.zeros(1000, np.int64)
    predicted[:16] = 1
    labels[8:16] = 1
    found = proof.compare(proof.Expected(logits, labels), predicted, forward.softmax(logits))
    assert (found.lost, found.won) == (8, 8)
    proof.require_near(found, "int8")


def test_few_images_are_said_to_prove_little():
    logits = np.tile([[2.0, 1.0]], (24, 1))
    found = proof.compare(proof.Expected(logits, np.zeros(24, np.int64)), np.zeros(24, int), forward.softmax(logits))
    assert found.most_different == pytest.approx(13.8, abs=0.1)  # Wilson's interval of 0 of 24


def test_markdown_is_shown_as_it_is():
    assert plain("a*b_[x](y)\n# <i>`") == "a\\*b\\_\\[x\\](y)\\\\n\\# \\<i\\>\\`"


def test_the_figure_is_read_and_left_as_it_was(run, here):
    before = (run / "model.safetensors").read_bytes()
    assert main(["export", str(run), "--to", "html"]) == 0
    assert (run / "model.safetensors").read_bytes() == before
    assert load_trained(run).dataset == "digits"


@pytest.mark.parametrize(("bits", "lost"), [("8", 2), ("4", 15), ("2", 15)])
def test_the_shipped_weights_are_exported_to_c_where_mnist_is_not(bits, lost, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MNIST_OPS_DATA", str(tmp_path))
    asked = ["export", "default", "--to", "c", "--bits", bits, "--out", str(tmp_path / "digits.c"), "--json"]
    assert main(asked) == 0
    told = json.loads(capsys.readouterr().out)
    assert not told["own_data"]
    assert told["lost"] - told["won"] <= lost
    assert "that fewer than" not in (tmp_path / "digits.c.md").read_text()  # some of the digits are read wrong
    assert "share of all such images, 95 % | at most " in (tmp_path / "digits.c.md").read_text()


def test_profile_says_what_each_step_takes_under_qemu(run, here, capsys):
    if missing := [name for name in ("arm-none-eabi-gcc", "qemu-system-arm") if shutil.which(name) is None]:
        pytest.skip(f"needs {' and '.join(missing)}")
    assert main(["export", str(run), "--to", "c", "--out", "tiny.c", "--profile", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    heads, *rows, whole = told["steps"]
    assert [row[0] for row in rows] == ["3x3 convolution, 2x2 pool", *["3x3 convolution"] * 4, "mean",
                                       "1x1 convolution"]
    for place in (heads.index("instructions, Cortex-M0"), heads.index("instructions, Cortex-M4")):
        each = sum(int(row[place].replace(",", "")) for row in rows)
        assert each == pytest.approx(int(whole[place].replace(",", "")), rel=0.01)
    assert f"| {' | '.join(rows[0])} |" in (here / "tiny.c.md").read_text()
