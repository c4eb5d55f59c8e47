"""What every row of the table plays on: a mounted application, its provider, and a browser.

LAW: looks at the application from outside, over HTTP, and at its audit log; nothing here knows
what a rule says.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from tornado.httpclient import AsyncHTTPClient, HTTPRequest
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from tornado.web import Application, RequestHandler

from clefstorm.client import AsyncClient
from clefstorm.errors import ClefStormError
from clefstorm.handlers import UserMixin, login_routes, user_of
from clefstorm.keys import Key
from clefstorm.providers import OAuth2Provider, OpenIDProvider
from clefstorm.relying_party import Happening, RelyingParty
from clefstorm.sessions import SessionStore
from clefstorm.testing import Browser, Clock, Page, Provider

SECRET = "a secret of the conformance rows, 32 bytes or more"
CLIENT_SECRET = "secret-of-the-client, with: signs & spaces %"
FORM = "application/x-www-form-urlencoded"
PROTECTED = {"xsrf_cookies": True, "cross_origin_protection": True}


class Home(UserMixin, RequestHandler):
    """Where logins return to."""

    def get(self) -> None:
        self.finish("here")


class Token(RequestHandler):
    """Calls an API, in a manner of speaking: answers whether a fresh access token was to be had."""

    async def get(self) -> None:
        rp: RelyingParty = self.settings["clefstorm"]
        session = await user_of(self, rp)
        try:
            assert session is not None
            await rp.access_token(session)
        except ClefStormError as error:
            self.finish(f"{error.code} {error.evidence.get('reason', '')}".strip())
        else:
            self.finish("fresh")


class Stage:
    """One application and its provider. ``front`` is nginx's address of us, None without it.

    ``site`` is the application's address as browsers know it, with no slash at its end;
    ``heard`` what the relying party records.
    """

    def __init__(
        self,
        *,
        store: SessionStore,
        clock: Clock,
        signing_key: Key,
        ca_certs: str | None,
        tls: ssl.SSLContext | None,
        front: Callable[[int], str] | None,
        registration: Mapping[str, Any],
        options: Mapping[str, Any],
    ) -> None:
        self.clock = clock
        self.provider = Provider(clock=clock, signing_keys=[signing_key], ca_certs=ca_certs)
        self.heard: list[Happening] = []
        self._sock, self.port = bind_unused_port()
        self._tls = tls
        scheme = "http" if tls is None else "https"
        own = f"{scheme}://127.0.0.1:{self.port}"
        self.site = own if front is None else front(self.port)
        self.path = urlsplit(self.site).path
        self._behind_a_proxy = front is not None
        self._registration = registration
        self._options = options
        self._ca_certs = ca_certs
        self._browsers: list[Browser] = []
        self._messenger = AsyncHTTPClient(force_instance=True)
        self._dropped: list[AsyncClient] = []
        self._server: HTTPServer | None = None
        self.clients: dict[str, AsyncClient] = {}
        self.rp = RelyingParty(self.clients, store, secret=SECRET, clock=clock)
        self.browser = self.new_browser()

    async def start(self) -> None:
        """Serve, with the provider registered and configured."""
        await self.provider.start()
        self.register()
        self.configure()
        self.serve()

    def serve(self) -> None:
        """Serve what is mounted, and hear what is recorded."""
        self.rp.listeners.append(self.heard.append)
        application = Application(self.routes(), clefstorm=self.rp, **PROTECTED)
        self._server = HTTPServer(application, xheaders=self._behind_a_proxy, ssl_options=self._tls)
        self._server.add_socket(self._sock)

    def routes(self) -> list[tuple[str, type[RequestHandler]]]:
        """What is mounted."""
        return [
            (r"/here", Home),
            (r"/token", Token),
            *login_routes(self.rp, "/auth"),
            *login_routes(self.rp, "/second"),
        ]

    async def stop(self) -> None:
        """Close everything."""
        for browser in self._browsers:
            await browser.close()
        if self._server is not None:
            self._server.stop()
            await self._server.close_all_connections()
        self._messenger.close()
        await self.rp.close()
        for client in (*self._dropped, *self.clients.values()):
            await client.close()
        await self.provider.stop()

    def register(self, client_id: str = "app", **changes: Any) -> None:
        """Register the application at the provider, anew when it is there already."""
        fields: dict[str, Any] = {
            "redirect_uris": [f"{self.site}/auth/callback"],
            "post_logout_redirect_uris": [f"{self.site}/auth/logged-out"],
            "backchannel_logout_uri": f"{self.site}/auth/backchannel-logout",
            **self._registration,
            **changes,
        }
        self.provider.add_client(client_id, CLIENT_SECRET, **fields)

    def configure(self, alias: str = "default", **changes: Any) -> None:
        """Configure an alias anew: as after a restart, nothing of the provider is known yet.

        ``kind`` oauth2 is an alias without OpenID Connect, whose issuer is ``named`` or not.
        """
        options = {
            "issuer": self.provider.issuer,
            "client_id": "app",
            "client_secret": CLIENT_SECRET,
            "redirect_uri": f"{self.site}/auth/callback",
            "post_logout_redirect_uri": f"{self.site}/auth/logged-out",
            **self._options,
            **changes,
        }
        if alias in self.clients:
            self._dropped.append(self.clients[alias])
        deadline = options.pop("deadline", 10.0)
        provider = (
            self._oauth2_provider(options)
            if options.pop("kind", "openid") == "oauth2"
            else OpenIDProvider(**options)
        )
        self.clients[alias] = AsyncClient(
            provider, alias=alias, deadline=deadline, clock=self.clock
        )

    def _oauth2_provider(self, options: dict[str, Any]) -> OAuth2Provider:
        """The same server as one that speaks no OpenID Connect: known by its endpoints."""
        base = options.pop("issuer")
        del options["post_logout_redirect_uri"]
        return OAuth2Provider(
            authorization_endpoint=f"{base}/authorize",
            token_endpoint=f"{base}/token",
            userinfo_endpoint=f"{base}/userinfo",
            issuer=options.pop("named", ""),
            scope="openid profile email",
            **options,
        )

    def new_browser(self) -> Browser:
        """One more browser profile."""
        self._browsers.append(Browser(clock=self.clock, ca_certs=self._ca_certs))
        return self._browsers[-1]

    # -- what a user does ------------------------------------------------------------------------

    def login_url(self, **parameters: str) -> str:
        """The login page, which leads to /here in the end."""
        return f"{self.site}/auth/login?{urlencode({'next': f'{self.path}/here', **parameters})}"

    async def sign_in(
        self, user: str = "alice", *, browser: Browser | None = None, **parameters: str
    ) -> Page:
        """Walk a login; return the page on which it ends, whatever it is."""
        browser = browser or self.browser
        return await browser.sign_in(self.provider, user, self.login_url(**parameters))

    async def to_the_provider(self, **parameters: str) -> dict[str, str]:
        """Begin a login; return the parameters of the authorization request."""
        start = await self.browser.get(self.login_url(**parameters), follow=False)
        assert start.status == 303, start.text
        return dict(parse_qsl(urlsplit(start.headers["Location"]).query))

    async def to_the_callback(self, browser: Browser | None = None, **parameters: str) -> str:
        """Walk a login of a user whom the provider knows, to the callback's URL, not opened."""
        browser = browser or self.browser
        start = await browser.get(self.login_url(**parameters), follow=False)
        answer = await browser.get(start.headers["Location"], initiator=self.site, follow=False)
        assert answer.status == 303, answer.text
        return answer.headers["Location"]

    async def open_callback(self, url: str, browser: Browser | None = None) -> Page:
        """Open a callback as the redirect of the provider would."""
        return await (browser or self.browser).get(
            url, initiator=f"{self.provider.issuer}/", follow=False
        )

    async def sign_out(self, *, follow: bool = True) -> Page:
        """Press the button of the logout page; return the page on which that ends."""
        page = await self.browser.get(f"{self.site}/auth/logout?next={self.path}/here")
        return await self.browser.submit(page, follow=follow)

    async def user(self, browser: Browser | None = None) -> str | None:
        """Who is signed in, by sub; None for nobody."""
        me = await (browser or self.browser).fetch(f"{self.site}/auth/me")
        assert me.status == 200
        sub: str | None = me.json().get("sub")
        return sub

    def sub(self, user: str = "alice") -> str:
        """The subject of a user."""
        return self.provider.account(user).sub

    @property
    def session_cookie(self) -> str | None:
        """The session id that the browser at the stage holds."""
        return self.browser.cookies.get(self.rp.cookies.session)

    async def sid(self) -> str:
        """The provider's name of the session of the browser at the stage."""
        session = await self.rp.session(self.session_cookie)
        assert session is not None
        assert session.sid is not None
        return session.sid

    # -- what a provider does --------------------------------------------------------------------

    async def post_logout_token(self, token: str) -> Page:
        """Deliver a logout token from a machine that is no browser of anybody."""
        return await self.send("backchannel-logout", urlencode({"logout_token": token}))

    async def send(
        self,
        page: str,
        body: str,
        *,
        query: str = "",
        content_type: str = FORM,
        method: str = "POST",
        cookies: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> Page:
        """Send one of our pages a request that no browser would; ``cookies``: the browser's."""
        url = f"{self.site}/auth/{page}{query}"
        headers = {"Content-Type": content_type, **(headers or {})}
        held = self.browser.cookies.header(url, same_site=True, safe_navigation=True)
        if cookies and held is not None:
            headers["Cookie"] = held
        response = await self._messenger.fetch(
            HTTPRequest(
                url,
                method=method,
                body=None if method in ("GET", "HEAD", "OPTIONS") else body,
                allow_nonstandard_methods=True,
                headers=headers,
                ca_certs=self._ca_certs,
                follow_redirects=False,
            ),
            raise_error=False,
        )
        return Page(
            url=response.effective_url,
            status=response.code,
            headers=response.headers,
            body=response.body,
        )

    # -- what the log says -----------------------------------------------------------------------

    def events(self, event: str) -> list[Happening]:
        """What was recorded of this kind, oldest first."""
        return [happening for happening in self.heard if happening.event == event]


def shown_code(page: Page) -> str | None:
    """The code of a problem page, None when it is none."""
    found = re.search(r"Code <code>(\w+)</code>, reference <code>\w+</code>", page.text)
    return None if found is None else found[1]


def said(page: Page) -> str:
    """A page in one line, for who reads a red test."""
    return f"{page.status} {page.url.partition('?')[0]} {shown_code(page) or page.text[:300]}"


def certificate_files(folder: Path, authority: Any) -> tuple[ssl.SSLContext, str]:
    """A server's TLS for 127.0.0.1, and the file of the CA that vouches for it."""
    ca_certs = folder / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_certs))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context, str(ca_certs)
