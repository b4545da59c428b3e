"""A recipe of this project as a program of the bench: driven through `experiment.run`, as the command drives it."""

import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.program import About, count_moved
from mnist_ops.arch.arithmetic import walk
from mnist_ops.arch.layers import Conv, Layer
from mnist_ops.arch.zoo import INPUT, MODELS, architecture
from mnist_ops.config import Config, Hard, recipe
from mnist_ops.data.dataset import ImageDataset
from mnist_ops.data.tensors import mean_and_sd, split, to_device
from mnist_ops.device import activate
from mnist_ops.events import EpochDone, Finished, Started, StepDone
from mnist_ops.experiment import run
from mnist_ops.mapping import from_mapping
from mnist_ops.model import Network, initial_network
from mnist_ops.run.trained import TrainedNetwork
from mnist_ops.score.evaluate import evaluate
from mnist_ops.settle import settle

SMALL_RATE = 1e-3  # where only speed counts: nothing diverges, and no step costs more or less for it
EPOCHS = 1000  # of a run that is to go on as long as it is asked for steps


@dataclass(frozen=True, eq=False)
class Recipe:
    """A config on a dataset; its runs write into folders that are removed at their end."""

    about: About
    config: Config  # settled
    source: ImageDataset
    network: Network  # as it is before its first step

    def steps(self) -> Iterator[int]:
        """The epochs of long runs, one after the other, without rate search and without tests."""
        config = replace(self.config, lr=SMALL_RATE, epochs=EPOCHS, test_every=0, hard=Hard())
        done = 0
        while True:
            with tempfile.TemporaryDirectory() as folder:
                for event in run(config, self.source, Path(folder) / "run"):
                    if isinstance(event, StepDone) and event.part == "train":
                        last = event.batch == event.batches  # which may be larger or smaller than the others
                        seen = self.about.train_images if last else event.batch * config.batch_size
                        yield seen - done
                        done = 0 if last else seen

    def batches(self) -> Iterator[int]:
        """Not to be told apart from the steps here: batches are made on the device, as part of each."""
        raise NotImplementedError("the batches of a recipe are part of its steps")

    def test(self) -> float:
        """One look of `score` at the test part."""
        data = to_device(self.source, self.config.validation, activate(self.config))
        return evaluate(self.network.to(self.config.device), data.test, data.mean, data.sd).accuracy

    def whole(self) -> dict[str, Any]:
        """A run of the recipe as it is: seconds to the last weight with its tests, by the clock, and its own record of
        those without tests. What a run does after its last test, fitting the score that refuses, is in neither."""
        begun = ended = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            for event in run(self.config, self.source, Path(folder) / "run"):
                if isinstance(event, Started):
                    begun = time.perf_counter()
                elif isinstance(event, EpochDone):
                    ended = time.perf_counter()
        assert isinstance(event, Finished)
        seconds = ended - begun
        if not self.config.test_every:  # its only test comes after the last epoch
            begun = time.perf_counter()
            self.test()
            seconds += time.perf_counter() - begun
        summary = event.summary
        epochs = sum(row["seconds"] for row in event.history)
        return {"seconds": seconds, "train_seconds": summary["train_seconds"], "lr": summary["peak_lr"],
                "search_seconds": summary["train_seconds"] - epochs, "test_accuracy": summary["test_accuracy"]}

    def trained(self) -> TrainedNetwork:
        """The network with all that an export needs; its weights are those before the first step."""
        mean, sd = mean_and_sd(split(self.source.train, activate(replace(self.config, device="cpu"))).images)
        layers = architecture(self.config.model, len(self.source.classes))
        return TrainedNetwork(self.network.to("cpu"), layers, self.config.model, self.source.name,
                              self.source.classes, self.config.prepare, mean, sd)


def from_recipe(source: ImageDataset, name: str, **changes: Any) -> Recipe:
    """The named recipe with fields of its config replaced, its parts by mappings; width=2 doubles the channels."""
    width = changes.pop("width", 1.0)
    config = settle(from_mapping(recipe(name), changes, "bench"), source)
    if width != 1:
        wide = f"{config.model} x {width:g}"
        MODELS[wide] = widened(MODELS[config.model], width)  # of this process alone
        config = replace(config, model=wide)
    layers = architecture(config.model, len(source.classes))
    steps = walk(layers, INPUT)
    network = initial_network(config, layers, activate(config))
    about = About(name, config.model, sum(step.parameters for step in steps), sum(step.macs for step in steps),
                  count_moved(network), config.batch_size, config.epochs, len(source.train.labels) - config.validation,
                  len(source.test.labels), config.device, config.threads, config.precision)
    return Recipe(about, config, source, network)


def widened(layers: tuple[Layer, ...], factor: float) -> tuple[Layer, ...]:
    """The layers with every convolution's channels multiplied, but for the last, whose channels are the classes."""
    last = max(number for number, layer in enumerate(layers) if isinstance(layer, Conv))
    return tuple(replace(layer, channels=max(1, round(layer.channels * factor)))
                 if isinstance(layer, Conv) and number != last else layer for number, layer in enumerate(layers))


def repeated(source: ImageDataset, images: int) -> ImageDataset:
    """The source with so many training images: the first ones, or the whole set again and again."""
    part = source.train
    place = np.arange(images) % len(part.labels)
    return replace(source, train=type(part)(part.images[place], part.labels[place]))

