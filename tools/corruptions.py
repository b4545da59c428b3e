"""The fifteen corruptions of MNIST-C (Mu and Gilmer 2019, arXiv:1906.02337), for `tools.robustness`.

Each is a function of images (N, 28, 28) uint8, 0 black, and a generator, from which all randomness comes -> the same
shape and type; every image gets its own draw. Strengths, in pixels of 28x28, are those of the authors' published code
(github.com/google-research/mnist-c). Where that calls scikit-image or ImageMagick, this computes what they do:

- Glass blurs down the columns alone: the published code has a grey image's last axis taken for its colours.
- Shear is scikit-image's of 2019: rows move by the sine of the angle, and the digit is stretched by 1 / cosine.
- Canny's edges leave out the outermost pixels, and the blur before does not go across the border.

The random numbers are others, so images differ from the published ones one by one, but not in their distribution.
"""

import itertools
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch.nn import functional as F

Images = NDArray[np.uint8]  # (N, 28, 28), 0 black
Values = NDArray[np.float64]  # (N, 28, 28), 0 black to 1 white, unless said otherwise
Corruption = Callable[[Images, np.random.Generator], Images]
SIDE, FADE, LEVELS = 28, 2.3, 8  # pixels; a line ends 2.3 (1 - 1/e) = 1.45 from its middle; fog is of 2^8 x 2^8


def _grey(values: Values) -> Images:
    """Clipped to 0..1, rounded to grey values."""
    return np.round(np.clip(values, 0, 1) * 255).astype(np.uint8)


def _signs(count: int, random: np.random.Generator) -> NDArray[np.float64]:
    """(N,) each -1 or 1."""
    return random.choice([-1.0, 1.0], count)


# ---------------------------------------------------------------- noise and blur

def shot_noise(images: Images, random: np.random.Generator) -> Images:
    """As of a sensor that counts 3 photons in white: Poisson."""
    return _grey(random.poisson(images / 255 * 3) / 3)


def impulse_noise(images: Images, random: np.random.Generator) -> Images:
    """17 % of the pixels become black or white, half of them each."""
    hit, white = random.random((2, *images.shape)) < np.reshape([0.17, 0.5], (2, 1, 1, 1))
    return np.where(hit, np.where(white, 255, 0), images).astype(np.uint8)


def blur_matrix(sd: float, *, cut: bool = False) -> NDArray[np.float64]:
    """(28, 28) weights of a Gaussian over 4 SD; matrix @ image blurs down the columns, each row sums to 1.

    What lies outside is the nearest pixel, or with `cut` nothing."""
    reach = int(4 * sd + 0.5)
    steps = np.arange(-reach, reach + 1)
    weights = np.exp(-(steps / sd) ** 2 / 2)
    places, matrix = np.arange(SIDE)[:, None] + steps, np.zeros((SIDE, SIDE))
    inside = (places >= 0) & (places < SIDE) | (not cut)
    np.add.at(matrix, (np.arange(SIDE)[:, None], places.clip(0, SIDE - 1)), weights * inside)
    return np.asarray(matrix / matrix.sum(1, keepdims=True))


def glass_blur(images: Images, random: np.random.Generator) -> Images:
    """Blurred by 0.7 pixels, pixels swapped twice with one up, left or both with probability 3/8, and blurred again."""
    matrix = blur_matrix(0.7)
    grey = (matrix @ (images / 255) * 255).astype(np.uint8)
    every = np.arange(len(grey))
    for _ in range(2):
        for row in range(SIDE - 1, 1, -1):
            for column in range(SIDE - 1, 1, -1):
                swap = random.random(len(grey)) < 0.5
                up, left = random.integers(0, 2, (2, len(grey))) * swap
                there = every, row - up, column - left
                grey[:, row, column], grey[there] = grey[there], grey[:, row, column].copy()
    return _grey(matrix @ (grey / 255))


def motion_blur(images: Images, random: np.random.Generator) -> Images:
    """Smeared by a half Gaussian of SD 3 pixels over 21, at -45 to 45 degrees from the row; ImageMagick's kernel."""
    steps = np.arange(21)
    weights = np.exp(-(steps / 3) ** 2 / 2)
    angles = np.radians(random.uniform(-45, 45, len(images)))
    every, y, x = np.ogrid[:len(images), :SIDE, :SIDE]
    total = np.zeros(images.shape)
    for step, weight in zip(steps, weights / weights.sum(), strict=True):
        down, right = (np.ceil(step * part(angles) - 0.5).astype(int)[:, None, None] for part in (np.sin, np.cos))
        total += weight * images[every, (y + down).clip(0, SIDE - 1), (x + right).clip(0, SIDE - 1)]
    return _grey(total / 255)


# ---------------------------------------------------------------- geometry

def _warped(images: Images, cells: Sequence[Sequence[ArrayLike]]) -> Images:
    """Bilinear, around the middle; what lies outside is black. cells: 2x2, of the map from output (x, y) to input,
    each (N,) or one for all."""
    maps = np.zeros((len(images), 2, 3))
    for row, column in np.ndindex(2, 2):
        maps[:, row, column] = cells[row][column]
    values = torch.from_numpy(images / 255)[:, None]
    grid = F.affine_grid(torch.from_numpy(maps), list(values.shape), align_corners=False)
    return _grey(F.grid_sample(values, grid, align_corners=False)[:, 0].numpy())


def shear(images: Images, random: np.random.Generator) -> Images:
    """By 0.4 radians to either side: a row moves by 0.39 pixels more than the one above, and is 1.09 times as high."""
    return _warped(images, [[1, np.sin(0.4) * _signs(len(images), random)], [0, np.cos(0.4)]])


def scale(images: Images, random: np.random.Generator) -> Images:
    """Shrunk to 70 % of its sides, around the middle."""
    return _warped(images, [[1 / 0.7, 0], [0, 1 / 0.7]])


def rotate(images: Images, random: np.random.Generator) -> Images:
    """By 0.4 radians (23 degrees) to either side, around the middle."""
    sine = np.sin(0.4) * _signs(len(images), random)
    return _warped(images, [[np.cos(0.4), -sine], [sine, np.cos(0.4)]])


def translate(images: Images, random: np.random.Generator) -> Images:
    """By 3 pixels up or down and 3 to the left or right; what leaves the image is lost."""
    every, y, x = np.ogrid[:len(images), :SIDE, :SIDE]
    down, right = (3 * _signs(len(images), random).astype(int)[:, None, None] for _ in range(2))
    return np.asarray(np.pad(images, ((0, 0), (3, 3), (3, 3)))[every, y + 3 - down, x + 3 - right])


# ---------------------------------------------------------------- light and weather

def brightness(images: Images, random: np.random.Generator) -> Images:
    """Half of white added."""
    return _grey(images / 255 + 0.5)


def stripe(images: Images, random: np.random.Generator) -> Images:
    """The left and the right quarter inverted, so that a black stripe is left between white ones."""
    return np.where(abs(np.arange(SIDE) - 13.5) > 7, 255 - images, images)


def clouds(count: int, random: np.random.Generator) -> Values:
    """(N, 256, 256), each from 0 to 1: midpoints of a torus moved at random (Fournier, Fussell and Carpenter 1982).

    Each halving of the step makes the moves smaller by 1.96."""
    found = np.zeros((count, 2**LEVELS, 2**LEVELS))
    for level in range(LEVELS):
        step, reach = 2 ** (LEVELS - level), 1.4 ** (-2 * level)
        half = step // 2
        corners = found[:, ::step, ::step]

        def moved(sums: Values, reach: float = reach) -> Values:
            return np.asarray(sums / 4 + random.uniform(-reach, reach, sums.shape))

        down = corners + np.roll(corners, -1, 1)
        middles = moved(down + np.roll(down, -1, 2))
        found[:, half::step, half::step] = middles
        found[:, ::step, half::step] = moved(middles + np.roll(middles, 1, 1) + corners + np.roll(corners, -1, 2))
        found[:, half::step, ::step] = moved(middles + np.roll(middles, 1, 2) + corners + np.roll(corners, -1, 1))
    found -= found.min((1, 2), keepdims=True)
    return np.asarray(found / found.max((1, 2), keepdims=True))


def fog(images: Images, random: np.random.Generator) -> Images:
    """Three times the clouds added, and all dimmed so that the brightest possible pixel is as bright as before."""
    values = images / 255
    brightest = values.max((1, 2), keepdims=True)
    return _grey((values + 3 * clouds(len(images), random)[:, :SIDE, :SIDE]) * brightest / (brightest + 3))


def spatter(images: Images, random: np.random.Generator) -> Images:
    """Dark grey (63) spots, where Gaussian noise that was blurred and cut at its mean is dense."""
    fine, coarse = blur_matrix(1), blur_matrix(1.5)
    wet = fine @ random.normal(0.65, 0.3, images.shape) @ fine.T > 0.65
    mud = coarse @ wet @ coarse.T
    mud[mud < 0.8] = 0
    return _grey(images / 255 * (1 - mud) + 63 / 255 * mud)


# ---------------------------------------------------------------- lines

def line(start: NDArray[np.float64], end: NDArray[np.float64]) -> Values:
    """start, end (N, 2) as (x, y), start to the left -> straight lines, which fade over their vertical distance."""
    y, x = np.mgrid[:SIDE, :SIDE]
    (x0, y0), (x1, y1) = (point.T[:, :, None, None] for point in (start, end))
    distance = np.minimum(abs(y - y0 - (y1 - y0) / (x1 - x0) * (x - x0)), FADE - 1e-10)
    covered = (x >= np.floor(x0)) & (x < np.ceil(x1))
    return np.asarray(np.maximum(np.log(1 - distance / FADE) + 1, 0) * covered)


def dotted_line(images: Images, random: np.random.Generator) -> Images:
    """From edge to edge at any height of either end; two columns on, two off."""
    ends = random.integers(0, 27, (2, len(images), 1))
    drawn = line(*(np.insert(end, 0, x, 1).astype(float) for x, end in zip((0, 27), ends, strict=True)))
    return _grey(images / 255 + drawn * (np.arange(SIDE) // 2 % 2))


def zigzag(images: Images, random: np.random.Generator) -> Images:
    """Six turns, 2 pixels to either side of a line from column 2 to 25 that begins at any height, at a small slope."""
    y = random.integers(0, 27, len(images))
    angle = np.arctan(random.integers(-5, 5, len(images)) / 23)
    length = 23 / np.cos(angle)
    along = np.stack([np.zeros_like(y), *(np.full_like(y, x) for x in range(2, 23, 4)), length])
    across = np.stack([0 * angle, *(0 * angle + turn for turn in (2, -2, 2, -2, 2, -2)), -1 / (length - 20)])
    points = np.stack([2 + along * np.cos(angle) - across * np.sin(angle),
                       y + along * np.sin(angle) + across * np.cos(angle)], -1)  # (8, N, 2)
    values = images / 255
    for start, end in itertools.pairwise(points):
        values = np.minimum(values + line(start, end), 1)
    return _grey(values)


def canny_edges(images: Images, random: np.random.Generator) -> Images:
    """White where Canny 1986 finds an edge, else black: SD 1 pixel, thresholds 0.1 and 0.2 of Sobel's operator."""
    smooth, one = blur_matrix(1, cut=True), np.eye(SIDE)
    above, below = np.roll(one, 1, 0), np.roll(one, -1, 0)
    above[0], below[-1] = one[0], one[-1]  # outside is the nearest pixel
    slope, mean = below - above, above + 2 * one + below
    values = smooth @ (images / 255) @ smooth.T
    down, right = slope @ values @ mean.T, mean @ values @ slope.T
    size = np.hypot(down, right)
    edges = _ridges(size, down, right)
    edges[:, [0, -1]] = edges[:, :, [0, -1]] = False
    weak, found = edges & (size >= 0.1), edges & (size >= 0.2)
    while (grown := weak & _grown(found)).sum() > found.sum():
        found = grown
    return found.astype(np.uint8) * np.uint8(255)


def _ridges(size: Values, down: Values, right: Values) -> NDArray[np.bool_]:
    """Where the slope is no lower than a pixel further and a pixel back along it, linearly between two pixels each."""
    every, y, x = np.ogrid[:len(size), 1:SIDE + 1, 1:SIDE + 1]  # within the padded
    padded = np.pad(size, ((0, 0), (1, 1), (1, 1)))
    y_step, x_step = (np.where(part < 0, -1, 1) for part in (down, right))
    steep = abs(down) >= abs(right)
    share = np.minimum(abs(down), abs(right)) / np.maximum(np.maximum(abs(down), abs(right)), 1e-300)
    highest = size > 0
    for way in (1, -1):
        near = padded[every, y + way * y_step * steep, x + way * x_step * ~steep]
        slant = padded[every, y + way * y_step, x + way * x_step]
        highest &= (1 - share) * near + share * slant <= size
    return np.asarray(highest)


def _grown(found: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Each pixel that is, or has one of its eight neighbours."""
    padded = np.pad(found, ((0, 0), (1, 1), (1, 1)))
    return np.asarray(np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (1, 2)).any((-2, -1)))


CORRUPTIONS: dict[str, Corruption] = {one.__name__.replace("_", " "): one for one in (
    shot_noise, impulse_noise, glass_blur, motion_blur, shear, scale, rotate, brightness, translate, stripe, fog,
    spatter, dotted_line, zigzag, canny_edges)}
