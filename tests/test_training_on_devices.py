"""Training on eight CPU devices, in the process that `test_sharding.py` starts."""

import jax
import numpy as np
import pytest
import test_many_networks as networks
from jax.sharding import AxisType

on_eight = pytest.mark.skipif(jax.device_count() < 8, reason="run by test_sharding.py")


def mesh(size):
    devices = jax.devices()[:size]
    return jax.make_mesh((size,), ("devices",), axis_types=(AxisType.Auto,), devices=devices)


def assert_same(actual, expected):
    for ours, theirs in zip(*map(jax.tree.leaves, (actual, expected)), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=networks.bound(theirs))


@on_eight
def test_networks_are_divided_among_devices():
    actual = networks.train(networks.together(), mesh=mesh(3))
    assert_same(actual, networks.trained_together())


@on_eight
def test_batches_are_divided_among_devices():
    state = networks.start(jax.random.key(1), np.float32(networks.RATES[1]))
    assert_same(networks.train(state, mesh=mesh(8)), networks.trained_alone(1))


@on_eight
def test_batches_of_networks_fewer_than_devices_are_divided():
    assert_same(networks.train(networks.together(), mesh=mesh(4)), networks.trained_together())


@on_eight
def test_what_the_devices_do_not_divide_is_refused():
    message = "batch_size: expected a multiple of the 8 devices, got 9"
    with pytest.raises(ValueError, match=message):
        networks.train(networks.together(), mesh=mesh(8), batch_size=9)
