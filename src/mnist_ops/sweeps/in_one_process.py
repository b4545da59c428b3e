"""Runs several seeds in one process, interleaved step by step, on a GPU in separate streams.

A process for each seed takes seconds to start, and leaves a GPU idle between the small kernels of a single network.
A run gives the same bits (on a CPU) as in a separate process with as many threads."""

import contextlib
import itertools
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from mnist_ops.config import Config
from mnist_ops.data.dataset import ImageDataset
from mnist_ops.errors import MnistOpsError
from mnist_ops.events import Finished
from mnist_ops.experiment import run
from mnist_ops.own_code import NONE, OwnCode
from mnist_ops.run.folder import SUMMARY, read_config
from mnist_ops.sweeps.seeds import ABREAST, SeedDone, SeedFailed, finished

MOST_LANES = 31  # on a GPU: PyTorch has 32 streams, assigns them in turn, and may need one itself


class Lane:
    """One of the runs. Its seconds are those in which this process was busy with it."""

    def __init__(self, config: Config, source: ImageDataset, path: Path,
                 stream: torch.cuda.Stream | None = None, *, code: OwnCode = NONE) -> None:
        """`stream`: of the GPU."""
        self.seed, self.stream = config.seed, stream
        self.busy, self.since = 0.0, 0.0
        self.events = run(config, source, path, resume=True, code=code,
                          clock=lambda: self.busy + time.perf_counter() - self.since)

    def advance(self) -> dict[str, Any] | None:
        """Advance to the next event. -> the summary at the end. Raises what `run` raises."""
        self.since = time.perf_counter()
        try:
            with contextlib.nullcontext() if self.stream is None else torch.cuda.stream(self.stream):
                event = next(self.events)
        finally:
            self.busy += time.perf_counter() - self.since
        return event.summary if isinstance(event, Finished) else None


def run_abreast(folder: Path, seeds: Sequence[int], lanes: int, source: ImageDataset, *, code: OwnCode = NONE,
                read: Callable[[int], ImageDataset] | None = None) -> Generator[SeedDone | SeedFailed, None, None]:
    """As `sweep.run_seeds`, but in this process, `lanes` at a time, on a GPU at most MOST_LANES; a failed run is not
    restarted. A marker in the folder records that the times are not those of single runs.

    read: reads data of one's own again for a seed, which draws its order and, if there is none, its test set.

    If this generator is closed or the process ends, every run can be continued."""
    config = read_config(folder)
    streams: list[torch.cuda.Stream | None] = [None] * lanes
    if config.device == "cuda":
        streams = [torch.cuda.Stream() for _ in range(min(lanes, MOST_LANES))]  # type: ignore[no-untyped-call]
    done = [seed for seed in seeds if (folder / f"s{seed}" / SUMMARY).exists()]
    for seed in done:
        yield finished(folder, seed, reused=True)
    if len(done) < len(seeds):
        (folder / ABREAST).touch()
    waiting = (seed for seed in seeds if seed not in done)
    running: list[Lane] = []
    try:
        while True:
            running += [Lane(replace(config, seed=seed), read(seed) if read and source.train.names else source,
                             folder / f"s{seed}", streams.pop(), code=code)
                        for seed in itertools.islice(waiting, len(streams))]
            if not running:
                return
            for lane in list(running):
                result = _advanced(lane)
                if result is not None:
                    running.remove(lane)
                    lane.events.close()
                    streams.append(lane.stream)
                    yield result
    finally:
        for lane in running:
            lane.events.close()


def _advanced(lane: Lane) -> SeedDone | SeedFailed | None:
    """How the run ended, if this was its last step."""
    try:
        summary = lane.advance()
    except MnistOpsError as error:
        return SeedFailed(lane.seed, str(error))
    return None if summary is None else SeedDone(lane.seed, summary, False)
