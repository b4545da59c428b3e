"""The operations of a training step, and the maps that they read and make.

An operation reads a map and makes another. Its way back makes the gradient of the map that it read from that of the one
that it made. Imports no torch."""

from dataclasses import dataclass
from typing import TypeAlias

from mnist_ops.arch import layers as arch
from mnist_ops.arch.arithmetic import Shape


@dataclass(eq=False)
class FeatureMap:
    """A map of one block of images, and its gradient's place."""

    shape: Shape
    border: int = 0  # of zeros around each channel, as far as an operation that reads it pads
    gradient_border: int = 0
    offset: int = -1  # vectors from the beginning of a block's room, likewise the gradient's
    gradient: int = -1

    def plane(self, border: int) -> int:
        """Vectors of a channel, its border included."""
        return (self.shape[1] + 2 * border) * (self.shape[2] + 2 * border)


@dataclass(frozen=True, eq=False)
class Convolve:
    """A convolution."""

    given: FeatureMap
    made: FeatureMap
    layer: arch.Conv
    groups: int
    weights: int  # first place among the parameters
    bias: int  # likewise; -1: none
    back: bool  # whether the gradient of `given` is needed
    turned: int  # first place among the turned weights; -1: none
    pool: arch.MaxPool | None  # of what it computes, which is kept nowhere; then `made` is the pooled map
    where: int  # first of the places that the pool remembers
    spread: FeatureMap | None  # where a stride has gaps in the gradient of `made`, that with zeros in them

    @property
    def reach(self) -> int:
        """Pixels from the first tap of a kernel to its last."""
        return self.layer.dilation * (self.layer.kernel - 1)


@dataclass(frozen=True, eq=False)
class Activate:
    """Normalisation, dropout and ReLU, of which each may be missing."""

    given: FeatureMap
    made: FeatureMap
    norm: int  # number of its first channel among all that are normalised; -1: none
    scale: int  # first place of its scale among the parameters; the shift follows
    dropout: float  # share
    number: int  # of the dropout
    relu: bool
    back: bool


@dataclass(frozen=True, eq=False)
class PoolMax:
    """Maximum of windows."""

    given: FeatureMap
    made: FeatureMap
    layer: arch.MaxPool
    where: int  # first of the places that are remembered
    back: bool


@dataclass(frozen=True, eq=False)
class Average:
    """Mean of windows."""

    given: FeatureMap
    made: FeatureMap
    layer: arch.AvgPool | arch.AdaptiveAvgPool
    back: bool


@dataclass(frozen=True, eq=False)
class Branch:
    """A copy of a map for the body of a residual, which reads the map again."""

    given: FeatureMap
    made: FeatureMap
    back: bool


@dataclass(frozen=True, eq=False)
class Add:
    """given + what its body made of it."""

    given: FeatureMap
    body: FeatureMap
    made: FeatureMap
    back: bool
    body_back: bool  # whether the gradient of `body` is needed


Operation: TypeAlias = Convolve | Activate | PoolMax | Average | Branch | Add
