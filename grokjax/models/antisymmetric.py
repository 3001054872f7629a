"""The difference of two copies of a model, which starts at zero whatever the model."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from grokjax.models.base import Model

__all__ = ["AntisymmetricParams", "antisymmetric"]


class AntisymmetricParams(NamedTuple):
    """The parameters a of the copy that is added, and b of the one that is subtracted."""

    added: PyTree
    subtracted: PyTree


@functools.cache
def antisymmetric(model: Model) -> Model:
    """The model f(a, b; x) = g(a; x) − g(b; x) for a model g: homogeneous of the degree of g.

    `init` takes what g's takes and starts with b a copy of a, so that f(θ̄; x) = 0 for every x (assumption 3.2 of the
    paper) wherever g starts; a compiler that fuses the difference may leave one rounding error of g. The neural tangent
    kernel of f at the start is twice that of g. The diagonal network ⟨u^L − v^L, x⟩ is of this form.

    Args:
        model: g.

    Returns:
        A `Model` with parameters `AntisymmetricParams`.

    Raises:
        ValueError: if `model` is not a `Model`.

    References:
        Chizat et al., arXiv 1812.07956, (doubling trick); Lyu et al., arXiv 2311.18817, assumption 3.2.
    """
    if not isinstance(model, Model):
        raise ValueError(f"model must be a Model, got {type(model).__name__}")

    def init(*args: Any, **kwargs: Any) -> AntisymmetricParams:
        start = model.init(*args, **kwargs)
        # Two buffers, so that a caller may donate the parameters.
        return AntisymmetricParams(added=start, subtracted=jax.tree.map(jnp.array, start))

    def apply(params: AntisymmetricParams, x: Array) -> Array:
        return model.apply(params.added, x) - model.apply(params.subtracted, x)

    return Model(init=init, apply=apply, degree=model.degree)
