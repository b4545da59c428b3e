"""The named architectures and their blocks."""

import pytest

from mnist_ops.arch.layers import Conv, Dropout, MaxPool, Norm, ReLU
from mnist_ops.arch.zoo import block, named_network, pooled_block
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
