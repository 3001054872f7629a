"""Training by optimiser steps, as experiments do it: batches, schedules, decoupled decay, dropout.

    initial = network.init(key)
    run = training.train(network, training.AdamW(1e-2, decoupled_weight_decay=5.0), losses.one_hot_squared, initial,
                         training.examples(inputs, labels, count), steps=range(0, 2001, 10), key=key, measure=measure)

A whole run is one compiled loop. What differs from cell to cell of a grid is traced: one compilation serves all.

Gradient flows, the limit of small steps, are in `flows`.
"""

from grokjax.training.measure import measure_table
from grokjax.training.objective import Examples, examples, mean_loss_and_gradient
from grokjax.training.optimisers import SGD, Adam, AdamW, Optimiser, warm_up
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
    "train",
    "warm_up",
]
