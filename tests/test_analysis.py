"""Directions, margins, streamed test curves and crossing times against loops and closed forms."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from grokjax import losses
from grokjax.analysis import cosine, crossing_time, linear, normalised_margin, streamed_test
from grokjax.data import l2_separated_classification, l2_separated_points, sparse_classification, sparse_points

TIMES = np.asarray([0.0, 1.0, 2.0, 4.0, 8.0])


@pytest.mark.parametrize("batch", [(), (3,), (2, 3)])
def test_cosine_and_margins_agree_with_loops(key, batch):
    keys = jax.random.split(key, 3)
    weights, inputs = jax.random.normal(keys[0], (*batch, 6)), jax.random.normal(keys[1], (5, 6))
    labels, direction = jnp.asarray([1, -1, 1, 1, -1]), jax.random.normal(keys[2], (6,))
    found = cosine(weights, direction), *(normalised_margin(weights, inputs, labels, order) for order in (1, 2))
    for index in np.ndindex(batch):
        w, v = np.asarray(weights)[index].tolist(), direction.tolist()
        dot = lambda a, b: math.fsum(x * y for x, y in zip(a, b, strict=True))
        least = min(y * dot(w, x) for x, y in zip(inputs.tolist(), labels.tolist(), strict=True))
        norms = sum(map(abs, w)), math.hypot(*w)
        expected = dot(w, v) / math.hypot(*v) / norms[1], least / norms[0], least / norms[1]
        np.testing.assert_allclose([curve[index] for curve in found], expected, rtol=1e-13, atol=1e-15)


def test_vanishing_weights_have_neither_direction_nor_margin():
    weights = jnp.asarray([[0.0, 0.0], [3.0, 4.0]])
    assert np.isnan(cosine(weights, jnp.asarray([1.0, 0.0]))).tolist() == [True, False]
    assert np.isnan(normalised_margin(weights, jnp.ones((1, 2)), jnp.ones(1), 2)).tolist() == [True, False]


@pytest.mark.parametrize("scale", [1e-60, 1.0, 1e60])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_a_normalised_margin_does_not_depend_on_the_size_of_the_weights(scale, dtype):
    margin = normalised_margin(scale * jnp.asarray([3.0, 4.0]), jnp.eye(2, dtype=dtype), jnp.ones(2), 2)
    np.testing.assert_allclose(margin, 0.6, rtol=4 * float(jnp.finfo(dtype).eps))


@pytest.mark.parametrize(
    ("size", "chunk", "name"), [(100, 100, "logistic"), (99, 10, "squared"), (1, 7, "logistic"), (7, 1, "squared")]
)
def test_a_streamed_test_is_the_test_on_all_points(key, monkeypatch, size, chunk, name):
    loss = getattr(losses, name)
    monkeypatch.setattr(linear, "_CHUNK", 20 * chunk)
    data = sparse_classification(key, 1, 20, 3, size, jnp.float64)
    weights = jax.random.normal(key, (2, 3, 20))
    found = streamed_test(weights, Partial(sparse_points, data.test_key, data.teacher), size, loss)
    outputs = np.asarray(weights @ data.test_inputs.T)
    margins = outputs * np.asarray(data.test_labels)
    expected = np.logaddexp(0, -margins) if loss is losses.logistic else (outputs - np.asarray(data.test_labels)) ** 2
    np.testing.assert_allclose(found.loss, expected.mean(-1), rtol=1e-13)
    np.testing.assert_allclose(found.accuracy, (margins > 0).mean(-1), rtol=1e-13)


@pytest.mark.parametrize("task", ["sparse", "separated"])
def test_the_teacher_is_right_its_opposite_wrong_and_nothing_is_chance(key, task):
    if task == "sparse":
        data = sparse_classification(key, 1, 50, 3)
        points = Partial(sparse_points, data.test_key, data.teacher)
    else:
        data = l2_separated_classification(key, 1, 50, 5.0)
        points = Partial(l2_separated_points, data.test_key, data.teacher, 5.0)
    weights = jnp.stack([data.teacher, -data.teacher, jnp.zeros(50, jnp.float32)])
    accuracy = streamed_test(weights, points, 1001).accuracy
    # 1/1001 is rounded once.
    np.testing.assert_allclose(accuracy, [1.0, 0.0, 0.5], rtol=0, atol=np.finfo(float).eps)


def test_a_streamed_test_needs_a_point():
    with pytest.raises(ValueError, match="size must be at least 1, got 0"):
        streamed_test(jnp.zeros(3), Partial(sparse_points, jax.random.key(0), jnp.ones(3)), 0)


@pytest.mark.parametrize(
    ("curve", "level", "expected"),
    [
        ([0.0, 0.2, 0.4, 0.8, 0.9], 0.6, 3.0),
        ([0.0, 0.2, 0.4, 0.8, 0.9], 0.8, 4.0),
        ([0.0, 1.0, 0.0, 1.0, 1.0], 0.5, 0.5),
        ([0.7, 0.0, 0.0, 0.8, 0.9], 0.6, 0.0),
        ([0.0, 0.0, 0.0, 0.0, 1.0], 1.0, 8.0),
        ([0.0, 0.2, 0.4, 0.8, 0.9], 0.95, math.nan),
        ([math.nan] * 5, 0.5, math.nan),
        ([math.nan, 0.2, 0.4, 0.8, 0.9], 0.6, math.nan),
        ([0.0, 0.2, math.nan, 0.8, 0.9], 0.6, math.nan),
        ([0.0, 0.2, 0.4, 0.8, math.nan], 0.6, 3.0),
    ],
)
def test_crossing_is_where_the_line_between_two_times_meets_the_level(curve, level, expected):
    np.testing.assert_allclose(crossing_time(TIMES, jnp.asarray(curve), level), expected, rtol=1e-15)


def test_crossing_of_an_exponential_nears_its_time_like_the_square_of_the_spacing():
    """1 − e^(−t) reaches ½ at log 2; interpolation errs by f''h²/8f' at most, which is h²/8 here."""
    for points in (10, 100, 1000):
        times, step = np.linspace(0, 2, points, retstep=True)
        assert abs(crossing_time(times, jnp.asarray(1 - np.exp(-times)), 0.5) - math.log(2)) <= step**2 / 8


@pytest.mark.parametrize("level", [0.5, [[0.25, 0.5, 2.0], [0.1, 0.9, 0.7]]])
def test_many_curves_cross_as_one_does(level):
    slopes = jnp.asarray([[0.1, 1.0, 0.3], [1e-3, 0.6, 2.0]])
    curves, levels = slopes[..., None] * jnp.asarray(TIMES)[None, None], np.broadcast_to(level, (2, 3))
    found = jax.jit(crossing_time)(TIMES, curves, jnp.asarray(level))
    expected = np.where(levels / slopes <= 8, levels / slopes, np.nan)
    np.testing.assert_allclose(found, expected, rtol=1e-14)


@pytest.mark.parametrize("times", [np.asarray([0, 1, 2, 4], dtype) for dtype in (int, np.float32, float)])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_times_and_curves_may_differ_in_type(times, dtype):
    assert crossing_time(times, jnp.asarray([0, 0.25, 0.5, 1], dtype), 0.75) == 3
