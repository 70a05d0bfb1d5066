"""Correlation as matrix products with a band: several neighbouring outputs at a time.

A tile of T outputs along the last spatial axis reads E = (T - 1) stride + (kW - 1) dilation + 1
inputs, so a row of the kernel takes it as a product with a matrix [E C, T O] that holds the row T
times, each time one stride lower. That is a fraction of E / (T kW) more arithmetic than needed, in
products wide enough to run at the speed of large ones, from a copy of the image that is only
E / (T stride) times as large.
"""

import functools
import itertools
import operator
from typing import Any

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from conv_jax.multichannel.moves import last_alone, met, pad, scattered
from conv_jax.multichannel.placement import Placement, Window, extent, output_sizes


def correlate(
    image: Float[Array, "N *S C"],
    kernel: Float[Array, "*K C O"],
    *,
    window: Window,
    tile: int,
    rows: str,
    precision: Any,
) -> Float[Array, "N *S_out O"]:
    """Correlate by products with the bands of the kernel's rows.

    Args:
      image: [N, *S, C], with no dilation.
      kernel: [*K, C, O].
      window: how they lie on each other.
      tile: T, outputs along the last axis that are computed together.
      rows: "joined": the rows of the window lie beside each other, and one product sums over
        them; "scattered": one product of every row of the image with all rows of the kernel,
        whose parts are added where they belong; for a stride of 1 along all other axes.
      precision: of the products.

    Returns:
      [N, *S', O].
    """
    sizes = output_sizes(image.shape[1:-1], kernel.shape[:-2], window)
    num_tiles, width = -(-sizes[-1] // tile), kernel.shape[-3]
    bands = _bands(kernel, window[-1], tile)
    cut = functools.partial(_tiles, image, width, tile=tile, num_tiles=num_tiles)
    if rows == "joined":
        tiles, leading = cut(window), itertools.product(*map(range, kernel.shape[:-3]))
        slices = [met(tiles, row, window[:-1], sizes=sizes[:-1]) for row in leading]
        bands = bands.reshape(-1, bands.shape[-1])
        out = _times(jnp.concatenate(slices, -1), bands, precision=precision)
    else:
        bands = jnp.moveaxis(bands.reshape(-1, *bands.shape[-2:]), 0, 1)
        parts = _times(cut(last_alone(window)), bands, precision=precision)
        parts = [parts[..., i, :] for i in range(parts.shape[-2])]
        moved = scattered(parts, kernel.shape[:-3], window[:-1], sizes=sizes[:-1])
        out = functools.reduce(operator.add, moved)
    out = out.reshape(*out.shape[:-2], num_tiles * tile, kernel.shape[-1])
    return out[..., : sizes[-1], :]


def _bands(kernel: Array, place: Placement, tile: int) -> Float[Array, "*K EC TO"]:
    """Lay the kernel's last axis down the columns of a band: [*K, E C, T O]."""
    width = kernel.shape[-3]
    reach = (tile - 1) * place.stride + extent(width, place.kernel_dilation)
    columns = []
    for u in range(tile):
        low = u * place.stride
        high = reach - low - extent(width, place.kernel_dilation)
        config = [(0, 0, 0)] * kernel.ndim
        config[-3] = (low, high, place.kernel_dilation - 1)
        columns.append(lax.pad(kernel, jnp.zeros((), kernel.dtype), config))
    bands = jnp.stack(columns, -2)
    return bands.reshape(*kernel.shape[:-3], reach * kernel.shape[-2], -1)


def _tiles(
    image: Array, width: int, window: Window, *, tile: int, num_tiles: int
) -> Float[Array, "N *P M EC"]:
    """Pad all spatial axes, and cut the last into overlapping tiles of E elements."""
    channels, place = image.shape[-1], window[-1]
    step = tile * place.stride
    reach = (tile - 1) * place.stride + extent(width, place.kernel_dilation)
    num_pieces = -(-reach // step)
    after = (num_tiles + num_pieces - 1) * step - image.shape[-2] - place.before
    image = pad(image, (*window[:-1], place._replace(after=after)))
    blocks = image.reshape(*image.shape[:-2], -1, step * channels)
    pieces = [blocks[..., i : i + num_tiles, :] for i in range(num_pieces)]
    pieces[-1] = pieces[-1][..., : (reach - (num_pieces - 1) * step) * channels]
    return jnp.concatenate(pieces, -1)


def _times(image: Array, bands: Array, *, precision: Any) -> Array:
    """Sum over the last axis of the image and the first of the bands."""
    sums = (((image.ndim - 1,), (0,)), ((), ()))
    return lax.dot_general(image, bands, sums, precision=precision)
