"""Refreshing a session's tokens once, whoever asks, however many ask, in whichever process.

LAW: one refresh in flight for each session over all processes (a lease in the store, renewed
while the call runs); a refresh never brings a dead session back (compare and set).
Source: RFC 6749, section 6; RFC 9700, section 4.14 (rotation); Core 1.0, section 12.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial

from clefstorm.client import AsyncClient
from clefstorm.errors import (
    DeadlineExceeded,
    DocumentViolation,
    ProtocolViolation,
    SessionConflict,
    SessionEnded,
    StoreUnavailable,
    TokenRefused,
    TransportError,
)
from clefstorm.protocol.identity import Identity
from clefstorm.sessions import LoginSession, SessionStore

LEASE = 30.0
"""Seconds after which a lease whose holder died is free again."""
_RENEW = LEASE / 3
_LOOK_AGAIN = 0.05
_WAIT_AT_MOST = 2 * LEASE

End = Callable[[str, str], Awaitable[bool]]


class Refresher:
    """Refreshes sessions. ``end`` ends one by its key, for a reason."""

    def __init__(
        self,
        store: SessionStore,
        client_of: Callable[[str], AsyncClient],
        end: End,
        *,
        clock: Callable[[], float],
    ) -> None:
        self._store = store
        self._client_of = client_of
        self._end = end
        self._clock = clock
        self._running: dict[str, asyncio.Task[LoginSession]] = {}

    async def refresh(self, session: LoginSession) -> LoginSession:
        """Return the session with tokens newer than those of the one given.

        Raises SessionEnded when it ended meanwhile or the provider refused for good, and
        TransportError, ProtocolViolation or TokenRefused when it may work later.
        """
        task = self._running.get(session.key)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._once(session))
            self._running[session.key] = task
            task.add_done_callback(partial(self._finished, session.key))
        # A browser that leaves must not cancel the refresh that the others wait for.
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Wait for the refreshes under way, for a rotated token must not be lost."""
        await asyncio.gather(*self._running.values(), return_exceptions=True)

    def _finished(self, key: str, task: asyncio.Task[LoginSession]) -> None:
        del self._running[key]
        if not task.cancelled():
            task.exception()  # Looked at, also when everybody who waited has left.

    async def _once(self, session: LoginSession) -> LoginSession:
        name, holder = f"refresh:{session.key}", secrets.token_urlsafe(8)
        give_up = self._clock() + _WAIT_AT_MOST
        while True:
            current = await self._read(session.key)
            if current.tokens != session.tokens:
                return current
            # Looked at first, because putting is a write, and all who wait do it again and again.
            if await self._store.peek(name) is None and await self._store.put_once(
                name, value=holder, expires=self._clock() + LEASE
            ):
                break
            if self._clock() > give_up:
                raise DeadlineExceeded(
                    "another process did not finish its refresh", code="refresh_deadline"
                )
            await asyncio.sleep(_LOOK_AGAIN)
        renewing = asyncio.get_running_loop().create_task(self._renew(name, holder))
        try:
            # Somebody may have finished between our look and our lease.
            current = await self._read(session.key)
            if current.tokens != session.tokens:
                return current
            return await self._call(current)
        finally:
            renewing.cancel()
            # Not take(): if our lease ran out it may be another's by now. A store that fails
            # here must not hide the result; the lease ends by itself.
            with suppress(StoreUnavailable):
                await self._store.extend(name, value=holder, expires=self._clock())

    async def _renew(self, name: str, holder: str) -> None:
        while True:
            await asyncio.sleep(_RENEW)
            with suppress(StoreUnavailable):
                await self._store.extend(name, value=holder, expires=self._clock() + LEASE)

    async def _read(self, key: str) -> LoginSession:
        session = await self._store.read(key)
        if session is None:
            raise SessionEnded("the session ended before its tokens could be refreshed")
        return session

    async def _call(self, session: LoginSession) -> LoginSession:
        if session.tokens is None:
            raise SessionEnded("the session has no tokens", code="tokens_missing")
        client = self._client_of(session.alias)
        try:
            tokens = await client.refresh(session.tokens)
        except TokenRefused as error:
            if error.error != "invalid_grant":
                raise
            await self._end(session.key, "refresh_refused")
            raise SessionEnded(
                "the provider no longer refreshes this session", code="refresh_refused"
            ) from None
        identity = Identity(iss=session.iss, sub=session.sub, claims=session.claims)
        try:
            identity = await client.identify_refreshed(tokens, identity)
        except (TransportError, DocumentViolation):
            # The rotated refresh token must not be lost because the keys can't be had just now.
            tokens = replace(tokens, id_token=None)
        except ProtocolViolation as error:
            # An id token that speaks of somebody else: Core 12.2 leaves no other end.
            await self._end(session.key, "refresh_refused")
            raise SessionEnded(
                "the refreshed id token is not of this session",
                code="refreshed_id_token_refused",
                reason=error.code,
            ) from None
        tokens = replace(tokens, id_token=tokens.id_token or session.tokens.id_token)
        while True:
            try:
                return await self._store.save(
                    replace(session, tokens=tokens, claims=identity.claims)
                )
            except SessionConflict:
                # The application saved its data meanwhile; our news is the tokens alone.
                session = await self._read(session.key)
