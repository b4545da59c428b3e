"""Finds the ink of a picture: its contrast to an uneven background, and the strokes of one character."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mnist_ops.pictures.components import Component, components, ruled
from mnist_ops.pictures.contrast import DIM, PALE, PHOTO, contrast_of, is_flat, is_uneven, no_ink, thresholds_of
from mnist_ops.pictures.panels import panel_of
from mnist_ops.pictures.sampling import Grey, running_maximum, shrink, smooth_resize

LONGEST = 512  # longer side in pixels at which ink is searched
FINE = 64  # a character smaller than this is searched again at a higher resolution
NEAR = 28  # share of the longer side, one over this, within which ink is as strong in one stroke
WIDE, NARROW = 4, 3  # height to width of a character that was stretched into a square: the median of MNIST's
FRAMES = 3  # times that the frame is removed to find a fainter character


@dataclass(frozen=True, eq=False)
class Ink:
    """A character cut out of its picture."""

    contrast: Grey  # (h, w) 0..255: how much darker each pixel is than the background; 0 away from the strokes
    threshold: int  # the lowest contrast of ink
    warnings: tuple[str, ...] = ()  # as of `images.Decoded`


def find_ink(image: NDArray[np.uint8]) -> Ink:
    """image (H, W), H and W at least 1 -> the largest sensible group of strokes, boxed with 2 pixels around it.

    Dark on light or light on dark, as the picture shows. One that touches all sides of a square picture was stretched
    to fill it, and is made narrower again. Raises DataError if there is none."""
    small = shrink(image, LONGEST)
    ink, box = _find(small)
    if box == (0, 0, *small.shape) and small.shape[0] == small.shape[1]:
        high, wide = ink.contrast.shape
        return replace(ink, contrast=smooth_resize(ink.contrast, high * WIDE // NARROW, wide))
    side = max(box[2] - box[0], box[3] - box[1])
    if small.shape == image.shape or side >= FINE:
        return ink
    large, little = max(image.shape), max(small.shape)
    top, left = (max(0, (2 * edge - side) * large // (2 * little)) for edge in box[:2])
    bottom, right = ((2 * edge + side) * large // (2 * little) + 1 for edge in box[2:])
    closer = shrink(image[top:bottom, left:right], LONGEST)
    return replace(_find(closer, of_photo=is_uneven(small))[0], warnings=ink.warnings)


def _find(picture: Grey, *, of_photo: bool = False) -> tuple[Ink, tuple[int, int, int, int]]:
    """The ink, and its box in the picture: top, left, bottom, right, the last two exclusive. of_photo: whether the
    picture is cut out of a photo, as it may then look even."""
    panel = panel_of(picture)
    image = panel.image
    share = DIM if of_photo or is_uneven(image) else PALE
    contrast, threshold, labels, found = without_frame(contrast_of(image), image, share)
    chosen = choose(found, image)
    mask = np.isin(labels, [one.label for one in chosen])
    top, left = min(one.top for one in chosen), min(one.left for one in chosen)
    bottom, right = max(one.bottom for one in chosen), max(one.right for one in chosen)
    around = cut_out(contrast, threshold, mask)[top:bottom + 4, left:right + 4]
    more = panel.more + further(found, chosen, image)
    text = f"shows more than one character, and is read as one: at least {more} more of that size; --several reads all"
    return Ink(around, threshold, (text,) if more else ()), (
        panel.top + top, panel.left + left, panel.top + bottom, panel.left + right)


def cut_out(contrast: Grey, threshold: int, mask: NDArray[np.bool_]) -> Grey:
    """The contrast of the ink in the mask and of 2 pixels around it, without other ink; padded by 2 pixels."""
    near = running_maximum(mask.astype(np.int64), 2) > 0
    return np.pad(np.where(near & (mask | (contrast < threshold)), contrast, 0), 2)


def without_frame(contrast: Grey, image: Grey, share: int) -> tuple[Grey, int, Grey, list[Component]]:
    """What `strokes_of` finds, without the edge of the paper, shadows and the like.

    Each time they are removed, the threshold that they had raised falls, and fainter characters appear."""
    strokes = strokes_of(contrast, share)
    for _ in range(FRAMES if max(image.shape) >= PHOTO else 0):
        frame = [one.label for one in strokes[3] if one.is_frame(image.shape)]
        if not frame or len(frame) == len(strokes[3]):
            break
        contrast = np.where(running_maximum(np.isin(strokes[2], frame).astype(np.int64), 3) > 0, 0, contrast)
        found = strokes_of(contrast, share)
        if not inside_of(found[3], image):
            break
        strokes = found
    return strokes


def strokes_of(contrast: Grey, share: int) -> tuple[Grey, int, Grey, list[Component]]:
    """The contrast with pale strokes raised, the threshold, and the components of what reaches it, without the ruled
    lines of a page."""
    threshold, faintest = thresholds_of(contrast, share)
    if max(contrast.shape) >= PHOTO:
        lines = ruled(contrast >= min(faintest, (threshold + 1) // 2))
        mask = (contrast >= threshold) & ~lines
        if share == DIM and lines.any() and mask.any():  # what noise leaves of a line would hang on to the ink
            return contrast, threshold, *components(mask)
        contrast = np.where(lines, 0, contrast) if mask.any() else contrast
    contrast = raised(contrast, threshold, faintest, photo=share == DIM)
    return contrast, threshold, *components(contrast >= threshold)


def raised(contrast: Grey, threshold: int, faintest: int, *, photo: bool) -> Grey:
    """The contrast, with the pale parts of strokes raised to the threshold where they hang on to what reaches it.

    A stroke ends where its contrast falls to half of the strongest near by, between the two thresholds; a ridge belongs
    to it all the same. Joined as weak edges are in Canny 1986. In a photo a ridge may be a line of the paper: there
    the pale parts must lie between the others, as a line that hangs on to ink leads away from it."""
    reach = 1 + max(contrast.shape) // NEAR
    ends = np.clip(running_maximum(contrast, reach) // 2, faintest, threshold)
    if not photo:
        ridge = (contrast >= faintest) & (2 * beside(contrast, reach) <= contrast)
        ends = np.where(ridge, np.minimum(contrast, ends), ends)
    ink, sure = contrast >= ends, contrast >= threshold
    if np.array_equal(ink, sure):
        return contrast
    labels, found = components(ink)
    rows, columns = np.nonzero(sure)
    boxes = np.full((4, len(found) + 1), -contrast.size)  # of what reaches it: -top, -left, and last row and column
    for edge, places in zip(boxes, (-rows, -columns, rows, columns), strict=True):
        np.maximum.at(edge, labels[sure], places)
    sides = np.maximum(boxes[2] + boxes[0], boxes[3] + boxes[1]) + 1  # below 1 of a piece that does not reach it
    joined = [one.label for one in found
              if sides[one.label] > 0 and (not photo or 8 * one.longer <= 9 * sides[one.label])]
    alone = ink & ~np.isin(labels, joined)
    return np.where(alone, contrast, np.minimum(255, contrast * threshold // ends))


def beside(contrast: Grey, reach: int) -> Grey:
    """The larger of the two values `reach` pixels away on opposite sides, in the direction where it is least.

    Small on a line, but not beside one nor between two."""
    height, width = contrast.shape
    around = np.pad(contrast, reach)
    lowest = np.full_like(contrast, 255)
    for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
        sides = [around[reach + turn * down:, reach + turn * right:][:height, :width] for turn in (-reach, reach)]
        np.minimum(lowest, np.maximum(*sides), out=lowest)
    return lowest


def choose(found: list[Component], image: Grey) -> list[Component]:
    """The strokes of one character: the largest that is not part of the frame, and what is near and not too small."""
    photo, main = max(image.shape) >= PHOTO, main_of(pool_of(found, image))
    if photo and main.lies_along_border and not is_flat(image):
        raise no_ink("only an edge or a shadow")
    return gathered(main, [one for one in found if not (photo and one.is_frame(image.shape))])


def pool_of(found: list[Component], image: Grey) -> list[Component]:
    """What may be a character by its size, with pieces of a frame only if there is nothing else."""
    return inside_of(found, image) or [one for one in found if 64 * one.longer >= max(image.shape)]


def main_of(pool: list[Component]) -> Component:
    """The largest; a solid patch does not win by its area. Raises DataError if there is none."""
    if not pool:
        raise no_ink("only specks")
    return max(pool, key=lambda one: min(8 * one.area, one.longer**2))


def gathered(main: Component, found: list[Component]) -> list[Component]:
    """The main stroke and all that joins it, directly or through others."""
    group, rest = [main], [one for one in found if one is not main]
    while joining := [one for one in rest if joins(one, group, main)]:
        group += joining
        rest = [one for one in rest if one not in joining]
    return group


def inside_of(found: list[Component], image: Grey) -> list[Component]:
    """What is large enough for a character and not part of the frame; empty for a picture too small for a frame.

    In a photo a character may be tiny; in a drawing something tiny is more likely a speck."""
    if max(image.shape) < PHOTO:
        return []
    share = 16 if is_flat(image) else 40
    return [one for one in found if share * one.longer >= max(image.shape) and not one.is_frame(image.shape)]


def joins(one: Component, group: list[Component], main: Component) -> bool:
    """Whether a piece belongs to the group: inside its box, near it and a stroke rather than a speck, or
    the flag of a 5."""
    top, left = min(other.top for other in group), min(other.left for other in group)
    bottom, right = max(other.bottom for other in group), max(other.right for other in group)
    gap = max(top - one.bottom, one.top - bottom, left - one.right, one.left - right)
    if gap < 0:
        enclosed = top <= one.top and left <= one.left and bottom >= one.bottom and right >= one.right
        return enclosed or 20 * one.area >= main.area
    if one.is_flag_of(main) or main.is_flag_of(one):
        return True
    if one.is_bar and 4 * (one.right - one.left) > 5 * (right - left):  # an underline
        return False
    side = max(bottom - top, right - left)
    return 4 * one.longer >= side and (8 * gap <= side or (5 * gap <= side and 2 * one.area <= main.area))


def further(found: list[Component], chosen: list[Component], image: Grey) -> int:
    """The number of further characters: groups of strokes from half to twice as high as the chosen one and, if those
    are wider than high, pieces of their height, which were too close to separate."""
    top, bottom = min(one.top for one in chosen), max(one.bottom for one in chosen)
    left, right = min(one.left for one in chosen), max(one.right for one in chosen)
    height, reached, count = bottom - top, left, 0
    for one in sorted(chosen, key=lambda one: one.left) if right - left >= height else ():
        if 3 * (one.bottom - one.top) >= 2 * height and one.left >= reached:
            count, reached = count + 1, one.right
    count = max(count - 1, 0)
    rest = [one for one in inside_of(found, image) if one not in chosen and not one.lies_along_border]
    while rest:
        group = gathered(max(rest, key=lambda one: one.longer), rest)
        rest = [one for one in rest if one not in group]
        own = max(one.bottom for one in group) - min(one.top for one in group)
        count += height <= 2 * own <= 4 * height
    return count
