"""The HTTP client behind AsyncConnection: Tornado's own simple one, and what its failures mean.

LAW: the only file that knows which client it is; another one has to keep the promises of
HTTPClient. No TLS context is built twice, because building one costs more than a request. A
failure leaves this file as a value, because Tornado's exceptions hold the request.
Source: tornado.httpclient, whose requests and responses it takes and gives.
"""

from __future__ import annotations

import asyncio
import functools
import socket
import ssl
from dataclasses import dataclass
from typing import Any, Protocol

from tornado.concurrent import Future
from tornado.httpclient import HTTPClientError, HTTPRequest, HTTPResponse
from tornado.iostream import IOStream, SSLIOStream, UnsatisfiableReadError
from tornado.netutil import DefaultLoopResolver, Resolver
from tornado.simple_httpclient import (
    HTTPStreamClosedError,
    HTTPTimeoutError,
    SimpleAsyncHTTPClient,
)
from tornado.tcpclient import TCPClient

from clefstorm.errors import (
    AnswerTooLarge,
    ConfigurationError,
    ConnectFailed,
    DeadlineExceeded,
    TransportError,
)

LARGEST_HEAD = 32 * 1024
"""Bytes of an answer's status line and headers that we agree to read."""

_UNBOUNDED = 1 << 62


@functools.lru_cache(maxsize=32)
def tls_context(verify: bool | str) -> ssl.SSLContext:
    """Return the one TLS context for a ``verify`` setting: at least TLS 1.2.

    True trusts what the system trusts, a path trusts the CA certificates of that file
    alone, False trusts everybody: never in production. A file is read once a process. Raises
    ConfigurationError when it can't be used.
    """
    if not isinstance(verify, bool | str):
        raise ConfigurationError(
            "verify is True, False or the path of a file of CA certificates",
            code="verify_invalid",
            got=type(verify).__name__,
        )
    if isinstance(verify, bool):
        context = ssl.create_default_context()
        if not verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context
    try:
        return ssl.create_default_context(cafile=verify)
    except OSError as error:
        raise ConfigurationError(
            "the CA certificates for verify can't be read",
            code="verify_unreadable",
            path=verify,
            reason=error.strerror or type(error).__name__,
        ) from None


@dataclass(frozen=True, slots=True)
class Failure:
    """What went wrong, to be raised where no other exception is being handled."""

    kind: type[TransportError]
    message: str
    code: str

    def error(self, **evidence: str) -> TransportError:
        return self.kind(self.message, code=self.code, **evidence)


TOO_LARGE = Failure(
    AnswerTooLarge, "the answer is larger than what we agreed to read", "answer_too_large"
)
BROKEN = Failure(ConnectFailed, "the answer was cut off or is not HTTP", "answer_broken")


def judge(error: Exception) -> Failure:
    """Say what an exception means that came from a client or from the time limit around it.

    Its own words may quote the request; only those of the system and of TLS are repeated.
    """
    match error:
        case HTTPTimeoutError():
            return Failure(DeadlineExceeded, "no connection in time", "connect_deadline")
        case TimeoutError():
            return Failure(DeadlineExceeded, "no whole answer in time", "deadline_exceeded")
        case UnsatisfiableReadError():
            return Failure(
                AnswerTooLarge, "the answer's headers are too large", "headers_too_large"
            )
        case ssl.SSLCertVerificationError():
            return Failure(ConnectFailed, f"TLS refused: {error.verify_message}", "tls_refused")
        case ssl.SSLError():
            return Failure(
                ConnectFailed, f"TLS refused: {error.reason or 'cut off'}", "tls_refused"
            )
        case socket.gaierror() | UnicodeError():
            return Failure(ConnectFailed, "the host has no address", "name_unresolved")
        case ConnectionRefusedError():
            return Failure(ConnectFailed, "nobody listens there", "connect_refused")
        case HTTPClientError() | ConnectionResetError() | BrokenPipeError():
            return BROKEN
        case OSError():
            return Failure(
                ConnectFailed, f"no connection: {error.strerror or 'OSError'}", "connect_failed"
            )
    kind = type(error).__name__
    return Failure(TransportError, f"the HTTP client failed with {kind}", "client_failed")


class HTTPClient(Protocol):
    """What AsyncConnection asks of a client."""

    async def fetch(self, request: HTTPRequest) -> HTTPResponse:
        """Return the answer, of whatever status; fails as Tornado's clients do.

        The caller bounds the whole; ``request.connect_timeout`` (seconds) bounds look-up, connect
        and TLS. A call that is cancelled leaves the queue, closes its socket and leaves nothing
        running but, at most, a look-up in a thread, which can't be stopped.
        """
        ...

    def close(self) -> None:
        """Give up every call; each fails at once."""
        ...


def make_client(*, verify: bool | str, max_clients: int) -> HTTPClient:
    """Return the client for one connection. Honours no proxy variable of the environment."""
    return _SimpleClient(verify=verify, max_clients=max_clients)


class _Attempt(TCPClient):
    """Connects for one request, and knows what to stop when that is given up."""

    def __init__(self, resolver: Resolver, seconds: float | None) -> None:
        super().__init__(resolver)
        self._seconds = seconds
        self._task: asyncio.Task[Any] | None = None
        self._streams: list[IOStream] = []
        self._tls: Future[SSLIOStream] | None = None
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def connect(
        self,
        host: str,
        *args: Any,
        ssl_options: dict[str, Any] | ssl.SSLContext | None = None,
        **kwargs: Any,
    ) -> IOStream:
        # The task in which Tornado's client runs the request from its beginning to its end.
        self._task = asyncio.current_task()
        assert self._task is not None
        self._task.add_done_callback(lambda _task: self.give_up())
        async with asyncio.timeout(self._seconds):
            stream = await super().connect(host, *args, **kwargs)
            if ssl_options is None:
                return stream
            self._streams.clear()  # The socket passes on to another stream.
            self._tls = stream.start_tls(False, ssl_options=ssl_options, server_hostname=host)
            return await self._tls

    def _create_stream(self, *args: Any, **kwargs: Any) -> tuple[IOStream, Future[IOStream]]:
        # Tornado loses a socket that is ready in the very turn in which its waiter is cancelled.
        stream, connected = super()._create_stream(*args, **kwargs)
        self._streams.append(stream)
        return stream, connected

    def give_up(self) -> None:
        """Wake whoever waits for ``ended``."""
        if not self.ended.done():
            self.ended.set_result(None)

    async def stop(self) -> None:
        """Return when the request's task has ended and its sockets are closed."""
        self.give_up()
        if self._task is None:
            return
        self._task.cancel()
        for stream in self._streams:
            stream.close()
        tls = self._tls
        if tls is not None and tls.done() and not tls.cancelled() and tls.exception() is None:
            tls.result().close()
        if not self._task.done():
            await asyncio.wait({self._task})


class _SimpleClient:
    """SimpleAsyncHTTPClient, a fresh instance for each request.

    That client opens a connection for each request anyway, and never lets go of one that nobody
    waits for any longer; an instance that serves one request can be stopped as a whole.
    """

    def __init__(self, *, verify: bool | str, max_clients: int) -> None:
        self._tls = tls_context(verify)
        # Ours instead of Tornado's queue, which a cancelled request can't leave.
        self._room = asyncio.Semaphore(max_clients)
        # Named, because an application may have configured a resolver that blocks the loop.
        self._resolver = DefaultLoopResolver()
        self._attempts: set[_Attempt] = set()
        self._closed = False

    async def fetch(self, request: HTTPRequest) -> HTTPResponse:
        request.ssl_options = self._tls
        attempt_seconds, request.connect_timeout = request.connect_timeout, 0
        # Tornado's own timers would leave a look-up running behind them.
        request.request_timeout = 0
        async with self._room:
            if self._closed:
                raise HTTPStreamClosedError("closed")
            attempt = _Attempt(self._resolver, attempt_seconds)
            client = SimpleAsyncHTTPClient(
                force_instance=True,
                max_clients=1,
                resolver=self._resolver,
                max_header_size=LARGEST_HEAD,
                # The receiver of the chunks counts; an answer refused by Tornado's bound looks
                # like one that was cut off.
                max_body_size=_UNBOUNDED,
            )
            client.tcp_client = attempt
            answer = client.fetch(request, raise_error=False)
            answer.add_done_callback(_heard)
            self._attempts.add(attempt)
            try:
                either: tuple[Future[Any], ...] = (answer, attempt.ended)
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
                if not answer.done():
                    # An answer is handed over before its task ends. None is when we were closed,
                    # or when the other side resets the connection within a body.
                    raise HTTPStreamClosedError("no answer will come")
                return answer.result()
            finally:
                self._attempts.discard(attempt)
                await attempt.stop()
                client.close()

    def close(self) -> None:
        self._closed = True
        for attempt in self._attempts:
            attempt.give_up()


def _heard(answer: Future[HTTPResponse]) -> None:
    """Take note of a failure for which nobody waits any longer, so that none is logged."""
    if not answer.cancelled():
        answer.exception()
