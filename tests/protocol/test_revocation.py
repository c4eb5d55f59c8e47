"""Revocation: what is sent, and which answers mean that the token is gone (RFC 7009)."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs

import pytest
from protocol.expecting import refusal

from clefstorm.errors import ConfigurationError, ProtocolViolation, ProviderError
from clefstorm.protocol.exchange import Response
from clefstorm.protocol.metadata import ProviderMetadata
from clefstorm.protocol.revocation import (
    build_revocation_request,
    check_revocation_response,
    revocation_endpoint_of,
)

REVOKE = "https://id.example/revoke"
METADATA = ProviderMetadata(
    issuer="https://id.example",
    authorization_endpoint="https://id.example/authorize",
    token_endpoint="https://id.example/token",
    revocation_endpoint=REVOKE,
)


def answer(status: int, value: Any = b"") -> Response:
    return Response(
        status=status, body=value if isinstance(value, bytes) else json.dumps(value).encode()
    )


def test_endpoint() -> None:
    """The metadata says where; without a word it can't be done."""
    assert revocation_endpoint_of(METADATA) == REVOKE
    with refusal(ConfigurationError, "revocation_unsupported"):
        revocation_endpoint_of(replace(METADATA, revocation_endpoint=None))


@pytest.mark.parametrize("hint", [None, "refresh_token", "access_token"])
def test_request(hint: str | None) -> None:
    """The token goes into the body, never into the URL (section 2.1)."""
    request = build_revocation_request(
        REVOKE,
        "the token",
        token_type_hint=hint,
        authentication=({"Authorization": "Basic x"}, {}),
    )
    assert (request.method, request.url) == ("POST", REVOKE)
    assert request.headers["Authorization"] == "Basic x"
    sent = {"token": ["the token"]} | ({} if hint is None else {"token_type_hint": [hint]})
    assert parse_qs((request.body or b"").decode()) == sent
    assert "token" not in str(request).removeprefix(f"POST {REVOKE}")


@pytest.mark.parametrize(
    "response",
    [
        pytest.param(answer(200), id="empty"),
        pytest.param(answer(200, b"OK"), id="any_content"),
        pytest.param(answer(200, {"error": "ignored"}), id="content_is_not_read"),
        pytest.param(answer(204), id="no_content"),
    ],
)
def test_done(response: Response) -> None:
    """The status alone counts (section 2.2)."""
    check_revocation_response(response)


@pytest.mark.parametrize("status", [400, 401, 403])
def test_refused(status: int) -> None:
    """An OAuth error is a no, whose words don't quote the token (section 2.2.1)."""
    words = {"error": "unsupported_token_type", "error_description": "what is tok-123?"}
    with refusal(ProviderError, "revocation_refused") as caught:
        check_revocation_response(answer(status, words), secrets=("tok-123",))
    assert isinstance(caught.value, ProviderError)
    assert caught.value.error == "unsupported_token_type"
    assert "tok-123" not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "code"),
    [
        pytest.param(503, "revocation_unavailable", id="unavailable"),
        pytest.param(500, "revocation_unavailable", id="broken"),
        pytest.param(429, "revocation_unavailable", id="too_many"),
        pytest.param(302, "revocation_answer_status", id="redirect"),
        pytest.param(404, "revocation_answer_status", id="not_there"),
        pytest.param(400, "revocation_answer_status", id="error_without_a_word"),
        pytest.param(201, "revocation_answer_status", id="created"),
    ],
)
def test_not_revoked(status: int, code: str) -> None:
    """503 means that the token lives and another try is worth it; the rest is no answer."""
    check_revocation_response(answer(200))
    with refusal(ProtocolViolation, code):
        check_revocation_response(answer(status, b"<html>"))
