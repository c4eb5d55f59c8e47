"""What a flow yields and what it is sent: the seam between the protocol and the network.

A flow is a generator. It yields an Ask (a Request to send, a provider's metadata or keys to
look up), is sent the Answer, and returns its result. A driver in transport/runner answers the
asks, so that a login is written once for blocking and async callers (after httpx's auth flows).
It must not touch a socket, a clock or a cache.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar, Union
from urllib.parse import urlsplit, urlunsplit

if TYPE_CHECKING:
    from clefstorm.protocol.jwks import KeySet
    from clefstorm.protocol.metadata import ProviderMetadata

T = TypeVar("T")

LARGEST_ANSWER = 1024 * 1024
"""Bytes of an answer, after decompression, that a flow agrees to read unless it says otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One HTTP request to a provider. Its str shows method and URL without the query."""

    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | None = field(default=None, repr=False)
    max_bytes: int = LARGEST_ANSWER

    @property
    def shown_url(self) -> str:
        """The URL without query, fragment and user info: what logs and errors may print."""
        parts = urlsplit(self.url)
        return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))

    def __str__(self) -> str:
        return f"{self.method} {self.shown_url}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """An HTTP answer, read whole and already bounded; header names are in lower case.

    A header that came more than once is joined with commas; ``set_cookies`` has the values of
    Set-Cookie one by one, because those can't be joined (RFC 9110, section 5.3).
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    set_cookies: tuple[str, ...] = field(default=(), repr=False)

    @property
    def media_type(self) -> str:
        """The media type in lower case without parameters, '' when there is none."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


@dataclass(frozen=True, slots=True)
class MetadataWanted:
    """Asks for the issuer's checked metadata; answered with ProviderMetadata."""

    issuer: str


@dataclass(frozen=True, slots=True)
class KeysWanted:
    """Asks for a provider's keys; answered with a KeySet.

    ``kid`` is the key id that the token's header names, None when it names none. Whoever
    answers fetches again when it is unfamiliar (OpenID Connect Core 1.0, section 10.1.1).
    ``instead_of``: these keys did not verify a token without kid, so newer ones are wanted; the
    same come back when there are none. ``first_hand``: the provider itself gave us the token, so
    no stranger can cause a fetch by it.
    """

    jwks_uri: str
    kid: str | None
    first_hand: bool = False
    instead_of: KeySet | None = None


Ask = Request | MetadataWanted | KeysWanted
Answer = Union[Response, "ProviderMetadata", "KeySet"]
Flow = Generator[Ask, Answer, T]


def done(value: T) -> Flow[T]:
    """A flow that asks for nothing and returns the value."""
    yield from ()
    return value


def fetch(request: Request) -> Flow[Response]:
    """Yield the request and return the response: ``response = yield from fetch(request)``."""
    answer = yield request
    if not isinstance(answer, Response):
        raise TypeError(f"a Request is answered with a Response, not {type(answer).__name__}")
    return answer
