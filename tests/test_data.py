"""The two classification tasks: their law, their keys, and test points that are streamed instead of stored."""

from __future__ import annotations

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from grokjax.analysis import streamed_test
from grokjax.data import l2_separated_classification, l2_separated_points, sparse_classification, sparse_points

GAP, SIZE = 3.0, 300


def sparse(key, test_size=SIZE):
    return sparse_classification(key, 200, 100, 5, test_size)


def separated(key, test_size=SIZE):
    return l2_separated_classification(key, 200, 100, GAP, test_size)


def arrays(data):
    return [np.asarray(leaf) for leaf in data[:5]]


# Signs are exact; XLA may round normal numbers, and sums of them, differently in another program.
TASKS = pytest.mark.parametrize(("task", "rounding"), [(sparse, 0.0), (separated, 16 * np.finfo(np.float32).eps)])


@pytest.mark.parametrize(("dimension", "sparsity"), [(100, 1), (33, 33)])
def test_sparse_labels_are_the_sign_of_a_sparse_teacher(key, dimension, sparsity):
    data = sparse_classification(key, 2000, dimension, sparsity, 10)
    teacher = np.asarray(data.teacher)
    assert np.all(np.abs(teacher) == (np.arange(dimension) < sparsity))
    for inputs, labels in (data[:2], data[2:4]):
        assert np.all(np.abs(inputs) == 1)
        np.testing.assert_array_equal(labels, np.sign(np.asarray(inputs) @ teacher))
    # The L1 margin of w*/k is 1/k: an odd sum of k signs is at least 1, and with 2000 samples it is 1.
    assert np.min(np.asarray(data.train_labels) * (np.asarray(data.train_inputs) @ teacher)) == 1


@pytest.mark.parametrize("dimension", [31, 100])
def test_sparse_inputs_are_fair_and_independent(key, dimension):
    n = 4000
    inputs = np.asarray(sparse_classification(key, n, dimension, 3).train_inputs, float)
    assert abs(inputs.mean()) <= 4 / math.sqrt(inputs.size)
    # n·(correlation of two coordinates)² has mean 1 and variance about 2 for every pair.
    pairs = n * np.square((inputs.T @ inputs / n)[np.triu_indices(dimension, 1)])
    assert abs(pairs.mean() - 1) <= 4 * math.sqrt(2 / pairs.size)


def test_separated_points_keep_their_distance_along_the_teacher(key):
    data = separated(key)
    eps = np.finfo(np.float32).eps
    teacher = np.asarray(data.teacher, float)
    assert abs(np.linalg.norm(teacher) - 1) <= 4 * eps
    for inputs, labels in (data[:2], data[2:4]):
        margins = np.asarray(labels) * (np.asarray(inputs, float) @ teacher)
        # Rounding of 100 terms of inputs of size up to about 6 in float32.
        assert np.all(margins >= GAP / 2 - 100 * 6 * eps)
        assert set(np.unique(labels)) == {-1, 1}


def test_separated_noise_is_standard_normal_across_the_teacher(key):
    data = l2_separated_classification(key, 2000, 50, 25.0)
    teacher, inputs = np.asarray(data.teacher, float), np.asarray(data.train_inputs, float)
    across = inputs - np.outer(inputs @ teacher, teacher)
    # A χ² of 2000·49 degrees of freedom.
    assert abs(np.sum(across**2) / (2000 * 49) - 1) <= 4 * math.sqrt(2 / (2000 * 49))
    # |z| of a normal number has mean √(2/π) and variance 1 − 2/π.
    along = np.abs(inputs @ teacher) - 12.5
    assert abs(along.mean() - math.sqrt(2 / math.pi)) <= 4 * math.sqrt((1 - 2 / math.pi) / 2000)


@TASKS
def test_without_a_test_set_the_rest_is_the_same(task, rounding, key):
    without, data = arrays(task(key, 0)), arrays(task(key))
    assert without[2].shape == (0, 100)
    for i in (0, 1, 4):
        np.testing.assert_allclose(without[i], data[i], rtol=rounding, atol=rounding)


@TASKS
def test_another_key_changes_everything_and_the_parts_are_independent(task, rounding):
    one, other = (arrays(task(jax.random.key(seed))) for seed in (0, 1))
    sets = [data[i][:200].astype(float) for data in (one, other) for i in (0, 2)]
    for a, b in itertools.combinations(sets, 2):
        # Points are independent; coordinates of a separated point share its label.
        products = np.mean(a * b, axis=1)
        assert abs(products.mean()) <= 4 * products.std(ddof=1) / math.sqrt(len(products))
    assert not np.allclose(one[4], other[4], atol=rounding)


@TASKS
@pytest.mark.parametrize("chunk", [7, 64, 301])
def test_points_streamed_in_chunks_of_any_size_are_the_test_set(task, rounding, chunk, key):
    data = task(key)
    points = Partial(sparse_points, data.test_key, data.teacher)
    if task is separated:
        points = Partial(l2_separated_points, data.test_key, data.teacher, GAP)
    chunks = [jax.jit(points, static_argnums=1)(start, chunk) for start in range(0, SIZE, chunk)]
    inputs, labels = (np.concatenate(part)[:SIZE] for part in zip(*chunks, strict=True))
    np.testing.assert_array_equal(labels, data.test_labels)
    np.testing.assert_allclose(inputs, data.test_inputs, rtol=rounding, atol=rounding)


@TASKS
def test_many_keys_at_once_are_one_at_a_time(task, rounding):
    keys = jax.random.split(jax.random.key(3), 3)
    together = arrays(jax.vmap(task)(keys))
    for i in range(3):
        for batched, alone in zip(together, arrays(task(keys[i])), strict=True):
            np.testing.assert_allclose(batched[i], alone, rtol=rounding, atol=rounding)


def test_the_gap_may_be_traced(key):
    make = lambda gap: l2_separated_classification(key, 200, 100, gap, SIZE)
    for traced, known in zip(arrays(jax.jit(make)(GAP)), arrays(make(GAP)), strict=True):
        np.testing.assert_allclose(traced, known, rtol=1e-6, atol=1e-6)


def test_streaming_ten_thousand_points_in_a_hundred_thousand_dimensions_stores_a_chunk(key):
    size, dimension = 10_000, 100_000
    weights, teacher = (jax.ShapeDtypeStruct((dimension,), jnp.float32) for _ in range(2))
    evaluate = jax.jit(lambda w, key, teacher: streamed_test(w, Partial(sparse_points, key, teacher), size))
    memory = evaluate.lower(weights, key, teacher).compile().memory_analysis()
    if memory is None:
        pytest.skip("this backend does not say how much memory a program takes")
    # A chunk is 2²⁴ numbers of 4 bytes; there are its random words, its inputs and some slack. All points are 4 GB.
    assert memory.temp_size_in_bytes <= 4 * 4 * 2**24


@pytest.mark.parametrize(
    ("sizes", "complaint"),
    [
        ((0, 10, 3), "train_size must be at least 1, got 0"),
        ((5, 0, 3), "dimension must be at least 1, got 0"),
        ((5, 10, 3, -1), "test_size must be at least 0, got -1"),
        ((5, 10, 4), "sparsity must be odd.* got 4"),
        ((5, 10, 11), "sparsity must be between 1 and the dimension 10, got 11"),
        ((5, 10, 0), "sparsity must be between .* got 0"),
        ((5, 10, -3), "sparsity must be between .* got -3"),
    ],
)
def test_impossible_sparse_tasks_are_refused(key, sizes, complaint):
    with pytest.raises(ValueError, match=complaint):
        sparse_classification(key, *sizes)


@pytest.mark.parametrize("gap", [-1.0, math.inf, math.nan])
def test_an_impossible_gap_is_refused(key, gap):
    with pytest.raises(ValueError, match=f"gap must be non-negative and finite, got {gap}"):
        l2_separated_classification(key, 5, 10, gap)
