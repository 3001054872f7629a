# %% [markdown]
# # The kernel phase of regression, inequality by inequality
#
# Lyu et al., arXiv 2311.18817, theorem 3.9 and lemmas D.1 to D.5. From a large start the flow
#
# $$\dot\theta = -\nabla\mathcal L(\theta) - \lambda\theta,\qquad \theta(0)=\alpha\bar\theta,\qquad
#   \mathcal L = \tfrac1n\|f-y\|^2,\quad f_i=f_i(\theta)$$
#
# of an $L$-homogeneous model with $f_i(\bar\theta)=0$ first finds the least-norm interpolant
# $h^*=J^\top K^{-1}y$ in the features at $\bar\theta$: $J$ has the rows $\nabla f_i(\bar\theta)$, $K=JJ^\top$ has the least
# eigenvalue $\nu>0$. Each inequality of the proof is derived with constants in the place of $O(\cdot)$, and asserted at
# every recorded time of one flow: a diagonal net of depth 2, $f=\langle u^2-v^2,x\rangle$, $\bar\theta=(1,1)$.

# %%
# %matplotlib inline
import grokjax.flows

import jax
import jax.numpy as jnp
import numpy as np

from grokjax import losses, models
from grokjax.experiment.figures import figure_style, new_figure
from theory import kernel, kernel_phase

jax.config.update("jax_enable_x64", True)

L, N, D = 2, 4, 16
ALPHA, DECAY = 30.0, 1e-2
model = models.diagonal_linear(L)
generator = np.random.default_rng(0)
inputs, targets = generator.choice([-1.0, 1.0], (N, D)), generator.normal(size=N)
start = models.DiagonalParams(jnp.ones(D), jnp.ones(D))
early = kernel.min_norm(model.apply, start, inputs, targets)
h_star, gram = np.concatenate(early.solution), kernel.gram(model.apply, start, inputs)
nu, target_norm = np.linalg.eigvalsh(gram)[0], np.linalg.norm(targets)
assert early.rank == N
assert early.residual < 1e-12

# %% [markdown]
# ## The flow, and its coordinates
#
# As in classification, $s=\alpha e^{-\lambda t}$, $\theta=s(\bar\theta+\delta)$, $h=s^L\delta$. With $J_\delta$ the features at
# $\bar\theta+\delta$ (so $J=J_0$) and $K_\delta=J_\delta J_\delta^\top$,
#
# $$\dot\delta=-\nabla\mathcal L/s,\qquad \nabla\mathcal L=\tfrac2n\,s^{L-1}J_\delta^\top(f-y).$$
#
# Appendix D writes this gradient without the $1/n$, and loses constants by it; `errata.py` says which.
# Here $\nabla f_i(\bar\theta+\delta)-\nabla f_i(\bar\theta)=2(x_i\circ\delta_u,-x_i\circ\delta_v)$, so that
# $\|J_\delta-J\|\le M\|\delta\|$ with $M=2\sqrt n\max|x|$. The least singular value of $J_\delta$ is then at least
# $\sqrt{\nu/2}$ in the ball of radius $\epsilon_{\max}=(1-2^{-1/2})\sqrt\nu/M$. $T_{\max}$ is the time at which $\delta$ leaves it.


# %%
def integrate(alpha, decay, scaled_times):
    flow, state = grokjax.flows.diagonal_flow(
        jnp.asarray(inputs),
        jnp.asarray(targets),
        initial_norm=alpha * np.sqrt(2 * D),
        weight_decay=decay,
        loss=losses.squared,
    )
    # The outputs relax 10⁶ times faster than the scale shrinks: a stabilised solver.
    clock, solver = grokjax.flows.scaled_clock(decay), grokjax.flows.RKC2()
    run = grokjax.flows.solve(flow, state, scaled_times, clock=clock, solver=solver, rtol=1e-8)
    assert int(run.status) == grokjax.flows.Status.SUCCESS
    return jax.tree.map(np.asarray, run.observed)


def drift(weights, scale):
    """δ = (e^(ρ/2) − 1, e^(−ρ/2) − 1) from w = 2s² sinh ρ."""
    ratio = np.arcsinh(weights / (2 * scale[..., None] ** 2))
    return np.concatenate([np.expm1(ratio / 2), np.expm1(-ratio / 2)], axis=-1)


@jax.jit
@jax.vmap
def features(delta):
    """J_δ, (n, 2d)."""
    moved = models.DiagonalParams(1 + delta[:D], 1 + delta[D:])
    return jax.vmap(lambda x: jnp.concatenate(kernel.features(model.apply, moved, x)))(inputs)


tau = np.geomspace(1e-8, np.log(ALPHA) + 1.5, 600)  # λt
net = integrate(ALPHA, DECAY, tau)
scale = ALPHA * np.exp(-tau)
delta = drift(net.weights, scale)
lipschitz = 2 * np.sqrt(N) * np.max(np.abs(inputs))
radius = (1 - np.sqrt(0.5)) * np.sqrt(nu) / lipschitz
inside = np.linalg.norm(delta, axis=1) <= radius
end = int(np.argmin(inside))
assert 0 < end < len(tau)
assert not np.any(inside[end:])
tau, scale, delta, weights = tau[:end], scale[:end], delta[:end], net.weights[:end]
times, power = tau / DECAY, scale ** (2 * (L - 1))

moved = np.asarray(features(delta))
initial = np.asarray(features(np.zeros((1, 2 * D))))[0]
np.testing.assert_allclose(initial @ initial.T, gram, rtol=1e-12)
assert np.all(np.linalg.norm(moved - initial, ord=2, axis=(1, 2)) <= lipschitz * np.linalg.norm(delta, axis=1))
assert np.all(np.linalg.svd(moved, compute_uv=False)[:, -1] ** 2 >= nu / 2)

residual = weights @ inputs.T - targets
loss = np.mean(residual**2, axis=1)
gradient = 2 / N * scale[:, None] ** (L - 1) * np.einsum("ti,tij->tj", residual, moved)
h = scale[:, None] ** L * delta
norm = lambda rows: np.linalg.norm(rows, axis=-1)

ratios = {}
INTEGRATION = 1e-2  # what the integration leaves in squares of residuals as small as λ/s²


def below(lemma, smaller, larger):
    """Asserts an inequality between positive numbers, and keeps the ratio of its sides for the figure."""
    smaller, larger, _ = np.broadcast_arrays(smaller, larger, tau)
    assert np.all(smaller <= larger * (1 + INTEGRATION)), lemma
    ratios[lemma] = np.divide(larger, smaller, out=np.full(end, np.nan), where=smaller > 0)


# %% [markdown]
# ## D.1: the loss falls exponentially, then is slaved to the decay
#
# $K_\delta\ge\nu/2$ gives the first, Euler's identity $\langle\nabla f_i,\theta\rangle=Lf_i$ and Cauchy-Schwarz the second of
#
# $$\|\nabla\mathcal L\|^2\ge\tfrac{2\nu}n s^{2(L-1)}\mathcal L,\qquad
#   -\lambda\langle\nabla\mathcal L,\theta\rangle=-\tfrac{2\lambda L}n\big(\|f-y\|^2+\langle f-y,y\rangle\big)
#   \le2\lambda L\|y\|\sqrt{\mathcal L/n}.$$
#
# Their sum bounds $\dot{\mathcal L}$. Where half of the first outweighs the second, $\dot{\mathcal L}\le-\frac\nu n s^{2(L-1)}\mathcal L$;
# elsewhere $\mathcal L$ is small. So, with $A=\alpha^{2(L-1)}/\lambda$,
#
# $$\mathcal L\le\max\Big\{\tfrac{\|y\|^2}n\exp\Big(-\tfrac{\nu A}{2n(L-1)}\big(1-e^{-2(L-1)\lambda t}\big)\Big),\
#   \tfrac{4nL^2\|y\|^2\lambda^2}{\nu^2\alpha^{4(L-1)}}e^{4(L-1)\lambda t}\Big\}.$$
#
# (The second branch grows, so that a flow below it stays below.)

# %%
bound = kernel_phase.squared_loss_upper_bound(times, np.log(ALPHA), DECAY, nu, target_norm, N, L)
pull = -2 * DECAY * L / N * np.sum(residual * (residual + targets), axis=1)
below("D.1, gradient", 2 * nu / N * power * loss, norm(gradient) ** 2)
assert np.all(pull <= 2 * DECAY * L * target_norm * np.sqrt(loss / N) * (1 + INTEGRATION))
below("D.1", loss, np.exp(bound.bound))
assert np.any(loss > np.exp(bound.early)), "the second branch is needed"
assert np.any(loss > np.exp(bound.late)), "and so is the first"

# %% [markdown]
# Late in the phase the balance is sharp, $f-y\approx-\frac{n\lambda L}2s^{-2(L-1)}K^{-1}y$. The bound above is what this gives
# for the worst $y$, times 16.

# %%
slaved = kernel_phase.late_squared_loss(gram, targets, scale, DECAY, L)
late = (np.exp(bound.early) < 1e-6 * slaved) & (norm(delta) < 0.02)
assert np.sum(late) > 50
np.testing.assert_allclose(loss[late], slaved[late], rtol=0.03)

# %% [markdown]
# ## D.2: the direction has hardly moved
#
# $\|\dot\delta\|=\|\nabla\mathcal L\|/s\le s^{-L}\sqrt{\frac n{2\nu}}\,\|\nabla\mathcal L\|^2/\sqrt{\mathcal L}$, and as
# $\|\nabla\mathcal L\|^2=-\dot{\mathcal L}-\lambda\langle\nabla\mathcal L,\theta\rangle$,
#
# $$\|\dot\delta\|\le\sqrt{\tfrac{2n}\nu}\,\alpha^{-L}e^{L\lambda t}\Big(-\tfrac d{dt}\sqrt{\mathcal L}+\lambda L\tfrac{\|y\|}{\sqrt n}\Big).$$
#
# Integrate by parts and use $\sqrt{\mathcal L}\le\|y\|/\sqrt n$. There is no $\log\log$ here, as nothing grows without bound:
#
# $$\|\delta\|\le\int_0^t\|\dot\delta\|\le C\,\alpha^{-L}e^{L\lambda t},\quad C=2\sqrt{2/\nu}\,\|y\|
#   \qquad\Longrightarrow\qquad T_{\max}\ge\tfrac1\lambda\big(\log\alpha+\tfrac1L\log(\epsilon_{\max}/C)\big).$$

# %%
constant = 2 * np.sqrt(2 / nu) * target_norm
below("D.2", norm(delta), constant * scale**-L)
earliest = np.log(ALPHA) + np.log(radius / constant) / L
assert earliest <= tau[-1]
print(f"T_max: at least {earliest:.2f}/λ, measured {tau[-1]:.2f}/λ; log α = {np.log(ALPHA):.2f}")

# %% [markdown]
# ## D.3: hardly anything leaves the span of the features
#
# Let $P$ project on the orthogonal complement of the rows of $J$. $\dot\delta=J_\delta^\top c$ for some $c$, so
# $\|P\dot\delta\|=\|P(J_\delta-J)^\top c\|\le M\|\delta\|\,\|c\|\le M\|\delta\|\sqrt{2/\nu}\,\|\dot\delta\|$. With
# $\rho=\int\|\dot\delta\|\ge\|\delta\|$, $\int\rho\dot\rho=\rho^2/2$ and D.2,
#
# $$\|P\delta\|\le\tfrac M{\sqrt{2\nu}}\,C^2\alpha^{-2L}e^{2L\lambda t}=O(\alpha^{-2cL})\quad\text{at }T_c^-.$$

# %%
outside = delta - delta @ np.linalg.pinv(initial) @ initial
outside_bound = lipschitz / np.sqrt(2 * nu) * constant**2 * scale ** (-2 * L)
below("D.3", norm(outside), outside_bound)

# %% [markdown]
# ## D.4: outputs are linear in $h$
#
# $f_i(\theta)=s^Lf_i(\bar\theta+\delta)$, $f_i(\bar\theta)=0$, and Taylor's remainder is at most half of $M\|\delta\|^2$:
#
# $$\|f-Jh\|\le\tfrac M2\|\delta\|\|h\|=O(\alpha^{-L})e^{L\lambda t}\|h\|.$$

# %%
curvature = lipschitz / 2 * norm(delta) * norm(h)
error = norm(weights @ inputs.T - h @ initial.T)
below("D.4", np.maximum(error - 1e-13 * target_norm, 0), curvature)

# %% [markdown]
# ## D.5 and theorem 3.9: $h\to h^*$
#
# Above, $\|h\|\le C$ by D.2; below, $\|J\|\|h\|\ge\|Jh\|\ge\|y\|-\sqrt{n\mathcal L}-\text{(D.4)}$: $\|h(T_c^-)\|=\Theta(1)$. And as
# $h^*=J^+y$ while $h=J^+Jh+Ph$,
#
# $$\|h-h^*\|\le\frac{\sqrt{n\mathcal L}+\frac M2\|\delta\|\|h\|}{\sqrt\nu}+s^L\|P\delta\|
#   =O\big(\lambda\,\alpha^{-2c(L-1)}+\alpha^{-cL}\big)\quad\text{at }T_c^-.$$

# %%
below("D.5, above", norm(h), constant)
below("D.5, below", target_norm - np.sqrt(N * loss) - curvature, np.linalg.norm(initial, 2) * norm(h))
distance = norm(h - h_star)
below("3.9", distance, (np.sqrt(N * loss) + curvature) / np.sqrt(nu) + scale**L * norm(outside))

# %% [markdown]
# The inequalities in one picture: the larger side over the smaller one. Nothing lies below 1.

# %%
with figure_style():
    figure, axes = new_figure(height=2.6)
    axis = axes[0, 0]
    for lemma in ("D.1", "D.2", "D.3", "D.4", "D.5, above", "D.5, below", "3.9"):
        axis.loglog(tau, ratios[lemma], label=lemma)
    axis.axhline(1, color="black", linewidth=0.8)
    axis.set(xlabel="$\\lambda t$", ylabel="larger side / smaller side", ylim=(0.7, 1e5))
    axis.legend(ncol=2)
figure

# %% [markdown]
# ## As $\alpha$ grows
#
# At $T_c^-$, with $c=\frac12$ and $\lambda=1/\alpha$: $\|P\delta\|\propto\alpha^{-2cL}$, $\|h-h^*\|\propto\alpha^{-cL}$, and outputs at
# fresh points tend to those of the kernel interpolant, without any normaliser.

# %%
fresh = generator.choice([-1.0, 1.0], (100, D))
expected = np.asarray(early.predict(fresh))
alphas, c = np.array([10.0, 30.0, 100.0, 300.0]), 0.5
measured = []
grid = np.linspace(0, 1, 601)[1:]  # as many times as before: no second compilation
for alpha in alphas:
    point = integrate(alpha, 1 / alpha, (1 - c) * np.log(alpha) * grid).weights[-1]
    moved_by = drift(point, np.array(alpha**c))
    beyond = np.linalg.norm(moved_by - moved_by @ np.linalg.pinv(initial) @ initial)
    gap = np.linalg.norm(alpha ** (c * L) * moved_by - h_star)
    measured.append((beyond, gap, np.linalg.norm(fresh @ point - expected) / np.linalg.norm(expected)))
    print(
        f"α = {alpha:.0e}: ‖Pδ‖ = {beyond:.1e}, ‖h − h*‖ = {gap:.1e}, relative error of outputs = {measured[-1][2]:.1e}"
    )
slopes = np.diff(np.log(measured), axis=0) / np.diff(np.log(alphas))[:, None]
assert abs(slopes[-1, 0] + 2 * c * L) < 0.05
assert abs(slopes[-1, 1] + c * L) < 0.05
assert slopes[-1, 2] < -c * L
