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
        (...,), in the default float type; the first time of all where the curve starts at or above the level; NaN where
        it never reaches it, or holds a NaN before it does.
    """
    level = jnp.broadcast_to(jnp.asarray(level, curve.dtype), curve.shape[:-1])
    above = curve >= level[..., None]
    after = jnp.argmax(above, axis=-1)
    before = jnp.maximum(after - 1, 0)

    def at(index, curve=curve):
        return jnp.take_along_axis(curve, index[..., None], axis=-1)[..., 0]

    rise = at(after) - at(before)
    times = jnp.asarray(times, float)
    fraction = jnp.where(rise > 0, (level - at(before)) / jnp.where(rise > 0, rise, 1), 0).astype(times.dtype)
    crossing = times[before] + fraction * (times[after] - times[before])
    unknown = at(after, jnp.cumsum(jnp.isnan(curve), axis=-1)) > 0
    return jnp.where(jnp.any(above, axis=-1) & ~unknown, crossing, jnp.nan)
