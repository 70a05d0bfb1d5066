"""An Equinox layer, which acts on one image [C, H, W], on conv_general_dilated."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

import conv_jax as cj


class Conv2d(eqx.Module):
    """What `equinox.nn.Conv2d` computes, on the programs of conv_jax."""

    weight: Float[Array, "O C kH kW"]
    bias: Float[Array, "O 1 1"]
    padding: str = eqx.field(static=True)

    def __init__(
        self, channels: tuple[int, int], kernel_size: int, *, padding: str, key: Key[Array, ""]
    ) -> None:
        """Draw the weight uniformly, within 1 / sqrt(number of products)."""
        shape = (channels[1], channels[0], kernel_size, kernel_size)
        limit = (channels[0] * kernel_size**2) ** -0.5
        self.weight = jax.random.uniform(key, shape, minval=-limit, maxval=limit)
        self.bias = jnp.zeros((channels[1], 1, 1))
        self.padding = padding

    def __call__(self, image: Float[Array, "C H W"]) -> Float[Array, "O H_out W_out"]:
        """Correlate one image; `jax.vmap` takes many."""
        maps = cj.conv_general_dilated(image[None], self.weight, (1, 1), self.padding)
        return maps[0] + self.bias


layer = Conv2d((3, 8), 5, padding="SAME", key=jax.random.key(0))
stock = eqx.nn.Conv2d(3, 8, 5, padding="SAME", key=jax.random.key(1))
stock = eqx.tree_at(lambda s: (s.weight, s.bias), stock, (layer.weight, layer.bias))

images = jax.random.normal(jax.random.key(2), (4, 3, 32, 32))


@eqx.filter_jit
def apply(layer, images):
    """Return the maps [N, O, H, W]."""
    return jax.vmap(layer)(images)


@eqx.filter_jit
@eqx.filter_grad
def gradient(layer, images):
    """Return the gradient of a sum of squares by every array of the layer."""
    return jnp.sum(jax.vmap(layer)(images) ** 2)


maps, expected = apply(layer, images), apply(stock, images)
gradients, expected_gradients = gradient(layer, images), gradient(stock, images)
print(f"largest difference to equinox.nn.Conv2d: {abs(maps - expected).max():.1e}")
