"""What a network still does without some of its neurons: pruning by any score, from either end, or at random.

References:
    Doshi et al., arXiv 2310.13061, section 3 and figures 6, 17, 18, 32; the random control is not in the paper.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, PyTree
from numpy.typing import ArrayLike

from grokjax.models.pair_network import PairParams

__all__ = ["neurons_needed", "prune", "pruning_curve"]


def prune(params: PairParams, keep: Bool[Array, " width"]) -> PairParams:
    """The network with all weights into and out of the other neurons set to 0; what normalises them is left alone."""
    kept = lambda weights: jnp.where(keep, weights, jnp.zeros((), weights.dtype))
    return params._replace(left=kept(params.left), right=kept(params.right), readout=kept(params.readout))


@jax.jit
def _curve(measure, params, state, rank, counts):
    return lax.map(lambda count: measure(prune(params, rank >= count), state), counts)


def pruning_curve(
    measure: Callable[[Any, Any], PyTree],
    params: PairParams,
    state: Any,
    scores: Float[Array, " width"],
    counts: ArrayLike,
    *,
    highest_first: bool = False,
) -> PyTree:
    """Measure a network without its first neurons in the order of a score, for many numbers of them in one program.

    Args:
        measure: `(params, state) -> pytree of arrays`, such as that of `training.measure_table`; a pytree.
        params: the network's.
        state: the network's.
        scores: one number a neuron, such as `neuron_ipr`; for a random control, random numbers.
        counts: how many neurons to prune, (T,) integers from 0 to the width.
        highest_first: whether the largest scores are pruned first rather than the smallest. Of equal scores, the
            neuron that stands first.

    Returns:
        What `measure` returned, stacked along a first axis of length T.

    Raises:
        ValueError: if there is not one score a neuron, scores are NaN, or counts are not between 0 and the width.
    """
    width = params.left.shape[1]
    if scores.shape != (width,) or bool(jnp.any(jnp.isnan(scores))):
        raise ValueError(f"scores must be {width} numbers, one a neuron and none NaN, got shape {scores.shape}")
    numbers = np.asarray(counts)
    if numbers.ndim != 1 or numbers.size == 0 or not np.issubdtype(numbers.dtype, np.integer):
        raise ValueError(f"counts must be a non-empty vector of integers, got {counts}")
    if numbers.min() < 0 or numbers.max() > width:
        raise ValueError(f"counts must be between 0 and the width {width}, got {numbers.min()} to {numbers.max()}")
    order = jnp.argsort(-scores if highest_first else scores, stable=True)
    rank = jnp.zeros(width, jnp.int32).at[order].set(jnp.arange(width, dtype=jnp.int32))
    return _curve(measure, params, state, rank, jnp.asarray(numbers, jnp.int32))


def neurons_needed(counts: ArrayLike, accuracy: ArrayLike, width: int, criterion: float = 0.99) -> int:
    """The fewest neurons with which, and with every larger number that was tried, accuracy is at least a share of the
    whole network's.

    Args:
        counts: pruned neurons, increasing from 0, (T,).
        accuracy: measured there.
        width: neurons of the whole network.
        criterion: the share of the accuracy at count 0, in (0, 1].

    Returns:
        Number of neurons left.

    Raises:
        ValueError: for counts that do not increase from 0, an accuracy for each, or a criterion outside (0, 1].

    References:
        Doshi et al., arXiv 2310.13061, figure 32, whose criterion is not stated.
    """
    numbers, values = np.asarray(counts), np.asarray(accuracy)
    if numbers.ndim != 1 or numbers.shape != values.shape or numbers[0] != 0 or np.any(np.diff(numbers) <= 0):
        raise ValueError(f"counts must increase from 0, with one accuracy each, got {numbers} and {values.shape}")
    if not 0 < criterion <= 1:
        raise ValueError(f"criterion must be above 0 and at most 1, got {criterion}")
    falls = np.flatnonzero(values < criterion * values[0])
    last = falls[0] - 1 if len(falls) else len(numbers) - 1
    return int(width - numbers[last])
