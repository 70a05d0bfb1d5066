"""The algorithm "fft" where only rows are transformed: which kernels, tiles, steps, dtypes."""

import functools

import jax
import numpy as np
import pytest
from cases import random_numbers
from oracles import assert_close_groups

from conv_jax.algorithms.fft_rows import TILE, fft_on_cpu

VALID = {"stride": (1, 1), "dilation": (1, 1), "pads": ((0, 0), (0, 0))}
MANY = TILE + 1  # rows, which take tiles
CALLS = {
    "one_row": ((5, 20), (1, 9), 1, {}),
    "one_tile": ((TILE + 3, 11), (TILE, 4), 1, {}),
    "channels": ((20, 11), (9, 4), 3, {}),
    "tiles": ((MANY + 9, 11), (MANY, 4), 1, {}),
    "many_tiles": ((5 * TILE + 4, 9), (5 * TILE, 3), 1, {}),
    "tiles_of_channels": ((3 * TILE + 20, 9), (3 * TILE, 4), 2, {}),
    "many_channels": ((13, 9), (3, 4), TILE, {}),
    "wide": ((10, MANY + 39), (3, MANY + 38), 2, {"stride": (1, 2)}),
    "turned": ((MANY + 39, 10), (MANY, 9), 2, {"stride": (2, 1), "pads": ((3, 0), (0, 1))}),
    "tiles_with_stride": ((MANY + 9, 11), (MANY, 4), 1, {"stride": (3, 2)}),
    "tiles_with_dilation": ((2 * MANY + 9, 15), (MANY, 4), 1, {"dilation": (2, 3)}),
    "tiles_with_pads": ((MANY, 7), (MANY, 7), 1, {"pads": ((2, 3), (4, 0))}),
    "flipped": ((9, 11), (4, 5), 1, {"pads": ((3, 1), (4, 2)), "stride": (2, 1)}),
    "flipped_beyond": ((9, 11), (4, 5), 1, {"pads": ((9, 1), (4, 9)), "dilation": (1, 2)}),
}


def _inputs(size, kernel_size, channels, dtype):
    image = random_numbers(0, (2, 2, channels, *size), dtype)
    return image, random_numbers(1, (2, 3, channels, *kernel_size), dtype)


def _assert_matches_float64_sum(call, dtype):
    size, kernel_size, channels, options = call
    image, kernel = _inputs(size, kernel_size, channels, dtype)

    actual = jax.jit(functools.partial(fft_on_cpu, **VALID | options))(image, kernel)

    names = {"pads": "padding"}
    renamed = {names.get(name, name): value for name, value in options.items()}
    assert actual.dtype == dtype
    assert_close_groups("fft", actual, image, kernel, **renamed)


def _transforms(size, kernel_size, dtype="float32", channels=1):
    """Return the axes that the program transforms at once: 1 for rows."""
    inputs = _inputs(size, kernel_size, channels, dtype)
    program = str(jax.make_jaxpr(functools.partial(fft_on_cpu, **VALID))(*inputs))
    return {line.count(",") + 1 for line in _between(program, "fft_lengths=(", ")")}


def _between(text, start, end):
    return [part.split(end)[0].rstrip(",") for part in text.split(start)[1:]]


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_sums_are_within_the_bound_of_fft(call):
    _assert_matches_float64_sum(call, "float32")


@pytest.mark.parametrize("name", ["one_tile", "tiles"])
def test_float64_keeps_its_digits(name, x64):
    _assert_matches_float64_sum(CALLS[name], "float64")


@pytest.mark.parametrize("name", ["one_row", "one_tile", "channels", "tiles"])
def test_few_rows_are_transformed_alone(name):
    size, kernel_size, channels, _ = CALLS[name]

    assert _transforms(size, kernel_size, channels=channels) == {1}


@pytest.mark.parametrize(
    ("size", "kernel_size", "dtype"),
    [
        pytest.param((MANY + 99, 30), (MANY, 9), "float32", id="kernel_and_result_of_many_rows"),
        pytest.param((20, 11), (9, 4), "complex64", id="complex"),
    ],
)
def test_else_rows_and_columns_are(size, kernel_size, dtype):
    assert 2 in _transforms(size, kernel_size, dtype)


def test_what_is_not_a_number_stays_in_its_rows():
    image, kernel = _inputs((40, 9), (5, 3), 1, "float32")
    image[0, 0, 0, 20, 4] = np.nan

    actual = np.asarray(jax.jit(functools.partial(fft_on_cpu, **VALID))(image, kernel))

    assert np.isnan(actual[0, 0, :, 16:21]).all()
    assert np.isnan(actual).sum() == 3 * 5 * 7


def test_tiles_may_spread_what_is_not_a_number_over_its_image_alone():
    image, kernel = _inputs((MANY + 20, 9), (MANY, 3), 1, "float32")
    image[0, 0, 0, -1, 4] = np.nan

    actual = np.asarray(jax.jit(functools.partial(fft_on_cpu, **VALID))(image, kernel))

    assert np.isnan(actual[0, 0, :, -1]).all()
    assert np.isnan(actual[0, 0]).all(axis=-1).sum() > 3
    assert np.isfinite(actual[0, 1]).all()
    assert np.isfinite(actual[1]).all()
