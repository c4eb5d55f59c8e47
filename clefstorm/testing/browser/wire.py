"""One HTTP/1.1 request on a connection of its own, which can be left at any moment.

LAW: leaving closes the connection, as a closed tab does; Tornado's AsyncHTTPClient can't, so
this stands on the two classes that it is made of.
"""

from __future__ import annotations

import asyncio
import ssl
from types import TracebackType
from urllib.parse import urlsplit

from tornado.http1connection import HTTP1Connection, HTTP1ConnectionParameters
from tornado.httputil import (
    HTTPHeaders,
    HTTPMessageDelegate,
    RequestStartLine,
    ResponseStartLine,
)
from tornado.iostream import IOStream, StreamClosedError
from tornado.tcpclient import TCPClient

from clefstorm.errors import ConnectFailed
from clefstorm.testing.browser.sites import host_of, port_of

LARGEST_ANSWER = 100 * 1024 * 1024


class Exchange(HTTPMessageDelegate):
    """A request and its answer: ``async with`` sends it and waits for the answer's head.

    Afterwards ``status`` and ``headers`` are known, and ``chunk`` gives the body as it comes.
    Leaving the block closes the connection, however far it got. Raises ConnectFailed when
    there is no connection, or when it ends before the head.
    """

    def __init__(
        self,
        client: TCPClient,
        method: str,
        url: str,
        *,
        headers: HTTPHeaders,
        body: bytes | None,
        tls: ssl.SSLContext | None,
    ) -> None:
        self.status = 0
        self.headers = HTTPHeaders()
        self._client = client
        self._method = method
        self._url = url
        self._sent_headers = headers
        self._body = body
        self._tls = tls
        self._head: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._chunks: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._stream: IOStream | None = None
        self._reading: asyncio.Task[None] | None = None
        self._ended = False
        self._whole = False

    async def __aenter__(self) -> Exchange:
        parts = urlsplit(self._url)
        try:
            self._stream = await self._client.connect(
                host_of(self._url),
                port_of(self._url),
                ssl_options=self._tls if parts.scheme == "https" else None,
            )
            self._reading = asyncio.ensure_future(self._talk(self._stream))
            await self._head
        except BaseException as error:
            await self._close()
            if isinstance(error, OSError):
                raise ConnectFailed(
                    "the server can't be reached, or hung up", url=self._url.partition("?")[0]
                ) from error
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._close()

    async def chunk(self) -> bytes | None:
        """Return the next unpacked bytes of the body, None at its end, whole or cut off.

        Cancelling the call loses nothing.
        """
        if self._ended:
            return None
        chunk = await self._chunks.get()
        self._ended = chunk is None
        return chunk

    async def read(self) -> bytes:
        """Return the rest of the body. Raises ConnectFailed when it was cut off."""
        chunks = []
        while (chunk := await self.chunk()) is not None:
            chunks.append(chunk)
        if not self._whole:
            raise ConnectFailed("the answer was cut off", url=self._url.partition("?")[0])
        return b"".join(chunks)

    async def _close(self) -> None:
        if self._stream is not None:
            self._stream.close()
        if self._reading is not None:
            await self._reading

    async def _talk(self, stream: IOStream) -> None:
        parts = urlsplit(self._url)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection = HTTP1Connection(
            stream,
            True,
            HTTP1ConnectionParameters(
                no_keep_alive=True, decompress=True, max_body_size=LARGEST_ANSWER
            ),
        )
        try:
            start = RequestStartLine(self._method, target, "HTTP/1.1")
            connection.write_headers(start, self._sent_headers)
            if self._body:
                connection.write(self._body)
            connection.finish()
            await connection.read_response(self)
        except StreamClosedError:
            pass
        finally:
            self._end()

    def headers_received(
        self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders
    ) -> None:
        assert isinstance(start_line, ResponseStartLine)
        # 1xx answers come before the one that counts.
        if start_line.code >= 200 and not self._head.done():
            self.status = start_line.code
            self.headers = headers
            self._head.set_result(None)

    def data_received(self, chunk: bytes) -> None:
        self._chunks.put_nowait(chunk)

    def finish(self) -> None:
        self._whole = True

    def _end(self) -> None:
        if not self._head.done():
            self._head.set_exception(ConnectionResetError("closed before an answer"))
        self._chunks.put_nowait(None)
