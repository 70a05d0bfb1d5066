"""Padding words, output sizes, the five boundaries, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import BOUNDARIES, bounded, calls, compiled, every_algorithm, small_integers
from hypothesis import given
from hypothesis import strategies as st
from oracles import corr2d_numpy, source, taps

from conv_jax import corr2d, output_shape, split_padding
from conv_jax.padding import check_boundary, pad

ROW_BOUNDARIES = {
    "constant": "..abcd..",
    "edge": "aaabcddd",
    "reflect": "cbabcdcb",
    "symmetric": "baabcddc",
    "wrap": "cdabcdab",
}
# Rows before the image for kernels of 2, 3, 4 and 5 rows.
SAME_BEFORE = {"same": (0, 1, 1, 2), "same_lower": (1, 1, 2, 2)}
OFFSETS = [
    pytest.param(padding, size, before, id=f"{padding}{size}")
    for padding, befores in SAME_BEFORE.items()
    for size, before in zip((2, 3, 4, 5), befores, strict=True)
]


@bounded(max_examples=200)
@given(call=calls())
def test_output_shape_counts_the_windows(call):
    image_shape, kernel_shape, options = call
    options.pop("boundary")
    options.pop("fill_value", None)

    expected = corr2d_numpy(np.zeros(image_shape), np.zeros(kernel_shape), **options).shape[-2:]

    assert output_shape(image_shape, kernel_shape, **options) == expected


@every_algorithm
def test_output_shape_is_the_shape_of_the_result(algorithm):
    options = {"stride": (2, 3), "dilation": 2, "padding": ((0, 3), (1, 4))}
    image, kernel = np.zeros((2, 7, 9)), np.zeros((3, 2))

    actual = jax.eval_shape(compiled(corr2d, algorithm=algorithm, **options), image, kernel)

    assert actual.shape == (2, *output_shape(image.shape, kernel.shape, **options)) == (2, 3, 4)


@pytest.mark.parametrize(("padding", "size", "before"), OFFSETS)
def test_same_puts_its_rows_before(padding, size, before):
    kernel = np.arange(1, size + 1, dtype=np.float32)
    impulse = np.zeros(11, np.float32)
    impulse[5] = 1

    rows = compiled(corr2d, padding=padding)(impulse[:, None], kernel[:, None])
    columns = compiled(corr2d, padding=padding)(impulse[None], kernel[None])

    # Kernel element a is what the output at row 5 + before - a shows of the impulse in row 5.
    expected = np.zeros(11)
    expected[5 + before - np.arange(size)] = kernel
    np.testing.assert_array_equal(rows[:, 0], expected)
    np.testing.assert_array_equal(columns[0], expected)


@pytest.mark.parametrize("size", [2, 4])
def test_the_two_words_differ_for_even_kernels(size):
    image, kernel = small_integers(0, (6, 6)), np.ones((size, 1), np.float32)

    same = compiled(corr2d, padding="same")(image, kernel)

    np.testing.assert_array_equal(same, corr2d_numpy(image, kernel, padding="same"))
    assert not np.array_equal(same, corr2d_numpy(image, kernel, padding="same_lower"))


@pytest.mark.parametrize("padding", ["same", "same_lower"])
@pytest.mark.parametrize("dilation", [1, 2, 3])
@pytest.mark.parametrize("kernel_shape", [(1, 1), (2, 3), (4, 5)], ids=str)
def test_same_keeps_the_size(padding, dilation, kernel_shape):
    options = {"dilation": dilation, "padding": padding}

    assert output_shape((3, 4), kernel_shape, **options) == (3, 4)


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_boundary_extends_a_row(boundary):
    letters = np.array([list(b"abcd")], np.uint8)
    fill = {"fill_value": jnp.uint8(ord("."))} if boundary == "constant" else {}

    actual = compiled(pad, pads=((0, 0), (2, 2)), boundary=boundary, **fill)(letters)

    assert bytes(np.asarray(actual)[0]).decode() == ROW_BOUNDARIES[boundary]


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("size", [2, 3, 5])
def test_boundary_extends_far_beyond_the_image(boundary, size):
    image = np.arange(1, size + 1, dtype=np.int32)[:, None]

    actual = compiled(pad, pads=((23, 17), (0, 0)), boundary=boundary)(image)

    seen = [source(position, size, boundary) for position in range(-23, size + 17)]
    np.testing.assert_array_equal(actual[:, 0], [0 if i is None else i + 1 for i in seen])


@pytest.mark.parametrize("boundary", ["edge", "symmetric", "wrap"])
def test_one_pixel_extends_to_a_constant(boundary):
    actual = compiled(pad, pads=((3, 1), (0, 4)), boundary=boundary)(np.float32([[7]]))

    np.testing.assert_array_equal(actual, np.full((5, 5), 7))


def test_padding_leaves_the_batch_axes_alone():
    images = small_integers(0, (2, 3, 4, 5))

    actual = compiled(pad, pads=((1, 0), (0, 2)))(images)

    np.testing.assert_array_equal(actual[:, :, 1:, :5], images)
    assert actual.shape == (2, 3, 5, 7)


def test_sequences_of_any_kind_are_sizes(unchecked):
    image = small_integers(0, (4, 5))
    options = {"stride": (np.int64(2), 1), "padding": [[1, 0], [np.int32(0), 2]]}

    actual = corr2d(image, [[1]], **options)

    np.testing.assert_array_equal(
        actual, corr2d_numpy(image, [[1]], stride=(2, 1), padding=((1, 0), (0, 2)))
    )


@bounded(max_examples=50)
@given(total=st.tuples(st.integers(0, 99), st.integers(0, 99)))
def test_split_padding_puts_the_larger_half_first(total):
    vertical, horizontal = split_padding(total)

    assert (sum(vertical), sum(horizontal)) == total
    assert vertical[0] - vertical[1] in (0, 1)
    assert horizontal[0] - horizontal[1] in (0, 1)


def test_split_padding_of_a_kernel_is_same_lower():
    image, kernel = small_integers(0, (5, 5)), small_integers(1, (4, 3))

    actual = compiled(corr2d, padding=split_padding((3, 2)))(image, kernel)

    np.testing.assert_array_equal(actual, compiled(corr2d, padding="same_lower")(image, kernel))


@pytest.mark.parametrize(
    ("total", "message"),
    [
        pytest.param((1, -1), r"got \(1, -1\)", id="negative"),
        pytest.param((1,), r"got \(1,\)", id="one"),
        pytest.param((0.5, 1), r"got \(0.5, 1\)", id="half"),
        pytest.param("ab", "got 'ab'", id="text"),
    ],
)
def test_split_padding_refuses(total, message, unchecked):
    with pytest.raises(ValueError, match=f"total: expected two integers of at least 0, {message}"):
        split_padding(total)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        pytest.param(((5,), (2, 2)), {}, r"image: .* got \(5,\)", id="image_rank"),
        pytest.param(((5, 0), (2, 2)), {}, r"image: .* got \(5, 0\)", id="empty_image"),
        pytest.param(((5, 5), (3,)), {}, r"kernel_shape: .* got \(3,\)", id="kernel_rank"),
        pytest.param(((5, 5), (0, 3)), {}, r"kernel_shape: .* got \(0, 3\)", id="empty_kernel"),
        pytest.param(((5, 5), (6, 1)), {}, r"kernel: .*\(5, 5\), got \(6, 1\)", id="large_kernel"),
        pytest.param(((5, 5), (2, 2)), {"stride": 0}, "stride: .* got 0", id="stride"),
        pytest.param(((5, 5), (2, 2)), {"dilation": -1}, "dilation: .* got -1", id="dilation"),
        pytest.param(((5, 5), (2, 2)), {"padding": "none"}, "padding: .* got 'none'", id="word"),
    ],
)
def test_output_shape_refuses(arguments, options, message, unchecked):
    with pytest.raises(ValueError, match=message):
        output_shape(*arguments, **options)


def test_the_oracle_with_a_wrong_offset_disagrees():
    right = taps(5, 2, stride=1, dilation=1, padding="same", boundary="constant")

    wrong = taps(5, 2, stride=1, dilation=1, padding="same_lower", boundary="constant")

    assert right == [[0, 1], [1, 2], [2, 3], [3, 4], [4, None]]
    assert wrong == [[None, 0], [0, 1], [1, 2], [2, 3], [3, 4]]


def test_a_single_column_cannot_be_reflected():
    with pytest.raises(ValueError, match=r"boundary: 'reflect' .* got 1 .*\(4, 1\)"):
        check_boundary((4, 1), ((0, 0), (0, 1)), boundary="reflect", fill_value=0)
