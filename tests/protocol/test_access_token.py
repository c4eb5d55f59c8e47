"""JWT access tokens: RFC 9068, 2 and 4."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from parts.signing_keys import signing_key
from protocol.expecting import refusal

from clefstorm.errors import ClefStormError, ProtocolViolation
from clefstorm.protocol import access_token
from clefstorm.protocol.access_token import AccessToken, check_access_token, scope_of
from clefstorm.protocol.id_token import check_id_token
from clefstorm.protocol.jwt import build_jwt, read_jwt_header
from clefstorm.protocol.logout_token import LOGOUT_EVENT, check_logout_token

NOW = 1_700_000_000.0
ISSUER = "https://id.example.com"
API = "https://api.example.com"
HEADER = {"alg": "RS256", "typ": "at+jwt"}
CLAIMS: Mapping[str, Any] = {
    "iss": ISSUER,
    "sub": "248289761001",
    "aud": API,
    "client_id": "app",
    "iat": NOW - 1,
    "exp": NOW + 120,
    "jti": "bWJq",
    "scope": "read write",
}


def changed(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Good claims with these changes; None leaves a claim out."""
    return {name: value for name, value in {**CLAIMS, **changes}.items() if value is not None}


def check(claims: Mapping[str, Any] = CLAIMS, **changes: Any) -> AccessToken:
    arguments: dict[str, Any] = {
        "header": HEADER,
        "issuer": ISSUER,
        "audience": API,
        "now": NOW,
    }
    return check_access_token(claims, **arguments | changes)


def test_a_good_token() -> None:
    """It says who may do what, through which client, and until when."""
    assert check() == AccessToken(
        iss=ISSUER,
        sub="248289761001",
        client_id="app",
        scope=frozenset({"read", "write"}),
        exp=NOW + 120,
        claims=CLAIMS,
    )


@pytest.mark.parametrize(
    ("claims", "scope"),
    [
        pytest.param({}, set(), id="absent"),
        pytest.param({"scope": ""}, set(), id="empty"),
        pytest.param({"scope": "a b"}, {"a", "b"}, id="two"),
        pytest.param({"scope": " a  b "}, {"a", "b"}, id="spaces"),
        pytest.param({"scope": "a\tb"}, {"a\tb"}, id="tab"),
    ],
)
def test_scope(claims: dict[str, str], scope: set[str]) -> None:
    """A scope is words between spaces, and nothing else parts them (RFC 6749, section 3.3);
    without the claim there is none.
    """
    assert scope_of(claims) == scope


@pytest.mark.parametrize(
    ("changes", "arguments"),
    [
        pytest.param({"aud": [API]}, {}, id="aud_list"),
        pytest.param({"aud": [f"{ISSUER}/userinfo", API]}, {}, id="aud_with_userinfo"),
        pytest.param({"scope": None}, {}, id="no_scope"),
        pytest.param({"scope": "  read  "}, {}, id="scope_with_spaces"),
        pytest.param({"nbf": NOW}, {}, id="nbf"),
        pytest.param({"iat": NOW + 60}, {}, id="iat_within_leeway"),
        pytest.param({"exp": NOW - 59.5}, {}, id="exp_within_leeway"),
        pytest.param({"auth_time": NOW - 5.5, "acr": "2"}, {}, id="how_and_when"),
        pytest.param({}, {"header": {"alg": "RS256", "typ": "AT+JWT"}}, id="typ_in_capitals"),
        pytest.param(
            {}, {"header": {"alg": "RS256", "typ": "application/at+jwt"}}, id="typ_with_application"
        ),
    ],
)
def test_what_passes(changes: Mapping[str, Any], arguments: Mapping[str, Any]) -> None:
    """What the profile leaves open is open."""
    assert check(changed(changes), **arguments).sub == CLAIMS["sub"]


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        pytest.param("claim_missing", {"iss": None}, id="iss_missing"),
        pytest.param("iss_mismatch", {"iss": f"{ISSUER}/"}, id="iss_with_slash"),
        pytest.param("claim_missing", {"aud": None}, id="aud_missing"),
        pytest.param("aud_missing_us", {"aud": "app"}, id="aud_of_an_id_token"),
        pytest.param("aud_missing_us", {"aud": f"{API}/"}, id="aud_with_slash"),
        pytest.param("aud_missing_us", {"aud": []}, id="aud_empty"),
        pytest.param("claim_type", {"aud": {API: True}}, id="aud_object"),
        pytest.param("claim_missing", {"exp": None}, id="exp_missing"),
        pytest.param("claim_type", {"exp": "1800000000"}, id="exp_text"),
        pytest.param("claim_type", {"exp": True}, id="exp_boolean"),
        pytest.param("token_expired", {"exp": NOW - 60}, id="expired"),
        pytest.param("claim_missing", {"iat": None}, id="iat_missing"),
        pytest.param("iat_in_future", {"iat": NOW + 61}, id="iat_in_future"),
        pytest.param("nbf_in_future", {"nbf": NOW + 61}, id="nbf_in_future"),
        pytest.param("claim_missing", {"sub": None}, id="sub_missing"),
        pytest.param("claim_type", {"sub": ""}, id="sub_empty"),
        pytest.param("claim_type", {"sub": 7}, id="sub_number"),
        pytest.param("claim_missing", {"client_id": None}, id="client_id_missing"),
        pytest.param("claim_missing", {"jti": None}, id="jti_missing"),
        pytest.param("claim_type", {"jti": 1}, id="jti_number"),
        pytest.param("claim_type", {"scope": ["read"]}, id="scope_list"),
        pytest.param("token_bound", {"cnf": {"jkt": "0ZcOC"}}, id="bound_by_dpop"),
        pytest.param("token_bound", {"cnf": {}}, id="bound_to_nothing"),
    ],
)
def test_what_is_refused(code: str, changes: Mapping[str, Any]) -> None:
    """Each claim that the profile requires is there, of its type, and for us, now."""
    assert check()
    with refusal(ProtocolViolation, code):
        check(changed(changes))


@pytest.mark.parametrize(
    "typ", [None, "JWT", "jwt", "logout+jwt", "at", "at+jwt ", "application/application/at+jwt", ""]
)
def test_typ_is_required(typ: str | None) -> None:
    """A token that does not say that it is an access token is none."""
    assert check(header=HEADER)
    header = {"alg": "RS256"} if typ is None else {"alg": "RS256", "typ": typ}
    with refusal(ProtocolViolation, "typ_wrong"):
        check(header=header)


def test_no_token_is_two_things() -> None:
    """Whatever its claims, no token is an access token and an id token or a logout token too."""
    everything = {
        **changed({"aud": [API, "app"], "nonce": "n", "sid": "s"}),
        "events": {LOGOUT_EVENT: {}},
    }
    for typ in (None, "JWT", "at+jwt", "logout+jwt"):
        header = {"alg": "RS256", "typ": typ} if typ else {"alg": "RS256"}
        shared = {"header": header, "issuer": ISSUER, "now": NOW}
        passed = []
        for kind, judge in {
            "access": lambda shared=shared: check_access_token(everything, audience=API, **shared),
            "id": lambda shared=shared: check_id_token(
                {**everything, "events": {}},
                alg="RS256",
                client_id="app",
                nonce="n",
                trusted_audiences=[API],
                **shared,
            ),
            "logout": lambda shared=shared: check_logout_token(
                {name: value for name, value in everything.items() if name != "nonce"},
                client_id="app",
                trusted_audiences=[API],
                **shared,
            ),
        }.items():
            try:
                judge()
            except ProtocolViolation:
                continue
            passed.append(kind)
        if typ == "at+jwt":
            assert passed == ["access"]
        else:
            assert "access" not in passed


has_jwt_profile = partial(access_token.has_jwt_profile, issuer=ISSUER)


def token_of(typ: str | None, **changes: Any) -> str:
    return build_jwt(changed(changes), signing_key("EdDSA"), typ=typ)


def test_which_tokens_are_read_here() -> None:
    """A JWT that says so is checked here; what only its issuer can read is not taken for one."""
    assert has_jwt_profile(token_of("at+jwt"))
    assert has_jwt_profile(token_of("application/at+jwt"))
    for opaque in ("2YotnFZFEjr1zCsicMWpAA", "a.b.c", "..", "a.b", "a.b.c.d.e", "MTIz.b.c"):
        assert not has_jwt_profile(opaque)
    assert not has_jwt_profile(token_of("JWT"))
    assert not has_jwt_profile(token_of(None))


@pytest.mark.parametrize("typ", ["logout+jwt", "secevent+jwt", "dpop+jwt", "at+jws", ""])
def test_other_kinds_of_jwt(typ: str) -> None:
    """A JWT that says it is something else goes nowhere, not even to its issuer."""
    assert has_jwt_profile(token_of("at+jwt"))
    with refusal(ProtocolViolation, "typ_wrong"):
        has_jwt_profile(token_of(typ))


@pytest.mark.parametrize("typ", ["at+jwt", "JWT", None])
def test_another_issuer_s_token(typ: str | None) -> None:
    """A JWT that names another issuer is refused, and ours is never shown it."""
    assert has_jwt_profile(token_of(typ)) is (typ == "at+jwt")
    assert has_jwt_profile(token_of(typ, iss=None)) is (typ == "at+jwt")
    for code, iss in (("iss_mismatch", "https://evil.example"), ("claim_type", ["a"])):
        with refusal(ProtocolViolation, code):
            has_jwt_profile(token_of(typ, iss=iss))


def test_unsigned() -> None:
    """alg none is refused before anything else is looked at."""
    unsigned = "eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0.e30."
    assert read_jwt_header(token_of("at+jwt"))
    with refusal(ProtocolViolation, "alg_none"):
        has_jwt_profile(unsigned)


@settings(max_examples=200)
@given(
    st.dictionaries(
        st.sampled_from([*CLAIMS, "nbf", "cnf", "acr"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
            lambda inner: (
                st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
            ),
            max_leaves=5,
        ),
    )
)
def test_any_claims(claims: dict[str, Any]) -> None:
    """Whatever stands in a token, only errors of ours come out."""
    with contextlib.suppress(ClefStormError):
        check({**CLAIMS, **claims})


@given(st.text(max_size=60) | st.from_regex(r"[\w-]{0,20}\.[\w-]{0,20}\.[\w-]{0,20}"))
def test_any_text(token: str) -> None:
    """Whatever is brought as a token, only errors of ours come out."""
    with contextlib.suppress(ClefStormError):
        has_jwt_profile(token)
