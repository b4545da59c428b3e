"""Weights of 2 bits: what they can be, how they are packed, and the fine-tuning for them, which a run folder keeps."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from mnist_ops.arch.zoo import MODELS
from mnist_ops.cli.few_bits import for_bits
from mnist_ops.cli.main import main
from mnist_ops.errors import RunError
from mnist_ops.export.c import dense, fine_tune
from mnist_ops.export.c.fine_tune import Rounded, kept
from mnist_ops.export.c.int8 import IntegerDot
from mnist_ops.export.c.quantize import quantize
from mnist_ops.export.c.rounding import bits_of, nearest
from mnist_ops.export.c.steps import Dot, stages
from mnist_ops.export.fold_norms import fold_trained
from mnist_ops.run.named import find_run
from mnist_ops.run.trained import load_trained, save_trained
from tests.miniature import SHORT, few_digits, few_tensors, train
from tests.small_networks import images, trained


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("run") / "run"
    train(replace(SHORT, data="digits", epochs=2), path, source=few_digits())
    return path


@pytest.fixture
def run(whole, tmp_path, monkeypatch):
    """A copy of a short run on few digits, in the current folder."""
    monkeypatch.setattr("mnist_ops.data.source.digits", lambda how: few_digits())
    monkeypatch.chdir(tmp_path)
    return shutil.copytree(whole, tmp_path / "r")


EXPORT = ["export", "r", "--to", "c", "--bits", "2", "--unproved", "--json"]


def test_weights_of_2_bits_are_the_nearest_odd_numbers():
    values = np.array([-9.0, -2.1, -1.9, -0.1, 0.1, 1.9, 2.1, 9.0])
    assert nearest(values, 2).tolist() == [-3, -3, -1, -1, 1, 1, 3, 3]
    assert nearest(values, 4).tolist() == [-7, -2, -2, 0, 0, 2, 2, 7]


@pytest.mark.parametrize(("bits", "values", "packed"), [
    (4, [1, 15, 2], [0xf1, 0x02]),                    # 1 + 16 * 15, 2
    (2, [0, 2, 4, 6, 6], [0b11_10_01_00, 0b11]),      # halves: 0, 1, 2, 3 and 3, the first in the lowest bits
])
def test_weights_of_few_bits_share_a_byte(bits, values, packed):
    assert dense.packed(np.array(values), bits).tolist() == packed


@pytest.mark.parametrize(("inputs", "bits", "expected"), [(1, 2, 4), (3, 2, 4), (4, 2, 2), (1, 4, 4), (1, 8, 8)])
def test_where_weights_are_few_they_have_4_bits(inputs, bits, expected):
    assert bits_of(inputs, bits) == expected


@pytest.mark.parametrize("bits", [2, 4])
def test_gradients_pass_the_rounding_as_if_it_were_not_there(bits):
    weights = torch.randn(5, 4, 3, 3, generator=torch.Generator().manual_seed(0), requires_grad=True)
    rounded = Rounded(bits)(weights)
    for channel in rounded.detach():
        assert len(channel.unique()) <= 2**bits
    rounded.mul(torch.arange(5.0)[:, None, None, None]).sum().backward()
    assert weights.grad is not None
    assert torch.equal(weights.grad, torch.arange(5.0)[:, None, None, None].expand(5, 4, 3, 3))
    assert Rounded(bits)(torch.zeros(1, 1, 1, 1)).isfinite().all()


@pytest.mark.parametrize("model", ["early-pool", "separable-micro"])
def test_the_integer_network_has_the_very_weights_that_were_trained(model):
    one = trained(MODELS[model])
    tuned = fine_tune.fine_tune(one, few_tensors(), SHORT, 2)
    floating = stages(fold_trained(tuned))
    for given, made in zip(floating, quantize(floating, images(40, seed=1), bits=2).stages, strict=True):
        if isinstance(given, Dot) and isinstance(made, IntegerDot):
            wanted, found = given.convolution.weights, made.convolution.weights
            units = np.abs(wanted).max(axis=(1, 2, 3)) / np.abs(found).max(axis=(1, 2, 3))
            np.testing.assert_allclose(found * units[:, None, None, None], wanted, rtol=1e-4)
            assert made.bits == (4 if wanted.shape[1] == 1 else 2)


def test_an_export_of_2_bits_fine_tunes_once_and_leaves_the_runs_weights_alone(run, capsys, monkeypatch):
    before = (run / "model.safetensors").read_bytes()
    assert main(EXPORT) == 0
    told, progress = capsys.readouterr()
    found = json.loads(told)
    assert found["arithmetic"] == "int2"
    assert found["untuned_accuracy"] == pytest.approx(json.loads((run / "summary.json").read_text())["test_accuracy"])
    assert progress.count("mnist-ops: fine-tuning for weights of 2 bits: epoch ") == 2
    assert "mnist-ops: kept in r/model.2bit.safetensors" in progress
    assert (run / "model.safetensors").read_bytes() == before
    code, tuned = (run / "mnist_ops_c/mnist_ops.c").read_bytes(), (run / "model.2bit.safetensors").read_bytes()
    monkeypatch.setattr(fine_tune, "fine_tune", lambda *_, **__: pytest.fail("trained again"))
    assert main(EXPORT) == 0
    assert capsys.readouterr().err == ""
    assert (run / "mnist_ops_c/mnist_ops.c").read_bytes() == code
    assert "Fine-tuned | for weights of 2 bits; the run's own weights read" in (
        run / "mnist_ops_c/mnist_ops.c.md").read_text()
    assert main(["score", "r"]) == 0  # of the run's own weights
    assert (run / "model.2bit.safetensors").read_bytes() == tuned


def test_the_same_seed_gives_the_same_fine_tuned_weights(run):
    for_bits(run, load_trained(run), few_digits(), 2)
    first = (run / "model.2bit.safetensors").read_bytes()
    (run / "model.2bit.safetensors").unlink()
    for_bits(run, load_trained(run), few_digits(), 2)
    assert (run / "model.2bit.safetensors").read_bytes() == first


def test_weights_that_were_fine_tuned_from_others_are_not_taken(run):
    for_bits(run, load_trained(run), few_digits(), 2)
    assert kept(run / "model.safetensors", 2) is not None
    save_trained(run, replace(load_trained(run), mean=(0.5,)))
    assert kept(run / "model.safetensors", 2) is None


def test_a_link_in_place_of_the_kept_weights_is_refused(run, tmp_path):
    (run / "model.2bit.safetensors").symlink_to(run / "model.safetensors")
    with pytest.raises(RunError, match=r"model\.2bit\.safetensors: is a link, which is not allowed in a run folder"):
        kept(run / "model.safetensors", 2)


def test_without_its_data_or_its_settings_a_run_is_not_fine_tuned(run, capsys):
    with pytest.raises(RunError, match=r"2 bits are fine-tuned on the run's own training images, which were not found; "
                                       r"give their folder with --data-dir, or use --bits 4, which needs no training"):
        for_bits(run, load_trained(run), None, 2)
    shutil.copy(run / "model.safetensors", "alone.safetensors")
    assert main(["export", "alone.safetensors", "--to", "c", "--bits", "2"]) != 0
    assert "as the run was trained, which its config.json says; give the run's folder, or use --bits 4" in " ".join(
        capsys.readouterr().err.split())


def test_the_shipped_weights_for_2_bits_are_made_of_those_that_ship():
    file = find_run("default")
    tuned = kept(file, 2)
    assert tuned is not None
    assert tuned.layers == load_trained(file).layers
