"""How far each pixel of a picture is from its background towards ink, and the lowest contrast of ink."""

import numpy as np
from numpy.typing import NDArray

from mnist_ops.errors import DataError
from mnist_ops.pictures.sampling import Grey, running_maximum, running_minimum

FAINTEST = 20  # of 255: a smaller difference from the background is not ink
DARKEST = 64  # a darker background counts as this light when contrast is taken relative to it
PALE, DIM = 4, 2  # shares, one over these, of ink's least contrast that the pale part of a stroke has; DIM in a photo
PHOTO = 100  # longer side in pixels from which a picture may show more than a character and its background


def no_ink(why: str) -> DataError:
    """The error of a picture with nothing to read."""
    return DataError(f"no ink found: {why}; expected a character, darker or lighter than its background")


def contrast_of(image: Grey) -> Grey:
    """(H, W) 0..255 -> how far each pixel is from its background towards ink, 0..255, relative to the background.

    The background is the picture's closing, which removes strokes narrower than half the picture (a seventh in a photo)
    and keeps shadows and their edges."""
    dark = image if is_dark_on_light(image) else 255 - image
    reach = max(1, max(image.shape) // (14 if is_uneven(image) else 4))
    background = running_minimum(running_maximum(dark, reach), reach)
    return np.asarray(np.minimum(255, (background - dark) * 255 // np.maximum(background, DARKEST)))


def is_uneven(image: Grey) -> bool:
    """Whether it is a photo rather than a drawing: a small picture shows a character and one background."""
    return max(image.shape) >= PHOTO and not is_flat(image)


def is_flat(image: Grey) -> bool:
    """Whether half the picture has one grey value, give or take 3: a drawing or a scan rather than a photo."""
    counts = np.bincount(image.ravel(), minlength=256)
    mode = int(counts.argmax())
    return bool(2 * counts[max(0, mode - 3):mode + 4].sum() >= image.size)


def is_dark_on_light(image: Grey) -> bool:
    """Whether the ink is darker than its background.

    Sparse ink shows in the skewness of the picture minus its local mean, which shadows hardly affect. If that is
    unclear in a drawing, ink fills much of it, and the background is what prevails in the whole and at the border, by
    Otsu's threshold."""
    uneven = is_uneven(image)
    rest = image - _local_mean(image, max(1, max(image.shape) // (10 if uneven else 5)))
    rest = rest - rest.mean()
    skewness = float((rest**3).mean()) / max(float((rest**2).mean()) ** 1.5, 1e-9)
    if uneven or abs(skewness) > 1:
        return bool(skewness < 0)
    light = image > otsu(np.bincount(image.ravel(), minlength=256))
    border = np.concatenate([light[0], light[-1], light[:, 0], light[:, -1]])
    return bool(border.sum() * light.size + light.sum() * border.size >= light.size * border.size)


def _local_mean(image: Grey, reach: int) -> NDArray[np.float64]:
    """Mean over the square of `reach` pixels on every side, within the picture."""
    sums = np.pad(image.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    (top, bottom), (left, right) = (
        (np.maximum(np.arange(size) - reach, 0), np.minimum(np.arange(size) + reach + 1, size)) for size in image.shape)
    totals = (sums[bottom][:, right] - sums[top][:, right] - sums[bottom][:, left] + sums[top][:, left])
    return np.asarray(totals / np.outer(bottom - top, right - left))


def thresholds_of(contrast: Grey, share: int = PALE) -> tuple[int, int]:
    """The lowest contrast of ink: alone, and of the pale part of a stroke.

    Otsu's threshold of all above the noise, but at most half of the strongest; and it over `share`, above the noise.
    Raises DataError if nothing is."""
    counts = np.bincount(contrast.ravel(), minlength=256)
    low, middle = quantile(counts, 5), quantile(counts, 25)
    floor = middle + max(FAINTEST, 6 * (middle - low))
    above = counts.copy()
    above[:floor] = 0
    if not above.sum():
        raise no_ink("the picture is blank, or nothing stands out from its background")
    threshold = max(floor, min(otsu(above) + 1, quantile(above, 99) // 2))
    return threshold, max(floor, threshold // share)


def quantile(counts: NDArray[np.int64], percent: int) -> int:
    """The lowest value that at least `percent` of the counted pixels do not exceed."""
    return int(np.argmax(counts.cumsum() * 100 >= percent * counts.sum()))


def otsu(counts: NDArray[np.int64]) -> int:
    """The value that splits the counts into two classes, up to it and above it, with maximum variance between them.

    The middle of equally good ones, rounded down; one less than the value if all are equal. Otsu 1979."""
    number, total = counts.cumsum().astype(np.float64), (counts * np.arange(256)).cumsum().astype(np.float64)
    above = number[-1] - number
    split = (total * number[-1] - number * total[-1]) ** 2 / np.maximum(number * above, 1)
    if split.max() == 0:
        return int(np.flatnonzero(counts)[0]) - 1
    best = np.flatnonzero(split >= split.max() * (1 - 1e-9))
    return int(best[0] + best[-1]) // 2
