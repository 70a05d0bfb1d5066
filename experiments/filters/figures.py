"""Figures of learning designed kernels."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from conv_jax import plots
from experiments.filters.studies import Descended, Study, by_target, shown


def figures(
    studies: Sequence[Study],
    descents: Sequence[Descended],
    images: Mapping[str, Float[np.ndarray, "H W"]],
) -> dict[str, Figure]:
    """Return errors against samples and against noise, kernels, and descents, by name."""
    panels, first = by_target(studies), studies[0]
    legend = f"points: mean ± standard deviation of {first.num_seeds} seeds; lines: predicted"
    chosen, most = f"noise {first.noise:g}", f"{first.counts[-1]:,} samples"
    return {
        "samples": plots.error_curves(
            {name: _curves(some, against_noise=False) for name, some in panels.items()},
            label="samples",
            title=f"Learning a kernel from samples of its output, {chosen}\n{legend}; "
            "dotted: as many samples as elements",
            marks={name: some[0].kernel.size for name, some in panels.items()},
        ),
        "noise": plots.error_curves(
            {name: _curves(some, against_noise=True) for name, some in panels.items()},
            label="noise",
            title=f"Learning a kernel from {most} of its output\n{legend}",
        ),
        "kernels": plots.kernel_tiles(
            {name: _tiles(some) for name, some in panels.items()},
            images={shown(kind): image for kind, image in images.items()},
            title=f"Kernels learned from {most}, {chosen}",
        ),
        "descent": plots.convergence(
            {
                shown(descended.image): plots.Convergence(
                    np.asarray(descended.fit.eigenvalues), descended.distances, descended.expected
                )
                for descended in descents
            },
            title=f"Gradient descent to the least-squares {descents[0].target}",
        ),
    }


def _curves(studies: Sequence[Study], *, against_noise: bool) -> dict[str, plots.ErrorCurve]:
    """Return the errors for the most samples, or else at the chosen noise, by image."""
    curves = {}
    for study in studies:
        x = study.noises[1:] if against_noise else study.counts.astype(float)
        cells = np.s_[-1, 1:] if against_noise else np.s_[:, study.chosen]
        mean, std = study.errors.mean(axis=0), study.errors.std(axis=0, ddof=1)
        curve = plots.ErrorCurve(x, mean[cells], std[cells], study.expected[cells])
        curves[shown(study.image)] = curve
    return curves


def _tiles(studies: Sequence[Study]) -> dict[str, plots.Tile]:
    """Return the target, and what the first seed learned of it from each kind of image."""
    tiles = {"designed": plots.Tile(studies[0].kernel, "")}
    for study in studies:
        learned = np.reshape(study.fits.kernel[0, -1, study.chosen], study.kernel.shape)
        rank = f"rank {study.fits.rank[0, -1]} of {study.kernel.size}"
        error = f"error {study.errors[0, -1, study.chosen]:.2g}"
        tiles[shown(study.image)] = plots.Tile(learned, f"{rank}\n{error}")
    return tiles
