"""What an AsyncConnection sends, what it answers, and what it refuses to send."""

from __future__ import annotations

import asyncio
import base64
import gzip
import re
import socket
from collections.abc import Callable
from typing import Any

import pytest
from transport.raw_server import Serve, answer, forever

from clefstorm.errors import ConfigurationError, ConnectFailed
from clefstorm.protocol.exchange import Request
from clefstorm.transport import NO_AUTH, AsyncConnection
from clefstorm.transport.http_client import tls_context
from clefstorm.transport.wire import read_timeout

pytestmark = pytest.mark.usefixtures("each_client")


def get(url: str, **more: Any) -> Request:
    return Request(method="GET", url=url, **more)


@pytest.mark.parametrize(
    ("raw", "status", "body"),
    [
        pytest.param(answer(b"{}"), 200, b"{}", id="ok"),
        pytest.param(b"HTTP/1.1 204 No Content\r\n\r\n", 204, b"", id="no_content"),
        pytest.param(
            answer(b"", "Location: http://127.0.0.1/", status="302 Found"), 302, b"", id="redirect"
        ),
        pytest.param(b"HTTP/1.1 304 Not Modified\r\n\r\n", 304, b"", id="not_modified"),
        pytest.param(answer(b"no", status="400 Bad Request"), 400, b"no", id="refusal"),
        pytest.param(answer(b"oh", status="500 Oh"), 500, b"oh", id="server_error"),
        pytest.param(answer(b"?", status="599 Odd"), 599, b"?", id="tornados_own_599"),
        pytest.param(b"HTTP/1.0 200 OK\r\n\r\nold", 200, b"old", id="until_close"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
            200,
            b"abc",
            id="chunked",
        ),
        pytest.param(
            b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + answer(b"late"),
            200,
            b"late",
            id="informational_first",
        ),
    ],
)
async def test_any_status_is_an_answer(serve: Serve, raw: bytes, status: int, body: bytes) -> None:
    """An answer of whatever status is returned; a redirect is not followed."""
    server = await serve(raw)
    response = await AsyncConnection(server.url, NO_AUTH).send(get(server.url + "/"))
    assert (response.status, response.body) == (status, body)
    assert len(server.heads) == 1


async def test_what_goes_over_the_wire(serve: Serve, each_client: str) -> None:
    """Method, target with query, headers and body arrive; the client names itself."""
    server = await serve(answer(b"x", "Content-Type: Application/JSON; charset=utf-8", "X-A: 1"))
    response = await AsyncConnection(server.url, NO_AUTH).send(
        Request(
            method="POST",
            url=server.url + "/token?a=b%20c",
            headers={"Content-Type": "application/x-www-form-urlencoded", "Accept": "a/b"},
            body=b"code=1",
        )
    )
    assert response.media_type == "application/json"
    assert response.headers["x-a"] == "1"
    head, _, body = server.heads[0].partition("\r\n\r\n")
    lines = head.split("\r\n")
    assert lines[0] == "POST /token?a=b%20c HTTP/1.1"
    assert body == "code=1"
    sent = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
    # Only one of the clients keeps its connections.
    assert sent.pop("connection", "") == ("close" if each_client == "simple" else "")
    assert sent == {
        "host": f"127.0.0.1:{server.port}",
        "user-agent": "clefstorm",
        "accept-encoding": "gzip",
        "accept": "a/b",
        "content-type": "application/x-www-form-urlencoded",
        "content-length": "6",
    }


async def test_empty_path_and_missing_body(serve: Serve) -> None:
    """A URL without a path asks for /, and a POST without a body has the length 0."""
    server = await serve(answer())
    await AsyncConnection(server.url, NO_AUTH).send(Request(method="POST", url=server.url))
    assert server.heads[0].startswith("POST / HTTP/1.1\r\n")
    assert "content-length: 0\r\n" in server.heads[0].lower()


async def test_any_method_may_have_a_body(serve: Serve) -> None:
    """What HTTP allows is sent: a method of another's making, a body with a DELETE."""
    server = await serve(answer())
    connection = AsyncConnection(server.url, NO_AUTH)
    await connection.send(Request(method="DELETE", url=server.url, body=b"gone"))
    await connection.send(Request(method="BREW", url=server.url))
    assert server.heads[0].endswith("\r\n\r\ngone")
    assert server.heads[1].startswith("BREW / ")
    assert not re.search(r"\n(accept|content-type|expect):", server.heads[0].lower())


async def test_what_is_odd_is_sent_as_it_is(serve: Serve) -> None:
    """A GET with a body, a path with dots, a header without a value: nobody mends them."""
    server = await serve(answer())
    url = server.url + "/a/../b;c?d=/./e"
    await AsyncConnection(server.url, NO_AUTH).send(get(url, headers={"X-Empty": ""}, body=b"odd"))
    assert server.heads[0].startswith("GET /a/../b;c?d=/./e HTTP/1.1\r\n")
    assert server.heads[0].endswith("\r\n\r\nodd")
    assert re.search(r"x-empty: ?\r\n", server.heads[0].lower())


async def test_repeated_headers_are_joined(serve: Serve) -> None:
    """A field that stands on several lines is one value with commas (RFC 9110, 5.3)."""
    server = await serve(answer(b"", "Cache-Control: no-cache", "cache-control: max-age=1"))
    response = await AsyncConnection(server.url, NO_AUTH).send(get(server.url))
    assert response.headers["cache-control"] == "no-cache,max-age=1"


async def test_cookies_are_not_kept(serve: Serve) -> None:
    """What one answer sets, the next request doesn't send."""
    server = await serve(answer(b"", "Set-Cookie: a=b"))
    connection = AsyncConnection(server.url, NO_AUTH)
    assert (await connection.send(get(server.url))).headers["set-cookie"] == "a=b"
    await connection.send(get(server.url))
    assert len(server.heads) == 2
    assert "cookie" not in server.heads[1].lower()


async def test_proxy_variables_are_not_honoured(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The environment can't send our secrets through a stranger."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1/")
    server = await serve(answer(b"direct"))
    assert (await AsyncConnection(server.url, NO_AUTH).send(get(server.url))).body == b"direct"


async def test_gzip_is_read(serve: Serve) -> None:
    """A compressed answer is inflated, and the headers that spoke of it are gone."""
    server = await serve(answer(gzip.compress(b"hello" * 100), "Content-Encoding: gzip"))
    response = await AsyncConnection(server.url, NO_AUTH).send(get(server.url, max_bytes=500))
    assert response.body == b"hello" * 100
    assert not {"content-encoding", "content-length"} & set(response.headers)


async def test_head_of_gzip_has_no_body(serve: Serve) -> None:
    """An answer without a body is nothing to inflate."""
    server = await serve(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 9\r\n\r\n")
    response = await AsyncConnection(server.url, NO_AUTH).send(
        Request(method="HEAD", url=server.url)
    )
    assert response.body == b""


async def test_ipv6_literal(serve: Serve) -> None:
    """An IPv6 address stands in brackets in the URL, and is the same however it is written."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("missing part: IPv6 on loopback")
    server = await serve(answer(b"six"), host="::1")
    connection = AsyncConnection(f"http://[::1]:{server.port}", NO_AUTH)
    url = f"http://[0:0:0:0:0:0:0:1]:{server.port}/"
    assert (await connection.send(get(url))).body == b"six"
    assert f"Host: [::1]:{server.port}\r\n" in server.heads[0]


async def test_basic_auth(serve: Serve) -> None:
    """The connection's auth is basic auth; a request's own Authorization goes before it."""
    server = await serve(answer())
    connection = AsyncConnection(server.url, ("us", "p:ä"))
    await connection.send(get(server.url))
    await connection.send(get(server.url, headers={"authorization": "Bearer t"}))
    basic = base64.b64encode("us:p:ä".encode()).decode()
    assert f"Authorization: Basic {basic}\r\n" in server.heads[0]
    assert "Authorization: Bearer t\r\n" in server.heads[1]
    assert basic not in server.heads[1]


@pytest.mark.parametrize(
    ("hostname", "options", "code"),
    [
        pytest.param("id.example.com", {}, "url_invalid", id="no_scheme"),
        pytest.param("ftp://id.example.com", {}, "url_invalid", id="other_scheme"),
        pytest.param("https://", {}, "url_invalid", id="no_host"),
        pytest.param("https://a_b..c/", {}, None, id="odd_name_is_for_the_resolver"),
        pytest.param("https://id example", {}, "url_invalid", id="space"),
        pytest.param("https://bücher.example", {}, "url_invalid", id="not_ascii"),
        pytest.param("https://id.example\\@evil", {}, "url_invalid", id="backslash"),
        pytest.param("https://u:p@id.example", {}, "url_invalid", id="user_info"),
        pytest.param("https://[::1", {}, "url_invalid", id="open_bracket"),
        pytest.param("https://[fe80::1%25eth0]", {}, "url_invalid", id="zone"),
        pytest.param("https://id.example:0", {}, "url_invalid", id="port_zero"),
        pytest.param("https://id.example:99999", {}, "url_invalid", id="port_too_big"),
        pytest.param("https://id.example/path", {}, "url_invalid", id="path"),
        pytest.param("https://id.example/?q", {}, "url_invalid", id="query"),
        pytest.param("https://id.example:8443", {"port": 8443}, None, id="port_twice"),
        pytest.param("https://id.example", {"port": 8443}, None, id="port_once"),
        pytest.param("https://id.example:8443", {"port": 443}, "port_invalid", id="port_differs"),
        pytest.param("https://id.example", {"port": 70000}, "port_invalid", id="port_impossible"),
        pytest.param("https://id.example", {"auth": ("u", "p")}, None, id="auth_https"),
        pytest.param("http://localhost", {"auth": ("u", "p")}, None, id="auth_localhost"),
        pytest.param("http://127.0.0.7", {"auth": ("u", "p")}, None, id="auth_loopback"),
        pytest.param(
            "http://id.example", {"auth": ("u", "p")}, "auth_needs_https", id="auth_plain_http"
        ),
        pytest.param("https://id.example", {"auth": ("u:v", "p")}, "auth_invalid", id="auth_colon"),
        pytest.param("https://id.example", {"timeout": (1, 2.5)}, None, id="timeout_pair"),
        pytest.param("https://id.example", {"timeout": 0}, "timeout_invalid", id="timeout_zero"),
        pytest.param("https://id.example", {"timeout": ()}, "timeout_invalid", id="no_seconds"),
        pytest.param("https://id.example", {"timeout": (1, 2, 3)}, "timeout_invalid", id="triple"),
        pytest.param("https://id.example", {"timeout": (1, -1)}, "timeout_invalid", id="negative"),
        pytest.param(
            "https://id.example", {"timeout": float("inf")}, "timeout_invalid", id="for_ever"
        ),
        pytest.param("https://id.example", {"timeout": "5"}, "timeout_invalid", id="timeout_text"),
        pytest.param("https://id.example", {"verify": False}, None, id="verify_false"),
        pytest.param("https://id.example", {"verify": None}, "verify_invalid", id="verify_none"),
        pytest.param(
            "https://id.example", {"verify": "/nowhere.pem"}, "verify_unreadable", id="no_ca_file"
        ),
        pytest.param(
            "https://id.example", {"max_clients": 0}, "max_clients_invalid", id="no_clients"
        ),
    ],
)
def test_settings(hostname: str, options: dict[str, Any], code: str | None) -> None:
    """A wrong setting is refused when it is made, outside of any loop, by a code of its own."""
    if code is None:
        assert AsyncConnection(hostname, **options).origin.scheme in hostname
        return
    with pytest.raises(ConfigurationError) as caught:
        AsyncConnection(hostname, **options)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("timeout", "bounds"),
    [
        pytest.param(None, (5, 5), id="none"),
        pytest.param(2, (2, 2), id="one_number"),
        pytest.param((1, 2.5), (1, 3.5), id="pair"),
    ],
)
def test_timeouts(timeout: Any, bounds: tuple[float, float]) -> None:
    """Of a pair (connect, read) the first bounds the connecting, and both together the whole."""
    assert read_timeout(timeout) == bounds


def test_a_file_that_is_no_certificate(tmp_path: Any) -> None:
    """A CA file without certificates, or a folder, is refused when it is given."""
    empty = tmp_path / "ca.pem"
    empty.write_text("nothing")
    for path in (empty, tmp_path):
        with pytest.raises(ConfigurationError) as caught:
            AsyncConnection("https://id.example", verify=str(path))
        assert caught.value.code == "verify_unreadable"


def test_one_tls_context_for_each_verify() -> None:
    """Two connections with the same setting share the TLS context."""
    assert tls_context(True) is tls_context(True)
    assert tls_context(True) is not tls_context(False)
    assert tls_context(True).check_hostname


@pytest.mark.parametrize(
    ("url", "code"),
    [
        pytest.param("http://ID.example:80/x", None, id="same_otherwise_written"),
        pytest.param("https://id.example/x", "origin_mismatch", id="other_scheme"),
        pytest.param("http://id.example:81/x", "origin_mismatch", id="other_port"),
        pytest.param("http://id.example.evil/x", "origin_mismatch", id="other_host"),
        pytest.param("http://evil@id.example/x", "url_invalid", id="user_info"),
        pytest.param("http://@id.example/x", "url_invalid", id="empty_user_info"),
        pytest.param("http://id.example\t/x", "url_invalid", id="tab"),
        pytest.param("http://id.example/a b", "url_invalid", id="space"),
        pytest.param("http://id.example/\r\nX: y", "url_invalid", id="line_break"),
        pytest.param("file:///x", "url_invalid", id="file"),
        pytest.param("/x", "url_invalid", id="relative"),
        pytest.param("http:///x", "url_invalid", id="no_host"),
    ],
)
async def test_urls(url: str, code: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection speaks to its own origin alone, and quotes no URL that it refuses."""
    asked: list[str] = []

    async def look_up(host: str, *_args: Any, **_more: Any) -> list[Any]:
        asked.append(host)
        raise socket.gaierror(socket.EAI_NONAME, "none")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", look_up)
    with pytest.raises((ConfigurationError, ConnectFailed)) as caught:
        await AsyncConnection("http://id.example", NO_AUTH).send(get(url + "?s3cret"))
    if code is None:
        assert asked == ["id.example"]
        assert caught.value.code == "name_unresolved"
    else:
        assert asked == []
        assert caught.value.code == code
        assert "s3cret" not in str(caught.value) + repr(caught.value)


@pytest.mark.parametrize(
    ("more", "code"),
    [
        pytest.param({"headers": {"X": "a\r\nY: s3cret"}}, "header_invalid", id="line_break"),
        pytest.param({"headers": {"X": "\u0161s3cret"}}, "header_invalid", id="beyond_latin_1"),
        pytest.param({"headers": {"X:": "s3cret"}}, "header_invalid", id="header_name"),
        pytest.param({"headers": {"Content-Length": "5"}}, "header_reserved", id="length"),
        pytest.param(
            {"headers": {"transfer-encoding": "chunked"}}, "header_reserved", id="chunked"
        ),
        pytest.param({"headers": {"HOST": "s3cret.example"}}, "header_reserved", id="other_host"),
        pytest.param({"method": "GET /s3cret"}, "method_invalid", id="method"),
        pytest.param({"method": "HEAD", "body": b"s3cret"}, "body_unsendable", id="head_with_body"),
    ],
)
@pytest.mark.usefixtures("each_client")
async def test_requests_that_http_cannot_carry(
    serve: Serve, more: dict[str, Any], code: str
) -> None:
    """Nothing that we are given can end a line, or say where the request ends; nor is it quoted."""
    server = await serve(answer())
    good: dict[str, Any] = {"method": "GET", "url": server.url, "headers": {"X": "a\tb ä"}}
    connection = AsyncConnection(server.url, NO_AUTH)
    await connection.send(Request(**good))
    await connection.send(Request(**{**good, "method": "HEAD"}))
    with pytest.raises(ConfigurationError) as caught:
        await connection.send(Request(**{**good, **more}))
    assert caught.value.code == code
    assert "s3cret" not in str(caught.value)
    assert len(server.heads) == 2


def test_repr_shows_no_credential() -> None:
    """repr() names the origin alone."""
    connection = AsyncConnection("https://id.example:8443", ("user", "s3cret"))
    assert repr(connection) == "<AsyncConnection https://id.example:8443>"


async def test_max_clients_bounds_what_is_open(serve: Serve) -> None:
    """No more than max_clients requests are open at a time; the others wait their turn."""
    most = 0
    release = asyncio.Event()

    async def behave(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal most
        most = max(most, server.open)
        await release.wait()
        writer.write(answer(b"ok"))

    server = await serve(behave)
    connection = AsyncConnection(server.url, NO_AUTH, max_clients=2)
    sends = [asyncio.ensure_future(connection.send(get(server.url))) for _ in range(6)]
    while most < 2:
        await asyncio.sleep(0.005)
    assert connection.sending == 6
    release.set()
    assert [(await send).body for send in sends] == [b"ok"] * 6
    assert most == 2
    assert connection.sending == 0


async def test_closed_connection(serve: Serve) -> None:
    """close() fails what is under way, what waits, and what comes later, each at once."""
    server = await serve(forever)
    connection = AsyncConnection(server.url, NO_AUTH, max_clients=1)
    sends = [asyncio.ensure_future(connection.send(get(server.url))) for _ in range(2)]
    while not server.open:
        await asyncio.sleep(0.005)
    connection.close()
    for send in [*sends, connection.send(get(server.url))]:
        with pytest.raises(ConnectFailed) as caught:
            await send
        assert caught.value.code == "connection_closed"
    await server.empty()
    connection.close()


def test_one_connection_in_two_loops() -> None:
    """A connection is bound to no loop: it serves the next one after the first has ended."""

    async def exchange() -> int:
        async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer(b"ok"))
            writer.close()

        async with await asyncio.start_server(behave, sock=sock.dup()):
            return (await connection.send(get(url))).status

    with socket.create_server(("127.0.0.1", 0)) as sock:
        url = f"http://127.0.0.1:{sock.getsockname()[1]}"
        connection = AsyncConnection(url, NO_AUTH)
        assert [asyncio.run(exchange()), asyncio.run(exchange())] == [200, 200]


@pytest.mark.parametrize(
    ("verify", "names", "plain", "code"),
    [
        pytest.param("ca", ["127.0.0.1"], False, None, id="trusted"),
        pytest.param(False, ["id.example"], False, None, id="verify_false"),
        pytest.param(True, ["127.0.0.1"], False, "tls_refused", id="unknown_ca"),
        pytest.param("ca", ["id.example"], False, "tls_refused", id="other_name"),
        pytest.param("ca", ["127.0.0.1"], True, "tls_refused", id="no_tls_there"),
    ],
)
async def test_tls(
    serve: Serve,
    server_tls: Callable[..., Any],
    ca_file: str,
    verify: bool | str,
    names: list[str],
    plain: bool,
    code: str | None,
) -> None:
    """A certificate is believed when one whom we trust gave it to the name that we asked for."""
    tls = None if plain else server_tls(*names)
    server = await serve(answer(b"safe"), tls=tls, read=not plain)
    url = f"https://127.0.0.1:{server.port}"
    connection = AsyncConnection(url, NO_AUTH, verify=ca_file if verify == "ca" else verify)
    if code is None:
        assert (await connection.send(get(url))).body == b"safe"
        return
    with pytest.raises(ConnectFailed) as caught:
        await connection.send(get(url))
    assert caught.value.code == code
    assert server.heads == []
