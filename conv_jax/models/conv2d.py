"""The layer of the chapter."""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from conv_jax.correlation import conv2d, corr2d


class Conv2D(nnx.Module):
    """The layer of the chapter: corr2d(image, weight) + bias.

    weight is [kH, kW], uniform in [0, 1) at the start; bias is one number, 0 at the start.

    Args:
      kernel_size: (kH, kW).
      use_bias: False leaves the bias out.
      strict_convolution: True convolves, so that the layer learns the flipped kernel.
      rngs: the source of the initial weight.
    """

    def __init__(
        self,
        kernel_size: tuple[int, int],
        *,
        use_bias: bool = True,
        strict_convolution: bool = False,
        rngs: nnx.Rngs,
    ) -> None:
        self.weight = nnx.Param(jax.random.uniform(rngs.params(), tuple(kernel_size)))
        self.bias = nnx.Param(jnp.zeros(1)) if use_bias else None
        self.operator = conv2d if strict_convolution else corr2d

    def __call__(self, image: Float[Array, "*batch H W"]) -> Float[Array, "*batch H_out W_out"]:
        """Correlate each image with the weight and add the bias."""
        features = self.operator(image, self.weight[...])
        return features if self.bias is None else features + self.bias[0]
