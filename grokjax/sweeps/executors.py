"""Who computes the chunks: this process, on its devices."""

from __future__ import annotations

import abc
import time
from collections import deque
from collections.abc import Generator, Iterable
from typing import Any

from grokjax.sweeps.batch import Batch, choose_batch
from grokjax.sweeps.claims import Claims
from grokjax.sweeps.grid import Layout
from grokjax.sweeps.interruption import Interruption
from grokjax.sweeps.outcome import Outcome
from grokjax.sweeps.program import Programs
from grokjax.sweeps.store import Store

__all__ = ["POLL_SECONDS", "Executor", "LocalExecutor", "Work"]

POLL_SECONDS = 0.05  # between two looks at chunks that another process computes


class Work:
    """Chunks that are missing from a store, given out one at a time to whoever claims them first.

    Args:
        store: the store.
        claims: the claims of this process.
        chunks: the missing chunks.
        interruption: after whose first press nothing more is given out.

    Attributes:
        by_others: manifests of chunks that another process has added meanwhile.
    """

    def __init__(self, store: Store, claims: Claims, chunks: Iterable[int], interruption: Interruption) -> None:
        self._store, self._claims, self._interruption = store, claims, interruption
        self._left = deque(chunks)
        self.by_others: list[dict[str, Any]] = []

    @property
    def over(self) -> bool:
        """Whether nothing more will be given out."""
        return not self._left or self._interruption.requested

    def take(self) -> int | None:
        """A chunk to compute, claimed; None while other processes have claimed all that is missing."""
        for _ in range(len(self._left)):
            chunk = self._left.popleft()
            if not self._claims.take(chunk):
                self._left.append(chunk)
                continue
            manifest = self._store.verify(chunk)
            if manifest is None:
                return chunk
            self.by_others.append(manifest)
            self._claims.give_up(chunk)
        return None


class Executor(abc.ABC):
    """What computes chunks."""

    @abc.abstractmethod
    def choose_batch(self) -> Batch:
        """Choose a batch by a trial where the chunks will be computed."""

    @abc.abstractmethod
    def outcomes(self, work: Work, layout: Layout, width: int) -> Generator[tuple[int, Outcome], None, None]:
        """Each chunk of the work with its outcome, as they come."""


class LocalExecutor(Executor):
    """Computes one chunk after the other in this process."""

    def __init__(self, programs: Programs, interruption: Interruption) -> None:
        self._programs, self._interruption = programs, interruption

    def choose_batch(self) -> Batch:
        """Choose a batch by a trial on the devices of the programs."""
        return self._interruption.call(choose_batch, self._programs)

    def outcomes(self, work: Work, layout: Layout, width: int) -> Generator[tuple[int, Outcome], None, None]:
        """Each chunk of the work with its outcome."""
        while not work.over:
            chunk = work.take()
            if chunk is None:
                time.sleep(POLL_SECONDS)
                continue
            try:
                yield chunk, self._interruption.call(self._programs.compute, layout, chunk, width)
            except Exception as error:
                error.add_note(f"This happened in chunk {chunk} of the sweep; the chunks before it are kept.")
                raise
