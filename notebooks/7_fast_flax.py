# %% [markdown]
# # A faster Flax CNN on a CPU, by two lines
#
# An ordinary convolutional network in Flax NNX, trained on the digits that come with conv_jax.
# Then the same network with two lines changed: its convolution and its pooling come from conv_jax.
# It answers: how much faster does a step get, from Python and inside `lax.scan`, and does the
# network still learn the same numbers?

# %%
# %matplotlib inline
import functools
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax import lax
from matplotlib import pyplot as plt

import conv_jax as cj
from conv_jax import data

# %% [markdown]
# ## The network
#
# `Conv` and `max_pool` are arguments only so that this page can build the network twice.


# %%
class CNN(nnx.Module):
    def __init__(self, Conv, max_pool, *, rngs):  # noqa: N803 - it is a class
        self.conv1 = Conv(1, 32, (3, 3), rngs=rngs)
        self.conv2 = Conv(32, 64, (3, 3), rngs=rngs)
        self.dense = nnx.Linear(8 * 8 * 64, 10, rngs=rngs)
        self.max_pool = max_pool

    def __call__(self, images):
        x = self.max_pool(nnx.relu(self.conv1(images)), (2, 2), (2, 2))
        x = self.max_pool(nnx.relu(self.conv2(x)), (2, 2), (2, 2))
        return self.dense(x.reshape(len(x), -1))


# %% [markdown]
# As Flax has it, and with the two lines:

# %%
stock = {"Conv": nnx.Conv, "max_pool": nnx.max_pool}
fast = {
    "Conv": functools.partial(nnx.Conv, conv_general_dilated=cj.conv_general_dilated),
    "max_pool": cj.max_pool,
}

# %% [markdown]
# ## Training
#
# The digits, 8x8, are brought to 32x32. A step of gradient descent is a pure function of the
# parameters; the epoch is a `lax.scan` over its batches, or a Python loop.

# %%
digits = data.load("digits").train
images = data.resize(digits.images, image_size=32)[:320] / np.float32(255)
batches = (
    jnp.asarray(images.reshape(5, 64, 32, 32, 1)),
    jnp.asarray(digits.labels[:320].reshape(5, 64)),
)


def make_step(options):
    network, params = nnx.split(CNN(**options, rngs=nnx.Rngs(0)), nnx.Param)

    def step(params, batch):
        def loss_fn(params):
            logits = nnx.merge(network, params)(batch[0])
            return optax.softmax_cross_entropy_with_integer_labels(logits, batch[1]).mean()

        loss, grads = jax.value_and_grad(loss_fn)(params)
        return jax.tree.map(lambda p, g: p - 0.1 * g, params, grads), loss

    return step, params


def loop(step, params):
    step = jax.jit(step)

    def epoch(params):
        losses = []
        for batch in zip(*batches, strict=True):
            params, loss = step(params, batch)
            losses.append(loss)
        return params, jnp.stack(losses)

    return epoch, params


def scan(step, params):
    return jax.jit(lambda params: lax.scan(step, params, batches)), params


# %% [markdown]
# ## The same numbers, sooner
#
# Each epoch is five steps of 64 images. Stock Flax is slow inside `lax.scan` on a CPU, because
# XLA leaves the gradient of the weights in a layout without a fast program there
# ([jax#12868](https://github.com/jax-ml/jax/issues/12868)).

# %%
seconds, losses = {}, {}
for name, options in {"stock Flax": stock, "conv_jax": fast}.items():
    for how in (loop, scan):
        epoch, params = how(*make_step(options))
        _, losses[name, how.__name__] = jax.block_until_ready(epoch(params))  # compiles
        start = time.perf_counter()
        jax.block_until_ready(epoch(params))
        seconds[name, how.__name__] = (time.perf_counter() - start) / len(batches[0])

for (name, how), value in seconds.items():
    print(f"{name:11s} {how}: {1e3 * value:6.1f} ms a step")
for how in ("loop", "scan"):
    np.testing.assert_allclose(losses["conv_jax", how], losses["stock Flax", how], rtol=1e-4)

# %%
figure, axes = plt.subplots(figsize=(6.4, 2.4), layout="constrained")
labels = [f"{name}, {'lax.scan' if how == 'scan' else 'Python loop'}" for name, how in seconds]
axes.barh(labels, [1e3 * value for value in seconds.values()], color=["0.7", "0.7", "C0", "C0"])
axes.set(xscale="log", xlabel="ms a step, batch of 64 (log)", title="Two lines changed")
axes.invert_yaxis()

# %% [markdown]
# **Where to go next:** `configs/bench_training.toml` times whole training steps, single layers and
# pools like this, against torch too; notebook 1 tells what a convolutional layer computes.
