"""Arguments of formulas as float64 arrays, or a ValueError that names the first one that is wrong."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["check_degree", "finite", "positive"]

Floats = NDArray[np.float64]


def positive(**arguments: ArrayLike) -> list[Floats]:
    """The arguments in their order, all positive and finite."""
    arrays = [np.asarray(value, float) for value in arguments.values()]
    for name, array in zip(arguments, arrays, strict=True):
        wrong = ~((array > 0) & np.isfinite(array))
        if np.any(wrong):
            raise ValueError(f"{name} must be positive and finite, got {array[wrong][0]}")
    return arrays


def finite(**arguments: ArrayLike) -> list[Floats]:
    """The arguments in their order, all finite."""
    arrays = [np.asarray(value, float) for value in arguments.values()]
    for name, array in zip(arguments, arrays, strict=True):
        wrong = ~np.isfinite(array)
        if np.any(wrong):
            raise ValueError(f"{name} must be finite, got {array[wrong][0]}")
    return arrays


def check_degree(degree: int) -> None:
    """L ≥ 2."""
    if degree < 2:
        raise ValueError(f"degree must be at least 2, got {degree}")
