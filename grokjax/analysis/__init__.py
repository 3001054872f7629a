"""What is read off parameters and curves: directions and margins of linear predictors, and the time of a transition."""

from grokjax.analysis.linear import TestCurves, cosine, normalised_margin, streamed_test
from grokjax.analysis.transition import crossing_time

__all__ = ["TestCurves", "cosine", "crossing_time", "normalised_margin", "streamed_test"]
