"""Design and analysis of kernels, for `corr2d`: what is written is what each window is met with.

Kernels are [kH, kW] and never flipped. A derivative is positive where the image grows down (axis
0) or to the right (axis 1); vectors are (down, right) and angles turn from right towards down, so
that the angle a is the vector (sin a, cos a). Numbers that make the shape of a kernel have to be
known when a call is traced; the others, such as a sigma with a `size` beside it, may be traced
and differentiated.
"""

from conv_jax.kernels.algebra import (
    Separation,
    compose,
    identity,
    separate,
    shift,
    steer,
)
from conv_jax.kernels.analysis import Analysis, analyze, frequency_response
from conv_jax.kernels.blurs import binomial, box, disk, motion, sharpen, unsharp
from conv_jax.kernels.differences import (
    directional_derivative,
    edge,
    finite_difference,
    laplacian,
)
from conv_jax.kernels.gabors import field_1987_bank, gabor
from conv_jax.kernels.gaussians import dog, gaussian, gaussian_derivative, log
from conv_jax.kernels.gradients import farid, prewitt, roberts, scharr, sobel

__all__ = (
    "Analysis",
    "Separation",
    "analyze",
    "binomial",
    "box",
    "compose",
    "directional_derivative",
    "disk",
    "dog",
    "edge",
    "farid",
    "field_1987_bank",
    "finite_difference",
    "frequency_response",
    "gabor",
    "gaussian",
    "gaussian_derivative",
    "identity",
    "laplacian",
    "log",
    "motion",
    "prewitt",
    "roberts",
    "scharr",
    "separate",
    "sharpen",
    "shift",
    "sobel",
    "steer",
    "unsharp",
)
