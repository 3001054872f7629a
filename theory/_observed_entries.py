"""The observed entries of a symmetric matrix: checked, and listed once for each unordered pair."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from theory._semidefinite import Entries

__all__ = ["Observed", "check_symmetric", "observed_entries"]

Floats = NDArray[np.float64]


class Observed(NamedTuple):
    """Ω on the rows and columns that it touches: the others of a solution vanish.

    indices (n, 2) and values (n,) are as listed; entries, target and counts (m,) are their unordered pairs, the mean
    value of each and how often it is listed, once or twice. touched has the place of each row in the whole matrix.
    """

    indices: NDArray[np.intp]
    values: Floats
    entries: Entries
    target: Floats
    counts: Floats
    touched: NDArray[np.intp]

    def errors(self, weights: Floats) -> Floats:
        """W_ij − x_ij (n,), as listed."""
        return weights[self.indices[:, 0], self.indices[:, 1]] - self.values

    def whole(self, matrix: Floats, size: int) -> Floats:
        """The (size, size) matrix with this one on the touched rows and columns, and 0 elsewhere."""
        whole = np.zeros((size, size))
        whole[np.ix_(self.touched, self.touched)] = matrix
        return whole


def observed_entries(indices: ArrayLike, values: ArrayLike, size: int) -> Observed:
    """The checked list of entries (n, 2) with values (n,), or a ValueError that says what is wrong."""
    listed, numbers = np.asarray(indices), np.asarray(values, np.float64)
    if size < 1:
        raise ValueError(f"size must be at least 1, got {size}")
    if listed.ndim != 2 or listed.shape[1] != 2 or len(listed) == 0:
        raise ValueError(f"indices must have shape (n, 2) with n ≥ 1, got {listed.shape}")
    if not np.issubdtype(listed.dtype, np.integer):
        raise ValueError(f"indices must be integers, got {listed.dtype}")
    if numbers.shape != (len(listed),):
        raise ValueError(f"values must have shape ({len(listed)},), one per index, got {numbers.shape}")
    if not np.all(np.isfinite(numbers)):
        raise ValueError(f"values must be finite, got {numbers[~np.isfinite(numbers)][0]}")
    outside = np.any((listed < 0) | (listed >= size), axis=1)
    if np.any(outside):
        raise ValueError(f"indices must lie in [0, {size}), got {tuple(listed[outside][0].tolist())}")
    unique, counts = np.unique(listed, axis=0, return_counts=True)
    if np.any(counts > 1):
        raise ValueError(f"indices must be distinct, but {tuple(unique[counts > 1][0].tolist())} is repeated")
    touched, places = np.unique(listed, return_inverse=True)
    places = places.reshape(listed.shape)
    pairs, which, multiplicity = np.unique(np.sort(places, axis=1), axis=0, return_inverse=True, return_counts=True)
    # Half the values first: their sum may overflow.
    target = np.asarray(np.bincount(which.ravel(), numbers / multiplicity[which.ravel()]), np.float64)
    return Observed(
        indices=places,
        values=numbers,
        entries=Entries(pairs[:, 0], pairs[:, 1], len(touched)),
        target=target,
        counts=multiplicity.astype(np.float64),
        touched=touched.astype(np.intp),
    )


def check_symmetric(observed: Observed) -> None:
    """Raise a ValueError that names the first W_ij and W_ji with different values."""
    # The mean of equal values is the value itself, to the last digit.
    nothing = np.zeros((observed.entries.size,) * 2)
    wrong = np.flatnonzero(observed.errors(observed.entries.fill(nothing, observed.target)))
    if len(wrong):
        i, j = observed.indices[wrong[0]]
        a, b = observed.touched[i], observed.touched[j]
        mirrored = observed.values[np.all(observed.indices == (j, i), axis=1)][0]
        raise ValueError(
            f"values of entries ({a}, {b}) and ({b}, {a}) of a symmetric matrix must agree, "
            f"got {observed.values[wrong[0]]:g} and {mirrored:g}"
        )
