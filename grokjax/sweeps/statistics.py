"""Statistics over the runs of each cell of a map: shares, medians, majorities, and times of grokking with censoring."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from grokjax.sweeps.outcome import CellStatus

if TYPE_CHECKING:
    import xarray

__all__ = ["GrokkingTimes", "grokking_time_map", "grokking_times", "phase_map"]


class GrokkingTimes(NamedTuple):
    """The Kaplan-Meier estimate of the time of grokking.

    Attributes:
        times: times at which a run grokked, ascending.
        not_yet: share of runs that have not grokked by each of these times.
        lower: lower end of the confidence interval of that share, NaN where no run is left.
        upper: its upper end.
        median: time by which half of the runs have grokked; infinite if fewer do before the last is given up.
        runs: number of runs.
        censored: number of those that had not grokked when they ended.
    """

    times: Float[np.ndarray, " events"]
    not_yet: Float[np.ndarray, " events"]
    lower: Float[np.ndarray, " events"]
    upper: Float[np.ndarray, " events"]
    median: float
    runs: int
    censored: int

    def quantile(self, share: float) -> float:
        """Time by which this share of the runs has grokked, infinite if that was not seen."""
        return _quantile(self.times, self.not_yet, share)


def grokking_times(times: ArrayLike, horizon: ArrayLike, confidence: float = 0.95) -> GrokkingTimes:
    """Estimate how long grokking takes from runs of which some ended before they grokked.

    A run that has not grokked by its horizon tells that its time is longer; leaving it out would make grokking look
    faster than it is, and so would counting the horizon as its time.

    Args:
        times: (runs,) when each run grokked; NaN, infinite or beyond the horizon if it did not.
        horizon: when each run ended, (runs,) or one number for all, in the unit of times.
        confidence: level of the intervals.

    Returns:
        A `GrokkingTimes`.

    Raises:
        ValueError: there is no run, a horizon is not positive and finite, or confidence is not between 0 and 1.

    References:
        Kaplan and Meier (1958), as computed by `scipy.stats.ecdf`; intervals by Greenwood's formula.
    """
    from scipy import stats

    times = np.asarray(times, float)
    if times.ndim != 1 or not times.size:
        raise ValueError(f"times must have shape (runs,) with at least one run, got {times.shape}")
    horizon = np.broadcast_to(np.asarray(horizon, float), times.shape)
    if not np.all((horizon > 0) & np.isfinite(horizon)):
        raise ValueError(f"horizon must be positive and finite, got {horizon}")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, got {confidence}")
    grokked = times <= horizon
    curve = stats.ecdf(stats.CensoredData(uncensored=times[grokked], right=horizon[~grokked])).sf
    # When the last run at risk has grokked, Greenwood's variance is 0 · ∞: scipy gives NaN, and warns.
    with warnings.catch_warnings(), np.errstate(divide="ignore", invalid="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)
        interval = curve.confidence_interval(confidence)
    events = np.isin(curve.quantiles, times[grokked])
    at, not_yet = curve.quantiles[events], curve.probabilities[events]
    return GrokkingTimes(
        times=at,
        not_yet=not_yet,
        lower=interval.low.probabilities[events],
        upper=interval.high.probabilities[events],
        median=_quantile(at, not_yet, 0.5),
        runs=times.size,
        censored=int(np.sum(~grokked)),
    )


def grokking_time_map(
    times: xarray.DataArray, horizon: float, over: str | Iterable[str] = "seed", share: float = 0.5
) -> xarray.DataArray:
    """Time by which a share of the runs has grokked, on a map.

    Args:
        times: when each run grokked, NaN or infinite if it did not before the horizon.
        horizon: when all runs ended.
        over: the dimensions that number the runs.
        share: the share; ½ is the median.

    Returns:
        The times over the other dimensions, infinite where fewer runs grokked.

    Raises:
        ValueError: over names no dimension, or share is not between 0 and 1.
    """
    if not 0 < share <= 1:
        raise ValueError(f"share must lie between 0 and 1, got {share}")
    stacked = _runs_last(times, over)
    flat = stacked.values.reshape(-1, stacked.shape[-1])
    found = np.array([grokking_times(row, horizon).quantile(share) for row in flat])
    return stacked[..., 0].copy(data=found.reshape(stacked.shape[:-1])).drop_vars("run", errors="ignore")


def phase_map(
    results: xarray.Dataset,
    variable: str,
    over: str | Iterable[str] = "seed",
    reduction: Literal["share", "median", "majority"] = "share",
) -> xarray.Dataset:
    """Reduce a variable over the runs of each cell of a map; runs that have not finished are left out.

    Args:
        results: an opened sweep.
        variable: its variable: one of truth values or 0 and 1 for "share", numbers for "median", and codes of phases
            for "majority" (of codes that are equally frequent, the smallest).
        over: the dimensions that number the runs.
        reduction: which.

    Returns:
        A Dataset with the reduced variable (NaN where no run finished) and "runs", the number that finished.

    Raises:
        ValueError: there is no such variable, dimension or reduction.
    """
    if variable not in results:
        raise ValueError(f"variable must be one of {', '.join(map(str, results.data_vars))}, got {variable!r}")
    reductions = {"share": np.mean, "median": np.median, "majority": _majority}
    if reduction not in reductions:
        raise ValueError(f"reduction must be one of {', '.join(reductions)}, got {reduction!r}")
    values = _runs_last(results[variable], over)
    kept = _runs_last(results["status"].broadcast_like(results[variable]), over).values == CellStatus.FINISHED
    flat, counted = values.values.reshape(-1, values.shape[-1]), kept.reshape(-1, kept.shape[-1])
    reduce = reductions[reduction]
    found = [float(reduce(row[mask])) if mask.any() else math.nan for row, mask in zip(flat, counted, strict=True)]
    frame = values[..., 0].drop_vars("run", errors="ignore")
    reduced = frame.copy(data=np.reshape(found, frame.shape))
    return reduced.to_dataset(name=variable).assign(runs=frame.copy(data=kept.sum(axis=-1)))


def _runs_last(array: xarray.DataArray, over: str | Iterable[str]) -> xarray.DataArray:
    """The array with the dimensions that number the runs as one, at the end."""
    dimensions = [over] if isinstance(over, str) else list(over)
    for name in dimensions:
        if name not in array.dims:
            raise ValueError(f"over must name dimensions of {tuple(map(str, array.dims))}, got {name!r}")
    return array.stack(run=dimensions, create_index=False).transpose(..., "run").drop_vars(dimensions, errors="ignore")


def _majority(codes: np.ndarray) -> float:
    values, counts = np.unique(codes, return_counts=True)
    return float(values[np.argmax(counts)])


def _quantile(times: np.ndarray, not_yet: np.ndarray, share: float) -> float:
    # Within rounding of products of shares: one half of the runs is one half.
    reached = np.flatnonzero(not_yet <= 1 - share + 1e-12)
    return float(times[reached[0]]) if reached.size else math.inf
