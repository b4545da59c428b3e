"""mnist-ops train: train one run, from recipe to result."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from mnist_ops.cli.cross_validation import cross_validate
from mnist_ops.cli.download import read_source
from mnist_ops.cli.output import log, show_json
from mnist_ops.cli.report import report_text
from mnist_ops.cli.settings import AutoNumber, Flag, Json, RecipeName, Selection, Whole, configure
from mnist_ops.cli.stopping import leaving
from mnist_ops.cli.wording import interrupted_text, next_text
from mnist_ops.config import Config
from mnist_ops.data.catalog import are_digits
from mnist_ops.errors import UsageError
from mnist_ops.mapping import from_mapping, to_mapping
from mnist_ops.parallel.team import Team
from mnist_ops.parallel.torchrun import joined, restarted
from mnist_ops.run.folder import CONFIG, FORMAT, RUNS, SUMMARY, default_path, latest_path, read_config

if TYPE_CHECKING:
    from mnist_ops.cli.tensorboard import Board


def train(
    recipe: RecipeName = None,
    /,
    *,
    selection: Selection = Selection(),  # noqa: B008 - frozen
    epochs: Whole | None = None,
    lr: Annotated[AutoNumber | None, Parameter(metavar="auto|RATE", show_choices=False)] = None,
    target: Annotated[AutoNumber | None, Parameter(metavar="auto|PERCENT", show_choices=False)] = None,
    test_every: Whole | None = None,
    deterministic: Flag = False,
    start: Annotated[str | None, Parameter(name="--from")] = None,
    out: Path | None = None,
    resume: Flag = False,
    folds: Whole | None = None,
    no_report: Flag = False,
    tensorboard: Flag = False,
    as_json: Json = False,
) -> None:
    """Train a network: find its learning rate, train, evaluate on the test set, and write a run folder.

    Settings without a flag are set in the file of --config: augmentation, optimiser, schedule, rate search. Colour
    jitter is augment.brightness, contrast, saturation and hue; augment.flip swaps left and right; all are off by
    default. To train with several processes, use torchrun:
    `torchrun --standalone --nproc-per-node 2 -m mnist_ops train`; see docs/scaling.md.

    Parameters
    ----------
    epochs
        Number of epochs [epochs; default: the recipe's, more for few pictures].
    lr
        Peak learning rate; auto finds one with a range test [default: the recipe's, auto].
    target
        Target test accuracy; 0 for none [percent; default: auto, 99.4 on MNIST].
    test_every
        Evaluate on the test set every N epochs; 0 evaluates once, at the end [epochs; default: 1].
    deterministic
        On a GPU, give the same bits each time; warn if PyTorch cannot.
    start
        Start from the weights of a run, a model.safetensors or default instead of random ones, with their network and,
        without RECIPE, their settings. The last layer is reset if the classes differ.
    out
        The run folder, new or empty, except with --resume [default: runs/DATE-RECIPE-sSEED, with --resume the newest
        of these].
    resume
        Continue the run in the run folder after its last saved epoch, with its own settings.
    folds
        Train once for each of so many parts of all images, on the others, and give the accuracy over all of them
        instead of a run folder [folds; default: none].
    no_report
        Do not write report.html, pictures and tables of mistakes.
    tensorboard
        Write each epoch's losses, accuracies, rate and seconds into tensorboard/ in the run folder; needs the extra
        tensorboard: pip install 'mnist-ops[tensorboard]'.
    as_json
        Print only one JSON object at the end: the content of summary.json, and run (the folder); with --folds recipe,
        model, dataset, folds, images, correct, accuracy and interval (percent), balanced_accuracy, classes, and the
        settings of the runs.
    """
    with joined() as team:
        flags: dict[str, Any] = {"epochs": epochs, "lr": lr, "target": target, "test_every": test_every, "start": start,
                 "deterministic": deterministic or None}
        config = configure(recipe, selection, **flags)
        if folds is not None:
            _check_folds(folds, team, kept=out is not None or resume)
            cross_validate(config, selection.data_dir, folds, as_json=as_json)
            return
        path = Path(team.tell(str(out or _place(config, resume))))
        if (resume or restarted()) and team.tell((path / CONFIG).exists()):
            own = to_mapping(configure(recipe, selection, run=_own(path, selection), **flags)) if team.leads else None
            config = from_mapping(Config(), team.tell(own), str(path))
        boards = [_board()] if tensorboard and team.leads else []
        with leaving(lambda: interrupted_text(path, selection.data_dir)):
            summary = _run(config, selection.data_dir, path, team, resume=resume or restarted(),
                           report=not no_report, as_json=as_json, boards=boards)
        if as_json and team.leads:
            show_json({"run": str(path), "format": FORMAT, **summary})


def _board() -> "Board":
    from mnist_ops.cli.tensorboard import Board, find_writer

    return Board(find_writer())


def _check_folds(folds: int, team: Team, *, kept: bool) -> None:
    if kept:
        raise UsageError(f"--folds {folds}: its runs leave no folder; remove --out and --resume")
    if team.size > 1:
        raise UsageError(f"--folds {folds}: several processes of torchrun cannot share its runs; start it without")


def _own(path: Path, selection: Selection) -> Config:
    """The config of the run in `path`, with another device if its own is not available and none is asked for."""
    from mnist_ops.device import is_available

    config = read_config(path)
    return config if selection.device or is_available(config.device) else replace(config, device="auto")


def _place(config: Config, resume: bool) -> Path:
    """The run folder if none is given; after a restart by torchrun the one already begun, if any."""
    there = latest_path(RUNS, config) if resume or restarted() else None
    finished = there is not None and (there / SUMMARY).exists()
    return default_path(RUNS, config) if there is None or (finished and not resume) else there


def _run(config: Config, data_dir: Path | None, path: Path, team: Team, *, resume: bool, report: bool,
         as_json: bool, boards: "Sequence[Board]") -> dict[str, object]:
    """Run, show the events, on `boards` too, write the report. -> the content of summary.json; empty in a process that
    does not lead."""
    if team.leads:
        source = read_source(config, data_dir)
    team.tell(None)  # the data has been read, and downloaded if needed
    if not team.leads:
        source = read_source(config, data_dir)
    from mnist_ops.cli.screen import open_screen
    from mnist_ops.events import Finished
    from mnist_ops.experiment import run

    with open_screen(as_json) as screen:
        for event in run(config, source, path, resume=resume, team=team):
            if team.leads:
                screen.draw(event)
                for board in boards:
                    board.draw(event)
    if not team.leads:
        return {}
    assert isinstance(event, Finished)
    page = None
    if report:
        from mnist_ops.report.findings import gather
        from mnist_ops.report.report import write_report

        written = write_report(gather(path, data_dir, source=source))
        page = written.page
        if not as_json:
            log(report_text(written))
    if not as_json:
        digits = are_digits(source.classes, source.input_shape[0])
        log(f"\n{next_text(path, page, digits, data_dir)}")
    return event.summary
