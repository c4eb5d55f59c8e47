"""One reader of published notifications.

LAW: what was published after the registration is handed out once, in order, or the reader is cut
off and told so; a cancelled wait loses nothing; after its end it is held by nobody.

Source: own; cutting off instead of dropping in silence is what trio's and Redis' slow-client
rules do.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Hashable, Iterable
from types import TracebackType
from typing import Any

from clefstorm.bus.retention import Notification
from clefstorm.bus.timers import Deadlines, Timeout, leave, seconds_of
from clefstorm.bus.waiting import other_loop
from clefstorm.errors import (
    BusClosed,
    BusError,
    BusTimeoutError,
    ConfigurationError,
    SlowSubscriber,
)


class Subscription:
    """An async iterator of `Notification`, made by `AsyncBus.subscribe`; close it when done.

    ``missed``: something since ``after`` may be gone (dropped, or the bus is a new one), so read
    the truth again. ``keys``: what it listens to.
    """

    def __init__(
        self,
        keys: tuple[Hashable, ...],
        *,
        deadlines: Deadlines,
        replay: Iterable[tuple[int, Notification]],
        missed: bool,
        room: int,
        position: Callable[[int | None], str],
        depart: Callable[[Subscription], None],
    ) -> None:
        self.keys = keys
        self.missed = missed
        self._deadlines = deadlines
        self._queue = deque(replay)
        self._room = room + len(self._queue)  # a replay alone cuts nobody off
        self._position = position
        self._depart = depart
        self._arrival: asyncio.Future[Any] | None = None
        self._end: BusError | None = None
        self._last_position = ""

    @property
    def position(self) -> str:
        """The id to give as ``after`` when coming back: all before it was handed out or missed."""
        if self._end is not None:
            return self._last_position
        return self._position(self._queue[0][0] - 1 if self._queue else None)

    async def next(self, timeout: Timeout = None) -> Notification:
        """The next notification. ``timeout``: relative seconds or a timedelta; None: for ever;
        0 or less: only what is here already.

        A cancelled call loses no notification. Raises BusTimeoutError; SlowSubscriber after it
        was cut off; BusClosed after its own or the bus's close; ConfigurationError for a timeout
        that is no time, or while another task waits in it.
        """
        seconds = seconds_of(timeout)
        if not self._queue and self._end is None:
            if seconds is not None and seconds <= 0:
                raise BusTimeoutError()
            await self._wait(seconds)
        if self._queue:
            return self._queue.popleft()[1]
        if self._end is not None:
            raise self._end.with_traceback(None)
        raise BusTimeoutError()

    def deliver(self, sequence: int, notification: Notification) -> bool:
        """For the bus: queue a notification; False when there is no room left."""
        if len(self._queue) >= self._room:
            return False
        self._queue.append((sequence, notification))
        self._wake()
        return True

    def end(self, reason: BusError) -> None:
        """For the bus: be held by nobody from now on; `next` raises ``reason``."""
        if self._end is None:
            self._last_position = self.position
            self._end = reason
            self._depart(self)
            self._wake()

    def cut_off(self) -> None:
        """For the bus: end a reader that is too slow; what it did not read is dropped."""
        self.end(SlowSubscriber("notifications were not read fast enough"))
        self._queue.clear()

    def _wake(self) -> None:
        future = self._arrival
        if future is not None and not future.done() and not future.get_loop().is_closed():
            future.set_result(None)

    async def _wait(self, seconds: float | None) -> None:
        if self._arrival is not None:
            raise ConfigurationError(
                "another task waits in this subscription already", code="subscription_busy"
            )
        loop = asyncio.get_running_loop()
        if loop is not self._deadlines.loop:
            raise other_loop()
        future = self._arrival = loop.create_future()
        slot = None if seconds is None else self._deadlines.enter(future, seconds)
        try:
            await future
        finally:
            self._arrival = None
            if slot is not None:
                leave(slot, future)

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> Notification:
        try:
            return await self.next()
        except BusClosed as error:
            if error.code == "subscription_closed":
                raise StopAsyncIteration from None
            raise

    def close(self) -> None:
        """Stop listening, drop what was not read, and end a waiting `next`. May be repeated."""
        self.end(BusClosed("the subscription was closed", code="subscription_closed"))
        self._queue.clear()

    def __enter__(self) -> Subscription:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
