import functools

import jax
import numpy as np
import pytest

from conv_jax import conv2d, corr2d
from experiments.filters.least_squares import (
    Draw,
    descend,
    draw,
    expected_distances,
    fastest_rate,
    fit,
    recover,
)
from experiments.learn_kernel import stripe_image
from tests.oracles import windows

pytestmark = pytest.mark.usefixtures("x64")

EPS = np.finfo(float).eps
SOBEL = np.array([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]])
IMAGES = {
    "noise": np.random.default_rng(0).normal(size=(12, 13)),
    "stripe": np.asarray(stripe_image(), float),
    "ramp": np.tile(np.arange(12.0), (12, 1)),
    "constant": np.ones((12, 12)),
}
RANKS = {"noise": 9, "stripe": 3, "ramp": 2, "constant": 1}

every_image = pytest.mark.parametrize("name", IMAGES)
solve = jax.jit(fit)


def seen(image, kernel_shape=(3, 3)):
    """Return the windows of an image, one a row, by NumPy."""
    return windows(image, kernel_shape).reshape(-1, np.prod(kernel_shape))


def noisy_outputs(name, scale=0.1):
    clean = seen(IMAGES[name]) @ SOBEL.ravel()
    return clean + scale * np.random.default_rng(1).normal(size=clean.shape)


@every_image
def test_kernel_is_the_pseudoinverses(name):
    a, y = seen(IMAGES[name]), noisy_outputs(name)
    result = solve(a, y, SOBEL)
    expected = np.linalg.pinv(a, rcond=1e-10) @ y
    # The normal matrix is off by len(a) eps |A|^2, which its condition number enlarges.
    bound = 10 * len(a) * EPS * float(result.condition) * np.linalg.norm(expected)
    assert np.linalg.norm(result.kernel - expected) < bound < 1e-6


@every_image
def test_rank_says_how_much_the_windows_tell(name):
    assert solve(seen(IMAGES[name]), noisy_outputs(name), SOBEL).rank == RANKS[name]


def test_chapters_stripe_has_the_eigenvalues_of_its_loss():
    """The loss |A k - y|^2 has the Hessian 2 A^T A, of eigenvalues 60 and 12."""
    a = seen(IMAGES["stripe"], (1, 2))
    result = solve(a, np.zeros(len(a)), np.array([[1.0, -1.0]]))
    np.testing.assert_allclose(result.eigenvalues, [6, 30], rtol=4 * EPS)
    assert result.condition == pytest.approx(5, rel=8 * EPS)
    assert result.variance == pytest.approx(1 / 6 + 1 / 30, rel=8 * EPS)
    assert result.bias == 0


@every_image
def test_bias_is_what_no_window_sees(name):
    a = seen(IMAGES[name])
    unseen = SOBEL.ravel() - np.linalg.pinv(a, rcond=1e-10) @ a @ SOBEL.ravel()
    assert solve(a, noisy_outputs(name), SOBEL).bias == pytest.approx(
        np.linalg.norm(unseen), abs=1e-12
    )


def test_weights_of_0_leave_samples_out():
    a, y = seen(IMAGES["noise"]), noisy_outputs("noise")
    weights = np.where(np.arange(len(a)) < 30, 1.0, 0.0)
    some, first = solve(a, y, SOBEL, weights=weights), solve(a[:30], y[:30], SOBEL)
    np.testing.assert_allclose(some.kernel, first.kernel, atol=1e-12)
    assert abs(first.kernel - solve(a, y, SOBEL).kernel).max() > 1e-3


@pytest.mark.parametrize("name", ["noise", "stripe"])
def test_expected_error_is_that_of_many_draws(name):
    """E|k - target|^2 = bias^2 + s^2 sum 1/l; the variance of |.|^2 is 2 s^4 sum 1/l^2."""
    a, draws, sigma = seen(IMAGES[name]), 4000, 0.3
    noise = sigma * np.random.default_rng(2).normal(size=(draws, len(a)))
    result = solve(a, a @ SOBEL.ravel() + noise, SOBEL)
    squares = np.sum((np.asarray(result.kernel) - SOBEL.ravel()) ** 2, axis=1)
    inverse = 1 / np.asarray(result.eigenvalues)[-int(result.rank) :]
    spread = sigma**2 * np.sqrt(2 * np.sum(inverse**2) / draws)
    by_noise = sigma**2 * float(result.variance)
    assert abs(squares.mean() - float(result.bias) ** 2 - by_noise) < 4 * spread
    assert 4 * spread < 0.2 * by_noise  # else the check above could not fail


@pytest.fixture(scope="module")
def drawn():
    """4,000 samples of 2 x 3 places, without noise and with some."""
    with jax.enable_x64(True):
        compiled = jax.jit(draw, static_argnames="num_samples")
        return compiled(jax.random.key(0), np.array([2, 3]), np.array([0.0, 2.0]), num_samples=4000)


def test_places_are_drawn_alike(drawn):
    counts = np.zeros((2, 3))
    np.add.at(counts, tuple(np.asarray(drawn.corners).T), 1)
    chance = np.sqrt(4000 / 6 * 5 / 6)  # the standard deviation of a binomial
    assert abs(counts - 4000 / 6).max() < 4 * chance


def test_noise_has_the_standard_deviations_asked_for(drawn):
    assert not drawn.noise[0].any()
    assert np.std(drawn.noise[1]) == pytest.approx(2, rel=4 / np.sqrt(2 * 4000))


def test_recovery_uses_the_first_samples():
    image = IMAGES["noise"]
    corners = np.random.default_rng(3).integers(0, 10, (40, 2))
    noise = np.random.default_rng(4).normal(size=(2, 40))
    learned = jax.jit(functools.partial(recover, counts=(12, 40)))(
        image, SOBEL, Draw(corners, noise)
    )
    for index, count in enumerate((12, 40)):
        a = seen(image).reshape(10, 11, 9)[tuple(corners[:count].T)]
        expected = np.linalg.lstsq(a, (a @ SOBEL.ravel() + noise[:, :count]).T)[0].T
        np.testing.assert_allclose(learned.kernel[index], expected, rtol=1e-9, atol=1e-9)


@functools.partial(jax.jit, static_argnames=("correlate", "num_steps"))
def follow(image, outputs, initial, rate, *, correlate=corr2d, num_steps=60):
    options = {"correlate": correlate, "learning_rate": rate, "num_steps": num_steps}
    return descend(image, outputs, initial, **options)


def descent(name, initial):
    """Return the fit of noisy outputs and the path that leads there, at the fastest rate."""
    image = IMAGES[name]
    outputs = noisy_outputs(name).reshape(np.subtract(image.shape, 2))
    result = jax.device_get(solve(seen(image), outputs.ravel(), SOBEL))
    rate = fastest_rate(result)
    return result, rate, np.asarray(follow(image, outputs, initial, rate)).reshape(-1, 9)


@every_image
def test_descent_from_0_follows_its_closed_form(name):
    result, rate, path = descent(name, np.zeros((3, 3)))
    distances = np.linalg.norm(path - result.kernel, axis=1)
    expected = expected_distances(result, np.arange(61), learning_rate=rate)
    np.testing.assert_allclose(distances, expected, atol=1e-12)
    assert distances[0] == pytest.approx(np.linalg.norm(result.kernel))


@pytest.mark.parametrize("name", ["noise", "stripe"])
def test_descent_keeps_of_its_start_what_no_window_sees(name):
    initial = np.random.default_rng(5).normal(size=(3, 3))
    result, _, path = descent(name, initial)
    a = seen(IMAGES[name])
    unseen = initial.ravel() - np.linalg.pinv(a, rcond=1e-10) @ a @ initial.ravel()
    np.testing.assert_allclose(path[-1], result.kernel + unseen, atol=1e-6)
    assert (np.linalg.norm(unseen) > 0.1) == (name == "stripe")


@every_image
def test_fastest_rate_balances_the_slowest_parts(name):
    result = jax.device_get(solve(seen(IMAGES[name]), noisy_outputs(name), SOBEL))
    kept = result.eigenvalues[-result.rank :]
    factors = 1 - fastest_rate(result) * kept
    slowest = (result.condition - 1) / (result.condition + 1)
    np.testing.assert_allclose([factors[0], factors[-1]], [slowest, -slowest], atol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_strict_convolution_learns_the_flip_bit_for_bit(dtype):
    image = IMAGES["noise"].astype(dtype)
    initial = np.random.default_rng(6).normal(size=(3, 3)).astype(dtype)
    outputs = np.asarray(corr2d(image, SOBEL.astype(dtype)))
    path = follow(image, outputs, initial, 1e-3)
    strict = follow(image, outputs, initial[::-1, ::-1], 1e-3, correlate=conv2d)
    unflipped = follow(image, outputs, initial, 1e-3, correlate=conv2d)
    assert path.dtype == dtype
    np.testing.assert_array_equal(strict[:, ::-1, ::-1], path)
    assert abs(unflipped[:, ::-1, ::-1] - path).max() > 1e-3
