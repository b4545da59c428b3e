"""Whether a run's training steps are compiled or PyTorch's. Imports no torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mnist_ops.arch.arithmetic import walk
from mnist_ops.arch.layers import Layer
from mnist_ops.config import Config
from mnist_ops.engine.build import Build, build
from mnist_ops.engine.program import lower
from mnist_ops.engine.source import source
from mnist_ops.errors import RunError

# Multiply-adds of a run's forward passes from which on compiling, a matter of seconds, is worth it: 26,000 images of
# the default network.
WORTH = 15e9


@dataclass(frozen=True)
class Choice:
    """What computes the steps, and what to say where that is PyTorch though compiled steps were to be expected."""

    engine: Literal["compiled", "pytorch"]
    note: str = ""


def choose(config: Config, layers: Sequence[Layer], images: int, processes: int, *, own: str = "") -> Choice:
    """The engine of a run on `images` images an epoch; the device of `config` is settled.

    own: which parts of the run are code of one's own, which only PyTorch can compute."""
    if config.engine == "pytorch":
        return Choice("pytorch")
    elsewhere = "" if config.device == "cpu" else f"the device is {config.device}"
    together = "several processes train together" if processes > 1 else ""
    rounded = "the precision is bfloat16" if config.precision == "bfloat16" else ""
    colours = "saturation and hue are augmented" if config.colour is True and (
        config.augment.saturation or config.augment.hue) else ""
    if why := elsewhere or together or rounded or colours or (own if not layers else ""):
        return Choice("pytorch", f"the training steps are PyTorch's: {why}" if config.engine == "compiled" else "")
    steps = walk(layers, config.input_shape)
    if config.engine == "auto" and sum(step.macs for step in steps) * images * config.epochs < WORTH:
        return Choice("pytorch")
    slow = "the training steps are PyTorch's; compiled ones would be several times as fast"
    if own:
        return Choice("pytorch", f"{slow}: {own}")
    if steps[-1].output_shape[1:] != (1, 1):
        return Choice("pytorch", f"{slow}, and cannot end in a map of more than one pixel")
    try:
        plan(config, layers)
    except RunError as error:
        return Choice("pytorch", f"{slow}: {error}")
    return Choice("compiled")


def plan(config: Config, layers: Sequence[Layer]) -> Build:
    """The build of the run's training step. Raises RunError where no compiler works here."""
    return build(source(lower(layers, config.input_shape), config.optimizer.name))
