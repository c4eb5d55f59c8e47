"""Many deadlines behind one timer of the loop.

A deadline is put into a slot of time: the slots of a long timeout are wide, those of a short one
narrow, and the loop holds one timer, for the earliest slot. So arming and disarming cost a set's
add and discard instead of a timer of the loop's own.

LAW: never early; late by at most a hundredth of the timeout or 50 ms, whichever is more; a future
that is done for another reason leaves its slot. Knows no keys and no messages; its only time is
the loop's.

Source: hashed timing wheels (Varghese and Lauck, 1987), with slots as wide as the lateness allows.
"""

from __future__ import annotations

import asyncio
import math
from datetime import timedelta
from heapq import heappop, heappush
from typing import Any, Final, TypeAlias

from clefstorm.errors import ConfigurationError

Timeout: TypeAlias = float | timedelta | None
Slot: TypeAlias = set[asyncio.Future[Any]]

TIMED_OUT: Final = "timed out"  # the result that a future gets at its deadline

_FINEST: Final = 1 / 32  # seconds; the widest power of two within 50 ms
_WIDENS_FROM: Final = 200 * _FINEST  # seconds; below, a hundredth is less than two of the finest
_ORDINARY: Final = 1e9  # seconds; what is below needs no closer look
_LONGEST_SLEEP: Final = 86_400.0  # seconds; beyond a day some loops refuse a timer


def seconds_of(timeout: Timeout) -> float | None:
    """The timeout in seconds; None (for ever) for None and for infinity.

    Raises ConfigurationError for a bool, nan, or anything else that is no time.
    """
    if (type(timeout) is float or type(timeout) is int) and timeout < _ORDINARY:
        return timeout  # nan is not smaller
    if timeout is None:
        return None
    if isinstance(timeout, timedelta):
        return timeout.total_seconds()
    if isinstance(timeout, bool) or not isinstance(timeout, int | float):
        raise ConfigurationError(
            "a timeout is a number of seconds, a timedelta or None",
            code="timeout_invalid",
            got=type(timeout).__name__,
        )
    try:
        seconds = float(timeout)
    except OverflowError:
        seconds = math.nan
    if math.isnan(seconds):
        raise ConfigurationError("this timeout is no length of time", code="timeout_invalid")
    return None if seconds == math.inf else seconds


class Deadlines:
    """The deadlines of one loop's futures."""

    __slots__ = ("_begin", "_due", "_dues", "_handle", "_least", "_slot", "_slots", "loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._slots: dict[float, Slot] = {}  # by the time at which they are due
        self._dues: list[float] = []  # a heap of the same times
        self._handle: asyncio.TimerHandle | None = None
        # The slot chosen last, which the next deadline is likely to fall in too: its begin, when it
        # is due, and the least timeout for which it is narrow enough.
        self._slot: Slot = set()
        self._begin = self._due = self._least = 0.0

    def enter(self, future: asyncio.Future[Any], timeout: float) -> Slot:
        """Give ``future`` the result TIMED_OUT, unless done, in ``timeout`` seconds (above 0).

        Whoever ends the future earlier must `leave` the slot that this returns.
        """
        deadline = self.loop.time() + timeout
        if not self._begin <= deadline < self._due or timeout < self._least:
            self._choose(timeout, deadline)
        slot = self._slot
        slot.add(future)
        return slot

    def _choose(self, timeout: float, deadline: float) -> None:
        # Powers of two: their multiples are exact, and slots of different widths coincide.
        width, least = _FINEST, 0.0
        if timeout >= _WIDENS_FROM:
            width = math.ldexp(0.5, math.frexp(timeout / 100)[1])
            least = 100 * width
        begin = deadline - deadline % width
        due = begin + width
        slot = self._slots.get(due)
        if slot is None:
            # It stays until it is due, even when empty: two hundred for each width at most.
            slot = self._slots[due] = set()
            heappush(self._dues, due)
            if self._dues[0] == due:
                self._arm()
        self._slot, self._begin, self._due, self._least = slot, begin, due, least

    def _arm(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
        when = min(self._dues[0], self.loop.time() + _LONGEST_SLEEP)
        self._handle = self.loop.call_at(when, self._fire)

    def _fire(self) -> None:
        self._handle = None
        now = self.loop.time()  # the loop may call a tick of its clock too soon
        while self._dues and self._dues[0] <= now:
            for future in self._slots.pop(heappop(self._dues)):
                if not future.done():
                    future.set_result(TIMED_OUT)
        if self._dues:
            self._arm()

    def close(self) -> None:
        """Let go of the loop's timer; no deadline comes any more."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        self._slots.clear()
        self._dues.clear()


def leave(slot: Slot, future: asyncio.Future[Any]) -> None:
    """The future is done, or nobody waits for it any more."""
    slot.discard(future)
    if not slot:
        slot.clear()  # an emptied set holds on to its table
