"""The variable in which a flow is integrated and observed.

A clock maps its reading s to flow time t. `solve` steps in s, its `times` are readings, and observables are still given
flow time t. `flow_clock` is t itself; `scaled_clock(λ)` reads τ = λt, the unit of the theory, in which one array of
times serves every λ of a batch; `log_clock` reads log(1 + t/t₀), for flows that go on for decades.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array

from grokjax._checks import Scalar, check_positive

__all__ = ["Clock", "flow_clock", "log_clock", "scaled_clock"]


class Clock(NamedTuple):
    """A change of time variable: `time(s) -> t`, increasing, and `rate(s) -> dt/ds`."""

    time: Callable[[Array], Array]
    rate: Callable[[Array], Array]


def flow_clock() -> Clock:
    """s = t."""
    return scaled_clock(1.0)


def scaled_clock(rate: Scalar) -> Clock:
    """s = rate·t; with rate λ the readings are the scaled time τ = λt. The rate must be positive."""
    check_positive("rate", rate)
    rate = jnp.asarray(rate, float)
    return Clock(Partial(_divide, rate), Partial(_inverse, rate))


def log_clock(unit: Scalar = 1.0) -> Clock:
    """s = log(1 + t/unit): linear in t up to about one `unit` > 0 of flow time, logarithmic beyond."""
    check_positive("unit", unit)
    unit = jnp.asarray(unit, float)
    return Clock(Partial(_exponential, unit), Partial(_exponential_rate, unit))


def _divide(rate, s):
    return s / rate


def _inverse(rate, s):
    return jnp.ones_like(s) / rate


def _exponential(unit, s):
    return unit * jnp.expm1(s)


def _exponential_rate(unit, s):
    return unit * jnp.exp(s)
