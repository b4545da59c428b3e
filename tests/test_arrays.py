"""Arrays of images and labels: checked, and made what a network takes, in the same way as pictures."""

import numpy as np
import pytest
from PIL import Image

from mnist_ops.data.arrays import MOST_IMAGES, fit, labels_of, pixels
from mnist_ops.errors import DataError
from mnist_ops.pictures.prepare import prepared_file, resize

GENERATOR = np.random.default_rng(0)


def noise(*shape):
    return GENERATOR.integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize("shape", [(28, 28), (1, 1), (8, 8), (27, 29), (56, 56), (64, 48), (3, 500), (97, 131)])
def test_arrays_are_resized_and_made_grey_as_picture_files_are(shape, tmp_path):
    grey, colour = noise(5, *shape), noise(5, *shape, 3)
    for side in (28, 48):
        assert np.array_equal(fit(grey, (1, side, side)), np.stack([resize(one, side) for one in grey]))
        for one, made in zip(colour, fit(colour, (1, side, side)), strict=True):
            Image.fromarray(one).save(tmp_path / "one.png")
            assert np.array_equal(made, prepared_file(tmp_path / "one.png", "resize", (1, side, side)).seen)


@pytest.mark.parametrize("side", [1, 28, 32, 96])
def test_colour_has_its_planes_first_and_grey_has_three_alike(side):
    colour, grey = noise(4, 40, 32, 3), noise(4, 40, 32)
    across = [Image.fromarray(one).resize((side, 40), Image.Resampling.BILINEAR) for one in colour]
    expected = [np.array(one.resize((side, side), Image.Resampling.BILINEAR)) for one in across]  # then down
    assert np.array_equal(fit(colour, (3, side, side)), np.stack(expected).transpose(0, 3, 1, 2))
    alike = fit(grey, (3, side, side))
    assert np.array_equal(alike, np.repeat(alike[:, :1], 3, axis=1))


@pytest.mark.parametrize(("given", "shape"), [
    (noise(6, 5, 4), (6, 5, 4)), (noise(6, 5, 4, 1), (6, 5, 4)), (noise(6, 1, 5, 4), (6, 5, 4)),
    (noise(6, 25), (6, 5, 5)), (noise(6, 5, 4, 3), (6, 5, 4, 3)), (noise(6, 3, 5, 4), (6, 5, 4, 3)),
])
def test_the_usual_shapes_are_taken(given, shape):
    images, told = pixels("here", given)
    assert (images.shape, str(images.dtype), told) == (shape, "uint8", ())
    assert sorted(images.ravel()) == sorted(given.ravel())


def test_values_from_0_to_1_become_0_to_255_and_that_is_said():
    tenths = np.linspace(0, 1, 200).reshape(8, 5, 5)
    images, told = pixels("x.npz: x_train", tenths)
    assert np.array_equal(images, np.rint(tenths * 255))
    assert told == ("x.npz: x_train: the values end at 1, so they were multiplied by 255",)
    assert pixels("here", np.eye(5, dtype=bool)[None])[0].max() == 255


@pytest.mark.parametrize("kind", [np.int64, np.uint16, np.float32, ">i4"])
def test_numbers_of_other_types_from_0_to_255_are_taken_as_they_are(kind):
    given = noise(3, 5, 5)
    assert np.array_equal(pixels("here", given.astype(kind))[0], given)


@pytest.mark.parametrize(("given", "says"), [
    (np.full((2, 3, 3), -0.5), r"here: values from -0\.5 to -0\.5, expected 0 \(black\) to 255\. Scale them"),
    (np.full((2, 3, 3), 256), r"values from 256 to 256"),
    (np.full((2, 3, 3), np.nan), r"values from nan to nan"),
    (np.full((2, 3, 3), np.inf), r"values from inf to inf"),
    (np.full((2, 3, 3), "7"), r"holds 'str32', expected numbers\. Save it as uint8"),
    (np.full((2, 3, 3), 1j), r"holds 'complex128'"),
    (np.zeros((0, 3, 3)), r"is empty, shape \(0, 3, 3\)"),
    (np.zeros(()), r"shape \(\); expected \(N, height, width\)"),
    (np.zeros(9), r"shape \(9,\)"),
    (np.zeros((2, 10)), r"shape \(2, 10\).*Reshape it"),
    (np.zeros((2, 5, 5, 4)), r"shape \(2, 5, 5, 4\)"),
    (np.zeros((MOST_IMAGES + 1, 1, 1), np.uint8), r"1,048,577 images, the limit is 1,048,576"),
])
def test_other_arrays_are_refused_with_what_was_found_and_what_to_do(given, says):
    with pytest.raises(DataError, match=rf"^here: .*{says.removeprefix('here: ')}"):
        pixels("here", given)


@pytest.mark.parametrize(("given", "taken"), [
    (np.array([3, 0, 1], np.uint8), [3, 0, 1]), (np.array([[3], [0], [1]]), [3, 0, 1]),
    (np.array([2.0, 0, 1]), [2, 0, 1]),
    (np.array([True, False, True]), [1, 0, 1]), (np.array(["b", "a", "10"]), ["b", "a", "10"]),
])
def test_labels_are_numbers_or_text(given, taken):
    assert labels_of("here", given, 3).tolist() == taken


@pytest.mark.parametrize(("given", "says"), [
    (np.array([0, 1]), r"2 labels for 3 images"),
    (np.array([0, -1, 1]), r"the label of image 1 is -1, expected a number from 0"),
    (np.array([0, 1, 0.5]), r"the label of image 2 is 0\.5"),
    (np.array([0, 1, np.nan]), r"the label of image 2 is nan"),
    (np.array([0, 1, 2**40]), r"the label of image 2 is 1099511627776"),
    (np.eye(3), r"shape \(3, 3\), several numbers for each image.*labels\.argmax"),
    (np.zeros((3, 1, 1)), r"shape \(3, 1, 1\), expected one label"),
    (np.zeros(3, "M8[s]"), r"holds 'datetime64\[s\]', expected integers from 0, or text"),
    (np.frombuffer(b"\xff\xff\xff\xff" * 3, "<U1"), r"holds text that is damaged: character ffffffff, expected at"),
    (np.frombuffer(b"\0\x11\0\0" * 3, ">U1"), r"holds text that is damaged: character 110000, expected at most"),
])
def test_other_labels_are_refused_with_what_was_found_and_what_to_do(given, says):
    with pytest.raises(DataError, match=rf"^here: {says}"):
        labels_of("here", given, 3)
