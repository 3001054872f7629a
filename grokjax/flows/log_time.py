"""The flow without weight decay, followed through times like 10^(10^4).

Without decay the loss of a homogeneous classifier falls for ever, 𝓛 ≈ 1/t up to logarithms, and everything that
happens, happens in log t. Neither 𝓛 nor t needs to fit a float64 if the flow is followed in the variable s that
makes log 𝓛 descend at the natural pace,

    dt/ds = 1/𝓛:    dθ/ds = −∇𝓛/𝓛 = −∇ log 𝓛,    d log t/ds = e^(−log 𝓛 − log t)

θ passes the same points as in θ' = −∇𝓛; s only says when. Late in training of a model of degree L the margin grows
like e^(cs) for L = 2 and in finite s for L > 2.

References:
    Lyu et al., arXiv 2311.18817, figure 4, where the learning rate η/𝓛 does in steps what s does here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array, Float, PyTree

from grokjax._checks import Scalar, check_positive
from grokjax._functions import as_partial
from grokjax.flows.field import Flow
from grokjax.flows.tree import tree_as_float, tree_norm

__all__ = ["LogTimePoint", "log_time_flow"]


class LogTimePoint(NamedTuple):
    """Parameters on the flow, and the natural logarithm of the flow time at which they are reached."""

    params: PyTree
    log_time: Float[Array, ""]


def log_time_flow(
    log_objective: Callable[[PyTree], Array],
    params: PyTree,
    start_time: Scalar = 1.0,
    *,
    size: Callable[[PyTree], Array] = tree_norm,
) -> tuple[Flow, LogTimePoint]:
    """The gradient flow θ' = −∇𝓛 of a positive loss, in a time that neither loss nor flow time bounds.

    Args:
        log_objective: log 𝓛, `params -> scalar`; `losses.log_empirical_risk` makes one that outlives 𝓛 itself.
        params: θ at the start.
        start_time: t > 0 at the start.
        size: `params -> scalar`, what the tolerance `rtol` of `solve` is relative to, as for `gradient_flow`.

    Returns:
        `(flow, initial)` for `solve`, whose `times` are then readings of s. The flow decodes its state to a
        `LogTimePoint`.

    Raises:
        ValueError: if the objective cannot be called, or the start time is not positive and finite.
    """
    if not callable(log_objective):
        raise ValueError(f"log_objective must be callable as log_objective(params), got {type(log_objective).__name__}")
    check_positive("start_time", start_time)
    initial = LogTimePoint(tree_as_float(params), jnp.log(jnp.asarray(start_time, float)))
    return Flow(
        Partial(_field, as_partial(log_objective)), Partial(_point), Partial(_parameter_size, as_partial(size))
    ), initial


def _field(log_objective, s, point):
    del s
    value, gradient = jax.value_and_grad(log_objective)(point.params)
    pace = jnp.exp(-value - point.log_time)
    return LogTimePoint(jax.tree.map(jnp.negative, gradient), pace)


def _point(s, point):
    del s
    return point


def _parameter_size(size, point):
    return size(point.params)
