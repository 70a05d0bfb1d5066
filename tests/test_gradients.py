"""Derivatives of correlation against their closed forms, which for whole numbers are exact.

corr2d is bilinear: linear in the image with the matrix whose columns are the responses to
single pixels, and linear in the kernel with the matrix whose rows are the windows.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import ALGORITHM_NAMES, bounded, calls, seeds, small_integers
from hypothesis import given
from oracles import corr2d_numpy, windows

from conv_jax import conv2d, corr2d

IMAGE_SHAPE, KERNEL_SHAPE = (5, 6), (3, 2)
OPTIONS = {
    "valid": {},
    "same": {"padding": "same"},
    "full": {"padding": "full"},
    "stride": {"stride": (2, 3), "padding": 2},
    "dilation": {"dilation": (2, 3)},
    "uneven": {"padding": ((0, 4), (3, 1)), "stride": 2, "dilation": (1, 2)},
    "edge": {"padding": 7, "boundary": "edge"},
    "reflect": {"padding": 9, "boundary": "reflect"},
    "symmetric": {"padding": "full", "boundary": "symmetric", "stride": (1, 2)},
    "wrap": {"padding": ((7, 0), (0, 13)), "boundary": "wrap"},
}

every_algorithm = pytest.mark.parametrize("algorithm", ALGORITHM_NAMES)
every_option = pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)


def _arrays(image_shape=IMAGE_SHAPE, kernel_shape=KERNEL_SHAPE, **options):
    """Return an image, a kernel and a cotangent of whole numbers."""
    image, kernel = small_integers(0, image_shape), small_integers(1, kernel_shape)
    return image, kernel, small_integers(2, corr2d_numpy(image, kernel, **options).shape)


def _image_gradient(kernel, cotangent, **options):
    """Return what each pixel contributes to <corr2d(image, kernel), cotangent>."""
    pixels = np.eye(np.prod(IMAGE_SHAPE)).reshape(-1, *IMAGE_SHAPE)
    responses = corr2d_numpy(pixels, kernel, **options)
    return (responses * cotangent).sum(axis=(1, 2)).reshape(IMAGE_SHAPE)


def _kernel_gradient(image, cotangent, **options):
    """Return what each kernel element contributes to <corr2d(image, kernel), cotangent>."""
    seen = windows(image, KERNEL_SHAPE, **options).reshape(-1, *KERNEL_SHAPE)
    return np.tensordot(cotangent.ravel(), seen, axes=1)


def _weighted_sum(algorithm, cotangent, **options):
    """Return <corr2d(image, kernel), cotangent> as a function of image and kernel."""
    return lambda image, kernel: jnp.sum(
        corr2d(image, kernel, algorithm=algorithm, **options) * cotangent
    )


@every_algorithm
@every_option
def test_reverse_mode(algorithm, options):
    image, kernel, cotangent = _arrays(**options)

    gradients = jax.jit(jax.grad(_weighted_sum(algorithm, cotangent, **options), argnums=(0, 1)))
    by_image, by_kernel = gradients(image, kernel)

    np.testing.assert_array_equal(by_image, _image_gradient(kernel, cotangent, **options))
    np.testing.assert_array_equal(by_kernel, _kernel_gradient(image, cotangent, **options))


@every_algorithm
@every_option
def test_forward_mode_is_the_product_rule(algorithm, options):
    image, kernel, _ = _arrays(**options)
    tangents = small_integers(3, IMAGE_SHAPE), small_integers(4, KERNEL_SHAPE)
    correlate = functools.partial(corr2d, algorithm=algorithm, **options)

    primal, tangent = jax.jit(lambda *a: jax.jvp(correlate, a[:2], a[2:]))(image, kernel, *tangents)

    moved_image = corr2d_numpy(tangents[0], kernel, **options)
    moved_kernel = corr2d_numpy(image, tangents[1], **options)
    np.testing.assert_array_equal(primal, corr2d_numpy(image, kernel, **options))
    np.testing.assert_array_equal(tangent, moved_image + moved_kernel)
    assert moved_image.any()
    assert moved_kernel.any()


@every_algorithm
@bounded(max_examples=10)
@given(call=calls(), seed=seeds)
def test_adjoint_identity(algorithm, call, seed):
    image_shape, kernel_shape, options = call
    options = options | {"fill_value": 0}
    image, kernel = small_integers([seed, 0], image_shape), small_integers([seed, 1], kernel_shape)

    def correlate(image):
        return corr2d(image, kernel, algorithm=algorithm, **options)

    response = corr2d_numpy(image, kernel, **options)
    cotangent = small_integers([seed, 2], response.shape)
    adjoint = jax.jit(lambda y: jax.linear_transpose(correlate, image)(y)[0])(cotangent)

    assert np.vdot(image, np.float64(adjoint)) == np.vdot(response, cotangent)


@every_algorithm
@every_option
def test_hessian_of_a_squared_error_in_the_kernel(algorithm, options):
    image, kernel, target = _arrays(**options)

    def squared_error(kernel):
        return jnp.sum((corr2d(image, kernel, algorithm=algorithm, **options) - target) ** 2) / 2

    hessian = jax.jit(jax.hessian(squared_error))(kernel)

    design = windows(image, KERNEL_SHAPE, **options).reshape(-1, kernel.size)
    np.testing.assert_array_equal(hessian.reshape(kernel.size, kernel.size), design.T @ design)


@every_algorithm
@every_option
def test_second_derivatives_of_a_bilinear_form(algorithm, options):
    image, kernel, cotangent = _arrays(**options)
    form = _weighted_sum(algorithm, cotangent, **options)

    (by_image_twice, mixed), (_, by_kernel_twice) = jax.jit(jax.hessian(form, argnums=(0, 1)))(
        image, kernel
    )

    pixels = np.eye(image.size).reshape(-1, *IMAGE_SHAPE)
    expected = [_kernel_gradient(pixel, cotangent, **options) for pixel in pixels]
    np.testing.assert_array_equal(mixed.reshape(-1, *KERNEL_SHAPE), expected)
    assert not by_image_twice.any()
    assert not by_kernel_twice.any()


@every_algorithm
@pytest.mark.parametrize("options", [OPTIONS["same"], OPTIONS["uneven"]], ids=["same", "uneven"])
def test_kernel_gradient_of_a_batch_is_the_sum(algorithm, options):
    images, kernel, cotangents = _arrays((3, *IMAGE_SHAPE), **options)

    actual = jax.jit(jax.grad(_weighted_sum(algorithm, cotangents, **options), argnums=1))(
        images, kernel
    )

    np.testing.assert_array_equal(actual, _kernel_gradient(images, cotangents, **options))


@every_algorithm
@pytest.mark.parametrize(
    ("in_axes", "image_shape", "kernel_shape"),
    [
        pytest.param((0, None), (3, *IMAGE_SHAPE), KERNEL_SHAPE, id="images"),
        pytest.param((None, 0), IMAGE_SHAPE, (3, *KERNEL_SHAPE), id="kernels"),
        pytest.param((0, 0), (3, *IMAGE_SHAPE), (3, *KERNEL_SHAPE), id="both"),
    ],
)
def test_vmap_of_gradients(algorithm, in_axes, image_shape, kernel_shape):
    options = OPTIONS["stride"]
    *_, cotangent = _arrays(**options)
    images, kernels = small_integers(0, image_shape), small_integers(1, kernel_shape)
    gradients = jax.grad(_weighted_sum(algorithm, cotangent, **options), argnums=(0, 1))

    by_image, by_kernel = jax.jit(jax.vmap(gradients, in_axes))(images, kernels)

    all_images = np.broadcast_to(images, (3, *IMAGE_SHAPE))
    all_kernels = np.broadcast_to(kernels, (3, *KERNEL_SHAPE))
    np.testing.assert_array_equal(
        by_image, [_image_gradient(kernel, cotangent, **options) for kernel in all_kernels]
    )
    np.testing.assert_array_equal(
        by_kernel, [_kernel_gradient(image, cotangent, **options) for image in all_images]
    )


@every_algorithm
def test_convolution_has_the_flipped_kernel_gradient(algorithm):
    image, kernel, cotangent = _arrays()

    def weighted_sum(kernel):
        return jnp.sum(conv2d(image, kernel, algorithm=algorithm) * cotangent)

    actual = jax.jit(jax.grad(weighted_sum))(kernel)

    expected = _kernel_gradient(image, cotangent)[::-1, ::-1]
    np.testing.assert_array_equal(actual, expected)
    assert not np.array_equal(actual, expected[::-1, ::-1])


@every_algorithm
def test_the_surrounding_constant_has_a_gradient(algorithm):
    image, kernel, cotangent = _arrays(padding="full")

    def weighted_sum(fill_value):
        form = _weighted_sum(algorithm, cotangent, padding="full", fill_value=fill_value)
        return form(jnp.asarray(image), jnp.asarray(kernel))

    actual = jax.jit(jax.grad(weighted_sum))(1.0)

    outside = corr2d_numpy(0 * image, kernel, padding="full", fill_value=1)
    assert actual == np.sum(outside * cotangent) != 0


@every_algorithm
def test_complex_gradient_is_the_transpose_without_conjugation(algorithm):
    image, kernel, cotangent = _arrays()
    image, kernel = image + 1j * image[::-1], kernel - 2j * kernel[::-1]
    correlate = functools.partial(corr2d, algorithm=algorithm)

    pullback = jax.jit(lambda *a: jax.vjp(correlate, *a[:2])[1](a[2]))
    by_image, by_kernel = pullback(image, kernel, np.complex64(1j) * cotangent)

    np.testing.assert_array_equal(by_image, 1j * _image_gradient(kernel, cotangent))
    np.testing.assert_array_equal(by_kernel, 1j * _kernel_gradient(image, cotangent))


@every_algorithm
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_gradients_keep_the_dtype(algorithm, dtype):
    image, kernel, cotangent = _arrays()
    form = _weighted_sum(algorithm, jnp.asarray(cotangent, dtype))

    by_image, by_kernel = jax.jit(jax.grad(form, argnums=(0, 1)))(
        jnp.asarray(image, dtype), jnp.asarray(kernel, dtype)
    )

    assert by_image.dtype == by_kernel.dtype == dtype
    # Whole numbers below 256 are exact in all three types.
    expected = _image_gradient(kernel, cotangent)
    assert abs(expected).max() < 256
    np.testing.assert_array_equal(by_image.astype("float32"), expected)


def test_gradients_keep_float64(x64):
    image, kernel, cotangent = (array.astype("float64") / 3 for array in _arrays())

    by_kernel = jax.jit(jax.grad(_weighted_sum("direct", cotangent), argnums=1))(image, kernel)

    assert by_kernel.dtype == "float64"
    np.testing.assert_allclose(by_kernel, _kernel_gradient(image, cotangent), rtol=0, atol=1e-13)


def test_a_gradient_with_a_wrong_offset_disagrees():
    image, kernel, cotangent = _arrays(padding="same")

    by_image = jax.jit(jax.grad(_weighted_sum("direct", cotangent, padding="same")))(image, kernel)

    assert not np.array_equal(by_image, _image_gradient(kernel, cotangent, padding="same_lower"))


def test_eager_gradient_equals_the_jitted_one():
    image, kernel, cotangent = _arrays(**OPTIONS["uneven"])
    gradient = jax.grad(_weighted_sum("direct", cotangent, **OPTIONS["uneven"]), argnums=1)

    np.testing.assert_array_equal(gradient(image, kernel), jax.jit(gradient)(image, kernel))
