"""Whole tables of binary operations: modular arithmetic, polynomials modulo p, and composition of permutations.

A table is small (p² pairs), so it is made once and whole; what a run trains on is a mask over its rows, see `split`.

References:
    Power et al., arXiv 2201.02177, appendix A.1.1 (the operations and their names).
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from grokjax._checks import check_integer, is_concrete

__all__ = ["OperationTable", "operation_table"]

Operation = Callable[[np.ndarray, np.ndarray], Any]

MODULAR: dict[str, Operation] = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
    "x2+y2": lambda a, b: a**2 + b**2,
    "x2+xy+y2": lambda a, b: a**2 + a * b + b**2,
    "x2+xy+y2+x": lambda a, b: a**2 + a * b + b**2 + a,
    "x3+xy": lambda a, b: a**3 + a * b,
    "x3+xy2+y": lambda a, b: a**3 + a * b**2 + b,
}
PERMUTED = {"s3": 3, "s4": 4, "s5": 5, "s6": 6}
KNOWN = (*MODULAR, "divide", *PERMUTED)


@functools.partial(
    jax.tree_util.register_dataclass, data_fields=["inputs", "labels"], meta_fields=["operands", "classes"]
)
@dataclass(frozen=True)
class OperationTable:
    """An operation as all its pairs of operands, with their results; the two numbers stay plain integers under jit.

    Attributes:
        inputs: (N, 2) int32, the pairs (a, b), row by row: a first, then b.
        labels: (N,) int32, the result of each pair.
        operands: a and b are numbers from 0 to operands − 1.
        classes: results are numbers from 0 to classes − 1.
    """

    inputs: Int[Array, "N 2"]
    labels: Int[Array, " N"]
    operands: int
    classes: int


def operation_table(operation: str | Operation, modulus: int = 97, symmetric: bool = False) -> OperationTable:
    """All pairs of operands of an operation, with their results.

    "add", "subtract", "multiply", and the polynomials "x2+y2", "x2+xy+y2", "x2+xy+y2+x", "x3+xy" and "x3+xy2+y" act
    on numbers modulo p: N = p² rows. "divide" is a·b⁻¹ modulo a prime p, for b ≠ 0: N = p(p − 1). "s3" to "s6" compose
    permutations of k things, (a∘b)(i) = a(b(i)), numbered in lexicographic order: N = (k!)², whatever the modulus.

    Args:
        operation: a name, or a function that acts element by element on two int64 NumPy arrays; its integers are
            reduced modulo p, with the sign of p. What it computes with `jax.numpy` has JAX's precision: int32 unless
            64 bits are enabled.
        modulus: p ≥ 2; no part in composition.
        symmetric: keep one of (a, b) and (b, a), that with a ≤ b: N = p(p + 1)/2. The operation must commute.

    Returns:
        An `OperationTable`; for "add" modulo 97 it has 9409 rows, or 4753 with commuted pairs merged.

    Raises:
        ValueError: for an unknown name, a modulus that is no integer of at least 2 or no prime where one is needed, a
            function whose results are no integers of the shape of its arguments, or commuted pairs with unlike results.

    References:
        Power et al., arXiv 2201.02177, appendix A.1.1.
    """
    if not callable(operation) and operation not in KNOWN:
        raise ValueError(f"operation must be a function or one of {', '.join(KNOWN)}; got {operation!r}")
    if isinstance(operation, str) and operation in PERMUTED:
        size, results = math.factorial(PERMUTED[operation]), _compositions(PERMUTED[operation])
    else:
        check_integer("modulus", modulus, 2)
        size, results = modulus, _quotients(modulus) if operation == "divide" else _reduced(operation, modulus)
    a, b = np.divmod(np.arange(size**2), size)
    kept = b > 0 if operation == "divide" else np.ones(size**2, bool)
    if symmetric:
        _check_commutes(operation, results, size)
        kept &= a <= b
    inputs = jnp.asarray(np.stack([a, b], axis=1)[kept], jnp.int32)
    return OperationTable(inputs, jnp.asarray(results, jnp.int32)[np.flatnonzero(kept)], size, size)


# Each of the following is the whole table, row by row: an array of size².


def _reduced(operation, modulus):
    a, b = np.divmod(np.arange(modulus**2), modulus)
    results = (MODULAR[operation] if isinstance(operation, str) else operation)(a, b)
    dtype, shape = jnp.result_type(results), jnp.shape(results)
    if not jnp.issubdtype(dtype, jnp.integer) or shape != a.shape:
        raise ValueError(
            f"operation must give integers of the shape of its arguments, {a.shape}; got {dtype} of shape {shape}"
        )
    return results % modulus


def _quotients(modulus):
    """a·b⁻¹ mod p; −1 where b = 0."""
    factor = next((f for f in range(2, math.isqrt(modulus) + 1) if modulus % f == 0), None)
    if factor is not None:
        raise ValueError(f"modulus must be prime for division, got {modulus} = {factor}·{modulus // factor}")
    inverses = np.array([0] + [pow(b, -1, modulus) for b in range(1, modulus)])
    quotients = np.outer(np.arange(modulus), inverses) % modulus
    quotients[:, 0] = -1
    return quotients.ravel()


@functools.cache
def _compositions(size):
    permutations = np.array(list(itertools.permutations(range(size))))
    # Read as the digits of a number, permutations in lexicographic order are in increasing order.
    digits = size ** np.arange(size)[::-1]
    composed = permutations[:, permutations]  # [a, b, i] = a(b(i))
    return np.searchsorted(permutations @ digits, (composed @ digits).ravel())


def _check_commutes(operation, results, size):
    if is_concrete(results):
        square = np.asarray(results).reshape(size, size)
        unlike = np.argwhere(square != square.T)
        if len(unlike):
            a, b = unlike[0].tolist()
            raise ValueError(
                f"symmetric needs an operation that commutes, got {operation!r}: ({a}, {b}) and ({b}, {a}) are unlike"
            )
