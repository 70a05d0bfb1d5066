"""Correlation as a primitive: derivatives of every order, batches, loops, and its compilations.

Whole numbers in 64 bits leave no doubt: through "fft" they come within 1e-3 of themselves.
"""

import functools
import logging

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import every_algorithm, small_integers
from jax import lax
from oracles import assert_whole, corr2d_numpy, correlate_numpy

from conv_jax import corr2d
from conv_jax.primitive import correlate

IMAGE_SHAPE, KERNEL_SHAPE = (5, 6), (3, 2)
OPTIONS = {"stride": (2, 1), "dilation": (1, 2), "padding": ((1, 2), (0, 1))}
NORMS = 1e6  # more than the product of the norms of any arrays that meet below


def _whole(seed, shape, dtype="float64"):
    return jnp.asarray(small_integers(seed, shape, dtype))


def _arrays(dtype="float64"):
    """Return an image, a kernel, a tangent of each, and a cotangent."""
    shapes = (IMAGE_SHAPE, KERNEL_SHAPE, IMAGE_SHAPE, KERNEL_SHAPE, _correlated().shape)
    return [_whole(seed, shape, dtype) for seed, shape in enumerate(shapes)]


def _correlated(image=None, kernel=None):
    """Return corr2d with OPTIONS in NumPy."""
    image = np.zeros(IMAGE_SHAPE) if image is None else image
    return corr2d_numpy(image, np.zeros(KERNEL_SHAPE) if kernel is None else kernel, **OPTIONS)


def _matrices(image, kernel):
    """Return corr2d as the matrix of its image, and as the matrix of its kernel."""
    pixels = np.eye(image.size).reshape(-1, *IMAGE_SHAPE)
    weights = np.eye(kernel.size).reshape(-1, *KERNEL_SHAPE)
    by_kernel = [_correlated(image, weight).ravel() for weight in weights]
    return _correlated(pixels, kernel).reshape(image.size, -1).T, np.array(by_kernel).T


def _squared_error(algorithm):
    return lambda image, kernel: (
        jnp.sum(corr2d(image, kernel, algorithm=algorithm, **OPTIONS) ** 2) / 2
    )


def _forward_over_reverse(function, point, tangents):
    return jax.jvp(jax.grad(function, (0, 1)), point, tangents)[1]


def _reverse_over_reverse(function, point, tangents):
    def directional(*point):
        gradients = jax.grad(function, (0, 1))(*point)
        return sum(jnp.vdot(g, t) for g, t in zip(gradients, tangents, strict=True))

    return jax.grad(directional, (0, 1))(*point)


@every_algorithm
@pytest.mark.parametrize(
    "product", [_forward_over_reverse, _reverse_over_reverse], ids=["jvp_of_grad", "grad_of_grad"]
)
def test_hessian_vector_product(algorithm, product, x64):
    image, kernel, image_tangent, kernel_tangent, _ = _arrays()

    by_image, by_kernel = jax.jit(functools.partial(product, _squared_error(algorithm)))(
        (image, kernel), (image_tangent, kernel_tangent)
    )

    of_image, of_kernel = _matrices(image, kernel)
    along_image, along_kernel = _matrices(image_tangent, kernel_tangent)
    sums = _correlated(image, kernel).ravel()
    moved = _correlated(image_tangent, kernel) + _correlated(image, kernel_tangent)
    expected_image = of_image.T @ moved.ravel() + along_image.T @ sums
    expected_kernel = of_kernel.T @ moved.ravel() + along_kernel.T @ sums
    assert_whole(algorithm, by_image.ravel(), expected_image, norms=NORMS)
    assert_whole(algorithm, by_kernel.ravel(), expected_kernel, norms=NORMS)


@every_algorithm
def test_jvp_and_vjp_are_adjoint(algorithm, x64):
    image, kernel, image_tangent, kernel_tangent, cotangent = _arrays()
    compute = functools.partial(corr2d, algorithm=algorithm, **OPTIONS)

    @jax.jit
    def both():
        tangent = jax.jvp(compute, (image, kernel), (image_tangent, kernel_tangent))[1]
        return tangent, jax.vjp(compute, image, kernel)[1](cotangent)

    tangent, (by_image, by_kernel) = both()

    forward = np.vdot(tangent, cotangent)
    backward = np.vdot(by_image, image_tangent) + np.vdot(by_kernel, kernel_tangent)
    assert_whole(algorithm, backward, np.round(forward), norms=NORMS)
    assert abs(forward) > 1


@pytest.mark.parametrize("jacobian", [jax.jacfwd, jax.jacrev])
def test_jacobian(jacobian, x64):
    image, kernel, *_ = _arrays()
    compute = functools.partial(corr2d, **OPTIONS)

    by_image, by_kernel = jax.jit(jacobian(compute, (0, 1)))(image, kernel)

    of_image, of_kernel = _matrices(image, kernel)
    np.testing.assert_array_equal(by_image.reshape(of_image.shape), of_image)
    np.testing.assert_array_equal(by_kernel.reshape(of_kernel.shape), of_kernel)


@pytest.mark.parametrize(
    ("stride", "padding", "kernel_shape"),
    [
        pytest.param(10, ((5, 0), (0, 0)), (1, 1), id="before"),
        pytest.param(12, ((0, 0), (9, 0)), (2, 2), id="left"),
        pytest.param(4, ((0, 9), (3, 11)), (2, 1), id="after"),
    ],
)
def test_windows_outside_the_image_have_no_gradient(stride, padding, kernel_shape):
    options = {"stride": stride, "padding": padding}
    image, kernel = _whole(0, (3, 3), "float32"), _whole(1, kernel_shape, "float32")

    by_image, by_kernel = jax.grad(lambda *a: corr2d(*a, **options).sum(), (0, 1))(image, kernel)

    pixels, weights = np.eye(9).reshape(-1, 3, 3), np.eye(kernel.size).reshape(-1, *kernel_shape)
    responses = corr2d_numpy(pixels, kernel, **options).sum(axis=(-2, -1))
    np.testing.assert_array_equal(by_image.ravel(), responses)
    expected = [corr2d_numpy(image, weight, **options).sum() for weight in weights]
    np.testing.assert_array_equal(by_kernel.ravel(), expected)


@every_algorithm
def test_channels_and_groups_have_gradients(algorithm, x64):
    image, kernel = _whole(0, (2, 3, 2, 5, 6)), _whole(1, (2, 4, 2, 3, 2))
    options = {"stride": (2, 1), "dilation": (1, 2), "pads": ((1, 2), (0, 1))}
    compute = functools.partial(correlate, algorithm=algorithm, **options)
    cotangent = _whole(2, jax.eval_shape(compute, image, kernel).shape)

    by_image, by_kernel = jax.jit(lambda: jax.vjp(compute, image, kernel)[1](cotangent))()

    # Linear in both: <gradient, direction> is the response to the direction.
    image_direction, kernel_direction = _whole(3, image.shape), _whole(4, kernel.shape)
    to_image = correlate_numpy(image_direction, kernel, **OPTIONS)
    to_kernel = correlate_numpy(image, kernel_direction, **OPTIONS)
    forward = np.array([np.vdot(to_image, cotangent), np.vdot(to_kernel, cotangent)])
    backward = np.array([np.vdot(by_image, image_direction), np.vdot(by_kernel, kernel_direction)])
    assert_whole(algorithm, backward, forward, norms=NORMS)


@pytest.mark.parametrize(
    ("in_axes", "image_shape", "kernel_shape"),
    [
        pytest.param((2, None), (5, 6, 3), KERNEL_SHAPE, id="images"),
        pytest.param((None, 1), IMAGE_SHAPE, (3, 3, 2), id="kernels"),
        pytest.param((1, 2), (5, 3, 6), (3, 2, 3), id="both"),
    ],
)
@pytest.mark.parametrize("out_axis", [0, 2])
def test_vmap_over_any_axis(in_axes, image_shape, kernel_shape, out_axis):
    images, kernels = small_integers(0, image_shape), small_integers(1, kernel_shape)
    compute = functools.partial(corr2d, **OPTIONS)

    actual = jax.jit(jax.vmap(compute, in_axes, out_axis))(images, kernels)

    image_axis, kernel_axis = in_axes
    expected = [
        _correlated(
            images if image_axis is None else images.take(i, image_axis),
            kernels if kernel_axis is None else kernels.take(i, kernel_axis),
        )
        for i in range(3)
    ]
    np.testing.assert_array_equal(np.moveaxis(actual, out_axis, 0), expected)


@every_algorithm
def test_vmaps_of_images_kernels_and_both_nest(algorithm, x64):
    images, kernels = _whole(0, (2, 3, *IMAGE_SHAPE)), _whole(1, (2, 4, *KERNEL_SHAPE))
    compute = functools.partial(corr2d, algorithm=algorithm, **OPTIONS)
    over_kernels = jax.vmap(compute, (None, 0))
    over_images = jax.vmap(over_kernels, (0, None))
    over_groups = jax.vmap(over_images, (0, 0))

    actual = jax.jit(over_groups)(images, kernels)

    expected = correlate_numpy(images[:, :, None], kernels[:, :, None], **OPTIONS)
    assert_whole(algorithm, actual, expected, norms=NORMS)


@pytest.mark.parametrize("in_axes", [(0, None), (None, 0), (0, 0)], ids=str)
def test_vmap_over_nothing_is_empty(in_axes):
    image_shape, kernel_shape = (
        shape if axis is None else (0, *shape)
        for axis, shape in zip(in_axes, (IMAGE_SHAPE, KERNEL_SHAPE), strict=True)
    )

    actual = jax.vmap(corr2d, in_axes)(jnp.zeros(image_shape), jnp.zeros(kernel_shape))

    assert actual.shape == (0, 3, 5)


def test_grad_of_vmap_is_the_sum_of_vmap_of_grad():
    images, kernel = small_integers(0, (3, *IMAGE_SHAPE)), small_integers(1, KERNEL_SHAPE)

    def loss(kernel, image):
        return jnp.sum(corr2d(image, kernel, **OPTIONS) ** 2) / 2

    of_sum = jax.jit(jax.grad(lambda k: jax.vmap(loss, (None, 0))(k, images).sum()))(kernel)
    of_each = jax.jit(jax.vmap(jax.grad(loss), (None, 0)))(kernel, images)

    by_kernel = [_matrices(image, kernel)[1] for image in images]
    sums = [_correlated(image, kernel).ravel() for image in images]
    expected = [matrix.T @ y for matrix, y in zip(by_kernel, sums, strict=True)]
    np.testing.assert_array_equal(of_each.reshape(3, -1), expected)
    np.testing.assert_array_equal(of_sum.ravel(), np.sum(expected, axis=0))


def test_scan_repeats_the_correlation_and_its_gradient():
    image, kernel = small_integers(0, (4, 4)), small_integers(1, (2, 2))

    def twice(kernel):
        def step(image, _):
            return corr2d(image, kernel, padding="same"), None

        return lax.scan(step, jnp.asarray(image), length=2)[0].sum()

    value, gradient = jax.jit(jax.value_and_grad(twice))(kernel)

    def expected(kernel):
        return corr2d_numpy(corr2d_numpy(image, kernel, padding="same"), kernel, padding="same")

    steps = np.eye(4).reshape(4, 2, 2)
    # The value is quadratic in the kernel, so central differences are exact.
    differences = [(expected(kernel + s) - expected(kernel - s)).sum() / 2 for s in steps]
    assert value == expected(kernel).sum()
    np.testing.assert_array_equal(gradient.ravel(), differences)


def test_checkpoint_changes_no_gradient():
    image, kernel, *_ = _arrays("float32")
    loss = _squared_error("auto")

    kept = jax.jit(jax.grad(loss, (0, 1)))(image, kernel)
    recomputed = jax.jit(jax.grad(jax.checkpoint(loss), (0, 1)))(image, kernel)

    for one, other in zip(kept, recomputed, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("argnums", [0, 1], ids=["image", "kernel"])
def test_an_unused_tangent_is_zero(argnums):
    arrays = _arrays("float32")
    fixed = [arrays[0], arrays[1]]

    def compute(varied):
        operands = [*fixed[:argnums], varied, *fixed[argnums + 1 :]]
        return corr2d(*operands, **OPTIONS)

    _, tangent = jax.jvp(compute, (fixed[argnums],), (arrays[argnums + 2],))

    operands = [*fixed[:argnums], arrays[argnums + 2], *fixed[argnums + 1 :]]
    np.testing.assert_array_equal(tangent, _correlated(*operands))


def test_a_second_call_outside_jit_compiles_nothing(caplog):
    image, kernel = small_integers(0, (13, 17)), small_integers(1, (2, 3))  # of no other test

    with caplog.at_level(logging.WARNING), jax.log_compiles():
        corr2d(image, kernel, padding="same")
        first = caplog.text
        caplog.clear()
        corr2d(image + 1, kernel, padding="same")

    assert "Compiling" in first
    assert "Compiling" not in caplog.text
    assert "Finished tracing" not in caplog.text


def test_a_call_outside_jit_chooses_its_algorithm_once(monkeypatch):
    from conv_jax import primitive

    chosen = []

    def counting_choose(*shapes, **options):
        chosen.append(shapes)
        return "direct"

    monkeypatch.setattr(primitive, "choose", counting_choose)
    image, kernel = small_integers(0, (13, 19)), small_integers(1, (2, 3))  # of no other test

    corr2d(image, kernel)
    corr2d(image, kernel)

    assert chosen == [((1, 1, 1, 13, 19), (1, 1, 1, 2, 3))]


def test_a_call_outside_jit_is_one_program(caplog):
    image, kernel = jnp.ones((14, 17)), jnp.ones((2, 3))

    with caplog.at_level(logging.WARNING), jax.log_compiles():
        corr2d(image, kernel, padding=2, boundary="wrap", stride=2)

    assert caplog.text.count("Finished XLA compilation") == 1


def test_corr2d_runs_with_jit_disabled():
    image, kernel = small_integers(0, (6, 5)), small_integers(1, (3, 2))

    with jax.disable_jit():
        actual = corr2d(image, kernel)

    np.testing.assert_array_equal(actual, corr2d_numpy(image, kernel))
