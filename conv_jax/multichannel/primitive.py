"""Correlation of images with channels as two primitives of JAX: derivatives, batches, programs.

    out[b, n, y, g, o] = sum_{k, c} image[b, n, y s + k d - p, g, c] * kernel[b, k, c, g, o]

with problems b, images n, groups g, channels c in and o out, and places y and k on one to three
spatial axes, the image extended with zeros. One primitive gives `out`; the other the gradient of
the kernel, the same sum over n and y instead, with a cotangent for `out`. Both are linear in both
arguments, and the four transposes are these two again:

    of             with respect to the image         with respect to the other argument
    correlate      correlate, the kernel flipped     kernel_gradient
    kernel_gradient  correlate, the same             correlate

So forward and reverse mode, of any order, and `jax.vmap` over either argument (more n, c or o) or
over both (more b) all end here, and XLA meets one layout alone, the one that its CPU compiler is
fast in, inside loops and outside.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array, Float

from conv_jax import sharding
from conv_jax.batches import fold, merge
from conv_jax.multichannel import native, on_cpu
from conv_jax.multichannel.options import Options
from conv_jax.multichannel.placement import of_image_gradient, output_sizes

Compute = Callable[..., Array]
Axis = Any  # an index, None for an argument without a batch axis
Transposed = Any  # what JAX puts for the argument that a gradient is by: it has the aval alone


def correlate(
    image: Float[Array, "B N *S G C"], kernel: Float[Array, "B *K C G O"], *, options: Options
) -> Float[Array, "B N *S_out G O"]:
    """Correlate every image with the kernels of its problem and group, summing over channels.

    Args:
      image: [B, N, *S, G, C], with one to three spatial axes.
      kernel: [B, *K, C, G, O].
      options: the window, the precision and the dtypes.

    Returns:
      [B, N, *S', G, O].
    """
    image, kernel = sharding.varying_alike(image, kernel)
    return _correlate_p.bind(image, kernel, options=options)


def kernel_gradient(
    image: Float[Array, "B N *S G C"],
    cotangent: Float[Array, "B N *S_out G O"],
    *,
    kernel_size: tuple[int, ...],
    options: Options,
) -> Float[Array, "B *K C G O"]:
    """Return the gradient of the kernel of `correlate`.

    Args:
      image: [B, N, *S, G, C].
      cotangent: [B, N, *S', G, O].
      kernel_size: K.
      options: those of `correlate`.

    Returns:
      [B, *K, C, G, O].
    """
    image, cotangent = sharding.varying_alike(image, cotangent)
    return _gradient_p.bind(image, cotangent, kernel_size=kernel_size, options=options)


def _abstract_correlate(
    image: ShapedArray, kernel: ShapedArray, *, options: Options
) -> ShapedArray:
    sizes = output_sizes(image.shape[2:-2], kernel.shape[1:-3], options.window)
    shape = (*image.shape[:2], *sizes, *kernel.shape[-2:])
    return _like(image, kernel, shape, options.dtypes[2])


def _abstract_gradient(
    image: ShapedArray, cotangent: ShapedArray, *, kernel_size: tuple[int, ...], options: Options
) -> ShapedArray:
    shape = (image.shape[0], *kernel_size, image.shape[-1], *cotangent.shape[-2:])
    return _like(image, cotangent, shape, options.dtypes[1])


def _like(
    image: ShapedArray, other: ShapedArray, shape: tuple[int, ...], dtype: str
) -> ShapedArray:
    weak = image.weak_type and other.weak_type
    return image.update(shape=shape, dtype=jnp.dtype(dtype), weak_type=weak)


def _image_gradient(cotangent: Array, image: Transposed, kernel: Array, options: Options) -> Array:
    """Spread each output over its window: a full correlation with the flipped kernel."""
    sizes = image.aval.shape[2:-2], kernel.shape[1:-3]
    by_image, by_kernel, by_output = options.dtypes
    return correlate(
        cotangent,
        jnp.flip(kernel, range(1, 1 + len(options.window))).swapaxes(-3, -1),
        options=options._replace(
            window=tuple(map(of_image_gradient, *sizes, options.window)),
            dtypes=(by_output, by_kernel, by_image),
        ),
    )


def _correlate_by_image(
    cotangent: Array, image: Transposed, kernel: Array, *, options: Options
) -> Array:
    return _image_gradient(cotangent, image, kernel, options)


def _correlate_by_kernel(
    cotangent: Array, image: Array, kernel: Transposed, *, options: Options
) -> Array:
    size = kernel.aval.shape[1:-3]
    return kernel_gradient(image, cotangent, kernel_size=size, options=options)


def _gradient_by_image(
    kernel: Array,
    image: Transposed,
    cotangent: Array,
    *,
    kernel_size: tuple[int, ...],
    options: Options,
) -> Array:
    del kernel_size
    return _image_gradient(cotangent, image, kernel, options)


def _gradient_by_cotangent(
    kernel: Array,
    image: Array,
    cotangent: Transposed,
    *,
    kernel_size: tuple[int, ...],
    options: Options,
) -> Array:
    del kernel_size, cotangent
    return correlate(image, kernel, options=options)


def _batch(
    arrays: Sequence[Array],
    axes: Sequence[Axis],
    *,
    compute: Compute,
    image_axes: tuple[int, int],
    other_axes: tuple[int, int],
    **options: Any,
) -> tuple[Array, int]:
    """Merge a batch into an axis of the one that has it; if both do, into that of problems.

    Args:
      arrays: the image and the other argument.
      axes: their batch axes, or None.
      compute: the primitive.
      image_axes: the image's axis to merge into, and the result's that it becomes.
      other_axes: the same for the other argument.
      **options: the primitive's.
    """
    image, other = arrays
    image_axis, other_axis = axes
    if other_axis is None:
        into, out = (axis % (image.ndim - 1) for axis in image_axes)
        return fold(
            image, image_axis, into, compute=lambda x: compute(x, other, **options), out_axis=out
        )
    if image_axis is None:
        into, out = (axis % (other.ndim - 1) for axis in other_axes)
        return fold(
            other, other_axis, into, compute=lambda k: compute(image, k, **options), out_axis=out
        )
    other = merge(other, other_axis, 0)
    return fold(image, image_axis, 0, compute=lambda x: compute(x, other, **options), out_axis=0)


def _lower_on_cpu(
    ctx: mlir.LoweringRuleContext, *arrays: Any, compute: Compute, **options: Any
) -> Any:
    """Lower for a CPU, which is told whether the program is one device's from the start."""
    alone = _is_of_one_device(ctx.module_context.axis_context)
    compute = functools.partial(_problems, compute=compute, alone=alone, **options)
    return mlir.lower_fun(compute, multiple_results=False)(ctx, *arrays)


def _is_of_one_device(context: Any) -> bool:
    """Tell whether XLA is to divide nothing: for one device, or where `shard_map` has done it."""
    if hasattr(context, "manual_axes"):
        return context.manual_axes == frozenset(context.mesh.axis_names)
    return getattr(context, "num_devices", 0) == 1


def _problems(image: Array, other: Array, *, compute: Compute, **options: Any) -> Array:
    """Compute one problem as it is, several as a batch."""
    compute = functools.partial(compute, **options)
    if image.shape[0] == 1:
        return compute(image[0], other[0])[None]
    return jax.vmap(compute)(image, other)


def _evaluate(*arrays: Array, program: Compute, **options: Any) -> Array:
    """Compute outside jit: as a program of its own, under `jax.disable_jit` too."""
    with jax.disable_jit(False):
        return program(*arrays, **options)


def _define(
    name: str,
    abstract: Callable[..., ShapedArray],
    transposes: tuple[Compute, Compute],
    batch: Callable[..., tuple[Array, int]],
    lowerings: tuple[Compute, Compute],
) -> Primitive:
    """Make a primitive: bilinear, batched, computed by one function on CPUs and one elsewhere."""
    primitive = Primitive(name)
    program = jax.jit(primitive.bind, static_argnames=("kernel_size", "options"))
    primitive.def_impl(functools.partial(_evaluate, program=program))
    primitive.def_abstract_eval(abstract)
    ad.defbilinear(primitive, *transposes)
    batching.primitive_batchers[primitive] = batch
    on_cpu_, elsewhere = lowerings
    mlir.register_lowering(
        primitive, functools.partial(_lower_on_cpu, compute=on_cpu_), platform="cpu"
    )
    elsewhere = functools.partial(_problems, compute=elsewhere)
    mlir.register_lowering(primitive, mlir.lower_fun(elsewhere, multiple_results=False))
    return primitive


_correlate_p = _define(
    "correlate_channels",
    _abstract_correlate,
    (_correlate_by_image, _correlate_by_kernel),
    functools.partial(_batch, compute=correlate, image_axes=(1, 1), other_axes=(-1, -1)),
    (on_cpu.correlate, native.correlate),
)
_gradient_p = _define(
    "correlate_channels_kernel_gradient",
    _abstract_gradient,
    (_gradient_by_image, _gradient_by_cotangent),
    functools.partial(_batch, compute=kernel_gradient, image_axes=(-1, -3), other_axes=(-1, -1)),
    (on_cpu.kernel_gradient, native.kernel_gradient),
)
