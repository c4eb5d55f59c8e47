"""The signed state: ours, in time, of this provider, of this browser."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from protocol.expecting import refusal

from clefstorm.errors import RequestRefused
from clefstorm.keys import ES256Key, HS256Key, Key, generate_key
from clefstorm.protocol.jwt import build_jwt, read_jwt_header
from clefstorm.protocol.state import (
    State,
    build_state,
    check_browser,
    check_state,
    forgery_protection,
)

NOW = 1_700_000_000.0
SERVER = "https://id.example"
BROWSER = "a-random-value-of-the-browser"
KEY = HS256Key(b"k" * 32)
OTHER = HS256Key(b"o" * 32)


def build(key: Key = KEY, **changes: Any) -> str:
    return build_state(
        key,
        **{
            "authorization_server": SERVER,
            "browser_secret": BROWSER,
            "now": NOW,
            "lifetime": 600,
            **changes,
        },
    )


def check(state: str, *keys: Key, **changes: Any) -> State:
    return check_state(
        state, keys or (KEY,), **{"authorization_server": SERVER, "now": NOW, **changes}
    )


def claims_of(state: str) -> dict[str, Any]:
    payload = state.split(".")[1]
    claims: dict[str, Any] = json.loads(
        base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))
    )
    return claims


def test_round_trip() -> None:
    """The state is a JWT with the claims a, as, iat, rfp, exp and nonce (WIRE, Eternaltwin)."""
    state = build()
    assert set(claims_of(state)) == {"a", "as", "iat", "rfp", "exp", "nonce"}
    found = check(state)
    assert (found.a, found.as_, found.iat, found.exp) == ("authorize", SERVER, NOW, NOW + 600)
    check_browser(found, BROWSER)


def test_states_differ() -> None:
    """Two logins never share a state (RFC 6749, section 10.10)."""
    assert len({build() for _ in range(20)}) == 20


def test_browser_secret_stays() -> None:
    """The state carries no secret, for it travels in URLs: rfp is a hash of what the browser
    holds.
    """
    assert BROWSER not in json.dumps(claims_of(build()))
    assert claims_of(build())["rfp"] == forgery_protection(BROWSER)
    assert len(forgery_protection(BROWSER)) == 43


def test_a_key_pair_signs_too() -> None:
    """The state is signed by the configured key: HMAC, RSA, EC or EdDSA (WIRE, Eternaltwin)."""
    pair = generate_key("ES256", kid="k1")
    assert check(build(pair), pair).as_ == SERVER
    other = generate_key("ES256", kid="k1")
    with refusal(RequestRefused, "state_invalid"):
        check(build(other), pair)


def test_rotation() -> None:
    """Keys rotate: what the older key signed is still ours, whether keys have ids or none."""
    named = HS256Key(b"n" * 32, kid="n")
    for older in (KEY, named):
        for newer in (OTHER, HS256Key(b"p" * 32, kid="p")):
            assert check(build(older), newer, older).as_ == SERVER
            with refusal(RequestRefused, "state_invalid"):
                check(build(older), newer)


@pytest.mark.parametrize(
    "age",
    [
        pytest.param(600, id="at_its_end"),
        pytest.param(601, id="later"),
        pytest.param(10**6, id="much_later"),
    ],
)
def test_expired(age: float) -> None:
    """A pending login lives for ten minutes (DESIGN, section 8); exp: "on or after which" (RFC
    7519, section 4.1.4).
    """
    state = build()
    assert check(state, now=NOW + 599.9).exp == NOW + 600
    with refusal(RequestRefused, "state_expired"):
        check(state, now=NOW + age)


@pytest.mark.parametrize(
    "server",
    ["https://evil.example", "https://id.example/", "https://ID.example", "http://id.example"],
)
def test_other_provider(server: str) -> None:
    """A state belongs to the authorization server that it was sent to (RFC 9700, 4.4.2)."""
    assert check(build()).as_ == SERVER
    with refusal(RequestRefused, "state_other_provider"):
        check(build(authorization_server=server))


def test_expired_comes_before_other_provider() -> None:
    """An old state says that it is old, whoever it was for: that is what the user can mend."""
    state = build(authorization_server="https://evil.example")
    with refusal(RequestRefused, "state_expired"):
        check(state, now=NOW + 601)


@pytest.mark.parametrize("other", ["", "x", BROWSER + "x", forgery_protection(BROWSER)])
def test_other_browser(other: str) -> None:
    """The client MUST bind the state to the user agent (RFC 6749, section 10.12)."""
    found = check(build())
    check_browser(found, BROWSER)
    with refusal(RequestRefused, "state_other_browser"):
        check_browser(found, other)


def signed(**changes: Any) -> str:
    claims: dict[str, Any] = {
        "a": "authorize",
        "as": SERVER,
        "iat": NOW,
        "rfp": forgery_protection(BROWSER),
        "exp": NOW + 600,
        "nonce": "n",
        **changes,
    }
    return build_jwt({name: value for name, value in claims.items() if value is not ...}, KEY)


@pytest.mark.parametrize(
    "changes",
    [
        *(
            pytest.param({name: ...}, id=f"without_{name}")
            for name in ("a", "as", "iat", "rfp", "exp", "nonce")
        ),
        *(
            pytest.param({name: value}, id=f"{name}_{type(value).__name__}")
            for name in ("a", "as", "rfp", "nonce")
            for value in ("", 7, None, [], True)
        ),
        *(
            pytest.param({name: value}, id=f"{name}_{type(value).__name__}")
            for name in ("iat", "exp")
            for value in ("1700000000", None, [], True)
        ),
        pytest.param({"a": "link"}, id="other_action"),
        pytest.param({"exp": 1e300}, id="exp_beyond_all_calendars"),
    ],
)
def test_claims(changes: dict[str, Any]) -> None:
    """What is signed by our key but is no state of a login is refused (RFC 8725, section 3.11)."""
    check_browser(check(signed()), BROWSER)
    with refusal(RequestRefused, "state_invalid"):
        check(signed(**changes))


def test_odd_forgery_protection() -> None:
    """An rfp that no browser could have made is refused, and no foreign exception."""
    check_browser(check(signed()), BROWSER)
    with refusal(RequestRefused, "state_other_browser"):
        check_browser(check(signed(rfp="é")), BROWSER)


def tampered(state: str, **changes: Any) -> str:
    header, _, signature = state.split(".")
    claims = {**claims_of(state), **changes}
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"{header}.{payload}.{signature}"


def unsigned() -> str:
    header = base64.urlsafe_b64encode(b'{"alg":"none"}').decode().rstrip("=")
    return f"{header}.{build().split('.')[1]}."


def signed_with_the_public_key() -> tuple[str, Key]:
    """A state "signed" by HMAC with the public half of a key pair as the secret."""
    pair = generate_key("ES256")
    assert isinstance(pair, ES256Key)
    point = json.dumps(pair.to_jwk()).encode()
    return build(HS256Key(point + b"-" * 32)), pair


@pytest.mark.parametrize(
    "state",
    [
        pytest.param(build(OTHER), id="other_key"),
        pytest.param(tampered(build(), exp=NOW + 10**6), id="altered"),
        pytest.param(unsigned(), id="unsigned"),
        pytest.param(build().rpartition(".")[0] + ".", id="signature_cut"),
        pytest.param(build()[:-2], id="signature_shortened"),
        pytest.param(build() + "=", id="padded"),
        pytest.param(build() + " ", id="space_behind"),
        pytest.param(build() + "." + build(), id="two_states"),
        pytest.param(build(HS256Key(b"k" * 32, kid="k9")), id="unknown_kid"),
        pytest.param("", id="empty"),
        pytest.param("x", id="word"),
        pytest.param("a.b.c", id="three_words"),
        pytest.param("a.b.c.d.e", id="encrypted"),
        pytest.param("." * 100_000, id="many_dots"),
        pytest.param("a" * 10**6, id="long"),
        pytest.param("é.é.é", id="beyond_ascii"),
        pytest.param("\ud800.\ud800.\ud800", id="half_surrogates"),
    ],
)
def test_not_ours(state: str) -> None:
    """Only what our key signed is a state; alg, length and shape are judged (RFC 8725, 3.1)."""
    assert check(build()).as_ == SERVER
    with refusal(RequestRefused, "state_invalid"):
        check(state)


def test_algorithm_confusion() -> None:
    """A key serves its own algorithm only (RFC 8725, sections 2.1 and 3.1)."""
    forged, pair = signed_with_the_public_key()
    assert read_jwt_header(forged)["alg"] == "HS256"
    assert check(build(pair), pair).as_ == SERVER
    with refusal(RequestRefused, "state_invalid") as caught:
        check(forged, pair)
    assert caught.value.evidence["reason"] == "alg_not_allowed"


def test_error_shows_no_state() -> None:
    """Evidence never holds the value that was refused (DESIGN, law 4)."""
    forged = build(OTHER)
    with refusal(RequestRefused, "state_invalid") as caught:
        check(forged)
    assert forged[-20:] not in str(caught.value)
    assert caught.value.__cause__ is None


@settings(max_examples=300, deadline=None, database=None)
@given(
    st.text(max_size=80)
    | st.lists(st.sampled_from([*build().split("."), ".", "e30", "é"])).map("".join)
)
def test_only_errors_of_ours(state: str) -> None:
    """Whatever stands in the callback's state, only a RequestRefused comes out."""
    try:
        check(state)
    except RequestRefused:
        return
    assert claims_of(state)["as"] == SERVER
