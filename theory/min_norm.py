"""Least-norm interpolants of linear models and kernels, each with a certificate.

    min ‖w‖  s.t.  Xw = y          dual:  max yᵀν  s.t.  ‖Xᵀν‖_* ≤ 1

with the L2 norm (its own dual) for `l2`, the L1 norm (dual: L∞) for `l1`, known as basis pursuit, and the norm of a
reproducing-kernel Hilbert space for `kernel`. They are what a flow on the squared loss tends to: early, in the kernel
phase, and late, as λ → 0, in the depth-2 diagonal net. At finite λ its late point is `regularised.l1` with
`loss="squared"` (the lasso), and `kernel.min_norm` computes the gradients and the Gram matrix of a JAX model by itself.

Any ν with ‖Xᵀν‖_* ≤ 1 has yᵀν = ⟨w, Xᵀν⟩ ≤ ‖w‖ for every interpolant w, so the gap bounds the error whatever the
algorithm did. If there is no interpolant, ν = y − (projection of y on the range) proves it: Xᵀν = 0 and yᵀν > 0.

References:
    Lyu et al., arXiv 2311.18817, (K2), theorem 3.9 and, for the L1 norm, theorem 3.10 on the diagonal net. Basis
    pursuit: S. S. Chen, D. L. Donoho and M. A. Saunders, SIAM J. Sci. Comput. 20 (1998); S. Mehrotra, SIAM J. Optim. 2
    (1992).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import eigh, qr, svd

from theory._interior_point import L1Newton, longest_step
from theory._linear_algebra import checked_data

__all__ = ["KernelInterpolant", "MinNorm", "kernel", "l1", "l2"]

Floats = NDArray[np.float64]

# Relative gap and relative residual of an answer that is called optimal.
_GAP = 1e-9
# y is out of the range when more than this fraction of it is.
_OUT_OF_RANGE = 1e-9
_MAX_ITERATIONS = 100
# Iterations without a smaller gap after which rounding is taken to be all that is left.
_PATIENCE = 5


class MinNorm(NamedTuple):
    """A least-norm interpolant and what proves it.

    Attributes:
        weights: (d,); NaN if there is no interpolant.
        norm: ‖weights‖ in its own norm; inf if there is none.
        dual: (n,), ν with ‖Xᵀν‖_* ≤ 1; if infeasible, ν with Xᵀν = 0 and yᵀν = 1.
        duality_gap: (norm − yᵀν)/norm, ≥ 0 up to rounding; NaN if infeasible.
        residual: max_i |⟨weights, x_i⟩ − y_i|; if infeasible, that of the least-squares fit.
        conditioning: largest singular value of X over the smallest one that was kept.
        rank: singular values kept, those above max(n, d)·ε times the largest.
        status: "optimal"; "inaccurate", if gap or residual (relative to max|y|) exceeds 1e-9; or "infeasible", if y is
            not in the range of X.
    """

    weights: Floats
    norm: float
    dual: Floats
    duality_gap: float
    residual: float
    conditioning: float
    rank: int
    status: str


class KernelInterpolant(NamedTuple):
    """The interpolant f(x) = Σ c_i k(x_i, x) of least norm in the Hilbert space of k, and what proves it.

    Attributes:
        coefficients: (n,), c = K⁺y; NaN if there is no interpolant.
        norm: √(yᵀK⁺y); inf if there is none.
        dual: (n,), ν with νᵀKν ≤ 1; if infeasible, ν with Kν = 0 and yᵀν = 1.
        duality_gap: (norm − yᵀν)/norm, ≥ 0 up to rounding; NaN if infeasible.
        residual: max_i |(Kc − y)_i|; if infeasible, that of the least-squares fit.
        conditioning: largest eigenvalue over the smallest one that was kept.
        rank: eigenvalues kept, those above n·ε times the largest.
        status: "optimal", "inaccurate" or "infeasible", as in `MinNorm`.
    """

    coefficients: Floats
    norm: float
    dual: Floats
    duality_gap: float
    residual: float
    conditioning: float
    rank: int
    status: str


def l2(inputs: ArrayLike, targets: ArrayLike) -> MinNorm:
    """The interpolant of least Euclidean norm, w = X⁺y.

    Args:
        inputs: (n, d), of any rank.
        targets: (n,), real.

    Returns:
        A `MinNorm`.

    Raises:
        ValueError: if shapes do not match, a number is not finite, or the inputs are all zero.
    """
    x, y = checked_data(inputs, targets, ("inputs", "targets"))
    rows = _Rows(x, y)
    if rows.certificate is not None:
        return rows.infeasible()
    length = float(np.linalg.norm(rows.target))
    unit = rows.target / length if length > 0 else rows.target
    return rows.result(unit @ rows.rows * length, rows.dual_of(unit), 2)


def l1(inputs: ArrayLike, targets: ArrayLike) -> MinNorm:
    """The interpolant of least L1 norm (basis pursuit), the sparse one where sparse recovery holds.

    A primal-dual interior-point method with n×n systems, after one singular value decomposition. Where the optimum is
    not unique it returns the centre of the optimal face.

    Args:
        inputs: (n, d), of any rank.
        targets: (n,), real.

    Returns:
        A `MinNorm`.

    Raises:
        ValueError: if shapes do not match, a number is not finite, or the inputs are all zero.
    """
    x, y = checked_data(inputs, targets, ("inputs", "targets"))
    rows = _Rows(x, y)
    if rows.certificate is not None:
        return rows.infeasible()
    if not np.any(rows.target):
        return rows.result(np.zeros(x.shape[1]), np.zeros(len(y)), 1)
    return _basis_pursuit(rows)


def kernel(gram: ArrayLike, targets: ArrayLike) -> KernelInterpolant:
    """The interpolant of least norm in the Hilbert space of a kernel, from its Gram matrix.

    Args:
        gram: (n, n), K_ij = k(x_i, x_j), symmetric positive semi-definite.
        targets: (n,), real.

    Returns:
        A `KernelInterpolant`.

    Raises:
        ValueError: if shapes do not match, a number is not finite, or the Gram matrix is 0, not symmetric, or has an
            eigenvalue that is negative beyond rounding.
    """
    k, y = checked_data(gram, targets, ("gram", "targets"))
    n = len(y)
    if k.shape != (n, n):
        raise ValueError(f"gram must be square, got {k.shape}")
    size = float(np.max(np.abs(k)))
    asymmetry = float(np.max(np.abs(k - k.T)))
    if asymmetry > 1e-10 * size or size == 0:
        raise ValueError(f"gram must be symmetric and not 0, got largest entry {size} and K − Kᵀ up to {asymmetry}")
    values, vectors = eigh((k + k.T) / 2)
    if values[0] < -1e-10 * values[-1]:
        raise ValueError(f"gram must be positive semi-definite, got the eigenvalue {values[0]}")
    keep = values > n * np.finfo(float).eps * values[-1]
    values, vectors = values[keep], vectors[:, keep]
    conditioning, rank, scale = float(values[-1] / values[0]), len(values), float(np.max(np.abs(y)))
    missed, certificate = _out_of_range(vectors, y)
    if certificate is not None:
        nothing = np.full(n, np.nan)
        return KernelInterpolant(nothing, np.inf, certificate, np.nan, missed, conditioning, rank, "infeasible")
    coefficients = vectors @ ((vectors.T @ y) / values)
    residual = float(np.max(np.abs(k @ coefficients - y)))
    norm = float(np.sqrt(max(coefficients @ k @ coefficients, 0.0)))
    dual = coefficients / norm if norm > 0 else coefficients
    gap = _gap(norm, float(y @ dual))
    return KernelInterpolant(coefficients, norm, dual, gap, residual, conditioning, rank, _status(gap, residual, scale))


class _Rows:
    """Xw = y as Qw = b with orthonormal rows Q (rank, d): X = UΣQ, b = Σ⁻¹Uᵀy."""

    def __init__(self, x: Floats, y: Floats) -> None:
        if not np.any(x):
            raise ValueError("inputs must not all be zero")
        # Of a wide matrix the QR factors cost a fourth of its singular vectors.
        factors: Any = qr(x.T, mode="economic")
        u, values, small = svd(factors[1].T, full_matrices=False)
        rank = int(np.sum(values > max(x.shape) * np.finfo(float).eps * values[0]))
        self._x, self._y, self._u, self._values = x, y, u[:, :rank], values[:rank]
        self.rows = small[:rank] @ factors[0].T
        self.target = (self._u.T @ y) / self._values
        self._missed, self.certificate = _out_of_range(self._u, y)

    def dual_of(self, reduced: Floats) -> Floats:
        """ν with Xᵀν = Qᵀ·reduced."""
        return self._u @ (reduced / self._values)

    def infeasible(self) -> MinNorm:
        assert self.certificate is not None
        nothing = np.full(self._x.shape[1], np.nan)
        return self._minimum(nothing, np.inf, self.certificate, np.nan, self._missed, "infeasible")

    def result(self, weights: Floats, dual: Floats, order: int) -> MinNorm:
        """The certificate, from the data themselves; ν is scaled to be feasible to the last digit."""
        residual = self._y - self._x @ weights
        norm = float(np.linalg.norm(weights, order))
        size = float(np.linalg.norm(dual @ self._x, 2 if order == 2 else np.inf))
        dual = dual / size if size > 0 else dual
        gap, worst = _gap(norm, float(self._y @ dual)), float(np.max(np.abs(residual)))
        return self._minimum(weights, norm, dual, gap, worst, _status(gap, worst, float(np.max(np.abs(self._y)))))

    def _minimum(self, weights, norm, dual, gap, residual, status) -> MinNorm:
        conditioning = float(self._values[0] / self._values[-1])
        return MinNorm(weights, norm, dual, gap, residual, conditioning, len(self._values), status)


def _out_of_range(basis: Floats, y: Floats) -> tuple[float, Floats | None]:
    """Largest entry of the part ν of y outside the span of an orthonormal basis, and ν/yᵀν unless it is rounding."""
    outside = y - basis @ (basis.T @ y)
    square = float(outside @ outside)
    certificate = outside / square if square > _OUT_OF_RANGE**2 * float(y @ y) else None
    return float(np.max(np.abs(outside))), certificate


def _gap(norm: float, dual_objective: float) -> float:
    return (norm - dual_objective) / norm if norm > 0 else 0.0


def _status(gap: float, residual: float, scale: float) -> str:
    return "optimal" if abs(gap) <= _GAP and residual <= _GAP * scale else "inaccurate"


def _basis_pursuit(rows: _Rows) -> MinNorm:
    """Mehrotra's method for min 1ᵀ(p + m) s.t. Q(p − m) = b, p, m ≥ 0; dual Qᵀa ∈ [−1, 1]. It starts, and stays,
    feasible on both sides: at the L2 interpolant and a = 0."""
    q, length = rows.rows, float(np.linalg.norm(rows.target))
    b = rows.target / length
    d = q.shape[1]
    start = b @ q
    p, m = np.maximum(start, 0) + np.mean(np.abs(start)), np.maximum(-start, 0) + np.mean(np.abs(start))
    a, none = np.zeros(len(b)), np.zeros(len(b))
    r_p, r_m = np.ones(d), np.ones(d)
    best, stalled = rows.result(length * (p - m), rows.dual_of(a), 1), 0
    for _ in range(_MAX_ITERATIONS):
        newton = L1Newton(q, p, m, r_p, r_m, none)
        right = b - q @ (p - m)
        step = newton(right, -p * r_p, -m * r_m)
        primal = longest_step(p, step.p, m, step.m)
        dual = longest_step(r_p, -step.correlation, r_m, step.correlation)
        mean = (p @ r_p + m @ r_m) / (2 * d)
        reached = (p + primal * step.p) @ (r_p - dual * step.correlation)
        reached += (m + primal * step.m) @ (r_m + dual * step.correlation)
        center = (reached / (2 * d) / mean) ** 3 * mean
        step = newton(right, center - p * r_p + step.p * step.correlation, center - m * r_m - step.m * step.correlation)
        primal = longest_step(p, step.p, m, step.m)
        dual = longest_step(r_p, -step.correlation, r_m, step.correlation)
        p, m, a = p + primal * step.p, m + primal * step.m, a + dual * step.a
        r_p, r_m = r_p - dual * step.correlation, r_m + dual * step.correlation
        weights = p - m
        # Near the optimum the n×n systems lose digits; rows are orthonormal, so that this repairs what they lost.
        weights += (b - q @ weights) @ q
        result = rows.result(length * weights, rows.dual_of(a), 1)
        stalled = 0 if result.duality_gap < best.duality_gap else stalled + 1
        best = min(best, result, key=lambda result: result.duality_gap)
        if best.duality_gap <= _GAP / 100 or stalled == _PATIENCE:
            break
    return best
