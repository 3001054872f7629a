"""Maximum-margin linear classifiers without intercept, each with a certificate.

With z_i = y_i x_i the margin of a direction w is min_i ⟨w, z_i⟩/‖w‖, and the largest margin solves

    min ½‖w‖₂²  s.t. Zw ≥ 1        (L2)          min ‖w‖₁  s.t. Zw ≥ 1        (L1)

By duality the largest margin is the least ‖Zᵀa‖ over convex weights a, in the dual norm (2 or ∞). Any a ≥ 0 therefore
bounds every margin from above, and any w bounds the best from below: `duality_gap` is the relative distance of the
two, computed from points that are feasible to the last digit, so that it holds whatever the algorithm did. The same a
proves inseparability when Zᵀa = 0 (Farkas): then min_i ⟨w, z_i⟩ ≤ ⟨w, Zᵀa⟩ = 0 for every w.

References:
    Lyu et al., arXiv 2311.18817, corollaries 3.6 and 3.7. L2: C. L. Lawson and R. J. Hanson, "Solving Least Squares
    Problems" (1974), chapter 23 (least distance programming by non-negative least squares). L1: S. Mehrotra, SIAM J.
    Optim. 2 (1992), primal-dual interior-point method, with n×n normal equations.
"""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import eigh, lstsq, qr
from scipy.optimize import nnls

from theory._interior_point import L1Newton, Step, longest_step
from theory._linear_algebra import checked_data, checked_signs, weighted_gram

__all__ = ["MaxMargin", "l1", "l2", "l2_duals"]

Floats = NDArray[np.float64]

# Convex weights that bring Σ a_i z_i/max‖z_i‖ below this prove inseparability: margins that small drown in rounding.
_INSEPARABLE = 1e-9
# A sample is on the margin, and in the support, when its dual exceeds this fraction of the largest.
_SUPPORT = 1e-6
_L2_GAP, _L1_GAP = 1e-9, 1e-8
_MAX_ITERATIONS = 100
# Iterations without a smaller gap after which rounding is taken to be all that is left: ε/γ² for small margins γ.
_PATIENCE = 10


class MaxMargin(NamedTuple):
    """A maximum-margin direction and what proves it.

    Attributes:
        direction: (d,), of norm 1 in its own norm; NaN if the data are inseparable.
        margin: the margin that `direction` attains, min_i y_i⟨direction, x_i⟩; NaN if inseparable.
        duals: (n,), non-negative multipliers of y_i⟨w, x_i⟩ ≥ 1; if inseparable, weights of sum 1 that bring
            Σ a_i y_i x_i to 0.
        support: (n,) boolean, the samples with a dual that is not negligible; they lie on the margin.
        objective: primal objective at a feasible point, ½‖w‖₂² or ‖w‖₁ (inf if inseparable); margin = 1/‖w‖.
        dual_objective: dual objective at a feasible point, a lower bound of the optimum.
        duality_gap: (objective − dual_objective)/objective, ≥ 0 up to rounding; NaN if inseparable.
        farkas_residual: if inseparable, ‖Σ a_i y_i x_i‖₂/max_i‖x_i‖₂, the certificate; else NaN.
        status: "optimal"; "inaccurate", if the gap did not reach 1e-9 (L2) or 1e-8 (L1); or "inseparable".
    """

    direction: Floats
    margin: float
    duals: Floats
    support: NDArray[np.bool_]
    objective: float
    dual_objective: float
    duality_gap: float
    farkas_residual: float
    status: str


def l2(inputs: ArrayLike, labels: ArrayLike) -> MaxMargin:
    """The maximum L2-margin direction (hard-margin SVM without intercept).

    Args:
        inputs: (n, d).
        labels: (n,), ±1.

    Returns:
        A `MaxMargin` with ‖direction‖₂ = 1.

    Raises:
        ValueError: if shapes do not match, a number is not finite, or a label is not ±1.
    """
    z = _signed(inputs, labels)
    gram = weighted_gram(z)
    duals = l2_duals(gram)
    inseparable = _inseparable(z, duals)
    if inseparable is not None:
        return inseparable
    result = _l2_result(z, duals @ z, duals)
    if result.status == "optimal":
        return result
    # Small margins γ lose digits like ε/γ² through the Gram matrix, and like ε/γ where the support is solved for on
    # the data.
    return min(result, _l2_result(z, *_polished(z, duals)), key=lambda r: r.duality_gap)


def l2_duals(signed_gram: ArrayLike) -> Floats:
    """Multipliers a ≥ 0 of the L2 problem, up to a positive factor, from the Gram matrix ⟨z_i, z_j⟩ alone.

    They solve non-negative least squares min ‖E a − e‖ with E = (Zᵀ; 1ᵀ), e = (0; 1), here through a square root of
    EᵀE = ZZᵀ + 11ᵀ; its residual vanishes exactly if the data are inseparable.

    Args:
        signed_gram: (n, n), symmetric positive semi-definite.

    Returns:
        (n,), non-negative, of sum 1.
    """
    gram = np.asarray(signed_gram, np.float64)
    n = len(gram)
    size = max(np.max(np.diag(gram)), np.finfo(float).tiny)
    values, vectors = eigh(gram / size + 1.0)
    keep = values > n * np.finfo(float).eps * values[-1]
    root = np.sqrt(values[keep])[:, None] * vectors[:, keep].T
    target = (vectors[:, keep].T @ np.ones(n)) / np.sqrt(values[keep])
    duals, _ = nnls(root, target, maxiter=50 * n)
    total = duals.sum()
    return duals / total if total > 0 else np.full(n, 1 / n)


def l1(inputs: ArrayLike, labels: ArrayLike) -> MaxMargin:
    """The maximum L1-margin direction.

    Where the optimum is not unique, an interior-point method returns the centre of the optimal face.

    Args:
        inputs: (n, d). The cost is about ten products of n²d operations; memory is one float64 copy of the inputs.
        labels: (n,), ±1.

    Returns:
        A `MaxMargin` with ‖direction‖₁ = 1.

    Raises:
        ValueError: if shapes do not match, a number is not finite, or a label is not ±1.
    """
    z = _signed(inputs, labels)
    inseparable = _inseparable(z, l2_duals(weighted_gram(z)))
    if inseparable is not None:
        return inseparable
    return _l1_interior_point(z)


def _signed(inputs, labels) -> Floats:
    x, y = checked_data(inputs, labels)
    z = checked_signs(y)[:, None] * x
    if not np.any(z):
        raise ValueError("inputs must not all be zero")
    return z


def _inseparable(z: Floats, duals: Floats) -> MaxMargin | None:
    residual = float(np.linalg.norm(duals @ z) / np.max(np.linalg.norm(z, axis=1)))
    if residual > _INSEPARABLE:
        return None
    nothing = np.full(z.shape[1], np.nan)
    support = duals > _SUPPORT * duals.max()
    return MaxMargin(nothing, np.nan, duals, support, np.inf, np.inf, np.nan, residual, "inseparable")


def _l2_result(z: Floats, w: Floats, duals: Floats) -> MaxMargin:
    least = float(np.min(z @ w))
    square = float(w @ w)
    # The best multiple of a is a·Σa/‖Zᵀa‖²: the dual objective 1ᵀa − ½‖Zᵀa‖² along a ray.
    duals = duals * duals.sum() / np.sum((duals @ z) ** 2)
    dual_objective = duals.sum() / 2
    objective = square / least**2 / 2 if least > 0 else np.inf
    gap = (objective - dual_objective) / objective if least > 0 else np.inf
    norm = np.sqrt(square)
    support = duals > _SUPPORT * duals.max()
    status = "optimal" if gap <= _L2_GAP else "inaccurate"
    return MaxMargin(w / norm, least / norm, duals, support, objective, dual_objective, float(gap), np.nan, status)


def _polished(z: Floats, duals: Floats) -> tuple[Floats, Floats]:
    """The least-norm w with ⟨w, z_i⟩ = 1 on the support, by QR of the data, and the multipliers that come nearest to
    Zᵀa = w."""
    active = np.flatnonzero(duals > _SUPPORT * duals.max())
    factors: Any = qr(z[active].T, mode="economic")
    q, r = factors
    w = np.asarray(cast(Any, lstsq(r.T, np.ones(len(active))))[0])
    polished = np.zeros_like(duals)
    polished[active], _ = nnls(r, w, maxiter=50 * len(active))
    return q @ w, polished


def _l1_interior_point(z: Floats) -> MaxMargin:
    """Mehrotra's method for min 1ᵀ(p + m) s.t. Z(p − m) − s = 1 and p, m, s ≥ 0; dual Zᵀa ∈ [−1, 1], a ≥ 0."""
    size = np.max(np.abs(z))
    z = z / size
    n, d = z.shape
    # A start inside: |Zᵀa| ≤ ½, and p, m, s positive.
    a = np.full(n, 0.5 / max(np.max(np.abs(z.sum(axis=0))), 1.0))
    p, m, s = np.full(d, 1 / d), np.full(d, 1 / d), np.ones(n)
    best, stalled = _l1_result(z, p - m, a, size), 0
    r_p, r_m = 1 - a @ z, 1 + a @ z
    for _ in range(_MAX_ITERATIONS):
        right = 1 - (z @ (p - m) - s)
        newton = L1Newton(z, p, m, r_p, r_m, s / a)
        # Predictor: straight for complementarity 0. Its success sets the centring of the corrector.
        step = newton(right - s, -p * r_p, -m * r_m)
        step_s = -s - s / a * step.a
        primal, dual = _step_lengths(p, m, s, r_p, r_m, a, step, step_s)
        count = 2 * d + n
        mean = (p @ r_p + m @ r_m + s @ a) / count
        reached = (
            (p + primal * step.p) @ (r_p - dual * step.correlation)
            + (m + primal * step.m) @ (r_m + dual * step.correlation)
            + (s + primal * step_s) @ (a + dual * step.a)
        ) / count
        center = (reached / mean) ** 3 * mean
        center_s = center - s * a - step_s * step.a
        step = newton(
            right + center_s / a,
            center - p * r_p + step.p * step.correlation,
            center - m * r_m - step.m * step.correlation,
        )
        step_s = center_s / a - s / a * step.a
        primal, dual = _step_lengths(p, m, s, r_p, r_m, a, step, step_s)
        p, m, s, a = p + primal * step.p, m + primal * step.m, s + primal * step_s, a + dual * step.a
        r_p, r_m = r_p - dual * step.correlation, r_m + dual * step.correlation
        result = _l1_result(z, p - m, a, size)
        stalled = 0 if result.duality_gap < best.duality_gap or best.duality_gap == np.inf else stalled + 1
        best = min(best, result, key=lambda result: result.duality_gap)
        if best.duality_gap <= _L1_GAP / 10 or stalled == _PATIENCE:
            break
    return best


def _step_lengths(p, m, s, r_p, r_m, a, step: Step, step_s: Floats) -> tuple[float, float]:
    primal = longest_step(p, step.p, m, step.m, s, step_s)
    dual = longest_step(r_p, -step.correlation, r_m, step.correlation, a, step.a)
    return primal, dual


def _l1_result(z: Floats, w: Floats, a: Floats, size: float) -> MaxMargin:
    """Both points made exactly feasible: w scaled to margin 1, a to ‖Zᵀa‖_∞ = 1."""
    least = float(np.min(z @ w))
    norm = float(np.sum(np.abs(w)))
    duals = a / np.max(np.abs(a @ z))
    dual_objective = float(duals.sum()) / size
    objective = norm / least / size if least > 0 else np.inf
    gap = (objective - dual_objective) / objective if least > 0 else np.inf
    support = duals > _SUPPORT * duals.max()
    status = "optimal" if gap <= _L1_GAP else "inaccurate"
    norm = norm if norm > 0 else np.nan
    return MaxMargin(
        w / norm, size * least / norm, duals / size, support, objective, dual_objective, float(gap), np.nan, status
    )
