"""The calls for which a client proves itself, driven by hand: push, exchange, refresh, revoke."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from protocol.expecting import refusal
from providers.driving import (
    ISSUER,
    METADATA,
    REDIRECT,
    Wire,
    as_json,
    clock,
    drive,
    form_of,
)

from clefstorm.errors import (
    ConfigurationError,
    ConnectFailed,
    DeadlineExceeded,
    ProtocolViolation,
    ProviderError,
)
from clefstorm.jws import read_base64url
from clefstorm.keys import HS256Key, generate_key
from clefstorm.protocol.authorization import CodeGrant
from clefstorm.protocol.exchange import Answer, Ask, Request, Response
from clefstorm.protocol.token_endpoint import Tokens
from clefstorm.providers import OAuth2Provider, OpenIDProvider, Provider

SECRET = "a-secret-of-thirty-two-characters"
STATE_KEY = HS256Key(b"k" * 32)
CLIENT_KEY = generate_key("ES256", kid="ours")
PAR = f"{ISSUER}/par"
REVOKE = f"{ISSUER}/revoke"
OFFERING = replace(METADATA, pushed_authorization_request_endpoint=PAR, revocation_endpoint=REVOKE)
URI = "urn:ietf:params:oauth:request_uri:1"


PUSHED = as_json({"request_uri": URI, "expires_in": 60}, status=201)
REVOKED = Response(status=200)


@dataclass
class SafeWire(Wire):
    """A provider that takes pushed requests and revokes tokens."""

    metadata: Any = OFFERING
    pushed: Answer | Exception = PUSHED
    revoked: Answer | Exception = REVOKED

    def __call__(self, ask: Ask) -> Answer | Exception:
        if isinstance(ask, Request) and ask.url in (PAR, REVOKE):
            self.asks.append(ask)
            return self.pushed if ask.url == PAR else self.revoked
        return super().__call__(ask)


def make(**changes: Any) -> OpenIDProvider:
    options = {
        "issuer": ISSUER,
        "client_id": "app",
        "client_secret": SECRET,
        "redirect_uri": REDIRECT,
        **changes,
    }
    return OpenIDProvider(**{name: value for name, value in options.items() if value is not ...})


def begin(provider: Provider, wire: SafeWire, **parameters: Any) -> Any:
    return drive(provider.begin_login(STATE_KEY, clock=clock, **parameters), wire).result


def granted(provider: Provider, wire: SafeWire) -> CodeGrant:
    begun = begin(provider, wire)
    wire.nonce = begun.pending.nonce
    answers = [("code", "the-code"), ("state", begun.state)]
    return drive(provider.check_callback(answers, begun.pending), wire).result


def claims_of(request: Request) -> dict[str, Any]:
    claims: dict[str, Any] = json.loads(
        read_base64url(form_of(request)["client_assertion"].split(".")[1])
    )
    return claims


# -- pushed requests ---------------------------------------------------------------------------


def test_pushed() -> None:
    """All that a login asks for goes to the provider; the browser gets a name for it."""
    wire = SafeWire()
    begun = begin(make(), wire, prompt="login", login_hint="ann", max_age=5)
    (pushed,) = wire.requests
    sent = form_of(pushed)
    assert (pushed.url, pushed.method) == (PAR, "POST")
    assert pushed.headers["Authorization"].startswith("Basic ")
    assert sent["state"] == begun.state
    assert sent["nonce"] == begun.pending.nonce
    assert sent["redirect_uri"] == REDIRECT
    assert sent["code_challenge_method"] == "S256"
    assert (sent["prompt"], sent["login_hint"], sent["max_age"]) == ("login", "ann", "5")
    query = parse_qs(urlsplit(begun.url).query)
    assert query == {"client_id": ["app"], "request_uri": [URI]}


def test_pushed_login_goes_on_as_any() -> None:
    """What was to be remembered is remembered, and the code is exchanged with it."""
    wire = SafeWire()
    provider = make()
    signed_in = drive(provider.redeem(granted(provider, wire), clock=clock), wire).result
    assert signed_in.identity.sub == "ann"


def test_pushed_by_a_public_client() -> None:
    """A client without a secret pushes too, and says who it is."""
    wire = SafeWire()
    begin(make(client_secret=...), wire)
    assert "Authorization" not in wire.requests[0].headers
    assert form_of(wire.requests[0])["client_id"] == "app"


def test_not_pushed() -> None:
    """Switched off, the browser carries the request."""
    wire = SafeWire()
    begun = begin(make(pushed_authorization_requests=False), wire)
    assert wire.requests == []
    assert "code_challenge" in parse_qs(urlsplit(begun.url).query)


@pytest.mark.parametrize(
    ("answer", "kind", "code"),
    [
        pytest.param(ConnectFailed("no"), ConnectFailed, "connect_failed", id="unreachable"),
        pytest.param(DeadlineExceeded("no"), DeadlineExceeded, "deadline_exceeded", id="slow"),
        pytest.param(
            Response(status=503), ProtocolViolation, "pushed_answer_status", id="unavailable"
        ),
        pytest.param(
            as_json({"error": "invalid_client"}, status=401),
            ProviderError,
            "pushed_request_refused",
            id="refused",
        ),
        pytest.param(
            as_json({"request_uri": URI}, status=201),
            ProtocolViolation,
            "pushed_answer_member",
            id="without_expires_in",
        ),
    ],
)
def test_a_push_that_fails_is_no_login(answer: Any, kind: Any, code: str) -> None:
    """Nothing goes through the browser instead, also where a push is only offered: a downgrade
    would be for whoever can break the connection to choose.
    """
    assert begin(make(), SafeWire()).url
    with refusal(kind, code):
        begin(make(), SafeWire(pushed=answer))


def test_a_refusal_that_quotes_us() -> None:
    """A provider that says our secret or our assertion back does not bring it into an error."""

    def quoting(ask: Ask) -> Answer | Exception:
        if isinstance(ask, Request):
            quoted = f"{SECRET} {form_of(ask).get('client_assertion')}"
            return as_json({"error": "invalid_client", "error_description": quoted}, status=401)
        return OFFERING

    for provider in (make(), make(client_key=CLIENT_KEY)):
        with refusal(ProviderError, "pushed_request_refused") as caught:
            drive(provider.begin_login(STATE_KEY, clock=clock), quoting)
        assert SECRET not in str(caught.value)
        assert "eyJ" not in str(caught.value)


# -- assertions --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"client_key": CLIENT_KEY, "client_secret": ...}, id="private_key_jwt"),
        pytest.param({"token_endpoint_auth_method": "client_secret_jwt"}, id="client_secret_jwt"),
    ],
)
def test_each_call_has_its_own_assertion(options: dict[str, Any]) -> None:
    """Push, exchange, refresh and revocation: each for the issuer, none with another's jti, and
    the secret is in none of them (RFC 7523, sections 2.2 and 3).
    """
    wire = SafeWire()
    provider = make(**options)
    signed_in = drive(provider.redeem(granted(provider, wire), clock=clock), wire).result
    drive(provider.refresh(signed_in.tokens, clock=clock), wire)
    drive(provider.revoke("token", token_type_hint="refresh_token", clock=clock), wire)
    calls = [request for request in wire.requests if request.method == "POST"]
    assert [call.url for call in calls] == [
        PAR,
        METADATA.token_endpoint,
        METADATA.token_endpoint,
        REVOKE,
    ]
    assert len({claims_of(call)["jti"] for call in calls}) == 4
    assert {claims_of(call)["aud"] for call in calls} == {ISSUER}
    for call in calls:
        assert "Authorization" not in call.headers
        assert SECRET not in (call.body or b"").decode()


def test_assertion_for_the_token_endpoint_stays_there() -> None:
    """With the old audience no assertion goes to an endpoint of another origin."""
    provider = make(client_key=CLIENT_KEY, client_assertion_audience="token_endpoint")
    assert begin(provider, SafeWire()).url
    elsewhere = replace(OFFERING, pushed_authorization_request_endpoint="https://evil.example/par")
    wire = SafeWire(metadata=elsewhere)
    with refusal(ConfigurationError, "client_assertion_origin"):
        begin(provider, wire)
    assert wire.requests == []


@pytest.mark.parametrize(
    ("metadata", "options", "code"),
    [
        pytest.param(
            {"token_endpoint_auth_methods_supported": ("client_secret_basic",)},
            {"client_key": CLIENT_KEY},
            "auth_method_unsupported",
            id="method_not_announced",
        ),
        pytest.param(
            {"token_endpoint_auth_methods_supported": ("client_secret_basic",)},
            {"client_key": CLIENT_KEY, "pushed_authorization_requests": False},
            "auth_method_unsupported",
            id="method_not_announced_unpushed",
        ),
        pytest.param(
            {"token_endpoint_auth_signing_alg_values_supported": ("RS256",)},
            {"client_key": CLIENT_KEY},
            "client_alg_unsupported",
            id="alg_not_announced",
        ),
        pytest.param(
            {"require_pushed_authorization_requests": True},
            {"pushed_authorization_requests": False},
            "pushed_requests_required",
            id="push_required",
        ),
        pytest.param(
            {"pushed_authorization_request_endpoint": None},
            {"pushed_authorization_requests": True},
            "pushed_requests_unsupported",
            id="push_not_offered",
        ),
    ],
)
def test_told_before_anybody_leaves(
    metadata: dict[str, Any], options: dict[str, Any], code: str
) -> None:
    """What can't work with this provider is an error when a login begins, not when it ends."""
    assert begin(make(**options), SafeWire()).url
    wire = SafeWire(metadata=replace(OFFERING, **metadata))
    with refusal(ConfigurationError, code):
        begin(make(**options), wire)
    assert wire.requests == []


# -- revocation --------------------------------------------------------------------------------


def test_revoke() -> None:
    """One POST with the token, authenticated; a 200 is all there is to know (RFC 7009)."""
    wire = SafeWire()
    drive(make().revoke("tok", token_type_hint=None, clock=clock), wire)
    (request,) = wire.requests
    assert (request.url, form_of(request)) == (REVOKE, {"token": "tok"})
    assert request.headers["Authorization"].startswith("Basic ")


@pytest.mark.parametrize(
    ("changes", "kind", "code"),
    [
        pytest.param(
            {"metadata": METADATA}, ConfigurationError, "revocation_unsupported", id="no_endpoint"
        ),
        pytest.param(
            {"revoked": Response(status=503)},
            ProtocolViolation,
            "revocation_unavailable",
            id="unavailable",
        ),
        pytest.param(
            {"revoked": as_json({"error": "invalid_client"}, status=401)},
            ProviderError,
            "revocation_refused",
            id="refused",
        ),
    ],
)
def test_revoke_refused(changes: dict[str, Any], kind: Any, code: str) -> None:
    """What did not happen is said."""
    drive(make().revoke("tok", token_type_hint=None, clock=clock), SafeWire())
    with refusal(kind, code):
        drive(make().revoke("tok", token_type_hint=None, clock=clock), SafeWire(**changes))


# -- a server without discovery ----------------------------------------------------------------

OAUTH2: dict[str, Any] = {
    "client_id": "app",
    "redirect_uri": REDIRECT,
    "authorization_endpoint": f"{ISSUER}/authorize",
    "token_endpoint": f"{ISSUER}/token",
    "userinfo_endpoint": f"{ISSUER}/userinfo",
}


def test_oauth2_server() -> None:
    """Configured endpoints serve as announced ones do."""
    provider = OAuth2Provider(
        **OAUTH2,
        issuer=ISSUER,
        client_key=CLIENT_KEY,
        revocation_endpoint=REVOKE,
        pushed_authorization_request_endpoint=PAR,
    )
    wire = SafeWire()
    begin(provider, wire)
    drive(provider.revoke("tok", token_type_hint=None, clock=clock), wire)
    assert [request.url for request in wire.requests] == [PAR, REVOKE]
    assert {claims_of(request)["aud"] for request in wire.requests} == {ISSUER}


@pytest.mark.parametrize(
    ("options", "code"),
    [
        pytest.param({"client_key": CLIENT_KEY}, "issuer_missing", id="assertion_for_nobody"),
        pytest.param(
            {"pushed_authorization_requests": True}, "pushed_requests_unsupported", id="push"
        ),
        pytest.param(
            {"revocation_endpoint": "http://id.example/r"}, "endpoint_invalid", id="http_revoke"
        ),
        pytest.param(
            {"pushed_authorization_request_endpoint": ""}, "endpoint_invalid", id="empty_par"
        ),
    ],
)
def test_oauth2_server_refused(options: dict[str, Any], code: str) -> None:
    """All is known at the start here, so it is told then."""
    assert OAuth2Provider(**OAUTH2, client_key=CLIENT_KEY, issuer=ISSUER)
    with refusal(ConfigurationError, code):
        OAuth2Provider(**{**OAUTH2, **options})


@pytest.mark.parametrize(
    ("options", "code"),
    [
        pytest.param(
            {"token_endpoint_auth_method": "private_key_jwt"}, "client_key_missing", id="keyless"
        ),
        pytest.param(
            {"token_endpoint_auth_method": "client_secret_jwt", "client_secret": ...},
            "client_secret_missing",
            id="secretless",
        ),
        pytest.param({"client_key": SECRET}, "client_key_invalid", id="key_is_text"),
        pytest.param(
            {"client_key": CLIENT_KEY, "token_endpoint_auth_signing_alg": "RS256"},
            "client_alg_invalid",
            id="alg",
        ),
        pytest.param(
            {"client_assertion_audience": "both"},
            "client_assertion_audience_invalid",
            id="audience",
        ),
        pytest.param(
            {"pushed_authorization_requests": "yes"},
            "pushed_authorization_requests_invalid",
            id="pushed",
        ),
        pytest.param(
            {"pushed_authorization_requests": 0},
            "pushed_authorization_requests_invalid",
            id="pushed_zero",
        ),
    ],
)
def test_configuration_refused(options: dict[str, Any], code: str) -> None:
    """A registration that can't work is an error when it is configured, and shows no secret."""
    assert make(client_key=CLIENT_KEY)
    with refusal(ConfigurationError, code) as caught:
        make(**options)
    assert SECRET not in str(caught.value)


def test_refresh_keeps_its_own_rule() -> None:
    """Without a refresh token there is nothing to prove."""
    wire = SafeWire()
    with refusal(ConfigurationError, "refresh_token_missing"):
        drive(make().refresh(Tokens(access_token="a"), clock=clock), wire)
    assert wire.asks == []
