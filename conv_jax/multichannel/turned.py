"""The gradient of a kernel as one matrix product of long rows, with the image's channels first.

Each row of the first factor holds what one element of the kernel meets in one channel, at all
places of all images; the second is the cotangent as it lies, a row for each place. As in `banded`,
T neighbouring outputs along the last axis share what they read: wider products, in which each
element of the gradient appears T times, once for each output of a tile.
"""

import functools
import itertools
import math
import operator
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from conv_jax.multichannel.moves import last_alone, met, pad, scattered
from conv_jax.multichannel.placement import Window


def kernel_gradient(
    image: Float[Array, "N *S C"],
    cotangent: Float[Array, "N *S_out O"],
    *,
    window: Window,
    kernel_size: Sequence[int],
    tile: int,
    rows: str,
    precision: Any,
) -> Float[Array, "*K C O"]:
    """Return the gradient of the kernel.

    out[k, c, o] = sum_{n, y} image[n, y stride + k dilation - before, c] cotangent[n, y, o]

    Args:
      image: [N, *S, C], with no dilation.
      cotangent: [N, *S', O].
      window: how kernel and image lie on each other.
      kernel_size: that of the gradient, K.
      tile: T, outputs along the last axis whose products are taken together.
      rows: of the kernel. "joined": the image is moved for each; "scattered": the cotangent is,
        for a stride of 1 along all axes but the last.
      precision: of the product.

    Returns:
      [*K, C, O].
    """
    (place, width), leading = (window[-1], kernel_size[-1]), kernel_size[:-1]
    channels, num_outputs = image.shape[-1], cotangent.shape[-1]
    num_tiles = -(-cotangent.shape[-2] // tile)
    missing = num_tiles * tile - cotangent.shape[-2]
    cotangent = jnp.pad(cotangent, ((0, 0),) * (cotangent.ndim - 2) + ((0, missing), (0, 0)))
    cotangent = cotangent.reshape(*cotangent.shape[:-2], num_tiles, -1)
    # How far from the start of a tile lies what output u reads for element k of a row.
    offsets = [
        [u * place.stride + k * place.kernel_dilation for k in range(width)] for u in range(tile)
    ]
    distinct = sorted(set(itertools.chain(*offsets)))
    if rows == "joined":
        pieces = _pieces(image, window, distinct, step=tile * place.stride, size=num_tiles)
        places = cotangent.shape[1:-2]
        read = [
            met(piece, row, window[:-1], sizes=places, first_axis=2)
            for row in itertools.product(*map(range, leading))
            for piece in pieces
        ]
    else:
        alone = last_alone(window)
        read = _pieces(image, alone, distinct, step=tile * place.stride, size=num_tiles)
        back = [p._replace(before=-p.before, kernel_dilation=-p.kernel_dilation) for p in window]
        parts = [cotangent] * math.prod(leading)
        parts = scattered(parts, leading, back[:-1], sizes=image.shape[1:-2])
        cotangent = jnp.concatenate(parts, -1)
    first = jnp.stack(read).reshape(len(read) * channels, -1)
    second = cotangent.reshape(-1, cotangent.shape[-1])
    products = lax.dot_general(first, second, (((1,), (0,)), ((), ())), precision=precision)
    if rows == "joined":
        products = products.reshape(-1, len(distinct), channels, tile, num_outputs)
    else:
        products = products.reshape(len(distinct), channels, -1, tile, num_outputs)
        products = jnp.moveaxis(products, 2, 0)
    found = [
        jnp.stack([products[:, distinct.index(offset), :, u] for offset in offsets[u]], 1)
        for u in range(tile)
    ]
    return functools.reduce(operator.add, found).reshape(*kernel_size, channels, num_outputs)


def _pieces(
    image: Array, window: Window, offsets: Sequence[int], *, step: int, size: int
) -> list[Float[Array, "C N *P M"]]:
    """Pad the image, and take every step-th element of its last axis from each offset on."""
    place = window[-1]
    length = -(-(offsets[-1] + 1 + (size - 1) * step) // step) * step
    after = length - image.shape[-2] - place.before
    image = pad(image, (*window[:-1], place._replace(after=after)))
    image = image.reshape(*image.shape[:-2], length // step, step, -1)
    image = jnp.moveaxis(image, (-2, -1), (0, 1))
    return [
        lax.slice_in_dim(image[offset % step], offset // step, offset // step + size, axis=-1)
        for offset in offsets
    ]
