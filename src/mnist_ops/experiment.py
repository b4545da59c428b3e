"""START HERE: one run from recipe to figure, as a generator of typed events. Owns the epoch loop, prints nothing."""

import math
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import torch

from mnist_ops.arch.layers import Layer, walk
from mnist_ops.arch.zoo import INPUT
from mnist_ops.config import Config, to_mapping
from mnist_ops.data.prepare import settled
from mnist_ops.data.source import Source
from mnist_ops.data.tensors import Dataset, Split, batch_count, to_device
from mnist_ops.device import activate, memory_of, resolve
from mnist_ops.errors import RunError, TrainingError
from mnist_ops.events import EpochDone, Event, Finished, Started, StepDone, Warned, watched
from mnist_ops.model import Network, initial_network, layers_of, synchronise
from mnist_ops.optim.optimizer import make_optimizer, state_of
from mnist_ops.optim.recording import Recordings
from mnist_ops.optim.schedule import Plan
from mnist_ops.optim.train import Progress, train_epoch
from mnist_ops.optim.tune import RangeTest, SweepStep, range_test
from mnist_ops.optim.updates import Updates
from mnist_ops.run.checkpoint import (
    Checkpoint,
    Figure,
    load_checkpoint,
    load_figure,
    restore,
    save_checkpoint,
    save_figure,
)
from mnist_ops.run.folder import CHECKPOINT, RANGE_TEST, SUMMARY, open_folder, settle_split, write_history, write_json
from mnist_ops.run.provenance import changes, commit, fingerprint
from mnist_ops.score.evaluate import Evaluation, Part, evaluate, evaluation
from mnist_ops.score.statistics import wilson
from mnist_ops.score.verdict import figure_row, judge
from mnist_ops.team import ALONE, Team

MNIST_TARGET = 99.4  # percent
Clock: TypeAlias = Callable[[], float]


def run(config: Config, source: Source, path: Path, *, resume: bool = False, team: Team = ALONE,
        clock: Clock = time.perf_counter) -> Generator[Event, None, None]:
    """Train `config` on `source` into the folder `path`, from the rate search to the figure, yielding events.

    With `resume`, go on after the last finished epoch found there; the result has the same bits (on a CPU) as without
    the stop. Every process of a `team` calls this alike; the leader alone searches the rate, writes, and yields all
    events. `clock` is what its seconds are measured by. Raises the errors of `open_folder`, `resolve` and
    `to_device`; TrainingError where no rate can be suggested or the loss is not finite, with the last finished epoch
    kept."""
    commit()  # of the code that is running, whatever is checked out later
    config = settle(config, source)
    events = _settled(config, source, path, resume=resume, how=(team, clock))
    yield from watched(events) if config.deterministic else events


def _settled(config: Config, source: Source, path: Path, *, resume: bool,
             how: tuple[Team, Clock]) -> Generator[Event, None, None]:
    """The same for a config that is settled."""
    team, clock = how
    team.check_batch(config.batch_size)
    device = activate(config)
    data = to_device(source, config.validation, device)
    layers = layers_of(config, len(data.classes))
    walk(layers, INPUT)
    made = {"torch": str(torch.__version__), "commit": commit(), "data": fingerprint(source)}
    with memory_of(config, path):
        this = _Run(path, config, data, layers, initial_network(config, layers, device), made, team,
                    Recordings.on(device, team.size), clock)
        yield from _lead(this, source, resume) if team.leads else _follow(this)


def _lead(run: "_Run", source: Source, resume: bool) -> Iterator[Event]:
    """The run in its folder; in one process, all of it."""
    path, config = run.path, run.config
    folder = open_folder(path, config, resume)
    try:
        if source.train.names is not None and source.test.names is not None:
            settle_split(path, source.train.names, source.test.names)
        if (path / SUMMARY).exists():
            raise RunError(f"{path}: this run is finished, all {config.epochs} epochs; for another give another --out")
        checkpoint = load_checkpoint(path / CHECKPOINT) if resume else None
        changed = changes(path, checkpoint.made, run.made) if checkpoint else []
        yield Started(config, path, run.data, run.layers, len(checkpoint.history) if checkpoint else 0)
        yield from (Warned(text) for text in (*source.warnings, *changed))
        if resume and checkpoint is None:
            yield Warned(f"{path}: nothing was saved here yet, so the run starts at its beginning")
        yield from _train(run, checkpoint)
    finally:
        folder.close()


def settle(config: Config, source: Source) -> Config:
    """The config with all that was left to "auto", but for the learning rate, settled for this machine and dataset."""
    target = config.target
    if target == "auto":
        target = MNIST_TARGET if source.name == "mnist" else 0.0
    return replace(resolve(config), data=source.name, prepare=settled(config.prepare, source.name), target=target)


@dataclass(frozen=True, eq=False)
class _Run:
    """What stays the same from the first step to the last; the weights of `network` change in place."""

    path: Path
    config: Config
    data: Dataset
    layers: tuple[Layer, ...]
    network: Network
    made: dict[str, str | None]  # as in Checkpoint
    team: Team
    recordings: Recordings | None
    clock: Clock


def _train(run: _Run, checkpoint: Checkpoint | None) -> Iterator[Event]:
    """Search the rate, train the epochs that are missing, save each, then state the figure."""
    config, data, network = run.config, run.data, run.network
    if checkpoint is None:
        checkpoint = yield from _search(run)
    run.team.tell({"made": run.made, "config": to_mapping(config), "checkpoint": vars(checkpoint)})
    history, (optimizer, plan) = checkpoint.history, _prepared(run, checkpoint)
    name = Path(data.name).name  # of a folder without its place, which is nobody else's business
    figure = Figure(network, run.layers, config.model, name, data.classes, config.prepare, data.mean, data.sd)
    if history:
        _publish(run.path, history, figure)  # which a kill after the checkpoint has kept from being done
    while len(history) < config.epochs:
        history.append((yield from _epoch(run, optimizer, plan, history)))
        checkpoint = replace(checkpoint, model=network.state_dict(), optimizer=state_of(optimizer), history=history)
        save_checkpoint(run.path / CHECKPOINT, checkpoint)
        _publish(run.path, history, figure)
        yield EpochDone(history[-1], judge(history, config))
    write_json(run.path / SUMMARY, summary := _summary(run, checkpoint))
    yield Finished(summary, history)


def _follow(run: _Run) -> Iterator[Event]:
    """What the other processes of a team do: the same steps and evaluations. They write nothing."""
    told = run.team.tell(None)
    run.team.check_same(told["made"] | told["config"], run.made | to_mapping(run.config))
    checkpoint = Checkpoint(**told["checkpoint"])
    optimizer, plan = _prepared(run, checkpoint)
    while len(checkpoint.history) < run.config.epochs:
        checkpoint.history.append((yield from _epoch(run, optimizer, plan, checkpoint.history)))


def _prepared(run: _Run, checkpoint: Checkpoint) -> tuple[Updates, Plan]:
    """The network and its optimiser as the checkpoint has them, and the schedule of the whole run."""
    config, steps = run.config, batch_count(len(run.data.train), run.config.batch_size)
    optimizer = make_optimizer(run.network, config.optimizer, checkpoint.lr)
    if checkpoint.history:
        restore(run.path / CHECKPOINT, checkpoint, run.network, optimizer)
    if config.norm == "synchronised" and run.team.size > 1:
        synchronise(run.network, run.team)
    return optimizer, Plan(config.schedule, checkpoint.lr, config.epochs, steps)


def _publish(path: Path, history: list[dict[str, Any]], figure: Figure) -> None:
    """Write what others read of a checkpoint, after it: so nothing is shown that a resumed run would take back."""
    if figure_row(history) is history[-1]:
        save_figure(path, figure)
    write_history(path, history)


def _search(run: _Run) -> Generator[SweepStep | RangeTest, None, Checkpoint]:
    """The peak rate: given, or found by the range test, whose result becomes lr.json."""
    start, lr = run.clock(), run.config.lr
    if lr == "auto":
        found: RangeTest | None = None
        for event in range_test(run.network, run.data, run.config):
            found = event if isinstance(event, RangeTest) else None
            yield event
        assert found is not None
        write_json(run.path / RANGE_TEST, asdict(found))
        lr = found.lr
    return Checkpoint(lr, {}, {}, [], run.clock() - start, run.made)


def _epoch(run: _Run, optimizer: Updates, plan: Plan,
           history: list[dict[str, Any]]) -> Generator[StepDone, None, dict[str, Any]]:
    """Train one epoch and evaluate it. -> its row of the history."""
    config, data = run.config, run.data
    epoch = len(history) + 1
    start = run.clock()
    losses = [row["validation_loss"] for row in history if "validation_loss" in row]
    for progress in train_epoch(run.network, optimizer, data, config, epoch=epoch - 1, plan=plan,
                                validation_losses=losses, team=run.team, recordings=run.recordings):
        event = _read("train", epoch, progress)
        if event.loss is not None and not math.isfinite(event.loss):
            raise TrainingError(f"epoch {epoch}, batch {event.batch}: the training loss is {event.loss} at the rate "
                                f"{progress.lr:.3g}; {_kept(history)}. Try a lower --lr.")
        yield event
    row: dict[str, Any] = {"epoch": epoch, "train_loss": event.loss, "train_accuracy": event.accuracy}
    seconds = run.clock() - start
    if data.validation:
        row |= yield from _evaluate(run, "validation", data.validation, epoch)
    if config.test_every and (epoch % config.test_every == 0 or epoch == config.epochs):
        row |= yield from _evaluate(run, "test", data.test, epoch)
    sound = all(bool(value.isfinite().all()) for value in run.network.state_dict().values())
    if not (sound and all(map(math.isfinite, row.values()))):
        raise TrainingError(f"epoch {epoch}: its last step, at the rate {progress.lr:.3g}, left weights that are not "
                            f"finite or make no finite loss; {_kept(history)}. Try a lower --lr.")
    return row | {"lr": progress.lr, "seconds": seconds}


def _read(part: str, epoch: int, progress: Progress | Part) -> StepDone:
    """The event of a step or batch. A GPU is only asked for its numbers after the last one."""
    event = StepDone(part, epoch, progress.batch, progress.batches)
    if progress.loss_sum.device.type != "cpu" and progress.batch < progress.batches:
        return event
    return replace(event, loss=float(progress.loss_sum) / progress.seen,
                   accuracy=100 * int(progress.correct) / progress.seen)


def _kept(history: list[dict[str, Any]]) -> str:
    return f"the state after epoch {len(history)} is kept" if history else "no epoch was finished, so none is kept"


def _evaluate(run: _Run, part: str, split: Split, epoch: int) -> Generator[StepDone, None, dict[str, Any]]:
    """-> the part's entries of the row."""
    for event in evaluation(run.network, split, run.data.mean, run.data.sd, team=run.team):
        if isinstance(event, Evaluation):
            return {f"{part}_loss": event.loss, f"{part}_accuracy": event.accuracy}
        yield _read(part, epoch, event)
    raise AssertionError("an evaluation ends with its result")


def _summary(run: _Run, checkpoint: Checkpoint) -> dict[str, Any]:
    """The figure: the saved weights, read back and evaluated on the test part."""
    config, data, figure = run.config, run.data, load_figure(run.path)
    steps = walk(figure.layers, INPUT)
    tested = evaluate(figure.network.to(config.device), data.test, data.mean, data.sd)
    row = figure_row(checkpoint.history)
    return {
        "model": config.model, "recipe": config.recipe, "dataset": data.name,
        "parameters": sum(step.parameters for step in steps), "macs": sum(step.macs for step in steps),
        "epochs": config.epochs, "figure_epoch": row["epoch"], "lr": checkpoint.lr, "seed": config.seed,
        **{key: row[key] for key in ("validation_accuracy",) if key in row},
        "test_accuracy": tested.accuracy, "train_accuracy": row["train_accuracy"],
        "interval": list(wilson(tested.correct, len(tested.labels))), "test_images": len(tested.labels),
        "train_seconds": checkpoint.search_seconds + sum(row["seconds"] for row in checkpoint.history),
        "device": config.device, "threads": config.threads, "processes": run.team.size, "precision": config.precision,
        "torch": str(torch.__version__), "commit": commit(),
    }
