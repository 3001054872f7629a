"""The contract of models that are trained in batches: with dropout, and with what is carried along but not trained."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from jaxtyping import Array

from grokjax.models.base import Model

__all__ = ["Network", "network"]


class Network(NamedTuple):
    """A model as optimisers train it; a `Model` of one sample becomes one by `network`.

    Attributes:
        init: `init(key) -> (params, state)`; the state is what is carried along without a gradient, such as running
            means, and () where there is nothing.
        apply: `apply(params, state, inputs, *, train=False, key=None, dropout=0.0, counted=None) -> (outputs, state)`
            for inputs with samples along the first axis. Dropout happens only with `train` and a key. `counted`,
            booleans, says which samples count; it matters only where samples are coupled.
        coupled: whether the output of a sample depends on the others of its batch, as under batch normalisation; the
            gradient of a batch is then not the sum of those of its parts.
    """

    init: Callable[[Array], tuple[Any, Any]]
    apply: Callable[..., tuple[Array, Any]]
    coupled: bool


# The same arguments give the same network, so that a jitted function that closes over it is not compiled again.
@functools.lru_cache(maxsize=None, typed=True)
def network(model: Model, dropout: bool = False, **init: Any) -> Network:
    """A model of one sample as a network, without state.

    Args:
        model: a `Model`.
        dropout: whether `model.apply` takes `key` and `dropout`, as that of a transformer does.
        init: what `model.init` takes beside the key, such as `scale` and `dtype`; hashable.

    Returns:
        A `Network` whose parameters are those of the model.
    """

    def initial(key: Array) -> tuple[Any, Any]:
        return model.init(key, **init), ()

    def apply(params, state, inputs, *, train=False, key=None, dropout=0.0, counted=None):
        del counted
        if not (model_drops and train and key is not None):
            return jax.vmap(lambda x: model.apply(params, x))(inputs), state
        keys = jax.random.split(key, inputs.shape[0])
        drops: Callable[..., Array] = model.apply
        return jax.vmap(lambda x, k: drops(params, x, key=k, dropout=dropout))(inputs, keys), state

    model_drops = dropout
    return Network(init=initial, apply=apply, coupled=False)
