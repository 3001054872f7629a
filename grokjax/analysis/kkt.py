"""How far parameters are from the KKT points of the two problems that rule the late phase of training.

    (R1)  min ½‖θ‖²  s.t.  y_i f(θ; x_i) ≥ 1     `margin_kkt`, classification
    (R2)  min ½‖θ‖²  s.t.  f(θ; x_i) = y_i       `interpolation_kkt`, regression

At a KKT point θ is a combination of the gradients of the constraints, in (R1) with multipliers that are not negative
and vanish on slack constraints. Of several classes, (R1) asks f_y(θ; x_i) − f_j(θ; x_i) ≥ 1 for every j other than the
label y. All residuals are relative, without units. These two may run under jit and vmap, and in the `observe` of
a flow.

References:
    Lyu et al., arXiv 2311.18817, theorems 3.5 and 3.10, lemma C.12; Lyu and Li, arXiv 1906.05890, section 4.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Bool, Float, Int, PyTree, Shaped

from grokjax._checks import Scalar, check_pairs, check_positive
from grokjax.analysis.ntk import empirical_ntk
from grokjax.flows.tree import tree_axpy, tree_norm
from grokjax.losses import Loss

__all__ = ["InterpolationKKT", "MarginKKT", "averaged_stationarity", "interpolation_kkt", "margin_kkt"]

# Eigenvalues of the Gram matrix below this multiple of n·ε·(largest) count as zero.
_RANK = 10.0


class MarginKKT(NamedTuple):
    """Residuals of (R1) at θ̃ = θ/q^(1/L), where q is the smallest margin of θ: feasible, and just so.

    Attributes:
        stationarity: ε = ‖θ̃ − Σ μ_k ∇q_k(θ̃)‖/‖θ̃‖ in [0, 1]; NaN unless all samples are fitted (q > 0).
        complementarity: δ = Σ μ_k (q_k(θ̃) − 1)/‖θ̃‖² in [0, 1/L]; NaN unless all samples are fitted.
        cosine: cos∠(θ, −∇𝓛(θ)), also where samples are not fitted; ε² = 1 − cosine². A stationary point of
            𝓛 + (λ/2)‖θ‖² has cosine 1, whatever λ > 0.
        margin: the normalised margin q/‖θ‖^L, of any sign.
        multipliers: μ of the constraints at θ̃, (n,), or (n, classes) with 0 at the labels; NaN unless all are fitted.
    """

    stationarity: Float[Array, ""]
    complementarity: Float[Array, ""]
    cosine: Float[Array, ""]
    margin: Float[Array, ""]
    multipliers: Float[Array, "n"] | Float[Array, "n classes"]


class InterpolationKKT(NamedTuple):
    """Residuals of (R2) at θ.

    Attributes:
        largest_error: max_i |f(θ; x_i) − y_i|, in units of the targets.
        rms_error: √((1/n) Σ (f(θ; x_i) − y_i)²), in units of the targets.
        stationarity: ε = min_μ ‖θ − Σ μ_i ∇f(θ; x_i)‖/‖θ‖ in [0, 1]; NaN for θ = 0.
        multipliers: (n,), the μ of any sign that attain it; those of least norm where gradients depend on each other.
        rank: number of independent gradients.
    """

    largest_error: Float[Array, ""]
    rms_error: Float[Array, ""]
    stationarity: Float[Array, ""]
    multipliers: Float[Array, " n"]
    rank: Int[Array, ""]


def margin_kkt(
    apply: Callable[[PyTree, Array], Array],
    degree: Scalar | None,
    params: PyTree,
    inputs: Shaped[Array, "n ..."],
    labels: Shaped[Array, " n"],
    loss: Loss,
) -> MarginKKT:
    """KKT residuals of the margin problem (R1), with the multipliers that the loss assigns to the constraints.

        q_k: y_i f_i, or f_y − f_j of sample i and another class j       μ_k = s·(−∂𝓛/∂q_k) ≥ 0
        s ≥ 0: the scale for which Σ μ_k ∇q_k(θ̃) is nearest to θ̃

    These are the multipliers of the paper, ‖θ‖^(L−2) r_i/(nλ), without reference to λ. They are in proportion to
    residuals, so that ε and δ vanish together only in the limit of a flow: at a stationary point of 𝓛 + (λ/2)‖θ‖²
    ε = 0, and δ = O(1/log(1/λ)). At a KKT point reached otherwise the residuals of equal margins are equal though its
    multipliers need not be, and ε > 0; small ε and δ prove nearness to a KKT point, large ones do not refute it.

    Everything is made of log 𝓛, and does not mind a loss that underflows. Cost: one evaluation of f with its
    vector-Jacobian product.

    Args:
        apply: the model, `(params, x) -> output`, a scalar or a vector of logits.
        degree: L > 0, with f(cθ; x) = c^L f(θ; x) for c > 0; a model's `degree`.
        params: θ, any pytree of floats.
        inputs: samples along the first axis, shape (n, ...).
        labels: (n,); ±1 for scalar outputs, integer classes for logits.
        loss: what the flow descends, decreasing in every margin: `logistic`, `exponential`, `cross_entropy`. For one
            that is not (`squared` above its target), multipliers of the wrong sign make ε and δ NaN.

    Returns:
        A `MarginKKT`.

    Raises:
        ValueError: if there is no sample, labels do not match, the degree is None or not positive, or an output is
            neither a scalar nor a vector of two or more logits.

    References:
        Lyu et al., arXiv 2311.18817, theorem 3.5 and lemma C.12.
    """
    check_pairs(inputs, labels)
    if degree is None:
        raise ValueError("degree must be a positive number, got None; (R1) is about homogeneous models")
    check_positive("degree", degree)
    outputs, pull_back = jax.vjp(lambda p: jax.vmap(lambda x: apply(p, x))(inputs), params)
    if outputs.ndim > 2 or outputs.shape[1:] == (1,):
        raise ValueError(
            f"apply must return a scalar or at least two logits for one input, got shape {outputs.shape[1:]}"
        )
    # n times the risk has the same direction.
    log_risk = lambda z: jax.nn.logsumexp(jax.vmap(loss.log_value)(z, labels))
    descent = -jax.grad(log_risk)(outputs)
    margins, weights, constrained = (_binary if outputs.ndim == 1 else _multiclass)(outputs, labels, descent)
    least = jnp.min(margins, where=constrained, initial=jnp.inf)

    norm, unit = _normalised(params)
    slope, steepest = _normalised(pull_back(descent)[0])
    cosine = _dot(unit, steepest)
    along, stationarity = _split(cosine, unit, steepest)
    slack = jnp.sum(weights * jnp.where(constrained, margins - least, 0))

    fitted = (least > 0) & jnp.all(weights >= 0)
    or_nan = lambda x: jnp.where(fitted, x, jnp.nan)
    degree = jnp.asarray(degree, norm.dtype)
    root = jnp.abs(least) ** (1 / degree)
    return MarginKKT(
        stationarity=or_nan(stationarity),
        complementarity=or_nan(along * slack / (slope * norm)),
        cosine=cosine,
        margin=jnp.sign(least) * (root / norm) ** degree,
        multipliers=or_nan(along * (norm / slope) * root ** (degree - 2) * weights),
    )


def averaged_stationarity(scaled_times: ArrayLike, params: PyTree) -> Float[Array, " stretches"]:
    """Stationarity of θ against the gradient averaged over a stretch of the flow, from points of the flow alone.

        −(mean of ∇𝓛)/λ = (mean of θ) + Δθ/Δτ,  τ = λt       ε = sin∠(mean of θ, −mean of ∇𝓛)

    Where f is not differentiable, as a ReLU network late in training, the flow slides along kinks: the gradient jumps
    from side to side and is nowhere near θ, while θ rests. A generalised derivative is a mean of the gradients nearby;
    the mean in time is one. The stretch must be long against the jumps and short against 1/λ.

    Args:
        scaled_times: τ = λt of the points, increasing, shape (T,).
        params: θ at those times, a pytree with T along the first axis of each leaf.

    Returns:
        ε in [0, 1] of each of the T − 1 stretches; 1 also where the mean gradient points away from −θ.

    References:
        Lyu et al., arXiv 2311.18817, theorem 3.5, which assumes C²; Clarke's generalised gradient in Lyu and Li,
        arXiv 1906.05890, section 4.
    """
    spacing = jnp.diff(jnp.asarray(scaled_times, float))
    middle = jax.tree.map(lambda x: 0.5 * (x[1:] + x[:-1]), params)

    def descent(x, mean):
        return mean + (x[1:] - x[:-1]) / spacing.reshape(-1, *[1] * (x.ndim - 1)).astype(x.dtype)

    def sine(mean, slope):
        (_, unit), (_, steepest) = _normalised(mean), _normalised(slope)
        return _split(_dot(unit, steepest), unit, steepest)[1]

    return jax.vmap(sine)(middle, jax.tree.map(descent, params, middle))


def interpolation_kkt(
    apply: Callable[[PyTree, Array], Array],
    params: PyTree,
    inputs: Shaped[Array, "n ..."],
    targets: Shaped[Array, " n"],
    *,
    batch_size: int = 32,
) -> InterpolationKKT:
    """KKT residuals of the interpolation problem (R2), with the best multipliers.

    Multipliers come from the n×n Gram matrix JJᵀ of the gradients, and once more from what the first ones leave over,
    which restores the digits that squaring J has cost. Directions in which J is smaller than about √(nε) times its
    norm (ε of the floating-point type) count as none.

    Cost: the Gram matrix as in `empirical_ntk`, n³ for its eigenvectors, two Jacobian products either way. Memory: n²
    numbers and 2·`batch_size` gradients, never the n×P Jacobian.

    Args:
        apply: the model, `(params, x) -> scalar`.
        params: θ, any pytree of floats.
        inputs: samples along the first axis, shape (n, ...).
        targets: y, shape (n,).
        batch_size: rows of the Jacobian held at a time.

    Returns:
        An `InterpolationKKT`.

    Raises:
        ValueError: if there is no sample, targets do not match, an output is not a scalar, or `batch_size` is not
            positive.

    References:
        Lyu et al., arXiv 2311.18817, theorem 3.10. Refinement: Å. Björck, Linear Algebra Appl. 88/89 (1987).
    """
    check_pairs(inputs, targets)
    predict = lambda p: jax.vmap(lambda x: apply(p, x))(inputs)
    outputs, pull_back = jax.vjp(predict, params)
    if outputs.ndim != 1:
        raise ValueError(f"apply must return a scalar for one input, got shape {outputs.shape[1:]}")
    values, vectors = jnp.linalg.eigh(empirical_ntk(apply, params, inputs, batch_size=batch_size))
    count = len(values)
    kept = values > _RANK * count * jnp.finfo(values.dtype).eps * values[-1]
    inverse = jnp.where(kept, 1 / jnp.where(kept, values, 1), 0)

    norm, remainder = _normalised(params)
    multipliers = jnp.zeros_like(outputs)
    for _ in range(2):
        change = vectors @ (inverse * (vectors.T @ jax.jvp(predict, (params,), (remainder,))[1]))
        remainder = tree_axpy(-1, pull_back(change)[0], remainder)
        multipliers = multipliers + change
    errors = outputs - targets.astype(outputs.dtype)
    return InterpolationKKT(
        largest_error=jnp.max(jnp.abs(errors)),
        rms_error=tree_norm(errors) / jnp.sqrt(jnp.asarray(count, errors.dtype)),
        stationarity=tree_norm(remainder),
        multipliers=norm * multipliers,
        rank=jnp.sum(kept),
    )


Constraints = tuple[Array, Array, Bool[Array, "..."]]


def _binary(outputs, labels, descent) -> Constraints:
    """Margins, −∂ log 𝓛/∂margins, and which entries are constraints at all."""
    signs = labels.astype(outputs.dtype)
    return signs * outputs, signs * descent, jnp.ones_like(outputs, bool)


def _multiclass(outputs, labels, descent) -> Constraints:
    constrained = jnp.arange(outputs.shape[-1])[None] != labels[:, None]
    own = jnp.take_along_axis(outputs, labels[:, None], axis=-1)
    return own - outputs, jnp.where(constrained, -descent, 0), constrained


def _normalised(tree):
    norm = tree_norm(tree)
    return norm, jax.tree.map(lambda x: x / norm.astype(x.dtype), tree)


def _split(cosine, unit, direction):
    """Lengths of a unit vector along another, if not negative, and of what is left; cosine is their product.

    The latter as a difference of vectors: √(1 − cosine²) would lose half the digits.
    """
    along = jnp.maximum(cosine, 0)
    return along, tree_norm(tree_axpy(-along, direction, unit))


def _dot(xs, ys):
    return jax.tree.reduce(jnp.add, jax.tree.map(jnp.vdot, xs, ys))
