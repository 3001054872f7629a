"""Sweeps: many cells as few compiled programs, in a store that survives whatever ends a run.

    grid = sweeps.Grid({"train_fraction": [0.3, 0.5], "width": (64, 128), "seed": range(3)}, static=("width",))
    report = sweeps.run(cell, grid, "results/sweep.zarr", config={"steps": 1000})
    results = sweeps.open("results/sweep.zarr")
    share = sweeps.phase_map(results, "grokked", over="seed")

A cell is a function of a point of the grid and a PRNG key that returns a dict of arrays. Cells that share their static
values are one program, vmapped, mapped and shared among devices as a short trial finds best; chunks of cells go to the
workers of a cluster if there is one.
"""

from grokjax.sweeps.batch import Batch
from grokjax.sweeps.dataset import open
from grokjax.sweeps.forecast import Cost, forecast_cost
from grokjax.sweeps.grid import Grid, Layout
from grokjax.sweeps.outcome import CellStatus
from grokjax.sweeps.progress import Progress
from grokjax.sweeps.run import Report, run
from grokjax.sweeps.statistics import GrokkingTimes, grokking_time_map, grokking_times, phase_map

__all__ = [
    "Batch",
    "CellStatus",
    "Cost",
    "Grid",
    "GrokkingTimes",
    "Layout",
    "Progress",
    "Report",
    "forecast_cost",
    "grokking_time_map",
    "grokking_times",
    "open",
    "phase_map",
    "run",
]
