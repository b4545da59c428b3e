"""A training step recorded once on a GPU as a CUDA graph and replayed in one launch.

On a network this small the more than hundred kernels of a step take longer to launch than to run."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

import torch
from torch import Generator, Tensor

from mnist_ops.config import Augment
from mnist_ops.randomness import seeded

Results: TypeAlias = tuple[Tensor, ...]
TrainingStep: TypeAlias = Callable[[Tensor], Results]
WARM_UP = 3  # steps before the recording, in which libraries choose their algorithms


class Recorder(Protocol):
    """Records a call and replays it: a CUDA graph, or in the tests the call itself."""

    def warm(self, call: Callable[[], Results]) -> Results:
        """Make the call as a preparation of the recording."""

    def record(self, call: Callable[[], Results]) -> Results:
        """Record the call without making it. -> the tensors that each replay writes its results into."""

    def replay(self) -> None:
        """Replay the recording on the current content of its input tensors."""


class CudaGraph:
    """torch.cuda.CUDAGraph, warmed up on a side stream, as PyTorch's notes on CUDA semantics require.

    generators: those that the calls draw from; each replay continues from their current state."""

    def __init__(self, generators: Sequence[Generator]) -> None:
        self.graph = torch.cuda.CUDAGraph()
        for generator in generators:
            self.graph.register_generator_state(generator)
        current = torch.cuda.current_stream()  # already a side stream if runs are interleaved
        usual = torch.cuda.default_stream()
        self.stream = torch.cuda.Stream() if current == usual else current  # type: ignore[no-untyped-call]

    def warm(self, call: Callable[[], Results]) -> Results:
        """Make the call on the side stream, in order with the usual one."""
        usual = torch.cuda.current_stream()
        self.stream.wait_stream(usual)
        with torch.cuda.stream(self.stream):
            results = call()
        usual.wait_stream(self.stream)
        return results

    def record(self, call: Callable[[], Results]) -> Results:
        """Capture the call's kernels."""
        with torch.cuda.graph(self.graph, stream=self.stream):
            return call()

    def replay(self) -> None:
        """Launch all of them."""
        self.graph.replay()


class Replayed:
    """A step that is called WARM_UP times, then recorded once, and then replayed.

    The step takes a tensor and returns tensors; everything else that it reads or writes keeps its address, and it never
    reads a number back. A tensor of another shape than the first, such as the indices of a smaller last batch, is not
    recorded. The results of a replay are overwritten by the next. If the recording fails, because an operation does not
    support it, a RuntimeWarning is issued and the step is called directly."""

    def __init__(self, step: TrainingStep, recorder: Recorder) -> None:
        self.step, self.recorder = step, recorder
        self.given: Tensor | None = None  # the input of a replay
        self.results: Results | None = None
        self.warmed = 0
        self.failed = False

    def __call__(self, given: Tensor) -> Results:
        """The step's results for `given`."""
        if self.given is None:
            self.given = given.clone()
        fits = given.shape == self.given.shape
        if fits and self.warmed == WARM_UP and not self.failed:
            results = self._replay(self.given.copy_(given))
            if results is not None:
                return results
        self.warmed = min(self.warmed + fits, WARM_UP)
        return self.recorder.warm(lambda: self.step(given))

    def _replay(self, fixed: Tensor) -> Results | None:
        """The results of a replay on the content of `fixed`, recorded if needed; None if it cannot be recorded."""
        if self.results is None:
            try:
                self.results = self.recorder.record(lambda: self.step(fixed))
            except RuntimeError as error:
                warnings.warn(f"the training step could not be recorded as a CUDA graph, so it is "
                              f"slower: {error}", RuntimeWarning, stacklevel=3)
                self.failed = True
                return None
        self.recorder.replay()
        return self.results


@dataclass(frozen=True, eq=False)
class Recordings:
    """A run's recorded steps, one for each augmentation, and the generators that all of them draw from."""

    device: torch.device
    recorder: Callable[[Sequence[Generator]], Recorder] = CudaGraph
    generators: dict[str, Generator] = field(default_factory=dict)
    steps: dict[Augment, Replayed] = field(default_factory=dict)

    @classmethod
    def on(cls, device: torch.device, processes: int) -> "Recordings | None":
        """Recordings, if possible: on a CUDA device, in a single process."""
        return cls(device) if device.type == "cuda" and processes == 1 else None

    def stream(self, seed: int, purpose: str, count: int) -> Generator:
        """The stream for these arguments, from a generator that is the same for each count."""
        if purpose not in self.generators:
            self.generators[purpose] = Generator(self.device)
        return seeded(self.generators[purpose], seed, purpose, count)

    def replayed(self, step: TrainingStep, augment: Augment) -> Replayed:
        """The existing recording of a step with the same augmentation, or this step, to be recorded."""
        if augment not in self.steps:
            self.steps[augment] = Replayed(step, self.recorder(list(self.generators.values())))
        return self.steps[augment]
