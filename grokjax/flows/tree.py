"""Pytrees as vectors."""

from __future__ import annotations

import itertools
import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from grokjax._checks import Scalar

__all__ = ["tree_as_float", "tree_axpy", "tree_irregular_like", "tree_norm"]


def tree_norm(tree: PyTree[Array]) -> Array:
    """The 2-norm of all leaves together, also where squares of the entries would leave the floating-point range."""
    largest = jax.tree.reduce(jnp.maximum, jax.tree.map(lambda x: jnp.max(jnp.abs(x), initial=0), tree))
    scale = jnp.where((largest > 0) & jnp.isfinite(largest), largest, 1)
    squares = jax.tree.map(lambda x: jnp.sum(jnp.square(x / scale.astype(x.dtype))), tree)
    return scale * jnp.sqrt(jax.tree.reduce(jnp.add, squares))


def tree_as_float(tree: PyTree) -> PyTree[Array]:
    """Leaves as arrays, integers as floats of the default precision."""

    def as_float(x):
        x = jnp.asarray(x)
        return x if jnp.issubdtype(x.dtype, jnp.inexact) else x.astype(float)

    return jax.tree.map(as_float, tree)


def tree_axpy(a: Scalar, xs: PyTree[Array], ys: PyTree[Array]) -> PyTree[Array]:
    """a·x + y, in the precision of y."""
    return jax.tree.map(lambda x, y: jnp.asarray(a).astype(y.dtype) * x + y, xs, ys)


def tree_irregular_like(tree: PyTree[Array]) -> PyTree[Array]:
    """Fixed numbers without structure and of norm 1 (to within a few percent), in the shape of the tree.

    Multiples of the golden ratio modulo 1: they stand for noise where compiling a random generator would cost more
    than all the rest.
    """
    leaves, structure = jax.tree.flatten(tree)
    ends = list(itertools.accumulate((leaf.size for leaf in leaves), initial=0))
    # Uniform numbers in (−½, ½) have variance 1/12.
    scale = math.sqrt(12 / max(ends[-1], 1))
    return structure.unflatten(
        [
            (scale * _irregular(start, leaf.size)).reshape(leaf.shape).astype(leaf.dtype)
            for start, leaf in zip(ends, leaves, strict=False)
        ]
    )


def _irregular(start: int, size: int) -> Array:
    # 2654435769 = 2³²/golden ratio: unsigned products wrap around, which is the modulus.
    multiples = (jnp.arange(size, dtype=jnp.uint32) + jnp.uint32((start + 1) % 2**32)) * jnp.uint32(2654435769)
    return multiples.astype(jnp.float32) / jnp.float32(2**32) - jnp.float32(0.5)
