"""How many cells a chunk has and how many of them run side by side, chosen by a short trial.

Side by side (vmap) is not always faster than one after the other: on a CPU a compute-bound cell gains nothing, and
adaptive loops wait for the slowest cell of their batch. What pays is measured, on cells of the sweep itself.
"""

from __future__ import annotations

import math
import os
import time
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.extend.core import Jaxpr, jaxprs_in_params

from grokjax.sweeps.program import Programs

__all__ = ["Batch", "choose_batch"]

_CHUNK_SECONDS = 10.0, 600.0  # least and most of what an interruption waits for, or a kill loses
_CHUNK_SHARE = 1e-3  # of the estimated sweep, between these: a long sweep has thousands of files, not millions
_CHUNK_BYTES = 64 * 2**20  # results of a chunk, held in memory and written at once
_TRIAL_SHARE = 0.05  # of the estimated sweep, which a trial may cost
_TRIAL_SECONDS = 2.0  # which it may cost in any case
_GAIN = 0.9  # a wider batch must need at most this much of the time per cell
_STEP = 4  # ratio of successive widths
_MEMORY_SHARE = 0.5  # of the free memory


class Batch(NamedTuple):
    """How cells are put together.

    Attributes:
        cells: cells in a chunk: computed by one call, stored as one region, lost together.
        width: cells that run side by side through vmap on each device; the batches of a chunk follow one another
            (`jax.lax.map`), so that 1 is purely sequential and `cells` purely vmapped.
        reason: how this was chosen.
    """

    cells: int
    width: int
    reason: str = "as asked for"

    @property
    def message(self) -> str:
        """The choice in words."""
        how = "one after the other" if self.width == 1 else f"{self.width} side by side"
        return f"chunks of {self.cells} cells, {how}: {self.reason}"


def choose_batch(programs: Programs, workers: int = 1) -> Batch:
    """Choose a batch by timing cells of the combination with the largest arrays.

    Widths 1, 4, 16, ... are tried while the time per cell falls by a tenth or more, while half of the free memory
    holds them, and while trying costs at most 5 % of the whole sweep (or two seconds). The chunk then takes a
    thousandth of the sweep but at least ten seconds and at most ten minutes, has at most 64 MiB of results, and leaves
    four chunks to each worker.

    Args:
        programs: the cells, on the devices that will compute them.
        workers: how many such sets of devices share the sweep.

    Returns:
        The `Batch`; its reason holds what was measured.
    """
    grid, devices = programs.grid, len(programs.devices)
    combination = max(range(len(grid.combinations)), key=lambda i: _weight(programs.traced(i).program.jaxpr))
    available = _MEMORY_SHARE * _free_memory(programs.devices)
    most = math.ceil(grid.cells_per_combination / devices)
    tried: dict[int, float] = {}
    width, stopped = 1, "no more cells"
    while width <= most:
        cells = width * devices
        start = time.monotonic()
        try:
            needed = programs.compiled(combination, cells, width).bytes
            compiling = time.monotonic() - start
            if tried and needed > available:
                stopped = f"{width} would need {needed / 2**20:.0f} MiB"
                break
            seconds = _seconds_per_cell(programs, combination, cells, width)
        except (jax.errors.JaxRuntimeError, MemoryError):
            stopped = f"{width} ran out of memory"
            break
        wider, best = width * _STEP, min(tried.values(), default=math.inf)
        tried[width] = seconds
        if seconds > _GAIN * best:
            stopped = f"{width} gained too little"
            break
        whole = grid.size * seconds / workers
        allowance = max(_TRIAL_SECONDS, _TRIAL_SHARE * whole)
        if compiling > whole or wider * devices * seconds > allowance:
            stopped = f"a trial of {wider} would not pay"
            break
        if needed and needed * _STEP > available:
            stopped = f"{wider} would need about {needed * _STEP / 2**20:.0f} MiB"
            break
        width = wider
    # Without a single cell that could be timed, the run itself finds out what fits.
    width = min((w for w in tried if tried[w] * _GAIN <= min(tried.values())), default=1)
    seconds = tried.get(width, _CHUNK_SECONDS[0])
    aim = min(max(_CHUNK_SHARE * grid.size * seconds / workers, _CHUNK_SECONDS[0]), _CHUNK_SECONDS[1])
    result_bytes = sum(math.prod(shape) * dtype.itemsize for shape, dtype in programs.variables.values())
    cells = min(aim / seconds, _CHUNK_BYTES / result_bytes, grid.size / (4 * workers) if workers > 1 else math.inf)
    block = width * devices
    cells = min(max(1, round(cells / block)) * block, grid.cells_per_combination)
    # Chunks of one length, with as little filling as can be.
    chunks = math.ceil(grid.cells_per_combination / cells)
    cells = min(cells, math.ceil(grid.cells_per_combination / chunks / block) * block)
    times = ", ".join(f"{w}: {1e3 * t:.3g}" for w, t in tried.items())
    return Batch(cells, min(width, cells), f"milliseconds a cell by width {{{times}}}; stopped as {stopped}")


def _seconds_per_cell(programs: Programs, combination: int, cells: int, width: int) -> float:
    """Best of up to three calls, the first of which may still load things; long calls are made once."""
    taken = []
    for _ in range(3):
        start = time.monotonic()
        programs.run(combination, 0, cells, cells, width)
        taken.append(time.monotonic() - start)
        if taken[-1] > _TRIAL_SECONDS / 10:
            break
    return max(min(taken), 1e-9) / cells


def _weight(jaxpr: Jaxpr) -> int:
    """Size of all intermediate results, those of nested programs once."""
    total = 0
    for equation in jaxpr.eqns:
        total += sum(math.prod(getattr(variable.aval, "shape", ())) for variable in equation.outvars)
        total += sum(_weight(inner) for inner in jaxprs_in_params(equation.params))
    return total


def _free_memory(devices: Any) -> float:
    """Bytes free on the device that has least; on a CPU, what the machine has, shared by its devices."""
    free = []
    for device in devices:
        statistics = device.memory_stats() if device.platform != "cpu" else None
        if statistics and "bytes_limit" in statistics:
            free.append(statistics["bytes_limit"] - statistics.get("bytes_in_use", 0))
    if free:
        return float(np.min(free))
    try:
        pages = os.sysconf("SC_AVPHYS_PAGES")
    except (ValueError, OSError):  # not told on this system
        return math.inf
    return pages * os.sysconf("SC_PAGE_SIZE") / len(devices)
