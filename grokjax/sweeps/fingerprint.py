"""What a traced function computes, as one number.

Two functions have the same fingerprint when JAX traces them to the same operations on the same shapes, with the same
parameters, literals and closed-over arrays, in the same order. Comments, names and line numbers do not enter; neither
do the printed names of variables, nor which sub-programs JAX happens to share. A host callback enters by its name
alone, as JAX cannot see into it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

__all__ = ["fingerprint"]

# Derivative rules, which tracing has already used, and names of functions.
_SILENT = {"name", "jvp", "jvp_jaxpr_fun", "fwd_jaxpr_thunk", "bwd", "debug_info"}
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


def fingerprint(program: ClosedJaxpr) -> str:
    """SHA-256 of what a traced program computes, in hexadecimal."""
    return _closed(program, {})


def _closed(program: ClosedJaxpr, known: dict[int, str]) -> str:
    constants = [_value(constant, known) for constant in program.consts]
    return _digest("closed", _jaxpr(program.jaxpr, known), *constants)


def _jaxpr(jaxpr: Jaxpr, known: dict[int, str]) -> str:
    """Digest of operations, with variables numbered as they appear; `known` keeps those of shared sub-programs."""
    if id(jaxpr) in known:
        return known[id(jaxpr)]
    numbers: dict[Any, int] = {}

    def define(variable: Any) -> str:
        return f"{numbers.setdefault(variable, len(numbers))}:{variable.aval}"

    def use(atom: Any) -> str:
        return _value(atom.val, known) if isinstance(atom, Literal) else str(numbers[atom])

    parts = [define(variable) for variable in (*jaxpr.constvars, *jaxpr.invars)]
    for equation in jaxpr.eqns:
        parts.append(equation.primitive.name)
        parts += map(use, equation.invars)
        spoken = sorted(equation.params.keys() - _SILENT)
        parts += [f"{key}={_value(equation.params[key], known)}" for key in spoken]
        parts += map(define, equation.outvars)
    known[id(jaxpr)] = _digest("jaxpr", *parts, "->", *map(use, jaxpr.outvars))
    return known[id(jaxpr)]


def _value(value: Any, known: dict[int, str]) -> str:
    """Digest of a parameter, a literal or a constant."""
    if isinstance(value, ClosedJaxpr):
        return _closed(value, known)
    if isinstance(value, Jaxpr):
        return _jaxpr(value, known)
    if isinstance(value, jax.Array) and jax.dtypes.issubdtype(value.dtype, jax.dtypes.prng_key):
        return _digest("key", str(jax.random.key_impl(value)), _value(jax.random.key_data(value), known))
    if isinstance(value, np.ndarray | np.generic | jax.Array):
        array = np.asarray(value)
        return _digest("array", str(array.dtype), str(array.shape), np.ascontiguousarray(array).tobytes())
    if isinstance(value, tuple | list):
        return _digest("sequence", *(_value(item, known) for item in value))
    if isinstance(value, Mapping):
        return _digest("mapping", *(_value(item, known) for pair in sorted(value.items(), key=str) for item in pair))
    return _digest("other", _ADDRESS.sub("", repr(value)))


def _digest(*parts: str | bytes) -> str:
    """SHA-256 of a list of texts, with their lengths, so that no two lists run together."""
    state = hashlib.sha256()
    for part in parts:
        content = part if isinstance(part, bytes) else part.encode()
        state.update(len(content).to_bytes(8, "little"))
        state.update(content)
    return state.hexdigest()
