"""Losses: functions of a network's outputs and what they should be."""

from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp
import optax

Metrics = dict[str, jax.Array]
Loss = Callable[[jax.Array, jax.Array], tuple[jax.Array, Metrics]]


def cross_entropy(*, label_smoothing: float | jax.Array = 0.0) -> Loss:
    """Return the mean softmax cross entropy of logits [B, classes] and labels [B].

    Args:
      label_smoothing: part of the target spread over all classes, in [0, 1); may be traced.

    Returns:
      A function (logits, labels) -> (loss, {"accuracy"}).
    """

    def loss(logits: jax.Array, labels: jax.Array) -> tuple[jax.Array, Metrics]:
        chex.assert_rank([logits, labels], [2, 1])
        targets = jax.nn.one_hot(labels, logits.shape[-1], dtype=logits.dtype)
        losses = optax.softmax_cross_entropy(logits, optax.smooth_labels(targets, label_smoothing))
        return losses.mean(), {"accuracy": jnp.mean(logits.argmax(axis=-1) == labels)}

    return loss


def squared_error(outputs: jax.Array, targets: jax.Array) -> tuple[jax.Array, Metrics]:
    """Return the squared error, summed over each example and averaged over the batch.

    Args:
      outputs: [B, ...].
      targets: [B, ...], the same shape.

    Returns:
      The loss, and no other metrics.
    """
    chex.assert_equal_shape([outputs, targets])
    return jnp.sum((outputs - targets) ** 2) / outputs.shape[0], {}
