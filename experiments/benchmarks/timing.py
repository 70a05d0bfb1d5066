"""Time functions fairly: in turns, warm, with those left out that would take too long."""

import contextlib
import gc
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from experiments.benchmarks.cells import Cell

Call = Callable[[], Any]
MATMUL_SIZE = 2048
_FEW_FAULTS = 1000  # that any interpreter needs from time to time
_WARM_CALLS = 5


class Pace(NamedTuple):
    """How long to measure."""

    seconds: float  # for every function, if that is at least min_rounds turns
    turn: float  # seconds of calls in a turn, at least one call
    min_rounds: int
    max_rounds: int


def time_in_turns(calls: Mapping[str, Call], *, pace: Pace, seed: int) -> dict[str, list[float]]:
    """Time warm functions in rounds, in each of which every function has one turn.

    The order is shuffled in every round, so that none always follows the same one, whose threads
    may be spinning still and whose arrays are in the cache. A turn is as many calls as `turn`
    allows; the first half of them, if there are two or more, only settles the caches and
    the thread pool, and the median of the others is the turn's time. A turn does not count if
    the host of a virtual machine gave a processor to others, or if it had to be given memory by
    the system, which takes longer than most functions; it is taken again in a later round, up to
    as many times as there are turns that count, plus `min_rounds`.

    Args:
      calls: each blocks until its result is there.
      pace: when to stop; a function with its seconds used up leaves the others to go on.
      seed: of the orders.

    Returns:
      The seconds of a call, a number a turn.
    """
    turns: dict[str, list[float]] = {name: [] for name in calls}
    lost: dict[str, list[float]] = {name: [] for name in calls}
    used = dict.fromkeys(calls, 0.0)

    def is_active(name: str) -> bool:
        few = len(turns[name]) < pace.min_rounds
        return len(turns[name]) < pace.max_rounds and (few or used[name] < pace.seconds)

    orders = np.random.default_rng(seed)
    with _no_garbage_collection():
        while active := [name for name in calls if is_active(name)]:
            for index in orders.permutation(len(active)):
                name, stolen, faults = active[index], stolen_seconds(), page_faults()
                samples = _turn(calls[name], pace.turn)
                used[name] += sum(samples)
                may_lose = len(lost[name]) < len(turns[name]) + pace.min_rounds
                calm = stolen_seconds() == stolen and page_faults() - faults < _FEW_FAULTS
                counts = calm or not may_lose
                kept = turns if counts else lost
                kept[name].append(float(np.median(samples[len(samples) // 2 :])))
    return turns


def stolen_seconds() -> float:
    """Return for how long the host has kept processors from this virtual machine; Linux tells."""
    try:
        ticks = int(Path("/proc/stat").read_text(encoding="ascii").split()[8])
    except (OSError, IndexError, ValueError):
        return 0.0
    return ticks / os.sysconf("SC_CLK_TCK")


def page_faults() -> int:
    """Return how many pages of memory this process has been given so far; Linux tells."""
    try:
        after_name = Path("/proc/self/stat").read_text(encoding="utf-8").rpartition(")")[2]
        return int(after_name.split()[7])
    except (OSError, IndexError, ValueError):
        return 0


def time_warm(call: Call) -> float:
    """Return the seconds of the first call that is given hardly any memory, or of the last."""
    seconds = math.nan
    for _ in range(_WARM_CALLS):
        faults = page_faults()
        seconds, _ = time_once(call)
        if page_faults() - faults < _FEW_FAULTS:
            break
    return seconds


def time_once(call: Call) -> tuple[float, Any]:
    """Return the seconds of one call, and its result."""
    start = time.perf_counter()
    result = call()
    return time.perf_counter() - start, result


def statistics(turns: Sequence[float]) -> dict[str, float]:
    """Return the median, the interquartile range and the number of the turns."""
    low, median, high = np.quantile(turns, (0.25, 0.5, 0.75))
    return {"median": float(median), "iqr": float(high - low), "rounds": len(turns)}


def predict(past: Sequence[tuple[Cell, float]], cell: Cell, *, growth: str) -> float | None:
    """Predict the seconds of a cell from the last one, of the same kernel where there is one.

    Args:
      past: cells of the same kind and quantity with the seconds of a call.
      cell: the one to predict.
      growth: what time is proportional to between kernels: "taps" (their elements), "sides"
        (height + width) or "pixels" (it is not); between images it is to the pixels.

    Returns:
      Seconds, None without a past.
    """
    if not past:
        return None
    same = [item for item in past if item[0].kernel == cell.kernel]
    last, seconds = (same or past)[-1]
    return seconds * _work(cell, growth) / _work(last, growth)


def copy(images: Float[np.ndarray, "B n n"], *, pace: Pace) -> dict[str, float]:
    """Time x + 1 by XLA, the least that any compiled program takes, and NumPy's copy.

    Returns:
      The seconds of x + 1, and the bytes read and written a second by the faster of the two.
    """
    device, buffer = jnp.asarray(images), np.zeros_like(images)
    increment = jax.jit(lambda x: x + 1)
    increment(device)
    calls = {
        "jax": lambda: jax.block_until_ready(increment(device)),
        "numpy": lambda: np.copyto(buffer, images),
    }
    turns = time_in_turns(calls, pace=pace, seed=0)
    medians = {name: float(np.median(samples)) for name, samples in turns.items()}
    return {
        "increment_seconds": medians["jax"],
        "bytes_per_second": 2 * images.nbytes / min(medians.values()),
    }


def matmul_rate(*, pace: Pace) -> float:
    """Return the floating-point operations a second of a large float32 matrix product."""
    matrix = jnp.ones((MATMUL_SIZE, MATMUL_SIZE))
    product = jax.jit(jnp.dot)
    product(matrix, matrix)
    calls = {"dot": lambda: jax.block_until_ready(product(matrix, matrix))}
    turns = time_in_turns(calls, pace=pace, seed=0)
    return 2 * MATMUL_SIZE**3 / float(np.median(turns["dot"]))


def _turn(call: Call, limit: float) -> list[float]:
    """Call for so many seconds, at least once; stop where one more call would go beyond."""
    start, samples = time.perf_counter(), [time_once(call)[0]]
    while time.perf_counter() - start + samples[-1] < limit:
        samples.append(time_once(call)[0])
    return samples


def _work(cell: Cell, growth: str) -> int:
    height, width = cell.kernel_shape
    return cell.pixels * {"taps": height * width, "sides": height + width, "pixels": 1}[growth]


@contextlib.contextmanager
def _no_garbage_collection() -> Iterator[None]:
    enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
