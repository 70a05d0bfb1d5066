"""Circles of Fourier transforms: their lengths, and where results lie on them."""

import itertools

import jax.numpy as jnp
import numpy as np
import pytest

from conv_jax.algorithms.circle import bend, fast_length, take

FACTORS = itertools.product(range(13), range(9), range(6))
FAST = sorted(2**a * 3**b * 5**c for a, b, c in FACTORS)


@pytest.mark.parametrize("size", [*range(1, 130), 241, 1021, 1025, 3889, 4095])
def test_fast_length_is_the_next_of_all_products_of_2_3_and_5(size):
    assert fast_length(size) == next(length for length in FAST if length >= size)


@pytest.mark.parametrize("convolved", [False, True])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("size", "extent"), [(7, 3), (8, 1), (3, 5), (3, 3)], ids=str)
def test_every_pad_within_reach_is_a_part_of_the_circle(size, extent, stride, convolved):
    image, kernel = np.arange(1.0, size + 1), np.arange(2.0, extent + 2)
    for pad in itertools.product(range(extent), repeat=2):
        if size + sum(pad) < extent:
            continue
        expected = np.correlate(np.pad(image, pad), kernel, mode="valid")[::stride]
        circle, _ = bend((size, 1), (extent, 1), (pad, (0, 0)), convolved=convolved)

        weights = kernel[::-1] if convolved else kernel
        product = np.fft.fft(image, circle.length)
        transform = np.fft.fft(weights, circle.length)
        product *= transform if convolved else transform.conj()
        sums = np.fft.ifft(product).real
        actual = take(jnp.asarray(sums), circle, len(expected), stride=stride, axis=0)

        np.testing.assert_allclose(actual, expected, atol=1e-4)
