"""Training by optimiser steps, as experiments do it: batches, schedules, decoupled decay, dropout.

    run = training.train(
        network, training.AdamW(1e-2, decoupled_weight_decay=5.0), losses.one_hot_squared, network.init(key),
        training.table_examples(table, split, capacity=4704), steps=range(0, 2001, 10), key=key,
        measure=training.measure_table(network, losses.one_hot_squared, table, split),
    )

A whole run is one compiled loop. What differs from cell to cell of a grid is traced: one compilation serves all.

Gradient flows, the limit of small steps, are in `flows`.
"""

from grokjax.training.objective import Examples, examples, mean_loss_and_gradient
from grokjax.training.optimisers import SGD, Adam, AdamW, Optimiser, warm_up
from grokjax.training.table import measure_table, table_examples
from grokjax.training.train import TrainingRun, TrainingStatus, train

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "Examples",
    "Optimiser",
    "TrainingRun",
    "TrainingStatus",
    "examples",
    "mean_loss_and_gradient",
    "measure_table",
    "table_examples",
    "train",
    "warm_up",
]
