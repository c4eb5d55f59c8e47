"""Signed userinfo: what its token has to say of itself (OpenID Connect Core 1.0, 5.3.2)."""

from __future__ import annotations

from typing import Any

import pytest
from protocol.expecting import refusal

from clefstorm.errors import ProtocolViolation, ProviderError
from clefstorm.protocol.exchange import Response
from clefstorm.protocol.identity import read_userinfo_token
from clefstorm.protocol.userinfo_token import check_userinfo_token

NOW = 1_700_000_000.0
GOOD: dict[str, Any] = {"iss": "https://id.example", "aud": "app", "sub": "ann"}
EVENT = {"http://schemas.openid.net/event/backchannel-logout": {}}


def check(typ: str | None = None, **changes: Any) -> None:
    claims = {name: value for name, value in {**GOOD, **changes}.items() if value is not None}
    header = {"alg": "ES256"} if typ is None else {"alg": "ES256", "typ": typ}
    check_userinfo_token(
        claims,
        header=header,
        issuer="https://id.example",
        client_id="app",
        now=NOW,
        trusted_audiences=("friend",),
    )


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="iss_and_aud"),
        pytest.param({"typ": "JWT"}, id="typ"),
        pytest.param({"typ": "application/jwt"}, id="typ_as_media_type"),
        pytest.param({"aud": ["app"]}, id="aud_list"),
        pytest.param({"aud": ["app", "friend"]}, id="aud_trusted"),
        pytest.param({"exp": NOW + 10, "iat": NOW}, id="with_times"),
        pytest.param({"exp": NOW - 59}, id="exp_within_leeway"),
    ],
)
def test_good(changes: dict[str, Any]) -> None:
    """iss and aud are required, times are not."""
    check(**changes)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        pytest.param({"iss": None}, "claim_missing", id="iss_missing"),
        pytest.param({"iss": "https://b.example"}, "iss_mismatch", id="iss_other"),
        pytest.param({"aud": None}, "claim_missing", id="aud_missing"),
        pytest.param({"aud": "other"}, "aud_missing_us", id="aud_other"),
        pytest.param({"aud": ["app", "other"]}, "aud_untrusted", id="aud_and_another"),
        pytest.param({"aud": 7}, "claim_type", id="aud_number"),
        pytest.param({"exp": NOW - 60}, "token_expired", id="expired"),
        pytest.param({"exp": "soon"}, "claim_type", id="exp_text"),
        pytest.param({"nbf": NOW + 61}, "nbf_in_future", id="not_yet"),
        pytest.param({"iat": NOW + 61}, "iat_in_future", id="from_the_future"),
        pytest.param({"typ": "at+jwt"}, "typ_wrong", id="access_token"),
        pytest.param({"typ": "logout+jwt"}, "typ_wrong", id="typ_of_a_logout_token"),
        pytest.param({"events": EVENT}, "events_prohibited", id="logout_token"),
    ],
)
def test_refused(changes: dict[str, Any], code: str) -> None:
    """Somebody else's, one for somebody else, and another kind of token (RFC 8725, 3.9-3.12)."""
    check()
    with refusal(ProtocolViolation, code):
        check(**changes)


def answer(body: bytes = b"a.b.c", *, status: int = 200, kind: str = "application/jwt") -> Response:
    return Response(status=status, headers={"content-type": kind}, body=body)


def test_token_of_an_answer() -> None:
    """The body is the token."""
    assert read_userinfo_token(answer()) == "a.b.c"
    assert read_userinfo_token(answer(b"a.b.c\n", kind="application/JWT; q=1")) == "a.b.c"


@pytest.mark.parametrize(
    ("response", "kind", "code"),
    [
        pytest.param(answer(status=401), ProviderError, "userinfo_refused", id="status_401"),
        pytest.param(answer(status=500), ProtocolViolation, "userinfo_status", id="status_500"),
        pytest.param(
            answer(b'{"sub": "ann"}', kind="application/json"),
            ProtocolViolation,
            "userinfo_not_signed",
            id="unsigned",
        ),
        pytest.param(
            answer("é".encode()), ProtocolViolation, "userinfo_not_signed", id="beyond_ascii"
        ),
    ],
)
def test_no_token(response: Response, kind: Any, code: str) -> None:
    """Where a signature was agreed, an answer without one is refused."""
    assert read_userinfo_token(answer())
    with refusal(kind, code):
        read_userinfo_token(response)


@pytest.mark.parametrize("leeway", [0.0, 60.0])
def test_without_times(leeway: float) -> None:
    """Where a token says nothing of times (Core, section 5.3.2, requires none), no clock counts."""
    check_userinfo_token(
        {name: value for name, value in GOOD.items() if name not in ("iat", "exp")},
        header={"alg": "ES256"},
        issuer="https://id.example",
        client_id="app",
        now=NOW,
        trusted_audiences=(),
        leeway=leeway,
    )
