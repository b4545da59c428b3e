"""Every hostile text in every output that shows names: each is read by a parser of its kind, which finds the same text,
made legible, and nothing that it has begun or ended."""

import csv
import io
import json
import re
import shutil
import string
import subprocess
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from markdown_it import MarkdownIt
from PIL import Image

from mnist_ops.cli.answers import as_csv as pictures_csv
from mnist_ops.cli.main import main
from mnist_ops.cli.output import show, warn
from mnist_ops.cli.submission import _submission
from mnist_ops.comparison.page import write_comparison
from mnist_ops.comparison.pairs import pairs
from mnist_ops.comparison.runs import group, read_runs
from mnist_ops.data.dataset import ImageDataset, ImageSet
from mnist_ops.data.pixel_table import Table
from mnist_ops.engine.compiler import c_compiler
from mnist_ops.errors import legible
from mnist_ops.export.c.arduino import export_arduino
from mnist_ops.export.c.code import comment
from mnist_ops.export.c.compiler import STRICT
from mnist_ops.export.c.target import Wanted, export_c
from mnist_ops.export.model_card import Facts, card
from mnist_ops.export.proof import expect
from mnist_ops.export.targets import Subject, export_html, export_onnx
from mnist_ops.report import style
from mnist_ops.report.findings import gather
from mnist_ops.report.report import write_report
from mnist_ops.run.folder import read_json
from mnist_ops.run.trained import load_trained
from mnist_ops.score.mistakes import Mistake, as_csv
from mnist_ops.suspects.confident import Doubt
from mnist_ops.suspects.find import Suspects
from mnist_ops.suspects.find import as_csv as suspects_csv
from tests import browser as chromium
from tests.hostile_texts import NAMES, SHOWN, TEXTS, hidden
from tests.html_reading import Page, check_self_contained, check_structure
from tests.miniature import SHORT, train

browser, tab = chromium.browser_fixture, chromium.tab_fixture
MARK = re.compile(rf"[{re.escape(string.ascii_letters + string.digits)}]")
TAGS = {"html", "head", "meta", "title", "style", "body", "a", "div", "header", "p", "h1", "h2", "h3", "code", "nav",
        "ol", "ul", "li", "main", "section", "span", "small", "dl", "dt", "dd", "figure", "figcaption", "img", "table",
        "thead", "tbody", "tr", "th", "td", "details", "summary", "pre", "footer", "strong"}
ATTRIBUTES = {"lang", "charset", "http-equiv", "content", "name", "class", "href", "id", "tabindex", "aria-label",
              "aria-labelledby", "role", "src", "width", "height", "alt", "scope"}
ALL = pytest.mark.parametrize("name", NAMES, ids=list(TEXTS))


def images(seed: int) -> ImageSet:
    """Two grey pictures of each class, darker or lighter by class, whose files have hostile names."""
    labels = np.arange(2 * len(NAMES)) % len(NAMES)
    noise = np.random.default_rng(seed).integers(0, 40, (len(labels), 28, 28))
    pictures = (noise + 6 * labels[:, None, None]).astype(np.uint8)
    return ImageSet(pictures, labels, tuple(NAMES[label] for label in labels))


def hostile_data() -> ImageDataset:
    """What a folder of pictures could hold, under names that no file system would take."""
    return ImageDataset("/home/somebody/data", NAMES, images(0), images(1), tuple(f"about {one}" for one in NAMES))


def blank(path: Path, figure: object) -> Path:
    Image.new("L", (8, 8)).save(path)
    return path


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Two runs, the report of one, and their comparison. Pictures are made, but not painted, which takes long."""
    root, source = tmp_path_factory.mktemp("hostile"), hostile_data()
    for seed, name in enumerate(("\n".join(NAMES), "other\u202e</h1>")):
        train(replace(SHORT, recipe=name, epochs=1, target=99.4, seed=seed), root / f"s{seed}", source=source)
    recipes, warnings = group(read_runs([root])[0])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(style, "save", blank)
        write_report(gather(root / "s0", source=source), images=8)
        write_comparison(root / "compare.html", recipes, pairs(recipes), [*warnings, *NAMES])
    return root


@pytest.fixture(scope="module")
def subject(root):
    """The network of the first run, whose own names are hostile too."""
    trained, test = load_trained(root / "s0"), images(1)
    trained = replace(trained, model=TEXTS["end of code"], dataset=TEXTS["picture"])
    return Subject(trained, test.images, expect(trained, test), images(0).images, f"images of {' '.join(NAMES)}",
                   own=False)


# --- Pages ------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("file", ["s0/report.html", "compare.html"])
def test_a_page_shows_texts_and_has_no_element_of_theirs(root, file):
    source = (root / file).read_text("utf-8")
    page = Page(source)
    check_self_contained(page)
    check_structure(page)
    assert hidden(source) == set()
    said = " ".join(page.all("body")[0].text.split())
    assert [one for one in SHOWN if " ".join(legible(one, lines=True).split()) not in said] == []
    assert {one.tag for one in page.elements} <= TAGS
    assert {name for one in page.elements for name in one.attributes} <= ATTRIBUTES


@pytest.mark.parametrize("file", ["s0/report.html", "compare.html", "page.html"])
def test_no_page_runs_a_script_that_was_put_into_it(root, subject, browser, tmp_path, file):
    """As if a text had not been escaped: in markup, as an event of an element, as an address and as a style."""
    source = export_html(subject).files[".html"].decode() if file == "page.html" else (root / file).read_text("utf-8")
    page, told, asked = browser.new_page(), [], []
    page.on("console", lambda message: told.append(message.text))
    page.on("requestfinished", lambda request: asked.append(request.url))
    page.on("requestfailed", lambda request: asked.extend([request.url] * (request.failure != "csp")))
    place = tmp_path / "page.html"
    put = ("<a id=go href=\"javascript:document.title = 'executed'\">go</a>"
           "<script>document.title = 'executed'</script><img src=data:, onerror=\"document.title = 'executed'\">"
           "<iframe srcdoc=\"<script>parent.document.title = 'executed'</script>\"></iframe>"
           "<style>body { display: none }</style><p style='color: red'>"
           "<img src=https://evil.example/x.png><base href=https://evil.example/>"
           "<link rel=stylesheet href=https://evil.example/x.css><script src=https://evil.example/x.js></script>"
           "<object data=https://evil.example/x></object><iframe src=https://evil.example></iframe>")
    for text, least in (("", 0), (put, 12)):
        told.clear()
        asked.clear()
        place.write_text(source.replace("<body>", f"<body>{text}", 1), encoding="utf-8")
        page.goto(place.as_uri())
        if text:
            page.evaluate("document.getElementById('go').click()")
            page.wait_for_timeout(50)
        assert [one for one in told if "Content Security Policy" not in one] == []
        assert len(told) >= least
        assert bool(told) == bool(text)
        assert page.title() != "executed"
        assert page.evaluate("getComputedStyle(document.body).display") != "none"
        assert [one for one in asked if "evil" in one] == []
    page.close()


def test_the_page_that_reads_drawings_shows_texts(subject, tab, tmp_path):
    text = export_html(subject).files[".html"].decode()
    assert hidden(text) == set()
    (data, _) = [one.text for one in Page(text).all("script")]
    assert json.loads(data)["classes"] == list(SHOWN)
    (tmp_path / "page.html").write_text(text, encoding="utf-8")
    tab.open(tmp_path / "page.html")
    tab.draw([[(0.52, 0.18), (0.48, 0.82)]])
    tab.page.wait_for_function("() => document.getElementById('class').textContent")
    assert tab.run("() => [...document.querySelectorAll('#bars .name')].map((one) => one.textContent)") == list(SHOWN)
    assert "executed" not in tab.page.title()
    assert tab.page.locator("img, svg, script:not([type]) ~ script, b, a:not(.skip)").count() == 0
    assert tab.run("() => document.documentElement.scrollWidth") == 1280


# --- Markdown ---------------------------------------------------------------------------------------------------------

def test_a_model_card_has_no_heading_link_or_row_of_a_text(subject):
    made = export_html(subject)
    for name in NAMES:
        summary = {"seed": 0, "recipe": name, "epochs": 1, "test_accuracy": 50.0, "test_images": 80, "dataset": name,
                   "interval": [40.0, 60.0], "started_from": name}
        record = {"recipe": name, "sd": None, "n": 1, "mean": 50.0, "dataset": name}
        one = replace(subject, trained=replace(subject.trained, model=name, dataset=name))
        facts = Facts(f"{name}.onnx", made.interface, summary, record, f"images of {name}", made.sizes)
        text = card(one.trained, facts, made.proof, subject.expected)
        assert hidden(text) == set()
        page = Page(MarkdownIt("gfm-like", {"linkify": False}).render(text))
        assert page.unclosed == []
        assert {one.tag for one in page.elements} <= TAGS - {"a", "img", "h3", "style", "strong"}, name
        assert [one.text for one in page.all("h2")] == ["Input and output", "Accuracy", "Intended use",
                                                        "Known failures", "Data and licence"]
        assert (len(page.all("h1")), len(page.all("ul")), len(page.all("table"))) == (1, 3, 2)
        said = " ".join(" ".join(one.text for one in page.elements if len(one.path) < 1).split())
        assert said.count(" ".join(legible(name).split())) >= 9, name
        bare = re.sub(r"`+.*?`+", "", text)
        assert re.findall(r"https?://(?!github)|(?<!\\)www\.\w|\w@\w", bare.replace("\\:", "").replace("\\.", "")) == []


def test_commands_and_code_in_a_card_quote_the_name_of_the_file(subject):
    snippets = export_onnx(subject, 'x"); import os; os.system("x`\n```\n# a.onnx').snippets
    assert len(snippets) == 3
    for one in snippets:
        assert "\n```" not in one.text
        if one.language == "python":
            compile(one.text, "snippet", "exec")
        assert r'"x\"); import os; os.system(\"x`\n```\n# a.onnx"' in one.text


# --- Tables -----------------------------------------------------------------------------------------------------------

def begins_formulas(cell: str) -> bool:
    """Whether a spreadsheet would compute the cell, if it separates cells by semicolons too."""
    return any(re.match("[=+@＝＋－＠\t\r-].", one.strip(' "')) and not re.fullmatch(r"-?\d+(\.\d+)?", one)  # noqa: RUF001
               for one in cell.split(";"))


def tables() -> dict[str, str]:
    """Every table that commands write, of a row for each text."""
    numbers = range(len(NAMES))
    mistakes = [Mistake(number, NAMES[number], number, number, 0.5, 0.4) for number in numbers]
    read = [{"file": one, "class": one, "probability": 0.5, "verdict": "read", "label": one, "correct": True}
            for one in NAMES]
    failed = [{"file": one, "error": one, "label": one} for one in NAMES]
    several = [{"file": one, "text": one, "characters": [{"probability": 0.5, "verdict": "read"}]} for one in NAMES]
    doubts = tuple(Doubt(number, number, number, 0.1, 0.2, True) for number in numbers)
    return {"mistakes": as_csv(mistakes, NAMES), "predict": pictures_csv(read, False),
            "failed": pictures_csv(failed, False),
            "suspects": suspects_csv(Suspects(images(0), NAMES, SHORT, 2, np.zeros((1, 1)), doubts)),
            "several": pictures_csv(several, True),
            "submission": _submission(Table(np.zeros((1, 1, 1), np.uint8), None, None, 1, ()), list(NAMES))}


@pytest.mark.parametrize("kind", ["mistakes", "predict", "failed", "suspects", "several", "submission"])
def test_a_table_is_read_back_and_no_cell_is_a_formula(kind):
    text = tables()[kind]
    assert hidden(text, "\r\n") == set()
    head, *rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    assert len(rows) == len(NAMES)
    for row, shown in zip(rows, SHOWN, strict=True):
        assert len(row) == len(head)
        assert [cell for cell in row if begins_formulas(cell)] == []
        names = [cell for cell in row if MARK.search(cell) and cell not in ("yes", "no", "read")
                 and not re.fullmatch(r"[\d.]+", cell)]
        assert names
        for cell in names:  # what a program reads is the text, after what keeps it from being computed
            assert re.sub(r"^(\./|')", "", cell).replace(r"\x3b", ";") == shown


# --- C ----------------------------------------------------------------------------------------------------------------

def test_c_code_holds_the_texts_and_nothing_of_them_is_compiled(subject, tmp_path):
    if c_compiler() is None:
        pytest.skip("needs a C compiler: none of $CC, cc, gcc, clang is here")
    made = export_c(subject, Wanted("tiny", "tiny", floating=True))  # compiled, run and compared in there
    for ending, content in (made.files | made.beside).items():
        (tmp_path / (ending if "." in ending[1:] else f"tiny{ending}")).write_bytes(content)
        assert hidden(content.decode("ascii")) == set()
    (tmp_path / "main.c").write_text('#include <stdio.h>\n#include "tiny.h"\nint main(void)\n{\n    int i;\n'
                                     "    for (i = 0; i < TINY_CLASSES; i++)\n        puts(tiny_classes[i]);\n"
                                     "    return 0;\n}\n")
    for program in filter(shutil.which, ("gcc", "clang")):
        words = [*STRICT, "-trigraphs", "-Wtrigraphs", "-Wcomment", "-Werror"]
        words += ["-Wbidi-chars=any"] if program == "gcc" else []
        for main_file in ("main.c", "example_main.c"):
            subprocess.run([program, *words, "-o", "out", main_file, "tiny.c"], check=True, cwd=tmp_path)
            said = subprocess.run([tmp_path / "out"], check=True, capture_output=True).stdout.decode()
            if main_file == "main.c":
                assert said.splitlines() == list(SHOWN)


@ALL
def test_a_comment_stays_one_line_that_ends_nothing(name):
    found = comment(f"{name}{name}")
    assert found.isascii()
    assert found.isprintable()
    assert not [one for one in ("*/", "/*", "\\", "??") if one in found]


def test_an_arduino_library_has_the_properties_that_it_should(subject):
    if c_compiler() is None:
        pytest.skip("needs a C compiler: none of $CC, cc, gcc, clang is here")
    content = export_arduino(replace(subject, data=f"pictures of {TEXTS['property']}"),
                             Wanted("tiny", "x; y.zip\n```", floating=True))
    with zipfile.ZipFile(io.BytesIO(content.files[".zip"])) as archive:
        assert [name for name in archive.namelist() if not re.fullmatch(r"tiny/[a-z_/.]+", name)] == []
        for name in archive.namelist():
            assert hidden(archive.read(name).decode("ascii")) == set()
        lines = archive.read("tiny/library.properties").decode().splitlines()
    assert [line.partition("=")[0] for line in lines] == [
        "name", "version", "author", "maintainer", "sentence", "paragraph", "category", "url", "architectures",
        "includes"]
    assert "url=https://pypi.org/project/mnist-ops/" in lines
    assert content.snippets[0].text.endswith(r" --zip-path 'x; y.zip\n```.zip'")


# --- ONNX, the terminal, JSON -----------------------------------------------------------------------------------------

def test_the_metadata_of_onnx_has_a_line_for_each_class(subject):
    import onnx

    model = onnx.load_model_from_string(export_onnx(subject).files[".onnx"])
    found = {one.key: one.value for one in model.metadata_props}
    assert found["classes"].split("\n") == list(SHOWN)
    assert (found["model"], found["dataset"]) == (TEXTS["end of code"], TEXTS["picture"])


@pytest.mark.parametrize("words", [["score", "RUN"], ["predict", "RUN", "PICTURE"], ["compare", "RUN", "OTHER"],
                                   ["check", "RUN", "--accuracy", "101"], ["export", "RUN", "--to", "onnx"],
                                   ["predict", "RUN", "PICTURE", "--json"],
                                   ["predict", *NAMES[:3]], ["train", NAMES[10]], ["train", "--config", NAMES[13]]],
                         ids=lambda words: " ".join(words[:1] + words[2:])[:30].encode("unicode_escape").decode())
@pytest.mark.parametrize("terminal", [False, True])
def test_nothing_that_a_command_says_moves_the_cursor_or_is_markup(root, words, terminal, tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if terminal:
        monkeypatch.setattr("mnist_ops.cli.output.draws", lambda stream: True)
        monkeypatch.setattr("mnist_ops.cli.predict.draws", lambda stream: True)
    Image.fromarray(images(1).images[40]).save(tmp_path / "picture.png")
    places = {"RUN": str(root / "s0"), "OTHER": str(root / "s1"), "PICTURE": str(tmp_path / "picture.png")}
    main([places.get(word, word) for word in words])
    said = capfd.readouterr()
    assert said.out + said.err
    assert hidden(said.out + said.err) == set()
    if "--json" in words:
        json.loads(said.out)


@ALL
def test_a_text_is_said_as_it_is(name, capfd):
    show(name)
    warn(name)
    said = capfd.readouterr()
    assert hidden(said.out + said.err) == set()
    assert said.out == f"{legible(name, lines=True)}\n"


def test_files_for_programs_hold_the_names_themselves(root):
    assert load_trained(root / "s0").classes == NAMES
    assert read_json(root / "s0" / "config.json")["recipe"] == "\n".join(NAMES)
