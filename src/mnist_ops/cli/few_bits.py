"""The weights that an export takes: the run's or, for few bits, those fine-tuned from them, which are kept."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from mnist_ops.cli.output import draws, tell
from mnist_ops.errors import RunError

if TYPE_CHECKING:
    from mnist_ops.data.dataset import ImageDataset
    from mnist_ops.optim.train import EpochSoFar
    from mnist_ops.run.trained import TrainedNetwork

TUNED = (2,)  # bits at which rounding alone loses too much


def for_bits(place: Path, trained: "TrainedNetwork", source: "ImageDataset | None", bits: int) -> "TrainedNetwork":
    """The network `trained` of the run or weights file `place` for weights of so many bits.

    source: the run's own data; None if it was not found. Fine-tuned weights are kept beside the run's, and taken from
    there the next time. Raises RunError, saying what to do, where they are not there and cannot be made."""
    from mnist_ops.export.c import fine_tune
    from mnist_ops.run.folder import CONFIG, WEIGHTS

    if bits not in TUNED:
        return trained
    weights = place / WEIGHTS if place.is_dir() else place
    if (known := fine_tune.kept(weights, bits)) is not None:
        return known
    otherwise = f"or use --bits {2 * bits}, which needs no training"
    if source is None:
        raise RunError(f"{weights}: weights of {bits} bits are fine-tuned on the run's own training images, which were "
                       f"not found; give their folder with --data-dir, {otherwise}")
    if not (place / CONFIG).exists():
        raise RunError(f"{weights}: weights of {bits} bits are fine-tuned as the run was trained, which its {CONFIG} "
                       f"says; give the run's folder, {otherwise}")
    tuned = _tuned(trained, source, place, bits)
    fine_tune.keep(weights, bits, tuned)
    tell(f"mnist-ops: kept in {fine_tune.kept_file(weights, bits)}")
    return tuned


def _tuned(trained: "TrainedNetwork", source: "ImageDataset", place: Path, bits: int) -> "TrainedNetwork":
    import torch

    from mnist_ops.data.tensors import to_device
    from mnist_ops.export.c.fine_tune import EPOCHS, fine_tune
    from mnist_ops.run.folder import read_config

    config = read_config(place)
    data = to_device(source, config.validation, torch.device("cpu"))
    with _progress(f"Fine-tuning for weights of {bits} bits", EPOCHS) as progress:
        return fine_tune(trained, data, config, bits, progress=progress)


@contextlib.contextmanager
def _progress(title: str, epochs: int) -> "Iterator[Callable[[EpochSoFar], None]]":
    """A callback for each step: a bar on a terminal, which disappears, else a line per epoch; both on stderr."""
    epoch = 0

    def line(step: "EpochSoFar") -> None:
        nonlocal epoch
        if step.batch == step.batches:
            epoch += 1
            tell(f"mnist-ops: {title.lower()}: epoch {epoch} of {epochs}, loss {float(step.loss_sum) / step.seen:.4f}, "
                 f"{100 * int(step.correct) / step.seen:.2f} % right")

    if not draws(sys.stderr):
        yield line
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(title), BarColumn(20), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        bar = bars.add_task("", total=None)
        yield lambda step: bars.update(bar, advance=1, total=epochs * step.batches)
