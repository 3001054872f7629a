"""Splits and label corruption: exact sizes, nesting, independence of the streams, and the law of the noise."""

from __future__ import annotations

from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from grokjax.data import operation_table, split, take

TABLE = operation_table("add", 17)
N, P = len(TABLE.labels), TABLE.classes
LABELS = np.asarray(TABLE.labels)
compiled = jax.jit(lambda seed, train, corruption: split(jax.random.key(seed), TABLE, train, corruption))
seeds = st.integers(0, 2**31 - 1)
percents = st.integers(1, 99)
examples = settings(max_examples=20, deadline=None)


def drawn(seed, train, corruption):
    """Compiled once for shares and once for sizes; in NumPy, where results of any size cost no compilation."""
    return jax.device_get(compiled(seed, train, corruption))


def share(percent):
    return jnp.asarray(percent / 100)


def contains(larger, smaller):
    return not np.any(smaller & ~larger)


def test_the_corrupted_label_paper_has_these_sizes(key):
    made = split(key, operation_table("add", 97), 0.5, 0.35)
    assert (int(made.train.sum()), int((~made.train).sum()), int(made.corrupted.sum())) == (4704, 4705, 1646)


def test_29_percent_of_100_are_29(key):
    for fraction in (0.29, jnp.float32(0.29)):
        assert int(split(key, operation_table("add", 10), fraction).train.sum()) == 29
    assert int(split(key, TABLE, 100, 0.29).corrupted.sum()) == 29


@examples
@given(seeds, percents, st.integers(0, 100))
def test_shares_are_exact_and_only_corrupted_labels_differ(seed, percent, corruption):
    made = drawn(seed, share(percent), share(corruption))
    size = Fraction(percent, 100) * N // 1
    assert int(made.train.sum()) == size
    assert int(made.corrupted.sum()) == Fraction(corruption, 100) * size // 1
    assert contains(made.train, made.corrupted)
    np.testing.assert_array_equal(made.labels[~made.corrupted], LABELS[~made.corrupted])
    assert made.labels.min() >= 0
    assert made.labels.max() < P


@examples
@given(seeds, st.integers(1, N), st.integers(1, N), st.integers(0, 100), st.integers(0, 100))
def test_smaller_sets_of_a_key_are_nested_in_larger_ones(seed, one, other, some, more):
    small, large = (drawn(seed, jnp.int32(n), share(x)) for n, x in ((min(one, other), some), (max(one, other), more)))
    assert int(small.train.sum()) == min(one, other)
    assert contains(large.train, small.train)
    if some <= more:
        assert contains(large.corrupted, small.corrupted)
    both = small.corrupted & large.corrupted
    np.testing.assert_array_equal(small.labels[both], large.labels[both])


def test_neither_corruption_nor_resampling_moves_the_order(key):
    plain, noisy, wrong = (
        split(key, TABLE, 0.5),
        split(key, TABLE, 0.5, 0.4),
        split(key, TABLE, 0.5, 0.4, resample=True),
    )
    np.testing.assert_array_equal(plain.train, noisy.train)
    np.testing.assert_array_equal(noisy.corrupted, wrong.corrupted)
    assert np.any(np.asarray(noisy.train != split(jax.random.key(1), TABLE, 0.5).train))


@pytest.mark.parametrize("resample", [False, True])
@pytest.mark.parametrize("classes", [None, 16, 20])
def test_wrong_labels_are_uniform(resample, classes):
    draws, count = 100, classes or P
    keys = jax.random.split(jax.random.key(5), draws)
    made = jax.vmap(lambda key: split(key, TABLE, N, 1.0, resample, classes))(keys)
    true = np.asarray(TABLE.labels)[None, :]
    observed = np.zeros((P, count))
    np.add.at(observed, (np.broadcast_to(true, made.labels.shape), np.asarray(made.labels)), 1)
    allowed = np.ones((P, count), bool)
    if resample:
        np.fill_diagonal(allowed, False)
        assert np.all(observed[~allowed] == 0)
    expected = draws * P / allowed.sum(axis=1, keepdims=True)
    statistic = np.sum(((observed - expected) ** 2 / expected)[allowed])
    assert 1e-4 < stats.chi2.sf(statistic, allowed.sum() - P) < 1 - 1e-4
    # The same noise judged by the other law: this test would see the difference.
    if not resample and classes is None:
        assert abs(np.trace(observed) - draws * N / P) < 5 * np.sqrt(draws * N / P)


def test_every_row_is_trained_on_equally_often():
    table, draws, size = operation_table("add", 4), 1000, 6
    keys = jax.random.split(jax.random.key(2), draws)
    counts = np.asarray(jax.vmap(lambda key: split(key, table, size))(keys).train).sum(axis=0)
    portion = size / 16
    # Without replacement: the counts sum to a constant.
    variance = draws * portion * (1 - portion) * 16 / 15
    assert stats.chi2.sf(np.sum((counts - draws * portion) ** 2) / variance, 15) > 1e-4


@pytest.mark.parametrize(
    "sizes", [jnp.array([0.1, 0.29, 0.5, 0.93]), jnp.array([1, 50, 288, 289], jnp.int32)], ids=["shares", "sizes"]
)
def test_many_traced_cells_at_once_are_one_at_a_time(sizes):
    keys, noise = jax.random.split(jax.random.key(3), 4), jnp.array([0.0, 0.35, 0.5, 1.0])
    together = jax.jit(jax.vmap(lambda key, n, x: split(key, TABLE, n, x)))(keys, sizes, noise)
    for i in range(4):
        alone = split(keys[i], TABLE, sizes[i].item(), float(noise[i])) if i < 3 else split(keys[3], TABLE, sizes[3], 1)
        jax.tree.map(lambda batch, one, i=i: np.testing.assert_array_equal(batch[i], one), together, alone)


def test_a_traced_size_out_of_range_is_cut_to_what_there_is():
    made = jax.vmap(lambda n: compiled(0, n, jnp.asarray(1.0)))(jnp.array([-3, N + 5], jnp.int32))
    assert made.train.sum(axis=1).tolist() == made.corrupted.sum(axis=1).tolist() == [0, N]


@given(seeds, st.integers(1, 200))
@settings(max_examples=20, deadline=None)
def test_rows_taken_are_those_of_the_mask(seed, size):
    mask = drawn(seed, jnp.int32(size), jnp.asarray(0.0)).train
    rows = jax.device_get(take(TABLE, jnp.asarray(mask), 200))
    assert rows.indices.shape == rows.weights.shape == (200,)
    np.testing.assert_array_equal(rows.indices[:size], np.flatnonzero(mask))
    np.testing.assert_array_equal(rows.weights, np.arange(200) < size)


def test_a_traced_mask_with_too_many_rows_gives_no_silent_result():
    rows = jax.jit(lambda mask: take(TABLE, mask, 10, jnp.float32))(jnp.ones(N, bool))
    assert rows.weights.dtype == jnp.float32
    assert bool(jnp.all(jnp.isnan(rows.weights)))


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ((0.0,), "^train must lie strictly between 0 and 1 as a share, or be an integer as a size, got 0.0"),
        ((1.0,), "^train must lie strictly between 0 and 1"),
        ((float("nan"),), "^train must lie strictly between 0 and 1"),
        ((True,), "^train must lie strictly between 0 and 1"),
        ((0.003,), "^train must give at least one of 289 rows, got a share of 0.003"),
        ((0,), "^train must be a size from 1 to the 289 rows, or a share"),
        ((290,), "^train must be a size from 1 to the 289 rows"),
        ((0.5, -0.1), "^corruption must be between 0 and 1, got -0.1"),
        ((0.5, 1.1), "^corruption must be between 0 and 1, got 1.1"),
        ((0.5, float("nan")), "^corruption must be between 0 and 1, got nan"),
        ((0.5, 0.1, False, 0), "^classes must be an integer of at least 1, got 0"),
        ((0.5, 0.1, True, 1), "^classes must be an integer of at least 2, got 1"),
    ],
)
def test_an_impossible_split_is_refused(key, arguments, complaint, unchecked_types):
    with pytest.raises(ValueError, match=complaint):
        split(key, TABLE, *arguments)


def test_too_few_places_and_masks_of_another_table_are_refused(key):
    mask = split(key, TABLE, 20).train
    with pytest.raises(ValueError, match=r"^capacity must be at least the 20 rows of the mask, got 19"):
        take(TABLE, mask, 19)
    with pytest.raises(ValueError, match=r"^mask must have shape \(289,\), one value per row, got \(288,\)"):
        take(TABLE, mask[1:], 20)


def test_rows_are_taken_with_nan_debugging_on(key):
    with jax.debug_nans(True):
        rows = take(TABLE, split(key, TABLE, 0.5).train, 160)
    assert bool(jnp.all(jnp.isfinite(rows.weights)))
