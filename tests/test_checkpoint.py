"""Training state and weights on disk: what was damaged or is another's is refused by name, and nothing is run."""

import json
import os
import pickle
import random
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from mnist_ops.arch.zoo import MODELS, named_network
from mnist_ops.errors import RunError
from mnist_ops.optim.optimizers import make_optimizer
from mnist_ops.pictures.strokes import SIDE
from mnist_ops.run.checkpoint import Checkpoint, load_checkpoint, restore, save_checkpoint
from mnist_ops.run.trained import TrainedNetwork, load_trained, save_trained
from tests.miniature import REPOSITORY, SHORT, generator, network

CLASSES = tuple("0123456789")


def checkpoint(model: str = "early-pool") -> Checkpoint:
    made = network(model)
    optimizer = make_optimizer(made, SHORT.optimizer, 0.1)
    made.feed(generator())
    made(torch.randn(4, 1, SIDE, SIDE, generator=generator())).sum().backward()
    optimizer.step()
    history = [{"epoch": 1, "train_loss": 0.5, "train_accuracy": 90.0, "last_lr": 0.1, "seconds": 2.5}]
    return Checkpoint(0.1, dict(made.state_dict()), optimizer.state_dict(), history, 1.5)


def trained(model: str = "early-pool", seed: int = 0) -> TrainedNetwork:
    return TrainedNetwork(network(model, seed), named_network(model), model, "digits", CLASSES, "resize",
                          (0.2,), (0.3,))


def bits(state: Any) -> Any:
    """Nested state as plain values that can be compared."""
    if isinstance(state, torch.Tensor):
        return str(state.dtype), tuple(state.shape), state.contiguous().numpy().tobytes()
    if isinstance(state, dict):
        return {key: bits(value) for key, value in state.items()}
    return [bits(value) for value in state] if isinstance(state, list) else state


class Payload:
    """Pickled, it runs a command of its own when it is loaded."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.trace),)


# ---------------------------------------------------------------- checkpoint


def test_a_checkpoint_survives_bit_for_bit(tmp_path):
    written, path = checkpoint(), tmp_path / "checkpoint.pt"
    save_checkpoint(path, written)
    read = load_checkpoint(path)
    assert read is not None
    assert bits(vars(read)) == bits(vars(written))
    assert [one.name for one in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_no_checkpoint_is_none(tmp_path):
    assert load_checkpoint(tmp_path / "checkpoint.pt") is None


def test_a_restored_optimiser_goes_on_where_it_was(tmp_path):
    written, path = checkpoint(), tmp_path / "checkpoint.pt"
    save_checkpoint(path, written)
    read, made = load_checkpoint(path), network(seed=1)
    assert read is not None
    optimizer = make_optimizer(made, SHORT.optimizer, 0.5)
    restore(path, read, made, optimizer)
    assert bits(dict(made.state_dict())) == bits(written.model)
    assert bits(optimizer.state_dict()["state"]) == bits(written.optimizer["state"])
    assert {group["lr"] for group in optimizer.param_groups} == {0.5}  # its settings are the config's, not the file's


@pytest.mark.parametrize("there", [model for model in MODELS if model != "early-pool"])
def test_the_checkpoint_of_another_network_is_refused_by_name(there, tmp_path):
    path = tmp_path / "checkpoint.pt"
    made = network()
    with pytest.raises(RunError, match=r"checkpoint\.pt: does not fit the network of this run; restore the right one"):
        restore(path, checkpoint(there), made, make_optimizer(made, SHORT.optimizer, 0.1))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"<html>404</html>", bytes(5000)],
                         ids=["empty", "zip", "page", "zeros"])
def test_what_is_not_a_checkpoint_is_refused_by_name(content, tmp_path):
    (tmp_path / "checkpoint.pt").write_bytes(content)
    with pytest.raises(RunError, match=r"checkpoint\.pt: damaged, or not an mnist-ops checkpoint \(.*remove it"):
        load_checkpoint(tmp_path / "checkpoint.pt")


@pytest.mark.parametrize("content", [
    {}, [1], {"format": 1, "model": {}}, {"format": 3, **vars(Checkpoint(0.1, {}, {}))},
    {"format": 1, **vars(Checkpoint(0.1, {}, {})), "more": 1},
], ids=["empty", "list", "lacking", "newer", "more"])
def test_the_checkpoint_of_another_program_or_version_is_refused(content, tmp_path):
    torch.save(content, tmp_path / "checkpoint.pt")
    with pytest.raises(RunError, match=r"checkpoint\.pt: not a checkpoint of this version .*; expected format 2"):
        load_checkpoint(tmp_path / "checkpoint.pt")


def test_the_checkpoint_of_an_older_version_is_read(tmp_path):
    """Which called the peak rate, and the last one of an epoch, both lr."""
    save_checkpoint(tmp_path / "checkpoint.pt", checkpoint())
    content = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    history = bytes(content["history"].tolist()).replace(b'"last_lr"', b'"lr"')
    content |= {"format": 1, "lr": content.pop("peak_lr")}
    content["history"] = torch.frombuffer(bytearray(history), dtype=torch.uint8)
    torch.save(content, tmp_path / "older.pt")
    new, old = (load_checkpoint(tmp_path / name) for name in ("checkpoint.pt", "older.pt"))
    assert new is not None
    assert old is not None
    assert (old.peak_lr, old.history) == (new.peak_lr, new.history)


@pytest.mark.parametrize("how", ["torch", "pickle"])
def test_code_in_a_checkpoint_is_not_run(how, tmp_path):
    path, trace = tmp_path / "checkpoint.pt", tmp_path / "trace"
    content = {"format": 1, **vars(checkpoint()), "peak_lr": Payload(trace)}
    torch.save(content, path) if how == "torch" else path.write_bytes(pickle.dumps(content))
    with pytest.raises(RunError, match=r"checkpoint\.pt: damaged, or not an mnist-ops checkpoint .*none of it was run"):
        load_checkpoint(path)
    assert not trace.exists()


def damaged(raw: bytes, draw: random.Random) -> bytes:
    """Cut short, or with one bit changed."""
    if draw.random() < 0.3:
        return raw[:draw.randrange(len(raw))]
    changed = bytearray(raw)
    # Half of the changes where the structure is: at the start, where most bytes mean something.
    place = draw.randrange(len(raw) if draw.random() < 0.5 else min(len(raw), 3000))
    changed[place] ^= 1 << draw.randrange(8)
    return bytes(changed)


@pytest.mark.parametrize("seed", range(3))
def test_a_damaged_checkpoint_is_refused_or_its_damage_changes_nothing(seed, tmp_path):
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, checkpoint())
    assert refusals(path, seed, lambda: vars(load_checkpoint(path) or Checkpoint(0.0, {}, {}))) > 80


def refusals(path: Path, seed: int, content: Callable[[], Any]) -> int:
    """How many of 100 damages of the file are refused by its name; the others change nothing of what is read."""
    raw, expected, draw, refused = path.read_bytes(), bits(content()), random.Random(seed), 0
    for _ in range(100):
        path.write_bytes(damaged(raw, draw))
        try:
            assert bits(content()) == expected
        except RunError as error:
            refused += str(error).startswith(f"{path}: ")
    return refused


# ---------------------------------------------------------------- figure


def test_a_figure_survives_with_all_that_predicting_needs(tmp_path):
    written = trained()
    save_trained(tmp_path, written)
    read = load_trained(tmp_path)
    assert bits(dict(read.network.state_dict())) == bits(dict(written.network.state_dict()))
    for name in ("layers", "model", "dataset", "classes", "prepare", "mean", "sd"):
        assert getattr(read, name) == getattr(written, name)
    assert not read.network.training
    images = torch.randn(3, 1, SIDE, SIDE, generator=generator())
    assert torch.equal(read.network(images), written.network.eval()(images))


def test_a_figure_is_found_by_folder_or_by_file(tmp_path):
    save_trained(tmp_path, trained())
    assert load_trained(tmp_path).model == load_trained(tmp_path / "model.safetensors").model == "early-pool"


def test_a_missing_figure_is_named(tmp_path):
    with pytest.raises(RunError, match=r"model\.safetensors: does not exist; expected the weights of a run"):
        load_trained(tmp_path)


def rewritten(path: Path, **changes: Any) -> None:
    """The figure in `path` with entries of its description changed and no checksum, as from another program."""
    made = trained()
    save_trained(path, made)
    raw = (path / "model.safetensors").read_bytes()
    described = json.loads(json.loads(raw[8:8 + int.from_bytes(raw[:8], "little")])["__metadata__"]["mnist_ops"])
    del described["sha256"]
    described |= changes
    tensors = {name: value.contiguous() for name, value in made.network.state_dict().items()}
    save_file(tensors, path / "model.safetensors", {"mnist_ops": json.dumps(described)})


def test_a_figure_without_a_checksum_is_read(tmp_path):
    rewritten(tmp_path)
    assert load_trained(tmp_path).model == "early-pool"


@pytest.mark.parametrize(("changes", "message"), [
    ({"format": 3}, r"format 3, expected 2"),
    ({"format": None}, r"format None, expected 2"),
    ({"mean": 7}, r"mean 7\.0 or sd 0\.3 is out of range"),
    ({"sd": 0}, r"mean 0\.2 or sd 0\.0 is out of range"),
    ({"mean": "high"}, "could not convert"),
    ({"classes": list("abc")}, "10 outputs for 3 classes"),
    ({"classes": list(range(10))}, "a name is not a string"),
    ({"layers": []}, "expected a list of at least one layer"),
    ({"layers": [{"type": "Payload"}]}, "layer 1: type is 'Payload', expected one of Conv"),
])
def test_a_description_that_does_not_fit_is_refused_by_name(changes, message, tmp_path):
    rewritten(tmp_path, **changes)
    with pytest.raises(RunError, match=rf"model\.safetensors: .*{message}"):
        load_trained(tmp_path)


def test_the_weights_of_another_architecture_are_refused_by_name(tmp_path):
    described = trained()
    save_trained(tmp_path, replace(described, network=network("seed")))
    with pytest.raises(RunError, match=r"(?s)model\.safetensors: damaged, or not an mnist-ops weights .*restore it"):
        load_trained(tmp_path)


@pytest.mark.parametrize("metadata", [None, *({"mnist_ops": text} for text in ("[1]", '"text"', "{"))], ids=str)
def test_weights_of_another_program_are_refused_by_name(metadata, tmp_path):
    save_file({"weight": torch.zeros(2)}, tmp_path / "model.safetensors", metadata)
    with pytest.raises(RunError, match=r"model\.safetensors: damaged, or not an mnist-ops weights file"):
        load_trained(tmp_path)


def test_a_pickle_in_the_place_of_weights_is_not_run(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(pickle.dumps(Payload(tmp_path / "trace")))
    with pytest.raises(RunError, match="damaged, or not an mnist-ops weights file"):
        load_trained(tmp_path)
    assert not (tmp_path / "trace").exists()


@pytest.mark.parametrize("seed", range(3))
def test_damaged_weights_are_refused_or_their_damage_changes_nothing(seed, tmp_path):
    save_trained(tmp_path, trained())
    path = tmp_path / "model.safetensors"
    assert refusals(path, seed, lambda: dict(load_trained(path).network.state_dict())) > 90


def test_one_changed_bit_of_a_weight_is_noticed(tmp_path):
    save_trained(tmp_path, trained())
    path = tmp_path / "model.safetensors"
    raw = bytearray(path.read_bytes())
    raw[-2] ^= 1
    path.write_bytes(raw)
    with pytest.raises(RunError, match="its checksum is wrong"):
        load_trained(path)


def test_equal_figures_have_equal_bytes_in_every_process_and_no_trace_of_time_or_place(tmp_path):
    save_trained(tmp_path, trained())
    here = (tmp_path / "model.safetensors").read_bytes()
    program = ("import sys, pathlib; from tests.test_checkpoint import trained, save_trained; "
               "save_trained(pathlib.Path(sys.argv[1]), trained())")
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True, cwd=REPOSITORY,
                   env={**os.environ, "PYTHONHASHSEED": "1"})
    assert (tmp_path / "model.safetensors").read_bytes() == here
    assert str(tmp_path).encode() not in here
