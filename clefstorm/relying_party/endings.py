"""The one way in which sessions end: the store has revoked, then the bus rings.

A login replaces the session that its browser had; a logout of that session may come while it
does so, and several tabs may sign in at once. What was first is written down for all processes,
in ``_fate``, so that no new session of that user outlives a logout that meant their browser.
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
        """End the session of this key, and those by which logins replace it, for its user left.

        False when none was alive.
        """
        return bool(await self.end(self._log_out(key, reason), reason))

    async def replace(self, old: LoginSession, heir: LoginSession) -> bool:
        """End a session because its browser has another now; False when a logout was first."""
        if (old.iss, old.sub) == (heir.iss, heir.sub):
            fate = await self._fate(old.key, heir.key)
        else:
            # Who still knows the old id, at a shared machine, is not to end another's session.
            fate = await self._store.peek(_fate_of(old.key))
        await self.one(old.key, "replaced")
        return fate != _LOGGED_OUT

    async def was_replaced(self, key: str) -> bool:
        """Say whether a login of the same user has replaced this session lately."""
        return bool(await self._store.peek(_fate_of(key)))

    async def _log_out(self, key: str, reason: str) -> list[LoginSession]:
        heirs = await self._fate(key, _LOGGED_OUT) or ""
        ended = await self._revoke(key, reason)
        for heir in heirs.split():
            ended += await self._revoke(heir, reason)
        return ended

    async def _fate(self, key: str, fate: str) -> str | None:
        """Let a session end in this way; return how it had ended already, None when it had not.

        Several logins may replace it, one after the other; after a logout nothing comes.
        """
        name, expires = _fate_of(key), self._setting.clock() + LOGIN_LIFETIME
        while not await self._store.put_once(name, value=fate, expires=expires):
            held = await self._store.peek(name)
            if held == _LOGGED_OUT:
                return held
            both = fate and f"{held} {fate}"
            if held is not None and await self._store.extend(
                name, value=held, new_value=both, expires=expires
            ):
                return held
        return None

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
                "signed_out",
                alias=session.alias,
                session=session.key[:8],
                sub=session.sub,
                reason=reason,
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


def _fate_of(key: str) -> str:
    return f"fate:{key}"


def _bus_key(key: str) -> tuple[str, str, str]:
    return ("clefstorm", "session", key)
