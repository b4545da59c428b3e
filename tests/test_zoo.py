"""The named architectures and their blocks."""

import re

import pytest

from mnist_ops.arch.arithmetic import sizes, walk
from mnist_ops.arch.layers import Conv, Dropout, MaxPool, Norm, ReLU, Residual
from mnist_ops.arch.zoo import INPUT, architecture, block, named_network, pooled_block, scaled
from mnist_ops.errors import UsageError


def test_an_unknown_architecture_is_refused_with_the_nearest_name():
    with pytest.raises(UsageError, match=r"unknown model 'seeed'; did you mean seed\?"):
        named_network("seeed")
    with pytest.raises(UsageError, match=r"expected one of seed, early-pool, early-pool-wide"):
        named_network("resnet152")


def test_blocks_keep_their_order():
    assert block(10, dropout=0.05) == (Conv(10), Norm(), Dropout(0.05), ReLU())
    assert block(12) == (Conv(12), Norm(), ReLU())
    assert pooled_block(8) == (Conv(8), MaxPool(2), Norm(), ReLU())


@pytest.mark.parametrize("side", [8, 20, 28, 32, 48, 64, 96, 128])
def test_pictures_works_on_maps_of_one_range_whatever_the_side(side):
    shape = (3, side, side)
    steps = walk(architecture("pictures", 43, shape), shape)
    first = next(step.output_shape for step in steps if isinstance(step.layer, Residual))
    assert min(side, 24) <= first[1] <= 40
    assert steps[-1].output_shape == (43, 1, 1)
    assert sizes(architecture("pictures", 43, shape), shape)["parameters"] < 50_000


@pytest.mark.parametrize(("name", "most"), [("pictures", 5000), ("pictures", 120_000), ("blocks:8p2-16d-16dr", 700)])
def test_a_network_is_scaled_to_the_most_parameters_that_fit(name, most):
    shape = (3, 32, 32)
    model = scaled(name, 7, shape, most)
    wider = f"{name}*{float(model.partition('*')[2]) + 0.001:g}"
    count, more = (sizes(architecture(one, 7, shape), shape)["parameters"] for one in (model, wider))
    assert 0.9 * most < count <= most < more


@pytest.mark.parametrize(("name", "text"), [
    ("seed", "model 'seed' has a fixed width; expected pictures, or blocks"),
    ("pictures*2", "model 'pictures\\*2' has a fixed width"),
    ("pictures", r"found 100, but pictures has [\d,]+ at 0.1 of its width for 10 classes"),
])
def test_a_network_that_cannot_be_scaled_is_refused(name, text):
    with pytest.raises(UsageError, match=text):
        scaled(name, 10, INPUT, 100)


@pytest.mark.parametrize("factor", ["", "x", "-1", "2*2", "1e3"])
def test_a_factor_that_is_none_is_refused(factor):
    for name in (f"pictures*{factor}", f"blocks:8-16*{factor}"):
        with pytest.raises(UsageError, match=rf"found {re.escape(repr(factor))} after \*, expected a factor of all"):
            named_network(name)
