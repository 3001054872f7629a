"""Cells as compiled programs: one trace for each combination of static values, one compilation for all its chunks."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun
from jax.sharding import Mesh, NamedSharding, PartitionSpec, SingleDeviceSharding
from jaxtyping import Array

from grokjax.sweeps.grid import Grid, Layout
from grokjax.sweeps.outcome import Outcome, fill_value, settle
from grokjax.sweeps.tracing import Cell, TracedCell, key_words, trace_cell, traced_dtype

__all__ = ["Compiled", "Programs"]


class Compiled(NamedTuple):
    """A program for a fixed number of cells.

    Attributes:
        call: the executable, of (constants, values, words).
        constants: what the cell closes over, on the devices.
        cells: how many cells it takes; fewer are filled up.
        sharding: of values and words.
        bytes: memory of one device that it needs.
    """

    call: Callable[..., dict[str, Array]]
    constants: list[Array]
    cells: int
    sharding: jax.sharding.Sharding
    bytes: int


class Programs:
    """The cells of a grid as programs on given devices, traced and compiled when first needed.

    Args:
        cell: the cell.
        grid: its grid.
        devices: devices of this machine that share each chunk.
    """

    def __init__(self, cell: Cell, grid: Grid, devices: Sequence[Any]) -> None:
        self.grid, self.devices = grid, tuple(devices)
        self._words = key_words()
        self.traced = functools.cache(lambda index: trace_cell(cell, grid, grid.combinations[index]))
        # One combination at a time is at work: programs of the last few are enough to keep.
        self.compiled = functools.lru_cache(maxsize=16)(self._compile)

    def fingerprints(self) -> list[str]:
        """Fingerprint of the cell at each combination of static values.

        Raises:
            ValueError: the cell returns other names, shapes or dtypes at some combination than at the first.
        """
        combinations = self.grid.combinations
        first = self.traced(0).outputs
        for index, combination in enumerate(combinations):
            outputs = self.traced(index).outputs
            if outputs != first:
                raise ValueError(
                    f"cell must return the same names, shapes and dtypes everywhere, got {_describe(outputs)} at "
                    f"{combination} and {_describe(first)} at {combinations[0]}"
                )
        return [self.traced(index).fingerprint for index in range(len(combinations))]

    @property
    def variables(self) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
        """Shape and dtype of what is stored for each cell, "status" and "diverged_step" included."""
        outputs = {name: (output.shape, np.dtype(output.dtype)) for name, output in self.traced(0).outputs.items()}
        return outputs | {"status": ((), np.dtype(np.int32)), "diverged_step": ((), np.dtype(np.int64))}

    def compute(self, layout: Layout, chunk: int, width: int) -> Outcome:
        """Compute a chunk, `width` cells side by side on each device; in smaller batches where memory runs out.

        What does not fit is tried at half the width down to one cell after the other, then as programs of a single
        cell; cells that do not fit even then have failed.
        """
        combination, start, stop = layout.locate(chunk)
        width = min(width, layout.cells)
        while width:
            try:
                values = self.run(combination, start, stop, layout.cells, width)
                return Outcome(settle(values, np.zeros(stop - start, bool)), {})
            except (jax.errors.JaxRuntimeError, MemoryError) as error:
                _reraise_unless_out_of_memory(error)
            width //= 2
        outputs = self.traced(combination).outputs
        values = {
            name: np.full((stop - start, *output.shape), fill_value(output.dtype), output.dtype)
            for name, output in outputs.items()
        }
        failures: dict[int, str] = {}
        for row in range(stop - start):
            try:
                alone = self.run(combination, start + row, start + row + 1, 1, 1)
            except (jax.errors.JaxRuntimeError, MemoryError) as error:
                _reraise_unless_out_of_memory(error)
                failures[row] = (str(error) or type(error).__name__).splitlines()[0]
            else:
                for name, array in alone.items():
                    values[name][row] = array[0]
        failed = np.isin(np.arange(stop - start), list(failures))
        return Outcome(settle(values, failed), failures)

    def run(self, combination: int, start: int, stop: int, cells: int, width: int) -> dict[str, np.ndarray]:
        """What cells start, ..., stop − 1 of a combination return, from a program for `cells` cells."""
        compiled = self.compiled(combination, cells, width)
        grid = self.grid
        # A short chunk repeats its last cell: the same program, and nothing there that could go wrong anew.
        rows = np.minimum(np.arange(compiled.cells), stop - start - 1)
        values = {
            name: _cast(name, axis, traced_dtype(grid, name))[rows] for name, axis in grid.values(start, stop).items()
        }
        words = grid.random_words(grid.combinations[combination], start, stop, self._words)[rows]
        values, words = jax.device_put((values, words), compiled.sharding)
        results = compiled.call(compiled.constants, values, words)
        return {name: np.asarray(array)[: stop - start] for name, array in results.items()}

    def _compile(self, combination: int, cells: int, width: int) -> Compiled:
        traced, devices = self.traced(combination), self.devices
        local = math.ceil(cells / len(devices))
        width = min(width, local)
        local = math.ceil(local / width) * width
        function = functools.partial(_batched, traced, width)
        sharding = everywhere = SingleDeviceSharding(devices[0])
        if len(devices) > 1:
            mesh, split, whole = Mesh(np.array(devices), ("cell",)), PartitionSpec("cell"), PartitionSpec()
            sharding, everywhere = NamedSharding(mesh, split), NamedSharding(mesh, whole)
            # Each device works through its own cells; under automatic partitioning a loop of one would wait for all.
            function = jax.shard_map(
                function, mesh=mesh, in_specs=(whole, split, split), out_specs=split, check_vma=False
            )
        total = local * len(devices)
        shaped = functools.partial(jax.ShapeDtypeStruct, sharding=sharding)
        values = {name: shaped((total,), traced_dtype(self.grid, name)) for name in self.grid.traced}
        words = shaped((total, self._words), jnp.uint32)
        constants = jax.device_put(traced.program.consts, everywhere)
        call = jax.jit(function).lower(constants, values, words).compile()
        return Compiled(call, constants, total, sharding, _bytes(call))


def _batched(traced: TracedCell, width: int, constants: list[Array], values: dict[str, Array], words: Array) -> Any:
    """All cells of one device: `width` side by side, batches one after the other."""

    def one(cell: Any) -> dict[str, Any]:
        # Constants come as arguments; as literals of the program, XLA would fold and copy them for minutes.
        program = jaxpr_as_fun(ClosedJaxpr(traced.program.jaxpr, constants))
        return dict(zip(traced.outputs, program(*jax.tree.leaves(cell)), strict=True))

    cells = (values, words)
    if width == len(words):
        return jax.vmap(one)(cells)
    return jax.lax.map(one, cells, batch_size=None if width == 1 else width)


def _cast(name: str, values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Values of an axis in the dtype of this session."""
    with np.errstate(over="ignore", under="ignore"):
        cast = values.astype(dtype)
    changed = cast != values if values.dtype.kind == "i" else ~np.isfinite(cast) | ((cast == 0) != (values == 0))
    if values.dtype.kind in "if" and changed.any():
        raise ValueError(f"axis {name!r} holds {values[changed][0]}, which {dtype} cannot hold; enable jax_enable_x64")
    return cast


def _reraise_unless_out_of_memory(error: Exception) -> None:
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error) or "out of memory" in str(error).lower():
        return
    raise error


def _bytes(call: Any) -> int:
    """Memory that an executable says it needs on a device, 0 if it does not say."""
    memory = call.memory_analysis()
    if memory is None:
        return 0
    return memory.temp_size_in_bytes + memory.output_size_in_bytes + memory.argument_size_in_bytes


def _describe(outputs: Mapping[str, jax.ShapeDtypeStruct]) -> str:
    return ", ".join(f"{name} {output.dtype}{list(output.shape)}" for name, output in outputs.items())
