"""The two binary classification tasks of the dichotomy paper, in memory or streamed.

Point number i of a set is a function of the set's key and of i alone, so that a test set drawn in chunks of any
size is the same test set, and 10,000 points in 100,000 dimensions never need to exist at once:

    dataset = sparse_classification(key, 256, 100_000, 3)
    inputs, labels = sparse_points(dataset.test_key, dataset.teacher, start, 250)

References:
    Lyu et al., arXiv 2311.18817, sections 3.2.2 and 4.1 (figure 1).
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from grokjax._checks import Scalar, is_concrete

__all__ = [
    "Dataset",
    "l2_separated_classification",
    "l2_separated_points",
    "sparse_classification",
    "sparse_points",
]


class Dataset(NamedTuple):
    """Training and test samples with labels ±1, the teacher that labelled them, and the key of the test points.

    Attributes:
        train_inputs: (n, d).
        train_labels: (n,), ±1.
        test_inputs: (m, d); m may be 0, and the points be streamed with `test_key`.
        test_labels: (m,), ±1.
        teacher: (d,), the weights w* whose sign gives the labels.
        test_key: the key from which the points function of the task makes test point number i.
    """

    train_inputs: Float[Array, "n d"]
    train_labels: Float[Array, " n"]
    test_inputs: Float[Array, "m d"]
    test_labels: Float[Array, " m"]
    teacher: Float[Array, " d"]
    test_key: PRNGKeyArray


def sparse_classification(
    key: PRNGKeyArray, train_size: int, dimension: int, sparsity: int, test_size: int = 0, dtype=jnp.float32
) -> Dataset:
    """Labels y = sign⟨w*, x⟩ of x uniform on {±1}^d, where w* has k entries ±1, the first ones, and k is odd.

    The max-L1-margin direction is w*/k with margin 1/k and generalises from O(k² log d) samples; the
    max-L2-margin direction needs O(kd) by the same bound: data on which a kernel method fails.

    Args:
        key: PRNG key.
        train_size: n ≥ 1.
        dimension: d ≥ 1.
        sparsity: k, odd (an even sum may vanish and leave no label), between 1 and d.
        test_size: m ≥ 0 points to keep in memory.
        dtype: of inputs and labels; ±1 is exact in every float type.

    Returns:
        A `Dataset`; its teacher has random signs on the first k coordinates.

    Raises:
        ValueError: for a size below its least, an even k, or k > d.
    """
    _check_sizes(train_size, dimension, test_size)
    if not 1 <= sparsity <= dimension:
        raise ValueError(f"sparsity must be between 1 and the dimension {dimension}, got {sparsity}")
    if sparsity % 2 == 0:
        raise ValueError(f"sparsity must be odd, or the label of some inputs is 0; got {sparsity}")
    return _sparse_classification(key, train_size, dimension, sparsity, test_size, dtype)


@partial(jax.jit, static_argnums=(1, 2, 3, 4, 5))
def _sparse_classification(key, train_size, dimension, sparsity, test_size, dtype):
    key_teacher, key_train, key_test = jax.random.split(key, 3)
    signs = _signs(key_teacher, dimension, dtype)
    teacher = jnp.where(jnp.arange(dimension) < sparsity, signs, jnp.zeros((), dtype))
    train = sparse_points(key_train, teacher, 0, train_size)
    test = sparse_points(key_test, teacher, 0, test_size)
    return Dataset(*train, *test, teacher, key_test)


def sparse_points(
    key: PRNGKeyArray, teacher: Float[Array, " d"], start: Scalar, size: int
) -> tuple[Float[Array, "size d"], Float[Array, " size"]]:
    """Points number `start` to `start + size` of the sparse task: inputs ±1 of shape (size, d) and labels (size,)."""
    inputs = jax.vmap(lambda k: _signs(k, teacher.size, teacher.dtype))(_point_keys(key, start, size))
    return inputs, jnp.sign(inputs @ teacher)


def l2_separated_classification(
    key: PRNGKeyArray, train_size: int, dimension: int, gap: Scalar = 25.0, test_size: int = 0, dtype=jnp.float32
) -> Dataset:
    """Gaussian points pushed apart along w*: x = z + (g/2)·y·w*, y = sign⟨z, w*⟩, z ~ N(0, I), ‖w*‖ = 1.

    The max-L2-margin direction generalises and the max-L1-margin direction does not (w* is dense): data on which
    training un-generalises late ("misgrokking"). The two classes are at least g apart along w*.

    Args:
        key: PRNG key.
        train_size: n ≥ 1.
        dimension: d ≥ 1.
        gap: g ≥ 0, in units of the noise's standard deviation.
        test_size: m ≥ 0 points to keep in memory.
        dtype: of inputs and labels.

    Returns:
        A `Dataset`; its teacher is uniform on the unit sphere.

    Raises:
        ValueError: for a size below its least, or a negative or non-finite gap.
    """
    _check_sizes(train_size, dimension, test_size)
    if is_concrete(gap) and not 0 <= float(gap) < float("inf"):
        raise ValueError(f"gap must be non-negative and finite, got {gap}")
    return _l2_separated_classification(key, train_size, dimension, jnp.asarray(gap, dtype), test_size, dtype)


@partial(jax.jit, static_argnums=(1, 2, 4, 5))
def _l2_separated_classification(key, train_size, dimension, gap, test_size, dtype):
    key_teacher, key_train, key_test = jax.random.split(key, 3)
    teacher = jax.random.normal(key_teacher, (dimension,), dtype)
    teacher = teacher / jnp.linalg.norm(teacher)
    train = l2_separated_points(key_train, teacher, gap, 0, train_size)
    test = l2_separated_points(key_test, teacher, gap, 0, test_size)
    return Dataset(*train, *test, teacher, key_test)


def l2_separated_points(
    key: PRNGKeyArray, teacher: Float[Array, " d"], gap: Scalar, start: Scalar, size: int
) -> tuple[Float[Array, "size d"], Float[Array, " size"]]:
    """Points number `start` to `start + size` of the L2-separated task: inputs (size, d) and labels (size,)."""
    noise = jax.vmap(lambda k: jax.random.normal(k, teacher.shape, teacher.dtype))(_point_keys(key, start, size))
    labels = jnp.where(noise @ teacher >= 0, 1, -1).astype(teacher.dtype)
    shift = jnp.asarray(gap, teacher.dtype) / 2 * labels
    return noise + shift[:, None] * teacher[None, :], labels


def _point_keys(key, start, size):
    return jax.vmap(lambda i: jax.random.fold_in(key, i))(
        jnp.asarray(start, jnp.uint32) + jnp.arange(size, dtype=jnp.uint32)
    )


def _signs(key, size, dtype):
    """Uniform ±1 of shape (size,), 32 from each random word."""
    words = jax.random.bits(key, ((size + 31) // 32, 1), jnp.uint32)
    bits = (words >> jnp.arange(32, dtype=jnp.uint32)[None, :]) & jnp.uint32(1)
    return (2 * bits.reshape(-1)[:size].astype(jnp.int8) - 1).astype(dtype)


def _check_sizes(train_size: int, dimension: int, test_size: int) -> None:
    for name, value, least in (("train_size", train_size, 1), ("dimension", dimension, 1), ("test_size", test_size, 0)):
        if value < least:
            raise ValueError(f"{name} must be at least {least}, got {value}")
