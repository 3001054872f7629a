"""Labelled results: named dimensions, units as attributes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import xarray

__all__ = ["dataset", "stack"]


def dataset(
    dims: str | tuple[str, ...],
    columns: Mapping[str, Any],
    scalars: Mapping[str, Any] | None = None,
    *,
    coordinates: Mapping[str, Any] | None = None,
    units: Mapping[str, str] | None = None,
) -> xarray.Dataset:
    """A data set of columns that share their dimensions.

    Args:
        dims: name of the dimension of the columns, or names.
        columns: arrays by name.
        scalars: numbers by name, without a dimension.
        coordinates: values along dimensions, by name of the dimension.
        units: of columns, scalars and coordinates, by name; what is not named is dimensionless.
    """
    import xarray

    units = units or {}

    def variable(name: str, dims: str | tuple[str, ...], values: Any) -> tuple[Any, ...]:
        return dims, np.asarray(values), {"units": units.get(name, "1")}

    variables = {name: variable(name, dims, values) for name, values in columns.items()}
    variables |= {name: variable(name, (), value) for name, value in (scalars or {}).items()}
    return xarray.Dataset(
        variables, {name: variable(name, name, values) for name, values in (coordinates or {}).items()}
    )


def stack(parts: Sequence[xarray.Dataset], dimension: str) -> xarray.Dataset:
    """Equal data sets along a new dimension, numbered from 0."""
    import xarray

    return xarray.concat(parts, dimension).assign_coords({dimension: np.arange(len(parts))})
