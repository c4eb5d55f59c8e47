"""What the sessions of a SQLite file are made of: each rule as statements on a connection.

LAW: runs inside a transaction that somebody else begins and commits; waits for nothing, has no
clock. At rest the file names nobody: a session is found by its key, which is a hash, and by keyed
hashes of (iss, sub) and (iss, sid); everything else about it is sealed for that key, so no row
can stand in for another. In the clear are times, versions, keys and reasons.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from clefstorm.errors import SealBroken
from clefstorm.sealing import Sealer
from clefstorm.sessions.record import LoginSession
from clefstorm.sessions.sqlite_tombstones import SQLiteTombstones
from clefstorm.sessions.store import (
    Revocation,
    session_conflict,
    session_ended,
    session_exists,
    session_expired,
    subject_changed,
)

PRUNED_TOGETHER = 500
"""Rows of a table that one step of pruning drops."""

REVOCATIONS_KEPT = 3600.0
"""Seconds; a process that has not looked for so long is not told what it missed."""

# A later form of the record gets a purpose of its own.
_RECORD = "session record 1"

READ = "SELECT record, seen FROM sessions WHERE key = ?"

_log = logging.getLogger("clefstorm.sessions")


class SQLiteRows:
    """The rows of one store object. ``origin`` marks the revocations that are its own."""

    def __init__(self, sealer: Sealer, tombstones: SQLiteTombstones, *, origin: bytes) -> None:
        self._sealer = sealer
        self._tombstones = tombstones
        self._origin = origin
        self._index, self._each = tombstones.index, tombstones.each

    def unsealed(self, key: str, record: bytes, seen: float) -> LoginSession | None:
        """Return the session in a row; None, with a warning, when nobody vouches for it."""
        try:
            plain = self._sealer.open(record, purpose=_RECORD, context=key)
        except SealBroken as error:
            # Retired with its secret, or altered: either way the user signs in again.
            _log.warning("a session record is not used: %s (key: %s)", error.code, key)
            return None
        return LoginSession.from_record(plain, seen=seen)

    def create(
        self, db: sqlite3.Connection, session: LoginSession, mark: int | None, now: float
    ) -> LoginSession:
        """See SessionStore.create."""
        if session.ends_at <= now:
            raise session_expired()
        self._tombstones.refuse(db, session, mark=mark, now=now)
        added = db.execute(
            "INSERT INTO sessions (subject, sid, version, seen, idle, expires, ends, record, key)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO NOTHING",
            (*self._columns(session), session.key),
        )
        if not added.rowcount:
            raise session_exists()
        return session

    def save(self, db: sqlite3.Connection, session: LoginSession, now: float) -> LoginSession:
        """See SessionStore.save."""
        row = db.execute(
            "SELECT subject, version, seen FROM sessions WHERE key = ? AND ends > ?",
            (session.key, now),
        ).fetchone()
        if row is None:
            raise session_ended()
        subject, version, seen = row
        if subject not in self._index("sub", session.iss, session.sub):
            raise subject_changed()
        if version != session.version:
            raise session_conflict(session, version)
        self._tombstones.refuse(db, session, mark=None, now=now)
        saved = replace(session, version=version + 1, seen=max(session.seen, seen))
        db.execute(
            "UPDATE sessions SET subject = ?, sid = ?, version = ?, seen = ?, idle = ?,"
            " expires = ?, ends = ?, record = ? WHERE key = ?",
            (*self._columns(saved), saved.key),
        )
        return saved

    @staticmethod
    def touch(db: sqlite3.Connection, key: str, seen: float, now: float) -> None:
        """See SessionStore.touch."""
        db.execute(
            "UPDATE sessions SET seen = :seen, ends = min(expires, coalesce(:seen + idle, expires))"
            " WHERE key = :key AND seen < :seen AND ends > :now",
            {"key": key, "seen": seen, "now": now},
        )

    def revoke(
        self, db: sqlite3.Connection, key: str, reason: str, now: float
    ) -> LoginSession | None:
        """See SessionStore.revoke."""
        ended = self._end(db, "key = ?", (key,), reason, now)
        return ended[0] if ended else None

    def revoke_sid(
        self,
        db: sqlite3.Connection,
        iss: str,
        sid: str,
        sub: str | None,
        *,
        reason: str,
        until: float,
        now: float,
    ) -> list[LoginSession]:
        """See SessionStore.revoke_sid."""
        self._tombstones.bury_sid(db, iss, sid, sub, until=until)
        where, names = f"sid IN ({self._each})", self._index("sid", iss, sid)
        if sub is not None:
            where, names = (
                f"{where} AND subject IN ({self._each})",
                names + self._index("sub", iss, sub),
            )
        return self._end(db, where, names, reason, now)

    def revoke_sub(
        self,
        db: sqlite3.Connection,
        iss: str,
        sub: str,
        *,
        issued: float | None,
        reason: str,
        until: float,
        now: float,
    ) -> list[LoginSession]:
        """See SessionStore.revoke_sub."""
        self._tombstones.bury_sub(db, iss, sub, issued=issued, until=until)
        names = self._index("sub", iss, sub)
        return self._end(db, f"subject IN ({self._each})", names, reason, now)

    def list_sub(
        self, db: sqlite3.Connection, iss: str, sub: str, now: float
    ) -> list[LoginSession]:
        """See SessionStore.list_sub."""
        rows = db.execute(
            f"SELECT key, record, seen FROM sessions WHERE subject IN ({self._each}) AND ends > ?",
            (*self._index("sub", iss, sub), now),
        )
        return self._alive(rows, now)

    def list_sid(
        self, db: sqlite3.Connection, iss: str, sid: str, now: float
    ) -> list[LoginSession]:
        """See SessionStore.list_sid."""
        rows = db.execute(
            f"SELECT key, record, seen FROM sessions WHERE sid IN ({self._each}) AND ends > ?",
            (*self._index("sid", iss, sid), now),
        )
        return self._alive(rows, now)

    def take_expired(self, db: sqlite3.Connection, most: int, now: float) -> list[LoginSession]:
        """See SessionStore.take_expired."""
        rows = db.execute(
            "DELETE FROM sessions WHERE id IN"
            " (SELECT id FROM sessions WHERE ends <= ? ORDER BY ends LIMIT ?)"
            " RETURNING key, record, seen",
            (now, most),
        ).fetchall()
        return [session for row in rows if (session := self.unsealed(*row)) is not None]

    @staticmethod
    def prune(db: sqlite3.Connection, now: float) -> tuple[int, bool]:
        """Drop a bounded number of dead rows; return how many, and whether there may be more.

        Old revocations go too, but nobody counts those.
        """

        def drop(table: str, row: str, end: str, before: float) -> int:
            return db.execute(
                f"DELETE FROM {table} WHERE {row} IN"
                f" (SELECT {row} FROM {table} WHERE {end} <= ? ORDER BY {end} LIMIT ?)",
                (before, PRUNED_TOGETHER),
            ).rowcount

        entries = [
            drop("sessions", "id", "ends", now),
            drop("tombstones", "name", "until", now),
            drop("names", "name", "expires", now),
        ]
        told = drop("revocations", "seq", "at", now - REVOCATIONS_KEPT)
        return sum(entries), PRUNED_TOGETHER in (*entries, told)

    @staticmethod
    def data_version(db: sqlite3.Connection) -> int:
        """Return a number that differs once another connection has changed the file."""
        return int(db.execute("PRAGMA data_version").fetchone()[0])

    @staticmethod
    def last_revocation(db: sqlite3.Connection) -> int:
        """Return the number of the newest revocation there has been, 0 for none."""
        row = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'revocations'").fetchone()
        return 0 if row is None else int(row[0])

    def revocations(
        self, db: sqlite3.Connection, after: int, most: int
    ) -> list[tuple[int, Revocation | None]]:
        """Return up to ``most`` revocations with their numbers, oldest first; None for our own."""
        rows = db.execute(
            "SELECT seq, origin, key, reason FROM revocations WHERE seq > ? ORDER BY seq LIMIT ?",
            (after, most),
        )
        return [
            (sequence, None if origin == self._origin else Revocation(key, reason))
            for sequence, origin, key, reason in rows
        ]

    def _columns(self, session: LoginSession) -> tuple[Any, ...]:
        record = session.to_record()
        return (
            self._index("sub", session.iss, session.sub)[0],
            None if session.sid is None else self._index("sid", session.iss, session.sid)[0],
            session.version,
            session.seen,
            session.idle,
            session.expires,
            session.ends_at,
            self._sealer.seal(record, purpose=_RECORD, context=session.key),
        )

    def _end(
        self,
        db: sqlite3.Connection,
        where: str,
        names: tuple[str | bytes, ...],
        reason: str,
        now: float,
    ) -> list[LoginSession]:
        """Delete the sessions and leave word for the other processes; return those alive."""
        rows = db.execute(
            f"DELETE FROM sessions WHERE {where} RETURNING key, record, seen, ends", names
        ).fetchall()
        alive = [(key, record, seen) for key, record, seen, ends in rows if ends > now]
        db.executemany(
            "INSERT INTO revocations (origin, key, reason, at) VALUES (?, ?, ?, ?)",
            [(self._origin, key, reason, now) for key, _, _ in alive],
        )
        return self._alive(alive, now)

    def _alive(self, rows: Iterable[tuple[str, bytes, float]], now: float) -> list[LoginSession]:
        sessions = (self.unsealed(*row) for row in rows)
        alive = [session for session in sessions if session and session.ends_at > now]
        return sorted(alive, key=lambda session: session.created, reverse=True)
