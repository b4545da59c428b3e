"""START HERE: one run from recipe to result, as a generator of typed events. Owns the epoch loop, prints nothing."""

import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from mnist_ops.config import Config
from mnist_ops.data.dataset import ImageDataset
from mnist_ops.data.tensors import to_device
from mnist_ops.device import activate, memory_of
from mnist_ops.disk import write_whole
from mnist_ops.engine.choice import choose, plan
from mnist_ops.epoch import Clock, Run, run_epoch
from mnist_ops.errors import RunError
from mnist_ops.events import Compiling, EpochDone, Event, Finished, Fitted, Started, Warned, watched
from mnist_ops.mapping import to_mapping
from mnist_ops.model import initial_network, layers_of, own_sizes
from mnist_ops.optim.agreement import compile_steps
from mnist_ops.optim.compiled import Compiled
from mnist_ops.optim.cuda_graph import Recordings
from mnist_ops.optim.hard import hard_images
from mnist_ops.optim.length import last_saved, run_schedule, steps_of
from mnist_ops.optim.optimizers import Updates, make_optimizer, state_of
from mnist_ops.optim.schedule import RunSchedule
from mnist_ops.optim.tune import RangeTest, SweepStep, range_test
from mnist_ops.own_code import NONE, OwnCode, check_code
from mnist_ops.parallel.team import ALONE, Team
from mnist_ops.run.checkpoint import Checkpoint, load_checkpoint, restore, save_checkpoint
from mnist_ops.run.folder import (
    CHECKPOINT,
    RANGE_TEST,
    START,
    SUMMARY,
    longer,
    open_folder,
    settle_split,
    write_history,
    write_json,
)
from mnist_ops.run.provenance import changes, commit, fingerprint, machine
from mnist_ops.run.start import read_start, take_weights
from mnist_ops.run.summary import summarise
from mnist_ops.run.trained import TrainedNetwork, load_trained, parse_trained, save_trained
from mnist_ops.score.evaluate import evaluate
from mnist_ops.score.fit_refusal import fit_refusal
from mnist_ops.score.metrics import by_class, class_scores, confusion
from mnist_ops.score.verdict import Row, judge, reported_row
from mnist_ops.settle import cautions, settle
from mnist_ops.sync_norm import synchronise

FINE_TUNE = 0.5  # peak rate of a run that starts from weights, relative to that of a new network


@dataclass(frozen=True)
class PeakRate:
    """The peak rate of the schedule, given or found, and the seconds that the search took."""

    lr: float
    search_seconds: float


def run(config: Config, source: ImageDataset, path: Path, *, resume: bool = False, team: Team = ALONE,
        clock: Clock = time.perf_counter, code: OwnCode = NONE) -> Generator[Event, None, None]:
    """Train `config` on `source` into the folder `path`, from the rate search to the result, yielding events.

    With `resume`, continue after the last saved epoch; the result has the same bits (on a CPU) as without the stop.
    Every process of a `team` calls this; only the leader searches the rate, writes, and yields all events. `clock`
    measures its seconds; `code`: of one's own, which the config names. Raises the errors of `open_folder`, `resolve`
    and `to_device`; TrainingError if no rate can be suggested or the loss is not finite, keeping the last saved
    epoch."""
    commit()  # remembered now, in case another commit is checked out later
    check_code(config, code, path)
    asked, config = config, settle(config, source, team.size, code)
    team.check_batch(config.batch_size)
    events = _settled(config, asked, source, path, resume=resume, team=team, clock=clock,
                      code=code)
    yield from watched(events) if config.deterministic else events


def _settled(config: Config, asked: Config, source: ImageDataset, path: Path, *, resume: bool, team: Team,
             clock: Clock, code: OwnCode) -> Generator[Event, None, None]:
    """The same for a settled config."""
    device = activate(config)
    data = to_device(source, config.validation, device)
    layers = layers_of(config, len(data.classes))
    made = {"torch": str(torch.__version__), "commit": commit(), "data": fingerprint(source),
            **machine(config.device)}
    given = replace(asked, epochs=config.epochs, batch_size=config.batch_size)
    told: list[Event] = [] if given == asked else [
        Fitted(len(data.train), config.epochs, config.batch_size, steps_of(config, len(data.train)))]
    note = choose(replace(given, device=config.device), layers, len(data.train), team.size,
                  own=code.told).note
    with memory_of(config, path):
        compiled: Compiled | None = None
        if config.engine == "compiled":
            if not plan(config, layers).is_done:
                yield Compiling()
            try:
                compiled = compile_steps(config, layers)
                made["engine"] = compiled.made_by
            except RunError as error:
                note, config = f"the training steps are PyTorch's: {error}", replace(config, engine="pytorch")
        network = initial_network(config, layers, device, make=code.network, classes=len(data.classes))
        if config.start:
            start = parse_trained(read_start(config, path), path / START, code.network)
            take_weights(network, layers, data.classes, start)
            data = replace(data, mean=start.mean, sd=start.sd)  # the network was trained with these
        recordings = None if code.told else Recordings.on(device, team.size)
        this = Run(path, config, data, layers, network, made, team, recordings, compiled, clock, code,
                   hard_images(config, len(data.train), device))
        told += [Warned(text) for text in (note,) if text]
        yield from _lead(this, source, told, resume) if team.leads else _follow(this)


def _lead(run: Run, source: ImageDataset, told: Sequence[Event], resume: bool) -> Iterator[Event]:
    """The run in its folder, in one process."""
    path, config = run.path, run.config
    folder = open_folder(path, config, resume)
    try:
        if config.start and not (path / START).exists():
            write_whole(path / START, read_start(config, path))
        if source.train.names is not None and source.test.names is not None:
            settle_split(path, source.train.names, source.test.names)
        if (path / SUMMARY).exists():
            raise RunError(f"{path}: this run has finished all {config.epochs} epochs; choose another folder with "
                           f"--out for another run. {longer(path)}")
        checkpoint = load_checkpoint(path / CHECKPOINT) if resume else None
        changed = changes(path, checkpoint.made, run.made) if checkpoint else []
        yield Started(config, path, run.data, run.layers, len(checkpoint.history) if checkpoint else 0)
        yield from told
        about_data = source.warnings if checkpoint else cautions(config, source)
        yield from (Warned(text) for text in (*about_data, *folder.warnings, *changed))
        if resume and checkpoint is None:
            yield Warned(f"{path}: nothing was saved here yet, so the run starts from the beginning")
        yield from _train(run, checkpoint)
    finally:
        folder.close()


def _train(run: Run, checkpoint: Checkpoint | None) -> Iterator[Event]:
    """Search the rate, train and save the remaining epochs, and yield the result."""
    config, data, network = run.config, run.data, run.network
    rate = PeakRate(checkpoint.peak_lr, checkpoint.search_seconds) if checkpoint else (yield from _search(run))
    run.team.tell({"made": run.made, "config": to_mapping(config), "peak_lr": rate.lr,
                   "checkpoint": checkpoint and vars(checkpoint)})
    history, made = (checkpoint.history, checkpoint.made) if checkpoint else ([], run.made)
    optimizer, plan = _prepared(run, rate.lr, checkpoint)
    name = Path(data.name).name  # without a folder's location, which is private
    own = {"code": code, **own_sizes(network, config.input_shape)} if (code := config.code.network) else {}
    trained = TrainedNetwork(network, run.layers, config.model, name, data.classes, config.prepare, data.mean, data.sd,
                             config.input_shape, own=own)
    if history:
        _publish(run.path, history, trained)  # in case of a kill right after the checkpoint
    while len(history) < config.epochs:
        history.append((yield from run_epoch(run, optimizer, plan, history)))
        if last_saved(config, len(history)) == len(history):
            save_checkpoint(run.path / CHECKPOINT, Checkpoint(rate.lr, network.state_dict(), state_of(optimizer),
                                                              history, rate.search_seconds, made,
                                                              run.hard.chosen if run.hard else None))
            _publish(run.path, history, trained)
        yield EpochDone(history[-1], judge(history, config))
    write_json(run.path / SUMMARY, summary := _summary(run, rate, history))
    yield Finished(summary, history)


def _follow(run: Run) -> Iterator[Event]:
    """The part of the other processes of a team: the same steps and evaluations, without writing."""
    told = run.team.tell(None)
    run.team.check_same(told["made"] | told["config"], run.made | to_mapping(run.config))
    checkpoint = told["checkpoint"] and Checkpoint(**told["checkpoint"])
    history = checkpoint.history if checkpoint else []
    optimizer, plan = _prepared(run, told["peak_lr"], checkpoint)
    while len(history) < run.config.epochs:
        history.append((yield from run_epoch(run, optimizer, plan, history)))


def _prepared(run: Run, peak_lr: float, checkpoint: Checkpoint | None) -> tuple[Updates, RunSchedule]:
    """The network and optimiser, restored from the checkpoint if there is one, and the schedule of the whole run."""
    config = run.config
    optimizer = make_optimizer(run.network, config.optimizer, peak_lr, run.code.optimizer)
    if checkpoint:
        restore(run.path / CHECKPOINT, checkpoint, run.network, optimizer, hard=run.hard)
    if config.norm == "synchronised" and run.team.size > 1:
        synchronise(run.network, run.team)
    return optimizer, run_schedule(config, len(run.data.train), peak_lr)


def _publish(path: Path, history: list[dict[str, Any]], trained: TrainedNetwork) -> None:
    """Write the files that others read, after the checkpoint, so that a resumed run never takes a result back."""
    if reported_row(history) is history[-1]:
        save_trained(path, trained)
    write_history(path, history)


def _search(run: Run) -> Generator[SweepStep | RangeTest, None, PeakRate]:
    """The peak rate: given, or found by the range test, whose result becomes lr.json."""
    config, start, lr = run.config, run.clock(), run.config.lr
    if lr == "auto":
        found: RangeTest | None = None
        network = run.network
        if config.start:  # their loss can hardly fall, so search with a new network
            network = initial_network(config, run.layers, run.data.train.labels.device, make=run.code.network,
                                      classes=len(run.data.classes))
            config = replace(config, tune=replace(config.tune, scale=FINE_TUNE * config.tune.scale))
        for event in range_test(network, run.data, config, compiled=run.compiled, code=run.code):
            found = event if isinstance(event, RangeTest) else None
            yield event
        assert found is not None
        write_json(run.path / RANGE_TEST, asdict(found))
        lr = found.lr
    return PeakRate(lr, run.clock() - start)


def _summary(run: Run, rate: PeakRate, history: Sequence[Row]) -> dict[str, Any]:
    """The reported result: the saved weights, read back, given the score that refuses, evaluated on the test set."""
    data, trained = run.data, load_trained(run.path, run.code.network)
    if not trained.own:
        trained = replace(trained, refusal=fit_refusal(trained.network, data, run.config.seed))
        save_trained(run.path, trained)
    tested = evaluate(trained.network.to(run.config.device), data.test, data.mean, data.sd)
    made = {"processes": run.team.size, "engine": run.compiled.made_by if run.compiled else "pytorch",
            "torch": str(torch.__version__), "commit": commit()}
    made |= {name: count for name, count in trained.own.items() if name != "code"}
    if run.config.start:
        made["started_from"] = f"{Path(run.config.start).name}, SHA-256 {run.config.start_sha256[:12]}"
    return summarise(run.config, trained.layers, history, correct=tested.correct, images=len(tested.labels),
                     by_class=by_class(class_scores(confusion(tested)), data.classes), peak_lr=rate.lr,
                     search_seconds=rate.search_seconds, made=made)
