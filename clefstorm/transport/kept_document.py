"""One document of a provider, kept as long as it serves.

A document is fresh for ``lifetime`` seconds, or for its answer's Cache-Control max-age, held
between 5 minutes and 24 hours. Then it is fetched again; when that fails, or brings nothing usable,
the old one serves on for at most a day, and the next try is half a minute later.

LAW: one fetch in flight in each event loop, whoever waits for it; nothing bad is kept; nothing that
is older replaces what is newer; what the document says is not looked at here.
Source: RFC 9111, section 5.2.2.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from clefstorm.errors import ClefStormError, DocumentViolation, ProtocolViolation
from clefstorm.protocol.exchange import Response
from clefstorm.transport.per_loop import PerLoop
from clefstorm.transport.single_flight import SingleFlight

SHORTEST_LIFE, LONGEST_LIFE = 300.0, 86400.0
"""Seconds between which a provider's max-age is held."""

STALE_LIFE = 86400.0
"""Seconds after its freshness for which a document serves on while no new one can be had."""

RETRY = 30.0
"""Seconds from a failed fetch to the next while an old document serves on."""

_log = logging.getLogger("clefstorm.transport")
_MAX_AGE = re.compile(r"(?:^|[\s,])max-age\s*=\s*\"?(\d{1,9})", re.IGNORECASE)
_UNKEPT = re.compile(r"(?:^|[\s,])(?:no-store|no-cache)(?:$|[\s,=])", re.IGNORECASE)

V = TypeVar("V")
Clock = Callable[[], float]


def read_life(response: Response) -> float | None:
    """Return the seconds for which the answer says it is fresh, bounded; None: it doesn't say."""
    cache_control = response.headers.get("cache-control", "")
    if _UNKEPT.search(cache_control):
        return SHORTEST_LIFE
    found = _MAX_AGE.search(cache_control)
    return None if found is None else min(max(float(found[1]), SHORTEST_LIFE), LONGEST_LIFE)


class Document(Generic[V]):
    """One document. ``fetch`` returns it with the seconds of its freshness, None for the usual."""

    def __init__(
        self, fetch: Callable[[], Awaitable[tuple[V, float | None]]], clock: Clock, lifetime: float
    ) -> None:
        self._fetch = fetch
        self._clock = clock
        self._lifetime = lifetime
        self._value: V | None = None
        self._failure: ClefStormError | None = None  # of the last fetch
        self._stale_at = self._dead_at = self._retry_at = 0.0
        self._flights = PerLoop(lambda: SingleFlight(self._fly))
        self._begun = self._landed = 0  # Numbers of flights, so that order needs no clock.
        self._begun_at = 0.0

    async def current(self) -> V:
        """Return the document, fetched when there is none or its life is over."""
        now = self._clock()
        if self._value is None or now >= min(max(self._stale_at, self._retry_at), self._dead_at):
            return await self._refetched()
        return self._value

    async def _refetched(self) -> V:
        """Return what a fetch brings, joining one under way, or the old document for want of it.

        Raises what the fetch raised when there is no old one, or it is too old.
        """
        try:
            await self._flights.here().join()
        except ClefStormError:
            if self._value is None or self._clock() >= self._dead_at:
                raise
        assert self._value is not None
        return self._value

    async def _fly(self) -> None:
        self._begun += 1
        number, begun_at = self._begun, self._clock()
        self._begun_at = begun_at
        failure: ClefStormError | None = None
        try:
            value, life = await self._fetch()
        except ProtocolViolation as error:
            failure = DocumentViolation(error.message, code=error.code, **error.evidence)
        except ClefStormError as error:
            failure = error
        else:
            if number > self._landed:
                self._value = value
                self._stale_at = begun_at + (self._lifetime if life is None else life)
                self._dead_at = self._stale_at + STALE_LIFE
        # Else one that began later, in another loop, was faster.
        if number > self._landed:
            self._landed, self._failure = number, failure
            if failure is not None:
                self._retry_at = self._clock() + RETRY
        if failure is not None:
            if self._value is not None:
                _log.warning("a provider's document is not renewed: %s", failure)
            raise failure
