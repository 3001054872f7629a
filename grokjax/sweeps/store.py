"""The store of a sweep: one Zarr group that grows chunk by chunk and knows which of its chunks are whole.

    PATH/zarr.json                       group; its attributes hold grid, config, code fingerprints, versions, batch
    PATH/VARIABLE/zarr.json              array (rows, ...), rows = chunks · cells of a chunk, not compressed
    PATH/VARIABLE/c.CHUNK.0.0            one chunk of it
    PATH/status/manifests/CHUNK.json     SHA-256 of each variable's chunk, counts, and messages of failed cells
    PATH/status/manifests/claims         locks of the processes at work

A chunk counts only if its manifest, which is written last, matches the bytes of its files. Files replace their
predecessors in one step, so a kill at any moment leaves a chunk whole or missing; a file that was cut or changed
afterwards makes its chunk missing. Everything here is JSON or raw numbers: nothing is ever unpickled.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from grokjax.sweeps.batch import Batch
from grokjax.sweeps.claims import Claims
from grokjax.sweeps.grid import Grid, Layout
from grokjax.sweeps.outcome import CellStatus, Outcome, fill_value

__all__ = ["Store", "create_store", "open_store"]

_FORMAT = 1
_MARK = "grokjax_sweep"


class Store(NamedTuple):
    """A store on disk.

    Attributes:
        path: its folder.
        identity: {"grid", "config", "code", "versions"}: what makes two sweeps the same.
        batch: the batch it was made with.
        layout: its grid in chunks.
        variables: shape of a cell and dtype, by variable.
    """

    path: Path
    identity: dict[str, Any]
    batch: Batch
    layout: Layout
    variables: dict[str, tuple[tuple[int, ...], np.dtype]]

    def claims(self) -> Claims:
        """Claims of this process on chunks; a context manager, at whose end all are given up."""
        return Claims(self.path / "status" / "manifests" / "claims")

    def manifest(self, chunk: int) -> dict[str, Any] | None:
        """The manifest of a chunk, or None if there is none, or not one as it was written."""
        try:
            manifest = json.loads(self._manifest_path(chunk).read_bytes())
        except (OSError, ValueError):
            return None
        if not isinstance(manifest, dict) or manifest.pop("own", None) != _own_sum(manifest):
            return None
        return manifest if manifest["chunk"] == chunk else None

    def read(self, chunk: int, name: str, manifest: Mapping[str, Any]) -> np.ndarray | None:
        """A variable's values in a chunk, shape (cells, ...), or None if its bytes are not those of the manifest."""
        shape, dtype = self.variables[name]
        try:
            content = self._chunk_path(chunk, name).read_bytes()
        except OSError:
            return None
        if hashlib.sha256(content).hexdigest() != manifest["sha256"].get(name):
            return None
        return np.frombuffer(content, dtype.newbyteorder("<")).reshape(self.layout.cells, *shape)

    def verify(self, chunk: int) -> dict[str, Any] | None:
        """The manifest of a chunk if the chunk is there, unharmed, else None."""
        manifest = self.manifest(chunk)
        if manifest is None or any(self.read(chunk, name, manifest) is None for name in self.variables):
            return None
        return manifest

    def write(self, chunk: int, outcome: Outcome) -> dict[str, Any]:
        """Write a chunk; returns its manifest.

        Raises:
            OSError: nothing more can be written there, say because the disk is full.
        """
        status = outcome.values["status"]
        counts = {code.name.lower(): int(np.sum(status == code)) for code in CellStatus if code >= 0}
        sums = {}
        try:
            for name, (shape, dtype) in self.variables.items():
                rows = np.full((self.layout.cells, *shape), fill_value(dtype), dtype.newbyteorder("<"))
                rows[: len(status)] = outcome.values[name]
                content = rows.tobytes()
                sums[name] = hashlib.sha256(content).hexdigest()
                _replace(self._chunk_path(chunk, name), content)
            failures = {str(cell): message for cell, message in sorted(outcome.failures.items())}
            manifest = {"chunk": chunk, "sha256": sums, "counts": counts, "failures": failures}
            signed = manifest | {"own": _own_sum(manifest)}
            _replace(self._manifest_path(chunk), json.dumps(signed, indent=1).encode())
        except OSError as error:
            raise OSError(
                error.errno,
                f"chunk {chunk} of the sweep could not be written ({error.strerror}); the chunks before it are kept: "
                "make room and run the sweep again",
                str(self.path),
            ) from error
        return manifest

    def _chunk_path(self, chunk: int, name: str) -> Path:
        return self.path / name / ".".join(["c", str(chunk), *["0"] * len(self.variables[name][0])])

    def _manifest_path(self, chunk: int) -> Path:
        return self.path / "status" / "manifests" / f"{chunk}.json"


def create_store(
    path: Path,
    grid: Grid,
    identity: Mapping[str, Any],
    batch: Batch,
    variables: Mapping[str, tuple[tuple[int, ...], np.dtype]],
) -> Store:
    """Make a store without chunks, or open the one that another process has made there meanwhile."""
    import zarr

    layout = Layout(grid, batch.cells)
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_left_over(path)
    made = path.parent / f"{_prefix(path)}{os.getpid()}-{threading.get_ident()}"
    group = zarr.create_group(
        made, zarr_format=3, attributes={_MARK: _FORMAT, **identity, "batch": batch._asdict()}, overwrite=True
    )
    for name, (shape, dtype) in variables.items():
        group.create_array(
            name,
            shape=(layout.chunks * layout.cells, *shape),
            chunks=(layout.cells, *(max(1, length) for length in shape)),
            dtype=dtype,
            fill_value=fill_value(dtype),
            compressors=None,
            chunk_key_encoding={"name": "default", "separator": "."},
            dimension_names=("cell", *(f"{name}_{axis}" for axis in range(len(shape)))),
        )
    (made / "status" / "manifests").mkdir()
    try:
        made.rename(path)
    except OSError:
        # A folder takes the place of an empty one only, so of two processes one is first.
        shutil.rmtree(made)
        if not path.exists():
            raise
    return open_store(path)


def open_store(path: Path) -> Store:
    """Open a store.

    Raises:
        ValueError: there is none, or it holds something else than raw numbers.
    """
    if path.exists() and not path.is_dir():
        raise ValueError(f"path must be a folder or not be there yet, got the file {path}")
    try:
        attributes = json.loads((path / "zarr.json").read_bytes())["attributes"]
        if attributes[_MARK] != _FORMAT:
            raise ValueError(f"path {path} holds a sweep of format {attributes[_MARK]}; this version reads {_FORMAT}")
        identity = {part: attributes[part] for part in ("grid", "config", "code", "versions")}
        grid = Grid(identity["grid"]["axes"], identity["grid"]["static"])
        batch = Batch(**attributes["batch"])
        variables = {part.parent.name: _variable(part) for part in sorted(path.glob("*/zarr.json"))}
    except (OSError, KeyError, TypeError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"path {path} holds no sweep: a folder made by sweeps.run is needed") from error
    return Store(path, identity, batch, Layout(grid, batch.cells), variables)


def _variable(path: Path) -> tuple[tuple[int, ...], np.dtype]:
    """Shape of a cell and dtype from an array's metadata; only plain numbers without any transformation are read."""
    metadata = json.loads(path.read_bytes())
    codecs = [codec["name"] for codec in metadata["codecs"]]
    kinds = ("bool", "int", "uint", "float", "complex")
    data_type = metadata["data_type"]
    if codecs != ["bytes"] or not isinstance(data_type, str) or not data_type.startswith(kinds):
        raise ValueError(f"path {path.parent} holds {data_type} through {codecs}; only raw numbers are read")
    return tuple(metadata["shape"][1:]), np.dtype(data_type)


def _own_sum(manifest: Mapping[str, Any]) -> str:
    """Checksum of a manifest."""
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def _replace(path: Path, content: bytes) -> None:
    """Put content in the place of a file in one step; the claim on the chunk makes the name of the new file ours."""
    temporary = path.with_name(path.name + ".partial")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def _prefix(path: Path) -> str:
    """How folders are named in which this machine makes a store, before the number of the process."""
    return f".{path.name}-{socket.gethostname()}-"


def _remove_left_over(path: Path) -> None:
    """Remove what processes of this machine left beside a store when they were killed while making it."""
    for folder in path.parent.iterdir():
        process = folder.name.removeprefix(_prefix(path)).partition("-")[0]
        if folder.name.startswith(_prefix(path)) and process.isdigit():
            try:
                os.kill(int(process), 0)
            except ProcessLookupError:
                shutil.rmtree(folder, ignore_errors=True)
            except PermissionError:
                pass
