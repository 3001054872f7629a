"""Data sets, each made by a function of one PRNG key; points can be streamed instead of stored."""

from grokjax.data.classification import (
    Dataset,
    l2_separated_classification,
    l2_separated_points,
    sparse_classification,
    sparse_points,
)
from grokjax.data.completion import (
    CompletionData,
    low_rank,
    matrix_completion,
    multiplication_table,
    observed_entries,
)
from grokjax.data.modular import ModularData, modular_addition, modular_task

__all__ = [
    "CompletionData",
    "Dataset",
    "ModularData",
    "l2_separated_classification",
    "l2_separated_points",
    "low_rank",
    "matrix_completion",
    "modular_addition",
    "modular_task",
    "multiplication_table",
    "observed_entries",
    "sparse_classification",
    "sparse_points",
]
