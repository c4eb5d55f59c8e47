"""A login that asks how and when its user signs in: what goes out, and what must come back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from protocol.expecting import refusal

from clefstorm.errors import ProtocolViolation, RequestRefused
from clefstorm.keys import HS256Key
from clefstorm.protocol.authorization import (
    PendingLogin,
    authorization_parameters,
    check_callback,
)
from clefstorm.protocol.exchange import Response
from clefstorm.protocol.id_token import IDToken, check_id_token
from clefstorm.protocol.metadata import read_metadata
from clefstorm.providers import ClefProvider, OAuth2Provider

NOW = 1_700_000_000.0
ISSUER = "https://id.example.com"
REDIRECT_URI = "https://app.example.com/auth/callback"
CLAIMS: Mapping[str, Any] = {
    "iss": ISSUER,
    "sub": "248289761001",
    "aud": "app",
    "iat": NOW - 1,
    "exp": NOW + 120,
    "acr": "silver",
}


def check(acr_values: str | None, **changes: Any) -> IDToken:
    claims = {name: value for name, value in {**CLAIMS, **changes}.items() if value is not None}
    return check_id_token(
        claims,
        alg="RS256",
        header={"alg": "RS256"},
        issuer=ISSUER,
        client_id="app",
        nonce=None,
        now=NOW,
        acr_values=acr_values,
    )


@pytest.mark.parametrize("acr_values", [None, "silver", "gold silver", "  silver  "])
def test_an_acr_that_was_asked_for(acr_values: str | None) -> None:
    """One of the classes that were asked for comes back (Core, 3.1.3.7, step 12)."""
    assert check(acr_values).acr == "silver"


@pytest.mark.parametrize(
    ("code", "acr"),
    [
        pytest.param("acr_unmet", None, id="not_said"),
        pytest.param("acr_unmet", "iron", id="another"),
        pytest.param("acr_unmet", "gold silver", id="both_words_in_one"),
        pytest.param("acr_unmet", "Gold", id="other_case"),
        pytest.param("claim_type", 1, id="number"),
        pytest.param("claim_type", ["gold"], id="list"),
    ],
)
def test_another_acr(code: str, acr: object) -> None:
    """A sign-in by other means than were asked for is not taken for one."""
    assert check("gold silver")
    with refusal(ProtocolViolation, code):
        check("gold silver", acr=acr)


def parameters(pending: PendingLogin, **options: Any) -> dict[str, str]:
    return authorization_parameters(
        pending, client_id="app", scope=["openid"], state="s", **options
    )


def test_what_is_asked_for() -> None:
    """acr_values goes out with the request, and before what every login of the alias would like."""
    wanting = PendingLogin(redirect_uri=REDIRECT_URI, acr_values="gold silver")
    assert parameters(wanting)["acr_values"] == "gold silver"
    extra = {"acr_values": "iron"}
    assert parameters(wanting, extra=extra)["acr_values"] == "gold silver"
    easy = PendingLogin(redirect_uri=REDIRECT_URI)
    assert "acr_values" not in parameters(easy)
    assert parameters(easy, extra=extra)["acr_values"] == "iron"


OAUTH2 = OAuth2Provider(
    authorization_endpoint=f"{ISSUER}/authorize",
    token_endpoint=f"{ISSUER}/token",
    userinfo_endpoint=f"{ISSUER}/me",
    client_id="app",
    redirect_uri=REDIRECT_URI,
)
CLEF = ClefProvider(
    issuer=ISSUER, client_id="app", client_secret="secret", redirect_uri=REDIRECT_URI
)


@pytest.mark.parametrize("provider", [OAUTH2, CLEF], ids=["oauth2", "clef"])
def test_providers_without_id_tokens(provider: OAuth2Provider | ClefProvider) -> None:
    """Nobody is asked for what they can't prove."""

    def begin(acr_values: str | None) -> object:
        flow = provider.begin_login(HS256Key("k" * 32), clock=lambda: NOW, acr_values=acr_values)
        with pytest.raises(StopIteration) as end:
            next(flow)
        return end.value.value

    assert begin(None)
    with refusal(RequestRefused, "acr_unsupported"):
        begin("gold")


DOCUMENT = {
    "issuer": ISSUER,
    "authorization_endpoint": f"{ISSUER}/authorize",
    "token_endpoint": f"{ISSUER}/token",
    "introspection_endpoint": f"{ISSUER}/introspect",
}


@pytest.mark.parametrize(
    ("code", "url"),
    [
        pytest.param("url_unsafe", "http://id.example.com/introspect", id="http"),
        pytest.param("url_unsafe", "http://localhost/introspect", id="http_of_an_https_issuer"),
        pytest.param("url_invalid", "/introspect", id="relative"),
        pytest.param("metadata_type", 1, id="number"),
    ],
)
def test_introspection_endpoint(code: str, url: object) -> None:
    """The metadata names it, as safe as the issuer; tokens go there."""

    def read(document: Mapping[str, Any]) -> str | None:
        response = Response(status=200, body=json.dumps(document).encode())
        return read_metadata(response, issuer=ISSUER).introspection_endpoint

    assert read(DOCUMENT) == f"{ISSUER}/introspect"
    assert read({**DOCUMENT, "introspection_endpoint": None}) is None
    with refusal(ProtocolViolation, code):
        read({**DOCUMENT, "introspection_endpoint": url})


def test_what_was_asked_for_is_not_forgotten() -> None:
    """What the request asked rides in the grant, so that the id token can be held to it."""
    wanting = PendingLogin(redirect_uri=REDIRECT_URI, acr_values="gold", max_age=60)
    grant = check_callback([("code", "c")], wanting, issuer=None, iss_required=False)
    assert (grant.acr_values, grant.max_age) == ("gold", 60)
