"""`solve`: limits and self-consistency, what ends a run, and that nothing compiles twice."""

from __future__ import annotations

import math

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from grokjax import flows, losses, models
from grokjax.flows import RKC2, Status, gradient_flow, solve
from grokjax.flows.field import Flow
from grokjax.flows.tree import tree_norm

Partial = jax.tree_util.Partial
MODEL = models.diagonal_linear(2)
SOLVERS = [diffrax.Tsit5(), RKC2()]
by_name = pytest.mark.parametrize("solver", SOLVERS, ids=["Tsit5", "RKC2"])


def itself(t, y):
    return y


def flow_of(field):
    return Flow(Partial(field), Partial(itself), Partial(tree_norm))


def problem(key, weight_decay=0.1, n=5, d=8):
    """A small diagonal network on random labelled points."""
    key_inputs, key_labels = jax.random.split(key)
    inputs = jax.random.normal(key_inputs, (n, d))
    labels = jnp.sign(jax.random.normal(key_labels, (n,)))
    return flows.gradient_flow(losses.empirical_risk(MODEL.apply, losses.logistic, inputs, labels), weight_decay)


def start(initial_norm=3.0, d=8):
    return MODEL.init(None, d, initial_norm)


def error(run, reference):
    """Largest distance of two recordings, relative to the norm of the second."""
    return float(tree_norm(jax.tree.map(jnp.subtract, run, reference)) / tree_norm(reference))


def test_only_decay_is_left_where_the_objective_is_constant():
    flow = flows.gradient_flow(Partial(lambda p: jnp.zeros(())), 0.5)
    run = solve(flow, jnp.asarray([3.0, -4.0]), [1.0, 2.0], rtol=1e-9)
    np.testing.assert_allclose(run.observed, np.exp([[-0.5], [-1.0]]) * [3.0, -4.0], rtol=1e-7)


@by_name
def test_a_time_at_the_start_records_the_initial_state(key, solver):
    run = solve(problem(key), start(), [0.0, 1.0], solver=solver)
    assert jax.tree.all(jax.tree.map(lambda x, y: bool(jnp.all(x[0] == y)), run.observed, start()))


@by_name
def test_many_times_are_those_taken_one_at_a_time_and_cost_no_step(key, solver):
    flow, times = problem(key), np.linspace(0.5, 20, 40)
    together = solve(flow, start(), times, solver=solver, rtol=1e-8)
    alone = solve(flow, start(), times[-1:], solver=solver, rtol=1e-8)
    assert int(together.statistics.accepted) == int(alone.statistics.accepted)
    for i in (0, 20):
        single = solve(flow, start(), times[i : i + 1], solver=solver, rtol=1e-8)
        got, expected = (
            jax.tree.map(lambda x, i=i: x[i], r) for r, i in ((together.observed, i), (single.observed, 0))
        )
        # Between steps the solver's interpolation is of lower order than its steps.
        assert error(got, expected) < 1e-5


@by_name
def test_a_restart_in_the_middle_changes_nothing(key, solver):
    flow = problem(key)
    whole = solve(flow, start(), [10.0], solver=solver, rtol=1e-8)
    half = solve(flow, start(), [4.0], solver=solver, rtol=1e-8)
    rest = solve(flow, half.final_state, [10.0], start=4.0, solver=solver, rtol=1e-8)
    # Either run errs by rtol a step.
    steps = int(whole.statistics.accepted) + int(half.statistics.accepted) + int(rest.statistics.accepted)
    assert error(rest.observed, whole.observed) < 1e-8 * steps


@by_name
def test_vmap_over_seeds_scales_and_decays_is_the_loop(solver):
    keys, norms, decays = (
        jax.random.split(jax.random.key(1), 3),
        jnp.asarray([1.0, 3.0, 9.0]),
        jnp.asarray([0.5, 0.1, 0.0]),
    )

    def run(key, norm, decay):
        return solve(problem(key, decay), start(norm), [1.0, 5.0], solver=solver, rtol=1e-6)

    batch = jax.jit(jax.vmap(run))(keys, norms, decays)
    assert batch.status.tolist() == [0, 0, 0]
    for i in range(3):
        alone = run(keys[i], norms[i], decays[i])
        assert int(batch.statistics.accepted[i]) == int(alone.statistics.accepted)
        assert error(jax.tree.map(lambda x, i=i: x[i], batch.observed), alone.observed) < 1e-10


def test_one_diverging_run_leaves_the_others_of_its_batch_alone():
    flow = flow_of(lambda t, y: y**2 - 1.5 * y)

    def run(initial):
        return solve(flow, initial, [0.1, 1.0, 30.0], rtol=1e-6)

    batch = jax.vmap(run)(jnp.asarray([1.0, 2.0, jnp.nan, 0.5]))
    underflow = [int(Status.STEP_SIZE_UNDERFLOW), int(Status.DIVERGED)]
    assert [int(batch.status[i]) for i in (0, 3)] == [0, 0]
    assert int(batch.status[1]) in underflow
    assert int(batch.status[2]) == Status.DIVERGED
    # 2 blows up at t = log(4)/1.5 = 0.92: recorded before, blank after.
    assert batch.recorded[1].tolist() == [True, False, False]
    assert np.isnan(batch.observed[1]).tolist() == [False, True, True]
    np.testing.assert_allclose(batch.observed[0], run(jnp.asarray(1.0)).observed, rtol=1e-12)
    assert abs(float(batch.final_time[1]) - np.log(4) / 1.5) < 1e-3


def test_a_run_out_of_steps_says_so_and_keeps_what_it_has(key):
    run = solve(problem(key), start(), [1e-3, 50.0], max_steps=10, rtol=1e-8)
    assert int(run.status) == Status.MAX_STEPS
    assert "max_steps" in Status(int(run.status)).message
    assert run.recorded.tolist() == [True, False]
    assert 1e-3 < float(run.final_time) < 50


def test_a_field_that_turns_into_nan_is_a_divergence():
    run = solve(flow_of(lambda t, y: jnp.where(t < 1, -y, jnp.nan)), jnp.ones(2), [0.5, 2.0])
    assert int(run.status) == Status.DIVERGED
    assert run.recorded.tolist() == [True, False]


@by_name
def test_a_boolean_event_ends_the_run_after_the_step_that_makes_it_true(solver):
    run = solve(flow_of(lambda t, y: -y), jnp.asarray(1.0), [0.1, 9.0], solver=solver, event=lambda t, y: y < 0.5)
    assert int(run.status) == Status.EVENT
    assert float(run.final_state) < 0.5
    assert run.recorded.tolist() == [True, False]


@by_name
@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_a_real_event_is_located_whatever_its_units_and_those_of_the_state(solver, scale):
    flow = flow_of(lambda t, y: -y)
    run = solve(
        flow, jnp.asarray(scale), [9.0], solver=solver, rtol=1e-9, event=lambda t, y: y - 0.5 * scale, max_steps=10**6
    )
    assert int(run.status) == Status.EVENT
    # Third-order interpolation within the step: its error is that of the step, and the slope at the crossing is ½.
    assert abs(float(run.final_time) - np.log(2)) < 1e-6


def test_events_in_a_batch_stop_only_their_own_run():
    def run(level):
        return solve(flow_of(lambda t, y: -y), jnp.asarray(1.0), [3.0], rtol=1e-9, event=lambda t, y: y - level)

    batch = jax.vmap(run)(jnp.asarray([0.5, 1e-9]))
    assert batch.status.tolist() == [int(Status.EVENT), int(Status.SUCCESS)]
    np.testing.assert_allclose(batch.final_time, [np.log(2), 3.0], atol=1e-6)


def test_clocks_change_the_readings_and_not_the_run(key):
    decay = 0.01
    flow, t = problem(key, decay), np.asarray([1.0, 30.0, 300.0])
    plain = solve(flow, start(), t, rtol=1e-8)
    scaled = solve(flow, start(), decay * t, clock=flows.scaled_clock(decay), rtol=1e-8)
    logged = solve(flow, start(), np.log1p(t / 0.3), clock=flows.log_clock(0.3), rtol=1e-8)
    for run in (scaled, logged):
        assert error(run.observed, plain.observed) < 1e-5
    seen = solve(flow, start(), decay * t, clock=flows.scaled_clock(decay), observe=lambda t, p: t).observed
    np.testing.assert_allclose(seen, t, rtol=1e-12)
    # One array of readings serves every λ of a batch.
    batch = jax.vmap(
        lambda decay: solve(flow, start(), [1.0, 2.0], clock=flows.scaled_clock(decay), observe=lambda t, p: t)
    )(jnp.asarray([0.1, 0.01]))
    np.testing.assert_allclose(batch.observed, [[10, 20], [100, 200]], rtol=1e-12)


def test_a_clock_in_log_time_takes_fewer_steps_over_many_decades():
    # y = 1/(1 + t): every decade takes as long as the one before.
    flow, end = flow_of(lambda t, y: -(y**2)), 1e12
    run = solve(flow, jnp.asarray(1.0), [np.log1p(end)], clock=flows.log_clock(1.0), rtol=1e-8)
    np.testing.assert_allclose(run.observed[0], 1 / (1 + end), rtol=1e-5)
    assert int(run.statistics.rejected) <= 3


@by_name
def test_dense_output_is_the_trajectory_between_recorded_times(key, solver):
    flow, times = problem(key), np.linspace(0.1, 5, 7)
    run = solve(flow, start(), times, solver=solver, rtol=1e-6, dense=True, max_steps=500)
    assert run.trajectory is not None
    again = jax.vmap(run.trajectory)(jnp.asarray(times))
    assert error(again, run.observed) < 1e-12


def test_seeds_scales_decays_and_data_share_one_compilation(key):
    traces, counts = [], []

    def observe(t, params):
        traces.append(t)
        return tree_norm(params)

    for i, (norm, decay, rtol) in enumerate([(1.0, 0.1, 1e-4), (30.0, 0.0, 1e-5), (2.0, 0.3, 1e-6)]):
        solve(problem(jax.random.fold_in(key, i), decay), start(norm), [0.5, 1.0 + i], observe=observe, rtol=rtol)
        counts.append(len(traces))
    assert counts == counts[:1] * 3


@pytest.mark.parametrize("scale", [1e-60, 1e-8, 1e30, 1e100])
@by_name
def test_the_scale_of_the_state_does_not_change_the_number_of_steps(solver, scale):
    flow = flow_of(lambda t, y: jnp.asarray([[-1.0, 0.5], [0.5, -3.0]]) @ y)
    counts = [int(solve(flow, s * jnp.ones(2), [5.0], solver=solver).statistics.accepted) for s in (1.0, scale)]
    assert counts[0] == counts[1]


def test_a_state_at_rest_at_zero_stays_there():
    run = solve(flow_of(lambda t, y: -y), jnp.zeros(3), [1.0, 1e6])
    assert int(run.status) == Status.SUCCESS
    assert not np.any(run.observed)


def test_integers_and_trees_of_observables_are_recorded(key):
    run = solve(
        problem(key), start(), [1.0, 2.0], observe=lambda t, p: {"k": jnp.argmax(p.u), "flag": p.u[0] > 0, "one": 1.0}
    )
    assert {k: v.dtype.kind for k, v in run.observed.items()} == {"k": "i", "flag": "b", "one": "f"}


def test_bad_times_under_jit_are_a_status():
    run = jax.jit(lambda times: solve(flow_of(lambda t, y: -y), jnp.ones(1), times))(jnp.asarray([2.0, 1.0]))
    assert int(run.status) == Status.INVALID_TIMES
    assert not np.any(run.recorded)
    assert np.all(np.isnan(run.observed))


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"times": []}, r"times must be a non-empty array of shape \(T,\)"),
        ({"times": np.ones((1, 1))}, "times must be a non-empty array"),
        ({"times": [1.0, 1.0]}, "times must be increasing, got 1.0 before 1.0"),
        ({"times": [1.0, np.nan]}, "times must be finite, got nan"),
        ({"times": [-1.0]}, "times must not lie before start = 0.0, got -1.0"),
        ({"rtol": -1.0}, "rtol must be finite and at least 0, got -1.0"),
        ({"rtol": 0.0}, "rtol and atol must not both be 0"),
        ({"atol": float("nan")}, "atol must be finite"),
        ({"max_steps": 0}, "max_steps must be at least 1, got 0"),
        ({"solver": flows.stiff()}, "atol must be positive with an implicit solver"),
        ({"initial": {}}, "initial must hold at least one array"),
    ],
)
def test_bad_arguments_are_named(options, complaint):
    arguments = {"flow": flow_of(lambda t, y: -y), "initial": jnp.ones(2), "times": [1.0]} | options
    with pytest.raises(ValueError, match=complaint):
        solve(**arguments)


@pytest.mark.parametrize("decay", [-1e-3, float("nan"), float("inf")])
def test_weight_decay_must_be_finite_and_not_negative(decay):
    with pytest.raises(ValueError, match="weight_decay must be finite and at least 0"):
        flows.gradient_flow(lambda p: jnp.sum(p), decay)


def test_other_arguments_of_flows_and_clocks_are_checked():
    with pytest.raises(ValueError, match="weight_decay must be a scalar"):
        flows.gradient_flow(lambda p: jnp.sum(p), jnp.ones(2))
    with pytest.raises(ValueError, match="rate must be positive and finite, got 0"):
        flows.scaled_clock(0)
    with pytest.raises(ValueError, match="unit must be positive and finite, got -1"):
        flows.log_clock(-1.0)


def test_tolerances_may_be_relative_to_a_small_part_of_the_state():
    """A small coordinate next to a large one at rest: relative to the whole norm its error is not seen."""
    objective = lambda params: 0.5 * jnp.square(params["small"])
    initial = {"large": jnp.asarray(1e6), "small": jnp.asarray(1.0)}
    errors = []
    for size in (tree_norm, lambda params: jnp.abs(params["small"])):
        run = solve(gradient_flow(objective, size=size), initial, jnp.asarray([3.0]), rtol=1e-6)
        errors.append(abs(float(run.observed["small"][0]) / math.exp(-3) - 1))
    assert errors[1] < 1e-4 < errors[0]


def test_a_model_made_anew_from_the_same_functions_compiles_nothing():
    traces = []

    def scaled(factor, params, x):
        traces.append(1)
        return factor * MODEL.apply(params, x)

    @jax.jit
    def last_loss(flow, initial):
        return solve(flow, initial, jnp.asarray([1.0]), solver=RKC2()).final_state

    counts = []
    for factor in (1.0, 2.0):
        risk = losses.empirical_risk(Partial(scaled, jnp.asarray(factor)), losses.logistic, jnp.eye(2), jnp.ones(2))
        last_loss(gradient_flow(risk, 0.1, size=Partial(tree_norm)), MODEL.init(None, 2, 1.0))
        counts.append(len(traces))
    assert counts[0] == counts[1] > 0
