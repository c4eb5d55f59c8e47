"""The file of a SQLite store: made, opened, recognised, and its errors put into our words.

LAW: no statement about a session is here. A file that is not ours is never changed. Nothing
waits longer than LOCK_WAIT for another process. The file's owner alone may read it.
Source: sqlite.org/wal.html, /stricttables.html, /pragma.html, /rescode.html.
"""

from __future__ import annotations

import os
import sqlite3
import stat
import threading
import time
from pathlib import Path

from clefstorm.errors import ConfigurationError, StoreUnavailable

LOCK_WAIT = 3.0
"""Seconds that a write waits for another process's write before it gives up."""

READ_WAIT = 0.2
"""The same for a read. In WAL mode one waits only while a file is recovered after a crash."""

_OLDEST_SQLITE = (3, 37, 0)  # STRICT
_APPLICATION = 0x636C6566
_SCHEMA_VERSION = 1

# A sealed record is too long for a table WITHOUT ROWID, whose inner pages hold rows too: that
# was measured at two to three times the time and size. The small tables are better without.
_SCHEMA = """
CREATE TABLE sessions (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    subject BLOB NOT NULL,
    sid BLOB,
    version INTEGER NOT NULL,
    seen REAL NOT NULL,
    idle REAL,
    expires REAL NOT NULL,
    ends REAL NOT NULL,
    record BLOB NOT NULL
) STRICT;
CREATE INDEX sessions_subject ON sessions (subject);
CREATE INDEX sessions_sid ON sessions (sid) WHERE sid IS NOT NULL;
CREATE INDEX sessions_ends ON sessions (ends);

CREATE TABLE tombstones (
    name BLOB PRIMARY KEY, issued REAL NOT NULL, until REAL NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX tombstones_until ON tombstones (until);

CREATE TABLE names (
    name BLOB PRIMARY KEY, value BLOB NOT NULL, expires REAL NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX names_expires ON names (expires);

-- AUTOINCREMENT: a number is never used again, so whoever has read up to one has read all.
CREATE TABLE revocations (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    origin BLOB NOT NULL,
    key TEXT NOT NULL,
    reason TEXT NOT NULL,
    at REAL NOT NULL
) STRICT;
"""

_CODES = {
    sqlite3.SQLITE_BUSY: "store_locked",
    sqlite3.SQLITE_LOCKED: "store_locked",
    sqlite3.SQLITE_FULL: "store_full",
    sqlite3.SQLITE_CORRUPT: "store_malformed",
    sqlite3.SQLITE_NOTADB: "store_malformed",
    sqlite3.SQLITE_CANTOPEN: "store_unopenable",
    sqlite3.SQLITE_READONLY: "store_read_only",
    sqlite3.SQLITE_IOERR: "store_io_error",
}


_MAKING = threading.Lock()


def _primary(error: sqlite3.Error) -> int:
    code: int = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    return code & 0xFF


def unavailable(error: sqlite3.Error) -> StoreUnavailable:
    """Return the StoreUnavailable that says what SQLite said: store_locked, store_full, …"""
    return StoreUnavailable(
        "the session store can't be used",
        code=_CODES.get(_primary(error), "store_error"),
        sqlite=getattr(error, "sqlite_errorname", type(error).__name__),
    )


class SQLiteFile:
    """One file on a local disk, which several connections and processes may share."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).absolute()
        self._identity: tuple[int, int] | None = None

    def open_writer(self) -> sqlite3.Connection:
        """Make the file if there is none; return a connection that writes.

        Raises ConfigurationError for a path that can't be used, a file that is not ours
        (store_foreign) or of a newer clefstorm (store_newer), StoreUnavailable for the rest.
        """
        if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
            raise ConfigurationError(
                "this Python's SQLite is too old for the session store",
                code="store_sqlite_too_old",
                expected="3.37",
                got=sqlite3.sqlite_version,
            )
        try:
            with _MAKING:
                self._make()
        except OSError as error:
            raise ConfigurationError(
                "the session store's file can't be made or kept private",
                code="store_path_unusable",
                path=str(self.path),
                reason=error.strerror,
            ) from error
        try:
            connection = self._connect(LOCK_WAIT)
            try:
                self._adopt(connection)
                self._identity = self._look()
            except BaseException:
                connection.close()
                raise
        except sqlite3.Error as error:
            if _primary(error) == sqlite3.SQLITE_NOTADB:
                raise self._foreign() from error
            raise unavailable(error) from error
        return connection

    def open_reader(self) -> sqlite3.Connection:
        """Return a connection that only reads. ``open_writer`` comes first."""
        try:
            connection = self._connect(READ_WAIT)
            try:
                connection.execute("PRAGMA query_only = ON")
                self.check_present()
            except BaseException:
                connection.close()
                raise
        except sqlite3.Error as error:
            raise unavailable(error) from error
        return connection

    def check_present(self) -> None:
        """Raise StoreUnavailable (store_gone) when the path no longer leads to our file.

        SQLite would go on in the deleted file, seen by nobody. Nor is a new one made in its
        place: if the old one came back, so would the sessions that were revoked meanwhile.
        """
        if self._look() != self._identity:
            raise StoreUnavailable(
                "the session store's file was removed or replaced; restart, or put it back",
                code="store_gone",
                path=str(self.path),
            )

    def _look(self) -> tuple[int, int] | None:
        try:
            found = os.stat(self.path)
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def _make(self) -> None:
        try:
            # Never one that exists: closing it would drop the locks SQLite has on it here.
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        except FileExistsError:
            # The files beside it take its mode when SQLite makes them.
            for suffix in ("", "-wal", "-shm"):
                self._keep_private(f"{self.path}{suffix}", required=not suffix)

    @staticmethod
    def _keep_private(path: str, *, required: bool) -> None:
        try:
            mode = os.stat(path).st_mode
            if stat.S_ISREG(mode) and mode & 0o077:
                os.chmod(path, 0o600)
        except FileNotFoundError:
            if required:
                raise

    def _connect(self, wait: float) -> sqlite3.Connection:
        # mode=rw: never make a file, which would have the process's default mode.
        return sqlite3.connect(
            f"{self.path.as_uri()}?mode=rw",
            uri=True,
            timeout=wait,
            isolation_level=None,
            check_same_thread=False,
        )

    def _adopt(self, connection: sqlite3.Connection) -> None:
        # One transaction, so that it is one state of the file that we judge.
        connection.execute("BEGIN")
        new = self._is_new(connection)
        connection.execute("COMMIT")
        self._use_wal(connection)
        # Without it macOS does not reach the disk; elsewhere it means nothing.
        connection.execute("PRAGMA fullfsync = ON")
        connection.execute(f"PRAGMA journal_size_limit = {16 * 1024 * 1024}")
        if new:
            connection.execute("BEGIN IMMEDIATE")
            # Another process may have been first.
            if self._is_new(connection):
                for statement in _SCHEMA.split(";\n"):
                    connection.execute(statement)
                connection.execute(f"PRAGMA application_id = {_APPLICATION}")
                connection.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")
            connection.execute("COMMIT")

    def _is_new(self, connection: sqlite3.Connection) -> bool:
        """Return whether the file is empty. Raises ConfigurationError when we can't use it."""
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        if application == version == tables == 0:
            return True
        if application != _APPLICATION:
            raise self._foreign()
        if version != _SCHEMA_VERSION:
            raise ConfigurationError(
                "the session store's file was written by another version of clefstorm",
                code="store_newer",
                expected=_SCHEMA_VERSION,
                got=version,
            )
        return False

    def _foreign(self) -> ConfigurationError:
        return ConfigurationError(
            "the session store's file belongs to something else; give another path",
            code="store_foreign",
            path=str(self.path),
        )

    def _use_wal(self, connection: sqlite3.Connection) -> None:
        # SQLite does not wait when two processes change to WAL at the same time.
        give_up = time.monotonic() + LOCK_WAIT
        while True:
            try:
                (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
                break
            except sqlite3.OperationalError as error:
                if _primary(error) != sqlite3.SQLITE_BUSY or time.monotonic() > give_up:
                    raise
                time.sleep(0.01)
        if mode != "wal":
            raise ConfigurationError(
                "the session store needs a local disk (WAL); give another path",
                code="store_no_wal",
                path=str(self.path),
            )
