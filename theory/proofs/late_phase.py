# %% [markdown]
# # The late phase: KKT points of the minimum-norm problems
#
# Lyu et al., arXiv 2311.18817, theorems 3.5 and 3.10, lemmas C.10 to C.12 and D.8. The kernel phase ends near
# $\lambda t=\log\alpha$. In the window $[\frac1\lambda\log\alpha,\frac{1+c}\lambda\log\alpha]$ there are times at which $\theta$ is nearly a KKT
# point of
#
# $$\text{(R1)}\ \min\tfrac12\|\theta\|^2\ \text{s.t.}\ y_if_i(\theta)\ge1\qquad\text{or}\qquad
#   \text{(R2)}\ \min\tfrac12\|\theta\|^2\ \text{s.t.}\ f_i(\theta)=y_i ,$$
#
# and the more nearly the larger $\alpha$ is, with $\lambda=\alpha^{-p}$. Here $p=c=1$, and the model is a diagonal net of depth 2,
# $f=\langle u^2-v^2,x\rangle$, whose limit at every $\lambda$ is known: the lasso-like problem of `theory.regularised`.

# %%
# %matplotlib inline
import grokjax.flows

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import logsumexp

from grokjax import losses, models
from grokjax.analysis import interpolation_kkt, margin_kkt
from grokjax.experiment.figures import figure_style, new_figure
from theory import kernel, max_margin, min_norm, regularised

jax.config.update("jax_enable_x64", True)

L, N, D = 2, 6, 16
model = models.diagonal_linear(L)
# Coordinates outside the support die out at a rate that depends on the data; with these it is a good part of λ.
generator = np.random.default_rng(4)
x = generator.normal(size=(N, D))
y = np.sign(x[:, 0] - x[:, 1] + x[:, 2])
inputs, labels = jnp.asarray(x), jnp.asarray(y)
BEFORE, WINDOW = 80, 200
INTEGRATION = 1e-5  # what a relative error of 1e-8 per step leaves


def readings(alpha):
    """λt: from the end of the kernel phase to log α, then the window."""
    log_alpha = np.log(alpha)
    return np.concatenate(
        [log_alpha - np.linspace(min(3, log_alpha / 2), 0, BEFORE + 1)[:-1], log_alpha * np.linspace(1, 2, WINDOW)]
    )


def integrate(points, values, alpha, decay, loss, observe):
    flow, state = grokjax.flows.diagonal_flow(
        points, values, initial_norm=alpha * np.sqrt(2 * D), weight_decay=decay, loss=loss
    )
    clock, solver = grokjax.flows.scaled_clock(decay), grokjax.flows.RKC2()
    run = grokjax.flows.solve(
        flow, state, readings(alpha), clock=clock, solver=solver, rtol=1e-8, observe=observe, max_steps=10**6
    )
    assert int(run.status) == grokjax.flows.Status.SUCCESS
    return jax.tree.map(np.asarray, run.observed)


# %% [markdown]
# ## Classification: the bookkeeping of the objective
#
# $\mathcal L_\lambda=\mathcal L+\frac\lambda2\|\theta\|^2$ is what the flow descends, $\dot{\mathcal L}_\lambda=-\|\nabla\mathcal L_\lambda\|^2$. Four flows with
# $\lambda=1/\alpha$ are recorded, with the KKT residuals of (R1): the stationarity
# $\epsilon=\|\theta-\sum_i\mu_iy_i\nabla f_i\|/\|\theta\|$ and the complementarity $\sum\mu_i(q_i-q_{\min})$, of $\theta$ scaled to
# $q_{\min}=1$, where $q_i=y_if_i$ and $\mu_i\propto r_i=e^{-q_i}$.

# %%
risk = losses.empirical_risk(model.apply, losses.exponential, inputs, labels)


def classified(t, net):
    params = models.DiagonalParams(net.u, net.v)
    return (
        net.weights,
        params,
        jax.grad(risk)(params),
        margin_kkt(model.apply, L, params, inputs, labels, losses.exponential),
    )


alphas = np.array([1e2, 1e4, 1e8, 1e16])
runs = [integrate(inputs, labels, alpha, 1 / alpha, losses.exponential, classified) for alpha in alphas]

start = models.DiagonalParams(jnp.ones(D), jnp.ones(D))
gamma = kernel.max_margin(model.apply, start, inputs, labels).margin
radius = gamma / (4 * np.max(np.abs(x)))  # within it no feature moves by more than γ/2
window = slice(BEFORE, None)


class Course:
    """What the lemmas speak of, along one flow."""

    def __init__(self, alpha, observed):
        weights, params, gradient, self.kkt = observed
        self.decay, self.weights, self.tau = 1 / alpha, weights, readings(alpha)
        theta = np.concatenate(params, axis=1)
        q = y * (weights @ x.T)
        self.loss, self.least = np.exp(np.asarray(logsumexp(-q, axis=1))) / N, np.min(q, axis=1)
        self.norm = np.linalg.norm(theta, axis=1)
        self.objective = self.loss + self.decay / 2 * self.norm**2
        self.slope = np.linalg.norm(np.concatenate(gradient, axis=1) + self.decay * theta, axis=1)
        self.scale = alpha * np.exp(-self.tau)
        self.delta = np.linalg.norm(theta / self.scale[:, None] - 1, axis=1)


courses = [Course(alpha, run) for alpha, run in zip(alphas, runs, strict=True)]
for course in courses:
    assert np.all(np.diff(course.objective) <= INTEGRATION * course.objective[1:])

# %% [markdown]
# ## C.10: at the end of the kernel phase $\mathcal L_\lambda=O(\lambda(\log\frac1\lambda)^{2/L})$
#
# With $s=\alpha e^{-\lambda t}$, $\theta=s(\bar\theta+\delta)$, lemma C.5 is $\gamma\,s^L\|\delta\|\le2\log\frac1{\mathcal L}$ (see
# `kernel_phase_classification.py`). At $T_{\max}$, where $\|\delta\|=\epsilon_{\max}$, this bounds $s$, hence the norm:
#
# $$\tfrac\lambda2\|\theta\|^2\le\tfrac\lambda2\,(\|\bar\theta\|+\|\delta\|)^2\Big(\frac{2\log\frac1{\mathcal L}}{\gamma\|\delta\|}\Big)^{2/L},$$
#
# with $\log\frac1{\mathcal L}=O(\log\frac1\lambda)$; and $\mathcal L$ itself is $O(\lambda)$ there.

# %%
sizes = []
for course in courses:
    end = int(np.argmax(course.delta > radius)) - 1
    assert 0 < end < BEFORE, "the phase ends before the window"
    at_end = 2 * np.log(1 / course.loss[end]) / (gamma * course.delta[end])
    bound = course.decay / 2 * (np.sqrt(2 * D) + course.delta[end]) ** 2 * at_end ** (2 / L)
    assert course.decay / 2 * course.norm[end] ** 2 <= bound
    assert course.loss[end] <= course.decay
    sizes.append(course.objective[end] / (course.decay * np.log(1 / course.decay) ** (2 / L)))
print("𝓛_λ/(λ (log 1/λ)^(2/L)) at the end of the kernel phase:", np.round(sizes, 2))
assert max(sizes) < 2 * min(sizes)

# %% [markdown]
# ## C.11: from then on $\|\theta\|=\Theta((\log\frac1\lambda)^{1/L})$
#
# $\mathcal L_\lambda$ falls. Above, $\frac\lambda2\|\theta\|^2\le\mathcal L_\lambda$. Below, no loss $r_i$ exceeds $n\mathcal L\le n\mathcal L_\lambda$, and
# $q_i\le B\|\theta\|^L$ with $B=\max|f_i|$ on the unit sphere, here $\max|x|$:
#
# $$\tfrac1B\log\tfrac1{n\mathcal L_\lambda}\le\|\theta\|^L,\qquad \|\theta\|^2\le\tfrac2\lambda\mathcal L_\lambda .$$

# %%
lengths = []
for course in courses:
    lower = (np.maximum(-np.log(N * course.objective[window]), 0) / np.max(np.abs(x))) ** (1 / L)
    assert np.all(lower <= course.norm[window])
    assert np.all(course.norm[window] <= np.sqrt(2 * course.objective[window] / course.decay))
    lengths.append(course.norm[window] / np.log(1 / course.decay) ** (1 / L))
print("‖θ‖/(log 1/λ)^(1/L) at the end of the window:", np.round([length[-1] for length in lengths], 2))
assert np.max(lengths) < 3 * np.min(lengths)

# %% [markdown]
# ## C.12: a point of the window with a small gradient
#
# $\int\|\nabla\mathcal L_\lambda\|^2dt\le\mathcal L_\lambda$ at the start of the window, whose length is $\frac c\lambda\log\alpha$. The least integrand
# is at most the mean, and with C.10
#
# $$\min\|\nabla\mathcal L_\lambda\|^2\le\frac{\mathcal L_\lambda}{(c/\lambda)\log\alpha}=O\big(\lambda^2(\log\tfrac1\lambda)^{-(1-2/L)}\big).$$

# %%
for alpha, course in zip(alphas, courses, strict=True):
    mean = course.objective[BEFORE] / (np.log(alpha) / course.decay)
    assert np.min(course.slope[window]) ** 2 <= mean
    assert np.min(course.slope[window]) ** 2 <= np.trapezoid(course.slope[window] ** 2, course.tau[window]) / np.log(
        alpha
    )
    fall = course.objective[BEFORE] - course.objective[-1]
    paid = np.trapezoid(course.slope[window] ** 2, course.tau[window]) / course.decay
    assert abs(paid / fall - 1) < 0.05

# %% [markdown]
# ## Theorem 3.5: the KKT residuals
#
# $-\nabla\mathcal L=\sum\frac{r_i}ny_i\nabla f_i$: the multipliers $\frac{r_i}{n\lambda}$ leave the residual $\|\nabla\mathcal L_\lambda\|/\lambda$, so
# that $\epsilon\le\|\nabla\mathcal L_\lambda\|/(\lambda\|\theta\|)$, which C.12 and C.11 make $O((\log\frac1\lambda)^{-1/2})$ at the best time. And the slack averaged
# with the losses is at most $\log n$ (C.3), against $q_{\min}\ge\log\frac1{n\mathcal L}$, so that complementarity is $O(1/\log\frac1\lambda)$:
#
# $$\sum\mu_i(q_i-q_{\min})/\|\theta\|^2\le\frac{\log n}{L\,q_{\min}} .$$

# %%
best = []
for course in courses:
    fitted = course.least > 0
    stationarity, complementarity = course.kkt.stationarity, course.kkt.complementarity
    assert np.all(fitted[window])
    assert np.all(
        stationarity[window] <= course.slope[window] / (course.decay * course.norm[window]) * (1 + 1e-6) + 1e-9
    )
    assert np.all(complementarity[window] <= np.log(N) / (L * course.least[window]))
    at = BEFORE + np.argmin(stationarity[window])
    best.append((stationarity[at], complementarity[at]))
for alpha, (stationarity, complementarity) in zip(alphas, best, strict=True):
    print(f"α = {alpha:.0e}: ε = {stationarity:.1e}, complementarity = {complementarity:.1e}")
assert np.all(np.diff(best, axis=0) < 0)

# %% [markdown]
# Which KKT point? At every $\lambda$ the flow ends in $\min_w\frac1n\sum\ell+\frac\lambda2\|w\|_1$, as $\|u\|^2+\|v\|^2\ge\|u^2-v^2\|_1$. The end of
# the window is there, and as $\lambda\to0$ this is the direction of largest $L_1$ margin.

# %%
widest = max_margin.l1(x, y)
gaps, cosines = [], []
for course in courses:
    limit = regularised.l1(x, y, course.decay, "exponential")
    assert limit.duality_gap < 1e-8
    gaps.append(np.linalg.norm(course.weights[-1] - limit.weights) / np.linalg.norm(limit.weights))
    cosines.append(limit.weights @ widest.direction / np.linalg.norm(limit.weights) / np.linalg.norm(widest.direction))
print("distance of the end of the window from the limit at λ:", [f"{gap:.0e}" for gap in gaps])
print("1 − cosine of that limit with the L1 max-margin direction:", [f"{1 - cosine:.0e}" for cosine in cosines])
assert gaps[-1] < 1e-2
assert np.all(np.diff(gaps) < 0)
assert np.all(np.diff(cosines) > 0)

# %%
with figure_style():
    figure, axes = new_figure(columns=2)
    for alpha, course in zip(alphas, courses, strict=True):
        shifted = course.tau - np.log(alpha)
        axes[0, 0].semilogy(shifted, course.kkt.stationarity, label=f"$\\alpha = 10^{{{np.log10(alpha):.0f}}}$")
        axes[0, 1].plot(shifted, course.norm / np.log(1 / course.decay) ** (1 / L))
    axes[0, 0].set(xlabel="$\\lambda t-\\log\\alpha$", ylabel="stationarity $\\epsilon$")
    axes[0, 1].set(xlabel="$\\lambda t-\\log\\alpha$", ylabel="$\\|\\theta\\|/(\\log 1/\\lambda)^{1/L}$", ylim=(0, 3))
    axes[0, 0].legend()
figure

# %% [markdown]
# ## Regression: D.8 and theorem 3.10
#
# There is no $\log$ now. At $\lambda t=\log\alpha$, $s=1$ and $\|\theta\|=O(1)$, so $\mathcal L_\lambda=O(\lambda)$ with $\mathcal L=O(\lambda^2)$ by D.1; $\mathcal L_\lambda$ falls, so
# $\|\theta\|^2\le\frac2\lambda\mathcal L_\lambda=O(1)$ on the whole window. The residual of (R2) is $\|\nabla\mathcal L_\lambda\|/(\lambda\|\theta\|)$ as before, and the
# constraints are met to $\sqrt{\mathcal L}=O(\sqrt\lambda)$ at least.

# %%
generator = np.random.default_rng(11)
points = jnp.asarray(generator.normal(size=(4, D)))
targets = jnp.asarray(generator.normal(size=4))


def interpolated(t, net):
    params = models.DiagonalParams(net.u, net.v)
    return net.weights, net.norm, interpolation_kkt(model.apply, params, points, targets)


alphas = np.array([10.0, 30.0, 100.0, 300.0])
table = []
for alpha in alphas:
    decay = 1 / alpha
    weights, norm, kkt = integrate(points, targets, alpha, decay, losses.squared, interpolated)
    loss = kkt.rms_error**2
    objective = loss + decay / 2 * norm**2
    assert np.all(norm[window] <= np.sqrt(2 * objective[BEFORE] / decay) * (1 + INTEGRATION))
    at = BEFORE + np.argmin(kkt.stationarity[window])
    limit = regularised.l1(points, targets, decay, "squared")
    gap = np.linalg.norm(weights[-1] - limit.weights) / np.linalg.norm(limit.weights)
    table.append((loss[BEFORE] / decay**2, objective[BEFORE] / decay, kkt.stationarity[at], kkt.largest_error[at], gap))
    print(f"α = {alpha:3.0f}: 𝓛/λ² = {table[-1][0]:.2e}, 𝓛_λ/λ = {table[-1][1]:.2f} at λt = log α;", end=" ")
    print(f"best ε = {table[-1][2]:.1e} with errors {table[-1][3]:.1e}; distance from the limit {gap:.1e}")
orders, objectives, stationarities, errors, gaps = np.array(table).T
assert max(orders) < 2 * min(orders)
assert max(objectives) < 2 * min(objectives)
assert np.all(np.diff(stationarities) < 0)
assert np.all(np.diff(gaps) < 0)
np.testing.assert_allclose(np.diff(np.log(errors)) / np.diff(np.log(alphas)), -1, atol=0.2)
sparsest, limit = min_norm.l1(points, targets), regularised.l1(points, targets, 1 / alphas[-1], "squared")
assert abs(limit.parameter_norm**2 / sparsest.norm - 1) < 0.05
