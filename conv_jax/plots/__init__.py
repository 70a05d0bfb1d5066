"""Figures of experiments, each a function of arrays; the only folder that imports matplotlib."""

from conv_jax.plots.bands import Band, band_style, bands
from conv_jax.plots.benchmarks import Timings, ratio_bars, ratio_maps, step_times, times_by_kernel
from conv_jax.plots.designed_kernels import (
    KernelPicture,
    draw_filtered,
    draw_kernel,
    draw_response,
    kernel_overview,
    kernel_page,
    kernel_palette,
    sensor_bank,
)
from conv_jax.plots.edges import EdgeMaps, edge_maps
from conv_jax.plots.learned_kernels import kernel_path, learned_kernel, loss_curve
from conv_jax.plots.networks import (
    Curve,
    confusion_matrix,
    feature_maps,
    kernels,
    mistakes,
    training_curves,
)
from conv_jax.plots.operators import operators_compared
from conv_jax.plots.pixels import arrays, sliding_window
from conv_jax.plots.receptive_fields import Box, effective_fields, field_radii, layer_fields
from conv_jax.plots.recovery import (
    Convergence,
    ErrorCurve,
    Tile,
    convergence,
    error_curves,
    kernel_tiles,
)

__all__ = (
    "Band",
    "Box",
    "Convergence",
    "Curve",
    "EdgeMaps",
    "ErrorCurve",
    "KernelPicture",
    "Tile",
    "Timings",
    "arrays",
    "band_style",
    "bands",
    "confusion_matrix",
    "convergence",
    "draw_filtered",
    "draw_kernel",
    "draw_response",
    "edge_maps",
    "effective_fields",
    "error_curves",
    "feature_maps",
    "field_radii",
    "kernel_overview",
    "kernel_page",
    "kernel_palette",
    "kernel_path",
    "kernel_tiles",
    "kernels",
    "layer_fields",
    "learned_kernel",
    "loss_curve",
    "mistakes",
    "operators_compared",
    "ratio_bars",
    "ratio_maps",
    "sensor_bank",
    "sliding_window",
    "step_times",
    "times_by_kernel",
    "training_curves",
)
