"""Stores: damage is found and mended, a full disk harms nothing, several processes share, nothing is unpickled."""

from __future__ import annotations

import errno
import json
import os
import pickle
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray
import zarr
from sweep_cells import GRID, files, random_walk

from grokjax import sweeps
from grokjax.sweeps import store as store_module

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    return sweeps.run(random_walk, GRID, tmp_path_factory.mktemp("pristine") / "store", {"a": 1}, batch=4).path


@pytest.fixture
def path(pristine, tmp_path):
    return Path(shutil.copytree(pristine, tmp_path / "store"))


def cut(file):
    file.write_bytes(file.read_bytes()[:-1])


def empty(file):
    file.write_bytes(b"")


def flip(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 4
    file.write_bytes(bytes(content))


@pytest.mark.parametrize("harm", [cut, empty, flip, Path.unlink])
def test_damaged_chunks_are_found_and_computed_again(path, harm):
    before = files(path)
    # One file of each of four chunks; chunks 3 and 7 are the last of their combination, and hold three cells.
    for name in ("end/c.2", "path/c.7.0", "up/c.0", "status/c.3"):
        harm(path / name)
    with pytest.warns(UserWarning, match="4 chunks of .* are damaged; run the sweep again"):
        opened = sweeps.open(path)
    assert opened.attrs["pending"] == 14
    assert np.isnan(opened["end"].values[opened["status"].values == -1]).all()
    assert not np.isnan(opened["end"].values[opened["status"].values == 0]).any()
    report = sweeps.run(random_walk, GRID, path, {"a": 1})
    assert (report.computed, report.finished) == (14, 30)
    assert files(path) == before


@pytest.mark.parametrize("harm", [cut, empty, flip, Path.unlink])
def test_a_damaged_manifest_makes_its_chunk_missing(path, harm):
    before = files(path)
    harm(path / "status" / "manifests" / "5.json")
    assert sweeps.open(path).attrs["pending"] == 4
    assert sweeps.run(random_walk, GRID, path, {"a": 1}).computed == 4
    assert files(path) == before


def test_no_bit_of_a_manifest_may_change_unseen(path):
    """Counts and messages have no file of their own that would tell."""
    manifest = path / "status" / "manifests" / "5.json"
    store, content = store_module.open_store(path), manifest.read_bytes()
    assert store.verify(5) is not None
    for place in range(len(content)):
        changed = bytearray(content)
        changed[place] ^= 1
        manifest.write_bytes(bytes(changed))
        # White space between items is not part of what a manifest says.
        assert (store.verify(5) is None) or content[place : place + 1].isspace()
    manifest.write_bytes((path / "status" / "manifests" / "4.json").read_bytes())
    assert store.verify(5) is None


def test_what_zarr_and_xarray_read_is_what_was_written(path):
    opened = sweeps.open(path)
    raw = xarray.open_zarr(path, consolidated=False, chunks=None).load()
    for name in opened.data_vars:
        assert raw[name].dims[0] == "cell"
        np.testing.assert_array_equal(sweeps.Layout(GRID, 4).gather(raw[name].values), opened[name])
    group = zarr.open_group(path, mode="r")
    attributes: Any = group.attrs.asdict()
    assert attributes["config"] == {"a": 1}
    assert attributes["grid"]["axes"]["rate"] == [0.1, 0.2, 0.5]
    # Rows that fill up the last chunk of a combination say that no cell is there.
    assert int(np.sum(raw["status"].values == -1)) == 2
    assert (raw["status"].attrs, set(group.array_keys())) == ({}, {"end", "path", "up", "status", "diverged_step"})


def test_the_batch_of_a_store_is_kept_and_another_is_refused(path):
    (path / "status" / "manifests" / "0.json").unlink()
    with pytest.raises(ValueError, match=r"batch must be 'auto' or what the store .* cells=4 and width=4; got 5"):
        sweeps.run(random_walk, GRID, path, {"a": 1}, batch=5)
    assert sweeps.run(random_walk, GRID, path, {"a": 1}, batch=4).computed == 4


def full_after(monkeypatch, writes):
    """Writes of bytes fail with ENOSPC after so many."""
    write, left = Path.write_bytes, iter(range(writes))

    def limited(self, content):
        if next(left, None) is None:
            write(self, content[: len(content) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(self, content)

    monkeypatch.setattr(Path, "write_bytes", limited)


@pytest.mark.parametrize("writes", [0, 5, 14])
def test_a_full_disk_is_one_clear_error_and_finished_chunks_are_kept(tmp_path, monkeypatch, pristine, writes):
    with monkeypatch.context() as patch:
        full_after(patch, writes)
        with pytest.raises(
            OSError, match=r"chunk \d of the sweep could not be written .* chunks before it are kept"
        ) as full:
            sweeps.run(random_walk, GRID, tmp_path / "full", {"a": 1}, batch=4)
    assert full.value.errno == errno.ENOSPC
    kept = sweeps.open(tmp_path / "full")
    assert int(np.sum(kept["status"] == 0)) == 4 * (writes // 6)
    assert not list((tmp_path / "full").rglob("*.partial"))
    sweeps.run(random_walk, GRID, tmp_path / "full", {"a": 1})
    assert files(tmp_path / "full") == files(pristine)


def test_a_limit_of_the_system_on_files_is_met_like_a_full_disk(tmp_path):
    def wide(point, key):
        return {"small": point["x"], "wide": np.ones(4000) * point["x"]}

    grid = sweeps.Grid({"x": [1.0, 2.0, 3.0]})
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (16_000, limits[1]))
        with pytest.raises(OSError, match="chunk 0 of the sweep could not be written") as full:
            sweeps.run(wide, grid, tmp_path / "store", batch=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert full.value.errno == errno.EFBIG
    assert sweeps.run(wide, grid, tmp_path / "store").finished == 3


def test_a_full_file_system_is_survived(tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=192k", "tmpfs", str(small)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a small file system")
    try:
        cell = lambda point, key: {"y": np.full(2000, 1.0) * point["x"]}
        grid = sweeps.Grid({"x": np.linspace(0.0, 1.0, 40)})
        with pytest.raises(OSError, match="could not be written") as full:
            sweeps.run(cell, grid, small / "store", batch=2)
        assert full.value.errno == errno.ENOSPC
        kept = sweeps.open(small / "store")
        done = kept["status"].values == 0
        assert 0 < done.sum() < 40
        np.testing.assert_array_equal(kept["y"][:, 0].values[done], grid.axes["x"][: done.sum()])
    finally:
        subprocess.run(["umount", str(small)], check=True)


class Bomb:
    def __reduce__(self):
        return os.abort, ()


@pytest.mark.parametrize("name", ["end/c.0", "status/manifests/0.json", "zarr.json", "end/zarr.json"])
def test_nothing_in_a_store_is_unpickled(path, name):
    (path / name).write_bytes(pickle.dumps(Bomb()))
    if name.endswith("zarr.json"):
        with pytest.raises(ValueError, match="holds no sweep"):
            sweeps.open(path)
    else:
        assert sweeps.run(random_walk, GRID, path, {"a": 1}).computed == 4


@pytest.mark.parametrize(
    "change",
    [
        {"data_type": "object"},
        {"data_type": {"name": "numpy.void", "configuration": {}}},
        {"codecs": [{"name": "numcodecs.pickle"}]},
        {"codecs": [{"name": "bytes"}, {"name": "zstd", "configuration": {}}]},
    ],
)
def test_arrays_of_objects_or_through_codecs_are_refused(path, change):
    metadata = json.loads((path / "end" / "zarr.json").read_text())
    (path / "end" / "zarr.json").write_text(json.dumps(metadata | change))
    with pytest.raises(ValueError, match="only raw numbers are read"):
        sweeps.open(path)


def test_a_store_that_lost_a_variable_is_refused(path):
    for file in (path / "up").iterdir():
        file.unlink()
    (path / "up").rmdir()
    with pytest.raises(ValueError, match=r"holds variables .* other than the cell's"):
        sweeps.run(random_walk, GRID, path, {"a": 1})


def test_what_a_killed_creation_left_behind_is_removed(tmp_path):
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    left = tmp_path / f"{store_module._prefix(tmp_path / 'store')}{int(dead.stdout)}-1"
    ours = tmp_path / f"{store_module._prefix(tmp_path / 'other')}{int(dead.stdout)}-1"
    left.mkdir()
    ours.mkdir()
    sweeps.run(random_walk, GRID, tmp_path / "store", batch=8)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([ours.name, "store"])


TWO = """
import sys, time
sys.path.insert(0, {here!r})
import jax
jax.config.update("jax_enable_x64", True)
from pathlib import Path
from typing import Any
from sweep_cells import random_walk
from grokjax import sweeps
grid = sweeps.Grid({{"rate": [0.1, 0.2], "width": (3, 8), "seed": range(40)}}, static=("width",))
Path({ready!r}).touch()
while len(list(Path({ready!r}).parent.glob("ready*"))) < 2:
    time.sleep(0.01)
report = sweeps.run(random_walk, grid, {path!r}, batch=2)
print(report.computed, report.finished)
"""


def test_two_processes_at_one_store_share_the_work_and_harm_nothing(tmp_path):
    run = lambda number: subprocess.Popen(
        [
            sys.executable,
            "-c",
            TWO.format(here=str(HERE), ready=str(tmp_path / f"ready{number}"), path=str(tmp_path / "store")),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    with run(0) as first, run(1) as second:
        ended = [process.communicate()[0].split() for process in (first, second)]
    computed = [int(words[0]) for words in ended]
    assert [words[1] for words in ended] == ["160", "160"]
    assert sum(computed) == 160
    grid = sweeps.Grid({"rate": [0.1, 0.2], "width": (3, 8), "seed": range(40)}, static=("width",))
    sweeps.run(random_walk, grid, tmp_path / "alone", batch=2)
    assert files(tmp_path / "store") == files(tmp_path / "alone")
