"""What belongs to one event loop: its locks, its sockets.

A connection serves several loops, one after the other or in several threads; what it waits with
can't. LAW: what served a loop that is closed is not used again, nor kept.
Source: asyncio, whose locks bind to the loop in which somebody waits for them first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Generic, TypeVar

T = TypeVar("T")


class PerLoop(Generic[T]):
    """One thing for each event loop, made there at its first use.

    ``end`` is given what served a loop that was closed meanwhile, when next somebody asks.
    """

    def __init__(self, make: Callable[[], T], end: Callable[[T], None] = lambda _: None) -> None:
        self._make = make
        self._end = end
        self._things: dict[asyncio.AbstractEventLoop, T] = {}

    def here(self) -> T:
        """Return the one of the running loop."""
        running = asyncio.get_running_loop()
        for loop in list(self._things):
            if loop.is_closed():
                self._end_that_of(loop)
        thing = self._things.get(running)
        if thing is None:
            thing = self._things[running] = self._make()
        return thing

    def forget(self, thing: T) -> bool:
        """Let the running loop have a new one when next it asks; False if ``thing`` was ended."""
        running = asyncio.get_running_loop()
        if self._things.get(running) is not thing:
            return False
        return self._things.pop(running, None) is thing

    def end(self) -> None:
        """End all, each where its loop runs."""
        for loop in list(self._things):
            self._end_that_of(loop)

    def _end_that_of(self, loop: asyncio.AbstractEventLoop) -> None:
        thing = self._things.pop(loop, None)
        if thing is not None:  # Another thread may have been faster.
            call_in(loop, partial(self._end, thing))


def call_in(loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
    """Call it where ``loop`` runs: at once, unless that is another thread."""
    try:
        here = asyncio.get_running_loop()
    except RuntimeError:
        here = None
    if loop is here or not loop.is_running():
        call()
        return
    with suppress(RuntimeError):  # It is closed by now, and has ended what ran in it.
        loop.call_soon_threadsafe(call)
