"""What is trained to see which laws of the dichotomy (Lyu et al., arXiv 2311.18817) survive outside the theory's hypotheses.

Each part is a function of the configuration and of the data sets, and returns named results; `_beyond_flows` does the training.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import _beyond_flows as flows
import jax
import jax.numpy as jnp
import numpy as np
import scipy

import grokjax as gj
import theory
from grokjax import experiment

if TYPE_CHECKING:
    import xarray as xr

# Scaled times relative to log a: even around the switch, then far enough for coordinates that die out slowly.
GRID = np.concatenate([np.arange(-60, 121) * 0.05, np.geomspace(8, 1000, 12)])
TAU_AFTER_JUMP = np.geomspace(1e-4, 1000, len(GRID))
# In units of the scale below which a net of depth 3 shrinks to nothing.
SMALL_SCALES = (0.5, 0.8, 0.95, 1.05, 1.25, 2.0, 4.0, 8.0, 32.0, 128.0)


@dataclass(frozen=True, kw_only=True)
class Config:
    """Sizes, scales and solver settings."""

    n: int = 32
    """Training points of every problem."""
    d: int = 128
    """Dimension of the diagonal nets."""
    k: int = 3
    """Non-zero weights of the sparse teacher, odd."""
    weight_decay: float = 1e-3
    """λ in 1/time of the diagonal nets, where it is not swept."""
    log_scales: tuple[float, ...] = (3.1, 3.7, 4.3)
    """log a (natural logarithm), above 3; the middle one is that of the jumps."""
    perturbations: tuple[float, ...] = (3e-3, 1e-2, 1e-1, 1.0)
    """ε of non-zero initial outputs, increasing."""
    decays: tuple[float, ...] = (1e-4, 1e-2, 1e-1)
    """Further values of λ, in 1/time."""
    depths: tuple[int, ...] = (3, 4)
    """Further depths of diagonal nets; depth 3 is that of the collapse."""
    jumps: tuple[float, ...] = (-1.0, 0.0, 1.0, 2.0, 4.0, 8.0, 16.0)
    """j of the jumps, increasing, with 0 among them."""
    optimiser_scales: tuple[float, ...] = (2.0, 4.0, 8.0)
    """Initial sizes a under momentum and AdamW; those under Adam are four times as large."""
    width: int = 32
    """Neurons of each copy of a two-layer net."""
    net_inputs: int = 10
    """Dimension of its inputs."""
    net_decay: float = 1e-2
    """λ of the two-layer nets."""
    net_log_scales: tuple[float, ...] = (1.5, 2.5, 3.5)
    """log of the factor on their He weights."""
    net_jumps: tuple[float, ...] = (1.0, 2.0, 3.0, 4.0, 6.0)
    """Logs of the factors by which they are shrunk, at 1/λ before λt = log α."""
    seeds: int = 8
    """Data sets and initial weights."""
    seed: int = 2
    """Seed of the first key."""
    rtol: float = 1e-4
    """Error allowed per step, relative, of diagonal nets."""
    net_rtol: float = 1e-3
    """The same of two-layer nets; ten times as much after jumps, and to see what the tolerance does."""

    def __post_init__(self) -> None:
        experiment.check_fields(
            self,
            at_least={"n": 1, "d": 1, "k": 1, "width": 1, "net_inputs": 1},
            positive=("weight_decay", "net_decay", "rtol", "net_rtol"),
        )
        if self.k % 2 == 0 or self.k > self.d:
            raise ValueError(f"k must be odd and at most d = {self.d}, got {self.k}")
        if self.net_inputs < 2:
            raise ValueError(f"net_inputs must be at least 2, for the product of two of them; got {self.net_inputs}")
        for name in ("log_scales", "net_log_scales", "optimiser_scales", "perturbations", "jumps"):
            values = getattr(self, name)
            if len(values) < 2 or not all(a < b for a, b in itertools.pairwise(values)):
                raise ValueError(f"{name} must be at least two increasing numbers, got {values}")
        for name in ("perturbations", "decays", "optimiser_scales"):
            if not all(0 < value < math.inf for value in getattr(self, name)):
                raise ValueError(f"{name} must be positive and finite, got {getattr(self, name)}")
        if min(self.log_scales) <= -GRID[0]:
            raise ValueError(f"log_scales must lie above {-GRID[0]:g}, got {min(self.log_scales)}")
        if 0.0 not in self.jumps:
            raise ValueError(f"jumps must contain 0, got {self.jumps}")
        if 3 not in self.depths or min(self.depths) < 3:
            raise ValueError(f"depths must contain 3 and none below it, got {self.depths}")
        if self.seeds < 2:
            raise ValueError(f"seeds must be at least 2, for a standard error; got {self.seeds}")

    @property
    def jump_log_scale(self) -> float:
        """log a of the runs that jump."""
        return self.log_scales[len(self.log_scales) // 2]


class Task(NamedTuple):
    """The data sets of the diagonal nets, and what theory says of each."""

    inputs: jax.Array
    labels: jax.Array
    l2: list[theory.max_margin.MaxMargin]
    l1: list[theory.max_margin.MaxMargin]


def draw(config: Config, keys: jax.Array) -> Task:
    """One data set a key."""
    draw_one = lambda key: gj.data.sparse_classification(key, config.n, config.d, config.k, dtype=jnp.float64)
    drawn = jax.vmap(draw_one)(keys)
    inputs, labels = drawn.train_inputs, drawn.train_labels
    pairs = list(zip(np.asarray(inputs), np.asarray(labels), strict=True))
    return Task(inputs, labels, *[[f(x, y) for x, y in pairs] for f in (theory.max_margin.l2, theory.max_margin.l1)])


def starts(config: Config, task: Task) -> xr.Dataset:
    """Non-zero initial outputs at every scale: switch, when they are unlearnt and when they should be, and the end."""
    ratios = np.random.default_rng(config.seed).standard_normal((config.seeds, config.d))
    seeds, limits = range(config.seeds), limits_of(task, config.weight_decay)
    unseen = [
        np.linalg.norm(r - np.linalg.lstsq(x, x @ r, rcond=None)[0])
        for x, r in zip(np.asarray(task.inputs), ratios, strict=True)
    ]
    columns: dict[str, list] = {
        name: [] for name in ("switch", "unlearnt", "best_l2", "excess", "status", "predicted", "shift_bound")
    }
    curves = []
    for epsilon in experiment.progress((0.0, *config.perturbations), "initial outputs"):
        rows = {name: [] for name in columns}
        # Outputs are then the difference of terms as large as a²ε, and errors are relative to the terms.
        rtol = config.rtol if epsilon == 0 else config.rtol / 10
        for log_scale in config.log_scales:
            times = (log_scale + GRID) / config.weight_decay
            ratio, decay = epsilon * ratios, config.weight_decay
            run = flows.diagonal(task.inputs, task.labels, log_scale, ratio, decay, times, rtol)
            l2, l1 = cosines(run.weights, task.l2), cosines(run.weights, task.l1)
            rows["switch"].append(last_rise(GRID, l1 - l2))
            rows["unlearnt"].append(first_rise(GRID, l2 - math.sqrt(0.5)))
            rows["best_l2"].append(l2.max(axis=1))
            rows["excess"].append(excess(task, run.weights[:, -1:], limits, config.weight_decay)[:, 0])
            rows["status"].append(run.status)
            rows["predicted"].append([unlearning_time(config, task.l2[s], epsilon * float(unseen[s])) for s in seeds])
            rows["shift_bound"].append(epsilon / 2 * np.abs(ratios).max(axis=1))
            if log_scale == config.jump_log_scale:
                curves.append(l2.mean(axis=0))
        for name, values in rows.items():
            columns[name].append(values)
    columns = {f"start_{name}": values for name, values in columns.items()}
    ends = [kernel_phase_end(task.l2[s], config.weight_decay) for s in seeds]
    coordinates = {"perturbation": (0.0, *config.perturbations), "log_scale": config.log_scales}
    results = experiment.dataset(("perturbation", "log_scale", "seed"), columns, coordinates=coordinates)
    curve = experiment.dataset(
        ("perturbation", "time_after_scale"), {"start_curve": curves}, coordinates={"time_after_scale": GRID}
    )
    gaps = [max(task.l2[s].duality_gap, task.l1[s].duality_gap, limits[s].duality_gap) for s in seeds]
    correlations = [2 * p.margin * np.abs(p.direction).max() for p in task.l2]
    scalars = {
        "kernel_end": ends,
        "duality_gap": gaps,
        "kernel_margin": np.log(np.asarray(correlations) / config.weight_decay),
    }
    return results.merge(curve).merge(experiment.dataset("seed", scalars))


def unlearning_time(config: Config, l2: theory.max_margin.MaxMargin, unseen: float) -> float:
    """λt − log a when what training does not see of the initial function, 2s²‖P⊥r₀‖, is as large as the max-L2-margin weights q/γ."""
    if unseen == 0:
        return math.nan

    def surplus(log_scale: float) -> float:
        margin = theory.time_scales.kernel_phase_margin(
            math.exp(log_scale), config.weight_decay, math.sqrt(8) * l2.margin, 2
        )
        return math.log(2 * unseen * l2.margin) + 2 * log_scale - math.log(margin)

    root: Any = scipy.optimize.brentq(surplus, -5, 20)
    return -root


def kernel_phase_end(l2: theory.max_margin.MaxMargin, decay: float) -> float:
    """λt − log a at the predicted end of the kernel phase."""
    return decay * float(
        theory.time_scales.diagonal_kernel_phase_end(1.0, decay, l2.margin, np.abs(l2.direction).max())
    )


def limits_of(task: Task, decay: float) -> list[theory.regularised.RegularisedPoint]:
    """Where the flow of depth 2 ends on each data set."""
    return [theory.regularised.l1(x, y, decay) for x, y in zip(task.inputs, task.labels, strict=True)]


def excess(
    task: Task, weights: np.ndarray, limits: list[theory.regularised.RegularisedPoint], decay: float
) -> np.ndarray:
    """Objective 𝓛 + (λ/2)‖w‖₁ over a lower bound of its least value, minus 1, for weights (seeds, T, d)."""
    margins = np.einsum("snd,std->stn", task.inputs, weights) * np.asarray(task.labels)[:, None]
    with np.errstate(invalid="ignore"):  # a run that failed is NaN, and says so in its status
        loss = np.logaddexp(0, -margins).mean(axis=-1)
    objective = loss + decay / 2 * np.abs(weights).sum(axis=-1)
    return objective / np.asarray([limit.dual_objective for limit in limits])[:, None] - 1


def cosines(weights: np.ndarray, references: list) -> np.ndarray:
    """Cosine of weights (seeds, T, d) to the direction of one predictor a seed."""
    directions = np.asarray([r.direction if hasattr(r, "direction") else r.weights for r in references])
    norms = np.linalg.norm(weights, axis=-1) * np.linalg.norm(directions, axis=-1, keepdims=True)
    return np.einsum("std,sd->st", weights, directions) / np.maximum(norms, np.finfo(float).tiny)


def first_rise(times: np.ndarray, curves: np.ndarray) -> np.ndarray:
    """The first time at which each curve (seeds, T) passes 0 from below, linearly interpolated; NaN if it does not."""
    return _rise(times, curves, 0)


def last_rise(times: np.ndarray, curves: np.ndarray) -> np.ndarray:
    """The same for the last time; NaN where the curve ends below 0."""
    return np.where(curves[:, -1] > 0, _rise(times, curves, -1), np.nan)


def _rise(times, curves, which):
    found, times = np.full(len(curves), np.nan), np.broadcast_to(times, curves.shape)
    for s, curve in enumerate(curves):
        before = np.flatnonzero((curve[:-1] < 0) & (curve[1:] >= 0))
        if before.size:
            i = before[which]
            found[s] = times[s, i] - curve[i] * (times[s, i + 1] - times[s, i]) / (curve[i + 1] - curve[i])
    return found


def decays(config: Config, task: Task) -> xr.Dataset:
    """The switch at every pair of λ and a, and the predicted end of the kernel phase."""
    values = sorted({config.weight_decay, *config.decays})
    switch, ends, status = [], [], []
    for decay in experiment.progress(values, "decays"):
        runs = [flows.diagonal(task.inputs, task.labels, log_scale, 0.0, decay, (log_scale + GRID) / decay, config.rtol)
                for log_scale in config.log_scales]  # fmt: skip
        switch.append([last_rise(GRID, cosines(run.weights, task.l1) - cosines(run.weights, task.l2)) for run in runs])
        status.append([run.status for run in runs])
        ends.append([kernel_phase_end(l2, decay) for l2 in task.l2])
    columns = {"decay_switch": switch, "decay_status": status}
    coordinates = {"decay": values, "log_scale": config.log_scales}
    results = experiment.dataset(
        ("decay", "log_scale", "seed"), columns, coordinates=coordinates, units={"decay": "1/time"}
    )
    return results.merge(experiment.dataset(("decay", "seed"), {"decay_kernel_end": ends}))


def depths(config: Config, task: Task) -> xr.Dataset:
    """The switch of deeper diagonal nets, and what becomes of a net of depth 3 that starts near its predicted threshold of collapse."""
    decay, switch, status = config.weight_decay, [], []
    for depth in experiment.progress(config.depths, "depths"):
        runs = [flows.deep_diagonal(task.inputs, task.labels, depth, log_scale, decay, (log_scale + GRID) / decay, config.rtol)
                for log_scale in config.log_scales]  # fmt: skip
        switch.append([last_rise(GRID, cosines(run.weights, task.l1) - cosines(run.weights, task.l2)) for run in runs])
        status.append([run.status for run in runs])
    columns, coordinates = (
        {"depth_switch": switch, "depth_status": status},
        {"depth": list(config.depths), "log_scale": config.log_scales},
    )
    results = experiment.dataset(("depth", "log_scale", "seed"), columns, coordinates=coordinates)
    largest, accuracy, status = [], [], []
    threshold = decay / (1.5 * np.abs(np.einsum("snd,sn->sd", task.inputs, task.labels)).max(axis=1) / config.n)
    for factor in experiment.progress(SMALL_SCALES, "small scales"):
        times = TAU_AFTER_JUMP[TAU_AFTER_JUMP < 100]
        times = np.concatenate([times, np.linspace(101, 120, len(GRID) - len(times))]) / decay
        run = flows.deep_diagonal(task.inputs, task.labels, 3, np.log(factor * threshold), decay, times, config.rtol)
        outputs = np.einsum("snd,sd->sn", task.inputs, run.weights[:, -1])
        largest.append(np.abs(run.weights[:, -1]).max(axis=1))
        accuracy.append(np.mean(outputs * np.asarray(task.labels) > 0, axis=1))
        status.append(run.status)
    columns = {"small_weight": largest, "small_accuracy": accuracy, "small_status": status}
    return results.merge(
        experiment.dataset(("small_scale", "seed"), columns, coordinates={"small_scale": list(SMALL_SCALES)})
    )
