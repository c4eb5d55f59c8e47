"""One HTTP channel to one origin, under the rules that hold for every provider.

LAW: sends what it is given to the origin it was made for and nowhere else; keeps no cookie,
follows no redirect, honours no proxy variable. Everything that comes back is bounded in size and
time. What goes wrong is a TransportError that names method and host: no path, query, header or
body, and it chains no other exception, because Tornado's hold the request.
Source: RFC 9110; RFC 7617 (basic auth); RFC 1952 (gzip).
"""

from __future__ import annotations

import asyncio
import base64
import math
import re
import zlib
from collections.abc import Callable

from tornado.httpclient import HTTPRequest

from clefstorm.errors import ConfigurationError, ConnectFailed
from clefstorm.protocol.exchange import Request, Response
from clefstorm.protocol.metadata import is_loopback
from clefstorm.transport.http_client import (
    BROKEN,
    TOO_LARGE,
    Failure,
    HTTPClient,
    judge,
    make_client,
)
from clefstorm.transport.origin import Origin, read_hostname, read_url

DEFAULT_TIMEOUT = 5.0
"""Seconds for one request, from the call to the last byte, unless the application says else."""

USER_AGENT = "clefstorm"

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FIELD_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


class AsyncConnection:
    """One HTTP channel to one origin; usable in any event loop, and by many callers at once.

    ``hostname`` includes the scheme: ``https://id.example.com``, also with a port. ``auth`` is
    the application's own (user, password), sent as basic auth, over https or to this machine
    only. ``verify`` is True, False (never in production) or the path of CA certificates that
    alone are trusted. ``timeout`` is in seconds, from the call to the last byte of the answer,
    waiting for one of ``max_clients`` places, name look-up, connect and TLS included; None means
    5. A pair (connect, read) bounds look-up, connect and TLS by the first and the whole by the
    sum. Raises ConfigurationError.
    """

    def __init__(
        self,
        hostname: str,
        auth: tuple[str, str] | None = None,
        port: int | None = None,
        verify: bool | str = True,
        timeout: float | tuple[float, float] | None = None,
        *,
        max_clients: int = 100,
    ) -> None:
        self.origin = read_hostname(hostname, port)
        self._authorization = _basic(auth, self.origin)
        self._connect_seconds, self._seconds = read_timeout(timeout)
        if max_clients < 1:
            raise ConfigurationError("max_clients is at least 1", code="max_clients_invalid")
        self._client: HTTPClient = make_client(verify=verify, max_clients=max_clients)
        self._closed = False
        self.sending = 0
        """Calls of ``send`` that have not returned."""

    def __repr__(self) -> str:
        return f"<AsyncConnection {self.origin}>"

    async def send(self, request: Request) -> Response:
        """Send one request and return its whole answer, of whatever status, a redirect too.

        A request without a body sends an empty one where the method wants one; its own
        Authorization header goes before the connection's. A call that is cancelled leaves
        nothing running.

        Raises ConfigurationError for a request of another origin or one that HTTP can't carry,
        ConnectFailed (codes ``name_unresolved``, ``connect_refused``, ``connect_failed``,
        ``tls_refused``, ``answer_broken``, ``connection_closed``), DeadlineExceeded
        (``connect_deadline``, ``deadline_exceeded``), AnswerTooLarge (``answer_too_large``,
        ``headers_too_large``), and TransportError (``client_failed``) for what nobody foresaw.
        """
        body = _Body(request.max_bytes)
        wire = self._build(request, body)
        self.sending += 1
        try:
            outcome = await self._exchange(wire, body)
        finally:
            self.sending -= 1
        if isinstance(outcome, Response):
            return outcome
        if self._closed:
            outcome = _CLOSED
        # Not within an except block, whose exception would ride along as __context__.
        raise outcome.error(host=str(self.origin), method=request.method)

    def close(self) -> None:
        """Stop: calls under way and later ones raise ConnectFailed (``connection_closed``)."""
        self._closed = True
        self._client.close()

    def _build(self, request: Request, body: _Body) -> HTTPRequest:
        origin, parts = read_url(request.url)
        if origin != self.origin:
            raise ConfigurationError(
                "this connection speaks to another origin",
                code="origin_mismatch",
                expected=self.origin,
                got=origin,
            )
        if not _TOKEN.fullmatch(request.method):
            raise ConfigurationError("not an HTTP method", code="method_invalid")
        headers = {"accept-encoding": "gzip", "user-agent": USER_AGENT}
        if self._authorization is not None:
            headers["authorization"] = self._authorization
        for name, value in request.headers.items():
            if not _TOKEN.fullmatch(name):
                raise ConfigurationError("not the name of an HTTP header", code="header_invalid")
            if not _FIELD_VALUE.fullmatch(value):
                raise ConfigurationError(
                    "not the value of an HTTP header", code="header_invalid", name=name
                )
            headers[name.lower()] = value
        content = request.body
        if content is None and request.method in ("POST", "PUT", "PATCH"):
            content = b""
        # Put together from the parts that were judged, so that nobody reads it differently.
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        return HTTPRequest(
            f"{self.origin}{target}",
            method=request.method,
            user_agent=headers.pop("user-agent"),
            headers=headers,
            body=content,
            allow_nonstandard_methods=True,
            follow_redirects=False,
            decompress_response=False,
            streaming_callback=body.receive,
            connect_timeout=self._connect_seconds,
            request_timeout=self._seconds,
        )

    async def _exchange(self, wire: HTTPRequest, body: _Body) -> Response | Failure:
        """Return the answer, or what went wrong; raises nothing but a cancellation."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._seconds) as limit:
                body.on_overflow = lambda: limit.reschedule(loop.time())
                answer = await self._client.fetch(wire)
        except Exception as error:
            return TOO_LARGE if body.overflown else judge(error)
        headers = {name.lower(): value for name, value in answer.headers.items()}
        content = body.read(headers)
        if isinstance(content, Failure):
            return content
        return Response(status=answer.code, headers=headers, body=content)


class _Body:
    """Receives the bytes of one answer, and gives up as soon as they are too many.

    What is compressed is bounded before and after, and no more than the two is ever held.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._wire = bytearray()
        self.overflown = False
        self.on_overflow: Callable[[], None] | None = None

    def receive(self, chunk: bytes) -> None:
        if self.overflown:
            return
        if len(self._wire) + len(chunk) <= self._max_bytes:
            self._wire += chunk
            return
        self.overflown = True
        self._wire.clear()
        if self.on_overflow is not None:
            self.on_overflow()

    def read(self, headers: dict[str, str]) -> bytes | Failure:
        """Return the content; ``headers`` lose what does not hold of it once it is inflated."""
        encoding = headers.get("content-encoding", "").strip().lower()
        if self.overflown:
            return TOO_LARGE
        if encoding in ("", "identity") or not self._wire:
            return bytes(self._wire)
        if encoding not in ("gzip", "x-gzip"):
            return BROKEN
        inflater = zlib.decompressobj(16 + zlib.MAX_WBITS)
        try:
            content = inflater.decompress(bytes(self._wire), self._max_bytes + 1)
        except zlib.error:
            return BROKEN
        if len(content) > self._max_bytes:
            return TOO_LARGE
        # RFC 1952 allows more members than one; only whoever wants to waste our time sends them.
        if not inflater.eof or inflater.unused_data:
            return BROKEN
        del headers["content-encoding"]
        headers.pop("content-length", None)
        return content


def read_timeout(timeout: float | tuple[float, float] | None) -> tuple[float, float]:
    """Return the seconds in which the connection stands, and those for the whole.

    Raises ConfigurationError for what is not positive and finite.
    """
    if timeout is None:
        timeout = DEFAULT_TIMEOUT
    pair = timeout if isinstance(timeout, tuple) else (timeout,)
    if len(pair) > 2 or not all(
        isinstance(seconds, int | float) and 0 < seconds < math.inf for seconds in pair
    ):
        raise ConfigurationError(
            "timeout is seconds, or a pair of them for connect and read, more than 0",
            code="timeout_invalid",
            got=timeout,
        )
    return float(pair[0]), float(sum(pair))


def _basic(auth: tuple[str, str] | None, origin: Origin) -> str | None:
    """Return the value of the Authorization header (RFC 7617)."""
    if auth is None:
        return None
    user, password = auth
    if origin.scheme != "https" and not is_loopback(origin.host):
        raise ConfigurationError("auth goes over https alone", code="auth_needs_https", host=origin)
    if ":" in user:
        raise ConfigurationError("a user name of basic auth has no colon", code="auth_invalid")
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


_CLOSED = Failure(ConnectFailed, "the connection was closed", "connection_closed")
