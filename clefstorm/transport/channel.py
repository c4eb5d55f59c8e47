"""One HTTP channel to one origin, under the rules that hold for every host.

LAW: sends what it is given to the origin it was made for and nowhere else; keeps no cookie,
follows no redirect, honours no proxy variable. Everything that comes back is bounded in size and
time. What goes wrong is a TransportError that names method and host: no path, query, header or
body, and it chains no other exception, because Tornado's hold the request.
Source: RFC 9110; the interface of sleepwalker's Connection.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Mapping
from typing import Any

from tornado.httpclient import HTTPRequest

from clefstorm.errors import ClefStormError, ConfigurationError, ConnectFailed, URLError
from clefstorm.protocol.authorization_header import build_basic
from clefstorm.protocol.exchange import LARGEST_ANSWER, Request, Response
from clefstorm.transport.auth import (
    NO_AUTH,
    Auth,
    Bearer,
    ClientCredentials,
    check_auth,
    require_safe,
)
from clefstorm.transport.authorizing import Authorizer, Fixed, FromNetrc, FromTokenEndpoint
from clefstorm.transport.http_client import TOO_LARGE, Failure, HTTPClient, judge, make_client
from clefstorm.transport.json_request import ValueEncoder, build_json_request, read_json_response
from clefstorm.transport.origin import read_hostname, read_url
from clefstorm.transport.wire import Body, check_headers, check_method, read_timeout

USER_AGENT = "clefstorm"

_SECRET = {"authorization", "cookie", "proxy-authorization"}
_WHOLE = re.compile(r"//|[A-Za-z][A-Za-z0-9+.-]*:")  # A URL with a host or a scheme.


class Channel:
    """What AsyncConnection and Connection are made of; the parameters are AsyncConnection's."""

    class JsonEncoder(ValueEncoder):
        """Encodes what ``json_request`` sends; a subclass of the connection may have its own."""

    max_bytes: int = LARGEST_ANSWER
    """Bytes of an answer, after decompression, that ``json_request`` agrees to read."""

    def __init__(
        self,
        hostname: str,
        auth: Auth = None,
        port: int | None = None,
        verify: bool | str = True,
        timeout: float | tuple[float, float] | None = None,
        *,
        max_clients: int = 100,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.origin = read_hostname(hostname, port)
        check_auth(auth, self.origin)
        self._connect_seconds, self._seconds = read_timeout(timeout)
        if max_clients < 1:
            raise ConfigurationError("max_clients is at least 1", code="max_clients_invalid")
        self._client: HTTPClient = make_client(verify=verify, max_clients=max_clients)
        self._token_channel: Channel | None = None
        if isinstance(auth, ClientCredentials):
            token_origin, _ = read_url(auth.token_url)
            # Of its own, for what is said to one host is not for the other.
            self._token_channel = Channel(
                str(token_origin), NO_AUTH, verify=verify, timeout=timeout
            )
        self._authorizer = self._authorizer_for(auth, clock)
        self._headers = {"accept-encoding": "gzip", "user-agent": USER_AGENT}
        self._closed = False
        self.sending = 0
        """Calls of ``send`` that have not returned."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.origin}>"

    def _authorizer_for(self, auth: Auth, clock: Callable[[], float]) -> Authorizer:
        match auth:
            case None:
                return FromNetrc(self.origin)
            case Bearer():
                return Fixed(f"Bearer {auth.token}")
            case ClientCredentials():
                assert self._token_channel is not None
                return FromTokenEndpoint(auth, self._token_channel._transmit, clock)
            case tuple():
                return Fixed(build_basic(*auth))
        return Fixed(None)

    def add_headers(self, headers: Mapping[str, str]) -> None:
        """Send these headers with every request from now on; a request's own go before them.

        Raises ConfigurationError: ``header_invalid``; ``header_reserved`` for Authorization,
        which is what ``auth`` is for, and for what the connection says itself (Content-Length,
        Host, Transfer-Encoding).
        """
        checked = check_headers(headers)
        if "authorization" in checked:
            raise ConfigurationError(
                "give the connection its auth instead; one request may have an Authorization "
                "header of its own",
                code="header_reserved",
            )
        self._headers = {**self._headers, **checked}

    def get_url(self, uri: str) -> str:
        """Return the whole URL of a path at this origin, or of a URL of this origin.

        Raises URLError: ``url_invalid``; ``origin_mismatch`` for a URL of another origin.
        """
        if isinstance(uri, str) and not _WHOLE.match(uri):
            uri = f"{self.origin}/{uri.removeprefix('/')}"
        self._require_ours(uri)
        return uri

    def close(self) -> None:
        """Stop: calls under way and later ones raise ConnectFailed (``connection_closed``)."""
        self._closed = True
        self._client.close()
        if self._token_channel is not None:
            self._token_channel.close()

    def _require_ours(self, url: str) -> str:
        """Return the target of a URL of this origin: its path and query."""
        origin, parts = read_url(url)
        if origin != self.origin:
            raise URLError(
                "this connection speaks to another origin",
                code="origin_mismatch",
                expected=self.origin,
                got=origin,
            )
        return parts.path + (f"?{parts.query}" if parts.query else "")

    def _json_request(
        self,
        method: str,
        uri: str,
        body: Any,
        params: Mapping[str, Any] | None,
        extra_headers: Mapping[str, str] | None,
    ) -> Request:
        return build_json_request(
            method,
            self.get_url(uri),
            body,
            params,
            extra_headers,
            encoder=self.JsonEncoder(allow_nan=False),
            max_bytes=self.max_bytes,
        )

    def _json_value(self, request: Request, response: Response) -> Any:
        return read_json_response(response, host=self.origin, method=request.method)

    async def _transmit(self, request: Request) -> Response:
        """Send one request and return its answer; what ``AsyncConnection.send`` promises."""
        self.sending += 1
        try:
            outcome = await self._outcome(request)
        finally:
            self.sending -= 1
        if isinstance(outcome, Response):
            return outcome
        if self._closed:
            outcome = _CLOSED
        # Not within an except block, whose exception would ride along as __context__.
        raise outcome.error(host=str(self.origin), method=request.method)

    async def _outcome(self, request: Request) -> Response | Failure:
        """Return the answer, once more asked for with other credentials where that may help."""
        ends = asyncio.get_running_loop().time() + self._seconds
        wire = self._build(request)
        if self._closed:
            return _CLOSED
        if "authorization" in wire.headers:
            return await self._exchange(wire, request.max_bytes, ends)
        for another_try in (True, False):
            try:
                async with asyncio.timeout_at(ends):
                    authorization = await self._authorizer.authorization()
            except ClefStormError:
                raise
            except TimeoutError as error:
                return judge(error)
            if authorization is not None:
                wire.headers["authorization"] = authorization
            outcome = await self._exchange(wire, request.max_bytes, ends)
            if isinstance(outcome, Failure) or outcome.status != 401:
                break
            if not (another_try and self._authorizer.refused(authorization)):
                break
            wire = self._build(request)
        return outcome

    def _build(self, request: Request) -> HTTPRequest:
        target = self._require_ours(request.url)
        check_method(request.method, request.body)
        headers = {**self._headers, **check_headers(request.headers)}
        if not _SECRET.isdisjoint(headers):
            require_safe(self.origin)
        content = request.body
        if content is None and request.method in ("POST", "PUT", "PATCH"):
            content = b""
        return HTTPRequest(
            # Put together from the parts that were judged, so that nobody reads it differently.
            f"{self.origin}{target}",
            method=request.method,
            user_agent=headers.pop("user-agent"),
            headers=headers,
            body=content,
            allow_nonstandard_methods=True,
            follow_redirects=False,
            decompress_response=False,
            connect_timeout=self._connect_seconds,
            request_timeout=self._seconds,
        )

    async def _exchange(self, wire: HTTPRequest, max_bytes: int, ends: float) -> Response | Failure:
        """Return the answer, or what went wrong; raises nothing but a cancellation."""
        loop = asyncio.get_running_loop()
        body = Body(max_bytes)
        wire.streaming_callback = body.receive
        try:
            async with asyncio.timeout_at(ends) as limit:
                body.on_overflow = lambda: limit.reschedule(loop.time())
                answer = await self._client.fetch(wire)
        except Exception as error:
            return TOO_LARGE if body.overflown else judge(error)
        headers = {name.lower(): value for name, value in answer.headers.items()}
        content = body.read(headers)
        if isinstance(content, Failure):
            return content
        return Response(
            status=answer.code,
            headers=headers,
            body=content,
            set_cookies=tuple(answer.headers.get_list("Set-Cookie")),
        )


_CLOSED = Failure(ConnectFailed, "the connection was closed", "connection_closed")
