"""Ways to train and ways out of the delay, of the runs beyond the theory of Lyu et al. (arXiv 2311.18817).

Jumps out of the kernel phase, discrete optimisers, and two-layer nets; conventions are those of `_beyond_runs`.
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import _beyond_flows as flows
import jax
import jax.numpy as jnp
import numpy as np
from _beyond_runs import (
    GRID,
    TAU_AFTER_JUMP,
    Config,
    Task,
    cosines,
    excess,
    first_rise,
    kernel_phase_end,
    last_rise,
    limits_of,
)

from grokjax import experiment

if TYPE_CHECKING:
    import xarray as xr

NET_GRID = np.linspace(-1, 5, 61)
# Where jumps start, as λt, and by how much λ is raised instead.
FITTED, RAISED = 0.01, 100.0
NET_TAU_AFTER_JUMP = np.geomspace(1e-3, 10, len(NET_GRID))
# How to get to a smaller scale: θ → cθ; the same w from other u, v; a spell of a larger λ.
SHRINK, KEEP, RAISE = range(3)
L1_LEVEL = 0.85
# Excess of the objective over its least value at which a run counts as settled.
SETTLED = 0.1
BETA = 0.9


class Optimiser(NamedTuple):
    """A discrete way to train, and the time that its laws count: `unit` a step."""

    kind: str
    rate: float
    decay: float
    eps: float
    unit: float


def heavy_ball(rate: float) -> Optimiser:
    """In units of λt, with t = lr·steps/(1 − β)."""
    return Optimiser("momentum", rate, 0.02, 0.0, 0.02 * rate / (1 - BETA))


def adamw(rate: float, eps: float) -> Optimiser:
    """In units of lr·decay·steps."""
    return Optimiser("adamw", rate, 0.05, eps, 0.05 * rate)


OPTIMISERS = {
    "momentum": heavy_ball(1e-3),
    "adam": Optimiser("adam", 2e-3, 0.02, 1e-8, 2e-3),
    "adamw_1e-3": adamw(1e-2, 1e-3),
    "adamw_1e-8": adamw(2e-3, 1e-8),
}
# Adam starts from larger scales: its delay is linear in them.
ADAM_FACTOR = 4


def jumps(config: Config, task: Task) -> xr.Dataset:
    """Three ways out of the kernel phase, from the fitted net to a smaller scale; λt of the switch is counted from the start."""
    decay, log_scale, limits = config.weight_decay, config.jump_log_scale, limits_of(task, config.weight_decay)
    scale = lambda log_scale: np.exp(2 * np.asarray(log_scale))[..., None]

    def diagonal(log_scale, ratios, decay, tau) -> flows.Curves:
        return flows.diagonal(task.inputs, task.labels, log_scale, ratios, decay, tau / decay, config.rtol)

    def readings(tau: np.ndarray, *runs: flows.Curves) -> tuple:
        weights = np.concatenate([run.weights for run in runs], axis=1)
        switch = last_rise(tau, cosines(weights, task.l1) - cosines(weights, task.l2))
        over = excess(task, weights, limits, decay)
        settled = last_rise(tau, SETTLED - over)
        return switch, settled, over[:, -1], sum(run.evaluations for run in runs), sum(run.status for run in runs)

    fitted = diagonal(log_scale, 0.0, decay, np.geomspace(1e-6, FITTED, len(GRID)))
    weights, start = fitted.weights[:, -1], log_scale - FITTED
    ends = -np.asarray([kernel_phase_end(l2, decay) for l2 in task.l2])
    by_way: list[list[tuple]] = [[], [], []]
    for jump in experiment.progress(config.jumps, "jumps"):
        target = ends - jump
        shrunk = diagonal(target, np.arcsinh(weights / (2 * scale(start))), decay, TAU_AFTER_JUMP)
        kept = diagonal(target, np.arcsinh(weights / (2 * scale(target))), decay, TAU_AFTER_JUMP)
        distance = (start - target)[:, None]
        tau_raised = distance * np.geomspace(1e-4, 1, len(GRID))
        raised = diagonal(start, np.arcsinh(weights / (2 * scale(start))), RAISED * decay, tau_raised)
        after = diagonal(target, np.arcsinh(raised.weights[:, -1] / (2 * scale(target))), decay, TAU_AFTER_JUMP)
        tau = FITTED + TAU_AFTER_JUMP
        tau_both = np.concatenate([FITTED + tau_raised / RAISED, tau + distance / RAISED], axis=1)
        for rows, row in zip(
            by_way, (readings(tau, shrunk), readings(tau, kept), readings(tau_both, raised, after)), strict=True
        ):
            rows.append(row)
    names = ("switch", "settled", "excess", "evaluations", "status")
    columns = {f"jump_{name}": [[row[i] for row in rows] for rows in by_way] for i, name in enumerate(names)}
    results = experiment.dataset(("way", "jump", "seed"), columns, coordinates={"jump": config.jumps})
    plain = readings(log_scale + GRID, diagonal(log_scale, 0.0, decay, log_scale + GRID))
    forces = 0.5 * np.abs(np.einsum("snd,sn->sd", task.inputs, task.labels)).max(axis=1) / config.n
    others = {f"plain_{name}": value for name, value in zip(names, plain, strict=True)} | {"force": forces}
    return results.merge(experiment.dataset("seed", others))


def optimisers(config: Config, task: Task) -> xr.Dataset:
    """Heavy ball, Adam and AdamW from several scales: when they settle near the max-L1-margin direction, and where they end."""
    scales, numbers = config.optimiser_scales, np.arange(1, len(GRID) + 1)
    highest, middle = math.log(max(scales)), scales[len(scales) // 2]
    stops = {"momentum": highest + 5, "adam": 1.5 * ADAM_FACTOR * max(scales) + 8, "adamw": highest + 7}

    def train(optimiser: Optimiser, scale: float, stop: float) -> tuple[np.ndarray, np.ndarray]:
        """Times and weights at all records, up to about the time to stop."""
        stride = math.ceil(stop / (optimiser.unit * len(GRID)))
        settings = scale, optimiser.rate, optimiser.decay, optimiser.eps
        weights = flows.optimiser(optimiser.kind, task.inputs, task.labels, *settings, stride, len(GRID))
        return optimiser.unit * stride * numbers, weights

    def flow(log_scale: float, decay: float, tau: np.ndarray, rtol: float) -> np.ndarray:
        return flows.diagonal(task.inputs, task.labels, log_scale, 0.0, decay, tau / decay, rtol).weights

    columns, last = {}, {}
    for name, optimiser in experiment.progress(OPTIMISERS.items(), "optimisers"):
        factor = ADAM_FACTOR if name == "adam" else 1
        trained = [train(optimiser, factor * scale, stops[optimiser.kind]) for scale in scales]
        columns[f"settles_{name}"] = [
            last_rise(times, cosines(weights, task.l1) - L1_LEVEL) for times, weights in trained
        ]
        last[name] = trained[-1][1][:, -1:]
    errors = []
    for ball in (OPTIMISERS["momentum"], heavy_ball(OPTIMISERS["momentum"].rate / 2)):
        tau, weights = train(ball, middle, stops["momentum"])
        reference = flow(math.log(middle), ball.decay, tau, config.rtol / 1000)
        distance = np.linalg.norm(weights - reference, axis=2) / np.linalg.norm(reference, axis=2)
        errors.append(distance[:, tau >= 1].max(axis=1))
    # AdamW with a large ε for long, beside the flow that has had as long since its scale was 1.
    after, slow = len(GRID) - 8, adamw(1e-2, OPTIMISERS["adamw_1e-3"].eps)
    penalty, log_scale = slow.decay * slow.eps, config.jump_log_scale
    limits = limits_of(task, penalty)
    _, late = train(slow, middle, math.log(middle) + GRID[after])
    ends = {
        "momentum_error": errors[0],
        "momentum_error_half": errors[1],
        "adam_end": cosines(last["adam"], limits_of(task, OPTIMISERS["adam"].decay))[:, 0],
        "adamw_end": cosines(late[:, -1:], limits)[:, 0],
        "flow_end": cosines(flow(log_scale, penalty, log_scale + GRID, config.rtol), limits)[:, after],
    }
    results = experiment.dataset(("scale", "seed"), columns, coordinates={"scale": scales})
    return results.merge(experiment.dataset("seed", ends))


def networks(config: Config, keys: jax.Array) -> xr.Dataset:
    """Two-layer nets with ReLU and with squares: switches, balance of the layers, cost of kinks, and jumps."""
    signs = jax.vmap(lambda key: jax.random.rademacher(key, (config.n + 500, config.net_inputs), jnp.float64))(keys)
    data = flows.NetData(
        signs[:, : config.n], (signs[..., 0] * signs[..., 1])[:, : config.n],
        signs[:, config.n :], (signs[..., 0] * signs[..., 1])[:, config.n :],
    )  # fmt: skip
    activations = experiment.progress(("relu", 2), "activations")
    return experiment.stack([network(config, keys, data, activation) for activation in activations], "activation")


def network(config: Config, keys: jax.Array, data: flows.NetData, activation: Any) -> xr.Dataset:
    """Everything about one activation."""
    model = flows.network(config.width, config.net_inputs, activation)

    def start(scale: float) -> Any:
        return jax.vmap(lambda key: model.init(key, scale, last_layer="he"))(keys)

    def flow(params: Any, tau: np.ndarray, rtol: float = config.net_rtol) -> flows.NetCurves:
        return flows.network_flow(model, data, params, config.net_decay, tau, rtol)

    def read(run: flows.NetCurves, params: Any) -> flows.NetReadings:
        return flows.network_readings(
            model, 1 if activation == "relu" else activation, data, run.params, params, config.net_decay
        )

    scales, coarse = config.net_log_scales, 10 * config.net_rtol
    initial = [start(math.exp(log_scale)) for log_scale in scales]
    pairs = list(zip(initial, scales, strict=True))
    rough = [flow(params, log_scale + NET_GRID, coarse) for params, log_scale in pairs]
    plain = [flow(params, log_scale + NET_GRID) for params, log_scale in pairs]
    seen = [read(run, params) for run, params in zip(plain, initial, strict=True)]
    seen_rough = [read(run, params) for run, params in zip(rough, initial, strict=True)]
    columns = {
        "net_switch": [half_way(NET_GRID, x.cosine) for x in seen],
        "net_rough_switch": [half_way(NET_GRID, x.cosine) for x in seen_rough],
        "net_status": [run.status for run in plain],
        "net_balance": [x.balance.max(axis=1) for x in seen],
        "net_stationarity": [x.stationarity[:, -1] for x in seen],
        "net_steps": [run.steps for run in plain],
        "net_rough_steps": [run.steps for run in rough],
    }
    smaller = [jax.tree.map(partial(_shrunk, math.exp(-jump)), plain[-1].params) for jump in config.net_jumps]
    jumped = [flow(params, NET_TAU_AFTER_JUMP, coarse) for params in smaller]
    seen_after = [read(run, params) for run, params in zip(jumped, smaller, strict=True)]
    fits = [x.fit[:, -1] for x in seen_after]
    by_jump = {
        "net_jump_switch": [np.where(fit == 1, half_way(NET_TAU_AFTER_JUMP, x.cosine), np.nan) for fit, x in zip(fits, seen_after, strict=True)],
        "net_jump_accuracy": [x.accuracy[:, -1] for x in seen_after],
        "net_jump_fit": fits,
        "net_jump_status": [run.status for run in jumped],
    }  # fmt: skip
    coordinates = {"net_log_scale": config.net_log_scales, "net_jump": config.net_jumps, "net_time": NET_GRID}
    curves = {"net_accuracy": [x.accuracy for x in seen]}
    results = experiment.dataset(("net_log_scale", "seed"), columns, coordinates=coordinates)
    results = results.merge(experiment.dataset(("net_log_scale", "seed", "net_time"), curves))
    return results.merge(experiment.dataset(("net_jump", "seed"), by_jump))


def _shrunk(factor, leaf):
    """The first recorded parameters of every seed, times a number."""
    return factor * leaf[:, 0]


def half_way(times: np.ndarray, curves: np.ndarray) -> np.ndarray:
    """The first time at which each curve (seeds, T) has fallen half of the way from 1 to its last value."""
    return first_rise(times, (1 + curves[:, -1:]) / 2 - curves)
