"""How well networks trained on MNIST read drawings by other people, and photos; writes the tables of docs/drawn.md.

    python tools/drawn.py runs/sweep-default/s[0-9]             print them
    python tools/drawn.py runs/sweep-default/s[0-9] --write     and put them into docs/drawn.md

The drawings lie in $MNIST_OPS_DATA/drawn, one folder of pictures per class in each set; MNIST beside them.
"""

import argparse
import io
import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from mnist_ops.classifier import Classifier, load
from mnist_ops.data.files import VARIABLE
from mnist_ops.data.layout import read_folder
from mnist_ops.data.source import read
from mnist_ops.errors import DataError
from mnist_ops.pictures.contrast import is_dark_on_light
from mnist_ops.pictures.prepare import is_mnist, prepare, resize
from mnist_ops.pictures.read import read_image
from mnist_ops.pictures.sampling import smooth_resize
from mnist_ops.pictures.strokes import SIDE
from mnist_ops.score.statistics import spread

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "drawn.md"
PHOTOS, SEED = 300, 7  # pictures of each kind of photo, and what they are drawn from
Grey = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Pictures:
    """A set of pictures, any size each, with the indices of their classes."""

    name: str
    part: str
    images: list[Grey]
    labels: NDArray[np.int64]


def shrink_the_frame(image: Grey) -> Grey:
    """The whole picture made 28x28, light on dark, and nothing else: what most programs do."""
    grey = image.astype(np.int64)
    return smooth_resize(255 - grey if is_dark_on_light(grey) else grey, SIDE, SIDE).astype(np.uint8)


WAYS: dict[str, Callable[[Grey], Grey]] = {
    "`mnist`": partial(prepare, how="mnist"), "`resize`": resize, "the frame shrunk": shrink_the_frame}


def drawn(folder: Path) -> list[Pictures]:
    """The sets of drawings; canvas in two parts, of which the first was used to choose constants."""
    sets = []
    for name in ("canvas", "semeion"):
        found = read_folder(folder / name)
        whole = [(int(path.stem), read_image(path).pixels, label) for path, label in found.train]
        parts = {"00 to 09": range(10), "10 to 19": range(10, 20)} if name == "canvas" else {"all": range(10**9)}
        for part, numbers in parts.items():
            chosen = [(image, label) for number, image, label in whole if number in numbers]
            sets.append(Pictures(name, part, [image for image, _ in chosen],
                                 np.array([label for _, label in chosen])))
    return sets


def photos(images: Grey, labels: NDArray[np.int64]) -> list[Pictures]:
    """MNIST test digits as they might look on a photographed page of 600x800, of each kind as many."""
    sets = []
    for kind in ("uneven light", "sharp shadow", "ruled paper", "chalk"):
        random = np.random.default_rng(SEED)
        chosen = random.choice(len(images), PHOTOS, replace=False)
        sets.append(Pictures("made from MNIST", kind, [photo(images[index], kind, random) for index in chosen],
                             labels[chosen]))
    return sets


def photo(digit: Grey, kind: str, random: np.random.Generator) -> Grey:
    """The digit, 3 to 13 times as large, somewhere on the page; lit at a slant, blurred, with noise, as a JPEG."""
    side = SIDE * int(random.integers(3, 14))
    ink = np.array(Image.fromarray(digit).resize((side, side), Image.Resampling.BICUBIC)) / 255
    top, left = int(random.integers(20, 580 - side)), int(random.integers(20, 780 - side))
    y, x = np.mgrid[:600, :800]
    page = np.full((600, 800), random.uniform(190, 250))
    if kind == "ruled paper":
        page[(y + (random.uniform(-0.02, 0.02) * x).astype(int)) % int(random.integers(30, 70)) < 2] *= 0.75
    page[top:top + side, left:left + side] *= 1 - ink * random.uniform(0.4, 0.85)
    angle = random.uniform(0, 2 * np.pi)
    page *= 1 - random.uniform(0.1, 0.55) * ((np.cos(angle) * x / 800 + np.sin(angle) * y / 600) / 1.5 + 0.5)
    if kind == "sharp shadow":
        page[0.8 * x + 0.6 * y < random.uniform(0.2, 0.6) * 1000] *= 0.6
    blurred = Image.fromarray(np.clip(page, 0, 255).astype(np.uint8)).filter(
        ImageFilter.GaussianBlur(random.uniform(0.5, 2)))
    noisy = np.clip(np.array(blurred) + random.normal(0, random.uniform(1, 7), page.shape), 0, 255)
    packed = io.BytesIO()
    Image.fromarray((255 - noisy if kind == "chalk" else noisy).astype(np.uint8)).save(packed, "JPEG", quality=75)
    return np.array(Image.open(packed))


def accuracies(classifiers: Sequence[Classifier], pictures: Pictures, way: Callable[[Grey], Grey]) -> list[float]:
    """Percent read right by each network; a picture that the way refuses is read wrong by all."""
    prepared, labels = [], []
    for image, label in zip(pictures.images, pictures.labels, strict=True):
        try:
            prepared.append(way(image))
            labels.append(label)
        except DataError as error:
            print(f"{pictures.name}, {pictures.part}: {error}", file=sys.stderr)
    return [100 * float((one.predict(np.stack(prepared)).argmax(1) == labels).sum()) / len(pictures.labels)
            for one in classifiers]


def table(classifiers: Sequence[Classifier], sets: Iterable[Pictures]) -> str:
    """A row per set, and for each way mean and SD over the networks."""
    heads = ["pictures", "part", "number", *(f"{name}: mean (SD)" for name in WAYS)]
    rows = [heads, ["---"] * len(heads)]
    for pictures in sets:
        found = [spread(accuracies(classifiers, pictures, way)) for way in WAYS.values()]
        rows.append([pictures.name, pictures.part, f"{len(pictures.labels):,}",
                     *(f"{one.mean:.2f} %" + (f" ({one.sd:.2f})" if one.sd is not None else "") for one in found)])
        print(" | ".join(rows[-1]), file=sys.stderr, flush=True)
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def put(name: str, text: str) -> None:
    """Put the text between the marks of that name in docs/drawn.md."""
    marked = re.compile(rf"(<!-- generated: {name} -->\n).*?(<!-- end -->)", re.DOTALL)
    old = DOCUMENT.read_text(encoding="utf-8")
    DOCUMENT.write_text(marked.sub(lambda match: f"{match[1]}\n{text}\n{match[2]}", old), encoding="utf-8")


def main(arguments: list[str]) -> int:
    """Carry out the command line, see the top of this file; the exit code."""
    parser = argparse.ArgumentParser(description="Measure how well networks read drawings and photos.")
    parser.add_argument("runs", nargs="+", type=Path, help="run folders of networks trained on MNIST")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/drawn.md")
    chosen = parser.parse_args(arguments)
    place = os.environ.get(VARIABLE)
    if not place:
        raise SystemExit(f"${VARIABLE}: is not set; expected the folder that holds drawn/ and MNIST/")
    classifiers, source = [load(run) for run in chosen.runs], read("mnist")
    results = table(classifiers, [*drawn(Path(place) / "drawn"), *photos(source.test.images, source.test.labels)])
    images = [*source.train.images, *source.test.images]
    unchanged = sum(map(is_mnist, images))
    moved = sum(is_mnist(np.roll(image, (2, -1), (0, 1))) for image in source.test.images)
    text = (f"{len(classifiers)} networks. A picture that is refused counts as read wrong.\n\n{results}\n\n"
            f"Of MNIST's {len(images):,} images {unchanged:,} come through `mnist` unchanged.\nMoved by two rows and a "
            f"column, {moved:,} of the {len(source.test.images):,} test images would still pass for MNIST's own.\n")
    print(text)
    if chosen.write:
        put("drawn", text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
