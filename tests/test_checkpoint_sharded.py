"""Checkpoints of sharded states, in the process of eight devices that `test_sharding.py` has."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec, SingleDeviceSharding

from conv_jax.checkpoint import Checkpoints

on_eight = pytest.mark.skipif(jax.device_count() < 8, reason="run by test_sharding.py")


def on(count, *names):
    """Return a sharding over the first few devices."""
    devices = np.array(jax.devices()[:count])
    mesh = jax.sharding.Mesh(devices, ("members",), axis_types=(AxisType.Auto,))
    return NamedSharding(mesh, PartitionSpec(*names))


def make_state():
    weights = np.random.default_rng(0).normal(size=(8, 3, 5)).astype(np.float32)
    key_data = np.arange(16, dtype=np.uint32).reshape(8, 2)
    return {
        "key": jax.random.wrap_key_data(jnp.asarray(key_data)),
        "weights": jnp.asarray(weights),
        "step": jnp.asarray(np.int32(4)),
    }


def placed(sharding):
    """Return the state with its members so, and what has no members on all of these devices."""
    replicated = on(len(sharding.device_set)) if len(sharding.device_set) > 1 else sharding
    state = make_state()
    shardings = {name: sharding if array.ndim else replicated for name, array in state.items()}
    return jax.device_put(state, shardings)


def bits(state):
    key = jax.random.key_data(state["key"])
    return [np.asarray(leaf).tobytes() for leaf in (key, state["weights"], state["step"])]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A step saved from members on eight devices."""
    checkpoints = Checkpoints(tmp_path_factory.mktemp("sharded"))
    checkpoints.save(4, placed(on(8, "members")), about={})
    return checkpoints


TARGETS = {
    "as_saved": lambda: on(8, "members"),
    "replicated": lambda: on(8),
    "on_four": lambda: on(4, "members"),
    "another_axis": lambda: on(3, None),
    "on_one": lambda: SingleDeviceSharding(jax.devices()[5]),
}


@on_eight
@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_a_sharded_state_comes_back_onto_any_devices(saved, target):
    wanted = placed(target())
    restored = saved.restore(wanted).state
    assert bits(restored) == bits(make_state())
    for name, leaf in wanted.items():
        assert restored[name].sharding.is_equivalent_to(leaf.sharding, leaf.ndim)
