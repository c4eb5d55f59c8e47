"""A lease: the right to do something that only one of all processes may do at a time.

LAW: the clocks of two processes are never compared. A holder is alive as long as its lease keeps
changing, and whoever waits for it measures that by the time of its own loop.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from contextlib import suppress
from typing import ClassVar

from clefstorm.errors import StoreUnavailable
from clefstorm.relying_party.setting import CLOCKS_APART
from clefstorm.sessions import SessionStore


class Lease:
    """One attempt to hold the lease of this name; ``clock`` gives epoch seconds.

    ``LASTS``: seconds without a sign of life after which a holder counts as dead.
    """

    LASTS: ClassVar[float] = 30.0

    def __init__(self, store: SessionStore, name: str, *, clock: Callable[[], float]) -> None:
        self._store = store
        self._name = name
        self._clock = clock
        self._holder = secrets.token_urlsafe(8)
        self._value = self._holder
        self._beats = 0
        self._given_back = asyncio.Event()
        self._renewing: asyncio.Task[None] | None = None
        # Another's sign of life, and since when it is the last.
        self._seen: str | None = None
        self._seen_at = 0.0

    async def take(self) -> bool:
        """Take it and begin to renew it; False as long as another holds it: then ask again.

        Raises StoreUnavailable.
        """
        held, now = await self._store.peek(self._name), asyncio.get_running_loop().time()
        took = False
        # Looked at first, because putting is a write, and all who wait do it again and again.
        if held is None:
            took = await self._store.put_once(
                self._name, value=self._value, expires=self._expires()
            )
        elif held != self._seen:
            self._seen, self._seen_at = held, now
        elif now - self._seen_at >= self.LASTS:
            took = await self._change(held, self._value)
        if took:
            self._renewing = asyncio.get_running_loop().create_task(self._renew())
        return took

    async def give_back(self) -> None:
        """Let go what was taken, if it is still ours. A store that fails lets it end by itself."""
        assert self._renewing is not None
        self._given_back.set()
        await self._renewing
        with suppress(StoreUnavailable):
            await self._store.extend(self._name, value=self._value, expires=0.0)

    async def _renew(self) -> None:
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._given_back.wait(), self.LASTS / 3)
                return
            self._beats += 1
            beat = f"{self._holder}.{self._beats}"
            with suppress(StoreUnavailable):
                if await self._change(self._value, beat):
                    self._value = beat

    async def _change(self, value: str, new_value: str) -> bool:
        return await self._store.extend(
            self._name, value=value, new_value=new_value, expires=self._expires()
        )

    def _expires(self) -> float:
        # Only so that nobody has to look for long at one whose holder died long ago.
        return self._clock() + self.LASTS + CLOCKS_APART
