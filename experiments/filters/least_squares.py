"""Learn a kernel from its outputs: by least squares in closed form, and by gradient descent."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from jaxtyping import Array, Float, Int, Key

from conv_jax import corr2d


class Fit(NamedTuple):
    """The kernel of least squares and least norm, and what the normal matrix A^T A says of it.

    The rows of A are the windows that were seen, so that A k are the outputs of the kernel k. Where
    A^T A is singular, many kernels have the same outputs; the one of least norm has no part that no
    window sees.
    """

    kernel: Float[Array, "*noises taps"]
    eigenvalues: Float[Array, "taps"]  # of A^T A, the least first
    vectors: Float[Array, "taps taps"]  # its eigenvectors, one a column
    rank: Int[Array, ""]  # so many eigenvalues are not 0
    condition: Float[Array, ""]  # the largest of those over the least
    variance: Float[Array, ""]  # the trace of the pseudoinverse of A^T A
    bias: Float[Array, ""]  # the norm of the part of the true kernel that no window sees


class Draw(NamedTuple):
    """Which outputs are observed, and what noise is added to them."""

    corners: Int[Array, "M 2"]  # of the windows
    noise: Float[Array, "noises M"]


def draw(
    key: Key[Array, ""],
    room: Int[Array, "2"],
    noises: Float[Array, "noises"],
    *,
    num_samples: int,
) -> Draw:
    """Draw places with replacement, the same for all noises, and normal noise.

    Args:
      key: consumed.
      room: how many places there are down and right.
      noises: standard deviations.
      num_samples: M.

    Returns:
      The draw.
    """
    place_key, noise_key = jax.random.split(key)
    corners = jax.random.randint(place_key, (num_samples, 2), 0, room[None])
    noise = jax.random.normal(noise_key, (len(noises), num_samples))
    return Draw(corners, noises[:, None] * noise)


def recover(
    image: Float[Array, "H W"], target: Float[Array, "kH kW"], draw: Draw, *, counts: Sequence[int]
) -> Fit:
    """Learn a kernel from its first observed outputs, for several numbers of them.

    Args:
      image: what the kernel sees.
      target: the kernel.
      draw: which outputs are observed, and their noise.
      counts: numbers of samples, up to M.

    Returns:
      A fit for every count: every field has a leading axis of counts.
    """

    def crop(corner: Array) -> Array:
        return lax.dynamic_slice(image, corner, target.shape)

    crops = jax.vmap(crop)(draw.corners)
    outputs = corr2d(crops, target)[None, :, 0, 0] + draw.noise

    def fit_first(count: Array) -> Fit:
        weights = jnp.where(jnp.arange(len(crops)) < count, 1.0, 0.0)
        return fit(crops.reshape(len(crops), -1), outputs, target, weights=weights)

    return lax.map(fit_first, jnp.array(counts))


def fit(
    windows: Float[Array, "samples taps"],
    outputs: Float[Array, "*noises samples"],
    target: Float[Array, "kH kW"],
    *,
    weights: Float[Array, "samples"] | float = 1.0,
) -> Fit:
    """Solve the normal equations A^T W A k = A^T W y, in the least norm where they leave a choice.

    The expected square of |k - target| is bias^2 + sigma^2 variance, for independent noise of
    standard deviation sigma (Gauss and Markov): sigma sqrt(trace((A^T A)^-1)) is the standard
    error where A^T A is invertible.

    Args:
      windows: A, a window a row.
      outputs: y, of one experiment or several.
      target: the true kernel, of which only the bias is told.
      weights: the diagonal of W.

    Returns:
      The fit. An eigenvalue up to max(samples, taps) eps times the largest counts as 0.
    """
    weighted = windows * jnp.broadcast_to(weights, len(windows))[:, None]
    values, vectors = jnp.linalg.eigh(weighted.T @ windows)
    kept = values > max(windows.shape) * jnp.finfo(values.dtype).eps * values[-1]
    inverse = jnp.where(kept, 1 / jnp.where(kept, values, 1), 0)
    kernel = outputs @ weighted @ (vectors * inverse[None]) @ vectors.T
    unseen = jnp.where(kept, 0, target.ravel() @ vectors)
    condition = values[-1] / jnp.min(values, where=kept, initial=jnp.inf)
    bias = jnp.linalg.norm(unseen)
    return Fit(kernel, values, vectors, kept.sum(), condition, inverse.sum(), bias)


def descend(
    image: Float[Array, "H W"],
    outputs: Float[Array, "H_out W_out"],
    initial: Float[Array, "kH kW"],
    *,
    correlate: Callable[..., Array],
    learning_rate: Float[Array, ""] | float,
    num_steps: int,
) -> Float[Array, "S kH kW"]:
    """Learn a kernel by gradient descent on |correlate(image, kernel) - outputs|^2 / 2.

    Args:
      image: what the kernel sees.
      outputs: what it should make of it.
      initial: where to start.
      correlate: `corr2d`, or `conv2d` for a strict convolution.
      learning_rate: of every step.
      num_steps: S - 1.

    Returns:
      The kernel at the start and after every step.
    """
    optimizer = optax.sgd(learning_rate)

    def loss(kernel: Array) -> Array:
        return jnp.sum((correlate(image, kernel) - outputs) ** 2) / 2

    def step(carry: tuple[Array, optax.OptState], _: None) -> tuple[tuple, Array]:
        kernel, state = carry
        updates, state = optimizer.update(jax.grad(loss)(kernel), state)
        kernel += jnp.asarray(updates)
        return (kernel, state), kernel

    _, path = lax.scan(step, (initial, optimizer.init(initial)), length=num_steps)
    return jnp.concatenate([initial[None], path])


def fastest_rate(fit: Fit) -> float:
    """Return the constant learning rate that shrinks the slowest part fastest: 2 / (max + min).

    Each step multiplies the part along an eigenvector by 1 - rate * eigenvalue; at this rate none
    is more than (condition - 1) / (condition + 1) in absolute value (Nesterov, Introductory
    Lectures on Convex Optimization, 2.1.5).
    """
    return float(2 / (fit.eigenvalues[-1] * (1 + 1 / fit.condition)))


def expected_distances(
    fit: Fit, steps: Int[np.ndarray, "S"], *, learning_rate: float
) -> Float[np.ndarray, "S"]:
    """Return how far gradient descent from 0 is from the fit's kernel after some steps.

    sqrt(sum_i (1 - rate * l_i)^(2 t) (v_i . k)^2), with l_i the eigenvalues that are not 0, v_i
    their eigenvectors, t the steps and k the kernel of the fit.

    Args:
      fit: of one experiment, with NumPy arrays.
      steps: numbers of steps, at least 0.
      learning_rate: of every step.

    Returns:
      A distance for each.
    """
    kept = np.arange(fit.eigenvalues.size) >= fit.eigenvalues.size - fit.rank
    factors = np.abs(1 - learning_rate * fit.eigenvalues[kept])
    parts = (fit.kernel @ fit.vectors)[kept]
    return np.linalg.norm(factors ** steps[:, None] * parts, axis=1)
