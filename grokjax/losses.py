"""Losses of one sample, each with its logarithm, and their mean over samples.

A `Loss` holds ℓ and log ℓ. Float64 turns log(1 + e^(−m)) into exactly 0 beyond a margin m of about 745
and e^(−m) into infinity below −709; log ℓ goes on where ℓ cannot, and is what a flow without weight decay
is integrated with. Conventions: classification losses are plain, the squared loss is (f − y)² without ½, and the
mean over samples is taken by `empirical_risk`.

References:
    Lyu et al., arXiv 2311.18817, section 3 (losses) and figure 4 (training without weight decay, in log space).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array, Float, PyTree, Shaped

from grokjax._checks import check_pairs
from grokjax._functions import as_partial

__all__ = [
    "Loss",
    "accuracy",
    "cross_entropy",
    "empirical_risk",
    "exponential",
    "log_empirical_risk",
    "logistic",
    "multiclass_accuracy",
    "multiclass_correct",
    "multiclass_margins",
    "one_hot_squared",
    "squared",
]


class Loss(NamedTuple):
    """A per-sample loss ℓ(f, y): `value` is ℓ, `log_value` is log ℓ, both `(output, label) -> scalar`."""

    name: str
    value: Callable[[Array, Array], Float[Array, ""]]
    log_value: Callable[[Array, Array], Float[Array, ""]]


def empirical_risk(
    apply: Callable[[PyTree, Array], Array],
    loss: Loss,
    inputs: Shaped[Array, "n ..."],
    labels: Shaped[Array, " n"],
) -> Partial:
    """The objective 𝓛(θ) = (1/n) Σ ℓ(f(θ; x_i), y_i) as a function of θ alone.

    Args:
        apply: the model, `(params, x) -> output`, for one sample.
        loss: one of the losses of this module, or your own.
        inputs: samples along the first axis, shape (n, ...).
        labels: ±1 or real, shape (n,); integers for cross-entropy.

    Returns:
        A callable `params -> scalar`. It is a pytree whose leaves are the data, so that new data of the same shape
        compile nothing anew.

    Raises:
        ValueError: if there is no sample, or `labels` does not have one entry per sample.
    """
    check_pairs(inputs, labels)
    return Partial(_mean_loss, as_partial(apply), as_partial(loss.value), inputs, labels)


def log_empirical_risk(
    apply: Callable[[PyTree, Array], Array],
    loss: Loss,
    inputs: Shaped[Array, "n ..."],
    labels: Shaped[Array, " n"],
) -> Partial:
    """log 𝓛(θ), finite far beyond the point where 𝓛 underflows; arguments, result and errors as `empirical_risk`."""
    check_pairs(inputs, labels)
    return Partial(_log_mean_loss, as_partial(apply), as_partial(loss.log_value), inputs, labels)


def accuracy(outputs: Float[Array, "*batch n"], labels: Shaped[Array, " n"]) -> Float[Array, "*batch"]:
    """Fraction in [0, 1] of samples whose output has the sign of its ±1 label; a zero margin counts ½."""
    return 0.5 * (1 + jnp.sign(outputs) @ jnp.sign(labels).astype(outputs.dtype) / labels.shape[-1])


def multiclass_accuracy(
    logits: Float[Array, "*batch n classes"], labels: Shaped[Array, " n"]
) -> Float[Array, "*batch"]:
    """Fraction in [0, 1] of samples whose label has the largest logit; of k that share the largest, 1/k."""
    return jnp.mean(multiclass_correct(logits, labels), axis=-1)


def multiclass_correct(
    logits: Float[Array, "*batch n classes"], labels: Shaped[Array, " n"]
) -> Float[Array, "*batch n"]:
    """1 for a sample whose label has the largest logit, 1/k if k classes share the largest, else 0.

    That is the chance of being right if ties are broken at random: a network whose logits are all 0 is at chance.
    """
    own, other = _own_and_best_other(logits, labels)
    # Comparisons, not differences: of two infinite logits these are NaN.
    ties = jnp.sum((logits == own[..., None]).astype(logits.dtype), axis=-1)
    return jnp.where(own >= other, 1 / jnp.maximum(ties, 1), jnp.zeros((), logits.dtype))


def multiclass_margins(
    logits: Float[Array, "*batch n classes"], labels: Shaped[Array, " n"]
) -> Float[Array, "*batch n"]:
    """z_y − max_{j ≠ y} z_j of each sample: by how much the label's logit leads, negative where it does not."""
    own, other = _own_and_best_other(logits, labels)
    return own - other


def _own_and_best_other(logits, labels):
    classes = jnp.arange(logits.shape[-1], dtype=labels.dtype)
    right = jnp.broadcast_to(classes[None, :] == labels[:, None], logits.shape)
    own = jnp.max(logits, axis=-1, where=right, initial=-jnp.inf)
    return own, jnp.max(logits, axis=-1, where=~right, initial=-jnp.inf)


def _mean_loss(apply, value, inputs, labels, params):
    return jnp.mean(jax.vmap(lambda x, y: value(apply(params, x), y))(inputs, labels))


def _log_mean_loss(apply, log_value, inputs, labels, params):
    logs = jax.vmap(lambda x, y: log_value(apply(params, x), y))(inputs, labels)
    return jax.nn.logsumexp(logs) - jnp.log(jnp.asarray(logs.size, logs.dtype))


def _margin(output, label):
    return output * jnp.asarray(label).astype(output.dtype)


def _log_softplus(x):
    """log log(1 + e^x): equal to x far below zero, where log(1 + e^x) itself underflows."""
    # Both branches stay finite for every x, so that the unused one cannot poison a derivative.
    threshold = -15.0 if x.dtype == jnp.float32 else -35.0
    middle = jnp.where(x < threshold, threshold, x)
    return jnp.where(x < threshold, x, jnp.log(jax.nn.softplus(middle)))


def _others_against_label(output, label):
    """log Σ_{j ≠ y} e^(z_j − z_y): the negative margin of a multi-class output."""
    return jax.nn.logsumexp(jnp.where(_is_label(output, label), -jnp.inf, output - output[label]))


def _from_one_hot(output, label):
    return output - _is_label(output, label).astype(output.dtype)


def _is_label(output, label):
    return jnp.arange(output.shape[-1], dtype=jnp.asarray(label).dtype) == label


def _log_mean_square(residual):
    total = jnp.mean(jnp.square(residual))
    # log 0 = −∞ with slope 0: in a mean over samples a fitted one has no weight, and ∞·0 must not arise.
    fitted = total == 0
    return jnp.where(fitted, -jnp.inf, jnp.log(jnp.where(fitted, 1, total)))


logistic = Loss(
    "logistic",
    lambda output, label: jax.nn.softplus(-_margin(output, label)),
    lambda output, label: _log_softplus(-_margin(output, label)),
)
"""ℓ = log(1 + e^(−yf)), labels ±1."""

exponential = Loss(
    "exponential",
    lambda output, label: jnp.exp(-_margin(output, label)),
    lambda output, label: -_margin(output, label),
)
"""ℓ = e^(−yf), labels ±1: the loss of the theorems."""

squared = Loss(
    "squared",
    lambda output, label: jnp.square(output - jnp.asarray(label).astype(output.dtype)),
    lambda output, label: _log_mean_square(output - jnp.asarray(label).astype(output.dtype)),
)
"""ℓ = (f − y)², no ½, real labels."""

cross_entropy = Loss(
    "cross_entropy",
    lambda output, label: jax.nn.softplus(_others_against_label(output, label)),
    lambda output, label: _log_softplus(_others_against_label(output, label)),
)
"""ℓ = −log softmax(z)_y, logits z of shape (classes,), integer labels."""

one_hot_squared = Loss(
    "one_hot_squared",
    lambda output, label: jnp.mean(jnp.square(_from_one_hot(output, label))),
    lambda output, label: _log_mean_square(_from_one_hot(output, label)),
)
"""ℓ = Σ_c (z_c − 1[c = y])²/classes, z of shape (classes,), integer labels: the squared loss of classification."""
