"""Sessions in this process alone, gone at its end: for tests, and for trying things out.

LAW: behaves as the other stores do. It keeps records, not objects, so what a caller does to a
session that it was given changes nothing here.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from clefstorm.sessions.record import LoginSession
from clefstorm.sessions.store import (
    Revocation,
    SessionStore,
    check_reason,
    session_conflict,
    session_ended,
    session_exists,
    session_expired,
    session_tombstoned,
    store_closed,
    subject_changed,
)


@dataclass(slots=True)
class _Row:
    record: bytes
    session: LoginSession  # its claims and data may have changed since: read them in the record


class MemorySessionStore(SessionStore):
    """A SessionStore in dictionaries. ``clock`` gives epoch seconds."""

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._closed = False
        self._rows: dict[str, _Row] = {}
        # Keys by (iss, sub) and by (iss, sid); dictionaries serve as ordered sets.
        self._by_sub: dict[tuple[str, str], dict[str, None]] = {}
        self._by_sid: dict[tuple[str, str], dict[str, None]] = {}
        # (issued, or the mark, until) by what was revoked; names with (value, expires).
        self._tombstones: dict[tuple[str | None, ...], tuple[float, float]] = {}
        self._mark = 0
        self._names: dict[str, tuple[str, float]] = {}

    async def mark(self) -> int:
        self._now()
        return self._mark

    async def create(self, session: LoginSession, *, mark: int | None = None) -> LoginSession:
        now = self._now()
        if session.ends_at <= now:
            raise session_expired()
        self._refuse_tombstoned(session, now)
        if mark is not None:
            self._refuse_overtaken(session, mark, now)
        if session.key in self._rows:
            raise session_exists()
        self._keep(session)
        return session

    async def read(self, key: str) -> LoginSession | None:
        row = self._alive(key, self._now())
        if row is None:
            return None
        return LoginSession.from_record(row.record, seen=row.session.seen)

    async def save(self, session: LoginSession) -> LoginSession:
        now = self._now()
        row = self._alive(session.key, now)
        if row is None:
            raise session_ended()
        kept = row.session
        if (kept.iss, kept.sub) != (session.iss, session.sub):
            raise subject_changed()
        if kept.version != session.version:
            raise session_conflict(session, kept.version)
        self._refuse_tombstoned(session, now)
        saved = replace(session, version=session.version + 1, seen=max(session.seen, kept.seen))
        record = saved.to_record()
        self._drop(session.key)
        self._keep(saved, record)
        return saved

    async def touch(self, key: str, seen: float) -> None:
        row = self._alive(key, self._now())
        if row is not None and row.session.seen < seen:
            row.session = replace(row.session, seen=seen)

    async def revoke(self, key: str, *, reason: str) -> LoginSession | None:
        check_reason(reason)
        ended = self._end([key], self._now())
        return ended[0] if ended else None

    async def revoke_sid(
        self, iss: str, sid: str, *, sub: str | None = None, reason: str, until: float
    ) -> list[LoginSession]:
        check_reason(reason)
        now = self._now()
        self._bury(("sid", iss, sid, sub), math.inf, until)
        keys = self._by_sid.get((iss, sid), {})
        return self._end(
            [key for key in keys if sub is None or self._rows[key].session.sub == sub], now
        )

    async def revoke_sub(
        self, iss: str, sub: str, *, issued: float | None, reason: str, until: float
    ) -> list[LoginSession]:
        check_reason(reason)
        now = self._now()
        if issued is None:
            self._mark += 1
            self._bury(("mark", iss, sub), self._mark, until)
        else:
            self._bury(("sub", iss, sub), issued, until)
        return self._end(list(self._by_sub.get((iss, sub), {})), now)

    async def list_sub(self, iss: str, sub: str) -> list[LoginSession]:
        return self._listed(self._by_sub.get((iss, sub), {}))

    async def list_sid(self, iss: str, sid: str) -> list[LoginSession]:
        return self._listed(self._by_sid.get((iss, sid), {}))

    def _listed(self, keys: Iterable[str]) -> list[LoginSession]:
        now = self._now()
        rows = [self._rows[key] for key in keys]
        return _handed_out(row for row in rows if row.session.ends_at > now)

    async def put_once(self, name: str, *, expires: float, value: str = "") -> bool:
        if self._value(name) is not None:
            return False
        self._names[name] = (value, expires)
        return True

    async def extend(
        self, name: str, *, value: str, expires: float, new_value: str | None = None
    ) -> bool:
        if self._value(name) != value:
            return False
        self._names[name] = (value if new_value is None else new_value, expires)
        return True

    async def take(self, name: str) -> str | None:
        value = self._value(name)
        self._names.pop(name, None)
        return value

    async def peek(self, name: str) -> str | None:
        return self._value(name)

    async def take_expired(self, most: int) -> list[LoginSession]:
        now = self._now()
        ended = [key for key, row in self._rows.items() if row.session.ends_at <= now][:most]
        rows = [self._drop(key) for key in ended]
        return _handed_out(row for row in rows if row is not None)

    async def prune(self) -> int:
        now = self._now()
        dead = [key for key, row in self._rows.items() if row.session.ends_at <= now]
        buried = [name for name, (_, until) in self._tombstones.items() if until <= now]
        names = [name for name, (_, expires) in self._names.items() if expires <= now]
        for key in dead:
            self._drop(key)
        for tombstone in buried:
            del self._tombstones[tombstone]
        for name in names:
            del self._names[name]
        return len(dead) + len(buried) + len(names)

    def start(self, on_revoked: Callable[[Revocation], None]) -> None:
        """Do nothing: no other process can end what is here."""
        self._now()

    async def close(self) -> None:
        self._closed = True

    def _now(self) -> float:
        if self._closed:
            raise store_closed()
        return self._clock()

    def _alive(self, key: str, now: float) -> _Row | None:
        row = self._rows.get(key)
        return row if row is not None and row.session.ends_at > now else None

    def _value(self, name: str) -> str | None:
        now = self._now()
        value, expires = self._names.get(name, (None, -math.inf))
        return value if expires > now else None

    def _bury(self, what: tuple[str | None, ...], issued: float, until: float) -> None:
        known_issued, known_until = self._tombstones.get(what, (issued, until))
        self._tombstones[what] = (max(issued, known_issued), max(until, known_until))

    def _refuse_tombstoned(self, session: LoginSession, now: float) -> None:
        iss, sub, sid = session.iss, session.sub, session.sid
        for what in (("sid", iss, sid, None), ("sid", iss, sid, sub), ("sub", iss, sub)):
            issued, until = self._tombstones.get(what, (-math.inf, -math.inf))
            if session.authenticated < issued and until > now:
                raise session_tombstoned()

    def _refuse_overtaken(self, session: LoginSession, mark: int, now: float) -> None:
        later, until = self._tombstones.get(("mark", session.iss, session.sub), (0, -math.inf))
        if later > mark and until > now:
            raise session_tombstoned()

    def _keep(self, session: LoginSession, record: bytes | None = None) -> None:
        record = record or session.to_record()
        self._rows[session.key] = _Row(record, session)
        self._by_sub.setdefault((session.iss, session.sub), {})[session.key] = None
        if session.sid is not None:
            self._by_sid.setdefault((session.iss, session.sid), {})[session.key] = None

    def _drop(self, key: str) -> _Row | None:
        row = self._rows.pop(key, None)
        if row is not None:
            kept = row.session
            _forget(self._by_sub, (kept.iss, kept.sub), key)
            if kept.sid is not None:
                _forget(self._by_sid, (kept.iss, kept.sid), key)
        return row

    def _end(self, keys: list[str], now: float) -> list[LoginSession]:
        rows = [self._drop(key) for key in keys]
        return _handed_out(row for row in rows if row is not None and row.session.ends_at > now)


def _forget(index: dict[tuple[str, str], dict[str, None]], name: tuple[str, str], key: str) -> None:
    del index[name][key]
    if not index[name]:
        del index[name]


def _handed_out(rows: Iterable[_Row]) -> list[LoginSession]:
    sessions = [LoginSession.from_record(row.record, seen=row.session.seen) for row in rows]
    return sorted(sessions, key=lambda session: session.created, reverse=True)
