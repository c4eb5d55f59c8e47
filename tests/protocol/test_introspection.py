"""Token introspection: RFC 7662."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from protocol.expecting import refusal

from clefstorm.errors import (
    ClefStormError,
    DocumentViolation,
    ProtocolViolation,
    ProviderError,
)
from clefstorm.protocol.access_token import AccessToken
from clefstorm.protocol.exchange import Response
from clefstorm.protocol.introspection import build_introspection_request, read_introspection

NOW = 1_700_000_000.0
ISSUER = "https://id.example.com"
API = "https://api.example.com"
ANSWER: Mapping[str, Any] = {
    "active": True,
    "iss": ISSUER,
    "sub": "248289761001",
    "aud": API,
    "client_id": "app",
    "token_type": "Bearer",
    "scope": "read write",
    "iat": NOW - 1,
    "exp": NOW + 120,
}


def read(body: Any = ANSWER, *, status: int = 200, **changes: Any) -> AccessToken:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    arguments: dict[str, Any] = {
        "issuer": ISSUER,
        "audience": API,
        "aud_required": True,
        "now": NOW,
    }
    return read_introspection(Response(status=status, body=raw), **arguments | changes)


def without(*names: str, **changes: Any) -> dict[str, Any]:
    return {name: value for name, value in {**ANSWER, **changes}.items() if name not in names}


def test_the_question() -> None:
    """The token goes into the body, with the client's own credentials and nothing else."""
    request = build_introspection_request(
        f"{ISSUER}/introspect", "a.token+/=", authentication=({"Authorization": "Basic eA=="}, {})
    )
    assert (request.method, request.url) == ("POST", f"{ISSUER}/introspect")
    assert request.headers["Authorization"] == "Basic eA=="
    assert dict(parse_qsl((request.body or b"").decode())) == {
        "token": "a.token+/=",
        "token_type_hint": "access_token",
    }
    assert "a.token" not in repr(request)


def test_a_good_answer() -> None:
    """It says who may do what, through which client, and until when."""
    token = read()
    assert (token.iss, token.sub, token.client_id) == (ISSUER, "248289761001", "app")
    assert (token.scope, token.exp) == (frozenset({"read", "write"}), NOW + 120)
    assert token.claims["iat"] == NOW - 1


@pytest.mark.parametrize(
    ("answer", "arguments"),
    [
        pytest.param(without("iss"), {}, id="no_iss"),
        pytest.param(without("sub"), {}, id="no_sub"),
        pytest.param(without("client_id", "scope", "token_type"), {}, id="little_said"),
        pytest.param(without("exp", "iat"), {}, id="no_times"),
        pytest.param(without(token_type="bearer"), {}, id="bearer_in_small_letters"),
        pytest.param(without(sub=None, scope=None, exp=None), {}, id="null_is_absent"),
        pytest.param(without(aud=["other", API]), {}, id="aud_list"),
        pytest.param(without("aud"), {"aud_required": False}, id="no_aud_and_believed"),
        pytest.param(without(exp=NOW - 59.5), {}, id="exp_within_leeway"),
    ],
)
def test_what_passes(answer: Mapping[str, Any], arguments: Mapping[str, Any]) -> None:
    """A provider may leave out what it has nothing to say about."""
    assert read(answer, **arguments).iss == ISSUER


@pytest.mark.parametrize(
    ("code", "answer", "arguments"),
    [
        pytest.param("token_inactive", {"active": False}, {}, id="inactive"),
        pytest.param("token_inactive", without(active=False), {}, id="inactive_with_claims"),
        pytest.param("iss_mismatch", without(iss="https://evil.example"), {}, id="iss_differs"),
        pytest.param("claim_type", without(iss=1), {}, id="iss_number"),
        pytest.param("claim_missing", without("aud"), {}, id="aud_missing"),
        pytest.param("claim_missing", without(aud=None), {}, id="aud_null"),
        pytest.param("aud_missing_us", without(aud="other"), {}, id="aud_differs"),
        pytest.param(
            "aud_missing_us", without(aud="other"), {"aud_required": False}, id="aud_differs_too"
        ),
        pytest.param("token_expired", without(exp=NOW - 60), {}, id="expired"),
        pytest.param("claim_type", without(exp="soon"), {}, id="exp_text"),
        pytest.param("iat_in_future", without(iat=NOW + 61), {}, id="iat_in_future"),
        pytest.param("nbf_in_future", without(nbf=NOW + 61), {}, id="nbf_in_future"),
        pytest.param("claim_type", without(scope=["read"]), {}, id="scope_list"),
        pytest.param("claim_type", without(sub=7), {}, id="sub_number"),
        pytest.param("claim_type", without(client_id=""), {}, id="client_id_empty"),
        pytest.param("token_type_unsupported", without(token_type="DPoP"), {}, id="dpop"),
        pytest.param("token_type_unsupported", without(token_type="Refresh"), {}, id="refresh"),
        pytest.param("claim_type", without(token_type=1), {}, id="token_type_number"),
        pytest.param("token_bound", without(cnf={"jkt": "0Zc"}), {}, id="bound"),
        pytest.param("token_is_id_token", without(at_hash="x"), {}, id="id_token"),
        pytest.param("token_is_id_token", without(c_hash="x"), {}, id="id_token_of_a_code"),
    ],
)
def test_tokens_that_are_refused(
    code: str, answer: Mapping[str, Any], arguments: Mapping[str, Any]
) -> None:
    """active is strictly true, and everything else that is said holds."""
    assert read()
    with refusal(ProtocolViolation, code):
        read(answer, **arguments)


@pytest.mark.parametrize("use", [{}, {"token_use": "access_token"}, {"typ": "Bearer"}])
@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"token_use": "refresh_token"}, id="refresh"),
        pytest.param({"token_use": "id"}, id="id"),
        pytest.param({"typ": "Refresh"}, id="typ_refresh"),
        pytest.param({"typ": "Offline"}, id="typ_offline"),
        pytest.param({"typ": "ID"}, id="typ_id"),
        pytest.param({"token_use": "access_token", "typ": "Refresh"}, id="both"),
        pytest.param({"token_use": "refresh_token", "typ": "Bearer"}, id="both_the_other_way"),
    ],
)
def test_what_an_active_token_is_for(use: dict[str, str], other: dict[str, str]) -> None:
    """A provider may call a refresh token active (RFC 7662, section 2.2, says nothing of kinds);
    where it says that it is one, under either name, it opens nothing here.
    """
    assert read({**ANSWER, **use}).sub == ANSWER["sub"]
    with refusal(ProtocolViolation, "token_use_wrong"):
        read({**ANSWER, **use, **other})


@pytest.mark.parametrize("leeway", [0.0, 60.0])
def test_an_answer_without_times(leeway: float) -> None:
    """iat and exp are optional (RFC 7662, section 2.2): without them the provider's "active" is
    the word, however exact the clocks are held to be.
    """
    assert read(without("iat", "exp"), leeway=leeway).exp is None


@pytest.mark.parametrize(
    ("code", "answer", "status"),
    [
        pytest.param("introspection_active", {}, 200, id="active_missing"),
        pytest.param("introspection_active", without(active="true"), 200, id="active_text"),
        pytest.param("introspection_active", without(active=1), 200, id="active_number"),
        pytest.param("introspection_active", without(active=None), 200, id="active_null"),
        pytest.param("json_invalid", b"<html>", 200, id="html"),
        pytest.param("json_invalid", b"", 200, id="empty"),
        pytest.param("json_not_object", b"true", 200, id="true_alone"),
        pytest.param(
            "json_duplicate_name", b'{"active": false, "active": true}', 200, id="active_twice"
        ),
        pytest.param("introspection_status", ANSWER, 201, id="created"),
        pytest.param("introspection_status", ANSWER, 302, id="redirect"),
        pytest.param("introspection_status", ANSWER, 400, id="bad_request"),
        pytest.param("introspection_status", ANSWER, 500, id="broken"),
        pytest.param("introspection_status", ANSWER, 503, id="busy"),
    ],
)
def test_answers_that_say_nothing(code: str, answer: Any, status: int) -> None:
    """An answer that can't be used is no word about the token: neither yes nor no."""
    assert read()
    with refusal(DocumentViolation, code):
        read(answer, status=status)


def test_a_kind_of_token_that_the_provider_does_not_introspect() -> None:
    """Where a provider refuses a kind of token, that is a word about the token."""
    assert read()
    with refusal(ProtocolViolation, "token_type_unsupported"):
        read({"error": "unsupported_token_type"}, status=400)
    with refusal(DocumentViolation, "introspection_status"):
        read({"error": "invalid_request"}, status=400)
    with refusal(DocumentViolation, "introspection_status"):
        read({"error": "unsupported_token_type"}, status=500)


@pytest.mark.parametrize("status", [401, 403])
def test_our_own_credentials_are_refused(status: int) -> None:
    """It is not the token's fault when the provider does not let us ask."""
    assert read()
    with refusal(ProviderError, "introspection_refused"):
        read(status=status)


@settings(max_examples=200)
@given(
    st.dictionaries(
        st.sampled_from([*ANSWER, "nbf", "cnf", "at_hash"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
            lambda inner: (
                st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
            ),
            max_leaves=5,
        ),
    )
)
def test_any_answer(answer: dict[str, Any]) -> None:
    """Whatever the provider answers, only errors of ours come out."""
    with contextlib.suppress(ClefStormError):
        assert read({**ANSWER, **answer}).iss == ISSUER


@given(st.binary(max_size=60), st.integers(100, 599))
def test_any_bytes(body: bytes, status: int) -> None:
    """Bytes that are no JSON are no yes."""
    with pytest.raises(ClefStormError):
        read(body, status=status)
