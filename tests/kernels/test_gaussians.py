import math

import jax
import numpy as np
import pytest
from scipy import ndimage

from conv_jax import kernels

DELTA = np.zeros((41, 41))
DELTA[20, 20] = 1


def cut(response, shape):
    """Return the middle of the answer to a point: the kernel of a convolution, so turned."""
    rows, columns = (k // 2 for k in shape)
    return response[20 - rows : 21 + rows, 20 - columns : 21 + columns][::-1, ::-1]


@pytest.mark.parametrize("truncate", [2.0, 4.0])
@pytest.mark.parametrize("sigma", [0.5, 1.0, 2.3, (1.0, 2.0)], ids=str)
def test_gaussian_is_scipys(sigma, truncate):
    kernel = kernels.gaussian(sigma, truncate=truncate)
    expected = ndimage.gaussian_filter(DELTA, sigma, truncate=truncate)

    np.testing.assert_allclose(kernel, cut(expected, kernel.shape), rtol=1e-6, atol=1e-12)
    assert (cut(expected, kernel.shape)[0] > 0).all()  # it ends where scipy's ends
    assert np.count_nonzero(expected) == kernel.size


def test_an_angle_turns_the_gaussian():
    turned = kernels.gaussian((1.0, 2.0), 9, angle=math.pi / 2)

    np.testing.assert_allclose(turned, kernels.gaussian((2.0, 1.0), 9), rtol=1e-6)


@pytest.mark.parametrize("angle", [0.0, 0.4, math.pi / 4, 2.0])
def test_the_long_axis_lies_along_the_angle(angle):
    kernel = np.float64(kernels.gaussian((1.0, 3.0), 41, angle=angle))
    y, x = np.mgrid[-20:21, -20:21]

    along = (kernel * (math.sin(angle) * y + math.cos(angle) * x) ** 2).sum()
    across = (kernel * (math.cos(angle) * y - math.sin(angle) * x) ** 2).sum()

    assert along == pytest.approx(9, rel=1e-3)
    assert across == pytest.approx(1, rel=1e-3)


def test_a_turned_gaussian_is_as_large_as_it_reaches():
    assert kernels.gaussian((1.0, 3.0), angle=math.pi / 2).shape == (25, 9)
    assert kernels.gaussian((1.0, 3.0), angle=math.pi / 4).shape == (19, 19)


def test_even_sizes_have_their_centre_between_pixels():
    np.testing.assert_array_equal(kernels.gaussian(1.0, 2), np.full((2, 2), 0.25))


def test_a_tiny_sigma_leaves_the_centre_alone():
    np.testing.assert_array_equal(kernels.gaussian(1e-3, 3), kernels.identity(3))


@pytest.mark.parametrize(
    ("order", "share"), [((0, 1), 1e-3), ((1, 1), 2e-3), ((2, 0), 5e-3), ((0, 3), 0.02)], ids=str
)
def test_derivatives_are_scipys_but_for_the_truncated_tail(order, share):
    kernel = kernels.gaussian_derivative(2.0, order)
    expected = cut(ndimage.gaussian_filter(DELTA, 2.0, order=order), kernel.shape)

    difference = abs(np.float64(kernel) - expected).sum()

    assert share / 4 < difference / abs(expected).sum() < share


def test_derivatives_become_scipys_where_nothing_is_truncated():
    kernel = kernels.gaussian_derivative(2.0, (1, 2), truncate=8.0)
    expected = ndimage.gaussian_filter(DELTA, 2.0, order=(1, 2), truncate=8.0)

    assert abs(kernel - cut(expected, kernel.shape)).max() < 1e-6 * expected.max()


@pytest.mark.parametrize("sigma", [0.4, 1.0, 3.0])
@pytest.mark.parametrize("order", [0, 1, 2, 3, 4])
def test_moments_up_to_the_order_are_those_of_the_derivative(sigma, order):
    taps = np.float64(kernels.gaussian_derivative(sigma, (0, order))).sum(axis=0)
    powers = np.vander(np.arange(len(taps)) - len(taps) // 2, order + 1, increasing=True).T

    errors = powers @ taps - math.factorial(order) * (np.arange(order + 1) == order)

    assert (abs(errors) <= 20 * 2**-23 * abs(powers) @ abs(taps)).all()


@pytest.mark.parametrize("sigma", [10.0, 1e7])
@pytest.mark.parametrize("order", [1, 2, 4])
def test_a_wide_gaussian_in_a_small_kernel_keeps_its_digits(order, sigma):
    """Its taps tend to a polynomial's: a constant image still answers 0, o^n still n!."""
    size = 2 * ((order + 1) // 2) + 3
    taps = np.float64(
        jax.jit(lambda s: kernels.gaussian_derivative(s, (0, order), (1, size)))(sigma)
    )
    known = np.float64(kernels.gaussian_derivative(sigma, (0, order), (1, size)))

    np.testing.assert_allclose(taps, known, atol=3e-5 * abs(known).max())
    assert abs(known.sum()) <= 1e-6 * abs(known).sum()


@pytest.mark.parametrize(("order", "sigma"), [(1, 0.17), (2, 0.17), (3, 0.34), (4, 0.34)])
def test_the_least_sigmas_give_finite_differences(order, sigma):
    kernel = kernels.gaussian_derivative(sigma, (0, order))
    expected = kernels.finite_difference(order, axis=1)

    middle = kernel[kernel.shape[0] // 2]
    np.testing.assert_allclose(middle, expected[0], atol=0.03 * abs(expected).max())


@pytest.mark.parametrize("sigma", [1.0, 2.0, 3.5])
def test_log_is_scipys_but_for_its_tail_and_sums_to_zero(sigma):
    kernel = np.float64(kernels.log(sigma))
    expected = cut(ndimage.gaussian_laplace(DELTA, sigma), kernel.shape)

    assert abs(kernel - expected).sum() < 6e-3 * abs(expected).sum()
    assert abs(kernel.sum()) < kernel.size * 2**-24 * abs(kernel).max()


def test_dog_is_the_difference_of_two_gaussians():
    expected = kernels.gaussian(1.0, 13) - kernels.gaussian(1.6, 13)

    np.testing.assert_allclose(kernels.dog(1.0), expected, atol=1e-8)


def test_dog_resembles_the_negative_of_log():
    dog = np.float64(kernels.dog(2.0)).ravel()
    log = np.float64(kernels.log(2.5, math.isqrt(dog.size))).ravel()

    assert dog @ log / np.linalg.norm(dog) / np.linalg.norm(log) < -0.99


@pytest.mark.parametrize(
    "design",
    [
        lambda s: kernels.gaussian(s, 7),
        lambda s: kernels.gaussian((s, 2 * s), 7, angle=0.3),
        lambda s: kernels.gaussian_derivative(s, (1, 0), 7),
        lambda s: kernels.log(s, 7),
        lambda s: kernels.dog(s, size=7),
        lambda s: kernels.unsharp(s, size=7),
        lambda s: kernels.gabor(0.2, sigma=s, size=7),
    ],
    ids=["gaussian", "turned", "derivative", "log", "dog", "unsharp", "gabor"],
)
def test_sigma_is_differentiable(design):
    """Against central differences of the same design in float64."""
    derivative = jax.jit(jax.jacfwd(design))(1.3)

    with jax.enable_x64(True):
        step = 1e-5
        expected = (np.asarray(design(1.3 + step)) - np.asarray(design(1.3 - step))) / (2 * step)
    assert abs(expected).max() > 1e-3
    np.testing.assert_allclose(derivative, expected, atol=2e-6)


def test_gaussian_is_the_same_when_sigma_is_traced():
    traced = jax.jit(lambda sigma: kernels.gaussian(sigma, 9))(1.5)

    np.testing.assert_allclose(traced, kernels.gaussian(1.5, 9), rtol=2e-6)


def test_sigma_of_float64_gives_float64(x64):
    kernel = kernels.gaussian(1.0)

    assert kernel.dtype == np.float64
    assert float(kernel.sum()) == pytest.approx(1, abs=1e-15)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: kernels.gaussian(0.0), "sigma: expected a finite number above 0, .* got 0.0"),
        (lambda: kernels.gaussian(-1), "sigma: expected .* got -1"),
        (lambda: kernels.gaussian((1, 2, 3)), r"sigma: expected .* got \(1, 2, 3\)"),
        (lambda: kernels.gaussian((1, math.inf)), "sigma: expected .* got inf"),
        (lambda: kernels.gaussian("2"), "sigma: expected .* got '2'"),
        (lambda: kernels.gaussian(1.0, 0), "size: expected two integers, .* got 0"),
        (lambda: kernels.gaussian(1.0, (3, 3.5)), r"size: expected two .* got \(3, 3.5\)"),
        (lambda: kernels.gaussian(1.0, truncate=0), "truncate: expected a finite number above 0"),
        (lambda: kernels.gaussian(1.0, angle=math.nan), "angle: expected a finite number, got nan"),
        (lambda: jax.jit(kernels.gaussian)(1.0), "size: expected two integers, .* got None"),
        (lambda: kernels.gaussian_derivative(1.0, (1, -1)), "order: expected a whole number"),
        (lambda: kernels.gaussian_derivative(1.0, 2), "order: expected two whole numbers"),
        (
            lambda: kernels.gaussian_derivative(1.0, (0, 3), 3),
            r"size: expected more taps than the orders \(0, 3\), got \(3, 3\)",
        ),
        (
            lambda: kernels.gaussian_derivative((1.0, 0.3), (0, 3)),
            "sigma: expected at least 0.33 for a derivative of order 3, got 0.3",
        ),
        (lambda: kernels.log(0.1), "sigma: expected at least 0.17 for a derivative of order 2"),
        (lambda: kernels.dog(1.0, 1.0), "ratio: expected a finite number above 1, got 1.0"),
    ],
)  # fmt: skip
def test_a_mistake_is_named(unchecked, call, message):
    with pytest.raises(ValueError, match=message):
        call()
