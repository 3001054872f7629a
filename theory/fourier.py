"""The periodic solution of modular addition by a two-layer quadratic network, and how well it does at finite width.

With a_k = 2πσ_k/p, neuron k has the weights

    U_ki = A cos(a_k i + φ_k),  V_kj = A cos(a_k j + ψ_k),  W_qk = A cos(a_k q + φ_k + ψ_k)

with phases drawn at random, and the network is f_q(m, n) = Σ_k W_qk (U_km + V_kn)². Each term of the sum is A³ times
nine cosines, of which one, ½cos(a_k(m + n − q)), has no random phase. With every frequency equally often these add up
to A³(N/2)·1[q = m + n mod p], and so A³ = 2/N. The others have variance 1/2·(1² + 3·(1/2)² + 4·(1/4)²) = 1 together:
the mean squared distance from one-hot labels is A⁶N = 4/N. (Two of them, with phases ±(φ − ψ), are correlated; over all
frequencies that adds 1/16 to the variance at the right class and nothing elsewhere.) For subtraction the readout has
φ_k − ψ_k.

Erratum: the paper prints A = (2/N)^(−1/3) in equation 2, and needs A = (2/N)^(+1/3) in equation 6; its stored weights
have the latter.

References:
    Doshi et al., arXiv 2310.13061, section 2.1 and appendix; Gromov, arXiv 2301.02679.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

__all__ = [
    "PeriodicWeights",
    "accuracy_without_memorisation",
    "amplitude",
    "expected_accuracy",
    "expected_squared_error",
    "logits",
    "neuron_terms",
    "periodic_weights",
    "printed_amplitude",
]

Operation = Literal["add", "subtract"]
Floats = np.float64 | NDArray[np.float64]
_SIGNS = {"add": 1, "subtract": -1}


class PeriodicWeights(NamedTuple):
    """Weights of the periodic solution, a neuron along the last axis, and what they were made of.

    Attributes:
        left: Uᵀ, (p, N).
        right: Vᵀ, (p, N).
        readout: W, (p, N).
        frequencies: σ, (N,), from 0 to p − 1.
        phases: φ and ψ, (2, N), in (−π, π].
    """

    left: NDArray[np.float64]
    right: NDArray[np.float64]
    readout: NDArray[np.float64]
    frequencies: NDArray[np.int64]
    phases: NDArray[np.float64]


def amplitude(width: ArrayLike) -> Floats:
    """A = (2/N)^(1/3), with which the outputs at the right class have mean 1."""
    return np.cbrt(2 / _checked_width(width))


def printed_amplitude(width: ArrayLike) -> Floats:
    """(2/N)^(−1/3) as equation 2 prints it: its outputs are (N/2)² times too large."""
    return 1 / amplitude(width)


def periodic_weights(
    modulus: int, width: int, generator: np.random.Generator, operation: Operation = "add"
) -> PeriodicWeights:
    """Draw a periodic solution: frequencies dealt out evenly, phases independent and uniform.

    Args:
        modulus: p ≥ 2.
        width: N ≥ 1; with N below ⌈p/2⌉ some frequencies are missing.
        generator: of the frequencies' order and the phases.
        operation: "add" or "subtract".

    Returns:
        A `PeriodicWeights`.

    Raises:
        ValueError: for a modulus below 2, a width below 1, or an unknown operation.

    References:
        Doshi et al., arXiv 2310.13061, equation 2 with the amplitude of equation 6.
    """
    _check_modulus(modulus)
    sign, size = _sign(operation), amplitude(width)
    # Frequencies σ and p − σ are the same waves: a random deal modulo p has all of them as often as can be.
    frequencies = generator.permutation(width) % modulus
    phases = generator.uniform(-np.pi, np.pi, (2, width))
    angles = 2 * np.pi * np.outer(np.arange(modulus), frequencies) / modulus
    total = phases[0] + sign * phases[1]
    left, right, readout = (size * np.cos(angles + phase) for phase in (phases[0], phases[1], total))
    return PeriodicWeights(left, right, readout, frequencies, phases)


def logits(weights: PeriodicWeights, pairs: ArrayLike) -> NDArray[np.float64]:
    """f(m, n) = Σ_k W_k (U_km + V_kn)² for pairs (m, n) of shape (n, 2); shape (n, p)."""
    first, second = np.asarray(pairs).T
    return (weights.left[first] + weights.right[second]) ** 2 @ weights.readout.T


def neuron_terms(
    m: ArrayLike, n: ArrayLike, q: ArrayLike, angle: ArrayLike, first_phase: ArrayLike, second_phase: ArrayLike
) -> NDArray[np.float64]:
    """The nine cosines of W (U + V)²/A³ of one neuron for addition; the first is the one without a random phase.

    Args:
        m, n, q: operands and class; angle: 2πσ/p; first_phase, second_phase: φ and ψ. They broadcast.

    Returns:
        Shape (9, ...); amplitudes ½, 1, ½, ½, ½, ¼, ¼, ¼, ¼.
    """
    m, n, q, a, u, v = np.broadcast_arrays(m, n, q, angle, first_phase, second_phase)
    s = u + v
    return np.stack(
        [
            np.cos(a * (m + n - q)) / 2,
            np.cos(a * q + s),
            np.cos(a * (m + n + q) + 2 * s) / 2,
            np.cos(a * (m - n - q) - 2 * v) / 2,
            np.cos(a * (m - n + q) + 2 * u) / 2,
            np.cos(a * (2 * m - q) + u - v) / 4,
            np.cos(a * (2 * m + q) + 3 * u + v) / 4,
            np.cos(a * (2 * n - q) + v - u) / 4,
            np.cos(a * (2 * n + q) + 3 * v + u) / 4,
        ]
    )


def expected_squared_error(width: ArrayLike) -> Floats:
    """4/N: mean over classes and phases of the squared distance from one-hot labels, N a multiple of p.

    The output 0 has 1/p. At p = 97 and N = 500 the periodic solution is hardly better, 0.008 against 0.0103.
    """
    return 4 / _checked_width(width)


def expected_accuracy(modulus: int, width: ArrayLike) -> Floats:
    """Share of pairs whose right logit is the largest, if the noise of the p logits were independent and normal.

    E Φ(√N/2 + z)^(p−1) over a standard normal z. The true noise is a sum of a few hundred cosines, the same ones in all
    logits of a pair; the approximation is for widths well above p.

    Args:
        modulus: p ≥ 2.
        width: N ≥ 1.

    Returns:
        In the shape of the widths.

    Raises:
        ValueError: for a modulus below 2 or a width below 1.
    """
    _check_modulus(modulus)
    lead = np.sqrt(_checked_width(width)) / 2
    # Gauss–Hermite for the probabilists' weight: the integrand is smooth and between 0 and 1.
    z, weights = np.polynomial.hermite_e.hermegauss(101)
    power = special.ndtr(lead[..., None] + z) ** (modulus - 1)
    return power @ weights / weights.sum()


def accuracy_without_memorisation(corruption: ArrayLike, modulus: int) -> Floats:
    """(1 − ξ) + ξ/p: expected accuracy on training labels of a network that always gives the true result.

    Args:
        corruption: ξ in [0, 1], the share of labels replaced by uniform ones.
        modulus: p ≥ 2, the number of classes.

    Returns:
        In the shape of ξ.

    Raises:
        ValueError: for ξ outside [0, 1] or a modulus below 2.

    References:
        Doshi et al., arXiv 2310.13061, table 2, whose bound 1.05 − ξ leaves room for guessing.
    """
    _check_modulus(modulus)
    share = np.asarray(corruption, float)
    if not np.all((share >= 0) & (share <= 1)):
        raise ValueError(f"corruption must be between 0 and 1, got {corruption}")
    return 1 - share + share / modulus


def _checked_width(width: ArrayLike) -> NDArray[np.float64]:
    widths = np.asarray(width, float)
    if not np.all(widths >= 1):
        raise ValueError(f"width must be at least 1, got {width}")
    return widths


def _check_modulus(modulus: int) -> None:
    if modulus < 2:
        raise ValueError(f"modulus must be at least 2, got {modulus}")


def _sign(operation: str) -> int:
    if operation not in _SIGNS:
        raise ValueError(f'operation must be "add" or "subtract", got {operation!r}')
    return _SIGNS[operation]
