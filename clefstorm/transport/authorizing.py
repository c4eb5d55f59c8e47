"""Where the Authorization header of a connection comes from.

LAW: a token is fetched by one caller for all, and is never sent to a host that it was not fetched
for; a file is read off the loop; whoever waits may leave without harm to the others.
Source: RFC 6749, section 4.4; RFC 6750, section 2.1.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from clefstorm.errors import ClefStormError
from clefstorm.protocol.authorization_header import build_basic
from clefstorm.protocol.client_auth import client_authentication
from clefstorm.protocol.exchange import Request, Response
from clefstorm.protocol.token_endpoint import (
    Tokens,
    build_client_credentials_request,
    read_token_response,
)
from clefstorm.transport.auth import ClientCredentials, require_safe
from clefstorm.transport.netrc_file import credentials_for
from clefstorm.transport.origin import Origin, read_url
from clefstorm.transport.per_loop import PerLoop
from clefstorm.transport.single_flight import SingleFlight

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
            self._value = build_basic(*await asyncio.to_thread(credentials_for, self._origin.host))
        return self._value


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
        self._fetches = PerLoop(lambda: SingleFlight(self._ask))

    async def authorization(self) -> str | None:
        tokens = self._tokens
        if tokens is None or tokens.seconds_left(self._clock()) <= RENEW_BEFORE:
            tokens = await self._fetches.here().join()
        return _bearer(tokens)

    def refused(self, authorization: str | None) -> bool:
        # Another caller may have fetched a new one since.
        if self._tokens is not None and authorization == _bearer(self._tokens):
            self._tokens = None
        return True

    async def _ask(self) -> Tokens:
        client = self._client
        authentication = client_authentication(
            "client_secret_basic", client_id=client.client_id, client_secret=client.client_secret
        )
        asked = self._clock()
        request = build_client_credentials_request(client.token_url, client.scope, authentication)
        try:
            response = await self._send(request)
            # The lifetime counts from when the server answered, which was after we asked.
            tokens = read_token_response(response, now=asked, secrets=[client.client_secret])
        except ClefStormError as error:
            # Else it would be taken for one of the host that the token is for.
            error.add_evidence(token_endpoint=read_url(client.token_url)[0])
            raise
        self._tokens = tokens
        return tokens


def _bearer(tokens: Tokens) -> str:
    return f"Bearer {tokens.access_token}"
