"""One table of models against the contract that all keep; then what each model is by its own definition."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grokjax.models import (
    DiagonalParams,
    FactorizationParams,
    Model,
    antisymmetric,
    diagonal_linear,
    linearized,
    matrix_factorization,
    mlp,
    product_matrix,
    two_layer,
)

EPS = np.finfo(float).eps
DEPTHS = range(2, 6)
# No sum in a model below has more than 40 terms, and none has more than 10 operations one after the other.
OPERATIONS = 50


class Row(NamedTuple):
    """A model, how to start it so that f = 0, its degree, and the input: dense of a size, or integers below one."""

    model: Model
    start: Callable[[Any, Any], Any]
    degree: int | None
    size: int
    integers: int = 0

    def inputs(self, seed, number, dtype=float):
        random, shape = np.random.default_rng(seed), (number, self.integers or self.size)
        if self.integers:
            return jnp.asarray(random.integers(0, self.size, shape))
        return jnp.asarray(random.standard_normal(shape), dtype)


def weights(**how):
    return lambda model: lambda key, dtype: model.init(key, **how, dtype=dtype)


def row(model, how, degree, size, integers=0):
    return Row(model, how(model), degree, size, integers)


ANY, ZERO, HE = weights(), weights(scale=10.0), weights(scale=10.0, last_layer="he")
DIAGONAL = weights(dimension=7, initial_norm=3.0)
CENTRE = DiagonalParams(*jnp.asarray(np.random.default_rng(8).standard_normal((2, 7))))
TABLE = {
    **{f"diagonal {L}": row(diagonal_linear(L), DIAGONAL, L, 7) for L in (2, 3, 5)},
    "factorization": row(matrix_factorization(6), weights(scale=10.0), 2, 6, 2),
    "two-layer ReLU": row(two_layer(8, 6), ZERO, 2, 6),
    "two-layer ReLU, one output, no bias": row(two_layer(8, 6, 1, bias=False), ZERO, 2, 6),
    **{f"two-layer power {p}": row(two_layer(8, 6, 3, p), ZERO, 1 + p, 6) for p in (1, 2, 3)},
    "two-layer ReLU, pairs": row(two_layer(8, 10, 5), ZERO, 2, 5, 2),
    "mlp of one layer": row(mlp((6,)), ZERO, 1, 6),
    "mlp of four layers": row(mlp((6, 8, 5, 4), 2), ZERO, 4, 6),
    "mlp of three layers, square, triples": row(mlp((6, 5, 4), 2, 2), ZERO, 7, 2, 3),
    "antisymmetric two-layer": row(antisymmetric(two_layer(8, 6, 3)), HE, 2, 6),
    "antisymmetric mlp": row(antisymmetric(mlp((6, 8, 5))), HE, 3, 6),
    "linearized diagonal": row(
        linearized(diagonal_linear(2), diagonal_linear(2).init(None, 7, 3.0)),
        lambda model: lambda key, dtype: model.init(key),
        None,
        7,
    ),
}
HOMOGENEOUS = {name: case for name, case in TABLE.items() if case.degree is not None}
each = pytest.mark.parametrize("case", TABLE.values(), ids=TABLE.keys())
each_homogeneous = pytest.mark.parametrize("case", HOMOGENEOUS.values(), ids=HOMOGENEOUS.keys())


def somewhere(case, seed=1):
    """Normal parameters of the shapes of the start, and an input."""
    random = np.random.default_rng(seed)
    shapes = jax.eval_shape(lambda key: case.start(key, float), jax.random.key(0))
    params = jax.tree.map(lambda leaf: jnp.asarray(random.standard_normal(leaf.shape)), shapes)
    return params, case.inputs(seed + 100, 1)[0]


@functools.partial(jax.jit, static_argnums=0)
def jacobian(apply, params, x):
    return jax.jacobian(apply)(params, x)


@functools.cache
def batched(apply):
    """Over seeds and over inputs, compiled."""
    return jax.jit(jax.vmap(jax.vmap(apply, (None, 0)), (0, None)))


def stack(seeds):
    return jax.tree.map(lambda *leaves: jnp.asarray(np.stack(leaves)), *seeds)


def rounding(apply, params, x):
    """What rounding can make of f: each operation is exact for parameters that are off by a relative EPS, so that
    the error is at most the number of operations times EPS·Σ|θ ∂f/∂θ|."""
    slopes = [np.asarray(j) for j in jax.tree.leaves(jacobian(apply, params, x))]
    pairs = [(np.asarray(p), j) for p, j in zip(jax.tree.leaves(params), slopes, strict=True)]
    terms = [np.sum(np.abs(p * j), axis=tuple(range(j.ndim - p.ndim, j.ndim))) for p, j in pairs]
    return OPERATIONS * EPS * np.sum(terms, axis=0)


def assert_equal(actual, desired, apply, params, x, factor=1.0):
    error = np.abs(np.asarray(actual) - np.asarray(desired))
    assert np.all(error <= factor * rounding(apply, params, x))


def finite(tree):
    return all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(tree))


@each_homogeneous
@pytest.mark.parametrize("scale", [1e-3, 0.5, 7.0, 1e3])
def test_scaling_the_parameters_scales_the_output_by_the_power_of_the_degree(case, scale):
    params, x = somewhere(case)
    assert case.model.degree == case.degree
    output, scaled = (case.model.apply(p, x) for p in (params, jax.tree.map(lambda p: scale * p, params)))
    assert np.all(output != 0)
    assert_equal(scaled / scale**case.degree, output, case.model.apply, params, x)


@each
def test_the_start_has_no_output_but_a_gradient(case):
    params, inputs = case.start(jax.random.key(2), float), case.inputs(3, 5)
    for x in inputs:
        assert np.all(case.model.apply(params, x) == 0)
    # A compiler that contracts a difference into one operation leaves the rounding error of one of its terms.
    for x, compiled in zip(inputs, batched(case.model.apply)(stack([params] * 3), inputs)[0], strict=True):
        assert_equal(compiled, 0.0, case.model.apply, params, x)
    gradients = [jacobian(case.model.apply, params, x) for x in inputs]
    assert finite(gradients)
    assert any(np.any(np.abs(g) > 1e-3) for g in jax.tree.leaves(gradients))


@each
@pytest.mark.parametrize("origin", [False, True], ids=["at the start", "at the origin"])
def test_the_gradient_at_a_zero_input_is_finite(case, origin):
    params, zero = case.start(jax.random.key(2), float), jnp.zeros_like(case.inputs(3, 1)[0])
    params = jax.tree.map(jnp.zeros_like, params) if origin else params
    assert finite((case.model.apply(params, zero), jacobian(case.model.apply, params, zero)))


@each
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_the_parameters_decide_the_precision(case, dtype):
    # The parameters of a linearization have the precision of its centre.
    dtype = jnp.dtype(jnp.float64 if case.degree is None else dtype)
    params = case.start(jax.random.key(2), dtype)
    output = case.model.apply(params, case.inputs(3, 1, jnp.float32)[0])
    assert {leaf.dtype for leaf in jax.tree.leaves((params, output))} == {dtype}


@each
def test_compiled_or_in_batches_the_output_is_the_same(case):
    apply, inputs, seeds = case.model.apply, case.inputs(5, 5), [somewhere(case, seed)[0] for seed in range(3)]
    for params, outputs in zip(seeds, batched(apply)(stack(seeds), inputs), strict=True):
        for x, output in zip(inputs, outputs, strict=True):
            assert_equal(output, apply(params, x), apply, params, x)


@pytest.mark.parametrize(
    "make",
    [
        lambda: diagonal_linear(2),
        lambda: matrix_factorization(3),
        lambda: two_layer(4, 6),
        lambda: mlp([4, 6], 2),
        lambda: antisymmetric(two_layer(4, 6)),
    ],
)
def test_the_same_hyper_parameters_give_the_same_model_so_that_nothing_is_compiled_again(make):
    assert make() is make()


# Diagonal networks.


def sample(seed, dimension=7):
    keys = jax.random.split(jax.random.key(seed), 3)
    u, v, x = (jax.random.normal(key, (dimension,)) for key in keys)
    return DiagonalParams(u, v), x


@pytest.mark.parametrize("depth", DEPTHS)
def test_output_is_the_inner_product_with_the_difference_of_powers(depth):
    params, x = sample(depth)
    terms = [(float(u) ** depth - float(v) ** depth) * float(x) for u, v, x in zip(*params, x, strict=True)]
    bound = sum(
        (abs(float(u)) ** depth + abs(float(v)) ** depth) * abs(float(x)) for u, v, x in zip(*params, x, strict=True)
    )
    assert abs(diagonal_linear(depth).apply(params, x) - math.fsum(terms)) <= (depth + len(terms)) * EPS * bound


@settings(deadline=None, max_examples=50)
@given(depth=st.sampled_from(DEPTHS), scale=st.floats(1e-3, 1e3), seed=st.integers(0, 2**31))
def test_a_diagonal_network_is_homogeneous_at_any_scale(depth, scale, seed):
    model = diagonal_linear(depth)
    params, x = sample(seed)
    scaled = model.apply(jax.tree.map(lambda p: scale * p, params), x)
    bound = jnp.dot(jnp.abs(x), jnp.abs(params.u) ** depth + jnp.abs(params.v) ** depth)
    assert abs(scaled / scale**depth - model.apply(params, x)) <= 4 * (depth + x.size) * EPS * bound


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("initial_norm", [1e-30, 1.0, 128.0, 1e30])
def test_the_diagonal_start_has_its_norm_and_no_output(key, depth, initial_norm):
    model = diagonal_linear(depth)
    params, inputs = model.init(key, 1000, initial_norm), jax.random.normal(key, (20, 1000))
    assert params.u.shape == params.v.shape == (1000,)
    assert math.isclose(math.hypot(*params.u.tolist(), *params.v.tolist()), initial_norm, rel_tol=8 * EPS)
    assert np.all(jax.vmap(model.apply, (None, 0))(params, inputs) == 0)


# Starts.


@pytest.mark.parametrize("init", [
    lambda scale: diagonal_linear(2).init(None, 7, scale),
    lambda scale: matrix_factorization(6).init(jax.random.key(0), scale, 0.1),
    lambda scale: two_layer(8, 6, 3).init(jax.random.key(0), scale, "he"),
    lambda scale: mlp((6, 8), 3).init(jax.random.key(0), scale, "he"),
])  # fmt: skip
def test_the_scale_may_be_traced(init):
    together = jax.vmap(init)(jnp.asarray([1.0, 3.0]))
    for i, scale in enumerate([1.0, 3.0]):
        for batch, alone in zip(jax.tree.leaves(together), jax.tree.leaves(init(scale)), strict=True):
            np.testing.assert_allclose(batch[i], alone, rtol=8 * EPS)


def test_factors_start_at_a_multiple_of_the_identity_with_independent_noise(key):
    size, scale, noise = 60, 5.0, 0.3
    exact, noisy = (matrix_factorization(size).init(key, scale, sigma) for sigma in (0.0, noise))
    for factor in exact:
        np.testing.assert_array_equal(factor, scale * np.eye(size))
    draws = np.stack([np.asarray(factor) - scale * np.eye(size) for factor in noisy]) / noise
    # Sums of 7200 normal numbers, of their squares, and of 3600 products of two.
    assert abs(draws.mean()) <= 4 / math.sqrt(draws.size)
    assert abs(np.mean(draws**2) - 1) <= 4 * math.sqrt(2 / draws.size)
    assert abs(np.mean(draws[0] * draws[1])) <= 4 / size
    assert abs(np.mean(draws[0] * draws[0].T) - 1 / size) <= 4 * math.sqrt(2) / size


@pytest.mark.parametrize(
    ("model", "deviations"),
    [
        (two_layer(300, 200, 100), [math.sqrt(2 / 200), 0, math.sqrt(1 / 300)]),
        (two_layer(300, 200), [math.sqrt(2 / 200), 0, math.sqrt(1 / 300)]),
        (mlp((200, 300, 100), 50), [math.sqrt(2 / 200), math.sqrt(2 / 300), math.sqrt(1 / 100)]),
    ],
)
def test_he_weights_have_the_deviations_of_the_paper_whatever_the_last_layer(key, model, deviations):
    scale = 100.0
    he, zero = (jax.tree.leaves(model.init(key, scale, last)) for last in ("he", "zero"))
    for weight, deviation in zip(he, deviations, strict=True):
        if deviation == 0:
            assert np.all(weight == 0)
            continue
        # The mean, and χ² of the squares.
        normal = np.asarray(weight) / (scale * deviation)
        assert abs(normal.mean()) <= 4 / math.sqrt(normal.size)
        assert abs(np.mean(normal**2) - 1) <= 4 * math.sqrt(2 / normal.size)
    assert np.all(zero[-1] == 0)
    jax.tree.map(np.testing.assert_array_equal, he[:-1], zero[:-1])


def test_copies_of_an_antisymmetric_model_are_equal_but_separate(key):
    start = antisymmetric(two_layer(8, 6)).init(key, last_layer="he")
    jax.tree.map(np.testing.assert_array_equal, start.added, start.subtracted)
    assert np.any(start.added.second != 0)
    pointers = [leaf.unsafe_buffer_pointer() for leaf in jax.tree.leaves(start)]
    assert len(set(pointers)) == len(pointers)


# Definitions, against numpy.


@pytest.mark.parametrize("activation", ["relu", 1, 2, 3])
@pytest.mark.parametrize("outputs", [None, 3])
def test_networks_are_their_matrix_products(activation, outputs):
    phi = (lambda z: np.maximum(z, 0)) if activation == "relu" else (lambda z: z**activation)
    two = two_layer(8, 6, outputs, activation)
    case = row(two, HE, two.degree, 6)
    params, x = somewhere(case)
    first, bias, second = (np.asarray(p) for p in params)
    assert_equal(two.apply(params, x), second @ phi(first @ np.asarray(x) + bias), two.apply, params, x)
    deep = mlp((6, 8, 5), outputs, activation)
    params, x = somewhere(row(deep, HE, deep.degree, 6))
    expected = np.asarray(params[2]) @ phi(np.asarray(params[1]) @ phi(np.asarray(params[0]) @ np.asarray(x)))
    assert_equal(deep.apply(params, x), expected, deep.apply, params, x)
    assert deep.apply(params, x).shape == (() if outputs is None else (outputs,))


@pytest.mark.parametrize(
    ("make", "parts", "dtype"),
    [
        (lambda inputs: two_layer(8, inputs, 3), 1, jnp.int32),
        (lambda inputs: two_layer(8, inputs, 3), 2, jnp.int8),
        (lambda inputs: two_layer(8, inputs, 3), 5, jnp.uint8),
        (lambda inputs: mlp((inputs, 8, 4)), 2, jnp.int64),
    ],
)
def test_tokens_are_concatenated_one_hot_vectors(make, parts, dtype):
    vocabulary = 97
    model = make(parts * vocabulary)
    params = model.init(jax.random.key(1), 1.0, "he")
    # The first and the last token among them.
    for tokens in np.stack([np.zeros(parts, int), np.full(parts, 96), np.arange(parts) * 7 + 5]):
        dense = jnp.asarray(np.eye(vocabulary)[tokens].ravel())
        sparse = jnp.asarray(tokens, dtype)
        assert_equal(model.apply(params, sparse), model.apply(params, dense), model.apply, params, dense)
        sparse_gradient, dense_gradient = (jacobian(model.apply, params, x) for x in (sparse, dense))
        # Sums of at most 8 products of numbers of size about 1.
        jax.tree.map(functools.partial(np.testing.assert_allclose, atol=100 * EPS), sparse_gradient, dense_gradient)


@pytest.mark.parametrize("tokens", [[5, 0], [0, 5], [-1, 0], [0, -1], [0, 2**30]])
def test_a_token_outside_its_vocabulary_is_not_taken_for_another(tokens):
    model = two_layer(8, 10, 3)
    params = model.init(jax.random.key(1), 1.0, "he")
    assert np.all(np.isnan(jax.jit(model.apply)(params, jnp.asarray(tokens))))


@pytest.mark.parametrize("size", [1, 6])
def test_factorization_gives_the_entries_of_its_product(size):
    model = matrix_factorization(size)
    params, _ = somewhere(row(model, weights(scale=1.0), 2, size, 2))
    product = product_matrix(params)
    u, v = (np.asarray(p) for p in params)
    np.testing.assert_allclose(product, np.einsum("ik,jk", u, u) - np.einsum("ik,jk", v, v), atol=100 * EPS)
    pairs = jnp.stack(jnp.meshgrid(*2 * [jnp.arange(size)], indexing="ij"), -1).reshape(-1, 2)
    entries = jax.vmap(model.apply, (None, 0))(params, pairs)
    np.testing.assert_allclose(entries.reshape(size, size), product, atol=100 * EPS)
    assert np.isnan(model.apply(params, jnp.asarray([0, size])))
    assert model.apply(params, jnp.asarray([-1, -1])) == entries[-1]


def test_balanced_factors_have_the_nuclear_norm_of_their_product():
    """The least ‖U‖² + ‖V‖² at a given W is ‖W‖_*; the positive and the negative part of W attain it."""
    w = np.random.default_rng(1).standard_normal((6, 6))
    values, vectors = np.linalg.eigh(w + w.T)
    u, v = (jnp.asarray(vectors * np.sqrt(np.maximum(sign * values, 0))) for sign in (1, -1))
    np.testing.assert_allclose(
        product_matrix(FactorizationParams(u, v)), w + w.T, atol=100 * EPS * np.abs(values).max()
    )
    assert math.isclose(float(jnp.sum(u**2) + jnp.sum(v**2)), np.abs(values).sum(), rel_tol=20 * EPS)


def test_an_antisymmetric_model_is_the_difference_and_doubles_the_kernel(key):
    model = two_layer(8, 6, 3, 2)
    both = antisymmetric(model)
    params, x = somewhere(row(both, HE, 3, 6))
    np.testing.assert_array_equal(
        both.apply(params, x), model.apply(params.added, x) - model.apply(params.subtracted, x)
    )
    scalar, start = two_layer(8, 6, None, 2), antisymmetric(two_layer(8, 6, None, 2)).init(key, 1.0, "he")
    squares = [
        sum(float(jnp.sum(g**2)) for g in jax.tree.leaves(jax.grad(m.apply)(p, x)))
        for m, p in ((antisymmetric(scalar), start), (scalar, start.added))
    ]
    assert math.isclose(squares[0], 2 * squares[1], rel_tol=100 * EPS)


# Linearization.

SMOOTH = {
    "diagonal": row(diagonal_linear(3), DIAGONAL, 3, 7),
    "factorization": TABLE["factorization"],
    "two-layer square": row(two_layer(8, 6, 3, 2), ZERO, 3, 6),
    "mlp cube": row(mlp((6, 5), None, 3), ZERO, 4, 6),
}
each_smooth = pytest.mark.parametrize("case", SMOOTH.values(), ids=SMOOTH.keys())


@each_smooth
def test_linearization_is_exact_at_its_centre_and_errs_by_the_square_of_the_step(case):
    centre, x = somewhere(case)
    direction, _ = somewhere(case, seed=2)
    model = linearized(case.model, centre)
    assert model.degree is None
    np.testing.assert_array_equal(model.apply(centre, x), case.model.apply(centre, x))

    def error(step):
        moved = jax.tree.map(lambda p, d: p + step * d, centre, direction)
        return np.abs(np.asarray(case.model.apply(moved, x) - model.apply(moved, x)))

    # The remainder is step²·(c + O(step)); at 1e-4 rounding is about 1e-16/1e-8 of it.
    assert np.all(error(1e-4) > 0)
    np.testing.assert_allclose(error(1e-4) / error(5e-5), 4, rtol=2e-3)


@each_smooth
def test_linearization_is_affine_with_the_gradient_as_slope(case):
    (centre, x), (a, _), (b, _) = somewhere(case), somewhere(case, 2), somewhere(case, 3)
    model = linearized(case.model, centre)
    middle = jax.tree.map(lambda p, q: (p + q) / 2, a, b)
    assert_equal(model.apply(middle, x), (model.apply(a, x) + model.apply(b, x)) / 2, model.apply, a, x, factor=10)
    gradient = jacobian(case.model.apply, centre, x)
    for point in (a, b):
        jax.tree.map(
            functools.partial(np.testing.assert_allclose, rtol=100 * EPS, atol=100 * EPS),
            jacobian(model.apply, point, x),
            gradient,
        )


@each_smooth
def test_linearization_about_a_zero_output_is_homogeneous_of_degree_1_and_about_another_is_not(case):
    (h, x), (elsewhere, _) = somewhere(case, 2), somewhere(case, 3)
    twice = jax.tree.map(lambda p: 2 * p, h)
    start = case.start(jax.random.key(0), float)
    model = linearized(case.model, start)
    assert_equal(model.apply(twice, x), 2 * model.apply(h, x), model.apply, h, x, factor=100)
    # Elsewhere the two differ by (L − 1)·f(θ̄; x), by Euler's identity.
    model, value = linearized(case.model, elsewhere), np.asarray(case.model.apply(elsewhere, x))
    difference = np.asarray(2 * model.apply(h, x) - model.apply(twice, x))
    assert np.all(np.abs(value) > 1e-3)
    np.testing.assert_allclose(difference, -(case.degree - 1) * value, rtol=1e-9)


def test_a_linearization_starts_at_a_copy_of_its_centre():
    start = linearized(diagonal_linear(2), CENTRE).init()
    jax.tree.map(np.testing.assert_array_equal, start, CENTRE)
    jax.tree.map(lambda p: p.delete(), start)
    assert np.all(np.isfinite(CENTRE.u))


# Refusals.

SIZES = [0, -1, 2.5, 2.0, True, "2"]


@pytest.mark.parametrize("depth", [1, 0, -2, 2.5, 2.0, True, "2"])
def test_a_depth_that_is_no_integer_from_2_is_refused(depth, unchecked_types):
    with pytest.raises(ValueError, match=f"depth must .* got {depth!r}"):
        diagonal_linear(depth)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("make", "name"),
    [
        (matrix_factorization, "size"),
        (lambda size: two_layer(size, 2), "width"),
        (lambda size: two_layer(2, size), "inputs"),
        (lambda size: two_layer(2, 2, size), "outputs"),
        (lambda size: mlp((2, size)), r"widths\[1\]"),
        (lambda size: mlp((2, 2), size), "outputs"),
    ],
)
def test_a_size_that_is_no_integer_from_1_is_refused(make, name, size, unchecked_types):
    make(2)
    with pytest.raises(ValueError, match=f"^{name} must be an integer of at least 1, got {size!r}"):
        make(size)


@pytest.mark.parametrize("activation", ["tanh", 0, -1, 2.0, True, None])
@pytest.mark.parametrize("make", [functools.partial(two_layer, 2, 2, None), functools.partial(mlp, (2, 2), None)])
def test_an_unknown_activation_is_refused(make, activation, unchecked_types):
    # Equal to True and to 2.0, and remembered.
    make(1)
    make(2)
    with pytest.raises(ValueError, match=f"^activation must .* got {activation!r}"):
        make(activation)


@pytest.mark.parametrize(
    ("dimension", "initial_norm", "name"),
    [(0, 1.0, "dimension"), (-1, 1.0, "dimension"), *((3, n, "initial_norm") for n in (0.0, -1.0, math.inf, math.nan))],
)
def test_a_diagonal_start_without_size_is_refused(dimension, initial_norm, name):
    with pytest.raises(ValueError, match=f"^{name} must"):
        diagonal_linear(2).init(None, dimension, initial_norm)


FACTORS, TWO, DEEP = matrix_factorization(3), two_layer(4, 6), mlp((6, 4))
KEY = jax.random.key(0)


@pytest.mark.parametrize("bad", [0.0, -1.0, math.inf, math.nan])
@pytest.mark.parametrize("model", [FACTORS, TWO, DEEP, antisymmetric(TWO)], ids=["factors", "two", "deep", "both"])
def test_a_scale_that_is_not_positive_is_refused(model, bad):
    with pytest.raises(ValueError, match=f"^scale must be positive and finite, got {bad}"):
        model.init(KEY, bad)


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        (lambda: mlp(()), "^widths must hold at least the dimension of the inputs"),
        (lambda: antisymmetric(lambda x: x), "^model must be a Model, got function"),
        (lambda: linearized(None, CENTRE), "^model must be a Model, got None"),  # pyright: ignore[reportArgumentType]
        (lambda: TWO.init(KEY, 1.0, "small"), "^last_layer must be .* got 'small'"),
        (lambda: DEEP.init(KEY, 1.0, None), "^last_layer must be .* got None"),
        *((lambda s=s: FACTORS.init(KEY, 1.0, s), f"^noise must .* got {s}") for s in (-1.0, math.inf, math.nan)),
        (lambda: FACTORS.apply(FACTORS.init(KEY, 1.0), jnp.ones(2)), "^index_pair must .* got float64"),
        (lambda: FACTORS.apply(FACTORS.init(KEY, 1.0), jnp.ones(3, int)), r"^index_pair must .* shape \(3,\)"),
        (lambda: TWO.apply(TWO.init(KEY), jnp.ones(5)), r"^x must have shape \(6,\).* got shape \(5,\)"),
        (lambda: TWO.apply(TWO.init(KEY), jnp.ones(4, int)), r"^x of integers .* divides the 6 .* got shape \(4,\)"),
        (lambda: DEEP.apply(DEEP.init(KEY), jnp.ones(0, int)), r"^x of integers .* got shape \(0,\)"),
        (lambda: jax.jit(DEEP.apply)(DEEP.init(KEY), jnp.ones((6, 1))), r"^x must have shape .* got shape \(6, 1\)"),
    ],
)  # fmt: skip
def test_wrong_arguments_are_refused(call, complaint, unchecked_types):
    with pytest.raises(ValueError, match=complaint):
        call()


@pytest.mark.parametrize(
    "h",
    [tuple(CENTRE), DiagonalParams(CENTRE.u[:1], CENTRE.v), jax.tree.map(lambda p: p.astype(jnp.float32), CENTRE)],
    ids=["structure", "shape", "dtype"],
)
def test_a_linearization_refuses_parameters_of_another_model(h):
    with pytest.raises(ValueError, match=r"^h must have the structure, shapes and dtypes of the centre"):
        linearized(diagonal_linear(2), CENTRE).apply(h, jnp.ones(7))
