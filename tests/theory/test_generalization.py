"""Bounds by hand and by their powers, their inverses, the measured loss of interpolants, and bad input."""

from __future__ import annotations

import numpy as np
import pytest

from theory import generalization, min_norm

FEW = 16 * np.finfo(float).eps


def test_at_the_scale_of_figure_1a_both_bounds_are_vacuous():
    late = generalization.sparse_l1_bound(256, 1e5, 3, 0.05)
    early = generalization.sparse_l2_bound(256, 1e5, 3, 0.05)
    # First terms as in hand computation: 12 √(2·12.206/256) and 4 √(3e5/256).
    assert late.complexity == pytest.approx(3.7056, rel=1e-4)
    assert early.complexity == pytest.approx(136.93, rel=1e-4)
    assert late.deviation == early.deviation == pytest.approx(3 * np.sqrt(np.log(40) / 512), rel=FEW)
    for bound in (late, early):
        assert bound.vacuous
        assert bound.bound == bound.complexity + bound.deviation


@pytest.mark.parametrize("sparsity", [1, 3, 9])
@pytest.mark.parametrize("target", [0.01, 0.5, 3.0])
def test_sample_sizes_invert_the_first_terms(sparsity, target):
    dimension = np.array([10.0, 1e3, 1e6])
    for size, bound in (
        (generalization.sparse_l1_sample_size, generalization.sparse_l1_bound),
        (generalization.sparse_l2_sample_size, generalization.sparse_l2_bound),
    ):
        n = size(dimension, sparsity, target)
        np.testing.assert_allclose(bound(n, dimension, sparsity, 0.1).complexity, target, rtol=FEW)
        assert np.all(bound(2 * n, dimension, sparsity, 0.1).complexity < target)


def test_the_l1_classifier_needs_the_logarithm_of_the_samples_of_the_l2_one():
    dimension = np.logspace(2, 8, 7)
    l1 = generalization.sparse_l1_sample_size(dimension, 3, 0.1)
    l2 = generalization.sparse_l2_sample_size(dimension, 3, 0.1)
    np.testing.assert_allclose(np.diff(l1), 32 * 9 * np.log(10) / 0.01, rtol=1e-12)
    np.testing.assert_allclose(l2[1:] / l2[:-1], 10, rtol=1e-12)


@pytest.mark.parametrize("dimension", [5, 40])
def test_coherence_lies_between_the_rank_and_the_dimension(dimension):
    generator = np.random.default_rng(0)
    factor = generator.normal(size=(dimension, 3))
    coherence = generalization.coherence(factor)
    assert 3 <= coherence <= dimension
    # Of the space, whatever spans it.
    assert generalization.coherence(factor @ generator.normal(size=(3, 3))) == pytest.approx(coherence, rel=1e-9)
    assert generalization.coherence(factor @ factor.T) == pytest.approx(coherence, rel=1e-9)
    axes = np.eye(dimension)[:, :2]
    assert generalization.coherence(axes) == pytest.approx(dimension, rel=FEW)
    waves = np.linalg.qr(np.ones((dimension, 1)))[0]
    assert generalization.coherence(waves) == pytest.approx(1, rel=FEW)
    assert np.max(np.linalg.norm(np.linalg.qr(factor)[0], axis=1)) == pytest.approx(np.sqrt(coherence / dimension))


def test_figure_3_has_far_fewer_entries_than_the_theorem_asks_for():
    coherence = generalization.coherence(np.arange(97.0)[:, None])
    assert coherence == pytest.approx(97 * 96**2 / np.sum(np.arange(97.0) ** 2), rel=1e-12)
    assert generalization.completion_sample_size(97, 1.0) == pytest.approx(2030, rel=1e-3)
    assert generalization.completion_sample_size(97, coherence) > 50 * 470


def test_the_completion_error_has_its_powers():
    base = generalization.completion_error_bound(1e-3, 2.0, 1.5, 50)
    assert base == pytest.approx(np.sqrt(2e-3) * 2.25 * np.log(50), rel=FEW)
    error = generalization.completion_error_bound
    assert error(1e-5, 2.0, 1.5, 50) == pytest.approx(base / 10, rel=FEW)
    assert error(1e-3, 8.0, 1.5, 50) == pytest.approx(2 * base, rel=FEW)
    assert error(1e-3, 2.0, 3.0, 50) == pytest.approx(4 * base, rel=FEW)
    assert error(1e-3, 2.0, 1.5, 2500) == pytest.approx(2 * base, rel=FEW)


def test_label_noise_leaves_the_kernel_interpolant_sharply_in_log_time_only():
    rates = np.array([1e-2, 1e-4, 1e-8])
    early, late = (generalization.label_noise_steps(3.0, rates, exponent) for exponent in (1.5, 2.0))
    np.testing.assert_allclose(late, 3 / rates**2, rtol=FEW)
    np.testing.assert_allclose(np.log(early / 3) / np.log(late / 3), 0.75, rtol=1e-12)


def test_the_range_of_label_noise_can_be_empty():
    wide = generalization.label_noise_sample_range(1000, 3, 2.0, 0.1)
    assert (wide.least, wide.most) == (pytest.approx(6 * np.log(1000)), pytest.approx(900))
    empty = generalization.label_noise_sample_range(10, 3, 5.0, 0.1)
    assert empty.least > empty.most


@pytest.mark.parametrize(("samples", "dimension"), [(4, 20), (12, 15)])
def test_the_l2_interpolant_loses_the_part_of_the_teacher_outside_the_data(samples, dimension):
    generator = np.random.default_rng(samples)
    teacher = np.zeros(dimension)
    teacher[:2] = [3.0, -4.0]
    losses = []
    for _ in range(300):
        inputs = generator.normal(size=(samples, dimension))
        weights = min_norm.l2(inputs, inputs @ teacher).weights
        losses.append(np.sum((weights - teacher) ** 2))
    expected = generalization.min_norm_population_loss(samples, dimension, 5.0)
    error = np.std(losses) / np.sqrt(len(losses))
    assert abs(np.mean(losses) - expected) < 4 * error
    assert error < 0.03 * 25


def test_the_population_loss_vanishes_once_the_samples_determine_the_teacher():
    samples = np.array([1, 50, 100])
    losses = generalization.min_norm_population_loss(samples, 100, 2.0)
    np.testing.assert_allclose(losses, [3.96, 2.0, 0.0], rtol=FEW)


FUNCTIONS = {
    "sparse_l1_bound": (100.0, 40.0, 3.0, 0.1),
    "sparse_l2_bound": (100.0, 40.0, 3.0, 0.1),
    "sparse_l1_sample_size": (40.0, 3.0, 0.1),
    "sparse_l2_sample_size": (40.0, 3.0, 0.1),
    "completion_sample_size": (40.0, 2.0),
    "completion_error_bound": (1e-3, 3.0, 2.0, 40.0),
    "label_noise_steps": (2.0, 0.1, 1.5),
    "label_noise_sample_range": (40.0, 3.0, 2.0, 0.1),
    "min_norm_population_loss": (20.0, 40.0, 2.0),
}
each_function = pytest.mark.parametrize("name", FUNCTIONS)


@each_function
def test_arrays_broadcast_to_what_scalars_give(name):
    function, arguments = getattr(generalization, name), FUNCTIONS[name]
    first = arguments[0] * np.array([[1.0], [1.1], [1.3]])
    second = arguments[1] * np.array([1.0, 1.2])
    together = function(first, second, *arguments[2:])
    alone = [[function(float(a), float(b), *arguments[2:]) for b in second] for a in first[:, 0]]
    if isinstance(together, generalization.ErrorBound | generalization.SampleRange):
        for field in together._fields:
            assert getattr(together, field).shape == (3, 2)
            expected = [[getattr(single, field) for single in row] for row in alone]
            np.testing.assert_allclose(getattr(together, field), expected, rtol=FEW)
    else:
        assert together.shape == (3, 2)
        np.testing.assert_allclose(together, alone, rtol=FEW)


@each_function
@pytest.mark.parametrize("wrong", [0.0, -1.0, np.nan, np.inf])
def test_what_is_not_positive_and_finite_is_named(name, wrong):
    function, arguments = getattr(generalization, name), FUNCTIONS[name]
    for position in range(len(arguments)):
        with pytest.raises(ValueError, match=rf"^\w+ must be positive and finite, got {wrong}$"):
            function(*arguments[:position], [arguments[position], wrong], *arguments[position + 1 :])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: generalization.sparse_l1_bound(10, 5, 6, 0.1), "sparsity must lie between 1 and dimension, got 6.0"),
        (lambda: generalization.sparse_l2_bound(10, 5, 2, 1.0), "failure_probability must lie .* 0 and 1, got 1.0"),
        (lambda: generalization.completion_sample_size(1, 2.0), "size must be at least 2, got 1.0"),
        (lambda: generalization.completion_error_bound(0.1, 1.0, 0.5, 9), "coherence must be at least 1, got 0.5"),
        (lambda: generalization.label_noise_steps(1.0, 1.5, 2.0), "learning_rate must lie .* 0 and 1, got 1.5"),
        (lambda: generalization.label_noise_steps(1.0, 0.5, 1.0), "exponent must be above 1 and at most 2, got 1.0"),
        (lambda: generalization.label_noise_sample_range(9, 2, 1.0, 1.0), "gap_constant must lie .*, got 1.0"),
        (lambda: generalization.min_norm_population_loss(9, 8, 1.0), "samples must not exceed dimension, got 9.0"),
        (lambda: generalization.coherence(np.ones(3)), r"factor must have shape \(d, r\), got \(3,\)"),
        (lambda: generalization.coherence(np.zeros((3, 2))), "factor must be finite and not 0"),
    ],
)
def test_what_is_out_of_range_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
