"""Where the Authorization header of a connection comes from.

LAW: a token is fetched by one caller for all, and is never sent to a host that it was not fetched
for; a file is read off the loop; whoever waits may leave without harm to the others.
Source: RFC 6749, section 4.4; RFC 6750, section 2.1.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from clefstorm.protocol.client_auth import client_authentication
from clefstorm.protocol.exchange import Request, Response
from clefstorm.protocol.token_endpoint import (
    Tokens,
    build_client_credentials_request,
    read_token_response,
)
from clefstorm.transport.auth import ClientCredentials, basic, require_safe
from clefstorm.transport.netrc_file import credentials_for
from clefstorm.transport.origin import Origin

RENEW_BEFORE = 30.0
"""Seconds before its end from which on an access token is no longer used."""


class Authorizer(Protocol):
    """Gives a connection the value of its Authorization header."""

    async def authorization(self) -> str | None:
        """Return the value, None for no header. Raises ClefStormError."""
        ...

    def refused(self, authorization: str | None) -> bool:
        """Hear that the host answered 401; tell whether to try once more."""
        ...


class Fixed:
    """Always the same."""

    def __init__(self, value: str | None) -> None:
        self._value = value

    async def authorization(self) -> str | None:
        return self._value

    def refused(self, authorization: str | None) -> bool:
        return False


class FromNetrc(Fixed):
    """The netrc file's entry for the host, looked for when it is first wanted."""

    def __init__(self, origin: Origin) -> None:
        super().__init__(None)
        self._origin = origin

    async def authorization(self) -> str | None:
        if self._value is None:
            require_safe(self._origin)
            self._value = basic(*await asyncio.to_thread(credentials_for, self._origin.host))
        return self._value


@dataclass(slots=True, eq=False)
class _Fetch:
    """One fetch under way, and how many wait for it."""

    task: asyncio.Task[Tokens]
    waiting: int = 0


class FromTokenEndpoint:
    """An access token, fetched when there is none, and again before it ends or when refused.

    ``send`` reaches the token endpoint; ``clock`` gives seconds. One fetch is under way in an
    event loop at a time; it is given up when the last who waits for it leaves.
    """

    def __init__(
        self,
        client: ClientCredentials,
        send: Callable[[Request], Awaitable[Response]],
        clock: Callable[[], float],
    ) -> None:
        self._client = client
        self._send = send
        self._clock = clock
        self._tokens: Tokens | None = None
        self._fetch: _Fetch | None = None

    async def authorization(self) -> str | None:
        tokens = self._tokens
        if tokens is None or tokens.seconds_left(self._clock()) <= RENEW_BEFORE:
            tokens = await self._fetched()
        return _bearer(tokens)

    def refused(self, authorization: str | None) -> bool:
        # Another caller may have fetched a new one since.
        if self._tokens is not None and authorization == _bearer(self._tokens):
            self._tokens = None
        return True

    async def _fetched(self) -> Tokens:
        loop = asyncio.get_running_loop()
        fetch = self._fetch
        if fetch is None or fetch.task.done() or fetch.task.get_loop() is not loop:
            fetch = self._fetch = _Fetch(loop.create_task(self._ask()))
        fetch.waiting += 1
        try:
            return await asyncio.shield(fetch.task)
        finally:
            fetch.waiting -= 1
            if not fetch.waiting and not fetch.task.done():
                self._fetch = None
                fetch.task.cancel()
                await asyncio.wait({fetch.task})

    async def _ask(self) -> Tokens:
        client = self._client
        authentication = client_authentication(
            "client_secret_basic", client_id=client.client_id, client_secret=client.client_secret
        )
        asked = self._clock()
        response = await self._send(
            build_client_credentials_request(client.token_url, client.scope, authentication)
        )
        # The lifetime counts from when the server answered, which was after we asked.
        self._tokens = read_token_response(response, now=asked, secrets=[client.client_secret])
        return self._tokens


def _bearer(tokens: Tokens) -> str:
    return f"Bearer {tokens.access_token}"
