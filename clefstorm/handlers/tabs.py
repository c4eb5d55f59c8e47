"""Which sessions have live connections, and over which transport: presence, for views and counts.

LAW: counts what it is told; holds no connection and no session. A poll that was answered still
counts for a moment, because the same tab is about to ask again.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping

GRACE = 10.0
"""Seconds in which a tab between two polls still counts as open."""


class Tabs:
    """Open live connections by session key. With the leader of clefstorm.js a browser has one."""

    def __init__(self) -> None:
        self._open: dict[str, Counter[str]] = {}
        self._lingering: defaultdict[tuple[str, str], list[asyncio.TimerHandle]] = defaultdict(list)

    def enter(self, key: str, transport: str) -> bool:
        """Count a connection; False when it is a tab that lingered and has come back."""
        lingering = self._lingering.get((key, transport))
        if lingering:
            lingering.pop().cancel()
            if not lingering:
                del self._lingering[key, transport]
            return False
        self._open.setdefault(key, Counter())[transport] += 1
        return True

    def leave(self, key: str, transport: str) -> None:
        """Stop counting a connection."""
        counts = self._open[key]
        counts[transport] -= 1
        if not +counts:
            del self._open[key]

    def linger(
        self, key: str, transport: str, gone: Callable[[], None], *, grace: float = GRACE
    ) -> None:
        """Count it for ``grace`` seconds more; then leave and call ``gone``, unless it is back."""

        def end() -> None:
            handles = self._lingering[key, transport]
            handles.remove(handle)
            if not handles:
                del self._lingering[key, transport]
            self.leave(key, transport)
            gone()

        handle = asyncio.get_running_loop().call_later(grace, end)
        self._lingering[key, transport].append(handle)

    def of(self, key: str) -> Mapping[str, int]:
        """Return how many connections a session has, by transport."""
        return dict(+self._open.get(key, Counter()))

    def by_session(self) -> Mapping[str, int]:
        """Return how many connections each session has."""
        return {key: counts.total() for key, counts in self._open.items()}
