"""What flows and optimiser runs record."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, PyTree

__all__ = ["blank_unrecorded"]


def blank_unrecorded(observed: PyTree, recorded: Bool[Array, " T"]) -> PyTree:
    """Observables (T, ...) with NaN, or 0 for integers and booleans, where nothing was recorded."""

    def blank(x):
        nothing = jnp.asarray(jnp.nan if jnp.issubdtype(x.dtype, jnp.inexact) else 0, x.dtype)
        return jnp.where(recorded.reshape(-1, *[1] * (x.ndim - 1)), x, nothing)

    return jax.tree.map(blank, observed)
