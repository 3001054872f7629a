"""Gradient evaluations against the initial norm α, of the exact reduction, of RKC2 and of an explicit solver.

With the squared loss the stiffness of the kernel phase is α² for as long as it lasts: an explicit method pays α², RKC2
its root α. Each is run over the decades it can afford, and the exponent is fitted there. The reduction has one number
a sample, few enough for an implicit solver, whose cost is that of log α as long as float64 resolves a residual of α⁻².
With the logistic loss, that of figure 1a, stiffness is that of the output margin, log α, and nothing limits α.
"""

from __future__ import annotations

import math

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from grokjax import data, flows, losses, models

N, D, DECAY = 8, 32, 0.05


@pytest.fixture
def task():
    return data.sparse_classification(jax.random.key(0), N, D, 3, dtype=jnp.float64)


def all_parameters(task, norm):
    model = models.diagonal_linear(2)
    risk = losses.empirical_risk(model.apply, losses.squared, task.train_inputs, task.train_labels)
    return flows.gradient_flow(risk, DECAY), model.init(None, D, norm)


def reduced(task, norm, loss=losses.squared):
    options = {"initial_norm": norm, "weight_decay": DECAY, "loss": loss}
    return flows.diagonal_flow(task.train_inputs, task.train_labels, **options)


def reduced_logistic(task, norm):
    return reduced(task, norm, losses.logistic)


class Counter:
    """Counts evaluations as they happen, for solvers that do not tell."""

    def __init__(self):
        self.count = 0

    def add(self):
        self.count += 1

    def of(self, flow):
        def field(t, state):
            jax.debug.callback(self.add)
            return flow.vector_field(t, state)

        return flow._replace(vector_field=field)


def evaluations(make, solver, task, norm):
    flow, start = make(task, norm)
    counter = Counter()
    implicit = isinstance(solver, diffrax.AbstractImplicitSolver)
    times = [(math.log(norm) + 4) / DECAY]
    atol = 1e-8 if implicit else 0.0
    flow = counter.of(flow) if implicit else flow
    run = flows.solve(flow, start, times, solver=solver, rtol=1e-4, atol=atol, max_steps=10**6)
    assert int(run.status) == flows.Status.SUCCESS
    jax.effects_barrier()
    return counter.count if implicit else int(run.statistics.gradient_evaluations)


@pytest.mark.parametrize(
    ("name", "make", "solver", "norms", "most"),
    [
        ("explicit, Tsit5", all_parameters, diffrax.Tsit5(), [1e1, 10**1.5, 1e2], None),
        ("RKC2", all_parameters, flows.RKC2(), [1e1, 1e2, 1e3, 1e4, 1e5], 1.1),
        ("exact reduction, stiff()", reduced, flows.stiff(), [1e1, 1e3, 1e5, 1e7], 0.1),
        ("exact reduction, logistic loss, RKC2", reduced_logistic, flows.RKC2(), [1e1, 1e3, 1e6, 1e9, 1e12], 0.1),
    ],
    ids=["explicit", "rkc2", "reduction", "logistic"],
)
def test_evaluations_against_the_initial_norm(benchmark, report, task, name, make, solver, norms, most):
    counts = benchmark.pedantic(lambda: [evaluations(make, solver, task, norm) for norm in norms], rounds=1)
    exponent = np.polyfit(np.log(norms), np.log(counts), 1)[0]
    listed = ", ".join(f"{count}" for count in counts)
    report(f"{name}: α from {norms[0]:.0e} to {norms[-1]:.0e}", "", f"evaluations {listed}")
    report("    evaluations ∝ α^s, s", f"{exponent:.2f}", "about 2" if most is None else f"≤ {most}")
    if make in (reduced, reduced_logistic):
        # 1 if the cost is a multiple of log α.
        growth = np.polyfit(np.log(np.log(norms)), np.log(counts), 1)[0]
        report("    evaluations ∝ (log α)^p, p", f"{growth:.2f}", "logarithmic")
    assert most is None or exponent <= most
