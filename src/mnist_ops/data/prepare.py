"""Any grey picture -> the 28x28 that the network expects. How is part of a run, and the same in every export."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from mnist_ops.errors import ConfigError

SIDE = 28  # pixels


def prepare(image: NDArray[np.uint8], how: str = "resize") -> NDArray[np.uint8]:
    """image (H, W) uint8, H and W at least 1 -> (28, 28) uint8 of its own, in the way named `how`, a key of `METHODS`.

    Raises ConfigError where there is no such way."""
    check_method(how)
    return METHODS[how](image)


def check_method(how: str) -> None:
    """Raises ConfigError, naming what there is, unless `how` is a key of `METHODS`."""
    if how not in METHODS:
        raise ConfigError(f"prepare: found {how!r}, expected one of {', '.join(METHODS)}.")


def resize(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Nearest neighbour, the reference's way: sides are stretched apart from each other, 28x28 stays as it is."""
    if image.shape == (SIDE, SIDE):
        return image.copy()
    from PIL import Image

    # Where a pixel's centre falls between two, Pillow's rounding decides; arithmetic of our own would differ there.
    return np.array(Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.NEAREST))


METHODS: dict[str, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {"resize": resize}
