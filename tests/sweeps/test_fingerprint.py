"""Fingerprints: what does not compute does not count, and whatever computes does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from grokjax.sweeps.fingerprint import fingerprint


def print_of(function, *arguments):
    return fingerprint(jax.make_jaxpr(function)(*(arguments or (1.0, jnp.arange(3.0)))))


def reference(x, y):
    return jnp.sum(jnp.where(x > 0, x * y, 0.0))


def test_names_and_comments_and_lines_do_not_count():
    def renamed(first, second):
        # A comment.
        positive = first > 0

        return jnp.sum(jnp.where(positive, first * second, 0.0))

    assert print_of(renamed) == print_of(reference)


@pytest.mark.parametrize(
    "other",
    [
        lambda x, y: jnp.sum(jnp.where(x >= 0, x * y, 0.0)),
        lambda x, y: jnp.sum(jnp.where(x > 0, x * y, 1.0)),
        lambda x, y: jnp.sum(jnp.where(x > 0, y * x, 0.0)),
        lambda x, y: jnp.max(jnp.where(x > 0, x * y, 0.0)),
        lambda x, y: jnp.sum(jnp.where(x > 0, x * y, 0.0), keepdims=True),
    ],
)
def test_another_operation_literal_order_or_shape_counts(other):
    assert print_of(other) != print_of(reference)


def closing_over(constant):
    array = jnp.asarray(constant)

    @jax.jit
    def inner(x):
        return x + array

    return [
        lambda x: x + array,
        lambda x: inner(x),
        lambda x: jax.lax.scan(lambda carry, _: (carry + array, None), x, None, length=2)[0],
        lambda x: jax.lax.cond(x[0] > 0, lambda x: x * array, lambda x: x, x),
        lambda x: jax.lax.while_loop(lambda x: x[0] < 3, lambda x: x + array, x),
        lambda x: jax.nn.relu(x) + jax.vmap(lambda y, a: y * a)(x, array),
    ]


@pytest.mark.parametrize("which", range(6))
def test_one_changed_number_in_a_closed_over_array_counts_wherever_it_is_used(which):
    x, constant = jnp.ones(4), np.arange(4.0) + 1
    changed = constant.copy()
    changed[3] = np.nextafter(4.0, 5.0)
    first, again, other = (print_of(closing_over(c)[which], x) for c in (constant, constant.copy(), changed))
    assert first == again != other


def test_keys_closed_over_count_by_their_data(key):
    draw = lambda k: lambda x: x + jax.random.normal(k)
    assert print_of(draw(key), 1.0) == print_of(draw(jax.random.key(0)), 1.0) != print_of(draw(jax.random.key(1)), 1.0)


PROGRAM = """
import jax, jax.numpy as jnp
from grokjax.sweeps.fingerprint import fingerprint
def f(x):
    y = jax.nn.gelu(jax.nn.relu(x)) + jax.nn.softmax(x) + jax.random.normal(jax.random.key(3), (5,))
    return jnp.linalg.norm(y), jax.grad(lambda x: jnp.sum(jax.nn.silu(x) ** 2))(x), jnp.linalg.solve(jnp.eye(5), x)
print(fingerprint(jax.make_jaxpr(f)(jnp.ones(5))))
"""


def test_two_processes_agree():
    run = [sys.executable, "-c", PROGRAM]
    prints = {
        subprocess.run(run, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]).stdout
        for _ in range(2)
    }
    assert len(prints) == 1
    assert len(prints.pop().strip()) == 64
