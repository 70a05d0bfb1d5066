"""The training loop: a pure step, epochs over data that lies on the device, evaluation."""

import functools
import math
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from jax.typing import ArrayLike

from conv_jax import devices
from conv_jax.divergence import DivergedError, Watch
from conv_jax.losses import Loss, Metrics

Params = Any  # nested dict of arrays
Apply = Callable[[Params, jax.Array], jax.Array]
Augment = Callable[[jax.Array, jax.Array], jax.Array]
Columns = dict[str, np.ndarray]


class Batch(NamedTuple):
    """Examples and what is to be learned of them; [N, ...] for a whole data set."""

    images: jax.Array  # [B, H, W, C]
    labels: jax.Array  # [B] int32, or the targets of a regression [B, ...]


class TrainState(NamedTuple):
    """All that a step reads and changes; of K networks at once, every leaf is [K, ...]."""

    step: jax.Array  # [] int32, steps done
    params: Params
    opt_state: optax.OptState
    average: Params | None  # exponential moving average of params; None without
    key: jax.Array  # of the run
    settings: dict[str, jax.Array]  # numbers of this network's own, for the step to read


class Interval(NamedTuple):
    """What some steps on end measured, on the host."""

    epoch: int  # counted from 1
    step: int  # steps done at its end
    metrics: dict[str, np.ndarray]  # each [steps of the interval], or [steps, K]
    seconds: float
    ends_epoch: bool
    diverged: dict[int, DivergedError]  # of K networks those that have no numbers any more


_ORDER, _AUGMENTATION = 0, 1  # what a key folded from the run's key is for

TrainStep = Callable[[TrainState, Batch], tuple[TrainState, Metrics]]


def init_state(
    key: jax.Array,
    params: Params,
    optimizer: optax.GradientTransformation,
    *,
    average: bool = False,
    settings: Mapping[str, ArrayLike] | None = None,
) -> TrainState:
    """Return the state before the first step.

    Under `jax.vmap` over keys and parameters it is the state of K networks, which `train` then
    trains in one program.

    Args:
      key: the key of the run: orders and augmentations are folded from it.
      params: the initial parameters.
      optimizer: the optimizer of the run.
      average: whether to keep a moving average of the parameters.
      settings: numbers of this network's own, such as its learning rate, for a step that reads
        them from the state.

    Returns:
      The state; `average` starts as a copy of `params`.
    """
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        opt_state=optimizer.init(params),
        average=jax.tree.map(jnp.copy, params) if average else None,
        key=key,
        settings={name: jnp.float32(number) for name, number in (settings or {}).items()},
    )


def make_train_step(
    apply: Apply,
    optimizer: optax.GradientTransformation,
    *,
    loss: Loss,
    augment: Augment | None = None,
    average_decay: float | jax.Array = 0.999,
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
        state = state._replace(
            step=state.step + 1, params=params, opt_state=opt_state, average=average
        )
        return state, metrics

    return train_step


def train(
    state: TrainState,
    data: Batch,
    *,
    train_step: TrainStep,
    batch_size: int,
    num_epochs: int,
    interval: int = 100,
    mesh: Mesh | None = None,
) -> Iterator[tuple[TrainState, Interval]]:
    """Train, yielding the state and what was measured after every interval of steps.

    A state whose leaves are [K, ...], from `jax.vmap` of `init_state`, trains K networks in one
    program, each with the order and the augmentation of its own key. One that diverges goes on
    without numbers, and leaves the others alone.

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
      mesh: devices on one axis. Where K is a multiple of them each takes K / devices networks,
        else each takes a part of every batch. None leaves the state where it is.

    Yields:
      (state, Interval).

    Raises:
      ValueError: if a number is below 1, the batch larger than the data, or neither K nor the
        batch a multiple of the devices.
      DivergedError: when a loss, gradient or update is not finite, of all K networks, which
        its `networks` tells apart. The steps
        before it are yielded first, with `ends_epoch` False and a state that is of no use.
    """
    num_examples = data.images.shape[0]
    _check_at_least_1(batch_size=batch_size, num_epochs=num_epochs, interval=interval)
    if batch_size > num_examples:
        raise ValueError(f"batch_size: expected at most {num_examples} examples, got {batch_size}")
    num_batches = num_examples // batch_size
    interval = min(interval, num_batches)
    step, watch = int(devices.fetch(state.step).flat[0]), Watch()
    state = jax.tree.map(jnp.copy, state)  # the caller's own is not donated
    if mesh is not None:
        if batch_size % mesh.size and not _divides_networks(mesh, state):
            raise ValueError(
                f"batch_size: expected a multiple of the {mesh.size} devices, got {batch_size}"
            )
        state = place(state, mesh)
        data = devices.put(data, NamedSharding(mesh, P()))

    def order_of(state: TrainState, epoch: int) -> jax.Array:
        return _epoch_order(state.key, epoch, num_examples, (num_batches, batch_size))

    def advance(state: TrainState, order: jax.Array, count: int) -> tuple[TrainState, Columns]:
        state, metrics = _steps(
            state, data, order, count, train_step=train_step, most=interval, mesh=mesh
        )
        fetched = devices.fetch(metrics)
        return state, {name: column[:count] for name, column in fetched.items()}

    epoch = step // num_batches
    order = order_of(state, epoch)
    state, _ = advance(state, order, 0)  # compiles, so that no interval's seconds hold that
    while step < num_epochs * num_batches:
        count = min(interval, num_batches - step % num_batches)
        start = time.perf_counter()
        if epoch < step // num_batches:
            epoch = step // num_batches
            order = order_of(state, epoch)
        state, metrics = advance(state, order, count)
        seconds = time.perf_counter() - start
        num_good = watch.see(metrics, step=step)
        good = {name: column[:num_good] for name, column in metrics.items()}
        step += num_good
        whole = num_good == count
        if num_good:
            ends_epoch = whole and step % num_batches == 0
            diverged = dict(watch.errors)
            yield state, Interval(epoch + 1, step, good, seconds, ends_epoch, diverged)
        if not whole:
            error = list(watch.errors.values())[-1]
            error.networks = dict(watch.errors)
            raise error


def place(state: TrainState, mesh: Mesh) -> TrainState:
    """Put a state on the devices of a mesh, as `train` does.

    Args:
      state: of one network, or of K.
      mesh: devices on one axis, of all processes if there are several.

    Returns:
      The state: K networks that are a multiple of the devices in parts, else whole on each.
    """
    axes = mesh.axis_names if _divides_networks(mesh, state) else ()
    return devices.put(state, NamedSharding(mesh, P(*axes)))


def program_bytes(
    state: TrainState,
    data: Batch,
    *,
    train_step: TrainStep,
    batch_size: int,
    interval: int = 100,
) -> int:
    """Return the memory that `train` needs on one device, data and state among it.

    Compiles the program of an interval, and reads what XLA reserves for it.

    Args:
      state: where to start, as for `train`; shapes alone will do.
      data: all examples; shapes alone will do.
      train_step: from `make_train_step`.
      batch_size: B.
      interval: most steps between two yields.

    Returns:
      Bytes; 0 from a platform that does not say.
    """
    num_batches = len(data.labels) // batch_size
    order = jax.ShapeDtypeStruct((*state.step.shape, num_batches, batch_size), jnp.int32)
    options = {"train_step": train_step, "most": min(interval, num_batches), "mesh": None}
    sizes = _steps.lower(state, data, order, 0, **options).compile().memory_analysis()
    if sizes is None:
        return 0
    given = sizes.argument_size_in_bytes + sizes.output_size_in_bytes
    return given - sizes.alias_size_in_bytes + sizes.temp_size_in_bytes


def evaluate(
    apply: Apply,
    params: Params,
    data: Batch,
    *,
    batch_size: int = 1000,
) -> tuple[dict[str, Any], np.ndarray]:
    """Evaluate a classifier on every example, the ragged last batch included.

    Networks that devices share, as `train` yields them, stay where they are.

    Args:
      apply: (params, images) -> logits [B, classes], or [K, B, classes] of K networks.
      params: the parameters.
      data: all examples, [N, ...]; labels [N].
      batch_size: examples at a time.

    Returns:
      {"loss", "accuracy"}, means over all N examples, each one number or [K]; and the logits,
      [N, classes] or [K, N, classes].

    Raises:
      ValueError: if batch_size is below 1.
    """
    _check_at_least_1(batch_size=batch_size)
    num_examples = len(data.labels)
    batch_size = min(batch_size, num_examples)
    logits, mesh = [], _mesh_of_networks(params)
    for start in range(0, num_examples, batch_size):
        images = data.images[start : start + batch_size]
        missing = batch_size - images.shape[0]
        padded = jnp.pad(images, ((0, missing),) + ((0, 0),) * (images.ndim - 1))
        logits.append(_apply(apply, params, padded, mesh)[..., : batch_size - missing, :])
    labels = devices.fetch(data.labels)
    outputs = np.concatenate(devices.fetch(logits), axis=-2)
    losses = optax.softmax_cross_entropy_with_integer_labels(
        outputs, np.broadcast_to(labels, outputs.shape[:-1])
    )
    losses = np.asarray(losses)
    correct = outputs.argmax(axis=-1) == labels[(None,) * (outputs.ndim - 2)]
    return {
        "loss": losses.astype(np.float64).mean(axis=-1),
        "accuracy": correct.mean(axis=-1),
    }, outputs


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


@functools.partial(jax.jit, static_argnames=("train_step", "most", "mesh"), donate_argnames="state")
def _steps(
    state: TrainState,
    data: Batch,
    order: jax.Array,
    count: int | jax.Array,
    *,
    train_step: TrainStep,
    most: int,
    mesh: Mesh | None,
) -> tuple[TrainState, Metrics]:
    """Take `count` steps with the batches that `order` names; metrics have `most` rows.

    Args:
      state: of one network, or of K.
      data: all examples.
      order: indices of examples, [S, B] or [K, S, B].
      count: steps to take, at most `most`.
      train_step: of one network.
      most: rows of the metrics.
      mesh: as in `train`.
    """
    loop = functools.partial(_loop, train_step=train_step, most=most)
    if mesh is None:
        return loop(state, data, order, count)
    (axis,) = mesh.axis_names
    if not _divides_networks(mesh, state):  # XLA adds up the gradients of the batch's parts
        parts = P(*[None] * (order.ndim - 1), axis)
        order = lax.with_sharding_constraint(order, NamedSharding(mesh, parts))
        state, metrics = loop(state, data, order, count)
        return lax.with_sharding_constraint((state, metrics), NamedSharding(mesh, P()))
    loop = jax.shard_map(
        loop,
        mesh=mesh,
        in_specs=(P(axis), P(), P(axis), P()),
        out_specs=(P(axis), P(None, axis)),
        check_vma=False,  # nothing is exchanged, and a step need not know that it is split
    )
    return loop(state, data, order, count)


def _loop(
    state: TrainState,
    data: Batch,
    order: jax.Array,
    count: int | jax.Array,
    *,
    train_step: TrainStep,
    most: int,
) -> tuple[TrainState, Metrics]:
    def next_step(state: TrainState, order: jax.Array) -> tuple[TrainState, Metrics]:
        indices = order[state.step % order.shape[0]]
        return train_step(state, Batch(data.images[indices], data.labels[indices]))

    if state.step.ndim:
        next_step = jax.vmap(next_step)

    def body(index: jax.Array, carry: tuple[TrainState, Metrics]) -> tuple[TrainState, Metrics]:
        state, metrics = carry
        state, row = next_step(state, order)
        return state, {name: metrics[name].at[index].set(row[name]) for name in metrics}

    measured = jax.eval_shape(lambda state: next_step(state, order)[1], state)
    rows = {name: jnp.zeros((most, *row.shape), row.dtype) for name, row in measured.items()}
    return lax.fori_loop(0, count, body, (state, rows))


def _divides_networks(mesh: Mesh, state: TrainState) -> bool:
    return state.step.ndim == 1 and state.step.size % mesh.size == 0


def _mesh_of_networks(params: Params) -> Mesh | None:
    """Return the devices that share K networks, None where there is nothing to share."""
    sharding = getattr(jax.tree.leaves(params)[0], "sharding", None)
    if isinstance(sharding, NamedSharding) and any(sharding.spec):
        return cast(Mesh, sharding.mesh)
    return None


@functools.partial(jax.jit, static_argnums=(0, 3))
def _apply(apply: Apply, params: Params, images: jax.Array, mesh: Mesh | None) -> jax.Array:
    """Compute logits; of networks that the devices of a mesh share, each device its own."""
    if mesh is None:
        return apply(params, images)
    spec = P(*mesh.axis_names)
    options = {"in_specs": (spec, P()), "out_specs": spec, "check_vma": False}
    return jax.shard_map(apply, mesh=mesh, **options)(params, images)


@functools.partial(jax.jit, static_argnums=(2, 3))
def _epoch_order(
    key: jax.Array, epoch: int | jax.Array, num_examples: int, shape: tuple[int, int]
) -> jax.Array:
    def order(key: jax.Array) -> jax.Array:
        permuted = jax.random.permutation(_folded(key, _ORDER, epoch), num_examples)
        return permuted[: math.prod(shape)].reshape(shape)

    return (jax.vmap(order) if key.ndim else order)(key)


def _folded(key: jax.Array, purpose: int, index: int | jax.Array) -> jax.Array:
    return jax.random.fold_in(jax.random.fold_in(key, purpose), index)


def _moving_average(state: TrainState, params: Params, decay: float | jax.Array) -> Params | None:
    if state.average is None:
        return None
    warm_decay = jnp.minimum(decay, (1 + state.step) / (10 + state.step))
    average = optax.incremental_update(params, state.average, 1 - warm_decay)
    return jax.tree.map(lambda new, old: new.astype(old.dtype), average, state.average)


def _check_at_least_1(**numbers: int) -> None:
    for name, number in numbers.items():
        if number < 1:
            raise ValueError(f"{name}: expected at least 1, got {number}")
