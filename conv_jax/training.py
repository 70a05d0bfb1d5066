"""The training loop: a pure step, epochs over data that lies on the device, evaluation."""

import functools
import math
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from conv_jax.divergence import count_finite, describe_step, diverged
from conv_jax.losses import Loss, Metrics, cross_entropy

Params = Any  # nested dict of arrays
Apply = Callable[[Params, jax.Array], jax.Array]
Augment = Callable[[jax.Array, jax.Array], jax.Array]
Columns = dict[str, np.ndarray]


class Batch(NamedTuple):
    """Examples and what is to be learned of them; [N, ...] for a whole data set."""

    images: jax.Array  # [B, H, W, C]
    labels: jax.Array  # [B] int32, or the targets of a regression [B, ...]


class TrainState(NamedTuple):
    """All that a step reads and changes."""

    step: jax.Array  # [] int32, steps done
    params: Params
    opt_state: optax.OptState
    average: Params | None  # exponential moving average of params; None without
    key: jax.Array  # of the run


class Interval(NamedTuple):
    """What some steps on end measured, on the host."""

    epoch: int  # counted from 1
    step: int  # steps done at its end
    metrics: dict[str, np.ndarray]  # each [steps of the interval]
    seconds: float
    ends_epoch: bool


_ORDER, _AUGMENTATION = 0, 1  # what a key folded from the run's key is for

TrainStep = Callable[[TrainState, Batch], tuple[TrainState, Metrics]]


def init_state(
    key: jax.Array,
    params: Params,
    optimizer: optax.GradientTransformation,
    *,
    average: bool = False,
) -> TrainState:
    """Return the state before the first step.

    Args:
      key: the key of the run: orders and augmentations are folded from it.
      params: the initial parameters.
      optimizer: the optimizer of the run.
      average: whether to keep a moving average of the parameters.

    Returns:
      The state; `average` starts as a copy of `params`.
    """
    copy = jax.tree.map(jnp.copy, params) if average else None
    return TrainState(jnp.zeros((), jnp.int32), params, optimizer.init(params), copy, key)


def make_train_step(
    apply: Apply,
    optimizer: optax.GradientTransformation,
    *,
    loss: Loss,
    augment: Augment | None = None,
    average_decay: float = 0.999,
) -> TrainStep:
    """Return a pure step with the signature `lax.scan` expects.

    Args:
      apply: (params, images) -> outputs.
      optimizer: the optimizer of the run.
      loss: (outputs, labels) -> (loss, metrics).
      augment: (key, images) -> images; None leaves them.
      average_decay: decay per step of the moving average, in [0, 1); smaller at the start:
        at most (1 + step) / (10 + step).

    Returns:
      (state, batch) -> (state, metrics); metrics hold "loss", "grad_norm", "update_norm" and those
      of `loss`.
    """

    def train_step(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        images = batch.images
        if augment is not None:
            images = augment(_folded(state.key, _AUGMENTATION, state.step), images)

        def loss_fn(params: Params) -> tuple[jax.Array, Metrics]:
            return loss(apply(params, images), batch.labels)

        (value, metrics), grads = jax.value_and_grad(loss_fn, has_aux=True)(state.params)
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        average = _moving_average(state, params, average_decay)
        norms = {"grad_norm": optax.tree.norm(grads), "update_norm": optax.tree.norm(updates)}
        metrics = {"loss": value, **norms, **metrics}
        return TrainState(state.step + 1, params, opt_state, average, state.key), metrics

    return train_step


def train(
    state: TrainState,
    data: Batch,
    *,
    train_step: TrainStep,
    batch_size: int,
    num_epochs: int,
    interval: int = 100,
) -> Iterator[tuple[TrainState, Interval]]:
    """Train, yielding the state and what was measured after every interval of steps.

    The data stays on the device; each epoch takes it in a new order, and leaves out the last
    N mod batch_size examples of that order. An interval is one program, on every platform: with
    `conv_jax.conv_general_dilated` a step of four networks inside `lax.scan` takes 0.78 to 1.06
    times as long as one sent off from Python, on two cores of an AMD EPYC
    (`experiments/results/bench_training`). What the steps measured is
    fetched once an interval. The state that goes in is copied; every yielded one is
    donated to the next step: copy what you need of it before asking for more.

    Args:
      state: where to start; a state in the middle of a run goes on from there.
      data: all examples, [N, ...], on the device.
      train_step: from `make_train_step`; use one function for all seeds, to compile once.
      batch_size: B, at most N.
      num_epochs: epochs of the whole run.
      interval: most steps between two yields; an interval ends with its epoch.

    Yields:
      (state, Interval).

    Raises:
      ValueError: if a number is below 1, or the batch larger than the data.
      DivergedError: when a loss, gradient or update is not finite. The steps before it are yielded
        first, with `ends_epoch` False and a state that is of no use.
    """
    num_examples = data.images.shape[0]
    _check_at_least_1(batch_size=batch_size, num_epochs=num_epochs, interval=interval)
    if batch_size > num_examples:
        raise ValueError(f"batch_size: expected at most {num_examples} examples, got {batch_size}")
    num_batches = num_examples // batch_size
    interval = min(interval, num_batches)
    step, last_good = int(state.step), None
    state = jax.tree.map(jnp.copy, state)  # the caller's own is not donated

    def advance(state: TrainState, epoch: int, count: int) -> tuple[TrainState, Columns]:
        order = _epoch_order(state.key, epoch, num_examples, (num_batches, batch_size))
        state, metrics = _steps(train_step, interval, state, data, order, count)
        fetched = jax.device_get(metrics)
        return state, {name: column[:count] for name, column in fetched.items()}

    state, _ = advance(state, 0, 0)  # compiles, so that no interval's seconds hold that
    while step < num_epochs * num_batches:
        epoch, done = divmod(step, num_batches)
        count = min(interval, num_batches - done)
        start = time.perf_counter()
        state, metrics = advance(state, epoch, count)
        seconds = time.perf_counter() - start
        num_good = count_finite(metrics)
        good = {name: column[:num_good] for name, column in metrics.items()}
        step += num_good
        whole = num_good == count
        if num_good:
            last_good = describe_step(metrics, num_good - 1, step=step)
            ends_epoch = whole and step % num_batches == 0
            yield state, Interval(epoch + 1, step, good, seconds, ends_epoch)
        if not whole:
            bad = describe_step(metrics, num_good, step=step + 1)
            raise diverged(bad, last_good=last_good)


def evaluate(
    apply: Apply,
    params: Params,
    data: Batch,
    *,
    batch_size: int = 1000,
) -> tuple[dict[str, float], np.ndarray]:
    """Evaluate a classifier on every example, the ragged last batch included.

    Args:
      apply: (params, images) -> logits.
      params: the parameters.
      data: all examples, [N, ...]; labels [N].
      batch_size: examples at a time.

    Returns:
      {"loss", "accuracy"}, means over all N examples, and the logits [N, classes].

    Raises:
      ValueError: if batch_size is below 1.
    """
    _check_at_least_1(batch_size=batch_size)
    num_examples = len(data.labels)
    batch_size = min(batch_size, num_examples)
    logits = []
    for start in range(0, num_examples, batch_size):
        images = data.images[start : start + batch_size]
        missing = batch_size - images.shape[0]
        padded = jnp.pad(images, ((0, missing),) + ((0, 0),) * (images.ndim - 1))
        logits.append(_apply(apply, params, padded)[: batch_size - missing])
    outputs = jnp.concatenate(logits)
    loss, _ = cross_entropy()(outputs, data.labels)
    correct = np.asarray(outputs).argmax(axis=1) == np.asarray(data.labels)
    return {"loss": float(loss), "accuracy": float(correct.mean())}, np.asarray(outputs)


def standardize(images: jax.Array, *, mean: float, std: float) -> jax.Array:
    """Turn grey values 0..255 into float32 of mean 0 and standard deviation 1.

    Args:
      images: uint8, any shape.
      mean: mean of the training images, on the scale 0..1.
      std: their standard deviation, on the same scale.

    Returns:
      float32 of the same shape.
    """
    return (images.astype(jnp.float32) / 255 - mean) / std


@functools.partial(jax.jit, static_argnums=(0, 1), donate_argnums=2)
def _steps(
    train_step: TrainStep,
    most: int,
    state: TrainState,
    data: Batch,
    order: jax.Array,
    count: int | jax.Array,
) -> tuple[TrainState, Metrics]:
    """Gather the next batches, order [S, B], and take `count` steps; metrics have `most` rows."""

    def next_batch(state: TrainState) -> Batch:
        indices = order[state.step % order.shape[0]]
        return Batch(data.images[indices], data.labels[indices])

    def body(index: jax.Array, carry: tuple[TrainState, Metrics]) -> tuple[TrainState, Metrics]:
        state, metrics = carry
        state, row = train_step(state, next_batch(state))
        return state, {name: metrics[name].at[index].set(row[name]) for name in metrics}

    measured = jax.eval_shape(lambda state: train_step(state, next_batch(state))[1], state)
    rows = {name: jnp.zeros((most, *row.shape), row.dtype) for name, row in measured.items()}
    return lax.fori_loop(0, count, body, (state, rows))


@functools.partial(jax.jit, static_argnums=0)
def _apply(apply: Apply, params: Params, images: jax.Array) -> jax.Array:
    return apply(params, images)


@functools.partial(jax.jit, static_argnums=(2, 3))
def _epoch_order(
    key: jax.Array, epoch: int | jax.Array, num_examples: int, shape: tuple[int, int]
) -> jax.Array:
    order = jax.random.permutation(_folded(key, _ORDER, epoch), num_examples)
    return order[: math.prod(shape)].reshape(shape)


def _folded(key: jax.Array, purpose: int, index: int | jax.Array) -> jax.Array:
    return jax.random.fold_in(jax.random.fold_in(key, purpose), index)


def _moving_average(state: TrainState, params: Params, decay: float) -> Params | None:
    if state.average is None:
        return None
    warm_decay = jnp.minimum(decay, (1 + state.step) / (10 + state.step))
    average = optax.incremental_update(params, state.average, 1 - warm_decay)
    return jax.tree.map(lambda new, old: new.astype(old.dtype), average, state.average)


def _check_at_least_1(**numbers: int) -> None:
    for name, number in numbers.items():
        if number < 1:
            raise ValueError(f"{name}: expected at least 1, got {number}")
