"""Time for tests: a wall clock that is set by hand, and an event loop that jumps.

LAW: nothing here sleeps to let time pass. The loop's timers and the Clock are one time, so that
what judges expiry and what waits for it agree. After trio's MockClock with its autojump.
"""

from __future__ import annotations

import asyncio
import math
import selectors
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from typing import Any, TypeVar, TypeVarTuple, Unpack

from tornado.ioloop import IOLoop
from tornado.platform.asyncio import AsyncIOLoop

from clefstorm.errors import ConfigurationError

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Clock:
    """A wall clock that stands still: ``clock()`` is epoch seconds, as time.time() gives them.

    ``now`` is where it starts, and may be set at any moment; None starts at the whole second
    of the real time, so that its dates are believed by whoever does not know this clock.
    """

    def __init__(self, now: float | None = None) -> None:
        self.now = float(int(time.time())) if now is None else float(now)

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> float:
        """Move forward by so many seconds and return the new time.

        Raises ConfigurationError (``clock_backwards``) for a negative number: to step back,
        as a wall clock can, set ``now``.
        """
        if not seconds >= 0:
            raise ConfigurationError(
                "a clock is advanced by 0 seconds or more", code="clock_backwards", got=seconds
            )
        self.now += seconds
        return self.now

    def __repr__(self) -> str:
        return f"Clock({self.now!r})"


class _JumpingSelector(selectors.BaseSelector):
    """A selector that lets given time pass where another one would sleep."""

    def __init__(self, clock: Clock, grace: float, threads_at_work: Callable[[], bool]) -> None:
        self._real = selectors.DefaultSelector()
        self._clock = clock
        self._grace = grace
        self._threads_at_work = threads_at_work

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout <= 0:
            return self._real.select(timeout)
        # A thread's result is on its way, and to jump would time it out: wait as others do.
        ready = self._real.select(timeout if self._threads_at_work() else self._grace)
        if not ready:
            # At epoch size a float moves in steps of a quarter of a microsecond: at least one.
            self._clock.advance(max(timeout, math.ulp(self._clock())))
        return ready

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._real.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.modify(fileobj, events, data)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._real.get_map()

    def close(self) -> None:
        self._real.close()


class GivenTimeLoop(asyncio.SelectorEventLoop):
    """An asyncio loop whose time is a Clock's; when nothing is ready, it jumps to the next timer.

    ``asyncio.sleep(3600)`` ends at once and has moved the clock by an hour; ``clock.advance``
    makes timers due as well. Sockets are real: before each jump the loop listens for ``grace``
    seconds of real time, so that bytes under way in this machine arrive first. While a thread
    of ``run_in_executor`` works, time passes as it does elsewhere. With nothing to wait for
    but the outside, the loop waits, as every loop.
    """

    def __init__(self, clock: Clock | None = None, *, grace: float = 0.005) -> None:
        self.clock = clock or Clock()
        self._start = self.clock()
        self._threads = 0
        super().__init__(_JumpingSelector(self.clock, grace, lambda: self._threads > 0))
        # asyncio runs a timer when its time plus this is past; no clock here will tick past it,
        # so it must be more than the steps of a float after years of given time.
        self._clock_resolution = 1e-6

    def time(self) -> float:
        return self.clock() - self._start

    def run_in_executor(
        self,
        executor: Executor | None,
        func: Callable[[Unpack[Ts]], T],
        *args: *Ts,
    ) -> asyncio.Future[T]:
        future = super().run_in_executor(executor, func, *args)
        self._threads += 1
        future.add_done_callback(self._thread_done)
        return future

    def _thread_done(self, future: asyncio.Future[Any]) -> None:
        self._threads -= 1


class _GivenTimeIOLoop(AsyncIOLoop):
    """Tornado's view of a GivenTimeLoop; its ``time()`` is epoch seconds, as IOLoop's is."""

    asyncio_loop: GivenTimeLoop

    def time(self) -> float:
        return self.asyncio_loop.clock()


def given_time_io_loop(clock: Clock | None = None, *, grace: float = 0.005) -> IOLoop:
    """Return a Tornado IOLoop on a GivenTimeLoop; make it pytest-tornado's by a fixture:

        @pytest.fixture
        def io_loop(given_time_io_loop):      # from clefstorm.testing.fixtures
            return given_time_io_loop

    A test that waits longer than pytest-tornado's 5 seconds, all of them given, says so with
    ``@pytest.mark.gen_test(timeout=3600)``.
    """
    loop = GivenTimeLoop(clock, grace=grace)
    io_loop: IOLoop = _GivenTimeIOLoop(asyncio_loop=loop, make_current=False)
    return io_loop
