"""Names that are put once, in a SQLite file: used states, seen jtis, leases.

LAW: as for sqlite_rows: inside somebody else's transaction, without waiting, without a clock. A
name lies there as its plain hash, so that it stays put however secrets are rotated; whoever names
a thing must not name a person. A value is sealed for its name.
"""

from __future__ import annotations

import hashlib
import sqlite3

from clefstorm.errors import SealBroken
from clefstorm.sealing import Sealer

_PURPOSE = "session name value"


class SQLiteNames:
    """The rows of the table ``names``; each method is the one of SessionStore."""

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer

    def put_once(
        self, db: sqlite3.Connection, name: str, *, value: str, expires: float, now: float
    ) -> bool:
        """See SessionStore.put_once."""
        hashed = _hashed(name)
        sealed = self._sealed(hashed, value)
        added = db.execute(
            "INSERT INTO names (name, value, expires) VALUES (:name, :value, :expires)"
            " ON CONFLICT (name) DO UPDATE SET value = :value, expires = :expires"
            " WHERE names.expires <= :now",
            {"name": hashed, "value": sealed, "expires": expires, "now": now},
        )
        return added.rowcount == 1

    def peek(self, db: sqlite3.Connection, name: str, now: float) -> str | None:
        """See SessionStore.peek."""
        hashed = _hashed(name)
        row = db.execute(
            "SELECT value FROM names WHERE name = ? AND expires > ?", (hashed, now)
        ).fetchone()
        return None if row is None else self._unsealed(hashed, row[0])

    def extend(
        self,
        db: sqlite3.Connection,
        name: str,
        *,
        value: str,
        expires: float,
        new_value: str | None,
        now: float,
    ) -> bool:
        """See SessionStore.extend."""
        if self.peek(db, name, now) != value:
            return False
        hashed = _hashed(name)
        db.execute(
            "UPDATE names SET value = ?, expires = ? WHERE name = ?",
            (self._sealed(hashed, value if new_value is None else new_value), expires, hashed),
        )
        return True

    def take(self, db: sqlite3.Connection, name: str, now: float) -> str | None:
        """See SessionStore.take."""
        value = self.peek(db, name, now)
        db.execute("DELETE FROM names WHERE name = ?", (_hashed(name),))
        return value

    def _sealed(self, hashed: bytes, value: str) -> bytes:
        return self._sealer.seal(value.encode(), purpose=_PURPOSE, context=hashed.hex())

    def _unsealed(self, hashed: bytes, sealed: bytes) -> str | None:
        try:
            return self._sealer.open(sealed, purpose=_PURPOSE, context=hashed.hex()).decode()
        except SealBroken:
            # Whoever put it holds another secret: it is there, and not ours.
            return None


def _hashed(name: str) -> bytes:
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()
