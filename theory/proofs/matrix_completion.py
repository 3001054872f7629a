# %% [markdown]
# # Matrix completion: zeros first, the least nuclear norm later
#
# Lyu et al., arXiv 2311.18817, corollary 3.11, theorem 3.12 and appendix F. A symmetric matrix is factored as
# $W=UU^\top-VV^\top$ with $U,V\in\mathbb R^{d\times d}$, and the entries $(i,j)\in\Omega$ of a target $X$ are fitted by
#
# $$\dot U=-\nabla_U\mathcal L-\lambda U,\quad \dot V=-\nabla_V\mathcal L-\lambda V,\quad U(0)=V(0)=\alpha I,\qquad
#   \mathcal L=\tfrac1n\sum_{(i,j)\in\Omega}(W_{ij}-X_{ij})^2 .$$
#
# Three statements are derived, each in a few lines, and asserted on one small instance: the flow closes on the two Gram
# matrices; early on it fills what it has not seen with zeros; and it ends at the least nuclear norm.

# %%
# %matplotlib inline
import grokjax.flows

import jax
import jax.numpy as jnp
import numpy as np
from scipy.linalg import expm

from grokjax import data, models
from grokjax.experiment.figures import COLOURS, figure_style, new_figure
from theory import kernel, kernel_phase, nuclear_norm

jax.config.update("jax_enable_x64", True)

D, N, ALPHA, DECAY = 8, 40, 10.0, 1e-3
target_key, entries_key = jax.random.split(jax.random.key(4))
task = data.matrix_completion(entries_key, data.low_rank(target_key, D, 1), N)
indices, values, target = (np.asarray(x) for x in (task.indices, task.values, task.target))
rows, columns = indices.T
T = 60
tau = np.concatenate([np.linspace(0.05, 6, T - 1), [60]])  # λt
scale = ALPHA * np.exp(-tau)  # s
norms = lambda matrices: np.linalg.norm(matrices, axis=(1, 2))


def mean_square(params):
    return jnp.mean(jnp.square(models.product_matrix(params)[rows, columns] - values))


def integrate(flow, start, times, rtol):
    run = grokjax.flows.solve(flow, start, times, solver=grokjax.flows.RKC2(), rtol=rtol)
    assert int(run.status) == grokjax.flows.Status.SUCCESS
    return jax.tree.map(np.asarray, run.observed)


def reduced(alpha, decay, times, rtol=1e-6):
    start = alpha * jnp.eye(D)
    return integrate(
        *grokjax.flows.factorization_flow(task.indices, task.values, start, start, weight_decay=decay), times, rtol
    )


# %% [markdown]
# ## The flow closes on the Gram matrices
#
# Let $G$ be the symmetric part of $\partial\mathcal L/\partial W$. As $dW=dU\,U^\top+U\,dU^\top-\dots$, the gradients are
# $\nabla_U\mathcal L=2GU$ and $\nabla_V\mathcal L=-2GV$, so that
#
# $$\frac d{dt}UU^\top=-2(G\,UU^\top+UU^\top G)-2\lambda UU^\top,\qquad
#   \frac d{dt}VV^\top=+2(G\,VV^\top+VV^\top G)-2\lambda VV^\top,\qquad
#   \frac d{dt}U^\top V=-2\lambda U^\top V .$$
#
# The first two are closed, since $G$ depends on $W=UU^\top-VV^\top$ only. With $s=\alpha e^{-\lambda t}$, what is added
# to the decaying start, $UU^\top=s^2I+M_+$ and $VV^\top=s^2I+M_-$, starts from 0 and has the size of $W=M_+-M_-$ itself:
# no digit is lost to $\alpha^2$. `factorization_flow` integrates $M_\pm$; here it meets the flow of $U$ and $V$.

# %%
start = models.FactorizationParams(ALPHA * jnp.eye(D), ALPHA * jnp.eye(D))
raw = integrate(grokjax.flows.gradient_flow(mean_square, DECAY), start, tau / DECAY, 1e-7)
point = reduced(ALPHA, DECAY, tau / DECAY)
square = norms(raw.u) ** 2 + norms(raw.v) ** 2
conserved = np.swapaxes(raw.u, 1, 2) @ raw.v
raw_weights = np.asarray(jax.vmap(models.product_matrix)(raw))
print(f"UᵀV − s²I, of ‖θ‖²: {np.max(norms(conserved - scale[:, None, None] ** 2 * np.eye(D)) / square):.1e}")
print(f"W of the two flows, of ‖θ‖²: {np.max(norms(raw_weights - point.weights) / square):.1e}")
assert np.all(norms(conserved - scale[:, None, None] ** 2 * np.eye(D)) < 1e-4 * square)
assert np.all(norms(raw_weights - point.weights) < 1e-4 * square)
np.testing.assert_allclose(point.norm**2, square, rtol=1e-3)

# %% [markdown]
# As $U^\top V=s^2I$ with square factors, $V=s^2U^{-\top}$, hence $UU^\top=s^2e^{2Z}$, $VV^\top=s^2e^{-2Z}$ for one symmetric
# $Z$, and everything is a function of it:
#
# $$W=2s^2\sinh 2Z,\qquad \|U\|^2+\|V\|^2=2s^2\operatorname{tr}\cosh 2Z=2\operatorname{tr}\big(s^4I+\tfrac14W^2\big)^{1/2}.$$
#
# Small $Z$ is the kernel regime, $W\approx4s^2Z$; as $s\to0$ the norm becomes $\|W\|_*$. Both are the one-dimensional law
# $w=2s^2\sinh\log(u/v)$ of diagonal nets, which is the special case of $\Omega$ on the diagonal.

# %%
eigenvalues = np.linalg.eigvalsh(point.weights)
law = 2 * np.sum(np.hypot(scale[:, None] ** 2, eigenvalues / 2), axis=1)
np.testing.assert_allclose(point.norm**2, law, rtol=1e-3)
u, v, s = raw.u[20], raw.v[20], scale[20]
values_z, vectors = np.linalg.eigh(u @ u.T / s**2)
z = vectors @ np.diag(np.log(values_z) / 2) @ vectors.T
np.testing.assert_allclose(v @ v.T, s**2 * expm(-2 * z), atol=1e-4 * s**2)

# %% [markdown]
# ## Early: zeros (corollary 3.11)
#
# At $\bar\theta=(I,I)$ the feature of the entry $(i,j)$ is $(E_{ij}+E_{ji},\,-E_{ij}-E_{ji})$. Features of different
# unordered pairs are orthogonal, those of $(i,j)$ and $(j,i)$ equal:
#
# $$K_{(ij),(kl)}=4(\delta_{ik}\delta_{jl}+\delta_{il}\delta_{jk}).$$
#
# The kernel interpolant of least norm therefore has the target on $\Omega\cup\Omega^\top$ and 0 elsewhere. If a pair is
# observed both ways $K$ is singular, against assumption 3.8, but the two labels agree, and a pseudo-inverse gives the same.

# %%
model = models.matrix_factorization(D)
ones = models.FactorizationParams(jnp.eye(D), jnp.eye(D))
same = lambda a, b: (a[:, None] == b).astype(float)
gram = 4 * (same(rows, rows) * same(columns, columns) + same(rows, columns) * same(columns, rows))
np.testing.assert_allclose(kernel.gram(model.apply, ones, task.indices), gram, atol=1e-12)
filled = np.zeros((D, D))
filled[rows, columns] = filled[columns, rows] = values
every = jnp.asarray(np.argwhere(np.ones((D, D))))
interpolant = kernel.min_norm(model.apply, ones, task.indices, values)
np.testing.assert_allclose(np.asarray(interpolant.predict(every)).reshape(D, D), filled, atol=1e-12)
print(f"{N} entries, {interpolant.rank} unordered pairs")

# %% [markdown]
# How fast? Write $U=sP$, so $\dot P=-2GP$ and $V=sP^{-\top}$. In $W/s^2=PP^\top-(PP^\top)^{-1}$ the even orders of
# $A=-2\int G$ cancel. The first order lives on $\Omega\cup\Omega^\top$, as $G$ does. The third is at most
# $2x^3/3!$ with $x=2\int\|2G\|\approx\|W\|/2s^2$, in whatever order the factors come: off $\Omega\cup\Omega^\top$
#
# $$|W|\lesssim 2s^2\,(\sinh x-x)=O(s^{-4}).$$
#
# On $\Omega$ decay is what keeps the fit from being perfect: $-2\lambda W$ balances $-8s^2G$, so
# $W_{ij}-X_{ij}=O(n\lambda s^{-2})$ and $\mathcal L=n\lambda^2s^{-4}\|K^+y\|^2$, the order of lemma D.1 with its constant.

# %%
scales = np.geomspace(0.95 * ALPHA, ALPHA**0.5, T)
early = reduced(ALPHA, DECAY, np.log(ALPHA / scales) / DECAY, 1e-8)
# From where on the fit is done.
done = scales < 0.7 * ALPHA
outside = np.max(np.abs(early.weights * (filled == 0)), axis=(1, 2))
loss = np.mean((early.weights[:, rows, columns] - values) ** 2, axis=1)
predicted = kernel_phase.late_squared_loss(gram, values, scales, DECAY, 2)
slope = lambda y: np.polyfit(np.log(scales[done]), np.log(y[done]), 1)[0]
x = np.linalg.norm(filled, 2) / (2 * scales**2)
print(f"off Ω the weights go like s^{slope(outside):.2f}; the loss goes like s^{slope(loss):.2f}")
assert abs(slope(outside) + 4) < 0.1
assert abs(slope(loss) + 4) < 0.1
assert np.all(outside[done] <= 2 * scales[done] ** 2 * (np.sinh(x) - x)[done])
assert np.all(np.abs(np.log(loss / predicted))[done] <= (2 * x**2 + N * DECAY / scales**2)[done])

# %% [markdown]
# ## Late: the least nuclear norm
#
# For every $Y=Y^\top$ with $\|Y\|_{op}\le1$
#
# $$\langle Y,UU^\top-VV^\top\rangle\le\operatorname{tr}UU^\top+\operatorname{tr}VV^\top=\|U\|^2+\|V\|^2 ,$$
#
# and $\|W\|_*=\max_Y\langle Y,W\rangle$. So $\|U\|^2+\|V\|^2\ge\|W\|_*$, with equality where $UU^\top=W_+$ and
# $VV^\top=W_-$, the positive and the negative part. Weight decay on the factors is the penalty $\frac\lambda2\|W\|_*$.

# %%
a, b = np.random.default_rng(0).normal(size=(2, 100, D, D))
w = a @ np.swapaxes(a, 1, 2) - b @ np.swapaxes(b, 1, 2)
nuclear = np.sum(np.abs(np.linalg.eigvalsh(w)), axis=1)
assert np.all(norms(a) ** 2 + norms(b) ** 2 > nuclear)
values_w, vectors = np.linalg.eigh(w[0])
parts = [vectors * np.sqrt(np.maximum(sign * values_w, 0)) for sign in (1, -1)]
np.testing.assert_allclose(parts[0] @ parts[0].T - parts[1] @ parts[1].T, w[0], atol=1e-12 * nuclear[0])
np.testing.assert_allclose(sum(np.sum(part**2) for part in parts), nuclear[0])

# %% [markdown]
# What is left is $\min_W\mathcal L+\frac\lambda2\|W\|_*$, which is convex, and a stationary point of the flow says of it
# $GU=-\frac\lambda2U$, $GV=\frac\lambda2V$: $-\frac2\lambda G$ is a subgradient of $\|W\|_*$ as soon as its other eigenvalues lie in $[-1,1]$.
# If one does not, say $-g>\frac\lambda2$, then $U$ grows along it, as $e^{(-2g-\lambda)t}$: the point is a strict saddle. From
# $\alpha I$ every direction is populated, with $s^2$, and the flow does not stop there.

# %%
weights = point.weights[-1]
g = np.zeros((D, D))
np.add.at(g, (rows, columns), 2 / N * (weights[rows, columns] - values))
g = (g + g.T) / 2
limit = nuclear_norm.regularised(indices, values, D, DECAY)
print(
    f"largest |eigenvalue| of −2G/λ: {np.max(np.abs(np.linalg.eigvalsh(2 * g / DECAY))):.6f}, gap {limit.duality_gap:.0e}"
)
assert np.max(np.abs(np.linalg.eigvalsh(2 * g / DECAY))) < 1 + 1e-3
assert np.linalg.norm(weights - limit.weights) < 1e-3 * np.linalg.norm(limit.weights)
assert abs(point.norm[-1] - limit.parameter_norm) < 1e-3 * limit.parameter_norm

# %% [markdown]
# As $\lambda\to0$ the end point tends to the matrix of least nuclear norm with the observed entries. Where that is $X$ itself,
# the distance is of order $\lambda$; theorem 3.12 bounds it by $\sqrt\lambda$.

# %%
completion = nuclear_norm.completion(indices, values, D)
assert np.linalg.norm(completion.weights - target) < 1e-4
decays = np.array([1e-2, 1e-3, 1e-4])
distances = [np.linalg.norm(nuclear_norm.regularised(indices, values, D, decay).weights - target) for decay in decays]
power = np.polyfit(np.log(decays), np.log(distances), 1)[0]
print(f"‖W − X‖ goes like λ^{power:.2f}")
assert 0.9 < power < 1.1

# %% [markdown]
# Both in one picture: the distance to the matrix filled with zeros, and the distance to the one of least nuclear norm.

# %%
with figure_style():
    figure, axes = new_figure(height=2.6)
    axis = axes[0, 0]
    shown = slice(0, -1)
    for matrix, colour, label in (
        (filled, "blue", "to the target on $\\Omega\\cup\\Omega^T$, 0 elsewhere"),
        (limit.weights, "orange", "to the least loss $+\\,\\frac{\\lambda}{2}\\|W\\|_*$"),
    ):
        axis.semilogy(
            tau[shown], norms(point.weights - matrix)[shown], color=COLOURS[colour], label=f"distance {label}"
        )
    axis.axvline(np.log(ALPHA), color=COLOURS["grey"], linewidth=0.8, label="$\\lambda t=\\log\\alpha$")
    axis.set(xlabel="$\\lambda t$", ylabel="$\\|W-\\cdot\\|$")
    axis.legend()
figure
