"""Least-norm interpolants against HiGHS, Clarabel and scikit-learn, their certificates, and data without any."""

from __future__ import annotations

import cvxpy as cp
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog
from sklearn.linear_model import Lasso

from theory import kernel, min_norm, regularised

EPSILON = np.finfo(float).eps
SOLVERS = {"l1": min_norm.l1, "l2": min_norm.l2}
ORDER = {"l1": 1, "l2": 2}
DUAL_ORDER = {"l1": np.inf, "l2": 2}


def make_cases():
    generator = np.random.default_rng(0)
    gaussian, signs = generator.normal(size=(10, 40)), generator.choice([-1.0, 1.0], size=(30, 200))
    teacher = np.zeros(200)
    teacher[[3, 50, 120]] = [1.0, -2.0, 0.5]
    tall = generator.normal(size=(30, 6))
    return {
        "wide": (gaussian, generator.normal(size=10)),
        "wide and tiny": (1e-8 * gaussian, 1e5 * generator.normal(size=10)),
        "sparse teacher": (signs, signs @ teacher),
        "repeated rows": (np.vstack([gaussian, gaussian[:4]]), np.tile(generator.normal(size=10), 2)[:14]),
        "tall": (tall, tall @ generator.normal(size=6)),
        "square": (gaussian[:, :10], generator.normal(size=10)),
        "one sample": (gaussian[:1], np.array([-2.0])),
        "a column of zeros": (gaussian * (np.arange(40) != 7), generator.normal(size=10)),
        "columns of many sizes": (gaussian * np.logspace(0, -6, 40), generator.normal(size=10)),
    }


CASES = make_cases()
INFEASIBLE = {
    "contradiction": (np.array([[1.0, 2.0, 0.0], [1.0, 2.0, 0.0]]), np.array([1.0, 1.5])),
    "zero row": (np.array([[1.0, 0.0], [0.0, 0.0]]), np.array([1.0, -1.0])),
    "tall": (np.random.default_rng(1).normal(size=(20, 5)), np.random.default_rng(2).normal(size=20)),
}
each_case = pytest.mark.parametrize("case", CASES)
each_norm = pytest.mark.parametrize("norm", SOLVERS)


@each_case
@each_norm
def test_the_certificate_holds_when_checked_from_the_data(case, norm):
    inputs, targets = CASES[case]
    result = SOLVERS[norm](inputs, targets)
    assert result.status == "optimal"
    assert result.residual == np.max(np.abs(inputs @ result.weights - targets)) <= 1e-9 * np.max(np.abs(targets))
    assert result.norm == pytest.approx(np.linalg.norm(result.weights, ORDER[norm]), rel=10 * EPSILON)
    assert np.linalg.norm(result.dual @ inputs, DUAL_ORDER[norm]) <= 1 + 10 * EPSILON
    assert result.duality_gap == pytest.approx(1 - targets @ result.dual / result.norm, abs=1e-13)
    assert -1e-9 <= result.duality_gap <= 1e-9
    assert result.rank == np.linalg.matrix_rank(inputs)
    kept = np.linalg.svd(inputs, compute_uv=False)[: result.rank]
    assert result.conditioning == pytest.approx(kept[0] / kept[-1], rel=1e-6)


@each_case
def test_l2_is_the_pseudo_inverse(case):
    inputs, targets = CASES[case]
    expected = np.linalg.lstsq(inputs, targets, rcond=None)[0]
    weights = min_norm.l2(inputs, targets).weights
    np.testing.assert_allclose(weights, expected, atol=1e-9 * float(np.linalg.norm(expected)))


@each_case
def test_l1_has_the_norm_that_highs_finds(case):
    inputs, targets = CASES[case]
    # HiGHS works to absolute tolerances.
    size, length = np.max(np.abs(inputs)), np.max(np.abs(targets))
    equal = np.hstack([inputs, -inputs]) / size
    expected = linprog(np.ones(equal.shape[1]), A_eq=equal, b_eq=targets / length).fun * length / size
    assert min_norm.l1(inputs, targets).norm == pytest.approx(expected, rel=1e-6 if "many" in case else 1e-8)


@pytest.mark.parametrize("case", ["wide", "square", "repeated rows"])
@each_norm
def test_weights_are_those_of_clarabel(case, norm):
    inputs, targets = CASES[case]
    weights = cp.Variable(inputs.shape[1])
    rows = slice(0, 10)  # Repeated rows say nothing new.
    problem = cp.Problem(cp.Minimize(cp.norm(weights, ORDER[norm])), [inputs[rows] @ weights == targets[rows]])
    problem.solve(solver=cp.CLARABEL)
    assert weights.value is not None
    np.testing.assert_allclose(SOLVERS[norm](inputs, targets).weights, weights.value, atol=1e-5)


def test_l1_recovers_a_sparse_teacher_and_l2_does_not():
    inputs, targets = CASES["sparse teacher"]
    late, early = min_norm.l1(inputs, targets), min_norm.l2(inputs, targets)
    assert set(np.flatnonzero(np.abs(late.weights) > 1e-8)) == {3, 50, 120}
    assert late.norm == pytest.approx(3.5, rel=1e-9)
    assert np.sum(np.abs(early.weights) > 1e-3) > 100
    assert late.norm < np.abs(early.weights).sum() / 1.5


@given(st.integers(0, 2**32 - 1), st.integers(1, 8), st.integers(8, 25))
@settings(max_examples=25, deadline=None, derandomize=True)
def test_any_other_interpolant_is_longer_and_any_dual_point_is_lower(seed, n, d):
    generator = np.random.default_rng(seed)
    inputs, targets = generator.normal(size=(n, d)), generator.normal(size=n)
    null = np.eye(d) - np.linalg.pinv(inputs) @ inputs
    for norm, solve in SOLVERS.items():
        result = solve(inputs, targets)
        assert result.status == "optimal"
        others = result.weights[:, None] + null @ generator.normal(size=(d, 20)) * np.logspace(-3, 1, 20)
        assert np.all(np.linalg.norm(others, ORDER[norm], axis=0) >= result.norm * (1 - 2e-9))
        duals = result.dual + 0.1 * generator.normal(size=(20, n))
        sizes = np.linalg.norm(duals @ inputs, DUAL_ORDER[norm], axis=1)
        assert np.all(duals @ targets / sizes <= result.norm * (1 + 2e-9))


@pytest.mark.parametrize("case", INFEASIBLE)
@each_norm
def test_a_dual_ray_proves_that_there_is_no_interpolant(case, norm):
    inputs, targets = INFEASIBLE[case]
    result = SOLVERS[norm](inputs, targets)
    assert result.status == "infeasible"
    assert np.all(np.isnan(result.weights))
    assert np.isnan(result.duality_gap)
    assert result.norm == np.inf
    assert targets @ result.dual == pytest.approx(1, rel=1e-12)
    assert np.max(np.abs(result.dual @ inputs)) < 1e-12 * np.max(np.abs(result.dual))
    fit = inputs @ np.linalg.lstsq(inputs, targets, rcond=None)[0]
    assert result.residual == pytest.approx(np.max(np.abs(fit - targets)), rel=1e-9)


@each_norm
def test_targets_of_zero_need_no_weights(norm):
    result = SOLVERS[norm](CASES["wide"][0], np.zeros(10))
    assert (result.norm, result.duality_gap, result.residual, result.status) == (0.0, 0.0, 0.0, "optimal")


@each_norm
def test_scaling_the_data_scales_the_answer(norm):
    inputs, targets = CASES["wide"]
    once, scaled = SOLVERS[norm](inputs, targets), SOLVERS[norm](1e7 * inputs, 1e-4 * targets)
    np.testing.assert_allclose(1e11 * scaled.weights, once.weights, atol=1e-9 * once.norm)
    np.testing.assert_allclose(1e7 * scaled.dual, once.dual, atol=1e-8 * np.max(np.abs(once.dual)))


@pytest.mark.parametrize("case", ["wide", "repeated rows", "sparse teacher"])
def test_the_kernel_of_linear_features_gives_the_l2_interpolant(case):
    inputs, targets = CASES[case]
    result, expected = min_norm.kernel(inputs @ inputs.T, targets), min_norm.l2(inputs, targets)
    np.testing.assert_allclose(result.coefficients @ inputs, expected.weights, atol=1e-9 * expected.norm)
    assert result.status == "optimal"
    assert result.norm == pytest.approx(expected.norm, rel=1e-9)
    assert result.rank == expected.rank
    assert result.conditioning == pytest.approx(expected.conditioning**2, rel=1e-6)
    assert result.dual @ inputs @ inputs.T @ result.dual == pytest.approx(1, rel=1e-9)


def test_the_kernel_interpolant_is_that_of_the_model_it_belongs_to():
    generator = np.random.default_rng(5)
    inputs, targets, params = generator.normal(size=(6, 4)), generator.normal(size=6), generator.normal(size=(3, 4))

    def apply(params, x):
        return jnp.sum(jnp.tanh(params @ x))

    expected = kernel.min_norm(apply, params, inputs, targets)
    result = min_norm.kernel(kernel.gram(apply, params, inputs), targets)
    np.testing.assert_allclose(result.coefficients, expected.coefficients, rtol=1e-8)
    assert result.norm == pytest.approx(expected.norm, rel=1e-9)


def test_a_kernel_interpolates_only_targets_in_its_range():
    gram = np.ones((3, 3))
    assert min_norm.kernel(gram, [2.0, 2.0, 2.0]).norm == pytest.approx(2.0, rel=1e-12)
    result = min_norm.kernel(gram, [2.0, 1.0, 2.0])
    assert result.status == "infeasible"
    np.testing.assert_allclose(gram @ result.dual, 0, atol=1e-12)
    assert np.array([2.0, 1.0, 2.0]) @ result.dual == pytest.approx(1, rel=1e-12)


def test_the_lasso_ends_in_the_least_l1_norm_at_the_rate_of_the_dual():
    inputs, targets = CASES["wide"]
    limit = min_norm.l1(inputs, targets)
    decays = np.array([1e-2, 1e-3, 1e-4])
    points = [regularised.l1(inputs, targets, decay, "squared") for decay in decays]
    # (1/n)‖Xw − y‖² = O(λ²), so the least objective is (λ/2)‖w‖₁ − n(λ/4)²‖ν‖².
    slope = len(targets) * decays**2 / 16 * (limit.dual @ limit.dual)
    objectives = np.array([point.objective for point in points])
    np.testing.assert_allclose(decays / 2 * limit.norm - objectives, slope, rtol=1e-3)
    np.testing.assert_allclose(points[-1].weights, limit.weights, atol=1e-2)


@pytest.mark.parametrize("weight_decay", [0.03, 0.3])
@pytest.mark.parametrize("case", ["wide", "tall", "sparse teacher"])
def test_the_squared_counterpart_is_the_lasso_of_scikit_learn(case, weight_decay):
    inputs, targets = CASES[case]
    # Its objective is ‖Xw − y‖²/(2n) + α‖w‖₁.
    lasso = Lasso(alpha=weight_decay / 4, fit_intercept=False, tol=1e-12, max_iter=10**6).fit(inputs, targets)
    point = regularised.l1(inputs, targets, weight_decay, "squared")
    np.testing.assert_allclose(point.weights, lasso.coef_, atol=1e-4)
    assert point.duality_gap <= 1e-9
    # Stationarity: |∂ℓ| = λ/2 with the sign of the weight, and at most λ/2 elsewhere.
    slope = -2 / len(targets) * inputs.T @ (inputs @ point.weights - targets)
    active = np.abs(point.weights) > 1e-3
    np.testing.assert_allclose(slope[active], weight_decay / 2 * np.sign(point.weights[active]), rtol=1e-4)
    assert np.all(np.abs(slope) <= weight_decay / 2 * (1 + 1e-4))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: min_norm.l2(np.ones(3), np.ones(3)), r"inputs must have shape \(n, d\)"),
        (
            lambda: min_norm.l1(np.ones((3, 2)), np.ones(2)),
            r"targets must have shape \(3,\), one per sample, got \(2,\)",
        ),
        (lambda: min_norm.l1(np.full((1, 2), np.nan), np.ones(1)), "inputs must be finite, got nan"),
        (lambda: min_norm.l2(np.zeros((2, 2)), np.ones(2)), "inputs must not all be zero"),
        (lambda: min_norm.kernel(np.ones(3), np.ones(3)), r"gram must have shape \(n, d\)"),
        (lambda: min_norm.kernel(np.ones((2, 3)), np.ones(2)), r"gram must be square, got \(2, 3\)"),
        (lambda: min_norm.kernel(np.array([[1.0, 2.0], [0.0, 1.0]]), np.ones(2)), "gram must be symmetric and not 0"),
        (lambda: min_norm.kernel(np.zeros((2, 2)), np.ones(2)), "gram must be symmetric and not 0"),
        (lambda: min_norm.kernel(np.diag([1.0, -1.0]), np.ones(2)), "positive semi-definite, got the eigenvalue -1"),
    ],
)
def test_bad_data_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
