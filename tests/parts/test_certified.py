"""The foreign provider does what tests/parts/certified.py says, with no code of clefstorm."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from parts.certified import CertifiedProvider, StartProvider
from parts.walker import Walker
from tornado.httpclient import AsyncHTTPClient
from tornado.web import Application, RequestHandler

pytestmark = pytest.mark.needs("oidc-provider")

VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=")


class Received(RequestHandler):
    """A logout URL that believes everybody."""

    def initialize(self, received: list[str]) -> None:
        self._received = received

    def post(self) -> None:
        self._received.append(self.get_body_argument("logout_token"))


@pytest.fixture
def received() -> list[str]:
    return []


@pytest.fixture
def app(received: list[str]) -> Application:
    return Application([(r"/backchannel", Received, {"received": received})])


@pytest.fixture
def callback(http_port: int) -> str:
    return f"http://127.0.0.1:{http_port}/callback"


@pytest.fixture
def provider(
    start_oidc_provider: StartProvider, http_port: int, callback: str
) -> CertifiedProvider:
    return start_oidc_provider(
        {
            "client_id": "app",
            "client_secret": "s" * 32,
            "redirect_uris": [callback],
            "backchannel_logout_uri": f"http://127.0.0.1:{http_port}/backchannel",
            "backchannel_logout_session_required": True,
        }
    )


def authorization_url(provider: CertifiedProvider, callback: str, **more: str) -> str:
    query = {
        "client_id": "app",
        "response_type": "code",
        "redirect_uri": callback,
        "scope": "openid profile email offline_access",
        "prompt": "consent",
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
    }
    return f"{provider.issuer}/auth?{urlencode({**query, **more})}"


def answer_of(location: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(location).query).items()}


def claims_of(token: str) -> dict[str, Any]:
    payload = token.split(".")[1]
    claims: dict[str, Any] = json.loads(
        base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))
    )
    return claims


async def fetch_json(client: AsyncHTTPClient, url: str, **form: str) -> tuple[int, Any]:
    authentication = {"auth_username": "app", "auth_password": "s" * 32} if form else {}
    response = await client.fetch(
        url,
        method="POST" if form else "GET",
        body=urlencode(form) if form else None,
        raise_error=False,
        **authentication,
    )
    return response.code, json.loads(response.body)


async def test_discovery_and_keys(
    provider: CertifiedProvider, http_client: AsyncHTTPClient
) -> None:
    """It serves its metadata and its public keys, back-channel logout among its features."""
    _, metadata = await fetch_json(
        http_client, f"{provider.issuer}/.well-known/openid-configuration"
    )
    assert metadata["issuer"] == provider.issuer
    assert metadata["backchannel_logout_supported"]
    assert metadata["backchannel_logout_session_supported"]
    _, jwks = await fetch_json(http_client, metadata["jwks_uri"])
    assert {(key["kid"], key["alg"]) for key in jwks["keys"]} == {
        ("rsa", "RS256"),
        ("ec", "ES256"),
        ("ed", "Ed25519"),
    }


async def test_login_refresh_logout(
    provider: CertifiedProvider,
    callback: str,
    received: list[str],
    http_client: AsyncHTTPClient,
) -> None:
    """A walk through its pages gives a code, tokens that rotate, and a logout token at the end."""
    walker = Walker(http_client)
    page = await provider.sign_in(
        walker, authorization_url(provider, callback), account="anna", stop_at=callback
    )
    code = answer_of(page.headers["Location"])["code"]
    token_url = f"{provider.issuer}/token"
    status, tokens = await fetch_json(
        http_client,
        token_url,
        grant_type="authorization_code",
        code=code,
        redirect_uri=callback,
        code_verifier=VERIFIER,
    )
    assert status == 200, tokens
    id_token = claims_of(tokens["id_token"])
    assert id_token["sub"] == "anna"

    old = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    status, refreshed = await fetch_json(http_client, token_url, **old)
    assert status == 200
    assert refreshed["refresh_token"] != tokens["refresh_token"]
    status, refusal = await fetch_json(http_client, token_url, **old)
    assert (status, refusal["error"]) == (400, "invalid_grant")

    await provider.sign_out(walker)
    (logout_token,) = received
    assert claims_of(logout_token)["sub"] == "anna"
    (delivery,) = await provider.deliveries(http_client)
    assert delivery == {
        "client_id": "app",
        "sub": "anna",
        "sid": claims_of(logout_token)["sid"],
        "error": None,
    }


async def test_signed_in_browser_passes_without_a_page(
    provider: CertifiedProvider, callback: str, http_client: AsyncHTTPClient
) -> None:
    """prompt=none gives login_required before the login, and a code after it."""
    walker = Walker(http_client)
    silent = authorization_url(provider, callback, prompt="none", scope="openid")
    page = await walker.get(silent, stop_at=callback)
    assert answer_of(page.headers["Location"])["error"] == "login_required"
    url = authorization_url(provider, callback, scope="openid")
    await provider.sign_in(walker, url, account="anna", stop_at=callback)
    page = await walker.get(silent, stop_at=callback)
    assert "code" in answer_of(page.headers["Location"])


async def test_pkce_is_required(
    provider: CertifiedProvider, callback: str, http_client: AsyncHTTPClient
) -> None:
    """An authorization request without a code_challenge is refused (RFC 7636 4.4.1)."""
    url = authorization_url(provider, callback)
    stripped = url.split("&code_challenge=")[0]
    page = await Walker(http_client).get(stripped, stop_at=callback)
    assert answer_of(page.headers["Location"])["error"] == "invalid_request"


async def test_decline(
    provider: CertifiedProvider, callback: str, http_client: AsyncHTTPClient
) -> None:
    """Cancel sends access_denied to the callback, with HTML in its text."""
    page = await provider.decline(
        Walker(http_client), authorization_url(provider, callback), stop_at=callback
    )
    answer = answer_of(page.headers["Location"])
    assert answer["error"] == "access_denied"
    assert "<b>" in answer["error_description"]


async def test_stop(provider: CertifiedProvider, http_client: AsyncHTTPClient) -> None:
    """A stopped provider refuses connections."""
    provider.stop()
    with pytest.raises(ConnectionRefusedError):
        await http_client.fetch(provider.issuer)
