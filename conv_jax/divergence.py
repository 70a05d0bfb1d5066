"""Divergence: find the step at which training stopped having numbers, and say why."""

import numpy as np

_CHECKED = ("loss", "grad_norm", "update_norm")


class DivergedError(ArithmeticError):
    """A loss, a gradient or an update stopped being a number."""


def count_finite(metrics: dict[str, np.ndarray]) -> int:
    """Return how many of the steps come before the first that is not finite.

    Args:
      metrics: "loss", "grad_norm" and "update_norm", each [S].

    Returns:
      S if all are finite.
    """
    finite = np.all([np.isfinite(metrics[name]) for name in _CHECKED], axis=0)
    return len(finite) if finite.all() else int(np.argmin(finite))


def describe_step(metrics: dict[str, np.ndarray], index: int, *, step: int) -> str:
    """Say what one step measured.

    Args:
      metrics: as for `count_finite`.
      index: of the step among them.
      step: its number in the run, from 1.

    Returns:
      A few words.
    """
    loss, grad_norm, update_norm = (metrics[name][index] for name in _CHECKED)
    return f"{loss:.4g} at step {step} (gradient norm {grad_norm:.3g}, update {update_norm:.3g})"


def diverged(bad: str, *, last_good: str | None) -> DivergedError:
    """Return the error for a step that is not finite.

    Args:
      bad: what that step measured, from `describe_step`.
      last_good: what the step before measured, None for the first step.

    Returns:
      An error that gives both and the likely cause.
    """
    if last_good is None:
        cause = "the images, targets or initial parameters are not finite, or the learning rate"
        return DivergedError(f"loss {bad}, the first step; likely cause: {cause}")
    cause = "the learning rate is too high; lower it or clip the gradient"
    return DivergedError(f"loss {bad}; last good loss {last_good}; likely cause: {cause}")
