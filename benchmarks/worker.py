"""A process that holds one training program and does what it is asked: a JSON object a line in, a JSON object out.

    python -m benchmarks.worker '{"program": "recipe", "recipe": "default"}'

A program has a process to itself, so that each has its own memory; it stays alive from round to round, so that none is
measured while it warms up.
"""

import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from benchmarks import machine
from benchmarks.ours import Recipe, from_recipe, repeated
from benchmarks.program import Program
from benchmarks.pytorch_example import example
from benchmarks.reference import reference
from mnist_ops.data.source import read
from mnist_ops.device import available_cores

Answer = dict[str, Any]


class Worker:
    """The program, and its training under way."""

    def __init__(self, wanted: dict[str, Any]) -> None:
        self.device: str = wanted.pop("device", "cpu")
        threads = wanted.pop("threads", 0) or available_cores()
        folder = wanted.pop("data_dir", None)
        source = read(wanted.pop("data", "mnist"), folder and Path(folder), fetch=False)
        if (images := wanted.pop("images", None)) is not None:
            source = repeated(source, images)
        torch.set_num_threads(threads)
        kind = wanted.pop("program")
        self.program: Program
        if kind == "recipe":
            self.program = from_recipe(source, wanted.pop("recipe"), device=self.device, threads=threads, **wanted)
        else:
            self.program = {"reference": reference, "example": example}[kind](source, self.device, threads)
        self.source = source
        self.training: Iterator[int] | None = None

    def about(self) -> Answer:
        """Its numbers for the table."""
        return asdict(self.program.about)

    def train(self, steps: int, warm: int = 0) -> Answer:
        """Go on training for so many steps, after `warm` that are not timed."""
        if self.training is None:
            self.training = self.program.steps()
        return self._timed(self.training, steps, warm)

    def load(self, steps: int) -> Answer:
        """Make so many batches, and do nothing with them."""
        return self._timed(self.program.batches(), steps, 1)

    def test(self) -> Answer:
        """One test on the whole test part."""
        before = self._clock()
        accuracy = self.program.test()
        return {"seconds": self._clock() - before, "accuracy": accuracy}

    def whole(self) -> Answer:
        """The whole of training."""
        return self.program.whole()

    def memory(self) -> Answer:
        """The most that the process has had so far, and of a GPU's."""
        found = {"peak_bytes": machine.peak_bytes()}
        if self.device == "cuda":
            found["gpu_peak_bytes"] = torch.cuda.max_memory_allocated()
        return found

    def eager(self, batch: int, seconds: float) -> Answer:
        """Microseconds an image, of the network alone, on images that are normalised already and on the device."""
        network = self.program.network.to(self.device).eval()
        images = torch.rand(batch, 1, 28, 28, device=self.device)
        with torch.inference_mode():
            return {"microseconds": self._microseconds(lambda: network(images), batch, seconds)}

    def onnx(self, batch: int, seconds: float) -> Answer:
        """The same of the exported file in ONNX Runtime, on the processor; it scales raw grey values as well."""
        import onnxruntime

        from mnist_ops.export import onnx
        from mnist_ops.export.fold_norms import fold_trained

        assert isinstance(self.program, Recipe)
        trained = self.program.trained()
        content = onnx.model_bytes(fold_trained(trained), trained.input_shape, len(trained.classes), {})
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.program.about.threads
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        images = self.source.test.images[[number % len(self.source.test.labels) for number in range(batch)]][:, None]
        return {"microseconds": self._microseconds(lambda: session.run(["logits"], {"image": images}), batch, seconds)}

    def operations(self, steps: int, warm: int) -> Answer:
        """Where the time of training steps goes."""
        from benchmarks.profile import profiled

        assert self.training is None
        return profiled(self.program.steps(), steps, warm, self.device)

    def compiled_operations(self, steps: int, warm: int) -> Answer:
        """The same of compiled steps, on one thread."""
        from benchmarks.compiled_profile import profiled

        assert isinstance(self.program, Recipe)
        return profiled(self.program, steps, warm)

    def _clock(self) -> float:
        machine.synchronise(self.device)
        return time.perf_counter()

    def _timed(self, steps: Iterator[int], count: int, warm: int) -> Answer:
        for _ in range(warm):
            next(steps)
        before = self._clock()
        images = sum(next(steps) for _ in range(count))
        return {"seconds": self._clock() - before, "images": images, "steps": count}

    def _microseconds(self, call: Callable[[], Any], batch: int, seconds: float) -> float:
        for _ in range(3):
            call()
        times: list[float] = []
        until = time.perf_counter() + seconds
        while len(times) < 5 or time.perf_counter() < until:
            before = self._clock()
            call()
            times.append(self._clock() - before)
        return statistics.median(times) / batch * 1e6


ACTIONS = ("about", "train", "load", "test", "whole", "memory", "eager", "onnx", "operations",
           "compiled_operations")


def main() -> None:
    """Answer until there is no more to do. What a library prints goes to stderr, so that answers stay alone."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    worker = Worker(json.loads(sys.argv[1]))
    for line in sys.stdin:
        asked = json.loads(line)
        name = asked.pop("do")
        if name not in ACTIONS:
            raise ValueError(f"found {name!r}, expected one of {', '.join(ACTIONS)}")
        print(json.dumps(getattr(worker, name)(**asked)), file=answers, flush=True)
    worker.training = None  # which ends the run under way and removes its folder


if __name__ == "__main__":
    main()
