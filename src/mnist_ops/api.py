"""The Python interface: train a recipe, load a network, classify images. Prints nothing."""

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from mnist_ops.arch.arithmetic import Shape
from mnist_ops.arch.layers import Layer
from mnist_ops.arch.network_file import with_layers
from mnist_ops.arch.zoo import INPUT
from mnist_ops.comparison.pairs import described, pairs
from mnist_ops.comparison.runs import group, read_runs
from mnist_ops.config import Config, recipe
from mnist_ops.data.dataset import ImageDataset
from mnist_ops.data.labelled import ARRAYS, from_arrays
from mnist_ops.data.source import read
from mnist_ops.data.tensors import Split
from mnist_ops.device import share_out
from mnist_ops.errors import RunError, UsageError, brief
from mnist_ops.events import Event, Finished, Warned
from mnist_ops.experiment import run as begin_run
from mnist_ops.mapping import OWN, from_mapping, to_mapping
from mnist_ops.model import Network
from mnist_ops.own_code import Change, MakeNetwork, MakeOptimizer, OwnCode, check_code, name_of
from mnist_ops.pictures.prepare import check_picture, chosen_method, prepare_and_warn, prepared_file
from mnist_ops.pictures.several import Several, read_several
from mnist_ops.run.folder import RUNS, default_path, read_config
from mnist_ops.run.named import find_run
from mnist_ops.run.start import settle_start
from mnist_ops.run.trained import load_trained
from mnist_ops.score.evaluate import evaluate
from mnist_ops.settle import cautions, settle
from mnist_ops.sweeps.in_one_process import run_abreast
from mnist_ops.sweeps.seeds import SeedDone, SeedFailed, begin, run_seeds, write_results

OwnNetwork: TypeAlias = Sequence[Layer] | MakeNetwork


def train(config: str | Config = "default", *, data: str | Sequence[Any] | None = None,
          data_dir: str | Path | None = None, out: str | Path | None = None,
          on_event: Callable[[Event], object] | None = None, network: OwnNetwork | None = None,
          augment: Change | None = None, optimizer: MakeOptimizer | None = None) -> dict[str, Any]:
    """Train a recipe, given by name or as a Config. Returns the content of summary.json, and the folder as "run".

    data: a name, a folder or a file, as --data; or (images, labels) or (images, labels, test_images, test_labels),
    images (N, H, W) or (N, H, W, 3), 0 black. Without test images, a fifth of each class is drawn for them.
    data_dir: the folder of named datasets; out: the run folder, new or empty, by default
    runs/<date>-<recipe>-s<seed>; on_event is given each event of the run, see `events`. Warnings are issued as
    UserWarning. Raises MnistOpsError, as the command.

    Ideas of your own, see docs/networks.md: network is layers, or makes a torch.nn.Module from (channels, height,
    width) and the number of classes; augment changes a batch (N, C, H, W) of values in [0, 1] after the augmentation
    of the config; optimizer makes a torch.optim.Optimizer from a list of parameters, whose rate the run sets."""
    config, code = _with_code(_checked(config), network, augment, optimizer)
    config = settle_start(config if data is None else replace(config, data=data if isinstance(data, str) else ARRAYS))
    path = default_path(RUNS, config) if out is None else Path(out)
    return _finished(begin_run(config, _source(config, data, data_dir), path, code=code), path, on_event)


def resume(run: str | Path, *, data: Sequence[Any] | None = None, data_dir: str | Path | None = None,
           on_event: Callable[[Event], object] | None = None, network: MakeNetwork | None = None,
           augment: Change | None = None, optimizer: MakeOptimizer | None = None) -> dict[str, Any]:
    """Continue the run in that folder after its last saved epoch, with its own settings. Returns what `train` does.

    data: arrays, if it was started with arrays; network, augment, optimizer: again, if it was started with any, as
    nothing imports them. Raises MnistOpsError, as the command."""
    path, code = Path(run), OwnCode(network=network, augment=augment, optimizer=optimizer)
    check_code(config := read_config(path), code, path)
    if config.data == ARRAYS and data is None:
        raise UsageError(f"{path}: was started with arrays; give them again as data=(images, labels, ...)")
    config = replace(config, code=code.names)
    return _finished(begin_run(config, _source(config, data, data_dir), path, resume=True, code=code), path, on_event)


def _source(config: Config, data: str | Sequence[Any] | None, data_dir: str | Path | None) -> ImageDataset:
    if data is not None and not isinstance(data, str):
        return from_arrays(data, seed=config.seed, how=chosen_method(config.prepare, ARRAYS), size=config.size,
                           colour=config.colour)
    return read(config.data, None if data_dir is None else Path(data_dir), seed=config.seed, how=config.prepare,
                size=config.size, colour=config.colour, skip_damaged=config.skip_damaged)


def _finished(events: Iterator[Event], path: Path, on_event: Callable[[Event], object] | None) -> dict[str, Any]:
    for event in events:
        if isinstance(event, Warned):
            warnings.warn(event.text, stacklevel=3)
        if on_event is not None:
            on_event(event)
    assert isinstance(event, Finished)
    return {"run": str(path), **event.summary}


def _with_code(config: Config, network: OwnNetwork | None, augment: Change | None,
               optimizer: MakeOptimizer | None) -> tuple[Config, OwnCode]:
    """The config that names the code, or has the layers, and the code."""
    make: MakeNetwork | None = None
    if isinstance(network, Sequence):
        if wrong := [one for one in network if not isinstance(one, Layer)]:
            raise UsageError(f"network: {brief(wrong[0])} is not a layer; expected those of mnist_ops.arch.layers")
        config = replace(config, model=OWN, layers=tuple(network))
    elif isinstance(network, nn.Module):
        raise UsageError(f"network: a {type(network).__name__}, expected the class or a function that makes one, as "
                         "each run starts with a new one")
    elif network is not None:
        make = network
        config = replace(config, model=name_of(make), layers=())
    code = OwnCode(network=make, augment=augment, optimizer=optimizer)
    check_code(config, code, "config")
    return replace(config, code=code.names), code


def _checked(config: str | Config) -> Config:
    if isinstance(config, str):
        return recipe(config)
    settings = with_layers(to_mapping(config), Path())
    return replace(from_mapping(Config(), settings, "config"), epochs=config.epochs,
                   batch_size=config.batch_size)  # whose kind tells whether somebody gave them


def sweep(config: str | Config = "default", seeds: int | Sequence[int] = 10, *, data: str | None = None,
          data_dir: str | Path | None = None, out: str | Path | None = None, jobs: int | None = None,
          abreast: bool = False, network: OwnNetwork | None = None, augment: Change | None = None,
          optimizer: MakeOptimizer | None = None) -> dict[str, Any]:
    """Train a recipe on several seeds: 0 to seeds - 1, or those given. Returns results.json's content, and "folder".

    Each run is a process of its own, `jobs` at a time: by default one a core. out: by default runs/sweep-<recipe>;
    finished runs in it are kept. abreast: run all in this process, as --abreast, one after the other or `jobs`
    interleaved. network, augment, optimizer: as in `train`; code of your own is always run so. Warnings are issued as
    UserWarning. Raises MnistOpsError, as the command, if a run fails."""
    config, code = _with_code(_checked(config), network, augment, optimizer)
    config = settle_start(config if data is None else replace(config, data=data))
    numbers = range(seeds) if isinstance(seeds, int) else list(seeds)
    if not numbers:
        raise UsageError("seeds: none given, expected at least one")
    folder, place = Path(out or RUNS / f"sweep-{config.recipe}"), None if data_dir is None else Path(data_dir)
    source = _source(config, None, data_dir)
    for text in cautions(config, source):
        warnings.warn(text, stacklevel=2)
    abreast = abreast or bool(code.told)
    shared, lanes = share_out(config, 1 if abreast else jobs, len(numbers))
    begin(folder, settle(shared, source, code=code), keep_threads=not config.threads)
    results = list(run_abreast(folder, numbers, jobs or 1, source, code=code) if abreast else
                   run_seeds(folder, numbers, lanes, place))
    if failed := [f"seed {one.seed} failed: {one.message}" for one in results if isinstance(one, SeedFailed)]:
        raise RunError("\n".join(failed))
    return {"folder": str(folder), **write_results(folder, [one.summary for one in results
                                                           if isinstance(one, SeedDone)])}


def compare(runs: Sequence[str | Path]) -> dict[str, Any]:
    """Compare runs, from their folders or those of sweeps: what `mnist-ops compare --json` prints, without a page.

    Raises RunError and UsageError as `read_runs`."""
    found, unfinished = read_runs([Path(run) for run in runs])
    recipes, doubled = group(found)
    return {**described(recipes, pairs(recipes)), "warnings": [*unfinished, *doubled]}


def load(run: str | Path, network: MakeNetwork | None = None) -> "Classifier":
    """Load the network of a run folder or a model.safetensors, or "default", which ships with the package.

    network: what made it, if it was trained with a `torch.nn.Module` of your own, which nothing imports.
    Raises RunError as `find_run` and `load_trained`."""
    trained = load_trained(find_run(run), network)
    return Classifier(trained.network, trained.classes, trained.mean, trained.sd, trained.prepare, trained.input_shape)


@dataclass(frozen=True, eq=False)
class Reading:
    """The prediction for one picture."""

    label: str  # the most probable class
    probability: float  # of it, in [0, 1]
    probabilities: dict[str, float] = field(repr=False)  # of every class, in the classes' order
    original: NDArray[np.uint8] = field(repr=False)  # (H, W) grey, or (H, W, 3)
    seen: NDArray[np.uint8] = field(repr=False)  # the network's input, (side, side) or (3, side, side)
    warnings: tuple[str, ...] = field(default=(), repr=False)  # such as further pages


@dataclass(frozen=True, eq=False)
class Classifier:
    """A trained network with its scaling and classes; on the CPU, in float32."""

    network: Network
    classes: tuple[str, ...]
    mean: tuple[float, ...]  # of each channel, of values in [0, 1], as is sd
    sd: tuple[float, ...]
    prepare: str = "mnist"  # how a picture becomes an image, one of `pictures.prepare.METHODS`
    input_shape: Shape = INPUT  # of an image: channels, height, width

    def read(self, picture: str | Path | NDArray[np.uint8]) -> Reading:
        """Classify one picture of any size: a file, or an array uint8, grey (H, W) or, if the network sees colour, RGB
        (H, W, 3).

        Raises DataError, naming the file, if it cannot be read or has no ink; UsageError for an array of another shape
        or type."""
        if isinstance(picture, np.ndarray):
            check_picture(picture, colour=self.input_shape[0] == 3)
            original, (seen, warnings) = picture, prepare_and_warn(picture, self.prepare, self.input_shape[1])
        else:
            prepared = prepared_file(Path(picture), self.prepare, self.input_shape)
            original, seen, warnings = prepared.original, prepared.seen, prepared.warnings
        values = self.predict(seen)[0]
        best = int(values.argmax())
        return Reading(self.classes[best], float(values[best]), dict(zip(self.classes, values.tolist(), strict=True)),
                       original, seen, warnings)

    def read_several(self, picture: str | Path | NDArray[np.uint8]) -> Several:
        """Read every character of one picture, such as the digits of a number; also those that touch.

        As `read`; UsageError too if pictures are prepared by another method than "mnist"."""
        return read_several(picture, self.prepare, self.logits, self.classes)

    def predict(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """images (N, H, W) or (H, W), or (N, 3, H, W) or (3, H, W) in colour, uint8 -> probabilities (N, classes).

        Of the network's input size, prepared; N = 1 for a single one. Softmax of the logits. Raises UsageError for
        another shape or type, and if the brightest value of an image is 1; `pictures.prepare` makes images."""
        return torch.from_numpy(self.logits(images)).softmax(1).numpy()

    def logits(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The same before the softmax."""
        found, one = np.asarray(images), self.input_shape if self.input_shape[0] > 1 else self.input_shape[1:]
        if found.dtype != np.uint8 or found.ndim - len(one) not in (0, 1) or found.shape[-len(one):] != one:
            shape = ", ".join(map(str, one))
            raise UsageError(f"images: found {found.dtype} of shape {found.shape}, expected uint8 of shape (N, "
                             f"{shape}) or ({shape}), 0 black; mnist_ops.pictures.prepare makes any picture so")
        count = found.size // math.prod(one)
        if count == 0:
            return np.empty((0, len(self.classes)), np.float32)
        brightest = found.reshape(count, -1).max(1)
        if (brightest == 1).any():
            raise UsageError(f"images: the brightest value of image {int((brightest == 1).argmax())} is 1, expected "
                             "grey values from 0 to 255, such as white strokes of 255; multiply them by 255")
        tensor = torch.tensor(found.reshape(count, *self.input_shape))  # a copy, as the array may be read-only
        unlabelled = Split(tensor, torch.zeros(count, dtype=torch.int64))
        return evaluate(self.network, unlabelled, self.mean, self.sd).logits.numpy()
