"""RKC2: the second-order Runge-Kutta-Chebyshev method as a diffrax solver.

A gradient flow has a (nearly) symmetric Jacobian with a real negative spectrum. On such a problem an explicit method
with s stages can be stable on an interval of length β(s) ≈ 0.65 s², so a step h needs only s ≈ √(hρ/0.65) gradients,
where ρ is the spectral radius of the Jacobian, instead of the hρ/3 that a classical explicit method needs. Cost grows
with the square root of stiffness, there are no linear solves, and memory is a handful of copies of the state.

With Chebyshev polynomials T_j, ε = 2/13, w₀ = 1 + ε/s², w₁ = T_s'(w₀)/T_s''(w₀) and
b_j = T_j''(w₀)/T_j'(w₀)²  (b₀ = b₁ = b₂) a step from y₀ over h is, for j = 2, …, s,

    Y_j = (1 − μ_j − ν_j) y₀ + μ_j Y_{j−1} + ν_j Y_{j−2} + μ̃_j h F(Y_{j−1}) + γ̃_j h F(y₀)
    μ_j = 2 b_j w₀/b_{j−1},  ν_j = −b_j/b_{j−2},  μ̃_j = 2 b_j w₁/b_{j−1},  γ̃_j = −(1 − b_{j−1} T_{j−1}(w₀)) μ̃_j

and on y' = λy the step multiplies by P_s(hλ) = 1 + b_s (T_s(w₀ + w₁ hλ) − T_s(w₀)).

References:
    B. P. Sommeijer, L. F. Shampine, J. G. Verwer, "RKC: an explicit solver for parabolic PDEs", J. Comput. Appl. Math.
    88 (1998). The spectral-radius estimate differs from theirs: it is a warm-started power iteration through exact
    Jacobian-vector products, refreshed when ten times its cost has been spent on stages.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import diffrax
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, PyTree

from grokjax._checks import Scalar
from grokjax.flows.tree import tree_axpy, tree_irregular_like, tree_norm

__all__ = ["MAX_STAGES", "RKC2", "rkc2_stability_interval"]

# Damping of the stability polynomial: keeps |P_s| ≤ 1 − ε/3 inside the interval.
_DAMPING = 2 / 13
# Power iterations: at most this many on a cold start, this many (warm) at each refresh.
_COLD_ITERATIONS = 50
_WARM_ITERATIONS = 3
_CONVERGED = 0.01
# Power iterations approach ρ from below, and ρ moves between two refreshes.
_RADIUS_SAFETY = 1.15
# A refresh waits until this multiple of its own cost has been spent on stages.
_REFRESH_RATIO = 10
# A power iteration is one Jacobian-vector product: the primal and the tangent.
_EVALUATIONS_PER_ITERATION = 2
# Rounding errors grow like s² inside a step: ten times that, 1e-8 in float64, is allowed where no tolerance is known.
MAX_STAGES = 2000


def rkc2_stability_interval(stages: Scalar) -> Array:
    """Length β(s) of the real stability interval [−β, 0] of RKC2 with s stages.

    β(s) = (w₀ + 1)/w₁ ≈ (2/3)(s² − 1)(1 − (2/15)ε), ε = 2/13.

    Args:
        stages: number of stages s ≥ 2; dimensionless, any shape.

    Returns:
        β(s), the largest hρ at which a step of size h is stable; same shape.

    References:
        Sommeijer, Shampine and Verwer (1998), eq. 2.8.
    """
    return (2 / 3) * (jnp.square(jnp.asarray(stages, float)) - 1) * (1 - (2 / 15) * _DAMPING)


class _State(NamedTuple):
    """What the next step needs: F(y), the dominant eigenvector and ρ, evaluations in all and since ρ was refreshed.

    A negative ρ says that nothing is known yet, not even F(y).
    """

    field: PyTree[Array]
    eigenvector: PyTree[Array]
    radius: Array
    evaluations: Array
    since_refresh: Array


class RKC2(diffrax.AbstractAdaptiveSolver[_State]):
    """Second-order stabilised explicit Runge-Kutta-Chebyshev solver, for any pytree state.

    Use it wherever a diffrax solver goes. It suits gradient flows and other problems whose Jacobian has its large
    eigenvalues near the negative real axis; on oscillatory problems it is not stable. Each step carries an embedded
    error estimate of order two, takes as many stages as h and the spectral radius ask for (chosen inside jit), and
    gives cubic Hermite dense output. It runs forwards under jit and vmap (a batch takes the largest stage count in it)
    and has no reverse-mode derivative.

    Attributes:
        max_stages: a step that asks for more is refused before it costs anything, and shrinks. By default as many as
            rounding allows, √(rtol/10ε) with the tolerance of `solve`, and 2000 outside of it.
    """

    max_stages: Scalar | None = None

    term_structure = diffrax.AbstractTerm
    interpolation_cls = diffrax.ThirdOrderHermitePolynomialInterpolation

    def order(self, terms):
        return 2

    def error_order(self, terms):
        return 3

    def func(self, terms, t0, y0, args):
        return terms.vf(t0, y0, args)

    def init(self, terms, t0, t1, y0, args):
        # All evaluations are left to the first step: every further place where the field stands costs compilation.
        nothing = jax.tree.map(jnp.zeros_like, y0)
        return _State(nothing, nothing, -jnp.ones_like(tree_norm(y0)), jnp.asarray(0), jnp.asarray(0))

    def step(self, terms, t0, t1, y0, args, solver_state, made_jump):
        state = _refreshed(terms, t0, y0, args, solver_state, made_jump)
        control = terms.contr(t0, t1)
        k0 = terms.prod(state.field, control)
        allowed = jnp.asarray(MAX_STAGES if self.max_stages is None else self.max_stages, int)
        wanted = _stages(t1 - t0, state.radius, allowed + 1)
        stages = jnp.where(wanted > allowed, 2, wanted)
        y1, field1 = _chebyshev_stages(terms, t0, t1, y0, args, k0, control, stages)
        k1 = terms.prod(field1, control)

        def estimate(y0, y1, k0, k1):
            error = 0.8 * (y0 - y1) + 0.4 * (k0 + k1)
            return jnp.where(wanted > allowed, jnp.inf, error)

        y_error = jax.tree.map(estimate, y0, y1, k0, k1)
        state = state._replace(
            field=field1, evaluations=state.evaluations + stages, since_refresh=state.since_refresh + stages
        )
        return y1, y_error, dict(y0=y0, y1=y1, k0=k0, k1=k1), state, diffrax.RESULTS.successful


def _refreshed(terms, t0, y0, args, state: _State, made_jump) -> _State:
    """F(y₀) and ρ brought up to date, by power iterations on ∂F/∂y: many when nothing is known, a few when they are
    due, else none.

    The field comes with the first product, so that it needs no evaluation of its own. A loop and not a branch: under
    vmap a branch would evaluate always, a loop only as long as some run of the batch needs it.
    """
    cold = (state.radius < 0) | jnp.asarray(made_jump)
    due = state.since_refresh >= _REFRESH_RATIO * _EVALUATIONS_PER_ITERATION * _WARM_ITERATIONS
    allowed = jnp.where(cold, _COLD_ITERATIONS, jnp.where(due, _WARM_ITERATIONS, 0))
    guess = tree_irregular_like(y0)
    vector = jax.tree.map(lambda g, v: jnp.where(cold, g, v), guess, state.eigenvector)

    def unconverged(carry):
        done, _, _, radius, previous = carry
        return (done < allowed) & (jnp.abs(radius - previous) > _CONVERGED * radius)

    def iterate(carry):
        done, _, vector, radius, _ = carry
        field, image = jax.jvp(lambda y: terms.vf(t0, y, args), (y0,), (vector,))
        size = tree_norm(image)
        usable = (size > 0) & jnp.isfinite(size)
        vector = jax.tree.map(lambda new, old: jnp.where(usable, new / size.astype(new.dtype), old), image, vector)
        return done + 1, field, vector, size, radius

    # Compared with infinity the first time, so that at least one iteration runs.
    unknown = jnp.full_like(state.radius, jnp.inf)
    carry = jnp.asarray(0), state.field, vector, jnp.maximum(state.radius, 0), unknown
    done, field, vector, radius, _ = lax.while_loop(unconverged, iterate, carry)
    return _State(
        field=field,
        eigenvector=vector,
        radius=radius,
        evaluations=state.evaluations + _EVALUATIONS_PER_ITERATION * done,
        since_refresh=jnp.where(done > 0, 0, state.since_refresh),
    )


def _stages(h, radius, most) -> Array:
    """The smallest s ≥ 2 with hρ ≤ β(s), at most `most`, also if ρ is not finite."""
    per_square = rkc2_stability_interval(math.sqrt(2.0)).astype(radius.dtype)
    needed = jnp.ceil(jnp.sqrt(1 + jnp.abs(h).astype(radius.dtype) * _RADIUS_SAFETY * radius / per_square))
    fits = needed < most.astype(radius.dtype)
    return jnp.where(fits, jnp.where(fits, jnp.maximum(needed, 2), 2).astype(int), most)


class _Stage(NamedTuple):
    """Before stage j: Chebyshev values of degrees j − 2 and j − 1, Y_{j−2} and Y_{j−1}, and F(Y_{j−2})."""

    j: Array
    degree_a: Array
    degree_b: Array
    y_a: PyTree
    y_b: PyTree
    field: PyTree


def _chebyshev_stages(terms, t0, t1, y0, args, k0, control, stages):
    """y₁ and F(y₁) after s stages; Chebyshev values at w₀ and their derivatives come from three-term recurrences."""
    dtype = jnp.result_type(t0)
    w0 = 1 + _DAMPING / stages.astype(dtype) ** 2
    # (T, T', T'') of one degree as a vector, so that one fused operation makes the next.
    degree0, degree1 = jnp.asarray([1, 0, 0], dtype), jnp.stack([w0, jnp.ones((), dtype), jnp.zeros((), dtype)])

    def following(a, b):
        return 2 * w0 * b + jnp.asarray([0, 2, 4], dtype) * jnp.roll(b, 1) - a

    degree2 = following(degree0, degree1)
    _, degree_s = lax.fori_loop(1, stages, lambda _, pair: (pair[1], following(*pair)), (degree0, degree1))
    w1 = degree_s[1] / degree_s[2]

    def weight(j, degree):
        """b_j = T_j''/T_j'², with b₀ = b₁ = b₂."""
        value = jnp.where(j < 2, degree2, degree)
        return value[2] / value[1] ** 2

    def body(stage: _Stage) -> _Stage:
        j, degree_c = stage.j, following(stage.degree_a, stage.degree_b)
        b_a, b_b, b_c = weight(j - 2, stage.degree_a), weight(j - 1, stage.degree_b), weight(j, degree_c)
        mu, nu, mu_tilde = 2 * b_c * w0 / b_b, -b_c / b_a, 2 * b_c * w1 / b_b
        gamma = -(1 - b_b * stage.degree_b[0]) * mu_tilde
        # Stage times are c_j = w₁ T_j''/T_j' with c₁ = c₂/T₂'(w₀); the last one is t₁ itself, to the last digit.
        ratio = jnp.where(j == 2, degree2[2] / degree2[1] ** 2, stage.degree_b[2] / stage.degree_b[1])
        time = jnp.where(j > stages, t1, t0 + w1 * ratio * (t1 - t0))
        field = terms.vf(time, stage.y_b, args)
        k = terms.prod(field, control)

        def combine(y0, y_a, y_b, k, k0):
            c = [x.astype(y0.dtype) for x in (1 - mu - nu, mu, nu, mu_tilde, gamma)]
            return c[0] * y0 + c[1] * y_b + c[2] * y_a + c[3] * k + c[4] * k0

        y_c = jax.tree.map(combine, y0, stage.y_a, stage.y_b, k, k0)
        return _Stage(j + 1, stage.degree_b, degree_c, stage.y_b, y_c, field)

    nothing = jax.tree.map(jnp.zeros_like, k0)
    y_1 = tree_axpy(weight(1, degree1) * w1, k0, y0)
    # Round s + 1 evaluates F(Y_s) for the error estimate and the next step; the Y it makes is dropped.
    start = _Stage(jnp.asarray(2), degree0, degree1, y0, y_1, nothing)
    end = lax.while_loop(lambda stage: stage.j <= stages + 1, body, start)
    return end.y_a, end.field
