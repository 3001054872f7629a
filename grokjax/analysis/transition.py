"""When a curve makes its transition."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

__all__ = ["crossing_time"]


def crossing_time(times: ArrayLike, curve: Float[Array, "*batch T"], level: ArrayLike) -> Float[Array, "*batch"]:
    """The first time at which a curve reaches a level from below, linearly interpolated.

    Args:
        times: (T,), increasing; interpolation is linear in them, so pass τ or log t where the curve is smooth in that.
        curve: (..., T), such as a test accuracy.
        level: scalar, or one for each curve.

    Returns:
        (...,); the first time where the curve starts at or above the level; NaN where it never reaches it (or holds
        NaN before).
    """
    level = jnp.asarray(level, curve.dtype)
    above = curve >= level[..., None]
    after = jnp.argmax(above, axis=-1)
    before = jnp.maximum(after - 1, 0)

    def at(index):
        return jnp.take_along_axis(curve, index[..., None], axis=-1)[..., 0]

    rise = at(after) - at(before)
    fraction = jnp.where(rise > 0, (level - at(before)) / jnp.where(rise > 0, rise, 1), 0)
    times = jnp.asarray(times)
    crossing = times[before] + fraction * (times[after] - times[before])
    return jnp.where(jnp.any(above, axis=-1), crossing, jnp.nan)
