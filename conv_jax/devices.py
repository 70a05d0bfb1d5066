"""Several processes: arrays put on their devices and fetched from there, what they agree on."""

import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Sharding


def put(tree: Any, sharding: Sharding) -> Any:
    """Put arrays on devices, some of which may be those of other processes.

    Args:
      tree: arrays, which every process has alike; those that other processes share stay.
      sharding: of each of them.

    Returns:
      The tree of arrays with that sharding.
    """
    if sharding.is_fully_addressable:
        return jax.device_put(tree, sharding)

    def put_one(leaf: Any) -> jax.Array:
        if isinstance(leaf, jax.Array) and not leaf.is_fully_addressable:
            return leaf
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            data = put_one(jax.random.key_data(leaf))
            return jax.random.wrap_key_data(data, impl=jax.random.key_impl(leaf))
        host = np.asarray(leaf)
        return jax.make_array_from_callback(host.shape, sharding, host.__getitem__)

    return jax.tree.map(put_one, tree)


def fetch(tree: Any) -> Any:
    """Return arrays as NumPy's; all processes must call it for those that they share.

    Args:
      tree: arrays, whole or in parts on devices of any process.

    Returns:
      The tree of whole arrays on the host.
    """

    def whole(leaf: Any) -> Any:
        if not isinstance(leaf, jax.Array) or leaf.is_fully_addressable or leaf.is_fully_replicated:
            return leaf
        return multihost_utils.process_allgather(leaf, tiled=True)

    return jax.device_get(jax.tree.map(whole, tree))


def agree(value: Any) -> Any:
    """Return what the first process gives, in all of them; all must call it.

    Args:
      value: what JSON can hold; ignored but in the first process.

    Returns:
      The value; where there are several processes, as JSON gives it back.
    """
    if jax.process_count() == 1:
        return value
    text = json.dumps(value).encode() if jax.process_index() == 0 else b""
    size = int(multihost_utils.broadcast_one_to_all(np.int32(len(text))))
    sent = np.frombuffer(text.ljust(size), np.uint8)
    return json.loads(np.asarray(multihost_utils.broadcast_one_to_all(sent)).tobytes())


def is_same(value: Any) -> bool:
    """Tell whether all processes give the same; all must call it.

    Args:
      value: what JSON can hold.
    """
    if jax.process_count() == 1:
        return True
    return largest(int(agree(value) != json.loads(json.dumps(value)))) == 0


def largest(number: int) -> int:
    """Return the largest of what the processes give; all must call it.

    Args:
      number: 32 bits.
    """
    if jax.process_count() == 1:
        return number
    return int(multihost_utils.process_allgather(np.int32(number)).max())
