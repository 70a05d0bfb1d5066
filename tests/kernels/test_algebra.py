import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import small_integers

from conv_jax import corr2d, kernels

IMAGE = small_integers(0, (9, 10))


@pytest.mark.parametrize("size", [1, 3, (1, 5)], ids=str)
def test_identity_leaves_the_image(size):
    np.testing.assert_array_equal(corr2d(IMAGE, kernels.identity(size), padding="same"), IMAGE)


@pytest.mark.parametrize(("dy", "dx"), [(0, 0), (1, 0), (0, -2), (3, 2)])
def test_shift_moves_the_image(dy, dx):
    kernel = kernels.shift(dy, dx)

    actual = corr2d(IMAGE, kernel, padding="same", boundary="wrap")

    np.testing.assert_array_equal(actual, np.roll(IMAGE, (dy, dx), axis=(0, 1)))


def test_shift_by_half_a_pixel_is_the_mean_of_two():
    actual = corr2d(IMAGE, kernels.shift(0, 0.5), padding="same", boundary="wrap")

    np.testing.assert_array_equal(actual, (IMAGE + np.roll(IMAGE, 1, axis=1)) / 2)


def test_a_fraction_weighs_by_its_distance():
    np.testing.assert_allclose(kernels.shift(-1.25, 0)[:, 0], [0, 0, 0, 0.75, 0.25])


def test_compose_is_one_after_the_other():
    first, second, third = (small_integers(seed, (2 + seed % 2, 3)) for seed in (1, 2, 3))

    actual = corr2d(IMAGE, kernels.compose(first, second, third))

    expected = corr2d(corr2d(corr2d(IMAGE, first), second), third)
    np.testing.assert_array_equal(actual, expected)
    assert not (actual == corr2d(IMAGE, kernels.compose(first, second, third[::-1]))).all()


def test_compose_of_integers_is_exact():
    composed = kernels.compose([[1, 2, 1]], [[1], [2], [1]], [[-1, 1]])

    assert composed.dtype == jnp.int32
    assert composed.tolist() == [[-1, -1, 1, 1], [-2, -2, 2, 2], [-1, -1, 1, 1]]


def test_what_two_blurs_compose_is_a_blur():
    blur = kernels.disk(8)

    assert kernels.analyze(kernels.compose(blur, blur)).is_blur


def test_a_single_kernel_composes_to_itself():
    assert kernels.compose([[True, False]]).tolist() == [[1, 0]]


def test_compose_is_differentiable():
    first, second = small_integers(1, (2, 3)), small_integers(2, (3, 2))

    gradient = jax.jit(jax.grad(lambda k: kernels.compose(k, second).sum()))(first)

    np.testing.assert_array_equal(gradient, np.full((2, 3), second.sum()))


@pytest.mark.parametrize(
    ("kernel", "rank"),
    [
        (kernels.sobel(axis=1), 1),
        (kernels.gaussian((1.0, 2.5)), 1),
        (1e-9 * kernels.gaussian(1.3), 1),
        (kernels.laplacian(), 2),
        (1e-9 * kernels.laplacian(), 2),
        (np.eye(4, dtype=np.float32), 4),
        ([[2, 4], [1, 2]], 1),
    ],
    ids=["sobel", "gaussian", "tiny_gaussian", "laplacian", "tiny_laplacian", "eye", "integers"],
)
def test_rank(kernel, rank):
    assert kernels.separate(kernel).rank == rank


def test_a_kernel_of_rank_1_is_its_column_times_its_row():
    column, row, _ = kernels.separate(kernels.sobel(axis=1))

    np.testing.assert_allclose(column, [1, 2, 1], rtol=1e-6)
    np.testing.assert_allclose(row, [-1, 0, 1], atol=1e-6)


def test_the_product_is_the_nearest_of_rank_1():
    kernel = np.random.default_rng(0).normal(size=(4, 5)).astype(np.float32)
    column, row, _ = kernels.separate(kernel)
    left, values, right = np.linalg.svd(np.float64(kernel))

    np.testing.assert_allclose(
        np.outer(column, row), values[0] * np.outer(left[:, 0], right[0]), atol=1e-5
    )


def test_separate_is_differentiable():
    """Moving column row^T along itself moves column row^T by as much."""
    kernel = jnp.asarray(np.random.default_rng(0).normal(size=(3, 4)), dtype=float)

    def nearest(kernel):
        column, row, _ = kernels.separate(kernel)
        return column[:, None] * row[None, :]

    near = nearest(kernel)
    _, moved = jax.jit(lambda k, t: jax.jvp(nearest, (k,), (t,)))(kernel, near)

    np.testing.assert_allclose(moved, near, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "int8"])
def test_narrow_kernels_are_separated_in_float32(dtype):
    column, row, rank = kernels.separate(kernels.sobel(axis=0).astype(dtype))

    assert (column.dtype, rank) == (np.float32, 1)
    np.testing.assert_allclose(column[:, None] * row[None], kernels.sobel(axis=0), atol=1e-6)


@pytest.mark.parametrize("angle", [0.0, 0.4, math.pi / 2, 2.0, -1.0])
def test_steered_gaussian_derivative_is_that_of_the_turned_axis(angle):
    right, down = (kernels.gaussian_derivative(1.5, order) for order in ((0, 1), (1, 0)))

    analysis = kernels.analyze(kernels.steer((right, down), angle))

    np.testing.assert_allclose(analysis.direction, (math.sin(angle), math.cos(angle)), atol=1e-5)
    assert analysis.gain == pytest.approx(1, rel=1e-5)


@pytest.mark.parametrize("order", [2, 3])
def test_steering_of_higher_orders(order):
    basis = [kernels.gaussian_derivative(2.0, (j, order - j)) for j in range(order + 1)]

    analysis = kernels.analyze(kernels.steer(basis, 0.6))

    assert analysis.derivative_order == order
    np.testing.assert_allclose(analysis.direction, (math.sin(0.6), math.cos(0.6)), atol=1e-4)


def test_the_angle_is_differentiable():
    basis = jnp.stack([kernels.sobel(axis=1), kernels.sobel(axis=0)])

    slope = jax.jit(jax.jacfwd(lambda a: kernels.steer(basis, a)))(0.3)

    np.testing.assert_allclose(slope, kernels.steer(basis, 0.3 + math.pi / 2), atol=1e-5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: kernels.identity(4), "size: expected odd sizes, which have a centre, got 4"),
        (lambda: kernels.shift(math.inf, 0), "dy: expected a finite number, got inf"),
        (lambda: kernels.compose(), "kernels: expected at least one, got none"),
        (lambda: kernels.compose([1, 2], [[1]]), r"kernels: expected shapes .* got \[\(2,\), "),
        (lambda: kernels.separate([1.0]), r"kernel: expected a shape \(kH, kW\) .* float32\[1\]"),
        (lambda: kernels.compose([1, 2]), r"kernels: expected shapes .* got \[\(2,\)\]"),
        (lambda: kernels.separate([[math.nan, 1]]), "kernel: expected finite numbers"),
        (lambda: kernels.separate([[1j]]), "kernel: expected .* of real numbers, got complex64"),
        (lambda: kernels.steer([np.ones((1, 2))], 0.1), "kernels: expected at least two of one"),
        (
            lambda: kernels.steer([np.ones((1, 2)), np.ones((2, 1))], 0.1),
            r"kernels: expected at least two of one shape .* got \[\(1, 2\), \(2, 1\)\]",
        ),
    ],
)  # fmt: skip
def test_a_mistake_is_named(unchecked, call, message):
    with pytest.raises(ValueError, match=message):
        call()
