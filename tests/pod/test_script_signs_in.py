"""A script without a browser signs in to an application, through the provider's form."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import pytest
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from tornado.web import Application, RequestHandler

from clefstorm import AsyncPodConnection, PodConnection, RelyingParty, UserMixin, login_routes
from clefstorm.registry import build_client
from clefstorm.sessions import MemorySessionStore
from clefstorm.testing import Browser, Provider
from clefstorm.testing.fixtures import browser as browser
from clefstorm.testing.fixtures import new_browser as new_browser
from clefstorm.testing.fixtures import provider as provider


class Home(UserMixin, RequestHandler):
    def get(self) -> None:
        self.finish(f"Hello {self.current_user.name if self.current_user else 'stranger'}")


@pytest.fixture
def rp(io_loop: IOLoop, provider: Provider, http_port: int) -> Iterator[RelyingParty]:
    here = f"http://127.0.0.1:{http_port}"
    provider.add_client(
        "app",
        "secret",
        [f"{here}/auth/callback"],
        backchannel_logout_uri=f"{here}/auth/backchannel-logout",
    )
    options = {
        "issuer": provider.issuer,
        "client_id": "app",
        "client_secret": "secret",
        "redirect_uri": f"{here}/auth/callback",
    }
    client = build_client("default", options)
    party = RelyingParty({"default": client}, MemorySessionStore(), secret="x" * 32)
    yield party
    io_loop.run_sync(party.close)


@pytest.fixture
def app(rp: RelyingParty) -> Application:
    return Application([("/", Home), *login_routes(rp, "/auth")], clefstorm=rp)


@pytest.fixture
def site(http_server: HTTPServer, http_port: int) -> str:
    return f"http://127.0.0.1:{http_port}"


async def begin(browser: Browser, site: str) -> str:
    """Where the application sends a login."""
    begun = await browser.get(f"{site}/auth/login?next=/", follow=False)
    return begun.headers["Location"]


async def test_a_task_signs_in(provider: Provider, browser: Browser, site: str) -> None:
    """The provider knows the script, so its answer to the login is the code, without a page."""
    assert (await browser.get(site)).text == "Hello stranger"
    async with AsyncPodConnection(provider.issuer, "alice", "alice-secret") as connection:
        await connection.login()
        answered = await connection.get(await begin(browser, site))
        assert answered.status == 303
        assert answered.headers["location"].startswith(f"{site}/auth/callback?code=")
        page = await browser.get(answered.headers["location"])
        assert (page.url, page.text) == (f"{site}/", "Hello Alice Archer")
        # It is one session: to sign out at the pod is to sign out at the provider.
        await connection.logout()
    assert [delivery.delivered for delivery in provider.deliveries] == [True]
    assert (await browser.get(site)).text == "Hello stranger"


async def test_a_blocking_script_signs_in(provider: Provider, browser: Browser, site: str) -> None:
    """The blocking twin answers the login in a thread of its own."""
    connection = PodConnection(provider.issuer, "bob", "bob-secret")

    def answer(url: str) -> str:
        connection.login()
        location = connection.get(url).headers["location"]
        connection.close()
        return location

    location = await asyncio.to_thread(answer, await begin(browser, site))
    assert (await browser.get(location)).text == "Hello Bob Baker"


async def test_without_a_login_there_is_no_code(
    provider: Provider, browser: Browser, site: str
) -> None:
    """A script that has not signed in gets the provider's page, or its error with prompt=none."""
    async with AsyncPodConnection(provider.issuer, "alice", "alice-secret") as connection:
        url = await begin(browser, site)
        assert (await connection.get(url)).status == 200
        silent = await connection.get(url, params={"prompt": "none"})
        answer = parse_qs(urlsplit(silent.headers["location"]).query)
        assert answer["error"] == ["login_required"]
        assert "code" not in answer


async def test_another_account_asks(provider: Provider, browser: Browser, site: str) -> None:
    """A request that wants the password anew gets the page, signed in or not."""
    async with AsyncPodConnection(provider.issuer, "alice", "alice-secret") as connection:
        await connection.login()
        url = await begin(browser, site)
        assert (await connection.get(url)).status == 303
        assert (await connection.get(url, params={"prompt": "login"})).status == 200
