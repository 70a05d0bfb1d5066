"""Each mistake about matrices: a ValueError with the argument, what was expected and what came."""

import re

import jax.numpy as jnp
import pytest

from conv_jax import col2im, corr2d_matrix, im2col
from conv_jax.matrices import operator_norm, singular_values

ARGUMENTS = [
    pytest.param({"stride": 0}, "stride: .* at least 1, got 0", id="stride"),
    pytest.param({"dilation": (1, 0.5)}, "dilation: .* at least 1, got (1, 0.5)", id="dilation"),
    pytest.param({"dilation": 3}, "kernel: .* padded image (3, 4), got (4, 4)", id="extent"),
    pytest.param({"padding": "SAME"}, "padding: .* got 'SAME'; did you mean 'same'?", id="word"),
    pytest.param({"padding": -1}, "padding: .* at least 0, got -1", id="padding"),
    pytest.param({"boundary": "mirror"}, "boundary: expected one of .* 'mirror'", id="boundary"),
]
OPERATORS = {
    "im2col": lambda **options: im2col(jnp.ones((3, 4)), (2, 2), **options),
    "col2im": lambda **options: col2im(jnp.ones((2, 3, 4)), (3, 4), (2, 2), **options),
    "corr2d_matrix": lambda **options: corr2d_matrix(jnp.ones((2, 2)), (3, 4), **options),
    "singular_values": lambda **options: singular_values(jnp.ones((2, 2)), (3, 4), **options),
}


@pytest.mark.parametrize("operator", OPERATORS.values(), ids=OPERATORS)
@pytest.mark.parametrize(("options", "message"), ARGUMENTS)
def test_mistaken_option_is_named(operator, options, message, unchecked):
    with pytest.raises(ValueError, match=_pattern(message)):
        operator(**options)


MISTAKES = {
    "row image": (lambda: im2col([1, 2], (1, 1)), "image: expected a shape (..., H, W), got (2,)"),
    "one size": (lambda: im2col(jnp.ones((3, 4)), 2), "kernel_shape: expected two sizes .* got 2"),
    "three sizes": (
        lambda: im2col(jnp.ones((3, 4)), (2, 2, 1)),
        "kernel_shape: expected two sizes of at least 1, got (2, 2, 1)",
    ),
    "empty kernel": (
        lambda: im2col(jnp.ones((3, 4)), (0, 2)),
        "kernel_shape: expected two sizes of at least 1, got (0, 2)",
    ),
    "large kernel": (
        lambda: im2col(jnp.ones((3, 4)), (4, 2)),
        "kernel: expected an extent within the padded image (3, 4), got (4, 2)",
    ),
    "fill": (
        lambda: im2col([[1, 2]], (1, 1), padding=1, fill_value=0.5),
        "fill_value: expected a number that int32 holds, got 0.5",
    ),
    "filled edge": (
        lambda: im2col([[1, 2]], (1, 1), boundary="edge", fill_value=1),
        "fill_value: expected none with boundary 'edge', got 1",
    ),
    "reflected row": (
        lambda: im2col([[1, 2]], (1, 1), padding=1, boundary="reflect"),
        "boundary: 'reflect' expected at least 2 pixels .* got 1 (image (1, 2), padding ((1, 1)",
    ),
    "taps": (
        lambda: col2im(jnp.ones((2, 3, 5)), (3, 4), (2, 2)),
        "columns: expected a shape (..., 2, 3, 4), got (2, 3, 5) (image (3, 4), kernel (2, 2))",
    ),
    "outputs": (
        lambda: col2im(jnp.ones((6, 4)), (3, 4), (2, 2)),
        "columns: expected a shape (..., 2, 3, 4), got (6, 4)",
    ),
    "image size": (
        lambda: col2im(jnp.ones((2, 3, 4)), 3, (2, 2)),
        "image: expected a shape (..., H, W), got 3",
    ),
    "row kernel": (
        lambda: corr2d_matrix([1, 2], (3, 4)),
        "kernel: expected a shape (kH, kW), got (2,)",
    ),
    "empty image": (
        lambda: corr2d_matrix([[1]], (0, 4)),
        "image: expected two sizes of at least 1, got (0, 4)",
    ),
    "dense": (
        lambda: corr2d_matrix([[1]], (1024, 1024)),
        "image_shape: expected a dense matrix of fewer than 2**40 entries, got (1048576, 1048576)",
    ),
    "text": (
        lambda: corr2d_matrix("ab", (3, 4)),
        "kernel: expected an array of numbers, got dtype",
    ),
    "channels": (
        lambda: singular_values(jnp.ones((2, 2, 3)), (3, 4)),
        "kernel: expected a shape (kH, kW) or (kH, kW, C, O), got (2, 2, 3)",
    ),
    "no channels": (
        lambda: operator_norm(jnp.ones((2, 2, 0, 3)), (3, 4)),
        "kernel: expected a shape (kH, kW) or (kH, kW, C, O), got (2, 2, 0, 3)",
    ),
}


@pytest.mark.parametrize(("call", "message"), MISTAKES.values(), ids=MISTAKES)
def test_mistake_is_named(call, message, unchecked):
    with pytest.raises(ValueError, match=_pattern(message)):
        call()


def test_a_matrix_too_large_to_be_dense_is_sparse():
    assert corr2d_matrix([[1]], (1024, 1024), sparse=True).nse == 2**20


def _pattern(message):
    """Escape all of a message but its gaps, `.*`."""
    return "^" + ".*".join(map(re.escape, message.split(".*")))
