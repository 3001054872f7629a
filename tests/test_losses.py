"""Losses against arithmetic of 600 digits, far beyond where floats under- and overflow."""

from __future__ import annotations

import decimal
import math
from decimal import Decimal

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from grokjax import losses
from grokjax.models import diagonal_linear

BINARY = [losses.logistic, losses.exponential]
# 35 and 15 are where log log(1 + e^(−m)) changes its formula in float64 and float32.
MARGINS = (-1000.0, -710.0, -709.0, -90.0, -35.5, -15.0, -1.0, -1e-3, 0.0, 1e-9, 0.5, 2.0, 14.5, 15.0, 15.5, 34.5, 35.0,
           35.5, 80.0, 700.0, 800.0, 1000.0)  # fmt: skip


@pytest.fixture(autouse=True)
def many_digits():
    with decimal.localcontext(prec=600):
        yield


def exact(name, margin):
    """ℓ, log ℓ and d(log ℓ)/dm at a margin m."""
    tail = (-Decimal(margin)).exp()
    if name == "exponential":
        return tail, -Decimal(margin), Decimal(-1)
    value = (1 + tail).ln()
    return value, value.ln(), -tail / (1 + tail) / value


def each(function, *arrays):
    return np.asarray(jax.jit(jax.vmap(function))(*arrays))


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("loss", BINARY, ids=lambda loss: loss.name)
def test_binary_losses_agree_with_600_digits(loss, sign, dtype):
    margins, eps, tiny = jnp.asarray(MARGINS, dtype), float(jnp.finfo(dtype).eps), float(jnp.finfo(dtype).tiny)
    labels = jnp.full(len(MARGINS), sign)
    outputs = margins * labels.astype(dtype)
    value, log_value, slope = np.asarray([[float(x) for x in exact(loss.name, m)] for m in margins.tolist()]).T
    with np.errstate(over="ignore"):
        value = value.astype(dtype)
    # An exponential has a few roundings; below the smallest normal number it may be 0.
    np.testing.assert_allclose(each(loss.value, outputs, labels), value, rtol=16 * eps, atol=tiny)
    np.testing.assert_allclose(each(loss.log_value, outputs, labels), log_value, rtol=4 * eps, atol=4 * eps)
    slopes = each(jax.grad(loss.log_value), outputs, labels) * sign
    np.testing.assert_allclose(slopes, slope, rtol=16 * eps, atol=tiny)


def test_float64_cannot_hold_what_its_logarithm_holds():
    """The control of the test above: at a margin of 800 the plain loss is gone."""
    assert losses.logistic.value(jnp.asarray(800.0), jnp.asarray(1)) == 0
    assert losses.logistic.value(jnp.asarray(-800.0), jnp.asarray(1)) == 800
    assert losses.exponential.value(jnp.asarray(-800.0), jnp.asarray(1)) == math.inf


@pytest.mark.parametrize("loss", [*BINARY, losses.squared], ids=lambda loss: loss.name)
def test_gradients_of_log_values_are_finite_at_every_margin(loss):
    margins = jnp.linspace(-1e4, 1e4, 40_001)
    slopes = each(jax.grad(loss.log_value), margins, jnp.full(margins.shape, 0.3 if loss is losses.squared else 1.0))
    assert np.all(np.isfinite(slopes))


def test_squared_loss_has_no_half():
    assert losses.squared.value(jnp.asarray(5.0), jnp.asarray(2)) == 9
    assert math.isclose(losses.squared.log_value(jnp.asarray(5.0), jnp.asarray(2)), math.log(9), rel_tol=1e-15)


@jax.jit
@jax.vmap
def softmax_and_cross_entropy(logits, label):
    """−log softmax; the loss, its logarithm and the gradient of that."""
    log_value = losses.cross_entropy.log_value
    plain = -jax.nn.log_softmax(logits)[label]
    return plain, losses.cross_entropy.value(logits, label), *jax.value_and_grad(log_value)(logits, label)


@pytest.mark.parametrize("scale", [1.0, 30.0, 1e4, 1e300])
def test_cross_entropy_is_minus_log_softmax(scale):
    logits = scale * np.random.default_rng(0).normal(size=(50, 7))
    plain, value, log_value, slope = map(np.asarray, softmax_and_cross_entropy(logits, np.arange(50) % 7))
    # log_softmax subtracts numbers of the size of the logits.
    np.testing.assert_allclose(value, plain, rtol=1e-14, atol=16 * np.finfo(float).eps * scale)
    np.testing.assert_allclose(np.exp(log_value), value, rtol=1e-12, atol=np.finfo(float).tiny)
    assert np.all(np.isfinite(log_value))
    assert np.all(np.isfinite(slope))


@pytest.mark.parametrize("part", ["value", "log_value"])
def test_cross_entropy_of_two_classes_is_the_logistic_loss_of_their_difference(part):
    margins = jnp.asarray(MARGINS)
    first = jnp.stack([jnp.full(margins.shape, 8.0), 8.0 - margins], axis=1)
    binary, multi = getattr(losses.logistic, part), getattr(losses.cross_entropy, part)
    # 8 − (8 − m) is m up to a rounding of the size of 8, relative to a value of e^(−m).
    expected = each(binary, 8.0 - (8.0 - margins), jnp.ones(len(MARGINS)))
    np.testing.assert_allclose(each(multi, first, jnp.zeros(len(MARGINS), int)), expected, rtol=1e-14, atol=1e-15)


def problem(loss, scale=1.0):
    """Outputs ⟨θ, x⟩ of both signs, in general; for large scales all margins are large and positive."""
    inputs = jnp.asarray([[1.0, 0.5], [0.3, 2.0], [-1.0, -0.1]])
    labels = jnp.asarray([0, 1, 0] if loss is losses.cross_entropy else [1, 1, -1])
    apply = (lambda p, x: jnp.stack([p @ x, p[0] * x[1]])) if loss is losses.cross_entropy else (lambda p, x: p @ x)
    return apply, inputs, labels, scale * jnp.asarray([0.7, 0.4])


@pytest.mark.parametrize("loss", [*BINARY, losses.squared, losses.cross_entropy], ids=lambda loss: loss.name)
def test_risks_are_the_plain_mean_and_its_logarithm(loss):
    apply, inputs, labels, params = problem(loss)
    mean = sum(float(loss.value(apply(params, x), y)) for x, y in zip(inputs, labels, strict=True)) / 3
    assert math.isclose(losses.empirical_risk(apply, loss, inputs, labels)(params), mean, rel_tol=1e-14)
    log_risk = losses.log_empirical_risk(apply, loss, inputs, labels)(params)
    assert math.isclose(log_risk, math.log(mean), rel_tol=1e-14, abs_tol=1e-14)


@pytest.mark.parametrize("loss", BINARY, ids=lambda loss: loss.name)
def test_the_log_risk_goes_on_where_the_risk_has_vanished(loss):
    apply, inputs, labels, params = problem(loss, scale=1.2e3)
    assert losses.empirical_risk(apply, loss, inputs, labels)(params) == 0
    margins = (np.asarray(inputs @ params) * np.asarray(labels)).tolist()
    log_risk = losses.log_empirical_risk(apply, loss, inputs, labels)
    expected = sum((exact(loss.name, m)[0] for m in margins), Decimal(0)) / 3
    assert math.isclose(log_risk(params), expected.ln(), rel_tol=1e-14)
    # The last sample has the least margin and all the weight: the others have less than e^(−100) of it.
    np.testing.assert_allclose(jax.grad(log_risk)(params), -inputs[2] * labels[2].astype(float), rtol=1e-13)


def test_an_exactly_fitted_sample_leaves_the_log_risk_differentiable():
    apply, inputs, params = lambda p, x: p @ x, jnp.eye(2), jnp.asarray([1.0, 2.0])
    data = apply, losses.squared, inputs, jnp.asarray([1.0, 5.0])
    slope = jax.grad(losses.empirical_risk(*data))(params) / losses.empirical_risk(*data)(params)
    np.testing.assert_allclose(jax.grad(losses.log_empirical_risk(*data))(params), slope, rtol=1e-15)


@pytest.mark.parametrize("risk", [losses.empirical_risk, losses.log_empirical_risk])
def test_only_new_shapes_compile_anew(risk, key):
    traces = []

    @jax.jit
    def evaluate(objective, params):
        traces.append(params)
        return objective(params)

    def data(size, seed):
        inputs = jax.random.normal(jax.random.key(seed), (size, 3))
        return diagonal_linear(2).apply, losses.logistic, inputs, jnp.sign(inputs[:, 0])

    params = diagonal_linear(2).init(key, 3, 1.0)
    values = {float(evaluate(risk(*data(5, seed)), params._replace(u=2 * params.u))) for seed in range(3)}
    assert (len(traces), len(values)) == (1, 3)
    evaluate(risk(*data(6, 0)), params)
    assert len(traces) == 2


@pytest.mark.usefixtures("unchecked_types")
@pytest.mark.parametrize("risk", [losses.empirical_risk, losses.log_empirical_risk])
@pytest.mark.parametrize(
    ("inputs", "labels", "name"),
    [((3, 2), (4,), "labels"), ((3, 2), (3, 1), "labels"), ((3, 2), (), "labels"), ((0, 2), (0,), "inputs")],
)
def test_data_that_do_not_pair_are_refused(risk, inputs, labels, name):
    with pytest.raises(ValueError, match=f"^{name} must"):
        risk(lambda p, x: p @ x, losses.logistic, jnp.zeros(inputs), jnp.zeros(labels))


def test_accuracy_counts_a_zero_margin_as_half():
    outputs, labels = jnp.asarray([[3.0, -1e-300, 0.0, 2.0], [0.0, 0.0, 0.0, 0.0]]), jnp.asarray([1, -1, 1, -1])
    assert losses.accuracy(outputs, labels).tolist() == [(1 + 1 + 0.5 + 0) / 4, 0.5]


def test_a_tie_of_k_classes_for_the_largest_logit_counts_one_kth():
    logits = jnp.asarray([[3.0, 1.0, 2.0], [0.0, 0.0, 0.0], [5.0, 5.0, 6.0], [-jnp.inf, 1.0, 0.0], [2.0, 2.0, 1.0]])
    labels = jnp.asarray([0, 1, 2, 0, 1])
    assert losses.multiclass_correct(logits, labels).tolist() == [1, 1 / 3, 1, 0, 0.5]
    assert losses.multiclass_accuracy(logits, labels) == pytest.approx((1 + 1 / 3 + 1 + 0 + 0.5) / 5, rel=1e-15)


def test_logits_that_are_not_numbers_are_wrong():
    logits = jnp.asarray([[jnp.nan, 0.0], [jnp.nan, jnp.nan], [jnp.inf, 0.0], [jnp.inf, jnp.inf]])
    assert losses.multiclass_correct(logits, jnp.asarray([0, 0, 0, 0])).tolist() == [0, 0, 1, 0.5]


def test_the_squared_loss_of_classes_is_the_mean_square_of_the_distance_from_one_hot_labels(key):
    logits, labels = jax.random.normal(key, (6, 5)), np.arange(6) % 5
    expected = np.mean((np.asarray(logits) - np.eye(5)[labels]) ** 2, axis=-1)
    values = jax.vmap(losses.one_hot_squared.value)(logits, jnp.asarray(labels))
    logs = jax.vmap(losses.one_hot_squared.log_value)(logits, jnp.asarray(labels))
    np.testing.assert_allclose(values, expected, rtol=1e-14)
    np.testing.assert_allclose(logs, np.log(expected), rtol=1e-13)


def test_a_fitted_sample_has_no_weight_in_the_log_of_the_squared_loss_of_classes():
    value, slope = jax.value_and_grad(losses.one_hot_squared.log_value)(jnp.asarray([0.0, 1.0]), 1)
    assert value == -jnp.inf
    assert slope.tolist() == [0, 0]


def test_multiclass_margins_are_leads_of_the_label_and_positive_exactly_where_it_is_right(key):
    logits = jax.random.normal(key, (3, 20, 5))
    labels = jnp.arange(20) % 5
    margins = losses.multiclass_margins(logits, labels)
    for row, label, margin in zip(logits[1], labels, margins[1], strict=True):
        assert margin == row[label] - jnp.max(jnp.delete(row, label))
    np.testing.assert_allclose(
        np.mean(np.asarray(margins) > 0, axis=-1), losses.multiclass_accuracy(logits, labels), rtol=1e-14
    )


def test_multiclass_accuracy_is_the_share_of_right_largest_logits(key):
    logits = jax.random.normal(key, (5, 200, 7))
    labels = jax.random.randint(key, (200,), 0, 7)
    right = np.argmax(np.asarray(logits), axis=-1) == np.asarray(labels)
    np.testing.assert_allclose(losses.multiclass_accuracy(logits, labels), right.mean(axis=-1), rtol=1e-14)
