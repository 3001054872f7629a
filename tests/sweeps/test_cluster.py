"""Chunks on a cluster: the bits of one process, workers that die, and what is no cluster."""

from __future__ import annotations

import os
import signal
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sweep_cells import GRID, busy, files, identity, random_walk

from grokjax import sweeps
from grokjax.sweeps.cluster import Shared
from grokjax.sweeps.program import Programs
from grokjax.sweeps.settings import read_settings

distributed = pytest.importorskip("distributed")


@pytest.fixture(scope="module")
def client():
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": ":0"}
    with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster) as client:
        yield client


@pytest.mark.slow
def test_two_workers_give_the_bits_of_one_process(tmp_path, client):
    report = sweeps.run(random_walk, GRID, tmp_path / "cluster", batch=4, cluster=client)
    assert report.computed == report.finished == 30
    sweeps.run(random_walk, GRID, tmp_path / "alone", batch=4)
    assert files(tmp_path / "cluster") == files(tmp_path / "alone")
    # By its address, and nothing left to do.
    again = sweeps.run(random_walk, GRID, tmp_path / "cluster", cluster=client.scheduler.address)
    assert again.computed == 0


@pytest.mark.slow
def test_the_trial_runs_on_a_worker(tmp_path, client):
    report = sweeps.run(random_walk, GRID, tmp_path / "store", cluster=client)
    assert "milliseconds a cell by width" in report.batch.message
    # At least four chunks for each of two workers.
    assert report.batch.cells <= 4
    assert report.finished == 30


@pytest.mark.slow
def test_cells_that_close_over_data_and_settings_travel(tmp_path, client):
    table = jnp.arange(7, dtype=jnp.float32)

    def cell(point, key):
        return {"y": table @ table + point["x"], "drawn": jax.random.key_data(key)[0]}

    grid = sweeps.Grid({"x": [1.0, 2.0]})
    with jax.enable_x64(False), jax.default_prng_impl("rbg"):
        sweeps.run(cell, grid, tmp_path / "cluster", batch=1, cluster=client)
        sweeps.run(cell, grid, tmp_path / "alone", batch=1)
    assert sweeps.open(tmp_path / "cluster")["y"].dtype == np.float32
    assert files(tmp_path / "cluster") == files(tmp_path / "alone")


@pytest.mark.slow
def test_workers_that_are_killed_lose_a_chunk_that_others_compute(tmp_path, client):
    grid = sweeps.Grid({"rounds": [10**6], "seed": range(12)})
    killed = []

    def kill(moment):
        # One after the other: what they hold of the sweep is made again.
        if moment.done in (2, 6):
            killed.append(next(process for process in client.run(os.getpid).values() if process not in killed))
            os.kill(killed[-1], signal.SIGKILL)

    report = sweeps.run(busy, grid, tmp_path / "killed", batch=1, cluster=client, progress=kill)
    assert len(set(killed)) == 2
    assert report.finished == 12
    sweeps.run(busy, grid, tmp_path / "undisturbed", batch=1)
    assert files(tmp_path / "killed") == files(tmp_path / "undisturbed")


@pytest.mark.slow
def test_an_error_on_a_worker_is_raised_here(tmp_path, client):
    with pytest.raises(ValueError, match="a cell returned status 5") as failed:
        sweeps.run(lambda p, key: {"status": 5}, GRID, tmp_path / "store", batch=4, cluster=client)
    assert "chunk" in failed.value.__notes__[0]


@pytest.mark.slow
def test_ctrl_c_finishes_what_is_at_work_and_the_sweep_goes_on_later(tmp_path, client):
    pressed = []

    def press(moment):
        # The first chunk to end may be a short one.
        if moment.done >= 4 and not pressed:
            pressed.append(moment.done)
            signal.raise_signal(signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt, match="of 30 cells are kept"):
            sweeps.run(random_walk, GRID, tmp_path / "store", batch=4, cluster=client, progress=press)
    finally:
        signal.signal(signal.SIGINT, before)
    # Up to four chunks were at work, or waiting for one of two workers.
    pending = sweeps.open(tmp_path / "store").attrs["pending"]
    assert 30 - pressed[0] - 4 * 4 <= pending <= 30 - pressed[0]
    assert sweeps.run(random_walk, GRID, tmp_path / "store", cluster=client).computed == pending


def test_a_worker_that_would_compute_something_else_is_not_let():
    grid = sweeps.Grid({"x": [1.0, 2.0]})
    here = Programs(identity, grid, jax.local_devices()[:1]).fingerprints()
    for prints, fits in ((here, True), (["0" * 64], False)):
        shared = Shared(identity, grid, 1, read_settings(), prints)
        with shared.programs() as programs:
            if fits:
                shared.check(programs, 0)
            else:
                with pytest.raises(RuntimeError, match="the worker has other versions or other code"):
                    shared.check(programs, 0)


@pytest.mark.slow
def test_a_number_of_workers_starts_so_many_and_stops_them(tmp_path):
    report = sweeps.run(random_walk, GRID, tmp_path / "store", batch=8, cluster=1)
    assert report.finished == 30


@pytest.mark.parametrize("cluster", [0, True, 2.5, {"workers": 2}])
def test_what_is_no_cluster_is_refused(tmp_path, unchecked_types, cluster):
    with pytest.raises(ValueError, match=r"cluster must be an address, a number of workers or a distributed\.Client"):
        sweeps.run(random_walk, GRID, tmp_path / "store", batch=8, cluster=cluster)


def test_devices_of_this_machine_are_refused_on_a_cluster(tmp_path):
    with pytest.raises(ValueError, match="devices must be a number or None with a cluster"):
        sweeps.run(random_walk, GRID, tmp_path / "store", batch=8, cluster=2, devices=jax.local_devices())


def test_without_distributed_one_line_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ImportError, match=r"cluster needs dask.distributed: pip install 'grokjax\[cluster\]'"):
        sweeps.run(random_walk, GRID, tmp_path / "store", batch=8, cluster=2)
    assert sweeps.run(random_walk, GRID, tmp_path / "alone", batch=8).finished == 30
