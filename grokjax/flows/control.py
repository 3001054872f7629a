"""Step-size control relative to the norm of the whole state, and the metering of refused steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import diffrax
import jax
import jax.numpy as jnp
import optimistix
from jaxtyping import Array

from grokjax.flows.rkc import RKC2
from grokjax.flows.tree import tree_norm

__all__ = ["Metered", "MeteredRKC2", "Metering", "NormwiseController", "first_step", "unmetered"]


class _ControlState(NamedTuple):
    pid: Any
    nonfinite: Array  # whether the last attempt left the finite numbers


class NormwiseController(diffrax.AbstractAdaptiveStepSizeController[_ControlState, Any]):
    """Accepts a step when ‖error‖ ≤ atol + rtol·size(state), in the 2-norm of the whole state, which is also the
    default size.

    Component-wise control would let one coordinate near zero dictate the step, and a state that starts at zero would
    need an absolute tolerance in units nobody knows; relative to the norm, a flow from scale 1e-60 or 1e30 is
    controlled alike. A step size that no longer moves the time ends the run.
    """

    rtol: Any
    atol: Any
    size: Callable[[Any], Array] = tree_norm
    # What diffrax hands on to the root finder of an implicit solver.
    norm: Any = optimistix.rms_norm
    pid: diffrax.PIDController = diffrax.PIDController(rtol=0, atol=1, norm=jnp.abs)

    def wrap(self, direction):
        return self

    def init(self, terms, t0, t1, y0, dt0, args, func, error_order):
        t1, pid_state = self.pid.init(terms, t0, t1, tree_norm(y0), dt0, args, func, error_order)
        return t1, _ControlState(pid_state, jnp.asarray(False))

    def adapt_step_size(self, t0, t1, y0, y1_candidate, args, y_error, error_order, controller_state):
        dtype = jnp.result_type(self.rtol)
        scale = self.atol + self.rtol * jnp.fmax(self.size(y0), self.size(y1_candidate)).astype(dtype)
        # A state that stays at zero has neither error nor scale.
        scaled = tree_norm(y_error).astype(dtype) / jnp.where(scale > 0, scale, jnp.finfo(dtype).tiny)
        finite = jnp.isfinite(tree_norm(y1_candidate)) & jnp.isfinite(scaled)
        scaled = jnp.where(finite, scaled, jnp.inf)
        keep, next_t0, next_t1, made_jump, pid_state, result = self.pid.adapt_step_size(
            t0, t1, jnp.zeros_like(scaled), jnp.zeros_like(scaled), args, scaled, error_order, controller_state.pid
        )
        # A refused step must become shorter, and still move the time; rounding can deny either.
        stuck = ~keep & ((next_t1 <= t0) | (next_t1 >= t1))
        result = diffrax.RESULTS.where(stuck, diffrax.RESULTS.dt_min_reached, result)
        return keep, next_t0, next_t1, made_jump, _ControlState(pid_state, ~finite), result


class Metered(NamedTuple):
    """A state with a slot, zero along the flow, through which an attempted step tells the controller what it cost."""

    state: Any
    spent: Array


class MeteredRKC2(RKC2):
    """RKC2 on a `Metered` state: the slot of the error estimate carries the evaluations of the step.

    diffrax forgets the solver's state when it refuses a step; the controller is the one place that sees every attempt.
    """

    def step(self, terms, t0, t1, y0, args, solver_state, made_jump):
        y1, error, dense, state, result = super().step(terms, t0, t1, y0, args, solver_state, made_jump)
        spent = (state.evaluations - solver_state.evaluations).astype(y0.spent.dtype)
        return y1, error._replace(spent=spent), dense, state, result


class _MeterState(NamedTuple):
    inner: Any
    started: Array  # whether a step has been accepted
    spent: Array  # evaluations on refused steps that a count of steps does not tell


class Metering(diffrax.AbstractStepSizeController[_MeterState, Any]):
    """Passes steps on to another controller and adds up what refused ones cost beyond their stages.

    Of `MeteredRKC2` that is the whole step. Of a first-same-as-last method it is the field at the start, which diffrax
    evaluates again in each attempt until one is accepted.
    """

    inner: Any

    def wrap(self, direction):
        return Metering(self.inner.wrap(direction))

    def init(self, terms, t0, t1, y0, dt0, args, func, error_order):
        t1, state = self.inner.init(terms, t0, t1, unmetered(y0), dt0, args, func, error_order)
        return t1, _MeterState(state, jnp.asarray(False), jnp.asarray(0))

    def adapt_step_size(self, t0, t1, y0, y1_candidate, args, y_error, error_order, controller_state):
        inner, started, spent = controller_state
        states = unmetered(y0), unmetered(y1_candidate), args, unmetered(y_error)
        keep, *times, inner, result = self.inner.adapt_step_size(t0, t1, *states, error_order, inner)
        cost = y_error.spent.astype(int) if isinstance(y_error, Metered) else jnp.where(started, 0, 1)
        return keep, *times, _MeterState(inner, started | keep, spent + jnp.where(keep, 0, cost)), result


def unmetered(state):
    """The state without its slot, if it has one."""
    return state.state if isinstance(state, Metered) else state


def first_step(field, start, stop, state) -> Array:
    """A first step of 1 % of the time in which the field changes by its own size, at a cost of two evaluations.

    Unlike the usual heuristics it needs no scale of the state, which may be zero, and none of time.
    """
    value, push_forward = jax.linearize(field, start, state)
    change = push_forward(jnp.ones_like(start), value)
    rate = (tree_norm(change) / tree_norm(value)).astype(start.dtype)
    interval = stop - start
    usable = (rate > 0) & jnp.isfinite(rate)
    return jnp.where(usable, jnp.minimum(0.01 / jnp.where(usable, rate, 1), interval), 1e-3 * interval)
