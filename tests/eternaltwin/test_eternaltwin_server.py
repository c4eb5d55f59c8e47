"""The embedded Eternaltwin API: what it refuses, as its callers see it."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from tornado.httpclient import AsyncHTTPClient, HTTPResponse

from clefstorm.protocol.pkce import new_verifier, s256_challenge
from clefstorm.testing import Browser, Provider

CALLBACK = "http://127.0.0.1:9/callback"
REQUEST = {
    "response_type": "code",
    "access_type": "offline",
    "client_id": "game@clients",
    "scope": "base",
    "state": "a state",
    "redirect_uri": CALLBACK,
}
CODE = {"grant_type": "authorization_code"}


@pytest.fixture(autouse=True)
def _registered(provider: Provider) -> None:
    provider.add_client("game@clients", "secret", [CALLBACK])
    provider.add_client("other@clients", "secret", [CALLBACK])
    provider.add_client("public", None, [CALLBACK])


async def authorize(browser: Browser, provider: Provider, **changes: str | None) -> dict[str, str]:
    """Sign alice in; what comes back to the client."""
    asked = {name: value for name, value in {**REQUEST, **changes}.items() if value is not None}
    url = f"{provider.issuer}/oauth/authorize?{urlencode(asked)}"
    page = await browser.get(url, follow=False)
    if "Location" not in page.headers:
        page = await browser.submit(form="demo-accounts", button="alice", follow=False)
    return {n: v[0] for n, v in parse_qs(urlsplit(page.headers["Location"]).query).items()}


async def exchange(
    http_client: AsyncHTTPClient,
    provider: Provider,
    body: Any,
    *,
    client: str = "game@clients:secret",
    scheme: str = "Basic",
    media_type: str = "application/json",
) -> tuple[int, dict[str, Any]]:
    answer = await http_client.fetch(
        f"{provider.issuer}/oauth/token",
        method="POST",
        headers={
            "Authorization": f"{scheme} {base64.b64encode(client.encode()).decode()}",
            "Content-Type": media_type,
        },
        body=body if isinstance(body, str) else json.dumps(body),
        raise_error=False,
    )
    return answer.code, json.loads(answer.body)


async def test_a_code_without_pkce(browser, provider, http_client) -> None:
    """Eternaltwin's own clients send no challenge: a code is exchanged by the secret alone."""
    back = await authorize(browser, provider)
    assert back["state"] == "a state"
    status, tokens = await exchange(http_client, provider, {**CODE, "code": back["code"]})
    assert status == 200
    assert set(tokens) == {"access_token", "token_type", "expires_in", "refresh_token"}
    refresh = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    assert (await exchange(http_client, provider, refresh))[0] == 200
    back = await authorize(browser, provider, access_type="online")
    _, tokens = await exchange(http_client, provider, {**CODE, "code": back["code"]})
    assert "refresh_token" not in tokens


async def test_a_code_without_pkce_elsewhere(browser, provider, http_client) -> None:
    """Such a code is worth nothing at the OpenID token endpoint, whatever verifier comes along."""
    back = await authorize(browser, provider)
    form = {**CODE, "code": back["code"], "redirect_uri": CALLBACK, "code_verifier": new_verifier()}
    answer = await http_client.fetch(
        f"{provider.issuer}/token",
        method="POST",
        auth_username="game%40clients",
        auth_password="secret",
        body=urlencode(form),
        raise_error=False,
    )
    assert (answer.code, json.loads(answer.body)["error"]) == (400, "invalid_grant")


@pytest.mark.parametrize("verifier", ["wrong", None])
async def test_a_code_with_pkce(browser, provider, http_client, verifier: str | None) -> None:
    """Who sends a challenge must send its verifier."""
    right = new_verifier()
    given = {"code_challenge": s256_challenge(right), "code_challenge_method": "S256"}
    for sent, expected in ((right, 200), (verifier, 400)):
        back = await authorize(browser, provider, **given)
        body = {**CODE, "code": back["code"], "code_verifier": sent}
        body = {name: value for name, value in body.items() if value is not None}
        assert (await exchange(http_client, provider, body))[0] == expected


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        pytest.param({"response_type": "token"}, "unsupported_response_type", id="response_type"),
        pytest.param({"scope": "openid"}, "invalid_scope", id="scope"),
        pytest.param({"access_type": "always"}, "invalid_request", id="access_type"),
        pytest.param({"code_challenge": "x" * 43}, "invalid_request", id="no_method"),
        pytest.param(
            {"code_challenge": "x", "code_challenge_method": "S256"}, "invalid_request", id="short"
        ),
    ],
)
async def test_requests_that_are_refused(browser, provider, changes, error: str) -> None:
    """A request that can't be served goes back with an error."""
    assert "code" in await authorize(browser, provider)
    back = await authorize(browser, provider, **changes)
    assert (back["error"], back["state"]) == (error, "a state")


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"client_id": "nobody"}, id="client"),
        pytest.param({"redirect_uri": f"{CALLBACK}/more"}, id="redirect_uri"),
    ],
)
async def test_requests_that_go_nowhere(browser, provider, changes: dict[str, str]) -> None:
    """Nothing goes to an address that is not registered."""
    url = f"{provider.issuer}/oauth/authorize?{urlencode({**REQUEST, **changes})}"
    assert (await browser.get(url, follow=False)).status == 400


@pytest.mark.parametrize(
    ("body", "how", "status", "error"),
    [
        pytest.param({}, {"client": "game@clients:wrong"}, 401, "invalid_client", id="secret"),
        pytest.param({}, {"client": "nobody:secret"}, 401, "invalid_client", id="client"),
        pytest.param({}, {"client": "public:"}, 401, "invalid_client", id="public"),
        pytest.param({}, {"client": "game%40clients:secret"}, 401, "invalid_client", id="encoded"),
        pytest.param({}, {"scheme": "Bearer"}, 401, "invalid_client", id="scheme"),
        pytest.param({}, {"client": "other@clients:secret"}, 400, "invalid_grant", id="foreign"),
        pytest.param({"code": "x"}, {}, 400, "invalid_grant", id="unknown_code"),
        pytest.param({"grant_type": "password"}, {}, 400, "unsupported_grant_type", id="grant"),
        pytest.param({"code": 5}, {}, 400, "invalid_request", id="number"),
        pytest.param("grant_type=x", {}, 400, "invalid_request", id="not_json"),
        pytest.param(
            {}, {"media_type": "application/x-www-form-urlencoded"}, 400, "invalid_request",
            id="form",
        ),
    ],
)  # fmt: skip
async def test_exchanges_that_are_refused(
    browser, provider, http_client, body: Any, how: dict[str, str], status: int, error: str
) -> None:
    """A token call that is not as it should be gets an error; the same without the fault tokens."""
    code = (await authorize(browser, provider))["code"]
    if isinstance(body, dict):
        body = {**CODE, "code": code, **body}
    refused = await exchange(http_client, provider, body, **how)
    assert (refused[0], refused[1]["error"]) == (status, error)
    assert (await exchange(http_client, provider, {**CODE, "code": code}))[0] == 200
    again = await exchange(http_client, provider, {**CODE, "code": code})
    assert (again[0], again[1]["error"]) == (400, "invalid_grant")


@pytest.mark.parametrize(
    ("path", "authorization", "status"),
    [
        pytest.param("auth/self", None, 200, id="guest"),
        pytest.param("auth/self", "Bearer x", 401, id="self_bad_token"),
        pytest.param("auth/self", "Basic x", 401, id="self_scheme"),
        pytest.param("users/nobody", None, 404, id="nobody"),
        pytest.param("users?q=a", "Bearer x", 401, id="users_bad_token"),
        pytest.param("users?limit=x", None, 400, id="limit"),
        pytest.param("users?offset=-1", None, 400, id="offset"),
        pytest.param("users?limit=0", None, 200, id="none"),
    ],
)
async def test_calls(
    provider, http_client, path: str, authorization: str | None, status: int
) -> None:
    """Errors of the calls are JSON, and a bad token is never taken for no token."""
    answer: HTTPResponse = await http_client.fetch(
        f"{provider.api_url}{path}",
        headers={} if authorization is None else {"Authorization": authorization},
        raise_error=False,
    )
    assert answer.code == status
    assert isinstance(json.loads(answer.body), dict)


async def test_a_token_of_openid(provider, browser, http_client) -> None:
    """A token that was not given for this API is none here."""
    _, session = await provider.sign_in("alice", previous=None, user_agent="test")
    verifier = new_verifier()
    for scope, status in (("base", 200), ("openid", 401)):
        code = provider.grants.issue_code(
            session,
            client_id="game@clients",
            redirect_uri=CALLBACK,
            code_challenge=s256_challenge(verifier),
            nonce=None,
            scope=[scope],
        )
        issued = provider.grants.redeem_code(
            code, client_id="game@clients", redirect_uri=CALLBACK, code_verifier=verifier
        )
        answer = await http_client.fetch(
            f"{provider.api_url}auth/self",
            headers={"Authorization": f"Bearer {issued.access_token}"},
            raise_error=False,
        )
        assert answer.code == status
