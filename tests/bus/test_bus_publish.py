"""publish, subscribe and what is retained between them."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest
from given_time import park, run, settle

from clefstorm.bus import AsyncBus, Notification, Subscription
from clefstorm.errors import (
    BusClosed,
    BusTimeoutError,
    ConfigurationError,
    SlowSubscriber,
)


def unread(subscription: Subscription) -> list[Any]:
    return [notification.message for _, notification in subscription._queue]


def no_subscribers(bus: AsyncBus) -> bool:
    return (bus.statistics().subscribers, bus._subscribers) == (0, {})


def test_publish_reaches_waiters_and_subscribers() -> None:
    """publish is notifyall, and the subscribers of the key get a Notification with its id."""

    async def story() -> None:
        bus = AsyncBus()
        waiter = await park(bus.waitforkey("key"))
        with bus.subscribe(["key", "other"]) as subscription, bus.subscribe(["else"]) as foreign:
            assert subscription.missed is False
            id = await bus.publish("key", "message")
            assert await waiter == "message"
            assert await subscription.next(0) == Notification(id, "key", "message")
            with pytest.raises(BusTimeoutError):
                await foreign.next(0)
        assert no_subscribers(bus)

    run(story)


def test_notify_and_notifyall_are_not_published() -> None:
    """They reach waiters alone, and retain nothing."""

    async def story() -> None:
        bus = AsyncBus()
        with bus.subscribe(["key"]) as subscription:
            assert bus.notify("key", 1) is False
            assert bus.notifyall("key", 2) == 0
            with pytest.raises(BusTimeoutError):
                await subscription.next(1)
        assert bus.statistics().retained == 0

    run(story)


def test_registered_at_the_call() -> None:
    """What is published after subscribe returned is read, though nobody has awaited yet."""

    async def story() -> None:
        bus = AsyncBus()
        await bus.publish("key", "before")
        subscription = bus.subscribe(["key"])
        await bus.publish("key", "after")
        assert [(await subscription.next()).message] == ["after"]
        subscription.close()

    run(story)


def test_ids_carry_an_epoch_and_a_sequence() -> None:
    """Ids of one bus differ by their sequence, those of two by their epoch."""

    async def story() -> None:
        one, other = AsyncBus(), AsyncBus()
        ids = [await one.publish("key", n) for n in range(3)]
        epochs = {id.partition("-")[0] for id in ids}
        assert len(epochs) == 1
        assert [id.partition("-")[2] for id in ids] == ["1", "2", "3"]
        assert epochs != {(await other.publish("key", 0)).partition("-")[0]}

    run(story)


def test_replay_since_an_id() -> None:
    """Coming back with an id gives exactly what came after it, of the keys asked for, in order."""

    async def story() -> None:
        bus = AsyncBus()
        ids = [await bus.publish(key, n) for n, key in enumerate("abcabcabc")]
        for position, after in enumerate(ids):
            with bus.subscribe(["a", "c"], after=after) as subscription:
                assert subscription.missed is False
                assert unread(subscription) == [
                    n for n, key in enumerate("abcabcabc") if n > position and key in "ac"
                ]

    run(story)


def test_replay_joins_what_is_live() -> None:
    """Between what is replayed and what comes next nothing is lost and nothing is twice."""

    async def story() -> None:
        bus = AsyncBus()
        first = await bus.publish("key", 0)
        await bus.publish("key", 1)
        with bus.subscribe(["key", "key"], after=first) as subscription:
            await bus.publish("key", 2)
            assert [(await subscription.next(0)).message for _ in range(2)] == [1, 2]
            with pytest.raises(BusTimeoutError):
                await subscription.next(0)

    run(story)


def test_a_publication_between_two_polls_is_not_lost() -> None:
    """0.1.2 lost a logout that came between two long polls; with the position it is replayed."""

    async def story() -> None:
        bus = AsyncBus()
        with bus.subscribe(["key"]) as first_poll:
            with pytest.raises(BusTimeoutError):
                await first_poll.next(30)
            position = first_poll.position
        await bus.publish("key", "logout")
        with bus.subscribe(["key"], after=position) as second_poll:
            assert second_poll.missed is False
            assert (await second_poll.next(30)).message == "logout"

    run(story)


def test_position_follows_what_was_handed_out() -> None:
    """Coming back at any moment with the position gives the rest, and on a quiet key no false
    alarm when others were busy meanwhile."""

    async def story() -> None:
        bus = AsyncBus(retain_count=3)
        subscription = bus.subscribe(["key"])
        ids = [await bus.publish("key", n) for n in range(3)]
        for number, id in enumerate(ids):
            with bus.subscribe(["key"], after=subscription.position) as again:
                assert (unread(again), again.missed) == ([*range(number, 3)], False)
            assert (await subscription.next()).id == id
        assert subscription.position == ids[-1]
        for _ in range(10):
            await bus.publish("busy", None)
        with bus.subscribe(["key"], after=subscription.position) as again:
            assert (unread(again), again.missed) == ([], False)
        subscription.close()
        closed_at = subscription.position
        await bus.publish("key", "later")
        assert subscription.position == closed_at

    run(story)


@pytest.mark.parametrize(
    ("limits", "held"),
    [
        pytest.param({"retain_count": 3}, [7, 8, 9], id="count"),
        pytest.param({"retain_bytes": 2}, [8, 9], id="bytes"),
        pytest.param({"retain_age": 4.5}, [6, 7, 8, 9], id="age"),
        pytest.param({"retain_count": 0}, [], id="no_count"),
        pytest.param({"retain_bytes": 0}, [], id="no_bytes"),
        pytest.param({"retain_age": 0}, [], id="no_age"),
        pytest.param({"retain_age": math.inf}, [*range(10)], id="no_end_of_age"),
    ],
)
def test_retention_is_bounded_and_honest(limits: dict[str, Any], held: list[int]) -> None:
    """The newest are held within the bounds; whoever comes from before them is told so."""

    async def story() -> None:
        bus = AsyncBus(**limits)
        ids = []
        for number in range(10):
            ids.append(await bus.publish("key", number))
            await asyncio.sleep(1)
        assert bus.statistics().retained == bus.statistics().retained_bytes == len(held)
        assert bus.statistics().dropped == 10 - len(held)
        for position, after in enumerate(ids):
            with bus.subscribe(["key"], after=after) as subscription:
                assert unread(subscription) == [n for n in held if n > position]
                lost = [n for n in range(position + 1, 10) if n not in held]
                assert subscription.missed is bool(lost)

    run(story)


def test_age_is_kept_without_any_publication() -> None:
    """What is too old is not replayed, though nothing came since to push it out."""

    async def story() -> None:
        bus = AsyncBus(retain_age=60)
        start = await bus.publish("key", 0)
        await bus.publish("key", 1)
        await asyncio.sleep(59)
        with bus.subscribe(["key"], after=start) as subscription:
            assert (unread(subscription), subscription.missed) == ([1], False)
        await asyncio.sleep(2)
        assert bus.statistics().retained == 0
        with bus.subscribe(["key"], after=start) as subscription:
            assert (unread(subscription), subscription.missed) == ([], True)

    run(story)


def test_one_message_beyond_the_bound_does_not_push_out_the_rest() -> None:
    """It is delivered, not retained, and said to be missed."""

    async def story() -> None:
        bus = AsyncBus(retain_bytes=100)
        start = await bus.publish("key", "0")
        await bus.publish("key", "small")
        live = bus.subscribe(["key"], after=start)
        giant = await bus.publish("key", "x" * 101)
        assert unread(live) == ["small", "x" * 101]
        live.close()
        with bus.subscribe(["key"], after=start) as subscription:
            assert (unread(subscription), subscription.missed) == (["small"], True)
        with bus.subscribe(["key"], after=giant) as subscription:
            assert (unread(subscription), subscription.missed) == ([], False)

    run(story)


@pytest.mark.parametrize(
    ("message", "size"),
    [
        pytest.param(b"12345", 5, id="bytes"),
        pytest.param("12345", 5, id="str"),
        pytest.param("ééé", 6, id="str_in_utf8"),
        pytest.param("\ud800", 3, id="half_a_surrogate_pair"),
        pytest.param({"a": [1]}, len('{"a": [1]}'), id="json"),
        pytest.param(None, 4, id="none"),
        pytest.param({1, 2}, len('"{1, 2}"'), id="no_json"),
        pytest.param({(1, 2): 3}, len("{(1, 2): 3}"), id="keys_that_json_has_not"),
    ],
)
def test_what_a_message_counts(message: Any, size: int) -> None:
    """str and bytes by their length, anything else by that of its JSON, or else of its repr."""

    async def story() -> None:
        bus = AsyncBus()
        await bus.publish("key", message)
        assert bus.statistics().retained_bytes == size

    run(story)


def test_a_message_that_holds_itself_can_be_published() -> None:
    """A cycle is counted by its repr, and delivered."""

    async def story() -> None:
        bus = AsyncBus()
        message: list[Any] = []
        message.append(message)
        with bus.subscribe(["key"]) as subscription:
            await bus.publish("key", message)
            assert (await subscription.next(0)).message is message

    run(story)


@pytest.mark.parametrize(
    "after",
    [
        pytest.param("", id="empty"),
        pytest.param("rubbish", id="rubbish"),
        pytest.param("0123456789abcdef-1", id="other_epoch"),
        pytest.param("{epoch}-", id="no_sequence"),
        pytest.param("{epoch}-01", id="leading_zero"),
        pytest.param("{epoch}--1", id="negative"),
        pytest.param("{epoch}-1 ", id="space"),
        pytest.param("{epoch}-1\n", id="newline"),
        pytest.param("{epoch}-\u0661", id="digit_not_ascii"),
        pytest.param("{epoch}-" + "9" * 5000, id="endless"),
        pytest.param(1, id="no_str"),
    ],
)
def test_nonsense_for_an_id_is_missed(after: Any) -> None:
    """An id of another epoch, or none at all: missed, and what is held is replayed."""

    async def story() -> None:
        bus = AsyncBus()
        first = await bus.publish("key", 1)
        with bus.subscribe(["key"], after=first) as subscription:
            assert subscription.missed is False
        given = after
        if isinstance(after, str):
            given = after.replace("{epoch}", first.partition("-")[0])
        with bus.subscribe(["key"], after=given) as subscription:
            assert (unread(subscription), subscription.missed) == ([1], True)

    run(story)


def test_an_id_from_the_future_is_missed() -> None:
    """A sequence that was never given out is no position."""

    async def story() -> None:
        bus = AsyncBus()
        epoch = (await bus.publish("key", 1)).partition("-")[0]
        with bus.subscribe(["key"], after=f"{epoch}-2") as subscription:
            assert (unread(subscription), subscription.missed) == ([], True)

    run(story)


def test_a_new_loop_is_a_new_epoch() -> None:
    """The times of two loops can't be compared, so what was held is forgotten, and said so."""
    bus = AsyncBus()
    ids: list[str] = []

    async def publish() -> None:
        ids.append(await bus.publish("key", 1))

    async def come_back() -> None:
        with bus.subscribe(["key"], after=ids[0]) as subscription:
            assert (unread(subscription), subscription.missed) == ([], True)

    run(publish)
    run(come_back)


def test_slow_subscribers_are_cut_off() -> None:
    """Beyond its bound a subscriber is dropped with all it did not read, and learns it."""

    async def story() -> None:
        bus = AsyncBus(subscriber_queue=3)
        slow, quick = bus.subscribe(["key", "other"]), bus.subscribe(["key"])
        first = await bus.publish("key", 0)
        assert (await slow.next()).id == first
        for number in range(1, 5):
            await bus.publish("key", number)
            assert (await quick.next(0)).message == number - 1
        assert bus.statistics().subscribers == bus.statistics().cut_off == 1
        assert list(bus._subscribers) == ["key"]
        assert not slow._queue
        for _ in range(2):
            with pytest.raises(SlowSubscriber):
                await slow.next(0)
        with pytest.raises(SlowSubscriber):
            await anext(slow)
        with bus.subscribe(["key"], after=slow.position) as again:
            assert (unread(again), again.missed) == ([1, 2, 3, 4], False)
        slow.close()
        quick.close()
        assert no_subscribers(bus)

    run(story)


def test_a_replay_alone_cuts_nobody_off() -> None:
    """The bound is for what comes after: a long replay may be read in peace."""

    async def story() -> None:
        bus = AsyncBus(subscriber_queue=2)
        start = await bus.publish("key", 0)
        for number in range(1, 11):
            await bus.publish("key", number)
        subscription = bus.subscribe(["key"], after=start)
        await bus.publish("key", 11)
        await bus.publish("key", 12)
        assert [(await subscription.next(0)).message for _ in range(12)] == [*range(1, 13)]
        subscription.close()

    run(story)


def test_async_for_reads_until_closed() -> None:
    """Iteration ends when the subscription is closed, by whomever."""

    async def story() -> None:
        bus = AsyncBus()
        read: list[Any] = []

        async def reader(subscription: Subscription) -> None:
            async for notification in subscription:
                read.append(notification.message)

        subscription = bus.subscribe(["key"])
        task = await park(reader(subscription))
        for number in range(3):
            await bus.publish("key", number)
        await settle()
        subscription.close()
        subscription.close()
        await task
        assert read == [0, 1, 2]
        assert no_subscribers(bus)
        unread_one = bus.subscribe(["key"])
        await bus.publish("key", "dropped")
        unread_one.close()
        for ended in (subscription, unread_one):
            with pytest.raises(BusClosed) as closed:
                await ended.next()
        assert closed.value.code == "subscription_closed"

    run(story)


def test_next_waits_times_out_and_goes_on() -> None:
    """A timeout ends only that call; it leaves no slot, and what comes later is read."""

    async def story() -> None:
        bus = AsyncBus()
        loop = asyncio.get_running_loop()
        with bus.subscribe(["key"]) as subscription:
            begun = loop.time()
            with pytest.raises(BusTimeoutError):
                await subscription.next(30)
            assert 30 <= loop.time() - begun <= 30.3
            for timeout in (0, -1):
                with pytest.raises(BusTimeoutError):
                    subscription.next(timeout).send(None)
            waiting = await park(subscription.next(30))
            await bus.publish("key", "message")
            assert (await waiting).message == "message"
            assert not any(bus._deadlines._slots.values())

    run(story)


def test_a_cancelled_next_loses_nothing() -> None:
    """What woke a call that was cancelled is read by the next one."""

    async def story() -> None:
        bus = AsyncBus()
        with bus.subscribe(["key"]) as subscription:
            for woken in (False, True):
                waiting = await park(subscription.next(30))
                if woken:
                    await bus.publish("key", "message")
                waiting.cancel()
                await settle()
                assert waiting.cancelled()
            assert (await subscription.next(0)).message == "message"

    run(story)


def test_two_tasks_in_one_subscription_are_refused() -> None:
    """One reader each: the second is a ConfigurationError, the first goes on."""

    async def story() -> None:
        bus = AsyncBus()
        with bus.subscribe(["key"]) as subscription:
            waiting = await park(subscription.next())
            with pytest.raises(ConfigurationError) as refused:
                await subscription.next()
            assert refused.value.code == "subscription_busy"
            await bus.publish("key", "message")
            assert (await waiting).message == "message"

    run(story)


def test_closing_the_bus_ends_subscriptions() -> None:
    """What was queued may still be read, then BusClosed; iteration does not end in silence."""

    async def story() -> None:
        bus = AsyncBus()
        subscription, waiting_one = bus.subscribe(["key"]), bus.subscribe(["other"])
        waiting = await park(waiting_one.next(60))
        await bus.publish("key", "message")
        await bus.close()
        with pytest.raises(BusClosed):
            await waiting
        assert (await subscription.next(0)).message == "message"
        with pytest.raises(BusClosed):
            await anext(subscription)
        assert no_subscribers(bus)
        assert bus.statistics().retained == 0

    run(story)


def test_a_subscription_stays_on_its_loop() -> None:
    """Its reader on another loop is refused; when its loop was closed it has ended."""
    bus = AsyncBus()
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda _loop, _context: None)  # of the reader that nobody wakes
    kept: list[Subscription] = []
    tasks: list[asyncio.Task[Any]] = []

    async def subscribe() -> None:
        kept.append(bus.subscribe(["key"]))
        reader = bus.subscribe(["key"])
        kept.append(reader)
        tasks.append(await park(reader.next()))

    async def intrude() -> None:
        with pytest.raises(ConfigurationError) as refused:
            await kept[0].next()
        assert refused.value.code == "bus_other_loop"

    async def come_after() -> None:
        await bus.publish("key", 1)
        for subscription in kept:
            tasks[0].get_coro().close()  # as the collector would
            with pytest.raises(BusClosed):
                await subscription.next()
        assert no_subscribers(bus)

    loop.run_until_complete(subscribe())
    run(intrude)
    loop.close()
    run(come_after)


@pytest.mark.parametrize(
    "limits",
    [
        pytest.param({"retain_count": -1}, id="count_negative"),
        pytest.param({"retain_count": 1.5}, id="count_float"),
        pytest.param({"retain_count": True}, id="count_bool"),
        pytest.param({"retain_bytes": -1}, id="bytes_negative"),
        pytest.param({"retain_bytes": "1"}, id="bytes_str"),
        pytest.param({"retain_age": -1}, id="age_negative"),
        pytest.param({"retain_age": math.nan}, id="age_nan"),
        pytest.param({"retain_age": None}, id="age_none"),
        pytest.param({"subscriber_queue": 0}, id="queue_zero"),
        pytest.param({"subscriber_queue": 2.0}, id="queue_float"),
        pytest.param({"subscriber_queue": True}, id="queue_bool"),
    ],
)
def test_limits_that_are_none_are_refused(limits: dict[str, Any]) -> None:
    """ConfigurationError when the bus is made, not when it runs full."""
    AsyncBus(retain_count=0, retain_bytes=0, retain_age=0, subscriber_queue=1)
    with pytest.raises(ConfigurationError):
        AsyncBus(**limits)


def test_statistics_count() -> None:
    """waiting, keys and subscribers are what there is now; the rest is what was done."""

    async def story() -> None:
        bus = AsyncBus(retain_count=1)
        with bus.subscribe(["key"]):
            waiters = [await park(bus.waitforkeys(["key", n])) for n in range(3)]
            before = bus.statistics()
            assert (before.waiting, before.keys, before.subscribers) == (3, 4, 1)
            bus.notify(0, "a")
            await bus.publish("key", "bb")
            await bus.publish("key", "ccc")
            await asyncio.wait(waiters)
            after = bus.statistics()
            assert (after.waiting, after.keys, after.subscribers) == (0, 0, 1)
            assert (after.delivered, after.retained, after.retained_bytes) == (5, 1, 3)
            assert (after.dropped, after.cut_off) == (1, 0)

    run(story)
