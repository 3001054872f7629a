"""Fully connected networks of any depth, without biases."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

from grokjax._checks import Scalar, check_integer, check_positive
from grokjax.models._layers import activation_function, check_last_layer, first_product, he_weights
from grokjax.models.base import Model

__all__ = ["mlp"]


def mlp(widths: Sequence[int], outputs: int | None = None, activation: Literal["relu"] | int = "relu") -> Model:
    """A network of L matrices, f = W_L φ(W_{L−1} ⋯ φ(W₁x)), with φ = ReLU or φ(z) = z^p, and no biases.

    The degree of the part below W_l satisfies D₁ = 1, D_{l+1} = 1 + pD_l, so that f is homogeneous of degree
    1 + p + ⋯ + p^{L−1}; for ReLU, and for p = 1, that is L. Biases would break it in every layer but the first.

    `init(key, scale=1.0, last_layer="zero", dtype=float)` draws each hidden matrix with standard deviation
    √(2/fan_in) and, with `last_layer="he"`, the last with 1/√fan_in; `scale` multiplies all of them. With "zero",
    W_L = 0 and so f = 0. The same key gives the same hidden matrices either way.

    `apply(params, x)` takes a dense x of shape (widths[0],) or a vector of integer tokens, as `two_layer` does.

    Args:
        widths: the dimension of x, then the widths of the hidden layers; L numbers in all, L ≥ 1.
        outputs: number of outputs; None for a scalar output of shape ().
        activation: "relu", or the integer power p ≥ 1.

    Returns:
        A `Model`; its parameters are the tuple (W₁, …, W_L), with W_l of shape (widths[l], widths[l − 1]), and the
        last (outputs, widths[−1]), or (widths[−1],) where the output is a scalar.

    Raises:
        ValueError: for no widths, a size that is no integer of at least 1, or an unknown activation; by `init` for a
            scale that is not positive or an unknown last layer; by `apply` for an x of the wrong shape.

    References:
        Lyu et al., arXiv 2311.18817, assumption 3.1 (homogeneity) and 3.2 (zero last layer).
    """
    if len(widths) == 0:
        raise ValueError(f"widths must hold at least the dimension of the inputs, got {widths!r}")
    for number, width in enumerate(widths):
        check_integer(f"widths[{number}]", width)
    if outputs is not None:
        check_integer("outputs", outputs)
    activation_function(activation)
    return _mlp(tuple(widths), outputs, activation)


# The same arguments give the same model, so that a jitted function that closes over it is not compiled again.
@functools.cache
def _mlp(widths: tuple[int, ...], outputs: int | None, activation: Literal["relu"] | int) -> Model:
    phi, power = activation_function(activation)
    hidden_shapes = [(after, before) for before, after in itertools.pairwise(widths)]
    last_shape = (widths[-1],) if outputs is None else (outputs, widths[-1])

    def init(
        key: PRNGKeyArray, scale: Scalar = 1.0, last_layer: Literal["zero", "he"] = "zero", dtype: Any = float
    ) -> tuple[Array, ...]:
        check_positive("scale", scale)
        check_last_layer(last_layer)
        *keys, key_last = jax.random.split(key, len(widths))
        hidden = [he_weights(k, shape, 2.0, scale, dtype) for k, shape in zip(keys, hidden_shapes, strict=True)]
        he = last_layer == "he"
        return (*hidden, he_weights(key_last, last_shape, 1.0, scale, dtype) if he else jnp.zeros(last_shape, dtype))

    def apply(params: tuple[Array, ...], x: Shaped[Array, " k"]) -> Float[Array, "*outputs"]:
        first, *others = params
        # A single matrix may be that of a scalar output, and is then a vector.
        z = first_product(jnp.atleast_2d(first), x).reshape(first.shape[:-1])
        for weights in others:
            z = weights @ phi(z)
        return z

    return Model(init=init, apply=apply, degree=sum(power**layer for layer in range(len(widths))))
