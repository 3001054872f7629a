"""Optimisers as pytrees: what differs between cells is a leaf and may be traced; what does not is static.

Weight decay has two meanings, and two names: `decoupled_weight_decay` w shrinks the parameters by the factor 1 − ηw a
step, whatever the gradient; `weight_decay` λ is coupled, and adds λθ to the gradient, as (λ/2)‖θ‖² in the loss does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jax.tree_util import Partial

from grokjax._checks import Scalar, is_concrete

__all__ = ["SGD", "Adam", "AdamW", "Optimiser", "warm_up"]

Rate = Scalar | Callable[[Any], Any]


class Optimiser(eqx.Module):
    """What `train` takes: something that makes an optax transformation for parameters of a dtype.

    A subclass has the fields that may be traced as leaves, the others static.
    """

    def transformation(self, dtype: Any) -> optax.GradientTransformation:
        """The update rule; hyper-parameters are cast to `dtype`, that of the parameters."""
        raise NotImplementedError


class AdamW(Optimiser):
    """Adam with decoupled decay: θ ← θ − η (m̂/(√v̂ + ε) + wθ).

    Attributes:
        learning_rate: η > 0, or a schedule `step -> η`, the first step being number 0.
        decoupled_weight_decay: w ≥ 0.
        b1, b2, eps: of the moments; static.
        clip: largest norm of the gradient, or None.

    References:
        Loshchilov and Hutter, arXiv 1711.05101.
    """

    learning_rate: Rate
    decoupled_weight_decay: Scalar = 0.0
    b1: float = eqx.field(static=True, default=0.9)
    b2: float = eqx.field(static=True, default=0.98)
    eps: float = eqx.field(static=True, default=1e-8)
    clip: Scalar | None = None

    def __check_init__(self) -> None:
        _check(self, "decoupled_weight_decay")

    def transformation(self, dtype: Any) -> optax.GradientTransformation:
        return _rule(self, dtype, _moments(self), _decay(self.decoupled_weight_decay, dtype))


class Adam(Optimiser):
    """Adam on the loss with coupled decay: the moments are those of ∇𝓛 + λθ.

    Attributes:
        learning_rate, b1, b2, eps, clip: as of `AdamW`; the gradient is clipped before the decay is added.
        weight_decay: λ ≥ 0.
    """

    learning_rate: Rate
    weight_decay: Scalar = 0.0
    b1: float = eqx.field(static=True, default=0.9)
    b2: float = eqx.field(static=True, default=0.98)
    eps: float = eqx.field(static=True, default=1e-8)
    clip: Scalar | None = None

    def __check_init__(self) -> None:
        _check(self, "weight_decay")

    def transformation(self, dtype: Any) -> optax.GradientTransformation:
        return _rule(self, dtype, _decay(self.weight_decay, dtype), _moments(self))


class SGD(Optimiser):
    """Gradient descent with coupled decay and momentum: m ← μm + ∇𝓛 + λθ, θ ← θ − ηm.

    Attributes:
        learning_rate, clip: as of `AdamW`; the gradient is clipped before the decay is added.
        weight_decay: λ ≥ 0.
        momentum: μ in [0, 1); static.
    """

    learning_rate: Rate
    weight_decay: Scalar = 0.0
    momentum: float = eqx.field(static=True, default=0.0)
    clip: Scalar | None = None

    def __check_init__(self) -> None:
        _check(self, "weight_decay")
        if not 0 <= self.momentum < 1:
            raise ValueError(f"momentum must be at least 0 and below 1, got {self.momentum}")

    def transformation(self, dtype: Any) -> optax.GradientTransformation:
        trace = _flushed(optax.trace(self.momentum)) if self.momentum else optax.identity()
        return _rule(self, dtype, _decay(self.weight_decay, dtype), trace)


def warm_up(learning_rate: Scalar, steps: int) -> Partial:
    """The schedule that rises linearly to η over the first `steps` updates, the first of which is η/steps."""
    return Partial(_warm, learning_rate, steps)


def _warm(learning_rate, steps, step):
    share = jnp.minimum((step + 1).astype(jnp.float32) / jnp.asarray(steps, jnp.float32), 1)
    return jnp.asarray(learning_rate, jnp.float32) * share


def _rate(rate: Any, dtype: Any) -> Any:
    return (lambda step: jnp.asarray(rate(step), dtype)) if callable(rate) else jnp.asarray(rate, dtype)


def _check(optimiser: Any, decay: str) -> None:
    """Refuse concrete numbers that make no sense; a module is also rebuilt with tracers, and with None and objects."""
    for name, strict in (("learning_rate", True), (decay, False), ("clip", True)):
        value = getattr(optimiser, name)
        if not isinstance(value, Scalar) or not is_concrete(value) or jnp.ndim(value) > 0:
            continue
        if not (float(value) > 0 if strict else float(value) >= 0) or float(value) == float("inf"):
            raise ValueError(f"{name} must be {'positive' if strict else 'at least 0'} and finite, got {value}")


def _rule(optimiser: Any, dtype: Any, *parts: optax.GradientTransformation) -> optax.GradientTransformation:
    """What all rules share around their parts: the gradient is clipped first, and the learning rate comes last."""
    clip, rate = optimiser.clip, _rate(optimiser.learning_rate, dtype)
    clipped = optax.identity() if clip is None else optax.clip_by_global_norm(jnp.asarray(clip, dtype))
    return optax.chain(clipped, *parts, optax.scale_by_learning_rate(rate))


def _decay(decay: Scalar, dtype: Any) -> optax.GradientTransformation:
    return optax.add_decayed_weights(jnp.asarray(decay, dtype))


def _moments(optimiser: AdamW | Adam) -> optax.GradientTransformation:
    return _flushed(optax.scale_by_adam(b1=optimiser.b1, b2=optimiser.b2, eps=optimiser.eps))


def _flushed(inner: optax.GradientTransformation) -> optax.GradientTransformation:
    """The same with moments below the smallest normal number set to 0: on denormals a CPU is several times slower."""

    def flush(x):
        if not jnp.issubdtype(x.dtype, jnp.floating):
            return x
        return jnp.where(jnp.abs(x) < jnp.finfo(x.dtype).tiny, jnp.zeros((), x.dtype), x)

    def update(updates, state, params=None):
        # optax raises a float to the power of an integer count, which strict promotion refuses.
        with jax.numpy_dtype_promotion("standard"):
            updates, state = inner.update(updates, state, params)
        return updates, jax.tree.map(flush, state)

    return optax.GradientTransformation(inner.init, update)
