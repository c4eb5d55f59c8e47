"""What an application gives the endpoint of the bus, and a session's end, seen from the server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from raw_socket import raw_socket
from tornado.httpserver import HTTPServer
from tornado.web import Application

from clefstorm.bus import AsyncBus
from clefstorm.bus.socket_frames import CloseCode
from clefstorm.errors import ConfigurationError, StoreUnavailable
from clefstorm.handlers import BusAccess, BusLimits
from clefstorm.handlers.bus_sessions import BusSession, BusSessions, Wire
from clefstorm.handlers.bus_socket import BusSocketHandler
from clefstorm.relying_party import RelyingParty
from clefstorm.sessions import LoginSession

Raw = Callable[..., Any]
SignIn = Callable[..., Awaitable[tuple[LoginSession, str]]]


@pytest.fixture
def raw(app: Application, http_server: HTTPServer, http_port: int) -> Raw:
    return lambda **headers: raw_socket(http_port, **headers)


@pytest.mark.parametrize("rule", ["notify", "wait"])
@pytest.mark.parametrize("wrong", ["door", ["door", 7], [b"door"]], ids=["text", "int", "bytes"])
def test_rule_that_is_none(rule: str, wrong: Any) -> None:
    """A rule is prefixes or a predicate; a bare text would allow each of its characters."""
    allowed: dict[str, Any] = {rule: ["door"]}
    BusAccess(**allowed)
    BusAccess(**{rule: lambda key: True})
    with pytest.raises(ConfigurationError) as caught:
        BusAccess(**{rule: wrong})
    assert caught.value.code == "bus_access"


@pytest.mark.parametrize(
    "wrong",
    [{"Region": "north"}, {"$Region": 7}, {f"${n}": "" for n in range(51)}],
    ids=["no_dollar", "no_text", "many"],
)
def test_fixed_property_that_is_none(wrong: Any) -> None:
    """What the server alone says begins with $, so that no client can say it."""
    BusAccess(properties={"$Region": "north"})
    with pytest.raises(ConfigurationError) as caught:
        BusAccess(properties=wrong)
    assert caught.value.code == "bus_access"


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        pytest.param("sessions", 0, id="zero"),
        pytest.param("sessions", 1.5, id="half_a_session"),
        pytest.param("sessions", True, id="bool"),
        pytest.param("waits", -1, id="negative"),
        pytest.param("grace", -0.1, id="negative_time"),
        pytest.param("handshake", 0, id="no_time"),
        pytest.param("keep_alive", float("inf"), id="for_ever"),
        pytest.param("largest_frame", "1000", id="text"),
    ],
)
def test_limit_that_is_none(name: str, wrong: Any) -> None:
    """A bound is a number above 0, whole where it counts; only the grace time may be 0."""
    BusLimits(sessions=1, waits=1, grace=0, handshake=0.5, keep_alive=1, largest_frame=1000)
    with pytest.raises(ConfigurationError) as caught:
        BusLimits(**{name: wrong})
    assert caught.value.code == "bus_limits"


class Ends:
    """A wire that writes down how it was closed."""

    def __init__(self) -> None:
        self.codes: list[CloseCode] = []
        self.wire = Wire(lambda text: None, lambda code, reason: self.codes.append(code))


async def opened() -> tuple[BusSessions, BusSession]:
    sessions = BusSessions(BusLimits())
    return sessions, sessions.open(AsyncBus(), BusAccess(notify=["door"]), properties={})


async def test_only_its_own_connection_ends_a_session() -> None:
    """A good-bye over a connection that was taken over ends nothing; over the newer one it does."""
    sessions, session = await opened()
    old, new = Ends(), Ends()
    session.attach(old.wire, "{}")
    session.attach(new.wire, "{}")
    assert old.codes == [CloseCode.RESUMED_ELSEWHERE]
    session.leave(old.wire)
    assert len(sessions) == 1
    session.leave(new.wire)
    assert len(sessions) == 0


async def test_a_session_ends_once() -> None:
    """Its second end changes nothing, and a frame that comes after the first does nothing."""
    sessions, session = await opened()
    ends = Ends()
    session.attach(ends.wire, "{}")
    notify = {"type": "notify", "key": "door", "message": "x"}
    await session.receive({**notify, "n": 1})
    assert session.received == 1
    session.end(CloseCode.REVOKED, "revoked")
    session.end(CloseCode.GOING_AWAY, "bus_closed")
    assert ends.codes == [CloseCode.REVOKED]
    await session.receive({**notify, "n": 2})
    assert session.received == 1
    assert len(sessions) == 0


async def test_gone_while_it_resumes(
    raw: Raw, bus_sessions: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that ends while its session is found leaves it to be resumed once more."""
    resume = BusSocketHandler._resume
    resumed: list[BusSession] = []

    def too_late(handler: Any, frame: Any) -> BusSession:
        if not resumed:
            handler._hang_up(CloseCode.HANDSHAKE_TIMEOUT, "handshake_timeout")
        resumed.append(resume(handler, frame))
        return resumed[-1]

    monkeypatch.setattr(BusSocketHandler, "_resume", too_late)
    async with raw() as socket, raw() as late, raw() as again:
        welcome = await socket.welcome()
        frame = {
            "type": "resume",
            "version": 1,
            "session": welcome["session"],
            "secret": welcome["secret"],
            "received": 0,
        }
        late.send(frame)
        assert await late.end() == (4408, "handshake_timeout")
        assert len(bus_sessions) == 1
        again.send(frame)
        assert (await again.frame())["type"] == "resumed"
        again.send({"type": "ping", "n": 1})
        assert (await again.answer_to(1))["value"] is True


async def test_the_store_is_asked_while_a_browser_is_connected(
    raw: Raw, app: Application, rp: RelyingParty, sign_in: SignIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as the store says that the login lives, the socket does; when it can't say, no more:
    nothing is known, so nothing is allowed."""
    _, cookie = await sign_in()
    for rule in app.wildcard_router.rules:
        if isinstance(rule.target, type) and issubclass(rule.target, BusSocketHandler):
            monkeypatch.setattr(rule.target, "keep_alive", 0.01)
    read, asked = rp.read_session, 0

    async def counted(key: str) -> Any:
        nonlocal asked
        asked += 1
        if asked > 3:
            raise StoreUnavailable("not now")
        return await read(key)

    monkeypatch.setattr(rp, "read_session", counted)
    async with raw(Cookie=cookie) as socket:
        assert (await socket.welcome(password=""))["type"] == "welcome"
        assert await socket.end() == (4503, "store_unavailable")
    assert asked == 4


async def test_the_bus_ends_before_a_browser_leaves(
    raw: Raw, rp: RelyingParty, sign_in: SignIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that stops says that it goes away, and not that the user signed out."""
    _, cookie = await sign_in()

    async def never(revoked: Any) -> Any:
        await asyncio.Event().wait()

    # Else it is by chance which of a session's two followers speaks first.
    monkeypatch.setattr("clefstorm.handlers.bus_socket.until_revoked", never)
    async with raw(Cookie=cookie) as socket:
        assert (await socket.welcome(password=""))["type"] == "welcome"
        await rp.bus.close()
        code, reason = await socket.end()
    assert (code, reason) == (CloseCode.GOING_AWAY, "bus_closed")
