"""Access tokens for APIs: signed ones (RFC 9068) and introspection (RFC 7662), over HTTP."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import jwt
import pytest
from stand_in import SECRET, StandIn, basic, error_of
from tornado.httpclient import HTTPResponse

from clefstorm.errors import ConfigurationError
from clefstorm.testing import Browser, Clock, Provider
from clefstorm.transport import AsyncConnection, ClientCredentials

API = "https://api.example.com"


async def introspect(stand_in: StandIn, token: str, **options: Any) -> HTTPResponse:
    return await stand_in.http.fetch(
        f"{stand_in.provider.issuer}/introspect",
        method="POST",
        headers={
            **basic("app", SECRET),
            "Content-Type": "application/x-www-form-urlencoded",
            **options.get("headers", {}),
        },
        body=urlencode({"token": token} if token else {}),
        raise_error=False,
    )


def register(stand_in: StandIn, **options: Any) -> None:
    stand_in.register("app", access_token_audience=API, api_scopes=["read", "write"], **options)


async def test_a_signed_access_token(browser: Browser, clock: Clock, stand_in: StandIn) -> None:
    """It has the typ and the claims of RFC 9068, section 2, and is signed by the published key."""
    register(stand_in, access_token_format="jwt")
    tokens = await stand_in.tokens(browser, scope="openid read delete")
    token = tokens["access_token"]
    assert jwt.get_unverified_header(token)["typ"] == "at+jwt"
    jwks = await stand_in.http.fetch(f"{stand_in.provider.issuer}/jwks")
    key = jwt.PyJWKSet.from_json(jwks.body.decode())[jwt.get_unverified_header(token)["kid"]]
    claims = jwt.decode(
        token, key, algorithms=["RS256"], audience=API, options={"verify_exp": False}
    )
    jti = claims.pop("jti")
    assert len(jti) > 20
    assert claims == {
        "iss": stand_in.provider.issuer,
        "sub": stand_in.provider.account("alice").sub,
        "aud": API,
        "client_id": "app",
        "iat": clock(),
        "exp": clock() + 3600,
        "auth_time": clock(),
        "scope": "openid read",
    }
    # It is an access token like any other.
    assert (await stand_in.userinfo(token)).code == 200
    assert json.loads((await introspect(stand_in, token)).body)["active"] is True


async def test_an_opaque_access_token(browser: Browser, clock: Clock, stand_in: StandIn) -> None:
    """Introspection says what it stands for (RFC 7662, section 2.2)."""
    register(stand_in)
    tokens = await stand_in.tokens(browser, scope="openid write")
    answer = await introspect(stand_in, tokens["access_token"])
    assert answer.code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert json.loads(answer.body) == {
        "active": True,
        "iss": stand_in.provider.issuer,
        "sub": stand_in.provider.account("alice").sub,
        "username": "alice",
        "aud": API,
        "client_id": "app",
        "token_type": "Bearer",
        "scope": "openid write",
        "exp": clock() + 3600,
        "auth_time": clock(),
    }


async def test_dead_tokens(browser: Browser, clock: Clock, stand_in: StandIn) -> None:
    """Of a token that is unknown, expired, revoked or none nothing is said but that."""
    register(stand_in)
    tokens = await stand_in.tokens(browser, scope="openid offline_access")
    for other in ("unknown", tokens["refresh_token"], tokens["id_token"]):
        assert json.loads((await introspect(stand_in, other)).body) == {"active": False}
    clock.advance(3600)
    answer = await introspect(stand_in, tokens["access_token"])
    assert json.loads(answer.body) == {"active": False}


async def test_strangers_may_not_introspect(browser: Browser, stand_in: StandIn) -> None:
    """Whoever asks proves to be a client (section 2.1); a question without token is refused."""
    token = (await stand_in.tokens(browser))["access_token"]
    assert (await introspect(stand_in, token)).code == 200
    stranger = await introspect(stand_in, token, headers=basic("app", "wrong"))
    assert (stranger.code, json.loads(stranger.body)["error"]) == (401, "invalid_client")
    assert (await introspect(stand_in, "")).code == 400


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"access_token_format": "jwt"}, id="no_audience"),
        pytest.param({"access_token_format": "jws", "access_token_audience": API}, id="unknown"),
        pytest.param(
            {
                "access_token_format": "jwt",
                "access_token_audience": API,
                "id_token_signed_response_alg": "HS256",
            },
            id="signed_by_the_secret",
        ),
    ],
)
def test_what_can_not_work(provider: Provider, options: dict[str, str]) -> None:
    """A signed access token has an audience, and a signature that others can check."""
    assert provider.add_client("app", SECRET, access_token_format="jwt", access_token_audience=API)
    with pytest.raises(ConfigurationError) as refused:
        provider.add_client("app", SECRET, **options)
    assert refused.value.code == "client_access_token_format"


async def ask_as_client(stand_in: StandIn, **form: str) -> HTTPResponse:
    return await stand_in.post(
        "/token", {"grant_type": "client_credentials", **form}, basic("app", SECRET)
    )


@pytest.mark.parametrize("token_format", ["opaque", "jwt"])
async def test_a_client_speaks_for_itself(
    clock: Clock, stand_in: StandIn, token_format: str
) -> None:
    """A client's own token names the client, and no user (RFC 6749, 4.4; RFC 9068, 2.2)."""
    register(stand_in, access_token_format=token_format)
    answer = await ask_as_client(stand_in, scope="read")
    assert answer.code == 200
    token = json.loads(answer.body)
    assert set(token) == {"access_token", "token_type", "expires_in", "scope"}
    assert json.loads((await introspect(stand_in, token["access_token"])).body) == {
        "active": True,
        "iss": stand_in.provider.issuer,
        "sub": "app",
        "aud": API,
        "client_id": "app",
        "token_type": "Bearer",
        "scope": "read",
        "exp": clock() + 3600,
    }
    assert (await stand_in.userinfo(token["access_token"])).code == 401
    assert json.loads((await ask_as_client(stand_in)).body)["scope"] == "read write"
    clock.advance(3600)
    answer = await introspect(stand_in, token["access_token"])
    assert json.loads(answer.body) == {"active": False}


async def test_a_client_speaks_for_itself_within_its_scopes(stand_in: StandIn) -> None:
    """A scope that the client is not registered for is refused, and so is a public client."""
    register(stand_in)
    assert (await ask_as_client(stand_in, scope="read")).code == 200
    refused = await ask_as_client(stand_in, scope="read delete")
    assert (refused.code, error_of(refused)) == (400, "invalid_scope")
    stand_in.register("public", client_secret=None, api_scopes=["read"])
    refused = await stand_in.post(
        "/token", {"grant_type": "client_credentials", "client_id": "public"}
    )
    assert (refused.code, error_of(refused)) == (400, "unauthorized_client")


async def test_a_connection_fetches_its_token_here(stand_in: StandIn) -> None:
    """ClientCredentials can be tried against the embedded provider."""
    register(stand_in)
    issuer = stand_in.provider.issuer
    auth = ClientCredentials("app", SECRET, f"{issuer}/token", "read")
    async with AsyncConnection(issuer, auth) as api:
        await api.json_request("GET", "/.well-known/openid-configuration")
    assert [seen.grant_type for seen in stand_in.provider.requests][:1] == ["client_credentials"]
