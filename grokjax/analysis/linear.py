"""Linear predictors along a trajectory: direction, margin, and accuracy on points that are never stored.

Weights have any leading axes, usually time: (..., d). Reductions are in float64, products in the precision of the
inputs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Shaped

from grokjax.losses import Loss, logistic

__all__ = ["TestCurves", "cosine", "normalised_margin", "streamed_test"]

# Numbers in one chunk of streamed points: 64 MB of float32.
_CHUNK = 2**24


class TestCurves(NamedTuple):
    """Mean loss and accuracy in [0, 1] (a zero margin counts ½) of each predictor; the leading axes of the weights."""

    loss: Float[Array, "*batch"]
    accuracy: Float[Array, "*batch"]


def cosine(weights: Float[Array, "*batch d"], direction: Float[Array, " d"]) -> Float[Array, "*batch"]:
    """⟨w, v⟩/(‖w‖₂‖v‖₂) of each w with one direction v; NaN where either vanishes."""
    v = direction.astype(float)
    w = weights.astype(float)
    return (w @ v) / (jnp.linalg.norm(w, axis=-1) * jnp.linalg.norm(v))


def normalised_margin(
    weights: Float[Array, "*batch d"], inputs: Shaped[Array, "n d"], labels: Shaped[Array, " n"], order: float
) -> Float[Array, "*batch"]:
    """min_i y_i⟨w, x_i⟩/‖w‖ of each w, in the norm of the given order (1 or 2); NaN for w = 0. Labels are ±1."""
    outputs = _outputs(weights, inputs)
    margins = outputs * jnp.broadcast_to(labels.astype(float), outputs.shape)
    return jnp.min(margins, axis=-1) / jnp.linalg.norm(weights.astype(float), ord=order, axis=-1)


def streamed_test(
    weights: Float[Array, "*batch d"],
    points: Callable[[Array, int], tuple[Array, Array]],
    size: int,
    loss: Loss = logistic,
) -> TestCurves:
    """Loss and accuracy of linear predictors on test points that are made chunk by chunk and thrown away.

    Args:
        weights: (..., d).
        points: `points(start, count) -> (inputs (count, d), labels (count,))`, labels ±1, with `start` traced, such as
            `Partial(data.sparse_points, dataset.test_key, dataset.teacher)`.
        size: number of test points, at least 1.
        loss: a `Loss`.

    Returns:
        A `TestCurves` of the leading shape of the weights.

    Raises:
        ValueError: if `size` is not positive.
    """
    if size < 1:
        raise ValueError(f"size must be at least 1, got {size}")
    chunks = -(-size * weights.shape[-1] // _CHUNK)
    return _streamed_test(weights, points, size, -(-size // chunks), loss)


def _outputs(weights, inputs):
    """⟨w, x_i⟩ of shape (..., n) in float64, with products in the precision of the inputs whatever the size of w."""
    weights = weights.astype(float)
    size = jnp.max(jnp.abs(weights), axis=-1, keepdims=True)
    size = jnp.where(size > 0, size, 1)
    return size * ((weights / size).astype(inputs.dtype) @ inputs.T).astype(float)


@eqx.filter_jit
def _streamed_test(weights, points, size, chunk, loss):
    def add(totals, start):
        inputs, labels = points(start, chunk)
        counts = (start + jnp.arange(chunk) < size).astype(float)
        outputs = _outputs(weights, inputs)
        labels = labels.astype(float)
        values = jax.vmap(loss.value, in_axes=(-1, 0), out_axes=-1)(outputs, labels)
        # Sums of ±1, from which the fraction of right signs follows at the end.
        agreement = jnp.sign(outputs) @ (jnp.sign(labels) * counts)
        return TestCurves(totals.loss + values @ counts, totals.accuracy + agreement), None

    zero = jnp.zeros(weights.shape[:-1])
    totals, _ = jax.lax.scan(add, TestCurves(zero, zero), jnp.arange(0, size, chunk))
    return TestCurves(totals.loss / size, 0.5 * (1 + totals.accuracy / size))
