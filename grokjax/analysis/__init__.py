"""What is read off parameters and curves: margins, KKT residuals, tangent kernels, periodic neurons, transitions."""

from grokjax.analysis.ipr import NeuronWaves, ipr, network_ipr, neuron_ipr, neuron_waves
from grokjax.analysis.kkt import InterpolationKKT, MarginKKT, averaged_stationarity, interpolation_kkt, margin_kkt
from grokjax.analysis.linear import TestCurves, cosine, normalised_margin, streamed_test
from grokjax.analysis.ntk import empirical_ntk, kernel_alignment, kernel_distance, kernel_drift
from grokjax.analysis.phases import LabelPhase, label_phase, phase_stability
from grokjax.analysis.pruning import neurons_needed, prune, pruning_curve
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
    "LabelPhase",
    "MarginKKT",
    "NeuronWaves",
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
    "ipr",
    "kernel_alignment",
    "kernel_distance",
    "kernel_drift",
    "label_phase",
    "margin_kkt",
    "network_ipr",
    "neuron_ipr",
    "neuron_waves",
    "neurons_needed",
    "normalised_margin",
    "phase_stability",
    "prune",
    "pruning_curve",
    "streamed_test",
    "switch_statistics",
]
