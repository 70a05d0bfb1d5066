"""LeNet5 by cross-correlation and by strict convolution: the same network, its kernels flipped.

Three times K networks are trained, each time in one program, from the same K seeds: by correlation;
by convolution from the flipped kernels of the first, which step by step stay its mirror image;
and by convolution from the kernels that the seed gives. The kernels are drawn from a distribution
that a flip does not change, so the first two say that the accuracies of the first and the third
have one distribution, and that their paired difference is 0 in expectation. The third measures it.
"""

from typing import Any, NamedTuple

import jax
import numpy as np
from rich.console import Console

from conv_jax import plots
from experiments import lenet5
from experiments.lenet5_training import Network, Outcome, refuse_diverged, train_all
from experiments.record import Record
from experiments.statistics import noticeable, percent, summarize
from experiments.tables import CorrelationVsConvolutionConfig, LeNet5Config
from experiments.tables.networks import LeNet5Model, lenet5_config

CORRELATION, MIRRORED, CONVOLUTION = "correlation", "convolution, flipped start", "convolution"


class Task(NamedTuple):
    """What is trained in each of the three programs."""

    config: CorrelationVsConvolutionConfig
    lenet5: dict[str, lenet5.Task]


def prepare(config: CorrelationVsConvolutionConfig) -> Task:
    """Load the data and build both networks.

    Raises:
      ValueError: for data or sizes that do not fit, and for clipped gradients: their norm is a sum
        that rounds otherwise in the order of flipped kernels.
      OSError: for data that cannot be found or fetched.
    """
    clip_norm = config.optimizer.clip_norm
    if clip_norm is not None:
        raise ValueError(
            f"optimizer.clip_norm: expected none, for a norm over flipped kernels rounds "
            f"otherwise, got {clip_norm}"
        )
    correlation, convolution = (
        lenet5.prepare(_config(config, operator)) for operator in ("correlation", "convolution")
    )
    convolution = convolution._replace(train=correlation.train, test=correlation.test)
    init = convolution.model.init
    flipped = convolution.model._replace(init=lambda key: flip_kernels(init(key)))
    mirrored = convolution._replace(model=flipped)
    return Task(config, {CORRELATION: correlation, MIRRORED: mirrored, CONVOLUTION: convolution})


def run(task: Task, record: Record, console: Console) -> None:
    """Train the three, compare, report the numbers, draw.

    Raises:
      DivergedError: if a network diverged.
      Interrupted: if a signal came while it trained, all of it saved.
    """
    config = task.config
    seeds = range(config.seed, config.seed + config.seeds)
    outcomes: dict[str, list[Outcome]] = {}
    for name, lenet5_task in task.lenet5.items():
        networks = [Network(seed, shared={"by": name}) for seed in seeds]
        checkpoints = f"{name.replace(', ', '_').replace(' ', '_')}-"
        outcomes[name] = train_all(
            lenet5_task, networks, record=record, console=console, name=checkpoints
        )
        refuse_diverged(outcomes[name], record)
    results = _numbers(task, outcomes)
    record.report(results)
    console.print(_in_words(results, evaluated_on=task.lenet5[CORRELATION].evaluated_on))
    record.save_figure("operators", _draw(task, outcomes, results))


def flip_kernels(params: Any) -> Any:
    """Turn the kernels [kH, kW, C, O] of all convolutions by 180 degrees.

    Args:
      params: of one network.

    Returns:
      The same tree; arrays of other than four axes stay.
    """
    return jax.tree.map(lambda leaf: leaf[::-1, ::-1] if leaf.ndim == 4 else leaf, params)


def _config(config: CorrelationVsConvolutionConfig, operator: str) -> LeNet5Config:
    model = LeNet5Model.model_validate({**config.model.model_dump(), "operator": operator})
    return lenet5_config(config, model=model)


def _numbers(task: Task, outcomes: dict[str, list[Outcome]]) -> dict[str, Any]:
    """Return what goes into result.json."""
    accuracies = {name: _accuracies(some) for name, some in outcomes.items()}
    pairs = list(zip(outcomes[CORRELATION], outcomes[MIRRORED], strict=True))
    mirror_images = [_is_mirror_image(one, other) for one, other in pairs]
    difference = summarize((accuracies[CONVOLUTION] - accuracies[CORRELATION]).tolist())
    return {
        "experiment": task.config.experiment,
        "evaluated_on": task.lenet5[CORRELATION].evaluated_on,
        "num_images": len(task.lenet5[CORRELATION].test.labels),
        "epochs": task.config.train.epochs,
        "seeds": [outcome.network.seed for outcome in outcomes[CORRELATION]],
        "accuracy": {name: values.tolist() for name, values in accuracies.items()},
        "mirror_images": mirror_images,  # bit for bit
        "largest_difference_of_mirror_images": max(_distance(*pair) for pair in pairs),
        "difference": difference._asdict(),
        "noticeable_difference": noticeable(difference),
        "train_seconds": {n: sum(map(_seconds, some)) for n, some in outcomes.items()},
    }


def _accuracies(outcomes: list[Outcome]) -> np.ndarray:
    return np.array([outcome.evaluations[-1]["accuracy"] for outcome in outcomes])


def _seconds(outcome: Outcome) -> float:
    return sum(outcome.epoch_seconds)


def _distance(correlation: Outcome, mirrored: Outcome) -> float:
    """Return the largest difference of two parameters, the kernels of the second flipped back."""
    back = flip_kernels(mirrored.params)
    differences = jax.tree.map(lambda a, b: np.abs(a - b).max(), correlation.params, back)
    return float(max(jax.tree.leaves(differences)))


def _is_mirror_image(correlation: Outcome, mirrored: Outcome) -> bool:
    """Tell whether parameters, losses and evaluations agree to the last bit."""
    return (
        _distance(correlation, mirrored) == 0
        and np.array_equal(correlation.curve.losses, mirrored.curve.losses)
        and correlation.evaluations == mirrored.evaluations
    )


def _in_words(results: dict[str, Any], *, evaluated_on: str) -> str:
    """Say what came out, and what could not have come out."""
    alike, count = sum(results["mirror_images"]), len(results["mirror_images"])
    lines = [
        f"convolution from flipped kernels: {alike} of {count} networks are bit for bit those of "
        f"correlation, kernels flipped (largest difference "
        f"{results['largest_difference_of_mirror_images']:.3g})"
    ]
    for name in (CORRELATION, CONVOLUTION):
        summary = percent(summarize(results["accuracy"][name]))
        lines.append(f"{evaluated_on} accuracy by {name}: {summary}")
    difference = percent(summarize(_differences(results)))
    lines.append(
        f"convolution - correlation, paired over seeds: {difference}; a difference of "
        f"{100 * results['noticeable_difference']:.2f} % would have been noticed with a "
        f"probability of 80 %"
    )
    return "\n".join(lines)


def _differences(results: dict[str, Any]) -> list[float]:
    both = (np.array(results["accuracy"][name]) for name in (CORRELATION, CONVOLUTION))
    correlation, convolution = both
    return (convolution - correlation).tolist()


def _draw(task: Task, outcomes: dict[str, list[Outcome]], results: dict[str, Any]) -> Any:
    """Draw the kernels of the first seed, and the accuracies of all."""
    first, mirrored = (outcomes[name][0].params for name in (CORRELATION, MIRRORED))
    learned, flipped = (params["conv1"]["kernel"][:, :, 0] for params in (first, mirrored))
    seed = task.config.seed
    return plots.operators_compared(
        {
            f"conv1 learned by correlation, seed {seed}": learned,
            "learned by convolution from the flipped kernels": flipped,
            "these flipped back": flipped[::-1, ::-1],
        },
        {name: np.array(results["accuracy"][name]) for name in (CORRELATION, CONVOLUTION)},
        interval=tuple(results["difference"]["interval"]),
        title=f"LeNet5 on {task.config.data.name}: correlation and strict convolution",
    )
