"""The test browser against a server that says what it was sent."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from clefstorm.errors import (
    ConfigurationError,
    ConnectFailed,
    DeadlineExceeded,
    ProtocolViolation,
)
from clefstorm.testing import Browser, Page
from clefstorm.testing.browser.request import begun
from clefstorm.testing.browser.sites import referrer

FORM_PAGE = """
<form id="search" action="/echo"><input name="q" value="old"><input type="submit"></form>
<form name="talk" method="post" action="/echo">
  <input type="hidden" name="token" value="a&amp;b">
  <input name="title"><textarea name="text">as it
was</textarea>
  <select name="mood"><option value="sad">sad</option><option value="glad" selected></select>
  <select name="first"><option value="one"><option value="two"></select>
  <input type="checkbox" name="loud"><input type="checkbox" name="fast" checked>
  <input type="radio" name="size" value="s"><input type="radio" name="size" value="m" checked>
  <input name="off" value="x" disabled><input type="file" name="file">
  <button name="do" value="send">Send</button><button name="do" value="drop">Drop</button>
  <button type="button" name="no" value="no">no</button>
</form>
"""


@dataclass
class Site:
    """One server, reached as 127.0.0.1 and as localhost: two sites."""

    port: int
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    left: asyncio.Event = field(default_factory=asyncio.Event)
    heard: list[dict[str, str]] = field(default_factory=list)
    to_send: asyncio.Queue[str] = field(default_factory=asyncio.Queue)

    @property
    def here(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def there(self) -> str:
        return f"http://localhost:{self.port}"


class _Echo(RequestHandler):
    def initialize(self, site: Site) -> None:
        self.site = site

    def get(self) -> None:
        policy = self.get_query_argument("policy", None)
        if policy is not None:
            self.set_header("Referrer-Policy", policy)
        for cookie in self.get_query_arguments("cookie"):
            self.add_header("Set-Cookie", cookie)
        arguments = {name: self.get_argument(name, strip=False) for name in self.request.arguments}
        self.write(
            {
                "method": self.request.method,
                "headers": dict(self.request.headers),
                "cookies": {name: morsel.value for name, morsel in self.request.cookies.items()},
                "arguments": arguments,
                "body": self.request.body.decode(),
            }
        )

    post = get
    put = get


class _Redirect(_Echo):
    def get(self) -> None:
        for cookie in self.get_query_arguments("cookie"):
            self.add_header("Set-Cookie", cookie)
        self.set_header("Location", self.get_query_argument("to"))
        self.set_status(int(self.get_query_argument("status", "302")))

    post = get


class _Loop(_Echo):
    def get(self) -> None:
        self.redirect("/loop")


class _Forms(_Echo):
    def get(self) -> None:
        self.write(FORM_PAGE)


class _Bytes(_Echo):
    def get(self) -> None:
        kind = self.get_query_argument("kind")
        if kind == "gzip":
            self.set_header("Content-Encoding", "gzip")
            self.write(gzip.compress(b"unpacked"))
        elif kind == "latin":
            self.set_header("Content-Type", "text/plain; charset=latin-1")
            self.write(b"\xe9")
        else:
            self.set_header("Content-Length", "100")
            self.write(b"short")
            self.flush()
            self.request.connection.detach().close()  # type: ignore[attr-defined]


class _Wait(_Echo):
    async def get(self) -> None:
        self.site.arrived.set()
        await self.site.left.wait()

    def on_connection_close(self) -> None:
        self.site.left.set()


class _Events(_Wait):
    async def get(self) -> None:
        self.set_header("Content-Type", self.get_query_argument("type", "text/event-stream"))
        self.add_header("Set-Cookie", "stream=seen")
        self.site.heard.append(dict(self.request.headers))
        await self.flush()
        while (text := await self.site.to_send.get()) != "end":
            self.write(text)
            await self.flush()


@pytest.fixture
def site(io_loop: IOLoop) -> Iterator[Site]:
    async def start() -> tuple[Site, HTTPServer]:
        sockets = bind_sockets(0, "127.0.0.1")
        site = Site(sockets[0].getsockname()[1])
        bound = {"site": site}
        handlers: list[Any] = [
            (r"/echo", _Echo, bound),
            (r"/redirect", _Redirect, bound),
            (r"/loop", _Loop, bound),
            (r"/forms", _Forms, bound),
            (r"/bytes", _Bytes, bound),
            (r"/wait", _Wait, bound),
            (r"/events", _Events, bound),
        ]
        server = HTTPServer(Application(handlers))
        server.add_sockets(sockets)
        return site, server

    site, server = io_loop.run_sync(start)
    yield site
    server.stop()
    io_loop.run_sync(server.close_all_connections)


def headers_of(page: Page) -> dict[str, str]:
    headers: dict[str, str] = page.json()["headers"]
    return headers


async def test_a_typed_address(browser: Browser, site: Site) -> None:
    """A navigation that the user started has Sec-Fetch-Site none, and no Origin or Referer."""
    page = await browser.get(f"{site.here}/echo?a=b")

    assert (page.status, page.url) == (200, f"{site.here}/echo?a=b")
    assert browser.page is page
    headers = headers_of(page)
    assert headers["Host"] == f"127.0.0.1:{site.port}"
    assert headers["Sec-Fetch-Site"] == "none"
    assert headers["Sec-Fetch-Mode"] == "navigate"
    assert headers["Sec-Fetch-Dest"] == "document"
    assert headers["Sec-Fetch-User"] == "?1"
    assert headers["Accept"].startswith("text/html")
    assert not {"Origin", "Referer", "Cookie", "Content-Type"} & set(headers)


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        pytest.param("here", "same-origin", id="same_origin"),
        pytest.param("there", "cross-site", id="localhost_and_127_are_two_sites"),
        pytest.param("http://127.0.0.1:1", "same-site", id="ports_are_one_site"),
        pytest.param("https://evil.example", "cross-site", id="elsewhere"),
    ],
)
@pytest.mark.parametrize("method", ["get", "post"])
async def test_sites(browser: Browser, site: Site, start: str, expected: str, method: str) -> None:
    """Sec-Fetch-Site tells the initiator's relation to the target (Fetch Metadata 2.3)."""
    initiator = f"{getattr(site, start, start)}/page?secret"
    url = f"{site.here}/echo"
    if method == "get":
        headers = headers_of(await browser.get(url, initiator=initiator))
        assert "Origin" not in headers
    else:
        headers = headers_of(await browser.post(url, {"a": "b"}, initiator=initiator))
        assert headers["Origin"] == initiator.removesuffix("/page?secret")

    assert headers["Sec-Fetch-Site"] == expected
    if expected == "same-origin":
        assert headers["Referer"] == initiator
    elif initiator.startswith("https:"):
        # From https to loopback, which browsers trust: the origin alone.
        assert headers["Referer"] == "https://evil.example/"
    else:
        assert headers["Referer"] == initiator.removesuffix("page?secret")


@pytest.mark.parametrize(
    ("policy", "origin", "referer"),
    [
        pytest.param("no-referrer", "null", None, id="no-referrer"),
        pytest.param("same-origin", "null", None, id="same-origin"),
        pytest.param("strict-origin", "own", "origin", id="strict-origin"),
        pytest.param("unsafe-url", "own", "whole", id="unsafe-url"),
    ],
)
async def test_referrer_policy(
    browser: Browser, site: Site, policy: str, origin: str, referer: str | None
) -> None:
    """A page's Referrer-Policy hides it, in Origin too (Fetch 3.2; Referrer Policy 8)."""
    page = await browser.get(f"{site.here}/echo?policy={policy}")
    headers = headers_of(await browser.post(f"{site.there}/echo", {}, initiator=page))

    assert headers["Origin"] == ("null" if origin == "null" else site.here)
    expected = {None: None, "origin": f"{site.here}/", "whole": page.url}[referer]
    assert headers.get("Referer") == expected


async def test_post(browser: Browser, site: Site) -> None:
    """A form is sent as one; without an initiator it is on a page of the same origin."""
    page = await browser.post(f"{site.here}/echo", {"a": "b c", "d": "é&="})

    assert page.json()["arguments"] == {"a": "b c", "d": "é&="}
    headers = headers_of(page)
    assert headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert headers["Origin"] == site.here
    assert headers["Sec-Fetch-Site"] == "same-origin"


@pytest.mark.parametrize(
    ("status", "method", "body"),
    [
        (301, "GET", ""),
        (302, "GET", ""),
        (303, "GET", ""),
        (307, "POST", "a=b"),
        (308, "POST", "a=b"),
    ],
)
async def test_redirects(browser: Browser, site: Site, status: int, method: str, body: str) -> None:
    """301, 302 and 303 turn POST into GET; 307 and 308 keep it (RFC 9110, 15.4)."""
    url = f"{site.here}/redirect?status={status}&to=/echo"
    page = await browser.post(url, {"a": "b"})

    assert page.url == f"{site.here}/echo"
    assert page.json()["method"] == method
    assert page.json()["body"] == body
    assert ("Content-Type" in headers_of(page)) == bool(body)
    assert [(hop.status, hop.url) for hop in page.history] == [(status, url)]


async def test_a_redirect_can_be_looked_at(browser: Browser, site: Site) -> None:
    """follow=False shows the redirect; a location may be relative."""
    page = await browser.get(f"{site.here}/redirect?to=echo", follow=False)
    assert page.status == 302
    assert page.headers["Location"] == "echo"
    assert (await browser.get(f"{site.here}/redirect?to=echo")).url == f"{site.here}/echo"


async def test_endless_redirects(browser: Browser, site: Site) -> None:
    """After twenty redirects the browser gives up."""
    with pytest.raises(ProtocolViolation) as gave_up:
        await browser.get(f"{site.here}/loop")
    assert gave_up.value.code == "too_many_redirects"


async def test_a_detour_taints(browser: Browser, site: Site) -> None:
    """Sec-Fetch-Site remembers every hop; the Origin of a POST is lost (Fetch 4.4)."""
    detour = f"{site.there}/redirect?status=307&to={site.here}/echo"
    headers = headers_of(await browser.get(detour, initiator=f"{site.here}/"))
    assert headers["Sec-Fetch-Site"] == "cross-site"
    headers = headers_of(await browser.post(detour, {}, initiator=f"{site.here}/"))
    assert headers["Origin"] == "null"
    headers = headers_of(await browser.get(detour))
    assert headers["Sec-Fetch-Site"] == "none"


async def test_cookies_come_back(new_browser: Callable[[], Browser], site: Site) -> None:
    """Cookies of redirects and pages are kept, for their host alone, in their browser alone."""
    browser = new_browser()
    await browser.get(f"{site.here}/redirect?cookie=a=1&to=/echo%3Fcookie=b=2")
    page = await browser.get(f"{site.here}/echo")

    assert page.json()["cookies"] == {"a": "1", "b": "2"}
    assert browser.cookies.get("a") == "1"
    assert (await browser.get(f"{site.there}/echo")).json()["cookies"] == {}
    assert (await new_browser().get(f"{site.here}/echo")).json()["cookies"] == {}


async def test_same_site_cookies(browser: Browser, site: Site) -> None:
    """Lax goes along with links from elsewhere, not with forms; Strict with neither (5.8.3)."""
    for cookie in ("strict=1; SameSite=Strict", "lax=1; SameSite=Lax", "silent=1"):
        browser.cookies.receive(site.here, cookie)
    url = f"{site.here}/echo"

    async def seen(method: str, initiator: str | None) -> set[str]:
        send = browser.get if method == "GET" else browser.post
        return set((await send(url, initiator=initiator)).json()["cookies"])

    assert await seen("GET", None) == {"strict", "lax", "silent"}
    assert await seen("GET", site.here) == {"strict", "lax", "silent"}
    assert await seen("POST", site.here) == {"strict", "lax", "silent"}
    assert await seen("POST", "http://127.0.0.1:1/") == {"strict", "lax", "silent"}
    assert await seen("GET", site.there) == {"lax", "silent"}
    assert await seen("POST", site.there) == set()


async def test_forms_are_read(browser: Browser, site: Site) -> None:
    """submit sends what the page would: hidden fields, defaults, the pressed button."""
    page = await browser.get(f"{site.here}/forms")
    assert [form.name for form in page.forms] == ["search", "talk"]

    sent = await browser.submit(page, q="new words")
    assert sent.url == f"{site.here}/echo?q=new+words"
    assert headers_of(sent)["Sec-Fetch-Site"] == "same-origin"
    sent = await browser.submit(page, form="talk", title="t", mood="sad", loud="on")
    assert sent.json()["arguments"] == {
        "token": "a&b",
        "title": "t",
        "text": "as it\nwas",
        "mood": "sad",
        "first": "one",
        "loud": "on",
        "fast": "on",
        "size": "m",
        "do": "send",
    }
    sent = await browser.submit(page, form="talk", button="drop")
    assert sent.json()["arguments"]["do"] == "drop"
    assert headers_of(sent)["Referer"] == page.url


@pytest.mark.parametrize(
    ("wish", "code"),
    [
        pytest.param({"form": "nowhere"}, "no_such_form", id="form"),
        pytest.param({"nothing": "x"}, "no_such_field", id="field"),
        pytest.param({"form": "talk", "token": "x"}, "no_such_field", id="hidden_field"),
        pytest.param({"form": "talk", "off": "x"}, "no_such_field", id="disabled_field"),
        pytest.param({"form": "talk", "button": "no"}, "no_such_button", id="not_a_submit_button"),
    ],
)
async def test_what_is_not_on_the_page(
    browser: Browser, site: Site, wish: dict[str, str], code: str
) -> None:
    """A test can fill in and press only what a person could."""
    with pytest.raises(ConfigurationError) as refused:
        await browser.submit(**wish)  # type: ignore[arg-type]
    assert refused.value.code == "no_page"
    await browser.get(f"{site.here}/forms")
    await browser.submit(q="x")
    page = await browser.get(f"{site.here}/forms")
    with pytest.raises(ConfigurationError) as refused:
        await browser.submit(page, **wish)  # type: ignore[arg-type]
    assert refused.value.code == code


async def test_fetch(browser: Browser, site: Site) -> None:
    """A script's fetch says cors, changes no page, and has the cookies of its origin."""
    page = await browser.get(f"{site.here}/echo?cookie=a=1")
    answer = await browser.fetch(f"{site.here}/echo")

    headers = headers_of(answer)
    assert headers["Sec-Fetch-Mode"] == "cors"
    assert headers["Sec-Fetch-Dest"] == "empty"
    assert headers["Sec-Fetch-Site"] == "same-origin"
    assert headers["Accept"] == "*/*"
    assert "Origin" not in headers
    assert "Sec-Fetch-User" not in headers
    assert answer.json()["cookies"] == {"a": "1"}
    assert browser.page is page
    answer = await browser.fetch(f"{site.here}/echo", method="PUT", json={"a": 1})
    assert json.loads(answer.json()["body"]) == {"a": 1}
    assert headers_of(answer)["Content-Type"] == "application/json"
    assert headers_of(answer)["Origin"] == site.here
    answer = await browser.fetch(f"{site.here}/echo", method="POST", form={"a": "b"})
    assert answer.json()["arguments"] == {"a": "b"}
    answer = await browser.fetch(f"{site.here}/echo", method="POST")
    assert headers_of(answer)["Content-Length"] == "0"
    answer = await browser.fetch(f"{site.here}/echo", headers={"Accept": "application/json"})
    assert headers_of(answer)["Accept"] == "application/json"


async def test_fetch_from_elsewhere(browser: Browser, site: Site) -> None:
    """To another origin no cookies go, unless credentials are included and SameSite allows."""
    browser.cookies.receive(site.here, "lax=1")
    url = f"{site.here}/echo?cookie=new=1"

    for initiator in (f"{site.there}/", "http://127.0.0.1:1/"):
        answer = await browser.fetch(url, initiator=initiator)
        assert headers_of(answer)["Origin"] == initiator.rstrip("/")
        assert answer.json()["cookies"] == {}
        assert browser.cookies.get("new") is None
    answer = await browser.fetch(url, initiator=f"{site.there}/", credentials="include")
    assert answer.json()["cookies"] == {}
    assert browser.cookies.get("new") is None
    answer = await browser.fetch(url, initiator="http://127.0.0.1:1/", credentials="include")
    assert answer.json()["cookies"] == {"lax": "1"}
    assert browser.cookies.get("new") == "1"


async def test_bodies(browser: Browser, site: Site) -> None:
    """Packed answers are unpacked, charsets respected, and half an answer is none."""
    assert (await browser.get(f"{site.here}/bytes?kind=gzip")).text == "unpacked"
    assert (await browser.get(f"{site.here}/bytes?kind=latin")).text == "é"
    with pytest.raises(ConnectFailed):
        await browser.get(f"{site.here}/bytes?kind=cut")


async def test_no_server(browser: Browser) -> None:
    """Nobody listens: ConnectFailed."""
    with pytest.raises(ConnectFailed):
        await browser.get("http://127.0.0.1:1/")


async def test_leaving_closes_the_connection(browser: Browser, site: Site) -> None:
    """A request that is cancelled is left, as by closing the tab: the server notices."""
    waiting = asyncio.ensure_future(browser.fetch(f"{site.here}/wait"))
    await site.arrived.wait()
    assert not site.left.is_set()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting

    await site.left.wait()


async def test_timeout(site: Site) -> None:
    """An answer that does not come in time is left."""
    async with Browser(timeout=0.05) as browser:
        with pytest.raises(DeadlineExceeded):
            await browser.get(f"{site.here}/wait")


async def test_stream(browser: Browser, site: Site) -> None:
    """An EventSource gives events as they come; leaving it closes the connection."""
    browser.cookies.receive(site.here, "a=1")
    async with browser.stream(f"{site.here}/events", last_event_id="7") as stream:
        [headers] = site.heard
        assert stream.status == 200
        assert stream.accepted
        assert headers["Accept"] == "text/event-stream"
        assert headers["Last-Event-Id"] == "7"
        assert headers["Sec-Fetch-Mode"] == "cors"
        assert headers["Cookie"] == "a=1"
        assert browser.cookies.get("stream") == "seen"
        await site.to_send.put("retry: 50\n: hello\n\n")
        await site.to_send.put('id: 8\nevent: news\ndata: {"a": 1}\n\n')
        event = await stream.next()
        assert (event.event, event.json(), event.id) == ("news", {"a": 1}, "8")
        assert stream.parser.retry_ms == 50
        assert stream.parser.comments == 1
        with pytest.raises(DeadlineExceeded):
            await stream.next(timeout=0.01)
        await site.to_send.put("data: still here\n\n")
        assert (await stream.next()).data == "still here"
        assert not site.left.is_set()
    await site.left.wait()
    await site.to_send.put("end")


async def test_the_end_of_a_stream(browser: Browser, site: Site) -> None:
    """When the server ends the stream, the events end; half an event is none."""
    async with browser.stream(f"{site.here}/events") as stream:
        for text in ("data: one\n\n", "data: two", "end"):
            await site.to_send.put(text)
        assert [event.data async for event in stream] == ["one"]
        with pytest.raises(ConnectFailed) as ended:
            await stream.next()
        assert ended.value.code == "stream_ended"


async def test_not_an_event_stream(browser: Browser, site: Site) -> None:
    """As in a browser, another content type has no events."""
    async with browser.stream(f"{site.here}/events?type=text/html") as stream:
        await site.to_send.put("data: one\n\n")
        await site.to_send.put("end")
        assert not stream.accepted
        assert [event async for event in stream] == []


@pytest.mark.parametrize(
    ("policy", "to_plain_http", "to_https"),
    [
        pytest.param("strict-origin", None, "https://a.example/", id="strict-origin"),
        pytest.param(
            "strict-origin-when-cross-origin", None, "https://a.example/", id="the_default"
        ),
        pytest.param(
            "no-referrer-when-downgrade", None, "https://a.example/page?q", id="when-downgrade"
        ),
        pytest.param("origin", "https://a.example/", "https://a.example/", id="origin"),
        pytest.param(
            "unsafe-url", "https://a.example/page?q", "https://a.example/page?q", id="unsafe-url"
        ),
    ],
)
def test_referrer_of_a_downgrade(
    policy: str, to_plain_http: str | None, to_https: str | None
) -> None:
    """From https to plain http a page is hidden, unless it says otherwise (Referrer Policy 8)."""
    page = "https://a.example/page?q#part"
    assert referrer(page, "http://b.example/", policy) == to_plain_http
    assert referrer(page, "https://b.example/", policy) == to_https


def test_fetch_metadata_is_for_trustworthy_urls() -> None:
    """Over plain http to another host than loopback there are no Sec-Fetch headers (2.1)."""
    for url, there in (("https://a.example/", True), ("http://a.example/", False)):
        headers = begun("GET", url, None, None).http_headers(None)
        assert any(name.startswith("Sec-Fetch-") for name in headers) is there
