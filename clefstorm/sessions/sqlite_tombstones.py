"""Tombstones in a SQLite file: logouts, remembered against the logins that they have overtaken.

LAW: as for sqlite_rows: inside somebody else's transaction, without waiting, without a clock. A
tombstone names nobody: it lies under a keyed hash.
"""

from __future__ import annotations

import hmac
import json
import math
import sqlite3

from clefstorm.sealing import Sealer
from clefstorm.sessions.record import LoginSession
from clefstorm.sessions.store import session_tombstoned

_PURPOSE = "session index"

# No hash is empty: this row counts the logouts that have a mark, and is never past its end.
_COUNTER = b""


class SQLiteTombstones:
    """The rows of the table ``tombstones``, and the keyed hashes that sessions are found by."""

    def __init__(self, sealer: Sealer) -> None:
        self._keys = sealer.derive_all(_PURPOSE)
        # Each hash is looked for under every secret that we hold, and written under the newest.
        self.each = ", ".join("?" * len(self._keys))
        self._three = ", ".join("?" * len(self._keys) * 3)

    def index(self, *parts: str) -> tuple[bytes, ...]:
        """Return the hashes of a name, one for each secret, newest first."""
        name = json.dumps(parts).encode("ascii")
        return tuple(hmac.digest(key, name, "sha256")[:16] for key in self._keys)

    def bury_sid(
        self, db: sqlite3.Connection, iss: str, sid: str, sub: str | None, *, until: float
    ) -> None:
        """Remember the logout of a provider's session, of ``sub`` alone unless it is None."""
        self._bury(db, self._of_sid(iss, sid, sub)[0], math.inf, until)

    def bury_sub(
        self, db: sqlite3.Connection, iss: str, sub: str, *, issued: float | None, until: float
    ) -> None:
        """Remember the logout of a subject; ``issued`` None: by the mark that it makes."""
        if issued is None:
            db.execute(
                "INSERT INTO tombstones (name, issued, until) VALUES (?, 1, ?)"
                " ON CONFLICT (name) DO UPDATE SET issued = issued + 1",
                (_COUNTER, math.inf),
            )
            self._bury(db, self.index("mark", iss, sub)[0], self.mark(db), until)
        else:
            self._bury(db, self.index("sub", iss, sub)[0], issued, until)

    @staticmethod
    def mark(db: sqlite3.Connection) -> int:
        """See SessionStore.mark."""
        row = db.execute("SELECT issued FROM tombstones WHERE name = ?", (_COUNTER,)).fetchone()
        return 0 if row is None else int(row[0])

    def refuse(
        self, db: sqlite3.Connection, session: LoginSession, *, mark: int | None, now: float
    ) -> None:
        """Raise SessionEnded (session_tombstoned) when a logout has overtaken the session."""
        iss, sub, sid = session.iss, session.sub, session.sid
        names, marks = self.index("sub", iss, sub), self.each
        if sid is not None:
            names += self._of_sid(iss, sid, None) + self._of_sid(iss, sid, sub)
            marks = self._three
        found = self._later(db, marks, names, session.authenticated, now)
        if mark is not None and not found:
            found = self._later(db, self.each, self.index("mark", iss, sub), mark, now)
        if found:
            raise session_tombstoned()

    @staticmethod
    def _later(
        db: sqlite3.Connection, marks: str, names: tuple[bytes, ...], than: float, now: float
    ) -> bool:
        found = db.execute(
            f"SELECT 1 FROM tombstones WHERE name IN ({marks}) AND issued > ? AND until > ?",
            (*names, than, now),
        )
        return found.fetchone() is not None

    def _of_sid(self, iss: str, sid: str, sub: str | None) -> tuple[bytes, ...]:
        return self.index("sid", iss, sid) if sub is None else self.index("sid", iss, sid, sub)

    @staticmethod
    def _bury(db: sqlite3.Connection, name: bytes, issued: float, until: float) -> None:
        db.execute(
            "INSERT INTO tombstones (name, issued, until) VALUES (:name, :issued, :until)"
            " ON CONFLICT (name) DO UPDATE"
            " SET issued = max(issued, :issued), until = max(until, :until)",
            {"name": name, "issued": issued, "until": until},
        )
