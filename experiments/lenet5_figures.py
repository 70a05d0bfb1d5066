"""The figures of a run of LeNet5: curves of all networks, and a look into the first one."""

from typing import Any

import jax
import numpy as np

from conv_jax import models, plots, training
from experiments.lenet5_training import Outcome, Task
from experiments.record import Record


def draw(task: Task, outcomes: list[Outcome], record: Record) -> None:
    """Draw curves of all seeds, and the network of the first one."""
    first = outcomes[0]
    name = f"{task.network.__name__} on {task.config.data.name}"
    _, logits = training.evaluate(task.apply, first.params, task.test)
    curves = plots.training_curves(
        [outcome.curve for outcome in outcomes],
        title=name,
        evaluated_on=task.evaluated_on,
    )
    record.save_figure("curves", curves)

    about = f"{name}, {first.network}"
    weights = np.asarray(first.params["conv1"]["kernel"])
    record.save_figure("kernels", plots.kernels(weights, title=f"Kernels of conv1: {about}"))
    record.save_figure("feature_maps", _draw_feature_maps(task, first, about))

    images, labels = (np.asarray(array) for array in task.test)
    counts = np.zeros((len(task.class_names),) * 2, int)
    np.add.at(counts, (labels, logits.argmax(axis=1)), 1)
    title = f"{about}: {task.evaluated_on} images"
    matrix = plots.confusion_matrix(
        counts, class_names=task.class_names, title=f"Confusion matrix\n{title}"
    )
    record.save_figure("confusion", matrix)
    probabilities = np.asarray(jax.nn.softmax(logits))
    wrong = plots.mistakes(images, labels, probabilities, class_names=task.class_names, title=about)
    record.save_figure("mistakes", wrong)


def _draw_feature_maps(task: Task, outcome: Outcome, about: str) -> Any:
    """Draw every map of the first evaluated image."""
    model = models.build(task.network, method="feature_maps", **task.model_options)
    image = training.standardize(task.test.images[:1], mean=task.mean, std=task.std)
    maps = jax.jit(model.apply)(outcome.params, image)
    pictures = {name: np.asarray(layer[0]) for name, layer in maps.items() if layer.ndim == 4}
    label = task.class_names[int(task.test.labels[0])]
    title = f"Feature maps of a {label!r}, each on its own grey scale: {about}"
    return plots.feature_maps(pictures, title=title)
