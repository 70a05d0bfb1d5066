"""The layers that `receptive_field` takes, and how they may be written."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from conv_jax import padding as pads_of
from conv_jax.padding import Padding, Pads, Pair

Sizes = int | Sequence[int]

_KEYS = ("kernel", "stride", "padding", "dilation", "name")
_BY_SIZE = ("SAME", "SAME_LOWER")  # zeros that depend on the size of the map, in lax


class Layer(NamedTuple):
    """One layer that moves a window: made by `conv`, `pool`, `transposed_conv` or `dense`."""

    kind: str
    kernel: Pair | None  # None: as large as the map
    stride: Pair
    padding: Pads | str  # a str is a word of lax that depends on the size of the map
    dilation: Pair
    image_dilation: Pair
    name: str


class Branches(NamedTuple):
    """Paths from one map to one map, whose results are added or concatenated."""

    paths: tuple[tuple[Any, ...], ...]
    name: str


def conv(
    kernel: Sizes,
    *,
    stride: Sizes = 1,
    padding: Padding = "valid",
    dilation: Sizes = 1,
    name: str = "",
) -> Layer:
    """Return a convolution for `receptive_field`; every size is one number or (rows, columns).

    Args:
      kernel: elements.
      stride: elements moved per output.
      padding: as for `corr2d`, with words in lower case, which never look at the image; or
        "VALID", "SAME" and "SAME_LOWER" of lax and Flax. Those pad by what the size of the image
        leaves over, so with a stride they need `image_shape`.
      dilation: distance between the elements of the kernel.
      name: of the layer; else its kind and number.

    Raises:
      ValueError: for a number or word out of range.
    """
    return _layer("conv", kernel, stride, padding, dilation, name)


def pool(
    window: Sizes,
    *,
    stride: Sizes | None = None,
    padding: Padding = "valid",
    dilation: Sizes = 1,
    name: str = "",
) -> Layer:
    """Return a pooling for `receptive_field`, maximum or mean: windows side by side, unless given.

    Args:
      window: elements.
      stride: elements moved per output; None means the window.
      padding: as for `conv`.
      dilation: distance between the elements of the window.
      name: of the layer; else its kind and number.

    Raises:
      ValueError: for a number or word out of range.
    """
    return _layer("pool", window, window if stride is None else stride, padding, dilation, name)


def transposed_conv(
    kernel: Sizes,
    *,
    stride: Sizes = 1,
    padding: Padding = "valid",
    dilation: Sizes = 1,
    name: str = "",
) -> Layer:
    """Return a transposed convolution for `receptive_field`, which divides the jump by its stride.

    A kernel as long as the stride is the repetition of elements, upsampling by "nearest".

    Args:
      kernel: elements.
      stride: outputs from one input to the next.
      padding: "valid" (all that an input reaches) or "same" (stride times the size), as in
        `jax.lax.conv_transpose`; numbers are rows and columns that are cut off, as in torch.
      dilation: distance between the elements of the kernel.
      name: of the layer; else its kind and number.

    Raises:
      ValueError: for a number or word out of range.
    """
    strides = pads_of.positive_pair("stride", stride)
    dilations = pads_of.positive_pair("dilation", dilation)
    sizes = pads_of.positive_pair("kernel", kernel)
    extent = pads_of.kernel_extent(sizes, dilations)
    if isinstance(padding, str):
        if padding.lower() not in ("valid", "same"):
            raise ValueError(f"padding: expected 'valid', 'same' or numbers, got {padding!r}")
        split = [_transposed_zeros(e, s, padding) for e, s in zip(extent, strides, strict=True)]
    else:
        cut = pads_of.resolve(padding, extent=extent)
        split = [(e - 1 - c[0], e - 1 - c[1]) for e, c in zip(extent, cut, strict=True)]
    pads = (split[0], split[1])
    return Layer("transposed_conv", sizes, (1, 1), pads, dilations, strides, name)


def dense(*, name: str = "") -> Layer:
    """Return a layer that sees its whole map, for `receptive_field` with `image_shape`.

    Args:
      name: of the layer; else its kind and number.
    """
    return Layer("dense", None, (1, 1), ((0, 0), (0, 0)), (1, 1), (1, 1), name)


def branches(*paths: Sequence[Any], name: str = "") -> Branches:
    """Return paths whose results are added or concatenated, as in residual and inception blocks.

    An output sees what it sees along any of them: the first pixel of all and the last.

    Args:
      *paths: lists of layers as for `receptive_field`; an empty one is the identity.
      name: of the layer; else its kind and number.
    """
    return Branches(tuple(tuple(path) for path in paths), name)


def parsed(layers: Sequence[Any], *, where: str = "layers") -> list[Layer | Branches]:
    """Turn every spelling of a layer into one.

    Args:
      layers: as `receptive_field` takes them.
      where: what they are called in an error.
    """
    return [_parsed_one(layer, f"{where}[{index}]") for index, layer in enumerate(layers)]


def _layer(
    kind: str, kernel: Sizes, stride: Sizes, padding: Padding, dilation: Sizes, name: str
) -> Layer:
    sizes = pads_of.positive_pair("kernel" if kind == "conv" else "window", kernel)
    dilations = pads_of.positive_pair("dilation", dilation)
    strides = pads_of.positive_pair("stride", stride)
    if padding == "VALID":
        padding = "valid"
    if isinstance(padding, str) and padding in _BY_SIZE:
        pads: Pads | str = padding
        if strides == (1, 1):  # then lax pads as our words do
            pads = pads_of.resolve(padding.lower(), extent=pads_of.kernel_extent(sizes, dilations))
    else:
        pads = pads_of.resolve(padding, extent=pads_of.kernel_extent(sizes, dilations))
    return Layer(kind, sizes, strides, pads, dilations, (1, 1), name)


def _transposed_zeros(extent: int, stride: int, word: str) -> Pair:
    """Return the zeros around the dilated map, as `jax.lax.conv_transpose` puts them."""
    if word.lower() == "valid":
        return extent - 1, extent - 1 + max(stride - extent, 0)
    before = extent - 1 if stride > extent - 1 else (extent + stride - 1) // 2
    return before, extent + stride - 2 - before


def _parsed_one(layer: Any, where: str) -> Layer | Branches:
    if isinstance(layer, Branches):
        paths = [parsed(p, where=f"{where}.paths[{i}]") for i, p in enumerate(layer.paths)]
        return layer._replace(paths=tuple(map(tuple, paths)))
    if isinstance(layer, Layer):
        return layer
    if isinstance(layer, Sequence) and not isinstance(layer, str) and 1 <= len(layer) <= 4:
        layer = dict(zip(_KEYS, layer, strict=False))
    if not isinstance(layer, Mapping) or "kernel" not in layer or not set(layer) <= set(_KEYS):
        raise ValueError(
            f"{where}: expected conv(...), pool(...) or the like, (kernel, stride, padding, "
            f"dilation) or a dict of some of {', '.join(_KEYS)}, got {layer!r}"
        )
    try:
        return conv(**layer)
    except ValueError as error:
        raise ValueError(f"{where}.{error}") from None
