"""What the reproductions of modular addition share: the task as one flow, and what is read off it on the way."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.tree_util import Partial

import grokjax as gj


class Task(NamedTuple):
    """Modular addition with a two-layer network.

    Attributes:
        model: products in float32, logits in float64: the products need no more, the loss would underflow in less.
        data: all p² pairs, split.
    """

    model: gj.models.Model
    data: gj.data.ModularData


def modular_task(key: jax.Array, modulus: int, train_fraction: float, width: int, activation: Any = "relu") -> Task:
    """The task and its network, two concatenated one-hot vectors in and a logit for each number out."""
    network = gj.models.two_layer(width, 2 * modulus, modulus, activation)
    return Task(
        network._replace(apply=Partial(_mixed, Partial(network.apply))),
        gj.data.modular_addition(key, modulus, train_fraction),
    )


def seeded(
    seed: int, modulus: int, train_fraction: float, width: int, last_layer: str, scale: float
) -> tuple[Task, gj.models.TwoLayerParams]:
    """Task and initial weights of a seed; the same first layer and the same pairs for every scale and last layer."""
    key_data, key_weights = jax.random.split(jax.random.key(seed))
    task = modular_task(key_data, modulus, train_fraction, width)
    return task, task.model.init(key_weights, scale, last_layer)


@jax.jit
def solve(task_flow: gj.flows.Flow, initial, readings, clock, observe, rtol) -> gj.flows.Solution:
    """One run; new weights, λ, times and tolerances compile nothing."""
    return gj.flows.solve(
        task_flow,
        initial,
        readings,
        observe=observe,
        solver=gj.flows.RKC2(),
        rtol=rtol,
        clock=clock,
        max_steps=10**6,
    )


def train_risk(task: Task) -> Partial:
    """Mean cross-entropy on the training pairs."""
    return gj.losses.empirical_risk(
        task.model.apply, gj.losses.cross_entropy, task.data.train_inputs, task.data.train_labels
    )


def flow(task: Task, weight_decay: jax.Array | float) -> gj.flows.Flow:
    """The gradient flow on the training pairs; errors count relative to the smaller layer, on which the logits hang."""
    return gj.flows.gradient_flow(train_risk(task), weight_decay, size=smaller_layer)


def smaller_layer(params: gj.models.TwoLayerParams) -> jax.Array:
    """min(‖(W₁, b₁)‖, ‖W₂‖)."""
    return jnp.minimum(*layer_norms(params))


def layer_norms(params: gj.models.TwoLayerParams) -> tuple[jax.Array, jax.Array]:
    """‖(W₁, b₁)‖ and ‖W₂‖."""
    return gj.flows.tree_norm((params.first, params.bias)), gj.flows.tree_norm(params.second)


def observer(task: Task) -> Partial:
    """`observe(t, params)` for `solve`: curves by name; test and train are read at the same parameters."""
    return Partial(_observe, task.model.apply, task.model.degree, task.data)


def _mixed(apply, params, x):
    return apply(jax.tree.map(lambda p: p.astype(jnp.float32), params), x).astype(jnp.float64)


def _observe(apply, degree, data, t, params) -> dict[str, jax.Array]:
    del t

    def log_risk(params):
        """log 𝓛, whose gradient has the direction of that of 𝓛 and does not underflow."""
        logits = jax.vmap(lambda x: apply(params, x))(data.train_inputs)
        logs = jax.vmap(gj.losses.cross_entropy.log_value)(logits, data.train_labels)
        return jax.nn.logsumexp(logs) - jnp.log(jnp.asarray(logs.size, logs.dtype)), logits

    (log_loss, logits), gradient = jax.value_and_grad(log_risk, has_aux=True)(params)
    test_logits = jax.vmap(lambda x: apply(params, x))(data.test_inputs)
    first, second = layer_norms(params)
    norm, slope = jnp.hypot(first, second), gj.flows.tree_norm(gradient)
    # ⟨θ, ∇⟩ layer by layer: homogeneous layers have equal ones, whatever is taken for a derivative at a kink.
    along = jax.tree.map(jnp.vdot, params, gradient)
    along_first, along_second = along.first + along.bias, along.second
    cosine = -(along_first + along_second) / (norm * slope)
    return {
        "train_loss": jnp.exp(log_loss),
        "test_loss": jnp.mean(jax.vmap(gj.losses.cross_entropy.value)(test_logits, data.test_labels)),
        "train_accuracy": gj.losses.multiclass_accuracy(logits, data.train_labels),
        "test_accuracy": gj.losses.multiclass_accuracy(test_logits, data.test_labels),
        "parameter_norm": norm,
        "layer_imbalance": (first - second) * (first + second),
        "imbalance_of_field": (along_first - along_second) / (norm * slope),
        "margin": smallest_margin(logits, data.train_labels) / norm**degree,
        # That of `analysis.margin_kkt`, and its continuation to where not all samples are fitted.
        "kkt_stationarity": jnp.sqrt(1 - jnp.clip(cosine, 0, 1) ** 2),
    }


def smallest_margin(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Smallest lead of a label's logit over the best of the others."""
    right = jnp.arange(logits.shape[-1], dtype=labels.dtype)[None, :] == labels[:, None]
    own = jnp.max(logits, axis=-1, where=right, initial=-jnp.inf)
    best_other = jnp.max(logits, axis=-1, where=~right, initial=-jnp.inf)
    return jnp.min(own - best_other)
