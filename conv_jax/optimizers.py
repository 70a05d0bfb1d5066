"""Optimizers and learning-rate schedules by name, through optax."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import jax
import optax

Schedule = Callable[[Any], Any]  # step -> learning rate

OPTIMIZERS: dict[str, Callable[..., optax.GradientTransformation]] = {
    "sgd": optax.sgd,
    "adam": optax.adam,
    "adamw": optax.adamw,
    "muon": optax.contrib.muon,
}

SCHEDULES = ("constant", "cosine", "one_cycle")


def make_schedule(
    name: str, *, learning_rate: float | jax.Array, num_steps: int, warmup: float = 0.3
) -> Schedule:
    """Return the learning rate as a function of the step.

    "constant" stays; "cosine" falls from the peak to 0 along half a cosine; "one_cycle" rises
    from a 25th of the peak along a line, then falls to 0 along half a cosine (after Smith and
    Topin 2017, whose fall is a line).

    Args:
      name: one of SCHEDULES.
      learning_rate: the peak, above 0; a traced number too, as the other strengths.
      num_steps: length of the run in optimizer steps, at least 1.
      warmup: part of the run that "one_cycle" spends rising, in (0, 1).

    Returns:
      A function of the step, for an optax optimizer.

    Raises:
      ValueError: for an unknown name.
    """
    if name == "constant":
        return optax.constant_schedule(learning_rate)
    if name == "cosine":
        part = optax.cosine_decay_schedule(1.0, num_steps)
    elif name == "one_cycle":
        num_steps = max(2, num_steps)
        part = optax.warmup_cosine_decay_schedule(
            init_value=1 / 25,
            peak_value=1.0,
            warmup_steps=min(max(1, round(warmup * num_steps)), num_steps - 1),
            decay_steps=num_steps,
        )
    else:
        raise ValueError(f"schedule: expected one of {', '.join(SCHEDULES)}, got {name!r}")
    return lambda step: learning_rate * part(step)


def make_optimizer(
    name: str,
    schedule: Schedule,
    *,
    weight_decay: float | jax.Array = 0.0,
    clip_norm: float | jax.Array | None = None,
    **options: Any,
) -> optax.GradientTransformation:
    """Return an optax optimizer.

    Weight decay acts on arrays of two axes and more, not on biases. "adamw" and "muon" decouple
    it from the gradient (Loshchilov and Hutter 2019); for "sgd" and "adam" it is added to the
    gradient, as in torch.

    Args:
      name: one of OPTIMIZERS.
      schedule: the learning rate as a function of the step.
      weight_decay: strength of the decay, at least 0.
      clip_norm: largest global norm of the gradient; None does not clip.
      **options: the optimizer's own: momentum and nesterov for "sgd", b1, b2, eps and so on.

    Returns:
      An optax transformation of gradients.

    Raises:
      ValueError: for an unknown name, or an option that the optimizer does not have.
    """
    if name not in OPTIMIZERS:
        raise ValueError(f"optimizer: expected one of {', '.join(OPTIMIZERS)}, got {name!r}")
    known = set(inspect.signature(OPTIMIZERS[name]).parameters) - {"learning_rate"}
    unknown = sorted(set(options) - known)
    if unknown:
        raise ValueError(f"optimizer: {name!r} has no option {', '.join(map(repr, unknown))}")
    clip = optax.identity() if clip_norm is None else optax.clip_by_global_norm(clip_norm)
    if name == "adamw":
        options = {**options, "weight_decay": weight_decay, "mask": _is_matrix}
        return optax.chain(clip, optax.adamw(schedule, **options))
    if name == "muon":  # whose own decay spares all but matrices, so convolutions
        direction = optax.contrib.muon(1.0, **options)
        decay = optax.add_decayed_weights(-weight_decay, mask=_is_matrix)
        return optax.chain(clip, direction, decay, optax.scale_by_schedule(schedule))
    decay = optax.add_decayed_weights(weight_decay, mask=_is_matrix)
    return optax.chain(clip, decay, OPTIMIZERS[name](schedule, **options))


def from_config(options: Mapping[str, Any], *, num_steps: int) -> optax.GradientTransformation:
    """Return the optimizer that the `[optimizer]` table of a config describes.

    Args:
      options: name, learning_rate, schedule and warmup, and the rest for `make_optimizer`.
      num_steps: length of the run in steps.

    Returns:
      An optax transformation of gradients.

    Raises:
      ValueError: as `make_schedule` and `make_optimizer`.
    """
    rest = dict(options)
    name, schedule = rest.pop("name"), rest.pop("schedule")
    peak, warmup = rest.pop("learning_rate"), rest.pop("warmup")
    rates = make_schedule(schedule, learning_rate=peak, num_steps=num_steps, warmup=warmup)
    return make_optimizer(name, rates, **rest)


def _is_matrix(params: Any) -> Any:
    return jax.tree.map(lambda leaf: leaf.ndim > 1, params)
