"""A run's report: what it says agrees with the run, it is one self-contained page, and whatever is missing is named."""

import base64
import csv
import dataclasses
import io
import json
import re
import shutil
from collections.abc import Generator
from pathlib import Path

import pytest
from jinja2 import UndefinedError
from PIL import Image

from mnist_ops.classifier import load
from mnist_ops.cli.main import main
from mnist_ops.config import Augment
from mnist_ops.data.catalog import CATALOG
from mnist_ops.data.source import read
from mnist_ops.errors import RunError
from mnist_ops.events import EpochDone
from mnist_ops.experiment import run
from mnist_ops.mapping import from_mapping
from mnist_ops.report import plots
from mnist_ops.report.findings import gather
from mnist_ops.report.html import percent, render, strip
from mnist_ops.report.report import DRAWN, SECTIONS, write_report
from mnist_ops.run.folder import FORMAT
from tests.html_reading import Page, check_self_contained, check_structure
from tests.miniature import SHORT, few_digits, train

NASTY = ("<img src=x onerror=alert(1)>", "a & b \"quoted\" 'too'", "{{ 7 * 7 }} \N{GRINNING FACE}")
CONFIG = dataclasses.replace(SHORT, target=99.4, augment=Augment(degrees=5.0, plain_epochs=1))


def page_of(path: Path) -> Page:
    return Page((path / "report.html").read_text("utf-8"))


def without_pictures(patch: pytest.MonkeyPatch) -> None:
    """For what does not look at them: they take seconds."""
    patch.setattr(plots, "draw_all", lambda findings, folder, **options: [])


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """A whole run on a few digits with its report: the folder, and what was found."""
    path = tmp_path_factory.mktemp("digits") / "run"
    train(CONFIG, path)
    findings = gather(path, source=few_digits())
    write_report(findings)
    return path, findings


@pytest.fixture
def quick(tmp_path, monkeypatch, digits):
    """A copy of that run without its report; reports are written without pictures."""
    path = tmp_path / "run"
    shutil.copytree(digits[0], path, ignore=shutil.ignore_patterns("report.html", "*.png", "*.csv"))
    without_pictures(monkeypatch)
    return path


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    """A folder of 3 classes whose names hold markup, trained on for a moment, with its report."""
    root = tmp_path_factory.mktemp("folder")
    for label, name in enumerate(NASTY):
        (root / "data" / name).mkdir(parents=True)
        for number in range(10):
            picture = Image.new("L", (28, 28), 20)
            picture.paste(60 + 60 * label + 5 * number, (6, 6, 12 + 5 * label, 20))
            picture.save(root / "data" / name / f"<b>{number}<b>.png")
    config = dataclasses.replace(CONFIG, data=str(root / "data"), recipe="short <script>alert(2)</script>")
    path = root / "run"
    train(config, path, source=read(config.data))
    with pytest.MonkeyPatch.context() as patch:
        without_pictures(patch)
        write_report(gather(path))
    return path


def test_every_section_is_there_and_in_the_contents(digits):
    page = page_of(digits[0])
    assert [one.attributes["id"] for one in page.all("section")] == list(SECTIONS)
    links = [one for one in page.all("a") if "nav" in one.path]
    assert {one.attributes["href"][1:]: one.text for one in links} == SECTIONS
    assert [one.text for one in page.all("h2")] == list(SECTIONS.values())


@pytest.mark.parametrize("kind", ["digits", "shapes"])
def test_the_page_is_one_file_sound_and_small(kind, request):
    found = request.getfixturevalue(kind)
    path = found[0] if kind == "digits" else found
    page = page_of(path)
    check_self_contained(page)
    check_structure(page)
    assert (path / "report.html").stat().st_size < 3_000_000


def test_the_figure_is_that_of_the_summary(digits):
    path, findings = digits
    summary = json.loads((path / "summary.json").read_text())
    text = page_of(path).words("figure")
    low, high = summary["interval"]
    assert f"{summary['test_accuracy']:.2f}" in text
    assert f"95 % interval {low:.2f} to {high:.2f} %" in text.replace("\N{NO-BREAK SPACE}", " ")
    assert "Target of 99.4 % not reached" in text
    assert f"{summary['parameters']:,}" in text
    assert f"{summary['macs']:,}" in text
    assert "3 of 3" in text
    assert f"{findings.train.evaluation.accuracy:.2f} %" in text


def test_the_epochs_are_those_of_the_history(digits):
    rows = page_of(digits[0]).table("Losses in nats")
    history = [json.loads(line) for line in (digits[0] / "history.jsonl").read_text().splitlines()]
    assert rows[0] == ["Epoch", "Train loss", "Train accuracy", "Test loss", "Test accuracy", "Rate", "Seconds"]
    assert [row[:5] for row in rows[1:]] == [
        [str(row["epoch"]), f"{row['train_loss']:.4f}", f"{row['train_accuracy']:.2f}", f"{row['test_loss']:.4f}",
         f"{row['test_accuracy']:.2f}"] for row in history]


def test_the_mistakes_are_those_of_the_network_itself(digits):
    path, _ = digits
    test = few_digits().test
    shares = load(path).predict(test.images)
    wrong = {index for index, label in enumerate(test.labels) if shares[index].argmax() != label}
    assert len(wrong) > 3
    rows = page_of(path).table("Misclassified, the least confident first")[1:]
    assert {int(row[0]) for row in rows} == wrong
    assert [float(row[3]) for row in rows] == sorted(float(row[3]) for row in rows)
    for place, label, predicted, probability, _ in rows:
        assert (label, predicted) == (str(test.labels[int(place)]), str(shares[int(place)].argmax()))
        assert float(probability) == pytest.approx(100 * shares[int(place)].max(), abs=0.006)
    listed = list(csv.DictReader(io.StringIO((path / "mistakes-test.csv").read_bytes().decode(), newline="")))
    assert {int(row["index"]) for row in listed} == wrong
    assert f"{len(wrong)} of {len(test.labels)} images" in page_of(path).words("mistakes")


def test_confusion_and_recall_add_up(digits):
    page = page_of(digits[0])
    matrix = [list(map(int, row[1:])) for row in page.table("Images by true class")[1:]]
    assert sum(map(sum, matrix)) == 40
    for row, scores in zip(matrix, page.table("Each class")[1:], strict=True):
        label = int(scores[0])
        assert [sum(row), row[label]] == [int(scores[1]), int(scores[2])]
        assert scores[4] == (f"{100 * row[label] / sum(row):.2f}" if sum(row) else "–")
    most = max(count for label, row in enumerate(matrix) for other, count in enumerate(row) if label != other)
    assert f": {most} times" in page.by_id("classes").text


def test_the_tables_of_layers_are_those_of_the_network(digits):
    page = page_of(digits[0])
    rows = page.table("Layers")
    summary = json.loads((digits[0] / "summary.json").read_text())
    assert rows[-1] == ["Total", "", f"{summary['parameters']:,}", f"{summary['macs']:,}"]
    assert sum(int(row[2].replace(",", "")) for row in rows[1:-1]) == summary["parameters"]
    assert page.table("Receptive field")[-1][-1] == "28×28"


def test_the_settings_in_the_page_give_the_same_config(digits):
    page = page_of(digits[0])
    (text,) = [one.text for one in page.all("pre") if one.text.startswith("{")]
    settings = json.loads(text)
    assert settings.pop("format") == FORMAT
    assert from_mapping(SHORT, settings, "page") == digits[1].config
    assert f"git checkout {digits[1].summary['commit'].removesuffix('+changes')}" in page.words("again")
    assert "mnist-ops train --config config.json" in page.words("again")
    assert digits[1].summary["torch"] in page.words("again")


def test_every_picture_is_in_the_page_as_its_file_is(digits):
    path = digits[0]
    for image, name in zip(page_of(path).all("img"), [name for name in DRAWN if (path / name).exists()], strict=True):
        kind, _, content = image.attributes["src"].partition(",")
        assert kind == "data:image/png;base64"
        assert base64.b64decode(content) == (path / name).read_bytes()
        with Image.open(path / name) as picture:
            assert (int(image.attributes["width"]), int(image.attributes["height"])) == \
                (picture.width // 2, picture.height // 2)
    assert {name for name in DRAWN if not (path / name).exists()} == {"lr.png"}  # the rate was given


def test_markup_in_names_is_text(shapes):
    page = page_of(shapes)
    assert [row[0] for row in page.table("Each class")[1:]] == sorted(NASTY)
    assert page.by_id("main").path[-1] == "div"
    assert page.all("script", "b") == []
    assert "short <script>alert(2)</script> on data" in " ".join(page.all("h1")[0].text.split())
    assert "{{ 7 * 7 }}" in page.source
    assert str(shapes.parent) not in page.source, "the location of a folder is private"
    assert "--data PATH/TO/data" in page.words("again")


def test_ten_class_names_instead_of_digits(tmp_path, monkeypatch):
    without_pictures(monkeypatch)
    clothes = dataclasses.replace(few_digits(), name="fashion-mnist", classes=CATALOG["fashion-mnist"].classes)
    config = dataclasses.replace(CONFIG, data="fashion-mnist", epochs=1, validation=20)
    train(config, tmp_path / "run", source=clothes)
    write_report(gather(tmp_path / "run", source=clothes))
    page = page_of(tmp_path / "run")
    assert [row[0] for row in page.table("Each class")[1:]] == list(CATALOG["fashion-mnist"].classes)
    assert "on Fashion-MNIST" in page.all("h1")[0].text
    assert "best validation accuracy, epoch 1" in page.words("figure")
    assert "disputed" not in page.ids
    check_structure(page)


def test_an_interrupted_run_is_reported_on_its_last_saved_weights(tmp_path, monkeypatch):
    without_pictures(monkeypatch)
    path = tmp_path / "run"
    events = run(dataclasses.replace(CONFIG, target=10.0), few_digits(), path)
    for event in events:
        if isinstance(event, EpochDone):
            break
    assert isinstance(events, Generator)
    events.close()
    findings = gather(path, source=few_digits())
    write_report(findings)
    page = page_of(path)
    expected = (load(path).predict(few_digits().test.images).argmax(1) == few_digits().test.labels).mean()
    assert f"{100 * expected:.2f}" in page.words("figure")
    assert "Not finished: 1 of 3 epochs" in page.words("figure")
    assert "reached" not in page.words("figure"), "only a finished run reaches a target"
    assert "test accuracy of the weights saved last" in page.words("figure")
    assert "1 of 3 epochs are done" in page.words("missing")
    assert len(page.table("Losses in nats")) == 2
    assert "not recorded" in page.words("again")
    check_structure(page)


def test_a_run_that_never_finished_an_epoch_says_so(quick):
    for name in ("history.jsonl", "model.safetensors", "summary.json", "checkpoint.pt"):
        (quick / name).unlink()
    write_report(gather(quick, source=few_digits()))
    page = page_of(quick)
    assert "no epoch was finished" in page.words("figure")
    assert "model.safetensors: does not exist" in page.words("missing")
    assert "could not be evaluated" in page.words("mistakes")
    assert [one.attributes["id"] for one in page.all("section")] == list(SECTIONS)
    check_structure(page)


@pytest.mark.parametrize(("name", "words"), [
    ("summary.json", "summary.json"), ("model.safetensors", "model.safetensors"), ("history.jsonl", "history.jsonl")])
@pytest.mark.parametrize("how", ["gone", "damaged"])
def test_whatever_is_gone_or_damaged_is_named_and_the_rest_comes(quick, name, words, how):
    (quick / name).unlink()
    if how == "damaged":
        (quick / name).write_text("no\nsuch\nthing")
    write_report(gather(quick, source=few_digits()))
    page = page_of(quick)
    assert words in page.words("missing")
    assert [one.attributes["id"] for one in page.all("section")] == list(SECTIONS)
    check_structure(page)


def test_without_its_data_a_run_still_has_a_report(quick):
    config = json.loads((quick / "config.json").read_text())
    (quick / "config.json").write_text(json.dumps(config | {"data": "fashion-mnist"}))
    write_report(gather(quick, quick / "nowhere", fetch=False))
    page = page_of(quick)
    summary = json.loads((quick / "summary.json").read_text())
    assert f"{summary['test_accuracy']:.2f}" in page.words("figure")
    assert "Fashion-MNIST is not on this machine" in page.words("missing")
    assert "could not be evaluated" in page.words("classes")
    assert not (quick / "mistakes-test.csv").exists()
    check_structure(page)


def test_without_mistakes_the_page_says_so_and_the_tables_are_empty(quick):
    findings = gather(quick, source=few_digits())
    assert findings.test is not None
    flawless = dataclasses.replace(findings.test, mistakes=())
    write_report(dataclasses.replace(findings, test=flawless))
    assert "None: all 40 images are classified correctly" in page_of(quick).words("mistakes")
    assert len((quick / "mistakes-test.csv").read_text().splitlines()) == 1


def test_weights_that_do_not_give_the_figure_are_warned_of(quick):
    summary = json.loads((quick / "summary.json").read_text())
    (quick / "summary.json").write_text(json.dumps(summary | {"test_accuracy": 99.99}))
    write_report(gather(quick, source=few_digits()))
    page = page_of(quick)
    reached = gather(quick, source=few_digits()).test
    assert reached is not None
    assert "states 99.99 % test accuracy, but the weights now reach" in page.words("missing")
    assert f"{reached.evaluation.accuracy:.2f}" in page.words("figure")
    assert "contradict each other" in page.words("figure")
    assert "99.99" not in page.words("figure")


def test_the_most_confident_come_first_where_asked_for(quick):
    write_report(gather(quick, source=few_digits()), "most-confident")
    rows = page_of(quick).table("Misclassified, the most confident first")[1:]
    assert [float(row[3]) for row in rows] == sorted((float(row[3]) for row in rows), reverse=True)


def test_a_new_report_leaves_nothing_of_an_earlier_one(quick):
    (quick / "lr.png").write_bytes(b"of an earlier report")
    (quick / "notes.png").write_bytes(b"the user's own")
    write_report(gather(quick, source=few_digits()))
    assert not (quick / "lr.png").exists()
    assert (quick / "notes.png").exists()
    assert not list(quick.glob(".*.part"))


def test_the_same_run_gives_the_same_page(quick):
    write_report(gather(quick, source=few_digits()))
    first = (quick / "report.html").read_bytes()
    write_report(gather(quick, source=few_digits()))
    assert (quick / "report.html").read_bytes() == first


def test_a_folder_that_is_not_a_run_is_refused(tmp_path):
    with pytest.raises(RunError, match=r"config\.json: does not exist; expected a run folder"):
        gather(tmp_path)


def test_train_ends_with_a_report_and_the_command_writes_it_again(tmp_path, monkeypatch, capsys):
    without_pictures(monkeypatch)
    settings = tmp_path / "short.toml"
    settings.write_text('data = "digits"\nepochs = 1\nlr = 0.1\ndevice = "cpu"\nthreads = 1\nprecision = "float32"\n')
    path = tmp_path / "run"
    assert main(["train", "--config", str(settings), "--out", str(path)]) == 0
    assert re.search(rf"^  open the report .*{re.escape(str(path / 'report.html'))}$", capsys.readouterr().out,
                     re.MULTILINE)
    written = (path / "report.html").read_bytes()
    assert main(["report", str(path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["page"] == str(path / "report.html")
    assert [Path(name).name for name in told["tables"]] == ["mistakes-test.csv", "mistakes-train.csv"]
    assert any("lr.json" in text for text in told["missing"])
    assert (path / "report.html").read_bytes() == written
    assert main(["report", str(path), "--images", "0"]) == 2
    assert main(["report", str(tmp_path)]) == 1
    assert "expected a run folder" in capsys.readouterr().err


def test_the_strip_places_its_marks_in_proportion():
    found = strip(99.54, (99.39, 99.65), 99.4)
    assert found.target is not None
    per_point = (found.high.place - found.low.place) / (99.65 - 99.39)
    assert found.value.place - found.low.place == pytest.approx(per_point * 0.15, abs=0.02)
    assert found.target.place - found.low.place == pytest.approx(per_point * 0.01, abs=0.02)
    assert 0 < found.low.place < found.high.place < 100
    alone = strip(100.0, (100.0, 100.0), 0)
    assert alone.target is None
    assert 0 < alone.value.place < 100


@pytest.mark.parametrize(("value", "text"), [(None, "–"), (float("nan"), "–"), (99.456, "99.46"), (0.0, "0.00")])
def test_a_share_that_is_not_defined_is_a_dash(value, text):
    assert percent(value) == text


def test_a_template_that_lacks_something_fails_rather_than_showing_nothing():
    with pytest.raises(UndefinedError, match="is undefined"):
        render("comparison/templates/compare.html.jinja", "title", sections={"recipes": "R"}, names=["a"])
