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


def imbalance_of_field(apply, data: gj.data.ModularData, params: gj.models.TwoLayerParams) -> jax.Array:
    """(⟨(W₁, b₁), ∇𝓛⟩ − ⟨W₂, ∇𝓛⟩)/(‖θ‖‖∇𝓛‖): 0 for homogeneous layers, whatever is taken for a derivative at a kink."""
    risk = gj.losses.empirical_risk(apply, gj.losses.cross_entropy, data.train_inputs, data.train_labels)
    gradient = jax.grad(risk)(params)
    products = jax.tree.map(jnp.vdot, params, gradient)
    return (products.first + products.bias - products.second) / (
        gj.flows.tree_norm(params) * gj.flows.tree_norm(gradient)
    )


def _mixed(apply, params, x):
    return apply(jax.tree.map(lambda p: p.astype(jnp.float32), params), x).astype(jnp.float64)


def _observe(apply, degree, data, t, params) -> dict[str, jax.Array]:
    del t
    curves = {}
    for name, inputs, labels in (
        ("train", data.train_inputs, data.train_labels),
        ("test", data.test_inputs, data.test_labels),
    ):
        logits = jax.vmap(lambda x: apply(params, x))(inputs)
        curves[f"{name}_loss"] = jnp.mean(jax.vmap(gj.losses.cross_entropy.value)(logits, labels))
        curves[f"{name}_accuracy"] = gj.losses.multiclass_accuracy(logits, labels)
    kkt = gj.analysis.margin_kkt(apply, degree, params, data.train_inputs, data.train_labels, gj.losses.cross_entropy)
    first, second = layer_norms(params)
    return curves | {
        "imbalance_of_field": imbalance_of_field(apply, data, params),
        "parameter_norm": jnp.hypot(first, second),
        "layer_imbalance": (first - second) * (first + second),
        "margin": kkt.margin,
        # By its cosine, which exists also before all samples are fitted.
        "kkt_stationarity": jnp.sqrt(1 - jnp.clip(kkt.cosine, 0, 1) ** 2),
    }
