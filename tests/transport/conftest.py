"""Loopback servers that answer, or misbehave, byte by byte."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterator

import pytest
import trustme
from tornado.ioloop import IOLoop
from transport.json_server import json_server, new_json_server, twin
from transport.raw_server import Behaviour, RawServer, Serve, read_request

from clefstorm.transport import http_client
from clefstorm.transport.simple_client import SimpleClient

__all__ = ["json_server", "new_json_server", "twin"]  # Fixtures of another file.


@pytest.fixture(params=["simple", pytest.param("curl", marks=pytest.mark.needs("pycurl"))])
def each_client(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Which HTTP client the connections of this test are made with; once with each."""
    if request.param == "simple":
        monkeypatch.setattr(http_client, "client_class", lambda: SimpleClient)
    return str(request.param)


@pytest.fixture
def serve(io_loop: IOLoop) -> Iterator[Serve]:
    """Start a server: ``await serve(answer)`` writes these bytes to each request and closes.

    ``answer`` may be a coroutine function of (reader, writer), which is run after the request's
    head was read (``read=False``: at once); what it leaves open is closed when it returns.
    """
    servers: list[asyncio.Server] = []
    tasks: set[asyncio.Task[None]] = set()

    async def start(
        answer: bytes | Behaviour,
        *,
        tls: ssl.SSLContext | None = None,
        read: bool = True,
        host: str = "127.0.0.1",
    ) -> RawServer:
        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            raw.open += 1
            try:
                if read:
                    head, body = await read_request(reader)
                    raw.heads.append(head + body.decode("latin-1"))
                if isinstance(answer, bytes):
                    writer.write(answer)
                    await writer.drain()
                else:
                    await answer(reader, writer)
            except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
                pass
            finally:
                raw.open -= 1
                writer.close()

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.ensure_future(connected(reader, writer))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        server = await asyncio.start_server(accept, host, 0, ssl=tls)
        servers.append(server)
        raw = RawServer("https" if tls else "http", server.sockets[0].getsockname()[1])
        return raw

    yield start

    async def stop() -> None:
        for server in servers:
            server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)

    io_loop.run_sync(stop)


@pytest.fixture(scope="session")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(ca: trustme.CA) -> Iterator[str]:
    with ca.cert_pem.tempfile() as path:
        yield path


@pytest.fixture
def server_tls(ca: trustme.CA) -> Callable[..., ssl.SSLContext]:
    """The TLS side of a server whose certificate is for these names."""

    def build(*names: str) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        ca.issue_cert(*names).configure_cert(context)
        return context

    return build
