"""A provider's keys: what is read of its document, and which key may check what."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from parts.signing_keys import signing_key

from clefstorm.errors import ProtocolViolation
from clefstorm.protocol.exchange import KeysWanted, Response
from clefstorm.protocol.jwks import MOST_KEYS, KeySet, keys_of, read_jwks


def jwk(kind: str = "ES256", name: str | None = "k1", /, **changes: Any) -> dict[str, Any]:
    return signing_key(kind, kid=name).to_jwk() | changes


def document(*keys: Any) -> bytes:
    return json.dumps({"keys": keys}).encode()


def test_the_keys_of_a_document_are_read() -> None:
    """A JWK Set is an object whose keys are an array of JWKs (RFC 7517, 5)."""
    keys = read_jwks(document(jwk("RS256", "a"), jwk("ES256", "b"), jwk("EdDSA", None)))
    assert [key.kid for key in keys.keys] == ["a", "b", None]
    assert not keys.ours
    message, signature = b"message", signing_key("ES256").sign(b"message")
    (found,) = keys.candidates(alg="ES256", kid="b")
    assert found.verifies(message, signature, alg="ES256")


def test_other_members_of_a_document_are_ignored() -> None:
    """A set may have members that we don't know (RFC 7517, 5)."""
    body = json.dumps({"keys": [jwk()], "issued": {"at": 1}}).encode()
    assert read_jwks(body).knows("k1")


@pytest.mark.parametrize(
    "unusable",
    [
        pytest.param({}, id="empty_object"),
        pytest.param("key", id="text"),
        pytest.param(None, id="null"),
        pytest.param([["kty", "EC"]], id="list"),
        pytest.param({"kty": "AKP", "alg": "ML-DSA-44", "pub": "AAAA"}, id="kty_of_the_future"),
        pytest.param({"kty": "oct", "k": "c2VjcmV0", "kid": "k2"}, id="secret"),
        pytest.param(jwk("RS256", "k2", use="enc"), id="for_encryption"),
        pytest.param(jwk("RS256", "k2", alg="RSA-OAEP"), id="of_another_alg"),
        pytest.param(jwk("RS256", "k2", key_ops=["wrapKey"]), id="of_other_operations"),
        pytest.param(jwk("RS256", "k2", d="AQAB"), id="private"),
        pytest.param(jwk("RS256", "k2", n="AQAB"), id="too_small"),
        pytest.param(jwk("ES256", "k2", y="AAAA"), id="broken_number"),
        pytest.param(jwk("ES256", "k2", kid=2), id="kid_number"),
    ],
)
def test_a_key_that_cannot_serve_is_left_out_and_the_rest_serves(unusable: Any) -> None:
    """Keys that are not understood or out of range are ignored (RFC 7517, 5); a document of
    nothing else is refused, so that nobody caches it.
    """
    keys = read_jwks(document(unusable, jwk()))
    assert [key.kid for key in keys.keys] == ["k1"]
    assert not keys.knows("k2")
    with pytest.raises(ProtocolViolation) as refusal:
        read_jwks(document(unusable))
    assert refusal.value.code == "jwks_no_usable_key"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        pytest.param(b"", "json_invalid", id="nothing"),
        pytest.param(b"<html>", "json_invalid", id="html"),
        pytest.param(b'{"keys": [NaN]}', "json_invalid", id="nan"),
        pytest.param(b'{"keys": [], "keys": []}', "json_duplicate_name", id="keys_twice"),
        pytest.param(
            b'{"keys": [{"kid": "a", "kid": "b"}]}', "json_duplicate_name", id="kid_twice"
        ),
        pytest.param(b"[]", "json_not_object", id="array"),
        pytest.param(b"null", "json_not_object", id="null"),
        pytest.param(b"{}", "jwks_malformed", id="keys_missing"),
        pytest.param(b'{"keys": null}', "jwks_malformed", id="keys_null"),
        pytest.param(b'{"keys": {"k1": {}}}', "jwks_malformed", id="keys_object"),
        pytest.param(b'{"keys": []}', "jwks_no_usable_key", id="keys_empty"),
        pytest.param(document(*[{}] * (MOST_KEYS + 1)), "jwks_too_many_keys", id="too_many"),
        pytest.param(b'{"keys": ' + b"[" * 1000, "json_too_deep", id="deep"),
    ],
)
def test_a_document_that_is_no_jwks_is_refused(body: bytes, code: str) -> None:
    """Strict JSON, an object, an array of keys, not too many, one of use (RFC 7517, 5)."""
    assert MOST_KEYS == 100
    assert len(read_jwks(document(jwk(), *[{}] * (MOST_KEYS - 1))).keys) == 1
    with pytest.raises(ProtocolViolation) as refusal:
        read_jwks(body)
    assert refusal.value.code == code


def test_the_refusal_says_what_was_wrong_with_the_keys() -> None:
    """Whoever reads the log learns why no key served."""
    with pytest.raises(ProtocolViolation) as refusal:
        read_jwks(document(jwk(use="enc"), {"kty": "oct", "k": "c2VjcmV0"}, "key"))
    assert refusal.value.evidence == {"reasons": "jwk_use, jwk_symmetric, jwk_not_object"}


def test_candidates_have_the_kid_and_permit_the_alg() -> None:
    """The key that the token names, or every one that could be meant (Core, 10.1)."""
    keys = read_jwks(
        document(jwk("RS256", "rsa"), jwk("ES256", "a"), jwk("ES256", "b"), jwk("EdDSA", None))
    )

    def kids(alg: str, kid: str | None) -> list[str | None]:
        return [key.kid for key in keys.candidates(alg=alg, kid=kid)]

    assert kids("ES256", "a") == ["a"]
    assert kids("ES256", None) == ["a", "b"]
    assert kids("EdDSA", None) == [None]
    assert kids("RS256", "a") == []
    assert kids("PS256", "rsa") == []
    assert kids("HS256", None) == []
    assert kids("ES256", "c") == []
    assert kids("EdDSA", "") == []


def test_a_set_knows_the_kids_of_its_usable_keys() -> None:
    """An unfamiliar kid is what a new fetch is for (Core, 10.1.1); no kid is familiar as soon
    as there is any key.
    """
    keys = read_jwks(document(jwk("ES256", "a"), jwk("EdDSA", None)))
    assert [keys.knows(kid) for kid in ("a", "b", "", None)] == [True, False, False, True]
    assert not KeySet([]).knows(None)


def test_a_set_of_our_own_keys() -> None:
    """Rotation lists of ours verify, secrets included."""
    ours = [signing_key("HS256", kid="a"), signing_key("ES256", kid="b")]
    keys = KeySet.of(ours)
    assert keys.ours
    assert [(key.kid, key.algorithms) for key in keys.keys] == [("a", {"HS256"}), ("b", {"ES256"})]


members = st.dictionaries(
    st.sampled_from(["kty", "crv", "n", "e", "x", "y", "d", "use", "alg", "kid", "key_ops"]),
    st.sampled_from(["RSA", "EC", "OKP", "P-256", "Ed25519", "sig", "AQAB", "ES256", "verify"])
    | st.none()
    | st.integers()
    | st.text()
    | st.lists(st.text()),
)


@settings(database=None, deadline=None)
@given(st.lists(members | st.just(jwk()).flatmap(lambda good: members.map(lambda m: good | m))))
def test_only_our_refusals_come_out(keys: list[dict[str, Any]]) -> None:
    """Whatever a provider publishes as keys."""
    try:
        read_jwks(document(*keys))
    except ProtocolViolation:
        return


def test_what_keys_are_asked_for() -> None:
    """``keys_of`` asks for the keys of a provider, with all that it was told of the token, and
    returns the set that it is sent; nothing else answers it.
    """
    uri, newer = "https://id.example/jwks", KeySet(())
    plain = keys_of(uri, "k1")
    assert next(plain) == KeysWanted(uri, "k1", first_hand=False, instead_of=None)
    with pytest.raises(StopIteration) as end:
        plain.send(newer)
    assert end.value.value is newer
    whole = keys_of(uri, None, first_hand=True, instead_of=newer)
    assert next(whole) == KeysWanted(uri, None, first_hand=True, instead_of=newer)
    with pytest.raises(TypeError):
        whole.send(Response(status=200))
