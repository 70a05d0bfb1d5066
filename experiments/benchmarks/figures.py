"""The figures of the benchmark of correlation: what each takes, and how we compare."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from conv_jax import plots
from experiments.benchmarks import corr2d_summary
from experiments.benchmarks.cells import Cell
from experiments.benchmarks.corr2d_summary import Row
from experiments.record import Record
from experiments.tables import BenchCorr2DConfig


def draw(config: BenchCorr2DConfig, cells: Sequence[Row], limits: Row, record: Record) -> None:
    """Draw times against the kernel, and how we compare over the grid, for each quantity."""
    grid = config.grid
    n = config.figure_size if config.figure_size in grid.sizes else max(grid.sizes)
    for quantity in grid.quantities:
        some = [cell for cell in cells if cell["quantity"] == quantity]
        drawn = [c for c in some if (c["n"], c["batch"]) == (n, grid.batches[0])]
        if drawn:
            panels = {
                f"{kind} kernel": _timings([c for c in drawn if c["kind"] == kind], limits)
                for kind in grid.kinds
            }
            images = f"{grid.batches[0]} images of" if grid.batches[0] > 1 else "an image of"
            title = f"Time for the {quantity} of {images} {n} x {n}"
            record.save_figure(f"times_{quantity}", plots.times_by_kernel(panels, title=title))
        maps = {
            f"{kind} kernel, batch of {batch}": _ratios(config, some, kind, batch)
            for kind in grid.kinds
            for batch in grid.batches
        }
        if any(np.isfinite(values).any() for values in maps.values()):
            figure = plots.ratio_maps(
                maps,
                rows=[str(n) for n in grid.sizes],
                columns=grid.kernels,
                title=f"How many times faster we are: {quantity}",
                label="best of OpenCV, SciPy, torch / ours (auto)",
            )
            record.save_figure(f"ratios_{quantity}", figure)


def _timings(cells: Sequence[Row], limits: Row) -> plots.Timings:
    """Return the lines of one panel, with the bounds of memory and arithmetic.

    A value reads and writes an image; a gradient reads two and writes one, and has the products
    of two correlations.
    """
    first = cells[0]
    num_bytes, passes = (8, 1) if first["quantity"] == "value" else (12, 2)
    shapes = [Cell(*(cell[key] for key in Cell._fields)) for cell in cells]
    [bandwidth] = {
        row["bytes_per_second"]
        for row in limits["copy"]
        if (row["n"], row["batch"]) == (first["n"], first["batch"])
    }
    names = dict.fromkeys(name for cell in cells for name in cell["times"])
    taps = [
        sum(c.kernel_shape) if c.kind == "separable" else int(np.prod(c.kernel_shape))
        for c in shapes
    ]
    return plots.Timings(
        kernels=[cell.kernel for cell in shapes],
        sides=np.array([np.sqrt(np.prod(cell.kernel_shape)) for cell in shapes]),
        seconds={
            name: np.array([corr2d_summary.seconds(c, name) or np.nan for c in cells])
            for name in names
        },
        bounds={
            f"copy, {num_bytes} bytes a pixel": np.array(
                [num_bytes * c.pixels / bandwidth for c in shapes]
            ),
            "products at matmul's rate": np.array(
                [
                    2 * passes * t * c.pixels / limits["matmul_flops"]
                    for t, c in zip(taps, shapes, strict=True)
                ]
            ),
        },
    )


def _ratios(
    config: BenchCorr2DConfig, cells: Sequence[Row], kind: str, batch: int
) -> Float[np.ndarray, "sizes kernels"]:
    """Return the best other library's time over ours, NaN where one of them is missing."""
    grid = config.grid
    ratios = np.full((len(grid.sizes), len(grid.kernels)), np.nan)
    for cell in cells:
        against = corr2d_summary.ratio(cell, corr2d_summary.others(cell), ["auto"])
        if (cell["kind"], cell["batch"]) == (kind, batch) and against is not None:
            ratios[grid.sizes.index(cell["n"]), grid.kernels.index(cell["kernel"])] = against.value
    return ratios
