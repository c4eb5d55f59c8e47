"""A Clef alias mounts like any other: login, callback, webhook, sessions."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest
from clef_names import APP_ID, APP_SECRET, wave_address
from tornado.web import RequestHandler

from clefstorm import ConfigurationError, RelyingParty, wave_button
from clefstorm.keys import HS256Key
from clefstorm.registry import build_client
from clefstorm.testing import Answer

OPTIONS = {
    "provider": "clef",
    "client_id": "id",
    "client_secret": "secret",
    "redirect_uri": "https://site.example/auth/callback",
}


async def sign_in(browser, site: str, account: str = "alice", *, start: str | None = None):
    """Press the wave on the login page, or on ``start``; answer the page it ends on."""
    page = await browser.get(start or f"{site}/auth/login?provider=clef&next=/")
    await browser.get(wave_address(page.text), initiator=page)
    return await browser.submit(form="demo-accounts", button=account)


async def test_login_page_shows_the_wave(site, provider, browser) -> None:
    """Clef begins in the page: the login route shows the button, and its policy lets it in."""
    page = await browser.get(f"{site}/auth/login?provider=clef&next=/")
    assert page.status == 200
    assert f"script-src {provider.issuer}" in page.headers["Content-Security-Policy"]
    query = parse_qs(urlsplit(wave_address(page.text)).query)
    assert query["app_id"] == [APP_ID]
    assert query["redirect_url"][0].startswith(f"{site}/auth/callback?state=")


async def test_login(site, provider, browser, rp: RelyingParty, happenings) -> None:
    """The wave signs in: iss is the API's origin, sub the clef id as a text."""
    page = await sign_in(browser, site)
    assert (page.url, page.text) == (f"{site}/", "hello Alice Archer")
    clef_id = str(provider.account("alice").clef_id)
    (session,) = await rp.sessions.list_sub(provider.issuer, clef_id)
    assert (session.alias, session.email) == ("clef", "alice@example.com")
    assert session.claims["given_name"] == "Alice"
    assert [h.event for h in happenings] == ["login_offered", "signed_in"]


async def test_login_from_a_page_of_ones_own(site, browser) -> None:
    """wave_button puts the same login into any page of the application."""
    page = await sign_in(browser, site, start=f"{site}/")
    assert page.text == "hello Alice Archer"


async def test_wave_button_of_another_kind_of_alias(
    site, provider, http_client, app, rp: RelyingParty
) -> None:
    """Asked for the wave of an OpenID alias, wave_button says what to do instead."""
    provider.add_client("web", "web-secret", [f"{site}/auth/callback"])
    options = {
        "issuer": provider.issuer,
        "client_id": "web",
        "client_secret": "web-secret",
        "redirect_uri": f"{site}/auth/callback",
    }
    client = rp._setting._clients["default"] = build_client("default", options)
    raised: list[ConfigurationError] = []

    class Wrong(RequestHandler):
        async def get(self) -> None:
            try:
                await wave_button(self, "default")
            except ConfigurationError as error:
                raised.append(error)

    app.add_handlers(".*", [("/wrong", Wrong)])
    answer = await http_client.fetch(f"{site}/wrong")
    await client.close()
    assert [error.code for error in raised] == ["not_a_clef_alias"]
    assert "Set-Cookie" not in answer.headers


async def test_callback_of_another_browser(site, browser, new_browser, rp) -> None:
    """A callback works only in the browser that was shown the button."""
    page = await browser.get(f"{site}/auth/login?provider=clef")
    await browser.get(wave_address(page.text), initiator=page)
    answer = await browser.submit(form="demo-accounts", button="alice", follow=False)
    stranger = new_browser()
    refused = await stranger.get(answer.headers["Location"])
    assert (refused.status, "state_other_browser" in refused.text) == (400, True)
    assert (await browser.get(answer.headers["Location"])).text == "hello Alice Archer"


@pytest.mark.parametrize(
    ("fault", "answer", "status", "code"),
    [
        pytest.param(
            "clef_authorize",
            Answer(status=400, body={"success": False, "error": "Invalid OAuth Code."}),
            400,
            "clef_code_invalid",
            id="code",
        ),
        pytest.param(
            "clef_authorize",
            Answer(status=403, body={"success": False, "error": "Invalid App Secret."}),
            502,
            "clef_app_secret_invalid",
            id="secret",
        ),
        pytest.param("clef_info", Answer(body=b"<html>"), 502, "clef_answer_not_json", id="html"),
        pytest.param(
            "clef_info",
            Answer(body={"success": True, "info": {"id": "5"}}),
            502,
            "clef_answer_member",
            id="id",
        ),
    ],
)
async def test_login_refused(
    site, provider, browser, rp, fault: str, answer: Answer, status: int, code: str
) -> None:
    """An answer that is no sign-in opens no session and says so on a page."""
    page = await browser.get(f"{site}/auth/login?provider=clef")
    await browser.get(wave_address(page.text), initiator=page)
    provider.answer_instead[fault] = answer
    page = await browser.submit(form="demo-accounts", button="alice")
    assert (page.status, code in page.text) == (status, True)
    assert not await rp.sessions.list_sub(provider.issuer, str(provider.account("alice").clef_id))


async def test_cancelled(site, provider, browser) -> None:
    """Whoever cancels is told that they were not signed in."""
    page = await browser.get(f"{site}/auth/login?provider=clef")
    await browser.get(wave_address(page.text), initiator=page)
    page = await browser.submit(form="sign-in", button="cancel")
    assert (page.status, "You were not signed in" in page.text) == (403, True)


async def test_own_logout(site, browser, provider, rp) -> None:
    """The user's own logout ends the session here; Clef has no logout page to go on to."""
    await sign_in(browser, site)
    await browser.get(f"{site}/auth/logout")
    page = await browser.submit()
    assert (page.url, "clef-button" in page.text) == (f"{site}/", True)
    assert not await rp.sessions.list_sub(provider.issuer, str(provider.account("alice").clef_id))


async def test_tokens_of_a_session(site, browser, provider, rp) -> None:
    """The access token is the session's, for calls of the API; there is none to refresh."""
    await sign_in(browser, site)
    clef_id = str(provider.account("alice").clef_id)
    (session,) = await rp.sessions.list_sub(provider.issuer, clef_id)
    token = await rp.access_token(session)
    assert provider.clef.username_of(token) == "alice"
    with pytest.raises(ConfigurationError) as caught:
        await rp.refresh(session)
    assert caught.value.code == "refresh_token_missing"


async def test_webhook_ends_all_sessions(site, provider, new_browser, rp, happenings) -> None:
    """The webhook ends every session of the user, tells their tabs, and leaves others alone."""
    alices = [new_browser(), new_browser()]
    for screen in alices:
        await sign_in(screen, site)
    bob = new_browser()
    await sign_in(bob, site, "bob")
    async with (
        alices[0].stream(f"{site}/auth/events") as one,
        alices[1].stream(f"{site}/auth/events") as two,
    ):
        for stream in (one, two):
            assert (await stream.next()).event == "hello"
        (delivery,) = await provider.sign_out("alice")
        assert (delivery.status, delivery.url) == (200, f"{site}/auth/clef-logout")
        for stream in (one, two):
            assert (await stream.next()).event == "logout"
    for screen in alices:
        assert "clef-button" in (await screen.get(f"{site}/")).text
    assert (await bob.get(f"{site}/")).text == "hello Bob Baker"
    assert [h.facts["reason"] for h in happenings if h.event == "signed_out"] == ["backchannel"] * 2


async def test_webhook_twice(site, provider, browser, rp) -> None:
    """The same token again ends nothing: a later sign-in stays."""
    await sign_in(browser, site)
    token = provider.clef.logout_token(APP_ID, "alice")
    assert await rp.receive_clef_logout(token) == 1
    await sign_in(browser, site, start=f"{site}/")
    assert await rp.receive_clef_logout(token, "clef") == 0
    assert (await browser.get(f"{site}/")).text == "hello Alice Archer"


async def test_logout_overtakes_a_login(site, provider, browser, rp) -> None:
    """A logout between the code's exchange and the session's start wins (tombstone)."""
    page = await browser.get(f"{site}/auth/login?provider=clef")
    await browser.get(wave_address(page.text), initiator=page)

    async def overtake(_answer: object) -> None:
        await rp.receive_clef_logout(provider.clef.logout_token(APP_ID, "alice"))

    provider.tamper["clef_info"] = overtake
    page = await browser.submit(form="demo-accounts", button="alice")
    assert (page.status, "session_tombstoned" in page.text) == (403, True)


@pytest.mark.parametrize(
    ("query", "body", "status", "code"),
    [
        pytest.param("", {}, 400, "logout_token_missing", id="no_token"),
        pytest.param(
            "", {"logout_token": "x"}, 400, "clef_logout_token_invalid", id="unknown_token"
        ),
        pytest.param(
            "", {"logout_token": "x" * 5000}, 400, "logout_token_too_long", id="long_token"
        ),
        pytest.param("?provider=who", {"logout_token": "x"}, 400, "clef_alias_unknown", id="alias"),
    ],
)
async def test_webhook_refuses(
    site, browser, rp, query: str, body: dict, status: int, code: str
) -> None:
    """Whatever does not name a logout of ours is 400 and JSON, and ends nothing."""
    await sign_in(browser, site)
    page = await browser.post(f"{site}/auth/clef-logout{query}", body)
    assert (page.status, page.json()["code"]) == (status, code)
    assert (await browser.get(f"{site}/")).text == "hello Alice Archer"


async def test_webhook_while_the_server_is_away(site, provider, browser) -> None:
    """When the token can't be exchanged now, the caller is told to come again."""
    await provider.stop()
    page = await browser.post(f"{site}/auth/clef-logout", {"logout_token": "x"})
    assert (page.status, page.json()["code"]) == (502, "connect_refused")


async def test_two_clef_aliases_need_a_name(site, browser, provider, rp) -> None:
    """With two Clef aliases the hook's URL says which one; trying each would leak the token."""
    changes = {"client_id": "x", "redirect_uri": f"{site}/auth/callback"}
    rp._setting._clients["other"] = build_client("other", OPTIONS | changes)
    await sign_in(browser, site)
    form = {"logout_token": provider.clef.logout_token(APP_ID, "alice")}
    page = await browser.post(f"{site}/auth/clef-logout", form)
    assert (page.status, page.json()["code"]) == (400, "clef_alias_unknown")
    assert (await browser.post(f"{site}/auth/clef-logout?provider=clef", form)).status == 200
    assert "clef-button" in (await browser.get(f"{site}/")).text


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        pytest.param({"client_secret": None}, "client_secret_missing", id="secret"),
        pytest.param({"scope": "openid"}, "option_not_for_clef", id="scope"),
        pytest.param({"response_mode": "query"}, "option_not_for_clef", id="response_mode"),
        pytest.param({"api_url": "http://clef.example/"}, "api_url_invalid", id="plain_http"),
        pytest.param({"style": "flat"}, "style_invalid", id="style"),
        pytest.param({"api_ulr": "x"}, "option_unknown", id="misspelled"),
        pytest.param({"provider": "cleff"}, "provider_kind_unknown", id="kind"),
    ],
)
def test_options(changes: dict, code: str) -> None:
    """{"provider": "clef"} makes a Clef alias; what Clef has not is refused by name."""
    client = build_client("clef", OPTIONS)
    assert client.provider.issuer == "https://clef.io"
    with pytest.raises(ConfigurationError) as caught:
        build_client("clef", OPTIONS | changes)
    assert caught.value.code == code
    assert APP_SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("query", "code"),
    [
        pytest.param("prompt=none", "prompt_unsupported", id="silent"),
        pytest.param("max_age=60", "max_age_unsupported", id="max_age"),
    ],
)
async def test_what_clef_can_not_promise(site, browser, query: str, code: str) -> None:
    """A login that asks for what Clef can't do is refused, not quietly weakened."""
    page = await browser.get(f"{site}/auth/login?provider=clef&{query}")
    assert (page.status, code in page.text) == (400, True)


async def test_backchannel_route_is_not_for_clef(site, provider, browser) -> None:
    """A signed logout token that names the Clef application's id is foreign."""
    token = await provider.logout_token(APP_ID, sub="x")
    page = await browser.post(f"{site}/auth/backchannel-logout", {"logout_token": token})
    assert (page.status, page.json()["code"]) == (400, "logout_token_foreign")


def test_what_clef_has_not() -> None:
    """No metadata, for its server publishes none; no parameters beyond those of the wave."""
    clef = build_client("clef", OPTIONS).provider
    key = HS256Key(b"k" * 32)
    flow = clef.begin_login(key, clock=lambda: 0.0)
    with pytest.raises(StopIteration) as begun:
        next(flow)
    assert begun.value.value.button is not None
    with pytest.raises(ConfigurationError) as caught:
        next(clef.begin_login(key, clock=lambda: 0.0, extra={"hd": "example.com"}))
    assert caught.value.code == "option_not_for_clef"
    with pytest.raises(ConfigurationError) as caught:
        clef.metadata()
    assert caught.value.code == "clef_no_metadata"
