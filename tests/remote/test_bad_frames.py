"""What the server's end refuses, with which close code, and that it goes on living."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from raw_socket import hello, raw_socket
from tornado.httpserver import HTTPServer
from tornado.web import Application

from clefstorm.bus.socket_frames import FROM_CLIENT, FROM_SERVER, CloseCode
from clefstorm.errors import BusError
from clefstorm.handlers import BusAccess, BusLimits, login_routes
from clefstorm.relying_party import RelyingParty
from clefstorm.sessions import LoginSession

Raw = Callable[..., Any]
SignIn = Callable[..., Awaitable[tuple[LoginSession, str]]]


@pytest.fixture
def raw(app: Application, http_server: HTTPServer, http_port: int) -> Raw:
    return lambda **headers: raw_socket(http_port, **headers)


RESUME = {"type": "resume", "version": 1, "session": "x", "secret": "y", "received": 0}


@pytest.mark.parametrize(
    ("first", "code", "reason"),
    [
        pytest.param("no json", 4400, "frame_not_json", id="not_json"),
        pytest.param("[]", 4400, "frame_not_json", id="not_an_object"),
        pytest.param('{"type":"a","type":"a"}', 4400, "frame_not_json", id="name_twice"),
        pytest.param("[" * 5000, 4400, "frame_not_json", id="deep"),
        pytest.param(b"{}", 4400, "frame_binary", id="binary"),
        pytest.param({}, 4400, "frame_unknown", id="no_type"),
        pytest.param({"type": ["hello"]}, 4400, "frame_unknown", id="type_is_a_list"),
        pytest.param({"type": "welcome"}, 4400, "frame_unknown", id="of_the_server"),
        pytest.param({"type": "hello"}, 4400, "frame_malformed", id="member_missing"),
        pytest.param(hello(more=1), 4400, "frame_malformed", id="member_too_much"),
        pytest.param(hello(principal=7), 4400, "frame_malformed", id="member_kind"),
        pytest.param(hello(principal="x" * 201), 4400, "frame_malformed", id="long_principal"),
        pytest.param(hello(properties={"a": 1}), 4400, "frame_malformed", id="property_kind"),
        pytest.param(hello(properties={"$Me": "x"}), 4400, "property_fixed", id="property_fixed"),
        pytest.param(hello(version=2), 4400, "version_unknown", id="version"),
        pytest.param(hello(credentials="!"), 4400, "credentials_malformed", id="credentials"),
        pytest.param({"type": "ping", "n": 1}, 4400, "frame_out_of_order", id="no_hello"),
        pytest.param(hello(password="wrong"), 4401, "credentials_refused", id="wrong_password"),
        pytest.param(hello(password=""), 4401, "credentials_refused", id="no_password"),
        pytest.param(RESUME, 4404, "session_lost", id="resume_unknown"),
    ],
)
async def test_first_frame(
    raw: Raw, bus_sessions: Any, first: object, code: int, reason: str
) -> None:
    """What is no proper greeting closes the connection with a code and a word, and leaves
    nothing; a proper one is welcomed."""
    async with raw() as socket:
        assert (await socket.welcome())["type"] == "welcome"
    async with raw() as socket:
        socket.send(first)
        assert await socket.end() == (code, reason)
        assert len(bus_sessions) <= 1  # the twin's may linger


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        pytest.param({"type": "ping", "n": 2}, "frame_out_of_order", id="gap"),
        pytest.param({"type": "ack", "n": 9}, "frame_out_of_order", id="ack_of_nothing"),
        pytest.param({"type": "ping", "n": 0}, "frame_malformed", id="zero"),
        pytest.param({"type": "ping", "n": True}, "frame_malformed", id="bool_number"),
        pytest.param(hello(), "frame_out_of_order", id="second_hello"),
        pytest.param(
            {"type": "notify", "n": 1, "key": ["clefstorm", "session", "x"], "message": 1},
            "frame_malformed",
            id="tuple_key",
        ),
        pytest.param(
            {"type": "wait", "n": 1, "keys": [["clefstorm", "session", "x"]]},
            "frame_malformed",
            id="tuple_key_wait",
        ),
        pytest.param(
            {"type": "notify", "n": 1, "key": 1.5, "message": 1}, "frame_malformed", id="float_key"
        ),
        pytest.param(
            {"type": "notify", "n": 1, "key": True, "message": 1}, "frame_malformed", id="bool_key"
        ),
        pytest.param({"type": "wait", "n": 1, "keys": []}, "frame_malformed", id="no_keys"),
        pytest.param(
            {"type": "wait", "n": 1, "keys": ["door"] * 101}, "frame_malformed", id="many_keys"
        ),
    ],
)
async def test_later_frame(raw: Raw, bus_sessions: Any, frame: Any, reason: str) -> None:
    """A frame that breaks the rules ends the whole session."""
    async with raw() as socket:
        await socket.welcome()
        assert len(bus_sessions) == 1
        socket.send(frame)
        assert await socket.end() == (4400, reason)
        assert len(bus_sessions) == 0


@pytest.mark.parametrize("kind", ["notify", "notifyall", "publish", "wait", "subscribe"])
@pytest.mark.parametrize(
    "key", ["clefstorm", "clefstorm.session", "window", "", 7, -1], ids=lambda key: repr(key)
)
async def test_forbidden_key(raw: Raw, rp: RelyingParty, kind: str, key: str | int) -> None:
    """A key that the principal may not touch is an error for the asker; the session lives on."""
    heard = rp.bus.subscribe([key])
    async with raw() as socket:
        await socket.welcome()
        asked: dict[str, Any] = {"type": kind, "n": 1}
        if kind in ("wait", "subscribe"):
            asked["keys"] = ["door", key]
            if kind == "subscribe":
                asked["after"] = None
        else:
            asked |= {"key": key, "message": "x"}
        socket.send(asked)
        answer = await socket.frame()
        assert (answer["type"], answer["to"], answer["code"]) == ("error", 1, "key_forbidden")
        socket.send({"type": "ping", "n": 2})
        answers = [await socket.frame() for _ in range(2)]
        assert {"type": "reply", "n": 2, "to": 2, "value": True} in answers
        assert rp.bus.statistics().waiting == 0
        assert rp.bus.statistics().retained == 0
    heard.close()


async def test_every_key_rule_keeps_ours_out(rp: RelyingParty) -> None:
    """Even a predicate that allows everything does not allow the library's own keys."""
    access = BusAccess(notify=lambda key: True, wait=lambda key: True)
    access.check_notify("door")
    access.check_wait(["door", 7])
    with pytest.raises(BusError, match="key_forbidden"):
        access.check_notify("clefstorm-x")
    with pytest.raises(BusError, match="key_forbidden"):
        access.check_wait(["door", "clefstorm-x"])
    with pytest.raises(BusError, match="key_forbidden"):
        BusAccess().check_notify("door")


@pytest.mark.parametrize("limits", [BusLimits(largest_frame=1000)])
async def test_too_large_frame(raw: Raw) -> None:
    """A frame above the bound closes the connection before it is read."""
    async with raw() as socket:
        assert (await socket.welcome())["frame_bytes"] == 1000
        socket.send({"type": "notify", "n": 1, "key": "door", "message": "x" * 1000})
        code, _ = await socket.end()
        assert code == 1009


@pytest.mark.parametrize("limits", [BusLimits(handshake=0.05)])
async def test_silence(raw: Raw) -> None:
    """Whoever says nothing is sent away."""
    async with raw() as socket:
        assert await socket.end() == (4408, "handshake_timeout")


async def nothing_left(rp: RelyingParty, bus_sessions: Any) -> None:
    async with asyncio.timeout(10):
        while len(bus_sessions) or rp.bus.statistics().subscribers:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("limits", [BusLimits(grace=0.05)])
async def test_gone_while_judged(raw: Raw, rp: RelyingParty, bus_sessions: Any) -> None:
    """Whoever leaves while the authenticator is at work leaves nothing behind but for the grace
    time: its welcome may have arrived."""
    async with raw() as socket:
        socket.send(hello(principal="slow"))
        while rp.bus.statistics().subscribers == 0:
            await asyncio.sleep(0)
        socket.cut()
    await asyncio.sleep(0.15)
    await nothing_left(rp, bus_sessions)


@pytest.mark.parametrize("limits", [BusLimits(handshake=0.05)])
async def test_slow_authenticator(raw: Raw, rp: RelyingParty, bus_sessions: Any) -> None:
    """The time for the handshake holds for the authenticator too."""
    async with raw() as socket:
        socket.send(hello(principal="slow"))
        assert await socket.end() == (4408, "handshake_timeout")
    await asyncio.sleep(0.15)
    await nothing_left(rp, bus_sessions)


async def test_broken_authenticator(
    raw: Raw, rp: RelyingParty, bus_sessions: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """An authenticator that fails lets nobody in, and its fault is logged."""
    async with raw() as socket:
        socket.send(hello(principal="broken"))
        await socket.end()
    assert "ZeroDivisionError" in caplog.text
    await nothing_left(rp, bus_sessions)


@pytest.mark.parametrize("limits", [BusLimits(sessions=1, waits=1, subscriptions=1)])
async def test_bounds(raw: Raw) -> None:
    """Sessions, waits and subscriptions are counted; one too many is refused."""
    async with raw() as socket, raw() as other:
        await socket.welcome()
        other.send(hello())
        assert await other.end() == (4429, "too_many_sessions")
        for kind, extra in (("wait", {}), ("subscribe", {"after": None})):
            number = 1 if kind == "wait" else 3
            for n in (number, number + 1):
                socket.send({"type": kind, "n": n, "keys": ["door"], **extra})
            answer = await socket.answer_to(number + 1)
            assert answer["code"].startswith("too_many_")


@pytest.mark.parametrize("limits", [BusLimits(unacknowledged=10)])
async def test_who_never_acknowledges(raw: Raw, bus_sessions: Any) -> None:
    """What waits for a client that takes nothing is bounded: its session ends."""
    async with raw() as socket:
        await socket.welcome()
        for number in range(1, 12):
            socket.send({"type": "ping", "n": number})
        assert await socket.end() == (4429, "too_many_unacknowledged")
        assert len(bus_sessions) == 0


async def test_subscriber_that_never_acknowledges(raw: Raw, rp: RelyingParty) -> None:
    """Events are held back for it, within bounds, and at last its subscription ends with a word;
    the session lives on."""
    async with raw() as socket:
        await socket.welcome()
        socket.send({"type": "subscribe", "n": 1, "keys": ["door"], "after": None})
        await socket.answer_to(1)
        for number in range(1300):
            await rp.bus.publish("door", number)
            if number % 50 == 0:
                await asyncio.sleep(0)
        events = []
        while rp.bus.statistics().subscribers > 1:  # the session's own
            await asyncio.sleep(0)
        socket.send({"type": "ack", "n": 100})
        while (frame := await socket.frame())["type"] != "end":
            events += [frame["message"]] if frame["type"] == "event" else []
        assert frame["code"] == "slow_subscriber"
        assert events == list(range(len(events)))
        assert len(events) < 300
        socket.send({"type": "ping", "n": 2})
        assert (await socket.answer_to(2))["value"] is True


async def test_wrong_secret(raw: Raw, bus_sessions: Any) -> None:
    """The session's id alone resumes nothing, and its owner is not disturbed."""
    async with raw() as socket, raw() as thief:
        welcome = await socket.welcome()
        thief.send({**RESUME, "session": welcome["session"]})
        assert await thief.end() == (4404, "session_lost")
        socket.send({"type": "ping", "n": 1})
        assert (await socket.answer_to(1))["value"] is True


async def test_resumed_elsewhere(raw: Raw) -> None:
    """The one who resumes takes over; the connection that was there is told so."""
    async with raw() as socket, raw() as other:
        welcome = await socket.welcome()
        socket.send({"type": "ping", "n": 1})
        await socket.answer_to(1)  # not acknowledged: it will come again
        other.send({**RESUME, "session": welcome["session"], "secret": welcome["secret"]})
        assert await other.frame() == {"type": "resumed", "received": 1}
        assert await other.answer_to(1) == {"type": "reply", "n": 1, "to": 1, "value": True}
        assert await socket.end() == (4409, "resumed_elsewhere")
        other.send({"type": "ping", "n": 1})  # came before: not done again
        assert await other.frame() == {"type": "ack", "n": 1}


# -- browsers --------------------------------------------------------------------------------------


async def test_signed_in_browser(
    raw: Raw, rp: RelyingParty, sign_in: SignIn, bus_sessions: Any
) -> None:
    """A browser with a login session uses the same endpoint, and is cut off at its logout."""
    session, cookie = await sign_in()
    async with raw(Cookie=cookie, Origin="own") as socket:
        await socket.welcome(password="")
        socket.send({"type": "wait", "n": 1, "keys": ["door"]})
        while rp.bus.statistics().waiting == 0:
            await asyncio.sleep(0)
        assert await rp.revoke(session.key)
        assert await socket.end() == (4410, "signed_out")
        assert len(bus_sessions) == 0
        while rp.bus.statistics().waiting or rp.bus.statistics().subscribers:
            await asyncio.sleep(0)


async def test_logout_while_the_connection_is_away(
    raw: Raw, rp: RelyingParty, sign_in: SignIn, bus_sessions: Any
) -> None:
    """A logout ends the remote session of a browser that has just lost its connection too."""
    session, cookie = await sign_in()
    async with raw(Cookie=cookie) as socket:
        welcome = await socket.welcome(password="")
        socket.cut()
    assert await rp.revoke(session.key)
    while len(bus_sessions):
        await asyncio.sleep(0)
    async with raw(Cookie=cookie) as socket:
        socket.send({**RESUME, "session": welcome["session"], "secret": welcome["secret"]})
        assert await socket.end() == (4404, "session_lost")


async def test_dead_login(raw: Raw, rp: RelyingParty, sign_in: SignIn) -> None:
    """The cookie of a login that has ended is nobody's."""
    session, cookie = await sign_in()
    await rp.revoke(session.key)
    async with raw(Cookie=cookie) as socket:
        socket.send(hello(password=""))
        assert await socket.end() == (4401, "credentials_refused")
    assert rp.bus.statistics().subscribers == 0


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "own", "Sec-Fetch-Site": "cross-site"},
        {"Origin": "own", "Sec-Fetch-Site": "same-site"},
    ],
    ids=["other", "null", "cross_site", "same_site"],
)
async def test_foreign_page(
    raw: Raw, sign_in: SignIn, headers: dict[str, str], bus_sessions: Any
) -> None:
    """A page of another site is refused before the WebSocket begins, whatever cookie it has."""
    _, cookie = await sign_in()
    status = await raw(Cookie=cookie, **headers).refusal()
    assert status == 403
    assert len(bus_sessions) == 0


async def test_not_mounted_by_default(rp: RelyingParty) -> None:
    """Without an authenticator there is no such route."""
    assert not [pattern for pattern, _ in login_routes(rp, "/auth") if pattern.endswith("/bus")]


def test_frames_are_documented() -> None:
    """Every frame and every close code stands on the reference page."""
    page = (Path(__file__).parents[2] / "docs" / "reference" / "frames.rst").read_text("utf-8")
    for name, members in (*FROM_CLIENT.items(), *FROM_SERVER.items()):
        assert f'"type": "{name}"' in page, name
        for member in members:
            assert f'"{member}"' in page, (name, member)
    for code in CloseCode:
        assert str(int(code)) in page, code
