"""Which rows of a table are trained on, and which of those with a wrong label: masks, so that sizes may be traced.

One key gives one random order of the rows and one wrong label for each, whatever the sizes: training sets of one key
are nested, so are its corrupted ones, and a vmapped sweep over sizes compiles once.

References:
    Doshi et al., arXiv 2310.13061, section 2 and the authors' code (corrupted labels); Varma et al., arXiv 2309.02390,
    section 5.2 (nested subsets).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from grokjax._checks import Scalar, check_integer, is_concrete
from grokjax.data.operations import OperationTable

__all__ = ["Rows", "Split", "split", "take", "whole_part"]


class Split(NamedTuple):
    """A table's rows, sorted into training and test by a mask, with the labels to train on.

    Attributes:
        train: (N,), True for the training rows; the others are the test set.
        corrupted: (N,), True for the training rows whose label was drawn anew, even where the draw is the true one.
        labels: (N,) int32, the table's own, but those drawn where corrupted.
    """

    train: Bool[Array, " N"]
    corrupted: Bool[Array, " N"]
    labels: Int[Array, " N"]


class Rows(NamedTuple):
    """The rows of a mask, one behind the other, in a fixed number of places.

    Attributes:
        indices: (capacity,) int32, the rows in increasing order; 0 in the places left over.
        weights: (capacity,), 1 for a row and 0 for a place left over: a mean over rows is Σ w·v / Σ w.
    """

    indices: Int[Array, " capacity"]
    weights: Float[Array, " capacity"]


def split(
    key: PRNGKeyArray,
    table: OperationTable,
    train: Scalar,
    corruption: Scalar = 0.0,
    resample: bool = False,
    classes: int | None = None,
) -> Split:
    """Put a random share of a table's rows into the training set, and give a share of those random labels.

    The key gives the rows a uniform random order; the first n are trained on, and the first ⌊ξn⌋ of these are
    corrupted: their labels are drawn uniformly from all classes, one in `classes` of them the true one by accident.
    Order and draws have keys of their own: a row's place and draw are the same for every n and ξ.

    Args:
        key: PRNG key.
        table: of N rows.
        train: a share in (0, 1) if a float, n = ⌊share·N⌋; the size n, from 1 to N, if an integer. May be traced.
        corruption: ξ in [0, 1]; may be traced. A product within four roundings below an integer is taken for it, as a
            share is meant as a decimal number: 0.29 of 100 is 29.
        resample: draw only from the wrong classes, so that no corrupted label is the true one.
        classes: number of classes to draw from, if not all of the table's.

    Returns:
        A `Split`. A traced size out of range is cut to what there is, as its value cannot be looked at.

    Raises:
        ValueError: for a share outside (0, 1) or too small for one row, a size outside 1 to N, ξ outside [0, 1], or
            no class to draw from.

    References:
        Doshi et al., arXiv 2310.13061, section 2; p = 97, half of the pairs, ξ = 0.35: 4704, 1646 of them corrupted.
    """
    rows = len(table.labels)
    classes = table.classes if classes is None else classes
    check_integer("classes", classes, 2 if resample else 1)
    _check_shares(train, corruption, rows)
    return _split(key, table, train, corruption, resample, classes)


def take(table: OperationTable, mask: Bool[Array, " N"], capacity: int, dtype: Any = float) -> Rows:
    """The rows of a mask as indices, for programs that want n rows and not N: the capacity is static, n may be traced.

    Args:
        table: of N rows.
        mask: (N,), such as the `train` of a split.
        capacity: number of places, at least the number of rows in the mask.
        dtype: of the weights.

    Returns:
        `Rows`. Where a traced mask has more rows than places, all weights are NaN: a set cut short is no result.

    Raises:
        ValueError: for a mask of another length, or more rows than places.
    """
    check_integer("capacity", capacity)
    if mask.shape != table.labels.shape:
        raise ValueError(f"mask must have shape {table.labels.shape}, one value per row, got {mask.shape}")
    if is_concrete(mask) and (count := int(np.sum(np.asarray(mask)))) > capacity:
        raise ValueError(f"capacity must be at least the {count} rows of the mask, got {capacity}")
    count = jnp.sum(mask)
    (indices,) = jnp.nonzero(mask, size=capacity, fill_value=0)
    weights = (jnp.arange(capacity) < count).astype(dtype)
    return Rows(indices.astype(jnp.int32), jnp.where(count > capacity, jnp.nan, weights))


def whole_part(share: float, total: int, precision: float = math.ulp(1)) -> int:
    """⌊share·total⌋ of a share meant as a decimal number: 0.29·100 is 28.999… in floating point, and 29 here."""
    return math.floor(share * total * (1 + 4 * precision))


@jax.jit
def _split(key, table, train, corruption, resample, classes):
    rows = len(table.labels)
    is_share = jnp.issubdtype(jnp.result_type(train), jnp.floating)
    size = jnp.clip(_truncated(train, rows) if is_share else jnp.asarray(train, jnp.int32), 0, rows)

    key_order, key_noise = jax.random.split(key)
    rank = jax.random.permutation(key_order, rows).astype(jnp.int32)
    in_training = rank < size
    corrupted = in_training & (rank < _truncated(corruption, size))
    # A draw among the wrong classes is one among the first so many, which steps over the true one.
    truth_is_a_class = (table.labels < classes) & resample
    noise = jax.random.randint(key_noise, (rows,), 0, classes - truth_is_a_class.astype(jnp.int32), jnp.int32)
    noise += (truth_is_a_class & (noise >= table.labels)).astype(jnp.int32)
    return Split(in_training, corrupted, jnp.where(corrupted, noise, table.labels))


def _truncated(share, total):
    """`whole_part` of a share that may be traced."""
    share = jnp.asarray(share) if jnp.issubdtype(jnp.result_type(share), jnp.floating) else jnp.asarray(share, float)
    slack = 1 + 4 * float(jnp.finfo(share.dtype).eps)
    return jnp.floor(share * jnp.asarray(total, share.dtype) * slack).astype(jnp.int32)


def _check_shares(train, corruption, rows):
    if is_concrete(corruption) and not 0 <= float(corruption) <= 1:
        raise ValueError(f"corruption must be between 0 and 1, got {corruption}")
    if not is_concrete(train):
        return
    if jnp.issubdtype(jnp.result_type(train), jnp.integer):
        if not 1 <= int(train) <= rows:
            raise ValueError(f"train must be a size from 1 to the {rows} rows, or a share in (0, 1), got {train}")
    elif not 0 < float(train) < 1:
        raise ValueError(f"train must lie strictly between 0 and 1 as a share, or be an integer as a size, got {train}")
    elif whole_part(float(train), rows, float(jnp.finfo(jnp.result_type(train)).eps)) == 0:
        raise ValueError(f"train must give at least one of {rows} rows, got a share of {train}")
