"""Gradient descent with a fixed step, against a plain loop and against the flow it discretises."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from grokjax import flows, losses, models
from grokjax.flows import Status, gradient_descent

MODEL = models.diagonal_linear(2)


@pytest.fixture
def risk(key):
    inputs = jax.random.normal(key, (6, 4))
    return losses.empirical_risk(MODEL.apply, losses.squared, inputs, inputs @ jnp.asarray([1.0, 0, -1, 0.5]))


def weights(t, params):
    return params.u**2 - params.v**2


def test_steps_are_those_of_a_plain_loop(risk):
    flow, params, rate, decay = flows.gradient_flow(risk, 0.1), MODEL.init(None, 4, 1.0), 0.01, 0.1
    run = gradient_descent(flow, params, [0, 1, 1, 7], rate)
    for k in range(8):
        for i in np.flatnonzero(np.asarray([0, 1, 1, 7]) == k):
            seen = jax.tree.map(lambda x, i=i: x[i], run.observed)
            assert jax.tree.all(jax.tree.map(lambda a, b: jnp.allclose(a, b, rtol=1e-14, atol=0), seen, params))
        gradient = jax.grad(risk)(params)
        params = jax.tree.map(lambda p, g: p - rate * (g + decay * p), params, gradient)
    np.testing.assert_allclose(run.times, rate * np.asarray([0, 1, 1, 7]))
    assert int(run.statistics.gradient_evaluations) == 7


def test_its_distance_from_the_flow_falls_in_proportion_to_the_step(risk):
    flow, params, end = flows.gradient_flow(risk, 0.1), MODEL.init(None, 4, 1.0), 2.0
    exact = flows.solve(flow, params, [end], observe=weights, rtol=1e-11).observed[0]
    steps = np.asarray([200, 400, 800])
    runs = [gradient_descent(flow, params, [int(k)], end / k, observe=weights) for k in steps]
    errors = [float(jnp.linalg.norm(run.observed[0] - exact)) for run in runs]
    # The second-order term is a part in a few hundred of the first at these steps.
    assert abs(np.polyfit(np.log(steps), np.log(errors), 1)[0] + 1) < 0.05


def test_a_step_past_the_edge_of_stability_is_a_status(risk):
    run = gradient_descent(flows.gradient_flow(risk), MODEL.init(None, 4, 3.0), [10, 10_000], 10.0)
    assert int(run.status) == Status.DIVERGED


def test_learning_rates_and_data_share_one_compilation_and_vmap(risk):
    traces = []

    def observe(t, params):
        traces.append(t)
        return weights(t, params)

    flow, params = flows.gradient_flow(risk), MODEL.init(None, 4, 1.0)
    alone = [gradient_descent(flow, params, [5], rate, observe=observe).observed for rate in (0.01, 0.02)]
    assert len(traces) == 1
    batch = jax.vmap(lambda rate: gradient_descent(flow, params, [5], rate, observe=weights).observed)(
        jnp.asarray([0.01, 0.02])
    )
    np.testing.assert_allclose(batch, jnp.stack(alone), rtol=1e-13)


@pytest.mark.parametrize(
    ("steps", "rate", "complaint"),
    [
        ([], 0.1, "steps must be a non-empty array of integers"),
        ([1.5], 0.1, "steps must be a non-empty array of integers"),
        ([3, 2], 0.1, "steps must be non-negative and non-decreasing"),
        ([-1], 0.1, "steps must be non-negative and non-decreasing"),
        ([1], 0.0, "learning_rate must be positive and finite, got 0.0"),
        ([1], float("nan"), "learning_rate must be positive and finite, got nan"),
    ],
)
def test_bad_arguments_are_named(risk, steps, rate, complaint):
    with pytest.raises(ValueError, match=complaint):
        gradient_descent(flows.gradient_flow(risk), MODEL.init(None, 4, 1.0), np.asarray(steps), rate)
