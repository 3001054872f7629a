"""Lines that benchmarks report are printed together at the end, targets beside measurements."""

from __future__ import annotations

import pytest

_LINES = pytest.StashKey[list[str]]()


def pytest_configure(config):
    config.stash[_LINES] = []


@pytest.fixture
def report(request):
    """`report(what, measured, target)`: a line of the summary."""

    def add(what, measured, target=""):
        request.config.stash[_LINES].append(f"{what:<78} {measured:>14}  {target}")

    return add


def pytest_terminal_summary(terminalreporter, config):
    if config.stash[_LINES]:
        terminalreporter.section("measured, and the target of the design")
        for line in config.stash[_LINES]:
            terminalreporter.write_line(line)
