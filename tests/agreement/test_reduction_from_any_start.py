"""The reduction of diagonal nets that start at any products u v = a², against the flow of all parameters."""

from __future__ import annotations

import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import grokjax as gj

flows = importlib.import_module("_beyond_flows")

DECAY, LOG_SCALE, RTOL = 0.05, 0.7, 1e-7
TAU = np.linspace(0.05, 3.0, 7)


@pytest.fixture(scope="module")
def task():
    drawn = gj.data.sparse_classification(jax.random.key(0), 6, 12, 3, dtype=jnp.float64)
    return drawn.train_inputs, drawn.train_labels


@pytest.fixture(scope="module")
def ratios():
    return 0.8 * np.random.default_rng(0).standard_normal(12)


def reduced(task, log_scale, ratios, tau):
    inputs, labels = (x[None] for x in task)
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        return flows.diagonal(inputs, labels, log_scale, ratios, DECAY, tau / DECAY, RTOL)


def test_an_asymmetric_start_moves_as_all_its_parameters_do(task, ratios):
    model = gj.models.diagonal_linear(2)
    risk = gj.losses.empirical_risk(model.apply, gj.losses.logistic, *task)
    start = gj.models.DiagonalParams(*(jnp.asarray(np.exp(LOG_SCALE + sign * ratios / 2)) for sign in (1, -1)))
    full = gj.flows.solve(gj.flows.gradient_flow(risk, DECAY), start, TAU / DECAY, rtol=1e-9)
    run = reduced(task, LOG_SCALE, ratios, TAU)
    weights = np.asarray(full.observed.u**2 - full.observed.v**2)
    assert (int(full.status), run.status.tolist()) == (0, [0])
    assert np.max(np.abs(run.weights[0] - weights)) <= 100 * RTOL * np.max(np.abs(weights))


def test_a_restart_in_the_middle_changes_nothing(task, ratios):
    whole = reduced(task, LOG_SCALE, ratios, TAU).weights[0]
    scale = np.exp(2 * (LOG_SCALE - TAU[3]))
    again = reduced(task, LOG_SCALE - TAU[3], np.arcsinh(whole[3] / (2 * scale)), TAU[4:] - TAU[3]).weights[0]
    assert np.max(np.abs(again - whole[4:])) <= 100 * RTOL * np.max(np.abs(whole[4:]))


def test_weights_stay_exact_where_neither_factor_fits_into_a_float():
    ratio, log_scale = 1600.0, -800.0
    weights = flows._weights(jnp.zeros((1, 1)), jnp.ones(1), log_scale, jnp.full(1, ratio), 0.0, 0.0, jnp.zeros(1))
    assert weights == pytest.approx(1.0, rel=1e-12)
