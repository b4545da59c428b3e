"""How well whole numbers are read; writes the table of numbers in docs/drawn.md.

    python -m tools.whole_numbers RUN             print it
    python -m tools.whole_numbers RUN --write     and put it into docs/drawn.md

With OMP_NUM_THREADS=1 it takes two minutes on two cores; else the processes' threads get in each other's way.
The numbers are made here, from MNIST's test digits and from drawings in $MNIST_OPS_DATA/drawn/canvas: see `picture`.
"""

import argparse
import io
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from mnist_ops.classifier import Classifier, load
from mnist_ops.data.files import VARIABLE
from mnist_ops.data.layout import read_folder
from mnist_ops.data.source import read
from mnist_ops.errors import DataError
from mnist_ops.pictures.read import read_image
from mnist_ops.pictures.strokes import box_of
from tools.drawn import Grey, put

NUMBERS, DRAWN, SEED = 1000, 200, 18  # numbers from MNIST and from drawings, and what they are drawn from
GAPS = {"touching": None, "close": (0.03, 0.15), "wide": (0.15, 0.8)}  # between neighbours, in heights of a digit
DEEPEST = 0.15  # that the boxes of touching ones overlap, in heights
GROUNDS = ("even", "uneven")


@dataclass(frozen=True, eq=False)
class Number:
    """A picture of a number, dark on light, and what it says."""

    image: Grey
    text: str
    spacing: str
    ground: str


def numbers(digits: Sequence[Grey], labels: Sequence[int], count: int, seed: int, *,
            spacings: Sequence[str] = tuple(GAPS)) -> list[Number]:
    """Numbers of 2 to 6 digits drawn at random, spaced as named in turn; digits light on black, any size each."""
    random = np.random.default_rng(seed)
    found = []
    for place in range(count):
        spacing = spacings[place % len(spacings)]
        ground = GROUNDS[place // len(spacings) % len(GROUNDS)]
        chosen = random.integers(0, len(digits), int(random.integers(2, 7)))
        image = picture([digits[index] for index in chosen], spacing, ground, random)
        found.append(Number(image, "".join(str(labels[index]) for index in chosen), spacing, ground))
    return found


def picture(digits: Sequence[Grey], spacing: str, ground: str, random: np.random.Generator) -> Grey:
    """The digits in a row, 40 to 140 pixels high give or take an eighth, that climbs or falls by up to 8 degrees.

    Touching ones are pushed together until they overlap by up to 3 % of their height. Uneven ground is lit at a slant,
    with blur, noise and JPEG, as a photo."""
    height, slope = random.uniform(40, 140), np.tan(np.radians(random.uniform(-8, 8)))
    ink, right = np.zeros((int(4 * height), int((2.2 * len(digits) + 2) * height))), int(height)
    end = np.full(len(ink), right)  # where the ink of each row ends
    for digit in digits:
        one = _scaled(digit, height * random.uniform(0.88, 1.12))
        middle = 2 * height + slope * (right - ink.shape[1] / 2) + random.uniform(-0.05, 0.05) * height
        top = int(middle) - len(one) // 2
        rows = np.flatnonzero((one > 0.5).any(1))
        begin = (one[rows] > 0.5).argmax(1)
        if (gap := GAPS[spacing]) is None:
            left = int((end[top + rows] - begin).max()) - 1 - int(random.uniform(0, 0.03) * height)
            left = max(left, right - int(DEEPEST * height))
        else:
            left = right + int(random.uniform(*gap) * height)
        left = max(left, 4)
        area = ink[top:top + len(one), left:left + one.shape[1]]
        np.maximum(area, one, out=area)
        end[top + rows] = np.maximum(end[top + rows], left + one.shape[1] - (one[rows, ::-1] > 0.5).argmax(1))
        right = max(right, left + one.shape[1])
    box = box_of(ink > 0.5)
    margin = int(random.uniform(0.3, 0.8) * height)
    ink = np.pad(ink[box], margin)
    return _on_ground(ink, ground, random)


def _scaled(digit: Grey, height: float) -> NDArray[np.float64]:
    """(H, W) 0..255 -> its ink alone, 0 to 1, its longer side that many pixels."""
    cut = digit[box_of(digit > 127)]
    share = height / max(cut.shape)
    size = max(1, round(cut.shape[1] * share)), max(1, round(cut.shape[0] * share))
    return np.asarray(np.array(Image.fromarray(cut).resize(size, Image.Resampling.BICUBIC)) / 255)


def _on_ground(ink: NDArray[np.float64], ground: str, random: np.random.Generator) -> Grey:
    page = random.uniform(200, 255) * (1 - ink * random.uniform(0.6, 0.95))
    if ground == "even":
        return np.clip(page, 0, 255).astype(np.uint8)
    y, x = np.mgrid[:ink.shape[0], :ink.shape[1]]
    angle = random.uniform(0, 2 * np.pi)
    across = np.cos(angle) * x / ink.shape[1] + np.sin(angle) * y / ink.shape[0]
    page *= 1 - random.uniform(0.1, 0.5) * (across / 1.5 + 0.5)
    blurred = Image.fromarray(np.clip(page, 0, 255).astype(np.uint8)).filter(
        ImageFilter.GaussianBlur(random.uniform(0.5, 1.5)))
    noisy = np.clip(np.array(blurred) + random.normal(0, random.uniform(1, 6), page.shape), 0, 255)
    packed = io.BytesIO()
    Image.fromarray(noisy.astype(np.uint8)).save(packed, "JPEG", quality=75)
    return np.array(Image.open(packed))


def drawings(folder: Path) -> tuple[list[Grey], list[int]]:
    """The canvas drawings 10 to 19 of each digit, light on black, and what they show."""
    found = [(path, int(label)) for path, label in read_folder(folder / "canvas").train if int(path.stem) >= 10]
    return [255 - read_image(path).pixels for path, _ in found], [label for _, label in found]


def read_right(run: str, found: Sequence[Number]) -> list[bool]:
    """Whether each whole number is; one that is refused is not. In as many processes as there are cores."""
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        return list(pool.map(partial(_is_right, run), found, chunksize=16))


def _is_right(run: str, number: Number) -> bool:
    try:
        return _loaded(run).read_several(number.image).text == number.text
    except DataError:
        return False


@cache
def _loaded(run: str) -> Classifier:
    torch.set_num_threads(1)
    return load(run)


def table(run: str, sets: dict[str, list[Number]]) -> str:
    """A row per set, spacing and ground."""
    lines = ["| digits | spacing | ground | numbers | read right |", "| --- | --- | --- | --- | --- |"]
    for name, found in sets.items():
        right = read_right(run, found)
        groups = [(spacing, ground) for spacing in GAPS for ground in GROUNDS]
        for spacing, ground in [*groups, ("all", "all")]:
            own = [good for one, good in zip(found, right, strict=True)
                   if spacing == "all" or (one.spacing, one.ground) == (spacing, ground)]
            lines.append(f"| {name} | {spacing} | {ground} | {len(own):,} | {100 * sum(own) / len(own):.1f} % |")
            print(lines[-1], file=sys.stderr, flush=True)
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    """Carry out the command line, see the top of this file; the exit code."""
    parser = argparse.ArgumentParser(description="Measure how well whole numbers are read.")
    parser.add_argument("run", help="run folder of a network trained on MNIST, or default")
    parser.add_argument("--write", action="store_true", help="put the table into docs/drawn.md")
    chosen = parser.parse_args(arguments)
    place = os.environ.get(VARIABLE)
    if not place:
        raise SystemExit(f"${VARIABLE}: is not set; expected the folder that holds drawn/ and MNIST/")
    test = read("mnist").test
    started = perf_counter()
    text = table(chosen.run, {
        "MNIST test": numbers(list(test.images), test.labels.tolist(), NUMBERS, SEED),
        "canvas 10 to 19": numbers(*drawings(Path(place) / "drawn"), DRAWN, SEED)})
    print(f"{text}\n\n{perf_counter() - started:.0f} seconds")
    if chosen.write:
        put("numbers", f"{text}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
