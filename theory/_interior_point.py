"""Newton steps of interior-point methods for an L1 norm: min μ‖w‖₁ + φ(Xw), with few rows and many columns.

Write w = p − m with p, m > 0. The dual a = −∇φ has reduced costs r_p = μ − Xᵀa > 0 and r_m = μ + Xᵀa > 0, and the
central path p r_p = m r_m = σ. Whatever φ is, it enters a Newton step through a diagonal D alone, and eliminating p
and m leaves an n×n system, (D + X(P/R_p + M/R_m)Xᵀ) Δa = rhs.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from theory._linear_algebra import SpdSolver, weighted_gram

__all__ = ["L1Newton", "Step", "longest_step"]

Floats = NDArray[np.float64]

# Steps stop short of the boundary by this factor.
_FRACTION = 0.9995


class Step(NamedTuple):
    """Changes of a, Xᵀa, p and m."""

    a: Floats
    correlation: Floats
    p: Floats
    m: Floats


class L1Newton:
    """The factorised Newton system at (p, m, a); call it for the predictor and again for the corrector."""

    def __init__(self, x: Floats, p: Floats, m: Floats, r_p: Floats, r_m: Floats, diagonal: Floats) -> None:
        self._x, self._r_p, self._r_m = x, r_p, r_m
        self._weight_p, self._weight_m = p / r_p, m / r_m
        self._solve = SpdSolver(weighted_gram(x, self._weight_p + self._weight_m) + np.diag(diagonal))

    def __call__(self, right: Floats, center_p: Floats, center_m: Floats) -> Step:
        """The step with r_p Δp + p Δr_p = center_p, r_m Δm + m Δr_m = center_m and D Δa + X(Δp − Δm) = right."""
        known_p, known_m = center_p / self._r_p, center_m / self._r_m
        change = self._solve(right - self._x @ (known_p - known_m))
        correlation = change @ self._x
        return Step(change, correlation, known_p + self._weight_p * correlation, known_m - self._weight_m * correlation)


def longest_step(*pairs: Floats) -> float:
    """The longest step, at most 1, that keeps every value + step·change off 0; of value, change, value, change, …"""
    longest = 1 / _FRACTION
    for value, change in zip(pairs[::2], pairs[1::2], strict=True):
        falling = change < 0
        if np.any(falling):
            longest = min(longest, float(np.min(-value[falling] / change[falling])))
    return _FRACTION * longest
