"""A JSON API in threads of its own, so that blocking and asynchronous callers can both be tried."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from tornado.ioloop import IOLoop

from clefstorm.transport import AsyncConnection, Connection


@dataclass(frozen=True)
class Seen:
    """A request that arrived; header names in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Reply:
    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)


def reply(value: Any, status: int = 200, **headers: str) -> Reply:
    """An answer of JSON."""
    return Reply(status, json.dumps(value).encode(), headers)


@dataclass
class JSONServer:
    """Answers each request with what ``answer`` returns for it; ``seen`` has them all."""

    port: int
    answer: Callable[[Seen], Reply] = lambda seen: Reply()
    seen: list[Seen] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def values(self, header: str) -> list[str | None]:
        """What each request had in a header."""
        return [seen.headers.get(header) for seen in self.seen]


def _handler(server: Callable[[], JSONServer]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def respond(self) -> None:
            seen = Seen(
                self.command,
                self.path,
                {name.lower(): value for name, value in self.headers.items()},
                self.rfile.read(int(self.headers.get("Content-Length", 0))),
            )
            server().seen.append(seen)
            answer = server().answer(seen)
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name.replace("_", "-"), value)
            if answer.status != 204:
                self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            with contextlib.suppress(ConnectionError):  # Whoever asked may have left.
                self.wfile.write(answer.body)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = respond

        def log_message(self, *_args: Any) -> None:
            pass

    return Handler


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # So that closing it waits for them, and none outlives its test.


@pytest.fixture
def new_json_server() -> Iterator[Callable[[], JSONServer]]:
    """Call it for one more server."""
    running: list[tuple[_Server, threading.Thread]] = []

    def start() -> JSONServer:
        server = _Server(("127.0.0.1", 0), _handler(lambda: told))
        told = JSONServer(server.server_port)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        running.append((server, thread))
        return told

    yield start
    for server, thread in running:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def json_server(new_json_server: Callable[[], JSONServer]) -> JSONServer:
    return new_json_server()


class Twin:
    """A connection class, and how its methods are called."""

    def __init__(self, kind: type[AsyncConnection] | type[Connection], io_loop: IOLoop) -> None:
        self.kind: Any = kind
        self._io_loop = io_loop

    def call(self, method: Callable[..., Any], *args: Any, **more: Any) -> Any:
        """Call it and return what it returns, after waiting for it where it is asynchronous."""
        if self.kind is Connection:
            return method(*args, **more)
        return self._io_loop.run_sync(lambda: method(*args, **more))

    def closing(self, connection: Any) -> Any:
        """Enter the connection's context and leave it again."""

        async def with_async() -> Any:
            async with connection as entered:
                return entered

        if self.kind is Connection:
            with connection as entered:
                return entered
        return self._io_loop.run_sync(with_async)


@pytest.fixture(params=[AsyncConnection, Connection], ids=["async", "blocking"])
def twin(request: pytest.FixtureRequest, io_loop: IOLoop) -> Twin:
    """Each of the two connections; a test with it proves the same of both."""
    return Twin(request.param, io_loop)
