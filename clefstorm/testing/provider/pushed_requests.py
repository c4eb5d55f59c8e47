"""Pushed authorization requests of the embedded provider, between the push and the answer.

LAW: a request_uri is good for the client that pushed, for a minute, and for one answer; whoever
came in time may take longer on the pages of the sign-in. Source: RFC 9126, sections 2.2 and 4.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass

from clefstorm.errors import RequestRefused

REQUEST_LIFETIME = 60
"""Seconds from the push to the browser's arrival."""
SIGN_IN_LIFETIME = 600.0
"""Seconds from the push to the answer."""

_PREFIX = "urn:ietf:params:oauth:request_uri:"


@dataclass(slots=True)
class _Pushed:
    client_id: str
    query: str
    pushed: float
    opened: bool = False


class PushedRequests:
    """Keeps them. ``clock`` gives epoch seconds."""

    def __init__(self, *, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._requests: dict[str, _Pushed] = {}

    def push(self, client_id: str, query: str) -> str:
        """Keep a request, judged already; return its request_uri."""
        now = self._clock()
        self._requests = {
            name: kept
            for name, kept in self._requests.items()
            if now - kept.pushed < SIGN_IN_LIFETIME
        }
        request_uri = f"{_PREFIX}{secrets.token_urlsafe(32)}"
        self._requests[request_uri] = _Pushed(client_id, query, now)
        return request_uri

    def open(self, request_uri: str, *, client_id: str) -> str:
        """Return the request's parameters as a query. Raises RequestRefused."""
        kept = self._requests.get(request_uri)
        age = 0.0 if kept is None else self._clock() - kept.pushed
        if (
            kept is None
            or kept.client_id != client_id
            or age >= (SIGN_IN_LIFETIME if kept.opened else REQUEST_LIFETIME)
        ):
            raise RequestRefused(
                "This sign-in was not begun by the application, took too long, or is over.",
                code="invalid_request_uri",
            )
        kept.opened = True
        return kept.query

    def close(self, request_uri: str) -> None:
        """Forget a request that was answered."""
        self._requests.pop(request_uri, None)
