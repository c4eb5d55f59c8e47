"""The one way in which sessions end: the store has revoked, then the bus rings.

A login replaces the session that its browser had; a logout of that session may come while it
does so. Which of the two was first is written down once for all processes, in ``_fate``, so that
the new session does not outlive a logout that meant its browser.
LAW: nobody is told before the store knows. ``_end`` and ``elsewhere`` alone ring.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from clefstorm.bus import AsyncBus, Subscription
from clefstorm.providers.provider import LOGIN_LIFETIME
from clefstorm.relying_party.revoking import TokenRevoker
from clefstorm.relying_party.setting import Setting
from clefstorm.sessions import LoginSession, Revocation, SessionStore

T = TypeVar("T")

REFUSED_REFRESH = "refresh_refused"
"""The end by a provider that has dropped the refresh token already."""
_LOGGED_OUT = ""


class Endings:
    """Ends sessions of one store and rings one bus."""

    def __init__(
        self, setting: Setting, store: SessionStore, bus: AsyncBus, revoker: TokenRevoker
    ) -> None:
        self._setting = setting
        self._revoker = revoker
        self._store = store
        self._bus = bus
        self._working: set[asyncio.Task[Any]] = set()

    async def one(self, key: str, reason: str) -> bool:
        """End the session of this key; False when it was not alive."""
        return bool(await self.end(self._revoke(key, reason), reason))

    async def log_out(self, key: str, reason: str) -> bool:
        """End the session of this key, and one by which a login replaces it, for its user left.

        False when neither was alive.
        """
        return bool(await self.end(self._log_out(key, reason), reason))

    async def replace(self, key: str, heir: str) -> bool:
        """End a session because its browser has another now; False when a logout was first."""
        overtaken = await self._fate(key, heir) == _LOGGED_OUT
        await self.one(key, "replaced")
        return not overtaken

    async def heir_of(self, key: str) -> LoginSession | None:
        """Return the live session that has replaced this one lately, None when there is none."""
        heir = await self._store.peek(f"fate:{key}")
        return await self._store.read(heir) if heir else None

    async def _log_out(self, key: str, reason: str) -> list[LoginSession]:
        heir = await self._fate(key, _LOGGED_OUT)
        ended = await self._revoke(key, reason)
        return ended + await self._revoke(heir, reason) if heir else ended

    async def _fate(self, key: str, fate: str) -> str:
        """Let a session end in this way; return the way it goes, which who was first has said."""
        expires = self._setting.clock() + LOGIN_LIFETIME
        if await self._store.put_once(f"fate:{key}", value=fate, expires=expires):
            return fate
        return await self._store.peek(f"fate:{key}") or _LOGGED_OUT

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
            if reason != REFUSED_REFRESH:
                self._revoker.revoke(session)
        return ended

    def abandon(self, session: LoginSession) -> None:
        """Drop a session that never was, or is no more: its tokens are of no use to anybody."""
        self._revoker.revoke(session)

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
