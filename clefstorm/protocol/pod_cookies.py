"""The cookies that one pod gave one script.

LAW: they go back to the pod's own origin alone, whatever Domain they were set with; what RFC 6265
tells a user agent to ignore is dropped without a word, and nothing that a pod sends raises.
Source: RFC 6265, sections 5.1.4, 5.2 to 5.4; RFC 6265bis, section 5.7 (Secure over http).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

MOST_COOKIES = 50
"""Cookies that are kept; beyond, the one that was set longest ago goes."""
LARGEST_COOKIE = 4096
"""Characters of name and value together."""

_NAME = re.compile(r"[\x21-\x7e]+")
_VALUE = re.compile(r"[\x20-\x7e]*")
_SECONDS = re.compile(r"-?[0-9]{1,12}")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cookie:
    name: str
    value: str = field(repr=False)
    path: str
    expires: float | None

    def reaches(self, path: str) -> bool:
        """Tell whether its Path covers a request's (section 5.1.4)."""
        below = self.path if self.path.endswith("/") else f"{self.path}/"
        return path == self.path or path.startswith(below)


class PodCookies:
    """Cookies of the origin ``pod``; ``clock`` gives epoch seconds, for Max-Age and Expires.

    Its length is the number of cookies, those included whose time is over.
    """

    def __init__(self, pod: str, *, clock: Callable[[], float]) -> None:
        self._scheme = urlsplit(pod).scheme
        self._host = urlsplit(pod).hostname or ""
        self._clock = clock
        self._cookies: dict[tuple[str, str], _Cookie] = {}

    def __len__(self) -> int:
        return len(self._cookies)

    def header(self, url: str) -> str | None:
        """Return the Cookie header for a URL of the pod, None when there is nothing to send."""
        path, now = urlsplit(url).path or "/", self._clock()
        sent = [
            cookie
            for cookie in self._cookies.values()
            if cookie.reaches(path) and (cookie.expires is None or cookie.expires > now)
        ]
        sent.sort(key=lambda cookie: -len(cookie.path))
        return "; ".join(f"{cookie.name}={cookie.value}" for cookie in sent) or None

    def receive(self, url: str, set_cookies: Iterable[str]) -> None:
        """Keep what an answer from this URL of the pod sets, but for what must be ignored."""
        for set_cookie in set_cookies:
            self._receive(url, set_cookie)

    def _receive(self, url: str, set_cookie: str) -> None:
        pair, *attributes = set_cookie.split(";")
        name, equals, value = (part.strip() for part in pair.partition("="))
        given = {}
        for attribute in attributes:
            word, _, text = attribute.partition("=")
            given[word.strip().lower()] = text.strip()
        if (
            not equals
            or not _NAME.fullmatch(name)
            or not _VALUE.fullmatch(value)
            or len(name) + len(value) > LARGEST_COOKIE
            or not self._is_ours(given.get("domain", ""))
            or ("secure" in given and self._scheme != "https")
        ):
            return
        path = given.get("path", "")
        if not path.startswith("/"):
            path = urlsplit(url).path.rpartition("/")[0] or "/"
        expires = self._expires(given)
        # Set again, it counts as the newest.
        self._cookies.pop((name, path), None)
        if expires is None or expires > self._clock():
            self._cookies[name, path] = _Cookie(name=name, value=value, path=path, expires=expires)
            if len(self._cookies) > MOST_COOKIES:
                del self._cookies[next(iter(self._cookies))]

    def _is_ours(self, domain: str) -> bool:
        """Tell whether a Domain is the pod's host or above it (section 5.1.3)."""
        domain = domain.lower().removeprefix(".")
        if domain in ("", self._host):
            return True
        try:
            ipaddress.ip_address(self._host)
        except ValueError:
            return self._host.endswith(f".{domain}")
        return False

    def _expires(self, given: dict[str, str]) -> float | None:
        if _SECONDS.fullmatch(given.get("max-age", "")):
            return self._clock() + int(given["max-age"])
        try:
            date = parsedate_to_datetime(given["expires"])
            return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
        except (KeyError, ValueError, TypeError, OverflowError, IndexError):
            return None
