"""A provider's JWT and the keys that it is checked with, also when those were rotated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from parts.signing_keys import signing_key
from protocol.expecting import refusal

from clefstorm.errors import ProtocolViolation
from clefstorm.keys import Key, VerificationKey
from clefstorm.protocol.exchange import KeysWanted
from clefstorm.protocol.jwks import KeySet
from clefstorm.protocol.jwt import build_jwt
from clefstorm.protocol.metadata import ProviderMetadata
from clefstorm.protocol.provider_jwt import agreed_algorithms, verify_provider_jwt

JWKS = "https://id.example/jwks"
METADATA = ProviderMetadata(
    issuer="https://id.example",
    authorization_endpoint="https://id.example/authorize",
    token_endpoint="https://id.example/token",
    jwks_uri=JWKS,
)
ALGORITHMS = frozenset({"RS256", "ES256"})


def key_set(*keys: Key) -> KeySet:
    return KeySet(tuple(map(VerificationKey.of, keys)))


def verify(
    token: str, *answers: KeySet, first_hand: bool = False
) -> tuple[Mapping[str, Any], list[KeysWanted]]:
    """The claims, and what was asked for on the way."""
    flow = verify_provider_jwt(token, METADATA, algorithms=ALGORITHMS, first_hand=first_hand)
    asks = [next(flow)]
    try:
        for answer in answers:
            asks.append(flow.send(answer))
    except StopIteration as end:
        return end.value[1], asks
    raise AssertionError("it asks on")


def of(alg: str = "ES256", *, kid: str | None = None, owner: str = "provider") -> Key:
    return signing_key(alg, kid=kid, owner=owner)


@pytest.mark.parametrize("first_hand", [True, False])
@pytest.mark.parametrize("kid", ["k1", None])
def test_one_look_at_the_keys_is_enough(kid: str | None, first_hand: bool) -> None:
    """A token that the keys at hand verify costs no second look."""
    key = of(kid=kid)
    claims, asks = verify(build_jwt({"a": 1}, key), key_set(key), first_hand=first_hand)
    assert (claims, asks) == ({"a": 1}, [KeysWanted(JWKS, kid, first_hand)])


@pytest.mark.parametrize(
    "old", [pytest.param(of(owner="old"), id="key"), pytest.param(of("RS256"), id="alg")]
)
def test_a_rotated_key_without_kid_is_looked_for(old: Key) -> None:
    """A provider that names no kid has rotated its one key: newer ones verify (Core, 10.1.1)."""
    stale, fresh = key_set(old), key_set(of())
    claims, asks = verify(build_jwt({"a": 1}, of()), stale, fresh, first_hand=True)
    assert claims == {"a": 1}
    assert asks[1] == KeysWanted(JWKS, None, True, stale)


def test_a_signature_stays_wrong_when_there_are_no_newer_keys() -> None:
    """The same keys again are no reason to look at the token again, nor are newer ones a reason
    to believe it."""
    token, stale = build_jwt({"a": 1}, of()), key_set(of(owner="old"))
    with refusal(ProtocolViolation, "signature_invalid"):
        verify(token, stale, stale)
    with refusal(ProtocolViolation, "signature_invalid"):
        verify(token, stale, key_set(of(owner="other")))


def test_a_wrong_signature_under_a_kid_costs_no_second_look() -> None:
    """A kid that is known says which key was meant: there is nothing to look for."""
    with refusal(ProtocolViolation, "signature_invalid"):
        verify(build_jwt({"a": 1}, of(kid="k1")), key_set(of(kid="k1", owner="old")))


def test_several_keys_without_kid_cost_no_second_look() -> None:
    """Which of several keys is meant, no newer set would say (Core, 10.1)."""
    with refusal(ProtocolViolation, "kid_missing"):
        verify(build_jwt({"a": 1}, of()), key_set(of(), of(owner="old")))


@pytest.mark.parametrize(
    ("pinned", "announced", "agreed"),
    [
        pytest.param(("ES256",), ("RS256",), {"ES256"}, id="pinned"),
        pytest.param(("HS256",), (), {"HS256"}, id="pinned_hmac"),
        pytest.param(None, (), {"RS256"}, id="nothing_announced"),
        pytest.param(None, ("ES256", "PS256"), {"ES256", "PS256"}, id="announced"),
        pytest.param(None, ("RS256", "HS256", "none"), {"RS256"}, id="hmac_and_none_announced"),
        pytest.param(None, ("HS256",), set(), id="hmac_alone_announced"),
        pytest.param(None, ("EdDSA",), {"EdDSA", "Ed25519"}, id="one_curve_under_two_names"),
        pytest.param(("Ed25519",), (), {"EdDSA", "Ed25519"}, id="pinned_under_one_of_them"),
    ],
)
def test_agreed_algorithms(
    pinned: tuple[str, ...] | None, announced: tuple[str, ...], agreed: set[str]
) -> None:
    """What is pinned counts; else what is announced and only the provider can sign with, RS256
    where nothing is (Core, section 15.1). Ed25519 is EdDSA's one curve (RFC 9864).
    """
    metadata = replace(METADATA, id_token_signing_alg_values_supported=announced)
    assert agreed_algorithms(pinned, metadata) == agreed


def test_a_stranger_may_have_sent_it() -> None:
    """Unless it is said, a token is not from the provider's own hand."""
    flow = verify_provider_jwt(build_jwt({}, of()), METADATA, algorithms=ALGORITHMS)
    assert next(flow) == KeysWanted(JWKS, None, first_hand=False)
