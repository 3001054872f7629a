"""The stiff solver keeps its step count where diffrax's default loses it."""

from __future__ import annotations

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from grokjax import flows
from grokjax.flows import Status
from grokjax.flows.field import Flow
from grokjax.flows.tree import tree_norm

Partial = jax.tree_util.Partial
STIFFNESS = jnp.asarray([1.0, 1e6])


def field(t, y):
    """Non-linear and stiff, with solution y = 2 + cos t."""
    solution = 2 + jnp.cos(t)
    return -STIFFNESS * (y**3 - solution**3) - jnp.sin(t)


def itself(t, y):
    return y


def run(solver):
    flow = Flow(Partial(field), Partial(itself), Partial(tree_norm))
    return flows.solve(flow, jnp.asarray([3.0, 3.0]), [10.0], solver=solver, rtol=1e-6, atol=1e-6)


@pytest.fixture(scope="module")
def result():
    return run(flows.stiff())


def test_it_takes_no_more_steps_than_accuracy_asks_for(result):
    """Fifth order at tolerance 1e-6 needs steps of about 1e-6^(1/5) = 0.06 of the time scale 1 of cos t."""
    assert int(result.status) == Status.SUCCESS
    assert int(result.statistics.accepted) + int(result.statistics.rejected) < 3 * 10 / 1e-6**0.2
    # Errors of 1e-6·‖y‖ a step, a hundred steps, at a contraction of at least e^(−3) a time unit.
    np.testing.assert_allclose(result.observed[0], 2 + np.cos(10.0), atol=1e-4)


def test_the_default_root_finder_still_needs_several_times_as_many_steps(result):
    """If this fails, diffrax has repaired its default, and `stiff` may become a plain Kvaerno5."""
    default = run(diffrax.Kvaerno5()).statistics
    assert int(default.accepted + default.rejected) > 3 * int(result.statistics.accepted + result.statistics.rejected)


def test_its_evaluations_are_reported_as_unknown(result):
    assert int(result.statistics.gradient_evaluations) == -1
