"""Sweeps from grid to data set: what is computed, how often it is traced, and what is refused."""

from __future__ import annotations

import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sweep_cells import GRID, files, identity, random_walk

from grokjax import sweeps

X = sweeps.Grid({"x": [1.0, 2.0, 3.0]})


def y_of(function):
    return lambda point, key: {"y": function(point)}


@pytest.mark.parametrize("batch", [1, 4, 15, 100, sweeps.Batch(6, 1), sweeps.Batch(7, 2)])
def test_every_batch_gives_what_a_loop_over_cells_gives(tmp_path, batch):
    report = sweeps.run(random_walk, GRID, tmp_path / "store", batch=batch)
    results = sweeps.open(report.path)
    assert (report.cells, report.computed, report.finished) == (30, 30, 30)
    assert results.sizes == {"rate": 3, "width": 2, "seed": 5, "path_0": 16}
    layout = sweeps.Layout(GRID, 1)
    for chunk in range(layout.chunks):
        combination, start, stop = layout.locate(chunk)
        static = GRID.combinations[combination]
        point = static | {name: jnp.asarray(axis[0]) for name, axis in GRID.values(start, stop).items()}
        key = jax.random.wrap_key_data(jnp.asarray(GRID.random_words(static, start, stop, 2)[0]))
        stored = results.sel({name: np.asarray(value) for name, value in point.items()})
        for name, expected in random_walk(point, key).items():
            # Sums of up to 16 numbers of order 1, in whatever order.
            np.testing.assert_allclose(stored[name], expected, rtol=0, atol=100 * np.finfo(float).eps)


def test_one_trace_for_each_static_combination_whatever_the_chunks(tmp_path):
    traces = []

    def cell(point, key):
        traces.append(point["width"])
        return random_walk(point, key)

    sweeps.run(cell, GRID, tmp_path / "store", batch=4)
    assert traces == [3, 8]
    sweeps.run(cell, GRID, tmp_path / "auto")
    assert traces == [3, 8, 3, 8]


def test_one_compilation_for_each_static_combination(tmp_path):
    compiled = []

    def listen(event: str, duration_secs: float, **kwargs: str | int) -> None:
        if "backend_compile" in event:
            compiled.append(kwargs.get("fun_name"))

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        # 15 cells in chunks of 4: the last is short, and no program of its own.
        sweeps.run(random_walk, GRID, tmp_path / "store", batch=4)
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
    assert compiled == ["jit(_batched)"] * 2


def test_streams_do_not_change_when_axes_grow_or_change_places(tmp_path):
    small = sweeps.Grid({"x": [1, 2], "seed": range(2)})
    large = sweeps.Grid({"seed": [5, 1, 0], "x": [3, 2, 1.0]}, static=("seed",))
    opened = []
    for number, grid in enumerate((small, large)):
        sweeps.run(identity, grid, tmp_path / str(number), batch=3)
        opened.append(sweeps.open(tmp_path / str(number))["drawn"])
    kept = opened[1].sel(x=[1, 2], seed=[0, 1]).transpose("x", "seed")
    np.testing.assert_array_equal(kept, opened[0])
    assert len(np.unique(opened[1])) == 9


@pytest.mark.parametrize("x64", [True, False])
def test_values_arrive_in_default_dtypes(tmp_path, x64):
    seen = {}

    def cell(point, key):
        seen.update({name: value if isinstance(value, str) else value.dtype for name, value in point.items()})
        return {"y": jnp.float32(1)}

    grid = sweeps.Grid({"a": [1, 2], "b": [1, 0.5], "c": [True], "d": ["adam"]}, static=("d",))
    with jax.enable_x64(x64):
        sweeps.run(cell, grid, tmp_path / "store", batch=4)
    bits = "64" if x64 else "32"
    assert seen == {"a": f"int{bits}", "b": f"float{bits}", "c": bool, "d": "adam"}


@pytest.mark.parametrize("value", [2**40, 1e-50, 1e50])
def test_values_that_single_precision_cannot_hold_are_refused(tmp_path, value):
    with jax.enable_x64(False), pytest.raises(ValueError, match=r"axis 'x' holds .*; enable jax_enable_x64"):
        sweeps.run(y_of(lambda p: p["x"]), sweeps.Grid({"x": [value]}), tmp_path / "store", batch=1)


def test_a_cell_that_gives_nan_has_diverged_and_the_others_go_on(tmp_path):
    cell = y_of(lambda point: jnp.where(point["x"] == 2.0, jnp.nan, point["x"]))
    report = sweeps.run(cell, X, tmp_path / "store", batch=2)
    results = sweeps.open(report.path)
    assert (report.finished, report.diverged, report.failed) == (2, 1, 0)
    np.testing.assert_array_equal(results["status"], [0, 1, 0])
    np.testing.assert_array_equal(results["diverged_step"], [-1, -1, -1])
    np.testing.assert_array_equal(results["y"], [1.0, np.nan, 3.0])


def test_a_cell_may_say_that_it_diverged_and_when_and_nan_is_then_no_divergence(tmp_path):
    def cell(point, key):
        blown = point["x"] > 1.5
        return {"y": jnp.nan, "status": blown.astype(int), "diverged_step": jnp.where(blown, 7, -1)}

    results = sweeps.open(sweeps.run(cell, X, tmp_path / "store", batch=2).path)
    np.testing.assert_array_equal(results["status"], [0, 1, 1])
    np.testing.assert_array_equal(results["diverged_step"], [-1, 7, 7])


def test_cells_too_large_for_memory_have_failed_and_the_others_go_on(tmp_path):
    def cell(point, key):
        # Sorting needs the whole array: 10¹³ numbers fit nowhere.
        return {"median": jnp.sort(jnp.sin(jnp.arange(point["size"])))[point["size"] // 2]}

    grid = sweeps.Grid({"size": [11, 10**13, 101], "seed": range(3)}, static=("size",))
    report = sweeps.run(cell, grid, tmp_path / "store", batch=2)
    results = sweeps.open(report.path)
    assert (report.finished, report.failed) == (6, 3)
    np.testing.assert_array_equal(results["status"], [[0] * 3, [2] * 3, [0] * 3])
    assert np.isnan(results["median"].values[1]).all()
    assert [failure["cell"] for failure in results.attrs["failures"]] == [{"size": 10**13, "seed": s} for s in range(3)]
    assert "RESOURCE_EXHAUSTED" in results.attrs["failures"][0]["message"]
    assert sweeps.run(cell, grid, tmp_path / "store").computed == 0


def test_a_chunk_too_large_for_memory_is_computed_in_smaller_batches(tmp_path, monkeypatch):
    from grokjax.sweeps.program import Programs

    compute, widths = Programs.run, []

    def limited(self, combination, start, stop, cells, width):
        widths.append((cells, width))
        if cells > 1 and width > 2:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 99 bytes.")
        return compute(self, combination, start, stop, cells, width)

    sweeps.run(random_walk, GRID, tmp_path / "whole", batch=15)
    monkeypatch.setattr(Programs, "run", limited)
    report = sweeps.run(random_walk, GRID, tmp_path / "store", batch=15)
    assert report.finished == 30
    assert widths == [(15, 15), (15, 7), (15, 3), (15, 1)] * 2
    np.testing.assert_allclose(
        sweeps.open(report.path)["path"], sweeps.open(tmp_path / "whole")["path"], rtol=0, atol=1e-13
    )


def test_cells_that_do_not_fit_even_alone_fail_one_by_one(tmp_path, monkeypatch):
    from grokjax.sweeps.program import Programs

    compute = Programs.run

    def limited(self, combination, start, stop, cells, width):
        if cells > 1 or start == 1:
            raise MemoryError
        return compute(self, combination, start, stop, cells, width)

    monkeypatch.setattr(Programs, "run", limited)
    results = sweeps.open(sweeps.run(y_of(lambda p: p["x"]), X, tmp_path / "store", batch=3).path)
    np.testing.assert_array_equal(results["y"], [1.0, np.nan, 3.0])
    np.testing.assert_array_equal(results["status"], [0, 2, 0])
    assert results.attrs["failures"] == [{"cell": {"x": 2.0}, "message": "MemoryError"}]


def test_other_errors_of_a_program_are_not_taken_for_a_lack_of_memory(tmp_path):
    def fail(x):
        raise RuntimeError("broken")

    shape = jax.ShapeDtypeStruct((), jnp.float64)
    cell = y_of(lambda p: jax.pure_callback(fail, shape, p["x"], vmap_method="sequential"))
    with pytest.raises(jax.errors.JaxRuntimeError, match="broken") as failed:
        sweeps.run(cell, X, tmp_path / "store", batch=2)
    assert any("chunk 0 of the sweep" in note for note in failed.value.__notes__)


def test_a_clock_that_jumps_is_harmless(tmp_path, monkeypatch):
    jumps = iter(range(10**9, 0, -(10**5)))
    monkeypatch.setattr(time, "time", lambda: float(next(jumps)))
    seen = []
    report = sweeps.run(random_walk, GRID, tmp_path / "store", batch=4, progress=seen.append)
    assert report.finished == 30
    assert 0 < report.seconds < 300
    assert all(0 <= moment.seconds_left < 300 for moment in seen[1:])


def test_progress_counts_cells_and_says_what_is_left(tmp_path):
    seen = []
    cell = y_of(lambda point: jnp.log(point["x"] - 2.0))
    sweeps.run(cell, X, tmp_path / "store", batch=1, progress=seen.append)
    assert [moment.done for moment in seen] == [0, 1, 2, 3]
    assert seen[0].message == "time left unknown, 0 diverged, 0 failed"
    assert (seen[-1].cells, seen[-1].finished, seen[-1].diverged) == (3, 1, 2)
    assert seen[-1].seconds_left == 0
    assert seen[-1].message == "0:00:00 left, 2 diverged, 0 failed"


def test_a_bar_tells_the_batch_and_the_cells(tmp_path, capsys):
    sweeps.run(random_walk, GRID, tmp_path / "store", batch=10, progress=True)
    said = capsys.readouterr().err
    assert "chunks of 10 cells, 10 side by side: as asked for" in said
    assert "30/30 cells, 0:00:00 left, 0 diverged, 0 failed" in said


def test_the_store_of_another_sweep_is_refused_with_what_differs(tmp_path, monkeypatch):
    path, config = tmp_path / "store", {"steps": 100}
    sweeps.run(random_walk, GRID, path, config, batch=8)
    before = files(path)

    def other(point, key):
        return random_walk(point, jax.random.fold_in(key, 1))

    def refusal(cell, grid, config):
        with pytest.raises(ValueError, match="holds a sweep that differs in") as refused:
            sweeps.run(cell, grid, path, config)
        assert "\n" not in str(refused.value)
        return str(refused.value).partition("differs in ")[2].partition(";  give")[0]

    grown = sweeps.Grid(GRID.axes | {"seed": range(6)}, GRID.static)
    assert refusal(random_walk, GRID, {"steps": 200}).startswith("config (steps 100 there, 200 here);")
    assert refusal(other, GRID, config).startswith("code (the cell computes something else);")
    assert refusal(random_walk, grown, config).startswith("grid (axis seed);")
    assert refusal(other, grown, {}).startswith("grid (axis seed) and config (steps 100 there, None here) and code")
    from grokjax.sweeps import identity as module

    version = module.importlib.metadata.version
    monkeypatch.setattr(module.importlib.metadata, "version", lambda name: "0.1" if name == "jax" else version(name))
    assert refusal(random_walk, GRID, config).startswith(f"versions (jax '{jax.__version__}' there, '0.1' here)")
    assert files(path) == before


def test_another_sweep_may_lie_beside_and_is_found_again(tmp_path):
    path = tmp_path / "store.zarr"
    sweeps.run(random_walk, GRID, path, {"a": 1}, batch=8)
    before = files(path)
    beside = sweeps.run(random_walk, GRID, path, {"a": 2}, batch=8, existing="beside")
    again = sweeps.run(random_walk, GRID, path, {"a": 2}, existing="beside")
    assert beside.path.parent == tmp_path
    assert beside.path.name.startswith("store-")
    assert beside.path.suffix == ".zarr"
    assert (beside.computed, again.computed, again.path) == (30, 0, beside.path)
    assert files(path) == before
    assert sweeps.open(beside.path).attrs["config"] == {"a": 2}


@pytest.mark.parametrize(
    ("cell", "options", "message"),
    [
        (y_of(lambda p: p["x"]), {"batch": 0}, "batch must be 'auto', a number of cells of at least 1.*got 0"),
        (y_of(lambda p: p["x"]), {"batch": "all"}, "batch must be 'auto'.*got 'all'"),
        (y_of(lambda p: p["x"]), {"devices": 99}, "devices must be a number from 1 to .* got 99"),
        (y_of(lambda p: p["x"]), {"existing": "mix"}, "existing must be 'refuse' or 'beside', got 'mix'"),
        (y_of(lambda p: p["x"]), {"config": {"f": len}}, "config must be a mapping that JSON can hold"),
        (y_of(lambda p: p["x"]), {"config": {"x": float("nan")}}, "config must be a mapping that JSON can hold"),
        (lambda p, key: p["x"], {}, "cell must return a dict of arrays"),
        (
            lambda p, key: {"x": p["x"]},
            {},
            "cell returned a variable named 'x'; it must be a word that no axis has",
        ),
        (lambda p, key: {"../y": p["x"]}, {}, "cell returned a variable named '../y'"),
        (lambda p, key: {"..": p["x"]}, {}, "cell returned a variable named '..'"),
        (lambda p, key: {"zarr.json": p["x"]}, {}, "cell returned a variable named 'zarr.json'"),
        (lambda p, key: {"y": "text"}, {}, "cell returned 'y' as 'text'; it must be an array of numbers"),
        (lambda p, key: {"y": key}, {}, r"cell returned 'y' with dtype key<fry>"),
        (lambda p, key: {"y": jnp.bfloat16(1)}, {}, "cell returned 'y' with dtype bfloat16"),
        (lambda p, key: {"status": p["x"]}, {}, "cell must return 'status' as one integer"),
        (lambda p, key: {"status": 5}, {}, "a cell returned status 5; it must be 0"),
    ],
)
def test_what_no_sweep_can_be_made_of_is_refused_in_one_line(tmp_path, unchecked_types, cell, options, message):
    with pytest.raises(ValueError, match=message) as refused:
        sweeps.run(cell, X, tmp_path / "store", **({"batch": 2} | options))
    assert "\n" not in str(refused.value)


def test_a_cell_with_changing_shapes_is_refused(tmp_path):
    cell = lambda point, key: {"y": jnp.zeros(point["width"])}
    message = r"the same names, shapes and dtypes everywhere, got y float64\[8\] at {'width': 8} and y float64\[3\] at "
    with pytest.raises(ValueError, match=message):
        sweeps.run(cell, GRID, tmp_path / "store")


def test_a_cell_that_needs_a_traced_value_is_told_of_static_axes(tmp_path):
    with pytest.raises(jax.errors.ConcretizationTypeError) as failed:
        sweeps.run(y_of(lambda p: 1.0 if p["x"] > 1 else 0.0), X, tmp_path / "store")
    assert any("name an axis in static" in note for note in failed.value.__notes__)


def test_paths_that_are_no_stores_are_refused_and_left_alone(tmp_path):
    file, folder = tmp_path / "file", tmp_path / "folder"
    file.write_text("mine")
    folder.mkdir()
    (folder / "thesis.tex").write_text("mine")
    with pytest.raises(ValueError, match="path must be a folder or not be there yet, got the file"):
        sweeps.run(random_walk, GRID, file)
    for existing in ("refuse", "beside"):
        with pytest.raises(ValueError, match="holds no sweep"):
            sweeps.run(random_walk, GRID, folder, existing=existing)
    assert (file.read_text(), (folder / "thesis.tex").read_text()) == ("mine", "mine")
    assert len(list(tmp_path.rglob("*"))) == 3


def test_a_grid_with_one_cell_and_one_with_static_axes_only(tmp_path):
    one = sweeps.run(identity, sweeps.Grid({"x": [3]}), tmp_path / "one")
    static = sweeps.run(identity, sweeps.Grid({"x": [3, 4]}, static=("x",)), tmp_path / "static")
    assert (one.finished, static.finished) == (1, 2)
    drawn = sweeps.open(static.path)["drawn"]
    assert drawn.sel(x=3) == sweeps.open(one.path)["drawn"].sel(x=3) != drawn.sel(x=4)


def test_results_of_every_kind_of_number_come_back(tmp_path):
    def cell(point, key):
        x = point["x"]
        return {
            "complex": jax.lax.complex(x, -x),
            "small": x.astype(jnp.float16),
            "count": x.astype(jnp.uint8),
            "table": jnp.full((2, 3), x),
            "true": x > 1.5,
        }

    results = sweeps.open(sweeps.run(cell, X, tmp_path / "store", batch=2).path)
    np.testing.assert_array_equal(results["complex"], [1 - 1j, 2 - 2j, 3 - 3j])
    assert (results["small"].dtype, results["count"].dtype, results["true"].dtype) == ("float16", "uint8", "bool")
    assert results["table"].dims == ("x", "table_0", "table_1")
    np.testing.assert_array_equal(results["true"], [False, True, True])
    only = sweeps.open(tmp_path / "store", variables=["count"])
    assert set(only.data_vars) == {"count", "status", "diverged_step"}
    with pytest.raises(ValueError, match="variables names 'nothing', which the sweep lacks"):
        sweeps.open(tmp_path / "store", variables=["nothing"])
