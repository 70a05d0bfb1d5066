"""Every algorithm itself, [G, N, C, H, W] and [G, O, C, kH, kW], against a float64 sum."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import random_integers, random_numbers
from oracles import assert_close_groups, correlate_numpy

from conv_jax.algorithms import ALGORITHMS, ON_CPU

GROUPS, IMAGES, CHANNELS, KERNELS = 2, 3, 2, 3
NO_PADS = ((0, 0), (0, 0))
IMPLEMENTATIONS = ALGORITHMS | {f"{name}_on_cpu": function for name, function in ON_CPU.items()}
EXACT = [name for name in IMPLEMENTATIONS if not name.startswith("fft")]
# Image size, kernel size, stride, dilation, pads.
PLACES = {
    "plain": ((7, 6), (3, 2), (1, 1), (1, 1), NO_PADS),
    "one_pixel": ((1, 1), (1, 1), (1, 1), (1, 1), NO_PADS),
    "stride": ((9, 8), (2, 3), (3, 2), (1, 1), NO_PADS),
    "dilation": ((9, 8), (3, 2), (1, 1), (2, 3), NO_PADS),
    "everything": ((8, 7), (3, 2), (2, 3), (1, 2), ((3, 1), (0, 4))),
    "many_taps": ((11, 10), (6, 6), (1, 2), (1, 1), ((0, 1), (2, 0))),
    "large_kernel": ((10, 8), (9, 7), (1, 1), (1, 1), ((1, 0), (0, 1))),
    "tall_kernel": ((23, 6), (10, 3), (2, 1), (2, 2), NO_PADS),
}
EVERYTHING = PLACES["everything"]

every_implementation = pytest.mark.parametrize("name", IMPLEMENTATIONS)
every_place = pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)


def _shapes(place):
    size, kernel_size, *_ = place
    return (GROUPS, IMAGES, CHANNELS, *size), (GROUPS, KERNELS, CHANNELS, *kernel_size)


def _compute(name, image, kernel, place):
    _, _, stride, dilation, pads = place
    options = {"stride": stride, "dilation": dilation, "pads": pads}
    with jax.numpy_dtype_promotion("strict"):
        return jax.jit(functools.partial(IMPLEMENTATIONS[name], **options))(image, kernel)


def _expected_options(place):
    return dict(zip(("stride", "dilation", "padding"), place[2:], strict=True))


def _assert_matches_float64_sum(name, place, dtype):
    image, kernel = (random_numbers(i, shape, dtype) for i, shape in enumerate(_shapes(place)))

    actual = _compute(name, image, kernel, place)

    assert actual.dtype == dtype
    assert_close_groups(name, actual, image, kernel, **_expected_options(place))


def _assert_is_exact(name, dtype):
    shapes = _shapes(EVERYTHING)
    image, kernel = (
        random_integers(seed, shape, dtype, terms=math.prod(shapes[1][2:]))
        for seed, shape in enumerate(shapes)
    )

    actual = _compute(name, image, kernel, EVERYTHING)

    assert actual.dtype == dtype
    expected = correlate_numpy(image, kernel, **_expected_options(EVERYTHING))
    assert abs(expected).max() < 2**53
    np.testing.assert_array_equal(actual, expected)


@every_implementation
@every_place
def test_floats_are_within_rounding(name, place):
    _assert_matches_float64_sum(name, place, "float32")


@every_implementation
def test_complex_numbers_are_within_rounding(name):
    _assert_matches_float64_sum(name, EVERYTHING, "complex64")


@every_implementation
def test_float64_is_within_rounding(name, x64):
    _assert_matches_float64_sum(name, EVERYTHING, "float64")


@pytest.mark.parametrize("name", ["shifted_on_cpu", "fft", "fft_on_cpu", "matmul"])
def test_complex128_is_within_rounding(name, x64):
    _assert_matches_float64_sum(name, EVERYTHING, "complex128")


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize("dtype", ["int32", "uint32"])
def test_integers_are_exact(name, dtype):
    _assert_is_exact(name, dtype)


@pytest.mark.parametrize("name", EXACT)
def test_32_bit_integers_stay_so_under_x64(name, x64):
    _assert_is_exact(name, "int32")


@pytest.mark.parametrize("name", EXACT)
def test_a_pixel_that_is_not_a_number_stays_in_its_windows(name):
    image = np.ones((1, 2, 1, 9, 8), np.float32)
    kernel = np.ones((1, 1, 1, 6, 6), np.float32)
    image[0, 0, 0, 0, 7] = np.nan
    place = ((9, 8), (6, 6), (1, 1), (1, 1), ((2, 2), (2, 2)))

    actual = np.asarray(_compute(name, image, kernel, place))

    expected = correlate_numpy(image, kernel, **_expected_options(place))
    np.testing.assert_array_equal(np.isnan(actual), np.isnan(expected))
    assert 0 < np.isnan(actual).sum() < actual.size / 4


def test_fft_spreads_what_is_not_a_number_over_its_image_alone():
    image, kernel = np.ones((1, 2, 1, 9, 8), np.float32), np.ones((1, 1, 1, 3, 3), np.float32)
    image[0, 0, 0, 0, 7] = np.nan

    actual = _compute("fft", image, kernel, PLACES["plain"])

    assert jnp.isnan(actual[0, 0]).all()
    assert jnp.isfinite(actual[0, 1]).all()


@pytest.mark.parametrize(
    ("name", "element"),
    [
        *[(name, (0, 0)) for name in IMPLEMENTATIONS],
        *[(name, (2, 3)) for name in ("shifted_on_cpu", "fft", "fft_on_cpu")],
    ],
    ids=str,
)
def test_a_weight_that_is_not_a_number_spoils_its_kernel_alone(name, element):
    image, kernel = np.ones((1, 2, 1, 9, 8), np.float32), np.ones((1, 2, 1, 6, 6), np.float32)
    kernel[0, 1, 0, *element] = np.nan

    actual = _compute(name, image, kernel, ((9, 8), (6, 6), (1, 1), (1, 1), NO_PADS))

    assert jnp.isfinite(actual[:, :, 0]).all()
    assert jnp.isnan(actual[:, :, 1]).all()


@every_implementation
def test_first_weights_that_are_not_a_number_spoil_everything(name):
    image, kernel = np.ones((1, 1, 1, 9, 8), np.float32), np.ones((1, 1, 1, 6, 6), np.float32)
    kernel[..., 0, 0] = np.nan

    actual = _compute(name, image, kernel, ((9, 8), (6, 6), (1, 1), (1, 1), NO_PADS))

    assert jnp.isnan(actual).all()


def test_a_sum_of_the_wrong_channels_disagrees():
    shapes = _shapes(PLACES["plain"])
    image, kernel = (random_numbers(i, shape, "float32") for i, shape in enumerate(shapes))

    actual = _compute("direct", image, kernel, PLACES["plain"])

    with pytest.raises(AssertionError, match="more than the rounding of 12 products"):
        assert_close_groups("direct", actual, image, kernel[:, :, ::-1])
