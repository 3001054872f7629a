"""The dichotomy's asymptotics at initial scales of 10 to 10³⁰ (Lyu et al., arXiv 2311.18817, theorems 3.4, 3.5, 3.9 and appendices C, D).

Claim in one sentence: as the scale α of the initial parameters grows at small weight decay λ, a diagonal net of any depth L stays with the
max-L2-margin classifier, ever more closely, until λt = log α + const and leaves it within a width of order 1 of λt, whichever of the two
classifiers is the better one; without weight decay the same change is as wide as the time it takes.

Departures and choices:
1. Flows are integrated in their exact reductions, so that α = 10³⁰ costs but log(10³⁰) times as much as α = e. α is the initial size of every
   coordinate, θ̄ = (1, 1), so that the NTK feature of x is L(x, −x) and γ_ntk = √2 L γ, γ the largest L2 margin.
2. The loss is the exponential one, of the theorems; the logistic one is run as well for L = 2.
3. λ is fixed, or coupled to α as λ = 0.01/α: p = 1 in λ = Θ(α^(−p)).
4. The early time is T_c^− with c = ½. The switch is where the cosine to the max-L2-margin direction has gone half of its way from 1 to its last
   value, its width from 10 to 90 %; the kernel phase ends where the largest |log(u/v)| reaches 1.
5. Theorem 3.4 prints the normaliser (1/γ) log(α^c/λ), its proof gives (1/γ) log(α^(2(L−1)c)/λ). Both are held against the margins q, of which
   theory predicts q + log q up to a constant; the log is a correction of log log α.
6. Small data: 32 points in 128 dimensions, of the sparse task (the late classifier is the better one) and of the L2-separated one with gap 3,
   smaller than the paper's 25, at which no classifier fails in so few dimensions.
7. Matrix completion: 8×8, 36 entries observed. RKC2 takes gradients in proportion to α, 10⁵ of them at α = 10³. `flows.stiff` needs a hundred
   steps at any α up to 10³, each with a linear system of 2d² unknowns, and a long compilation; at 10⁴ rounding shortens its steps without end.
8. Tiny initialisations are of L = 2 only: for L > 2 and λ > 0 zero is a stable point.

Run time on 2 cores: smoke 60 s, nearly all of it compilation; default 170 s; paper, with 16 seeds and scales to 10⁴⁰, three times as long.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import _asymptotic_flows as asymptotic
import jax
import numpy as np
from _asymptotic_claims import claims
from _asymptotic_flows import Config

from grokjax import experiment

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

PRESETS = {
    "smoke": Config(
        n=16, d=32, seeds=2, depths=(2, 3), decades=(1.0, 5.0), decays=(1e-2, 1e-4), tiny_decades=(-20.0, -40.0), free_scales=(0.5, 1.0),
        size=6, observed=20, completion_decades=(1.0, 1.5), completion_decays=(1e-2, 1e-3), test_points=200,
    ),
    "default": Config(),
    "paper": Config(seeds=16, decades=(1.0, 2.0, 4.0, 8.0, 16.0, 40.0), completion_decades=(1.0, 1.5, 2.0, 2.5, 3.0)),
}  # fmt: skip


def run(config: Config) -> Iterator[experiment.Part]:
    """Scales and couplings for every depth; for L = 2 also other losses, decays, tiny scales and no decay; matrix completion."""
    sparse, separated = asymptotic.draw(config)
    both = asymptotic.joined(sparse, separated)
    sweeps = [asymptotic.sweep(config, both if depth == 2 else sparse, depth) for depth in config.depths]
    shallow = {f"separated_{name}": values[:, :, config.seeds :] for name, values in sweeps[0].items()}
    columns = {name: np.stack([numbers[name][:, :, : config.seeds] for numbers in sweeps]) for name in sweeps[0]}
    log_scales = np.asarray(config.decades) * math.log(10)
    coordinates = {
        "depth": np.asarray(config.depths),
        "coupling": np.asarray(asymptotic.COUPLINGS),
        "log_scale": log_scales,
    }
    dims = ("depth", "coupling", "log_scale", "seed", "time")
    results = {name: (dims[: values.ndim], values) for name, values in columns.items()}
    results |= {name: (dims[1 : values.ndim + 1], values) for name, values in shallow.items()}
    gaps = [max(p.duality_gap for p in both.l2), max(p.duality_gap for p in both.l1)]
    yield experiment.Part("scales", 0.7, asymptotic.labelled(results | {"gaps": ("certificate", gaps)}, coordinates))
    yield experiment.Part("depth 2", 0.15, asymptotic.depth_two(config, both))
    yield experiment.Part("matrix completion", 0.15, asymptotic.completion(config))


def plot(config: Config, results: xr.Dataset) -> Figure:
    """Direction through the switch, when and how wide it is; margins and angle before it; matrix completion."""
    figure, ((direction, end), (margin, angle), (width, matrix)) = experiment.new_figure(3, 2, width=6.5, height=2.25)
    r, colours = results.mean("seed"), experiment.COLOURS
    decades = r.log_scale.values / math.log(10)
    palette = [colours[name] for name in ("blue", "orange", "green", "purple", "sky", "yellow")]
    depths = [(i, f"$L = {depth}$", palette[i % len(palette)]) for i, depth in enumerate(r.depth.values)]
    dots, crosses = {"ls": "", "marker": "o"}, {"ls": "", "marker": "x", "ms": 4}

    for i, label, colour in depths:
        for j, style in ((0, crosses), (-1, dots | {"ms": 2})):
            one = r.isel(depth=i, coupling=0, log_scale=j)
            power = round(float(decades[j]))
            direction.plot(
                one.scaled_time - one.log_scale,
                one.cosine_to_l2,
                color=colour,
                label=f"{label}, $\\alpha = 10^{{{power}}}$",
                **style,
            )
    direction.set(xlim=(-2, 8), xlabel=r"$\lambda t - \log\alpha$", ylabel="cosine to max-$L_2$ direction")
    direction.legend(loc="upper right", fontsize=6)

    for i, label, colour in depths:
        for j, (style, line) in enumerate(((dots, "-"), (crosses, "--"))):
            one = r.isel(depth=i, coupling=j)
            end.plot(
                decades, one.kernel_phase_end - one.log_scale, color=colour, label=label if j == 0 else None, **style
            )
            end.plot(decades, one.predicted_kernel_phase_end - one.log_scale, color=colour, ls=line)
    end.plot([], [], color="black", label=r"leading order, fixed $\lambda$")
    end.plot([], [], color="black", ls="--", label=r"leading order, $\lambda \propto 1/\alpha$")
    end.set(xlabel=r"$\log_{10}\alpha$", ylabel=r"end of kernel phase, $\lambda t - \log\alpha$")
    end.legend(loc="lower left")

    for i, label, colour in depths:
        one = r.isel(depth=i, coupling=-1)
        margin.plot(decades, one.early_margin + np.log(one.early_margin), color=colour, label=label, **dots)
        margin.plot(decades, one.balance_margin + np.log(one.balance_margin), color=colour)
        start = float(one.early_margin[0] + np.log(one.early_margin[0]))
        margin.plot(decades, start + (config.c + 1) * (one.log_scale - one.log_scale[0]), color=colours["grey"], ls=":",
                    label="slope as printed" if i == 0 else None)  # fmt: skip
    margin.plot([], [], color="black", label="balance (theory)")
    margin.set(xlabel=r"$\log_{10}\alpha$  ($\lambda \propto 1/\alpha$)", ylabel=r"$q + \log q$ at $T_c^-$")
    margin.legend(loc="upper left")

    for i, label, colour in depths:
        one = r.isel(depth=i, coupling=-1)
        angle.plot(one.early_margin, one.early_angle, color=colour, label=label, **dots)
        angle.plot(one.balance_margin, one.balance_angle, color=colour)
    one = r.isel(coupling=-1)
    angle.plot(
        one.separated_early_margin,
        one.separated_early_angle,
        color=colours["black"],
        label="$L = 2$, separated",
        **crosses,
    )
    angle.plot(
        one.separated_balance_margin, one.separated_balance_angle, color=colours["black"], label="balance (theory)"
    )
    ends = np.asarray([float(r.early_margin.min()), float(r.early_margin.max())])
    angle.plot(
        ends,
        0.5 * float(r.early_angle[0, -1, 0]) * (ends / ends[0]) ** -2.0,
        color=colours["grey"],
        ls=":",
        label="slope $-2$",
    )
    angle.set(
        xscale="log",
        yscale="log",
        xlabel="smallest margin $q$ at $T_c^-$",
        ylabel=r"$1 - $ cosine to max-$L_2$ direction",
    )
    angle.legend(loc="lower left", fontsize=6)

    for i, label, colour in depths:
        one = r.isel(depth=i, coupling=0)
        width.plot(one.switch, one.width / one.switch, color=colour, label=label, **dots)
        width.plot(one.switch, one.width.mean() / one.switch, color=colour)
    one = r.isel(coupling=0)
    width.plot(
        one.separated_switch,
        one.separated_width / one.separated_switch,
        color=colours["black"],
        label="$L = 2$, separated",
        **crosses,
    )
    width.plot(
        one.separated_switch,
        one.separated_width.mean() / one.separated_switch,
        color=colours["black"],
        label="constant width",
    )
    width.plot(
        r.free_time,
        r.free_width / r.free_time,
        color=colours["purple"],
        label=r"$L = 2$, $\lambda = 0$, in $\log t$",
        **(dots | {"marker": "s"}),
    )
    width.set(
        xscale="log",
        yscale="log",
        xlabel=r"position of the switch, $\lambda t$ (or $\log t$)",
        ylabel="width / position",
    )
    width.legend(loc="lower left", fontsize=6)

    shades = [colours[name] for name in ("sky", "blue", "green", "yellow", "orange", "purple")]
    for i, decade in enumerate(config.completion_decades):
        one = r.isel(cell=i)
        kernel = one.completion_log_size > 0
        size = np.exp(one.completion_log_size.where(kernel))
        matrix.plot(
            size,
            one.completion_train_loss,
            color=shades[i % len(shades)],
            label=rf"$\alpha = 10^{{{decade:g}}}$",
            **dots,
        )
        matrix.plot(
            size,
            one.completion_law.where(kernel),
            color="black",
            label=None if i else r"late law (theory), $\propto \lambda^2 s^{-4}$",
            zorder=0,
        )
    matrix.set(xscale="log", yscale="log", xlabel=r"$s = \alpha e^{-\lambda t}$", ylabel="train loss, completion")
    matrix.invert_xaxis()
    matrix.legend(loc="upper left", fontsize=6)
    return figure


EXPERIMENT = experiment.Experiment("dichotomy_asymptotics", __doc__ or "", PRESETS, run, claims, plot)

if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    raise SystemExit(experiment.main(EXPERIMENT))
