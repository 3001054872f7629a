"""Reduced flows from initial scales up to 1e30 against all 2d parameters integrated with eighty digits."""

from __future__ import annotations

import math
from decimal import Context, Decimal, localcontext
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import DOP853

from grokjax import losses
from grokjax.flows import Status, diagonal_flow, scaled_clock, solve

DIGITS = Context(prec=80, Emin=-(10**6), Emax=10**6)
ONE = np.array([[1.0, 0.5]])
TWO = np.array([[1.0, 0.25, -0.5], [0.5, 1.0, 0.75]])
DECAY = 2.0**-7
# Of each step, relative; some thousand steps, most errors of which are forgotten.
TOLERANCE = Decimal("1e-10")


class Case(NamedTuple):
    inputs: np.ndarray
    depth: int
    decade: int
    times: tuple[float, ...]
    """λt."""


def through_the_switch(decade):
    end = decade * math.log(10)
    return end / 2, end - 1, end + 0.5, end + 2


EARLY = [Case(TWO, 2, 30, (0.05, 0.3)), Case(TWO, 3, 20, (0.05, 0.2))]
WHOLE = [Case(ONE, 2, 5, through_the_switch(5)), Case(ONE, 3, 3, through_the_switch(3))]


def parameters_in_many_digits(case):
    """w at the readings from u = s(1 + a), v = s(1 + b), s = α e^(−λt), under the exponential loss with labels 1.

        a' = −L s^(L−2) (1 + a)^(L−1) G,   b' = +L s^(L−2) (1 + b)^(L−1) G,   G = −(1/n) Σ e^(−f_i) x_i

    No reduction: 2d numbers, whose differences of relative size α^(−L) eighty digits can afford. An explicit
    Runge-Kutta method of order 8 steps in σ = log(1 + t/t₀), t₀ the time of the first fit.
    """
    depth, (n, d) = case.depth, case.inputs.shape
    x, alpha, decay = decimals(case.inputs), Decimal(10) ** case.decade, Decimal(DECAY)
    first = 1 / (2 * depth**2 * np.sum(x**2) * alpha ** (2 * depth - 2))

    def weights(t, state):
        size = alpha * (-decay * t).exp()
        return size**depth * ((1 + state[:d]) ** depth - (1 + state[d:]) ** depth)

    def field(sigma, state):
        t = first * (sigma.exp() - 1)
        residuals = np.array([(-f).exp() for f in x @ weights(t, state)])
        force = depth * (alpha * (-decay * t).exp()) ** (depth - 2) * (residuals @ x) / n
        return (t + first) * np.concatenate([force, -force]) * (1 + state) ** (depth - 1)

    state, sigma, step = decimals(np.zeros(2 * d)), Decimal(0), Decimal("0.01")
    slope, found = field(sigma, state), []
    for reading in case.times:
        t = Decimal(reading) / decay
        target = (1 + t / first).ln()
        while sigma < target:
            h = min(step, target - sigma)
            slopes = [slope]
            for row, node in zip(DOP853.A[1:], DOP853.C[1:], strict=True):
                slopes.append(field(sigma + h * Decimal(node), state + h * combination(row, slopes)))
            moved = state + h * combination(DOP853.B, slopes)
            end = target if h == target - sigma else sigma + h
            last = field(end, moved)
            fifth, third = (max(abs(combination(e, [*slopes, last]))) for e in (DOP853.E5, DOP853.E3))
            # The method's own estimate: of order 7 from those of orders 5 and 3.
            error = h * fifth**2 / (fifth**2 + third**2 / 100).sqrt() if third else Decimal(0)
            ratio = float(error / (TOLERANCE * max(abs(moved))))
            if ratio <= 1:
                state, sigma, slope = moved, end, last
            step = h * Decimal(min(max(0.9 * ratio ** (-1 / 8), 0.2), 4.0) if ratio > 0 else 4.0)
        found.append([float(w) for w in weights(t, state)])
    return np.array(found)


def combination(coefficients, slopes):
    terms = [Decimal(c) * k for c, k in zip(coefficients.tolist(), slopes, strict=False) if c]
    return np.sum(terms, axis=0)


def decimals(array):
    """Exact."""
    return np.vectorize(Decimal, otypes=[object])(array)


def reduced(case):
    n, d = case.inputs.shape
    norm = 10.0**case.decade * math.sqrt(2 * d)
    data = jnp.asarray(case.inputs), jnp.ones(n)
    flow, start = diagonal_flow(*data, depth=case.depth, initial_norm=norm, weight_decay=DECAY, loss=losses.exponential)
    run = solve(flow, start, case.times, clock=scaled_clock(DECAY), rtol=1e-10, max_steps=10**6)
    assert int(run.status) == Status.SUCCESS
    return run.observed


def both(case):
    """The reduced flow, once it has been found to agree; and w."""
    with localcontext(DIGITS):
        expected = parameters_in_many_digits(case)
    point = reduced(case)
    error = np.linalg.norm(point.weights - expected, axis=1) / np.linalg.norm(expected, axis=1)
    assert error.max() < 1e-8
    return point, expected


def name(case):
    return f"{len(case.inputs)} samples, L={case.depth}, 1e{case.decade}"


@pytest.mark.parametrize("case", EARLY, ids=name)
def test_reduced_flows_hold_where_float64_parameters_have_no_digit_of_the_weights_left(case):
    point, expected = both(case)
    lost = np.linalg.norm(point.u[-1] ** case.depth - point.v[-1] ** case.depth - expected[-1])
    assert lost > 0.5 * np.linalg.norm(expected[-1])


@pytest.mark.parametrize("case", WHOLE, ids=name)
def test_reduced_flows_are_the_flow_of_all_parameters_through_the_switch(case):
    _, expected = both(case)
    directions = expected / np.linalg.norm(expected, axis=1, keepdims=True)
    assert directions[0] @ directions[-1] < 0.95
