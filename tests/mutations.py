"""Break the package in one place at a time, and see that a test fails: `python tests/mutations.py`.

Works on a copy. Prints which test noticed each change; exits with 1 if a change went unnoticed,
or if the text that it replaces is not in the sources exactly once. Arguments choose mutations
by parts of their names.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
from typing import NamedTuple

ROOT = pathlib.Path(__file__).parents[1]
COPIED = ("conv_jax", "experiments", "tests", "pyproject.toml")


class Mutation(NamedTuple):
    """One replacement in one file of the package, and the tests that should fail."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]  # arguments of pytest


ALGORITHMS = "tests/test_algorithms.py"
CONVOLUTION = "tests/test_convolution.py"
CORRELATION = "tests/test_correlation.py"
MATRICES = "tests/test_matrices.py"
PADDING = "tests/test_padding.py"
PRIMITIVE = "tests/test_primitive.py"
SEPARABLE = "tests/test_separable.py"

MUTATIONS = (
    Mutation(
        "interop: kernels for PyTorch with height and width changed places",
        "interop.py",
        ".transpose(3, 2, 0, 1)",
        ".transpose(3, 2, 1, 0)",
        ("tests/test_interop.py",),
    ),
    Mutation(
        "on_cpu: programs inlined by XLA where shard_map has divided",
        "multichannel/primitive.py",
        "context.manual_axes == frozenset(context.mesh.axis_names)",
        "False",
        (CONVOLUTION, "-k", "keeps_apart"),
    ),
    Mutation(
        "shifted: offset by the wrong row",
        "algorithms/shifted.py",
        "(c, a * dilation[0], b * dilation[1])",
        "(c, (kernel.shape[-2] - 1 - a) * dilation[0], b * dilation[1])",
        (ALGORITHMS, "-k", "shifted"),
    ),
    Mutation(
        "shifted: weights of the second row of a pair not moved",
        "algorithms/shifted.py",
        "weights[c, a - 1, b]",
        "weights[c, min(a, height - 1), b]",
        ("tests/test_shifted.py",),
    ),
    Mutation(
        "shifted: last of an odd number of rows",
        "algorithms/shifted.py",
        "padded[..., size[0] - 1 :, :]",
        "padded[..., size[0] - 2 : -1, :]",
        ("tests/test_shifted.py",),
    ),
    Mutation(
        "loops: NaN in one kernel spoils all",
        "algorithms/loops.py",
        ".all(), nans, compute)",
        ".any(), nans, compute)",
        (ALGORITHMS, "-k", "weight and shifted"),
    ),
    Mutation(
        "direct: dilation transposed",
        "algorithms/direct.py",
        "rhs_dilation=dilation,",
        "rhs_dilation=dilation[::-1],",
        (ALGORITHMS, "-k", "direct"),
    ),
    Mutation(
        "fft: product without the conjugate",
        "algorithms/fft.py",
        "else weights.conj())[:, None]",
        "else weights)[:, None]",
        (ALGORITHMS, "-k", "fft"),
    ),
    Mutation(
        "fft: complex kernel conjugated",
        "algorithms/fft.py",
        "if convolved else kernel.conj()",
        "if convolved else kernel",
        ("tests/test_fft.py",),
    ),
    Mutation(
        "fft: results from the wrong place on the circle",
        "algorithms/circle.py",
        "(e - 1 if convolved else 0) - pad[0]",
        "(e - 1 if convolved else 0) + pad[0]",
        (ALGORITHMS, "-k", "fft"),
    ),
    Mutation(
        "fft: length that wraps around",
        "algorithms/circle.py",
        "max(n + max(pad), e)",
        "max(n, e)",
        ("tests/test_fft.py",),
    ),
    Mutation(
        "fft: strips one row too far apart",
        "algorithms/fft.py",
        "rows - kernel_height + 1",
        "rows - kernel_height + 2",
        ("tests/test_fft.py", "-k", "strips"),
    ),
    Mutation(
        "fft of rows: product without the conjugate",
        "algorithms/fft_rows.py",
        "-(x * v)",
        "x * v",
        ("tests/test_fft_rows.py",),
    ),
    Mutation(
        "fft of rows: tiles of a dilated kernel too near",
        "algorithms/fft_rows.py",
        "step=TILE * dilation[0]",
        "step=TILE",
        ("tests/test_fft_rows.py",),
    ),
    Mutation(
        "sharding: the far rows of a neighbour",
        "sharding.py",
        "start = size - count if hop > 0 else 0",
        "start = 0 if hop > 0 else size - count",
        ("tests/test_sharding.py",),
    ),
    Mutation(
        "sharding: rows of the wrong side fetched",
        "sharding.py",
        "before = max(0, -first, -first - drift)",
        "before = max(0, first, first + drift)",
        ("tests/test_sharding.py",),
    ),
    Mutation(
        "sharding: ranks in the order of the mesh",
        "sharding.py",
        "places.transpose([ordered.index(axis) for axis in axes]).ravel()",
        "places.ravel()",
        ("tests/test_sharding.py",),
    ),
    Mutation(
        "tiles: one part too few",
        "algorithms/tiles.py",
        "parts = -(-rows // step)",
        "parts = max(1, rows // step)",
        ("tests/test_matmul.py",),
    ),
    Mutation(
        "choose: the slowest",
        "algorithms/choose.py",
        "return min(times, key=times.__getitem__)",
        "return max(times, key=times.__getitem__)",
        ("tests/test_planning.py",),
    ),
    Mutation(
        "plan: padding counted twice",
        "planning.py",
        'by_zeros=boundary == "constant"',
        "by_zeros=True",
        ("tests/test_planning.py",),
    ),
    Mutation(
        "sharding: rows beyond the image's end not zero",
        "sharding.py",
        "return jnp.where(inside, block, jnp.zeros((), block.dtype))",
        "return block",
        ("tests/test_sharding.py",),
    ),
    Mutation(
        "matmul: tile offset",
        "algorithms/matmul.py",
        "height, width + 1)[..., :count]",
        "height, width + 1)[..., 1 : count + 1]",
        ("tests/test_matmul.py",),
    ),
    Mutation(
        "matmul: dilation of the windows",
        "algorithms/matmul.py",
        "a * dilation[0], size[0]",
        "a * dilation[1], size[0]",
        (ALGORITHMS, "-k", "matmul"),
    ),
    Mutation(
        "separable: stride of the second pass",
        "algorithms/separable.py",
        "stride=(1, stride[1])",
        "stride=(1, stride[0])",
        (SEPARABLE,),
    ),
    Mutation(
        "separable: absolute threshold of the rank",
        "algorithms/separable.py",
        "max(kernel.shape) * eps * scales[0]",
        "max(kernel.shape) * eps",
        (SEPARABLE, "-k", "rank"),
    ),
    Mutation(
        "separable: no threshold of the rank",
        "algorithms/separable.py",
        "(scales > threshold)",
        "(scales > 0)",
        (SEPARABLE, "-k", "rank"),
    ),
    Mutation(
        "separable: everything of rank 1",
        "algorithms/separable.py",
        "int((scales > threshold).sum())",
        "1",
        (SEPARABLE, "-k", "rank"),
    ),
    Mutation(
        "image gradient: kernel not flipped",
        "primitive.py",
        "jnp.flip(kernel, (-2, -1)).swapaxes(1, 2)",
        "kernel.swapaxes(1, 2)",
        (PRIMITIVE,),
    ),
    Mutation(
        "kernel gradient: channels and kernels not swapped",
        "primitive.py",
        "cotangent.swapaxes(1, 2),",
        "cotangent,",
        (PRIMITIVE, "-k", "channels or nest"),
    ),
    Mutation(
        "kernel gradient: stride and dilation not exchanged",
        "primitive.py",
        "stride=dilation,\n        dilation=stride,",
        "stride=stride,\n        dilation=dilation,",
        (PRIMITIVE,),
    ),
    Mutation(
        "batches: axes taken apart in the wrong order",
        "batches.py",
        "size, rest, *result",
        "rest, size, *result",
        (PRIMITIVE, "-k", "vmap"),
    ),
    Mutation(
        "padding: reflect and symmetric exchanged",
        "padding.py",
        "mode=boundary)",
        'mode={"reflect": "symmetric", "symmetric": "reflect"}.get(boundary, boundary))',
        (PADDING,),
    ),
    Mutation(
        "padding: same before and after exchanged",
        "padding.py",
        '"same": lambda extent: ((extent - 1) // 2, extent // 2)',
        '"same": lambda extent: (extent // 2, (extent - 1) // 2)',
        (PADDING,),
    ),
    Mutation(
        "dtypes: narrow floats summed in their own type",
        "dtypes.py",
        "_kind(dtype) == 1 and dtype.itemsize < 4",
        "False",
        ("tests/test_correlation_dtypes.py", "-k", "sums or narrow"),
    ),
    Mutation(
        "conv2d: kernel not flipped",
        "correlation.py",
        "as_kernel(kernel, flip=True)",
        "as_kernel(kernel)",
        (CORRELATION, "-k", "conv2d"),
    ),
    Mutation(
        "placement: image gradient one place off",
        "multichannel/placement.py",
        "before = reach - 1 - place.before",
        "before = reach - place.before",
        ("tests/multichannel", "-k", "gradients_are_correlations"),
    ),
    Mutation(
        "banded: every output of a tile at the same place",
        "multichannel/banded.py",
        "low = u * place.stride",
        "low = 0",
        (CONVOLUTION, "-k", "every_form"),
    ),
    Mutation(
        "multichannel choose: the slowest",
        "multichannel/choose.py",
        "return min(forms(",
        "return max(forms(",
        ("tests/multichannel",),
    ),
    Mutation(
        "batches: rest of an empty batch",
        "batches.py",
        "jnp.moveaxis(array, axis, into).shape[into + 1]",
        "jnp.moveaxis(array, axis, into).shape[into]",
        (CONVOLUTION, "-k", "vmap"),
    ),
    Mutation(
        "turned: every output of a tile reads from the same place",
        "multichannel/turned.py",
        "u * place.stride + k * place.kernel_dilation",
        "k * place.kernel_dilation",
        (CONVOLUTION, "-k", "every_form"),
    ),
    Mutation(
        "phases: elements of another phase",
        "multichannel/phases.py",
        "first = (place.before - r) % d",
        "first = (place.before + r) % d",
        (CONVOLUTION, "-k", "every_form"),
    ),
    Mutation(
        "on_cpu: exchanged result not flipped",
        "multichannel/on_cpu.py",
        "jnp.flip(gradient, range(len(window)))",
        "gradient",
        (CONVOLUTION, "-k", "every_form"),
    ),
    Mutation(
        "multichannel: kernels of a batch in another order",
        "multichannel/primitive.py",
        "other = merge(other, other_axis, 0)",
        "other = merge(jnp.flip(other, other_axis), other_axis, 0)",
        (CONVOLUTION, "-k", "vmap"),
    ),
    Mutation(
        "layers: axes of the result in the order of the arguments",
        "layers.py",
        "np.argsort((batch, *spatial, channel))",
        "(batch, *spatial, channel)",
        (CONVOLUTION, "-k", "every_order"),
    ),
    Mutation(
        "pooling: the last of equal entries takes the gradient",
        "pooling.py",
        "wins = (some > maximum)",
        "wins = (some >= maximum)",
        ("tests/test_pooling.py",),
    ),
    Mutation(
        "matrices: windows with rows and columns exchanged",
        "matrices/columns.py",
        "axis=image.ndim - 2), axis=-2)",
        "axis=image.ndim - 2), axis=-1)",
        (MATRICES, "-k", "kernel_sees"),
    ),
    Mutation(
        "matrices: narrow windows summed in their own type",
        "matrices/columns.py",
        "image = image.astype(dtypes.sum_and_result(dtype, dtype)[0])",
        "pass",
        (MATRICES, "-k", "stall"),
    ),
    Mutation(
        "matrices: kernel elements on one pixel replace each other",
        "matrices/toeplitz.py",
        ".at[entry].add(",
        ".at[entry].set(",
        (MATRICES, "-k", "taps"),
    ),
    Mutation(
        "matrices: first pixel in place of the constant",
        "matrices/windows.py",
        'options["constant_values"] = -1',
        'options["constant_values"] = 0',
        (MATRICES, "-k", "taps"),
    ),
    Mutation(
        "matrices: spectrum of a stride of other frequencies",
        "matrices/spectrum.py",
        "jnp.moveaxis(aliases, (0, 2), (2, 3))",
        "jnp.moveaxis(aliases, (1, 3), (2, 3))",
        ("tests/test_matrices_spectrum.py", "-k", "circular_spectrum"),
    ),
    Mutation(
        "augment: pixels below and to the right exchanged",
        "augment/resampling.py",
        "(1 - right) * corner(0) + right * corner(1)",
        "(1 - right) * corner(0) + right * corner(width)",
        ("tests/augment/test_warp.py",),
    ),
    Mutation(
        "augment: integers cut off, not rounded",
        "augment/resampling.py",
        "jnp.round(value)",
        "value",
        ("tests/augment/test_warp.py",),
    ),
    Mutation(
        "augment: shear after the rotation",
        "augment/fields.py",
        "/ zoom + slant * row",
        "/ zoom + slant * down",
        ("tests/augment/test_fields.py",),
    ),
)


def occurrences(mutation: Mutation, root: pathlib.Path = ROOT) -> int:
    """Return how often the text to replace is in its file."""
    return (root / "conv_jax" / mutation.file).read_text().count(mutation.old)


def verdict(mutation: Mutation, root: pathlib.Path) -> str:
    """Return the first test that fails with the mutation, or why there is none."""
    path = root / "conv_jax" / mutation.file
    source = path.read_text()
    if occurrences(mutation, root) != 1:
        return f"PATTERN FOUND {occurrences(mutation, root)} TIMES in {mutation.file}"
    path.write_text(source.replace(mutation.old, mutation.new))
    try:
        finished = _pytest(mutation.tests, root)
    finally:
        path.write_text(source)
    failed = re.search(r"^(?:FAILED|ERROR) (\S.*?)(?: - |$)", finished.stdout, re.MULTILINE)
    if finished.returncode == 1 and failed:
        return f"caught by {failed[1]}"
    if finished.returncode == 0:
        return "SURVIVED"
    return f"TESTS DID NOT RUN\n{finished.stdout[-2000:]}{finished.stderr[-2000:]}"


def main(names: list[str]) -> int:
    """Print a line for each mutation; return the exit status."""
    chosen = [m for m in MUTATIONS if not names or any(name in m.name for name in names)]
    unnoticed = 0
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        for name in COPIED:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, root / name)
        for mutation in chosen:
            result = verdict(mutation, root)
            unnoticed += not result.startswith("caught")
            print(f"{mutation.name}: {result}", flush=True)
    print(f"{len(chosen) - unnoticed} of {len(chosen)} mutations were caught")
    return int(unnoticed > 0)


def _pytest(arguments: tuple[str, ...], root: pathlib.Path) -> subprocess.CompletedProcess[str]:
    options = ["-x", "-q", "--tb=no", "-p", "no:cacheprovider"]
    return subprocess.run(
        [sys.executable, "-m", "pytest", *options, *arguments],
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
