"""Correlation as a primitive of JAX: what it gives, its derivatives, its batches, its programs.

    out[g, n, o, i, j] = sum_{c, a, b} image[g, n, c, i s + a d, j s + b d] * kernel[g, o, c, a, b]

with groups g, images n, kernels o and channels c, and the image extended with zeros. It is linear
in the image and in the kernel, and both transposes are correlations again; so forward and
reverse mode, of any order, and `jax.vmap` over images (more n), over kernels (more o) or over
both (more g) all end here, and are computed by the algorithms that compute values.
"""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array, Num

from conv_jax import padding, sharding
from conv_jax.algorithms import ALGORITHMS, ON_CPU
from conv_jax.algorithms.choose import choose
from conv_jax.batches import fold, merge
from conv_jax.padding import Pads, Pair

Shape = tuple[int, ...]
Axis = Any  # an index, None for an argument without a batch axis
Transposed = Any  # what JAX puts for the argument that a gradient is by: it has the aval alone


def correlate(
    image: Num[Array, "G N C H W"],
    kernel: Num[Array, "G O C kH kW"],
    *,
    stride: Pair,
    dilation: Pair,
    pads: Pads,
    algorithm: str,
    image_dilation: Pair = (1, 1),
) -> Num[Array, "G N O H_out W_out"]:
    """Correlate every image with every kernel of its group, summing over channels.

    Args:
      image: [G, N, C, H, W], of the dtype in which sums are kept.
      kernel: [G, O, C, kH, kW], of the same.
      stride: rows and columns moved per output.
      dilation: distance between kernel elements.
      pads: zeros around the image once dilated; negative ones cut it.
      algorithm: a name in `ALGORITHMS`, or "auto": chosen when the program is lowered.
      image_dilation: distance between pixels, with zeros between them and behind the last one,
        so that all rows of a sharded image grow alike; in the gradient of a strided correlation.

    Returns:
      [G, N, O, H', W'].
    """
    image, kernel = sharding.varying_alike(image, kernel)
    return _correlate_p.bind(
        image,
        kernel,
        stride=stride,
        dilation=dilation,
        image_dilation=image_dilation,
        pads=pads,
        algorithm=algorithm,
    )


def _output_shape(
    image: Shape, kernel: Shape, *, stride: Pair, dilation: Pair, image_dilation: Pair, pads: Pads
) -> Shape:
    extent = padding.kernel_extent(kernel[-2:], dilation)
    size = (
        (n * factor + sum(pad) - e) // s + 1
        for n, factor, pad, e, s in zip(
            image[-2:], image_dilation, pads, extent, stride, strict=True
        )
    )
    return (*image[:2], kernel[1], *size)


def _abstract(
    image: ShapedArray, kernel: ShapedArray, *, algorithm: str, **options: Any
) -> ShapedArray:
    del algorithm
    shape = _output_shape(image.shape, kernel.shape, **options)
    return image.update(shape=shape, sharding=sharding.of_output(image, kernel, shape))


def _compute(
    image: Array,
    kernel: Array,
    *,
    algorithm: str,
    platform: str,
    image_dilation: Pair,
    pads: Pads,
    **options: Any,
) -> Array:
    """Compute by the algorithm chosen for a platform: this is what XLA gets to see."""
    for axis, factor in zip((-2, -1), image_dilation, strict=True):
        image = padding.upsample(image, factor, axis=axis)
    image, pads = _cut(image, pads)
    options["pads"] = pads
    if 0 in (*image.shape[:3], *kernel.shape[:2]):
        shape = _output_shape(image.shape, kernel.shape, image_dilation=(1, 1), **options)
        return jnp.zeros(shape, image.dtype)
    if algorithm == "auto":
        algorithm = choose(
            image.shape, kernel.shape, dtype=image.dtype, platform=platform, **options
        )
    implementations = ALGORITHMS | ON_CPU if platform == "cpu" else ALGORITHMS
    return implementations[algorithm](image, kernel, **options)


def _cut(image: Array, pads: Pads) -> tuple[Array, Pads]:
    """Cut the image where a pad is negative, by more than all of it if need be."""
    config, rest = [(0, 0, 0)] * 3, []
    for before, after in pads:
        cuts = min(before, after) < 0
        config.append((before, after, 0) if cuts else (0, 0, 0))
        rest.append((0, 0) if cuts else (before, after))
    if any(map(any, config)):
        image = lax.pad(image, jnp.zeros((), image.dtype), config)
    return image, (rest[0], rest[1])


def _transpose_image(
    cotangent: Array,
    image: Transposed,
    kernel: Array,
    *,
    stride: Pair,
    dilation: Pair,
    image_dilation: Pair,
    pads: Pads,
    algorithm: str,
) -> Array:
    """Spread each output over its window: a full correlation with the flipped kernel."""
    size, reach = image.aval.shape[-2:], padding.kernel_extent(kernel.shape[-2:], dilation)
    before = [e - 1 - pad[0] for e, pad in zip(reach, pads, strict=True)]
    after = [
        (size[i] - 1) * image_dilation[i]
        + reach[i]
        - cotangent.shape[i - 2] * stride[i]
        - before[i]
        for i in (0, 1)
    ]
    gradient = correlate(
        cotangent,
        jnp.flip(kernel, (-2, -1)).swapaxes(1, 2),
        stride=image_dilation,
        dilation=dilation,
        image_dilation=stride,
        pads=((before[0], after[0]), (before[1], after[1])),
        algorithm=algorithm,
    )
    return sharding.like(image.aval, gradient)


def _transpose_kernel(
    cotangent: Array,
    image: Array,
    kernel: Transposed,
    *,
    stride: Pair,
    dilation: Pair,
    image_dilation: Pair,
    pads: Pads,
    algorithm: str,
) -> Array:
    """Correlate the images with the cotangents, stride and dilation exchanged."""
    reach = padding.kernel_extent(kernel.aval.shape[-2:], dilation)
    spread = padding.kernel_extent(cotangent.shape[-2:], stride)
    after = [
        reach[i] + spread[i] - 1 - pads[i][0] - image.shape[i - 2] * image_dilation[i]
        for i in (0, 1)
    ]
    gradient = correlate(
        image.swapaxes(1, 2),
        cotangent.swapaxes(1, 2),
        stride=dilation,
        dilation=stride,
        image_dilation=image_dilation,
        pads=((pads[0][0], after[0]), (pads[1][0], after[1])),
        # One term for each output is too many for "shifted" to write out.
        algorithm="auto" if algorithm == "shifted" else algorithm,
    )
    return sharding.like(kernel.aval, gradient.swapaxes(1, 2))


def _batch(arrays: Sequence[Array], axes: Sequence[Axis], **options: Any) -> tuple[Array, int]:
    image, kernel = arrays
    image_axis, kernel_axis = axes
    if kernel_axis is None:
        return fold(
            image, image_axis, 1, compute=lambda x: correlate(x, kernel, **options), out_axis=1
        )
    if image_axis is None:
        return fold(
            kernel, kernel_axis, 1, compute=lambda k: correlate(image, k, **options), out_axis=2
        )
    kernel = merge(kernel, kernel_axis, 0)
    return fold(image, image_axis, 0, compute=lambda x: correlate(x, kernel, **options), out_axis=0)


def _evaluate(image: Array, kernel: Array, **options: Any) -> Array:
    """Compute outside jit: as a program of its own, under `jax.disable_jit` too."""
    with jax.disable_jit(False):
        return _program(image, kernel, **options)


_correlate_p = Primitive("corr2d")
_program = functools.partial(
    jax.jit, static_argnames=("stride", "dilation", "image_dilation", "pads", "algorithm")
)(_correlate_p.bind)
_correlate_p.def_impl(_evaluate)
_correlate_p.def_abstract_eval(_abstract)
ad.defbilinear(_correlate_p, _transpose_image, _transpose_kernel)
batching.primitive_batchers[_correlate_p] = _batch
for _platform in ("cpu", "default"):
    mlir.register_lowering(
        _correlate_p,
        functools.partial(sharding.lower, compute=_compute, platform=_platform),
        platform=None if _platform == "default" else _platform,
    )
