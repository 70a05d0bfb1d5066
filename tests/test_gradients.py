"""Derivatives of correlation against their closed forms, which for whole numbers are exact.

corr2d is bilinear: linear in the image with the matrix whose columns are the responses to
single pixels, and linear in the kernel with the matrix whose rows are the windows.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import ALGORITHM_NAMES, bounded, calls, every_algorithm, seeds, small_integers
from hypothesis import given
from oracles import assert_whole, corr2d_numpy, norm, surrounded, windows

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


def _cases(*names):
    """Return these options with every algorithm, and all the others with the automatic choice."""
    pairs = [(algorithm, name) for algorithm in ALGORITHM_NAMES for name in names]
    pairs += [("auto", name) for name in OPTIONS if name not in names]
    cases = [pytest.param(a, OPTIONS[name], id=f"{a}-{name}") for a, name in pairs]
    return pytest.mark.parametrize(("algorithm", "options"), cases)


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


def _norms(image, kernel, cotangent, options):
    """Return the larger of the norms that meet in the two gradients."""
    return norm(cotangent) * max(norm(surrounded(image, KERNEL_SHAPE, **options)), norm(kernel))


def _weighted_sum(algorithm, cotangent, **options):
    """Return <corr2d(image, kernel), cotangent> as a function of image and kernel."""
    return lambda image, kernel: jnp.sum(
        corr2d(image, kernel, algorithm=algorithm, **options) * cotangent
    )


@_cases("stride", "uneven")
def test_reverse_mode(algorithm, options):
    image, kernel, cotangent = _arrays(**options)

    gradients = jax.jit(jax.grad(_weighted_sum(algorithm, cotangent, **options), argnums=(0, 1)))
    by_image, by_kernel = gradients(image, kernel)

    whole = functools.partial(
        assert_whole, algorithm, norms=_norms(image, kernel, cotangent, options)
    )
    whole(by_image, _image_gradient(kernel, cotangent, **options))
    whole(by_kernel, _kernel_gradient(image, cotangent, **options))


@_cases("uneven")
def test_forward_mode_is_the_product_rule(algorithm, options):
    image, kernel, _ = _arrays(**options)
    tangents = small_integers(3, IMAGE_SHAPE), small_integers(4, KERNEL_SHAPE)
    correlate = functools.partial(corr2d, algorithm=algorithm, **options)

    primal, tangent = jax.jit(lambda *a: jax.jvp(correlate, a[:2], a[2:]))(image, kernel, *tangents)

    moved_image = corr2d_numpy(tangents[0], kernel, **options)
    moved_kernel = corr2d_numpy(image, tangents[1], **options)
    norms = norm(tangents[0], kernel) + norm(image, tangents[1])
    assert_whole(algorithm, primal, corr2d_numpy(image, kernel, **options), norms=norms)
    assert_whole(algorithm, tangent, moved_image + moved_kernel, norms=norms)
    assert moved_image.any()
    assert moved_kernel.any()


@every_algorithm
@bounded(max_examples=3)
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

    # Cauchy and Schwarz, with the Euclidean norm of the errors of all pixels together: as in
    # `assert_within_transform_rounding`, with |X K| <= |X| sum|k| for |X| |K| / sqrt(n).
    padded = surrounded(image, kernel_shape, **options)
    bound = 12 * 12 * 2**-23 * norm(padded, cotangent) * abs(kernel).sum()
    error = np.vdot(image, np.float64(adjoint)) - np.vdot(response, cotangent)
    assert abs(error) <= (bound if algorithm == "fft" else 0)


@every_algorithm
def test_hessian_of_a_squared_error_in_the_kernel(algorithm):
    options = OPTIONS["uneven"]
    image, kernel, target = _arrays(**options)

    def squared_error(kernel):
        return jnp.sum((corr2d(image, kernel, algorithm=algorithm, **options) - target) ** 2) / 2

    hessian = jax.jit(jax.hessian(squared_error))(kernel)

    design = windows(image, KERNEL_SHAPE, **options).reshape(-1, kernel.size)
    # Two correlations with the image, of which the second also carries on the first one's error.
    norms = 2 * norm(surrounded(image, KERNEL_SHAPE, **options)) ** 2
    actual = hessian.reshape(kernel.size, kernel.size)
    assert_whole(algorithm, actual, design.T @ design, norms=norms)


@every_algorithm
def test_second_derivatives_of_a_bilinear_form(algorithm):
    options = OPTIONS["uneven"]
    image, kernel, cotangent = _arrays(**options)
    form = _weighted_sum(algorithm, cotangent, **options)

    (by_image_twice, mixed), (_, by_kernel_twice) = jax.jit(jax.hessian(form, argnums=(0, 1)))(
        image, kernel
    )

    pixels = np.eye(image.size).reshape(-1, *IMAGE_SHAPE)
    expected = [_kernel_gradient(pixel, cotangent, **options) for pixel in pixels]
    actual = mixed.reshape(-1, *KERNEL_SHAPE)
    assert_whole(algorithm, actual, np.array(expected), norms=norm(cotangent))
    assert not by_image_twice.any()
    assert not by_kernel_twice.any()


@every_algorithm
def test_kernel_gradient_of_a_batch_is_the_sum(algorithm):
    options = OPTIONS["uneven"]
    images, kernel, cotangents = _arrays((3, *IMAGE_SHAPE), **options)

    actual = jax.jit(jax.grad(_weighted_sum(algorithm, cotangents, **options), argnums=1))(
        images, kernel
    )

    norms = _norms(images, kernel, cotangents, options)
    assert_whole(algorithm, actual, _kernel_gradient(images, cotangents, **options), norms=norms)


@pytest.mark.parametrize(
    ("in_axes", "image_shape", "kernel_shape"),
    [
        pytest.param((0, None), (3, *IMAGE_SHAPE), KERNEL_SHAPE, id="images"),
        pytest.param((None, 0), IMAGE_SHAPE, (3, *KERNEL_SHAPE), id="kernels"),
        pytest.param((0, 0), (3, *IMAGE_SHAPE), (3, *KERNEL_SHAPE), id="both"),
    ],
)
def test_vmap_of_gradients(in_axes, image_shape, kernel_shape):
    options = OPTIONS["stride"]
    *_, cotangent = _arrays(**options)
    images, kernels = small_integers(0, image_shape), small_integers(1, kernel_shape)
    gradients = jax.grad(_weighted_sum("auto", cotangent, **options), argnums=(0, 1))

    by_image, by_kernel = jax.jit(jax.vmap(gradients, in_axes))(images, kernels)

    all_images = np.broadcast_to(images, (3, *IMAGE_SHAPE))
    all_kernels = np.broadcast_to(kernels, (3, *KERNEL_SHAPE))
    np.testing.assert_array_equal(
        by_image, [_image_gradient(kernel, cotangent, **options) for kernel in all_kernels]
    )
    np.testing.assert_array_equal(
        by_kernel, [_kernel_gradient(image, cotangent, **options) for image in all_images]
    )


def test_convolution_has_the_flipped_kernel_gradient():
    image, kernel, cotangent = _arrays()

    def weighted_sum(kernel):
        return jnp.sum(conv2d(image, kernel) * cotangent)

    actual = jax.jit(jax.grad(weighted_sum))(kernel)

    expected = _kernel_gradient(image, cotangent)[::-1, ::-1]
    np.testing.assert_array_equal(actual, expected)
    assert not np.array_equal(actual, expected[::-1, ::-1])


def test_the_surrounding_constant_has_a_gradient():
    image, kernel, cotangent = _arrays(padding="full")

    def weighted_sum(fill_value):
        form = _weighted_sum("auto", cotangent, padding="full", fill_value=fill_value)
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

    norms = _norms(image, kernel, cotangent, {})
    assert_whole(algorithm, by_image, 1j * _image_gradient(kernel, cotangent), norms=norms)
    assert_whole(algorithm, by_kernel, 1j * _kernel_gradient(image, cotangent), norms=norms)


@pytest.mark.parametrize(
    ("algorithm", "dtype"),
    [("auto", "float16"), ("auto", "float32"), *[(name, "bfloat16") for name in ALGORITHM_NAMES]],
)
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
    norms = _norms(image, kernel, cotangent, {})
    assert_whole(algorithm, by_image.astype("float32"), expected, norms=norms)


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
