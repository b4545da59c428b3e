"""The data of a run's pictures, as plain records and numbers. No matplotlib."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean

import numpy as np
import torch
from numpy.typing import NDArray

from mnist_ops.config import Augment, Config
from mnist_ops.data.tensors import Dataset, Split, channel_wise, normalise, to_unit
from mnist_ops.optim.train import training_batch
from mnist_ops.optim.tune import RangeTest
from mnist_ops.randomness import stream
from mnist_ops.score.verdict import Row

PARTS = ("train", "validation", "test")
SHOWN = 8  # training images in the picture of the augmentation
DRAWS = 8  # of each


@dataclass(frozen=True)
class Mark:
    """A labelled learning rate: a suggestion, which is a point on the curve, or a line."""

    kind: str  # "suggestion", "used", "peak", "diverged"
    rate: float
    loss: float | None  # nats
    text: tuple[str, ...]  # lines of the label


def marks(test: RangeTest) -> list[Mark]:
    """The labelled rates of a range test, in ascending order.

    If the peak rate is the suggestion itself (scale 1), they share a label."""
    found = []
    suggested = test.suggestions[test.used].rate
    scaled = not math.isclose(test.lr, suggested)
    for name, one in test.suggestions.items():
        used = name == test.used
        kind = "peak rate" if used and not scaled else "rate"
        found.append(Mark("used" if used else "suggestion", one.rate, one.loss,
                          (f"{name} (used)" if used else name, f"{kind} {one.rate:.3g}", f"loss {one.loss:.3g}")))
    if scaled:
        text = (f"peak rate {test.lr:.3g}", f"= {test.lr / suggested:.3g} × used")
        found.append(Mark("peak", test.lr, None, text))
    if test.stopped_at is not None:
        found.append(Mark("diverged", test.stopped_at, None, ("first divergence", f"rate {test.stopped_at:.3g}")))
    return sorted(found, key=lambda mark: mark.rate)


def loss_limits(test: RangeTest) -> tuple[float, float]:
    """The range of loss to show: the descent and every suggestion, without a diverged end."""
    bottom = min(range(len(test.smoothed)), key=test.smoothed.__getitem__)
    losses = [*test.smoothed[:bottom + 1], *(one.loss for one in test.suggestions.values())]
    low, high = min(*losses, *test.losses), max(losses)
    room = (high - low) or 1.0
    return low - 0.08 * room, high + 0.12 * room


def spread_labels(places: Sequence[float], width: float) -> list[float]:
    """Centres of labels near `places` (ascending, 0 to 1): within 0 to 1 and at least `width` apart.

    The nearest such centres by least squares (isotonic regression of place - number x width), then off the edges."""
    blocks: list[list[float]] = []
    for number, place in enumerate(places):
        blocks.append([place - number * width])
        while len(blocks) > 1 and fmean(blocks[-2]) > fmean(blocks[-1]):
            last = blocks.pop()
            blocks[-1] += last
    level = [fmean(block) for block in blocks for _ in block]
    highest = 1 - width / 2 - (len(places) - 1) * width
    return [max(width / 2, min(value, highest)) + number * width for number, value in enumerate(level)]


@dataclass(frozen=True)
class Line:
    """A split's values over the epochs at which it was evaluated."""

    part: str
    epochs: tuple[int, ...]
    values: tuple[float, ...]


def lines(history: Sequence[Row], quantity: str) -> list[Line]:
    """"loss" (nats) or "accuracy" (percent) of each split in the history."""
    found = []
    for part in PARTS:
        rows = [row for row in history if f"{part}_{quantity}" in row]
        if rows:
            values = tuple(row[f"{part}_{quantity}"] for row in rows)
            found.append(Line(part, tuple(row["epoch"] for row in rows), values))
    return found


def points(shown: Sequence[Line]) -> list[tuple[int, float]]:
    """(epoch, value) of every line."""
    return [pair for line in shown for pair in zip(line.epochs, line.values, strict=True)]


def accuracy_limits(shown: Sequence[Line], target: float) -> tuple[float, float]:
    """The range of accuracy to show, in percent: all except a low start that would squash the rest.

    The first quarter of the epochs may leave the picture if the range would otherwise be more than twice as wide. The
    target, if above 0, is always inside."""
    wanted = [target] if target > 0 else []
    last = max(max(line.epochs) for line in shown)
    everything = [value for _, value in points(shown)] + wanted
    high = max(everything)
    low = min([value for epoch, value in points(shown) if epoch > last / 4] + wanted)
    if high - min(everything) <= 2 * (high - low):
        low = min(everything)
    room = max(high - low, 0.1)
    return low - 0.08 * room, high + 0.08 * room


def below(shown: Sequence[Line], low: float) -> str:
    """The points below the axis, in words; empty if there are none."""
    hidden = [(epoch, value) for epoch, value in points(shown) if value < low]
    if not hidden:
        return ""
    first, last = min(hidden)[0], max(hidden)[0]
    where = f"epoch {first}" if first == last else f"epochs {first} to {last}"
    return f"below this axis: {where}, down to {min(value for _, value in hidden):.1f} %"


@dataclass(frozen=True, eq=False)
class Augmented:
    """Training images before and after augmentation, scaled as for the network."""

    images: NDArray[np.float32]  # (1 + draws, N, H, W), or (1 + draws, N, 3, H, W) in colour; the originals first
    grey: tuple[float, float]  # black and white after scaling; colours are scaled back to [0, 1]
    classes: tuple[str, ...]  # of the N images
    parts: tuple[str, ...]  # what is switched on; empty: nothing


def augmented(data: Dataset, config: Config, draws: int = DRAWS) -> Augmented:
    """The same few training images several times, augmented as in an epoch, drawn by the seed.

    Computed on the CPU, so that every device gives the same picture. Without augmentation there is one draw, equal to
    the originals."""
    index = choose(data.train.labels.tolist(), SHOWN)
    few = Split(data.train.images[index].cpu(), data.train.labels[index].cpu())
    alone = replace(data, train=few)
    rows, parts = [normalise(to_unit(few.images), data.mean, data.sd)], describe(config.augment)
    for draw in range(draws if parts else 1):
        rows.append(training_batch(alone, torch.arange(len(few)), config, stream(config.seed, "picture", draw))[0])
    scaled = torch.stack(rows)  # (1 + draws, N, C, H, W)
    mean, sd = data.mean[0], data.sd[0]
    if len(data.mean) > 1:
        back = channel_wise(lambda part, mean, sd: part * sd + mean, scaled.flatten(0, 1), data.mean, data.sd)
        scaled, mean, sd = back.clamp(0, 1).reshape(scaled.shape), 0.0, 1.0
    images: NDArray[np.float32] = (scaled if len(data.mean) > 1 else scaled[:, :, 0]).numpy()
    names = tuple(data.classes[label] for label in few.labels.tolist())
    return Augmented(images, (-mean / sd, (1 - mean) / sd), names, parts)


def choose(labels: Sequence[int], count: int) -> list[int]:
    """The first image of each class, then the second of each, until there are `count`; ordered by class."""
    seen: Counter[int] = Counter()
    ranked = []
    for index, label in enumerate(labels):
        ranked.append((seen[label], label, index))
        seen[label] += 1
    return [index for _, _, index in sorted(sorted(ranked)[:count], key=lambda one: one[1])]


def describe(cfg: Augment) -> tuple[str, ...]:
    """The changes that are on, with their strengths, in the order in which they are applied."""
    texts: dict[str, float] = {
        f"brightness ±{cfg.brightness * 100:g} %": cfg.brightness,
        f"contrast ±{cfg.contrast * 100:g} %": cfg.contrast,
        f"saturation ±{cfg.saturation * 100:g} %": cfg.saturation,
        f"hue ±{cfg.hue * 360:g}°": cfg.hue,
        f"perspective up to {cfg.perspective:g} of half the side in {cfg.perspective_share * 100:g} % of images":
            cfg.perspective * cfg.perspective_share,
        f"rotation ±{cfg.degrees:g}°": cfg.degrees,
        f"scale ±{cfg.zoom * 100:g} %": cfg.zoom,
        f"shear ±{cfg.shear:g}": cfg.shear,
        f"shift ±{cfg.shift:g} px": cfg.shift,
        f"crop ±{cfg.crop} px": cfg.crop,
        f"left and right swapped in {cfg.flip * 100:g} % of images": cfg.flip,
    }
    parts = tuple(text for text, strength in texts.items() if strength)
    moved = cfg.perspective * cfg.perspective_share or cfg.degrees or cfg.zoom or cfg.shear or cfg.shift or cfg.crop
    outside = {"mean": "the mean", "edge": "the nearest pixel"}.get(cfg.fill, "black")
    return (*parts, f"outside filled with {outside}") if moved else parts
