"""LeNet5 on images of digits or clothes: train for every seed, evaluate, draw."""

import collections
import functools
import time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console

from conv_jax import augment, data, losses, models, optimizers, plots, training
from conv_jax.training import Batch, TrainStep
from experiments.config import LeNet5Config
from experiments.progress import progress
from experiments.record import Record

IMAGE_SIZE = 32


class Task(NamedTuple):
    """All that a seed's run needs, made from the config."""

    config: LeNet5Config
    train: Batch  # on the device, grey values 0..255
    test: Batch
    mean: float  # of the training images, on the scale 0..1
    std: float
    evaluated_on: str  # "test", or "held-out training" images
    class_names: tuple[str, ...]
    model: models.Model
    model_options: dict[str, Any]
    apply: training.Apply  # params, grey values 0..255 -> logits
    optimizer: Any
    train_step: TrainStep
    num_steps: int


class Outcome(NamedTuple):
    """What one seed came to."""

    params: Any  # those evaluated: the moving average where one is kept
    logits: np.ndarray  # [N, classes] of the last epoch
    evaluations: list[dict[str, float]]  # one an epoch
    curve: plots.Curve
    epoch_seconds: list[float]  # training only, without compilation
    compile_seconds: float  # and all else before the first step


def prepare(config: LeNet5Config) -> Task:
    """Load the data and build the functions; every mistake of the caller shows here.

    Raises:
      ValueError: for data or sizes that do not fit.
      OSError: for data that cannot be found or fetched.
    """
    dataset = _dataset(config)
    images = dataset.train.images
    mean, std = _moments(images)
    options = _model_options(config, num_classes=len(dataset.class_names), shape=images.shape[1:])
    model = models.build(models.LeNet5, **options)

    def apply(params: Any, grey: jax.Array) -> jax.Array:
        return model.apply(params, training.standardize(grey, mean=mean, std=std))

    num_steps = config.train.epochs * (len(images) // config.data.batch_size)
    optimizer = optimizers.from_config(config.optimizer.model_dump(), num_steps=num_steps)
    shift = config.augment.shift
    train_step = training.make_train_step(
        apply,
        optimizer,
        loss=losses.cross_entropy(label_smoothing=config.train.label_smoothing),
        augment=functools.partial(augment.random_shift, max_shift=shift) if shift else None,
        average_decay=config.train.average_decay or 0.0,
    )
    return Task(
        config=config,
        train=Batch(*map(jnp.asarray, dataset.train)),
        test=Batch(*map(jnp.asarray, dataset.test)),
        mean=mean,
        std=std,
        evaluated_on="held-out training" if config.data.holdout else "test",
        class_names=dataset.class_names,
        model=model,
        model_options=options,
        apply=apply,
        optimizer=optimizer,
        train_step=train_step,
        num_steps=num_steps,
    )


def run(task: Task, record: Record, console: Console) -> None:
    """Train every seed, report the numbers of the last epoch, draw the figures."""
    config = task.config
    console.print(models.summary(**task.model_options))
    sizes = f"{len(task.train.labels):,} training and {len(task.test.labels):,}"
    classes = len(task.class_names)
    console.print(f"{config.data.name}: {sizes} {task.evaluated_on} images, {classes} classes")
    seeds = range(config.seed, config.seed + config.seeds)
    outcomes = [train_seed(task, seed, record=record, console=console) for seed in seeds]
    results = _numbers(task, outcomes)
    record.report(results)
    mean, std, count = results["accuracy_mean"], results["accuracy_std"], len(outcomes)
    spread = f" +- {100 * std:.2f}" if count > 1 else ""
    console.print(
        f"{task.evaluated_on} accuracy {100 * mean:.2f}{spread} % after epoch "
        f"{config.train.epochs} ({count} seed{'s' if count > 1 else ''}), "
        f"{results['train_seconds_mean']:.2f} s of training after "
        f"{results['compile_seconds']:.2f} s of compilation, "
        f"{results['seconds_per_epoch']:.2f} s an epoch"
    )
    _draw(task, outcomes, record)


def _dataset(config: LeNet5Config) -> data.Dataset:
    """Load, cut and hold out as the config says."""
    asked = config.data
    if asked.root is not None and asked.name.startswith("digits"):
        raise ValueError(f"data.root: expected none for embedded data, got {asked.root!r}")
    try:
        dataset = data.load(asked.name, root=asked.root, download=asked.download, progress=True)
    except (ValueError, FileNotFoundError) as error:
        key = "data." if str(error).startswith("root:") else ""
        raise type(error)(f"{key}{error}") from None
    if max(dataset.train.images.shape[1:3]) <= IMAGE_SIZE:
        train, test = (
            split._replace(images=data.resize(split.images, image_size=IMAGE_SIZE))
            for split in (dataset.train, dataset.test)
        )
        dataset = dataset._replace(train=train, test=test)
    given = len(dataset.train.labels)
    if asked.holdout >= given:
        raise ValueError(f"data.holdout: expected fewer than {given} images, got {asked.holdout}")
    if asked.holdout:
        dataset = data.hold_out(dataset, num_images=asked.holdout)
    left = len(dataset.train.labels)
    if asked.train_size is not None and asked.train_size > left:
        raise ValueError(f"data.train_size: expected at most {left}, got {asked.train_size}")
    images, labels = (array[: asked.train_size] for array in dataset.train)
    if asked.batch_size > len(labels):
        raise ValueError(f"data.batch_size: expected at most {len(labels)}, got {asked.batch_size}")
    return dataset._replace(train=data.Split(images, labels))


def _moments(images: np.ndarray) -> tuple[float, float]:
    """Return mean and standard deviation on the scale 0..1, without a floating-point copy."""
    grey = images.reshape(-1)
    mean = grey.mean(dtype=np.float64)
    square = np.einsum("i,i->", grey, grey, dtype=np.float64, casting="safe") / grey.size
    variance = max(square - mean**2, 0.0)  # of one grey level it may round below 0
    return float(mean / 255), float(np.sqrt(variance) / 255) or 1.0


def _model_options(
    config: LeNet5Config, *, num_classes: int, shape: tuple[int, ...]
) -> dict[str, Any]:
    changed = config.model.model_dump(exclude={"preset"}, exclude_none=True)
    preset = models.PRESETS[config.model.preset]
    return {**preset, **changed, "num_classes": num_classes, "image_shape": shape}


def train_seed(task: Task, seed: int, *, record: Record, console: Console) -> Outcome:
    """Train from one seed, evaluating after every epoch.

    Args:
      task: of `prepare`.
      seed: of the weights, the orders and the augmentation.
      record: gets a line for every interval and every evaluation.
      console: shows the progress.
    """
    config = task.config
    init_key, run_key = jax.random.split(jax.random.key(seed))
    params = jax.jit(task.model.init)(init_key)
    average = config.train.average_decay is not None
    state = training.init_state(run_key, params, task.optimizer, average=average)
    trained = training.train(
        state,
        task.train,
        train_step=task.train_step,
        batch_size=config.data.batch_size,
        num_epochs=config.train.epochs,
        interval=config.train.log_every,
    )
    rows, evaluations, logits = [], [], np.empty(0)
    seconds: dict[int, float] = collections.defaultdict(float)
    start, compile_seconds = time.perf_counter(), 0.0
    with progress(console, label=f"seed {seed}", num_steps=task.num_steps) as report:
        for state, interval in trained:
            means = {
                name: float(values.mean(dtype=np.float64))
                for name, values in interval.metrics.items()
            }
            if not rows:
                compile_seconds = time.perf_counter() - start - interval.seconds
            seconds[interval.epoch] += interval.seconds
            rows.append((interval.step, means["loss"]))
            row = {"seed": seed, "epoch": interval.epoch, "step": interval.step, **means}
            record.log({"kind": "train", **row, "seconds": interval.seconds})
            text = f"loss {means['loss']:.4g}"
            if interval.ends_epoch:
                params = state.params if state.average is None else state.average
                measured, logits = training.evaluate(task.apply, params, task.test)
                evaluations.append(measured)
                record.log({"kind": "evaluate", "seed": seed, "epoch": interval.epoch, **measured})
            if evaluations:
                text += f"  {task.evaluated_on} accuracy {100 * evaluations[-1]['accuracy']:.2f} %"
            report(interval.step, f"epoch {interval.epoch}  {text}")
    steps, train_losses = np.array(rows).T
    if train_losses[-1] > train_losses[0]:
        rise = f"{train_losses[0]:.4g} to {train_losses[-1]:.4g}"
        console.print(f"warning: seed {seed} did not learn: its training loss rose from {rise}")
    accuracy = 100 * evaluations[-1]["accuracy"]
    console.print(f"seed {seed}: {task.evaluated_on} accuracy {accuracy:.2f} %")
    curve = plots.Curve(
        epochs=steps * config.train.epochs / task.num_steps,
        losses=train_losses,
        accuracies=np.array([measured["accuracy"] for measured in evaluations]),
    )
    return Outcome(
        params=jax.device_get(params),
        logits=logits,
        evaluations=evaluations,
        curve=curve,
        epoch_seconds=list(seconds.values()),
        compile_seconds=compile_seconds,
    )


def _numbers(task: Task, outcomes: list[Outcome]) -> dict[str, Any]:
    """Return what goes into result.json: the last epoch of every seed, mean and deviation."""
    accuracies = [outcome.evaluations[-1]["accuracy"] for outcome in outcomes]
    test_losses = [outcome.evaluations[-1]["loss"] for outcome in outcomes]
    train_seconds = [sum(outcome.epoch_seconds) for outcome in outcomes]
    epochs = [seconds for outcome in outcomes for seconds in outcome.epoch_seconds]
    return {
        "experiment": task.config.experiment,
        "evaluated_on": task.evaluated_on,
        "num_images": len(task.test.labels),
        "num_params": models.num_params(outcomes[0].params),
        "epochs": task.config.train.epochs,
        "seeds": [task.config.seed + index for index in range(len(outcomes))],
        "accuracy": accuracies,
        "accuracy_mean": float(np.mean(accuracies)),
        "accuracy_std": float(np.std(accuracies, ddof=1)) if len(accuracies) > 1 else None,
        "loss": test_losses,
        "loss_mean": float(np.mean(test_losses)),
        "compile_seconds": outcomes[0].compile_seconds,
        "train_seconds": train_seconds,  # from the first step to the last, evaluation left out
        "train_seconds_mean": float(np.mean(train_seconds)),
        "seconds_per_epoch": float(np.median(epochs)),
    }


def _draw(task: Task, outcomes: list[Outcome], record: Record) -> None:
    """Draw curves of all seeds, and the network of the first one."""
    name, first = task.config.data.name, outcomes[0]
    curves = plots.training_curves(
        [outcome.curve for outcome in outcomes],
        title=f"LeNet5 on {name}",
        evaluated_on=task.evaluated_on,
    )
    record.save_figure("curves", curves)

    about = f"LeNet5 on {name}, seed {task.config.seed}"
    weights = np.asarray(first.params["conv1"]["kernel"])
    record.save_figure("kernels", plots.kernels(weights, title=f"Kernels of conv1: {about}"))
    record.save_figure("feature_maps", _draw_feature_maps(task, first, about))

    images, labels = (np.asarray(array) for array in task.test)
    counts = np.zeros((len(task.class_names),) * 2, int)
    np.add.at(counts, (labels, first.logits.argmax(axis=1)), 1)
    title = f"{about}: {task.evaluated_on} images"
    matrix = plots.confusion_matrix(
        counts, class_names=task.class_names, title=f"Confusion matrix\n{title}"
    )
    record.save_figure("confusion", matrix)
    probabilities = np.asarray(jax.nn.softmax(first.logits))
    wrong = plots.mistakes(images, labels, probabilities, class_names=task.class_names, title=about)
    record.save_figure("mistakes", wrong)


def _draw_feature_maps(task: Task, outcome: Outcome, about: str) -> Any:
    """Draw every map of the first evaluated image."""
    model = models.build(models.LeNet5, method="feature_maps", **task.model_options)
    image = training.standardize(task.test.images[:1], mean=task.mean, std=task.std)
    maps = jax.jit(model.apply)(outcome.params, image)
    pictures = {name: np.asarray(layer[0]) for name, layer in maps.items() if layer.ndim == 4}
    label = task.class_names[int(task.test.labels[0])]
    title = f"Feature maps of a {label!r}, each on its own grey scale: {about}"
    return plots.feature_maps(pictures, title=title)
