"""The HTTP client that needs nothing but Tornado: a connection for each request.

LAW: keeps the promises of HTTPClient; touches nothing of Tornado's that the application sees.
Source: tornado.simple_httpclient, tornado.tcpclient.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

from tornado.concurrent import Future
from tornado.httpclient import HTTPRequest, HTTPResponse
from tornado.iostream import IOStream, SSLIOStream
from tornado.netutil import DefaultLoopResolver, Resolver
from tornado.simple_httpclient import HTTPStreamClosedError, SimpleAsyncHTTPClient
from tornado.tcpclient import TCPClient

from clefstorm.transport.http_client import LARGEST_HEAD, heard, tls_context
from clefstorm.transport.per_loop import PerLoop, call_in

_UNBOUNDED = 1 << 62


class _Attempt(TCPClient):
    """Connects for one request, and knows what to stop when that is given up."""

    def __init__(self, resolver: Resolver, seconds: float | None) -> None:
        super().__init__(resolver)
        self._seconds = seconds
        self._task: asyncio.Task[Any] | None = None
        self._streams: list[IOStream] = []
        self._tls: Future[SSLIOStream] | None = None
        self.loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[None] = self.loop.create_future()

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


class SimpleClient:
    """SimpleAsyncHTTPClient, a fresh instance for each request.

    That client opens a connection for each request anyway, and never lets go of one that nobody
    waits for any longer; an instance that serves one request can be stopped as a whole.
    """

    def __init__(self, *, verify: bool | str, max_clients: int) -> None:
        self._tls = tls_context(verify)
        # Ours instead of Tornado's queue, which a cancelled request can't leave.
        self._rooms = PerLoop(lambda: asyncio.Semaphore(max_clients))
        # Named, because an application may have configured a resolver that blocks the loop.
        self._resolver = DefaultLoopResolver()
        self._attempts: set[_Attempt] = set()
        self._closed = False

    async def fetch(self, request: HTTPRequest) -> HTTPResponse:
        request.ssl_options = self._tls
        attempt_seconds, request.connect_timeout = request.connect_timeout, 0
        # Tornado's own timers would leave a look-up running behind them.
        request.request_timeout = 0
        async with self._rooms.here():
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
            answer.add_done_callback(heard)
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
        for attempt in list(self._attempts):
            call_in(attempt.loop, attempt.give_up)
