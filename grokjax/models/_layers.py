"""What networks share: activations, He weights, dropout, and a first layer that also reads tokens."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

from grokjax._checks import Scalar, check_dropout, is_concrete

__all__ = ["activation_function", "check_last_layer", "dropped", "first_product", "he_weights"]


def activation_function(activation: Any) -> tuple[Callable[[Array], Array], int]:
    """The element-wise φ named "relu" or by an integer power p ≥ 1, with its degree: φ(cz) = c^degree φ(z), c > 0."""
    if activation == "relu":
        return jax.nn.relu, 1
    if isinstance(activation, bool) or not isinstance(activation, int) or activation < 1:
        raise ValueError(f'activation must be "relu" or an integer power of at least 1, got {activation!r}')
    return lambda z: z**activation, activation


def check_last_layer(last_layer: Any) -> None:
    """Raise a ValueError unless the last layer starts in one of the two known ways."""
    if last_layer not in ("zero", "he"):
        raise ValueError(f'last_layer must be "zero" or "he", got {last_layer!r}')


def he_weights(key: PRNGKeyArray, shape: tuple[int, ...], gain: float, scale: Scalar, dtype: Any) -> Array:
    """Normal weights of standard deviation scale·√(gain/fan_in); fan_in is the last axis of the shape."""
    return jnp.asarray(scale, dtype) * math.sqrt(gain / shape[-1]) * jax.random.normal(key, shape, dtype)


def dropped(key: PRNGKeyArray, rate: Scalar, x: Array) -> Array:
    """Each entry 0 with probability `rate`, in steps of 2⁻¹⁶, and else divided by 1 − rate."""
    check_dropout(rate)
    if is_concrete(rate) and float(rate) == 0:
        return x
    # Half the random bits of a uniform float32; drawing them is most of what dropout costs.
    threshold = jnp.round(jnp.asarray(rate, jnp.float32) * 2**16).astype(jnp.uint32)
    kept = jax.random.bits(key, x.shape, jnp.uint16).astype(jnp.uint32) >= threshold
    return jnp.where(kept, x / (1 - jnp.asarray(rate, x.dtype)), jnp.zeros((), x.dtype))


def first_product(weights: Float[Array, "out in"], x: Shaped[Array, " k"]) -> Float[Array, " out"]:
    """W x; an integer x of length k stands for k one-hot vectors of length in/k, one behind the other."""
    inputs = weights.shape[1]
    if not jnp.issubdtype(x.dtype, jnp.integer):
        if x.shape != (inputs,):
            raise ValueError(f"x must have shape ({inputs},), or be an integer vector of tokens; got shape {x.shape}")
        return weights @ x.astype(weights.dtype)
    if x.ndim != 1 or x.size == 0 or inputs % x.size != 0:
        raise ValueError(
            f"x of integers must be a vector whose length divides the {inputs} inputs, a token for each one-hot part; "
            f"got shape {x.shape}"
        )
    vocabulary = inputs // x.size
    x = x.astype(jnp.int32)  # A byte holds a token, but not its column.
    columns = jnp.arange(0, inputs, vocabulary, dtype=jnp.int32) + x
    # A token outside its vocabulary would read another part's column: it is sent out of range, where NaN is filled in.
    columns = jnp.where((x >= 0) & (x < vocabulary), columns, inputs)
    # Rows of the transpose lie together in memory, and are gathered several times as fast as columns.
    return weights.T.at[columns].get(mode="fill", fill_value=jnp.nan).sum(0)
