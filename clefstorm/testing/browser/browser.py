"""A browser for tests: cookies, redirects, forms, and the headers that tell who is asking.

LAW: what it sends is what the browsers in use send, as far as a server can see it; it runs no
script, so a test does what a page's script would do (``fetch``, ``stream``).
Source: RFC 9110, section 15.4; Fetch Standard, section 4.4; RFC 6265bis, section 5.8.
"""

from __future__ import annotations

import asyncio
import json as json_text
import ssl
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit, urlunsplit

from tornado.tcpclient import TCPClient

from clefstorm.errors import ConfigurationError, DeadlineExceeded, ProtocolViolation
from clefstorm.testing.browser.cookies import CookieJar
from clefstorm.testing.browser.events import EventStream
from clefstorm.testing.browser.page import Page
from clefstorm.testing.browser.request import FORM, BrowserRequest, Initiator, begun, own_page
from clefstorm.testing.browser.wire import Exchange

if TYPE_CHECKING:
    from clefstorm.testing.provider import Provider

MOST_REDIRECTS = 20
_MOST_PAGES = 6


class Browser:
    """One browser profile with one page in view; two of them share nothing.

        browser = Browser()
        page = await browser.get("http://127.0.0.1:8000/")
        page = await browser.submit(page, message="hello")
        await browser.close()                       # or: async with Browser() as browser

    ``page`` is what is in view, None at first. ``timeout`` is in seconds for one request and
    its answer; ``clock`` gives epoch seconds, for the ends of cookies; ``ca_certs`` is a file of
    the CAs to believe, None the system's.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.time,
        timeout: float = 300.0,
        ca_certs: str | None = None,
    ) -> None:
        self.cookies = CookieJar(clock=clock)
        self.page: Page | None = None
        self._timeout = timeout
        self._ca_certs = ca_certs
        self._tls: ssl.SSLContext | None = None
        self._tcp: TCPClient | None = None

    async def get(
        self,
        url: str,
        *,
        initiator: Initiator = None,
        headers: Mapping[str, str] | None = None,
        follow: bool = True,
    ) -> Page:
        """Open a URL, and follow redirects unless told not to.

        ``initiator`` None is a user who typed it; the page, or URL, that has the link otherwise.
        """
        return await self._navigate(begun("GET", url, initiator, headers), follow=follow)

    async def post(
        self,
        url: str,
        form: Mapping[str, str] | None = None,
        *,
        initiator: Initiator = None,
        headers: Mapping[str, str] | None = None,
        follow: bool = True,
    ) -> Page:
        """Send a form and open what comes back.

        ``initiator`` is the page, or URL, that has the form; None a page of the URL's own origin.
        """
        request = replace(
            begun("POST", url, initiator or own_page(url), headers),
            body=urlencode(form or {}).encode(),
            content_type=FORM,
        )
        return await self._navigate(request, follow=follow)

    async def submit(
        self,
        page: Page | None = None,
        /,
        *,
        form: str | None = None,
        button: str | None = None,
        follow: bool = True,
        **fields: str,
    ) -> Page:
        """Fill in a form of a page (None: the page in view) and send it; hidden fields go along.

        ``form`` is its name or id, None the first; ``button`` the name or value of the button to
        press, None the first. Raises ConfigurationError for what is not on the page.
        """
        page = page or self.page
        if page is None:
            raise ConfigurationError("no page is in view", code="no_page")
        shown = page.form(form)
        sent = shown.filled(fields, button=button)
        if shown.method == "POST":
            return await self.post(shown.action, sent, initiator=page, follow=follow)
        url = urlunsplit(urlsplit(shown.action)._replace(query=urlencode(sent)))
        return await self.get(url, initiator=page, follow=follow)

    async def load_frames(self, page: Page | None = None) -> Sequence[Page]:
        """Load the frames of a page (None: the page in view), as it shows them.

        A frame of another origin gets no cookie and can't set one, as in the strictest of the
        browsers. Raises ConfigurationError when no page is in view.
        """
        page = page or self.page
        if page is None:
            raise ConfigurationError("no page is in view", code="no_page")
        into = {"Sec-Fetch-Dest": "iframe"}
        requests = [begun("GET", url, page, into) for url in page.frames]
        return [
            await self._load(replace(request, cookies_everywhere=False), follow=True)
            for request in requests
        ]

    async def fetch(
        self,
        url: str,
        *,
        method: str = "GET",
        form: Mapping[str, str] | None = None,
        json: Any = None,
        headers: Mapping[str, str] | None = None,
        initiator: Initiator = None,
        credentials: str = "same-origin",
    ) -> Page:
        """Do what a script's fetch() does: cookies within the origin, no change of page.

        ``initiator`` is the page, or URL, whose script it is; None a page of the URL's own
        origin. ``form`` or ``json`` is the body. ``credentials`` "include" sends cookies to
        other origins too. Answers that CORS would hide from the script are returned all the
        same: what matters to a server's test is what the server did.
        """
        body, content_type = None, None
        if form is not None:
            body, content_type = urlencode(form).encode(), FORM
        elif json is not None:
            body, content_type = json_text.dumps(json).encode(), "application/json"
        elif method not in ("GET", "HEAD"):
            body = b""
        request = replace(
            begun(method, url, initiator or own_page(url), headers),
            mode="cors",
            accept="*/*",
            body=body,
            content_type=content_type,
            cookies_everywhere=credentials == "include",
        )
        return await self._load(request, follow=True)

    @asynccontextmanager
    async def stream(
        self,
        url: str,
        *,
        last_event_id: str | None = None,
        headers: Mapping[str, str] | None = None,
        initiator: Initiator = None,
    ) -> AsyncIterator[EventStream]:
        """Open an EventSource, as a script of the page would; leaving the block closes it.

        ``last_event_id`` is what a browser sends when it comes back; None at the first time.
        ``initiator`` is as for ``fetch``.
        """
        more = {"Cache-Control": "no-cache", **(headers or {})}
        if last_event_id is not None:
            more["Last-Event-ID"] = last_event_id
        request = replace(
            begun("GET", url, initiator or own_page(url), more),
            mode="cors",
            accept="text/event-stream",
            cookies_everywhere=False,
        )
        async with self._opened(request) as exchange:
            yield EventStream(exchange)

    async def sign_in(
        self, provider: Provider, username: str, start_url: str, *, one_tap: bool = False
    ) -> Page:
        """Walk a login from end to end and return the page that it ends on.

        ``start_url`` is one that leads to the provider. Types the account's password, or with
        ``one_tap`` presses its button, and agrees when asked; a browser that the provider
        already knows is not asked, and keeps its user.
        """
        page = await self.get(start_url)
        for _ in range(_MOST_PAGES):
            names = {form.name for form in page.forms}
            if not page.url.startswith(f"{provider.issuer}/"):
                break
            if "form-post" in names:
                page = await self.submit(page, form="form-post")
            elif "agree" in names:
                page = await self.submit(page, form="agree", button="go-on")
            elif "demo-accounts" in names and one_tap:
                page = await self.submit(page, form="demo-accounts", button=username)
            elif "sign-in" in names:
                password = provider.account(username).password
                page = await self.submit(page, form="sign-in", username=username, password=password)
            else:
                break
        return page

    async def close(self) -> None:
        """Let go of everything; requests that are under way are their callers' to leave."""
        if self._tcp is not None:
            self._tcp.close()
            self._tcp = None

    async def __aenter__(self) -> Browser:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def _navigate(self, request: BrowserRequest, *, follow: bool) -> Page:
        self.page = await self._load(request, follow=follow)
        return self.page

    async def _load(self, request: BrowserRequest, *, follow: bool) -> Page:
        history: list[Page] = []
        while True:
            page = replace(await self._exchange(request), history=tuple(history))
            location = page.headers.get("Location")
            if not follow or location is None or page.status not in (301, 302, 303, 307, 308):
                return page
            history.append(page)
            if len(history) > MOST_REDIRECTS:
                raise ProtocolViolation("too many redirects", code="too_many_redirects")
            request = request.redirected(page.status, location)

    async def _exchange(self, request: BrowserRequest) -> Page:
        try:
            async with asyncio.timeout(self._timeout), self._opened(request) as exchange:
                return Page(
                    url=request.url,
                    status=exchange.status,
                    headers=exchange.headers,
                    body=await exchange.read(),
                )
        except TimeoutError:
            raise DeadlineExceeded("no answer in time", expected=self._timeout) from None

    @asynccontextmanager
    async def _opened(self, request: BrowserRequest) -> AsyncIterator[Exchange]:
        """Send the request, keep the cookies of its answer, and close the connection after."""
        if self._tcp is None:
            self._tcp = TCPClient()
        if self._tls is None and request.url.startswith("https:"):
            self._tls = ssl.create_default_context(cafile=self._ca_certs)
        cookie = None
        if request.has_cookies:
            safe = request.navigates and request.method in ("GET", "HEAD")
            cookie = self.cookies.header(
                request.url, same_site=request.same_site, safe_navigation=safe
            )
        async with Exchange(
            self._tcp,
            request.method,
            request.url,
            headers=request.http_headers(cookie),
            body=request.body,
            tls=self._tls,
        ) as exchange:
            if request.has_cookies:
                for line in exchange.headers.get_list("Set-Cookie"):
                    own = request.navigates or request.same_site
                    self.cookies.receive(request.url, line, same_site=own)
            yield exchange
