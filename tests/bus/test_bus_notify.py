"""notify, notifyall, waitforkey and waitforkeys: who is woken, with what, and who is not."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Coroutine
from typing import Any

import pytest
from given_time import park, run, settle

from clefstorm.bus import AsyncBus
from clefstorm.errors import BusClosed, BusTimeoutError, ConfigurationError


def nothing_left(bus: AsyncBus) -> bool:
    statistics = bus.statistics()
    return (statistics.waiting, statistics.keys, bus._waiters) == (0, 0, {})


def test_notify_wakes_the_longest_waiting() -> None:
    """notify wakes exactly one waiter, first come first served."""

    async def story() -> None:
        bus = AsyncBus()
        waiters = [await park(bus.waitforkey("key")) for _ in range(5)]
        for number, waiter in enumerate(waiters):
            assert bus.notify("key", number) is True
            await settle()
            assert [w.done() for w in waiters] == [n <= number for n in range(5)]
            assert waiter.result() == number
        assert bus.notify("key", "nobody") is False
        assert nothing_left(bus)

    run(story)


def test_notifyall_wakes_all_and_counts_them() -> None:
    """notifyall wakes all waiters of the key, and no other's, and returns their number."""

    async def story() -> None:
        bus = AsyncBus()
        waiters = [await park(bus.waitforkey("key")) for _ in range(4)]
        other = await park(bus.waitforkey("other"))
        assert bus.notifyall("key", "message") == 4
        assert await asyncio.gather(*waiters) == ["message"] * 4
        assert not other.done()
        assert bus.notifyall("other", None) == 1
        assert await other is None
        assert bus.notifyall("key", "nobody") == 0
        assert nothing_left(bus)

    run(story)


def test_nothing_is_kept_for_who_comes_later() -> None:
    """A message that nobody waits for is gone."""

    async def story() -> None:
        bus = AsyncBus()
        assert bus.notify("key", 1) is False
        assert bus.notifyall("key", 1) == 0
        with pytest.raises(BusTimeoutError):
            await bus.waitforkey("key", 1)

    run(story)


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(None, id="none"),
        pytest.param((1, 2, True), id="tuple"),
        pytest.param("timed out", id="word_used_inside"),
        pytest.param(BusTimeoutError(), id="exception"),
    ],
)
def test_any_message_arrives_as_it_is(message: Any) -> None:
    """A message may be any object; the waiter gets the very same."""

    async def story() -> None:
        bus = AsyncBus()
        one = await park(bus.waitforkey("key"))
        several = await park(bus.waitforkeys(["key", "other"], 5))
        assert bus.notifyall("key", message) == 2
        assert await one is message
        key, got = await several
        assert (key, got is message) == ("key", True)

    run(story)


# -- the faults of 0.1.2 that must not come back ------------------------------------------------


def test_second_notify_before_the_woken_waiter_ran() -> None:
    """0.1.2 raised; here the second finds the next waiter, or nobody."""

    async def story() -> None:
        bus = AsyncBus()
        first = await park(bus.waitforkey("key"))
        second = await park(bus.waitforkey("key"))
        assert [bus.notify("key", n) for n in range(3)] == [True, True, False]
        assert bus.notifyall("key", 3) == 0
        assert [await first, await second] == [0, 1]
        assert nothing_left(bus)

    run(story)


@pytest.mark.parametrize("keys", [["key"], ["key", "other"]], ids=["one_key", "two_keys"])
@pytest.mark.parametrize("done_by", ["served", "timed_out", "cancelled"])
def test_notify_never_hits_a_waiter_that_is_done(done_by: str, keys: list[str]) -> None:
    """0.1.2 could hit a waiter already served, timed out or cancelled; here it is passed over."""

    async def story() -> None:
        bus = AsyncBus()
        done = await park(bus.waitforkeys(keys, 10))
        heir = await park(bus.waitforkey("key"))
        if done_by == "served":
            assert bus.notify(keys[-1], "own") is True
        elif done_by == "cancelled":
            done.cancel()
        else:
            loop = asyncio.get_running_loop()
            told: list[Any] = []
            # In the turn of the loop in which the deadline fires, before the waiter has run.
            due = next(iter(bus._deadlines._slots))
            loop.call_at(due, lambda: told.extend([bus.notify("key", "m"), bus.notify("key", 2)]))
            with pytest.raises(BusTimeoutError):
                await done
            assert told == [True, False]
            assert await heir == "m"
            assert nothing_left(bus)
            return
        assert bus.notify("key", "message") is True
        assert bus.notifyall("key", "message") == 0
        await asyncio.wait([done, heir])
        assert heir.result() == "message"
        if done_by == "served":
            assert done.result() == (keys[-1], "own")
        assert nothing_left(bus)

    run(story)


def test_notifyall_never_hits_a_waiter_that_is_done() -> None:
    """Cancelled and served waiters are not counted, and the rest is woken."""

    async def story() -> None:
        bus = AsyncBus()
        waiters = [await park(bus.waitforkeys(["key", n])) for n in range(4)]
        waiters[0].cancel()
        assert bus.notify(2, "own") is True
        assert bus.notifyall("key", "message") == 2
        await asyncio.wait(waiters)
        assert waiters[0].cancelled()
        assert [w.result() for w in waiters[1:]] == [
            ("key", "message"),
            (2, "own"),
            ("key", "message"),
        ]
        assert nothing_left(bus)

    run(story)


def test_a_key_listed_twice_counts_once() -> None:
    """0.1.2 broke its clean-up; here the waiter is woken once and leaves nothing."""

    async def story() -> None:
        bus = AsyncBus()
        twice = await park(bus.waitforkeys(["key", "key", "other", "key"]))
        assert bus.statistics().waiting == 1
        assert bus.notifyall("key", "message") == 1
        assert await twice == ("key", "message")
        again = await park(bus.waitforkeys(iter(["key", "key"]), 1))
        with pytest.raises(BusTimeoutError):
            await again
        assert nothing_left(bus)

    run(story)


def test_cancelling_many_is_linear() -> None:
    """0.1.2 searched its list for each waiter that left; here the work for each does not grow."""

    def equality_tests(count: int) -> int:
        compared = 0

        class Key:
            def __init__(self, name: str) -> None:
                self.name = name

            def __hash__(self) -> int:
                return 7

            def __eq__(self, other: object) -> bool:
                nonlocal compared
                compared += 1
                return isinstance(other, Key) and other.name == self.name

        async def story() -> None:
            bus = AsyncBus()
            tasks = [asyncio.ensure_future(bus.waitforkey(Key("k"))) for _ in range(count)]
            await settle()
            for task in reversed(tasks):
                task.cancel()
            await asyncio.wait(tasks)
            assert nothing_left(bus)

        run(story)
        return compared

    assert equality_tests(2000) <= 10 * equality_tests(200) + 10


def test_a_long_queue_with_gaps_keeps_its_order() -> None:
    """First come first served holds when every second waiter of a long queue has left."""

    async def story() -> None:
        bus = AsyncBus()
        tasks = [asyncio.ensure_future(bus.waitforkey("key")) for _ in range(1000)]
        await settle()
        order: list[int] = []
        for task in tasks:
            task.add_done_callback(lambda task: order.append(tasks.index(task)))
        for task in tasks[::2]:
            task.cancel()
        woken = sum(bus.notify("key", None) for _ in tasks)
        await asyncio.wait(tasks)
        assert woken == 500
        assert [n for n in order if n % 2] == list(range(1, 1000, 2))
        assert nothing_left(bus)

    run(story)


# -- cancellation -------------------------------------------------------------------------------


@pytest.mark.parametrize("keys", [["key"], ["key", "other"]], ids=["one_key", "two_keys"])
def test_cancelled_after_being_chosen_hands_on(keys: list[str]) -> None:
    """A waiter that was notified and then cancelled before it ran hands the message on."""

    async def story() -> None:
        bus = AsyncBus()
        chosen = await park(bus.waitforkeys(keys))
        also = await park(bus.waitforkey("key"))
        heir = await park(bus.waitforkey("key"))
        assert bus.notify("key", "message") is True
        chosen.cancel()
        also.cancel()
        assert await heir == "message"
        assert chosen.cancelled()
        assert also.cancelled()
        assert nothing_left(bus)
        assert bus.statistics().delivered == 1

    run(story)


def test_cancelled_after_being_chosen_without_an_heir() -> None:
    """With nobody to hand it to the message is gone, and nothing is left behind."""

    async def story() -> None:
        bus = AsyncBus()
        chosen = await park(bus.waitforkey("key", 5))
        assert bus.notify("key", "message") is True
        chosen.cancel()
        await settle()
        assert chosen.cancelled()
        assert nothing_left(bus)
        assert bus.statistics().delivered == 0

    run(story)


def test_cancelled_after_notifyall_hands_nothing_on() -> None:
    """The message of notifyall was one of all: who comes after it does not get it."""

    async def story() -> None:
        bus = AsyncBus()
        chosen = await park(bus.waitforkey("key"))
        assert bus.notifyall("key", "message") == 1
        chosen.cancel()
        late = bus.waitforkey("key")
        late.send(None)  # waits already when the cancelled one runs
        await settle()
        assert chosen.cancelled()
        assert bus.statistics().waiting == 1
        late.close()
        assert nothing_left(bus)

    run(story)


@pytest.mark.parametrize("timeout", [None, 30], ids=["for_ever", "timed"])
def test_cancelled_waiters_leave_nothing(timeout: float | None) -> None:
    """Cancelled waiters are in no queue and in no slot of time."""

    async def story() -> None:
        bus = AsyncBus()
        tasks = [asyncio.ensure_future(bus.waitforkey("key", timeout)) for _ in range(50)]
        tasks += [asyncio.ensure_future(bus.waitforkeys(["key", n], timeout)) for n in range(50)]
        await settle()
        assert bus.statistics().waiting == 100
        assert bus.statistics().keys == 51
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        assert nothing_left(bus)
        assert not any(bus._deadlines._slots.values())

    run(story)


def test_a_dropped_coroutine_leaves_nothing() -> None:
    """A waiter whose coroutine is thrown away without a word is gone too, and its message kept."""

    async def story() -> None:
        bus = AsyncBus()
        waiting = bus.waitforkey("key", 5)
        waiting.send(None)
        chosen = bus.waitforkey("key", 5)
        chosen.send(None)
        heir = await park(bus.waitforkey("key"))
        waiting.close()
        assert bus.statistics().waiting == 2
        assert bus.notify("key", "message") is True
        chosen.close()
        assert await heir == "message"
        assert nothing_left(bus)

    run(story)


def test_wait_for_of_asyncio_composes() -> None:
    """asyncio.timeout and wait_for around a wait leave nothing and lose nothing."""

    async def story() -> None:
        bus = AsyncBus()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3):
                await bus.waitforkey("key")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(bus.waitforkey("key"), 3)
        assert nothing_left(bus)

    run(story)


# -- keys ---------------------------------------------------------------------------------------


def test_keys_of_one_waiter_notified_twice_before_it_runs() -> None:
    """A waiter gets exactly one message: the second finds the next waiter of its key, or nobody."""

    async def story() -> None:
        bus = AsyncBus()
        several = await park(bus.waitforkeys(["a", "b"]))
        heir = await park(bus.waitforkey("b"))
        assert bus.notify("a", 1) is True
        assert bus.notify("b", 2) is True
        assert bus.notify("b", 3) is False
        assert await several == ("a", 1)
        assert await heir == 2
        assert nothing_left(bus)

    run(story)


def test_waiters_of_one_and_of_several_keys_share_a_queue() -> None:
    """First come first served holds over waitforkey and waitforkeys alike."""

    async def story() -> None:
        bus = AsyncBus()
        first = await park(bus.waitforkeys(["a", "b"]))
        second = await park(bus.waitforkey("b"))
        third = await park(bus.waitforkeys(["b", "c"]))
        assert [bus.notify("b", n) for n in range(4)] == [True, True, True, False]
        assert [await first, await second, await third] == [("b", 0), 1, ("b", 2)]
        assert nothing_left(bus)

    run(story)


def test_unhashable_keys_are_refused_as_a_dict_does() -> None:
    """TypeError, and nothing is left of the keys before it."""

    async def story() -> None:
        bus = AsyncBus()
        bad: Any = ["list"]
        for timeout in (None, 5, 0):
            with pytest.raises(TypeError):
                await bus.waitforkey(bad, timeout)
            with pytest.raises(TypeError):
                await bus.waitforkeys(["good", bad], timeout)
        with pytest.raises(TypeError):
            bus.notify(bad, 1)
        with pytest.raises(TypeError):
            bus.notifyall(bad, 1)
        with pytest.raises(TypeError):
            bus.subscribe(["good", bad])
        with pytest.raises(TypeError):
            await bus.publish(bad, 1)
        assert nothing_left(bus)
        assert bus.statistics().subscribers == bus.statistics().retained == 0

    run(story)


def test_no_keys_at_all_is_refused() -> None:
    """Whoever waits for nothing would wait for ever: ConfigurationError."""

    async def story() -> None:
        bus = AsyncBus()
        nothing: list[str] = []
        for keys in (nothing, iter(nothing)):
            with pytest.raises(ConfigurationError) as refused:
                await bus.waitforkeys(keys)
            assert refused.value.code == "keys_empty"
        with pytest.raises(ConfigurationError):
            bus.subscribe([])

    run(story)


# -- loops, threads, the end --------------------------------------------------------------------


def test_made_without_a_loop_and_used_on_one_after_another() -> None:
    """A bus needs no loop to be made, and serves a new one after the first has ended."""
    bus = AsyncBus()
    assert bus.notify("key", 1) is False
    assert bus.statistics().waiting == 0

    async def story() -> None:
        assert bus.notify("key", 1) is False
        waiter = await park(bus.waitforkey("key", 10))
        assert bus.notify("key", 1) is True
        assert await waiter == 1
        with pytest.raises(BusTimeoutError):
            await bus.waitforkey("key", 0.1)
        assert nothing_left(bus)

    for _ in range(3):
        run(story)


def test_waiters_of_a_closed_loop_are_forgotten() -> None:
    """A loop that was closed under its waiters takes them with it; nothing raises."""
    bus = AsyncBus()
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda _loop, _context: None)
    tasks = []

    async def leave_waiting() -> None:
        tasks.append(asyncio.ensure_future(bus.waitforkey("key", 60)))
        tasks.append(asyncio.ensure_future(bus.waitforkey("key")))
        tasks.append(asyncio.ensure_future(bus.waitforkeys(["key", "other"])))
        tasks.append(asyncio.ensure_future(bus.waitforkey("never told")))
        tasks.append(asyncio.ensure_future(bus.waitforkeys(["never", "told"])))
        bus.subscribe(["key"])
        await settle()

    loop.run_until_complete(leave_waiting())
    loop.close()
    assert bus.notify("other", 1) is False
    assert bus.notifyall("key", 1) == 0

    async def story() -> None:
        waiter = await park(bus.waitforkey("key", 60))
        assert bus.statistics().waiting == 1
        assert bus.statistics().subscribers == 0
        for task in tasks:
            task.get_coro().close()  # as the collector would
        assert bus.statistics().waiting == 1
        assert bus.notify("key", 2) is True
        assert await waiter == 2
        assert nothing_left(bus)

    run(story)
    tasks.clear()
    gc.collect()


def test_a_second_loop_while_the_first_has_waiters() -> None:
    """One bus, one loop: ConfigurationError, and the first loop's waiter is not disturbed."""
    bus = AsyncBus()
    loop = asyncio.new_event_loop()
    try:
        waiter = loop.run_until_complete(park(bus.waitforkey("key")))

        async def story() -> None:
            calls: list[Coroutine[Any, Any, Any]] = [
                bus.waitforkey("key"),
                bus.waitforkeys(["key"], 5),
                bus.publish("key", 1),
            ]
            for call in calls:
                with pytest.raises(ConfigurationError) as refused:
                    await call
                assert refused.value.code == "bus_other_loop"
            with pytest.raises(ConfigurationError):
                bus.subscribe(["key"])
            assert bus.statistics().waiting == 1

        run(story)
        assert bus.notify("key", "message") is True
        assert loop.run_until_complete(waiter) == "message"
        assert nothing_left(bus)
    finally:
        loop.close()


def test_a_second_loop_that_runs_at_the_same_time() -> None:
    """A wait on another thread's loop is refused too, while the first loop runs."""
    bus = AsyncBus()
    refused: list[BaseException] = []

    async def story() -> None:
        waiter = await park(bus.waitforkey("key", 60))

        async def intrude() -> None:
            for call in (bus.waitforkey("key", 60), bus.waitforkeys(["key", "other"])):
                try:
                    await call
                except ConfigurationError as error:
                    refused.append(error)

        thread = threading.Thread(target=lambda: asyncio.run(intrude()))
        thread.start()
        thread.join(10)
        assert bus.notify("key", "message") is True
        assert await waiter == "message"
        assert nothing_left(bus)

    run(story)
    assert [getattr(error, "code", None) for error in refused] == ["bus_other_loop"] * 2


def test_notify_from_another_thread_goes_through_the_loop() -> None:
    """As the docstring says: loop.call_soon_threadsafe(bus.notifyall, key, message)."""

    async def story() -> None:
        bus = AsyncBus()
        loop = asyncio.get_running_loop()
        waiter = await park(bus.waitforkey("key"))
        thread = threading.Thread(
            target=loop.call_soon_threadsafe, args=(bus.notifyall, "key", "message")
        )
        thread.start()
        assert await waiter == "message"
        thread.join(10)

    run(story)


def test_notify_on_another_thread_is_no_silent_fault_in_debug_mode() -> None:
    """What asyncio's debug mode says of a wrong thread is not swallowed."""
    bus = AsyncBus()
    errors: list[Exception] = []

    def tell() -> None:
        try:
            bus.notify("key", "message")
        except RuntimeError as error:
            errors.append(error)

    async def story() -> asyncio.Task[Any]:
        waiter = await park(bus.waitforkey("key"))
        thread = threading.Thread(target=tell)
        thread.start()
        thread.join(10)
        return waiter

    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda _loop, _context: None)  # of the waiter that nobody wakes
    loop.set_debug(True)
    waiter = loop.run_until_complete(story())
    loop.close()
    assert len(errors) == 1
    assert not waiter.done()


def test_close_ends_every_waiter() -> None:
    """After close whoever waits gets BusClosed, and so does whoever comes later."""

    async def story() -> None:
        bus = AsyncBus()
        one = await park(bus.waitforkey("key", 60))
        two = await park(bus.waitforkey("key"))
        several = await park(bus.waitforkeys(["key", "other"], 60))
        gone = await park(bus.waitforkey("key"))
        gone.cancel()
        await bus.close()
        await bus.close()
        for waiter in (one, two, several):
            with pytest.raises(BusClosed):
                await waiter
        assert gone.cancelled()
        for call in (bus.waitforkey("key"), bus.waitforkeys(["key"], 0), bus.publish("key", 1)):
            with pytest.raises(BusClosed):
                await call
        with pytest.raises(BusClosed):
            bus.subscribe(["key"])
        assert bus.notify("key", 1) is False
        assert bus.notifyall("key", 1) == 0
        assert nothing_left(bus)

    run(story)


def test_close_before_the_chosen_and_the_timed_out_ran() -> None:
    """A message or a deadline that came before the close stands; nothing is counted twice."""

    async def story() -> None:
        bus = AsyncBus()
        chosen = await park(bus.waitforkey("a"))
        dropped = await park(bus.waitforkey("a"))
        late = await park(bus.waitforkey("b", 1))
        loop = asyncio.get_running_loop()
        closed = asyncio.Event()

        def end() -> None:
            bus.notify("a", "message")
            bus.notify("a", "lost")
            dropped.cancel()
            asyncio.ensure_future(bus.close()).add_done_callback(lambda _: closed.set())

        loop.call_at(next(iter(bus._deadlines._slots)), end)
        await closed.wait()
        with pytest.raises(BusTimeoutError):
            await late
        assert await chosen == "message"
        assert dropped.cancelled()
        assert nothing_left(bus)

    run(story)


async def test_it_runs_on_tornados_loop() -> None:
    """Tornado's loop is asyncio's: a bus works in a handler as it does here."""
    bus = AsyncBus()
    waiter = asyncio.ensure_future(bus.waitforkey("key", 30))
    await asyncio.sleep(0)
    assert bus.notify("key", "message") is True
    assert await waiter == "message"
    assert nothing_left(bus)


def test_a_queue_of_waiters_that_are_all_done() -> None:
    """Where everybody was cancelled but has not run yet, a message finds nobody."""

    async def story() -> None:
        bus = AsyncBus()
        waiters = [await park(bus.waitforkey("key")) for _ in range(3)]
        assert bus.notify("key", 1) is True
        for waiter in waiters[1:]:
            waiter.cancel()
        assert bus.notify("key", 2) is False
        await asyncio.wait(waiters)
        assert waiters[0].result() == 1
        assert nothing_left(bus)

    run(story)


def test_cancelled_after_its_deadline() -> None:
    """A waiter that is cancelled when its time was over already hands nothing on."""

    async def story() -> None:
        bus = AsyncBus()
        late = await park(bus.waitforkey("key", 1))
        heir = await park(bus.waitforkey("key"))
        loop = asyncio.get_running_loop()
        # In the turn of the loop in which the deadline fires, before the waiter has run.
        loop.call_at(next(iter(bus._deadlines._slots)), late.cancel)
        with pytest.raises(asyncio.CancelledError):
            await late
        assert bus.statistics().waiting == 1
        assert bus.notify("key", "message") is True
        assert await heir == "message"
        assert nothing_left(bus)

    run(story)
