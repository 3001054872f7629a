"""Times and widths of transitions, departures from a law, and medians of runs that did not all switch."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from grokjax.analysis import crossing_time, departure_time, find_transition, switch_statistics


def sigmoid(times, centre, scale):
    return jnp.asarray(1 / (1 + np.exp(-(times - centre) / scale)))


@pytest.mark.parametrize(("before", "after"), [(0.0, 1.0), (1.0, 0.0), (0.5, 0.98), (3.0, -40.0)])
@pytest.mark.parametrize("scale", [0.3, 2.0])
def test_a_logistic_curve_has_its_centre_and_its_width_up_or_down(before, after, scale):
    times, step = np.linspace(0, 100, 4001, retstep=True)
    found = find_transition(times, before + (after - before) * sigmoid(times, 43.7, scale), before, after)
    # Linear interpolation errs by h²f''/8f', of a logistic curve h²/(8s)·|1 − 2f| ≤ h²/8s; twice that for a width.
    error = step**2 / (8 * scale)
    np.testing.assert_allclose(found.time, 43.7, rtol=0, atol=error)
    np.testing.assert_allclose(found.width, 2 * scale * math.log(9), rtol=0, atol=2 * error)
    np.testing.assert_allclose([found.start, found.end], 43.7 + scale * math.log(9) * np.asarray([-1, 1]), atol=error)


def test_plateaus_are_the_first_and_last_value_unless_given():
    times, curve = np.arange(6.0), jnp.asarray([2.0, 2.0, 3.0, 5.0, 6.0, 6.0])
    for found in (find_transition(times, curve), find_transition(times, curve, 2.0, 6)):
        np.testing.assert_allclose(found, [2.5, 2.2, 1.4, 3.6], rtol=1e-14)
    np.testing.assert_allclose(find_transition(times, curve, after=10.0), [4, math.nan, 1.8, math.nan], rtol=1e-14)
    np.testing.assert_allclose(find_transition(times, curve, before=-2.0), [0, 3.2, 0, 3.2], rtol=1e-14)


@pytest.mark.parametrize("curve", [[1.0, 1.0, 1.0, 1.0], [math.nan] * 4, [0.0, math.nan, 1.0, 1.0]])
def test_a_curve_without_plateaus_or_with_a_gap_has_no_transition(curve):
    assert np.all(np.isnan(find_transition(np.arange(4.0), jnp.asarray(curve))))


def test_many_curves_are_one_at_a_time():
    times = np.linspace(0, 20, 101)
    curves = jnp.stack([jnp.stack([sigmoid(times, c, s) for c in (5.0, 9.0, 19.0)]) for s in (0.5, 1.0)])
    levels = jnp.asarray([[0.0, 0.1, 0.2], [0.0, 0.0, 0.1]])
    found = jax.jit(find_transition)(times, curves, levels, 1.0)
    vmapped = jax.vmap(jax.vmap(lambda c, b: find_transition(times, c, b, 1.0)))(curves, levels)
    for index in np.ndindex(2, 3):
        alone = find_transition(times, curves[index], levels[index], 1.0)
        np.testing.assert_allclose([x[index] for x in found], alone, rtol=1e-13)
        np.testing.assert_allclose([x[index] for x in vmapped], alone, rtol=1e-13)


def test_departure_is_where_an_exponential_meets_its_floor():
    """e^(−t) + floor is off by the fraction floor·e^t."""
    times, step = np.linspace(0, 20, 2001, retstep=True)
    floors = np.asarray([1e-3, 1e-6, 1e-12])
    law = jnp.asarray(np.exp(-times))
    observed = law[None] + jnp.asarray(floors)[:, None]
    found = departure_time(times, observed, jnp.broadcast_to(law, observed.shape), 0.1)
    expected = np.where(np.log(0.1 / floors) <= 20, np.log(0.1 / floors), np.nan)
    np.testing.assert_allclose(found, expected, rtol=0, atol=step**2 / 8)


def test_departures_count_either_way_and_relative_to_the_size_of_the_law():
    times, law = np.arange(4.0), jnp.asarray([-100.0, -100.0, -100.0, -100.0])
    curves = jnp.asarray([[-100.0, -101, -104, -110], [-100.0, -99, -96, -90], [-100.0, -100, -100, -101.0]])
    found = departure_time(times, curves, jnp.broadcast_to(law, curves.shape), jnp.asarray([0.07, 0.07, 0.07]))
    np.testing.assert_allclose(found, [2.5, 2.5, math.nan], rtol=1e-14)


def test_a_law_that_vanishes_allows_only_itself():
    times, law = np.arange(3.0), jnp.asarray([1.0, 0.0, 0.0])
    assert np.isnan(departure_time(times, law, law, 0.1))
    assert departure_time(times, jnp.asarray([1.0, 0.0, 1e-9]), law, 0.1) == 1
    assert np.isnan(departure_time(times, jnp.asarray([1.0, math.nan, 5.0]), law, 0.1))


@pytest.mark.parametrize("level", [0.5, 0.9, 0.95, 0.99])
@pytest.mark.parametrize("total", [1, 5, 6, 7, 20, 101, 2000])
def test_ranks_are_the_largest_that_keep_the_level(total, level):
    times = jnp.arange(1.0, total + 1)
    found = switch_statistics(times, total, level)
    tail = (1 - level) / 2
    ranks = np.arange(total // 2 + 1)
    rank = int(np.max(ranks[(stats.binom.cdf(ranks - 1, total, 0.5) <= tail)]))
    expected = (rank, total + 1 - rank) if rank else (math.nan, math.nan)
    np.testing.assert_array_equal([found.lower, found.upper], expected)
    np.testing.assert_allclose(found.median, (total + 1) / 2, rtol=1e-15)


@pytest.mark.parametrize("end", [math.inf, 1.2, 0.8, 0.3])
@pytest.mark.parametrize("total", [6, 9, 20])
def test_intervals_hold_the_median_as_often_as_they_say(total, end):
    """Of 4000 experiments; exactly as often as the binomial law says without censoring, and no less with it."""
    repeats = 4000
    drawn = np.random.default_rng(total).exponential(size=(repeats, total))
    found = switch_statistics(jnp.asarray(np.where(drawn <= end, drawn, np.nan)), end)
    upper = np.where(np.isnan(found.upper), math.inf, found.upper)
    covered = np.mean((np.asarray(found.lower) <= math.log(2)) & (math.log(2) <= upper))
    rank = int(stats.binom.ppf(0.025, total, 0.5))
    exact = 1 - 2 * stats.binom.cdf(rank - 1, total, 0.5)
    error = 4 * math.sqrt(exact * (1 - exact) / repeats)
    assert exact >= 0.95
    assert covered >= exact - error
    if end > math.log(2):
        assert covered <= exact + error
    assert np.mean(np.isnan(found.upper)) == pytest.approx(
        0 if end == math.inf else np.mean(np.sum(drawn > end, axis=1) >= rank), abs=0
    )


def test_censored_runs_count_as_later_than_all_others():
    nan = math.nan
    runs = jnp.asarray(
        [
            [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0],
            [1.0, 2.0, 3.0, 4.0, nan, nan, nan],
            [nan, 4.0, 1.0, math.inf, 3.0, 11.0, 2.0],
            [1.0, nan, nan, nan, nan, nan, nan],
            [nan] * 7,
        ]
    )
    found = switch_statistics(runs, 10.0)
    np.testing.assert_array_equal(found.median, [4, 4, 4, nan, nan])
    np.testing.assert_array_equal(found.lower, [1, 1, 1, 1, 10])
    np.testing.assert_array_equal(found.upper, [7, nan, nan, nan, nan])
    np.testing.assert_array_equal(found.censored, [0, 3, 3, 6, 7])
    np.testing.assert_allclose(found.mean, [4, 2.5, 2.5, 1, nan], rtol=1e-15)
    error = math.sqrt(5 / 3 / 4)
    np.testing.assert_allclose(found.standard_error, [math.sqrt(28 / 6 / 7), error, error, nan, nan], rtol=1e-15)
    assert found.total == 7


@pytest.mark.parametrize(
    ("runs", "median"), [([3.0, 1.0, math.nan, 2.0], 2.5), ([1.0, 2.0, math.nan, math.nan], math.nan)]
)
def test_the_median_of_an_even_number_needs_both_middle_runs(runs, median):
    np.testing.assert_array_equal(switch_statistics(jnp.asarray(runs), 5.0).median, median)


def test_one_run_has_a_median_and_no_interval():
    found = switch_statistics(jnp.asarray([3.0]), 10)
    assert (found.median, found.mean, found.censored, found.total) == (3, 3, 0, 1)
    assert np.all(np.isnan([found.lower, found.upper, found.standard_error]))


def test_sets_of_runs_each_have_their_own_end_and_may_be_traced():
    runs = jnp.broadcast_to(jnp.arange(1.0, 9), (3, 8))
    ends = jnp.asarray([4.0, 6.5, 20.0])
    found = jax.jit(lambda r, e: switch_statistics(r, e, 0.9))(runs, ends)
    assert found.censored.tolist() == [4, 2, 0]
    for k in range(3):
        alone = switch_statistics(runs[k], ends[k], 0.9)
        for name in ("median", "lower", "upper", "mean", "standard_error", "censored"):
            np.testing.assert_allclose(getattr(found, name)[k], getattr(alone, name), rtol=1e-14)


def test_times_of_transitions_feed_the_statistics():
    times = np.linspace(0, 10, 101)
    curves = jnp.stack([sigmoid(times, centre, 0.2) for centre in (3, 4, 5, 6, 7, 8, 30)])
    found = switch_statistics(find_transition(times, curves, 0.0, 1.0).time, times[-1])
    assert (found.censored, found.median) == (1, pytest.approx(6, abs=0.01**2 + 0.1**2 / 1.6))
    assert crossing_time(times, curves[0], 0.5) == pytest.approx(3, abs=0.1**2 / 1.6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: switch_statistics(jnp.zeros((2, 0)), 1.0), r"^switch_times must hold .*got shape \(2, 0\)$"),
        (lambda: switch_statistics(jnp.ones(3), 1.0, 95.0), "^level must lie between 0 and 1, got 95.0$"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
