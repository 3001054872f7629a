"""Two-layer networks: f(θ; x) = W₂ φ(W₁x + b₁), the model of modular addition."""

from __future__ import annotations

import functools
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

from grokjax._checks import Scalar, check_integer, check_positive
from grokjax.models._layers import activation_function, check_last_layer, first_product, he_weights
from grokjax.models.base import Model

__all__ = ["TwoLayerParams", "two_layer"]


class TwoLayerParams(NamedTuple):
    """W₁ (width, inputs), b₁ (width,) or None, and W₂ (outputs, width), or (width,) where the output is a scalar."""

    first: Float[Array, "width inputs"]
    bias: Float[Array, " width"] | None
    second: Float[Array, "*outputs width"]


# Typed, so that 4.0 and True are not taken for the 4 and 1 of an earlier call, and are refused.
@functools.lru_cache(maxsize=None, typed=True)
def two_layer(
    width: int, inputs: int, outputs: int | None = None, activation: Literal["relu"] | int = "relu", bias: bool = True
) -> Model:
    """A network of one hidden layer, f = W₂ φ(W₁x + b₁), with φ = ReLU or φ(z) = z^p, and no output bias.

    The bias stands inside the activation, so that f is homogeneous in all parameters together: of degree 2 for
    ReLU and 1 + p for a power. ReLU is not C², which the theory of the paper asks for; powers are.

    `init(key, scale=1.0, last_layer="zero", dtype=float)` draws W₁ with standard deviation √(2/inputs), sets b₁ = 0
    and, with `last_layer="he"`, draws W₂ with standard deviation 1/√width; `scale` multiplies all of them. With
    "zero", W₂ = 0 and so f = 0 (assumption 3.2 of the paper). The same key gives the same W₁ either way.

    `apply(params, x)` takes a dense x of shape (inputs,), or integers of shape (k,) where k divides inputs: token
    number j, in 0 ≤ x_j < inputs/k, stands for a one-hot vector, and the k vectors are concatenated. The result is
    that of the dense x, without a product; a token out of range gives NaN. Integer features must be cast to floats.

    Args:
        width: number of hidden neurons.
        inputs: dimension of x; 2p for pairs of numbers modulo p.
        outputs: number of outputs, such as classes; None for a scalar output of shape ().
        activation: "relu", or the integer power p ≥ 1.
        bias: whether there is b₁.

    Returns:
        A `Model` with parameters `TwoLayerParams`.

    Raises:
        ValueError: for a size that is no integer of at least 1, or an unknown activation; by `init` for a scale that
            is not positive or an unknown last layer; by `apply` for an x of the wrong shape.

    References:
        Lyu et al., arXiv 2311.18817, figure 2 (width 1024, 194 inputs, 97 outputs); the standard deviations are
        those of the authors' code.
    """
    check_integer("width", width)
    check_integer("inputs", inputs)
    if outputs is not None:
        check_integer("outputs", outputs)
    phi, power = activation_function(activation)

    def init(
        key: PRNGKeyArray, scale: Scalar = 1.0, last_layer: Literal["zero", "he"] = "zero", dtype: Any = float
    ) -> TwoLayerParams:
        check_positive("scale", scale)
        check_last_layer(last_layer)
        key_first, key_second = jax.random.split(key)
        shape = (width,) if outputs is None else (outputs, width)
        second = he_weights(key_second, shape, 1.0, scale, dtype) if last_layer == "he" else jnp.zeros(shape, dtype)
        first = he_weights(key_first, (width, inputs), 2.0, scale, dtype)
        return TwoLayerParams(first=first, bias=jnp.zeros(width, dtype) if bias else None, second=second)

    def apply(params: TwoLayerParams, x: Shaped[Array, " k"]) -> Float[Array, "*outputs"]:
        hidden = first_product(params.first, x)
        return params.second @ phi(hidden if params.bias is None else hidden + params.bias)

    return Model(init=init, apply=apply, degree=1 + power)
