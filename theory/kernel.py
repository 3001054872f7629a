"""Kernel predictors of any differentiable model, at the features it has when training starts.

The features of x are ∇_θ f(θ₀; x), of the finite network at θ₀ itself. They are never stored: a product with the
feature matrix J is a Jacobian-vector product of the model, one with Jᵀ a vector-Jacobian product, and the Gram matrix
JJᵀ is made of n of each.

    (K1)  min ½‖h‖²  s.t.  y_i ⟨∇f(θ₀; x_i), h⟩ ≥ 1     `max_margin`, the early classifier of theorem 3.4
    (K2)  min ½‖h‖²  s.t.  ⟨∇f(θ₀; x_i), h⟩ = y_i       `min_norm`, the early interpolant of theorem 3.9

Both solve with the n×n Gram matrix once, and return h with a function that evaluates ⟨∇f(θ₀; x), h⟩ anywhere. For a
Gram matrix at hand, without a model, there is `min_norm.kernel`.

References:
    Lyu et al., arXiv 2311.18817, section 3.2 and theorems 3.4, 3.9.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import eigh

from theory._linear_algebra import checked_signs
from theory.max_margin import l2_duals

__all__ = ["KernelMaxMargin", "KernelMinNorm", "features", "gram", "max_margin", "min_norm"]

Apply = Callable[[Any, Any], Any]
Floats = NDArray[np.float64]

# Convex weights that bring the sum of signed features below this (relative) size prove inseparability; a Gram matrix
# knows only its square, and that no better than the precision of the parameters.
_INSEPARABLE = 1e-7
# Eigenvalues of the Gram matrix below this multiple of n·ε·(largest) count as zero.
_RANK = 10.0


class KernelMaxMargin(NamedTuple):
    """The kernel max-margin classifier.

    Attributes:
        direction: h* of norm 1, a pytree like the parameters; NaN if the features are inseparable.
        margin: γ_ntk = min_i y_i⟨∇f(θ₀; x_i), h*⟩; NaN if inseparable.
        duals: (n,), non-negative multipliers with h* ∝ Σ a_i y_i ∇f(θ₀; x_i); if inseparable, convex weights that
            bring this sum to 0.
        duality_gap: relative gap of (K1), ≥ 0 up to rounding; NaN if inseparable.
        status: "optimal", "inaccurate" (gap above 1e-9) or "inseparable".
        predict: `predict(inputs) -> (m,)`, ⟨∇f(θ₀; x), h*⟩ for each row of the inputs.
    """

    direction: Any
    margin: float
    duals: Floats
    duality_gap: float
    status: str
    predict: Callable[[Any], jax.Array]


class KernelMinNorm(NamedTuple):
    """The kernel min-norm interpolant.

    Attributes:
        solution: h, a pytree like the parameters.
        norm: ‖h‖.
        coefficients: (n,), h = Σ c_i ∇f(θ₀; x_i).
        residual: max_i |⟨∇f(θ₀; x_i), h⟩ − y_i|; not small if targets contradict each other on equal features.
        conditioning: largest over smallest eigenvalue of the Gram matrix that was kept.
        rank: eigenvalues kept; below n where features repeat, as those of mirrored entries in matrix completion.
        predict: `predict(inputs) -> (m,)`, ⟨∇f(θ₀; x), h⟩ for each row of the inputs.
    """

    solution: Any
    norm: float
    coefficients: Floats
    residual: float
    conditioning: float
    rank: int
    predict: Callable[[Any], jax.Array]


def features(apply: Apply, params: Any, x: Any) -> Any:
    """∇_θ f(θ₀; x) for one input x, a pytree like the parameters; `apply(params, x)` must return a scalar."""
    return jax.grad(apply)(params, x)


def gram(apply: Apply, params: Any, inputs: Any, others: Any = None, *, batch_size: int = 16) -> Floats:
    """The kernel K_ij = ⟨∇f(θ₀; x_i), ∇f(θ₀; x'_j)⟩.

    Args:
        apply: the model, `(params, x) -> scalar`.
        params: θ₀, any pytree of floats; its precision is that of the kernel.
        inputs: n inputs along the first axis.
        others: m further inputs; the same ones by default.
        batch_size: features held at a time, each the size of the parameters.

    Returns:
        (n, m), or (n, n) and symmetric, float64.

    Raises:
        ValueError: if there is no input, or the model's output is not a scalar.
    """
    _check_inputs(apply, params, inputs)
    columns = inputs if others is None else others
    _check_inputs(apply, params, columns, "others")
    return np.asarray(_gram(apply, params, inputs, columns, batch_size), np.float64)


def max_margin(apply: Apply, params: Any, inputs: Any, labels: ArrayLike, *, batch_size: int = 16) -> KernelMaxMargin:
    """The maximum-margin classifier in the features at θ₀ (K1).

    Args:
        apply: the model, `(params, x) -> scalar`.
        params: θ₀.
        inputs: n inputs along the first axis.
        labels: (n,), ±1.
        batch_size: as in `gram`.

    Returns:
        A `KernelMaxMargin`.

    Raises:
        ValueError: for a wrong shape, a label that is not ±1, or a kernel that is not finite.
    """
    kernel, y = _kernel_and_targets(apply, params, inputs, labels, batch_size, "labels")
    checked_signs(y)
    signed = kernel * np.outer(y, y)
    duals = l2_duals(signed)
    square = float(duals @ signed @ duals)
    if square <= max(_INSEPARABLE**2, _precision(params)) * np.max(np.diag(signed)):
        nothing = jax.tree.map(lambda p: jnp.full_like(p, jnp.nan), params)
        return KernelMaxMargin(nothing, np.nan, duals, np.nan, "inseparable", _predictor(apply, params, nothing))
    norm = np.sqrt(square)
    margin = float(np.min(signed @ duals)) / norm
    # With a scaled to Σa = 1, ‖Σ a_i y_i ∇f_i‖ bounds every margin from above; objectives are ½/margin².
    gap = 1 - (margin / norm) ** 2 if margin > 0 else np.inf
    direction = _combination(apply, params, inputs, duals * y / norm)
    status = "optimal" if gap <= 1e-9 else "inaccurate"
    return KernelMaxMargin(direction, margin, duals, gap, status, _predictor(apply, params, direction))


def min_norm(apply: Apply, params: Any, inputs: Any, targets: ArrayLike, *, batch_size: int = 16) -> KernelMinNorm:
    """The least-norm interpolant in the features at θ₀ (K2); through a pseudo-inverse where features repeat.

    Args:
        apply: the model, `(params, x) -> scalar`.
        params: θ₀.
        inputs: n inputs along the first axis.
        targets: (n,), real.
        batch_size: as in `gram`.

    Returns:
        A `KernelMinNorm`.

    Raises:
        ValueError: for a wrong shape, a target that is not finite, or a kernel that is not finite or zero.
    """
    kernel, y = _kernel_and_targets(apply, params, inputs, targets, batch_size, "targets")
    values, vectors = eigh(kernel)
    keep = values > _RANK * len(y) * _precision(params) * values[-1]
    if not np.any(keep):
        raise ValueError("params must have a non-zero gradient at some input; the kernel is 0")
    coefficients = vectors[:, keep] @ ((vectors[:, keep].T @ y) / values[keep])
    solution = _combination(apply, params, inputs, coefficients)
    return KernelMinNorm(
        solution=solution,
        norm=float(np.sqrt(max(coefficients @ kernel @ coefficients, 0.0))),
        coefficients=coefficients,
        residual=float(np.max(np.abs(kernel @ coefficients - y))),
        conditioning=float(values[-1] / values[keep][0]),
        rank=int(np.sum(keep)),
        predict=_predictor(apply, params, solution),
    )


def _gram(apply, params, rows, columns, batch_size):
    def outputs(p):
        return jax.vmap(lambda x: apply(p, x))(rows)

    @jax.jit
    def run(params, columns):
        def column(x):
            return jax.jvp(outputs, (params,), (features(apply, params, x),))[1]

        return jax.lax.map(column, columns, batch_size=batch_size).T

    return run(params, columns)


def _combination(apply, params, inputs, coefficients):
    """Σ c_i ∇f(θ₀; x_i), one vector-Jacobian product."""

    def outputs(p):
        return jax.vmap(lambda x: apply(p, x))(inputs)

    values, pull_back = jax.vjp(outputs, params)
    return pull_back(jnp.asarray(coefficients, values.dtype))[0]


def _predictor(apply, params, direction):
    @jax.jit
    def predict(inputs):
        return jax.jvp(lambda p: jax.vmap(lambda x: apply(p, x))(inputs), (params,), (direction,))[1]

    return predict


def _precision(params) -> float:
    return max(float(jnp.finfo(jnp.result_type(leaf)).eps) for leaf in jax.tree.leaves(params))


def _kernel_and_targets(apply, params, inputs, targets, batch_size, name):
    kernel = gram(apply, params, inputs, batch_size=batch_size)
    y = np.asarray(targets, np.float64)
    if y.shape != (len(kernel),):
        raise ValueError(f"{name} must have shape ({len(kernel)},), one per input, got {y.shape}")
    if not np.all(np.isfinite(y)):
        raise ValueError(f"{name} must be finite, got {y[~np.isfinite(y)][0]}")
    if not np.all(np.isfinite(kernel)):
        raise ValueError("the kernel must be finite; params or inputs hold NaN or infinity")
    return (kernel + kernel.T) / 2, y


def _check_inputs(apply, params, inputs, name="inputs") -> None:
    sizes = {jnp.shape(leaf)[0] if jnp.ndim(leaf) else 0 for leaf in jax.tree.leaves(inputs)}
    if len(sizes) != 1 or 0 in sizes:
        raise ValueError(f"{name} must hold at least one sample along a common first axis, got lengths {sorted(sizes)}")
    shape = jax.eval_shape(apply, params, jax.tree.map(lambda leaf: jnp.asarray(leaf)[0], inputs)).shape
    if shape != ():
        raise ValueError(f"apply must return a scalar for one input, got an output of shape {shape}")
