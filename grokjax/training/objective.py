"""The mean loss of a batch and its gradient, in blocks of samples that stay in a core's cache."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Int, PRNGKeyArray, Shaped

from grokjax._checks import check_integer, check_pairs, is_concrete
from grokjax.losses import Loss
from grokjax.models.network import Network
from grokjax.training._blocks import blocks_and_rows, default_rows, padded

__all__ = ["Examples", "examples", "mean_loss_and_gradient"]


class Examples(NamedTuple):
    """What is trained on: the first `size` of the rows.

    Attributes:
        inputs: (capacity, ...).
        labels: (capacity,).
        size: (), an integer. The loss is NaN where it is not between 1 and the capacity.
    """

    inputs: Shaped[Array, "capacity ..."]
    labels: Shaped[Array, " capacity"]
    size: Int[Array, ""]


def examples(inputs: Shaped[Array, "capacity ..."], labels: Shaped[Array, " capacity"], size: Any = None) -> Examples:
    """Training examples; with `size` only the first of them, so that sets of different sizes share a program.

    Args:
        inputs: samples along the first axis.
        labels: one each.
        size: how many of them are trained on, which may be traced; all by default.

    Returns:
        An `Examples`.

    Raises:
        ValueError: if there is no sample, labels do not fit, or a concrete size is not between 1 and the capacity.
    """
    check_pairs(inputs, labels)
    capacity = jnp.shape(inputs)[0]
    if size is None:
        size = capacity
    if is_concrete(size) and not 1 <= int(size) <= capacity:
        raise ValueError(f"size must be at least 1 and at most the {capacity} samples, got {size}")
    return Examples(jnp.asarray(inputs), jnp.asarray(labels), jnp.asarray(size, jnp.int32))


def mean_loss_and_gradient(
    network: Network,
    loss: Loss,
    params: Any,
    state: Any,
    batch: Examples,
    key: PRNGKeyArray,
    *,
    dropout: Any = 0.0,
    loss_dtype: Any = None,
    block: int | None = None,
) -> tuple[Array, Any, Any]:
    """The mean loss of a batch in training mode, its gradient, and the state after it.

    Where samples are not coupled the gradient is summed over blocks of rows, of which only those with samples that
    count are evaluated: the cost follows the number of samples, not the capacity.

    Args:
        network: the model.
        loss: of one sample.
        params: to differentiate by.
        state: of the network.
        batch: the samples.
        key: PRNG key of the dropout.
        dropout: its rate; exactly the number 0 draws nothing.
        loss_dtype: of the outputs when the loss is taken, such as float64; that of the outputs by default.
        block: rows a block has at most; all of them where the samples are coupled, and by default 1200 on a CPU and
            all of them elsewhere.

    Returns:
        The loss, in `loss_dtype`; the gradient; the new state.

    Raises:
        ValueError: for a block that is no integer of at least 1.
    """
    capacity = batch.inputs.shape[0]
    if block is None:
        block = default_rows(capacity)
    check_integer("block", block)
    size = batch.size
    # Only known when the program runs: a set that is empty or cut short gives no number.
    possible = (size >= 1) & (size <= capacity)

    def total(params, state, inputs, labels, first, key):
        counted = first + jnp.arange(labels.shape[0], dtype=jnp.int32) < size
        outputs, state = network.apply(params, state, inputs, train=True, key=key, dropout=dropout, counted=counted)
        outputs = outputs if loss_dtype is None else outputs.astype(loss_dtype)
        values = jax.vmap(loss.value)(outputs, labels)
        # What is masked must not be NaN times 0: samples beyond the size are rows of the data set as well.
        samples = jnp.where(possible, size.astype(values.dtype), jnp.nan)
        return jnp.sum(jnp.where(counted, values, 0)) / samples, state

    gradient = jax.value_and_grad(total, has_aux=True)
    if network.coupled or capacity <= block:
        (value, state), slope = gradient(params, state, batch.inputs, batch.labels, jnp.int32(0), key)
        return value, slope, state

    blocks, rows = blocks_and_rows(capacity, block)
    inputs, labels = (padded(x, rows * blocks) for x in (batch.inputs, batch.labels))

    def add(number, sums):
        first = number * rows
        x, y = (lax.dynamic_slice_in_dim(z, first, rows) for z in (inputs, labels))
        (value, _), slope = gradient(params, state, x, y, first, jax.random.fold_in(key, number))
        return jax.tree.map(jnp.add, sums, (value, slope))

    (value, _), slope = jax.eval_shape(gradient, params, state, inputs[:rows], labels[:rows], jnp.int32(0), key)
    zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), (value, slope))
    used = jnp.clip((size + (rows - 1)) // rows, 1, blocks)
    value, slope = lax.fori_loop(jnp.int32(0), used, add, zeros)
    return value, slope, state
