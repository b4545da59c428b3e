"""The named architectures and their blocks."""

import pytest

from mnist_ops.arch.layers import Conv, Dropout, MaxPool, Norm, ReLU, walk
from mnist_ops.arch.zoo import INPUT, MODELS, architecture, block, named_network, pooled_block
from mnist_ops.errors import UsageError


@pytest.mark.parametrize(("name", "rows", "parameters", "macs"), [
    ("seed", 31, 7758, 1_521_304), ("early-pool", 18, 7568, 463_840), ("early-pool-wide", 18, 9688, 574_224),
    ("separable-strided", 17, 7344, 366_720)])
def test_named_networks_have_the_size_they_are_chosen_for(name, rows, parameters, macs):
    steps = walk(named_network(name), INPUT)
    found = len(steps), sum(step.parameters for step in steps), sum(step.macs for step in steps)
    assert found == (rows, parameters, macs)


@pytest.mark.parametrize("name", MODELS)
def test_the_last_layer_has_a_channel_per_class_and_nothing_else_changes(name):
    layers = architecture(name, classes=47)
    assert walk(layers, INPUT)[-1].output_shape == (47, 1, 1)
    assert layers[:-1] == MODELS[name][:-1]
    assert named_network(name) == MODELS[name]


def test_an_unknown_architecture_is_refused_with_the_nearest_name():
    with pytest.raises(UsageError, match=r"model 'seeed' is not known; did you mean seed\?"):
        named_network("seeed")
    with pytest.raises(UsageError, match=r"expected one of seed, early-pool, early-pool-wide"):
        named_network("resnet152")


def test_blocks_keep_their_order():
    assert block(10, dropout=0.05) == (Conv(10), Norm(), Dropout(0.05), ReLU())
    assert block(12) == (Conv(12), Norm(), ReLU())
    assert pooled_block(8) == (Conv(8), MaxPool(2), Norm(), ReLU())
