"""Update rules against their formulas, one step at a time."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from grokjax import training

PARAMS = {"a": jnp.asarray([1.0, -2.0, 3.0]), "b": jnp.asarray([[0.5]])}
GRADIENT = {"a": jnp.asarray([0.3, 0.0, -4.0]), "b": jnp.asarray([[2.0]])}


def updated(optimiser, gradients, params: Any = PARAMS) -> Any:
    rule = optimiser.transformation(jnp.float64)
    state = rule.init(params)
    for gradient in gradients:
        changes, state = rule.update(gradient, state, params)
        params = optax.apply_updates(params, changes)
    return params


def test_decoupled_decay_shrinks_by_the_rate_times_the_decay_whatever_the_gradient():
    nothing = jax.tree.map(jnp.zeros_like, GRADIENT)
    shrunk = updated(training.AdamW(0.01, decoupled_weight_decay=15.0), [nothing] * 3)
    np.testing.assert_allclose(shrunk["a"], PARAMS["a"] * 0.85**3, rtol=1e-14)


def test_adam_moves_by_the_learning_rate_at_first_and_coupled_decay_goes_through_its_moments():
    moved = updated(training.Adam(0.01, eps=1e-300), [GRADIENT])
    np.testing.assert_allclose(moved["a"], PARAMS["a"] - 0.01 * np.sign(GRADIENT["a"]), rtol=1e-12)
    decayed = updated(training.Adam(0.01, weight_decay=1.0, eps=1e-300), [GRADIENT])
    np.testing.assert_allclose(decayed["a"], PARAMS["a"] - 0.01 * np.sign(GRADIENT["a"] + PARAMS["a"]), rtol=1e-12)


def test_gradient_descent_with_momentum_is_the_sum_of_discounted_gradients():
    moved = updated(training.SGD(0.1, momentum=0.5), [GRADIENT] * 3)
    np.testing.assert_allclose(moved["a"], PARAMS["a"] - 0.1 * (1 + 1.5 + 1.75) * GRADIENT["a"], rtol=1e-14)


def test_coupled_decay_is_the_gradient_of_half_the_squared_norm():
    moved = updated(training.SGD(0.1, weight_decay=2.0), [GRADIENT])
    np.testing.assert_allclose(moved["a"], PARAMS["a"] - 0.1 * (GRADIENT["a"] + 2 * PARAMS["a"]), rtol=1e-14)


@pytest.mark.parametrize(("limit", "expected"), [(0.1, 0.1), (100.0, float(optax.tree.norm(GRADIENT)))])
def test_the_gradient_is_clipped_in_norm_before_anything_else(limit, expected):
    moved = updated(training.SGD(1.0, clip=limit), [GRADIENT])
    assert optax.tree.norm(optax.tree.sub(moved, PARAMS)) == pytest.approx(expected, rel=1e-7)


def test_warm_up_rises_linearly_and_stays():
    schedule = training.warm_up(0.02, 10)
    rates = [float(schedule(jnp.int32(step))) for step in range(12)]
    np.testing.assert_allclose(rates, [*(0.002 * np.arange(1, 11)), 0.02, 0.02], rtol=1e-6)
    moved = updated(training.SGD(schedule), [GRADIENT] * 2)
    np.testing.assert_allclose(moved["a"], PARAMS["a"] - 0.006 * GRADIENT["a"], rtol=1e-6)


def test_moments_too_small_for_normal_numbers_become_zero():
    rule = training.AdamW(0.01).transformation(jnp.float32)
    params = {"a": jnp.ones(2, jnp.float32)}
    gradient = {"a": jnp.asarray([1e-25, 1e-15], jnp.float32)}
    _, state = rule.update(gradient, rule.init(params), params)
    second = next(x for x in jax.tree.leaves(state, is_leaf=lambda s: hasattr(s, "nu")) if hasattr(x, "nu")).nu["a"]
    assert second[0] == 0
    assert second[1] == pytest.approx(0.02e-30, rel=1e-5)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: training.AdamW(0.0), "learning_rate must be positive and finite, got 0.0"),
        (lambda: training.AdamW(float("nan")), "learning_rate"),
        (lambda: training.AdamW(0.1, decoupled_weight_decay=-1.0), "decoupled_weight_decay must be at least 0"),
        (lambda: training.SGD(0.1, weight_decay=-1.0), "weight_decay must be at least 0"),
        (lambda: training.SGD(0.1, momentum=1.0), "momentum must be at least 0 and below 1, got 1.0"),
        (lambda: training.Adam(0.1, clip=0.0), "clip must be positive and finite, got 0.0"),
    ],
)
def test_bad_hyper_parameters_are_named(make, words):
    with pytest.raises(ValueError, match=words):
        make()
