"""The whole training state <-> disk, and the weights of a figure <-> disk; nothing that is loaded runs code."""

import hashlib
import io
import json
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from mnist_ops.arch.layers import Layer, from_records, to_records, walk
from mnist_ops.arch.zoo import INPUT
from mnist_ops.disk import write_whole
from mnist_ops.errors import ConfigError, RunError
from mnist_ops.model import Network, build
from mnist_ops.run.folder import FORMAT, WEIGHTS

State = dict[str, Any]


@dataclass
class Checkpoint:
    """All that a run knows after its last finished epoch. Generators are derived from the seed and need no place."""

    lr: float  # peak of the schedule
    model: State
    optimizer: State
    history: list[dict[str, Any]] = field(default_factory=list)  # a row per finished epoch
    search_seconds: float = 0.0  # spent on the rate search


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Whole or not at all."""
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, **vars(checkpoint)}, buffer)
    write_whole(path, buffer.getvalue())


def load_checkpoint(path: Path) -> Checkpoint | None:
    """None where there is none yet. RunError, naming the file, where it is damaged, foreign or of another format."""
    try:
        with zipfile.ZipFile(path) as archive:  # torch.save's own format, whose checksums torch.load does not look at
            if damaged := archive.testzip():
                raise ValueError(f"{damaged} has another checksum than when it was written")
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        return None
    except Exception as error:  # of damaged bytes any kind may come, IndexError among them
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise RunError(f"{path}: damaged or not a checkpoint of mnist-ops ({reason:.200}); nothing of it was run. "
                       "Remove it to start this run anew, or restore it.") from error
    expected = {"format", "lr", "model", "optimizer", "history", "search_seconds"}
    if not isinstance(content, dict) or content.get("format") != FORMAT or set(content) != expected:
        raise RunError(f"{path}: not a checkpoint of this version of mnist-ops; expected format {FORMAT}. Remove it to "
                       "start this run anew, or use the version that wrote it.")
    del content["format"]
    return Checkpoint(**content)


def restore(path: Path, checkpoint: Checkpoint, network: Network, optimizer: torch.optim.Optimizer) -> None:
    """Put the checkpoint's state into both. RunError, naming the file it came from, where it is another network's."""
    try:
        network.load_state_dict(checkpoint.model)
        optimizer.load_state_dict(checkpoint.optimizer)
    except (RuntimeError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path}: does not fit the network of this run; restore the right one, or remove it to start "
                       "this run anew") from error


@dataclass(frozen=True, eq=False)
class Figure:
    """The network of a run's figure and all that is needed to predict with it."""

    network: Network
    layers: tuple[Layer, ...]
    model: str  # name of the architecture
    dataset: str
    classes: tuple[str, ...]
    prepare: str
    mean: float  # of grey values in [0, 1], as is sd
    sd: float


def save_figure(path: Path, figure: Figure) -> None:
    """model.safetensors in folder `path`; no time, path or commit in it, so that equal runs give equal bytes."""
    described = {"format": FORMAT, "model": figure.model, "dataset": figure.dataset, "classes": figure.classes,
                 "prepare": figure.prepare, "mean": figure.mean, "sd": figure.sd, "layers": to_records(figure.layers)}
    tensors = {name: value.detach().cpu().contiguous() for name, value in figure.network.state_dict().items()}
    described["sha256"] = _digest(described, tensors)
    # one key, because safetensors writes several in the order of a hash that differs from process to process
    write_whole(path / WEIGHTS, save(tensors, {"mnist_ops": json.dumps(described)}))


def load_figure(path: Path) -> Figure:
    """The figure of the run in folder `path`, or in that file, on the CPU, in evaluation mode.

    Raises RunError, naming the file, where it is missing, damaged, of a newer format, or its weights do not fit the
    architecture that it describes."""
    file = path / WEIGHTS if path.is_dir() else path
    try:
        with safe_open(file, "pt") as archive:
            described = json.loads((archive.metadata() or {})["mnist_ops"])
            tensors = {name: archive.get_tensor(name) for name in archive.keys()}  # noqa: SIM118, not a mapping
        return _figure(described, tensors)
    except FileNotFoundError:
        raise RunError(f"{file}: is not there; expected the weights of a run, as mnist-ops train writes them") from None
    except ConfigError as error:
        raise RunError(f"{file}: {error}") from error
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, RuntimeError, RecursionError,
            OverflowError) as error:
        raise RunError(f"{file}: damaged, or not the weights of a network of mnist-ops ({error!s:.300}); restore it, "
                       "or train again") from error


def _figure(described: Any, tensors: dict[str, Tensor]) -> Figure:
    """Raises ValueError, KeyError, TypeError, RuntimeError or ConfigError where anything does not fit."""
    if described["format"] != FORMAT:
        raise ValueError(f"format {described['format']!r:.40}, expected {FORMAT}")
    written = described.pop("sha256", None)
    if written is not None and written != _digest(described, tensors):
        raise ValueError("its checksum is another than when it was written")
    classes, mean, sd = tuple(described["classes"]), float(described["mean"]), float(described["sd"])
    names = (*classes, *(described[key] for key in ("model", "dataset", "prepare")))
    if not all(isinstance(name, str) for name in names):
        raise TypeError("a name is not a text")
    if not (0 <= mean <= 1 and 0 < sd <= 1):
        raise ValueError(f"mean {mean} or sd {sd} is out of range")
    layers = from_records(described["layers"])
    walk(layers, INPUT)  # refuses what does not fit, or is too large, before anything is made
    network = build(layers, INPUT, torch.Generator())
    network.load_state_dict(tensors)
    network.eval()
    outputs = network(torch.zeros(1, *INPUT)).shape
    if outputs != (1, len(classes)):
        raise ValueError(f"{outputs[-1]} outputs for {len(classes)} classes")
    return Figure(network, layers, described["model"], described["dataset"], classes, described["prepare"], mean, sd)


def _digest(described: dict[str, Any], tensors: dict[str, Tensor]) -> str:
    """SHA-256 of all that a figure's file holds; safetensors has no checksum of its own."""
    digest = hashlib.sha256(json.dumps(described).encode())
    for name in sorted(tensors):
        digest.update(name.encode() + tensors[name].numpy().tobytes())
    return digest.hexdigest()
