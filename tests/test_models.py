"""Diagonal linear networks: definition, homogeneity and the symmetric start."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grokjax.models import DiagonalParams, diagonal_linear

EPS = np.finfo(float).eps
DEPTHS = range(2, 6)


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
def test_scaling_the_parameters_scales_the_output_by_the_power_of_the_degree(depth, scale, seed):
    model = diagonal_linear(depth)
    params, x = sample(seed)
    scaled = model.apply(jax.tree.map(lambda p: scale * p, params), x)
    bound = jnp.dot(jnp.abs(x), jnp.abs(params.u) ** depth + jnp.abs(params.v) ** depth)
    assert model.degree == depth
    assert abs(scaled / scale**depth - model.apply(params, x)) <= 4 * (depth + x.size) * EPS * bound


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("initial_norm", [1e-30, 1.0, 128.0, 1e30])
def test_the_start_has_its_norm_and_no_output(key, depth, initial_norm):
    model = diagonal_linear(depth)
    params, inputs = model.init(key, 1000, initial_norm), jax.random.normal(key, (20, 1000))
    assert params.u.shape == params.v.shape == (1000,)
    assert math.isclose(math.hypot(*params.u.tolist(), *params.v.tolist()), initial_norm, rel_tol=8 * EPS)
    assert np.all(jax.vmap(model.apply, (None, 0))(params, inputs) == 0)


def test_the_initial_norm_may_be_traced():
    init = diagonal_linear(2).init
    norms = jnp.asarray([1.0, 3.0])
    together = jax.jit(jax.vmap(lambda norm: init(None, 4, norm)))(norms)
    for i, norm in enumerate(norms.tolist()):
        jax.tree.map(np.testing.assert_array_equal, jax.tree.map(lambda p, i=i: p[i], together), init(None, 4, norm))


def test_many_seeds_at_once_are_one_at_a_time():
    model = diagonal_linear(3)
    params, inputs = jax.vmap(lambda seed: sample(seed))(jnp.arange(5))
    together = jax.jit(jax.vmap(model.apply))(params, inputs)
    one_by_one = [model.apply(*sample(seed)) for seed in range(5)]
    # The order of a sum over 7 coordinates may differ.
    np.testing.assert_allclose(together, one_by_one, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_inputs_take_the_precision_of_the_parameters(dtype):
    model = diagonal_linear(2)
    assert model.apply(model.init(None, 3, 1.0, dtype), jnp.ones(3, jnp.float32)).dtype == dtype


@pytest.mark.parametrize("depth", [1, 0, -2, 2.5, 2.0, True, "2"])
def test_a_depth_that_is_no_integer_from_2_is_refused(depth, monkeypatch):
    monkeypatch.setattr("jaxtyping.config.jaxtyping_disable", True)
    with pytest.raises(ValueError, match=f"depth must .* got {depth!r}"):
        diagonal_linear(depth)


@pytest.mark.parametrize(
    ("dimension", "initial_norm", "name"),
    [(0, 1.0, "dimension"), (-1, 1.0, "dimension"), *((3, n, "initial_norm") for n in (0.0, -1.0, math.inf, math.nan))],
)
def test_a_start_without_size_is_refused(dimension, initial_norm, name):
    with pytest.raises(ValueError, match=f"^{name} must"):
        diagonal_linear(2).init(None, dimension, initial_norm)
