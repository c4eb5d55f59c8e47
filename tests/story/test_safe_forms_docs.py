"""The programs of three how-to pages, as they stand but for the addresses, in a whole life.

client_authentication, encrypted_id_tokens and revoke_tokens: keys are made, the application is
registered with what the page prints, and a user signs in, refreshes and signs out.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from parts.page_programs import programs, text_of
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

import clefstorm
from clefstorm.client import Client
from clefstorm.errors import TokenRefused
from clefstorm.sessions import MemorySessionStore
from clefstorm.testing import Browser, Provider
from clefstorm.testing.fixtures import browser as browser
from clefstorm.testing.fixtures import new_browser as new_browser

SECRET = "a-secret-of-at-least-thirty-two-bytes"


def page_programs(page: str) -> dict[str, str]:
    return programs(text_of(f"how-to/{page}"))


class Home(clefstorm.UserMixin, RequestHandler):
    @clefstorm.authenticated
    async def get(self) -> None:
        self.write(f"Hello {self.current_user.name}")


class Site:
    """The application of a page, at an address of its own, and the provider it is registered at."""

    def __init__(self, provider: Provider, url: str, application: Application) -> None:
        self.provider = provider
        self.url = url
        self.application = application
        self.party: clefstorm.RelyingParty

    def register(self, **registration: Any) -> None:
        self.provider.add_client(
            "app",
            redirect_uris=[f"{self.url}/auth/callback"],
            post_logout_redirect_uris=[f"{self.url}/auth/logged-out"],
            backchannel_logout_uri=f"{self.url}/auth/backchannel-logout",
            **registration,
        )

    def addressed(self, text: str) -> str:
        text = text.replace("https://id.example.com", self.provider.issuer)
        return text.replace("https://app.example.com", self.url)

    def run(self, program: str) -> dict[str, Any]:
        """Run a program of the page; its party, or one of ours, is mounted."""
        names: dict[str, Any] = {}
        exec(self.addressed(program), names)
        self.party = names.get("relying_party") or clefstorm.RelyingParty(
            sessions=MemorySessionStore(), secret="x" * 32
        )
        self.application.add_handlers(r".*", clefstorm.login_routes(self.party, "/auth"))
        self.application.settings["clefstorm"] = self.party
        return names

    async def sign_in(self, browser: Browser) -> clefstorm.LoginSession:
        page = await browser.sign_in(self.provider, "alice", f"{self.url}/auth/login?next=/")
        assert page.text == "Hello Alice Archer"
        sub = self.provider.account("alice").sub
        (session,) = await self.party.sessions.list_sub(self.provider.issuer, sub)
        return session


@pytest.fixture
def make_site(
    io_loop: IOLoop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Site]]:
    """A maker of sites in a folder of their own."""
    monkeypatch.chdir(tmp_path)
    made: list[tuple[Site, HTTPServer]] = []

    def make_site(**options: Any) -> Site:
        provider = Provider(**options)
        io_loop.run_sync(provider.start)
        [socket] = bind_sockets(0, "127.0.0.1")
        application = Application([(r"/", Home)])
        server = HTTPServer(application)
        server.add_sockets([socket])
        site = Site(provider, f"http://127.0.0.1:{socket.getsockname()[1]}", application)
        made.append((site, server))
        return site

    yield make_site
    for site, server in made:
        server.stop()
        io_loop.run_sync(server.close_all_connections)
        for client in site.party.clients.values():
            io_loop.run_sync(client.close)
        io_loop.run_sync(site.party.close)
        io_loop.run_sync(site.provider.stop)
    clefstorm.configure()


@pytest.fixture
def site(make_site: Callable[..., Site]) -> Site:
    return make_site()


@pytest.fixture
def pushing_site(make_site: Callable[..., Site]) -> Site:
    return make_site(require_pushed_authorization_requests=True)


def printed(program: str, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run a program; what it printed, which is JSON."""
    exec(program, {})
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("program", ["app.py", "app_with_the_old_audience.py"])
async def test_private_key(pushing_site, browser, capsys, tmp_path, program) -> None:
    """The key that the page makes signs in, where requests have to be pushed too."""
    page = page_programs("client_authentication.rst")
    jwks = printed(page["make_client_key.py"], capsys)
    assert (tmp_path / "client_key.pem").stat().st_mode & 0o777 == 0o600
    pushing_site.register(jwks=jwks, token_endpoint_auth_method="private_key_jwt")
    pushing_site.run(page[program])
    session = await pushing_site.sign_in(browser)
    assert session.sub == pushing_site.provider.account("alice").sub
    assert [seen.status for seen in pushing_site.provider.requests if seen.path == "/par"] == [201]


async def test_secret_unsent(site, browser) -> None:
    """client_secret_jwt, as the page shows it."""
    site.register(client_secret=SECRET, token_endpoint_auth_method="client_secret_jwt")
    site.run(page_programs("client_authentication.rst")["app_with_secret.py"])
    await site.sign_in(browser)


@pytest.mark.parametrize("program", ["app.py", "app_from_file.py"])
async def test_encrypted(site, browser, capsys, tmp_path, monkeypatch, program) -> None:
    """The id token comes encrypted, and a logout there reaches us encrypted too."""
    page = page_programs("encrypted_id_tokens.rst")
    monkeypatch.setenv("CLIENT_SECRET", SECRET)
    (tmp_path / "clefstorm.toml").write_text(site.addressed(page["clefstorm.toml"]))
    site.register(
        client_secret=SECRET,
        jwks=printed(page["make_decryption_key.py"], capsys),
        id_token_encrypted_response_alg="ECDH-ES",
        id_token_encrypted_response_enc="A256GCM",
    )
    site.run(page[program])
    session = await site.sign_in(browser)
    assert session.tokens.id_token.count(".") == 2
    [delivery] = await site.provider.sign_out("alice")
    assert delivery.delivered
    assert await site.party.read_session(session.key) is None


async def test_revoked(site, browser) -> None:
    """What the page promises happens: the refresh token dies with the session."""
    site.register(client_secret=SECRET)
    page = page_programs("revoke_tokens.rst")
    site.run(page["app.py"])
    session = await site.sign_in(browser)
    told = asyncio.Event()
    site.party.listeners.append(lambda heard: heard.event == "token_revoked" and told.set())
    await site.party.revoke(session.key)
    await asyncio.wait_for(told.wait(), 10)
    with pytest.raises(TokenRefused):
        await site.party.client().refresh(session.tokens)


@pytest.mark.parametrize("twin", ["async", "blocking"])
async def test_one_token(site, browser, twin) -> None:
    """The page's function, and the blocking twin of what it calls."""
    site.register(client_secret=SECRET)
    page = page_programs("revoke_tokens.rst")
    site.run(page["app.py"])
    session = await site.sign_in(browser)
    if twin == "async":
        names: dict[str, Any] = {}
        exec(page["revoke_one.py"], names)
        await names["forget"](site.party, session)
    else:
        client = Client(site.party.client().provider)
        token = session.tokens.refresh_token
        await asyncio.to_thread(client.revoke, token, token_type_hint="refresh_token")
        await asyncio.to_thread(client.close)
    with pytest.raises(TokenRefused):
        await site.party.client().refresh(session.tokens)
