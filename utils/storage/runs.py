"""Runs of the app on one folder of data: each holds the lock of a file of its own till it ends.

The system gives a lock back however a process ends. Pids would lie: they come again.
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
from pathlib import Path
from uuid import uuid4
from weakref import finalize

FOLDER_NAME = "runs"
_ID = re.compile(r"[0-9a-f]{32}")

logger = logging.getLogger(__name__)


class Run:
    """This run among those on a folder; `id` is empty where the folder knows no locks.

    All methods may be called from any thread.
    """

    def __init__(self, folder: Path) -> None:
        """Begin a run, and remove what others left behind."""
        self._folder = folder / FOLDER_NAME
        self.id = ""
        try:
            self._clear()
            self._begin(uuid4().hex)
        except OSError as error:
            logger.warning("runs on %s cannot be told apart: %s", folder, error)

    def is_another(self, run_id: str) -> bool:
        """Tell whether this is the id of another run, and that goes on."""
        return run_id != self.id and bool(_ID.fullmatch(run_id)) and _is_held(self._file(run_id))

    def end(self) -> None:
        """End this run; once more does nothing."""
        if self.id:
            self._file(self.id).unlink(missing_ok=True)
            self._close()

    def _begin(self, run_id: str) -> None:
        # Locked before it has its name, so that nobody ever finds it without its lock.
        unnamed = self._folder / f"{run_id}.new"
        handle = os.open(unnamed, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        self._close = finalize(self, os.close, handle)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            unnamed.rename(self._file(run_id))
        except BaseException:
            unnamed.unlink(missing_ok=True)
            self._close()
            raise
        self.id = run_id

    def _clear(self) -> None:
        self._folder.mkdir(mode=0o700, exist_ok=True)
        for left in self._folder.iterdir():
            if _ID.fullmatch(left.name) and not _is_held(left):
                left.unlink(missing_ok=True)

    def _file(self, run_id: str) -> Path:
        return self._folder / run_id


def _is_held(path: Path) -> bool:
    """Tell whether a process holds the lock of this file; where that cannot be told, none does."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        # Shared: those that only ask do not take each other for a run.
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(handle)
    return False
