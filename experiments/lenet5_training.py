"""Training LeNet5: networks that differ in their seeds and in some numbers, in one program."""

import collections
import dataclasses
import functools
import math
import time
from collections.abc import Callable, Mapping, Sequence, Set
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec
from rich.console import Console

from conv_jax import devices, models, plots, training
from conv_jax.divergence import DivergedError
from conv_jax.training import Batch, Interval, TrainState, TrainStep
from experiments.record import Record
from experiments.running import interrupts
from experiments.running.devices import Device, free_bytes, group_sizes, mesh_for
from experiments.running.progress import progress
from experiments.running.resumable import Part, make_part
from experiments.running.run_folder import Row, network_of
from experiments.tables import LeNet5Config

_EVALUATED = 1000  # images at a time, in all networks together
_PRINTED = 16  # networks up to which each has a line on the terminal


@dataclasses.dataclass(frozen=True)
class Network:
    """What one of the networks of a run has of its own."""

    seed: int  # of the weights, the orders and the augmentation
    # By dotted keys of the config: numbers that networks of a program differ in, and what else
    # the run varies, which all of a program share.
    settings: Mapping[str, float] = dataclasses.field(default_factory=dict)
    shared: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def setting(self) -> dict[str, Any]:
        """All that the run varies but the seed."""
        return {**self.shared, **self.settings}

    def __str__(self) -> str:
        """Return the seed and the settings."""
        settings = [
            f"{key} {f'{value:g}' if isinstance(value, float) else value}"
            for key, value in self.setting.items()
        ]
        return ", ".join([f"seed {self.seed}", *settings])


class Task(NamedTuple):
    """All that training needs, made from the config."""

    config: LeNet5Config
    train: Batch  # on the device, grey values 0..255
    test: Batch
    mean: float  # of the training images, on the scale 0..1
    std: float
    evaluated_on: str  # "test", or "held-out training" images
    class_names: tuple[str, ...]
    stored_size: tuple[int, int]  # height and width of the images before they were enlarged
    network: type[models.LeNet5 | models.SmallNet]
    model: models.Model
    model_options: dict[str, Any]
    apply: training.Apply  # params, grey values 0..255 -> logits [B, classes]
    apply_all: training.Apply  # the same of K networks -> [K, B, classes]
    optimizer: Any
    train_step: TrainStep
    num_steps: int
    devices: Sequence[Device]
    input_seconds: float  # that loading the images took


class Outcome(NamedTuple):
    """What one network came to."""

    network: Network
    params: Any  # those evaluated: the moving average where one is kept
    evaluations: list[dict[str, float]]  # one an epoch
    curve: plots.Curve
    epoch_seconds: list[float]  # its share of the program's, training only
    compile_seconds: float  # of the program, and all else before the first step
    diverged: str | None  # what happened, if it did


def train_all(
    task: Task,
    networks: Sequence[Network],
    *,
    record: Record,
    console: Console,
    name: str = "",
) -> list[Outcome]:
    """Train networks in as few programs as the memory of the devices allows.

    Args:
      task: of `lenet5.prepare`.
      networks: with the same settings, of other values.
      record: gets their rows and checkpoints.
      console: shows the progress, and how they were divided.
      name: tells these networks from others of the run.

    Returns:
      What each came to, in the order given.

    Raises:
      Interrupted: if a signal came; what can be saved is saved.
    """
    sizes, outcomes, start = _divide(task, networks, record, console, name=name), [], 0
    with interrupts.deferred() as interrupt:
        for size in sizes:
            group = networks[start : start + size]
            part = make_part(
                record,
                f"{name}{start}-{start + size - 1}",
                belongs=functools.partial(
                    _is_of_any, identities={network_of(_named(network)) for network in group}
                ),
                options=task.config.checkpoint,
                interrupt=interrupt,
            )
            outcomes += train(task, group, part=part, console=console)
            start += size
    return outcomes


def refuse_diverged(outcomes: Sequence[Outcome], record: Record) -> None:
    """Raise an error that names the networks that diverged, if any did, and report them.

    Raises:
      DivergedError: with all of them.
    """
    lost = [f"{outcome.network}: {outcome.diverged}" for outcome in outcomes if outcome.diverged]
    if lost:
        record.report({"diverged": lost})
        raise DivergedError(
            outcomes[0].diverged
            if len(outcomes) == 1
            else f"{len(lost)} of {len(outcomes)} networks diverged; {lost[0]}"
        )


def _divide(
    task: Task, networks: Sequence[Network], record: Record, console: Console, *, name: str
) -> list[int]:
    """Return how many networks each program has; a run that goes on has the same as before."""
    if len(networks) == 1:
        return [1]
    num_devices, free = len(task.devices), free_bytes(jax.local_devices()[0])
    for row in record.rows():
        if row["kind"] == "programs" and row["name"] == name:
            if row["devices"] > num_devices:
                _refuse_more_than_fit(task, networks, row["sizes"], free=free)
            return row["sizes"]
    most = -(-len(networks) // num_devices)
    most = min(most, task.config.at_once or most)
    needed = _bytes(task, networks[:most])
    while most > 1 and needed > free:
        most = -(-most // 2)
        needed = _bytes(task, networks[:most])
    most = -devices.largest(-most)  # the least, for the memory of processes differs
    sizes = group_sizes(len(networks), num_devices=num_devices, most=most)
    console.print(
        f"{len(networks)} networks in {_counted(len(sizes), 'program')} on "
        f"{_counted(num_devices, 'device')}, {needed / 2**30:.2f} GiB each of the "
        f"{free / 2**30:.1f} that it may take"
    )
    divided = {"sizes": sizes, "devices": num_devices, "bytes": needed}
    record.log({"kind": "programs", "name": name, **divided})
    return sizes


def _refuse_more_than_fit(
    task: Task, networks: Sequence[Network], sizes: Sequence[int], *, free: int
) -> None:
    """Check that the programs of a run that goes on fit, which fitted on the devices it had."""
    num_devices = len(task.devices)
    held = max(size // num_devices if size % num_devices == 0 else size for size in sizes)
    needed = _bytes(task, networks[:held])
    if held > 1 and needed > free:
        raise MemoryError(
            f"devices: {held} networks of this run need {needed / 2**30:.1f} GiB on one of "
            f"{_counted(num_devices, 'device')}, which may take {free / 2**30:.1f}; give it more"
        )


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _bytes(task: Task, networks: Sequence[Network]) -> int:
    """Return the memory that a program for these networks needs on one device."""
    return training.program_bytes(
        jax.eval_shape(lambda: initial_state(task, networks)),
        task.train,
        train_step=task.train_step,
        batch_size=task.config.data.batch_size,
        interval=task.config.train.log_every,
    )


def train(
    task: Task,
    networks: Sequence[Network],
    *,
    part: Part,
    console: Console,
) -> list[Outcome]:
    """Train networks in one program, evaluating after every epoch.

    A part that was saved goes on from its checkpoint; one that was done is not trained again.

    Args:
      task: of `lenet5.prepare`.
      networks: with the same settings, of other values.
      part: gets a row for every network after every interval and every evaluation.
      console: shows the progress.

    Returns:
      What each came to. A network that diverged has the evaluations before.

    Raises:
      Interrupted: if a signal came; what can be saved is saved.
    """
    label = str(networks[0])
    if len(networks) > 1:
        label = f"{len(networks)} networks, {label} to {networks[-1]}"
    state, compile_seconds, config = initial_state(task, networks), None, task.config
    batch_size = config.data.batch_size
    mesh = mesh_for(task.devices, num_networks=len(networks), batch_size=batch_size)
    if mesh is not None:
        state = training.place(state, mesh)
        task = task._replace(test=devices.put(task.test, NamedSharding(mesh, PartitionSpec())))
    if restored := part.restore(state):
        state = restored.state
        console.print(restored.damage or f"{label}: going on from step {restored.step}")
    is_done = restored is not None and restored.step == task.num_steps
    params = _evaluated(state)
    diverged = {int(index): what for index, what in part.notes.get("diverged", {}).items()}
    trained = training.train(
        state,
        task.train,
        train_step=task.train_step,
        batch_size=batch_size,
        num_epochs=config.train.epochs,
        interval=config.train.log_every,
        mesh=mesh,
    )
    start = time.perf_counter()
    with progress(console, label=label, num_steps=task.num_steps) as report:
        try:
            for state, interval in () if is_done else trained:
                if compile_seconds is None:
                    compile_seconds = time.perf_counter() - start - interval.seconds
                rows = _training_rows(networks, interval)
                if interval.ends_epoch:
                    params = jax.tree.map(jnp.copy, _evaluated(state))  # for the state is donated
                    rows += _evaluation_rows(task, networks, params, epoch=interval.epoch)
                part.log(*rows)
                diverged = {k: str(error) for k, error in interval.diverged.items()} | diverged
                part.notes["diverged"] = {str(index): what for index, what in diverged.items()}
                report(interval.step, _progress_text(part.rows, task.evaluated_on))
                part.after(interval, state, num_epochs=config.train.epochs)
        except DivergedError as error:
            diverged = {k: str(each) for k, each in error.networks.items()} | diverged
    params = devices.fetch(params)
    outcomes, rows_of = [], collections.defaultdict(list)
    for row in part.rows:
        rows_of[network_of(row)].append(row)
    for index, network in enumerate(networks):
        own = jax.tree.map(lambda leaf, i=index: leaf[i], params) if len(networks) > 1 else params
        outcomes.append(
            _outcome(
                task,
                network,
                params=own,
                rows=rows_of[network_of(_named(network))],
                compile_seconds=compile_seconds or 0.0,
                diverged=diverged.get(index),
            )
        )
        if len(networks) <= _PRINTED or outcomes[-1].diverged:
            _print_outcome(outcomes[-1], task.evaluated_on, console)
    return outcomes


def initial_state(task: Task, networks: Sequence[Network]) -> TrainState:
    """Return the state before the first step: of one network, or [K, ...] of several."""
    options = {
        "init": task.model.init,
        "optimizer": task.optimizer,
        "average": task.config.train.average_decay is not None,
    }
    if len(networks) == 1:
        (network,) = networks
        return _start(jax.random.key(network.seed), dict(network.settings), **options)
    keys = jax.vmap(jax.random.key)(np.array([network.seed for network in networks]))
    names = networks[0].settings
    settings = {name: np.array([n.settings[name] for n in networks], np.float32) for name in names}
    return _start(keys, settings, **options)


@functools.partial(jax.jit, static_argnames=("init", "optimizer", "average"))
def _start(
    key: jax.Array,
    settings: Mapping[str, jax.Array],
    *,
    init: Callable[[jax.Array], Any],
    optimizer: Any,
    average: bool,
) -> TrainState:
    def start(key: jax.Array, settings: Mapping[str, jax.Array]) -> TrainState:
        init_key, run_key = jax.random.split(key)
        return training.init_state(
            run_key, init(init_key), optimizer, average=average, settings=settings
        )

    return (jax.vmap(start) if key.ndim else start)(key, settings)


def _evaluated(state: TrainState) -> Any:
    """Return the parameters to evaluate."""
    return state.params if state.average is None else state.average


def _training_rows(networks: Sequence[Network], interval: Interval) -> list[Row]:
    """Return the means over an interval, a line for every network, of those that diverged too."""
    rows = []
    for index, network in enumerate(networks):
        columns = {k: v.reshape(len(v), -1)[:, index] for k, v in interval.metrics.items()}
        means = {name: float(column.mean(dtype=np.float64)) for name, column in columns.items()}
        place = {"epoch": interval.epoch, "step": interval.step}
        share = interval.seconds / len(networks)
        rows.append({"kind": "train", **_named(network), **place, **means, "seconds": share})
    return rows


def _evaluation_rows(
    task: Task, networks: Sequence[Network], params: Any, *, epoch: int
) -> list[Row]:
    """Return what the networks measure on the images set apart, a line each."""
    apply = task.apply if len(networks) == 1 else task.apply_all
    batch_size = max(_EVALUATED // len(networks), task.config.data.batch_size)
    start = time.perf_counter()
    measured, _ = training.evaluate(apply, params, task.test, batch_size=batch_size)
    share = (time.perf_counter() - start) / len(networks)
    columns = {name: np.atleast_1d(values) for name, values in measured.items()}
    return [
        {
            "kind": "evaluate",
            **_named(network),
            "epoch": epoch,
            **{name: float(values[index]) for name, values in columns.items()},
            "seconds": share,
        }
        for index, network in enumerate(networks)
    ]


def _named(network: Network) -> Row:
    return {"seed": network.seed, **({"setting": network.setting} if network.setting else {})}


def _is_of_any(row: Row, *, identities: Set[str]) -> bool:
    """Tell whether a line is of one of the networks."""
    return network_of(row) in identities


def _progress_text(rows: list[Row], evaluated_on: str) -> str:
    """Say how the last interval stands, in the mean over the networks."""
    trained = [row for row in rows if row["kind"] == "train"]
    last = [row["loss"] for row in trained if row["step"] == trained[-1]["step"]]
    last = [loss for loss in last if math.isfinite(loss)]  # the others diverged
    text = f"epoch {trained[-1]['epoch']}  loss {np.mean(last):.4g}"
    measured = [row for row in rows if row["kind"] == "evaluate"]
    if measured:
        accuracies = [r["accuracy"] for r in measured if r["epoch"] == measured[-1]["epoch"]]
        text += f"  {evaluated_on} accuracy {100 * np.mean(accuracies):.2f} %"
    return text


def _outcome(
    task: Task,
    network: Network,
    *,
    params: Any,
    rows: list[Row],
    compile_seconds: float,
    diverged: str | None,
) -> Outcome:
    """Gather what the lines of a network say."""
    trained = [row for row in rows if row["kind"] == "train"]
    measured = [row for row in rows if row["kind"] == "evaluate"]
    seconds: dict[int, float] = collections.defaultdict(float)
    for row in trained:
        seconds[row["epoch"]] += row["seconds"]
    steps = np.array([row["step"] for row in trained], np.float64)
    curve = plots.Curve(
        epochs=steps * task.config.train.epochs / task.num_steps,
        losses=np.array([row["loss"] for row in trained], np.float64),
        accuracies=np.array([row["accuracy"] for row in measured], np.float64),
    )
    evaluations = [{name: row[name] for name in ("loss", "accuracy")} for row in measured]
    return Outcome(
        network=network,
        params=params,
        evaluations=evaluations,
        curve=curve,
        epoch_seconds=list(seconds.values()),
        compile_seconds=compile_seconds,
        diverged=diverged,
    )


def _print_outcome(outcome: Outcome, evaluated_on: str, console: Console) -> None:
    if outcome.diverged:
        console.print(f"{outcome.network}: {outcome.diverged}")
        return
    losses = outcome.curve.losses
    if losses[-1] > losses[0]:
        rise = f"{losses[0]:.4g} to {losses[-1]:.4g}"
        console.print(
            f"warning: {outcome.network} did not learn: its training loss rose from {rise}"
        )
    accuracy = 100 * outcome.evaluations[-1]["accuracy"]
    console.print(f"{outcome.network}: {evaluated_on} accuracy {accuracy:.2f} %")
