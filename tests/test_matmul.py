"""The algorithm "matmul": tiles of the rows of a kernel that is larger than the result."""

import functools

import jax
import numpy as np
import pytest
from cases import small_integers
from oracles import correlate_numpy

from conv_jax.algorithms.matmul import TILE, matmul


def _assert_is_exact(size, kernel_size, **options):
    image = small_integers(0, (2, 2, 2, *size))
    kernel = small_integers(1, (2, 3, 2, *kernel_size))
    options = {"stride": (1, 1), "dilation": (1, 1), "pads": ((0, 0), (0, 0))} | options

    actual = jax.jit(functools.partial(matmul, **options))(image, kernel)

    padding = options.pop("pads")
    np.testing.assert_array_equal(
        actual, correlate_numpy(image, kernel, padding=padding, **options)
    )


@pytest.mark.parametrize(
    ("rows", "result"),
    [
        *[(rows, (3, 2)) for rows in (1, TILE - 1, TILE, TILE + 1, 2 * TILE + 1)],
        (TILE + 1, (TILE + 1, 1)),
        (TILE + 1, (2, TILE + 1)),
        (TILE + 1, (1, 3)),
    ],
    ids=str,
)
def test_tiles_of_any_number_of_rows(rows, result):
    width = 40  # of the kernel, so that it is larger than any of these results
    _assert_is_exact((rows + result[0] - 1, width + result[1] - 1), (rows, width))


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"stride": (2, 3)}, id="stride"),
        pytest.param({"dilation": (2, 1)}, id="dilation"),
        pytest.param({"pads": ((2, 0), (0, 3))}, id="pads"),
    ],
)
def test_tiles_with(options):
    _assert_is_exact((19, 11), (9, 8), **options)


@pytest.mark.parametrize("kernel_size", [(2, 3), (3, 3)], ids=["windows", "tiles"])
def test_the_two_forms_meet_where_kernel_and_result_are_of_one_size(kernel_size):
    _assert_is_exact((4, 5), kernel_size)
