"""Claims of `dichotomy_asymptotics`."""

from __future__ import annotations

import math

import numpy as np
import xarray as xr
from _asymptotic_flows import Config

from grokjax import experiment

PAPER = "Lyu et al. 2023 (2311.18817)"


def claims(config: Config, results: xr.Dataset) -> list[experiment.Claim]:
    """Each prediction beside its measurement: slopes with the standard error over data sets, of inequalities the worst."""
    r = results
    agrees, at_most, at_least = experiment.agrees, experiment.at_most, experiment.at_least
    log_scale, depths, top = r.log_scale.values, r.depth.values, r.isel(log_scale=-1, coupling=-1)
    span = float(np.ptp(log_scale))
    fixed, coupled = r.sel(coupling=0.0), r.sel(coupling=1.0)
    # Terms of order 1/q where the margins q at the end of the kernel phase are smallest.
    end_order = 1 / float(r.end_margin.min())

    def worst(numbers, predicted) -> tuple[float, float]:
        """Of several (slope, standard error) the slope farthest from its prediction, less that prediction, and its error."""
        return max(
            ((value - target, error) for (value, error), target in zip(numbers, predicted, strict=True)),
            key=lambda pair: abs(pair[0]),
        )

    def normalised(margin):
        return margin + np.log(margin)

    growth = [slope(log_scale, normalised(coupled.early_margin.sel(depth=depth))) for depth in depths]
    growth_fixed = worst(
        [slope(log_scale, normalised(fixed.early_margin.sel(depth=depth))) for depth in depths],
        2 * (depths - 1) * config.c,
    )
    proof = worst(growth, 2 * (depths - 1) * config.c + 1)
    printed = worst(growth, np.full(len(depths), config.c + 1))
    lag = 2 * (r.depth - 1) / (r.depth * r.early_margin) + config.rtol * r.early_margin
    late = coupled.isel(depth=0, log_scale=slice(-2, None))
    angle = slope(np.log(late.early_margin.values), np.log(late.early_angle.values))
    angle_of_theory = slope(np.log(late.balance_margin.values), np.log(late.balance_angle.values))
    angle_ratio = abs(r.early_angle / r.balance_angle - 1) * r.early_margin
    switch = worst([slope(log_scale, fixed.switch.sel(depth=depth)) for depth in depths], np.ones(len(depths)))
    separated = slope(log_scale, r.separated_switch.sel(coupling=0.0))
    logistic = slope(log_scale, r.logistic_switch)
    offset = coupled.kernel_phase_end - coupled.log_scale
    loglog = worst(
        [slope(np.log(coupled.end_margin.sel(depth=x).values), offset.sel(depth=x).values * x) for x in depths],
        -np.ones(len(depths)),
    )
    log_a = np.log(2 * (depths[:, None] - 1) * log_scale - np.log(coupled.decay.values[..., 0]))
    lemma = min(slope(log_a[i], offset.values[i])[0] * depth for i, depth in enumerate(depths))
    log_time = np.log(r.decay_switch / r.other_decay)
    in_decay = slope(np.log(r.other_decay.values), log_time.values)
    of_theory = slope(np.log(r.other_decay.values), np.log((r.decay_predicted_end / r.other_decay).values))
    widths = fixed.width / fixed.width.isel(log_scale=0) - 1
    relative = worst(
        [
            slope(np.log(fixed.switch.sel(depth=x).values), np.log((fixed.width / fixed.switch).sel(depth=x).values))
            for x in depths
        ],
        -np.ones(len(depths)),
    )
    free = slope(np.log(r.free_time.values), np.log((r.free_width / r.free_time).values))
    entropy = (math.log(config.n) + 1) / top.early_margin
    gain = r.accuracy_after.isel(depth=0, log_scale=-1) - r.accuracy_before.isel(depth=0, log_scale=-1)
    loss = r.separated_accuracy_after.isel(log_scale=-1) - r.separated_accuracy_before.isel(log_scale=-1)
    errors = [float(x.isel(coupling=0).std("seed", ddof=1)) / math.sqrt(config.seeds) for x in (gain, loss)]
    escape = slope(-r.tiny_log_scale.values, r.escape.values * (2 * r.largest_correlation.values - config.weight_decay))
    rich = r.first_cosine_to_l1 - r.first_cosine_to_l2
    scales, count = r.cell_log_scale.values, len(config.completion_decades)
    cells, others = r.isel(cell=slice(count)), r.isel(cell=slice(count, None))
    s = np.exp(config.c * scales)
    law = slope(config.c * scales, np.log(cells.early_train_loss.values))
    square = slope(np.log(config.completion_decays), np.log(others.early_train_loss.values))
    completed = slope(scales, cells.completion_switch.values)
    cost = slope(scales[-2:], np.log(cells.completion_evaluations.values[-2:]))
    tiny_decay = math.log(1 / float(top.decay.min()))
    l1_margin = min(
        float(top.l1_margin.isel(depth=0).min()), float(r.separated_l1_margin.isel(coupling=-1, log_scale=-1).min())
    )
    statuses = [r.status, r.separated_status, r.other_status, r.completion_status]
    finite_kkt = f"Tolerance: entropy of the multipliers, log n over L·q, at λ = {float(top.decay.min()):.0e}."

    # fmt: off
    return [
        at_most("runs_complete", "solver", "Number of runs that did not reach their last time.",
                predicted=0, measured=sum(int((x != 0).sum()) for x in statuses), kind="identity"),
        at_most("certificates", "theory.max_margin", "Largest duality gap of the max-L2- and max-L1-margin directions.",
                predicted=1e-8, measured=r.gaps.max(), kind="identity"),
        at_most("loss_upper_bound", f"{PAPER}, lemma C.4", "Largest log 𝓛 less its upper bound, every depth, λ, α and recorded time of the kernel phase.",
                predicted=0, measured=max(r.upper_violation.max(), r.separated_upper_violation.max()), kind="identity"),
        at_most("loss_lower_bound", f"{PAPER}, lemma C.7 (constants of theory.kernel_phase)", "Largest lower bound less log 𝓛, over the same times.",
                predicted=0, measured=max(r.lower_violation.max(), r.separated_lower_violation.max()), kind="identity"),
        at_most("late_loss", f"{PAPER}, appendix C, the order of the late loss", "|𝓛γ²s^(2(L−1))/(λL log(1/𝓛)) − 1| at T_c^− and the largest α, in units of (1 + log n)/q.",
                predicted=1, measured=(abs(top.loss_ratio - 1) / entropy).max(), kind="finding",
                note="Bound: margins of samples on the margin differ by at most the entropy of the multipliers, log n, and the flow lags by 1/q."),
        at_most("balance", "this work, theory.balance", "Smallest margin at T_c^− less that of the balance of growth and decay, in units of the flow's lag, α ≥ 100.",
                predicted=1, measured=(abs(r.early_margin - r.balance_margin) / lag).isel(log_scale=slice(1, None)).max(), kind="finding",
                note="The lag is 2(L−1)/(Lq); the solver's tolerance, rtol·q, is added to it."),
        agrees("normaliser_proof", f"{PAPER}, proof of theorem 3.4", "Slope of q + log q at T_c^− in log α for λ ∝ 1/α less 2(L−1)c + 1: the depth that is farthest off.",
               predicted=0, measured=proof[0], tolerance=1 / span, kind="finding", note="Tolerance: a change by 1 of the constant, over the range of log α."),
        agrees("normaliser_proof_fixed_decay", f"{PAPER}, proof of theorem 3.4", "The same at fixed λ, less 2(L−1)c.",
               predicted=0, measured=growth_fixed[0], tolerance=1 / span, kind="finding", note="Tolerance as before."),
        agrees("normaliser_printed", f"{PAPER}, theorem 3.4 as printed", "Slope of q + log q at T_c^− in log α for λ ∝ 1/α less c + 1: the depth that is farthest off.",
               predicted=0, measured=printed[0], tolerance=1 / span, kind="finding",
               note="The printed Z(α) = (1/γ) log(α^c/λ) lacks the factor 2(L−1) that its proof has: at every depth the margins grow as the proof says, so that "
                    "the slope is off by (2L − 3)c, which is largest for the deepest net."),
        agrees("direction_rate", "this work, from lemma C.9", "Slope of log(1 − cosine to the max-L2-margin direction) in log q at T_c^−, L = 2, the two largest α.",
               predicted=-2, measured=angle[0], tolerance=3 * angle[1] + abs(angle_of_theory[0] + 2), kind="finding",
               note="On the margin q_i = q̄ − log(n a_i), a the multipliers: a spread that stays while q̄ grows like log α. Tolerance: three standard errors, "
                    f"and by how much theory.balance is off −2 at these scales, {abs(angle_of_theory[0] + 2):.2f}."),
        at_most("direction", "this work, theory.balance", "|1 − cosine over that of the balance − 1| at T_c^−, times q, all α ≥ 100.",
                predicted=3, measured=angle_ratio.isel(log_scale=slice(1, None)).max(), kind="finding",
                note="The lag changes every multiplier by 2(L−1)/(Lq) at most, relative, which is 1.5/q for L = 4, and 1 − cosine, quadratic in them, by twice that."),
        agrees("switch_in_log_alpha", f"{PAPER}, theorems 3.4 and 3.5", "Slope of λ·(switch time) in log α at fixed λ less 1: the depth that is farthest off.",
               predicted=0, measured=switch[0], tolerance=3 * switch[1] + config.rtol, kind="finding", note="Tolerance: three standard errors and the solver's."),
        agrees("switch_of_separated_data", f"{PAPER}, theorems 3.4 and 3.5", "The slope on L2-separated data, L = 2.",
               predicted=1, measured=separated[0], tolerance=3 * separated[1] + config.rtol, kind="finding", note="Tolerance as before."),
        agrees("switch_under_logistic_loss", f"{PAPER}, theorems 3.4 and 3.5", "The slope under the logistic loss, L = 2.",
               predicted=1, measured=logistic[0], tolerance=3 * logistic[1] + config.rtol, kind="finding", note="Tolerance as before."),
        agrees("loglog_term", "lemma C.5 made quantitative", "L·(slope of the kernel phase's end, less log α, in log q, for λ ∝ 1/α) less −1: the depth that is farthest off.",
               predicted=0, measured=loglog[0], tolerance=3 * loglog[1] + end_order, kind="finding", note="Tolerance: three standard errors, and terms of order 1/q, q the least margin there."),
        at_least("kernel_phase_lasts", f"{PAPER}, lemma C.5", "L·(slope of the kernel phase's end, less log α, in log log A): the least of all depths.",
                 predicted=-1, measured=lemma, tolerance=end_order, kind="finding", note="The lemma bounds the end from below. Tolerance: terms of order 1/q."),
        agrees("switch_in_decay", f"{PAPER}, theorems 3.4 and 3.5", "Slope of log(switch time) in log λ at one α, less that of the predicted end of the kernel phase.",
               predicted=of_theory[0], measured=in_decay[0], tolerance=3 * in_decay[1] + end_order / math.log(10) / config.decades[len(config.decades) // 2], kind="finding",
               note="−1 but for the loglog term, which the prediction has. Tolerance: three standard errors, and terms of order 1/q against log α."),
        at_most("width_is_constant", f"{PAPER}, theorem 3.5", "Largest relative change of the 10–90 % width in λt over all α at fixed λ, every depth.",
                predicted=0, measured=abs(widths).max(), tolerance=1e-2, kind="finding", note="Tolerance: rtol on the cosine, a hundred times that where it is flat at 10 and 90 %."),
        agrees("relative_width", f"{PAPER}, theorem 3.5", "Slope of log(width/switch time) in log(λ·switch time) at fixed λ less −1: the depth that is farthest off.",
               predicted=0, measured=relative[0], tolerance=3 * relative[1] + 1e-2, kind="finding", note="Tolerance: three standard errors, and that of the width."),
        agrees("no_decay_no_sharp_switch", f"{PAPER}, figure 4 and section 4.3", "Slope of log(width/position) in log(position) of the switch in log t without weight decay.",
               predicted=0, measured=free[0], tolerance=0.5, kind="finding", note="Tolerance: half of the way to −1, the value with weight decay. Time depends on α through α^(−2) log t alone."),
        at_least("grokking", f"{PAPER}, section 3.2", "Test accuracy long after the switch less that at T_c^−, sparse data, L = 2, largest α, less three standard errors.",
                 predicted=0, measured=float(gain.isel(coupling=0).mean()) - 3 * errors[0], kind="finding"),
        at_most("misgrokking", f"{PAPER}, section 3.2", "The same on L2-separated data, plus three standard errors.",
                predicted=0, measured=float(loss.isel(coupling=0).mean()) + 3 * errors[1], kind="finding"),
        at_least("max_l1_margin", f"{PAPER}, corollary 3.7", "L1 margin long after the switch over the largest one, L = 2, largest α and λ ∝ 1/α, both tasks: the least.",
                 predicted=1, measured=l1_margin, tolerance=1 / tiny_decay, kind="finding",
                 note="Tolerance: 1/log(1/λ), the rate at which finite λ approaches the limit, with the constant 1. The constant is the entropy of the multipliers, "
                      "up to log n: see the next claim, which is sharp enough to be proved."),
        at_least("l1_margin_at_finite_decay", f"{PAPER}, corollary 3.7, at finite λ", "The same, against what the entropy of the multipliers costs at finite λ.",
                 predicted=1 - math.log(config.n) / tiny_decay, measured=l1_margin, kind="finding",
                 note="At the l1-regularised solution λ/2·‖w‖₁ = Σ r_i q_i/n with r_i = e^(−q_i), so that the relative margin is at least q over the mean of q under r, "
                      "and the two differ by at most log n."),
        at_most("kkt_stationarity", f"{PAPER}, theorem 3.5", "KKT residual √(1 − cos²(θ, −∇𝓛)) long after the switch, every depth, λ and α.",
                predicted=0, measured=r.stationarity.max(), tolerance=1e-2, kind="finding", note="Coordinates that the decay all but balances die out slowly, where L = 2."),
        at_most("kkt_complementarity", f"{PAPER}, theorem 3.5", "Complementarity of (R1) at the largest α and smallest λ, in units of log n/(Lq).",
                predicted=1, measured=(top.complementarity * top.depth * tiny_decay / math.log(config.n)).max(), kind="finding", note=finite_kkt),
        agrees("escape_from_tiny_scales", "this work", "Slope in log(1/α) of the time at which 𝓛 has fallen by a tenth, times its rate 2‖Xᵀy/n‖_∞ − λ.",
               predicted=1, measured=escape[0], tolerance=3 * escape[1] + 1 / float(np.ptp(r.tiny_log_scale.values)), kind="finding",
               note="Outputs are 0 until then, so that log(u/v) = 4Gt. Tolerance: three standard errors, and a change by 1 of the constant."),
        at_least("tiny_scales_are_rich_at_once", "this work", "Least cosine to the max-L1-margin direction less that to the max-L2-margin one at the first fit, α ≤ 1e-20.",
                 predicted=0, measured=rich.min(), kind="finding"),
        agrees("completion_plateau", f"{PAPER}, corollary 3.11", "Test loss at T_c^− and the largest α over that of zeros off Ω ∪ Ωᵀ: farthest from 1.",
               predicted=1, measured=1 + float(abs(cells.early_test_loss.isel(cell=-1) - 1).max()), tolerance=1 / s[-1] ** 2, kind="finding", note="Tolerance: the features move by O(s^(−2))."),
        at_most("completion_bound", f"{PAPER}, lemma D.1 (constants of theory.kernel_phase)", "Largest log 𝓛 less its upper bound at T_c^−.",
                predicted=0, measured=r.bound_violation.max(), kind="identity"),
        agrees("completion_power_of_scale", f"{PAPER}, lemma D.1", "Slope of log(train loss) at T_c^− in log s.",
               predicted=-4, measured=law[0], tolerance=3 * law[1] + 4 / s[0] ** 2, kind="finding", note="Tolerance: three standard errors, and the features' drift O(s^(−2)) at the least s."),
        agrees("completion_power_of_decay", f"{PAPER}, lemma D.1", "Slope of log(train loss) at T_c^− in log λ.",
               predicted=2, measured=square[0], tolerance=3 * square[1] + config.observed * max(config.completion_decays) / (4 * s[1] ** 2), kind="finding", note="Tolerance: three standard errors, and nλ/(νs²)."),
        agrees("completion_switch", f"{PAPER}, theorems 3.9 and 3.10", "Slope of λ·(switch time of the test loss) in log α.",
               predicted=1, measured=completed[0], tolerance=3 * completed[1] + math.exp(-2 * scales[0]), kind="finding", note="Tolerance: three standard errors, and α^(−2) at the least α."),
        at_most("completion_cost", "solver", "Slope of log(gradient evaluations) of matrix completion in log α, the two largest α.",
                predicted=1.1, measured=cost[0], kind="finding", note="RKC2: the square root of a stiffness ∝ α²."),
    ]
    # fmt: on


def slope(x, y) -> tuple[float, float]:
    """Least-squares slope of y (points, data sets) in x, (points,) or of the shape of y: mean over data sets and standard error."""
    y = np.asarray(y)
    x = np.asarray(x) if np.ndim(x) == 2 else np.asarray(x)[:, None] + np.zeros_like(y)
    x = x - x.mean(axis=0)
    slopes = np.sum(x * y, axis=0) / np.sum(x**2, axis=0)
    return float(slopes.mean()), float(slopes.std(ddof=1) / math.sqrt(len(slopes)))
