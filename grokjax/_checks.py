"""Checks of arguments that several modules make."""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array

__all__ = [
    "Scalar",
    "check_depth",
    "check_dropout",
    "check_finite",
    "check_integer",
    "check_pairs",
    "check_positive",
    "check_steps",
    "is_concrete",
]

# One real number: what may be traced, and vmapped over.
Scalar = float | int | np.floating | np.integer | Array


def is_concrete(x: Any) -> bool:
    """Whether x has a value now; under jit and vmap it has none, and what is wrong with it can only become a status."""
    return not isinstance(x, Tracer)


def check_pairs(inputs: Any, labels: Any) -> None:
    """Raise a ValueError unless there is a sample, and one label for each."""
    shape = jnp.shape(inputs)
    if not shape or 0 in shape:
        raise ValueError(
            f"inputs must hold at least one sample along the first axis and be non-empty, got shape {shape}"
        )
    if jnp.shape(labels) != shape[:1]:
        raise ValueError(f"labels must have shape {shape[:1]}, one per sample, got {jnp.shape(labels)}")


def check_finite(name: str, array: Any) -> None:
    """Raise a ValueError if a concrete array holds NaN or infinity."""
    # In NumPy: while something else is traced, JAX would trace this as well.
    if is_concrete(array) and not np.all(np.isfinite(np.asarray(array))):
        raise ValueError(f"{name} must be finite, got NaN or infinity")


def check_positive(name: str, value: Any) -> None:
    """Raise a ValueError if a concrete number is not positive and finite."""
    if is_concrete(value) and not 0 < float(value) < math.inf:
        raise ValueError(f"{name} must be positive and finite, got {value}")


def check_dropout(value: Any) -> None:
    """Raise a ValueError if a concrete dropout rate is not in [0, 1)."""
    if is_concrete(value) and not 0 <= float(value) < 1:
        raise ValueError(f"dropout must be at least 0 and below 1, got {value}")


def check_integer(name: str, value: Any, least: int = 1) -> None:
    """Raise a ValueError unless a static size is an integer of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{name} must be an integer of at least {least}, got {value!r}")


def check_depth(depth: Any) -> None:
    """Raise a ValueError unless a diagonal network can have this depth."""
    check_integer("depth", depth, 2)


def check_steps(steps: Any, repeats: bool) -> np.ndarray:
    """Numbers of steps after which something is recorded, as an array; with `repeats` one may stand there twice."""
    counts = np.asarray(steps)
    if counts.ndim != 1 or counts.size == 0 or not np.issubdtype(counts.dtype, np.integer):
        raise ValueError(f"steps must be a non-empty array of integers, got shape {counts.shape}, dtype {counts.dtype}")
    if counts[0] < 0 or np.any(np.diff(counts) < (0 if repeats else 1)):
        order = "non-decreasing" if repeats else "increasing"
        raise ValueError(f"steps must be non-negative and {order}, got {counts.tolist()}")
    return counts
