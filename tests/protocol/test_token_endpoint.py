"""The token endpoint: what is asked, and what is taken for an answer."""

from __future__ import annotations

import json
import math
from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from protocol.expecting import refusal

from clefstorm.errors import ProtocolViolation, TokenRefused
from clefstorm.protocol.authorization import CodeGrant, PendingLogin, check_callback
from clefstorm.protocol.exchange import Response
from clefstorm.protocol.token_endpoint import (
    Tokens,
    build_client_credentials_request,
    build_code_request,
    build_refresh_request,
    read_token_response,
)

NOW = 1_700_000_000.0
ENDPOINT = "https://id.example/token"
PENDING = PendingLogin(redirect_uri="https://app.example/cb")
ANSWER: dict[str, Any] = {
    "access_token": "the-access-token",
    "token_type": "Bearer",
    "expires_in": 3600,
    "refresh_token": "the-refresh-token",
    "id_token": "a.b.c",
    "scope": "openid",
}


def grant() -> CodeGrant:
    return check_callback([("code", "the code&é")], PENDING, issuer=None, iss_required=False)


def read(answer: Any, *, status: int = 200, secrets: tuple[str | None, ...] = ()) -> Tokens:
    body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    return read_token_response(Response(status=status, body=body), now=NOW, secrets=secrets)


def changed(**changes: Any) -> dict[str, Any]:
    """ANSWER with members changed; ``...`` leaves one out."""
    return {name: value for name, value in {**ANSWER, **changes}.items() if value is not ...}


def test_code_request() -> None:
    """grant_type, code, redirect_uri and code_verifier in the body of a POST, form-encoded (RFC
    6749, section 4.1.3; RFC 7636, section 4.5), and nothing in the URL (DESIGN, law 4).
    """
    request = build_code_request(ENDPOINT, grant(), ({"Authorization": "Basic eA=="}, {}))
    assert (request.method, request.url) == ("POST", ENDPOINT)
    assert request.headers == {
        "Accept": "application/json",
        "Content-Type": "application/x-www-form-urlencoded",
        "Authorization": "Basic eA==",
    }
    assert request.body is not None
    assert parse_qsl(request.body.decode("ascii")) == [
        ("grant_type", "authorization_code"),
        ("code", "the code&é"),
        ("redirect_uri", "https://app.example/cb"),
        ("code_verifier", PENDING.code_verifier),
    ]


def test_refresh_request() -> None:
    """grant_type and refresh_token in the body (RFC 6749, section 6), with the client's own."""
    request = build_refresh_request(
        ENDPOINT, "the+token", ({}, {"client_id": "app", "client_secret": "s"})
    )
    assert (request.method, request.url) == ("POST", ENDPOINT)
    assert "Authorization" not in request.headers
    assert request.body is not None
    assert parse_qsl(request.body.decode("ascii")) == [
        ("grant_type", "refresh_token"),
        ("refresh_token", "the+token"),
        ("client_id", "app"),
        ("client_secret", "s"),
    ]


@pytest.mark.parametrize(
    ("scope", "more"),
    [pytest.param(None, [], id="none"), pytest.param("a b", [("scope", "a b")], id="scope")],
)
def test_client_credentials_request(scope: str | None, more: list[tuple[str, str]]) -> None:
    """grant_type and, where wanted, scope in the body (RFC 6749, section 4.4.2)."""
    request = build_client_credentials_request(
        ENDPOINT, scope, ({"Authorization": "Basic YXBwOnM="}, {})
    )
    assert (request.method, request.url) == ("POST", ENDPOINT)
    assert request.headers["Authorization"] == "Basic YXBwOnM="
    assert request.body is not None
    assert parse_qsl(request.body.decode("ascii")) == [("grant_type", "client_credentials"), *more]


def test_requests_show_no_secret() -> None:
    """A secret reaches no repr (DESIGN, law 4)."""
    for request in (
        build_code_request(ENDPOINT, grant(), ({"Authorization": "Basic czNjcmV0"}, {})),
        build_refresh_request(ENDPOINT, "s3cret", ({}, {"client_secret": "s3cret"})),
    ):
        for text in (repr(request), str(request)):
            assert "s3cret" not in text
            assert "czNj" not in text
            assert PENDING.code_verifier not in text


def test_answer() -> None:
    """A successful answer is a 200 with access_token, token_type and, as they like, expires_in,
    refresh_token, scope (RFC 6749, section 5.1) and id_token (Core, section 3.1.3.3).
    """
    assert read(ANSWER) == Tokens(
        access_token="the-access-token",
        expires_at=NOW + 3600,
        refresh_token="the-refresh-token",
        id_token="a.b.c",
        scope="openid",
    )


@pytest.mark.parametrize(
    ("changes", "member", "value"),
    [
        pytest.param({"token_type": "bearer"}, "token_type", "Bearer", id="type_in_lower_case"),
        pytest.param({"token_type": "BEARER"}, "token_type", "Bearer", id="type_in_upper_case"),
        pytest.param({"expires_in": ...}, "expires_at", None, id="no_expires_in"),
        pytest.param({"expires_in": None}, "expires_at", None, id="expires_in_null"),
        pytest.param({"expires_in": 0}, "expires_at", NOW, id="expires_at_once"),
        pytest.param({"expires_in": 1.5}, "expires_at", NOW + 1.5, id="expires_in_fraction"),
        pytest.param({"expires_in": "3600"}, "expires_at", NOW + 3600, id="expires_in_text"),
        pytest.param({"expires_in": "9" * 12}, "expires_at", NOW + 1e12 - 1, id="expires_in_long"),
        pytest.param({"refresh_token": ...}, "refresh_token", None, id="no_refresh_token"),
        pytest.param({"refresh_token": None}, "refresh_token", None, id="refresh_token_null"),
        pytest.param({"refresh_token": ""}, "refresh_token", None, id="refresh_token_empty"),
        pytest.param({"id_token": ...}, "id_token", None, id="no_id_token"),
        pytest.param({"id_token": None}, "id_token", None, id="id_token_null"),
        pytest.param({"id_token": ""}, "id_token", None, id="id_token_empty"),
        pytest.param({"scope": ...}, "scope", None, id="no_scope"),
        pytest.param({"scope": ""}, "scope", "", id="scope_empty"),
        pytest.param({"more": {"a": []}}, "scope", "openid", id="unknown_member"),
        pytest.param(
            {"access_token": "!~9|/+=.-_"}, "access_token", "!~9|/+=.-_", id="token_of_any_vchar"
        ),
    ],
)
def test_answers_of_real_providers(changes: dict[str, Any], member: str, value: object) -> None:
    """token_type is case insensitive, the client MUST ignore unrecognized value names (RFC 6749,
    section 5.1), and an access token is any string of VSCHAR (appendix A.12).
    """
    assert getattr(read(changed(**changes)), member) == value


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        *(
            pytest.param({name: value}, "token_answer_member", id=f"{name}_{label}")
            for name in ("access_token", "token_type", "refresh_token", "id_token", "scope")
            for label, value in [
                ("number", 1),
                ("boolean", True),
                ("list", ["x"]),
                ("object", {"a": "x"}),
                ("false", False),
            ]
        ),
        *(
            pytest.param({name: value}, "token_answer_member", id=f"{name}_{label}")
            for name in ("access_token", "token_type")
            for label, value in [("absent", ...), ("null", None), ("empty", "")]
        ),
        pytest.param(
            {"access_token": "a\r\nX-Evil: 1"}, "token_answer_member", id="access_token_newline"
        ),
        pytest.param(
            {"access_token": "a b"}, "token_answer_member", id="access_token_of_two_words"
        ),
        pytest.param({"access_token": "a\x00"}, "token_answer_member", id="access_token_nul"),
        pytest.param({"access_token": "é"}, "token_answer_member", id="access_token_beyond_ascii"),
        pytest.param({"token_type": "DPoP"}, "token_type_unsupported", id="token_type_dpop"),
        pytest.param({"token_type": "mac"}, "token_type_unsupported", id="token_type_mac"),
        pytest.param({"token_type": "Bearer "}, "token_type_unsupported", id="token_type_space"),
        pytest.param({"token_type": "N_A"}, "token_type_unsupported", id="token_type_none"),
        *(
            pytest.param({"expires_in": value}, "token_answer_member", id=f"expires_in_{label}")
            for label, value in [
                ("negative", -1),
                ("negative_fraction", -0.5),
                ("huge", 10**12),
                ("enormous", 10**60),
                ("true", True),
                ("false", False),
                ("word", "soon"),
                ("empty", ""),
                ("signed", "+5"),
                ("negative_text", "-5"),
                ("spaced", " 5"),
                ("fraction_text", "5.5"),
                ("hex", "0x5"),
                ("exponent_text", "1e3"),
                ("other_digits", "\u0663"),
                ("superscript", "\u00b2"),
                ("long_text", "1" * 13),
                ("absurd_text", "1" * 5000),
                ("nan_text", "NaN"),
                ("list", [3600]),
                ("object", {}),
            ]
        ),
    ],
)
def test_members(changes: dict[str, Any], code: str) -> None:
    """The members are strings and a number of seconds (RFC 6749, section 5.1, appendix A); the
    client MUST NOT use a token whose type it does not understand (section 7.1).
    """
    assert read(ANSWER).access_token == "the-access-token"
    with refusal(ProtocolViolation, code) as caught:
        read(changed(**changes))
    if code == "token_answer_member":
        assert caught.value.evidence == {"name": next(iter(changes))}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        pytest.param(b"", "json_invalid", id="empty"),
        pytest.param(b"<html>", "json_invalid", id="html"),
        pytest.param(b"access_token=a&token_type=bearer", "json_invalid", id="form"),
        pytest.param(b"null", "json_not_object", id="null"),
        pytest.param(b'["a"]', "json_not_object", id="array"),
        pytest.param(
            b'{"access_token": "a", "access_token": "b", "token_type": "Bearer"}',
            "json_duplicate_name",
            id="name_twice",
        ),
        *(
            pytest.param(
                b'{"access_token": "a", "token_type": "Bearer", "expires_in": %s}' % number,
                "json_invalid",
                id=f"expires_in_{number.decode()}",
            )
            for number in (b"NaN", b"Infinity", b"-Infinity", b"1e999")
        ),
    ],
)
def test_body(body: bytes, code: str) -> None:
    """The parameters are members of one strict JSON object (RFC 6749, section 5.1)."""
    assert read(json.dumps(ANSWER).encode()).scope == "openid"
    with refusal(ProtocolViolation, code):
        read(body)


@pytest.mark.parametrize("status", [201, 204, 302, 307, 400, 401, 403, 404, 429, 500, 503])
def test_status(status: int) -> None:
    """Tokens come with a 200 and nothing else (RFC 6749, section 5.1); a redirect is no answer."""
    assert read(ANSWER).scope == "openid"
    with refusal(ProtocolViolation, "token_answer_status") as caught:
        read(ANSWER, status=status)
    assert caught.value.evidence == {"expected": "200", "got": str(status)}


@pytest.mark.parametrize("status", [400, 401, 403])
@pytest.mark.parametrize("description", ["it is too old", None])
def test_refusal(status: int, description: str | None) -> None:
    """The server answers an error with 400, or 401, and error and error_description (RFC 6749,
    section 5.2).
    """
    answer = {"error": "invalid_grant", "error_description": description}
    with refusal(TokenRefused, "token_refused") as caught:
        read(answer, status=status)
    refused = caught.value
    assert isinstance(refused, TokenRefused)
    assert (refused.error, refused.error_description) == ("invalid_grant", description)


@pytest.mark.parametrize("answer", [{**ANSWER, "error": "bad_verification_code"}, {"error": "x"}])
def test_refusal_with_200(answer: dict[str, Any]) -> None:
    """Some servers say no with a 200, against RFC 6749, section 5.2: that is a no as well, and
    whatever tokens stand beside it are not used.
    """
    assert read(ANSWER).scope == "openid"
    with refusal(TokenRefused, "token_refused") as caught:
        read(answer)
    assert caught.value.evidence == {"error": answer["error"]}


@pytest.mark.parametrize(
    ("status", "body"),
    [
        pytest.param(400, b"<html>invalid_grant</html>", id="html"),
        pytest.param(400, b'{"error": 7}', id="error_number"),
        pytest.param(400, b'{"error": ""}', id="error_empty"),
        pytest.param(400, b'{"error": null}', id="error_null"),
        pytest.param(400, b'{"message": "no"}', id="no_error"),
        pytest.param(400, b'["invalid_grant"]', id="array"),
        pytest.param(500, b'{"error": "invalid_grant"}', id="server_error"),
        pytest.param(302, b'{"error": "invalid_grant"}', id="redirect"),
    ],
)
def test_no_refusal_either(status: int, body: bytes) -> None:
    """What is no error answer of the specification ends no session: only invalid_grant does."""
    with refusal(TokenRefused, "token_refused"):
        read(b'{"error": "invalid_grant"}', status=400)
    with refusal(ProtocolViolation, "token_answer_status"):
        read(body, status=status)


def test_description_of_another_type() -> None:
    """A description that is no text is left out; the error stays."""
    with refusal(TokenRefused, "token_refused") as caught:
        read({"error": "invalid_grant", "error_description": {"a": 1}}, status=400)
    assert caught.value.evidence == {"error": "invalid_grant"}


@pytest.mark.parametrize("status", [200, 400, 401, 403])
def test_description_that_quotes_a_secret(status: int) -> None:
    """A secret reaches no exception (DESIGN, law 4), if the provider quotes it at us too."""
    answer = {"error": "invalid_grant", "error_description": "unknown code c0de!"}
    with refusal(TokenRefused, "token_refused") as caught:
        read(answer, status=status, secrets=("0ther", "", None))
    assert caught.value.evidence["error_description"] == "unknown code c0de!"
    with refusal(TokenRefused, "token_refused") as caught:
        read(answer, status=status, secrets=("0ther", "c0de"))
    assert caught.value.evidence["error_description"] == "unknown code …!"


def test_errors_show_no_token() -> None:
    """Evidence never holds a token or a whole answer (DESIGN, section 3)."""
    secret = {"access_token": "s3cret", "refresh_token": "s3cret", "id_token": "s3cret"}
    for changes in ({"token_type": "mac"}, {"expires_in": -1}, {"scope": 7}, {"refresh_token": 3}):
        with pytest.raises(ProtocolViolation) as caught:
            read(changed(**{**secret, **changes}))
        assert "s3cret" not in str(caught.value)
    with refusal(ProtocolViolation, "token_answer_status") as caught:
        read(changed(**secret), status=500)
    assert "s3cret" not in str(caught.value)


def test_tokens_show_no_secret() -> None:
    """A secret reaches no repr (DESIGN, law 4)."""
    shown = repr(read(changed(access_token="s3cret", refresh_token="s3cret", id_token="s3cret")))
    assert "s3cret" not in shown
    assert "openid" in shown


@pytest.mark.parametrize(
    ("said", "scope"),
    [
        pytest.param(..., "openid email", id="absent"),
        pytest.param("openid", "openid", id="less"),
        pytest.param("", "", id="nothing"),
    ],
)
def test_granted_scope(said: Any, scope: str) -> None:
    """An answer without scope grants what was asked for; one with it, what it says (RFC 6749,
    section 5.1).
    """
    assert read(changed(scope=said)).granted(["openid", "email"]).scope == scope


def test_renewed() -> None:
    """What the answer to a refresh leaves out stays: the refresh token and the scope (RFC 6749,
    sections 5.1 and 6); the id token is of its own time.
    """
    first = read(ANSWER)
    silent = read(changed(access_token="next", refresh_token=..., id_token=..., scope=...))
    renewed = first.renewed_by(silent)
    assert (renewed.access_token, renewed.id_token) == ("next", None)
    assert (renewed.refresh_token, renewed.scope) == (first.refresh_token, first.scope)
    rotated = first.renewed_by(read(changed(refresh_token="second", scope="email")))
    assert (rotated.refresh_token, rotated.scope) == ("second", "email")


def test_record() -> None:
    """What is stored comes back the same."""
    for tokens in (read(ANSWER), Tokens(access_token="x")):
        assert Tokens.from_record(json.loads(json.dumps(tokens.to_record()))) == tokens


def test_seconds_left() -> None:
    """Time is given (DESIGN, law 5); a token without an end is good for ever."""
    assert read(ANSWER).seconds_left(NOW + 3000) == 600
    assert read(ANSWER).seconds_left(NOW + 4000) == -400
    assert read(changed(expires_in=...)).seconds_left(NOW) == math.inf


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)


@settings(max_examples=500, deadline=None, database=None)
@given(
    changes=st.dictionaries(
        st.sampled_from([*sorted(ANSWER), "error", "error_description"]), json_values, max_size=3
    ),
    status=st.sampled_from([200, 200, 302, 400, 401, 500]),
)
def test_only_errors_of_ours(changes: dict[str, Any], status: int) -> None:
    """Whatever a token endpoint says, only errors of ours come out, and tokens can be sent on."""
    try:
        tokens = read({**ANSWER, **changes}, status=status)
    except (ProtocolViolation, TokenRefused):
        return
    assert status == 200
    assert tokens.access_token.isascii()
    assert tokens.access_token.isprintable()
    assert tokens.expires_at is None or NOW <= tokens.expires_at < 1e13


@settings(max_examples=300, deadline=None, database=None)
@given(body=st.binary(max_size=80), status=st.sampled_from([200, 400, 500]))
def test_only_errors_of_ours_for_bytes(body: bytes, status: int) -> None:
    """Whatever bytes come, only a ProtocolViolation comes out."""
    with pytest.raises(ProtocolViolation):
        read(body, status=status)
