"""Diagonal linear networks: f(θ; x) = ⟨u^L − v^L, x⟩ with element-wise powers."""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from grokjax._checks import Scalar, check_depth, check_positive
from grokjax.models.base import Model

__all__ = ["DiagonalParams", "diagonal_linear"]


class DiagonalParams(NamedTuple):
    """The two weight vectors of a diagonal network, (d,) each; they keep their sign along a flow."""

    u: Float[Array, " d"]
    v: Float[Array, " d"]


@functools.cache
def diagonal_linear(depth: int) -> Model:
    """The diagonal network of integer depth L ≥ 2: w = u^L − v^L, f = ⟨w, x⟩; homogeneous of degree L.

    `init(key, dimension, initial_norm, dtype=float)` is the symmetric start u = v = initial_norm/√(2d) in every
    coordinate, so that f = 0 for every x (assumption 3.2 of the paper). `initial_norm` is ‖θ(0)‖, the norm of u and v
    together; the key is not used, and is taken so that all models are initialised alike.

    Args:
        depth: L, an integer of at least 2.

    Returns:
        A `Model` with parameters `DiagonalParams`.

    Raises:
        ValueError: if `depth` is not an integer of at least 2; by `init` if the dimension or the norm is not positive.

    References:
        Lyu et al., arXiv 2311.18817, section 3.2.2 (L = 2).
    """
    check_depth(depth)

    def init(key: PRNGKeyArray | None, dimension: int, initial_norm: Scalar, dtype=float) -> DiagonalParams:
        del key
        if dimension < 1:
            raise ValueError(f"dimension must be at least 1, got {dimension}")
        check_positive("initial_norm", initial_norm)
        coordinate = jnp.asarray(initial_norm, dtype) / math.sqrt(2 * dimension)
        start = jnp.full(dimension, coordinate)
        return DiagonalParams(u=start, v=start)

    def apply(params: DiagonalParams, x: Float[Array, " d"]) -> Float[Array, ""]:
        weights = params.u**depth - params.v**depth
        return jnp.dot(x.astype(weights.dtype), weights)

    return Model(init=init, apply=apply, degree=depth)
