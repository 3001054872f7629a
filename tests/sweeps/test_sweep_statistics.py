"""Phase maps and times of grokking, against counting by hand, exact laws and known answers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import xarray
from hypothesis import given, settings
from hypothesis import strategies as st

from grokjax import sweeps

INF = math.inf
UNKNOWN: Any = "mode"


def by_hand(times, horizon):
    """Kaplan and Meier's product, as in the textbook."""
    seen = [min(t, horizon) if t <= horizon else horizon for t in times]
    grokked = [t <= horizon for t in times]
    share, curve = 1.0, []
    for t in sorted({s for s, g in zip(seen, grokked, strict=True) if g}):
        at_risk = sum(s >= t for s in seen)
        events = sum(s == t and g for s, g in zip(seen, grokked, strict=True))
        share *= 1 - events / at_risk
        curve.append((t, share))
    return curve


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([1.0, 2.0, 3.0, 7.0, 20.0, INF, math.nan]), min_size=1, max_size=12))
def test_the_estimate_is_the_product_of_kaplan_and_meier(times):
    estimate = sweeps.grokking_times(times, horizon=10.0)
    curve = by_hand([t if t == t else INF for t in times], 10.0)
    np.testing.assert_allclose(estimate.times, [t for t, _ in curve])
    np.testing.assert_allclose(estimate.not_yet, [s for _, s in curve], atol=1e-12)
    assert estimate.censored == sum(not t <= 10 for t in times)
    assert estimate.runs == len(times)


def test_runs_that_end_early_count_only_while_they_last():
    estimate = sweeps.grokking_times([1.0, math.nan, 3.0, math.nan], horizon=[9.0, 2.0, 9.0, 9.0])
    np.testing.assert_allclose(estimate.not_yet, [3 / 4, 3 / 8])
    assert estimate.median == 3.0


@pytest.mark.parametrize(
    ("times", "median"),
    [([1.0, 2.0, 3.0], 2.0), ([1.0, 2.0, INF, INF], 2.0), ([1.0, INF, INF], INF), ([INF], INF), ([4.0], 4.0)],
)
def test_the_median_is_reached_by_half_of_all_runs_or_never(times, median):
    assert sweeps.grokking_times(times, 10.0).median == median


def test_the_interval_covers_the_truth_as_often_as_it_says():
    """Exponential times, censored at 1: P(T > t) = e^−t. Of 400 intervals 95 % ± 3 standard errors hold e^−½."""
    generator = np.random.default_rng(0)
    covered = 0
    for _ in range(400):
        estimate = sweeps.grokking_times(generator.exponential(size=100), horizon=1.0)
        at = np.searchsorted(estimate.times, 0.5) - 1
        covered += estimate.lower[at] <= math.exp(-0.5) <= estimate.upper[at]
    assert abs(covered / 400 - 0.95) < 3 * math.sqrt(0.95 * 0.05 / 400) + 0.01


def test_leaving_censored_runs_out_would_be_wrong():
    generator = np.random.default_rng(1)
    times = generator.exponential(size=4000)
    counted = sweeps.grokking_times(times, horizon=1.0).median
    left_out = np.median(times[times <= 1])
    assert abs(counted - math.log(2)) < 4 / math.sqrt(4000) < math.log(2) - left_out


@pytest.fixture
def results():
    status = np.zeros((2, 4), np.int32)
    status[1, 3] = sweeps.CellStatus.DIVERGED
    return xarray.Dataset(
        {
            "grokked": (("rate", "seed"), [[True, True, False, False], [True, True, True, False]]),
            "phase": (("rate", "seed"), [[2, 1, 2, 1], [3, 3, 0, 0]]),
            "time": (("rate", "seed"), [[1.0, 2.0, 30.0, INF], [5.0, 6.0, 7.0, math.nan]]),
            "status": (("rate", "seed"), status),
        },
        coords={"rate": [0.1, 0.2], "seed": range(4)},
    )


@pytest.mark.parametrize(
    ("variable", "reduction", "expected"),
    [("grokked", "share", [0.5, 1.0]), ("phase", "majority", [1, 3]), ("time", "median", [16.0, 6.0])],
)
def test_maps_reduce_the_runs_that_finished(results, variable, reduction, expected):
    reduced = sweeps.phase_map(results, variable, over="seed", reduction=reduction)
    np.testing.assert_allclose(reduced[variable], expected)
    np.testing.assert_array_equal(reduced["runs"], [4, 3])
    assert list(reduced.coords) == ["rate"]


def test_a_map_over_all_dimensions_and_a_cell_without_runs(results):
    assert float(sweeps.phase_map(results, "grokked", over=("rate", "seed"))["grokked"]) == 5 / 7
    results["status"][0] = sweeps.CellStatus.PENDING
    reduced = sweeps.phase_map(results, "grokked")
    assert np.isnan(reduced["grokked"][0])
    assert int(reduced["runs"][0]) == 0


def test_a_map_of_times_counts_censored_runs(results):
    times = sweeps.grokking_time_map(results["time"], horizon=10.0)
    np.testing.assert_array_equal(times, [2.0, 6.0])
    assert times.dims == ("rate",)
    np.testing.assert_array_equal(sweeps.grokking_time_map(results["time"], 10.0, share=0.75), [INF, 7.0])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda r: sweeps.phase_map(r, "nothing"),
            "variable must be one of grokked, phase, time, status, got 'nothing'",
        ),
        (lambda r: sweeps.phase_map(r, "phase", over="width"), "over must name dimensions of .*, got 'width'"),
        (lambda r: sweeps.phase_map(r, "phase", "seed", UNKNOWN), "reduction must be one of share, median, majority"),
        (lambda r: sweeps.grokking_time_map(r["time"], 10.0, share=0.0), "share must lie between 0 and 1, got 0.0"),
        (lambda r: sweeps.grokking_times([], 1.0), "at least one run"),
        (lambda r: sweeps.grokking_times([1.0], 0.0), "horizon must be positive and finite"),
        (lambda r: sweeps.grokking_times([1.0], 1.0, confidence=95), "confidence must lie between 0 and 1, got 95"),
    ],
)
def test_bad_input_is_refused(unchecked_types, results, call, message):
    with pytest.raises(ValueError, match=message):
        call(results)
