"""Time training steps, single layers and pools against stock Flax and torch; race to 99 %."""

import functools
import importlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from rich.console import Console

import conv_jax as cj
from conv_jax import augment, optimizers, training
from conv_jax.allocator import keep_freed_memory
from conv_jax.losses import cross_entropy
from conv_jax.models import Model, num_params
from experiments import config as configs
from experiments import lenet5
from experiments.benchmarks import networks, peers, timing, training_summary
from experiments.benchmarks.layer_cases import CONVOLUTIONS, POOLS, ConvCase, PoolCase
from experiments.benchmarks.networks import NETWORKS, NUM_CLASSES
from experiments.benchmarks.timing import Call, Pace
from experiments.record import Record
from experiments.running.progress import progress
from experiments.tables import BenchTrainingConfig, LeNet5Config

LEARNING_RATE = 0.01
_MOST_TWICE = 20.0  # seconds of a first call, beyond which there is no second
OURS = {"conv": cj.conv_general_dilated, "max_pool": cj.max_pool}
FLAX: dict[str, Callable[[networks.Network], Model]] = {
    "ours": functools.partial(networks.nnx_model, **OURS),
    "nnx": networks.nnx_model,
    "linen": networks.linen_model,
}
TORCH = {"torch": False, "torch.compile": True}


class Task(NamedTuple):
    """What is to be measured."""

    config: BenchTrainingConfig
    threads: int
    has_torch: bool
    pace: Pace
    race: lenet5.Task | None


def prepare(config: BenchTrainingConfig) -> Task:
    """Find out who can take part.

    Raises:
      ValueError: for a name in `layers` or `pools` that is not known, or a race that cannot be.
      OSError: for data of the race that cannot be found or fetched.
    """
    keep_freed_memory()  # for all contestants alike
    for key, known in (("layers", CONVOLUTIONS), ("pools", POOLS)):
        for name in getattr(config, key) or ():
            if name not in known:
                raise ValueError(f"{key}: expected some of {', '.join(known)}, got {name!r}")
    clock = config.clock
    return Task(
        config=config,
        race=_prepare_race(config),
        threads=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1,
        has_torch=peers.installed("torch") is not None,
        pace=Pace(clock.seconds, clock.turn, clock.min_rounds, clock.max_rounds),
    )


def run(task: Task, record: Record, console: Console) -> None:
    """Measure everything, report what it comes to, write the tables, draw the figures."""
    config = task.config
    peers.set_threads(task.threads)
    if not task.has_torch:
        console.print("not installed, so not measured: torch")
    stolen = timing.stolen_seconds()
    results: dict[str, Any] = {
        "experiment": config.experiment,
        "threads": task.threads,
        "torch": peers.version("torch"),
        "matmul_flops": timing.matmul_rate(pace=task.pace),
        "steps": [],
        "layers": [],
        "pools": [],
    }
    record.report(results)
    layers = CONVOLUTIONS if config.layers is None else {n: CONVOLUTIONS[n] for n in config.layers}
    pools = POOLS if config.pools is None else {n: POOLS[n] for n in config.pools}
    cells: list[tuple[str, Callable[[], dict[str, Any]]]] = [
        *(("steps", functools.partial(_steps, task, cell)) for cell in config.steps),
        *(
            ("pools", functools.partial(_pool, task, case, quantity))
            for case in pools.values()
            for quantity in ("value", "gradient")
        ),
        *(
            ("layers", functools.partial(_layer, task, case, quantity))
            for case in layers.values()
            for quantity in ("value", "gradient")
        ),
    ]
    with progress(console, label="cell", num_steps=len(cells)) as report:
        for index, (table, measure) in enumerate(cells, start=1):
            row = measure()
            record.log({"table": table, **row})
            results[table].append(row)
            report(index, training_summary.line(row))
    results["race"] = _race(task, record, console)
    results["stolen_seconds"] = timing.stolen_seconds() - stolen
    results["summary"] = training_summary.summarize(results)
    record.report(results)
    tables = training_summary.tables(results)
    (record.folder / "table.md").write_text(tables, encoding="utf-8")
    for line in training_summary.lines(results["summary"]):
        console.print(line)
    for name, figure in training_summary.figures(results).items():
        record.save_figure(name, figure)


def _prepare_race(config: BenchTrainingConfig) -> lenet5.Task | None:
    """Read the recipe that the race runs."""
    if config.race is None:
        return None
    recipe = configs.load(Path(config.race.recipe))
    if (
        not isinstance(recipe, LeNet5Config)
        or augment.from_config(recipe.augment.model_dump()) is not None
        or recipe.train.average_decay
    ):
        raise ValueError(
            "race.recipe: expected a config of lenet5 without augmentation and moving average, "
            f"got {config.race.recipe}"
        )
    return lenet5.prepare(recipe)


def _race(task: Task, record: Record, console: Console) -> dict[str, Any]:
    """Train LeNet5 by one recipe, ours and torch's, from several seeds each."""
    race, seeds = task.race, range(task.config.race.seeds) if task.config.race else range(0)
    if race is None:
        return {}
    outcomes = [lenet5.train_seed(race, seed, record=record, console=console) for seed in seeds]
    found = {
        "ours": {
            "seconds": [sum(outcome.epoch_seconds) for outcome in outcomes],
            "accuracy": [outcome.evaluations[-1]["accuracy"] for outcome in outcomes],
            "compile_seconds": outcomes[0].compile_seconds,
        }
    }
    if task.has_torch:
        torch_networks = importlib.import_module("experiments.benchmarks.torch_networks")
        recipe = race.config
        table = recipe.optimizer.model_dump()
        schedule = optimizers.make_schedule(
            table["schedule"],
            learning_rate=table["learning_rate"],
            num_steps=race.num_steps,
            warmup=table["warmup"],
        )
        examples = [
            (
                np.asarray(training.standardize(images, mean=race.mean, std=race.std)),
                np.asarray(labels),
            )
            for images, labels in (race.train, race.test)
        ]
        runs = []
        for seed in seeds:
            seconds, accuracy = torch_networks.train_classifier(
                NETWORKS["lenet5"],
                *examples,
                optimizer=table,
                rates=[float(schedule(step)) for step in range(race.num_steps)],
                batch_size=recipe.data.batch_size,
                label_smoothing=recipe.train.label_smoothing,
                seed=seed,
            )
            console.print(f"torch, seed {seed}: {100 * accuracy:.2f} %, {seconds:.2f} s")
            runs.append((seconds, accuracy))
        found["torch"] = dict(zip(("seconds", "accuracy"), zip(*runs, strict=True), strict=True))
    return found


def _steps(task: Task, cell: Any) -> dict[str, Any]:
    """Time the training step of one network by everyone, from Python and inside `lax.scan`."""
    network, batch_size = NETWORKS[cell.network], cell.batch_size
    numbers = np.random.default_rng(task.config.seed)
    images = numbers.normal(size=(batch_size, *network.image_shape)).astype(np.float32)
    labels = numbers.integers(0, NUM_CLASSES, batch_size).astype(np.int32)
    calls: dict[str, tuple[Call, int]] = {}
    sizes = {}
    for name, make in FLAX.items():
        model = make(network)
        params = model.init(jax.random.key(0))
        sizes[name] = num_params(params)
        step = functools.partial(_descend, model.apply)
        calls[name] = _from_python(step, params, images, labels), 1
        count = task.config.scan_steps
        calls[f"{name} in scan"] = _in_scan(step, params, images, labels, count), count
    if task.has_torch:
        torch_networks = importlib.import_module("experiments.benchmarks.torch_networks")
        for name, compiled in TORCH.items():
            call, sizes[name] = torch_networks.training_step(
                network, images, labels, learning_rate=LEARNING_RATE, compiled=compiled
            )
            calls[name] = call, 1
    if len(set(sizes.values())) != 1:
        raise RuntimeError(f"{cell.network}: networks of different sizes: {sizes}")
    flops = batch_size * networks.step_flops(network)
    return {
        "network": cell.network,
        "batch_size": batch_size,
        "flops": flops,
        "times": _timed(task, calls),
    }


def _descend(
    apply: Callable[[Any, jax.Array], jax.Array], params: Any, batch: tuple[jax.Array, jax.Array]
) -> tuple[Any, jax.Array]:
    """Take a step of plain gradient descent."""
    images, labels = batch
    loss, grads = jax.value_and_grad(lambda p: cross_entropy()(apply(p, images), labels)[0])(params)
    return jax.tree.map(lambda p, g: p - LEARNING_RATE * g, params, grads), loss


def _from_python(step: Any, params: Any, images: np.ndarray, labels: np.ndarray) -> Call:
    """Return a call that takes one step, and goes on from the last one's parameters."""
    program = jax.jit(step, donate_argnums=0)
    batch = jnp.asarray(images), jnp.asarray(labels)
    state = [jax.tree.map(jnp.copy, params)]

    def call() -> Any:
        state[0], loss = program(state[0], batch)
        return jax.block_until_ready(loss)

    return call


def _in_scan(step: Any, params: Any, images: np.ndarray, labels: np.ndarray, count: int) -> Call:
    """Return a call that takes `count` steps in one program, each on a batch of its own."""
    program = jax.jit(functools.partial(lax.scan, step), donate_argnums=0)
    batches = tuple(jnp.asarray(np.stack([array] * count)) for array in (images, labels))
    state = [jax.tree.map(jnp.copy, params)]

    def call() -> Any:
        state[0], losses = program(state[0], batches)
        return jax.block_until_ready(losses)

    return call


def _layer(task: Task, case: ConvCase, quantity: str) -> dict[str, Any]:
    """Time one convolution, or its gradients, by ours and by lax."""
    arrays = _arrays(task, case.shapes(task.config.layer_batch))
    calls = {
        name: (_compiled(functools.partial(conv, **case.options()), arrays, quantity), 1)
        for name, conv in {"ours": cj.conv_general_dilated, "lax": lax.conv_general_dilated}.items()
    }
    return {"name": case.name, "quantity": quantity, "times": _timed(task, calls)}


def _pool(task: Task, case: PoolCase, quantity: str) -> dict[str, Any]:
    """Time one maximum pooling, or its gradient, by ours, by `reduce_window` and by torch."""
    arrays = _arrays(task, [case.shape])
    window, strides = (1, *case.window, 1), (1, *case.strides, 1)
    pools = {
        "ours": lambda x: cj.max_pool(x, case.window, case.strides),
        "reduce_window": lambda x: lax.reduce_window(
            x, -jnp.inf, lax.max, window, strides, "VALID"
        ),
    }
    calls = {name: (_compiled(pool, arrays, quantity), 1) for name, pool in pools.items()}
    if task.has_torch:
        torch_networks = importlib.import_module("experiments.benchmarks.torch_networks")
        call = torch_networks.pooling(np.asarray(arrays[0]), case, quantity=quantity)
        calls["torch"] = call, 1
    return {"name": case.name, "quantity": quantity, "times": _timed(task, calls)}


def _arrays(task: Task, shapes: Any) -> list[jax.Array]:
    numbers = np.random.default_rng(task.config.seed)
    return [jnp.asarray(numbers.normal(size=shape).astype(np.float32)) for shape in shapes]


def _compiled(function: Callable[..., jax.Array], arrays: list[jax.Array], quantity: str) -> Call:
    """Return a call of the jitted function, or of its derivative for a random cotangent."""
    if quantity == "value":
        program = jax.jit(function)
        return lambda: jax.block_until_ready(program(*arrays))
    out = jax.eval_shape(function, *arrays)
    cotangent = jax.random.normal(jax.random.key(0), out.shape)
    program = jax.jit(lambda cotangent, *arrays: jax.vjp(function, *arrays)[1](cotangent))
    return lambda: jax.block_until_ready(program(cotangent, *arrays))


def _timed(task: Task, calls: Mapping[str, tuple[Call, int]]) -> dict[str, dict[str, float]]:
    """Time calls in turns; of one slower than the limit, the second call alone, or the first.

    Stock Flax inside `lax.scan` can take minutes, of which compilation is seconds.
    """
    times: dict[str, dict[str, float]] = {}
    in_turns = {}
    for name, (call, steps) in calls.items():
        first, _ = timing.time_once(call)
        seconds = first if first > _MOST_TWICE else timing.time_warm(call)
        times[name] = {"first_call": first}
        if seconds > task.config.clock.limit:
            times[name] |= timing.statistics([seconds / steps])
        else:
            in_turns[name] = call
    turns = timing.time_in_turns(in_turns, pace=task.pace, seed=task.config.seed)
    for name, samples in turns.items():
        steps = calls[name][1]
        times[name] |= timing.statistics([sample / steps for sample in samples])
    return times
