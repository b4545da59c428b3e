"""How much the score refuses of what is not a digit, beside the maximum probability; writes a table of docs/drawn.md.

    python -m tools.refusal default             print it for the weights that ship, or for run folders
    python -m tools.refusal default --write     and put it into docs/drawn.md

MNIST, FashionMNIST and drawn lie in $MNIST_OPS_DATA; the fonts are those of Debian's fonts-dejavu and fonts-liberation.
"""

import argparse
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from mnist_ops.data.files import VARIABLE
from mnist_ops.data.source import read
from mnist_ops.data.tensors import Split
from mnist_ops.errors import DataError, RunError
from mnist_ops.pictures.prepare import prepare
from mnist_ops.run.named import find_run
from mnist_ops.run.trained import TrainedNetwork, load_trained
from mnist_ops.score.fit_refusal import REFUSED
from mnist_ops.score.refusal import looked_at
from tools.drawn import Grey, drawn, put

FONTS, SEED, VALIDATION = Path("/usr/share/fonts/truetype"), 7, 5000
LETTERS = "ACEFHKMNPRVWXadefhkmnprtvwx"  # without those that somebody might read as a digit
SIGNS, PICTOGRAMS = "#@&%$?*+=<>~^{}€£§¶±÷≠≈∞√∑πΩΨΦ←→↑↓", "★☆♠♣♥♦♪♫☂☎☺☹✓✗⌂☼♀♂☁✂✈✉✎✿❄☃"


@dataclass(frozen=True, eq=False)
class Kind:
    """Prepared pictures of one kind, and how many more had no ink to prepare."""

    name: str
    images: Grey  # (N, 28, 28)
    without_ink: int = 0


def prepared(name: str, pictures: Iterable[Grey]) -> Kind:
    made, without = [], 0
    for picture in pictures:
        try:
            made.append(prepare(picture, "mnist"))
        except DataError:
            without += 1
    return Kind(name, np.stack(made) if made else np.empty((0, 28, 28), np.uint8), without)


def glyphs(texts: str, pattern: str) -> list[Grey]:
    """Each character in each font whose file matches."""
    files = sorted(FONTS.glob(f"*/{pattern}.ttf"))
    if not files:
        raise SystemExit(f"{FONTS}: no font {pattern}.ttf; expected those of fonts-dejavu and fonts-liberation, to be "
                         "had with apt-get install")
    made = []
    for file in files:
        font = ImageFont.truetype(file, 96)
        for text in texts:
            image = Image.new("L", (160, 160))
            ImageDraw.Draw(image).text((80, 80), text, fill=255, font=font, anchor="mm")
            made.append(np.array(image))
    return made


def lines(strokes: Iterable[NDArray[np.float64]], width: int) -> Grey:
    """Strokes (points, 2) in pixels of 256x256."""
    image = Image.new("L", (256, 256))
    for points in strokes:
        ImageDraw.Draw(image).line([tuple(point) for point in points], fill=255, width=width, joint="curve")
    return np.array(image.filter(ImageFilter.GaussianBlur(1)))


def scribble(random: np.random.Generator) -> Grey:
    """A smooth curve through 8 to 15 random points; splines of Catmull and Rom 1974."""
    points = random.uniform(40, 216, (int(random.integers(8, 16)), 2))
    ends, part = np.concatenate([points[:1], points, points[-1:]]), np.linspace(0, 1, 20)[:, None]
    curve = [(2 * b + (c - a) * part + (2 * a - 5 * b + 4 * c - d) * part**2 + (3 * b - a - 3 * c + d) * part**3) / 2
             for a, b, c, d in zip(ends, ends[1:], ends[2:], ends[3:], strict=False)]
    return lines([np.concatenate(curve)], int(random.integers(6, 16)))


def cross(random: np.random.Generator) -> Grey:
    """Two straight strokes at about a right angle, at any slope."""
    slope = random.uniform(0, np.pi)
    angles = slope, slope + np.pi / 2 + random.uniform(-0.35, 0.35)
    ways = [random.uniform(60, 90) * np.array([np.cos(angle), np.sin(angle)]) for angle in angles]
    return lines([middle + np.array([-way, way]) for middle, way in zip(random.uniform(110, 146, (2, 2)), ways,
                                                                      strict=True)], int(random.integers(8, 20)))


def shape(random: np.random.Generator) -> Grey:
    """A house, a box with its diagonal, a triangle, a star or a face, drawn with an unsteady hand."""
    ring = np.linspace(0, 2 * np.pi, 32)
    star = 4 * np.pi / 5 * np.arange(6)
    drawings: tuple[list[Any], ...] = (
        [[(60, 200), (60, 110), (128, 50), (196, 110), (196, 200), (60, 200)], [(60, 110), (196, 110)]],
        [[(60, 60), (196, 60), (196, 196), (60, 196), (60, 60)], [(60, 60), (196, 196)]],
        [[(128, 50), (200, 200), (56, 200), (128, 50)]],
        [np.stack([128 + 80 * np.sin(star), 128 - 80 * np.cos(star)], 1)],
        [np.stack([128 + 80 * np.sin(ring), 128 - 80 * np.cos(ring)], 1), [(98, 90), (98, 115)],
         [(158, 90), (158, 115)], [(90, 150), (128, 175), (166, 150)]],
    )
    chosen: list[Any] = drawings[int(random.integers(len(drawings)))]
    return lines([np.array(one) + random.normal(0, 4, (len(one), 2)) for one in chosen], int(random.integers(6, 16)))


def texture(random: np.random.Generator) -> Grey:
    """Noise, blurred more or less, of 64x64 pixels."""
    noise = Image.fromarray(np.clip(random.normal(128, 60, (64, 64)), 0, 255).astype(np.uint8))
    grey = np.array(noise.filter(ImageFilter.GaussianBlur(random.uniform(0.3, 4)))).astype(float)
    made: Grey = ((grey - grey.min()) / np.ptp(grey) * 255).astype(np.uint8)
    return made


def stripes(random: np.random.Generator) -> Grey:
    """Waves in one direction or, for half of them, in two."""
    y, x = np.mgrid[:64, :64]
    pace = random.uniform(0.05, 0.4)
    first, second = (np.sin(2 * np.pi * pace * (x * np.cos(angle) + y * np.sin(angle)))
                     for angle in random.uniform(0, np.pi, 2))
    made: Grey = ((first * (second if random.random() < 0.5 else 1) + 1) * 127).astype(np.uint8)
    return made


def strangers() -> list[Kind]:
    """What no reader would call a digit."""
    random = np.random.default_rng(SEED)
    fashion, digits = read("fashion-mnist").test, read("mnist").test
    made = [prepared("clothes of Fashion-MNIST", fashion.images[:1000]),
            Kind("the same, not prepared", fashion.images[:1000]),
            prepared("letters of fonts", glyphs(LETTERS, "*")),
            prepared("signs of fonts", glyphs(SIGNS, "*") + glyphs(PICTOGRAMS, "DejaVuSans"))]
    made += [prepared(name, [draw(random) for _ in range(300)]) for name, draw in (
        ("scribbles", scribble), ("crosses", cross), ("houses, boxes, triangles, stars, faces", shape),
        ("textures", texture), ("stripes", stripes))]
    noise = random.integers(0, 256, (300, 28, 28)).astype(np.uint8)
    turned = [np.rot90(image) for image in digits.images[digits.labels > 0][:1000]]
    return [*made, Kind("noise, not prepared", noise), prepared("one grey", [np.full((64, 64), value, np.uint8)
                                                                        for value in range(0, 256, 51)]),
            prepared("MNIST's 1 to 9, turned by 90 degrees", turned)]


def digits() -> list[Kind]:
    """What is to be read: MNIST's test digits, and digits of others."""
    place = Path(os.environ[VARIABLE]) / "drawn"
    return [Kind("MNIST's test digits", read("mnist").test.images),
            *(prepared(f"`{one.name}`, {one.part}", one.images) for one in drawn(place))]


def scores(trained: TrainedNetwork, images: Grey) -> list[NDArray[np.float64]]:
    """Minus the maximum probability, and the oddness; (N,) each."""
    if trained.refusal is None:
        raise RunError("weights without the score that refuses; expected those of a run of this version")
    split = Split(torch.from_numpy(images)[:, None], torch.zeros(len(images)))
    if not len(images):
        return [np.empty(0)] * 2
    features, logits = looked_at(trained.network, split, trained.mean, trained.sd)
    return [-logits.softmax(1).amax(1).double().numpy(), trained.refusal.oddness(features, logits).double().numpy()]


def area(own: NDArray[np.float64], others: NDArray[np.float64]) -> float:
    """AUROC in percent: how often one of the others is above one of its own; half for equal ones."""
    ordered = np.sort(own)
    below, up_to = (np.searchsorted(ordered, others, side) for side in ("left", "right"))
    return float(100 * (below + up_to).mean() / 2 / len(own))


def table(networks: list[TrainedNetwork], strange: list[Kind], known: list[Kind]) -> str:
    """A row per kind: the share that is refused, and AUROC, both in the mean over the networks."""
    validation = read("mnist").train.images[-VALIDATION:]
    own = [scores(one, validation) for one in networks]
    bounds = [(np.quantile(probability, 1 - REFUSED), 0.0) for probability, _ in own]
    head = ["pictures", "number", "refused: maximum probability", "score", "AUROC: maximum probability", "score"]
    rows, means = [head, ["---"] * len(head)], []
    for kind in (*strange, *known):
        total, shares, areas = len(kind.images) + kind.without_ink, [], []
        for mine, bound, network in zip(own, bounds, networks, strict=True):
            found = scores(network, kind.images)
            shares.append([100 * (float((one > limit).sum()) + kind.without_ink) / total
                           for one, limit in zip(found, bound, strict=True)])
            areas.append([area(*pair) for pair in zip(mine, found, strict=True)] if len(kind.images) else [np.nan] * 2)
        told = [*np.mean(shares, 0), *np.mean(areas, 0)]
        means += [told] if kind in strange and not np.isnan(told[2]) else []
        rows.append([kind.name, f"{total:,}", *(f"{one:.1f} %" for one in told[:2]), *_areas(kind, known, told)])
    mean = np.mean(means, 0)
    rows.insert(2 + len(strange), ["mean of these that have ink", "", *(f"{one:.1f} %" for one in mean[:2]),
                                   *(f"{one:.1f}" for one in mean[2:])])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _areas(kind: Kind, known: list[Kind], told: list[float]) -> list[str]:
    return ["", ""] if kind in known or np.isnan(told[2]) else [f"{one:.1f}" for one in told[2:]]


def main(arguments: list[str]) -> int:
    """Carry out the command line, see the top of this file; the exit code."""
    parser = argparse.ArgumentParser(description="Measure how much is refused of what is not a digit.")
    parser.add_argument("runs", nargs="+", help="run folders of networks trained on MNIST, or default")
    parser.add_argument("--write", action="store_true", help="put the table into docs/drawn.md")
    chosen = parser.parse_args(arguments)
    if not os.environ.get(VARIABLE):
        raise SystemExit(f"${VARIABLE}: is not set; expected the folder that holds drawn, FashionMNIST and MNIST")
    networks = [load_trained(find_run(run)) for run in chosen.runs]
    text = table(networks, strangers(), digits()) + "\n"
    print(text)
    if chosen.write:
        put("refusal", text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
