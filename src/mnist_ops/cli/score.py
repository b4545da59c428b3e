"""mnist-ops score: evaluate a run's saved weights on the test set."""

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from mnist_ops.cli.download import read_source
from mnist_ops.cli.output import show, show_json, warn
from mnist_ops.cli.settings import DATASETS, AnyDevice, Json, SkipDamaged
from mnist_ops.cli.wording import balance_text, interval_text
from mnist_ops.config import Config
from mnist_ops.data.catalog import CATALOG
from mnist_ops.errors import UsageError, counted, legible
from mnist_ops.mapping import from_mapping
from mnist_ops.run.folder import SUMMARY, read_config, read_split
from mnist_ops.run.own_data import own_test_part

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mnist_ops.data.dataset import ImageDataset
    from mnist_ops.data.draw import Test
    from mnist_ops.run.trained import TrainedNetwork


def score(
    run: Path,
    /,
    *,
    data: Annotated[str | None, Parameter(help=(
        f"{DATASETS}, or a folder of pictures or a file: its test set if it has one, else every picture "
        "[default: the run's own test set]."))] = None,
    data_dir: Path | None = None,
    skip_damaged: SkipDamaged = None,
    device: AnyDevice | None = None,
    as_json: Json = False,
) -> None:
    """Compute the test accuracy of a run's saved weights, in float32. On the run's own data this is the reported one.

    Parameters
    ----------
    run
        A run folder, a model.safetensors, or default: the weights that ship with the package.
    data_dir
        Folder for the files of named datasets [default: $MNIST_OPS_DATA, then the user's cache].
    device
        Device to compute on [default: the run's own].
    as_json
        Print one JSON object: run, dataset, test_accuracy and interval (percent), correct, test_images, loss (mean
        cross-entropy), balanced_accuracy, classes (each with class, images, accuracy), device, threads.
    """
    from mnist_ops.data.tensors import split
    from mnist_ops.device import activate, resolve
    from mnist_ops.score.evaluate import evaluate
    from mnist_ops.score.metrics import by_class, class_scores, confusion
    from mnist_ops.score.statistics import wilson

    config, trained, test = _resolved(run, data)
    config = replace(config, data=data or config.data, device=device or config.device,
                     skip_damaged=config.skip_damaged if skip_damaged is None else skip_damaged)
    source = read_source(config, data_dir, test)
    for text in (*source.warnings, *seen_in_training(run, source.test.names)):
        warn(text)
    _check_classes(source, trained, run)
    config = resolve(config)
    place = activate(config)
    result = evaluate(trained.network.to(place), split(source.test, place), trained.mean, trained.sd)
    count, interval = len(result.labels), wilson(result.correct, len(result.labels))
    if data is None:
        _check_summary(run, result.correct, count)
    classes = by_class(class_scores(confusion(result)), trained.classes)
    if as_json:
        show_json({"run": str(run), "dataset": source.name, "test_accuracy": result.accuracy,
                   "interval": list(interval), "correct": result.correct, "test_images": count, "loss": result.loss,
                   **classes, "device": config.device, "threads": config.threads})
    else:
        line = (f"{result.accuracy:.2f} % test accuracy ({result.correct:,} of {count:,} images of {source.name}), "
             f"{interval_text(interval)}, mean cross-entropy {result.loss:.4f}")
        show("\n".join([line, *balance_text(classes)]))


def seen_in_training(run: Path, names: "Sequence[str] | None") -> list[str]:
    """A warning if pictures to score on have names of training pictures of the run, as in a copy of its folder."""
    if names is None or not run.is_dir() or not (learnt := set(read_split(run, "train") or ())):
        return []
    shared = sum(name in learnt for name in names)
    if not shared:
        return []
    return [f"{counted(shared, 'picture')} of {len(names):,} have names of training pictures of {run}: if they are the "
            "same, the accuracy is too high. Without --data the run's own test set is used"]


def _check_summary(run: Path, correct: int, images: int) -> None:
    """Warn if the run's summary states another accuracy."""
    from mnist_ops.run.summary import otherwise, read_summary

    if (run / SUMMARY).exists() and (told := otherwise(read_summary(run / SUMMARY), correct, images)):
        warn(told)


def _check_classes(source: "ImageDataset", trained: "TrainedNetwork", run: Path) -> None:
    """Raises UsageError if the number of classes differs; warns if their names do."""
    learnt = ", ".join(map(legible, trained.classes))
    if len(source.classes) != len(trained.classes):
        raise UsageError(f"{source.name} has {len(source.classes)} classes, but the network of {run} has "
                         f"{len(trained.classes)}; use data with the same classes: {learnt}")
    if source.classes != trained.classes:
        theirs = ", ".join(map(legible, source.classes))
        warn(f"the classes of {source.name} ({theirs}) are not those the network was trained on ({learnt}); they are "
             "matched by their order")


def _resolved(run: Path, data: str | None) -> "tuple[Config, TrainedNetwork, Test]":
    """The run's config and network, and which images are its test set.

    In another folder it is every picture; see `seen_in_training`. Weights without a run folder give their dataset by
    name; raises UsageError if that is unknown."""
    from mnist_ops.run.named import find_run
    from mnist_ops.run.trained import load_trained

    place = find_run(run)
    if not os.path.isfile(place):
        config, trained = read_config(place), load_trained(place)
        return config, trained, own_test_part(place, config.data) if data is None else "all"
    trained = load_trained(place)
    if data is None and trained.dataset not in CATALOG:
        raise UsageError(f"{run}: these weights were trained on {legible(trained.dataset)!r:.100}, which is not a "
                         "known dataset; give the data to score on with --data")
    channels, side, _ = trained.input_shape
    named = {"data": data or trained.dataset, "prepare": trained.prepare, "size": side, "colour": channels == 3}
    return from_mapping(Config(), named, str(run)), trained, "all"
