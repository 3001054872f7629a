"""Tangent kernels against dense Jacobians and the other package, and what moves them."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from grokjax import flows
from grokjax.analysis import empirical_ntk, kernel_alignment, kernel_distance, kernel_drift
from grokjax.losses import empirical_risk, logistic
from grokjax.models import DiagonalParams, diagonal_linear
from theory import kernel as theory_kernel

EPS = np.finfo(float).eps


def two_layer(params, x):
    first, outer = params["weights"], params["outer"]
    return jnp.dot(outer, jnp.tanh(first @ x))


def table(params, x):
    """Outputs of rank 2, 3 × 2 of them."""
    return jnp.outer(params["outer"][:3], jnp.tanh(params["weights"] @ x)[:2])


def drawn(seed, *shapes):
    generator = np.random.default_rng(seed)
    return [jnp.asarray(generator.normal(size=shape)) for shape in shapes]


def network(seed=0):
    weights, outer = drawn(seed, (6, 4), (6,))
    return {"weights": weights, "outer": outer}


INPUTS, OTHERS = drawn(1, (7, 4), (5, 4))
CASES = {
    "diagonal": (diagonal_linear(3).apply, DiagonalParams(*drawn(2, (4,), (4,)))),
    "two layers": (two_layer, network()),
    "several outputs": (table, network()),
}


def jacobian(apply, params, inputs):
    """Dense, forward mode: (n, outputs, P)."""
    outputs = lambda p: jax.vmap(lambda x: apply(p, x).ravel())(inputs)
    leaves = jax.tree.leaves(jax.jacfwd(outputs)(params))
    return np.concatenate([np.reshape(leaf, (*leaf.shape[:2], -1)) for leaf in leaves], axis=-1)


@pytest.mark.parametrize("batch_size", [1, 2, 5, 32])
@pytest.mark.parametrize("case", CASES)
def test_the_kernel_is_the_gram_matrix_of_the_dense_jacobian_however_it_is_cut(case, batch_size):
    apply, params = CASES[case]
    rows, columns = jacobian(apply, params, INPUTS), jacobian(apply, params, OTHERS)
    square = empirical_ntk(apply, params, INPUTS, batch_size=batch_size)
    cross = empirical_ntk(apply, params, INPUTS, OTHERS, batch_size=batch_size)
    for found, others in ((square, rows), (cross, columns)):
        expected = np.einsum("ikp,jkp->ij", rows, others)
        np.testing.assert_allclose(found, expected, rtol=0, atol=100 * EPS * np.max(np.abs(expected)))
    np.testing.assert_array_equal(square, square.T)


@pytest.mark.parametrize("case", ["diagonal", "two layers"])
def test_both_packages_have_the_same_kernel(case):
    apply, params = CASES[case]
    for others in (None, OTHERS):
        expected = theory_kernel.gram(apply, params, INPUTS, others)
        found = empirical_ntk(apply, params, INPUTS, others)
        np.testing.assert_allclose(found, expected, rtol=0, atol=100 * EPS * np.max(np.abs(expected)))


def test_single_precision_stays_and_one_call_compiles_for_all_parameters():
    traces = []

    def counted(params, x):
        traces.append(x.shape)
        return two_layer(params, x)

    params = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), network())
    inputs = INPUTS.astype(jnp.float32)
    assert empirical_ntk(counted, params, inputs, batch_size=7).dtype == jnp.float32
    before = len(traces)
    empirical_ntk(counted, jax.tree.map(lambda leaf: 2 * leaf, params), inputs, batch_size=7)
    assert len(traces) == before


def test_memory_does_not_grow_with_the_number_of_samples():
    """1000 gradients of 40,000 parameters would be 320 MB."""
    model = diagonal_linear(2)
    params = model.init(None, 20_000, 1.0)
    kernel = jax.jit(lambda p, x: empirical_ntk(model.apply, p, x, batch_size=4))
    inputs = jax.ShapeDtypeStruct((1000, 20_000), jnp.float32)
    memory = kernel.lower(params, inputs).compile().memory_analysis()
    assert memory is not None
    one_gradient, result = 2 * 20_000 * 8, 1000**2 * 8
    assert memory.temp_size_in_bytes < 100 * one_gradient + 5 * result


def test_kernels_of_many_parameters_are_those_of_each():
    weights, outer = drawn(3, (3, 6, 4), (3, 6))
    run = jax.jit(jax.vmap(lambda p: empirical_ntk(two_layer, p, INPUTS, batch_size=2)))
    together = run({"weights": weights, "outer": outer})
    for k in range(3):
        alone = empirical_ntk(two_layer, {"weights": weights[k], "outer": outer[k]}, INPUTS)
        np.testing.assert_allclose(together[k], alone, rtol=0, atol=100 * EPS * np.max(alone))


@pytest.mark.parametrize("depth", [2, 3, 5])
def test_scaling_a_homogeneous_model_scales_its_kernel_and_is_no_drift(depth):
    model = diagonal_linear(depth)
    params, scale = DiagonalParams(*drawn(4, (4,), (4,))), 1.7
    first = empirical_ntk(model.apply, params, INPUTS)
    scaled = empirical_ntk(model.apply, jax.tree.map(lambda leaf: scale * leaf, params), INPUTS)
    factor = scale ** (2 * (depth - 1))
    assert kernel_drift(scaled, first) <= (100 * EPS) ** 2
    np.testing.assert_allclose(kernel_distance(scaled, first), factor - 1, rtol=1e-13)


def test_the_kernel_phase_shrinks_the_kernel_and_does_not_turn_it():
    model, decay, times = diagonal_linear(2), 1e-2, np.asarray([0.0, 50.0, 150.0, 2000.0])
    labels = jnp.sign(INPUTS @ jnp.asarray([1.0, 0.2, -0.3, 0.1]))
    flow = flows.gradient_flow(empirical_risk(model.apply, logistic, INPUTS, labels), decay)
    observe = lambda t, params: empirical_ntk(model.apply, params, INPUTS)
    kernels = flows.solve(flow, model.init(None, 4, 100.0), times, observe=observe, rtol=1e-9).observed
    drift, distance = (measure(kernels, kernels[0]) for measure in (kernel_drift, kernel_distance))
    assert drift[0] == distance[0] == 0
    assert np.all(drift[1:3] < 1e-3)
    np.testing.assert_allclose(distance[1:3], 1 - np.exp(-2 * decay * times[1:3]), rtol=1e-2)
    assert drift[-1] > 0.03


def test_drift_is_one_minus_the_cosine_and_sees_what_the_cosine_cannot():
    a, b = drawn(5, (2, 3, 4, 4), (4, 4))
    found = kernel_drift(a, b)
    for index in np.ndindex(2, 3):
        u, v = np.ravel(a[index]), np.ravel(b)
        np.testing.assert_allclose(found[index], 1 - u @ v / np.linalg.norm(u) / np.linalg.norm(v), rtol=1e-13)
        best = (u @ v) / (v @ v)
        expected = np.linalg.norm(u - best * v) / np.linalg.norm(u)
        np.testing.assert_allclose(np.sqrt(found[index] * (2 - found[index])), expected, rtol=1e-13)
    across = jnp.zeros((4, 4)).at[0, 1].set(1.0)
    np.testing.assert_allclose(kernel_drift(jnp.eye(4) + 2e-10 * across, jnp.eye(4)), 0.5e-20, rtol=1e-5)


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_drift_and_alignment_do_not_depend_on_scale_in_single_precision(scale):
    a, b = (x.astype(jnp.float32) for x in drawn(6, (4, 4), (4, 4)))
    labels = jnp.asarray([1, -1, -1, 1])
    tolerance = 20 * float(jnp.finfo(jnp.float32).eps)
    np.testing.assert_allclose(kernel_drift(scale * a, b), kernel_drift(a, b), rtol=tolerance)
    expected = kernel_alignment(a, labels)
    np.testing.assert_allclose(kernel_alignment(scale * a, labels), expected, rtol=0, atol=tolerance)


def test_a_vanishing_kernel_has_no_direction():
    assert np.isnan(kernel_drift(jnp.stack([jnp.eye(2), 0 * jnp.eye(2)]), jnp.eye(2))).tolist() == [False, True]


@pytest.mark.parametrize("centred", [False, True])
def test_the_kernel_of_the_label_is_aligned_and_one_across_is_not(centred):
    y, z = jnp.asarray([1.0, 1.0, -1.0, -1.0]), jnp.asarray([1.0, -1.0, 1.0, -1.0])
    kernels = jnp.stack([jnp.outer(y, y), 3 * jnp.outer(z, z), jnp.outer(y, y) + jnp.outer(z, z), jnp.eye(4)])
    # H = I − 11ᵀ/4 has norm √3.
    expected = [1, 0, np.sqrt(0.5), 1 / np.sqrt(3) if centred else 0.5]
    np.testing.assert_allclose(kernel_alignment(kernels, y, centred=centred), expected, rtol=0, atol=10 * EPS)


@pytest.mark.parametrize("labels", [jnp.asarray([1, 1, -1, 1, -1]), jnp.eye(3)[jnp.asarray([0, 1, 2, 1, 0])]])
def test_alignment_follows_its_definition(labels):
    draws = np.asarray(drawn(7, (5, 3))[0])
    gram, y = draws @ draws.T, np.asarray(labels, float).reshape(5, -1)
    centring = np.eye(5) - np.ones((5, 5)) / 5
    for centred, h in ((False, np.eye(5)), (True, centring)):
        left, right = h @ gram @ h, h @ (y @ y.T) @ h
        expected = np.sum(left * right) / np.linalg.norm(left) / np.linalg.norm(right)
        np.testing.assert_allclose(kernel_alignment(jnp.asarray(gram), labels, centred=centred), expected, rtol=1e-13)


def test_a_constant_feature_counts_unless_kernels_are_centred():
    y = jnp.asarray([1.0, 1.0, 1.0, -1.0])
    with_constant = jnp.outer(y, y) + 100
    assert kernel_alignment(with_constant, y) < 0.3
    np.testing.assert_allclose(kernel_alignment(with_constant, y, centred=True), 1, rtol=1e-13)
    assert np.isnan(kernel_alignment(with_constant, jnp.ones(4), centred=True))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: empirical_ntk(two_layer, network(), INPUTS, batch_size=0), "^batch_size must be at least 1, got 0$"),
        (lambda: empirical_ntk(two_layer, network(), INPUTS[:0]), r"^inputs must hold .*got shape \(0, 4\)$"),
        (lambda: empirical_ntk(two_layer, network(), INPUTS, OTHERS[:0]), r"^others must hold .*got shape \(0, 4\)$"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
