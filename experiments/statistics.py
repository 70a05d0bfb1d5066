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
    """How far the means of two groups of measurements are apart."""

    mean: float  # of the first less that of the second
    interval: tuple[float, float] | None  # holds it with a probability of 95 %
    paired: bool
    n: tuple[int, int]


def difference(values: Sequence[float], others: Sequence[float], *, paired: bool) -> Difference:
    """Return the difference of two means with its 95 % interval.

    Args:
      values: measurements.
      others: more of them, from elsewhere.
      paired: values[i] and others[i] belong together, as by their seed: Student's interval of
        their differences. Else Welch's, which lets the variances differ (B. L. Welch, "The
        generalization of Student's problem when several different population variances are
        involved", 1947).

    Returns:
      The difference; its interval is None where one measurement stands alone.

    Raises:
      ValueError: for no values, or for pairs of which one half is missing.
    """
    n = len(values), len(others)
    if not all(n):
        raise ValueError(f"values, others: expected at least one number each, got {n}")
    if paired:
        if n[0] != n[1]:
            raise ValueError(f"others: expected the {n[0]} partners of values, got {n[1]}")
        of_pairs = summarize(np.subtract(values, others).tolist())
        return Difference(of_pairs.mean, of_pairs.interval, True, n)
    mean = float(np.mean(values) - np.mean(others))
    if min(n) == 1:
        return Difference(mean, None, False, n)
    from scipy import stats  # takes half a second to import

    variances = np.var(values, ddof=1) / n[0], np.var(others, ddof=1) / n[1]  # of the means
    variance = sum(variances)
    if variance == 0:
        return Difference(mean, (mean, mean), False, n)
    parts = (v**2 / (count - 1) for v, count in zip(variances, n, strict=True))
    reach = float(stats.t.ppf(0.975, variance**2 / sum(parts)) * np.sqrt(variance))
    return Difference(mean, (mean - reach, mean + reach), False, n)


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


def percent_difference(difference: Difference) -> str:
    """Say a difference of parts of 1 in percent: "+0.12 % (95 %: -0.05 to +0.29, n = 3 pairs)"."""
    count, other = difference.n
    pairs = f"{count} pair{'s' if count > 1 else ''}"
    n = f"n = {pairs if difference.paired else f'{count} and {other}'}"
    text = f"{100 * difference.mean:+.2f} %"
    if difference.interval is None:
        return f"{text} ({n})"
    low, high = difference.interval
    return f"{text} (95 %: {100 * low:+.2f} to {100 * high:+.2f}, {n})"
