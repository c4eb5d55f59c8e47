"""Dropping from the store what has expired, beside the logins that make it grow.

LAW: nobody waits for it, and what fails here stops no login.
"""

from __future__ import annotations

import asyncio

from clefstorm.errors import StoreUnavailable
from clefstorm.relying_party.revoking import TokenRevoker
from clefstorm.relying_party.setting import Setting
from clefstorm.sessions import SessionStore

EVERY = 600.0
"""Seconds between two rounds, at least."""
TOGETHER = 100
"""Sessions past their end that are taken out in one step."""


class Tidying:
    """Prunes one store."""

    def __init__(self, setting: Setting, store: SessionStore, revoker: TokenRevoker) -> None:
        self._setting = setting
        self._revoker = revoker
        self._store = store
        self._due_at = 0.0
        self._round: asyncio.Task[None] | None = None

    def sometimes(self) -> None:
        """Begin a round when one is due and none is under way."""
        now = self._setting.clock()
        if now >= self._due_at and (self._round is None or self._round.done()):
            self._due_at = now + EVERY
            self._round = asyncio.get_running_loop().create_task(self._prune())

    async def close(self) -> None:
        """Wait for the round under way."""
        if self._round is not None:
            await self._round

    async def _prune(self) -> None:
        try:
            # Only for the tokens: what nobody wants to revoke is dropped without being opened.
            while self._revoker.wanted and (ended := await self._store.take_expired(TOGETHER)):
                for session in ended:
                    self._revoker.revoke(session)
                # The others stay in the store meanwhile, where a restart will find them.
                if not await self._revoker.caught_up():
                    return
            await self._store.prune()
        except StoreUnavailable as error:
            self._setting.record("prune_failed", code=error.code)
