"""The token in a page of a pod: ``<meta name="csrf-token" content="…">``.

LAW: reads the beginning of a page that somebody else wrote, once, and believes nothing else in it.
Source: Rails' csrf_meta_tags; the HTML standard, section 4.2.5 (meta).
"""

from __future__ import annotations

import re
from contextlib import suppress
from html.parser import HTMLParser

from clefstorm.errors import ProtocolViolation
from clefstorm.protocol.exchange import Response

LONGEST_HEAD = 256 * 1024
"""Bytes of a page within which the token must stand."""

# It goes into a header, where a newline would begin another one.
_TOKEN = re.compile(r"[\x21-\x7e]{1,1024}")


class _Found(Exception):
    pass


class _Meta(HTMLParser):
    """Stops at the first element of that name."""

    token: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "meta" and (given.get("name") or "").lower() == "csrf-token":
            self.token = given.get("content") or ""
            raise _Found


def read_token(page: Response) -> str:
    """Return the token of an HTML page.

    Raises ProtocolViolation: ``pod_page_not_html``, ``pod_token_missing``, ``pod_token_invalid``.
    """
    check_html(page)
    meta = _Meta()
    # Python's parser asserts what markup is like, and some is not. It is fed once and never
    # closed: what is cut off or malformed costs no second reading.
    with suppress(_Found, AssertionError):
        meta.feed(page.body[:LONGEST_HEAD].decode("utf-8", "replace"))
    if meta.token is None:
        raise ProtocolViolation(
            'the page has no <meta name="csrf-token">: is this the address of a pod?',
            code="pod_token_missing",
        )
    if not _TOKEN.fullmatch(meta.token):
        raise ProtocolViolation(
            "the page's token is empty, too long, or has characters that no header can carry",
            code="pod_token_invalid",
        )
    return meta.token


def check_html(page: Response) -> None:
    """Raise ProtocolViolation (``pod_page_not_html``) for what is not a page."""
    if page.media_type not in ("text/html", "application/xhtml+xml"):
        raise ProtocolViolation(
            "the pod answered with something that is not a page",
            code="pod_page_not_html",
            got=page.media_type,
        )
