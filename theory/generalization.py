"""Bounds on what the early and the late predictor get wrong, as formulas.

Sparse classification (x uniform on {±1}^d, labels sign⟨w*, x⟩ with k non-zero entries ±1 in w*): margin bounds for the
late L1 and the early L2 classifier. Matrix completion: how many entries, and how large an error, at the late minimum.
Label noise: the time scales of SGD with learning rate η on a diagonal net, a cited instance of the same dichotomy.

All are upper bounds or orders of magnitude. Where a theorem leaves its constant open, so does the function, which says
so; such numbers compare runs with each other, and do not bound any of them. Logarithms are natural.

References:
    Lyu et al., arXiv 2311.18817, theorems E.4, E.5, 3.12 and F.5 (after E. J. Candès and Y. Plan, Proc. IEEE 98
    (2010)), and theorem B.1 (after Z. Li, T. Wang and S. Arora, ICLR 2022).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import svd

from theory._checks import positive

__all__ = [
    "ErrorBound",
    "SampleRange",
    "coherence",
    "completion_error_bound",
    "completion_sample_size",
    "label_noise_sample_range",
    "label_noise_steps",
    "min_norm_population_loss",
    "sparse_l1_bound",
    "sparse_l1_sample_size",
    "sparse_l2_bound",
    "sparse_l2_sample_size",
]

Floats = NDArray[np.float64]


class ErrorBound(NamedTuple):
    """An upper bound on the test error, with its two terms.

    Attributes:
        bound: complexity + deviation.
        complexity: the term with the margin, from the Rademacher complexity of the class.
        deviation: 3√(log(2/δ)/(2n)), for the training set at hand.
        vacuous: where bound ≥ 1, which says nothing.
    """

    bound: Floats
    complexity: Floats
    deviation: Floats
    vacuous: NDArray[np.bool_]


class SampleRange(NamedTuple):
    """Sample sizes to which a theorem applies; empty where least > most."""

    least: Floats
    most: Floats


def sparse_l1_bound(
    samples: ArrayLike, dimension: ArrayLike, sparsity: ArrayLike, failure_probability: ArrayLike
) -> ErrorBound:
    """Theorem E.4: test error of the maximum L1-margin classifier on sparse data.

        4k √(2 log(2d)/n) + 3 √(log(2/δ)/(2n)),   so n = O(k² log d) samples do

    with probability at least 1 − δ over the training set. Values ≥ 1 are vacuous.

    Args:
        samples: n > 0.
        dimension: d ≥ k.
        sparsity: k ≥ 1, non-zeros of the teacher.
        failure_probability: 0 < δ < 1.

    Returns:
        A `ErrorBound`, its arrays broadcast.

    Raises:
        ValueError: if an argument is out of range.
    """
    n, d, k = _sparse_problem(samples, dimension, sparsity)
    return _bound(4 * k * np.sqrt(2 * np.log(2 * d) / n), n, failure_probability)


def sparse_l2_bound(
    samples: ArrayLike, dimension: ArrayLike, sparsity: ArrayLike, failure_probability: ArrayLike
) -> ErrorBound:
    """Theorem E.5: test error of the maximum L2-margin classifier on sparse data.

        4 √(kd/n) + 3 √(log(2/δ)/(2n)),   so n = O(kd) samples do

    An upper bound too: it does not prove that the L2 classifier fails with fewer. Values ≥ 1 are vacuous. Arguments,
    result and errors as for `sparse_l1_bound`.
    """
    n, d, k = _sparse_problem(samples, dimension, sparsity)
    return _bound(4 * np.sqrt(k * d / n), n, failure_probability)


def sparse_l1_sample_size(dimension: ArrayLike, sparsity: ArrayLike, target: ArrayLike) -> Floats:
    """n = 32 k² log(2d)/ε², from which the first term of theorem E.4 is at most ε.

    Args:
        dimension: d ≥ k.
        sparsity: k ≥ 1.
        target: ε > 0; below 1, or the bound is vacuous.

    Returns:
        Sample sizes, not rounded, broadcast.

    Raises:
        ValueError: if an argument is out of range.
    """
    target, d, k = _sparse_problem(target, dimension, sparsity, "target")
    return np.asarray(32 * k**2 * np.log(2 * d) / target**2)


def sparse_l2_sample_size(dimension: ArrayLike, sparsity: ArrayLike, target: ArrayLike) -> Floats:
    """n = 16 kd/ε², from which the first term of theorem E.5 is at most ε; as `sparse_l1_sample_size` otherwise."""
    target, d, k = _sparse_problem(target, dimension, sparsity, "target")
    return np.asarray(16 * k * d / target**2)


def coherence(factor: ArrayLike) -> float:
    """μ = d·max_i ‖V_i‖², V an orthonormal basis of the column space of a factor: its rows are at most √(μ/d) long.

    Between r, the rank, when all coordinates weigh the same, and d, when the space contains a coordinate axis.

    Args:
        factor: (d, r), whose columns span those of the symmetric matrix X*; X* itself will do.

    Returns:
        μ.

    Raises:
        ValueError: if the factor is not a matrix, not finite, or 0.

    References:
        Lyu et al., arXiv 2311.18817, theorem 3.12.
    """
    matrix = np.asarray(factor, float)
    if matrix.ndim != 2 or 0 in matrix.shape:
        raise ValueError(f"factor must have shape (d, r), got {matrix.shape}")
    if not np.all(np.isfinite(matrix)) or not np.any(matrix):
        raise ValueError("factor must be finite and not 0")
    factors: Any = svd(matrix, full_matrices=False)
    basis = factors[0][:, factors[1] > max(matrix.shape) * np.finfo(float).eps * factors[1][0]]
    return float(len(matrix) * np.max(np.sum(basis**2, axis=1)))


def completion_sample_size(size: ArrayLike, coherence: ArrayLike) -> Floats:
    """μ⁴ d log²d, the order of the number of entries that theorem 3.12 asks for.

    For bounded rank; the constant, and the dependence on the rank in it, are not given by the theorem. With fewer
    entries nothing is said: recovery is often seen, but not proved, far below.

    Args:
        size: d ≥ 2 of X* (d, d).
        coherence: μ ≥ 1, as `coherence` computes it.

    Returns:
        μ⁴ d log²d, broadcast.

    Raises:
        ValueError: if an argument is out of range.
    """
    d, mu = _completion(size, coherence)
    return np.asarray(mu**4 * d * np.log(d) ** 2)


def completion_error_bound(
    weight_decay: ArrayLike, nuclear_norm: ArrayLike, coherence: ArrayLike, size: ArrayLike
) -> Floats:
    """√(λ‖X*‖_*) μ² log d, the order of ‖W − X*‖_F in theorem 3.12, as t → ∞.

    The constant is not given by the theorem. Use it for the slope: half an order of magnitude per order of λ.

    Args:
        weight_decay: λ > 0.
        nuclear_norm: ‖X*‖_* > 0.
        coherence: μ ≥ 1.
        size: d ≥ 2.

    Returns:
        √(λ‖X*‖_*) μ² log d, broadcast.

    Raises:
        ValueError: if an argument is out of range.
    """
    d, mu = _completion(size, coherence)
    decay, norm = positive(weight_decay=weight_decay, nuclear_norm=nuclear_norm)
    return np.asarray(np.sqrt(decay * norm) * mu**2 * np.log(d))


def label_noise_steps(horizon: ArrayLike, learning_rate: ArrayLike, exponent: ArrayLike) -> Floats:
    """T/η^a, the steps of label-noise SGD in theorem B.1.

    For 1 < a < 2 the iterate is still the interpolant that gradient flow finds, with population loss Ω(‖w*‖²); for
    a = 2 it is an interpolant whose population loss → 0 as T grows. The two differ by a power of η, so that the
    transition is sharp in the logarithm of time only.

    Args:
        horizon: T > 0, a constant as η → 0.
        learning_rate: 0 < η < 1.
        exponent: 1 < a ≤ 2.

    Returns:
        Steps, broadcast.

    Raises:
        ValueError: if an argument is out of range.
    """
    horizon, rate, exponent = positive(horizon=horizon, learning_rate=learning_rate, exponent=exponent)
    if np.any(rate >= 1):
        raise ValueError(f"learning_rate must lie strictly between 0 and 1, got {rate[rate >= 1][0]}")
    wrong = (exponent <= 1) | (exponent > 2)
    if np.any(wrong):
        raise ValueError(f"exponent must be above 1 and at most 2, got {exponent[wrong][0]}")
    return np.asarray(horizon / rate**exponent)


def label_noise_sample_range(
    dimension: ArrayLike, sparsity: ArrayLike, least_constant: ArrayLike, gap_constant: ArrayLike
) -> SampleRange:
    """C₁κ log d ≤ n ≤ d(1 − C₂), the sample sizes of theorem B.1: enough to recover w*, too few to determine it.

    Args:
        dimension: d ≥ κ.
        sparsity: κ ≥ 1, non-zeros of w*.
        least_constant: C₁ > 0; the theorem asks that it be large enough and does not say how large.
        gap_constant: 0 < C₂ < 1, any.

    Returns:
        A `SampleRange`, broadcast.

    Raises:
        ValueError: if an argument is out of range.
    """
    least, d, k = _sparse_problem(least_constant, dimension, sparsity, "least_constant")
    (gap,) = positive(gap_constant=gap_constant)
    if np.any(gap >= 1):
        raise ValueError(f"gap_constant must lie strictly between 0 and 1, got {gap[gap >= 1][0]}")
    low, high = np.broadcast_arrays(least * k * np.log(d), d * (1 - gap))
    return SampleRange(low, high)


def min_norm_population_loss(samples: ArrayLike, dimension: ArrayLike, teacher_norm: ArrayLike) -> Floats:
    """(1 − n/d)‖w*‖², the mean population loss of the L2 interpolant of n ≤ d noiseless Gaussian samples.

    That interpolant (`min_norm.l2`) is where gradient flow from a large initialisation of the diagonal net stops. It
    is the projection of w* on the span of the inputs, a random n-dimensional subspace, and E⟨w − w*, x⟩² = ‖w − w*‖²
    for x ~ N(0, I). It puts a number to theorem B.1: n ≤ d(1 − C₂) gives at least C₂‖w*‖².

    Args:
        samples: 0 < n ≤ d.
        dimension: d.
        teacher_norm: ‖w*‖₂ > 0.

    Returns:
        Expected losses over the draw of the inputs, broadcast.

    Raises:
        ValueError: if an argument is out of range.

    References:
        Derived here, for the Ω(‖w*‖²) of Lyu et al., arXiv 2311.18817, theorem B.1.
    """
    n, d, norm = positive(samples=samples, dimension=dimension, teacher_norm=teacher_norm)
    if np.any(n > d):
        raise ValueError(f"samples must not exceed dimension, got {np.broadcast_arrays(n, d)[0][n > d][0]}")
    return np.asarray((1 - n / d) * norm**2)


def _bound(complexity: ArrayLike, n: ArrayLike, failure_probability: ArrayLike) -> ErrorBound:
    (delta,) = positive(failure_probability=failure_probability)
    if np.any(delta >= 1):
        raise ValueError(f"failure_probability must lie strictly between 0 and 1, got {delta[delta >= 1][0]}")
    complexity, deviation = np.broadcast_arrays(complexity, 3 * np.sqrt(np.log(2 / delta) / (2 * np.asarray(n))))
    total = np.asarray(complexity + deviation)
    return ErrorBound(total, complexity, deviation, np.asarray(total >= 1))


def _sparse_problem(
    first: ArrayLike, dimension: ArrayLike, sparsity: ArrayLike, name: str = "samples"
) -> tuple[Floats, Floats, Floats]:
    first, d, k = positive(**{name: first}, dimension=dimension, sparsity=sparsity)
    wrong = (k < 1) | (k > d)
    if np.any(wrong):
        raise ValueError(f"sparsity must lie between 1 and dimension, got {np.broadcast_arrays(k, d)[0][wrong][0]}")
    return first, d, k


def _completion(size: ArrayLike, coherence: ArrayLike) -> tuple[Floats, Floats]:
    d, mu = positive(size=size, coherence=coherence)
    if np.any(d < 2):
        raise ValueError(f"size must be at least 2, got {d[d < 2][0]}")
    if np.any(mu < 1):
        raise ValueError(f"coherence must be at least 1, got {mu[mu < 1][0]}")
    return d, mu
