"""The Python interface: train a recipe, load a network, classify images. Prints nothing."""

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mnist_ops.arch.arithmetic import Shape
from mnist_ops.arch.zoo import INPUT
from mnist_ops.comparison.pairs import described, pairs
from mnist_ops.comparison.runs import group, read_runs
from mnist_ops.config import Config, recipe
from mnist_ops.data.labelled import ARRAYS, from_arrays
from mnist_ops.data.source import read
from mnist_ops.data.tensors import Split
from mnist_ops.device import share_out
from mnist_ops.errors import RunError, UsageError
from mnist_ops.events import Event, Finished, Warned
from mnist_ops.experiment import cautions, run, settle
from mnist_ops.mapping import from_mapping, to_mapping
from mnist_ops.model import Network
from mnist_ops.pictures.prepare import chosen_method, prepare_and_warn, prepared_file
from mnist_ops.run.folder import RUNS, default_path
from mnist_ops.run.named import find_run
from mnist_ops.run.start import settle_start
from mnist_ops.run.trained import load_trained
from mnist_ops.score.evaluate import evaluate
from mnist_ops.score.refusal import Refusal, looked_at
from mnist_ops.sweeps.seeds import SeedDone, SeedFailed, begin, run_seeds, write_results


def train(config: str | Config = "default", *, data: str | Sequence[Any] | None = None,
          data_dir: str | Path | None = None, out: str | Path | None = None,
          on_event: Callable[[Event], object] | None = None) -> dict[str, Any]:
    """Train a recipe, given by name or as a Config. Returns the content of summary.json, and the folder as "run".

    data: a name, a folder or a file, as --data; or (images, labels) or (images, labels, test_images, test_labels),
    images (N, H, W) or (N, H, W, 3), 0 black. Without test images, a fifth of each class is drawn for them.
    data_dir: the folder of named datasets; out: the run folder, new or empty, by default
    runs/<date>-<recipe>-s<seed>; on_event is given each event of the run, see `events`. Warnings are issued as
    UserWarning. Raises MnistOpsError, as the command."""
    config = _checked(config)
    arrays, name = (None, data) if data is None or isinstance(data, str) else (data, ARRAYS)
    config = settle_start(config if name is None else replace(config, data=name))
    path = default_path(RUNS, config) if out is None else Path(out)
    if arrays is not None:
        source = from_arrays(arrays, seed=config.seed, how=chosen_method(config.prepare, ARRAYS), size=config.size,
                             colour=config.colour)
    else:
        source = read(config.data, None if data_dir is None else Path(data_dir), seed=config.seed, how=config.prepare,
                      size=config.size, colour=config.colour, skip_damaged=config.skip_damaged)
    for event in run(config, source, path):
        if isinstance(event, Warned):
            warnings.warn(event.text, stacklevel=2)
        if on_event is not None:
            on_event(event)
    assert isinstance(event, Finished)
    return {"run": str(path), **event.summary}


def _checked(config: str | Config) -> Config:
    if isinstance(config, str):
        return recipe(config)
    return replace(from_mapping(Config(), to_mapping(config), "config"), epochs=config.epochs,
                   batch_size=config.batch_size)  # whose kind tells whether somebody gave them


def sweep(config: str | Config = "default", seeds: int | Sequence[int] = 10, *, data: str | None = None,
          data_dir: str | Path | None = None, out: str | Path | None = None, jobs: int | None = None) -> dict[str, Any]:
    """Train a recipe on several seeds: 0 to seeds - 1, or those given. Returns results.json's content, and "folder".

    Each run is a process of its own, `jobs` at a time: by default one a core. out: by default runs/sweep-<recipe>;
    finished runs in it are kept. Warnings are issued as UserWarning. Raises MnistOpsError, as the command, if a run
    fails."""
    config = settle_start(_checked(config) if data is None else replace(_checked(config), data=data))
    numbers = range(seeds) if isinstance(seeds, int) else list(seeds)
    if not numbers:
        raise UsageError("seeds: none given, expected at least one")
    folder, place = Path(out or RUNS / f"sweep-{config.recipe}"), None if data_dir is None else Path(data_dir)
    source = read(config.data, place, seed=config.seed, how=config.prepare, size=config.size, colour=config.colour,
                  skip_damaged=config.skip_damaged)
    for text in cautions(config, source):
        warnings.warn(text, stacklevel=2)
    shared, lanes = share_out(config, jobs, len(numbers))
    begin(folder, settle(shared, source), keep_threads=not config.threads)
    results = list(run_seeds(folder, numbers, lanes, place))
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


def load(run: str | Path) -> "Classifier":
    """Load the network of a run folder or a model.safetensors, or "default", which ships with the package.

    Raises RunError as `find_run` and `load_trained`."""
    trained = load_trained(find_run(run))
    return Classifier(trained.network, trained.classes, trained.mean, trained.sd, trained.prepare, trained.input_shape,
                      trained.refusal)


@dataclass(frozen=True, eq=False)
class Reading:
    """The prediction for one picture."""

    label: str  # the most probable class
    probability: float  # of it, in [0, 1]
    probabilities: dict[str, float] = field(repr=False)  # of every class, in the classes' order
    original: NDArray[np.uint8] = field(repr=False)  # (H, W) grey, or (H, W, 3)
    seen: NDArray[np.uint8] = field(repr=False)  # the network's input, (side, side) or (3, side, side)
    warnings: tuple[str, ...] = field(default=(), repr=False)  # such as further pages
    verdict: str | None = None  # "read", "unsure" or "not a character", see `Classifier.verdicts`


@dataclass(frozen=True, eq=False)
class Classifier:
    """A trained network with its scaling and classes; on the CPU, in float32."""

    network: Network
    classes: tuple[str, ...]
    mean: tuple[float, ...]  # of each channel, of values in [0, 1], as is sd
    sd: tuple[float, ...]
    prepare: str = "mnist"  # how a picture becomes an image, one of `pictures.prepare.METHODS`
    input_shape: Shape = INPUT  # of an image: channels, height, width
    refusal: Refusal | None = None  # the score for verdicts; older weights have none

    def read(self, picture: str | Path | NDArray[np.uint8]) -> Reading:
        """Classify one picture of any size: a file, or an array uint8, grey (H, W) or, if the network sees colour, RGB
        (H, W, 3).

        Raises DataError, naming the file, if it cannot be read or has no ink; UsageError for an array of another shape
        or type."""
        if isinstance(picture, np.ndarray):
            colour = self.input_shape[0] == 3
            if picture.dtype != np.uint8 or picture.shape[2:] != ((3,) if colour else ()) or picture.size == 0:
                raise UsageError(f"picture: found {picture.dtype} of shape {picture.shape}, expected uint8 of shape "
                                 + ("(H, W, 3), red, green and blue" if colour else "(H, W), grey, 0 black"))
            original, (seen, warnings) = picture, prepare_and_warn(picture, self.prepare, self.input_shape[1])
        else:
            prepared = prepared_file(Path(picture), self.prepare, self.input_shape)
            original, seen, warnings = prepared.original, prepared.seen, prepared.warnings
        values = self.predict(seen)[0]
        best = int(values.argmax())
        verdicts = self.verdicts(seen)
        return Reading(self.classes[best], float(values[best]), dict(zip(self.classes, values.tolist(), strict=True)),
                       original, seen, warnings, verdicts[0] if verdicts else None)

    def predict(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """images (N, H, W) or (H, W), or (N, 3, H, W) or (3, H, W) in colour, uint8 -> probabilities (N, classes).

        Of the network's input size, prepared; N = 1 for a single one. Softmax of the logits. Raises UsageError for
        another shape or type, and if the brightest value of an image is 1; `pictures.prepare` makes images."""
        split = self._checked(images)
        if len(split) == 0:
            return np.empty((0, len(self.classes)), np.float32)
        return evaluate(self.network, split, self.mean, self.sd).logits.softmax(1).numpy()

    def verdicts(self, images: NDArray[np.uint8]) -> list[str] | None:
        """Of each image, as of `predict`, whether its prediction counts; None for weights without the score.

        "not a character" ("none of the classes" for pictures that are not prepared as characters): less like the
        training images than 99 % of those held apart. "unsure": not that, but the probability is lower than that of
        98 % of them. Otherwise "read"."""
        split = self._checked(images)
        if self.refusal is None or len(split) == 0:
            return None if self.refusal is None else []
        return self.refusal.verdicts(*looked_at(self.network, split, self.mean, self.sd), self.prepare)

    def _checked(self, images: NDArray[np.uint8]) -> Split:
        found, one = np.asarray(images), self.input_shape if self.input_shape[0] > 1 else self.input_shape[1:]
        if found.dtype != np.uint8 or found.ndim - len(one) not in (0, 1) or found.shape[-len(one):] != one:
            shape = ", ".join(map(str, one))
            raise UsageError(f"images: found {found.dtype} of shape {found.shape}, expected uint8 of shape (N, "
                             f"{shape}) or ({shape}), 0 black; mnist_ops.pictures.prepare makes any picture so")
        count = found.size // math.prod(one)
        if count == 0:
            return Split(torch.empty(0, *self.input_shape, dtype=torch.uint8), torch.empty(0, dtype=torch.int64))
        brightest = found.reshape(count, -1).max(1)
        if (brightest == 1).any():
            raise UsageError(f"images: the brightest value of image {int((brightest == 1).argmax())} is 1, expected "
                             "grey values from 0 to 255, such as white strokes of 255; multiply them by 255")
        tensor = torch.from_numpy(found.reshape(count, *self.input_shape).copy())  # it may be read-only, or turned
        return Split(tensor, torch.zeros(count, dtype=torch.int64))
