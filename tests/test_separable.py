"""The algorithm "separable": kernels given as (column, row), and kernels found to be so."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import BOUNDARIES, compiled, random_numbers, small_integers
from oracles import assert_within_factor_rounding, assert_within_rounding, corr2d_numpy

from conv_jax import conv2d, corr2d
from conv_jax.algorithms.separable import factorize

FULL_RANK = np.array([[2.0, -1, 0], [1, 3, 1], [0, 1, -2]])
REFUSED = "kernel: expected .*column, row.* 'separable', got "


def _kernel(rank, shape=(3, 4), dtype="float32", scale=1.0):
    """Return the sum of `rank` outer products of random vectors, rounded to the dtype."""
    columns = random_numbers(0, (rank, shape[0]), "float64")
    rows = random_numbers(1, (rank, shape[1]), "float64")
    return (scale * columns.T @ rows).astype(jnp.dtype(dtype))


def _rank(kernel):
    factors = factorize(jnp.asarray(kernel), jnp.promote_types(kernel.dtype, jnp.float32))
    return None if factors is None else len(factors.columns)


def _assert_matches_float64_sum(image, column, row, **options):
    actual = compiled(corr2d, algorithm="separable", **options)(image, (column, row))

    assert actual.dtype == jnp.result_type(image, column)
    assert_within_factor_rounding(actual, image, column[None], row[None], **options)


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({}, id="valid"),
        pytest.param({"stride": (2, 3), "padding": "same"}, id="stride"),
        pytest.param({"dilation": (2, 1), "padding": "full"}, id="dilation"),
        pytest.param(
            {"stride": (1, 2), "dilation": (1, 3), "padding": ((0, 4), (3, 1))}, id="uneven"
        ),
    ],
)
def test_column_and_row_are_within_rounding(options):
    image = random_numbers(0, (2, 9, 11), "float32")
    column, row = random_numbers(1, (4,), "float32"), random_numbers(2, (3,), "float32")

    _assert_matches_float64_sum(image, column, row, **options)


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_column_and_row_at_every_boundary(boundary):
    image, column, row = small_integers(0, (5, 6)), small_integers(1, (3,)), small_integers(2, (4,))
    options = {"padding": ((7, 1), (2, 9)), "boundary": boundary}

    actual = compiled(corr2d, algorithm="separable", **options)(image, (column, row))

    np.testing.assert_array_equal(actual, corr2d_numpy(image, np.outer(column, row), **options))


def test_column_and_row_within_a_constant():
    image, column, row = small_integers(0, (5, 6)), small_integers(1, (3,)), small_integers(2, (4,))
    options = {"padding": "full", "fill_value": 3}

    actual = compiled(corr2d, algorithm="separable", **options)(image, (column, row))

    np.testing.assert_array_equal(actual, corr2d_numpy(image, np.outer(column, row), **options))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "complex64"])
def test_column_and_row_keep_the_dtype(dtype):
    image = random_numbers(0, (9, 11), dtype)
    column, row = random_numbers(1, (4,), dtype), random_numbers(2, (3,), dtype)

    _assert_matches_float64_sum(image, column, row)


def test_column_and_row_of_float64_keep_their_digits(x64):
    image = random_numbers(0, (9, 11), "float64")
    column, row = random_numbers(1, (4,), "float64"), random_numbers(2, (3,), "float64")

    _assert_matches_float64_sum(image, column, row)


@pytest.mark.parametrize(
    ("image", "vectors", "result"), [("uint8", "uint8", "uint32"), ("int8", "uint8", "int32")]
)
def test_integers_stay_exact(image, vectors, result):
    pixels = np.full((4, 5), 100, image)

    actual = compiled(corr2d, algorithm="separable")(
        pixels, (np.full(4, 200, vectors), np.full(5, 200, vectors))
    )

    assert (actual.dtype, actual.item()) == (result, 20 * 100 * 200 * 200)


@pytest.mark.parametrize("algorithm", ["auto", "direct", "reference", "shifted", "matmul"])
@pytest.mark.parametrize("operator", [corr2d, conv2d])
def test_column_and_row_mean_their_outer_product(algorithm, operator):
    image, column, row = small_integers(0, (5, 6)), small_integers(1, (3,)), small_integers(2, (2,))

    actual = compiled(operator, algorithm=algorithm)(image, (column, row))

    kernel = np.outer(column, row)
    flipped = kernel if operator is corr2d else kernel[::-1, ::-1]
    np.testing.assert_array_equal(actual, corr2d_numpy(image, flipped))


def test_conv2d_flips_both_vectors():
    image, column, row = small_integers(0, (5, 6)), small_integers(1, (3,)), small_integers(2, (4,))

    actual = compiled(conv2d, algorithm="separable", padding="same")(image, (column, row))

    flipped = np.outer(column[::-1], row[::-1])
    np.testing.assert_array_equal(actual, corr2d_numpy(image, flipped, padding="same"))
    assert not np.array_equal(actual, corr2d_numpy(image, np.outer(column, row), padding="same"))


def test_lists_are_vectors_too():
    np.testing.assert_array_equal(
        corr2d([[1, 2], [3, 4]], ([1, 2], [3, 4]), algorithm="separable"), [[61]]
    )
    correlate = jax.jit(lambda kernel: corr2d([[1, 2], [3, 4]], kernel))
    np.testing.assert_array_equal(correlate(([1, 2], [3, 4])), [[61]])


@pytest.mark.parametrize(
    ("kernel", "message"),
    [
        pytest.param((np.ones((2, 2)), np.ones(2)), r"\(2, 2\)", id="matrix"),
        pytest.param((np.ones(2), np.ones(0)), r"\(0,\)", id="empty"),
        pytest.param((np.ones(2), np.float32(1)), r"\(\)", id="number"),
        pytest.param((np.ones(2),), r"\(2,\)", id="one"),
        pytest.param((np.ones(2), np.ones(2), np.ones(2)), r"\(2,\)", id="three"),
        pytest.param(
            ((1.0, 2.0), (3.0, 4.0)), "matrix as an array or a list", id="matrix_of_tuples"
        ),
    ],
)
def test_wrong_tuples_are_refused(kernel, message, unchecked):
    with pytest.raises(ValueError, match=rf"kernel: expected .*\(column, row\), .*{message}"):
        corr2d(np.ones((5, 5), np.float32), kernel)


def test_column_and_row_larger_than_the_image_are_refused():
    with pytest.raises(ValueError, match=r"kernel: .* padded image \(5, 5\), got \(6, 2\)"):
        corr2d(np.ones((5, 5)), (np.ones(6), np.ones(2)))


@pytest.mark.parametrize("rank", [1, 2])
@pytest.mark.parametrize("dtype", ["float32", "complex64"])
def test_known_kernels_of_low_rank_are_within_rounding(rank, dtype):
    image, kernel = random_numbers(2, (9, 11), dtype), _kernel(rank, (5, 4), dtype)

    actual = corr2d(image, kernel, algorithm="separable", padding="same")

    left, scales, right = np.linalg.svd(np.complex128(kernel))
    expected = corr2d_numpy(image, kernel, padding="same")
    magnitude = abs(left[:, :rank]) * scales[:rank] @ abs(right[:rank])
    left_out = scales[0] if rank == 2 else 0.0
    assert_within_rounding(
        actual,
        expected,
        magnitude=corr2d_numpy(abs(image), magnitude + left_out, padding="same"),
        terms=sum(kernel.shape) + 3,
    )


def test_small_elements_of_an_outer_product_keep_their_digits():
    column = np.float32(np.exp(-(np.arange(-8.0, 9) ** 2) / 4))
    kernel = np.outer(column, column)
    impulses = np.eye(17 * 17, dtype=np.float32).reshape(-1, 17, 17)

    actual = corr2d(impulses, kernel, algorithm="separable").reshape(17, 17)

    assert kernel.min() < 1e-13
    np.testing.assert_allclose(actual, kernel, rtol=5 * 2**-23, atol=0)


@pytest.mark.parametrize("scale", [1e-30, 1e-9, 1.0, 1e9, 1e30], ids="{:g}".format)
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_the_rank_is_found_at_any_scale(rank, scale):
    kernel = _kernel(rank, (5, 7), scale=scale)

    assert _rank(kernel) == (rank if rank < 3 else None)


@pytest.mark.parametrize("tiny", [1e-8, 1e-30], ids="{:g}".format)
def test_a_tiny_element_beside_an_outer_product_is_not_dropped(tiny):
    assert _rank(np.float32([[1, 0], [0, tiny]])) is None


def test_a_large_kernel_of_full_rank_is_told_without_its_singular_values(monkeypatch):
    monkeypatch.setattr(np.linalg, "svd", None)
    assert _rank(random_numbers(0, (40, 30), "float32")) is None


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9], ids="{:g}".format)
def test_a_kernel_of_full_rank_has_no_factors(scale):
    assert _rank(np.float32(scale * FULL_RANK)) is None


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_rounding_to_a_narrow_type_leaves_no_outer_product(dtype):
    # Sums are kept in float32, in which half a unit in the last place of the kernel is a lot.
    assert _rank(_kernel(1, (5, 5), dtype)) is None


@pytest.mark.parametrize(
    "kernel",
    [
        pytest.param(np.float32([[1, np.nan], [2, 4]]), id="nan"),
        pytest.param(np.float32([[1, np.inf], [2, 4]]), id="infinity"),
        pytest.param(np.int32([[1, 2], [2, 4]]), id="integers"),
    ],
)
def test_kernels_never_inspected_for_a_rank(kernel):
    assert _rank(kernel) is None


def test_a_kernel_of_zeros_has_rank_1():
    assert _rank(np.zeros((3, 4), np.float32)) == 1
    assert not corr2d(np.ones((5, 5)), np.zeros((3, 3)), algorithm="separable").any()


@pytest.mark.parametrize(
    "kernel", [_kernel(3, (4, 4)), np.int32([[1, 2], [2, 4]])], ids=["rank3", "int"]
)
def test_kernels_without_factors_are_refused_in_one_line(kernel):
    with pytest.raises(ValueError, match=REFUSED) as raised:
        corr2d(np.ones((5, 5), kernel.dtype), kernel, algorithm="separable")

    assert "\n" not in str(raised.value)


def test_a_traced_kernel_is_refused():
    image, kernel = np.ones((5, 5), np.float32), _kernel(1)

    with pytest.raises(ValueError, match=REFUSED):
        jax.jit(functools.partial(corr2d, algorithm="separable"))(image, kernel)


def test_a_traced_kernel_is_never_inspected():
    image, kernel = small_integers(0, (9, 9)), np.outer(*small_integers(1, (2, 3)))

    actual = jax.jit(corr2d)(image, kernel)

    np.testing.assert_array_equal(actual, corr2d_numpy(image, kernel))


@pytest.mark.parametrize("operator", [corr2d, conv2d])
def test_a_known_kernel_is_inspected_under_jit(operator):
    image, kernel = small_integers(0, (9, 9)), np.outer(*small_integers(1, (2, 4)))
    kernel = np.float32(kernel)

    actual = jax.jit(lambda image: operator(image, kernel, algorithm="separable"))(image)

    flipped = kernel if operator is corr2d else kernel[::-1, ::-1]
    np.testing.assert_allclose(actual, corr2d_numpy(image, flipped), rtol=0, atol=1e-3)


def test_column_and_row_have_gradients():
    image, column, row = small_integers(0, (6, 7)), small_integers(1, (3,)), small_integers(2, (2,))
    options = {"stride": (2, 1), "padding": ((1, 0), (0, 2))}
    cotangent = small_integers(3, corr2d_numpy(image, np.outer(column, row), **options).shape)

    def weighted_sum(column, row, image):
        sums = corr2d(image, (column, row), algorithm="separable", **options)
        return jnp.sum(sums * cotangent)

    by_column, by_row, by_image = jax.jit(jax.grad(weighted_sum, (0, 1, 2)))(column, row, image)

    def response(image, column, row):
        return np.sum(corr2d_numpy(image, np.outer(column, row), **options) * cotangent)

    np.testing.assert_array_equal(by_column, [response(image, unit, row) for unit in np.eye(3)])
    np.testing.assert_array_equal(by_row, [response(image, column, unit) for unit in np.eye(2)])
    pixels = np.eye(image.size).reshape(-1, *image.shape)
    expected = [response(pixel, column, row) for pixel in pixels]
    np.testing.assert_array_equal(by_image.ravel(), expected)


def test_vmap_over_columns_and_rows():
    image, columns, rows = (
        small_integers(0, (6, 7)),
        small_integers(1, (3, 4)),
        small_integers(2, (2, 4)),
    )

    @functools.partial(jax.vmap, in_axes=(1, 1))
    def correlate(column, row):
        return corr2d(image, (column, row), algorithm="separable")

    expected = [corr2d_numpy(image, np.outer(columns[:, i], rows[:, i])) for i in range(4)]
    np.testing.assert_array_equal(jax.jit(correlate)(columns, rows), expected)


def test_the_image_gradient_of_a_known_kernel_passes_through_its_factors():
    image, kernel = small_integers(0, (5, 6)), np.float32([[1, 2], [2, 4]])

    by_image = jax.jit(jax.grad(lambda x: corr2d(x, kernel, algorithm="separable").sum()))(image)

    expected = corr2d_numpy(np.ones((4, 5)), kernel[::-1, ::-1], padding="full")
    np.testing.assert_array_equal(by_image, expected)


@pytest.mark.parametrize("place", ["pixel", "column"])
def test_what_is_not_a_number_stays_in_its_windows(place):
    image, column, row = (np.ones(shape, np.float32) for shape in ((9, 8), (3,), (2,)))
    (image if place == "pixel" else column[:, None])[0, 0] = np.nan

    actual = compiled(corr2d, algorithm="separable")(image, (column, row))

    expected = corr2d_numpy(image, np.outer(column, row))
    np.testing.assert_array_equal(np.isnan(actual), np.isnan(expected))


def _by_passes(image, column, row):
    return corr2d(image, (column, row), algorithm="separable", padding="same", stride=(1, 2))


def _by_product(image, column, row):
    options = {"algorithm": "reference", "padding": "same", "stride": (1, 2)}
    return corr2d(image, jnp.outer(column, row), **options)


def _image_column_row(dtype="float32", scale=1):
    shapes = (6, 7), (3,), (4,)
    return [scale * random_numbers(i, shape, dtype) for i, shape in enumerate(shapes)]


@functools.cache
def _derivatives_of_product(dtype):
    """Return the directional derivatives by image, column and row, and the gradients by them."""
    primals, changes = _image_column_row(dtype), _image_column_row(dtype, scale=-2)

    @jax.jit
    def compute(primals):
        result, transpose = jax.vjp(_by_product, *primals)
        moved = [[*primals[:i], changes[i], *primals[i + 1 :]] for i in range(3)]
        return [_by_product(*arrays) for arrays in moved], transpose(result)

    return compute(primals)


@pytest.mark.parametrize("wanted", [(0,), (1,), (2,), (0, 2), (1, 2), (0, 1, 2)], ids=str)
@pytest.mark.parametrize("dtype", ["float32", "complex64"])
def test_derivatives_by_any_of_image_column_and_row(wanted, dtype):
    primals, changes = _image_column_row(dtype), _image_column_row(dtype, scale=-2)

    def of_wanted(*some):
        arguments = dict(enumerate(primals)) | dict(zip(wanted, some, strict=True))
        return _by_passes(*arguments.values())

    @jax.jit
    def derivatives(given, tangents):
        result, forward = jax.jvp(of_wanted, given, tangents)
        return forward, list(jax.vjp(of_wanted, *given)[1](result))

    actual = derivatives([primals[i] for i in wanted], [changes[i] for i in wanted])

    forward, gradients = _derivatives_of_product(dtype)
    # The product is linear in each of the three.
    expected = sum(forward[i] for i in wanted), [gradients[i] for i in wanted]
    jax.tree.map(
        functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-4), actual, expected
    )


def test_second_derivatives_and_their_batches():
    image, column, row = map(jnp.asarray, _image_column_row())
    images = jnp.stack([image, 2 * image])

    def second(correlate):
        def energy(image, column, row):
            return (correlate(image, column, row) ** 2).sum()

        hessians = jax.vmap(jax.hessian(energy, (1, 2)), (0, None, None))
        return jax.jit(hessians)(images, column, row)

    jax.tree.map(
        functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-2),
        second(_by_passes),
        second(_by_product),
    )


def test_factors_share_one_correlation_for_their_gradients():
    image, column, row = map(jnp.asarray, _image_column_row())

    def gradients(image, column, row):
        result, transpose = jax.vjp(lambda *factors: _by_passes(image, *factors), column, row)
        return transpose(result)

    program = str(jax.make_jaxpr(gradients)(image, column, row))
    assert program.count("= corr2d[") == 3  # two passes, and the gradient of the kernel they make
