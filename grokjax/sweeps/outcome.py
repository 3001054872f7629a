"""How cells end, and what a chunk of them gives."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

__all__ = ["CellStatus", "Outcome", "fill_value"]


class CellStatus(enum.IntEnum):
    """How a cell ended: one integer a cell. `CellStatus(int(code)).message` says it in words."""

    PENDING = -1
    FINISHED = 0
    DIVERGED = 1
    FAILED = 2

    @property
    def message(self) -> str:
        return _MESSAGES[self]


_MESSAGES = {
    CellStatus.PENDING: "not computed yet, or lost: run the sweep again",
    CellStatus.FINISHED: "finished",
    CellStatus.DIVERGED: "diverged: the cell said so, or one of its numbers is not finite",
    CellStatus.FAILED: "out of memory, even alone: the attribute `failures` of the opened sweep keeps the message",
}


class Outcome(NamedTuple):
    """What the cells of one chunk gave.

    Attributes:
        values: each variable, shape (cells, ...); among them "status" (int32) and "diverged_step" (int64).
        failures: the message of each cell that failed, by its position in the chunk.
    """

    values: dict[str, np.ndarray]
    failures: dict[int, str]


def fill_value(dtype: Any) -> Any:
    """What stands where a cell gave nothing: NaN, −1 for signed integers, 0 for others."""
    dtype = np.dtype(dtype)
    return dtype.type({"f": np.nan, "c": complex(np.nan, np.nan), "i": -1}.get(dtype.kind, 0))


def settle(values: Mapping[str, np.ndarray], failed: np.ndarray) -> dict[str, np.ndarray]:
    """Complete the variables of cells by their status.

    Args:
        values: what the cells returned, each of shape (n, ...).
        failed: (n,), the cells that gave nothing; their numbers become fill values.

    Raises:
        ValueError: a cell returned a status that is neither 0 nor 1.
    """
    # Copies: what JAX hands out cannot be written to.
    values = {name: np.array(array) for name, array in values.items()}
    if "status" in values:
        status = values["status"].astype(np.int32)
        unknown = status[~failed & ~np.isin(status, (CellStatus.FINISHED, CellStatus.DIVERGED))]
        if unknown.size:
            raise ValueError(f"a cell returned status {unknown[0]}; it must be 0 (finished) or 1 (diverged)")
    else:
        status = np.zeros(failed.shape, np.int32)
        for array in values.values():
            if array.dtype.kind in "fc":
                lost = ~np.isfinite(array).reshape(len(failed), -1).all(axis=1)
                status[lost] = CellStatus.DIVERGED
    values["status"] = status
    steps = values.get("diverged_step", np.full(failed.shape, -1))
    values["diverged_step"] = steps.astype(np.int64)
    for array in values.values():
        array[failed] = fill_value(array.dtype)
    status[failed] = CellStatus.FAILED
    return values
