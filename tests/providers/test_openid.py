"""The flows of an OpenID provider, driven by hand against an honest and a lying provider."""

from __future__ import annotations

import base64
import dataclasses
import json
import traceback
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from protocol.expecting import refusal
from providers.driving import (
    ISSUER,
    NOW,
    REDIRECT,
    SIGNING,
    Wire,
    as_json,
    clock,
    drive,
    form_of,
)

from clefstorm.errors import (
    AuthorizationRefused,
    ClefStormError,
    ConnectFailed,
    ProtocolViolation,
    ProviderError,
    RequestRefused,
    TokenRefused,
)
from clefstorm.keys import HS256Key, generate_key
from clefstorm.protocol.authorization import CodeGrant
from clefstorm.protocol.exchange import KeysWanted, MetadataWanted, Request, Response
from clefstorm.protocol.identity import Identity
from clefstorm.protocol.jwks import KeySet
from clefstorm.protocol.jwt import build_jwt
from clefstorm.protocol.logout_token import LOGOUT_EVENT
from clefstorm.protocol.token_endpoint import Tokens
from clefstorm.providers import BegunLogin, OpenIDProvider, SignedIn

SECRET = "a-secret-of-thirty-two-characters"
STATE_KEY = HS256Key(b"k" * 32)
BASIC = "Basic " + base64.b64encode(f"app:{SECRET}".encode()).decode()


def make(**changes: Any) -> OpenIDProvider:
    return OpenIDProvider(
        **{
            "issuer": ISSUER,
            "client_id": "app",
            "client_secret": SECRET,
            "redirect_uri": REDIRECT,
            **changes,
        }
    )


def begin(provider: OpenIDProvider, **changes: Any) -> BegunLogin:
    return drive(provider.begin_login(STATE_KEY, clock=clock, **changes), Wire()).result


def granted(
    provider: OpenIDProvider, wire: Wire, *, code: str = "the-code", **changes: Any
) -> CodeGrant:
    """Begin a login, let the provider say yes, and tell it the nonce."""
    begun = begin(provider, **changes)
    wire.nonce = begun.pending.nonce
    flow = provider.check_callback([("code", code), ("state", begun.state)], begun.pending)
    return drive(flow, Wire()).result


def sign_in(wire: Wire, provider: OpenIDProvider | None = None, **changes: Any) -> SignedIn:
    provider = provider or make()
    grant = granted(provider, wire, **changes)
    return drive(provider.redeem(grant, clock=clock), wire).result


def test_sign_in() -> None:
    """Code, tokens, id token checked with the provider's keys, userinfo: in this order (Core,
    section 3.1), and nobody is asked about the user before the id token was found good.
    """
    wire = Wire(claims={"sid": "s1", "email": "ann@x.example"})
    signed_in = sign_in(wire)
    assert (signed_in.identity.iss, signed_in.identity.sub) == (ISSUER, "ann")
    assert (signed_in.sid, signed_in.issued) == ("s1", NOW)
    assert signed_in.identity.claims["email"] == "ann@x.example"
    assert signed_in.identity.claims["name"] == "Ann"
    assert signed_in.tokens.access_token == "the-access-token"
    assert signed_in.tokens.expires_at == NOW + 3600
    kinds = [
        ask.url if isinstance(ask, Request) else type(ask).__name__
        for ask in wire.asks
        if not isinstance(ask, MetadataWanted)
    ]
    assert kinds == [f"{ISSUER}/token", "KeysWanted", f"{ISSUER}/userinfo"]
    assert KeysWanted(f"{ISSUER}/jwks", "k1", first_hand=True) in wire.asks


def test_secrets_go_where_they_belong() -> None:
    """A secret reaches only the host it was given for (DESIGN, law 4): code, verifier and client
    secret the token endpoint, the access token userinfo, and no URL any of them.
    """
    wire, provider = Wire(), make()
    grant = granted(provider, wire)
    drive(provider.redeem(grant, clock=clock), wire)
    token, userinfo = wire.requests
    assert form_of(token) == {
        "grant_type": "authorization_code",
        "code": "the-code",
        "redirect_uri": REDIRECT,
        "code_verifier": grant.code_verifier,
    }
    assert token.headers["Authorization"] == BASIC
    assert (token.method, token.url) == ("POST", f"{ISSUER}/token")
    assert (userinfo.method, userinfo.url) == ("GET", f"{ISSUER}/userinfo")
    assert userinfo.headers["Authorization"] == "Bearer the-access-token"
    assert userinfo.body is None


def test_public_client_and_post() -> None:
    """A public client names itself in the body; client_secret_post is used where the provider
    supports nothing better (RFC 6749, section 2.3.1).
    """
    wire = Wire()
    sign_in(wire, make(client_secret=None))
    assert form_of(wire.requests[0])["client_id"] == "app"
    assert "Authorization" not in wire.requests[0].headers
    wire = Wire()
    wire.metadata = dataclasses.replace(
        wire.metadata, token_endpoint_auth_methods_supported=("client_secret_post",)
    )
    sign_in(wire)
    assert form_of(wire.requests[0])["client_secret"] == SECRET
    assert "Authorization" not in wire.requests[0].headers


def test_without_userinfo() -> None:
    """userinfo False, or no endpoint (Discovery, section 3: RECOMMENDED), spares the call."""
    wire = Wire()
    assert sign_in(wire, make(userinfo=False)).identity.sub == "ann"
    assert len(wire.requests) == 1
    wire = Wire()
    wire.metadata = dataclasses.replace(wire.metadata, userinfo_endpoint=None)
    assert sign_in(wire).identity.sub == "ann"
    assert len(wire.requests) == 1


def callback(*parameters: tuple[str, str], iss_supported: bool = False) -> CodeGrant:
    provider, wire = make(), Wire()
    wire.metadata = dataclasses.replace(
        wire.metadata, authorization_response_iss_parameter_supported=iss_supported
    )
    pending = begin(provider).pending
    return drive(provider.check_callback(parameters, pending), wire).result


def test_callback_iss() -> None:
    """iss is compared with the metadata's issuer whenever it is there, and required where the
    metadata advertise it (RFC 9207, section 2.4): a mix-up ends here, before any exchange.
    """
    assert callback(("code", "c")).code == "c"
    assert callback(("code", "c"), ("iss", ISSUER)).code == "c"
    assert callback(("code", "c"), ("iss", ISSUER), iss_supported=True).code == "c"
    for supported in (False, True):
        with refusal(RequestRefused, "iss_mismatch"):
            callback(("code", "c"), ("iss", "https://evil.example"), iss_supported=supported)
        with refusal(RequestRefused, "iss_mismatch"):
            callback(("error", "x"), ("iss", "https://evil.example"), iss_supported=supported)
    with refusal(RequestRefused, "iss_missing"):
        callback(("code", "c"), iss_supported=True)
    with refusal(AuthorizationRefused, "authorization_refused"):
        callback(("error", "access_denied"), ("iss", ISSUER), iss_supported=True)


def test_code_of_another_login() -> None:
    """A code that an attacker injects into a victim's login: its id token has the attacker's
    nonce, and is refused (RFC 9700, section 4.5.3.2; Core, section 3.1.3.7, step 11).
    """
    provider, wire = make(), Wire()
    victim = granted(provider, wire, code="attackers-code")
    drive(provider.redeem(victim, clock=clock), wire)
    wire.nonce = begin(provider).pending.nonce  # of the attacker's own login
    with refusal(ProtocolViolation, "nonce_mismatch"):
        drive(provider.redeem(victim, clock=clock), wire)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        pytest.param({"claims": {"iss": "https://evil.example"}}, "iss_mismatch", id="iss"),
        pytest.param({"claims": {"aud": "other"}}, "aud_missing_us", id="aud"),
        pytest.param({"claims": {"aud": ["app", "other"]}}, "aud_untrusted", id="aud_more"),
        pytest.param({"claims": {"azp": "other"}}, "azp_mismatch", id="azp"),
        pytest.param({"claims": {"exp": NOW - 60}}, "token_expired", id="exp"),
        pytest.param({"claims": {"iat": NOW + 61}}, "iat_in_future", id="iat"),
        pytest.param({"claims": {"nonce": "x"}}, "nonce_mismatch", id="nonce"),
        pytest.param({"claims": {"nonce": ...}}, "nonce_missing", id="nonce_missing"),
        pytest.param({"claims": {"at_hash": "x"}}, "at_hash_mismatch", id="at_hash"),
        pytest.param({"claims": {"sub": ...}}, "claim_missing", id="sub"),
        pytest.param(
            {"claims": {"events": {LOGOUT_EVENT: {}}}}, "events_prohibited", id="logout_token"
        ),
        pytest.param({"typ": "logout+jwt"}, "typ_wrong", id="typ_logout"),
        pytest.param({"typ": "at+jwt"}, "typ_wrong", id="typ_access_token"),
        pytest.param({"key": generate_key("ES256", kid="k1")}, "signature_invalid", id="signature"),
        pytest.param({"key": generate_key("ES256", kid="k2")}, "kid_unknown", id="kid"),
        pytest.param(
            {"key": generate_key("EdDSA", kid="k1")}, "alg_not_allowed", id="alg_not_announced"
        ),
        pytest.param({"key": HS256Key(SECRET)}, "alg_not_allowed", id="hmac_not_pinned"),
        pytest.param({"tokens": {"id_token": ...}}, "id_token_missing", id="no_id_token"),
        pytest.param({"tokens": {"id_token": "a.b.c"}}, "base64url_invalid", id="rubbish"),
        pytest.param({"tokens": {"id_token": "a.b.c.d.e"}}, "jwt_encrypted", id="encrypted"),
        pytest.param({"tokens": {"token_type": "mac"}}, "token_type_unsupported", id="token_type"),
        pytest.param({"token_answer": Response(status=500)}, "token_answer_status", id="token_500"),
        pytest.param({"token_answer": Response(status=302)}, "token_answer_status", id="token_302"),
        pytest.param(
            {"token_answer": Response(status=200, body=b"<html>")}, "json_invalid", id="token_html"
        ),
        pytest.param(
            {"userinfo": as_json({"sub": "bob"})}, "userinfo_sub_mismatch", id="userinfo_sub"
        ),
        pytest.param({"userinfo": as_json({})}, "userinfo_sub_mismatch", id="userinfo_without_sub"),
        pytest.param({"userinfo": Response(status=302)}, "userinfo_status", id="userinfo_302"),
        pytest.param(
            {"userinfo": Response(status=200, body=b"<html>")}, "json_invalid", id="userinfo_html"
        ),
    ],
)
def test_lying_provider(changes: dict[str, Any], code: str) -> None:
    """Each check of Core 3.1.3.7 and 5.3.2 is made in the flow, not only in its own function."""
    assert sign_in(Wire()).identity.sub == "ann"
    wire = Wire(**changes)
    with refusal(ProtocolViolation, code):
        sign_in(wire)
    if "userinfo" not in changes:
        # The access token of an answer that was not believed is not used.
        assert f"{ISSUER}/userinfo" not in [request.url for request in wire.requests]


def test_userinfo_refused() -> None:
    """A 401 of userinfo is the provider's no (RFC 6750, section 3.1)."""
    with refusal(ProviderError, "userinfo_refused"):
        sign_in(Wire(userinfo=Response(status=401)))


def test_token_refused() -> None:
    """An error of the token endpoint is the provider's no (RFC 6749, section 5.2)."""
    wire = Wire(token_answer=as_json({"error": "invalid_grant"}, status=400))
    with refusal(TokenRefused, "token_refused") as caught:
        sign_in(wire)
    assert isinstance(caught.value, TokenRefused)
    assert caught.value.error == "invalid_grant"


def test_errors_of_the_driver_come_through() -> None:
    """What goes wrong on the wire is raised where the flow asked, and ends the login."""
    provider, wire = make(), Wire()
    grant = granted(provider, wire)
    with refusal(ConnectFailed, "connect_failed"):
        drive(provider.redeem(grant, clock=clock), lambda _: ConnectFailed("no"))


def test_algorithm_before_keys() -> None:
    """A forged header costs the provider no request: the algorithm is judged before a key is
    asked for.
    """
    for wire in (Wire(key=HS256Key(SECRET)), Wire(key=generate_key("EdDSA", kid="zz"))):
        with refusal(ProtocolViolation, "alg_not_allowed"):
            sign_in(wire)
        assert not [ask for ask in wire.asks if isinstance(ask, KeysWanted)]


def unsigned(wire: Wire) -> str:
    header = base64.urlsafe_b64encode(json.dumps({"alg": "none"}).encode()).decode().rstrip("=")
    return f"{header}.{wire.id_token().split('.')[1]}."


def test_alg_none() -> None:
    """alg none is refused, announced or not (RFC 8725, section 3.2)."""
    wire = Wire()
    wire.metadata = dataclasses.replace(
        wire.metadata, id_token_signing_alg_values_supported=("none", "ES256")
    )
    provider = make()
    grant = granted(provider, wire)
    drive(provider.redeem(grant, clock=clock), wire)
    wire.tokens["id_token"] = unsigned(wire)
    with refusal(ProtocolViolation, "alg_none"):
        drive(provider.redeem(grant, clock=clock), wire)


@pytest.mark.parametrize(
    ("announced", "alg", "good"),
    [
        (("RS256", "ES256"), "ES256", True),
        ((), "RS256", True),
        (("EdDSA",), "EdDSA", True),
        (("Ed25519",), "EdDSA", True),
        ((), "ES256", False),
        (("RS256",), "ES256", False),
        (("none", "HS256"), "ES256", False),
    ],
)
def test_announced_algorithms(announced: tuple[str, ...], alg: str, good: bool) -> None:
    """Unpinned, an algorithm is ours and announced (DESIGN, section 8); without the list RS256 is
    what every provider must have (Core, section 15.1); Ed25519 is EdDSA (RFC 9864, 2.2).
    """
    key = generate_key(alg, kid="k1")
    wire = Wire(key=key, keys=KeySet.of([key]))
    wire.metadata = dataclasses.replace(
        wire.metadata, id_token_signing_alg_values_supported=announced
    )
    if good:
        assert sign_in(wire).identity.sub == "ann"
    else:
        with refusal(ProtocolViolation, "alg_not_allowed"):
            sign_in(wire)


def test_pinned_algorithm() -> None:
    """A pinned algorithm is the only one, whatever the provider announces (RFC 8725, 3.1)."""
    assert sign_in(Wire(), make(id_token_signed_response_alg="ES256")).identity.sub == "ann"
    with refusal(ProtocolViolation, "alg_not_allowed"):
        sign_in(Wire(), make(id_token_signed_response_alg="RS256"))


def test_pinned_hmac() -> None:
    """HMAC only when pinned, with the client_secret as the key, and no key is fetched (Core,
    section 10.1).
    """
    provider = make(id_token_signed_response_alg="HS256")
    wire = Wire(key=HS256Key(SECRET))
    assert sign_in(wire, provider).identity.sub == "ann"
    assert not [ask for ask in wire.asks if isinstance(ask, KeysWanted)]
    assert sign_in(Wire(key=HS256Key(SECRET, kid="theirs")), provider).identity.sub == "ann"
    with refusal(ProtocolViolation, "signature_invalid"):
        sign_in(Wire(key=HS256Key("another-secret-of-thirty-two-chars")), provider)
    with refusal(ProtocolViolation, "alg_not_allowed"):
        sign_in(Wire(), provider)


def test_no_keys() -> None:
    """A provider without jwks_uri can sign nothing that we believe."""
    wire = Wire()
    wire.metadata = dataclasses.replace(wire.metadata, jwks_uri=None)
    with refusal(ProtocolViolation, "jwks_uri_missing"):
        sign_in(wire)


def test_trusted_audience() -> None:
    """An audience beside us is accepted only when it is trusted (Core, 3.1.3.7, step 3)."""
    wire = Wire(claims={"aud": ["app", "api"], "azp": "app"})
    assert sign_in(wire, make(trusted_audiences=["api"])).identity.sub == "ann"
    with refusal(ProtocolViolation, "aud_untrusted"):
        sign_in(wire, make(trusted_audiences=["other"]))


def test_max_age() -> None:
    """When max_age was sent, auth_time is required and checked (Core, 3.1.2.1; 3.1.3.7, 13)."""
    fresh = Wire(claims={"auth_time": NOW - 10})
    assert sign_in(fresh, max_age=60).identity.sub == "ann"
    with refusal(ProtocolViolation, "auth_time_missing"):
        sign_in(Wire(), max_age=60)
    with refusal(ProtocolViolation, "auth_time_too_old"):
        sign_in(Wire(claims={"auth_time": NOW - 121}), max_age=60)


def test_leeway() -> None:
    """The configured leeway is the one that holds."""
    wire = Wire(claims={"exp": NOW - 59})
    assert sign_in(wire).identity.sub == "ann"
    with refusal(ProtocolViolation, "token_expired"):
        sign_in(wire, make(leeway=30))


def refresh(wire: Wire, **changes: Any) -> Tokens:
    tokens = Tokens(
        access_token="old", refresh_token="old-refresh-token", scope="openid", **changes
    )
    return drive(make().refresh(tokens, clock=clock), wire).result


def test_refresh() -> None:
    """A refresh sends the refresh token in the body (RFC 6749, section 6); the new tokens replace
    the old; what is not answered stays (section 6, rotation: RFC 9700, section 4.14.2).
    """
    wire = Wire()
    fresh = refresh(wire)
    assert form_of(wire.requests[0]) == {
        "grant_type": "refresh_token",
        "refresh_token": "old-refresh-token",
    }
    assert wire.requests[0].headers["Authorization"] == BASIC
    assert wire.requests[0].url == f"{ISSUER}/token"
    assert (fresh.access_token, fresh.refresh_token) == ("the-access-token", "the-refresh-token")
    assert (fresh.expires_at, fresh.scope) == (NOW + 3600, "openid")
    kept = refresh(Wire(tokens={"refresh_token": ..., "id_token": ..., "scope": "less"}))
    assert (kept.refresh_token, kept.id_token, kept.scope) == ("old-refresh-token", None, "less")


def test_refresh_refused() -> None:
    """invalid_grant: the grant is gone for good (RFC 6749, section 5.2)."""
    refresh(Wire())
    with refusal(TokenRefused, "token_refused") as caught:
        refresh(Wire(token_answer=as_json({"error": "invalid_grant"}, status=400)))
    assert isinstance(caught.value, TokenRefused)
    assert caught.value.error == "invalid_grant"


def refreshed(
    wire: Wire, *, first: dict[str, Any] | None = None, previous: str | None = None
) -> Identity:
    claims = {
        "iss": ISSUER,
        "sub": "ann",
        "aud": "app",
        "nonce": "n",
        "name": "Ann",
        **(first or {}),
    }
    identity = Identity(iss=ISSUER, sub="ann", claims=claims)
    fresh = refresh(wire)
    return drive(
        make().identify_refreshed(fresh, identity, previous_id_token=previous, clock=clock), wire
    ).result


def test_refreshed_claims_that_are_gone() -> None:
    """What the previous id token said and the new one does not is over, a role perhaps; what
    userinfo said stays, and so does how the user signed in, and the nonce (Core, section 12.2).
    """
    role = {"roles": ["admin"]}
    login = {"nonce": "n", "auth_time": NOW, "acr": "gold", "amr": ["pwd"]}
    previous = build_jwt({"sub": "ann", **login, **role}, generate_key("ES256", kid="k1"))
    known = {**login, **role}
    assert refreshed(Wire(claims=role), first=known, previous=previous).claims["roles"] == ["admin"]
    assert refreshed(Wire(), first=known).claims["roles"] == ["admin"]
    claims = refreshed(Wire(), first=known, previous=previous).claims
    assert "roles" not in claims
    assert {name: claims[name] for name in login} == login
    assert claims["name"] == "Ann"


def test_refreshed_identity() -> None:
    """A refreshed id token has the same iss, sub, aud, azp and auth_time, a nonce absent or equal
    (Core, section 12.2); its claims replace the old ones, userinfo's and the nonce stay.
    """
    identity = refreshed(Wire(claims={"email": "new@x.example"}))
    assert identity.claims["email"] == "new@x.example"
    assert (identity.claims["name"], identity.claims["nonce"]) == ("Ann", "n")
    assert refreshed(Wire(nonce="n")).claims["nonce"] == "n"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        pytest.param({"claims": {"sub": "bob"}}, "sub_changed", id="sub"),
        pytest.param({"claims": {"iss": "https://evil.example"}}, "iss_mismatch", id="iss"),
        pytest.param({"claims": {"aud": "other"}}, "aud_missing_us", id="aud"),
        pytest.param({"claims": {"azp": "app"}}, "azp_changed", id="azp"),
        pytest.param({"nonce": "other"}, "nonce_changed", id="nonce"),
        pytest.param({"claims": {"exp": NOW - 61}}, "token_expired", id="exp"),
        pytest.param({"claims": {"at_hash": "x"}}, "at_hash_mismatch", id="at_hash"),
        pytest.param({"key": generate_key("ES256", kid="k1")}, "signature_invalid", id="signature"),
        pytest.param({"key": HS256Key(SECRET)}, "alg_not_allowed", id="hmac"),
    ],
)
def test_refreshed_identity_refused(changes: dict[str, Any], code: str) -> None:
    """An id token of a refresh that speaks of another login is refused (Core, section 12.2)."""
    assert refreshed(Wire()).sub == "ann"
    with refusal(ProtocolViolation, code):
        refreshed(Wire(**changes))


def test_refresh_without_id_token() -> None:
    """A refresh need not bring an id token (Core, section 12.2): the identity stays as it is."""
    identity = Identity(iss=ISSUER, sub="ann", claims={"a": 1})
    driven = drive(
        make().identify_refreshed(Tokens(access_token="x"), identity, clock=clock), Wire()
    )
    assert driven.result is identity
    assert driven.asks == []


def test_end_session_url() -> None:
    """RP-initiated logout with the hint, the client_id, and the registered address to return to
    with a state (RP-Initiated Logout 1.0, section 2).
    """
    provider = make(post_logout_redirect_uri="https://app.example/bye")
    url = drive(provider.end_session_url(id_token="a.b.c", state="s"), Wire()).result
    assert url is not None
    assert url.startswith(f"{ISSUER}/end?")
    assert parse_qs(urlsplit(url).query) == {
        "id_token_hint": ["a.b.c"],
        "client_id": ["app"],
        "post_logout_redirect_uri": ["https://app.example/bye"],
        "state": ["s"],
    }
    bare = drive(make().end_session_url(id_token=None, state="s"), Wire()).result
    assert bare == f"{ISSUER}/end?client_id=app"
    wire = Wire()
    wire.metadata = dataclasses.replace(wire.metadata, end_session_endpoint=None)
    assert drive(provider.end_session_url(id_token="a.b.c", state="s"), wire).result is None


def logout_token(*, key: Any = SIGNING, typ: str | None = "logout+jwt", **changes: Any) -> str:
    claims = {
        "iss": ISSUER,
        "aud": "app",
        "sub": "ann",
        "sid": "s1",
        "iat": NOW,
        "exp": NOW + 120,
        "jti": "j1",
        "events": {LOGOUT_EVENT: {}},
        **changes,
    }
    return build_jwt({n: v for n, v in claims.items() if v is not ...}, key, typ=typ)


def test_check_logout() -> None:
    """A logout token is judged like an id token, with its own rules (Back-Channel Logout 2.6)."""
    notice = drive(make().check_logout(logout_token(), clock=clock), Wire()).result
    assert (notice.iss, notice.sub, notice.sid, notice.jti) == (ISSUER, "ann", "s1", "j1")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        pytest.param({"iss": "https://evil.example"}, "iss_mismatch", id="iss"),
        pytest.param({"aud": "other"}, "aud_missing_us", id="aud"),
        pytest.param({"exp": NOW - 60}, "token_expired", id="exp"),
        pytest.param({"exp": ...}, "claim_missing", id="exp_missing"),
        pytest.param({"nonce": "n"}, "nonce_prohibited", id="nonce"),
        pytest.param({"events": ...}, "claim_missing", id="events"),
        pytest.param({"typ": "at+jwt"}, "typ_wrong", id="typ"),
        pytest.param({"key": generate_key("ES256", kid="k1")}, "signature_invalid", id="signature"),
        pytest.param({"key": HS256Key(SECRET)}, "alg_not_allowed", id="hmac"),
    ],
)
def test_check_logout_refused(changes: dict[str, Any], code: str) -> None:
    """A logout token that fails any check is refused (Back-Channel Logout 1.0, section 2.6)."""
    drive(make().check_logout(logout_token(), clock=clock), Wire())
    with refusal(ProtocolViolation, code):
        drive(make().check_logout(logout_token(**changes), clock=clock), Wire())


def test_logout_switches() -> None:
    """A provider's switches: no exp, a sid that means all, its clock's leeway."""
    lax = make(logout_token_exp_required=False)
    notice = drive(lax.check_logout(logout_token(exp=...), clock=clock), Wire()).result
    assert notice.forget_at == NOW + 120 + 60
    everywhere = make(logout_sid_means_all=True)
    notice = drive(everywhere.check_logout(logout_token(), clock=clock), Wire()).result
    assert (notice.sub, notice.sid, notice.all_of_sub) == ("ann", "s1", True)
    notice = drive(everywhere.check_logout(logout_token(sub=...), clock=clock), Wire()).result
    assert (notice.sub, notice.sid, notice.all_of_sub) == (None, "s1", False)
    with refusal(ProtocolViolation, "token_expired"):
        drive(make(leeway=0).check_logout(logout_token(exp=NOW), clock=clock), Wire())


def test_an_id_token_is_no_logout_token() -> None:
    """Each kind of JWT has its own mutually exclusive rules (RFC 8725, sections 3.11-3.12)."""
    with refusal(ProtocolViolation, "claim_missing"):
        drive(make().check_logout(Wire(nonce="n").id_token(), clock=clock), Wire())


QUOTING = "the-code the-access-token the-refresh-token old-refresh-token " + SECRET


@pytest.mark.parametrize(
    "changes",
    [
        {"token_answer": as_json({"access_token": QUOTING, "token_type": "mac"})},
        {"token_answer": as_json({"access_token": 7, "token_type": "Bearer", "x": QUOTING})},
        {"token_answer": Response(status=500, body=QUOTING.encode())},
        {"token_answer": Response(status=200, body=QUOTING.encode())},
        {
            "token_answer": as_json(
                {"access_token": QUOTING, "token_type": "Bearer", "expires_in": -1}
            )
        },
        {"key": generate_key("ES256", kid="k1")},
        {"claims": {"nonce": "x"}},
        {"claims": {"at_hash": "x"}},
        {"userinfo": Response(status=200, body=QUOTING.encode())},
        {"userinfo": as_json({"sub": "bob", "x": QUOTING})},
        {"tokens": {"id_token": "a.b." + QUOTING}},
    ],
    ids=[
        "token_type",
        "access_token_type",
        "status_500",
        "no_json",
        "expires_in",
        "signature",
        "nonce",
        "at_hash",
        "userinfo_no_json",
        "userinfo_of_another",
        "rubbish_id_token",
    ],
)
def test_no_error_shows_a_secret(changes: dict[str, Any]) -> None:
    """A secret reaches no exception, nor a traceback with all that it chains (DESIGN, law 4)."""
    sign_in(Wire())
    provider, wire = make(), Wire(**changes)
    grant = granted(provider, wire)
    tokens = Tokens(access_token="the-access-token", refresh_token="old-refresh-token")
    hidden = [*QUOTING.split(), grant.code_verifier, grant.nonce, wire.id_token()]
    for flow in (provider.redeem(grant, clock=clock), provider.refresh(tokens, clock=clock)):
        try:
            drive(flow, wire)  # type: ignore[arg-type]
        except ClefStormError as error:
            told = "".join(traceback.format_exception(error)) + repr(error) + str(error.evidence)
            assert not [secret for secret in hidden if secret in told]


def test_refusal_that_quotes_the_request() -> None:
    """A provider that quotes our secrets in its error brings them into no exception."""
    provider = make()
    grant = granted(provider, Wire())
    tokens = Tokens(access_token="x", refresh_token="old-refresh-token")
    for flow, hidden in (
        (provider.redeem(grant, clock=clock), ["the-code", grant.code_verifier, SECRET]),
        (provider.refresh(tokens, clock=clock), ["old-refresh-token", SECRET]),
    ):
        answer = {"error": "invalid_grant", "error_description": f"no: {' '.join(hidden)}!"}
        with refusal(TokenRefused, "token_refused") as caught:
            drive(flow, Wire(token_answer=as_json(answer, status=400)))  # type: ignore[arg-type]
        assert caught.value.evidence["error_description"] == f"no: {' '.join('…' * len(hidden))}!"
