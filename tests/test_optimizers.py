import inspect

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from conv_jax import optimizers


def schedule_values(name, *, num_steps=100, **options):
    schedule = optimizers.make_schedule(name, learning_rate=0.5, num_steps=num_steps, **options)
    return np.array([schedule(step) for step in range(num_steps + 1)])


def test_constant_schedule_stays():
    assert set(schedule_values("constant")) == {0.5}


def test_cosine_schedule_falls_to_zero():
    values = schedule_values("cosine")
    np.testing.assert_allclose(values, 0.25 * (1 + np.cos(np.pi * np.arange(101) / 100)), atol=1e-6)


def test_one_cycle_rises_to_the_peak_and_falls_to_zero():
    values = schedule_values("one_cycle", warmup=0.2)
    assert values.argmax() == 20
    np.testing.assert_allclose(values[[0, 20, 100]], [0.02, 0.5, 0], atol=1e-6)
    assert (np.diff(values[:21]) > 0).all()
    assert (np.diff(values[20:]) < 0).all()


@pytest.mark.parametrize("num_steps", [1, 2, 3])
def test_one_cycle_is_finite_for_the_shortest_runs(num_steps):
    assert np.isfinite(schedule_values("one_cycle", num_steps=num_steps)).all()


def test_unknown_schedule_is_named():
    with pytest.raises(ValueError, match=r"schedule: expected one of .*, got 'linear'"):
        optimizers.make_schedule("linear", learning_rate=0.1, num_steps=10)


@pytest.mark.parametrize("name", optimizers.OPTIMIZERS)
def test_every_optimizer_goes_downhill(name):
    optimizer = optimizers.make_optimizer(name, lambda _: 0.05, weight_decay=1e-3, clip_norm=10.0)
    target = jnp.arange(6.0).reshape(2, 3)

    def loss(params):
        return jnp.sum((params["w"] - target) ** 2)

    @jax.jit
    def step(params, state):
        updates, state = optimizer.update(jax.grad(loss)(params), state, params)
        return optax.apply_updates(params, updates), state

    params = {"w": jnp.zeros((2, 3))}
    first, state = loss(params), optimizer.init(params)
    for _ in range(100):
        params, state = step(params, state)
    assert loss(params) < 0.5 * first


@pytest.mark.parametrize("name", optimizers.OPTIMIZERS)
def test_weight_decay_spares_biases(name):
    optimizer = optimizers.make_optimizer(name, lambda _: 0.1, weight_decay=0.5)
    params = {"bias": jnp.ones(3), "kernel": jnp.ones((3, 3))}
    zeros = jax.tree.map(jnp.zeros_like, params)
    updates, _ = optimizer.update(zeros, optimizer.init(params), params)
    np.testing.assert_array_equal(updates["bias"], 0)
    assert (updates["kernel"] < 0).all()


def test_clip_norm_bounds_the_gradient():
    optimizer = optimizers.make_optimizer("sgd", lambda _: 1.0, clip_norm=2.0)
    params = {"w": jnp.zeros(4)}
    updates, _ = optimizer.update({"w": jnp.full(4, 100.0)}, optimizer.init(params), params)
    np.testing.assert_allclose(optax.tree.norm(updates), 2.0, rtol=1e-6)


def test_an_option_of_another_optimizer_is_refused():
    with pytest.raises(ValueError, match="optimizer: 'adam' has no option 'momentum'"):
        optimizers.make_optimizer("adam", lambda _: 0.1, momentum=0.9)


def test_unknown_optimizer_is_named():
    with pytest.raises(ValueError, match=r"optimizer: expected one of .*, got 'lion'"):
        optimizers.make_optimizer("lion", lambda _: 0.1)


def test_muon_is_there_where_optax_has_it():
    assert ("muon" in optimizers.OPTIMIZERS) == hasattr(optax.contrib, "muon")
    assert "weight_decay_mask" in inspect.signature(optax.contrib.muon).parameters
