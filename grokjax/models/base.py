"""The contract that every model keeps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from jaxtyping import Array, PyTree

__all__ = ["Model"]


class Model(NamedTuple):
    """A parametrised function f(θ; x), as two pure functions and a number.

    Attributes:
        init: `init(key, ...) -> params`; what else it takes is said by the model's factory.
        apply: `apply(params, x) -> output`, for one sample x.
        degree: L such that f(cθ; x) = c^L f(θ; x) for every c > 0, or None where there is no such L.
    """

    init: Callable[..., Any]
    apply: Callable[[PyTree, Array], Array]
    degree: int | None
