"""A character's contrast -> 28x28 as MNIST was made: 20 pixels long, strokes of MNIST's width, centred by mass."""

import numpy as np
from numpy.typing import NDArray

from mnist_ops.pictures.contrast import no_ink
from mnist_ops.pictures.ink import Ink
from mnist_ops.pictures.sampling import TIE, Grey, running_maximum, running_minimum, smooth_resize

SIDE, BOX = 28, 20  # pixels
FINENESS = 8  # fine pixels across one of the result
THINNEST, THICKEST = 2.0, 3.6  # pixels of the result, between which MNIST's mean stroke widths lie
LONGEST_PATH = 15  # strokes longer in total than this many times the character are a texture


def draw(ink: Ink) -> NDArray[np.uint8]:
    """-> (28, 28) uint8, light on dark. Raises DataError if the ink is a texture rather than strokes."""
    length = BOX * FINENESS
    mask = fine_mask(ink, length)
    width = stroke_width(mask)
    reach = widening(width, length)
    moved = widened(fine_mask(ink, length - 2 * reach), reach) if reach else mask
    if moved is None or mask.sum() > LONGEST_PATH * width * length:  # hairlines that flow together, or too many
        raise no_ink("what stands out is a texture, not strokes")
    if max(moved.shape) > SIDE * FINENESS:  # a few pixels, which do not end where they are cut out
        raise no_ink("only specks")
    return centred(averaged(moved))


def fine_mask(ink: Ink, length: int) -> NDArray[np.bool_]:
    """The ink as (h, w) bool, cut to its box, whose longer side is close to `length`.

    Lines too thin to survive shrinking are widened first."""
    thick = ink.contrast >= ink.threshold
    rows, columns = box_of(thick)
    side = max(rows.stop - rows.start, columns.stop - columns.start)
    height, width = (max(1, (2 * size * length + side) // (2 * side)) for size in ink.contrast.shape)
    contrast, reach = ink.contrast, -(-side // length) // 2
    if reach and 10 * running_minimum(thick.astype(np.int64), reach).sum() < thick.sum():
        contrast = 255 * running_maximum(thick.astype(np.int64), reach)
    mask = smooth_resize(contrast, height, width) >= ink.threshold
    if not mask.any():
        raise no_ink("only specks")
    return mask[box_of(mask)]


def box_of(mask: NDArray[np.bool_]) -> tuple[slice, slice]:
    """The rows and columns of the smallest box around all set pixels."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def stroke_width(mask: NDArray[np.bool_]) -> float:
    """Mean width of the strokes: four times the mean distance of an ink pixel from the ink's edge."""
    padded = np.pad(mask, 1)
    distance = np.sqrt(squared_distances(~padded)[padded].astype(np.float64))
    return float(4 * (distance - 0.5).mean())


def squared_distances(mask: NDArray[np.bool_], most: int | None = None) -> Grey:
    """(H, W) bool, not all unset -> exact squared distance of each pixel from the nearest set one.

    Distances above `most` come out as some larger number, sooner."""
    height, width = mask.shape
    far = height + width if most is None else most + 1
    columns = np.arange(width)
    before = columns - np.maximum.accumulate(np.where(mask, columns, -far), axis=1)
    after = np.minimum.accumulate(np.where(mask, columns, width + far)[:, ::-1], axis=1)[:, ::-1] - columns
    squared = np.minimum(np.minimum(before, after), far) ** 2
    best = squared.copy()
    for step in range(1, height):
        if step**2 >= best.max():
            break
        np.minimum(best[step:], squared[:-step] + step**2, out=best[step:])
        np.minimum(best[:-step], squared[step:] + step**2, out=best[:-step])
    return best


def widening(width: float, length: int) -> int:
    """How many fine pixels the strokes' edges must move outwards, negative for inwards.

    The character is first shortened, so that it has `length` again afterwards: width (1 - 2 r / length) + 2 r is the
    desired width."""
    wished = min(max(width, THINNEST * FINENESS), THICKEST * FINENESS)
    share = 1 - min(width / length, 0.5)
    return int(np.floor((wished - width) / (2 * share) + 0.5 + TIE))


def widened(mask: NDArray[np.bool_], reach: int) -> NDArray[np.bool_] | None:
    """The strokes with their edges moved by `reach`; None if they would vanish."""
    if reach > 0:
        return squared_distances(np.pad(mask, reach), reach) <= reach**2
    padded = np.pad(mask, 1)
    thinner = squared_distances(~padded, -reach) > reach**2
    return thinner[box_of(thinner)] if thinner.any() else None


def averaged(mask: NDArray[np.bool_]) -> Grey:
    """Area averages 0..255, rounded, over squares of FINENESS, with the mask centred in as many as it needs."""
    pads = []
    for size in mask.shape:
        missing = -size % FINENESS
        pads.append((missing // 2, missing - missing // 2))
    whole = np.pad(mask, pads).astype(np.int64)
    rows, columns = (size // FINENESS for size in whole.shape)
    counts = whole.reshape(rows, FINENESS, columns, FINENESS).sum((1, 3))
    return np.asarray((2 * 255 * counts + FINENESS**2) // (2 * FINENESS**2))


def centred(grey: Grey) -> NDArray[np.uint8]:
    """(h, w) 0..255, both at most 28 -> (28, 28): the centre of mass within half a pixel of row and column 14."""
    mass = int(grey.sum())
    result = np.zeros((SIDE, SIDE), np.uint8)
    offsets = []
    for axis, size in enumerate(grey.shape):
        moment = int((grey.sum(1 - axis) * np.arange(size)).sum())
        offset = (2 * (SIDE // 2 * mass - moment) + mass) // (2 * mass)
        offsets.append(min(max(offset, 0), SIDE - size))
    top, left = offsets
    result[top:top + grey.shape[0], left:left + grey.shape[1]] = grey
    return result
