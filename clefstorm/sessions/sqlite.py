"""Sessions in a SQLite file: they survive restarts, and processes of one machine share them.

Reads are one look-up by primary key on the loop, because a hop to a thread costs more; writes
go through one thread. LAW: only look-ups by primary key run on the loop; this file says when and
where, sqlite_rows says what.

Made before a fork and used after it, a store is right in every process: it opens its file at the
first use. One that was used before the fork refuses to work in the child.
Source: DESIGN section 7, ANCHORS S1 (measured), sqlite.org/pragma.html (data_version).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from clefstorm.errors import ConfigurationError, StoreUnavailable
from clefstorm.sealing import Sealer
from clefstorm.sessions.record import LoginSession
from clefstorm.sessions.sqlite_file import SQLiteFile, unavailable
from clefstorm.sessions.sqlite_names import SQLiteNames
from clefstorm.sessions.sqlite_rows import READ, SQLiteRows
from clefstorm.sessions.sqlite_tombstones import SQLiteTombstones
from clefstorm.sessions.sqlite_writer import SQLiteWriter
from clefstorm.sessions.store import Revocation, SessionStore, check_reason, store_closed

T = TypeVar("T")

_READ_TOGETHER = 500

_log = logging.getLogger("clefstorm.sessions")


class SQLiteSessionStore(SessionStore):
    """A SessionStore in the file at ``path``, which is made if there is none.

    ``sealer``: the same secrets in every process that shares the file. ``clock`` gives epoch
    seconds. ``poll_interval``: seconds until another process's revocation is noticed, at most.
    Use it on one event loop at a time. The first call raises ConfigurationError when the path
    can't be used or the file there is not ours.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        sealer: Sealer,
        clock: Callable[[], float] = time.time,
        poll_interval: float = 1.0,
    ) -> None:
        self._clock = clock
        self._poll_interval = poll_interval
        self._file = SQLiteFile(path)
        self._tombstones = SQLiteTombstones(sealer)
        self._rows = SQLiteRows(sealer, self._tombstones, origin=secrets.token_bytes(16))
        self._names = SQLiteNames(sealer)
        self._writer = SQLiteWriter(self._file)
        self._reader: sqlite3.Connection | None = None
        self._process: int | None = None
        self._closed = False
        self._watcher: asyncio.Task[None] | None = None
        # How far the revocations have been read, and up to which change of the file.
        self._sequence: int | None = None
        self._data_version: int | None = None

    def __repr__(self) -> str:
        return f"SQLiteSessionStore({str(self._file.path)!r})"

    async def mark(self) -> int:
        reader = await self._open()
        try:
            return self._tombstones.mark(reader)
        except sqlite3.Error as error:
            raise unavailable(error) from error

    async def create(self, session: LoginSession, *, mark: int | None = None) -> LoginSession:
        now = self._clock()
        return await self._write(lambda db: self._rows.create(db, session, mark, now))

    async def read(self, key: str) -> LoginSession | None:
        reader = self._reader
        if reader is None or self._process != os.getpid():
            reader = await self._open()
        try:
            row = reader.execute(READ, (key,)).fetchone()
        except sqlite3.Error as error:
            raise unavailable(error) from error
        if row is None:
            return None
        session = self._rows.unsealed(key, *row)
        return None if session is None or session.ends_at <= self._clock() else session

    async def save(self, session: LoginSession) -> LoginSession:
        now = self._clock()
        # Durable: a rotated refresh token that was lost would end the session at the provider.
        return await self._write(lambda db: self._rows.save(db, session, now), durable=True)

    async def touch(self, key: str, seen: float) -> None:
        now = self._clock()
        await self._write(lambda db: self._rows.touch(db, key, seen, now))

    async def revoke(self, key: str, *, reason: str) -> LoginSession | None:
        check_reason(reason)
        now = self._clock()
        return await self._write(lambda db: self._rows.revoke(db, key, reason, now), durable=True)

    async def revoke_sid(
        self, iss: str, sid: str, *, sub: str | None = None, reason: str, until: float
    ) -> list[LoginSession]:
        check_reason(reason)
        now = self._clock()
        return await self._write(
            lambda db: self._rows.revoke_sid(
                db, iss, sid, sub, reason=reason, until=until, now=now
            ),
            durable=True,
        )

    async def revoke_sub(
        self, iss: str, sub: str, *, issued: float | None, reason: str, until: float
    ) -> list[LoginSession]:
        check_reason(reason)
        now = self._clock()
        return await self._write(
            lambda db: self._rows.revoke_sub(
                db, iss, sub, issued=issued, reason=reason, until=until, now=now
            ),
            durable=True,
        )

    async def list_sub(self, iss: str, sub: str) -> list[LoginSession]:
        now = self._clock()
        return await self._write(lambda db: self._rows.list_sub(db, iss, sub, now))

    async def list_sid(self, iss: str, sid: str) -> list[LoginSession]:
        now = self._clock()
        return await self._write(lambda db: self._rows.list_sid(db, iss, sid, now))

    async def put_once(self, name: str, *, expires: float, value: str = "") -> bool:
        now = self._clock()
        return await self._write(
            lambda db: self._names.put_once(db, name, value=value, expires=expires, now=now)
        )

    async def extend(
        self, name: str, *, value: str, expires: float, new_value: str | None = None
    ) -> bool:
        now = self._clock()
        return await self._write(
            lambda db: self._names.extend(
                db, name, value=value, expires=expires, new_value=new_value, now=now
            )
        )

    async def take(self, name: str) -> str | None:
        now = self._clock()
        return await self._write(lambda db: self._names.take(db, name, now))

    async def peek(self, name: str) -> str | None:
        reader = await self._open()
        try:
            return self._names.peek(reader, name, self._clock())
        except sqlite3.Error as error:
            raise unavailable(error) from error

    async def take_expired(self, most: int) -> list[LoginSession]:
        now = self._clock()
        return await self._write(lambda db: self._rows.take_expired(db, most, now))

    async def prune(self) -> int:
        now = self._clock()
        dropped, more = 0, True
        while more:
            step, more = await self._write(lambda db: self._rows.prune(db, now))
            dropped += step
        return dropped

    def start(self, on_revoked: Callable[[Revocation], None]) -> None:
        self._check_usable()
        if self._watcher is not None:
            raise ConfigurationError("the session store was started twice", code="store_started")
        self._watcher = asyncio.get_running_loop().create_task(self._watch(on_revoked))

    async def close(self) -> None:
        # In a forked child nothing here is ours to close.
        if self._closed or self._process not in (None, os.getpid()):
            return
        self._closed = True
        if self._watcher is not None:
            self._watcher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watcher
        # The writer's connection goes last, for the last one tidies the file up.
        self._drop_reader()
        await self._writer.close()
        # One that was being opened meanwhile.
        self._drop_reader()

    async def _write(self, work: Callable[[sqlite3.Connection], T], *, durable: bool = False) -> T:
        if self._reader is None or self._process != os.getpid():
            await self._open()
        try:
            return await self._writer.run(work, durable=durable)
        except StoreUnavailable as error:
            self._stop_reading_if_gone(error)
            raise

    def _check_usable(self) -> None:
        if self._closed:
            raise store_closed()
        if self._process not in (None, os.getpid()):
            raise ConfigurationError(
                "the session store was used before this process forked; SQLite connections "
                "can't be inherited: fork first, and use the store afterwards",
                code="store_forked",
            )
        self._process = os.getpid()

    async def _open(self) -> sqlite3.Connection:
        """Return the connection that reads, once there is one."""
        self._check_usable()
        if self._reader is None:
            await self._writer.run(self._connect_reader)
        if self._reader is None:
            raise store_closed()
        return self._reader

    def _connect_reader(self, db: sqlite3.Connection) -> None:
        """Runs in the writer's thread, after it has made the file: so it happens once."""
        if self._reader is None and not self._closed:
            if self._sequence is None:
                # What ended before our first look, our first look saw.
                self._sequence = self._rows.last_revocation(db)
            self._reader = self._file.open_reader()

    def _drop_reader(self) -> None:
        reader, self._reader, self._data_version = self._reader, None, None
        if reader is not None:
            reader.close()

    def _stop_reading_if_gone(self, error: StoreUnavailable) -> None:
        """Read no longer from a file that nobody else sees; ``_open`` asks for it again."""
        if error.code == "store_gone":
            self._drop_reader()

    async def _watch(self, on_revoked: Callable[[Revocation], None]) -> None:
        well = True
        while True:
            try:
                await self._look(on_revoked)
                well = True
            except Exception as error:
                # It may pass; say it once.
                if well:
                    _log.warning("revocations by other processes can't be read: %s", error)
                well = False
            await asyncio.sleep(self._poll_interval)

    async def _look(self, on_revoked: Callable[[Revocation], None]) -> None:
        reader = await self._open()
        try:
            self._file.check_present()
        except StoreUnavailable as error:
            self._stop_reading_if_gone(error)
            raise
        data_version = self._rows.data_version(reader)
        if data_version == self._data_version:
            return
        while True:
            rows = self._rows.revocations(reader, self._sequence or 0, _READ_TOGETHER)
            for sequence, revocation in rows:
                self._sequence = sequence
                if revocation is not None:
                    _tell(on_revoked, revocation)
            if len(rows) < _READ_TOGETHER:
                break
            await asyncio.sleep(0)
        # Only now: after an error the same change is looked at again.
        self._data_version = data_version


def _tell(on_revoked: Callable[[Revocation], None], revocation: Revocation) -> None:
    try:
        on_revoked(revocation)
    except Exception:
        _log.exception("on_revoked failed for the session %s", revocation.key)
