"""Inverse participation ratios and the waves of neurons: reference values, and drawn weights given back."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from grokjax import analysis, models

P = 97
HALF: Any = "half"


def wave(frequency, phase, size=1.0, p=P):
    return size * jnp.cos(2 * jnp.pi / p * frequency * jnp.arange(p, dtype=float) + phase)


@pytest.mark.parametrize(("transform", "expected"), [("real", 1.0), ("full", 0.5)])
@pytest.mark.parametrize("size", [1.0, 1e-20])
def test_a_cosine_takes_part_in_one_frequency_of_the_real_transform_and_two_of_the_full(transform, expected, size):
    assert analysis.ipr(wave(5, 0.7, size), transform) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("transform", ["real", "full"])
def test_a_constant_takes_part_in_one_frequency_and_a_spike_in_all(transform):
    assert analysis.ipr(jnp.ones(P), transform) == pytest.approx(1, abs=1e-12)
    frequencies = P if transform == "full" else P // 2 + 1
    assert analysis.ipr(jnp.eye(P)[3], transform) == pytest.approx(1 / frequencies, rel=1e-12)


@pytest.mark.parametrize(("transform", "expected"), [("real", 0.0396), ("full", 0.0204)])
def test_gaussian_rows_have_the_ratio_of_exponential_powers(key, transform, expected):
    # Powers of m frequencies are exponential: E x²/(m (E x)²) = 2/m, less 2/m² for the common normalisation.
    ratios = analysis.ipr(jax.random.normal(key, (4000, P)), transform)
    error = float(ratios.std()) / np.sqrt(4000)
    assert float(ratios.mean()) == pytest.approx(expected, abs=4 * error + 0.0006)


def test_higher_orders_follow_the_definition(key):
    row = jax.random.normal(key, (P,))
    magnitude = np.abs(np.fft.rfft(row))
    expected = (np.linalg.norm(magnitude, 6) / np.linalg.norm(magnitude, 2)) ** 6
    assert analysis.ipr(row, order=3) == pytest.approx(expected, rel=1e-12)


def drawn(key, width=40):
    keys = jax.random.split(key, 3)
    frequency = jax.random.randint(keys[0], (width,), 1, P // 2 + 1).astype(float)
    phases = jax.random.uniform(keys[1], (2, width), minval=-np.pi, maxval=np.pi)
    size = jax.random.uniform(keys[2], (3, width), minval=0.1, maxval=2.0)
    of = lambda angle, scale: jax.vmap(lambda f, a, s: wave(f, a, s), out_axes=1)(frequency, angle, scale)
    params = models.PairParams(of(phases[0], size[0]), of(phases[1], size[1]), of(phases.sum(axis=0), size[2]), {})
    return params, frequency, phases, size


def test_waves_are_given_back_with_frequency_phases_and_amplitudes(key):
    params, frequency, phases, size = drawn(key)
    waves = analysis.neuron_waves(params)
    assert waves.frequency.tolist() == frequency.tolist()
    np.testing.assert_allclose(waves.phase[:2], phases, atol=1e-10)
    np.testing.assert_allclose(waves.amplitude, size, rtol=1e-10)
    np.testing.assert_allclose(waves.phase_sum, 0, atol=1e-10)
    assert analysis.network_ipr(params) == pytest.approx(1, abs=1e-12)


def test_the_ratio_of_a_neuron_is_the_mean_of_its_three_rows(key):
    params, *_ = drawn(key)
    noisy = params._replace(readout=jax.random.normal(key, params.readout.shape))
    ratios = analysis.neuron_ipr(noisy)
    expected = (2 + analysis.ipr(noisy.readout.T)) / 3
    np.testing.assert_allclose(ratios, expected, rtol=1e-12)


def test_a_wave_at_half_an_even_modulus_keeps_its_amplitude():
    row = wave(4, 0.0, 3.0, p=8)[:, None]
    waves = analysis.neuron_waves(models.PairParams(row, row, row, {}))
    assert waves.frequency.tolist() == [4]
    np.testing.assert_allclose(waves.amplitude, 3.0, rtol=1e-12)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: analysis.ipr(jnp.ones(1)), r"got shape \(1,\)"),
        (lambda: analysis.ipr(jnp.ones(5), HALF), 'transform must be "real" or "full", got'),
        (lambda: analysis.ipr(jnp.ones(5), order=1), "order must be at least 2, got 1"),
        (lambda: analysis.neuron_waves(models.PairParams(jnp.ones((5, 2)), jnp.ones((5, 2)), jnp.ones((4, 2)), {})),
         "as many operands as classes"),
    ],
)  # fmt: skip
def test_bad_input_is_named(call, words, unchecked_types):
    with pytest.raises(ValueError, match=words):
        call()
