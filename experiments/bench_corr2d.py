"""Time our 2-D correlation, its algorithms, and those of JAX, OpenCV, SciPy and torch."""

import itertools
import os
from collections import defaultdict
from collections.abc import Iterable
from typing import Any, NamedTuple

from rich.console import Console

from conv_jax.allocator import keep_freed_memory
from experiments.benchmarks import corr2d_summary, figures, peers, timing
from experiments.benchmarks.cells import Case, Cell, check, make_inputs, normal, truth
from experiments.benchmarks.contestants import Contestant, contestants, on_device
from experiments.benchmarks.timing import Pace
from experiments.record import Record
from experiments.running.progress import progress
from experiments.tables import BenchCorr2DConfig

_TABLE_HEAD = """# 2-D correlation

Time of "auto" by side of the image and kernel; in brackets, how many times as long the best other
library took. Without, none was timed: none is installed that can, or all would have taken too long.

"""


class Task(NamedTuple):
    """What is to be measured."""

    config: BenchCorr2DConfig
    cells: list[Cell]  # in order of n, batch, quantity, kernel, kind
    left_out: list[dict[str, Any]]  # what the memory has no room for
    contestants: dict[str, Contestant]
    missing: list[str]  # packages
    threads: int
    keeps_memory: bool  # glibc's freed memory is used again
    pace: Pace


class Past(NamedTuple):
    """What has been measured so far."""

    cells: list[dict[str, Any]]  # as in result.json
    seconds: defaultdict[tuple[str, ...], list[tuple[Cell, float]]]  # name, kind, quantity -> calls
    compiled: dict[tuple[str, ...], float]  # name, kernel, quantity -> seconds


def prepare(config: BenchCorr2DConfig) -> Task:
    """Lay out the grid and find out who can take part.

    Raises:
      ValueError: for a kernel larger than an image, or an unknown contestant.
    """
    keeps_memory = keep_freed_memory()  # for all contestants alike
    grid, clock = config.grid, config.clock
    for kernel in grid.kernels:
        if max(map(int, kernel.split("x"))) > min(grid.sizes):
            raise ValueError(
                f"grid.kernels: expected kernels within the smallest image, {min(grid.sizes)}, "
                f"got {kernel!r}"
            )
    known = contestants()
    for name in grid.contestants or ():
        if name not in known:
            raise ValueError(f"grid.contestants: expected some of {', '.join(known)}, got {name!r}")
    wanted = {name: known[name] for name in grid.contestants or known}
    missing = [package for package in peers.PACKAGES if peers.installed(package) is None]
    places = list(itertools.product(grid.sizes, grid.batches, grid.quantities))
    too_large = [place for place in places if _too_large(config, *place)]
    return Task(
        config=config,
        cells=[
            Cell(n, kernel, kind, batch, quantity)
            for n, batch, quantity in places
            for kernel in grid.kernels
            for kind in grid.kinds
            if (n, batch, quantity) not in too_large
        ],
        left_out=[
            {"n": n, "batch": batch, "quantity": quantity, "bytes": 4 * batch * n * n}
            for n, batch, quantity in too_large
        ],
        contestants={name: c for name, c in wanted.items() if c.package not in missing},
        missing=missing,
        threads=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1,
        keeps_memory=keeps_memory,
        pace=Pace(clock.seconds, clock.turn, clock.min_rounds, clock.max_rounds),
    )


def run(task: Task, record: Record, console: Console) -> None:
    """Measure every cell, report what they come to, write the tables, draw the figures."""
    peers.set_threads(task.threads)
    _introduce(task, console)
    stolen = timing.stolen_seconds()
    past = Past([], defaultdict(list), {})
    limits = {"matmul_flops": timing.matmul_rate(pace=task.pace), "copy": []}
    record.report(
        {
            "experiment": task.config.experiment,
            "padding": task.config.grid.padding,
            "threads": task.threads,
            "keeps_freed_memory": task.keeps_memory,
            "versions": {name: peers.version(name) for name in peers.PACKAGES},
            "missing": task.missing,
            "left_out": task.left_out,
            "limits": limits,
            "cells": past.cells,  # grows, so that an interrupted run keeps them
        }
    )
    with progress(console, label="cell", num_steps=len(task.cells)) as report:
        for (n, batch), cells in itertools.groupby(task.cells, lambda c: (c.n, c.batch)):
            for row in _measure_images(task, n, batch, list(cells), past, limits):
                record.log(row)
                past.cells.append(row)
                report(len(past.cells), _line(row))
    summary = corr2d_summary.summarize(past.cells, copies=limits["copy"])
    stolen = timing.stolen_seconds() - stolen
    record.report({"summary": summary, "stolen_seconds": stolen})
    tables = _TABLE_HEAD + corr2d_summary.tables(past.cells)
    (record.folder / "table.md").write_text(tables, encoding="utf-8")
    for line in corr2d_summary.lines(summary):
        console.print(line)
    figures.draw(task.config, past.cells, limits, record)


def _measure_images(
    task: Task, n: int, batch: int, cells: list[Cell], past: Past, limits: dict[str, Any]
) -> Iterable[dict[str, Any]]:
    """Measure the bandwidth and the cells of one size and batch, which share their images."""
    config, padding = task.config, task.config.grid.padding
    shape = (batch, n, n)
    images = normal(config.seed, shape)
    has_gradients = any(cell.quantity == "gradient" for cell in cells)
    noise = normal(config.seed + 1, shape) if has_gradients else None
    limits["copy"].append({"n": n, "batch": batch, **timing.copy(images, pace=task.pace)})
    images_on_device = on_device(images)
    for _, same_shapes in itertools.groupby(cells, lambda c: (c.quantity, c.kernel)):
        programs: dict[Any, Any] = {}
        for cell in same_shapes:
            inputs = make_inputs(cell, images, noise, padding=padding, seed=config.seed + 2)
            rest = on_device(inputs._replace(images=None))._replace(images=images_on_device)
            case = Case(cell, padding, task.threads, inputs, rest, programs)
            yield {**cell._asdict(), "times": _measure(task, case, past)}


def _measure(task: Task, case: Case, past: Past) -> dict[str, dict[str, Any]]:
    """Check and time the contestants of one cell; one call of each tells if it is too slow.

    Those that run the same compiled program are timed once, under the first one's name.
    """
    cell, limit = case.cell, task.config.clock.limit
    right = truth(case) if cell.n <= task.config.grid.check_up_to else None
    times: dict[str, dict[str, Any]] = {}
    calls: dict[str, timing.Call] = {}
    first_with: dict[int, str] = {}  # by program
    for name, contestant in task.contestants.items():
        if not contestant.takes_part(cell):
            continue
        reason = _too_slow(task, name, cell, past)
        if reason is not None:
            times[name] = {"skipped": reason}
            continue
        ready = contestant.make(case)
        if ready is None:
            continue
        if ready.program is not None:
            twin = first_with.setdefault(id(ready.program), name)
            if twin != name:
                times[name] = {"same_program": twin}
                continue
        first, result = timing.time_once(ready.call)
        if right is not None:
            check(name, cell, ready.arrays(result), right)
        times[name] = {}
        if ready.compile_seconds is not None:
            times[name]["compile"] = ready.compile_seconds
            past.compiled[name, cell.kernel, cell.quantity] = ready.compile_seconds
        if first > limit:  # the first call found no memory to use again
            times[name] |= timing.statistics([timing.time_warm(ready.call)])
        else:
            calls[name] = ready.call
    turns = timing.time_in_turns(calls, pace=task.pace, seed=task.config.seed)
    for name, samples in turns.items():
        times[name] |= timing.statistics(samples)
    for name in times:
        times[name] |= times.get(times[name].get("same_program", ""), {})
        if "median" in times[name]:
            past.seconds[name, cell.kind, cell.quantity].append((cell, times[name]["median"]))
    return times


def _too_slow(task: Task, name: str, cell: Cell, past: Past) -> str | None:
    """Say why a contestant is left out of a cell, if it is; the prediction then stands for it."""
    if name == "auto":  # what this is about: measured in every cell, if only once
        return None
    clock = task.config.clock
    compiled = past.compiled.get((name, cell.kernel, cell.quantity), 0.0)
    if corr2d_summary.is_own_algorithm(name) and compiled > clock.compile_limit:
        return f"compiled for {compiled:.2g} s before"
    before = past.seconds[name, cell.kind, cell.quantity]
    growth = task.contestants[name].growth
    predicted = timing.predict(before, cell, growth=growth)
    if predicted is None or predicted <= clock.limit:
        return None
    before.append((cell, predicted))
    return f"predicted {predicted:.2g} s"


def _too_large(config: BenchCorr2DConfig, n: int, batch: int, quantity: str) -> bool:
    grid = config.grid
    most = grid.max_bytes if quantity == "value" else grid.max_gradient_bytes
    return 4 * batch * n * n > most


def _introduce(task: Task, console: Console) -> None:
    console.print(f"{len(task.cells)} cells, {task.threads} threads: {', '.join(task.contestants)}")
    if task.missing:
        console.print(f"not installed, so not measured: {', '.join(task.missing)}")
    for place in task.left_out:
        console.print(
            f"left out for memory: {place['quantity']} of {place['batch']} images of size "
            f"{place['n']} ({place['bytes'] / 1e9:.2f} GB)"
        )


def _line(row: dict[str, Any]) -> str:
    batch = f" x{row['batch']}" if row["batch"] > 1 else ""
    about = f"{row['quantity']} {row['n']}{batch}, {row['kernel']} {row['kind']}"
    return f"{about}: {corr2d_summary.entry(row)}"
