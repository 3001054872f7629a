"""Ending a run where a function of it changes sign."""

from __future__ import annotations

from collections.abc import Callable

import diffrax
import equinox as eqx
import jax.numpy as jnp
import optimistix
from jaxtyping import Array, PyTree

__all__ = ["ending_event"]

_TIME_RESOLUTION = 1e-12


class _SignChange(optimistix.Bisection):
    """Bisection down to a relative width in time, whatever the units of the function.

    The library's stopping rule wants one absolute tolerance for time and function both, and it raises where a batch
    member has no sign change, which here only means that this member has had no event.
    """

    def init(self, fn, y, args, options, f_struct, aux_struct, tags):
        state = super().init(fn, y, args, options, f_struct, aux_struct, tags)
        return eqx.tree_at(lambda s: s.flip, state, fn(state.lower, args)[0] > 0)

    def terminate(self, fn, y, args, options, state, tags):
        width = jnp.abs(state.upper - state.lower)
        narrow = width <= _TIME_RESOLUTION * jnp.maximum(jnp.abs(state.upper), jnp.abs(state.lower))
        return narrow | (state.error == 0), optimistix.RESULTS.successful


def ending_event(condition: Callable[[Array, PyTree], Array]) -> diffrax.Event:
    """A diffrax event from `(s, state) -> scalar`; a real-valued condition is located within its step."""
    finder = _SignChange(rtol=_TIME_RESOLUTION, atol=0.0, flip=False)
    return diffrax.Event(lambda t, y, args, **_: condition(t, y), finder)
