"""conv_general_dilated on eight CPU devices, in the process that `test_sharding.py` starts.

Whole numbers, so that every order of summing gives the same.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import small_integers
from jax import lax
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from conv_jax import conv_general_dilated

on_eight = pytest.mark.skipif(jax.device_count() < 8, reason="run by test_sharding.py")
OPTIONS = {
    "window_strides": (1, 2),
    "padding": "SAME",
    "dimension_numbers": ("NHWC", "HWIO", "NHWC"),
}


def mesh(axis_type=AxisType.Auto):
    return jax.make_mesh((8,), ("devices",), axis_types=(axis_type,))


def arrays():
    return (
        jnp.asarray(small_integers(0, (16, 7, 6, 3))),
        jnp.asarray(small_integers(1, (3, 3, 3, 4))),
    )


def squares(lhs, rhs, conv=conv_general_dilated):
    return jnp.sum(conv(lhs, rhs, **OPTIONS) ** 2)


def expected():
    by_lax = functools.partial(squares, conv=lax.conv_general_dilated)
    return jax.jit(jax.value_and_grad(by_lax, (0, 1)))(*arrays())


def placed(on, spec):
    lhs, rhs = arrays()
    whole = NamedSharding(on, PartitionSpec())
    return jax.device_put(lhs, NamedSharding(on, spec)), jax.device_put(rhs, whole)


@on_eight
@pytest.mark.parametrize("axis_type", [AxisType.Auto, AxisType.Explicit], ids=["auto", "explicit"])
def test_a_sharded_batch_stays_so(axis_type):
    on = mesh(axis_type)
    with jax.set_mesh(on):
        given = placed(on, PartitionSpec("devices"))
        program = jax.jit(jax.value_and_grad(squares, (0, 1))).lower(*given).compile()
        actual = program(*given)

    jax.tree.map(np.testing.assert_array_equal, actual, expected())
    assert "all-gather" not in program.as_text()
    assert actual[1][0].sharding.spec[0] == "devices"


@on_eight
def test_an_explicit_mesh_needs_no_context():
    given = placed(mesh(AxisType.Explicit), PartitionSpec("devices"))

    actual = jax.jit(jax.value_and_grad(squares, (0, 1)))(*given)

    jax.tree.map(np.testing.assert_array_equal, actual, expected())


@on_eight
@pytest.mark.parametrize("axis", [1, 3], ids=["rows", "channels"])
def test_other_axes_can_be_sharded(axis):
    lhs, rhs = arrays()
    lhs = jnp.pad(lhs, ((0, 0), (0, 1), (0, 0), (0, 5)))
    rhs = jnp.pad(rhs, ((0, 0), (0, 0), (0, 5), (0, 0)))
    spec = PartitionSpec(*[None] * axis, "devices")
    given = jax.device_put(lhs, NamedSharding(mesh(), spec)), rhs

    actual = jax.jit(jax.value_and_grad(squares, (0, 1)))(*given)

    by_lax = functools.partial(squares, conv=lax.conv_general_dilated)
    wanted = jax.jit(jax.value_and_grad(by_lax, (0, 1)))(lhs, rhs)
    jax.tree.map(np.testing.assert_array_equal, actual, wanted)


@on_eight
def test_in_shard_map():
    parts = PartitionSpec("devices")

    @functools.partial(
        jax.shard_map, mesh=mesh(), in_specs=(parts, PartitionSpec()), out_specs=PartitionSpec()
    )
    def total(lhs, rhs):
        return lax.psum(squares(lhs, rhs), "devices")

    actual = jax.jit(jax.value_and_grad(total, (0, 1)))(*arrays())

    jax.tree.map(np.testing.assert_array_equal, actual, expected())
