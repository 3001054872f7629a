"""Checks of a configuration's fields that every reproduction makes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["check_fields"]


def check_fields(
    config: Any,
    *,
    at_least: Mapping[str, int] | None = None,
    positive: Sequence[str] = (),
    not_negative: Sequence[str] = (),
) -> None:
    """Check fields by name, for a `__post_init__`.

    Args:
        config: the instance.
        at_least: the least value of each of these.
        positive: must be positive and finite.
        not_negative: must be finite and at least 0.

    Raises:
        ValueError: for the first field that is not as described, with its name and value.
    """
    for name, least in (at_least or {}).items():
        if getattr(config, name) < least:
            raise ValueError(f"{name} must be at least {least}, got {getattr(config, name)}")
    for name in positive:
        if not 0 < getattr(config, name) < math.inf:
            raise ValueError(f"{name} must be positive and finite, got {getattr(config, name)}")
    for name in not_negative:
        if not 0 <= getattr(config, name) < math.inf:
            raise ValueError(f"{name} must be finite and at least 0, got {getattr(config, name)}")
