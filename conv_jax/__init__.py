"""2-D cross-correlation in JAX: exact, differentiable, with every padding and boundary."""

from conv_jax.correlation import conv2d, corr2d, corr2d_reference
from conv_jax.padding import output_shape, split_padding

__all__ = ("conv2d", "corr2d", "corr2d_reference", "output_shape", "split_padding")
__version__ = "0.1.0"
