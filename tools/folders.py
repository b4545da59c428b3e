"""How well the defaults do on folders of pictures, from 8 to 2,000 a class; writes docs/figures/folders.json.

    python tools/folders.py                 make six folders and train in each; tools/readme.py makes the table
    python tools/folders.py "few shapes"    these alone; the figures of the others stay

Beside `mnist-ops train --data FOLDER` twenty settings made by hand are trained in each folder: two networks, five
choices of batch size, steps and rate, with and without augmentation. The defaults are compared with the one of them
that is best on the test set, which favours it.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import product
from math import cos, pi, sin
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from mnist_ops.config import Augment, Config, recipe
from mnist_ops.data.dataset import ImageDataset
from mnist_ops.data.source import read
from mnist_ops.data.tensors import batch_count
from mnist_ops.device import usual_threads
from mnist_ops.errors import TrainingError
from mnist_ops.events import Finished
from mnist_ops.experiment import run
from mnist_ops.optim.length import fitted

FIGURES = Path(__file__).resolve().parents[1] / "docs" / "figures" / "folders.json"
SIDE, TESTED = 48, 600  # pixels of a picture; test pictures of a folder, at least
GLYPHS = "0123456789ABCDEFHKLMPRSTUXYZ"
Draw = np.random.Generator
Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Folder:
    """A folder to be made: its classes are 0 to classes - 1 of `draw`."""

    name: str
    classes: int
    each: int  # training pictures of a class
    coloured: bool
    draw: Callable[[int, Draw], Image.Image]


@dataclass(frozen=True)
class Course:
    """How long a run is, and its peak rate."""

    batch_size: int
    steps: int
    lr: float | Literal["auto"]


def shape(kind: int, random: Draw) -> Image.Image:
    """A bright shape anywhere on a dark ground: a circle, or a polygon of 3, 4, 5, ... corners, or its star."""
    picture = Image.new("RGB", (SIDE, SIDE), _colour(random, 0, 90))
    radius, turn = random.uniform(0.22, 0.42) * SIDE, random.uniform(0, 2 * pi)
    centre = (random.uniform(radius, SIDE - radius), random.uniform(radius, SIDE - radius))
    _figure(ImageDraw.Draw(picture), kind, centre, radius=radius, turn=turn, fill=_colour(random, 130, 255))
    return _taken(picture, random, blur=0.7, noise=8)


def texture(kind: int, random: Draw) -> Image.Image:
    """Stripes of one of four directions, checks, dots or clouds, in two colours, seen at any place."""
    y, x = np.mgrid[:SIDE, :SIDE]
    period, offset = random.uniform(6, 10), random.uniform(0, 2 * pi, 2)
    angle = (kind % 4) * pi / 4 + random.uniform(-0.15, 0.15)
    along, across = cos(angle) * x + sin(angle) * y, cos(angle) * y - sin(angle) * x
    first, second = (np.sin(2 * pi * one / period + phase) for one, phase in zip((along, across), offset, strict=True))
    match kind:
        case 0 | 1 | 2 | 3:
            values = first
        case 4:
            values = np.sign(first * second)
        case 5:
            values = np.where((first > 0.3) & (second > 0.3), 1.0, -1.0)
        case _:
            values = _clouds(random)
    share = ((values + 1) / 2)[..., None]
    dark, light = np.array(_colour(random, 20, 110)), np.array(_colour(random, 110, 240))
    return _taken(Image.fromarray((dark + share * (light - dark)).astype(np.uint8)), random, blur=0.6, noise=30)


def sign(kind: int, random: Draw) -> Image.Image:
    """A road sign on a bright street: a frame of one of four shapes, and in it a letter or a digit."""
    picture = Image.new("RGB", (SIDE, SIDE), _colour(random, 90, 230))
    pen, radius = ImageDraw.Draw(picture), random.uniform(0.38, 0.48) * SIDE
    centre = (SIDE / 2 + random.uniform(-3, 3), SIDE / 2 + random.uniform(-3, 3))
    frame = (0, 1, 2, 6)[kind % 4]
    for scale, fill in ((1.0, (190, 30, 30)), (0.8, (245, 245, 245))):
        _figure(pen, frame, centre, radius=radius * scale, turn=-pi / 2 + (pi / 4 if frame == 2 else 0), fill=fill)
    font = ImageFont.load_default(radius)
    pen.text(centre, GLYPHS[kind // 2 % len(GLYPHS)], font=font, fill=_colour(random, 0, 70), anchor="mm")
    turned = picture.rotate(random.uniform(-8, 8), Image.Resampling.BILINEAR, fillcolor=picture.getpixel((0, 0)))
    lit = Image.fromarray((np.asarray(turned) * random.uniform(0.4, 1.0)).astype(np.uint8))
    return _taken(lit, random, blur=1.2, noise=10)


def _figure(pen: ImageDraw.ImageDraw, kind: int, centre: tuple[float, float], *, radius: float, turn: float,
            fill: Colour) -> None:
    """0: a circle, 1 to 6: a triangle to an octagon, then stars of three corners and more."""
    if kind == 0:
        pen.ellipse([centre[0] - radius, centre[1] - radius, centre[0] + radius, centre[1] + radius], fill=fill)
        return
    corners, inner = (kind + 2, 1.0) if kind <= 6 else (kind - 4, 0.4)
    count = corners if inner == 1.0 else 2 * corners
    angles = [turn + 2 * pi * corner / count for corner in range(count)]
    lengths = [radius * (inner if corner % 2 else 1.0) for corner in range(count)]
    pen.polygon([(centre[0] + length * cos(angle), centre[1] + length * sin(angle))
                 for angle, length in zip(angles, lengths, strict=True)], fill=fill)


def _clouds(random: Draw) -> NDArray[np.float64]:
    small = Image.fromarray(random.integers(0, 256, (9, 9), dtype=np.uint8))
    return np.asarray(small.resize((SIDE, SIDE), Image.Resampling.BICUBIC)) / 127.5 - 1


def _colour(random: Draw, low: int, high: int) -> Colour:
    red, green, blue = random.integers(low, high + 1, 3).tolist()
    return red, green, blue


def _taken(picture: Image.Image, random: Draw, *, blur: float, noise: float) -> Image.Image:
    """As a camera would have it."""
    blurred = np.asarray(picture.filter(ImageFilter.GaussianBlur(random.uniform(0, blur))), np.float64)
    return Image.fromarray(np.clip(blurred + random.normal(0, noise, blurred.shape), 0, 255).astype(np.uint8))


FOLDERS = (
    Folder("shapes", 3, 40, True, shape),
    Folder("few shapes", 5, 8, False, shape),
    Folder("textures", 7, 60, False, texture),
    Folder("many textures", 5, 2000, True, texture),
    Folder("signs", 43, 30, True, sign),
    Folder("many signs", 20, 300, False, sign),
)


def make(folder: Folder, place: Path) -> None:
    """train/ and test/ of the folder, one folder of PNG files per class."""
    random = np.random.default_rng(len(folder.name))
    for part, count in (("train", folder.each), ("test", -(-TESTED // folder.classes))):
        for kind in range(folder.classes):
            there = place / part / f"{kind:02}"
            there.mkdir(parents=True)
            for number in range(count):
                picture = folder.draw(kind, random)
                (picture if folder.coloured else picture.convert("L")).save(there / f"{number}.png")


def settings(images: int) -> Iterator[tuple[str, Config]]:
    """The twenty settings made by hand for so many training pictures, and what each is called."""
    base = replace(recipe("default"), test_every=0)
    courses: tuple[Course, ...] = (
        Course(16, 400, 0.1), Course(16, 1500, 0.1), Course(32, 800, 0.3), Course(64, 800, 0.3),
        Course(128, 400, "auto"))
    for model, one, augmented in product(("early-pool-wide", "separable"), courses, (True, False)):
        yield (f"`{model}`, batches of {one.batch_size}, {one.steps:,} steps, rate {one.lr}, "
               f"{'' if augmented else 'no '}augmentation",
               replace(base, model=model, batch_size=one.batch_size, lr=one.lr,
                       epochs=-(-one.steps // batch_count(images, one.batch_size)),
                       augment=base.augment if augmented else Augment()))


def trained(config: Config, source: ImageDataset) -> dict[str, Any]:
    """The summary of a run, of which nothing is kept, and the seconds it took in all."""
    begun = time.perf_counter()
    with TemporaryDirectory() as place:
        *_, last = run(config, source, Path(place) / "run")
    assert isinstance(last, Finished)
    return {**last.summary, "seconds": time.perf_counter() - begun}


def measured(folder: Folder) -> dict[str, Any]:
    """The figures of a folder: the defaults and the twenty settings, each with accuracy in percent and seconds."""
    with TemporaryDirectory() as place:
        make(folder, Path(place))
        source = read(place)
    images = len(source.train.labels)
    runs = {"defaults": recipe("default"), **dict(settings(images))}
    found = []
    for name, config in runs.items():
        try:
            summary = trained(config, source)
        except TrainingError as error:  # a rate that diverges, or none that is found
            print(f"{folder.name}, {name}: {error}", file=sys.stderr)
            summary = {"test_accuracy": 0.0, "seconds": 0.0}
        found.append({"setting": name, "accuracy": summary["test_accuracy"], "seconds": summary["seconds"],
                      "epochs": summary.get("epochs"), "peak_lr": summary.get("peak_lr")})
        print(f"{folder.name}: {found[-1]}", file=sys.stderr, flush=True)
    batch_size = fitted(recipe("default"), images).batch_size
    return {"folder": folder.name, "coloured": folder.coloured, "classes": folder.classes, "images": images,
            "batch_size": batch_size, "test_images": len(source.test.labels), "threads": usual_threads(), "runs": found}


def main(arguments: list[str]) -> int:
    """Carry out the command line, see the top of this file; the exit code."""
    parser = argparse.ArgumentParser(description="Compare the defaults with settings made by hand.")
    parser.add_argument("folders", nargs="*", help="names of folders; all if none is given")
    names = parser.parse_args(arguments).folders or [folder.name for folder in FOLDERS]
    if unknown := set(names) - {folder.name for folder in FOLDERS}:
        raise SystemExit(f"{', '.join(sorted(unknown))}: no such folder, expected some of "
                         f"{', '.join(folder.name for folder in FOLDERS)}")
    there = json.loads(FIGURES.read_text(encoding="utf-8")) if FIGURES.exists() else {}
    for folder in FOLDERS:
        if folder.name in names:
            there[folder.name] = measured(folder)
            kept = {one.name: there[one.name] for one in FOLDERS if one.name in there}
            FIGURES.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
