"""corr2d and conv2d against the oracles, and the laws that correlation obeys."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import (
    ALGORITHM_NAMES,
    BOUNDARIES,
    FLOATS,
    INTEGER_PAIRS,
    WORDS,
    bounded,
    calls,
    compiled,
    random_integers,
    random_numbers,
    seeds,
    small_integers,
)
from hypothesis import given
from hypothesis import strategies as st
from oracles import assert_within_rounding, corr2d_exact, corr2d_numpy

from conv_jax import conv2d, corr2d, corr2d_reference

every_algorithm = pytest.mark.parametrize("algorithm", ALGORITHM_NAMES)
every_boundary = pytest.mark.parametrize("boundary", BOUNDARIES)
every_word = pytest.mark.parametrize("padding", WORDS)


@every_algorithm
@bounded(max_examples=40)
@given(call=calls(), dtypes=st.sampled_from(INTEGER_PAIRS), seed=seeds)
def test_integers_are_exact(algorithm, call, dtypes, seed):
    image_shape, kernel_shape, options = call
    terms = int(np.prod(kernel_shape))
    image = random_integers([seed, 0], image_shape, dtypes[0], terms=terms)
    kernel = random_integers([seed, 1], kernel_shape, dtypes[1], terms=terms)

    actual = compiled(corr2d, algorithm=algorithm, **options)(image, kernel)

    np.testing.assert_array_equal(actual, corr2d_exact(image.tolist(), kernel.tolist(), **options))


@every_algorithm
@bounded(max_examples=10)
@given(call=calls(), dtypes=st.sampled_from([("int64", "int64"), ("int32", "uint32")]), seed=seeds)
def test_64_bit_integers_are_exact(algorithm, call, dtypes, seed, x64):
    image_shape, kernel_shape, options = call
    image = random_integers([seed, 0], image_shape, dtypes[0], terms=1) * 1000
    kernel = random_integers([seed, 1], kernel_shape, dtypes[1], terms=1)

    actual = compiled(corr2d, algorithm=algorithm, **options)(image, kernel)

    assert actual.dtype == jnp.int64
    np.testing.assert_array_equal(actual, corr2d_exact(image.tolist(), kernel.tolist(), **options))


def _assert_matches_float64_sum(algorithm, call, dtype, seed):
    image_shape, kernel_shape, options = call
    image = random_numbers([seed, 0], image_shape, dtype)
    kernel = random_numbers([seed, 1], kernel_shape, dtype)

    actual = compiled(corr2d, algorithm=algorithm, **options)(image, kernel)

    assert actual.dtype == dtype
    assert_within_rounding(
        actual,
        corr2d_numpy(image, kernel, **options),
        magnitude=corr2d_numpy(abs(image), abs(kernel), **options),
        terms=kernel.size,
    )


@every_algorithm
@bounded(max_examples=40)
@given(call=calls(), dtype=st.sampled_from(FLOATS), seed=seeds)
def test_floats_are_within_rounding(algorithm, call, dtype, seed):
    _assert_matches_float64_sum(algorithm, call, dtype, seed)


@every_algorithm
@bounded(max_examples=10)
@given(call=calls(), dtype=st.sampled_from(["float64", "complex128"]), seed=seeds)
def test_64_bit_floats_are_within_rounding(algorithm, call, dtype, seed, x64):
    _assert_matches_float64_sum(algorithm, call, dtype, seed)


@every_algorithm
def test_large_float32_sums_are_within_rounding(algorithm):
    _assert_matches_float64_sum(algorithm, ((2, 40, 37), (11, 13), {}), "float32", 0)


@bounded(max_examples=20)
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


@every_algorithm
@every_boundary
def test_correlation_is_linear_in_both(algorithm, boundary):
    correlate = compiled(corr2d, algorithm=algorithm, padding="full", boundary=boundary)
    images, kernels = small_integers(0, (2, 5, 6)), small_integers(1, (2, 3, 2))

    of_sums = correlate(2 * images[0] + images[1], kernels[0] - 3 * kernels[1])

    of_images = correlate(images, kernels[0]) - 3 * correlate(images, kernels[1])
    np.testing.assert_array_equal(of_sums, 2 * of_images[0] + of_images[1])


@every_algorithm
@pytest.mark.parametrize("shift", [(1, 0), (0, -2), (3, 4)], ids=str)
def test_a_shifted_image_gives_the_shifted_result(algorithm, shift):
    correlate = compiled(corr2d, algorithm=algorithm, padding="same", boundary="wrap")
    image, kernel = small_integers(0, (5, 6)), small_integers(1, (3, 2))

    actual = correlate(np.roll(image, shift, (0, 1)), kernel)

    expected = np.roll(correlate(image, kernel), shift, (0, 1))
    np.testing.assert_array_equal(actual, expected)
    assert not np.array_equal(actual, correlate(image, kernel))


@every_algorithm
@pytest.mark.parametrize("shapes", [((5, 6), (2, 3)), ((2, 5), (4, 1)), ((1, 1), (3, 3))], ids=str)
def test_full_convolution_commutes(algorithm, shapes):
    convolve = compiled(conv2d, algorithm=algorithm, padding="full")
    first, second = small_integers(0, shapes[0]), small_integers(1, shapes[1])

    np.testing.assert_array_equal(convolve(first, second), convolve(second, first))


def test_full_correlation_does_not_commute():
    correlate = compiled(corr2d, padding="full")
    first, second = small_integers(0, (5, 6)), small_integers(1, (2, 3))

    forward, backward = correlate(first, second), correlate(second, first)

    assert not np.array_equal(forward, backward)
    np.testing.assert_array_equal(forward, backward[::-1, ::-1])


@every_algorithm
@every_word
@pytest.mark.parametrize("stride", [2, (3, 1)], ids=str)
def test_stride_leaves_out_rows_and_columns(algorithm, padding, stride):
    image, kernel = small_integers(0, (8, 7)), small_integers(1, (2, 3))
    rows, columns = stride if isinstance(stride, tuple) else (stride, stride)

    strided = compiled(corr2d, algorithm=algorithm, padding=padding, stride=stride)(image, kernel)

    every = compiled(corr2d, algorithm=algorithm, padding=padding)(image, kernel)
    np.testing.assert_array_equal(strided, every[::rows, ::columns])


@every_algorithm
@every_word
@pytest.mark.parametrize("dilation", [2, (3, 1)], ids=str)
def test_dilation_spreads_the_kernel_with_zeros(algorithm, padding, dilation):
    image, kernel = small_integers(0, (8, 9)), small_integers(1, (2, 3))
    rows, columns = dilation if isinstance(dilation, tuple) else (dilation, dilation)
    spread = np.zeros((rows + 1, 2 * columns + 1), np.float32)
    spread[::rows, ::columns] = kernel

    dilated = compiled(corr2d, algorithm=algorithm, padding=padding, dilation=dilation)

    expected = compiled(corr2d, algorithm=algorithm, padding=padding)(image, spread)
    np.testing.assert_array_equal(dilated(image, kernel), expected)


@every_algorithm
@pytest.mark.parametrize("batch", [(1,), (3,), (2, 3), (0,), (2, 0)], ids=str)
def test_leading_axes_are_a_batch(algorithm, batch):
    correlate = compiled(corr2d, algorithm=algorithm, padding=1, boundary="edge")
    images, kernel = small_integers(0, (*batch, 4, 5)), small_integers(1, (2, 2))

    actual = correlate(images, kernel)

    one_by_one = [np.asarray(correlate(image, kernel)) for image in images.reshape(-1, 4, 5)]
    np.testing.assert_array_equal(actual, np.reshape(one_by_one, (*batch, 5, 6)))


@every_algorithm
@pytest.mark.parametrize(
    ("in_axes", "image_shape", "kernel_shape"),
    [
        pytest.param((0, None), (3, 4, 5), (2, 2), id="images"),
        pytest.param((None, 0), (4, 5), (3, 2, 2), id="kernels"),
        pytest.param((0, 0), (3, 4, 5), (3, 2, 2), id="both"),
        pytest.param((2, 1), (4, 5, 3), (2, 3, 2), id="inner_axes"),
    ],
)
@pytest.mark.parametrize("dtype", ["int32", "float32"])
def test_vmap_is_one_call_each(algorithm, in_axes, image_shape, kernel_shape, dtype):
    images = small_integers(0, image_shape, dtype)
    kernels = small_integers(1, kernel_shape, dtype)

    def correlate(image, kernel):
        return corr2d(image, kernel, algorithm=algorithm, padding="same", stride=2)

    actual = jax.jit(jax.vmap(correlate, in_axes))(images, kernels)

    image_list = [images] * 3 if in_axes[0] is None else np.moveaxis(images, in_axes[0], 0)
    kernel_list = [kernels] * 3 if in_axes[1] is None else np.moveaxis(kernels, in_axes[1], 0)
    pairs = zip(image_list, kernel_list, strict=True)
    expected = [corr2d_numpy(*pair, padding="same", stride=2) for pair in pairs]
    np.testing.assert_array_equal(actual, expected)


@every_word
def test_kernel_of_one_element_scales(padding):
    image = small_integers(0, (1, 2))

    actual = compiled(corr2d, padding=padding, dilation=3)(image, np.float32([[-2]]))

    np.testing.assert_array_equal(actual, -2 * image)


@every_algorithm
def test_traced_fill_value_surrounds_the_image(algorithm):
    @jax.jit
    def correlate(image, kernel, fill_value):
        return corr2d(image, kernel, padding="full", fill_value=fill_value, algorithm=algorithm)

    image, kernel = small_integers(0, (3, 4)), small_integers(1, (2, 2))

    expected = corr2d_numpy(image, kernel, padding="full", fill_value=2.5)
    np.testing.assert_array_equal(correlate(image, kernel, 2.5), expected)
    assert not np.array_equal(correlate(image, kernel, 2.0), expected)


@pytest.mark.parametrize("stride", [1, 2], ids="stride{}".format)
def test_nothing_is_read_beyond_the_window(stride):
    image = np.full((5, 5), np.nan, np.float32)
    image[1:4, 1:4] = 1

    actual = compiled(corr2d, stride=stride)(image, np.ones((3, 3), np.float32))

    assert np.isfinite(actual).sum() == (stride == 1)
