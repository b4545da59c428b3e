"""Filters and activation maps: the values shown, and that a unit sees exactly what is framed."""

from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.patches import Rectangle

from mnist_ops.arch.arithmetic import walk
from mnist_ops.arch.layers import AdaptiveAvgPool, Conv, MaxPool, Norm, ReLU, Residual
from mnist_ops.arch.zoo import INPUT, MODELS
from mnist_ops.data.tensors import normalise, to_unit
from mnist_ops.model import Network, build
from mnist_ops.report import style
from mnist_ops.report.inside_network import IMAGE, MOST, TILE, activations, draw_activations, draw_filters, filters
from tests.miniature import few_tensors, generator

RESIDUAL = (Conv(6, 3, padding=1), ReLU(), Residual((Conv(6, 3, padding=1), Norm(), ReLU())), MaxPool(2), Conv(40, 3),
            ReLU(), AdaptiveAvgPool(1), Conv(10, 1))
IMAGE_0 = few_tensors().test.images[0]
SCALING = ([0.13], [0.31])
SCALE = TILE // 28


def made(layers) -> Network:
    """With normalisation that is not the identity."""
    network = build(layers, INPUT, generator())
    network.train()
    network(torch.randn(8, *INPUT, generator=generator(1)))
    return network.eval()


@pytest.mark.parametrize("layers", [*MODELS.values(), RESIDUAL], ids=[*MODELS, "residual"])
def test_every_convolution_gives_its_weights_under_the_name_it_has_in_the_table(layers):
    network = made(layers)
    found = filters(network, layers, INPUT)
    expected = [value for name, value in network.state_dict().items() if name.endswith("weight") and value.dim() == 4]
    assert len(found) == len(expected)
    for one, weight in zip(found, expected, strict=True):
        assert one.name.startswith("Conv2d-")
        assert np.array_equal(one.weights, weight.numpy())
    numbers = [int(one.name.partition("-")[2]) for one in found]
    assert numbers == [number for number, step in enumerate(walk(layers, INPUT), 1) if isinstance(step.layer, Conv)]


def test_the_picture_of_the_filters_holds_every_weight_at_its_place():
    layers = MODELS["early-pool"]
    shown = filters(made(layers), layers, INPUT)
    with style.look():
        figure: Any = draw_filters(shown, "Filters")
    assert len(figure.images) == len(shown)
    for one, drawn in zip(shown, figure.images, strict=True):
        sheet = np.asarray(np.ma.filled(drawn.get_array().astype(float), np.nan))
        values = sheet[np.isfinite(sheet)]
        count, channels, size, _ = one.weights.shape
        assert values.size % one.weights.size == 0
        assert sorted(set(values.astype(np.float32))) == sorted(set(one.weights.ravel()))
        # the last channel of the last filter stands in the lower right corner
        gap = int(np.argmax(np.isfinite(sheet[sheet.shape[0] // channels // 2])))
        scale = round((sheet.shape[1] - gap) / count - gap) // size
        corner = sheet[-gap - size * scale:-gap:scale, -gap - size * scale:-gap:scale]
        assert np.array_equal(corner.astype(np.float32), one.weights[-1, -1])
        assert drawn.norm.vmax == -drawn.norm.vmin == pytest.approx(np.abs(one.weights).max())


def test_maps_are_what_the_network_computes_and_end_in_its_logits():
    layers = MODELS["seed"]
    network = made(layers)
    maps = activations(network, layers, IMAGE_0, SCALING)
    with torch.no_grad():
        scaled = normalise(to_unit(IMAGE_0[None]), *SCALING)
        logits, first = network(scaled)[0], network.body[:4](scaled)[0]
    assert np.array_equal(maps[-1].values.ravel(), logits.numpy())
    assert np.array_equal(maps[0].values, first.numpy())
    assert [one.values.shape for one in maps] == [(10, 26, 26), (10, 24, 24), (10, 22, 22), (10, 10, 10), (10, 8, 8),
                                                  (16, 6, 6), (16, 1, 1), (10, 1, 1)]
    for one in maps:
        assert one.values[one.unit] == one.values.max()


@pytest.mark.parametrize("layers", [*MODELS.values(), RESIDUAL], ids=[*MODELS, "residual"])
def test_the_strongest_unit_depends_on_nothing_outside_its_frame_and_on_its_corners(layers):
    network = made(layers)
    for number, one in enumerate(activations(network, layers, IMAGE_0, SCALING)):
        first, last, west, east = one.seen
        assert 0 <= first <= last < 28
        outside = torch.full_like(IMAGE_0, 128)
        outside[:, first:last + 1, west:east + 1] = IMAGE_0[:, first:last + 1, west:east + 1]
        changed = activations(network, layers, outside, SCALING)[number]
        assert changed.values[one.unit] == pytest.approx(one.values[one.unit], rel=1e-5)


def test_looking_at_maps_leaves_the_network_as_it_was():
    layers = MODELS["early-pool"]
    network = made(layers)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    state = torch.get_rng_state()
    activations(network, layers, IMAGE_0, SCALING)
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("layers", [MODELS["early-pool-wide"], RESIDUAL], ids=["early-pool-wide", "residual"])
def test_each_row_frames_on_the_image_what_its_unit_sees(layers):
    shown = activations(made(layers), layers, IMAGE_0, SCALING)
    with style.look():
        figure: Any = draw_activations(IMAGE_0[0].numpy(), shown, "0123456789", "Maps")
    originals = [one for one in figure.images if one.ox == round(IMAGE * style.DPI)]
    frames = [one for one in figure.artists if isinstance(one, Rectangle)]
    assert len(originals) == len(shown)
    height = figure.get_figheight() * style.DPI
    for one, original, frame in zip(shown, originals, frames[::2], strict=True):
        assert np.array_equal(np.asarray(original.get_array())[::SCALE, ::SCALE], IMAGE_0[0].numpy())
        first, last, west, east = one.seen
        assert frame.get_x() * style.PIXELS == pytest.approx(original.ox + west * SCALE, abs=1)
        assert frame.get_width() * style.PIXELS == pytest.approx((east - west + 1) * SCALE)
        assert frame.get_height() * height == pytest.approx((last - first + 1) * SCALE)
        assert (frame.get_y() + frame.get_height()) * height == pytest.approx(original.oy + (28 - first) * SCALE, abs=1)


def test_all_maps_are_shown_up_to_a_limit_that_is_stated():
    shown = activations(made(RESIDUAL), RESIDUAL, IMAGE_0, SCALING)
    with style.look():
        figure: Any = draw_activations(IMAGE_0[0].numpy(), shown, "0123456789", "Maps")
    assert len(figure.images) == sum(1 + min(len(one.values), MOST) for one in shown)
    stated = [text.get_text() for text in figure.texts if f"{MOST} of" in text.get_text()]
    assert [text.split("\n")[1] for text in stated] == [f"{MOST} of 40 maps, 1×1"]
    (strong,) = (text for text in figure.texts if text.get_weight() == "bold" and text.get_fontsize() == 7.5)
    assert strong.get_text() == str(shown[-1].unit[0])
