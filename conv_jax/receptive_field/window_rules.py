"""What convolutions and pools see: windows that move along axes."""

from collections.abc import Sequence
from typing import Any

from conv_jax.multichannel.placement import Placement
from conv_jax.receptive_field.axis_map import (
    AxisMap,
    Shape,
    lone,
    transposed,
    union,
    united,
    window,
)
from conv_jax.receptive_field.calls import Call, everything, shape_of


def reduce_window(call: Call) -> AxisMap:
    """Return the map of a pool, of one array or several of one shape."""
    if any(shape != call.shape for _, shape in call.operands):  # a start that pixels change
        return everything(call)
    names = ("window_strides", "padding", "base_dilation", "window_dilation")
    places = _places(*(call.params[name] for name in names))
    x = union([x for x, _ in call.operands])
    sizes = call.params["window_dimensions"]
    return _windows(x, call.shape, call.result_shape, range(len(sizes)), sizes=sizes, places=places)


def conv_general_dilated(call: Call) -> AxisMap:
    """Return the map of lax's convolution, with its axes in any order."""
    params, numbers = call.params, call.params["dimension_numbers"]
    kernel = shape_of(call.eqn.invars[1])
    names = ("window_strides", "padding", "lhs_dilation", "rhs_dilation")
    order = [0] * len(kernel)  # the axis of the images that each axis of the result comes from
    for axis, place in zip(numbers.lhs_spec, numbers.out_spec, strict=True):
        order[place] = axis
    batch, channel, *spatial = numbers.lhs_spec
    return _correlated(
        call,
        summed=[channel] if params["batch_group_count"] == 1 else [batch, channel],
        spatial=spatial,
        sizes=[kernel[axis] for axis in numbers.rhs_spec[2:]],
        places=_places(*(params[name] for name in names)),
        order=order,
    )


def corr2d(call: Call) -> AxisMap:
    """Return the map of our correlation: [G, N, C, H, W] -> [G, N, O, H', W']."""
    names = ("stride", "pads", "image_dilation", "dilation")
    return _correlated(
        call,
        summed=[2],
        spatial=[3, 4],
        sizes=shape_of(call.eqn.invars[1])[-2:],
        places=_places(*(call.params[name] for name in names)),
        order=range(5),
    )


def correlate_channels(call: Call) -> AxisMap:
    """Return the map of our correlation with channels: [B, N, *S, G, C] -> [B, N, *S', G, O]."""
    rank = len(call.shape)
    return _correlated(
        call,
        summed=[rank - 1],
        spatial=range(2, rank - 2),
        sizes=shape_of(call.eqn.invars[1])[1:-3],
        places=call.params["options"].window,
        order=range(rank),
    )


def _correlated(
    call: Call,
    *,
    summed: Sequence[int],
    spatial: Sequence[int],
    sizes: Sequence[int],
    places: Sequence[Placement],
    order: Sequence[int],
) -> AxisMap:
    """Return what images behind a kernel see; a kernel that pixels change adds all it sees.

    Args:
      call: of images and kernels.
      summed: the axes of the images that every output sums over.
      spatial: the axes that the kernel moves along.
      sizes: elements of the kernel along each.
      places: how it lies on each.
      order: the axis of the images that each axis of the result comes from.
    """
    images, kernels = call.maps
    seen = []
    if images is not None:
        x = transposed(united(images, summed, call.shape), order)
        shape = tuple(call.shape[axis] for axis in order)
        axes = [list(order).index(axis) for axis in spatial]
        seen.append(_windows(x, shape, call.result_shape, axes, sizes=sizes, places=places))
    if kernels is not None:
        seen.append(lone(kernels, shape_of(call.eqn.invars[1]), len(order)))
    return union(seen)


def _windows(
    x: AxisMap,
    shape: Shape,
    result_shape: Shape,
    axes: Sequence[int],
    *,
    sizes: Sequence[int],
    places: Sequence[Placement],
) -> AxisMap:
    """Move a window along each of some axes."""
    for axis, size, place in zip(axes, sizes, places, strict=True):
        x = window(x, axis, size, place=place, length=shape[axis], count=result_shape[axis])
    return x


def _places(
    strides: Sequence[int], pads: Any, by_image: Sequence[int], by_kernel: Sequence[int]
) -> list[Placement]:
    rows = zip(strides, pads, by_image, by_kernel, strict=True)
    return [Placement(s, before, after, *dilations) for s, (before, after), *dilations in rows]
