"""The settings of JAX under which a cell is traced, carried to the threads and processes that compute for it.

A setting made by a context manager holds in its own thread only, and one made in this process does not reach another.
"""

from __future__ import annotations

import contextlib
from typing import Any

import jax

__all__ = ["read_settings", "use_settings"]

_NAMES = (
    "enable_x64",
    "default_prng_impl",
    "default_matmul_precision",
    "threefry_partitionable",
    "numpy_dtype_promotion",
    "numpy_rank_promotion",
    "debug_nans",
)


def read_settings() -> dict[str, Any]:
    """The settings that hold here and now."""
    return {name: getattr(jax.config, f"jax_{name}") for name in _NAMES}


@contextlib.contextmanager
def use_settings(settings: dict[str, Any]):
    """Hold these settings in this thread; the global configuration stays as it is."""
    with contextlib.ExitStack() as stack:
        for name, value in settings.items():
            stack.enter_context(getattr(jax, name)(value))
        yield
