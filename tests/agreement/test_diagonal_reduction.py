"""The exact reduction of diagonal networks against the flow of all 2d parameters, and both against theory."""

from __future__ import annotations

import math

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import theory
from grokjax import data, flows, losses, models
from grokjax.flows import RKC2, Status, diagonal_flow, gradient_flow, solve

N, D, DECAY = 6, 16, 0.02
LOSSES = [losses.logistic, losses.exponential, losses.squared]


@pytest.fixture
def dataset(key):
    return data.sparse_classification(key, N, D, 3, dtype=jnp.float64)


def full(dataset, depth, norm, times, rtol, loss=losses.logistic, decay=DECAY):
    model = models.diagonal_linear(depth)
    risk = losses.empirical_risk(model.apply, loss, dataset.train_inputs, dataset.train_labels)
    # The steps are limited by stability after the switch; RKC2 takes fewer.
    solver = diffrax.Tsit5() if depth == 2 else RKC2()
    return solve(
        gradient_flow(risk, decay), model.init(None, D, norm), times, solver=solver, rtol=rtol, max_steps=10**6
    )


def reduced(dataset, depth, norm, times, rtol, loss=losses.logistic, decay=DECAY, solver=None):
    flow, state = diagonal_flow(
        dataset.train_inputs, dataset.train_labels, depth=depth, initial_norm=norm, weight_decay=decay, loss=loss
    )
    return solve(flow, state, times, solver=solver or RKC2(), rtol=rtol)


def largest_relative_error(got, expected):
    return float(jnp.max(jnp.linalg.norm(got - expected, axis=1) / jnp.linalg.norm(expected, axis=1)))


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
@pytest.mark.parametrize(("depth", "norm"), [(2, 20.0), (3, 8.0), (4, 5.0)])
def test_it_is_the_flow_of_all_parameters_through_the_switch(dataset, depth, norm, loss):
    # To twice the time at which the scale has shrunk to 1, well after the switch.
    times = jnp.linspace(0.05, 2, 30) * math.log(norm) / DECAY
    rtol = 1e-6
    expected = full(dataset, depth, norm, times, 1e-8, loss)
    run = reduced(dataset, depth, norm, times, rtol, loss)
    assert int(expected.status) == int(run.status) == Status.SUCCESS
    u, v = expected.observed
    allowed = rtol * int(run.statistics.accepted) + 1e-8 * int(expected.statistics.accepted)
    assert largest_relative_error(run.observed.weights, u**depth - v**depth) < allowed
    assert largest_relative_error(jnp.hstack([run.observed.u, run.observed.v]), jnp.hstack([u, v])) < allowed
    np.testing.assert_allclose(run.observed.norm, jnp.linalg.norm(jnp.hstack([u, v]), axis=1), rtol=allowed)


@pytest.mark.parametrize(("depth", "norm"), [(2, 20.0), (3, 8.0), (4, 5.0)])
def test_the_flow_of_all_parameters_keeps_the_conserved_law(dataset, depth, norm):
    """uv = s² for L = 2 and u^(2−L) + v^(2−L) = 2s^(2−L) for L > 2, s = a e^(−λt): no reference run is needed."""
    times = jnp.linspace(0.05, 1, 10) * math.log(norm) / DECAY
    run = full(dataset, depth, norm, times, 1e-9)
    u, v = run.observed
    s = norm / math.sqrt(2 * D) * jnp.exp(-DECAY * times)[:, None]
    kept = u * v / s**2 if depth == 2 else (u ** (2 - depth) + v ** (2 - depth)) / (2 * s ** (2 - depth))
    # The law weighs the smaller of u and v: errors count relative to it.
    amplification = float(jnp.max(jnp.maximum(u, v) / jnp.minimum(u, v))) ** (depth - 1) * math.sqrt(2 * D)
    assert float(jnp.max(jnp.abs(kept - 1))) < 1e-9 * int(run.statistics.accepted) * amplification


def test_the_conserved_law_of_another_depth_fails(dataset):
    times = jnp.asarray([1.0]) * math.log(8.0) / DECAY
    u, v = full(dataset, 3, 8.0, times, 1e-9).observed
    s = 8.0 / math.sqrt(2 * D) * math.exp(-DECAY * float(times[0]))
    assert float(jnp.max(jnp.abs(u * v / s**2 - 1))) > 0.1


@pytest.mark.parametrize("norm", [1e-60, 1e-8, 1e3, 1e140])
def test_weights_of_depth_two_end_at_the_regularised_solution_from_a_scale_of_any_size(dataset, norm):
    limit = theory.regularised.l1(dataset.train_inputs, dataset.train_labels, DECAY)
    # Coordinates outside the support die out like e^(−4(λ/2 − |G_k|)t), which here takes hundreds of 1/λ.
    run = reduced(dataset, 2, norm, [(max(math.log(norm), 0) + 1000) / DECAY], 1e-6)
    assert int(run.status) == Status.SUCCESS
    error = np.sum(np.abs(run.observed.weights[-1] - limit.weights)) / np.sum(np.abs(limit.weights))
    # The objective is strongly convex on the support: distances are square roots of gaps, of 1e-9 here at most.
    assert error < 1e-4
    assert float(run.observed.norm[-1]) == pytest.approx(limit.parameter_norm, rel=1e-4)


@pytest.mark.parametrize(("depth", "norms"), [(2, [1e3, 1e30, 1e140]), (3, [1e3, 1e75]), (4, [1e3, 1e45])])
def test_in_time_after_log_a_flows_from_all_large_scales_are_one(dataset, depth, norms):
    after = jnp.linspace(-2, 6, 9)
    runs = [reduced(dataset, depth, norm, (math.log(norm) + after) / DECAY, 1e-6) for norm in norms]
    assert [int(run.status) for run in runs] == [Status.SUCCESS] * len(norms)
    for run in runs[1:]:
        # Errors of 1e-6 a step in the last dozens of steps; older ones are forgotten.
        assert largest_relative_error(run.observed.weights, runs[0].observed.weights) < 1e-4


@pytest.mark.parametrize(("depth", "norm"), [(3, 1e-30), (4, 1e-20)])
def test_deep_networks_of_tiny_scale_never_leave_zero(dataset, depth, norm):
    """For L > 2 and λ > 0 zero is a stable point, unlike for L = 2."""
    run = reduced(dataset, depth, norm, [6 / DECAY, 25 / DECAY], 1e-6)
    assert int(run.status) == Status.SUCCESS
    assert np.all(np.asarray(run.observed.norm) <= norm * np.exp([-6.0, -25.0]) * (1 + 1e-6))


@pytest.mark.parametrize("solver", [diffrax.Tsit5(), RKC2(), flows.stiff()], ids=["Tsit5", "RKC2", "stiff"])
def test_every_solver_integrates_it(dataset, solver):
    flow, state = diagonal_flow(dataset.train_inputs, dataset.train_labels, initial_norm=20.0, weight_decay=DECAY)
    times = jnp.asarray([1.0, 100.0, 300.0])
    run = solve(flow, state, times, solver=solver, rtol=1e-7, atol=1e-10, max_steps=10**6)
    reference = reduced(dataset, 2, 20.0, times, 1e-9, solver=diffrax.Tsit5())
    assert largest_relative_error(run.observed.weights, reference.observed.weights) < 1e-4


def test_single_precision_data_give_the_weights_to_six_digits(dataset):
    times = jnp.linspace(0.1, 2, 20) * math.log(20) / DECAY
    single = dataset._replace(train_inputs=dataset.train_inputs.astype(jnp.float32))
    runs = [reduced(x, 2, 20.0, times, 1e-8, solver=diffrax.Tsit5()) for x in (dataset, single)]
    # The log-ratio reaches about 10, and w is its exponential: rounding of 6e-8 grows tenfold, twice.
    assert largest_relative_error(runs[1].observed.weights.astype(float), runs[0].observed.weights) < 1e-5


def test_it_runs_under_vmap_over_seeds_scales_and_decays():
    keys = jax.random.split(jax.random.key(2), 3)
    norms, decays = jnp.asarray([5.0, 50.0, 1e20]), jnp.asarray([0.1, 0.02, 0.05])

    def run(key, norm, decay):
        dataset = data.sparse_classification(key, N, D, 3, dtype=jnp.float64)
        flow, state = diagonal_flow(dataset.train_inputs, dataset.train_labels, initial_norm=norm, weight_decay=decay)
        clock = flows.scaled_clock(decay)
        return solve(flow, state, jnp.log(norm) + jnp.asarray([0.5, 5.0]), clock=clock, solver=RKC2(), rtol=1e-5)

    batch = jax.jit(jax.vmap(run))(keys, norms, decays)
    assert batch.status.tolist() == [0, 0, 0]
    for i in range(3):
        alone = run(keys[i], norms[i], decays[i])
        assert largest_relative_error(batch.observed.weights[i], alone.observed.weights) < 1e-9


def test_steps_grow_like_the_logarithm_of_the_scale(dataset):
    """Where steps are as large as 1/λ allows, their number is that of e-foldings of the scale."""
    small, large = 1e8, 1e64
    runs = [reduced(dataset, 2, norm, [(math.log(norm) + 8) / DECAY], 1e-4).statistics for norm in (small, large)]
    ratio = math.log(large) / math.log(small)
    assert int(runs[1].accepted) / int(runs[0].accepted) < 1.25 * ratio
    # A step that is a fixed part of 1/λ meets a stiffness that grows with the output margin, so with log a.
    assert int(runs[1].gradient_evaluations) / int(runs[0].gradient_evaluations) < 1.25 * ratio**1.5


@pytest.mark.parametrize("initial_norm", [6.0, 30.0])
def test_the_switch_of_the_simulated_flow_is_where_theory_predicts_it(key, initial_norm):
    n, d, decay = 32, 200, 1e-3
    dataset = data.sparse_classification(key, n, d, 3, dtype=jnp.float64)
    l2 = theory.max_margin.l2(dataset.train_inputs, dataset.train_labels)
    scale, largest = initial_norm / math.sqrt(2 * d) * 100, float(np.max(np.abs(l2.direction)))
    end = theory.time_scales.diagonal_kernel_phase_end(scale, decay, l2.margin, largest)
    flow, state = diagonal_flow(
        dataset.train_inputs, dataset.train_labels, initial_norm=100 * initial_norm, weight_decay=decay
    )

    def log_ratio(t, net):
        return jnp.max(jnp.abs(jnp.log(net.u) - jnp.log(net.v))) - 1

    run = solve(flow, state, [2 * float(end)], solver=RKC2(), rtol=1e-5, event=log_ratio)
    assert int(run.status) == Status.EVENT
    # The prediction neglects terms of the order of one over the output margin log(1/λ).
    assert abs(decay * (float(run.final_time) - float(end))) < 1 / math.log(1 / decay)


@pytest.mark.usefixtures("unchecked_types")
@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"depth": 1}, "depth must be an integer of at least 2, got 1"),
        ({"depth": 2.0}, "depth must be an integer of at least 2, got 2.0"),
        ({"initial_norm": 0.0}, "initial_norm must be positive and finite, got 0.0"),
        ({"initial_norm": math.inf}, "initial_norm must be positive and finite, got inf"),
        ({"weight_decay": -1.0}, "weight_decay must be finite and at least 0, got -1.0"),
        ({"inputs": jnp.ones((2, 3)).at[0, 0].set(jnp.nan)}, "inputs must be finite"),
        ({"labels": jnp.asarray([1.0, jnp.inf])}, "labels must be finite"),
        ({"labels": jnp.ones(3)}, r"labels must have shape \(2,\), one per sample, got \(3,\)"),
        ({"inputs": jnp.ones((0, 3)), "labels": jnp.ones(0)}, "inputs must hold at least one sample"),
    ],
)
def test_bad_arguments_are_named(arguments, complaint):
    valid = {"inputs": jnp.ones((2, 3)), "labels": jnp.ones(2), "initial_norm": 1.0}
    arguments = valid | arguments
    with pytest.raises(ValueError, match=complaint):
        diagonal_flow(arguments.pop("inputs"), arguments.pop("labels"), **arguments)


@pytest.mark.parametrize("n", [1, 3])
def test_inseparable_and_single_points_still_have_a_flow(n):
    inputs = jnp.asarray([[1.0, 2.0], [-1.0, -2.0], [0.0, 1.0]])[:n]
    flow, state = diagonal_flow(inputs, jnp.ones(n), initial_norm=10.0, weight_decay=0.1)
    run = solve(flow, state, [100.0, 5000.0], solver=RKC2(), rtol=1e-6)
    assert int(run.status) == Status.SUCCESS
    limit = theory.regularised.l1(inputs, np.ones(n), 0.1).weights
    np.testing.assert_allclose(run.observed.weights[-1], limit, atol=1e-3)
