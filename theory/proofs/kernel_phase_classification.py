# %% [markdown]
# # The kernel phase of classification, inequality by inequality
#
# Lyu et al., arXiv 2311.18817, theorem 3.4 and lemmas C.1 to C.9. From a large start the flow
#
# $$\dot\theta = -\nabla\mathcal L(\theta) - \lambda\theta,\qquad \theta(0)=\alpha\bar\theta,\qquad
#   \mathcal L = \tfrac1n\sum_i r_i,\quad r_i=e^{-q_i},\quad q_i=y_if_i(\theta)$$
#
# of an $L$-homogeneous model with $f_i(\bar\theta)=0$ first finds the maximum-margin classifier of the features
# $\nabla f_i(\bar\theta)$. Each step of the proof is an inequality. Here each is derived in a few lines, with constants
# in the place of $O(\cdot)$, and asserted at every recorded time of one flow: a diagonal net of depth 2,
# $f=\langle u^2-v^2,x\rangle$, $\bar\theta=(1,1)$.

# %%
# %matplotlib inline
import grokjax.flows

import jax
import jax.numpy as jnp
import numpy as np
from scipy.interpolate import CubicSpline
from scipy.special import logsumexp, softmax

from grokjax import data, losses, models
from grokjax.experiment.figures import figure_style, new_figure
from theory import kernel, kernel_phase, time_scales

jax.config.update("jax_enable_x64", True)

L, N, D = 2, 6, 16
ALPHA, DECAY = 1e3, 1e-3
model = models.diagonal_linear(L)
dataset = data.sparse_classification(jax.random.key(0), N, D, 3, dtype=float)
inputs, labels = np.asarray(dataset.train_inputs), np.asarray(dataset.train_labels)
start = models.DiagonalParams(jnp.ones(D), jnp.ones(D))
early = kernel.max_margin(model.apply, start, inputs, labels)
gamma, h_star = early.margin, np.concatenate(early.direction)
assert early.duality_gap < 1e-9
assert abs(np.linalg.norm(h_star) - 1) < 1e-12

# %% [markdown]
# ## The flow, and its coordinates
#
# Put $s=\alpha e^{-\lambda t}$ and $\theta = s(\bar\theta+\delta)$. As $\nabla f_i(s\vartheta)=s^{L-1}\nabla f_i(\vartheta)$,
#
# $$\dot\delta = -\nabla\mathcal L/s,\qquad
#   -\nabla\mathcal L = s^{L-1}\mathcal L\,\varphi,\qquad \varphi=\sum_i p_iy_i\nabla f_i(\bar\theta+\delta),\quad
#   p_i = r_i/\textstyle\sum_j r_j .$$
#
# The exact reduction of diagonal nets gives $w=u^2-v^2=2s^2\sinh\rho$ with $\rho=\log(u/v)$ to all digits. Hence
# $\delta=(e^{\rho/2}-1,\ e^{-\rho/2}-1)$ is known to all digits too, where $\theta/s-\bar\theta$ would have none left.


# %%
def integrate(alpha, decay, scaled_times):
    flow, state = grokjax.flows.diagonal_flow(
        jnp.asarray(inputs),
        jnp.asarray(labels),
        initial_norm=alpha * np.sqrt(2 * D),
        weight_decay=decay,
        loss=losses.exponential,
    )
    run = grokjax.flows.solve(flow, state, scaled_times, clock=grokjax.flows.scaled_clock(decay), rtol=1e-9)
    assert int(run.status) == grokjax.flows.Status.SUCCESS
    return jax.tree.map(np.asarray, run.observed)


def drift(weights, scale):
    ratio = np.arcsinh(weights / (2 * scale[..., None] ** 2))
    return np.concatenate([np.expm1(ratio / 2), np.expm1(-ratio / 2)], axis=-1)


@jax.jit
@jax.vmap
def features(delta):
    """∇f_i(θ̄ + δ) of all samples, (n, 2d)."""
    moved = models.DiagonalParams(1 + delta[:D], 1 + delta[D:])
    return jax.vmap(lambda x: jnp.concatenate(kernel.features(model.apply, moved, x)))(inputs)


tau = np.geomspace(1e-13, np.log(ALPHA), 600)  # λt
net = integrate(ALPHA, DECAY, tau)
scale = ALPHA * np.exp(-tau)
delta = drift(net.weights, scale)
np.testing.assert_allclose(net.u / scale[:, None] - 1, delta[:, :D], atol=1e-14 * np.exp(np.abs(delta).max()))

# %% [markdown]
# $\epsilon_{\max}$ is the radius about $\bar\theta$ in which no feature moves by more than $\gamma/2$. Here
# $\nabla f_i(\bar\theta+\delta)-\nabla f_i(\bar\theta)=2(x_i\circ\delta_u,-x_i\circ\delta_v)$, so that
#
# $$\|\nabla f_i(\bar\theta+\delta)-\nabla f_i(\bar\theta)\|\le M\|\delta\|,\quad M=2\max|x|,\qquad
#   \epsilon_{\max}=\gamma/(2M).$$
#
# $T_{\max}$ is the first time with $\|\delta\|>\epsilon_{\max}$; what follows is about $t\le T_{\max}$.

# %%
lipschitz = 2 * np.max(np.abs(inputs))
radius = gamma / (2 * lipschitz)
inside = np.linalg.norm(delta, axis=1) <= radius
end = int(np.argmin(inside))
assert 0 < end < len(tau)
assert not np.any(inside[end:])
tau, scale, delta, weights = tau[:end], scale[:end], delta[:end], net.weights[:end]
power = scale ** (2 * (L - 1))

moved = np.asarray(features(delta))
initial = np.asarray(features(np.zeros((1, 2 * D))))[0]
assert np.all(np.linalg.norm(moved - initial, axis=2) <= gamma / 2 * (1 + 1e-12))

q = labels * (weights @ inputs.T)
log_loss = logsumexp(-q, axis=1) - np.log(N)
loss, growth = np.exp(log_loss), -log_loss  # growth = log(1/𝓛)
phi = np.einsum("ti,tij->tj", softmax(-q, axis=1) * labels, moved)
phi_norm, delta_norm = np.linalg.norm(phi, axis=1), np.linalg.norm(delta, axis=1)
h = scale[:, None] ** L * delta
h_norm = np.linalg.norm(h, axis=1)

# %% [markdown]
# A rate of change below is the exact one, $\frac{d}{dt}\log\frac1{\mathcal L}=\|\nabla\mathcal L\|^2/\mathcal L
# +\lambda\langle\nabla\mathcal L,\theta\rangle/\mathcal L = s^{2(L-1)}\mathcal L\|\varphi\|^2-\lambda L\,\bar q$ with
# $\bar q=\sum p_iq_i$: Euler's identity $\langle\nabla f_i,\theta\rangle=Lf_i$ has been used. The integrated flow obeys it.
#
# `below` asserts an inequality between positive numbers, and keeps the ratio of its sides for the figure.

# %%
ratios = {}
INTEGRATION = 1e-6  # what a relative error of 1e-9 per step leaves


def below(lemma, smaller, larger, where: bool | np.ndarray = True):
    smaller, larger, where = np.broadcast_arrays(smaller, larger, where & (tau > 0))
    assert np.all(smaller[where] <= larger[where] * (1 + INTEGRATION)), lemma
    ratios[lemma] = np.divide(larger, smaller, out=np.full(end, np.nan), where=where & (smaller > 0))


mean_margin = np.sum(softmax(-q, axis=1) * q, axis=1)
growth_rate = power * loss * phi_norm**2 - DECAY * L * mean_margin
measured_rate = DECAY * CubicSpline(np.log(tau), growth)(np.log(tau), 1) / tau
np.testing.assert_allclose(measured_rate[5:-5], growth_rate[5:-5], atol=1e-3 * np.max(growth_rate), rtol=1e-3)

# %% [markdown]
# ## C.1 to C.3: three tools
#
# $F(x)=x\log x$ on $[1,\infty)$ is convex with $F(1)=0$, so $F^{-1}$ is concave with $F^{-1}(0)=1$.
#
# * C.1 $\ F^{-1}(y)\ge y/\log(y+1)$: with $x=F^{-1}(y)$, $y=x\log x\ge x-1$, so $\log x\le\log(y+1)$ and $x=y/\log x$.
# * C.2 $\ F^{-1}(\beta y)-1\ge\beta\,(F^{-1}(y)-1)$ for $0\le\beta\le1$: concavity between $0$ and $y$.
# * C.3 $\ \log\frac1{n\mathcal L}\le\bar q\le\log\frac1{\mathcal L}$: $q_i\ge\log\frac1{n\mathcal L}$ as no loss exceeds
#   their sum; and $\sum p_i\log\frac1{p_i}\le\log n$ with $q_i=\log\frac1{p_i}+\log\frac1{n\mathcal L}$.
#
# The $y$ of the proof is $\gamma^2A/(8L)$, $A=\alpha^{2(L-1)}/\lambda$, and $\beta=e^{-2(L-1)\lambda t}$ shrinks it.

# %%
log_a = 2 * (L - 1) * np.log(ALPHA) - np.log(DECAY)
log_y = 2 * np.log(gamma) + log_a - np.log(8 * L)
beta = np.exp(-2 * (L - 1) * tau)
inverse = np.exp(kernel_phase.log_inverse_xlogx(log_y + np.log(beta)))
below("C.1", np.exp(kernel_phase.log_inverse_lower_bound(log_y + np.log(beta))), inverse)
below("C.2", beta * np.expm1(kernel_phase.log_inverse_xlogx(log_y)), inverse - 1)

bracket = kernel_phase.entropy_bracket(q)
np.testing.assert_allclose(bracket.middle, mean_margin, rtol=1e-12)
below("C.3, left", bracket.lower, bracket.middle, where=bracket.lower > 0)
below("C.3", bracket.middle, bracket.upper)

# %% [markdown]
# ## C.4: the loss falls fast, then follows the decay
#
# Every $y_i\langle\nabla f_i(\bar\theta+\delta),h^*\rangle\ge\gamma-\gamma/2$, so $\|\varphi\|\ge\langle\varphi,h^*\rangle
# \ge\gamma/2$. With C.3,
#
# $$\dot{\mathcal L}\le-\tfrac{\gamma^2}4s^{2(L-1)}\mathcal L^2+\lambda L\,\mathcal L\log\tfrac1{\mathcal L}.$$
#
# While the first term is twice the second, $\frac d{dt}\frac1{\mathcal L}\ge\frac{\gamma^2}8s^{2(L-1)}$, which integrates
# to the first branch below. Otherwise $\frac1{\mathcal L}\log\frac1{\mathcal L}>\frac{\gamma^2}{8L}Ae^{-2(L-1)\lambda t}$,
# that is $\mathcal L\le1/F^{-1}(\beta y)$, and C.2 makes of it the second:
#
# $$\mathcal L\le\max\Big\{\frac1{1+\frac{\gamma^2}{16(L-1)}A\,(1-e^{-2(L-1)\lambda t})},\
#   \frac{e^{2(L-1)\lambda t}}{F^{-1}(\gamma^2A/(8L))-1}\Big\}.$$

# %%
times = tau / DECAY
upper = kernel_phase.exponential_loss_upper_bound(times, np.log(ALPHA), DECAY, gamma, L)
below("C.4, gradient", gamma / 2, phi_norm)
assert np.all(-growth_rate <= -(gamma**2) / 4 * power * loss + DECAY * L * growth + 1e-12)
below("C.4", loss, np.exp(upper.bound))
assert np.any(loss > np.exp(upper.early)), "the second branch is needed"
assert np.any(loss > np.exp(upper.late)), "and so is the first"

# %% [markdown]
# ## C.7: nor does it fall faster
#
# $G$ bounds $\|\nabla f_i(\bar\theta+\delta)\|$ in the ball, so $\|\varphi\|\le G$; with the other half of C.3
#
# $$\frac d{dt}\log\mathcal L\ge-G^2s^{2(L-1)}\mathcal L+\lambda L\log\tfrac1{n\mathcal L}
#   \quad\Longrightarrow\quad
#   \mathcal L\ge\min\Big\{\tfrac1ne^{-(3-4/L)},\ \frac1{n\,F^{-1}\big(\tfrac{2G^2}{nL}Ae^{-2(L-1)\lambda t}\big)}\Big\}.$$
#
# The constants are not the printed ones, which fail: see `errata.py`.

# %%
largest = np.max(np.linalg.norm(initial, axis=1)) + lipschitz * radius
lower = kernel_phase.exponential_loss_lower_bound(times, np.log(ALPHA), DECAY, largest, N, L)
below("C.7, gradient", phi_norm, largest)
assert np.all(-growth_rate >= -(largest**2) * power * loss + DECAY * L * bracket.lower - 1e-12)
below("C.7", np.exp(lower.bound), loss)

# %% [markdown]
# ## C.5: the direction has hardly moved
#
# $\|\dot\delta\|=\|\nabla\mathcal L\|/s\le\frac{2}{\gamma s^L}\|\nabla\mathcal L\|^2/\mathcal L$, and by C.3
# $\|\nabla\mathcal L\|^2/\mathcal L\le\frac d{dt}\log\frac1{\mathcal L}+\lambda L\log\frac1{\mathcal L}$. The right-hand
# side is a derivative, since $s^{-L}=\alpha^{-L}e^{L\lambda t}$:
#
# $$\|\dot\delta\|\le\frac2\gamma\,\alpha^{-L}\frac d{dt}\Big[e^{L\lambda t}\log\tfrac1{\mathcal L}\Big]
#   \quad\Longrightarrow\quad \|\delta\|\le\frac2\gamma\,\alpha^{-L}e^{L\lambda t}\log\tfrac1{\mathcal L}.$$
#
# By C.7 $\log\frac1{\mathcal L}\le m:=\log n+\max\{3-\frac4L,\log F^{-1}(\frac{2G^2}{nL}A)\}=O(\log A)$. The bound on
# $\|\delta\|$ reaches $\epsilon_{\max}$ no earlier than
# $\frac1\lambda\big(\log\alpha-\frac1L\log\frac{2m}{\gamma\epsilon_{\max}}\big)$.

# %%
below("C.5, drift", delta_norm, 2 / gamma * scale**-L * growth)
most = -kernel_phase.exponential_loss_lower_bound(0.0, np.log(ALPHA), DECAY, largest, N, L).bound
below("C.5, loss", growth, most)
order = kernel_phase.log_drift_order(times, np.log(ALPHA), DECAY, L)
below("C.5", delta_norm, 2 * most / (gamma * log_a) * np.exp(order))
offset = -np.log(2 * most / (gamma * radius * log_a)) / L
earliest = time_scales.kernel_phase_end(ALPHA, DECAY, L, offset)
assert earliest <= times[-1]
print(f"T_max: at least {DECAY * earliest:.2f}/λ, measured {tau[-1]:.2f}/λ; log α = {np.log(ALPHA):.2f}")

# %% [markdown]
# ## C.6: margins are linear in $h=s^L\delta$
#
# $f_i(\theta)=s^Lf_i(\bar\theta+\delta)$ and $f_i(\bar\theta)=0$: Taylor's remainder is at most $\frac M2s^L\|\delta\|^2$,
#
# $$\big|q_i-y_i\langle\nabla f_i(\bar\theta),h\rangle\big|\le\tfrac M2\|\delta\|\|h\|=O(\alpha^{-L}\log A)\,e^{L\lambda t}\|h\|.$$
#
# (The start $u=v$ makes the quadratic term of this model cancel: its error is of third order.)

# %%
linear = labels * (h @ initial.T)
error = np.max(np.abs(q - linear), axis=1)
rounding = 1e-14 * np.max(np.abs(q), axis=1)
below("C.6", np.maximum(error - rounding, 0), lipschitz / 2 * delta_norm * h_norm)

# %% [markdown]
# ## C.8: the loss pays for the length of $h$
#
# In C.5, $\|\varphi\|\ge\gamma-M\|\delta\|$ instead of $\gamma/2$ gives
#
# $$\frac d{dt}\Big[e^{L\lambda t}\log\tfrac1{\mathcal L}\Big]\ge(\gamma-M\|\delta\|)\,\frac d{dt}\Big[e^{L\lambda t}\|h\|\Big]
#   \quad\Longrightarrow\quad\log\tfrac1{\mathcal L}\ge(\gamma-M\|\delta\|)\,\|h\|$$
#
# at all times (the last step uses that $\|\delta\|$ grows). The lemma states
# $\frac d{dt}\log\frac1{\mathcal L}\ge(\gamma-\dots)\frac d{dt}\|h\|$, without the factors. It follows where $\|h\|$ grows:
# with $\dot h=-L\lambda h+s^{2(L-1)}\mathcal L\varphi$ and $\kappa=\cos\angle(h,\varphi)$, up to the error of C.6,
#
# $$\frac d{dt}\log\tfrac1{\mathcal L}-\|\varphi\|\frac d{dt}\|h\|
#   =\|\varphi\|(1-\kappa)\big(s^{2(L-1)}\mathcal L\|\varphi\|+L\lambda\|h\|\big)\ge0 .$$
#
# Later $\|h\|$ shrinks with the decay. Then $\|\varphi\|>\gamma$ works the other way, and the form without factors misses
# $\|\varphi\|-\gamma$, which is far more than $M\|\delta\|$. The conclusion $\log\frac1{\mathcal L}\ge\gamma\|h\|(1-o(1))$,
# all that C.9 needs, stands on the form with factors.

# %%
effective = gamma - lipschitz * delta_norm
h_rate = power * loss * np.einsum("tj,tj->t", h, phi) / h_norm - DECAY * L * h_norm
discounted = growth_rate + DECAY * L * growth  # e^(−Lλt) d/dt[e^(Lλt) log 1/𝓛]
below("C.8, rates", effective * (h_rate + DECAY * L * h_norm), discounted)
below("C.8", effective * h_norm, growth)
growing = h_rate > 0
assert np.all(growth_rate[growing] >= (effective * h_rate)[growing] * (1 - INTEGRATION))
print(f"‖h‖ grows until λt = {tau[growing][-1]:.3g}")
at = np.searchsorted(tau, 0.5)
missing = -gamma - growth_rate[at] / np.abs(h_rate[at])
assert not growing[at]
assert 10 * lipschitz * delta_norm[at] < missing <= phi_norm[at] - gamma
print(f"λt = ½: the form without factors misses {missing:.1e} of γ; M‖δ‖ = {lipschitz * delta_norm[at]:.1e}")

# %% [markdown]
# ## C.9 and theorem 3.4: the direction of $h$
#
# Let $\gamma h^*=\sum a_iy_i\nabla f_i(\bar\theta)$ with $a_i\ge0$, $\sum a_i=1$ (the dual of the margin problem). Then
# $\gamma\langle h^*,h\rangle=\sum a_iy_i\langle\nabla f_i(\bar\theta),h\rangle\ge\log\frac1{n\mathcal L}-\text{(C.6)}$, and by C.8
#
# $$\cos\angle(h,h^*)\ge\frac{\log\frac1{n\mathcal L}-\frac M2\|\delta\|\|h\|}{\gamma\|h\|}
#   \ge\Big(1-\frac{M\|\delta\|}\gamma\Big)\Big(1-\frac{\log n}{\log\frac1{\mathcal L}}\Big)-\frac{M\|\delta\|}{2\gamma}\ \to\ 1.$$

# %%
cosine = h @ h_star / h_norm
middle = (growth - np.log(N) - lipschitz / 2 * delta_norm * h_norm) / (gamma * h_norm)
below("C.9", middle, cosine, where=middle > 0)
crude = effective / gamma * (1 - np.log(N) / growth) - lipschitz * delta_norm / (2 * gamma)
fitted = growth > np.log(N)
assert np.all(crude[fitted] <= middle[fitted] + INTEGRATION)

# %% [markdown]
# The inequalities in one picture: the larger side over the smaller one. Nothing lies below 1. Lemma C.9 is nearly sharp,
# and so is C.2; C.4 and C.7 give away constants; C.6 a whole order, by the symmetry of the start.

# %%
with figure_style():
    figure, axes = new_figure(height=3.0)
    axis = axes[0, 0]
    for lemma in (f"C.{number}" for number in range(1, 10)):
        axis.loglog(tau, ratios[lemma], label=lemma)
    axis.axhline(1, color="black", linewidth=0.8)
    axis.set(xlabel="$\\lambda t$", ylabel="larger side / smaller side", ylim=(0.7, 1e4))
    axis.legend(ncol=3)
figure

# %% [markdown]
# ## As $\alpha$ grows
#
# At $T_c^-=\frac{1-c}\lambda\log\alpha$, $s=\alpha^c$: $\|\delta\|\to0$ like $\alpha^{-cL}\log A$ and the cosine tends to 1
# like $1/\log\alpha$ at worst. With $\lambda=1/\alpha$ and $c=\frac12$, outputs at fresh points divided by $Z(\alpha)$:

# %%
fresh, _ = data.sparse_points(dataset.test_key, dataset.teacher, 0, 100)
target = np.asarray(early.predict(fresh))
angles, errors = [], []
grid = np.linspace(0, 1, 601)[1:]  # as many times as before: no second compilation
for alpha in (1e2, 1e4, 1e8, 1e16, 1e32):
    late = integrate(alpha, 1 / alpha, 0.5 * np.log(alpha) * grid).weights[-1]
    reached = np.sqrt(alpha)
    direction = drift(late, np.array(reached))
    angles.append(1 - direction @ h_star / np.linalg.norm(direction))
    outputs = np.asarray(fresh) @ late
    normaliser = kernel_phase.normaliser(np.log(alpha), 1 / alpha, gamma, 0.5, L)
    errors.append(np.linalg.norm(outputs / normaliser - target) / np.linalg.norm(target))
    print(f"α = {alpha:.0e}: 1 − cos = {angles[-1]:.1e}, relative error of f/Z = {errors[-1]:.3f}")
assert np.all(np.diff(angles) < 0)
assert np.all(np.diff(errors[1:]) < 0)
assert angles[-1] < 1e-3
