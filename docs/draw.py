"""Draw the README's pictures of filters, matrices and augmentation: `python docs/draw.py`."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib import pyplot as plt

import conv_jax as cj
from conv_jax import augment, data, kernels, matrices

FOLDER = Path(__file__).parent


def draw_filters() -> None:
    """Draw one photograph through every filter."""
    image = data.photograph()[20:340, 90:410]
    values, _ = jnp.linalg.eigh(cj.structure_tensor(image, 2.0))
    panels = {
        "photograph": (image, "gray"),
        "gaussian_blur, sigma 4": (cj.gaussian_blur(image, 4.0), "gray"),
        "difference_of_gaussians": (cj.difference_of_gaussians(image, 2.0), "gray"),
        "gradient, right": (cj.gradient(image)[1], "gray"),
        "sobel_magnitude": (cj.sobel_magnitude(image), "magma"),
        "structure_tensor: corners": (values[..., 0] ** 0.5, "magma"),
        "canny": (cj.canny(image, 2.0), "gray_r"),
    }
    figure, grid = plt.subplots(1, len(panels), figsize=(14, 2.3), layout="constrained")
    for axes, (title, (picture, colours)) in zip(grid, panels.items(), strict=True):
        axes.imshow(np.asarray(picture), cmap=colours)
        axes.set_title(title, fontsize=10)
        axes.set_axis_off()
    figure.savefig(FOLDER / "filters.png", dpi=72)


def draw_matrices() -> None:
    """Draw the matrix of a correlation, the windows of its image, and singular values."""
    kernel = kernels.sobel(axis=1)
    matrix = cj.corr2d_matrix(kernel, (7, 7), padding="same")
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    left.imshow(matrix, cmap="RdBu_r", vmin=-2, vmax=2)
    left.set(title="corr2d_matrix(sobel, (7, 7), padding='same')", xlabel="pixel", ylabel="output")
    blurs = {
        "sobel": kernels.sobel(axis=1, normalized=True),
        "gaussian, sigma 1": kernels.gaussian(1.0),
        "gaussian, sigma 2": kernels.gaussian(2.0),
        "box(5)": kernels.box(5),
        "sharpen": kernels.sharpen(),
    }
    for name, blur in blurs.items():
        values = matrices.singular_values(blur, (24, 24), padding="same", boundary="wrap")
        right.semilogy(values, label=name)
    right.set(ylim=(1e-7, 20), xlabel="number", title="singular_values on 24 x 24 pixels, wrapped")
    right.legend(fontsize=8)
    right.grid(alpha=0.3)
    figure.savefig(FOLDER / "matrices.png", dpi=90)


def draw_augmentation() -> None:
    """Draw digits, and what each augmentation makes of them."""
    images = data.load("mnist", image_size=32).train.images[:14]
    rows = {
        "digits": {},
        "shift": {"shift": 4},
        "rotation": {"rotation": 20.0},
        "scale": {"scale": 0.4},
        "shear": {"shear": 25.0},
        "elastic": {"elastic": 34.0},
        "affine and elastic": {"rotation": 15.0, "scale": 0.2, "shear": 15.0, "elastic": 34.0},
        "erasing": {"erasing": 1.0, "erasing_area": 0.2},
    }
    figure, grid = plt.subplots(len(rows), 1, figsize=(9, 5.6), layout="constrained")
    for axes, (title, options) in zip(grid, rows.items(), strict=True):
        change = augment.from_config(options)
        shown = images if change is None else change(jax.random.key(0), images)
        axes.imshow(np.hstack(np.asarray(shown)[..., 0]), cmap="gray")
        axes.set_ylabel(title, rotation=0, ha="right", va="center", fontsize=9)
        axes.set(xticks=[], yticks=[])
    figure.savefig(FOLDER / "augmentation.png", dpi=90)


if __name__ == "__main__":
    draw_augmentation()
    draw_filters()
    draw_matrices()
