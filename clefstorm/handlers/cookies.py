"""Our own cookies in a request and in its answer: nobody else's are looked at.

A cookie that another site of the same host has put beside ours ("tossed") makes two of one name;
which one is ours can't be told, so neither counts. LAW: knows cookies, not what they mean; the
names come from the relying party. Source: RFC 6265bis, sections 4.1.3 (prefixes) and 5.4.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from tornado.httputil import HTTPHeaders
from tornado.web import RequestHandler

LONGEST_VALUE = 4096
"""Characters; no browser keeps more in one cookie."""

_VALUE = re.compile(rf"[A-Za-z0-9._~-]{{1,{LONGEST_VALUE}}}")


def _pairs(headers: HTTPHeaders, part: str) -> Iterator[tuple[str, str]]:
    for line in headers.get_list("Cookie"):
        if part in line:  # most requests of a visitor end here: no cookie of ours
            for pair in line.split(";"):
                name, _, value = pair.partition("=")
                if part in name:
                    yield name.strip(" \t"), value.strip(" \t")


def read_cookie(headers: HTTPHeaders, name: str) -> str | None:
    """Return the value of our cookie; None when absent, malformed, or sent with two values."""
    found: str | None = None
    for sent_name, value in _pairs(headers, name):
        if sent_name == name:
            if found is not None and value != found:
                return None
            found = value
    return found if found is not None and _VALUE.fullmatch(found) else None


def read_cookies(headers: HTTPHeaders, prefix: str) -> dict[str, str]:
    """Return our cookies whose names begin with ``prefix``, without malformed and doubled ones."""
    found: dict[str, str] = {}
    tossed: set[str] = set()
    for name, value in _pairs(headers, prefix):
        if name.startswith(prefix) and found.setdefault(name, value) != value:
            tossed.add(name)
    return {
        name: value
        for name, value in found.items()
        if name not in tossed and _VALUE.fullmatch(value)
    }


def send_cookie(
    handler: RequestHandler,
    name: str,
    value: str,
    *,
    secure: bool,
    lifetime: int | None,
    cross_site: bool = False,
) -> None:
    """Set one of our cookies: HttpOnly, for the whole host, SameSite=Lax.

    ``lifetime`` is in seconds; None lets it end with the browser. ``cross_site`` is for the one
    cookie that a form_post from the provider must bring back: SameSite=None, which browsers take
    only with Secure.
    """
    handler.set_cookie(
        name,
        value,
        path="/",
        max_age=lifetime,
        httponly=True,
        secure=secure,
        samesite="None" if cross_site else "Lax",
    )


def clear_cookie(handler: RequestHandler, name: str, *, secure: bool) -> None:
    """Remove one of our cookies; a ``__Host-`` one goes only with the flags it came with."""
    handler.clear_cookie(name, path="/", httponly=True, secure=secure, samesite="Lax")
