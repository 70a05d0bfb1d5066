"""LeNet5 on images of digits or clothes: train for every seed, evaluate, draw."""

import time
import zlib
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console

from conv_jax import augment, losses, models, optimizers, training
from conv_jax.devices import is_same
from conv_jax.divergence import DivergedError
from conv_jax.training import Batch, TrainState, TrainStep
from experiments import images, lenet5_figures
from experiments.after import weights
from experiments.lenet5_training import Network, Outcome, Task, refuse_diverged, train, train_all
from experiments.record import Record
from experiments.running import devices
from experiments.running.resumable import Log, Part
from experiments.statistics import percent, summarize
from experiments.tables import LeNet5Config


def prepare(config: LeNet5Config) -> Task:
    """Load the data and build the functions; every mistake of the caller shows here.

    Raises:
      ValueError: for data or sizes that do not fit.
      OSError: for data that cannot be found or fetched.
    """
    start = time.perf_counter()
    dataset, stored_size = images.load(config.data)
    input_seconds = time.perf_counter() - start
    if not is_same([zlib.crc32(part.tobytes()) for part in dataset.train]):
        raise ValueError("data: expected the training images of process 0 in all processes")
    mean, std = images.moments(dataset.train.images)
    shape = dataset.train.images.shape[1:]
    network = models.SmallNet if config.model.preset == "small" else models.LeNet5
    options = _model_options(config, num_classes=len(dataset.class_names), shape=shape)
    model = models.build(network, **options)

    def apply(params: Any, grey: jax.Array) -> jax.Array:
        return model.apply(params, training.standardize(grey, mean=mean, std=std))

    num_steps = config.train.epochs * (len(dataset.train.labels) // config.data.batch_size)
    return Task(
        config=config,
        train=Batch(*map(jnp.asarray, dataset.train)),
        test=Batch(*map(jnp.asarray, dataset.test)),
        mean=mean,
        std=std,
        evaluated_on="held-out training" if config.data.holdout else "test",
        class_names=dataset.class_names,
        stored_size=stored_size,
        network=network,
        model=model,
        model_options=options,
        apply=apply,
        apply_all=jax.vmap(apply, in_axes=(0, None)),
        optimizer=_optimizer(config, {}, num_steps=num_steps),
        train_step=_train_step(config, apply, num_steps=num_steps),
        num_steps=num_steps,
        devices=devices.asked(config.devices, batch_size=config.data.batch_size),
        input_seconds=input_seconds,
    )


def run(task: Task, record: Record, console: Console) -> None:
    """Train every seed, report the numbers of the last epoch, keep the weights, draw the figures.

    Raises:
      DivergedError: after all else, if a network diverged.
      Interrupted: if a signal came while it trained, all of it saved.
    """
    config = task.config
    console.print(models.summary(model_cls=task.network, **task.model_options))
    sizes = f"{len(task.train.labels):,} training and {len(task.test.labels):,}"
    classes = len(task.class_names)
    console.print(f"{config.data.name}: {sizes} {task.evaluated_on} images, {classes} classes")
    networks = [Network(seed) for seed in range(config.seed, config.seed + config.seeds)]
    outcomes = train_all(task, networks, record=record, console=console)
    sound = [outcome for outcome in outcomes if not outcome.diverged]
    if sound:
        results = _numbers(task, sound)
        record.report(results)
        console.print(_in_words(task, results))
        for outcome in sound:
            _save_weights(task, outcome, record)
        start = time.perf_counter()
        lenet5_figures.draw(task, sound, record)
        record.report({"figure_seconds": time.perf_counter() - start})
    refuse_diverged(outcomes, record)


def train_seed(task: Task, seed: int, *, record: Log, console: Console) -> Outcome:
    """Train from one seed, evaluating after every epoch, and save no checkpoints.

    Args:
      task: of `prepare`.
      seed: of the weights, the orders and the augmentation.
      record: gets a line for every interval and every evaluation.
      console: shows the progress.

    Raises:
      DivergedError: if it diverged.
    """
    (outcome,) = train(task, [Network(seed)], part=Part(record), console=console)
    if outcome.diverged:
        raise DivergedError(outcome.diverged)
    return outcome


def _model_options(
    config: LeNet5Config, *, num_classes: int, shape: tuple[int, ...]
) -> dict[str, Any]:
    changed = config.model.model_dump(exclude={"preset"}, exclude_none=True)
    preset = models.PRESETS.get(config.model.preset, {})
    return {**preset, **changed, "num_classes": num_classes, "image_shape": shape}


def _train_step(config: LeNet5Config, apply: training.Apply, *, num_steps: int) -> TrainStep:
    """Return a step that prefers the settings in its state to the numbers of the config."""

    def train_step(state: TrainState, batch: Batch) -> tuple[TrainState, Any]:
        numbers = _with_settings(config.train.model_dump(), "train", state.settings)
        step = training.make_train_step(
            apply,
            _optimizer(config, state.settings, num_steps=num_steps),
            loss=losses.cross_entropy(label_smoothing=numbers["label_smoothing"]),
            augment=augment.from_config(
                _with_settings(config.augment.model_dump(), "augment", state.settings)
            ),
            average_decay=0.0 if numbers["average_decay"] is None else numbers["average_decay"],
        )
        return step(state, batch)

    return train_step


def _optimizer(config: LeNet5Config, settings: Mapping[str, Any], *, num_steps: int) -> Any:
    options = _with_settings(config.optimizer.model_dump(), "optimizer", settings)
    return optimizers.from_config(options, num_steps=num_steps)


def _with_settings(
    table: Mapping[str, Any], name: str, settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Return a table of the config, with the settings that are of it."""
    return {key: settings.get(f"{name}.{key}", value) for key, value in table.items()}


def _save_weights(task: Task, outcome: Outcome, record: Record) -> None:
    kept = weights.Weights(
        params=outcome.params,
        network=task.network.__name__,
        options=task.model_options,
        mean=task.mean,
        std=task.std,
        class_names=task.class_names,
        data=task.config.data.name,
        seed=outcome.network.seed,
        stored_size=task.stored_size,
    )
    record.save_bytes(weights.file_name(kept.seed), weights.to_bytes(kept))


def _numbers(task: Task, outcomes: list[Outcome]) -> dict[str, Any]:
    """Return what goes into result.json: the last epoch of every seed, mean and deviation."""
    accuracies = [outcome.evaluations[-1]["accuracy"] for outcome in outcomes]
    test_losses = [outcome.evaluations[-1]["loss"] for outcome in outcomes]
    accuracy = summarize(accuracies)
    train_seconds = [sum(outcome.epoch_seconds) for outcome in outcomes]
    epochs = [seconds for outcome in outcomes for seconds in outcome.epoch_seconds]
    return {
        "experiment": task.config.experiment,
        "evaluated_on": task.evaluated_on,
        "num_images": len(task.test.labels),
        "num_params": models.num_params(outcomes[0].params),
        "epochs": task.config.train.epochs,
        "seeds": [outcome.network.seed for outcome in outcomes],
        "accuracy": accuracies,
        "accuracy_mean": accuracy.mean,
        "accuracy_std": accuracy.std,
        "accuracy_interval": accuracy.interval,  # 95 %, of the mean
        "loss": test_losses,
        "loss_mean": float(np.mean(test_losses)),
        "input_seconds": task.input_seconds,
        "compile_seconds": outcomes[0].compile_seconds,
        "train_seconds": train_seconds,  # from the first step to the last, evaluation left out
        "train_seconds_mean": float(np.mean(train_seconds)),
        "seconds_per_epoch": float(np.median(epochs)),
    }


def _in_words(task: Task, results: Mapping[str, Any]) -> str:
    """Say what came out in a sentence."""
    return (
        f"{task.evaluated_on} accuracy {percent(summarize(results['accuracy']))} after epoch "
        f"{task.config.train.epochs}, "
        f"{results['train_seconds_mean']:.2f} s of training a seed after "
        f"{results['compile_seconds']:.2f} s of compilation, "
        f"{results['seconds_per_epoch']:.2f} s an epoch"
    )
