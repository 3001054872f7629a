"""Flows of diagonal linear networks at the scale of figure 1 of Lyu et al. (arXiv 2311.18817), between their predictors.

What the two panels of the figure share: the flow at full size with its curves, its end against the t → ∞ limit, the sweep over
initial scales at small d, and the flow of all 2d parameters. A script brings its data sets, along a first axis, and a function
`points(datasets, s)` that makes the test points of data set number s from their numbers. Claims and panels: `_diagonal_claims`.
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

Points = Callable[[gj.data.Dataset, int], Callable]

SWEEP_TEST_POINTS = 1000


@dataclass(frozen=True, kw_only=True)
class Config:
    """Sizes, scales and solver settings."""

    n: int
    """Training points."""
    d: int = 100_000
    """Dimension of the inputs; the network has 2d parameters."""
    initial_norm: float = 128.0
    """‖θ(0)‖ of all 2d parameters."""
    weight_decay: float = 1e-3
    """λ in 1/time; multiplies ‖θ‖²/2."""
    end_time: float
    """Flow time at which the run ends (100 of the paper's steps are one unit)."""
    test_points: int = 10_000
    """Test points, streamed in chunks."""
    seeds: int = 1
    """Independent data sets, run in one program."""
    seed: int = 0
    """Seed of the first key."""
    rtol: float = 1e-3
    """Error of the weights allowed per step, relative."""
    limit_time: float
    """Flow time to which the run goes on for the comparison with its t → ∞ limit."""
    times: int = 150
    """Recording times: half of them spaced logarithmically, half evenly around the predicted end of the kernel phase."""
    sweep_n: int
    """Training points of the sweep over initial scales."""
    sweep_d: int
    """Dimension in the sweep."""
    sweep_seeds: int = 8
    """Data sets of the sweep."""
    sweep_log_scales: tuple[float, ...] = (2.0, 5.0, 8.0, 11.0, 14.0)
    """log a of the sweep (natural logarithm), a the initial size of one coordinate."""
    precision: str = "float32"
    """Of inputs and products with them; float64 takes twice as long."""

    def __post_init__(self) -> None:
        experiment.check_fields(
            self,
            at_least={"n": 1, "d": 1, "test_points": 1, "seeds": 1, "sweep_n": 1, "sweep_d": 1, "times": 20},
            positive=("initial_norm", "end_time", "limit_time", "rtol"),
            not_negative=("weight_decay",),
        )
        for name, values in (("sweep_seeds", self.sweep_seeds), ("sweep_log_scales", len(self.sweep_log_scales))):
            if values < 2:
                raise ValueError(f"{name} must be at least 2, for a slope with a standard error; got {values}")
        if self.precision not in ("float32", "float64"):
            raise ValueError(f"precision must be float32 or float64, got {self.precision!r}")
        if self.limit_time <= self.end_time:
            raise ValueError(f"limit_time must lie after end_time = {self.end_time}, got {self.limit_time}")

    @property
    def log_scale(self) -> float:
        """log a of the run at full size."""
        return math.log(self.initial_norm) - 0.5 * math.log(2 * self.d)


class Predictors(NamedTuple):
    """What theory says of one data set."""

    l2: theory.max_margin.MaxMargin
    l1: theory.max_margin.MaxMargin
    limit: theory.regularised.RegularisedPoint | None
    kernel_phase_end: float


def run(
    config: Config, datasets: gj.data.Dataset, small: gj.data.Dataset, points: Points, small_points: Points, tail: float
) -> Iterator[experiment.Part]:
    """The flow at full size between its predictors; the sweep over initial scales; the flow of all 2d parameters.

    The switch is over so many units of 1/λ after the kernel phase; as long do the evenly spaced times go on.
    """
    predictors = [predict(config, datasets, s) for s in range(config.seeds)]
    yield experiment.Part("predictors", 0.3, predictor_results(predictors))

    times = recording_times(config, predictors, tail)
    solution = integrate_from_start(config, datasets, config.initial_norm, times, config.rtol)
    end = limit_points(config, datasets, solution) if config.weight_decay > 0 else None
    results = [results_of_seed(config, datasets, points, predictors[s], solution, end, s) for s in range(config.seeds)]
    yield experiment.Part("flow", 0.4, experiment.stack(results, "seed"))

    if config.weight_decay > 0:
        yield experiment.Part("sweep", 0.2, sweep(config, small, small_points, tail))
    yield experiment.Part("all parameters", 0.1, all_parameters(config, small))


def predict(config: Config, datasets: gj.data.Dataset, s: int) -> Predictors:
    """Both max-margin directions, the end point at this λ, and the end of the kernel phase (NaN where there is none)."""
    inputs, labels = np.asarray(datasets.train_inputs[s]), np.asarray(datasets.train_labels[s])
    l2 = theory.max_margin.l2(inputs, labels)
    l1 = theory.max_margin.l1(inputs, labels)
    limit = theory.regularised.l1(inputs, labels, config.weight_decay) if config.weight_decay > 0 else None
    return Predictors(l2, l1, limit, kernel_phase_end(config, l2, math.exp(config.log_scale)))


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


def recording_times(config: Config, predictors: list[Predictors], tail: float) -> np.ndarray:
    """Half of the times evenly from 1/λ before the end of the kernel phase to tail/λ after it, the others logarithmically."""
    ends = np.asarray([p.kernel_phase_end for p in predictors])
    if not np.any(ends < config.end_time):
        return np.geomspace(1e-2, config.end_time, config.times)
    start, stop = np.nanmin(ends) - 1 / config.weight_decay, np.nanmax(ends) + tail / config.weight_decay
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


def results_of_seed(
    config: Config, datasets, points: Points, predictors: Predictors, solution: gj.flows.Solution, end, s: int
) -> xr.Dataset:
    """Everything that is drawn or claimed about one full-size run; margins relative to the largest ones."""
    (weights, norms), times = jax.tree.map(lambda x: x[s], solution.observed), np.asarray(solution.times[s])
    inputs, labels = datasets.train_inputs[s], datasets.train_labels[s]
    directions = jnp.stack([predictors.l2.direction, predictors.l1.direction])
    scale = np.exp(config.log_scale - config.weight_decay * times)
    curves = train_curves(weights, inputs, labels, datasets.teacher[s], directions, scale) | {"parameter_norm": norms}
    curves["l2_margin"], curves["l1_margin"] = (
        curves["l2_margin"] / predictors.l2.margin,
        curves["l1_margin"] / predictors.l1.margin,
    )
    classifiers = [predictors.l2.direction, predictors.l1.direction]
    classifiers += [predictors.limit.weights] if predictors.limit else []
    tested = jnp.concatenate([weights, jnp.asarray(classifiers, weights.dtype)])
    test = gj.analysis.streamed_test(tested, points(datasets, s), config.test_points)
    steps = len(times)
    curves |= {"test_loss": test.loss[:steps], "test_accuracy": test.accuracy[:steps]}
    scalars = {
        "l2_test_accuracy": test.accuracy[steps],
        "l1_test_accuracy": test.accuracy[steps + 1],
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
            "limit_test_accuracy": test.accuracy[steps + 2],
            "last_distance": distance(weights[-1]),
            "limit_distance": distance(end.weights[s]),
            "limit_norm": end.norm[s],
            "limit_l1_margin": l1_margin(end.weights[s]),
            "regularised_l1_margin": l1_margin(star),
            "margin_condition": 1 + jnp.max(jnp.abs(inputs)) / predictors.l1.margin,
        }
    units = {"time": "flow time", "switch_time": "flow time", "kernel_phase_end": "flow time"}
    return experiment.dataset("time", curves, scalars, coordinates={"time": times}, units=units)


@jax.jit
def train_curves(weights, inputs, labels, teacher, directions, scale) -> dict[str, jax.Array]:
    """What a trajectory of weights (T, d) shows on the training set, beside the directions of L2 and L1 margin."""
    margins = (weights @ inputs.T * labels).astype(float)
    return {
        "train_loss": jnp.mean(jax.nn.softplus(-margins), axis=-1),
        "train_accuracy": gj.losses.accuracy(margins, jnp.ones(len(labels))),
        "cosine_to_l2": gj.analysis.cosine(weights, directions[0]),
        "cosine_to_l1": gj.analysis.cosine(weights, directions[1]),
        "cosine_to_teacher": gj.analysis.cosine(weights, teacher),
        "mean_margin": jnp.mean(margins, axis=-1) / jnp.linalg.norm(weights.astype(float), axis=-1),
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
    """Flow time at which test accuracy has made half of its way, up or down, from its first to its last value."""
    first, last = test_accuracy[0], test_accuracy[-1]
    sign = jnp.sign(last - first)
    return gj.analysis.crossing_time(times, sign * test_accuracy, sign * (first + last) / 2)


def sweep(config: Config, datasets: gj.data.Dataset, points: Points, tail: float) -> xr.Dataset:
    """Switch and end of the kernel phase, in units of 1/λ after log a, for the same small data sets at every initial scale."""
    decay, seeds, log_scales = config.weight_decay, config.sweep_seeds, config.sweep_log_scales
    l2 = [theory.max_margin.l2(x, y) for x, y in zip(datasets.train_inputs, datasets.train_labels, strict=True)]
    switch, end, predicted = (np.full((seeds, len(log_scales)), np.nan) for _ in range(3))
    for j, log_scale in enumerate(experiment.progress(log_scales, "initial scales")):
        times, weights = small_flows(config, datasets, log_scale, decay, tail)
        ratios = largest_log_ratio(weights, np.exp(log_scale - decay * times))
        for s in range(seeds):
            test = gj.analysis.streamed_test(weights[s], points(datasets, s), SWEEP_TEST_POINTS)
            switch[s, j] = decay * switch_time(times, test.accuracy) - log_scale
            end[s, j] = decay * gj.analysis.crossing_time(times, ratios[s], 1.0) - log_scale
            predicted[s, j] = decay * kernel_phase_end(config, l2[s], math.exp(log_scale)) - log_scale
    columns = {"sweep_switch": switch, "sweep_kernel_phase_end": end, "sweep_predicted_kernel_phase_end": predicted}
    coordinates = {"sweep_seed": np.arange(seeds), "log_scale": np.asarray(log_scales)}
    units = dict.fromkeys(columns, "1/weight_decay, after log a")
    return experiment.dataset(("sweep_seed", "log_scale"), columns, coordinates=coordinates, units=units)


def small_flows(config: Config, datasets: gj.data.Dataset, log_scale: float, decay: float, tail: float) -> tuple:
    """Times around the switch at the λ of the configuration, and the weights of flows with this decay at them, (seeds, T, d)."""
    times = np.linspace(max(log_scale - 1, 0.01), log_scale + 4 + tail, config.times) / config.weight_decay
    states = jnp.zeros(datasets.train_labels.shape, float)
    norm = math.exp(log_scale) * math.sqrt(2 * config.sweep_d)
    return times, integrate(*datasets[:2], states, norm, decay, 0.0, times, config.rtol).observed[0]


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
