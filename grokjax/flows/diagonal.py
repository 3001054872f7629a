"""The exact reduction of diagonal networks: integrate one coordinate instead of two, without losing a digit.

With w = u^L − v^L, f_i = ⟨w, x_i⟩ and G = Xᵀg, g_i = (1/n) ∂ℓ/∂f(f_i, y_i), the gradient flow reads
u' = −L u^(L−1) G − λu, v' = +L v^(L−1) G − λv. From a symmetric start u = v = a every coordinate has one degree of
freedom left, the log-ratio r = log(u/v), and one conserved law. With s = a e^(−λt) and ζ = (L − 2) r/2:

    L = 2:  uv = s²,                                 r' = −4 G
    L > 2:  u^(2−L) + v^(2−L) = 2 s^(2−L),           r' = −2L s^(L−2) cosh²ζ · G
    w = 2 s^L cosh(ζ)^(L/(L−2)) sinh(Lr/2)           (the middle factor is 1 for L = 2)

For L = 2 the right-hand side lies in the span of the inputs, so that r = 4Xᵀq with q' = −g: n numbers instead of 2d.
For L > 2 the discounted integral Q = ∫ e^(−(L−2)λt)(−g) dt determines u and v in the same way, u^(2−L) =
e^((L−2)λt)(a^(2−L) − L(L−2)XᵀQ), but late in training that difference is smaller than its terms by (s/u)^(L−2): after
the switch Q loses all digits of the coordinates that matter, and no step control sees it. There the d numbers r
themselves are integrated.

A relative error ε of w is an error ε of r where |r| ≥ 1 and εr where |r| ≤ 1; the flow's `size` says so to the step
control.

Neither form takes the difference of exponentials, and log a is all that is kept of the scale. What remains is the range
of float64 itself: the first transient lasts about 1/a^(2L−2), which must not underflow (a up to 1e140, 1e70, 1e45 for
L = 2, 3, 4). The state of L = 2 is a²q where a > 1, which keeps it of the order of w.

References:
    Lyu et al., arXiv 2311.18817, section 3.2.2; the identities are derived here and checked in
    `tests/agreement/test_diagonal_reduction.py` against the flow of all 2d parameters.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array, Float, Shaped

from grokjax._checks import Scalar, check_depth, check_finite, check_pairs, check_positive
from grokjax._functions import as_partial
from grokjax.flows.field import Flow, checked_weight_decay
from grokjax.flows.tree import tree_norm
from grokjax.losses import Loss, logistic

__all__ = ["DiagonalPoint", "diagonal_flow"]


class DiagonalPoint(NamedTuple):
    """A diagonal network on its exact trajectory. What is not used costs nothing under jit.

    Attributes:
        weights: w = u^L − v^L, (d,); exact where u and v agree to all digits.
        u, v: (d,), float64; infinite where a float64 cannot hold them.
        norm: ‖θ‖ = √(‖u‖² + ‖v‖²).
    """

    weights: Float[Array, " d"]
    u: Float[Array, " d"]
    v: Float[Array, " d"]
    norm: Float[Array, ""]


def diagonal_flow(
    inputs: Shaped[Array, "n d"],
    labels: Shaped[Array, " n"],
    *,
    depth: int = 2,
    initial_norm: Scalar,
    weight_decay: Scalar = 0.0,
    loss: Loss = logistic,
) -> tuple[Flow, Array]:
    """The flow of a diagonal network from the symmetric start, in its reduced coordinate.

    Args:
        inputs: (n, d). Products with them are taken in their own precision: float32 halves the cost, and limits the
            accuracy to about 1e-6.
        labels: (n,), ±1 for classification, real for the squared loss.
        depth: L, an integer of at least 2.
        initial_norm: ‖θ(0)‖ > 0, the norm of u and v together, so that each coordinate starts at a = ‖θ(0)‖/√(2d).
        weight_decay: λ ≥ 0, in units of 1/time.
        loss: a `Loss`; its mean over samples is descended.

    Returns:
        `(flow, initial)` for `solve`. The initial state is zero, of shape (n,) for L = 2 and (d,) for L > 2; the flow
        decodes it to a `DiagonalPoint`.

    Raises:
        ValueError: if shapes do not match, there is no sample, numbers are not finite, or an argument is out of range.
    """
    check_depth(depth)
    if jnp.ndim(inputs) != 2:
        raise ValueError(f"inputs must have shape (n, d), got {jnp.shape(inputs)}")
    check_pairs(inputs, labels)
    check_finite("inputs", inputs)
    check_finite("labels", labels)
    check_positive("initial_norm", initial_norm)
    n, d = inputs.shape
    inputs = inputs if jnp.issubdtype(inputs.dtype, jnp.floating) else inputs.astype(jnp.float32)
    log_scale = jnp.log(jnp.asarray(initial_norm, float)) - 0.5 * math.log(2 * d)
    decay = checked_weight_decay(weight_decay)
    data = inputs, jnp.asarray(labels, float)
    if depth == 2:
        field, decode, length = _sample_field, _sample_point, n
        # |r_k| ≤ 4‖x_(·k)‖‖q‖: the largest column norm turns a tolerance on r into one on q.
        columns = jnp.sqrt(jnp.max(jnp.sum(jnp.square(inputs), axis=0))).astype(float)
        limit = jnp.exp(jnp.maximum(2 * log_scale, 0)) / (4 * columns)
    else:
        exponent = jnp.asarray(depth, float)
        field, decode, length = Partial(_ratio_field, exponent), Partial(_ratio_point, exponent), d
        limit = jnp.ones(())
    flow = Flow(
        Partial(field, as_partial(loss.value), data, log_scale, decay),
        Partial(decode, inputs, log_scale, decay),
        Partial(_limited_norm, limit),
    )
    return flow, jnp.zeros(length)


def _limited_norm(limit, state):
    """What errors are relative to: the state in the kernel phase, and 1 in the log-ratio r where that is larger."""
    return jnp.minimum(tree_norm(state), limit)


def _descent(value, labels, outputs):
    """−(1/n) ∂ℓ/∂f for each sample."""
    return -jax.vmap(jax.grad(value))(outputs, labels) / labels.size


def _contract(inputs, weights):
    return jnp.dot(inputs, weights.astype(inputs.dtype)).astype(float)


def _sample_weights(inputs, log_scale, decay, t, state):
    """w = 2s² sinh(r) and |r|, for L = 2, from r = 4Xᵀq; relative accuracy for every size of r, s and the scale.

    With e^c = s², 2e^c sinh r = 2(e^c r) · e^|r| · (1 − e^(−2|r|))/(2|r|). The product e^c q is formed before it is
    rounded to the inputs' precision, so that r may underflow there, and e^c need not fit.
    """
    dtype = inputs.dtype
    log_square = 2 * (log_scale - decay * t)
    log_unit = jnp.maximum(2 * log_scale, 0)  # the state is q·e^log_unit
    log_factor = jnp.maximum(log_square, 0)
    scaled = 4 * jnp.dot((jnp.exp(log_factor - log_unit) * state).astype(dtype), inputs)  # r·e^log_factor
    ratio = jnp.abs(scaled) * jnp.exp(-log_factor).astype(dtype)
    weights = 2 * scaled * _saturation(2 * ratio) * jnp.exp(jnp.minimum(log_square, 0).astype(dtype) + ratio)
    return weights, jnp.copysign(ratio, scaled)


def _saturation(x):
    """(1 − e^(−x))/x for x ≥ 0; the series keeps the derivative finite where x² underflows."""
    small = x < 1e-5
    safe = jnp.where(small, 1, x)
    return jnp.where(small, 1 - x / 2 + jnp.square(jnp.where(small, x, 0)) / 6, -jnp.expm1(-safe) / safe)


def _sample_field(value, data, log_scale, decay, t, state):
    inputs, labels = data
    weights, _ = _sample_weights(inputs, log_scale, decay, t, state)
    return jnp.exp(jnp.maximum(2 * log_scale, 0)) * _descent(value, labels, _contract(inputs, weights))


def _sample_point(inputs, log_scale, decay, t, state):
    weights, ratio = _sample_weights(inputs, log_scale, decay, t, state)
    return _point(weights, ratio.astype(float), jnp.zeros(()), log_scale - decay * t)


def _ratio_weights(depth, log_size, ratio):
    """w for L > 2, as sign·exp(log |w|) with log 2sinh(x) = x + log(1 − e^(−2x))."""
    log_cosh = _log_cosh((depth - 2) / 2 * ratio)
    x = depth / 2 * jnp.abs(ratio)
    positive = jnp.where(x > 0, x, 1)
    log_sinh = positive + jnp.log(-jnp.expm1(-2 * positive))
    magnitude = jnp.exp(depth * log_size + depth / (depth - 2) * log_cosh + log_sinh)
    return jnp.where(x > 0, jnp.sign(ratio) * magnitude, 0)


def _ratio_field(depth, value, data, log_scale, decay, t, ratio):
    inputs, labels = data
    log_size = log_scale - decay * t
    weights = _ratio_weights(depth, log_size, ratio)
    descent = _descent(value, labels, _contract(inputs, weights))
    force = jnp.dot(descent.astype(inputs.dtype), inputs).astype(float)
    log_gain = (depth - 2) * log_size + 2 * _log_cosh((depth - 2) / 2 * ratio)
    return 2 * depth * jnp.exp(log_gain) * force


def _ratio_point(depth, inputs, log_scale, decay, t, ratio):
    del inputs
    log_size = log_scale - decay * t
    log_tilt = _log_cosh((depth - 2) / 2 * ratio) / (depth - 2)
    return _point(_ratio_weights(depth, log_size, ratio), ratio, log_tilt, log_size)


def _point(weights, ratio, log_tilt, log_size):
    """u, v = s·e^(tilt ± r/2), and the norm without squaring what may not fit."""
    log_u, log_v = log_size + log_tilt + ratio / 2, log_size + log_tilt - ratio / 2
    log_norm = 0.5 * jax.nn.logsumexp(2 * jnp.concatenate([log_u, log_v]))
    return DiagonalPoint(weights, jnp.exp(log_u), jnp.exp(log_v), jnp.exp(log_norm))


def _log_cosh(x):
    return jnp.logaddexp(x, -x) - math.log(2)
