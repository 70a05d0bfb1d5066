"""Figures of experiments, each a function of arrays; the only folder that imports matplotlib."""

from conv_jax.plots.benchmarks import Timings, ratio_bars, ratio_maps, step_times, times_by_kernel
from conv_jax.plots.learned_kernels import kernel_path, learned_kernel, loss_curve
from conv_jax.plots.networks import (
    Curve,
    confusion_matrix,
    feature_maps,
    kernels,
    mistakes,
    training_curves,
)

__all__ = (
    "Curve",
    "Timings",
    "confusion_matrix",
    "feature_maps",
    "kernel_path",
    "kernels",
    "learned_kernel",
    "loss_curve",
    "mistakes",
    "ratio_bars",
    "ratio_maps",
    "step_times",
    "times_by_kernel",
    "training_curves",
)
