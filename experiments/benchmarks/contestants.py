"""Who takes part in the benchmark: our algorithms, JAX's own functions, other libraries."""

import functools
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from conv_jax import corr2d
from conv_jax.algorithms import ALGORITHMS
from experiments.benchmarks import peers
from experiments.benchmarks.cells import Arrays, Case, Cell, Ready, valid_part

MOST_SHIFTS = 225  # "shifted" unrolls as many terms as the kernel has elements
TAKE_FACTORS = ("auto", "separable")  # of a separable kernel, these get the column and the row
GROWTH = {"auto": "pixels", "fft": "pixels", "separable": "sides", "matmul": "sides"}


class Contestant(NamedTuple):
    """A way to compute a cell."""

    make: Callable[[Case], Ready | None]  # None where it refuses the cell
    growth: str = "taps"  # what its time grows with, as for `timing.predict`
    package: str | None = None  # what has to be installed
    gradients: bool = True  # or values alone
    any_kernel: bool = True  # or separable ones alone

    def takes_part(self, cell: Cell) -> bool:
        """Tell whether this is a cell for it."""
        computes = self.gradients or cell.quantity == "value"
        return computes and (self.any_kernel or cell.kind == "separable")


def contestants() -> dict[str, Contestant]:
    """Return all, installed or not, by the name that the results have."""
    names = dict.fromkeys(("auto", *ALGORITHMS, "separable"))
    del names["reference"]  # correct, not fast
    ours = {
        name: Contestant(
            functools.partial(_ours, name),
            GROWTH.get(name, "taps"),
            any_kernel=name != "separable",
        )
        for name in names
    }
    values = functools.partial(Contestant, gradients=False)
    transforms = {
        f"scipy.{name}": values(functools.partial(peers.by_transform, name), "pixels", "scipy")
        for name in ("fftconvolve", "oaconvolve")
    }
    return {
        **ours,
        "lax": Contestant(_lax),
        "jax.scipy": Contestant(_jax_scipy),
        "cv2.filter2D": values(peers.filter2d, "sides", "cv2"),
        "cv2.sepFilter2D": values(peers.sep_filter2d, "sides", "cv2", any_kernel=False),
        "scipy.correlate2d": values(peers.correlate2d, "taps", "scipy"),
        "scipy.ndimage.correlate": values(peers.ndimage_correlate, "taps", "scipy"),
        "scipy.ndimage.correlate1d": values(
            peers.ndimage_correlate1d, "sides", "scipy", any_kernel=False
        ),
        **transforms,
        "torch.conv2d": Contestant(peers.torch_conv2d, "taps", "torch"),
        "torch.fft": Contestant(peers.torch_fft, "pixels", "torch"),
        "torch.separable": Contestant(peers.torch_separable, "sides", "torch", any_kernel=False),
    }


def _ours(algorithm: str, case: Case) -> Ready | None:
    """Our corr2d; an algorithm that refuses the cell does not take part."""
    height, width = case.cell.kernel_shape
    if algorithm == "shifted" and height * width > MOST_SHIFTS:
        return None

    def correlate(images: Any, kernel: Any) -> jax.Array:
        return corr2d(images, kernel, padding=case.padding, algorithm=algorithm)

    device = case.on_device
    factors = case.cell.kind == "separable" and algorithm in TAKE_FACTORS
    kernel = (device.column, device.row) if factors else device.kernel
    try:
        return _compiled(algorithm, correlate, kernel, case)
    except ValueError:
        if algorithm == "auto":  # which may refuse nothing
            raise
        return None


def _lax(case: Case) -> Ready:
    """XLA's convolution, as JAX gives it out."""

    def correlate(images: jax.Array, kernel: jax.Array) -> jax.Array:
        features = lax.conv_general_dilated(
            images[:, None],
            kernel[None, None],
            (1, 1),
            case.padding.upper(),
            precision=lax.Precision.HIGHEST,
        )
        return features[:, 0]

    return _compiled("lax", correlate, case.on_device.kernel, case)


def _jax_scipy(case: Case) -> Ready:
    """JAX's own version of SciPy's correlate2d, mapped over the images."""

    def correlate(images: jax.Array, kernel: jax.Array) -> jax.Array:
        one = functools.partial(
            jax.scipy.signal.correlate2d, mode=case.padding, precision=lax.Precision.HIGHEST
        )
        return jax.vmap(one, in_axes=(0, None))(images, kernel)

    return _compiled("jax.scipy", correlate, case.on_device.kernel, case)


def _compiled(name: str, correlate: Callable[..., Any], kernel: Any, case: Case) -> Ready:
    """Compile for the case's shapes, unless the same program has been compiled for them."""

    def gradient(images: Any, kernel: Any, cotangent: Any) -> Any:
        return jax.vjp(correlate, images, kernel)[1](cotangent)

    device = case.on_device
    if case.cell.quantity == "value":
        function, arguments = correlate, (device.images, kernel)
    else:
        function, arguments = gradient, (device.images, kernel, device.cotangent)
    key, seconds = (name, jax.tree.structure(kernel)), None
    if key not in case.programs:
        start = time.perf_counter()
        program = jax.jit(function)
        lowered = program.lower(*arguments)
        text = lowered.as_text()  # of "auto" the same as that of the algorithm it chose
        if text not in case.programs:
            lowered.compile()
            seconds = time.perf_counter() - start
        case.programs[key] = case.programs.setdefault(text, program)
    program = case.programs[key]
    return Ready(
        lambda: jax.block_until_ready(program(*arguments)),
        functools.partial(_arrays, case),
        seconds,
        program,
    )


def _arrays(case: Case, result: Any) -> Arrays:
    if case.cell.quantity == "value":
        return {"value": valid_part(np.asarray(result), case.cell, case.padding)}
    by_image, by_kernel = result
    if isinstance(by_kernel, tuple):
        parts = {"image": by_image, "column": by_kernel[0], "row": by_kernel[1]}
    else:
        parts = {"image": by_image, "kernel": by_kernel}
    return {name: np.asarray(values) for name, values in parts.items()}


def on_device(values: Any) -> Any:
    """Return a tree of NumPy's arrays as JAX's."""
    return jax.tree.map(jnp.asarray, values)
