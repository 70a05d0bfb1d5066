"""Random differences from SciPy, even kernels above all: its own tests pass with a wrong offset."""

import numpy as np
import pytest
import scipy.ndimage
import scipy.signal
import scipy_adapter
from cases import ALGORITHM_NAMES, bounded, compiled, seeds, small_integers
from hypothesis import given
from hypothesis import strategies as st
from oracles import assert_whole

from conv_jax import corr2d

NDIMAGE_MODES = {
    "constant": "constant",
    "edge": "nearest",
    "reflect": "mirror",
    "symmetric": "reflect",
    "wrap": "wrap",
}
# Of at most 16 x 16 surrounded pixels and 8 x 6 kernel elements, all of at most 4 and 4 i.
NORMS = 16 * 4 * 2**0.5 * 48**0.5 * 4 * 2**0.5
every_choice = pytest.mark.parametrize("algorithm", ["auto", *ALGORITHM_NAMES])
names = st.sampled_from(["correlate2d", "convolve2d"])
image_shapes = st.tuples(st.integers(2, 6), st.integers(2, 6))
kernel_shapes = st.tuples(st.integers(1, 6), st.integers(1, 6))
signal_boundaries = st.sampled_from([("fill", 0), ("fill", 3), ("wrap", 0), ("symm", 0)])


@every_choice
@bounded(max_examples=3)
@given(
    name=names,
    dtype=st.sampled_from(["int32", "complex64"]),
    shapes=st.tuples(image_shapes, kernel_shapes),
    mode=st.sampled_from(["full", "same"]),
    boundary=signal_boundaries,
    seed=seeds,
)
def test_full_and_same_equal_scipy_signal(algorithm, name, dtype, shapes, mode, boundary, seed):
    dtype = "float32" if (algorithm, dtype) == ("fft", "int32") else dtype
    image = _numbers([seed, 0], shapes[0], dtype)
    kernel = _numbers([seed, 1], shapes[1], dtype)

    actual = getattr(scipy_adapter, name)(image, kernel, mode, *boundary, algorithm=algorithm)

    expected = getattr(scipy.signal, name)(image, kernel, mode, *boundary)
    assert actual.dtype == expected.dtype
    assert_whole(algorithm, actual, expected, norms=NORMS)


@every_choice
@bounded(max_examples=3)
@given(name=names, larger=image_shapes, smaller=image_shapes, swap=st.booleans(), seed=seeds)
def test_valid_equals_scipy_signal(algorithm, name, larger, smaller, swap, seed):
    larger = tuple(map(max, larger, smaller))
    # SciPy's correlate2d conjugates its first argument, not its second, once it has swapped them.
    dtype = "float32" if swap else "complex64"
    image = _numbers([seed, 0], smaller if swap else larger, dtype)
    kernel = _numbers([seed, 1], larger if swap else smaller, dtype)

    actual = getattr(scipy_adapter, name)(image, kernel, "valid", algorithm=algorithm)

    expected = getattr(scipy.signal, name)(image, kernel, "valid")
    assert actual.dtype == expected.dtype
    assert_whole(algorithm, actual, expected, norms=NORMS)


@every_choice
@bounded(max_examples=3)
@given(
    shapes=st.tuples(image_shapes, kernel_shapes),
    boundary=st.sampled_from(list(NDIMAGE_MODES)),
    seed=seeds,
)
def test_same_lower_equals_scipy_ndimage(algorithm, shapes, boundary, seed):
    image, kernel = small_integers([seed, 0], shapes[0]), small_integers([seed, 1], shapes[1])
    correlate = compiled(corr2d, algorithm=algorithm, padding="same_lower", boundary=boundary)

    actual = correlate(image, kernel)

    expected = scipy.ndimage.correlate(image, kernel, mode=NDIMAGE_MODES[boundary])
    assert actual.dtype == expected.dtype
    assert_whole(algorithm, actual, expected, norms=NORMS)


@pytest.mark.parametrize(
    ("algorithm", "boundary"),
    [
        *[("auto", boundary) for boundary in NDIMAGE_MODES],
        *[(algorithm, "reflect") for algorithm in ALGORITHM_NAMES],
    ],
)
def test_an_even_kernel_longer_than_the_image_equals_scipy_ndimage(algorithm, boundary):
    image, kernel = small_integers(0, (3, 5)), small_integers(1, (8, 6))
    correlate = compiled(corr2d, algorithm=algorithm, padding="same_lower", boundary=boundary)

    actual = correlate(image, kernel)

    expected = scipy.ndimage.correlate(image, kernel, mode=NDIMAGE_MODES[boundary])
    assert_whole(algorithm, actual, expected, norms=NORMS)


@pytest.mark.parametrize("padding", ["same", "same_lower"])
@pytest.mark.parametrize("size", [2, 4])
def test_an_even_kernel_tells_the_conventions_apart(padding, size):
    image, kernel = small_integers(0, (6, 6)), small_integers(1, (size, size))

    actual = compiled(corr2d, padding=padding)(image, kernel)

    by_signal = scipy.signal.correlate2d(image, kernel, "same")
    by_ndimage = scipy.ndimage.correlate(image, kernel, mode="constant")
    assert np.array_equal(actual, by_signal) == (padding == "same")
    assert np.array_equal(actual, by_ndimage) == (padding == "same_lower")


def _numbers(seed, shape, dtype):
    """Return small whole numbers, for a complex dtype in both parts."""
    parts = small_integers(seed, (2, *shape), dtype)
    return parts[0] + (1j * parts[1] if dtype == "complex64" else 0)
