"""Singular values against NumPy's decomposition, in float64, of a matrix from the oracle.

By Weyl's theorem singular values, in order, are off by no more than the norm of what is wrong with
the matrix. LAPACK decomposes one that is off by about its size times eps times its norm (Users'
Guide, 4.9.1). The transform of a kernel is off by 7 u log2(n) sqrt(n) |k| (`oracles.py`).
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import compiled, random_numbers, small_integers
from oracles import windows

from conv_jax import corr2d, output_shape
from conv_jax.matrices import operator_norm, singular_values

EPS = 2.0**-23


def _case(case_id, image_shape, kernel_shape, **options):
    return pytest.param(image_shape, kernel_shape, options, id=case_id)


CIRCULAR = [
    _case("even", (6, 8), (3, 3), padding="same"),
    _case("odd", (5, 7), (2, 3), padding="same_lower"),
    _case("row", (1, 9), (1, 4), padding="same"),
    _case("moved", (6, 6), (2, 3), padding=((1, 0), (2, 0)), stride=(3, 1)),
    _case("dilated", (6, 5), (3, 2), padding="same", dilation=(2, 3)),
    _case("around", (3, 4), (5, 7), padding="same", dilation=(1, 2)),
    _case("stride", (6, 8), (3, 3), padding="same", stride=(2, 4)),
    _case("layer", (4, 5), (3, 2, 2, 3), padding="same"),
    _case("strided layer", (4, 6), (3, 3, 2, 5), padding="same", stride=2),
]
GENERAL = [
    _case("valid", (6, 5), (3, 2)),
    _case("full", (3, 4), (2, 3), padding="full"),
    _case("same", (5, 6), (3, 3), padding="same"),
    _case("stride", (5, 6), (3, 3), padding="same", boundary="wrap", stride=2),
    _case("symmetric", (5, 4), (3, 4), padding="same", boundary="symmetric"),
    _case("layer", (4, 5), (3, 2, 2, 3), padding=1, dilation=(1, 2)),
]


def matrix(kernel, image_shape, **options):
    """Return [H' W' O, H W C] from the responses to single pixels."""
    kernels = np.asarray(kernel).reshape(*np.shape(kernel)[:2], *(np.shape(kernel)[2:] or (1, 1)))
    pixels = np.eye(math.prod(image_shape)).reshape(-1, *image_shape)
    seen = windows(pixels, kernels.shape[:2], **options)
    blocks = np.einsum("phwab,abco->hwopc", seen, kernels.astype(np.result_type(kernels, float)))
    return blocks.reshape(-1, pixels.shape[0] * kernels.shape[2])


def assert_spectrum(actual, kernel, image_shape, **options):
    """Check all singular values within the bound of either way to compute them."""
    whole = matrix(kernel, image_shape, **options)
    expected = np.linalg.svd(whole, compute_uv=False)
    pixels = math.prod(image_shape)
    transform = 3.5 * math.log2(max(pixels, 2)) * math.sqrt(pixels) * np.linalg.norm(kernel)
    bound = EPS * (transform + max(whole.shape) * expected[0])
    assert actual.shape == expected.shape
    assert bound < 1e-3 * expected[0]
    np.testing.assert_allclose(actual, expected, rtol=0, atol=bound)


@pytest.mark.parametrize(("image_shape", "kernel_shape", "options"), CIRCULAR)
def test_circular_spectrum(image_shape, kernel_shape, options):
    kernel = random_numbers(0, kernel_shape, "float32")
    options = options | {"boundary": "wrap"}
    compute = compiled(singular_values, image_shape=image_shape, **options)

    assert " fft[" in str(jax.make_jaxpr(compute)(kernel))
    assert_spectrum(compute(kernel), kernel, image_shape, **options)


@pytest.mark.parametrize(("image_shape", "kernel_shape", "options"), GENERAL)
def test_general_spectrum(image_shape, kernel_shape, options):
    kernel = random_numbers(0, kernel_shape, "float32")
    compute = compiled(singular_values, image_shape=image_shape, **options)

    assert " fft[" not in str(jax.make_jaxpr(compute)(kernel))
    assert_spectrum(compute(kernel), kernel, image_shape, **options)


@pytest.mark.parametrize("boundary", ["constant", "wrap"])
def test_windows_side_by_side_are_circular_without_padding(boundary):
    kernel = random_numbers(0, (2, 3, 2, 4), "float32")
    compute = compiled(singular_values, image_shape=(4, 6), stride=(2, 3), boundary=boundary)

    assert " fft[" in str(jax.make_jaxpr(compute)(kernel))
    assert_spectrum(compute(kernel), kernel, (4, 6), stride=(2, 3))


@pytest.mark.parametrize("options", [{}, {"padding": "same", "boundary": "wrap"}], ids=str)
def test_complex_kernels_have_real_singular_values(options):
    kernel = random_numbers(0, (3, 2), "complex64")

    actual = singular_values(kernel, (4, 5), **options)

    assert actual.dtype == "float32"
    assert_spectrum(actual, kernel, (4, 5), **options)


@pytest.mark.parametrize("dtype", ["bool", "int8", "bfloat16"])
@pytest.mark.parametrize("boundary", ["constant", "wrap"])
def test_narrow_kernels_are_decomposed_in_float32(dtype, boundary):
    kernel = jnp.array([[1, 1], [0, 1]], dtype)

    actual = singular_values(kernel, (3, 4), padding="same", boundary=boundary)

    assert actual.dtype == "float32"
    assert_spectrum(actual, np.asarray(kernel, float), (3, 4), padding="same", boundary=boundary)


def test_column_and_row_make_a_kernel():
    column, row = [1.0, 2.0], [3.0, 1.0, -1.0]

    actual = singular_values((column, row), (4, 5))

    assert_spectrum(actual, np.outer(column, row), (4, 5))


def test_a_shift_keeps_all_lengths():
    kernel = np.zeros((3, 5))
    kernel[0, 4] = 1

    actual = singular_values(kernel, (6, 7), padding="same", boundary="wrap")

    np.testing.assert_allclose(actual, np.ones(42), rtol=0, atol=20 * EPS)


def test_squares_of_a_large_circular_spectrum_sum_to_the_norm_of_its_matrix():
    kernel = random_numbers(0, (5, 5), "float32")

    actual = np.float64(singular_values(kernel, (128, 96), padding="same", boundary="wrap"))

    # Parseval: each of the 128 * 96 columns holds the kernel once. The bound is that of one value.
    expected = 128 * 96 * np.linalg.norm(np.float64(kernel)) ** 2
    assert actual.shape == (128 * 96,)
    assert np.all(np.diff(actual) <= 0)
    np.testing.assert_allclose(np.sum(actual**2), expected, rtol=2 * 3.5 * 14 * EPS)


@pytest.mark.parametrize("size", [7, 12])
def test_binomial_on_zeros_has_the_norm_of_a_tridiagonal_matrix(size):
    # [1, 2, 1] / 4 on n pixels has the eigenvalues (1 + cos(pi j / (n + 1))) / 2.
    actual = operator_norm(([0.25, 0.5, 0.25],) * 2, (size, size), padding="same")

    expected = ((1 + math.cos(math.pi / (size + 1))) / 2) ** 2
    np.testing.assert_allclose(actual, expected, rtol=size**2 * EPS)


@pytest.mark.parametrize(
    ("kernel_shape", "options", "around"),
    [
        pytest.param((3, 3), {"padding": "same"}, (2, 2), id="same"),
        pytest.param((2, 4), {}, (0, 0), id="valid"),
        pytest.param((3, 2), {"padding": "full", "stride": 2}, (4, 2), id="full"),
        pytest.param((3, 2, 2, 2), {"padding": 1, "dilation": (1, 2)}, (2, 2), id="layer"),
    ],
)
def test_zeros_around_do_not_exceed_the_circular_norm(kernel_shape, options, around):
    kernel = random_numbers(0, kernel_shape, "float32")
    padded = (8 + around[0], 7 + around[1])

    norm = operator_norm(kernel, (8, 7), **options)
    dilation = options.get("dilation", 1)
    bound = operator_norm(kernel, padded, dilation=dilation, padding="same", boundary="wrap")

    assert 0.6 * bound < norm < bound


def test_norm_is_attained_and_not_exceeded():
    kernel = random_numbers(0, (3, 3), "float32")
    images = random_numbers(1, (50, 6, 6), "float32")
    top = np.linalg.svd(matrix(kernel, (6, 6)))[2][0].reshape(6, 6)

    def gain(image):
        return jnp.linalg.norm(corr2d(image, kernel)) / jnp.linalg.norm(image)

    norm = operator_norm(kernel, (6, 6))

    np.testing.assert_allclose(gain(np.float32(top)), norm, rtol=100 * EPS)
    assert jax.vmap(gain)(images).max() < norm


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"padding": "same"}, id="general"),
        pytest.param({"padding": "same", "boundary": "wrap"}, id="circular"),
        pytest.param({"padding": "same", "boundary": "wrap", "stride": (2, 1)}, id="stride"),
    ],
)
def test_gradient_of_the_norm_is_what_its_two_images_share(options):
    # d sigma = u^T dM v, and dM v is the correlation of v with dk. Positive: no tie.
    kernel = abs(random_numbers(0, (3, 2), "float32"))
    left, values, right = np.linalg.svd(matrix(kernel, (6, 4), **options), full_matrices=False)
    seen = windows(right[0].reshape(6, 4), (3, 2), **options).reshape(-1, 3, 2)

    actual = jax.jit(jax.grad(lambda k: operator_norm(k, (6, 4), **options)))(kernel)

    assert values[0] - values[1] > 0.1
    expected = np.tensordot(left[:, 0], seen, axes=1)
    # u and v are off by the error of the matrix over the gap.
    np.testing.assert_allclose(actual, expected, atol=24 * EPS * values[0] / 0.1)


def test_gradient_of_a_layers_norm():
    kernels = random_numbers(0, (2, 2, 2, 3), "float32")
    options = {"padding": "same", "boundary": "wrap"}
    change = random_numbers(1, kernels.shape, "float32")

    _, actual = jax.jvp(lambda k: operator_norm(k, (4, 3), **options), (kernels,), (change,))

    def exact(step):
        moved = np.float64(kernels) + step * change
        return np.linalg.svd(matrix(moved, (4, 3), **options), compute_uv=False)[0]

    expected = (exact(1e-4) - exact(-1e-4)) / 2e-4
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


def test_gradients_at_a_lost_frequency_are_finite():
    sobel = jnp.array([[1.0, 0.0, -1.0], [2.0, 0.0, -2.0], [1.0, 0.0, -1.0]])

    def total(kernel):
        return singular_values(kernel, (4, 4), padding="same", boundary="wrap").sum()

    values = singular_values(sobel, (4, 4), padding="same", boundary="wrap")
    assert values[-1] == 0
    assert jnp.isfinite(jax.grad(total)(sobel)).all()


def test_spectra_of_many_kernels():
    kernels = random_numbers(0, (3, 2, 2), "float32")
    compute = compiled(singular_values, image_shape=(3, 4), padding="same", boundary="wrap")

    actual = jax.vmap(compute)(kernels)

    for values, kernel in zip(actual, kernels, strict=True):
        assert_spectrum(values, kernel, (3, 4), padding="same", boundary="wrap")


def test_number_of_values_is_that_of_the_smaller_side():
    kernel = small_integers(0, (3, 3, 2, 1))
    outputs = math.prod(output_shape((6, 6), (3, 3), stride=2))

    assert singular_values(kernel, (6, 6), stride=2).shape == (outputs,)
    assert singular_values(kernel, (6, 6), padding="full").shape == (64,)


@pytest.mark.parametrize("boundary", ["constant", "wrap"])
def test_float64_is_kept(boundary, x64):
    kernel = random_numbers(0, (3, 2), "float64")
    options = {"padding": "same", "boundary": boundary}

    actual = singular_values(kernel, (4, 5), **options)

    expected = np.linalg.svd(matrix(kernel, (4, 5), **options), compute_uv=False)
    assert actual.dtype == "float64"
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-14 * expected[0])
