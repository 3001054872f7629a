"""Pytrees as vectors."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from grokjax.flows.tree import tree_axpy, tree_irregular_like, tree_norm

TREE = {"a": jnp.asarray([[3.0, 0.0]]), "b": (jnp.asarray(4.0), jnp.zeros(0))}


@pytest.mark.parametrize("scale", [1e-300, 1e-160, 1.0, 1e160, 1e300])
def test_the_norm_survives_scales_whose_squares_do_not(scale):
    scaled = jax.tree.map(lambda x: scale * x, TREE)
    np.testing.assert_allclose(tree_norm(scaled), 5 * scale, rtol=4 * np.finfo(float).eps)


def test_the_norm_of_nothing_is_zero_and_of_nan_and_infinity_is_not_finite():
    assert tree_norm({"a": jnp.zeros(3)}) == 0
    assert np.isnan(tree_norm({"a": jnp.asarray([1.0, jnp.nan])}))
    assert np.isinf(tree_norm({"a": jnp.asarray([1.0, jnp.inf])}))


def test_axpy_keeps_the_precision_of_y():
    result = tree_axpy(jnp.asarray(2.0), {"x": jnp.ones(2, jnp.float32)}, {"x": jnp.ones(2, jnp.float32)})
    assert result["x"].dtype == jnp.float32
    np.testing.assert_array_equal(result["x"], [3, 3])


@pytest.mark.parametrize("size", [1000, 100_000])
def test_irregular_trees_have_norm_one_and_no_preferred_direction(size):
    tree = {"a": jnp.zeros((10, size // 20)), "b": jnp.zeros(size // 2)}
    flat = np.asarray(ravel_pytree(tree_irregular_like(tree))[0])
    assert abs(np.linalg.norm(flat) - 1) < 0.05
    # Overlap with smooth directions is what a random vector of this size has, to within a few standard deviations.
    for mode in (np.ones(size), np.cos(np.linspace(0, np.pi, size)), (-1.0) ** np.arange(size)):
        assert abs(flat @ mode) / np.linalg.norm(mode) < 5 / np.sqrt(size)
    assert len(np.unique(flat)) > 0.9 * size
