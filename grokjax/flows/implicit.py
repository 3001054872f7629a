"""An implicit solver for stiff flows of few dimensions."""

from __future__ import annotations

import diffrax
import optimistix

__all__ = ["stiff"]


def stiff() -> diffrax.Kvaerno5:
    """Kvaerno5, L-stable of order five, with a root finder that keeps its step count where it should be.

    Its linear solves cost n³ for n state variables, which suits the reduced state of diagonal networks. For states
    of many dimensions use `RKC2`. `solve` wants `atol > 0` with it, the scale of the root finder's residual.

    With diffrax 0.7.2 and optimistix 0.1.0 the default root finder of the Kvaerno solvers judges convergence so
    strictly that most steps are refused, and about ten times too many are taken; a chord iteration with the
    tolerances of the step control restores the count. A test compares the two.
    """
    return diffrax.Kvaerno5(root_finder=diffrax.with_stepsize_controller_tols(optimistix.Chord)())
