"""Every matrix and formula that the chapter and the notes print, number for number.

"Convolutions for Images" (Zhang, Lipton, Li and Smola, Dive into Deep Learning; the Julia
edition, with its exercises) and the notes "Understanding convolutions".
"""

import numpy as np
import pytest
from cases import compiled, every_algorithm
from oracles import assert_whole, norm

from conv_jax import conv2d, corr2d, output_shape, split_padding
from conv_jax.padding import pad

COUNT = np.arange(9.0, dtype=np.float32).reshape(3, 3)
SQUARE = np.float32([[0, 1], [2, 3]])
DIFFERENCE = np.float32([[1, -1]])
BARS = np.float32([[1, 1, 0, 0, 0, 0, 1, 1]] * 6)
DIAGONALS = np.float32(
    [
        [1, 0, 0, 0, 0, 1],
        [0, 1, 0, 0, 1, 0],
        [0, 0, 1, 1, 0, 0],
        [0, 0, 1, 1, 0, 0],
        [0, 1, 0, 0, 1, 0],
        [1, 0, 0, 0, 0, 1],
    ]
)
ROWS = np.float32([[1] * 8] + [[0] * 8] * 4 + [[1] * 8])
LEFT_BAR = np.float32([[1, 0, 0, 0, 0, 1, 1, 1]] * 6)

SUMS = [
    [0 * 0 + 1 * 1 + 3 * 2 + 4 * 3, 1 * 0 + 2 * 1 + 4 * 2 + 5 * 3],
    [3 * 0 + 4 * 1 + 6 * 2 + 7 * 3, 4 * 0 + 5 * 1 + 7 * 2 + 8 * 3],
]
DIAGONAL_EDGES = [
    [1, 0, 0, 0, -1],
    [-1, 1, 0, -1, 1],
    [0, -1, 0, 1, 0],
    [0, -1, 0, 1, 0],
    [-1, 1, 0, -1, 1],
    [1, 0, 0, 0, -1],
]
DIAGONAL_ROW_EDGES = [
    [1, -1, 0, 0, -1, 1],
    [0, 1, -1, -1, 1, 0],
    [0, 0, 0, 0, 0, 0],
    [0, -1, 1, 1, -1, 0],
    [-1, 1, 0, 0, 1, -1],
]
PADDED = [[0, 0, 0, 0, 0], [0, 0, 1, 2, 0], [0, 3, 4, 5, 0], [0, 6, 7, 8, 0], [0, 0, 0, 0, 0]]
PADDED_SUMS = [[0, 3, 8, 4], [9, 19, 25, 10], [21, 37, 43, 16], [6, 7, 8, 0]]


@pytest.mark.parametrize(
    ("image", "kernel", "printed"),
    [
        pytest.param(COUNT, SQUARE, [[19, 25], [37, 43]], id="chapter_and_notes_first"),
        pytest.param(COUNT, SQUARE, SUMS, id="chapter_and_notes_expanded_sums"),
        pytest.param(BARS, DIFFERENCE, [[0, 1, 0, 0, 0, -1, 0]] * 6, id="chapter_vertical_edges"),
        pytest.param(BARS.T, DIFFERENCE, np.zeros((8, 5)), id="chapter_transposed_image"),
        pytest.param(DIAGONALS, DIFFERENCE, DIAGONAL_EDGES, id="exercise_1_1"),
        pytest.param(DIAGONALS.T, DIFFERENCE, DIAGONAL_EDGES, id="exercise_1_2"),
        pytest.param(DIAGONALS, DIFFERENCE.T, DIAGONAL_ROW_EDGES, id="exercise_1_3"),
        pytest.param(ROWS, DIFFERENCE.T, [[1] * 8] + [[0] * 8] * 3 + [[-1] * 8], id="exercise_2_1"),
        pytest.param(
            LEFT_BAR, np.float32([[1, -2, 1]]), [[1, 0, 0, 1, -1, 0]] * 6, id="exercise_2_2"
        ),
        pytest.param(np.float32(PADDED), SQUARE, PADDED_SUMS, id="notes_padded"),
    ],
)
def test_printed_matrix(image, kernel, printed):
    actual = compiled(corr2d)(image, kernel)

    np.testing.assert_array_equal(actual, np.float32(printed), strict=True)


@every_algorithm
@pytest.mark.parametrize(
    ("options", "printed"),
    [
        pytest.param({}, [[19, 25], [37, 43]], id="first"),
        pytest.param({"padding": 1}, PADDED_SUMS, id="padding"),
        pytest.param({"padding": 1, "stride": (3, 2)}, [[0, 8], [6, 8]], id="stride"),
    ],
)
def test_printed_example_by_every_algorithm(algorithm, options, printed):
    actual = compiled(corr2d, algorithm=algorithm, **options)(COUNT, SQUARE)

    assert actual.shape == np.shape(printed)
    assert_whole(algorithm, actual, np.float32(printed), norms=norm(COUNT, SQUARE))


def test_printed_padded_image():
    np.testing.assert_array_equal(compiled(pad, pads=((1, 1), (1, 1)))(COUNT), PADDED)


def test_exercise_1_2_shows_nothing_because_its_image_is_symmetric():
    np.testing.assert_array_equal(DIAGONALS, DIAGONALS.T)


@pytest.mark.parametrize(
    ("kernel", "expected"),
    [
        pytest.param(SQUARE[::-1, ::-1], [[19, 25], [37, 43]], id="flipped_twice"),
        pytest.param(SQUARE, [[5, 11], [23, 29]], id="unflipped"),
    ],
)
def test_strict_convolution_of_the_first_example(kernel, expected):
    actual = compiled(conv2d)(COUNT, kernel)

    np.testing.assert_array_equal(actual, np.float32(expected))


def test_ten_layers_of_5x5_take_240_pixels_to_200():
    sizes = [(240 - 4 * layer, 240 - 4 * layer) for layer in range(11)]

    assert [output_shape(size, (5, 5)) for size in sizes[:-1]] == sizes[1:]
    assert sizes[-1] == (200, 200)
    assert round(100 * (1 - 200**2 / 240**2)) == 31  # "slicing off 30%" is of the area


def test_two_layers_of_2x2_see_all_nine_pixels():
    correlate = compiled(corr2d)

    seen = correlate(
        correlate(np.eye(9, dtype=np.float32).reshape(9, 3, 3), SQUARE + 1), SQUARE + 1
    )

    assert seen.shape == (9, 1, 1)
    assert np.all(seen != 0)


@pytest.mark.parametrize("kernel", [(1, 1), (2, 3), (5, 4)], ids=str)
@pytest.mark.parametrize("total", [(0, 0), (1, 2), (4, 3)], ids=str)
@pytest.mark.parametrize("stride", [(1, 1), (3, 2)], ids=str)
def test_formulas_for_the_output_size(kernel, total, stride):
    sizes = list(zip((7, 8), kernel, total, stride, strict=True))
    padding = split_padding(total)

    unstrided = tuple(n - k + p + 1 for n, k, p, _ in sizes)
    strided = tuple((n - k + p + s) // s for n, k, p, s in sizes)

    assert output_shape((7, 8), kernel, padding=padding) == unstrided
    assert output_shape((7, 8), kernel, padding=padding, stride=stride) == strided
