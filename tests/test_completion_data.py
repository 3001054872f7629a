"""Matrix completion: which entries are observed, what the rest is, and the targets."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from grokjax.data import low_rank, matrix_completion, multiplication_table, observed_entries

EPS = np.finfo(float).eps


def pairs(indices):
    return {tuple(pair) for pair in np.asarray(indices).tolist()}


@pytest.mark.parametrize(("size", "observed"), [(97, 470), (5, 1), (5, 24), (5, 25)])
def test_observed_and_test_entries_are_all_entries_once(key, size, observed):
    target = multiplication_table(size)
    data = matrix_completion(key, target, observed)
    assert data.indices.shape == (observed, 2)
    assert data.test_indices.shape == (size**2 - observed, 2)
    assert data.indices.dtype == data.test_indices.dtype == jnp.int32
    train, test = pairs(data.indices), pairs(data.test_indices)
    assert (len(train), len(test)) == (observed, size**2 - observed)
    assert train | test == {(i, j) for i in range(size) for j in range(size)}
    np.testing.assert_array_equal(data.target, target)
    for indices, values in ((data.indices, data.values), (data.test_indices, data.test_values)):
        assert values.tolist() == [float(target[i, j]) for i, j in np.asarray(indices)]


def test_every_entry_is_observed_equally_often_and_pairs_of_entries_too():
    size, observed, draws = 4, 6, 4000
    target = multiplication_table(size)
    draw = jax.jit(jax.vmap(lambda key: matrix_completion(key, target, observed).indices))
    indices = np.asarray(draw(jax.random.split(jax.random.key(5), draws)))
    flat = indices[..., 0] * size + indices[..., 1]
    chosen = np.zeros((draws, size**2))
    np.put_along_axis(chosen, flat, 1.0, axis=1)
    assert np.all(chosen.sum(1) == observed)
    share = observed / size**2
    # Without replacement the counts have the covariance of a multinomial, up to n(N − n)/(N(N − 1)).
    variance = draws * share * (1 - share) * size**2 / (size**2 - 1)
    statistic = np.sum((chosen.sum(0) - draws * share) ** 2) / variance
    assert stats.chi2.sf(statistic, size**2 - 1) > 1e-4
    together = (chosen.T @ chosen)[np.triu_indices(size**2, 1)]
    both = share * (observed - 1) / (size**2 - 1)
    assert np.all(np.abs(together - draws * both) <= 5 * math.sqrt(draws * both * (1 - both)))


def test_a_key_decides_the_draw(key):
    target = multiplication_table(5)
    one, again, other = (matrix_completion(k, target, 10) for k in (key, key, jax.random.key(1)))
    jax.tree.map(np.testing.assert_array_equal, one, again)
    assert pairs(one.indices) != pairs(other.indices)


def test_many_keys_at_once_are_one_at_a_time():
    keys, target = jax.random.split(jax.random.key(3), 3), multiplication_table(4)
    together = jax.jit(jax.vmap(lambda key: matrix_completion(key, target, 6)))(keys)
    for i in range(3):
        jax.tree.map(
            np.testing.assert_array_equal,
            jax.tree.map(lambda leaf, i=i: leaf[i], together),
            matrix_completion(keys[i], target, 6),
        )


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_values_have_the_precision_of_the_target(key, dtype):
    for target in (multiplication_table(4, dtype), low_rank(key, 4, 2, True, dtype)):
        data = matrix_completion(key, target, 5)
        assert data.target.dtype == data.values.dtype == data.test_values.dtype == dtype


@pytest.mark.parametrize("dtype", [jnp.int8, jnp.uint8, jnp.int64])
def test_given_entries_are_observed_in_their_order(dtype):
    # A byte holds these indices, but not their number 100·120 + 3 in the matrix.
    target, indices = multiplication_table(120), jnp.asarray([[100, 3], [3, 100], [0, 0]], dtype)
    data = observed_entries(target, indices)
    np.testing.assert_array_equal(data.indices, indices)
    np.testing.assert_array_equal(data.values, [300 / 14400, 300 / 14400, 0])
    assert pairs(data.test_indices).isdisjoint({(100, 3), (3, 100), (0, 0)})
    assert len(pairs(data.test_indices)) == 120**2 - 3


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_multiplication_table_has_rank_1_and_its_values(dtype):
    size = 97
    table = np.asarray(multiplication_table(size, dtype))
    products = np.outer(np.arange(size), np.arange(size))
    np.testing.assert_allclose(table, products / size**2, rtol=2 * np.finfo(dtype).eps)
    np.testing.assert_array_equal(table, table.T)
    singular = np.linalg.svd(np.asarray(table, float), compute_uv=False)
    assert singular[1] <= size * np.finfo(dtype).eps * singular[0]
    # The paper's target: Σ i²/d² is its nuclear norm.
    assert math.isclose(singular[0], (size - 1) * (2 * size - 1) / (6 * size), rel_tol=4 * np.finfo(dtype).eps)


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("rank", [1, 3, 20])
def test_low_rank_targets_have_their_rank_and_signs(key, rank, signed):
    size = 20
    target = np.asarray(low_rank(key, size, rank, signed))
    np.testing.assert_array_equal(target, target.T)
    values = np.linalg.eigvalsh(target)
    floor = 100 * EPS * np.abs(values).max()
    assert np.sum(np.abs(values) > floor) == rank
    assert signed or values.min() >= -floor


def test_eigenvalues_of_a_low_rank_target_are_near_1_with_fair_signs():
    size, rank, draws = 100, 2, 20
    keys = jax.random.split(jax.random.key(7), draws)
    values = np.linalg.eigvalsh(np.asarray(jax.vmap(lambda key: low_rank(key, size, rank, True))(keys)))
    kept = np.take_along_axis(values, np.argsort(np.abs(values), axis=1)[:, -rank:], axis=1)
    # Eigenvalues of GᵀG lie between (1 ± √(r/d))², with fluctuations of the order 1/√d.
    ratio = math.sqrt(rank / size)
    assert np.all(np.abs(kept) >= (1 - ratio - 4 / math.sqrt(size)) ** 2)
    assert np.all(np.abs(kept) <= (1 + ratio + 4 / math.sqrt(size)) ** 2)
    assert abs(np.sign(kept).mean()) <= 4 / math.sqrt(kept.size)


def test_signed_and_unsigned_targets_share_their_factor(key):
    # Both have the column space of the same G.
    one, other = (np.asarray(low_rank(key, 10, 2, signed)) for signed in (False, True))
    assert np.linalg.matrix_rank(np.hstack([one, other])) == 2


TARGET = jnp.ones((3, 3))
LOPSIDED = TARGET.at[0, 1].set(1.001)


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        (lambda key: matrix_completion(key, TARGET, 0), "^observed must be an integer of at least 1, got 0"),
        (lambda key: matrix_completion(key, TARGET, -2), "^observed must be an integer of at least 1, got -2"),
        (lambda key: matrix_completion(key, TARGET, 10), "^observed must be at most the 9 entries .* got 10"),
        (
            lambda key: matrix_completion(key, LOPSIDED, 3),
            "^target must be symmetric, got .* differ by 0.001",
        ),
        (
            lambda key: matrix_completion(key, TARGET[:2], 3),
            r"^target must be a square .* of shape \(2, 3\)",
        ),
        (lambda key: matrix_completion(key, TARGET[0], 3), r"^target must be a square .* of shape \(3,\)"),
        (lambda key: matrix_completion(key, TARGET.astype(int), 3), "^target must be .* of floats, got int64"),
        (lambda key: matrix_completion(key, TARGET.at[1, 1].set(jnp.nan), 3), "^target must be finite, got NaN"),
        (lambda key: observed_entries(TARGET, jnp.zeros((0, 2), int)), "^indices must hold at least one"),
        (lambda key: observed_entries(LOPSIDED, jnp.asarray([[0, 1]])), "^target must be symmetric"),
        (lambda key: observed_entries(TARGET, jnp.asarray([[0, 1], [2, 2], [0, 1]])), "^indices .* 3 pairs of which 2"),
        (
            lambda key: observed_entries(TARGET, jnp.asarray([[0, 1], [0, 3]])),
            r"^indices .* got the pair \(0, 3\)",
        ),
        (lambda key: observed_entries(TARGET, jnp.asarray([[-1, 1]])), r"^indices .* got the pair \(-1, 1\)"),
        (lambda key: observed_entries(TARGET, jnp.asarray([0, 1])), r"^indices must be .* got int64 of shape \(2,\)"),
        (lambda key: observed_entries(TARGET, jnp.ones((2, 2))), "^indices must be an integer array .* got float64"),
        (lambda key: multiplication_table(1), "^size must be an integer of at least 2, got 1"),
        (lambda key: low_rank(key, 0, 1), "^size must be an integer of at least 1, got 0"),
        (lambda key: low_rank(key, 3, 0), "^rank must be an integer of at least 1, got 0"),
        (lambda key: low_rank(key, 3, 4), "^rank must be at most the size 3, got 4"),
    ],
)
def test_impossible_data_are_refused(key, call, complaint, unchecked_types):
    with pytest.raises(ValueError, match=complaint):
        call(key)


def test_a_symmetric_product_that_is_symmetric_up_to_rounding_is_accepted(key):
    target = np.array(multiplication_table(5))
    target[1, 2] *= 1 + 4 * EPS
    assert target[1, 2] != target[2, 1]
    matrix_completion(key, jnp.asarray(target), 24)
