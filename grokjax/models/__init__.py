"""Homogeneous models as NamedTuples of pure functions, written for one sample; the caller vmaps."""

from grokjax.models.base import Model
from grokjax.models.diagonal import DiagonalParams, diagonal_linear

__all__ = ["DiagonalParams", "Model", "diagonal_linear"]
