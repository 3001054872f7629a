"""A sweep's results as an xarray Dataset with the axes of its grid as dimensions."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from grokjax.sweeps.outcome import CellStatus, fill_value
from grokjax.sweeps.store import Store, open_store

if TYPE_CHECKING:
    import xarray

__all__ = ["open"]


def open(path: str | os.PathLike[str], variables: Iterable[str] | None = None) -> xarray.Dataset:
    """Open the results of a sweep, finished or not.

    Every chunk is checked against its checksum. Cells that are not there, or damaged, have status −1
    (`CellStatus.PENDING`) and fill values: NaN, −1 for signed integers, 0 for other integers and False.

    Args:
        path: folder of the store.
        variables: those to load; all by default. "status" and "diverged_step" always come along.

    Returns:
        A Dataset in memory, one dimension and coordinate for each axis of the grid in the grid's order, then the
        dimensions of the variable itself, named NAME_0, NAME_1, ... Attributes: "config", "versions", "batch",
        "pending" (number of cells), and "failures" (a list of {"cell": {axis: value}, "message": text}).

    Raises:
        ValueError: there is no sweep, or no such variable.
    """
    import xarray

    store = open_store(Path(path))
    layout, grid = store.layout, store.layout.grid
    names = list(store.variables) if variables is None else list(variables)
    for name in names:
        if name not in store.variables:
            raise ValueError(f"variables names {name!r}, which the sweep lacks; it has {', '.join(store.variables)}")
    names = list(dict.fromkeys([*names, "status", "diverged_step"]))
    rows = {}
    for name in names:
        shape, dtype = store.variables[name]
        rows[name] = np.full((layout.chunks * layout.cells, *shape), fill_value(dtype), dtype)
    failures = []
    damaged = 0
    for chunk in range(layout.chunks):
        manifest = store.manifest(chunk)
        if manifest is None:
            continue
        contents = {name: store.read(chunk, name, manifest) for name in names}
        place = slice(chunk * layout.cells, (chunk + 1) * layout.cells)
        if any(content is None for content in contents.values()):
            damaged += 1
            continue
        for name, content in contents.items():
            rows[name][place] = content
        failures += [
            {"cell": _cell(store, chunk, int(row)), "message": text} for row, text in manifest["failures"].items()
        ]
    if damaged:
        warnings.warn(f"{damaged} chunks of {path} are damaged; run the sweep again to mend it", stacklevel=2)
    data = {}
    for name in names:
        array = layout.gather(rows[name])
        own = [f"{name}_{axis}" for axis in range(array.ndim - len(grid.axes))]
        data[name] = ([*grid.axes, *own], array)
    pending = int(np.sum(data["status"][1] == CellStatus.PENDING))
    attributes = {
        "config": store.identity["config"],
        "versions": store.identity["versions"],
        "batch": store.batch.message,
        "pending": pending,
        "failures": failures,
    }
    return xarray.Dataset(data, coords={name: np.asarray(axis) for name, axis in grid.axes.items()}, attrs=attributes)


def _cell(store: Store, chunk: int, row: int) -> dict[str, bool | int | float | str]:
    """Axis values of a cell by its row in a chunk."""
    grid = store.layout.grid
    combination, start, _ = store.layout.locate(chunk)
    traced = {name: values.item() for name, values in grid.values(start + row, start + row + 1).items()}
    return {name: (traced | grid.combinations[combination])[name] for name in grid.axes}
