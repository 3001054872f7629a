"""What a run returns: recorded observables, what it cost, and how it ended."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any, NamedTuple

from jaxtyping import Array, Bool, Float, Int, PyTree

__all__ = ["Solution", "Statistics", "Status"]


class Status(enum.IntEnum):
    """How a run ended: one integer a run, never an exception. `Status(int(code)).message` says it in words."""

    SUCCESS = 0
    EVENT = 1
    MAX_STEPS = 2
    STEP_SIZE_UNDERFLOW = 3
    DIVERGED = 4
    SOLVER_FAILED = 5
    INVALID_TIMES = 6

    @property
    def message(self) -> str:
        return _MESSAGES[self]


_MESSAGES = {
    Status.SUCCESS: "reached the last time",
    Status.EVENT: "stopped by its event",
    Status.MAX_STEPS: "ran out of steps: raise max_steps, or use RKC2() or stiff() if the flow is stiff",
    Status.STEP_SIZE_UNDERFLOW: "step size underflow: the flow blows up in finite time, or rtol is below the noise "
    "of the field",
    Status.DIVERGED: "non-finite parameters or vector field: check the data, the initial norm and the step size",
    Status.SOLVER_FAILED: "the solver failed inside a step: loosen the tolerances or choose another solver",
    Status.INVALID_TIMES: "times were not finite, increasing and at or after start; seen only when they are traced",
}


class Statistics(NamedTuple):
    """What a run cost.

    Attributes:
        accepted: steps taken.
        rejected: steps refused by the error control.
        gradient_evaluations: evaluations of the vector field, those of refused steps, of the first step's size and
            of spectral-radius estimates included (a Jacobian-vector product counts two); −1 where the solver does not
            tell (implicit solvers).
    """

    accepted: Int[Array, "..."]
    rejected: Int[Array, "..."]
    gradient_evaluations: Int[Array, "..."]


class Solution(NamedTuple):
    """A finished run; under vmap every field has the batch axes in front.

    Attributes:
        times: the clock readings asked for, shape (T,); flow times unless a clock was given.
        observed: what `observe` returned, stacked along a first axis of length T; NaN (0 for integers) where the
            run ended before that time.
        recorded: (T,), whether that time was reached.
        final_time: clock reading at which the run ended.
        final_state: the state there, from which a run can be continued.
        status: a `Status` code.
        statistics: a `Statistics`.
        trajectory: with `dense=True`, a function from any clock reading to the parameters there; else None.
    """

    times: Float[Array, "*batch T"]
    observed: PyTree
    recorded: Bool[Array, "*batch T"]
    final_time: Float[Array, "*batch"]
    final_state: PyTree
    status: Int[Array, "*batch"]
    statistics: Statistics
    trajectory: Callable[[Array], Any] | None = None
