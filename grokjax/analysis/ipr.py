"""Inverse participation ratios: how periodic a neuron's weights are, and with which frequency and phase.

The ratio of a row x with Fourier magnitudes |x̃_j| is Σ|x̃_j|⁴/(Σ|x̃_j|²)². The real transform is used, the constant
part included, as published histograms do: a pure cosine has ratio 1, Gaussian rows of length 97 have about 0.04. With
the full transform, of which the paper quotes the range [1/p, 1], a cosine has 0.5 and Gaussian rows about 0.02.

References:
    Doshi et al., arXiv 2310.13061, section 2; Gromov, arXiv 2301.02679 (the phases).
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from grokjax.models.pair_network import PairParams

__all__ = ["NeuronWaves", "ipr", "network_ipr", "neuron_ipr", "neuron_waves"]

Transform = Literal["real", "full"]


class NeuronWaves(NamedTuple):
    """The strongest wave of each neuron, A cos(2πσi/p + φ) in each of its three rows.

    Attributes:
        frequency: σ, from 1 to ⌊p/2⌋: the strongest in the three power spectra together, the constant left out.
        phase: (3, width), φ of first operand, second operand and readout, in (−π, π].
        amplitude: (3, width), A.
        phase_sum: φ_u + φ_v − φ_w in [−π, π]; 0 for the analytic solution of addition.
    """

    frequency: Int[Array, " width"]
    phase: Float[Array, "3 width"]
    amplitude: Float[Array, "3 width"]
    phase_sum: Float[Array, " width"]


def ipr(weights: Float[Array, "... p"], transform: Transform = "real", order: int = 2) -> Float[Array, "..."]:
    """Inverse participation ratio of each row, (‖x̃‖_2r / ‖x̃‖₂)^2r.

    Args:
        weights: numbers of the operand or class along the last axis, p ≥ 2.
        transform: "real" for rfft, constant part included; "full" for all p frequencies.
        order: r ≥ 2.

    Returns:
        Ratios in (0, 1]; NaN for a row of zeros.

    Raises:
        ValueError: for rows shorter than 2, an unknown transform, or an order below 2.
    """
    if weights.ndim == 0 or weights.shape[-1] < 2:
        raise ValueError(f"weights must have rows of at least 2 numbers along the last axis, got shape {weights.shape}")
    if transform not in ("real", "full"):
        raise ValueError(f'transform must be "real" or "full", got {transform!r}')
    if order < 2:
        raise ValueError(f"order must be at least 2, got {order}")
    # A row is scaled first: fourth powers of small weights underflow in single precision.
    weights = weights / jnp.max(jnp.abs(weights), axis=-1, keepdims=True)
    power = jnp.abs((jnp.fft.rfft if transform == "real" else jnp.fft.fft)(weights)) ** 2
    return jnp.sum(power**order, axis=-1) / jnp.sum(power, axis=-1) ** order


def neuron_ipr(params: PairParams, transform: Transform = "real") -> Float[Array, " width"]:
    """Mean of the ratios of a neuron's three rows: both operands and the readout. Errors as `ipr`."""
    return jnp.mean(jnp.stack([ipr(rows.T, transform) for rows in params[:3]]), axis=0)


def network_ipr(params: PairParams, transform: Transform = "real") -> Float[Array, ""]:
    """Mean of `neuron_ipr` over the neurons."""
    return jnp.mean(neuron_ipr(params, transform))


def neuron_waves(params: PairParams) -> NeuronWaves:
    """Frequency, phases and amplitudes of each neuron.

    Args:
        params: with as many operands as classes, p ≥ 3.

    Returns:
        A `NeuronWaves`. For addition the analytic solution has φ_u + φ_v = φ_w at every neuron.

    Raises:
        ValueError: if operands and classes differ in number, or there are fewer than 3.

    References:
        Gromov, arXiv 2301.02679, equation for φ¹ + φ² = φ³; Doshi et al., appendix on the analytic solution.
    """
    p, classes = params.left.shape[0], params.readout.shape[0]
    if p != classes or p < 3:
        raise ValueError(f"params must have as many operands as classes, at least 3, got {p} and {classes}")
    transformed = jnp.stack([jnp.fft.rfft(rows, axis=0) for rows in params[:3]])
    # Each row counts alike, whatever its norm.
    power = jnp.abs(transformed[:, 1:]) ** 2
    share = jnp.sum(power / jnp.sum(power, axis=1, keepdims=True), axis=0)
    frequency = jnp.argmax(share, axis=0) + 1
    strongest = jnp.take_along_axis(transformed, frequency[None, None], axis=1)[:, 0]
    phase = jnp.angle(strongest)
    # At p/2, for even p, a cosine has no partner at −σ.
    half = (2 * frequency == p).astype(phase.dtype)
    amplitude = jnp.abs(strongest) * (2 - half)[None] / p
    total = phase[0] + phase[1] - phase[2]
    return NeuronWaves(frequency, phase, amplitude, total - 2 * jnp.pi * jnp.round(total / (2 * jnp.pi)))
