"""The course of the outputs in the kernel phase: where growth under the exponential loss balances the weight decay.

With features fixed at θ̄ and shrunk to s^(L−1) times their initial size, s = α e^(−λt), the signed outputs q_i = y_i f_i
obey q' = s^(2(L−1)) K e^(−q)/n − λLq, K_ij = y_i y_j⟨∇f_i(θ̄), ∇f_j(θ̄)⟩. Soon they follow the point at which both terms
cancel. It depends on one number alone,

    q = Kc,    log c_i + q_i = C,    C = 2(L−1) log s − log(nλL)

and is the solution of kernel regression with exponential loss and penalty: min ½cᵀKc + Σ e^(C − (Kc)_i). As C → ∞ the
direction of c goes to that of the max-margin multipliers a (Σ a = 1); on the support q_i = q̄ − log(n a_i) + ..., a
spread that does not shrink while q̄ grows like C, so that the angle to the max-margin direction falls like 1/q̄.

The flow lags behind: C falls at the rate 2(L−1)λ, and λLq stands for λLq + q', a relative error of 2(L−1)/(Lq) in c,
and as large an absolute one in q.

References:
    Derived here; Lyu et al., arXiv 2311.18817, lemmas C.4 to C.9, are its asymptotics.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from theory._checks import check_degree, finite, positive

__all__ = ["Balance", "kernel_balance"]

Floats = NDArray[np.float64]

_RESIDUAL = 1e-10
# Of C, from one point of the continuation to the next.
_LONGEST_STEP = 1.0
_MOST_ITERATIONS = 50


class Balance(NamedTuple):
    """Outputs in balance with the decay.

    Attributes:
        duals: c, (T, n), positive: parameters are Σ c_i y_i ∇f_i(θ̄), outputs Kc.
        margins: q = Kc, (T, n).
        residual: (T,), the largest |log c_i + q_i − C|.
        status: (T,), "optimal", or "inaccurate" where the residual exceeds 1e-8.
    """

    duals: Floats
    margins: Floats
    residual: Floats
    status: NDArray[np.str_]


def kernel_balance(signed_gram: ArrayLike, log_scale: ArrayLike, weight_decay: ArrayLike, degree: int) -> Balance:
    """Where outputs stand in the kernel phase under the exponential loss, mean over n samples.

    Args:
        signed_gram: K, (n, n), symmetric positive semi-definite, of the features at θ̄ times their labels ±1.
        log_scale: log s = log α − λt, scalar or (T,).
        weight_decay: λ > 0, scalar or (T,).
        degree: L ≥ 2.

    Returns:
        A `Balance`, with T = 1 for scalars.

    Raises:
        ValueError: if the Gram matrix is not square, a number is not finite, or an argument is out of range.
    """
    check_degree(degree)
    gram, log_scale = finite(signed_gram=signed_gram, log_scale=log_scale)
    (decay,) = positive(weight_decay=weight_decay)
    if gram.ndim != 2 or gram.shape[0] != gram.shape[1] or len(gram) == 0:
        raise ValueError(f"signed_gram must have shape (n, n) with n ≥ 1, got {gram.shape}")
    levels = np.atleast_1d(2 * (degree - 1) * log_scale - np.log(len(gram) * decay * degree))
    logs = np.empty((len(levels), len(gram)))
    # Where C ≪ −log K outputs are negligible, and c = e^C.
    level = min(float(levels.min()), -np.log(max(float(np.max(np.abs(gram))) * len(gram), 1.0))) - 1.0
    current = np.full(len(gram), level)
    for index in np.argsort(levels):
        steps = max(int(np.ceil((levels[index] - level) / _LONGEST_STEP)), 1)
        for target in np.linspace(level, levels[index], steps + 1)[1:]:
            current = _newton(gram, target, current)
        level, logs[index] = levels[index], current
    duals = np.exp(logs)
    margins = duals @ gram
    residual = np.max(np.abs(logs + margins - levels[:, None]), axis=1)
    return Balance(duals, margins, residual, np.where(residual <= 1e-8, "optimal", "inaccurate"))


def _newton(gram: Floats, level: float, logs: Floats) -> Floats:
    """Newton's method in log c with steps halved until the residual falls; 1 + K diag(c) is never singular."""
    error = logs + gram @ np.exp(logs) - level
    for _ in range(_MOST_ITERATIONS):
        if np.max(np.abs(error)) <= _RESIDUAL:
            break
        step = np.linalg.solve(np.eye(len(gram)) + gram * np.exp(logs), -error)
        step *= min(1.0, 2.0 / np.max(np.abs(step)))
        for _ in range(_MOST_ITERATIONS):
            moved = logs + step
            remaining = moved + gram @ np.exp(moved) - level
            if np.linalg.norm(remaining) < np.linalg.norm(error):
                break
            step = step / 2
        else:
            break
        logs, error = moved, remaining
    return logs
