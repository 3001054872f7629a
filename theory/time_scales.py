"""When the kernel phase of a homogeneous model ends, in flow time.

Far from its end a flow with weight decay λ only shrinks: θ(t) ≈ α e^(−λt) θ̄. What α e^(−λt) does is therefore the
clock of the whole dichotomy, and every time here is (1/λ)·(log α + something small). All functions take scalars or
arrays, broadcast, and return arrays, times in the unit in which 1/λ is given; multiply by λ for the scaled time
τ = λt.

References:
    Lyu et al., arXiv 2311.18817, section 3.2 and lemmas C.4, C.5.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import wrightomega

from theory._checks import check_degree, positive

__all__ = ["diagonal_kernel_phase_end", "early_time", "kernel_phase_end", "kernel_phase_margin", "late_time"]

Floats = NDArray[np.float64]


def early_time(alpha: ArrayLike, weight_decay: ArrayLike, c: ArrayLike) -> Floats:
    """T_c^− = ((1 − c)/λ) log α, when theorems 3.4 and 3.9 find the kernel predictor.

    Args:
        alpha: scale of the initial parameters, α > 0.
        weight_decay: λ > 0.
        c: 0 < c < 1.

    Returns:
        Flow times, broadcast.

    Raises:
        ValueError: if an argument is out of range.
    """
    alpha, decay, c = positive(alpha=alpha, weight_decay=weight_decay, c=c)
    if np.any(c >= 1):
        raise ValueError(f"c must lie strictly between 0 and 1, got {c[c >= 1][0]}")
    return np.asarray((1 - c) / decay * np.log(alpha))


def late_time(alpha: ArrayLike, weight_decay: ArrayLike, c: ArrayLike) -> Floats:
    """T_c^+ = ((1 + c)/λ) log α, the end of the window in which theorems 3.5 and 3.10 find KKT points.

    Arguments and result as for `early_time`, but any c > 0.

    Raises:
        ValueError: if an argument is out of range.
    """
    alpha, decay, c = positive(alpha=alpha, weight_decay=weight_decay, c=c)
    return np.asarray((1 + c) / decay * np.log(alpha))


def kernel_phase_end(alpha: ArrayLike, weight_decay: ArrayLike, degree: int, offset: ArrayLike = 0.0) -> Floats:
    """T_max = (1/λ)(log α − (1/L) log log A + offset), A = α^(2(L−1))/λ: the kernel phase lasts at least so long.

    The offset is a constant of the problem, which the lemma does not give. log log A enters because the margins have
    grown to log A while α e^(−λt) was large; at fixed λ it is as good as constant.

    Args:
        alpha: scale of the initial parameters, α > 0.
        weight_decay: λ > 0, with A > e.
        degree: L ≥ 2.
        offset: in units of log α.

    Returns:
        Flow times, broadcast.

    Raises:
        ValueError: if an argument is out of range.
    """
    check_degree(degree)
    alpha, decay = positive(alpha=alpha, weight_decay=weight_decay)
    log_alpha = np.log(alpha)
    log_a = 2 * (degree - 1) * log_alpha - np.log(decay)
    if np.any(log_a <= 1):
        raise ValueError("alpha and weight_decay must satisfy α^(2(L−1))/λ > e, or there is no kernel phase")
    return np.asarray((log_alpha - np.log(log_a) / degree + np.asarray(offset, float)) / decay)


def kernel_phase_margin(scale: ArrayLike, weight_decay: ArrayLike, margin: ArrayLike, degree: int) -> Floats:
    """The output margin q at which, late in the kernel phase, the loss balances the decay.

    With features shrunk to s^(L−1) times their initial size, s = α e^(−λt), growth and decay of the margin are in
    balance when e^(−q) γ² s^(2(L−1)) = λ L q, the order of the late kernel-phase loss, which the Lambert function
    solves: q = W(γ² s^(2(L−1))/(λL)).

    Args:
        scale: s = α e^(−λt) > 0.
        weight_decay: λ > 0.
        margin: γ, the kernel max-margin for unit scale.
        degree: L ≥ 2.

    Returns:
        q ≥ 0, broadcast; e^(−q) is then the exponential loss of the samples on the margin, averaged with the dual
        weights.

    Raises:
        ValueError: if an argument is out of range.
    """
    check_degree(degree)
    s, decay, gamma = positive(scale=scale, weight_decay=weight_decay, margin=margin)
    # ω(z) = W(e^z), which no scale overflows.
    return np.asarray(wrightomega(2 * np.log(gamma) + 2 * (degree - 1) * np.log(s) - np.log(decay * degree)))


def diagonal_kernel_phase_end(
    scale: ArrayLike, weight_decay: ArrayLike, margin: ArrayLike, largest: ArrayLike
) -> Floats:
    """When the first coordinate of a diagonal net of depth 2 leaves the kernel regime: max_k |log(u_k/v_k)| = 1.

    While w = 2s² sinh(log(u/v)) is linear, w is q/γ times the max-L2-margin direction ŵ, and the log-ratio of a
    coordinate is q ŵ_k/(2γs²), s = a e^(−λt). With the balance of `kernel_phase_margin` (whose γ is 2√2 times this
    one) the largest reaches 1 at

        q = log(2γM/λ),   s² = Mq/(2γ),   t = (1/λ)(log a − ½ log(Mq/(2γ)))

    So the offset of the switch from (1/λ)·log a depends on the data through γ and M = max_k |ŵ_k|, on λ through log
    log(1/λ), and not on a.

    Args:
        scale: a, the initial size of each coordinate.
        weight_decay: λ > 0.
        margin: γ, the largest L2 margin, of the unit direction ŵ.
        largest: M = max_k |ŵ_k|, with 2γM > λ.

    Returns:
        Flow times, broadcast.

    Raises:
        ValueError: if an argument is out of range.

    References:
        Derived here from Lyu et al., arXiv 2311.18817, section 3.1 (order of the late kernel-phase loss) and
        corollary 3.6.
    """
    scale, decay, gamma, largest = positive(scale=scale, weight_decay=weight_decay, margin=margin, largest=largest)
    if not np.all(2 * gamma * largest > decay):
        raise ValueError(f"weight_decay must be below 2·margin·largest = {2 * gamma * largest}, got {decay}")
    output = np.log(2 * gamma * largest / decay)
    return np.asarray((np.log(scale) - 0.5 * np.log(largest * output / (2 * gamma))) / decay)
