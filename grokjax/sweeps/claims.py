"""Claims on chunks: which of several processes at one store computes what."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path
from types import TracebackType

__all__ = ["Claims"]


class Claims:
    """Locks of one process on chunks, byte i of a file for chunk i; the system lifts them when the process ends.

    They share out the work and keep two writers from one chunk. Where the file system has no locks every claim is
    granted: work may then be done twice, and a chunk that two have written at once counts as damaged if they differ.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)

    def __enter__(self) -> Claims:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        os.close(self._file)

    def take(self, chunk: int) -> bool:
        """Claim a chunk, unless another process has."""
        try:
            import fcntl

            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, chunk)
        except ImportError:
            return True
        except OSError as error:
            return error.errno not in (errno.EACCES, errno.EAGAIN)
        return True

    def give_up(self, chunk: int) -> None:
        """Give a claim up."""
        with contextlib.suppress(ImportError, OSError):
            import fcntl

            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, chunk)
