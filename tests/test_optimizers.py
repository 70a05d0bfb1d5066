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
    np.testing.assert_allclose(values[[0, 10, 20]], [0.02, 0.26, 0.5], atol=1e-6)  # a line
    np.testing.assert_allclose(values[[40, 60, 100]], [0.4268, 0.25, 0], atol=1e-4)  # a cosine
    assert (np.diff(values[:21]) > 0).all()
    assert (np.diff(values[20:]) < 0).all()


@pytest.mark.parametrize("warmup", [0.001, 0.3, 0.999])
@pytest.mark.parametrize("num_steps", [1, 2, 20])
def test_one_cycle_is_finite_for_any_length_and_warmup(num_steps, warmup):
    values = schedule_values("one_cycle", num_steps=num_steps, warmup=warmup)
    assert np.isfinite(values).all()


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
    updates = decayed(name, weight_decay=0.5)
    np.testing.assert_array_equal(updates["bias"], 0)


@pytest.mark.parametrize("leaf", ["dense", "conv"])
@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_decoupled_weight_decay_is_of_the_weight_itself(name, leaf):
    np.testing.assert_allclose(decayed(name, weight_decay=0.5)[leaf], -0.1 * 0.5, rtol=1e-5)


@pytest.mark.parametrize("name", optimizers.OPTIMIZERS)
def test_no_weight_decay_moves_nothing(name):
    updates = decayed(name, weight_decay=0.0)
    assert all((leaf == 0).all() for leaf in updates.values())


def decayed(name, *, weight_decay):
    """Return one update of weights of 1 from a gradient of 0, at learning rate 0.1."""
    optimizer = optimizers.make_optimizer(name, lambda _: 0.1, weight_decay=weight_decay)
    params = {"bias": jnp.ones(3), "dense": jnp.ones((3, 3)), "conv": jnp.ones((3, 3, 2, 4))}
    zeros = jax.tree.map(jnp.zeros_like, params)
    return optimizer.update(zeros, optimizer.init(params), params)[0]


def test_clip_norm_bounds_the_gradient():
    optimizer = optimizers.make_optimizer("sgd", lambda _: 1.0, clip_norm=2.0)
    params = {"w": jnp.zeros(4)}
    updates, _ = optimizer.update({"w": jnp.full(4, 100.0)}, optimizer.init(params), params)
    np.testing.assert_allclose(optax.tree.norm(updates), 2.0, rtol=1e-6)


def test_an_option_of_another_optimizer_is_refused():
    with pytest.raises(ValueError, match="optimizer: 'adam' has no option 'momentum'"):
        optimizers.make_optimizer("adam", lambda _: 0.1, momentum=0.9)


def test_the_learning_rate_is_no_option():
    with pytest.raises(ValueError, match="optimizer: 'sgd' has no option 'learning_rate'"):
        optimizers.make_optimizer("sgd", lambda _: 0.1, learning_rate=0.5)


def test_unknown_optimizer_is_named():
    with pytest.raises(ValueError, match=r"optimizer: expected one of .*, got 'lion'"):
        optimizers.make_optimizer("lion", lambda _: 0.1)
