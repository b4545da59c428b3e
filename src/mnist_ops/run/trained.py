"""The reported network <-> its weights file; loading never runs code."""

import hashlib
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from mnist_ops.arch.arithmetic import Shape, walk
from mnist_ops.arch.layers import Layer, from_records, to_records
from mnist_ops.arch.zoo import INPUT
from mnist_ops.disk import write_whole
from mnist_ops.errors import ConfigError, RunError, brief
from mnist_ops.model import Network, build, own_network
from mnist_ops.own_code import MakeNetwork
from mnist_ops.pictures.prepare import check_method
from mnist_ops.run.folder import FORMAT, WEIGHTS, is_readable
from mnist_ops.run.load_state import load_weights
from mnist_ops.run.weights import describe_weights, described_shape, read_weights
from mnist_ops.score.refusal import Refusal, take_refusal

# Limits far above any network here that still fit any memory: multiply-adds, and elements of one feature map, for one
# image.
MOST_MACS, MOST_ELEMENTS = 2**28, 2**18
OWN = ("code", "parameters", "macs")  # in the file of a network of one's own, whose layers are not known


@dataclass(frozen=True, eq=False)
class TrainedNetwork:
    """The network that a run reports, and all that is needed to predict with it."""

    network: Network
    layers: tuple[Layer, ...]
    model: str  # name of the architecture
    dataset: str
    classes: tuple[str, ...]
    prepare: str
    mean: tuple[float, ...]  # of each channel, of values in [0, 1], as is sd
    sd: tuple[float, ...]
    input_shape: Shape = INPUT
    refusal: Refusal | None = None  # None in files of older versions, for few images, and of a network of one's own
    own: Mapping[str, Any] = field(default_factory=dict)  # of a network of one's own: its code, parameters, macs


def save_trained(path: Path, trained: TrainedNetwork, *, name: str = WEIGHTS, more: Mapping[str, Any] = {}) -> None:
    """The weights file in folder `path`, without time, path or commit, so that equal runs give equal bytes.

    more: goes into its description."""
    described = {"format": FORMAT, "model": trained.model, "dataset": trained.dataset, "classes": trained.classes,
                 "prepare": trained.prepare, "mean": _plain(trained.mean), "sd": _plain(trained.sd),
                 "input_shape": trained.input_shape, "layers": to_records(trained.layers), **trained.own, **more}
    tensors = {name: value.detach().cpu().clone(memory_format=torch.contiguous_format)  # tied weights are one tensor
               for name, value in trained.network.state_dict().items()}
    tensors |= trained.refusal.tensors() if trained.refusal else {}
    described["sha256"] = _digest(described, tensors)
    write_whole(path / name, _of_pytorch(save(tensors, {"mnist_ops": json.dumps(described)})))


def _of_pytorch(raw: bytes) -> bytes:
    """The file with `format` before the key of its metadata, by which other programs know PyTorch's tensors.

    safetensors would write two keys in random order."""
    size = int.from_bytes(raw[:8], "little")
    header = raw[8:8 + size].rstrip().replace(b'{"__metadata__":{', b'{"__metadata__":{"format":"pt",', 1)
    header += b" " * (-len(header) % 8)  # the tensors begin at a multiple of 8
    return len(header).to_bytes(8, "little") + header + raw[8 + size:]


def _plain(values: tuple[float, ...]) -> float | list[float]:
    """A single channel's number by itself, as files of older versions have it."""
    return values[0] if len(values) == 1 else list(values)


def load_trained(path: Path, make: MakeNetwork | None = None) -> TrainedNetwork:
    """The network of the run in folder `path`, or in that file, on the CPU, in evaluation mode.

    make: makes it, where it is one's own. `path` itself may be a link, a file in a run folder may not, see
    `contents`. Raises RunError, naming the file, if it is missing, damaged or of a newer format, if its network is
    one's own and `make` is not given, if its weights do not fit the architecture it describes, or if that is far
    larger than any network here."""
    file = path / WEIGHTS if os.path.isdir(path) else path
    return parse_trained(read_weights(file, link=file is path), file, make)


def parse_trained(raw: bytes, file: Path, make: MakeNetwork | None = None) -> TrainedNetwork:
    """The network in the bytes of a weights file. Raises RunError, naming `file`, as `load_trained`."""
    try:
        tensors = load(raw)  # first, as it checks the header
        described = describe_weights(file, raw)
        if make is None and (code := described.get("code")):
            raise RunError(f"{file}: the weights of a network of your own, {brief(code)}. Nothing imports it by "
                           "itself; from Python, mnist_ops.load(RUN, network=...) takes it again. Reports and exports "
                           "need a network of layers, see docs/networks.md")
        return _figure(described, tensors, make)
    except ConfigError as error:
        raise RunError(f"{file}: {error}") from error
    except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError, RecursionError, OverflowError) as error:
        raise RunError(f"{file}: damaged, or not an mnist-ops weights file ({error!s:.300}); restore it, "
                       "or train again") from error


def _figure(described: Any, tensors: dict[str, Tensor], make: MakeNetwork | None) -> TrainedNetwork:
    """Raises ValueError, KeyError, TypeError, RuntimeError or ConfigError if anything does not fit."""
    if not is_readable(described["format"]):
        raise ValueError(f"format {brief(described['format'])}, expected {FORMAT}")
    written = described.pop("sha256", None)
    if written is not None and written != _digest(described, tensors):
        raise ValueError("its checksum is wrong")
    classes, shape = tuple(described["classes"]), described_shape(described)
    mean, sd = (tuple(map(float, one if isinstance(one, list) else [one])) for one in (described["mean"],
                                                                                    described["sd"]))
    names = (*classes, *(described[key] for key in ("model", "dataset", "prepare")))
    if not all(isinstance(name, str) and len(name) < 256 for name in names):
        raise TypeError("a name is not a string of at most 255 characters")
    if len(set(classes)) < len(classes):
        raise ValueError("two classes have the same name")
    check_method(described["prepare"])
    if not len(mean) == len(sd) == shape[0]:
        raise ValueError(f"{len(mean)} means and {len(sd)} SDs for {shape[0]} channels")
    if not all(0 <= one <= 1 for one in mean) or not all(0 < one <= 1 for one in sd):
        raise ValueError(f"mean {_plain(mean)} or sd {_plain(sd)} is out of range")
    own = {name: described[name] for name in OWN if "code" in described}
    layers = () if own else from_records(described["layers"])
    refusal = None if own else take_refusal(tensors, layers, shape)
    if own and make is not None:
        network = own_network(make, shape, len(classes), torch.Generator())
    else:
        _check_size(layers, shape, len(classes), sum(value.numel() for value in tensors.values()))
        network = build(layers, shape, torch.Generator())
    load_weights(network, tensors)
    network.eval()
    return TrainedNetwork(network, layers, described["model"], described["dataset"], classes, described["prepare"],
                          mean, sd, shape, refusal, own)


def _check_size(layers: tuple[Layer, ...], shape: Shape, classes: int, numbers: int) -> None:
    """Refuse inconsistent or excessively large descriptions before building anything."""
    steps = walk(layers, shape)
    outputs = steps[-1].output_shape
    if outputs != (classes, 1, 1):
        raise ValueError(f"{math.prod(outputs)} outputs for {classes} classes")
    if sum(step.parameters for step in steps) > numbers:
        raise ValueError("the weights are those of another architecture")
    macs, elements = sum(step.macs for step in steps), max(math.prod(step.output_shape) for step in steps)
    if macs > MOST_MACS or elements > MOST_ELEMENTS:
        raise ValueError(f"{macs:,} multiply-adds and feature maps of {elements:,} elements, the limits are "
                         f"{MOST_MACS:,} and {MOST_ELEMENTS:,}")


def _digest(described: dict[str, Any], tensors: dict[str, Tensor]) -> str:
    """SHA-256 of the content of a weights file, as safetensors has no checksum."""
    digest = hashlib.sha256(json.dumps(described).encode())
    for name in sorted(tensors):
        digest.update(name.encode() + tensors[name].numpy().tobytes())
    return digest.hexdigest()
