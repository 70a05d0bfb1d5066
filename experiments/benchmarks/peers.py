"""Contestants from OpenCV, SciPy and torch: each made ready for one cell, if it can do it.

OpenCV and scipy.ndimage know the size-keeping padding alone, and compute it whatever is asked.
All get the threads that the process may use. Inputs are converted before any timing; results
stay what each library returns.
"""

import functools
import importlib
from importlib import metadata
from types import ModuleType
from typing import Any

import numpy as np

from experiments.benchmarks.cells import Case, Ready, valid_part

PACKAGES = ("cv2", "scipy", "torch")
_DISTRIBUTIONS = {"cv2": "opencv-python-headless"}


def installed(package: str) -> ModuleType | None:
    """Import a package, None if it cannot be."""
    try:
        return importlib.import_module(package)
    except ImportError:
        return None


def version(package: str) -> str | None:
    """Return the version of a package that is installed, else None."""
    try:
        return metadata.version(_DISTRIBUTIONS.get(package, package))
    except metadata.PackageNotFoundError:
        return None


def set_threads(threads: int) -> None:
    """Let OpenCV and torch use so many threads; SciPy's transforms are told in their calls."""
    cv2, torch = installed("cv2"), installed("torch")
    if cv2 is not None:
        cv2.setNumThreads(threads)
    if torch is not None:
        torch.set_num_threads(threads)


def filter2d(case: Case) -> Ready:
    """OpenCV's cv2.filter2D, one image after the other."""
    cv2: Any = importlib.import_module("cv2")
    filter_one = functools.partial(
        cv2.filter2D, ddepth=cv2.CV_32F, kernel=case.inputs.kernel, borderType=cv2.BORDER_CONSTANT
    )
    return _each_image(case, filter_one, padding="same_lower")


def sep_filter2d(case: Case) -> Ready:
    """OpenCV's cv2.sepFilter2D, one image after the other."""
    cv2: Any = importlib.import_module("cv2")
    filter_one = functools.partial(
        cv2.sepFilter2D,
        ddepth=cv2.CV_32F,
        kernelX=case.inputs.row,
        kernelY=case.inputs.column,
        borderType=cv2.BORDER_CONSTANT,
    )
    return _each_image(case, filter_one, padding="same_lower")


def correlate2d(case: Case) -> Ready:
    """scipy.signal.correlate2d, one image after the other."""
    signal: Any = importlib.import_module("scipy.signal")
    correlate = functools.partial(signal.correlate2d, in2=case.inputs.kernel, mode=case.padding)
    return _each_image(case, correlate, padding=case.padding)


def ndimage_correlate(case: Case) -> Ready:
    """scipy.ndimage.correlate, one image after the other."""
    ndimage: Any = importlib.import_module("scipy.ndimage")
    correlate = functools.partial(ndimage.correlate, weights=case.inputs.kernel, mode="constant")
    return _each_image(case, correlate, padding="same_lower")


def ndimage_correlate1d(case: Case) -> Ready:
    """scipy.ndimage.correlate1d along the rows and down the columns, one image after the other."""
    ndimage: Any = importlib.import_module("scipy.ndimage")

    def correlate(image: np.ndarray) -> np.ndarray:
        wide = ndimage.correlate1d(image, case.inputs.row, axis=1, mode="constant")
        return ndimage.correlate1d(wide, case.inputs.column, axis=0, mode="constant")

    return _each_image(case, correlate, padding="same_lower")


def by_transform(name: str, case: Case) -> Ready:
    """scipy.signal.fftconvolve or oaconvolve with the flipped kernel, on all images at once."""
    fft: Any = importlib.import_module("scipy.fft")
    convolve = getattr(importlib.import_module("scipy.signal"), name)
    images, flipped = case.inputs.images, np.ascontiguousarray(case.inputs.kernel[None, ::-1, ::-1])

    def call() -> np.ndarray:
        with fft.set_workers(case.threads):
            return convolve(images, flipped, mode=case.padding, axes=(1, 2))

    # "same" is the middle of the full convolution, so for even kernels one pixel up and left
    padding = "same_lower" if case.padding == "same" else case.padding
    return Ready(call, lambda values: {"value": valid_part(values, case.cell, padding)})


def torch_conv2d(case: Case) -> Ready | None:
    """Take torch's conv2d of one channel; its backward pass alone for the gradient."""
    torch: Any = importlib.import_module("torch")
    images = torch.from_numpy(case.inputs.images)[:, None]
    kernel = torch.from_numpy(case.inputs.kernel)[None, None]
    if case.cell.quantity == "value":
        conv2d = torch.no_grad()(torch.nn.functional.conv2d)
        return Ready(
            lambda: conv2d(images, kernel, padding=case.padding),
            lambda values: {"value": valid_part(values[:, 0].numpy(), case.cell, case.padding)},
        )
    pads = _symmetric_pads(case)
    if pads is None:
        return None
    cotangent = torch.from_numpy(case.inputs.cotangent)[:, None]
    return Ready(
        lambda: _backward(torch, cotangent, images, kernel, pads),
        lambda found: {"image": found[0][:, 0].numpy(), "kernel": found[1][0, 0].numpy()},
    )


def torch_fft(case: Case) -> Ready | None:
    """Multiply torch's Fourier transforms, each computed once, for values or for gradients."""
    if case.padding != "valid":
        return None
    torch: Any = importlib.import_module("torch")
    fast: Any = importlib.import_module("scipy.fft").next_fast_len
    lengths = [fast(case.cell.n, real=True)] * 2
    height, width = (case.cell.n - k + 1 for k in case.cell.kernel_shape)
    forward = functools.partial(torch.fft.rfft2, s=lengths)
    back = functools.partial(torch.fft.irfft2, s=lengths)
    images, kernel = (torch.from_numpy(part) for part in (case.inputs.images, case.inputs.kernel))
    if case.cell.quantity == "value":
        return Ready(
            lambda: back(forward(images) * forward(kernel).conj())[:, :height, :width],
            lambda values: {"value": values.numpy()},
        )
    cotangent = torch.from_numpy(case.inputs.cotangent)

    def gradient() -> tuple[Any, Any]:
        of_cotangent = forward(cotangent)
        by_image = back(of_cotangent * forward(kernel))[:, : case.cell.n, : case.cell.n]
        by_kernel = back((forward(images) * of_cotangent.conj()).sum(dim=0))
        return by_image, by_kernel[: case.cell.kernel_shape[0], : case.cell.kernel_shape[1]]

    return Ready(gradient, lambda found: {"image": found[0].numpy(), "kernel": found[1].numpy()})


def torch_separable(case: Case) -> Ready | None:
    """Two passes of torch's conv2d, along the rows and down the columns, and their gradients."""
    pads = _symmetric_pads(case)
    if pads is None:
        return None
    torch: Any = importlib.import_module("torch")
    images = torch.from_numpy(case.inputs.images)[:, None]
    column = torch.from_numpy(case.inputs.column)[None, None, :, None]
    row = torch.from_numpy(case.inputs.row)[None, None, None, :]
    conv2d = torch.no_grad()(torch.nn.functional.conv2d)
    vertical, horizontal = (pads[0], 0), (0, pads[1])
    if case.cell.quantity == "value":
        return Ready(
            lambda: conv2d(conv2d(images, row, padding=horizontal), column, padding=vertical),
            lambda values: {"value": valid_part(values[:, 0].numpy(), case.cell, case.padding)},
        )
    cotangent = torch.from_numpy(case.inputs.cotangent)[:, None]

    def gradient() -> tuple[Any, Any, Any]:
        middle = conv2d(images, row, padding=horizontal)
        by_middle, by_column = _backward(torch, cotangent, middle, column, vertical)
        by_image, by_row = _backward(torch, by_middle, images, row, horizontal)
        return by_image, by_column, by_row

    return Ready(
        gradient,
        lambda found: {
            "image": found[0][:, 0].numpy(),
            "column": found[1][0, 0, :, 0].numpy(),
            "row": found[2][0, 0, 0].numpy(),
        },
    )


def _each_image(case: Case, function: Any, *, padding: str) -> Ready:
    images = list(case.inputs.images)
    return Ready(
        lambda: [function(image) for image in images],
        lambda values: {"value": valid_part(np.stack(values), case.cell, padding)},
    )


def _symmetric_pads(case: Case) -> tuple[int, int] | None:
    """Return the rows and columns of zeros on each side, None if the sides would differ."""
    height, width = case.cell.kernel_shape
    if case.padding == "valid":
        return 0, 0
    return ((height - 1) // 2, (width - 1) // 2) if height % 2 and width % 2 else None


def _backward(
    torch: Any, cotangent: Any, images: Any, kernel: Any, pads: tuple[int, int]
) -> tuple[Any, Any]:
    """Return the gradients of conv2d with respect to images and kernel."""
    options = ([1, 1], list(pads), [1, 1], False, [0, 0], 1, [True, True, False])
    backward = torch.ops.aten.convolution_backward
    return backward(cotangent, images, kernel, None, *options)[:2]
