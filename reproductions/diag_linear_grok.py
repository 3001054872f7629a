"""Grokking of a diagonal linear network at the paper's own scale (Lyu et al., arXiv 2311.18817, figure 1a).

Claim in one sentence: from a large initialisation and with small weight decay λ, the network first is the max-L2-margin classifier, which on
sparse labels is hardly better than chance, and around t = (1/λ)·(log of the initial scale + const) it turns into the max-L1-margin classifier,
which is right.

Departures and choices:
1. The gradient flow itself is integrated, in its exact n-dimensional reduction, where the paper takes 2·10⁶ gradient steps of size
   0.01. Time t is flow time; one unit is 100 of the paper's steps.
2. ‖θ(0)‖ = 128 is the norm of all 2d parameters, as in the authors' code: a = 0.286 for each coordinate.
3. The paper's training and test points cannot be drawn again; ours come from the seed. Points are float32 (±1 is exact), the
   state is float64.
4. Around the predicted end of the kernel phase times are spaced evenly, elsewhere logarithmically.
5. The law u_k v_k = a² e^(−2λt) holds by construction in the reduction. It is therefore measured on the flow of all 2d parameters, at small d.
6. How the switch moves with the initial scale is measured at small d over scales that gradient descent cannot reach.

Run time on 2 cores: smoke 30 s, nearly all of it compilation; default, which is the paper's setting, 80 s.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import _diagonal_claims as shared
import _diagonal_nets as nets
import jax
import jax.numpy as jnp

import grokjax as gj
from grokjax import experiment

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

CHANCE_NOTE = (
    "Tolerance: three standard errors. The max-L2-margin classifier is itself better than chance: every label correlates with each of "
    "the k teacher coordinates, which is worth an accuracy of order √(n/d) above ½, and the network has that accuracy."
)


@dataclass(frozen=True, kw_only=True)
class Config(nets.Config):
    """Sizes, scales and solver settings."""

    n: int = 256
    """Training points."""
    k: int = 3
    """Non-zero weights of the teacher, odd."""
    end_time: float = 2e4
    """Flow time at which the run ends (100 of the paper's steps are one unit)."""
    limit_time: float = 1e5
    """Flow time to which the run goes on for the comparison with its t → ∞ limit."""
    sweep_n: int = 64
    """Training points of the sweep over initial scales."""
    sweep_d: int = 1000
    """Dimension in the sweep."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.k < 1:
            raise ValueError(f"k must be at least 1, got {self.k}")
        if self.k % 2 == 0:
            raise ValueError(f"k must be odd, or some labels are 0; got {self.k}")
        smallest = min(self.d, self.sweep_d)
        if self.k > smallest:
            raise ValueError(f"k must be at most {smallest}, the smaller of d and sweep_d; got {self.k}")


# All flows of the smoke preset have one shape, so that they share one compilation.
PRESETS = {
    "smoke": Config(
        n=96, d=256, initial_norm=167.0, test_points=500, times=100, precision="float64",
        sweep_n=96, sweep_d=256, sweep_seeds=2, seeds=2, sweep_log_scales=(2.0, 6.0),
    ),
    "default": Config(),
    "paper": Config(),
}  # fmt: skip


def run(config: Config) -> Iterator[experiment.Part]:
    """The flow at full size between its predictors; the sweep over initial scales; the flow of all 2d parameters."""
    datasets = draw(config, config.seed, config.seeds, config.n, config.d)
    small = draw(config, config.seed + 1, config.sweep_seeds, config.sweep_n, config.sweep_d)
    yield from nets.run(config, datasets, small, test_points, test_points, tail=3)


def draw(config: Config, seed: int, seeds: int, n: int, d: int) -> gj.data.Dataset:
    """So many data sets, along a first axis."""
    keys = jax.random.split(jax.random.key(seed), seeds)
    dtype = jnp.dtype(config.precision)
    return jax.vmap(lambda key: gj.data.sparse_classification(key, n, d, config.k, dtype=dtype))(keys)


def test_points(datasets: gj.data.Dataset, s: int) -> jax.tree_util.Partial:
    """Test points of one data set, as a function of their numbers."""
    return jax.tree_util.Partial(gj.data.sparse_points, datasets.test_key[s], datasets.teacher[s])


def claims(config: Config, results: xr.Dataset) -> list[experiment.Claim]:
    """Each prediction beside its measurement: of several seeds the worst, or the mean where a standard error is quoted."""
    readings = shared.read(config, results)
    # fmt: off
    chance_before = experiment.agrees(
        "chance_before", f"{shared.PAPER}, figure 1a", "Mean test accuracy through the kernel phase.",
        predicted=0.5, measured=readings.early_accuracy.mean(), tolerance=readings.binomial, kind="finding",
        inapplicable=readings.no_switch, note=CHANCE_NOTE,
    )
    generalises = experiment.at_least(
        "generalises", f"{shared.PAPER}, figure 1a", "Test accuracy at the end.",
        predicted=1, measured=results.test_accuracy.isel(time=-1).min(), kind="finding", inapplicable=readings.no_switch,
    )
    # fmt: on
    return [
        *shared.laws(config, readings, "figure 1a"),
        chance_before,
        *shared.kernel_phase(config, readings),
        *shared.switch(config, readings),
        *shared.late_margin(config, readings),
        generalises,
    ]


def plot(config: Config, results: xr.Dataset) -> Figure:
    """The paper's panel; below it directions and margins with the predicted phases; and how the switch moves with the initial scale."""
    figure, accuracy, r = shared.panels(config, results)
    label = "of the max-$L_2$-margin classifier (theory)"
    accuracy.axhline(float(r.l2_test_accuracy), color=experiment.COLOURS["orange"], label=label)
    shared.add_norm(accuracy, config, r, loc="center left")
    return figure


EXPERIMENT = experiment.Experiment("diag_linear_grok", __doc__ or "", PRESETS, run, claims, plot)

if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    raise SystemExit(experiment.main(EXPERIMENT))
