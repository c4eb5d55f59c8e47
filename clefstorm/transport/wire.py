"""What goes over the wire, and what may come back: one request as Tornado's clients take it.

LAW: every line of the request was judged here; nothing that we are given can end one, or say where
the request ends. The content of an answer is bounded before and after it is inflated.
Source: RFC 9110, sections 5.1, 5.5, 7.2, 9.1 and 9.3.2; RFC 9112, section 6; RFC 1952 (gzip).
"""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Callable, Mapping

from clefstorm.errors import ConfigurationError
from clefstorm.transport.http_client import BROKEN, TOO_LARGE, Failure

DEFAULT_TIMEOUT = 5.0
"""Seconds for one request, from the call to the last byte, unless the application says else."""

_OURS = {"content-length", "host", "transfer-encoding"}
"""Where a request ends, for the next one comes behind it, and whose credentials it carries."""

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FIELD_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


def check_method(method: str, body: bytes | None) -> None:
    """Raise ConfigurationError for what can't be an HTTP method, or has a body and must not.

    Codes ``method_invalid``, ``body_unsendable``.
    """
    if not isinstance(method, str) or not _TOKEN.fullmatch(method):
        raise ConfigurationError("not an HTTP method", code="method_invalid")
    if method != method.upper():
        raise ConfigurationError(
            "the case of a method counts: write it in capitals", code="method_invalid", got=method
        )
    if method == "HEAD" and body:
        raise ConfigurationError("a HEAD request has no body: leave it out", code="body_unsendable")


def check_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers with their names in lower case.

    Raises ConfigurationError, which quotes no value: ``header_invalid``; ``header_reserved`` for
    what the connection says itself.
    """
    if not isinstance(headers, Mapping):
        raise ConfigurationError("headers map names to values", code="header_invalid")
    checked = {}
    for name, value in headers.items():
        if not isinstance(name, str) or not _TOKEN.fullmatch(name):
            raise ConfigurationError("not the name of an HTTP header", code="header_invalid")
        if not isinstance(value, str) or not _FIELD_VALUE.fullmatch(value):
            raise ConfigurationError(
                "not the value of an HTTP header", code="header_invalid", name=name
            )
        if name.lower() in _OURS:
            raise ConfigurationError(
                "the connection sends this header itself: leave it out",
                code="header_reserved",
                name=name.lower(),
            )
        checked[name.lower()] = value
    return checked


class Body:
    """Receives the bytes of one answer, and gives up as soon as they are too many.

    What is compressed is bounded before and after, and no more than the two is ever held.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._wire = bytearray()
        self.overflown = False
        self.on_overflow: Callable[[], None] | None = None

    def receive(self, chunk: bytes) -> None:
        if self.overflown:
            return
        if len(self._wire) + len(chunk) <= self._max_bytes:
            self._wire += chunk
            return
        self.overflown = True
        self._wire.clear()
        if self.on_overflow is not None:
            self.on_overflow()

    def read(self, headers: dict[str, str]) -> bytes | Failure:
        """Return the content; ``headers`` lose what does not hold of it once it is inflated."""
        encoding = headers.get("content-encoding", "").strip().lower()
        if self.overflown:
            return TOO_LARGE
        if encoding in ("", "identity") or not self._wire:
            return bytes(self._wire)
        if encoding not in ("gzip", "x-gzip"):
            return BROKEN
        inflater = zlib.decompressobj(16 + zlib.MAX_WBITS)
        try:
            content = inflater.decompress(bytes(self._wire), self._max_bytes + 1)
        except zlib.error:
            return BROKEN
        if len(content) > self._max_bytes:
            return TOO_LARGE
        # RFC 1952 allows more members than one; only whoever wants to waste our time sends them.
        if not inflater.eof or inflater.unused_data:
            return BROKEN
        del headers["content-encoding"]
        headers.pop("content-length", None)
        return content


def read_timeout(timeout: float | tuple[float, float] | None) -> tuple[float, float]:
    """Return the seconds in which the connection stands, and those for the whole.

    Raises ConfigurationError for what is not positive and finite.
    """
    if timeout is None:
        timeout = DEFAULT_TIMEOUT
    pair = timeout if isinstance(timeout, tuple) else (timeout,)
    if not 1 <= len(pair) <= 2 or not all(
        isinstance(seconds, int | float) and 0 < seconds < math.inf for seconds in pair
    ):
        raise ConfigurationError(
            "timeout is seconds, or a pair of them for connect and read, more than 0",
            code="timeout_invalid",
            got=timeout,
        )
    return float(pair[0]), float(sum(pair))
