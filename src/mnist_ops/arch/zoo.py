"""The named architectures, one tuple of records each, and their blocks."""

import re
from dataclasses import replace

from mnist_ops.arch.arithmetic import Shape, sizes
from mnist_ops.arch.layers import AdaptiveAvgPool, AvgPool, Conv, Dropout, Layer, MaxPool, Norm, ReLU, Residual
from mnist_ops.errors import UsageError, hint

INPUT: Shape = (1, 28, 28)  # of MNIST: one grey channel of 28x28 pixels


def block(
    channels: int, *, kernel: int = 3, stride: int = 1, padding: int = 0, dropout: float = 0.0
) -> tuple[Layer, ...]:
    """Convolution, normalisation, dropout if its share in [0, 1) is above 0, ReLU: the reference's order."""
    drop = (Dropout(dropout),) if dropout else ()
    return (Conv(channels, kernel, stride, padding), Norm(), *drop, ReLU())


def pooled_block(
    channels: int, pool: int = 2, *, kernel: int = 3, stride: int = 1, padding: int = 0
) -> tuple[Layer, ...]:
    """Convolution, maximum of each pool x pool window, normalisation, ReLU.

    Pooling comes first, as that leaves 1/pool**2 of the elements to normalise and rectify."""
    return (Conv(channels, kernel, stride, padding), MaxPool(pool), Norm(), ReLU())


def separable_block(
    inputs: int, channels: int, pool: int = 1, *, kernel: int = 3, stride: int = 1, padding: int = 0
) -> tuple[Layer, ...]:
    """A depthwise convolution of the `inputs` channels, a 1x1 convolution across them, maximum of each pool x pool
    window if pool is above 1, normalisation, ReLU. After Howard et al. 2017, arXiv:1704.04861, who normalise twice."""
    pooled = (MaxPool(pool),) if pool > 1 else ()
    return (Conv(inputs, kernel, stride, padding, groups=0), Conv(channels, kernel=1), *pooled, Norm(), ReLU())


MODELS: dict[str, tuple[Layer, ...]] = {
    # The reference's network: 31 layers, dropout in every block, average of the last 4x4 map.
    "seed": (
        *4 * block(10, dropout=0.05), MaxPool(2),
        *block(10, dropout=0.05), *2 * block(16, dropout=0.05),
        AvgPool(4), Conv(10, kernel=1),
    ),
    # Less than a third of its multiply-adds: it pools after the first convolution, as the large maps cost the most.
    "early-pool": (
        *pooled_block(8), *block(12), *3 * block(16),
        AdaptiveAvgPool(1), Conv(10, kernel=1),
    ),
    # As fast on a CPU, whose vectors often have 8 numbers: 12 channels leave a quarter of two of them idle.
    "early-pool-wide": (
        *pooled_block(8), *3 * block(16), *block(24),
        AdaptiveAvgPool(1), Conv(10, kernel=1),
    ),
    # Two to three times the channels for the same parameters: a separable block has about an eighth of a block's.
    "separable": (
        *pooled_block(16), *separable_block(16, 32), *separable_block(32, 48), *separable_block(48, 48),
        *separable_block(48, 64), AdaptiveAvgPool(1), Conv(10, kernel=1),
    ),
    # A first convolution of stride 2 needs no pool and makes no map of the image's size: even faster.
    "separable-strided": (
        *block(16, kernel=5, stride=2), *separable_block(16, 32), *separable_block(32, 48), *separable_block(48, 64),
        AdaptiveAvgPool(1), Conv(10, kernel=1),
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


OTHER_NAMES = {"reference": "seed"}  # of networks and of the recipes that train them


def architecture(name: str, classes: int, shape: Shape = INPUT) -> tuple[Layer, ...]:
    """The named network for images of that shape: its last layer, a convolution, gets a channel for each class.

    Raises UsageError as `named_network`, and for a number of classes out of range."""
    return for_classes(named_network(name, shape), classes)


def for_classes(layers: tuple[Layer, ...], classes: int) -> tuple[Layer, ...]:
    """The layers; the last, if it is a convolution, gets a channel for each class.

    Raises UsageError for a number of classes out of range."""
    *body, last = layers
    try:
        return (*body, replace(last, channels=classes) if isinstance(last, Conv) else last)
    except ValueError as error:
        raise UsageError(f"{classes} classes: {error}") from error


def is_named(model: str) -> bool:
    """Whether `named_network` may know it: other networks are known by their layers alone."""
    return OTHER_NAMES.get(model, model) in MODELS or model.startswith((BLOCKS, f"{PICTURES}*"))


def named_network(name: str, shape: Shape = INPUT) -> tuple[Layer, ...]:
    """The network as MODELS has it, or as a name that begins with "blocks:" describes it, see `from_blocks`, for
    images of that shape. "pictures", whose blocks follow the side, may end in a factor of its channels, as blocks do.

    Raises UsageError for an unknown name, with the nearest ones."""
    name = OTHER_NAMES.get(name, name)
    base, star, factor = name.partition("*")
    if base == PICTURES:
        return from_blocks(pictures_blocks(shape[1]) + star + factor, shape[0])
    if name.startswith(BLOCKS):
        return from_blocks(name, shape[0])
    if name not in MODELS:
        raise UsageError(f"unknown model {name!r:.80}; {hint(name, MODELS)}")
    return MODELS[name]


def is_scalable(name: str) -> bool:
    """Whether a factor of all channels may be added to the name."""
    return "*" not in name and (name == PICTURES or name.startswith(BLOCKS))


def scaled(name: str, classes: int, shape: Shape, most: int) -> str:
    """The network `name` with the factor of its channels that gives as many parameters as possible, at most `most`.

    Raises UsageError for a network that has no factor, or for fewer parameters than its narrowest."""
    if not is_scalable(name):
        raise UsageError(f"parameters: model {name!r:.80} has a fixed width; expected {PICTURES}, or blocks: "
                         "without a factor")

    def count(thousandths: int) -> int:
        return sizes(architecture(f"{name}*{thousandths / 1000:g}", classes, shape), shape)["parameters"]

    low, high = NARROWEST, WIDEST
    if (least := count(low)) > most:
        raise UsageError(f"parameters: found {most:,}, but {name} has {least:,} at {NARROWEST / 1000:g} of its width "
                         f"for {classes} classes; use more, or a smaller network")
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if count(middle) <= most else (low, middle)
    return f"{name}*{low / 1000:g}"


PICTURES = "pictures"
NARROWEST, WIDEST = 100, 8000  # factors of `scaled`, in thousandths


def pictures_blocks(side: int) -> str:
    """The blocks of "pictures" for images of that side: the first pools images above 40 pixels, and strides over those
    above 80, where multiply-adds are dearest, so that the residual blocks work on maps of 8 to 40 pixels."""
    stem = "24a" if side <= 40 else "24p2a" if side <= 80 else "24s2p2a"
    return f"{BLOCKS}{stem}-24dr-48k5s2da-48k5dr-48k5dr-96k5s2da-96dr-96dr"


BLOCKS = "blocks:"
MOST_BLOCKS = 64
BLOCK = re.compile(r"(\d{1,4})(?:k(\d{1,2}))?(?:s(\d{1,2}))?(?:p(\d{1,2}))?(d?)(a?)(r?)")
FACTOR = re.compile(r"\d{1,2}(?:\.\d{1,3})?")


def from_blocks(text: str, inputs: int = INPUT[0]) -> tuple[Layer, ...]:
    """The network of a name such as "blocks:8p2-16-16k5-24d": its blocks, the mean of the last map, ten outputs.

    A block is its channels, then in this order, each where needed: k and its kernel size if not 3, s and its stride, p
    and the side of its max-pooling window, d if it is depthwise-separable, a if it pads all around by half the kernel,
    r if its input is added to what it makes, which needs as many channels and pads. At the end * and a factor of all
    channels: "blocks:8p2-16-16-16-24*2". "blocks:8p2-16-16-16-24" is "early-pool-wide". Raises UsageError, naming the
    block, for anything else; `arithmetic.walk` checks that the blocks fit the image."""
    named, star, wider = text.partition("*")
    if star and not FACTOR.fullmatch(wider):
        raise UsageError(f"model {text!r:.80}: found {wider!r:.40} after *, expected a factor of all channels such as "
                         "1.5")
    factor = float(wider or 1)
    blocks = named.removeprefix(BLOCKS).split("-")
    if len(blocks) > MOST_BLOCKS:
        raise UsageError(f"model {text!r:.80}: {len(blocks)} blocks, expected at most {MOST_BLOCKS}")
    layers: list[Layer] = []
    for part in blocks:
        found = BLOCK.fullmatch(part)
        if found is None:
            raise UsageError(f"model {text!r:.80}: found block {part!r:.40}, expected its channels, then optionally k "
                             "and the kernel, s and the stride, p and the pooling window, d for depthwise, a for "
                             "padding, r for residual, such as 16k5p2d")
        channels = round(int(found[1]) * factor)
        try:
            layers += _one_block(found, inputs, channels)
        except ValueError as error:
            raise UsageError(f"model {text!r:.80}, block {part}: {error}") from error
        inputs = channels
    return (*layers, AdaptiveAvgPool(1), Conv(10, kernel=1))


def _one_block(found: re.Match[str], inputs: int, channels: int) -> tuple[Layer, ...]:
    """The layers of a block. Raises ValueError for what no layer can be."""
    kernel, stride, pool = (int(number or usual) for number, usual in zip(found.groups()[1:4], (3, 1, 1), strict=True))
    residual = bool(found[7])
    padding = kernel // 2 if found[6] or residual else 0
    if residual and (channels != inputs or stride > 1 or pool > 1 or kernel % 2 == 0):
        raise ValueError(f"r adds the input, of {inputs} channels, to what the block makes; expected as many channels, "
                         "an odd kernel, no stride and no pool")
    if found[5]:
        layers = separable_block(inputs, channels, pool, kernel=kernel, stride=stride, padding=padding)
    elif pool == 1:
        layers = block(channels, kernel=kernel, stride=stride, padding=padding)
    else:
        layers = pooled_block(channels, pool, kernel=kernel, stride=stride, padding=padding)
    return (Residual(layers),) if residual else layers


MODELS[PICTURES] = named_network(PICTURES)
