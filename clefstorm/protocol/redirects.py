"""Redirects, followed where that is harmless: a GET without a body, within its own origin.

``follow_redirects`` is for an alias with ``allow_redirects``. LAW: what leads where, and what is
one origin, stands here alone. A request with a body is never sent twice, and nothing,
least of all a user's token, follows a redirect to another origin; such an answer goes to the flow
as it is, which refuses it. Metadata and keys are no requests of a flow, so they stay where they
are. Source: RFC 9110, section 15.4; RFC 9700, section 4.12.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import suppress
from dataclasses import replace
from typing import TypeVar
from urllib.parse import urldefrag, urljoin, urlsplit

from clefstorm.errors import ProtocolViolation
from clefstorm.protocol.exchange import Answer, Ask, Flow, Request, Response
from clefstorm.protocol.metadata import check_url

T = TypeVar("T")

MOST_REDIRECTS = 5
"""Redirects of one request; the answer after that is given as it is."""

REDIRECTS = (301, 302, 303, 307, 308)
"""The statuses that say where to go on."""

DEFAULT_PORTS = {"http": 80, "https": 443}
"""The port that a scheme means when a URL names none."""


def is_same_origin(one: str, other: str) -> bool:
    """Tell whether two URLs, each judged by ``check_url``, have scheme, host and port in common."""
    return _origin(one) == _origin(other)


def _origin(url: str) -> tuple[str, str | None, int]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or DEFAULT_PORTS[parts.scheme]


def redirect_target(url: str, response: Response) -> str | None:
    """Return where this answer of ``url`` leads; None when that is nowhere we could go."""
    location = response.headers.get("location")
    if not location:
        return None
    with suppress(ProtocolViolation, ValueError):
        return check_url(urldefrag(urljoin(url, location)).url, name="location")
    return None


def follow_redirects(flow: Flow[T]) -> Flow[T]:
    """Return a flow that does what ``flow`` does, and follows harmless redirects for it."""
    answer: Answer | None = None
    failure: Exception | None = None
    try:
        while True:
            try:
                if failure is not None:
                    ask = flow.throw(failure)
                else:
                    ask = next(flow) if answer is None else flow.send(answer)
            except StopIteration as end:
                result: T = end.value
                return result
            failure = None
            try:
                answer = yield from _answered(ask)
            except Exception as error:
                failure = error
    finally:
        flow.close()
        # The exception's traceback holds this frame, so it must not hold the exception.
        failure = None


def _answered(ask: Ask) -> Generator[Ask, Answer, Answer]:
    for _ in range(MOST_REDIRECTS):
        answer = yield ask
        if not isinstance(ask, Request) or not isinstance(answer, Response):
            return answer
        url = _next_url(ask, answer)
        if url is None:
            return answer
        ask = replace(ask, url=url)
    return (yield ask)


def _next_url(request: Request, response: Response) -> str | None:
    """Return where a harmless redirect leads, None when there is none."""
    if request.method != "GET" or request.body is not None or response.status not in REDIRECTS:
        return None
    target = redirect_target(request.url, response)
    return target if target is not None and is_same_origin(target, request.url) else None
