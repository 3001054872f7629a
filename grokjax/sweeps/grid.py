"""Grids: named axes, the cells they span, and the chunks in which cells are computed and stored.

Cells are ordered by the static axes first and by the traced axes within them, each group in the order given, so that
the cells of one compiled program are contiguous. The order concerns only where a result lies: what a cell computes,
its random stream included, depends on the names and values of its axes alone.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

__all__ = ["Grid", "Layout"]


@dataclass(frozen=True, init=False)
class Grid:
    """The product of named axes.

    Args:
        axes: values of each axis by its name: numbers, booleans, or (on static axes) strings; no value twice. An axis
            with one float in it is an axis of floats.
        static: the axes whose values a cell receives as Python values, at the price of one compiled program for each
            of their combinations: sizes, names of variants. All others are traced.

    Attributes:
        axes: the same, with tuples of plain Python values.
        static: the same, in the order of the axes.

    Raises:
        ValueError: an axis is empty, repeats a value, or holds something else than finite numbers, booleans and
            strings; a string on a traced axis; a static axis that is not there.
    """

    axes: dict[str, tuple[Any, ...]]
    static: tuple[str, ...]

    def __init__(self, axes: Mapping[str, Iterable[Any]], static: Iterable[str] = ()) -> None:
        if not isinstance(axes, Mapping) or not axes:
            raise ValueError(f"axes must be a mapping from names to values with at least one axis, got {axes!r}")
        for name in axes:
            if not isinstance(name, str) or not name or "/" in name or name == "cell":
                raise ValueError(f"an axis must be named by a string without '/' other than 'cell', got {name!r}")
        wanted = (static,) if isinstance(static, str) else tuple(static)
        for name in wanted:
            if name not in axes:
                raise ValueError(f"static names {name!r}, which is not an axis; the axes are {', '.join(axes)}")
        values = {name: _axis(name, axis, static=name in wanted) for name, axis in axes.items()}
        object.__setattr__(self, "axes", values)
        object.__setattr__(self, "static", tuple(name for name in values if name in wanted))

    @property
    def traced(self) -> tuple[str, ...]:
        """Names of the traced axes, in order."""
        return tuple(name for name in self.axes if name not in self.static)

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of values of each axis, in order."""
        return tuple(map(len, self.axes.values()))

    @property
    def size(self) -> int:
        """Number of cells."""
        return math.prod(self.shape)

    @property
    def combinations(self) -> list[dict[str, Any]]:
        """The combinations of static values, in order: one compiled program each."""
        return [
            dict(zip(self.static, values, strict=True))
            for values in itertools.product(*(self.axes[name] for name in self.static))
        ]

    @property
    def cells_per_combination(self) -> int:
        """Number of cells that share a compiled program."""
        return math.prod(len(self.axes[name]) for name in self.traced)

    def values(self, start: int, stop: int) -> dict[str, np.ndarray]:
        """Values of the traced axes for cells start, ..., stop − 1 of any combination, each (stop − start,)."""
        picked = self._indices(start, stop)
        return {name: self._arrays[name][index] for name, index in picked.items()}

    def random_words(self, combination: Mapping[str, Any], start: int, stop: int, words: int) -> np.ndarray:
        """Raw data of each cell's PRNG key, shape (stop − start, words) of uint32.

        SHAKE-256 of the names and values of the cell's axes, sorted by name; 1 and 1.0 are the same value.
        """
        picked = self._indices(start, stop)
        tokens = []
        for name in sorted(self.axes):
            if name in picked:
                tokens.append([self._tokens[name][i] for i in picked[name].tolist()])
            else:
                tokens.append([_token(name, combination[name])] * (stop - start))
        digests = (hashlib.shake_256("".join(cell).encode()).digest(4 * words) for cell in zip(*tokens, strict=True))
        return np.frombuffer(b"".join(digests), ">u4").reshape(stop - start, words).astype(np.uint32)

    @functools.cached_property
    def _arrays(self) -> dict[str, np.ndarray]:
        """The traced axes as arrays."""
        return {name: np.asarray(self.axes[name]) for name in self.traced}

    @functools.cached_property
    def _tokens(self) -> dict[str, list[str]]:
        """The values of the traced axes as `random_words` reads them."""
        return {name: [_token(name, value) for value in self.axes[name]] for name in self.traced}

    def _indices(self, start: int, stop: int) -> dict[str, np.ndarray]:
        """Position on each traced axis, of each cell."""
        if not self.traced:
            return {}
        shape = tuple(len(self.axes[name]) for name in self.traced)
        return dict(zip(self.traced, np.unravel_index(np.arange(start, stop), shape), strict=True))


class Layout(NamedTuple):
    """A grid cut into chunks of equal length: what is computed and stored together.

    Attributes:
        grid: the grid.
        cells: cells in a chunk; the last chunk of each combination may hold fewer, and is stored at full length.
    """

    grid: Grid
    cells: int

    @property
    def chunks_per_combination(self) -> int:
        """Number of chunks that share a compiled program."""
        return -(-self.grid.cells_per_combination // self.cells)

    @property
    def chunks(self) -> int:
        """Number of chunks."""
        return self.chunks_per_combination * len(self.grid.combinations)

    def locate(self, chunk: int) -> tuple[int, int, int]:
        """Index of a chunk's combination, and the range (start, stop) of its cells in that combination."""
        combination, part = divmod(chunk, self.chunks_per_combination)
        start = part * self.cells
        return combination, start, min(start + self.cells, self.grid.cells_per_combination)

    def gather(self, rows: np.ndarray) -> np.ndarray:
        """Stored rows (chunks·cells, ...) as an array over the grid's axes (*grid.shape, ...)."""
        grid, rest = self.grid, rows.shape[1:]
        order = (*grid.static, *grid.traced)
        kept = rows.reshape(len(grid.combinations), -1, *rest)[:, : grid.cells_per_combination]
        spread = kept.reshape(*(len(grid.axes[name]) for name in order), *rest)
        tail = range(len(order), spread.ndim)
        return spread.transpose(*(order.index(name) for name in grid.axes), *tail)


def _axis(name: str, values: Any, static: bool) -> tuple[Any, ...]:
    """The values of one axis, as plain Python values of one kind."""
    if isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable):
        raise ValueError(f"axis {name!r} must be a sequence of values, got {values!r}")
    plain: tuple[Any, ...] = tuple(_plain(name, value) for value in values)
    if not plain:
        raise ValueError(f"axis {name!r} is empty; it must have at least one value")
    kinds = {type(value) for value in plain}
    if kinds == {int, float}:
        plain, kinds = tuple(map(float, plain)), {float}
    if len(kinds) > 1:
        raise ValueError(f"axis {name!r} must hold values of one kind, got {plain!r}")
    if kinds == {str} and not static:
        raise ValueError(f"axis {name!r} holds strings, which cannot be traced; name it in static")
    if kinds == {float} and not all(map(math.isfinite, plain)):
        raise ValueError(f"axis {name!r} must hold finite numbers, got {plain!r}")
    if kinds == {int} and not all(-(2**63) <= value < 2**63 for value in plain):
        raise ValueError(f"axis {name!r} must hold integers of 64 bits, got {plain!r}")
    seen = set()
    for value in plain:
        if value in seen:
            raise ValueError(f"axis {name!r} holds {value!r} more than once; each value must be there once")
        seen.add(value)
    return plain


def _plain(name: str, value: Any) -> bool | int | float | str:
    """A Python scalar for a Python, NumPy or JAX scalar."""
    if not isinstance(value, str) and np.ndim(value) == 0 and hasattr(value, "item"):
        value = value.item()
    if not isinstance(value, bool | int | float | str):
        raise ValueError(f"axis {name!r} must hold numbers, booleans or strings, got {value!r}")
    return value


def _token(name: str, value: Any) -> str:
    """Name and value as text that no other name and value share."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return json.dumps([name, value])
