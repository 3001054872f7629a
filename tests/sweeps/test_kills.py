"""Kill −9 at random moments: after going on, the store is the undisturbed one, bit for bit."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from sweep_cells import files

from grokjax import sweeps

KILLS = 20

# JAX is imported once; its backend starts in the children, so that they may be forked.
NURSERY = """
import os, random, signal, sys, time
from pathlib import Path
sys.path.insert(0, {here!r})
import jax, xarray, zarr
jax.config.update("jax_enable_x64", True)
from sweep_cells import random_walk
from grokjax import sweeps

path, moments, kills = Path(sys.argv[1]), random.Random(0), 0
grid = sweeps.Grid({{"rate": [0.1, 0.2], "seed": range(600), "width": (3, 8)}}, static=("width",))

def chunks():
    return len(list(path.glob("status/manifests/*.json")))

def child():
    process = os.fork()
    if not process:
        sweeps.run(random_walk, grid, path, batch=3)
        os._exit(0)
    return process

while kills < {kills}:
    process, before = child(), chunks()
    # Every fifth dies while it starts, the others after a few chunks and a part of the next.
    wanted = before + moments.randrange(15)
    limit = time.monotonic() + (moments.random() if kills % 5 == 0 else 60.0)
    while chunks() < wanted and time.monotonic() < limit and os.waitpid(process, os.WNOHANG) == (0, 0):
        pass
    time.sleep(0.004 * moments.random())
    os.kill(process, signal.SIGKILL)
    assert os.WIFSIGNALED(os.waitpid(process, 0)[1])
    kills += 1
print(kills, chunks())
assert os.waitpid(child(), 0)[1] == 0
path = Path(sys.argv[2])
assert os.waitpid(child(), 0)[1] == 0
"""


@pytest.mark.slow
def test_a_sweep_that_is_killed_again_and_again_ends_as_if_it_had_not_been(tmp_path):
    code = NURSERY.format(here=str(Path(__file__).parent), kills=KILLS)
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, str(tmp_path / "killed"), str(tmp_path / "undisturbed")],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
    )
    assert ended.returncode == 0, ended.stderr
    kills, chunks = map(int, ended.stdout.split())
    assert kills == KILLS
    # Killed while at work: neither before the first chunk nor after the last.
    assert 0 < chunks < 800
    assert files(tmp_path / "killed") == files(tmp_path / "undisturbed")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["killed", "undisturbed"]
    assert sweeps.open(tmp_path / "killed").attrs["pending"] == 0
