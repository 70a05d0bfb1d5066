"""Convolution for networks: the call of lax, in programs fast on CPUs."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import AxisType
from jax.typing import ArrayLike
from jaxtyping import Array, Num

from conv_jax.multichannel.options import Options
from conv_jax.multichannel.placement import Placement
from conv_jax.multichannel.primitive import correlate

_OURS = ("float16", "bfloat16", "float32", "float64")


def conv_general_dilated(
    lhs: ArrayLike,
    rhs: ArrayLike,
    window_strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    lhs_dilation: Sequence[int] | None = None,
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: Any = None,
    feature_group_count: int = 1,
    batch_group_count: int = 1,
    precision: Any = None,
    preferred_element_type: Any = None,
    out_sharding: Any = None,
) -> Num[Array, "..."]:
    """Correlate images with channels; the same call as `jax.lax.conv_general_dilated`.

    On a CPU it takes matrix products, sums of shifted images or XLA's own convolution in its
    fast layout, whatever the shapes make fastest, and does so inside loops as well, where
    XLA alone takes a layout without a fast program (jax#12868). On other platforms it is XLA's
    convolution. Derivatives of both modes and any order, `jax.vmap` and sharding work alike.
    Complex numbers, integers, batch groups, more than three spatial axes, symbolic shapes of
    `jax.export` and meshes with explicit axes go to lax itself.

    Args:
      lhs: images, with a batch axis, a channel axis and the spatial axes.
      rhs: kernels, with axes of output and input channels and the spatial axes.
      window_strides: distance between outputs along every spatial axis.
      padding: "SAME", "SAME_LOWER", "VALID" or (before, after) pairs of zeros.
      lhs_dilation: distance between the elements of lhs; above 1 for transposed convolutions.
      rhs_dilation: distance between the elements of rhs; above 1 for dilated convolutions.
      dimension_numbers: the order of the axes, as ("NHWC", "HWIO", "NHWC"); lax's default is
        channels first.
      feature_group_count: groups of channels that are correlated apart.
      batch_group_count: groups of images that are correlated apart.
      precision: of the products on accelerators, as lax takes it.
      preferred_element_type: dtype of the sums and the result.
      out_sharding: of the result, on a mesh with explicit axes.

    Returns:
      The array that lax returns, to within rounding. On a CPU, an infinity or a NaN also reaches
      outputs and gradients next to those that see it, for some are multiplied by zeros there.

    Raises:
      TypeError, ValueError, RuntimeError: as lax does.

    >>> images, kernels = jnp.ones((2, 8, 8, 3)), jnp.ones((3, 3, 3, 4))
    >>> layout = ("NHWC", "HWIO", "NHWC")
    >>> conv_general_dilated(images, kernels, (1, 1), "SAME", dimension_numbers=layout).shape
    (2, 8, 8, 4)
    """
    by_lax = functools.partial(
        lax.conv_general_dilated,
        window_strides=window_strides,
        padding=padding,
        lhs_dilation=lhs_dilation,
        rhs_dilation=rhs_dilation,
        dimension_numbers=dimension_numbers,
        feature_group_count=feature_group_count,
        batch_group_count=batch_group_count,
        precision=precision,
        preferred_element_type=preferred_element_type,
        out_sharding=out_sharding,
    )
    lhs, rhs = jnp.asarray(lhs), jnp.asarray(rhs)
    meshes = [jax.typeof(array).sharding.mesh for array in (lhs, rhs)]
    meshes.append(jax.sharding.get_abstract_mesh())
    explicit = any(AxisType.Explicit in mesh.axis_types for mesh in meshes)
    symbolic = not all(isinstance(size, int) for size in (*lhs.shape, *rhs.shape))
    if explicit or symbolic or batch_group_count != 1 or out_sharding is not None:
        return by_lax(lhs, rhs)
    types = [jax.ShapeDtypeStruct(array.shape, array.dtype) for array in (lhs, rhs)]
    read = jax.make_jaxpr(by_lax)(*types)  # lax checks the call, and says all of it in one form
    (call,), (out,) = read.eqns, read.out_avals
    dtypes = {array.dtype.name for array in (lhs, rhs, out)}
    if not dtypes <= set(_OURS) or not 3 <= lhs.ndim <= 5:
        return by_lax(lhs, rhs)
    return _correlate(lhs, rhs, feature_group_count, dtype=out.dtype, **call.params)


def _correlate(
    lhs: Array,
    rhs: Array,
    groups: int,
    *,
    dtype: Any,
    dimension_numbers: lax.ConvDimensionNumbers,
    window_strides: Sequence[int],
    padding: Sequence[tuple[int, int]],
    lhs_dilation: Sequence[int],
    rhs_dilation: Sequence[int],
    precision: Any,
    **_: Any,
) -> Array:
    """Bring the axes into one order, correlate, and bring those of the result into theirs."""
    batch, channel, *spatial = dimension_numbers.lhs_spec
    images = lhs.transpose(batch, *spatial, channel)
    out_channel, in_channel, *spatial = dimension_numbers.rhs_spec
    kernels = rhs.transpose(*spatial, in_channel, out_channel)
    before, after = zip(*padding, strict=True)
    out = correlate(
        _in_groups(images, groups)[None],
        _in_groups(kernels, groups)[None],
        options=Options(
            window=tuple(map(Placement, window_strides, before, after, lhs_dilation, rhs_dilation)),
            precision=precision,
            dtypes=(lhs.dtype.name, rhs.dtype.name, dtype.name),
        ),
    )
    out = out.reshape(*out.shape[1:-2], out.shape[-2] * out.shape[-1])
    batch, channel, *spatial = dimension_numbers.out_spec
    return out.transpose(np.argsort((batch, *spatial, channel)))


def _in_groups(array: Array, groups: int) -> Array:
    """Split the last axis into groups."""
    return array.reshape(*array.shape[:-1], groups, array.shape[-1] // groups)
