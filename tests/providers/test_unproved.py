"""What a provider without id tokens can't prove, and what it does not have."""

from __future__ import annotations

from typing import Any

import pytest
from protocol.expecting import refusal
from providers.driving import clock, drive

from clefstorm.errors import ConfigurationError, RequestRefused
from clefstorm.keys import generate_key
from clefstorm.protocol.exchange import Ask, Response
from clefstorm.providers import EternaltwinProvider, OAuth2Provider, Provider

STATES = generate_key("ES256")
CLIENT = {
    "client_id": "app",
    "client_secret": "a secret of the client",
    "redirect_uri": "https://app.example/auth/callback",
}


def oauth2(**options: Any) -> OAuth2Provider:
    return OAuth2Provider(
        **{
            "authorization_endpoint": "https://oauth.example/authorize",
            "token_endpoint": "https://oauth.example/token",
            "userinfo_endpoint": "https://oauth.example/me",
            **CLIENT,
            **options,
        }
    )


def eternaltwin(**options: Any) -> EternaltwinProvider:
    return EternaltwinProvider(**{"url": "https://eternaltwin.example/", **CLIENT, **options})


def never(ask: Ask) -> Response:
    raise AssertionError(f"nothing is to be asked: {ask}")


@pytest.mark.parametrize("provider", [oauth2(), eternaltwin()], ids=["oauth2", "eternaltwin"])
@pytest.mark.parametrize(
    ("code", "wanted"),
    [
        pytest.param("max_age_unsupported", {"max_age": 300}, id="max_age"),
        pytest.param("max_age_unsupported", {"max_age": 0}, id="max_age_zero"),
        pytest.param("acr_unsupported", {"acr_values": "gold"}, id="acr"),
    ],
)
def test_how_and_when_a_user_signed_in(
    provider: Provider, code: str, wanted: dict[str, Any]
) -> None:
    """What would be sent and then never checked is refused before anybody leaves."""
    assert "state=" in drive(provider.begin_login(STATES, clock=clock), never).result.url
    with refusal(RequestRefused, code):
        drive(provider.begin_login(STATES, clock=clock, **wanted), never)


@pytest.mark.parametrize(
    "option",
    [
        {"client_key": STATES},
        {"token_endpoint_auth_method": "client_secret_post"},
        {"client_assertion_audience": "token_endpoint"},
        {"pushed_authorization_requests": True},
        {"response_mode": "form_post"},
    ],
    ids=lambda option: next(iter(option)),
)
def test_what_eternaltwin_does_not_have(option: dict[str, Any]) -> None:
    """An option that would be ignored is refused: its secret is sent, and nothing is pushed."""
    assert eternaltwin(pushed_authorization_requests=False)
    with refusal(ConfigurationError, "option_not_for_eternaltwin"):
        eternaltwin(**option)
