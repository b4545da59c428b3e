"""Damaged and made-up run folders and command lines for tools/fuzz.py, as hypothesis strategies; what reads them."""

import contextlib
import copy
import inspect
import io
import json
import os
import struct
import tempfile
from collections.abc import Iterator
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from mnist_ops.cli.main import COMMANDS, main
from mnist_ops.cli.settings import Selection
from mnist_ops.config import Config, Optimizer
from mnist_ops.errors import DataError
from mnist_ops.mapping import to_mapping
from tools.forms import Form, opened, unzipped, zipped
from tools.inputs import ODDITIES, SCALARS, TABLES, TOKENS, TREES, damaged, written

NAMES = ("config.json", "summary.json", "split.json", "history.jsonl")


def run_files() -> SearchStrategy[tuple[str, bytes]]:
    """(name, content) of the files that are text."""
    config = json.dumps({"format": 1, **to_mapping(Config())}).encode()
    summary = json.dumps({"format": 1, "dataset": "mnist", "test_accuracy": 99.4, "parameters": 7568}).encode()
    split = json.dumps({"format": 1, "train": ["a/1.png"], "test": ["b/2.png", "../up.png"]}).encode()
    history = b'{"epoch": 1, "train_loss": 0.5, "last_lr": 0.1}\n' * 3
    contents = damaged([config, summary, split, history, *ODDITIES]) | TABLES.map(
        lambda one: json.dumps({"format": 1, **one}).encode()) | TREES.map(lambda one: json.dumps(one).encode())
    return st.tuples(st.sampled_from(NAMES), contents)


def read_run_file(folder: Path, given: tuple[str, bytes]) -> object:
    """By whatever reads the file of that name."""
    from mnist_ops.cli.check import judge
    from mnist_ops.run.folder import read_config, read_history, read_json, read_split

    path = written(folder, *given)
    match given[0]:
        case "config.json":
            return read_config(folder)
        case "split.json":
            return read_split(folder)
        case "history.jsonl":
            return read_history(folder)
        case _:
            return judge(read_json(path), "mnist", test_accuracy=99, parameters=10_000, epochs=20)


@cache
def _trained() -> tuple[Any, Any]:
    """A network and an optimiser that has made a step."""
    import torch

    from mnist_ops.arch.zoo import INPUT, named_network
    from mnist_ops.model import build
    from mnist_ops.optim.optimizers import make_optimizer

    network = build(named_network("early-pool"), INPUT, torch.Generator().manual_seed(0))
    optimizer = make_optimizer(network, Optimizer(), 0.1)
    network(torch.zeros(2, *INPUT)).sum().backward()
    optimizer.step()
    return network, optimizer


@cache
def saved() -> tuple[bytes, bytes]:
    """model.safetensors and checkpoint.pt, as a run writes them."""
    from mnist_ops.arch.zoo import named_network
    from mnist_ops.run.checkpoint import Checkpoint, save_checkpoint
    from mnist_ops.run.trained import TrainedNetwork, save_trained

    network, optimizer = _trained()
    row = {"epoch": 1, "train_loss": 1.0, "train_accuracy": 9.0, "last_lr": 0.1, "seconds": 1.0}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        save_trained(folder, TrainedNetwork(network, named_network("early-pool"), "early-pool", "digits",
                                            tuple("0123456789"), "resize", (0.2,), (0.3,)))
        save_checkpoint(folder / "checkpoint.pt", Checkpoint(0.1, dict(network.state_dict()), optimizer.state_dict(),
                                                             [row], 1.0, {"torch": "2", "commit": None, "data": "0"}))
        return (folder / "model.safetensors").read_bytes(), (folder / "checkpoint.pt").read_bytes()


def _split(raw: bytes) -> tuple[dict[str, Any], bytes]:
    """Header and tensors of a weights file."""
    end = 8 + int.from_bytes(raw[:8], "little")
    return json.loads(raw[8:end]), raw[end:]


def described(text: bytes) -> bytes:
    """The weights with that text as their description."""
    header, tensors = _split(saved()[0])
    described = json.dumps(header | {"__metadata__": {"mnist_ops": text.decode("utf-8", "replace")}}).encode()
    return struct.pack("<Q", len(described)) + described + tensors


def weights_form() -> Form:
    """The description."""
    def open_it(raw: bytes) -> bytes | None:
        try:
            header, tensors = _split(raw)
            text: str = header["__metadata__"]["mnist_ops"]
            return text.encode() if tensors == _split(saved()[0])[1] else None
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError):
            return None

    return opened(open_it, described)


def weights_files() -> SearchStrategy[bytes]:
    """Damaged as a whole, which a checksum tells, and with a made-up or damaged description that has no checksum."""
    raw = saved()[0]
    header, tensors = _split(raw)
    end = len(raw) - len(tensors)
    about = json.loads(header["__metadata__"]["mnist_ops"])
    del about["sha256"]
    layers: SearchStrategy[Any] = st.lists(st.builds(
        lambda layer, changes: layer | changes, st.sampled_from(about["layers"]),
        st.dictionaries(st.sampled_from(["channels", "kernel", "stride", "padding", "type", "body", "size"]),
                        st.integers(-1, 5000) | TREES, max_size=2)), max_size=14)
    changes: SearchStrategy[dict[str, Any]] = st.fixed_dictionaries({}, optional={
        "layers": layers | TREES, "classes": TREES | st.lists(st.text(max_size=3), max_size=12), "mean": SCALARS,
        "sd": SCALARS, "format": SCALARS, "prepare": SCALARS, "model": TREES})

    made_up = changes.map(lambda some: described(json.dumps(about | some).encode()))
    return damaged([raw]) | damaged([raw[:end]]) | made_up | damaged([json.dumps(about).encode()]).map(described)


def _parts() -> dict[str, bytes]:
    return unzipped(saved()[1]) or {}


def _pickle_name() -> str:
    return next(name for name in _parts() if name.endswith("data.pkl"))


def _with_pickle(pickled: bytes) -> bytes:
    """The checkpoint with another pickle."""
    return zipped(_parts() | {_pickle_name(): pickled})


def checkpoint_form() -> Form:
    """The pickle."""
    def open_it(raw: bytes) -> bytes | None:
        found, name = unzipped(raw) or {}, _pickle_name()
        return found.get(name) if found.keys() == _parts().keys() else None

    return opened(open_it, _with_pickle)


def checkpoints() -> SearchStrategy[bytes]:
    """Damaged as a whole, which checksums tell, and with a damaged pickle inside whose checksum is right."""
    raw = saved()[1]
    tokens = (*TOKENS, b"cos\nsystem\n(S'true'\ntR.", b"cbuiltins\nbytearray\nK\x01\x85R", b"K\x00", b"M\xff\xff",
              b"]", b"}", b"N", b"X\x05\x00\x00\x00model", b"G\x7f\xf8\0\0\0\0\0\0", b"\x8a\x08" + b"\xff" * 8,
              b"h\x00", b".")
    return damaged([raw]) | damaged([_parts()[_pickle_name()]], tokens).map(_with_pickle)


def read_weights(folder: Path, raw: bytes) -> object:
    """As every command does that uses a run."""
    from mnist_ops.run.trained import load_trained

    written(folder, "model.safetensors", raw)
    return load_trained(folder)


def read_checkpoint(folder: Path, raw: bytes) -> None:
    """As --resume does, up to the next step of the optimiser, which is where PyTorch would write past a tensor."""
    from mnist_ops.optim.optimizers import make_optimizer
    from mnist_ops.run.checkpoint import load_checkpoint, restore

    path = written(folder, "checkpoint.pt", raw)
    checkpoint = load_checkpoint(path)
    if checkpoint is not None:
        network = copy.deepcopy(_trained()[0])
        optimizer = make_optimizer(network, Optimizer(), 0.1)
        restore(path, checkpoint, network, optimizer)
        for parameter in network.parameters():
            parameter.grad = parameter.detach().clone()
        optimizer.step()


# ---------------------------------------------------------------- the command line

OPTIONS = sorted({f"--{name.replace('_', '-').removeprefix('as-')}" for command in COMMANDS
                  for name in (*inspect.signature(command).parameters, *(field.name for field in fields(Selection)))})
VALUES = ("default", "seed", "early-pool", "mnist", "digits", "run", "nowhere", "../up", "./sub/run", "~nobody-here/x",
          "settings.toml", "auto", "cpu", "cuda", "0", "1", "-1", "3", "1.5", "1e400", "nan", "inf", "9" * 400, "", " ",
          "-", "--", "---", "-h", "--help", "--version", "--=", "--no-json", "x" * 5000, "\udcff", "\x1b[31m", "a\nb",
          "🖉")


def command_lines() -> SearchStrategy[list[str]]:
    """Commands, options and values in any order, with text that means nothing and no path out of the working folder."""
    import mnist_ops.experiment  # noqa: F401 - and what else takes its time once, whatever the input

    saved()
    letters = st.characters(exclude_characters="\0/~\\", exclude_categories=["Cs"])
    garbage = st.text(letters, max_size=12).filter(lambda text: not text.startswith(".."))
    options = st.sampled_from(OPTIONS)
    word = options | st.sampled_from(VALUES) | garbage | st.builds("{}={}".format, options, st.sampled_from(VALUES))
    return st.builds(lambda first, rest: [*first, *rest], st.lists(st.sampled_from([one.__name__ for one in COMMANDS]),
                                                                   min_size=0, max_size=1), st.lists(word, max_size=6))


def carry_out(folder: Path, words: list[str]) -> None:
    """As a shell would; no data is read and none fetched, so no command gets past that."""
    stopped = DataError("stopped before any data is read")
    said = io.StringIO()
    with _working_in(folder), contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said), \
            patch("mnist_ops.data.source.read", side_effect=stopped), \
            patch("mnist_ops.data.files.fetch", side_effect=stopped):
        code = main(words)
    if code not in (0, 1, 2) or "Traceback" in said.getvalue():
        raise AssertionError(f"exit code {code}: {said.getvalue()[-500:]}")
    if code:
        raise DataError(said.getvalue())


@contextlib.contextmanager
def _working_in(folder: Path) -> Iterator[None]:
    """In a folder below `folder` that holds a run and a configuration; nothing of the user's own is looked at."""
    place = folder / "below" / "it"
    (place / "run").mkdir(parents=True, exist_ok=True)
    written(place / "run", "config.json", json.dumps({"format": 1, **to_mapping(Config())}).encode())
    written(place / "run", "summary.json", b'{"format": 1, "dataset": "mnist", "test_accuracy": 99.5}')
    written(place / "run", "model.safetensors", saved()[0])
    written(place, "settings.toml", b"epochs = 3\n")
    before = os.getcwd()
    os.chdir(place)
    try:
        with patch.dict(os.environ, {"XDG_CACHE_HOME": str(folder / "cache")}):
            os.environ.pop("MNIST_OPS_DATA", None)
            yield
    finally:
        os.chdir(before)
