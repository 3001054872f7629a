"""64 seeds in one vmapped program against a loop of runs, as a user writes it, and over one compiled program."""

from __future__ import annotations

import math
import time

import jax
import jax.numpy as jnp
import numpy as np

from grokjax import data, flows

SEEDS, N, D, NORM, DECAY = 64, 8, 16, 30.0, 0.01


def norm_of(t, net):
    return net.norm


def final_norm(task):
    flow, start = flows.diagonal_flow(task.train_inputs, task.train_labels, initial_norm=NORM, weight_decay=DECAY)
    times = np.linspace(0.1, 2, 20) * math.log(NORM) / DECAY
    run = flows.solve(flow, start, times, rtol=1e-4, observe=norm_of)
    return run.observed[-1], run.status


def test_seeds_side_by_side_against_one_after_the_other(benchmark, report):
    draw = lambda key: data.sparse_classification(key, N, D, 3, dtype=jnp.float64)
    tasks = jax.vmap(draw)(jax.random.split(jax.random.key(0), SEEDS))
    single = [jax.tree.map(lambda x, i=i: x[i], tasks) for i in range(SEEDS)]
    compiled, together = jax.jit(final_norm), jax.jit(jax.vmap(final_norm))

    def loop(run):
        return [jax.block_until_ready(run(task))[0] for task in single]

    def seconds(run):
        loop(run)
        start = time.perf_counter()
        loop(run)
        return time.perf_counter() - start

    np.testing.assert_allclose(jax.block_until_ready(together(tasks))[0], loop(compiled), rtol=1e-8)
    benchmark.pedantic(lambda: jax.block_until_ready(together(tasks)), rounds=5)
    vmapped = benchmark.stats.stats.min
    report(f"{SEEDS} seeds: loop of solve calls over vmap", f"{seconds(final_norm) / vmapped:.1f}", "≥ 10")
    report(f"{SEEDS} seeds: loop over one compiled run, over vmap", f"{seconds(compiled) / vmapped:.1f}")
