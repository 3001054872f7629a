"""Every reproduction script, found by glob: parts, smoke run, answers to bad input, committed numbers."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import jax
import matplotlib.image
import numpy as np
import pytest

from grokjax import experiment

ROOT = Path(__file__).parents[1]
SCRIPTS = [path for path in sorted((ROOT / "reproductions").glob("*.py")) if not path.name.startswith("_")]
FIGURES = sorted((ROOT / "figures").glob("*.json"))
KEYS = ["name", "preset", "config", "seeds", "device", "versions", "wall_seconds", "claims"]

every_script = pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)


def load(script):
    specification = importlib.util.spec_from_file_location(f"reproductions_{script.stem}", script)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[module.__name__] = module
    specification.loader.exec_module(module)
    return module


def run_script(script, *arguments, **environment):
    command = [sys.executable, "-W", "error", str(script), *map(str, arguments)]
    return subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, timeout=600)


def failing(claims, kind):
    return [claim for claim in claims if claim["kind"] == kind and claim["holds"] is False]


def test_there_is_a_script():
    assert SCRIPTS


@every_script
def test_a_script_says_what_it_does_and_how_long_it_takes(script):
    module = load(script)
    described = module.EXPERIMENT
    assert (described.name, described.description) == (script.stem, module.__doc__)
    assert list(described.presets) == ["smoke", "default", "paper"]
    assert len({type(config) for config in described.presets.values()}) == 1
    times = described.description[described.description.index("Run time") :]
    assert [preset for preset in described.presets if preset not in times] == []
    with pytest.raises(dataclasses.FrozenInstanceError):
        described.presets["smoke"].seeds = 3


@every_script
def test_help_comes_at_once(script):
    def seconds():
        # Of the processor, which other work on the machine does not lengthen.
        start = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert "--preset" in run_script(script, "--help").stdout
        end = resource.getrusage(resource.RUSAGE_CHILDREN)
        return end.ru_utime + end.ru_stime - start.ru_utime - start.ru_stime

    assert min(seconds() for _ in range(3)) <= 2.5


@pytest.mark.slow
@every_script
def test_the_smoke_run_upholds_every_identity(script, tmp_path):
    ended = run_script(script, "--preset", "smoke", "--out", tmp_path, JAX_DEBUG_NANS="1")
    assert (ended.returncode, ended.stderr) == (0, "")
    written = experiment.read_json(tmp_path / f"{script.stem}.json")
    assert list(written) == KEYS
    assert (written["name"], written["preset"]) == (script.stem, "smoke")
    assert all(list(claim) == list(experiment.Claim._fields) for claim in written["claims"])
    assert len({claim["id"] for claim in written["claims"]}) == len(written["claims"]) > 0
    identities = [claim["holds"] for claim in written["claims"] if claim["kind"] == "identity"]
    # Not False is not enough: one that never applies would pass.
    assert identities.count(True) > len(identities) / 2
    assert not failing(written["claims"], "identity")
    image = matplotlib.image.imread(tmp_path / f"{script.stem}.png")
    assert image.shape[1] > 500
    assert np.ptp(image[..., :3]) > 0.5
    replotted = run_script(script, "--replot", "--out", tmp_path)
    assert (replotted.returncode, replotted.stderr) == (0, "")
    assert experiment.read_json(tmp_path / f"{script.stem}.json") == written


@pytest.mark.skipif(not FIGURES, reason="no figure is committed yet")
@every_script
def test_the_committed_numbers_are_of_the_default_preset_and_explained(script):
    described = load(script).EXPERIMENT
    written = experiment.read_json(ROOT / "figures" / f"{script.stem}.json")
    assert (written["name"], written["preset"]) == (script.stem, "default")
    assert written["config"] == json.loads(json.dumps(dataclasses.asdict(described.presets["default"])))
    assert failing(written["claims"], "identity") == []
    assert all(claim["holds"] is not None or claim["note"] for claim in written["claims"])
    assert [claim["id"] for claim in failing(written["claims"], "finding") if not claim["note"]] == []
    assert (ROOT / "figures" / f"{script.stem}.png").exists()


def test_no_committed_figure_has_lost_its_script():
    assert {path.stem for path in FIGURES} <= {path.stem for path in SCRIPTS}


@pytest.fixture(scope="module")
def diagonal():
    return load(ROOT / "reproductions" / "diag_linear_grok.py")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("--n 0", "n must be at least 1, got 0"),
        ("--k 2", "k must be odd"),
        ("--k 5 --d 3", "k must be at most 3"),
        ("--weight-decay -1", "weight_decay must be finite and at least 0, got -1.0"),
        ("--weight-decay nan", "weight_decay must be finite"),
        ("--initial-norm inf", "initial_norm must be positive and finite, got inf"),
        ("--preset nope", "--preset must be one of smoke, default, paper, got 'nope'"),
        ("--times 1", "times must be at least 20, got 1"),
        ("--end-time 10 --limit-time 5", "limit_time must lie after end_time = 10.0, got 5.0"),
        ("--sweep-log-scales 2", "sweep_log_scales must be at least 2"),
        ("--precision float16", "precision must be float32 or float64, got 'float16'"),
        ("--seed one", "seed"),
    ],
)
def test_bad_input_to_the_diagonal_network_is_one_line_and_status_2(diagonal, tmp_path, capsys, arguments, told):
    assert experiment.main(diagonal.EXPERIMENT, [*arguments.split(), "--out", str(tmp_path / "out")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("diag_linear_grok: error: ")
    assert told in line


@pytest.mark.parametrize("flag", ["gap", "sweep-gap"])
def test_a_gap_between_classes_must_not_be_negative(tmp_path, capsys, flag):
    misgrok = load(ROOT / "reproductions" / "diag_linear_misgrok.py").EXPERIMENT
    assert experiment.main(misgrok, [f"--{flag}=-1", "--out", str(tmp_path / "out")]) == 2
    assert f"{flag.replace('-', '_')} must be finite and at least 0, got -1.0" in capsys.readouterr().err


def test_the_accuracy_at_a_cosine_is_that_of_points_drawn_one_by_one():
    misgrok = load(ROOT / "reproductions" / "diag_linear_misgrok.py")
    gap, size, cosine = 1.5, 200_000, np.array([-0.9, 0.0, 0.3, 0.999])
    s, rest = np.random.default_rng(0).standard_normal((2, size, 1))
    right = cosine * (np.abs(s) + gap / 2) + np.sqrt(1 - cosine**2) * rest > 0
    assert np.all(np.abs(right.mean(axis=0) - misgrok.accuracy_at(cosine, gap)) <= 4 * 0.5 / np.sqrt(size))


def test_a_folder_that_cannot_be_written_stops_a_script_before_its_work(tmp_path):
    (tmp_path / "file").touch()
    ended = run_script(ROOT / "reproductions" / "diag_linear_grok.py", "--out", tmp_path / "file")
    assert (ended.returncode, len(ended.stderr.splitlines())) == (2, 1)
    assert "--out must be a folder" in ended.stderr


@pytest.fixture
def draw_a_contradiction(diagonal, monkeypatch):
    """Two training points that are one, with both labels."""

    def drawn(*arguments):
        data = draw(*arguments)
        inputs, labels = data.train_inputs, data.train_labels
        inputs, labels = inputs.at[:, 1].set(inputs[:, 0]), labels.at[:, 1].set(-labels[:, 0])
        return data._replace(train_inputs=inputs, train_labels=labels)

    draw = diagonal.draw
    monkeypatch.setattr(diagonal, "draw", drawn)


def verdicts_of_a_small_run(module, folder, *arguments):
    # Without a margin the flow stays stiff in proportion to the square of the initial scale.
    sizes = "--n 32 --d 64 --sweep-n 32 --sweep-d 64 --initial-norm 84 --times 60 --sweep-log-scales 2 3"
    arguments = ["--preset", "smoke", *sizes.split(), *arguments, "--out", str(folder)]
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        assert experiment.main(module.EXPERIMENT, arguments) == 0
    claims = experiment.read_json(folder / f"{module.EXPERIMENT.name}.json")["claims"]
    assert all(claim["note"] for claim in claims if claim["holds"] is None)
    assert all(claim["holds"] is not False for claim in claims if claim["kind"] == "identity")
    return {claim["id"]: claim["holds"] for claim in claims}


LAWS = {"runs_complete", "conservation_law", "exact_reduction"}
OF_MARGINS = {"l2_certificate", "l1_certificate", "fits_at_once", "late_l1_margin", "max_l1_margin", "generalises"}
OF_LIMITS = {"limit_certificate", "end_point", "end_norm", "slope_in_log_alpha", "late_l1_margin", "max_l1_margin"}


@pytest.mark.slow
@pytest.mark.usefixtures("draw_a_contradiction")
def test_inseparable_data_have_a_flow_and_a_limit_but_no_margin(diagonal, tmp_path):
    # Coordinates whose correlation with the residual all but balances the decay die out slowly.
    verdicts = verdicts_of_a_small_run(diagonal, tmp_path, "--limit-time", "1e6")
    assert {verdicts[name] for name in LAWS | {"limit_certificate", "end_point", "end_norm"}} == {True}
    assert {verdicts[name] for name in OF_MARGINS} == {None}


@pytest.mark.slow
def test_without_weight_decay_there_is_a_flow_and_a_margin_but_no_limit(diagonal, tmp_path):
    verdicts = verdicts_of_a_small_run(diagonal, tmp_path, "--weight-decay=0")
    assert {verdicts[name] for name in LAWS | {"l2_certificate", "l1_certificate", "fits_at_once"}} == {True}
    assert {verdicts[name] for name in OF_LIMITS} == {None}
