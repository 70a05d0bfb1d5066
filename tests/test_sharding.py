"""Sharded images on eight CPU devices, which JAX makes when it starts: so in another process.

Images and kernels are small whole numbers, so that every order of summing gives the same.
"""

import functools
import os
import pathlib
import re
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import small_integers
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from oracles import corr2d_numpy

from conv_jax import corr2d, sharding
from conv_jax.primitive import correlate

on_eight = pytest.mark.skipif(jax.device_count() < 8, reason="run by test_in_own_process")
MESHES = {"rows": ((8,), ("x",)), "rows_columns": ((4, 2), ("x", "y"))}
AXIS_TYPES = {"auto": AxisType.Auto, "explicit": AxisType.Explicit}
CALLS = {
    "odd_valid": ((3, 3), {}),
    "even_same": ((4, 4), {"padding": "same"}),
    "dilation_full": ((3, 2), {"padding": "full", "dilation": 2}),
    "stride_same": ((3, 3), {"padding": "same", "stride": 2}),
    "stride_and_dilation": ((2, 3), {"stride": 3, "dilation": (2, 1)}),
    "fft": ((4, 3), {"padding": "same", "algorithm": "fft"}),
    "fft_strided": ((2, 5), {"stride": (3, 2), "algorithm": "fft"}),
    "matmul": ((4, 3), {"padding": ((0, 2), (5, 0)), "algorithm": "matmul"}),
}


@pytest.mark.skipif(jax.device_count() >= 8, reason="this is the process with eight devices")
def test_in_own_process():
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": "8"}
    names = ("convolution_sharded", "training_on_devices", "checkpoint_sharded")
    files = [
        __file__,
        *(str(pathlib.Path(__file__).with_name(f"test_{name}.py")) for name in names),
    ]
    pytest_here = [sys.executable, "-m", "pytest", "-qx", "-p", "no:cacheprovider", *files]
    done = subprocess.run(pytest_here, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-5000:]
    assert re.search(r"\d\d passed, 1 skipped", done.stdout), done.stdout[-500:]


def _mesh(name, axis_type=AxisType.Auto):
    shape, names = MESHES[name]
    return jax.make_mesh(shape, names, axis_types=(axis_type,) * len(shape))


def _shard(image, mesh):
    """Put an image's rows, and columns, on the axes of a mesh."""
    spec = PartitionSpec(*[None] * (image.ndim - 2), *mesh.axis_names)
    return jax.device_put(image, NamedSharding(mesh, spec))


def _replicate(kernel, mesh):
    return jax.device_put(kernel, NamedSharding(mesh, PartitionSpec()))


def _collectives(compiled):
    names = "all-gather|all-to-all|collective-permute|all-reduce"
    return set(re.findall(rf"({names})(?:-start)?\(", compiled.as_text()))


def _inputs(kernel_shape, image_shape=(2, 64, 32)):
    return small_integers(0, image_shape), small_integers(1, kernel_shape)


def _sum_of_squares(image, kernel, **options):
    return jnp.sum(corr2d(image, kernel, **options) ** 2)


def _gradients(image, kernel, **options):
    return jax.grad(functools.partial(_sum_of_squares, **options), (0, 1))(image, kernel)


@functools.cache
def _gradients_of_one_device(name):
    """Return the gradients of a call by the algorithm "direct"."""
    kernel_shape, options = CALLS[name]
    compute = functools.partial(_gradients, **options | {"algorithm": "direct"})
    return jax.jit(compute)(*_inputs(kernel_shape))


def _assert_rounds(actual, expected):
    """Check whole numbers, which a Fourier transform gives to within rounding."""
    np.testing.assert_array_equal(np.rint(actual), expected)


@on_eight
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("mesh", MESHES)
def test_values_match_the_oracle_without_a_gather(mesh, call):
    kernel_shape, options = call
    image, kernel = _inputs(kernel_shape)
    sharded = _shard(image, _mesh(mesh))
    named = {key: value for key, value in options.items() if key != "algorithm"}
    expected = corr2d_numpy(image, kernel, **named)
    weights = small_integers(2, expected.shape)

    # A result that the devices do not divide evenly is gathered to be returned, so its sum is.
    def weighted_sum(image, kernel):
        return jnp.sum(corr2d(image, kernel, **options) * weights)

    compiled = jax.jit(weighted_sum).lower(sharded, kernel).compile()

    assert _collectives(compiled) == {"collective-permute", "all-reduce"}
    assert np.sum(abs(expected * weights)) < 2**24
    _assert_rounds(compiled(sharded, kernel), np.sum(expected * weights))


@on_eight
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("mesh", MESHES)
def test_gradients_match_one_device_without_a_gather(mesh, call):
    kernel_shape, options = CALLS[call]
    image, kernel = _inputs(kernel_shape)
    sharded = _shard(image, _mesh(mesh))

    gradients = jax.jit(functools.partial(_gradients, **options))
    compiled = gradients.lower(sharded, kernel).compile()

    assert "all-gather" not in _collectives(compiled)
    actual = compiled(sharded, kernel)
    jax.tree.map(_assert_rounds, actual, _gradients_of_one_device(call))
    assert actual[0].sharding.is_equivalent_to(sharded.sharding, 3)


@on_eight
def test_fft_would_gather_without_the_partition(monkeypatch):
    monkeypatch.setattr(sharding, "_several_devices", lambda ctx, mesh: None)
    image, kernel = _inputs((3, 3))
    call = jax.jit(functools.partial(corr2d, algorithm="fft"))

    compiled = call.lower(_shard(image, _mesh("rows")), kernel).compile()

    assert "all-gather" in _collectives(compiled)


@on_eight
@pytest.mark.parametrize("axis_type", AXIS_TYPES)
@pytest.mark.parametrize("mesh", MESHES)
def test_same_keeps_the_sharding(mesh, axis_type):
    image, kernel = _inputs((3, 3))
    mesh = _mesh(mesh, AXIS_TYPES[axis_type])
    sharded = _shard(image, mesh)

    actual = corr2d(sharded, _replicate(kernel, mesh), padding="same")

    assert actual.sharding.is_equivalent_to(sharded.sharding, 3)
    np.testing.assert_array_equal(actual, corr2d_numpy(image, kernel, padding="same"))


@on_eight
@pytest.mark.parametrize("name", ["dilation_full", "stride_and_dilation"])
def test_explicit_axes_have_derivatives(name):
    kernel_shape, options = CALLS[name]
    image, kernel = _inputs(kernel_shape)
    mesh = _mesh("rows_columns", AxisType.Explicit)

    with jax.set_mesh(mesh):
        gradients = jax.jit(functools.partial(_gradients, **options))
        actual = gradients(_shard(image, mesh), _replicate(kernel, mesh))

    jax.tree.map(_assert_rounds, actual, _gradients_of_one_device(name))


@on_eight
@pytest.mark.parametrize("boundary", ["edge", "reflect", "wrap"])
def test_other_boundaries_match_the_oracle(boundary):
    image, kernel = _inputs((3, 4))
    options = {"padding": "same", "boundary": boundary}

    actual = corr2d(_shard(image, _mesh("rows_columns")), kernel, **options)

    np.testing.assert_array_equal(actual, corr2d_numpy(image, kernel, **options))


@on_eight
def test_separable_kernels_match_the_oracle_without_a_gather():
    image = small_integers(0, (64, 32))
    column, row = small_integers(1, (5,)), small_integers(2, (4,))
    call = jax.jit(functools.partial(corr2d, padding="same", algorithm="separable"))
    sharded = _shard(image, _mesh("rows_columns"))

    compiled = call.lower(sharded, (column, row)).compile()

    assert _collectives(compiled) == {"collective-permute"}
    expected = corr2d_numpy(image, np.outer(column, row), padding="same")
    np.testing.assert_array_equal(compiled(sharded, (column, row)), expected)


@on_eight
def test_a_sharded_batch_needs_no_communication():
    images, kernel = _inputs((3, 3), (8, 16, 12))
    sharded = jax.device_put(images, NamedSharding(_mesh("rows"), PartitionSpec("x")))

    compiled = jax.jit(corr2d).lower(sharded, kernel).compile()

    assert _collectives(compiled) == set()
    np.testing.assert_array_equal(compiled(sharded, kernel), corr2d_numpy(images, kernel))


@on_eight
@pytest.mark.parametrize("in_axes", [(0, None), (None, 0), (0, 0)], ids=str)
def test_vmap_matches_one_device_without_a_gather(in_axes):
    image, kernel = _inputs((3, 3), (64, 32))
    images = np.stack([image, 2 * image]) if in_axes[0] == 0 else image
    kernels = np.stack([kernel, -kernel]) if in_axes[1] == 0 else kernel
    mesh = _mesh("rows_columns")
    leading = ("y",) if in_axes[0] == 0 else ()
    sharded = jax.device_put(images, NamedSharding(mesh, PartitionSpec(*leading, "x")))
    call = jax.jit(jax.vmap(functools.partial(corr2d, padding="same"), in_axes))

    compiled = call.lower(sharded, kernels).compile()

    assert _collectives(compiled) == {"collective-permute"}
    np.testing.assert_array_equal(compiled(sharded, kernels), call(images, kernels))


@on_eight
def test_a_padding_may_reach_beyond_all_devices():
    image, kernel = _inputs((3, 3), (8, 6))
    size = jax.jit(lambda image, kernel: abs(corr2d(image, kernel, padding=50)).sum())

    compiled = size.lower(_shard(image, _mesh("rows")), kernel).compile()

    assert "all-gather" not in _collectives(compiled)
    expected = abs(corr2d_numpy(image, kernel, padding=50)).sum()
    np.testing.assert_array_equal(compiled(_shard(image, _mesh("rows")), kernel), expected)


@on_eight
@pytest.mark.parametrize("rows", [16, 30])
def test_a_kernel_may_reach_beyond_the_next_device(rows):
    image, kernel = _inputs((7, 7), (32, 32))
    sharded = _shard(image, _mesh("rows"))
    call = jax.jit(lambda image, kernel: abs(corr2d(image[:rows], kernel, padding="same")).sum())

    compiled = call.lower(sharded, kernel).compile()

    assert "all-gather" not in _collectives(compiled)
    np.testing.assert_array_equal(compiled(sharded, kernel), call(image, kernel))


@on_eight
@pytest.mark.parametrize(
    ("image_spec", "kernel_spec"),
    [
        ((None, "a", None, "b", "c"), ()),
        (("a", "b", None, "c"), ("a",)),
        ((None, None, "b", "a"), (None, "c", "b")),
        ((None, None, None, ("c", "a")), (None, "b")),
    ],
    ids=str,
)
def test_any_axis_of_the_primitive_may_be_sharded(image_spec, kernel_spec):
    mesh = jax.make_mesh((2, 2, 2), ("a", "b", "c"), axis_types=(AxisType.Auto,) * 3)
    image, kernel = small_integers(0, (2, 4, 4, 16, 12)), small_integers(1, (2, 6, 4, 4, 3))
    options = {"stride": (1, 1), "dilation": (1, 1), "pads": ((1, 2), (1, 1))}

    @functools.partial(jax.jit, static_argnums=2)
    def call(image, kernel, algorithm="auto"):
        def size(*inputs):
            return abs(correlate(*inputs, **options, algorithm=algorithm)).sum()

        return jax.value_and_grad(size, (0, 1))(image, kernel)

    actual = call(
        jax.device_put(image, NamedSharding(mesh, PartitionSpec(*image_spec))),
        jax.device_put(kernel, NamedSharding(mesh, PartitionSpec(*kernel_spec))),
    )

    jax.tree.map(_assert_rounds, actual, call(image, kernel, "direct"))


@on_eight
def test_inside_shard_map_each_device_computes_its_own():
    images, kernel = _inputs((3, 3), (8, 16, 12))
    mesh = _mesh("rows")

    @jax.jit
    @functools.partial(
        jax.shard_map, mesh=mesh, in_specs=(PartitionSpec("x"), None), out_specs=PartitionSpec("x")
    )
    def call(image, kernel):
        return jax.grad(_sum_of_squares)(image, kernel)

    actual = call(images, kernel)

    expected = jax.grad(_sum_of_squares)(images, kernel, algorithm="direct")
    np.testing.assert_array_equal(actual, expected)


@on_eight
def test_inside_shard_map_the_gradient_of_one_kernel_is_summed():
    images, kernel = _inputs((3, 3), (8, 16, 12))
    mesh, specs = _mesh("rows"), (PartitionSpec("x"), PartitionSpec())

    @jax.jit
    @functools.partial(jax.shard_map, mesh=mesh, in_specs=specs, out_specs=PartitionSpec())
    def call(image, kernel):
        return jax.grad(_sum_of_squares, 1)(image, kernel)

    actual = call(images, kernel)

    _assert_rounds(actual, jax.grad(_sum_of_squares, 1)(images, kernel, algorithm="direct"))


@on_eight
@pytest.mark.parametrize("shape", [(6,), (3, 2), (2, 3)], ids=str)
def test_devices_need_not_be_a_power_of_two(shape):
    names = ("x", "y")[: len(shape)]
    mesh = jax.make_mesh(shape, names, (AxisType.Auto,) * len(shape), devices=jax.devices()[:6])
    image, kernel = _inputs((3, 4), (48, 30))
    size = jax.jit(lambda image, kernel: abs(corr2d(image, kernel, padding=2)).sum())

    compiled = size.lower(_shard(image, mesh), kernel).compile()

    assert "all-gather" not in _collectives(compiled)
    expected = abs(corr2d_numpy(image, kernel, padding=2)).sum()
    np.testing.assert_array_equal(compiled(_shard(image, mesh), kernel), expected)


@on_eight
def test_memory_falls_with_the_number_of_devices():
    image, kernel = _inputs((5, 5), (512, 256))
    call = jax.jit(functools.partial(corr2d, padding="same"))

    def bytes_of_one(count):
        mesh = jax.make_mesh((count,), ("x",), (AxisType.Auto,), devices=jax.devices()[:count])
        analysis = call.lower(_shard(image, mesh), kernel).compile().memory_analysis()
        return analysis.output_size_in_bytes + analysis.temp_size_in_bytes

    amounts = [bytes_of_one(count) for count in (1, 2, 4, 8)]
    # Two devices hold a copy more than one does: the rows fetched, beside their own.
    assert amounts[3] < 0.6 * amounts[2] < 0.36 * amounts[1] < 0.3 * amounts[0]
