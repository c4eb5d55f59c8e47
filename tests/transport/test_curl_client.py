"""What the client on libcurl adds to the promises that test_connection.py holds for both."""

from __future__ import annotations

import asyncio
import gc
import logging
import select
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import trustme
from tornado.httpclient import AsyncHTTPClient, HTTPRequest
from tornado.ioloop import IOLoop
from transport.raw_server import RawServer, Serve, answer, read_request

from clefstorm.errors import AnswerTooLarge, ConnectFailed
from clefstorm.protocol.exchange import Request
from clefstorm.transport import NO_AUTH, AsyncConnection
from clefstorm.transport.http_client import _tls_context

pytestmark = pytest.mark.needs("pycurl")

PATIENCE = 20.0
KEPT = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def get(url: str, **more: Any) -> Request:
    return Request(**{"method": "GET", "url": url, **more})


def connect(server: RawServer, **options: Any) -> AsyncConnection:
    return AsyncConnection(server.url, NO_AUTH, **options)


class Keeper:
    """A server's behaviour: answers request after request, until the other side goes.

    ``requests`` has a list of them for each connection. ``last`` counts the connections that are
    closed in place of a second answer.
    """

    def __init__(self, *, last: int = 0) -> None:
        self.requests: list[list[str]] = []
        self._last = last

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        mine: list[str] = []
        self.requests.append(mine)
        while True:
            head, _body = await read_request(reader)
            mine.append(head.partition("\r\n")[0])
            if len(mine) == 2 and self._last:
                self._last -= 1
                return
            writer.write(KEPT)
            await writer.drain()

    def counts(self) -> list[int]:
        """How many requests each connection has brought."""
        return [len(requests) for requests in self.requests]


@pytest.fixture
def curl_calls() -> Any:
    from clefstorm.transport import curl_call

    return curl_call


@pytest.fixture
def curl_clients() -> Any:
    from clefstorm.transport import curl_client

    return curl_client


@pytest.mark.parametrize("tls", [False, True])
async def test_one_connection_for_many_requests(
    serve: Serve, server_tls: Callable[..., ssl.SSLContext], ca_file: str, tls: bool
) -> None:
    """Requests that follow each other use one connection; those at the same time, as many."""
    keeper = Keeper()
    server = await serve(keeper, tls=server_tls("127.0.0.1") if tls else None, read=False)
    connection = connect(server, verify=ca_file)
    for method in ("POST", "GET", "POST"):
        assert (await connection.send(get(server.url, method=method))).body == b"ok"
    assert keeper.counts() == [3]
    for _ in range(2):
        await asyncio.gather(*(connection.send(get(server.url)) for _ in range(3)))
    assert len(keeper.requests) == 3
    connection.close()
    await server.empty()


async def test_credentials_do_not_meet(serve: Serve) -> None:
    """Two connections to one origin share no socket."""
    keeper = Keeper()
    server = await serve(keeper, read=False)
    connections = [AsyncConnection(server.url, (user, "p")) for user in ("anna", "bert")]
    for _ in range(2):
        for connection in connections:
            await connection.send(get(server.url))
    assert keeper.counts() == [2, 2]


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_closed_while_idle(serve: Serve, method: str) -> None:
    """A kept connection that the server has closed meanwhile is replaced, whatever the method."""

    async def once(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(KEPT)
        writer.close()
        await writer.wait_closed()

    server = await serve(once)
    connection = connect(server)
    await connection.send(get(server.url))
    await server.empty()
    assert (await connection.send(get(server.url, method=method))).body == b"ok"
    assert len(server.heads) == 2


@pytest.mark.parametrize(
    ("method", "body", "again"),
    [
        pytest.param("GET", None, True, id="get"),
        pytest.param("HEAD", None, True, id="head"),
        pytest.param("PUT", b"x", True, id="put"),
        pytest.param("DELETE", None, True, id="delete"),
        pytest.param("POST", b"code=1", False, id="post"),
        pytest.param("POST", b"", False, id="post_of_nothing"),
        pytest.param("PATCH", b"x", False, id="patch"),
        pytest.param("BREW", None, False, id="unknown"),
    ],
)
async def test_closed_instead_of_an_answer(
    serve: Serve, method: str, body: bytes | None, again: bool
) -> None:
    """RFC 9110, 9.2.2: what may have been done is done again only where that changes nothing."""
    keeper = Keeper(last=1)
    server = await serve(keeper, read=False)
    connection = connect(server)
    await connection.send(get(server.url))
    request = get(server.url, method=method, body=body)
    if again:
        assert (await connection.send(request)).status == 200
        assert keeper.counts() == [2, 1]
    else:
        with pytest.raises(ConnectFailed) as caught:
            await connection.send(request)
        assert caught.value.code == "answer_broken"
        assert sum(keeper.counts()) == 2
    assert (await connection.send(request)).status == 200


UNASKED = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother"


@pytest.mark.parametrize("method", ["GET", "PUT", "POST"])
@pytest.mark.parametrize(
    ("first", "said"),
    [
        pytest.param("GET", KEPT, id="another_answer"),
        pytest.param("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 43\r\n\r\n", id="to_head"),
        pytest.param("GET", b"HTTP/1.1 204 No Content\r\n\r\n", id="behind_no_content"),
        pytest.param(
            "GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 43\r\n\r\n", id="behind_304"
        ),
    ],
)
async def test_what_is_said_unasked_is_no_answer(
    serve: Serve, first: str, said: bytes, method: str
) -> None:
    """RFC 9112, 9.2: bytes that wait on a kept connection are not the next request's answer."""
    answered, unasked = asyncio.Event(), asyncio.Event()
    connections = 0

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        while True:
            head, _body = await read_request(reader)
            if "/first" not in head:
                writer.write(KEPT)
                continue
            writer.write(said)
            await answered.wait()
            writer.write(UNASKED)
            await writer.drain()
            unasked.set()

    server = await serve(behave, read=False)
    connection = connect(server)
    assert (await connection.send(get(server.url))).body == b"ok"
    await connection.send(get(server.url + "/first", method=first))
    assert connections == 1
    answered.set()
    await unasked.wait()
    assert (await connection.send(get(server.url, method=method))).body == b"ok"
    assert connections == 2


async def test_no_end_of_repeating(serve: Serve) -> None:
    """A server that never answers a second request is given up, by a GET too."""
    server = await serve(b"")
    with pytest.raises(ConnectFailed) as caught:
        await connect(server).send(get(server.url))
    assert caught.value.code == "answer_broken"
    assert len(server.heads) == 1


async def test_idle_connections_are_closed(
    serve: Serve, curl_clients: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some time after the last request nothing is kept; the next one connects again."""
    monkeypatch.setattr(curl_clients, "KEPT_SECONDS", 0.02)
    keeper = Keeper()
    server = await serve(keeper, read=False)
    connection = connect(server)
    for _ in range(2):
        await connection.send(get(server.url))
        await server.empty()
    assert keeper.counts() == [1, 1]


async def test_a_busy_pool_is_not_idle(
    serve: Serve, curl_clients: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request that takes longer than idle connections are kept is not cut off."""
    monkeypatch.setattr(curl_clients, "KEPT_SECONDS", 0.02)
    release = asyncio.Event()

    async def behave(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if "/slow" in server.heads[-1]:
            await release.wait()
        writer.write(answer(b"ok"))

    server = await serve(behave)
    connection = connect(server)
    await connection.send(get(server.url))
    slow = asyncio.ensure_future(connection.send(get(server.url + "/slow")))
    while len(server.heads) < 2:
        await asyncio.sleep(0.005)
    await connection.send(get(server.url))
    await asyncio.sleep(0.06)
    release.set()
    assert (await slow).body == b"ok"


def serve_in_thread(stopped: threading.Event, sock: socket.socket, keeper: Keeper) -> Any:
    """A keeping server beside the loops of the test; the thread ends with ``stopped``."""

    async def run() -> None:
        async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await keeper(reader, writer)
            except (ConnectionError, asyncio.IncompleteReadError):
                closed.append(writer)
            finally:
                writer.close()

        async with await asyncio.start_server(behave, sock=sock):
            while not stopped.is_set():
                await asyncio.sleep(0.005)

    closed: list[asyncio.StreamWriter] = []
    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    return thread, closed


@pytest.fixture
def beside() -> Iterator[tuple[str, Keeper, list[Any]]]:
    """A server in a thread: its URL, its keeper, and the connections that the other side closed."""
    keeper, stopped = Keeper(), threading.Event()
    sock = socket.create_server(("127.0.0.1", 0))
    thread, closed = serve_in_thread(stopped, sock, keeper)
    yield f"http://127.0.0.1:{sock.getsockname()[1]}", keeper, closed
    stopped.set()
    thread.join()


def test_loops_in_turn(
    beside: tuple[str, Keeper, list[Any]], capfd: pytest.CaptureFixture[str]
) -> None:
    """Each loop has sockets of its own; those of a loop that ended are closed, without a word."""
    url, keeper, closed = beside
    connection = AsyncConnection(url, NO_AUTH)

    async def twice() -> None:
        await connection.send(get(url))
        await connection.send(get(url))

    async def until_closed(number: int) -> None:
        async with asyncio.timeout(PATIENCE):
            while len(closed) < number:
                await asyncio.sleep(0.005)

    asyncio.run(twice())
    asyncio.run(twice())
    assert keeper.counts() == [2, 2]
    asyncio.run(until_closed(1))
    connection.close()
    asyncio.run(until_closed(2))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("loop_closed", [False, True])
def test_dropped_without_close(
    beside: tuple[str, Keeper, list[Any]],
    capfd: pytest.CaptureFixture[str],
    curl_clients: Any,
    monkeypatch: pytest.MonkeyPatch,
    loop_closed: bool,
) -> None:
    """A connection that is forgotten lets go of its sockets, without a word."""
    monkeypatch.setattr(curl_clients, "KEPT_SECONDS", 0.05)
    url, _keeper, closed = beside
    loop = asyncio.new_event_loop()
    loop.run_until_complete(AsyncConnection(url, NO_AUTH).send(get(url)))
    if loop_closed:
        loop.close()
        asyncio.run(asyncio.sleep(0))
    else:
        loop.run_until_complete(asyncio.sleep(0.1))
        loop.close()
    del loop
    for _ in range(3):
        gc.collect()
    if not loop_closed:
        assert len(closed) == 1
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("close", [True, False])
def test_loop_closed_in_mid_call(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, close: bool
) -> None:
    """A call whose loop was closed under it ends without a word, and so does its socket."""
    with (
        socket.create_server(("127.0.0.1", 0)) as sock,
        abandoned_call(sock, close=close) as peer,
    ):
        asyncio.run(forget_closed_loops())
        gc.collect()
        peer.settimeout(PATIENCE)
        while peer.recv(4096):
            pass
    assert capfd.readouterr() == ("", "")
    assert not caplog.records


async def forget_closed_loops() -> None:
    """Tornado does when it meets a new one."""
    IOLoop.current()


def abandoned_call(sock: socket.socket, *, close: bool) -> socket.socket:
    """The server's end of a call that nobody can end any more."""
    url = f"http://127.0.0.1:{sock.getsockname()[1]}"
    connection = AsyncConnection(url, NO_AUTH)
    loop = asyncio.new_event_loop()
    call: Any = loop.create_task(connection.send(get(url)))
    peer, _address = loop.run_until_complete(loop.run_in_executor(None, sock.accept))
    while not select.select([peer], [], [], 0)[0]:
        loop.run_until_complete(asyncio.sleep(0.005))
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()
    if close:
        connection.close()
    call._log_destroy_pending = False
    return peer


async def test_a_name_is_looked_up_once_a_while(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The addresses that were found are connected to; after a failure they are looked for anew."""
    looks: list[str] = []

    async def look_up(host: str, *_args: Any, **_more: Any) -> list[Any]:
        looks.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0))]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", look_up)
    replies = [answer(b"ok"), answer(b"ok"), b"", answer(b"ok")]

    async def behave(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(replies.pop(0))

    server = await serve(behave)
    url = f"http://id.example:{server.port}"
    connection = AsyncConnection(url, NO_AUTH)
    for _ in range(2):
        await connection.send(get(url))
    assert looks == ["id.example"]
    with pytest.raises(ConnectFailed):
        await connection.send(get(url))
    assert (await connection.send(get(url))).body == b"ok"
    assert looks == ["id.example"] * 2


async def test_no_way_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """An address that can't be connected to is told from one where nobody listens."""

    async def look_up(*_args: Any, **_more: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("255.255.255.255", 0))]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", look_up)
    with pytest.raises(ConnectFailed) as caught:
        await AsyncConnection("http://id.example", NO_AUTH).send(get("http://id.example"))
    assert caught.value.code == "connect_failed"


class Told:
    """In place of a libcurl handle: writes down what it is told."""

    def __init__(self) -> None:
        self.options: dict[int, Any] = {}

    def setopt(self, option: int, value: Any) -> None:
        self.options[option] = value

    def unsetopt(self, option: int) -> None:
        self.options[option] = None


def told(curl_calls: Any, url: str, **request: Any) -> tuple[Any, dict[int, Any]]:
    """A call, and what libcurl is told of it."""
    call, curl = (
        curl_calls.CurlCall(
            HTTPRequest(url, **request),
            urlsplit(url),
            trust=curl_calls.Trust("file", "folder"),
            addresses=["192.0.2.1", "2001:db8::1"],
        ),
        Told(),
    )
    call.set_up(curl)
    return call, curl.options


@pytest.mark.parametrize(
    ("option", "value"),
    [
        pytest.param("SSLVERSION", "SSLVERSION_TLSv1_2", id="tls_1_2_or_later"),
        pytest.param("HTTP_VERSION", "CURL_HTTP_VERSION_1_1", id="http_1_1"),
        pytest.param("PROXY", "", id="no_proxy"),
        pytest.param("NOPROXY", "*", id="no_proxy_for_anybody"),
        pytest.param("NOSIGNAL", 1, id="no_signals"),
        pytest.param("VERBOSE", 0, id="silent"),
        pytest.param("CAINFO", "file", id="ca_file"),
        pytest.param("CAPATH", "folder", id="ca_folder"),
        pytest.param("RESOLVE", ["id.example:443:192.0.2.1,[2001:db8::1]"], id="addresses"),
        pytest.param("REQUEST_TARGET", "/a/../b?c", id="target"),
    ],
)
def test_what_libcurl_is_told(curl_calls: Any, option: str, value: Any) -> None:
    """Nothing is left to what libcurl was built with, or finds around it."""
    pycurl = curl_calls.pycurl
    _call, options = told(curl_calls, "https://id.example/a/../b?c")
    name = isinstance(value, str) and hasattr(pycurl, value)
    assert options[getattr(pycurl, option)] == (getattr(pycurl, value) if name else value)


def test_a_post_uses_fresh_connections(curl_calls: Any) -> None:
    """The server might be closing one that was idle for some seconds."""
    url, option = "https://id.example", curl_calls.pycurl.MAXAGE_CONN
    assert told(curl_calls, url, method="POST", body=b"")[1][option] == curl_calls.FRESH_SECONDS
    assert option not in told(curl_calls, url)[1]


def test_trailers_are_no_head(curl_calls: Any) -> None:
    """What comes behind the content is not taken for the answer's head."""
    call, options = told(curl_calls, "https://id.example")
    hear = options[curl_calls.pycurl.HEADERFUNCTION]
    for line in (b"HTTP/1.1 200 OK\r\n", b"X-A: 1\r\n", b"\r\n", b"X-B: 2\r\n", b"\r\n"):
        assert hear(line) is None
    assert dict(call.headers) == {"X-A": "1"}


def test_what_the_system_trusts(
    curl_clients: Any, monkeypatch: pytest.MonkeyPatch, ca_file: str, tmp_path: Path
) -> None:
    """libcurl is told where this Python's OpenSSL looks, because its own may look elsewhere."""
    monkeypatch.setenv("SSL_CERT_FILE", ca_file)
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    client = curl_clients.CurlClient(verify=True, max_clients=1)
    assert client.trust == (ca_file, str(tmp_path))


@pytest.fixture
def default_trust(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Sets what the system trusts, and gives back what it did."""
    _tls_context.cache_clear()
    yield lambda file, folder: (
        monkeypatch.setenv("SSL_CERT_FILE", file),
        monkeypatch.setenv("SSL_CERT_DIR", folder),
    )[1]
    _tls_context.cache_clear()


@pytest.mark.parametrize(
    ("system", "verify", "trusted"),
    [
        pytest.param("ca", True, True, id="the_systems"),
        pytest.param("nothing", True, False, id="the_system_trusts_nobody"),
        pytest.param("ca", "other", False, id="a_file_alone"),
        pytest.param("nothing", "ca", True, id="a_file_more"),
    ],
)
async def test_whom_verify_trusts(
    serve: Serve,
    server_tls: Callable[..., ssl.SSLContext],
    ca_file: str,
    tmp_path: Path,
    default_trust: Callable[..., None],
    each_client: str,
    system: str,
    verify: bool | str,
    trusted: bool,
) -> None:
    """True is what the system's OpenSSL trusts, its variables included; a file stands alone."""
    trustme.CA().cert_pem.write_to_path(tmp_path / "other.pem")
    paths = {"ca": ca_file, "other": str(tmp_path / "other.pem"), "nothing": str(tmp_path / "no")}
    default_trust(paths[system], str(tmp_path / "none"))
    server = await serve(answer(b"ok"), tls=server_tls("127.0.0.1"))
    connection = connect(server, verify=paths[verify] if isinstance(verify, str) else verify)
    if trusted:
        assert (await connection.send(get(server.url))).body == b"ok"
        return
    with pytest.raises(ConnectFailed) as caught:
        await connection.send(get(server.url))
    assert caught.value.code == "tls_refused"


@pytest.mark.parametrize(("number", "fits"), [(10, True), (11, False)])
async def test_interim_answers(serve: Serve, each_client: str, number: int, fits: bool) -> None:
    """Some interim answers are read over; more of them are no answer."""
    server = await serve(b"HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n" * number + answer(b"ok"))
    if fits:
        response = await connect(server).send(get(server.url))
        assert (response.body, response.headers.get("x")) == (b"ok", None)
        return
    with pytest.raises(ConnectFailed) as caught:
        await connect(server).send(get(server.url))
    assert caught.value.code == "answer_broken"


async def test_endless_trailers(serve: Serve) -> None:
    """What follows the last chunk counts as head, and isn't taken for one."""
    trailers = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n%s\r\n"
    server = await serve(trailers % b"X-A: 1\r\n")
    response = await connect(server).send(get(server.url))
    assert (response.body, response.headers.get("x-a")) == (b"ok", None)
    server = await serve(trailers % (b"X-A: 1\r\n" * 10_000))
    with pytest.raises(AnswerTooLarge) as caught:
        await connect(server).send(get(server.url))
    assert caught.value.code == "headers_too_large"


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_a_large_body_is_not_held_back(serve: Serve, method: str) -> None:
    """No Expect goes out, on whose answer libcurl would wait for a second."""
    server = await serve(answer(b"ok"))
    request = get(server.url, method=method, body=b"x" * 2_000_000)
    assert (await connect(server).send(request)).body == b"ok"
    head = server.heads[0].lower().partition("\r\n\r\n")[0]
    assert "content-length: 2000000" in head
    assert "expect" not in head


async def test_nothing_is_logged(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    """Tornado's client logs URL, headers and bodies at the level DEBUG; ours tell it none."""
    caplog.set_level(logging.DEBUG)
    server = await serve(answer(b"s3cret", "X: s3cret"))
    response = await AsyncConnection(server.url, ("us", "s3cret")).send(
        Request(
            method="POST",
            url=server.url + "/s3cret?s3cret",
            headers={"X": "s3cret"},
            body=b"s3cret",
        )
    )
    assert response.body == b"s3cret"
    assert "s3cret" not in caplog.text


async def test_the_application_keeps_its_client(serve: Serve) -> None:
    """Only our connections use libcurl."""
    before = AsyncHTTPClient.configured_class()
    server = await serve(answer())
    await connect(server).send(get(server.url))
    assert AsyncHTTPClient.configured_class() is before


CHOICE = """
import sys
{without}
import clefstorm.transport
assert "tornado.curl_httpclient" not in sys.modules
connection = clefstorm.transport.AsyncConnection("https://id.example", clefstorm.transport.NO_AUTH)
print("tornado.curl_httpclient" in sys.modules, "tornado.simple_httpclient" in sys.modules)
print(type(connection._client).__name__)
"""


@pytest.mark.parametrize(
    ("without", "name"),
    [
        pytest.param("", "CurlClient", id="pycurl"),
        pytest.param("sys.modules['pycurl'] = None", "SimpleClient", id="no_pycurl"),
        pytest.param(
            "import pycurl; pycurl.version = 'PycURL/7.47.0 x'", "SimpleClient", id="old_pycurl"
        ),
    ],
)
def test_the_better_client_is_taken(without: str, name: str) -> None:
    """libcurl's where pycurl is there and knows what we ask of it; loaded when first needed."""
    program = CHOICE.format(without=without)
    ran = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True)
    assert ran.stderr == b""
    assert ran.stdout.split()[-1] == name.encode()
