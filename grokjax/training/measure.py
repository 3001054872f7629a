"""What is measured on the table of an operation: losses and accuracies on train, test, clean and corrupted pairs."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import lax
from jax.tree_util import Partial
from jaxtyping import Array, Bool, Int, Shaped

from grokjax._checks import check_pairs
from grokjax.losses import Loss, multiclass_correct
from grokjax.models.network import Network
from grokjax.training._blocks import blocks_and_rows, default_rows, padded

__all__ = ["measure_table"]


def measure_table(
    network: Network,
    loss: Loss,
    inputs: Shaped[Array, "n ..."],
    true_labels: Int[Array, " n"],
    train: Bool[Array, " n"],
    *,
    labels: Int[Array, " n"] | None = None,
    corrupted: Bool[Array, " n"] | None = None,
    loss_dtype: Any = None,
) -> Partial:
    """A function `(params, state) -> dict` for `train`, which evaluates every pair of a table once.

    It returns `train_loss` and `train_accuracy` on the training pairs with the labels that are trained on, `test_loss`
    and `test_accuracy` on the others with the true ones, and `parameter_norm`, the norm of all parameters. With
    `corrupted` also `corrupted_accuracy`, the share of corrupted training pairs that are given their wrong label, and
    `clean_accuracy`, that of the other training pairs given their right one. What has no pairs is NaN.

    Args:
        network: the model.
        loss: of one sample.
        inputs: all pairs, (n, ...).
        true_labels: results of the operation, (n,).
        train: (n,), which pairs are trained on; the others are tested on.
        labels: labels trained on, (n,); the true ones by default.
        corrupted: (n,), which of the training labels were replaced.
        loss_dtype: as in `train`.

    Returns:
        A callable that is a pytree whose leaves are the data.

    Raises:
        ValueError: if there is no pair, or labels do not fit.
    """
    check_pairs(inputs, true_labels)
    labels = true_labels if labels is None else labels
    check_pairs(inputs, labels)
    return Partial(_measurement(network, loss, loss_dtype), inputs, true_labels, labels, train, corrupted)


# The same arguments give the same function, and a `Partial` of it is compiled once.
@functools.cache
def _measurement(network: Network, loss: Loss, loss_dtype: Any):
    def evaluate(params, state, inputs, true_labels, labels):
        outputs, _ = network.apply(params, state, inputs)
        outputs = outputs if loss_dtype is None else outputs.astype(loss_dtype)
        value = jax.vmap(loss.value)
        right = lambda y: multiclass_correct(outputs, y)
        return value(outputs, labels), value(outputs, true_labels), right(labels), right(true_labels)

    def measure(inputs, true_labels, labels, train, corrupted, params, state):
        samples = inputs.shape[0]
        blocks, rows = blocks_and_rows(samples, default_rows(samples))
        table = [padded(x, blocks * rows).reshape(blocks, rows, *x.shape[1:]) for x in (inputs, true_labels, labels)]
        seen = lax.map(lambda x: evaluate(params, state, *x), table)
        loss_as_labelled, loss_as_true, right_as_labelled, right_as_true = (x.ravel()[:samples] for x in seen)
        values = {
            "train_loss": _mean(loss_as_labelled, train),
            "train_accuracy": _mean(right_as_labelled, train),
            "test_loss": _mean(loss_as_true, ~train),
            "test_accuracy": _mean(right_as_true, ~train),
            "parameter_norm": optax.tree.norm(params),
        }
        if corrupted is not None:
            values |= {
                "corrupted_accuracy": _mean(right_as_labelled, train & corrupted),
                "clean_accuracy": _mean(right_as_labelled, train & ~corrupted),
            }
        return values

    return measure


def _mean(values: Array, chosen: Array) -> Array:
    return jnp.sum(jnp.where(chosen, values, 0)) / jnp.sum(chosen).astype(values.dtype)
