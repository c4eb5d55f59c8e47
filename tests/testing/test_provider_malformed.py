"""What no proper client and no page of the provider sends, and how the provider holds up."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable
from urllib.parse import urlencode

import pytest
from stand_in import SECRET, StandIn, basic, error_of, heading
from tornado.httpclient import AsyncHTTPClient

from clefstorm.protocol.pkce import new_verifier, s256_challenge
from clefstorm.testing import Answer, Browser, Clock, Page, Provider

JSON = {"Content-Type": "application/json"}


async def forge(
    browser: Browser, page: Page, form: str, button: str, request: str, **fields: str
) -> Page:
    """Send a form of the page with another request than the one that is hidden in it."""
    found = page.form(form)
    filled = found.filled(fields, button=button)
    assert "request" in filled
    return await browser.post(
        found.action, {**filled, "request": request}, initiator=page, follow=False
    )


@pytest.mark.parametrize(
    "pair", [b"app", b"\xff:x"], ids=["no_colon", "no_utf8"]
)  # fmt: skip
async def test_malformed_basic(browser: Browser, stand_in: StandIn, pair: bytes) -> None:
    """Credentials that are no pair are no proof of a client (RFC 6749, 2.3.1), and use no code."""
    code = await stand_in.code(browser)
    bad = {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}
    refused = await stand_in.redeem(code, headers=bad)
    assert (refused.code, error_of(refused)) == (401, "invalid_client")
    assert (await stand_in.redeem(code)).code == 200


async def test_a_page_of_another_origin_may_redeem(browser: Browser, stand_in: StandIn) -> None:
    """The token endpoint reads no cookie, so it asks nobody for his origin."""
    code = await stand_in.code(browser)
    foreign = {"Origin": "https://app.example.com", "Sec-Fetch-Site": "cross-site"}
    response = await stand_in.redeem(code, headers={**basic("app", SECRET), **foreign})
    assert response.code == 200


async def test_unreadable_parameters(browser: Browser, stand_in: StandIn) -> None:
    """A query that is no UTF-8, or has too many parameters, is refused on a page."""
    good = stand_in.authorization()
    assert heading(await browser.get(good)) == "Sign in"
    for more in ("&state=%FF", "".join(f"&a{n}=1" for n in range(51))):
        page = await browser.get(good + more, follow=False)
        assert (page.status, "Location" in page.headers) == (400, False)


async def test_userinfo_by_another_kind_of_body(browser: Browser, stand_in: StandIn) -> None:
    """A token in the body counts in a form alone (RFC 6750, 2.2)."""
    token = (await stand_in.tokens(browser))["access_token"]
    assert (await stand_in.post("/userinfo", {"access_token": token})).code == 200
    refused = await stand_in.post("/userinfo", {"access_token": token}, JSON)
    assert refused.code == 401


async def test_signed_userinfo_can_be_replaced(browser: Browser, stand_in: StandIn) -> None:
    """A hook's Answer is sent in place of a signed one too."""
    stand_in.register("app", userinfo_signed_response_alg="ES256")
    token = (await stand_in.tokens(browser))["access_token"]
    assert (await stand_in.userinfo(token)).headers["Content-Type"] == "application/jwt"
    stand_in.provider.tamper["userinfo"] = lambda claims: Answer(status=503, body="down")
    assert (await stand_in.userinfo(token)).code == 503


async def test_forms_with_a_request_that_was_changed(browser: Browser, stand_in: StandIn) -> None:
    """What the page remembers of the request is judged again when the form comes back."""
    forged = urlencode({"client_id": "nobody", "response_type": "code"})
    page = await browser.get(stand_in.authorization())
    password = {"username": "alice", "password": "alice-secret"}
    refused = await forge(browser, page, "sign-in", "", forged, **password)
    assert refused.status == 400
    assert not stand_in.provider.sessions
    await browser.submit(page, form="sign-in", **password)
    page = await browser.get(stand_in.authorization(prompt="consent"))
    assert (await forge(browser, page, "agree", "go-on", forged)).status == 400
    stand_in.answers.clear()
    await browser.submit(page, button="go-on")
    assert "code" in stand_in.answers.pop()


async def test_a_logout_form_with_a_request_that_was_changed(
    browser: Browser, stand_in: StandIn
) -> None:
    """An address that is not registered is none after the question either."""
    await stand_in.code(browser)
    url = f"{stand_in.provider.issuer}/end_session"
    page = await browser.get(f"{url}?client_id=app")
    evil = urlencode({"client_id": "app", "post_logout_redirect_uri": "https://evil.example/"})
    refused = await forge(browser, page, page.forms[0].name, "sign-out", evil)
    assert (refused.status, "Location" in refused.headers) == (400, False)
    assert len(stand_in.provider.sessions) == 1
    await browser.submit(page, button="sign-out")
    assert not stand_in.provider.sessions


async def test_admin_signs_out_nobody(browser: Browser, stand_in: StandIn) -> None:
    """A name that no account has ends nobody's session."""
    await stand_in.code(browser)
    page = await browser.get(f"{stand_in.provider.issuer}/admin")
    form = next(form for form in page.forms if form.action.endswith("/admin/sign-out"))
    fields = form.filled({})
    await browser.post(form.action, {**fields, "username": "nobody"}, initiator=page)
    assert len(stand_in.provider.sessions) == 1
    await browser.post(form.action, {**fields, "username": "alice"}, initiator=page)
    assert not stand_in.provider.sessions


async def test_a_client_that_hangs_up(browser: Browser, stand_in: StandIn) -> None:
    """A logout call that is cut off is written down as not delivered, with a word."""

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    for address, delivered in ((f"{stand_in.url}/gone", True), (f"http://127.0.0.1:{port}", False)):
        stand_in.register("app", backchannel_logout_uri=address)
        await stand_in.code(browser)
        [delivery] = await stand_in.provider.sign_out("alice")
        assert (delivery.delivered, delivery.error is None) == (delivered, delivered)
    server.close()
    await server.wait_closed()


async def test_tokens_move_to_the_new_session_alone(
    new_browser: Callable[[], Browser], stand_in: StandIn
) -> None:
    """Who signs in again keeps this browser's tokens; another browser's stay where they are, and
    die with its own session."""
    here, there = new_browser(), new_browser()
    ours = (await stand_in.tokens(here))["access_token"]
    theirs = (await stand_in.tokens(there))["access_token"]
    first, second = stand_in.provider.sessions
    page = await here.get(stand_in.authorization(prompt="login"))
    await here.submit(page, form="sign-in", username="alice", password="alice-secret")
    assert len(stand_in.provider.sessions) == 2
    still = next(s for s in stand_in.provider.sessions if s in (first, second))
    await stand_in.provider.end_session(still)
    assert (await stand_in.userinfo(theirs)).code == 401
    assert (await stand_in.userinfo(ours)).code == 200


async def test_old_sessions_are_forgotten(
    browser: Browser, clock: Clock, stand_in: StandIn
) -> None:
    """A session whose two weeks are over is dropped when the next one begins."""
    await stand_in.code(browser)
    clock.advance(14 * 86400 - 1)
    await stand_in.code(browser, "alice", prompt="login")
    clock.advance(14 * 86400)
    await stand_in.code(browser, "bob")
    assert [session.username for session in stand_in.provider.sessions] == ["bob"]


async def test_starting_twice(provider: Provider) -> None:
    """A provider that serves already stays where it is."""
    issuer = provider.issuer
    assert await provider.start() is provider
    assert provider.issuer == issuer


async def test_signing_out_of_a_pod_twice(browser: Browser, provider: Provider) -> None:
    """Whoever is not signed in is led to the sign-in page all the same."""
    for _ in range(2):
        page = await browser.get(f"{provider.issuer}/users/sign_out")
        assert page.url.endswith("/users/sign_in")


# -- Clef and Eternaltwin ----------------------------------------------------------------------


async def test_malformed_waves(browser: Browser, stand_in: StandIn) -> None:
    """A parameter twice, an address that is none, and a form that was changed are refused."""
    good = {"app_id": "app", "redirect_url": f"{stand_in.callback}?state=s"}
    wave = f"{stand_in.provider.issuer}/clef/wave"
    page = await browser.get(f"{wave}?{urlencode(good)}")
    assert page.status == 200
    for bad in (
        urlencode(good) + "&app_id=app",
        urlencode({**good, "redirect_url": "http://[::1/callback?state=s"}),
    ):
        assert (await browser.get(f"{wave}?{bad}", follow=False)).status == 400
    forged = urlencode({**good, "redirect_url": "https://evil.example/?state=s"})
    refused = await forge(browser, page, "demo-accounts", "alice", forged)
    assert (refused.status, "Location" in refused.headers) == (400, False)
    await browser.submit(page, form="demo-accounts", button="alice")
    assert "code" in stand_in.answers.pop()


async def test_a_clef_call_that_is_no_form(stand_in: StandIn) -> None:
    """It has no fields, and so no application: the answer is an error of the Clef API."""
    refused = await stand_in.post("/api/v1/authorize", {"app_id": "app"}, JSON)
    assert refused.code >= 400
    assert json.loads(refused.body)["success"] is False


async def test_used_up_clef_codes_are_forgotten(clock: Clock, provider: Provider) -> None:
    """A code whose minute is over is dropped when the next one is made."""
    _, session = await provider.sign_in("alice", previous=None, user_agent="test")
    provider.clef.issue_code(session, app_id="app")
    clock.advance(59)
    provider.clef.issue_code(session, app_id="app")
    assert len(provider.clef._codes) == 2
    clock.advance(1)
    provider.clef.issue_code(session, app_id="app")
    assert len(provider.clef._codes) == 2


async def test_malformed_eternaltwin_calls(
    browser: Browser, stand_in: StandIn, http_client: AsyncHTTPClient
) -> None:
    """A parameter twice goes back as an error; credentials that can't be read are nobody's."""
    asked = {"response_type": "code", "client_id": "app", "redirect_uri": stand_in.callback}
    asked |= {"scope": "base", "state": "s", "access_type": "offline"}
    verifier = new_verifier()
    asked |= {"code_challenge": s256_challenge(verifier), "code_challenge_method": "S256"}
    url = f"{stand_in.provider.issuer}/oauth/authorize?{urlencode(asked)}"
    await browser.get(f"{url}&scope=base")
    assert stand_in.answers.pop()["error"] == "invalid_request"
    await browser.get(url)
    await browser.submit(form="demo-accounts", button="alice")
    code = stand_in.answers.pop()["code"]
    body = {"grant_type": "authorization_code", "code": code, "code_verifier": verifier}
    for authorization, status in (
        ("Basic !", 401),
        ("Basic " + base64.b64encode(b"\xff").decode(), 401),
        (basic("app", SECRET)["Authorization"], 200),
    ):
        answer = await http_client.fetch(
            f"{stand_in.provider.issuer}/oauth/token",
            method="POST",
            headers={**JSON, "Authorization": authorization},
            body=json.dumps(body),
            raise_error=False,
        )
        assert answer.code == status
