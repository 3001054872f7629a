"""A training step of the transformer on a table of pairs, against Flax's own layers at every position."""

from __future__ import annotations

import time

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from grokjax import data, models

P, WIDTH, HEADS, SHARE, ROUNDS = 113, 128, 4, 0.3, 12


class Plain(nn.Module):
    """The same network as a user writes it: logits at all positions, of which the last is taken."""

    @nn.compact
    def __call__(self, tokens):
        normal = nn.initializers.normal(WIDTH**-0.5)
        x = nn.Embed(P + 1, WIDTH, embedding_init=normal)(tokens) + self.param("positions", normal, (3, WIDTH))
        mask = nn.make_causal_mask(tokens)
        x = x + nn.MultiHeadDotProductAttention(HEADS, qkv_features=WIDTH, use_bias=False)(x, mask=mask)
        hidden = nn.relu(nn.Dense(4 * WIDTH)(x))
        x = x + nn.Dense(WIDTH)(hidden)
        return nn.Dense(P, use_bias=False)(x)[:, -1]


def translated(params):
    """Our parameters under Flax's names and shapes."""
    block, heads = params["block_0"], (HEADS, WIDTH // HEADS)
    attention = {name: {"kernel": block[name]["kernel"].reshape(WIDTH, *heads)} for name in ("query", "key", "value")}
    attention["out"] = {"kernel": block["output"]["kernel"].reshape(*heads, WIDTH)}
    return {
        "Embed_0": {"embedding": params["embedding"]},
        "positions": params["positions"],
        "MultiHeadDotProductAttention_0": attention,
        "Dense_0": block["up"],
        "Dense_1": block["down"],
        "Dense_2": params["unembedding"],
    }


def stepper(logits, params, labels):
    """A compiled step, where it starts, and the number of floating-point operations that XLA counts in it."""
    optimiser = optax.adamw(1e-3, 0.9, 0.98, weight_decay=1.0)

    def risk(params):
        return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits(params), labels))

    @jax.jit
    def step(state):
        params, moments = state
        changes, moments = optimiser.update(jax.grad(risk)(params), moments, params)
        return optax.apply_updates(params, changes), moments

    state = (params, optimiser.init(params))
    compiled = step.lower(state).compile()
    return compiled, state, (compiled.cost_analysis() or {})["flops"]


def test_step_against_plain_flax(benchmark, report):
    table, key = data.operation_table("add", P), jax.random.key(0)
    rows = np.flatnonzero(data.split(key, table, SHARE).train)
    tokens = models.transformer_tokens("circuit_efficiency", table.inputs)[rows]
    labels = table.labels[rows]
    model, plain = models.transformer_setup("circuit_efficiency"), Plain()
    params = model.init(key, jnp.float32)
    logits = {
        "ours": lambda params: jax.vmap(model.apply, (None, 0))(params, tokens),
        "plain": lambda params: plain.apply({"params": params}, tokens),
    }
    starts = {"ours": params, "plain": translated(params)}
    np.testing.assert_allclose(*(logits[name](starts[name]) for name in starts), rtol=1e-4, atol=1e-5)
    sides = {name: stepper(logits[name], starts[name], labels) for name in starts}
    states = {name: jax.block_until_ready(step(state)) for name, (step, state, _) in sides.items()}
    seconds = {name: [] for name in sides}
    for _ in range(ROUNDS):
        for name, (step, *_) in sides.items():
            start = time.perf_counter()
            states[name] = jax.block_until_ready(step(states[name]))
            seconds[name].append(time.perf_counter() - start)
    ratio = np.median(seconds["plain"]) / np.median(seconds["ours"])
    flops = {name: side[2] for name, side in sides.items()}
    benchmark.pedantic(lambda: jax.block_until_ready(sides["ours"][0](states["ours"])), rounds=3)
    report("transformer step, 1 layer of 128, p = 113: plain Flax over ours, time", f"{ratio:.2f}", "≥ 2.5")
    report("the same, floating-point operations", f"{flops['plain'] / flops['ours']:.2f}")
    rate = {name: flops[name] / np.median(seconds[name]) / 1e9 for name in sides}
    report("rates of the two, ours and plain, Gflop/s", f"{rate['ours']:.0f}, {rate['plain']:.0f}")
    assert ratio >= 2.5
