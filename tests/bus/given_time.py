"""An event loop whose time is given: it never sleeps, it jumps to its next timer.

LAW: `time()` moves only when nothing is ready to run; real sockets and threads still wake it.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

_STUCK_AFTER = 10.0  # real seconds in which nothing at all happens


class JumpingSelector(selectors.BaseSelector):
    """Waits by moving ``now`` ahead."""

    def __init__(self, now: float) -> None:
        self.now = now
        self._real = selectors.DefaultSelector()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = self._real.select(_STUCK_AFTER if timeout is None else 0)
        if not ready and timeout is None:
            raise AssertionError("the loop waits for ever: no timer, nothing ready")
        if not ready and timeout is not None and timeout > 0:
            self.now += timeout
        return ready

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._real.unregister(fileobj)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._real.get_map()

    def close(self) -> None:
        self._real.close()


class GivenTimeLoop(asyncio.SelectorEventLoop):
    def __init__(self, now: float = 1000.0) -> None:
        self._given = JumpingSelector(now)
        super().__init__(self._given)
        # asyncio's nanosecond is lost in the sum from 1e7 seconds on, and the loop then spins.
        self._clock_resolution = 1e-6

    def time(self) -> float:
        return self._given.now

    def advance(self, seconds: float) -> None:
        """Time passes while nobody looks."""
        self._given.now += seconds


def run(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a story on a loop of its own with given time; no task may outlive it."""
    loop = GivenTimeLoop()
    unseen: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _loop, context: unseen.append(context))
    try:
        loop.run_until_complete(story())
        left = asyncio.all_tasks(loop)
        assert not left, f"tasks outlived the story: {left}"
    finally:
        loop.close()
    assert not unseen, f"exceptions reached the loop: {unseen}"


async def settle() -> None:
    """Let everything that is ready run, and what becomes ready by it."""
    for _ in range(10):
        await asyncio.sleep(0)


async def park(waiting: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    """Start a task and let it get to where it waits."""
    task = asyncio.ensure_future(waiting)
    await settle()
    return task
