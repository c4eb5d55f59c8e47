"""The HTTP client behind AsyncConnection: what is asked of one, and what its failures mean.

LAW: the only file that knows which client it is; each has to keep the promises of HTTPClient. No
TLS context is built twice, because building one costs more than a request. A failure leaves this
file as a value, because Tornado's exceptions hold the request.
Source: tornado.httpclient, whose requests and responses it takes and gives.
"""

from __future__ import annotations

import functools
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from tornado.concurrent import Future
from tornado.httpclient import HTTPClientError, HTTPRequest, HTTPResponse
from tornado.iostream import UnsatisfiableReadError
from tornado.simple_httpclient import HTTPTimeoutError

from clefstorm.errors import (
    AnswerTooLarge,
    ConfigurationError,
    ConnectFailed,
    DeadlineExceeded,
    TransportError,
)

LARGEST_HEAD = 32 * 1024
"""Bytes of an answer's status line and headers that we agree to read."""


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
    return _tls_context(verify)


@functools.lru_cache(maxsize=32)
def _tls_context(verify: bool | str) -> ssl.SSLContext:
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
HEAD_TOO_LARGE = Failure(AnswerTooLarge, "the answer's headers are too large", "headers_too_large")
BROKEN = Failure(ConnectFailed, "the answer was cut off or is not HTTP", "answer_broken")
NO_CONNECTION_IN_TIME = Failure(DeadlineExceeded, "no connection in time", "connect_deadline")


class FetchFailed(Exception):
    """From a client that has judged by itself."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.code)
        self.failure = failure


def judge(error: Exception) -> Failure:
    """Say what an exception means that came from a client or from the time limit around it.

    Its own words may quote the request; only those of the system and of TLS are repeated.
    """
    match error:
        case FetchFailed():
            return error.failure
        case HTTPTimeoutError():
            return NO_CONNECTION_IN_TIME
        case TimeoutError():
            return Failure(DeadlineExceeded, "no whole answer in time", "deadline_exceeded")
        case UnsatisfiableReadError():
            return HEAD_TOO_LARGE
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


def heard(answer: Future[Any]) -> None:
    """Take note of a failure for which nobody waits any longer, so that none is logged."""
    if not answer.cancelled():
        answer.exception()


class HTTPClient(Protocol):
    """What AsyncConnection asks of a client."""

    async def fetch(self, request: HTTPRequest) -> HTTPResponse:
        """Return the answer, of whatever status; fails with FetchFailed or as Tornado's clients do.

        Runs in any event loop, and in each for as many at once as there are places. The caller
        bounds the whole; ``request.connect_timeout`` (seconds) bounds look-up, connect and TLS.
        The content goes to ``request.streaming_callback`` as it comes, compressed as it is. A
        call that is cancelled leaves the queue, closes its socket and leaves nothing running but,
        at most, a look-up in a thread, which can't be stopped.
        """
        ...

    def close(self) -> None:
        """Give up every call; each fails at once. From any thread."""
        ...


def make_client(*, verify: bool | str, max_clients: int) -> HTTPClient:
    """Return the client for one connection. Honours no proxy variable of the environment.

    It keeps connections alive where pycurl is installed (the extra ``curl``), else it opens one
    for each request.
    """
    return client_class()(verify=verify, max_clients=max_clients)


@functools.cache
def client_class() -> Callable[..., HTTPClient]:
    """Return the better client of those that can be had here; loads that one alone."""
    try:
        from clefstorm.transport.curl_client import CurlClient
    except ImportError:  # No pycurl, or one too old for what is asked of it.
        from clefstorm.transport.simple_client import SimpleClient

        return SimpleClient
    return CurlClient
