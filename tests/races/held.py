"""Steps that a test holds: so that a race is made, not waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

DEADLINE = 20.0
"""Seconds after which a step that never comes fails the test."""


class Gate:
    """A step that is held: whoever comes to it waits there until the test opens it."""

    def __init__(self) -> None:
        self._reached = asyncio.Event()
        self._opened = asyncio.Event()

    async def hold(self) -> None:
        """Stand at the gate; not for ever, so that a test that fails also ends."""
        self._reached.set()
        await asyncio.wait_for(self._opened.wait(), DEADLINE)

    async def reached(self) -> None:
        """Wait until somebody stands there."""
        await asyncio.wait_for(self._reached.wait(), DEADLINE)

    def open(self) -> None:
        """Let them go on, and whoever comes later, too."""
        self._opened.set()


async def looked_at(store: Any, times: int = 2) -> None:
    """Wait until somebody has looked at a name in the store so many times."""
    enough, peek = asyncio.Event(), store.peek

    async def counted(name: str) -> str | None:
        nonlocal times
        times -= 1
        found: str | None = await peek(name)
        if not times:
            enough.set()
        return found

    store.peek = counted
    await asyncio.wait_for(enough.wait(), DEADLINE)
    store.peek = peek


def hold_before(
    thing: Any, method: str, gate: Gate, when: Callable[..., bool] | None = None
) -> None:
    """Hold the calls of a coroutine method before they do anything; ``when`` chooses which."""
    called = getattr(thing, method)

    async def held(*args: Any, **options: Any) -> Any:
        if when is None or when(*args):
            await gate.hold()
        return await called(*args, **options)

    setattr(thing, method, held)


def hold_after(
    thing: Any, method: str, gate: Gate, when: Callable[..., bool] | None = None
) -> None:
    """Hold the calls of a coroutine method when they have done their work, before they answer."""
    called = getattr(thing, method)

    async def held(*args: Any, **options: Any) -> Any:
        result = await called(*args, **options)
        if when is None or when(*args):
            await gate.hold()
        return result

    setattr(thing, method, held)
