"""Ways to compute one correlation: a file each, all with the signature of `Algorithm`."""

from typing import Protocol

from jaxtyping import Array, Num

from conv_jax.algorithms import direct, fft, fft_rows, matmul, reference, shifted
from conv_jax.padding import Pads, Pair


class Algorithm(Protocol):
    """out[g, n, o, i, j] = sum_{c, a, b} padded[g, n, c, i s + a d, j s + b d] w[g, o, c, a, b].

    Image and kernel have one dtype, in which sums are kept and the result is given; the image
    is extended with zeros by `pads`; every argument has been checked.
    """

    def __call__(
        self,
        image: Num[Array, "G N C H W"],
        kernel: Num[Array, "G O C kH kW"],
        *,
        stride: Pair,
        dilation: Pair,
        pads: Pads,
    ) -> Num[Array, "G N O H_out W_out"]:
        """Correlate every image with every kernel of its group, summing over the channels."""
        ...


ALGORITHMS: dict[str, Algorithm] = {
    "direct": direct.direct,
    "shifted": shifted.shifted,
    "fft": fft.fft,
    "matmul": matmul.matmul,
    "reference": reference.reference,
}
ON_CPU: dict[str, Algorithm] = {  # these take the place of the above
    "shifted": shifted.shifted_on_cpu,
    "fft": fft_rows.fft_on_cpu,
}
