"""Long polls and event streams, in given time: nothing here sleeps."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from mounted import PROTECTED, Settings, SignedIn
from tornado.httpclient import AsyncHTTPClient, HTTPResponse
from tornado.ioloop import IOLoop
from tornado.web import Application, RequestHandler

from clefstorm.errors import ClefStormError, StoreUnavailable
from clefstorm.handlers import Tabs
from clefstorm.relying_party import Happening, RelyingParty
from clefstorm.testing import Browser, Clock, EventStream

SignIn = Callable[..., Awaitable[SignedIn]]

pytestmark = pytest.mark.gen_test(timeout=100_000)  # seconds of given time


@pytest.fixture
def io_loop(given_time_io_loop: IOLoop) -> IOLoop:
    return given_time_io_loop


@pytest.fixture(params=[{}, {"compress_response": True, **PROTECTED}], ids=["plain", "protected"])
def settings(request: pytest.FixtureRequest) -> Settings:
    return Settings(application=request.param)


@pytest.fixture
def poll(http_client: AsyncHTTPClient, base_url: str) -> Callable[..., Awaitable[HTTPResponse]]:
    async def poll(browser: SignedIn | None = None, **headers: str) -> HTTPResponse:
        sent = browser.headers(**headers) if browser else {}
        return await http_client.fetch(
            f"{base_url}/auth/poll", headers=sent, raise_error=False, request_timeout=1000
        )

    return poll


Poll = Callable[..., Awaitable[HTTPResponse]]


@pytest.fixture
def stream(browser: Browser, app_url: str, http_server: Any) -> Callable[..., Any]:
    @asynccontextmanager
    async def stream(signed_in: SignedIn | None, **headers: str) -> AsyncIterator[EventStream]:
        sent = signed_in.headers(**headers) if signed_in else {}
        async with browser.stream(f"{app_url}/auth/events", headers=sent) as events:
            yield events

    return stream


Stream = Callable[..., Any]


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop run until it is so. No time passes, so a count is what ends it."""
    for _ in range(100_000):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never came to that")


async def parked(rp: RelyingParty, count: int = 1) -> None:
    """Wait until so many connections are registered on the bus."""
    await until(lambda: rp.bus.statistics().subscribers == count)


async def idle_bus(rp: RelyingParty) -> None:
    """Wait until nobody is registered: what has gone has left nothing behind."""
    await parked(rp, 0)


# -- what both do ----------------------------------------------------------------------------------


async def ends_by_poll(poll: Poll, stream: Stream, browser: SignedIn | None) -> str:
    answer = await poll(browser)
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Set-Cookie" not in answer.headers
    told = json.loads(answer.body)
    assert told["state"] == "signed_out"
    return str(told["reason"])


async def ends_by_stream(poll: Poll, stream: Stream, browser: SignedIn | None) -> str:
    async with stream(browser) as events:
        assert events.accepted
        assert events.headers["X-Accel-Buffering"] == "no"
        assert events.headers["Cache-Control"] == "no-store"
        assert "X-Consumed-Content-Encoding" not in events.headers
        assert "Set-Cookie" not in events.headers
        told = [event async for event in events]
    assert {event.event for event in told[:-1]} <= {"hello"}
    assert told[-1].event == "logout"
    return str(told[-1].json()["reason"])


both = pytest.mark.parametrize(
    "ends", [pytest.param(ends_by_poll, id="poll"), pytest.param(ends_by_stream, id="events")]
)
Ends = Callable[..., Awaitable[str]]


@both
async def test_logout_reaches_the_page(
    ends: Ends, poll: Poll, stream: Stream, sign_in: SignIn, rp: RelyingParty
) -> None:
    """A session that ends is told at once, with its reason, to its own browser and no other."""
    alice, bob = await sign_in("alice"), await sign_in("bob")
    hers = asyncio.ensure_future(ends(poll, stream, alice))
    his = asyncio.ensure_future(ends(poll, stream, bob))
    await parked(rp, 2)
    await rp.revoke(alice.session.key, reason="backchannel")
    assert await hers == "backchannel"
    assert not his.done()
    await rp.revoke(bob.session.key, reason="replaced")
    assert await his == "replaced"
    await idle_bus(rp)


@both
@pytest.mark.parametrize("cookie", ["none", "unknown", "ended"])
async def test_signed_out_is_told_at_once(
    ends: Ends,
    poll: Poll,
    stream: Stream,
    sign_in: SignIn,
    rp: RelyingParty,
    cookie: str,
    clock: Clock,
) -> None:
    """Whoever is not signed in is not kept waiting."""
    alice = await sign_in()
    if cookie == "unknown":
        alice.cookie = f"{rp.cookies.session}=" + "x" * 43
    elif cookie == "ended":
        await rp.revoke(alice.session.key)
    before = clock()
    assert await ends(poll, stream, None if cookie == "none" else alice) == "signed_out"
    assert clock() - before < 1
    await idle_bus(rp)


@both
async def test_registers_first_reads_after(
    ends: Ends,
    poll: Poll,
    stream: Stream,
    sign_in: SignIn,
    rp: RelyingParty,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A logout between the registration and the look at the store is not lost (law 1).

    Guarded by the order of rp.watch and rp.read_session in LiveHandler.get.
    """
    alice = await sign_in()
    read = rp.read_session

    async def read_late(key: str) -> Any:
        session = await read(key)
        monkeypatch.undo()
        await rp.revoke(key, reason="backchannel")  # after the read, before anybody waits
        return session

    monkeypatch.setattr(rp, "read_session", read_late)
    assert await ends(poll, stream, alice) == "backchannel"


@both
async def test_lost_notification_costs_no_logout(
    ends: Ends, poll: Poll, stream: Stream, sign_in: SignIn, rp: RelyingParty, clock: Clock
) -> None:
    """A session that died in the store, unheard, is noticed at the next sign of life."""
    alice = await sign_in()
    ended = asyncio.ensure_future(ends(poll, stream, alice))
    await parked(rp)
    before = clock()
    await rp.sessions.revoke(alice.session.key, reason="revoked")  # and nobody rings
    assert await ended == "signed_out"
    assert clock() - before <= 25 + 1


@both
@pytest.mark.parametrize(
    ("changes", "after"),
    [
        pytest.param({"idle": 7.0}, 7, id="idle"),
        pytest.param({"idle": 3600.0, "expires": 7.0}, 7, id="absolute"),
    ],
)
async def test_end_of_the_session_is_told(
    ends: Ends,
    poll: Poll,
    stream: Stream,
    sign_in: SignIn,
    clock: Clock,
    changes: dict[str, float],
    after: float,
) -> None:
    """A session that runs out is told when it does: waiting is no activity."""
    if "expires" in changes:
        changes = {**changes, "expires": clock() + changes["expires"]}
    alice = await sign_in(**changes)
    before = clock()
    assert await ends(poll, stream, alice) == "expired"
    assert clock() - before == pytest.approx(after, abs=0.5)


@both
async def test_activity_elsewhere_puts_the_end_off(
    ends: Ends,
    poll: Poll,
    stream: Stream,
    sign_in: SignIn,
    rp: RelyingParty,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """When another tab was active meanwhile, the idle end is later; nobody looks all the time."""
    looks: list[str] = []
    read = rp.read_session

    async def counted(key: str) -> Any:
        looks.append(key)
        return await read(key)

    monkeypatch.setattr(rp, "read_session", counted)
    alice = await sign_in(idle=10.0)
    began = clock()
    ended = asyncio.ensure_future(ends(poll, stream, alice))
    await parked(rp)
    await asyncio.sleep(6)
    assert await rp.session(alice.session_id) is not None
    assert await ended == "expired"
    assert clock() - began == pytest.approx(16, abs=0.5)
    assert len(looks) <= 5


@pytest.mark.parametrize("path", ["/auth/poll", "/auth/events"])
@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"Sec-Fetch-Site": "cross-site"}, id="cross_site"),
        pytest.param({"Sec-Fetch-Site": "same-site"}, id="sister_site"),
        pytest.param({"Origin": "https://evil.example"}, id="other_origin"),
        pytest.param({"Origin": "null"}, id="null"),
    ],
)
async def test_other_sites_may_not_listen(
    http_client: AsyncHTTPClient,
    base_url: str,
    sign_in: SignIn,
    rp: RelyingParty,
    path: str,
    headers: dict[str, str],
) -> None:
    """Polls and streams check their origin themselves: 403, no cookie, nobody registered."""
    alice = await sign_in()
    answer = await http_client.fetch(
        base_url + path, headers=alice.headers() | headers, raise_error=False
    )
    assert (answer.code, json.loads(answer.body)["error"]) == (403, "cross_site")
    assert "Set-Cookie" not in answer.headers
    assert rp.bus.statistics().subscribers == 0


@pytest.mark.parametrize("path", ["/auth/poll", "/auth/events"])
async def test_nothing_is_known_when_the_store_is_down(
    http_client: AsyncHTTPClient,
    base_url: str,
    sign_in: SignIn,
    rp: RelyingParty,
    path: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """503 and when to come back, not a logout that never was."""

    async def unreachable(key: str) -> Any:
        raise StoreUnavailable("it is down")

    alice = await sign_in()
    with monkeypatch.context() as patch:
        patch.setattr(rp.sessions, "read", unreachable)
        answer = await http_client.fetch(
            base_url + path, headers=alice.headers(), raise_error=False
        )
    assert (answer.code, answer.headers["Retry-After"]) == (503, "5")
    await idle_bus(rp)


# -- the poll --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "hold"),
    [
        pytest.param(Settings(), 25, id="default"),
        pytest.param(Settings(routes={"poll_hold": 3.0}), 3, id="settable"),
    ],
)
async def test_poll_without_news(
    poll: Poll, sign_in: SignIn, clock: Clock, rp: RelyingParty, hold: float
) -> None:
    """A poll without news is held for a while, then the page asks again."""
    alice = await sign_in()
    before = clock()
    answer = await poll(alice, Sec_Fetch_Site="same-origin")
    told = json.loads(answer.body)
    assert (told["state"], len(told["user"])) == ("signed_in", 16)
    assert clock() - before == pytest.approx(hold, abs=0.5)
    await idle_bus(rp)


async def test_server_that_stops_answers_its_polls(
    poll: Poll, sign_in: SignIn, rp: RelyingParty
) -> None:
    """When the bus closes, polls get 503 and when to come back."""
    alice = await sign_in()
    answer = asyncio.ensure_future(poll(alice))
    await parked(rp)
    await rp.bus.close()
    assert (await answer).code == 503
    assert (await answer).headers["Retry-After"] == "5"


# -- the stream ------------------------------------------------------------------------------------


async def test_stream_says_hello_and_stays_alive(
    stream: Stream, sign_in: SignIn, rp: RelyingParty
) -> None:
    """hello with the user's tag and when to reconnect; a comment every 20 s; then the logout."""
    alice = await sign_in()
    async with stream(alice) as events:
        hello = await events.next()
        assert hello.event == "hello"
        assert len(hello.json()["user"]) == 16
        assert events.parser.retry_ms == 3000
        await asyncio.sleep(65)
        await rp.revoke(alice.session.key, reason="logout")
        logout = await events.next()
        assert (logout.event, logout.json()) == ("logout", {"reason": "logout"})
        assert events.parser.comments == 3
    await idle_bus(rp)


async def test_server_that_stops_ends_its_streams(
    stream: Stream, sign_in: SignIn, rp: RelyingParty
) -> None:
    """When the bus closes, streams say when to come back, and end."""
    alice = await sign_in()
    async with stream(alice) as events:
        await events.next()
        await rp.bus.close()
        retry = await events.next()
        assert (retry.event, retry.json()) == ("retry", {"after": 3000})
        assert [event async for event in events] == []


async def test_store_that_goes_down_ends_a_stream(
    stream: Stream, sign_in: SignIn, rp: RelyingParty, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the store can't be asked any more, a stream does not claim to know."""

    async def unreachable(key: str) -> Any:
        raise StoreUnavailable("it is down")

    alice = await sign_in()
    async with stream(alice) as events:
        await events.next()
        monkeypatch.setattr(rp.sessions, "read", unreachable)
        assert (await events.next()).event == "retry"


# -- presence --------------------------------------------------------------------------------------


def presence(happenings: list[Happening]) -> list[tuple[str, str]]:
    return [(h.event, h.facts["transport"]) for h in happenings if h.event.startswith("tab_")]


async def test_tabs_are_counted(
    poll: Poll,
    stream: Stream,
    sign_in: SignIn,
    rp: RelyingParty,
    tabs: Tabs,
    happenings: list[Happening],
) -> None:
    """Open tabs are counted by session, and the listeners hear of each once."""
    alice = await sign_in()
    key = alice.session.key
    polling = asyncio.ensure_future(poll(alice))
    await parked(rp)
    async with stream(alice) as events:
        await events.next()
        assert tabs.of(key) == {"poll": 1, "sse": 1}
    await until(lambda: "sse" not in tabs.of(key))
    assert tabs.of(key) == {"poll": 1}
    await rp.revoke(key)
    await polling
    await idle_bus(rp)
    assert tabs.by_session() == {}
    assert presence(happenings) == [
        ("tab_opened", "poll"),
        ("tab_opened", "sse"),
        ("tab_closed", "sse"),
        ("tab_closed", "poll"),
    ]
    opened = next(h for h in happenings if h.event == "tab_opened")
    assert opened.facts["session"] == key[:8]
    assert alice.session_id not in str(happenings)


async def test_polls_in_a_row_are_one_tab(
    poll: Poll, sign_in: SignIn, tabs: Tabs, happenings: list[Happening]
) -> None:
    """A tab between two polls still counts; one that does not come back has closed."""
    alice = await sign_in()
    for _ in range(3):
        await poll(alice)
    assert tabs.of(alice.session.key) == {"poll": 1}
    assert presence(happenings) == [("tab_opened", "poll")]
    await asyncio.sleep(11)
    assert tabs.by_session() == {}
    assert presence(happenings) == [("tab_opened", "poll"), ("tab_closed", "poll")]


@pytest.mark.parametrize("path", ["/auth/poll", "/auth/events"])
async def test_browser_that_leaves_leaves_nothing_behind(
    http_port: int,
    http_server: Any,
    sign_in: SignIn,
    rp: RelyingParty,
    tabs: Tabs,
    path: str,
    happenings: list[Happening],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """When the browser has gone there is no waiter, no tab, and no complaint in the log."""
    alice = await sign_in()
    _, writer = await asyncio.open_connection("127.0.0.1", http_port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: a\r\nCookie: {alice.cookie}\r\n\r\n".encode())
    await parked(rp)
    await until(lambda: bool(tabs.by_session()))
    writer.close()
    await idle_bus(rp)
    await until(lambda: not tabs.by_session())
    assert [event for event, _ in presence(happenings)] == ["tab_opened", "tab_closed"]
    assert not [record for record in caplog.records if record.levelname != "INFO"]


async def test_whole_application_is_told(
    http_client: AsyncHTTPClient,
    base_url: str,
    app: Application,
    poll: Poll,
    stream: Stream,
    sign_in: SignIn,
    rp: RelyingParty,
) -> None:
    """The user's logout in one tab reaches the stream and the poll of the others."""
    alice = await sign_in()
    polling = asyncio.ensure_future(poll(alice))
    async with stream(alice) as events:
        await events.next()
        await parked(rp, 2)
        await rp.log_out(alice.session_id)
        assert (await events.next()).json() == {"reason": "logout"}
    assert json.loads((await polling).body) == {"state": "signed_out", "reason": "logout"}


async def test_a_browser_that_leaves_while_we_write(
    stream: Stream,
    sign_in: SignIn,
    rp: RelyingParty,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """That the other end is gone is no error of ours: nothing is logged, and nobody stays; the
    next one is served."""
    alice = await sign_in()
    flush = RequestHandler.flush

    async def gone(handler: RequestHandler) -> None:
        monkeypatch.setattr(RequestHandler, "flush", flush)
        handler.request.connection.stream.close()  # type: ignore[union-attr]
        await handler.flush()

    monkeypatch.setattr(RequestHandler, "flush", gone)
    with contextlib.suppress(ClefStormError):
        async with stream(alice):
            pass
    await idle_bus(rp)
    async with stream(alice) as events:
        assert (await events.next()).event == "hello"
    await idle_bus(rp)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
