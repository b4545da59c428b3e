"""A step of training recorded once on a GPU and replayed in one launch.

The kernels of a step on a network this small, over a hundred, take less time to run than to start one by one."""

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
    """What records a call and replays it: a CUDA graph, or in the tests the call itself."""

    def warm(self, call: Callable[[], Results]) -> Results:
        """Make the call, in the way that a recording needs to come after."""

    def record(self, call: Callable[[], Results]) -> Results:
        """Record the call without making it. -> the tensors that each replay writes its results into."""

    def replay(self) -> None:
        """Do again what was recorded, on what now is in the tensors that it read."""


class CudaGraph:
    """torch.cuda.CUDAGraph, warmed up on a stream of its own as PyTorch's notes on CUDA semantics ask for.

    The generators are those that the calls draw from; each replay draws anew from where they then are."""

    def __init__(self, generators: Sequence[Generator]) -> None:
        self.graph = torch.cuda.CUDAGraph()
        for generator in generators:
            self.graph.register_generator_state(generator)
        current = torch.cuda.current_stream()  # of a run that takes turns with others it is a side stream already
        usual = torch.cuda.default_stream()
        self.stream = torch.cuda.Stream() if current == usual else current  # type: ignore[no-untyped-call]

    def warm(self, call: Callable[[], Results]) -> Results:
        """Make the call on the side stream, between what came before on the usual one and what will come after."""
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
        """Launch them all at once."""
        self.graph.replay()


class Replayed:
    """A step as one that is called WARM_UP times, then recorded once, and from then on replayed.

    The step takes a tensor and gives tensors; all else that it reads or writes stays where it is in memory, and it
    neither reads a number back nor decides by one. A tensor of another shape than the first, such as the indices of a
    last, smaller batch, is never recorded. The results of a replay are overwritten by the next. Where the recording
    fails, because an operation cannot be recorded, a RuntimeWarning says so and the step is called as it is."""

    def __init__(self, step: TrainingStep, recorder: Recorder) -> None:
        self.step, self.recorder = step, recorder
        self.given: Tensor | None = None  # where a replay reads its argument
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
        """The results of a replay on what is in `fixed`, recorded if need be; None where it cannot be recorded."""
        if self.results is None:
            try:
                self.results = self.recorder.record(lambda: self.step(fixed))
            except RuntimeError as error:
                warnings.warn(f"the training step could not be recorded, so each of its kernels is launched by itself, "
                              f"which takes longer: {error}", RuntimeWarning, stacklevel=3)
                self.failed = True
                return None
        self.recorder.replay()
        return self.results


@dataclass(frozen=True, eq=False)
class Recordings:
    """A run's recorded steps, one for each way to augment, and the generators that all of them draw from."""

    device: torch.device
    recorder: Callable[[Sequence[Generator]], Recorder] = CudaGraph
    generators: dict[str, Generator] = field(default_factory=dict)
    steps: dict[Augment, Replayed] = field(default_factory=dict)

    @classmethod
    def on(cls, device: torch.device, processes: int) -> "Recordings | None":
        """Recordings where there is something to record: on a CUDA device, by a process that trains alone."""
        return cls(device) if device.type == "cuda" and processes == 1 else None

    def stream(self, seed: int, purpose: str, count: int) -> Generator:
        """The stream of these three, from a generator that is the same for each count."""
        if purpose not in self.generators:
            self.generators[purpose] = Generator(self.device)
        return seeded(self.generators[purpose], seed, purpose, count)

    def replayed(self, step: TrainingStep, augment: Augment) -> Replayed:
        """The step, to be recorded, or the recording that there is of a step which augments likewise."""
        if augment not in self.steps:
            self.steps[augment] = Replayed(step, self.recorder(list(self.generators.values())))
        return self.steps[augment]
