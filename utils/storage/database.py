"""What outlives the process: one SQLite file, brought up to date when it is opened."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from config import get_settings
from utils.errors import StorageError
from utils.storage.runs import Run

MIGRATIONS = Path(__file__).with_name("migrations")
FILE_NAME = "specchat.db"
BUSY_TIMEOUT_S = 10.0
Parameters = Sequence[object] | Mapping[str, object]


class Database:
    """An SQLite file that all threads use in turn; all its failures are `StorageError`.

    `run` tells this opening from those of other processes.
    """

    def __init__(self, path: Path) -> None:
        """Open or make the file, and apply the migrations that it has not seen."""
        self.path = path
        self._lock = threading.RLock()
        with self._explained():
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._connection = sqlite3.connect(
                path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
            )
            try:
                self._prepare()
            except BaseException:
                self._connection.close()
                raise
        self.run = Run(path.parent)

    def read(self, sql: str, parameters: Parameters = ()) -> list[sqlite3.Row]:
        """Return the rows of a query."""
        with self._lock, self._explained():
            return self._connection.execute(sql, parameters).fetchall()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Give the connection; all that is written through it is kept, or nothing of it."""
        with self._lock, self._explained():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Close the file; another use fails."""
        with self._lock:
            self._connection.close()
        self.run.end()

    def _prepare(self) -> None:
        self.path.chmod(0o600)
        self._connection.row_factory = sqlite3.Row
        # Readers of other processes do not wait, and a torn write is undone at the next opening.
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")
        self._connection.execute("PRAGMA foreign_keys = ON")
        scripts = sorted(MIGRATIONS.glob("*.sql"))
        for number, script in enumerate(scripts, start=1):
            self._migrate(number, script.read_text(encoding="utf-8"))
        if self._version > len(scripts):
            raise StorageError(
                f"{self.path} was written by a newer version: it has {self._version} migrations, "
                f"this one knows {len(scripts)}; update, or set SPECCHAT_DATA_FOLDER to another "
                "folder"
            )

    @property
    def _version(self) -> int:
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        return int(version)

    def _migrate(self, number: int, script: str) -> None:
        """Apply a migration, unless it was: by now, or by another process meanwhile."""
        with self.transaction() as connection:
            if self._version >= number:
                return
            for statement in _statements(script):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {number}")

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise StorageError(
                f"{self.path} cannot be used: {error}; check the disk and the rights on the "
                "folder, or set SPECCHAT_DATA_FOLDER to another one"
            ) from error


@cache
def get_database() -> Database:
    """Return the database of this process, opened at the first call."""
    return Database(get_settings().data_folder / FILE_NAME)


def _statements(script: str) -> Iterator[str]:
    """Cut a script where SQLite says that a statement is complete, which triggers are late."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
