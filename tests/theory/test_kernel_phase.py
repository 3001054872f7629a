"""Bounds of the kernel phase against many digits and integrated diagonal nets, and constants that must fail."""

from __future__ import annotations

import inspect
from decimal import Decimal, localcontext
from functools import cache
from typing import NamedTuple

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from theory import kernel_phase, time_scales

EPSILON = np.finfo(float).eps
FEW = 64 * EPSILON

ONE = np.array([[1.0, -0.7, 0.4]])
TWO = np.array([[1.0, -0.7, 0.4], [0.3, 0.9, 0.6]])
FOUR = np.eye(4)
INPUTS = {"one": ONE, "two": TWO, "four orthogonal": FOUR}
TARGETS = {"one": np.array([1.3]), "two": np.array([1.0, -0.6]), "four orthogonal": np.array([1.0, -1.0, 1.0, 0.5])}


class Flow(NamedTuple):
    """A diagonal net ⟨u^L − v^L, x⟩ from (u, v) = α·1, where its features have not moved too far."""

    times: np.ndarray
    log_scale: np.ndarray
    log_loss: np.ndarray
    drift: np.ndarray  # ‖δ‖
    margin: float | np.floating
    feature_norm: float | np.floating
    gram: np.ndarray
    targets: np.ndarray


def features(inputs, direction, degree):
    u, v = np.split(direction, 2)
    return degree * np.hstack([inputs * u ** (degree - 1), -inputs * v ** (degree - 1)])


def kernel_margin(signed):
    """Distance of 0 from the convex hull of one or two points, or of orthogonal ones of one length."""
    if len(signed) == 2:
        first, second = signed
        weight = np.clip(second @ (second - first) / np.sum((second - first) ** 2), 0, 1)
        return np.linalg.norm(weight * first + (1 - weight) * second)
    return np.linalg.norm(signed.mean(axis=0))


@cache
def flow(loss, case, degree, alpha, weight_decay):
    """θ = αe^(−λt)(1 + δ), δ' = −∇𝓛/(αe^(−λt)), in all 2d weights, until the features have moved too far."""
    inputs = INPUTS[case]
    targets = TARGETS[case] if loss == "squared" else np.sign(TARGETS[case])
    n, d = inputs.shape

    def outputs(scale, delta):
        # u^L − 1, which loses no digits to the 1.
        u, v = np.split(np.expm1(degree * np.log1p(delta)), 2)
        return scale**degree * (inputs @ (u - v))

    def field(time, delta):
        scale = alpha * np.exp(-weight_decay * time)
        f = outputs(scale, delta)
        slope = 2 * (f - targets) if loss == "squared" else -targets * np.exp(-targets * f)
        return -(scale ** (degree - 2)) * (slope / n) @ features(inputs, 1 + delta, degree)

    start = np.zeros(2 * d)
    times = np.concatenate([[0.0], np.geomspace(1e-8, np.log(alpha), 400)]) / weight_decay
    run = solve_ivp(field, (0, times[-1]), start, "LSODA", t_eval=times, rtol=1e-11, atol=1e-15)
    assert run.success
    initial = features(inputs, 1 + start, degree)
    moved = [features(inputs, 1 + delta, degree) for delta in run.y.T]
    gram = initial @ initial.T
    if loss == "squared":
        least = np.linalg.eigvalsh(gram)[0]
        margin, inside = np.nan, [np.linalg.eigvalsh(m @ m.T)[0] >= least / 2 for m in moved]
    else:
        margin = kernel_margin(targets[:, None] * initial)
        inside = [np.linalg.norm(m - initial, axis=1).max() <= margin / 2 for m in moved]
    end = len(times) if all(inside) else inside.index(False)
    log_scale = np.log(alpha) - weight_decay * times[:end]
    f = np.array([outputs(np.exp(s), delta) for s, delta in zip(log_scale, run.y.T[:end], strict=True)])
    losses = (f - targets) ** 2 if loss == "squared" else np.exp(-targets * f)
    return Flow(
        times[:end],
        log_scale,
        np.log(losses.mean(axis=1)),
        np.linalg.norm(run.y.T[:end], axis=1),
        margin,
        max(np.linalg.norm(m, axis=1).max() for m in moved[:end]),
        gram,
        targets,
    )


each_flow = pytest.mark.parametrize(
    ("case", "degree", "alpha", "weight_decay"),
    [("one", 2, 100.0, 1e-3), ("one", 3, 30.0, 1e-2), ("two", 2, 100.0, 1e-3), ("two", 3, 30.0, 1e-2)],
)
# Residuals as small as λ/s^(2(L−1)) of the outputs must not drown in the integrator's error, so α is moderate.
each_regression = pytest.mark.parametrize(
    ("case", "degree", "alpha", "weight_decay"),
    [("one", 2, 20.0, 1e-2), ("one", 3, 8.0, 1e-2), ("two", 2, 20.0, 1e-2), ("two", 3, 8.0, 1e-2)],
)
# What integration at relative tolerance 1e-11 may leave in the logarithm of a loss.
INTEGRATION = 1e-3


def upper(run, alpha, weight_decay, degree, times=None):
    times = run.times if times is None else times
    return kernel_phase.exponential_loss_upper_bound(times, np.log(alpha), weight_decay, run.margin, degree)


def lower(run, alpha, weight_decay, degree):
    n = len(run.targets)
    return kernel_phase.exponential_loss_lower_bound(
        run.times, np.log(alpha), weight_decay, run.feature_norm, n, degree
    )


def squared(run, alpha, weight_decay, degree, times=None, printed=False):
    times = run.times if times is None else times
    least, norm = np.linalg.eigvalsh(run.gram)[0], np.linalg.norm(run.targets)
    return kernel_phase.squared_loss_upper_bound(
        times, np.log(alpha), weight_decay, least, norm, len(run.targets), degree, printed=printed
    )


def has_fitted(run, alpha, weight_decay, degree):
    """Where what is left of the initial residual, e^(−40), is nothing."""
    power = 2 * (degree - 1)
    rate = 2 * np.linalg.eigvalsh(run.gram)[0] / len(run.targets) * alpha**power
    return rate * (1 - np.exp(-power * weight_decay * run.times)) / (power * weight_decay) > 40


def exact_log_inverse(log_y):
    """Newton's method for w + log w = log y in Decimal."""
    w = log_y if log_y > 1 else log_y.exp()
    for _ in range(12):
        w = w * (1 + log_y - w.ln()) / (1 + w)
    return w


each_log_y = pytest.mark.parametrize("log_y", [-1e4, -600.0, -3.0, 0.0, 0.7, 30.0, 800.0, 1e4, 1e12])


@each_log_y
def test_the_inverse_of_x_log_x_is_exact_for_any_argument(log_y):
    with localcontext(prec=50, Emax=10**15):
        expected = float(exact_log_inverse(Decimal(log_y)))
    assert kernel_phase.log_inverse_xlogx(log_y) == pytest.approx(expected, rel=FEW, abs=0)


@each_log_y
def test_the_inverse_is_at_least_y_over_log_of_y_plus_one(log_y):
    with localcontext(prec=50, Emax=10**15):
        y = Decimal(log_y).exp()
        # log(1 + y) = y − y²/2 where 1 + y would be rounded to 1.
        logarithm = (1 + y).ln() if log_y > -40 else y - y * y / 2
        expected = float((y / logarithm).ln())
    bound = kernel_phase.log_inverse_lower_bound(log_y)
    assert bound == pytest.approx(expected, rel=FEW, abs=FEW)
    assert bound <= kernel_phase.log_inverse_xlogx(log_y) + FEW * abs(log_y)
    # Not with y/log y, which exceeds F⁻¹ just above 1.
    if 0 < log_y < 1:
        assert log_y - np.log(log_y) > kernel_phase.log_inverse_xlogx(log_y)


@pytest.mark.parametrize("spread", [0.01, 1.0, 30.0, 1e4])
def test_the_entropy_term_lies_in_its_bracket(spread):
    margins = spread * np.random.default_rng(0).normal(size=(50, 6))
    bracket = kernel_phase.entropy_bracket(margins)
    rounding = FEW * spread
    assert np.all(bracket.lower <= bracket.middle + rounding)
    assert np.all(bracket.middle <= bracket.upper + rounding)
    np.testing.assert_allclose(bracket.upper - bracket.lower, np.log(6), atol=rounding)
    if spread <= 30:
        losses = np.exp(-margins)
        np.testing.assert_allclose(bracket.upper, -np.log(losses.mean(-1)), atol=rounding)
        np.testing.assert_allclose(bracket.middle, (losses * margins).mean(-1) / losses.mean(-1), atol=rounding)


def test_the_entropy_bracket_is_tight_at_equal_margins_and_for_one_sample_that_dominates():
    equal = kernel_phase.entropy_bracket(np.full(5, 2.5))
    assert equal.middle == pytest.approx(equal.upper, rel=FEW)
    single = kernel_phase.entropy_bracket([2.5, 1e4, 1e4])
    assert single.middle == pytest.approx(single.lower, rel=FEW)


@pytest.mark.parametrize("log_alpha", [0.5, 69.0, 1e4])
@pytest.mark.parametrize("scaled_time", [0.0, 1e-9, 0.6])
@pytest.mark.parametrize("degree", [2, 5])
def test_bounds_equal_their_printed_forms_in_many_digits(log_alpha, scaled_time, degree):
    decay, margin, norm, n, size = 1e-3, 0.7, 2.1, 5, 3.3
    times = scaled_time * log_alpha / decay
    upper = kernel_phase.exponential_loss_upper_bound(times, log_alpha, decay, margin, degree)
    lower = kernel_phase.exponential_loss_lower_bound(times, log_alpha, decay, norm, n, degree)
    regression = [
        kernel_phase.squared_loss_upper_bound(times, log_alpha, decay, margin, size, n, degree, printed=printed)
        for printed in (True, False)
    ]
    with localcontext(prec=60):
        decay, margin, norm, size = (Decimal(value) for value in (decay, margin, norm, size))
        power = 2 * (degree - 1)
        a = (power * Decimal(log_alpha)).exp() / decay
        shrunk = (-power * decay * Decimal(float(times))).exp()
        inverse = lambda y: exact_log_inverse(y.ln()).exp()
        early = 1 / (1 + margin**2 / (8 * power) * a * (1 - shrunk))
        late = 1 / shrunk / (inverse(margin**2 * a / (8 * degree)) - 1)
        expected = {"early": early, "late": late, "bound": max(early, late)}
        expected = {name: float(value.ln()) for name, value in expected.items()}
        loss = -exact_log_inverse((norm**2 * a * shrunk * 2 / (n * degree)).ln()) - Decimal(n).ln()
        branches = []
        for printed in (True, False):
            rate = margin * a / ((4 if printed else 1) * n * power) * (1 - shrunk)
            factor = (16 if printed else 4) * n * degree**2 * (size / margin / a / shrunk) ** 2
            branches.append((float((size**2 / n).ln() - rate), float(factor.ln())))
    # The time itself is rounded: the branches hold e^(2(L−1)λt), and log α² enters with 2(L−1).
    rounding = FEW * (1 + 4 * degree * log_alpha)
    for name, value in expected.items():
        # 1 − e^(−x) takes the rounding of x, relative.
        assert getattr(upper, name) == pytest.approx(value, abs=rounding)
    assert lower.late == pytest.approx(float(loss), abs=rounding)
    assert lower.early == pytest.approx(-np.log(n) - 3 + 4 / degree, rel=FEW)
    assert lower.bound == min(lower.early, lower.late)
    for bound, (first, second) in zip(regression, branches, strict=True):
        assert bound.early == pytest.approx(first, rel=rounding)
        assert bound.late == pytest.approx(second, abs=2 * rounding)
        assert bound.bound == max(bound.early, bound.late)


@each_flow
def test_the_exponential_loss_of_a_flow_lies_between_its_bounds(case, degree, alpha, weight_decay):
    run = flow("exponential", case, degree, alpha, weight_decay)
    assert len(run.times) > 350  # The phase, as features go, lasts until s is a few units.
    above, below = upper(run, alpha, weight_decay, degree), lower(run, alpha, weight_decay, degree)
    assert np.all(run.log_loss <= above.bound + INTEGRATION)
    assert np.all(run.log_loss >= below.bound - INTEGRATION)
    # Both branches of the upper bound are needed.
    assert np.any(run.log_loss > above.early + 1)
    assert np.any(run.log_loss > above.late + 1)


@each_flow
def test_the_bounds_on_the_exponential_loss_leave_no_room_for_other_constants(case, degree, alpha, weight_decay):
    run = flow("exponential", case, degree, alpha, weight_decay)
    above, below = upper(run, alpha, weight_decay, degree), lower(run, alpha, weight_decay, degree)
    # Two factors 2 for half the margin, one for half the decrease, and log A for log(1/𝓛) < log A.
    assert np.any(run.log_loss > above.bound - np.log(32))
    # A factor n and a factor 2 lie between the balance of n orthogonal samples and the lower bound.
    assert np.any(run.log_loss < below.bound + np.log(2.1 * len(run.targets)))
    # Half the power of the scale fails at once.
    assert np.any(run.log_loss > upper(run, alpha, weight_decay, degree, run.times / 2).bound + 0.5)


def test_the_printed_lower_bound_exceeds_the_loss_of_orthogonal_samples():
    run = flow("exponential", "four orthogonal", 2, 100.0, 1e-3)
    below = lower(run, 100.0, 1e-3, 2)
    assert np.all(run.log_loss >= below.bound - INTEGRATION)
    printed = np.minimum(np.log(4) + (below.late + np.log(4)), np.log(1 / 4) + 1 - 2e-3)
    assert np.any(run.log_loss < printed - 0.5)


@pytest.mark.parametrize("degree", [2, 3])
def test_the_constant_branch_of_the_lower_bound_is_needed_once_the_scale_is_small(degree):
    alpha, weight_decay = 30.0, 1e-2

    def field(time, margin):
        # One sample with features that never move, of norm 1: all the lower bound asks for, at all times.
        power = 2 * (degree - 1)
        return np.exp(power * (np.log(alpha) - weight_decay * time) - margin) - weight_decay * degree * margin

    times = np.linspace(0, 9, 200) / weight_decay
    run = solve_ivp(field, (0, times[-1]), [0.0], "LSODA", t_eval=times, rtol=1e-10, atol=1e-13)
    below = kernel_phase.exponential_loss_lower_bound(times, np.log(alpha), weight_decay, 1.0, 1, degree)
    assert np.all(-run.y[0] >= below.bound - INTEGRATION)
    assert np.any(-run.y[0] < below.late - 1e-3)


@each_regression
def test_the_squared_loss_of_a_flow_stays_below_its_bound(case, degree, alpha, weight_decay):
    run = flow("squared", case, degree, alpha, weight_decay)
    bound = squared(run, alpha, weight_decay, degree)
    assert np.all(run.log_loss <= bound.bound + INTEGRATION)
    assert np.any(run.log_loss > bound.early + 1)
    assert np.any(run.log_loss > bound.late + 1)
    # The printed constants are looser everywhere.
    printed = squared(run, alpha, weight_decay, degree, printed=True)
    assert np.all(printed.early >= bound.early)
    np.testing.assert_allclose(printed.late - bound.late, np.log(4), rtol=1e-9)
    # A sixteenth of the late branch, and the smallest ratio of ‖K⁻¹y‖ to ‖y‖/ν, is what the flow reaches.
    solution = np.linalg.norm(np.linalg.solve(run.gram, run.targets))
    ratio = solution * np.linalg.eigvalsh(run.gram)[0] / np.linalg.norm(run.targets)
    assert np.any(run.log_loss > bound.bound + np.log(ratio**2 / 17))
    # Half the power of the scale fails at once.
    assert np.any(run.log_loss > squared(run, alpha, weight_decay, degree, run.times / 2).bound + 1)


@each_regression
def test_the_late_squared_loss_is_that_of_the_flow(case, degree, alpha, weight_decay):
    run = flow("squared", case, degree, alpha, weight_decay)
    least, n, power = np.linalg.eigvalsh(run.gram)[0], len(run.targets), 2 * (degree - 1)
    # Features move K by (‖δ‖L)² here, as u and v drift opposite ways.
    late = has_fitted(run, alpha, weight_decay, degree) & (run.drift < 0.02)
    assert np.sum(late) > 20
    scale = np.exp(run.log_scale[late])
    predicted = kernel_phase.late_squared_loss(run.gram, run.targets, scale, weight_decay, degree)
    # The next order: (2/n)s^(2(L−1))K + λ(3L − 2) in the place of (2/n)s^(2(L−1))K.
    correction = n * weight_decay * (3 * degree - 2) / (least * np.min(scale) ** power)
    tolerance = correction + 2 * (0.02 * degree) ** 2 + INTEGRATION
    assert tolerance < 0.05
    np.testing.assert_allclose(np.exp(run.log_loss[late]), predicted, rtol=tolerance)
    for factor, other in ((0.5, degree), (1.0, degree + 1)):
        wrong = factor * kernel_phase.late_squared_loss(run.gram, run.targets, scale, weight_decay, other)
        assert np.all(np.abs(np.exp(run.log_loss[late]) / wrong - 1) > 0.3)


def test_the_late_squared_loss_is_a_sixteenth_of_its_bound_for_equal_eigenvalues():
    gram, targets, times = 3.0 * np.eye(4), np.array([1.0, -2.0, 0.5, 0.0]), np.array([2e3, 4e3])
    bound = kernel_phase.squared_loss_upper_bound(times, 1e4, 1e-3, 3.0, np.linalg.norm(targets), 4, 3)
    loss = kernel_phase.log_late_squared_loss(gram, targets, 1e4 - 1e-3 * times, 1e-3, 3)
    np.testing.assert_allclose(bound.bound - loss, np.log(16), atol=FEW * 8e4)


def test_features_that_repeat_are_handled_if_the_targets_agree():
    gram = np.array([[2.0, 2.0, 0.5], [2.0, 2.0, 0.5], [0.5, 0.5, 1.0]])
    loss = kernel_phase.late_squared_loss(gram, [1.0, 1.0, -1.0], 10.0, 1e-3, 2)
    coefficients = np.linalg.pinv(gram) @ [1.0, 1.0, -1.0]
    expected = np.mean((3 * 1e-3 * 2 / 2 / 100 * coefficients) ** 2)
    assert loss == pytest.approx(expected, rel=1e-12)
    with pytest.raises(ValueError, match="targets must lie in the range of gram, got"):
        kernel_phase.late_squared_loss(gram, [1.0, -1.0, -1.0], 10.0, 1e-3, 2)


@pytest.mark.parametrize("degree", [2, 3, 5])
def test_the_late_exponential_loss_is_the_balance_of_time_scales(degree):
    scales = np.logspace(-2, 60, 20)
    loss = kernel_phase.log_late_exponential_loss(np.log(scales), 1e-4, 0.6, degree)
    np.testing.assert_allclose(-loss, time_scales.kernel_phase_margin(scales, 1e-4, 0.6, degree), rtol=FEW)
    # And past floating point: log 𝓛 + log γ²s^(2(L−1)) = log(λL log(1/𝓛)).
    beyond = kernel_phase.log_late_exponential_loss(1e4, 1e-4, 0.6, degree)
    left = beyond + 2 * np.log(0.6) + 2 * (degree - 1) * 1e4
    assert left == pytest.approx(np.log(1e-4 * degree * -beyond), abs=FEW * 1e5)


@pytest.mark.parametrize(("degree", "alpha", "weight_decay"), [(2, 100.0, 1e-3), (3, 30.0, 1e-2)])
def test_the_late_exponential_loss_of_one_sample_is_that_of_the_flow(degree, alpha, weight_decay):
    run = flow("exponential", "one", degree, alpha, weight_decay)
    predicted = kernel_phase.log_late_exponential_loss(run.log_scale, weight_decay, run.margin, degree)
    # Late in the phase: growth, at the rate λL(1 + q), has had time to reach the balance.
    late = (weight_decay * run.times * degree * (1 - predicted) > 8) & (run.drift < 0.1)
    assert np.sum(late) > 5
    lag = 2 * (degree - 1) / degree * -predicted[late] / (1 - predicted[late]) ** 2
    np.testing.assert_allclose(predicted[late] - run.log_loss[late], lag, rtol=0.25)
    other = kernel_phase.log_late_exponential_loss(run.log_scale, weight_decay, run.margin / 2, degree)
    assert np.all(np.abs(other[late] - run.log_loss[late]) > 5 * lag)


@each_regression
def test_the_drift_of_the_squared_loss_has_its_order_and_the_kernel_norm_for_a_constant(
    case, degree, alpha, weight_decay
):
    run = flow("squared", case, degree, alpha, weight_decay)
    order = kernel_phase.log_drift_order(run.times, np.log(alpha), weight_decay, degree, "squared")
    norm = np.sqrt(run.targets @ np.linalg.solve(run.gram, run.targets))
    late = has_fitted(run, alpha, weight_decay, degree) & (run.drift < 0.02)
    assert np.sum(late) > 100
    np.testing.assert_allclose(np.log(run.drift[late]) - order[late], np.log(norm), atol=1e-2)
    wrong = kernel_phase.log_drift_order(run.times, np.log(alpha), weight_decay, degree + 1, "squared")
    assert np.ptp(np.log(run.drift[late]) - wrong[late]) > 1


@pytest.mark.parametrize(("degree", "alpha", "weight_decay"), [(2, 100.0, 1e-3), (3, 30.0, 1e-2)])
def test_the_drift_of_the_exponential_loss_is_of_its_order_with_the_margin_for_a_constant(degree, alpha, weight_decay):
    run = flow("exponential", "one", degree, alpha, weight_decay)
    order = kernel_phase.log_drift_order(run.times, np.log(alpha), weight_decay, degree)
    constant = np.log(run.drift[1:]) - order[1:]
    # log(1/𝓛) ≤ log(γ²A/(16(L−1)) + 1) in C.4 bounds the growth.
    log_a = 2 * (degree - 1) * np.log(alpha) - np.log(weight_decay)
    assert np.all(constant <= np.log((log_a + 2 * np.log(run.margin)) / log_a / run.margin))
    small = run.drift < 0.02
    leading = run.log_scale * -degree + np.log(-run.log_loss, where=small & (run.times > 0), out=np.zeros(len(small)))
    small[0] = False
    np.testing.assert_allclose(np.log(run.drift[small]), leading[small] - np.log(run.margin), atol=1e-3)


@pytest.mark.parametrize("degree", [2, 3, 4])
@pytest.mark.parametrize(("c", "power"), [(0.3, 1.0), (0.8, 0.5)])
def test_the_proofs_normaliser_is_that_of_the_balance_and_the_printed_one_is_not(degree, c, power):
    log_alpha, margin = np.array([1e2, 1e3, 1e4, 1e5]), 0.6
    ratios = {True: [], False: []}
    for value in log_alpha:
        # λ = α^(−p), as far as floating point reaches: a larger α changes λ no more.
        decay = np.exp(-min(power * value, 600.0))
        q = -kernel_phase.log_late_exponential_loss(c * value, decay, margin, degree)
        for printed, ratio in ratios.items():
            ratio.append(margin * kernel_phase.normaliser(value, decay, margin, c, degree, printed=printed) / q)
    correct = np.abs(np.array(ratios[False]) - 1)
    assert np.all(np.diff(correct) < 0)
    assert correct[-1] < 1e-3
    assert ratios[True][-1] == pytest.approx(1 / (2 * (degree - 1)), rel=0.05)


ARGUMENTS = {
    "exponential_loss_upper_bound": (7.0, 3.0, 1e-3, 0.4, 3),
    "exponential_loss_lower_bound": (7.0, 3.0, 1e-3, 0.4, 5, 3),
    "squared_loss_upper_bound": (7.0, 3.0, 1e-3, 0.4, 2.0, 5, 3),
    "log_drift_order": (7.0, 3.0, 1e-3, 3),
    "normaliser": (3.0, 1e-3, 0.4, 0.5, 3),
    "log_late_exponential_loss": (3.0, 1e-3, 0.4, 3),
}
each_function = pytest.mark.parametrize("name", ARGUMENTS)


@each_function
def test_arrays_broadcast_to_what_scalars_give(name):
    function, arguments = getattr(kernel_phase, name), ARGUMENTS[name]
    first, second = np.array([[0.5], [70.0], [900.0]]), np.array([1e-4, 0.2, 0.4])
    position = 1 if name in ("normaliser", "log_late_exponential_loss") else 2
    before = lambda value: (value, *arguments[1:position])
    together = function(*before(first), second, *arguments[position + 1 :])
    alone = [[function(*before(float(a)), b, *arguments[position + 1 :]) for b in second] for a in first[:, 0]]
    if isinstance(together, kernel_phase.LogLossBound):
        alone = [[single.bound for single in row] for row in alone]
        assert together.early.shape == together.late.shape == (3, 3)
        together = together.bound
    assert together.shape == (3, 3)
    np.testing.assert_allclose(together, alone, rtol=FEW)


@each_function
@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_what_is_not_finite_is_named(name, wrong):
    function, arguments = getattr(kernel_phase, name), ARGUMENTS[name]
    for position in range(len(arguments) - 1):
        changed = (*arguments[:position], wrong, *arguments[position + 1 :])
        argument = list(inspect.signature(function).parameters)[position]
        with pytest.raises(ValueError, match=rf"^{argument} must be .*finite, got {wrong}$"):
            function(*changed)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: kernel_phase.exponential_loss_upper_bound(-1.0, 3.0, 1e-3, 0.4, 2), "times must not be negative"),
        (lambda: kernel_phase.exponential_loss_upper_bound(1.0, 3.0, 0.0, 0.4, 2), "weight_decay must be positive"),
        (lambda: kernel_phase.squared_loss_upper_bound(1.0, 3.0, 1e-3, 0.0, 1.0, 2, 2), "least_eigenvalue must be"),
        (lambda: kernel_phase.exponential_loss_lower_bound(1.0, 3.0, 1e-3, 0.4, 2, 1), "degree must be at least 2"),
        (lambda: kernel_phase.normaliser(3.0, 1e-3, 0.4, 1.0, 2), "c must lie strictly between 0 and 1, got 1.0"),
        (lambda: kernel_phase.log_drift_order(1.0, -9.0, 1e-3, 2), "must satisfy .* > 1, or there is no kernel phase"),
        (lambda: kernel_phase.log_drift_order(1.0, 3.0, 1e-3, 2, "hinge"), "loss must be exponential or squared"),
        (lambda: kernel_phase.entropy_bracket(2.0), r"margins must have shape \(..., n\) with n ≥ 1, got \(\)"),
        (lambda: kernel_phase.late_squared_loss(np.eye(2), [1.0, 2.0], 0.0, 1e-3, 2), "scale must be positive"),
    ],
)
def test_what_is_out_of_range_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
