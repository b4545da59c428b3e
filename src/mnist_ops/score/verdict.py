"""What an epoch means for the run: whether its weights are the reported ones so far, and whether the target is met."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mnist_ops.config import Config

Row = dict[str, Any]


@dataclass(frozen=True)
class Verdict:
    """`kind` is one of "first", "saved", "not saved", "target"; `text` says why."""

    kind: str
    text: str


def reported_row(history: Sequence[Row]) -> Row:
    """The reported epoch so far: the last one, or the best by validation if there is a validation set.

    Best is the highest validation accuracy, then the lowest validation loss, then the earliest."""
    if "validation_accuracy" not in history[-1]:
        return history[-1]
    return max(history, key=lambda row: (row["validation_accuracy"], -row["validation_loss"], -row["epoch"]))


def judge(history: Sequence[Row], config: Config) -> Verdict:
    """The verdict on the last epoch of `history`. The test accuracy is only compared with the target."""
    row, reported = history[-1], reported_row(history)
    if reported is not row:
        return Verdict("not saved", f"not saved: validation accuracy {row['validation_accuracy']:.2f} % is not better "
                       f"than the {reported['validation_accuracy']:.2f} % of epoch {reported['epoch']}")
    tested = row.get("test_accuracy")
    if config.target and tested is not None and tested >= config.target:
        return Verdict("target", f"target achieved: {tested:.2f} % test accuracy, at least {config.target:g} %; saved")
    if len(history) == 1:
        return Verdict("first", "saved: first epoch, nothing to compare with yet")
    why = "the best validation accuracy so far" if "validation_accuracy" in row else "the latest epoch counts"
    missed = f"; target {config.target:g} % not reached" if config.target and tested is not None else ""
    return Verdict("saved", f"saved: {why}{missed}")
