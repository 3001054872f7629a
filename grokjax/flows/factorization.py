"""The exact reduction of matrix factorisation W = UUᵀ − VVᵀ: integrate what training adds to the Gram matrices.

With G the symmetric part of ∂𝓛/∂W the gradient flow reads U' = −2GU − λU, V' = +2GV − λV, so that the two Gram
matrices close on themselves, whatever U and V are. Their start decays, C± e^(−2λt), and what is added to it,

    UUᵀ = C₊ e^(−2λt) + M₊,    VVᵀ = C₋ e^(−2λt) + M₋,    M±' = ∓2(G·Gram± + Gram±·G) − 2λM±,    M±(0) = 0,

is of the size of W itself: from U = V = αI the parameters are α and W is the small difference of two numbers near
α², of which a float64 keeps no digit beyond α = 1e8; here W = M₊ − M₋, to all digits, up to α = 1e150. What remains is
stiffness: in the kernel phase G relaxes at the rate 8α² e^(−2λt)/n.

References:
    Lyu et al., arXiv 2311.18817, section 3.3 and objective (5); the reduction is derived here and checked in
    `tests/agreement/test_factorization_reduction.py` against the flow of all parameters.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float, Int

from grokjax._checks import Scalar, check_finite, check_pairs, is_concrete
from grokjax._functions import as_partial
from grokjax.flows.field import Flow, checked_weight_decay
from grokjax.flows.tree import tree_norm
from grokjax.losses import Loss, squared

__all__ = ["FactorizationPoint", "factorization_flow"]


class FactorizationPoint(NamedTuple):
    """A factorised matrix on its exact trajectory.

    Attributes:
        weights: W = UUᵀ − VVᵀ, (d, d).
        norm: ‖θ‖ = √(‖U‖² + ‖V‖²).
    """

    weights: Float[Array, "d d"]
    norm: Float[Array, ""]


def factorization_flow(
    indices: Int[Array, "n 2"],
    values: Float[Array, " n"],
    u: Float[Array, "d r"],
    v: Float[Array, "d r"],
    *,
    weight_decay: Scalar = 0.0,
    loss: Loss = squared,
) -> tuple[Flow, tuple[Array, Array]]:
    """The flow of W = UUᵀ − VVᵀ fitted to observed entries, in the increments of the two Gram matrices.

    Args:
        indices: (n, 2), row and column of each observed entry, from 0.
        values: (n,), the observed numbers.
        u: U at the start, (d, r), such as αI.
        v: V at the start, (d, r).
        weight_decay: λ ≥ 0, in units of 1/time.
        loss: a `Loss`; its mean over the observed entries is descended.

    Returns:
        `(flow, initial)` for `solve`. The initial state is a pair of zero matrices; the flow decodes it to a
        `FactorizationPoint`.

    Raises:
        ValueError: if shapes do not match, nothing is observed, an index is out of range, or numbers are not finite.
    """
    if jnp.ndim(indices) != 2 or indices.shape[1] != 2:
        raise ValueError(f"indices must have shape (n, 2), got {jnp.shape(indices)}")
    check_pairs(indices, values)
    if jnp.ndim(u) != 2 or jnp.ndim(v) != 2 or len(u) != len(v):
        raise ValueError(f"u and v must be matrices with d rows each, got shapes {jnp.shape(u)} and {jnp.shape(v)}")
    size = len(u)
    # In NumPy, because under jit JAX traces what it does even to constants.
    if is_concrete(indices) and not np.all((np.asarray(indices) >= 0) & (np.asarray(indices) < size)):
        raise ValueError(f"indices must lie in 0..{size - 1}, got {np.min(indices)}..{np.max(indices)}")
    for name, array in (("values", values), ("u", u), ("v", v)):
        check_finite(name, array)
    starts = u.astype(float) @ u.T.astype(float), v.astype(float) @ v.T.astype(float)
    # W(0) by itself, so that equal starts leave exactly nothing.
    difference = starts[0] - starts[1]
    decay = checked_weight_decay(weight_decay)
    flow = Flow(
        Partial(_field, as_partial(loss.value), (indices, jnp.asarray(values, float)), starts, difference, decay),
        Partial(_point, starts, difference, decay),
        Partial(tree_norm),
    )
    zero = jnp.zeros((size, size))
    return flow, (zero, zero)


def _weights(difference, decay, t, state):
    return jnp.exp(-2 * decay * t) * difference + (state[0] - state[1])


def _field(value, data, starts, difference, decay, t, state):
    indices, values = data
    weights = _weights(difference, decay, t, state)
    rows, columns = indices[:, 0], indices[:, 1]
    slopes = jax.vmap(jax.grad(value))(weights[rows, columns], values) / values.size
    gradient = jnp.zeros_like(weights).at[rows, columns].add(slopes)
    gradient = 0.5 * (gradient + gradient.T)
    shrunk = jnp.exp(-2 * decay * t)

    def increment(sign, start, added):
        product = gradient @ (shrunk * start + added)
        return sign * 2 * (product + product.T) - 2 * decay * added

    return increment(-1, starts[0], state[0]), increment(1, starts[1], state[1])


def _point(starts, difference, decay, t, state):
    traces = jnp.exp(-2 * decay * t) * (jnp.trace(starts[0]) + jnp.trace(starts[1])) + jnp.trace(state[0] + state[1])
    return FactorizationPoint(_weights(difference, decay, t, state), jnp.sqrt(traces))
