"""What providers publish of themselves, kept: discovery documents and key sets.

LAW: one fetch in flight for each document, whoever waits for it; nothing bad is kept; and a key
that was published a few seconds before its first use is found, whatever strangers send us.

How long: a document is fresh for ``lifetime`` seconds, or for its answer's Cache-Control max-age,
held between 5 minutes and 24 hours. Then it is fetched again; when that fails, or brings nothing
usable, the old one serves on for at most a day, and the next try is half a minute later.

Unfamiliar key ids: anybody may post us a token with a kid that no provider ever had, and each may
be the first sight of a rotated key. So

* a set whose last fetch began 5 seconds ago or earlier is fetched again for any unfamiliar kid.
  A flood of forged ones therefore keeps the set fresh, and can't hide a rotation behind it.
* A younger set is fetched again too, while a bucket of ``burst`` tokens lasts, which refills in a
  minute. A kid that was looked for in vain within the last minute spends none of them.

At worst that is ``burst`` and twelve fetches a minute. A first fetch, one at the end of the
lifetime, and joining one that is under way spend no token.

Source: OpenID Connect Discovery 1.0, section 4; OpenID Connect Core 1.0, section 10.1.1;
RFC 9111, section 5.2.2.
"""

from __future__ import annotations

import asyncio
import logging
import math
import re
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from clefstorm.errors import (
    ClefStormError,
    ConfigurationError,
    DocumentViolation,
    ProtocolViolation,
)
from clefstorm.protocol.exchange import Request, Response
from clefstorm.protocol.jwks import KeySet, read_jwks
from clefstorm.protocol.metadata import ProviderMetadata, discovery_request, read_metadata

LARGEST_KEY_SET = 256 * 1024
"""Bytes of a provider's key set that we agree to read."""

MOST_DOCUMENTS = 100
"""Documents of each kind that are kept; beyond, the one that was wanted longest ago goes."""

SHORTEST_LIFE, LONGEST_LIFE = 300.0, 86400.0
"""Seconds between which a provider's max-age is held."""

STALE_LIFE = 86400.0
"""Seconds after its freshness for which a document serves on while no new one can be had."""

RETRY = 30.0
"""Seconds from a failed fetch to the next while an old document serves on."""

YOUNG = 5.0
"""Seconds from the last fetch in which an unfamiliar kid needs a token for another."""

MINUTE = 60.0
"""Seconds in which the bucket refills, and for which a kid that was not found is remembered."""

MOST_MISSED = 100
"""Kids that were not found and are remembered."""

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


@dataclass(slots=True, eq=False)
class _Flight:
    """One fetch under way, and how many wait for it."""

    task: asyncio.Task[None]
    number: int
    waiting: int = 0


class _Document(Generic[V]):
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
        self._flight: _Flight | None = None
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
        flight = self._flight or self._take_off()
        flight.waiting += 1
        try:
            # Whoever is cancelled must not take the fetch from the others.
            await asyncio.shield(flight.task)
        except ClefStormError:
            if self._value is None or self._clock() >= self._dead_at:
                raise
        finally:
            flight.waiting -= 1
            if not flight.waiting and not flight.task.done():
                self._flight = None
                flight.task.cancel()
                await asyncio.wait({flight.task})
        assert self._value is not None
        return self._value

    def _take_off(self) -> _Flight:
        self._begun += 1
        self._begun_at = self._clock()
        task = asyncio.create_task(self._fly(self._begun, self._begun_at))
        self._flight = _Flight(task, self._begun)
        return self._flight

    async def _fly(self, number: int, begun_at: float) -> None:
        failure: ClefStormError | None = None
        try:
            value, life = await self._fetch()
        except ProtocolViolation as error:
            failure = DocumentViolation(error.message, code=error.code, **error.evidence)
        except ClefStormError as error:
            failure = error
        else:
            self._value = value
            self._stale_at = begun_at + (self._lifetime if life is None else life)
            self._dead_at = self._stale_at + STALE_LIFE
        finally:
            # Not when it was given up, and another one may have begun.
            if self._flight is not None and self._flight.number == number:
                self._flight = None
                self._landed = number
        self._failure = failure
        if failure is not None:
            self._retry_at = self._clock() + RETRY
            if self._value is not None:
                _log.warning("a provider's document is not renewed: %s", failure)
            raise failure


class _KeyDocument(_Document[KeySet]):
    """A provider's key set, fetched again for an unfamiliar kid as the module's text says."""

    def __init__(
        self,
        fetch: Callable[[], Awaitable[tuple[KeySet, float | None]]],
        clock: Clock,
        lifetime: float,
        burst: int,
    ) -> None:
        super().__init__(fetch, clock, lifetime)
        self._burst = burst
        self._tokens = float(burst)
        self._counted_at = clock()
        # Hashes, because the kids are of any length and not ours.
        self._missed: OrderedDict[int, float] = OrderedDict()

    async def for_kid(self, kid: str | None) -> KeySet:
        asked = self._begun
        keys = await self.current()
        # Only a fetch that began after the question answers it.
        while not keys.knows(kid) and self._landed <= asked:
            if self._flight is None and not self._may_fetch(kid):
                if self._failure is None:
                    return keys
                break
            keys = await self._refetched()
        if not keys.knows(kid) and self._failure is not None:
            # Nobody can say that the kid is unknown as long as the keys can't be had.
            raise self._failure.with_traceback(None)
        if not keys.knows(kid):
            self._missed[hash(kid)] = self._clock()
            self._missed.move_to_end(hash(kid))
            if len(self._missed) > MOST_MISSED:
                self._missed.popitem(last=False)
        return keys

    def _may_fetch(self, kid: str | None) -> bool:
        now = self._clock()
        # Also true when the clock was set back.
        if not 0 <= now - self._begun_at < YOUNG:
            return True
        if now - self._missed.get(hash(kid), -math.inf) < MINUTE:
            return False
        refill = max(0.0, now - self._counted_at) * self._burst / MINUTE
        self._tokens = min(float(self._burst), self._tokens + refill)
        self._counted_at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class DocumentCache:
    """Discovery documents and key sets, fetched by ``send`` when they are wanted.

    ``clock`` gives epoch seconds. ``lifetime`` is in seconds, for documents that don't say how
    long they are fresh. ``burst`` is how many fetches a minute unfamiliar key ids may cause
    beyond one every five seconds. Raises ConfigurationError.
    """

    def __init__(
        self,
        send: Callable[[Request], Awaitable[Response]],
        *,
        clock: Clock = time.time,
        lifetime: float = 3600.0,
        burst: int = 5,
    ) -> None:
        if lifetime <= 0 or burst < 0:
            raise ConfigurationError(
                "lifetime is more than 0 seconds, burst at least 0", code="document_cache_invalid"
            )
        self._send = send
        self._clock = clock
        self._lifetime = lifetime
        self._burst = burst
        self._metadata: OrderedDict[str, _Document[ProviderMetadata]] = OrderedDict()
        self._keys: OrderedDict[str, _KeyDocument] = OrderedDict()

    async def metadata(self, issuer: str) -> ProviderMetadata:
        """Return the issuer's checked metadata. Raises TransportError or DocumentViolation."""
        document = self._metadata.get(issuer)
        if document is None:
            document = _Document(lambda: self._fetch_metadata(issuer), self._clock, self._lifetime)
        _keep(self._metadata, issuer, document)
        return await document.current()

    async def keys(self, jwks_uri: str, kid: str | None) -> KeySet:
        """Return the key set, which may still not know ``kid``; None asks for no certain key.

        Raises TransportError or DocumentViolation when no set can be had at all, or when the
        kid is unfamiliar and the set can't be renewed just now.
        """
        document = self._keys.get(jwks_uri)
        if document is None:
            document = _KeyDocument(
                lambda: self._fetch_keys(jwks_uri), self._clock, self._lifetime, self._burst
            )
        _keep(self._keys, jwks_uri, document)
        return await document.for_kid(kid)

    async def _fetch_metadata(self, issuer: str) -> tuple[ProviderMetadata, float | None]:
        response = await self._send(discovery_request(issuer))
        return read_metadata(response, issuer=issuer), read_life(response)

    async def _fetch_keys(self, jwks_uri: str) -> tuple[KeySet, float | None]:
        response = await self._send(
            Request(
                method="GET",
                url=jwks_uri,
                headers={"Accept": "application/jwk-set+json, application/json"},
                max_bytes=LARGEST_KEY_SET,
            )
        )
        if response.status != 200:
            raise ProtocolViolation(
                "the provider's keys could not be had",
                code="jwks_status",
                expected=200,
                got=response.status,
            )
        return read_jwks(response.body), read_life(response)


D = TypeVar("D", bound=_Document[ProviderMetadata] | _KeyDocument)


def _keep(shelf: OrderedDict[str, D], name: str, document: D) -> None:
    """Put a document to the end of the shelf, and drop what was wanted longest ago."""
    shelf[name] = document
    shelf.move_to_end(name)
    if len(shelf) > MOST_DOCUMENTS:
        shelf.popitem(last=False)
