"""Losses and accuracies of a table against plain numpy, and what has no pairs."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from grokjax import data, losses, models, training

P = 29
NETWORK = models.pair_network(6, P, P, dtype=jnp.float64)
TABLE = data.operation_table("add", P)


def measured(split, **options):
    measure = training.measure_table(
        NETWORK, losses.cross_entropy, TABLE.inputs, TABLE.labels, split.train, labels=split.labels, **options
    )
    params, state = NETWORK.init(jax.random.key(0))
    params = params._replace(readout=20 * params.readout)
    return params, jax.tree.map(float, measure(params, state))


def test_every_number_is_that_of_plain_numpy_over_its_own_pairs(key):
    split = data.split(key, TABLE, 0.6, 0.4)
    params, values = measured(split, corrupted=split.corrupted)
    a, b = np.asarray(TABLE.inputs).T
    logits = (np.asarray(params.left)[a] + np.asarray(params.right)[b]) ** 2 @ np.asarray(params.readout).T
    log_probability = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    train, corrupted, labels = (np.asarray(x) for x in split)
    true = np.asarray(TABLE.labels)
    best = logits.argmax(axis=1)
    rows = np.arange(len(true))
    expected = {
        "train_loss": -log_probability[rows, labels][train].mean(),
        "test_loss": -log_probability[rows, true][~train].mean(),
        "train_accuracy": (best == labels)[train].mean(),
        "test_accuracy": (best == true)[~train].mean(),
        "corrupted_accuracy": (best == labels)[train & corrupted].mean(),
        "clean_accuracy": (best == labels)[train & ~corrupted].mean(),
        "parameter_norm": np.sqrt(sum((np.asarray(x) ** 2).sum() for x in jax.tree.leaves(params))),
    }
    assert values == pytest.approx(expected, rel=1e-10)


def test_what_has_no_pairs_is_not_a_number(key):
    _, everything = measured(data.split(key, TABLE, P * P), corrupted=jnp.zeros(P * P, bool))
    assert [name for name, value in everything.items() if np.isnan(value)] == [
        "corrupted_accuracy",
        "test_accuracy",
        "test_loss",
    ]


def test_float32_logits_can_be_judged_in_float64(key):
    network = models.pair_network(6, P, P)
    train = TABLE.labels < 9
    of = lambda dtype: training.measure_table(
        network, losses.cross_entropy, TABLE.inputs, TABLE.labels, train, loss_dtype=dtype
    )(*network.init(key))
    assert of(None)["test_loss"].dtype == jnp.float32
    assert of(jnp.float64)["test_loss"].dtype == jnp.float64
