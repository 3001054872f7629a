"""Ctrl-C: the first press finishes the running chunk, the second stops at once."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, TypeVar

from grokjax.sweeps.settings import read_settings, use_settings

__all__ = ["Interruption"]

T = TypeVar("T")


class Interruption:
    """Listens for Ctrl-C while it is open; a context manager.

    Outside the main thread, and where somebody else handles the signal, it leaves the signal alone.

    Attributes:
        requested: whether Ctrl-C has been pressed once.
    """

    def __init__(self) -> None:
        self.requested = False
        self._listening = False

    def __enter__(self) -> Interruption:
        main = threading.current_thread() is threading.main_thread()
        if main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._press)
            self._listening = True
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._listening:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            self._listening = False

    def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """function(*arguments), from which a second Ctrl-C returns at once.

        Python handles signals between its own instructions, and a compiled program is one long instruction: it runs in
        another thread while this one waits. A call that was left runs to its end unheard, or ends with the process.
        """
        if not self._listening:
            return function(*arguments)
        settings, done, results, errors = read_settings(), threading.Event(), [], []

        def work() -> None:
            try:
                with use_settings(settings):
                    results.append(function(*arguments))
            except BaseException as error:  # raised again where somebody waits for it
                errors.append(error)
            finally:
                done.set()

        threading.Thread(target=work, name="grokjax-sweep", daemon=True).start()
        while not done.wait(timeout=1.0):
            pass
        if errors:
            raise errors[0]
        return results[0]

    def _press(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt("stopped at once; finished chunks are kept")
        self.requested = True
        print("\nfinishing the running chunk; press Ctrl-C again to stop at once", file=sys.stderr)
