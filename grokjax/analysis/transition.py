"""When curves make their transition, how fast, and what several runs say together."""

from __future__ import annotations

import math
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Int

__all__ = [
    "SwitchStatistics",
    "Transition",
    "crossing_time",
    "departure_time",
    "find_transition",
    "switch_statistics",
]


class Transition(NamedTuple):
    """Where a curve passes from one level to another; times in the units they came in, NaN where not reached.

    Attributes:
        time: half of the way.
        width: from 10 % to 90 % of the way, `end` − `start`.
        start: 10 % of the way.
        end: 90 % of the way.
    """

    time: Float[Array, "*batch"]
    width: Float[Array, "*batch"]
    start: Float[Array, "*batch"]
    end: Float[Array, "*batch"]


class SwitchStatistics(NamedTuple):
    """The times of a switch in several runs, some of which end before they switch.

    Attributes:
        median: of all runs; NaN where censored runs hide it.
        lower, upper: confidence interval of the median of the distribution. Both NaN where there are too few runs at
            all (fewer than 6 for 95 %); where censored runs hide the lower end it is the censoring time, which the
            median exceeds, and where they hide the upper end it is NaN, for the data set no bound.
        mean: of the runs that switched. Too early if others are censored; NaN if none switched.
        standard_error: of that mean, with n − 1; NaN below two.
        censored: number of runs that did not switch.
        total: number of runs.
    """

    median: Float[Array, "*batch"]
    lower: Float[Array, "*batch"]
    upper: Float[Array, "*batch"]
    mean: Float[Array, "*batch"]
    standard_error: Float[Array, "*batch"]
    censored: Int[Array, "*batch"]
    total: int


def crossing_time(times: ArrayLike, curve: Float[Array, "*batch T"], level: ArrayLike) -> Float[Array, "*batch"]:
    """The first time at which a curve reaches a level from below, linearly interpolated.

    Args:
        times: (T,), increasing; interpolation is linear in them, so pass τ or log t where the curve is smooth in that.
        curve: (..., T), such as a test accuracy.
        level: scalar, or one for each curve.

    Returns:
        (...,), in the default float type; the first time of all where the curve starts at or above the level; NaN where
        it never reaches it, or holds a NaN before it does.
    """
    level = jnp.broadcast_to(jnp.asarray(level, curve.dtype), curve.shape[:-1])
    above = curve >= level[..., None]
    after = jnp.argmax(above, axis=-1)
    before = jnp.maximum(after - 1, 0)

    def at(index, curve=curve):
        return jnp.take_along_axis(curve, index[..., None], axis=-1)[..., 0]

    rise = at(after) - at(before)
    times = jnp.asarray(times, float)
    fraction = jnp.where(rise > 0, (level - at(before)) / jnp.where(rise > 0, rise, 1), 0).astype(times.dtype)
    crossing = times[before] + fraction * (times[after] - times[before])
    unknown = at(after, jnp.cumsum(jnp.isnan(curve), axis=-1)) > 0
    return jnp.where(jnp.any(above, axis=-1) & ~unknown, crossing, jnp.nan)


def find_transition(
    times: ArrayLike, curve: Float[Array, "*batch T"], before: ArrayLike | None = None, after: ArrayLike | None = None
) -> Transition:
    """When a curve goes from one plateau to another, up or down, and how long it takes.

    The levels at 10, 50 and 90 % of the way from `before` to `after` are crossed as in `crossing_time`, for the first
    time each. For a logistic curve 1/(1 + e^(−(t−t₀)/s)) the time is t₀ and the width 2s·log 9 ≈ 4.4 s.

    Args:
        times: (T,), increasing; time and width are in their units.
        curve: (..., T), such as a test accuracy.
        before: level of the plateau left, scalar or one for each curve; the first value by default.
        after: level of the plateau reached; the last value by default. Give it where a run may end on the way.

    Returns:
        A `Transition` of the leading shape of the curve; all NaN where both levels are equal.
    """
    before = curve[..., 0] if before is None else jnp.asarray(before, curve.dtype)
    after = curve[..., -1] if after is None else jnp.asarray(after, curve.dtype)
    before, after = (jnp.broadcast_to(level, curve.shape[:-1])[..., None] for level in (before, after))
    distance = jnp.where(after == before, jnp.nan, after - before)
    progress = (curve - before) / distance
    start, time, end = (crossing_time(times, progress, level) for level in (0.1, 0.5, 0.9))
    return Transition(time=time, width=end - start, start=start, end=end)


def departure_time(
    times: ArrayLike, observed: Float[Array, "*batch T"], predicted: Float[Array, "*batch T"], tolerance: ArrayLike
) -> Float[Array, "*batch"]:
    """The first time at which a curve is off its law by a relative tolerance, |observed/predicted − 1| ≥ tolerance.

    The end of the kernel phase, say, when the law is ‖θ(0)‖e^(−λt) and the curve is ‖θ(t)‖. (For a distance already
    relative, such as `kernel_drift`, use `crossing_time`.)

    Args:
        times: (T,), increasing; the deviation is interpolated linearly in them.
        observed: (..., T).
        predicted: (..., T); where it is 0, any other value is off.
        tolerance: scalar, or one for each curve; positive.

    Returns:
        (...,); NaN where the curve obeys its law to the end, or holds a NaN before it departs.
    """
    agrees = observed == predicted
    deviation = jnp.abs(observed - predicted) / jnp.where(agrees, 1, jnp.abs(predicted))
    return crossing_time(times, deviation, tolerance)


def switch_statistics(
    switch_times: Float[Array, "*batch runs"], censoring_time: ArrayLike, level: float = 0.95
) -> SwitchStatistics:
    """Median, its exact confidence interval, and mean, of switch times of which some are known to be late only.

    The interval is that of order statistics: with k the largest rank for which P(Bin(n, ½) < k) ≤ (1 − level)/2, the
    k-th smallest and k-th largest times enclose the median of any continuous distribution with at least the
    probability `level`. A run that has not switched enters as larger than all that have, without approximation.

    Args:
        switch_times: (..., runs), such as one for each seed, from `crossing_time` or `find_transition`. NaN, or a time
            above the censoring time, is a run that was followed to the censoring time and had not switched. Runs that
            failed earlier must be left out.
        censoring_time: until when all runs were followed, scalar or one for each set of runs.
        level: probability with which the interval is to hold the median, in (0, 1).

    Returns:
        A `SwitchStatistics` of the leading shape of the times.

    Raises:
        ValueError: if there is no run, or the level is not in (0, 1).

    References:
        H. A. David and H. N. Nagaraja, "Order Statistics" (2003), section 7.1.
    """
    total = switch_times.shape[-1] if switch_times.ndim else 0
    if total < 1:
        raise ValueError(f"switch_times must hold at least one run along the last axis, got shape {switch_times.shape}")
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, got {level}")
    end = jnp.broadcast_to(jnp.asarray(censoring_time, switch_times.dtype), switch_times.shape[:-1])
    switched = switch_times <= end[..., None]
    ordered = jnp.sort(jnp.where(switched, switch_times, jnp.inf), axis=-1)
    known = lambda x: jnp.where(jnp.isfinite(x), x, jnp.nan)
    median = known((ordered[..., (total - 1) // 2] + ordered[..., total // 2]) / 2)
    rank = _rank(total, level)
    lower, upper = (
        (ordered[..., rank - 1], ordered[..., total - rank]) if rank else (jnp.full_like(median, jnp.nan),) * 2
    )
    count = jnp.sum(switched, axis=-1)
    divisor = count.astype(ordered.dtype)
    mean = jnp.sum(jnp.where(switched, switch_times, 0), axis=-1) / divisor
    squares = jnp.sum(jnp.where(switched, jnp.square(switch_times - mean[..., None]), 0), axis=-1)
    return SwitchStatistics(
        median=median,
        lower=jnp.minimum(lower, end),
        upper=known(upper),
        mean=mean,
        standard_error=jnp.where(count > 1, jnp.sqrt(squares / (divisor * (divisor - 1))), jnp.nan),
        censored=total - count,
        total=total,
    )


def _rank(total: int, level: float) -> int:
    """The largest k with P(Bin(total, ½) < k) ≤ (1 − level)/2; integers as long as they may be."""
    rank, outcomes = 0, 1
    while outcomes / 2**total <= (1 - level) / 2:
        rank += 1
        outcomes += math.comb(total, rank)
    return rank
