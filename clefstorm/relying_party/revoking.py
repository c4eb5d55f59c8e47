"""Telling the providers to revoke the refresh tokens of sessions that have ended here.

LAW: nobody waits for it: the session is dead and its tabs are told before the provider is
asked. Best effort, in bounded time; what fails is recorded, and no token is ever told.
Source: RFC 7009; OpenID Connect Back-Channel Logout 1.0, section 2.7 (offline tokens live on).
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from clefstorm.client import AsyncClient
from clefstorm.errors import ClefStormError, ProtocolViolation, TransportError
from clefstorm.relying_party.setting import Setting
from clefstorm.sessions import LoginSession

WAITS = (1.0, 5.0)
"""Seconds before the second and the third try, which is the last."""
MOST_AT_ONCE = 8
"""Revocations under way; an administrator may end thousands of sessions in one call."""
LONGEST_CLOSING = 10.0
"""Seconds for which an application that closes waits for the providers."""


class TokenRevoker:
    """Revokes refresh tokens, beside everything else; when ``wanted`` is False it does nothing."""

    def __init__(self, setting: Setting, *, wanted: bool) -> None:
        self.wanted = wanted
        self._setting = setting
        self._under_way: set[asyncio.Task[None]] = set()
        self._places = asyncio.Semaphore(MOST_AT_ONCE)
        self._closing = asyncio.Event()

    def revoke(self, session: LoginSession) -> None:
        """Begin to revoke the refresh token that this session held, if there is one."""
        token = None if session.tokens is None else session.tokens.refresh_token
        if not self.wanted or token is None:
            return
        if self._closing.is_set():
            self._failed(session, "closed")
            return
        task = asyncio.get_running_loop().create_task(self._revoke(session, token))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def caught_up(self) -> bool:
        """Wait for the revocations under way by now; False when there are to be no others."""
        if self._under_way:
            await asyncio.wait(set(self._under_way))
        return not self._closing.is_set()

    async def close(self) -> None:
        """Let the tries under way end, for a few seconds; there will be no others."""
        self._closing.set()
        if self._under_way:
            _, late = await asyncio.wait(self._under_way, timeout=LONGEST_CLOSING)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _revoke(self, session: LoginSession, token: str) -> None:
        try:
            async with self._places:
                await self._try(self._setting.client_of(session), token)
        except (ClefStormError, asyncio.CancelledError) as error:
            self._failed(session, error.code if isinstance(error, ClefStormError) else "closed")
        else:
            self._setting.record("token_revoked", alias=session.alias, session=session.key[:8])

    def _failed(self, session: LoginSession, code: str) -> None:
        self._setting.record(
            "token_revocation_failed", alias=session.alias, session=session.key[:8], code=code
        )

    async def _try(self, client: AsyncClient, token: str) -> None:
        waits = iter(WAITS)
        while True:
            try:
                await client.revoke(token, token_type_hint="refresh_token")
                return
            except ClefStormError as error:
                wait = next(waits, None)
                if wait is None or not _may_work_later(error) or not await self._waited(wait):
                    raise

    async def _waited(self, seconds: float) -> bool:
        """Wait between two tries; False when there is to be no other."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._closing.wait(), seconds)
        return not self._closing.is_set()


def _may_work_later(error: ClefStormError) -> bool:
    return isinstance(error, TransportError) or (
        isinstance(error, ProtocolViolation) and error.code == "revocation_unavailable"
    )
