"""Flows and numbers of `dichotomy_asymptotics`: reduced flows from any initial scale, each beside what theory says of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import grokjax as gj
import theory
from grokjax import experiment

if TYPE_CHECKING:
    import xarray as xr

# p of λ ∝ α^(−p).
COUPLINGS = (0.0, 1.0)
# Recording times before and after T_c^−, and around the switch.
EARLY, AROUND = 10, 81


@dataclass(frozen=True)
class Config:
    """Sizes, scales and solver settings."""

    n: int = 32
    """Training points."""
    d: int = 128
    """Dimension of the inputs; the networks have 2d parameters."""
    k: int = 3
    """Non-zero weights of the sparse teacher, odd."""
    gap: float = 3.0
    """Distance of the classes of the L2-separated task, in units of the noise."""
    seeds: int = 8
    """Data sets of each task."""
    seed: int = 0
    """Seed of the first key."""
    depths: tuple[int, ...] = (2, 3, 4)
    """L; 2 must be the first."""
    decades: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
    """log10 α."""
    weight_decay: float = 1e-3
    """λ in 1/time, where it is fixed; multiplies ‖θ‖²/2."""
    coupling: float = 1e-2
    """λ·α, where λ is coupled to α."""
    decays: tuple[float, ...] = (1e-2, 1e-4, 1e-6)
    """Values of λ in 1/time for one α, the middle one of `decades`."""
    c: float = 0.5
    """c of the early time T_c^−."""
    rtol: float = 1e-4
    """Error of the weights allowed per step, relative."""
    tiny_decades: tuple[float, ...] = (-20.0, -40.0, -60.0)
    """log10 α of the small initialisations."""
    free_scales: tuple[float, ...] = (0.5, 1.0, 1.5)
    """α of the flows without weight decay, whose time grows like e^(α²)."""
    size: int = 8
    """d of matrix completion."""
    observed: int = 36
    """Entries observed, of d²."""
    completion_decades: tuple[float, ...] = (1.0, 1.5, 2.0, 2.5)
    """log10 α of matrix completion."""
    completion_decays: tuple[float, ...] = (1e-2, 1e-3, 1e-4)
    """λ in 1/time of matrix completion at the second of its scales; the middle one at all others."""
    test_points: int = 1000
    """Test points of each classification task."""

    def __post_init__(self) -> None:
        experiment.check_fields(
            self,
            at_least={"n": 1, "d": 1, "k": 1, "test_points": 1, "observed": 1, "seeds": 2, "size": 2},
            positive=("weight_decay", "coupling", "rtol"),
        )
        if not 0 < self.c < 1:
            raise ValueError(f"c must lie strictly between 0 and 1, got {self.c}")
        if self.k % 2 == 0 or self.k > self.d:
            raise ValueError(f"k must be odd and at most d = {self.d}, got {self.k}")
        if self.observed > self.size**2:
            raise ValueError(f"observed must be at most {self.size**2}, got {self.observed}")
        if self.depths[:1] != (2,) or any(depth < 2 for depth in self.depths):
            raise ValueError(f"depths must begin with 2 and be at least 2, got {self.depths}")
        for name in ("decades", "decays", "tiny_decades", "free_scales", "completion_decades", "completion_decays"):
            values = np.asarray(getattr(self, name))
            if len(values) < 2 or not np.all(np.isfinite(values)):
                raise ValueError(f"{name} must hold at least 2 finite numbers, got {getattr(self, name)}")


class Tasks(NamedTuple):
    """Data sets along a first axis, and what theory says of each."""

    inputs: np.ndarray
    labels: np.ndarray
    test_inputs: np.ndarray
    test_labels: np.ndarray
    l2: list[theory.max_margin.MaxMargin]
    l1: list[theory.max_margin.MaxMargin]

    @property
    def signed(self) -> np.ndarray:
        return self.inputs * self.labels[..., None]

    def first(self, count: int) -> Tasks:
        return Tasks._make(x[:count] for x in self)


def joined(one: Tasks, other: Tasks) -> Tasks:
    """Both, one after the other."""
    arrays = (np.concatenate(pair) for pair in zip(one[:4], other[:4], strict=True))
    return Tasks._make([*arrays, one.l2 + other.l2, one.l1 + other.l1])


def labelled(variables: dict, coordinates: dict) -> xr.Dataset:
    """A data set of variables that do not share their dimensions."""
    import xarray

    return xarray.Dataset(variables, {name: (name, values) for name, values in coordinates.items()})


def draw(config: Config) -> tuple[Tasks, Tasks]:
    """The sparse and the L2-separated task."""
    sizes, dtype = (config.n, config.d), jnp.dtype("float64")
    makers = (
        lambda key: gj.data.sparse_classification(key, *sizes, config.k, config.test_points, dtype=dtype),
        lambda key: gj.data.l2_separated_classification(key, *sizes, config.gap, config.test_points, dtype=dtype),
    )
    tasks = []
    for i, make in enumerate(makers):
        data = jax.vmap(make)(jax.random.split(jax.random.key(config.seed + i), config.seeds))
        arrays = [np.asarray(x) for x in data[:4]]
        pairs = list(zip(*arrays[:2], strict=True))
        predictors = [[find(*p) for p in pairs] for find in (theory.max_margin.l2, theory.max_margin.l1)]
        tasks.append(Tasks._make([*arrays, *predictors]))
    return tasks[0], tasks[1]


def observe(t, net):
    """Weights and the largest |log(u/v)|."""
    del t
    return net.weights, jnp.max(jnp.abs(jnp.log(net.u) - jnp.log(net.v)))


@partial(jax.jit, static_argnames="depth")
def integrate(inputs, labels, log_scale, decay, rate, times, rtol, logistic, depth):
    """All data sets side by side; time is read as rate·t. One compilation serves every scale, decay and loss of a depth."""
    either = lambda name: (
        lambda f, y: jnp.where(
            logistic, getattr(gj.losses.logistic, name)(f, y), getattr(gj.losses.exponential, name)(f, y)
        )
    )
    loss = gj.losses.Loss("exponential or logistic", either("value"), either("log_value"))
    norm = jnp.exp(log_scale) * math.sqrt(2 * inputs.shape[2])

    def one(inputs, labels):
        flow, state = gj.flows.diagonal_flow(
            inputs, labels, depth=depth, initial_norm=norm, weight_decay=decay, loss=loss
        )
        run = gj.flows.solve(
            flow, state, times, observe=observe, clock=gj.flows.scaled_clock(rate), solver=gj.flows.RKC2(), rtol=rtol
        )
        end = flow.decode(times[-1] / rate, run.final_state)
        return *run.observed, gj.models.DiagonalParams(end.u, end.v), run.status, run.statistics.gradient_evaluations

    return jax.vmap(one)(inputs, labels)


def flows(config: Config, tasks: Tasks, log_scale, decay, times, depth=2, logistic=False, rate=None) -> list:
    """Weights (S, T, d), largest log-ratios (S, T), end points, statuses and gradient evaluations (S,) of all data sets."""
    numbers = [float(x) for x in (log_scale, decay, decay if rate is None else rate)]
    found = integrate(tasks.inputs, tasks.labels, *numbers, times, config.rtol, logistic, depth)
    return jax.tree.map(np.asarray, list(found))


def recording_times(config: Config, log_scale: float, decay: float, depth: int) -> np.ndarray:
    """λt: from the first fit on, T_c^−, evenly through the kernel phase, densely around log α, and long after the switch."""
    first = np.linspace(math.log(decay) - 2 * (depth - 1) * log_scale, math.log(0.02), EARLY)
    middle = np.linspace(0.05, log_scale - 1.8, EARLY)
    around = np.linspace(log_scale - 1.7, log_scale + 14, AROUND)
    return np.sort([*np.exp(first), *middle, (1 - config.c) * log_scale, *around, log_scale + 100])


def sweep(config: Config, tasks: Tasks, depth: int) -> dict[str, np.ndarray]:
    """Numbers (coupling, scale, data set) and curves (coupling, scale, data set, time) of one depth."""
    rows = []
    for coupling in COUPLINGS:
        for decade in experiment.progress(config.decades, f"L = {depth}, p = {coupling:g}"):
            log_scale = decade * math.log(10)
            decay = config.coupling * math.exp(-log_scale) if coupling else config.weight_decay
            times = recording_times(config, log_scale, decay, depth)
            weights, ratios, end, status, evaluations = flows(config, tasks, log_scale, decay, times, depth)
            rows.append(
                numbers_of(config, tasks, depth, log_scale, decay, times, weights, ratios) | kkt(tasks, depth, end)
            )
            rows[-1] |= {"status": status, "gradient_evaluations": evaluations, "decay": np.full(len(status), decay)}
    shape = len(COUPLINGS), len(config.decades)
    return {name: np.stack([row[name] for row in rows]).reshape(*shape, *rows[0][name].shape) for name in rows[0]}


def numbers_of(config, tasks: Tasks, depth, log_scale, decay, times, weights, ratios) -> dict[str, np.ndarray]:
    """What is claimed about flows from one scale, beside its prediction; one of each a data set."""
    directions, margins = np.stack([p.direction for p in tasks.l2]), np.asarray([p.margin for p in tasks.l2])
    gamma, largest = math.sqrt(2) * depth * margins, np.max(np.abs(directions), axis=1)
    q = np.einsum("std,snd->stn", weights, tasks.signed)
    log_loss = np.logaddexp.reduce(-q, axis=2) - math.log(config.n)
    cosine = cosines(weights, directions)
    early = int(np.argmin(np.abs(times - (1 - config.c) * log_scale)))
    accuracy = np.mean(
        0.5
        + 0.5
        * np.sign(np.einsum("std,smd->stm", weights[:, [early, -1]], tasks.test_inputs) * tasks.test_labels[:, None]),
        axis=2,
    )
    moved = transition(times, cosine)
    balances = [
        theory.balance.kernel_balance(2 * depth**2 * z @ z.T, config.c * log_scale, decay, depth) for z in tasks.signed
    ]
    at_balance = np.stack([b.duals @ z for b, z in zip(balances, tasks.signed, strict=True)])
    l1 = np.stack([p.direction for p in tasks.l1])
    l1_margins = np.min(q[:, -1], axis=1) / np.sum(np.abs(weights[:, -1]), axis=1) / [p.margin for p in tasks.l1]
    return {
        "switch": np.asarray(moved.time),
        "width": np.asarray(moved.width),
        "kernel_phase_end": np.asarray(gj.analysis.crossing_time(times, jnp.asarray(ratios), 1.0)),
        "predicted_kernel_phase_end": predicted_end(log_scale, decay, margins, largest, depth)[0],
        "end_margin": predicted_end(log_scale, decay, margins, largest, depth)[1],
        "early_margin": q[:, early].min(axis=1),
        "balance_margin": np.asarray([b.margins.min() for b in balances]),
        "early_angle": 1 - cosine[:, early],
        "balance_angle": 1 - cosines(at_balance, directions)[:, 0],
        "loss_ratio": np.exp(log_loss[:, early] - theory.kernel_phase.log_late_exponential_loss(config.c * log_scale, decay, gamma, depth)),
        "accuracy_before": accuracy[:, 0],
        "accuracy_after": accuracy[:, 1],
        "cosine_to_l1": cosines(weights, l1)[:, -1],
        "l1_margin": l1_margins,
        "cosine_to_l2": cosine,
        "scaled_time": np.broadcast_to(times, cosine.shape),
        "train_loss": np.exp(log_loss),
    } | bounds(config, tasks, depth, log_scale, decay, times, log_loss, ratios, gamma)  # fmt: skip


def bounds(config, tasks: Tasks, depth, log_scale, decay, times, log_loss, ratios, gamma) -> dict[str, np.ndarray]:
    """Largest violations of lemmas C.4 and C.7 in log 𝓛 while every feature is within γ/2 of its start; negative where they hold."""
    # Features move by at most L√2‖x‖ times this: (u/s)^(L−1) − 1 at the coordinate with the largest log-ratio r.
    half = ratios / 2
    tilt = half if depth == 2 else (depth - 1) * (np.log(np.cosh((depth - 2) * half)) / (depth - 2) + half)
    norms = math.sqrt(2) * depth * np.linalg.norm(tasks.inputs, axis=2).max(axis=1)[:, None]
    inside = np.maximum.accumulate(norms * np.expm1(np.minimum(tilt, 1)), axis=1) <= gamma[:, None] / 2
    t = times / decay
    upper = theory.kernel_phase.exponential_loss_upper_bound(t, log_scale, decay, gamma[:, None], depth).bound
    lower = theory.kernel_phase.exponential_loss_lower_bound(
        t, log_scale, decay, norms + gamma[:, None] / 2, config.n, depth
    ).bound
    return {
        "upper_violation": np.where(inside, log_loss - upper, -np.inf).max(axis=1),
        "lower_violation": np.where(inside, lower - log_loss, -np.inf).max(axis=1),
    }


def transition(times, cosine) -> gj.analysis.Transition:
    """The change of the cosine from 1 to its last value, in the stretch of times around log α."""
    around = slice(-AROUND - 1, -1)
    return gj.analysis.find_transition(times[around], jnp.asarray(cosine[:, around]), 1.0, jnp.asarray(cosine[:, -1]))


def cosines(weights, directions) -> np.ndarray:
    """Of each trajectory (S, T, d) with one direction (S, d)."""
    return np.asarray(jax.vmap(gj.analysis.cosine)(weights, directions))


def predicted_end(log_scale, decay, margin, largest, depth) -> tuple[np.ndarray, np.ndarray]:
    """λt at which the largest |log(u/v)| is 1, and the output margin q there: `time_scales.diagonal_kernel_phase_end` for any depth.

    w = L s^L log(u/v) in the kernel regime and w = (q/γ)ŵ, so that s^L = Mq/(Lγ); q follows s by the balance of growth and decay.
    """
    q, log_s = np.full_like(margin, -math.log(decay)), np.zeros_like(margin)
    for _ in range(100):
        log_s = np.log(largest * q / (depth * margin)) / depth
        q = -theory.kernel_phase.log_late_exponential_loss(log_s, decay, math.sqrt(2) * depth * margin, depth)
    return log_scale - log_s, q


@partial(jax.jit, static_argnames="depth")
def margin_kkt(inputs, labels, end, depth):
    """KKT residuals of (R1) at one end point of each data set."""
    model = gj.models.diagonal_linear(depth)
    return jax.vmap(lambda x, y, theta: gj.analysis.margin_kkt(model.apply, depth, theta, x, y, gj.losses.exponential))(
        inputs, labels, end
    )


def kkt(tasks: Tasks, depth: int, end) -> dict[str, np.ndarray]:
    """Stationarity and complementarity of (R1) at the end points."""
    found = margin_kkt(tasks.inputs, tasks.labels, end, depth)
    return {"stationarity": np.asarray(found.stationarity), "complementarity": np.asarray(found.complementarity)}


def depth_two(config: Config, both: Tasks) -> xr.Dataset:
    """The switch at one α for several λ and under the logistic loss; tiny initialisations; flows without weight decay."""
    s = slice(config.seeds)
    sparse = both.first(config.seeds)
    directions, l1 = (np.stack([p.direction for p in found]) for found in (sparse.l2, sparse.l1))
    margins, largest = np.asarray([p.margin for p in sparse.l2]), np.max(np.abs(directions), axis=1)
    found: dict[str, list] = {
        name: [] for name in ("decay_switch", "decay_predicted_end", "logistic_switch", "logistic_margin")
    }
    found |= {
        name: []
        for name in (
            "escape",
            "first_cosine_to_l1",
            "first_cosine_to_l2",
            "free_time",
            "free_width",
            "free_curve",
            "free_log_time",
        )
    }
    status = []

    steps = EARLY + EARLY + 1 + AROUND + 1
    middle = config.decades[len(config.decades) // 2] * math.log(10)
    for decay in config.decays:
        times = recording_times(config, middle, decay, 2)
        weights, _, _, code, _ = flows(config, both, middle, decay, times)
        status.append(code)
        found["decay_switch"].append(transition(times, cosines(weights[s], directions)).time)
        found["decay_predicted_end"].append(predicted_end(middle, decay, margins, largest, 2)[0])

    for log_scale in np.asarray(config.decades) * math.log(10):
        times = recording_times(config, log_scale, config.weight_decay, 2)
        weights, _, _, code, _ = flows(config, both, log_scale, config.weight_decay, times, logistic=True)
        status.append(code)
        early = int(np.argmin(np.abs(times - (1 - config.c) * log_scale)))
        found["logistic_switch"].append(transition(times, cosines(weights[s], directions)).time)
        found["logistic_margin"].append(np.einsum("sd,snd->sn", weights[s, early], sparse.signed).min(axis=1))

    correlation = np.max(np.abs(sparse.signed.mean(axis=1)), axis=1)
    for log_scale in np.asarray(config.tiny_decades) * math.log(10):
        elapsed = -log_scale * np.linspace(0.3, 3, steps)
        weights, _, _, code, _ = flows(config, both, log_scale, config.weight_decay, config.weight_decay * elapsed)
        status.append(code)
        q = np.einsum("std,snd->stn", weights[s], sparse.signed)
        # Before the escape 1 − 𝓛 grows exponentially, so that its logarithm is what can be interpolated.
        grown = np.log(np.maximum(1 - np.exp(-q).mean(axis=2), 1e-300))
        found["escape"].append(gj.analysis.crossing_time(elapsed, jnp.asarray(grown), math.log(0.1)))
        fitted = np.argmax(np.all(q > 0, axis=2), axis=1)[:, None]
        for name, towards in (("first_cosine_to_l1", l1), ("first_cosine_to_l2", directions)):
            found[name].append(np.take_along_axis(cosines(weights[s], towards), fitted, axis=1)[:, 0])

    for scale in config.free_scales:
        log_time = scale**2 * np.linspace(0.5, 250, steps)
        weights, _, _, code, _ = flows(config, both, math.log(scale), 0.0, np.exp(log_time), rate=1.0)
        status.append(code)
        cosine = cosines(weights[s], directions)
        # From the max-L2-margin direction on; while the data are not yet fitted the cosine rises.
        top = cosine.max(axis=1, keepdims=True)
        curve = np.where(np.arange(steps) < cosine.argmax(axis=1)[:, None], top, cosine)
        moved = gj.analysis.find_transition(log_time, jnp.asarray(curve), jnp.asarray(top[:, 0]))
        for name, value in (
            ("free_time", moved.time),
            ("free_width", moved.width),
            ("free_curve", cosine),
            ("free_log_time", log_time),
        ):
            found[name].append(value)

    dims = {
        "decay": ("other_decay", "seed"),
        "logistic": ("log_scale", "seed"),
        "escape": ("tiny_log_scale", "seed"),
        "first": ("tiny_log_scale", "seed"),
    }
    dims |= {
        "free_time": ("free_scale", "seed"),
        "free_width": ("free_scale", "seed"),
        "free_log_time": ("free_scale", "time"),
    }
    dims |= {"free_curve": ("free_scale", "seed", "time")}
    variables = {
        name: (dims.get(name) or dims[name.partition("_")[0]], np.stack(values)) for name, values in found.items()
    }
    variables |= {"largest_correlation": ("seed", correlation), "other_status": (("run", "data_set"), np.stack(status))}
    tiny = np.asarray(config.tiny_decades) * math.log(10)
    return labelled(
        variables,
        {
            "other_decay": np.asarray(config.decays),
            "tiny_log_scale": tiny,
            "free_scale": np.asarray(config.free_scales),
        },
    )


@jax.jit
def complete(indices, values, log_scale, decay, times, identity):
    """Matrix completion from U = V = αI, all sets of observed entries side by side."""

    def one(indices, values):
        start = jnp.exp(log_scale) * identity
        flow, state = gj.flows.factorization_flow(indices, values, start, start, weight_decay=decay)
        watch = lambda t, point: point.weights
        run = gj.flows.solve(
            flow, state, times, observe=watch, clock=gj.flows.scaled_clock(decay), solver=gj.flows.RKC2(), rtol=1e-6
        )
        return run.observed, run.status, run.statistics.gradient_evaluations

    return jax.vmap(one)(indices, values)


def completion(config: Config) -> xr.Dataset:
    """Losses on observed and other entries through the switch, over α, and over λ at one α; with the laws of appendix D."""
    target = gj.data.multiplication_table(config.size)
    keys = jax.random.split(jax.random.key(config.seed), config.seeds)
    sets = [gj.data.matrix_completion(key, target, config.observed) for key in keys]
    indices, values = (jnp.stack([data[i] for data in sets]) for i in (0, 1))
    masks = np.zeros((config.seeds, *target.shape), bool)
    for mask, pairs in zip(masks, np.asarray(indices), strict=True):
        mask[pairs[:, 0], pairs[:, 1]] = True
    hidden = np.where(masks | masks.swapaxes(1, 2), 0, target) ** 2
    features = (
        np.eye(config.size**2)
        .reshape(config.size, config.size, -1)[indices[..., 0], indices[..., 1]]
        .reshape(*indices.shape[:2], *target.shape)
    )
    features = (features + features.swapaxes(2, 3)).reshape(*indices.shape[:2], -1)
    grams = 2 * features @ features.swapaxes(1, 2)
    spectra = np.linalg.eigvalsh(grams)
    least = np.where(spectra > 1e-9, spectra, np.inf).min(axis=1)

    decades, middle = config.completion_decades, config.completion_decays[len(config.completion_decays) // 2]
    cells = [(decade, middle) for decade in decades] + [(decades[1], decay) for decay in config.completion_decays]
    rows = []
    for decade, decay in experiment.progress(cells, "matrix completion"):
        log_scale = decade * math.log(10)
        times = np.sort([(1 - config.c) * log_scale, *np.linspace(0.2 * log_scale, log_scale + 6, 48)])
        early = int(np.argmin(np.abs(times - (1 - config.c) * log_scale)))
        weights, status, evaluations = map(
            np.asarray, complete(indices, values, log_scale, decay, times, jnp.eye(config.size))
        )
        errors = (weights - target) ** 2
        train, test = (np.mean(errors, axis=(2, 3), where=side[:, None]) for side in (masks, ~masks))
        plateau = np.mean(hidden, axis=(1, 2), where=~masks)
        laws = [
            theory.kernel_phase.log_late_squared_loss(k, y, log_scale - times, decay, 2)
            for k, y in zip(grams, values, strict=True)
        ]
        norms = np.linalg.norm(values, axis=1)
        bound = theory.kernel_phase.squared_loss_upper_bound(
            times[early] / decay, log_scale, decay, least, norms, config.observed, 2
        ).bound
        moved = gj.analysis.find_transition(times[early:], jnp.asarray(test[:, early:]), jnp.asarray(plateau))
        rows.append({
            "completion_train_loss": train, "completion_test_loss": test, "completion_law": np.exp(np.stack(laws)),
            "completion_log_size": log_scale - times, "completion_status": status, "completion_evaluations": evaluations,
            "early_test_loss": test[:, early] / plateau, "early_train_loss": train[:, early], "early_law": np.exp([law[early] for law in laws]),
            "bound_violation": np.log(train[:, early]) - bound, "completion_switch": np.asarray(moved.time),
        })  # fmt: skip
    stacked = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    dims = {
        name: ("cell", "completion_time") if name == "completion_log_size" else ("cell", "seed", "completion_time")
        for name in stacked
    }
    return labelled(
        {name: (dims[name][: values.ndim], values) for name, values in stacked.items()},
        {"cell_log_scale": np.asarray(decades) * math.log(10)},
    )
