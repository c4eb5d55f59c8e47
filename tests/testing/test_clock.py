"""Given time: the clock, and the loop that jumps."""

from __future__ import annotations

import asyncio
import datetime
import threading
import time
from collections.abc import Iterator

import pytest
from tornado import gen
from tornado.httpclient import AsyncHTTPClient
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from clefstorm.errors import ConfigurationError
from clefstorm.testing import Clock, GivenTimeLoop
from clefstorm.testing.clock import given_time_io_loop

YEAR = 365 * 86400


@pytest.fixture
def loop(clock: Clock) -> Iterator[GivenTimeLoop]:
    loop = GivenTimeLoop(clock)
    yield loop
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()


def test_clock_starts_at_a_whole_second() -> None:
    """A clock without a start has the real date, to the second, and then stands still."""
    before = time.time()
    clock = Clock()
    assert int(before) <= clock() <= time.time()
    assert clock() == int(clock())
    assert Clock(5)() == 5.0
    assert repr(Clock(5)) == "Clock(5.0)"


def test_clock_advances() -> None:
    """advance moves it forward by seconds; now may be set to any time."""
    clock = Clock(100)
    assert clock.advance(0.5) == clock() == 100.5
    clock.now = 3
    assert clock() == 3


@pytest.mark.parametrize("seconds", [-1, -0.001, float("nan")])
def test_clock_does_not_run_backwards(seconds: float) -> None:
    """advance never moves back."""
    clock = Clock(100)
    clock.advance(0)
    with pytest.raises(ConfigurationError) as refused:
        clock.advance(seconds)
    assert refused.value.code == "clock_backwards"
    assert clock() == 100


def test_sleep_takes_no_time(loop: GivenTimeLoop, clock: Clock) -> None:
    """A year's sleep ends at once, and has moved loop and clock by a year, to the second."""
    start, begun = clock(), loop.time()
    loop.run_until_complete(asyncio.sleep(YEAR))

    assert clock() == start + YEAR
    assert loop.time() == begun + YEAR


def test_timers_come_in_order(loop: GivenTimeLoop, clock: Clock) -> None:
    """Timers run in the order of their times, each at its own."""
    seen: list[tuple[str, float]] = []
    start = loop.time()

    async def note(name: str, delay: float) -> None:
        await asyncio.sleep(delay)
        seen.append((name, loop.time() - start))

    async def all_of_them() -> None:
        await asyncio.gather(note("third", 30), note("first", 0.5), note("second", 2))

    loop.run_until_complete(all_of_them())
    assert seen == [("first", 0.5), ("second", 2), ("third", 30)]


@pytest.mark.parametrize("delay", [0.1, 1e-9, 0.3333333, 12345.678, 1e-7])
def test_odd_delays_end(loop: GivenTimeLoop, delay: float) -> None:
    """A delay that a float of today's date can't hold exactly ends all the same."""
    before = loop.time()
    loop.run_until_complete(asyncio.sleep(delay))
    assert loop.time() - before == pytest.approx(delay, abs=1e-6)


def test_timeouts(loop: GivenTimeLoop, clock: Clock) -> None:
    """asyncio.timeout and wait_for measure given time."""

    async def wait() -> None:
        start = clock()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(60):
                await asyncio.Event().wait()
        assert clock() == start + 60
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), 40)
        assert clock() == start + 100

    loop.run_until_complete(wait())


def test_ready_work_comes_before_time(loop: GivenTimeLoop, clock: Clock) -> None:
    """As long as something is ready, no time passes."""

    async def busy() -> float:
        timer = loop.call_later(1, lambda: None)
        start = clock()
        for _ in range(1000):
            await asyncio.sleep(0)
        timer.cancel()
        return clock() - start

    assert loop.run_until_complete(busy()) == 0


def test_advancing_makes_timers_due(loop: GivenTimeLoop, clock: Clock) -> None:
    """A clock that is advanced by hand takes the loop along."""

    async def advanced() -> list[str]:
        seen: list[str] = []
        loop.call_later(10, seen.append, "ten")
        loop.call_later(20, seen.append, "twenty")
        clock.advance(10)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return seen

    assert loop.run_until_complete(advanced()) == ["ten"]


def test_threads_are_waited_for(loop: GivenTimeLoop, clock: Clock) -> None:
    """While a thread of run_in_executor works, no timer is jumped to."""

    async def work() -> tuple[str, float]:
        start = clock()
        release = threading.Event()
        loop.call_soon(release.set)

        def slow() -> str:
            release.wait()
            time.sleep(0.02)
            return "done"

        async with asyncio.timeout(3600):
            return await loop.run_in_executor(None, slow), clock() - start

    assert loop.run_until_complete(work()) == ("done", 0)


class _Slow(RequestHandler):
    async def get(self) -> None:
        await asyncio.sleep(30)
        self.write("late")


def test_sockets_are_real(clock: Clock) -> None:
    """A request that is answered after 30 given seconds is answered then, and at once."""
    io_loop = given_time_io_loop(clock)

    async def ask() -> tuple[bytes, float]:
        server = HTTPServer(Application([("/", _Slow)]))
        [socket] = bind_sockets(0, "127.0.0.1")
        server.add_sockets([socket])
        client = AsyncHTTPClient(force_instance=True)
        start = clock()
        url = f"http://127.0.0.1:{socket.getsockname()[1]}/"
        response = await client.fetch(url, request_timeout=3600)
        client.close()
        server.stop()
        await server.close_all_connections()
        return response.body, clock() - start

    body, seconds = io_loop.run_sync(ask)
    io_loop.close()
    assert body == b"late"
    assert seconds == pytest.approx(30, abs=1e-3)


def test_tornado_shares_the_time(clock: Clock) -> None:
    """IOLoop.time() is the clock's, and deadlines as floats or timedeltas are measured by it."""
    io_loop = given_time_io_loop(clock)

    async def wait() -> None:
        start = clock()
        assert io_loop.time() == start
        for deadline in (start + 7, datetime.timedelta(seconds=7)):
            with pytest.raises(TimeoutError):
                await gen.with_timeout(deadline, asyncio.get_running_loop().create_future())
        assert clock() == start + 14
        seen: list[float] = []
        io_loop.add_timeout(clock() + 5, lambda: seen.append(clock()))
        io_loop.call_later(6, lambda: seen.append(clock()))
        await gen.sleep(10)
        assert seen == [start + 19, start + 20]

    io_loop.run_sync(wait, timeout=3600)
    io_loop.close()


class TestAsThePluginsLoop:
    @pytest.fixture
    def threads_end(self) -> Iterator[None]:
        before = set(threading.enumerate())
        yield
        assert set(threading.enumerate()) <= before

    @pytest.fixture
    def io_loop(self, threads_end: None, given_time_io_loop: IOLoop) -> IOLoop:
        return given_time_io_loop

    @pytest.mark.gen_test(timeout=7200)
    async def test_the_fixture(self, clock: Clock) -> None:
        """given_time_io_loop serves as pytest-tornado's io_loop, on the time of ``clock``."""
        start = clock()
        await asyncio.sleep(3600)
        assert clock() == start + 3600

    async def test_its_teardown(self) -> None:
        """Threads that are still at work when the test ends are waited for."""
        asyncio.get_running_loop().run_in_executor(None, time.sleep, 0.05)
