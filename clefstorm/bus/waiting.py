"""Waiting for a key, and waking whoever waits: the routing half of the bus.

LAW: a waiter gets exactly one message, first come first served; a message for one waiter is not
lost with a waiter that was cancelled; whoever leaves, leaves nothing behind. O(1) in the waiters
of a key, O(n) to wake n of them. This is the hot path: see benchmarks/bus.py before and after.

Source: the AsyncBus of clefstorm 0.1.2 for the names and their meaning; the rest is own.
"""

from __future__ import annotations

import asyncio
import sys
from asyncio import InvalidStateError
from asyncio import get_running_loop as running_loop
from collections import OrderedDict
from collections.abc import Hashable, Iterable
from typing import Any, Final, TypeAlias

from clefstorm.bus.timers import TIMED_OUT, Deadlines, Slot, Timeout, leave, seconds_of
from clefstorm.errors import BusClosed, BusError, BusTimeoutError, ConfigurationError

# Each waiter has a plain Future of its own: a shared one, or a subclass, would lose the fast path
# of the Task written in C. A message arrives in it as a tuple (key, message, exclusive), exclusive
# for notify, whose message must not be lost with its waiter. Any other result is an end.
Waiter: TypeAlias = asyncio.Future[Any]
# A key's only waiter stands in the table itself; a queue is made for the second.
_Entry: TypeAlias = Waiter | OrderedDict[Waiter, None]
_CLOSED: Final = "closed"


def distinct(keys: Iterable[Hashable]) -> tuple[Hashable, ...]:
    """Each key once. Raises ConfigurationError for no key, TypeError for one without a hash."""
    found = tuple(dict.fromkeys(keys))
    if not found:
        raise no_key()
    return found


def no_key() -> ConfigurationError:
    return ConfigurationError("there is no key to wait for", code="keys_empty")


def closed_bus() -> BusClosed:
    return BusClosed("the bus was closed")


def other_loop() -> ConfigurationError:
    return ConfigurationError(
        "this bus is in use on another event loop: make one bus for each loop",
        code="bus_other_loop",
    )


class Waiting:
    """Who waits for which key, on one event loop."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        self._waiters: dict[Hashable, _Entry] = {}
        self._deadlines: Deadlines  # the loop's; absent until there is one
        # Waiters: all that ever came, those chosen by a message, those that left without one.
        self._parked = self._woken = self._left = 0
        self._returned = 0  # of the chosen, those that were cancelled before they ran

    @property
    def _waiting(self) -> int:
        return self._parked - self._woken - self._left

    # -- telling ---------------------------------------------------------------------------------

    def notify(self, key: Hashable, message: Any) -> bool:
        """Wake one waiter of ``key``, the one that has waited longest, with ``message``.

        False when nobody waits: the message is then gone. A waiter that is cancelled before it ran
        hands the message on to the next, if there is one. Never raises for a waiter that is done.
        """
        waiter = self._waiters.pop(key, None)
        if isinstance(waiter, OrderedDict):
            waiter = self._first(key, waiter)
        if waiter is None:
            hash(key)  # an empty dict does not ask
            return False
        try:
            waiter.set_result((key, message, True))
        except (InvalidStateError, RuntimeError) as error:
            self._excuse(waiter, error)
            return False
        self._woken += 1
        return True

    def _first(self, key: Hashable, queue: OrderedDict[Waiter, None]) -> Waiter | None:
        """Take the first waiter that is not done from the queue."""
        while queue:
            waiter, _ = queue.popitem(last=False)
            if not waiter.done():
                if queue:
                    self._waiters[key] = queue
                return waiter
        return None

    def notifyall(self, key: Hashable, message: Any) -> int:
        """Wake all waiters of ``key`` with ``message``; the number of those woken.

        Never raises for a waiter that is done.
        """
        entry = self._waiters.pop(key, None)
        if entry is None:
            hash(key)
            return 0
        outcome = (key, message, False)
        woken = 0
        for waiter in entry if isinstance(entry, OrderedDict) else (entry,):
            try:
                waiter.set_result(outcome)
            except (InvalidStateError, RuntimeError) as error:
                self._excuse(waiter, error)
            else:
                woken += 1
        self._woken += woken
        return woken

    def _excuse(self, waiter: Waiter, error: Exception) -> None:
        """A waiter that was done already (cancelled, timed out, or told under another key), or
        whose loop was closed under it, is passed over; anything else is a fault of the caller."""
        if isinstance(error, RuntimeError) and not waiter.get_loop().is_closed():
            raise error

    # -- waiting ---------------------------------------------------------------------------------

    async def waitforkey(self, key: Hashable, timeout: Timeout = None) -> Any:
        """Wait for ``key``; the message of the `notify`, `notifyall` or `publish` that woke it.

        ``timeout``: relative seconds or a timedelta; None: for ever; 0 or less: ends at once, as
        nothing is kept for who comes later. Never early, and late by at most a hundredth of itself
        or 50 ms, whichever is more. Raises BusTimeoutError at its end, BusClosed,
        ConfigurationError for a timeout that is no time or a bus in use on another loop.
        """
        loop = self._loop
        # Cheaper than asking for the running loop; a loop of another thread is noticed later.
        if loop is None or not loop.is_running():
            loop = self._enter_loop()
        if timeout is not None:
            timeout = seconds_of(timeout)
            if timeout is not None and timeout <= 0:
                hash(key)
                raise BusTimeoutError()
        waiter = loop.create_future()
        entry = self._waiters.setdefault(key, waiter)
        if entry is not waiter:
            if isinstance(entry, OrderedDict):
                entry[waiter] = None
            else:
                self._waiters[key] = OrderedDict.fromkeys((entry, waiter))
        self._parked += 1
        slot: Slot | None = None
        outcome: Any = None
        try:
            if timeout is not None:
                slot = self._deadlines.enter(waiter, timeout)
            outcome = await waiter
        finally:
            if slot is not None:  # as leave() does; a call more is felt here
                slot.discard(waiter)
                if not slot:
                    slot.clear()
            # Cancelled, or dropped; a bus that closed or moved has forgotten its waiters itself.
            if outcome is None and loop is self._loop:
                self._leave_key(waiter, key)
                self._abandon(waiter)
        if type(outcome) is tuple:
            return outcome[1]
        self._leave_key(waiter, key)
        raise self._end(waiter, outcome)

    async def waitforkeys(
        self, keys: Iterable[Hashable], timeout: Timeout = None
    ) -> tuple[Any, Any]:
        """Wait for any of ``keys``; the (key, message) that came first, and only that one.

        As `waitforkey`; a key listed twice counts once. Raises also ConfigurationError when
        ``keys`` is empty.
        """
        loop = self._loop
        if loop is None or not loop.is_running():
            loop = self._enter_loop()
        waiter = loop.create_future()
        mine: dict[Hashable, _Entry] = dict.fromkeys(keys, waiter)
        if not mine:
            raise no_key()
        seconds = seconds_of(timeout)
        if seconds is not None and seconds <= 0:
            raise BusTimeoutError()
        waiters = self._waiters
        if waiters.keys().isdisjoint(mine):
            waiters.update(mine)
        else:
            for key in mine:
                entry = waiters.setdefault(key, waiter)
                if isinstance(entry, OrderedDict):
                    entry[waiter] = None
                elif entry is not waiter:
                    waiters[key] = OrderedDict.fromkeys((entry, waiter))
        self._parked += 1
        slot: Slot | None = None
        outcome: Any = None
        try:
            if seconds is not None:
                slot = self._deadlines.enter(waiter, seconds)
            outcome = await waiter
        finally:
            if slot is not None:
                leave(slot, waiter)
            self._leave_keys(waiter, mine)
            if outcome is None and loop is self._loop:
                self._abandon(waiter)
        if type(outcome) is tuple:
            return outcome[:2]
        raise self._end(waiter, outcome)

    def _leave_key(self, waiter: Waiter, key: Hashable) -> None:
        """Take the waiter away from this key, if it still stands there."""
        entry = self._waiters.get(key)
        if entry is waiter:
            del self._waiters[key]
        elif isinstance(entry, OrderedDict) and waiter in entry:
            del entry[waiter]  # in half the time of a pop with a default
            if not entry:
                del self._waiters[key]

    def _leave_keys(self, waiter: Waiter, keys: Iterable[Hashable]) -> None:
        take = self._waiters.pop
        for key in keys:
            entry = take(key, None)
            if entry is not waiter and entry is not None:  # another's, or a queue
                self._waiters[key] = entry
                self._leave_key(waiter, key)

    def _end(self, waiter: Waiter, outcome: str) -> BusError:
        """The waiter was told of an end: its deadline's, or the bus's."""
        if waiter.get_loop() is self._loop:  # else the bus has counted it when it closed
            self._left += 1
        return BusTimeoutError() if outcome is TIMED_OUT else closed_bus()

    def _abandon(self, waiter: Waiter) -> None:
        """The waiter's coroutine ends without having seen a result, which it may have got."""
        if waiter.cancelled():
            self._left += 1
        elif not waiter.done():
            self._left += 1
            # Tasks refuse a future of another loop in this way.
            if isinstance(sys.exception(), RuntimeError) and running_loop() is not self._loop:
                raise other_loop() from None
        else:
            outcome = waiter.result()
            if type(outcome) is not tuple:
                self._left += 1
                return
            self._returned += 1
            key, message, exclusive = outcome
            if exclusive:
                self.notify(key, message)

    # -- the loop --------------------------------------------------------------------------------

    def _enter_loop(self) -> asyncio.AbstractEventLoop:
        """The running loop, which is this bus's own from now on, if it may."""
        if self._closed:
            raise closed_bus()
        loop, old = running_loop(), self._loop
        if loop is not old:
            if old is not None and not old.is_closed() and self._in_use:
                raise other_loop()
            self._forget_all()
            self._loop = loop
            self._deadlines = Deadlines(loop)
        return loop

    @property
    def _in_use(self) -> bool:
        return self._waiting > 0

    def _forget_all(self) -> None:
        """End all waiters, and keep nothing of the present loop."""
        entries = list(self._waiters.values())
        self._waiters.clear()
        self._left = self._parked - self._woken
        if self._loop is None:
            return
        self._deadlines.close()
        if not self._loop.is_closed():
            for entry in entries:
                for waiter in entry if isinstance(entry, OrderedDict) else (entry,):
                    if not waiter.done():
                        waiter.set_result(_CLOSED)
