"""Functions as pytrees."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jax.tree_util import Partial

__all__ = ["as_partial"]


def as_partial(function: Callable[..., Any]) -> Partial:
    """The function as a pytree; a `Partial` is one already.

    A `Partial` inside another is compared by identity, so that an equal one made anew would compile everything again.
    """
    return function if isinstance(function, Partial) else Partial(function)
