"""Transformers of a few layers on a few tokens, which compute only what their output hangs on.

Two exact savings make them fast on tables of pairs. Where only the last position is read, the last layer has its
queries, MLP and unembedding at that position alone. And what enters the first layer is a function of token and
position: its queries, keys and values are computed once for each of these few and looked up by every sequence of
a batch.

References:
    Vaswani et al., arXiv 1706.03762 (the model); Power et al., arXiv 2201.02177 (transformers on tables of pairs).
"""

from __future__ import annotations

import functools
import math
from typing import Any, Literal

import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from grokjax._checks import Scalar, check_dropout, check_integer
from grokjax.models._layers import activation_function
from grokjax.models.base import Model

__all__ = ["transformer"]

Initialization = Literal["normal", "uniform", "lecun"] | float


# Typed, so that 4.0 and True are not taken for the 4 and 1 of an earlier call, and are refused.
@functools.lru_cache(maxsize=None, typed=True)
def transformer(
    vocabulary: int,
    length: int,
    classes: int,
    *,
    layers: int = 1,
    width: int = 128,
    heads: int = 4,
    head_width: int | None = None,
    mlp_width: int | None = None,
    causal: bool = True,
    positions: Literal["learned", "sinusoidal"] | None = "learned",
    norm: Literal["pre", "post"] | None = None,
    tied: bool = False,
    attention_bias: bool = False,
    mlp_bias: bool = False,
    activation: Literal["relu"] | int = "relu",
    attention_exponent: float = 0.5,
    output_multiplier: float = 1.0,
    weights: Initialization = "normal",
    embedding: float | None = None,
    unembedding: Initialization | None = None,
    read: Literal["last", "all"] = "last",
    lookup: bool = True,
) -> Model:
    """A transformer on sequences of tokens with as many logits as there are classes.

    With x_i = E[token_i] + P[i], every layer adds to x attention and then an MLP, written for norm = None:
        x_i ← x_i + O Σ_j softmax_j(⟨Q x_i, K x_j⟩/d^e) V x_j   for every head of width d, j ≤ i where causal
        x_i ← x_i + W₂ φ(W₁ x_i)
    and the logits are m·U x_i. Layer norms stand before each of the two parts and before U ("pre"), or after
    each sum ("post"); their ε is 1e-5, their gains and biases are trained.

    `init(key, dtype=float)` gives a nested dictionary of arrays; biases start at 0.

    `apply(params, x, key=None, dropout=0.0)` takes one sequence x of shape (length,), integers from 0 to
    vocabulary − 1, and returns logits (classes,) at the last position or, with read = "all", (length, classes). A
    token out of range gives NaN. With a key, shares `dropout` of the outputs of attention and of the MLP are set to
    0, each before it is added, and the others scaled up; the rate may be traced, and without a key nothing is dropped.

    Args:
        vocabulary: number of tokens.
        length: number of positions.
        classes: number of logits, at most `vocabulary` where the embedding is tied.
        layers: number of layers.
        width: of the residual stream x.
        heads: number of heads in each layer.
        head_width: d; None for width/heads.
        mlp_width: number of hidden neurons of each MLP; None for 4·width.
        causal: whether a position sees only itself and those before it.
        positions: P is trained, or of sines and cosines (even width), or absent.
        norm: where layer norms stand, or None.
        tied: whether U consists of the first rows of E.
        attention_bias: whether Q, K, V and O have biases.
        mlp_bias: whether W₁ and W₂ have.
        activation: φ, "relu" or an integer power.
        attention_exponent: e, ½ as usual, or 1 for logits that stay of order one as the width grows.
        output_multiplier: m.
        weights: how Q, K, V, O, W₁ and W₂ start: "normal" of standard deviation 1/√fan_in, "lecun" the same but cut
            off at two standard deviations, "uniform" on ±1/√fan_in, or normal of the standard deviation given.
        embedding: standard deviation of E and of a trained P, which are normal; None for 1/√width.
        unembedding: how U starts, as `weights`; None for the same as these.
        read: where there are logits.
        lookup: whether what enters the first layer is computed once for each token and position. False computes it
            for every sequence, which is less work only for batches smaller than the vocabulary.

    Returns:
        A `Model` of no degree.

    Raises:
        ValueError: for a size that is no integer of at least 1, heads that do not divide the width, an unknown choice,
            an odd width with sines and cosines, more classes than tied tokens, or a standard deviation, exponent or
            multiplier that is negative or not finite; by `apply` for an x that is no vector of `length` integers, or a
            dropout outside [0, 1).

    References:
        Vaswani et al., arXiv 1706.03762; Yang et al., arXiv 2203.03466 (exponent and multiplier).
    """
    sizes = {"vocabulary": vocabulary, "length": length, "classes": classes, "layers": layers, "width": width}
    for name, size in {**sizes, "heads": heads}.items():
        check_integer(name, size)
    if head_width is None and width % heads:
        raise ValueError(f"heads must divide the width {width} unless head_width is given, got {heads}")
    head_width = width // heads if head_width is None else head_width
    mlp_width = 4 * width if mlp_width is None else mlp_width
    check_integer("head_width", head_width)
    check_integer("mlp_width", mlp_width)
    _check_choice("positions", positions, ("learned", "sinusoidal", None))
    _check_choice("norm", norm, ("pre", "post", None))
    _check_choice("read", read, ("last", "all"))
    if positions == "sinusoidal" and width % 2:
        raise ValueError(f"width must be even for sinusoidal positions, got {width}")
    if tied and classes > vocabulary:
        raise ValueError(f"classes must be at most the {vocabulary} tokens of a tied embedding, got {classes}")
    activation_function(activation)
    embedding = 1 / math.sqrt(width) if embedding is None else embedding
    unembedding = weights if unembedding is None else unembedding
    for name, how in {"weights": weights, "unembedding": unembedding}.items():
        if how not in ("normal", "uniform", "lecun"):
            _check_number(name, how, 'be "normal", "uniform", "lecun" or')
    numbers = {"embedding": embedding, "output_multiplier": output_multiplier, "attention_exponent": attention_exponent}
    for name, value in numbers.items():
        _check_number(name, value)

    # Flax takes a second to load.
    from grokjax.models._transformer import Options, Transformer

    options = Options(
        **sizes,
        heads=heads,
        head_width=head_width,
        mlp_width=mlp_width,
        causal=causal,
        positions=positions,
        norm=norm,
        tied=tied,
        attention_bias=attention_bias,
        mlp_bias=mlp_bias,
        activation=activation,
        attention_exponent=attention_exponent,
        output_multiplier=output_multiplier,
        weights=weights,
        embedding=embedding,
        unembedding=unembedding,
        read=read,
        lookup=lookup,
    )
    network = Transformer(options)

    def init(key: PRNGKeyArray, dtype: Any = float) -> dict[str, Any]:
        tokens = jnp.zeros(length, jnp.int32)
        return dict(Transformer(options, dtype).init(key, tokens, None, 0.0)["params"])

    def apply(
        params: dict[str, Any], x: Int[Array, " length"], key: PRNGKeyArray | None = None, dropout: Scalar = 0.0
    ) -> Float[Array, "*positions classes"]:
        if x.shape != (length,) or not jnp.issubdtype(x.dtype, jnp.integer):
            raise ValueError(f"x must be {length} integer tokens, got {x.dtype} of shape {x.shape}")
        check_dropout(dropout)
        return jnp.asarray(network.apply({"params": params}, x, key, dropout))

    return Model(init=init, apply=apply, degree=None)


def _check_choice(name, value, known):
    if value not in known:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, known))}; got {value!r}")


def _check_number(name, value, alternative="be"):
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not 0 <= value < math.inf:
        raise ValueError(f"{name} must {alternative} a finite number of at least 0, got {value!r}")
