"""Matrix factorization: W = UUᵀ − VVᵀ, read one entry at a time, the model of matrix completion."""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer, PRNGKeyArray

from grokjax._checks import Scalar, check_integer, check_positive, is_concrete
from grokjax.models.base import Model

__all__ = ["FactorizationParams", "matrix_factorization", "product_matrix"]


class FactorizationParams(NamedTuple):
    """The factors U and V, (d, d) each; along a flow from U = V = αI, UᵀV = α² e^(−2λt) I."""

    u: Float[Array, "d d"]
    v: Float[Array, "d d"]


@functools.lru_cache(maxsize=None, typed=True)
def matrix_factorization(size: int) -> Model:
    """Entries of a symmetric d × d matrix W = UUᵀ − VVᵀ with full factors: f(θ; (i, j)) = W_ij, of degree 2.

    The least ‖U‖² + ‖V‖² that makes a given W is its nuclear norm, which weight decay therefore minimises.

    `init(key, scale, noise=0.0, dtype=float)` draws U_ij, V_ij ~ N(scale·1{i=j}, noise²), all independent. Without
    noise U = V = scale·I, and f = 0 for every entry (assumption 3.2 of the paper); any noise keeps the flow off
    saddle points (theorem 3.12). `scale` is the paper's α: the initial norm is α√(2d).

    `apply(params, index_pair)` reads rows i and j of the factors only; a negative index counts from the end, and one
    out of range gives NaN. The whole of W is `product_matrix(params)`.

    Args:
        size: d ≥ 1.

    Returns:
        A `Model` with parameters `FactorizationParams`.

    Raises:
        ValueError: if `size` is not an integer of at least 1; by `init` if `scale` is not positive or `noise` is
            negative; by `apply` if the index pair is no integer array of shape (2,).

    References:
        Lyu et al., arXiv 2311.18817, corollary 3.11 and theorem 3.12.
    """
    check_integer("size", size)

    def init(key: PRNGKeyArray, scale: Scalar, noise: Scalar = 0.0, dtype: Any = float) -> FactorizationParams:
        check_positive("scale", scale)
        if is_concrete(noise) and not 0 <= float(noise) < math.inf:
            raise ValueError(f"noise must be finite and at least 0, got {noise}")
        mean = jnp.asarray(scale, dtype) * jnp.eye(size, dtype=dtype)
        draws = jax.random.normal(key, (2, size, size), dtype)
        u, v = mean[None] + jnp.asarray(noise, dtype) * draws
        return FactorizationParams(u=u, v=v)

    def apply(params: FactorizationParams, index_pair: Integer[Array, "2"]) -> Float[Array, ""]:
        if index_pair.shape != (2,) or not jnp.issubdtype(index_pair.dtype, jnp.integer):
            raise ValueError(
                f"index_pair must be an integer array of shape (2,), got {index_pair.dtype} of shape {index_pair.shape}"
            )
        u_i, u_j = params.u.at[index_pair].get(mode="fill", fill_value=jnp.nan)
        v_i, v_j = params.v.at[index_pair].get(mode="fill", fill_value=jnp.nan)
        return jnp.dot(u_i, u_j) - jnp.dot(v_i, v_j)

    return Model(init=init, apply=apply, degree=2)


def product_matrix(params: FactorizationParams) -> Float[Array, "d d"]:
    """The whole matrix W = UUᵀ − VVᵀ, (d, d), for the losses over all entries and the spectrum."""
    return params.u @ params.u.T - params.v @ params.v.T
