"""The reduction of W = UUᵀ − VVᵀ to Gram increments against the flow of U and V, and both against theory."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import theory
from grokjax import flows, losses
from grokjax.flows import RKC2, Status, factorization_flow, gradient_flow, solve

D, DECAY = 5, 0.02
# One entry with its mirror, two without, one on the diagonal, and a row that nothing touches but them.
INDICES = jnp.asarray([[0, 1], [1, 0], [2, 2], [0, 3], [4, 1], [3, 2]])
# Of both signs of eigenvalue, and as labels.
VALUES = jnp.asarray([0.7, 0.7, -0.5, 0.4, 0.9, -0.3])
LABELS = jnp.sign(VALUES)
# Times recorded in each test: equal shapes share a compilation.
T = 10


def identities(alpha):
    return alpha * jnp.eye(D), alpha * jnp.eye(D)


def random_factors():
    draws = jax.random.normal(jax.random.key(3), (2, D, D))
    return draws[0], draws[1] / 2


def product(theta):
    u, v = theta
    return u @ jnp.swapaxes(u, -1, -2) - v @ jnp.swapaxes(v, -1, -2)


def mean_square(theta):
    return jnp.mean(jnp.square(product(theta)[INDICES[:, 0], INDICES[:, 1]] - VALUES))


def full(start, times, rtol):
    return solve(gradient_flow(mean_square, DECAY), start, times, rtol=rtol)


def labels(loss):
    return LABELS if loss is losses.logistic else VALUES


def reduced(start, times, rtol, loss=losses.squared):
    flow, state = factorization_flow(INDICES, labels(loss), *start, weight_decay=DECAY, loss=loss)
    return solve(flow, state, times, solver=RKC2(), rtol=rtol)


def norms(matrices):
    return jnp.linalg.norm(matrices, axis=(-2, -1))


def largest_relative_error(got, expected):
    return float(jnp.max(norms(got - expected) / norms(expected)))


def allowed_of_full(run, rtol):
    """Error of W, relative, that rtol·‖θ‖ a step makes: δ(UUᵀ − VVᵀ) is at most 2‖θ‖·‖δθ‖."""
    square = norms(run.observed[0]) ** 2 + norms(run.observed[1]) ** 2
    return 2 * rtol * int(run.statistics.accepted) * float(jnp.max(square / norms(product(run.observed))))


@pytest.mark.parametrize("start", [identities(6.0), random_factors()], ids=["identities", "random"])
def test_it_is_the_flow_of_all_parameters_through_the_switch(start):
    times, rtol, fine = jnp.linspace(0.05, 3, T) * math.log(6) / DECAY, 1e-6, 1e-9
    expected, run = full(start, times, fine), reduced(start, times, rtol)
    assert int(expected.status) == int(run.status) == Status.SUCCESS
    allowed = rtol * int(run.statistics.accepted) + allowed_of_full(expected, fine)
    # That the comparison can fail: a digit of W would be lost at a hundredfold.
    assert allowed < 1e-2
    assert largest_relative_error(run.observed.weights, product(expected.observed)) < allowed
    u, v = expected.observed
    np.testing.assert_allclose(run.observed.norm, jnp.hypot(norms(u), norms(v)), rtol=allowed)


@pytest.mark.parametrize("start", [identities(6.0), random_factors()], ids=["identities", "random"])
def test_the_flow_of_all_parameters_keeps_the_conserved_law(start):
    """UᵀV = U₀ᵀV₀ e^(−2λt) from any start; for U₀ = V₀ = αI that is α² e^(−2λt) I."""
    times, rtol = jnp.linspace(0.05, 1, T) * math.log(6) / DECAY, 1e-8
    run = full(start, times, rtol)
    u, v = run.observed
    kept = jnp.swapaxes(u, 1, 2) @ v
    law = jnp.exp(-2 * DECAY * times)[:, None, None] * (start[0].T @ start[1])[None]
    scale = jnp.square(jnp.hypot(norms(u), norms(v)))
    assert float(jnp.max(norms(kept - law) / scale)) < rtol * int(run.statistics.accepted)
    # What weight decay alone would keep: the fit breaks it.
    gram = jnp.swapaxes(u, 1, 2) @ u
    unlawful = jnp.exp(-2 * DECAY * times)[:, None, None] * (start[0].T @ start[0])[None]
    assert float(jnp.max(norms(gram - unlawful) / scale)) > 1e-2


def test_with_only_the_diagonal_observed_it_is_a_diagonal_network():
    """Eigenvalues of W then move by themselves, as the weights of a two-layer diagonal net on one-hot inputs."""
    alpha, rtol, loss = 30.0, 1e-6, losses.logistic
    places, targets = jnp.asarray([0, 1, 2, 3, 4, 0]), jnp.asarray([1.0, -1.0, 1.0, 1.0, -1.0, 1.0])
    times = jnp.linspace(0.05, 2, T) * math.log(alpha) / DECAY
    on_diagonal = jnp.stack([places, places], axis=1)
    flow, state = factorization_flow(on_diagonal, targets, *identities(alpha), weight_decay=DECAY, loss=loss)
    run = solve(flow, state, times, solver=RKC2(), rtol=rtol)
    options = {"initial_norm": alpha * math.sqrt(2 * D), "weight_decay": DECAY, "loss": loss}
    net_flow, net_state = flows.diagonal_flow(jnp.eye(D)[places], targets, **options)
    net = solve(net_flow, net_state, times, solver=RKC2(), rtol=rtol)
    allowed = rtol * (int(run.statistics.accepted) + int(net.statistics.accepted))
    diagonals = jax.vmap(jnp.diag)(net.observed.weights)
    assert largest_relative_error(run.observed.weights, diagonals) < allowed
    np.testing.assert_allclose(run.observed.norm, net.observed.norm, rtol=allowed)


@pytest.mark.parametrize("alpha", [10.0, 30.0, 100.0])
def test_the_kernel_phase_completes_with_zeros(alpha):
    """Corollary 3.11: W is the target on Ω ∪ Ωᵀ and 0 elsewhere, to the order of (α e^(−λt))^(−2)."""
    scales = alpha ** jnp.linspace(0.75, 0.5, T)
    run = reduced(identities(alpha), jnp.log(alpha / scales) / DECAY, 1e-7)
    rows, columns = INDICES.T
    filled = jnp.zeros((D, D)).at[rows, columns].set(VALUES).at[columns, rows].set(VALUES)
    errors = norms(run.observed.weights - filled[None])
    # Second order in the coupling: W + W(W²)/(12 s⁴) off Ω, and the residual λW/(4 s²)·n on it, of which ‖W‖ ≈ 2.
    assert np.all(np.asarray(errors) < 2 / np.asarray(scales) ** 2)
    assert np.all(np.asarray(errors) > 0)


@pytest.mark.parametrize("alpha", [1e-3, 1.0, 1e2])
def test_it_ends_at_the_regularised_solution_from_a_scale_of_any_size(alpha):
    limit = theory.nuclear_norm.regularised(np.asarray(INDICES), np.asarray(VALUES), D, DECAY)
    run = reduced(identities(alpha), jnp.linspace(200, 2000, T) / DECAY, 1e-6)
    assert int(run.status) == Status.SUCCESS
    weights = np.asarray(run.observed.weights[-1])
    # So few entries leave a face of minimisers: unique are the observed entries and ‖W‖_*, not the rest of W.
    fitted, least = (w[tuple(np.asarray(INDICES).T)] for w in (weights, limit.weights))
    # Distances are square roots of gaps, of 1e-8 at most.
    np.testing.assert_allclose(fitted, least, rtol=0, atol=1e-4)
    assert np.linalg.norm(weights, "nuc") == pytest.approx(limit.nuclear_norm, rel=1e-4)
    assert float(run.observed.norm[-1]) == pytest.approx(limit.parameter_norm, rel=1e-4)


def test_in_time_after_log_alpha_flows_from_all_large_scales_are_one():
    """With the logistic loss, whose stiffness is the output margin's: log α and not α²."""
    after = jnp.linspace(-1, 6, T)
    runs = [
        reduced(identities(alpha), (math.log(alpha) + after) / DECAY, 1e-6, losses.logistic)
        for alpha in (1e3, 1e30, 1e140)
    ]
    assert [int(run.status) for run in runs] == [Status.SUCCESS] * 3
    for run in runs[1:]:
        assert largest_relative_error(run.observed.weights, runs[0].observed.weights) < 1e-4


def test_it_runs_under_vmap_over_values_scales_and_decays():
    alphas, decays = jnp.asarray([3.0, 10.0, 30.0]), jnp.asarray([0.1, 0.02, 0.05])
    values = VALUES[None] * jnp.asarray([1.0, 0.5, 2.0])[:, None]

    after = jnp.linspace(0.5, 5, T)

    def run(values, alpha, decay):
        flow, state = factorization_flow(INDICES, values, *identities(alpha), weight_decay=decay)
        return solve(flow, state, (jnp.log(alpha) + after) / decay, solver=RKC2(), rtol=1e-5)

    batch = jax.jit(jax.vmap(run))(values, alphas, decays)
    assert batch.status.tolist() == [0, 0, 0]
    for i in range(3):
        alone = run(values[i], alphas[i], decays[i])
        # A batch takes the largest number of stages in it, and other numbers make other errors of 1e-5 a step.
        allowed = 1e-5 * (int(alone.statistics.accepted) + int(batch.statistics.accepted[i]))
        assert largest_relative_error(batch.observed.weights[i], alone.observed.weights) < allowed


def test_an_observed_pair_may_be_listed_in_either_order():
    times = jnp.linspace(0.5, 2, T) * math.log(10) / DECAY
    runs = []
    for indices in (INDICES, INDICES[:, ::-1]):
        flow, state = factorization_flow(indices, VALUES, *identities(10.0), weight_decay=DECAY)
        runs.append(solve(flow, state, times, solver=RKC2(), rtol=1e-6).observed.weights)
    np.testing.assert_allclose(runs[1], runs[0], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(runs[0], jnp.swapaxes(runs[0], 1, 2), rtol=0, atol=1e-12)


@pytest.mark.usefixtures("unchecked_types")
@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"indices": jnp.ones((2, 3), int)}, r"indices must have shape \(n, 2\), got \(2, 3\)"),
        ({"indices": jnp.asarray([[0, 1], [2, 0]])}, r"indices must lie in 0\.\.1, got 0\.\.2"),
        ({"indices": jnp.asarray([[0, 1], [-1, 0]])}, r"indices must lie in 0\.\.1, got -1\.\.1"),
        ({"values": jnp.ones(3)}, r"labels must have shape \(2,\), one per sample, got \(3,\)"),
        ({"values": jnp.asarray([1.0, jnp.nan])}, "values must be finite"),
        ({"indices": jnp.ones((0, 2), int), "values": jnp.ones(0)}, "at least one sample"),
        ({"u": jnp.ones((3, 2))}, r"u and v must be matrices with d rows each, got shapes \(3, 2\) and \(2, 2\)"),
        ({"u": jnp.ones(2)}, "u and v must be matrices"),
        ({"v": jnp.full((2, 2), jnp.inf)}, "v must be finite"),
        ({"weight_decay": -1.0}, "weight_decay must be finite and at least 0, got -1.0"),
    ],
)
def test_bad_arguments_are_named(arguments, complaint):
    valid = {"indices": jnp.asarray([[0, 1], [1, 1]]), "values": jnp.ones(2), "u": jnp.eye(2), "v": jnp.eye(2)}
    arguments = valid | arguments
    entries = [arguments.pop(name) for name in ("indices", "values", "u", "v")]
    with pytest.raises(ValueError, match=complaint):
        factorization_flow(*entries, **arguments)
