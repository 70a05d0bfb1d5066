"""A Flax Linen model with the fast convolution and pooling: two lines differ from stock Linen."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

import conv_jax as cj
from conv_jax import data

Conv = functools.partial(nn.Conv, conv_general_dilated=cj.conv_general_dilated)


class CNN(nn.Module):
    """Two convolutions with pooling, then a dense layer."""

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        """Return the logits."""
        x = cj.max_pool(nn.relu(Conv(16, (3, 3))(images)), (2, 2), (2, 2))
        x = cj.max_pool(nn.relu(Conv(32, (3, 3))(x)), (2, 2), (2, 2))
        return nn.Dense(10)(x.reshape(len(x), -1))


model = CNN()
digits = data.load("digits").train
images, labels = jnp.asarray(digits.images[:500]) / 255, jnp.asarray(digits.labels[:500])
optimizer = optax.adam(3e-3)


@jax.jit
def train_step(params, opt_state):
    """Take a step with all images at once."""

    def loss_fn(params):
        logits = model.apply(params, images)
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

    loss, grads = jax.value_and_grad(loss_fn)(params)
    updates, opt_state = optimizer.update(grads, opt_state)
    return optax.apply_updates(params, updates), opt_state, loss


params = model.init(jax.random.key(0), images[:1])
opt_state = optimizer.init(params)
losses = []
for _ in range(40):
    params, opt_state, loss = train_step(params, opt_state)
    losses.append(float(loss))
print(f"loss {losses[0]:.2f} before, {losses[-1]:.2f} after {len(losses)} steps")
