"""The dtypes that corr2d takes, keeps, widens and refuses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import compiled, every_algorithm, every_exact_algorithm
from flax import nnx
from oracles import assert_close

from conv_jax import conv2d, corr2d

OPERANDS = [
    ("bool", "bool", "int32"),
    ("uint8", "uint8", "uint32"),
    ("bool", "uint16", "uint32"),
    ("uint8", "int8", "int32"),
    ("uint16", "int16", "int32"),
    ("int8", "int8", "int32"),
    ("uint32", "uint8", "uint32"),
    ("int32", "uint16", "int32"),
    ("float16", "float16", "float16"),
    ("bfloat16", "bfloat16", "bfloat16"),
    ("float16", "bfloat16", "float32"),
    ("float32", "float32", "float32"),
    ("uint8", "float32", "float32"),
    ("int32", "bfloat16", "bfloat16"),
    ("float32", "complex64", "complex64"),
    ("int8", "complex64", "complex64"),
]
WIDE_OPERANDS = [
    ("int64", "int64", "int64"),
    ("uint64", "uint8", "uint64"),
    ("int32", "uint32", "int64"),
    ("int8", "int8", "int32"),
    ("float64", "float64", "float64"),
    ("float32", "float32", "float32"),
    ("float32", "float64", "float64"),
    ("complex128", "complex64", "complex128"),
]


@pytest.mark.parametrize(("image", "kernel", "result"), OPERANDS, ids=str)
def test_result_dtype(image, kernel, result):
    correlate = compiled(corr2d, padding=1, boundary="edge")

    actual = correlate(jnp.ones((2, 2), image), jnp.ones((2, 2), kernel))

    assert actual.dtype == result
    np.testing.assert_array_equal(actual, np.full((3, 3), 4))


@pytest.mark.parametrize(("image", "kernel", "result"), WIDE_OPERANDS, ids=str)
def test_result_dtype_with_x64(image, kernel, result, x64):
    correlate = compiled(corr2d, padding=1, boundary="edge")

    actual = correlate(jnp.ones((2, 2), image), jnp.ones((2, 2), kernel))

    assert actual.dtype == result
    np.testing.assert_array_equal(actual, np.full((3, 3), 4))


@every_exact_algorithm
def test_uint8_sums_do_not_wrap(algorithm):
    white = np.full((2, 2), 200, np.uint8)

    actual = compiled(corr2d, algorithm=algorithm)(white, np.ones((2, 2), np.uint8))

    assert actual.item() == 800 != (4 * 200) % 256


@every_exact_algorithm
def test_int8_products_do_not_wrap(algorithm):
    lowest = np.full((3, 3), -128, np.int8)

    assert compiled(corr2d, algorithm=algorithm)(lowest, lowest).item() == 9 * 128**2


@every_algorithm
@pytest.mark.parametrize(("dtype", "largest"), [("float16", 2048), ("bfloat16", 256)])
def test_narrow_floats_are_summed_in_float32(algorithm, dtype, largest):
    # In its own type a sum stops growing at `largest`, where adding 1 is rounded away.
    image, kernel = np.ones((3, 8)), np.ones((3, 8))
    image[0, 0] = image[2, 7] = largest
    kernel[2, 7] = -1

    actual = compiled(corr2d, algorithm=algorithm)(
        jnp.asarray(image, dtype), jnp.asarray(kernel, dtype)
    )

    assert_close(algorithm, actual, image, kernel)
    assert abs(actual.item() - 22) < 1 / 2


@every_algorithm
def test_float16_sums_may_pass_its_largest_number(algorithm):
    image, kernel = jnp.full((1, 3), 60000, "float16"), jnp.float16([[1, 1, -1]])

    actual = compiled(corr2d, algorithm=algorithm)(image, kernel)

    assert jnp.isinf(image[0, 0] + image[0, 1])
    assert actual.item() == float(image[0, 0])


@every_algorithm
def test_float64_keeps_its_digits(algorithm, x64):
    expected = 1 + 2.0**-40

    actual = compiled(corr2d, algorithm=algorithm)(np.array([[1.0, 2.0**-40]]), np.ones((1, 2)))

    assert_close(algorithm, actual, np.array([[1.0, 2.0**-40]]), np.ones((1, 2)))
    assert abs(actual.item() - expected) < 2.0**-45 < abs(float(np.float32(expected)) - expected)


@every_algorithm
@pytest.mark.parametrize("operator", [corr2d, conv2d])
def test_complex_kernel_is_not_conjugated(algorithm, operator):
    image, kernel = np.complex64([[1 + 2j]]), np.complex64([[3 + 4j]])

    actual = compiled(operator, algorithm=algorithm)(image, kernel)

    assert_close(algorithm, actual, image, kernel)
    assert abs(actual.item() - (1 + 2j) * (3 - 4j)) > 1


@pytest.mark.parametrize(
    ("dtype", "preferred", "expected"),
    [
        ("uint8", "float32", 800.0),
        ("uint8", "uint32", 800),
        ("float16", "float32", 800.0),
        ("float32", "float16", 800.0),
        ("float32", "complex64", 800 + 0j),
        ("uint8", "bfloat16", 800.0),
    ],
)
def test_preferred_element_type_is_the_result(dtype, preferred, expected):
    correlate = compiled(corr2d, preferred_element_type=preferred)

    actual = correlate(jnp.full((2, 2), 200, dtype), jnp.ones((2, 2), dtype))

    assert actual.dtype == preferred
    assert actual.item() == expected


def test_preferred_element_type_widens_the_sums(x64):
    largest = np.full((1, 2), 2**31 - 1, np.int32)

    actual = compiled(corr2d, preferred_element_type=jnp.int64)(largest, np.ones((1, 2), np.int32))

    assert actual.item() == 2**32 - 2


def test_preferred_element_type_narrows_after_the_sum():
    # 2048 + 1 - 2048: in float16 the 1 would be lost.
    actual = compiled(corr2d, preferred_element_type="float16")(
        jnp.float32([[2048, 1, -2048]]), jnp.ones((1, 3), "float32")
    )

    assert actual.item() == 1


def test_integers_in_int32_range_are_accepted():
    image = np.array([[2**31 - 1, -(2**31)]])

    actual = corr2d(image, [[1, 1]])

    assert image.dtype == np.int64
    assert actual.item() == -1


@pytest.mark.parametrize("value", [2**31, -(2**31) - 1], ids=str)
@pytest.mark.parametrize("operator", [corr2d, conv2d])
def test_integers_beyond_int32_are_refused(operator, value):
    with pytest.raises(ValueError, match=rf"image: .*int32.* or JAX's x64 on, .*{value}"):
        operator(np.array([[value]]), [[1]])
    with pytest.raises(ValueError, match=rf"kernel: .*int32.* or JAX's x64 on, .*{value}"):
        operator([[1]], np.array([[value]]))


def test_integers_beyond_int32_are_exact_with_x64(x64):
    assert corr2d(np.array([[2**40]]), [[3]]).item() == 3 * 2**40


@pytest.mark.parametrize("other", ["int8", "int16", "int32"])
def test_uint32_with_signed_integers_is_refused(other):
    image, kernel = jnp.ones((2, 2), "uint32"), jnp.ones((2, 2), other)

    with pytest.raises(ValueError, match=f"image and kernel: .*got uint32 and {other}.*x64"):
        compiled(corr2d)(image, kernel)


def test_uint64_with_signed_integers_is_refused(x64):
    image, kernel = jnp.ones((2, 2), "uint64"), jnp.ones((2, 2), "int64")

    with pytest.raises(ValueError, match=r"image and kernel: .*got uint64 and int64"):
        compiled(corr2d)(image, kernel)


@pytest.mark.parametrize(
    ("dtype", "preferred", "message"),
    [
        ("uint8", "int16", "holds uint32, got int16"),
        ("uint8", "bool", "holds uint32, got bool"),
        ("uint8", "int32", "holds uint32, got int32"),
        ("float32", "int32", "holds float32, got int32"),
        ("complex64", "float32", "holds complex64, got float32"),
        ("float32", "float64", "holds float32, got float64.*x64"),
        ("int32", "int64", "holds int32, got int64.*x64"),
        ("int32", "number", "expected a dtype, got 'number'"),
    ],
)
def test_preferred_element_type_that_loses_is_refused(dtype, preferred, message):
    image = jnp.ones((2, 2), dtype)

    with pytest.raises(ValueError, match=f"preferred_element_type: .*{message}"):
        compiled(corr2d, preferred_element_type=preferred)(image, image)


@pytest.mark.parametrize("name", ["image", "kernel"])
@pytest.mark.parametrize(
    ("value", "message"),
    [
        pytest.param([["a"]], "an array of numbers, got dtype <U1", id="text"),
        pytest.param([[None]], "an array of numbers, got dtype object", id="object"),
        pytest.param([[1, 2], [3]], "rows of equal length, got", id="ragged"),
    ],
)
def test_what_is_not_a_number_is_refused(name, value, message, unchecked):
    operands = {"image": [[1]], "kernel": [[1]], name: value}

    with pytest.raises(ValueError, match=f"{name}: expected {message}"):
        corr2d(**operands)


def test_random_keys_are_not_numbers(unchecked):
    keys = jax.random.split(jax.random.key(0), (2, 2))

    with pytest.raises(ValueError, match="image: expected an array of numbers, got dtype key"):
        corr2d(keys, [[1]])


def test_float8_is_summed_in_float32():
    image = jnp.full((3, 3), 16.0, jnp.float8_e4m3fn)

    result = jax.jit(corr2d)(image, image)

    assert result.dtype == jnp.float8_e4m3fn
    assert corr2d(image, image, preferred_element_type=jnp.float32) == 9 * 256


def test_types_without_a_common_one_are_refused():
    image, kernel = jnp.ones((3, 3), jnp.float8_e4m3fn), jnp.ones((2, 2), jnp.float8_e5m2)

    with pytest.raises(ValueError, match="image and kernel: expected types with a common one, got"):
        corr2d(image, kernel)


def test_a_flax_parameter_is_an_array_under_jit(unchecked):
    image = jnp.arange(9.0).reshape(3, 3)
    kernel = nnx.Param(jnp.array([[0.0, 1.0], [2.0, 3.0]]))

    result = jax.jit(corr2d)(image, kernel)

    assert result.tolist() == [[19, 25], [37, 43]]


def test_lists_of_traced_numbers_are_arrays():
    image = jnp.arange(9.0).reshape(3, 3)

    result = jax.jit(lambda a: corr2d(image, [[0, a], [2 * a, 3]]))(1.0)

    assert result.tolist() == [[19, 25], [37, 43]]


@pytest.mark.parametrize(
    ("dtype", "fill_value"),
    [("int32", 16777217.0), ("uint32", 3000000001.0), ("int32", -(2**31)), ("uint8", 10**6)],
    ids=str,
)
def test_a_whole_constant_stays_exact(dtype, fill_value):
    image = jnp.zeros((1, 1), dtype)

    result = corr2d(image, jnp.ones((1, 1), dtype), padding=1, fill_value=fill_value)

    assert int(result[0, 0]) == fill_value


@pytest.mark.parametrize("fill_value", [1e300, "white", [1, 2]], ids=str)
def test_a_constant_that_float32_does_not_hold_is_refused(unchecked, fill_value):
    with pytest.raises(ValueError, match="fill_value: expected "):
        corr2d(jnp.ones((2, 2)), jnp.ones((1, 1)), fill_value=fill_value)


def test_a_numpy_zero_serves_with_any_boundary():
    zero = np.float32(0)

    result = corr2d(jnp.ones((2, 2)), jnp.ones((1, 1)), boundary="edge", fill_value=zero)

    assert result.tolist() == [[1, 1], [1, 1]]
