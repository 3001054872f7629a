"""The flow without weight decay in log time, against closed forms and against the flow in plain time."""

from __future__ import annotations

import math

import diffrax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expi

from grokjax import data, losses, models
from grokjax.flows import Status, gradient_flow, log_time_flow, solve


def exponential_of_a_square(params):
    """log 𝓛 of one sample x = 1 with f = θ² and the exponential loss: a homogeneous model of degree 2."""
    return -jnp.square(params["theta"])


def test_one_sample_of_degree_two_follows_its_closed_form_to_times_beyond_any_float():
    """θ = e^(2s) and t(s) = 1 + ∫ e^(θ²) ds = 1 + (Ei(e^(4s)) − Ei(1))/4."""
    flow, initial = log_time_flow(exponential_of_a_square, {"theta": jnp.asarray(1.0)})
    s = jnp.asarray([0.3, 1.0, 2.5])
    rtol = 1e-9
    run = solve(flow, initial, s, solver=diffrax.Tsit5(), rtol=rtol)
    assert int(run.status) == Status.SUCCESS
    margin = np.exp(4 * np.asarray(s))
    allowed = rtol * int(run.statistics.accepted)
    np.testing.assert_allclose(run.observed.params["theta"], np.exp(2 * s), rtol=allowed)
    # For large x: Ei(x) = e^x/x · (1 + 1/x + 2/x² + …).
    series = sum(math.factorial(k) / margin[2] ** k for k in range(5))
    log_times = [
        math.log1p((expi(margin[0]) - expi(1)) / 4),
        math.log1p((expi(margin[1]) - expi(1)) / 4),
        margin[2] - math.log(4 * margin[2]) + math.log(series),
    ]
    # An error of the margin is one of log t.
    np.testing.assert_allclose(run.observed.log_time, log_times, rtol=4 * allowed)
    assert run.observed.log_time[2] > math.log(10.0) * 9000


def test_it_passes_the_points_of_the_flow_in_plain_time(key):
    points = data.sparse_classification(key, 6, 8, 3, dtype=jnp.float64)
    model = models.diagonal_linear(2)
    args = model.apply, losses.logistic, points.train_inputs, points.train_labels
    params = model.init(None, 8, 1.0)
    rtol = 1e-8
    flow, initial = log_time_flow(losses.log_empirical_risk(*args), params, start_time=0.5)
    run = solve(flow, initial, jnp.linspace(0.5, 6, 8), rtol=rtol)
    times = jnp.exp(run.observed.log_time)
    plain = solve(gradient_flow(losses.empirical_risk(*args)), params, times, start=0.5, rtol=rtol)
    assert int(run.status) == int(plain.status) == Status.SUCCESS
    allowed = rtol * (int(run.statistics.accepted) + int(plain.statistics.accepted))
    for got, expected in zip(run.observed.params, plain.observed, strict=True):
        # θ moves by |dθ/ds| of the order of ‖θ‖ while log t moves by one.
        np.testing.assert_allclose(got, expected, atol=10 * allowed * float(jnp.max(jnp.abs(expected))))


@pytest.mark.parametrize("start", [0.0, -1.0, math.inf])
def test_a_start_time_that_has_no_logarithm_is_refused(start):
    with pytest.raises(ValueError, match="start_time must be positive and finite"):
        log_time_flow(exponential_of_a_square, {"theta": jnp.asarray(1.0)}, start)


def test_an_objective_that_is_no_function_is_refused(unchecked_types):
    with pytest.raises(ValueError, match="log_objective must be callable"):
        log_time_flow(1.0, {"theta": jnp.asarray(1.0)})  # pyright: ignore[reportArgumentType]
