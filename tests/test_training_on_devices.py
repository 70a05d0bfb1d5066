"""Training on eight CPU devices, in the process that `test_sharding.py` starts."""

import jax
import numpy as np
import pytest
import test_many_networks as networks
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from conv_jax import devices, models, training

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


@on_eight
def test_networks_exchange_nothing_and_batches_do():
    state = training.place(networks.together(), mesh(3))
    assert {shard.data.shape for shard in state.step.addressable_shards} == {(1,)}
    alone = networks.start(jax.random.key(1), np.float32(networks.RATES[1]))
    shared, batches = (program(state, mesh(3)), program(alone, mesh(4)))
    assert "all-" not in shared
    assert "all-reduce" in batches
    apply = jax.vmap(networks.MODEL.apply, in_axes=(0, None))
    images = networks.examples().images
    evaluated = training._apply.lower(apply, state.params, images, mesh(3)).compile().as_text()
    assert "all-" not in evaluated


def program(state, mesh):
    """Return the compiled program of an interval."""
    size = networks.BATCH_SIZE
    order = training._epoch_order(state.key, 0, networks.NUM_EXAMPLES, (1, size))
    data = devices.put(networks.examples(), NamedSharding(mesh, PartitionSpec()))
    options = {"train_step": networks.train_step, "most": 1, "mesh": mesh}
    return training._steps.lower(state, data, order, 1, **options).compile().as_text()


@on_eight
def test_evaluation_of_networks_on_devices():
    apply = jax.vmap(networks.MODEL.apply, in_axes=(0, None))
    params, options = networks.together().params, {"batch_size": 7}
    expected, _ = training.evaluate(apply, params, networks.examples(), **options)
    shared = devices.put(params, NamedSharding(mesh(3), PartitionSpec("devices")))
    measured, logits = training.evaluate(apply, shared, networks.examples(), **options)
    assert logits.shape == (3, networks.NUM_EXAMPLES, networks.CLASSES)
    for name, values in expected.items():
        np.testing.assert_allclose(measured[name], values, rtol=0, atol=networks.bound(values))


@on_eight
def test_evaluation_of_small_networks_on_devices():
    # Left to XLA's partitioner, which gets their last convolution wrong (jax 0.10.2 and 0.12).
    model = models.build(models.SmallNet, stages=((2,), (3, 3), (3, 3)))
    params = jax.vmap(model.init)(networks.keys(4))
    images = np.random.default_rng(0).normal(size=(8, 32, 32, 1)).astype("float32")
    data = training.Batch(jax.numpy.asarray(images), jax.numpy.arange(8))
    apply = jax.vmap(model.apply, in_axes=(0, None))
    _, expected = training.evaluate(apply, params, data)
    shared = devices.put(params, NamedSharding(mesh(2), PartitionSpec("devices")))
    _, logits = training.evaluate(apply, shared, data)
    np.testing.assert_allclose(logits, expected, rtol=0, atol=networks.bound(expected))
    assert np.abs(expected[0] - expected[1]).max() > 3 * networks.bound(expected)
