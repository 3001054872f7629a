"""grokjax: gradient flows of homogeneous models, and the measures of grokking.

Sub-modules load when first used, so that importing `grokjax` compiles, configures and costs nothing:

    models    homogeneous models and transformers             (`models.diagonal_linear`)
    data      data sets from a PRNG key                       (`data.sparse_classification`)
    losses    per-sample losses, stable also in log space     (`losses.logistic`)
    flows     continuous-time training                        (`flows.solve`)
    training  training by optimiser steps                     (`training.train`)
    analysis  what is read off parameters and curves          (`analysis.transition`)
    sweeps    many cells as few programs, in a store          (`sweeps.run`)
    experiment  configuration, claims, figures and results on disk

Analytic predictions live in the sibling package `theory`, which shares no code with this one.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from grokjax import analysis, data, experiment, flows, losses, models, sweeps, training

__all__ = ["analysis", "data", "experiment", "flows", "losses", "models", "sweeps", "training"]


def __getattr__(name: str) -> ModuleType:
    if name in __all__:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
