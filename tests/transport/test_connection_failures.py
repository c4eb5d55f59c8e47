"""What becomes of an AsyncConnection's call when the other side, or the caller, misbehaves."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import gzip
import logging
import re
import socket
import ssl
import struct
import threading
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tornado.ioloop import IOLoop
from transport.raw_server import Behaviour, Serve, answer, forever

from clefstorm.errors import AnswerTooLarge, ConnectFailed, DeadlineExceeded, TransportError
from clefstorm.protocol.exchange import Request
from clefstorm.transport import NO_AUTH, AsyncConnection

pytestmark = pytest.mark.usefixtures("each_client")

SECRETS = ("s3cret-path", "s3cret-query", "s3cret-header", "s3cret-body", "s3cret-password")


def secretive(url: str, **more: Any) -> Request:
    """A request with something to hide in every part."""
    return Request(
        method="POST",
        url=f"{url}/s3cret-path?code=s3cret-query",
        headers={"X-Token": "s3cret-header"},
        body=b"client_secret=s3cret-body",
        **more,
    )


def bomb(mebibytes: int) -> bytes:
    """Zeros by the mebibyte, compressed a thousand times."""
    packer = zlib.compressobj(1, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    zeros = bytes(1024 * 1024)
    return b"".join(packer.compress(zeros) for _ in range(mebibytes)) + packer.flush()


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


async def until_gone(writer: asyncio.StreamWriter, data: bytes, pause: float = 0.0) -> None:
    """Write for as long as somebody reads."""
    while True:
        writer.write(data)
        await writer.drain()
        await asyncio.sleep(pause)


async def reset_in_body(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")
    await writer.drain()
    await asyncio.sleep(0.02)
    reset(writer)


async def reset_at_once(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    reset(writer)


def reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def endless_until_close(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    await until_gone(writer, bytes(4096))


async def endless_chunks(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    await until_gone(writer, chunk(bytes(100)))


async def endless_headers(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    await until_gone(writer, b"X-Filler: " + b"a" * 100 + b"\r\n")


async def endless_header(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nX-Filler: ")
    await until_gone(writer, b"a" * 1000)


async def endless_gzip(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Empty members: no byte of content, ever."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n")
    await until_gone(writer, gzip.compress(b"") * 100)


async def endless_interim(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await until_gone(writer, b"HTTP/1.1 103 Early Hints\r\n\r\n")


GZIP = "Content-Encoding: gzip"
TOO_LARGE = [
    pytest.param(answer(bytes(1001)), "answer_too_large", id="one_byte_more"),
    pytest.param(
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n" + bytes(2000),
        "answer_too_large",
        id="announced",
    ),
    pytest.param(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        + chunk(bytes(600)) * 2
        + chunk(b""),
        "answer_too_large",
        id="chunked",
    ),
    pytest.param(endless_until_close, "answer_too_large", id="endless_until_close"),
    pytest.param(endless_chunks, "answer_too_large", id="endless_chunks"),
    pytest.param(endless_gzip, "answer_too_large", id="endless_gzip_of_nothing"),
    pytest.param(endless_headers, "headers_too_large", id="endless_headers"),
    pytest.param(answer(b"", "X: " + "a" * 40_000), "headers_too_large", id="headers_in_one_piece"),
    pytest.param(endless_header, "headers_too_large", id="endless_header"),
    pytest.param(answer(gzip.compress(bytes(1001)), GZIP), "answer_too_large", id="gzip"),
]
BROKEN = [
    pytest.param(b"", "answer_broken", id="nothing"),
    pytest.param(b"SSH-2.0-OpenSSH\r\n\r\n", "answer_broken", id="not_http"),
    pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", "answer_broken", id="cut"),
    pytest.param(b"HTTP/1.1 200 OK\r\nContent-Le", "answer_broken", id="cut_in_headers"),
    pytest.param(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        "answer_broken",
        id="cut_in_chunk",
    ),
    pytest.param(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "answer_broken",
        id="chunk_size",
    ),
    pytest.param(
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "answer_broken",
        id="two_lengths",
    ),
    pytest.param(
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nab", "answer_broken", id="negative_length"
    ),
    pytest.param(
        b"HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n\r\nab",
        "answer_broken",
        id="a_list_of_lengths",
    ),
    pytest.param(
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "answer_broken",
        id="length_of_chunks",
    ),
    pytest.param(b"HTTP/1.1 200 OK\r\nno header\r\n\r\n", "answer_broken", id="not_a_header"),
    pytest.param(reset_at_once, "answer_broken", id="reset_at_once"),
    pytest.param(endless_interim, "answer_broken", id="endless_interim_answers"),
    pytest.param(answer(b"no gzip", GZIP), "answer_broken", id="not_gzip"),
    pytest.param(answer(gzip.compress(b"abc")[:-4], GZIP), "answer_broken", id="gzip_cut"),
    pytest.param(answer(gzip.compress(b"a") * 2, GZIP), "answer_broken", id="two_gzip_members"),
    pytest.param(
        answer(gzip.compress(b"abc"), "Content-Encoding: br"),
        "answer_broken",
        id="encoding_not_asked_for",
    ),
]


def assert_tells_nothing(error: BaseException) -> None:
    """The error names host and method; nothing of the request is in it, nor chained to it."""
    assert isinstance(error, TransportError)
    assert error.__cause__ is None
    assert error.__context__ is None
    assert set(error.evidence) == {"host", "method"}
    assert error.evidence["method"] == "POST"
    assert re.fullmatch(r"https?://127\.0\.0\.1:\d+", error.evidence["host"])
    told = f"{error} {error!r} {error.args} {vars(error)}"
    assert not [secret for secret in SECRETS if secret in told]


@pytest.mark.parametrize(("behave", "code"), TOO_LARGE + BROKEN)
async def test_unusable_answers(
    serve: Serve,
    behave: bytes | Behaviour,
    code: str,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """No usable answer is an error of its own code, at once; the other side sees us leave."""
    caplog.set_level(logging.INFO)
    good = await serve(answer(gzip.compress(bytes(1000)), GZIP))
    response = await AsyncConnection(good.url, NO_AUTH).send(secretive(good.url, max_bytes=1000))
    assert len(response.body) == 1000

    server = await serve(behave)
    connection = AsyncConnection(server.url, ("us", "s3cret-password"), timeout=20)
    kind = AnswerTooLarge if code.endswith("too_large") else ConnectFailed
    with pytest.raises(kind) as caught:
        await connection.send(secretive(server.url, max_bytes=1000))
    assert caught.value.code == code
    assert_tells_nothing(caught.value)
    await server.empty()
    assert not [secret for secret in SECRETS if secret in caplog.text]
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert capfd.readouterr() == ("", "")


async def test_reset_within_a_body(serve: Serve) -> None:
    """A connection that is reset within a body ends the call, though Tornado's client hangs."""
    server = await serve(reset_in_body)
    with pytest.raises(ConnectFailed) as caught:
        await AsyncConnection(server.url, NO_AUTH, timeout=20).send(secretive(server.url))
    assert caught.value.code == "answer_broken"
    assert_tells_nothing(caught.value)


async def test_compression_bomb(serve: Serve) -> None:
    """200 MiB packed into 900 kB are refused without ever holding more than two bounds' worth."""
    packed = bomb(200)
    assert len(packed) < 1024 * 1024
    server = await serve(answer(packed, GZIP))
    request = secretive(server.url)
    tracemalloc.start()
    held = tracemalloc.get_traced_memory()[0]
    try:
        with pytest.raises(AnswerTooLarge) as caught:
            await AsyncConnection(server.url, NO_AUTH).send(request)
        peak = tracemalloc.get_traced_memory()[1] - held
    finally:
        tracemalloc.stop()
    assert caught.value.code == "answer_too_large"
    # Both ends are in this process: the server's buffers count too.
    assert peak < 8 * 1024 * 1024


async def dripping_headers(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nX: ")
    await until_gone(writer, b"a", 0.02)


async def dripping_body(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    await until_gone(writer, b"a", 0.02)


async def dripping_chunks(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    await until_gone(writer, chunk(b"a"), 0.02)


async def dripping_until_close(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    await until_gone(writer, b"a", 0.02)


SLOW = [
    pytest.param(forever, id="silent"),
    pytest.param(dripping_headers, id="dripping_headers"),
    pytest.param(dripping_body, id="dripping_body"),
    pytest.param(dripping_chunks, id="dripping_chunks"),
    pytest.param(dripping_until_close, id="dripping_until_close"),
]


@pytest.mark.parametrize("behave", SLOW)
async def test_slow_answers(
    serve: Serve, behave: Behaviour, caplog: pytest.LogCaptureFixture
) -> None:
    """One deadline counts from the call to the last byte, however busily the server drips."""
    server = await serve(behave)
    connection = AsyncConnection(server.url, NO_AUTH, timeout=0.15)
    with pytest.raises(DeadlineExceeded) as caught:
        await connection.send(secretive(server.url))
    assert caught.value.code == "deadline_exceeded"
    assert_tells_nothing(caught.value)
    await server.empty()
    assert not caplog.records


async def test_the_queue_counts(serve: Serve) -> None:
    """A request that waits for its turn waits within its deadline."""
    server = await serve(forever)
    connection = AsyncConnection(server.url, NO_AUTH, timeout=0.2, max_clients=1)
    sends = [asyncio.ensure_future(connection.send(secretive(server.url))) for _ in range(3)]
    for send in sends:
        with pytest.raises(DeadlineExceeded) as caught:
            await send
        assert_tells_nothing(caught.value)
    assert len(server.heads) <= 2


async def test_unanswered_tls_handshake(serve: Serve) -> None:
    """The first of a (connect, read) pair bounds the TLS handshake too."""
    server = await serve(forever, read=False)
    url = server.url.replace("http:", "https:")
    with pytest.raises(DeadlineExceeded) as caught:
        await AsyncConnection(url, NO_AUTH, timeout=(0.1, 20)).send(secretive(url))
    assert caught.value.code == "connect_deadline"
    assert_tells_nothing(caught.value)
    await server.empty()


@pytest.fixture
def stuck_look_up(io_loop: IOLoop, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A resolver that does not answer before the test is over; the loop then waits for it."""
    release = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_more: release.wait() and [])
    yield
    release.set()


@pytest.mark.usefixtures("stuck_look_up")
@pytest.mark.parametrize(
    ("timeout", "code"),
    [
        pytest.param(0.1, "deadline_exceeded", id="whole"),
        pytest.param((0.1, 20), "connect_deadline", id="pair"),
    ],
)
async def test_stuck_look_up(timeout: Any, code: str) -> None:
    """The look-up of the name is off the loop, and within the deadline."""
    url = "http://127.0.0.1:1"
    with pytest.raises(DeadlineExceeded) as caught:
        await AsyncConnection(url, NO_AUTH, timeout=timeout).send(secretive(url))
    assert caught.value.code == code
    assert_tells_nothing(caught.value)


async def test_nobody_listens() -> None:
    """A refused connection says so."""
    with socket.create_server(("127.0.0.1", 0)) as unused:
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
    with pytest.raises(ConnectFailed) as caught:
        await AsyncConnection(url, NO_AUTH).send(secretive(url))
    assert caught.value.code == "connect_refused"
    assert_tells_nothing(caught.value)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        pytest.param(socket.gaierror(-2, "s3cret-query"), "name_unresolved", id="no_such_name"),
        pytest.param(UnicodeError("s3cret-query"), "name_unresolved", id="label_too_long"),
        pytest.param(OSError(101, "Network is unreachable"), "connect_failed", id="no_network"),
        pytest.param(OSError("s3cret-query"), "connect_failed", id="no_number"),
        pytest.param(ValueError("s3cret-query"), "client_failed", id="unforeseen"),
    ],
)
async def test_connecting_fails(
    error: Exception, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What goes wrong on the way is told by a code, never in another's words."""

    async def look_up(*_args: Any, **_more: Any) -> list[Any]:
        raise error

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", look_up)
    with pytest.raises(TransportError) as caught:
        await AsyncConnection("http://127.0.0.1:1", NO_AUTH).send(secretive("http://127.0.0.1:1"))
    assert caught.value.code == code
    assert_tells_nothing(caught.value)


async def test_refused_certificate_tells_nothing(
    serve: Serve, server_tls: Callable[..., ssl.SSLContext]
) -> None:
    """Nothing of the request reaches a server whose certificate is refused, nor our error."""
    server = await serve(answer(), tls=server_tls("127.0.0.1"))
    with pytest.raises(ConnectFailed) as caught:
        await AsyncConnection(server.url, NO_AUTH).send(secretive(server.url))
    assert caught.value.code == "tls_refused"
    assert_tells_nothing(caught.value)
    assert server.heads == []


def left_behind(before: set[asyncio.Task[Any]]) -> list[asyncio.Task[Any]]:
    """The tasks that are new and not the server's."""
    theirs = re.compile("serve|_accept_connection")
    return [task for task in asyncio.all_tasks() - before if not theirs.search(repr(task))]


async def cancelled(send: asyncio.Task[Any]) -> None:
    send.cancel()
    with pytest.raises(asyncio.CancelledError):
        await send


@pytest.mark.parametrize(
    ("behave", "tls"),
    [
        *(pytest.param(*slow.values, False, id=slow.id) for slow in SLOW),
        pytest.param(forever, True, id="tls_handshake"),
    ],
)
async def test_cancelled_send_leaves_nothing(
    serve: Serve, behave: Behaviour, tls: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """A cancelled call leaves no task, no socket, no taken place and no line in the log."""
    server = await serve(behave, read=not tls)
    url = server.url.replace("http:", "https:") if tls else server.url
    connection = AsyncConnection(url, NO_AUTH, max_clients=1)
    for _ in range(2):
        before = asyncio.all_tasks()
        send = asyncio.ensure_future(connection.send(secretive(url)))
        waiting = asyncio.ensure_future(connection.send(secretive(url)))
        while not server.open:
            await asyncio.sleep(0.005)
        await asyncio.sleep(0.05)
        await cancelled(waiting)
        await cancelled(send)
        assert connection.sending == 0
        assert not left_behind(before)
        await server.empty()
    assert not caplog.records


@pytest.mark.usefixtures("stuck_look_up")
async def test_closed_while_a_name_is_looked_up() -> None:
    """close() does not wait for the look-up; nor do those that wait for a place behind it."""
    connection = AsyncConnection("http://127.0.0.1:1", NO_AUTH, timeout=20, max_clients=1)
    sends = [
        asyncio.ensure_future(connection.send(secretive("http://127.0.0.1:1"))) for _ in range(2)
    ]
    await asyncio.sleep(0.05)
    connection.close()
    for send in sends:
        with pytest.raises(ConnectFailed) as caught:
            await asyncio.wait_for(send, 10)
        assert caught.value.code == "connection_closed"


@pytest.mark.usefixtures("stuck_look_up")
async def test_cancelled_look_up_leaves_no_task() -> None:
    """Of a cancelled look-up only its thread runs on, which nobody can stop."""
    before = asyncio.all_tasks()
    send = asyncio.ensure_future(
        AsyncConnection("http://127.0.0.1:1", NO_AUTH).send(secretive("http://127.0.0.1:1"))
    )
    await asyncio.sleep(0.05)
    await cancelled(send)
    assert not left_behind(before)


@pytest.fixture
def uncollected() -> Iterator[None]:
    """No garbage collection, which would close a forgotten socket."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("uncollected")
@pytest.mark.parametrize("tls", [False, True])
async def test_cancelled_at_any_turn_of_the_loop(
    serve: Serve, server_tls: Callable[..., ssl.SSLContext], tls: bool
) -> None:
    """It does not matter how far a call has come when it is cancelled: its socket is closed."""
    server = await serve(answer(b"ok"), tls=server_tls("127.0.0.1") if tls else None)
    connection = AsyncConnection(server.url, NO_AUTH, verify=False)
    before = asyncio.all_tasks()

    async def send() -> list[asyncio.Task[Any]]:
        with contextlib.suppress(asyncio.CancelledError):
            await connection.send(secretive(server.url))
        return left_behind(before)

    for turns in range(30):
        sending = asyncio.ensure_future(send())
        for _ in range(turns):
            await asyncio.sleep(0)
        sending.cancel()
        await asyncio.wait({sending})
        assert sending.cancelled() or sending.result() == [sending]
        await server.empty()
    assert (await connection.send(secretive(server.url))).body == b"ok"
