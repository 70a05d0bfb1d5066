"""The windows of an image, their adjoint and the matrix of a correlation, exactly.

All numbers are whole and small, so every comparison is of equality.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import bounded, calls, compiled, random_numbers, seeds, small_integers
from hypothesis import given
from jax.experimental.sparse import BCOO
from oracles import corr2d_numpy, taps, windows

import conv_jax as cj
from conv_jax import col2im, corr2d, corr2d_matrix, im2col

IMAGE_SHAPE, KERNEL_SHAPE = (5, 6), (3, 2)
OPTIONS = {
    "uneven": {"padding": ((0, 4), (3, 1)), "stride": 2, "dilation": (1, 2)},
    "full": {"padding": "full", "stride": (1, 3)},
    "edge": {"padding": 3, "boundary": "edge"},
    "reflect": {"padding": ((9, 0), (1, 7)), "boundary": "reflect", "stride": (2, 1)},
    "wrap": {"padding": ((7, 0), (0, 13)), "boundary": "wrap", "dilation": 2},
}
every_option = pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
some_options = pytest.mark.parametrize(
    "options", [OPTIONS["uneven"], OPTIONS["edge"]], ids=["uneven", "edge"]
)
both_forms = pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])


def matrix_of_taps(
    kernel, image_shape, *, stride=1, dilation=1, padding="valid", boundary="constant"
):
    """Put every kernel element where its pixel is, one Python number at a time."""
    pairs = map(_pair, (stride, dilation, padding))
    rows, columns = (
        taps(n, k, stride=s, dilation=d, padding=p, boundary=boundary)
        for n, k, s, d, p in zip(image_shape[-2:], kernel.shape, *pairs, strict=True)
    )
    matrix = np.zeros((len(rows) * len(columns), *image_shape[-2:]), np.int64)
    for output, (row, column) in zip(matrix, itertools.product(rows, columns), strict=True):
        for (a, r), (b, c) in itertools.product(enumerate(row), enumerate(column)):
            if r is not None and c is not None:
                output[r, c] += int(kernel[a, b])
    return matrix.reshape(len(matrix), -1)


def _pair(value):
    return value if isinstance(value, tuple) else (value, value)


def _columns(image, kernel_shape, **options):
    """Return what `im2col` should, from the oracle."""
    seen = windows(image, kernel_shape, **options)
    return seen.reshape(*seen.shape[:-2], -1)


def _integers(seed, shape):
    return small_integers(seed, shape, "int32")


# im2col


@bounded(max_examples=8)
@given(call=calls(), seed=seeds)
def test_windows_are_what_the_kernel_sees(call, seed):
    image_shape, kernel_shape, options = call
    image = _integers(seed, image_shape)

    actual = compiled(im2col, kernel_shape=kernel_shape, **options)(image)

    np.testing.assert_array_equal(actual, _columns(image, kernel_shape, **options))


@every_option
def test_correlation_is_a_product_with_the_windows(options):
    image, kernel = _integers(0, (2, *IMAGE_SHAPE)), _integers(1, KERNEL_SHAPE)

    actual = im2col(image, kernel.shape, **options) @ kernel.ravel()

    expected = corr2d(image, kernel, **options)
    assert actual.dtype == expected.dtype
    np.testing.assert_array_equal(actual, expected)
    np.testing.assert_array_equal(actual, corr2d_numpy(image, kernel, **options))


def test_windows_of_all_channels_make_a_layer():
    images, kernels = small_integers(0, (2, 5, 6, 3)), small_integers(1, (3, 2, 3, 4))

    seen = jnp.moveaxis(im2col(jnp.moveaxis(images, -1, 1), (3, 2)), 1, -2)  # [N, H', W', C, taps]
    weights = jnp.moveaxis(kernels, 2, 0).reshape(3 * 6, 4)
    actual = seen.reshape(*seen.shape[:3], 3 * 6) @ weights

    expected = cj.conv_general_dilated(
        images, kernels, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int16", "float16", "bfloat16", "complex64"])
def test_windows_keep_the_dtype(dtype):
    image = jnp.asarray(abs(_integers(0, IMAGE_SHAPE)), dtype)

    actual = im2col(image, KERNEL_SHAPE, padding=1)

    assert actual.dtype == dtype
    np.testing.assert_array_equal(actual, _columns(image, KERNEL_SHAPE, padding=1))


def test_the_maximum_of_windows_on_minus_infinity_is_a_dilation():
    image = -1 - abs(small_integers(0, IMAGE_SHAPE))

    actual = im2col(image, (3, 3), padding="same", fill_value=-np.inf).max(axis=-1)

    rows, columns = np.indices(IMAGE_SHAPE)
    near = [
        image[(abs(rows - i) <= 1) & (abs(columns - j) <= 1)].max() for i, j in np.ndindex(5, 6)
    ]
    np.testing.assert_array_equal(actual.ravel(), near)


def test_the_constant_has_a_gradient():
    image = jnp.zeros((2, 3))

    def total(fill_value):
        return im2col(image, (1, 1), padding=1, fill_value=fill_value).sum()

    assert jax.jit(jax.grad(total))(2.0) == 4 * 5 - 2 * 3


def test_a_nan_is_seen_by_its_windows_alone():
    image = np.zeros(IMAGE_SHAPE, np.float32)
    image[2, 3] = np.nan

    actual = im2col(image, KERNEL_SHAPE, padding="same", boundary="wrap")

    expected = _columns(image, KERNEL_SHAPE, padding="same", boundary="wrap")
    np.testing.assert_array_equal(actual, expected)


def test_windows_are_found_under_vmap():
    images = _integers(0, (4, *IMAGE_SHAPE))

    actual = jax.vmap(compiled(im2col, kernel_shape=KERNEL_SHAPE, padding="same"), in_axes=1)(
        images.swapaxes(0, 1)
    )

    np.testing.assert_array_equal(actual, _columns(images, KERNEL_SHAPE, padding="same"))


def test_nested_lists_are_images():
    actual = im2col([[0, 1, 2], [3, 4, 5], [6, 7, 8]], [2, 2])

    np.testing.assert_array_equal(actual[1, 0], [3, 4, 6, 7])


# col2im


@bounded(max_examples=5)
@given(call=calls(), seed=seeds)
def test_adjoint_identity(call, seed):
    image_shape, kernel_shape, options = call
    options = {name: value for name, value in options.items() if name != "fill_value"}
    image = _integers([seed, 0], image_shape)
    seen = _columns(image, kernel_shape, **options)
    columns = _integers([seed, 1], seen.shape)

    actual = compiled(col2im, image_shape=image_shape, kernel_shape=kernel_shape, **options)(
        columns
    )

    assert actual.shape == image_shape
    assert np.vdot(image, actual) == np.vdot(seen, columns)


@some_options
def test_each_pixel_sums_over_the_windows_that_see_it(options):
    pixels = np.eye(30).reshape(-1, *IMAGE_SHAPE)
    seen = _columns(pixels, KERNEL_SHAPE, **options)
    columns = _integers(0, seen.shape[1:])

    actual = col2im(columns, IMAGE_SHAPE, KERNEL_SHAPE, **options)

    expected = np.tensordot(seen, columns, axes=3).reshape(IMAGE_SHAPE)
    np.testing.assert_array_equal(actual, expected)


def test_windows_added_up_and_counted_give_the_image_back():
    image = _integers(0, (2, *IMAGE_SHAPE))
    options = {"padding": 1, "boundary": "reflect"}

    seen = im2col(image, KERNEL_SHAPE, **options)
    sums = col2im(seen, IMAGE_SHAPE, KERNEL_SHAPE, **options)
    counts = col2im(jnp.ones_like(seen), IMAGE_SHAPE, KERNEL_SHAPE, **options)

    np.testing.assert_array_equal(sums, counts * image)
    assert counts.min() > 0


@pytest.mark.parametrize(
    ("dtype", "result"),
    [("bool", "int32"), ("uint8", "uint32"), ("int8", "int32"), ("bfloat16", "bfloat16")],
)
def test_sums_of_windows_do_not_overflow_or_stall(dtype, result):
    # 400 windows see the one pixel; 8 bits, of integer or mantissa, do not count so far.
    columns = jnp.ones((20, 20, 1), dtype)

    actual = col2im(columns, (1, 1), (1, 1), padding=((9, 10), (10, 9)), boundary="edge")

    assert actual.dtype == result
    assert actual == 400


# corr2d_matrix


@bounded(max_examples=12)
@given(call=calls(), seed=seeds)
def test_matrix_is_made_of_the_taps(call, seed):
    image_shape, kernel_shape, options = call
    options = {name: value for name, value in options.items() if name != "fill_value"}
    kernel = _integers(seed, kernel_shape)

    actual = compiled(corr2d_matrix, image_shape=image_shape, **options)(kernel)

    np.testing.assert_array_equal(actual, matrix_of_taps(kernel, image_shape, **options))


@both_forms
@every_option
def test_matrix_times_pixels_is_the_correlation(options, sparse):
    image, kernel = _integers(0, IMAGE_SHAPE), _integers(1, KERNEL_SHAPE)

    matrix = corr2d_matrix(kernel, image.shape, sparse=sparse, **options)

    expected = corr2d(image, kernel, **options).ravel()
    np.testing.assert_array_equal(matrix @ image.ravel(), expected)
    np.testing.assert_array_equal(expected, corr2d_numpy(image, kernel, **options).ravel())


@every_option
def test_sparse_matrix_holds_each_entry_once_and_in_order(options):
    kernel = np.ones(KERNEL_SHAPE, np.int32)

    matrix = compiled(corr2d_matrix, image_shape=IMAGE_SHAPE, sparse=True, **options)(kernel)

    expected = matrix_of_taps(kernel, IMAGE_SHAPE, **options)
    assert isinstance(matrix, BCOO)
    assert matrix.shape == expected.shape
    assert matrix.indices_sorted
    assert matrix.unique_indices
    np.testing.assert_array_equal(matrix.indices, np.argwhere(expected))
    np.testing.assert_array_equal(matrix.data, expected[expected != 0])


def test_sparse_matrix_without_entries():
    # The one output lies on the zeros beside the pixel.
    options = {"padding": ((1, 0), (0, 0)), "stride": 2}

    matrix = corr2d_matrix([[3]], (1, 1), sparse=True, **options)

    assert matrix.nse == 0
    np.testing.assert_array_equal(matrix @ jnp.ones(1, jnp.int32), [0])


def test_an_edge_that_is_seen_often_adds_up_beyond_the_kernels_dtype():
    kernel = np.full((3, 3), 100, np.int8)

    actual = corr2d_matrix(kernel, (1, 1), padding="same", boundary="edge")

    np.testing.assert_array_equal(actual, [[900]])


@pytest.mark.parametrize(
    ("dtype", "result"),
    [
        ("bool", "int32"),
        ("uint8", "uint32"),
        ("int16", "int32"),
        ("float16", "float16"),
        ("bfloat16", "bfloat16"),
        ("complex64", "complex64"),
    ],
)
@both_forms
def test_matrix_has_the_dtype_of_a_correlation(dtype, result, sparse):
    kernel = jnp.ones((2, 2), dtype)

    assert corr2d_matrix(kernel, (3, 3), sparse=sparse).dtype == result
    assert corr2d(kernel, kernel).dtype == result


def test_entries_of_a_narrow_type_are_summed_in_a_wide_one():
    kernel = jnp.ones((1, 400), jnp.bfloat16)

    actual = corr2d_matrix(kernel, (1, 1), padding="same", boundary="edge")

    assert actual == 400


def test_complex_kernels_are_not_conjugated():
    kernel = random_numbers(0, KERNEL_SHAPE, "complex64")

    actual = corr2d_matrix(kernel, KERNEL_SHAPE)

    np.testing.assert_array_equal(actual, kernel.reshape(1, -1))


def test_columns_and_rows_make_a_kernel():
    column, row = [1, 2, -1], [3, 1]

    actual = corr2d_matrix((column, row), IMAGE_SHAPE)

    expected = matrix_of_taps(np.outer(column, row), IMAGE_SHAPE)
    np.testing.assert_array_equal(actual, expected)


def test_only_the_entries_of_a_nan_are_nan():
    kernel = np.array([[1, np.nan]], np.float32)

    actual = corr2d_matrix(kernel, (1, 3))

    np.testing.assert_array_equal(actual, [[1, np.nan, 0], [0, 1, np.nan]])


def test_leading_axes_of_the_image_do_not_count():
    kernel = _integers(0, KERNEL_SHAPE)

    actual = corr2d_matrix(kernel, (7, 1, *IMAGE_SHAPE))

    np.testing.assert_array_equal(actual, corr2d_matrix(kernel, IMAGE_SHAPE))


@some_options
def test_transposed_matrix_is_the_gradient_of_the_image(options):
    image, kernel = small_integers(0, IMAGE_SHAPE), small_integers(1, KERNEL_SHAPE)
    outputs, back = jax.vjp(lambda image: corr2d(image, kernel, **options), jnp.asarray(image))
    cotangent = small_integers(2, outputs.shape)

    actual = corr2d_matrix(kernel, IMAGE_SHAPE, **options).T @ cotangent.ravel()

    np.testing.assert_array_equal(actual, back(jnp.asarray(cotangent))[0].ravel())


def test_matrix_of_a_shifted_identity_permutes():
    kernel = np.zeros((3, 3), np.int32)
    kernel[0, 2] = 1

    actual = corr2d_matrix(kernel, (4, 5), padding="same", boundary="wrap")

    np.testing.assert_array_equal(actual @ actual.T, np.eye(20))
    assert not np.array_equal(actual, np.eye(20))


@both_forms
def test_matrices_of_many_kernels(sparse):
    kernels = _integers(0, (4, *KERNEL_SHAPE))

    def product(kernel, pixels):
        return corr2d_matrix(kernel, IMAGE_SHAPE, sparse=sparse) @ pixels

    actual = jax.vmap(product, in_axes=(0, None))(kernels, jnp.arange(30))

    expected = [matrix_of_taps(kernel, IMAGE_SHAPE) @ np.arange(30) for kernel in kernels]
    np.testing.assert_array_equal(actual, expected)


# Derivatives


@some_options
def test_gradient_of_the_windows_is_their_adjoint(options):
    columns = small_integers(0, _columns(np.zeros(IMAGE_SHAPE), KERNEL_SHAPE, **options).shape)

    def weighted_sum(image):
        return jnp.sum(im2col(image, KERNEL_SHAPE, **options) * columns)

    actual = jax.jit(jax.grad(weighted_sum))(jnp.zeros(IMAGE_SHAPE))

    expected = col2im(columns, IMAGE_SHAPE, KERNEL_SHAPE, **options)
    np.testing.assert_array_equal(actual, expected)
    assert expected.any()


@some_options
def test_gradient_of_the_adjoint_is_the_windows(options):
    image = small_integers(0, IMAGE_SHAPE)
    expected = _columns(image, KERNEL_SHAPE, **options)

    def weighted_sum(columns):
        return jnp.sum(col2im(columns, IMAGE_SHAPE, KERNEL_SHAPE, **options) * image)

    actual = jax.jit(jax.grad(weighted_sum))(jnp.zeros(expected.shape))

    np.testing.assert_array_equal(actual, expected)


def test_gradient_of_narrow_windows_does_not_stall():
    # 300 windows see the middle; a bfloat16 counts to 256.
    def total(image):
        return im2col(image, (1, 300)).astype(jnp.float32).sum()

    actual = jax.jit(jax.grad(total))(jnp.ones((1, 599), jnp.bfloat16))

    assert actual.dtype == jnp.bfloat16
    assert actual[0, 299] == 300


@both_forms
@some_options
def test_gradient_of_the_kernel(options, sparse):
    image, kernel = small_integers(0, IMAGE_SHAPE), small_integers(1, KERNEL_SHAPE)
    cotangent = small_integers(2, corr2d_numpy(image, kernel, **options).size)

    def form(kernel):
        matrix = corr2d_matrix(kernel, IMAGE_SHAPE, sparse=sparse, **options)
        return jnp.vdot(cotangent, matrix @ image.ravel())

    actual = jax.jit(jax.grad(form))(kernel)

    seen = windows(image, KERNEL_SHAPE, **options).reshape(-1, *KERNEL_SHAPE)
    np.testing.assert_array_equal(actual, np.tensordot(cotangent, seen, axes=1))


@some_options
def test_matrix_changes_as_the_matrix_of_the_change(options):
    kernel, change = small_integers(0, KERNEL_SHAPE), small_integers(1, KERNEL_SHAPE)
    matrix = compiled(corr2d_matrix, image_shape=IMAGE_SHAPE, **options)

    _, actual = jax.jvp(matrix, (kernel,), (change,))

    np.testing.assert_array_equal(actual, matrix_of_taps(change, IMAGE_SHAPE, **options))
