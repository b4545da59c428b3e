"""The Python interface to trained networks: load one, classify pictures and images. Prints nothing."""

import math
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from mnist_ops.arch.arithmetic import Shape
from mnist_ops.arch.zoo import INPUT
from mnist_ops.data.tensors import Split
from mnist_ops.errors import UsageError
from mnist_ops.model import Network
from mnist_ops.own_code import MakeNetwork
from mnist_ops.pictures.prepare import check_picture, prepare_and_warn, prepared_file
from mnist_ops.pictures.several import Several, read_several
from mnist_ops.run.named import find_run
from mnist_ops.run.trained import load_trained
from mnist_ops.score.evaluate import evaluate
from mnist_ops.score.refusal import Refusal, looked_at


def load(run: str | Path, network: MakeNetwork | None = None) -> "Classifier":
    """Load the network of a run folder or a model.safetensors, or "default", which ships with the package.

    network: what made it, if it was trained with a `torch.nn.Module` of your own, which nothing imports.
    Raises RunError as `find_run` and `load_trained`."""
    trained = load_trained(find_run(run), network)
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
            check_picture(picture, colour=self.input_shape[0] == 3)
            original, (seen, warnings) = picture, prepare_and_warn(picture, self.prepare, self.input_shape[1])
        else:
            prepared = prepared_file(Path(picture), self.prepare, self.input_shape)
            original, seen, warnings = prepared.original, prepared.seen, prepared.warnings
        values = self.predict(seen)[0]
        best = int(values.argmax())
        verdicts = self.verdicts(seen)
        return Reading(self.classes[best], float(values[best]), dict(zip(self.classes, values.tolist(), strict=True)),
                       original, seen, warnings, verdicts[0] if verdicts else None)

    def read_several(self, picture: str | Path | NDArray[np.uint8]) -> Several:
        """Read every character of one picture, such as the digits of a number; also those that touch.

        As `read`; UsageError too if pictures are prepared by another method than "mnist"."""
        found = read_several(picture, self.prepare, self.logits, self.classes)
        verdicts = self._verdicts(np.stack([one.seen for one in found.characters]),
                                  torch.tensor([one.probability for one in found.characters]))
        return found if verdicts is None else replace(found, characters=tuple(
            replace(one, verdict=verdict) for one, verdict in zip(found.characters, verdicts, strict=True)))

    def predict(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """images (N, H, W) or (H, W), or in colour (N, 3, H, W), (N, H, W, 3) or one of them, uint8 -> probabilities
        (N, classes).

        Of the network's input size, prepared; N = 1 for a single one. Softmax of the logits. Raises UsageError for
        another shape or type, and if the brightest value of an image is 1; `pictures.prepare` makes images."""
        return torch.from_numpy(self.logits(images)).softmax(1).numpy()

    def logits(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The same before the softmax."""
        split = self._checked(images)
        if len(split) == 0:
            return np.empty((0, len(self.classes)), np.float32)
        return evaluate(self.network, split, self.mean, self.sd).logits.numpy()

    def verdicts(self, images: NDArray[np.uint8]) -> list[str] | None:
        """Of each image, as of `predict`, whether its prediction counts; None for weights without the score.

        "not a character" ("none of the classes" for pictures that are not prepared as characters): less like the
        training images than 99 % of those held apart. "unsure": not that, but the probability is lower than that of
        98 % of them. Otherwise "read"."""
        return self._verdicts(images, None)

    def _verdicts(self, images: NDArray[np.uint8], sure: torch.Tensor | None) -> list[str] | None:
        """The same with other probabilities (N,) than the network's."""
        split = self._checked(images)
        if self.refusal is None or len(split) == 0:
            return None if self.refusal is None else []
        features, logits = looked_at(self.network, split, self.mean, self.sd)
        return self.refusal.verdicts(features, logits, self.prepare, sure=sure)

    def _checked(self, images: NDArray[np.uint8]) -> Split:
        found, one = np.asarray(images), self.input_shape if self.input_shape[0] > 1 else self.input_shape[1:]
        if len(one) == 3 and found.shape[-3:] == (*one[1:], 3):  # colours last, as `mnist_ops.train` takes them
            found = np.moveaxis(found, -1, -3)
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
