"""How much each pixel really matters to an output: gradients, averaged over images."""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float

from conv_jax import dtypes
from conv_jax.padding import Pair
from conv_jax.receptive_field.fields import check_position
from conv_jax.receptive_field.jaxpr import check_axes
from conv_jax.receptive_field.lattice import Span

_WITHIN = 0.9545  # of a normal distribution lies within two standard deviations
_COTANGENTS = ("ones", "normal")


class EffectiveField(NamedTuple):
    """How much the pixels matter to one output, and measures of how far that reaches.

    They are those of a distribution over pixels, the gradient divided by its sum.
    """

    gradient: Float[np.ndarray, "H W"]  # mean magnitude over images, summed over channels
    position: tuple[int, ...]  # the output; () for a function without rows and columns
    support: tuple[Span, Span] | None  # first and last row, and column, with a gradient not 0
    centre: tuple[float, float]  # mean row and column
    radius: float  # root mean square distance from the centre, in pixels
    side: int  # of the smallest square of pixels, wherever it lies, with 95.45 % of it all
    root_area: float  # square root of the number of pixels above 4.55 % of the largest


def effective_receptive_field(
    fn: Callable[[Any], Any],
    image_shape: Sequence[int],
    *,
    position: Sequence[int] | None = None,
    images: Float[Array, "S *shape"] | Float[np.ndarray, "S *shape"] | None = None,
    num_images: int = 32,
    cotangent: str = "ones",
    seed: int = 0,
    spatial_axes: Sequence[int] | None = None,
) -> EffectiveField:
    """Measure how much each pixel matters to one output, by gradients averaged over images.

    mean over images of |d sum_c g_c output[row, column, c] / d image|, added over the image's
    channels. Luo, Li, Urtasun and Zemel, "Understanding the Effective Receptive Field in Deep
    Convolutional Neural Networks" (NeurIPS 2016), found it near a Gaussian whose width grows as
    the square root of the depth, so much smaller than the whole field. They measure it by
    `root_area`.

    Args:
      fn: of one array, a Flax module for instance; one array out. A `jax.tree_util.Partial` of a
        function and its parameters is compiled once for parameters of one shape. A pixel that no
        image shows to matter (behind a ReLU that is never active) has no gradient; `from_model`
        finds it all the same.
      image_shape: shape of that array: [..., H, W, C] or [H, W].
      position: (row, column) of the output; None is the middle, and the whole output where fn
        has no rows and columns left, as in logits.
      images: [S, *image_shape], those to average over; None draws normal numbers.
      num_images: how many to draw.
      cotangent: "ones" adds the channels of the output; "normal" weights them by normal numbers,
        drawn anew for each image, so that no two cancel for all.
      seed: of what is drawn.
      spatial_axes: the axes of rows and columns, in images and outputs; None takes the two before
        the last, or both of [H, W].

    Returns:
      An `EffectiveField`.

    Raises:
      ValueError: for a position outside the outputs, images of another shape, or a word or number
        out of range.

    >>> from conv_jax import corr2d
    >>> blur = lambda image: corr2d(corr2d(image, jnp.ones((2, 2))), jnp.ones((2, 2)))
    >>> effective_receptive_field(blur, (3, 3)).gradient.tolist()  # 16 paths
    [[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]]
    """
    shape = tuple(image_shape)
    axes = check_axes(shape, spatial_axes)
    if len(axes) != 2:
        raise ValueError(f"spatial_axes: expected two, rows and columns, got {axes}")
    if cotangent not in _COTANGENTS:
        raise ValueError(f"cotangent: expected one of {', '.join(_COTANGENTS)}, got {cotangent!r}")
    images = None if images is None else dtypes.as_array("images", images)
    if images is not None and not jnp.issubdtype(images.dtype, jnp.floating):
        raise ValueError(f"images: expected floats, which have gradients, got {images.dtype}")
    if images is not None and tuple(images.shape[1:]) != shape:
        expected = f"(S, {', '.join(map(str, shape))})"
        raise ValueError(f"images: expected shape {expected}, got {tuple(images.shape)}")
    count = num_images if images is None else len(images)
    if not isinstance(count, int) or count < 1:
        name = "num_images" if images is None else "images"
        raise ValueError(f"{name}: expected a whole number of at least 1 of them, got {count}")
    dtype = jnp.float32 if images is None else images.dtype
    function = fn if isinstance(fn, Partial) else Partial(lambda image: fn(image))
    output = jax.eval_shape(function, jax.ShapeDtypeStruct(shape, dtype))
    if not hasattr(output, "shape"):
        raise ValueError(f"fn: expected one array out, got {type(output).__name__}")
    place = _place(output.shape, shape, axes, position)
    total = np.zeros([shape[axis] for axis in axes])
    for index in range(count):
        image_key, key = jax.random.split(jax.random.fold_in(jax.random.key(seed), index))
        image = jax.random.normal(image_key, shape) if images is None else images[index]
        magnitudes = _magnitudes(
            key, function, image, place=place, axes=axes, weighted=cotangent == "normal"
        )
        total += np.asarray(magnitudes, np.float64)
    return measured(total / count, position=place)


def measured(
    gradient: Float[np.ndarray, "H W"], *, position: tuple[int, ...] = ()
) -> EffectiveField:
    """Measure how far a map of magnitudes reaches.

    Args:
      gradient: [H, W], at least 0.
      position: of the output that it belongs to.

    Returns:
      An `EffectiveField`; of a map of zeros, all lengths are 0.
    """
    rows, columns = np.nonzero(gradient)
    total = gradient.sum()
    if total == 0:
        return EffectiveField(gradient, position, None, (0.0, 0.0), 0.0, 0, 0.0)
    weights = gradient / total
    grid = np.indices(gradient.shape)
    centre = (weights * grid).sum((1, 2))
    offsets = grid - centre[:, None, None]
    return EffectiveField(
        gradient=gradient,
        position=position,
        support=(
            (int(rows.min()), int(rows.max())),
            (int(columns.min()), int(columns.max())),
        ),
        centre=(float(centre[0]), float(centre[1])),
        radius=math.sqrt((weights * offsets**2).sum()),
        side=_side(weights),
        root_area=math.sqrt(np.count_nonzero(gradient > (1 - _WITHIN) * gradient.max())),
    )


@functools.partial(jax.jit, static_argnames=("place", "axes", "weighted"))
def _magnitudes(
    key: Array, fn: Partial, image: Array, *, place: Pair | tuple[()], axes: Pair, weighted: bool
) -> Array:
    """Return the magnitude of one output's gradient for every pixel, [H, W]."""

    def response(image: Array) -> Array:
        outputs = fn(image)
        chosen: list[Any] = [slice(None)] * outputs.ndim
        for axis, index in zip(axes, place, strict=False):
            chosen[axis] = index
        outputs = outputs[tuple(chosen)]
        if weighted:
            outputs = outputs * jax.random.normal(key, outputs.shape, outputs.dtype)
        return jnp.sum(outputs)

    others = [axis for axis in range(image.ndim) if axis not in axes]
    magnitudes = jnp.abs(jax.grad(response)(image)).sum(others)
    return magnitudes if axes[0] < axes[1] else magnitudes.T


def _side(weights: Float[np.ndarray, "H W"]) -> int:
    """Return the side of the smallest square that holds 95.45 % of weights that sum to 1."""
    sums = np.pad(weights, ((1, 0), (1, 0))).cumsum(0).cumsum(1)

    def most(side: int) -> float:
        rows, columns = (min(side, size) for size in weights.shape)
        inside = sums[rows:, columns:] - sums[:-rows, columns:] - sums[rows:, :-columns]
        return float((inside + sums[:-rows, :-columns]).max())

    return next(side for side in range(1, max(weights.shape) + 1) if most(side) >= _WITHIN)


def _place(
    output_shape: Sequence[int],
    image_shape: Sequence[int],
    axes: Sequence[int],
    position: Sequence[int] | None,
) -> tuple[int, ...]:
    """Return the chosen output's index along each of the axes, () where it has none."""
    sizes = [output_shape[axis] for axis in axes] if len(output_shape) == len(image_shape) else []
    if position is None:
        return tuple((size - 1) // 2 for size in sizes)
    if not sizes:
        raise ValueError(
            f"position: expected none, as the output {tuple(output_shape)} has no rows and "
            f"columns, got {tuple(position)}"
        )
    check_position(position, sizes)
    return tuple(position)
