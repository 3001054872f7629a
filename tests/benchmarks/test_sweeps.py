"""What a sweep costs beside its cells: 10⁵ trivial ones, going on with a complete store, and forecasts from there."""

from __future__ import annotations

import time

import jax
import jax.numpy as jnp
import pytest

from grokjax import sweeps

GRID = sweeps.Grid({"rate": jnp.linspace(0.1, 1.0, 100), "decay": jnp.linspace(0.0, 1.0, 100), "seed": range(10)})


def trivial(point, key):
    return {"loss": point["rate"] * point["decay"] + jax.random.key_data(key)[0].astype(float)}


def training(point, key):
    """A thousand steps of gradient descent on a random quadratic of 32 parameters."""
    matrix = jax.random.normal(key, (32, 32)) / 8
    step = lambda _, w: w - point["rate"] * matrix.T @ (matrix @ w - 1) - point["decay"] * 1e-3 * w
    weights = jax.lax.fori_loop(0, 1000, step, jnp.zeros(32))
    return {"loss": jnp.mean((matrix @ weights - 1) ** 2), "norm": jnp.linalg.norm(weights)}


@pytest.mark.parametrize("batch", ["auto", 1000, 20])
def test_overhead_of_trivial_cells(tmp_path, benchmark, report, batch):
    path = tmp_path / "store"
    done = benchmark.pedantic(lambda: sweeps.run(trivial, GRID, path, batch=batch), rounds=1)
    milliseconds = 1e3 * done.seconds / GRID.size
    report(f"10⁵ trivial cells, batch {batch} (chunks of {done.batch.cells}): ms a cell", f"{milliseconds:.4f}", "≤ 2")
    again = sweeps.run(trivial, GRID, path)
    assert again.computed == 0
    report("  going on with the complete store, all of it checked: seconds", f"{again.seconds:.2f}")
    start = time.perf_counter()
    results = sweeps.open(path)
    report("  opening it: seconds", f"{time.perf_counter() - start:.2f}")
    assert results.attrs["pending"] == 0
    written = [file.stat().st_size for file in path.rglob("*") if file.is_file()]
    cost = sweeps.forecast_cost(GRID.size, seconds_per_cell=1e-6, cells_per_chunk=done.batch.cells, bytes_per_cell=8)
    report("  bytes written: measured over forecast", f"{sum(written) / cost.bytes_written:.3f}", "1")
    report("  files: measured over forecast", f"{len(written) / cost.files:.3f}", "1")


def test_a_million_cells_on_1_8_and_64_devices(tmp_path, report):
    grid = sweeps.Grid({"rate": [0.1, 0.5], "decay": [0.0, 0.1], "seed": range(1000)})
    start = time.perf_counter()
    done = sweeps.run(training, grid, tmp_path / "store")
    seconds = (time.perf_counter() - start) / grid.size
    many, few = (sweeps.run(trivial, GRID, tmp_path / str(n), batch=n).seconds for n in (100, 1000))
    overhead = (many - few) / 900
    report("measured: training of a cell, trial and compilation included: milliseconds", f"{1e3 * seconds:.3f}")
    report("measured: writing and handing out a chunk: milliseconds", f"{1e3 * overhead:.2f}")
    for name, cell_seconds in ("this cell", seconds), ("a cell of 10 s", 10.0):
        for devices in (1, 8, 64):
            cells = max(1, round(min(max(10.0, 1e3 * cell_seconds / devices), 600.0) / cell_seconds))
            cost = sweeps.forecast_cost(
                10**6,
                seconds_per_cell=cell_seconds,
                cells_per_chunk=cells,
                devices=devices,
                bytes_per_cell=16,
                variables=2,
                seconds_per_chunk=overhead,
            )
            what = f"10⁶ of {name} on {devices} devices: hours ({cost.bytes_written / 1e6:.0f} MB, {cost.files} files)"
            report(what, f"{cost.seconds / 3600:.3g}")
    assert done.finished == grid.size
