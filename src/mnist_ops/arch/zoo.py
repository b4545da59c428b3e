"""The named architectures, one tuple of records each, and the blocks they are made of."""

from dataclasses import replace

from mnist_ops.arch.layers import AdaptiveAvgPool, AvgPool, Conv, Dropout, Layer, MaxPool, Norm, ReLU, Shape
from mnist_ops.errors import UsageError, hint

INPUT: Shape = (1, 28, 28)  # what every network here is made for: one grey channel of 28x28 pixels


def block(
    channels: int, *, kernel: int = 3, stride: int = 1, padding: int = 0, dropout: float = 0.0
) -> tuple[Layer, ...]:
    """Convolution, normalisation, dropout where its share in [0, 1) is above 0, ReLU: the reference's order."""
    drop = (Dropout(dropout),) if dropout else ()
    return (Conv(channels, kernel, stride, padding), Norm(), *drop, ReLU())


def pooled_block(channels: int, pool: int = 2, *, kernel: int = 3) -> tuple[Layer, ...]:
    """Convolution, maximum of each pool x pool window, normalisation, ReLU.

    Pooling comes first, as that leaves 1/pool**2 of the elements to normalise and rectify."""
    return (Conv(channels, kernel), MaxPool(pool), Norm(), ReLU())


def separable_block(inputs: int, channels: int, pool: int = 1, *, kernel: int = 3) -> tuple[Layer, ...]:
    """A convolution of each of the `inputs` channels by itself, a 1x1 convolution across them, maximum of each
    pool x pool window where pool is above 1, normalisation, ReLU. After Howard et al. 2017, arXiv:1704.04861, who
    normalise twice."""
    pooled = (MaxPool(pool),) if pool > 1 else ()
    return (Conv(inputs, kernel, groups=0), Conv(channels, kernel=1), *pooled, Norm(), ReLU())


MODELS: dict[str, tuple[Layer, ...]] = {
    # The reference's network: 31 layers, dropout in every block, average of the last 4x4 map.
    "seed": (
        *4 * block(10, dropout=0.05), MaxPool(2),
        *block(10, dropout=0.05), *2 * block(16, dropout=0.05),
        AvgPool(4), Conv(10, kernel=1),
    ),
    # Less than a third of its multiply-adds: pooling after the first convolution, as the large maps cost the most.
    "early-pool": (
        *pooled_block(8), *block(12), *3 * block(16),
        AdaptiveAvgPool(1), Conv(10, kernel=1),
    ),
    # No slower on a processor, whose vectors often hold 8 numbers: 12 channels leave a quarter of two of them idle.
    "early-pool-wide": (
        *pooled_block(8), *3 * block(16), *block(24),
        AdaptiveAvgPool(1), Conv(10, kernel=1),
    ),
    # For the same parameters two to three times the channels: a separable block needs about an eighth of a block's.
    "separable": (
        *pooled_block(16), *separable_block(16, 32), *separable_block(32, 48), *separable_block(48, 48),
        *separable_block(48, 64), AdaptiveAvgPool(1), Conv(10, kernel=1),
    ),
    # Under 4,000 and under 1,000 parameters.
    "separable-tiny": (
        *pooled_block(8), *separable_block(8, 16), *separable_block(16, 24), *separable_block(24, 32),
        *separable_block(32, 40), AdaptiveAvgPool(1), Conv(10, kernel=1),
    ),
    "separable-micro": (
        *pooled_block(6), *separable_block(6, 8), *separable_block(8, 8), *separable_block(8, 12),
        *separable_block(12, 14), AdaptiveAvgPool(1), Conv(10, kernel=1),
    ),
    # The reference's layers without its dropout.
    "seed-plain": (
        *4 * block(10), MaxPool(2),
        *block(10), *2 * block(16),
        AvgPool(4), Conv(10, kernel=1),
    ),
}


def architecture(name: str, classes: int = 10) -> tuple[Layer, ...]:
    """The named network with `classes` outputs: its last layer, a convolution, gets that many channels.

    Raises UsageError for an unknown name, with the nearest ones, and for a number of classes out of range."""
    if name not in MODELS:
        raise UsageError(f"model {name!r:.80} is not known; {hint(name, MODELS)}")
    *body, last = MODELS[name]
    if not isinstance(last, Conv):
        raise TypeError(f"MODELS[{name!r}] ends in {last}, expected a Conv, whose channels are the classes")
    try:
        return (*body, replace(last, channels=classes))
    except ValueError as error:
        raise UsageError(f"{classes} classes: {error}") from error
