"""Connections: one HTTP channel to one origin, asynchronous and blocking.

LAW: two shells of one Channel, which has all the rules; they differ in who waits.
Source: the interface of sleepwalker's Connection.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from clefstorm.protocol.exchange import Request, Response
from clefstorm.transport.channel import Channel
from clefstorm.transport.loop_thread import run_blocking


class AsyncConnection(Channel):
    """One HTTP channel to one origin; usable in any event loop, and by many callers at once.

    ``hostname`` includes the scheme: ``https://id.example.com``, also with a port. ``auth`` is
    the application's own: (user, password) for basic auth, Bearer, ClientCredentials, or
    NO_AUTH; None means the host's entry in the netrc file. Credentials go over https, or to this
    machine, alone. ``verify`` is True, False (never in production) or the path of CA
    certificates that alone are trusted. ``timeout`` is in seconds, from the call to the last byte
    of the answer, waiting for one of ``max_clients`` places, an access token, name look-up,
    connect and TLS included; None means 5. A pair (connect, read) bounds look-up, connect and TLS
    by the first and the whole by the sum. ``clock`` gives seconds, for the age of access tokens.
    Raises ConfigurationError, URLError for the host name.
    """

    async def send(self, request: Request) -> Response:
        """Send one request and return its whole answer, of whatever status, a redirect too.

        A request without a body sends an empty one where the method wants one; its own
        Authorization header goes before the connection's. With ClientCredentials a 401 is asked
        once more with a fresh token. A call that is cancelled leaves nothing running.

        Raises ConfigurationError for a request of another origin or one that HTTP can't carry,
        or when there are no credentials (``credentials_missing`` and others of the netrc file),
        ConnectFailed (codes ``name_unresolved``, ``connect_refused``, ``connect_failed``,
        ``tls_refused``, ``answer_broken``, ``connection_closed``), DeadlineExceeded
        (``connect_deadline``, ``deadline_exceeded``), AnswerTooLarge (``answer_too_large``,
        ``headers_too_large``), and TransportError (``client_failed``) for what nobody foresaw;
        what a token endpoint says no with is TokenRefused or ProtocolViolation.
        """
        return await self._transmit(request)

    async def json_request(
        self,
        method: str,
        uri: str,
        body: Any = None,
        params: Mapping[str, Any] | None = None,
        extra_headers: Mapping[str, str] | None = None,
    ) -> Any:
        """Send a JSON request and return the JSON value of the answer, None for no content.

        ``uri`` is a path, or a URL of this origin. ``body`` is encoded by ``JsonEncoder``; None
        sends none. ``params`` are added to the query: a sequence repeats one, None leaves it out.
        ``extra_headers`` are for this request alone.

        Raises HTTPStatusError by the status of an answer that is no success, ProtocolViolation
        for a success that is not JSON, ConfigurationError for what can't be sent, and as
        ``send``.
        """
        request = self._json_request(method, uri, body, params, extra_headers)
        return self._json_value(request, await self.send(request))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class Connection(Channel):
    """The blocking twin of AsyncConnection, for scripts, workers and threads.

    Each method promises what AsyncConnection's of that name does, and may be called from several
    threads at once. In a thread that runs an event loop each raises ConfigurationError (code
    ``blocking_in_loop``) instead of stopping it.
    """

    def send(self, request: Request) -> Response:
        """Send one request and return its whole answer, of whatever status."""
        return run_blocking(lambda: self._transmit(request))

    def json_request(
        self,
        method: str,
        uri: str,
        body: Any = None,
        params: Mapping[str, Any] | None = None,
        extra_headers: Mapping[str, str] | None = None,
    ) -> Any:
        """Send a JSON request and return the JSON value of the answer, None for no content."""
        request = self._json_request(method, uri, body, params, extra_headers)
        return self._json_value(request, self.send(request))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
