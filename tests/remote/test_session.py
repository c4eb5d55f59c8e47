"""A remote session on a server of the same loop: life, verbs, and coming back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from clefstorm.errors import (
    BusClosed,
    BusError,
    BusTimeoutError,
    ConfigurationError,
    ConnectFailed,
    SlowSubscriber,
)
from clefstorm.handlers import BusLimits, end_remote_sessions
from clefstorm.relying_party import RelyingParty
from clefstorm.remote import RemoteBus, SessionState

Connect = Callable[..., Any]

CONNECTED = SessionState.CONNECTED_ACTIVE


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


async def waiting(rp: RelyingParty, count: int) -> None:
    await until(lambda: rp.bus.statistics().waiting == count)


# -- life ------------------------------------------------------------------------------------------


async def test_states(connect: Connect, bus_sessions: Any) -> None:
    """A session is connecting, then connected, then closed by the client; listeners hear of it,
    and the server lets go of it at once."""
    told: list[tuple[SessionState, SessionState]] = []
    async with connect() as (session, _):
        assert session.state is CONNECTED
        session.listeners.append(lambda old, new: told.append((old, new)))
        assert len(bus_sessions) == 1
    assert session.state is SessionState.CLOSED_BY_CLIENT
    assert told == [(CONNECTED, SessionState.CLOSED_BY_CLIENT)]
    await until(lambda: len(bus_sessions) == 0)


async def test_explicit_connect_and_close(connect: Connect, http_port: int) -> None:
    """connect and close work without the block; both say what is wrong when out of order."""
    async with connect() as (session, _):
        first = session.session_id
        with pytest.raises(ConfigurationError, match="session_connected"):
            await session.connect()
        await session.close()
        await session.close()
        with pytest.raises(BusClosed, match="session_closed"):
            await session.notify("door", 1)
        await session.connect({"colour": "red"})
        assert session.properties["colour"] == "red"
        assert session.session_id != first


async def test_properties(connect: Connect) -> None:
    """What the client gives is told to the server; fixed ones come from the server alone."""
    async with connect(properties={"colour": "blue"}) as (session, _):
        assert session.properties == {
            "colour": "blue",
            "$Principal": "worker",
            "$Region": "north",
            "$SessionId": session.session_id,
        }
        session.data["mine"] = 1
        assert isinstance(session.services.bus, RemoteBus)


async def test_ping(connect: Connect) -> None:
    """ping_server returns the seconds until the server's answer."""
    async with connect() as (session, _):
        assert await session.ping_server() >= 0


async def test_a_listener_that_fails_hurts_nobody(connect: Connect, caplog: Any) -> None:
    """A listener's fault is logged, and the session goes on."""
    async with connect() as (session, _):
        session.listeners.append(lambda old, new: 1 / 0)
    assert session.state is SessionState.CLOSED_BY_CLIENT
    assert "ZeroDivisionError" in caplog.text


# -- the verbs -------------------------------------------------------------------------------------


async def test_notify(connect: Connect, rp: RelyingParty) -> None:
    """notify wakes one waiter of the server and says whether there was one."""
    async with connect() as (session, _):
        assert await session.notify("door", 1) is False
        task = asyncio.create_task(rp.bus.waitforkey("door"))
        await asyncio.sleep(0)
        assert await session.notify("door", {"who": ["Ann"]}) is True
        assert await task == {"who": ["Ann"]}


async def test_notifyall(connect: Connect, rp: RelyingParty) -> None:
    """notifyall wakes all waiters and returns their number."""
    async with connect() as (session, _):
        tasks = [asyncio.create_task(rp.bus.waitforkey("door")) for _ in range(3)]
        await asyncio.sleep(0)
        assert await session.notifyall("door", "open") == 3
        assert await asyncio.gather(*tasks) == ["open"] * 3


async def test_waitforkey(connect: Connect, rp: RelyingParty) -> None:
    """waitforkey returns the message, waitforkeys which key it was, and keys keep their kind."""
    async with connect() as (session, _):
        task = asyncio.create_task(session.waitforkey("door"))
        await waiting(rp, 1)
        assert rp.bus.notify("door", None)
        assert await task is None
        task = asyncio.create_task(session.waitforkeys(["door-1", "door-2"]))
        await waiting(rp, 1)
        assert rp.bus.notify("door-2", [1, "x"])
        assert await task == ("door-2", [1, "x"])
    async with connect("numbers", "") as (session, _):
        task = asyncio.create_task(session.waitforkeys([7]))
        await waiting(rp, 1)
        assert rp.bus.notify("7", "the str") is False
        assert rp.bus.notify(7, "the int") is True
        assert await task == (7, "the int")


@pytest.mark.parametrize(
    "timeout", [0.05, timedelta(seconds=0.05), 0, -1], ids=["float", "timedelta", "zero", "past"]
)
async def test_timeout(connect: Connect, rp: RelyingParty, timeout: Any) -> None:
    """At its end a wait raises BusTimeoutError, and nothing is left behind on the server."""
    async with connect() as (session, _):
        with pytest.raises(BusTimeoutError):
            await session.waitforkey("door", timeout)
        assert rp.bus.statistics().waiting == 0


async def test_cancelled_wait(connect: Connect, rp: RelyingParty) -> None:
    """A cancelled wait leaves nothing behind on the server."""
    async with connect() as (session, _):
        task = asyncio.create_task(session.waitforkey("door"))
        await waiting(rp, 1)
        task.cancel()
        await waiting(rp, 0)


async def test_wait_is_there_before_what_follows(connect: Connect, rp: RelyingParty) -> None:
    """What is asked later is done later: a session's own notify wakes its own wait."""
    async with connect() as (session, _):
        task = asyncio.create_task(session.waitforkey("door"))
        await asyncio.sleep(0)
        assert await session.notify("door", "me") is True
        assert await task == "me"


async def test_publish_and_subscribe(connect: Connect, rp: RelyingParty) -> None:
    """Subscribers get what is published, in order, with the bus's ids; `after` replays."""
    async with connect() as (session, _):
        before = await session.publish("door", 0)
        with await session.subscribe(["door"], after=before) as news:
            assert not news.missed
            first = await session.publish("door", 1)
            second = await rp.bus.publish("door", 2)
            got = [await news.next(5), await news.next(5)]
            assert [(n.id, n.key, n.message) for n in got] == [
                (first, "door", 1),
                (second, "door", 2),
            ]
            assert news.position == second
            with pytest.raises(BusTimeoutError):
                await news.next(0)
        with await session.subscribe(["door"], after=first) as news:
            assert (await news.next(5)).message == 2
        with await session.subscribe(["door"], after="nonsense") as news:
            assert news.missed
        await until(lambda: rp.bus.statistics().subscribers == 1)  # the session's own


async def test_slow_subscriber_keeps_its_place(connect: Connect, rp: RelyingParty) -> None:
    """Many events come through in order, however many are on their way at a time."""
    async with connect() as (session, _):
        with await session.subscribe(["door"]) as news:
            for number in range(900):
                await rp.bus.publish("door", number)
            assert [(await news.next(10)).message for _ in range(900)] == list(range(900))


async def test_message_that_is_no_json_for_a_waiter(connect: Connect, rp: RelyingParty) -> None:
    """A message of the server's that JSON has not is an error for its waiter alone."""
    async with connect() as (session, _):
        task = asyncio.create_task(session.waitforkey("door"))
        await waiting(rp, 1)
        rp.bus.notify("door", object())
        with pytest.raises(BusError, match="frame_not_json"):
            await task
        assert await session.ping_server() >= 0


async def test_who_does_not_read_is_cut_off(connect: Connect, rp: RelyingParty) -> None:
    """A subscriber a thousand behind gets SlowSubscriber, and may come back with its position."""
    async with connect() as (session, _):
        with await session.subscribe(["door"]) as news:
            for number in range(1100):
                await rp.bus.publish("door", number)
                if number % 100 == 0:
                    await session.ping_server()
            await until(lambda: rp.bus.statistics().subscribers == 1)  # the session's own
            with pytest.raises(SlowSubscriber):
                await news.next(5)
        assert await session.ping_server() >= 0


async def test_timeout_in_mid_flight_takes_what_came(connect: Connect, rp: RelyingParty) -> None:
    """A message that the server had chosen for a wait is not lost when the wait times out in the
    same moment: the answer to "no longer" is the message."""
    async with connect() as (session, wire):
        wait = asyncio.create_task(session.waitforkey("door", 0.2))
        await waiting(rp, 1)
        wire.hold.clear()  # what the server says stays on the way
        assert rp.bus.notify("door", "just in time") is True
        await asyncio.sleep(0.4)
        wire.hold.set()
        assert await wait == "just in time"


# -- coming back -----------------------------------------------------------------------------------


async def test_wait_survives_a_lost_connection(connect: Connect, rp: RelyingParty) -> None:
    """What was notified while the connection was away arrives once when it is back."""
    async with connect() as (session, wire):
        waits = [asyncio.create_task(session.waitforkey(f"door-{n}")) for n in range(3)]
        await waiting(rp, 3)
        told: list[SessionState] = []
        session.listeners.append(lambda old, new: told.append(new))
        same = session.session_id
        wire.open = False
        wire.cut()
        await until(lambda: session.state is SessionState.RECOVERING_RECONNECT)
        assert [rp.bus.notify(f"door-{n}", n) for n in range(3)] == [True] * 3
        wire.open = True
        assert await asyncio.gather(*waits) == [0, 1, 2]
        assert told == [SessionState.RECOVERING_RECONNECT, CONNECTED]
        assert session.session_id == same
        assert rp.bus.statistics().waiting == 0


async def test_requests_survive_a_lost_connection(connect: Connect, rp: RelyingParty) -> None:
    """What was asked while, or just before, the connection was away is carried out once."""
    async with connect() as (session, wire):
        with rp.bus.subscribe(["door"]) as heard:
            wire.deaf = True  # sent, and lost on the way
            asked = [asyncio.create_task(session.publish("door", 1))]
            await asyncio.sleep(0.05)
            wire.open = False
            wire.cut()
            await until(lambda: session.state is SessionState.RECOVERING_RECONNECT)
            asked.append(asyncio.create_task(session.publish("door", 2)))
            await asyncio.sleep(0)
            wire.deaf, wire.open = False, True
            ids = await asyncio.gather(*asked)
            got = [await heard.next(0) for _ in range(2)]
            assert [(n.id, n.message) for n in got] == [(ids[0], 1), (ids[1], 2)]
            with pytest.raises(BusTimeoutError):
                await heard.next(0)


async def test_nothing_is_doubled_when_answers_are_lost(connect: Connect, rp: RelyingParty) -> None:
    """Cut again and again amid a stream of both directions: each event comes once, in order."""
    async with connect() as (session, wire):
        with await session.subscribe(["door"]) as news:
            for number in range(60):
                await (session if number % 2 else rp.bus).publish("door", number)
                if number % 9 == 8:
                    wire.cut()
            assert [(await news.next(10)).message for _ in range(60)] == list(range(60))
            assert not news.missed
        assert wire.accepted > 4


async def test_timeout_while_away(connect: Connect, rp: RelyingParty) -> None:
    """A timeout ends a wait also while there is no connection."""
    async with connect() as (session, wire):
        wire.open = False
        wire.cut()
        await until(lambda: session.state is SessionState.RECOVERING_RECONNECT)
        with pytest.raises(BusTimeoutError):
            await session.waitforkey("door", 0.05)


async def test_close_while_away(connect: Connect) -> None:
    """close ends a session that is looking for its server, and its waits."""
    async with connect() as (session, wire):
        wait = asyncio.create_task(session.waitforkey("door"))
        await asyncio.sleep(0)
        wire.open = False
        wire.cut()
        await until(lambda: session.state is SessionState.RECOVERING_RECONNECT)
        await session.close()
        with pytest.raises(BusClosed, match="session_closed"):
            await wait


async def test_server_that_stops(connect: Connect, rp: RelyingParty, bus_sessions: Any) -> None:
    """When the server's bus is closed its sessions end, and clients look for who comes next; a
    closed bus lets nobody in."""
    async with connect() as (session, _):
        wait = asyncio.create_task(session.waitforkey("door"))
        await waiting(rp, 1)
        await rp.bus.close()
        with pytest.raises(BusError, match="session_lost"):
            await wait
        assert session.state is SessionState.RECOVERING_RECONNECT
        assert len(bus_sessions) == 0
    with pytest.raises(ConnectFailed, match="closed_in_handshake"):
        async with connect():
            pass


async def test_revoked_principal(connect: Connect, rp: RelyingParty, bus_sessions: Any) -> None:
    """The application ends a principal's sessions, also one that is away, and nobody else's."""
    async with connect() as (session, _), connect() as (away, wire), connect("other") as (other, _):
        wait = asyncio.create_task(session.waitforkey("door"))
        await waiting(rp, 1)
        wire.open = False
        wire.cut()
        await until(lambda: away.state is SessionState.RECOVERING_RECONNECT)
        await end_remote_sessions(rp.bus, "worker")
        with pytest.raises(BusError, match="revoked"):
            await wait
        assert session.state is SessionState.CLOSED_BY_SERVER
        await until(lambda: len(bus_sessions) == 1)
        assert await other.ping_server() >= 0
    await until(lambda: rp.bus.statistics().subscribers == 0)


@pytest.mark.parametrize("limits", [BusLimits(grace=0)])
async def test_session_that_was_not_kept(
    connect: Connect, rp: RelyingParty, bus_sessions: Any
) -> None:
    """After the grace time waits fail with session_lost, the server has let go of them, and a new
    session has subscriptions go on where they were."""
    async with connect() as (session, wire):
        first = session.session_id
        with await session.subscribe(["door"]) as news:
            wait = asyncio.create_task(session.waitforkey("door"))
            await waiting(rp, 1)
            wire.open = False
            wire.cut()
            await until(lambda: len(bus_sessions) == 0)
            assert rp.bus.statistics().waiting == 0
            await rp.bus.publish("door", "meanwhile")
            wire.open = True
            with pytest.raises(BusError, match="session_lost"):
                await wait
            assert (await news.next(10)).message == "meanwhile"
            assert not news.missed  # the bus still held it
        assert session.session_id != first


async def test_pauses_grow(connect: Connect) -> None:
    """Attempts follow at a quarter of a second, then twice as long each time, up to ten seconds;
    the jitter takes up to half away."""
    pauses: list[float] = []
    now = [0.0]

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        now[0] += seconds
        if len(pauses) == 9:
            wire.open = True
        await asyncio.sleep(0)

    async with connect(sleep=sleep, clock=lambda: now[0], jitter=lambda: 1.0) as (session, wire):
        wire.open = False
        wire.cut()
        await until(lambda: len(pauses) >= 9 and session.state is CONNECTED)
    assert pauses[:9] == [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0, 10.0]


async def test_waits_end_with_the_grace_time(connect: Connect, rp: RelyingParty) -> None:
    """Nothing hangs: when the server stays away for longer than it keeps a session, waits fail."""
    now = [0.0]

    async def sleep(seconds: float) -> None:
        now[0] += seconds
        await asyncio.sleep(0)

    async with connect(sleep=sleep, clock=lambda: now[0]) as (session, wire):
        wait = asyncio.create_task(session.waitforkey("door"))
        await waiting(rp, 1)
        wire.open = False
        wire.cut()
        with pytest.raises(BusError, match="session_lost"):
            await wait
        assert session.state is SessionState.RECOVERING_RECONNECT
