"""A compiled network at work: its arrays, a training step, an evaluation. Imports no torch."""

import ctypes
import weakref
from collections.abc import Sequence
from ctypes import POINTER, Structure, byref, c_char_p, c_double, c_float, c_int, c_uint64, c_void_p
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mnist_ops.engine.program import Program

Array = NDArray[np.float32]


class _Batch(Structure):
    """`Batch` of kernels/images.h."""

    _fields_ = [*((name, c_void_p) for name in ("pixels", "labels", "index", "maps", "brightness", "contrast",
                                             "weights")),
                *((name, c_float * 3) for name in ("mean", "sd", "fill")), ("edge", c_int), ("count", c_int)]


class Rates(Structure):
    """`Rates` of kernels/update.h: how a group of parameters is changed."""

    _fields_ = [(name, c_float) for name in ("rate", "momentum", "decay", "orthogonal", "correction1", "correction2")]


@dataclass(frozen=True, eq=False)
class Batch:
    """Which images of a dataset, and what they are changed by on their way to the network."""

    images: NDArray[np.uint8]  # (N, C, H, W), of which `index` chooses
    labels: NDArray[np.int64]  # (N,)
    index: NDArray[np.int64]  # (count,)
    mean: Sequence[float]  # of each channel, of values in [0, 1], as sd and fill
    sd: Sequence[float]
    fill: Sequence[float] | None = (0.0, 0.0, 0.0)  # what lies outside the frame; None: the nearest pixel
    maps: Array | None = None  # (count, 3, 3), see `data.warp.homography`; None: as they are
    brightness: Array | None = None  # (count,) factors
    contrast: Array | None = None  # (count,) factors
    weights: Array | None = None  # (classes,) what an image counts for in the loss; None: 1


class CompiledNetwork:
    """A network for batches of at most `images` images, computed by so many threads.

    Its arrays may be read and written between steps; `changed` is to be called where values were written. The bits of
    all results are the same for any number of threads."""

    def __init__(self, library: ctypes.CDLL, program: Program, images: int, threads: int) -> None:
        """Raises MemoryError where there is no room for so many images."""
        self.classes, self.images = program.output.shape[0], images
        self.values, self.first, self.second = (np.zeros(program.learnt, np.float32) for _ in range(3))
        self.running = np.zeros((2, program.normalised), np.float32)  # mean and variance of each channel
        self._library = library
        library.make_network.restype = c_void_p
        library.last_gradient.restype = library.last_losses.restype = POINTER(c_float)
        self.lanes = int(library.lanes())
        arrays = (self.values, self.first, self.second, self.running)
        handle = library.make_network(c_int(images), c_int(threads), *map(_pointer, arrays))
        if not handle:
            raise MemoryError(f"no room for a batch of {images} images")
        self._handle = c_void_p(handle)
        weakref.finalize(self, library.end_network, self._handle)

    def changed(self) -> None:
        """The values were written from outside."""
        self._library.values_changed(self._handle)

    def step(self, batch: Batch, kernels: Rates, vectors: Rates, *, smoothing: float, stream: int) -> tuple[float, int]:
        """Change the values by one batch. -> sum of its losses in nats, and images read right, before the step.

        stream: 64 bits, of which the step's dropout is drawn."""
        assert len(batch.index) <= self.images
        loss, right = c_double(), c_int()
        self._library.train_step(self._handle, byref(self._given(batch)), byref(kernels), byref(vectors),
                                 c_float(smoothing), c_uint64(stream), byref(loss), byref(right))
        return loss.value, right.value

    def losses(self, count: int) -> Array:
        """The loss of each image of the last step, which had so many, in nats, (count,), before its change: a copy."""
        return np.ctypeslib.as_array(self._library.last_losses(self._handle), (count,)).copy()

    def gradient(self) -> Array:
        """What the last step changed the values by, weight decay apart: a copy."""
        found = self._library.last_gradient(self._handle)
        return np.ctypeslib.as_array(found, self.values.shape).copy()

    def seconds(self) -> dict[str, float]:
        """Of each operation so far, by its name in the C text, where that was built with -DTIMES and has one thread."""
        self._library.operation_names.restype = c_char_p
        self._library.operation_seconds.restype = POINTER(c_double)
        names = self._library.operation_names().decode().split()
        return dict(zip(names, self._library.operation_seconds()[:len(names)], strict=True))

    def read(self, batch: Batch) -> Array:
        """The logits, (count, classes), by the running statistics and without dropout."""
        logits = np.empty((len(batch.index), self.classes), np.float32)
        self._library.read_images(self._handle, byref(self._given(batch)), _pointer(logits))
        return logits

    def _given(self, batch: Batch) -> _Batch:
        arrays = (batch.images, batch.labels, batch.index, batch.maps, batch.brightness, batch.contrast,
                  batch.weights)
        assert all(one is None or one.flags.c_contiguous for one in arrays)
        numbers = ((c_float * 3)(*one) for one in (batch.mean, batch.sd, batch.fill or ()))
        return _Batch(*map(_pointer, arrays), *numbers, batch.fill is None, len(batch.index))


def _pointer(array: NDArray[np.generic] | None) -> c_void_p | None:
    return None if array is None else c_void_p(array.ctypes.data)
