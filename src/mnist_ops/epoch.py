"""One epoch of a run: every step of training, then the evaluations that it asks for; -> its row of the history."""

import math
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

from mnist_ops.arch.layers import Layer
from mnist_ops.config import Config
from mnist_ops.data.tensors import Dataset, Split
from mnist_ops.errors import TrainingError
from mnist_ops.events import StepDone
from mnist_ops.model import Network
from mnist_ops.optim.compiled import Compiled
from mnist_ops.optim.cuda_graph import Recordings
from mnist_ops.optim.hard import HardImages
from mnist_ops.optim.length import last_saved
from mnist_ops.optim.optimizers import Updates
from mnist_ops.optim.schedule import RunSchedule
from mnist_ops.optim.train import EpochSoFar, train_epoch
from mnist_ops.own_code import NONE, OwnCode
from mnist_ops.parallel.team import Team
from mnist_ops.score.evaluate import Evaluation, EvaluationSoFar, evaluation
from mnist_ops.score.verdict import Row

Clock: TypeAlias = Callable[[], float]


@dataclass(frozen=True, eq=False)
class Run:
    """What stays the same from the first step to the last; the weights of `network` change in place."""

    path: Path
    config: Config
    data: Dataset
    layers: tuple[Layer, ...]
    network: Network
    made: dict[str, str | None]  # as in Checkpoint
    team: Team
    recordings: Recordings | None
    compiled: Compiled | None
    clock: Clock
    code: OwnCode = NONE
    hard: HardImages | None = None  # changes in place, after an epoch on all images


def run_epoch(run: Run, optimizer: Updates, plan: RunSchedule,
              history: Sequence[Row]) -> Generator[StepDone, None, Row]:
    """Train the epoch after those in `history` and evaluate it. -> its row.

    Raises TrainingError, with what is kept, where the loss or the weights are not finite."""
    config, data = run.config, run.data
    epoch = len(history) + 1
    start = run.clock()
    losses = [row["validation_loss"] for row in history if "validation_loss" in row]
    for progress in train_epoch(run.network, optimizer, data, config, epoch=epoch - 1, plan=plan,
                                validation_losses=losses, team=run.team, recordings=run.recordings,
                                compiled=run.compiled, code=run.code, hard=run.hard):
        event = _read("train", epoch, progress)
        if event.loss is not None and not math.isfinite(event.loss):
            raise TrainingError(f"epoch {epoch}, batch {event.batch}: the training loss is {event.loss} at the rate "
                                f"{progress.lr:.3g}; {_kept(config, history)}. Try a lower --lr.")
        yield event
    row: Row = {"epoch": epoch, "train_loss": event.loss, "train_accuracy": event.accuracy}
    seconds = run.clock() - start
    if data.validation:
        row |= yield from _evaluate(run, "validation", data.validation, epoch)
    if config.test_every and (epoch % config.test_every == 0 or epoch == config.epochs):
        row |= yield from _evaluate(run, "test", data.test, epoch)
    sound = all(bool(value.isfinite().all()) for value in run.network.state_dict().values())
    if not (sound and all(map(math.isfinite, row.values()))):
        raise TrainingError(f"epoch {epoch}: its last step, at the rate {progress.lr:.3g}, left weights that are not "
                            f"finite or make no finite loss; {_kept(config, history)}. Try a lower --lr.")
    return row | {"last_lr": progress.lr, "seconds": seconds}


def _read(part: str, epoch: int, progress: EpochSoFar | EvaluationSoFar) -> StepDone:
    """The event of a step or batch. A GPU is only asked for its numbers after the last one."""
    event = StepDone(part, epoch, progress.batch, progress.batches)
    if progress.loss_sum.device.type != "cpu" and progress.batch < progress.batches:
        return event
    return replace(event, loss=float(progress.loss_sum) / progress.seen,
                   accuracy=100 * int(progress.correct) / progress.seen)


def _kept(config: Config, history: Sequence[Row]) -> str:
    saved = last_saved(config, len(history))
    return f"the state after epoch {saved} is kept" if saved else "no epoch was saved, so none is kept"


def _evaluate(run: Run, part: str, split: Split, epoch: int) -> Generator[StepDone, None, dict[str, Any]]:
    """-> the part's entries of the row."""
    for event in evaluation(run.network, split, run.data.mean, run.data.sd, team=run.team, compiled=run.compiled):
        if isinstance(event, Evaluation):
            return {f"{part}_loss": event.loss, f"{part}_accuracy": event.accuracy}
        yield _read(part, epoch, event)
    raise AssertionError("an evaluation ends with its result")
