"""How an image is extended before correlation: padding amounts, boundary rules, output sizes."""

import difflib
import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.core import Tracer
from jaxtyping import Array, Shaped

Pair = tuple[int, int]
Pads = tuple[Pair, Pair]  # ((top, bottom), (left, right)), in pixels
Padding = str | int | Sequence[Sequence[int]]

# Pixels (before, after) of one axis, from the extent of the kernel: dilation * (k - 1) + 1.
_WORDS: dict[str, Callable[[int], Pair]] = {
    "valid": lambda extent: (0, 0),
    "same": lambda extent: ((extent - 1) // 2, extent // 2),
    "same_lower": lambda extent: (extent // 2, (extent - 1) // 2),
    "full": lambda extent: (extent - 1, extent - 1),
}

_MOST_PIXELS = 2**40  # terabytes, and below what overflows XLA's counts of bytes
BOUNDARIES = ("constant", "edge", "reflect", "symmetric", "wrap")


def output_shape(
    image_shape: Sequence[int],
    kernel_shape: Sequence[int],
    *,
    stride: int | Sequence[int] = 1,
    dilation: int | Sequence[int] = 1,
    padding: Padding = "valid",
) -> Pair:
    """Return the height and width that `corr2d` gives for these shapes.

    floor((n + before + after - dilation * (k - 1) - 1) / stride) + 1, for each axis.

    Args:
      image_shape: (..., H, W) in pixels; only the last two count.
      kernel_shape: (kH, kW).
      stride: rows and columns moved per output, at least 1; one number means both.
      dilation: distance between kernel elements, at least 1; one number means both.
      padding: as for `corr2d`.

    Returns:
      (H', W').

    Raises:
      ValueError: for an argument out of range, or a kernel larger than the padded image.

    >>> output_shape((240, 240), (5, 5))
    (236, 236)
    >>> output_shape((3, 3), (2, 2), stride=(3, 2), padding=1)
    (2, 2)
    """
    height, width = image_size(image_shape)
    kernel_size = _sizes("kernel_shape", kernel_shape)
    strides = positive_pair("stride", stride)
    extent = kernel_extent(kernel_size, positive_pair("dilation", dilation))
    pads = resolve(padding, extent=extent)
    padded = (height + sum(pads[0]), width + sum(pads[1]))
    if padded[0] * padded[1] >= _MOST_PIXELS:  # XLA would abort the process
        raise ValueError(
            f"image: expected fewer than 2**40 pixels once padded, got {padded} "
            f"(image {(height, width)} with padding {padding!r})"
        )
    if extent[0] > padded[0] or extent[1] > padded[1]:
        raise ValueError(
            f"kernel: expected an extent within the padded image {padded}, got {extent} "
            f"(kernel {kernel_size} with dilation {dilation}, image {(height, width)} "
            f"with padding {padding!r})"
        )
    rows, columns = ((n - e) // s + 1 for n, e, s in zip(padded, extent, strides, strict=True))
    return rows, columns


def split_padding(total: Sequence[int]) -> Pads:
    """Split a total padding (p_h, p_w) into explicit pairs, the larger half on top and left.

    The chapter pads p_h rows and p_w columns in all, "roughly half" on each side; with
    p_h = kH - 1 and p_w = kW - 1 the output keeps the size of the image.

    Args:
      total: (p_h, p_w), rows and columns of padding in all, at least 0.

    Returns:
      ((top, bottom), (left, right)), for the `padding` of `corr2d`.

    Raises:
      ValueError: if `total` is not two whole numbers of at least 0.

    >>> split_padding((2, 3))
    ((1, 1), (2, 1))
    """
    rows, columns = _integers("total", total, at_least=0, given=total)
    return ((rows + 1) // 2, rows // 2), ((columns + 1) // 2, columns // 2)


def resolve(padding: Padding, *, extent: Pair) -> Pads:
    """Turn any spelling of `padding` into explicit pairs, for a kernel of this extent."""
    padding = _listed(padding)
    if isinstance(padding, str):
        if padding not in _WORDS:
            raise ValueError(
                f"padding: expected one of {', '.join(map(repr, _WORDS))}, an int or "
                f"((top, bottom), (left, right)), got {padding!r}{did_you_mean(padding, _WORDS)}"
            )
        before_after = _WORDS[padding]
        return before_after(extent[0]), before_after(extent[1])
    if not isinstance(padding, Sequence):
        amount = _integers(
            "padding", (padding, padding), at_least=0, given=padding, noun="integers, or one,"
        )
        return amount, amount
    if len(padding) != 2 or not all(isinstance(pair, Sequence) for pair in padding):
        raise ValueError(
            f"padding: expected ((top, bottom), (left, right)), got {padding!r}; "
            "split_padding((p_h, p_w)) splits the total of each axis"
        )
    vertical, horizontal = padding
    return (
        _integers("padding", vertical, at_least=0, given=vertical),
        _integers("padding", horizontal, at_least=0, given=horizontal),
    )


def check_boundary(
    image_shape: Sequence[int], pads: Pads, *, boundary: str, fill_value: Any
) -> None:
    """Refuse a boundary rule that is unknown, that has no such constant, or that cannot reflect."""
    if boundary not in BOUNDARIES:
        raise ValueError(
            f"boundary: expected one of {', '.join(map(repr, BOUNDARIES))}, "
            f"got {boundary!r}{did_you_mean(boundary, BOUNDARIES)}"
        )
    if boundary != "constant" and not is_literal_zero(fill_value):
        raise ValueError(
            f"fill_value: expected none with boundary {boundary!r}, got {fill_value!r}; "
            "only 'constant' uses it"
        )
    for size, before_after in zip(image_shape[-2:], pads, strict=True):
        if boundary == "reflect" and size == 1 and any(before_after):
            raise ValueError(
                "boundary: 'reflect' expected at least 2 pixels on a padded axis, got 1 "
                f"(image {tuple(image_shape)}, padding {pads})"
            )


def pad(
    image: Shaped[Array, "*batch H W"],
    pads: Pads,
    *,
    boundary: str = "constant",
    fill_value: Shaped[Array, ""] | None = None,
) -> Shaped[Array, "*batch Hp Wp"]:
    """Extend the last two axes by `pads` pixels; a pad may be longer than the image.

    For the row a b c d and two pixels on each side: constant 0 0 a b c d 0 0, edge
    a a a b c d d d, reflect c b a b c d c b, symmetric b a a b c d d c, wrap c d a b c d a b.
    """
    if not any(map(any, pads)):
        return image
    widths = ((0, 0),) * (image.ndim - 2) + tuple(pads)
    if boundary != "constant":
        return jnp.pad(image, widths, mode=boundary)
    padded = jnp.pad(image, widths)
    if fill_value is None:
        return padded
    # Not `constant_values`: lax.pad cannot be differentiated by its constant alone.
    inside = jnp.pad(jnp.ones(image.shape, bool), widths)
    return jnp.where(inside, padded, fill_value)


def before_algorithm(
    image_shape: Sequence[int], pads: Pads, *, by_zeros: bool
) -> tuple[tuple[int, ...], Pads]:
    """Return the shape and the pads that algorithms see, which extend by zeros alone."""
    if by_zeros:
        return tuple(image_shape), pads
    size = (n + sum(pad) for n, pad in zip(image_shape[-2:], pads, strict=True))
    return (*image_shape[:-2], *size), ((0, 0), (0, 0))


def dilate(image: Shaped[Array, "*batch H W"], amount: Pair) -> Shaped[Array, "*batch Hd Wd"]:
    """Insert `amount` - 1 zeros between the elements of the last two axes."""
    none = ((0, 0, 0),) * (image.ndim - 2)
    zero = jnp.zeros((), image.dtype)
    return lax.pad(image, zero, (*none, (0, 0, amount[0] - 1), (0, 0, amount[1] - 1)))


def upsample(array: Shaped[Array, "*axes"], factor: int, *, axis: int) -> Shaped[Array, "*up"]:
    """Insert `factor` - 1 zeros behind every element of one axis, the last one too."""
    if factor == 1:
        return array
    config = [(0, 0, 0)] * array.ndim
    config[axis] = (0, factor - 1, factor - 1)
    return lax.pad(array, jnp.zeros((), array.dtype), config)


def is_literal_zero(fill_value: Any) -> bool:
    """Tell whether this is the number 0 itself, known without looking into an array."""
    return isinstance(fill_value, int | float | np.number) and bool(fill_value == 0)


def did_you_mean(word: Any, known: Iterable[str]) -> str:
    """Return the end of an error message: the known word that this is close to, if any."""
    close = difflib.get_close_matches(str(word).lower(), list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def image_size(image_shape: Sequence[int]) -> Pair:
    """Return the height and width of a shape (..., H, W)."""
    image_shape = _listed(image_shape)
    if not isinstance(image_shape, Sequence) or len(image_shape) < 2:
        raise ValueError(f"image: expected a shape (..., H, W), got {image_shape!r}")
    return _sizes("image", image_shape[-2:])


def kernel_extent(kernel_size: Sequence[int], dilation: Pair) -> Pair:
    """Return the rows and columns that a dilated kernel spans."""
    return dilation[0] * (kernel_size[0] - 1) + 1, dilation[1] * (kernel_size[1] - 1) + 1


def positive_pair(name: str, value: int | Sequence[int]) -> Pair:
    """Return an int or a pair as a pair of ints of at least 1."""
    value = _listed(value)
    pair = value if isinstance(value, Sequence) else (value, value)
    return _integers(name, pair, at_least=1, given=value, noun="integers, or one,")


def _sizes(name: str, shape: Sequence[int]) -> Pair:
    sizes = _listed(shape)
    sizes = sizes if isinstance(sizes, Sequence) else ()
    return _integers(name, sizes, at_least=1, given=shape, noun="sizes")


def _integers(
    name: str, values: Sequence[Any], *, at_least: int, given: Any, noun: str = "integers"
) -> Pair:
    """Return two integers; `given` is what the caller wrote."""
    if any(isinstance(value, Tracer) for value in values):
        raise ValueError(
            f"{name}: expected two {noun} of at least {at_least}, known when the call is traced, "
            f"got {given!r}; jax.jit takes its name in static_argnames"
        )
    try:
        pair = tuple(operator.index(value) for value in values)
        booleans = any(isinstance(value, bool) for value in values)
    except TypeError:
        pair, booleans = (), False
    if len(pair) != 2 or min(pair) < at_least or booleans:
        raise ValueError(f"{name}: expected two {noun} of at least {at_least}, got {given!r}")
    return pair[0], pair[1]


def _listed(value: Any) -> Any:
    """Return arrays of known numbers as lists, also within a sequence; all else as it is."""
    if isinstance(value, np.ndarray | jax.Array) and not isinstance(value, Tracer):
        return np.asarray(value).tolist()
    if isinstance(value, list | tuple):
        return type(value)(map(_listed, value)) if type(value) in (list, tuple) else value
    return value
