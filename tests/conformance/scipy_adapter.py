"""SciPy's convolutions on conv_jax, and the pytest plugin that puts them to the test.

`pytest -p scipy_adapter --pyargs scipy.signal.tests.test_signaltools` runs SciPy's own cases on
the functions below. Nothing of SciPy changes but names in that process. What conv_jax has no
convolution for, one axis or three, is skipped, and says so.
"""

import functools

import jax
import numpy as np
import pytest
import scipy.signal

import conv_jax

BOUNDARIES = {"fill": "constant", "wrap": "wrap", "symm": "symmetric"}
REPLACED = ("correlate2d", "convolve2d", "fftconvolve", "oaconvolve")
NOT_OURS = "test_fft_nan"  # is about scipy.signal.convolve


def correlate2d(in1, in2, mode="full", boundary="fill", fillvalue=0, *, algorithm="auto"):
    """Correlate as scipy.signal.correlate2d, which conjugates in2 and swaps a larger in2."""
    in1, in2 = np.asarray(in1), np.asarray(in2)
    # 'valid' slides the smaller array over the larger; the lags then run the other way.
    swap = mode == "valid" and _is_within(in1, in2)
    image, kernel = (in2.conj(), in1) if swap else (in1, in2.conj())
    operator = functools.partial(conv_jax.corr2d, algorithm=algorithm)
    result = _call(operator, image, kernel, mode, boundary, fillvalue)
    return result[::-1, ::-1] if swap else result


def convolve2d(in1, in2, mode="full", boundary="fill", fillvalue=0, *, algorithm="auto"):
    """Convolve as scipy.signal.convolve2d, whose 'same' is centred the other way."""
    in1, in2 = np.asarray(in1), np.asarray(in2)
    swap = mode == "valid" and _is_within(in1, in2)
    image, kernel = (in2, in1) if swap else (in1, in2)
    padding = "same_lower" if mode == "same" else mode
    operator = functools.partial(conv_jax.conv2d, algorithm=algorithm)
    return _call(operator, image, kernel, padding, boundary, fillvalue)


def fftconvolve(in1, in2, mode="full", axes=None):
    """Convolve two axes as scipy.signal.fftconvolve, and the others one by one, by "fft"."""
    in1, in2 = np.asarray(in1), np.asarray(in2)
    axes = range(in1.ndim) if axes is None else np.atleast_1d(axes)
    if in1.ndim != in2.ndim or len(axes) != 2:
        pytest.skip("not a convolution of two axes")
    in1, in2 = (np.moveaxis(_as_float(array), axes, (-2, -1)) for array in (in1, in2))
    try:
        batch = np.broadcast_shapes(in1.shape[:-2], in2.shape[:-2])
    except ValueError:
        pytest.skip("about broadcasting, which is not conv_jax's")
    images, kernels = (np.broadcast_to(a, (*batch, *a.shape[-2:])) for a in (in1, in2))
    convolve = functools.partial(_convolve_by_fft, mode=mode)
    for _ in batch:
        convolve = jax.vmap(convolve)
    return np.moveaxis(np.asarray(convolve(images, kernels)), (-2, -1), axes)


oaconvolve = fftconvolve  # the same function, computed in blocks


def pytest_collection_modifyitems(items):
    """Replace SciPy's functions where its tests look: in modules and among parameters."""
    items[:] = [item for item in items if item.originalname != NOT_OURS]
    theirs = {getattr(scipy.signal, name): globals()[name] for name in REPLACED}
    for module in {item.module for item in items} | {scipy.signal}:
        for name in REPLACED:
            setattr(module, name, globals()[name])
    for item in (item for item in items if hasattr(item, "callspec")):
        parameters = item.callspec.params
        functions = {name: value for name, value in parameters.items() if callable(value)}
        parameters.update({name: theirs.get(value, value) for name, value in functions.items()})


def _is_within(first, second):
    """Tell whether the second is the larger one, or as large, on every axis and larger on one."""
    pairs = zip(first.shape, second.shape, strict=False)  # one may not be 2-D: ours refuses it
    return first.shape != second.shape and all(a <= b for a, b in pairs)


def _convolve_by_fft(image, kernel, *, mode):
    """Convolve 2-D arrays, and say in SciPy's words that neither is within the other."""
    if mode == "valid" and _is_within(image, kernel):
        image, kernel = kernel, image
    padding = "same_lower" if mode == "same" else mode
    try:
        return conv_jax.conv2d(image, kernel, padding=padding, algorithm="fft")
    except ValueError as error:
        if str(error).startswith("kernel: expected an extent within the padded image"):
            message = "For 'valid' mode, one must be at least as large as the other in every"
            raise ValueError(f"{message} dimension") from error
        raise


def _as_float(array):
    return array if np.issubdtype(array.dtype, np.inexact) else array.astype(np.float64)


def _call(operator, image, kernel, padding, boundary, fillvalue):
    """Call one of ours, and say what is wrong with a fillvalue in SciPy's words."""
    fill_value = np.asarray(fillvalue)
    if fill_value.size != 1:
        raise ValueError("`fillvalue` must be scalar or an array with one element")
    is_used = boundary == "fill" and padding != "valid"
    options = {"fill_value": fill_value.reshape(())} if is_used else {}
    try:
        result = operator(image, kernel, padding=padding, boundary=BOUNDARIES[boundary], **options)
    except ValueError as error:
        if str(error).startswith("fill_value: expected a number that"):
            message = "could not cast `fillvalue` directly to the output type"
            raise ValueError(message) from error
        raise
    return np.asarray(result)
