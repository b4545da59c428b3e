"""mnist-ops suspects: find training images that are likely mislabelled."""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from mnist_ops.cli.download import read_source
from mnist_ops.cli.folds import fold_progress
from mnist_ops.cli.output import log, show, show_json, warn
from mnist_ops.cli.settings import (
    AnyDevice,
    AutoNumber,
    DataName,
    Json,
    RecipeName,
    Selection,
    SkipDamaged,
    Whole,
    configure,
    read_settings,
)
from mnist_ops.config import Config, Hard
from mnist_ops.disk import make_empty, write_whole
from mnist_ops.errors import UsageError, counted, legible
from mnist_ops.mapping import to_mapping
from mnist_ops.run.folder import FORMAT, RUNS, default_path, write_json

if TYPE_CHECKING:
    from mnist_ops.data.dataset import ImageDataset
    from mnist_ops.suspects.find import Suspects

TABLE, PICTURE, NUMBERS = "suspects.csv", "suspects.png", "suspects.json"
SHOWN = 20  # on the screen
TOO_FEW = 75  # percent: networks that agree with fewer labels have learnt too little to judge


def suspects(
    recipe: RecipeName = None,
    /,
    *,
    config: Path | None = None,
    data: DataName = None,
    data_dir: Path | None = None,
    skip_damaged: SkipDamaged = None,
    first: Whole | None = None,
    folds: Whole = 4,
    epochs: Whole | None = None,
    batch_size: Whole | None = None,
    lr: Annotated[AutoNumber | None, Parameter(metavar="auto|RATE", show_choices=False)] = None,
    seed: Whole | None = None,
    device: AnyDevice | None = None,
    jobs: Whole | None = None,
    images: Whole = 40,
    out: Path | None = None,
    as_json: Json = False,
) -> None:
    """List the training images that are likely mislabelled, most suspicious first.

    The training set is divided into folds. For each fold, the recipe's network is trained briefly on all others and
    predicts this one, which it has not seen. If it confidently predicts another class than the given one, the label is
    likely wrong (confident learning, Northcutt et al. 2021). The test set is not used. MNIST takes about 3 minutes of
    CPU time, divided over the cores. Writes suspects.csv (the whole list), suspects.png (its first images) and
    suspects.json (what --json prints).

    Parameters
    ----------
    config
        Settings that override the recipe's, a TOML or JSON file.
    data_dir
        Folder for the files of named datasets [default: $MNIST_OPS_DATA, then the user's cache].
    first
        Check only the first N training images [images; default: all].
    folds
        Number of folds [folds].
    epochs
        Epochs of each run [epochs; default: about 600 steps, from 3 to 100 epochs].
    batch_size
        Images per step [images; default: the recipe's].
    lr
        Peak learning rate; auto finds one with a range test, once for all runs [default: the recipe's, auto].
    seed
        Seed of the folds and all other random numbers [default: 0].
    device
        Device to compute on [default: auto, the first available of cuda, mps, cpu].
    jobs
        Runs in parallel, each on its share of the cores [processes; default: one per core, 1 on a GPU].
    images
        Maximum number of images in suspects.png [images].
    out
        Folder for the results, new or empty [default: runs/DATE-suspects-RECIPE-sSEED].
    as_json
        Print only one JSON object: the content of suspects.json, and folder.
    """
    chosen = configure(recipe, Selection(config=config, data=data, skip_damaged=skip_damaged, batch_size=batch_size,
                                         seed=seed, device=device), epochs=epochs, lr=lr)
    if images < 1 or (jobs is not None and jobs < 1):
        given = "" if jobs is None else f" --jobs {jobs}"
        raise UsageError(f"--images {images}{given}: expected integers of at least 1")
    epochs_given = epochs is not None or (config is not None and "epochs" in read_settings(config))
    path = out or default_path(RUNS, replace(chosen, recipe=f"suspects-{Path(chosen.recipe).name}"))
    make_empty(path)
    with _all_or_nothing(path):
        start = time.perf_counter()
        source = _read(chosen, data_dir, first, folds)
        found = _find(chosen if epochs_given else _with_usual_epochs(chosen, source, folds), source, folds=folds,
                      jobs=jobs, as_json=as_json)
        content = _write(path, found, source.name, seconds=time.perf_counter() - start, images=images)
    if as_json:
        show_json({"folder": str(path), "format": FORMAT, **content})
    else:
        _tell(found, path)


@contextlib.contextmanager
def _all_or_nothing(path: Path) -> Iterator[None]:
    """Without a result, remove the folder."""
    try:
        yield
    except BaseException as error:
        for name in (TABLE, PICTURE, NUMBERS):
            (path / name).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            path.rmdir()
        if isinstance(error, KeyboardInterrupt):
            raise KeyboardInterrupt("stopped; nothing was written") from None
        raise


def _read(config: Config, data_dir: Path | None, first: int | None, folds: int) -> "ImageDataset":
    """The images to check, with a warning about those that cannot be judged."""
    source = read_source(config, data_dir)
    from mnist_ops.suspects.find import first_images, lone_classes
    from mnist_ops.suspects.folds import check

    for text in source.warnings:
        warn(text)
    source = source if first is None else first_images(source, first)
    check(source, folds)
    for name in lone_classes(source):
        warn(f"class {name} has a single training image, so its label cannot be checked")
    return source


def _with_usual_epochs(config: Config, source: "ImageDataset", folds: int) -> Config:
    from mnist_ops.optim.length import fitted
    from mnist_ops.suspects.find import usual_epochs

    images = len(source.train.labels)
    batch_size = fitted(config, images - images // folds).batch_size
    return replace(config, batch_size=batch_size, epochs=usual_epochs(images, folds, batch_size), hard=Hard())


def _find(config: Config, source: "ImageDataset", *, folds: int, jobs: int | None, as_json: bool) -> "Suspects":
    """Train and judge, showing the progress."""
    from mnist_ops.device import share_out
    from mnist_ops.suspects.find import Suspects, find

    config, jobs = share_out(config, jobs, folds)
    if not as_json:
        log(f"{config.recipe} on {source.name}: {len(source.train.labels):,} training images in {folds} folds, "
            f"{counted(config.epochs, 'epoch')} each, {jobs} at a time on {counted(config.threads, 'thread')} each")
    with (fold_progress(folds, as_json, searched=config.lr == "auto") as tell,
          contextlib.closing(find(config, source, folds=folds, jobs=jobs)) as events):
        for event in events:
            tell(event)
    assert isinstance(event, Suspects)
    if event.accuracy < TOO_FEW:
        warn(f"only {event.accuracy:.1f} % of the images are predicted as labelled: the networks learnt too little, or "
             "very many labels are wrong, so the list is unreliable. Use more --epochs.")
    return event


def _write(path: Path, found: "Suspects", dataset: str, *, seconds: float, images: int) -> dict[str, Any]:
    """Write the three files, all or none. -> the content of suspects.json."""
    import torch

    from mnist_ops.run.provenance import commit
    from mnist_ops.suspects.find import as_csv, summary

    content = {**summary(found, dataset), "seconds": seconds, "torch": str(torch.__version__), "commit": commit(),
               "config": to_mapping(found.config)}
    write_whole(path / TABLE, as_csv(found).encode())
    if found.doubts:
        _draw(path / PICTURE, found, f"Labels that may be wrong: {Path(dataset).name}", images)
    write_json(path / NUMBERS, content)
    return content


def _draw(path: Path, found: "Suspects", title: str, images: int) -> None:
    """Draw the first images of the list, with given and suggested class."""
    from mnist_ops.report.gallery import Tile, draw_gallery
    from mnist_ops.report.style import write_picture

    split, tiles = found.part, []
    for doubt in found.doubts[:images]:
        place = split.names[doubt.index] if split.names else str(doubt.index)
        tiles.append(Tile(split.images[doubt.index], place, found.classes[doubt.given], found.classes[doubt.suggested],
                          doubt.self_confidence + doubt.score, marked=not doubt.likely))
    write_picture(path, lambda: draw_gallery(tiles, legible(title), _verdict(found), words=("given", "suggested"),
                                             mark="predicted otherwise, but not confidently"))


def _verdict(found: "Suspects") -> str:
    """How many labels are likely wrong, and how many images are just predicted otherwise."""
    images, likely = len(found.part.labels), found.likely
    labels = f"{likely:,} of {images:,} labels {'is' if likely == 1 else 'are'}" if likely else "No label is"
    rest = len(found.doubts) - likely
    more = f"; {rest:,} more {'is' if rest == 1 else 'are'} predicted otherwise, but not confidently" if rest else ""
    return f"{labels} likely wrong{more}. {found.accuracy:.2f} % are predicted as labelled."


def _tell(found: "Suspects", path: Path) -> None:
    """Show the verdict, the start of the list, and where the rest is."""
    lines = [_verdict(found)]
    if found.doubts:
        names = [legible(name) for name in found.classes]
        width = max(len("suggested"), *map(len, names))
        lines += ["", f"{'given':<{width}}  {'suggested':<{width}}  {'self-confidence':>15}  {'score':>6}  image"]
    for doubt in found.doubts[:SHOWN]:
        place = legible(found.part.names[doubt.index]) if found.part.names else str(doubt.index)
        lines.append(f"{names[doubt.given]:<{width}}  {names[doubt.suggested]:<{width}}  "
                     f"{doubt.self_confidence:>15.4f}  {doubt.score:>6.4f}  {place}")
    if (rest := len(found.doubts) - SHOWN) > 0:
        lines.append(f"and {rest:,} more in {path / TABLE}")
    log("\n".join([*lines, "", f"Written to {path}"]))


def fold_worker(folder: Path, fold: Whole, /) -> None:
    """Judge one fold, as a process started by `suspects`; prints a line as each share is done.

    Parameters
    ----------
    folder
        The task's folder.
    fold
        Number of the fold, from 0.
    """
    from mnist_ops.suspects.folds import judge_fold

    for share in judge_fold(folder, fold):
        show(f"{share}")
