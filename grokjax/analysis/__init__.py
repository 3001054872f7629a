"""What is read off parameters and curves: margins, KKT residuals, tangent kernels, and the time of a transition."""

from grokjax.analysis.kkt import InterpolationKKT, MarginKKT, averaged_stationarity, interpolation_kkt, margin_kkt
from grokjax.analysis.linear import TestCurves, cosine, normalised_margin, streamed_test
from grokjax.analysis.ntk import empirical_ntk, kernel_alignment, kernel_distance, kernel_drift
from grokjax.analysis.transition import (
    SwitchStatistics,
    Transition,
    crossing_time,
    departure_time,
    find_transition,
    switch_statistics,
)

__all__ = [
    "InterpolationKKT",
    "MarginKKT",
    "SwitchStatistics",
    "TestCurves",
    "Transition",
    "averaged_stationarity",
    "cosine",
    "crossing_time",
    "departure_time",
    "empirical_ntk",
    "find_transition",
    "interpolation_kkt",
    "kernel_alignment",
    "kernel_distance",
    "kernel_drift",
    "margin_kkt",
    "normalised_margin",
    "streamed_test",
    "switch_statistics",
]
