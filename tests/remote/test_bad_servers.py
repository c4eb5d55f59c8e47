"""What a session says of servers that misbehave, and of what can't be sent; nothing hangs."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
from collections.abc import Callable
from typing import Any

import pytest
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from tornado.testing import bind_unused_port
from tornado.web import Application
from tornado.websocket import WebSocketHandler
from wires import server_that

from clefstorm.errors import (
    BusError,
    ClefStormError,
    ConfigurationError,
    ConnectFailed,
    DeadlineExceeded,
    ProtocolViolation,
)
from clefstorm.handlers import BusLimits
from clefstorm.remote import Credentials, Session, SessionState, greeting

Connect = Callable[..., Any]


def answering(raw: bytes, *, read: bool = True) -> Any:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if read:
            await reader.readuntil(b"\r\n\r\n")
        writer.write(raw)
        await writer.drain()

    return answer


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(60)


FALSE_101 = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: bm9uc2Vuc2U=\r\n\r\n"
)
EMPTY = b"Content-Length: 0\r\n\r\n"


@pytest.mark.parametrize(
    ("answer", "kind", "code"),
    [
        pytest.param(answering(b"", read=False), ConnectFailed, "connect_failed", id="at_once"),
        pytest.param(answering(b""), ConnectFailed, "connect_failed", id="in_mid_handshake"),
        pytest.param(
            answering(b"HTTP/1.1 101 Swi"), ConnectFailed, "connect_failed", id="in_mid_answer"
        ),
        pytest.param(
            answering(b"HTTP/1.1 404 Not Found\r\n" + EMPTY),
            ConnectFailed,
            "handshake_refused",
            id="not_mounted",
        ),
        pytest.param(
            answering(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\n" + EMPTY),
            ConnectFailed,
            "handshake_refused",
            id="redirect",
        ),
        pytest.param(
            answering(b"HTTP/1.1 200 OK\r\n" + EMPTY), ConnectFailed, "connect_failed", id="page"
        ),
        pytest.param(answering(b"SSH-2.0-x\r\n\r\n"), None, None, id="no_http"),
        pytest.param(answering(FALSE_101), None, None, id="false_accept"),
        pytest.param(silent, DeadlineExceeded, "handshake_timeout", id="silent"),
    ],
)
@pytest.mark.filterwarnings("ignore:Unclosed WebSocketClientConnection")
async def test_no_websocket(
    monkeypatch: pytest.MonkeyPatch, answer: Any, kind: type[ClefStormError], code: str
) -> None:
    """Whatever is there instead of a server, connect raises a TransportError in bounded time."""
    monkeypatch.setattr(greeting, "CONNECT_SECONDS", 0.5)
    # A record of the log would hold the connection for as long as pytest holds the record.
    monkeypatch.setattr(logging.getLogger("tornado.application"), "disabled", True)
    async with server_that(answer) as port:
        session = Session(f"ws://127.0.0.1:{port}/auth/bus")
        with pytest.raises(kind or (ConnectFailed, DeadlineExceeded)) as caught:
            await session.connect()
    if code:
        assert caught.value.code == code
    assert session.state is SessionState.CLOSED_FAILED
    gc.collect()  # Tornado keeps its hold of a connection that lied about its key, and says so


async def test_nobody_there() -> None:
    """A port where nobody listens is ConnectFailed."""
    sock, port = bind_unused_port()
    sock.close()
    with pytest.raises(ConnectFailed, match="does the server run"):
        async with Session(f"ws://127.0.0.1:{port}/auth/bus"):
            pass


class Scripted(WebSocketHandler):
    """A WebSocket server that answers each frame with the next of ``script``; None closes."""

    script: list[Any]

    def initialize(self) -> None:
        self._lines = iter(self.script)

    async def on_message(self, message: str | bytes) -> None:
        line = next(self._lines, ())
        if line is None:
            self.close()
        elif isinstance(line, int):
            self.close(line, "a word")
        elif line != ():
            self.write_message(line, binary=isinstance(line, bytes))


WELCOME = {
    "type": "welcome",
    "version": 1,
    "session": "s",
    "secret": "x",
    "properties": {},
    "grace": 30,
    "frame_bytes": 65536,
}


@pytest.fixture
def scripted(io_loop: IOLoop) -> Any:
    servers = []

    def start(*script: Any) -> str:
        sock, port = bind_unused_port()
        lines = [json.dumps(line) if isinstance(line, dict) else line for line in script]
        server = HTTPServer(Application([(r"/", type("S", (Scripted,), {"script": lines}))]))
        server.add_socket(sock)
        servers.append(server)
        return f"ws://127.0.0.1:{port}/"

    yield start
    for server in servers:
        server.stop()
        io_loop.run_sync(server.close_all_connections)


@pytest.mark.parametrize(
    ("first", "kind", "code", "state"),
    [
        pytest.param(None, ConnectFailed, "closed_in_handshake", "closed_failed", id="closes"),
        pytest.param(1011, ConnectFailed, "closed_in_handshake", "closed_failed", id="fails"),
        pytest.param(4401, BusError, "closed", "closed_by_server", id="refuses"),
        pytest.param("hello!", ProtocolViolation, "frame_not_json", "closed_failed", id="no_json"),
        pytest.param(b"{}", ProtocolViolation, "frame_binary", "closed_failed", id="binary"),
        pytest.param(
            {**WELCOME, "more": 1}, ProtocolViolation, "frame_malformed", "closed_failed", id="more"
        ),
        pytest.param(
            {"type": "ack", "n": 0},
            ProtocolViolation,
            "frame_out_of_order",
            "closed_failed",
            id="no_welcome",
        ),
        pytest.param((), DeadlineExceeded, "handshake_timeout", "closed_failed", id="silent"),
    ],
)
async def test_bad_welcome(
    monkeypatch: pytest.MonkeyPatch, scripted: Any, first: Any, kind: Any, code: str, state: str
) -> None:
    """A server that closes, or says something else, where it should welcome."""
    monkeypatch.setattr(greeting, "CONNECT_SECONDS", 0.5)
    session = Session(scripted(first))
    with pytest.raises(kind) as caught:
        await session.connect()
    assert caught.value.code == code
    assert session.state == state


@pytest.mark.parametrize(
    ("later", "code", "state"),
    [
        pytest.param("x", "frame_not_json", "closed_failed", id="no_json"),
        pytest.param({"type": "ack", "n": 99}, "frame_out_of_order", "closed_failed", id="ack"),
        pytest.param(
            {"type": "reply", "n": 2, "to": 1, "value": 1},
            "frame_out_of_order",
            "closed_failed",
            id="gap",
        ),
        pytest.param(WELCOME, "frame_out_of_order", "closed_failed", id="welcome_again"),
        pytest.param(4410, "closed", "closed_by_server", id="signed_out"),
        pytest.param(1000, "closed", "closed_by_server", id="ended"),
    ],
)
async def test_bad_conversation(scripted: Any, later: Any, code: str, state: str) -> None:
    """A server that breaks the rules, or says no, in mid-session: who waits is told, at once."""
    async with Session(scripted(WELCOME, later)) as session:
        with pytest.raises(BusError) as caught:
            await session.waitforkey("door")
        assert caught.value.code == code
        assert session.state == state
        with pytest.raises(BusError):
            await session.notify("door", 1)


async def test_answer_that_never_comes(monkeypatch: pytest.MonkeyPatch, scripted: Any) -> None:
    """A request that needs no event is given up after a while."""
    monkeypatch.setattr("clefstorm.remote.remote_bus.ANSWER_SECONDS", 0.05)
    async with Session(scripted(WELCOME)) as session:
        with pytest.raises(DeadlineExceeded, match="answer_timeout"):
            await session.notify("door", 1)


# -- a proper server -------------------------------------------------------------------------------


async def test_wrong_credentials(connect: Connect, bus_sessions: Any) -> None:
    """A BusError that says what to do, and nothing of the credentials."""
    with pytest.raises(BusError, match="credentials_refused") as caught:
        async with connect(password="hunter2"):
            pass
    assert "hunter2" not in str(caught.value)
    assert len(bus_sessions) == 0


@pytest.mark.parametrize("verb", ["notify", "notifyall", "publish", "waitforkey", "subscribe"])
@pytest.mark.parametrize(
    ("key", "kind", "code"),
    [
        pytest.param("window", BusError, "key_forbidden", id="not_allowed"),
        pytest.param(7, BusError, "key_forbidden", id="int_not_allowed"),
        pytest.param("clefstorm", ConfigurationError, "key_forbidden", id="ours"),
        pytest.param(("clefstorm", "x"), ConfigurationError, "key_kind", id="our_tuple"),
        pytest.param(b"door", ConfigurationError, "key_kind", id="bytes"),
        pytest.param(True, ConfigurationError, "key_kind", id="bool"),
        pytest.param(1.0, ConfigurationError, "key_kind", id="float"),
        pytest.param(1 << 53, ConfigurationError, "key_kind", id="large_int"),
        pytest.param("x" * 257, ConfigurationError, "key_kind", id="long"),
    ],
)
async def test_forbidden_key(
    connect: Connect, verb: str, key: Any, kind: type[ClefStormError], code: str
) -> None:
    """A key that may not be touched, or that can't be one, is an error, and the session lives."""
    async with connect() as (session, _):
        arguments = {"waitforkey": (key,), "subscribe": ([key],)}.get(verb, (key, "x"))
        with pytest.raises(kind) as caught:
            await getattr(session, verb)(*arguments)
        assert caught.value.code == code
        assert await session.ping_server() >= 0


@pytest.mark.parametrize("limits", [BusLimits(largest_frame=1000)])
@pytest.mark.parametrize(
    ("message", "code"),
    [
        pytest.param("x" * 1000, "frame_too_large", id="large"),
        pytest.param("é" * 500, "frame_too_large", id="large_in_bytes"),
        pytest.param(object(), "frame_not_json", id="object"),
        pytest.param(float("nan"), "frame_not_json", id="nan"),
        pytest.param("\ud800", "frame_not_json", id="half_a_pair"),
        pytest.param({1: 2, "1": 3}, "frame_not_json", id="name_twice"),
        pytest.param(10**70, "frame_not_json", id="large_number"),
    ],
)
async def test_message_that_cannot_be_sent(connect: Connect, message: Any, code: str) -> None:
    """It is refused before it is sent, and the session lives."""
    async with connect() as (session, _):
        with pytest.raises(ConfigurationError) as caught:
            await session.notify("door", message)
        assert caught.value.code == code
        assert await session.ping_server() >= 0


async def test_keys_that_are_none(connect: Connect) -> None:
    """No key at all, or too many of them, can't be waited for."""
    async with connect() as (session, _):
        with pytest.raises(ConfigurationError, match="keys_empty"):
            await session.waitforkeys([])
        with pytest.raises(ConfigurationError, match="keys_too_many"):
            await session.waitforkeys([f"door-{n}" for n in range(101)])


# -- what a Session is made of ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/auth/bus",
        "example.com/auth/bus",
        "ws:///auth/bus",
        "ws://user:password@example.com/",
        "ws://example.com:99999/",
        "ws://[::1/",
        "",
        None,
    ],
)
def test_url(url: Any) -> None:
    """A URL of another kind is refused, and not quoted."""
    assert Session("ws://diffusion.server:8080").state is SessionState.INITIALISING
    with pytest.raises(ConfigurationError, match="url_invalid") as caught:
        Session(url)
    assert "password" not in str(caught.value)


def test_credentials_in_clear() -> None:
    """Credentials go over TLS, or stay on the machine."""
    for url in ("wss://example.com/", "ws://localhost/", "ws://127.0.0.1:1/", "ws://[::1]/"):
        Session(url, "me", Credentials("x"))
    Session("ws://example.com/", "me", Credentials())
    with pytest.raises(ConfigurationError, match="credentials_in_clear"):
        Session("ws://example.com/", "me", Credentials("x"))


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"credentials": "password"}, "credentials_invalid"),
        ({"credentials": Credentials("x" * 20_000)}, "credentials_too_long"),
        ({"principal": None}, "principal_invalid"),
        ({"principal": "x" * 201}, "principal_invalid"),
        ({"properties": {"$Mine": "x"}}, "property_fixed"),
        ({"properties": {"a": 1}}, "properties_invalid"),
        ({"properties": {"": "x"}}, "properties_invalid"),
        ({"properties": {str(n): "" for n in range(51)}}, "properties_invalid"),
    ],
)
def test_options(options: Any, code: str) -> None:
    """What the server would refuse is refused at once."""
    with pytest.raises(ConfigurationError) as caught:
        Session("ws://localhost/", **options)
    assert caught.value.code == code


async def test_before_connect() -> None:
    """A session that was never connected says so."""
    session = Session("ws://localhost/")
    assert (session.session_id, session.data) == (None, {})
    with pytest.raises(BusError, match="connect the session first"):
        await session.notify("door", 1)
    await session.close()
