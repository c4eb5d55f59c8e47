"""clefstorm.js in a real browser: one connection for all tabs, and every tab leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from mounted import Settings
from playwright.async_api import Browser, BrowserContext, Page, async_playwright
from playwright.async_api import Error as PlaywrightError
from tornado.httpserver import HTTPServer
from tornado.web import Application, RequestHandler

from clefstorm.handlers import UserMixin, authenticated
from clefstorm.relying_party import RelyingParty
from clefstorm.testing import Provider

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.gen_test(timeout=60)]

POLICY = "default-src 'none'; script-src 'self'; connect-src 'self'"
HASTE = """for (const name of ["setTimeout", "setInterval"]) {
  const real = window[name];
  window[name] = (act, after, ...more) => real(act, after / 10, ...more);
}"""
"""Makes the waits of a page ten times shorter."""


class Members(UserMixin, RequestHandler):
    """A page for signed-in users, with a strict policy, which browsers may keep for Back."""

    @authenticated
    def get(self) -> None:
        self.set_header("Content-Security-Policy", POLICY)
        self.set_header("Cache-Control", "private")
        self.finish(
            "<!doctype html><title>members</title><h1>Members</h1><a href=/away>away</a>"
            "<form method=post action=/auth/logout><button>Sign out</button></form>"
            '<script src="/auth/clefstorm.js" data-signed-out="/bye" async></script>'
        )


class Away(RequestHandler):
    def get(self) -> None:
        self.finish("<!doctype html><title>away</title>")


@pytest.fixture
def settings() -> Settings:
    return Settings(application={"cross_origin_protection": True})


@pytest.fixture
def app(app: Application) -> Application:
    app.add_handlers(".*", [("/members", Members), ("/bye", Away), ("/away", Away)])
    return app


class Story:
    """One browser profile of a signed-in user."""

    def __init__(self, context: BrowserContext, app_url: str, rp: RelyingParty) -> None:
        self.context = context
        self.app_url = app_url
        self.rp = rp
        self.happened: list[str] = []
        rp.listeners.append(lambda happening: self.happened.append(happening.event))

    async def sign_in(self, provider: Provider, username: str, page: Page | None = None) -> Page:
        """Sign in on a page of its own, or with another login on the one given."""
        if page is None:
            page = await self.context.new_page()
            await page.goto(f"{self.app_url}/members")
        else:
            await page.goto(f"{self.app_url}/auth/login?next=/members&prompt=login")
        await page.fill("[name=username]", username)
        await page.fill("[name=password]", provider.account(username).password)
        await page.click("form[name=sign-in] button")
        await page.wait_for_selector("[name=go-on], h1:has-text('Members')")
        if page.url.startswith(provider.issuer):
            await page.click("[name=go-on]")
        await page.wait_for_url(f"{self.app_url}/members")
        return page

    async def open(self) -> Page:
        """One more tab."""
        page = await self.context.new_page()
        await page.goto(f"{self.app_url}/members")
        return page

    async def connections(self, count: int) -> None:
        """Wait until this many connections are open."""
        while self.rp.bus.statistics().subscribers != count:
            await asyncio.sleep(0.01)


async def left(*pages: Page) -> None:
    """Wait until all have gone to the farewell page.

    Less than the 20 seconds after which a stream looks by itself: so they were told.
    """
    for page in pages:
        await page.wait_for_url("**/bye", timeout=10_000)


@pytest.fixture
def story(chromium_browser: Browser, joined_rp: RelyingParty, app_url: str) -> Callable[..., Any]:
    async def story(script: str | None = None, browser: Browser = chromium_browser) -> Story:
        context = await browser.new_context()
        context.set_default_timeout(20_000)
        if script is not None:
            await context.add_init_script(script)
        return Story(context, app_url, joined_rp)

    return story


Stories = Callable[..., Any]


@pytest.mark.parametrize(
    ("script", "connections"),
    [
        pytest.param(None, 1, id="events"),
        pytest.param("delete window.EventSource", 1, id="long_poll"),
        pytest.param(
            "Object.defineProperty(navigator, 'locks', {value: undefined})", 2, id="no_web_locks"
        ),
        pytest.param("delete window.BroadcastChannel", 2, id="no_channel"),
    ],
)
async def test_all_tabs_leave(
    story: Stories, provider: Provider, script: str | None, connections: int
) -> None:
    """Two tabs of one browser share a connection where they can; a logout reaches both."""
    alice = await story(script)
    one = await alice.sign_in(provider, "alice")
    two = await alice.open()
    await alice.connections(connections)
    await provider.sign_out("alice")
    await left(one, two)


async def test_leader_that_closes_is_followed(story: Stories, provider: Provider) -> None:
    """When the tab with the connection is closed, another takes it over."""
    alice = await story()
    one = await alice.sign_in(provider, "alice")
    await alice.connections(1)
    two = await alice.open()
    await one.close()
    while alice.happened.count("tab_opened") < 2:
        await asyncio.sleep(0.01)
    await provider.sign_out("alice")
    await left(two)


async def test_leader_that_hangs_is_replaced(story: Stories, provider: Provider) -> None:
    """A leader that does not answer loses the lead to a tab that is looked at."""
    alice = await story(HASTE)
    one = await alice.sign_in(provider, "alice")
    await alice.connections(1)
    two = await alice.open()
    await two.bring_to_front()
    hanging = asyncio.ensure_future(
        one.evaluate("() => { const end = Date.now() + 5000; while (Date.now() < end); }")
    )
    await alice.connections(2)  # the one that hangs keeps its own, unread
    await provider.sign_out("alice")
    await left(two)
    await asyncio.gather(hanging, return_exceptions=True)
    await left(one)


async def test_frozen_leader_is_followed(story: Stories, provider: Provider) -> None:
    """A tab that the browser freezes lets go first, and looks again when it thaws."""
    alice = await story()
    one = await alice.sign_in(provider, "alice")
    await alice.connections(1)
    two = await alice.open()
    session = await alice.context.new_cdp_session(one)
    await session.send("Page.setWebLifecycleState", {"state": "frozen"})
    await provider.sign_out("alice")
    await left(two)
    # A page that leaves as soon as it thaws takes the answer to this command along.
    with suppress(PlaywrightError):
        await session.send("Page.setWebLifecycleState", {"state": "active"})
    await left(one)


async def test_new_login_of_the_same_user_keeps_the_tabs(
    story: Stories, provider: Provider
) -> None:
    """Replaced by the same user's new session: the other tab stays, and hears of its end."""
    alice = await story()
    one = await alice.sign_in(provider, "alice")
    two = await alice.open()
    await two.goto(f"{alice.app_url}/auth/login?next=/members")
    await two.wait_for_url(f"{alice.app_url}/members")
    await alice.connections(1)
    assert one.url == f"{alice.app_url}/members"
    await provider.sign_out("alice")
    await left(one, two)


async def test_another_user_makes_the_tabs_leave(story: Stories, provider: Provider) -> None:
    """A page of Alice does not go on when the browser has become Bob's."""
    alice = await story()
    one = await alice.sign_in(provider, "alice")
    two = await alice.open()
    await alice.connections(1)
    await alice.sign_in(provider, "bob", two)
    await left(one)
    assert two.url == f"{alice.app_url}/members"


async def test_page_may_stay_to_save_its_form(story: Stories, provider: Provider) -> None:
    """The event "clefstorm:logout" says why, and a page that cancels it leaves when it wants."""
    alice = await story()
    one = await alice.sign_in(provider, "alice")
    two = await alice.open()
    await alice.connections(1)
    await one.evaluate(
        "document.addEventListener('clefstorm:logout', (event) => "
        "{ event.preventDefault(); window.farewell = event.detail; })"
    )
    await provider.sign_out("alice")
    await left(two)
    await one.wait_for_function("window.farewell")
    assert await one.evaluate("window.farewell.reason") == "backchannel"
    assert one.url == f"{alice.app_url}/members"
    await one.evaluate("window.farewell.leave()")
    await left(one)


async def test_own_logout_gets_as_far_as_the_provider(story: Stories, provider: Provider) -> None:
    """The tab whose form signs out is not torn from its way; the other tab leaves."""
    alice = await story()
    one = await alice.sign_in(provider, "alice")
    two = await alice.open()
    await alice.connections(1)
    await two.click("text=Sign out")
    await left(one)
    await two.wait_for_url(f"{alice.app_url}/")
    assert not provider.sessions


async def test_back_shows_no_signed_in_page(
    chromium: str, story: Stories, provider: Provider
) -> None:
    """A page that Back takes out of the browser's cache is hidden until somebody has looked."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=chromium,
            args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
            ignore_default_args=["--disable-back-forward-cache"],
        )
        alice = await story(browser=browser)
        page = await alice.sign_in(provider, "alice")
        await alice.connections(1)
        await page.evaluate("window.kept = true")
        await page.click("text=away")
        await page.wait_for_url("**/away")
        await alice.connections(0)
        await page.go_back(wait_until="commit")
        await alice.connections(1)
        assert await page.evaluate("window.kept")
        assert await page.is_visible("h1")
        await page.evaluate(
            "addEventListener('pageshow', () => "
            "{ sessionStorage.shown = document.documentElement.style.visibility; })"
        )
        await page.click("text=away")
        await page.wait_for_url("**/away")
        await provider.sign_out("alice")
        await page.go_back(wait_until="commit")
        await left(page)
        assert await page.evaluate("sessionStorage.shown") == "hidden"
        await browser.close()


async def test_server_that_restarts_is_found_again(
    story: Stories, provider: Provider, app: Application, http_server: HTTPServer, http_port: int
) -> None:
    """After a restart the connection comes back by itself."""
    alice = await story()
    page = await alice.sign_in(provider, "alice")
    await alice.connections(1)
    http_server.stop()
    await http_server.close_all_connections()
    await alice.connections(0)
    again = HTTPServer(app)
    again.listen(http_port, "127.0.0.1")
    await alice.connections(1)
    await provider.sign_out("alice")
    await left(page)
    again.stop()
    await again.close_all_connections()


async def test_page_for_nobody_does_not_load_for_ever(story: Stories) -> None:
    """A farewell page that has the script by mistake is loaded once more, not for ever."""
    nobody = await story()
    page = await nobody.context.new_page()
    await page.goto(f"{nobody.app_url}/bye")
    loads: list[str] = []
    page.on("load", lambda _: loads.append(page.url))
    add = (
        "() => { const script = document.createElement('script');"
        "script.src = '/auth/clefstorm.js'; script.dataset.signedOut = '/bye';"
        "document.head.append(script); }"
    )
    for expected in (1, 1):
        async with page.expect_response("**/auth/me"):
            await page.evaluate(add)
        await asyncio.sleep(0.3)
        assert len(loads) == expected
