"""Whether an image is of any class: the pictures made to learn it, the fit, and the verdicts."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from mnist_ops import classifier
from mnist_ops.arch.layers import Conv
from mnist_ops.arch.zoo import MODELS
from mnist_ops.cli.main import main
from mnist_ops.data.source import read
from mnist_ops.data.tensors import Dataset, Split, to_device
from mnist_ops.errors import RunError
from mnist_ops.experiment import run
from mnist_ops.randomness import stream
from mnist_ops.report.findings import gather
from mnist_ops.report.sections import facts
from mnist_ops.run.trained import load_trained, save_trained
from mnist_ops.score import fit_refusal
from mnist_ops.score.outliers import KINDS, outliers
from mnist_ops.score.refusal import READ, REFUSED, STRANGE, UNSURE, Refusal, looked_at
from tests.miniature import CPU, SHORT
from tests.small_networks import trained
from tools import refusal

DIGITS = to_device(read("digits"), 0, CPU)


def fitted(data: Dataset = DIGITS, seed: int = 0) -> Refusal:
    found = fit_refusal.fit_refusal(trained(MODELS["early-pool"]).network, data, seed)
    assert found is not None
    return found


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 20, 20)])
def test_outliers_are_images_of_the_same_form_that_differ_from_those_they_are_made_of(shape):
    images = torch.rand(2 * len(KINDS), *shape, generator=stream(0, "images")).round()
    made = outliers(images, stream(0, "made"))
    assert (made.shape, made.dtype) == (images.shape, images.dtype)
    assert torch.equal(255 * made, (255 * made).round())  # as of a picture
    assert 0 <= made.min() <= made.max() <= 1
    assert (made != images).flatten(1).any(1).all()
    assert torch.equal(made, outliers(images, stream(0, "made")))


def test_the_score_takes_under_a_twentieth_of_the_network_and_the_same_seed_gives_the_same_bits():
    one, same, other = fitted(), fitted(), fitted(seed=1)
    parameters = sum(value.numel() for value in trained(MODELS["early-pool"]).network.parameters())
    assert 0.04 < sum(value.numel() for value in one.tensors().values()) / parameters <= 0.05
    assert all(torch.equal(one.tensors()[name], value) for name, value in same.tensors().items())
    assert not torch.equal(one.hidden, other.hidden)


def test_one_percent_of_validation_images_are_refused_and_two_percent_are_less_probable_than_the_limit():
    network, data = trained(MODELS["early-pool"]).network, to_device(read("digits"), 300, CPU)
    found = fitted(data)
    assert data.validation is not None
    features, logits = looked_at(network, data.validation, data.mean, data.sd)
    assert (found.oddness(features, logits) > 0).sum() == 3  # of 300
    assert (logits.softmax(1).amax(1) < found.limit).sum() == 6


def test_few_images_or_a_network_without_room_or_with_infinite_weights_give_no_score():
    few = replace(DIGITS, train=Split(DIGITS.train.images[:499], DIGITS.train.labels[:499]))
    assert fit_refusal.fit_refusal(trained(MODELS["early-pool"]).network, few, 0) is None  # 99 to hold apart
    assert fit_refusal.fit_refusal(trained((Conv(10, 28),)).network, DIGITS, 0) is None  # 784 numbers a unit
    infinite = trained(MODELS["early-pool"]).network
    with torch.no_grad():
        next(infinite.body[-1].parameters()).fill_(torch.inf)
    assert fit_refusal.fit_refusal(infinite, DIGITS, 0) is None


def test_a_verdict_is_refused_before_it_is_unsure_and_its_word_depends_on_the_preparation():
    """The unit is 2 * feature - 1, the oddness what is above 0.5 of it."""
    score = Refusal(torch.tensor([[2.0, -1.0]]), torch.tensor([1.0, 0.0, -0.5]), torch.tensor([0.6]))
    features, logits = torch.tensor([[0.7], [0.7], [0.8]]), torch.tensor([[9.0, 0.0], [0.1, 0.0], [0.1, 0.0]])
    assert score.oddness(features, logits).tolist() == pytest.approx([-0.1, -0.1, 0.1])
    assert score.verdicts(features, logits, "mnist") == [READ, UNSURE, REFUSED]
    assert score.verdicts(features, logits, "resize") == [READ, UNSURE, STRANGE]


def with_score(path, **changes):
    network = trained(MODELS["early-pool"])
    save_trained(path, replace(network, refusal=replace(fitted(), **changes)))
    return network


def test_the_score_is_kept_with_the_weights_and_files_without_it_are_read(tmp_path):
    with_score(tmp_path)
    kept = load_trained(tmp_path).refusal
    assert kept is not None
    assert all(torch.equal(value, kept.tensors()[name]) for name, value in fitted().tensors().items())
    save_trained(tmp_path, replace(trained(MODELS["early-pool"]), refusal=None))
    assert load_trained(tmp_path).refusal is None
    assert classifier.load(tmp_path).verdicts(np.zeros((1, 28, 28), np.uint8)) is None


@pytest.mark.parametrize(("changes", "message"), [
    ({"hidden": torch.zeros(3, 9)}, "that of another network"),
    ({"limit": torch.zeros(2)}, "that of another network"),
    ({"limit": torch.tensor([torch.nan])}, "a number that is not finite float32"),
    ({"limit": torch.zeros(1, dtype=torch.float64)}, "not finite float32"),
])
def test_a_score_that_does_not_fit_is_refused_by_name(changes, message, tmp_path):
    with_score(tmp_path, **changes)
    with pytest.raises(RunError, match=rf"model\.safetensors: .*{message}"):
        load_trained(tmp_path)


def test_the_shipped_weights_read_digits_and_refuse_most_of_what_is_none(mnist_dir):
    test = read("mnist", mnist_dir, fetch=False).test
    digits, turned, noise = (classifier.load("default").verdicts(images) or [] for images in (
        test.images[:2000], np.rot90(test.images[test.labels > 1][:500], axes=(1, 2)),
        np.random.default_rng(0).integers(0, 256, (100, 28, 28)).astype(np.uint8)))
    assert digits.count(REFUSED) < 50
    assert digits.count(READ) > 1900
    assert turned.count(REFUSED) > 400
    assert noise.count(REFUSED) == 100


def test_a_run_fits_it_on_its_own_data_and_the_report_tells_the_share_refused(tmp_path):
    for _ in run(replace(SHORT, epochs=1), read("digits"), tmp_path / "run"):
        pass
    found = load_trained(tmp_path / "run")
    assert found.refusal is not None
    share = found.refusal.share(*looked_at(found.network, DIGITS.test, found.mean, found.sd))
    told = {what: value for value, what in facts(gather(tmp_path / "run"))}
    assert told["of the test images refused, as of no class"] == f"{share:.2f} %"


def test_auroc_counts_pairs_and_half_of_those_that_are_equal():
    assert refusal.area(np.array([0.0, 1.0]), np.array([1.0, 2.0])) == 100 * (1 + 0.5 + 2) / 4


@pytest.mark.parametrize("draw", [refusal.scribble, refusal.cross, refusal.shape, refusal.texture, refusal.stripes])
def test_what_is_drawn_to_measure_it_comes_from_its_seed_and_has_ink(draw):
    first, again, other = (draw(np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert np.ptp(first) > 100


def test_predict_tells_the_verdict_in_words_and_as_json(tmp_path, capsys):
    from PIL import Image

    path = tmp_path / "noise.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (28, 28)).astype(np.uint8)).save(path)
    assert main(["predict", "default", "--prepare", "resize", str(path)]) == 0
    assert f"  {STRANGE}  " in capsys.readouterr().out
    assert main(["predict", "default", "--prepare", "resize", "--json", str(path)]) == 0
    assert json.loads(capsys.readouterr().out)["pictures"][0]["verdict"] == STRANGE
