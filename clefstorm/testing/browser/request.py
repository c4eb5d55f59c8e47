"""One request of a browser, and what it turns into on the way through redirects.

LAW: values only; who sends it is the Browser. Source: RFC 9110, section 15.4; Fetch Standard,
sections 3.2 and 4.4; Fetch Metadata Request Headers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import urljoin

from tornado.httputil import HTTPHeaders

from clefstorm.testing.browser import sites
from clefstorm.testing.browser.page import Page

USER_AGENT = "Mozilla/5.0 (X11; Linux x86_64) clefstorm-testing Firefox/140.0"
FORM = "application/x-www-form-urlencoded"
ACCEPT_PAGE = "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"

Initiator = Page | str | None
"""Who starts a request: a page, the URL of one, or None for a user who types."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BrowserRequest:
    """One request; ``urls`` are all that it has been sent to, by redirects, the last one now.

    ``initiator`` is the URL of the page that started it and ``policy`` that page's
    Referrer-Policy; None: the user typed it. ``mode`` is navigate or cors.
    """

    method: str
    urls: tuple[str, ...]
    initiator: str | None
    policy: str = ""
    mode: str = "navigate"
    accept: str = ACCEPT_PAGE
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    content_type: str | None = None
    cookies_everywhere: bool = True

    @property
    def url(self) -> str:
        """Where it is sent now."""
        return self.urls[-1]

    @property
    def navigates(self) -> bool:
        """Whether its answer is a page to look at."""
        return self.mode == "navigate"

    @property
    def same_site(self) -> bool:
        """Whether SameSite sees no border; redirects between do not count, as in browsers today."""
        return self.initiator is None or sites.is_same_site(self.initiator, [self.url])

    @property
    def has_cookies(self) -> bool:
        """Whether cookies are sent and taken; a script's normally stay within its origin."""
        same_origin = self.initiator is not None and all(
            sites.origin_of(url) == sites.origin_of(self.initiator) for url in self.urls
        )
        return self.cookies_everywhere or same_origin

    def redirected(self, status: int, location: str) -> BrowserRequest:
        """Return the request that follows this redirect."""
        urls = (*self.urls, urljoin(self.url, location))
        becomes_get = (status == 303 and self.method != "HEAD") or (
            status in (301, 302) and self.method == "POST"
        )
        if becomes_get:
            return replace(self, urls=urls, method="GET", body=None, content_type=None)
        return replace(self, urls=urls)

    def http_headers(self, cookie: str | None) -> HTTPHeaders:
        """Return all headers of the request."""
        headers = HTTPHeaders({"Host": sites.origin_of(self.url).partition("//")[2]})
        headers["User-Agent"] = USER_AGENT
        headers["Accept"] = self.accept
        headers["Accept-Language"] = "en"
        headers["Accept-Encoding"] = "gzip"
        if self.content_type is not None:
            headers["Content-Type"] = self.content_type
        if self.body is not None:
            headers["Content-Length"] = str(len(self.body))
        if self.initiator is not None:
            self._name_initiator(headers, self.initiator)
        if cookie is not None:
            headers["Cookie"] = cookie
        if sites.is_trustworthy(self.url):
            headers["Sec-Fetch-Site"] = sites.fetch_site(self.initiator, self.urls)
            headers["Sec-Fetch-Mode"] = self.mode
            headers["Sec-Fetch-Dest"] = "document" if self.navigates else "empty"
            if self.navigates:
                headers["Sec-Fetch-User"] = "?1"
                headers["Upgrade-Insecure-Requests"] = "1"
        headers.update(self.headers)
        return headers

    def _name_initiator(self, headers: HTTPHeaders, initiator: str) -> None:
        policy = self.policy or sites.DEFAULT_POLICY
        referer = sites.referrer(initiator, self.url, policy)
        if referer is not None:
            headers["Referer"] = referer
        crosses = any(sites.origin_of(url) != sites.origin_of(initiator) for url in self.urls)
        if self.method not in ("GET", "HEAD") or (crosses and not self.navigates):
            hidden_by = policy if self.navigates else None
            headers["Origin"] = sites.request_origin(initiator, self.urls, hidden_by)


def own_page(url: str) -> str:
    """Return the URL of a page of the same origin."""
    return f"{sites.origin_of(url)}/"


def begun(
    method: str, url: str, initiator: Initiator, headers: Mapping[str, str] | None
) -> BrowserRequest:
    """Return a navigation's first request; the page that starts it brings its policy along."""
    return BrowserRequest(
        method=method,
        urls=(url,),
        initiator=initiator.url if isinstance(initiator, Page) else initiator,
        policy=initiator.referrer_policy if isinstance(initiator, Page) else "",
        headers=headers or {},
    )
