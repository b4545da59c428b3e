"""Takes the pictures of docs/own-data.md: a made folder of road signs, from its files to the page that reads one more.

    python -m tools.walk

Needs a Chromium and the extra `test`, whose playwright drives it. The folder is drawn with a seed; the network that is
trained on it may differ in its last bits from one kind of processor to another.
"""

import contextlib
import io
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image
from playwright.sync_api import sync_playwright

from mnist_ops.cli.main import main as carry_out
from mnist_ops.data.tensors import to_unit
from mnist_ops.data.warp import augment
from mnist_ops.export.javascript import CHROMIUM
from mnist_ops.pictures.prepare import prepared_file
from mnist_ops.report import style
from mnist_ops.run.folder import read_config
from tests.browser import ARGUMENTS, Tab
from tools.folders import sign
from tools.readme import PICTURES, small_png

CLASSES = {"circle 0": 0, "circle 2": 4, "circle 4": 8, "circle 6": 12, "triangle 0": 1, "square 1": 2}  # of `sign`
EACH, SHOWN, SEED = 12, 2, 5  # pictures of a class, of which so many are shown
MOST_BYTES = 75_000  # of a picture
TAKEN = {"augmentation.png": "own-augmentation.png", "confusion.png": "own-confusion.png"}  # of a run's pictures
WIDTH, HEIGHT = 1000, 520  # of the page's top, and of every picture


def make(place: Path, each: int, random: np.random.Generator) -> list[Path]:
    """So many JPEG files of different sizes and shapes of each class, in a folder for each."""
    made = []
    for name, kind in CLASSES.items():
        (place / name).mkdir(parents=True)
        for number in range(1, each + 1):
            made.append(place / name / f"{number}.jpg")
            width, height = (round(side) for side in 40 * random.uniform(0.9, 1.25) * random.uniform(0.9, 1.1, 2))
            sign(kind, random).resize((width, height), Image.Resampling.BICUBIC).save(made[-1], quality=90)
    return made


def draw_pictures(files: list[Path], run: Path) -> Figure:
    """A column for each class: its first pictures as they come, and below each what the network sees of it."""
    config = read_config(run)
    seen = [prepared_file(path, config.prepare, config.input_shape) for path in files]
    step, large = (style.WIDTH - 1.0) / len(CLASSES), 4
    head = style.heading_height("") + 0.35
    figure = style.new_figure(head + SHOWN * 2 * step + 0.1)
    side = config.input_shape[1]
    style.heading(figure, f"The folder's first pictures, and the {side}x{side} pixels that the network sees")
    height = figure.get_figheight()
    for place, one in enumerate(seen):
        column, row = divmod(place, SHOWN)
        left, top = 1.0 + column * step, height - head - row * 2 * step
        original = np.asarray(Image.open(files[place]).convert("RGB")).transpose(2, 0, 1)
        for image, words, down in ((original, "file", 0.0), (one.seen, "seen", step)):
            bottom = top - down - image.shape[1] * large / style.DPI
            style.paste(figure, image, (left, bottom), large)
            if column == 0:
                figure.text(0.9 / style.WIDTH, (top - down - 0.45) / height, words, ha="right")
        if row == 0:
            figure.text(left / style.WIDTH, (top + 0.08) / height, files[place].parent.name)
    return figure


def draw_fills(files: list[Path], run: Path) -> Figure:
    """The pictures turned by the same draws twice: with black corners, and continued by their edge."""
    config = read_config(run)
    pictures = [prepared_file(path, config.prepare, config.input_shape).seen for path in files]
    images = to_unit(torch.from_numpy(np.stack(pictures)))
    step, large = (style.WIDTH - 1.0) / len(files), 3
    head, side = style.heading_height("") + 0.05, images.shape[-1] * large / style.DPI
    figure = style.new_figure(head + 2 * (side + 0.1))
    style.heading(figure, "What stands in the corners of augmented pictures")
    for row, (name, fill) in enumerate((("black", (0.0, 0.0, 0.0)), ("edge", None))):
        turned = augment(images, config.augment, fill, torch.Generator().manual_seed(SEED))
        bottom = figure.get_figheight() - head - row * (side + 0.1) - side
        figure.text(0.9 / style.WIDTH, (bottom + side / 2) / figure.get_figheight(), name, ha="right", va="center")
        for column, image in enumerate((turned * 255).byte().numpy()):
            style.paste(figure, image, (1.0 + column * step, bottom), large)
    return figure


def take(page: Path, picture: Path) -> bytes:
    """The top of that page as PNG, once it has read the picture."""
    program = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if program is None:
        raise SystemExit(f"found none of {', '.join(CHROMIUM)}; install a Chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(ARGUMENTS))
        view = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        Tab(view).open(page)
        view.set_input_files("#file", picture)
        view.get_by_text("Read as ").wait_for()
        view.wait_for_timeout(1000)  # until the layers are drawn too
        content = view.screenshot()
        browser.close()
    return content


def narrowed(content: bytes) -> bytes:
    """The picture at the width of the page's."""
    picture, packed = Image.open(io.BytesIO(content)).convert("RGB"), io.BytesIO()
    picture.thumbnail((WIDTH, 10 * WIDTH), Image.Resampling.LANCZOS)
    picture.save(packed, "PNG", optimize=True)
    return packed.getvalue()


def main() -> None:
    """Make the folder, train, export, and write the pictures of each step."""
    with TemporaryDirectory() as folder, contextlib.chdir(folder):
        random = np.random.default_rng(SEED)
        files = make(Path("my-signs"), EACH, random)
        new = make(Path("new"), 1, random)
        for command in ("train --data my-signs --out run", "export run --to html --out page.html"):
            if carry_out(command.split()):
                raise SystemExit(1)
        first = [path for path in files if int(path.stem) <= SHOWN]
        style.write_picture(Path("sheet.png"), lambda: draw_pictures(first, Path("run")))
        style.write_picture(Path("fills.png"), lambda: draw_fills(first, Path("run")))
        pictures = {name: Path("run", taken).read_bytes() for taken, name in TAKEN.items()}
        pictures |= {"own-pictures.png": Path("sheet.png").read_bytes(),
                     "augmentation-fill.png": Path("fills.png").read_bytes(),
                     "own-page.png": take(Path("page.html").resolve(), new[3])}
        for name, content in pictures.items():
            (PICTURES / name).write_bytes(small := small_png(narrowed(content), MOST_BYTES))
            print(f"{name}: {len(small):,} bytes")


if __name__ == "__main__":
    main()
