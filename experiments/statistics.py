"""Numbers over seeds: mean, standard deviation and the interval of the mean."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Summary(NamedTuple):
    """What independent measurements say of their mean."""

    mean: float
    std: float | None  # of the sample, with n - 1; None for one measurement
    interval: tuple[float, float] | None  # holds the mean with a probability of 95 %
    n: int


def summarize(values: Sequence[float]) -> Summary:
    """Return mean, deviation and Student's 95 % interval of the mean.

    For the difference of paired measurements, give the differences.

    Args:
      values: at least one number.

    Returns:
      The summary. The interval supposes that the mean of the values is near normal.

    Raises:
      ValueError: for no values.
    """
    if not len(values):
        raise ValueError("values: expected at least one number, got none")
    mean, count = float(np.mean(values)), len(values)
    if count == 1:
        return Summary(mean, None, None, count)
    from scipy import stats  # takes half a second to import

    std = float(np.std(values, ddof=1))
    reach = float(stats.t.ppf(0.975, count - 1)) * std / math.sqrt(count)
    return Summary(mean, std, (mean - reach, mean + reach), count)


class Difference(NamedTuple):
    """By how much the mean of some measurements exceeds that of others."""

    mean: float
    interval: tuple[float, float] | None  # 95 %; None where one measurement says nothing of it
    method: str


def difference(
    values: Sequence[float], reference: Sequence[float], *, paired: bool = False
) -> Difference:
    """Return the difference of two means with its 95 % interval.

    Welch's interval, (t_0.975 of nu degrees) sqrt(a + b) with a = std^2 / n of each side and
    nu = (a + b)^2 / (a^2 / (n_a - 1) + b^2 / (n_b - 1)) (Welch, Biometrika 34, 1947), lets the
    deviations differ; the paired one is that of the mean of the differences.

    Args:
      values: at least one number.
      reference: what is subtracted; as many, if paired.
      paired: each value belongs to the one of the reference at its place, as of the same seed.

    Returns:
      The difference.

    Raises:
      ValueError: if there are no numbers, or pairs without a partner.
    """
    if paired and len(values) != len(reference):
        raise ValueError(
            f"values: expected {len(reference)}, as many as of the reference, got {len(values)}"
        )
    if paired and len(values) > 1:
        pairs = zip(values, reference, strict=True)
        summary = summarize([value - other for value, other in pairs])
        return Difference(summary.mean, summary.interval, f"paired over {summary.n} seeds")
    first, second = summarize(values), summarize(reference)
    mean = first.mean - second.mean
    if first.std is None or second.std is None:
        return Difference(mean, None, "one seed tells no interval")
    from scipy import stats  # takes half a second to import

    a, b = first.std**2 / first.n, second.std**2 / second.n
    reach = 0.0
    if a + b > 0:
        degrees = (a + b) ** 2 / (a**2 / (first.n - 1) + b**2 / (second.n - 1))
        reach = float(stats.t.ppf(0.975, degrees)) * math.sqrt(a + b)
    method = f"Welch, {first.n} against {second.n} seeds"
    return Difference(mean, (mean - reach, mean + reach), method)


def noticeable(summary: Summary) -> float | None:
    """Return how far from 0 a mean must be to be noticed with a probability of 80 %.

    Noticed is a mean whose 95 % interval leaves out 0: (t_0.975 + t_0.8) std / sqrt(n), with
    the quantiles of Student's distribution (Zar, "Biostatistical Analysis", section 7.7).

    Args:
      summary: of measurements such as paired differences.

    Returns:
      That distance; None for one measurement.
    """
    if summary.std is None:
        return None
    from scipy import stats  # takes half a second to import

    quantiles = stats.t.ppf((0.975, 0.8), summary.n - 1)
    return float(quantiles.sum()) * summary.std / math.sqrt(summary.n)


def percent(summary: Summary) -> str:
    """Say a summary of parts of 1 in percent: "99.12 +- 0.05 % (95 %: 99.10 to 99.14, n = 30)"."""
    text = f"{100 * summary.mean:.2f}"
    if summary.std is None or summary.interval is None:
        return f"{text} % (n = 1)"
    low, high = summary.interval
    text += f" +- {100 * summary.std:.2f} %"
    return f"{text} (95 %: {100 * low:.2f} to {100 * high:.2f}, n = {summary.n})"
