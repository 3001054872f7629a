"""Interior points for nuclear norms: min ‖W‖_* + Σ_k (x_k − W_k)²/(2c_k) over symmetric W, with W_k some entries of W.

A softness c_k = 0 stands for W_k = x_k. Write W = P − Q with P, Q ⪰ 0, so that ‖W‖_* is the least tr(P + Q), and A for
the map from W to its entries W_k. The dual is

    max_y  ⟨x, y⟩ − ½ Σ c_k y_k²  s.t. ‖Aᵀy‖_op ≤ 1,        W_k = x_k − c_k y_k at the optimum,

with slacks I − Aᵀy of P and I + Aᵀy of Q. Both problems have interior points, so that the optima are attained and
agree. On the central path P(I − Aᵀy) = Q(I + Aᵀy) = σI. A Newton step in the scaling of Nesterov and Todd, where
G = TTᵀ takes the slack S to GSG = P and T takes both to one diagonal matrix, comes down to m×m equations for Δy with
the matrix diag(c) + A(G_P · G_P + G_Q · G_Q)Aᵀ.

References:
    Y. E. Nesterov and M. J. Todd, SIAM J. Optim. 8 (1998). Predictor and corrector in the scaled variables: M. J. Todd,
    K. C. Toh and R. H. Tütüncü, SIAM J. Optim. 8 (1998).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError

from theory._linear_algebra import SpdSolver

__all__ = ["Entries", "central_path"]

Floats = NDArray[np.float64]

_MAX_ITERATIONS = 100
# Steps stop short of the boundary by this factor.
_FRACTION = 0.98
# P and Q stand in one array (2, d, d), as do their slacks; W = P − Q.
_SIGNS = np.array([1.0, -1.0])[:, None, None]


class Entries(NamedTuple):
    """The map A from symmetric (size, size) matrices to their m entries (rows_k, columns_k), no pair of them twice."""

    rows: NDArray[np.intp]
    columns: NDArray[np.intp]
    size: int

    def of(self, matrix: Floats) -> Floats:
        """A: the entries (m,) of a symmetric matrix."""
        return matrix[self.rows, self.columns]

    def adjoint(self, values: Floats) -> Floats:
        """Aᵀ: the symmetric Y with ⟨Y, W⟩ = Σ values_k W_k for all symmetric W."""
        matrix = np.zeros((self.size, self.size))
        matrix[self.rows, self.columns] = values / 2
        return matrix + matrix.T

    def fill(self, matrix: Floats, values: Floats) -> Floats:
        """The symmetric matrix with its entries replaced by these values."""
        filled = matrix.copy()
        filled[self.rows, self.columns] = values
        filled[self.columns, self.rows] = values
        return filled

    def normal_matrix(self, G: Floats) -> Floats:
        """A(G · G)Aᵀ (m, m) for symmetric G: ½(G_ip G_jq + G_iq G_jp) for the entries (i, j) and (p, q)."""
        at_rows, at_columns = G[self.rows], G[self.columns]
        matrix = at_rows[:, self.rows] * at_columns[:, self.columns]
        matrix += at_rows[:, self.columns] * at_columns[:, self.rows]
        return matrix / 2


class _Step(NamedTuple):
    """Changes of y, and of P, Q and their slacks in the scaled variables."""

    y: Floats
    primal: Floats
    slack: Floats


class _Newton:
    """The factorised Newton system at (P, Q, y); call it for the predictor and again for the corrector."""

    def __init__(self, entries: Entries, target: Floats, softness: Floats, pair: Floats, y: Floats) -> None:
        self._entries = entries
        self._residual = target - entries.of(pair[0] - pair[1]) - softness * y
        lower = np.linalg.cholesky(pair)
        slack_lower = np.linalg.cholesky(np.eye(entries.size) - _SIGNS * entries.adjoint(y))
        # The squares of these are the eigenvalues of PS: all σ on the path, and none of them is lost to rounding.
        _, self.spectrum, right = np.linalg.svd(slack_lower.mT @ lower)
        self._scaling = lower @ right.mT / np.sqrt(self.spectrum)[:, None, :]
        G = self._scaling @ self._scaling.mT
        self._solve = SpdSolver(sum(map(entries.normal_matrix, G), start=np.diag(softness)))

    def __call__(self, center: Floats) -> _Step:
        """The step whose changes of P and S, in the scaled variables, add up to `center`."""
        known = self.unscaled(center)
        y = self._solve(self._residual - self._entries.of(known[0] - known[1]))
        slack = -_SIGNS * (self._scaling.mT @ self._entries.adjoint(y) @ self._scaling)
        return _Step(y, center - slack, slack)

    def unscaled(self, primal: Floats) -> Floats:
        """A change of P and Q in the original variables, symmetric to the last digit."""
        change = self._scaling @ primal @ self._scaling.mT
        return (change + change.mT) / 2

    def longest_step(self, change: Floats) -> float:
        """The longest step, at most 1, that keeps P and Q, or their slacks, positive definite."""
        roots = np.sqrt(self.spectrum)
        least = float(np.min(np.linalg.eigvalsh(change / (roots[:, :, None] * roots[:, None, :]))))
        return min(1.0, -_FRACTION / least) if least < 0 else 1.0


def central_path(entries: Entries, target: Floats, softness: Floats) -> Iterator[tuple[Floats, Floats]]:
    """Primal and dual points (W, y) on the way to the optimum, until rounding leaves the cone.

    W_k = x_k − c_k y_k and ‖Aᵀy‖_op < 1 hold all the way, up to rounding: every point gives bounds. The first ones
    assume targets of a size near 1.
    """
    size = entries.size
    start = entries.fill(np.zeros((size, size)), target)
    pair, y = np.linalg.norm(start, 2) * np.eye(size) + _SIGNS * start / 2, np.zeros(len(target))
    yield start, y
    diagonal = np.arange(size)
    for _ in range(_MAX_ITERATIONS):
        try:
            newton = _Newton(entries, target, softness, pair, y)
        except LinAlgError:
            return
        spectrum, now = newton.spectrum, np.zeros_like(pair)
        now[:, diagonal, diagonal] = spectrum
        # Predictor: straight for complementarity 0. Its success sets the centring of the corrector.
        step = newton(-now)
        primal, dual = _lengths(newton, step, softness)
        mean = np.mean(spectrum**2)
        reached = np.sum((now + primal * step.primal) * (now + dual * step.slack)) / (2 * size)
        # DX + XD = 2·right for diagonal D, of which only the last term is not diagonal.
        product = step.primal @ step.slack
        center = -now - (product + product.mT) / (spectrum[:, :, None] + spectrum[:, None, :])
        center[:, diagonal, diagonal] += (reached / mean) ** 3 * mean / spectrum
        step = newton(center)
        primal, dual = _lengths(newton, step, softness)
        pair, y = pair + primal * newton.unscaled(step.primal), y + dual * step.y
        yield pair[0] - pair[1], y


def _lengths(newton: _Newton, step: _Step, softness: Floats) -> tuple[float, float]:
    primal, dual = newton.longest_step(step.primal), newton.longest_step(step.slack)
    # With c ≠ 0 the equation W_k + c_k y_k = x_k ties both, and survives equal lengths only.
    if np.any(softness):
        primal = dual = min(primal, dual)
    return primal, dual
