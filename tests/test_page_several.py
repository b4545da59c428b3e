"""The page reads several characters as Python does: the same candidates, inputs, boxes, costs and text."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import mnist_ops
from mnist_ops.classifier import Classifier
from mnist_ops.data.source import read
from mnist_ops.errors import DataError
from mnist_ops.export.fold_norms import fold_trained
from mnist_ops.export.javascript import NODE
from mnist_ops.export.page import page_html, template
from mnist_ops.pictures.candidates import Candidate, rows_of
from mnist_ops.pictures.costs import costs as costs_of
from mnist_ops.pictures.read import read_image
from mnist_ops.pictures.sampling import shrink
from mnist_ops.pictures.several import LONGEST, read_several
from mnist_ops.run.named import find_run
from mnist_ops.run.trained import load_trained
from tests.browser import as_base64
from tests.conftest import DATA
from tests.test_several import written
from tools.whole_numbers import drawings, numbers

CASES = DATA.parent / "cases" / "pictures"
FIELDS = ("first", "last", "width", "height", "gap", "cut", "crossings", "joined", "uncut")
READ = """
const read = ([text, width, height]) => {
  const values = Uint8Array.from(Buffer.from(text, 'base64'));
  return {several: mnistOps.several(values, width, height), found: mnistOps.candidates(values, width, height),
    more: mnistOps.more(values, width, height)};
};
const plain = (key, value) => ArrayBuffer.isView(value) ? Array.from(value) : value;
console.log(JSON.stringify(JSON.parse(require('fs').readFileSync(0)).map(read), plain));
"""


@pytest.fixture(scope="module")
def trained():
    return load_trained(find_run("default"))


@pytest.fixture(scope="module")
def script(trained, tmp_path_factory):
    """The page's script with READ, for Node.js."""
    if not any(map(shutil.which, NODE)):
        pytest.skip(f"needs Node.js: none of {', '.join(NODE)} is here")
    data, code = re.findall(r"<script[^>]*>(.*?)</script>", page_html(trained, fold_trained(trained)), re.DOTALL)
    file = tmp_path_factory.mktemp("node") / "read.cjs"
    page = f"{{getElementById: () => ({{textContent: {json.dumps(data)}}}), addEventListener() {{}}}}"
    file.write_text(f"globalThis.document = {page};\n{code}{READ}", encoding="utf-8")
    return file


def in_node(script: Path, images: list[np.ndarray]) -> list[dict[str, Any]]:
    """What the page's script makes of each image."""
    told = json.dumps([[as_base64(image), image.shape[1], image.shape[0]] for image in images])
    program = next(filter(None, map(shutil.which, NODE)))
    done = subprocess.run([program, script], input=told, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def box(one: dict[str, Any]) -> tuple[int, ...]:
    return tuple(one["box"][edge] for edge in ("top", "left", "bottom", "right"))


def own(one: Candidate) -> tuple[Any, ...]:
    return one.box, *(getattr(one, name) for name in FIELDS), one.seen.ravel().tolist()


def assert_same(script: Path, images: list[np.ndarray]) -> None:
    """All candidates with their inputs, the text, the boxes, and the number of further characters."""
    classifier = mnist_ops.load("default")
    for image, theirs in zip(images, in_node(script, images), strict=True):
        try:
            rows, marks = rows_of(shrink(image, LONGEST))
        except DataError:
            assert theirs["found"] is None
        else:
            assert theirs["found"]["marks"] == marks
            assert [[(box(one), *(one[name] for name in FIELDS), one["seen"]) for one in row]
                    for row in theirs["found"]["rows"]] == [list(map(own, row)) for row in rows]
        assert read_by_page(theirs["several"]) == read_by_python(classifier, image)
        assert theirs["more"] == further(classifier, image)


def read_by_page(several: dict[str, Any] | None) -> Any:
    return several and [[(str(one["best"]), box(one), one["seen"]) for one in line] for line in several["lines"]]


def read_by_python(classifier: Classifier, image: np.ndarray) -> Any:
    try:
        found = read_several(image, "mnist", classifier.logits, classifier.classes)
    except DataError:
        return None
    rest = list(found.characters)
    return [[(one.label, one.box, one.seen.ravel().tolist()) for one in [rest.pop(0) for _ in line]]
            for line in found.text.split("\n")]


def further(classifier: Classifier, image: np.ndarray) -> int | None:
    """As the warning says; None without ink."""
    try:
        found = re.findall(r"at least (\d+) more of that size", " ".join(classifier.read(image).warnings))
    except DataError:
        return None
    return int(found[0]) if found else 0


# --- What it computes -------------------------------------------------------------------------------------------------

def test_numbers_of_mnists_digits_are_read_as_python_reads_them(script, mnist_dir):
    train = read("mnist", mnist_dir).train
    assert_same(script, [one.image for one in numbers(list(train.images), train.labels.tolist(), 6, seed=11)])


def test_numbers_of_drawings_are_read_as_python_reads_them(script, mnist_dir):
    folder = mnist_dir / "drawn"
    if not folder.is_dir():
        pytest.skip(f"needs the drawings: {folder} is not there; name a folder that has drawn/ with MNIST_OPS_DATA")
    assert_same(script, [one.image for one in numbers(*drawings(folder), 3, seed=12)])


def test_rows_forms_large_pictures_and_tones_are_read_as_python_reads_them(script):
    form = Image.fromarray(written("7021", step=120))
    for place in range(4):
        cell = np.full((156, 100), 255, np.uint8)
        cell[3:-3, 3:-3] = np.array(form.crop((23 + 120 * place, 15, 117 + 120 * place, 165)))
        form.paste(Image.fromarray(cell), (20 + 120 * place, 12))
    dashed = written("70", step=220)
    dashed[86:94, 160:200] = 20
    large = np.array(Image.fromarray(written("72")).resize((1680, 1200)))
    assert_same(script, [written("7021", "12"), 255 - written("702"), np.array(form), dashed, large,
                         written("00", step=66), *read("digits").test.images[:2]])


def test_random_pictures_and_nothing_are_read_as_python_reads_them(script):
    random = np.random.default_rng(4)
    images = [random.integers(0, 256, (int(side), 47), dtype=np.uint8) for side in random.integers(1, 150, 4)]
    blocks = [np.kron(random.integers(0, 2, size), np.full((9, 9), 255)).astype(np.uint8)
              for size in ((9, 12), (12, 30), (5, 6))]
    bar = np.zeros((28, 28), np.uint8)
    bar[4:24, 12:17] = 254
    assert_same(script, [*images, *blocks, bar, 255 - bar, np.full((90, 160), 200, np.uint8)])


def test_pictures_of_known_troubles_are_read_as_python_reads_them(script):
    files = sorted(path for path in CASES.glob("*/*/*") if path.suffix in (".png", ".jpg"))
    if not files:
        pytest.skip(f"needs pictures: {CASES} has none")
    images = []
    for path in files:
        try:
            images.append(read_image(path).pixels)
        except DataError:
            continue
    assert_same(script, [one for one in images if one.size < 500_000])


@pytest.mark.parametrize("classes", ["0123456789", "abcdefghij"])
def test_the_costs_are_those_of_python(tmp_path, script, mnist_dir, classes):
    train = read("mnist", mnist_dir).train
    [one] = numbers(list(train.images), train.labels.tolist(), 1, seed=13)
    file = tmp_path / "costs.cjs"
    code = script.read_text(encoding="utf-8").replace("logits: (pixels)", "costs: costsOf, logits: (pixels)", 1)
    if classes != "0123456789":
        code = code.replace("DATA.classes.join() !==", "DATA.classes.join(0) !==", 1)
    costs = """costs: mnistOps.candidates(values, width, height).rows.map(
        (row) => mnistOps.costs(row, row.map(({seen}) => mnistOps.answer(seen)))), more: mnistOps"""
    file.write_text(code.replace("more: mnistOps", costs, 1), encoding="utf-8")
    rows, _ = rows_of(shrink(one.image, LONGEST))
    for row, theirs in zip(rows, in_node(file, [one.image])[0]["costs"], strict=True):
        logits = mnist_ops.load("default").logits(np.stack([candidate.seen for candidate in row]))
        np.testing.assert_allclose(theirs, costs_of(row, logits, tuple(classes)), atol=1e-2)


def test_no_two_scripts_name_a_function_alike():
    from mnist_ops.export.page import SCRIPTS

    names = [name for one in SCRIPTS for name in re.findall(r"^(?:async )?function (\w+)", template(f"{one}.js"), re.M)]
    assert sorted(names) == sorted(set(names))
