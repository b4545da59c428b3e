"""The folded operations compute what PyTorch computes, whatever the layers; what cannot be folded exactly stays."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings

from mnist_ops.arch.layers import AvgPool, Conv, MaxPool, Norm, ReLU, Residual
from mnist_ops.arch.table import totals
from mnist_ops.arch.zoo import INPUT, MODELS, PICTURES, named_network
from mnist_ops.errors import RunError
from mnist_ops.export import forward
from mnist_ops.export.c import steps
from mnist_ops.export.fold_norms import Affine, arrays, fold, fold_trained, scaling, shape_after
from tests.every_kind import EVERYTHING
from tests.small_networks import architectures, images, logits, trained


def kinds(layers):
    return [type(operation).__name__ for operation in fold_trained(trained(layers))]


def agree(one, tolerance=2e-5):
    """Float32 weights bring a relative error of about 1e-7 per layer; logits of these networks are of the order 1."""
    operations, wanted = fold_trained(one), logits(one, images())
    np.testing.assert_allclose(forward.logits(operations, images()), wanted, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(forward.logits(operations, images(), np.float32), wanted, rtol=1e-4, atol=1e-4)


@settings(max_examples=30)
@given(layers=architectures())
def test_any_network_computes_the_same_when_folded(layers):
    agree(trained(layers))


@settings(max_examples=20)
@given(layers=architectures())
def test_stages_compute_what_the_operations_compute(layers):
    operations = fold_trained(trained(layers))
    maps = images(4)[:, None].astype(np.float64)
    wanted = forward.run(operations, maps)
    for stage in steps.stages(operations):
        maps = steps.apply(stage, maps)
    np.testing.assert_allclose(maps, wanted, rtol=1e-5, atol=1e-5)


@settings(max_examples=20)
@given(layers=architectures())
def test_shapes_are_those_of_the_maps(layers):
    shape, maps = INPUT, images(2)[:, None].astype(np.float64)
    for operation in fold_trained(trained(layers)):
        shape, maps = shape_after(operation, shape), forward.apply(operation, maps)
        assert maps.shape[1:] == shape


@pytest.mark.parametrize(("layers", "wanted"), [
    ((Conv(3), Norm(), ReLU()), ["Convolution", "ReLU"]),
    ((Conv(3, padding=1), Norm()), ["Affine", "Convolution"]),  # the zeros around the image are not scaled
    ((Conv(3), AvgPool(2), Norm()), ["Convolution", "AvgPool"]),
    ((Conv(3), AvgPool(2, padding=1), Norm()), ["Convolution", "AvgPool", "Affine"]),  # zeros count in the mean
    ((Norm(), Norm(), ReLU()), ["Affine", "ReLU"]),
    ((Conv(3), ReLU(), Norm(), Conv(2)), ["Convolution", "ReLU", "Convolution"]),
    ((Conv(3), ReLU(), Norm(), Conv(2, padding=1)), ["Convolution", "ReLU", "Affine", "Convolution"]),
    ((Conv(3), Residual((Norm(), Conv(3, kernel=1)))), ["Convolution", "Sum"]),
])
def test_a_map_is_folded_where_that_is_exact_and_stays_elsewhere(layers, wanted):
    assert kinds(layers) == wanted


@pytest.mark.parametrize(("weights", "wanted"), [([1.0, 2.0], 2), ([1.0, -2.0], 3)])
def test_a_falling_map_stays_behind_a_maximum(weights, wanted):
    layers = (Conv(2), MaxPool(2), Norm())
    state = {"body.0.weight": np.ones((2, 1, 3, 3), np.float32), "body.2.weight": np.array(weights),
             "body.2.bias": np.zeros(2), "body.2.running_mean": np.zeros(2), "body.2.running_var": np.ones(2)}
    operations = fold(layers, state, INPUT, scaling([0.0], [1 / 255]))
    assert len(operations) == wanted
    assert isinstance(operations[-1], Affine) == (wanted == 3)


@pytest.mark.parametrize("name", [*MODELS, "blocks:8p2a-8dar-12"])
def test_the_table_states_how_many_parameters_an_export_has(name):
    """The weights, and the biases of the convolutions into which a norm went; here no norm's scale is negative."""
    shape = (3, 32, 32) if name == PICTURES else INPUT
    layers = named_network(name, shape)
    one = trained(layers, shape=shape)
    for module in one.network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.weight.data.abs_().clamp_(0.1)
    operations = fold_trained(one)
    learnt = operations[isinstance(operations[0], Affine):]  # the scaling of the image stays before a padding
    assert totals(layers, shape).folded_parameters == sum(array.size for array in arrays(learnt) if array.any())


def test_the_scaling_is_inside():
    # One weight of 1: the logit is (grey / 255 - mean) / sd, at grey 51 (0.2 - 0.1) / 0.5 = 0.2.
    operations = fold((Conv(1, kernel=28),), {"body.0.weight": np.eye(28)[None, None] / 28}, INPUT,
                      scaling([0.1], [0.5]))
    assert forward.logits(operations, np.full((1, 28, 28), 51, np.uint8)) == pytest.approx(0.2)


def test_no_operation_knows_torch_and_all_numbers_are_float32():
    found = list(arrays(fold_trained(trained(EVERYTHING))))
    assert len(found) > 10
    assert {(type(array), array.dtype) for array in found} == {(np.ndarray, np.dtype(np.float32))}


def test_a_channel_that_never_varies_is_normalised_as_pytorch_does():
    one = trained((Conv(3), Norm(), ReLU(), Conv(3, kernel=26)))
    one.network.state_dict()["body.1.running_var"].copy_(torch.tensor([0, 1e-6, 1e-5]))
    wanted = logits(one, images())
    np.testing.assert_allclose(forward.logits(fold_trained(one), images()), wanted, atol=1e-6 * np.abs(wanted).max())


@pytest.mark.parametrize(("name", "value", "said"), [
    ("body.0.weight", np.nan, "body.0.weight has"), ("body.0.weight", -np.inf, "body.0.weight has"),
    ("body.1.running_var", np.inf, "body.1.running_var has"),
    ("body.1.running_var", -1, "a folded normalisation has"),
    ("body.1.weight", 1e38, "a folded normalisation has"),  # finite, but not in float32 when folded
])
def test_a_number_that_is_not_finite_is_refused_by_name(name, value, said):
    one = trained((Conv(3, kernel=28), Norm()))
    one.network.state_dict()["body.1.running_var"].fill_(1e-5)
    one.network.state_dict()[name].view(-1)[0] = value
    with pytest.raises(RunError, match=rf"cannot be exported: {said}.*not finite.*Train again"):
        fold_trained(one)


def test_windows_of_an_adaptive_pool_are_pytorchs():
    # Five pixels in two windows: 0..2 and 2..4.
    maps = np.arange(5.0)[None, None, :, None] * np.ones(5)
    assert forward.adaptive_sum_pool(2, maps)[0, 0, :, 0].tolist() == [3 * (0 + 1 + 2), 3 * (2 + 3 + 4)]
    assert forward.counts(2, (5, 5)).tolist() == [[9, 9], [9, 9]]
