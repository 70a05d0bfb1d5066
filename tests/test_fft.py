"""The algorithm "fft": lengths, strips, short parts by matrix products, and what it is bad at."""

import functools
import itertools

import jax
import numpy as np
import pytest
from cases import random_numbers
from oracles import assert_close_groups, correlate_numpy

from conv_jax.algorithms import fft as module
from conv_jax.algorithms.fft import fast_length, fft

VALID = {"stride": (1, 1), "dilation": (1, 1), "pads": ((0, 0), (0, 0))}
FACTORS = itertools.product(range(13), range(9), range(6))
FAST = sorted(2**a * 3**b * 5**c for a, b, c in FACTORS)


def _assert_matches_float64_sum(size, kernel_size, *, dtype="float32", channels=1, **options):
    image = random_numbers(0, (2, 2, channels, *size), dtype)
    kernel = random_numbers(1, (2, 3, channels, *kernel_size), dtype)

    actual = jax.jit(functools.partial(fft, **VALID | options))(image, kernel)

    expected = {"stride": options.get("stride", 1), "padding": options.get("pads", "valid")}
    assert actual.dtype == dtype
    assert_close_groups("fft", actual, image, kernel, **expected)


@pytest.mark.parametrize("size", [*range(1, 130), 241, 1021, 1025, 3889, 4095])
def test_fast_length_is_the_next_of_all_products_of_2_3_and_5(size):
    assert fast_length(size) == next(length for length in FAST if length >= size)


@pytest.mark.parametrize("size", [(7, 11), (8, 13), (15, 1), (1, 31)], ids=str)
def test_lengths_that_are_not_fast_do_not_wrap_around(size):
    _assert_matches_float64_sum(size, size, pads=((2, 3), (1, 5)))


@pytest.mark.parametrize(
    ("size", "kernel_size"),
    [
        pytest.param((70, 9), (5, 3), id="short_kernel"),
        pytest.param((97, 9), (90, 4), id="few_rows"),
        pytest.param((70, 9), (7, 8), id="both"),
        pytest.param((130, 5), (66, 3), id="neither"),
    ],
)
def test_more_than_64_rows_are_within_the_bound(size, kernel_size):
    _assert_matches_float64_sum(size, kernel_size, channels=2)


def test_more_than_64_complex_rows_are_within_the_bound():
    _assert_matches_float64_sum((70, 9), (5, 3), dtype="complex64")


def test_more_than_64_rows_of_float64_keep_their_digits(x64):
    _assert_matches_float64_sum((70, 9), (5, 3), dtype="float64")


@pytest.mark.parametrize("height", [37, 40, 41], ids="height{}".format)
@pytest.mark.parametrize("stride", [(1, 1), (3, 2)], ids=str)
def test_strips_of_a_tall_image_meet_without_a_seam(monkeypatch, height, stride):
    monkeypatch.setattr(module, "_STRIP", 64)

    _assert_matches_float64_sum(
        (height, 5), (3, 2), channels=2, stride=stride, pads=((1, 0), (0, 1))
    )

    assert module.strip_height(height + 1, 6, 3) < height / 2


def test_small_sums_beside_large_ones_lose_digits():
    image, kernel = np.ones((1, 1, 1, 9, 9), np.float32), np.ones((1, 1, 1, 2, 2), np.float32)
    image[..., :4] *= 1e8

    actual = jax.jit(functools.partial(fft, **VALID))(image, kernel)

    error = abs(actual - correlate_numpy(image, kernel))
    assert error[..., 5:].max() > 1e-3
    assert_close_groups("fft", actual, image, kernel)
