"""End points at finite weight decay against Clarabel, closed forms and bounds, and their certificates recomputed."""

from __future__ import annotations

import cvxpy as cp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import entr, expit

from theory import max_margin, regularised

EPSILON = np.finfo(float).eps
LARGEST_GAP = 1e-9
LOSSES = {
    "logistic": lambda f, y: np.logaddexp(0, -y * f),
    "exponential": lambda f, y: np.exp(-y * f),
    "squared": lambda f, y: (f - y) ** 2,
}
SLOPES = {
    "logistic": lambda f, y: -y * expit(-y * f),
    "exponential": lambda f, y: -y * np.exp(-y * f),
    "squared": lambda f, y: 2 * (f - y),
}
CONJUGATES = {
    "logistic": lambda v, y: -entr(-v * y) - entr(1 + v * y),
    "exponential": lambda v, y: -entr(-v * y) + v * y,
    "squared": lambda v, y: (v / 2 + y) ** 2 - y**2,
}


def make_cases():
    generator = np.random.default_rng(0)
    gaussian, signs = generator.normal(size=(10, 40)), generator.choice([-1.0, 1.0], 10)
    tall = generator.normal(size=(60, 6))
    line = np.array([1.0, 2.0, -3.0, 0.5])
    return {
        "wide": (gaussian, signs),
        "wide and tiny": (1e-6 * gaussian, signs),
        "wide and huge": (1e6 * gaussian, signs),
        "tall": (tall, np.sign(tall @ generator.normal(size=6))),
        "duplicates": (np.vstack([gaussian, gaussian[:4]]), np.concatenate([signs, signs[:4]])),
        "duplicate columns": (np.hstack([gaussian[:, :5]] * 3), signs),
        "collinear": (np.outer(line, gaussian[0]), np.sign(line)),
        "one sample": (gaussian[:1], signs[:1]),
        "columns of many sizes": (gaussian * np.logspace(0, -6, 40), signs),
        "inseparable": (generator.normal(size=(80, 5)), generator.choice([-1.0, 1.0], 80)),
        "x and −x": (np.array([[1.0, 2.0, 3.0], [-1.0, -2.0, -3.0], [0.5, 0.0, 1.0]]), np.ones(3)),
    }


CASES = make_cases()
each_loss = pytest.mark.parametrize("loss", LOSSES)
each_case = pytest.mark.parametrize("case", CASES)


def objective(weights, inputs, labels, weight_decay, loss):
    return np.mean(LOSSES[loss](inputs @ weights, labels)) + weight_decay / 2 * np.sum(np.abs(weights))


def critical_weight_decay(inputs, labels, loss):
    """Zero weights are optimal exactly if ‖∇𝓛(0)‖_∞ ≤ λ/2."""
    return 2 * np.max(np.abs(SLOPES[loss](np.zeros(len(labels)), labels) @ inputs)) / len(labels)


def clarabel(inputs, labels, weight_decay, loss):
    weights = cp.Variable(inputs.shape[1])
    outputs = inputs @ weights
    losses = {
        "logistic": cp.logistic(-cp.multiply(labels, outputs)),
        "exponential": cp.exp(-cp.multiply(labels, outputs)),
        "squared": cp.square(outputs - labels),
    }
    cost = cp.sum(losses[loss]) / len(labels) + weight_decay / 2 * cp.norm1(weights)
    tight = dict.fromkeys(("tol_gap_abs", "tol_gap_rel", "tol_feas"), 1e-10)
    return cp.Problem(cp.Minimize(cost)).solve(solver=cp.CLARABEL, **tight)


@each_loss
@pytest.mark.parametrize("case", [case for case in CASES if "tiny" not in case and "huge" not in case])
@pytest.mark.parametrize("weight_decay", [1e-2, 0.3])
def test_least_objective_is_that_of_an_independent_solver(case, weight_decay, loss):
    inputs, labels = CASES[case]
    result = regularised.l1(inputs, labels, weight_decay, loss)
    # Clarabel meets constraints, one per sample and loss, to 1e-10 each.
    assert result.objective == pytest.approx(
        clarabel(inputs, labels, weight_decay, loss), rel=LARGEST_GAP + 1e-9, abs=1e-9
    )


@each_case
@each_loss
@pytest.mark.parametrize("weight_decay", [1e-8, 1e-4, 1e-2, 1.0, 10.0])
def test_certificate_holds_when_recomputed(case, weight_decay, loss):
    inputs, labels = CASES[case]
    n, d = inputs.shape
    result = regularised.l1(inputs, labels, weight_decay, loss)
    # Rounding of an output, ε d |w||x|, moves a loss by its slope at most times that; slopes sum to ‖a‖₁.
    largest = np.max(np.abs(inputs))
    rounding = 4 * EPSILON * (1 + d * largest * np.sum(np.abs(result.weights)) * np.sum(np.abs(result.duals)))
    assert result.status == "optimal"
    assert result.objective == pytest.approx(
        objective(result.weights, inputs, labels, weight_decay, loss), rel=4 * n * EPSILON, abs=rounding
    )
    correlation_rounding = 4 * n * EPSILON * largest * np.max(np.abs(result.duals))
    assert np.max(np.abs(result.duals @ inputs)) <= weight_decay / 2 + correlation_rounding
    conjugate = CONJUGATES[loss](-n * result.duals, labels)
    conjugate_rounding = 8 * EPSILON * (1 + np.mean(np.abs(conjugate)))
    assert result.dual_objective == pytest.approx(-np.mean(conjugate), rel=n * EPSILON, abs=conjugate_rounding)
    gap = 1 - result.dual_objective / result.objective
    assert result.duality_gap == pytest.approx(gap, abs=2 * EPSILON)
    assert -n * EPSILON <= result.duality_gap <= LARGEST_GAP
    assert result.parameter_norm**2 == pytest.approx(np.sum(np.abs(result.weights)), rel=d * EPSILON)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**31),
    n=st.integers(1, 12),
    d=st.integers(1, 12),
    exponent=st.floats(-8, 1),
    loss=st.sampled_from(list(LOSSES)),
)
def test_no_weights_and_no_network_go_below_the_dual_objective(seed, n, d, exponent, loss):
    generator = np.random.default_rng(seed)
    inputs, labels, decay = generator.normal(size=(n, d)), generator.choice([-1.0, 1.0], n), 10**exponent
    result = regularised.l1(inputs, labels, decay, loss)
    assert result.status == "optimal"
    sizes = np.logspace(-8, 0, 20)[:, None] * np.max(np.abs(result.weights))
    rivals = [*generator.normal(size=(20, d)), *(result.weights + sizes * generator.normal(size=(20, d)))]
    least = result.dual_objective * (1 - n * d * EPSILON)
    assert all(objective(rival, inputs, labels, decay, loss) >= least for rival in rivals)
    u, v = np.sqrt(np.abs(rivals)), 0.1 * generator.normal(size=(40, d))
    losses = [np.mean(LOSSES[loss](inputs @ w, labels)) for w in u**2 - v**2]
    assert np.all(losses + decay / 2 * np.sum(u**2 + v**2, axis=1) >= least)


@each_loss
@pytest.mark.parametrize("case", ["wide", "tall", "inseparable"])
def test_training_the_diagonal_network_ends_there(case, loss):
    inputs, labels = CASES[case]
    (n, d), decay = inputs.shape, 0.1
    result = regularised.l1(inputs, labels, decay, loss)

    def train_objective(parameters):
        u, v = parameters[:d], parameters[d:]
        outputs = inputs @ (u**2 - v**2)
        slope = SLOPES[loss](outputs, labels) @ inputs / n
        gradient = np.concatenate([(2 * slope + decay) * u, (decay - 2 * slope) * v])
        return np.mean(LOSSES[loss](outputs, labels)) + decay / 2 * np.sum(parameters**2), gradient

    tight = {"ftol": 0.0, "gtol": 1e-7, "maxiter": 10_000, "maxfun": 20_000}
    end = minimize(train_objective, np.full(2 * d, 0.5), jac=True, method="L-BFGS-B", options=tight)
    # The minimum is quadratic: a gradient of 1e-7 leaves far less than √ε of the objective.
    assert result.dual_objective <= end.fun <= result.objective * (1 + np.sqrt(EPSILON))
    balanced = np.sqrt(np.maximum(np.concatenate([result.weights, -result.weights]), 0))
    assert train_objective(balanced)[0] == pytest.approx(result.objective, rel=n * d * EPSILON)
    assert np.linalg.norm(balanced) == pytest.approx(result.parameter_norm, rel=d * EPSILON)


@each_loss
@pytest.mark.parametrize("fraction", [1e-6, 1e-3, 0.5, 0.9])
def test_one_sample_has_a_closed_form(fraction, loss):
    inputs = np.array([[0.3, -2.0, 1.5]])
    decay = fraction * critical_weight_decay(inputs, np.ones(1), loss)
    result = regularised.l1(inputs, np.ones(1), decay, loss)
    # ℓ'(f) = −λ/(2 max|x|), all of it through the largest coordinate; −ℓ'(0) = ½, 1, 2 at fraction 1.
    output = {"logistic": np.log(2 / fraction - 1), "exponential": -np.log(fraction), "squared": 1 - fraction}[loss]
    curvature = {"logistic": fraction / 2 * (1 - fraction / 2), "exponential": fraction, "squared": 2.0}[loss]
    # objective ≥ least + ½·curvature·Δf² to leading order; twice that leaves room for the rest.
    error = 2 * np.sqrt(2 * LARGEST_GAP * result.objective / curvature)
    assert (inputs @ result.weights)[0] == pytest.approx(output, abs=error)
    # Every other coordinate costs |w|(λ/2)(1 − |x_j|/max|x|) more than it brings.
    others = np.abs(result.weights[[0, 2]]) @ (1 - np.array([0.3, 1.5]) / 2)
    assert others * decay / 2 <= LARGEST_GAP * result.objective
    assert result.weights[1] == pytest.approx(-output / 2, abs=error + np.sum(np.abs(result.weights[[0, 2]])))


@pytest.mark.parametrize("weight_decay", [1e-8, 1e-3, 1.0, 4.0])
def test_orthogonal_inputs_and_squared_loss_give_a_soft_threshold(weight_decay):
    generator = np.random.default_rng(1)
    inputs = np.sqrt(30) * np.linalg.qr(generator.normal(size=(30, 8)))[0]
    targets = generator.normal(size=30)
    result = regularised.l1(inputs, targets, weight_decay, "squared")
    least_squares = inputs.T @ targets / 30
    expected = np.sign(least_squares) * np.maximum(np.abs(least_squares) - weight_decay / 4, 0)
    # objective ≥ least + ‖w − w*‖².
    assert np.sum((result.weights - expected) ** 2) <= (LARGEST_GAP + 30 * EPSILON) * result.objective


@each_case
@each_loss
def test_weights_vanish_exactly_from_the_critical_weight_decay_on(case, loss):
    inputs, labels = CASES[case]
    critical = critical_weight_decay(inputs, labels, loss)
    at_zero = np.mean(LOSSES[loss](np.zeros(len(labels)), labels))
    for factor in (1.001, 2.0, 1e6):
        result = regularised.l1(inputs, labels, factor * critical, loss)
        # objective ≥ 𝓛(0) + (λ − λ_c)/2·‖w‖₁.
        assert (factor - 1) * critical / 2 * np.sum(np.abs(result.weights)) <= LARGEST_GAP * at_zero
        assert result.objective == pytest.approx(at_zero, rel=LARGEST_GAP)
    below = regularised.l1(inputs, labels, 0.9 * critical, loss)
    assert below.objective < at_zero * (1 - 2 * LARGEST_GAP)
    assert below.parameter_norm > 0


@pytest.mark.parametrize("loss", ["logistic", "exponential"])
@pytest.mark.parametrize("case", ["wide", "tall", "duplicates", "collinear", "one sample"])
def test_small_weight_decay_leads_to_the_largest_l1_margin(case, loss):
    inputs, labels = CASES[case]
    n = len(labels)
    best = max_margin.l1(inputs, labels)
    bounds = []
    for weight_decay in (1e-8, 1e-20, 1e-40):
        result = regularised.l1(inputs, labels, weight_decay, loss)
        # The best direction at norm s/γ, s = log(2γ/λ), has an objective of at most (λ/2γ)(1 + s), for losses below
        # e^(−s). So ‖w‖₁ ≤ (1 + s)/γ, and no loss exceeds n times that objective, which bounds the least output.
        size = 1 + np.log(2 * best.margin / weight_decay)
        most = n * weight_decay / (2 * best.margin) * size
        least_output = -np.log(np.expm1(most) if loss == "logistic" else most)
        norm, output = np.sum(np.abs(result.weights)), np.min(labels * (inputs @ result.weights))
        assert least_output / best.margin <= norm <= size / best.margin
        bounds.append(least_output / size)
        assert bounds[-1] <= output / norm / best.margin <= 1 / (1 - best.duality_gap) + n * EPSILON
    assert bounds[0] < bounds[1] < bounds[2]
    assert bounds[2] > 0.85


@pytest.mark.parametrize("loss", ["logistic", "exponential"])
def test_small_weight_decay_does_not_lead_to_the_largest_l2_margin(loss):
    inputs, labels = CASES["wide"]
    weights = regularised.l1(inputs, labels, 1e-40, loss).weights
    margins = [np.min(labels * (inputs @ w)) / np.sum(np.abs(w)) for w in (weights, max_margin.l2(*CASES["wide"])[0])]
    assert margins[1] < 0.85 * margins[0]


@each_loss
@pytest.mark.parametrize("weight_decay", [1e-5, 0.1])
@pytest.mark.parametrize(
    "change",
    [
        lambda x, y, decay: (np.vstack([x, x]), np.tile(y, 2), decay),
        lambda x, y, decay: (np.hstack([x, -x]), y, decay),
        lambda x, y, decay: (x[::-1, ::-1], y[::-1], decay),
        lambda x, y, decay: (1e3 * x, y, 1e3 * decay),
        lambda x, y, decay: (1e-3 * x, -y, 1e-3 * decay),
    ],
    ids=["samples twice", "columns with both signs", "backwards", "all larger", "all smaller, labels flipped"],
)
def test_equivalent_problems_have_equal_objectives(change, weight_decay, loss):
    inputs, labels = CASES["tall"]
    problems = (inputs, labels, weight_decay), change(inputs, labels, weight_decay)
    objectives = [regularised.l1(x, y, decay, loss).objective for x, y, decay in problems]
    assert objectives[1] == pytest.approx(objectives[0], rel=2 * LARGEST_GAP)


@pytest.mark.parametrize(("seed", "weight_decay"), [(3600, 1e-8), (652, 1e-9), (888, 1e-6)])
def test_steps_that_circle_or_overflow_do_not_keep_from_the_optimum(seed, weight_decay):
    generator = np.random.default_rng(seed)
    inputs, labels = generator.normal(size=(20, 10)), generator.choice([-1.0, 1.0], 20)
    result = regularised.l1(inputs, labels, weight_decay, "exponential")
    assert result.status == "optimal"
    assert result.duality_gap <= LARGEST_GAP


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.ones((2, 3)), np.array([0.5, 1.0]), 0.1), "labels must be −1 or 1, got 0.5"),
        ((np.ones((2, 3)), np.ones(3), 0.1), r"labels must have shape \(2,\).*got \(3,\)"),
        ((np.ones((2, 3)), np.array([1.0, np.nan]), 0.1, "squared"), "labels must be finite, got nan"),
        ((np.array([[-np.inf]]), np.ones(1), 0.1), "inputs must be finite, got -inf"),
        ((np.ones((2, 3)), np.ones(2), 0.0), "weight_decay must be positive and finite, got 0.0"),
        ((np.ones((2, 3)), np.ones(2), np.nan), "weight_decay must be positive and finite, got nan"),
        (
            (np.ones((2, 3)), np.ones(2), 0.1, "hinge"),
            "loss must be one of logistic, exponential, squared, got 'hinge'",
        ),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        regularised.l1(*arguments)
