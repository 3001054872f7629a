"""What a sweep will cost: time on so many devices, bytes and files, from the measured cost of a cell."""

from __future__ import annotations

import math
from typing import NamedTuple

from grokjax._checks import check_integer, check_positive

__all__ = ["Cost", "forecast_cost"]


class Cost(NamedTuple):
    """What a sweep costs.

    Attributes:
        seconds: from start to end.
        device_hours: time the devices are held, idle or not.
        efficiency: share of that time in which they compute cells.
        chunks: number of chunks.
        bytes_written: by all chunks, manifests included.
        files: number of files in the store, its metadata apart.
    """

    seconds: float
    device_hours: float
    efficiency: float
    chunks: int
    bytes_written: int
    files: int


def forecast_cost(
    cells: int,
    *,
    seconds_per_cell: float,
    cells_per_chunk: int,
    devices: int = 1,
    bytes_per_cell: int = 8,
    variables: int = 1,
    seconds_per_chunk: float = 2e-3,
    seconds_per_program: float = 0.0,
    programs: int = 1,
) -> Cost:
    """Forecast what a sweep takes when each device computes chunks of its own.

        seconds = programs · seconds_per_program
                  + max(⌈chunks / devices⌉ · cells_per_chunk · seconds_per_cell + seconds_per_chunk,
                        chunks · seconds_per_chunk + cells_per_chunk · seconds_per_cell)

    Each device compiles each program; chunks are handed out and written one after the other by one process, at
    seconds_per_chunk each, while the devices compute. The first bound holds when the devices are busy, the second when
    that process is. Chunks are counted as if there were one program: each further one adds at most one short chunk.

    Args:
        cells: number of cells.
        seconds_per_cell: measured time of a cell on one device, in its batch.
        cells_per_chunk: cells of a chunk.
        devices: number of devices that compute chunks side by side.
        bytes_per_cell: what a cell's variables take, uncompressed; "status" and "diverged_step" come on top.
        variables: number of the cell's variables, "status" and "diverged_step" not among them.
        seconds_per_chunk: time to hand out, check and write a chunk.
        seconds_per_program: time to compile a program.
        programs: number of combinations of static values.

    Returns:
        A `Cost`.

    Raises:
        ValueError: a number is not positive.
    """
    counts = {"cells": cells, "cells_per_chunk": cells_per_chunk, "devices": devices, "programs": programs}
    for name, value in counts.items():
        check_integer(name, value)
    check_positive("seconds_per_cell", seconds_per_cell)
    chunks = math.ceil(cells / cells_per_chunk)
    chunk_seconds = cells_per_chunk * seconds_per_cell
    seconds = programs * seconds_per_program + max(
        math.ceil(chunks / devices) * chunk_seconds + seconds_per_chunk, chunks * seconds_per_chunk + chunk_seconds
    )
    stored = variables + 2
    bytes_written = chunks * (cells_per_chunk * (bytes_per_cell + 12) + _MANIFEST_BYTES + _CHECKSUM_BYTES * stored)
    held = seconds * devices
    return Cost(
        seconds=seconds,
        device_hours=held / 3600,
        efficiency=cells * seconds_per_cell / held,
        chunks=chunks,
        bytes_written=bytes_written,
        files=chunks * (stored + 1),
    )


_MANIFEST_BYTES = 120  # a manifest without checksums
_CHECKSUM_BYTES = 90  # 64 hexadecimal digits and the name of the variable
