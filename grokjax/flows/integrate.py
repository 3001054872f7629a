"""Integrate a flow: diffrax underneath, with recording, status and statistics per run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, ArrayLike, PyTree

from grokjax._checks import Scalar, is_concrete
from grokjax._recording import blank_unrecorded
from grokjax.flows.clock import Clock, flow_clock
from grokjax.flows.control import Metered, MeteredRKC2, Metering, NormwiseController, first_step, unmetered
from grokjax.flows.event import ending_event
from grokjax.flows.field import Flow
from grokjax.flows.rkc import MAX_STAGES, RKC2
from grokjax.flows.solution import Solution, Statistics, Status
from grokjax.flows.tree import tree_as_float, tree_norm

__all__ = ["solve"]

# What the choice of the first step costs: the field and one Jacobian-vector product.
_FIRST_STEP_EVALUATIONS = 2


def solve(
    flow: Flow,
    initial: PyTree,
    times: ArrayLike | Sequence[float],
    *,
    observe: Callable[[Array, Any], PyTree] | None = None,
    solver: diffrax.AbstractSolver | None = None,
    rtol: Scalar = 1e-6,
    atol: Scalar = 0.0,
    start: Scalar = 0.0,
    clock: Clock | None = None,
    event: Callable[[Array, Any], Array] | None = None,
    dense: bool = False,
    max_steps: int = 100_000,
    stepsize_controller: diffrax.AbstractStepSizeController | None = None,
    first_step_size: Scalar | None = None,
    progress: bool = False,
) -> Solution:
    """Integrate a flow from `initial` and record observables on the way.

    The whole run is one compiled program. It may be called under jit and vmap; data, λ and initial states are traced,
    so that only a new shape or a new `observe` compiles again. A run that fails says so in its status and leaves NaN
    where it recorded nothing; it raises nothing, and in a batch disturbs no other.

    Args:
        flow: a `Flow`.
        initial: state at `start`; for `gradient_flow` the parameters, in float64 for the stated tolerances.
        times: where to record, increasing, shape (T,); readings of the clock, which is flow time unless `clock` is
            given. The last one ends the run. Any number of them costs no extra step: between steps the solver's own
            dense output is used.
        observe: `(t, parameters) -> pytree of arrays`, with t in flow time; the default records all parameters.
        solver: any diffrax solver; `Tsit5()` by default. `RKC2()` for stiff flows of many dimensions, `stiff()` for
            few.
        rtol: error allowed per step, relative to the 2-norm of the whole state (for reduced states, to the flow's
            `size`).
        atol: error allowed in addition, in units of that norm. Implicit solvers need it positive.
        start: clock reading at which `initial` is given.
        clock: `scaled_clock`, `log_clock` or your own; `flow_clock()` by default.
        event: `(t, parameters) -> scalar`. A boolean ends the run after the step that makes it true; a real number
            ends it where it changes sign, located by bisection to the last digits of the time.
        dense: also return an interpolation of the whole trajectory of the state; costs `max_steps` states of memory.
        max_steps: attempts before the run gives up.
        stepsize_controller: a diffrax controller instead of the norm-wise one, which ignores `rtol` and `atol` then.
        first_step_size: in the clock's units; estimated from the field by default. Required by fixed-step controllers.
        progress: show a progress bar with the time left.

    Returns:
        A `Solution`.

    Raises:
        ValueError: for times that are empty, not finite, not increasing or before `start`; for rtol or atol that is
            negative or not finite, or both 0; for an implicit solver without atol.
    """
    if not isinstance(flow, Flow):
        raise ValueError(f"flow must be a Flow, as made by gradient_flow, got {type(flow).__name__}")
    solver = diffrax.Tsit5() if solver is None else solver
    initial = tree_as_float(initial)
    if not jax.tree.leaves(initial):
        raise ValueError("initial must hold at least one array")
    times = jnp.asarray(times, float)
    start = jnp.asarray(start, float)
    _check_times(times, start)
    _check_tolerances(solver, rtol, atol, stepsize_controller)
    if max_steps < 1:
        raise ValueError(f"max_steps must be at least 1, got {max_steps}")
    tolerances = jnp.asarray(rtol, float), jnp.asarray(atol, float)
    clock = flow_clock() if clock is None else clock
    step = None if first_step_size is None else jnp.asarray(first_step_size, float)
    meter = diffrax.TqdmProgressMeter() if progress else diffrax.NoProgressMeter()
    observe = _everything if observe is None else observe
    return _solve(
        flow,
        initial,
        times,
        start,
        observe,
        solver,
        tolerances,
        clock,
        event,
        dense,
        max_steps,
        stepsize_controller,
        step,
        meter,
    )


@eqx.filter_jit
def _solve(
    flow,
    initial,
    times,
    start,
    observe,
    solver,
    tolerances,
    clock,
    event,
    dense,
    max_steps,
    stepsize_controller,
    step,
    meter,
):
    def field(s, state):
        rate = clock.rate(s)
        return jax.tree.map(lambda x: rate.astype(x.dtype) * x, flow.vector_field(clock.time(s), state))

    # Outside jit bad times raise; here they can only be reported, and are replaced by some that the solver accepts.
    valid = jnp.all(jnp.diff(times) > 0) & (times[0] >= start) & jnp.all(jnp.isfinite(times))
    times = jnp.where(valid, times, start + jnp.arange(times.size, dtype=times.dtype))
    controller = (
        NormwiseController(rtol=tolerances[0], atol=tolerances[1], size=flow.size)
        if stepsize_controller is None
        else stepsize_controller
    )
    metered = type(solver) is RKC2
    stages, first_same_as_last = _stages(solver)
    evaluations = 0
    if step is None:
        step = first_step(field, start, times[-1], initial)
        evaluations = _FIRST_STEP_EVALUATIONS
    state = initial
    if metered:
        most = _most_stages(initial, tolerances[0]) if solver.max_stages is None else solver.max_stages
        solver, state = MeteredRKC2(most), Metered(initial, jnp.zeros(()))
    if metered or first_same_as_last:
        controller = Metering(controller)

    def vector_field(s, state, args):
        derivative = field(s, unmetered(state))
        return Metered(derivative, jnp.zeros(())) if metered else derivative

    def seen(function, s, state):
        t = clock.time(s)
        return function(t, flow.decode(t, unmetered(state)))

    at_times = diffrax.SubSaveAt(ts=times, fn=lambda s, state, args: jax.tree.map(jnp.asarray, seen(observe, s, state)))
    at_end = diffrax.SubSaveAt(t1=True, fn=lambda s, state, args: unmetered(state))
    # diffrax prepares integer observables with a NaN, about which NumPy warns; what is not recorded is blanked below.
    with np.errstate(invalid="ignore"):
        result: Any = diffrax.diffeqsolve(
            diffrax.ODETerm(vector_field),
            solver,
            t0=start,
            t1=times[-1],
            dt0=step,
            y0=state,
            saveat=diffrax.SaveAt(subs=[at_times, at_end], dense=dense, solver_state=metered, controller_state=True),
            stepsize_controller=controller,
            event=None if event is None else ending_event(partial(seen, event)),
            max_steps=max_steps,
            throw=False,
            progress_meter=meter,
        )
    (observed_times, end_times), (observed, end_states) = result.ts, result.ys
    recorded = jnp.isfinite(observed_times) & valid
    final_state = jax.tree.map(lambda x: x[0], end_states)
    control = result.controller_state
    if isinstance(controller, Metering):
        control, evaluations = control.inner, evaluations + control.spent
    if metered:
        evaluations += result.solver_state.evaluations
    elif stages:
        evaluations += stages * result.stats["num_steps"] + int(first_same_as_last)
    else:
        evaluations = jnp.asarray(-1)
    return Solution(
        times=times,
        observed=blank_unrecorded(observed, recorded),
        recorded=recorded,
        final_time=end_times[0],
        final_state=final_state,
        status=jnp.where(valid, _status(result.result, control, initial, final_state), int(Status.INVALID_TIMES)),
        statistics=Statistics(
            accepted=result.stats["num_accepted_steps"],
            rejected=result.stats["num_rejected_steps"],
            gradient_evaluations=evaluations,
        ),
        trajectory=Partial(_evaluate, flow, clock, result.interpolation) if dense else None,
    )


def _most_stages(state, rtol):
    """Where s² roundings inside a step of RKC2 are a tenth of the tolerance; its own default where rtol is 0."""
    rounding = max(float(jnp.finfo(x.dtype).eps) for x in jax.tree.leaves(state))
    return jnp.where(rtol > 0, jnp.sqrt(rtol / (10 * rounding)), MAX_STAGES)


def _evaluate(flow, clock, interpolation, reading):
    return flow.decode(clock.time(reading), unmetered(interpolation.evaluate(reading)))


def _stages(solver) -> tuple[int | None, bool]:
    """Evaluations of the field in each attempt, None where diffrax does not tell; whether the last serves the next."""
    tableau = getattr(solver, "tableau", None)
    if isinstance(solver, diffrax.Euler):
        return 1, False
    if not isinstance(tableau, diffrax.ButcherTableau) or tableau.implicit:
        return None, False
    return tableau.num_stages - tableau.fsal, tableau.fsal


def _status(result, control, initial, final_state) -> Array:
    last_attempt_nonfinite = getattr(control, "nonfinite", jnp.asarray(False))
    underflow = result == diffrax.RESULTS.dt_min_reached
    finite = jnp.isfinite(tree_norm(initial)) & jnp.isfinite(tree_norm(final_state))
    cases = [
        (~finite | (underflow & last_attempt_nonfinite), Status.DIVERGED),
        (underflow, Status.STEP_SIZE_UNDERFLOW),
        (result == diffrax.RESULTS.max_steps_reached, Status.MAX_STEPS),
        (result == diffrax.RESULTS.event_occurred, Status.EVENT),
        (result != diffrax.RESULTS.successful, Status.SOLVER_FAILED),
    ]
    return jnp.select([case for case, _ in cases], [jnp.asarray(int(s)) for _, s in cases], int(Status.SUCCESS))


def _everything(t, params):
    del t
    return params


def _check_times(times, start) -> None:
    if times.ndim != 1 or times.size == 0:
        raise ValueError(f"times must be a non-empty array of shape (T,), got shape {times.shape}")
    if not (is_concrete(times) and is_concrete(start)):
        return
    values = np.asarray(times)
    if not np.all(np.isfinite(values)):
        raise ValueError(f"times must be finite, got {values[~np.isfinite(values)][0]}")
    if np.any(np.diff(values) <= 0):
        i = int(np.argmax(np.diff(values) <= 0))
        raise ValueError(f"times must be increasing, got {values[i]} before {values[i + 1]}")
    if values[0] < float(start):
        raise ValueError(f"times must not lie before start = {float(start)}, got {values[0]}")


def _check_tolerances(solver, rtol, atol, stepsize_controller) -> None:
    if stepsize_controller is not None:
        return
    for name, value in (("rtol", rtol), ("atol", atol)):
        if isinstance(value, (int, float)) and not 0 <= value < float("inf"):
            raise ValueError(f"{name} must be finite and at least 0, got {value}")
    if isinstance(rtol, (int, float)) and isinstance(atol, (int, float)):
        if rtol == 0 and atol == 0:
            raise ValueError("rtol and atol must not both be 0")
        if atol == 0 and isinstance(solver, diffrax.AbstractImplicitSolver):
            raise ValueError(
                "atol must be positive with an implicit solver: it scales the root finder's residual; got 0"
            )
