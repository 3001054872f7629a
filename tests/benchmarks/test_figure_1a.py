"""Figure 1a at the paper's scale: the flow against gradient descent and the memory bus, and the whole script."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from grokjax import flows, losses, models
from reproductions import diag_linear_grok as script

ROOT = Path(__file__).parents[2]
CONFIG = script.PRESETS["paper"]
LEARNING_RATE = 0.01


@pytest.fixture(scope="module")
def datasets():
    return script.draw(CONFIG, CONFIG.seed, 1, CONFIG.n, CONFIG.d)


def seconds_of(function, rounds=3):
    """Least wall time, after one call that compiles."""
    jax.block_until_ready(function())
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        jax.block_until_ready(function())
        times.append(time.perf_counter() - start)
    return min(times)


def test_flow_against_gradient_descent_and_the_memory_bus(benchmark, report, datasets):
    inputs, labels = datasets.train_inputs[0], datasets.train_labels[0]
    times = np.geomspace(1e-2, CONFIG.end_time, CONFIG.times)
    flow = lambda: script.nets.integrate_from_start(CONFIG, datasets, CONFIG.initial_norm, times, CONFIG.rtol)
    solution = jax.block_until_ready(flow())
    benchmark.pedantic(lambda: jax.block_until_ready(flow()), rounds=3)
    seconds, evaluations = benchmark.stats.stats.min, int(solution.statistics.gradient_evaluations[0])

    model, steps = models.diagonal_linear(2), 20
    risk = losses.empirical_risk(model.apply, losses.logistic, inputs, labels)
    field = flows.gradient_flow(risk, CONFIG.weight_decay)
    start = model.init(None, CONFIG.d, CONFIG.initial_norm)
    last_loss = lambda t, params: risk(params)
    step = seconds_of(lambda: flows.gradient_descent(field, start, [steps], LEARNING_RATE, observe=last_loss)) / steps
    descent = step * CONFIG.end_time / LEARNING_RATE

    # One pass over the data, as the products of the flow do it: their limit is the memory bus, not arithmetic.
    weights = jnp.ones(CONFIG.d, inputs.dtype)
    product = jax.jit(jnp.matmul)
    one_pass = seconds_of(lambda: product(inputs, weights), rounds=10)

    report("flow to t = 2e4, compiled", f"{seconds:.1f} s", "≤ 10 s")
    report(f"gradient descent, {CONFIG.end_time / LEARNING_RATE:.0e} steps of {1e3 * step:.1f} ms", f"{descent:.0f} s")
    report("their ratio", f"{descent / seconds:.0f}", "≥ 3000")
    report("gradient evaluations of the flow", f"{evaluations}")
    report("an evaluation over two passes of the data", f"{seconds / evaluations / (2 * one_pass):.2f}", "limit: 1")
    report("rate of a pass", f"{inputs.nbytes / one_pass / 1e9:.1f} GB/s")


def test_whole_script(benchmark, report, tmp_path):
    command = [sys.executable, str(ROOT / "reproductions" / "diag_linear_grok.py"), "--out", str(tmp_path)]
    run = lambda: subprocess.run(command, check=True, capture_output=True)
    benchmark.pedantic(run, rounds=1)
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    report("figure 1a end to end, compilation included", f"{benchmark.stats.stats.min:.0f} s", "≤ 90 s")
    report("its peak memory", f"{memory:.1f} GiB", "≤ 4 GB")
