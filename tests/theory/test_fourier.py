"""The periodic solution: its nine cosines term by term, its amplitude, its errors against what is drawn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from theory import fourier

P = 23
PAIRS = np.stack(np.meshgrid(np.arange(P), np.arange(P), indexing="ij"), axis=-1).reshape(-1, 2)
TRUE = {"add": PAIRS.sum(axis=1) % P, "subtract": (PAIRS[:, 0] - PAIRS[:, 1]) % P}


def test_the_nine_cosines_are_the_output_of_one_neuron():
    generator = np.random.default_rng(0)
    m, n, q, sigma = generator.integers(0, P, (4, 50))
    u, v = generator.uniform(-np.pi, np.pi, (2, 50))
    a = 2 * np.pi * sigma / P
    neuron = np.cos(a * q + u + v) * (np.cos(a * m + u) + np.cos(a * n + v)) ** 2
    terms = fourier.neuron_terms(m, n, q, a, u, v)
    assert terms.shape == (9, 50)
    np.testing.assert_allclose(terms.sum(axis=0), neuron, atol=1e-14)


def test_only_the_first_cosine_survives_the_average_over_phases_and_the_others_have_variance_one():
    grid = 2 * np.pi * np.arange(16) / 16
    u, v = np.meshgrid(grid, grid)
    terms = fourier.neuron_terms(3, 5, 7, 2 * np.pi * 4 / P, u.ravel(), v.ravel())
    means = terms.mean(axis=1)
    np.testing.assert_allclose(means[0], np.cos(2 * np.pi * 4 * (3 + 5 - 7) / P) / 2, rtol=1e-14)
    np.testing.assert_allclose(means[1:], 0, atol=1e-15)
    # A grid of 16 phases averages every product of these waves exactly.
    covariance = np.cov(terms[1:], bias=True)
    expected = np.diag([0.5, 0.125, 0.125, 0.125, *[1 / 32] * 4])
    # Phases u − v and v − u go together.
    expected[4, 6] = expected[6, 4] = np.cos(2 * 2 * np.pi * 4 * (3 + 5 - 7) / P) / 32
    np.testing.assert_allclose(covariance, expected, atol=1e-14)
    assert np.trace(covariance) == pytest.approx(1)


@pytest.mark.parametrize("operation", ["add", "subtract"])
def test_the_mean_output_is_the_one_hot_label(operation):
    width, draws = 40 * P, 30
    generator = np.random.default_rng(1)
    outputs = [fourier.logits(fourier.periodic_weights(P, width, generator, operation), PAIRS) for _ in range(draws)]
    right = np.stack([out[np.arange(P * P), TRUE[operation]] for out in outputs])
    assert right.mean() == pytest.approx(1, abs=4 * np.sqrt(4 / width / draws))
    assert np.mean(outputs) == pytest.approx(1 / P, abs=4 * np.sqrt(4 / width / draws))


def test_the_other_operation_is_not_solved():
    weights = fourier.periodic_weights(P, 40 * P, np.random.default_rng(2), "subtract")
    assert np.mean(fourier.logits(weights, PAIRS).argmax(axis=1) == TRUE["add"]) < 0.2


@pytest.mark.parametrize("width", [2 * P, 20 * P])
def test_the_squared_error_is_four_over_the_width(width):
    generator = np.random.default_rng(3)
    errors = [
        np.mean((fourier.logits(fourier.periodic_weights(P, width, generator), PAIRS) - np.eye(P)[TRUE["add"]]) ** 2)
        for _ in range(60)
    ]
    error = np.std(errors, ddof=1) / np.sqrt(len(errors))
    # The frequency 0, one neuron in p, has cosines that are not independent, and the right class 1/16 more.
    assert np.mean(errors) == pytest.approx(fourier.expected_squared_error(width), abs=4 * error + 4 / width / P)


def test_with_the_printed_amplitude_the_outputs_are_far_too_large():
    width = 500
    ratio = fourier.printed_amplitude(width) ** 3 / fourier.amplitude(width) ** 3
    assert ratio == pytest.approx((width / 2) ** 2)
    assert fourier.amplitude(width) ** 3 == pytest.approx(2 / width)


def test_accuracy_rises_with_width_as_predicted():
    generator = np.random.default_rng(4)
    widths = [2 * P, 3 * P, 5 * P]
    measured = np.array(
        [
            np.mean(
                [
                    fourier.logits(fourier.periodic_weights(P, width, generator), PAIRS).argmax(axis=1) == TRUE["add"]
                    for _ in range(40)
                ]
            )
            for width in widths
        ]
    )
    predicted = fourier.expected_accuracy(P, widths)
    assert np.all(np.diff(measured) > 0)
    assert 0.5 < measured[0] < 0.99
    np.testing.assert_allclose(measured, predicted, atol=0.05)
    assert fourier.expected_accuracy(97, 5000) == pytest.approx(1, abs=1e-12)
    assert fourier.expected_accuracy(P, 1e-9 + 1) > 1 / P


@pytest.mark.parametrize(("corruption", "expected"), [(0, 1), (0.35, 0.65 + 0.35 / 97), (1, 1 / 97)])
def test_accuracy_without_memorisation(corruption, expected):
    assert fourier.accuracy_without_memorisation(corruption, 97) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: fourier.amplitude(0), "width must be at least 1, got 0"),
        (lambda: fourier.periodic_weights(1, 5, np.random.default_rng(0)), "modulus must be at least 2, got 1"),
        (lambda: fourier.accuracy_without_memorisation(1.2, 97), "corruption must be between 0 and 1, got 1.2"),
    ],
)
def test_bad_input_is_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_an_unknown_operation_is_named(unchecked_types):
    operation: Any = "multiply"
    with pytest.raises(ValueError, match='operation must be "add" or "subtract"'):
        fourier.periodic_weights(5, 5, np.random.default_rng(0), operation)
