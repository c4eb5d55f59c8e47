"""The application around a relying party that the races are run against."""

from __future__ import annotations

import asyncio
from typing import Any, cast
from urllib.parse import urlencode

from tornado.httpclient import AsyncHTTPClient, HTTPResponse
from tornado.web import Application, RequestHandler

from clefstorm.client import AsyncClient
from clefstorm.errors import SessionEnded
from clefstorm.handlers import UserMixin, authenticated, login_routes
from clefstorm.registry import build_client
from clefstorm.relying_party import RelyingParty
from clefstorm.sessions import LoginSession
from clefstorm.testing import Browser, Clock, Page, Provider

SECRET = "a secret of a test, at least 32 bytes"
CLIENT_SECRET = "secret-of-the-client"


class Home(UserMixin, RequestHandler):
    """A page that anybody may see."""

    def get(self) -> None:
        self.finish(self.current_user.sub if self.current_user else "nobody")


class Token(UserMixin, RequestHandler):
    """A page that needs an access token, to call an API for its user."""

    @authenticated
    async def get(self) -> None:
        try:
            self.finish(await self.settings["clefstorm"].access_token(self.current_user))
        except SessionEnded as error:
            self.set_status(401)
            self.finish(error.code)


def client_of(provider_issuer: str, url: str) -> AsyncClient:
    """The alias of an application at ``url``."""
    return build_client(
        "default",
        {
            "issuer": provider_issuer,
            "client_id": "app",
            "client_secret": CLIENT_SECRET,
            "redirect_uri": f"{url}/auth/callback",
            "scope": "openid offline_access",
            "frontchannel_logout": True,
            # A thousand requests may come before the provider's answer.
            "timeout": 30.0,
            "deadline": 30.0,
        },
    )


class Site:
    """The application, the provider, and Alice's browser."""

    def __init__(
        self, rp: RelyingParty, provider: Provider, url: str, clock: Clock, browser: Browser
    ) -> None:
        self.rp, self.provider, self.url = rp, provider, url
        self.clock, self.browser = clock, browser
        provider.add_client(
            "app",
            CLIENT_SECRET,
            [f"{url}/auth/callback"],
            backchannel_logout_uri=f"{url}/auth/backchannel-logout",
        )
        client = self.add_alias("default", client_of(provider.issuer, url))
        client.clock = rp.clock

    def add_alias(self, alias: str, client: AsyncClient) -> AsyncClient:
        """Give the relying party one more client."""
        cast(dict[str, AsyncClient], self.rp.clients)[alias] = client
        self.rp._setting.given_clients += (client,)
        return client

    @staticmethod
    def application(
        rp: RelyingParty, token: type[Token] = Token, *, poll_hold: float = 25.0
    ) -> Application:
        """An application with a page or two."""
        return Application(
            [(r"/", Home), (r"/token", token), *login_routes(rp, "/auth", poll_hold=poll_hold)],
            clefstorm=rp,
        )

    @property
    def sub(self) -> str:
        """Who Alice is."""
        return self.provider.account("alice").sub

    @property
    def sid(self) -> str:
        """The provider's session of Alice's browser."""
        (session,) = self.provider.sessions
        return session.sids["app"]

    async def sign_in(self) -> LoginSession:
        """Sign Alice's browser in, from end to end; return her session."""
        await self.browser.sign_in(self.provider, "alice", f"{self.url}/auth/login")
        session = await self.session()
        assert session is not None
        return session

    async def walk_to_callback(self) -> str:
        """Begin one more login and walk to the callback's door; the provider asks nothing."""
        start = await self.browser.get(f"{self.url}/auth/login", follow=False)
        answer = await self.browser.get(start.headers["Location"], initiator=self.url, follow=False)
        return answer.headers["Location"]

    async def open(self, callback: str) -> Page:
        """Come back from the provider."""
        return await self.browser.get(callback, initiator=f"{self.provider.issuer}/", follow=False)

    async def session(self) -> LoginSession | None:
        """The live session of Alice's browser, None when it has none."""
        cookie = self.browser.cookies.header(self.url, same_site=True, safe_navigation=True) or ""
        found = dict(pair.split("=", 1) for pair in cookie.split("; ") if pair)
        return await self.rp.session(found.get(self.rp.cookies.session))

    async def sessions(self) -> list[LoginSession]:
        """All live sessions of Alice."""
        return await self.rp.sessions.list_sub(self.provider.issuer, self.sub)

    async def who(self) -> str:
        """Whom the application takes the browser for."""
        return (await self.browser.get(f"{self.url}/")).text

    def poll(self, url: str | None = None) -> asyncio.Task[Page]:
        """Let a page of the browser poll for the end of its session, here or at another process."""
        return asyncio.ensure_future(self.browser.fetch(f"{url or self.url}/auth/poll"))

    async def post_logout_token(
        self, token: str, http: AsyncHTTPClient, *, url: str | None = None
    ) -> HTTPResponse:
        """Call the webhook as the provider does, here or at another process."""
        body: Any = urlencode({"logout_token": token})
        return await http.fetch(
            f"{url or self.url}/auth/backchannel-logout",
            method="POST",
            body=body,
            raise_error=False,
        )
