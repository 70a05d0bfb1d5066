import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import compiled
from oracles import assert_within_rounding
from scipy import ndimage

from conv_jax.augment import warp

SHAPE = (2, 6, 7, 2)
warped = compiled(warp)


def images_of(dtype, *, seed=0, shape=SHAPE):
    numbers = np.random.default_rng(seed)
    if np.issubdtype(dtype, np.integer):
        limits = np.iinfo(dtype)
        return numbers.integers(limits.min, limits.max, shape, dtype, endpoint=True)
    return numbers.normal(size=shape).astype(jnp.dtype(dtype))


def places(dtype="float32", *, seed=1, margin=3.0, size=(5, 8)):
    """Return places in the images and up to `margin` pixels around them."""
    numbers = np.random.default_rng(seed)
    high = np.reshape(SHAPE[1:3], (2, 1, 1)) - 1 + margin
    return numbers.uniform(-margin, high, (SHAPE[0], 2, *size)).astype(dtype)


def grid(*, moved=(0, 0)):
    rows, columns = np.indices(SHAPE[1:3], dtype=np.float32)
    return np.stack([np.stack([rows + moved[0], columns + moved[1]])] * SHAPE[0])


def by_scipy(images, coordinates, *, mode="grid-constant", fill_value=0.0):
    return np.stack(
        [
            np.stack(
                [
                    ndimage.map_coordinates(
                        np.float64(image[..., channel]),
                        np.float64(place),
                        order=1,
                        mode=mode,
                        cval=fill_value,
                    )
                    for channel in range(image.shape[-1])
                ],
                axis=-1,
            )
            for image, place in zip(images, coordinates, strict=True)
        ]
    )


def assert_interpolated(actual, expected, *, largest):
    """Check |error| <= 5 eps max|pixel|.

    A weight p - floor(p) is off by u = eps / 2 of 1 at most, 1 less it by u more, so each of the
    two interpolations by 2 u max|pixel| for its weights, and by 2 u for products and sum.
    """
    assert_within_rounding(actual, expected, magnitude=np.float64(largest), terms=4)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float16", "bfloat16", "float32"])
def test_whole_places_give_the_pixels_bit_for_bit(dtype):
    images = images_of(jnp.dtype(dtype))

    actual = warped(images, grid())

    assert actual.dtype == images.dtype
    np.testing.assert_array_equal(actual, images)


@pytest.mark.parametrize("moved", [(2, -3), (-6, 0), (0, 100)], ids=str)
def test_whole_places_outside_give_the_fill_value(moved):
    images = images_of("uint8")
    rows, columns = (np.arange(n) + m for n, m in zip(SHAPE[1:3], moved, strict=True))
    inside = ((rows >= 0) & (rows < 6))[:, None] & ((columns >= 0) & (columns < 7))[None, :]

    actual = compiled(warp, fill_value=9)(images, grid(moved=moved))

    seen = images[:, np.clip(rows, 0, 5)][:, :, np.clip(columns, 0, 6)]
    np.testing.assert_array_equal(actual, np.where(inside[None, :, :, None], seen, 9))


@pytest.mark.parametrize("fill_value", [0.0, 2.5])
def test_float32_is_scipys_in_float64(fill_value):
    images, coordinates = images_of("float32"), places()

    actual = compiled(warp, fill_value=fill_value)(images, coordinates)

    expected = by_scipy(images, coordinates, fill_value=fill_value)
    assert_interpolated(actual, expected, largest=max(abs(images).max(), fill_value))


def test_float64_is_scipys(x64):
    images, coordinates = images_of("float64"), places("float64")

    actual = warped(images, coordinates)

    assert actual.dtype == np.float64
    assert_interpolated(actual, by_scipy(images, coordinates), largest=abs(images).max())


def test_between_the_outermost_pixels_it_is_scipys_other_constant_too():
    images, coordinates = images_of("float32"), places(margin=0.0)

    actual = warped(images, coordinates)

    expected = by_scipy(images, coordinates, mode="constant")
    assert_interpolated(actual, expected, largest=abs(images).max())


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_a_narrow_float_is_the_float32_result_rounded_once(dtype):
    images, coordinates = images_of(dtype), places()

    actual = warped(images, coordinates)

    assert actual.dtype == jnp.dtype(dtype)
    expected = by_scipy(images.astype("float32"), coordinates)
    assert_interpolated(actual, expected, largest=float(abs(images).max()))


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16"])
def test_integers_are_rounded_to_nearest(dtype):
    images, coordinates = images_of(dtype), places()

    actual = warped(images, coordinates)

    largest = np.iinfo(dtype).max
    error = abs(np.float64(actual) - by_scipy(images, coordinates))
    assert actual.dtype == jnp.dtype(dtype)
    assert error.max() <= 0.5 + 5 * np.finfo(np.float32).eps * largest
    assert error.max() > 0.4


def test_the_brightest_grey_never_wraps():
    images = np.full(SHAPE, 255, np.uint8)

    np.testing.assert_array_equal(warped(images, places(margin=0.0)), 255)


def test_the_gradient_is_the_adjoint(x64):
    images, coordinates = images_of("float64"), places("float64")
    cotangent = images_of("float64", seed=2, shape=(2, 5, 8, 2))

    _, transposed = jax.vjp(lambda x: warp(x, coordinates), jnp.asarray(images))
    [gradient] = jax.jit(transposed)(cotangent)

    expected = np.vdot(by_scipy(images, coordinates), cotangent)
    magnitude = np.vdot(by_scipy(abs(images), coordinates), abs(cotangent))
    # Every product with a pixel meets four weights' roundings and one of each sum that it is in.
    terms = cotangent.size + images.size
    assert_within_rounding(
        np.vdot(gradient, images), expected, magnitude=np.asarray(magnitude), terms=terms
    )


def test_the_derivative_by_the_place_is_the_slope_in_the_cell(x64):
    images = images_of("float64")
    coordinates = np.floor(places("float64", margin=0.0)) + 0.5
    step = np.zeros((2, 2, 5, 8)) + np.array([0.25, 0.125])[None, :, None, None]

    _, slope = jax.jvp(lambda p: warp(images, p), (jnp.asarray(coordinates),), (jnp.asarray(step),))

    # Along a line a cell is a parabola, whose central difference is its slope.
    difference = by_scipy(images, coordinates + step) - by_scipy(images, coordinates - step)
    np.testing.assert_allclose(slope, difference / 2, rtol=0, atol=1e-14 * abs(images).max())


@pytest.mark.parametrize(
    ("images", "coordinates", "options", "message"),
    [
        pytest.param(
            np.zeros(SHAPE, np.int32),
            grid(),
            {},
            "images: expected floats or integers of at most 16 bits, got int32",
            id="wide_integers",
        ),
        pytest.param(
            np.zeros(SHAPE, bool),
            grid(),
            {},
            "images: expected floats or integers of at most 16 bits, got bool",
            id="booleans",
        ),
        pytest.param(
            np.zeros(SHAPE[1:], np.uint8),
            grid(),
            {},
            r"images: expected a shape \(B, H, W, C\), got \(6, 7, 2\)",
            id="one_image",
        ),
        pytest.param(
            np.zeros(SHAPE, np.uint8),
            grid()[:1],
            {},
            r"coordinates: expected a shape \(2, 2, h, w\), got \(1, 2, 6, 7\)",
            id="places_of_fewer_images",
        ),
        pytest.param(
            np.zeros(SHAPE, np.uint8),
            grid(),
            {"fill_value": 256},
            "fill_value: expected a number that uint8 holds, got 256",
            id="fill_value",
        ),
    ],
)
def test_a_mistake_is_named(images, coordinates, options, message, unchecked):
    with pytest.raises(ValueError, match=message):
        warp(images, coordinates, **options)
