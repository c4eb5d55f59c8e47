"""Kinds of token that a provider calls active though they are no access tokens."""

from __future__ import annotations

import json
from typing import Any

import pytest
from protocol.expecting import refusal

from clefstorm.errors import ProtocolViolation
from clefstorm.protocol.access_token import AccessToken
from clefstorm.protocol.exchange import Response
from clefstorm.protocol.introspection import read_introspection


def read(**said: Any) -> AccessToken:
    answer = {"active": True, "aud": "api", "sub": "alice", "token_type": "Bearer", **said}
    return read_introspection(
        Response(status=200, body=json.dumps(answer).encode()),
        issuer="https://id.example.com",
        audience="api",
        aud_required=True,
        now=1_700_000_000.0,
    )


@pytest.mark.parametrize(
    ("code", "said"),
    [
        pytest.param("token_use_wrong", {"token_use": "refresh_token"}, id="use_refresh"),
        pytest.param("token_use_wrong", {"token_use": "id_token"}, id="use_id"),
        pytest.param("claim_type", {"token_use": 1}, id="use_number"),
        pytest.param("token_use_wrong", {"typ": "Refresh"}, id="typ_refresh"),
        pytest.param("token_use_wrong", {"typ": "Offline"}, id="typ_offline"),
        pytest.param("token_use_wrong", {"typ": "ID"}, id="typ_id"),
        pytest.param("claim_type", {"typ": ["Bearer"]}, id="typ_list"),
        pytest.param(
            "token_use_wrong", {"token_use": "access_token", "typ": "Refresh"}, id="contradiction"
        ),
    ],
)
def test_active_and_no_access_token(code: str, said: dict[str, Any]) -> None:
    """An active token is an access token unless its issuer says it is another kind."""
    for good in ({}, {"token_use": "access_token"}, {"typ": "Bearer"}, {"typ": "at+jwt"}):
        assert read(**good).sub == "alice"
    with refusal(ProtocolViolation, code):
        read(**said)
