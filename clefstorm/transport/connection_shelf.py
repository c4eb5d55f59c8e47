"""The connections that a manager holds, and which of them are to be closed.

LAW: values and a given clock; no lock of its own, and nothing is closed here: whoever uses a shelf
holds a lock, and closes what it was given when it holds none.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

from clefstorm.errors import ConfigurationError
from clefstorm.transport.origin import Origin

FOUND_JUST_NOW = 5.0
"""Seconds in which whoever found a connection may be about to send; it is not closed meanwhile."""

Key = tuple[Origin, Hashable]


@dataclass(slots=True, eq=False)
class _Kept:
    """A connection that was made, and when it was last found."""

    connection: Any
    found: float


class ConnectionShelf:
    """The parameters are ConnectionManager's. Raises ConfigurationError (``manager_invalid``)."""

    def __init__(
        self, *, max_connections: int, idle_seconds: float, clock: Callable[[], float]
    ) -> None:
        if not (
            isinstance(max_connections, int)
            and max_connections >= 1
            and isinstance(idle_seconds, int | float)
            and 0 < idle_seconds < math.inf
        ):
            raise ConfigurationError(
                "max_connections is at least 1, idle_seconds more than 0", code="manager_invalid"
            )
        self._max_connections = max_connections
        self._idle_seconds = idle_seconds
        self._clock = clock
        self._added: dict[Key, Any] = {}
        self._made: OrderedDict[Key, _Kept] = OrderedDict()  # Found longest ago first.
        self._replaced: list[_Kept] = []  # To be closed when nobody sends, or is about to.

    def __len__(self) -> int:
        return len(self._added) + len(self._made)

    def find(self, key: Key) -> Any:
        """Return the connection, None if there is none."""
        kept = self._made.get(key)
        if kept is None:
            return self._added.get(key)
        kept.found = self._clock()
        self._made.move_to_end(key)
        return kept.connection

    def add(self, key: Key, connection: Any) -> None:
        """Hold a connection until ``take_all``, in place of one that was made."""
        self._added[key] = connection
        made = self._made.pop(key, None)
        if made is not None and made.connection is not connection:
            self._replaced.append(made)

    def put(self, key: Key, made: Any) -> Any:
        """Hold a connection that was made, until it ends; return the one to be used.

        That is another where one was added meanwhile.
        """
        if key in self._added:
            self._replaced.append(_Kept(made, -math.inf))  # Nobody has found it.
            return self._added[key]
        self._made[key] = _Kept(made, self._clock())
        return made

    def take_ended(self) -> list[Any]:
        """Return, and hold no longer, what is to be closed."""
        now = self._clock()
        ended: list[Any] = []
        replaced, self._replaced = self._replaced, []
        for kept in replaced:
            if now - kept.found < FOUND_JUST_NOW or _sending(kept.connection):
                self._replaced.append(kept)
            else:
                ended.append(kept.connection)
        excess = len(self._made) - self._max_connections
        for key, kept in list(self._made.items()):
            age = now - kept.found
            if age < self._idle_seconds and (excess <= 0 or age < FOUND_JUST_NOW):
                break
            if not _sending(kept.connection):
                ended.append(self._made.pop(key).connection)
                excess -= 1
            elif age >= self._idle_seconds:
                kept.found = now
                self._made.move_to_end(key)
        return ended

    def take_all(self) -> list[Any]:
        """Return everything, and hold it no longer."""
        made = (kept.connection for kept in (*self._replaced, *self._made.values()))
        everything = [*self._added.values(), *made]
        self._added.clear()
        self._made.clear()
        self._replaced.clear()
        return everything


def _sending(connection: Any) -> bool:
    return bool(getattr(connection, "sending", False))
