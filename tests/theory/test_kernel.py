"""Kernel predictors against dense Jacobians, explicit features, closed forms of the paper, and their certificates."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theory import kernel, max_margin

LARGEST_GAP = 1e-9


def diagonal(params, x):
    return jnp.dot(params["u"] ** 2 - params["v"] ** 2, x)


def deep_diagonal(params, x):
    return jnp.dot(params["u"] ** 3 - params["v"] ** 3, x)


def two_layer(params, x):
    weights, (outer, bias) = params
    return jnp.dot(outer, jnp.tanh(weights @ x["first"] + bias * x["second"]))


def completion(params, entry):
    i, j = entry
    return jnp.dot(params["U"][i], params["U"][j]) - jnp.dot(params["V"][i], params["V"][j])


def make_cases():
    generator = np.random.default_rng(0)
    draw = lambda *shape: jnp.asarray(generator.normal(size=shape))
    signs = generator.choice([-1.0, 1.0], 10)
    wide, initial = draw(10, 40), {"u": draw(40), "v": draw(40)}
    pairs = {"first": draw(10, 3), "second": draw(10)}
    entries = (jnp.array([0, 1, 1, 2, 3]), jnp.array([0, 2, 3, 1, 1]))
    return {
        "diagonal": (diagonal, initial, wide, signs),
        "deep diagonal": (deep_diagonal, initial, wide, signs),
        "two layers": (two_layer, (draw(8, 3), [draw(8), draw(8)]), pairs, signs),
        "one sample": (diagonal, initial, wide[:1], signs[:1]),
        "mirrored entries": (
            completion,
            {"U": 3 * jnp.eye(4), "V": 3 * jnp.eye(4)},
            entries,
            np.array([1, -1, 1, -1, 1]),
        ),
    }


CASES = make_cases()
IN_FLOAT32 = ("diagonal", "two layers", "mirrored entries")
each_case_and_precision = pytest.mark.parametrize(
    ("case", "dtype"), [*((case, jnp.float64) for case in CASES), *((case, jnp.float32) for case in IN_FLOAT32)]
)
each_precision = pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])


def to(dtype, tree):
    return jax.tree.map(lambda leaf: leaf.astype(dtype) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf, tree)


def flat(tree, leading=()):
    return np.concatenate([np.reshape(leaf, (*leading, -1)) for leaf in jax.tree.leaves(tree)], axis=-1)


def explicit_features(apply, params, inputs):
    """The Jacobian of all outputs, forward mode, dense: (n, number of parameters)."""
    outputs = lambda p: jax.vmap(lambda x: apply(p, x))(inputs)
    return flat(jax.jit(jax.jacfwd(outputs))(params), (len(jax.tree.leaves(inputs)[0]),))


@functools.cache
def solved(case, dtype):
    """Explicit features in float64, and both predictors in the given precision."""
    apply, params, inputs, labels = CASES[case]
    dense = explicit_features(apply, params, inputs)
    params, inputs = to(dtype, params), to(dtype, inputs)
    predictors = kernel.max_margin(apply, params, inputs, labels), kernel.min_norm(apply, params, inputs, labels)
    return dense, labels, *predictors


def rounding(features, dtype=jnp.float64):
    """Of a product of features, relative to the largest: four operations in each of as many terms as parameters."""
    return 4 * features.shape[1] * float(jnp.finfo(dtype).eps)


def take(inputs, index):
    return jax.tree.map(lambda leaf: leaf[index], inputs)


@each_case_and_precision
def test_features_and_gram_are_those_of_the_dense_jacobian(case, dtype):
    apply, params, inputs, _ = CASES[case]
    dense = explicit_features(apply, params, inputs)
    params, inputs = to(dtype, params), to(dtype, inputs)
    first = jax.jit(functools.partial(kernel.features, apply))(params, take(inputs, 0))
    assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), first) == jax.tree.map(
        lambda leaf: (leaf.shape, dtype), params
    )
    error = rounding(dense, dtype)
    np.testing.assert_allclose(flat(first), dense[0], rtol=0, atol=error * np.max(np.abs(dense)))
    got = kernel.gram(apply, params, inputs)
    assert got.dtype == np.float64
    np.testing.assert_allclose(got, dense @ dense.T, rtol=0, atol=error * np.max(np.sum(dense**2, axis=1)))


@pytest.mark.parametrize("batch_size", [1, 3])
def test_batches_and_other_inputs_give_the_blocks_of_one_gram_matrix(batch_size):
    apply, params, inputs, _ = CASES["two layers"]
    dense = explicit_features(apply, params, inputs)
    some, others = take(inputs, np.arange(4)), take(inputs, np.arange(3, 10))
    got = kernel.gram(apply, params, some, others, batch_size=batch_size)
    assert got.shape == (4, 7)
    largest = np.max(np.sum(dense**2, axis=1))
    np.testing.assert_allclose(got, dense[:4] @ dense[3:].T, rtol=0, atol=rounding(dense) * largest)


@each_case_and_precision
def test_max_margin_is_that_of_the_explicit_features_and_its_certificate_holds(case, dtype):
    dense, labels, result, _ = solved(case, dtype)
    direction = flat(result.direction)
    assert direction.dtype == dtype
    # A product with a unit direction is off by this, relative to the margin.
    error = rounding(dense, dtype) * np.max(np.linalg.norm(dense, axis=1)) / result.margin
    assert np.linalg.norm(direction) == pytest.approx(1, abs=error)
    assert result.margin == pytest.approx(np.min(labels * (dense @ direction)), rel=error)
    assert np.all(result.duals >= 0)
    signed_sum = (result.duals * labels) @ dense
    bound = np.linalg.norm(signed_sum) / np.sum(result.duals)
    assert result.duality_gap == pytest.approx(1 - (result.margin / bound) ** 2, abs=2 * error)
    assert result.duality_gap <= LARGEST_GAP
    assert result.status == "optimal"
    np.testing.assert_allclose(direction, signed_sum / np.linalg.norm(signed_sum), rtol=0, atol=error)
    expected = max_margin.l2(dense, labels)
    assert result.margin == pytest.approx(expected.margin, rel=LARGEST_GAP + error)
    # ‖ŵ − w*‖² ≤ gap for unit directions, of both.
    distance = np.linalg.norm(direction - expected.direction)
    assert distance <= 2 * np.sqrt(LARGEST_GAP + 2 * error)


@each_case_and_precision
def test_min_norm_is_that_of_least_squares_on_the_explicit_features(case, dtype):
    dense, targets, _, result = solved(case, dtype)
    error = rounding(dense, dtype) * result.conditioning
    # Repeated features have singular values of about ε, the others of more than 1e-2, relative to the largest.
    expected, _, rank, singular = np.linalg.lstsq(dense, targets, rcond=1e-8)
    assert result.rank == rank
    assert result.conditioning == pytest.approx((singular[0] / singular[rank - 1]) ** 2, rel=error)
    norm = np.linalg.norm(expected)
    assert result.norm == pytest.approx(norm, rel=error)
    assert flat(result.solution).dtype == dtype
    np.testing.assert_allclose(flat(result.solution), expected, rtol=0, atol=error * norm)
    np.testing.assert_allclose(result.coefficients @ dense, expected, rtol=0, atol=error * norm)
    assert result.residual <= error
    np.testing.assert_allclose(dense @ flat(result.solution), targets, rtol=0, atol=error)


@pytest.mark.parametrize("case", IN_FLOAT32)
@each_precision
def test_predictions_at_new_inputs_are_products_with_their_features(case, dtype):
    apply, params, inputs, _ = CASES[case]
    _, _, margin, norm = solved(case, dtype)
    move = lambda leaf: leaf[::-1] * 1.5 + 1 if jnp.issubdtype(leaf.dtype, jnp.floating) else 3 - leaf
    new = jax.tree.map(move, inputs)
    dense, new = explicit_features(apply, params, new), to(dtype, new)
    for vector, predict in [(margin.direction, margin.predict), (norm.solution, norm.predict)]:
        expected = dense @ flat(vector)
        error = rounding(dense, dtype) * np.max(np.linalg.norm(dense, axis=1)) * np.linalg.norm(flat(vector))
        together = predict(new)
        assert together.dtype == dtype
        np.testing.assert_allclose(together, expected, rtol=0, atol=error)
        np.testing.assert_allclose(predict(take(new, slice(1))), together[:1], rtol=0, atol=error)


def test_early_classifier_of_the_diagonal_network_is_the_l2_max_margin_direction():
    _, _, inputs, labels = CASES["diagonal"]
    linear = max_margin.l2(inputs, labels)
    ones = {"u": jnp.ones(40), "v": jnp.ones(40)}
    result = kernel.max_margin(diagonal, ones, inputs, labels)
    # Features (2x, −2x): corollary 3.6, and γ_ntk = 2√2 γ.
    assert result.margin == pytest.approx(2 * np.sqrt(2) * linear.margin, rel=LARGEST_GAP)
    weights = np.sqrt(2) * np.concatenate([linear.direction, -linear.direction]) / 2
    np.testing.assert_allclose(flat(result.direction), weights, rtol=0, atol=2 * np.sqrt(LARGEST_GAP))


def test_early_interpolant_of_matrix_completion_knows_an_entry_and_its_mirror_image_and_nothing_else():
    _, _, entries, _ = CASES["mirrored entries"]
    generator = np.random.default_rng(1)
    matrix = np.add.outer(*[generator.normal(size=4)] * 2)
    identity = {"U": jnp.eye(4), "V": jnp.eye(4)}
    result = kernel.min_norm(completion, identity, entries, matrix[entries])
    i, j = np.indices((4, 4)).reshape(2, -1)
    seen = np.zeros((4, 4), bool)
    seen[entries] = seen[entries[::-1]] = True
    predicted = np.reshape(result.predict((jnp.asarray(i), jnp.asarray(j))), (4, 4))
    np.testing.assert_allclose(predicted, np.where(seen, matrix, 0), rtol=0, atol=rounding(np.ones((1, 32))))
    assert not np.all(seen)
    # (1, 2) and (2, 1), (1, 3) and (3, 1) share a feature: 5 entries, rank 3; Gram entries 8 or 4 on the diagonal.
    assert result.rank == 3
    assert set(np.diag(kernel.gram(completion, identity, entries))) == {8.0, 4.0}


@pytest.mark.parametrize(("case", "degree", "factor"), [("diagonal", 2, 1e-3), ("deep diagonal", 3, 1e6)])
def test_predictors_scale_with_the_parameters_as_the_degree_of_homogeneity_says(case, degree, factor):
    apply, params, inputs, labels = CASES[case]
    scaled = jax.tree.map(lambda leaf: factor * leaf, params)
    power = factor ** (degree - 1)
    _, _, margin, norm = solved(case, jnp.float64)
    margins = margin, kernel.max_margin(apply, scaled, inputs, labels)
    norms = norm, kernel.min_norm(apply, scaled, inputs, labels)
    error = rounding(np.ones((1, 80))) * norms[0].conditioning
    assert margins[1].margin == pytest.approx(power * margins[0].margin, rel=LARGEST_GAP)
    atol = 2 * np.sqrt(LARGEST_GAP)
    np.testing.assert_allclose(flat(margins[1].direction), flat(margins[0].direction), rtol=0, atol=atol)
    assert norms[1].norm == pytest.approx(norms[0].norm / power, rel=error)
    atol = error * norms[0].norm
    np.testing.assert_allclose(power * flat(norms[1].solution), flat(norms[0].solution), rtol=0, atol=atol)


@each_precision
@pytest.mark.parametrize("seed", range(2))
def test_features_that_no_direction_separates_come_with_a_farkas_certificate(seed, dtype):
    generator = np.random.default_rng(seed)
    inputs = generator.normal(size=(5, 30))
    convex = generator.dirichlet(np.ones(5))
    # Σ a_i y_i x_i = 0, to the precision of the inputs.
    inputs[4] = -convex[:4] @ inputs[:4] / convex[4]
    labels = generator.choice([-1.0, 1.0], 5)
    params = {"u": jnp.ones(30, dtype), "v": jnp.ones(30, dtype)}
    inputs = jnp.asarray(labels[:, None] * inputs, dtype)
    result = kernel.max_margin(diagonal, params, inputs, labels)
    assert result.status == "inseparable"
    assert np.all(np.isnan(flat(result.direction)))
    assert np.isnan(result.margin)
    assert np.isnan(result.duality_gap)
    assert np.all(np.isnan(result.predict(inputs)))
    assert np.all(result.duals >= 0)
    assert np.sum(result.duals) == pytest.approx(1, rel=5 * np.finfo(float).eps)
    dense = explicit_features(diagonal, params, inputs)
    # The square is known to the precision of the features.
    largest = np.max(np.linalg.norm(dense, axis=1))
    assert np.linalg.norm((result.duals * labels) @ dense) <= np.sqrt(jnp.finfo(dtype).eps) * largest


@each_precision
def test_small_margins_are_not_called_inseparable(dtype):
    inputs = jnp.asarray([[1.0, 2e-3], [-1.0, 2e-3]], dtype)
    result = kernel.max_margin(diagonal, {"u": jnp.ones(2, dtype), "v": jnp.zeros(2, dtype)}, inputs, np.ones(2))
    assert result.status == "optimal"
    # The square of the margin, 1.6e-5, is a difference of two numbers near 4, and halves its relative error.
    assert result.margin == pytest.approx(4e-3, rel=float(jnp.finfo(dtype).eps) * 4 / 1.6e-5)


@each_precision
def test_targets_that_contradict_each_other_are_averaged_and_leave_a_residual(dtype):
    apply, params, inputs, _ = CASES["diagonal"]
    targets = np.arange(14.0)
    params, inputs = to(dtype, params), to(dtype, jnp.concatenate([inputs, inputs[:4]]))
    result = kernel.min_norm(apply, params, inputs, targets)
    error = rounding(np.ones((1, 80)), dtype) * result.conditioning * np.max(targets)
    expected = np.concatenate([targets[:4] + 5, targets[4:10], targets[:4] + 5])
    np.testing.assert_allclose(result.predict(inputs), expected, rtol=0, atol=error)
    assert result.residual == pytest.approx(5, abs=error)
    assert result.rank == 10


def test_predictions_at_inputs_of_one_shape_are_compiled_once():
    traces = []

    def counted(params, x):
        traces.append(x.shape)
        return diagonal(params, x)

    _, params, inputs, labels = CASES["diagonal"]
    result = kernel.max_margin(counted, params, inputs, labels)
    result.predict(inputs)
    before = len(traces)
    result.predict(inputs + 1)
    assert len(traces) == before
    result.predict(inputs[:3])
    assert len(traces) > before


PARAMS, INPUTS = {"u": jnp.ones(3), "v": jnp.ones(3)}, jnp.ones((2, 3))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: kernel.max_margin(diagonal, PARAMS, INPUTS, [0.0, 1.0]), "^labels must be −1 or 1, got 0$"),
        (lambda: kernel.max_margin(diagonal, PARAMS, INPUTS, np.ones(3)), r"^labels must have .* \(2,\).*got \(3,\)$"),
        (lambda: kernel.min_norm(diagonal, PARAMS, INPUTS, np.ones(3)), r"^targets must have .* \(2,\).*got \(3,\)$"),
        (lambda: kernel.min_norm(diagonal, PARAMS, INPUTS, [np.nan, 1.0]), "^targets must be finite, got nan$"),
        (lambda: kernel.max_margin(diagonal, PARAMS, INPUTS * jnp.inf, np.ones(2)), "^the kernel must be finite"),
        (lambda: kernel.min_norm(diagonal, PARAMS, 0 * INPUTS, np.ones(2)), "^params must have a non-zero gradient"),
        (lambda: kernel.gram(diagonal, PARAMS, jnp.ones((0, 3))), r"^inputs must hold .*, got lengths \[0\]$"),
        (lambda: kernel.gram(diagonal, PARAMS, jnp.ones(())), r"^inputs must hold .*, got lengths \[0\]$"),
        (lambda: kernel.gram(diagonal, PARAMS, INPUTS, jnp.ones((0, 3))), r"^others must hold .*, got lengths \[0\]$"),
        (lambda: kernel.gram(two_layer, PARAMS, {"first": INPUTS, "second": jnp.ones(5)}), r"got lengths \[2, 5\]$"),
        (lambda: kernel.gram(lambda p, x: p["u"] * x, PARAMS, INPUTS), r"^apply must return a scalar.*shape \(3,\)$"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
