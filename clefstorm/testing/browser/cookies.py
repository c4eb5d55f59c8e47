"""A browser's cookies: what is taken, what is refused, what is sent to whom.

LAW: the strictest of the browsers in use decides, so that a cookie which works here works in
each of them: Secure needs https, also on loopback (Safari; Chromium and Firefox take it there),
and a cookie that names no SameSite is Lax from its first second.
Source: RFC 6265bis (draft-ietf-httpbis-rfc6265bis), sections 5.5 to 5.8.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from clefstorm.testing.browser.sites import host_of, is_address

LARGEST_COOKIE = 4096
"""Bytes of name and value together; browsers refuse more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cookie:
    """One cookie. ``expires`` is epoch seconds, None: when the browser is closed.

    ``domain`` is a host alone when ``host_only``, else also the hosts below it.
    ``same_site`` is Strict, Lax or None, as text.
    """

    name: str
    value: str = field(repr=False)
    domain: str
    host_only: bool
    path: str
    secure: bool
    http_only: bool
    same_site: str
    expires: float | None
    place: int = field(repr=False, compare=False)

    def reaches(self, url: str) -> bool:
        """Return whether its domain, path and Secure let it go to this URL."""
        host = host_of(url)
        if host != self.domain and (self.host_only or not host.endswith(f".{self.domain}")):
            return False
        if self.secure and urlsplit(url).scheme not in ("https", "wss"):
            return False
        path = urlsplit(url).path or "/"
        below = self.path if self.path.endswith("/") else f"{self.path}/"
        return path == self.path or path.startswith(below)


@dataclass(frozen=True, slots=True)
class RefusedCookie:
    """A cookie that a browser drops without a word, and why; handy in a failing test."""

    name: str
    reason: str


class _Refused(Exception):
    pass


class CookieJar:
    """The cookies of one browser profile; iterate for the live ones, in the order they came.

    ``clock`` gives epoch seconds, for Max-Age and Expires. ``refused`` lists what was dropped.
    """

    def __init__(self, *, clock: Callable[[], float]) -> None:
        self.refused: list[RefusedCookie] = []
        self._clock = clock
        self._cookies: dict[tuple[str, str, str], Cookie] = {}
        self._places = itertools.count()

    def __iter__(self) -> Iterator[Cookie]:
        now = self._clock()
        return iter([c for c in self._cookies.values() if c.expires is None or c.expires > now])

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def get(self, name: str, url: str | None = None) -> str | None:
        """Return the value of the first live cookie of this name, None when there is none.

        ``url`` narrows it to the cookies that would reach this URL.
        """
        for cookie in self:
            if cookie.name == name and (url is None or cookie.reaches(url)):
                return cookie.value
        return None

    def clear(self) -> None:
        """Forget all cookies."""
        self._cookies.clear()

    def discard(self, name: str) -> None:
        """Forget the cookies of this name."""
        for key in [key for key in self._cookies if key[0] == name]:
            del self._cookies[key]

    def header(
        self, url: str, *, same_site: bool = True, safe_navigation: bool = True
    ) -> str | None:
        """Return the Cookie header for a request, None when there is nothing to send.

        ``same_site`` says that the request stays on its initiator's site (one that the user
        typed does); ``safe_navigation`` that it is a top-level GET.
        """
        sent = []
        for cookie in self:
            allowed = cookie.same_site == "None" or (cookie.same_site == "Lax" and safe_navigation)
            if cookie.reaches(url) and (same_site or allowed):
                sent.append(cookie)
        sent.sort(key=lambda cookie: (-len(cookie.path), cookie.place))
        return "; ".join(f"{cookie.name}={cookie.value}" for cookie in sent) or None

    def receive(self, url: str, set_cookie: str, *, same_site: bool = True) -> None:
        """Take one Set-Cookie header of an answer from this URL, or note why not.

        ``same_site`` is False for the answer to another site's script or picture; a top-level
        navigation may set any cookie.
        """
        pair, *attributes = set_cookie.split(";")
        name, equals, value = pair.partition("=")
        name, value = name.strip(), value.strip()
        try:
            if not equals or not name:
                raise _Refused("it has no name")
            self._take(url, name, value, attributes, same_site=same_site)
        except _Refused as refusal:
            self.refused.append(RefusedCookie(name, str(refusal)))

    def _take(
        self, url: str, name: str, value: str, attributes: list[str], *, same_site: bool
    ) -> None:
        given = {}
        for attribute in attributes:
            word, _, text = attribute.partition("=")
            given[word.strip().lower()] = text.strip()
        secure = "secure" in given
        declared = given.get("samesite", "").capitalize()
        cookie = Cookie(
            name=name,
            value=value,
            domain=_domain(url, given.get("domain", "")),
            host_only=not given.get("domain") or is_address(host_of(url)),
            path=_path(url, given.get("path", "")),
            secure=secure,
            http_only="httponly" in given,
            same_site=declared if declared in ("Strict", "None") else "Lax",
            expires=self._expires(given),
            place=next(self._places),
        )
        if len(name.encode()) + len(value.encode()) > LARGEST_COOKIE:
            raise _Refused(f"it is larger than {LARGEST_COOKIE} bytes")
        if secure and urlsplit(url).scheme != "https":
            raise _Refused("it is Secure and came over http")
        if cookie.same_site == "None" and not secure:
            raise _Refused("SameSite=None needs Secure")
        if not same_site and cookie.same_site != "None":
            raise _Refused(f"it is SameSite={cookie.same_site} and came to another site")
        if name.startswith(("__Secure-", "__Host-")) and not secure:
            raise _Refused("its prefix needs Secure")
        if name.startswith("__Host-") and (given.get("domain") or given.get("path") != "/"):
            raise _Refused("the prefix __Host- needs Path=/ and no Domain")
        key = (name, cookie.domain, cookie.path)
        if cookie.expires is not None and cookie.expires <= self._clock():
            self._cookies.pop(key, None)
        else:
            self._cookies[key] = cookie

    def _expires(self, given: dict[str, str]) -> float | None:
        try:
            return self._clock() + int(given["max-age"])
        except (KeyError, ValueError):
            pass
        try:
            return parsedate_to_datetime(given["expires"]).timestamp()
        except (KeyError, ValueError):
            return None


def _domain(url: str, declared: str) -> str:
    host = host_of(url)
    domain = declared.lower().removeprefix(".")
    if not domain or domain == host:
        return host
    if "." not in domain or is_address(host) or not host.endswith(f".{domain}"):
        raise _Refused("its Domain is not the host or above it")
    return domain


def _path(url: str, declared: str) -> str:
    if declared.startswith("/"):
        return declared
    return urlsplit(url).path.rpartition("/")[0] or "/"
