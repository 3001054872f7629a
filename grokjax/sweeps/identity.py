"""What makes two sweeps the same: grid, config, code and versions; and where they differ."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Mapping
from typing import Any

from grokjax.sweeps.grid import Grid

__all__ = ["differences", "identify"]


def identify(grid: Grid, config: Mapping[str, Any] | None, fingerprints: list[str]) -> dict[str, Any]:
    """Identity of a sweep, as JSON reads it back.

    Args:
        grid: the grid.
        config: settings of the caller's own to keep and to compare.
        fingerprints: of the cell, at each combination of static values.

    Raises:
        ValueError: config is not a mapping that JSON can hold.
    """
    config = {} if config is None else config
    try:
        if not isinstance(config, Mapping):
            raise TypeError
        config = json.loads(json.dumps(dict(config), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ValueError(f"config must be a mapping that JSON can hold, got {config!r}") from error
    return {
        "grid": {"axes": {name: list(values) for name, values in grid.axes.items()}, "static": list(grid.static)},
        "config": config,
        "code": {json.dumps(values): print_ for values, print_ in zip(grid.combinations, fingerprints, strict=True)},
        "versions": {name: importlib.metadata.version(name) for name in ("grokjax", "jax", "jaxlib")},
    }


def differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """In what the identity of a stored sweep differs from that of another, in words; empty if in nothing."""
    found = []
    grids = there["grid"]["axes"], here["grid"]["axes"]
    axes = [name for name in {**grids[0], **grids[1]} if grids[0].get(name) != grids[1].get(name)]
    if axes:
        found.append(f"grid (axis {', '.join(axes)})")
    elif list(grids[0]) != list(grids[1]) or there["grid"]["static"] != here["grid"]["static"]:
        found.append("grid (order of axes, or which are static)")
    for part in ("config", "versions"):
        names = [name for name in {**there[part], **here[part]} if there[part].get(name) != here[part].get(name)]
        if names:
            pairs = (f"{name} {there[part].get(name)!r} there, {here[part].get(name)!r} here" for name in names)
            found.append(f"{part} ({'; '.join(pairs)})")
    # A grid with other static values has other programs: only those that both have are compared.
    if any(here["code"].get(combination, print_) != print_ for combination, print_ in there["code"].items()):
        found.append("code (the cell computes something else)")
    return found
