"""Starting a run from the weights of another. No torch."""

import hashlib
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from mnist_ops.arch.zoo import is_named
from mnist_ops.config import RECIPES, Config, Usual
from mnist_ops.errors import UsageError, brief
from mnist_ops.mapping import from_mapping
from mnist_ops.run.folder import CONFIG, START, WEIGHTS, read_config
from mnist_ops.run.named import SHIPPED, find_run
from mnist_ops.run.weights import describe_weights, described_shape, read_weights

if TYPE_CHECKING:
    from mnist_ops.arch.layers import Layer
    from mnist_ops.model import Network
    from mnist_ops.run.trained import TrainedNetwork


def settings_of(name: str) -> Config:
    """The settings to train the weights `name` further: those of its run, or of the recipe of its network.

    name: a run folder, a weights file or "default". Settings that the run resolved for its machine are reset, and its
    length is not one that was asked for here."""
    place = find_run(name)
    if os.path.exists(place / CONFIG):  # False for a name that no file can have
        config = read_config(place)
        return replace(config, epochs=Usual(config.epochs), batch_size=Usual(config.batch_size), lr="auto",
                       device="auto", threads=0, precision="auto", target="auto", start="", start_sha256="")
    file = _file(name)
    described = describe_weights(file, read_weights(file, link=True))
    model = str(described.get("model"))
    own = {} if is_named(model) or described.get("code") else {"layers": described.get("layers", [])}
    return next((config for config in RECIPES.values() if config.model == model),
                from_mapping(Config(), {"model": model, **own}, str(file)))


def settle_start(config: Config) -> Config:
    """The config with its start, if any, resolved: absolute path, SHA-256, preparation of pictures.

    Raises UsageError if the weights are another network's, RunError if they cannot be read."""
    if not config.start or config.start_sha256:
        return config
    file = _file(config.start)
    raw = read_weights(file, link=True)
    described = describe_weights(file, raw)
    if described.get("model") != config.model:
        raise UsageError(f"--from {config.start}: weights of the network {brief(described.get('model'))}, but the "
                         f"recipe {config.recipe} trains {config.model!r}; expected the same network. Leave the recipe "
                         "out")
    place = config.start if config.start == SHIPPED else str(find_run(config.start).resolve())
    prepare = described.get("prepare") if config.prepare == "auto" else config.prepare
    channels, side, _ = shape = described_shape(described)
    if config.size not in ("auto", side) or config.colour not in ("auto", channels == 3):
        raise UsageError(f"--from {config.start}: its images have the shape {shape}, but size is {config.size} and "
                         f"colour {config.colour}; leave both out")
    return replace(config, start=place, size=side, colour=channels == 3, start_sha256=hashlib.sha256(raw).hexdigest(),
                   prepare="mnist" if prepare == "mnist" else "resize")


def read_start(config: Config, path: Path) -> bytes:
    """The weights file that the run in `path` starts from: its own copy, or the one named in the config.

    Raises UsageError if it is not the file that the config was resolved with."""
    own = path / START
    file = own if own.exists() else _file(config.start)
    raw = read_weights(file, link=file is not own)
    if (found := hashlib.sha256(raw).hexdigest()) != config.start_sha256:
        raise UsageError(f"{file}: not the weights that this run starts from (SHA-256 {found[:12]}, expected "
                         f"{config.start_sha256[:12]}); restore those, or start another run with --from")
    return raw


def take_weights(network: "Network", layers: "tuple[Layer, ...]", classes: tuple[str, ...],
                 start: "TrainedNetwork") -> None:
    """Load the weights of `start` into the network, except the last layer if the classes differ.

    Raises UsageError if the networks differ in more than that."""
    if start.layers[:-1] != layers[:-1]:
        raise UsageError(f"the weights of {start.model} have other layers than this run; expected the "
                         "same network and norm")
    if not layers and start.classes != classes:
        raise UsageError("the weights of a network of your own are of other classes; expected the same")
    last = f"body.{len(layers) - 1}."
    kept = {name: value for name, value in start.network.state_dict().items()
            if start.classes == classes or not name.startswith(last)}
    network.load_state_dict(kept, strict=start.classes == classes)


def _file(name: str) -> Path:
    place = find_run(name)
    return place / WEIGHTS if os.path.isdir(place) else place
