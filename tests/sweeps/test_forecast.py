"""Arithmetic of forecasts."""

from __future__ import annotations

import pytest

from grokjax import sweeps

MILLION = {"cells": 10**6, "seconds_per_cell": 0.5, "cells_per_chunk": 20, "seconds_per_chunk": 2e-3}


@pytest.mark.parametrize(("devices", "rounds"), [(1, 50_000), (8, 6_250), (64, 782)])
def test_busy_devices_share_the_chunks(devices, rounds):
    cost = sweeps.forecast_cost(**MILLION, devices=devices)
    assert cost.seconds == pytest.approx(rounds * 10.0 + 2e-3)
    assert cost.device_hours == pytest.approx(cost.seconds * devices / 3600)
    assert cost.efficiency == pytest.approx(50_000 / (rounds * devices), rel=1e-6)


def test_one_writer_bounds_the_time_of_many_devices():
    cost = sweeps.forecast_cost(10**6, seconds_per_cell=1e-4, cells_per_chunk=10, devices=64)
    assert cost.seconds == pytest.approx(10**5 * 2e-3 + 1e-3)
    assert cost.efficiency < 0.01


def test_compilation_is_paid_on_each_device():
    without, with_ = (sweeps.forecast_cost(**MILLION, programs=3, seconds_per_program=s) for s in (0.0, 20.0))
    assert with_.seconds - without.seconds == pytest.approx(60.0)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"cells": 0}, "cells must be an integer of at least 1"),
        ({"devices": 0}, "devices must be an integer of at least 1"),
        ({"seconds_per_cell": 0.0}, "seconds_per_cell must be positive"),
    ],
)
def test_bad_input_is_refused(changed, message):
    with pytest.raises(ValueError, match=message):
        sweeps.forecast_cost(**(MILLION | changed))
