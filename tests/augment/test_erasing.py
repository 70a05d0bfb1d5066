import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from conv_jax.augment import random_erasing

HEIGHT, WIDTH = 12, 20


@functools.cache
def program():
    return jax.jit(random_erasing)


def erased(*, probability=1.0, area=(0.02, 0.4), aspect=(0.3, 3.0)):
    """Return a mask of what was erased of blank images; one program for all options."""
    images = np.full((2048, HEIGHT, WIDTH, 1), 200, np.uint8)
    options = {"probability": probability, "area": area, "aspect": aspect}
    actual = np.asarray(program()(jax.random.key(0), images, **options))
    assert set(np.unique(actual)) <= {0, 200}
    return actual[..., 0] == 0


def rectangles(masks):
    """Return top, left, height and width of the rectangle that each mask is."""
    rows, columns = masks.any(axis=2), masks.any(axis=1)
    np.testing.assert_array_equal(masks, rows[:, :, None] & columns[:, None, :])
    top, left = rows.argmax(axis=1), columns.argmax(axis=1)
    height, width = rows.sum(axis=1), columns.sum(axis=1)
    for starts, sizes, marked in ((top, height, rows), (left, width, columns)):
        index = np.arange(marked.shape[1])[None, :]
        stretch = (index >= starts[:, None]) & (index < (starts + sizes)[:, None])
        np.testing.assert_array_equal(marked, stretch)
    return top, left, height, width


@pytest.mark.parametrize("dtype", ["bool", "bfloat16"])
def test_a_probability_of_zero_gives_the_images_back(dtype):
    images = np.random.default_rng(0).integers(0, 2, (2, 5, 6, 3)).astype(jnp.dtype(dtype))

    actual = program()(jax.random.key(0), images, probability=0.0)

    assert actual.dtype == images.dtype
    np.testing.assert_array_equal(actual, images)


def test_a_probability_of_one_erases_a_rectangle_of_every_image():
    _, _, height, width = rectangles(erased())

    assert height.min() >= 1
    assert width.min() >= 1


def test_as_many_are_erased_in_as_said():
    count, probability = 2048, 0.25

    share = erased(probability=probability).any(axis=(1, 2)).mean()

    deviation = math.sqrt(probability * (1 - probability) / count)
    assert abs(share - probability) < 5 * deviation


def test_area_and_aspect_stay_within_their_ranges():
    options = {"area": (0.1, 0.3), "aspect": (0.5, 1.5)}

    _, _, height, width = rectangles(erased(**options))

    # The sides before they were rounded: none is longer than the image with these ranges.
    pixels = HEIGHT * WIDTH
    assert ((height - 0.5) * (width - 0.5)).max() <= 0.3 * pixels
    assert ((height + 0.5) * (width + 0.5)).min() >= 0.1 * pixels
    assert ((height - 0.5) / (width + 0.5)).max() <= 1.5
    assert ((height + 0.5) / (width - 0.5)).min() >= 0.5
    assert (height * width).min() < 0.12 * pixels < 0.28 * pixels < (height * width).max()
    assert (height / width).min() < 0.6 < 1.4 < (height / width).max()


def test_every_place_within_the_image_is_reached():
    options = {"area": (0.05, 0.05), "aspect": (1.0, 1.0)}

    top, left, height, width = rectangles(erased(**options))

    assert set(top) == set(range(HEIGHT - height[0] + 1))
    assert set(left) == set(range(WIDTH - width[0] + 1))


@pytest.mark.parametrize("aspect", [(HEIGHT / WIDTH,) * 2, (100.0, 100.0)], ids=["whole", "tall"])
def test_no_side_is_longer_than_the_image(aspect):
    _, _, height, _ = rectangles(erased(area=(1.0, 1.0), aspect=aspect))

    assert (height == HEIGHT).all()


def test_every_image_has_a_rectangle_of_its_own():
    masks = erased()

    assert len({mask.tobytes() for mask in masks}) > 1000


def test_the_fill_value_is_painted():
    images = np.zeros((4, 6, 6, 1), np.float32)

    actual = jax.jit(functools.partial(random_erasing, probability=1.0, fill_value=0.5))(
        jax.random.key(0), images
    )

    assert set(np.unique(actual)) == {0.0, 0.5}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"probability": -0.1}, "probability: expected a number of at least 0"),
        ({"probability": 1.1}, "probability: expected a number of at least 0 and at most 1"),
        ({"area": (0.0, 0.4)}, "area: expected"),
        ({"area": (0.5, 0.4)}, "area: expected"),
        ({"area": (0.5, 1.5)}, "area: expected"),
        ({"area": 0.3}, "area: expected"),
        ({"aspect": (-1.0, 1.0)}, "aspect: expected"),
        ({"fill_value": -1}, "fill_value: expected a number that uint8 holds, got -1"),
    ],
    ids=str,
)
def test_a_mistake_is_named(options, message, unchecked):
    with pytest.raises(ValueError, match=f"^{message}"):
        random_erasing(jax.random.key(0), np.zeros((1, 4, 4, 1), np.uint8), **options)
