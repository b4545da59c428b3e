"""The corruptions of `tools.corruptions`, each against a property or an example worked by hand, and their table."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from mnist_ops.run.folder import read_json
from tools import drawn, robustness
from tools.corruptions import CORRUPTIONS, SIDE, Images, blur_matrix, clouds, line

MANY = 400


def corrupt(name: str, images: Images, seed: int = 0) -> Images:
    return CORRUPTIONS[name](images, np.random.default_rng(seed))


def plain(value: int, count: int = MANY) -> Images:
    return np.full((count, SIDE, SIDE), value, np.uint8)


def box(count: int = MANY, side: int = 8) -> Images:
    """A white square in the middle."""
    images, edge = plain(0, count), (SIDE - side) // 2
    images[:, edge:SIDE - edge, edge:SIDE - edge] = 255
    return images


def moments(images: Images) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Centre (N, 2) as (y, x), and covariance (N, 2, 2), of the brightness."""
    places = np.indices((SIDE, SIDE)).reshape(2, -1).T
    weights = images.reshape(len(images), -1) / images.sum((1, 2))[:, None]
    centre = weights @ places
    apart = places - centre[:, None]
    return centre, np.einsum("np,npi,npj->nij", weights, apart, apart)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_corruption_is_a_function_of_its_images_and_its_generator_alone(name):
    images = box(3)
    first = corrupt(name, images)
    assert first.shape == images.shape
    assert first.dtype == np.uint8
    assert np.array_equal(images, box(3))  # not changed in place
    assert np.array_equal(first, corrupt(name, images))
    assert not np.array_equal(first, images)
    alike = np.array_equal(first, corrupt(name, images, seed=1))
    assert alike == (name in ("scale", "brightness", "stripe", "canny edges"))  # the others draw


def test_there_are_fifteen_in_the_order_of_the_paper():
    assert len(CORRUPTIONS) == 15
    assert list(CORRUPTIONS)[::7] == ["shot noise", "brightness", "canny edges"]


def test_shot_noise_counts_three_photons_in_white():
    counts = corrupt("shot noise", plain(255)) / 85
    assert set(np.unique(counts)) == {0, 1, 2, 3}
    # Poisson of mean 3: P(0) = e^-3, P(1) = 3 e^-3; 3 and more are white.
    shares = [(counts == count).mean() for count in range(2)]
    assert shares == pytest.approx([math.exp(-3), 3 * math.exp(-3)], abs=0.003)
    assert not corrupt("shot noise", plain(0)).any()


def test_impulse_noise_changes_17_percent_of_grey_to_black_and_white_alike():
    changed = corrupt("impulse noise", plain(100))
    assert [(changed == value).mean() for value in (0, 100, 255)] == pytest.approx([0.085, 0.83, 0.085], abs=0.003)


def test_a_blur_keeps_the_sum_and_spreads_a_dot_by_its_sd():
    matrix = blur_matrix(1)
    assert matrix.sum(1) == pytest.approx(1)
    assert matrix[14, 15] / matrix[14, 14] == pytest.approx(math.exp(-1 / 2))
    assert matrix[14] @ (np.arange(SIDE) - 14) ** 2 == pytest.approx(1, abs=0.01)
    assert matrix[0, 0] == pytest.approx(matrix[14, :15].sum())  # all that lies above is the first row
    assert blur_matrix(1, cut=True)[0, 1] / blur_matrix(1, cut=True)[0, 0] == pytest.approx(math.exp(-1 / 2))


def test_glass_moves_pixels_by_a_few_and_blurs_down_the_columns():
    images = plain(0)
    images[:, 14, 14] = 255
    changed = corrupt("glass blur", images).astype(float)
    assert changed.sum() / images.sum() == pytest.approx(1, abs=0.03)  # but for rounding
    assert ((changed > 0).sum(2) <= 9).all()
    flat = plain(0)
    flat[:, :, 14:] = 255  # an edge that no blur down the columns softens, only swaps
    assert set(np.unique(corrupt("glass blur", flat)[:, 14, 20:])) == {255}
    assert set(np.unique(corrupt("glass blur", plain(77)))) <= {76, 77}  # it rounds down between the blurs


def test_motion_smears_a_dot_along_one_line_by_a_half_gaussian():
    images = plain(0)
    images[:, 14, 22] = 255
    changed = corrupt("motion blur", images).astype(float)
    assert (changed.argmax(2).max(1) == 22).all()  # the dot is the brightest, and nothing lies to its right
    assert not changed[:, :, 23:].any()
    weights = np.exp(-(np.arange(21) / 3) ** 2 / 2)
    assert changed[:, 14, 22] == pytest.approx(255 * weights[0] / weights.sum(), abs=0.5)
    rows, columns = changed.any(2).sum(1), changed.any(1).sum(1)
    assert (rows <= columns).all()  # within 45 degrees of the row
    assert rows.max() > 5


def test_shear_moves_rows_against_each_other():
    _, spread = moments(corrupt("shear", box(side=16)))
    slopes = spread[:, 0, 1] / spread[:, 0, 0]  # columns a row
    assert abs(slopes) == pytest.approx(math.sin(0.4), abs=0.01)
    assert 0.4 < (slopes > 0).mean() < 0.6
    _, before = moments(box(1, 16))
    assert np.sqrt(spread[:, 0, 0] / before[0, 0, 0]) == pytest.approx(1 / math.cos(0.4), abs=0.02)


def test_scale_shrinks_to_70_percent_around_the_middle():
    large = box(1, 16)
    (before,), (wide,) = moments(large)
    (after,), (small,) = moments(corrupt("scale", large))
    assert after == pytest.approx(before, abs=0.01)
    assert np.sqrt(small[0, 0] / wide[0, 0]) == pytest.approx(0.7, abs=0.02)
    assert corrupt("scale", large).sum() / large.sum() == pytest.approx(0.49, abs=0.01)


def test_rotate_turns_by_23_degrees_to_either_side():
    bar = plain(0)
    bar[:, 6:22, 13:15] = 255
    _, spread = moments(corrupt("rotate", bar))
    angles = np.arctan2(2 * spread[:, 0, 1], spread[:, 0, 0] - spread[:, 1, 1]) / 2  # of the long axis from upright
    assert abs(angles) == pytest.approx(0.4, abs=0.01)
    assert 0.4 < (angles > 0).mean() < 0.6
    assert corrupt("rotate", bar).sum() / bar.sum() == pytest.approx(1, abs=0.01)


def test_translate_moves_whole_pixels_to_all_four_corners():
    changed = corrupt("translate", box())
    assert (changed.sum((1, 2)) == box(1).sum()).all()
    places = {tuple(np.argwhere(image)[0]) for image in changed}
    assert places == {(7, 7), (7, 13), (13, 7), (13, 13)}
    corner = plain(0)
    corner[:, 0, 0] = 255
    assert {image.sum() for image in corrupt("translate", corner)} == {0, 255}  # lost, unless it moves inwards


def test_brightness_adds_half_of_white():
    assert [int(corrupt("brightness", plain(value, 1))[0, 0, 0]) for value in (0, 51, 255)] == [128, 178, 255]


def test_stripe_inverts_seven_columns_on_either_side():
    row = corrupt("stripe", plain(40, 1))[0, 3]
    assert row.tolist() == [215] * 7 + [40] * 14 + [215] * 7


def test_clouds_fill_the_range_and_are_smooth():
    found = clouds(4, np.random.default_rng(0))
    assert (found.min((1, 2)) == 0).all()
    assert (found.max((1, 2)) == 1).all()
    near, far = (abs(found - np.roll(found, step, 2)).mean() for step in (1, 64))
    assert near < far / 10
    assert abs(found - np.roll(found, 1, 2))[:, :, 0].mean() < 2 * near  # a torus: the last column meets the first


def test_fog_adds_clouds_and_keeps_a_quarter_of_the_contrast():
    changed = corrupt("fog", box(8)).astype(float)
    behind = corrupt("fog", plain(255, 8)).astype(float) - 255 / 4
    inside = box(8) > 0
    assert (changed - behind)[inside] == pytest.approx(255 / 4, abs=1.01)
    assert (changed - behind)[~inside] == pytest.approx(0, abs=1.01)


def test_spatter_paints_spots_of_one_dark_grey():
    wet = corrupt("spatter", plain(0))
    assert wet.max() == 63
    assert set(np.unique(wet)) <= {0, *range(round(0.8 * 63), 64)}
    share = (wet > 0).mean()
    assert 0.05 < share < 0.3
    assert (corrupt("spatter", plain(255)) < 255).mean() == pytest.approx(share)  # the same spots


def test_a_line_is_white_in_its_middle_and_fades_up_and_down():
    [flat] = line(np.array([[3.0, 10.0]]), np.array([[7.0, 10.0]]))
    assert flat[:, 5].nonzero()[0].tolist() == [9, 10, 11]
    assert flat[9:12, 5] == pytest.approx([1 + math.log(1 - 1 / 2.3), 1, 1 + math.log(1 - 1 / 2.3)])
    assert flat.any(0).nonzero()[0].tolist() == [3, 4, 5, 6]
    [steep] = line(np.array([[0.0, 0.0]]), np.array([[27.0, 27.0]]))
    assert np.diag(steep)[:27] == pytest.approx(1)


def test_a_dotted_line_covers_two_columns_of_four():
    changed = corrupt("dotted line", plain(0))
    columns = np.flatnonzero(changed.any((0, 1)))
    assert columns.tolist() == [x for x in range(27) if x // 2 % 2]
    assert (changed[:, :, 2].argmax(1) < 27).all()
    assert np.array_equal(corrupt("dotted line", plain(255, 3)), plain(255, 3))


def test_a_zigzag_turns_every_four_columns():
    changed = corrupt("zigzag", plain(0))
    whole = changed[~changed[:, [0, 1, -2, -1]].any((1, 2))]
    assert len(whole) > 100
    steps = np.diff(whole[:, :, 4:25:4].argmax(1).astype(int))  # from turn to turn, 2 below the line and 2 above
    assert (np.sign(steps) == [-1, 1, -1, 1, -1]).all()
    assert steps[:, :4].mean() == pytest.approx(0, abs=0.2)
    assert abs(steps).mean() == pytest.approx(4, abs=0.3)
    assert not changed[:, :, :2].any()
    assert not changed[:, :, 27:].any()


def test_canny_draws_the_outline_of_a_box_one_pixel_wide():
    [found] = corrupt("canny edges", box(1))
    assert set(np.unique(found)) == {0, 255}
    assert not found[12:16, 12:16].any()
    assert not found[:8].any()
    assert (found[13] > 0).sum() in (2, 4)  # a side of the box; two equal slopes beside each other are both the highest
    assert np.array_equal(found, found.T)
    assert np.array_equal(found, found[::-1])
    assert not corrupt("canny edges", plain(200, 1)).any()
    faint = (box(1) // 255 * 5).astype(np.uint8)  # 5 / 255 times Sobel's 4 is below 0.1
    assert not corrupt("canny edges", faint).any()


def test_a_weak_edge_counts_only_where_it_hangs_on_to_a_strong_one():
    ramp = plain(0, 1)
    ramp[0, :, 14:] = np.linspace(9, 60, SIDE)[:, None]  # weak in the first rows, strong below
    apart = ramp.copy()
    apart[:, 5:] = 0
    assert corrupt("canny edges", ramp)[0, 3].any()
    assert not corrupt("canny edges", apart).any()


# ---------------------------------------------------------------- the table

NETWORKS = {name: {"accuracy": {"none": 99.5} | {one: first + place for place, one in enumerate(CORRUPTIONS)}}
            for name, first in (("a", 10.0), ("b", 20.0))}


def test_the_table_ends_in_the_mean_and_the_lowest_of_the_fifteen():
    rows = robustness.table({**NETWORKS, "b": {**NETWORKS["b"], "prepared": NETWORKS["a"]["accuracy"]}}).splitlines()
    assert rows[0] == "| corruption | a | b | b, prepared |"
    assert rows[2:4] == ["| none | 99.50 % | 99.50 % | 99.50 % |", "| shot noise | 10.00 % | 20.00 % | 10.00 % |"]
    assert rows[-2:] == ["| mean of the fifteen | 17.00 % | 27.00 % | 17.00 % |",  # (10 + 24) / 2
                         "| worst | 10.00 % | 20.00 % | 10.00 % |"]


def test_the_table_on_the_page_is_that_of_the_figures():
    kept = read_json(robustness.FILE)
    assert robustness.table(kept["networks"]) in drawn.DOCUMENT.read_text(encoding="utf-8")


def test_a_corruption_draws_from_a_stream_of_its_own():
    images = plain(128, 4)
    assert np.array_equal(robustness.corrupted(images, "none"), images)
    first = robustness.corrupted(images, "impulse noise")
    assert np.array_equal(first, robustness.corrupted(images, "impulse noise"))
    assert not np.array_equal(first, robustness.corrupted(images, "impulse noise", seed=1))


def test_a_run_may_have_a_name():
    assert robustness.named(["default", "best=runs/b"]) == {"default": "default", "best": "runs/b"}
