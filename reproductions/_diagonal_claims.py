"""Claims and panels that both runs of figure 1 of Lyu et al. (arXiv 2311.18817) share; the runs are those of `_diagonal_nets`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from _diagonal_nets import Config

from grokjax import experiment
from grokjax.experiment import Claim, agrees, at_least, at_most

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

MARKS: dict[str, Any] = {"ls": "", "marker": "."}
PAPER = "Lyu et al. 2023 (2311.18817)"
OFFSET_NOTE = (
    "Tolerance: three standard deviations of the offset over the data sets of the sweep. The offset depends on n and d: by the prediction "
    "of the kernel phase's end it is −½ log((M/2γ) log(2γM/λ)), with M = max_k |ŵ_k| and margin γ of the max-L2-margin direction ŵ. "
    "The paper's theorems fix the slope only."
)


class Readings(NamedTuple):
    """What several claims need: numbers of a run, and for each kind of claim why it does not apply ("" if it does)."""

    results: xr.Dataset
    kernel: xr.DataArray
    """Where the kernel phase has at least 1/λ to go, from the first step of the paper on."""
    end: xr.DataArray
    """λ·(predicted end of the kernel phase)."""
    early_accuracy: xr.DataArray
    """Mean test accuracy where `kernel` holds."""
    binomial: float
    """Three standard errors of a test accuracy."""
    not_separable: str
    no_limit: str
    no_switch: str


def read(config: Config, results: xr.Dataset) -> Readings:
    """The readings of a run."""
    r, decay = results, config.weight_decay
    end = decay * r.predicted_kernel_phase_end
    kernel = (r.time >= 0.01) & (decay * r.time <= end - 1)
    not_separable = "" if bool(np.all(r.separable)) else "The data are inseparable: there is no margin."
    no_limit = "" if decay > 0 else "Without weight decay there is no limit point."
    switches = bool(np.all(kernel.any("time")) and np.all(r.predicted_kernel_phase_end < config.end_time))
    too_short = "" if switches else "No kernel phase longer than 1/λ is predicted to end in this run."
    return Readings(
        results=r,
        kernel=kernel,
        end=end,
        early_accuracy=r.test_accuracy.where(kernel).mean("time"),
        binomial=3 * 0.5 / math.sqrt(config.test_points * config.seeds),
        not_separable=not_separable,
        no_limit=no_limit,
        no_switch=not_separable or no_limit or too_short,
    )


# fmt: off
def laws(config: Config, readings: Readings, figure: str) -> list[Claim]:
    """What holds at any size: runs, certificates, the exact laws of the flow, its end, and that it fits at once."""
    r, decay, no_limit, not_separable = readings.results, config.weight_decay, readings.no_limit, readings.not_separable
    return [
        at_most("runs_complete", "solver", "Number of runs that did not reach their last time.",
                predicted=0, measured=(r.status != 0).sum() + (r.check_status != 0), kind="identity"),
        at_most("l2_certificate", "theory.max_margin", "Relative duality gap of the max-L2-margin direction.",
                predicted=1e-9, measured=r.l2_gap.max(), kind="identity", inapplicable=not_separable),
        at_most("l1_certificate", "theory.max_margin", "Relative duality gap of the max-L1-margin direction.",
                predicted=1e-8, measured=r.l1_gap.max(), kind="identity", inapplicable=not_separable),
        at_most("limit_certificate", "theory.regularised", "Relative duality gap of the l1-regularised logistic solution.",
                predicted=1e-9, measured=r.limit_gap.max(), kind="identity", inapplicable=no_limit),
        agrees("conservation_law", f"{PAPER}, section 3.2.2",
               "u_k v_k = a² e^(−2λt) along the flow of all 2d parameters; error over ‖θ‖·max(u, v).",
               predicted=0, measured=r.law_error, tolerance=r.law_tolerance, kind="identity",
               note="Tolerance: what the step control allows a step, times the number of steps."),
        agrees("exact_reduction", "grokjax.flows.diagonal_flow",
               "The reduced flow has the weights w of the flow of all 2d parameters; largest relative error.",
               predicted=0, measured=r.reduction_error, tolerance=r.reduction_tolerance, kind="identity",
               note="Tolerance: what the step control allows a step, times the number of steps."),
        at_most("end_point", f"{PAPER}, corollary 3.7, at finite λ",
                f"‖w − w*‖₁/‖w*‖₁ at λt = {decay * config.limit_time:g}, w* the l1-regularised logistic solution with penalty λ/2.",
                predicted=1e-3, measured=r.limit_distance.max() if decay else 0, kind="identity", inapplicable=no_limit),
        agrees("end_norm", f"{PAPER}, corollary 3.7, at finite λ", f"‖θ‖ at λt = {decay * config.limit_time:g} over √‖w*‖₁.",
               predicted=1, measured=(r.limit_norm / r.regularised_norm).max() if decay else 0, tolerance=1e-3, kind="identity",
               inapplicable=no_limit, note="Tolerance: that of the end point, of which the norm is the square root."),
        at_most("last_point", f"{PAPER}, {figure}", "‖w − w*‖₁/‖w*‖₁ at the last time of the figure.",
                predicted=1e-2, measured=r.last_distance.max() if decay else 0, kind="finding", inapplicable=no_limit,
                note="A coordinate outside the support of w* dies out at the rate 4(λ/2 − |G_k|), G = Xᵀ∂𝓛/∂f, which may be far below λ."),
        at_least("fits_at_once", f"{PAPER}, {figure}", "Least train accuracy from t = 0.01 on, the first step of the paper.",
                 predicted=1, measured=r.train_accuracy.where(r.time >= 0.01).min(), kind="finding", inapplicable=not_separable),
    ]


def kernel_phase(config: Config, readings: Readings) -> list[Claim]:
    """The network is the max-L2-margin classifier, its norm decays, and the phase ends when predicted."""
    r, kernel, end, no_switch = readings.results, readings.kernel, readings.end, readings.no_switch
    tau = config.weight_decay * r.time
    norm_excess = abs(r.parameter_norm / (config.initial_norm * np.exp(-tau)) - 1).where(kernel)
    return [
        agrees("l2_classifier_before", f"{PAPER}, corollary 3.6",
               "Mean test accuracy through the kernel phase, less that of the max-L2-margin classifier.",
               predicted=0, measured=(readings.early_accuracy - r.l2_test_accuracy).mean(), tolerance=readings.binomial,
               kind="finding", inapplicable=no_switch, note="Tolerance: three standard errors of one accuracy."),
        at_least("l2_direction_before", f"{PAPER}, corollary 3.6", "Largest cosine to the max-L2-margin direction in the kernel phase.",
                 predicted=1, measured=r.cosine_to_l2.where(kernel).max("time").min(), tolerance=0.01, kind="finding", inapplicable=no_switch),
        at_most("norm_decays", f"{PAPER}, section 3", "Largest |‖θ‖/(‖θ(0)‖ e^(−λt)) − 1| in the kernel phase.",
                predicted=math.exp(-4) / 4, measured=norm_excess.max(), tolerance=config.rtol, kind="finding", inapplicable=no_switch,
                note="Bound: every |log(u/v)| is at most e^(−2) there, and ‖θ‖² is the mean of cosh log(u/v)."),
        agrees("kernel_phase_end", f"{PAPER}, lemma C.5, made quantitative for L = 2",
               "λ·(time at which the largest |log(u/v)| is 1), less its prediction from the max-L2-margin direction.",
               predicted=0, measured=(config.weight_decay * r.kernel_phase_end - end).mean(), tolerance=0.1, kind="finding",
               inapplicable=no_switch,
               note="Tolerance: about half the inverse of the output margin, the order that the prediction neglects."),
    ]


def switch(config: Config, readings: Readings) -> list[Claim]:
    """When the switch happens, from the initial scale and from the end of the kernel phase."""
    r, no_switch = readings.results, readings.no_switch
    slope, slope_error, offset, offset_spread, lag, lag_spread = sweep_numbers(r) if config.weight_decay > 0 else [math.nan] * 6
    switch_time = config.weight_decay * r.switch_time
    return [
        agrees("slope_in_log_alpha", f"{PAPER}, theorems 3.4 and 3.5",
               f"Slope of λ·(switch time) against log a over {len(config.sweep_log_scales)} scales, mean of {config.sweep_seeds} data sets.",
               predicted=1, measured=slope, tolerance=slope_error + config.rtol / np.ptp(config.sweep_log_scales), kind="finding",
               inapplicable=readings.no_limit, note="Tolerance: the standard error, and the solver's tolerance over the range of scales."),
        agrees("switch_time_by_log_alpha", f"{PAPER}, theorems 3.4 and 3.5",
               "λ·(switch time) at full size, less log a + the offset measured in the sweep.",
               predicted=0, measured=switch_time.mean() - config.log_scale - offset, tolerance=3 * offset_spread, kind="finding",
               inapplicable=no_switch, note=OFFSET_NOTE),
        agrees("switch_time_by_kernel_phase", "this work, from lemma C.5",
               "λ·(switch time − predicted end of the kernel phase) at full size, less its mean in the sweep.",
               predicted=0, measured=(switch_time - readings.end).mean() - lag, tolerance=3 * lag_spread, kind="finding",
               inapplicable=no_switch, note="Tolerance: three standard deviations over the data sets of the sweep."),
    ]


def late_margin(config: Config, readings: Readings) -> list[Claim]:
    """The L1 margin at the end, against the limit at this λ and against the largest."""
    r, decay, no_margin = readings.results, config.weight_decay, readings.not_separable or readings.no_limit
    return [
        agrees("late_l1_margin", f"{PAPER}, corollary 3.7, at finite λ",
               f"L1 margin at λt = {decay * config.limit_time:g}, less that of w*, both over the largest L1 margin γ.",
               predicted=0, measured=(r.limit_l1_margin - r.regularised_l1_margin).max() if decay else 0,
               tolerance=1e-3 * r.margin_condition.max() if decay else 0, kind="identity", inapplicable=no_margin,
               note="Tolerance: a relative error e of w changes a margin by at most (1 + max|x|/γ)e relative; e as for the end point."),
        at_least("max_l1_margin", f"{PAPER}, corollary 3.7", "L1 margin at the end over the largest L1 margin.",
                 predicted=1, measured=r.l1_margin.isel(time=-1).min(), tolerance=1 / math.log(1 / decay) if 0 < decay < 1 else math.inf,
                 kind="finding", inapplicable=no_margin,
                 note="Tolerance: 1/log(1/λ), the rate at which the regularised solution approaches the max-margin one."),
    ]
# fmt: on


def sweep_numbers(r: xr.Dataset) -> tuple[float, ...]:
    """Slope of λt in log a with its standard error; offset and lag behind the predicted kernel phase, with spreads over data sets."""
    log_scale = r.log_scale.values
    slopes = 1 + np.polyfit(log_scale, r.sweep_switch.values.T, 1)[0]
    offsets = r.sweep_switch.mean("log_scale").values
    lags = (r.sweep_switch - r.sweep_predicted_kernel_phase_end).mean("log_scale").values
    statistics = (
        slopes.mean(),
        slopes.std(ddof=1) / math.sqrt(len(slopes)),
        offsets.mean(),
        offsets.std(ddof=1),
        lags.mean(),
        lags.std(ddof=1),
    )
    return tuple(map(float, statistics))


def panels(config: Config, results: xr.Dataset) -> tuple[Figure, Any, xr.Dataset]:
    """The paper's panel without the script's own theory; below it directions and margins with the predicted phases, and how the
    switch moves with the initial scale. Returns the figure, the first panel, and the results of which it shows the mean."""
    figure, ((accuracy,), (direction,), (scaling,)) = experiment.new_figure(3, 1, height=2.0)
    r, colours = results.mean("seed"), experiment.COLOURS
    time, end = r.time.values, float(r.predicted_kernel_phase_end)
    draw_accuracy(accuracy, r)
    draw_directions(direction, config, r)
    accuracy.tick_params(labelbottom=False)
    for axes in (accuracy, direction):
        axes.set(xscale="log", xlim=(1, time[-1]))
        if math.isfinite(end):
            axes.axvspan(time[0], end, color=colours["sky"], alpha=0.15, lw=0)
            axes.axvspan(end, time[-1], color=colours["yellow"], alpha=0.15, lw=0)
    if config.weight_decay > 0:
        draw_scaling(scaling, config, results)
    return figure, accuracy, r


def draw_accuracy(axes: Any, r: xr.Dataset) -> None:
    """Train and test accuracy."""
    time, colours = r.time.values, experiment.COLOURS
    axes.plot(time, r.train_accuracy, color=colours["blue"], label="train accuracy", **MARKS)
    axes.plot(time, r.test_accuracy, color=colours["orange"], label="test accuracy", **MARKS)
    axes.set(ylabel="accuracy", ylim=(0.45, 1.03))


def add_norm(accuracy: Any, config: Config, r: xr.Dataset, **legend: Any) -> None:
    """The parameter norm on a second axis beside the accuracies, and one legend for both."""
    time, decay, colour = r.time.values, config.weight_decay, experiment.COLOURS["green"]
    norm = accuracy.twinx()
    norm.spines["right"].set_visible(True)
    norm.plot(time, r.parameter_norm, color=colour, label=r"parameter norm $\|\theta\|$", **MARKS)
    limit = float(r.regularised_norm) if decay > 0 else 0
    norm.plot(time, np.maximum(config.initial_norm * np.exp(-decay * time), limit), color=colour,
              label=r"$\|\theta(0)\|e^{-\lambda t}$, at least $\|w^*\|_1^{1/2}$ (theory)")  # fmt: skip
    norm.set(ylabel=r"norm $\|\theta\|$", yscale="log")
    experiment.legend_of(accuracy, norm, **legend)


def draw_directions(axes: Any, config: Config, r: xr.Dataset) -> None:
    """Cosines to both max-margin directions and both margins; the names of the phases above them."""
    time, end, colours = r.time.values, float(r.predicted_kernel_phase_end), experiment.COLOURS
    crosses = MARKS | {"marker": "x"}
    axes.plot(time, r.cosine_to_l2, color=colours["sky"], label="cosine to max-$L_2$-margin direction", **MARKS)
    axes.plot(time, r.cosine_to_l1, color=colours["purple"], label="cosine to max-$L_1$-margin direction", **MARKS)
    axes.plot(time, r.l2_margin, color=colours["blue"], label="$L_2$ margin, of the largest", **crosses)
    axes.plot(time, r.l1_margin, color=colours["orange"], label="$L_1$ margin, of the largest", **crosses)
    if config.weight_decay > 0:
        theory_margin = float(r.regularised_l1_margin)
        axes.axhline(theory_margin, color=colours["orange"], label="$L_1$ margin for $t\\to\\infty$ (theory)")
    axes.set(ylabel="cosine, relative margin", ylim=(-0.03, 1.18))
    axes.set(xlabel="flow time $t$ (one unit: 100 steps of the paper)")
    axes.legend(loc="center left", bbox_to_anchor=(0, 0.57))
    if math.isfinite(end):
        axes.text(end * 0.9, 1.15, "kernel phase, predicted", ha="right", va="top", fontsize=7)
        axes.text(end * 1.1, 1.15, "rich phase", va="top", fontsize=7)


def draw_scaling(axes: Any, config: Config, results: xr.Dataset) -> None:
    """End of the kernel phase and switch of the sweep against the initial scale."""
    log_scale, colours = results.log_scale.values, experiment.COLOURS
    highest = max(log_scale)
    for name, colour, label in (
        ("sweep_kernel_phase_end", "sky", "end of the kernel phase"),
        ("sweep_switch", "orange", "switch of test accuracy"),
    ):
        values = results[name] + results.log_scale
        highest = max(highest, float(values.max()))
        axes.errorbar(log_scale, values.mean("sweep_seed"), values.std("sweep_seed", ddof=1), color=colours[colour], capsize=2,
                      label=f"{label}, {config.sweep_seeds} data sets ± s.d.", **MARKS)  # fmt: skip
    predicted = float(results.sweep_predicted_kernel_phase_end.mean())
    axes.axline((0, predicted), slope=1, color=colours["sky"], label="end of the kernel phase (theory)")
    offset = sweep_numbers(results)[2]
    axes.axline((0, offset), slope=1, color=colours["orange"], ls="--", label="slope 1, offset fitted")
    axes.set(xlim=(min(log_scale) - 1, max(log_scale) + 1), ylim=(min(log_scale) - 1, highest + 1))
    axes.set(xlabel=r"$\log a$, initial size of one coordinate", ylabel=r"scaled time $\lambda t$")
    axes.legend(loc="lower right")
