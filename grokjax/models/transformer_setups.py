"""The transformers of three papers on grokking, and how each spells a pair of numbers as tokens.

Where a paper is silent, one choice is made; `transformer_setup` says which, and takes another.
"""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Int, Integer

from grokjax._checks import check_integer
from grokjax.models.base import Model
from grokjax.models.transformer import transformer

__all__ = ["transformer_setup", "transformer_tokens"]

SetupName = Literal["corrupted", "circuit_efficiency", "early_prediction"]


class Spelling(NamedTuple):
    """The numbers a and b as `(a, *between, b, *after)`; token `classes + s` stands for extra symbol number s."""

    classes: int
    between: tuple[int, ...]
    after: tuple[int, ...]


SPELLINGS = {
    "corrupted": Spelling(97, (), ()),
    "circuit_efficiency": Spelling(113, (), (0,)),
    "early_prediction": Spelling(97, (0,), (1,)),
}


def transformer_setup(name: SetupName, classes: int | None = None, **changes: Any) -> Model:
    """The transformer of a paper, with 4 heads, ReLU, an MLP four times as wide, and logits at the last position.

    "corrupted" (modulus 97): tokens a b, one layer that sees both, trained positions, no norms, no biases, attention
    logits divided by the head width and logits by the width; weights normal of standard deviation 1/√fan_in,
    embeddings N(0, 1). 209,024 weights and 12,672 of the two embeddings.

    "circuit_efficiency" (modulus 113): tokens a b =, one causal layer, trained positions, no norms, biases in the MLP
    only. Chosen here: the "=", the mask, and all normal of standard deviation 1/√width, but the unembedding of
    1/√classes. 226,688 parameters.

    "early_prediction" (modulus 97): tokens a ∘ b =, two causal layers, sines and cosines, layer norms after each
    sum, no other biases, linear layers uniform on ±1/√fan_in. Chosen here: an unembedding of its own on the classes
    alone, and embeddings of standard deviation 1/√width. 393,216 weights of attention and MLPs.

    Args:
        name: of the paper.
        classes: number of classes and of numbers that are tokens, such as 120 for permutations of five things; None
            for the paper's modulus.
        changes: other arguments of `transformer`, such as `width`, `layers` or `tied`; scales given above as
            functions of the width follow it.

    Returns:
        A `Model`, as `transformer` has it.

    Raises:
        ValueError: for an unknown name, or what `transformer` refuses.

    References:
        "corrupted": Doshi et al., arXiv 2310.13061, figure 7a and the authors' code. "circuit_efficiency": Varma et
        al., arXiv 2309.02390, section 5. "early_prediction": Notsawo et al., arXiv 2306.13253, section 2.
    """
    spelling = _spelling(name, classes)
    classes, symbols = spelling.classes, len(spelling.between) + len(spelling.after)
    width = changes.get("width", 128)
    check_integer("width", width)
    settings = {
        "corrupted": {
            "causal": False,
            "attention_exponent": 1.0,
            "output_multiplier": 1 / width,
            "embedding": 1.0,
        },
        "circuit_efficiency": {
            "mlp_bias": True,
            "weights": 1 / math.sqrt(width),
            "unembedding": 1 / math.sqrt(classes),
        },
        "early_prediction": {
            "layers": 2,
            "positions": "sinusoidal",
            "norm": "post",
            "weights": "uniform",
        },
    }[name]
    sizes = {"vocabulary": classes + symbols, "length": 2 + symbols, "classes": classes}
    return transformer(**{**sizes, **settings, **changes})


def transformer_tokens(
    name: SetupName, pairs: Integer[Array, "*n 2"], classes: int | None = None
) -> Int[Array, "*n length"]:
    """Pairs of numbers as the tokens that the transformer of a paper reads; numbers are their own tokens.

    Args:
        name: of the paper, as for `transformer_setup`.
        pairs: (..., 2) integers from 0 to classes − 1, such as the inputs of an `OperationTable`.
        classes: as for `transformer_setup`; the extra symbols are the tokens from `classes` on.

    Returns:
        (..., length) int32: a b, or a b =, or a ∘ b =.

    Raises:
        ValueError: for an unknown name.
    """
    spelling = _spelling(name, classes)
    a, b = (pairs[..., i].astype(jnp.int32) for i in (0, 1))
    between, after = (
        [jnp.full(a.shape, spelling.classes + symbol, jnp.int32) for symbol in symbols] for symbols in spelling[1:]
    )
    return jnp.stack([a, *between, b, *after], axis=-1)


def _spelling(name, classes):
    if name not in SPELLINGS:
        raise ValueError(f"name must be one of {', '.join(SPELLINGS)}; got {name!r}")
    if classes is None:
        return SPELLINGS[name]
    check_integer("classes", classes)
    return SPELLINGS[name]._replace(classes=classes)
