"""Samples in blocks of rows, small enough for what is computed from them to stay in a core's cache."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array

__all__ = ["blocks_and_rows", "default_rows", "padded"]

# Activations of 1200 rows and width 500 are about two megabytes. The element-wise work between matrix products then
# costs a few per cent of them on one core, where arrays that go through main memory cost a fifth and more.
_CPU_ROWS = 1200


def default_rows(samples: int) -> int:
    """Rows a block has at most: few on a CPU; all samples elsewhere, where large products are what is fast."""
    return _CPU_ROWS if jax.default_backend() == "cpu" else samples


def blocks_and_rows(samples: int, most: int) -> tuple[int, int]:
    """The number of blocks, and the rows of each, for as few blocks as there can be, all of one size."""
    blocks = math.ceil(samples / most)
    return blocks, math.ceil(samples / blocks)


def padded(x: Array, rows: int) -> Array:
    """The first sample repeated behind the others up to so many rows: it is valid, and must not count."""
    extra = rows - x.shape[0]
    return jnp.concatenate([x, jnp.broadcast_to(x[:1], (extra, *x.shape[1:]))]) if extra else x
