"""The vector field −∇(𝓛(θ) + (λ/2)‖θ‖²) as a value that can be passed to jit, vmap and the solvers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array, PyTree

from grokjax._checks import Scalar, is_concrete
from grokjax._functions import as_partial
from grokjax.flows.tree import tree_norm

__all__ = ["Flow", "gradient_flow"]


class Flow(NamedTuple):
    """An autonomous or time-dependent flow, state' = vector_field(t, state).

    Attributes:
        vector_field: `(t, state) -> derivative of the state in flow time`.
        decode: `(t, state) -> parameters`; the identity, unless the state is a reduced coordinate.
        size: `state -> scalar`, what the tolerance `rtol` is relative to; the 2-norm, unless the state is a reduced
            coordinate.

    All are pytrees, so that data and λ are traced and one compilation serves them all.
    """

    vector_field: Callable[[Array, PyTree], PyTree]
    decode: Callable[[Array, PyTree], Any]
    size: Callable[[PyTree], Array]


def gradient_flow(
    objective: Callable[[PyTree], Array],
    weight_decay: Scalar = 0.0,
    *,
    size: Callable[[PyTree], Array] = tree_norm,
) -> Flow:
    """The gradient flow θ' = −∇𝓛(θ) − λθ.

    Args:
        objective: 𝓛, `params -> scalar`; `losses.empirical_risk` makes one from a model and data.
        weight_decay: λ ≥ 0, in units of 1/time; it multiplies ‖θ‖²/2 (coupled decay, not AdamW's).
        size: `params -> scalar`, what the tolerance `rtol` of `solve` is relative to; the norm of all parameters. Where
            outputs hang on a layer much smaller than the others, as on a last layer that starts at zero, the norm of
            the smallest layer.

    Returns:
        A `Flow` whose state is the parameters themselves.

    Raises:
        ValueError: if `weight_decay` is negative or not finite.

    References:
        Lyu et al., arXiv 2311.18817, section 3.1.
    """
    if not callable(objective):
        raise ValueError(f"objective must be callable as objective(params), got {type(objective).__name__}")
    field = Partial(_descend, as_partial(objective), checked_weight_decay(weight_decay))
    return Flow(field, Partial(_identity), as_partial(size))


def checked_weight_decay(weight_decay: Scalar) -> Array:
    """λ as an array, so that a new value compiles nothing; a concrete λ must be finite and not negative."""
    if is_concrete(weight_decay):
        if jnp.ndim(weight_decay) != 0:
            raise ValueError(
                f"weight_decay must be a scalar, got shape {jnp.shape(weight_decay)}; vmap over several values"
            )
        if not 0 <= float(weight_decay) < math.inf:
            raise ValueError(f"weight_decay must be finite and at least 0, got {weight_decay}")
    return jnp.asarray(weight_decay, float)


def _descend(objective, weight_decay, t, params):
    del t
    gradient = jax.grad(objective)(params)
    return jax.tree.map(lambda g, p: -g - weight_decay.astype(p.dtype) * p, gradient, params)


def _identity(t, params):
    del t
    return params
