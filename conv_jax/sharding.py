"""Correlation of sharded images: each device fetches the rows it lacks, none gathers them all."""

import functools
import hashlib
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.core import ShapedArray
from jax.experimental.custom_partitioning import custom_partitioning
from jax.experimental.layout import Layout, with_layout_constraint
from jax.experimental.xla_metadata import set_xla_metadata
from jax.interpreters import mlir
from jax.sharding import AbstractMesh, AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Num

from conv_jax.padding import Pads, Pair, upsample

Shape = Sequence[int]
Compute = Callable[..., Array]
Axes = tuple[str, ...]  # the mesh axes that together split one axis of an array


class Split(NamedTuple):
    """How an image's rows, or columns, lie on the devices: block p on the one of rank ranks[p]."""

    axes: Axes
    ranks: tuple[int, ...]  # in the order of the mesh, which lax.ppermute counts in
    of_sum: bool  # the kernel is split too, and its part of the sum; else the output


def lower(
    ctx: mlir.LoweringRuleContext, image: Any, kernel: Any, *, compute: Compute, **options: Any
) -> Any:
    """Lower `compute(image, kernel, **options)`, on several devices by halo exchange.

    On one device, inside shard_map and for export this is `compute` itself. Otherwise XLA's
    partitioner asks `_partition` for the program of one device, once it knows the shardings.

    Args:
      ctx: where the primitive is lowered.
      image: [G, N, C, H, W].
      kernel: [G, O, C, kH, kW].
      compute: correlation in plain JAX: image and kernel, then the options by keyword.
      **options: hashable ones: stride, dilation, image_dilation and pads, and any others.

    Returns:
      [G, N, O, H', W'].
    """
    typed: Any = ctx.avals_in
    avals = [ShapedArray(aval.shape, aval.dtype) for aval in typed]
    context = _several_devices(ctx, typed[0].sharding.mesh)
    if context is not None:
        ctx = ctx.replace(module_context=ctx.module_context.replace(axis_context=context))
        compute, options = _partitioned(compute, tuple(sorted(options.items()))), {}
    compute = _without_mesh(functools.partial(compute, **options))
    lower_compute = mlir.lower_fun(compute, multiple_results=False)
    return lower_compute(ctx.replace(avals_in=avals), image, kernel)


def of_output(image: Any, kernel: Any, shape: Shape) -> NamedSharding | None:
    """Return what a result's type says of its sharding, on a mesh with explicit axes.

    Args:
      image: the abstract [G, N, C, H, W].
      kernel: the abstract [G, O, C, kH, kW].
      shape: [G, N, O, H', W'], sharded as the image where its sizes allow.
    """
    mesh = image.sharding.mesh
    if mesh.empty:
        return None
    x, k = image.sharding.spec, kernel.sharding.spec
    hw = [None if split else x[3 + i] for i, split in enumerate(_splits_sum(kernel.shape, shape))]
    used: set[str] = set()
    spec = []
    for entry, size in zip((x[0], x[1], k[1], *hw), shape, strict=True):
        names = (entry,) if isinstance(entry, str) else tuple(entry or ())
        fits = size % math.prod(mesh.shape[name] for name in names) == 0
        spec.append(entry if fits and used.isdisjoint(names) else None)
        used.update(names if spec[-1] else ())
    return NamedSharding(mesh, PartitionSpec(*spec))


def varying_alike(*arrays: Array) -> list[Array]:
    """Inside shard_map, mark what is the same on all devices as different, where another is."""
    varying = [frozenset(jax.typeof(array).manual_axis_type.varying) for array in arrays]
    missing = [tuple(frozenset().union(*varying) - names) for names in varying]
    return [
        lax.pcast(array, names, to="varying") if names else array
        for array, names in zip(arrays, missing, strict=True)
    ]


def like(aval: Any, array: Array) -> Array:
    """Give a derivative the sharding of what it belongs to, on a mesh with explicit axes."""
    explicit = AxisType.Explicit in aval.sharding.mesh.axis_types
    return jax.sharding.reshard(array, aval.sharding) if explicit else array


def _without_mesh(compute: Compute) -> Compute:
    """Trace `compute` outside any mesh: explicit shardings are checked for the primitive only."""

    def call(image: Array, kernel: Array) -> Array:
        with jax.sharding.use_abstract_mesh(AbstractMesh((), ())):
            return compute(image, kernel)

    return call


def _several_devices(
    ctx: mlir.LoweringRuleContext, mesh: AbstractMesh
) -> mlir.ShardingContext | None:
    """Return devices and a mesh for custom_partitioning, or None where it has no place.

    Only the number of devices and their grouping matter, not which they are. The axes of the
    mesh are prime, because the partitioner may use parts of the user's.
    """
    module = ctx.module_context
    num_devices = getattr(module.axis_context, "num_devices", 1)  # a shard_map has none
    if num_devices == 1 or module.lowering_parameters.for_export:
        return None
    if not getattr(jax.config, "jax_use_shardy_partitioner", True):
        return None
    try:
        devices = tuple(jax.devices(module.platforms[0])[:num_devices])
    except RuntimeError:  # lowering for a platform that is not here
        return None
    if len(devices) < num_devices:
        return None
    sizes = mesh.axis_sizes if mesh.size == num_devices else (num_devices,)
    primes = tuple(prime for size in sizes for prime in _primes(size))
    names = tuple(f"axis{i:02}" for i in range(len(primes)))  # sorted
    return mlir.ShardingContext(num_devices, devices, AbstractMesh(primes, names))


def _primes(n: int) -> list[int]:
    divisor = next((d for d in range(2, math.isqrt(n) + 1) if n % d == 0), n)
    return [] if n == 1 else [divisor, *_primes(n // divisor)]


@functools.cache
def _partitioned(compute: Compute, options: tuple[tuple[str, Any], ...]) -> Compute:
    """Return compute(image, kernel, **options) with a rule for its partition."""
    keywords = dict(options)
    wrapped = custom_partitioning(lambda image, kernel: compute(image, kernel, **keywords))
    wrapped.def_partition(
        functools.partial(_partition, compute=compute, **keywords),
        sharding_rule=_sharding_rule,
        decode_shardings=False,
    )

    def call(image: Array, kernel: Array) -> Array:
        # A compilation cache on disk knows a partition only by what the program says of it.
        with set_xla_metadata(corr2d=f"{_fingerprint()} {options}"):
            return wrapped(image, kernel)

    return call


@functools.cache
def _fingerprint() -> str:
    """Tell versions of this library apart, by what its files hold."""
    files = sorted(Path(__file__).parent.rglob("*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]


def _splits_sum(kernel: Shape, out: Shape) -> tuple[bool, bool]:
    """Tell for rows and columns whether the kernel is split, not the output: the larger is."""
    return kernel[3] > out[3], kernel[4] > out[4]


def _sharding_rule(mesh: Mesh, operands: Any, results: Any) -> str:
    """Tell Shardy which axes are split alike."""
    del mesh
    rows, columns = _splits_sum(operands[1].shape, results[0].shape)
    kernel = ("h" if rows else "a") + " " + ("w" if columns else "b")
    out = ("i" if rows else "h") + " " + ("j" if columns else "w")
    return f"g n c h w, g o c {kernel} -> g n o {out}"


def _partition(
    mesh: Mesh, operands: Any, out: Any, *, compute: Compute, **options: Any
) -> tuple[Mesh, Compute, NamedSharding, tuple[NamedSharding, NamedSharding]]:
    """Choose shardings near those found, and give the program of one device for them."""
    image, kernel = operands
    of_sum = _splits_sum(kernel.shape, out.shape)
    x, k, y = (_mesh_axes(array, mesh) for array in (image, kernel, out))
    wishes = [
        *((x[i], k[i]) if of_sum[i - 3] else (y[i], x[i]) for i in (3, 4)),
        (y[0], x[0], k[0]),
        (y[1], x[1]),
        (y[2], k[1]),
        [axes for axes in (x[2], k[2]) if image.shape[2] % len(_ranks(axes, mesh)) == 0],
    ]
    h, w, g, n, o, c = _claim(wishes, mesh)
    kernel_hw = [axes if split else () for axes, split in zip((h, w), of_sum, strict=True)]
    out_hw = [() if split else axes for axes, split in zip((h, w), of_sum, strict=True)]
    image_sharding, kernel_sharding, out_sharding = (
        NamedSharding(mesh, PartitionSpec(*axes))
        for axes in ((g, n, c, h, w), (g, o, c, *kernel_hw), (g, n, o, *out_hw))
    )
    local = functools.partial(
        _correlate_block,
        compute=compute,
        splits=[Split(axes, _ranks(axes, mesh), of_sum[i]) for i, axes in enumerate((h, w))],
        sum_axes=c,
        shapes=(image.shape, kernel.shape, out.shape),
        **options,
    )
    return mesh, _without_mesh(local), out_sharding, (image_sharding, kernel_sharding)


def _claim(wishes: Sequence[Sequence[Axes]], mesh: Mesh) -> list[Axes]:
    """Grant each in turn its first wish whose mesh axes are all still free."""
    free = set(mesh.axis_names)
    granted = []
    for wish in wishes:
        axes = next((axes for axes in wish if axes and free.issuperset(axes)), ())
        free.difference_update(axes)
        granted.append(axes)
    return granted


def _ranks(axes: Axes, mesh: Mesh) -> tuple[int, ...]:
    """Return, for each block in the order of `axes`, its place in the order of the mesh."""
    ordered = [axis for axis in mesh.axis_names if axis in axes]
    places = np.arange(math.prod(mesh.shape[axis] for axis in axes))
    places = places.reshape([mesh.shape[axis] for axis in ordered])
    return tuple(places.transpose([ordered.index(axis) for axis in axes]).ravel().tolist())


def _mesh_axes(array: Any, mesh: Mesh) -> list[Axes]:
    """Read from a sharding the mesh axes of each axis; none where no whole mesh axes do."""
    size = mesh.size  # any number of tiles divides it
    slices = array.sharding.devices_indices_map((size,) * len(array.shape))
    starts = np.array([[s.start or 0 for s in slices[device]] for device in mesh.devices.flat])
    return [_axes_of(column.reshape(mesh.devices.shape), mesh) for column in starts.T]


def _axes_of(starts: np.ndarray, mesh: Mesh) -> Axes:
    """Find the mesh axes along which `starts` counts 0, 1, 2, ..., slowest first."""
    tiles = np.unique(starts, return_inverse=True)[1].reshape(starts.shape)
    steps = {i: int(tiles.take(1, i).flat[0]) for i in range(tiles.ndim)}
    slowest_first = sorted((i for i in steps if steps[i]), key=lambda i: -steps[i])
    axes = tuple(mesh.axis_names[i] for i in slowest_first)
    count = np.indices(tiles.shape)
    expected = sum((steps[i] * count[i] for i in slowest_first), np.zeros_like(tiles))
    is_whole = len(_ranks(axes, mesh)) == tiles.max() + 1 and np.array_equal(tiles, expected)
    return axes if is_whole else ()


def _correlate_block(
    image: Num[Array, "G N C H W"],
    kernel: Num[Array, "G O C kH kW"],
    *,
    compute: Compute,
    splits: Sequence[Split],
    sum_axes: Axes,
    shapes: tuple[Shape, Shape, Shape],
    stride: Pair,
    dilation: Pair,
    image_dilation: Pair,
    pads: Pads,
    **rest: Any,
) -> Num[Array, "G N O H_out W_out"]:
    """Correlate on one device: for its rows of the output, or its rows of the sum."""
    remaining_dilation, remaining_pads = list(image_dilation), list(pads)
    for i, split in enumerate(splits):
        if not split.axes:
            continue
        axis = 3 + i
        num_taps, num_outputs = kernel.shape[axis], -(-shapes[2][axis] // len(split.ranks))
        step = num_outputs * stride[i]
        if split.of_sum:
            num_outputs, step = shapes[2][axis], num_taps * dilation[i]
            kernel = _zero_beyond(kernel, split, axis=axis, size=shapes[1][axis])
            sum_axes += split.axes
        image = _zero_beyond(image, split, axis=axis, size=shapes[0][axis])
        image = _window(
            upsample(image, image_dilation[i], axis=axis),
            split,
            axis=axis,
            first=-pads[i][0],
            step=step,
            length=(num_taps - 1) * dilation[i] + (num_outputs - 1) * stride[i] + 1,
        )
        remaining_dilation[i], remaining_pads[i] = 1, (0, 0)
    out = compute(
        image,
        kernel,
        stride=stride,
        dilation=dilation,
        image_dilation=tuple(remaining_dilation),
        pads=tuple(remaining_pads),
        **rest,
    )
    # Without it, a gather that follows may choose a layout that XLA's FFT on CPU refuses.
    out = with_layout_constraint(out, Layout(tuple(range(out.ndim))))
    return lax.psum(out, sum_axes) if sum_axes else out


def _zero_beyond(block: Array, split: Split, *, axis: int, size: int) -> Array:
    """Zero what the last devices hold past the end, where the size does not divide evenly."""
    rows = block.shape[axis]
    if rows * len(split.ranks) == size:
        return block
    inside = lax.axis_index(split.axes) * rows + jnp.arange(rows) < size
    inside = jnp.expand_dims(inside, [i for i in range(block.ndim) if i != axis])
    return jnp.where(inside, block, jnp.zeros((), block.dtype))


def _window(block: Array, split: Split, *, axis: int, first: int, step: int, length: int) -> Array:
    """Fetch rows first + p step, ..., first + p step + length - 1 for block p; zeros lie outside.

    Block p holds rows p size, ..., (p + 1) size - 1. All fetch as many rows from before and
    behind as the neediest, which is the first or the last block, and cut out their own.
    """
    size = block.shape[axis]
    drift = (len(split.ranks) - 1) * (step - size)
    before = max(0, -first, -first - drift)
    behind = max(0, first + length - size, first + length - size + drift)
    fetch = functools.partial(_fetch, block, split, axis=axis)
    pieces = [*fetch(before, hop=1)[::-1], block, *fetch(behind, hop=-1)]
    start = before + first
    if drift:
        start += lax.axis_index(split.axes) * (step - size)
    return lax.dynamic_slice_in_dim(lax.concatenate(pieces, axis), start, length, axis)


def _fetch(block: Array, split: Split, length: int, *, axis: int, hop: int) -> list[Array]:
    """Return the `length` rows before (hop 1) or behind (hop -1), the nearest block's first."""
    size, ranks = block.shape[axis], split.ranks
    in_order = tuple(sorted(split.axes))
    pieces = []
    for distance in range(1, len(ranks)):
        count = min(size, length - (distance - 1) * size)
        if count <= 0:
            return pieces
        start = size - count if hop > 0 else 0
        edge = lax.slice_in_dim(block, start, start + count, axis=axis)
        near, far = ranks[distance:], ranks[:-distance]
        pairs = list(zip(far, near, strict=True) if hop > 0 else zip(near, far, strict=True))
        pieces.append(lax.ppermute(edge, in_order, pairs))
    beyond = length - (len(ranks) - 1) * size  # the last device
    if beyond > 0:
        shape = (*block.shape[:axis], beyond, *block.shape[axis + 1 :])
        pieces.append(jnp.zeros_like(block, shape=shape))
    return pieces
