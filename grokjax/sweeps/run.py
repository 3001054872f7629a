"""Run a sweep: from a grid and a cell to a store that can be gone on with."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax

from grokjax.sweeps.batch import Batch
from grokjax.sweeps.cluster import ClusterExecutor, connect
from grokjax.sweeps.executors import Executor, LocalExecutor, Work
from grokjax.sweeps.grid import Grid
from grokjax.sweeps.identity import differences, identify
from grokjax.sweeps.interruption import Interruption
from grokjax.sweeps.program import Programs
from grokjax.sweeps.progress import Counter, Progress
from grokjax.sweeps.store import Store, create_store, open_store
from grokjax.sweeps.tracing import Cell

__all__ = ["Report", "run"]


class Report(NamedTuple):
    """What a run of a sweep did.

    Attributes:
        path: the store.
        cells: cells of the grid, all of which are stored.
        computed: those of them that this run computed.
        finished: cells that finished.
        diverged: cells that diverged.
        failed: cells that failed.
        seconds: what the run took.
        batch: how cells were put together; `batch.message` says it in words.
    """

    path: Path
    cells: int
    computed: int
    finished: int
    diverged: int
    failed: int
    seconds: float
    batch: Batch


def run(
    cell: Cell,
    grid: Grid,
    path: str | os.PathLike[str],
    config: Mapping[str, Any] | None = None,
    batch: Literal["auto"] | int | Batch = "auto",
    devices: int | Sequence[Any] | None = None,
    cluster: Any = None,
    existing: Literal["refuse", "beside"] = "refuse",
    progress: Callable[[Progress], Any] | bool | None = None,
) -> Report:
    """Compute every cell of a grid that a store does not hold yet.

    The cells of a combination of static values are one program, traced and compiled once, that takes them in chunks.
    Each chunk is stored when it is computed: a run that was killed, at whatever moment, is gone on with by the same
    call, which computes what is missing or damaged. Several processes may run the same sweep into one store at once;
    they share the chunks. On a terminal, Ctrl-C finishes the running chunk, and a second Ctrl-C stops at once.

    The same chunk on the same devices gives the same bits, here and on a cluster. Other batches and other numbers of
    devices round differently: results agree to a few units of the last place, magnified by what the cell does.

    Args:
        cell: cell(point, key) → dict of arrays, whose names, shapes and dtypes are the same for all cells. `point` maps
            each axis to its value: a traced scalar of JAX's default float or integer type, or a Python value on a
            static axis. `key` is a PRNG key drawn from the names and values of the cell's axes, and from nothing else:
            another value on an axis, another order or another batch leaves it as it is.
            Two names have a meaning: "status" (integer; 0 finished, 1 diverged; see `CellStatus`) and "diverged_step"
            (integer; −1 where there is none). A cell without status has diverged if one of its numbers is not finite.
        grid: the axes.
        path: folder of the store; made if it is not there.
        config: settings to keep in the store, in JSON's types; another config is another sweep.
        batch: "auto" for a choice by a short trial, a number of cells to vmap in each chunk, or a
            `Batch`. Fixed when the store is made; "auto" goes on with what is there.
        devices: devices of one machine that share each chunk: a number of them, or (without cluster) a sequence; all
            by default.
        cluster: address of a dask.distributed scheduler, a number of workers to start on this machine, or a
            `distributed.Client`; needs the extra grokjax[cluster]. A script that starts workers needs the usual
            `if __name__ == "__main__":`.
        existing: what happens if the store is that of another sweep: "refuse", or "beside" for a store next to it whose
            name ends in a fingerprint, the same one each time.
        progress: a function called with a `Progress` at the start and after each chunk; True or False for a bar or
            none; None for a bar on a terminal.

    Returns:
        A `Report`.

    Raises:
        ValueError: an argument is not as described, the store is that of another sweep, or the cell's results are not
            as described.
        OSError: the store cannot be written, say because the disk is full; finished chunks are kept.
        KeyboardInterrupt: after Ctrl-C; finished chunks are kept.
    """
    started = time.monotonic()
    if not isinstance(grid, Grid):
        raise ValueError(f"grid must be a sweeps.Grid, got {type(grid).__name__}")
    if existing not in ("refuse", "beside"):
        raise ValueError(f"existing must be 'refuse' or 'beside', got {existing!r}")
    _check_batch(batch)
    if cluster is not None and not (devices is None or isinstance(devices, int)):
        raise ValueError(f"devices must be a number or None with a cluster, got {devices!r}")
    programs = Programs(cell, grid, _devices(devices, cluster is not None))
    fingerprints = programs.fingerprints()
    identity = identify(grid, config, fingerprints)
    path, store = _find(Path(path), identity, beside=existing == "beside")
    if store is not None and store.variables != programs.variables:
        raise ValueError(f"path {path} holds variables {', '.join(store.variables)}, other than the cell's; remove it")

    with contextlib.ExitStack() as stack:
        interruption = stack.enter_context(Interruption())

        def executor() -> Executor:
            if cluster is None:
                return LocalExecutor(programs, interruption)
            client = stack.enter_context(connect(cluster))
            return ClusterExecutor(client, cell, grid, devices if isinstance(devices, int) else None, fingerprints)

        at_work = None
        if store is None:
            if batch == "auto":
                at_work = executor()
                batch = at_work.choose_batch()
            store = create_store(path, grid, identity, _fitted(batch, grid), programs.variables)
        elif batch != "auto" and _fitted(batch, grid)[:2] != store.batch[:2]:
            raise ValueError(
                f"batch must be 'auto' or what the store at {path} was made with, cells={store.batch.cells} and "
                f"width={store.batch.width}; got {batch!r}"
            )

        counter = stack.enter_context(Counter(grid.size, progress))
        counter.say(store.batch.message)
        missing, computed = [], 0
        for chunk in range(store.layout.chunks):
            manifest = store.verify(chunk)
            missing.append(chunk) if manifest is None else counter.add(manifest, computed=False)
        counter.show()
        if missing:
            claims = stack.enter_context(store.claims())
            work = Work(store, claims, missing, interruption)
            outcomes = (at_work or executor()).outcomes(work, store.layout, store.batch.width)
            stack.callback(outcomes.close)
            for chunk, outcome in outcomes:
                counter.add(store.write(chunk, outcome), computed=True)
                claims.give_up(chunk)
                computed += len(outcome.values["status"])
                counter.show()
            for manifest in work.by_others:
                counter.add(manifest, computed=False)
        reached = counter.moment()
        if reached.done < grid.size:
            raise KeyboardInterrupt(f"{reached.done} of {grid.size} cells are kept in {path}; run again to go on")
    seconds = time.monotonic() - started
    return Report(path, grid.size, computed, reached.finished, reached.diverged, reached.failed, seconds, store.batch)


def _find(path: Path, identity: Mapping[str, Any], beside: bool) -> tuple[Path, Store | None]:
    """The store to go on with, or where to make one."""
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return path, None
    store = open_store(path)
    differs = differences(store.identity, identity)
    if not differs:
        return path, store
    if beside:
        digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:8]
        return _find(path.with_name(f"{path.stem}-{digest}{path.suffix}"), identity, beside=False)
    raise ValueError(
        f"path {path} holds a sweep that differs in {' and '.join(differs)}; give another path, or existing='beside'"
    )


def _check_batch(batch: Any) -> None:
    sizes = batch[:2] if isinstance(batch, Batch) else (batch,)
    if batch != "auto" and not all(isinstance(n, int) and not isinstance(n, bool) and n >= 1 for n in sizes):
        raise ValueError(f"batch must be 'auto', a number of cells of at least 1, or a Batch of two, got {batch!r}")


def _fitted(batch: Any, grid: Grid) -> Batch:
    """A batch no larger than a combination has cells."""
    if not isinstance(batch, Batch):
        batch = Batch(batch, batch)
    cells = min(batch.cells, grid.cells_per_combination)
    return batch._replace(cells=cells, width=min(batch.width, cells))


def _devices(devices: Any, elsewhere: bool) -> Sequence[Any]:
    """Devices of this machine; on a cluster each worker finds its own."""
    if devices is None:
        chosen = jax.config.jax_default_device  # pyright: ignore[reportAttributeAccessIssue]
        return [chosen] if isinstance(chosen, jax.Device) else jax.local_devices()
    local = jax.local_devices()
    if isinstance(devices, int) and not isinstance(devices, bool) and (elsewhere or 1 <= devices <= len(local)):
        if devices >= 1:
            return local[:devices]
    elif not isinstance(devices, int) and devices and all(isinstance(device, jax.Device) for device in devices):
        return devices
    raise ValueError(f"devices must be a number from 1 to {len(local)} or a sequence of JAX devices, got {devices!r}")
