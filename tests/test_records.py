"""Records: what their fields may hold, where they do not fit, and plain data from anywhere."""

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnist_ops.arch.arithmetic import Shape, output_shape, walk
from mnist_ops.arch.layers import (
    TYPES,
    AdaptiveAvgPool,
    AvgPool,
    Conv,
    Dropout,
    Layer,
    MaxPool,
    Norm,
    ReLU,
    Residual,
    from_records,
    to_records,
)
from mnist_ops.arch.zoo import INPUT
from mnist_ops.errors import ConfigError

# Every kind of record, every field away from its default.
EVERY = (
    Conv(8, 5, 2, 3, 4, 2, True), Norm(), Dropout(0.25), ReLU(), MaxPool(3, 1, 1, 2), AvgPool(4, 3, 2),
    Residual((Conv(8, padding=1), Residual((ReLU(),)))), AdaptiveAvgPool(3),
)


@pytest.mark.parametrize(("make", "text"), [
    (lambda: Conv(0), r"Conv.channels is 0, expected an integer from 1 to 4096"),
    (lambda: Conv(8, kernel=2.0), r"Conv.kernel is 2.0, expected an integer"),  # type: ignore[arg-type]
    (lambda: Conv(8, stride=True), r"Conv.stride is True, expected an integer"),
    (lambda: Conv(8, padding=-1), r"Conv.padding is -1, expected .* from 0 to 64"),
    (lambda: Conv(8, bias=1), r"Conv.bias is 1, expected true or false"),  # type: ignore[arg-type]
    (lambda: Dropout(1), r"Dropout.share is 1, expected a number in \[0, 1\)"),
    (lambda: Dropout(math.nan), r"Dropout.share is nan"),
    (lambda: MaxPool(3, padding=2), r"MaxPool.padding is 2, expected at most half the kernel, 1"),
    (lambda: AvgPool(2, stride=None), r"AvgPool.stride is None, expected an integer"),  # type: ignore[arg-type]
    (lambda: AdaptiveAvgPool(65), r"AdaptiveAvgPool.size is 65, expected .* from 1 to 64"),
    (lambda: Residual(()), r"Residual.body is a tuple of 0"),
])
def test_a_field_out_of_range_is_refused_with_its_name_value_and_range(make, text):
    with pytest.raises(ValueError, match=text):
        make()


@pytest.mark.parametrize(("layer", "shape", "text"), [
    (MaxPool(2, padding=1, dilation=2), (1, 1, 1), r"MaxPool.*1x1x1.*one of its windows sees only padding"),
    (Conv(10, kernel=5), (1, 4, 9), r"Conv\(channels=10, kernel=5.*1x4x9.*kernel is larger than the padded input"),
    (MaxPool(2), (3, 1, 1), r"MaxPool\(kernel=2.*3x1x1.*larger"),
    (Conv(9, groups=2), (4, 8, 8), "2 groups do not divide 4 input and 9 output channels"),
    (Conv(9, groups=0), (6, 8, 8), "6 groups do not divide 6 input and 9 output channels"),
    (Residual((Conv(4),)), (4, 8, 8), r"on an input of 4x8x8: the body's output is 4x6x6"),
    (Conv(4096), (1, 128, 128), "more than 16,777,216 elements"),
])
def test_a_layer_that_does_not_fit_is_refused_by_name_and_shape(layer: Layer, shape: Shape, text: str):
    with pytest.raises(ConfigError, match=text):
        output_shape(layer, shape)


def test_walk_names_the_layer_that_does_not_fit():
    with pytest.raises(ConfigError, match=r"layer 3: MaxPool.*on an input of 2x24x24"):
        walk((Conv(2), Conv(2), MaxPool(32)), INPUT)


def test_a_network_too_large_for_memory_is_refused():
    with pytest.raises(ConfigError, match=r"2 layers and .* expected at most 1,000 and 67,108,864"):
        walk((Conv(4096, kernel=1), Conv(4096, kernel=5)), INPUT)


def test_records_survive_json():
    assert from_records(json.loads(json.dumps(to_records(EVERY)))) == EVERY


def test_every_kind_of_record_is_among_those_tried():
    assert {type(layer) for layer in EVERY} == set(TYPES.values())


def test_a_pool_steps_by_its_kernel_unless_told():
    assert MaxPool(2) == MaxPool(2, stride=2)
    assert AvgPool(4).stride == 4


def test_a_record_may_leave_out_what_has_a_default():
    assert from_records([{"type": "Conv", "channels": 8}, {"type": "MaxPool", "kernel": 3}]) == (Conv(8), MaxPool(3, 3))


def nested(depth: int) -> list[dict[str, Any]]:
    data: list[dict[str, Any]] = [{"type": "ReLU"}]
    for _ in range(depth):
        data = [{"type": "Residual", "body": data}]
    return data


@pytest.mark.parametrize(("data", "text"), [
    (None, "the architecture is None, expected a list"),
    ([], "the architecture is a list of 0, expected a list of at least one layer"),
    ({"type": "Conv"}, "the architecture is a dict of 1"),
    (["Conv"], "layer 1 is 'Conv', expected an object"),
    ([{"type": "ReLU"}, {"channels": 3}], "layer 2: type is None, expected one of Conv, "),
    ([{"type": "os.system"}], "layer 1: type is 'os.system'"),
    ([{"type": ["Conv"]}], "layer 1: type is a list of 1"),
    ([{"type": "Conv"}], "layer 1: Conv lacks the field channels"),
    ([{"type": "Conv", "channels": "8"}], "layer 1: Conv.channels is '8'"),
    ([{"type": "Conv", "channels": 4097}], "layer 1: Conv.channels is 4097"),
    ([{"type": "Conv", "channels": 10**6000}], "layer 1: Conv.channels is 0x"),
    ([{"type": "Conv", "channels": 8, "__class__": 1}], "layer 1: Conv has no field '__class__', only channels"),
    ([{"type": "ReLU", "share": 1}], "layer 1: ReLU has no field 'share', only none"),
    ([{"type": "Residual", "body": [{"type": "ReLU"}, {"type": "Norm", "x" * 999: 0}]}], r"layer 1.2: .*'xxx.*\.\.\."),
    ([{"type": "Residual", "body": {}}], "the body of layer 1 is a dict of 0"),
    (nested(9), r"layer 1(.1){8}: residuals more than 8 deep"),
    (nested(400), "residuals more than 8 deep"),
    ([{"type": "ReLU"}] * 1001, "1,001 layers, expected at most 1,000"),
    ([{"type": "Residual", "body": [{"type": "ReLU"}] * 600}] * 2, "the body of layer 2 brings the network to 1,202"),
])
def test_hostile_records_are_refused_by_position_and_field(data, text):
    with pytest.raises(ConfigError, match=text):
        from_records(data)


def test_residuals_may_nest_as_deep_as_said():
    assert to_records(from_records(nested(8))) == nested(8)


# Whatever JSON can hold, shaped so that much of it nearly is an architecture.
NAMES = ("channels", "kernel", "stride", "padding", "groups", "share", "size", "body")
scalars = st.one_of(st.none(), st.booleans(), st.integers(-1, 5), st.floats(), st.text(max_size=3))
items = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.fixed_dictionaries({"type": st.sampled_from(list(TYPES))}, optional=dict.fromkeys(NAMES, inner))),
    max_leaves=12)


@settings(max_examples=100)
@given(st.lists(items, max_size=3))
def test_no_data_causes_any_other_error(data):
    try:
        layers = from_records(data)
    except ConfigError:
        return
    assert from_records(to_records(layers)) == layers
