"""The compact form of a JWT, its signature, and its registered claims."""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from hypothesis import given, settings
from hypothesis import strategies as st
from parts.signing_keys import ALGORITHMS, HMAC_ALGORITHMS, PAIR_ALGORITHMS, signing_key

from clefstorm.errors import ConfigurationError, ProtocolViolation
from clefstorm.jws import read_base64url
from clefstorm.keys import HS256Key, Key, RS256Key, VerificationKey
from clefstorm.protocol.jwks import KeySet
from clefstorm.protocol.jwt import (
    ASYMMETRIC,
    HMAC,
    LARGEST_LEEWAY,
    LONGEST_TOKEN,
    audiences_of,
    build_jwt,
    check_aud,
    check_iss,
    check_leeway,
    check_times,
    read_jwt_claims_unverified,
    read_jwt_header,
    text_claim,
    time_claim,
    typ_of,
    verify_jwt,
)

CLAIMS = {"iss": "https://id.example.com", "sub": "ada", "exp": 1_700_000_000}
ALL = ASYMMETRIC | HMAC


def encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def signed(header: bytes, payload: bytes, key: Key) -> str:
    """A token of any header and payload, whose signature is good."""
    message = f"{encoded(header)}.{encoded(payload)}"
    return f"{message}.{encoded(key.sign(message.encode()))}"


def forged(changes: Mapping[str, Any], key: Key | None = None, payload: bytes = b"{}") -> str:
    """A token with these header members changed, None for left out; well signed."""
    key = key or signing_key("ES256")
    header = {"alg": key.alg, "typ": "JWT", "kid": key.kid} | changes
    kept = {name: value for name, value in header.items() if value is not None}
    return signed(json.dumps(kept).encode(), payload, key)


def public_pem(key: Key) -> bytes:
    private = serialization.load_pem_private_key(key.to_pem(), None)
    return private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def keyset(*keys: Key) -> KeySet:
    """A provider's set: a token must name its key."""
    return KeySet([VerificationKey.of(key) for key in keys])


def refusal_of(call: Callable[[], Any]) -> str:
    with pytest.raises(ProtocolViolation) as refusal:
        call()
    return refusal.value.code


# -- build and verify ---------------------------------------------------------------------------


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_a_token_that_was_built_is_verified(alg: str) -> None:
    """Signed here, checked there, the claims arrive as they left (RFC 7515, 5)."""
    key = signing_key(alg)
    token = build_jwt(CLAIMS, key)
    assert read_jwt_header(token) == {"alg": alg, "typ": "JWT", "kid": "k1"}
    assert verify_jwt(token, keyset(key), algorithms=frozenset({alg})) == CLAIMS
    assert read_jwt_claims_unverified(token) == CLAIMS
    stranger = keyset(signing_key(alg, owner="stranger"))
    assert refusal_of(lambda: verify_jwt(token, stranger, algorithms=ALL)) == "signature_invalid"


def test_the_header_has_a_typ_and_a_kid_only_when_there_is_one() -> None:
    """Both are optional (RFC 7515, 4.1.4 and 4.1.9)."""
    assert read_jwt_header(build_jwt({}, signing_key("ES256", kid=None), typ=None)) == {
        "alg": "ES256"
    }
    header = read_jwt_header(build_jwt({}, signing_key("ES256"), typ="logout+jwt"))
    assert header == {"alg": "ES256", "typ": "logout+jwt", "kid": "k1"}


def test_a_key_that_cannot_sign_builds_nothing() -> None:
    """A public key alone is no key to sign with."""
    with pytest.raises(ConfigurationError) as refusal:
        build_jwt(CLAIMS, RS256Key(public_pem(signing_key("RS256"))))
    assert refusal.value.code == "key_cannot_sign"


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_what_json_does_not_have_is_not_signed(number: float) -> None:
    """Others would refuse it as we do (RFC 8259, 6)."""
    with pytest.raises(ValueError, match="JSON"):
        build_jwt({"exp": number}, signing_key("ES256"))


def test_the_very_bytes_are_verified() -> None:
    """The signature is over the text that came, not over one made again (RFC 7515, 5.2)."""
    header, payload = b'{"kid":"k1",\r\n "alg":"ES256"}', b'{"b":1,\r\n   "a":"\\u00e9"}'
    token = signed(header, payload, signing_key("ES256"))
    keys = keyset(signing_key("ES256"))
    assert verify_jwt(token, keys, algorithms=ALL) == {"b": 1, "a": "é"}
    again = signed(header, payload.replace(b"\\u00e9", "é".encode()), signing_key("ES256"))
    mixed = f"{again.rpartition('.')[0]}.{token.rpartition('.')[2]}"
    assert verify_jwt(again, keys, algorithms=ALL) == {"b": 1, "a": "é"}
    assert refusal_of(lambda: verify_jwt(mixed, keys, algorithms=ALL)) == "signature_invalid"


def test_a_published_token_is_verified() -> None:
    """The example of RFC 7515, A.1, which somebody else signed with HS256."""
    secret = read_base64url(
        "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"
    )
    token = (
        "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQog"
        "Imh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    )
    assert verify_jwt(token, keyset(HS256Key(secret)), algorithms=HMAC) == {
        "iss": "joe",
        "exp": 1300819380,
        "http://example.com/is_root": True,
    }


def test_the_lists_of_algorithms_are_the_ones_there_are_keys_for() -> None:
    """Each algorithm that may be allowed can be verified; none is in neither list."""
    assert {*PAIR_ALGORITHMS, "Ed25519"} == ASYMMETRIC
    assert set(HMAC_ALGORITHMS) == HMAC


# -- refusals -----------------------------------------------------------------------------------

EMBEDDED = {
    "jwk": lambda: signing_key("ES256", owner="attacker").to_jwk(),
    "jku": lambda: "https://attacker.example/jwks",
    "x5u": lambda: "https://attacker.example/cert",
    "x5c": lambda: ["MIIB"],
}

HEADER_REFUSALS = [
    pytest.param({"alg": None}, "alg_missing", id="alg_missing"),
    pytest.param({"alg": 256}, "header_type", id="alg_number"),
    pytest.param({"alg": ["ES256"]}, "header_type", id="alg_list"),
    pytest.param({"alg": "none"}, "alg_none", id="alg_none"),
    pytest.param({"alg": "None"}, "alg_none", id="alg_None"),
    pytest.param({"alg": "nOnE"}, "alg_none", id="alg_nOnE"),
    pytest.param({"kid": 1}, "header_type", id="kid_number"),
    pytest.param({"kid": {"$ne": ""}}, "header_type", id="kid_object"),
    pytest.param({"typ": 1}, "header_type", id="typ_number"),
    pytest.param({"crit": ["exp"]}, "crit_refused", id="crit"),
    pytest.param({"crit": []}, "crit_refused", id="crit_empty"),
    pytest.param({"crit": ["b64"], "b64": False}, "crit_refused", id="crit_b64"),
    pytest.param({"b64": False}, "b64_refused", id="b64_false"),
    pytest.param({"b64": True}, "b64_refused", id="b64_true"),
]


@pytest.mark.parametrize(("changes", "code"), HEADER_REFUSALS)
def test_a_header_that_we_do_not_understand_is_refused(changes: dict[str, Any], code: str) -> None:
    """A token names its algorithm, which is not none, and asks for no extension that we lack
    (RFC 7515, 4.1.1 and 4.1.11; RFC 7797, 6; RFC 8725, 3.1-3.2).
    """
    keys = keyset(signing_key("ES256"))
    assert verify_jwt(forged({}), keys, algorithms=ALL) == {}
    assert refusal_of(lambda: read_jwt_header(forged(changes))) == code
    assert refusal_of(lambda: verify_jwt(forged(changes), keys, algorithms=ALL)) == code


SIGNATURE_REFUSALS = [
    pytest.param({"alg": "es256"}, "alg_not_allowed", id="alg_in_another_case"),
    pytest.param({"alg": "ES256K"}, "alg_not_allowed", id="alg_unknown"),
    pytest.param({"alg": ""}, "alg_not_allowed", id="alg_empty"),
    pytest.param({"alg": "ES384"}, "key_unfit", id="alg_of_another_curve"),
    pytest.param({"alg": "HS256"}, "key_unfit", id="alg_hmac"),
    pytest.param({"alg": "RS256"}, "key_unfit", id="alg_of_another_type"),
    pytest.param({"kid": "k2"}, "kid_unknown", id="kid_of_no_key"),
    pytest.param({"kid": "K1"}, "kid_unknown", id="kid_in_another_case"),
    pytest.param({"kid": ""}, "kid_unknown", id="kid_empty"),
    pytest.param({"kid": "../k1"}, "kid_unknown", id="kid_path"),
    pytest.param({"kid": "k1' OR '1'='1"}, "kid_unknown", id="kid_sql"),
]


@pytest.mark.parametrize(("changes", "code"), SIGNATURE_REFUSALS)
def test_a_token_is_checked_with_the_key_and_algorithm_it_must_have(
    changes: dict[str, Any], code: str
) -> None:
    """The caller's algorithms and the set's keys decide; alg and kid only choose among them
    (RFC 8725, 3.1 and 3.10).
    """
    keys = keyset(signing_key("ES256"))
    assert verify_jwt(forged({}), keys, algorithms=ALL) == {}
    assert refusal_of(lambda: verify_jwt(forged(changes), keys, algorithms=ALL)) == code


def test_an_algorithm_that_is_not_allowed_is_refused_though_a_key_permits_it() -> None:
    """The library takes the algorithms that its caller names, no others (RFC 8725, 3.1)."""
    token, keys = build_jwt({}, signing_key("ES256")), keyset(signing_key("ES256"))
    assert verify_jwt(token, keys, algorithms=frozenset({"ES256"})) == {}
    for algorithms in (frozenset({"RS256"}), frozenset[str](), HMAC):
        refused = refusal_of(lambda a=algorithms: verify_jwt(token, keys, algorithms=a))
        assert refused == "alg_not_allowed"


@pytest.mark.parametrize("alg", ["RS256", "ES256", "EdDSA"])
@pytest.mark.parametrize("hmac_alg", HMAC_ALGORITHMS)
def test_hmac_with_the_public_key_is_refused(alg: str, hmac_alg: str) -> None:
    """Everybody has the public key, so it is no secret, whatever is allowed (RFC 8725, 2.1)."""
    key = signing_key(alg)
    keys = KeySet([VerificationKey.from_jwk(key.to_jwk())])
    assert verify_jwt(build_jwt({}, key), keys, algorithms=ALL) == {}
    for secret in (public_pem(key), json.dumps(key.to_jwk()).encode()):
        for kid in ({"kid": "k1"}, {}):
            header = json.dumps({"alg": hmac_alg} | kid).encode()
            message = f"{encoded(header)}.{encoded(b'{}')}"
            digest = hmac.digest(secret, message.encode(), f"sha{hmac_alg[2:]}")
            attack = f"{message}.{encoded(digest)}"
            assert refusal_of(lambda t=attack: verify_jwt(t, keys, algorithms=ALL)) == "key_unfit"


@pytest.mark.parametrize("name", EMBEDDED)
def test_a_key_that_the_token_brings_along_is_not_used(name: str) -> None:
    """jwk, jku, x5u and x5c of a header choose no key (RFC 8725, 3.10); they are no fault."""
    brought = {name: EMBEDDED[name]()}
    keys = keyset(signing_key("ES256"))
    assert verify_jwt(forged(brought), keys, algorithms=ALL) == {}
    attack = forged(brought, signing_key("ES256", owner="attacker"))
    assert refusal_of(lambda: verify_jwt(attack, keys, algorithms=ALL)) == "signature_invalid"
    attack = forged(brought, signing_key("ES256", owner="attacker", kid="theirs"))
    assert refusal_of(lambda: verify_jwt(attack, keys, algorithms=ALL)) == "kid_unknown"


def test_a_token_without_kid_is_good_when_only_one_key_can_be_meant() -> None:
    """A provider with one key need not name it; with several it must (Core, 10.1)."""
    token = build_jwt({}, signing_key("ES256", kid=None))
    one = signing_key("ES256", kid="k1")
    assert verify_jwt(token, keyset(one), algorithms=ALL) == {}
    assert verify_jwt(token, keyset(one, signing_key("RS256")), algorithms=ALL) == {}
    several = keyset(one, signing_key("ES256", kid="k2", owner="stranger"))
    assert refusal_of(lambda: verify_jwt(token, several, algorithms=ALL)) == "kid_missing"
    other = keyset(signing_key("RS256"))
    assert refusal_of(lambda: verify_jwt(token, other, algorithms=ALL)) == "key_unfit"
    nothing = KeySet([])
    assert refusal_of(lambda: verify_jwt(token, nothing, algorithms=ALL)) == "kid_unknown"


def test_our_own_keys_in_rotation_need_no_kid() -> None:
    """What either of our keys signed is ours; a stranger's is not."""
    new, old = (signing_key("HS256", kid=None, owner=owner) for owner in ("new", "old"))
    keys = KeySet.of([new, old])
    for key in (new, old):
        assert verify_jwt(build_jwt(CLAIMS, key), keys, algorithms=HMAC) == CLAIMS
    token = build_jwt(CLAIMS, signing_key("HS256", kid=None, owner="stranger"))
    assert refusal_of(lambda: verify_jwt(token, keys, algorithms=HMAC)) == "signature_invalid"


def test_two_keys_of_one_kid_are_both_tried() -> None:
    """kid should be unlike for unlike keys, and is not always (RFC 7517, 4.5)."""
    keys = keyset(signing_key("ES256", owner="stranger"), signing_key("ES256"))
    assert verify_jwt(build_jwt(CLAIMS, signing_key("ES256")), keys, algorithms=ALL) == CLAIMS


@pytest.mark.parametrize("alg", ["EdDSA", "Ed25519"])
def test_ed25519_is_verified_under_both_its_names(alg: str) -> None:
    """A provider may write either name into the header (RFC 9864, 2.2)."""
    keys = KeySet([VerificationKey.from_jwk(signing_key("EdDSA").to_jwk())])
    token = forged({"alg": alg}, signing_key("EdDSA"))
    assert verify_jwt(token, keys, algorithms=ASYMMETRIC) == {}
    other = "Ed25519" if alg == "EdDSA" else "EdDSA"
    assert (
        refusal_of(lambda: verify_jwt(token, keys, algorithms=frozenset({other})))
        == "alg_not_allowed"
    )


def respelled(part: int, change: Callable[[str], str]) -> Callable[[str], str]:
    def respell(token: str) -> str:
        parts = token.split(".")
        parts[part] = change(parts[part])
        return ".".join(parts)

    return respell


def spare_bits(text: str) -> str:
    """The same octets with a spare bit set: another last letter of the alphabet."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    changed = text[:-1] + alphabet[alphabet.index(text[-1]) + 1]
    padding = "=" * (-len(text) % 4)
    assert base64.urlsafe_b64decode(text + padding) == base64.urlsafe_b64decode(changed + padding)
    return changed


FORM_REFUSALS = [
    pytest.param(lambda t: "", "jwt_malformed", id="empty"),
    pytest.param(lambda t: t.replace(".", ""), "jwt_malformed", id="one_part"),
    pytest.param(lambda t: t.rpartition(".")[0], "jwt_malformed", id="two_parts"),
    pytest.param(lambda t: t + ".AAAA", "jwt_malformed", id="four_parts"),
    pytest.param(lambda t: t + ".AAAA.AAAA", "jwt_encrypted", id="five_parts"),
    pytest.param(lambda t: t + ".AAAA" * 3, "jwt_malformed", id="six_parts"),
    pytest.param(lambda t: "." * 60_000, "jwt_malformed", id="many_dots"),
    pytest.param(lambda t: t + "A" * LONGEST_TOKEN, "jwt_too_long", id="too_long"),
    pytest.param(lambda t: "." * (LONGEST_TOKEN + 1), "jwt_too_long", id="too_many_dots"),
    pytest.param(lambda t: ".." + t.rpartition(".")[2], "json_invalid", id="empty_header"),
    pytest.param(lambda t: " " + t, "base64url_invalid", id="leading_space"),
    pytest.param(lambda t: t + "\n", "base64url_invalid", id="trailing_newline"),
    pytest.param(lambda t: "Bearer " + t, "base64url_invalid", id="bearer"),
    pytest.param(respelled(0, lambda p: p + "=" * (-len(p) % 4 or 4)), None, id="padded_header"),
    pytest.param(respelled(1, lambda p: p + "=" * (-len(p) % 4 or 4)), None, id="padded_payload"),
    pytest.param(respelled(2, lambda p: p + "="), None, id="padded_signature"),
    pytest.param(respelled(1, spare_bits), None, id="spare_bits_in_payload"),
    pytest.param(respelled(2, spare_bits), None, id="spare_bits_in_signature"),
    pytest.param(respelled(1, lambda p: p + "\ud800"), None, id="half_surrogate_in_payload"),
    pytest.param(respelled(1, lambda p: p[:4] + "é" + p[5:]), None, id="letter_not_ascii"),
    pytest.param(respelled(2, lambda p: ""), "signature_invalid", id="signature_empty"),
    pytest.param(
        respelled(2, lambda p: encoded(read_base64url(p)[:-1])),
        "signature_invalid",
        id="signature_short",
    ),
    pytest.param(
        respelled(2, lambda p: encoded(read_base64url(p) + b"\0")),
        "signature_invalid",
        id="signature_long",
    ),
    pytest.param(respelled(2, lambda p: encoded(b"\0" * 64)), "signature_invalid", id="all_zero"),
    pytest.param(respelled(1, lambda p: encoded(b'{"sub":"eve"}')), "signature_invalid", id="eve"),
    pytest.param(respelled(1, lambda p: ""), "signature_invalid", id="payload_empty"),
]


@pytest.mark.parametrize(("change", "code"), FORM_REFUSALS)
def test_a_token_has_one_form(change: Callable[[str], str], code: str | None) -> None:
    """Three parts of base64url, each in its one spelling, of bounded length (RFC 7515, 3.1
    and 5.2); None stands for base64url_invalid.
    """
    token = build_jwt({"sub": "ada!"}, signing_key("ES256"))
    keys = keyset(signing_key("ES256"))
    assert verify_jwt(token, keys, algorithms=ALL) == {"sub": "ada!"}
    refused = refusal_of(lambda: verify_jwt(change(token), keys, algorithms=ALL))
    assert refused == (code or "base64url_invalid")


def test_the_longest_token_is_read() -> None:
    """The bound is 64 kB, and not a byte less."""
    assert LONGEST_TOKEN == 65536
    key = signing_key("HS256")
    room = LONGEST_TOKEN - len(build_jwt({"pad": ""}, key))
    token = build_jwt({"pad": "x" * (room * 3 // 4)}, key)
    while len(token) < LONGEST_TOKEN:
        token = build_jwt({"pad": "x" * (len(json.loads(_payload(token))["pad"]) + 1)}, key)
    assert len(token) == LONGEST_TOKEN
    assert verify_jwt(token, keyset(key), algorithms=HMAC)["pad"]
    assert refusal_of(lambda: read_jwt_header(token + "A")) == "jwt_too_long"


def _payload(token: str) -> bytes:
    return read_base64url(token.split(".")[1])


JSON_REFUSALS = [
    pytest.param(b"[]", "json_not_object", id="array"),
    pytest.param(b'"text"', "json_not_object", id="text"),
    pytest.param(b"null", "json_not_object", id="null"),
    pytest.param(b"", "json_invalid", id="nothing"),
    pytest.param(b'{"alg":"ES256","alg":"ES256"}', "json_duplicate_name", id="name_twice"),
    pytest.param(b'{"a":NaN}', "json_invalid", id="nan"),
    pytest.param(b"\xef\xbb\xbf{}", "json_invalid", id="byte_order_mark"),
    pytest.param('{"a":1}'.encode("utf-16"), "json_invalid", id="utf_16"),
    pytest.param(b"{}{}", "json_invalid", id="two_values"),
    pytest.param(b"[" * 1000, "json_too_deep", id="deep"),
    pytest.param(build_jwt({}, signing_key("HS256")).encode(), "json_invalid", id="nested_jwt"),
]


@pytest.mark.parametrize(("raw", "code"), JSON_REFUSALS)
def test_header_and_claims_are_strict_json_objects(raw: bytes, code: str) -> None:
    """UTF-8 JSON objects with each name once (RFC 7515, 4 and 5.2; RFC 7519, 4 and 7.2;
    RFC 8725, 3.7), though the signature be good.
    """
    key = signing_key("ES256")
    keys, header = keyset(key), b'{"alg":"ES256","kid":"k1"}'
    assert verify_jwt(signed(header, b"{}", key), keys, algorithms=ALL) == {}
    bad_header, bad_claims = signed(raw, b"{}", key), signed(header, raw, key)
    assert refusal_of(lambda: read_jwt_header(bad_header)) == code
    assert refusal_of(lambda: verify_jwt(bad_header, keys, algorithms=ALL)) == code
    assert refusal_of(lambda: verify_jwt(bad_claims, keys, algorithms=ALL)) == code
    assert refusal_of(lambda: read_jwt_claims_unverified(bad_claims)) == code


def test_claims_are_not_read_before_the_signature_is_checked() -> None:
    """Nothing in a token is believed, or parsed, before its signature is good."""
    key = signing_key("ES256", owner="stranger")
    token = signed(b'{"alg":"ES256","kid":"k1"}', b"no json", key)
    assert (
        refusal_of(lambda: verify_jwt(token, keyset(signing_key("ES256")), algorithms=ALL))
        == "signature_invalid"
    )


def test_a_refusal_shows_nothing_of_the_token() -> None:
    """Evidence is algorithms, key ids and expectations, never a token or a part of one."""
    token = build_jwt({"secret": "sesame"}, signing_key("ES256", owner="stranger"))
    with pytest.raises(ProtocolViolation) as refusal:
        verify_jwt(token, keyset(signing_key("ES256")), algorithms=ALL)
    shown = f"{refusal.value!s} {refusal.value.evidence}"
    assert not any(part in shown for part in [*token.split("."), "sesame"])


@settings(database=None, deadline=None)
@given(
    st.text()
    | st.lists(st.binary(max_size=40).map(encoded) | st.text(max_size=5), max_size=7).map(".".join)
)
def test_only_our_refusals_come_out(text: str) -> None:
    """Whatever is sent as a token."""
    keys = keyset(signing_key("ES256"))
    for read in (
        read_jwt_header,
        read_jwt_claims_unverified,
        lambda token: verify_jwt(token, keys, algorithms=ALL),
    ):
        try:
            read(text)
        except ProtocolViolation:
            continue


# -- typ ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "typ"),
    [
        pytest.param({}, None, id="absent"),
        pytest.param({"typ": "JWT"}, "jwt", id="JWT"),
        pytest.param({"typ": "application/jwt"}, "jwt", id="with_application"),
        pytest.param({"typ": "Application/Logout+JWT"}, "logout+jwt", id="in_any_case"),
        pytest.param({"typ": "application/application/jwt"}, "application/jwt", id="only_once"),
        pytest.param({"typ": "text/jwt"}, "text/jwt", id="another_type"),
        pytest.param({"typ": ""}, "", id="empty"),
    ],
)
def test_typ_is_a_media_type(header: dict[str, str], typ: str | None) -> None:
    """Case does not matter, and "application/" may be left out (RFC 7515, 4.1.9)."""
    assert typ_of(header) == typ


# -- registered claims --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "code"),
    [
        pytest.param("", "claim_type", id="empty"),
        pytest.param(None, "claim_type", id="null"),
        pytest.param(1, "claim_type", id="number"),
        pytest.param(True, "claim_type", id="boolean"),
        pytest.param(["ada"], "claim_type", id="list"),
        pytest.param({"ada": 1}, "claim_type", id="object"),
    ],
)
@pytest.mark.parametrize("required", [True, False])
def test_a_text_claim_is_a_text(value: Any, code: str, required: bool) -> None:
    """A claim that is there has its registered type (RFC 7519, 4.1)."""
    assert text_claim({"sub": "ada"}, "sub", required=required) == "ada"
    assert refusal_of(lambda: text_claim({"sub": value}, "sub", required=required)) == code


@pytest.mark.parametrize(
    ("value", "code"),
    [
        pytest.param("1700000000", "claim_type", id="text"),
        pytest.param(None, "claim_type", id="null"),
        pytest.param(True, "claim_type", id="boolean"),
        pytest.param([1], "claim_type", id="list"),
        pytest.param(-1, "time_out_of_range", id="before_1970"),
        pytest.param(253402300800, "time_out_of_range", id="after_9999"),
        pytest.param(10**400, "time_out_of_range", id="beyond_any_float"),
        pytest.param(float("nan"), "time_out_of_range", id="nan"),
        pytest.param(float("inf"), "time_out_of_range", id="infinity"),
    ],
)
@pytest.mark.parametrize("required", [True, False])
def test_a_time_claim_is_a_time(value: Any, code: str, required: bool) -> None:
    """A NumericDate is a finite number of seconds, with or without fraction (RFC 7519, 2)."""
    for good in (0, 1_700_000_000, 1_700_000_000.25, 253402300799):
        assert time_claim({"exp": good}, "exp", required=required) == good
    assert refusal_of(lambda: time_claim({"exp": value}, "exp", required=required)) == code


@pytest.mark.parametrize("read", [text_claim, time_claim])
def test_a_claim_may_be_required(read: Any) -> None:
    """A required claim that is missing is named."""
    assert read({}, "x", required=False) is None
    with pytest.raises(ProtocolViolation) as refusal:
        read({}, "x", required=True)
    assert (refusal.value.code, refusal.value.evidence) == ("claim_missing", {"claim": "x"})


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        pytest.param({}, "claim_missing", id="missing"),
        pytest.param({"aud": None}, "claim_type", id="null"),
        pytest.param({"aud": 1}, "claim_type", id="number"),
        pytest.param({"aud": ""}, "claim_type", id="empty"),
        pytest.param({"aud": {"app": 1}}, "claim_type", id="object"),
        pytest.param({"aud": ["app", 1]}, "claim_type", id="number_in_list"),
        pytest.param({"aud": ["app", ["app"]]}, "claim_type", id="list_in_list"),
        pytest.param({"aud": ["app", ""]}, "claim_type", id="empty_in_list"),
        pytest.param({"aud": []}, "aud_missing_us", id="empty_list"),
        pytest.param({"aud": "other"}, "aud_missing_us", id="somebody_else"),
        pytest.param({"aud": "APP"}, "aud_missing_us", id="in_another_case"),
        pytest.param({"aud": "app2"}, "aud_missing_us", id="prefix"),
        pytest.param({"aud": "api"}, "aud_missing_us", id="trusted_alone"),
        pytest.param({"aud": ["other"]}, "aud_missing_us", id="list_of_somebody_else"),
        pytest.param({"aud": ["app", "other"]}, "aud_untrusted", id="also_a_stranger"),
        pytest.param({"aud": ["app", "api", "other"]}, "aud_untrusted", id="stranger_of_three"),
    ],
)
def test_the_audience_is_ours_and_otherwise_trusted(claims: dict[str, Any], code: str) -> None:
    """Our client_id is an audience, and there is none that we don't trust (Core, 3.1.3.7, 3)."""
    good: tuple[Any, ...] = ("app", ["app"], ["app", "app"], ["api", "app"])
    for aud in good:
        audiences = check_aud({"aud": aud}, client_id="app", trusted=["api"])
        assert audiences == audiences_of({"aud": aud})
        assert "app" in audiences
    assert refusal_of(lambda: check_aud(claims, client_id="app", trusted=["api"])) == code


@pytest.mark.parametrize(
    ("iss", "code"),
    [
        pytest.param("https://id.example.com/", "iss_mismatch", id="trailing_slash"),
        pytest.param("https://ID.example.com", "iss_mismatch", id="in_another_case"),
        pytest.param("http://id.example.com", "iss_mismatch", id="another_scheme"),
        pytest.param("https://id.example.com:443", "iss_mismatch", id="default_port"),
        pytest.param("https://id.example.com.evil.example", "iss_mismatch", id="longer"),
        pytest.param("https://evil.example", "iss_mismatch", id="somebody_else"),
        pytest.param("", "claim_type", id="empty"),
        pytest.param(["https://id.example.com"], "claim_type", id="list"),
    ],
)
def test_the_issuer_is_the_one_to_the_letter(iss: Any, code: str) -> None:
    """iss matches the issuer exactly (Core, 3.1.3.7, 2; RFC 8725, 3.8)."""
    issuer = "https://id.example.com"
    assert check_iss({"iss": issuer}, issuer=issuer) == issuer
    assert refusal_of(lambda: check_iss({"iss": iss}, issuer=issuer)) == code
    assert refusal_of(lambda: check_iss({}, issuer=issuer)) == "claim_missing"


NOW = 1_700_000_000.0


@pytest.mark.parametrize(
    "claims",
    [
        pytest.param({"exp": NOW - 59.9}, id="exp_within_leeway"),
        pytest.param({"iat": NOW + 60}, id="iat_within_leeway"),
        pytest.param({"nbf": NOW + 60}, id="nbf_within_leeway"),
        pytest.param({"nbf": 0}, id="nbf_zero"),
        pytest.param({"iat": 0}, id="iat_long_ago"),
        pytest.param({"iat": NOW + 0.5, "exp": NOW + 1.5}, id="fractions"),
    ],
)
def test_times_within_the_leeway_pass(claims: dict[str, float]) -> None:
    """Clocks may be apart by the leeway (Core, 3.1.3.7, 9; RFC 7519, 4.1.4-4.1.5)."""
    claims = {"iat": NOW, "exp": NOW + 300} | claims
    assert check_times(claims, now=NOW, leeway=60) == (claims["iat"], claims["exp"])


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        pytest.param({"exp": NOW - 60}, "token_expired", id="expired"),
        pytest.param({"exp": 0}, "token_expired", id="expired_long_ago"),
        pytest.param({"iat": NOW + 60.1}, "iat_in_future", id="iat_in_future"),
        pytest.param({"nbf": NOW + 60.1}, "nbf_in_future", id="nbf_in_future"),
        pytest.param({"exp": None}, "claim_missing", id="exp_missing"),
        pytest.param({"iat": None}, "claim_missing", id="iat_missing"),
        pytest.param({"exp": "tomorrow"}, "claim_type", id="exp_text"),
        pytest.param({"iat": "now"}, "claim_type", id="iat_text"),
        pytest.param({"nbf": "now"}, "claim_type", id="nbf_text"),
        pytest.param({"exp": True}, "claim_type", id="exp_boolean"),
    ],
)
def test_a_token_is_good_only_in_its_time(changes: dict[str, Any], code: str) -> None:
    """Now is before exp and not before iat and nbf (Core, 3.1.3.7, 9-10; RFC 7519, 4.1.4-4.1.6);
    None stands for a claim that is left out.
    """
    good = {"iat": NOW, "exp": NOW + 300, "nbf": NOW}
    check_times(good, now=NOW, leeway=60)
    claims = {name: value for name, value in (good | changes).items() if value is not None}
    assert refusal_of(lambda: check_times(claims, now=NOW, leeway=60)) == code


def test_a_life_may_stand_in_for_a_missing_exp() -> None:
    """Where a provider's switch says so; an exp that is there counts, and is checked."""
    assert check_times({"iat": NOW}, now=NOW, leeway=60, without_exp=120) == (NOW, NOW + 120)
    late = NOW + 180
    assert check_times({"iat": NOW}, now=late - 0.1, leeway=60, without_exp=120)
    for claims, code in (
        ({"iat": NOW}, "token_expired"),
        ({"iat": NOW, "exp": NOW + 100}, "token_expired"),
        ({"iat": NOW, "exp": None}, "claim_type"),
    ):
        refused = refusal_of(lambda c=claims: check_times(c, now=late, leeway=60, without_exp=120))
        assert refused == code


@pytest.mark.parametrize("leeway", [0, 1, 0.5, 60.0, LARGEST_LEEWAY])
def test_leeway(leeway: float) -> None:
    """Exact clocks may be asked for, and up to ten minutes be granted."""
    assert check_leeway(leeway) == leeway


@pytest.mark.parametrize(
    "leeway",
    [
        pytest.param(-1, id="negative"),
        pytest.param(LARGEST_LEEWAY + 1, id="eleven_minutes"),
        pytest.param(float("nan"), id="nan"),
        pytest.param(float("inf"), id="infinite"),
        pytest.param("60", id="text"),
        pytest.param(None, id="null"),
    ],
)
def test_leeway_that_means_nothing(leeway: Any) -> None:
    """With more, or with no number, an expiry would mean nothing."""
    with pytest.raises(ConfigurationError) as caught:
        check_leeway(leeway)
    assert caught.value.code == "leeway_invalid"


def test_only_padding_is_taken_off() -> None:
    """Base64url without padding loses nothing else (RFC 7515, section 2): whatever a signature
    ends in, the token is good.
    """
    key = signing_key("HS384")
    tokens = [build_jwt({"n": number}, key) for number in range(2000)]
    assert len({token[-1] for token in tokens}) == 64
    for number, token in enumerate(tokens):
        assert verify_jwt(token, KeySet.of([key]), algorithms=HMAC) == {"n": number}
