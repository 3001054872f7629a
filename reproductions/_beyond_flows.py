"""Trainings that the dichotomy paper (Lyu et al., arXiv 2311.18817) leaves open: starts, scales, depths and optimisers of small networks.

Every function takes arrays with the data sets along the first axis and runs them in one compiled program, which a new value of a scale,
a decay or a learning rate does not compile again. What they return are plain curves; claims are made elsewhere.

A diagonal net of depth 2 that starts at u = a e^(r₀/2), v = a e^(−r₀/2) keeps u v = s², s = a e^(−λt), in every coordinate, and

    log(u/v) = r₀ + 4 Xᵀq,        w = 2 s² sinh(r₀ + 4 Xᵀq),        q' = −(1/n) ∂ℓ/∂f,        q(0) = 0

so that any start with equal products, the symmetric one, a perturbed one or one in the middle of a run, is a pair (a, r₀).
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.tree_util import Partial

import grokjax as gj


class Curves(NamedTuple):
    """Weights (seeds, T, d), evaluations of the vector field (seeds,), and status (seeds,)."""

    weights: np.ndarray
    evaluations: np.ndarray
    status: np.ndarray


def diagonal(inputs, labels, log_scale, ratios, decay, times, rtol) -> Curves:
    """Depth 2 from the scale a and the log-ratios r₀ (seeds, d); log a a number or one a seed, times (T,) or (seeds, T)."""
    seeds = len(labels)
    log_scale, decay = (np.broadcast_to(np.asarray(x, float), seeds) for x in (log_scale, decay))
    times = np.broadcast_to(times, (seeds, np.shape(times)[-1]))
    ratios = np.broadcast_to(ratios, (seeds, inputs.shape[-1]))
    return Curves(*map(np.asarray, _diagonal(inputs, labels, log_scale, ratios, decay, times, rtol)))


@jax.jit
def _diagonal(inputs, labels, log_scale, ratios, decay, times, rtol):
    def one(inputs, labels, log_scale, ratios, decay, times):
        # |4 x_k·q| ≤ 4‖x_k‖‖q‖: past the kernel phase errors are relative to 1 in the log-ratio.
        limit = 1 / (4 * jnp.sqrt(jnp.max(jnp.sum(jnp.square(inputs), axis=0))))
        state = inputs, labels, log_scale, ratios, decay
        flow = gj.flows.Flow(Partial(_push, *state), Partial(_weights, *state), Partial(_limited, limit))
        solution = gj.flows.solve(flow, jnp.zeros(labels.shape), times, solver=gj.flows.RKC2(), rtol=rtol)
        return solution.observed, solution.statistics.gradient_evaluations, solution.status

    return jax.vmap(one)(inputs, labels, log_scale, ratios, decay, times)


def _weights(inputs, labels, log_scale, ratios, decay, t, q):
    del labels
    ratio = ratios + 4 * q @ inputs
    # 2 sinh r = ±e^|r| (1 − e^(−2|r|)): late, neither e^|r| nor s² fits into a float.
    size = jnp.abs(ratio)
    return jnp.sign(ratio) * jnp.exp(2 * (log_scale - decay * t) + size) * -jnp.expm1(-2 * size)


def _push(inputs, labels, log_scale, ratios, decay, t, q):
    outputs = inputs @ _weights(inputs, labels, log_scale, ratios, decay, t, q)
    return labels * jax.nn.sigmoid(-labels * outputs) / labels.size


def _limited(limit, q):
    return jnp.minimum(jnp.linalg.norm(q), limit)


def deep_diagonal(inputs, labels, depth: int, log_scale, decay, times, rtol) -> Curves:
    """Depth L from the symmetric start at scale a; arguments as for `diagonal`."""
    seeds = len(labels)
    log_scale, decay = (np.broadcast_to(np.asarray(x, float), seeds) for x in (log_scale, decay))
    times = np.broadcast_to(times, (seeds, np.shape(times)[-1]))
    return Curves(*map(np.asarray, _deep_diagonal(inputs, labels, depth, log_scale, decay, times, rtol)))


@functools.partial(jax.jit, static_argnums=2)
def _deep_diagonal(inputs, labels, depth, log_scale, decay, times, rtol):
    def one(inputs, labels, log_scale, decay, times):
        norm = jnp.exp(log_scale) * np.sqrt(2 * inputs.shape[1])
        flow, start = gj.flows.diagonal_flow(inputs, labels, depth=depth, initial_norm=norm, weight_decay=decay)
        observe = lambda t, net: net.weights
        solution = gj.flows.solve(flow, start, times, observe=observe, solver=gj.flows.RKC2(), rtol=rtol)
        return solution.observed, solution.statistics.gradient_evaluations, solution.status

    return jax.vmap(one)(inputs, labels, log_scale, decay, times)


def optimiser(kind: str, inputs, labels, scale, learning_rate, decay, eps, stride, records: int) -> np.ndarray:
    """Weights (seeds, records, d) of discrete training of u and v from the scale a, recorded every so many steps.

    Kinds: "momentum" (heavy ball, β = 0.9, decay coupled), "adam" (decay coupled: an L2 penalty in the gradient) and "adamw" (decay
    decoupled). Both Adams have β = 0.9, 0.999 and ε = 1e-8.
    """
    arguments = (jnp.asarray(x, float) for x in (scale, learning_rate, decay, eps))
    return np.asarray(_optimiser(kind, inputs, labels, *arguments, stride, records))


@functools.partial(jax.jit, static_argnums=(0, 8))
def _optimiser(kind, inputs, labels, scale, learning_rate, decay, eps, stride, records):
    if kind == "momentum":
        transform = optax.chain(optax.add_decayed_weights(decay), optax.sgd(learning_rate, momentum=0.9))
    elif kind == "adam":
        transform = optax.chain(optax.add_decayed_weights(decay), optax.adam(learning_rate, eps=eps))
    else:
        transform = optax.adamw(learning_rate, eps=eps, weight_decay=decay)

    def one(inputs, labels):
        risk = gj.losses.empirical_risk(gj.models.diagonal_linear(2).apply, gj.losses.logistic, inputs, labels)

        def step(_, carry):
            params, state = carry
            updates, state = transform.update(jax.grad(risk)(params), state, params)
            return optax.apply_updates(params, updates), state

        def record(carry, _):
            carry = jax.lax.fori_loop(0, stride, step, carry)
            return carry, carry[0].u ** 2 - carry[0].v ** 2

        start = gj.models.DiagonalParams(*[jnp.full(inputs.shape[1], scale)] * 2)
        return jax.lax.scan(record, (start, transform.init(start)), length=records)[1]

    return jax.vmap(one)(inputs, labels)


class NetCurves(NamedTuple):
    """Parameters at every recorded time, leaves (seeds, T, ...), evaluations, accepted steps and status (seeds,)."""

    params: Any
    evaluations: np.ndarray
    steps: np.ndarray
    status: np.ndarray


def network(width: int, inputs: int, activation: Any) -> gj.models.Model:
    """The difference of two copies of a two-layer net with biases, zero at the start wherever that is."""
    return gj.models.antisymmetric(gj.models.two_layer(width, inputs, activation=activation))


class NetData(NamedTuple):
    """Inputs (seeds, n, k) and labels ±1 (seeds, n), of training and of test."""

    inputs: Any
    labels: Any
    test_inputs: Any
    test_labels: Any


def network_flow(model: gj.models.Model, data: NetData, params, decay, tau, rtol) -> NetCurves:
    """The flow of all parameters from `params` (leaves (seeds, ...)), recorded at the scaled times τ (T,)."""
    return NetCurves(*_network_flow(model.apply, *data[:2], params, jnp.asarray(decay, float), tau, rtol))


@functools.partial(jax.jit, static_argnums=0)
def _network_flow(apply, inputs, labels, params, decay, tau, rtol):
    def one(inputs, labels, params):
        flow = gj.flows.gradient_flow(gj.losses.empirical_risk(apply, gj.losses.logistic, inputs, labels), decay)
        clock = gj.flows.scaled_clock(decay)
        solution = gj.flows.solve(flow, params, tau, clock=clock, solver=gj.flows.RKC2(), rtol=rtol)
        cost = solution.statistics
        return solution.observed, cost.gradient_evaluations, cost.accepted, solution.status

    return jax.vmap(one)(inputs, labels, params)


class NetReadings(NamedTuple):
    """Of parameters at every time, (seeds, T) each: see `network_readings`."""

    cosine: np.ndarray
    accuracy: np.ndarray
    fit: np.ndarray
    balance: np.ndarray
    stationarity: np.ndarray


def network_readings(model: gj.models.Model, power: int, data: NetData, params, start, decay) -> NetReadings:
    """Cosine of θ to the start; test and train accuracy; error of the balance law; cosine of θ to −∇𝓛.

    A neuron φ(⟨w, x⟩ + b) with output weight c and φ of degree p obeys d/dt(‖w‖² + b² − p c²) = −2λ(‖w‖² + b² − p c²); the error
    of that is of the vector field at θ, over λ‖θ‖².
    """
    readings = _network_readings(model, power, *data, params, start, jnp.asarray(decay, float))
    return NetReadings(*map(np.asarray, readings))


@functools.partial(jax.jit, static_argnums=(0, 1))
def _network_readings(model, power, inputs, labels, test_inputs, test_labels, params, start, decay):
    def flat(tree):
        return jnp.concatenate([jnp.ravel(leaf) for leaf in jax.tree.leaves(tree)])

    def cosine(a, b):
        a, b = flat(a), flat(b)
        return a @ b / (jnp.linalg.norm(a) * jnp.linalg.norm(b))

    def one(inputs, labels, test_inputs, test_labels, params, start):
        flow = gj.flows.gradient_flow(gj.losses.empirical_risk(model.apply, gj.losses.logistic, inputs, labels), decay)
        outputs = lambda theta, x: jax.vmap(lambda x: model.apply(theta, x))(x)

        def at(theta):
            velocity = flow.vector_field(jnp.zeros(()), theta)
            # ½ d/dt of the squares, neuron by neuron and copy by copy.
            product = jax.tree.map(lambda p, v: p * v + decay * p * p, theta, velocity)
            errors = [jnp.sum(c.first, axis=1) + c.bias - power * c.second for c in product]
            descent = jax.tree.map(lambda p, v: v + decay * p, theta, velocity)
            return (
                cosine(theta, start),
                gj.losses.accuracy(outputs(theta, test_inputs), test_labels),
                gj.losses.accuracy(outputs(theta, inputs), labels),
                jnp.max(jnp.abs(jnp.stack(errors))) / (decay * jnp.sum(flat(theta) ** 2)),
                cosine(theta, descent),
            )

        return jax.lax.map(at, params)

    return jax.vmap(one)(inputs, labels, test_inputs, test_labels, params, start)
