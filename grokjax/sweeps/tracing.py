"""A cell traced once: the operations, what they return, and what identifies them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr
from jaxtyping import Array

from grokjax.sweeps.fingerprint import fingerprint
from grokjax.sweeps.grid import Grid

__all__ = ["Cell", "TracedCell", "key_words", "trace_cell", "traced_dtype"]

# Names of folders in the store.
_FREE = re.compile(r"\w[\w -]*")

Cell = Callable[[dict[str, Any], Array], Mapping[str, Any]]


class TracedCell(NamedTuple):
    """A cell traced at one combination of static values.

    Attributes:
        program: its operations on (values of the traced axes, raw key data).
        outputs: shape and dtype of each variable it returns, sorted by name.
        fingerprint: of the program.
    """

    program: ClosedJaxpr
    outputs: dict[str, jax.ShapeDtypeStruct]
    fingerprint: str


def trace_cell(cell: Cell, grid: Grid, combination: Mapping[str, Any]) -> TracedCell:
    """Trace a cell once, at one combination of static values.

    Raises:
        ValueError: the cell returns something else than a dict of numeric arrays whose names are free.
    """

    def single(values: dict[str, Array], words: Array) -> dict[str, Array]:
        key = jax.random.wrap_key_data(words)
        point = {name: combination[name] if name in combination else values[name] for name in grid.axes}
        return _checked(cell(point, key), grid)

    values = {name: jax.ShapeDtypeStruct((), traced_dtype(grid, name)) for name in grid.traced}
    words = jax.ShapeDtypeStruct((key_words(),), jnp.uint32)
    try:
        program, outputs = jax.make_jaxpr(single, return_shape=True)(values, words)
    except jax.errors.ConcretizationTypeError as error:
        error.add_note("A sweep traces the values of its axes: name an axis in static if the cell needs its value.")
        raise
    shapes = {name: jax.ShapeDtypeStruct(outputs[name].shape, outputs[name].dtype) for name in sorted(outputs)}
    return TracedCell(program, shapes, fingerprint(program))


def key_words() -> int:
    """Length of the raw data of a PRNG key."""
    return jax.eval_shape(lambda: jax.random.key_data(jax.random.key(0))).shape[0]


def traced_dtype(grid: Grid, name: str) -> np.dtype:
    """Dtype of a traced axis: JAX's default float or integer."""
    return np.dtype(jnp.result_type(type(grid.axes[name][0])))


def _checked(result: Any, grid: Grid) -> dict[str, Array]:
    """What a cell returned, as arrays."""
    if not isinstance(result, Mapping) or not result:
        raise ValueError(f"cell must return a dict of arrays, got {type(result).__name__} {result!r}")
    arrays = {}
    for name, value in result.items():
        if not isinstance(name, str) or not _FREE.fullmatch(name) or name == "cell" or name in grid.axes:
            raise ValueError(f"cell returned a variable named {name!r}; it must be a word that no axis has")
        try:
            arrays[name] = array = jnp.asarray(value)
        except TypeError as error:
            raise ValueError(f"cell returned {name!r} as {value!r}; it must be an array of numbers") from error
        if jnp.issubdtype(array.dtype, jax.dtypes.extended) or np.dtype(array.dtype).kind not in "biufc":
            raise ValueError(f"cell returned {name!r} with dtype {array.dtype}; NumPy must have that dtype")
        if name in ("status", "diverged_step") and (array.shape or not jnp.issubdtype(array.dtype, jnp.integer)):
            raise ValueError(f"cell must return {name!r} as one integer, got shape {array.shape} of {array.dtype}")
    return arrays
