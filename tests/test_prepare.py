"""Any picture becomes what MNIST's makers would have made of it; MNIST's own stays as it is; blank is refused."""

import io
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFilter

from mnist_ops.errors import ConfigError, DataError
from mnist_ops.pictures.components import components, ruled
from mnist_ops.pictures.contrast import is_dark_on_light, otsu
from mnist_ops.pictures.ink import Ink, find_ink
from mnist_ops.pictures.panels import panel_of
from mnist_ops.pictures.prepare import boxed, chosen_method, is_mnist, prepare, prepared_file
from mnist_ops.pictures.read import read_image
from mnist_ops.pictures.sampling import running_maximum, running_minimum, shrink, smooth_resize
from mnist_ops.pictures.strokes import draw, squared_distances, stroke_width, widened
from tests.datasets import read_idx

mnist = partial(prepare, how="mnist")
RANDOM = np.random.default_rng(0)
FIVE = (((118, 88), (175, 82)), ((110, 100), (105, 150), (150, 145), (170, 180), (150, 220), (100, 215)))
FOUR = (((120, 60), (90, 140), (165, 140)), ((175, 70), (175, 220)))
SEVEN = (((90, 70), (180, 70), (120, 220)),)
ONE = (((140, 60), (140, 220)),)


def drawing(strokes, width=6, ink=0, paper=255):
    """Strokes as lists of points on a canvas of 280x280."""
    image = Image.new("L", (280, 280), paper)
    pen = ImageDraw.Draw(image)
    for points in strokes:
        pen.line(points, fill=ink, width=width, joint="curve")
    return np.array(image)


def photo(strokes, seed=0, size=(600, 800)):
    """The drawing somewhere on a page in slanting light, out of focus, noisy, as a JPEG."""
    random = np.random.default_rng(seed)
    height, width = size
    page = np.full(size, 1.0)
    top, left = int(random.integers(40, height - 320)), int(random.integers(40, width - 320))
    page[top:top + 280, left:left + 280] -= 0.7 * (255 - drawing(strokes)) / 255
    light = np.add.outer(np.linspace(0.6, 1, height), np.linspace(0, 0.4, width)) / 1.4
    image = Image.fromarray((235 * page * light).astype(np.uint8)).filter(ImageFilter.GaussianBlur(1))
    noisy = np.clip(np.array(image) + random.normal(0, 4, size), 0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noisy).save(buffer, "JPEG", quality=70)
    return np.array(Image.open(buffer))


def difference(one, other):
    """Mean absolute difference, in grey values, over all 784 pixels.

    At best over shifts by a pixel, because the slightest change may tip the rounding of the centre of mass."""
    return min(np.abs(np.roll(one, (down, right), (0, 1)).astype(int) - other).mean()
               for down in (-1, 0, 1) for right in (-1, 0, 1))


def box(image):
    rows, columns = np.flatnonzero(image.any(1)), np.flatnonzero(image.any(0))
    return rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1


# What comes out


@pytest.mark.parametrize("strokes", [FIVE, FOUR, SEVEN, ONE])
@pytest.mark.parametrize("width", [2, 6, 14, 26])
def test_the_result_has_mnists_size_centre_and_greys(strokes, width):
    result = mnist(drawing(strokes, width))
    assert result.shape == (28, 28)
    assert result.dtype == np.uint8
    assert max(box(result)) in (19, 20, 21)  # 160 fine pixels, or one or two less, laid on squares of 8
    mass = result.astype(float)
    for axis in (0, 1):
        centre = (mass.sum(1 - axis) * np.arange(28)).sum() / mass.sum()
        assert abs(centre - 14) <= 0.5
    assert result.max() == 255


def test_thin_lines_become_as_wide_as_mnists_and_very_thick_ones_thinner():
    widths = []
    for width in (2, 6, 14, 40):
        fine = smooth_resize(mnist(drawing(SEVEN, width)).astype(np.int64), 224, 224) >= 128
        widths.append(stroke_width(fine) / 8)
    assert all(1.7 < width < 4 for width in widths), widths  # the middle 98 % of MNIST have 1.8 to 4.6
    assert widths[-1] - widths[0] > 1  # a thick pen stays a thicker one


def test_a_larger_darker_or_moved_drawing_gives_the_same():
    plain = mnist(drawing(FIVE, 8))
    assert np.array_equal(mnist(255 - drawing(FIVE, 8)), plain)
    assert np.array_equal(mnist(np.roll(drawing(FIVE, 8), (37, -60), (0, 1))), plain)
    assert difference(mnist(drawing(FIVE, 8).repeat(3, 0).repeat(3, 1)), plain) < 4
    assert difference(mnist(drawing(FIVE, 8, ink=150, paper=190)), plain) < 4
    assert np.array_equal(mnist(drawing(FIVE, 8)), plain)  # nothing is random


def test_all_strokes_of_a_character_are_taken():
    """The five's bar and the four's upright are apart from the rest."""
    assert len(components(drawing(FIVE) < 128)[1]) == len(components(drawing(FOUR) < 128)[1]) == 2
    for strokes in (FIVE, FOUR):
        height, width = box(drawing(strokes) < 128)
        assert find_ink(drawing(strokes)).contrast.shape == (height + 4, width + 4)  # 2 pixels on every side


def with_speck(image):
    image[6:10, 8:12] = 0
    return image


def with_ruled_line(image):
    image[255:258] = 0
    return image


def with_underline(image):
    image[232:236, 50:230] = 0
    return image


def with_table_edge(image):
    image[:, :14] = 30
    image[:9] = 30
    return image


def with_corner_in_shadow(image):
    y, x = np.mgrid[:280, :280]
    return np.where(x + y < 70, image // 2, image).astype(np.uint8)


@pytest.mark.parametrize("add", [with_speck, with_ruled_line, with_underline, with_table_edge, with_corner_in_shadow])
def test_what_is_not_a_stroke_of_it_does_not_widen_the_box(add):
    assert difference(mnist(add(drawing(SEVEN))), mnist(drawing(SEVEN))) < 3


@pytest.mark.parametrize("strokes", [FIVE, FOUR, SEVEN])
@pytest.mark.parametrize("seed", [0, 1])
def test_a_photo_in_uneven_light_gives_what_the_drawing_gives(strokes, seed):
    assert difference(mnist(photo(strokes, seed)), mnist(drawing(strokes))) < 9


def test_squared_paper_is_left_out():
    image = photo(SEVEN).astype(int)
    image[::40] -= 50
    image[:, ::40] -= 50
    assert difference(mnist(np.clip(image, 0, 255).astype(np.uint8)), mnist(drawing(SEVEN))) < 12


def on_a_desk(image, degrees=0):
    desk = Image.new("L", (600, 500), 60)
    desk.paste(Image.fromarray(image), (130, 90))
    return np.array(desk.rotate(degrees, Image.Resampling.BILINEAR, fillcolor=60))


def noisy(image):
    packed = io.BytesIO()
    grey = np.clip(image + np.random.default_rng(1).normal(0, 2, image.shape), 0, 255)
    Image.fromarray(grey.astype(np.uint8)).save(packed, "JPEG", quality=60)
    return np.array(Image.open(packed))


def with_cell(image, inset=0):
    image[inset:280 - inset, inset:280 - inset][[0, 1, 2, -3, -2, -1]] = 60
    image[inset:280 - inset, inset:280 - inset][:, [0, 1, 2, -3, -2, -1]] = 60
    return image


def as_plot(image):
    """Light on dark in white, with an axis and its ticks, as matplotlib saves an image."""
    figure = np.pad(255 - image, 60, constant_values=255)
    figure[59:341, [59, 340]] = figure[[59, 340], 59:341] = 0
    figure[80:330:50, 54:59] = figure[341:346, 80:330:50] = 0
    return figure


@pytest.mark.parametrize("scene", [
    lambda image: np.pad(255 - image, 50, constant_values=255),
    lambda image: np.pad(255 - image, ((90, 150), (0, 0)), constant_values=255),
    lambda image: np.pad(image, ((160, 160), (0, 0))),
    lambda image: np.pad(image, ((0, 0), (200, 0))),
    on_a_desk, partial(on_a_desk, degrees=4), as_plot, with_cell, partial(with_cell, inset=12),
    lambda image: on_a_desk(with_cell(image, inset=12)),
], ids=["border", "white bars", "black bars", "bar", "desk", "tilted", "plot", "cell", "inner cell", "cell on desk"])
@pytest.mark.parametrize("photographed", [np.array, noisy], ids=["clean", "JPEG"])
def test_a_frame_of_the_opposite_tone_is_not_ink(scene, photographed):
    for strokes in (FIVE, SEVEN):
        found = mnist(photographed(scene(drawing(strokes, 10))))
        assert difference(found, mnist(drawing(strokes, 10))) < 12  # a frame taken for ink makes 70 and more


def test_a_small_picture_may_have_a_frame_too():
    small = np.array(Image.fromarray(255 - drawing(SEVEN, 20)).resize((28, 28), Image.Resampling.BOX))
    assert difference(mnist(np.pad(small, 2, constant_values=255)), mnist(small)) < 4


def test_a_bold_character_is_not_a_frame_around_its_holes():
    eight = Image.new("L", (120, 160), 255)
    pen = ImageDraw.Draw(eight)
    for box_of_loop in ((30, 20, 90, 85), (25, 70, 95, 145)):
        pen.ellipse(box_of_loop, outline=0, width=22)
    for image in (np.array(eight), 255 - np.array(eight)):
        assert np.array_equal(panel_of(image.astype(np.int64)).image, image)


def test_cells_with_a_character_each_are_counted():
    row = np.concatenate([with_cell(drawing(strokes, 10), inset=8) for strokes in (FIVE, SEVEN, FOUR)], axis=1)
    assert find_ink(row).warnings == (
        "shows more than one character, and is read as one: at least 2 more of that size; --several reads all",)


@pytest.mark.parametrize(("width", "grey"), [(1, 100), (2, 60), (3, 140)])
def test_dark_lines_of_squared_paper_are_left_out(width, grey):
    for strokes in (FIVE, SEVEN):
        image = drawing(strokes, 10)
        for start in range(7, 280, 20):
            image[start:start + width] = np.minimum(image[start:start + width], grey)
            image[:, start:start + width] = np.minimum(image[:, start:start + width], grey)
        assert difference(mnist(image), mnist(drawing(strokes, 10))) < 9


@pytest.mark.parametrize(("side", "width"), [(400, 1), (600, 1), (600, 2), (1200, 1)])
def test_a_hairline_is_a_stroke(side, width):
    image = Image.new("1", (side, side), 1)
    for points in SEVEN:
        ImageDraw.Draw(image).line([(x * side / 280, y * side / 280) for x, y in points], fill=0, width=width)
    grey = np.array(image.convert("L"))
    for one in (grey, 255 - grey):
        assert difference(mnist(one), mnist(drawing(SEVEN, 3))) < 9


@pytest.mark.parametrize("blur", [0, 3])
@pytest.mark.parametrize("size", [28, 90, 280])
def test_the_pale_part_of_a_stroke_is_read_with_the_rest(size, blur):
    pale = np.minimum(drawing(FIVE[1:], 14, ink=185), drawing(FIVE[:1], 14, ink=20))
    pale[:110] = np.minimum(pale[:110], drawing(FIVE[1:], 14, ink=20)[:110])  # its upper end is dark, and hangs on
    even = drawing(FIVE, 14)
    pale, even = (np.array(Image.fromarray(image).filter(ImageFilter.GaussianBlur(blur)).resize(
        (size, size), Image.Resampling.BOX)) for image in (pale, even))
    assert difference(mnist(pale), mnist(even)) < 9


def test_what_is_pale_and_apart_is_not_read():
    image = drawing(SEVEN, 10)
    image[20:40, 20:60] = image[240:260, 200:260] = 190
    assert difference(mnist(image), mnist(drawing(SEVEN, 10))) < 3


def test_thick_strokes_of_a_small_grey_picture_are_kept():
    """A postal digit of 16x16, of which no grey value fills half."""
    postal = Image.fromarray(255 - drawing(SEVEN, 40)).crop((60, 40, 210, 240)).resize((16, 16), Image.Resampling.BOX)
    grey = np.clip(np.array(postal) + np.random.default_rng(2).normal(8, 6, (16, 16)), 0, 255).astype(np.uint8)
    wide = np.array(Image.fromarray(drawing(SEVEN, 40)[40:240, 60:210]).resize((200, 200)))
    assert difference(mnist(grey), mnist(np.pad(wide, 40, constant_values=255))) < 14


@pytest.mark.parametrize("strokes", [FIVE, SEVEN, FOUR])
def test_a_character_stretched_to_fill_a_square_gets_the_usual_proportions(strokes):
    image = drawing(strokes, 20)
    rows, columns = np.nonzero(image < 128)
    cut = Image.fromarray(image[rows.min():rows.max() + 1, columns.min():columns.max() + 1])
    stretched, right = (np.array(cut.resize((width, 120))) for width in (120, 90))
    assert difference(mnist(stretched), mnist(np.pad(right, 30, constant_values=255))) < 10
    framed = np.pad(stretched, 2, constant_values=255)  # as it is, beyond its frame
    assert difference(mnist(framed), mnist(np.pad(stretched, 30, constant_values=255))) < 3


@pytest.mark.parametrize("gap", [14, 40, 60])
def test_the_flag_of_a_5_may_be_apart(gap):
    flag = [(112, 74 - gap), (185, 70 - gap)]
    image = with_strokes(drawing(FIVE[1:], 10), flag, width=12)
    rows, _ = np.nonzero(image < 128)
    assert find_ink(image).contrast.shape[0] == rows.max() - rows.min() + 5  # 2 pixels on every side
    assert find_ink(image).warnings == ()
    underlined = with_strokes(drawing(SEVEN, 10), [(60, 250), (220, 250)], width=8)
    assert difference(mnist(underlined), mnist(drawing(SEVEN, 10))) < 3


def test_a_small_character_in_a_large_photo_is_looked_at_closely():
    page = np.full((1300, 1600), 230, np.uint8)
    page[900:1180, 700:980] = drawing(FIVE, 8, paper=230)
    assert difference(mnist(page), mnist(drawing(FIVE, 8))) < 4


def test_a_light_drawing_on_a_transparent_ground_is_read_as_a_dark_one(tmp_path):
    alpha = 255 - drawing(SEVEN)
    for name, shade in (("white", 255), ("black", 0)):
        pixels = np.dstack([np.full_like(alpha, shade)] * 3 + [alpha])
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    white, black = (prepared_file(tmp_path / f"{name}.png", "mnist").seen for name in ("white", "black"))
    assert np.array_equal(white, black)
    white, black = (read_image(tmp_path / f"{name}.png").pixels for name in ("white", "black"))
    assert np.array_equal(white, 255 - black)  # on black, as white on white would be lost, in training too


# Several characters


def row_of(*characters, ink=0, paper=255, width=10):
    """The drawings side by side."""
    return np.concatenate([drawing(strokes, width, ink, paper) for strokes in characters], axis=1)


def grown(image, factor):
    return np.array(Image.fromarray(image).resize((factor * image.shape[1] // 10, factor * image.shape[0] // 10)))


@pytest.mark.parametrize(("image", "more"), [
    (row_of(FIVE, SEVEN), 1),
    (row_of(FOUR, ONE, SEVEN), 2),
    (row_of(ONE, ONE, ONE, ONE, ink=255, paper=20), 3),
    (grown(row_of(FIVE, SEVEN, ONE), 25), 2),
    (np.concatenate([row_of(ONE, SEVEN), row_of(SEVEN, ONE)]), 3),
    (np.concatenate([drawing(strokes, 10)[:, 78:190] for strokes in (FIVE, SEVEN, SEVEN, FIVE)], axis=1), 3),
], ids=["57", "417", "white on black", "large", "two rows", "5775 close together"])
def test_several_characters_are_counted(image, more):
    assert find_ink(image).warnings == (
        f"shows more than one character, and is read as one: at least {more} more of that size; --several reads all",)


def with_strokes(image, *more, width=10):
    pen = Image.fromarray(image)
    for points in more:
        ImageDraw.Draw(pen).line(points, fill=0, width=width)
    return np.array(pen)


SPECKS = [[(x, y), (x + 3, y + 2)] for x, y in ((20, 30), (250, 40), (30, 250), (240, 240), (15, 140))]
LINES = [[(0, y), (280, y + 3)] for y in range(20, 280, 35)]


@pytest.mark.parametrize("image", [
    drawing(FIVE, 10),
    with_strokes(drawing(FIVE[1:], 10), [(112, 78), (175, 74)]),  # its flag does not touch
    drawing(FOUR, 6),
    with_strokes(drawing([[(140, 110), (140, 220)]], 12), [(138, 78), (142, 78)], width=14),  # an i
    with_strokes(drawing(SEVEN, 10), [(60, 250), (220, 250)]),  # underlined
    with_strokes(drawing(FIVE, 10), *SPECKS, width=4),
    with_strokes(drawing(SEVEN, 10), *LINES, width=2),
    with_strokes(drawing(SEVEN, 10), [(0, 0), (0, 280)], [(279, 0), (279, 280)], width=12),  # the paper's edges
    photo(FIVE), photo(FOUR, 1), photo(SEVEN, 2),
], ids=["5", "5 in two", "4", "i", "underlined", "specks", "ruled", "edges", "photo of 5", "photo of 4", "photo of 7"])
def test_one_character_is_one_whatever_else_is_on_the_paper(image):
    assert find_ink(image).warnings == ()


def test_people_drew_one_digit_each(mnist_dir):
    folder = mnist_dir / "drawn" / "canvas"
    if not folder.is_dir():
        pytest.skip(f"needs the drawings: {folder} is not there; name a folder that has drawn/ with MNIST_OPS_DATA")
    several = [path for path in sorted(folder.glob("*/*.png")) if prepared_file(path, "mnist").warnings]
    assert several == []


# MNIST's own


def test_what_is_mnists_own_comes_through_unchanged(mnist_dir):
    packed = mnist_dir / "MNIST" / "raw" / "t10k-images-idx3-ubyte.gz"
    images = read_idx(packed, 3)
    assert all(map(is_mnist, images))
    for image in images[:20]:
        assert np.array_equal(mnist(image), image)
        assert np.array_equal(mnist(255 - image), image)
        moved = np.roll(image, (2, -3), (0, 1))
        assert not is_mnist(moved)
        assert difference(mnist(moved), image) < 14


def test_a_drawing_of_28x28_that_is_not_made_as_mnist_is_prepared():
    small = np.array(Image.fromarray(255 - drawing(SEVEN, 20)).resize((28, 28), Image.Resampling.BOX))
    assert not is_mnist(small)
    assert max(box(small)) < 18
    assert max(box(mnist(small))) in (19, 20)
    assert is_mnist(mnist(drawing(SEVEN)))


# What cannot be read


@pytest.mark.parametrize(("image", "reason"), [
    (np.full((100, 100), 255, np.uint8), "the picture is blank"),
    (np.zeros((28, 28), np.uint8), "the picture is blank"),
    (np.full((1, 1), 9, np.uint8), "the picture is blank"),
    (RANDOM.integers(0, 256, (200, 200), dtype=np.uint8), "nothing stands out"),
    (np.where(RANDOM.random((300, 300)) < 0.01, 0, 255).astype(np.uint8), "only specks"),
    ((np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8), "a texture, not strokes"),
    (np.tile(np.linspace(120, 250, 280).astype(np.uint8), (280, 1)), "only an edge or a shadow"),
], ids=["white", "black", "one pixel", "noise", "dust", "checks", "shadow"])
def test_a_picture_without_ink_is_refused_and_says_why(image, reason):
    with pytest.raises(DataError, match=rf"no ink found: .*{reason}.*; expected a character, darker or lighter"):
        mnist(image)


def test_a_file_without_ink_is_named(tmp_path):
    Image.new("L", (40, 40), 255).save(tmp_path / "empty.png")
    with pytest.raises(DataError, match=r"empty\.png: no ink found"):
        prepared_file(tmp_path / "empty.png", "mnist")


@settings(max_examples=40)
@given(height=st.integers(1, 60), width=st.integers(1, 60), levels=st.sampled_from([2, 4, 256]),
       seed=st.integers(0, 99))
def test_any_picture_gives_28x28_or_the_error_but_nothing_else(height, width, levels, seed):
    random = np.random.default_rng(seed)
    coarse = random.integers(0, levels, (-(-height // 7), -(-width // 7))) * (255 // (levels - 1))
    image = coarse.repeat(7, 0).repeat(7, 1)[:height, :width].astype(np.uint8)
    try:
        result = mnist(image)
    except DataError as error:
        assert "no ink found" in str(error)  # noqa: PT017 - either outcome is right
    else:
        assert result.shape == (28, 28)
        assert result.dtype == np.uint8
        assert result.any()


# Its parts, against independent computations


@settings(max_examples=40)
@given(height=st.integers(1, 40), width=st.integers(1, 40), longest=st.integers(1, 40), seed=st.integers(0, 99))
def test_shrinking_is_the_mean_over_areas(height, width, longest, seed):
    image = np.random.default_rng(seed).integers(0, 256, (height, width))
    small = shrink(image, longest)
    if max(height, width) <= longest:
        assert np.array_equal(small, image)
        return
    rows, columns = small.shape
    repeated = image.repeat(rows, 0).repeat(columns, 1)  # every area is whole pixels of this
    means = repeated.reshape(rows, height, columns, width).mean((1, 3))
    assert max(rows, columns) == longest
    assert np.array_equal(small, np.floor(means + 0.5 + 1e-9))


@settings(max_examples=40)
@given(height=st.integers(1, 14), width=st.integers(1, 14), reach=st.integers(1, 9), seed=st.integers(0, 99))
def test_running_extremes_are_those_of_each_window(height, width, reach, seed):
    image = np.random.default_rng(seed).integers(0, 256, (height, width))
    windows = [[image[max(0, y - reach):y + reach + 1, max(0, x - reach):x + reach + 1] for x in range(width)]
               for y in range(height)]
    assert np.array_equal(running_maximum(image, reach), [[window.max() for window in row] for row in windows])
    assert np.array_equal(running_minimum(image, reach), [[window.min() for window in row] for row in windows])


@settings(max_examples=40)
@given(height=st.integers(1, 14), width=st.integers(1, 14), share=st.sampled_from([0.1, 0.5, 0.9]),
       seed=st.integers(0, 99))
def test_components_are_those_that_flooding_finds(height, width, share, seed):
    mask = np.random.default_rng(seed).random((height, width)) < share
    labels, found = components(mask)
    flooded = np.zeros_like(labels)
    for y, x in np.argwhere(mask):
        if flooded[y, x] == 0:
            number, todo = flooded.max() + 1, [(y, x)]
            while todo:
                row, column = todo.pop()
                if 0 <= row < height and 0 <= column < width and mask[row, column] and flooded[row, column] == 0:
                    flooded[row, column] = number
                    todo += [(row + down, column + right) for down in (-1, 0, 1) for right in (-1, 0, 1)]
    assert np.array_equal(labels, flooded)
    for one in found:
        rows, columns = np.nonzero(flooded == one.label)
        edge = (rows == 0) | (rows == height - 1) | (columns == 0) | (columns == width - 1)
        assert (one.top, one.left, one.bottom, one.right) == (
            rows.min(), columns.min(), rows.max() + 1, columns.max() + 1)
        assert (one.area, one.contact) == (len(rows), edge.sum())


@settings(max_examples=30)
@given(height=st.integers(1, 12), width=st.integers(1, 12), seed=st.integers(0, 99))
def test_distances_are_those_to_the_nearest_pixel_that_is_set(height, width, seed):
    random = np.random.default_rng(seed)
    mask = random.random((height, width)) < 0.2
    mask[random.integers(height), random.integers(width)] = True
    places = np.argwhere(mask)
    expected = [[((places - (y, x)) ** 2).sum(1).min() for x in range(width)] for y in range(height)]
    assert np.array_equal(squared_distances(mask), expected)


def test_a_bar_is_as_wide_as_it_is_and_can_be_widened_and_thinned():
    bar = np.ones((12, 200), bool)
    # Distances from the edge along a cut: 0.5, 1.5, ... 5.5 and back, 3 on average, so 4 x 3 = 12, but for the ends.
    assert stroke_width(bar) == pytest.approx(12, abs=0.5)
    for reach, shape in ((3, (18, 206)), (-3, (6, 194))):
        moved = widened(bar, reach)
        assert moved is not None
        assert moved.shape == shape
    assert widened(bar, -9) is None  # nothing would be left


@pytest.mark.parametrize(("side", "step"), [(500, 6), (650, 8), (900, 8)])
def test_hairlines_so_close_that_they_flow_together_are_a_texture(side, step):
    lines = np.zeros((side, side), np.int64)
    lines[::step] = lines[:, ::step] = 255
    with pytest.raises(DataError, match="a texture, not strokes"):
        draw(Ink(lines, 128))


def test_otsu_splits_between_two_clusters():
    counts = np.zeros(256, np.int64)
    counts[[10, 11, 200]] = [50, 50, 7]
    assert 11 <= otsu(counts) < 200
    counts[[10, 11]] = 0
    assert otsu(counts) == 199  # one value alone is all above


def test_ink_is_darker_or_lighter_as_the_picture_shows():
    for strokes, width in ((SEVEN, 4), (FIVE, 30)):
        assert is_dark_on_light(drawing(strokes, width).astype(np.int64))
        assert not is_dark_on_light(255 - drawing(strokes, width).astype(np.int64))
    assert is_dark_on_light(photo(SEVEN).astype(np.int64))


def test_lines_across_are_ruled_ones_but_a_stroke_is_none():
    page = np.zeros((200, 200), bool)
    page[50, :] = page[101:103, :] = True
    page[20:180, 90:98] = True
    lines = ruled(page)
    assert lines[50, :80].all()
    assert lines[101, 110:].all()
    assert not lines[20:180, 92:96].any()
    assert not ruled(np.roll(drawing(SEVEN) < 128, 30, 0)).any()


def test_upright_strokes_of_a_strip_are_not_ruled_lines():
    strip = np.zeros((200, 1000), bool)
    strip[40:160, 100:104] = strip[40:160, 300:304] = True
    assert not ruled(strip).any()
    assert ruled(np.pad(strip[40:160], ((0, 0), (0, 5)))).any()  # lines that cross all of it


def test_lines_of_both_directions_do_not_cut_each_other():
    page = np.zeros((200, 200), bool)
    page[::20] = page[:, ::20] = True
    stroke = np.zeros_like(page)
    stroke[33:150, 47:56] = True
    assert np.array_equal(page & ~ruled(page | stroke) | stroke, stroke)
    assert not (ruled(page | stroke) & stroke).any()


def test_a_coarse_picture_is_boxed_and_centred_without_a_search():
    coarse = np.zeros((2, 8, 8), np.uint8)
    coarse[0, :, 3:5] = coarse[1, 1:3, :] = 255
    upright, level = boxed(coarse)
    # Columns 3 and 4 reach linearly to 2.5 and 5.5, in pixels of 20 to 6.25 and 13.75: eight centres lie between.
    assert box(upright) == (20, 8)
    assert box(level) == (8, 20)


def test_auto_depends_on_the_dataset():
    assert [chosen_method("auto", name) for name in ("auto", "mnist", "digits")] == ["mnist"] * 3
    assert [chosen_method("auto", name) for name in ("fashion-mnist", "/some/folder")] == ["resize"] * 2
    assert [chosen_method(how, "mnist") for how in ("mnist", "resize")] == ["mnist", "resize"]
    with pytest.raises(ConfigError, match="prepare: found 'crop', expected one of mnist, resize"):
        chosen_method("crop", "mnist")


def test_a_few_pixels_that_do_not_end_where_they_are_cut_out_are_specks():
    with pytest.raises(DataError, match="only specks"):
        draw(Ink(np.pad(np.full((3, 3), 255), 2, constant_values=244), 245))
