"""Plain gradient descent with a fixed step, to compare a flow with what papers run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, ArrayLike, PyTree

from grokjax._checks import Scalar, check_positive, check_steps
from grokjax._recording import blank_unrecorded
from grokjax.flows.field import Flow
from grokjax.flows.solution import Solution, Statistics, Status
from grokjax.flows.tree import tree_as_float, tree_norm

__all__ = ["gradient_descent"]


def gradient_descent(
    flow: Flow,
    initial: PyTree,
    steps: ArrayLike | Sequence[int],
    learning_rate: Scalar,
    *,
    observe: Callable[[Array, Any], PyTree] | None = None,
) -> Solution:
    """θ ← θ + η·field(θ): full-batch gradient descent with coupled weight decay, step η, no momentum.

    Step number k is at flow time t = kη. The whole run is one compiled program; the learning rate, λ and the data are
    traced.

    Args:
        flow: a `Flow`.
        initial: parameters before the first step.
        steps: numbers of steps after which to record, non-decreasing and non-negative, shape (T,); the last ends the
            run.
        learning_rate: η > 0, in units of flow time per step.
        observe: `(t, parameters) -> pytree of arrays`; the default records all parameters.

    Returns:
        A `Solution` with `times` = steps·η. Its status is `DIVERGED` if the parameters became non-finite, and nothing
        counts as recorded from then on.

    Raises:
        ValueError: for steps that are empty, negative or decreasing, or a learning rate that is not positive and
            finite.
    """
    counts = check_steps(steps, repeats=True)
    check_positive("learning_rate", learning_rate)
    initial = tree_as_float(initial)
    return _descend(flow, initial, jnp.asarray(counts), jnp.asarray(learning_rate, float), observe)


@eqx.filter_jit
def _descend(flow, initial, steps, learning_rate, observe):
    def time(k):
        return learning_rate * k.astype(learning_rate.dtype)

    def update(k, params):
        derivative = flow.vector_field(time(k), params)
        return jax.tree.map(lambda p, d: p + learning_rate.astype(p.dtype) * d, params, derivative)

    def record(carry, stop):
        done, params = carry
        params = lax.fori_loop(done, stop, update, params)
        decoded = flow.decode(time(stop), params)
        seen = decoded if observe is None else observe(time(stop), decoded)
        return (stop, params), (jax.tree.map(jnp.asarray, seen), jnp.isfinite(tree_norm(params)))

    (done, final), (observed, finite) = lax.scan(record, (jnp.zeros_like(steps[0]), initial), steps)
    return Solution(
        times=time(steps),
        observed=blank_unrecorded(observed, finite),
        recorded=finite,
        final_time=time(done),
        final_state=final,
        status=jnp.where(finite[-1], int(Status.SUCCESS), int(Status.DIVERGED)),
        statistics=Statistics(accepted=done, rejected=jnp.zeros_like(done), gradient_evaluations=done),
    )
