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

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import grokjax as gj
import theory
from grokjax import experiment

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

PAPER = "Lyu et al. 2023 (2311.18817)"
CHANCE_NOTE = (
    "Tolerance: three standard errors. The max-L2-margin classifier is itself better than chance: every label correlates with each of "
    "the k teacher coordinates, which is worth an accuracy of order √(n/d) above ½, and the network has that accuracy."
)
OFFSET_NOTE = (
    "Tolerance: three standard deviations of the offset over the data sets of the sweep. The offset depends on n and d: by the prediction "
    "of the kernel phase's end it is −½ log((M/2γ) log(2γM/λ)), with M = max_k |ŵ_k| and margin γ of the max-L2-margin direction ŵ. "
    "The paper's theorems fix the slope only."
)


@dataclass(frozen=True)
class Config:
    """Sizes, scales and solver settings."""

    n: int = 256
    """Training points."""
    d: int = 100_000
    """Dimension of the inputs; the network has 2d parameters."""
    k: int = 3
    """Non-zero weights of the teacher, odd."""
    initial_norm: float = 128.0
    """‖θ(0)‖ of all 2d parameters."""
    weight_decay: float = 1e-3
    """λ in 1/time; multiplies ‖θ‖²/2."""
    end_time: float = 2e4
    """Flow time at which the run ends (100 of the paper's steps are one unit)."""
    test_points: int = 10_000
    """Test points, streamed in chunks."""
    seeds: int = 1
    """Independent data sets, run in one program."""
    seed: int = 0
    """Seed of the first key."""
    rtol: float = 1e-3
    """Error of the weights allowed per step, relative."""
    limit_time: float = 1e5
    """Flow time to which the run goes on for the comparison with its t → ∞ limit."""
    times: int = 150
    """Recording times: half of them spaced logarithmically, half evenly around the predicted end of the kernel phase."""
    sweep_n: int = 64
    """Training points of the sweep over initial scales."""
    sweep_d: int = 1000
    """Dimension in the sweep."""
    sweep_seeds: int = 8
    """Data sets of the sweep."""
    sweep_log_scales: tuple[float, ...] = (2.0, 5.0, 8.0, 11.0, 14.0)
    """log a of the sweep (natural logarithm), a the initial size of one coordinate."""
    precision: str = "float32"
    """Of inputs and products with them; ±1 is exact in either, and float64 takes twice as long."""

    def __post_init__(self) -> None:
        for name in ("n", "d", "k", "test_points", "seeds", "sweep_n", "sweep_d"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("initial_norm", "end_time", "limit_time", "rtol"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be positive and finite, got {getattr(self, name)}")
        if not 0 <= self.weight_decay < math.inf:
            raise ValueError(f"weight_decay must be finite and at least 0, got {self.weight_decay}")
        if self.k % 2 == 0:
            raise ValueError(f"k must be odd, or some labels are 0; got {self.k}")
        smallest = min(self.d, self.sweep_d)
        if self.k > smallest:
            raise ValueError(f"k must be at most {smallest}, the smaller of d and sweep_d; got {self.k}")
        for name, values in (("sweep_seeds", self.sweep_seeds), ("sweep_log_scales", len(self.sweep_log_scales))):
            if values < 2:
                raise ValueError(f"{name} must be at least 2, for a slope with a standard error; got {values}")
        if self.precision not in ("float32", "float64"):
            raise ValueError(f"precision must be float32 or float64, got {self.precision!r}")
        if self.limit_time <= self.end_time:
            raise ValueError(f"limit_time must lie after end_time = {self.end_time}, got {self.limit_time}")
        if self.times < 20:
            raise ValueError(f"times must be at least 20, got {self.times}")


# All flows of the smoke preset have one shape, so that they share one compilation.
PRESETS = {
    "smoke": Config(
        n=96, d=256, initial_norm=167.0, test_points=500, times=100, precision="float64",
        sweep_n=96, sweep_d=256, sweep_seeds=2, seeds=2, sweep_log_scales=(2.0, 6.0),
    ),
    "default": Config(),
    "paper": Config(),
}  # fmt: skip


class Predictors(NamedTuple):
    """What theory says of one data set."""

    l2: theory.max_margin.MaxMargin
    l1: theory.max_margin.MaxMargin
    limit: theory.regularised.RegularisedPoint | None
    kernel_phase_end: float


def run(config: Config) -> Iterator[experiment.Part]:
    """The flow at full size between its predictors; the sweep over initial scales; the flow of all 2d parameters."""
    datasets = draw(config, config.seed, config.seeds, config.n, config.d)
    predictors = [predict(config, datasets, s) for s in range(config.seeds)]
    yield experiment.Part("predictors", 0.3, predictor_results(predictors))

    solution = integrate_from_start(
        config, datasets, config.initial_norm, recording_times(config, predictors), config.rtol
    )
    end = limit_points(config, datasets, solution) if config.weight_decay > 0 else None
    results = [results_of_seed(config, datasets, predictors[s], solution, end, s) for s in range(config.seeds)]
    yield experiment.Part("flow", 0.4, experiment.stack(results, "seed"))

    small = draw(config, config.seed + 1, config.sweep_seeds, config.sweep_n, config.sweep_d)
    if config.weight_decay > 0:
        yield experiment.Part("sweep", 0.2, sweep(config, small))
    yield experiment.Part("all parameters", 0.1, all_parameters(config, small))


def draw(config: Config, seed: int, seeds: int, n: int, d: int) -> gj.data.Dataset:
    """So many data sets, along a first axis."""
    keys = jax.random.split(jax.random.key(seed), seeds)
    return jax.vmap(lambda key: gj.data.sparse_classification(key, n, d, config.k, dtype=jnp.dtype(config.precision)))(
        keys
    )


def predict(config: Config, datasets: gj.data.Dataset, s: int) -> Predictors:
    """Both max-margin directions, the end point at this λ, and the end of the kernel phase (NaN where there is none)."""
    inputs, labels = np.asarray(datasets.train_inputs[s]), np.asarray(datasets.train_labels[s])
    l2 = theory.max_margin.l2(inputs, labels)
    l1 = theory.max_margin.l1(inputs, labels)
    limit = theory.regularised.l1(inputs, labels, config.weight_decay) if config.weight_decay > 0 else None
    return Predictors(l2, l1, limit, kernel_phase_end(config, l2, config.initial_norm / math.sqrt(2 * config.d)))


def kernel_phase_end(config: Config, l2: theory.max_margin.MaxMargin, scale: float) -> float:
    """Predicted flow time at which the largest |log(u/v)| reaches 1."""
    largest = float(np.max(np.abs(l2.direction)))
    # Also false where the data are inseparable, whose margin is NaN.
    if not 0 < config.weight_decay < 2 * l2.margin * largest:
        return math.nan
    return float(theory.time_scales.diagonal_kernel_phase_end(scale, config.weight_decay, l2.margin, largest))


def predictor_results(predictors: list[Predictors]) -> xr.Dataset:
    """The numbers among the predictors, one of each a seed."""
    columns = {
        "separable": [p.l2.status != "inseparable" for p in predictors],
        "l2_gap": [p.l2.duality_gap for p in predictors],
        "l1_gap": [p.l1.duality_gap for p in predictors],
        "limit_gap": [p.limit.duality_gap if p.limit else math.nan for p in predictors],
        "regularised_norm": [p.limit.parameter_norm if p.limit else math.nan for p in predictors],
        "predicted_kernel_phase_end": [p.kernel_phase_end for p in predictors],
    }
    return experiment.dataset("seed", columns, units={"predicted_kernel_phase_end": "flow time"})


def recording_times(config: Config, predictors: list[Predictors]) -> np.ndarray:
    """Half of the times evenly over four units of 1/λ around the end of the kernel phase, the others logarithmically."""
    ends = np.asarray([p.kernel_phase_end for p in predictors])
    if not np.any(ends < config.end_time):
        return np.geomspace(1e-2, config.end_time, config.times)
    start, stop = np.nanmin(ends) - 1 / config.weight_decay, np.nanmax(ends) + 3 / config.weight_decay
    even = np.linspace(max(start, 0.1), min(stop, 0.999 * config.end_time), config.times // 2)
    return np.unique(np.concatenate([np.geomspace(1e-2, config.end_time, config.times - len(even)), even]))


@jax.jit
def integrate(inputs, labels, states, initial_norm, weight_decay, start, times, rtol) -> gj.flows.Solution:
    """One flow a data set, observed as (weights, ‖θ‖): small data sets side by side, large ones in turn."""

    def one(data):
        inputs, labels, state = data
        flow, _ = gj.flows.diagonal_flow(inputs, labels, initial_norm=initial_norm, weight_decay=weight_decay)
        observe = lambda t, net: (net.weights, net.norm)
        return gj.flows.solve(flow, state, times, start=start, observe=observe, solver=gj.flows.RKC2(), rtol=rtol)

    data = inputs, labels, states
    if len(inputs) == 1:
        return jax.tree.map(lambda x: x[None], one(jax.tree.map(lambda x: x[0], data)))
    return jax.lax.map(one, data, batch_size=len(inputs) if inputs.size <= 2**25 else None)


def integrate_from_start(config: Config, datasets: gj.data.Dataset, initial_norm, times, rtol) -> gj.flows.Solution:
    """The flows of all data sets from the symmetric start, which is state 0."""
    inputs, labels = datasets.train_inputs, datasets.train_labels
    return integrate(
        inputs, labels, jnp.zeros(labels.shape, float), initial_norm, config.weight_decay, 0.0, times, rtol
    )


def test_points(datasets: gj.data.Dataset, s: int) -> Callable:
    """Test points of one data set, as a function of their numbers."""
    return jax.tree_util.Partial(gj.data.sparse_points, datasets.test_key[s], datasets.teacher[s])


def results_of_seed(
    config: Config, datasets, predictors: Predictors, solution: gj.flows.Solution, end, s: int
) -> xr.Dataset:
    """Everything that is drawn or claimed about one full-size run; margins relative to the largest ones."""
    (weights, norms), times = jax.tree.map(lambda x: x[s], solution.observed), np.asarray(solution.times[s])
    inputs, labels = datasets.train_inputs[s], datasets.train_labels[s]
    directions = jnp.stack([predictors.l2.direction, predictors.l1.direction])
    scale = config.initial_norm / math.sqrt(2 * config.d) * np.exp(-config.weight_decay * times)
    curves = train_curves(weights, inputs, labels, directions, scale) | {"parameter_norm": norms}
    curves["l2_margin"], curves["l1_margin"] = (
        curves["l2_margin"] / predictors.l2.margin,
        curves["l1_margin"] / predictors.l1.margin,
    )
    tested = jnp.concatenate([weights, directions.astype(weights.dtype)])
    test = gj.analysis.streamed_test(tested, test_points(datasets, s), config.test_points)
    curves |= {"test_loss": test.loss[:-2], "test_accuracy": test.accuracy[:-2]}
    scalars = {
        "l2_test_accuracy": test.accuracy[-2],
        "l1_test_accuracy": test.accuracy[-1],
        "switch_time": switch_time(times, curves["test_accuracy"]),
        "kernel_phase_end": gj.analysis.crossing_time(times, curves["largest_log_ratio"], 1.0),
        "gradient_evaluations": solution.statistics.gradient_evaluations[s],
        "status": solution.status[s],
    }
    if predictors.limit and end:
        star = jnp.asarray(predictors.limit.weights)

        def distance(w):
            return jnp.sum(jnp.abs(w - star)) / jnp.sum(jnp.abs(star))

        def l1_margin(w):
            return gj.analysis.normalised_margin(w, inputs, labels, 1) / predictors.l1.margin

        scalars |= {
            "last_distance": distance(weights[-1]),
            "limit_distance": distance(end.weights[s]),
            "limit_norm": end.norm[s],
        }
        scalars |= {"limit_l1_margin": l1_margin(end.weights[s]), "regularised_l1_margin": l1_margin(star)}
    units = {"time": "flow time", "switch_time": "flow time", "kernel_phase_end": "flow time"}
    return experiment.dataset("time", curves, scalars, coordinates={"time": times}, units=units)


@jax.jit
def train_curves(weights, inputs, labels, directions, scale) -> dict[str, jax.Array]:
    """What a trajectory of weights (T, d) shows on the training set, beside the directions of L2 and L1 margin."""
    margins = (weights @ inputs.T * labels).astype(float)
    return {
        "train_loss": jnp.mean(jax.nn.softplus(-margins), axis=-1),
        "train_accuracy": gj.losses.accuracy(margins, jnp.ones(len(labels))),
        "cosine_to_l2": gj.analysis.cosine(weights, directions[0]),
        "cosine_to_l1": gj.analysis.cosine(weights, directions[1]),
        "l2_margin": gj.analysis.normalised_margin(weights, inputs, labels, 2),
        "l1_margin": gj.analysis.normalised_margin(weights, inputs, labels, 1),
        "largest_log_ratio": largest_log_ratio(weights, scale),
    }


def largest_log_ratio(weights, scale) -> jax.Array:
    """max_k |log(u_k/v_k)| from w = 2s² sinh(log(u/v)), s = a e^(−λt)."""
    return jnp.arcsinh(jnp.max(jnp.abs(weights), axis=-1).astype(float) / (2 * scale**2))


def limit_points(config: Config, datasets: gj.data.Dataset, solution: gj.flows.Solution) -> gj.flows.DiagonalPoint:
    """The networks at the limit time, in all coordinates.

    After the end of the run only the coordinates with the largest weights pull at the outputs; their columns alone are kept, in
    float64. What the others would have become is seen when the final states are decoded with all columns.
    """
    norm, decay, m = config.initial_norm, config.weight_decay, min(config.d, 2048)
    kept = jnp.sort(jax.lax.top_k(jnp.abs(solution.observed[0][:, -1]), m)[1])
    inputs = jnp.take_along_axis(datasets.train_inputs, kept[:, None, :], axis=2).astype(float)
    times = jnp.linspace(config.end_time, config.limit_time, solution.times.shape[1])
    small_norm = norm * math.sqrt(m / config.d)
    late = integrate(
        inputs, datasets.train_labels, solution.final_state, small_norm, decay, config.end_time, times, config.rtol
    )

    def decode(inputs, labels, state):
        flow, _ = gj.flows.diagonal_flow(inputs, labels, initial_norm=norm, weight_decay=decay)
        return flow.decode(times[-1], state)

    return jax.lax.map(lambda data: decode(*data), (*datasets[:2], late.final_state))


def switch_time(times, test_accuracy) -> jax.Array:
    """Flow time at which test accuracy has made half of its way from its first to its last value."""
    return gj.analysis.crossing_time(times, test_accuracy, (test_accuracy[0] + test_accuracy[-1]) / 2)


def sweep(config: Config, datasets: gj.data.Dataset) -> xr.Dataset:
    """Switch and end of the kernel phase, in units of 1/λ after log a, for the same small data sets at every initial scale."""
    decay, d, seeds, log_scales = config.weight_decay, config.sweep_d, config.sweep_seeds, config.sweep_log_scales
    l2 = [theory.max_margin.l2(x, y) for x, y in zip(datasets.train_inputs, datasets.train_labels, strict=True)]
    switch, end, predicted = (np.full((seeds, len(log_scales)), np.nan) for _ in range(3))
    for j, log_scale in enumerate(experiment.progress(log_scales, "initial scales")):
        times = np.linspace(max(log_scale - 1, 0.01), log_scale + 7, config.times) / decay
        weights, _ = integrate_from_start(
            config, datasets, math.exp(log_scale) * math.sqrt(2 * d), times, config.rtol
        ).observed
        ratios = largest_log_ratio(weights, np.exp(log_scale - decay * times))
        for s in range(seeds):
            test = gj.analysis.streamed_test(weights[s], test_points(datasets, s), 1000)
            switch[s, j] = decay * switch_time(times, test.accuracy) - log_scale
            end[s, j] = decay * gj.analysis.crossing_time(times, ratios[s], 1.0) - log_scale
            predicted[s, j] = decay * kernel_phase_end(config, l2[s], math.exp(log_scale)) - log_scale
    columns = {"sweep_switch": switch, "sweep_kernel_phase_end": end, "sweep_predicted_kernel_phase_end": predicted}
    coordinates = {"sweep_seed": np.arange(seeds), "log_scale": np.asarray(log_scales)}
    units = dict.fromkeys(columns, "1/weight_decay, after log a")
    return experiment.dataset(("sweep_seed", "log_scale"), columns, coordinates=coordinates, units=units)


def all_parameters(config: Config, datasets: gj.data.Dataset) -> xr.Dataset:
    """The flow of u and v themselves on a data set of the sweep, against its conservation law and against the reduction; a = 1."""
    d, decay, rtol, reduced_rtol = config.sweep_d, config.weight_decay, 1e-8, 1e-5
    norm, times = math.sqrt(2 * d), np.linspace(0.1, 4, config.times) / (decay or 1e-3)
    model = gj.models.diagonal_linear(2)
    risk = gj.losses.empirical_risk(model.apply, gj.losses.logistic, datasets.train_inputs[0], datasets.train_labels[0])
    full = gj.flows.solve(gj.flows.gradient_flow(risk, decay), model.init(None, d, norm), times, rtol=rtol)
    reduced = integrate_from_start(config, datasets, norm, times, reduced_rtol)
    u, v = full.observed
    # An error e of u or v moves uv by at most e·max(u, v); the step control allows e = rtol·‖θ‖ a step.
    allowed = jnp.linalg.norm(jnp.concatenate([u, v], axis=1), axis=1, keepdims=True) * jnp.maximum(u, v)
    weights, difference = u**2 - v**2, jnp.linalg.norm(u**2 - v**2 - reduced.observed[0][0], axis=1)
    scalars = {
        "law_error": jnp.max(jnp.abs(u * v - np.exp(-2 * decay * times)[:, None]) / allowed),
        "law_tolerance": rtol * int(full.statistics.accepted),
        "reduction_error": jnp.max(difference / jnp.linalg.norm(weights, axis=1)),
        "reduction_tolerance": reduced_rtol * int(reduced.statistics.accepted[0]),
        "check_status": full.status + reduced.status[0],
    }
    return experiment.dataset((), {}, scalars)


def claims(config: Config, results: xr.Dataset) -> list[experiment.Claim]:
    """Each prediction beside its measurement: of several seeds the worst, or the mean where a standard error is quoted."""
    r, decay = results, config.weight_decay
    agrees, at_most, at_least = experiment.agrees, experiment.at_most, experiment.at_least
    log_scale = math.log(config.initial_norm) - 0.5 * math.log(2 * config.d)
    tau, end = decay * r.time, decay * r.predicted_kernel_phase_end
    kernel = (r.time >= 0.01) & (tau <= end - 1)
    last = r.isel(time=-1)
    early_accuracy = r.test_accuracy.where(kernel).mean("time")
    norm_excess = abs(r.parameter_norm / (config.initial_norm * np.exp(-tau)) - 1).where(kernel)
    # Three standard errors of an accuracy.
    binomial = 3 * 0.5 / math.sqrt(config.test_points * config.seeds)
    not_separable = "" if bool(np.all(r.separable)) else "The data are inseparable: there is no margin."
    no_limit = "" if decay > 0 else "Without weight decay there is no limit point."
    switches = bool(np.all(kernel.any("time")) and np.all(r.predicted_kernel_phase_end < config.end_time))
    no_switch = (
        not_separable
        or no_limit
        or ("" if switches else "No kernel phase longer than 1/λ is predicted to end in this run.")
    )
    slope, slope_error, offset, offset_spread, lag, lag_spread = sweep_numbers(results) if decay > 0 else [math.nan] * 6

    # fmt: off
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
        at_most("last_point", f"{PAPER}, figure 1a", "‖w − w*‖₁/‖w*‖₁ at the last time of the figure.",
                predicted=1e-2, measured=r.last_distance.max() if decay else 0, kind="finding", inapplicable=no_limit,
                note="A coordinate outside the support of w* dies out at the rate 4(λ/2 − |G_k|), G = Xᵀ∂𝓛/∂f, which may be far below λ."),
        at_least("fits_at_once", f"{PAPER}, figure 1a", "Least train accuracy from t = 0.01 on, the first step of the paper.",
                 predicted=1, measured=r.train_accuracy.where(r.time >= 0.01).min(), kind="finding", inapplicable=not_separable),
        agrees("chance_before", f"{PAPER}, figure 1a", "Mean test accuracy through the kernel phase.",
               predicted=0.5, measured=early_accuracy.mean(), tolerance=binomial, kind="finding", inapplicable=no_switch,
               note=CHANCE_NOTE),
        agrees("l2_classifier_before", f"{PAPER}, corollary 3.6",
               "Mean test accuracy through the kernel phase, less that of the max-L2-margin classifier.",
               predicted=0, measured=(early_accuracy - r.l2_test_accuracy).mean(), tolerance=binomial, kind="finding", inapplicable=no_switch,
               note="Tolerance: three standard errors of one accuracy."),
        at_least("l2_direction_before", f"{PAPER}, corollary 3.6", "Largest cosine to the max-L2-margin direction in the kernel phase.",
                 predicted=1, measured=r.cosine_to_l2.where(kernel).max("time").min(), tolerance=0.01, kind="finding", inapplicable=no_switch),
        at_most("norm_decays", f"{PAPER}, section 3", "Largest |‖θ‖/(‖θ(0)‖ e^(−λt)) − 1| in the kernel phase.",
                predicted=math.exp(-4) / 4, measured=norm_excess.max(), tolerance=config.rtol, kind="finding", inapplicable=no_switch,
                note="Bound: every |log(u/v)| is at most e^(−2) there, and ‖θ‖² is the mean of cosh log(u/v)."),
        agrees("kernel_phase_end", f"{PAPER}, lemma C.5, made quantitative for L = 2",
               "λ·(time at which the largest |log(u/v)| is 1), less its prediction from the max-L2-margin direction.",
               predicted=0, measured=(decay * r.kernel_phase_end - end).mean(), tolerance=0.1, kind="finding", inapplicable=no_switch,
               note="Tolerance: about half the inverse of the output margin, the order that the prediction neglects."),
        agrees("slope_in_log_alpha", f"{PAPER}, theorems 3.4 and 3.5",
               f"Slope of λ·(switch time) against log a over {len(config.sweep_log_scales)} scales, mean of {config.sweep_seeds} data sets.",
               predicted=1, measured=slope, tolerance=slope_error + config.rtol / np.ptp(config.sweep_log_scales), kind="finding",
               inapplicable=no_limit, note="Tolerance: the standard error, and the solver's tolerance over the range of scales."),
        agrees("switch_time_by_log_alpha", f"{PAPER}, theorems 3.4 and 3.5",
               "λ·(switch time) at full size, less log a + the offset measured in the sweep.",
               predicted=0, measured=(decay * r.switch_time).mean() - log_scale - offset, tolerance=3 * offset_spread, kind="finding",
               inapplicable=no_switch, note=OFFSET_NOTE),
        agrees("switch_time_by_kernel_phase", "this work, from lemma C.5",
               "λ·(switch time − predicted end of the kernel phase) at full size, less its mean in the sweep.",
               predicted=0, measured=(decay * r.switch_time - end).mean() - lag, tolerance=3 * lag_spread, kind="finding",
               inapplicable=no_switch, note="Tolerance: three standard deviations over the data sets of the sweep."),
        agrees("late_l1_margin", f"{PAPER}, corollary 3.7, at finite λ",
               f"L1 margin at λt = {decay * config.limit_time:g}, less that of w*, both over the largest L1 margin.",
               predicted=0, measured=(r.limit_l1_margin - r.regularised_l1_margin).max() if decay else 0, tolerance=4e-3, kind="identity",
               inapplicable=not_separable or no_limit,
               note="Tolerance: a relative error e of w changes a margin of 1/3 of inputs of size 1 by 4e relative; e as for the end point."),
        at_least("max_l1_margin", f"{PAPER}, corollary 3.7", "L1 margin at the end over the largest L1 margin.",
                 predicted=1, measured=last.l1_margin.min(), tolerance=1 / math.log(1 / decay) if 0 < decay < 1 else math.inf,
                 kind="finding", inapplicable=not_separable or no_limit,
                 note="Tolerance: 1/log(1/λ), the rate at which the regularised solution approaches the max-margin one."),
        at_least("generalises", f"{PAPER}, figure 1a", "Test accuracy at the end.",
                 predicted=1, measured=last.test_accuracy.min(), kind="finding", inapplicable=no_switch),
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


def plot(config: Config, results: xr.Dataset) -> Figure:
    """The paper's panel; below it directions and margins with the predicted phases; and how the switch moves with the initial scale."""
    figure, ((accuracy,), (direction,), (scaling,)) = experiment.new_figure(3, 1, height=2.0)
    r, decay, colours, marks = results.mean("seed"), config.weight_decay, experiment.COLOURS, {"ls": "", "marker": "."}
    time, end = r.time.values, float(r.predicted_kernel_phase_end)

    accuracy.plot(time, r.train_accuracy, color=colours["blue"], label="train accuracy", **marks)
    accuracy.plot(time, r.test_accuracy, color=colours["orange"], label="test accuracy", **marks)
    accuracy.axhline(
        float(r.l2_test_accuracy), color=colours["orange"], label="of the max-$L_2$-margin classifier (theory)"
    )
    accuracy.set(ylabel="accuracy", ylim=(0.45, 1.03))
    norm = accuracy.twinx()
    norm.spines["right"].set_visible(True)
    norm.plot(time, r.parameter_norm, color=colours["green"], label=r"parameter norm $\|\theta\|$", **marks)
    limit = float(r.regularised_norm) if decay > 0 else 0
    norm.plot(time, np.maximum(config.initial_norm * np.exp(-decay * time), limit), color=colours["green"],
              label=r"$\|\theta(0)\|e^{-\lambda t}$, at least $\|w^*\|_1^{1/2}$ (theory)")  # fmt: skip
    norm.set(ylabel=r"norm $\|\theta\|$", yscale="log")
    experiment.legend_of(accuracy, norm, loc="center left")

    direction.plot(time, r.cosine_to_l2, color=colours["sky"], label="cosine to max-$L_2$-margin direction", **marks)
    direction.plot(time, r.cosine_to_l1, color=colours["purple"], label="cosine to max-$L_1$-margin direction", **marks)
    crosses = marks | {"marker": "x"}
    direction.plot(time, r.l2_margin, color=colours["blue"], label="$L_2$ margin, of the largest", **crosses)
    direction.plot(time, r.l1_margin, color=colours["orange"], label="$L_1$ margin, of the largest", **crosses)
    if decay > 0:
        direction.axhline(
            float(r.regularised_l1_margin), color=colours["orange"], label="$L_1$ margin for $t\\to\\infty$ (theory)"
        )
    direction.set(
        ylabel="cosine, relative margin", ylim=(-0.03, 1.18), xlabel="flow time $t$ (one unit: 100 steps of the paper)"
    )
    direction.legend(loc="center left")
    accuracy.tick_params(labelbottom=False)
    for axes in (accuracy, direction):
        axes.set(xscale="log", xlim=(1, time[-1]))
        if math.isfinite(end):
            axes.axvspan(time[0], end, color=colours["sky"], alpha=0.15, lw=0)
            axes.axvspan(end, time[-1], color=colours["yellow"], alpha=0.15, lw=0)
    if math.isfinite(end):
        direction.text(end * 0.9, 1.15, "kernel phase, predicted", ha="right", va="top", fontsize=7)
        direction.text(end * 1.1, 1.15, "rich phase", va="top", fontsize=7)

    if decay > 0:
        log_scale = results.log_scale.values
        for name, colour, label in (
            ("sweep_kernel_phase_end", "sky", "end of the kernel phase"),
            ("sweep_switch", "orange", "switch of test accuracy"),
        ):
            values = results[name] + results.log_scale
            scaling.errorbar(log_scale, values.mean("sweep_seed"), values.std("sweep_seed", ddof=1), color=colours[colour], capsize=2,
                             label=f"{label}, {config.sweep_seeds} data sets ± s.d.", **marks)  # fmt: skip
        predicted = float(results.sweep_predicted_kernel_phase_end.mean())
        scaling.axline((0, predicted), slope=1, color=colours["sky"], label="end of the kernel phase (theory)")
        scaling.axline(
            (0, sweep_numbers(results)[2]), slope=1, color=colours["orange"], ls="--", label="slope 1, offset fitted"
        )
        scaling.set(xlim=(min(log_scale) - 1, max(log_scale) + 1), ylim=(min(log_scale) - 1, max(log_scale) + 5))
        scaling.set(xlabel=r"$\log a$, initial size of one coordinate", ylabel=r"scaled time $\lambda t$")
        scaling.legend(loc="upper left")
    return figure


EXPERIMENT = experiment.Experiment("diag_linear_grok", __doc__ or "", PRESETS, run, claims, plot)

if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    raise SystemExit(experiment.main(EXPERIMENT))
