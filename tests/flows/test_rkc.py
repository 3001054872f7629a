"""RKC2 against theory: order of convergence, interval of stability, cost against stiffness, and its own books."""

from __future__ import annotations

import math

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from grokjax import losses, models
from grokjax.flows import RKC2, Status, gradient_flow, rkc2_stability_interval, solve
from grokjax.flows.field import Flow
from grokjax.flows.rkc import _chebyshev_stages, _stages
from grokjax.flows.tree import tree_norm

Partial = jax.tree_util.Partial


def itself(t, y):
    return y


def flow_of(field):
    """A flow from `field(t, y)`."""
    return Flow(Partial(field), Partial(itself), Partial(tree_norm))


def nonlinear_field(t, y):
    """Non-linear and non-autonomous, with solution y = cos(t²) + e^(−t)."""
    solution, slope = jnp.cos(t**2) + jnp.exp(-t), -2 * t * jnp.sin(t**2) - jnp.exp(-t)
    return slope - 20 * (y**3 - solution**3)


def fixed_step_error(step):
    controller = diffrax.ConstantStepSize()
    run = solve(
        flow_of(nonlinear_field),
        jnp.asarray(2.0),
        [1.0],
        solver=RKC2(),
        stepsize_controller=controller,
        first_step_size=step,
    )
    return abs(float(run.observed[0]) - (math.cos(1) + math.exp(-1)))


def test_order_of_convergence_is_two():
    steps = np.asarray([1 / 256, 1 / 512, 1 / 1024, 1 / 2048])
    slope = np.polyfit(np.log(steps), np.log([fixed_step_error(h) for h in steps]), 1)[0]
    # The next term of the error is one order in h higher: a tenth of the leading one at these steps.
    assert abs(slope - 2) < 0.1


@pytest.mark.parametrize("stages", [2, 3, 5, 10, 50, 200])
def test_a_step_multiplies_modes_by_the_stability_polynomial(stages):
    """P_s(z) = 1 + b_s (T_s(w₀ + w₁z) − T_s(w₀)), from NumPy's own Chebyshev polynomials."""
    chebyshev = np.polynomial.Chebyshev.basis(stages)
    w0 = 1 + 2 / 13 / stages**2
    value, slope, bend = (float(p(w0)) for p in (chebyshev, chebyshev.deriv(1), chebyshev.deriv(2)))
    z = np.linspace(-float(rkc2_stability_interval(stages)), 0, 41)
    expected = 1 + bend / slope**2 * (chebyshev(w0 + slope / bend * z) - value)

    y0 = jnp.ones(z.size)
    terms = diffrax.ODETerm(lambda t, y, args: jnp.asarray(z) * y)
    y1, _ = _chebyshev_stages(terms, jnp.zeros(()), jnp.ones(()), y0, None, jnp.asarray(z), 1.0, jnp.asarray(stages))
    # Rounding grows like s² times the unit round-off inside a step.
    np.testing.assert_allclose(y1, expected, atol=10 * stages**2 * np.finfo(float).eps)


@pytest.mark.parametrize("stages", [2, 5, 20, 100])
def test_the_stability_interval_is_as_long_as_theory_says_and_no_longer(stages):
    def growth(z):
        terms = diffrax.ODETerm(lambda t, y, args: z * y)
        start = jnp.ones(z.shape)
        end, _ = _chebyshev_stages(terms, jnp.zeros(()), jnp.ones(()), start, None, z, 1.0, jnp.asarray(stages))
        return jnp.abs(end)

    length = float(rkc2_stability_interval(stages))
    assert float(jnp.max(growth(-jnp.linspace(0, length, 4001)))) <= 1 + 1e-9
    assert float(growth(-jnp.asarray([1.1 * length]))[0]) > 1


def test_one_stage_less_than_chosen_is_unstable_and_the_chosen_number_is_stable():
    for radius in (10.0, 1e3, 1e5):
        stages = _stages(jnp.asarray(1.0), jnp.asarray(radius), jnp.asarray(10**6))
        assert float(rkc2_stability_interval(stages)) >= radius
        # The estimate of the radius is taken 15 % larger than it is.
        assert stages == 2 or float(rkc2_stability_interval(stages - 1)) < 1.15 * radius


def quadratic(matrix, y):
    return 0.5 * y @ matrix @ y


def spectrum_flow(stiffness, size=40):
    """The gradient flow of ½ Σ κ_i y_i², κ from 1 to the stiffness, in the eigenbasis turned by a fixed rotation."""
    rotation, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(size, size)))
    matrix = jnp.asarray((rotation * np.geomspace(1, stiffness, size)) @ rotation.T)
    return gradient_flow(Partial(quadratic, matrix)), jnp.ones(size), matrix


def test_cost_grows_with_the_square_root_of_stiffness_and_of_tsit5_with_stiffness_itself():
    stiffness = np.asarray([1e2, 1e3, 1e4, 1e5])

    def slope(solver, values):
        costs = []
        for value in values:
            flow, y0, _ = spectrum_flow(value)
            costs.append(int(solve(flow, y0, [2.0], solver=solver, rtol=1e-4).statistics.gradient_evaluations))
        return np.polyfit(np.log(values), np.log(costs), 1)[0]

    # The transient's steps, which number like log κ, flatten the slopes at the low end.
    assert 0.3 < slope(RKC2(), stiffness) < 0.55
    assert 0.8 < slope(diffrax.Tsit5(), stiffness[1:]) < 1.05


@pytest.mark.parametrize("solver", [RKC2(), diffrax.Tsit5()], ids=["RKC2", "Tsit5"])
@pytest.mark.parametrize("rtol", [1e-3, 1e-6, 1e-9])
def test_error_of_a_stiff_linear_flow_stays_within_a_hundred_tolerances(solver, rtol):
    flow, y0, matrix = spectrum_flow(1e3)
    run = solve(flow, y0, [0.01, 0.1, 1.0], solver=solver, rtol=rtol, max_steps=10**6)
    values, vectors = jnp.linalg.eigh(matrix)
    exact = jnp.stack([vectors @ (jnp.exp(-values * t) * (vectors.T @ y0)) for t in (0.01, 0.1, 1.0)])
    # The tolerance is for each step and relative to the state then; the steps number in the hundreds.
    assert float(jnp.max(jnp.linalg.norm(run.observed - exact, axis=1))) < 100 * rtol * float(jnp.linalg.norm(y0))


@pytest.mark.parametrize("solver", [RKC2(), diffrax.Tsit5(), diffrax.Heun()], ids=lambda s: type(s).__name__)
def test_reported_evaluations_are_those_that_were_made(solver):
    """Counted by a callback from inside the field; a Jacobian-vector product evaluates it once and counts two."""
    calls = {"plain": 0, "product": 0}

    @jax.custom_jvp
    def counted(t, y):
        jax.debug.callback(lambda: calls.__setitem__("plain", calls["plain"] + 1))
        return -(1 + 300 * jnp.sin(t) ** 2) * y**3

    @counted.defjvp
    def counted_product(primals, tangents):
        (t, y), (dt, dy) = primals, tangents
        jax.debug.callback(lambda: calls.__setitem__("product", calls["product"] + 1))
        rate, slope = 1 + 300 * jnp.sin(t) ** 2, 300 * jnp.sin(2 * t)
        return -rate * y**3, -3 * rate * y**2 * dy - slope * dt * y**3

    # A first step that is far too long makes sure that steps are refused.
    run = solve(flow_of(counted), jnp.asarray([1.0, 3.0]), [4.0], solver=solver, rtol=1e-6, first_step_size=1.0)
    jax.effects_barrier()
    assert int(run.statistics.rejected) > 0
    assert int(run.statistics.gradient_evaluations) == calls["plain"] + 2 * calls["product"]


def test_the_spectral_radius_costs_at_most_a_quarter_of_all_evaluations():
    calls = []

    @jax.custom_jvp
    def field(t, y):
        return -jnp.asarray([1.0, 1e4]) * y

    @field.defjvp
    def product(primals, tangents):
        jax.debug.callback(lambda: calls.append(1))
        return -jnp.asarray([1.0, 1e4]) * primals[1], -jnp.asarray([1.0, 1e4]) * tangents[1]

    run = solve(flow_of(field), jnp.ones(2), [5.0], solver=RKC2(), rtol=1e-6)
    jax.effects_barrier()
    assert 2 * len(calls) < int(run.statistics.gradient_evaluations) / 4


def test_any_pytree_gives_the_run_of_its_flat_vector():
    def tree_field(t, y):
        return {"a": -y["a"] * (1 + y["b"][0]), "b": (-50 * y["b"][0] + jnp.sum(y["a"]), -y["b"][1])}

    tree = {"a": jnp.asarray([[1.0, 2.0]]), "b": (jnp.asarray(0.5), jnp.asarray([1.0]))}
    flat, unravel = ravel_pytree(tree)

    def flat_field(t, y):
        return ravel_pytree(tree_field(t, unravel(y)))[0]

    run = solve(flow_of(tree_field), tree, [0.5, 2.0], solver=RKC2(), rtol=1e-7)
    flat_run = solve(flow_of(flat_field), flat, [0.5, 2.0], solver=RKC2(), rtol=1e-7)
    assert int(run.statistics.accepted) == int(flat_run.statistics.accepted)
    rows = jax.vmap(lambda *leaves: jnp.concatenate([leaf.ravel() for leaf in leaves]))(*jax.tree.leaves(run.observed))
    np.testing.assert_allclose(rows, flat_run.observed, rtol=1e-12)


def test_it_serves_as_a_plain_diffrax_solver():
    def attempt(controller, step):
        run = diffrax.diffeqsolve(
            diffrax.ODETerm(lambda t, y, args: -100 * (y - jnp.sin(t))), RKC2(), 0.0, 3.0, step, jnp.asarray(1.0),
            stepsize_controller=controller, saveat=diffrax.SaveAt(ts=jnp.asarray([1.5, 3.0])),
        )  # fmt: skip
        return np.asarray(run.ys)

    t = jnp.asarray([1.5, 3.0])
    exact = (jnp.sin(t) - 0.01 * jnp.cos(t)) / 1.0001
    np.testing.assert_allclose(attempt(diffrax.PIDController(rtol=1e-7, atol=1e-7), None), exact, atol=1e-5)
    np.testing.assert_allclose(attempt(diffrax.ConstantStepSize(), 0.01), exact, atol=1e-4)
    # Past the radius of classical stability (2/100) its stages keep the step stable.
    np.testing.assert_allclose(attempt(diffrax.ConstantStepSize(), 0.25), exact, atol=0.05)


def test_a_state_of_single_precision_runs():
    run = solve(flow_of(lambda t, y: -100 * y), jnp.ones(3, jnp.float32), [0.1], solver=RKC2(), rtol=1e-4)
    # Some tens of steps with an error of rtol each, relative to the state then.
    np.testing.assert_allclose(run.observed[0], math.exp(-10), rtol=0.02)


@pytest.mark.parametrize("power", [2, 4])
def test_evaluations_on_the_squared_loss_grow_like_the_initial_scale(power):
    """There the stiffness is α² for as long as memory lasts, and its root is what RKC2 pays, at 10⁴ stages too."""
    inputs = jax.random.normal(jax.random.key(1), (4, 8))
    risk = losses.empirical_risk(models.diagonal_linear(2).apply, losses.squared, inputs, jnp.sign(inputs[:, 0]))

    def cost(norm):
        start = models.diagonal_linear(2).init(None, 8, norm)
        run = solve(gradient_flow(risk, 0.1), start, [math.log(norm) / 0.1], solver=RKC2(), rtol=1e-4)
        assert int(run.status) == Status.SUCCESS
        return int(run.statistics.gradient_evaluations)

    # The tenth is for the time to the switch, which grows by log α.
    assert cost(10.0**power) / cost(10.0) < (10.0 ** (power - 1)) ** 1.1


def test_a_step_of_too_many_stages_is_refused_before_it_costs_anything():
    stiff_flow = flow_of(lambda t, y: -jnp.asarray([1.0, 1e6]) * y)
    run = solve(stiff_flow, jnp.ones(2), [10.0], solver=RKC2(max_stages=100), rtol=1e-3, max_steps=10**5)
    free = solve(stiff_flow, jnp.ones(2), [10.0], solver=RKC2(), rtol=1e-3)
    assert int(run.status) == int(free.status) == Status.SUCCESS
    # Steps are as long as 100 stages reach, or up to five times shorter after a refusal.
    most = 10.0 * 1e6 / float(rkc2_stability_interval(100))
    assert most < int(run.statistics.accepted) < 6 * most
    assert int(run.statistics.gradient_evaluations) < 100 * int(run.statistics.accepted)
    assert int(free.statistics.accepted) < most / 5
