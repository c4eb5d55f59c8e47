"""An Eternaltwin alias mounts like any other: login, callback, sessions, refresh."""

from __future__ import annotations

import base64
import json
from urllib.parse import parse_qs, urlsplit

import pytest

from clefstorm.registry import configure
from clefstorm.relying_party import RelyingParty
from clefstorm.testing import Answer


async def test_login(site, provider, browser, rp: RelyingParty) -> None:
    """The normal sign-in page signs in: iss is the server's origin, sub the user's id."""
    await browser.get(f"{site}/auth/login?next=/")
    page = await browser.submit(form="demo-accounts", button="alice")
    assert (page.url, page.text) == (f"{site}/", "hello Alice Archer")
    (session,) = await rp.sessions.list_sub(provider.issuer, provider.account("alice").sub)
    assert (session.alias, session.sid) == ("default", None)
    assert session.claims == {
        "sub": provider.account("alice").sub,
        "name": "Alice Archer",
        "is_administrator": False,
        "created_at": "2020-01-01T00:00:00+00:00",
    }


async def test_the_authorization_request(site, browser) -> None:
    """What the API wants stands in the query, and PKCE beside it; no nonce without an id token."""
    page = await browser.get(f"{site}/auth/login?next=/", follow=False)
    sent = parse_qs(urlsplit(page.headers["Location"]).query)
    state, challenge = sent.pop("state"), sent.pop("code_challenge")
    assert (len(challenge[0]), urlsplit(page.headers["Location"]).path) == (43, "/oauth/authorize")
    assert sent == {
        "response_type": ["code"],
        "access_type": ["offline"],
        "client_id": ["a-game@clients"],
        "scope": ["base"],
        "redirect_uri": [f"{site}/auth/callback"],
        "code_challenge_method": ["S256"],
    }
    claims = json.loads(base64.urlsafe_b64decode(state[0].split(".")[1] + "=="))
    assert set(claims) == {"a", "as", "iat", "rfp", "exp", "nonce"}
    assert claims["a"] == "authorize"


async def test_password_and_cancel(site, browser) -> None:
    """A wrong password asks again on the same page; Cancel goes back with access_denied."""
    await browser.get(f"{site}/auth/login?next=/")
    page = await browser.submit(form="sign-in", username="alice", password="wrong")
    assert (page.status, urlsplit(page.url).path) == (403, "/oauth/authorize")
    answer = await browser.submit(form="sign-in", button="cancel", follow=False)
    assert parse_qs(urlsplit(answer.headers["Location"]).query)["error"] == ["access_denied"]


async def test_tokens_stay_fresh(site, provider, browser, rp: RelyingParty) -> None:
    """An access token near its end is replaced, by a call of the API's own form."""
    provider.grants.access_token_lifetime = 1.0
    await browser.get(f"{site}/auth/login?next=/")
    await browser.submit(form="demo-accounts", button="alice")
    (session,) = await rp.sessions.list_sub(provider.issuer, provider.account("alice").sub)
    provider.grants.access_token_lifetime = 3600.0
    token = await rp.access_token(session)
    assert token != session.tokens.access_token
    assert [seen.grant_type for seen in provider.requests if seen.path == "/oauth/token"] == [
        "authorization_code",
        "refresh_token",
    ]


async def test_callback_of_another_browser(site, browser, new_browser) -> None:
    """A callback works only in the browser that began."""
    await browser.get(f"{site}/auth/login?next=/")
    answer = await browser.submit(form="demo-accounts", button="alice", follow=False)
    refused = await new_browser().get(answer.headers["Location"])
    assert (refused.status, "state_other_browser" in refused.text) == (400, True)
    assert (await browser.get(answer.headers["Location"])).text == "hello Alice Archer"


@pytest.mark.parametrize(
    ("fault", "answer", "status", "code"),
    [
        pytest.param(
            "eternaltwin_token",
            Answer(status=400, body={"error": "invalid_grant"}),
            400,
            "token_refused",
            id="code",
        ),
        pytest.param(
            "eternaltwin_token",
            Answer(status=500, body="no"),
            502,
            "token_answer_status",
            id="token_500",
        ),
        pytest.param(
            "eternaltwin_self",
            Answer(status=401, body={"error": "Unauthorized"}),
            502,
            "eternaltwin_refused",
            id="self_401",
        ),
        pytest.param(
            "eternaltwin_self", Answer(body={"type": "Guest"}), 502, "subject_missing", id="guest"
        ),
        pytest.param(
            "eternaltwin_self",
            Answer(body={"user": {"id": 5}}),
            502,
            "eternaltwin_member",
            id="id_number",
        ),
        pytest.param(
            "eternaltwin_self", Answer(body="<html>"), 502, "json_invalid", id="self_html"
        ),
    ],
)
async def test_faults(
    site, provider, browser, rp: RelyingParty, fault: str, answer: Answer, status: int, code: str
) -> None:
    """A server that refuses or breaks the rules signs nobody in; without the fault it does."""
    await browser.get(f"{site}/auth/login?next=/")
    await browser.submit(form="demo-accounts", button="alice")
    await browser.get(f"{site}/auth/login?next=/", follow=False)
    provider.answer_instead[fault] = answer
    page = await browser.get(f"{site}/auth/login?next=/")
    assert (page.status, code in page.text) == (status, True)
    sessions = await rp.sessions.list_sub(provider.issuer, provider.account("alice").sub)
    assert len(sessions) == 1


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        pytest.param("prompt=none", "prompt_unsupported", id="silent"),
        pytest.param("max_age=60", "max_age_unsupported", id="max_age"),
    ],
)
async def test_what_it_cannot_do(site, browser, asked: str, code: str) -> None:
    """What the server can't do is refused and not quietly left out; prompt=login goes along."""
    page = await browser.get(f"{site}/auth/login?next=/&prompt=login", follow=False)
    assert "prompt=login" in page.headers["Location"]
    page = await browser.get(f"{site}/auth/login?next=/&{asked}")
    assert (page.status, code in page.text) == (400, True)


async def test_state_key_rotation(site, browser, options) -> None:
    """A login that was begun under the old key ends well under the rotated list; without the
    old key it does not.
    """
    old = options["state_key"]
    new = {"alg": "HS256", "secret": "another state key of thirty-two bytes"}
    await browser.get(f"{site}/auth/login?next=/")
    page = await browser.submit(form="demo-accounts", button="bob", follow=False)
    first = page.headers["Location"]
    page = await browser.get(f"{site}/auth/login?next=/", follow=False)
    page = await browser.get(page.headers["Location"], follow=False)
    second = page.headers["Location"]
    configure(default={**options, "state_key": [new, old]})
    assert (await browser.get(first)).text == "hello Bob Baker"
    configure(default={**options, "state_key": [new]})
    page = await browser.get(second)
    assert (page.status, "state_invalid" in page.text) == (400, True)
    page = await browser.get(f"{site}/auth/login?next=/")
    assert page.text == "hello Bob Baker"
