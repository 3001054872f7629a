"""Grids: every cell once, keys that know nothing but the cell, and one clear line for what is no grid."""

from __future__ import annotations

import itertools
import math

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grokjax import sweeps

numbers = st.one_of(
    st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=4, unique=True),
    st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=4, unique=True),
    st.sampled_from([[False, True], [True]]),
)
names = st.text(st.characters(exclude_characters="/", codec="utf-8"), min_size=1, max_size=3).filter(
    lambda name: name != "cell"
)


@st.composite
def arguments_of_grids(draw):
    """Not the grids themselves: what checks their types draws random numbers, which hypothesis wants to draw itself."""
    axes = draw(st.dictionaries(names, numbers, min_size=1, max_size=4))
    return axes, draw(st.lists(st.sampled_from(sorted(axes)), unique=True))


def cells(grid, layout):
    """All cells as (point, random words), in the order of the store."""
    for chunk in range(layout.chunks):
        combination, start, stop = layout.locate(chunk)
        static = grid.combinations[combination]
        values = grid.values(start, stop)
        words = grid.random_words(static, start, stop, 2)
        assert stop - start <= layout.cells
        for row in range(stop - start):
            yield static | {name: axis[row].item() for name, axis in values.items()}, tuple(words[row].tolist())


@settings(max_examples=60, deadline=None)
@given(arguments_of_grids(), st.integers(1, 7))
def test_chunks_hold_every_cell_once_whatever_their_size(arguments, size):
    grid = sweeps.Grid(*arguments)
    found = [tuple(sorted(point.items())) for point, _ in cells(grid, sweeps.Layout(grid, size))]
    names = list(grid.axes)
    expected = [tuple(sorted(zip(names, values, strict=True))) for values in itertools.product(*grid.axes.values())]
    assert len(found) == grid.size == math.prod(grid.shape)
    assert set(found) == set(expected)


@settings(max_examples=60, deadline=None)
@given(arguments_of_grids(), st.integers(1, 5), st.integers(1, 5), st.randoms())
def test_keys_depend_on_the_cell_alone(arguments, size, other_size, random):
    """Not on the order of axes, on chunks, on which axes are static, nor on other values of an axis."""
    grid = sweeps.Grid(*arguments)
    keys = {tuple(sorted(point.items())): words for point, words in cells(grid, sweeps.Layout(grid, size))}
    assert len(set(keys.values())) == grid.size
    axes = list(grid.axes.items())
    random.shuffle(axes)
    kept = {name: random.sample(values, random.randint(1, len(values))) for name, values in axes}
    other = sweeps.Grid(kept, static=[name for name in kept if random.random() < 0.5])
    for point, words in cells(other, sweeps.Layout(other, other_size)):
        assert keys[tuple(sorted(point.items()))] == words


@settings(max_examples=60, deadline=None)
@given(arguments_of_grids(), st.integers(1, 5))
def test_stored_rows_come_back_in_the_shape_of_the_grid(arguments, size):
    grid = sweeps.Grid(*arguments)
    layout = sweeps.Layout(grid, size)
    rows = np.full((layout.chunks * size, 2), -1)
    points = {}
    places = [(layout.locate(chunk), chunk * size) for chunk in range(layout.chunks)]
    filled = [first + row for (_, start, stop), first in places for row in range(stop - start)]
    for number, (row, (point, _)) in enumerate(zip(filled, cells(grid, layout), strict=True)):
        rows[row], points[number] = number, point
    spread = layout.gather(rows)
    assert spread.shape == (*grid.shape, 2)
    for index in np.ndindex(grid.shape):
        point = points[spread[index][0]]
        assert point == {name: axis[i] for (name, axis), i in zip(grid.axes.items(), index, strict=True)}


def test_a_number_is_the_same_number_as_float_or_integer_and_text_is_not_a_number():
    def words(values, static=()):
        grid = sweeps.Grid({"x": values}, static)
        return [words for _, words in cells(grid, sweeps.Layout(grid, 1))]

    assert words([1, 2]) == words([1.0, 2.0]) == words([1, 2], static=("x",))
    assert set(words(["1", "2"], static=("x",))).isdisjoint(words([1, 2]))
    assert set(words([True])).isdisjoint(words([1]))


def test_names_and_values_do_not_run_together():
    a = sweeps.Grid({"x": [1], "y": [23]}).random_words({}, 0, 1, 2)
    b = sweeps.Grid({"x": [12], "y": [3]}).random_words({}, 0, 1, 2)
    c = sweeps.Grid({"x": [23], "y": [1]}).random_words({}, 0, 1, 2)
    assert len({tuple(words[0].tolist()) for words in (a, b, c)}) == 3


def test_arrays_and_ranges_are_axes_and_one_float_makes_an_axis_of_floats():
    grid = sweeps.Grid({"a": np.linspace(0, 1, 3), "b": jnp.arange(2), "c": range(2), "d": (1, 0.5), "e": [np.True_]})
    assert grid.axes == {"a": (0.0, 0.5, 1.0), "b": (0, 1), "c": (0, 1), "d": (1.0, 0.5), "e": (True,)}
    assert {type(value) for values in grid.axes.values() for value in values} == {float, int, bool}


@pytest.mark.parametrize(
    ("axes", "static", "message"),
    [
        ({}, (), "axes must be a mapping from names to values with at least one axis"),
        ([1, 2], (), "axes must be a mapping"),
        ({"x": []}, (), "axis 'x' is empty"),
        ({"x": [1, 2, 1.0]}, (), "axis 'x' holds 1.0 more than once"),
        ({"x": [0.0, -0.0]}, (), "axis 'x' holds -0.0 more than once"),
        ({"x": [1]}, ("y",), "static names 'y', which is not an axis; the axes are x"),
        ({"x": [1.0, math.nan]}, (), "axis 'x' must hold finite numbers"),
        ({"x": [1.0, math.inf]}, (), "axis 'x' must hold finite numbers"),
        ({"x": [[1, 2], [3, 4]]}, (), r"axis 'x' must hold numbers, booleans or strings, got \[1, 2\]"),
        ({"x": [None]}, ("x",), "axis 'x' must hold numbers, booleans or strings, got None"),
        ({"x": [1j]}, (), "axis 'x' must hold numbers, booleans or strings"),
        ({"x": ["a", 1]}, ("x",), "axis 'x' must hold values of one kind"),
        ({"x": ["a", "b"]}, (), "axis 'x' holds strings, which cannot be traced; name it in static"),
        ({"x": "ab"}, ("x",), "axis 'x' must be a sequence of values, got 'ab'"),
        ({"x": 3}, (), "axis 'x' must be a sequence of values, got 3"),
        ({"x": [2**63]}, (), "axis 'x' must hold integers of 64 bits"),
        ({"cell": [1]}, (), "other than 'cell', got 'cell'"),
        ({"a/b": [1]}, (), "without '/'"),
        ({3: [1]}, (), "must be named by a string"),
    ],
)
def test_what_is_no_grid_is_refused_in_one_line(unchecked_types, axes, static, message):
    with pytest.raises(ValueError, match=message) as refused:
        sweeps.Grid(axes, static)
    assert "\n" not in str(refused.value)
