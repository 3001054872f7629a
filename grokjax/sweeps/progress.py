"""How far a sweep is: cells done, time left, failures."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, NamedTuple

from tqdm import tqdm

__all__ = ["Counter", "Progress"]


class Progress(NamedTuple):
    """A moment of a sweep.

    Attributes:
        cells: cells of the grid.
        finished: cells that have finished.
        diverged: cells that have diverged.
        failed: cells that have failed.
        seconds_left: estimate of the time left, infinite before the first chunk.
    """

    cells: int
    finished: int
    diverged: int
    failed: int
    seconds_left: float

    @property
    def done(self) -> int:
        """Cells that are stored, however they ended."""
        return self.finished + self.diverged + self.failed

    @property
    def message(self) -> str:
        """What is left and what went wrong, in words."""
        minutes, seconds = divmod(round(min(self.seconds_left, 1e9)), 60)
        hours, minutes = divmod(minutes, 60)
        left = f"{hours}:{minutes:02}:{seconds:02} left" if self.seconds_left < math.inf else "time left unknown"
        return f"{left}, {self.diverged} diverged, {self.failed} failed"


class Counter:
    """Counts cells by status and reports; a context manager.

    Args:
        cells: cells of the grid.
        progress: a function of a `Progress`, called at the start and after each chunk; True or False for a bar on
            standard error or none; None for a bar if a terminal is there.
    """

    def __init__(self, cells: int, progress: Callable[[Progress], Any] | bool | None) -> None:
        self._cells, self._counts = cells, dict.fromkeys(("finished", "diverged", "failed"), 0)
        # A monotonic clock: one that is set while the sweep runs would make nonsense of the time left.
        self._start, self._computed = time.monotonic(), 0
        self._report = progress if callable(progress) else None
        shown = False if callable(progress) else sys.stderr.isatty() if progress is None else progress
        self._bar = tqdm(
            total=cells, desc="sweep", disable=not shown, bar_format="{desc} {bar} {n_fmt}/{total_fmt} cells{postfix}"
        )

    def __enter__(self) -> Counter:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._bar.close()

    def say(self, text: str) -> None:
        """Print a line where a bar is shown."""
        if not self._bar.disable:
            self._bar.write(text, file=sys.stderr)

    def add(self, manifest: Mapping[str, Any], computed: bool) -> None:
        """Count a stored chunk, computed now or found; only what is computed tells how long the rest takes."""
        for status in self._counts:
            self._counts[status] += manifest["counts"][status]
        self._computed += computed * sum(manifest["counts"].values())

    def moment(self) -> Progress:
        """Where the sweep is."""
        missing = self._cells - sum(self._counts.values())
        left = math.inf if missing else 0.0
        if self._computed:
            left = (time.monotonic() - self._start) * missing / self._computed
        return Progress(self._cells, **self._counts, seconds_left=left)

    def show(self) -> None:
        """Report where the sweep is."""
        progress = self.moment()
        if self._report is not None:
            self._report(progress)
        if not self._bar.disable:
            self._bar.n = progress.done
            self._bar.set_postfix_str(progress.message, refresh=True)
