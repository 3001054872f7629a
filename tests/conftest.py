"""What every test runs under: float64, no silent promotion of ranks or dtypes, types and shapes checked."""

from __future__ import annotations

import beartype
import jax
import jaxtyping
import pytest

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")

# With the numeric tower: an int is a float where one is asked for, as static type checkers have it.
typechecker = beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))
jaxtyping.install_import_hook(("grokjax", "theory"), f"{__name__}.typechecker")


@pytest.fixture
def key():
    return jax.random.key(0)


@pytest.fixture
def unchecked_types(monkeypatch):
    """What a user meets who does not check types."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
