"""What LeNet5's layers can see of a digit, and what matters to them, before and after training."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from rich.console import Console

from conv_jax import models, plots, training
from conv_jax.receptive_field import (
    EffectiveField,
    Field,
    effective_receptive_field,
    from_model,
    table,
)
from experiments import lenet5, lenet5_training
from experiments.lenet5_training import Network, refuse_diverged, train_all
from experiments.record import Record
from experiments.tables.networks import lenet5_config
from experiments.tables.receptive_fields import ReceptiveFieldsConfig


class Task(NamedTuple):
    """A network to train, the images to measure it with, and its fields."""

    config: ReceptiveFieldsConfig
    lenet5: lenet5.Task
    images: jax.Array  # [S, 1, H, W, 1], standardized
    layers: dict[str, Callable[[Any, jax.Array], jax.Array]]  # params, image -> feature map
    fields: dict[str, Field]  # from the program, so the same for all weights


class Outcome(NamedTuple):
    """What one seed's network came to."""

    accuracy: float
    before: dict[str, EffectiveField]
    after: dict[str, EffectiveField]


def prepare(config: ReceptiveFieldsConfig) -> Task:
    """Load the data, build the network and read its fields off its program.

    Raises:
      ValueError: for data or sizes that do not fit.
      OSError: for data that cannot be found or fetched.
    """
    task = lenet5.prepare(lenet5_config(config, model=config.model))
    given = len(task.test.images)
    if config.num_images > given:
        raise ValueError(f"num_images: expected at most {given}, got {config.num_images}")
    grey = task.test.images[: config.num_images, None]
    model = models.build(models.LeNet5, method="feature_maps", **task.model_options)
    params = jax.eval_shape(model.init, jax.random.key(0))
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), params)
    image_shape = (1, *task.model_options["image_shape"])
    fields = {
        field.name: field
        for field in from_model(functools.partial(model.apply, zeros), image_shape)
    }
    del fields["input"], fields["flatten"]
    layers = {name: functools.partial(_feature_map, model.apply, name) for name in fields}
    return Task(
        config=config,
        lenet5=task,
        images=training.standardize(grey, mean=task.mean, std=task.std),
        layers=layers,
        fields=fields,
    )


def run(task: Task, record: Record, console: Console) -> None:
    """Train every seed, measure it before and after; print and report a table, draw.

    Raises:
      DivergedError: if a network diverged.
      Interrupted: if a signal came while it trained, all of it saved.
    """
    config = task.config
    console.print(table(list(task.fields.values())))
    networks = [Network(seed) for seed in range(config.seed, config.seed + config.seeds)]
    trained = train_all(task.lenet5, networks, record=record, console=console)
    refuse_diverged(trained, record)
    outcomes = []
    for network in trained:
        outcomes.append(_measure(task, network))
        console.print(
            f"{network.network}: measured {len(task.layers)} layers before and after training"
        )
    rows = [_row(task, name, outcomes) for name in task.fields]
    record.report(
        {
            "experiment": config.experiment,
            "seeds": [config.seed + index for index in range(len(outcomes))],
            "num_images": config.num_images,
            "accuracy": [outcome.accuracy for outcome in outcomes],
            "layers": rows,
        }
    )
    console.print(_table(rows))
    _draw(task, outcomes, record)


def _feature_map(apply: models.Apply, name: str, params: Any, images: jax.Array) -> jax.Array:
    return apply(params, images)[name]


def _measure(task: Task, trained: lenet5_training.Outcome) -> Outcome:
    seed = trained.network.seed
    initial_key, _ = jax.random.split(jax.random.key(seed))
    initial = jax.jit(task.lenet5.model.init)(initial_key)  # those that training starts from
    before, after = (_measured(task, params, seed) for params in (initial, trained.params))
    return Outcome(trained.evaluations[-1]["accuracy"], before, after)


def _measured(task: Task, params: Any, seed: int) -> dict[str, EffectiveField]:
    """Measure the middle output of every layer, its channels weighted by random numbers."""
    return {
        name: effective_receptive_field(
            Partial(layer, params),
            task.images.shape[1:],
            images=task.images,
            cotangent="normal",
            seed=seed,
        )
        for name, layer in task.layers.items()
    }


def _row(task: Task, name: str, outcomes: list[Outcome]) -> dict[str, Any]:
    """Return what result.json says of a layer: its field, and what was measured of each seed."""
    field = task.fields[name]
    row: dict[str, Any] = {"name": name, "shape": field.shape, "size": field.size}
    row |= {"jump": field.jump, "start": field.start}
    for when in ("before", "after"):
        measured = [getattr(outcome, when)[name] for outcome in outcomes]
        for quantity in ("radius", "side", "root_area"):
            row[f"{quantity}_{when}"] = [getattr(one, quantity) for one in measured]
    return row


def _table(rows: list[dict[str, Any]]) -> str:
    """Return the measured table: mean and standard deviation over seeds, in pixels."""
    heads = [f"{q} {when}" for q in ("radius", "side") for when in ("before", "after")]
    lines = [f"{'layer':<8}{'field':>8}" + "".join(f"{head:>18}" for head in heads)]
    for row in rows:
        cells = [_spread(row[head.replace(" ", "_")]) for head in heads]
        field = "x".join(map(str, row["size"]))
        lines.append(f"{row['name']:<8}{field:>8}" + "".join(f"{cell:>18}" for cell in cells))
    return "\n".join(lines)


def _spread(values: list[float]) -> str:
    spread = f" +- {np.std(values, ddof=1):.2f}" if len(values) > 1 else ""
    return f"{np.mean(values):.2f}{spread}"


def _draw(task: Task, outcomes: list[Outcome], record: Record) -> None:
    """Draw the fields on a digit, the maps of the first seed and the radii of all."""
    names, first = list(task.fields), outcomes[0]
    about = f"LeNet5 on {task.config.data.name}"
    image = np.asarray(task.lenet5.test.images[0, :, :, 0])
    fields = [task.fields[name] for name in names if name != "logits"]
    record.save_figure(
        "fields", plots.layer_fields(image, fields, title=f"What the layers of {about} can see")
    )
    boxes = {name: _middle(field) for name, field in task.fields.items()}
    maps = {"before training": first.before, "after training": first.after}
    title = f"How much each pixel matters to the middle output: {about}, seed {task.config.seed}"
    record.save_figure("effective", plots.effective_fields(maps, boxes=boxes, title=title))
    radii = {
        when: np.array([[getattr(o, when)[name].radius for o in outcomes] for name in names])
        for when in ("before", "after")
    }
    figure = plots.field_radii(
        {f"{when} training": values for when, values in radii.items()},
        layers=names,
        sizes=[task.fields[name].size[0] for name in names],
        title=f"How far what matters reaches: {about}",
    )
    record.save_figure("radii", figure)


def _middle(field: Field) -> plots.Box:
    """Return the pixels that the middle output sees, which is the one that is measured."""
    shape = field.shape or ()
    rows, columns = field.pixels([(size - 1) // 2 for size in shape]) or ((0, -1), (0, -1))
    return rows, columns
