"""The one way in which sessions end: the store has revoked, then the bus rings.

LAW: nobody is told before the store knows. ``_end`` and ``elsewhere`` alone ring.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from clefstorm.bus import AsyncBus, Subscription
from clefstorm.relying_party.setting import Setting
from clefstorm.sessions import LoginSession, Revocation, SessionStore

T = TypeVar("T")


class Endings:
    """Ends sessions of one store and rings one bus."""

    def __init__(self, setting: Setting, store: SessionStore, bus: AsyncBus) -> None:
        self._setting = setting
        self._store = store
        self._bus = bus
        self._working: set[asyncio.Task[Any]] = set()

    async def one(self, key: str, reason: str) -> bool:
        """End the session of this key; False when it was not alive."""
        return bool(await self.end(self._revoke(key, reason), reason))

    async def _revoke(self, key: str, reason: str) -> list[LoginSession]:
        session = await self._store.revoke(key, reason=reason)
        return [] if session is None else [session]

    async def end(
        self, revoking: Coroutine[Any, Any, list[LoginSession]], reason: str
    ) -> list[LoginSession]:
        """Let the store revoke, ring for what it ended, and return that.

        A caller that is cancelled in between stops neither: nobody would be told otherwise.
        """
        return await asyncio.shield(self._keep(self._end(revoking, reason)))

    async def _end(
        self, revoking: Coroutine[Any, Any, list[LoginSession]], reason: str
    ) -> list[LoginSession]:
        ended = await revoking
        for session in ended:
            self._setting.record(
                "signed_out", alias=session.alias, session=session.key[:8], reason=reason
            )
            await self._bus.publish(_bus_key(session.key), {"reason": reason})
        return ended

    def elsewhere(self, revocation: Revocation) -> None:
        """Ring for a session that another process revoked."""
        self._setting.record(
            "signed_out", session=revocation.key[:8], reason=revocation.reason, by="elsewhere"
        )
        self._keep(self._bus.publish(_bus_key(revocation.key), {"reason": revocation.reason}))

    def _keep(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.get_running_loop().create_task(work)
        self._working.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._working.discard(task)
        if not task.cancelled():
            task.exception()  # Looked at, also when the caller was cancelled.

    async def close(self) -> None:
        """Wait until everybody is told of what was revoked."""
        await asyncio.gather(*self._working, return_exceptions=True)

    def watch(self, key: str) -> Subscription:
        """Register for the end of a session."""
        return self._bus.subscribe([_bus_key(key)])


def _bus_key(key: str) -> tuple[str, str, str]:
    return ("clefstorm", "session", key)
