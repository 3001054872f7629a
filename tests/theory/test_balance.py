"""The balance of the kernel phase against convex optimisation, the Lambert function and the flow of the outputs."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.optimize import minimize

from theory import kernel_phase, max_margin
from theory.balance import kernel_balance

DECAY = 1e-3


def signed_data(n=6, d=12, seed=0):
    return np.random.default_rng(seed).standard_normal((n, d))


@pytest.mark.parametrize("degree", [2, 3, 4])
@pytest.mark.parametrize("log_scale", [-3.0, 0.0, 5.0, 300.0])
def test_one_sample_is_the_lambert_function(degree, log_scale):
    (margin,) = kernel_balance([[2.5]], log_scale, DECAY, degree).margins[0]
    expected = -kernel_phase.log_late_exponential_loss(log_scale, DECAY, np.sqrt(2.5), degree)
    assert margin == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("log_scale", [-1.0, 1.0, 4.0])
def test_it_minimises_the_penalised_exponential_loss(log_scale):
    z = signed_data()
    factor = np.exp(2 * log_scale) / (len(z) * DECAY * 2)
    value = lambda w: 0.5 * w @ w + factor * np.sum(np.exp(-z @ w))
    slope = lambda w: w - factor * z.T @ np.exp(-z @ w)
    expected = minimize(value, np.zeros(z.shape[1]), jac=slope, method="BFGS", options={"gtol": 1e-9}).x
    found = kernel_balance(z @ z.T, log_scale, DECAY, 2)
    np.testing.assert_allclose(found.duals[0] @ z, expected, atol=1e-7 * float(np.linalg.norm(expected)))


def test_the_angle_to_the_max_margin_direction_falls_like_the_inverse_of_the_margin():
    z = signed_data()
    best = max_margin.l2(z, np.ones(len(z))).direction
    found = kernel_balance(z @ z.T, [150, 1500], DECAY, 2)
    weights = found.duals @ z
    sines = np.linalg.norm(weights - np.outer(weights @ best, best), axis=1) / np.linalg.norm(weights, axis=1)
    slope = np.log(sines[1] / sines[0]) / np.log(found.margins[1].mean() / found.margins[0].mean())
    # Terms of the next order are 1/q of the first, and q is above 250.
    assert slope == pytest.approx(-1, abs=0.02)


@pytest.mark.parametrize("degree", [2, 3])
def test_the_flow_with_fixed_features_follows_it_up_to_its_lag(degree):
    z = signed_data(n=4)
    gram, log_alpha, end = z @ z.T, 6.0, 5.0

    def field(tau, q):
        return np.exp(2 * (degree - 1) * (log_alpha - tau)) / DECAY * gram @ np.exp(-q) / len(q) - degree * q

    times = [3.0, 4.0, end]
    run = solve_ivp(field, (0, end), np.zeros(4), "Radau", times, rtol=1e-8, atol=1e-8, first_step=1e-15)
    predicted = kernel_balance(gram, log_alpha - run.t, DECAY, degree).margins
    lag = 2 * (degree - 1) / (degree * predicted.min(axis=1))
    difference = np.abs(run.y.T - predicted).max(axis=1)
    assert np.all(difference < 1.5 * lag)
    assert np.all(difference > 1e-3 * lag)


def test_many_scales_are_one_at_a_time_in_any_order():
    z = signed_data()
    scales = np.array([4.0, -2.0, 70.0])
    together = kernel_balance(z @ z.T, scales, DECAY, 3)
    assert np.all(together.status == "optimal")
    for i, scale in enumerate(scales):
        np.testing.assert_allclose(kernel_balance(z @ z.T, scale, DECAY, 3).margins[0], together.margins[i], rtol=1e-8)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (([[1.0, 0.0]], 0.0, DECAY, 2), r"signed_gram must have shape \(n, n\) with n ≥ 1, got \(1, 2\)"),
        (([[np.nan]], 0.0, DECAY, 2), "signed_gram must be finite"),
        (([[1.0]], np.inf, DECAY, 2), "log_scale must be finite"),
        (([[1.0]], 0.0, 0.0, 2), "weight_decay must be positive and finite, got 0.0"),
        (([[1.0]], 0.0, DECAY, 1), "degree must be at least 2, got 1"),
    ],
)
def test_bad_arguments_are_named(arguments, complaint):
    with pytest.raises(ValueError, match=complaint):
        kernel_balance(*arguments)
