"""The modules of a transformer for short sequences of tokens, as Flax has them; `transformer.py` makes them a model."""

from __future__ import annotations

import functools
from typing import Any, Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from grokjax._checks import Scalar
from grokjax.models._layers import activation_function, dropped

__all__ = ["Options", "Transformer"]


class Options(NamedTuple):
    """What `transformer` is told, checked and complete."""

    vocabulary: int
    length: int
    classes: int
    layers: int
    width: int
    heads: int
    head_width: int
    mlp_width: int
    causal: bool
    positions: Literal["learned", "sinusoidal"] | None
    norm: Literal["pre", "post"] | None
    tied: bool
    attention_bias: bool
    mlp_bias: bool
    activation: Literal["relu"] | int
    attention_exponent: float
    output_multiplier: float
    weights: Literal["normal", "uniform", "lecun"] | float
    embedding: float
    unembedding: Literal["normal", "uniform", "lecun"] | float
    read: Literal["last", "all"]
    lookup: bool


class Transformer(nn.Module):
    """Embedding, blocks and unembedding, for one sequence."""

    options: Options
    param_dtype: Any = float

    def setup(self):
        o, normal = self.options, nn.initializers.normal(self.options.embedding)
        self.embedding = self.param("embedding", normal, (o.vocabulary, o.width), self.param_dtype)
        if o.positions == "learned":
            self.positions = self.param("positions", normal, (o.length, o.width), self.param_dtype)
        self.blocks = [Block(o, self.param_dtype, name=f"block_{number}") for number in range(o.layers)]
        if o.norm == "pre":
            self.last_norm = _norm(self.param_dtype)
        if not o.tied:
            self.unembedding = nn.Dense(
                o.classes, use_bias=False, kernel_init=_initializer(o.unembedding), param_dtype=self.param_dtype
            )

    def __call__(
        self, tokens: Int[Array, " length"], key: PRNGKeyArray | None, dropout: Scalar
    ) -> Float[Array, "*positions classes"]:
        o = self.options
        keys = [None] * o.layers if key is None else jax.random.split(key, o.layers)
        last = np.arange(o.length)[-1:]
        # Only what the output hangs on is computed: below the last layer that is every position, in it what is read.
        queried = [np.arange(o.length)] * (o.layers - 1) + [last if o.read == "last" else np.arange(o.length)]

        # What enters the first layer is a function of position and token alone. A batch repeats a few of these many
        # times, so their keys, values and queries are computed once each (vmap over sequences leaves them alone).
        every = self._entering()
        at = queried[0]
        if o.lookup:
            query = _look_up(self.blocks[0].queries(every[at]), tokens[at])
            key_value = _look_up(self.blocks[0].keys_and_values(every), tokens)
            x = _look_up(every[at], tokens[at])
        else:
            x = _look_up(every, tokens)
            query, key_value, x = self.blocks[0].queries(x[at]), self.blocks[0].keys_and_values(x), x[at]
        x = self.blocks[0](x, query, key_value, at, keys[0], dropout)
        for block, at, block_key in zip(self.blocks[1:], queried[1:], keys[1:], strict=True):
            x = block(x[at], block.queries(x[at]), block.keys_and_values(x), at, block_key, dropout)

        x = self.last_norm(x) if o.norm == "pre" else x
        logits = x @ self.embedding[: o.classes].T if o.tied else self.unembedding(x)
        logits = logits * o.output_multiplier
        return logits[0] if o.read == "last" else logits

    def _entering(self):
        """(length, vocabulary, width): every token at every position."""
        o = self.options
        if o.positions is None:
            return jnp.broadcast_to(self.embedding, (o.length, *self.embedding.shape))
        if o.positions == "learned":
            return self.embedding[None] + self.positions[:, None]
        return self.embedding[None] + jnp.asarray(_sinusoids(o.length, o.width), self.embedding.dtype)[:, None]


class Block(nn.Module):
    """Attention and an MLP, each added to what it reads, at the positions that are queried."""

    options: Options
    param_dtype: Any

    def setup(self):
        o = self.options
        linear = functools.partial(nn.Dense, kernel_init=_initializer(o.weights), param_dtype=self.param_dtype)
        self.query, self.key, self.value = (linear(o.heads * o.head_width, use_bias=o.attention_bias) for _ in range(3))
        self.output = linear(o.width, use_bias=o.attention_bias)
        self.up, self.down = linear(o.mlp_width, use_bias=o.mlp_bias), linear(o.width, use_bias=o.mlp_bias)
        if o.norm is not None:
            self.attention_norm, self.mlp_norm = _norm(self.param_dtype), _norm(self.param_dtype)

    def queries(self, x: Float[Array, "*n width"]) -> Float[Array, "*n heads head_width"]:
        return self._heads(self.query(self._read(x)))

    def keys_and_values(self, x: Float[Array, "*n width"]) -> Float[Array, "*n 2 heads head_width"]:
        x = self._read(x)
        return jnp.stack([self._heads(self.key(x)), self._heads(self.value(x))], axis=-3)

    def __call__(
        self,
        x: Float[Array, "queried width"],
        query: Float[Array, "queried heads head_width"],
        key_value: Float[Array, "length 2 heads head_width"],
        at: np.ndarray,
        key: PRNGKeyArray | None,
        dropout: Scalar,
    ) -> Float[Array, "queried width"]:
        o = self.options
        keys = (None, None) if key is None else jax.random.split(key)
        seen = at[:, None] >= np.arange(o.length)[None] if o.causal else np.ones((len(at), o.length), bool)
        attended = _attention(query, key_value, seen, o.head_width**-o.attention_exponent)
        attended = _drop(keys[0], dropout, self.output(attended.reshape(len(at), -1)))
        if o.norm == "post":
            x = self.attention_norm(x + attended)
            return self.mlp_norm(x + _drop(keys[1], dropout, self._mlp(x)))
        x = x + attended
        return x + _drop(keys[1], dropout, self._mlp(self.mlp_norm(x) if o.norm == "pre" else x))

    def _mlp(self, x):
        return self.down(activation_function(self.options.activation)[0](self.up(x)))

    def _read(self, x):
        return self.attention_norm(x) if self.options.norm == "pre" else x

    def _heads(self, x):
        return x.reshape(*x.shape[:-1], self.options.heads, self.options.head_width)


def _norm(param_dtype):
    # Reductions are in float32 or better, and the variance is that of centred numbers.
    half = jnp.finfo(param_dtype).bits < 32
    return nn.LayerNorm(epsilon=1e-5, param_dtype=param_dtype, use_fast_variance=False, force_float32_reductions=half)


def _attention(query, key_value, seen, scale):
    """Σ_j softmax_j(scale·q·k_j) v_j for each head, where j is seen; scores and softmax in float32 or better."""
    dtype = query.dtype
    scores = jnp.einsum("ihd,jhd->ihj", query, key_value[:, 0], preferred_element_type=_exact(dtype)) * scale
    if not seen.all():
        scores = jnp.where(jnp.asarray(seen)[:, None], scores, -jnp.inf)
    return jnp.einsum("ihj,jhd->ihd", jax.nn.softmax(scores, axis=-1).astype(dtype), key_value[:, 1])


def _exact(dtype):
    return dtype if jnp.finfo(dtype).bits >= 32 else jnp.float32


def _look_up(table, tokens):
    """Row `tokens[i]` of `table[i]` for every i; NaN where there is no such row."""
    length, vocabulary = table.shape[:2]
    rows = jnp.arange(length, dtype=jnp.int32) * vocabulary + tokens.astype(jnp.int32)
    rows = jnp.where((tokens >= 0) & (tokens < vocabulary), rows, length * vocabulary)
    return table.reshape(-1, *table.shape[2:]).at[rows].get(mode="fill", fill_value=jnp.nan)


def _drop(key, rate, x):
    return x if key is None else dropped(key, rate, x)


def _initializer(how):
    if how == "normal":
        return nn.initializers.variance_scaling(1.0, "fan_in", "normal")
    if how == "uniform":  # On ±1/√fan_in, whose variance is a third of that of "normal".
        return nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")
    return nn.initializers.lecun_normal() if how == "lecun" else nn.initializers.normal(how)


def _sinusoids(length, width):
    angles = np.arange(length)[:, None] * 10_000.0 ** (-np.arange(0, width, 2) / width)[None]
    return np.stack([np.sin(angles), np.cos(angles)], axis=-1).reshape(length, width)
