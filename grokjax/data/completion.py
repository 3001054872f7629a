"""Matrix completion: a symmetric target of low rank, of which some entries are observed.

Samples are pairs of indices (i, j), labels the entries X_ij; all entries that are not observed are the test set.

References:
    Lyu et al., arXiv 2311.18817, corollary 3.11 and figure 3.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Integer, PRNGKeyArray

from grokjax._checks import check_finite, check_integer, is_concrete

__all__ = ["CompletionData", "low_rank", "matrix_completion", "multiplication_table", "observed_entries"]


class CompletionData(NamedTuple):
    """The observed entries Ω of a symmetric matrix, and all others as the test set.

    Attributes:
        indices: (n, 2) integers, the distinct pairs (i, j) in Ω.
        values: (n,), the entries X_ij there.
        test_indices: (d² − n, 2), every other pair, row by row.
        test_values: (d² − n,), the entries there.
        target: (d, d), the matrix X itself.
    """

    indices: Int[Array, "n 2"]
    values: Float[Array, " n"]
    test_indices: Int[Array, "m 2"]
    test_values: Float[Array, " m"]
    target: Float[Array, "d d"]


def matrix_completion(key: PRNGKeyArray, target: Float[Array, "d d"], observed: int) -> CompletionData:
    """Observe entries of a target, drawn uniformly from all d² of them without replacement.

    Both (i, j) and (j, i) may be drawn; a symmetric model has the same feature for the two.

    Args:
        key: PRNG key.
        target: X, (d, d), symmetric and finite.
        observed: n, from 1 to d².

    Returns:
        A `CompletionData`, of the target's dtype.

    Raises:
        ValueError: if the target is not square, symmetric and finite, or there are not that many entries to observe.

    References:
        Lyu et al., arXiv 2311.18817, figure 3 (d = 97, n = 470).
    """
    _check_target(target)
    check_integer("observed", observed)
    if observed > target.size:
        raise ValueError(f"observed must be at most the {target.size} entries of the target, got {observed}")
    chosen = jax.random.permutation(key, target.size)[:observed]
    return observed_entries(target, _pairs(chosen, target.shape[0]))


def observed_entries(target: Float[Array, "d d"], indices: Integer[Array, "n 2"]) -> CompletionData:
    """Observe the given entries of a target; the rest is the test set.

    Args:
        target: X, (d, d), symmetric and finite.
        indices: Ω, (n, 2) distinct pairs of integers from 0 to d − 1, n ≥ 1.

    Returns:
        A `CompletionData`, of the target's dtype.

    Raises:
        ValueError: if the target is not square, symmetric and finite, or Ω is empty, repeats a pair or leaves the
            matrix. Values that are traced cannot be looked at, and are not checked.
    """
    _check_target(target)
    size = target.shape[0]
    if indices.ndim != 2 or indices.shape[1] != 2 or not jnp.issubdtype(indices.dtype, jnp.integer):
        raise ValueError(
            f"indices must be an integer array of shape (n, 2), got {indices.dtype} of shape {indices.shape}"
        )
    if len(indices) == 0:
        raise ValueError("indices must hold at least one observed entry, got none")
    if is_concrete(indices):
        _check_distinct(np.asarray(indices), size)
    indices = indices.astype(jnp.int32)
    flat = indices[:, 0] * size + indices[:, 1]
    unobserved = jnp.ones(target.size, bool).at[flat].set(False)
    (rest,) = jnp.nonzero(unobserved, size=target.size - flat.size)
    test_indices = _pairs(rest, size)
    return CompletionData(indices, _entries(target, indices), test_indices, _entries(target, test_indices), target)


def multiplication_table(size: int, dtype: Any = float) -> Float[Array, "d d"]:
    """The matrix X_ij = ij/d² with indices from 0, (d, d): symmetric and of rank 1, with entries in [0, 1).

    Args:
        size: d ≥ 2; for d = 1 the only entry is 0.
        dtype: of the entries.

    Returns:
        X, rounded like the quotient of exact integers for d up to 4096.

    Raises:
        ValueError: if `size` is not an integer of at least 2.

    References:
        Lyu et al., arXiv 2311.18817, figure 3 (d = 97); indices from 0 as in the authors' code.
    """
    check_integer("size", size, 2)
    numbers = jnp.arange(size, dtype=dtype)
    return jnp.outer(numbers, numbers) / size**2


def low_rank(key: PRNGKeyArray, size: int, rank: int, signed: bool = False, dtype: Any = float) -> Float[Array, "d d"]:
    """A random symmetric matrix X = G S Gᵀ, where G is d × r with independent entries N(0, 1/d).

    Columns of G have norm about 1 and for r ≪ d are nearly orthogonal: X has r eigenvalues near ±1, and the
    rows of G have squared norms about r/d, which is the incoherence that recovery needs.

    Args:
        key: PRNG key.
        size: d ≥ 1.
        rank: r, from 1 to d.
        signed: S = I and X is positive semi-definite if False; S has independent fair signs ±1 if True.
        dtype: of the entries.

    Returns:
        X, (d, d), symmetric to the last bit.

    Raises:
        ValueError: if a size is no integer of at least 1, or the rank is above d.

    References:
        Lyu et al., arXiv 2311.18817, theorem 3.12 (targets of bounded rank).
    """
    check_integer("size", size)
    check_integer("rank", rank)
    if rank > size:
        raise ValueError(f"rank must be at most the size {size}, got {rank}")
    key_factor, key_signs = jax.random.split(key)
    factor = jax.random.normal(key_factor, (size, rank), dtype) / math.sqrt(size)
    signs = jax.random.rademacher(key_signs, (rank,), dtype) if signed else jnp.ones(rank, dtype)
    product = (factor * signs[None]) @ factor.T
    return (product + product.T) / 2


def _pairs(flat, size):
    return jnp.stack([flat // size, flat % size], axis=1).astype(jnp.int32)


def _entries(target, indices):
    return target[indices[:, 0], indices[:, 1]]


# The checks are made in NumPy, because JAX traces known values too while something else is traced.


def _check_distinct(indices, size):
    outside = indices[np.any((indices < 0) | (indices >= size), axis=1)]
    if len(outside):
        raise ValueError(f"indices must be from 0 to {size - 1}, got the pair {tuple(outside[0].tolist())}")
    if (distinct := len(np.unique(indices, axis=0))) < len(indices):
        raise ValueError(f"indices must be distinct, got {len(indices)} pairs of which {distinct} are distinct")


def _check_target(target):
    if target.ndim != 2 or target.shape[0] != target.shape[1] or not jnp.issubdtype(target.dtype, jnp.floating):
        raise ValueError(f"target must be a square matrix of floats, got {target.dtype} of shape {target.shape}")
    check_finite("target", target)
    if is_concrete(target):
        values = np.asarray(target)
        # Far above the rounding of a product of factors in another order, far below any asymmetry that is meant.
        allowed = math.sqrt(jnp.finfo(target.dtype).eps) * np.max(np.abs(values))
        if (asymmetry := np.max(np.abs(values - values.T))) > allowed:
            raise ValueError(f"target must be symmetric, got entries that differ by {asymmetry:g} from their mirror")
