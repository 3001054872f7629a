"""Largest margins against HiGHS and Clarabel, their certificates, and data that no direction separates."""

from __future__ import annotations

import cvxpy as cp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from theory import max_margin

EPSILON = np.finfo(float).eps
SOLVERS = {"l1": max_margin.l1, "l2": max_margin.l2}
ORDER = {"l1": 1, "l2": 2}
DUAL_ORDER = {"l1": np.inf, "l2": 2}
LARGEST_GAP = {"l1": 1e-8, "l2": 1e-9}


def barely_separable(margin, seed):
    """Signed samples of mean margin·e, e a random unit vector: the largest L2 margin is `margin`, that of e."""
    generator = np.random.default_rng(seed)
    z = generator.normal(size=(20, 10))
    z -= z.mean(axis=0)
    z[:, 0] = margin
    return z @ np.linalg.qr(generator.normal(size=(10, 10)))[0]


def make_cases():
    generator = np.random.default_rng(0)
    gaussian, signs = generator.normal(size=(10, 40)), generator.choice([-1.0, 1.0], 10)
    tall = generator.normal(size=(60, 6))
    sparse = generator.choice([-1.0, 1.0], size=(128, 16))
    line = np.array([1.0, 2.0, -3.0, 0.5])
    return {
        "wide": (gaussian, signs),
        "wide and tiny": (1e-6 * gaussian, signs),
        "wide and huge": (1e6 * gaussian, signs),
        "tall": (tall, np.sign(tall @ generator.normal(size=6))),
        "duplicates": (np.vstack([gaussian, gaussian[:4]]), np.concatenate([signs, signs[:4]])),
        "collinear": (np.outer(line, gaussian[0]), np.sign(line)),
        "one sample": (gaussian[:1], signs[:1]),
        "sparse signs": (sparse, np.sign(sparse[:, :3] @ np.array([1.0, -1.0, 1.0]))),
        "columns of many sizes": (gaussian * np.logspace(0, -6, 40), signs),
        "nearly inseparable": (signs[:, None].repeat(2, 0) * barely_separable(1e-3, 0), signs.repeat(2)),
    }


CASES = make_cases()
OPPOSITE = np.array([[1.0, 2.0, 3.0], [-1.0, -2.0, -3.0], [0.5, 0.0, 1.0]])
INSEPARABLE = {
    "x and −x": (OPPOSITE, np.ones(3)),
    "zero row": (np.array([[1.0, 0.0], [0.0, 0.0]]), np.array([1.0, -1.0])),
    "random labels": (np.random.default_rng(1).normal(size=(80, 5)), np.random.default_rng(2).choice([-1.0, 1.0], 80)),
}

each_case = pytest.mark.parametrize("case", CASES)
each_norm = pytest.mark.parametrize("norm", SOLVERS)


def margin_of(direction, inputs, labels, norm):
    return np.min(labels * (inputs @ direction)) / np.linalg.norm(direction, ORDER[norm])


def highs(z, norm):
    n, d = z.shape
    tight = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}
    return linprog(np.ones(2 * d), A_ub=np.hstack([-z, z]), b_ub=-np.ones(n), options=tight).fun


def clarabel(z, norm):
    weights = cp.Variable(z.shape[1])
    cost = cp.norm1(weights) if norm == "l1" else cp.sum_squares(weights)
    tight = dict.fromkeys(("tol_gap_abs", "tol_gap_rel", "tol_feas"), 1e-11)
    least = cp.Problem(cp.Minimize(cost), [z @ weights >= 1]).solve(solver=cp.CLARABEL, **tight)
    assert isinstance(least, float)
    return least ** (1 / ORDER[norm])


@each_case
@pytest.mark.parametrize(("solver", "norm"), [(highs, "l1"), (clarabel, "l1"), (clarabel, "l2")])
def test_margin_is_that_of_an_independent_solver(case, solver, norm):
    inputs, labels = CASES[case]
    size = np.max(np.abs(inputs))
    expected = size / solver(labels[:, None] * inputs / size, norm)
    # The solvers meet their constraints ⟨w, z_i⟩ ≥ 1 to 1e-10.
    assert SOLVERS[norm](inputs, labels).margin == pytest.approx(expected, rel=LARGEST_GAP[norm] + 1e-10)


@each_case
@each_norm
def test_certificate_holds_when_recomputed(case, norm):
    inputs, labels = CASES[case]
    result = SOLVERS[norm](inputs, labels)
    z = labels[:, None] * inputs
    # Rounding in ⟨w, z_i⟩ is a multiple of ε‖w‖‖z_i‖, here relative to the margin.
    rounding = 4 * z.shape[1] * EPSILON * np.max(np.linalg.norm(z, axis=1)) / result.margin
    approx = lambda value: pytest.approx(value, rel=rounding)
    assert np.linalg.norm(result.direction, ORDER[norm]) == approx(1.0)
    assert result.margin == approx(margin_of(result.direction, inputs, labels, norm))
    assert result.objective == approx(1 / result.margin if norm == "l1" else 0.5 / result.margin**2)
    assert np.all(result.duals >= 0)
    dual_norm = np.linalg.norm(result.duals @ z, DUAL_ORDER[norm])
    if norm == "l1":
        assert dual_norm <= 1 + rounding
        assert result.dual_objective == approx(result.duals.sum())
    else:
        assert result.dual_objective == approx(result.duals.sum() - dual_norm**2 / 2)
    assert result.duality_gap == pytest.approx(1 - result.dual_objective / result.objective, abs=rounding)
    assert -rounding <= result.duality_gap <= LARGEST_GAP[norm]
    assert result.status == "optimal"


@each_case
@each_norm
def test_support_lies_on_the_margin_and_carries_the_direction(case, norm):
    inputs, labels = CASES[case]
    result = SOLVERS[norm](inputs, labels)
    slack = labels * (inputs @ result.direction) / result.margin - 1
    # Σ a_i slack_i is at most gap·objective ≤ gap·n·max(a), and a_i > 1e-6 max(a) on the support.
    gap = max(result.duality_gap, len(labels) * EPSILON * np.max(np.abs(inputs)) / result.margin)
    assert np.all(slack[result.support] <= gap * len(labels) / 1e-6)
    alone = SOLVERS[norm](inputs[result.support], labels[result.support])
    assert alone.margin == pytest.approx(result.margin, rel=2 * LARGEST_GAP[norm] + len(labels) * 1e-6)


@each_norm
def test_margin_of_many_sparse_signs_is_that_of_the_teacher(norm):
    inputs, labels = CASES["sparse signs"]
    result = SOLVERS[norm](inputs, labels)
    teacher = np.array([1.0, -1.0, 1.0] + [0.0] * 13) / 3 ** (1 / ORDER[norm])
    assert result.margin == pytest.approx(margin_of(teacher, inputs, labels, norm), rel=LARGEST_GAP[norm])
    few = SOLVERS[norm](inputs[:3], labels[:3])
    assert few.margin > margin_of(teacher, inputs[:3], labels[:3], norm) * (1 + LARGEST_GAP[norm])


def test_l1_margin_of_sparse_signs_is_one_over_k():
    assert max_margin.l1(*CASES["sparse signs"]).margin == pytest.approx(1 / 3, rel=LARGEST_GAP["l1"])


@settings(max_examples=60, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**31), n=st.integers(1, 12), d=st.integers(1, 12), norm=st.sampled_from(["l1", "l2"]))
def test_no_direction_beats_the_bound_of_the_duals(seed, n, d, norm):
    generator = np.random.default_rng(seed)
    inputs, labels = generator.normal(size=(n, d)), generator.choice([-1.0, 1.0], n)
    result = SOLVERS[norm](inputs, labels)
    z = labels[:, None] * inputs
    bound = np.linalg.norm(result.duals @ z, DUAL_ORDER[norm]) / result.duals.sum()
    rivals = list(generator.normal(size=(20, d)))
    if result.status != "inseparable":
        assert bound <= result.margin / (1 - LARGEST_GAP[norm]) ** (1 / ORDER[norm])
        sizes = np.logspace(-8, 0, 20)[:, None] * np.linalg.norm(result.direction)
        rivals += [*(result.direction + sizes * generator.normal(size=(20, d))), *z]
    rounding = d * EPSILON * np.max(np.linalg.norm(z, axis=1))
    assert all(margin_of(rival, inputs, labels, norm) <= bound + rounding for rival in rivals)


@each_norm
@pytest.mark.parametrize("case", INSEPARABLE)
def test_inseparable_data_come_with_a_farkas_certificate(case, norm):
    inputs, labels = INSEPARABLE[case]
    result = SOLVERS[norm](inputs, labels)
    assert result.status == "inseparable"
    assert np.all(np.isnan(result.direction))
    assert np.isnan(result.margin)
    assert np.all(result.duals >= 0)
    assert result.duals.sum() == pytest.approx(1.0, rel=len(labels) * EPSILON)
    scale = np.max(np.linalg.norm(inputs, axis=1))
    residual = np.linalg.norm((result.duals * labels) @ inputs) / scale
    assert result.farkas_residual == pytest.approx(residual, rel=1e-12, abs=EPSILON)
    # Weights off by ε each, from a Gram matrix whose rounding NNLS cannot see below √ε of it.
    assert residual <= np.sqrt(EPSILON) / 10


@each_norm
@pytest.mark.parametrize("margin", [1e-2, 1e-4, 1e-6])
def test_barely_separable_data_are_not_called_inseparable(margin, norm):
    for seed in range(20):
        z = barely_separable(margin, seed)
        result = SOLVERS[norm](z, np.ones(20))
        assert result.status in ("optimal", "inaccurate")
        assert margin_of(result.direction, z, np.ones(20), norm) > 0
        assert np.isnan(result.farkas_residual)


@pytest.mark.parametrize("margin", [1e-2, 1e-3, 1e-4])
def test_l2_margin_of_barely_separable_data_is_optimal_and_known(margin):
    for seed in range(20):
        result = max_margin.l2(barely_separable(margin, seed), np.ones(20))
        assert result.status == "optimal"
        assert result.margin == pytest.approx(margin, rel=LARGEST_GAP["l2"])


@each_norm
@pytest.mark.parametrize("factor", [1e-9, 0.3, 7.0, 1e9])
def test_margin_scales_with_the_inputs(factor, norm):
    inputs, labels = CASES["tall"]
    margins = [SOLVERS[norm](c * inputs, labels).margin for c in (1.0, factor)]
    assert margins[1] == pytest.approx(factor * margins[0], rel=LARGEST_GAP[norm])


def test_permuted_samples_have_permuted_l2_duals():
    inputs, labels = CASES["wide"]
    order = np.random.default_rng(3).permutation(len(labels))
    duals = max_margin.l2(inputs, labels).duals
    # Unique because the samples are linearly independent; non-negative least squares solves with ZZᵀ + 11ᵀ.
    z = labels[:, None] * inputs
    rounding = len(labels) * EPSILON * np.linalg.cond(z @ z.T / np.max(np.sum(z**2, axis=1)) + 1)
    permuted = max_margin.l2(inputs[order], labels[order]).duals
    np.testing.assert_allclose(permuted, duals[order], rtol=0, atol=rounding * duals.max())


@pytest.mark.parametrize("case", ["wide", "tall", "duplicates"])
def test_l2_duals_give_the_direction_from_the_gram_matrix_alone(case):
    inputs, labels = CASES[case]
    z = labels[:, None] * inputs
    duals = max_margin.l2_duals(z @ z.T)
    assert duals.sum() == pytest.approx(1.0, rel=len(labels) * EPSILON)
    direction = duals @ z / np.linalg.norm(duals @ z)
    # ‖ŵ − w*‖² ≤ gap of a unit direction, whose bound is ½‖w − w*‖² ≤ gap·objective.
    gap = 2 * LARGEST_GAP["l2"]
    assert np.linalg.norm(direction - max_margin.l2(inputs, labels).direction) <= 2 * np.sqrt(gap)


@each_norm
@pytest.mark.parametrize(
    ("inputs", "labels", "message"),
    [
        (np.ones((2, 3)), np.array([0.0, 1.0]), "labels must be −1 or 1, got 0"),
        (np.ones((2, 3)), np.ones(3), r"labels must have shape \(2,\).*got \(3,\)"),
        (np.ones((2, 3)), np.ones((2, 1)), r"labels must have shape \(2,\).*got \(2, 1\)"),
        (np.ones((2, 3)), np.array([1.0, np.nan]), "labels must be finite, got nan"),
        (np.ones(3), np.ones(3), r"inputs must have shape \(n, d\).*got \(3,\)"),
        (np.ones((0, 3)), np.ones(0), r"inputs must have shape \(n, d\).*got \(0, 3\)"),
        (np.array([[1.0, np.inf]]), np.ones(1), "inputs must be finite, got inf"),
        (np.zeros((2, 3)), np.ones(2), "inputs must not all be zero"),
    ],
)
def test_bad_data_are_named(norm, inputs, labels, message):
    with pytest.raises(ValueError, match=message):
        SOLVERS[norm](inputs, labels)
