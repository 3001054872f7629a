"""Ctrl-C: once to finish the chunk, twice to stop at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from sweep_cells import GRID, files, random_walk

from grokjax import sweeps

HERE = str(Path(__file__).parent)


@pytest.fixture(autouse=True)
def usual_handler():
    """Whatever started the tests may have chosen to ignore Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    signal.signal(signal.SIGINT, before)


def test_the_first_press_finishes_the_chunk_and_the_sweep_goes_on_later(tmp_path, capsys):
    def press(moment):
        if moment.done == 8:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt, match=r"8 of 30 cells are kept in .*; run again to go on"):
        sweeps.run(random_walk, GRID, tmp_path / "store", batch=4, progress=press)
    assert "press Ctrl-C again to stop at once" in capsys.readouterr().err
    assert sweeps.open(tmp_path / "store").attrs["pending"] == 22
    assert sweeps.run(random_walk, GRID, tmp_path / "store").computed == 22
    sweeps.run(random_walk, GRID, tmp_path / "undisturbed", batch=4)
    assert files(tmp_path / "store") == files(tmp_path / "undisturbed")


def test_the_handler_of_somebody_else_and_other_threads_are_left_alone(tmp_path):
    mine = lambda number, frame: None
    signal.signal(signal.SIGINT, mine)
    try:
        check = lambda moment: seen.append(signal.getsignal(signal.SIGINT))
        seen = []
        sweeps.run(random_walk, GRID, tmp_path / "store", batch=15, progress=check)
        assert set(seen) == {mine}
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    seen = []
    thread = threading.Thread(
        target=sweeps.run, args=(random_walk, GRID, tmp_path / "thread"), kwargs={"batch": 15, "progress": check}
    )
    thread.start()
    thread.join()
    assert set(seen) == {signal.default_int_handler}
    assert files(tmp_path / "store") == files(tmp_path / "thread")


def test_an_error_in_a_cell_restores_the_handler(tmp_path):
    with pytest.raises(ValueError, match="status"):
        sweeps.run(lambda p, key: {"status": 9}, sweeps.Grid({"x": [1]}), tmp_path / "store", batch=1)


LONG = f"""
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.path.insert(0, {HERE!r})
import jax
from sweep_cells import busy
from grokjax import sweeps
# The first chunk takes a moment, the second hours.
grid = sweeps.Grid({{"rounds": [10, 2 * 10**9]}})
def tell(moment):
    print(f"{{moment.done}} done", flush=True)
try:
    sweeps.run(busy, grid, sys.argv[1], batch=1, progress=tell)
except KeyboardInterrupt as stopped:
    print(stopped, flush=True)
"""


def test_the_second_press_stops_at_once_and_keeps_what_is_finished(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", LONG, str(tmp_path / "store")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert [process.stdout.readline() for _ in range(2)] == ["0 done\n", "1 done\n"]
        time.sleep(0.3)
        os.kill(process.pid, signal.SIGINT)
        while "press Ctrl-C again" not in process.stderr.readline():
            pass
        time.sleep(0.3)
        assert process.poll() is None
        os.kill(process.pid, signal.SIGINT)
        said, _ = process.communicate(timeout=20)
    assert said == "stopped at once; finished chunks are kept\n"
    assert process.returncode == 0
    assert sweeps.open(tmp_path / "store").attrs["pending"] == 1
