"""LeNet5's training on the drop-ins: the same parameters as stock Flax, no slow convolution."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from conv_jax import losses, models, training
from conv_jax.layers import conv_general_dilated
from conv_jax.pooling import max_pool
from conv_jax.training import Batch
from experiments.benchmarks.networks import NETWORKS, nnx_model

NUM_STEPS, BATCH_SIZE = 30, 8
OURS = {"conv": conv_general_dilated, "max_pool": max_pool}
FAST_LAYOUT = "b01f_01io->b01f"  # NHWC, HWIO, NHWC


def setup(dtype, **options):
    """Return LeNet5's training step, the state before it and the examples."""
    model = nnx_model(NETWORKS["lenet5"], **options)
    optimizer = optax.sgd(0.05, momentum=0.9)
    step = training.make_train_step(model.apply, optimizer, loss=losses.cross_entropy())
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    numbers = np.random.default_rng(0)
    params = jax.tree.map(
        lambda leaf: jnp.asarray(numbers.normal(size=leaf.shape, scale=0.05), dtype), shapes
    )
    images = jnp.asarray(numbers.normal(size=(NUM_STEPS * BATCH_SIZE, 32, 32, 1)), dtype)
    examples = Batch(images, jnp.asarray(numbers.integers(0, 10, len(images)), "int32"))
    return step, training.init_state(jax.random.key(2), params, optimizer), examples


def one_program(step, state, examples):
    trained = training.train(state, examples, train_step=step, batch_size=BATCH_SIZE, num_epochs=1)
    return [state for state, _ in trained][-1].params


def python_loop(step, state, examples):
    order = training._epoch_order(state.key, 0, len(examples.labels), (NUM_STEPS, BATCH_SIZE))
    step = jax.jit(step)
    for indices in order:
        state, _ = step(state, Batch(examples.images[indices], examples.labels[indices]))
    return state.params


@pytest.fixture(scope="module")
def expected():
    """The parameters that stock Flax comes to, and how far they moved."""
    with jax.enable_x64(True):
        step, state, examples = setup("float64")
        params = python_loop(step, state, examples)
        return params, jax.tree.map(jnp.subtract, params, state.params)


@pytest.mark.parametrize("steps", [one_program, python_loop])
def test_parameters_equal_those_of_stock_flax(steps, expected, x64):
    actual = steps(*setup("float64", **OURS))

    # Each step adds an error of at most (terms + 1) eps relative to a gradient's largest sums.
    terms = BATCH_SIZE * 28 * 28
    bound = NUM_STEPS * (terms + 1) * np.finfo(np.float64).eps
    for ours, theirs, change in zip(*map(jax.tree.leaves, (actual, *expected)), strict=True):
        assert np.linalg.norm(ours - theirs) <= bound * np.linalg.norm(change)
        assert np.linalg.norm(change) > 1e-3


def layouts_of_an_epoch(**layers):
    """Return the layouts of the convolutions in the compiled program of an epoch."""
    step, state, examples = setup("float32", **layers)
    order = jnp.zeros((NUM_STEPS, BATCH_SIZE), "int32")
    options = {"train_step": step, "most": NUM_STEPS, "mesh": None}
    program = training._steps.lower(state, examples, order, NUM_STEPS, **options).compile()
    return set(re.findall(r"convolution\(.*dim_labels=([^\s,]+)", program.as_text()))


def test_an_epoch_has_no_convolution_in_a_slow_layout():
    assert layouts_of_an_epoch(**OURS) <= {FAST_LAYOUT}


def test_an_epoch_of_stock_flax_has_one():
    assert layouts_of_an_epoch() - {FAST_LAYOUT}


def test_the_models_are_built_on_the_drop_ins():
    model = models.build(models.LeNet5)
    params = jax.eval_shape(model.init, jax.random.key(0))
    program = jax.make_jaxpr(model.apply)(params, jnp.zeros((2, 32, 32, 1)))
    assert "conv_general_dilated[" not in str(program)
