"""K networks in one program: each as if it were alone."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from conv_jax import augment, devices, losses, models, training
from conv_jax.divergence import DivergedError
from conv_jax.training import Batch

RATES = (0.02, 0.05, 0.1)
NUM_EXAMPLES, BATCH_SIZE, NUM_EPOCHS, CLASSES = 24, 8, 2, 3
MODEL = models.build(
    models.LeNet5, channels=(2, 3), hidden=(5,), num_classes=CLASSES, image_shape=(16, 16, 1)
)


def examples():
    numbers = np.random.default_rng(0)
    images = numbers.normal(size=(NUM_EXAMPLES, 16, 16, 1)).astype("float32")
    return Batch(jnp.asarray(images), jnp.asarray(numbers.integers(0, CLASSES, NUM_EXAMPLES)))


def optimizer(rate):
    return optax.sgd(rate, momentum=0.9)


def train_step(state, batch):
    """Take a step at the network's own learning rate."""
    step = training.make_train_step(
        MODEL.apply,
        optimizer(state.settings["rate"]),
        loss=losses.cross_entropy(),
        augment=functools.partial(augment.random_shift, max_shift=1),
        average_decay=0.9,
    )
    return step(state, batch)


def start(key, rate):
    init_key, run_key = jax.random.split(key)
    return training.init_state(
        run_key,
        jax.jit(MODEL.init)(init_key),
        optimizer(rate),
        average=True,
        settings={"rate": rate},
    )


def train(state, **options):
    """Return the last state, on the host, and the metrics of every step."""
    options = {"batch_size": BATCH_SIZE, "num_epochs": NUM_EPOCHS, "interval": 2, **options}
    trained = training.train(state, examples(), train_step=train_step, **options)
    states, intervals = zip(*trained, strict=True)
    metrics = [interval.metrics for interval in intervals]
    joined = {name: np.concatenate([row[name] for row in metrics]) for name in metrics[0]}
    return devices.fetch(states[-1]._replace(key=None)), joined


def keys(count):
    return jax.vmap(jax.random.key)(jnp.arange(count))


def together(rates=RATES):
    return jax.jit(jax.vmap(start))(keys(len(rates)), jnp.float32(rates))


@functools.cache
def trained_together():
    return train(together())


@functools.cache
def trained_alone(index):
    return train(start(jax.random.key(index), jnp.float32(RATES[index])))


def bound(values):
    """Return what sums in another order may change, grown by each of the steps.

    A gradient sums over a batch and its pixels; one step more passes errors of the parameters on
    at most (1 + its rate times its curvature, below 10) / (1 - momentum) times.
    """
    terms, num_steps = BATCH_SIZE * 16 * 16, NUM_EXAMPLES // BATCH_SIZE * NUM_EPOCHS
    return terms * num_steps * np.finfo(np.float32).eps * max(1.0, np.abs(values).max())


@pytest.mark.parametrize("index", range(len(RATES)))
def test_each_network_is_what_it_is_alone(index):
    (many, _), (one, _) = trained_together(), trained_alone(index)
    for among, alone in zip(jax.tree.leaves(many), jax.tree.leaves(one), strict=True):
        np.testing.assert_allclose(among[index], alone, rtol=0, atol=bound(alone))


@pytest.mark.parametrize("index", range(len(RATES)))
def test_each_network_measures_what_it_does_alone(index):
    (_, many), (_, one) = trained_together(), trained_alone(index)
    assert many["loss"].shape == (NUM_EXAMPLES // BATCH_SIZE * NUM_EPOCHS, len(RATES))
    for name, values in one.items():
        np.testing.assert_allclose(many[name][:, index], values, rtol=0, atol=bound(values))


def test_the_networks_differ_by_more_than_the_bound():
    state, _ = trained_together()
    for leaf in jax.tree.leaves(state.params):
        assert np.abs(leaf[0] - leaf[1]).max() > 3 * bound(leaf)


def test_one_that_diverges_leaves_the_others_alone():
    state, metrics = train(together((0.02, 1e30, 0.1)))
    expected, _ = trained_together()
    assert np.isfinite(metrics["loss"]).all(axis=0).tolist() == [True, False, True]
    for leaf, other in zip(*map(jax.tree.leaves, (state.params, expected.params)), strict=True):
        np.testing.assert_array_equal(leaf[[0, 2]], other[[0, 2]])


def test_when_all_diverge_the_last_to_do_so_is_described():
    with pytest.raises(DivergedError, match=r"^loss .* at step \d+ .*; last good loss \d"):
        train(together((1e30, 1e30, 1e15)))


def test_they_go_on_from_the_middle():
    first_epoch = training.train(
        together(),
        examples(),
        train_step=train_step,
        batch_size=BATCH_SIZE,
        num_epochs=1,
        interval=2,
    )
    resumed, _ = train([state for state, _ in first_epoch][-1])
    expected, _ = trained_together()
    jax.tree.map(np.testing.assert_array_equal, resumed, expected)


def test_evaluate_measures_each():
    params = jax.random.normal(jax.random.key(0), (2, 16, CLASSES))

    def apply(weights, images):
        return images.mean(axis=(1, 3)) @ weights

    many, logits = training.evaluate(
        jax.vmap(apply, in_axes=(0, None)), params, examples(), batch_size=7
    )
    assert logits.shape == (2, NUM_EXAMPLES, CLASSES)
    for index in range(2):
        one, _ = training.evaluate(apply, params[index], examples(), batch_size=7)
        assert many["accuracy"][index] == one["accuracy"]
        assert many["loss"][index] == pytest.approx(one["loss"], rel=1e-6)
