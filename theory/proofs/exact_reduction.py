# %% [markdown]
# # The exact reduction of diagonal nets
#
# A diagonal net $f_i=\langle w,x_i\rangle$, $w=u^L-v^L$ (powers by element), started at $u=v=a$, follows
#
# $$\dot u=-L\,u^{L-1}G-\lambda u,\qquad \dot v=+L\,v^{L-1}G-\lambda v,\qquad G=X^\top g,\quad
#   g_i=\tfrac1n\,\partial\ell(f_i,y_i)/\partial f .$$
#
# Half of its $2d$ coordinates can be integrated by hand. This is derived here for any $L\ge2$, and held against the
# flow of all parameters for $L=2,3,4$; the last part says why the result is evaluated with $\sinh$.

# %%
# %matplotlib inline
import grokjax.flows

import jax
import jax.numpy as jnp
import numpy as np

from grokjax import data, losses, models
from grokjax.experiment.figures import figure_style, new_figure

jax.config.update("jax_enable_x64", True)

N, D, DECAY = 4, 12, 0.02
SCALES = {2: 4.0, 3: 2.0, 4: 1.5}  # a, for each L
dataset = data.sparse_classification(jax.random.key(1), N, D, 3, dtype=float)
inputs = np.asarray(dataset.train_inputs)
TIMES = 20


def risk(depth, params):
    """The mean loss, with the depth an argument, so that one compilation serves all."""
    outputs = dataset.train_inputs @ (params.u**depth - params.v**depth)
    return jnp.mean(jax.vmap(losses.logistic.value)(outputs, dataset.train_labels))


def of_all_parameters(depth, scale, scaled_times):
    start = models.diagonal_linear(depth).init(None, D, scale * np.sqrt(2 * D))
    flow = grokjax.flows.gradient_flow(jax.tree_util.Partial(risk, jnp.asarray(float(depth))), DECAY)
    run = grokjax.flows.solve(flow, start, scaled_times / DECAY, rtol=1e-9)
    assert int(run.status) == grokjax.flows.Status.SUCCESS
    return np.asarray(run.observed.u), np.asarray(run.observed.v)


def reduced(depth, scale, scaled_times):
    flow, state = grokjax.flows.diagonal_flow(
        dataset.train_inputs,
        dataset.train_labels,
        depth=depth,
        initial_norm=scale * np.sqrt(2 * D),
        weight_decay=DECAY,
    )
    run = grokjax.flows.solve(flow, state, scaled_times / DECAY, rtol=1e-8)
    assert int(run.status) == grokjax.flows.Status.SUCCESS
    return jax.tree.map(np.asarray, run.observed)


tau = {depth: np.linspace(0.05, np.log(scale) + 2, TIMES) for depth, scale in SCALES.items()}  # λt
full = {depth: of_all_parameters(depth, scale, tau[depth]) for depth, scale in SCALES.items()}
short = {depth: reduced(depth, scale, tau[depth]) for depth, scale in SCALES.items()}
shrunk = {depth: (scale * np.exp(-tau[depth]))[:, None] for depth, scale in SCALES.items()}  # s = a e^(−λt)


def relative(got, expected):
    return np.max(np.linalg.norm(got - expected, axis=-1) / np.linalg.norm(expected, axis=-1))


# %% [markdown]
# ## One conserved law for each coordinate
#
# $L=2$: in $(uv)^\cdot=-2\lambda uv$ the gradients cancel. $L>2$: put $p=u^{2-L}$, $m=v^{2-L}$. These obey linear equations,
#
# $$\dot p=(L-2)(\lambda p+L\,G),\qquad \dot m=(L-2)(\lambda m-L\,G),$$
#
# in whose sum the gradients cancel. With $s=ae^{-\lambda t}$:
#
# $$L=2:\ uv=s^2,\qquad\qquad L>2:\ u^{2-L}+v^{2-L}=2s^{2-L}.$$
#
# The law weighs the smaller of $u$ and $v$, and magnifies the integrator's error by the ratio of the two.

# %%
for depth, (u, v) in full.items():
    s = shrunk[depth]
    kept = u * v / s**2 if depth == 2 else (u ** (2 - depth) + v ** (2 - depth)) / (2 * s ** (2 - depth))
    magnified = 1e-6 * np.max(np.maximum(u, v) / np.minimum(u, v)) ** (depth - 1)
    print(
        f"L = {depth}: law kept to {np.max(np.abs(kept - 1)):.1e}; u/v spreads to {np.max(np.abs(np.log(u / v))):.1f} e-folds"
    )
    assert np.max(np.abs(kept - 1)) < magnified
u, v = full[3]
assert np.max(np.abs(u * v / shrunk[3] ** 2 - 1)) > 0.1, "the law of another depth fails"

# %% [markdown]
# ## The other half is driven from the span of the inputs
#
# What is left is one number a coordinate. For $L=2$, $(\log u/v)^\cdot=-4G=-4X^\top g$. For $L>2$ the difference of the
# linear equations can be integrated too:
#
# $$L=2:\ \log\tfrac uv=4X^\top q,\ \ \dot q=-g,\qquad
#   L>2:\ e^{-(L-2)\lambda t}\,(p-m)=-2L(L-2)\,X^\top Q,\ \ \dot Q=-e^{-(L-2)\lambda t}g .$$
#
# So $n$ numbers determine $2d$ parameters: the left-hand sides lie in the span of the $n$ inputs.

# %%
span = np.linalg.pinv(inputs) @ inputs
assert np.linalg.matrix_rank(span) == N < D
for depth, (u, v) in full.items():
    driven = np.log(u / v) if depth == 2 else (u ** (2 - depth) - v ** (2 - depth)) * shrunk[depth] ** (depth - 2)
    outside = relative(driven @ span, driven)
    print(f"L = {depth}: outside the span of the inputs {outside:.1e}")
    assert outside < 1e-5
    other = np.log(u / v) if depth > 2 else u - v
    assert relative(other @ span, other) > 1e-3, "not any function of u and v does"

# %% [markdown]
# ## Weights from the log-ratio
#
# Put $u,v=e^{c\pm r/2}$ and $\zeta=(L-2)r/2$. The law reads $e^{(2-L)c}\cosh\zeta=s^{2-L}$, so $e^c=s\cosh(\zeta)^{1/(L-2)}$, and
#
# $$w=2e^{Lc}\sinh\tfrac{Lr}2=2s^L\cosh(\zeta)^{L/(L-2)}\sinh\tfrac{Lr}2,\qquad
#   \dot r=-L(u^{L-2}+v^{L-2})\,G=-2L\,s^{L-2}\cosh^2\zeta\;G .$$
#
# For $L\to2$ the factor $\cosh(\zeta)^{L/(L-2)}$ tends to 1. `flows.diagonal_flow` integrates $q$ for $L=2$ and $r$ for $L>2$
# ($Q$ would lose the coordinates that matter once $s\ll u$). It is the flow of all parameters, through the switch:

# %%
for depth, (u, v) in full.items():
    net, s = short[depth], shrunk[depth]
    r = np.log(u / v)
    tilt = np.cosh((depth - 2) * r / 2) ** (depth / (depth - 2)) if depth > 2 else 1
    assert relative(2 * s**depth * tilt * np.sinh(depth * r / 2), u**depth - v**depth) < 1e-5
    errors = relative(net.weights, u**depth - v**depth), relative(np.hstack([net.u, net.v]), np.hstack([u, v]))
    print(f"L = {depth}: weights agree to {errors[0]:.1e}, parameters to {errors[1]:.1e}")
    assert max(errors) < 1e-5
    np.testing.assert_allclose(net.norm, np.linalg.norm(np.hstack([u, v]), axis=1), rtol=1e-6)

# %% [markdown]
# For $L=2$ also $u^2+v^2=\sqrt{(u^2-v^2)^2+4u^2v^2}$: the norm is a function of the weights and of $s$ alone,
# $\|\theta\|^2=2\sum_k\sqrt{(w_k/2)^2+s^4}$. It is $2ds^2$ in the kernel regime and $\|w\|_1$ in the rich one.

# %%
norm_square = 2 * np.sum(np.sqrt((short[2].weights / 2) ** 2 + shrunk[2] ** 4), axis=1)
np.testing.assert_allclose(short[2].norm ** 2, norm_square, rtol=1e-12)

# %% [markdown]
# ## Why $\sinh$, never a difference
#
# From a large start $w=O(1)$ is the difference of $u^2$ and $v^2$, both about $s^2$: in floating point it keeps a relative
# error $\varepsilon s^2/|w|$, $\varepsilon=2^{-53}$. All digits are gone where $s^2\approx10^{16}\,|w|$. The gradient is then
# computed from noise, whatever the integrator does. $2s^2\sinh r$ with $r\approx w/2s^2$ loses none.

# %%
exponents = np.array([1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16])
lost, late = [], {}
for exponent in exponents:
    log_a = exponent * np.log(10)
    readings = np.concatenate([np.linspace(0.02, 0.5, TIMES // 2) * log_a, log_a + np.linspace(0, 6, TIMES // 2)])
    net = reduced(2, 10.0**exponent, readings)
    square = 10.0 ** (2 * exponent) * np.exp(-2 * readings[0])
    w, r = net.weights[0], np.arcsinh(net.weights[0] / (2 * square))
    of_squares = np.linalg.norm(net.u[0] ** 2 - net.v[0] ** 2 - w) / np.linalg.norm(w)
    of_exponentials = np.linalg.norm(square * (np.exp(r) - np.exp(-r)) - w) / np.linalg.norm(w)
    by_sinh = np.linalg.norm(2 * square * np.sinh(r) - w) / np.linalg.norm(w)
    lost.append((square / np.linalg.norm(w), of_squares, of_exponentials, by_sinh))
    late[exponent] = net.weights[-1]
ratio, of_squares, of_exponentials, by_sinh = np.array(lost).T
assert np.all(by_sinh < 1e-15)
gone = ratio > 1e17
assert np.all(of_exponentials[gone] > 0.5)
some = (ratio > 1e3) & (ratio < 1e14)
for error in (of_squares, of_exponentials):
    slope = np.polyfit(np.log(ratio[some]), np.log(error[some]), 1)[0]
    assert abs(slope - 1) < 0.15

# %% [markdown]
# And the digits are good ones. After the switch a flow has forgotten its scale: at $\lambda t=\log a+6$ the flows from
# $a=10^4$ and from $a=10^{16}$, which has been through $s^2=10^{32}$, have the same weights.

# %%
agreement = relative(late[16], late[4])
print(f"relative difference of the weights from a = 1e4 and a = 1e16: {agreement:.1e}")
assert agreement < 1e-5

# %%
with figure_style():
    figure, axes = new_figure()
    axis = axes[0, 0]
    axis.loglog(ratio, of_squares, "o", label="$u^2-v^2$")
    axis.loglog(ratio, of_exponentials, "s", label="$s^2(e^r-e^{-r})$")
    axis.loglog(ratio, np.maximum(by_sinh, 1e-17), "^", label="$2s^2\\sinh r$")
    axis.loglog(ratio, np.minimum(2.0**-53 * ratio, 1), color="black", label="$\\varepsilon s^2/|w|$")
    axis.set(xlabel="$s^2/|w|$", ylabel="relative error of $w$")
    axis.legend()
figure
