"""Cells of the tests, in a module that workers and child processes can import, and what compares stores."""

from __future__ import annotations

from pathlib import Path

import jax
import jax.numpy as jnp

from grokjax import sweeps

GRID = sweeps.Grid({"rate": [0.1, 0.2, 0.5], "width": (3, 8), "seed": range(5)}, static=("width",))


def random_walk(point, key):
    """A few steps of something random, in which a single other bit shows; quick to compile."""
    words = jax.random.key_data(key).astype(float) / 2.0**32
    steps = jnp.sin(jnp.arange(point["width"] * 16.0).reshape(-1, 16) + 1e3 * words[0]) + words[1]
    walk = jnp.cumsum(point["rate"] * steps, axis=1)
    return {"end": jnp.sum(jnp.tanh(walk[:, -1])), "path": jnp.mean(walk, axis=0), "up": walk[0, -1] > 0.0}


def identity(point, key):
    """The first word of a cell's key."""
    return {"drawn": jax.random.key_data(key)[0]}


def busy(point, key):
    """Takes point["rounds"] rounds of dependent arithmetic, about ten nanoseconds each."""
    start = jax.random.key_data(key)[0].astype(float) / 2.0**32
    return {"y": jax.lax.fori_loop(0, point["rounds"], lambda i, y: jnp.sin(y + 1.0), start)}


def files(path):
    """Every file of a store with its bytes."""
    path = Path(path)
    return {str(file.relative_to(path)): file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()}
