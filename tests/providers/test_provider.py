"""What every provider does, and what a registration has to be (shown with an OpenID provider)."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from protocol.expecting import refusal
from providers.driving import ISSUER, NOW, REDIRECT, Wire, clock, drive

from clefstorm.errors import ConfigurationError
from clefstorm.keys import HS256Key
from clefstorm.protocol.state import check_browser, check_state
from clefstorm.protocol.token_endpoint import Tokens
from clefstorm.providers import OAuth2Provider, OpenIDProvider, Provider
from clefstorm.providers.provider import LOGIN_LIFETIME, BegunLogin

KEY = HS256Key(b"k" * 32)
OPTIONS: dict[str, Any] = {
    "issuer": ISSUER,
    "client_id": "app",
    "client_secret": "a-secret-of-thirty-two-characters",
    "redirect_uri": REDIRECT,
}


def make(**changes: Any) -> OpenIDProvider:
    return OpenIDProvider(
        **{name: value for name, value in {**OPTIONS, **changes}.items() if value is not ...}
    )


def begin(provider: Provider, **changes: Any) -> BegunLogin:
    return drive(provider.begin_login(KEY, clock=clock, **changes), Wire()).result


def test_begin() -> None:
    """A login begins with a request of the code flow, a state of this provider and browser, and
    what has to be remembered (DESIGN, section 8).
    """
    begun = begin(make(), prompt="login", login_hint="ann", ui_locales="de", max_age=5)
    sent = {name: value[0] for name, value in parse_qs(urlsplit(begun.url).query).items()}
    assert begun.url.startswith(f"{ISSUER}/authorize?")
    assert sent["client_id"] == "app"
    assert sent["state"] == begun.state
    assert sent["nonce"] == begun.pending.nonce
    assert sent["scope"] == "openid profile email"
    assert (sent["prompt"], sent["login_hint"], sent["ui_locales"]) == ("login", "ann", "de")
    assert (sent["max_age"], begun.pending.max_age, begun.pending.prompt) == ("5", 5, "login")
    assert sent["redirect_uri"] == begun.pending.redirect_uri == REDIRECT
    state = check_state(begun.state, [KEY], authorization_server=ISSUER, now=NOW)
    check_browser(state, begun.pending.browser_secret)
    assert (state.iat, state.exp) == (NOW, NOW + LOGIN_LIFETIME)


def test_begin_shows_no_secret() -> None:
    """A secret reaches no repr (DESIGN, law 4)."""
    provider = make()
    begun = begin(provider)
    for secret in (
        begun.state,
        begun.pending.nonce,
        begun.pending.code_verifier,
        OPTIONS["client_secret"],
    ):
        assert secret not in repr(begun) + repr(provider) + str(begun) + str(provider)


def test_extra_parameters() -> None:
    """Extra parameters of the alias are sent with each login, those of one login go before."""
    provider = make(authorization_parameters={"acr_values": "a", "x": "1"})
    sent = parse_qs(urlsplit(begin(provider, extra={"x": "2"}).url).query)
    assert (sent["acr_values"], sent["x"]) == (["a"], ["2"])
    with refusal(ConfigurationError, "extra_parameter_reserved"):
        begin(provider, extra={"state": "x"})


@pytest.mark.parametrize(
    ("changes", "name", "value"),
    [
        pytest.param({"scope": "openid  email"}, "scope", ("openid", "email"), id="scope_as_text"),
        pytest.param({"scope": ["openid"]}, "scope", ("openid",), id="scope_as_list"),
        pytest.param({"client_secret": None}, "client_secret", None, id="public_client"),
        pytest.param({"client_id": "urn:é b"}, "client_id", "urn:é b", id="odd_client_id"),
        pytest.param({"response_mode": "query"}, "response_mode", "query", id="query"),
        pytest.param({"response_mode": "form_post"}, "response_mode", "form_post", id="form_post"),
        pytest.param(
            {"redirect_uri": "http://localhost:8000/cb"},
            "redirect_uri",
            "http://localhost:8000/cb",
            id="loopback",
        ),
        pytest.param({"leeway": 0}, "leeway", 0, id="no_leeway"),
        pytest.param({"leeway": 600}, "leeway", 600, id="largest_leeway"),
        pytest.param(
            {"post_logout_redirect_uri": "https://app.example/bye"},
            "post_logout_redirect_uri",
            "https://app.example/bye",
            id="post_logout_redirect_uri",
        ),
        *(
            pytest.param(
                {"id_token_signed_response_alg": alg}, "id_token_signed_response_alg", alg, id=alg
            )
            for alg in ("RS256", "PS512", "ES384", "EdDSA", "Ed25519", "HS256")
        ),
    ],
)
def test_configuration(changes: dict[str, Any], name: str, value: object) -> None:
    """What applications really configure passes."""
    assert getattr(make(**changes), name) == value


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        *(
            pytest.param({name: value}, f"{name}_invalid", id=f"{name}_{label}")
            for name in ("client_id", "client_secret")
            for label, value in [
                ("empty", ""),
                ("newline", "secret\n"),
                ("space", " secret"),
                ("bytes", b"secret"),
                ("number", 7),
            ]
        ),
        pytest.param({"client_id": None}, "client_id_invalid", id="client_id_none"),
        *(
            pytest.param(
                {"redirect_uri": value}, "redirect_uri_invalid", id=f"redirect_uri_{label}"
            )
            for label, value in [
                ("none", None),
                ("empty", ""),
                ("path", "/auth/callback"),
                ("http", "http://app.example/cb"),
                ("fragment", REDIRECT + "#x"),
                ("user_info", "https://u:pw@app.example/cb"),
                ("upper_case", "HTTPS://app.example/cb"),
                ("bytes", REDIRECT.encode()),
            ]
        ),
        pytest.param({"response_mode": "fragment"}, "response_mode_unknown", id="response_mode"),
        pytest.param(
            {"response_mode": "form_post", "redirect_uri": "http://localhost/cb"},
            "form_post_needs_https",
            id="form_post_on_http",
        ),
        pytest.param({"token_endpoint_auth_method": "x"}, "auth_method_unknown", id="auth_method"),
        pytest.param(
            {"token_endpoint_auth_method": "client_secret_post", "client_secret": None},
            "client_secret_missing",
            id="auth_method_without_secret",
        ),
        *(
            pytest.param({"scope": value}, "scope_invalid", id=f"scope_{label}")
            for label, value in [
                ("number", 7),
                ("none", None),
                ("none_inside", ["openid", None]),
                ("space_inside", ["openid email"]),
                ("empty_inside", ["openid", ""]),
                ("quote", 'openid "x"'),
                ("newline", ["openid", "a\n"]),
                ("beyond_ascii", "openid é"),
            ]
        ),
        pytest.param(
            {"scope": "profile openid2"}, "scope_without_openid", id="scope_without_openid"
        ),
        pytest.param({"scope": ()}, "scope_without_openid", id="scope_empty"),
        pytest.param(
            {"authorization_parameters": {"max_age": "x"}},
            "extra_parameter_reserved",
            id="extra_reserved",
        ),
        *(
            pytest.param(
                {"authorization_parameters": value},
                "authorization_parameters_invalid",
                id=f"extra_{type(value).__name__}",
            )
            for value in ("a=b", ["a"], None)
        ),
        pytest.param(
            {"authorization_parameters": {"x": 1}},
            "authorization_parameters_invalid",
            id="extra_number",
        ),
        pytest.param({"issuer": None}, "issuer_invalid", id="issuer_none"),
        pytest.param({"issuer": "http://id.example"}, "issuer_invalid", id="issuer_http"),
        pytest.param({"issuer": ISSUER + "?a"}, "issuer_invalid", id="issuer_query"),
        *(
            pytest.param(
                {"post_logout_redirect_uri": value},
                "post_logout_redirect_uri_invalid",
                id=f"post_logout_redirect_uri_{label}",
            )
            for label, value in [("path", "/bye"), ("http", "http://app.example/"), ("number", 1)]
        ),
        pytest.param(
            {"trusted_audiences": None}, "trusted_audiences_invalid", id="trusted_audiences_none"
        ),
        pytest.param(
            {"trusted_audiences": "other-app"},
            "trusted_audiences_invalid",
            id="trusted_audiences_text",
        ),
        *(
            pytest.param({"leeway": value}, "leeway_invalid", id=f"leeway_{label}")
            for label, value in [
                ("negative", -1),
                ("huge", 601),
                ("nan", float("nan")),
                ("infinite", float("inf")),
                ("text", "60"),
            ]
        ),
        *(
            pytest.param({name: "false"}, f"{name}_invalid", id=f"{name}_text")
            for name in (
                "userinfo",
                "logout_token_exp_required",
                "logout_sid_means_all",
                "frontchannel_logout",
            )
        ),
        pytest.param({"id_token_signed_response_alg": "none"}, "alg_unknown", id="alg_none"),
        pytest.param({"id_token_signed_response_alg": "RS1"}, "alg_unknown", id="alg_unknown"),
        pytest.param(
            {"id_token_signed_response_alg": "HS256", "client_secret": None},
            "client_secret_missing",
            id="hmac_without_secret",
        ),
    ],
)
def test_configuration_refused(changes: dict[str, Any], code: str) -> None:
    """A wrong option is found when it is configured, not at the first login, and its error
    shows no secret.
    """
    assert make().client_id == "app"
    with refusal(ConfigurationError, code) as caught:
        make(**changes)
    assert "secret\n" not in str(caught.value)
    assert "pw" not in str(caught.value)


def test_short_secret_for_hmac() -> None:
    """A client_secret that is too short for its HMAC is told of when it is configured (RFC 7518,
    section 3.2), and a login tells nothing new.
    """
    make(id_token_signed_response_alg="HS256")
    with pytest.warns(UserWarning, match="32"):
        provider = make(id_token_signed_response_alg="HS256", client_secret="short")
    begin(provider)


def test_no_logout_without_openid() -> None:
    """Plain OAuth 2 has neither RP-initiated nor back-channel logout, nor id tokens to refresh."""
    provider = OAuth2Provider(
        client_id="app",
        redirect_uri=REDIRECT,
        authorization_endpoint=f"{ISSUER}/authorize",
        token_endpoint=f"{ISSUER}/token",
        userinfo_endpoint=f"{ISSUER}/userinfo",
    )
    assert drive(provider.end_session_url(id_token=None, state="s"), Wire()).result is None
    with refusal(ConfigurationError, "back_channel_unsupported"):
        provider.check_logout("a.b.c", clock=clock)


def test_refresh_without_refresh_token() -> None:
    """Without a refresh token nothing can be refreshed, and the error says what to ask for."""
    wire = Wire()
    with refusal(ConfigurationError, "refresh_token_missing") as caught:
        drive(make().refresh(Tokens(access_token="x"), clock=clock), wire)
    assert wire.asks == []
    assert "offline_access" in str(caught.value)
