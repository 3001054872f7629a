"""KKT residuals against closed forms, dense linear algebra, support vector machines, and the flows they describe."""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.svm import SVC

from grokjax import flows
from grokjax.analysis import averaged_stationarity, interpolation_kkt, margin_kkt
from grokjax.losses import Loss, cross_entropy, empirical_risk, exponential, logistic, squared
from grokjax.models import DiagonalParams, diagonal_linear

EPS = np.finfo(float).eps

kkt = jax.jit(margin_kkt, static_argnums=(0, 1, 5))
interpolation = jax.jit(interpolation_kkt, static_argnums=0, static_argnames="batch_size")


def linear(params, x):
    return jnp.dot(params, x)


def logits(params, x):
    return params @ x


def two_layer(params, x):
    """Homogeneous of degree 3, smooth."""
    first, outer = params
    return jnp.dot(outer, jnp.square(first @ x))


def two_layer_logits(params, x):
    first, outer = params
    return outer @ jnp.square(first @ x)


def flat(tree, leading=()):
    return np.concatenate([np.reshape(leaf, (*leading, -1)) for leaf in jax.tree.leaves(tree)], axis=-1)


def jacobian(apply, params, inputs):
    """Dense, forward mode: (n, P), or (n, classes, P)."""
    outputs = lambda p: jax.vmap(lambda x: apply(p, x))(inputs)
    return flat(jax.jacfwd(outputs)(params), outputs(params).shape)


def log_residual(margins, name):
    return -margins - (np.log1p(np.exp(-margins)) if name == "logistic" else 0)


def dense_margin_kkt(theta, degree, margins, gradients, logs):
    """By the definition, at the rescaled point; the scale of the multipliers by least squares."""
    scale = np.min(margins) ** (1 / degree)
    point, gradients, margins = theta / scale, gradients / scale ** (degree - 1), margins / scale**degree
    weights = np.exp(logs - np.max(logs))
    combination = weights @ gradients
    multipliers = weights * np.linalg.lstsq(combination[:, None], point)[0].item()
    return (
        np.linalg.norm(point - multipliers @ gradients) / np.linalg.norm(point),
        multipliers @ (margins - 1) / (point @ point),
        multipliers,
    )


def drawn(seed, *shapes):
    generator = np.random.default_rng(seed)
    return [jnp.asarray(generator.normal(size=shape)) for shape in shapes]


def fitted(apply, params, inputs, scale=1.0):
    """Labels that the model gets right, and the parameters scaled."""
    labels = jnp.sign(jax.vmap(lambda x: apply(params, x))(inputs))
    return jax.tree.map(lambda leaf: scale * leaf, params), inputs, labels


@pytest.mark.parametrize("scale", [0.5, 1.0, 20.0])
@pytest.mark.parametrize("loss", [logistic, exponential], ids=lambda loss: loss.name)
def test_residuals_follow_their_definition(loss, scale):
    first, outer, inputs = drawn(0, (6, 4), (6,), (7, 4))
    params, inputs, labels = fitted(two_layer, (first, outer), inputs, scale)
    found = kkt(two_layer, 3, params, inputs, labels, loss)
    signs, theta = np.asarray(labels), flat(params)
    margins = signs * np.asarray(jax.vmap(lambda x: two_layer(params, x))(inputs))
    expected = dense_margin_kkt(
        theta, 3, margins, signs[:, None] * jacobian(two_layer, params, inputs), log_residual(margins, loss.name)
    )
    # Margins enter exponents, where their rounding is multiplied by their size.
    tolerance = 100 * EPS * max(1, np.max(margins))
    np.testing.assert_allclose(found.stationarity, expected[0], rtol=tolerance)
    # The definition subtracts 1 from margins near 1.
    np.testing.assert_allclose(found.complementarity, expected[1], rtol=tolerance, atol=10 * EPS)
    np.testing.assert_allclose(found.multipliers, expected[2], rtol=tolerance, atol=1e-300)
    np.testing.assert_allclose(found.margin, np.min(margins) / np.linalg.norm(theta) ** 3, rtol=tolerance)
    np.testing.assert_allclose(found.stationarity**2 + found.cosine**2, 1, rtol=10 * EPS)
    # Euler: ⟨θ̃, Σ μ_k ∇q_k⟩ = L Σ μ_k q_k, and the left side is cosine²‖θ̃‖².
    square = found.margin ** (-2 / 3)
    identity = found.cosine**2 / 3 - jnp.sum(found.multipliers) / square
    np.testing.assert_allclose(found.complementarity, identity, rtol=0, atol=tolerance)
    assert 0 < found.stationarity < 1
    assert 0 <= found.complementarity < 1 / 3


@pytest.mark.parametrize("scale", [1.0, 10.0])
def test_of_several_classes_every_pair_is_a_constraint(scale):
    first, outer, inputs = drawn(1, (6, 4), (3, 6), (7, 4))
    labels = jnp.argmax(jax.vmap(lambda x: two_layer_logits((first, outer), x))(inputs), axis=-1)
    params = (scale * first, scale * outer)
    found = kkt(two_layer_logits, 3, params, inputs, labels, cross_entropy)
    values = np.asarray(jax.vmap(lambda x: two_layer_logits(params, x))(inputs))
    dense = jacobian(two_layer_logits, params, inputs)
    pairs = [(i, j) for i in range(7) for j in range(3) if j != labels[i]]
    margins = np.asarray([values[i, labels[i]] - values[i, j] for i, j in pairs])
    gradients = np.asarray([dense[i, labels[i]] - dense[i, j] for i, j in pairs])
    # −∂ℓ/∂q_ij is the probability of class j.
    logs = np.asarray([values[i, j] - np.logaddexp.reduce(values[i]) for i, j in pairs])
    epsilon, delta, multipliers = dense_margin_kkt(flat(params), 3, margins, gradients, logs)
    tolerance = 100 * EPS * np.max(np.abs(values))
    np.testing.assert_allclose(found.stationarity, epsilon, rtol=tolerance)
    np.testing.assert_allclose(found.complementarity, delta, rtol=tolerance, atol=10 * EPS)
    np.testing.assert_allclose([found.multipliers[pair] for pair in pairs], multipliers, rtol=tolerance, atol=1e-300)
    assert not np.any(np.asarray(found.multipliers)[np.arange(7), labels])


def test_two_classes_are_the_binary_problem():
    params, inputs = drawn(2, (4,), (6, 4))
    classes = (inputs @ params < 0).astype(int)
    binary = kkt(linear, 1, params, inputs, 1 - 2 * classes, logistic)
    pair = lambda p, x: jnp.stack([jnp.dot(p, x), jnp.zeros(())])
    both = kkt(pair, 1, params, inputs, classes, cross_entropy)
    for name in ("stationarity", "complementarity", "cosine", "margin"):
        np.testing.assert_allclose(getattr(both, name), getattr(binary, name), rtol=100 * EPS)
    np.testing.assert_allclose(jnp.sum(both.multipliers, axis=1), binary.multipliers, rtol=100 * EPS)


@pytest.mark.parametrize(
    ("depth", "x", "u", "critical"),
    [
        (2, [2.0, 1.0], [1.0, 0.0], True),
        (2, [2.0, 1.0], [0.0, 1.0], True),
        (2, [2.0, 2.0], [0.6, 0.8], True),
        (2, [2.0, 1.0], [1.0, 1.0], False),
        (3, [2.0, 1.0], [1.0, 2.0], True),
        (3, [2.0, 1.0], [1.0, 0.0], True),
        (3, [2.0, 1.0], [1.0, 1.0], False),
    ],
)
def test_one_sample_binds_and_its_kkt_points_have_equal_powers_times_inputs(depth, x, u, critical):
    """Where u is not zero, u = μ·L·u^(L−1)·x asks for the same u^(L−2)·x everywhere, a local optimum or not."""
    x, u = jnp.asarray(x), jnp.asarray(u)
    params = DiagonalParams(5 * u, jnp.zeros(2))
    model = diagonal_linear(depth)
    found = kkt(model.apply, model.degree, params, x[None], jnp.ones(1), logistic)
    pull = u ** (depth - 1) * x
    cosine = u @ pull / (jnp.linalg.norm(u) * jnp.linalg.norm(pull))
    np.testing.assert_allclose(found.cosine, cosine, rtol=10 * EPS)
    assert found.complementarity == 0
    if critical:
        assert found.stationarity <= 10 * EPS
        # ‖θ̃‖² = L Σ μ, and θ̃ has output 1.
        scale = jnp.sum(u**depth * x) ** (1 / depth)
        np.testing.assert_allclose(found.multipliers, [u @ u / scale**2 / depth], rtol=20 * EPS)
    else:
        np.testing.assert_allclose(found.stationarity, jnp.sqrt(1 - cosine**2), rtol=100 * EPS)
        assert found.stationarity > 0.1


@functools.cache
def separable():
    """A problem with three support vectors, and its solution and multipliers from a support vector machine."""
    generator = np.random.default_rng(4)
    inputs = generator.normal(size=(12, 3))
    inputs += 1.5 * np.sign(inputs @ [1.0, -1.0, 0.5])[:, None] * [1.0, -1.0, 0.5]
    labels = np.sign(inputs @ [1.0, -1.0, 0.5])
    # Mirrored data have no intercept.
    both, signs = np.concatenate([inputs, -inputs]), np.concatenate([labels, -labels])
    machine = SVC(kernel="linear", C=1e10, tol=1e-10).fit(both, signs)
    duals = np.zeros(24)
    duals[machine.support_] = np.abs(machine.dual_coef_[0])
    return jnp.asarray(inputs), jnp.asarray(labels), machine.coef_[0], duals[:12] + duals[12:]


def at_the_solution(size):
    """The max-margin direction, with the bounded correction that gives residuals the proportions of its multipliers."""
    inputs, labels, solution, duals = separable()
    support = duals > 1e-6 * np.max(duals)
    signed = np.asarray(labels)[:, None] * np.asarray(inputs)
    return jnp.asarray(size * solution + np.linalg.lstsq(signed[support], -np.log(duals[support]))[0])


def test_at_the_svm_residuals_vanish_and_multipliers_are_its_duals():
    """The flow nears the solution as c·w* + O(1), which makes ε and δ of order 1/c."""
    inputs, labels, solution, duals = separable()
    products, sizes = [], [1e2, 1e3, 1e4]
    for size in sizes:
        found = kkt(linear, 1, at_the_solution(size), inputs, labels, exponential)
        products.append([found.stationarity * size, found.complementarity * size])
        np.testing.assert_allclose(found.multipliers, duals, rtol=0, atol=20 / size * np.max(duals))
        np.testing.assert_allclose(found.margin, 1 / np.linalg.norm(solution), rtol=20 / size)
    np.testing.assert_allclose(products[-1], products[-2], rtol=2e-2)


def test_away_from_the_svm_residuals_do_not_vanish_however_large_the_margins():
    inputs, labels, solution, _ = separable()
    teacher = jnp.asarray([1.0, -1.0, 0.5])
    assert teacher @ solution < 0.99 * np.linalg.norm(teacher) * np.linalg.norm(solution)
    for size in (1e2, 1e4):
        found = kkt(linear, 1, size * teacher, inputs, labels, exponential)
        assert found.margin < 0.99 / np.linalg.norm(solution)
        assert found.stationarity > 0.1


def test_minimisers_with_ever_less_weight_decay_near_the_svm():
    """ε = 0 at each of them; δ·log(1/λ) stays bounded."""
    inputs, labels, solution, _ = separable()
    objective = empirical_risk(linear, logistic, inputs, labels)

    @jax.jit
    def minimise(params, decay):
        def newton(_, params):
            gradient = jax.grad(objective)(params) + decay * params
            step = jnp.linalg.solve(jax.hessian(objective)(params) + decay * jnp.eye(3), gradient)
            return params - jnp.minimum(1.0, 0.5 / jnp.linalg.norm(step)) * step

        return jax.lax.fori_loop(0, 100, newton, params)

    params, deltas, margin = jnp.zeros(3), [], math.nan
    for decay in 10.0 ** -np.arange(0, 13, 2):
        params = minimise(params, decay)
        found = kkt(linear, 1, params, inputs, labels, logistic)
        assert found.stationarity < 1e-9
        deltas.append(float(found.complementarity) * math.log(1 / decay))
        margin = found.margin
    assert max(deltas) < 2 * deltas[-1]
    np.testing.assert_allclose(margin, 1 / np.linalg.norm(solution), rtol=0.1)


def test_a_flow_with_weight_decay_ends_stationary_and_does_not_begin_so():
    model, decay = diagonal_linear(2), 1e-2
    inputs, teacher = drawn(5, (5, 8), (8,))
    labels = jnp.sign(inputs @ teacher)
    flow = flows.gradient_flow(empirical_risk(model.apply, logistic, inputs, labels), decay)
    observe = lambda t, params: margin_kkt(model.apply, 2, params, inputs, labels, logistic)
    times = np.asarray([0.0, 100.0, 500.0, 3000.0])
    found = flows.solve(flow, model.init(None, 8, 20.0), times, observe=observe, rtol=1e-10, atol=1e-12).observed
    assert np.isnan(found.stationarity[0])
    assert found.stationarity[1] > 0.3
    # Coordinates outside the support die out like e^(−cλt), c < 1.
    assert found.stationarity[-1] < 1e-3
    assert np.all(np.diff(found.cosine) > 0)
    assert np.all(np.diff(found.margin[1:]) > 0)


@pytest.mark.parametrize("size", [1e3, 1e8, 1e100, 1e150])
def test_losses_far_below_the_smallest_number_leave_finite_residuals(size):
    inputs, labels, *_ = separable()
    params = size * jnp.asarray([1.0, -1.0, 0.5])
    assert empirical_risk(linear, logistic, inputs, labels)(params) == 0
    found, unlike = (kkt(linear, 1, params, inputs, labels, loss) for loss in (logistic, exponential))
    for a, b in zip(found, unlike, strict=True):
        assert np.all(np.isfinite(a))
        np.testing.assert_allclose(a, b, rtol=10 * EPS)
    # One sample has all the weight.
    signed = labels[:, None] * inputs
    binding = signed[jnp.argmin(signed @ params)]
    unit = params / jnp.linalg.norm(params)
    sine = jnp.linalg.norm(unit - (unit @ binding) * binding / (binding @ binding))
    np.testing.assert_allclose(found.stationarity, sine, rtol=10 * EPS)
    assert found.complementarity == pytest.approx(0, abs=1e-50)


@pytest.mark.parametrize("params", [[-1.0, 1.0, -0.5], [0.0, 0.0, 0.0], [math.nan, 1.0, 1.0]])
def test_what_is_not_fitted_has_no_residuals(params):
    inputs, labels, *_ = separable()
    params = jnp.asarray(params)
    found = kkt(linear, 1, params, inputs, labels, logistic)
    assert np.isnan(found.stationarity)
    assert np.isnan(found.complementarity)
    assert np.all(np.isnan(found.multipliers))
    expected = jnp.min(labels * (inputs @ params)) / jnp.linalg.norm(params)
    np.testing.assert_allclose(found.margin, expected, rtol=10 * EPS)
    assert np.isnan(found.cosine) == np.isnan(expected)


def test_multipliers_of_the_wrong_sign_are_no_multipliers():
    found = kkt(linear, 1, jnp.ones(2), jnp.asarray([[2.0, 1.0], [0.0, 0.5]]), jnp.ones(2), squared)
    assert np.isnan(found.stationarity)
    below = kkt(linear, 1, jnp.ones(2) / 4, jnp.asarray([[2.0, 1.0], [0.0, 0.5]]), jnp.ones(2), squared)
    assert np.isfinite(below.stationarity)


def test_many_parameters_at_once_are_one_at_a_time_and_compile_once():
    traces = []

    def counted(params, x):
        traces.append(x.shape)
        return two_layer(params, x)

    first, outer, inputs = drawn(6, (3, 5, 4), (3, 5), (6, 4))
    labels = jnp.asarray([1, 1, -1, 1, -1, 1])
    run = jax.jit(jax.vmap(lambda p: margin_kkt(counted, 3, p, inputs, labels, logistic)))
    together = run((first, outer))
    run((first + 1, outer))
    assert len(traces) == 1
    for k in range(3):
        alone = kkt(two_layer, 3, (first[k], outer[k]), inputs, labels, logistic)
        for a, b in zip(together, alone, strict=True):
            np.testing.assert_allclose(a[k], b, rtol=1e4 * EPS)


def test_single_precision_gives_single_precision():
    inputs, labels, *_ = separable()
    params = jnp.asarray([1.0, -1.0, 0.5])
    double = kkt(linear, 1, params, inputs, labels, logistic)
    single = kkt(linear, 1, params.astype("float32"), inputs.astype("float32"), labels, logistic)
    for a, b in zip(single, double, strict=True):
        assert a.dtype == jnp.float32
        np.testing.assert_allclose(a, b, rtol=100 * float(jnp.finfo(jnp.float32).eps), atol=1e-6)


CASES = {
    "linear": (linear, drawn(7, (9,))[0], drawn(8, (4, 9))[0]),
    "diagonal": (diagonal_linear(3).apply, DiagonalParams(*drawn(9, (9,), (9,))), drawn(8, (4, 9))[0]),
    "two layers": (two_layer, tuple(drawn(10, (5, 4), (5,))), drawn(11, (6, 4))[0]),
    "repeated samples": (two_layer, tuple(drawn(10, (5, 4), (5,))), jnp.tile(drawn(11, (3, 4))[0], (2, 1))),
}


@pytest.mark.parametrize("case", CASES)
def test_the_best_multipliers_are_those_of_dense_least_squares(case):
    apply, params, inputs = CASES[case]
    found = interpolation(apply, params, inputs, jnp.zeros(len(inputs)), batch_size=2)
    dense, theta = jacobian(apply, params, inputs), flat(params)
    expected, _, rank, _ = np.linalg.lstsq(dense.T, theta, rcond=1e-8)
    stationarity = np.linalg.norm(theta - dense.T @ expected) / np.linalg.norm(theta)
    np.testing.assert_allclose(found.stationarity, stationarity, rtol=1e-13)
    np.testing.assert_allclose(found.multipliers, expected, rtol=0, atol=1e-12 * np.max(np.abs(expected)))
    assert int(found.rank) == rank


@pytest.mark.parametrize("offset", [0.0, 1e-8, 0.5, 3.0])
@pytest.mark.parametrize("conditioning", [1.0, 1e4])
def test_the_least_interpolant_is_a_kkt_point_and_what_is_added_across_shows(offset, conditioning):
    generator = np.random.default_rng(12)
    rows, _ = np.linalg.qr(generator.normal(size=(8, 8)))
    inputs = np.geomspace(1, 1 / conditioning, 3)[:, None] * rows[:3]
    targets = np.asarray([1.0, -2.0, 0.5])
    least = np.linalg.pinv(inputs) @ targets
    theta = least + offset * np.linalg.norm(least) * rows[5]
    found = interpolation(linear, jnp.asarray(theta), jnp.asarray(inputs), jnp.asarray(targets))
    # Without the second pass the error would be conditioning²·ε.
    np.testing.assert_allclose(found.stationarity, offset / math.hypot(1, offset), rtol=0, atol=20 * EPS * conditioning)
    assert found.largest_error <= 20 * EPS * conditioning
    assert found.rank == 3


def test_errors_are_those_of_the_targets_and_scale_with_them():
    inputs, params = jnp.eye(4), jnp.asarray([1.0, 2.0, 3.0, 4.0])
    found = interpolation(linear, params, inputs, jnp.asarray([1, 2, 3, 1]))
    assert found.largest_error == 3
    assert found.rms_error == 1.5
    assert found.stationarity <= EPS
    np.testing.assert_allclose(found.multipliers, params, rtol=4 * EPS)


def test_neither_samples_without_gradient_nor_parameters_of_no_size_break_anything():
    found = interpolation(linear, jnp.ones(3), jnp.zeros((2, 3)), jnp.ones(2))
    assert (found.stationarity, found.rank, found.largest_error) == (1, 0, 1)
    assert np.isnan(interpolation(linear, jnp.zeros(3), jnp.ones((2, 3)), jnp.ones(2)).stationarity)


def test_a_regression_flow_ends_at_an_interpolant_that_is_nearly_critical():
    """At stationarity λθ = −∇𝓛 lies in the span of the gradients, whatever λ."""
    model, decay = diagonal_linear(2), 1e-2
    inputs, teacher = drawn(13, (4, 8), (8,))
    targets = inputs @ teacher
    flow = flows.gradient_flow(empirical_risk(model.apply, squared, inputs, targets), decay)
    observe = lambda t, params: interpolation_kkt(model.apply, params, inputs, targets)
    times = np.asarray([0.0, 1.0, 3000.0])
    found = flows.solve(flow, model.init(None, 8, 10.0), times, observe=observe, rtol=1e-10, atol=1e-12).observed
    assert found.stationarity[1] > 0.3
    assert found.stationarity[-1] < 1e-3
    assert found.largest_error[-1] < 0.1 * found.largest_error[0]


def test_interpolation_under_jit_and_vmap_is_one_at_a_time():
    apply, (first, outer), inputs = CASES["two layers"]
    targets = jnp.arange(6.0)
    batch = (jnp.stack([first, 2 * first, -first]), jnp.stack([outer, outer + 1, outer]))
    together = jax.jit(jax.vmap(lambda p: interpolation_kkt(apply, p, inputs, targets)))(batch)
    for k in range(3):
        alone = interpolation(apply, (batch[0][k], batch[1][k]), inputs, targets)
        for a, b in zip(together, alone, strict=True):
            np.testing.assert_allclose(a[k], b, rtol=1e-10)


INPUTS, LABELS = jnp.ones((2, 3)), jnp.ones(2)
UNNAMED = Loss("constant", lambda f, y: f, lambda f, y: f)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: margin_kkt(linear, None, jnp.ones(3), INPUTS, LABELS, logistic), "^degree must be .*got None"),
        (lambda: margin_kkt(linear, 0, jnp.ones(3), INPUTS, LABELS, logistic), "^degree must be positive.*got 0$"),
        (lambda: margin_kkt(logits, 1, jnp.ones((1, 3)), INPUTS, LABELS, UNNAMED), r"^apply must .*shape \(1,\)$"),
        (lambda: margin_kkt(jnp.outer, 1, jnp.ones(3), INPUTS, LABELS, UNNAMED), r"^apply must .*shape \(3, 3\)$"),
        (lambda: interpolation_kkt(logits, jnp.ones((2, 3)), INPUTS, LABELS), r"^apply must .*shape \(2,\)$"),
        (lambda: interpolation_kkt(linear, jnp.ones(3), INPUTS, LABELS, batch_size=0), "^batch_size must be .*got 0$"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.usefixtures("unchecked_types")
def test_one_label_belongs_to_each_sample():
    with pytest.raises(ValueError, match=r"labels must have shape \(2,\)"):
        margin_kkt(linear, 1, jnp.ones(3), INPUTS, jnp.ones(3), logistic)
    with pytest.raises(ValueError, match=r"labels must have shape \(2,\)"):
        interpolation_kkt(linear, jnp.ones(3), INPUTS, jnp.ones(3))


def test_over_short_stretches_of_a_smooth_flow_the_averaged_residual_is_the_pointwise_one():
    """θ' = −(A + λ)θ with A = diag(a): −∇𝓛/λ = −Aθ/λ, and a positive cosine where a is negative."""
    decay, slopes = 0.5, np.asarray([-1.0, -0.2, 0.3])
    spacing = 1e-4
    times = np.asarray([0.0, spacing, 1.0, 1.0 + spacing])  # of τ = λt
    params = np.exp(-(slopes + decay) * times[:, None] / decay)
    middle = np.exp(-(slopes + decay) * (times[:, None] + spacing / 2) / decay)[[0, 2]]
    descent = -slopes * middle
    cosine = np.sum(middle * descent, axis=1) / np.linalg.norm(middle, axis=1) / np.linalg.norm(descent, axis=1)
    got = averaged_stationarity(times, {"all": jnp.asarray(params)})
    # Differences over a stretch are of second order in it, and lose ε/spacing to rounding.
    np.testing.assert_allclose(got[::2], np.sqrt(1 - cosine**2), atol=10 * spacing**2 + 100 * EPS / spacing)


def test_a_flow_that_slides_along_a_kink_rests_in_the_mean_and_not_at_any_point():
    """𝓛 = −c·y + 10|x| with decay rests at (0, c/λ); gradient steps of size h go x = ±5h for ever."""
    h, decay = 1e-3, 1.0
    x, y = 5 * h, 1.0
    points = []
    for _ in range(2001):
        points.append((x, y))
        x, y = x - h * (10 * math.copysign(1, x) + decay * x), y + h * (1.0 - decay * y)
    path = np.asarray(points)[[0, 2000]]
    assert float(averaged_stationarity(h * decay * np.asarray([0.0, 2000.0]), jnp.asarray(path))[0]) < 10 * h
    beside = np.asarray(points)[[0, 1]]
    assert float(averaged_stationarity(h * decay * np.asarray([0.0, 1.0]), jnp.asarray(beside))[0]) > 0.9


def test_a_flow_that_only_shrinks_has_no_mean_gradient_and_the_largest_residual():
    times = jnp.asarray([0.0, 0.1, 0.2])
    params = jnp.exp(-1.5 * times)[:, None] * jnp.ones((1, 4))
    np.testing.assert_allclose(averaged_stationarity(times, params), 1, rtol=1e-12)
