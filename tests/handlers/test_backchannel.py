"""The webhook of OpenID Connect Back-Channel Logout, over HTTP."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlencode

import pytest
from mounted import PROTECTED, Settings
from tornado.httpclient import AsyncHTTPClient, HTTPResponse

from clefstorm.errors import StoreUnavailable
from clefstorm.relying_party import RelyingParty
from clefstorm.testing import Answer, Browser, Provider, TokenDraft

Post = Callable[..., Awaitable[HTTPResponse]]


@pytest.fixture
def settings() -> Settings:
    """The webhook is exempt from xsrf_cookies and from cross-origin protection."""
    return Settings(application=PROTECTED)


@pytest.fixture
def post(http_client: AsyncHTTPClient, app_url: str, joined_rp: RelyingParty) -> Post:
    async def post(body: str, query: str = "", **headers: str) -> HTTPResponse:
        return await http_client.fetch(
            f"{app_url}/auth/backchannel-logout{query}",
            method="POST",
            body=body,
            headers={name.replace("_", "-"): value for name, value in headers.items()},
            raise_error=False,
        )

    return post


async def test_sign_out_at_the_provider_reaches_all(
    new_browser: Callable[[], Browser],
    provider: Provider,
    joined_rp: RelyingParty,
    app_url: str,
) -> None:
    """Signed out everywhere at the provider: both browsers are out, somebody else's is not."""
    one, two, bobs = new_browser(), new_browser(), new_browser()
    for browser, name in ((one, "alice"), (two, "alice"), (bobs, "bob")):
        await browser.sign_in(provider, name, f"{app_url}/inside")
    deliveries = await provider.sign_out("alice")
    assert [delivery.status for delivery in deliveries] == [200, 200]
    for browser, answer in ((one, "nobody"), (two, "nobody")):
        assert (await browser.get(f"{app_url}/")).text == answer
    assert (await bobs.get(f"{app_url}/")).text == provider.account("bob").sub


@pytest.fixture
def token(provider: Provider, joined_rp: RelyingParty) -> Callable[[], Awaitable[str]]:
    async def token() -> str:
        return await provider.logout_token("app", sub=provider.account("alice").sub)

    return token


async def test_good_token(
    post: Post,
    token: Callable[[], Awaitable[str]],
    browser: Browser,
    provider: Provider,
    app_url: str,
) -> None:
    """200 and no-store; the same token again is 200 as well and ends nothing."""
    await browser.sign_in(provider, "alice", f"{app_url}/inside")
    body = urlencode({"logout_token": await token(), "something": "else"})
    answer = await post(body)
    assert (answer.code, answer.body) == (200, b"")
    assert answer.headers["Cache-Control"] == "no-store"
    assert (await browser.get(f"{app_url}/")).text == "nobody"
    await browser.sign_in(provider, "alice", f"{app_url}/inside")
    assert (await post(body)).code == 200
    assert (await browser.get(f"{app_url}/")).text != "nobody"


async def test_any_origin_may_bring_it(post: Post, token: Callable[[], Awaitable[str]]) -> None:
    """What is checked is the signature, whoever sends it."""
    for origin in ("https://id.example.com", "null"):
        answer = await post(
            urlencode({"logout_token": await token()}), Origin=origin, Sec_Fetch_Site="cross-site"
        )
        assert answer.code == 200


def _expired(draft: TokenDraft) -> None:
    draft.claims.update(iat=1_000_000, exp=1_000_100)


@pytest.mark.parametrize(
    "tamper",
    [
        pytest.param(lambda d: d.claims.update(iss="https://evil.example"), id="iss"),
        pytest.param(lambda d: d.claims.update(aud="other"), id="aud"),
        pytest.param(_expired, id="expired"),
        pytest.param(lambda d: d.claims.pop("events") and None, id="no_event"),
        pytest.param(lambda d: d.claims.update(nonce="n"), id="nonce"),
        pytest.param(lambda d: d.claims.pop("sub") and None, id="nobody_meant"),
        pytest.param(lambda d: "not-a-token", id="no_jwt"),
        pytest.param(lambda d: "a.b.c", id="rubbish"),
        pytest.param(lambda d: "." * 5000, id="many_dots"),
    ],
)
async def test_bad_tokens(
    post: Post,
    token: Callable[[], Awaitable[str]],
    browser: Browser,
    provider: Provider,
    app_url: str,
    tamper: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A logout token that fails a check: 400 with no-store, JSON, a log line, nobody signed out."""
    await browser.sign_in(provider, "alice", f"{app_url}/inside")
    provider.tamper["logout_token"] = tamper
    bad = await token()
    answer = await post(urlencode({"logout_token": bad}))
    assert answer.code == 400
    assert answer.headers["Cache-Control"] == "no-store"
    told = json.loads(answer.body)
    assert told["error"] == "invalid_request"
    assert told["error_description"]
    assert f"reference={told['reference']}" in caplog.text
    assert bad not in caplog.text
    assert (await browser.get(f"{app_url}/")).text != "nobody"


@pytest.mark.parametrize(
    ("body", "query"),
    [
        pytest.param("", "", id="empty"),
        pytest.param("logout_token=", "", id="blank"),
        pytest.param("token={}", "", id="other_name"),
        pytest.param("logout_token={0}&logout_token={0}", "", id="twice"),
        pytest.param("", "?logout_token={}", id="in_the_query"),
    ],
)
async def test_exactly_one_in_the_body(
    post: Post, token: Callable[[], Awaitable[str]], body: str, query: str
) -> None:
    """The token stands in the form, once."""
    good = await token()
    answer = await post(body.format(good), query.format(good))
    assert answer.code == 400
    assert (await post(f"logout_token={good}")).code == 200


async def test_unreachable_keys(
    post: Post, token: Callable[[], Awaitable[str]], provider: Provider
) -> None:
    """A logout that can't be judged has failed: 400, and the same token works later."""
    good = await token()
    provider.answer_instead["jwks"] = Answer(status=500)
    assert (await post(f"logout_token={good}")).code == 400


async def test_unreachable_store(
    post: Post,
    token: Callable[[], Awaitable[str]],
    joined_rp: RelyingParty,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """When the store can't be reached: 503 and when to come back; then the same token works."""

    async def unreachable(*args: Any, **more: Any) -> Any:
        raise StoreUnavailable("it is down")

    good = await token()
    with monkeypatch.context() as patch:
        patch.setattr(joined_rp.sessions, "revoke_sub", unreachable)
        answer = await post(f"logout_token={good}")
    assert (answer.code, answer.headers["Retry-After"]) == (503, "5")
    assert (await post(f"logout_token={good}")).code == 200


async def test_get_is_not_allowed(http_client: AsyncHTTPClient, base_url: str) -> None:
    """The webhook is a POST."""
    answer = await http_client.fetch(f"{base_url}/auth/backchannel-logout", raise_error=False)
    assert (answer.code, answer.headers["Allow"]) == (405, "POST")
