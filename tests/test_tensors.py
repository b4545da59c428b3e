"""The dataset on a device: scaling by the training set alone, validation from its end, batches that miss nothing."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mnist_ops.data.dataset import ImageDataset, ImageSet
from mnist_ops.data.source import read
from mnist_ops.data.tensors import batch_count, batches, mean_and_sd, normalise, to_device, to_unit
from mnist_ops.errors import ConfigError
from tests.miniature import CPU, few_digits, few_tensors, generator


def shades(values: list[int], test: int = 255) -> ImageDataset:
    """Plain training images of these grey values, in this order; one test image."""
    images = np.stack([np.full((28, 28), value, dtype=np.uint8) for value in values])
    labels = np.arange(len(values), dtype=np.int64) % 2
    beyond = ImageSet(np.full((1, 28, 28), test, dtype=np.uint8), np.zeros(1, dtype=np.int64))
    return ImageDataset("shades", ("a", "b"), ImageSet(images, labels), beyond, ())


def test_a_class_weighs_inversely_to_its_training_images_and_the_mean_image_1():
    source = shades([10, 20, 30, 40])
    part = replace(source.train, labels=np.array([0, 0, 0, 2]))
    data = to_device(replace(source, train=part, classes=("a", "b", "c")), 0, CPU)
    assert data.balance[[0, 2]].tolist() == pytest.approx([4 / (2 * 3), 4 / 2])  # 4 images of 2 classes that have some
    assert float(data.balance[data.train.labels].mean()) == pytest.approx(1)
    assert data.balance is data.balance


# ---------------------------------------------------------------- mean and SD


def test_mean_and_sd_of_a_worked_example():
    # Grey values 0, 0, 1, 1/5 (51/255): mean 1.2 / 4 = 0.3; variance (0.09 + 0.09 + 0.49 + 0.01) / 4 = 0.17.
    data = to_device(shades([0, 0, 255, 51]), 0, CPU)
    assert data.mean == pytest.approx((0.3,))
    assert data.sd == pytest.approx((0.17**0.5,))


def test_mean_and_sd_see_neither_the_validation_nor_the_test_part():
    expected = to_device(shades([0, 255]), 0, CPU)
    other = to_device(shades([0, 255, 9, 8, 7], test=100), 3, CPU)
    assert (other.mean, other.sd) == (expected.mean, expected.sd) == ((0.5,), (0.5,))


def test_mean_and_sd_agree_with_numpy():
    images = few_digits().train.images
    mean, sd = mean_and_sd(torch.from_numpy(images)[:, None])
    assert mean == pytest.approx((np.mean(images / 255),), abs=1e-12)
    assert sd == pytest.approx((np.std(images / 255),), abs=1e-12)


def test_mnist_has_the_mean_and_sd_that_everybody_knows(mnist_dir):
    data = to_device(read("mnist", mnist_dir, fetch=False), 5000, CPU)
    assert (len(data.train), len(data.test)) == (55_000, 10_000)
    whole = torch.cat([data.train.images, data.validation.images])  # type: ignore[union-attr]
    mean, sd = mean_and_sd(whole)
    assert (round(mean[0], 4), round(sd[0], 4)) == (0.1307, 0.3081)
    assert (data.mean, data.sd) != (mean, sd)  # those of the 55,000 alone


def test_scaled_training_images_have_mean_0_and_sd_1():
    data = few_tensors()
    scaled = normalise(to_unit(data.train.images), data.mean, data.sd)
    assert scaled.dtype == torch.float32
    assert abs(float(scaled.mean())) < 1e-5
    assert float(scaled.std(correction=0)) == pytest.approx(1, abs=1e-5)


def test_one_channel_lies_channels_last_by_its_strides():
    grey = to_unit(few_tensors().train.images[:3])
    scaled = normalise(grey, [0.1], [0.3])
    assert scaled.stride() == (784, 1, 28, 1)
    assert torch.equal(scaled, (grey - 0.1) / 0.3)


def test_grey_values_run_from_0_to_1():
    assert to_unit(torch.tensor([0, 51, 255], dtype=torch.uint8)).tolist() == pytest.approx([0, 0.2, 1])


@pytest.mark.parametrize("shade", [0, 77])
def test_images_that_are_all_equal_cannot_be_scaled(shade):
    with pytest.raises(ConfigError, match=rf"all 3 training images of shades have the same grey value {shade};"):
        to_device(shades([shade] * 3), 0, CPU)


# ---------------------------------------------------------------- parts


def test_parts_have_the_shapes_and_types_that_training_expects():
    data = few_tensors(96, 40)
    assert data.train.images.shape == (96, 1, 28, 28)
    assert data.test.images.shape == (40, 1, 28, 28)
    assert (data.train.images.dtype, data.train.labels.dtype) == (torch.uint8, torch.int64)
    assert data.validation is None


def test_the_validation_part_is_the_end_of_the_training_part():
    whole, data = few_digits(), few_tensors(validation=20)
    assert data.validation is not None
    assert np.array_equal(data.train.images[:, 0], whole.train.images[:-20])
    assert np.array_equal(data.validation.images[:, 0], whole.train.images[-20:])
    assert np.array_equal(data.validation.labels, whole.train.labels[-20:])


def test_images_that_are_read_only_are_taken_without_a_warning(recwarn):
    source = shades([10, 20, 30, 40])
    source.test.images.setflags(write=False)
    assert to_device(source, 0, CPU).test.images.shape == (1, 1, 28, 28)
    assert not recwarn.list


def test_the_names_of_images_are_cut_with_them():
    source = shades([1, 2, 3, 4])
    source = replace(source, train=replace(source.train, names=("a", "b", "c", "d")))
    data = to_device(source, 1, CPU)
    assert data.train.names == ("a", "b", "c")
    assert data.validation is not None
    assert data.validation.names == ("d",)


@pytest.mark.parametrize(("validation", "left"), [(3, 1), (4, 0), (400, 0)])
def test_a_validation_part_that_leaves_too_little_is_refused(validation, left):
    with pytest.raises(ConfigError, match=f"{validation} of 4 training images .* would leave {left} for training"):
        to_device(shades([1, 2, 3, 4]), validation, CPU)


# ---------------------------------------------------------------- batches


@given(count=st.integers(2, 300), size=st.integers(1, 400), seed=st.integers(0, 9))
def test_batches_cover_every_index_once_and_are_as_many_as_counted(count, size, seed):
    made = list(batches(count, size, generator(seed)))
    assert sorted(torch.cat(made).tolist()) == list(range(count))
    assert len(made) == batch_count(count, size)
    assert all(len(batch) == size for batch in made[:-1])
    assert len(made[-1]) > 1 or size == 1


@pytest.mark.parametrize(("count", "size", "sizes"), [
    (96, 32, [32, 32, 32]),
    (100, 32, [32, 32, 32, 4]),
    (97, 32, [32, 32, 33]),  # no batch of one
    (33, 32, [33]),
    (20, 32, [20]),  # a batch larger than the dataset
    (4, 3, [4]),
    (3, 1, [1, 1, 1]),  # one by one, as asked
])
def test_batch_sizes(count, size, sizes):
    assert [len(batch) for batch in batches(count, size, generator())] == sizes


def test_the_order_comes_from_the_generator_alone():
    before = torch.get_rng_state()
    first, again, other = (torch.cat(list(batches(50, 8, generator(seed)))) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not torch.equal(first, torch.arange(50))
    assert torch.equal(torch.get_rng_state(), before)
