"""Refreshing a session's tokens once, whoever asks, however many ask, in whichever process.

LAW: one refresh in flight for each session over all processes (a lease in the store, renewed
while the call runs); a refresh never brings a dead session back (compare and set).
Source: RFC 6749, section 6; RFC 9700, section 4.14 (rotation); Core 1.0, section 12.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
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
from clefstorm.protocol.token_endpoint import Tokens
from clefstorm.relying_party.endings import REFUSED_REFRESH
from clefstorm.relying_party.leases import Lease
from clefstorm.sessions import LoginSession, SessionStore

_LOOK_AGAIN = 0.05

End = Callable[[str, str], Awaitable[bool]]


class Refresher:
    """Refreshes sessions. ``end`` ends one by its key, for a reason; ``abandon`` is told of
    one whose fresh tokens nobody will hold.
    """

    def __init__(
        self,
        store: SessionStore,
        client_of: Callable[[LoginSession], AsyncClient],
        end: End,
        *,
        abandon: Callable[[LoginSession], None],
        clock: Callable[[], float],
    ) -> None:
        self._store = store
        self._client_of = client_of
        self._end = end
        self._abandon = abandon
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
        lease = Lease(self._store, f"refresh:{session.key}", clock=self._clock)
        give_up = _loop_time() + 2 * Lease.LASTS
        while True:
            current = await self._read(session.key)
            if current.tokens != session.tokens:
                return current
            if await lease.take():
                break
            if _loop_time() > give_up:
                raise DeadlineExceeded(
                    "another process did not finish its refresh", code="refresh_deadline"
                )
            await asyncio.sleep(_LOOK_AGAIN)
        try:
            # Somebody may have finished between our look and our lease.
            current = await self._read(session.key)
            if current.tokens != session.tokens:
                return current
            return await self._call(current)
        finally:
            await lease.give_back()

    async def _read(self, key: str) -> LoginSession:
        session = await self._store.read(key)
        if session is None:
            raise SessionEnded("the session ended before its tokens could be refreshed")
        return session

    async def _call(self, session: LoginSession) -> LoginSession:
        spent = session.tokens
        if spent is None:
            raise SessionEnded("the session has no tokens", code="tokens_missing")
        client = self._client_of(session)
        try:
            tokens = await client.refresh(spent)
        except TokenRefused as error:
            if error.error != "invalid_grant":
                raise
            current = await self._read(session.key)
            if current.tokens != spent:
                # We stood still for so long that another took our lease, and was first.
                return current
            await self._end(session.key, REFUSED_REFRESH)
            raise SessionEnded(
                "the provider no longer refreshes this session", code="refresh_refused"
            ) from None
        identity = Identity(iss=session.iss, sub=session.sub, claims=session.claims)
        try:
            identity = await client.identify_refreshed(
                tokens, identity, previous_id_token=spent.id_token
            )
        except (TransportError, DocumentViolation):
            # The rotated refresh token must not be lost because the keys can't be had just now.
            tokens = replace(tokens, id_token=None)
        except ProtocolViolation as error:
            # An id token that speaks of somebody else: Core 12.2 leaves no other end.
            await self._end(session.key, REFUSED_REFRESH)
            self._abandon(replace(session, tokens=tokens))
            raise SessionEnded(
                "the refreshed id token is not of this session",
                code="refreshed_id_token_refused",
                reason=error.code,
            ) from None
        tokens = replace(tokens, id_token=_opened(client, tokens.id_token) or spent.id_token)
        fresh = replace(session, tokens=tokens, claims=identity.claims)
        try:
            return await self._save(fresh, spent)
        except SessionEnded:
            self._abandon(fresh)
            raise

    async def _save(self, fresh: LoginSession, spent: Tokens) -> LoginSession:
        give_up = _loop_time() + Lease.LASTS
        while True:
            try:
                return await self._store.save(fresh)
            except SessionConflict:
                # The application saved its data meanwhile; our news is the tokens alone. Or
                # they are there: by us, in a write that seemed to fail, or who took our lease.
                current = await self._read(fresh.key)
                if current.tokens != spent:
                    return current
                fresh = replace(current, tokens=fresh.tokens, claims=fresh.claims)
            except StoreUnavailable as error:
                # The provider has forgotten the old tokens, so these are worth some patience.
                if error.code == "store_closed" or _loop_time() > give_up:
                    raise
                await asyncio.sleep(_LOOK_AGAIN)


def _opened(client: AsyncClient, id_token: str | None) -> str | None:
    """The id token, judged already, as it was signed: without the encryption that was for us."""
    return None if id_token is None else client.provider.open_token(id_token)


def _loop_time() -> float:
    return asyncio.get_running_loop().time()
