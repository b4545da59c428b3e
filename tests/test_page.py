"""The HTML page in a real browser: PyTorch's classes, the pictures of `prepare`, and every way to use it."""

import base64
import html
import io
import json
import os
import re
import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFilter

from mnist_ops.arch.layers import AdaptiveAvgPool, AvgPool, Conv, MaxPool, Norm, ReLU, Residual
from mnist_ops.arch.zoo import INPUT, MODELS
from mnist_ops.classifier import Classifier
from mnist_ops.cli.main import main
from mnist_ops.data.source import read
from mnist_ops.errors import DataError, RunError, legible
from mnist_ops.export.fold_norms import Convolution, fold_trained
from mnist_ops.export.forward import logits
from mnist_ops.export.page import MOST_BYTES, packed, page_html
from mnist_ops.model import build
from mnist_ops.pictures.prepare import METHODS, prepare, prepared_file
from mnist_ops.pictures.read import read_image
from mnist_ops.run.trained import TrainedNetwork, load_trained, save_trained
from tests.browser import Tab, as_base64, browser_fixture, tab_fixture  # noqa: F401
from tests.conftest import DATA
from tests.small_networks import trained

DRAWN = {  # in the drawing area, as one draws with a mouse
    "1": [[(0.52, 0.18), (0.48, 0.82)]],
    "7": [[(0.28, 0.25), (0.72, 0.25), (0.5, 0.55), (0.42, 0.82)]],
    "0": [[(0.5, 0.18), (0.36, 0.24), (0.29, 0.4), (0.28, 0.58), (0.34, 0.74), (0.48, 0.82), (0.62, 0.77), (0.7, 0.62),
           (0.71, 0.42), (0.64, 0.25), (0.5, 0.18)]],
}
NASTY = ("</script><img src=x onerror=alert(1)>", "<b>bold</b>", "&amp;", "'\"`${1}", "<!--<script>", "\u2028日本")
BYTES = "text => Uint8Array.from(atob(text), (character) => character.charCodeAt(0))"


@cache
def shipped() -> TrainedNetwork:
    """The default weights, inside the package."""
    from mnist_ops.run.named import find_run

    return load_trained(find_run("default"))


@cache
def untrained(prepared: str = "mnist", classes: tuple[str, ...] = tuple("0123456789")) -> TrainedNetwork:
    """Every kind of layer, with numbers drawn at random, those of the normalisations too."""
    layers = (Conv(6, padding=1, bias=True), Norm(), MaxPool(3, 2, 1), ReLU(), Residual((Conv(6, padding=1), Norm())),
              Conv(8, 2, stride=2, dilation=2, groups=2, padding=1), Norm(), ReLU(), MaxPool(2, dilation=2),
              AvgPool(2, 1, 1), Norm(), Conv(6, 1), AdaptiveAvgPool(2), Conv(len(classes), 2))
    network = build(layers, INPUT, torch.Generator().manual_seed(1))
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if value.ndim == 1 and "num" not in name:
                value.uniform_(0.2, 2, generator=generator)
                if name.endswith("weight"):
                    value[::2] *= -1
    return TrainedNetwork(network.eval(), layers, "odd", "noise", classes, prepared, (0.13,), (0.31,))


def page_of(trained: TrainedNetwork, folder: Path) -> Path:
    path = folder / "page.html"
    path.write_text(page_html(trained, fold_trained(trained)), encoding="utf-8")
    return path


def of_side(page: Path, side: int) -> Path:
    """The same page, but the network's input in its data is a square of that side."""
    text = page.read_text(encoding="utf-8")
    assert text.count('"input":[1,28,28]') == 1
    page.write_text(text.replace('"input":[1,28,28]', f'"input":[1,{side},{side}]'), encoding="utf-8")
    return page


def page_logits(tab: Tab, images: np.ndarray) -> np.ndarray:
    code = f"""([text, size]) => {{ const all = ({BYTES})(text);
      return Array.from({{length: all.length / size}},
        (_, index) => Array.from(mnistOps.logits(all.subarray(index * size, (index + 1) * size)))); }}"""
    return np.array(tab.run(code, [as_base64(images), images[0].size]))


def page_prepared(tab: Tab, image: np.ndarray) -> np.ndarray | None:
    """What the page makes of a picture; None if it finds no ink."""
    code = (f"([text, width, height]) => {{ const made = mnistOps.prepare(({BYTES})(text), width, height);"
            "return made && Array.from(made); }")
    made = tab.run(code, [as_base64(image), image.shape[1], image.shape[0]])
    return None if made is None else np.array(made)


def prepared(image: np.ndarray, how: str) -> np.ndarray | None:
    try:
        return prepare(image, how).astype(int)
    except DataError:
        return None


def largest_difference(tab: Tab, images: list[np.ndarray], how: str) -> int:
    """Of any pixel, between the page's preparation and Python's; 256 where only one of them finds ink."""
    worst = 0
    for image in images:
        ours, theirs = prepared(image, how), page_prepared(tab, image)
        if ours is None or theirs is None:
            worst = max(worst, 256 * ((ours is None) != (theirs is None)))
        else:
            worst = max(worst, int(np.abs(ours.ravel() - theirs).max()))
    return worst


def picture(size: tuple[int, int], *, width: int = 4, seed: int = 0) -> np.ndarray:
    """A figure like a 2, somewhere on paper in uneven light, blurred and noisy, of `size` (width, height)."""
    generator = np.random.default_rng(seed)
    image = Image.new("L", size, 255)
    side = 0.6 * min(size)
    left, top = generator.uniform(0, size[0] - side), generator.uniform(0, size[1] - side)
    points = [(0.2, 0.3), (0.5, 0.05), (0.8, 0.3), (0.2, 0.95), (0.85, 0.95)]
    ImageDraw.Draw(image).line([(left + x * side, top + y * side) for x, y in points], 20, width)
    grey = np.asarray(image.filter(ImageFilter.GaussianBlur(0.7))).astype(float)
    light = 1 - 0.4 * np.linspace(0, 1, size[0]) * np.linspace(1, 0.5, size[1])[:, None]
    return np.clip(grey * light + generator.normal(0, 2, grey.shape), 0, 255).astype(np.uint8)


def seen(tab: Tab) -> np.ndarray:
    """What the page shows as seen by the network, (side, side)."""
    side, pixels = tab.run("""() => {
      const canvas = document.getElementById('input'), {width, height} = canvas;
      return [width, Array.from(canvas.getContext('2d').getImageData(0, 0, width, height).data)]; }""")
    return np.array(pixels).reshape(side, side, 4)[..., 0]


def hand_over(tab: Tab, content: bytes, name: str, event: str) -> None:
    """Drop a file on the page, or paste it."""
    tab.run(f"""([text, name, event]) => {{
      const data = new DataTransfer();
      data.items.add(new File([({BYTES})(text)], name));
      document.getElementById('pad').dispatchEvent(event === 'drop'
        ? new DragEvent('drop', {{dataTransfer: data, bubbles: true}})
        : new ClipboardEvent('paste', {{clipboardData: data, bubbles: true}})); }}""",
            [base64.b64encode(content).decode(), name, event])


def png(image: np.ndarray) -> bytes:
    content = io.BytesIO()
    Image.fromarray(image).save(content, "PNG")
    return content.getvalue()


def wait_for_text(tab: Tab, text: str) -> None:
    tab.page.wait_for_function("text => document.getElementById('status').textContent.startsWith(text)", arg=text)


# --- What it computes -------------------------------------------------------------------------------------------------

def test_the_page_gives_pytorchs_classes_on_all_test_images(tab, tmp_path, mnist_dir):
    trained, test = shipped(), read("mnist", mnist_dir).test
    tab.open(page_of(trained, tmp_path))
    with torch.no_grad():
        scaled = (torch.tensor(test.images[:, None]) / 255 - trained.mean[0]) / trained.sd[0]
        expected = torch.cat([trained.network(part) for part in scaled.split(500)]).double()
    best = expected.topk(2).values
    tied = (best[:, 0] - best[:, 1] <= 1e-4).numpy()
    found = page_logits(tab, test.images)
    differ = found.argmax(1) != expected.argmax(1).numpy()
    assert (differ & ~tied).sum() == 0
    assert np.abs(found - expected.numpy()).max() < 1e-4
    assert (found.argmax(1) == test.labels).mean() > 0.99


def test_every_kind_of_layer_computes_what_the_folded_network_does(tab, tmp_path):
    trained = untrained()
    images = np.random.default_rng(3).integers(0, 256, (20, 28, 28), dtype=np.uint8)
    tab.open(page_of(trained, tmp_path))
    expected = logits(fold_trained(trained), images)
    np.testing.assert_allclose(page_logits(tab, images), expected, atol=1e-9 * np.abs(expected).max())


@pytest.mark.parametrize(("pixels", "side"), [(784, 32), (1024, 28), (783, 28), (0, 28)])
def test_an_image_of_another_size_is_refused_with_both_numbers(tab, tmp_path, pixels, side):
    tab.open(of_side(page_of(untrained(), tmp_path), side))
    code = """size => ['logits', 'answer'].map((name) => {
      try { return mnistOps[name](new Uint8Array(size)); } catch (error) { return `${error}`; } })"""
    assert set(tab.run(code, pixels)) == {
        f"RangeError: The image has {pixels} pixels, but the network takes {side**2} pixels ({side}×{side})."}


def test_the_side_in_the_data_is_the_only_one(tab, tmp_path):
    trained = untrained("resize")
    tab.open(of_side(page_of(trained, tmp_path), 32))
    images = np.random.default_rng(5).integers(0, 256, (4, 32, 32), dtype=np.uint8)
    expected = logits(fold_trained(trained), images)
    np.testing.assert_allclose(page_logits(tab, images), expected, atol=1e-9 * np.abs(expected).max())
    for image in images:  # of that size they stay as they are
        np.testing.assert_array_equal(page_prepared(tab, image), image.ravel())
    tab.draw(DRAWN["7"])
    wait_for_text(tab, "Read as ")
    assert (seen(tab).shape, seen(tab).max()) == ((32, 32), 255)
    assert tab.text("#seen figcaption").startswith("What the network sees: 32×32 pixels")
    assert "32×32" in (tab.page.locator("#input").get_attribute("aria-label") or "")


def test_what_the_page_cannot_do_is_said_in_it(tab, tmp_path):
    tab.open(of_side(page_of(untrained("mnist"), tmp_path), 32))  # a preparation that always makes 28x28
    hand_over(tab, png(picture((70, 70))), "two.png", "drop")
    wait_for_text(tab, "The image has 784 pixels, but the network takes 1024 pixels (32×32).")
    assert tab.complaints.pop().startswith("The image has 784 pixels")
    assert tab.page.locator("#bars .best").count() == 0


def test_an_image_takes_less_than_five_milliseconds(tab, tmp_path):
    tab.open(page_of(shipped(), tmp_path))
    code = """() => Math.min(...Array.from({length: 50}, () => {
        const start = performance.now();
        mnistOps.answer(new Uint8Array(784).fill(99));
        return performance.now() - start; }))"""
    assert tab.run(code) < 5


def test_all_numbers_are_packed_in_order_as_float32():
    trained = untrained()
    operations = fold_trained(trained)
    data = packed(operations, INPUT)
    assert data["input"] == INPUT
    values = np.frombuffer(base64.b64decode(data["values"]), "<f4")
    (place, first), *_ = ((index, one) for index, one in enumerate(operations) if isinstance(one, Convolution))
    start, end = data["operations"][place]["weights"]
    np.testing.assert_array_equal(values[start:end].reshape(first.weights.shape), first.weights)
    residual = next(one for one in data["operations"] if one["type"] == "Sum")
    assert residual["body"][0]["type"] == "Convolution"
    ends = re.findall(r"\[\d+, (\d+)\]", json.dumps(data))
    assert max(map(int, ends)) == len(values)


# --- What it prepares -------------------------------------------------------------------------------------------------

def test_drawings_are_prepared_pixel_for_pixel_as_predict_does(tab, tmp_path):
    folder = DATA / "drawn" / "canvas"
    if not folder.is_dir():
        pytest.skip(f"needs the drawings: {folder} is not there; name a folder that has drawn/ with MNIST_OPS_DATA")
    tab.open(page_of(untrained(), tmp_path))
    images = [read_image(path).pixels for path in sorted(folder.glob("*/*.png"))]
    assert len(images) == 200
    assert largest_difference(tab, images, "mnist") <= 1


@pytest.mark.parametrize("how", ["mnist", "resize"])
def test_any_picture_is_prepared_as_in_python(tab, tmp_path, how):
    tab.open(page_of(untrained(how), tmp_path))
    generator = np.random.default_rng(4)
    sizes = [(28, 28), (90, 140), (128, 128), (333, 61), (700, 900)]
    images = [picture(size, width=2 + seed, seed=seed) for seed, size in enumerate(sizes)]
    images += [255 - image for image in images]
    images += [np.full((5, 9), 7, np.uint8), np.zeros((28, 28), np.uint8), np.full((1, 1), 255, np.uint8)]
    images += [generator.integers(0, 256, (int(side), 47), dtype=np.uint8) for side in generator.integers(1, 200, 6)]
    images += list(read("digits").test.images[:10])
    images += scenes()
    assert largest_difference(tab, images, how) <= 1


def scenes() -> list[np.ndarray]:
    """A drawing in a frame, on squared paper, as a hairline, with a pale part, with a flag apart, and stretched."""
    framed = np.pad(picture((200, 180), width=9), ((40, 60), (10, 0)), constant_values=20)
    squared = picture((280, 280), width=12)
    squared[::20] = squared[:, ::20] = 60
    pale = picture((150, 130), width=9)
    pale[70:] = 255 - (255 - pale[70:].astype(int)) // 3
    flag = np.full((140, 140), 255, np.uint8)
    flag[20:30, 40:90] = flag[60:120, 50:60] = flag[110:120, 50:95] = 0
    stretched = [np.array(Image.fromarray(flag[20:120, 40:95]).resize((side, side))) for side in (16, 100, 513)]
    return [framed, np.pad(framed, 30, constant_values=255), squared, picture((900, 700), width=1), pale, flag,
            *stretched]


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 48, 48)])
def test_a_picture_of_another_size_or_in_colour_is_prepared_as_in_python(tab, tmp_path, shape):
    one = trained(MODELS["separable-micro"], shape=shape)
    tab.open(page_of(one, tmp_path))
    generator = np.random.default_rng(5)
    for width, height in ((9, 5), (32, 32), (48, 48), (100, 61), (333, 500), (20, 300)):
        image = generator.integers(0, 256, (height, width, *shape[:1]), dtype=np.uint8)
        image = image if shape[0] == 3 else image[..., 0]
        code = (f"([text, width, height]) => Array.from(mnistOps.prepare(({BYTES})(text), width, height))")
        found = tab.run(code, [as_base64(planes(image)), width, height])
        assert found == prepare(image, "resize", shape[1]).ravel().tolist()


def planes(image: np.ndarray) -> np.ndarray:
    """(H, W, 3) -> (3, H, W), a plane after another, as the page has them."""
    return np.ascontiguousarray(np.moveaxis(image, -1, 0)) if image.ndim == 3 else image


def test_a_colour_picture_that_is_dropped_is_read_as_predict_reads_it(tab, tmp_path):
    one = replace(trained(MODELS["separable-micro"], shape=(3, 32, 32)), refusal=None)
    tab.open(page_of(one, tmp_path))
    path = tmp_path / "drop.png"
    colours = np.random.default_rng(6).integers(0, 256, (6, 7, 3), dtype=np.uint8)
    Image.fromarray(colours).resize((70, 60), Image.Resampling.NEAREST).save(path)
    tab.page.set_input_files("#file", path)
    reading = Classifier(one.network, one.classes, one.mean, one.sd, one.prepare, one.input_shape).read(path)
    wait_for_text(tab, f"Read as {reading.label}, ")
    shown = tab.run("""() => { const canvas = document.getElementById('input');
        return Array.from(canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data); }""")
    found = np.array(shown, np.uint8).reshape(32, 32, 4)[..., :3]
    np.testing.assert_array_equal(np.moveaxis(found, -1, 0), reading.seen)


# --- How it is used ---------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("digit", DRAWN)
def test_a_digit_drawn_with_the_mouse_is_read(tab, tmp_path, digit):
    trained = shipped()
    tab.open(page_of(replace(trained, prepare="mnist"), tmp_path))
    tab.draw(DRAWN[digit])
    wait_for_text(tab, f"Read as {digit}, ")
    assert tab.text("#class") == digit
    best = tab.page.locator("#bars .best")
    assert best.locator(".name").inner_text() == digit
    assert re.fullmatch(r"(> )?\d+\.\d %", best.locator(".share").inner_text())
    assert seen(tab).max() == 255


def test_a_drawn_house_is_not_a_character_and_has_no_bars(tab, tmp_path):
    tab.open(page_of(shipped(), tmp_path))
    tab.draw([[(0.25, 0.8), (0.25, 0.45), (0.5, 0.2), (0.75, 0.45), (0.75, 0.8), (0.25, 0.8)],
              [(0.25, 0.45), (0.75, 0.45)]])
    wait_for_text(tab, "This is not a character")
    assert tab.text("#class") == "not a character"
    assert "%" not in tab.text("#bars")


def test_a_blank_sheet_has_no_class_and_says_to_draw(tab, tmp_path):
    tab.open(page_of(untrained(), tmp_path))
    blank = "Draw a digit."
    wait_for_text(tab, blank)
    assert tab.page.locator("#bars .best").count() == 0
    tab.draw(DRAWN["1"])
    wait_for_text(tab, "Read as ")
    tab.page.keyboard.press("Delete")
    wait_for_text(tab, blank)
    assert (tab.text("#class"), tab.page.locator("#bars .best").count()) == ("", 0)


def test_undo_takes_back_strokes_clearing_and_pictures(tab, tmp_path):
    tab.open(page_of(untrained(), tmp_path))
    ink = tab.page.locator("#ink")
    tab.draw([*DRAWN["1"], [(0.2, 0.5), (0.8, 0.5)]])
    told = ["Drawing area, 2 strokes"]
    tab.page.set_input_files("#file", {"name": "two.png", "mimeType": "image/png", "buffer": png(picture((60, 60)))})
    tab.page.wait_for_function("() => document.getElementById('ink').ariaLabel.endsWith('picture')")
    for key in ("Delete", "Control+z", "Control+z", "Control+z", "Control+z"):
        tab.page.keyboard.press(key)
        told.append(ink.get_attribute("aria-label"))
    assert told == ["Drawing area, 2 strokes", "Drawing area, empty", "Drawing area, holding a picture",
                    "Drawing area, 2 strokes", "Drawing area, 1 stroke", "Drawing area, empty"]


def test_a_dropped_picture_is_seen_as_python_sees_the_file(tab, tmp_path):
    tab.open(page_of(untrained(), tmp_path))
    grey = picture((90, 140), width=6)
    colours = np.stack([grey, grey // 2 + 90, 255 - (255 - grey) // 2], axis=2)
    file = tmp_path / "drawn.png"
    Image.fromarray(colours).save(file)
    hand_over(tab, file.read_bytes(), file.name, "drop")
    wait_for_text(tab, "Read as ")
    assert np.abs(seen(tab) - prepared_file(file, "mnist").seen.astype(int)).max() <= 1


def test_upright_strokes_of_a_strip_are_seen_as_python_sees_them(tab, tmp_path):
    """They are not lines of the paper."""
    tab.open(page_of(untrained(), tmp_path))
    strip = Image.new("L", (600, 120), 250)
    for points, width in (([(100, 15), (100, 105)], 5), ([(280, 40), (310, 90)], 8), ([(480, 18), (480, 103)], 5)):
        ImageDraw.Draw(strip).line(points, 20, width)
    file = tmp_path / "strip.png"
    strip.save(file)
    hand_over(tab, file.read_bytes(), file.name, "drop")
    wait_for_text(tab, "Read as ")
    assert np.abs(seen(tab) - prepared_file(file, "mnist").seen.astype(int)).max() <= 1


def test_a_pasted_picture_is_read_and_a_text_refused_in_words(tab, tmp_path):
    tab.open(page_of(untrained(), tmp_path))
    hand_over(tab, b"no picture", "letter.txt", "paste")
    wait_for_text(tab, "This browser cannot read that file as a picture.")
    hand_over(tab, png(picture((70, 70))), "two.png", "paste")
    wait_for_text(tab, "Read as ")


def test_the_cameras_middle_square_is_taken_and_the_camera_is_let_go(tab, tmp_path):
    one = trained(MODELS["separable-micro"], shape=(3, 32, 32))
    tab.open(page_of(replace(one, prepare="resize", refusal=None), tmp_path))
    camera, video = tab.page.locator("#camera"), tab.page.locator("#video")
    camera.click()
    video.wait_for(state="visible")
    wait_for_text(tab, "The camera is on.")
    tab.run("() => { window.tracks = document.getElementById('video').srcObject.getTracks(); }")
    camera.click()
    wait_for_text(tab, "Read as ")
    assert tab.page.locator("#ink").get_attribute("aria-label") == "Drawing area, holding a picture"
    assert seen(tab).std() > 0
    corners = tab.run("""() => { const context = document.getElementById('picture').getContext('2d');
        return [[0, 0], [559, 0], [0, 559], [559, 559]].map(([x, y]) => context.getImageData(x, y, 1, 1).data[3]); }""")
    assert corners == [255] * 4  # a whole picture of 4:3 would leave bars
    assert not video.is_visible()
    assert camera.inner_text() == "Camera"
    assert tab.run("() => window.tracks.map((track) => track.readyState)") == ["ended"]


@pytest.mark.parametrize("way", ["Escape", "Delete", "clear", "undo", "paste"])
def test_every_other_control_ends_the_camera(tab, tmp_path, way):
    tab.open(page_of(untrained(), tmp_path))
    tab.page.locator("#camera").click()
    tab.page.locator("#video").wait_for(state="visible")
    if way == "paste":
        hand_over(tab, png(picture((70, 70))), "two.png", "paste")
    elif way in ("clear", "undo"):
        tab.page.locator(f"#{way}").dispatch_event("click")
    else:
        tab.page.keyboard.press(way)
    tab.page.locator("#video").wait_for(state="hidden")
    assert tab.run("() => document.getElementById('video').srcObject") is None


@pytest.mark.parametrize(("name", "told"), [
    ("NotAllowedError", "The camera may not be used: this page has no permission."),
    ("NotFoundError", "No camera was found."), ("OddError", "The camera cannot be used: odd")])
def test_a_camera_that_cannot_be_used_is_said_to(tab, tmp_path, name, told):
    tab.open(page_of(untrained(), tmp_path))
    tab.run("""(name) => {
      navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('odd', name)); }""", name)
    tab.page.locator("#camera").click()
    wait_for_text(tab, told)
    assert not tab.page.locator("#video").is_visible()


@pytest.mark.parametrize("change", [
    "Object.defineProperty(navigator, 'mediaDevices', {value: undefined})",
    "navigator.mediaDevices.enumerateDevices = () => Promise.resolve([{kind: 'audioinput'}])"])
def test_without_a_camera_there_is_no_button_for_one(tab, tmp_path, change):
    tab.page.add_init_script(change)
    tab.open(page_of(untrained(), tmp_path))
    wait_for_text(tab, "Draw a digit.")
    assert not tab.page.locator("#camera").is_visible()


@pytest.mark.parametrize("how", METHODS)
@pytest.mark.parametrize("opaque", [255, 40])
def test_white_ink_on_a_transparent_ground_is_seen(tab, tmp_path, how, opaque):
    tab.open(page_of(untrained(how), tmp_path))
    image = Image.new("RGBA", (120, 120), (0, 0, 0, 0))
    ImageDraw.Draw(image).line([(60, 20), (55, 100)], (255, 255, 255, opaque), 9)
    file = tmp_path / "white.png"
    image.save(file)
    hand_over(tab, file.read_bytes(), file.name, "drop")
    wait_for_text(tab, "Read as ")
    assert np.abs(seen(tab) - prepared_file(file, how).seen.astype(int)).max() <= 1


def test_a_picture_without_ink_is_said_to_have_none(tab, tmp_path):
    tab.open(page_of(untrained(), tmp_path))
    empty = {"name": "empty.png", "mimeType": "image/png", "buffer": png(np.full((50, 50), 200, np.uint8))}
    tab.page.set_input_files("#file", empty)
    wait_for_text(tab, "No ink found")
    assert tab.page.locator("#bars .best").count() == 0


def test_every_control_is_reached_and_worked_by_the_keyboard(tab, tmp_path):
    tab.open(page_of(untrained(), tmp_path))
    count_questions(tab)
    tab.draw(DRAWN["1"])
    reached = []
    for _ in range(7):
        tab.page.keyboard.press("Tab")
        reached.append(tab.run("() => document.activeElement.id || document.activeElement.className"))
        if reached[-1] == "clear":
            tab.page.keyboard.press("Enter")
            assert tab.page.locator("#ink").get_attribute("aria-label") == "Drawing area, empty"
        if reached[-1] == "choose":
            tab.page.keyboard.press("Space")
            assert tab.run("() => window.asked") == 1
    controls = ["undo", "clear", "choose", "camera", "bars"]
    assert [name for name in reached if name in controls] == controls


def test_a_picture_is_chosen_by_a_key_too(tab, tmp_path):
    tab.open(page_of(untrained(), tmp_path))
    count_questions(tab)
    tab.page.locator("#clear").focus()
    tab.page.keyboard.press("Control+o")
    assert tab.run("() => window.asked") == 1


def count_questions(tab: Tab) -> None:
    """Count, in window.asked, how often the page asks for a file, and keep the browser's own window shut."""
    tab.run("""() => { window.asked = 0;
      document.getElementById('file').addEventListener('click', (event) => { window.asked++; event.preventDefault(); });
    }""")


def test_a_finger_draws_and_does_not_scroll(tab, tmp_path):
    tab.open(page_of(untrained(), tmp_path))
    tab.run("""() => {
      const ink = document.getElementById('ink'), box = ink.getBoundingClientRect();
      ink.setPointerCapture = () => {};
      const send = (name, x, y) => ink.dispatchEvent(new PointerEvent(name, {bubbles: true, pointerId: 7,
        pointerType: 'touch', clientX: box.left + x * box.width, clientY: box.top + y * box.height}));
      send('pointerdown', 0.5, 0.2); send('pointermove', 0.5, 0.5); send('pointermove', 0.5, 0.8);
      send('pointerup', 0.5, 0.8); }""")
    assert tab.page.locator("#ink").get_attribute("aria-label") == "Drawing area, 1 stroke"
    assert tab.run("() => getComputedStyle(document.getElementById('ink')).touchAction") == "none"
    wait_for_text(tab, "Read as ")


# --- How it looks -----------------------------------------------------------------------------------------------------

def test_no_width_needs_horizontal_scrolling(tab, tmp_path):
    names = ("0", "Ankle boot", "Donaudampfschifffahrtsgesellschaft", *NASTY[:2])
    tab.open(page_of(untrained("mnist", names), tmp_path))
    tab.draw(DRAWN["7"])
    wait_for_text(tab, "Read as ")
    for width in (320, 390, 700, 1000, 1280):
        tab.page.set_viewport_size({"width": width, "height": 700})
        assert tab.run("() => document.documentElement.scrollWidth") == width


def test_dark_and_light_follow_the_system(tab, tmp_path):
    tab.open(page_of(untrained(), tmp_path))
    grounds = []
    for scheme in ("light", "dark"):
        tab.page.emulate_media(color_scheme=scheme)
        found = tab.run("() => getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
        grounds.append(sum(found) / 3)
    assert grounds[0] > 200 > 50 > grounds[1]


def test_the_layers_light_up_with_the_drawing_and_hold_still_on_request(tab, tmp_path):
    trained = untrained()
    tab.page.emulate_media(reduced_motion="reduce")
    tab.open(page_of(trained, tmp_path))
    lit = """() => [...document.querySelectorAll('.stage')].map((stage) => [...stage.querySelectorAll('.map')].filter(
      (map) => map.getContext('2d').getImageData(0, 0, map.width, map.height).data.some(
        (value, place) => place % 4 < 3 && Math.abs(value - [11, 17, 24][place % 4]) > 2)).length)"""
    assert set(tab.run(lit)) == {0}
    tab.draw(DRAWN["7"])
    wait_for_text(tab, "Read as ")
    assert min(tab.run(lit)) > 0
    assert tab.run("() => document.getAnimations().length") == 0
    assert tab.page.locator(".stage").count() == 10  # five convolutions, four pools, one sum


# --- What it may not do -----------------------------------------------------------------------------------------------

def test_markup_in_names_is_shown_and_never_run(tab, tmp_path):
    trained = replace(untrained("mnist", NASTY), dataset=NASTY[0], model=NASTY[1])
    tab.open(page_of(trained, tmp_path))
    tab.draw(DRAWN["1"])
    wait_for_text(tab, "Read as ")
    assert tab.run("() => [...document.querySelectorAll('#bars .name')].map((name) => name.textContent)") == [
        legible(name) for name in NASTY]
    assert NASTY[0] in tab.run("() => document.querySelector('footer').textContent")
    assert tab.run("() => document.querySelectorAll('img, b').length") == 0


def test_nothing_but_the_file_itself_is_asked_for(tab, tmp_path):
    page = page_of(untrained(), tmp_path)
    tab.open(page)
    tab.draw(DRAWN["7"])
    wait_for_text(tab, "Read as ")
    assert [address for address in tab.requests if not address.startswith("data:")] == [page.as_uri()]
    text = page.read_text(encoding="utf-8")
    assert re.findall(r"(?:src|href)=\"(?!data:|#)", text) == []
    assert "default-src 'none'" in html.unescape(text)


def test_the_policy_forbids_the_network(tab, tmp_path):
    tab.open(page_of(untrained(), tmp_path))
    refused = tab.run("() => fetch('https://example.invalid/').then(() => 'sent', (error) => error.message)")
    assert refused == "Failed to fetch"
    assert any("Content Security Policy" in text for text in tab.complaints)
    assert [address for address in tab.requests if "example" in address] == []
    tab.complaints.clear()


def test_the_default_networks_page_is_small():
    assert len(page_html(shipped(), fold_trained(shipped())).encode()) < MOST_BYTES


def test_a_preparation_that_a_page_cannot_do_is_refused():
    with pytest.raises(RunError, match=r"prepare is 'blur'.*mnist or resize"):
        page_html(replace(untrained(), prepare="blur"), ())


# --- The command ------------------------------------------------------------------------------------------------------

def test_demo_writes_the_page_and_says_where(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("BROWSER", raising=False)
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    run_folder = tmp_path / "run"
    run_folder.mkdir()
    save_trained(run_folder, untrained())
    out = tmp_path / "new" / "page.html"
    assert main(["demo", str(run_folder), "--out", str(out), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == {"run": str(run_folder), "page": str(out), "size": out.stat().st_size, "images_compared": 360,
                    "opened": False, "engine": told["engine"], "not_run": told["not_run"]}
    assert (told["engine"] is None) == (told["not_run"] is not None)
    assert "Compared with PyTorch on 360 embedded digits" in out.read_text(encoding="utf-8")
    for run, place in ((run_folder, rf"{run_folder}/demo\.html"),
                       (run_folder / "model.safetensors", rf"{os.environ['XDG_CACHE_HOME']}/\S+/demo/odd-noise\.html")):
        assert main(["demo", str(run)]) == 0
        text = capsys.readouterr().out
        assert re.search(rf"^Open it in a browser: file://{place}$", text, re.MULTILINE)
        assert "same class as PyTorch on 360 of 360 images" in text


def test_a_page_that_cannot_lie_in_the_cache_lies_in_a_temporary_folder(tmp_path, capsys, monkeypatch):
    save_trained(tmp_path, untrained())
    weights, nowhere = str(tmp_path / "model.safetensors"), tmp_path / "model.safetensors" / "cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(nowhere))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert main(["demo", weights, "--no-open"]) == 0
    out, err = capsys.readouterr()
    assert re.search(rf"warning: {nowhere}/\S+: cannot create its folder \(Not a directory\); choose .*--out\. The "
                     r"page is in a temporary folder instead\.", err)
    assert Path(re.findall(r"^Page (\S+) ", out)[0]).parent.parent == tmp_path
    monkeypatch.setattr(tempfile, "tempdir", str(nowhere))
    assert main(["demo", weights, "--no-open"]) == 1
    assert re.search(rf"error: {nowhere}/\S+: cannot create its folder", capsys.readouterr().err)
    assert main(["demo", weights, "--no-open", "--out", str(nowhere / "a.html")]) == 1
    assert f"error: {nowhere}/a.html: cannot create its folder (Not a directory)" in capsys.readouterr().err


def test_demo_opens_the_page_where_there_is_a_browser(tmp_path, monkeypatch):
    opened: list[str] = []
    monkeypatch.setenv("BROWSER", "some-browser")
    monkeypatch.setattr("webbrowser.open", lambda address: not opened.append(address))  # type: ignore[func-returns-value]
    save_trained(tmp_path, untrained())
    assert main(["demo", str(tmp_path), "--out", str(tmp_path / "page.html")]) == 0
    assert opened == [(tmp_path / "page.html").as_uri()]
    assert main(["demo", str(tmp_path), "--out", str(tmp_path / "page.html"), "--no-open"]) == 0
    assert len(opened) == 1


def test_where_nothing_runs_its_code_the_page_and_the_command_say_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("mnist_ops.export.javascript.CHROMIUM", ())
    save_trained(tmp_path, untrained())
    assert main(["demo", str(tmp_path), "--out", str(tmp_path / "page.html"), "--no-open"]) == 0
    assert ("The page's code: NOT RUN (found neither Node.js nor Chromium, Chrome or Edge; install one of them): "
            "its operations were compared only in Python\n") in capsys.readouterr().out
    assert "The code of this page was not run when it was written" in (tmp_path / "page.html").read_text("utf-8")
    monkeypatch.setattr("mnist_ops.export.forward.logits",
                        lambda operations, images, kind: -logits(operations, images, kind))
    (tmp_path / "page.html").unlink()
    assert main(["demo", str(tmp_path), "--out", str(tmp_path / "page.html")]) == 1
    assert "the folded network of the page does not match PyTorch" in capsys.readouterr().err
    assert not (tmp_path / "page.html").exists()
