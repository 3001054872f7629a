"""Transformers against a dense forward pass written out in NumPy, and against their own laws."""

from __future__ import annotations

import functools
import itertools
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from grokjax.data import operation_table
from grokjax.models import transformer, transformer_setup, transformer_tokens

EPS = np.finfo(float).eps
# Compiling takes all the time, so it is done with half the care.
quick = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
SMALL = {"width": 8, "heads": 2, "mlp_width": 12}
# Small versions of the three papers' set-ups, and what these leave out.
SETUPS = {
    "corrupted": {},
    "circuit_efficiency": {},
    "early_prediction": {},
    "pre-norm, tied, biases, cubes": {
        "layers": 2,
        "norm": "pre",
        "tied": True,
        "attention_bias": True,
        "mlp_bias": True,
        "activation": 3,
        "weights": "lecun",
        "head_width": 3,
        "output_multiplier": 0.5,
    },
    "three layers without positions or mask": {"layers": 3, "positions": None, "causal": False},
}
P = 7
DROPPED = transformer(P, 2, 8, width=8, heads=2)


def build(name, **changes):
    """A small model of the table, and the arguments from which the dense version knows what it is."""
    if name in ("corrupted", "circuit_efficiency", "early_prediction"):
        return transformer_setup(name, P, **SMALL, **changes)
    return transformer(P + 1, 4, P, **{**SMALL, **SETUPS[name], **changes})


def described(name):
    """(length, vocabulary, causal, exponent, norm, sinusoidal, power, multiplier) by the papers' own words."""
    return {
        "corrupted": (2, P, False, 1.0, None, False, 1, 1 / 8),
        "circuit_efficiency": (3, P + 1, True, 0.5, None, False, 1, 1.0),
        "early_prediction": (4, P + 2, True, 0.5, "post", True, 1, 1.0),
        "pre-norm, tied, biases, cubes": (4, P + 1, True, 0.5, "pre", False, 3, 0.5),
        "three layers without positions or mask": (4, P + 1, False, 0.5, None, False, 1, 1.0),
    }[name]


def parameters(model, seed=0):
    """None of which is 0 or 1: norms and biases start there, which would hide them."""
    random = np.random.default_rng(seed)
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    return jax.tree.map(lambda p: jnp.asarray(0.4 * random.standard_normal(p.shape), p.dtype), shapes)


@functools.cache
def batched(model):
    return quick(jax.vmap(model.apply, (None, 0)))


def sequences(name, number=5, seed=1):
    length, vocabulary = described(name)[:2]
    return jnp.asarray(np.random.default_rng(seed).integers(0, vocabulary, (number, length)), jnp.int32)


def normalised(x, norm):
    centred = x - x.mean()
    return centred / np.sqrt((centred**2).mean() + 1e-5) * norm["scale"] + norm["bias"]


def dense(params, tokens, name):
    """Logits at all positions of one sequence, one position and one head at a time."""
    length, _, causal, exponent, norm, sinusoidal, power, multiplier = described(name)
    params, heads = jax.tree.map(np.asarray, params), SMALL["heads"]
    linear = lambda layer, x: x @ layer["kernel"] + layer.get("bias", 0.0)
    phi = lambda z: np.maximum(z, 0) if power == 1 else z**power
    xs = [params["embedding"][t].copy() for t in tokens.tolist()]
    for i, x in enumerate(xs):
        if sinusoidal:
            for k in range(len(x)):
                x[k] += (np.sin, np.cos)[k % 2](i / 10_000 ** ((k - k % 2) / len(x)))
        elif "positions" in params:
            x += params["positions"][i]
    for layer in range(sum(key.startswith("block") for key in params)):
        block = params[f"block_{layer}"]
        read = [normalised(x, block["attention_norm"]) if norm == "pre" else x for x in xs]
        query, key, value = (
            [np.split(linear(block[part], x), heads) for x in read] for part in ("query", "key", "value")
        )
        following = []
        for i, x in enumerate(xs):
            mixed = []
            for h in range(heads):
                seen = range(i + 1) if causal else range(length)
                scores = np.exp([query[i][h] @ key[j][h] / len(key[j][h]) ** exponent for j in seen])
                mixed.append(sum(s * value[j][h] for s, j in zip(scores, seen, strict=True)) / scores.sum())
            x = x + linear(block["output"], np.concatenate(mixed))
            x = normalised(x, block["attention_norm"]) if norm == "post" else x
            x_read = normalised(x, block["mlp_norm"]) if norm == "pre" else x
            x = x + linear(block["down"], phi(linear(block["up"], x_read)))
            following.append(normalised(x, block["mlp_norm"]) if norm == "post" else x)
        xs = following
    if norm == "pre":
        xs = [normalised(x, params["last_norm"]) for x in xs]
    unembedding = params["unembedding"]["kernel"] if "unembedding" in params else params["embedding"][:P].T
    return multiplier * np.stack(xs) @ unembedding


each_setup = pytest.mark.parametrize("name", SETUPS)


@each_setup
def test_logits_are_those_of_the_dense_forward_pass(name):
    model, x = build(name, read="all"), sequences(name)
    params = parameters(model)
    expected = np.stack([dense(params, tokens, name) for tokens in x])
    tolerance = 1000 * EPS * np.max(np.abs(expected))
    np.testing.assert_allclose(batched(model)(params, x), expected, atol=tolerance)
    np.testing.assert_allclose(batched(build(name))(params, x), expected[:, -1], atol=tolerance)


@pytest.mark.parametrize("name", ["circuit_efficiency", "pre-norm, tied, biases, cubes"])
def test_the_savings_do_not_change_the_gradient(name):
    """Last position alone and looked-up first layer, against every position of every sequence."""
    x, weights = sequences(name, 20), jnp.asarray(np.random.default_rng(2).standard_normal((20, P)))
    params = parameters(build(name))

    def gradient(at_last, **changes):
        apply = jax.vmap(build(name, **changes).apply, (None, 0))
        return jax.tree.leaves(quick(jax.grad(lambda params: jnp.sum(weights * at_last(apply(params, x)))))(params))

    ours, plain = gradient(lambda z: z), gradient(lambda z: z[:, -1], read="all", lookup=False)
    size = max(float(jnp.max(jnp.abs(leaf))) for leaf in plain)
    for one, other in zip(ours, plain, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e4 * EPS * size)


@each_setup
def test_a_position_sees_later_tokens_only_without_a_mask(name):
    causal = described(name)[2]
    model, x = build(name, read="all"), sequences(name)
    other = x.at[:, -1].set((x[:, -1] + 1) % P)
    one, two = (batched(model)(parameters(model), tokens) for tokens in (x, other))
    assert bool(jnp.all(one[:, :-1] == two[:, :-1])) == causal
    assert not bool(jnp.any(jnp.all(one[:, -1] == two[:, -1], axis=-1)))


@each_setup
def test_a_token_out_of_range_gives_nan(name):
    model, x = build(name), sequences(name)
    last = described(name)[1] - 1
    for place in (0, -1):
        tokens = x.at[:, place].set(jnp.array([-1, last + 1, 10**6, -(10**6), last], jnp.int32))
        np.testing.assert_array_equal(
            jnp.any(jnp.isnan(batched(model)(parameters(model), tokens)), axis=1), [True] * 4 + [False]
        )


def test_without_positions_and_mask_the_order_of_tokens_matters_as_little_as_that_of_outputs():
    name, order = "three layers without positions or mask", np.array([2, 0, 3, 1])
    x, plain, placed = sequences(name), build(name, read="all"), build(name, read="all", positions="learned")
    for model, equal in ((plain, True), (placed, False)):
        params, apply = parameters(model), batched(model)
        assert np.allclose(apply(params, x[:, order]), apply(params, x)[:, order], rtol=1e-10, atol=1e-12) == equal


def count(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def test_the_set_ups_have_the_parameter_counts_of_the_papers():
    shapes = lambda name: jax.eval_shape(transformer_setup(name).init, jax.random.key(0))
    corrupted = shapes("corrupted")
    assert corrupted["embedding"].size + corrupted["positions"].size == 12_672
    assert count(corrupted) - 12_672 == 209_024
    circuits = shapes("circuit_efficiency")
    assert count(circuits) == 4 * 128**2 + 2 * 128 * 512 + (512 + 128) + 128 * 113 + 114 * 128 + 3 * 128 == 226_688
    early = shapes("early_prediction")
    kernels = [leaf for block in ("block_0", "block_1") for leaf in jax.tree.leaves(early[block]) if leaf.ndim == 2]
    assert count(kernels) == 393_216
    assert count(early) == 393_216 + 2 * 4 * 128 + 99 * 128 + 97 * 128


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("corrupted", {"embedding": 1.0, "positions": 1.0, "query": 128, "down": 512, "unembedding": 128}),
        ("circuit_efficiency", {"embedding": 128, "query": 128, "down": 128, "unembedding": 113}),
        ("early_prediction", {"embedding": 128, "query": 3 * 128, "down": 3 * 512, "unembedding": 3 * 128}),
    ],
)
def test_weights_start_with_the_standard_deviations_of_the_papers(name, parts):
    """Variances are given by their inverses; the sample's own error is √(2/size) at most."""
    # A generator that compiles fast.
    params = quick(transformer_setup(name).init)(jax.random.key(0, impl="rbg"))
    leaves = {**params, **params["block_0"]}
    for part, inverse in parts.items():
        (leaf,) = jax.tree.leaves(
            {"kernel": leaves[part]["kernel"]} if isinstance(leaves[part], dict) else leaves[part]
        )
        assert abs(float(jnp.mean(leaf**2)) * inverse - 1) < 5 * np.sqrt(2 / leaf.size)
        bounded = float(jnp.max(jnp.abs(leaf))) * np.sqrt(inverse) < np.sqrt(3)
        assert bounded == (name == "early_prediction" and part != "embedding")


@pytest.mark.parametrize(
    ("name", "spelt"),
    [("corrupted", [3, 5]), ("circuit_efficiency", [3, 5, 7]), ("early_prediction", [3, 7, 5, 8])],
)
def test_a_pair_is_spelt_as_its_paper_has_it(name, spelt):
    table = operation_table("add", P)
    tokens = transformer_tokens(name, table.inputs, P)
    assert tokens[3 * P + 5].tolist() == transformer_tokens(name, jnp.array([3, 5]), P).tolist() == spelt
    model = build(name)
    assert bool(jnp.all(jnp.isfinite(batched(model)(parameters(model), tokens[:5]))))


def test_a_batch_multiplies_plain_matrices_and_shares_the_first_layer(key):
    """Products of weights have no batch of weights, and cost what the exploited structure says they do."""
    n, p, d = 1000, 23, 32
    count_of = {}
    for lookup, read in itertools.product((True, False), ("last", "all")):
        model = transformer(p + 1, 3, p, width=d, lookup=lookup, read=read)
        params = jax.eval_shape(model.init, key)
        batch = jax.jit(jax.vmap(model.apply, (None, 0))).lower(params, jax.ShapeDtypeStruct((n, 3), jnp.int32))
        assert "batching_dims" in batch.as_text()  # Attention, where both sides belong to a sequence.
        products = [line for line in batch.as_text().splitlines() if "dot_general" in line]
        assert sum("batching_dims" not in line for line in products) == 7
        count_of[lookup, read] = (batch.compile().cost_analysis() or {})["flops"]
    # Products alone, in multiply-adds: keys and values, queries, and what follows attention at each position.
    after = d * d + 8 * d * d + d * p
    for (lookup, read), flops in count_of.items():
        looked_up = 3 * (p + 1) if lookup else 3 * n
        queries = ((p + 1) if lookup else n) * (1 if read == "last" else 3)
        expected = looked_up * 2 * d * d + queries * d * d + n * after * (1 if read == "last" else 3)
        assert expected < flops / 2 < 1.35 * expected


@functools.cache
def dropping(model) -> Any:
    return quick(jax.vmap(model.apply, (None, None, 0, None)))


def test_dropout_is_traced_and_needs_a_key(key):
    model, x, keys = DROPPED, jnp.array([1, 2]), jax.random.split(key, 4000)
    params, apply = parameters(model), cast(Any, model.apply)
    with_a_rate = functools.partial(apply, dropout=0.9)
    assert str(jax.make_jaxpr(with_a_rate)(params, x)) == str(jax.make_jaxpr(apply)(params, x))
    clean = batched(model)(params, x[None])
    np.testing.assert_allclose(dropping(model)(params, x, keys, 0.0)[:1], clean, atol=100 * EPS)
    assert not np.allclose(dropping(model)(params, x, keys, 0.5), dropping(model)(params, x, keys, 0.1))
    assert dropping(model)._cache_size() == 1


@pytest.mark.parametrize("silenced", ["down", "output"], ids=["attention", "mlp"])
def test_each_output_is_dropped_with_its_rate_before_it_is_added_and_keeps_its_mean(silenced):
    """With one of the two parts silent and logits equal to the stream, what is added is seen itself."""
    width, rate, model = 8, 0.4, DROPPED
    params = parameters(model)
    block = {**params["block_0"], silenced: jax.tree.map(jnp.zeros_like, params["block_0"][silenced])}
    params = {**params, "block_0": block, "unembedding": {"kernel": jnp.eye(width)}}
    x, keys = jnp.array([1, 2]), jax.random.split(jax.random.key(1), 4000)
    stream = params["embedding"][2] + params["positions"][1]
    added = batched(model)(params, x[None])[0] - stream
    sample = dropping(model)(params, x, keys, rate) - stream[None]
    kept = ~np.isclose(sample, 0.0, atol=1e-12)
    np.testing.assert_allclose(
        np.where(kept, sample, (added / (1 - rate))[None]), (added / (1 - rate))[None] + 0 * sample
    )
    # Independent fair draws: the eight counts of kept ones, and the number that is kept together.
    error = np.sqrt(rate * (1 - rate) / len(keys))
    assert np.max(np.abs(kept.mean(axis=0) - (1 - rate))) < 5 * error
    together = (1 - rate) ** width
    assert abs(kept.all(axis=1).mean() - together) < 5 * np.sqrt(together / len(keys))


def test_weights_have_the_dtype_asked_for_and_half_precision_keeps_float32_scores(key):
    for dtype in (jnp.float32, jnp.bfloat16):
        model = transformer(P, 3, P, **SMALL)
        params = jax.eval_shape(functools.partial(model.init, dtype=dtype), key)
        assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype(dtype)}
        assert jax.eval_shape(model.apply, params, jnp.array([1, 2, 3])).dtype == dtype
    program = jax.make_jaxpr(model.apply)(params, jnp.array([1, 2, 3]))
    exponentials = [eqn for eqn in program.jaxpr.eqns if eqn.primitive.name == "exp"]
    assert [eqn.outvars[0].aval.dtype for eqn in exponentials] == [jnp.float32]


def test_equal_arguments_give_the_same_model():
    assert transformer(5, 2, 5, width=8) is transformer(5, 2, 5, width=8)
    assert transformer_setup("corrupted") is transformer_setup("corrupted", 97)


@pytest.mark.parametrize(
    ("sizes", "changes", "complaint"),
    [
        ((0, 2, 5), {}, "^vocabulary must be an integer of at least 1, got 0"),
        ((5, 2.0, 5), {}, "^length must be an integer of at least 1, got 2.0"),
        ((5, 2, 5), {"layers": 0}, "^layers must be an integer of at least 1, got 0"),
        ((5, 2, 5), {"heads": 3}, "^heads must divide the width 128 unless head_width is given, got 3"),
        ((5, 2, 5), {"head_width": 0}, "^head_width must be an integer of at least 1, got 0"),
        ((5, 2, 5), {"mlp_width": -1}, "^mlp_width must be an integer of at least 1, got -1"),
        ((5, 2, 5), {"width": 3, "heads": 1, "positions": "sinusoidal"}, "^width must be even for sinusoidal .* got 3"),
        ((5, 2, 5), {"positions": "rotary"}, "^positions must be one of 'learned', 'sinusoidal', None; got 'rotary'"),
        ((5, 2, 5), {"norm": "both"}, "^norm must be one of 'pre', 'post', None; got 'both'"),
        ((5, 2, 5), {"read": "first"}, "^read must be one of 'last', 'all'; got 'first'"),
        ((5, 2, 6), {"tied": True}, "^classes must be at most the 5 tokens of a tied embedding, got 6"),
        ((5, 2, 5), {"activation": "tanh"}, '^activation must be "relu" or an integer power'),
        (
            (5, 2, 5),
            {"weights": "zero"},
            '^weights must be "normal", "uniform", "lecun" or a finite .* \'zero\'',
        ),
        ((5, 2, 5), {"unembedding": -1.0}, '^unembedding must be "normal", .* got -1.0'),
        ((5, 2, 5), {"embedding": float("inf")}, "^embedding must be a finite number of at least 0, got inf"),
        ((5, 2, 5), {"output_multiplier": float("nan")}, "^output_multiplier must be a finite number .* got nan"),
    ],
)
def test_an_impossible_transformer_is_refused(sizes, changes, complaint, unchecked_types):
    with pytest.raises(ValueError, match=complaint):
        transformer(*sizes, **changes)


def test_what_a_model_cannot_read_is_refused(key, unchecked_types):
    model = transformer(P, 3, P, **SMALL)
    params, apply = parameters(model), cast(Any, model.apply)
    for x in (jnp.array([1, 2]), jnp.zeros((1, 3), jnp.int32), jnp.zeros(3)):
        with pytest.raises(ValueError, match=r"^x must be 3 integer tokens, got .* of shape"):
            model.apply(params, x)
    for rate in (1.0, -0.1, float("nan")):
        with pytest.raises(ValueError, match=r"^dropout must be at least 0 and below 1, got"):
            apply(params, jnp.array([1, 2, 3]), key, rate)
    nobody: Any = "nobody"
    for function in (transformer_setup, lambda name: transformer_tokens(name, jnp.array([1, 2]))):
        with pytest.raises(ValueError, match=r"^name must be one of corrupted, .*; got 'nobody'"):
            function(nobody)
