"""The int8 network and the C code: whole numbers alone, the same in both, and near PyTorch."""

import subprocess
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mnist_ops.arch.layers import AdaptiveAvgPool, AvgPool, Conv, MaxPool, Norm, ReLU, Residual
from mnist_ops.arch.zoo import INPUT, MODELS
from mnist_ops.engine.compiler import c_compiler
from mnist_ops.errors import RunError, UsageError
from mnist_ops.export import forward
from mnist_ops.export.c import code, compiler, int8, scales
from mnist_ops.export.c.int8 import IntegerDot, IntegerNetwork
from mnist_ops.export.c.memory import lay_out
from mnist_ops.export.c.quantize import quantize
from mnist_ops.export.c.rounding import clipped_units, round_weights
from mnist_ops.export.c.steps import Dot, stages
from mnist_ops.export.fold_norms import fold_trained
from tests.every_kind import EVERYTHING
from tests.small_networks import architectures, images, logits, trained

SANITIZED = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
STEM, NAME = "network", "tiny"
NAMES = {"stem": STEM, "name": NAME}
# Weights of one sign on wide maps: sums that do not fit in 32 bits.
WIDE = (Conv(40, kernel=1), AvgPool(2), Conv(2, kernel=3), AvgPool(12))
CLASSES_IN_BYTES = (Conv(3, bias=True), Norm(), ReLU(), MaxPool(26))  # no convolution at the end


@pytest.fixture(scope="module", autouse=True)
def _compiler() -> None:
    if c_compiler() is None:
        pytest.skip("needs a C compiler: none of $CC, cc, gcc, clang is here")


def integer(one, sample=None, bits=8):
    return quantize(stages(fold_trained(one)), images(40, seed=1) if sample is None else sample, bits=bits)


def naming(classes, shape=INPUT):
    return code.Naming(NAME, STEM, title="A test", about=("Made by a test.",), version="0",
                       classes=tuple(map(str, range(classes))), input_shape=shape)


def agree(network, flags=("-O0",), pictures=None, *, fast=True):
    pictures = images(20) if pictures is None else pictures
    wanted = int8.logits(network, pictures)
    source = code.render(network, replace(naming(wanted.shape[1]), fast=fast))
    found = compiler.run_compiled(source, pictures, **NAMES, flags=flags)
    np.testing.assert_array_equal(found.logits, wanted)
    np.testing.assert_array_equal(found.predicted, wanted.argmax(1))
    np.testing.assert_array_equal(found.probabilities, int8.probabilities(network, wanted))


def wide_network():
    one = trained(WIDE)
    for name, value in one.network.state_dict().items():
        value.fill_(1.0 if name == "body.0.weight" else 0.01)
    return integer(one)


def test_classes_that_are_whole_bytes_are_those_of_the_reference():
    agree(integer(trained(CLASSES_IN_BYTES)), SANITIZED)


def test_sums_of_more_than_32_bits_are_computed_in_64():
    network = wide_network()
    assert max(stage.largest for stage in network.stages if isinstance(stage, IntegerDot)) >= 2**31
    assert "int64_t sum_uint16_t_int64_t" in code.render(network, naming(2)).code
    agree(network, SANITIZED)


@settings(max_examples=5, suppress_health_check=[HealthCheck.too_slow])
@given(layers=architectures(), bits=st.sampled_from([8, 4, 2]))
def test_the_c_code_of_any_network_computes_the_integers_of_the_reference(layers, bits):
    agree(integer(trained(layers), bits=bits))


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("bits", [8, 4, 2])
def test_every_kind_of_layer_computes_the_integers_of_the_reference(bits, fast):
    agree(integer(trained(EVERYTHING), bits=bits), SANITIZED, fast=fast)


def test_weights_rounded_together_change_the_sums_less_than_each_by_itself():
    one = stages(fold_trained(trained(MODELS["early-pool-wide"])))[1]
    assert isinstance(one, Dot)
    maps = np.random.default_rng(0).integers(0, 256, (20, one.convolution.weights.shape[1], 11, 11)).astype(float)
    maps = (maps + maps[:, :1]) / 2  # what goes together can make up for each other
    units = clipped_units(one.convolution.weights, 4)
    wide = units[:, None, None, None]
    apart = np.clip(np.rint(one.convolution.weights / wide), -7, 7)
    together = round_weights(one.convolution, units, 4, maps, border=0)
    assert np.abs(together).max() <= 7
    wanted, *found = (forward.convolve(replace(one.convolution, weights=weights), maps)
                      for weights in (one.convolution.weights, apart * wide, together * wide))
    errors = [np.var(sums - wanted, axis=(0, 2, 3)).mean() for sums in found]
    assert errors[1] < 0.7 * errors[0]


@settings(max_examples=20)
@given(layers=architectures())
def test_no_number_leaves_its_type(layers):
    def check(found, maps):
        for stage in found:
            if isinstance(stage, int8.IntegerAdd):
                check(stage.body, maps)
                half, zeros = 2**(stage.shift - 1), np.dot(stage.zeros, stage.multipliers)
                added = maps * stage.multipliers[0] + int8.run(stage.body, maps) * stage.multipliers[1]
                assert max(np.abs(added).max(), np.abs(added + half - zeros).max(), abs(half - zeros)) < 2**31
            if isinstance(stage, IntegerDot):
                weights, bias = stage.convolution.weights, stage.bias
                sums = forward.convolve(stage.convolution, maps, stage.border)
                assert np.abs(sums).max() <= stage.largest
                assert np.abs(weights).max() <= 127
                assert max(np.abs(bias).max(), np.abs(stage.multiplier).max()) < 2**15
                coarse, offset, factor = (one[:, None, None] for one in (stage.coarse, bias, stage.multiplier))
                products = ((sums.astype(np.int64) >> coarse) + offset) * factor
                zero = stage.grid.zero if stage.grid else 0
                limit = 2**63 if stage.grid is None else 2**31
                assert int(np.abs(products).max()) + 2**(stage.shift - 1) + (zero << stage.shift) < limit
            maps = int8.apply(stage, maps)
            limit = 2**31 - 1 if isinstance(stage, IntegerDot) and stage.grid is None else stage.grid.high
            assert np.abs(maps).max() <= limit
            assert (maps == np.rint(maps)).all()

    check(integer(trained(layers)).stages, images(6)[:, None].astype(np.float64))


@pytest.mark.parametrize(("product", "wanted"), [(6, 2), (5, 1), (-6, -1), (-5, -1), (0, 0), (-2, 0), (2, 1), (1, 0)])
def test_halves_are_rounded_up(product, wanted):
    assert int8.scaled(np.array([product]), 2).tolist() == [wanted]  # a quarter of the product


@settings(max_examples=40)
@given(values=st.lists(st.integers(-200_000, 200_000), min_size=2, max_size=20), bits=st.integers(4, 14))
def test_probabilities_by_the_table_lie_within_the_bound_of_softmax(values, bits):
    network = IntegerNetwork((), 2.0**-bits, 0)
    logits = np.array([values])
    found = int8.probabilities(network, logits)
    distance = np.abs(found / 32768 - forward.softmax(logits * network.unit))
    assert distance.max() <= int8.probability_error(len(values))
    order = np.argsort(logits[0])
    assert (np.diff(found[0][order]) >= 0).all()


def test_a_channel_without_weights_keeps_its_bias():
    one = trained((Conv(2, bias=True), ReLU(), Conv(2, kernel=26)))
    one.network.state_dict()["body.0.weight"][0] = 0
    dot = integer(one).stages[0]
    assert isinstance(dot, IntegerDot)
    assert dot.grid is not None
    bias = max(0.0, float(one.network.state_dict()["body.0.bias"][0]))
    made = int8.apply(dot, images(2)[:, None].astype(float))[:, 0] * dot.grid.unit
    assert made == pytest.approx(bias, abs=dot.grid.unit)


@pytest.mark.parametrize("layers", [MODELS["early-pool-wide"], EVERYTHING], ids=["early-pool-wide", "every kind"])
@pytest.mark.parametrize("bits", [8, 4, 2])
def test_kept_scales_give_the_same_network_without_the_sample(layers, bits):
    found = integer(one := trained(layers), bits=bits)
    kept = scales.from_text(scales.to_text({bits: found.scales}), bits)
    again = quantize(stages(fold_trained(one)), np.zeros((1, 28, 28), np.uint8), kept, bits=bits)
    assert code.render(again, naming(10)) == code.render(found, naming(10))


def test_the_scales_are_a_function_of_the_sample_alone():
    one = trained(MODELS["early-pool"])
    first, second = (code.render(integer(one), naming(10)) for _ in range(2))
    assert first == second


@settings(max_examples=30)
@given(layers=architectures())
def test_maps_that_are_needed_together_share_no_byte(layers):
    planned = lay_out(stages(fold_trained(trained(layers))), INPUT)
    last_read = {number: index for index, step in enumerate(planned.steps) for number in step.reads}
    alive: set[int] = set()
    for index, step in enumerate(planned.steps):
        alive |= {step.writes}
        spans = sorted((one.offset, one.offset + one.bytes) for one in (planned.maps[number] for number in alive)
                       if one.offset >= 0)
        assert all(end <= begin for (_, end), (begin, _) in pairwise(spans))
        assert all(end <= planned.bytes for _, end in spans)
        alive -= {number for number in alive if last_read.get(number, -1) <= index}


def test_grey_values_are_read_as_they_are_by_a_convolution_that_pads():
    """Without a step that scales them first: the border is the grey value that stands for 0."""
    one = trained((Conv(4, padding=1, bias=True), ReLU(), AdaptiveAvgPool(1), Conv(3, kernel=1)), mean=0.2)
    network, shown = integer(one), images(40)
    first = network.stages[0]
    assert isinstance(first, IntegerDot)
    assert (first.convolution.weights.shape, first.border) == ((4, 1, 3, 3), 51)  # 0.2 x 255
    wanted, found = logits(one, shown), int8.logits(network, shown) * network.unit
    assert np.abs(found - wanted).max() < 0.05 * np.ptp(wanted)


def test_kernels_of_single_channels_leave_maps_in_which_0_is_another_integer():
    """After a convolution without ReLU a map's integer for 0 lies in its middle, and so does the border's."""
    inner = (Conv(6, padding=1, groups=0), Conv(6, kernel=1), Norm())
    network = integer(trained((
        Conv(6, padding=1), Norm(), Residual(inner), Conv(6, kernel=5, padding=2, groups=0), MaxPool(2),
        Conv(6, padding=3, dilation=2, groups=0, stride=2), AdaptiveAvgPool(1), Conv(3, kernel=1))))
    sum_of_two, *rest = network.stages[1:]
    assert isinstance(sum_of_two, int8.IntegerAdd)
    borders = [stage.border for stage in (*sum_of_two.body, *rest) if isinstance(stage, IntegerDot)]
    assert min(borders[0], *borders[2:4]) > 20
    for fast in (True, False):
        agree(network, SANITIZED, fast=fast)


def test_the_default_network_fits_in_16_kilobytes_of_flash_and_of_ram():
    source = code.render(integer(trained(MODELS["early-pool-wide"])), naming(10))
    maps = 8 * 13 * 13 + 16 * 11 * 11  # its largest two neighbours, the first one pooled
    assert source.buffer_bytes == maps + 8 * 9 * 16 + 2 * 4 * 4 * 24  # elements at four places; two times their sums
    assert source.table_bytes < 11 * 1024
    measured = compiler.sizes(source, "network")
    if measured is None:
        pytest.skip("needs the program `size`: the object file was not measured")
    assert measured.flash < 16 * 1024
    assert measured.ram + measured.stack < 16 * 1024


def test_a_pool_goes_into_its_convolution():
    first, *rest = stages(fold_trained(trained(MODELS["early-pool-wide"])))
    assert isinstance(first, Dot)
    assert first.pool == MaxPool(2)
    assert not any(isinstance(stage, MaxPool | ReLU) for stage in rest)


@pytest.mark.parametrize("name", ["", "1st", "two words", "a-b", "x" * 50, "größe", "a;b"])
def test_a_name_that_is_not_an_identifier_is_refused(name):
    with pytest.raises(UsageError, match="--name"):
        code.check_name(name)


def test_names_from_outside_stay_text(tmp_path):
    odd = ('"; int x; //', "*/ #error", "??/", "é\n", "\\")
    one = trained((Conv(5, kernel=28),))
    source = code.render(integer(one), replace(naming(5), title="*/ bad /* \n", about=("??/", "\\"), classes=odd))
    (tmp_path / "network.c").write_text(source.code)
    (tmp_path / "network.h").write_text(source.header)
    (tmp_path / "main.c").write_text('#include <stdio.h>\n#include "network.h"\nint main(void)\n{\n    int i;\n'
                                     "    for (i = 0; i < TINY_CLASSES; i++)\n        puts(tiny_classes[i]);\n"
                                     "    return 0;\n}\n")
    program = c_compiler()
    assert program is not None
    subprocess.run([*program, *compiler.STRICT, "-o", "out", "main.c", "network.c"], check=True, cwd=tmp_path)
    said = subprocess.run([tmp_path / "out"], check=True, capture_output=True).stdout
    assert said.decode() == "".join(f"{name}\n" for name in odd)


def test_the_code_needs_stdint_alone_and_allocates_nothing():
    source = code.render(integer(trained(EVERYTHING)), naming(4))
    included = [line for line in (source.header + source.code).splitlines() if line.startswith("#include")]
    only_arm = "#include <arm_acle.h>"  # where its instruction for two products is used
    assert included == ["#include <stdint.h>", '#include "network.h"', only_arm]
    assert not {"malloc", "float", "double"} & set(source.code.replace("(", " ").split())
    assert all(line.startswith(("static const", "const")) for line in source.code.splitlines() if line.endswith("= {"))


def test_a_compiler_that_refuses_is_quoted():
    source = code.render(integer(trained((Conv(2, kernel=28),))), naming(2))
    with pytest.raises(RunError, match=r"(?s) failed \(exit code 1\); nothing was written.*unused"):
        compiler.run_compiled(replace(source, code=source.code + "static int unused;\n"), images(1), **NAMES)


def test_the_compiler_is_the_one_that_cc_names(monkeypatch):
    found = c_compiler()
    assert found is not None
    monkeypatch.setenv("CC", f"{found[0]} -DWORD='a b'")
    assert c_compiler() == [found[0], "-DWORD=a b"]
    monkeypatch.setenv("CC", "no-such-compiler")
    assert c_compiler() == found


def test_sizes_that_cannot_be_read_are_not_stated(monkeypatch):
    source = code.render(integer(trained((Conv(2, kernel=28),))), naming(2))
    monkeypatch.setattr(compiler, "CORTEX_M0", ("-fno-such-option",))
    monkeypatch.setattr(compiler, "run_tool", lambda *given: b"a line\nanother\n")
    assert compiler.sizes(source, "network") is None
