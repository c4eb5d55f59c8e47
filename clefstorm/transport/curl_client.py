"""The HTTP client that keeps connections alive: Tornado's on libcurl, one for each event loop.

A call takes a place, looks the name up, and hands one request to Tornado's client, which waits
for libcurl's sockets in the loop. LAW: keeps the promises of HTTPClient; configures nothing
process-wide; no two connections of ours share a socket, so credentials never meet; what a server
says unasked is no answer; a request that may not be sent twice is sent once (see CurlCall).
Source: tornado.curl_httpclient; libcurl's multi_socket interface; RFC 9112, section 9.2.
"""

from __future__ import annotations

import asyncio
import select
import ssl
from collections.abc import Callable
from typing import Any
from urllib.parse import SplitResult, urlsplit

import pycurl
from tornado.concurrent import Future
from tornado.curl_httpclient import CurlAsyncHTTPClient, CurlError
from tornado.httpclient import HTTPRequest, HTTPResponse
from tornado.netutil import DefaultLoopResolver
from tornado.simple_httpclient import HTTPStreamClosedError

from clefstorm.transport.curl_call import CurlCall, Trust
from clefstorm.transport.http_client import NO_CONNECTION_IN_TIME, FetchFailed, heard, tls_context
from clefstorm.transport.per_loop import PerLoop

KEPT_SECONDS = 60.0
"""Seconds after the last call until the kept connections are closed; so old may a look-up get."""


class CurlClient:
    """Keeps as many connections as were used at once, until none was for KEPT_SECONDS.

    It takes half a megabyte for each event loop in which it was used within that time, with a
    hundred places.
    """

    def __init__(self, *, verify: bool | str, max_clients: int) -> None:
        tls_context(verify)  # Judged by the one judge.
        self.trust = _trust(verify)
        self._pools = PerLoop(lambda: _Pool(max_clients), _Pool.close)
        self._closed = False

    async def fetch(self, request: HTTPRequest) -> HTTPResponse:
        if self._closed:
            raise HTTPStreamClosedError("closed")
        pool = self._pools.here()
        pool.enter()
        try:
            async with pool.room:
                return await self._fetch(request, pool)
        finally:
            pool.leave(self._retire)

    async def _fetch(self, request: HTTPRequest, pool: _Pool) -> HTTPResponse:
        parts = urlsplit(request.url)
        addresses, seconds = await pool.look_up(parts, _seconds_to_connect(request))
        call = CurlCall(request, parts, trust=self.trust, addresses=addresses)
        answer = pool.multi.start(call, seconds)
        answer.add_done_callback(heard)
        try:
            await asyncio.wait((answer,))
        finally:
            pool.give_up(call)
        error = answer.exception()
        if error is None and call.headers is not None:
            return HTTPResponse(request, call.status, headers=call.headers)
        pool.forget_addresses()  # It may have moved.
        if error is not None and not isinstance(error, CurlError):
            raise error
        raise FetchFailed(call.failure_of(0 if error is None else error.errno))

    def _retire(self, pool: _Pool) -> None:
        if self._pools.forget(pool):
            pool.close()

    def close(self) -> None:
        self._closed = True
        self._pools.end()


class _Pool:
    """What serves one event loop."""

    def __init__(self, max_clients: int) -> None:
        self._loop = asyncio.get_running_loop()
        self.multi = _Multi(force_instance=True, max_clients=max_clients)
        # Ours instead of Tornado's queue, which a cancelled request can't leave.
        self.room = asyncio.Semaphore(max_clients)
        self._callers = 0
        self._retirement: asyncio.TimerHandle | None = None
        self._ended: asyncio.Future[None] = self._loop.create_future()
        # libcurl would hold up the loop when a look-up of its own is given up. Named, because an
        # application may have configured a resolver that blocks.
        self._resolver = DefaultLoopResolver()
        self._addresses: list[str] = []
        self._addresses_end = 0.0

    def enter(self) -> None:
        self._callers += 1
        if self._retirement is not None:
            self._retirement.cancel()

    def leave(self, retire: Callable[[_Pool], None]) -> None:
        """Retire, unless somebody comes within KEPT_SECONDS."""
        self._callers -= 1
        if not self._callers and not self._ended.done() and not self._loop.is_closed():
            self._retirement = self._loop.call_later(KEPT_SECONDS, retire, self)

    async def look_up(
        self, parts: SplitResult, seconds: float | None
    ) -> tuple[list[str], float | None]:
        """Return the addresses of the one host, and what is left of the seconds (None: no end)."""
        begun = self._loop.time()
        if begun >= self._addresses_end:
            host, port = parts.hostname or "", parts.port or 0
            found = asyncio.ensure_future(self._resolver.resolve(host, port))
            found.add_done_callback(heard)
            either: tuple[asyncio.Future[Any], ...] = (found, self._ended)
            try:
                await asyncio.wait(either, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            finally:
                if not found.done():
                    found.cancel()
                    await asyncio.wait((found,))
            if found.cancelled():
                raise FetchFailed(NO_CONNECTION_IN_TIME)
            self._addresses = [address[0] for _family, address in found.result()]
            self._addresses_end = self._loop.time() + KEPT_SECONDS
        return self._addresses, seconds and seconds - (self._loop.time() - begun)

    def forget_addresses(self) -> None:
        self._addresses_end = 0.0

    def give_up(self, call: CurlCall) -> None:
        if not self._loop.is_closed():  # Else nobody can hear of it.
            self.multi.give_up(call)

    def close(self) -> None:
        if self._retirement is not None:
            self._retirement.cancel()
        if not self._loop.is_closed():
            if not self._ended.done():
                self._ended.set_result(None)
            self.multi.give_up_all()
        self.multi.close()


class _Multi(CurlAsyncHTTPClient):
    """Tornado's client, which can end one request at once, and look after kept connections.

    What it overrides of Tornado's inner methods is tested by what it does.
    """

    def initialize(self, max_clients: int) -> None:  # type: ignore[override]
        self._loop = asyncio.get_running_loop()
        self._calls: dict[pycurl.Curl, CurlCall] = {}
        self._kept: set[int] = set()
        super().initialize(max_clients=max_clients)

    def start(self, call: CurlCall, seconds: float | None) -> Future[HTTPResponse]:
        """Begin a call that has ``seconds`` to connect; the result tells when it has ended."""

        def set_up(curl: pycurl.Curl) -> None:
            call.set_up(curl)
            if self._saw_one_stir():
                curl.setopt(pycurl.FRESH_CONNECT, 1)
            self._calls[curl] = call

        # Of the request it is told what it may log.
        request = HTTPRequest(
            call.base,
            allow_nonstandard_methods=True,
            follow_redirects=False,
            validate_cert=call.trust is not None,
            # Rounded up, because 0 means libcurl's own 300 seconds.
            connect_timeout=0 if seconds is None else max(seconds, 0) + 0.001,
            request_timeout=0,
            prepare_curl_callback=set_up,
        )
        return self.fetch(request, raise_error=False)

    def give_up(self, call: CurlCall) -> None:
        """End the call, if it has not ended; its socket is closed when this returns."""
        if call.handle is not None:
            self._finish(call.handle, pycurl.E_ABORTED_BY_CALLBACK, "given up")

    def give_up_all(self) -> None:
        for call in list(self._calls.values()):
            self.give_up(call)

    def _finish(self, curl: pycurl.Curl, *args: Any) -> None:
        self._calls.pop(curl).end()
        super()._finish(curl, *args)

    def _set_timeout(self, msecs: int) -> None:
        # libcurl (8.16, say) asks for one more turn while it is being closed.
        if not self._loop.is_closed():
            super()._set_timeout(msecs)

    def _handle_socket(self, event: int, fd: int, multi: pycurl.CurlMulti, data: Any) -> None:
        # libcurl lets go of a socket when a request has ended, and then keeps or closes it.
        (self._kept.add if event == pycurl.POLL_REMOVE else self._kept.discard)(fd)
        super()._handle_socket(event, fd, multi, data)

    def _saw_one_stir(self) -> bool:
        """Whether a kept connection was closed by the other side, or has said more.

        What it said unasked would be taken for the next answer. libcurl looks once a second.
        """
        poll = select.poll()
        for fd in self._kept:
            poll.register(fd, select.POLLIN)
        ready = dict(poll.poll(0))
        closed_here = {fd for fd, events in ready.items() if events & select.POLLNVAL}
        self._kept -= closed_here
        return len(ready) > len(closed_here)


def _seconds_to_connect(request: HTTPRequest) -> float | None:
    """None where the caller's own bound of the whole ends no later."""
    connect, whole = request.connect_timeout, request.request_timeout
    return connect if connect and (not whole or connect < whole) else None


def _trust(verify: bool | str) -> Trust | None:
    """Return the file and the folder of CA certificates that ``verify`` means; None: trust all.

    pycurl's wheels bring along an OpenSSL that looks elsewhere than the system's.
    """
    if verify is False:
        return None
    if isinstance(verify, str):
        return Trust(verify, None)
    paths = ssl.get_default_verify_paths()
    return Trust(paths.cafile, paths.capath)
