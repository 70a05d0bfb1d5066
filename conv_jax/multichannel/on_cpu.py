"""Correlation on a CPU: reduce a call to a plain one, and compute that by the fastest program."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from conv_jax.multichannel import banded, choose, depthwise, native, phases, turned
from conv_jax.multichannel.apart import apart
from conv_jax.multichannel.choose import Form
from conv_jax.multichannel.moves import pad
from conv_jax.multichannel.options import Options
from conv_jax.multichannel.placement import (
    Placement,
    Window,
    of_image_gradient,
    of_kernel_gradient,
    output_sizes,
)

Compute = Callable[[Array, Array], Array]


def correlate(
    image: Float[Array, "N *S G C"],
    kernel: Float[Array, "*K C G O"],
    *,
    options: Options,
    alone: bool,
) -> Float[Array, "N *S_out G O"]:
    """Compute `primitive.correlate` of one problem, at least in float32, rounded once.

    Args:
      image: [N, *S, G, C].
      kernel: [*K, C, G, O].
      options: the primitive's.
      alone: whether the program is that of one device from the start.

    Returns:
      [N, *S', G, O].
    """
    window, dtype = options.window, options.dtypes[2]
    sizes = output_sizes(image.shape[1:-2], kernel.shape[:-3], window)
    if 0 in (*image.shape, *kernel.shape, *sizes):
        return jnp.zeros((image.shape[0], *sizes, *kernel.shape[-2:]), dtype)
    image, kernel = _widened(image, kernel)
    out = _correlate(image, kernel, window, precision=options.precision, alone=alone)
    return out.astype(dtype)


def kernel_gradient(
    image: Float[Array, "N *S G C"],
    cotangent: Float[Array, "N *S_out G O"],
    *,
    kernel_size: tuple[int, ...],
    options: Options,
    alone: bool,
) -> Float[Array, "*K C G O"]:
    """Compute `primitive.kernel_gradient` of one problem, at least in float32, rounded once.

    Args:
      image: [N, *S, G, C].
      cotangent: [N, *S', G, O].
      kernel_size: K.
      options: the primitive's.
      alone: whether the program is that of one device from the start.

    Returns:
      [*K, C, G, O].
    """
    window, dtype = options.window, options.dtypes[1]
    if 0 in (*image.shape, *cotangent.shape, *kernel_size):
        return jnp.zeros((*kernel_size, image.shape[-1], *cotangent.shape[-2:]), dtype)
    image, cotangent = _widened(image, cotangent)
    image, window = _cut(image, window, kernel_size=kernel_size)
    compute = functools.partial(
        _gradient, kernel_size=kernel_size, precision=options.precision, alone=alone
    )
    if all(place.image_dilation == 1 for place in window):
        gradient = compute(image, cotangent, window)
    elif all(place.stride == 1 for place in window):
        gradient = _exchanged(image, cotangent, window, kernel_size, compute=compute)
    else:
        gradient = gradient_by(
            Form("native"),
            image,
            cotangent,
            window=window,
            kernel_size=kernel_size,
            precision=options.precision,
        )
    return gradient.astype(dtype)


def correlate_by(
    form: Form,
    image: Float[Array, "N *S G C"],
    kernel: Float[Array, "*K C G O"],
    *,
    window: Window,
    precision: Any,
    alone: bool = True,
) -> Float[Array, "N *S_out G O"]:
    """Correlate by one program.

    Args:
      form: the program.
      image: [N, *S, G, C].
      kernel: [*K, C, G, O].
      window: how they lie on each other, with no dilation of the image but for "native".
      precision: of the products.
      alone: whether the program is that of one device from the start.

    Returns:
      [N, *S', G, O].
    """
    if form.name == "native":
        return native.plain(image, kernel, window=window, precision=precision, dtype=image.dtype)
    if form.name == "depthwise":
        compute = functools.partial(depthwise.correlate, window=window)
        return _call(compute, image[..., 0], kernel[..., 0, :, :], alone=alone)
    compute = functools.partial(
        banded.correlate, window=window, tile=form.tile, rows=form.rows, precision=precision
    )
    return _each_group(compute, image, kernel, alone=alone)


def gradient_by(
    form: Form,
    image: Float[Array, "N *S G C"],
    cotangent: Float[Array, "N *S_out G O"],
    *,
    window: Window,
    kernel_size: tuple[int, ...],
    precision: Any,
    alone: bool = True,
) -> Float[Array, "*K C G O"]:
    """Compute the gradient of a kernel by one program.

    Args:
      form: the program.
      image: [N, *S, G, C].
      cotangent: [N, *S', G, O].
      window: how they lie on each other, with no dilation of the image but for "native".
      kernel_size: K.
      precision: of the products.
      alone: whether the program is that of one device from the start.

    Returns:
      [*K, C, G, O].
    """
    if form.name == "native":
        places = map(of_kernel_gradient, image.shape[1:-2], kernel_size, window)
        gradient = native.plain(
            image.swapaxes(0, -1),  # channels for images, and images for channels
            jnp.moveaxis(cotangent, 0, -3),
            window=tuple(places),
            precision=precision,
            dtype=image.dtype,
        )
        return jnp.moveaxis(gradient, 0, -3)
    if form.name == "depthwise":
        compute = functools.partial(
            depthwise.kernel_gradient, window=window, kernel_size=kernel_size
        )
        return _call(compute, image[..., 0], cotangent, alone=alone)[..., None, :, :]
    compute = functools.partial(
        turned.kernel_gradient,
        window=window,
        kernel_size=kernel_size,
        tile=form.tile,
        rows=form.rows,
        precision=precision,
    )
    return _each_group(compute, image, cotangent, alone=alone)


def _correlate(
    image: Array, kernel: Array, window: Window, *, precision: Any, alone: bool
) -> Array:
    """Choose a program and correlate by it, phase by phase where the image is dilated."""
    image, window = _cut(image, window, kernel_size=kernel.shape[:-3])
    if any(place.image_dilation > 1 for place in window):
        if phases.can_split(window):
            again = functools.partial(_correlate, precision=precision, alone=alone)
            return phases.correlate(image, kernel, window=window, compute=again)
        form = Form("native")
    else:
        form = choose.choose(choose.describe(image.shape, kernel.shape, window), gradient=False)
    return correlate_by(form, image, kernel, window=window, precision=precision, alone=alone)


def _gradient(
    image: Array,
    cotangent: Array,
    window: Window,
    *,
    kernel_size: tuple[int, ...],
    precision: Any,
    alone: bool,
) -> Array:
    """Choose a program and compute the gradient of a kernel by it."""
    kernel_shape = (*kernel_size, image.shape[-1], *cotangent.shape[-2:])
    problem = choose.describe(image.shape, kernel_shape, window)
    return gradient_by(
        choose.choose(problem, gradient=True),
        image,
        cotangent,
        window=window,
        kernel_size=kernel_size,
        precision=precision,
        alone=alone,
    )


def _widened(image: Array, other: Array) -> tuple[Array, Array]:
    dtype = jnp.promote_types(jnp.promote_types(image.dtype, other.dtype), jnp.float32)
    return image.astype(dtype), other.astype(dtype)


def _each_group(compute: Compute, image: Array, other: Array, *, alone: bool) -> Array:
    """Compute without an axis of groups, once for each; in and out it is the last but one."""
    if image.shape[-2] == 1:
        return _call(compute, image[..., 0, :], other[..., 0, :], alone=alone)[..., None, :]
    return _call(jax.vmap(compute, in_axes=-2, out_axes=-2), image, other, alone=alone)


def _call(compute: Compute, image: Array, other: Array, *, alone: bool) -> Array:
    return (apart(compute) if alone else compute)(image, other)


def _cut(image: Array, window: Window, *, kernel_size: tuple[int, ...]) -> tuple[Array, Window]:
    """Cut the image where a pad is negative, or where a kernel of one element leaves it out."""
    cuts, slices, places = [], [slice(None)], []
    for place, size, width in zip(window, image.shape[1:-2], kernel_size, strict=True):
        cut, whole = Placement(), slice(None)
        is_one = width == 1 and place.image_dilation == 1
        if is_one or (place.image_dilation == 1 and min(place.before, place.after) < 0):
            cut = Placement(before=place.before, after=place.after)
            place = place._replace(before=0, after=0)
        if is_one:
            whole = slice(0, size + cut.before + cut.after, place.stride)
            place = Placement()
        cuts.append(cut)
        slices.append(whole)
        places.append(place)
    flat = image.reshape(*image.shape[:-2], image.shape[-2] * image.shape[-1])
    flat = pad(flat, cuts)[tuple(slices)]
    return flat.reshape(*flat.shape[:-1], *image.shape[-2:]), tuple(places)


def _exchanged(
    image: Array,
    cotangent: Array,
    window: Window,
    kernel_size: tuple[int, ...],
    *,
    compute: Callable[[Array, Array, Window], Array],
) -> Array:
    """Take the cotangent for the image: the gradient is flipped, and dilation becomes stride.

    out[k] = sum_u image[u] cotangent[u d - k e + p], for an image dilated by d
    """
    places = map(of_image_gradient, image.shape[1:-2], kernel_size, window)
    cotangent, window = _cut(cotangent, tuple(places), kernel_size=kernel_size)
    gradient = compute(cotangent, image, window)
    return jnp.flip(gradient, range(len(window))).swapaxes(-3, -1)
