"""What came of learning designed kernels, as numbers."""

import bisect
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from experiments.filters.least_squares import Fit, expected_distances

CLOSE = 1e-6  # what distance, of the target's norm, counts as arrived


class Study(NamedTuple):
    """What came of learning one kernel from one kind of image; errors are of the kernel's norm."""

    target: str
    image: str
    kernel: Float[np.ndarray, "kH kW"]  # the target
    noises: Float[np.ndarray, "L"]  # rising; the first is 0
    noise: float  # the one where the number of samples varies
    counts: np.ndarray  # [C] of samples, rising
    fits: Fit  # every field with leading axes [seeds, C]

    @property
    def num_seeds(self) -> int:
        """The number of draws."""
        return len(self.fits.rank)

    @property
    def chosen(self) -> int:
        """The index of the noise where the number of samples varies."""
        return int(np.searchsorted(self.noises, self.noise))

    @property
    def identifiable(self) -> bool:
        """Whether the most samples determine every element, for every seed."""
        return bool(self.fits.rank[:, -1].min() == self.kernel.size)

    @property
    def errors(self) -> Float[np.ndarray, "seeds C L"]:
        """The norms of what was learned less the target."""
        apart = self.fits.kernel - self.kernel.ravel()
        return np.linalg.norm(apart, axis=-1) / np.linalg.norm(self.kernel)

    @property
    def rms(self) -> Float[np.ndarray, "C L"]:
        """The root mean square of the errors over the seeds."""
        return np.sqrt(np.mean(self.errors**2, axis=0))

    @property
    def expected(self) -> Float[np.ndarray, "C L"]:
        """The root mean square that is expected for these samples, over all noise."""
        biases, variances = self.fits.bias[..., None], self.fits.variance[..., None]
        squares = np.mean(biases**2 + self.noises**2 * variances, axis=0)
        return np.sqrt(squares) / np.linalg.norm(self.kernel)


class Descended(NamedTuple):
    """How gradient descent from 0 went for one kind of image."""

    target: str
    image: str
    kernel: Float[np.ndarray, "kH kW"]  # the target
    fit: Fit  # where it leads
    learning_rate: float
    path: Float[np.ndarray, "S"]  # distances from the fit's kernel

    @property
    def distances(self) -> Float[np.ndarray, "S"]:
        """The distances from the kernel of least squares, of the target's norm."""
        return self.path / np.linalg.norm(self.kernel)

    @property
    def expected(self) -> Float[np.ndarray, "S"]:
        """The same in closed form."""
        return self.expected_after(np.arange(len(self.path)))

    def expected_after(self, steps: np.ndarray) -> np.ndarray:
        """Return the distances in closed form after any numbers of steps."""
        distances = expected_distances(self.fit, steps, learning_rate=self.learning_rate)
        return distances / np.linalg.norm(self.kernel)


class Flip(NamedTuple):
    """How strict convolution learned, from the flipped start, beside correlation."""

    target: str
    image: str
    steps: int
    equal_bits: bool  # of its kernels, flipped, after every step
    largest_difference: float


def shown(name: str) -> str:
    """Return a name of the config as it is printed."""
    return name.replace("_", " ")


def by_target(studies: Sequence[Study]) -> dict[str, list[Study]]:
    """Group the studies by their target, with its shape in the name."""
    grouped: dict[str, list[Study]] = {}
    for study in studies:
        height, width = study.kernel.shape
        grouped.setdefault(f"{study.target} {height}x{width}", []).append(study)
    return grouped


def rows(study: Study) -> list[dict[str, Any]]:
    """Return a row for every count at the chosen noise, and every noise at the largest count."""
    last = len(study.counts) - 1
    cells = [(c, study.chosen) for c in range(last)] + [(last, n) for n in range(len(study.noises))]
    return [row(study, count, noise) for count, noise in cells]


def row(study: Study, count: int, noise: int) -> dict[str, Any]:
    """Return the numbers of one count of samples and one noise, by their indices."""
    errors = study.errors[:, count, noise]
    return {
        "target": study.target,
        "image": study.image,
        "samples": int(study.counts[count]),
        "noise": float(study.noises[noise]),
        "elements": study.kernel.size,
        "rank": int(study.fits.rank[:, count].min()),
        "condition": float(np.median(study.fits.condition[:, count])),
        "error_mean": float(errors.mean()),
        "error_std": float(errors.std(ddof=1)),
        "error_rms": float(study.rms[count, noise]),
        "expected_rms": float(study.expected[count, noise]),
    }


def descent_row(descended: Descended) -> dict[str, Any]:
    """Return what there is to say of a descent; "steps" is None where it has not arrived."""
    condition = float(descended.fit.condition)
    arrived = np.flatnonzero(descended.distances < CLOSE)
    return {
        "target": descended.target,
        "image": descended.image,
        "elements": descended.kernel.size,
        "rank": int(descended.fit.rank),
        "condition": condition,
        "factor": (condition - 1) / (condition + 1),
        "steps": int(arrived[0]) if arrived.size else None,
        "expected_steps": _expected_steps(descended),
        "last_distance": float(descended.distances[-1]),
        "largest_gap": float(np.abs(descended.distances - descended.expected).max()),
    }


def _expected_steps(descended: Descended) -> int:
    """Return after how many steps the closed form says that the descent has arrived."""

    def has_arrived(step: int) -> bool:
        return bool(descended.expected_after(np.array([step]))[0] < CLOSE)

    most = 1
    while not has_arrived(most):
        most *= 2
    return bisect.bisect_left(range(most), True, key=has_arrived)
