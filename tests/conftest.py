"""What every test runs under: float64, no silent promotion of ranks or dtypes, types and shapes checked."""

from __future__ import annotations

import jax
import jaxtyping
import pytest

jax.config.update("jax_enable_x64", True)


def asks_for_benchmarks(config):
    return any("benchmarks" in argument for argument in config.args)


def pytest_configure(config):
    """Benchmarks run as a user's program does."""
    if not asks_for_benchmarks(config):
        jax.config.update("jax_numpy_rank_promotion", "raise")
        jax.config.update("jax_numpy_dtype_promotion", "strict")
        jaxtyping.install_import_hook(("grokjax", "theory"), "typechecking.typechecker")


def pytest_ignore_collect(collection_path, config):
    """Benchmarks run when they are asked for by name."""
    return True if collection_path.name == "benchmarks" and not asks_for_benchmarks(config) else None


@pytest.fixture
def key():
    return jax.random.key(0)


@pytest.fixture
def unchecked_types(monkeypatch):
    """What a user meets who does not check types."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
