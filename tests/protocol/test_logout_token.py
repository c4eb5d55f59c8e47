"""Logout tokens: OpenID Connect Back-Channel Logout 1.0 with its errata, 2.4-2.6."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from parts.signing_keys import signing_key

from clefstorm.errors import ProtocolViolation
from clefstorm.protocol.jwks import KeySet
from clefstorm.protocol.jwt import ASYMMETRIC, build_jwt, read_jwt_header, verify_jwt
from clefstorm.protocol.logout_token import (
    LIFE_WITHOUT_EXP,
    LOGOUT_EVENT,
    LONGEST_LIFE,
    LogoutNotice,
    check_logout_token,
)

NOW = 1_700_000_000.0
ISSUER = "https://id.example.com"
CLAIMS: Mapping[str, Any] = {
    "iss": ISSUER,
    "sub": "248289761001",
    "aud": "app",
    "iat": NOW - 1,
    "exp": NOW + 120,
    "jti": "bWJq",
    "sid": "08a5019c",
    "events": {LOGOUT_EVENT: {}},
}


def changed(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Good claims with these changes; None leaves a claim out."""
    return {name: value for name, value in {**CLAIMS, **changes}.items() if value is not None}


def check(claims: Mapping[str, Any] = CLAIMS, **changes: Any) -> LogoutNotice:
    arguments: dict[str, Any] = {
        "header": {"alg": "RS256", "typ": "logout+jwt"},
        "issuer": ISSUER,
        "client_id": "app",
        "now": NOW,
        "trusted_audiences": ["api"],
    }
    return check_logout_token(claims, **arguments | changes)


def test_a_logout_token_becomes_a_notice() -> None:
    """Who signs out of which session, and until when its jti is to be remembered."""
    assert check() == LogoutNotice(
        iss=ISSUER,
        sub="248289761001",
        sid="08a5019c",
        jti="bWJq",
        iat=NOW - 1,
        forget_at=NOW + 120 + 60,
    )


@pytest.mark.parametrize(
    ("changes", "arguments"),
    [
        pytest.param({"sid": None}, {}, id="sub_alone"),
        pytest.param({"sub": None}, {}, id="sid_alone"),
        pytest.param({"aud": ["app"]}, {}, id="aud_list"),
        pytest.param({"aud": ["app", "api"]}, {}, id="aud_trusted"),
        pytest.param({"azp": "other"}, {}, id="claim_that_means_nothing_here"),
        pytest.param({"events": {LOGOUT_EVENT: {"more": 1}}}, {}, id="event_not_empty"),
        pytest.param({"events": {LOGOUT_EVENT: {}, "other": {}}}, {}, id="another_event_too"),
        pytest.param({"iat": NOW + 60}, {}, id="iat_within_leeway"),
        pytest.param({"exp": NOW - 59.5}, {}, id="exp_within_leeway"),
        pytest.param({"iat": NOW - 0.5, "exp": NOW + 119.5}, {}, id="fractions"),
        pytest.param({"iat": NOW, "exp": NOW + LONGEST_LIFE}, {}, id="longest_life"),
        pytest.param({}, {"exp_required": False}, id="exp_though_not_required"),
        pytest.param({}, {"header": {"alg": "RS256"}}, id="typ_absent"),
        pytest.param({}, {"header": {"typ": "JWT"}}, id="typ_JWT"),
        pytest.param({}, {"header": {"typ": "jwt"}}, id="typ_jwt"),
        pytest.param({}, {"header": {"typ": "application/jwt"}}, id="typ_application_jwt"),
        pytest.param({}, {"header": {"typ": "Logout+JWT"}}, id="typ_in_any_case"),
        pytest.param({}, {"header": {"typ": "application/logout+jwt"}}, id="typ_application"),
    ],
)
def test_what_real_providers_send_passes(
    changes: dict[str, Any], arguments: dict[str, Any]
) -> None:
    """Every form that the specification permits, old providers' typ included (2.4, 4.1); claims
    that are not understood are ignored.
    """
    notice = check(changed(changes), **arguments)
    assert (notice.sub, notice.sid) == (changed(changes).get("sub"), changed(changes).get("sid"))


REFUSED = [
    # 2.4, 4.1: explicit typing
    pytest.param({}, {"header": {"typ": "at+jwt"}}, "typ_wrong", id="typ_access_token"),
    pytest.param({}, {"header": {"typ": "id_token+jwt"}}, "typ_wrong", id="typ_id_token"),
    pytest.param({}, {"header": {"typ": "secevent+jwt"}}, "typ_wrong", id="typ_other_event"),
    pytest.param({}, {"header": {"typ": "logout"}}, "typ_wrong", id="typ_cut"),
    pytest.param({}, {"header": {"typ": "text/logout+jwt"}}, "typ_wrong", id="typ_text"),
    pytest.param({}, {"header": {"typ": ""}}, "typ_wrong", id="typ_empty"),
    # 2.6, 4: iss, aud, iat and exp as in id tokens
    pytest.param({"iss": None}, {}, "claim_missing", id="iss_missing"),
    pytest.param({"iss": "https://evil.example"}, {}, "iss_mismatch", id="iss_other"),
    pytest.param({"iss": [ISSUER]}, {}, "claim_type", id="iss_list"),
    pytest.param({"aud": None}, {}, "claim_missing", id="aud_missing"),
    pytest.param({"aud": "other"}, {}, "aud_missing_us", id="aud_other"),
    pytest.param({"aud": ["app", "other"]}, {}, "aud_untrusted", id="aud_untrusted"),
    pytest.param({"aud": 1}, {}, "claim_type", id="aud_number"),
    pytest.param({"iat": None}, {}, "claim_missing", id="iat_missing"),
    pytest.param({"iat": NOW + 61}, {}, "iat_in_future", id="iat_future"),
    pytest.param({"iat": "now"}, {}, "claim_type", id="iat_text"),
    pytest.param({"exp": None}, {}, "claim_missing", id="exp_missing"),
    pytest.param({"exp": NOW - 60}, {}, "token_expired", id="exp_past"),
    pytest.param({"exp": "soon"}, {}, "claim_type", id="exp_text"),
    pytest.param({"exp": True}, {"exp_required": False}, "claim_type", id="exp_boolean"),
    pytest.param({"nbf": NOW + 61}, {}, "nbf_in_future", id="nbf_future"),
    # 4: short-lived
    pytest.param(
        {"exp": NOW + LONGEST_LIFE}, {}, "logout_token_long_lived", id="longer_than_an_hour"
    ),
    pytest.param({"iat": 0}, {}, "logout_token_long_lived", id="iat_long_ago"),
    # 2.6, 5: whose session
    pytest.param({"sub": None, "sid": None}, {}, "sub_and_sid_missing", id="no_sub_and_no_sid"),
    pytest.param({"sub": ""}, {}, "claim_type", id="sub_empty"),
    pytest.param({"sub": 1}, {}, "claim_type", id="sub_number"),
    pytest.param({"sid": ""}, {}, "claim_type", id="sid_empty"),
    pytest.param({"sid": ["08a5019c"]}, {}, "claim_type", id="sid_list"),
    # 2.6, 6: the event
    pytest.param({"events": None}, {}, "claim_missing", id="events_missing"),
    pytest.param({"events": [LOGOUT_EVENT]}, {}, "claim_type", id="events_list"),
    pytest.param({"events": LOGOUT_EVENT}, {}, "claim_type", id="events_text"),
    pytest.param({"events": {}}, {}, "event_missing", id="events_empty"),
    pytest.param({"events": {"other": {}}}, {}, "event_missing", id="events_other"),
    pytest.param(
        {"events": {LOGOUT_EVENT.replace("http:", "https:"): {}}},
        {},
        "event_missing",
        id="event_https",
    ),
    pytest.param({"events": {LOGOUT_EVENT: None}}, {}, "event_type", id="event_null"),
    pytest.param({"events": {LOGOUT_EVENT: True}}, {}, "event_type", id="event_boolean"),
    pytest.param({"events": {LOGOUT_EVENT: []}}, {}, "event_type", id="event_list"),
    pytest.param({"events": {LOGOUT_EVENT: ""}}, {}, "event_type", id="event_text"),
    # 2.6, 7: no nonce
    pytest.param({"nonce": "n-0S6"}, {}, "nonce_prohibited", id="nonce"),
    pytest.param({"nonce": ""}, {}, "nonce_prohibited", id="nonce_empty"),
    # 2.4: jti
    pytest.param({"jti": None}, {}, "claim_missing", id="jti_missing"),
    pytest.param({"jti": ""}, {}, "claim_type", id="jti_empty"),
    pytest.param({"jti": 1}, {}, "claim_type", id="jti_number"),
]


@pytest.mark.parametrize(("changes", "arguments", "code"), REFUSED)
def test_a_logout_token_that_breaks_a_rule_is_refused(
    changes: dict[str, Any], arguments: dict[str, Any], code: str
) -> None:
    """Each step of Back-Channel Logout, 2.6; None stands for a claim that is left out."""
    assert check().jti == "bWJq"
    with pytest.raises(ProtocolViolation) as refusal:
        check(changed(changes), **arguments)
    assert refusal.value.code == code


def test_a_null_nonce_is_a_nonce() -> None:
    """The claim must not be there at all (2.4)."""
    with pytest.raises(ProtocolViolation) as refusal:
        check({**CLAIMS, "nonce": None})
    assert refusal.value.code == "nonce_prohibited"


def test_the_longest_life_is_an_hour() -> None:
    """Two minutes are asked for (4); an hour leaves room for providers that give more."""
    assert LONGEST_LIFE == 3600


def test_two_minutes_stand_in_for_exp_where_the_switch_says_so() -> None:
    """For providers that know no exp; iat is then the only bound, and is held (DESIGN, 9)."""
    claims = changed({"exp": None, "iat": NOW})
    edge = NOW + LIFE_WITHOUT_EXP + 60
    notice = check(claims, exp_required=False, now=edge - 0.1)
    assert notice.forget_at == edge
    with pytest.raises(ProtocolViolation) as refusal:
        check(claims, exp_required=False, now=edge)
    assert refusal.value.code == "token_expired"


@pytest.mark.parametrize("typ", [None, "JWT", "logout+jwt"])
def test_a_logout_token_goes_all_the_way(typ: str | None) -> None:
    """From the text of the token to the notice."""
    key = signing_key("ES256")
    token = build_jwt(CLAIMS, key, typ=typ)
    claims = verify_jwt(token, KeySet.of([key]), algorithms=ASYMMETRIC)
    assert check(claims, header=read_jwt_header(token)) == check()


values = st.none() | st.booleans() | st.integers() | st.floats() | st.text()


@settings(database=None, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from([*CLAIMS, "nonce", "nbf"]),
        values | st.lists(values) | st.dictionaries(st.text() | st.just(LOGOUT_EVENT), values),
    ),
    st.booleans(),
)
def test_only_our_refusals_come_out(claims: dict[str, Any], exp_required: bool) -> None:
    """Whatever types the claims have."""
    try:
        check({**CLAIMS, **claims}, exp_required=exp_required)
    except ProtocolViolation:
        return
