"""Operations modulo p with their pairs already sorted: some to train on and the rest to test on.

Sizes are part of the shapes here; `operation_table` and `split` keep the whole table and mark its rows instead.

References:
    Lyu et al., arXiv 2311.18817, figure 2: addition modulo 97, 40 % of the pairs.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PRNGKeyArray

from grokjax.data.operations import Operation, operation_table
from grokjax.data.splits import whole_part

__all__ = ["ModularData", "modular_addition", "modular_task"]


class ModularData(NamedTuple):
    """Pairs (a, b) of numbers modulo p with the result of an operation; train and test are all p² ordered pairs.

    Attributes:
        train_inputs: (n, 2) int32, from 0 to p − 1, in random order.
        train_labels: (n,) int32, from 0 to p − 1.
        test_inputs: (p² − n, 2) int32.
        test_labels: (p² − n,) int32.
    """

    train_inputs: Int[Array, "n 2"]
    train_labels: Int[Array, " n"]
    test_inputs: Int[Array, "m 2"]
    test_labels: Int[Array, " m"]


def modular_addition(key: PRNGKeyArray, modulus: int, train_fraction: float) -> ModularData:
    """Addition modulo p, c = (a + b) mod p, with a random share of all ordered pairs to train on.

    Args:
        key: PRNG key.
        modulus: p ≥ 2.
        train_fraction: share of the p² pairs, in (0, 1]; n = ⌊share·p²⌋ of them, which must be at least 1.

    Returns:
        A `ModularData`; for p = 97 and 0.4 it has 3763 training and 5646 test pairs.

    Raises:
        ValueError: if `modulus` is not an integer of at least 2, or the share is outside (0, 1] or gives no pair.

    References:
        Lyu et al., arXiv 2311.18817, figure 2.
    """
    return modular_task(key, modulus, train_fraction, jnp.add)


def modular_task(
    key: PRNGKeyArray,
    modulus: int,
    train_fraction: float,
    operation: Operation,
) -> ModularData:
    """Any operation modulo p, c = operation(a, b) mod p; the same key splits every operation alike.

    Args:
        key: PRNG key.
        modulus: p ≥ 2.
        train_fraction: share of the p² pairs, in (0, 1]; n = ⌊share·p²⌋ of them, which must be at least 1.
        operation: element by element on integer arrays of a and b, as `operation_table` takes it.

    Returns:
        A `ModularData`.

    Raises:
        ValueError: if `modulus` is not an integer of at least 2, the operation does not give integers, or the share is
            outside (0, 1] or gives no pair.
    """
    table = operation_table(operation, modulus)
    if not 0 < train_fraction <= 1:
        raise ValueError(f"train_fraction must be above 0 and at most 1, got {train_fraction}")
    train_size = whole_part(train_fraction, modulus**2)
    if train_size == 0:
        raise ValueError(f"train_fraction must give at least one of {modulus**2} pairs, got {train_fraction}")
    order = jax.random.permutation(key, modulus**2)
    inputs, labels = table.inputs[order], table.labels[order]
    return ModularData(inputs[:train_size], labels[:train_size], inputs[train_size:], labels[train_size:])
