import math

import jax
import numpy as np
import pytest

from conv_jax import kernels


@pytest.mark.parametrize("size", [1, 3, (1, 4), (2, 5)], ids=str)
def test_box_is_a_mean(size):
    shape = size if isinstance(size, tuple) else (size, size)

    np.testing.assert_array_equal(
        kernels.box(size), np.full(shape, np.float32(1 / math.prod(shape)))
    )


def test_binomial_of_5_is_pascals_row():
    np.testing.assert_array_equal(16 * kernels.binomial((1, 5)), [[1, 4, 6, 4, 1]])


def test_binomial_is_a_mean_of_neighbours_repeated():
    means = kernels.compose(*[kernels.box(2)] * 4)

    np.testing.assert_array_equal(kernels.binomial(5), means)


@pytest.mark.parametrize("radius", [0.3, 1.0, 1.5, 2.2, 7.0])
def test_disk_is_the_area_within_the_circle(radius):
    """Against the mean, over 20,000 columns of a pixel, of the part of its height within."""
    kernel = np.float64(kernels.disk(radius))
    half, count = len(kernel) // 2, 20_000
    x = np.arange(-half - 0.5 + 0.5 / count, half + 0.5, 1 / count)
    height = np.sqrt(np.maximum(radius**2 - x**2, 0))
    y = np.arange(-half, half + 1)[:, None]
    parts = np.minimum(y + 0.5, height) - np.maximum(y - 0.5, -height)
    shares = np.maximum(parts, 0).reshape(len(kernel), len(kernel), count).mean(axis=2)

    np.testing.assert_allclose(kernel * math.pi * radius**2, shares, atol=2e-6)
    assert half == max(math.ceil(radius - 0.5), 0)


@pytest.mark.parametrize("angle", [0.0, 0.3, math.pi / 4, math.pi / 2, 2.5])
@pytest.mark.parametrize("length", [0.5, 3.0, 8.2])
def test_motion_is_the_time_spent_on_each_pixel(length, angle):
    kernel = np.float64(kernels.motion(length, angle=angle))
    times = (np.arange(100_000) + 0.5) / 100_000 * length - length / 2
    rows = np.rint(times * math.sin(angle)).astype(int) + kernel.shape[0] // 2
    columns = np.rint(times * math.cos(angle)).astype(int) + kernel.shape[1] // 2
    expected = np.zeros(kernel.shape)
    np.add.at(expected, (rows, columns), 1e-5)

    np.testing.assert_allclose(kernel, expected, atol=1e-4)


@pytest.mark.parametrize(
    ("angle", "shape"), [(0.0, (1, 5)), (math.pi, (1, 5)), (math.pi / 2, (5, 1))]
)
def test_motion_along_an_axis_is_a_box(angle, shape):
    np.testing.assert_allclose(kernels.motion(5, angle=angle), kernels.box(shape), rtol=1e-6)


def test_unsharp_of_minus_one_is_the_blur():
    np.testing.assert_allclose(kernels.unsharp(1.2, -1.0), kernels.gaussian(1.2), atol=1e-7)


def test_unsharp_adds_what_the_blur_takes():
    blur, centre = kernels.gaussian(1.2), kernels.identity(11)

    np.testing.assert_allclose(kernels.unsharp(1.2, 0.5), 1.5 * centre - 0.5 * blur, atol=1e-7)


def test_sharpen_takes_the_laplacian_away():
    expected = kernels.identity(3) - 0.25 * kernels.laplacian()

    np.testing.assert_array_equal(kernels.sharpen(0.25), expected)


@pytest.mark.parametrize(
    "kernel",
    [
        kernels.box((2, 5)),
        kernels.binomial(4),
        kernels.gaussian(1.7),
        kernels.gaussian((1, 4), angle=1.0),
        kernels.disk(3.3),
        kernels.motion(9, angle=1.1),
        kernels.identity(3),
        kernels.shift(0.4, -1.3),
    ],
    ids=["box", "binomial", "gaussian", "turned_gaussian", "disk", "motion", "identity", "shift"],
)
def test_a_blur_is_known_as_one(kernel):
    assert kernels.analyze(kernel).is_blur
    assert not kernels.analyze(kernel - 0.01).is_blur


@pytest.mark.parametrize("radius", [1, 3, 5, 7.0, 19.7])
def test_a_disk_has_no_tap_below_0(radius):
    assert kernels.disk(radius).min() >= 0
    assert kernels.analyze(kernels.disk(radius)).is_blur


def test_no_frequency_is_amplified_by_a_blur():
    response = kernels.analyze(kernels.disk(2.5)).frequency_response

    assert abs(response).max() == pytest.approx(1, abs=1e-6)
    assert abs(response[32, 32]) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("design", [kernels.sharpen, lambda a: kernels.unsharp(1.0, a)])
def test_amount_is_differentiable(design):
    slope = jax.jit(jax.jacfwd(design))(0.7)

    np.testing.assert_allclose(slope, design(1.0) - design(0.0), atol=1e-6)
    assert abs(slope).max() > 0.5


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: kernels.box(0), "size: expected two integers, .* got 0"),
        (lambda: kernels.binomial((3, -1)), r"size: expected .* got \(3, -1\)"),
        (lambda: kernels.disk(0), "radius: expected a finite number above 0, got 0"),
        (lambda: kernels.motion(-2), "length: expected a finite number above 0, got -2"),
        (lambda: kernels.motion(2, angle=math.inf), "angle: expected a finite number, got inf"),
        (lambda: jax.jit(kernels.disk)(1.0), "radius: expected a number known when"),
        (lambda: kernels.unsharp(1.0, size=4), r"size: expected odd sizes, .* got 4"),
        (lambda: kernels.sharpen(math.nan), "amount: expected a finite number, got nan"),
    ],
)
def test_a_mistake_is_named(unchecked, call, message):
    with pytest.raises(ValueError, match=message):
        call()
