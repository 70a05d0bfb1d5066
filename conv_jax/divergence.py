"""Divergence: find the step at which training stopped having numbers, and say why."""

from collections.abc import Mapping

import numpy as np

_CHECKED = ("loss", "grad_norm", "update_norm")


class DivergedError(ArithmeticError):
    """A loss, a gradient or an update stopped being a number."""

    networks: Mapping[int, "DivergedError"] = {}  # of several that all diverged, what each did


class Watch:
    """What became of each of K networks, of which one or more may stop having numbers."""

    def __init__(self) -> None:
        """Begin with all of them sound."""
        self.errors: dict[int, DivergedError] = {}  # of the networks that diverged
        self._last_good: dict[int, str] = {}

    def see(self, metrics: dict[str, np.ndarray], *, step: int) -> int:
        """Note what the steps after `step` measured.

        Args:
          metrics: "loss", "grad_norm" and "update_norm", each [S], or [S, K] of K networks.
          step: steps done before.

        Returns:
          How many of the steps some network came through; S while one of them is sound.
        """
        columns = np.stack([metrics[name].reshape(len(metrics[name]), -1) for name in _CHECKED])
        _, num_steps, num_networks = columns.shape
        sound = [index for index in range(num_networks) if index not in self.errors]
        counts = [_count_finite(columns[..., index]) for index in sound]
        for index, count in zip(sound, counts, strict=True):
            if count:
                good = _describe(columns[:, count - 1, index], step=step + count)
                self._last_good[index] = good
            if count < num_steps:
                measured = columns[:, count, index]
                bad = _describe(measured, step=step + count + 1)
                self.errors[index] = _diverged(
                    bad,
                    last_good=self._last_good.get(index),
                    has_gradient=bool(np.isfinite(measured[:2]).all()),
                )
        return max(counts, default=0)


def _count_finite(column: np.ndarray) -> int:
    """Return how many of the steps, [3, S], come before the first that is not finite."""
    finite = np.isfinite(column).all(axis=0)
    return finite.size if finite.all() else int(np.argmin(finite))


def _describe(measured: np.ndarray, *, step: int) -> str:
    loss, grad_norm, update_norm = measured
    return f"{loss:.4g} at step {step} (gradient norm {grad_norm:.3g}, update {update_norm:.3g})"


def _diverged(bad: str, *, last_good: str | None, has_gradient: bool) -> DivergedError:
    """Return the error for a step that is not finite, with the likely cause."""
    if last_good is None and has_gradient:
        return DivergedError(
            f"loss {bad}, the first step; likely cause: the learning rate is too high; lower it"
        )
    if last_good is None:
        cause = "the images, targets or initial parameters are not finite, or the learning rate"
        return DivergedError(f"loss {bad}, the first step; likely cause: {cause}")
    cause = "the learning rate is too high; lower it or clip the gradient"
    return DivergedError(f"loss {bad}; last good loss {last_good}; likely cause: {cause}")
