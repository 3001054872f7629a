"""Results on disk. What is written replaces its predecessor in one step: a kill leaves the old file or the new one."""

from __future__ import annotations

import json
import math
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure

__all__ = [
    "check_writable",
    "read_json",
    "read_results",
    "remove_results",
    "write_figure",
    "write_json",
    "write_results",
]


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a dictionary as JSON; numbers that are not finite become null."""
    text = json.dumps(_finite(content), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    _replace(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def read_json(path: Path) -> dict[str, Any]:
    """Read what `write_json` wrote."""
    return json.loads(path.read_text(encoding="utf-8"))


def write_figure(path: Path, figure: Figure) -> None:
    """Write a figure as PNG, with nothing in it that differs between two runs on the same versions."""
    _replace(path, lambda temporary: figure.savefig(temporary, format="png", metadata={"Software": None}))


def write_results(path: Path, results: xarray.Dataset) -> None:
    """Write a data set as a Zarr store.

    A store is a folder, and folders cannot be exchanged in one step; `path` is a symbolic link to a folder beside it,
    and the link is what is replaced.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{path.name}-{os.getpid()}-", dir=path.parent))
    results.to_zarr(folder, mode="w", consolidated=False)
    if path.exists() and not path.is_symlink():
        # A plain folder, say from a copied tree: it becomes one of the folders behind the link.
        path.rename(path.parent / f".{path.name}-0-{folder.name[-8:]}")
    _replace(path, lambda temporary: temporary.symlink_to(folder.name, target_is_directory=True))


def read_results(path: Path) -> xarray.Dataset:
    """Read what `write_results` wrote, into memory."""
    import xarray

    return xarray.open_zarr(path, consolidated=False).load()


def remove_results(path: Path) -> None:
    """Remove a store that `write_results` made, if it is there."""
    if path.is_symlink():
        folder = path.resolve()
        path.unlink()
        shutil.rmtree(folder, ignore_errors=True)


def check_writable(folder: Path) -> None:
    """Make the folder, and raise an OSError now rather than after the work if nothing can be written there."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        pass


def _replace(path: Path, write: Callable[[Path], Any]) -> None:
    """Put what `write` makes in the place of `path`, and remove what killed runs have left beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".{path.name}-{os.getpid()}-new"
    try:
        write(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    for stale in path.parent.glob(f".{path.name}-*"):
        process = stale.name.removeprefix(f".{path.name}-").partition("-")[0]
        if stale.name == path.resolve().name or not process.isdigit() or _alive(int(process)):
            continue
        if stale.is_dir() and not stale.is_symlink():
            shutil.rmtree(stale, ignore_errors=True)
        else:
            stale.unlink(missing_ok=True)


def _finite(content: Any) -> Any:
    """The same with None for every float that is not finite, at any depth."""
    if isinstance(content, dict):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def _alive(process: int) -> bool:
    """Whether another process of this number runs; our own earlier folders count as left behind."""
    if process in (0, os.getpid()):
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
