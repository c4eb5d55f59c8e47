"""The connection itself: how it is given up, and what a session does when it can't go on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from tornado.simple_httpclient import HTTPTimeoutError
from tornado.testing import bind_unused_port
from tornado.web import Application
from tornado.websocket import WebSocketHandler

from clefstorm.errors import BusError, ConnectFailed, DeadlineExceeded
from clefstorm.remote import Session, SessionState
from clefstorm.remote import link as link_module
from clefstorm.remote.link import open_link

WELCOME = {
    "type": "welcome",
    "version": 1,
    "session": "s",
    "secret": "x",
    "properties": {},
    "grace": 30,
    "frame_bytes": 65536,
}

Serve = Callable[[type[WebSocketHandler]], str]


@pytest.fixture
def serve(io_loop: IOLoop) -> Iterator[Serve]:
    """Serve one kind of WebSocket; its URL."""
    servers = []

    def start(kind: type[WebSocketHandler]) -> str:
        sock, port = bind_unused_port()
        server = HTTPServer(Application([("/", kind)]))
        server.add_socket(sock)
        servers.append(server)
        return f"ws://127.0.0.1:{port}/"

    yield start
    for server in servers:
        server.stop()
        io_loop.run_sync(server.close_all_connections)


class Welcoming(WebSocketHandler):
    """Welcomes each connection."""

    async def on_message(self, message: str | bytes) -> None:
        self.write_message(json.dumps(WELCOME))


async def test_a_server_that_does_not_say_good_bye(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Closing ends in bounded time, though the server is too busy to answer."""
    monkeypatch.setattr(link_module, "_FAREWELL", 0.05)
    release = asyncio.Event()

    class Busy(Welcoming):
        async def on_message(self, message: str | bytes) -> None:
            await super().on_message(message)
            await release.wait()

    polite, busy = Session(serve(Welcoming)), Session(serve(Busy))
    for session, answered in ((polite, True), (busy, False)):
        await session.connect()
        link = session._link
        assert link is not None
        await session.close()
        assert session.state is SessionState.CLOSED_BY_CLIENT
        # Tornado, too, gives such a connection up, but only after some seconds.
        assert (link._socket.close_code is not None) is answered
    release.set()


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        pytest.param(HTTPTimeoutError("late"), DeadlineExceeded, id="too_late"),
        pytest.param(ConnectionResetError(), ConnectFailed, id="reset"),
    ],
)
async def test_tornado_gives_up(
    monkeypatch: pytest.MonkeyPatch, failure: Exception, kind: type[Exception]
) -> None:
    """Tornado's own timeout is a deadline that has passed; another failure is no connection."""
    opening: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    opening.set_exception(failure)
    monkeypatch.setattr(link_module, "websocket_connect", lambda request, **options: opening)
    with pytest.raises(kind):
        await open_link("ws://localhost/", "hello", deadline=10)


@pytest.mark.parametrize("comes_about", [True, False])
async def test_a_connection_that_nobody_waits_for(
    monkeypatch: pytest.MonkeyPatch, comes_about: bool
) -> None:
    """One that comes about after its caller was cancelled is closed, and a failure says nothing."""
    opening: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    monkeypatch.setattr(link_module, "websocket_connect", lambda request, **options: opening)
    closed: list[bool] = []

    class Socket:
        def close(self) -> None:
            closed.append(True)

    task = asyncio.create_task(open_link("ws://localhost/", "hello", deadline=10))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    if comes_about:
        opening.set_result(Socket())
    else:
        opening.set_exception(ConnectionResetError())
    await asyncio.sleep(0)
    assert closed == [True] * comes_about


async def test_a_server_that_does_not_want_us_back(serve: Serve) -> None:
    """A lost connection is come back from; a no on coming back ends the session for good."""
    connections = 0

    class Refusing(Welcoming):
        def open(self) -> None:
            nonlocal connections
            connections += 1

        async def on_message(self, message: str | bytes) -> None:
            if connections == 1:
                await super().on_message(message)
            elif connections == 2:
                self.write_message('{"type":"resumed","received":0}')
            else:
                self.close(4401, "credentials_refused")
                return
            self.close()

    told: list[SessionState] = []
    session = Session(serve(Refusing), sleep=lambda seconds: asyncio.sleep(0))
    session.listeners.append(lambda old, new: told.append(new))
    await session.connect()
    with pytest.raises(BusError) as caught:
        await session.waitforkey("door", 10)
    assert caught.value.code == "credentials_refused"
    assert session.state is SessionState.CLOSED_BY_SERVER
    assert told.count(SessionState.CONNECTED_ACTIVE) == 2
    await session.close()


async def test_a_fault_of_ours_hangs_nobody(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """When reading fails in a way that nobody foresaw, who waits is told, and the log says why."""
    session = Session(serve(Welcoming))
    await session.connect()
    monkeypatch.setattr(session._channel, "receive", lambda frame: 1 / 0)
    with pytest.raises(BusError) as caught:
        await session.waitforkey("door", 10)
    assert caught.value.code == "session_failed"
    assert session.state is SessionState.CLOSED_FAILED
    assert "ZeroDivisionError" in caplog.text
    await session.close()
