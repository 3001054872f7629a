"""The reproduction of figure 3 where it is told nonsense, and where λ is 0 or so large that nothing is learned."""

from __future__ import annotations

import importlib

import jax
import pytest

from grokjax import experiment

script = importlib.import_module("matrix_completion_grok")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("--size 1", "size must be at least 2, got 1"),
        ("--observed 0", "observed must be at least 1, got 0"),
        ("--size 5 --observed 25", "observed must be less than the 25 entries of the target, got 25"),
        ("--small-observed 5000", "small_observed must be less than the 1024 entries of the target, got 5000"),
        ("--recovery-rank 0", "recovery_rank must be at least 1, got 0"),
        ("--recovery-rank 21", "recovery_rank must be at most recovery_size = 20, got 21"),
        ("--alpha 0", "alpha must be positive and finite, got 0.0"),
        ("--rtol nan", "rtol must be positive and finite, got nan"),
        ("--weight-decay -1", "weight_decay must be finite and at least 0, got -1.0"),
        ("--recovery-noise inf", "recovery_noise must be finite and at least 0, got inf"),
        ("--alphas 3", "alphas must be at least 2 positive numbers, for a slope; got (3.0,)"),
        ("--decay-factors 0 1", "decay_factors must be at least 2 positive numbers, for a slope; got (0.0, 1.0)"),
        ("--limit-time 5", "limit_time must be finite and after end_time = 1000000.0, got 5.0"),
        ("--times 3", "times must be at least 20, got 3"),
        ("--seeds 1", "seeds must be at least 2, for a standard error; got 1"),
        ("--size many", "size"),
    ],
)
def test_bad_input_is_one_line_and_status_2(tmp_path, capsys, arguments, told):
    assert experiment.main(script.EXPERIMENT, [*arguments.split(), "--out", str(tmp_path / "out")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("matrix_completion_grok: error: ")
    assert told in line


def verdicts(folder, arguments):
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        assert experiment.main(script.EXPERIMENT, ["--preset", "smoke", *arguments.split(), "--out", str(folder)]) == 0
    claims = experiment.read_json(folder / "matrix_completion_grok.json")["claims"]
    assert all(claim["note"] for claim in claims if claim["holds"] is None)
    assert all(claim["holds"] is not False for claim in claims if claim["kind"] == "identity")
    return {claim["id"]: claim["holds"] for claim in claims}


@pytest.mark.slow
def test_without_weight_decay_the_zeros_stay(tmp_path):
    held = verdicts(tmp_path, "--weight-decay 0 --end-time 300 --limit-time 1000")
    assert all(held[name] for name in ("plateau", "plateaus", "norm_law", "conservation_law", "exact_reduction"))
    assert all(held[name] is None for name in ("end_point", "loss_exponent", "slope_in_log_alpha", "recovery_one"))


@pytest.mark.slow
def test_large_weight_decay_collapses_to_zero_as_predicted(tmp_path):
    held = verdicts(tmp_path, "--weight-decay 1 --end-time 100 --limit-time 1000")
    assert all(held[name] for name in ("collapse", "end_point", "end_points", "end_test_loss"))
    assert all(held[name] is None for name in ("plateau", "kernel_phase_end", "switch_time", "test_loss_falls"))
