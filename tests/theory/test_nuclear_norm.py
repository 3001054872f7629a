"""Completions of least nuclear norm against Clarabel, closed forms and trained factors, and their certificates."""

from __future__ import annotations

from typing import Any

import cvxpy as cp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from theory import nuclear_norm

EPSILON = np.finfo(float).eps
LARGEST_GAP = 1e-8


def draw(matrix, count, seed):
    """`count` entries of a matrix, as indices and values."""
    places = np.random.default_rng(seed).choice(matrix.size, count, replace=False)
    indices = np.stack(np.unravel_index(places, matrix.shape), axis=1)
    return indices, matrix[indices[:, 0], indices[:, 1]], len(matrix)


def make_cases():
    factor = np.random.default_rng(0).normal(size=(8, 8))
    symmetric = factor + factor.T
    ramp = np.outer(np.arange(8.0), np.arange(8.0)) / 64
    everything = np.argwhere(np.ones((6, 6)))
    upper = np.argwhere(np.triu(np.ones((6, 6))))
    return {
        "half": draw(symmetric, 32, 1),
        "few": draw(symmetric, 9, 2),
        "tiny": draw(1e-6 * symmetric, 32, 1),
        "huge": draw(1e6 * symmetric, 32, 1),
        "rank one": draw(ramp, 30, 3),
        "positive": draw(factor @ factor.T, 20, 4),
        "ones": draw(np.ones((8, 8)), 25, 5),
        "rows of many sizes": draw(symmetric * np.outer(np.logspace(0, -3, 8), np.logspace(0, -3, 8)), 30, 6),
        "everything": (everything, symmetric[everything[:, 0], everything[:, 1]], 6),
        "upper triangle": (upper, symmetric[upper[:, 0], upper[:, 1]], 6),
        "diagonal": (np.array([[0, 0], [2, 2], [3, 3]]), np.array([2.0, -1.0, 0.5]), 5),
        "one entry": (np.array([[3, 1]]), np.array([-0.7]), 5),
        "one by one": (np.array([[0, 0]]), np.array([-3.0]), 1),
        "zeros": (np.array([[0, 1], [1, 0], [2, 2]]), np.zeros(3), 4),
    }


CASES = make_cases()
each_case = pytest.mark.parametrize("case", CASES)


def norm_of(matrix):
    return np.sum(np.abs(np.linalg.eigvalsh(matrix)))


def reach_of(matrix):
    return np.max(np.abs(np.linalg.eigvalsh(matrix)))


def objective(weights, indices, values, weight_decay):
    return np.mean((weights[indices[:, 0], indices[:, 1]] - values) ** 2) + weight_decay / 2 * norm_of(weights)


def critical_weight_decay(indices, values, size):
    """Zero weights are optimal exactly if the symmetric part of the gradient there is at most λ/2."""
    gradient = np.zeros((size, size))
    gradient[indices[:, 0], indices[:, 1]] = 2 * values / len(values)
    return reach_of(gradient + gradient.T)


def listed_or_mirrored(indices, size):
    mask = np.zeros((size, size), bool)
    mask[indices[:, 0], indices[:, 1]] = True
    return mask | mask.T


def duals_of_errors(dual, indices):
    """The parts y_ij with ⟨dual, W⟩ = Σ y_ij W_ij over Ω as listed: Y_ij + Y_ji, halved if both are listed, or Y_ii."""
    listed = np.zeros(dual.shape)
    listed[indices[:, 0], indices[:, 1]] = 1
    return (dual * (2 - listed.T))[indices[:, 0], indices[:, 1]]


def clarabel(indices, values, size, weight_decay=None):
    # Of P − Q with P, Q ⪰ 0 the least trace of P + Q is the nuclear norm.
    parts = [cp.Variable((size, size), PSD=True) for _ in range(2)]
    weights, norm = parts[0] - parts[1], cp.trace(parts[0]) + cp.trace(parts[1])
    errors = cp.hstack([weights[int(i), int(j)] - value for (i, j), value in zip(indices, values, strict=True)])
    if weight_decay is None:
        problem = cp.Problem(cp.Minimize(norm), [errors == 0])
    else:
        problem = cp.Problem(cp.Minimize(cp.sum_squares(errors) / len(values) + weight_decay / 2 * norm))
    tight = dict.fromkeys(("tol_gap_abs", "tol_gap_rel", "tol_feas"), 1e-9)
    optimum: Any = problem.solve(solver=cp.CLARABEL, **tight)
    return float(optimum)


@pytest.mark.parametrize("case", [case for case in CASES if case not in ("tiny", "huge")])
@pytest.mark.parametrize("weight_decay", [None, 1e-3, 0.3])
def test_bounds_enclose_the_optimum_of_an_independent_solver(case, weight_decay):
    indices, values, size = CASES[case]
    expected = clarabel(indices, values, size, weight_decay)
    if weight_decay is None:
        result = nuclear_norm.completion(indices, values, size)
        least = result.nuclear_norm
    else:
        result = nuclear_norm.regularised(indices, values, size, weight_decay)
        least = result.objective
    # Clarabel meets its constraints, whose duals are at most 2, and its gap to 1e-9, where rank one lets it.
    slack = 1e-9 * (1 + abs(expected)) * (1 + 2 * len(values))
    assert result.dual_objective - slack <= expected <= least + slack
    assert least - result.dual_objective <= LARGEST_GAP * least


@each_case
def test_certificate_of_a_completion_holds_when_recomputed(case):
    indices, values, size = CASES[case]
    result = nuclear_norm.completion(indices, values, size)
    assert result.status == "optimal"
    assert np.array_equal(result.weights, result.weights.T)
    assert np.array_equal(result.weights[indices[:, 0], indices[:, 1]], values)
    assert result.residual == 0
    assert np.array_equal(result.dual, result.dual.T)
    assert not np.any(result.dual[~listed_or_mirrored(indices, size)])
    assert reach_of(result.dual) <= 1
    rounding = size**2 * EPSILON
    assert result.nuclear_norm == pytest.approx(norm_of(result.weights), rel=rounding)
    assert result.dual_objective == pytest.approx(np.sum(result.dual * result.weights), rel=rounding)
    gap = 1 - result.dual_objective / result.nuclear_norm if np.any(values) else 0.0
    assert result.duality_gap == pytest.approx(gap, abs=2 * EPSILON)
    assert -rounding <= result.duality_gap <= LARGEST_GAP
    assert result.parameter_norm**2 == pytest.approx(result.nuclear_norm, rel=4 * EPSILON)


@each_case
@pytest.mark.parametrize("weight_decay", [1e-8, 1e-4, 1e-2, 1.0, 1e8])
def test_certificate_at_finite_weight_decay_holds_when_recomputed(case, weight_decay):
    indices, values, size = CASES[case]
    n = len(values)
    result = nuclear_norm.regularised(indices, values, size, weight_decay)
    rounding = 4 * size**2 * EPSILON
    errors = result.weights[indices[:, 0], indices[:, 1]] - values
    assert result.status == "optimal"
    assert np.array_equal(result.weights, result.weights.T)
    assert result.residual == np.max(np.abs(errors))
    # Rounding of W_ij moves an error by ε|W_ij|, which matters where the errors are as small as λ.
    moved = 2 * EPSILON * np.max(np.abs(values)) * result.residual
    assert result.objective == pytest.approx(
        objective(result.weights, indices, values, weight_decay), rel=rounding, abs=moved
    )
    assert result.nuclear_norm == pytest.approx(norm_of(result.weights), rel=rounding)
    assert result.parameter_norm**2 == pytest.approx(result.nuclear_norm, rel=rounding)
    assert np.array_equal(result.dual, result.dual.T)
    assert not np.any(result.dual[~listed_or_mirrored(indices, size)])
    assert reach_of(result.dual) <= weight_decay / 2
    duals = duals_of_errors(result.dual, indices)
    bound = duals @ values - n * (duals @ duals) / 4
    assert result.dual_objective == pytest.approx(bound, rel=rounding, abs=rounding * np.abs(duals) @ np.abs(values))
    # The gap is a sum of two parts that cannot be negative, the errors' and the eigenvalues'.
    misfit = np.mean((errors + n * duals / 2) ** 2)
    misalignment = weight_decay / 2 * result.nuclear_norm - np.sum(result.dual * result.weights)
    gap = result.objective - result.dual_objective
    assert misfit + misalignment == pytest.approx(gap, abs=4 * rounding * result.objective)
    assert -rounding <= result.duality_gap <= LARGEST_GAP


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**31),
    size=st.integers(1, 7),
    fraction=st.floats(0, 1),
    exponent=st.floats(-8, 1),
    rank=st.integers(1, 7),
    agree=st.booleans(),
)
def test_no_weights_and_no_factors_go_below_the_dual_objective(seed, size, fraction, exponent, rank, agree):
    generator = np.random.default_rng(seed)
    left, right = generator.normal(size=(2, size, rank))
    target = left @ left.T - right @ right.T if agree else left @ right.T
    indices, values, _ = draw(target, 1 + int(fraction * (size**2 - 1)), seed)
    decay = 10**exponent
    result = nuclear_norm.regularised(indices, values, size, decay)
    assert result.status == "optimal"
    least = result.dual_objective * (1 - size**3 * EPSILON)
    for scale in np.logspace(-8, 0, 20) * (1 + result.parameter_norm):
        change = scale * generator.normal(size=(size, size))
        assert objective(result.weights + change + change.T, indices, values, decay) >= least
        u, v = scale * generator.normal(size=(2, size, size))
        errors = (u @ u.T - v @ v.T)[indices[:, 0], indices[:, 1]] - values
        assert np.mean(errors**2) + decay / 2 * (np.sum(u**2) + np.sum(v**2)) >= least
    if agree:
        exact = nuclear_norm.completion(indices, values, size)
        assert exact.status == "optimal"
        free = ~listed_or_mirrored(indices, size)
        for scale in np.logspace(-8, 0, 20) * exact.nuclear_norm:
            change = scale * generator.normal(size=(size, size))
            rival = norm_of(exact.weights + free * (change + change.T))
            assert rival >= exact.dual_objective * (1 - size**2 * EPSILON)


@pytest.mark.parametrize("case", ["half", "rank one", "diagonal", "one entry"])
def test_training_the_factors_ends_there(case):
    indices, values, d = CASES[case]
    decay = 0.2 * critical_weight_decay(indices, values, d)
    result = nuclear_norm.regularised(indices, values, d, decay)

    def train_objective(parameters):
        u, v = parameters.reshape(2, d, d)
        errors = (u @ u.T - v @ v.T)[indices[:, 0], indices[:, 1]] - values
        slope = np.zeros((d, d))
        slope[indices[:, 0], indices[:, 1]] = 2 * errors / len(values)
        slope = slope + slope.T
        gradient = np.concatenate([(slope @ u + decay * u).ravel(), (decay * v - slope @ v).ravel()])
        return np.mean(errors**2) + decay / 2 * parameters @ parameters, gradient

    start = np.random.default_rng(0).normal(size=2 * d * d)
    tight = {"ftol": 0.0, "gtol": 1e-8, "maxiter": 20_000, "maxfun": 40_000}
    end = minimize(train_objective, start, jac=True, method="L-BFGS-B", options=tight)
    # The minimum is quadratic or, at a rank that can vary, quartic: gradients of 1e-8 leave 1e-8^(4/3) of objective.
    assert result.dual_objective * (1 - d**2 * EPSILON) <= end.fun <= result.objective + 1e-9
    eigenvalues, vectors = np.linalg.eigh(result.weights)
    balanced = np.stack([vectors * np.sqrt(np.maximum(sign * eigenvalues, 0)) for sign in (1, -1)]).ravel()
    assert train_objective(balanced)[0] == pytest.approx(result.objective, rel=d**3 * EPSILON)
    assert np.linalg.norm(balanced) == pytest.approx(result.parameter_norm, rel=d**3 * EPSILON)


@pytest.mark.parametrize("case", ["everything", "upper triangle"])
def test_nothing_is_left_to_complete_if_all_is_observed(case):
    indices, values, size = CASES[case]
    full = np.zeros((size, size))
    full[indices[:, 0], indices[:, 1]] = full[indices[:, 1], indices[:, 0]] = values
    result = nuclear_norm.completion(indices, values, size)
    assert np.array_equal(result.weights, full)
    assert result.nuclear_norm == pytest.approx(norm_of(full), rel=size**2 * EPSILON)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_diagonal_entries_are_all_there_is(scale):
    indices, values, size = CASES["diagonal"]
    expected = np.zeros((size, size))
    expected[[0, 2, 3], [0, 2, 3]] = scale * values
    result = nuclear_norm.completion(indices, scale * values, size)
    assert np.allclose(result.weights, expected, rtol=0, atol=1e-12 * scale)
    assert result.nuclear_norm == pytest.approx(scale * 3.5, rel=1e-12)
    # Shrinkage of each by nλ/4.
    shrunk = nuclear_norm.regularised(indices, scale * values, size, scale)
    expected[[0, 2, 3], [0, 2, 3]] = scale * np.array([1.25, -0.25, 0.0])
    error = np.sum(np.diag(shrunk.weights - expected) ** 2) / 3
    assert error <= LARGEST_GAP * shrunk.objective
    assert shrunk.status == "optimal"


@pytest.mark.parametrize(("corner", "side"), [(2.0, 1.0), (-2.0, 1.5), (1.0, -1.0), (0.5, 1.0), (0.0, 3.0)])
def test_a_corner_and_a_side_have_a_closed_form(corner, side):
    # Y = (1 − t², t; t, 0) has norm 1; its best t is v/a, or ±1 if |v| ≥ |a|.
    result = nuclear_norm.completion([[0, 0], [1, 0]], [corner, side], 2)
    rank_one = abs(corner) > abs(side)
    expected = abs(corner) + side**2 / abs(corner) if rank_one else 2 * abs(side)
    assert result.nuclear_norm == pytest.approx(expected, rel=LARGEST_GAP)
    if rank_one:
        # The norm grows with |W_11 − v²/a| at a rate of 1 − (v/a)² at least.
        rate = 1 - (side / corner) ** 2
        assert result.weights[1, 1] == pytest.approx(side**2 / corner, abs=LARGEST_GAP * expected / rate)


@pytest.mark.parametrize(("a", "b"), [(1.0, 1.0), (3.0, -1.0), (-2.0, -1.0), (0.4, 0.4), (1.0, -1.0)])
@pytest.mark.parametrize("weight_decay", [1e-6, 0.5, 3.0])
def test_mirrored_entries_that_disagree_are_fitted_by_their_mean(a, b, weight_decay):
    result = nuclear_norm.regularised([[0, 1], [1, 0]], [a, b], 3, weight_decay)
    # ½(w − a)² + ½(w − b)² + λ|w|.
    mean = (a + b) / 2
    expected = np.sign(mean) * max(abs(mean) - weight_decay / 2, 0)
    least = (expected - mean) ** 2 + (a - b) ** 2 / 4 + weight_decay * abs(expected)
    assert result.objective == pytest.approx(least, rel=LARGEST_GAP)
    assert (result.weights[0, 1] - expected) ** 2 <= (LARGEST_GAP + 4 * EPSILON) * least


@pytest.mark.parametrize("fraction", [1e-9, 1e-3, 0.3, 0.99, 1.5])
def test_weight_decay_thresholds_the_eigenvalues_if_all_is_observed(fraction):
    indices, values, size = CASES["everything"]
    target = values.reshape(size, size)
    eigenvalues, vectors = np.linalg.eigh(target)
    threshold = fraction * np.max(np.abs(eigenvalues))
    result = nuclear_norm.regularised(indices, values, size, 4 * threshold / size**2)
    kept = np.sign(eigenvalues) * np.maximum(np.abs(eigenvalues) - threshold, 0)
    # objective ≥ least + ‖W − W*‖²/n.
    most = size * np.sqrt(LARGEST_GAP * result.objective) + size**2 * EPSILON * np.max(np.abs(target))
    assert np.linalg.norm(result.weights - (vectors * kept) @ vectors.T) <= most
    assert result.nuclear_norm == pytest.approx(np.sum(np.abs(kept)), abs=np.sqrt(size) * most)


@pytest.mark.parametrize("case", [case for case in CASES if case != "zeros"])
def test_weights_vanish_exactly_from_the_critical_weight_decay_on(case):
    indices, values, size = CASES[case]
    critical = critical_weight_decay(indices, values, size)
    for factor in (1 + 1e-9, 2.0, 1e6):
        result = nuclear_norm.regularised(indices, values, size, factor * critical)
        assert not np.any(result.weights)
        assert result.objective == pytest.approx(np.mean(values**2), rel=4 * EPSILON)
        assert abs(result.duality_gap) <= size**2 * EPSILON
    below = nuclear_norm.regularised(indices, values, size, 0.99 * critical)
    assert below.objective < np.mean(values**2) * (1 - LARGEST_GAP)
    assert below.parameter_norm > 0


@pytest.mark.parametrize("case", [case for case in CASES if case != "zeros"])
def test_small_weight_decay_leads_to_the_completion(case):
    indices, values, size = CASES[case]
    exact = nuclear_norm.completion(indices, values, size)
    n, duals, most = len(values), duals_of_errors(exact.dual, indices), np.max(np.abs(values))
    rounding = 2 * LARGEST_GAP * exact.nuclear_norm
    for weight_decay in (1e-2 * most, 1e-5 * most, 1e-8 * most):
        result = nuclear_norm.regularised(indices, values, size, weight_decay)
        # The completion is a rival, and (λ/2)Y a dual point, at which the objective lies (λ/2)²(n/4)Σy² lower.
        scaled, drop = 2 * result.objective / weight_decay, weight_decay * n * (duals @ duals) / 8
        assert exact.nuclear_norm - drop - rounding <= scaled <= exact.nuclear_norm + rounding
        # ‖W‖_* ≥ ⟨Y, W⟩ = ‖completion‖_* + Σ y·error, and so Σ error²/n ≤ (λ/2)‖y‖‖error‖.
        farthest = n * weight_decay / 2 * np.linalg.norm(duals) + np.sqrt(n * weight_decay / 2 * rounding)
        assert result.residual <= farthest
        assert result.nuclear_norm >= exact.nuclear_norm - np.linalg.norm(duals) * farthest - rounding
        assert result.nuclear_norm <= exact.nuclear_norm + rounding


@pytest.mark.parametrize("weight_decay", [None, 1e-6, 0.05])
@pytest.mark.parametrize(
    "change",
    [
        lambda indices, values, size, decay: (indices[::-1], values[::-1], size, decay),
        lambda indices, values, size, decay: (size - 1 - indices, -values, size, decay),
        lambda indices, values, size, decay: (3 * indices + 1, values, 3 * size, decay),
        lambda indices, values, size, decay: (indices[:, ::-1].astype(np.uint8), values, size, decay),
    ],
    ids=["backwards", "relabelled and negated", "among empty rows", "transposed"],
)
def test_equivalent_problems_have_equal_norms(change, weight_decay):
    indices, values, size = CASES["half"]
    problem = indices, values, size, weight_decay
    results = []
    for places, entries, d, decay in (problem, change(*problem)):
        if decay is None:
            results.append(nuclear_norm.completion(places, entries, d).nuclear_norm)
        else:
            results.append(nuclear_norm.regularised(places, entries, d, decay).objective)
    assert results[1] == pytest.approx(results[0], rel=2 * LARGEST_GAP)


@pytest.mark.parametrize("weight_decay", [None, 1e-4])
def test_the_matrix_of_figure_3_is_certified(weight_decay):
    d = 97
    indices, values, _ = draw(np.outer(np.arange(d), np.arange(d)) / d**2, 470, 0)
    if weight_decay is None:
        result = nuclear_norm.completion(indices, values, d)
    else:
        result = nuclear_norm.regularised(indices, values, d, weight_decay)
    assert result.duality_gap <= LARGEST_GAP
    assert reach_of(result.dual) <= (1 if weight_decay is None else weight_decay / 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([[0, 1, 2]], [1.0], 3), r"indices must have shape \(n, 2\) with n ≥ 1, got \(1, 3\)"),
        ((np.zeros((0, 2), int), [], 3), r"indices must have shape \(n, 2\) with n ≥ 1, got \(0, 2\)"),
        (([[0.0, 1.0]], [1.0], 3), "indices must be integers, got float64"),
        (([[0, 1]], [1.0, 2.0], 3), r"values must have shape \(1,\), one per index, got \(2,\)"),
        (([[0, 1]], [np.nan], 3), "values must be finite, got nan"),
        (([[0, 1], [1, 3]], [1.0, 2.0], 3), r"indices must lie in \[0, 3\), got \(1, 3\)"),
        (([[-1, 1]], [1.0], 3), r"indices must lie in \[0, 3\), got \(-1, 1\)"),
        (([[0, 1], [0, 1]], [1.0, 1.0], 3), r"indices must be distinct, but \(0, 1\) is repeated"),
        (([[0, 0]], [1.0], 0), "size must be at least 1, got 0"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        nuclear_norm.completion(*arguments)
    with pytest.raises(ValueError, match=message):
        nuclear_norm.regularised(*arguments, weight_decay=0.1)


def test_mirrored_entries_of_a_completion_must_agree():
    message = r"values of entries \(2, 4\) and \(4, 2\) of a symmetric matrix must agree, got 1 and 1.5"
    with pytest.raises(ValueError, match=message):
        nuclear_norm.completion([[0, 0], [2, 4], [4, 2]], [5.0, 1.0, 1.5], 6)


@pytest.mark.parametrize("weight_decay", [0.0, -1.0, np.inf, np.nan])
def test_weight_decay_must_be_positive(weight_decay):
    with pytest.raises(ValueError, match="weight_decay must be positive and finite, got"):
        nuclear_norm.regularised([[0, 0]], [1.0], 1, weight_decay)
