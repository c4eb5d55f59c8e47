"""The one way in which sessions end: the store has revoked, then the bus rings.

LAW: nobody is told before the store knows. ``all`` is the only place that rings.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from clefstorm.bus import AsyncBus, Subscription
from clefstorm.relying_party.setting import Setting
from clefstorm.sessions import LoginSession, Revocation, SessionStore


class Endings:
    """Ends sessions of one store and rings one bus."""

    def __init__(self, setting: Setting, store: SessionStore, bus: AsyncBus) -> None:
        self._setting = setting
        self._store = store
        self._bus = bus
        self._ringing: set[asyncio.Task[str]] = set()

    async def one(self, key: str, reason: str) -> bool:
        """End the session of this key; False when it was not alive."""
        session = await self._store.revoke(key, reason=reason)
        await self.all([] if session is None else [session], reason)
        return session is not None

    async def all(self, ended: Sequence[LoginSession], reason: str) -> None:
        """Ring for sessions that the store has just revoked."""
        for session in ended:
            self._setting.record(
                "signed_out", alias=session.alias, session=session.key[:8], reason=reason
            )
            await self._bus.publish(_bus_key(session.key), {"reason": reason})

    def elsewhere(self, revocation: Revocation) -> None:
        """Ring for a session that another process revoked."""
        self._setting.record(
            "signed_out", session=revocation.key[:8], reason=revocation.reason, by="elsewhere"
        )
        task = asyncio.get_running_loop().create_task(
            self._bus.publish(_bus_key(revocation.key), {"reason": revocation.reason})
        )
        self._ringing.add(task)
        task.add_done_callback(self._ringing.discard)

    def watch(self, key: str) -> Subscription:
        """Register for the end of a session."""
        return self._bus.subscribe([_bus_key(key)])


def _bus_key(key: str) -> tuple[str, str, str]:
    return ("clefstorm", "session", key)
