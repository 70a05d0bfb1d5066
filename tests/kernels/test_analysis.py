import math

import jax
import numpy as np
import pytest
from cases import random_numbers

from conv_jax import corr2d, kernels


def variance(sigma, size):
    """Return the mean squared distance along an axis of a sampled Gaussian."""
    offsets = np.arange(size) - size // 2
    weights = np.exp(-(offsets**2) / (2 * sigma**2))
    return (weights * offsets**2).sum() / weights.sum()


@pytest.mark.parametrize(
    ("kernel", "order", "direction", "gain", "accuracy"),
    [
        ([[1, -1]], 1, (0, -1), 1, 2),
        ([[1], [-1]], 1, (-1, 0), 1, 2),
        ([[1, -2, 1]], 2, (0, 1), 1, 2),
        (kernels.finite_difference(1, 4, axis=0), 1, (1, 0), 1, 4),
        (kernels.finite_difference(3, 2, axis=1), 3, (0, 1), 1, 2),
        (kernels.finite_difference(4, 6, axis=1), 4, (0, 1), 1, 6),
        (kernels.laplacian(), 2, None, 1, 2),
        (kernels.laplacian(neighbours=8), 2, None, 3, 2),
        (kernels.laplacian(accuracy=6), 2, None, 1, 6),
        (kernels.sobel(axis=1), 1, (0, 1), 8, 2),
        (kernels.prewitt(axis=0), 1, (1, 0), 6, 2),
        (kernels.scharr(axis=1), 1, (0, 1), 32, 2),
        (kernels.gaussian(1.0), 0, None, 1, 2),
        (kernels.compose(kernels.box(2), kernels.box(2)), 0, None, 1, 2),
        (kernels.edge((3, 4)), 1, (0.6, 0.8), 1, 2),
        (kernels.log(1.5), 2, None, 1, 2),
        (kernels.gaussian_derivative(1.0, (0, 3)), 3, (0, 1), 1, 2),
        (kernels.dog(1.0), 2, None, (variance(1.0, 13) - variance(1.6, 13)) / 2, 2),
        (kernels.dog(1.0, 1.001), 2, None, (variance(1.0, 9) - variance(1.001, 9)) / 2, 2),
        (kernels.sharpen(2.0), 0, None, 1, 2),
        (kernels.box(3), 0, None, 1, 2),
        (kernels.unsharp(1.0, 2.0), 0, None, 1, 2),
        (kernels.identity(3), 0, None, 1, math.inf),
        (kernels.shift(0, 1), 0, None, 1, 1),
        (kernels.roberts(axis=0), 1, (math.sqrt(0.5), math.sqrt(0.5)), math.sqrt(2), 2),
        ([[1, 0, -1], [0, 0, 0], [-1, 0, 1]], 2, (math.sqrt(0.5), math.sqrt(0.5)), 2, 2),
    ],
)
def test_derivative_direction_and_accuracy(kernel, order, direction, gain, accuracy):
    analysis = kernels.analyze(kernel)

    assert analysis.derivative_order == order
    assert analysis.gain == pytest.approx(gain, rel=2e-5)
    assert analysis.accuracy == accuracy
    assert (analysis.direction is None) == (direction is None)
    if direction:
        np.testing.assert_allclose(analysis.direction, direction, atol=1e-6)


def test_the_origin_decides_the_accuracy():
    forward = kernels.finite_difference(1, 1, axis=1, offsets="forward")

    assert kernels.analyze(forward).accuracy == 2  # halfway between the two pixels
    assert kernels.analyze(forward, origin=(0, 0)).accuracy == 1


def test_moments_are_sums_over_the_taps():
    moments = kernels.analyze([[0, 0, 0], [0, 0, 2], [0, -1, 3]]).moments

    assert moments[0, 0] == 4
    assert moments[1, 0] == -1 + 3
    assert moments[0, 1] == 2 + 3
    assert moments[2, 3] == 3


def test_sum_norm_and_rank():
    analysis = kernels.analyze([[3, 0], [0, -4]])

    assert (analysis.sum, analysis.norm, analysis.rank) == (-1, 5, 2)


@pytest.mark.parametrize(
    ("kernel", "symmetric", "antisymmetric"),
    [
        ([[1, 2], [2, 1]], True, False),
        ([[1, 2], [-2, -1]], False, True),
        ([[1, 2], [3, 4]], False, False),
        (kernels.gaussian(1.3, 6), True, False),
        (kernels.gaussian_derivative(1.3, (1, 2)), False, True),
    ],
    ids=["symmetric", "antisymmetric", "neither", "gaussian", "derivative"],
)
def test_symmetry_under_half_a_turn(kernel, symmetric, antisymmetric):
    analysis = kernels.analyze(kernel)

    assert (analysis.is_symmetric, analysis.is_antisymmetric) == (symmetric, antisymmetric)


def test_the_sources_rule_for_a_blur_is_wrong():
    """All values of [0.5, -0.5] are below 1, and it differentiates: blurs sum to 1, from 0 up."""
    analysis = kernels.analyze([[0.5, -0.5]])

    assert not analysis.is_blur
    assert analysis.derivative_order == 1


@pytest.mark.parametrize("shape", [(1, 2), (3, 3), (4, 3)], ids=str)
@pytest.mark.parametrize(("row", "column"), [(0, 0), (3, 5), (7, 2)])
def test_frequency_response_multiplies_waves(shape, row, column):
    kernel = random_numbers(0, shape, "float32")
    response = kernels.frequency_response(kernel, num_frequencies=8, origin=(0, 0))
    y, x = np.mgrid[:8, :8]
    wave = np.exp(2j * np.pi * ((row - 4) / 8 * y + (column - 4) / 8 * x)).astype(np.complex64)
    pads = ((0, shape[0] - 1), (0, shape[1] - 1))

    answer = corr2d(wave, kernel.astype(np.complex64), padding=pads, boundary="wrap")

    np.testing.assert_allclose(answer, response[row, column] * wave, atol=1e-5)


def test_frequency_response_of_a_symmetric_kernel_is_real():
    response = kernels.analyze(kernels.gaussian(1.0, 4)).frequency_response

    assert response.shape == (64, 64)
    assert abs(response.imag).max() < 1e-6


def test_frequency_response_of_an_analysis_is_in_double_precision():
    response = kernels.analyze([[0.25, 0.5, 0.25]], num_frequencies=12).frequency_response
    frequencies = (np.arange(12) - 6) / 12

    expected = np.cos(np.pi * frequencies)[None] ** 2

    np.testing.assert_allclose(response, np.broadcast_to(expected, (12, 12)), atol=1e-15)


def test_frequency_response_of_a_known_kernel_stays_known_while_traced():
    def check(image):
        response = kernels.frequency_response(kernels.box(3), num_frequencies=4)
        assert not isinstance(response, jax.core.Tracer)
        return image

    jax.jit(check)(1.0)


def test_frequency_response_is_differentiable():
    kernel = random_numbers(0, (2, 3), "float32")

    def power(kernel):
        return (abs(kernels.frequency_response(kernel, num_frequencies=8)) ** 2).mean()

    # Parseval: the mean power is the squared norm.
    np.testing.assert_allclose(jax.jit(jax.grad(power))(kernel), 2 * kernel, rtol=1e-5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: kernels.analyze([[0.0]]), "kernel: expected a tap that is not 0, got"),
        (lambda: kernels.analyze([1.0]), r"kernel: expected a shape \(kH, kW\)"),
        (lambda: kernels.analyze([[1j]]), "kernel: expected .* of real numbers, got complex64"),
        (lambda: kernels.analyze([[1.0]], origin=(1,)), r"origin: expected two numbers \(row, col"),
        (lambda: kernels.analyze([[1.0]], origin=5), r"origin: expected two numbers \(row, column"),
        (
            lambda: kernels.analyze([[1.0]], origin=(0, math.nan)),
            "origin: expected a finite number",
        ),
        (lambda: kernels.analyze([[math.inf, 1]]), "kernel: expected finite numbers, got float32"),
        (lambda: kernels.frequency_response(np.ones((0, 2))), "kernel: expected a shape"),
        (lambda: kernels.analyze([[1.0]], num_frequencies=0), "num_frequencies: expected a whole"),
        (
            lambda: jax.jit(lambda k: kernels.analyze(k).sum)(np.ones((2, 2))),
            "kernel: expected one known when the call is traced",
        ),
    ],
)
def test_a_mistake_is_named(unchecked, call, message):
    with pytest.raises(ValueError, match=message):
        call()
