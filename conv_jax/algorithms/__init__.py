"""Ways to compute one correlation: a file each, all with the signature of `Algorithm`."""

from typing import Protocol

from jaxtyping import Array, Num

from conv_jax.algorithms import direct, reference
from conv_jax.padding import Pads, Pair


class Algorithm(Protocol):
    """out[..., i, j] = sum_{a, b} padded[..., i s + a d, j s + b d] * kernel[a, b].

    Image and kernel have one dtype, in which sums are kept and the result is given; the image
    is extended with zeros by `pads`; every argument has been checked.
    """

    def __call__(
        self,
        image: Num[Array, "*batch H W"],
        kernel: Num[Array, "kH kW"],
        *,
        stride: Pair,
        dilation: Pair,
        pads: Pads,
    ) -> Num[Array, "*batch H_out W_out"]:
        """Correlate every image of the batch with the kernel."""
        ...


ALGORITHMS: dict[str, Algorithm] = {
    "direct": direct.direct,
    "reference": reference.reference,
}
