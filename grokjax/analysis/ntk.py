"""The tangent kernel of a finite model, and how it moves in training.

    K(x, x') = ⟨∇_θ f(θ; x), ∇_θ f(θ; x')⟩

Of a model that is homogeneous of degree L, K(cθ) = c^(2(L−1)) K(θ). In the kernel phase θ(t) ≈ α e^(−λt) θ̄, so that
K(θ(t)) ≈ (α e^(−λt))^(2(L−1)) K(θ̄): weight decay shrinks the kernel long before any feature moves. `kernel_drift` does
not see the factor, `kernel_distance` does.

References:
    Lyu et al., arXiv 2311.18817, section 3 and appendices C, D; Jacot et al., arXiv 1806.07572.
"""

from __future__ import annotations

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree, Shaped

__all__ = ["empirical_ntk", "kernel_alignment", "kernel_distance", "kernel_drift"]


def empirical_ntk(
    apply: Callable[[PyTree, Array], Array],
    params: PyTree,
    inputs: Shaped[Array, "n ..."],
    others: Shaped[Array, "m ..."] | None = None,
    *,
    batch_size: int = 32,
) -> Float[Array, "n m"]:
    """The Gram matrix K_ij = Σ_k ⟨∇f_k(θ; x_i), ∇f_k(θ; x'_j)⟩ of gradients at the given parameters.

    The sum is over outputs: for vectors this is the trace of the matrix-valued kernel, not divided by their number.

    Gradients are made in blocks of `batch_size` rows and columns and thrown away. Memory: 2·`batch_size`·P numbers for
    P parameters, however many samples and outputs. Cost: 2nmP operations and n(1 + m/`batch_size`) gradients, for each
    output.

    Args:
        apply: the model, `(params, x) -> output`, of any shape.
        params: θ, any pytree of floats; its precision is that of the kernel.
        inputs: samples along the first axis, shape (n, ...).
        others: m further samples; the same ones by default.
        batch_size: gradients held at a time, of rows and of columns.

    Returns:
        (n, m), or (n, n) and symmetric.

    Raises:
        ValueError: if there is no sample, or `batch_size` is not positive.
    """
    for name, samples in (("inputs", inputs), ("others", inputs if others is None else others)):
        if samples.ndim == 0 or len(samples) == 0:
            raise ValueError(f"{name} must hold at least one sample along the first axis, got shape {samples.shape}")
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    kernel = _kernel(apply, params, inputs, inputs if others is None else others, batch_size)
    return kernel if others is not None else (kernel + kernel.T) / 2


def kernel_drift(kernel: Float[Array, "*batch n m"], reference: Float[Array, "n m"]) -> Float[Array, "*batch"]:
    """1 − cos∠(K, K₀) in the Frobenius inner product: the change that no scaling of the kernel undoes.

    √(drift·(2 − drift)) is min_c ‖K − cK₀‖/‖K‖. Resolved down to the square of the rounding error of the kernels.

    Args:
        kernel: K, (..., n, m), such as one for each time.
        reference: K₀, (n, m), such as the one at the start.

    Returns:
        (...,), in [0, 2]; NaN where a kernel is zero.
    """
    difference = _unit(kernel) - jnp.broadcast_to(_unit(reference), kernel.shape)
    return jnp.sum(jnp.square(difference), axis=(-2, -1)) / 2


def kernel_distance(kernel: Float[Array, "*batch n m"], reference: Float[Array, "n m"]) -> Float[Array, "*batch"]:
    """‖K − K₀‖/‖K₀‖ in the Frobenius norm, which a mere change of scale moves too.

    Args:
        kernel: K, (..., n, m).
        reference: K₀, (n, m).

    Returns:
        (...,); NaN if the reference is zero.
    """
    difference = kernel - jnp.broadcast_to(reference, kernel.shape)
    return jnp.linalg.norm(difference, axis=(-2, -1)) / jnp.linalg.norm(reference)


def kernel_alignment(
    kernel: Float[Array, "*batch n n"],
    labels: Shaped[Array, "n"] | Shaped[Array, "n classes"],
    *,
    centred: bool = False,
) -> Float[Array, "*batch"]:
    """⟨K, yyᵀ⟩/(‖K‖‖yyᵀ‖) in the Frobenius inner product: 1 for the kernel whose one feature is the label.

    Args:
        kernel: K, (..., n, n).
        labels: y, (n,), ±1 or real; or (n, classes), such as one-hot rows, in which case yyᵀ counts common classes.
        centred: take out the means of features and labels first (HKH and Hy with H = 1 − 11ᵀ/n), so that neither a
            constant feature nor unequal classes count; for one-hot labels in particular.

    Returns:
        (...,), in [0, 1] for positive semi-definite kernels; NaN where either side vanishes.

    References:
        Cristianini et al., "On kernel-target alignment" (2001); centred: Cortes, Mohri and Rostamizadeh, J. Mach.
        Learn. Res. 13 (2012).
    """
    y = labels.astype(kernel.dtype).reshape(len(labels), -1)
    if centred:
        y = y - jnp.mean(y, axis=0, keepdims=True)
        kernel = kernel - jnp.mean(kernel, axis=-1, keepdims=True)
        kernel = kernel - jnp.mean(kernel, axis=-2, keepdims=True)
    return jnp.einsum("...ij,ij->...", _unit(kernel), _unit(y @ y.T))


@eqx.filter_jit
def _kernel(apply, params, rows, columns, batch_size):
    output = jax.eval_shape(apply, params, rows[0])
    basis = jnp.eye(output.size, dtype=output.dtype).reshape(output.size, *output.shape)

    def add_output(kernel, cotangent):
        gradient = lambda x: jax.vjp(lambda p: apply(p, x), params)[1](cotangent)[0]

        def row(x):
            features = gradient(x)
            return jax.lax.map(lambda other: _dot(features, gradient(other)), columns, batch_size=batch_size)

        return kernel + jax.lax.map(row, rows, batch_size=batch_size), None

    return jax.lax.scan(add_output, jnp.zeros((len(rows), len(columns)), output.dtype), basis)[0]


def _dot(xs, ys):
    # vmapped over rows and over columns, a product of matrices.
    return jax.tree.reduce(jnp.add, jax.tree.map(jnp.vdot, xs, ys))


def _unit(kernel):
    # The largest entry is divided out first: squares of kernels leave the range of float32.
    kernel = kernel / jnp.max(jnp.abs(kernel), axis=(-2, -1), keepdims=True)
    return kernel / jnp.linalg.norm(kernel, axis=(-2, -1), keepdims=True)
