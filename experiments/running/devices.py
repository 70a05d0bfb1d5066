"""Which devices a group of networks is trained on, and how many fit into their memory."""

import contextlib
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import jax
from jax.sharding import AxisType, Mesh

Device = Any  # a jax.Device, which checkers take for a variable

_PART = 0.8  # of what is free; evaluation and what XLA keeps besides take the rest
_CGROUP = Path("/sys/fs/cgroup")


def asked(devices: Literal["all"] | int, *, batch_size: int) -> list[Device]:
    """Return the devices that a config asks for, of all processes together.

    Args:
      devices: all, or how many.
      batch_size: which the devices of several processes must be able to share.

    Raises:
      ValueError: if there are fewer, or if several processes cannot share them.
    """
    present, num_processes = jax.devices(), jax.process_count()
    if num_processes > 1 and devices != "all":
        raise ValueError(f'devices: expected "all" with {num_processes} processes, got {devices}')
    if num_processes > 1 and batch_size % len(present):
        raise ValueError(
            f"data.batch_size: expected a multiple of the {len(present)} devices of "
            f"{num_processes} processes, got {batch_size}"
        )
    if devices == "all":
        return present
    if devices > len(present):
        raise ValueError(f"devices: expected at most the {len(present)} there are, got {devices}")
    return present[:devices]


def mesh_for(devices: Sequence[Device], *, num_networks: int, batch_size: int) -> Mesh | None:
    """Return the devices for a group of networks as a mesh of one axis, None for one device.

    Args:
      devices: those that may be used.
      num_networks: a multiple of their number is divided among all of them.
      batch_size: else the batch is, among as many of them as divide it.
    """
    size = len(devices)
    if num_networks % size:
        size = max(n for n in range(1, size + 1) if batch_size % n == 0)
    if size == 1 and devices[0] == jax.devices()[0]:
        return None
    chosen = list(devices[:size])
    return jax.make_mesh((size,), ("devices",), axis_types=(AxisType.Auto,), devices=chosen)


def group_sizes(num_networks: int, *, num_devices: int, most: int) -> list[int]:
    """Divide networks into groups of nearly equal size, each for one program.

    As many as are a multiple of the devices go first, so that these can share them.

    Args:
      num_networks: to be trained.
      num_devices: that share a group.
      most: networks that one device can hold.
    """
    rest = num_networks % num_devices
    rounds = (num_networks - rest) // num_devices  # networks for each device
    num_groups = math.ceil(rounds / most)
    sizes = [num_devices * len(range(g, rounds, num_groups)) for g in range(num_groups)]
    while rest:
        sizes.append(min(rest, most))
        rest -= sizes[-1]
    return sizes


def free_bytes(device: Device) -> int:
    """Return the memory that programs on a device may take, a part of what is free now."""
    stats = device.memory_stats()
    if stats and "bytes_limit" in stats:
        return int(_PART * (stats["bytes_limit"] - stats["bytes_in_use"]))
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with contextlib.suppress(OSError, LookupError, ValueError):  # another system than Linux
        free = 1024 * _number(Path("/proc/meminfo"), "MemAvailable:")
    with contextlib.suppress(OSError, LookupError, ValueError):  # no control group, or no limit
        limit, used = (int((_CGROUP / f"memory.{name}").read_text()) for name in ("max", "current"))
        free = min(free, limit - used + _number(_CGROUP / "memory.stat", "inactive_file"))
    return int(_PART * free / jax.local_device_count())  # all of which this memory is for


def _number(path: Path, name: str) -> int:
    """Return the number after a name, of a file with a name and a number a line."""
    lines = map(str.split, path.read_text(encoding="ascii").splitlines())
    return {line[0]: int(line[1]) for line in lines}[name]
