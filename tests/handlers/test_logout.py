"""The user's own logout, and the way back from the provider's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from mounted import NAVIGATION, PROTECTED, Settings, SignedIn
from tornado.httpclient import AsyncHTTPClient, HTTPResponse

from clefstorm.relying_party import RelyingParty
from clefstorm.testing import Browser, Provider

SignIn = Callable[..., Awaitable[SignedIn]]
Post = Callable[..., Awaitable[HTTPResponse]]


@pytest.fixture(params=[{}, PROTECTED], ids=["plain", "protected"])
def settings(request: pytest.FixtureRequest) -> Settings:
    return Settings(application=request.param)


async def test_whole_logout(
    browser: Browser, provider: Provider, joined_rp: RelyingParty, app_url: str
) -> None:
    """The form asks; its POST ends the session here, then at the provider, and comes back."""
    await browser.sign_in(provider, "alice", f"{app_url}/inside")
    question = await browser.get(f"{app_url}/auth/logout?next=/%3Fbye")
    assert question.status == 200
    assert "Sign out?" in question.text
    assert question.headers["Referrer-Policy"] == "same-origin"
    assert (await browser.get(f"{app_url}/")).text != "nobody"
    page = await browser.submit(question)
    assert page.history[0].status == 303
    assert page.history[0].headers["Location"].startswith(f"{provider.issuer}/end_session?")
    assert page.url == f"{app_url}/?bye"
    assert page.text == "nobody"
    assert not provider.sessions
    assert [c for c in browser.cookies if c.name.startswith(joined_rp.cookies.session)] == []


async def test_farewell_page(browser: Browser, joined_rp: RelyingParty, app_url: str) -> None:
    """Without a login the pages say so: there is nothing to ask."""
    for path in ("/auth/logged-out", "/auth/logout"):
        page = await browser.get(app_url + path)
        assert page.status == 200
        assert "You are signed out" in page.text
        assert not page.forms


async def test_return_with_a_foreign_state(
    browser: Browser, joined_rp: RelyingParty, app_url: str
) -> None:
    """A state that is not this browser's leads to the start page."""
    page = await browser.get(f"{app_url}/auth/logged-out?state=foreign", follow=False)
    assert (page.status, page.headers["Location"]) == (303, "/")
    assert "Set-Cookie" not in page.headers
    page = await browser.get(f"{app_url}/auth/logged-out?state=a&state=b", follow=False)
    assert page.status == 400


@pytest.fixture
def post(http_client: AsyncHTTPClient, base_url: str, settings: Settings) -> Post:
    """Send the logout form; Tornado's xsrf field goes along where it is wanted."""
    token = "2|00000000|" + "0" * 32 + "|1600000000"

    async def post(browser: SignedIn, body: str = "", **headers: str) -> HTTPResponse:
        sent = {**NAVIGATION, **browser.headers(**headers)}
        if settings.application:
            sent["Cookie"] += f"; _xsrf={token}"
            body = f"{body}&_xsrf={token}"
        return await http_client.fetch(
            f"{base_url}/auth/logout", method="POST", headers=sent, body=body, raise_error=False
        )

    return post


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"Sec_Fetch_Site": "same-origin"}, id="same_origin"),
        pytest.param({"Origin": "own"}, id="own_origin"),
        pytest.param({}, id="no_browser"),
    ],
)
async def test_own_pages_may_log_out(
    post: Post, sign_in: SignIn, rp: RelyingParty, base_url: str, headers: dict[str, str]
) -> None:
    """POST from the same origin ends the session and clears the cookie."""
    alice, bob = await sign_in("alice"), await sign_in("bob")
    if "Origin" in headers:
        headers = {"Origin": base_url}
    answer = await post(alice, "next=/bye", **headers)
    assert (answer.code, answer.headers["Location"]) == (303, "/bye")
    assert f'{rp.cookies.session}="";' in answer.headers["Set-Cookie"]
    assert await rp.read_session(alice.session.key) is None
    assert await rp.read_session(bob.session.key) is not None


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param(
            {"Sec_Fetch_Site": "cross-site", "Origin": "https://evil.example"}, id="cross"
        ),
        pytest.param({"Sec_Fetch_Site": "cross-site"}, id="cross_site_alone"),
        pytest.param({"Sec_Fetch_Site": "same-site"}, id="sister_site"),
        pytest.param({"Origin": "https://evil.example"}, id="old_browser"),
        pytest.param({"Origin": "null"}, id="sandboxed"),
    ],
)
async def test_other_sites_may_not(
    post: Post, sign_in: SignIn, rp: RelyingParty, headers: dict[str, str]
) -> None:
    """A refused cross-site request changes nothing, Set-Cookie included."""
    alice = await sign_in()
    answer = await post(alice, "next=/bye", **headers)
    assert answer.code == 403
    assert "Set-Cookie" not in answer.headers
    assert b"Sign in" in answer.body
    assert await rp.read_session(alice.session.key) is not None
    assert (await post(alice, "", Sec_Fetch_Site="same-origin")).code == 303


async def test_leaving_next_ends_nothing(post: Post, sign_in: SignIn, rp: RelyingParty) -> None:
    """A next that leaves the site is refused before anything is ended."""
    alice = await sign_in()
    answer = await post(alice, "next=//evil.example", Sec_Fetch_Site="same-origin")
    assert answer.code == 400
    assert await rp.read_session(alice.session.key) is not None


async def test_xsrf_token_is_wanted_where_it_is_on(
    http_client: AsyncHTTPClient, base_url: str, sign_in: SignIn, settings: Settings
) -> None:
    """With xsrf_cookies on, a form without its token is refused, as everywhere in Tornado."""
    alice = await sign_in()
    answer = await http_client.fetch(
        f"{base_url}/auth/logout",
        method="POST",
        headers=alice.headers(Sec_Fetch_Site="same-origin"),
        body="next=/",
        raise_error=False,
    )
    assert answer.code == (403 if settings.application else 303)


async def test_get_logs_nobody_out(
    http_client: AsyncHTTPClient, base_url: str, sign_in: SignIn, rp: RelyingParty
) -> None:
    """A link or an image logs nobody out."""
    alice = await sign_in()
    for headers in (NAVIGATION, {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}):
        await http_client.fetch(
            f"{base_url}/auth/logout", headers=alice.headers() | headers, raise_error=False
        )
    assert await rp.read_session(alice.session.key) is not None


async def test_provider_that_is_down_keeps_nobody_signed_in(
    browser: Browser, provider: Provider, joined_rp: RelyingParty, app_url: str
) -> None:
    """The local end stands when the provider can't be reached."""
    await browser.sign_in(provider, "alice", f"{app_url}/inside")
    page = await browser.get(f"{app_url}/auth/logout")
    await provider.stop()
    page = await browser.submit(page, follow=False)
    assert page.status == 303
    assert (await browser.get(f"{app_url}/")).text == "nobody"
