"""Where the time of training steps goes, by groups of PyTorch's operations."""

import contextlib
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

from torch.profiler import ProfilerActivity, profile, record_function

from benchmarks.machine import synchronise
from mnist_ops.optim import train
from mnist_ops.optim.optimizers import Updates

BATCH, UPDATE = "batch of images", "update of the weights"  # what these parts of a step are marked with
# The first group of which a name is found in an operation or in one that called it.
GROUPS = (
    ("choosing, warping and scaling images", re.compile(BATCH)),
    ("optimiser", re.compile(rf"{UPDATE}|Optimizer\.")),
    ("convolution, backward", re.compile(r"ConvolutionBackward|convolution_backward|conv2d_backward")),
    ("convolution, forward", re.compile(r"conv2d|convolution")),
    ("pooling", re.compile(r"(max|avg)_?pool|(Max|Avg)Pool", re.IGNORECASE)),
    ("normalisation", re.compile(r"batch_?norm", re.IGNORECASE)),
    ("ReLU", re.compile(r"relu|ReluBackward|threshold_backward", re.IGNORECASE)),
    ("loss and hits", re.compile(r"softmax|nll_loss|NllLoss|cross_entropy|argmax|aten::eq", re.IGNORECASE)),
)
REST, PYTHON = "other operations", "Python, and waiting between operations"


def group_of(names: list[str]) -> str:
    """The group of an operation, from its name and the names of those that called it."""
    return next((group for group, pattern in GROUPS if any(map(pattern.search, names))), REST)


def profiled(training: Iterator[int], steps: int, warm: int, device: str) -> dict[str, Any]:
    """Seconds of each group over so many steps, under the profiler, which itself slows small operations down.

    Of a GPU its own time is counted; what is then left of the clock's is time in which it did nothing."""
    with marked():
        for _ in range(warm):
            next(training)
        kinds = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if device == "cuda" else [])
        synchronise(device)
        with profile(activities=kinds) as found:
            before = time.perf_counter()
            images = sum(next(training) for _ in range(steps))
            synchronise(device)
            seconds = time.perf_counter() - before
    shares = dict.fromkeys([*(group for group, _ in GROUPS), REST], 0.0)
    events = found.events() or []
    for event in events:
        microseconds = event.self_device_time_total if device == "cuda" else event.self_cpu_time_total
        shares[group_of(list(names_above(event)))] += microseconds / 1e6
    shares[PYTHON] = max(0.0, seconds - sum(shares.values()))
    calls = sum(1 for event in events if event.name.startswith("aten::"))
    return {"seconds": seconds, "images": images, "steps": steps, "groups": shares, "calls_per_step": calls / steps}


def names_above(event: Any) -> Iterator[str]:
    """Of an operation, and of those that called it."""
    while event is not None:
        yield event.name
        event = event.cpu_parent


@contextlib.contextmanager
def marked() -> Iterator[None]:
    """Within the block the making of each training batch and each update of the weights are marked for the profiler.

    Of torch.optim's optimisers PyTorch marks the updates itself."""
    with _marked(train, "training_batch", BATCH), _marked(Updates, "step", UPDATE):
        yield


@contextlib.contextmanager
def _marked(place: Any, name: str, mark: str) -> Iterator[None]:
    """Within the block the calls of that function, or method, of a module, or class, are marked."""
    original: Callable[..., Any] = getattr(place, name)

    def call(*arguments: Any, **named: Any) -> Any:
        with record_function(mark):
            return original(*arguments, **named)

    setattr(place, name, call)
    try:
        yield
    finally:
        setattr(place, name, original)


def main() -> None:
    """The slowest operations by name, for whoever wants to see more than groups."""
    import argparse

    from benchmarks.worker import Worker

    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("recipe", nargs="?", default="default")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--steps", type=int, default=30)
    given = parser.parse_args()
    worker = Worker({"program": "recipe", "recipe": given.recipe, "threads": given.threads})
    training = worker.program.steps()
    next(training)
    with profile(activities=[ProfilerActivity.CPU]) as found:
        for _ in range(given.steps):
            next(training)
    print(found.key_averages().table(sort_by="self_cpu_time_total", row_limit=30, max_name_column_width=45))


if __name__ == "__main__":
    main()
