"""One piece of work at a time for all who want its result: a token, a document.

LAW: within one event loop, because a task can be waited for only where it runs; whoever serves
several keeps one of these for each (PerLoop). Whoever waits may leave without harm to the others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class _Flight(Generic[T]):
    """The work under way, and how many wait for it."""

    task: asyncio.Task[T]
    waiting: int = 0


class SingleFlight(Generic[T]):
    """``work`` makes the coroutine that is run, when somebody joins and none is under way."""

    def __init__(self, work: Callable[[], Coroutine[Any, Any, T]]) -> None:
        self._work = work
        self._flight: _Flight[T] | None = None

    @property
    def under_way(self) -> bool:
        return self._flight is not None

    async def join(self) -> T:
        """Return or raise what the work does that is under way, begun now if there is none.

        It is given up when the last who waits for it leaves, and has ended when that one goes.
        """
        flight = self._flight
        if flight is None:
            flight = self._flight = _Flight(asyncio.create_task(self._fly()))
        flight.waiting += 1
        try:
            # Whoever is cancelled must not take the result from the others.
            return await asyncio.shield(flight.task)
        finally:
            flight.waiting -= 1
            if not flight.waiting and not flight.task.done():
                self._flight = None
                flight.task.cancel()
                await asyncio.wait({flight.task})

    async def _fly(self) -> T:
        try:
            return await self._work()
        finally:
            # Not when it was given up, and another one may have begun.
            if self._flight is not None and self._flight.task is asyncio.current_task():
                self._flight = None
