"""Attacks on the login: CSRF, replay, fixation, other browsers, mix-up, injected codes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from attacks.site import EVIL, Site, parameters_of, refused_with
from conformance.stage import CLIENT_SECRET, shown_code
from parts.signing_keys import signing_key

from clefstorm.keys import HS256Key
from clefstorm.protocol.jwt import build_jwt
from clefstorm.protocol.state import build_state
from clefstorm.testing import Browser, Page, Provider
from clefstorm.testing.provider import token_grants

Way = Callable[[Site, Browser, str], Awaitable[Page]]


async def by_link(site: Site, victim: Browser, url: str) -> Page:
    return await victim.get(url, initiator=EVIL, follow=False)


async def by_frame(site: Site, victim: Browser, url: str) -> Page:
    headers = {"Sec-Fetch-Dest": "iframe"}
    return await victim.get(url, initiator=EVIL, headers=headers, follow=False)


async def by_image(site: Site, victim: Browser, url: str) -> Page:
    headers = {"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}
    return await victim.fetch(url, initiator=EVIL, headers=headers, credentials="include")


async def by_form(site: Site, victim: Browser, url: str) -> Page:
    action = url.partition("?")[0]
    return await victim.post(action, parameters_of(url), initiator=EVIL, follow=False)


async def by_sandboxed_form(site: Site, victim: Browser, url: str) -> Page:
    action, headers = url.partition("?")[0], {"Origin": "null"}
    form = parameters_of(url)
    return await victim.post(action, form, initiator=EVIL, headers=headers, follow=False)


async def by_the_providers_redirect(site: Site, victim: Browser, url: str) -> Page:
    return await site.open_callback(url, victim)


WAYS = [
    pytest.param(by_link, id="link"),
    pytest.param(by_frame, id="frame"),
    pytest.param(by_image, id="image"),
    pytest.param(by_form, id="form"),
    pytest.param(by_sandboxed_form, id="sandboxed_form"),
    pytest.param(by_the_providers_redirect, id="redirect"),
]


@pytest.mark.parametrize("way", WAYS)
async def test_login_csrf(site: Site, alice: Browser, mallory: Browser, way: Way) -> None:
    """The attacker's own answer signs nobody in but himself, however a browser is sent there."""
    assert (await site.open_callback(await site.to_the_callback(mallory), mallory)).status == 303
    stranger = site.new_browser()
    url = await site.to_the_callback(mallory)
    async with site.nothing_changes(stranger, mallory):
        for victim in (alice, stranger):
            page = await way(site, victim, url)
            refused_with(page, 400)
            assert "state_other_browser" in page.text
    assert (await site.open_callback(url, mallory)).status == 303


@pytest.mark.parametrize("way", WAYS)
async def test_login_csrf_while_the_victim_signs_in(site: Site, mallory: Browser, way: Way) -> None:
    """A login of the victim's own that is under way does not serve the attacker's answer."""
    own = await site.to_the_form()
    url = await site.to_the_callback(mallory)
    async with site.nothing_changes(mallory):
        page = await way(site, site.browser, url)
        refused_with(page, 400)
        assert "state_other_browser" in page.text
    assert (await site.finish_form(own)).text == "here"
    assert await site.user() == site.sub()


# -- a callback in another browser -----------------------------------------------------------------


async def bare(site: Site, thief: Browser, name: str) -> None:
    """The thief has the URL alone."""


async def signing_in(site: Site, thief: Browser, name: str) -> None:
    """The thief has a login of his own under way."""
    await site.to_the_callback(thief)


async def own_cookie_renamed(site: Site, thief: Browser, name: str) -> None:
    """The thief calls the cookie of his own login by the name of the victim's."""
    await site.to_the_callback(thief)
    [value] = site.held(thief, site.rp.cookies.login).values()
    site.plant(thief, name, value)


async def made_up_cookie(site: Site, thief: Browser, name: str) -> None:
    """The thief makes a cookie of the victim's name up."""
    site.plant(thief, name, "1900000000." + "A" * 300)


@pytest.mark.parametrize("prepare", [bare, signing_in, own_cookie_renamed, made_up_cookie])
async def test_callback_in_another_browser(
    site: Site, alice: Browser, mallory: Browser, prepare: Any
) -> None:
    """A callback that leaks is of use in no other browser, and still is in its own."""
    assert (await site.open_callback(await site.to_the_callback())).status == 303
    url = await site.to_the_callback()
    [name] = site.held(alice, site.rp.cookies.login)
    await prepare(site, mallory, name)
    async with site.nothing_changes(mallory):
        page = await site.open_callback(url, mallory)
        refused_with(page, 400)
        assert shown_code(page) == "state_other_browser"
    assert (await site.open_callback(url)).status == 303
    assert await site.user() == site.sub()


# -- state: replay, fixation, forgery --------------------------------------------------------------


def with_the_cookies_of(site: Site, browser: Browser) -> Browser:
    """A browser with a copy of the other's pending logins, which never expire there."""
    thief = site.new_browser()
    for name, value in site.held(browser, site.rp.cookies.login).items():
        site.plant(thief, name, value)
    return thief


@pytest.mark.parametrize(
    "who",
    [
        pytest.param("same_browser_later", id="same_browser_later"),
        pytest.param("other_browser", id="other_browser"),
        pytest.param("copied_cookies", id="copied_cookies"),
    ],
)
async def test_state_replay(site: Site, mallory: Browser, who: str) -> None:
    """A state is used once: not again in its browser, in another, or beside a copied cookie."""
    await site.sign_in()
    url = await site.to_the_callback()
    thief = with_the_cookies_of(site, site.browser) if who == "copied_cookies" else mallory
    assert (await site.open_callback(url)).status == 303
    if who == "same_browser_later":
        thief = site.browser
        await site.sign_in()
    async with site.nothing_changes(thief):
        page = await site.open_callback(url, thief)
        refused_with(page, 400)
        assert shown_code(page) == "state_used"


async def test_reload_of_a_used_callback(site: Site, alice: Browser) -> None:
    """The browser that it signed in and that reloads it goes to its page; no new session."""
    url = await site.to_the_callback()
    assert (await site.open_callback(url)).status == 303
    async with site.nothing_changes():
        page = await site.open_callback(url)
        assert (page.status, page.headers["Location"]) == (303, f"{site.path}/here")
        assert "Set-Cookie" not in page.headers


@pytest.mark.parametrize("setting", ["sqlite"], indirect=True)
@pytest.mark.parametrize("used", [False, True], ids=["begun_before", "used_before"])
async def test_state_replay_after_a_restart(site: Site, alice: Browser, used: bool) -> None:
    """A restart forgets no used state, and breaks off no login that had begun."""
    url = await site.to_the_callback()
    thief = with_the_cookies_of(site, alice)
    if used:
        assert (await site.open_callback(url)).status == 303
    await site.restart()
    assert await site.user() == site.sub()
    if not used:
        assert (await site.open_callback(url)).status == 303
    async with site.nothing_changes(thief):
        page = await site.open_callback(url, thief)
        refused_with(page, 400)
        assert shown_code(page) == "state_used"


@pytest.mark.parametrize("kept", [False, True], ids=["cookie_gone", "cookie_kept"])
async def test_state_that_is_too_old(site: Site, alice: Browser, kept: bool) -> None:
    """A state ends after ten minutes, also for whoever keeps its cookie longer."""
    start = await alice.get(site.login_url(), follow=False)
    site.clock.advance(599)
    answer = await alice.get(start.headers["Location"], initiator=site.site, follow=False)
    assert (await site.open_callback(answer.headers["Location"])).status == 303
    url = await site.to_the_callback()
    thief = with_the_cookies_of(site, alice) if kept else site.new_browser()
    site.clock.advance(601)
    async with site.nothing_changes(thief):
        page = await site.open_callback(url, thief)
        refused_with(page, 400)
        assert shown_code(page) == "state_expired"


async def test_state_fixation_by_the_login_url(site: Site) -> None:
    """Whoever sends the victim to our login chooses neither state nor nonce nor challenge."""
    fixed = dict.fromkeys(("state", "nonce", "code_challenge", "rfp"), "fixed-by-mallory")
    sent = await site.to_the_provider(**fixed, redirect_uri=EVIL, client_id="other")
    assert "fixed-by-mallory" not in str(sent)
    assert sent["redirect_uri"] == f"{site.site}/auth/callback"
    assert sent["client_id"] == "app"


async def test_state_fixation_by_the_authorization_url(site: Site, mallory: Browser) -> None:
    """A victim who is sent to the provider with the attacker's request is not signed in by it."""
    assert (await site.sign_in()).text == "here"
    start = await mallory.get(site.login_url(), follow=False)
    async with site.nothing_changes(mallory):
        answer = await site.browser.get(start.headers["Location"], initiator=EVIL, follow=False)
        assert answer.headers["Location"].startswith(f"{site.site}/auth/callback?")
        page = await site.open_callback(answer.headers["Location"])
        refused_with(page, 400)
        assert shown_code(page) == "state_other_browser"


def signed_by_a_stranger(site: Site, state: str) -> str:
    return build_state(
        HS256Key(b"m" * 32, kid=None),
        authorization_server=site.provider.issuer,
        browser_secret="m" * 43,
        now=site.clock(),
        lifetime=600,
    )


def unsigned(site: Site, state: str) -> str:
    _, claims, _ = state.split(".")
    return f"eyJhbGciOiJub25lIn0.{claims}."


def by_the_providers_key(site: Site, state: str) -> str:
    claims = {"a": "authorize", "as": site.provider.issuer, "rfp": "m", "nonce": "m"}
    return build_jwt({**claims, "iat": 1, "exp": 9_999_999_999}, signing_key("RS256", kid="m"))


def cut(site: Site, state: str) -> str:
    return state[:-2]


def of_another_login(site: Site, state: str) -> str:
    head, _, signature = state.split(".")
    return f"{head}.{build_jwt({}, HS256Key(b'm' * 32)).split('.')[1]}.{signature}"


@pytest.mark.parametrize(
    "forge", [signed_by_a_stranger, unsigned, by_the_providers_key, cut, of_another_login]
)
async def test_forged_state(site: Site, alice: Browser, forge: Any) -> None:
    """Only a state that we signed is one."""
    assert (await site.open_callback(await site.to_the_callback())).status == 303
    sent = parameters_of(await site.to_the_callback())
    forged = {**sent, "state": forge(site, sent["state"])}
    async with site.nothing_changes():
        page = await site.open_callback(site.callback_url(forged))
        refused_with(page, 400)
        assert shown_code(page) == "state_invalid"
    assert (await site.open_callback(site.callback_url(sent))).status == 303


# -- mix-up ----------------------------------------------------------------------------------------


@asynccontextmanager
async def evil_provider(site: Site, callback: str) -> AsyncIterator[Provider]:
    """A second provider, configured as alias evil, that wants the honest one's codes."""
    async with Provider(clock=site.clock, signing_keys=[signing_key("RS256", kid="e")]) as evil:
        evil.add_client("app", CLIENT_SECRET, [callback])
        site.configure("evil", issuer=evil.issuer, redirect_uri=callback)
        assert (await site.browser.sign_in(evil, "bob", site.login_url(provider="evil"))).text == (
            "here"
        )
        assert (await site.sign_in()).text == "here"
        yield evil
        # What follows is over before the provider goes.


async def honest_answer_to_evil(site: Site, evil: Provider) -> str:
    """Begin a login at evil, whose page sends the browser on to the honest provider."""
    start = await site.browser.get(site.login_url(provider="evil"), follow=False)
    url = start.headers["Location"]
    assert url.startswith(f"{evil.issuer}/authorize?")
    honest = url.replace(evil.issuer, site.provider.issuer).replace(
        "%2Fsecond%2Fcallback", "%2Fauth%2Fcallback"
    )
    answer = await site.browser.get(honest, initiator=evil.issuer, follow=False)
    assert "code=" in answer.headers["Location"]
    return answer.headers["Location"]


@pytest.mark.parametrize(
    ("prefix", "iss", "code"),
    [
        pytest.param("/auth", True, "iss_mismatch", id="iss_tells"),
        pytest.param("/second", True, "redirect_uri_mismatch", id="iss_and_own_redirect_uri"),
        pytest.param("/second", False, "redirect_uri_mismatch", id="without_iss"),
    ],
)
async def test_mix_up(site: Site, prefix: str, iss: bool, code: str) -> None:
    """The honest provider's code never goes to the provider that wants to have it."""
    async with evil_provider(site, f"{site.site}{prefix}/callback") as evil:
        if not iss:
            site.provider.misbehave("response_iss_missing")
        url = await honest_answer_to_evil(site, evil)
        asked = len(evil.requests)
        async with site.nothing_changes(writes=1 if code == "iss_mismatch" else 0):
            page = await site.open_callback(url)
            refused_with(page, 400)
            assert shown_code(page) == code
        assert "/token" not in [seen.path for seen in list(evil.requests)[asked:]]


async def test_mix_up_by_an_error(site: Site) -> None:
    """An error of one provider is not taken for the other's word."""
    async with evil_provider(site, f"{site.site}/auth/callback") as evil:
        start = await site.browser.get(site.login_url(provider="evil"), follow=False)
        state = parameters_of(start.headers["Location"])["state"]
        sent = {"error": "access_denied", "state": state, "iss": site.provider.issuer}
        async with site.nothing_changes(writes=1):
            page = await site.open_callback(site.callback_url(sent))
            refused_with(page, 400)
            assert shown_code(page) == "iss_mismatch"
        assert evil.issuer != site.provider.issuer


# -- codes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lax", "status", "code"),
    [
        pytest.param(False, 400, "token_refused", id="pkce"),
        pytest.param(True, 502, "nonce_mismatch", id="nonce_where_pkce_is_not_looked_at"),
    ],
)
@pytest.mark.parametrize("thief", ["attacker", "victim"])
async def test_code_injection(
    site: Site,
    alice: Browser,
    mallory: Browser,
    thief: str,
    lax: bool,
    status: int,
    code: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A code of another login is of no use: the victim's to the attacker, nor the other way."""
    if lax:
        monkeypatch.setattr(token_grants, "_proves", lambda *_: True)
    into, other = (mallory, alice) if thief == "attacker" else (alice, mallory)
    assert (await site.open_callback(await site.to_the_callback(into), into)).status == 303
    stolen = parameters_of(await site.to_the_callback(other))["code"]
    own = parameters_of(await site.to_the_callback(into))
    async with site.nothing_changes(mallory, writes=1):
        page = await site.open_callback(site.callback_url({**own, "code": stolen}), into)
        refused_with(page, status)
        assert shown_code(page) == code


async def test_code_of_another_client(site: Site, alice: Browser) -> None:
    """A code that another client of the provider was given is of no use here."""
    other = f"{site.site}/second/callback"
    site.register("second", redirect_uris=[other])
    site.configure("second", client_id="second", redirect_uri=other)
    assert (await site.sign_in(provider="second")).text == "here"
    stolen = parameters_of(await site.to_the_callback(provider="second"))["code"]
    own = parameters_of(await site.to_the_callback())
    async with site.nothing_changes(writes=1):
        page = await site.open_callback(site.callback_url({**own, "code": stolen}))
        refused_with(page, 400)
        assert shown_code(page) == "token_refused"
