"""The two tables: the reference's numbers, sums added up again, and how the text reads."""


import pytest

from mnist_ops.arch.layers import AdaptiveAvgPool, Conv, Norm, ReLU, Residual
from mnist_ops.arch.table import as_json, field_rows, field_text, human_size, layer_rows, layer_text, totals
from mnist_ops.arch.zoo import INPUT, MODELS, pooled_block

SEED = MODELS["seed"]
BODY = (Conv(8, padding=1), Norm(), Residual((ReLU(),)))
RESIDUAL = (*pooled_block(8), Residual(BODY), AdaptiveAvgPool(4), Conv(10, 4))

# The reference's table: per block the convolution's parameters, those of its normalisation, channels, side.
REFERENCE_BLOCKS = [
    (90, 20, 10, 26), (900, 20, 10, 24), (900, 20, 10, 22), (900, 20, 10, 20),
    (900, 20, 10, 8), (1440, 32, 16, 6), (2304, 32, 16, 4),
]


def reference_rows() -> list[tuple[str, tuple[int, int, int], int]]:
    rows: list[tuple[str, tuple[int, int, int], int]] = []
    for number, (convolution, normalisation, channels, side) in enumerate(REFERENCE_BLOCKS):
        shape = channels, side, side
        rows += [("Conv2d", shape, convolution), ("BatchNorm2d", shape, normalisation), ("Dropout", shape, 0),
                 ("ReLU", shape, 0)]
        if number == 3:
            rows.append(("MaxPool2d", (10, 10, 10), 0))
    rows += [("AvgPool2d", (16, 1, 1), 0), ("Conv2d", (10, 1, 1), 160)]
    return [(f"{name}-{index}", shape, count) for index, (name, shape, count) in enumerate(rows, start=1)]


def test_seed_has_the_rows_of_the_reference():
    found = [(row.name, row.output_shape, row.parameters) for row in layer_rows(SEED, INPUT)]
    assert found == reference_rows()
    assert (len(found), found[-2][0], found[-1][0]) == (31, "AvgPool2d-30", "Conv2d-31")


def test_seed_has_the_totals_of_the_reference():
    total = totals(SEED, INPUT)
    assert (total.parameters, total.trainable_parameters, total.other_parameters) == (7758, 7758, 0)
    sizes = (total.input_bytes, total.forward_backward_bytes, total.parameter_bytes, total.total_bytes)
    assert [f"{size / 2**20:.2f}" for size in sizes] == ["0.00", "0.70", "0.03", "0.74"]  # MB, as printed there
    assert total.input_bytes == 28 * 28 * 4
    assert total.parameter_bytes == 7758 * 4


def test_seed_sees_the_whole_image_from_its_average_pool_on():
    rows = field_rows(SEED, INPUT)
    assert [row.receptive_field for row in rows] == [3, 5, 7, 9, 10, 14, 18, 22, 28, 28]
    pool = rows[4]
    assert (pool.name, pool.kernel, pool.padding, pool.stride, pool.dilation) == ("MaxPool2d-17", 2, 0, 2, 1)
    assert (pool.input_size, pool.output_size) == ((20, 20), (10, 10))


def test_a_body_stands_indented_above_its_sum_which_has_no_window():
    rows = field_rows(RESIDUAL, INPUT)
    assert [(row.name, row.depth) for row in rows] == [
        ("Conv2d-1", 0), ("MaxPool2d-2", 0), ("Conv2d-5", 1), ("Sum-8", 1), ("Sum-9", 0),
        ("AdaptiveAvgPool2d-10", 0), ("Conv2d-11", 0)]
    assert rows[4].kernel is rows[4].padding is rows[4].stride is rows[4].dilation is None
    assert "\n  Conv2d-5 " in layer_text(RESIDUAL, INPUT)
    assert "\n    ReLU-7 " in layer_text(RESIDUAL, INPUT)


def test_an_adaptive_pool_shows_its_largest_window():
    pool = field_rows(RESIDUAL, INPUT)[5]  # 13 -> 4: windows 0..3, 3..6, 6..9, 9..12
    assert (pool.kernel, pool.stride, pool.padding, pool.dilation) == (4, 4, 0, 1)


def test_json_holds_the_window_and_the_field_of_a_row():
    assert as_json(RESIDUAL, INPUT)["receptive_field"][1] == {
        "name": "MaxPool2d-2", "depth": 0, "kernel": 2, "padding": 0, "stride": 2, "dilation": 1,
        "input_size": [26, 26], "output_size": [13, 13], "receptive_field": 4}


def test_layer_text_of_a_small_network():
    assert layer_text((Conv(2), Norm(), AdaptiveAvgPool(1), Conv(10, kernel=1)), INPUT) == """\
Layer                Output shape  Parameters  Multiply-adds
------------------------------------------------------------
Conv2d-1                  2x26x26          18         12,168
BatchNorm2d-2             2x26x26           4              0
AdaptiveAvgPool2d-3         2x1x1           0              0
Conv2d-4                   10x1x1          20             20
------------------------------------------------------------
Total                                      42         12,188
------------------------------------------------------------
Trainable parameters                                      42
Other parameters                                           0
With norms folded, as exported                            40
Input size                                           3.06 KB
Forward and backward pass size                       21.2 KB
Parameter size                                         168 B
Total size of one image's pass                       24.4 KB"""


def test_field_text_of_a_small_network():
    assert field_text((Conv(2, stride=2, padding=1, dilation=2), Norm(), Residual((ReLU(),))), INPUT) == """\
Receptive field: the pixels of the network's input that one unit sees
Layer     Kernel  Padding  Stride  Dilation  Input  Output  Field
-----------------------------------------------------------------
Conv2d-1     3x3        1       2         2  28x28   13x13    5x5
Sum-4                                        13x13   13x13    5x5"""


@pytest.mark.parametrize(("count", "text"), [
    (0, "0 B"), (1, "1 B"), (999, "999 B"), (1000, "0.98 KB"), (3136, "3.06 KB"), (31_032, "30.3 KB"),
    (10_235, "10.0 KB"), (738_832, "722 KB"), (1_023_999, "0.98 MB"), (2**20, "1.00 MB"), (5 * 2**40, "5,120 GB"),
])
def test_sizes_have_a_unit_in_which_they_are_not_nothing(count, text):
    assert human_size(count) == text


