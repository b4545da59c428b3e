"""mnist-ops train --folds: the accuracy over all images, each predicted by a network that has not seen it."""

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mnist_ops.cli.download import read_source
from mnist_ops.cli.folds import fold_progress
from mnist_ops.cli.output import log, show, show_json, warn
from mnist_ops.cli.wording import balance_text, interval_text
from mnist_ops.config import Config
from mnist_ops.errors import counted

if TYPE_CHECKING:
    from mnist_ops.data.dataset import ImageDataset
    from mnist_ops.suspects.folds import OutOfFold


def cross_validate(config: Config, data_dir: Path | None, folds: int, *, as_json: bool) -> None:
    """Train once per fold on all others, of the training and test set together, and show the result."""
    source = read_source(config, data_dir)
    from mnist_ops.device import share_out
    from mnist_ops.suspects.folds import OutOfFold, check, out_of_fold, united

    for text in source.warnings:
        warn(text)
    source = united(source)
    check(source, folds)
    config, jobs = share_out(config, None, folds)
    if not as_json:
        log(f"{config.recipe} on {source.name}: {len(source.train.labels):,} images in {folds} folds, {jobs} at a time "
            f"on {counted(config.threads, 'thread')} each")
    with (fold_progress(folds, as_json, searched=config.lr == "auto") as tell,
          contextlib.closing(out_of_fold(config, source, folds, jobs)) as events):
        for event in events:
            tell(event)
    assert isinstance(event, OutOfFold)
    found = _result(event, source, folds)
    if as_json:
        show_json(found)
        return
    show("\n".join([
        f"Result: {found['accuracy']:.2f} % accuracy on all {found['images']:,} images, "
        f"{interval_text(found['interval'])}", *balance_text(found),
        f"Each image was predicted by a network trained on the other folds, in {counted(found['epochs'], 'epoch')} of "
        f"batches of {found['batch_size']}"]))


def _result(found: "OutOfFold", source: "ImageDataset", folds: int) -> dict[str, Any]:
    """The content of --json."""
    import torch

    from mnist_ops.score.evaluate import Evaluation
    from mnist_ops.score.metrics import by_class, class_scores, confusion
    from mnist_ops.score.statistics import wilson

    # The logarithms of probabilities are logits of the same.
    seen = Evaluation(torch.from_numpy(found.probabilities).log(), torch.from_numpy(source.train.labels))
    config = found.config
    return {"recipe": config.recipe, "model": config.model, "dataset": source.name, "folds": folds,
            "images": len(seen.labels), "correct": seen.correct, "accuracy": seen.accuracy,
            "interval": list(wilson(seen.correct, len(seen.labels))),
            **by_class(class_scores(confusion(seen)), source.classes), "epochs": config.epochs,
            "batch_size": config.batch_size, "lr": config.lr, "seed": config.seed, "device": config.device,
            "threads": config.threads}
