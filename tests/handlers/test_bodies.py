"""Bodies that are too large, malformed, slow or cut off, on a real socket."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from mounted import NAVIGATION
from tornado.httpclient import AsyncHTTPClient
from tornado.web import Application

from clefstorm.handlers import handler
from clefstorm.handlers.handler import LARGEST_BODY, LARGEST_DISCARDED
from clefstorm.relying_party import RelyingParty

FORM = "application/x-www-form-urlencoded"
FORM_ROUTES = ["/auth/backchannel-logout", "/auth/logout", "/auth/callback"]

pytestmark = pytest.mark.usefixtures("http_server")


@asynccontextmanager
async def connection(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, Any]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(10):
            yield reader, writer
    finally:
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)


def head(path: str, *lines: str, method: str = "POST") -> bytes:
    return "\r\n".join(
        [f"{method} {path} HTTP/1.1", "Host: app", f"Content-Type: {FORM}", *lines, "", ""]
    ).encode()


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = {
        name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])
    }
    body = await reader.readexactly(int(headers["content-length"]))
    return int(lines[0].split()[1]), headers, body


@pytest.mark.parametrize("path", FORM_ROUTES)
async def test_large_body_is_refused_with_a_page(
    http_client: AsyncHTTPClient, base_url: str, path: str
) -> None:
    """A body of 10 MB: a clear 4xx that arrives, not a cut connection."""
    small = await http_client.fetch(
        base_url + path, method="POST", body="a=" + "x" * 1000, raise_error=False
    )
    assert small.code != 413
    answer = await http_client.fetch(
        base_url + path,
        method="POST",
        body=b"a=" + b"x" * 10_000_000,
        headers=NAVIGATION,
        raise_error=False,
    )
    assert answer.code == 413
    assert b"body_too_large" in answer.body


@pytest.mark.parametrize(
    ("size", "status"),
    [
        pytest.param(LARGEST_BODY, 400, id="largest"),
        pytest.param(LARGEST_BODY + 1, 413, id="one_more"),
    ],
)
@pytest.mark.parametrize("chunked", [False, True], ids=["content_length", "chunked"])
async def test_limit_is_exact(http_port: int, size: int, status: int, chunked: bool) -> None:
    """64 kB are read, one byte more is not, whether announced or not."""
    body = b"a=".ljust(size, b"x")
    async with connection(http_port) as (reader, writer):
        if chunked:
            writer.write(head("/auth/backchannel-logout", "Transfer-Encoding: chunked"))
            for start in range(0, size, 50_000):
                part = body[start : start + 50_000]
                writer.write(b"%x\r\n%b\r\n" % (len(part), part))
            writer.write(b"0\r\n\r\n")
        else:
            writer.write(head("/auth/backchannel-logout", f"Content-Length: {size}") + body)
        assert (await read_answer(reader))[0] == status


async def test_answer_comes_before_the_body_is_over(http_port: int) -> None:
    """The refusal does not wait for 10 MB; what arrives is thrown away; the connection goes on."""
    size = 10_000_000
    async with connection(http_port) as (reader, writer):
        writer.write(head("/auth/backchannel-logout", f"Content-Length: {size}") + b"x" * 1000)
        status, headers, _ = await read_answer(reader)
        assert status == 413
        assert headers.get("connection") != "close"
        writer.write(b"x" * (size - 1000))
        await writer.drain()
        writer.write(head("/auth/me", method="GET"))
        assert (await read_answer(reader))[0] == 200


async def test_body_beyond_patience_is_cut(http_port: int) -> None:
    """What is announced beyond 16 MB is refused and cut."""
    async with connection(http_port) as (reader, writer):
        writer.write(head("/auth/logout", f"Content-Length: {LARGEST_DISCARDED + 1}"))
        status, headers, _ = await read_answer(reader)
        assert (status, headers["connection"]) == (413, "close")
        assert await reader.read() == b""


async def test_endless_chunks_are_cut(http_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A chunked body that never ends is cut after what we are willing to throw away."""
    monkeypatch.setattr(handler, "LARGEST_DISCARDED", 4 * LARGEST_BODY)
    part = b"x" * LARGEST_BODY
    async with connection(http_port) as (reader, writer):
        writer.write(head("/auth/logout", "Transfer-Encoding: chunked"))
        for _ in range(8):
            writer.write(b"%x\r\n%b\r\n" % (len(part), part))
        assert (await read_answer(reader))[0] == 413
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""


async def test_expect_continue_is_answered_at_once(http_port: int) -> None:
    """Who asks first ("Expect: 100-continue") gets the 413 instead of an invitation."""
    async with connection(http_port) as (reader, writer):
        writer.write(head("/auth/logout", "Content-Length: 10000000", "Expect: 100-continue"))
        assert (await read_answer(reader))[0] == 413
        assert await reader.read() == b""
    async with connection(http_port) as (reader, writer):
        writer.write(head("/auth/logout", "Content-Length: 3", "Expect: 100-continue"))
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100")
        writer.write(b"a=1")
        assert (await read_answer(reader))[0] == 303


@pytest.mark.parametrize("path", ["/auth/login", "/auth/me", "/auth/events", "/auth/clefstorm.js"])
async def test_what_takes_no_form_reads_none(http_port: int, path: str) -> None:
    """Handlers without forms bound their bodies as well."""
    async with connection(http_port) as (reader, writer):
        writer.write(head(path, f"Content-Length: {LARGEST_BODY + 1}"))
        assert (await read_answer(reader))[0] == 413
    async with connection(http_port) as (reader, writer):
        writer.write(head(path, "Content-Length: 3") + b"a=1")
        status, headers, _ = await read_answer(reader)
        assert status == 405
        assert "POST" not in headers["allow"]
        assert "GET" in headers["allow"]


async def test_slow_body_is_cut(http_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A body that drips is cut after its time, and occupies nobody."""
    monkeypatch.setattr(handler, "BODY_SECONDS", 0.05)
    async with connection(http_port) as (reader, writer):
        writer.write(head("/auth/logout", "Content-Length: 100") + b"a")
        assert await reader.read() == b""


async def test_refused_body_changes_nothing(
    http_port: int,
    rp: RelyingParty,
    sign_in: Callable[..., Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A form that was too large is not acted upon, also not as an empty one."""
    alice = await sign_in()
    size = 2 * LARGEST_BODY
    lines = [f"Cookie: {alice.cookie}", "Sec-Fetch-Site: same-origin", f"Content-Length: {size}"]
    async with connection(http_port) as (reader, writer):
        writer.write(head("/auth/logout", *lines) + b"x" * size)
        assert (await read_answer(reader))[0] == 413
        writer.write(head("/auth/me", f"Cookie: {alice.cookie}", method="GET"))
        assert b'"signed_in": true' in (await read_answer(reader))[2]
    assert "after headers" not in caplog.text


async def test_cut_off_body_changes_nothing(
    http_port: int, rp: RelyingParty, sign_in: Callable[..., Any]
) -> None:
    """A form that breaks off is not acted upon."""
    alice = await sign_in()
    async with connection(http_port) as (_, writer):
        writer.write(
            head(
                "/auth/logout",
                f"Cookie: {alice.cookie}",
                "Sec-Fetch-Site: same-origin",
                "Content-Length: 10",
            )
            + b"next"
        )
        await writer.drain()
    assert await rp.read_session(alice.session.key) is not None


@pytest.mark.parametrize(
    ("content_type", "body", "status", "code"),
    [
        pytest.param(FORM, b"logout_token=", 400, b"logout_token_missing", id="empty"),
        pytest.param(FORM + "; charset=utf-8", b"a=1", 400, b"logout_token_missing", id="charset"),
        pytest.param("application/json", b'{"logout_token": "x"}', 415, b"content_type", id="json"),
        pytest.param("multipart/form-data; boundary=a", b"", 415, b"content_type", id="multipart"),
        pytest.param("text/plain", b"logout_token=x", 415, b"content_type", id="text"),
        pytest.param(FORM, b"logout_token=%ff%fe", 400, b"parameters_malformed", id="not_utf8"),
        pytest.param(FORM, b"a=\xff", 400, b"parameters_malformed", id="raw_bytes"),
        pytest.param(FORM, b"a=1&" * 101, 400, b"parameters_malformed", id="too_many"),
        pytest.param(
            FORM, b"logout_token=x&logout_token=x", 400, b"parameter_repeated", id="twice"
        ),
    ],
)
async def test_malformed_forms(
    http_client: AsyncHTTPClient,
    base_url: str,
    content_type: str,
    body: bytes,
    status: int,
    code: bytes,
) -> None:
    """What is no form, or no readable one, is refused as such."""
    answer = await http_client.fetch(
        base_url + "/auth/backchannel-logout",
        method="POST",
        headers={"Content-Type": content_type},
        body=body,
        raise_error=False,
    )
    assert answer.code == status
    assert code in answer.body


async def test_nothing_of_tornado_is_renamed(app: Application) -> None:
    """Our handlers lean on these names of Tornado's; a release without them fails here."""
    from tornado.http1connection import HTTP1Connection
    from tornado.web import RequestHandler

    assert callable(HTTP1Connection.set_body_timeout)
    for name in ("check_xsrf_cookie", "check_trusted_origin", "log_exception", "write_error"):
        assert callable(getattr(RequestHandler, name))
