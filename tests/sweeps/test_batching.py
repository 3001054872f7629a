"""Batches: what the trial chooses and why, and that devices, widths and chunks agree."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from sweep_cells import GRID, busy, identity, random_walk

from grokjax import sweeps
from grokjax.sweeps import batch as batch_module
from grokjax.sweeps.batch import choose_batch
from grokjax.sweeps.program import Programs

WIDE = sweeps.Grid({"x": range(10**4)})


def simulated(monkeypatch, seconds, bytes_of=lambda width: 1000, memory=1e9, compile_seconds=0.0):
    """Programs with a clock of their own: `seconds(width)` a cell, and `bytes_of(width)` of memory."""
    clock, tried = [0.0], []
    monkeypatch.setattr(batch_module.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(batch_module, "_free_memory", lambda devices: memory)
    programs = Programs(identity, WIDE, jax.local_devices()[:1])

    def compiled(combination, cells, width):
        clock[0] += compile_seconds
        return SimpleNamespace(bytes=bytes_of(width))

    def run(combination, start, stop, cells, width):
        tried.append(width)
        clock[0] += seconds(width) * cells

    monkeypatch.setattr(programs, "compiled", compiled)
    monkeypatch.setattr(programs, "run", run)
    return programs, tried


def test_vmap_is_chosen_as_wide_as_it_pays(monkeypatch):
    programs, tried = simulated(monkeypatch, seconds=lambda width: 1e-3 / min(width, 64))
    choice = choose_batch(programs)
    assert (choice.width, choice.cells) == (64, 10**4)
    assert sorted(set(tried)) == [1, 4, 16, 64, 256]
    assert "stopped as 256 gained too little" in choice.message


def test_cells_that_gain_nothing_run_one_after_the_other(monkeypatch):
    programs, tried = simulated(monkeypatch, seconds=lambda width: 0.02 * width**0.2)
    choice = choose_batch(programs)
    assert choice.width == 1
    assert max(tried) == 4
    # Ten seconds a chunk.
    assert choice.cells == 500
    assert "one after the other" in choice.message


def test_memory_bounds_the_width(monkeypatch):
    programs, tried = simulated(monkeypatch, lambda width: 1e-3 / width, lambda width: width * 10**6, memory=100e6)
    assert choose_batch(programs).width == max(tried) == 16


def test_a_trial_does_not_cost_more_than_a_part_of_the_sweep(monkeypatch):
    programs, tried = simulated(monkeypatch, lambda width: 600.0 / width)
    programs.grid = sweeps.Grid({"x": range(10)})
    assert choose_batch(programs).width == 1
    assert tried == [1]


def test_a_width_that_runs_out_of_memory_ends_the_trial(monkeypatch):
    def seconds(width):
        if width > 4:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: out of memory")
        return 1e-3 / width

    programs, _ = simulated(monkeypatch, seconds)
    choice = choose_batch(programs)
    assert choice.width == 4
    assert "16 ran out of memory" in choice.reason


def test_long_sweeps_have_long_chunks(monkeypatch):
    """A thousandth of ten thousand times ten seconds, as whole cells; never more than ten minutes."""
    programs, _ = simulated(monkeypatch, lambda width: 10.0 * width**0.2)
    assert choose_batch(programs).cells == 10
    programs, _ = simulated(monkeypatch, lambda width: 200.0 * width**0.2)
    assert choose_batch(programs).cells == 3


def test_each_worker_gets_several_chunks(monkeypatch):
    programs, _ = simulated(monkeypatch, lambda width: 1e-6)
    assert choose_batch(programs, workers=5).cells == 500


def test_large_results_make_small_chunks(monkeypatch):
    programs, _ = simulated(monkeypatch, lambda width: 1e-6)
    monkeypatch.setattr(Programs, "variables", {"y": ((2**17,), np.dtype(float))})
    assert choose_batch(programs).cells <= 64


def test_the_trial_chooses_for_real_cells_and_says_so(tmp_path):
    grid = sweeps.Grid({"rounds": [10**6], "seed": range(40)})
    report = sweeps.run(busy, grid, tmp_path / "store")
    assert report.finished == 40
    assert 1 <= report.batch.width <= report.batch.cells <= 40
    assert "milliseconds a cell by width {1: " in report.batch.message
    assert sweeps.open(tmp_path / "store").attrs["batch"] == report.batch.message


DEVICES = """
import sys, tempfile
sys.path.insert(0, {here!r})
import jax
jax.config.update("jax_enable_x64", True)
import numpy as np
from sweep_cells import GRID, random_walk
from grokjax import sweeps
assert len(jax.local_devices()) == 4
folder = tempfile.mkdtemp()
def results(name, **options):
    report = sweeps.run(random_walk, GRID, f"{{folder}}/{{name}}", **options)
    assert report.finished == 30
    return sweeps.open(report.path)
alone = results("alone", batch=8, devices=1)
for number, options in enumerate([
    dict(batch=8, devices=4), dict(batch=5, devices=3), dict(batch=sweeps.Batch(15, 1), devices=2), dict(batch=1),
    dict(batch=15, devices=jax.local_devices()[1:3]), dict(),
]):
    shared = results(str(number), **options)
    for name in alone.data_vars:
        # Sums of up to 16 numbers of order 1.
        np.testing.assert_allclose(shared[name], alone[name], rtol=0, atol=1e-13)
from grokjax.sweeps.program import Programs
programs = Programs(random_walk, GRID, jax.local_devices())
compiled = programs.compiled(0, 8, 8)
assert compiled.cells == 8 and len(compiled.sharding.device_set) == 4, compiled
text = compiled.call.as_text()
assert "all-reduce" not in text and "all-gather" not in text
print("agree")
"""


def test_devices_share_a_chunk_without_talking_and_agree_with_one_device():
    flags = "--xla_force_host_platform_device_count=4"
    ended = subprocess.run(
        [sys.executable, "-c", DEVICES.format(here=str(Path(__file__).parent))],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
    )
    assert ended.stdout == "agree\n", ended.stderr


def test_a_store_goes_on_with_other_devices(tmp_path):
    path = sweeps.run(random_walk, GRID, tmp_path / "store", batch=4, devices=1).path
    (path / "status" / "manifests" / "0.json").unlink()
    assert sweeps.run(random_walk, GRID, path, devices=jax.local_devices()).computed == 4


@pytest.mark.parametrize("devices", [0, True, [], ["cpu"]])
def test_what_is_no_device_is_refused(tmp_path, unchecked_types, devices):
    with pytest.raises(ValueError, match="devices must be a number from 1 to"):
        sweeps.run(random_walk, GRID, tmp_path / "store", devices=devices)
