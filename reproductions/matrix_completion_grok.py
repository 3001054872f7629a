"""Grokking of matrix completion at the paper's own scale (Lyu et al., arXiv 2311.18817, figure 3).

Claim in one sentence: from U = V = αI and with small weight decay λ, the factorisation W = UUᵀ − VVᵀ first fills every entry that was not
observed with 0, and around t = (1/λ)·(log α + const) it turns into the matrix of least nuclear norm, which is the target, or close to it.

Departures and choices:
1. The gradient flow itself is integrated, in the increments of the two Gram matrices, where the paper takes 10⁷ gradient steps of size 0.1.
   Time t is flow time; one unit is 10 of the paper's steps.
2. The paper's observed entries cannot be drawn again; ours come from the seed. Entries are drawn among all d², so that some have their mirror
   with them, and the NTK features are linearly dependent, against assumption 3.8; labels agree, and nothing else changes.
3. Several sets of observed entries, and other α, are run at a smaller size, with as many entries for each degree of freedom.
4. Far fewer entries than d log² d are observed, where no theorem promises recovery. Recovery itself is therefore measured on random targets
   of rank 2, small enough to observe more than that, from the perturbed start of theorem 3.12.
5. The law UᵀV = α² e^(−2λt) I holds by construction in the reduction. It is therefore measured on the flow of U and V, at the smaller size.
6. α is the diagonal of U and V, ‖θ(0)‖ = α√(2d); the loss is the mean of (W_ij − X_ij)² without ½.

Run time on 2 cores: smoke 30 s, nearly all of it compilation; default, which is the paper's setting, 95 s, and so is paper.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import _completion_claims as told
import diffrax
import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

import grokjax as gj
from grokjax import experiment
from theory import kernel_phase, nuclear_norm

if TYPE_CHECKING:
    import xarray as xr


@dataclass(frozen=True)
class Config:
    """Sizes, scales and solver settings."""

    size: int = 97
    """d: rows and columns of the target ij/d²."""
    observed: int = 470
    """Observed entries (5 % of all)."""
    alpha: float = 10.0
    """α: the start is U = V = αI."""
    weight_decay: float = 1e-4
    """λ in 1/time; multiplies (‖U‖² + ‖V‖²)/2."""
    end_time: float = 1e6
    """Flow time at which the figure ends (10 of the paper's steps are one unit)."""
    limit_time: float = 1e7
    """Flow time to which runs go on for the comparison with their t → ∞ limit."""
    seed: int = 0
    """Seed of the first key."""
    rtol: float = 1e-4
    """Error of the Gram increments allowed per step, relative."""
    times: int = 240
    """Recording times: half of them spaced logarithmically, half evenly around the predicted end of the kernel phase."""
    seeds: int = 8
    """Sets of observed entries at the smaller size, run in one program."""
    small_size: int = 32
    """d of the runs with several sets of observed entries."""
    small_observed: int = 155
    """Their observed entries."""
    alphas: tuple[float, ...] = (3.0, 10.0, 30.0)
    """α of the sweep at the smaller size."""
    decay_factors: tuple[float, ...] = (0.1, 1.0)
    """λ of the kernel phase's loss, in units of weight_decay."""
    recovery_size: int = 20
    """d of the random targets that are to be recovered."""
    recovery_rank: int = 2
    """Their rank; they are positive semi-definite with eigenvalues near 1."""
    recovery_observed: int = 280
    """Their observed entries."""
    recovery_seeds: int = 4
    """Targets, each with its own observed entries and start."""
    recovery_noise: float = 0.1
    """σ of the perturbed start U_ij, V_ij ~ N(α·1{i=j}, σ²)."""
    recovery_weight_decays: tuple[float, ...] = (1e-5, 3e-5, 1e-4, 3e-4)
    """λ of the recovery, in 1/time."""

    def __post_init__(self) -> None:
        numbers = dict.fromkeys(
            ("observed", "small_observed", "recovery_rank", "recovery_observed", "recovery_seeds"), 1
        )
        experiment.check_fields(
            self,
            at_least=numbers | {"size": 2, "small_size": 2, "recovery_size": 2},
            positive=("alpha", "end_time", "rtol"),
            not_negative=("weight_decay", "recovery_noise"),
        )
        for prefix in ("", "small_", "recovery_"):
            entries, observed = getattr(self, f"{prefix}size") ** 2, getattr(self, f"{prefix}observed")
            if observed >= entries:
                raise ValueError(
                    f"{prefix}observed must be less than the {entries} entries of the target, got {observed}"
                )
        if self.recovery_rank > self.recovery_size:
            raise ValueError(
                f"recovery_rank must be at most recovery_size = {self.recovery_size}, got {self.recovery_rank}"
            )
        for name in ("alphas", "decay_factors", "recovery_weight_decays"):
            values = getattr(self, name)
            if len(values) < 2 or not all(0 < value < math.inf for value in values):
                raise ValueError(f"{name} must be at least 2 positive numbers, for a slope; got {values}")
        if not self.end_time < self.limit_time < math.inf:
            raise ValueError(f"limit_time must be finite and after end_time = {self.end_time}, got {self.limit_time}")
        if self.times < 20:
            raise ValueError(f"times must be at least 20, got {self.times}")
        if self.seeds < 2:
            raise ValueError(f"seeds must be at least 2, for a standard error; got {self.seeds}")


# All reduced flows of the smoke preset have one shape, so that they share one compilation.
PRESETS = {
    "smoke": Config(
        size=16, observed=150, weight_decay=1e-3, end_time=1e5, limit_time=1e6, times=100, seeds=2, small_size=16,
        small_observed=150, alphas=(5.0, 10.0), decay_factors=(0.3, 1.0), recovery_size=16, recovery_observed=150,
        recovery_rank=1, recovery_seeds=2, recovery_weight_decays=(1e-4, 1e-3),
    ),
    "default": Config(),
    "paper": Config(),
}  # fmt: skip


class Prediction(NamedTuple):
    """What theory says of one set of observed entries at one λ.

    Attributes:
        filled: (d, d), W of the kernel phase by corollary 3.11: the target on Ω ∪ Ωᵀ, 0 elsewhere.
        plateau: its test loss.
        missing: norm of the target outside of Ω ∪ Ωᵀ.
        reach: bounds ‖W‖ of the kernel phase, as a sum over parts of the fit that go at different speeds.
        size: the same of ‖W‖_F.
        kernel_phase_end: flow time at which the largest |log| ratio of eigenvalues of UUᵀ and VVᵀ reaches 2; NaN if there is none.
        limit: the end point; None for λ = 0.
    """

    filled: np.ndarray
    plateau: float
    missing: float
    reach: float
    size: float
    kernel_phase_end: float
    limit: nuclear_norm.RegularisedCompletion | None


class Flow(NamedTuple):
    """One recorded flow, in NumPy: times, W and ‖θ‖ at these, what the last one cost, and its status."""

    times: np.ndarray
    weights: np.ndarray
    norms: np.ndarray
    steps: int
    evaluations: int
    status: int


def run(config: Config) -> Iterator[experiment.Part]:
    """The flow at full size between its predictors; sets of entries and α; recovery; U and V themselves, and what they cost."""
    data = draw(jax.random.key(config.seed), gj.data.multiplication_table(config.size), config.observed)
    prediction = predict(data, config.alpha, config.weight_decay)
    yield experiment.Part("flow", 0.4, full_size(config, data, prediction))

    target, keys = (
        gj.data.multiplication_table(config.small_size),
        jax.random.split(jax.random.key(config.seed + 1), config.seeds),
    )
    sets = [draw(key, target, config.small_observed) for key in keys]
    yield experiment.Part("sets of entries", 0.3, sets_of_entries(config, sets))
    if config.weight_decay > 0:
        yield experiment.Part("recovery", 0.15, recovery(config))
    yield experiment.Part("all parameters", 0.15, all_parameters(config, sets[0]))


def draw(key: jax.Array, target: jax.Array, observed: int) -> Any:
    """`matrix_completion`, in NumPy."""
    return jax.tree.map(np.asarray, gj.data.matrix_completion(key, target, observed))


def predict(data: gj.data.CompletionData, alpha: float, decay: float) -> Prediction:
    """Both ends of the flow from U = V = αI, and when it leaves the first."""
    target, values, (rows, columns) = data.target, data.values, data.indices.T
    filled, listed = np.zeros_like(target), np.zeros_like(target)
    filled[rows, columns] = filled[columns, rows] = values
    np.add.at(listed, (rows, columns), 1)
    listed += listed.T
    # Diagonal entries, and those listed with their mirror, fit at twice the rate of the others.
    parts = [np.where(listed == 1, filled, 0), np.where(listed == 2, filled, 0)]
    missing = target[listed == 0]
    scale = math.sqrt(np.linalg.norm(filled, 2) / (2 * math.sinh(1)))
    return Prediction(
        filled=filled,
        plateau=float(np.sum(missing**2)) / (target.size - len(values)),
        missing=float(np.linalg.norm(missing)),
        reach=sum(float(np.linalg.norm(part, 2)) for part in parts),
        size=sum(float(np.linalg.norm(part)) for part in parts),
        kernel_phase_end=math.log(alpha / scale) / decay if decay > 0 and alpha > scale else math.nan,
        limit=nuclear_norm.regularised(data.indices, values, len(target), decay) if decay > 0 else None,
    )


def off_support(prediction: Prediction, s: float) -> float:
    """Bound of ‖W − filled‖_F outside of Ω ∪ Ωᵀ at s = α e^(−λt), of the order of s⁻⁴.

    With U = sP, V = sP⁻ᵀ and P' = −2GP the odd orders of W/s² = PPᵀ − (PPᵀ)⁻¹ remain; the first one lives on Ω ∪ Ωᵀ and is filled/s²,
    the others are those of 2 sinh x, x = reach/2s², whatever the order of the factors. Infinite outside of the kernel phase, which ends at x = 1.
    """
    x = prediction.reach / (2 * s**2)
    if x > 1:
        return math.inf
    return prediction.size * (math.sinh(x) / x - 1) if x > 0 else 0.0


def loss_correction(config: Config, prediction: Prediction, s, decay: float):
    """What the late loss of the kernel phase neglects, of log 𝓛: the change of the features, x², and nλ/s² for the rest, ν = 4."""
    return (prediction.reach / (2 * s**2)) ** 2 + config.observed * decay / s**2


def recording_times(config: Config, decay: float, end: float) -> np.ndarray:
    """Half of the times evenly from 1/λ before the end of the kernel phase to 5/λ after it, the others logarithmically; and the limit."""
    stretch = config.weight_decay / decay if decay > 0 else 1.0
    last, limit = stretch * config.end_time, stretch * config.limit_time
    if not end < last:
        return np.append(np.geomspace(0.1, last, config.times - 1), limit)
    even = np.linspace(max(end - 1 / decay, 0.1), min(end + 5 / decay, 0.999 * last), config.times // 2)
    return np.unique(np.concatenate([np.geomspace(0.1, last, config.times - 1 - len(even)), even, [limit]]))


@jax.jit
def integrate(indices, values, factors, weight_decay, times, rtol) -> gj.flows.Solution:
    """The reduced flow from (U, V), observed as (W, ‖θ‖)."""
    flow, state = gj.flows.factorization_flow(indices, values, *factors, weight_decay=weight_decay)
    return gj.flows.solve(flow, state, times, solver=gj.flows.RKC2(), rtol=rtol)


def reduced_flow(data: gj.data.CompletionData, factors, decay: float, times, rtol: float) -> Flow:
    """`integrate` in NumPy; one run after the other, because a new size compiles and a new set of entries does not."""
    solution = integrate(data.indices, data.values, factors, decay, times, rtol)
    (weights, norms), statistics = jax.tree.map(np.asarray, (solution.observed, solution.statistics))
    return Flow(
        times, weights, norms, int(statistics.accepted), int(statistics.gradient_evaluations), int(solution.status)
    )


def identities(alpha: float, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The start U = V = αI."""
    return alpha * np.eye(size), alpha * np.eye(size)


def full_size(config: Config, data: gj.data.CompletionData, prediction: Prediction) -> xr.Dataset:
    """The figure's curves, and the kernel phase's loss against s = α e^(−λt) at several λ."""
    decay, alpha = config.weight_decay, config.alpha
    times = recording_times(config, decay, prediction.kernel_phase_end)
    flow = reduced_flow(data, identities(alpha, config.size), decay, times, config.rtol)
    columns = curves(data, flow, alpha, decay)
    scalars = at_the_ends(config, data, prediction, flow, columns, alpha, decay)
    scalars |= {"initial_loss": np.mean(np.square(data.values)), "predicted_plateau": prediction.plateau}
    if prediction.limit:
        train_loss, test_loss = losses(data, prediction.limit.weights[None])
        scalars |= {"regularised_norm": prediction.limit.parameter_norm, "regularised_train_loss": train_loss[0],
                    "regularised_test_loss": test_loss[0]}  # fmt: skip
    units: dict[str, str] = dict.fromkeys(
        ("time", "switch_time", "kernel_phase_end", "predicted_kernel_phase_end"), "flow time"
    )
    results = experiment.dataset("time", columns, scalars, coordinates={"time": times}, units=units)
    return results.merge(kernel_phase_losses(config, data)) if kernel_phase_start(config) > 0 else results


def kernel_phase_start(config: Config) -> float:
    """log(α/s) from which on the fit is done to ten digits of the loss, at every λ; 0 if √α comes before it."""
    done = 2 * 25 * config.observed / (16 * config.alpha**2) * config.weight_decay * max(config.decay_factors)
    return done if 0 < done < 0.25 * math.log(config.alpha) else 0.0


def kernel_phase_losses(config: Config, data: gj.data.CompletionData) -> xr.Dataset:
    """Training loss from the end of the fit to s = √α beside its theory; the same s at every λ."""
    logs = np.linspace(kernel_phase_start(config), 0.5 * math.log(config.alpha), config.times)
    scale, decays = config.alpha * np.exp(-logs), config.weight_decay * np.asarray(config.decay_factors)
    rows, columns = data.indices.T
    # NTK features at (I, I) of entries (i, j) and (k, l).
    same = lambda a, b: (a[:, None] == b).astype(float)
    gram = 4 * (same(rows, rows) * same(columns, columns) + same(rows, columns) * same(columns, rows))
    loss, predicted = [], []
    for decay in decays:
        # A hundredth of the tolerance: the loss is the square of a residual of W of order nλ/s².
        flow = reduced_flow(data, identities(config.alpha, config.size), decay, logs / decay, 0.01 * config.rtol)
        loss.append(losses(data, flow.weights)[0])
        predicted.append(kernel_phase.late_squared_loss(gram, data.values, scale, decay, 2))
    prediction = predict(data, config.alpha, 0.0)
    correction = [loss_correction(config, prediction, scale, decay) for decay in decays]
    columns = {"kernel_phase_loss": loss, "predicted_kernel_phase_loss": predicted, "loss_correction": correction}
    return experiment.dataset(
        ("loss_weight_decay", "scale"), columns, coordinates={"loss_weight_decay": decays, "scale": scale}
    )


def losses(data: gj.data.CompletionData, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean squared errors of W, (T, d, d), on observed entries and on all others."""
    pairs = (data.indices, data.values), (data.test_indices, data.test_values)
    train, test = (np.mean(np.square(weights[:, *indices.T] - values), axis=1) for indices, values in pairs)
    return train, test


def curves(data: gj.data.CompletionData, flow: Flow, alpha: float, decay: float) -> dict[str, np.ndarray]:
    """What a trajectory shows, and the law ‖θ‖² = 2 tr(s⁴ + W²/4)^(1/2), which holds at all times where U₀ = V₀ = αI."""
    eigenvalues, s = np.linalg.eigvalsh(flow.weights), alpha * np.exp(-decay * flow.times)
    train_loss, test_loss = losses(data, flow.weights)
    return {
        "train_loss": train_loss,
        "test_loss": test_loss,
        "parameter_norm": flow.norms,
        "norm_law": np.sqrt(2 * np.sum(np.hypot(s[:, None] ** 2, eigenvalues / 2), axis=1)),
        "spectral_norm": np.max(np.abs(eigenvalues), axis=1),
    }


def at_the_ends(
    config: Config, data, prediction: Prediction, flow: Flow, columns, alpha: float, decay: float
) -> dict[str, Any]:
    """The plateau at the last recorded time with s ≥ √α, the times of the switch, and the last point against the limit."""
    scale, unseen = alpha * np.exp(-decay * flow.times), len(data.test_values)
    early = max(int(np.sum(scale >= math.sqrt(alpha))) - 1, 0)
    s = float(scale[early])
    steps, size = config.rtol * flow.steps, float(np.linalg.norm(prediction.filled))
    # The same times the norm of W, for what the solver adds; and the entries whose mirror is observed, off by the residual.
    off = off_support(prediction, s) + steps * size
    residual = (0.5 * decay * config.observed / s**2) ** 2 * size**2
    scalars = {
        "reach": prediction.reach,
        "plateau": columns["test_loss"][early],
        "plateau_prediction": prediction.plateau,
        "plateau_tolerance": (2 * prediction.missing * off + off**2 + residual) / unseen,
        "early_norm_excess": columns["parameter_norm"][early] / (math.sqrt(2 * len(prediction.filled)) * s) - 1,
        "norm_excess_bound": (size + off) ** 2 / (16 * len(prediction.filled) * s**4),
        "step_tolerance": steps,
        "gradient_evaluations": flow.evaluations,
        "status": flow.status,
    }
    if not prediction.limit:
        return scalars
    limit, figure = prediction.limit, flow.times < flow.times[-1]
    loss = jnp.asarray(columns["test_loss"][figure])
    # Without logarithms of what may have decayed to 0: ‖W‖ = 2 s² sinh 1.
    ratio = columns["spectral_norm"] - 2 * math.sinh(1) * scale**2
    return scalars | {
        "limit_distance": np.linalg.norm(flow.weights[-1] - limit.weights) / size,
        "last_distance": np.linalg.norm(flow.weights[-2] - limit.weights) / size,
        "limit_norm_error": abs(flow.norms[-1] - limit.parameter_norm)
        / math.sqrt(np.linalg.norm(prediction.filled, "nuc")),
        "limit_objective": columns["train_loss"][-1] + decay / 2 * flow.norms[-1] ** 2,
        "regularised_objective": limit.objective,
        "limit_gap": limit.duality_gap,
        "limit_size": size,
        "limit_spread": size * np.linalg.norm(limit.weights - data.target),
        "limit_is_zero": float(limit.nuclear_norm == 0),
        "kernel_phase_end": float(gj.analysis.crossing_time(flow.times, jnp.asarray(ratio), 0.0)),
        "predicted_kernel_phase_end": prediction.kernel_phase_end,
        "switch_time": float(gj.analysis.find_transition(flow.times[figure], loss, prediction.plateau, loss[-1]).time),
    }


def sets_of_entries(config: Config, sets: list[gj.data.CompletionData]) -> xr.Dataset:
    """Both ends of the flow and the switch between them, for every set of entries and every α; nothing else changes."""
    rows, decay = [], config.weight_decay
    predictions = [predict(data, config.alpha, decay) for data in sets]
    for alpha in experiment.progress(config.alphas, "scales"):
        shift = math.log(alpha / config.alpha) / decay if decay > 0 else 0.0
        shifted = [p._replace(kernel_phase_end=p.kernel_phase_end + shift) for p in predictions]
        times = recording_times(config, decay, float(np.mean([p.kernel_phase_end for p in shifted])))
        ends = []
        for data, prediction in zip(sets, shifted, strict=True):
            flow = reduced_flow(data, identities(alpha, config.small_size), decay, times, config.rtol)
            ends.append(at_the_ends(config, data, prediction, flow, curves(data, flow, alpha, decay), alpha, decay))
        rows.append({f"set_{name}": [float(end[name]) for end in ends] for name in ends[0]})
    columns = {name: np.asarray([row[name] for row in rows]).T for name in rows[0]}
    coordinates = {"seed": np.arange(len(sets)), "alpha": np.asarray(config.alphas)}
    return experiment.dataset(("seed", "alpha"), columns, coordinates=coordinates)


def recovery(config: Config) -> xr.Dataset:
    """Random targets of low rank from the perturbed start: the error of the end point at several λ, and that of the limit λ → 0."""
    size, decays, rows = config.recovery_size, config.recovery_weight_decays, []
    model, norm = gj.models.matrix_factorization(size), np.linalg.norm
    for key in experiment.progress(jax.random.split(jax.random.key(config.seed + 2), config.recovery_seeds), "targets"):
        target_key, entries_key, start_key = jax.random.split(key, 3)
        data = draw(entries_key, gj.data.low_rank(target_key, size, config.recovery_rank), config.recovery_observed)
        start, completion = (
            tuple(model.init(start_key, config.alpha, config.recovery_noise)),
            nuclear_norm.completion(data.indices, data.values, size),
        )
        row = {
            "completion_error": norm(completion.weights - data.target) / norm(data.target),
            "completion_gap": completion.duality_gap,
            "least_eigenvalue": np.linalg.eigvalsh(data.target)[-config.recovery_rank],
        }
        runs = []
        for decay in decays:
            limit = nuclear_norm.regularised(data.indices, data.values, size, decay)
            flow = reduced_flow(
                data, start, decay, recording_times(config, decay, math.log(config.alpha) / decay), config.rtol
            )
            error, distance = (
                norm(flow.weights[-1] - other) / norm(data.target) for other in (data.target, limit.weights)
            )
            runs.append({"error": error, "distance": distance, "gap": limit.duality_gap, "status": flow.status})
        columns = {f"recovery_{name}": [run[name] for run in runs] for name in runs[0]}
        rows.append(
            experiment.dataset(
                "recovery_weight_decay", columns, row, coordinates={"recovery_weight_decay": np.asarray(decays)}
            )
        )
    return experiment.stack(rows, "target")


def mean_square(indices, values, params):
    """The loss of U and V on observed entries, through all of W: a product costs less than a gather of rows."""
    return jnp.mean(jnp.square(gj.models.product_matrix(params)[indices[:, 0], indices[:, 1]] - values))


def all_parameters(config: Config, data: gj.data.CompletionData) -> xr.Dataset:
    """The flow of U and V themselves, against its conservation law and the reduction; and what each solver costs to the figure's end."""
    decay, alpha, size = config.weight_decay, config.alpha, config.small_size
    model = gj.models.matrix_factorization(size)
    field = gj.flows.gradient_flow(Partial(mean_square, data.indices, data.values), decay)
    start, reduced_start = model.init(jax.random.key(0), alpha), identities(alpha, size)
    fine, times = 1e-6, np.linspace(0.02, 4, config.times) / (decay or 1e-3)

    def full(times, solver, rtol):
        solution = gj.flows.solve(field, start, times, solver=solver, rtol=rtol, max_steps=10**7)
        return solution, np.asarray(jax.vmap(gj.models.product_matrix)(solution.observed))

    solution, weights = full(times, gj.flows.RKC2(), fine)
    reduced = reduced_flow(data, reduced_start, decay, times, fine)
    (u, v), s = (np.asarray(x) for x in solution.observed), alpha * np.exp(-decay * times)
    norm = lambda matrices: np.linalg.norm(matrices, axis=(1, 2))
    square = norm(u) ** 2 + norm(v) ** 2
    law = np.swapaxes(u, 1, 2) @ v - s[:, None, None] ** 2 * np.eye(size)
    scalars = {
        "law_error": np.max(norm(law) / square),
        "law_tolerance": fine * int(solution.statistics.accepted),
        "reduction_error": np.max(norm(weights - reduced.weights) / square),
        "reduction_tolerance": fine * (2 * int(solution.statistics.accepted) + reduced.steps),
    }

    times, coarse = np.geomspace(1.0, config.end_time, config.times), 1e-3
    reference, quick = (reduced_flow(data, reduced_start, decay, times, rtol) for rtol in (fine, coarse))
    error = lambda weights: np.max(norm(weights - reference.weights)) / np.max(norm(reference.weights))
    scalars |= {"cost_reduced": quick.evaluations, "cost_error_reduced": error(quick.weights)}
    status = int(solution.status) + reduced.status + reference.status + quick.status
    for name, solver in (("rkc2", gj.flows.RKC2()), ("tsit5", diffrax.Tsit5())):
        # An error rtol·‖θ‖ of the parameters is one of W up to 2‖θ‖²/‖W‖ times as large, relative.
        solution, weights = full(times, solver, 0.01 * coarse)
        scalars |= {f"cost_{name}": int(solution.statistics.gradient_evaluations), f"cost_error_{name}": error(weights)}
        status += int(solution.status)
    return experiment.dataset((), {}, scalars | {"check_status": status})


EXPERIMENT = experiment.Experiment("matrix_completion_grok", __doc__ or "", PRESETS, run, told.claims, told.plot)

if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    raise SystemExit(experiment.main(EXPERIMENT))
