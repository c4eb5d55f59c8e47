"""What providers publish of themselves, kept: discovery documents and key sets.

LAW: one fetch in flight for each document in an event loop, whoever waits for it; nothing bad is
kept; and a key that was published a few seconds before its first use is found, whatever strangers
send us. One cache may serve several loops, each in its thread.

How long one is kept is said in kept_document.

Unfamiliar key ids: anybody may post us a token with a kid that no provider ever had, and each may
be the first sight of a rotated key. So

* a set whose last fetch began 5 seconds ago or earlier is fetched again for any unfamiliar kid.
  A flood of forged ones therefore keeps the set fresh, and can't hide a rotation behind it.
* A younger set is fetched again too, while a bucket of ``burst`` tokens lasts, which refills in a
  minute. A kid that was looked for in vain within the last minute spends none of them.
* A token that the provider itself gave us at our request is no stranger's: for its kid the set is
  always fetched again, once, so that nobody can hide a rotated key from a login.

At worst strangers cause ``burst`` and twelve fetches a minute. A first fetch, one at the end of
the lifetime, and joining one that is under way spend no token. A token without kid that the keys
at hand do not verify is as one with an unfamiliar kid.

Source: OpenID Connect Discovery 1.0, section 4; OpenID Connect Core 1.0, section 10.1.1.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import TypeVar

from clefstorm.errors import ConfigurationError, ProtocolViolation
from clefstorm.protocol.exchange import Request, Response
from clefstorm.protocol.jwks import KeySet, read_jwks
from clefstorm.protocol.metadata import ProviderMetadata, discovery_request, read_metadata
from clefstorm.transport.kept_document import Clock, Document, read_life

K = TypeVar("K")
T = TypeVar("T")

LARGEST_KEY_SET = 256 * 1024
"""Bytes of a provider's key set that we agree to read."""

MOST_DOCUMENTS = 100
"""Documents of each kind that are kept; beyond, the one that was wanted longest ago goes."""

YOUNG = 5.0
"""Seconds from the last fetch in which an unfamiliar kid needs a token for another."""

MINUTE = 60.0
"""Seconds in which the bucket refills, and for which a kid that was not found is remembered."""

MOST_MISSED = 100
"""Kids that were not found and are remembered."""


class KeyDocument(Document[KeySet]):
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

    async def for_kid(
        self, kid: str | None, *, first_hand: bool, instead_of: KeySet | None
    ) -> KeySet:
        asked = self._begun
        keys = await self.current()

        def served() -> bool:
            return keys is not instead_of and keys.knows(kid)

        # Only a fetch that began after the question answers it.
        while not served() and self._landed <= asked:
            flight = self._flights.here()
            if not (flight.under_way or first_hand or self._may_fetch(kid)):
                if self._failure is None:
                    return keys
                break
            keys = await self._refetched()
        failure = self._failure
        if not served() and failure is not None:
            # Nobody can say that the kid is unknown as long as the keys can't be had.
            raise failure.with_traceback(None)
        if not served():
            _keep(self._missed, hash(kid), self._clock(), MOST_MISSED)
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
        self._metadata: OrderedDict[str, Document[ProviderMetadata]] = OrderedDict()
        self._keys: OrderedDict[str, KeyDocument] = OrderedDict()

    async def metadata(self, issuer: str) -> ProviderMetadata:
        """Return the issuer's checked metadata. Raises TransportError or DocumentViolation."""
        document = self._metadata.get(issuer)
        if document is None:
            document = Document(lambda: self._fetch_metadata(issuer), self._clock, self._lifetime)
        _keep(self._metadata, issuer, document, MOST_DOCUMENTS)
        return await document.current()

    async def keys(
        self,
        jwks_uri: str,
        kid: str | None,
        *,
        first_hand: bool = False,
        instead_of: KeySet | None = None,
    ) -> KeySet:
        """Return the key set, which may still not know ``kid``; None asks for no certain key.

        ``first_hand``: no stranger could have made us ask, so a fetch needs no leave.
        ``instead_of``: a set of ours that did not do; the same comes back when there is no newer
        one. Raises TransportError or DocumentViolation when no set can be had at all, or when
        one is wanted that is newer and can't be had just now.
        """
        document = self._keys.get(jwks_uri)
        if document is None:
            document = KeyDocument(
                lambda: self._fetch_keys(jwks_uri), self._clock, self._lifetime, self._burst
            )
        _keep(self._keys, jwks_uri, document, MOST_DOCUMENTS)
        return await document.for_kid(kid, first_hand=first_hand, instead_of=instead_of)

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


def _keep(shelf: OrderedDict[K, T], key: K, thing: T, most: int) -> None:
    """Put a thing to the end of the shelf, and drop what was put there longest ago."""
    shelf.pop(key, None)  # And not moved: another thread may have dropped it.
    shelf[key] = thing
    if len(shelf) > most:
        shelf.popitem(last=False)
