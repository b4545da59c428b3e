"""Random warps: against PyTorch's own turns, kornia and a plain resampler; bounds, fill and randomness by property."""

import colorsys
import math
import random
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from mnist_ops.config import Augment
from mnist_ops.data import warp
from mnist_ops.data.tensors import to_unit
from mnist_ops.data.warp import Draws, augment, between_quadrilaterals, draw, resample, turn_hue
from mnist_ops.mapping import from_mapping
from tests.miniature import few_tensors, generator

SIDE = 28
CORNERS = torch.tensor([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])
EVERYTHING = Augment(brightness=0.3, contrast=0.3, saturation=0.3, hue=0.1, flip=0.5, perspective=0.3,
                     degrees=20, shift=3, zoom=0.2, shear=0.2)


def grey(count: int) -> Tensor:
    return to_unit(few_tensors().train.images[:count])


def maps(cfg: Augment, count: int, seed: int = 0) -> Tensor:
    (found,) = draw([count], cfg, SIDE, generator(seed))
    assert found.maps is not None
    return found.maps


def forward(drawn: Tensor) -> Tensor:
    """Maps from input to output, in float64, scaled so that the lower right entry is 1."""
    inverse: Tensor = torch.linalg.inv(drawn.double())
    return inverse / inverse[:, 2:, 2:]


def moved(drawn: Tensor, points: Tensor) -> Tensor:
    """Where the maps (N, 3, 3) take points (M, 2): (N, M, 2)."""
    lifted = torch.cat([points, torch.ones(len(points), 1)], 1).double()
    result = torch.einsum("nij,mj->nmi", drawn.double(), lifted)
    return result[..., :2] / result[..., 2:]


def in_pixels(drawn: Tensor) -> NDArray[np.float64]:
    """The same maps, on coordinates that count pixels from the centre of the upper left one."""
    # -1 is the outer edge of pixel 0, at -0.5; 1 that of pixel 27, at 27.5.
    unit = np.array([[SIDE / 2, 0, SIDE / 2 - 0.5], [0, SIDE / 2, SIDE / 2 - 0.5], [0, 0, 1]])
    found: NDArray[np.float64] = unit @ drawn.double().numpy() @ np.linalg.inv(unit)
    return found


# ---------------------------------------------------------------- geometry, against independent implementations


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_quarter_turns_equal_those_of_torch(turns, monkeypatch):
    angles = torch.tensor([[1.0, 0, 0, 0, 0]]).expand(8, 5)
    monkeypatch.setattr(warp, "_signed", lambda uniform: angles)
    turned = augment(grey(8), Augment(degrees=90.0 * turns), [0.1], generator()) if turns < 3 else (
        augment(augment(grey(8), Augment(degrees=180), [0.1], generator()), Augment(degrees=90), [0.1], generator()))
    expected = torch.rot90(grey(8), turns, (2, 3))
    torch.testing.assert_close(turned, expected, rtol=0, atol=5e-6)  # 14 pixels off the centre, float32
    assert torch.equal((turned * 255).round(), (expected * 255).round())


def test_a_shift_by_whole_pixels_moves_pixels(monkeypatch):
    numbers = torch.tensor([[0.0, 0, 0, 1.0, -0.5]]).expand(4, 5)  # 4 pixels to the right, 2 up
    monkeypatch.setattr(warp, "_signed", lambda uniform: numbers)
    shifted = augment(grey(4), Augment(shift=4), [0.0], generator())
    expected = torch.zeros(4, 1, SIDE, SIDE)
    expected[:, :, :-2, 4:] = grey(4)[:, :, 2:, :-4]
    torch.testing.assert_close(shifted, expected, rtol=0, atol=1e-6)


def plain_resample(image: NDArray[np.float64], pixel_map: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bilinear, pixel by pixel; outside is 0."""
    result = np.zeros_like(image)
    for row, column in product(range(SIDE), range(SIDE)):
        x, y, w = pixel_map @ (column, row, 1)
        x, y = x / w, y / w
        left, top = math.floor(x), math.floor(y)
        for i, j in product((top, top + 1), (left, left + 1)):
            if 0 <= i < SIDE and 0 <= j < SIDE:
                result[row, column] += (1 - abs(y - i)) * (1 - abs(x - j)) * image[i, j]
    return result


def test_resampling_equals_a_plain_bilinear_loop():
    images, drawn = grey(6), maps(EVERYTHING, 6)
    expected = [plain_resample(image[0].double().numpy(), one)
                for image, one in zip(images, in_pixels(drawn), strict=True)]
    np.testing.assert_allclose(resample(images, drawn)[:, 0], expected, atol=1e-4)


def test_warping_equals_kornia(monkeypatch):
    kornia = pytest.importorskip("kornia.geometry.transform")
    count = 16
    numbers = torch.rand(count, 5, generator=generator(3)) * 2 - 1
    monkeypatch.setattr(warp, "_signed", lambda uniform: numbers)
    cfg = Augment(degrees=30, zoom=0.25, shear=0.3, shift=3)
    centre = torch.full((count, 2), (SIDE - 1) / 2)
    angle, scale = numbers[:, 0] * 30, (1 + numbers[:, 1] * 0.25)[:, None].repeat(1, 2)
    turn = torch.eye(3).repeat(count, 1, 1)
    turn[:, :2] = kornia.get_rotation_matrix2d(centre, angle, scale)
    slant = torch.eye(3).repeat(count, 1, 1)  # about the centre: x moves by -shear x (y - centre)
    slant[:, 0, 1], slant[:, 0, 2] = -numbers[:, 2] * 0.3, numbers[:, 2] * 0.3 * centre[:, 1]
    push = torch.eye(3).repeat(count, 1, 1)
    push[:, :2, 2] = numbers[:, 3:] * 3
    expected = kornia.warp_perspective(grey(count), push @ slant @ turn, (SIDE, SIDE), align_corners=True)
    torch.testing.assert_close(augment(grey(count), cfg, [0.0], generator()), expected, rtol=0, atol=1e-4)


def test_perspective_equals_kornia():
    kornia = pytest.importorskip("kornia.geometry.transform")
    drawn = maps(Augment(perspective=0.5, perspective_share=1.0), 16)
    pulled = moved(forward(drawn), CORNERS)
    edges = torch.tensor([-0.5, SIDE - 0.5], dtype=torch.float64)
    frame = (CORNERS.double() + 1) / 2 * (edges[1] - edges[0]) + edges[0]
    onto = (pulled + 1) / 2 * (edges[1] - edges[0]) + edges[0]
    forwards = kornia.get_perspective_transform(frame.expand(16, 4, 2), onto)
    expected = kornia.warp_perspective(grey(16).double(), forwards, (SIDE, SIDE), align_corners=True)
    torch.testing.assert_close(resample(grey(16), drawn).double(), expected, rtol=0, atol=1e-4)


def test_four_corners_land_on_four_corners():
    source, target = (CORNERS + 0.6 * torch.rand(200, 4, 2, generator=generator(seed)) for seed in (1, 2))
    solved = between_quadrilaterals(source, target).double()
    lifted = torch.cat([source.double(), torch.ones(200, 4, 1)], 2)
    landed = torch.einsum("nij,nmj->nmi", solved, lifted)
    torch.testing.assert_close(landed[..., :2] / landed[..., 2:], target.double(), rtol=0, atol=1e-4)
    torch.testing.assert_close(solved[:, 2, 2], torch.ones(200, dtype=torch.float64))


# ---------------------------------------------------------------- composition


def test_one_map_does_what_its_parts_do_in_turn():
    perspective, affine = Augment(perspective=0.3), Augment(degrees=20, shift=3, zoom=0.2, shear=0.2)
    source = generator(5)
    # The second is drawn after the first, from the same generator.
    first, second = (draw([32], one, SIDE, source)[0].maps for one in (perspective, affine))
    assert first is not None
    assert second is not None
    both = maps(Augment(perspective=0.3, degrees=20, shift=3, zoom=0.2, shear=0.2), 32, seed=5)
    torch.testing.assert_close(both, first @ second, rtol=0, atol=1e-6)


def test_one_resampling_equals_two_where_two_lose_nothing():
    turn = torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]).expand(6, 3, 3)
    drawn = maps(EVERYTHING, 6)
    torch.testing.assert_close(resample(resample(grey(6), turn), drawn), resample(grey(6), turn @ drawn),
                               rtol=0, atol=1e-4)


def test_one_resampling_is_near_two_on_smooth_images():
    axis = torch.linspace(-3, 3, SIDE)
    blob = torch.exp(-(axis[:, None] ** 2) - 0.5 * axis**2).expand(16, 1, SIDE, SIDE)
    first, second = maps(Augment(perspective=0.2), 16), maps(Augment(degrees=15, zoom=0.1), 16)
    torch.testing.assert_close(resample(resample(blob, first), second), resample(blob, first @ second),
                               rtol=0, atol=0.04)


# ---------------------------------------------------------------- strength


def test_without_strength_nothing_changes():
    assert vars(draw([4], Augment(), SIDE, generator())[0]) == vars(Draws(None, None, None, None, None))
    torch.testing.assert_close(augment(grey(4), Augment(), [0.13], generator()), grey(4), rtol=0, atol=0)


def test_the_identity_map_changes_nothing():
    torch.testing.assert_close(resample(grey(4), torch.eye(3).expand(4, 3, 3)), grey(4), rtol=0, atol=1e-6)


@pytest.mark.parametrize("cfg", [Augment(perspective=0.3, perspective_share=0.0), Augment(degrees=1e-6)])
def test_with_hardly_any_strength_hardly_anything_changes(cfg):
    torch.testing.assert_close(augment(grey(4), cfg, [0.13], generator()), grey(4), rtol=0, atol=1e-5)


def test_rotation_zoom_shear_and_shift_stay_within_their_bounds_and_reach_them():
    degrees, zoom, shear, shift = 25.0, 0.2, 0.3, 4.0
    matrix = forward(maps(Augment(degrees=degrees, zoom=zoom, shear=shear, shift=shift), 4000))
    # Forwards it is shear @ rotation x scale, then the shift; its lower row is scale x (sin, cos) up to sign.
    scale = matrix[:, 1, :2].norm(dim=1)
    angle = torch.atan2(-matrix[:, 1, 0], matrix[:, 1, 1]).rad2deg()
    slant = (matrix[:, 0, 0] * matrix[:, 1, 0] + matrix[:, 0, 1] * matrix[:, 1, 1]) / scale**2
    pixels = matrix[:, :2, 2] * SIDE / 2
    for values, middle, bound in [(angle, 0, degrees), (scale, 1, zoom), (slant, 0, shear), (pixels, 0, shift)]:
        assert bound * (1 - 2e-2) < (values - middle).max() <= bound * (1 + 1e-4)
        assert bound * (1 - 2e-2) < (middle - values).max() <= bound * (1 + 1e-4)
        assert abs(float((values - middle).mean())) < 0.05 * bound  # 5 standard deviations: bound / sqrt(3 x 4000) x 5


def test_perspective_moves_corners_inwards_within_its_bound():
    drawn = maps(Augment(perspective=0.4, perspective_share=1.0), 2000)
    inwards = 1 - moved(forward(drawn), CORNERS) * CORNERS
    assert inwards.min() > -1e-4
    assert inwards.max() < 0.4 + 1e-4
    assert abs(float(inwards.mean()) - 0.2) < 0.01


def test_perspective_is_applied_to_its_share_of_the_images():
    drawn = maps(Augment(perspective=0.4, perspective_share=0.3), 4000)
    unmoved = (moved(drawn, CORNERS) - CORNERS).abs().amax((1, 2)) < 1e-5
    assert abs(float(unmoved.double().mean()) - 0.7) < 0.04  # 5 standard deviations: sqrt(0.3 x 0.7 / 4000) x 5


def test_the_strongest_perspective_folds_nothing():
    drawn = maps(Augment(perspective=0.6, perspective_share=1.0), 5000)
    pulled = forward(drawn)
    corners = torch.cat([CORNERS, torch.ones(4, 1)], 1).double()
    assert (torch.einsum("nij,mj->nmi", pulled, corners)[..., 2] > 0).all()  # no point of the frame goes to infinity


# ---------------------------------------------------------------- fill and dtype


def test_what_comes_in_from_outside_has_the_fill_value():
    white = torch.ones(64, 1, SIDE, SIDE)
    filled = augment(white, Augment(shift=10), [0.25], generator())
    assert filled.min() == pytest.approx(0.25, abs=1e-6)
    assert filled.max() == pytest.approx(1, abs=1e-6)
    corners = filled[:, 0, ::SIDE - 1, ::SIDE - 1]
    assert ((corners - 0.25).abs() < 1e-6).any((1, 2)).double().mean() > 0.9


def test_an_image_of_the_fill_value_stays_as_it_is():
    flat = torch.full((16, 1, SIDE, SIDE), 0.25)
    cfg = Augment(perspective=0.5, degrees=180, shift=20, zoom=0.5, shear=0.5)
    torch.testing.assert_close(augment(flat, cfg, [0.25], generator()), flat, rtol=0, atol=1e-6)


def test_outside_is_the_nearest_pixel_where_there_is_no_fill_value():
    drawn = maps(replace(EVERYTHING, shift=12), 16)
    images = torch.rand(16, 3, SIDE, SIDE, generator=generator(4))
    padded = F.pad(images, (40, 40, 40, 40), mode="replicate")
    large = resample(padded, on_a_larger_frame(drawn, 40))[:, :, 40:-40, 40:-40]
    torch.testing.assert_close(resample(images, drawn, edge=True), large, rtol=0, atol=1e-3)
    assert (resample(images, drawn) == 0).any()  # without `edge` there would be black
    cfg = Augment(degrees=180, shift=20, zoom=0.5, perspective=0.5)
    light = augment(torch.full((64, 3, SIDE, SIDE), 0.8), cfg, None, generator())
    torch.testing.assert_close(light, torch.full_like(light, 0.8), rtol=0, atol=1e-5)


def on_a_larger_frame(drawn: Tensor, border: int) -> Tensor:
    """The same maps of a picture that has got a border of so many pixels."""
    scale = torch.diag(torch.tensor([1 + 2 * border / SIDE] * 2 + [1.0]))
    return scale.inverse() @ drawn @ scale


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_shape_and_dtype_stay(dtype):
    result = augment(grey(3).to(dtype), EVERYTHING, [0.1], generator())
    assert result.shape == (3, 1, SIDE, SIDE)
    assert result.dtype == dtype
    assert result.isfinite().all()


@pytest.mark.parametrize(("images", "message"), [
    (torch.zeros(28, 28), r"found torch.float32 \(28, 28\)"),
    (torch.zeros(2, 28, 28), r"expected floating images \(N, C, H, W\), found torch.float32 \(2, 28, 28\)"),
    (torch.zeros(2, 1, 28, 28, dtype=torch.uint8), r"found torch.uint8 \(2, 1, 28, 28\)"),
])
def test_what_is_not_a_batch_of_floating_images_is_refused(images, message):
    with pytest.raises(ValueError, match=message):
        augment(images, EVERYTHING, [0.1], generator())


# ---------------------------------------------------------------- colour jitter


def test_brightness_multiplies_by_a_factor_within_its_range():
    factors = augment(torch.full((2000, 1, 2, 2), 0.5), Augment(brightness=0.4), [0.0], generator())[:, 0, 0, 0] / 0.5
    assert 0.6 <= factors.min() < 0.61
    assert 1.39 < factors.max() <= 1.4


def test_contrast_multiplies_the_distance_from_the_mean_and_keeps_the_mean():
    image = torch.tensor([0.4, 0.6]).repeat(2000, 1, 4, 2)
    changed = augment(image, Augment(contrast=0.5), [0.0], generator())
    torch.testing.assert_close(changed.mean((1, 2, 3)), torch.full((2000,), 0.5))
    factors = (changed[:, 0, 0, 1] - changed[:, 0, 0, 0]) / 0.2
    assert 0.5 - 1e-5 <= factors.min() < 0.51
    assert 1.49 < factors.max() <= 1.5 + 1e-5


def test_jitter_stays_grey_and_leaves_what_it_was_given():
    before = grey(32)
    changed = augment(before, Augment(brightness=1, contrast=1), [0.0], generator())
    assert changed.min() >= 0
    assert changed.max() <= 1
    torch.testing.assert_close(before, grey(32), rtol=0, atol=0)


# ---------------------------------------------------------------- randomness


@pytest.mark.parametrize("part", ["brightness", "contrast", "perspective", "degrees", "shift", "zoom", "shear"])
def test_every_image_has_a_draw_of_its_own(part):
    same = grey(1).expand(16, 1, SIDE, SIDE)
    cfg = from_mapping(Augment(perspective_share=1.0), {part: 0.5}, "test")
    changed = augment(same, cfg, [0.1], generator())
    assert len({image.numpy().tobytes() for image in changed}) == 16


def test_the_same_generator_state_gives_the_same_images():
    first, again, other = (augment(grey(8), EVERYTHING, [0.1], generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_only_the_generator_that_is_passed_in_is_drawn_from():
    before = torch.get_rng_state(), str(np.random.get_state()), random.getstate()
    source = generator()
    fresh = source.get_state()
    augment(grey(4), EVERYTHING, [0.1], source)
    assert not torch.equal(source.get_state(), fresh)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert str(np.random.get_state()) == before[1]
    assert random.getstate() == before[2]


def test_several_batches_draw_as_each_by_itself():
    source, counts = generator(7), [5, 3, 8]
    together = draw(counts, EVERYTHING, SIDE, generator(7))
    for count, found in zip(counts, together, strict=True):
        (alone,) = draw([count], EVERYTHING, SIDE, source)
        for one, other in zip(vars(found).values(), vars(alone).values(), strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=1e-6)


# ---------------------------------------------------------------- colour, and mirrored images


def colours(count: int, seed: int = 0) -> Tensor:
    return torch.rand(count, 3, 6, 5, generator=generator(seed))


def test_a_turn_of_the_hue_is_that_of_colorsys():
    images, turns = colours(3), torch.tensor([0.0, 0.2, -0.45])
    found = turn_hue(images, turns)
    for image, turn, made in zip(images, turns.tolist(), found, strict=True):
        for before, after in zip(image.flatten(1).T.tolist(), made.flatten(1).T.tolist(), strict=True):
            hue, saturation, value = colorsys.rgb_to_hsv(*before)
            assert after == pytest.approx(colorsys.hsv_to_rgb((hue + turn) % 1, saturation, value), abs=1e-5)
    grey = torch.full((1, 3, 2, 2), 0.4)
    torch.testing.assert_close(turn_hue(grey, torch.tensor([0.3])), grey)


def test_saturation_moves_colours_from_their_grey_value_and_leaves_it():
    weights = torch.tensor([0.299, 0.587, 0.114])[:, None, None]
    images = 0.4 + 0.2 * colours(40)  # so that nothing is cut off
    changed = augment(images, Augment(saturation=0.5), [0.0] * 3, generator())
    before, after = ((one * weights).sum(1, keepdim=True) for one in (images, changed))
    torch.testing.assert_close(after, before, rtol=0, atol=1e-5)
    factors = ((changed - after) / (images - before)).flatten(1).median(1).values
    torch.testing.assert_close(changed - after, (images - before) * factors[:, None, None, None], rtol=0, atol=1e-4)
    assert factors.min() < 0.7
    assert factors.max() > 1.3
    assert factors.min() >= 0.5
    assert factors.max() <= 1.5


def test_saturation_and_hue_leave_grey_images_as_they_are():
    torch.testing.assert_close(augment(grey(4), Augment(saturation=1, hue=0.5), [0.1], generator()), grey(4))


def test_a_share_of_the_images_is_flipped_and_the_others_are_as_they_were():
    images = to_unit(few_tensors().train.images)
    found = augment(images, Augment(flip=0.3), [0.0], generator())
    flipped = (found - images.flip(3)).abs().amax((1, 2, 3)) < 1e-5
    same = (found - images).abs().amax((1, 2, 3)) < 1e-5
    assert bool((flipped | same).all())
    assert 0.15 < float(flipped.double().mean()) < 0.45
    torch.testing.assert_close(augment(images, Augment(flip=1), [0.0], generator()), images.flip(3), rtol=0, atol=1e-5)


def test_each_channel_is_filled_with_its_own_value():
    images = torch.ones(20, 3, SIDE, SIDE)
    moved_away = augment(images, Augment(shift=28), [0.1, 0.2, 0.3], generator())
    assert [float(moved_away[:, channel].min()) for channel in range(3)] == pytest.approx([0.1, 0.2, 0.3], abs=1e-5)


@pytest.mark.parametrize("fill", [(0.0,), None])
def test_a_crop_is_that_of_the_padded_image_at_every_place_and_does_not_blur(fill):
    images = torch.rand(400, 1, SIDE, SIDE, generator=generator(3))
    found = augment(images, Augment(crop=2), fill, generator())
    padded = F.pad(images, (2, 2, 2, 2), mode="replicate" if fill is None else "constant")
    crops = [padded[:, :, y:y + SIDE, x:x + SIDE] for y in range(5) for x in range(5)]
    near = torch.stack([(found - crop).abs().amax((1, 2, 3)) < 1e-4 for crop in crops])
    assert bool((near.sum(0) == 1).all())
    assert near.sum(1).min() >= 4  # of 16 that are expected of each place
