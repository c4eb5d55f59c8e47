"""What a session makes of a conversation, frame by frame: no network, no server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from typing import Any

import pytest

from clefstorm.bus import Notification
from clefstorm.errors import BusClosed, BusError, ProtocolViolation, SlowSubscriber
from clefstorm.remote import RemoteBus, SessionState
from clefstorm.remote import channel as channel_module
from clefstorm.remote.channel import Channel
from clefstorm.remote.remote_bus import RemoteSubscription


class Server:
    """The other end of a channel: what was sent to it, and its own numbered frames."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.frames: list[dict[str, Any]] = []
        self._number = 0
        channel.begin(self._take, largest=65536)

    def _take(self, text: str) -> None:
        self.frames.append(json.loads(text))

    def begin_again(self) -> None:
        self._number = 0
        self.channel.begin(self._take, largest=65536)

    def send(self, kind: str, to: int, **members: Any) -> None:
        self._number += 1
        self.channel.receive({"type": kind, "n": self._number, "to": to, **members})

    def sent(self, kind: str) -> list[dict[str, Any]]:
        return [frame for frame in self.frames if frame["type"] == kind]


@pytest.fixture
def channel() -> Channel:
    return Channel()


@pytest.fixture
def server(channel: Channel) -> Server:
    return Server(channel)


@pytest.fixture
def bus(channel: Channel) -> RemoteBus:
    return RemoteBus(channel)


def lost() -> BusError:
    return BusError("it is gone", code="session_lost")


async def begun(work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    task = asyncio.create_task(work)
    await asyncio.sleep(0)
    return task


async def subscribed(bus: RemoteBus, server: Server, **answer: Any) -> RemoteSubscription:
    """A subscription to "door" that the server has begun at the position "p1"."""
    task = await begun(bus.subscribe(["door"]))
    number = server.sent("subscribe")[-1]["n"]
    server.send("reply", number, value={"missed": False, "position": "p1", **answer})
    subscription = await task
    assert isinstance(subscription, RemoteSubscription)
    return subscription


# -- the conversation ------------------------------------------------------------------------------


async def test_what_is_not_acknowledged_is_bounded(
    channel: Channel, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that acknowledges nothing is asked no more, until it does."""
    monkeypatch.setattr(channel_module, "MOST_HELD", 2)
    channel.ask("ping")
    channel.ask("ping")
    with pytest.raises(BusError) as caught:
        channel.ask("ping")
    assert caught.value.code == "too_many_unacknowledged"
    assert len(server.sent("ping")) == 2
    channel.receive({"type": "ack", "n": 1})
    channel.ask("ping")
    assert len(server.sent("ping")) == 3


async def test_a_frame_that_comes_twice_counts_once(channel: Channel, server: Server) -> None:
    """A server that missed our acknowledgement sends again: it is told, and nothing is doubled."""
    told: list[Notification] = []

    class Listener:
        def arrived(self, notification: Notification) -> bool:
            told.append(notification)
            return True

        def end(self, reason: BusError) -> None: ...

    channel.listeners[1] = Listener()
    event = {"type": "event", "n": 1, "to": 1, "id": "p2", "key": "door", "message": "x"}
    channel.receive(event)
    channel.receive(event)
    assert [news.message for news in told] == ["x"]
    assert server.sent("ack") == [{"type": "ack", "n": 1}] * 2


async def test_what_is_read_after_the_connection_was_lost_counts(channel: Channel) -> None:
    """The answer that was still on its way is taken, and named when the session is resumed."""
    server = Server(channel)
    number, answer = channel.ask("ping")
    channel.send = None
    server.send("reply", number, value=True)
    assert answer.result() is True
    assert channel.received == 1
    assert server.sent("ack") == []


async def test_who_left_is_not_told_of_the_lost_session(channel: Channel, server: Server) -> None:
    """An answer that nobody waits for any more does not keep the others from theirs."""
    _, left = channel.ask("ping")
    _, waits = channel.ask("ping")
    left.cancel()
    channel.renew(lost)
    with pytest.raises(BusError, match="session_lost"):
        await waits


def test_states() -> None:
    """A state says of itself whether requests reach the server now."""
    assert SessionState.CONNECTED_ACTIVE.connected
    assert SessionState.RECOVERING_RECONNECT.recovering
    assert SessionState.CLOSED_FAILED.closed
    for state in SessionState:
        assert state.connected + state.recovering + state.closed <= 1


# -- waits -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    ["news", None, {}, {"key": "door"}, {"key": "door", "message": 1, "more": 2}],
    ids=["text", "null", "empty", "no_message", "too_much"],
)
async def test_malformed_wait_answer(bus: RemoteBus, server: Server, value: Any) -> None:
    """An answer that is no pair of key and message is the server's fault, and named so."""
    good = await begun(bus.waitforkeys(["door"]))
    server.send("reply", 1, value={"key": "door", "message": "open"})
    assert await good == ("door", "open")
    bad = await begun(bus.waitforkeys(["door"]))
    server.send("reply", 2, value=value)
    with pytest.raises(ProtocolViolation) as caught:
        await bad
    assert caught.value.code == "frame_malformed"


async def test_cancelled_wait(bus: RemoteBus, server: Server) -> None:
    """The server hears of a wait that was given up; not of one that it had answered already."""
    task = await begun(bus.waitforkey("door"))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [frame["to"] for frame in server.sent("cancel")] == [1]
    task = await begun(bus.waitforkey("door"))
    server.send("reply", 3, value={"key": "door", "message": "x"})
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [frame["to"] for frame in server.sent("cancel")] == [1]


# -- subscriptions ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value", [None, [], {}, {"missed": False, "position": 7}], ids=["null", "list", "empty", "int"]
)
async def test_malformed_subscribe_answer(
    bus: RemoteBus, server: Server, channel: Channel, value: Any
) -> None:
    """A subscription that the server does not begin properly is none, and nobody listens."""
    with await subscribed(bus, server):
        assert len(channel.listeners) == 1
    task = await begun(bus.subscribe(["door"]))
    server.send("reply", server.sent("subscribe")[-1]["n"], value=value)
    with pytest.raises(ProtocolViolation) as caught:
        await task
    assert caught.value.code == "frame_malformed"
    assert channel.listeners == {}
    bus.end(lost)


async def test_server_ends_a_subscription(bus: RemoteBus, server: Server) -> None:
    """Who is too slow is cut off by the server with a word; what had come is still read."""
    news = await subscribed(bus, server)
    server.send("event", 1, id="p2", key="door", message="first")
    server.send("end", 1, code="slow_subscriber", message="too slow")
    assert (await news.next(0)).message == "first"
    with pytest.raises(SlowSubscriber):
        await news.next(0)
    bus.end(lost)


async def test_a_new_session_goes_on_where_the_old_one_was(
    bus: RemoteBus, server: Server, channel: Channel
) -> None:
    """What came and was not read yet is not jumped over; without it the new position holds."""
    unread, read = await subscribed(bus, server), await subscribed(bus, server)
    server.send("event", 1, id="p2", key="door", message="unread")
    channel.renew(lost)
    server.begin_again()
    bus.subscribe_again()
    assert [frame["after"] for frame in server.sent("subscribe")] == [None, None, "p2", "p1"]
    server.send("reply", 1, value={"missed": False, "position": "q1"})
    server.send("reply", 2, value={"missed": False, "position": "q1"})
    await asyncio.sleep(0)
    assert (unread.position, read.position) == ("p1", "q1")
    assert (await unread.next(0)).message == "unread"
    assert unread.position == "p2"
    bus.end(lost)


async def test_a_new_session_that_refuses_a_subscription(
    bus: RemoteBus, server: Server, channel: Channel
) -> None:
    """Its reader hears why; a session lost once more is no reason, for the next one is asked."""
    news = await subscribed(bus, server)
    for _ in range(2):
        channel.renew(lost)
        server.begin_again()
        bus.subscribe_again()
        await asyncio.sleep(0)
    with pytest.raises(TimeoutError):
        await news.next(0)
    server.send("error", 1, code="key_forbidden", message="not any more")
    with pytest.raises(BusError) as caught:
        await news.next(10)
    assert caught.value.code == "key_forbidden"
    bus.end(lost)


async def test_a_subscribing_that_failed_is_not_taken_up_again(
    bus: RemoteBus, server: Server, channel: Channel
) -> None:
    """The call fails with the lost session, so the new one is not asked for what nobody holds."""
    task = await begun(bus.subscribe(["door"]))
    channel.renew(lost)
    server.begin_again()
    bus.subscribe_again()
    with pytest.raises(BusError, match="session_lost"):
        await task
    assert len(server.sent("subscribe")) == 1
    assert channel.listeners == {}
    assert server.sent("cancel") == []
    bus.end(lost)


async def test_the_end_of_a_session_ends_its_subscriptions(
    bus: RemoteBus, server: Server, channel: Channel
) -> None:
    """Who reads is told why; nobody cancels at a server that has ended the session."""
    news, closed_before = await subscribed(bus, server), await subscribed(bus, server)
    closed_before.close()
    assert len(server.sent("cancel")) == 1

    def over() -> BusError:
        return BusClosed("the session was closed", code="session_closed")

    reading = await begun(news.next())
    channel.closed = over
    bus.end(over)
    with pytest.raises(BusClosed) as caught:
        await reading
    assert caught.value.code == "session_closed"
    assert len(server.sent("cancel")) == 1
    assert channel.listeners == {}
