"""LeNet5's training on the drop-ins: the same parameters as stock Flax, no slow convolution."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from conv_jax import losses, models, training
from conv_jax.layers import conv_general_dilated, max_pool
from conv_jax.training import Batch
from experiments.networks import NETWORKS, nnx_model

NUM_STEPS, BATCH_SIZE = 50, 8
OURS = {"conv": conv_general_dilated, "max_pool": max_pool}
FAST_LAYOUT = "b01f_01io->b01f"  # NHWC, HWIO, NHWC


def lenet5(**options):
    return nnx_model(NETWORKS["lenet5"], **options)


def data(dtype):
    keys = jax.random.split(jax.random.key(0))
    images = jax.random.normal(keys[0], (NUM_STEPS * BATCH_SIZE, 32, 32, 1), dtype)
    return Batch(images, jax.random.randint(keys[1], (len(images),), 0, 10))


def start(model, optimizer, dtype):
    params = jax.tree.map(lambda leaf: leaf.astype(dtype), model.init(jax.random.key(1)))
    return training.init_state(jax.random.key(2), params, optimizer)


def one_program(step, state, examples):
    trained = training.train(state, examples, train_step=step, batch_size=BATCH_SIZE, num_epochs=1)
    return [state for state, _ in trained][-1].params


def python_loop(step, state, examples):
    order = training._epoch_order(state.key, 0, len(examples.labels), (NUM_STEPS, BATCH_SIZE))
    step = jax.jit(step)
    for indices in order:
        state, _ = step(state, Batch(examples.images[indices], examples.labels[indices]))
    return state.params


@pytest.mark.parametrize("steps", [one_program, python_loop])
def test_parameters_equal_those_of_stock_flax(steps, x64):
    optimizer = optax.sgd(0.05, momentum=0.9)
    model, examples = lenet5(), data("float64")

    def train(model, steps):
        step = training.make_train_step(model.apply, optimizer, loss=losses.cross_entropy())
        return steps(step, start(model, optimizer, "float64"), examples)

    actual, expected = train(lenet5(**OURS), steps), train(model, python_loop)

    # Each step adds an error of at most (terms + 1) eps relative to a gradient's largest sums.
    terms = BATCH_SIZE * 28 * 28
    bound = NUM_STEPS * (terms + 1) * np.finfo(np.float64).eps
    moved = jax.tree.map(jnp.subtract, expected, start(model, optimizer, "float64").params)
    for ours, theirs, change in zip(*map(jax.tree.leaves, (actual, expected, moved)), strict=True):
        assert np.linalg.norm(ours - theirs) <= bound * np.linalg.norm(change)
        assert np.linalg.norm(change) > 1e-3


def layouts_of_an_epoch(**options):
    """Return the layouts of the convolutions in the compiled program of an epoch."""
    optimizer, model, examples = optax.sgd(0.05), lenet5(**options), data("float32")
    step = training.make_train_step(model.apply, optimizer, loss=losses.cross_entropy())
    order = jnp.zeros((NUM_STEPS, BATCH_SIZE), "int32")
    state = start(model, optimizer, "float32")
    program = training._steps.lower(step, NUM_STEPS, state, examples, order, NUM_STEPS).compile()
    return set(re.findall(r"convolution\(.*dim_labels=([^\s,]+)", program.as_text()))


def test_an_epoch_has_no_convolution_in_a_slow_layout():
    assert layouts_of_an_epoch(**OURS) <= {FAST_LAYOUT}


def test_an_epoch_of_stock_flax_has_one():
    assert layouts_of_an_epoch() - {FAST_LAYOUT}


def test_the_models_are_built_on_the_drop_ins():
    params = models.build(models.LeNet5).init(jax.random.key(0))
    images = jnp.zeros((2, 32, 32, 1))
    program = jax.make_jaxpr(models.build(models.LeNet5).apply)(params, images)
    assert "conv_general_dilated[" not in str(program)
