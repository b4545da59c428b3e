"""Takes the pictures of docs/own-data.md: a made folder of shapes, from its files to the page that reads one more.

    python -m tools.walk

Needs a Chromium and the extra `test`, whose playwright drives it. The folder is drawn with a seed; the network that is
trained on it may differ in its last bits from one kind of processor to another.
"""

import contextlib
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image, ImageOps

from mnist_ops.cli.main import main as carry_out
from mnist_ops.data.source import read
from mnist_ops.data.tensors import to_device, to_unit
from mnist_ops.data.warp import augment
from mnist_ops.pictures.prepare import prepared_file
from mnist_ops.report import style
from mnist_ops.report.gallery import draw_augmentation
from mnist_ops.report.plot_data import augmented
from mnist_ops.run.folder import read_config
from tools.folders import shape
from tools.readme import PICTURES, small_png
from tools.screenshot import take

CLASSES = {"circle": 0, "triangle": 1, "square": 2, "pentagon": 3, "hexagon": 4, "star": 9}  # kinds of `shape`
EACH, SHOWN, SEED = 40, 2, 5  # pictures of a class, of which so many are shown
MOST_BYTES = 100_000  # of a picture
WIDTH, HEIGHT = 1000, 520  # of the page's top; one and a half times as many pixels are taken


def make(place: Path, each: int, random: np.random.Generator) -> list[Path]:
    """So many JPEG files of different sizes and shapes of each class, in a folder for each."""
    made = []
    for name, kind in CLASSES.items():
        (place / name).mkdir(parents=True)
        for number in range(1, each + 1):
            made.append(place / name / f"{number}.jpg")
            width, height = (round(side) for side in 40 * random.uniform(0.9, 1.25) * random.uniform(0.9, 1.1, 2))
            picture = ImageOps.invert(shape(kind, random)).resize((width, height), Image.Resampling.BICUBIC)
            picture.save(made[-1], quality=90)
    return made


def draw_pictures(files: list[Path], run: Path) -> Figure:
    """A column for each class: its first pictures as they come, and below each what the network sees of it."""
    config = read_config(run)
    seen = [prepared_file(path, config.prepare, config.input_shape) for path in files]
    step, down, large = (style.WIDTH - 1.0) / len(CLASSES), 1.25, 4
    head = style.heading_height("") + 0.35
    figure = style.new_figure(head + SHOWN * 2 * down)
    side = config.input_shape[1]
    style.heading(figure, f"The folder's first pictures, and the {side}x{side} pixels that the network sees")
    height = figure.get_figheight()
    for place, one in enumerate(seen):
        column, row = divmod(place, SHOWN)
        left, top = 1.0 + column * step, height - head - row * 2 * down
        original = np.asarray(Image.open(files[place]).convert("RGB")).transpose(2, 0, 1)
        for image, words, lower in ((original, "file", 0.0), (one.seen, "seen", down)):
            bottom = top - lower - image.shape[1] * large / style.DPI
            style.paste(figure, image, (left, bottom), large)
            if column == 0:
                figure.text(0.9 / style.WIDTH, (top - lower - 0.45) / height, words, ha="right")
        if row == 0:
            figure.text(left / style.WIDTH, (top + 0.08) / height, files[place].parent.name)
    return figure


def draw_fills(files: list[Path], run: Path) -> Figure:
    """The pictures turned by the same draws twice: with black corners, and continued by their edge."""
    config = read_config(run)
    pictures = [prepared_file(path, config.prepare, config.input_shape).seen for path in files]
    images = to_unit(torch.from_numpy(np.stack(pictures)))
    step, large = (style.WIDTH - 1.0) / len(files), 4
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


def draw_augmented(folder: str, run: Path) -> Figure:
    """The report's picture with fewer rows and columns."""
    config = read_config(run)
    source = read(folder, how=config.prepare, size=config.size, colour=config.colour)
    shown = augmented(to_device(source, 0, torch.device("cpu")), config, draws=7)
    return draw_augmentation(replace(shown, images=shown.images[:, ::2], classes=shown.classes[::2]), folder)


def main() -> None:
    """Make the folder, train, export, and write the pictures of each step."""
    with TemporaryDirectory() as folder, contextlib.chdir(folder):
        random = np.random.default_rng(SEED)
        files = make(Path("my-shapes"), EACH, random)
        new = make(Path("new"), 1, random)
        for command in ("train --data my-shapes --out run", "export run --to html --out page.html"):
            if carry_out(command.split()):
                raise SystemExit(1)
        write_pictures(files, new[3])


def write_pictures(files: list[Path], new: Path) -> None:
    """All pictures, of the run and the page in this folder; new: the picture that the page reads."""
    run, first = Path("run"), [path for path in files if int(path.stem) <= SHOWN]
    drawn = {"own-pictures.png": lambda: draw_pictures(first, run),
             "own-augmentation.png": lambda: draw_augmented("my-shapes", run),
             "augmentation-fill.png": lambda: draw_fills(first[::SHOWN], run)}
    for name, draw in drawn.items():
        style.write_picture(PICTURES / name, draw)
    (PICTURES / "own-confusion.png").write_bytes((run / "confusion.png").read_bytes())
    (PICTURES / "own-page.png").write_bytes(take(
        Path("page.html").resolve(), lambda tab: tab.page.set_input_files("#file", new), (WIDTH, HEIGHT), 1.5))
    for name in (*drawn, "own-confusion.png", "own-page.png"):
        (PICTURES / name).write_bytes(small := small_png((PICTURES / name).read_bytes(), MOST_BYTES))
        print(f"{name}: {len(small):,} bytes")


if __name__ == "__main__":
    main()
