"""`build`, which turns a Flax module into two pure functions over a dict of arrays."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from flax import nnx

Params = Any  # nested dict of arrays
Apply = Callable[[Params, jax.Array], Any]


class Model(NamedTuple):
    """A network as two pure functions over a nested dict of arrays."""

    init: Callable[[jax.Array], Params]  # key -> params
    apply: Apply  # params, inputs -> outputs


def build(
    model_cls: Callable[..., nnx.Module], *, method: str = "__call__", **options: Any
) -> Model:
    """Turn a Flax module class into a pair of pure functions over a dict of arrays.

    Args:
      model_cls: the class; its constructor takes `rngs` and the options.
      method: the method that `apply` calls, "feature_maps" for instance.
      **options: given to the constructor.

    Returns:
      Model(init, apply): `init(key)` makes the parameters, `apply(params, inputs)` the outputs.

    Raises:
      ValueError: if the module holds state other than parameters (batch statistics, dropout
        keys), which a pure `apply` would lose without a word.

    >>> from conv_jax.models import LeNet5
    >>> model = build(LeNet5)
    >>> model.apply(model.init(jax.random.key(0)), jax.numpy.zeros((1, 32, 32, 1))).shape
    (1, 10)
    """
    abstract = nnx.eval_shape(lambda: model_cls(**options, rngs=nnx.Rngs(0)))
    if hidden := _hidden_state(abstract):
        raise ValueError(
            f"model_cls: expected parameters (nnx.Param) as the only state, got "
            f"{', '.join(sorted(hidden))} in {type(abstract).__name__}"
        )
    if not hasattr(abstract, method):
        raise ValueError(f"method: {type(abstract).__name__} has no method {method!r}")
    graphdef, _ = nnx.split(abstract, nnx.Param)

    def init(key: jax.Array) -> Params:
        return nnx.to_pure_dict(nnx.state(model_cls(**options, rngs=nnx.Rngs(key)), nnx.Param))

    def apply(params: Params, inputs: jax.Array) -> Any:
        return getattr(nnx.merge(graphdef, params), method)(inputs)

    return Model(init, apply)


def num_params(params: Params) -> int:
    """Return the number of numbers in a tree of parameters."""
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params))


def _hidden_state(module: nnx.Module) -> set[str]:
    """Return the kinds of state in a module that are no parameters, bare arrays included."""
    nodes = [node for _, node in nnx.iter_graph(module)]
    variables = [node for node in nodes if isinstance(node, nnx.Variable)]
    kinds = {type(node).__name__ for node in variables if not isinstance(node, nnx.Param)}
    return kinds | {"a bare array" for node in nodes if isinstance(node, jax.Array)}
