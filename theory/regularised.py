"""Where the depth-2 diagonal flow ends at finite weight decay.

For w = u² − v² the least ‖u‖² + ‖v‖² at given w is ‖w‖₁. Minimisers of 𝓛 + (λ/2)‖θ‖² therefore have the weights of

    min_w  (1/n) Σ ℓ(⟨w, x_i⟩, y_i) + (λ/2)‖w‖₁

a convex problem, to which the flow converges from every start with u, v ≠ 0 on the coordinates that matter. It is a
sharper prediction than the max-margin limit λ → 0. The dual is

    max_a  −(1/n) Σ ℓ*(−n a_i, y_i)   s.t. ‖Xᵀa‖_∞ ≤ λ/2,        a_i = −(1/n) ∂ℓ/∂f_i at the optimum,

and the gap of a pair that is feasible to the last digit bounds the error whatever the algorithm did.

References:
    Lyu et al., arXiv 2311.18817, corollary 3.7 and section 3.2.2; the finite-λ statement is derived here. Algorithm:
    S. Mehrotra, SIAM J. Optim. 2 (1992), with the loss in the place of the right-hand side.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit, xlog1py, xlogy

from theory._interior_point import L1Newton, longest_step
from theory._linear_algebra import checked_data, checked_signs

__all__ = ["RegularisedPoint", "l1"]

Floats = NDArray[np.float64]

_GAP = 1e-9
_MAX_ITERATIONS = 200
# A step may use up all but this fraction of a slope's distance from the edge of its domain; past that it is taken in
# the outputs, and changes them by so much at most.
_LEAST_ROOM = 0.01
_LONGEST_OUTPUT_STEP = 5.0
# Full steps can circle round the optimum for ever; after so many without a smaller gap they are halved.
_PATIENCE = 10
_TINY = np.finfo(float).tiny


class RegularisedPoint(NamedTuple):
    """The minimiser of mean loss + (λ/2)‖w‖₁ and its certificate.

    Attributes:
        weights: (d,).
        duals: (n,), a_i = −(1/n) ∂ℓ/∂f_i, scaled to be feasible.
        objective: mean loss + (λ/2)‖weights‖₁.
        dual_objective: a lower bound of the least objective.
        duality_gap: (objective − dual_objective)/objective, ≥ 0 up to rounding; 0 where the objective itself is.
        parameter_norm: ‖θ‖ = √‖w‖₁ of the diagonal net of depth 2 at this point.
        status: "optimal", or "inaccurate" if the gap did not reach 1e-9.
    """

    weights: Floats
    duals: Floats
    objective: float
    dual_objective: float
    duality_gap: float
    parameter_norm: float
    status: str


class _Loss(NamedTuple):
    """A loss and its conjugate ℓ*(v, y) = sup_f vf − ℓ(f, y), both through v = ∂ℓ/∂f."""

    value: Callable[[Floats, Floats], Floats]
    slope: Callable[[Floats, Floats], Floats]  # ∂ℓ/∂f
    conjugate: Callable[[Floats, Floats], Floats]
    output: Callable[[Floats, Floats], Floats]  # ∂ℓ*/∂v, the f with slope v
    stretch: Callable[[Floats, Floats], Floats]  # ∂²ℓ*/∂v²
    room: Callable[[Floats, Floats], Floats]  # distance of v from the edge of the domain of ℓ*


_LOSSES = {
    "logistic": _Loss(
        value=lambda f, y: np.logaddexp(0, -y * f),
        slope=lambda f, y: -y * expit(-y * f),
        conjugate=lambda v, y: xlogy(-v * y, -v * y) + xlog1py(1 + v * y, v * y),
        output=lambda v, y: -y * logit(-v * y),
        stretch=lambda v, y: 1 / (-v * y * (1 + v * y)),
        room=lambda v, y: np.minimum(-v * y, 1 + v * y),
    ),
    "exponential": _Loss(
        value=lambda f, y: np.exp(-y * f),
        slope=lambda f, y: -y * np.exp(-y * f),
        conjugate=lambda v, y: xlogy(-v * y, -v * y) + v * y,
        output=lambda v, y: -y * np.log(-v * y),
        stretch=lambda v, y: 1 / (-v * y),
        room=lambda v, y: -v * y,
    ),
    "squared": _Loss(
        value=lambda f, y: (f - y) ** 2,
        slope=lambda f, y: 2 * (f - y),
        conjugate=lambda v, y: v * v / 4 + v * y,
        output=lambda v, y: y + v / 2,
        stretch=lambda v, y: np.full_like(v, 0.5),
        room=lambda v, y: np.full_like(v, np.inf),
    ),
}


def l1(inputs: ArrayLike, labels: ArrayLike, weight_decay: float, loss: str = "logistic") -> RegularisedPoint:
    """The t → ∞ weights of the diagonal flow of depth 2 at weight decay λ.

    A primal-dual interior-point method with n×n systems: some twenty products of n²d operations, and one float64 copy
    of the inputs. Separability is not needed.

    Args:
        inputs: (n, d).
        labels: (n,), ±1 for the logistic and exponential loss, real for the squared one.
        weight_decay: λ > 0, which multiplies ‖θ‖²/2 of the network; the penalty on w is (λ/2)‖w‖₁.
        loss: "logistic", "exponential" or "squared" ((f − y)², no ½), averaged over samples.

    Returns:
        A `RegularisedPoint`.

    Raises:
        ValueError: if shapes do not match, a number is not finite, a label is not ±1, λ is not positive, or the loss
            is unknown.
    """
    x, y = checked_data(inputs, labels)
    if loss not in _LOSSES:
        raise ValueError(f"loss must be one of {', '.join(_LOSSES)}, got {loss!r}")
    if loss != "squared":
        checked_signs(y)
    if not 0 < weight_decay < np.inf:
        raise ValueError(f"weight_decay must be positive and finite, got {weight_decay}")
    return _interior_point(x, y, weight_decay / 2, _LOSSES[loss])


def _interior_point(x: Floats, y: Floats, penalty: float, loss: _Loss) -> RegularisedPoint:
    """Mehrotra's predictor-corrector on f = X(p − m), r_p = penalty − Xᵀa and r_m = penalty + Xᵀa, p r_p = m r_m = σ
    → 0.

    The slopes v = −na are a variable of their own, and f stands for the outputs with these slopes. All equations but
    the last two are only reached in the end, so that v may start in the middle of its domain.
    """
    n, d = x.shape
    v = loss.slope(np.zeros(n), y)
    size = max(np.max(np.abs(v @ x)) / n, penalty)
    r_p, r_m = np.full(d, size), np.full(d, size)
    # p and m start where their norm, at this cost, would equal the loss at w = 0.
    start = max(float(np.mean(loss.value(np.zeros(n), y))), _TINY) / (size * 2 * d)
    p, m = np.full(d, start), np.full(d, start)
    best = _result(x, y, p - m, v, penalty, loss)
    least, stalled = np.inf, 0
    for _ in range(_MAX_ITERATIONS):
        correlation = -v @ x / n
        target_p, target_m = penalty - correlation, penalty + correlation
        outputs, stretch = x @ (p - m), loss.stretch(v, y)
        newton = L1Newton(x, p, m, r_p, r_m, n * stretch)
        right = loss.output(v, y) - outputs
        step = newton(right, -p * target_p, -m * target_m)
        cost_p, cost_m = target_p - r_p - step.correlation, target_m - r_m + step.correlation
        length = longest_step(p, step.p, m, step.m, r_p, cost_p, r_m, cost_m)
        mean = (p @ r_p + m @ r_m) / (2 * d)
        reached = (p + length * step.p) @ (r_p + length * cost_p) + (m + length * step.m) @ (r_m + length * cost_m)
        # Complementarity must not run ahead of f = Xw, whose share of the gap is the Fenchel-Young slack.
        with np.errstate(over="ignore"):
            slack = np.mean(loss.value(outputs, y) + loss.conjugate(v, y) - v * outputs)
        center = max((reached / (2 * d) / mean) ** 3 * mean, min(0.3 * slack / (2 * d), mean))
        step = newton(right, center - p * target_p - step.p * cost_p, center - m * target_m - step.m * cost_m)
        cost_p, cost_m = target_p - r_p - step.correlation, target_m - r_m + step.correlation
        length = longest_step(p, step.p, m, step.m, r_p, cost_p, r_m, cost_m)
        length *= 0.5 if stalled >= _PATIENCE else 1.0
        p, m, r_p, r_m = p + length * step.p, m + length * step.m, r_p + length * cost_p, r_m + length * cost_m
        v = _moved(v, -n * length * step.a, stretch, y, loss)
        result = _result(x, y, p - m, v, penalty, loss)
        # Not the relative gap, which is 1 to the last digit while the objective still falls.
        gap = result.objective - result.dual_objective
        least, stalled = (gap, 0) if gap < least else (least, stalled + 1)
        best = min(best, result, key=lambda result: result.duality_gap)
        if best.duality_gap <= _GAP / 10:
            break
    return best


def _moved(v: Floats, change: Floats, stretch: Floats, y: Floats, loss: _Loss) -> Floats:
    """Slopes after a step: straight, or, where that would all but leave the domain, the same step in the outputs."""
    straight = v + change
    curved = loss.slope(loss.output(v, y) + np.clip(change * stretch, -_LONGEST_OUTPUT_STEP, _LONGEST_OUTPUT_STEP), y)
    return np.where(loss.room(straight, y) < _LEAST_ROOM * loss.room(v, y), curved, straight)


def _result(x: Floats, y: Floats, w: Floats, v: Floats, penalty: float, loss: _Loss) -> RegularisedPoint:
    outputs, norm = x @ w, float(np.sum(np.abs(w)))
    with np.errstate(over="ignore"):
        objective = float(np.mean(loss.value(outputs, y))) + penalty * norm
    # Into the ball of the dual norm to the last digit; shrinking a slope keeps it in the domain of the conjugate.
    limit = penalty * len(y)
    shrink = limit / max(np.max(np.abs(v @ x)), limit)
    dual_objective = -float(np.mean(loss.conjugate(shrink * v, y)))
    gap = (objective - dual_objective) / objective if objective > 0 else 0.0
    status = "optimal" if gap <= _GAP else "inaccurate"
    return RegularisedPoint(w, -shrink * v / len(y), objective, dual_objective, gap, float(np.sqrt(norm)), status)
