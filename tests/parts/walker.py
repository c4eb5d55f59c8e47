"""A browser as far as signing in goes: keeps cookies, follows redirects, fills in plain forms.

Its own small thing rather than clefstorm's test browser, so that a login with a foreign provider
is judged by nothing of ours. LAW: knows HTTP and HTML, no OpenID Connect.
"""

from __future__ import annotations

from collections.abc import Mapping
from email.message import Message
from html.parser import HTMLParser
from http.cookiejar import CookieJar
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit
from urllib.request import Request

from tornado.httpclient import AsyncHTTPClient, HTTPResponse

MOST_REDIRECTS = 20


class Walker:
    """One browser profile. ``client`` must not follow redirects; tests' ``http_client`` doesn't."""

    def __init__(self, client: AsyncHTTPClient) -> None:
        self._client = client
        self.cookies = CookieJar()

    async def get(self, url: str, *, stop_at: str | None = None) -> HTTPResponse:
        """Fetches ``url`` and follows redirects; whatever the last status, it is answered.

        ``stop_at``: the redirect whose Location begins with this is answered, not followed.
        """
        return await self._walk(url, None, stop_at)

    async def post(
        self, url: str, fields: Mapping[str, str], *, stop_at: str | None = None
    ) -> HTTPResponse:
        """Sends a form, then goes on as ``get`` does."""
        return await self._walk(url, urlencode(fields), stop_at)

    async def submit(
        self, page: HTTPResponse, *, stop_at: str | None = None, **fields: str
    ) -> HTTPResponse:
        """Sends the page's first form: its hidden fields and ``fields``."""
        form = read_form(page)
        assert form is not None, f"no form on {page.effective_url}: {page.body[:500]!r}"
        return await self.post(form.action, {**form.hidden, **fields}, stop_at=stop_at)

    async def _walk(self, url: str, body: str | None, stop_at: str | None) -> HTTPResponse:
        for _ in range(MOST_REDIRECTS):
            response = await self._send(url, body)
            location = response.headers.get("Location")
            if response.code not in {301, 302, 303, 307, 308} or location is None:
                return response
            url = urljoin(url, location)
            if stop_at is not None and url.startswith(stop_at):
                return response
            if response.code not in {307, 308}:
                body = None
        raise AssertionError(f"more than {MOST_REDIRECTS} redirects, now at {url}")

    async def _send(self, url: str, body: str | None) -> HTTPResponse:
        request = Request(url, unverifiable=False)
        self.cookies.add_cookie_header(request)
        response = await self._client.fetch(
            url,
            method="GET" if body is None else "POST",
            body=body,
            headers={
                "Accept": "text/html",
                **self._origin(url, body),
                **dict(request.header_items()),
            },
            raise_error=False,
        )
        self.cookies.extract_cookies(_Answer(response), request)  # type: ignore[arg-type]
        return response

    @staticmethod
    def _origin(url: str, body: str | None) -> dict[str, str]:
        """What a browser adds when it sends a form to the site that the form came from."""
        parts = urlsplit(url)
        return {} if body is None else {"Origin": f"{parts.scheme}://{parts.netloc}"}


class _Answer:
    """The one method that CookieJar calls."""

    def __init__(self, response: HTTPResponse) -> None:
        self._message = Message()
        for name, value in response.headers.get_all():
            self._message.add_header(name, value)

    def info(self) -> Message:
        return self._message


class Form(HTMLParser):
    """The first form of a page: where it goes, and its hidden and its visible fields."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.found = False
        self.action = url
        self.hidden: dict[str, str] = {}
        self.visible: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given: dict[str, Any] = dict(attrs)
        if tag == "form" and not self.found:
            self.found = True
            self.action = urljoin(self.action, given.get("action") or "")
        elif tag == "input" and "name" in given:
            if given.get("type") == "hidden":
                self.hidden[given["name"]] = given.get("value") or ""
            else:
                self.visible.append(given["name"])


def read_form(page: HTTPResponse) -> Form | None:
    """The page's first form, or None."""
    form = Form(page.effective_url)
    form.feed(page.body.decode("utf-8", "replace"))
    return form if form.found else None
