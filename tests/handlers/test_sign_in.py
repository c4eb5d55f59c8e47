"""A login from the browser's side, against the embedded provider."""

from __future__ import annotations

import re
from typing import cast
from urllib.parse import quote

import pytest
from mounted import PROTECTED, Settings
from tornado.http1connection import HTTP1Connection

from clefstorm.client import AsyncClient
from clefstorm.errors import ConfigurationError
from clefstorm.handlers import login_routes
from clefstorm.relying_party import RelyingParty
from clefstorm.relying_party.pending import MOST_PENDING
from clefstorm.testing import Browser, Clock, Provider


@pytest.fixture
def settings(request: pytest.FixtureRequest) -> Settings:
    """With xsrf_cookies and cross-origin protection on everything works unchanged."""
    return Settings(application=getattr(request, "param", PROTECTED))


@pytest.mark.parametrize("settings", [{}, PROTECTED], ids=["plain", "protected"], indirect=True)
async def test_login_comes_back_to_its_page(
    browser: Browser, provider: Provider, joined_rp: RelyingParty, app_url: str
) -> None:
    """After the login the browser is on the page that asked for it, signed in."""
    page = await browser.sign_in(provider, "alice", f"{app_url}/inside?a=1")
    assert page.url == f"{app_url}/inside?a=1"
    assert page.text == f"inside: {provider.account('alice').sub}"
    assert (await browser.get(f"{app_url}/")).text == provider.account("alice").sub


async def test_cookies_of_http_localhost(
    browser: Browser, provider: Provider, joined_rp: RelyingParty, app_url: str
) -> None:
    """A plain name unique to the application, HttpOnly, SameSite=Lax; no login cookie is left."""
    await browser.sign_in(provider, "alice", f"{app_url}/auth/login")
    ours = [cookie for cookie in browser.cookies if cookie.name.startswith("clefstorm-")]
    ours = [cookie for cookie in ours if cookie.domain == "127.0.0.1"]
    assert [cookie.name for cookie in ours] == [joined_rp.cookies.session]
    assert re.fullmatch("clefstorm-[0-9a-f]{8}", ours[0].name)
    assert (ours[0].http_only, ours[0].same_site, ours[0].path) == (True, "Lax", "/")
    assert ours[0].host_only
    assert not browser.cookies.refused


async def test_login_parameters_reach_the_provider(
    browser: Browser, joined_rp: RelyingParty, app_url: str
) -> None:
    """prompt, login_hint, ui_locales and max_age go along; nothing else of the query does."""
    page = await browser.get(
        f"{app_url}/auth/login?prompt=login&login_hint=al%40ex.org&ui_locales=hu&max_age=60&scope=x"
        "&redirect_uri=https://evil.example&provider=default",
        follow=False,
    )
    location = page.headers["Location"]
    assert page.status == 303
    for part in ("prompt=login", "login_hint=al%40ex.org", "ui_locales=hu", "max_age=60"):
        assert part in location
    assert "evil.example" not in location
    assert "scope=x" not in location
    assert page.headers["Cache-Control"] == "no-store"
    assert page.headers["Referrer-Policy"] == "no-referrer"


async def test_silent_login_answers_to_the_page(
    browser: Browser, provider: Provider, joined_rp: RelyingParty, app_url: str
) -> None:
    """prompt=none: an error answer is an answer, not a page."""
    login = f"{app_url}/auth/login?prompt=none&next=/%3Fa%3D1%23here"
    page = await browser.get(login)
    assert page.url == f"{app_url}/?a=1&login_error=login_required#here"
    assert (page.status, page.text) == (200, "nobody")
    await browser.sign_in(provider, "alice", f"{app_url}/auth/login")
    await joined_rp.revoke_user(provider.issuer, provider.account("alice").sub)
    page = await browser.get(login)
    assert page.url == f"{app_url}/?a=1#here"
    assert page.text == provider.account("alice").sub


async def test_script_never_begins_a_login(
    browser: Browser, joined_rp: RelyingParty, app_url: str
) -> None:
    """A script's request of the login page is 401 with its URL; no cookie is set."""
    assert (await browser.get(f"{app_url}/auth/login", follow=False)).status == 303
    before = len(list(browser.cookies))
    answer = await browser.fetch(f"{app_url}/auth/login")
    assert answer.status == 401
    assert answer.json() == {"error": "signed_out", "login_url": "/auth/login"}
    assert len(list(browser.cookies)) == before
    assert "Set-Cookie" not in answer.headers


async def test_other_sites_frame_begins_no_login(
    browser: Browser, joined_rp: RelyingParty, app_url: str
) -> None:
    """A link on another site may begin a login; another site's frame may not."""
    link = await browser.get(f"{app_url}/auth/login", initiator="https://a.example", follow=False)
    assert link.status == 303
    page = await browser.get(
        f"{app_url}/auth/login",
        initiator="https://a.example",
        headers={"Sec-Fetch-Dest": "iframe"},
        follow=False,
    )
    assert page.status == 403
    assert "Set-Cookie" not in page.headers


@pytest.mark.parametrize(
    ("query", "code"),
    [
        pytest.param("provider=nobody", "provider_unknown", id="provider_unknown"),
        pytest.param("max_age=-1", "max_age_malformed", id="max_age_negative"),
        pytest.param("max_age=1.5", "max_age_malformed", id="max_age_fraction"),
        pytest.param("max_age=9999999999", "max_age_malformed", id="max_age_huge"),
        pytest.param("max_age=" + "0" * 12 + "9" * 12, "max_age_malformed", id="max_age_zeros"),
        pytest.param("max_age=" + "9" * 5000, "max_age_malformed", id="max_age_absurd"),
        pytest.param("max_age=%D9%A3", "max_age_malformed", id="max_age_arabic_digit"),
        pytest.param("next=/&next=/b", "parameter_repeated", id="next_twice"),
        pytest.param("prompt=none&prompt=login", "parameter_repeated", id="prompt_twice"),
        pytest.param("next=%FF", "parameters_malformed", id="not_utf8"),
        pytest.param(
            "&".join(f"a{n}=1" for n in range(101)), "parameters_malformed", id="too_many"
        ),
    ],
)
async def test_bad_login_requests(
    browser: Browser, joined_rp: RelyingParty, app_url: str, query: str, code: str
) -> None:
    """A login request that can't be understood is a page with 400, and begins nothing."""
    page = await browser.get(f"{app_url}/auth/login?{query}", follow=False)
    assert page.status == 400
    assert code in page.text
    assert "Set-Cookie" not in page.headers


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("https://evil.example/", id="absolute"),
        pytest.param("//evil.example", id="two_slashes"),
        pytest.param("///evil.example", id="three_slashes"),
        pytest.param("/\\evil.example", id="back_slash"),
        pytest.param("\\\\evil.example", id="back_slashes"),
        pytest.param("/%2f%2fevil.example", id="decoded_once"),
        pytest.param("/%5cevil.example", id="decoded_back_slash"),
        pytest.param("/%252f%252fevil.example", id="decoded_twice"),
        pytest.param("/\tevil", id="tab"),
        pytest.param("/\t/evil.example", id="tab_between"),
        pytest.param("/\n/evil.example", id="newline_between"),
        pytest.param("\x00/evil", id="nul"),
        pytest.param(" //evil.example", id="space_before"),
        pytest.param("javascript:alert(1)", id="javascript"),
        pytest.param("data:text/html,x", id="data"),
        pytest.param("user@evil.example", id="user_info"),
        pytest.param("evil.example", id="bare_host"),
        pytest.param("./x", id="relative"),
        pytest.param("/a\r\nSet-Cookie: a=b", id="header_injection"),
        pytest.param("/a/..//evil.example", id="dot_segments"),
        pytest.param("\uff0f\uff0fevil.example", id="fullwidth_slashes"),
        pytest.param("/" + "a" * 5000, id="too_long"),
    ],
)
async def test_next_stays_on_the_site(
    browser: Browser, joined_rp: RelyingParty, app_url: str, path: str
) -> None:
    """Only a local path may follow a login or a logout; nothing is begun or ended by another."""
    good = await browser.get(f"{app_url}/auth/login?next=/a%3Fb%3Dc%23d", follow=False)
    assert good.status == 303
    page = await browser.get(f"{app_url}/auth/login?next={quote(path, safe='')}", follow=False)
    assert page.status == 400
    assert "return_path_refused" in page.text
    assert "Set-Cookie" not in page.headers
    assert "evil" not in page.text


async def test_the_oldest_begun_login_is_dropped(
    browser: Browser, joined_rp: RelyingParty, app_url: str, clock: Clock
) -> None:
    """A browser that begins one login after the other keeps so many cookies, and the newest."""
    login = f"{app_url}/auth/login"

    def begun() -> set[str]:
        prefix = joined_rp.cookies.login
        return {cookie.name for cookie in browser.cookies if cookie.name.startswith(prefix)}

    await browser.get(login, follow=False)
    (oldest,) = begun()
    for number in range(2, MOST_PENDING + 1):
        clock.advance(1)
        await browser.get(login, follow=False)
        assert len(begun()) == number
    clock.advance(1)
    await browser.get(login, follow=False)
    assert len(begun()) == MOST_PENDING
    assert oldest not in begun()


async def test_no_default_provider(
    browser: Browser, joined_rp: RelyingParty, app_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A name that a visitor made up is his fault, 400; a missing default is the application's."""
    login = f"{app_url}/auth/login"
    assert (await browser.get(login, follow=False)).status == 303
    assert (await browser.get(f"{login}?provider=nobody", follow=False)).status == 400
    clients = cast(dict[str, AsyncClient], joined_rp.clients)
    clients["main"] = clients.pop("default")
    assert (await browser.get(f"{login}?provider=main", follow=False)).status == 303
    caplog.clear()
    assert (await browser.get(login, follow=False)).status == 500
    assert "unknown_alias" in caplog.text


async def test_a_connection_without_a_body_timeout_is_served(
    browser: Browser, joined_rp: RelyingParty, app_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The timeout of bodies is HTTP/1's own; over what has none, requests are answered too."""
    assert (await browser.get(f"{app_url}/auth/login", follow=False)).status == 303
    monkeypatch.delattr(HTTP1Connection, "set_body_timeout")
    assert (await browser.get(f"{app_url}/auth/login", follow=False)).status == 303


@pytest.mark.parametrize("prefix", ["auth", "auth/", "https://app.example.com/auth"])
def test_prefix(rp: RelyingParty, prefix: str) -> None:
    """A prefix is a path from the root, or nothing."""
    for good in ("/auth", "/auth/", "", "/"):
        assert all(pattern.startswith("/") for pattern, _ in login_routes(rp, good))
    with pytest.raises(ConfigurationError) as caught:
        login_routes(rp, prefix)
    assert caught.value.code == "prefix"
