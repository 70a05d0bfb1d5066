"""Where the time of a training step goes, by programs that do more and more of the step.

The first program takes a batch, the next one augments it too, and so on through the layers, the
loss, the gradients from the last layer back to the first, and the optimizer: the last program is
the step itself. Each runs in a loop, as in training. A stage costs what its program takes longer
than the one before, so the stages add up to the step. XLA fuses differently where more follows,
so a cheap stage may come out below 0, and other work on the machine blurs it: see the spread.

A trace agrees with the whole step (14.1 ms against 15.1, on a busy machine) but cannot tell its
stages: on a CPU it names operations and no layers, and half the time of a step of LeNet5 is in
fusions that are all called ynn_fusion. It is for looking at.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from rich.table import Table

from conv_jax import augment, losses, models
from conv_jax.training import Batch, TrainState, standardize
from experiments.benchmarks.timing import Pace, time_in_turns
from experiments.lenet5_training import Network, Task, initial_state
from experiments.printed_table import printed_table

Beginning = Callable[[TrainState, Batch], Any]  # of a step, and what that gives
ROUNDS = 15
_GROUPS = {
    "conv": "convolutions",
    "pool": "pooling",
    "mean": "pooling",
    "fc": "dense layers",
    "logits": "dense layers",
}
_FREE = ("input", "flatten")  # maps that cost nothing


class Stage(NamedTuple):
    """What a part of the step takes."""

    name: str
    seconds: float  # of its program less those of the program before
    spread: float  # interquartile range of that over the rounds


def measure(task: Task, *, steps: int) -> list[Stage]:
    """Measure all stages of a step of one network on one device.

    Args:
      task: of `lenet5.prepare`.
      steps: of one call of a program; every program is called once a round, in a new order.

    Returns:
      The stages in the order of the step, which they add up to.
    """
    programs = {name: loop(task, part, steps=steps) for name, part in beginnings(task).items()}
    for program in programs.values():
        program()  # compiles
    pace = Pace(seconds=math.inf, turn=0.0, min_rounds=ROUNDS, max_rounds=ROUNDS)
    turns = time_in_turns(programs, pace=pace, seed=0)
    times = np.array([turns[name] for name in programs]) / steps
    seconds = np.diff(np.median(times, axis=1), prepend=0.0)
    low, high = np.quantile(np.diff(times, axis=0, prepend=0.0), (0.25, 0.75), axis=1)
    return list(map(Stage, programs, seconds.tolist(), (high - low).tolist()))


def trace(task: Task, *, steps: int, folder: Path) -> None:
    """Write a trace of so many warm steps, for Perfetto (perfetto_trace.json.gz) and xprof."""
    run = loop(task, task.train_step, steps=steps)
    run()
    with jax.profiler.trace(str(folder), create_perfetto_trace=True):
        run()


def loop(task: Task, begin: Beginning, *, steps: int) -> Callable[[], Any]:
    """Return a function that does a beginning of so many steps, and waits for it.

    Args:
      task: of `lenet5.prepare`.
      begin: (state, batch) -> (state, anything).
      steps: each with another batch.
    """
    state = initial_state(task, [Network(task.config.seed)])
    size, num_examples = task.config.data.batch_size, len(task.train.labels)
    shuffled = np.random.default_rng(0).permutation(num_examples)
    rest = num_examples % size
    order = jnp.asarray(shuffled[: num_examples - rest].reshape(-1, size), jnp.int32)

    @jax.jit
    def run(state: TrainState, data: Batch, order: jax.Array) -> Any:
        def step(state: TrainState) -> tuple[TrainState, Any]:
            indices = order[state.step % len(order)]
            return begin(state, Batch(data.images[indices], data.labels[indices]))

        given = jax.eval_shape(step, state)[1]
        first = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), given)
        # The loop keeps what the last step gave, so that none can leave it out.
        return lax.fori_loop(0, steps, lambda _, carry: step(carry[0]), (state, first))

    return lambda: jax.block_until_ready(run(state, task.train, order))


def beginnings(task: Task) -> dict[str, Beginning]:
    """Return the programs by the stage that each ends with, from the batch to the whole step."""
    config = task.config
    change = augment.from_config(config.augment.model_dump())
    loss = losses.cross_entropy(label_smoothing=config.train.label_smoothing)
    model = models.build(task.network, method="feature_maps", **task.model_options)

    def images_of(state: TrainState, batch: Batch) -> jax.Array:
        if change is None:
            return batch.images
        return change(jax.random.fold_in(state.key, state.step), batch.images)

    def maps_of(state: TrainState, batch: Batch) -> Mapping[str, jax.Array]:
        images = standardize(images_of(state, batch), mean=task.mean, std=task.std)
        return model.apply(state.params, images)

    def loss_of(params: Any, state: TrainState, batch: Batch) -> tuple[jax.Array, Any]:
        return loss(task.apply(params, images_of(state, batch)), batch.labels)

    def give_map(name: str) -> Beginning:
        return lambda state, batch: maps_of(state, batch)[name]

    def give_gradient(chosen: Any) -> Beginning:
        """Return a program that goes back as far as the chosen parameters ask for."""

        def gradient(state: TrainState, batch: Batch) -> Any:
            def of_chosen(some: list[jax.Array]) -> tuple[jax.Array, Any]:
                leaves, tree = jax.tree.flatten(state.params)
                for index, leaf in zip(chosen, some, strict=True):
                    leaves[index] = leaf
                return loss_of(jax.tree.unflatten(tree, leaves), state, batch)

            own = jax.tree.leaves(state.params)
            return jax.value_and_grad(of_chosen, has_aux=True)([own[index] for index in chosen])

        return gradient

    state = jax.eval_shape(lambda: initial_state(task, [Network(config.seed)]))
    batch = Batch(*(part[: config.data.batch_size] for part in task.train))
    names = [name for name in jax.eval_shape(maps_of, state, batch) if name not in _FREE]
    parts: dict[str, Beginning] = {"input": lambda state, batch: batch}
    if change is not None:
        parts["augmentation"] = images_of
    parts |= {name: give_map(name) for name in names}
    parts["loss"] = lambda state, batch: loss_of(state.params, state, batch)
    parts |= {name: give_gradient(chosen) for name, chosen in _gradients(state.params)}
    return {name: _advancing(part) for name, part in parts.items()} | {
        "optimizer and the rest": task.train_step
    }


def total(stages: list[Stage]) -> float:
    """Return the seconds of the whole step."""
    return math.fsum(stage.seconds for stage in stages)


def groups(stages: list[Stage]) -> dict[str, float]:
    """Return the seconds of each kind of stage, in the order of the step, which they add up to."""
    found: dict[str, list[float]] = {}
    for stage in stages:
        found.setdefault(_group(stage.name), []).append(stage.seconds)
    return {name: math.fsum(seconds) for name, seconds in found.items()}


def printed(stages: list[Stage], *, title: str) -> list[Table]:
    """Return the tables for a terminal: the groups, then the stages."""
    whole = total(stages)

    def cells(seconds: float) -> list[str]:
        return [f"{1e3 * seconds:.3f}", f"{100 * seconds / whole:.1f}"]

    short = printed_table(title, ("group", "ms", "% of the step"))
    for name, seconds in groups(stages).items():
        short.add_row(name, *cells(seconds))
    short.add_section()
    short.add_row("the step", *cells(whole))
    caption = f"+- is the interquartile range over {ROUNDS} rounds; a stage below it may be noise"
    table = printed_table(None, ("stage", "ms", "% of the step", "+- ms"), caption=caption)
    for name, seconds, spread in stages:
        table.add_row(name, *cells(seconds), f"{1e3 * spread:.3f}")
    return [short, table]


def _group(stage: str) -> str:
    """Return what kind of stage it is; a way back to a convolution is of pooling and the next."""
    if stage.startswith("back to"):
        return "back through pooling and convolutions"
    layer = stage.removeprefix("gradient of ").rstrip("0123456789")
    return _GROUPS.get(layer, layer)


def _advancing(part: Beginning) -> Beginning:
    """Count the step, so that the next one has another batch."""
    return lambda state, batch: (state._replace(step=state.step + 1), part(state, batch))


def _gradients(params: Any) -> Iterator[tuple[str, list[int]]]:
    """Yield what is reached on the way back, and the numbers of all parameters up to there.

    A convolution's bias needs what comes back to its output: through its activation and pooling,
    and the image's gradient of the convolution after it. Its kernel needs one correlation more.
    """
    paths = [path for path, _ in jax.tree.leaves_with_path(params)]
    keys = [tuple(str(part.key) for part in path) for path in paths]

    def depth(layer: str) -> tuple[bool, int]:
        number = re.search(r"\d*$", layer)
        return not layer.startswith("conv"), int((number and number[0]) or 0)

    reached: list[int] = []
    for layer in sorted({layer for layer, _ in keys}, key=depth, reverse=True):
        own = [index for index, key in enumerate(keys) if key[0] == layer]
        for group in [[index] for index in own] if layer.startswith("conv") else [own]:
            reached = [*reached, *group]
            ends = len(group) == 1 and keys[group[0]][1] == "bias"
            yield f"back to {layer}" if ends else f"gradient of {layer}", reached
