"""What the tests of the operators draw and how they call: strategies, dtypes, the jitted call."""

import functools
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from conv_jax.algorithms import ALGORITHMS

ALGORITHM_NAMES = tuple(ALGORITHMS)
EXACT_NAMES = tuple(name for name in ALGORITHMS if name != "fft")  # for integers
every_algorithm = pytest.mark.parametrize("algorithm", ALGORITHM_NAMES)
every_exact_algorithm = pytest.mark.parametrize("algorithm", EXACT_NAMES)
BOUNDARIES = ("constant", "edge", "reflect", "symmetric", "wrap")
WORDS = ("valid", "same", "same_lower", "full")

INTEGERS = ("bool", "uint8", "int8", "uint16", "int16", "uint32", "int32")
# No type of 32 bits holds uint32 and negative numbers.
INTEGER_PAIRS = tuple(
    (image, kernel)
    for image, kernel in itertools.product(INTEGERS, repeat=2)
    if not ("uint32" in (image, kernel) and {image, kernel} & {"int8", "int16", "int32"})
)
FLOATS = ("float16", "bfloat16", "float32", "complex64")

# Every drawn shape is compiled, so a number of examples is a run time; the same ones each run.
bounded = functools.partial(
    settings,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
seeds = st.integers(0, 2**32 - 1)


@st.composite
def calls(draw):
    """Draw (image_shape, kernel_shape, options) of a correlation that has a result."""
    kernel_shape = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    stride, dilation = draw(_one_or_two), draw(_one_or_two)
    padding = draw(_paddings)
    boundary = draw(st.sampled_from(BOUNDARIES))
    dilations = dilation if isinstance(dilation, tuple) else (dilation, dilation)
    extents = [d * (k - 1) + 1 for k, d in zip(kernel_shape, dilations, strict=True)]
    paddings = padding if isinstance(padding, tuple) else (padding, padding)
    image_shape = tuple(
        _smallest(extent, around, boundary) + draw(st.integers(0, 4))
        for extent, around in zip(extents, paddings, strict=True)
    )
    options = {"stride": stride, "dilation": dilation, "padding": padding, "boundary": boundary}
    if boundary == "constant":
        options["fill_value"] = draw(st.sampled_from((0, 1, 3)))
    batch = draw(st.sampled_from(((), (), (2,), (2, 1))))
    return (*batch, *image_shape), kernel_shape, options


def random_integers(seed, shape, dtype, *, terms):
    """Return integers of which `terms` products sum to less than 31 bits."""
    if np.dtype(dtype) == np.bool_:
        return np.random.default_rng(seed).integers(0, 2, shape).astype(bool)
    limits = np.iinfo(dtype)
    largest = math.isqrt((2**31 - 1) // terms)
    low, high = max(limits.min, -largest), min(limits.max, largest)
    return np.random.default_rng(seed).integers(low, high, shape, dtype, endpoint=True)


def random_numbers(seed, shape, dtype):
    """Return normal numbers rounded to the dtype."""
    parts = np.random.default_rng(seed).normal(size=(2, *shape))
    is_complex = np.issubdtype(jnp.dtype(dtype), np.complexfloating)
    return (parts[0] + 1j * parts[1] if is_complex else parts[0]).astype(jnp.dtype(dtype))


def small_integers(seed, shape, dtype="float32"):
    """Return whole numbers so small that every sum of products of them is exact in float32."""
    return np.random.default_rng(seed).integers(-4, 5, shape).astype(dtype)


def compiled(function, **options):
    """Jit the function with its options bound; inside, no dtype is promoted silently."""
    compute = jax.jit(functools.partial(function, **options))

    def call(*arrays):
        with jax.numpy_dtype_promotion("strict"):
            return compute(*arrays)

    return call


_pairs = st.tuples(st.integers(0, 9), st.integers(0, 9))
_paddings = st.sampled_from(WORDS) | st.integers(0, 9) | st.tuples(_pairs, _pairs)
_one_or_two = st.integers(1, 3) | st.tuples(st.integers(1, 3), st.integers(1, 3))


def _smallest(extent, padding, boundary):
    """Return the least size of an axis that the kernel fits and the boundary accepts."""
    around = {"valid": 0, "same": extent - 1, "same_lower": extent - 1, "full": 2 * (extent - 1)}
    if isinstance(padding, str):
        added = around[padding]
    else:
        added = sum(padding) if isinstance(padding, tuple) else 2 * padding
    return max(2 if boundary == "reflect" else 1, extent - added)
