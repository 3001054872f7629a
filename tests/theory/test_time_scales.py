"""Time scales against roots of the equations they solve, an integrated flow, their limits and one another."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.optimize import brentq

from theory import time_scales

EPSILON = np.finfo(float).eps
# A product or quotient of a few rounded numbers.
FEW = 16 * EPSILON

each_alpha = pytest.mark.parametrize("alpha", [1.5, 30.0, 1e8, 1e100, 1e300])
each_decay = pytest.mark.parametrize("weight_decay", [1e-12, 1e-3, 0.2])
each_degree = pytest.mark.parametrize("degree", [2, 3, 6])


def log_scale(time, alpha, weight_decay):
    """log of α e^(−λt)."""
    return np.log(alpha) - weight_decay * time


@each_alpha
@each_decay
@pytest.mark.parametrize("c", [1e-3, 0.3, 0.9])
def test_early_and_late_time_leave_a_power_of_the_initial_scale(alpha, weight_decay, c):
    early = time_scales.early_time(alpha, weight_decay, c)
    late = time_scales.late_time(alpha, weight_decay, c)
    rounding = FEW * np.log(alpha)
    assert log_scale(early, alpha, weight_decay) == pytest.approx(c * np.log(alpha), abs=rounding)
    assert log_scale(late, alpha, weight_decay) == pytest.approx(-c * np.log(alpha), abs=rounding)


@each_alpha
@each_decay
@each_degree
@pytest.mark.parametrize("offset", [0.0, -1.3])
def test_kernel_phase_ends_when_the_scale_to_the_degree_is_log_a(alpha, weight_decay, degree, offset):
    log_a = 2 * (degree - 1) * np.log(alpha) - np.log(weight_decay)
    surplus = lambda time: degree * (log_scale(time, alpha, weight_decay) + offset) - np.log(log_a)
    span = 1e3 / weight_decay
    # The scaled time is at most a thousand; the root finder's absolute tolerance is one rounding of that.
    expected = brentq(surplus, -span, span, xtol=EPSILON * span, rtol=FEW)
    end = time_scales.kernel_phase_end(alpha, weight_decay, degree, offset)
    assert end == pytest.approx(expected, rel=FEW, abs=FEW * span)


@each_degree
def test_kernel_phase_end_approaches_log_alpha_over_weight_decay_from_below(degree):
    alphas, weight_decay = np.logspace(2, 300, 20), 1e-3
    ratio = time_scales.kernel_phase_end(alphas, weight_decay, degree) * weight_decay / np.log(alphas)
    assert np.all(np.diff(ratio) > 0)
    # log log A ≤ log(4L log α) here, as α^(2L) > 1/λ.
    assert np.all((1 - np.log(4 * degree * np.log(alphas)) / degree / np.log(alphas) <= ratio) & (ratio < 1))
    assert ratio[-1] > 0.99


@each_degree
def test_slope_in_log_alpha_is_one_over_weight_decay_whatever_the_degree(degree):
    weight_decay, step = 1e-3, np.exp(1e-3)
    alphas = np.logspace(1, 290, 30)
    ends = time_scales.kernel_phase_end([alphas, step * alphas], weight_decay, degree)
    slope = weight_decay * (ends[1] - ends[0]) / 1e-3
    log_a = 2 * (degree - 1) * np.log(alphas) - np.log(weight_decay)
    # d(log log A)/d log α lies between its values at the two ends, 2(L−1)/log A.
    rounding = FEW * np.log(alphas) / 1e-3
    correction = 2 * (degree - 1) / degree / np.array([log_a, log_a + 2 * (degree - 1) * 1e-3])
    assert np.all((1 - correction[0] - rounding <= slope) & (slope <= 1 - correction[1] + rounding))
    assert np.all(np.diff(slope) > 0)


def test_kernel_phase_end_falls_between_early_and_late_time_only_if_alpha_is_large_for_c():
    times = lambda alpha, c: (
        time_scales.early_time(alpha, 1e-3, c),
        time_scales.kernel_phase_end(alpha, 1e-3, 2),
        time_scales.late_time(alpha, 1e-3, c),
    )
    for alpha, c in [(1e3, 0.5), (1e30, 0.1), (1e300, 0.02)]:
        assert np.all(np.diff(times(alpha, c)) > 0)
    for alpha, c in [(1e3, 0.1), (1e30, 0.02)]:
        early, end, late = times(alpha, c)
        assert end < early < late


def test_larger_weight_decay_ends_the_kernel_phase_earlier():
    decays = np.logspace(-9, -1, 30)
    for degree in (2, 5):
        assert np.all(np.diff(time_scales.kernel_phase_end(50.0, decays, degree)) < 0)
    assert np.all(np.diff(time_scales.diagonal_kernel_phase_end(50.0, decays, 0.5, 0.4)) < 0)


@pytest.mark.parametrize("scale", [1e-9, 1e-3, 1.0, 1e2, 1e30, 1e120])
@each_decay
@each_degree
def test_kernel_phase_margin_balances_growth_and_decay(scale, weight_decay, degree):
    q, margin = time_scales.kernel_phase_margin(scale, weight_decay, 0.7, degree), 0.7
    growth = -q + 2 * np.log(margin) + 2 * (degree - 1) * np.log(scale)
    decay = np.log(weight_decay * degree * q)
    # Rounding of the largest term.
    largest = q + 2 * degree * abs(np.log(scale)) + abs(np.log(weight_decay)) + 1
    assert q > 0
    assert growth == pytest.approx(decay, abs=FEW * largest)


def test_kernel_phase_margin_grows_with_scale_and_margin_and_falls_with_weight_decay():
    grid = np.logspace(-3, 3, 25)
    assert np.all(np.diff(time_scales.kernel_phase_margin(grid, 1e-3, 1.0, 3)) > 0)
    assert np.all(np.diff(time_scales.kernel_phase_margin(1.0, 1e-3, grid, 3)) > 0)
    assert np.all(np.diff(time_scales.kernel_phase_margin(1.0, grid, 1.0, 3)) < 0)


@each_degree
def test_the_margin_of_an_integrated_flow_follows_the_balance(degree):
    alpha, weight_decay, margin = 1e4, 1e-6, 0.6

    def field(time, q):
        # h' = e^(−q) s^(L−1) g − λh and q = s^(L−1)⟨g, h⟩ with ‖g‖ = γ, s = α e^(−λt): one sample in its kernel phase.
        growth = margin**2 * np.exp(2 * (degree - 1) * log_scale(time, alpha, weight_decay) - q)
        return growth - weight_decay * degree * q

    times = np.linspace(0.3, 0.9, 5) * np.log(alpha) / weight_decay
    run = solve_ivp(field, (0, times[-1]), [0.0], "LSODA", t_eval=times, rtol=1e-10, atol=1e-10)
    scale = np.exp(log_scale(times, alpha, weight_decay))
    q = time_scales.kernel_phase_margin(scale, weight_decay, margin, degree)
    # The balance falls at the rate 2(L−1)λ q/(1 + q) and is approached at the rate λL(1 + q).
    lag = 2 * (degree - 1) / degree * q / (1 + q) ** 2
    np.testing.assert_allclose(run.y[0] - q, lag, rtol=2 / np.min(q))
    # With another degree it is another balance.
    other = time_scales.kernel_phase_margin(scale, weight_decay, margin, degree + 1)
    assert np.all(np.abs(run.y[0] - other) > 2 * lag)


@pytest.mark.parametrize("scale", [0.5, 40.0, 1e30])
@pytest.mark.parametrize(("margin", "largest"), [(0.3, 0.1), (2.0, 0.9), (50.0, 0.01)])
def test_the_largest_log_ratio_is_one_at_the_end_of_the_diagonal_kernel_phase(scale, margin, largest):
    weight_decay = 1e-3

    def log_ratio(time, factor):
        s = np.exp(log_scale(time, scale, weight_decay))
        return time_scales.kernel_phase_margin(s, weight_decay, factor * margin, 2) * largest / (2 * margin * s**2)

    end = time_scales.diagonal_kernel_phase_end(scale, weight_decay, margin, largest)
    # q/s² depends on 2λt exponentially.
    rounding = FEW * (1 + weight_decay * abs(end) + abs(np.log(scale)))
    # Features of (u, v) at (1, 1) are (2x, −2x): their margin is 2√2 that of x, and no other will do.
    assert log_ratio(end, 2 * np.sqrt(2)) == pytest.approx(1, rel=2 * rounding)
    assert abs(log_ratio(end, 1.0) - 1) > 0.01


def test_offset_of_the_diagonal_kernel_phase_does_not_depend_on_the_initial_scale():
    scales, weight_decay = np.logspace(-1, 200, 10), 1e-4
    offsets = weight_decay * time_scales.diagonal_kernel_phase_end(scales, weight_decay, 0.4, 0.2) - np.log(scales)
    np.testing.assert_allclose(offsets, offsets[0], rtol=0, atol=FEW * np.log(scales[-1]))


FUNCTIONS = {
    "early_time": (time_scales.early_time, (30.0, 1e-3, 0.4)),
    "late_time": (time_scales.late_time, (30.0, 1e-3, 0.4)),
    "kernel_phase_end": (lambda a, b, c: time_scales.kernel_phase_end(a, b, 3, c), (30.0, 1e-3, 0.4)),
    "kernel_phase_margin": (lambda a, b, c: time_scales.kernel_phase_margin(a, b, c, 3), (30.0, 1e-3, 0.4)),
    "diagonal_kernel_phase_end": (time_scales.diagonal_kernel_phase_end, (30.0, 1e-3, 0.4, 0.2)),
}
each_function = pytest.mark.parametrize("name", FUNCTIONS)


@each_function
def test_arrays_broadcast_to_what_scalars_give(name):
    function, arguments = FUNCTIONS[name]
    first, second = np.array([[5.0], [70.0], [900.0]]), [1e-4, 2e-3]
    together = function(first, second, *arguments[2:])
    assert together.shape == (3, 2)
    one_by_one = [[function(float(a), b, *arguments[2:]) for b in second] for a in first[:, 0]]
    assert np.shape(one_by_one) == (3, 2)
    # Vector and scalar logarithms may differ in the last digit.
    np.testing.assert_allclose(together, one_by_one, rtol=FEW)


@each_function
@pytest.mark.parametrize("wrong", [0.0, -1.0, np.nan, np.inf])
def test_what_is_not_positive_and_finite_is_named(name, wrong):
    function, arguments = FUNCTIONS[name]
    names = {
        "kernel_phase_end": ("alpha", "weight_decay"),
        "kernel_phase_margin": ("scale", "weight_decay", "margin"),
        "diagonal_kernel_phase_end": ("scale", "weight_decay", "margin", "largest"),
    }.get(name, ("alpha", "weight_decay", "c"))
    for position, argument in enumerate(names):
        changed = (*arguments[:position], [arguments[position], wrong], *arguments[position + 1 :])
        with pytest.raises(ValueError, match=f"^{argument} must be positive and finite, got {wrong}$"):
            function(*changed)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: time_scales.early_time(30.0, 1e-3, 1.0), "c must lie strictly between 0 and 1, got 1.0"),
        (lambda: time_scales.kernel_phase_end(30.0, 1e-3, 1), "degree must be at least 2, got 1"),
        (lambda: time_scales.kernel_phase_margin(30.0, 1e-3, 0.4, 0), "degree must be at least 2, got 0"),
        (lambda: time_scales.kernel_phase_end(1.0, 0.5, 2), "must satisfy .* > e, or there is no kernel phase"),
        (lambda: time_scales.diagonal_kernel_phase_end(2.0, 0.1, 0.5, 0.1), "weight_decay must be below .*, got 0.1"),
    ],
)
def test_what_has_no_kernel_phase_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
