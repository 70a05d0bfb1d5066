"""Each mistake of a caller: a ValueError with the argument, what was expected and what came."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from conv_jax import conv2d, corr2d, corr2d_reference


def _mistake(case_id, message, *, image=(3, 4), kernel=(2, 2), **options):
    return pytest.param(image, kernel, options, message, id=case_id)


MISTAKES = [
    _mistake(
        "tall_kernel", "kernel: .* padded image (2, 3), got (3, 2)", image=(2, 3), kernel=(3, 2)
    ),
    _mistake("wide_kernel", "kernel: .* padded image (3, 4), got (1, 5)", kernel=(1, 5)),
    _mistake("dilated_kernel", "kernel: .* (3, 4), got (4, 2) .* dilation (3, 1)", dilation=(3, 1)),
    _mistake(
        "padded_image", "kernel: .* (5, 4), got (2, 5)", kernel=(2, 5), padding=((1, 1), (0, 0))
    ),
    _mistake("empty_image", "image: expected two sizes of at least 1, got (0, 4)", image=(0, 4)),
    _mistake(
        "empty_kernel", "kernel.*: expected two sizes of at least 1, got (2, 0)", kernel=(2, 0)
    ),
    _mistake("row_image", "image: expected a shape (..., H, W), got (4,)", image=(4,)),
    _mistake("scalar_image", "image: expected a shape (..., H, W), got ()", image=()),
    _mistake("row_kernel", "kernel: expected a shape (kH, kW), got (2,)", kernel=(2,)),
    _mistake("deep_kernel", "kernel: expected a shape (kH, kW), got (1, 2, 2)", kernel=(1, 2, 2)),
    _mistake(
        "zero_stride", "stride: expected two integers, or one, of at least 1, got 0", stride=0
    ),
    _mistake("negative_stride", "stride: .* at least 1, got (1, -2)", stride=(1, -2)),
    _mistake("float_stride", "stride: expected two integers.*, got 2.0", stride=2.0),
    _mistake("true_stride", "stride: expected two integers.*, got True", stride=True),
    _mistake("three_strides", "stride: expected two integers.*, got (1, 1, 2)", stride=(1, 1, 2)),
    _mistake("array_stride", "stride: .*, got [1.5, 2.0]", stride=np.array([1.5, 2])),
    _mistake(
        "zero_dilation", "dilation: expected two integers, or one, of at least 1, got 0", dilation=0
    ),
    _mistake("half_dilation", "dilation: .* at least 1, got (1, 0.5)", dilation=(1, 0.5)),
    _mistake("word", "padding: expected one of 'valid', 'same', .* got 'SAME'", padding="SAME"),
    _mistake("two_words", "padding: .* at least 0, got 'same'", padding=("same", "valid")),
    _mistake("negative_padding", "padding: .* at least 0, got -1", padding=-1),
    _mistake("negative_pair", "padding: .* at least 0, got (0, -3)", padding=((0, 0), (0, -3))),
    _mistake("float_padding", "padding: .* integers, .*, got 1.5", padding=1.5),
    _mistake("no_padding", "padding: .* integers, .*, got None", padding=None),
    _mistake(
        "total_padding", "padding: expected ((top, .* got (1, 2); split_padding", padding=(1, 2)
    ),
    _mistake("huge_padding", "image: expected fewer than 2**40 pixels .* got (4294", padding=2**31),
    _mistake("one_pair", "padding: expected ((top, .* got ((1, 2),)", padding=((1, 2),)),
    _mistake("long_pair", "padding: .*, got (1, 2, 3)", padding=((1, 2, 3), (0, 0))),
    _mistake(
        "boundary", "boundary: .* 'constant', .*, got 'Wrap'; did you mean 'wrap'?", boundary="Wrap"
    ),
    _mistake(
        "reflected_row",
        "boundary: 'reflect' expected at least 2 pixels .* got 1 (image (1, 4), padding ((1, 1), ",
        image=(1, 4),
        boundary="reflect",
        padding=((1, 1), (0, 0)),
    ),
    _mistake(
        "algorithm", "algorithm: expected one of 'auto', 'direct', .*, got 'fast'", algorithm="fast"
    ),
    _mistake("FFT", "algorithm: expected .*, got 'FFT'; did you mean 'fft'?", algorithm="FFT"),
    _mistake(
        "filled_edge",
        "fill_value: .* 'edge', got 1; only 'constant'",
        boundary="edge",
        fill_value=1,
    ),
    _mistake("complex_fill", "fill_value: .* float32 holds, got 1j", padding=1, fill_value=1j),
    _mistake(
        "text_fill", "fill_value: .* float32 holds, got 'white'", padding=1, fill_value="white"
    ),
    _mistake(
        "two_fills", "fill_value: expected one number, got shape (2,)", padding=1, fill_value=[1, 2]
    ),
    _mistake(
        "no_fill", "fill_value: expected one number, got shape (0,)", padding=1, fill_value=[]
    ),
]


def _pattern(message):
    """Escape all of a message but its gaps, `.*`."""
    return "^" + ".*".join(map(re.escape, message.split(".*")))


@pytest.mark.parametrize(("image", "kernel", "options", "message"), MISTAKES)
@pytest.mark.parametrize("transform", [lambda function: function, jax.jit], ids=["eager", "jit"])
def test_mistake_is_named(image, kernel, options, message, transform, unchecked):
    @transform
    def correlate(image, kernel):
        return corr2d(image, kernel, **options)

    with pytest.raises(ValueError, match=_pattern(message)):
        correlate(jnp.ones(image), jnp.ones(kernel))


@pytest.mark.parametrize("operator", [conv2d, corr2d_reference])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"stride": 0}, "stride: .* at least 1, got 0", id="stride"),
        pytest.param({"padding": "full "}, "padding: .* got 'full '", id="padding"),
        pytest.param({"boundary": "mirror"}, "boundary: .* got 'mirror'", id="boundary"),
    ],
)
def test_other_operators_name_it_too(operator, options, message, unchecked):
    with pytest.raises(ValueError, match=message):
        operator(jnp.ones((3, 4)), jnp.ones((2, 2)), **options)


@pytest.mark.parametrize(
    "fill_value", [0.5, 1j, np.nan, np.inf, 2**31, -(2**31) - 1, np.array(None)], ids=str
)
def test_integer_images_refuse_a_constant_they_cannot_hold(fill_value):
    with pytest.raises(ValueError, match="fill_value: expected a number that int32 holds, got "):
        corr2d([[1, 2]], [[1]], padding=1, fill_value=fill_value)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "complex64", "uint32"])
def test_integer_images_refuse_a_constant_of_another_type(dtype):
    @jax.jit
    def correlate(fill_value):
        return corr2d([[1, 2]], [[1]], padding=1, fill_value=fill_value)

    with pytest.raises(ValueError, match="fill_value: expected a number that int32 holds, got "):
        correlate(jnp.ones((), dtype))


@pytest.mark.parametrize("fill_value", [-2, 3.0, np.int8(5), True], ids=repr)
def test_integer_images_take_a_whole_constant(fill_value):
    actual = corr2d([[1]], [[1]], padding=1, fill_value=fill_value)

    expected = np.full((3, 3), int(fill_value))
    expected[1, 1] = 1
    np.testing.assert_array_equal(actual, expected)


def test_unsigned_images_refuse_a_negative_constant():
    image = np.ones((2, 2), np.uint8)

    with pytest.raises(ValueError, match="fill_value: expected a number that uint32 holds, got -1"):
        corr2d(image, image, padding=1, fill_value=-1)


@pytest.mark.parametrize("name", ["stride", "dilation", "padding"])
def test_a_traced_size_is_refused(name, unchecked):
    @jax.jit
    def correlate(size):
        return corr2d(jnp.ones((3, 4)), jnp.ones((2, 2)), **{name: size})

    with pytest.raises(ValueError, match=f"{name}: expected two integers.* static_argnames"):
        correlate(1)


def test_arrays_of_numbers_are_sizes(unchecked):
    image, kernel = np.ones((5, 6)), np.ones((2, 3))
    actual = corr2d(image, kernel, stride=np.array([2, 1]), padding=np.array([[1, 0], [0, 2]]))
    expected = corr2d(image, kernel, stride=(2, 1), padding=((1, 0), (0, 2)))
    np.testing.assert_array_equal(actual, expected)
    pads = [jnp.array([1, 0]), np.array([0, 2])]
    actual = corr2d(image, kernel, stride=jnp.array([2, 1]), padding=pads)
    np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize("dtype", [">f4", ">i2", ">c8"])
def test_numbers_of_the_other_byte_order_are_read(dtype):
    image = np.arange(12).reshape(3, 4)
    np.testing.assert_array_equal(
        corr2d(image.astype(dtype), np.ones((2, 2))), corr2d(image, np.ones((2, 2)))
    )


def test_numbers_that_jax_has_no_type_for_are_refused():
    image = np.ones((3, 4), np.longdouble)
    if image.itemsize == 8:
        pytest.skip("long double is float64 here")
    with pytest.raises(ValueError, match="image: expected a type that JAX has, got float"):
        corr2d(image, np.ones((2, 2)))


def test_durations_are_refused():
    with pytest.raises(ValueError, match=r"image: expected .* got dtype timedelta"):
        corr2d(np.ones((3, 4), "m8[s]"), np.ones((2, 2)))


def test_a_mask_is_not_lost():
    image = np.ma.array(np.ones((3, 4)), mask=np.eye(3, 4))
    with pytest.raises(ValueError, match="image: expected numbers without a mask"):
        corr2d(image, np.ones((2, 2)))


def test_the_reference_is_one_algorithm():
    with pytest.raises(ValueError, match=r"algorithm: expected none .*, got 'fft'"):
        corr2d_reference(np.ones((3, 4)), np.ones((2, 2)), algorithm="fft")


def test_reflecting_an_axis_without_padding_may_have_one_pixel():
    actual = corr2d([[1, 2, 3]], [[1]], boundary="reflect", padding=((0, 0), (2, 2)))

    np.testing.assert_array_equal(actual, [[3, 2, 1, 2, 3, 2, 1]])


def test_an_option_cannot_be_positional(unchecked):
    with pytest.raises(TypeError, match="takes 2 positional arguments but 3 were given"):
        corr2d(jnp.ones((3, 4)), jnp.ones((2, 2)), 2)
