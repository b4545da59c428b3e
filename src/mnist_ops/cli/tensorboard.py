"""mnist-ops train --tensorboard: the row of each epoch as scalars, for TensorBoard."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

from mnist_ops.errors import UsageError
from mnist_ops.events import EpochDone, Event, Finished, Started

FOLDER = "tensorboard"  # in the run folder


def find_writer() -> Callable[..., Any]:
    """PyTorch's writer. Raises UsageError where the package that it needs is missing."""
    try:
        return import_module("torch.utils.tensorboard").SummaryWriter  # type: ignore[no-any-return]
    except ImportError as error:
        raise UsageError(f"--tensorboard: needs the package tensorboard, which is not installed ({error}): "
                         "pip install 'mnist-ops[tensorboard]'") from error


class Board:
    """Writes the events of a run as its `history.jsonl` has them; a tag is such as loss/train or last_lr."""

    def __init__(self, make_writer: Callable[..., Any]) -> None:
        self.make_writer = make_writer

    def draw(self, event: Event) -> None:
        """Write one event. Of a resumed run the epochs that were not saved are taken back."""
        if isinstance(event, Started):
            begin = event.epochs_done + 1
            self.writer = self.make_writer(str(event.path / FOLDER), purge_step=begin if begin > 1 else None)
        elif isinstance(event, EpochDone):
            for name, value in event.row.items():
                part, _, what = name.partition("_")
                if name != "epoch":
                    tag = f"{what}/{part}" if what in ("loss", "accuracy") else name
                    self.writer.add_scalar(tag, value, event.row["epoch"])
            self.writer.flush()
        elif isinstance(event, Finished):
            self.writer.close()
