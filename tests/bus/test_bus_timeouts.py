"""Timeouts: relative, never early, late by little, and refused when they are no time."""

from __future__ import annotations

import asyncio
import math
import sys
from datetime import timedelta
from typing import Any

import pytest
from given_time import GivenTimeLoop, park, run, settle

from clefstorm.bus import AsyncBus
from clefstorm.errors import BusClosed, BusTimeoutError, ConfigurationError

LATENESS = 0.05


@pytest.mark.parametrize(
    "timeout",
    [
        pytest.param(0.001, id="millisecond"),
        pytest.param(0.03125, id="one_slot"),
        pytest.param(1, id="int"),
        pytest.param(6.249, id="below_the_wider_slots"),
        pytest.param(6.25, id="first_wider_slot"),
        pytest.param(30.0, id="long_poll"),
        pytest.param(timedelta(minutes=1), id="timedelta"),
        pytest.param(86_400 * 3, id="longer_than_one_sleep"),
        pytest.param(1e9, id="thirty_years"),
    ],
)
@pytest.mark.parametrize("start", [0.0, 1000.0, 1e6 + 0.1], ids=["zero", "even", "odd"])
def test_never_early_and_hardly_late(timeout: Any, start: float) -> None:
    """Never early; late by at most a hundredth of the timeout or 50 ms, whichever is more."""
    loop = GivenTimeLoop(start)
    seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else float(timeout)

    async def story() -> None:
        bus = AsyncBus()
        for waiting in (bus.waitforkey("key", timeout), bus.waitforkeys("ab", timeout)):
            begun = loop.time()
            with pytest.raises(BusTimeoutError) as ended:
                await waiting
            assert isinstance(ended.value, TimeoutError)
            passed = loop.time() - begun
            assert seconds <= passed <= seconds + max(LATENESS, seconds / 100)
        assert bus.statistics().waiting == bus.statistics().keys == 0

    try:
        loop.run_until_complete(story())
    finally:
        loop.close()


def test_a_number_is_relative_seconds() -> None:
    """0.1.2 read a number as an absolute time; here it counts from the call."""

    async def story() -> None:
        loop = asyncio.get_running_loop()
        assert loop.time() > 100
        waiter = await park(AsyncBus().waitforkey("key", 100))
        await asyncio.sleep(99)
        assert not waiter.done()
        with pytest.raises(BusTimeoutError):
            await waiter

    run(story)


@pytest.mark.parametrize(
    "timeout",
    [
        pytest.param(0, id="zero"),
        pytest.param(0.0, id="float_zero"),
        pytest.param(-0.5, id="negative"),
        pytest.param(-math.inf, id="minus_infinity"),
        pytest.param(-(10**400), id="below_float"),
        pytest.param(timedelta(0), id="timedelta_zero"),
        pytest.param(timedelta(days=-1), id="timedelta_negative"),
    ],
)
def test_zero_or_less_ends_at_once(timeout: Any) -> None:
    """0.1.2 took 0 for no timeout; here 0 or less ends at once, in no turn of the loop."""

    async def story() -> None:
        bus = AsyncBus()
        for waiting in (bus.waitforkey("key", timeout), bus.waitforkeys(["key"], timeout)):
            with pytest.raises(BusTimeoutError):
                waiting.send(None)
        assert bus.statistics().waiting == bus.statistics().keys == 0

    run(story)


@pytest.mark.parametrize(
    "timeout",
    [
        pytest.param(None, id="none"),
        pytest.param(math.inf, id="infinity"),
        pytest.param(sys.float_info.max, id="largest_float"),
        pytest.param(timedelta.max, id="largest_timedelta"),
    ],
)
def test_none_waits_for_ever(timeout: Any) -> None:
    """None, and infinity, have no end; and what is longer than any life comes to the same."""

    async def story() -> None:
        bus = AsyncBus()
        waiter = await park(bus.waitforkey("key", timeout))
        await asyncio.sleep(1e7)
        assert not waiter.done()
        assert bus.notify("key", "message") is True
        assert await waiter == "message"

    run(story)


@pytest.mark.parametrize(
    "timeout",
    [
        pytest.param(math.nan, id="nan"),
        pytest.param(True, id="bool"),
        pytest.param(False, id="bool_false"),
        pytest.param("5", id="str"),
        pytest.param(10**400, id="above_float"),
        pytest.param([5], id="list"),
        pytest.param(5j, id="complex"),
    ],
)
def test_what_is_no_time_is_refused(timeout: Any) -> None:
    """ConfigurationError, and nothing is left behind."""

    async def story() -> None:
        bus = AsyncBus()
        for waiting in (
            bus.waitforkey("key", timeout),
            bus.waitforkeys(["key"], timeout),
            bus.subscribe(["key"]).next(timeout),
        ):
            with pytest.raises(ConfigurationError) as refused:
                await waiting
            assert refused.value.code == "timeout_invalid"
        assert bus.statistics().waiting == bus.statistics().keys == 0

    run(story)


def test_finished_waiters_leave_their_slot() -> None:
    """Whoever was told holds no memory until its deadline."""

    async def story() -> None:
        bus = AsyncBus()
        tasks = [asyncio.ensure_future(bus.waitforkey(n, 3600)) for n in range(100)]
        await settle()
        slots = bus._deadlines._slots
        assert sum(map(len, slots.values())) == 100
        for number in range(100):
            bus.notify(number, None)
        await asyncio.wait(tasks)
        assert sum(map(len, slots.values())) == 0

    run(story)


def test_slots_do_not_pile_up() -> None:
    """However many come and go, one width of slots has at most two hundred of them."""

    async def story() -> None:
        bus = AsyncBus()
        for _ in range(2000):
            waiter = await park(bus.waitforkey("key", 60))
            bus.notify("key", None)
            await waiter
            await asyncio.sleep(0.1)
        assert len(bus._deadlines._slots) == len(bus._deadlines._dues) <= 200

    run(story)


def test_one_timer_for_all() -> None:
    """The loop holds one timer for the bus, whatever the number of waiters."""

    async def story() -> None:
        bus = AsyncBus()
        loop: Any = asyncio.get_running_loop()
        tasks = [asyncio.ensure_future(bus.waitforkey("key", 60 - n / 10)) for n in range(500)]
        await settle()
        assert sum(not timer.cancelled() for timer in loop._scheduled) == 1
        for task in tasks:
            with pytest.raises(BusTimeoutError):
                await task
        late = await park(bus.waitforkey("key", 60))
        await bus.close()
        assert not any(not timer.cancelled() for timer in loop._scheduled)
        with pytest.raises(BusClosed):
            await late

    run(story)


def test_deadlines_in_their_order() -> None:
    """A shorter timeout that comes later ends first."""

    async def story() -> None:
        bus = AsyncBus()
        ended: list[float] = []

        async def wait(timeout: float) -> None:
            try:
                await bus.waitforkey("key", timeout)
            except BusTimeoutError:
                ended.append(timeout)

        timeouts = [3600.0, 30.0, 5.0, 1.0, 0.5, 7.0, 2.0]
        await asyncio.gather(*map(wait, timeouts))
        assert ended == sorted(timeouts)

    run(story)


def test_told_in_time_is_not_timed_out() -> None:
    """A message that came before the deadline wins, though its waiter runs after it."""

    async def story() -> None:
        bus = AsyncBus()
        waiter = await park(bus.waitforkey("key", 1))
        loop = asyncio.get_running_loop()
        assert isinstance(loop, GivenTimeLoop)
        assert bus.notify("key", "message") is True
        loop.advance(5)
        assert await waiter == "message"

    run(story)


def test_told_in_the_turn_of_its_deadline_is_not_timed_out() -> None:
    """A message that was a moment before the deadline wins, though neither has run yet."""

    async def story() -> None:
        bus = AsyncBus()
        waiter = await park(bus.waitforkey("key", 1))
        late = await park(bus.waitforkey("other", 1))
        loop = asyncio.get_running_loop()
        assert isinstance(loop, GivenTimeLoop)
        loop.call_later(0.5, bus.notify, "key", "message")
        loop.advance(5)
        assert await waiter == "message"
        with pytest.raises(BusTimeoutError):
            await late

    run(story)
