"""Chunks on a cluster of machines through dask.distributed: one task, one chunk.

Workers compute and this process writes, so that only one machine needs to see the store. A worker that dies loses the
chunk it was computing, which the scheduler gives to another.
"""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Generator, Iterator
from typing import Any

import jax

from grokjax.sweeps.batch import Batch, choose_batch
from grokjax.sweeps.executors import POLL_SECONDS, Executor, Work
from grokjax.sweeps.grid import Grid, Layout
from grokjax.sweeps.outcome import Outcome
from grokjax.sweeps.program import Programs
from grokjax.sweeps.settings import read_settings, use_settings
from grokjax.sweeps.tracing import Cell

__all__ = ["ClusterExecutor", "connect"]


class Shared:
    """A cell with all that a worker needs to compute it; each worker compiles its own programs.

    Args:
        cell: the cell.
        grid: its grid.
        devices: how many devices of the worker share a chunk; None for all.
        settings: the settings of JAX under which to trace.
        fingerprints: what the cell must compute at each combination of static values.
    """

    def __init__(
        self, cell: Cell, grid: Grid, devices: int | None, settings: dict[str, Any], fingerprints: list[str]
    ) -> None:
        self.parts = cell, grid, devices, settings, fingerprints
        self._programs: Programs | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self.parts

    @contextlib.contextmanager
    def programs(self) -> Iterator[Programs]:
        """The programs, under the settings they are to be traced in."""
        cell, grid, devices, settings, _ = self.parts
        with use_settings(settings):
            if self._programs is None:
                self._programs = Programs(cell, grid, jax.local_devices()[:devices])
            yield self._programs

    def check(self, programs: Programs, combination: int) -> None:
        """Raise a RuntimeError unless the cell is here what it was where the sweep was started."""
        if programs.traced(combination).fingerprint != self.parts[-1][combination]:
            raise RuntimeError(
                "cell computes something else on a worker than here: the worker has other versions or other code"
            )


class ClusterExecutor(Executor):
    """Computes chunks on the workers of a `distributed.Client`."""

    def __init__(self, client: Any, cell: Cell, grid: Grid, devices: int | None, fingerprints: list[str]) -> None:
        self._client = client
        # A task, not scattered data: what a dead worker has held is made again.
        shared = Shared(cell, grid, devices, read_settings(), fingerprints)
        self._shared = client.submit(_pass_on, shared, pure=False)

    def choose_batch(self) -> Batch:
        """Choose a batch by a trial on one worker."""
        workers = max(1, len(self._client.nthreads()))
        return self._client.submit(_choose_batch, self._shared, workers, pure=False).result()

    def outcomes(self, work: Work, layout: Layout, width: int) -> Generator[tuple[int, Outcome], None, None]:
        """Each chunk of the work with its outcome, in the order in which workers finish."""
        from distributed import wait

        running: dict[Any, int] = {}
        try:
            while running or not work.over:
                # Twice as many as threads, so that none waits for the next; not more, as all are finished on Ctrl-C.
                while not work.over and len(running) < 2 * max(1, sum(self._client.nthreads().values())):
                    chunk = work.take()
                    if chunk is None:
                        break
                    running[self._client.submit(_compute, self._shared, layout.cells, chunk, width, pure=False)] = chunk
                if not running:
                    time.sleep(POLL_SECONDS)
                    continue
                ended: Any = wait(list(running), return_when="FIRST_COMPLETED")
                for future in ended.done:
                    chunk = running.pop(future)
                    try:
                        outcome = future.result()
                    except Exception as error:
                        error.add_note(f"This happened in chunk {chunk} of the sweep; the chunks before it are kept.")
                        raise
                    yield chunk, outcome
        finally:
            self._client.cancel(list(running))


@contextlib.contextmanager
def connect(cluster: Any) -> Iterator[Any]:
    """A client of a cluster: of one at an address, of a local one of so many workers made for now, or a client as is.

    Raises:
        ValueError: cluster is none of these.
        ImportError: `distributed` is not installed.
    """
    try:
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise ImportError("cluster needs dask.distributed: pip install 'grokjax[cluster]'") from error
    if isinstance(cluster, Client):
        yield cluster
    elif isinstance(cluster, str):
        with Client(cluster) as client:
            yield client
    elif isinstance(cluster, int) and not isinstance(cluster, bool) and cluster >= 1:
        # At any free port: a second cluster on this machine would find the usual one taken, and warn.
        with LocalCluster(cluster, threads_per_worker=1, dashboard_address=":0") as local, Client(local) as client:
            client.register_worker_callbacks(_ignore_interrupts)
            yield client
    else:
        raise ValueError(f"cluster must be an address, a number of workers or a distributed.Client, got {cluster!r}")


def _ignore_interrupts() -> None:
    """A terminal sends Ctrl-C to all its processes; what follows from it is decided where the sweep was started."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _pass_on(shared: Shared) -> Shared:
    return shared


def _choose_batch(shared: Shared, workers: int) -> Batch:
    with shared.programs() as programs:
        return choose_batch(programs, workers)


def _compute(shared: Shared, cells: int, chunk: int, width: int) -> Outcome:
    with shared.programs() as programs:
        layout = Layout(programs.grid, cells)
        shared.check(programs, layout.locate(chunk)[0])
        return programs.compute(layout, chunk, width)
