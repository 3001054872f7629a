"""Operations modulo p: sizes, labels, and the split."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from grokjax.data import modular_addition, modular_task


def rows(array):
    return [tuple(row) for row in np.asarray(array).tolist()]


def test_addition_modulo_97_has_the_sizes_of_the_paper(key):
    data = modular_addition(key, 97, 0.4)
    assert (len(data.train_inputs), len(data.test_inputs)) == (3763, 5646)


@pytest.mark.parametrize(("modulus", "share"), [(97, 0.4), (10, 0.29), (2, 0.25), (7, 0.99), (5, 1.0)])
def test_train_and_test_are_all_ordered_pairs_once_with_their_sums(key, modulus, share):
    data = modular_addition(key, modulus, share)
    # 0.29·100 is 28.999… in floating point; the share is meant as a decimal number.
    assert len(data.train_inputs) == round(share * 100) * modulus**2 // 100
    assert all(leaf.dtype == jnp.int32 for leaf in data)
    both = rows(data.train_inputs) + rows(data.test_inputs)
    assert sorted(both) == [(a, b) for a in range(modulus) for b in range(modulus)]
    for inputs, labels in (data[:2], data[2:]):
        assert labels.tolist() == [(a + b) % modulus for a, b in rows(inputs)]


@pytest.mark.parametrize(
    ("operation", "reference"),
    [
        (lambda a, b: a - b, lambda a, b: a - b),
        (lambda a, b: a * b, lambda a, b: a * b),
        (lambda a, b: a**3 + b**2 * a + b, lambda a, b: a**3 + b**2 * a + b),
    ],
    ids=["difference", "product", "cubic"],
)
def test_any_operation_is_reduced_to_numbers_from_0_and_split_like_a_sum(key, operation, reference):
    data, addition = modular_task(key, 23, 0.5, operation), modular_addition(key, 23, 0.5)
    np.testing.assert_array_equal(data.train_inputs, addition.train_inputs)
    for inputs, labels in (data[:2], data[2:]):
        # Python's integers have no size and its remainder has the sign of the modulus.
        assert labels.tolist() == [reference(a, b) % 23 for a, b in rows(inputs)]


def test_a_key_decides_the_split(key):
    one, again, other = (modular_addition(k, 23, 0.5) for k in (key, key, jax.random.key(1)))
    jax.tree.map(np.testing.assert_array_equal, one, again)
    assert set(rows(one.train_inputs)) != set(rows(other.train_inputs))


def test_every_pair_is_trained_on_equally_often():
    modulus, share, draws = 4, 0.375, 4000
    keys = jax.random.split(jax.random.key(2), draws)
    inputs = np.asarray(jax.jit(jax.vmap(lambda key: modular_addition(key, modulus, share).train_inputs))(keys))
    counts = np.bincount((inputs[..., 0] * modulus + inputs[..., 1]).ravel(), minlength=modulus**2)
    # Without replacement the variance of a count is smaller than that of a multinomial by (1 − share), and the
    # counts sum to a constant.
    variance = draws * share * (1 - share) * modulus**2 / (modulus**2 - 1)
    assert stats.chi2.sf(np.sum((counts - draws * share) ** 2) / variance, modulus**2 - 1) > 1e-4


def test_many_keys_at_once_are_one_at_a_time():
    keys = jax.random.split(jax.random.key(3), 3)
    together = jax.jit(jax.vmap(lambda key: modular_addition(key, 7, 0.4)))(keys)
    for i in range(3):
        alone = modular_addition(keys[i], 7, 0.4)
        jax.tree.map(lambda batch, one, i=i: np.testing.assert_array_equal(batch[i], one), together, alone)


@pytest.mark.parametrize(
    ("modulus", "share", "complaint"),
    [
        (1, 0.5, "^modulus must be an integer of at least 2, got 1"),
        (-3, 0.5, "^modulus must be an integer of at least 2, got -3"),
        (97.0, 0.5, "^modulus must be an integer of at least 2, got 97.0"),
        (97, 0.0, "^train_fraction must be above 0 and at most 1, got 0.0"),
        (97, -0.1, "^train_fraction must be above 0 and at most 1, got -0.1"),
        (97, 1.1, "^train_fraction must be above 0 and at most 1, got 1.1"),
        (97, float("nan"), "^train_fraction must be above 0 and at most 1, got nan"),
        (3, 0.1, "^train_fraction must give at least one of 9 pairs, got 0.1"),
    ],
)
def test_an_impossible_split_is_refused(key, modulus, share, complaint, unchecked_types):
    with pytest.raises(ValueError, match=complaint):
        modular_addition(key, modulus, share)
