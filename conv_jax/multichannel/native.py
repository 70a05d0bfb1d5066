"""Correlation by XLA's own convolution, in the layout that its CPU compiler is fast in."""

import string
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from conv_jax.multichannel.options import Options
from conv_jax.multichannel.placement import Window


def correlate(
    image: Float[Array, "N *S G C"], kernel: Float[Array, "*K C G O"], *, options: Options
) -> Float[Array, "N *S_out G O"]:
    """Correlate by `jax.lax.conv_general_dilated`, as `primitive.correlate` does one problem."""
    operands = jnp.promote_types(*options.dtypes[:2])
    out = plain(
        image.astype(operands),
        kernel.astype(operands),
        window=options.window,
        precision=options.precision,
        dtype=jnp.promote_types(operands, options.dtypes[2]),
    )
    return out.astype(options.dtypes[2])


def kernel_gradient(
    image: Float[Array, "N *S G C"],
    cotangent: Float[Array, "N *S_out G O"],
    *,
    kernel_size: tuple[int, ...],
    options: Options,
) -> Float[Array, "*K C G O"]:
    """Return the gradient of the kernel as lax has it: `primitive.kernel_gradient`."""
    dtype = jnp.promote_types(jnp.promote_types(*options.dtypes[:2]), options.dtypes[2])
    shape = (*kernel_size, image.shape[-1], *cotangent.shape[-2:])

    def compute(kernel: Array) -> Array:
        return plain(
            image.astype(dtype),
            kernel,
            window=options.window,
            precision=options.precision,
            dtype=dtype,
        )

    [gradient] = jax.linear_transpose(compute, jax.ShapeDtypeStruct(shape, dtype))(
        cotangent.astype(dtype)
    )
    return gradient.astype(options.dtypes[1])


def plain(
    image: Float[Array, "N *S G C"],
    kernel: Float[Array, "*K C G O"],
    *,
    window: Window,
    precision: Any,
    dtype: Any,
) -> Float[Array, "N *S_out G O"]:
    """Correlate by lax, [N, *S, channels] with [*K, in, out]; groups lie side by side there.

    Args:
      image: [N, *S, G, C].
      kernel: [*K, C, G, O], of the same dtype.
      window: how they lie on each other.
      precision: of the products.
      dtype: of the result, as wide or wider.

    Returns:
      [N, *S', G, O].
    """
    *_, groups, num_outputs = kernel.shape
    spatial = string.ascii_lowercase[: len(window)]
    out = lax.conv_general_dilated(
        image.reshape(*image.shape[:-2], groups * image.shape[-1]),
        kernel.reshape(*kernel.shape[:-2], groups * num_outputs),
        window_strides=[place.stride for place in window],
        padding=[(place.before, place.after) for place in window],
        lhs_dilation=[place.image_dilation for place in window],
        rhs_dilation=[place.kernel_dilation for place in window],
        dimension_numbers=(f"N{spatial}C", f"{spatial}IO", f"N{spatial}C"),
        feature_group_count=groups,
        precision=precision,
        preferred_element_type=None if image.dtype == dtype else dtype,
    )
    return out.reshape(*out.shape[:-1], groups, num_outputs)
