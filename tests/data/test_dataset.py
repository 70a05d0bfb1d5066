from fractions import Fraction

import numpy as np
import pytest

from conv_jax.data import Dataset, Split, hold_out, resize


def random_images(shape):
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def bilinear(image, *, factor, shift=Fraction(1, 2)):
    """Interpolate one pixel at a time in exact fractions: the independent expected value.

    Pixel i of an axis has its centre at i + shift of its own widths.
    """
    last = len(image) - 1

    def neighbours(t):
        centre = min(max((t + shift) / factor - shift, Fraction(0)), Fraction(last))
        low = min(int(centre), last - 1)
        return (low, 1 - (centre - low)), (low + 1, centre - low)

    def value(t, u):
        corners = [(i, j, a * b) for i, a in neighbours(t) for j, b in neighbours(u)]
        return round(sum(int(image[i, j]) * weight for i, j, weight in corners))

    size = range(factor * len(image))
    return np.uint8([[value(t, u) for u in size] for t in size])


@pytest.fixture
def dataset():
    images, labels = random_images((9, 2, 2, 1)), np.arange(9, dtype=np.int32)
    train, test = Split(images[:6], labels[:6]), Split(images[6:], labels[6:])
    return Dataset("nine", train, test, tuple("abcdefghi"))


@pytest.mark.parametrize("factor", [2, 3, 4, 5], ids="factor{}".format)
def test_resize_interpolates_exactly(factor):
    image = random_images((6, 6))
    actual = resize(image[None, ..., None], image_size=6 * factor)
    np.testing.assert_array_equal(actual[0, ..., 0], bilinear(image, factor=factor), strict=True)


def test_resize_interpolates_between_centres_and_not_corners():
    image = random_images((6, 6))
    actual = resize(image[None, ..., None], image_size=12)[0, ..., 0]
    assert np.any(actual != bilinear(image, factor=2, shift=Fraction(0)))


@pytest.mark.parametrize("value", [0, 1, 254, 255])
def test_resize_keeps_a_constant_image(value):
    images = np.full((2, 8, 8, 3), value, np.uint8)
    np.testing.assert_array_equal(
        resize(images, image_size=32), np.full((2, 32, 32, 3), value, np.uint8), strict=True
    )


def test_resize_takes_channels_and_images_one_by_one():
    images = random_images((2, 4, 4, 3))
    alone = resize(images[1:, ..., 2:], image_size=8)
    np.testing.assert_array_equal(resize(images, image_size=8)[1:, ..., 2:], alone)


def test_resize_repeats_an_image_of_one_pixel():
    images = random_images((3, 1, 1, 1))
    np.testing.assert_array_equal(resize(images, image_size=2), images.repeat(2, 1).repeat(2, 2))


def test_resize_pads_equally_by_other_factors():
    images = random_images((2, 6, 6, 1))
    actual = resize(images, image_size=10)
    np.testing.assert_array_equal(actual[:, 2:8, 2:8], images, strict=True)
    assert actual.sum() == images.sum()


def test_resize_pads_an_odd_difference_more_at_bottom_and_right():
    images = random_images((2, 6, 6, 1))
    np.testing.assert_array_equal(resize(images, image_size=9)[:, 1:7, 1:7], images)


def test_resize_to_the_same_size_changes_nothing():
    images = random_images((2, 6, 6, 1))
    np.testing.assert_array_equal(resize(images, image_size=6), images, strict=True)


@pytest.mark.parametrize("image_size", [5, 0, -6])
def test_resize_refuses_to_shrink(image_size):
    with pytest.raises(ValueError, match=f"image_size: expected at least .* 6, got {image_size}"):
        resize(random_images((2, 6, 6, 1)), image_size=image_size)


def test_resize_refuses_images_that_are_not_square():
    with pytest.raises(ValueError, match="image_size: expected square images to resize, got 4x6"):
        resize(random_images((2, 4, 6, 1)), image_size=8)


def test_hold_out_tests_on_the_last_training_images(dataset):
    held_out = hold_out(dataset, num_images=2)
    np.testing.assert_array_equal(held_out.test.labels, [4, 5])
    np.testing.assert_array_equal(held_out.test.images, dataset.train.images[4:])


def test_hold_out_trains_on_the_others(dataset):
    held_out = hold_out(dataset, num_images=2)
    np.testing.assert_array_equal(held_out.train.labels, [0, 1, 2, 3])
    np.testing.assert_array_equal(held_out.train.images, dataset.train.images[:4])


@pytest.mark.parametrize("num_images", [-1, 0, 6, 7])
def test_hold_out_refuses_none_and_all(dataset, num_images):
    with pytest.raises(ValueError, match=f"num_images: expected 1 to 5, got {num_images}"):
        hold_out(dataset, num_images=num_images)
