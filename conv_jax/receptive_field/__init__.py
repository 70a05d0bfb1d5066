"""Receptive fields: of a list of layers, of any function's program, and measured by gradients.

A function of the same name, `conv_jax.receptive_field`, hides this module as an attribute of the
package, so take names from it: `from conv_jax.receptive_field import conv, from_model`.
"""

from conv_jax.receptive_field.analytic import receptive_field
from conv_jax.receptive_field.effective import (
    EffectiveField,
    effective_receptive_field,
    measured,
)
from conv_jax.receptive_field.fields import Field, table
from conv_jax.receptive_field.jaxpr import from_model
from conv_jax.receptive_field.layers import branches, conv, dense, pool, transposed_conv

__all__ = (
    "EffectiveField",
    "Field",
    "branches",
    "conv",
    "dense",
    "effective_receptive_field",
    "from_model",
    "measured",
    "pool",
    "receptive_field",
    "table",
    "transposed_conv",
)
