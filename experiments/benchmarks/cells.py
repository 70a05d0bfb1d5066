"""Cells of the benchmark of 2-D correlation: what each asks for, and what is right."""

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import signal

Arrays = Mapping[str, np.ndarray]  # "value"; or "image" and "kernel", or "image", "column", "row"

# Largest error over the root mean square of the truth. Float32 takes about a tenth of it here;
# bfloat16 and TF32 take more, and an offset of one pixel takes a thousand times as much.
TOLERANCE = 1e-3


class WrongResultError(RuntimeError):
    """A contestant that computed something else."""


class Cell(NamedTuple):
    """One place of the grid."""

    n: int  # height and width of the images
    kernel: str  # height and width, as "3x3"
    kind: str  # "random", or "separable": an outer product of two vectors
    batch: int  # number of images
    quantity: str  # "value", or "gradient": with respect to images and kernel

    @property
    def kernel_shape(self) -> tuple[int, int]:
        """Height and width of the kernel."""
        height, _, width = self.kernel.partition("x")
        return int(height), int(width)

    @property
    def pixels(self) -> int:
        """Pixels of all images."""
        return self.batch * self.n * self.n


class Inputs(NamedTuple):
    """The float32 arrays of a cell, NumPy's or JAX's."""

    images: Any  # [B, n, n]
    kernel: Any  # [kH, kW]; column x row where it is separable
    column: Any  # [kH], or None
    row: Any  # [kW], or None
    cotangent: Any  # [B, H', W'], or None where the value is asked for


class Case(NamedTuple):
    """A cell, with what a contestant needs to take part in it."""

    cell: Cell
    padding: Literal["valid", "same"]
    threads: int
    inputs: Inputs  # NumPy's
    on_device: Inputs  # the same, JAX's
    programs: dict[Any, Any]  # JAX's, by contestant and by text; kinds of a kernel share them


class Ready(NamedTuple):
    """A contestant that is ready for one cell."""

    call: Callable[[], Any]  # computes, and returns when the result is there
    arrays: Callable[[Any], Arrays]  # the result as NumPy's, for the check
    compile_seconds: float | None = None  # if it compiled anything
    program: Any = None  # what it runs, where another contestant may run the same


def normal(seed: int, shape: tuple[int, ...]) -> np.ndarray:
    """Draw float32 numbers of mean 0 and standard deviation 1."""
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def make_inputs(
    cell: Cell,
    images: Float[np.ndarray, "B n n"],
    noise: Float[np.ndarray, "B n n"] | None,
    *,
    padding: str,
    seed: int,
) -> Inputs:
    """Add the kernel and, for gradients, the cotangent, which is cut out of the noise."""
    height, width = cell.kernel_shape
    column = row = cotangent = None
    kernel = normal(seed, (height, width))
    if cell.kind == "separable":
        column, row = normal(seed + 1, (height,)), normal(seed + 2, (width,))
        kernel = np.outer(column, row)
    if cell.quantity == "gradient":
        assert noise is not None
        lost = (0, 0) if padding == "same" else (height - 1, width - 1)
        cotangent = np.ascontiguousarray(noise[:, : cell.n - lost[0], : cell.n - lost[1]])
    return Inputs(images, kernel, column, row, cotangent)


def valid_part(
    values: Float[np.ndarray, "B H W"], cell: Cell, padding: str
) -> Float[np.ndarray, "B n-kH+1 n-kW+1"]:
    """Cut off what depends on the padding: the word as for `conv_jax.corr2d`."""
    before = {"valid": lambda k: 0, "same": lambda k: (k - 1) // 2, "same_lower": lambda k: k // 2}
    rows, columns = (slice(s := before[padding](k), s + cell.n - k + 1) for k in cell.kernel_shape)
    return values[:, rows, columns]


def truth(case: Case) -> Arrays:
    """Compute what is right in float64, with Fourier transforms; of values the valid part."""
    cell, inputs = case.cell, case.inputs
    images, kernel = inputs.images.astype(float), inputs.kernel.astype(float)
    options = {"axes": (1, 2)}
    if cell.quantity == "value":
        return {"value": signal.fftconvolve(images, kernel[None, ::-1, ::-1], "valid", **options)}
    same = case.padding == "same"
    pads = [((k - 1) // 2, k // 2) if same else (0, 0) for k in cell.kernel_shape]
    cotangent = inputs.cotangent.astype(float)
    spread = signal.fftconvolve(cotangent, kernel[None], "full", **options)
    top, left = pads[0][0], pads[1][0]
    by_image = spread[:, top : top + cell.n, left : left + cell.n]
    padded = np.pad(images, [(0, 0), *pads])
    flipped = cotangent[:, ::-1, ::-1]
    by_kernel = signal.fftconvolve(padded, flipped, "valid", **options).sum(axis=0)
    right = {"image": by_image, "kernel": by_kernel}
    if cell.kind == "separable":
        right["column"] = by_kernel @ inputs.row.astype(float)
        right["row"] = inputs.column.astype(float) @ by_kernel
    return right


def check(name: str, cell: Cell, found: Arrays, right: Arrays) -> None:
    """Compare what a contestant found with the truth.

    Raises:
      WrongResultError: for another shape, or an error above TOLERANCE.
    """
    for part, values in found.items():
        about = f"{name} is wrong in {cell._asdict()}: {part}"
        if values.shape != right[part].shape:
            raise WrongResultError(
                f"{about}: expected shape {right[part].shape}, got {values.shape}"
            )
        scale = np.sqrt(np.mean(right[part] ** 2))
        error = np.abs(values - right[part]).max() / scale
        if not error <= TOLERANCE:
            raise WrongResultError(
                f"{about}: expected an error up to {TOLERANCE:g} of the truth, got {error:.2g}"
            )
