import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from conv_jax.augment import random_affine, random_distortion

SIZE = 21
MIDDLE = SIZE // 2
STRENGTHS = {"rotation": 15.0, "scale": 0.2, "shear": 20.0, "translation": 2.5}
AFFINE_AND_ELASTIC = {**STRENGTHS, "elastic": 20.0}


@functools.cache
def program():
    return jax.jit(random_distortion)


def distorted(key, images, *, fill_value=0, **strengths):
    """Distort with traced options, strengths not given 0: one program for images of a shape."""
    strengths = dict.fromkeys(AFFINE_AND_ELASTIC, 0.0) | strengths
    return program()(key, images, fill_value=images.dtype.type(fill_value), **strengths)


def ramps(count):
    """Return images of two channels, row and column: distorted, they tell where a pixel is from."""
    places = np.stack(np.indices((SIZE, SIZE)), axis=-1).astype(np.float32)
    return np.stack([places] * count)


def drawn(option, strength, *, count=256):
    """Return what every image drew, read off where its middle and two neighbours are from."""
    places = np.float64(distorted(jax.random.key(0), ramps(count), **{option: strength}))
    middle = places[:, MIDDLE, MIDDLE]
    down, right = (places[:, MIDDLE + a, MIDDLE + b] - middle for a, b in ((1, 0), (0, 1)))
    return {
        "rotation": lambda: np.degrees(np.arctan2(right[:, 0], right[:, 1])),
        "scale": lambda: -np.log(down[:, 0]),
        "shear": lambda: np.degrees(np.arctan(down[:, 1] / down[:, 0])),
        "translation": lambda: (middle - MIDDLE).ravel(),
    }[option]()


def random_images(dtype, *, count=3):
    numbers = np.random.default_rng(0).integers(0, 256, (count, 9, 8, 2))
    return numbers.astype(jnp.dtype(dtype))


@pytest.mark.parametrize("dtype", ["uint8", "bfloat16"])
def test_traced_strengths_of_zero_give_the_images_back(dtype):
    images = random_images(dtype)

    actual = distorted(jax.random.key(0), images)

    assert actual.dtype == images.dtype
    np.testing.assert_array_equal(actual, images)


@pytest.mark.parametrize("option", STRENGTHS)
def test_draws_fill_the_range_and_stay_within(option):
    strength = STRENGTHS[option]
    limit = math.log1p(strength) if option == "scale" else strength

    draws = drawn(option, strength)

    # A place of up to 20 in float32 is off by 20 eps or so, and an angle by that in radians.
    assert abs(draws).max() <= limit + math.degrees(200 * np.finfo(np.float32).eps)
    assert draws.min() < -0.9 * limit
    assert draws.max() > 0.9 * limit


@pytest.mark.parametrize("option", STRENGTHS)
def test_draws_are_uniform(option):
    draws = drawn(option, STRENGTHS[option])
    limit = math.log1p(STRENGTHS[option]) if option == "scale" else STRENGTHS[option]

    below = np.sort(draws / limit + 1) / 2
    steps = np.arange(1, len(draws) + 1) / len(draws)

    # Kolmogorov and Smirnov: a larger distance has a probability of 2 exp(-2 1.95^2) = 0.001.
    assert abs(below - steps).max() < 1.95 / math.sqrt(len(draws))


@pytest.mark.parametrize("option", AFFINE_AND_ELASTIC)
def test_every_image_has_a_draw_of_its_own(option):
    strength = {option: AFFINE_AND_ELASTIC[option]}

    actual = np.asarray(distorted(jax.random.key(1), ramps(256), **strength))

    assert len({image.tobytes() for image in actual}) == 256


def test_affine_and_elastic_parts_are_one_resampling():
    images, key = ramps(256), jax.random.key(2)
    affine = {"rotation": 5.0, "translation": 0.5}
    both, first, second = (
        np.float64(distorted(jax.random.clone(key), images, **strengths))
        for strengths in ({**affine, "elastic": 10.0}, affine, {"elastic": 10.0})
    )

    inner = (slice(None), slice(6, -6), slice(6, -6))

    # The places add; interpolating twice would not give this.
    expected = first[inner] + (second - images)[inner]
    np.testing.assert_allclose(both[inner], expected, rtol=0, atol=1e-5)
    assert abs(second - images)[inner].max() > 0.5


def text(function, **options):
    """Return a program, not compiled, as text."""
    traced = jax.make_jaxpr(functools.partial(function, **options))
    return str(traced(jax.random.key(0), random_images("uint8")))


def test_random_affine_is_the_distortion_without_its_elastic_part():
    options = {**STRENGTHS, "fill_value": 7}

    assert text(random_affine, **options) == text(random_distortion, **options)


def test_a_known_strength_of_zero_draws_no_noise():
    drawn, not_drawn = (
        text(random_distortion, rotation=1.0, elastic=elastic).count("random_bits")
        for elastic in (1.0, 0.0)
    )

    assert drawn > not_drawn


def test_vmap_is_a_call_for_each_key_and_strength():
    images, keys = random_images("uint8"), jax.random.split(jax.random.key(4), 3)
    factors = np.float32([0, 0.5, 1])
    strengths = {name: factors * strength for name, strength in AFFINE_AND_ELASTIC.items()}

    actual = jax.jit(jax.vmap(lambda key, strengths: random_distortion(key, images, **strengths)))(
        keys, strengths
    )

    np.testing.assert_array_equal(actual[0], images)
    for index, key in enumerate(jax.random.clone(keys)):
        single = distorted(key, images, **{name: s[index] for name, s in strengths.items()})
        # Sums in another order may cross the middle between two grey values.
        difference = abs(np.int32(actual[index]) - np.int32(single))
        assert difference.max() <= 1
        assert np.count_nonzero(difference) <= 2
    assert (actual[1] != actual[2]).any()


def test_outside_lies_the_fill_value():
    images = np.full((3, 9, 8, 2), 7, np.uint8)

    filled = distorted(jax.random.key(6), images, translation=40.0, fill_value=7)

    np.testing.assert_array_equal(filled, images)


def test_it_is_differentiable_in_images_and_strengths():
    images = jnp.asarray(random_images("float32"))

    def loss(images, angle):
        return (random_affine(jax.random.key(7), images, rotation=angle) ** 2).mean()

    by_images, by_angle = jax.jit(jax.grad(loss, argnums=(0, 1)))(images, 10.0)

    assert by_images.shape == images.shape
    assert np.isfinite(by_images).all()
    assert np.isfinite(by_angle)
    assert by_angle != 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rotation": -1.0}, "rotation: expected a number of at least 0, got -1.0"),
        ({"scale": math.nan}, "scale: expected a number of at least 0, got nan"),
        ({"shear": 90.0}, "shear: expected a number of at least 0 and at most 89, got 90.0"),
        ({"translation": "x"}, "translation: expected a number of at least 0, got 'x'"),
        ({"elastic": -2}, "elastic: expected a number of at least 0, got -2"),
        ({"elastic": 1.0, "elastic_sigma": 0.0}, "elastic_sigma: expected a finite number above"),
    ],
    ids=str,
)
def test_a_mistake_is_named(options, message, unchecked):
    with pytest.raises(ValueError, match=f"^{message}"):
        random_distortion(jax.random.key(0), random_images("uint8"), **options)
