"""One primitive of a program and what its operands see, as the rules take them."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from jax.extend.core import JaxprEqn

from conv_jax.receptive_field.axis_map import AxisMap, Shape, lone, union


class Call(NamedTuple):
    """A primitive, and what its operands see along one axis of the image."""

    eqn: JaxprEqn
    maps: Sequence[AxisMap | None]  # of the operands; None for one that no pixel changes
    values: Sequence[Callable[[], np.ndarray | None]]  # their values, None where not known

    @property
    def params(self) -> dict[str, Any]:
        """The options of the primitive."""
        return self.eqn.params

    @property
    def shape(self) -> Shape:
        """The shape of the first operand."""
        return shape_of(self.eqn.invars[0])

    @property
    def result_shape(self) -> Shape:
        """The shape of the first result."""
        return shape_of(self.eqn.outvars[0])

    @property
    def operands(self) -> list[tuple[AxisMap, Shape]]:
        """The maps and shapes of the operands that pixels change."""
        pairs = zip(self.maps, self.eqn.invars, strict=True)
        return [(x, shape_of(var)) for x, var in pairs if x is not None]

    @property
    def only(self) -> AxisMap:
        """The map of the one operand that pixels change."""
        ((x, _),) = self.operands
        return x


Rule = Callable[[Call], AxisMap]


def shape_of(var: Any) -> Shape:
    """Return the shape of a variable or literal."""
    return tuple(var.aval.shape)


def everything(call: Call, *, result: int = 0) -> AxisMap:
    """Return the map of a result whose elements see all that any element of an operand sees.

    Args:
      call: the primitive.
      result: which of its results.
    """
    rank = len(shape_of(call.eqn.outvars[result]))
    return union([lone(x, shape, rank) for x, shape in call.operands])
