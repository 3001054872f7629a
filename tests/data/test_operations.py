"""Tables of operations against Python's own integers, and against permutations applied one by one."""

from __future__ import annotations

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from grokjax.data import operation_table

P = 11
REFERENCES = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
    "x2+y2": lambda a, b: a * a + b * b,
    "x2+xy+y2": lambda a, b: a * a + a * b + b * b,
    "x2+xy+y2+x": lambda a, b: a * a + a * b + b * b + a,
    "x3+xy": lambda a, b: a * a * a + a * b,
    "x3+xy2+y": lambda a, b: a * a * a + a * b * b + b,
}


@pytest.mark.parametrize("operation", REFERENCES)
def test_a_named_operation_is_that_of_whole_numbers_modulo_p(operation):
    table = operation_table(operation, P)
    assert (table.operands, table.classes, table.inputs.dtype, table.labels.dtype) == (P, P, jnp.int32, jnp.int32)
    pairs = list(itertools.product(range(P), repeat=2))
    assert [tuple(row) for row in table.inputs.tolist()] == pairs
    assert table.labels.tolist() == [REFERENCES[operation](a, b) % P for a, b in pairs]


def test_a_quotient_times_its_divisor_is_the_dividend():
    table = operation_table("divide", P)
    a, b = np.asarray(table.inputs).T
    assert list(zip(a.tolist(), b.tolist(), strict=True)) == list(itertools.product(range(P), range(1, P)))
    np.testing.assert_array_equal(np.asarray(table.labels) * b % P, a)


@pytest.mark.parametrize(("name", "k"), [("s3", 3), ("s4", 4), ("s5", 5)])
def test_composition_applies_the_right_permutation_first(name, k):
    table = operation_table(name)
    order = math.factorial(k)
    assert (table.operands, table.classes, len(table.labels)) == (order, order, order**2)
    permutations = sorted(itertools.permutations(range(k)))
    for row in np.random.default_rng(0).integers(0, order**2, 200):
        a, b = table.inputs[row].tolist()
        assert (a, b) == divmod(int(row), order)
        composed = permutations[int(table.labels[row])]
        assert composed == tuple(permutations[a][permutations[b][i]] for i in range(k))


def test_permutations_form_a_group_that_does_not_commute():
    table = np.asarray(operation_table("s5").labels).reshape(120, 120)
    every = np.arange(120)
    np.testing.assert_array_equal(table[0], every)
    np.testing.assert_array_equal(table[:, 0], every)
    np.testing.assert_array_equal(np.sort(table, axis=0), np.broadcast_to(every[:, None], (120, 120)))
    a, b, c = np.random.default_rng(1).integers(0, 120, (3, 500))
    np.testing.assert_array_equal(table[table[a, b], c], table[a, table[b, c]])
    assert np.any(table != table.T)


@pytest.mark.parametrize("operation", ["add", "multiply", "x2+y2", "x2+xy+y2"])
def test_a_symmetric_table_has_one_of_each_two_commuted_pairs(operation):
    whole, half = operation_table(operation, P), operation_table(operation, P, symmetric=True)
    kept = np.asarray(whole.inputs[:, 0] <= whole.inputs[:, 1])
    assert len(half.labels) == P * (P + 1) // 2
    np.testing.assert_array_equal(half.inputs, whole.inputs[kept])
    np.testing.assert_array_equal(half.labels, whole.labels[kept])


def test_tables_modulo_97_have_the_sizes_of_the_papers():
    assert len(operation_table("add", 97).labels) == 9409
    assert len(operation_table("add", 97, symmetric=True).labels) == 4753


def test_powers_do_not_overflow_32_bits():
    p = 1999  # p³ is nearly four times 2³¹.
    table = operation_table("x3+xy2+y", p)
    last = p - 1
    assert table.labels[-1] == (last**3 + last**3 + last) % p


@pytest.mark.parametrize("function", [lambda a, b: 3 * a - b**2, lambda a, b: jnp.subtract(3 * a, jnp.square(b))])
def test_any_function_is_reduced_to_numbers_from_0(function):
    table = operation_table(function, P)
    assert table.labels.tolist() == [(3 * a - b * b) % P for a, b in itertools.product(range(P), repeat=2)]


def test_a_table_goes_through_jit_and_its_sizes_stay_integers():
    def sizes(table):
        assert isinstance(table.operands, int)
        return jnp.zeros(table.classes) + jnp.sum(table.labels).astype(float)

    table = operation_table("add", 5)
    np.testing.assert_array_equal(jax.jit(sizes)(table), jnp.full(5, 50.0))


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("add", 1), "^modulus must be an integer of at least 2, got 1"),
        (("add", 7.0), "^modulus must be an integer of at least 2, got 7.0"),
        (("divide", 91), "^modulus must be prime for division, got 91 = 7·13"),
        (("power", 7), "^operation must be a function or one of add, subtract, .*s6; got 'power'"),
        ((lambda a, b: a / (b + 1), 7), r"^operation must give integers of the shape .* \(49,\); got float64"),
        ((lambda a, b: a[:3], 7), r"^operation must give integers .*got int64 of shape \(3,\)"),
        (
            ("subtract", 7, True),
            r"^symmetric needs .* commutes, got 'subtract': \(0, 1\) and \(1, 0\) are",
        ),
        (("x3+xy2+y", 7, True), "^symmetric needs an operation that commutes"),
        (("divide", 7, True), "^symmetric needs an operation that commutes"),
        (("s3", 7, True), "^symmetric needs an operation that commutes"),
    ],
)
def test_an_impossible_table_is_refused(arguments, complaint, unchecked_types):
    with pytest.raises(ValueError, match=complaint):
        operation_table(*arguments)
