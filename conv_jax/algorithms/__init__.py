"""Ways to compute one correlation: a file each, all with the signature of `Algorithm`."""

from typing import Protocol

from jaxtyping import Array, Inexact, Integer

from conv_jax.algorithms.choose import choose as choose
from conv_jax.algorithms.direct import direct
from conv_jax.algorithms.reference import reference
from conv_jax.padding import Pads, Pair

Image = Inexact[Array, "*batch H W"] | Integer[Array, "*batch H W"]
Kernel = Inexact[Array, "kH kW"] | Integer[Array, "kH kW"]


class Algorithm(Protocol):
    """out[..., i, j] = sum_{a, b} padded[..., i s + a d, j s + b d] * kernel[a, b].

    Image and kernel have one dtype, in which sums are kept and the result is given; the image
    is extended with zeros by `pads`; every argument has been checked.
    """

    def __call__(
        self, image: Image, kernel: Kernel, *, stride: Pair, dilation: Pair, pads: Pads
    ) -> Image:
        """Correlate every image of the batch with the kernel."""
        ...


ALGORITHMS: dict[str, Algorithm] = {"direct": direct, "reference": reference}
