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
    strictly that most steps are refused, and about ten times too many are taken. The chord iteration here takes the
    tolerances of the step control and judges by the change of its unknown, the slope: a residual that must fall below
    an absolute bound, its default, never does so where the slope is large. A test compares the step counts. What is
    left is rounding: beyond a stiffness of about 1e15 the slope on a slow manifold is noise, and steps stay short.
    """
    chord = diffrax.with_stepsize_controller_tols(optimistix.Chord)(cauchy_termination=False)
    return diffrax.Kvaerno5(root_finder=chord)
