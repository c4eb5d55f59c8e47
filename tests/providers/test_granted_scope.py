"""The scope of a login's tokens is what was granted with them, for good."""

from __future__ import annotations

import json
from typing import Any

import pytest
from protocol.expecting import refusal
from providers.driving import clock, drive
from providers.test_unproved import STATES, eternaltwin, oauth2

from clefstorm.errors import TokenRefused
from clefstorm.protocol.exchange import Answer, Ask, Request, Response
from clefstorm.protocol.token_endpoint import Tokens
from clefstorm.providers import Provider

USER = {"user": {"id": "9f3", "display_name": {"current": {"value": "Ann"}}}}


def answered(status: int = 200, **answer: Any) -> Response:
    return Response(status=status, body=json.dumps(answer).encode())


def redeem(provider: Provider, token_answer: Response) -> Tokens:
    def server(ask: Ask) -> Answer | Exception:
        assert isinstance(ask, Request)
        return answered(sub="ann", **USER) if ask.method == "GET" else token_answer

    begun = drive(provider.begin_login(STATES, clock=clock), server).result
    checked = provider.check_callback([("code", "c0de")], begun.pending)
    grant = drive(checked, server).result
    return drive(provider.redeem(grant, clock=clock), server).result.tokens


@pytest.mark.parametrize(
    ("provider", "asked"),
    [
        pytest.param(oauth2(scope="read write"), "read write", id="oauth2"),
        pytest.param(oauth2(), "", id="oauth2_nothing"),
        pytest.param(eternaltwin(), "base", id="eternaltwin"),
    ],
)
def test_the_scope_that_was_granted(provider: Provider, asked: str) -> None:
    """It is what the server says, and when it says nothing all that was asked (RFC 6749, 5.1)."""
    tokens = {"access_token": "at", "token_type": "Bearer"}
    assert redeem(provider, answered(**tokens)).scope == asked
    assert redeem(provider, answered(**tokens, scope=None)).scope == asked
    assert redeem(provider, answered(**tokens, scope="read")).scope == "read"
    assert redeem(provider, answered(**tokens, scope="")).scope == ""


@pytest.mark.parametrize("provider", [oauth2(), eternaltwin()], ids=["oauth2", "eternaltwin"])
def test_a_server_that_quotes_the_header(provider: Provider) -> None:
    """A refusal that quotes the Authorization header brings no secret into an exception."""
    heard: list[str] = []

    def server(ask: Ask) -> Answer | Exception:
        assert isinstance(ask, Request)
        heard.append(ask.headers["Authorization"].removeprefix("Basic "))
        said = f"what is {ask.headers['Authorization']}?"
        return answered(401, error="invalid_client", error_description=said)

    with refusal(TokenRefused, "token_refused") as caught:
        fresh = provider.refresh(Tokens(access_token="at", refresh_token="rt"), clock=clock)
        drive(fresh, server)
    assert heard[0]
    assert caught.value.error_description == "what is Basic …?"
