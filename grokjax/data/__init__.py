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
from grokjax.data.operations import OperationTable, operation_table
from grokjax.data.splits import Rows, Split, split, take

__all__ = [
    "CompletionData",
    "Dataset",
    "ModularData",
    "OperationTable",
    "Rows",
    "Split",
    "l2_separated_classification",
    "l2_separated_points",
    "low_rank",
    "matrix_completion",
    "modular_addition",
    "modular_task",
    "multiplication_table",
    "observed_entries",
    "operation_table",
    "sparse_classification",
    "sparse_points",
    "split",
    "take",
]
