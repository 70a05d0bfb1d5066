"""The algorithm "fft": lengths, pads, strips, shared transforms, and what it is bad at."""

import functools

import jax
import numpy as np
import pytest
from cases import random_numbers
from oracles import assert_close_groups, correlate_numpy

import conv_jax as cj
from conv_jax.algorithms import fft as module
from conv_jax.algorithms.fft import fft

PADDED = {  # sizes of image and kernel, and pads
    "less_than_half": ((9, 11), (4, 5), ((1, 0), (0, 2))),
    "more_than_half": ((9, 11), (4, 5), ((3, 2), (1, 4))),
    "one_side": ((9, 11), (4, 5), ((3, 0), (0, 4))),
    "all": ((9, 11), (4, 5), ((3, 3), (4, 4))),
    "beyond_the_kernel": ((9, 11), (4, 5), ((12, 3), (4, 20))),
    "kernel_larger_than_the_image": ((3, 2), (7, 9), ((5, 6), (8, 1))),
    "kernel_as_large_as_the_padded_image": ((3, 2), (7, 9), ((3, 1), (4, 3))),
    "one_element": ((3, 2), (1, 1), ((1, 0), (2, 3))),
}
VALID = {"stride": (1, 1), "dilation": (1, 1), "pads": ((0, 0), (0, 0))}


def _assert_matches_float64_sum(size, kernel_size, *, dtype="float32", channels=1, **options):
    image = random_numbers(0, (2, 2, channels, *size), dtype)
    kernel = random_numbers(1, (2, 3, channels, *kernel_size), dtype)

    actual = jax.jit(functools.partial(fft, **VALID | options))(image, kernel)

    expected = {"stride": options.get("stride", 1), "padding": options.get("pads", "valid")}
    assert actual.dtype == dtype
    assert_close_groups("fft", actual, image, kernel, **expected)


@pytest.mark.parametrize("size", [(7, 11), (8, 13), (15, 1), (1, 31)], ids=str)
def test_lengths_that_are_not_fast_do_not_wrap_around(size):
    _assert_matches_float64_sum(size, size, pads=((2, 3), (1, 5)))


@pytest.mark.parametrize("dtype", ["float32", "complex64"])
@pytest.mark.parametrize(("size", "kernel_size", "pads"), PADDED.values(), ids=PADDED)
def test_zeros_of_the_circle_serve_as_pads(size, kernel_size, pads, dtype):
    _assert_matches_float64_sum(size, kernel_size, dtype=dtype, pads=pads, stride=(1, 2))


def test_float64_keeps_its_digits(x64):
    _assert_matches_float64_sum((70, 9), (5, 3), dtype="float64", channels=2)


@pytest.mark.parametrize("images", [1, 16])
@pytest.mark.parametrize("size", [9, 40])
def test_gradients_share_transforms(images, size):
    image = np.ones((images, 120, 120), np.float32)
    kernel = np.ones((size, size), np.float32)
    cotangent = np.ones((images, 121 - size, 121 - size), np.float32)

    def gradients(image, kernel, cotangent):
        correlate = functools.partial(cj.corr2d, algorithm="fft")
        return jax.vjp(correlate, image, kernel)[1](cotangent)

    program = jax.jit(gradients).lower(image, kernel, cotangent).compile().as_text()

    assert program.count(" fft(") == 5  # three arrays there, two gradients back


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
