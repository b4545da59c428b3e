"""The training state <-> disk, and the reported weights <-> disk; loading never runs code."""

import io
import itertools
import json
import warnings
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mnist_ops.disk import write_whole
from mnist_ops.errors import RunError
from mnist_ops.model import Network
from mnist_ops.optim.hard import HardImages
from mnist_ops.optim.optimizers import Updates
from mnist_ops.run.folder import FORMAT, is_number, is_readable, is_row, renamed
from mnist_ops.run.load_state import load_state, load_weights
from mnist_ops.run.safe_files import MOST_JSON, check_containers, parse_json, read_own

State = dict[str, Any]

# Limits far above any network here that still fit any memory: bytes of a file and of its index, a pickle that PyTorch
# reads slowly.
MOST_CHECKPOINT, MOST_PICKLE = 2**27, 2**19


@dataclass
class Checkpoint:
    """The state of a run after its last finished epoch. Generators are derived from the seed and not stored."""

    peak_lr: float  # of the schedule
    model: State
    optimizer: State
    history: list[dict[str, Any]] = field(default_factory=list)  # a row per finished epoch
    search_seconds: float = 0.0  # spent on the rate search
    made: dict[str, str | None] = field(default_factory=dict)  # at the start: torch, commit, data, engine, machine
    chosen: Tensor | None = None  # of HardImages


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write it atomically. The history is JSON in a tensor, which keeps the pickle short for any number of epochs."""
    history = bytearray(json.dumps(checkpoint.history, allow_nan=False).encode())
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, **vars(checkpoint), "history": torch.frombuffer(history, dtype=torch.uint8)}, buffer)
    write_whole(path, buffer.getvalue())


def load_checkpoint(path: Path) -> Checkpoint | None:
    """The checkpoint, or None. Raises RunError, naming the file, if it is damaged, foreign or of another format.

    Nothing in it is run, decompressed or followed elsewhere; its values are checked to be finite and of the right
    types. `restore` checks whether its tensors fit the network."""
    try:
        raw = read_own(path, MOST_CHECKPOINT)
    except FileNotFoundError:
        return None
    try:
        _check_archive(raw)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about content that PyTorch would never write
            content = torch.load(io.BytesIO(raw), map_location="cpu", weights_only=True)
    except Exception as error:  # damaged bytes may cause any kind, such as IndexError
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise RunError(f"{path}: damaged, or not an mnist-ops checkpoint ({reason:.200}); none of it was run. "
                       "Restore it, or remove it to start this run again.") from error
    if type(content) is dict and is_readable(content.get("format")) and content["format"] == 1 and "lr" in content:
        content["peak_lr"] = content.pop("lr")
    if type(content) is dict:
        content.setdefault("chosen", None)  # of runs before there were any
    expected = {"format", *Checkpoint.__dataclass_fields__}
    if not (type(content) is dict and set(content) == expected and is_readable(content["format"])):
        raise RunError(f"{path}: not a checkpoint of this version of mnist-ops; expected format {FORMAT}. Use the "
                       "version that wrote it, or remove it to start this run again.")
    del content["format"]
    checkpoint = Checkpoint(**content | {"history": _rows(path, content["history"])})
    if wrong := _wrong_in(checkpoint):
        raise RunError(f"{path}: {wrong}; mnist-ops did not write it so. Remove it to start this run again, or restore "
                       "it.")
    return checkpoint


def _check_archive(raw: bytes) -> None:
    """Raise if it is not an archive of torch.save, a checksum is wrong, which torch.load ignores, or it is a bomb."""
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        parts = archive.infolist()
        if any(part.compress_type != zipfile.ZIP_STORED for part in parts):
            raise ValueError("it is compressed, which torch.save never does")
        if sum(part.file_size for part in parts) > len(raw):
            raise ValueError("its parts overlap")
        if any(part.file_size > MOST_PICKLE for part in parts if part.filename.endswith(".pkl")):
            raise ValueError(f"its structure has more than {MOST_PICKLE:,} bytes")
        if damaged := archive.testzip():
            raise ValueError(f"{damaged} has another checksum than when it was written")


def _rows(path: Path, value: Any) -> Any:
    """The content of the history's tensor; None if it is not a tensor of JSON."""
    if not (type(value) is Tensor and value.dtype == torch.uint8 and value.dim() == 1 and value.numel() <= MOST_JSON
            and value.layout is torch.strided and value.device.type == "cpu"):
        return None
    raw = value.numpy().tobytes()
    check_containers(path, raw)
    try:
        rows = parse_json(raw)
    except (ValueError, RecursionError):
        return None
    return list(map(renamed, rows)) if type(rows) is list else None


def _wrong_in(checkpoint: Checkpoint) -> str:
    """What is wrong with a checkpoint that has all fields; empty if nothing."""
    if not (is_number(checkpoint.peak_lr) and is_number(checkpoint.search_seconds)):
        return "its rate or search time is not a number of at least 0"
    made = checkpoint.made
    if not (type(made) is dict and all(isinstance(text, str | None) for pair in made.items() for text in pair)):
        return "what it was made with is not a table of strings"
    rows = checkpoint.history
    if type(rows) is not list or not all(map(is_row, rows, itertools.count(1))):
        return "its history is not a list of epochs in order, with finite numbers"
    if len({"validation_accuracy" in row and "validation_loss" in row for row in rows}) > 1:
        return "only some epochs of its history were validated"
    if not isinstance(checkpoint.chosen, Tensor | None):
        return "the images chosen as the hardest are not a tensor"
    states = (checkpoint.model, checkpoint.optimizer)
    return "" if all(isinstance(state, dict) for state in states) else "its states are not tables"


def restore(path: Path, checkpoint: Checkpoint, network: Network, optimizer: Updates, *,
            hard: HardImages | None = None) -> None:
    """Restore the checkpoint's state. Raises RunError, naming its file, if it is of another network.

    The optimiser keeps its own settings, such as rate and momentum, which come from the config."""
    try:
        load_weights(network, checkpoint.model)
        load_state(optimizer, checkpoint.optimizer)
        if hard:
            hard.restore(checkpoint.chosen)
    except (RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(f"{path}: does not fit the network of this run; restore the right one, or remove it to start "
                       "this run again") from error
