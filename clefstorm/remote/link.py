"""One connection of a remote session: opening it, its frames, and what its end means.

LAW: whatever the other side does, an error of ours comes out, in bounded time. No error holds the
URL's path, the credentials or a frame.

Source: RFC 6455; docs/reference/frames.rst.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.simple_httpclient import HTTPStreamClosedError, HTTPTimeoutError
from tornado.websocket import (
    WebSocketClientConnection,
    WebSocketClosedError,
    WebSocketError,
    websocket_connect,
)

from clefstorm.bus.socket_frames import FROM_SERVER, LARGEST_ANSWER, CloseCode, read_frame
from clefstorm.errors import (
    BusError,
    ConfigurationError,
    ConnectFailed,
    DeadlineExceeded,
)
from clefstorm.protocol.metadata import is_loopback

KEEP_ALIVE = 20.0
"""Seconds between two pings: a connection that is dead is noticed within twice of it."""
_FAREWELL = 2.0  # seconds for the other side to answer a close

_REFUSALS: Mapping[int, str] = {
    CloseCode.NORMAL: "the server has ended the session",
    CloseCode.BAD_FRAME: "the server did not accept what we sent: are both ends of one version?",
    CloseCode.CREDENTIALS_REFUSED: "the server did not accept principal and credentials: "
    "give those that its authenticator knows",
    CloseCode.SESSION_LOST: "the server no longer has the session: its grace time was over, or "
    "it was started anew",
    CloseCode.RESUMED_ELSEWHERE: "the session was taken over by another connection",
    CloseCode.SIGNED_OUT: "the login that this session belonged to has ended: sign in again",
    CloseCode.REVOKED: "the server's application has ended the sessions of this principal",
    CloseCode.TOO_MANY: "the server's bounds are reached: have fewer sessions, or read faster",
}


def check_url(url: str, *, confidential: bool) -> str:
    """Return the URL of an endpoint. ``confidential``: credentials will go over it.

    Raises ConfigurationError (``url_invalid``, ``credentials_in_clear``).
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except (ValueError, TypeError, AttributeError):
        host = None
    if not host or parts.scheme not in ("ws", "wss") or "@" in parts.netloc or parts.fragment:
        raise ConfigurationError(
            "the URL of a remote session is such as wss://example.com/auth/bus, without user info",
            code="url_invalid",
        )
    if confidential and parts.scheme != "wss" and not is_loopback(host):
        raise ConfigurationError(
            "credentials would go over the network for all to read: use wss://",
            code="credentials_in_clear",
        )
    return url


class Link:
    """A connection that stands."""

    def __init__(self, socket: WebSocketClientConnection) -> None:
        self._socket = socket
        self._over = False

    def send(self, text: str) -> None:
        """Send a text; when the connection is gone, it is for the caller to send it again."""
        with contextlib.suppress(WebSocketClosedError):
            self._socket.write_message(text).add_done_callback(_seen)

    async def read(self) -> dict[str, Any] | None:
        """The next frame; None at the end. Raises ProtocolViolation."""
        text = None if self._over else await self._socket.read_message()
        if text is None:
            self._over = True
            self._socket.close()
            return None
        return read_frame(text, FROM_SERVER)

    def refusal(self) -> BusError | None:
        """After the end: why the server does not want us back; None when we may come back."""
        code, reason = self._socket.close_code, self._socket.close_reason
        if code is None or code not in _REFUSALS:
            return None
        known = reason or CloseCode(code).name.lower()
        return BusError(_REFUSALS[code], code=known if known.isidentifier() else "closed")

    async def close(self, code: CloseCode = CloseCode.NORMAL) -> None:
        """Say good-bye and let go of the connection, within two seconds. May be repeated."""
        self._socket.close(int(code))
        # Tornado's reader waits until the last message was taken, the end itself is one.
        try:
            async with asyncio.timeout(_FAREWELL):
                while not self._over:
                    self._over = await self._socket.read_message() is None
        except TimeoutError:
            self._over = True


async def open_link(url: str, greeting: str, *, deadline: float) -> tuple[Link, dict[str, Any]]:
    """Connect and send the greeting (hello or resume); the link and the server's first frame.

    ``deadline``: seconds for all of it. Raises ConnectFailed, DeadlineExceeded, ProtocolViolation,
    or BusError when the server says no.
    """
    try:
        async with asyncio.timeout(deadline):
            link = Link(await _connect(url, deadline))
            try:
                link.send(greeting)
                first = await link.read()
            except BaseException:
                await asyncio.shield(link.close(CloseCode.BAD_FRAME))
                raise
    except TimeoutError:
        raise DeadlineExceeded(
            "the server did not begin the session in time", code="handshake_timeout"
        ) from None
    if first is not None:
        return link, first
    raise link.refusal() or ConnectFailed(
        "the server closed the connection before the session began: is it being started anew?",
        code="closed_in_handshake",
    )


async def _connect(url: str, deadline: float) -> WebSocketClientConnection:
    request = HTTPRequest(url, connect_timeout=deadline, request_timeout=deadline)
    opening = websocket_connect(
        request,
        ping_interval=KEEP_ALIVE,
        ping_timeout=KEEP_ALIVE,
        max_message_size=LARGEST_ANSWER,
    )
    assert isinstance(opening, asyncio.Future)
    try:
        socket = await asyncio.shield(opening)
    except asyncio.CancelledError:
        opening.add_done_callback(_drop)
        raise
    except HTTPTimeoutError:
        raise DeadlineExceeded(
            "the server did not answer in time", code="handshake_timeout"
        ) from None
    except (OSError, WebSocketError, HTTPStreamClosedError) as error:
        raise ConnectFailed(
            "no connection: does the server run, and is the URL right?", cause=type(error).__name__
        ) from None
    except HTTPClientError as error:
        raise ConnectFailed(
            "the server answered, but not with a session: is the path right, is bus_access given "
            "to login_routes, and is the page of the server's own origin?",
            code="handshake_refused",
            status=error.code,
        ) from None
    assert isinstance(socket, WebSocketClientConnection)
    return socket


def _seen(sent: asyncio.Future[None]) -> None:
    """What failed to be sent is sent again by those who hold it."""
    if not sent.cancelled():
        sent.exception()


def _drop(opening: asyncio.Future[Any]) -> None:
    """Nobody waits for this connection any more."""
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()
