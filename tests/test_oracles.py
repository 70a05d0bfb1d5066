"""The oracles themselves: that they agree with each other, and reject what is wrong."""

import jax.numpy as jnp
import numpy as np
import pytest
from cases import bounded, calls, compiled, random_numbers, seeds, small_integers
from hypothesis import given
from oracles import assert_within_rounding, corr2d_exact, corr2d_numpy

from conv_jax import corr2d


@bounded(max_examples=100)
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


def test_a_result_of_another_shape_is_rejected():
    with pytest.raises(AssertionError):
        assert_within_rounding(np.ones((1, 2)), np.ones((2, 2)), magnitude=4.0, terms=1)


def test_not_a_number_is_rejected():
    with pytest.raises(AssertionError):
        assert_within_rounding(
            np.full((1, 1), np.nan), np.ones((1, 1)), magnitude=np.ones((1, 1)), terms=1
        )
