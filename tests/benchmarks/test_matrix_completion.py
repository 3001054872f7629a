"""Figure 3 at the paper's scale: seconds and gradients of the reduction against those of the flow of U and V."""

from __future__ import annotations

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from grokjax import data, flows, models

SIZE, OBSERVED, ALPHA, DECAY, END = 97, 470, 10.0, 1e-4, 1e6
TIMES = np.geomspace(1.0, END, 60)
RTOL = 1e-3
# An error rtol·‖θ‖ of the parameters is one of W up to 2‖θ‖²/‖W‖ times as large, relative.
RTOL_OF_PARAMETERS = 1e-5


@pytest.fixture(scope="module")
def task():
    return data.matrix_completion(jax.random.key(0), data.multiplication_table(SIZE), OBSERVED)


def reduced(task, rtol):
    start = ALPHA * jnp.eye(SIZE)
    flow, state = flows.factorization_flow(task.indices, task.values, start, start, weight_decay=DECAY)
    observe = lambda t, point: point.weights
    return flows.solve(flow, state, TIMES, solver=flows.RKC2(), rtol=rtol, observe=observe)


def weights_of(t, params):
    return models.product_matrix(params)


def of_parameters(task, solver):
    def mean_square(params):
        return jnp.mean(jnp.square(models.product_matrix(params)[task.indices[:, 0], task.indices[:, 1]] - task.values))

    start = models.matrix_factorization(SIZE).init(jax.random.key(0), ALPHA)
    flow = flows.gradient_flow(mean_square, DECAY)
    options = {"observe": weights_of, "rtol": RTOL_OF_PARAMETERS, "max_steps": 10**7}
    return flows.solve(flow, start, TIMES, solver=solver, **options)


def evaluations(run):
    assert int(run.status) == flows.Status.SUCCESS
    return int(run.statistics.gradient_evaluations)


def test_reduction_against_solvers_of_all_parameters(benchmark, report, task):
    run = jax.block_until_ready(reduced(task, RTOL))
    benchmark.pedantic(lambda: jax.block_until_ready(reduced(task, RTOL)), rounds=3)
    reference = reduced(task, 1e-6).observed
    size = jnp.max(jnp.linalg.norm(reference, axis=(1, 2)))
    error = lambda run: float(jnp.max(jnp.linalg.norm(run.observed - reference, axis=(1, 2))) / size)
    report("matrix completion to t = 1e6, compiled", f"{benchmark.stats.stats.min:.1f} s", "≤ 5 s")
    report("gradients of the reduction, RKC2", f"{evaluations(run)}", f"error of W {error(run):.0e}")
    others = {"RKC2": flows.RKC2(), "Tsit5": diffrax.Tsit5()}
    runs = {name: of_parameters(task, solver) for name, solver in others.items()}
    for name, other in runs.items():
        report(f"gradients of the flow of U and V, {name}", f"{evaluations(other)}", f"error of W {error(other):.0e}")
    ratio = evaluations(runs["Tsit5"]) / evaluations(run)
    report("gradients of Tsit5 over those of the reduction", f"{ratio:.0f}", "≥ 20")
    assert max(error(run), *map(error, runs.values())) < 1e-2
    assert ratio >= 20
