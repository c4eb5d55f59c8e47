"""A set of keys that tokens are checked with: a provider's JWKS document, or keys of ours.

LAW: a set holds only keys that can verify; which of them may check a token is decided by alg
and kid alone, never by anything else that the token brings along (jwk, jku, x5c, x5u).
Source: RFC 7517, 5; OpenID Connect Core 1.0, 10.1; RFC 8725, 3.10.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from clefstorm.errors import ProtocolViolation
from clefstorm.keys import Key, VerificationKey
from clefstorm.protocol.exchange import Flow, KeysWanted
from clefstorm.protocol.strict_json import read_json_object

MOST_KEYS = 100
"""JWKs that we agree to look at in one document."""


@dataclass(frozen=True, slots=True)
class KeySet:
    """Keys that verify.

    ``ours``: they are our own, in rotation (``KeySet.of``), and a token that names no key may
    be by any of them. A provider with several keys must name the one (Core, 10.1).
    """

    keys: Sequence[VerificationKey]
    ours: bool = False

    @classmethod
    def of(cls, keys: Iterable[Key]) -> KeySet:
        """The set of our own keys, any of which may have signed."""
        return cls(tuple(VerificationKey.of(key) for key in keys), ours=True)

    def candidates(self, *, alg: str, kid: str | None) -> tuple[VerificationKey, ...]:
        """The keys that permit ``alg`` and have this kid; with None, whatever their kid."""
        return tuple(
            key for key in self.keys if alg in key.algorithms and (kid is None or kid == key.kid)
        )

    def knows(self, kid: str | None) -> bool:
        """True when a key has this kid; for None, when there is any key."""
        return any(kid is None or kid == key.kid for key in self.keys)


def _object(jwk: Any) -> Mapping[str, Any]:
    if not isinstance(jwk, dict):
        raise ProtocolViolation("a JWK that is no object", code="jwk_not_object")
    return jwk


def read_jwks(body: bytes) -> KeySet:
    """Read a JWKS document, leaving out the keys that can't serve us.

    Raises ProtocolViolation: json_… when it is not a strict JSON object, ``jwks_malformed``
    when ``keys`` is no array, ``jwks_too_many_keys``, ``jwks_no_usable_key`` when nothing is
    left. Source: RFC 7517, 5.
    """
    jwks = read_json_object(body).get("keys")
    if not isinstance(jwks, list):
        raise ProtocolViolation("a JWKS without an array of keys", code="jwks_malformed")
    if len(jwks) > MOST_KEYS:
        raise ProtocolViolation(
            "a JWKS with too many keys",
            code="jwks_too_many_keys",
            expected=f"at most {MOST_KEYS}",
            got=len(jwks),
        )
    usable: list[VerificationKey] = []
    refused: list[str] = []
    for jwk in jwks:
        try:
            usable.append(VerificationKey.from_jwk(_object(jwk)))
        except ProtocolViolation as refusal:
            refused.append(refusal.code)
    if not usable:
        raise ProtocolViolation(
            "the JWKS has no key that we can use",
            code="jwks_no_usable_key",
            reasons=", ".join(refused),
        )
    return KeySet(tuple(usable))


def keys_of(
    jwks_uri: str | None,
    kid: str | None,
    *,
    first_hand: bool = False,
    instead_of: KeySet | None = None,
) -> Flow[KeySet]:
    """A flow that returns a provider's keys from wherever its driver keeps them.

    ``kid`` is the key id that the token names, None when it names none; the others are
    KeysWanted's. Raises ProtocolViolation (``jwks_uri_missing``) when the provider says nowhere
    where its keys are.
    """
    if jwks_uri is None:
        raise ProtocolViolation(
            "the provider signs tokens but publishes no keys (jwks_uri)", code="jwks_uri_missing"
        )
    answer = yield KeysWanted(jwks_uri, kid, first_hand, instead_of)
    if not isinstance(answer, KeySet):
        raise TypeError("KeysWanted is answered with a KeySet")
    return answer
