"""What holds along the flow in the kernel phase, at finite α and λ: bounds on the loss, and its late course.

Write θ(t) = α e^(−λt)(θ̄ + δ(t)), s = α e^(−λt) and A = α^(2(L−1))/λ. While ‖δ‖ is below the radius in which the
features ∇f_i move little, the flow on 𝓛 + (λ/2)‖θ‖² obeys

    d𝓛/dt = −‖∇𝓛‖² − λ⟨∇𝓛, θ⟩,   ‖∇𝓛‖² ∝ s^(2(L−1)),   and by homogeneity   ⟨∇𝓛, θ⟩ = (L/n) Σ (∂ℓ/∂f_i) f_i

so that the fit first improves, as at fixed features, and then follows the balance with the decay. The exponential loss
is (1/n)Σ exp(−y_i f_i), the squared one (1/n)Σ(f_i − y_i)². The scale enters as log α, and losses leave as log 𝓛, so
that no α is too large. `time_scales` says when the phase ends. Times are flow times, in the unit of 1/λ.

Departures from the paper, whose appendix D and lemma C.7 lose constants:
    1. C.7: n/F⁻¹ is printed for 1/(nF⁻¹), which exceeds the loss of several orthogonal samples, and the exponent of the
       second branch, 1 − 2(L−1)λ, has the unit of a rate; the proof needs −(3 − 4/L).
    2. D.1: with the gradient (2/n)Σ(f_i − y_i)∇f_i the first exponent is four times the printed one, and the late
       branch a fourth of it. What is printed holds, but is looser; `printed=True` evaluates it.
    3. Z(α): (1/γ)log(α^c/λ) is printed for (1/γ)log(α^(2(L−1)c)/λ); `printed=True` evaluates it.

References:
    Lyu et al., arXiv 2311.18817, appendices C (lemmas C.1 to C.9) and D (lemmas D.1, D.2); the late squared loss
    is derived here.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import exprel, logsumexp, softmax, wrightomega

from theory import min_norm
from theory._checks import check_degree, finite, positive

__all__ = [
    "EntropyBracket",
    "LogLossBound",
    "entropy_bracket",
    "exponential_loss_lower_bound",
    "exponential_loss_upper_bound",
    "late_squared_loss",
    "log_drift_order",
    "log_inverse_lower_bound",
    "log_inverse_xlogx",
    "log_late_exponential_loss",
    "log_late_squared_loss",
    "normaliser",
    "squared_loss_upper_bound",
]

Floats = NDArray[np.float64]


class LogLossBound(NamedTuple):
    """A bound on log 𝓛 and its two branches.

    Attributes:
        bound: the larger branch of an upper bound, the smaller one of a lower bound.
        early: the branch of an upper bound that holds while the data are fitted, the constant one of a lower bound.
        late: the branch on which decay balances growth.
    """

    bound: Floats
    early: Floats
    late: Floats


class EntropyBracket(NamedTuple):
    """Lemma C.3 divided by the loss: lower ≤ middle ≤ upper.

    Attributes:
        lower: log(1/(n𝓛)).
        middle: Σ r_i log(1/r_i)/Σ r_i, the margin averaged with the losses r_i = exp(−y_i f_i).
        upper: log(1/𝓛).
    """

    lower: Floats
    middle: Floats
    upper: Floats


def log_inverse_xlogx(log_y: ArrayLike) -> Floats:
    """log F⁻¹(y) = W(y) for F(x) = x log x on [1, ∞), from log y, which may be as large as it likes.

    Args:
        log_y: any shape, finite.

    Returns:
        log x ≥ 0 with x log x = y.

    Raises:
        ValueError: if a number is not finite.
    """
    (log_y,) = finite(log_y=log_y)
    return np.asarray(wrightomega(log_y))


def log_inverse_lower_bound(log_y: ArrayLike) -> Floats:
    """log(y/log(y + 1)), which is at most log F⁻¹(y) (lemma C.1). Arguments and errors as for `log_inverse_xlogx`."""
    (log_y,) = finite(log_y=log_y)
    # log y − log log(1 + y) = −log(log(1 + y)/y), and with l = log(1 + y): y/l = (e^l − 1)/l.
    logarithm = np.logaddexp(0, log_y)
    return np.asarray(logarithm + np.log(exprel(-logarithm)))


def entropy_bracket(margins: ArrayLike) -> EntropyBracket:
    """The three terms of lemma C.3, which turn ⟨∇𝓛, θ⟩ = −(L/n)Σ r_i log(1/r_i) into a function of the loss.

        𝓛 log(1/(n𝓛)) ≤ (1/n) Σ r_i log(1/r_i) ≤ 𝓛 log(1/𝓛),   divided by 𝓛

    Args:
        margins: (..., n), y_i f_i.

    Returns:
        An `EntropyBracket` of arrays (...).

    Raises:
        ValueError: if there is no sample or a margin is not finite.
    """
    (q,) = finite(margins=margins)
    if q.ndim == 0 or q.shape[-1] == 0:
        raise ValueError(f"margins must have shape (..., n) with n ≥ 1, got {q.shape}")
    lower = -np.asarray(logsumexp(-q, axis=-1))
    middle = np.sum(softmax(-q, axis=-1) * q, axis=-1)
    return EntropyBracket(lower, np.asarray(middle), lower + np.log(q.shape[-1]))


def exponential_loss_upper_bound(
    times: ArrayLike, log_alpha: ArrayLike, weight_decay: ArrayLike, margin: ArrayLike, degree: int
) -> LogLossBound:
    """Lemma C.4: an upper bound on the log of the exponential loss in the kernel phase.

        𝓛 ≤ max{ 1/(1 + γ²A/(16(L−1))·(1 − e^(−2(L−1)λt))),   e^(2(L−1)λt)/(F⁻¹(γ²A/(8L)) − 1) }

    It holds while no feature has moved by more than γ/2.

    Args:
        times: t ≥ 0.
        log_alpha: log of the initial scale α.
        weight_decay: λ > 0.
        margin: γ_ntk > 0 of the features at θ̄, as of `kernel.max_margin`.
        degree: L ≥ 2.

    Returns:
        A `LogLossBound`, broadcast.

    Raises:
        ValueError: if an argument is out of range.
    """
    elapsed, log_a, gamma = _clock(times, log_alpha, weight_decay, degree, margin=margin)
    growth = 2 * np.log(gamma) + log_a
    early = -np.logaddexp(0, growth - np.log(16 * (degree - 1)) + _log_one_minus_exp(elapsed))
    log_y = growth - np.log(8 * degree)
    # F⁻¹(y) − 1 = y (1 − e^(−W))/W, which loses no digits however small or large y.
    late = elapsed - (log_y + np.log(exprel(-wrightomega(log_y))))
    return LogLossBound(np.asarray(np.maximum(early, late)), *np.broadcast_arrays(early, late))


def exponential_loss_lower_bound(
    times: ArrayLike,
    log_alpha: ArrayLike,
    weight_decay: ArrayLike,
    feature_norm: ArrayLike,
    samples: ArrayLike,
    degree: int,
) -> LogLossBound:
    """Lemma C.7, with its constants put right: a lower bound on the log of the exponential loss.

        𝓛 ≥ min{ (1/n) e^(−(3 − 4/L)),   1/(n F⁻¹(2G²A e^(−2(L−1)λt)/(nL))) }

    By ‖∇𝓛‖ ≤ G s^(L−1) 𝓛 and C.3, d log 𝓛/dt ≥ −G² s^(2(L−1)) 𝓛 + λL log(1/(n𝓛)), which on the second branch is at
    least ½λL log(1/(n𝓛)); the branch itself rises at the rate 2(L−1)λ log x/(1 + log x), x = 1/(n𝓛), which is less
    if 1 + log x ≥ 4(L−1)/L, as the first branch makes sure.

    Args:
        times, log_alpha, weight_decay, degree: as for `exponential_loss_upper_bound`.
        feature_norm: G > 0, the largest ‖∇f_i‖ at the points θ̄ + δ that the flow visits.
        samples: n.

    Returns:
        A `LogLossBound`, broadcast.

    Raises:
        ValueError: if an argument is out of range.
    """
    elapsed, log_a, norm, n = _clock(times, log_alpha, weight_decay, degree, feature_norm=feature_norm, samples=samples)
    late = -np.log(n) - log_inverse_xlogx(2 * np.log(norm) + log_a - elapsed + np.log(2 / (n * degree)))
    early = -np.log(n) - (3 - 4 / degree)
    return LogLossBound(np.asarray(np.minimum(early, late)), *np.broadcast_arrays(early, late))


def squared_loss_upper_bound(
    times: ArrayLike,
    log_alpha: ArrayLike,
    weight_decay: ArrayLike,
    least_eigenvalue: ArrayLike,
    target_norm: ArrayLike,
    samples: ArrayLike,
    degree: int,
    *,
    printed: bool = False,
) -> LogLossBound:
    """Lemma D.1, with its constants put right: an upper bound on the log of the squared loss in the kernel phase.

        𝓛 ≤ max{ (‖y‖²/n) exp(−νA/(2n(L−1))·(1 − e^(−2(L−1)λt))),   4nL²‖y‖²λ²/(ν²α^(4(L−1)))·e^(4(L−1)λt) }

    While the Gram matrix of the features at θ̄ + δ is at least ν/2, ‖∇𝓛‖² ≥ (2ν/n) s^(2(L−1)) 𝓛 and
    −λ⟨∇𝓛, θ⟩ ≤ 2λL‖y‖√(𝓛/n); above the second branch, half of the first outweighs the second.

    Args:
        times, log_alpha, weight_decay, degree: as for `exponential_loss_upper_bound`.
        least_eigenvalue: ν > 0, the smallest eigenvalue of the Gram matrix at θ̄.
        target_norm: ‖y‖₂ > 0.
        samples: n.
        printed: with the constants of the paper, 8 for the 2 in the exponent and 16 for the 4.

    Returns:
        A `LogLossBound`, broadcast.

    Raises:
        ValueError: if an argument is out of range.
    """
    elapsed, log_a, nu, norm, n = _clock(
        times, log_alpha, weight_decay, degree, least_eigenvalue=least_eigenvalue, target_norm=target_norm,
        samples=samples,
    )  # fmt: skip
    initial = 2 * np.log(norm) - np.log(n)
    rate = np.log(nu) + log_a - np.log((8 if printed else 2) * n * (degree - 1))
    # The loss may be e^(−A): its logarithm leaves the floats where log A > 709, as minus infinity, and rightly so.
    with np.errstate(over="ignore"):
        early = initial - np.exp(rate + _log_one_minus_exp(elapsed))
    late = initial + 2 * (np.log((4 if printed else 2) * n * degree / nu) - log_a + elapsed)
    return LogLossBound(np.asarray(np.maximum(early, late)), *np.broadcast_arrays(early, late))


def log_drift_order(
    times: ArrayLike, log_alpha: ArrayLike, weight_decay: ArrayLike, degree: int, loss: str = "exponential"
) -> Floats:
    """The order of log ‖δ‖ in the kernel phase: how far the direction of the parameters has moved.

        exponential (C.5): ‖δ‖ = O(α^(−L) log A) e^(Lλt)        squared (D.2): ‖δ‖ = O(α^(−L)) e^(Lλt)

    The constants are not given by the lemmas. h = s^L δ tends to (log(1/𝓛)/γ) h* for the exponential loss and to the
    solution of (K2) for the squared one, whose norms are the leading constants. The relative error of linearising in h
    has the same order (C.6, D.4).

    Args:
        times, log_alpha, weight_decay, degree: as for `exponential_loss_upper_bound`; A > 1 for this loss.
        loss: "exponential" or "squared".

    Returns:
        L(λt − log α), plus log log A for the exponential loss, broadcast.

    Raises:
        ValueError: if an argument is out of range, or the loss unknown.
    """
    if loss not in ("exponential", "squared"):
        raise ValueError(f"loss must be exponential or squared, got {loss!r}")
    elapsed, log_a = _clock(times, log_alpha, weight_decay, degree)
    order = degree * (elapsed / (2 * (degree - 1)) - np.asarray(log_alpha, float))
    if loss == "squared":
        return np.asarray(order)
    if np.any(log_a <= 0):
        raise ValueError("log_alpha and weight_decay must satisfy α^(2(L−1))/λ > 1, or there is no kernel phase")
    return np.asarray(order + np.log(log_a))


def normaliser(
    log_alpha: ArrayLike,
    weight_decay: ArrayLike,
    margin: ArrayLike,
    c: ArrayLike,
    degree: int,
    *,
    printed: bool = False,
) -> Floats:
    """Z(α) = (1/γ) log(α^(2(L−1)c)/λ), by which theorem 3.4 divides the outputs at T_c^−.

    There s = α^c, so that the loss is of the order λ/s^(2(L−1)) and the margins, γ‖h‖, are its logarithm.

    Args:
        log_alpha: log of the initial scale α.
        weight_decay: λ > 0.
        margin: γ_ntk > 0.
        c: 0 < c < 1.
        degree: L ≥ 2.
        printed: (1/γ) log(α^c/λ) as in the theorem, which its proof does not give.

    Returns:
        Z, broadcast; f/Z → ⟨∇f(θ̄), h*⟩ as α → ∞, with relative corrections of order log log α/log α.

    Raises:
        ValueError: if an argument is out of range.
    """
    check_degree(degree)
    (log_alpha,) = finite(log_alpha=log_alpha)
    decay, gamma, c = positive(weight_decay=weight_decay, margin=margin, c=c)
    if np.any(c >= 1):
        raise ValueError(f"c must lie strictly between 0 and 1, got {c[c >= 1][0]}")
    return np.asarray(((1 if printed else 2 * (degree - 1)) * c * log_alpha - np.log(decay)) / gamma)


def log_late_exponential_loss(log_scale: ArrayLike, weight_decay: ArrayLike, margin: ArrayLike, degree: int) -> Floats:
    """log 𝓛 late in the kernel phase, where 𝓛 = λL log(1/𝓛)/(γ² s^(2(L−1))): growth of the margins balances decay.

    It is −q of `time_scales.kernel_phase_margin`, for scales beyond floating point too. Exact for one sample up to
    the lag of the flow behind the balance, 2(L−1)/(L log(1/𝓛)); with more, 𝓛 is that of the samples on the margin.

    Args:
        log_scale: log s = log α − λt.
        weight_decay: λ > 0.
        margin: γ_ntk > 0.
        degree: L ≥ 2.

    Returns:
        log 𝓛 ≤ 0, broadcast.

    Raises:
        ValueError: if an argument is out of range.
    """
    check_degree(degree)
    (log_scale,) = finite(log_scale=log_scale)
    decay, gamma = positive(weight_decay=weight_decay, margin=margin)
    return np.asarray(-log_inverse_xlogx(2 * np.log(gamma) + 2 * (degree - 1) * log_scale - np.log(decay * degree)))


def late_squared_loss(
    gram: ArrayLike, targets: ArrayLike, scale: ArrayLike, weight_decay: ArrayLike, degree: int
) -> Floats:
    """𝓛 late in the kernel phase, where the residual f − y is slaved to the decay.

    Outputs obey f' = −(2/n) s^(2(L−1)) K (f − y) − λL f. Once the fit is done f ≈ y, and the two terms cancel:

        f − y = −(nλL/2) s^(−2(L−1)) K⁺y,        𝓛 = (n λ²L²/4) s^(−4(L−1)) ‖K⁺y‖²

    up to a relative error of order nλ s^(−2(L−1))/ν, and what the drift of the features adds to K.

    Args:
        gram: (n, n), K, of the features at θ̄.
        targets: (n,), real, in the range of K.
        scale: s = α e^(−λt) > 0, any shape.
        weight_decay: λ > 0.
        degree: L ≥ 2.

    Returns:
        Losses, of the shape of scale and weight_decay together.

    Raises:
        ValueError: if an argument is out of range, or no interpolant exists.

    References:
        Derived here; Lyu et al., arXiv 2311.18817, lemma D.1, has the order.
    """
    (s,) = positive(scale=scale)
    return np.asarray(np.exp(log_late_squared_loss(gram, targets, np.log(s), weight_decay, degree)))


def log_late_squared_loss(
    gram: ArrayLike, targets: ArrayLike, log_scale: ArrayLike, weight_decay: ArrayLike, degree: int
) -> Floats:
    """log of `late_squared_loss` from log s, for scales beyond floating point; −inf where the targets are 0.

    Raises:
        ValueError: if an argument is out of range, or no interpolant exists.
    """
    check_degree(degree)
    (log_scale,) = finite(log_scale=log_scale)
    (decay,) = positive(weight_decay=weight_decay)
    interpolant = min_norm.kernel(gram, targets)
    if interpolant.status == "infeasible":
        raise ValueError(f"targets must lie in the range of gram, got {interpolant.residual} outside it")
    square = np.sum(interpolant.coefficients**2)
    with np.errstate(divide="ignore"):
        constant = np.log(len(interpolant.coefficients) / 4 * square)
    return np.asarray(constant + 2 * np.log(decay * degree) - 4 * (degree - 1) * log_scale)


def _clock(times: ArrayLike, log_alpha: ArrayLike, weight_decay: ArrayLike, degree: int, **others: ArrayLike):
    """2(L−1)λt, log A and the other arguments, all checked."""
    check_degree(degree)
    times, log_alpha = finite(times=times, log_alpha=log_alpha)
    if np.any(times < 0):
        raise ValueError(f"times must not be negative, got {times[times < 0][0]}")
    decay, *rest = positive(weight_decay=weight_decay, **others)
    return [2 * (degree - 1) * decay * times, 2 * (degree - 1) * log_alpha - np.log(decay), *rest]


def _log_one_minus_exp(elapsed: ArrayLike) -> Floats:
    """log(1 − e^(−x)); −inf at 0, where nothing has been fitted yet."""
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(-np.expm1(-np.asarray(elapsed))))
