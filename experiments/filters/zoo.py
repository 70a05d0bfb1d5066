"""The kernels of the zoo: their calls, as they are written, and what these make."""

from collections.abc import Callable, Mapping
from math import pi

import numpy as np
from jaxtyping import Array, Float

from conv_jax.kernels import (
    binomial,
    box,
    compose,
    directional_derivative,
    disk,
    dog,
    edge,
    farid,
    field_1987_bank,
    finite_difference,
    gabor,
    gaussian,
    gaussian_derivative,
    identity,
    laplacian,
    log,
    motion,
    prewitt,
    roberts,
    scharr,
    sharpen,
    shift,
    sobel,
    steer,
    unsharp,
)

Designs = Mapping[str, Callable[[], Float[Array | np.ndarray, "kH kW"]]]

PAGES: Mapping[str, Designs] = {
    "differences": {
        "finite_difference(1, 1, axis=1, offsets='forward')": lambda: finite_difference(
            1, 1, axis=1, offsets="forward"
        ),
        "finite_difference(1, 2, axis=1, offsets='forward')": lambda: finite_difference(
            1, 2, axis=1, offsets="forward"
        ),
        "finite_difference(1, axis=1)": lambda: finite_difference(1, axis=1),
        "finite_difference(1, axis=0)": lambda: finite_difference(1, axis=0),
        "finite_difference(1, 4, axis=1)": lambda: finite_difference(1, 4, axis=1),
        "finite_difference(2, axis=1)": lambda: finite_difference(2, axis=1),
        "finite_difference(2, 4, axis=0)": lambda: finite_difference(2, 4, axis=0),
        "finite_difference(3, axis=1)": lambda: finite_difference(3, axis=1),
        "directional_derivative((1, 1))": lambda: directional_derivative((1, 1)),
        "directional_derivative((1, 1), 2)": lambda: directional_derivative((1, 1), 2),
        "edge((1, 1))": lambda: edge((1, 1)),
        "edge((1, -2))": lambda: edge((1, -2)),
        "laplacian()": lambda: laplacian(),
        "laplacian(neighbours=8)": lambda: laplacian(neighbours=8),
        "laplacian(accuracy=4)": lambda: laplacian(accuracy=4),
    },
    "gradients": {
        "sobel(axis=1)": lambda: sobel(axis=1),
        "sobel(axis=0)": lambda: sobel(axis=0),
        "steer((sobel(axis=1), sobel(axis=0)), pi / 6)": lambda: steer(
            (sobel(axis=1), sobel(axis=0)), pi / 6
        ),
        "prewitt(axis=1)": lambda: prewitt(axis=1),
        "prewitt(axis=0)": lambda: prewitt(axis=0),
        "roberts(axis=0)": lambda: roberts(axis=0),
        "scharr(axis=1)": lambda: scharr(axis=1),
        "scharr(axis=0)": lambda: scharr(axis=0),
        "roberts(axis=1)": lambda: roberts(axis=1),
        "farid(axis=1)": lambda: farid(axis=1),
        "farid(axis=0)": lambda: farid(axis=0),
        "compose(binomial((3, 1)), [[-0.5, 0, 0.5]])": lambda: compose(
            binomial((3, 1)), [[-0.5, 0, 0.5]]
        ),
    },
    "blurs": {
        "identity(3)": lambda: identity(3),
        "box(3)": lambda: box(3),
        "box(9)": lambda: box(9),
        "box((1, 15))": lambda: box((1, 15)),
        "binomial(3)": lambda: binomial(3),
        "binomial(9)": lambda: binomial(9),
        "compose(box(3), box(3))": lambda: compose(box(3), box(3)),
        "disk(3)": lambda: disk(3),
        "disk(7)": lambda: disk(7),
        "motion(15)": lambda: motion(15),
        "motion(15, angle=pi / 6)": lambda: motion(15, angle=pi / 6),
        "shift(2.5, -8)": lambda: shift(2.5, -8),
    },
    "gaussians": {
        "gaussian(1)": lambda: gaussian(1),
        "gaussian(3)": lambda: gaussian(3),
        "gaussian((1, 5), angle=pi / 6)": lambda: gaussian((1, 5), angle=pi / 6),
        "gaussian_derivative(1.5, (0, 1))": lambda: gaussian_derivative(1.5, (0, 1)),
        "gaussian_derivative(1.5, (1, 0))": lambda: gaussian_derivative(1.5, (1, 0)),
        "gaussian_derivative(1.5, (1, 1))": lambda: gaussian_derivative(1.5, (1, 1)),
        "gaussian_derivative(1.5, (0, 2))": lambda: gaussian_derivative(1.5, (0, 2)),
        "gaussian_derivative(1.5, (0, 3))": lambda: gaussian_derivative(1.5, (0, 3)),
        "log(1)": lambda: log(1),
        "log(3)": lambda: log(3),
        "dog(1)": lambda: dog(1),
        "dog(1, 4)": lambda: dog(1, 4),
    },
    "sharpening": {
        "sharpen(0.3)": lambda: sharpen(0.3),
        "sharpen()": lambda: sharpen(),
        "compose(gaussian(1), sharpen())": lambda: compose(gaussian(1), sharpen()),
        "unsharp(1, 0.5)": lambda: unsharp(1, 0.5),
        "unsharp(2)": lambda: unsharp(2),
        "unsharp(5, 2)": lambda: unsharp(5, 2),
    },
    "oriented": {
        "gabor(1 / 8)": lambda: gabor(1 / 8),
        "gabor(1 / 8, angle=pi / 4)": lambda: gabor(1 / 8, angle=pi / 4),
        "gabor(1 / 8, angle=pi / 2)": lambda: gabor(1 / 8, angle=pi / 2),
        "gabor(1 / 8, phase=-pi / 2)": lambda: gabor(1 / 8, phase=-pi / 2),
        "gabor(1 / 16)": lambda: gabor(1 / 16),
        "gabor(1 / 4)": lambda: gabor(1 / 4),
        "gabor(1 / 8, bandwidth=0.6)": lambda: gabor(1 / 8, bandwidth=0.6),
        "gabor(1 / 8, angle=3 * pi / 4)": lambda: gabor(1 / 8, angle=3 * pi / 4),
        "gabor(1 / 8, sigma=(9, 4.5))": lambda: gabor(1 / 8, sigma=(9, 4.5)),
    },
    "field": {
        "field_1987_bank()[0]": lambda: field_1987_bank()[0],
        "field_1987_bank()[1]": lambda: field_1987_bank()[1],
        "field_1987_bank()[2]": lambda: field_1987_bank()[2],
        "field_1987_bank()[3]": lambda: field_1987_bank()[3],
        "field_1987_bank()[4]": lambda: field_1987_bank()[4],
        "field_1987_bank()[5]": lambda: field_1987_bank()[5],
    },
}
KERNELS: Designs = {call: design for page in PAGES.values() for call, design in page.items()}
