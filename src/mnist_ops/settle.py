"""Everything that a config leaves to the data and the machine, resolved before a run; and warnings about it."""

from dataclasses import replace

from mnist_ops.arch.zoo import scaled
from mnist_ops.config import Config
from mnist_ops.data.dataset import ImageDataset
from mnist_ops.device import resolve
from mnist_ops.engine.choice import choose
from mnist_ops.model import layers_of
from mnist_ops.optim.length import fitted, too_short
from mnist_ops.own_code import NONE, OwnCode
from mnist_ops.pictures.prepare import chosen_method
from mnist_ops.run.start import settle_start

MNIST_TARGET = 99.4  # percent


def settle(config: Config, source: ImageDataset, processes: int = 1, code: OwnCode = NONE) -> Config:
    """The config with every "auto" except the learning rate resolved for this machine and dataset.

    processes: the number that train together."""
    channels, side, _ = source.input_shape
    config = replace(settle_start(config), size=side, colour=channels == 3)
    if config.augment.fill == "auto":
        config = replace(config, augment=replace(config.augment, fill="black" if source.dark_edges else "edge"))
    target = config.target
    if target == "auto":
        target = MNIST_TARGET if source.name == "mnist" else 0.0
    images = source.kept(config.validation)
    config = fitted(config, images)
    if config.parameters:
        config = replace(config, parameters=0, model=scaled(config.model, len(source.classes), source.input_shape,
                                                            config.parameters))
    here = replace(config, device=resolve(config).device)
    config = replace(config, engine=choose(here, layers_of(config, len(source.classes)), images, processes,
                                            own=code.told).engine)
    return replace(resolve(config), data=source.name, prepare=chosen_method(config.prepare, source.name), target=target)


def cautions(config: Config, source: ImageDataset) -> tuple[str, ...]:
    """Warnings before training: about the data, and about a run that is too short."""
    images = source.kept(config.validation)
    run = fitted(config, images)
    unused = [f"augment {run.code.augment} is not used: the last epochs of the recipe are without augmentation "
              f"(plain_epochs {run.augment.plain_epochs}), and the run has only {run.epochs}. Use more epochs"
              ] if run.code.augment and run.epochs <= run.augment.plain_epochs else []
    return *source.warnings, *too_short(run, images), *unused
