"""The oracles themselves: that they agree with each other, and reject what is wrong."""

import jax.numpy as jnp
import numpy as np
import pytest
from cases import bounded, calls, compiled, random_numbers, seeds, small_integers
from hypothesis import given
from oracles import (
    assert_close,
    assert_whole,
    assert_within_factor_rounding,
    assert_within_rounding,
    corr2d_exact,
    corr2d_numpy,
    norm,
    surrounded,
)

from conv_jax import corr2d


@bounded(max_examples=60)
@given(call=calls(), seed=seeds)
def test_the_two_oracles_agree(call, seed):
    image_shape, kernel_shape, options = call
    image = small_integers([seed, 0], image_shape, "int32")
    kernel = small_integers([seed, 1], kernel_shape, "int32")

    exact = corr2d_exact(image.tolist(), kernel.tolist(), **options)

    np.testing.assert_array_equal(corr2d_numpy(image, kernel, **options), exact)


def test_the_exact_oracle_does_not_overflow():
    assert corr2d_exact([[2**62, 2**62]], [[2**62, 1]]) == [[2**124 + 2**62]]


@pytest.mark.parametrize("dtype", ["float32", "complex64"])
def test_a_relative_error_of_1e_5_is_rejected(dtype):
    image, kernel = abs(random_numbers(0, (9, 9), dtype)), abs(random_numbers(1, (3, 3), dtype))
    actual = compiled(corr2d)(image.astype(dtype), kernel.astype(dtype))
    expected = corr2d_numpy(image, kernel)
    slightly_wrong = np.asarray(actual) * np.float32(1 + 1e-5)

    assert_within_rounding(actual, expected, magnitude=expected, terms=9)
    np.testing.assert_allclose(slightly_wrong, expected, rtol=1e-4)
    with pytest.raises(AssertionError, match="more than the rounding of 9 products"):
        assert_within_rounding(slightly_wrong, expected, magnitude=expected, terms=9)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_a_sum_in_the_narrow_type_is_rejected(dtype):
    ones = jnp.ones((64, 64), dtype)
    expected = np.array([[4096 * 0.99]])
    bound = {"magnitude": expected, "terms": 4096}

    assert_within_rounding(jnp.asarray(expected, dtype), expected, **bound)
    with pytest.raises(AssertionError, match="more than the rounding of 4096 products"):
        assert_within_rounding(ones[:1, :1] * 2048, expected, **bound)


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param({"padding": "same_lower"}, id="even_kernel_offset"),
        pytest.param({"padding": ((0, 1), (1, 0))}, id="shifted_by_one"),
        pytest.param({"padding": "same", "boundary": "symmetric"}, id="boundary"),
        pytest.param({"padding": "same", "fill_value": 1e-3}, id="fill_value"),
    ],
)
def test_an_oracle_of_something_else_disagrees(wrong):
    image, kernel = random_numbers(0, (6, 6), "float32"), random_numbers(1, (2, 2), "float32")
    magnitude = corr2d_numpy(abs(image), abs(kernel), padding="same")

    actual = compiled(corr2d, padding="same")(image, kernel)

    assert_within_rounding(
        actual, corr2d_numpy(image, kernel, padding="same"), magnitude=magnitude, terms=4
    )
    with pytest.raises(AssertionError, match="more than the rounding of 4 products"):
        assert_within_rounding(
            actual, corr2d_numpy(image, kernel, **wrong), magnitude=magnitude, terms=4
        )


@pytest.mark.parametrize("dtype", ["float32", "complex64", "float16"])
def test_the_bound_of_fft_rejects_an_error_of_1_percent(dtype):
    image, kernel = random_numbers(0, (2, 9, 9), dtype), random_numbers(1, (3, 3), dtype)
    actual = np.asarray(compiled(corr2d, algorithm="fft", padding=1)(image, kernel))

    assert_close("fft", actual, image, kernel, padding=1)
    with pytest.raises(AssertionError, match="more than the rounding of transforms of 256 pixels"):
        assert_close("fft", actual * np.float16(1.01), image, kernel, padding=1)


def test_the_bound_of_fft_is_that_of_each_image():
    image, kernel = random_numbers(0, (2, 9, 9), "float32"), random_numbers(1, (3, 3), "float32")
    image[0] *= np.float32(1e6)
    actual = np.array(compiled(corr2d, algorithm="fft")(image, kernel))
    actual[1] += np.float32(1e-2)

    with pytest.raises(AssertionError, match=r"off by 0.01 at \(0, 1, 0, "):
        assert_close("fft", actual, image, kernel)


def test_the_bound_of_factors_rejects_an_error_of_1e_5():
    image, column, row = (
        abs(random_numbers(seed, shape, "float32"))
        for seed, shape in enumerate([(9, 9), (1, 3), (1, 4)])
    )
    actual = np.asarray(corr2d(image, (column[0], row[0])))

    assert_within_factor_rounding(actual, image, column, row)
    with pytest.raises(AssertionError, match="more than the rounding of 10 products"):
        assert_within_factor_rounding(actual * np.float32(1 + 1e-5), image, column, row)


@pytest.mark.parametrize("algorithm", ["direct", "fft"])
def test_the_next_whole_number_is_rejected(algorithm):
    image, kernel = small_integers(0, (6, 6)), small_integers(1, (3, 3))
    expected = corr2d_numpy(image, kernel)
    actual = np.array(compiled(corr2d, algorithm=algorithm)(image, kernel))
    bound = {"norms": norm(image, kernel)}

    assert_whole(algorithm, actual, expected, **bound)
    actual[1, 2] += 1
    with pytest.raises(AssertionError):
        assert_whole(algorithm, actual, expected, **bound)


def test_whole_numbers_too_large_for_fft_are_refused():
    with pytest.raises(AssertionError):
        assert_whole("fft", np.float32([1e9]), [1e9], norms=1e9)


def test_the_surrounded_image_has_its_padding():
    actual = surrounded(
        [[1, 2], [3, 4]], (2, 3), dilation=(1, 2), padding="same", boundary="wrap", stride=2
    )

    assert actual.tolist() == [[1, 2] * 3, [3, 4] * 3, [1, 2] * 3]


def test_a_result_of_another_shape_is_rejected():
    with pytest.raises(AssertionError):
        assert_within_rounding(np.ones((1, 2)), np.ones((2, 2)), magnitude=4.0, terms=1)


def test_not_a_number_is_rejected():
    with pytest.raises(AssertionError):
        assert_within_rounding(
            np.full((1, 1), np.nan), np.ones((1, 1)), magnitude=np.ones((1, 1)), terms=1
        )
