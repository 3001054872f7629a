"""What the predictors share: checked float64 data, a Gram matrix in slices, and a scaled Cholesky solve."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import LinAlgError, cho_factor, cho_solve, get_blas_funcs

__all__ = ["SpdSolver", "checked_data", "checked_signs", "weighted_gram"]

# Columns per slice: the scaled copy of 256 rows of this many float64 is 16 MB.
_SLICE = 8192


def checked_data(
    inputs: ArrayLike, labels: ArrayLike, names: tuple[str, str] = ("inputs", "labels")
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Inputs (n, d) and labels (n,) as finite float64 arrays, or a ValueError that says, by name, what is wrong."""
    x, y = np.asarray(inputs, np.float64), np.asarray(labels, np.float64)
    if x.ndim != 2 or 0 in x.shape:
        raise ValueError(f"{names[0]} must have shape (n, d) with n, d ≥ 1, got {x.shape}")
    if y.shape != (x.shape[0],):
        raise ValueError(f"{names[1]} must have shape ({x.shape[0]},), one per sample, got {y.shape}")
    for name, array in zip(names, (x, y), strict=True):
        if not np.all(np.isfinite(array)):
            raise ValueError(f"{name} must be finite, got {array[~np.isfinite(array)][0]}")
    return x, y


def checked_signs(labels: NDArray[np.float64]) -> NDArray[np.float64]:
    """The labels, all ±1, or a ValueError that names the first one that is not."""
    wrong = ~np.isin(labels, (-1.0, 1.0))
    if np.any(wrong):
        raise ValueError(f"labels must be −1 or 1, got {labels[wrong][0]:g}")
    return labels


def weighted_gram(matrix: NDArray[np.float64], weights: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
    """M W Mᵀ (n, n) for M (n, d) and diagonal weights (d,) ≥ 0, by default 1, without a scaled copy of M."""
    n, d = matrix.shape
    lower = np.zeros((n, n), order="F")
    syrk: Any = get_blas_funcs("syrk", dtype=np.float64)
    for start in range(0, d, _SLICE):
        part = matrix[:, start : start + _SLICE]
        scaled = part if weights is None else part * np.sqrt(weights[start : start + _SLICE])
        # The transpose of a row-major slice is the column-major array that BLAS takes without copying.
        lower = syrk(1.0, scaled.T, beta=1.0, c=lower, trans=1, lower=1, overwrite_c=1)
    return np.tril(lower) + np.tril(lower, -1).T


class SpdSolver:
    """Solves with a symmetric positive definite matrix, scaled to unit diagonal, with one step of refinement.

    The matrices of an interior-point method range over many decades; the scaling takes most of that out. If the
    factorisation fails all the same, a multiple of the identity is added, and refinement takes its effect out again.
    """

    def __init__(self, matrix: NDArray[np.float64]) -> None:
        self._scale = 1 / np.sqrt(np.diag(matrix))
        self._matrix = matrix * np.outer(self._scale, self._scale)
        for shift in (0.0, 1e-14, 1e-12, 1e-10, 1e-8):
            try:
                self._factor = cho_factor(self._matrix + shift * np.eye(len(matrix)), lower=True)
                return
            except LinAlgError:
                continue
        raise LinAlgError("the normal equations are not positive definite")

    def __call__(self, right: NDArray[np.float64]) -> NDArray[np.float64]:
        target = right * self._scale
        solution = cho_solve(self._factor, target)
        solution += cho_solve(self._factor, target - self._matrix @ solution)
        return solution * self._scale
