"""Max-margin predictors against HiGHS, a conic solver and NNLS at sizes these can do, and alone at the paper's."""

from __future__ import annotations

import time

import cvxpy as cp
import jax
import numpy as np
import pytest
from scipy.optimize import linprog

from grokjax.data import sparse_classification
from theory import max_margin, regularised

SMALL, PAPER = (64, 1000), (256, 100_000)


def signed(n, d):
    task = sparse_classification(jax.random.key(0), n, d, 3)
    return np.asarray(task.train_inputs, float), np.asarray(task.train_labels, float)


def highs(z):
    return linprog(np.ones(2 * z.shape[1]), A_ub=np.hstack([-z, z]), b_ub=-np.ones(len(z))).fun


def clarabel(z, norm):
    w = cp.Variable(z.shape[1])
    cost = cp.norm1(w) if norm == "l1" else cp.sum_squares(w) / 2
    return cp.Problem(cp.Minimize(cost), [z @ w >= 1]).solve(solver=cp.CLARABEL)


OTHERS = {
    "l1": {"HiGHS": highs, "Clarabel": lambda z: clarabel(z, "l1")},
    "l2": {"Clarabel": lambda z: clarabel(z, "l2")},
}


@pytest.mark.parametrize("norm", ["l1", "l2"])
def test_against_general_solvers(benchmark, report, norm):
    x, y = signed(*SMALL)
    result = benchmark.pedantic(lambda: getattr(max_margin, norm)(x, y), rounds=3)
    ours = benchmark.stats.stats.min
    for name, solve in OTHERS[norm].items():
        start = time.perf_counter()
        objective = solve(y[:, None] * x)
        ratio = (time.perf_counter() - start) / ours
        assert objective == pytest.approx(result.objective, rel=1e-6)
        report(
            f"{norm} margin, n = {SMALL[0]}, d = {SMALL[1]}: time of {name} over ours ({ours:.3f} s)", f"{ratio:.1f}"
        )


@pytest.mark.parametrize(
    ("name", "solve", "gap"),
    [
        ("max_margin.l2", max_margin.l2, 1e-9),
        ("max_margin.l1", max_margin.l1, 1e-8),
        ("regularised.l1", lambda x, y: regularised.l1(x, y, 1e-3), 1e-9),
    ],
    ids=["l2", "l1", "regularised"],
)
def test_alone_at_the_scale_of_figure_1a(benchmark, report, name, solve, gap):
    x, y = signed(*PAPER)
    result = benchmark.pedantic(lambda: solve(x, y), rounds=2)
    assert result.duality_gap <= gap
    report(f"{name}, n = 256, d = 1e5: gap {result.duality_gap:.0e}", f"{benchmark.stats.stats.min:.1f} s", "≤ 20 s")
