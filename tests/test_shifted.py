"""The algorithm "shifted", in the form that computes two rows at a time on a CPU."""

import functools

import jax
import numpy as np
import pytest
from cases import random_numbers, small_integers
from oracles import assert_close_groups, corr2d_numpy

from conv_jax import corr2d
from conv_jax.algorithms.shifted import shifted, shifted_on_cpu

VALID = {"stride": (1, 1), "dilation": (1, 1), "pads": ((0, 0), (0, 0))}
CALLS = {
    "even_height": ((11, 9), (6, 6), {}),
    "odd_height": ((12, 9), (6, 6), {}),
    "two_rows": ((7, 9), (6, 6), {}),
    "one_row": ((6, 9), (6, 6), {}),
    "tall": ((20, 5), (12, 3), {}),
    "wide": ((6, 20), (3, 12), {}),
    "one_column": ((40, 2), (36, 1), {}),
    "two_kernel_rows": ((6, 21), (2, 18), {}),
    "odd_kernel": ((13, 10), (7, 7), {"pads": ((3, 0), (1, 4))}),
    "column_stride": ((11, 13), (6, 6), {"stride": (1, 3)}),
    "column_dilation": ((11, 15), (6, 6), {"dilation": (1, 2), "pads": ((0, 2), (0, 1))}),
    "row_stride": ((13, 9), (6, 6), {"stride": (2, 1)}),
}


def _uses_pairs(size, kernel_size, dtype="float32", **options):
    """Tell whether the program makes complex numbers of real ones."""
    compute = functools.partial(shifted_on_cpu, **VALID | options)
    image, kernel = np.ones((1, 1, 1, *size), dtype), np.ones((1, 1, 1, *kernel_size), dtype)
    return " = complex " in str(jax.make_jaxpr(compute)(image, kernel))


def _assert_matches_float64_sum(call, dtype):
    size, kernel_size, options = call
    image = random_numbers(0, (2, 2, 1, *size), dtype)
    kernel = random_numbers(1, (2, 2, 1, *kernel_size), dtype)

    actual = jax.jit(functools.partial(shifted_on_cpu, **VALID | options))(image, kernel)

    names = {"pads": "padding"}
    renamed = {names.get(name, name): value for name, value in options.items()}
    assert actual.dtype == dtype
    assert_close_groups("shifted", actual, image, kernel, **renamed)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_many_taps_are_within_rounding(call):
    _assert_matches_float64_sum(call, "float32")


@pytest.mark.parametrize("name", ["odd_height", "column_stride"])
def test_many_taps_of_float64_are_within_rounding(name, x64):
    _assert_matches_float64_sum(CALLS[name], "float64")


@pytest.mark.parametrize("name", ["even_height", "odd_height", "tall", "wide", "one_column"])
def test_36_taps_are_computed_in_pairs_of_rows(name):
    size, kernel_size, _ = CALLS[name]

    assert _uses_pairs(size, kernel_size)


@pytest.mark.parametrize(
    ("size", "kernel_size", "options"),
    [
        pytest.param((9, 9), (5, 7), {}, id="35_taps"),
        pytest.param((9, 20), (2, 18), {}, id="two_kernel_rows"),
        pytest.param((13, 9), (6, 6), {"stride": (2, 1)}, id="row_stride"),
        pytest.param((13, 9), (6, 6), {"dilation": (2, 1)}, id="row_dilation"),
        pytest.param((13, 9), (6, 6), {"dtype": "int32"}, id="integers"),
    ],
)
def test_other_calls_are_not_computed_in_pairs(size, kernel_size, options):
    assert not _uses_pairs(size, kernel_size, **options)


def test_pairs_give_what_single_rows_give():
    image, kernel = small_integers(0, (1, 1, 1, 12, 9)), small_integers(1, (1, 1, 1, 6, 6))

    pairs = jax.jit(functools.partial(shifted_on_cpu, **VALID))(image, kernel)

    single = jax.jit(functools.partial(shifted, **VALID))(image, kernel)
    np.testing.assert_array_equal(pairs, single)


def test_the_gradient_of_pairs_is_that_of_the_definition():
    image, kernel = small_integers(0, (13, 12)), small_integers(1, (6, 6))
    cotangent = small_integers(2, (8, 7))

    def weighted_sum(image):
        return (corr2d(image, kernel, algorithm="shifted") * cotangent).sum()

    actual = jax.jit(jax.grad(weighted_sum))(image)

    expected = corr2d_numpy(cotangent, kernel[::-1, ::-1], padding="full")
    np.testing.assert_array_equal(actual, expected)
