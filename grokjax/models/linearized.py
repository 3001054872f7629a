"""The first-order Taylor expansion of a model in its parameters: kernel regression as a model."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray, PyTree

from grokjax.models.base import Model

__all__ = ["linearized"]


def linearized(model: Model, params: PyTree) -> Model:
    """The model f_lin(h; x) = f(θ̄; x) + ⟨∇f(θ̄; x), h − θ̄⟩, affine in its parameters h, which have the shape of θ.

    Trained on it, h follows the kernel regime of f exactly, with the fixed features ∇f(θ̄; x). The theory writes
    the kernel predictor without the constants, as ⟨∇f(θ̄; x), h⟩, and for a start of the kind it assumes the two
    are the same: if f is homogeneous of degree L, Euler's identity gives ⟨∇f(θ̄; x), θ̄⟩ = L f(θ̄; x), so that

        f_lin(h; x) = ⟨∇f(θ̄; x), h⟩ − (L − 1) f(θ̄; x) = ⟨∇f(θ̄; x), h⟩    where f(θ̄; x) = 0,

    homogeneous of degree 1 in h. `degree` is None nevertheless: whether f(θ̄; x) = 0 depends on the values of θ̄.

    `init(key=None)` returns a copy of θ̄, where f_lin = f. `apply` costs one forward-mode derivative; f must be
    differentiable at θ̄, and at a kink of ReLU the expansion is that of JAX's derivative, 0.

    Args:
        model: f.
        params: θ̄, the parameters about which to expand, a pytree of floating-point arrays.

    Returns:
        A `Model` with the parameters of `model`. A function compiled with it holds θ̄ as a constant.

    Raises:
        ValueError: if `model` is not a `Model`; by `apply` if h has not the structure, shapes and dtypes of θ̄.

    References:
        Lyu et al., arXiv 2311.18817, section 3 (NTK features; problems K1 and K2).
    """
    if not isinstance(model, Model):
        raise ValueError(f"model must be a Model, got {type(model).__name__}")
    centre = jax.tree.map(jnp.asarray, params)
    wanted = _signature(centre)

    def init(key: PRNGKeyArray | None = None) -> PyTree:
        del key
        return jax.tree.map(jnp.array, centre)

    def apply(h: PyTree, x: Array) -> Array:
        if (given := _signature(h)) != wanted:
            raise ValueError(f"h must have the structure, shapes and dtypes of the centre, {wanted}; got {given}")
        displacement = jax.tree.map(jnp.subtract, h, centre)
        value, change = jax.jvp(lambda p: model.apply(p, x), (centre,), (displacement,))
        return value + change

    return Model(init=init, apply=apply, degree=None)


def _signature(tree):
    leaves, structure = jax.tree.flatten(tree)
    return structure, [f"{jnp.result_type(leaf)}{list(jnp.shape(leaf))}" for leaf in leaves]
