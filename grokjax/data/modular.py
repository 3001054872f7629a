"""Tables of an operation modulo p: all p² pairs of numbers, some to train on and the rest to test on.

References:
    Lyu et al., arXiv 2311.18817, figure 2: addition modulo 97, 40 % of the pairs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PRNGKeyArray

from grokjax._checks import check_integer

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
    key: PRNGKeyArray, modulus: int, train_fraction: float, operation: Callable[[Array, Array], Array]
) -> ModularData:
    """Any operation modulo p, c = operation(a, b) mod p; the same key splits every operation alike.

    Args:
        key: PRNG key.
        modulus: p ≥ 2.
        train_fraction: share of the p² pairs, in (0, 1]; n = ⌊share·p²⌋ of them, which must be at least 1.
        operation: element-wise on int32 arrays of a and b, in which its result must fit.

    Returns:
        A `ModularData`.

    Raises:
        ValueError: if `modulus` is not an integer of at least 2, or the share is outside (0, 1] or gives no pair.
    """
    check_integer("modulus", modulus, 2)
    if not 0 < train_fraction <= 1:
        raise ValueError(f"train_fraction must be above 0 and at most 1, got {train_fraction}")
    # 0.29·100 is 28.999… in floating point: a few roundings more than the product has, before it is cut.
    train_size = math.floor(train_fraction * modulus**2 * (1 + 4 * math.ulp(1)))
    if train_size == 0:
        raise ValueError(f"train_fraction must give at least one of {modulus**2} pairs, got {train_fraction}")
    order = jax.random.permutation(key, modulus**2).astype(jnp.int32)
    pairs = jnp.stack([order // modulus, order % modulus], axis=1)
    labels = operation(pairs[:, 0], pairs[:, 1]) % modulus
    return ModularData(pairs[:train_size], labels[:train_size], pairs[train_size:], labels[train_size:])
