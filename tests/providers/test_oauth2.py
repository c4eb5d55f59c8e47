"""Plain OAuth 2: the profile behind a fresh access token is the only word about the user."""

from __future__ import annotations

from typing import Any

import pytest
from protocol.expecting import refusal
from providers.driving import ISSUER, NOW, REDIRECT, Wire, as_json, clock, drive, form_of

from clefstorm.errors import (
    AuthorizationRefused,
    ConfigurationError,
    ProtocolViolation,
    ProviderError,
    RequestRefused,
)
from clefstorm.keys import HS256Key
from clefstorm.protocol.authorization import CodeGrant
from clefstorm.protocol.exchange import Response
from clefstorm.protocol.identity import Identity
from clefstorm.protocol.token_endpoint import Tokens
from clefstorm.providers import BegunLogin, OAuth2Provider, SignedIn

ENDPOINTS = {
    "authorization_endpoint": f"{ISSUER}/authorize",
    "token_endpoint": f"{ISSUER}/token",
    "userinfo_endpoint": f"{ISSUER}/userinfo",
}


def make(**changes: Any) -> OAuth2Provider:
    return OAuth2Provider(
        **{
            "client_id": "app",
            "client_secret": "s",
            "redirect_uri": REDIRECT,
            **ENDPOINTS,
            **changes,
        }
    )


def begin(provider: OAuth2Provider) -> BegunLogin:
    flow = provider.begin_login(HS256Key(b"k" * 32), clock=clock)
    driven = drive(flow, Wire())
    assert driven.asks == []
    return driven.result


def callback(provider: OAuth2Provider, *parameters: tuple[str, str]) -> CodeGrant:
    flow = provider.check_callback(parameters, begin(provider).pending)
    return drive(flow, Wire()).result


def sign_in(profile: Response, **changes: Any) -> SignedIn:
    provider, wire = make(**changes), Wire(userinfo=profile, tokens={"id_token": ...})
    driven = drive(provider.redeem(callback(provider, ("code", "c")), clock=clock), wire)
    token, userinfo = wire.requests
    assert form_of(token)["code"] == "c"
    assert userinfo.headers["Authorization"] == "Bearer the-access-token"
    return driven.result


def test_sign_in() -> None:
    """The user is whom the server names to the access token that it has just given us."""
    signed_in = sign_in(as_json({"sub": "ann", "name": "Ann"}))
    assert signed_in.identity == Identity(
        iss=ISSUER, sub="ann", claims={"sub": "ann", "name": "Ann"}
    )
    assert (signed_in.issued, signed_in.sid) == (NOW, None)
    assert signed_in.tokens.access_token == "the-access-token"


def test_request_is_protected_too() -> None:
    """PKCE and a signed state are not OpenID Connect's alone (RFC 9700, section 2.1.1)."""
    url = begin(make(scope="read:user")).url
    assert url.startswith(f"{ISSUER}/authorize?response_type=code&")
    assert "&code_challenge_method=S256" in url
    assert "&scope=read%3Auser" in url
    assert "nonce" not in url


@pytest.mark.parametrize(
    ("profile", "claim", "sub"),
    [
        pytest.param({"id": 12345}, "id", "12345", id="integer"),
        pytest.param({"id": 0}, "id", "0", id="zero"),
        pytest.param({"name": "ann"}, "name", "ann", id="text"),
    ],
)
def test_subject(profile: dict[str, Any], claim: str, sub: str) -> None:
    """``subject_claim`` names the member that names the user; an integer becomes its digits."""
    assert sign_in(as_json(profile), subject_claim=claim).identity.sub == sub


@pytest.mark.parametrize(
    "profile",
    [
        pytest.param({}, id="absent"),
        pytest.param({"id": None}, id="null"),
        pytest.param({"id": ""}, id="empty"),
        pytest.param({"id": True}, id="true"),
        pytest.param({"id": False}, id="false"),
        pytest.param({"id": 1.5}, id="fraction"),
        pytest.param({"id": ["ann"]}, id="list"),
        pytest.param({"id": {"id": 1}}, id="object"),
        pytest.param({"sub": "ann", "ID": "ann"}, id="other_member"),
    ],
)
def test_no_subject(profile: dict[str, Any]) -> None:
    """Whoever has no name signs in as nobody; least of all as "None" or "True"."""
    assert sign_in(as_json({"id": 1}), subject_claim="id").identity.sub == "1"
    with refusal(ProtocolViolation, "subject_missing"):
        sign_in(as_json(profile), subject_claim="id")


@pytest.mark.parametrize(
    ("profile", "kind", "code"),
    [
        pytest.param(Response(status=401), ProviderError, "userinfo_refused", id="status_401"),
        pytest.param(Response(status=302), ProtocolViolation, "userinfo_status", id="redirect"),
        pytest.param(Response(status=500), ProtocolViolation, "userinfo_status", id="status_500"),
        pytest.param(
            Response(status=200, body=b"<html>"), ProtocolViolation, "json_invalid", id="html"
        ),
        pytest.param(as_json(["ann"]), ProtocolViolation, "json_not_object", id="array"),
    ],
)
def test_profile_refused(profile: Response, kind: type[Any], code: str) -> None:
    """Only a JSON object with a 200 says who the user is."""
    assert sign_in(as_json({"sub": "ann"})).identity.sub == "ann"
    with refusal(kind, code):
        sign_in(profile)


def test_id_token_is_no_word() -> None:
    """An id token that nobody asked for is not believed: it is not even looked at."""
    provider, wire = make(), Wire(tokens={"id_token": "a.b.c"}, userinfo=as_json({"sub": "ann"}))
    driven = drive(provider.redeem(callback(provider, ("code", "c")), clock=clock), wire)
    assert driven.result.identity.sub == "ann"


@pytest.mark.parametrize(
    ("issuer", "iss"),
    [
        pytest.param("", None, id="none_sent"),
        pytest.param("", "", id="without_value"),
        pytest.param("", ISSUER, id="origin"),
        pytest.param("", f"{ISSUER}/login/oauth", id="above_the_endpoint"),
        pytest.param("", f"{ISSUER}/login/oauth/", id="above_the_endpoint_with_slash"),
        pytest.param("https://other.example", "https://other.example", id="configured"),
        pytest.param("https://other.example", None, id="configured_none_sent"),
    ],
)
def test_iss_accepted(issuer: str, iss: str | None) -> None:
    """iss is the configured issuer; without one the authorization endpoint's origin, or more of
    its address."""
    sent = [] if iss is None else [("iss", iss)]
    endpoint = f"{ISSUER}/login/oauth/authorize"
    provider = make(issuer=issuer, authorization_endpoint=endpoint)
    assert callback(provider, ("code", "c"), *sent).code == "c"


@pytest.mark.parametrize(
    ("issuer", "iss"),
    [
        pytest.param("", "https://evil.example", id="another"),
        pytest.param("", f"{ISSUER}.evil.example", id="longer_host"),
        pytest.param("", f"{ISSUER}@evil.example/", id="user_info"),
        pytest.param("", f"{ISSUER}:444/", id="other_port"),
        pytest.param("", "http://id.example/", id="other_scheme"),
        pytest.param("", "https:", id="only_the_scheme"),
        pytest.param("", f"{ISSUER}/tenant2", id="other_tenant"),
        pytest.param("", f"{ISSUER}/auth", id="part_of_a_name"),
        pytest.param("https://other.example", ISSUER, id="not_the_configured"),
        pytest.param("https://other.example", "https://other.example/x", id="below_the_configured"),
    ],
)
def test_iss_mismatch(issuer: str, iss: str) -> None:
    """Mix-up: the code of an honest provider, which names itself by iss, is never taken to
    another one (RFC 9700, section 4.4; RFC 9207, section 2.4), in an error neither.
    """
    provider = make(issuer=issuer)
    assert callback(provider, ("code", "c"), ("iss", issuer or ISSUER)).code == "c"
    with refusal(AuthorizationRefused, "authorization_refused"):
        callback(provider, ("error", "x"), ("iss", issuer or ISSUER))
    for answer in (("code", "c"), ("error", "access_denied")):
        with refusal(RequestRefused, "iss_mismatch"):
            callback(provider, answer, ("iss", iss))


def test_iss_twice() -> None:
    """A parameter stands once (RFC 6749, section 3.1)."""
    with refusal(RequestRefused, "parameter_repeated"):
        callback(make(), ("code", "c"), ("iss", ISSUER), ("iss", ISSUER))


def test_issuer_of_the_subjects() -> None:
    """Subjects are kept under the issuer, by default the authorization endpoint's origin."""
    assert make().issuer == ISSUER
    assert make(issuer="https://other.example").issuer == "https://other.example"
    port = make(authorization_endpoint="https://id.example:8443/a?b=c")
    assert port.issuer == "https://id.example:8443"


@pytest.mark.parametrize("name", sorted(ENDPOINTS))
@pytest.mark.parametrize(
    "url",
    [
        pytest.param("http://id.example/x", id="http"),
        pytest.param("/x", id="path"),
        pytest.param("", id="empty"),
        pytest.param(None, id="none"),
        pytest.param("https://u:pw@id.example/x", id="user_info"),
        pytest.param("javascript:alert(1)", id="javascript"),
    ],
)
def test_endpoint_refused(name: str, url: Any) -> None:
    """Endpoints are https (RFC 6749, sections 3.1 and 3.2), and the error says which one is not."""
    make()
    with refusal(ConfigurationError, "endpoint_invalid") as caught:
        make(**{name: url})
    assert caught.value.evidence["name"] == name
    assert "pw" not in str(caught.value)


@pytest.mark.parametrize("name", ["issuer", "subject_claim"])
def test_names_are_texts(name: str) -> None:
    """An issuer and a member's name are texts."""
    make()
    with refusal(ConfigurationError, f"{name}_invalid"):
        make(**{name: 7})


def test_refresh_keeps_the_identity() -> None:
    """Without id tokens a refresh says nothing new of the user."""
    identity = Identity(iss=ISSUER, sub="ann")
    fresh = Tokens(access_token="x", id_token="a.b.c")
    driven = drive(make().identify_refreshed(fresh, identity, clock=clock), Wire())
    assert driven.result is identity
    assert driven.asks == []


def test_repr_shows_no_secret() -> None:
    """A secret reaches no repr (DESIGN, law 4)."""
    assert "s3cret" not in repr(make(client_secret="s3cret"))
