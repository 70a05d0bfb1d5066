import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import assert_within_rounding
from scipy import ndimage

from conv_jax.augment import affine_coordinates, elastic_displacements, warp

MAPS = {
    "identity": {},
    "rotation": {"rotation": 33.0},
    "zoom": {"zoom": 1.7},
    "shear": {"shear": -20.0},
    "translation": {"translation": (1.25, -0.5)},
    "all": {"rotation": -70.0, "zoom": 0.6, "shear": 30.0, "translation": (0.3, 2.0)},
}
SHAPE = (17, 21)  # of the displacements: the middle is eight pixels and more from the border
every_map = pytest.mark.parametrize("options", MAPS.values(), ids=MAPS)


def noise(shape, *, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


@functools.partial(jax.jit, static_argnames="shape")
def transformed(image, shape, **options):
    coordinates = affine_coordinates(shape, **options)
    return warp(image[None, :, :, None], coordinates[None])[0, :, :, 0]


@jax.jit
def displaced(key, alpha, sigma):
    return elastic_displacements(key, SHAPE, alpha=alpha, sigma=sigma)


def matrix_and_offset(shape, *, rotation=0.0, zoom=1.0, shear=0.0, translation=(0.0, 0.0)):
    """Return the map from (i, j) to the place in the image in float64, as scipy takes it."""
    cos, sin = math.cos(math.radians(rotation)), math.sin(math.radians(rotation))
    slanted = np.array([[1, 0], [math.tan(math.radians(shear)), 1]])
    matrix = slanted @ np.array([[cos, sin], [-sin, cos]]) / zoom
    centre = (np.array(shape) - 1) / 2
    return matrix, centre + translation - matrix @ centre


@pytest.mark.parametrize("size", [5, 6], ids=["odd", "even"])
@pytest.mark.parametrize("quarters", [-1, 1, 2, 3, 4, 5])
def test_quarters_are_those_of_rot90(quarters, size):
    image = noise((size, size))

    actual = transformed(image, (size, size), rotation=90.0 * quarters)

    np.testing.assert_array_equal(actual, np.rot90(image, quarters))


@pytest.mark.parametrize("shape", [(1, 1), (4, 7), (32, 32)], ids=str)
def test_identity_is_exact(shape):
    actual = jax.jit(lambda a, s: affine_coordinates(shape, rotation=a, shear=a, zoom=s))(0.0, 1.0)

    np.testing.assert_array_equal(actual, np.indices(shape))


@pytest.mark.parametrize("translation", [(2, -1), (-3, 0), (9, 9)], ids=str)
def test_a_whole_translation_is_a_shift(translation):
    image, (down, right) = noise((5, 6)), translation

    actual = transformed(image, (5, 6), translation=translation)

    surrounded = np.pad(image, 9)
    np.testing.assert_array_equal(actual, surrounded[9 + down :, 9 + right :][:5, :6])


@every_map
@pytest.mark.parametrize("shape", [(9, 9), (6, 11)], ids=str)
def test_is_scipys_affine_transform(options, shape, x64):
    image = np.float64(noise(shape))
    matrix, offset = matrix_and_offset(shape, **options)

    actual = transformed(image, shape, **options)

    expected = ndimage.affine_transform(image, matrix, offset, order=1, mode="grid-constant")
    # A place is the sum of two products of a matrix entry below 4 (off by 3 eps of it) and an
    # index below 11, on both sides: off by less than 1000 eps, and a slope is below 2 max|pixel|.
    bound = 2 * 1000 * np.finfo(np.float64).eps * abs(image).max()
    np.testing.assert_allclose(actual, expected, rtol=0, atol=bound)


def test_positive_angles_turn_counterclockwise_and_lean_to_the_right():
    image = np.zeros((9, 9), np.float32)
    image[:, 4] = 1

    turned = transformed(image, (9, 9), rotation=45.0)
    slanted = transformed(image, (9, 9), shear=45.0)

    assert turned[2, 2] > 0.5 > turned[2, 6]
    np.testing.assert_array_equal(slanted, np.eye(9)[::-1])


def test_elastic_displacements_are_blurred_noise():
    # So narrow a Gaussian leaves the noise as it is.
    noise, actual = (np.asarray(displaced(jax.random.key(3), 5.0, sigma)) for sigma in (0.1, 2.0))

    blurred = functools.partial(
        ndimage.gaussian_filter, sigma=2.0, radius=(16, 20), mode="constant"
    )
    expected = np.stack([blurred(np.float64(part)) for part in noise])
    magnitude = np.stack([blurred(np.float64(abs(part))) for part in noise])
    # A tap's exponent is below 4 where the tap counts, and off by less than 4 eps of it.
    assert_within_rounding(actual, expected, magnitude=magnitude, terms=17 + 21 + 2 * 16)


def test_elastic_displacements_are_as_large_as_said():
    alpha, sigma = 34.0, 2.0
    key, shape = jax.random.key(0), (4096, *SHAPE)

    fields = elastic_displacements(key, shape, alpha=alpha, sigma=sigma)
    middles = np.asarray(fields[:, :, 8, 10])

    # Sums of many numbers are nearly normal: the variance is off by sqrt(2 / samples) of it.
    expected = (alpha / (2 * sigma * math.sqrt(3 * math.pi))) ** 2
    assert abs((middles**2).mean() / expected - 1) < 5 * math.sqrt(2 / middles.size)
    assert abs(middles.mean()) < 5 * math.sqrt(expected / middles.size)


def test_no_displacement_reaches_alpha():
    field = np.asarray(displaced(jax.random.key(1), 3.0, 0.1))

    assert 2.95 < field.max() < 3.0
    assert -2.95 > field.min() > -3.0


def test_known_sigma_and_alpha_are_the_traced_ones():
    known = functools.partial(elastic_displacements, shape=SHAPE, alpha=5.0, sigma=2.0)

    actual = jax.jit(known)(jax.random.key(2))

    expected = np.float64(displaced(jax.random.key(2), 5.0, 2.0))
    assert_within_rounding(actual, expected, magnitude=np.float64(5.0), terms=17 + 21 + 2 * 16)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"zoom": 0.0}, "zoom: expected a finite number above 0, got 0.0"),
        ({"rotation": math.inf}, "rotation: expected a finite number, got inf"),
        ({"shear": "x"}, "shear: expected a finite number, got 'x'"),
    ],
    ids=str,
)
def test_a_mistake_about_an_affine_map_is_named(options, message, unchecked):
    with pytest.raises(ValueError, match=message):
        affine_coordinates((4, 4), **options)


def test_a_sigma_of_zero_is_named(unchecked):
    with pytest.raises(ValueError, match="sigma: expected a finite number above 0, got 0"):
        elastic_displacements(jax.random.key(0), (4, 4), alpha=1.0, sigma=0)


def test_a_shape_without_pixels_is_named(unchecked):
    with pytest.raises(ValueError, match=r"shape: expected .*, got \(0, 4\)"):
        affine_coordinates((0, 4))


def test_fields_are_of_the_default_float(x64):
    field = jax.eval_shape(displaced, jax.random.key(0), 1.0, 1.0)
    assert field.dtype == affine_coordinates((3, 3)).dtype == jnp.float64
