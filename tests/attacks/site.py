"""What is attacked: the mounted application with everything on, its users, and what they had.

LAW: looks from outside, over HTTP; of the inside only what a refusal must leave as it was: the
writes that come to the store, who listens on the bus, the audit log.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from conformance.stage import SECRET, Home, Stage, Token
from tornado.httpclient import HTTPRequest
from tornado.netutil import bind_sockets
from tornado.web import RequestHandler
from tornado.websocket import WebSocketClientConnection, websocket_connect

from clefstorm.handlers import BusAccess, BusLimits, Tabs, UserMixin, authenticated, login_routes
from clefstorm.relying_party import RelyingParty
from clefstorm.remote import Credentials
from clefstorm.sessions import SessionStore
from clefstorm.testing import Browser, Page

EVIL = "https://evil.example"
WRITES = ("create", "save", "revoke", "revoke_sid", "revoke_sub", "put_once", "extend", "take")
"""What a store is asked to change; noting activity and sweeping up are no answers to anybody."""
HELLO = {
    "type": "hello",
    "version": 1,
    "principal": "tab",
    "properties": {},
    "credentials": Credentials("of nobody").password,
}
SUBSCRIBE = {"type": "subscribe", "n": 1, "keys": ["news"], "after": None}
LASTING = ("signed_in", "signed_out", "refreshed", "logout_received", "tab_opened")


class Form(UserMixin, RequestHandler):
    """A page of the application for signed-in users that takes a form."""

    @authenticated
    def get(self) -> None:
        self.finish(f"inside: {self.current_user.sub}")

    @authenticated
    def post(self) -> None:
        self.finish("saved")


async def listeners_only(
    principal: str, credentials: Credentials, handler: Any
) -> BusAccess | None:
    """Who is signed in may hear the news; nobody else comes in."""
    return None if handler.user is None else BusAccess(wait=["news"])


@dataclass(frozen=True)
class Standing:
    """What an attack must not change."""

    users: Sequence[str | None]
    cookies: Sequence[Sequence[tuple[str, str, str]]]
    written: Sequence[str]
    recorded: Sequence[str]
    listening: int


class Site(Stage):
    """The stage of the conformance rows, with the bus mounted, and a memory for what is written.

    ``open_store`` gives the session store, a second time after ``restart``.
    """

    def __init__(self, *, open_store: Callable[[], SessionStore], **more: Any) -> None:
        self.written: list[str] = []
        self._open_store = open_store
        self.tabs = Tabs()
        self.limits = BusLimits()
        super().__init__(store=self._watched(open_store()), **more)

    def routes(self) -> list[tuple[str, type[RequestHandler]]]:
        return [
            (r"/here", Home),
            (r"/token", Token),
            (r"/form", Form),
            *login_routes(
                self.rp,
                "/auth",
                tabs=self.tabs,
                bus_access=listeners_only,
                bus_limits=self.limits,
            ),
            *login_routes(self.rp, "/second"),
        ]

    def _watched(self, store: SessionStore) -> SessionStore:
        """Note each write that comes to something; a logout leaves a tombstone in any case."""

        def noted(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
            async def write(*args: Any, **more: Any) -> Any:
                result = await real(*args, **more)
                if result or name in ("revoke_sid", "revoke_sub"):
                    self.written.append(name)
                return result

            return write

        for name in WRITES:
            setattr(store, name, noted(name, getattr(store, name)))
        return store

    async def restart(self) -> None:
        """End the application's process, in effect, and begin a new one at the same address."""
        assert self._server is not None
        self._server.stop()
        await self._server.close_all_connections()
        await self.rp.close()
        store = self._watched(self._open_store())
        self.rp = RelyingParty(self.clients, store, secret=SECRET, clock=self.clock)
        [self._sock] = bind_sockets(self.port, "127.0.0.1")
        self.serve()

    # -- what an attack must leave as it was -----------------------------------------------------

    async def standing(self, *browsers: Browser) -> Standing:
        """How things stand; ``browsers`` besides the one at the stage."""
        seen = (self.browser, *browsers)
        return Standing(
            users=[await self.user(browser) for browser in seen],
            cookies=[sorted((c.name, c.value, c.path) for c in one.cookies) for one in seen],
            written=list(self.written),
            recorded=[h.event for h in self.heard if h.event in LASTING],
            listening=self.rp.bus.statistics().subscribers,
        )

    @asynccontextmanager
    async def nothing_changes(self, *browsers: Browser, writes: int = 0) -> AsyncIterator[None]:
        """What is done inside changes nothing: nobody's session, no cookie, nothing in the store.

        ``writes``: so many names are put into the store all the same; a state is used up by the
        attempt, for example, when it was the attacker's own.
        """
        before = await self.standing(*browsers)
        yield
        after = await self.standing(*browsers)
        added = list(after.written[len(before.written) :])
        assert added == ["put_once"] * writes
        assert after == Standing(
            users=before.users,
            cookies=before.cookies,
            written=after.written,
            recorded=before.recorded,
            listening=before.listening,
        )

    # -- what a user does ------------------------------------------------------------------------

    async def to_the_form(self) -> Page:
        """Begin a login of somebody whom the provider does not know yet, up to its form."""
        return await self.browser.get(self.login_url())

    async def finish_form(self, form: Page, user: str = "alice") -> Page:
        """Fill that form in, and agree."""
        password = self.provider.account(user).password
        page = await self.browser.submit(form, form="sign-in", username=user, password=password)
        while "agree" in {shown.name for shown in page.forms}:
            page = await self.browser.submit(page, form="agree", button="go-on")
        return page

    # -- what an attacker does -------------------------------------------------------------------

    def callback_url(self, parameters: Mapping[str, str], *, prefix: str = "/auth") -> str:
        """The address of a callback with these parameters."""
        return f"{self.site}{prefix}/callback?{urlencode(parameters)}"

    def plant(self, browser: Browser, name: str, value: str, *, path: str = "/") -> None:
        """Put a cookie into a browser as the site itself could, whoever got it to do so."""
        secure = "; Secure" if self.site.startswith("https:") else ""
        browser.cookies.receive(self.site, f"{name}={value}; Path={path}; HttpOnly{secure}")
        assert not browser.cookies.refused

    def held(self, browser: Browser, beginning: str) -> dict[str, str]:
        """The cookies of a browser whose names begin so."""
        return {c.name: c.value for c in browser.cookies if c.name.startswith(beginning)}

    def cookie_header(self, browser: Browser | None = None) -> str:
        """All cookies of a browser, also those that SameSite would hold back."""
        held = (browser or self.browser).cookies.header(self.site + "/auth/me")
        assert held is not None
        return held

    @asynccontextmanager
    async def socket(self, headers: Mapping[str, str]) -> AsyncIterator[WebSocketClientConnection]:
        """Open the bus with these headers; raises HTTPClientError when it is refused."""
        url = f"{self.site}/auth/bus".replace("http", "ws", 1)
        socket = await websocket_connect(
            HTTPRequest(url, headers=dict(headers), ca_certs=self._ca_certs)
        )
        try:
            yield socket
        finally:
            socket.close(1000)

    @asynccontextmanager
    async def news(self, browser: Browser) -> AsyncIterator[WebSocketClientConnection]:
        """Open the bus as a page of ours does in this browser, and subscribe to the news."""
        headers = {"Cookie": self.cookie_header(browser), "Origin": self.origin}
        async with self.socket({**headers, "Sec-Fetch-Site": "same-origin"}) as socket:
            for frame in (HELLO, SUBSCRIBE):
                socket.write_message(json.dumps(frame))
                assert isinstance(await socket.read_message(), str)
            yield socket

    @property
    def origin(self) -> str:
        """The origin of the application."""
        parts = urlsplit(self.site)
        return f"{parts.scheme}://{parts.netloc}"


def parameters_of(url: str) -> dict[str, str]:
    """The query of a URL."""
    return dict(parse_qsl(urlsplit(url).query))


def refused_with(page: Page, status: int) -> None:
    """A refusal sets no cookie, and no cache keeps it."""
    assert page.status == status, page.text[:300]
    assert "Set-Cookie" not in page.headers
    assert "Location" not in page.headers
    assert page.headers["Cache-Control"] == "no-store"


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop run until it is so."""
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0)
