"""Data sets, each made by a function of one PRNG key; points can be streamed instead of stored."""

from grokjax.data.classification import (
    Dataset,
    l2_separated_classification,
    l2_separated_points,
    sparse_classification,
    sparse_points,
)

__all__ = [
    "Dataset",
    "l2_separated_classification",
    "l2_separated_points",
    "sparse_classification",
    "sparse_points",
]
