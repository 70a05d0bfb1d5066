"""What the primitives of correlation with channels are told."""

from typing import Any, NamedTuple

from conv_jax.multichannel.placement import Window


class Options(NamedTuple):
    """What both primitives are told: hashable."""

    window: Window  # how kernel and image lie on each other along every spatial axis
    precision: Any  # of the products, as `jax.lax.conv_general_dilated` takes it once resolved
    dtypes: tuple[str, str, str]  # of image, kernel and output
