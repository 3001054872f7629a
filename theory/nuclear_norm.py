"""Where the factorised flow W = UUᵀ − VVᵀ ends in matrix completion, at vanishing and at finite weight decay.

For a symmetric W the least ‖U‖² + ‖V‖² is the nuclear norm ‖W‖_*, the sum of the absolute eigenvalues. Minimisers of
(1/n)Σ(W_ij − x_ij)² + (λ/2)‖θ‖² over U, V in R^(d×d) therefore have the W of

    min_W  (1/n) Σ_{(i,j)∈Ω} (W_ij − x_ij)² + (λ/2)‖W‖_*        over symmetric W,

a convex problem, and λ → 0 leaves the least ‖W‖_* s.t. W_ij = x_ij on Ω. Every local minimum of the factorised
objective is global and its other stationary points are strict saddles, so that the flow goes there from almost every
start. Duals are symmetric matrices on Ω ∪ Ωᵀ, with eigenvalues in [−1, 1], or in [−λ/2, λ/2] at finite λ. Both points
are feasible to the last digit, so that the gap bounds the error whatever the algorithm did.

References:
    Lyu et al., arXiv 2311.18817, theorem 3.12 and appendix F.3; L. Ding et al., "Flat minima generalize for
    low-rank matrix recovery" (2022).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from theory._observed_entries import Observed, check_symmetric, observed_entries
from theory._semidefinite import central_path

__all__ = ["Completion", "RegularisedCompletion", "completion", "regularised"]

Floats = NDArray[np.float64]

_GAP = 1e-8
# The error of W goes with the root of the gap: iterations go on below 1e-8 to here, or until rounding stops them.
_SMALLEST_GAP = 1e-13
_PATIENCE = 3
_TINY = np.finfo(float).tiny
_EPSILON = np.finfo(float).eps


class Completion(NamedTuple):
    """A symmetric matrix of least nuclear norm with the given entries, and its certificate.

    Attributes:
        weights: (d, d), symmetric.
        nuclear_norm: ‖weights‖_*.
        parameter_norm: ‖θ‖ = √‖W‖_* of the smallest U, V with UUᵀ − VVᵀ = weights.
        dual: (d, d), symmetric Y on Ω ∪ Ωᵀ with ‖Y‖_op ≤ 1; YW = |W| at the optimum.
        dual_objective: ⟨Y, W⟩, which is Σ Y_ij x_ij over Ω ∪ Ωᵀ: a lower bound of the least nuclear norm.
        duality_gap: (nuclear_norm − dual_objective)/nuclear_norm, ≥ 0 up to rounding; 0 where the norm itself is.
        residual: the largest |W_ij − x_ij| on Ω; 0, as the entries are put in place before the norm is taken.
        status: "optimal", or "inaccurate" if the gap did not reach 1e-8.
    """

    weights: Floats
    nuclear_norm: float
    parameter_norm: float
    dual: Floats
    dual_objective: float
    duality_gap: float
    residual: float
    status: str


class RegularisedCompletion(NamedTuple):
    """The minimiser of mean squared error + (λ/2)‖W‖_* and its certificate.

    Attributes:
        weights: (d, d), symmetric.
        objective: mean squared error + (λ/2)‖weights‖_*.
        nuclear_norm: ‖weights‖_*.
        parameter_norm: ‖θ‖ = √‖W‖_* of the smallest U, V with UUᵀ − VVᵀ = weights.
        dual: (d, d), minus the symmetric part of ∂(mean squared error)/∂W at the optimum, with ‖dual‖_op ≤ λ/2.
        dual_objective: a lower bound of the least objective.
        duality_gap: (objective − dual_objective)/objective, ≥ 0 up to rounding; 0 where the objective itself is.
        residual: the largest |W_ij − x_ij| on Ω.
        status: "optimal", or "inaccurate" if the gap did not reach 1e-8.
    """

    weights: Floats
    objective: float
    nuclear_norm: float
    parameter_norm: float
    dual: Floats
    dual_objective: float
    duality_gap: float
    residual: float
    status: str


Point = TypeVar("Point", Completion, RegularisedCompletion)


def completion(indices: ArrayLike, values: ArrayLike, size: int) -> Completion:
    """The symmetric matrix of least nuclear norm with the given entries: the end of the flow for λ → 0.

    A primal-dual interior-point method: some fifteen factorisations of m×m matrices for m observed unordered pairs,
    and memory for a few of them. Where the optimum is not unique it tends to the centre of the optimal face.

    Args:
        indices: (n, 2), integers in [0, size); the row (i, j) says that W_ij, and with it W_ji, is observed.
        values: (n,), the observed entries; equal ones if both (i, j) and (j, i) are listed.
        size: d.

    Returns:
        A `Completion`.

    Raises:
        ValueError: if shapes do not match, nothing is observed, an index is out of range or listed twice, a value is
            not finite, or W_ij and W_ji are given different values.
    """
    observed = observed_entries(indices, values, size)
    check_symmetric(observed)
    nothing = np.zeros((observed.entries.size,) * 2)
    if not np.any(observed.target):
        return _completion(observed, size, nothing, observed.target)
    scale = float(np.linalg.norm(observed.entries.fill(nothing, observed.target), 2))
    path = central_path(observed.entries, observed.target / scale, np.zeros_like(observed.target))
    return _best(_completion(observed, size, scale * weights, y) for weights, y in path)


def regularised(indices: ArrayLike, values: ArrayLike, size: int, weight_decay: float) -> RegularisedCompletion:
    """The t → ∞ weights of the factorised flow at weight decay λ: min (1/n)Σ(W_ij − x_ij)² + (λ/2)‖W‖_*.

    Cost as for `completion`. The weights are exactly 0 from the λ on at which they become optimal.

    Args:
        indices: (n, 2), integers in [0, size), without repetition. If both (i, j) and (j, i) are listed, both errors
            count.
        values: (n,), the observed entries.
        size: d.
        weight_decay: λ > 0, which multiplies (‖U‖² + ‖V‖²)/2; the penalty on W is (λ/2)‖W‖_*.

    Returns:
        A `RegularisedCompletion`.

    Raises:
        ValueError: if shapes do not match, nothing is observed, an index is out of range or listed twice, a value is
            not finite, or λ is not positive.
    """
    observed = observed_entries(indices, values, size)
    if not 0 < weight_decay < np.inf:
        raise ValueError(f"weight_decay must be positive and finite, got {weight_decay}")
    penalty = weight_decay / 2
    nothing = np.zeros((observed.entries.size,) * 2)
    gradient = 2 * observed.counts / len(observed.values) * observed.target
    if np.linalg.norm(observed.entries.adjoint(gradient), 2) <= penalty:
        return _regularised(observed, size, penalty, nothing, gradient)
    scale = float(np.linalg.norm(observed.entries.fill(nothing, observed.target), 2))
    softness = penalty * len(observed.values) / (2 * observed.counts) / scale
    path = central_path(observed.entries, observed.target / scale, softness)
    return _best(_regularised_pair(observed, size, penalty, scale * weights, penalty * y) for weights, y in path)


def _completion(observed: Observed, size: int, weights: Floats, y: Floats) -> Completion:
    # Rounding has moved the observed entries of the weights.
    weights = observed.entries.fill(weights, observed.target)
    dual = observed.entries.adjoint(y)
    shrink = 1 / max(_reach(dual), _TINY)
    norm, bound = _nuclear_norm(weights), shrink * float(y @ observed.target)
    gap = (norm - bound) / norm if norm > 0 else 0.0
    residual = float(np.max(np.abs(observed.errors(weights))))
    return Completion(
        weights=observed.whole(weights, size),
        nuclear_norm=norm,
        parameter_norm=float(np.sqrt(norm)),
        dual=observed.whole(shrink * dual, size),
        dual_objective=bound,
        duality_gap=gap,
        residual=residual,
        status="optimal" if gap <= _GAP else "inaccurate",
    )


def _regularised_pair(
    observed: Observed, size: int, penalty: float, weights: Floats, z: Floats
) -> RegularisedCompletion:
    # Rounding moves the observed entries off W_k = x_k − (n/2count) z_k. To put them back is worth it only if λ is so
    # small that the errors cost more than the change of ‖W‖_*.
    fitted = observed.target - len(observed.values) / (2 * observed.counts) * z
    choices = weights, observed.entries.fill(weights, fitted)
    points = [_regularised(observed, size, penalty, choice, z) for choice in choices]
    return min(points, key=lambda point: point.duality_gap)


def _regularised(observed: Observed, size: int, penalty: float, weights: Floats, z: Floats) -> RegularisedCompletion:
    dual = observed.entries.adjoint(z)
    shrink = penalty / max(_reach(dual), penalty)
    z = shrink * z
    errors, n = observed.errors(weights), len(observed.values)
    norm = _nuclear_norm(weights)
    objective = float(np.mean(errors**2)) + penalty * norm
    # What no symmetric W can fit, and minus the conjugates of (count/n)(W_k − x_k)² at −z.
    misfit = float(np.mean(observed.errors(observed.entries.fill(weights, observed.target)) ** 2))
    bound = misfit + float(z @ observed.target - n * np.sum(z * z / observed.counts) / 4)
    gap = (objective - bound) / objective if objective > 0 else 0.0
    return RegularisedCompletion(
        weights=observed.whole(weights, size),
        objective=objective,
        nuclear_norm=norm,
        parameter_norm=float(np.sqrt(norm)),
        dual=observed.whole(shrink * dual, size),
        dual_objective=bound,
        duality_gap=gap,
        residual=float(np.max(np.abs(errors))),
        status="optimal" if gap <= _GAP else "inaccurate",
    )


def _nuclear_norm(matrix: Floats) -> float:
    return float(np.sum(np.abs(np.linalg.eigvalsh(matrix))))


def _reach(matrix: Floats) -> float:
    """The operator norm of a symmetric matrix, with room for the rounding of its computation."""
    return (1 + 4 * len(matrix) * _EPSILON) * float(np.max(np.abs(np.linalg.eigvalsh(matrix))))


def _best(points: Iterator[Point]) -> Point:
    best, stalled = next(points), 0
    for point in points:
        best, stalled = (point, 0) if point.duality_gap < best.duality_gap else (best, stalled + 1)
        if best.duality_gap <= _SMALLEST_GAP or stalled == _PATIENCE:
            break
    return best
