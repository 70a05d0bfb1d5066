"""corr2d and conv2d against the oracles, and the laws that correlation obeys."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import (
    BOUNDARIES,
    FLOATS,
    INTEGER_PAIRS,
    WORDS,
    bounded,
    calls,
    compiled,
    every_algorithm,
    every_exact_algorithm,
    random_integers,
    random_numbers,
    seeds,
    small_integers,
)
from hypothesis import given
from hypothesis import strategies as st
from oracles import assert_close, assert_whole, corr2d_exact, corr2d_numpy, norm

from conv_jax import conv2d, corr2d, corr2d_reference

every_boundary = pytest.mark.parametrize("boundary", BOUNDARIES)
every_word = pytest.mark.parametrize("padding", WORDS)


@every_exact_algorithm
@bounded(max_examples=4)
@given(call=calls(), dtypes=st.sampled_from(INTEGER_PAIRS), seed=seeds)
def test_integers_are_exact(algorithm, call, dtypes, seed):
    image_shape, kernel_shape, options = call
    terms = int(np.prod(kernel_shape))
    image = random_integers([seed, 0], image_shape, dtypes[0], terms=terms)
    kernel = random_integers([seed, 1], kernel_shape, dtypes[1], terms=terms)

    actual = compiled(corr2d, algorithm=algorithm, **options)(image, kernel)

    np.testing.assert_array_equal(actual, corr2d_exact(image.tolist(), kernel.tolist(), **options))


@bounded(max_examples=5)
@given(call=calls(), dtypes=st.sampled_from([("int64", "int64"), ("int32", "uint32")]), seed=seeds)
def test_64_bit_integers_are_exact(call, dtypes, seed, x64):
    image_shape, kernel_shape, options = call
    image = random_integers([seed, 0], image_shape, dtypes[0], terms=1) * 1000
    kernel = random_integers([seed, 1], kernel_shape, dtypes[1], terms=1)

    actual = compiled(corr2d, **options)(image, kernel)

    assert actual.dtype == jnp.int64
    np.testing.assert_array_equal(actual, corr2d_exact(image.tolist(), kernel.tolist(), **options))


def _assert_matches_float64_sum(algorithm, call, dtype, seed):
    image_shape, kernel_shape, options = call
    image = random_numbers([seed, 0], image_shape, dtype)
    kernel = random_numbers([seed, 1], kernel_shape, dtype)

    actual = compiled(corr2d, algorithm=algorithm, **options)(image, kernel)

    assert actual.dtype == dtype
    assert_close(algorithm, actual, image, kernel, **options)


@every_algorithm
@bounded(max_examples=5)
@given(call=calls(), dtype=st.sampled_from(FLOATS), seed=seeds)
def test_floats_are_within_rounding(algorithm, call, dtype, seed):
    _assert_matches_float64_sum(algorithm, call, dtype, seed)


@bounded(max_examples=5)
@given(call=calls(), dtype=st.sampled_from(["float64", "complex128"]), seed=seeds)
def test_64_bit_floats_are_within_rounding(call, dtype, seed, x64):
    _assert_matches_float64_sum("auto", call, dtype, seed)


@every_algorithm
def test_large_float32_sums_are_within_rounding(algorithm):
    _assert_matches_float64_sum(algorithm, ((2, 40, 37), (9, 8), {}), "float32", 0)


@pytest.mark.parametrize("dtype", ["uint8", "int32"])
def test_fft_refuses_integers(dtype):
    image = small_integers(0, (5, 6), dtype)

    with pytest.raises(ValueError, match=r"algorithm: expected .* exact .*, got 'fft'"):
        compiled(corr2d, algorithm="fft")(image, image)


@bounded(max_examples=6)
@given(call=calls(), seed=seeds)
def test_conv2d_is_corr2d_of_the_flipped_kernel(call, seed):
    image_shape, kernel_shape, options = call
    image = small_integers([seed, 0], image_shape)
    kernel = small_integers([seed, 1], kernel_shape)

    actual = compiled(conv2d, **options)(image, kernel)

    np.testing.assert_array_equal(actual, corr2d_numpy(image, kernel[::-1, ::-1], **options))


@pytest.mark.parametrize("operator", [corr2d, conv2d, corr2d_reference])
def test_eager_call_equals_jitted_call(operator):
    image, kernel = small_integers(0, (5, 6)), small_integers(1, (2, 3))
    options = {"stride": (1, 2), "padding": ((0, 1), (2, 3)), "boundary": "wrap"}

    eager = operator(image, kernel, **options)

    np.testing.assert_array_equal(eager, compiled(operator, **options)(image, kernel))


def test_reference_is_the_algorithm_of_that_name():
    image, kernel = random_numbers(0, (9, 9), "float32"), random_numbers(1, (3, 3), "float32")

    actual = compiled(corr2d_reference, padding="same")(image, kernel)

    named = compiled(corr2d, padding="same", algorithm="reference")(image, kernel)
    np.testing.assert_array_equal(actual, named)


@every_boundary
def test_correlation_is_linear_in_both(boundary):
    correlate = compiled(corr2d, padding="full", boundary=boundary)
    images, kernels = small_integers(0, (2, 5, 6)), small_integers(1, (2, 3, 2))

    of_sums = correlate(2 * images[0] + images[1], kernels[0] - 3 * kernels[1])

    of_images = correlate(images, kernels[0]) - 3 * correlate(images, kernels[1])
    np.testing.assert_array_equal(of_sums, 2 * of_images[0] + of_images[1])


@every_algorithm
def test_a_shifted_image_gives_the_shifted_result(algorithm):
    correlate = compiled(corr2d, algorithm=algorithm, padding="same", boundary="wrap")
    image, kernel = small_integers(0, (5, 6)), small_integers(1, (3, 2))

    actual = correlate(np.roll(image, (3, -2), (0, 1)), kernel)

    unshifted = correlate(image, kernel)
    expected = np.roll(unshifted, (3, -2), (0, 1))
    assert_whole(algorithm, actual, np.round(expected), norms=4 * norm(image, kernel))
    assert abs(actual - unshifted).max() > 1


@every_algorithm
def test_full_convolution_commutes(algorithm):
    convolve = compiled(conv2d, algorithm=algorithm, padding="full")
    first, second = small_integers(0, (5, 6)), small_integers(1, (2, 3))

    actual = convolve(first, second)

    assert_whole(algorithm, actual, np.round(convolve(second, first)), norms=norm(first, second))


def test_full_correlation_does_not_commute():
    correlate = compiled(corr2d, padding="full")
    first, second = small_integers(0, (5, 6)), small_integers(1, (2, 3))

    forward, backward = correlate(first, second), correlate(second, first)

    assert not np.array_equal(forward, backward)
    np.testing.assert_array_equal(forward, backward[::-1, ::-1])


@every_algorithm
def test_stride_leaves_out_rows_and_columns(algorithm):
    image, kernel = small_integers(0, (8, 7)), small_integers(1, (2, 3))

    strided = compiled(corr2d, algorithm=algorithm, padding="same", stride=(3, 2))(image, kernel)

    every = corr2d_numpy(image, kernel, padding="same")
    assert_whole(algorithm, strided, every[::3, ::2], norms=norm(image, kernel))


@every_algorithm
def test_dilation_spreads_the_kernel_with_zeros(algorithm):
    image, kernel = small_integers(0, (8, 9)), small_integers(1, (2, 3))
    spread = np.zeros((4, 5), np.float32)
    spread[::3, ::2] = kernel

    dilated = compiled(corr2d, algorithm=algorithm, padding="same", dilation=(3, 2))(image, kernel)

    expected = corr2d_numpy(image, spread, padding="same")
    assert_whole(algorithm, dilated, expected, norms=norm(image, kernel))


@pytest.mark.parametrize("batch", [(1,), (3,), (2, 3), (0,), (2, 0)], ids=str)
def test_leading_axes_are_a_batch(batch):
    correlate = compiled(corr2d, padding=1, boundary="edge")
    images, kernel = small_integers(0, (*batch, 4, 5)), small_integers(1, (2, 2))

    actual = correlate(images, kernel)

    one_by_one = [np.asarray(correlate(image, kernel)) for image in images.reshape(-1, 4, 5)]
    np.testing.assert_array_equal(actual, np.reshape(one_by_one, (*batch, 5, 6)))


@every_algorithm
def test_an_empty_batch_gives_an_empty_result(algorithm):
    images, kernel = small_integers(0, (2, 0, 9, 8)), small_integers(1, (6, 6))

    assert compiled(corr2d, algorithm=algorithm)(images, kernel).shape == (2, 0, 4, 3)


@every_word
def test_kernel_of_one_element_scales(padding):
    image = small_integers(0, (1, 2))

    actual = compiled(corr2d, padding=padding, dilation=3)(image, np.float32([[-2]]))

    np.testing.assert_array_equal(actual, -2 * image)


def test_traced_fill_value_surrounds_the_image():
    @jax.jit
    def correlate(image, kernel, fill_value):
        return corr2d(image, kernel, padding="full", fill_value=fill_value)

    image, kernel = small_integers(0, (3, 4)), small_integers(1, (2, 2))

    expected = corr2d_numpy(image, kernel, padding="full", fill_value=2.5)
    np.testing.assert_array_equal(correlate(image, kernel, 2.5), expected)
    assert not np.array_equal(correlate(image, kernel, 2.0), expected)
