"""Id tokens: OpenID Connect Core 1.0, 3.1.3.7 at login, 12.2 after a refresh."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from parts.signing_keys import ALGORITHMS, signing_key

from clefstorm.errors import ProtocolViolation
from clefstorm.protocol.id_token import (
    LONGEST_SUB,
    IDToken,
    at_hash_of,
    check_id_token,
    check_refreshed_id_token,
)
from clefstorm.protocol.jwks import KeySet
from clefstorm.protocol.jwt import build_jwt, read_jwt_header, verify_jwt
from clefstorm.protocol.logout_token import LOGOUT_EVENT, check_logout_token

NOW = 1_700_000_000.0
ISSUER = "https://id.example.com"
NONCE = "n-0S6_WzA2Mj"
# The example of Core, A.3.
ACCESS_TOKEN = "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y"
AT_HASH = "77QmUPtjPfzWtF2AnpK9RQ"

CLAIMS: Mapping[str, Any] = {
    "iss": ISSUER,
    "sub": "248289761001",
    "aud": "app",
    "iat": NOW - 1,
    "exp": NOW + 300,
    "nonce": NONCE,
}
FULL: Mapping[str, Any] = CLAIMS | {
    "azp": "app",
    "sid": "08a5019c",
    "auth_time": NOW - 100.25,
    "acr": "urn:mace:incommon:iap:silver",
    "at_hash": AT_HASH,
    "nbf": NOW - 1,
    "email": "ada@example.com",
}


def changed(claims: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The claims with these changes; None leaves a claim out."""
    return {name: value for name, value in {**claims, **changes}.items() if value is not None}


def check(claims: Mapping[str, Any] = FULL, **changes: Any) -> IDToken:
    """A login's check, to which everything has been sent."""
    arguments: dict[str, Any] = {
        "alg": "RS256",
        "header": {"alg": "RS256", "kid": "k1"},
        "issuer": ISSUER,
        "client_id": "app",
        "nonce": NONCE,
        "now": NOW,
        "access_token": ACCESS_TOKEN,
        "max_age": 3600,
        "trusted_audiences": ["api"],
    }
    return check_id_token(claims, **arguments | changes)


def refusal_of(call: Callable[[], Any]) -> str:
    with pytest.raises(ProtocolViolation) as refusal:
        call()
    return refusal.value.code


def test_an_id_token_is_read() -> None:
    """The checked claims in their types, the others as they are."""
    assert check() == IDToken(
        iss=ISSUER,
        sub="248289761001",
        aud=("app",),
        azp="app",
        sid="08a5019c",
        nonce=NONCE,
        iat=NOW - 1,
        exp=NOW + 300,
        auth_time=NOW - 100.25,
        acr="urn:mace:incommon:iap:silver",
        claims=FULL,
    )
    assert NONCE not in repr(check())
    assert "ada@example.com" not in repr(check())


GOOD = [
    pytest.param(dict(CLAIMS), {"max_age": None}, id="required_claims_alone"),
    pytest.param(dict(FULL), {"access_token": None}, id="no_access_token"),
    pytest.param(changed(FULL, {"at_hash": None}), {}, id="no_at_hash"),
    pytest.param(changed(FULL, {"nonce": None}), {"nonce": None}, id="no_nonce_sent"),
    pytest.param(FULL | {"aud": ["app"]}, {}, id="aud_list"),
    pytest.param(FULL | {"aud": ["api", "app"]}, {}, id="aud_trusted"),
    pytest.param(changed(FULL, {"aud": ["api", "app"], "azp": None}), {}, id="aud_without_azp"),
    pytest.param(FULL | {"exp": NOW - 59.9}, {}, id="exp_within_leeway"),
    pytest.param(FULL | {"iat": NOW + 60}, {}, id="iat_within_leeway"),
    pytest.param(FULL | {"nbf": NOW + 60}, {}, id="nbf_within_leeway"),
    pytest.param(FULL | {"iat": NOW - 0.5, "exp": NOW + 0.5}, {}, id="fractions"),
    pytest.param(FULL | {"auth_time": NOW - 3660}, {}, id="auth_time_at_the_edge"),
    pytest.param(FULL | {"auth_time": NOW + 60}, {}, id="auth_time_within_leeway"),
    pytest.param(FULL | {"auth_time": int(NOW)}, {"max_age": 0}, id="max_age_zero"),
    pytest.param(FULL | {"auth_time": 0}, {"max_age": None}, id="auth_time_zero_not_asked"),
    pytest.param(FULL | {"auth_time": NOW + 999}, {"max_age": None}, id="auth_time_not_asked"),
    pytest.param(FULL | {"events": {"other": {}}}, {}, id="other_claim_named_events"),
    pytest.param(FULL | {"events": "today"}, {}, id="text_named_events"),
    pytest.param(dict(FULL), {"header": {"alg": "RS256", "typ": "JWT"}}, id="typ_JWT"),
    pytest.param(dict(FULL), {"header": {"alg": "RS256", "typ": "jwt"}}, id="typ_jwt"),
    pytest.param(
        dict(FULL), {"header": {"alg": "RS256", "typ": "application/JWT"}}, id="typ_application"
    ),
]


@pytest.mark.parametrize(("claims", "arguments"), GOOD)
def test_what_real_providers_send_passes(claims: dict[str, Any], arguments: dict[str, Any]) -> None:
    """Every form that Core permits: aud as text or list, times with fractions, clocks apart by
    less than the leeway, optional claims absent (Core, 2 and 3.1.3.7).
    """
    assert check(claims, **arguments).claims == claims


REFUSED = [
    # 2: the issuer
    pytest.param({"iss": "https://id.example.com/"}, {}, "iss_mismatch", id="iss_other"),
    pytest.param({"iss": None}, {}, "claim_missing", id="iss_missing"),
    pytest.param({"iss": 1}, {}, "claim_type", id="iss_number"),
    # 3: the audience
    pytest.param({"aud": "other"}, {}, "aud_missing_us", id="aud_other"),
    pytest.param({"aud": []}, {}, "aud_missing_us", id="aud_empty"),
    pytest.param({"aud": None}, {}, "claim_missing", id="aud_missing"),
    pytest.param({"aud": {"app": True}}, {}, "claim_type", id="aud_object"),
    pytest.param({"aud": ["app", "other"]}, {}, "aud_untrusted", id="aud_untrusted"),
    pytest.param(
        {"aud": ["app", "api"]}, {"trusted_audiences": ()}, "aud_untrusted", id="aud_nobody_trusted"
    ),
    # 4, 5: the authorized party
    pytest.param({"azp": "other"}, {}, "azp_mismatch", id="azp_other"),
    pytest.param({"azp": "api", "aud": ["api", "app"]}, {}, "azp_mismatch", id="azp_trusted_aud"),
    pytest.param({"azp": ""}, {}, "claim_type", id="azp_empty"),
    pytest.param({"azp": ["app"]}, {}, "claim_type", id="azp_list"),
    # 9, 10: the times
    pytest.param({"exp": NOW - 60}, {}, "token_expired", id="exp_past"),
    pytest.param({"exp": NOW}, {"leeway": 0}, "token_expired", id="exp_now_without_leeway"),
    pytest.param({"exp": None}, {}, "claim_missing", id="exp_missing"),
    pytest.param({"exp": str(NOW + 300)}, {}, "claim_type", id="exp_text"),
    pytest.param({"iat": NOW + 61}, {}, "iat_in_future", id="iat_future"),
    pytest.param({"iat": None}, {}, "claim_missing", id="iat_missing"),
    pytest.param({"iat": True}, {}, "claim_type", id="iat_boolean"),
    pytest.param({"nbf": NOW + 61}, {}, "nbf_in_future", id="nbf_future"),
    pytest.param({"nbf": "now"}, {}, "claim_type", id="nbf_text"),
    # 11: the nonce
    pytest.param({"nonce": None}, {}, "nonce_missing", id="nonce_missing"),
    pytest.param({"nonce": "other"}, {}, "nonce_mismatch", id="nonce_other"),
    pytest.param({"nonce": NONCE.lower()}, {}, "nonce_mismatch", id="nonce_in_another_case"),
    pytest.param({"nonce": NONCE + "é"}, {}, "nonce_mismatch", id="nonce_not_ascii"),
    pytest.param({"nonce": ""}, {}, "claim_type", id="nonce_empty"),
    pytest.param({"nonce": [NONCE]}, {}, "claim_type", id="nonce_list"),
    pytest.param({}, {"nonce": None}, "nonce_unexpected", id="nonce_never_sent"),
    # 13: the time of authentication
    pytest.param({"auth_time": None}, {}, "auth_time_missing", id="auth_time_missing"),
    pytest.param({"auth_time": NOW - 3660.5}, {}, "auth_time_too_old", id="auth_time_old"),
    pytest.param({"auth_time": NOW - 61}, {"max_age": 0}, "auth_time_too_old", id="max_age_zero"),
    pytest.param({"auth_time": NOW + 61}, {}, "auth_time_in_future", id="auth_time_future"),
    pytest.param({"auth_time": "today"}, {}, "claim_type", id="auth_time_text"),
    pytest.param({"auth_time": "x"}, {"max_age": None}, "claim_type", id="auth_time_not_asked"),
    # 3.1.3.8: the access token
    pytest.param({"at_hash": AT_HASH[:-1]}, {}, "at_hash_mismatch", id="at_hash_cut"),
    pytest.param({"at_hash": AT_HASH + "=="}, {}, "at_hash_mismatch", id="at_hash_padded"),
    pytest.param({}, {"access_token": "other"}, "at_hash_mismatch", id="access_token_other"),
    pytest.param({}, {"access_token": "ü"}, "at_hash_mismatch", id="access_token_not_ascii"),
    pytest.param({}, {"alg": "RS512"}, "at_hash_mismatch", id="at_hash_of_another_alg"),
    pytest.param({"at_hash": 1}, {}, "claim_type", id="at_hash_number"),
    # 2: the types of the other claims
    pytest.param({"sub": None}, {}, "claim_missing", id="sub_missing"),
    pytest.param({"sub": ""}, {}, "claim_type", id="sub_empty"),
    pytest.param({"sub": 248289761001}, {}, "claim_type", id="sub_number"),
    pytest.param({"sub": "s" * 256}, {}, "sub_too_long", id="sub_too_long"),
    pytest.param({"sid": 1}, {}, "claim_type", id="sid_number"),
    pytest.param({"acr": ["silver"]}, {}, "claim_type", id="acr_list"),
    # RFC 8725, 3.11-3.12: other kinds of JWT
    pytest.param({}, {"header": {"typ": "logout+jwt"}}, "typ_wrong", id="typ_logout"),
    pytest.param({}, {"header": {"typ": "at+jwt"}}, "typ_wrong", id="typ_access_token"),
    pytest.param(
        {}, {"header": {"typ": "application/at+jwt"}}, "typ_wrong", id="typ_access_token_long"
    ),
    pytest.param({}, {"header": {"typ": "AT+JWT"}}, "typ_wrong", id="typ_in_another_case"),
    pytest.param({}, {"header": {"typ": "secevent+jwt"}}, "typ_wrong", id="typ_security_event"),
    pytest.param({}, {"header": {"typ": "dpop+jwt"}}, "typ_wrong", id="typ_dpop"),
    pytest.param({}, {"header": {"typ": ""}}, "typ_wrong", id="typ_empty"),
    pytest.param({"events": {LOGOUT_EVENT: {}}}, {}, "events_prohibited", id="logout_event"),
    pytest.param({"events": {LOGOUT_EVENT: 1}}, {}, "events_prohibited", id="logout_event_bad"),
    pytest.param({"events": [LOGOUT_EVENT]}, {}, "events_prohibited", id="logout_event_listed"),
]


@pytest.mark.parametrize(("changes", "arguments", "code"), REFUSED)
def test_an_id_token_that_breaks_a_rule_is_refused(
    changes: dict[str, Any], arguments: dict[str, Any], code: str
) -> None:
    """Each step of Core, 3.1.3.7; None stands for a claim that is left out."""
    assert check().sub == "248289761001"
    assert refusal_of(lambda: check(changed(FULL, changes), **arguments)) == code


@pytest.mark.parametrize("secret", [NONCE, "wrong-nonce", ACCESS_TOKEN, AT_HASH])
def test_no_refusal_shows_a_secret(secret: str) -> None:
    """The nonce, sent or come, and the access token stand in no error."""
    for claims, arguments in (
        (FULL | {"nonce": "wrong-nonce"}, {}),
        (FULL | {"at_hash": "wrong"}, {}),
        (dict(FULL), {"nonce": None}),
        (dict(FULL), {"access_token": "other"}),
    ):
        with pytest.raises(ProtocolViolation) as refusal:
            check(claims, **arguments)
        assert secret not in f"{refusal.value!s} {refusal.value.evidence}"


@pytest.mark.parametrize(
    ("alg", "expected"),
    [
        pytest.param("RS256", AT_HASH, id="RS256"),
        pytest.param("PS256", AT_HASH, id="PS256"),
        pytest.param("HS256", AT_HASH, id="HS256"),
        pytest.param("ES384", "jtAeDp945y1dDqU3nkIVGNZP1HjH_MFs", id="ES384"),
        pytest.param("ES512", "q7nS86GgvvFaZkzALLWqJYaJIKw2wCDAVfCAsm5CrBM", id="ES512"),
        pytest.param("EdDSA", "q7nS86GgvvFaZkzALLWqJYaJIKw2wCDAVfCAsm5CrBM", id="EdDSA"),
        pytest.param("Ed25519", "q7nS86GgvvFaZkzALLWqJYaJIKw2wCDAVfCAsm5CrBM", id="Ed25519"),
    ],
)
def test_at_hash_is_half_of_the_hash_of_the_algorithm(alg: str, expected: str) -> None:
    """The left half, by the hash function of the token's alg (Core, 3.1.3.6)."""
    assert at_hash_of(ACCESS_TOKEN, alg=alg) == expected
    assert check(FULL | {"at_hash": expected}, alg=alg, header={"alg": alg}).sub


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_an_id_token_of_each_algorithm_goes_all_the_way(alg: str) -> None:
    """From the text of the token to the checked claims."""
    key = signing_key(alg)
    token = build_jwt(FULL | {"at_hash": at_hash_of(ACCESS_TOKEN, alg=alg)}, key)
    header = read_jwt_header(token)
    claims = verify_jwt(token, KeySet.of([key]), algorithms=frozenset({alg}))
    assert check(claims, alg=header["alg"], header=header).sub == "248289761001"


def test_no_token_is_both_an_id_token_and_a_logout_token() -> None:
    """The rules of the two exclude each other (RFC 8725, 3.12), even without typ and nonce."""
    logout = changed(FULL, {"nonce": None, "jti": "bWJq", "events": {LOGOUT_EVENT: {}}})
    arguments: dict[str, Any] = {"header": {}, "issuer": ISSUER, "client_id": "app", "now": NOW}
    assert check_logout_token(logout, **arguments).sid == "08a5019c"
    assert refusal_of(lambda: check(logout, nonce=None)) == "events_prohibited"
    without = changed(logout, {"events": None})
    assert check(without, nonce=None).sid == "08a5019c"
    assert refusal_of(lambda: check_logout_token(without, **arguments)) == "claim_missing"


# -- after a refresh ------------------------------------------------------------------------------


def refresh(claims: Mapping[str, Any], previous: Mapping[str, Any] = FULL, **more: Any) -> IDToken:
    arguments: dict[str, Any] = {
        "alg": "RS256",
        "header": {"alg": "RS256", "kid": "k1"},
        "issuer": ISSUER,
        "client_id": "app",
        "now": NOW + 7200,
        "access_token": ACCESS_TOKEN,
        "trusted_audiences": ["api"],
    }
    return check_refreshed_id_token(claims, previous=previous, **arguments | more)


FRESH = changed(FULL, {"iat": NOW + 7200, "exp": NOW + 7500, "nonce": None})


@pytest.mark.parametrize(
    ("changes", "first"),
    [
        pytest.param({}, {}, id="without_nonce"),
        pytest.param({"nonce": NONCE}, {}, id="with_the_nonce"),
        pytest.param({}, {"nonce": None}, id="never_a_nonce"),
        pytest.param({"auth_time": None}, {}, id="without_auth_time"),
        pytest.param({}, {"auth_time": None}, id="auth_time_only_now"),
        pytest.param({"auth_time": int(NOW - 100)}, {}, id="auth_time_without_its_fraction"),
        pytest.param({"azp": None}, {"azp": None}, id="never_an_azp"),
        pytest.param({"aud": ["app"]}, {}, id="aud_as_list"),
        pytest.param({"aud": ["app", "api"]}, {"aud": ["api", "app"]}, id="aud_in_another_order"),
        pytest.param({"aud": ["app", "api"]}, {}, id="one_more_trusted_audience"),
        pytest.param({"sid": None, "acr": None, "email": None}, {}, id="fewer_other_claims"),
    ],
)
def test_a_refreshed_id_token_of_the_same_login_passes(
    changes: dict[str, Any], first: dict[str, Any]
) -> None:
    """What Core, 12.2 permits, long after the first id token and its max_age have passed."""
    assert refresh(changed(FRESH, changes), changed(FULL, first)).iat == NOW + 7200


@pytest.mark.parametrize(
    ("changes", "first", "code"),
    [
        pytest.param({"sub": "eve"}, {}, "sub_changed", id="sub"),
        pytest.param({}, {"iss": "https://old.example.com"}, "iss_changed", id="iss_of_the_first"),
        pytest.param({"iss": "https://evil.example"}, {}, "iss_mismatch", id="iss"),
        pytest.param({}, {"aud": ["app", "api"]}, "aud_changed", id="aud_fewer"),
        pytest.param({"aud": "other"}, {}, "aud_missing_us", id="aud"),
        pytest.param({"aud": ["app", "other"]}, {}, "aud_untrusted", id="aud_untrusted"),
        pytest.param({"azp": None}, {}, "azp_changed", id="azp_gone"),
        pytest.param({}, {"azp": None}, "azp_changed", id="azp_new"),
        pytest.param({"azp": "other"}, {}, "azp_mismatch", id="azp"),
        pytest.param({"auth_time": NOW + 7200}, {}, "auth_time_changed", id="auth_time_later"),
        pytest.param({"auth_time": NOW - 101.25}, {}, "auth_time_changed", id="auth_time_earlier"),
        pytest.param({"nonce": "other"}, {}, "nonce_changed", id="nonce"),
        pytest.param({"nonce": NONCE}, {"nonce": None}, "nonce_changed", id="nonce_new"),
        pytest.param({"nonce": "None"}, {"nonce": None}, "nonce_changed", id="nonce_None"),
        pytest.param({"exp": NOW + 7140}, {}, "token_expired", id="exp"),
        pytest.param({"iat": NOW + 7261}, {}, "iat_in_future", id="iat"),
        pytest.param({"at_hash": "other"}, {}, "at_hash_mismatch", id="at_hash"),
        pytest.param({"sub": None}, {}, "claim_missing", id="sub_missing"),
        pytest.param({"events": {LOGOUT_EVENT: {}}}, {}, "events_prohibited", id="logout_token"),
    ],
)
def test_a_refreshed_id_token_of_another_login_is_refused(
    changes: dict[str, Any], first: dict[str, Any], code: str
) -> None:
    """iss, sub, aud, azp, auth_time and nonce are those of the login (Core, 12.2), and all else
    is checked as at a login.
    """
    assert refresh(FRESH).sub == "248289761001"
    assert refusal_of(lambda: refresh(changed(FRESH, changes), changed(FULL, first))) == code


def test_a_refreshed_id_token_has_the_typ_of_an_id_token() -> None:
    """An access token is no id token after a refresh either."""
    assert refresh(FRESH, header={"typ": "JWT"})
    assert refusal_of(lambda: refresh(FRESH, header={"typ": "at+jwt"})) == "typ_wrong"


values = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
claims_of_any_type = st.dictionaries(
    st.sampled_from([*FULL, "events"]),
    values | st.lists(values) | st.dictionaries(st.text(), values),
)


@settings(database=None, deadline=None)
@given(claims_of_any_type, claims_of_any_type)
def test_only_our_refusals_come_out(claims: dict[str, Any], previous: dict[str, Any]) -> None:
    """Whatever types the claims have."""
    for call in (
        lambda: check(FULL | claims),
        lambda: refresh(FRESH | claims, FULL | previous),
    ):
        try:
            call()
        except ProtocolViolation:
            continue


def test_the_longest_sub() -> None:
    """A sub has at most 255 characters (Core, section 2), and one of so many is good."""
    assert check({**FULL, "sub": "s" * LONGEST_SUB}).sub == "s" * 255
    with pytest.raises(ProtocolViolation) as caught:
        check({**FULL, "sub": "s" * 256})
    assert caught.value.code == "sub_too_long"
