"""JSON Web Signatures: which key may do what, and the check of a signature.

    Key              the face of a key of ours; its kinds are in clefstorm.keys
    VerificationKey  checks signatures: made of a key of ours, or of a provider's JWK

LAW: a key serves only the algorithms that its type, curve, size, use, key_ops and alg permit,
and shows its material neither in a repr nor in an error. A key is prepared once, when it is
made; checking a token parses no key. Nothing here knows what a token is. Use it through
clefstorm.keys.

Source: RFC 7517 (JWK), RFC 7518 (algorithms), RFC 8037 and RFC 9864 (Ed25519), RFC 8725, 3.
"""

from __future__ import annotations

import base64
import binascii
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import Algorithm, get_default_algorithms

from clefstorm.errors import ProtocolViolation

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey

_RSA = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
# One scheme under two names: the old one leaves the curve open, RFC 9864 names it.
_ED25519 = frozenset({"EdDSA", "Ed25519"})

EC_CURVES: Mapping[str, tuple[str, ec.EllipticCurve]] = {
    "ES256": ("P-256", ec.SECP256R1()),
    "ES384": ("P-384", ec.SECP384R1()),
    "ES512": ("P-521", ec.SECP521R1()),
}
"""For each ECDSA algorithm the one curve that it takes, with its name in a JWK (RFC 7518, 3.4)."""

_PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})

# Bits. A smaller modulus is weak (RFC 7518, 3.3); a larger one, or a larger exponent, would only
# make us work.
_RSA_MODULUS = range(2048, 8192 + 1)
_RSA_LARGEST_EXPONENT = 64

_DEFAULTS = get_default_algorithms()
ALGORITHMS: Mapping[str, Algorithm] = {
    **{alg: _DEFAULTS[alg] for alg in ("HS256", "HS384", "HS512", "EdDSA", *_RSA, *EC_CURVES)},
    "Ed25519": _DEFAULTS["EdDSA"],
}
"""PyJWT's implementation of each algorithm that we know; none is not among them."""


def read_base64url(text: str) -> bytes:
    """Decode base64url as JOSE writes it: no padding, no white space, one spelling a value.

    Raises ProtocolViolation (base64url_invalid) for anything else, spare bits at the end that
    are not zero included, so that a signed token has one spelling only. Source: RFC 7515, 2;
    RFC 4648, 3.5.
    """
    raw = text.encode("utf-8", "replace")
    try:
        value = base64.urlsafe_b64decode(raw + b"=" * (-len(raw) % 4))
    except binascii.Error:
        value = b""
    # The decoder forgives a lot; the one good spelling is the one that encoding gives back.
    if base64.urlsafe_b64encode(value).rstrip(b"=") != raw:
        raise ProtocolViolation("not base64url as JOSE writes it", code="base64url_invalid")
    return value


def algorithms_of(key: object) -> frozenset[str]:
    """The algorithms that a public key's type, curve and size permit; none for other objects."""
    match key:
        case rsa.RSAPublicKey() if key.key_size in _RSA_MODULUS:
            return _RSA
        case ec.EllipticCurvePublicKey():
            return frozenset(
                alg for alg, (_, curve) in EC_CURVES.items() if curve.name == key.curve.name
            )
        case ed25519.Ed25519PublicKey():
            return _ED25519
        case _:
            return frozenset()


class Key(ABC):
    """A key of ours. ``alg`` is the one algorithm that it signs with; ``kid`` its id or None."""

    alg: ClassVar[str]

    def __init__(self, *, kid: str | None) -> None:
        self.kid = kid

    def __repr__(self) -> str:
        return f"{type(self).__name__}(kid={self.kid!r})"

    @property
    @abstractmethod
    def can_sign(self) -> bool:
        """True when the private key, or the shared secret, is here."""

    @abstractmethod
    def sign(self, message: bytes) -> bytes:
        """The signature, as JWS has it. Raises ConfigurationError when this key can't sign."""

    @abstractmethod
    def verifying_material(self) -> Any:
        """What ``ALGORITHMS[alg]`` verifies with: a public key, or the shared secret."""

    @abstractmethod
    def to_jwk(self) -> dict[str, Any]:
        """The public JWK with alg, use and kid. Raises ConfigurationError for a secret."""

    @abstractmethod
    def to_pem(self) -> bytes:
        """The private key as PKCS #8 PEM, unencrypted: for a file that only we can read.

        Raises ConfigurationError when there is no private key, and for a shared secret.
        """


def _unusable(why: str, code: str, **evidence: object) -> ProtocolViolation:
    return ProtocolViolation(f"a JWK that can't verify: {why}", code=code, **evidence)


@dataclass(frozen=True, slots=True, eq=False)
class VerificationKey:
    """Checks signatures with the algorithms it permits, and with no other.

    ``kid`` is its key id, None when it has none.
    """

    kid: str | None
    algorithms: frozenset[str]
    _material: Any = field(repr=False)

    @classmethod
    def of(cls, key: Key) -> VerificationKey:
        """The verifying half of a key of ours; of a shared secret, the secret itself."""
        algorithms = _ED25519 if key.alg in _ED25519 else frozenset({key.alg})
        return cls(key.kid, algorithms, key.verifying_material())

    @classmethod
    def from_jwk(cls, jwk: Mapping[str, Any]) -> VerificationKey:
        """The key of a provider's JWK.

        Raises ProtocolViolation for one that can't serve: symmetric, private, of a type, curve
        or size that we don't take, meant for something else by its use, key_ops or alg, or
        malformed. Source: RFC 7517, 4; RFC 7518, 6; RFC 8725, 3.4-3.5.
        """
        kid = jwk.get("kid")
        if "kid" in jwk and not isinstance(kid, str):
            raise _unusable("kid is not a text", "jwk_kid")
        if jwk.get("kty") == "oct":
            raise _unusable("a provider publishes no secrets", "jwk_symmetric", kid=kid)
        if not _PRIVATE_MEMBERS.isdisjoint(jwk):
            raise _unusable("its private part is public", "jwk_private", kid=kid)
        if jwk.get("use", "sig") != "sig":
            raise _unusable("use is not sig", "jwk_use", kid=kid)
        if "key_ops" in jwk and not _permits_verifying(jwk["key_ops"]):
            raise _unusable("key_ops does not permit verify", "jwk_key_ops", kid=kid)
        material = _read_material(jwk)
        algorithms = algorithms_of(material)
        if "alg" in jwk:
            if jwk["alg"] not in list(algorithms):
                raise _unusable("alg does not fit the key", "jwk_alg", kid=kid, got=jwk["alg"])
            if algorithms != _ED25519:
                algorithms = frozenset({jwk["alg"]})
        return cls(kid, algorithms, material)

    def verifies(self, message: bytes, signature: bytes, *, alg: str) -> bool:
        """True when this key permits ``alg`` and ``signature`` is of ``message`` by it."""
        return alg in self.algorithms and ALGORITHMS[alg].verify(message, self._material, signature)


def _permits_verifying(key_ops: object) -> bool:
    """Distinct operations with verify among them (RFC 7517, 4.3)."""
    return (
        isinstance(key_ops, list)
        and all(isinstance(operation, str) for operation in key_ops)
        and key_ops.count("verify") == 1
        and len(set(key_ops)) == len(key_ops)
    )


def _member(jwk: Mapping[str, Any], name: str) -> bytes:
    value = jwk.get(name)
    if not isinstance(value, str) or not value:
        raise _unusable(f"{name} is missing or not a text", "jwk_member", member=name)
    return read_base64url(value)


def _read_material(jwk: Mapping[str, Any]) -> PublicKey:
    """The public key of a JWK, its numbers checked as far as they can be (RFC 8725, 3.4)."""
    kty, crv = jwk.get("kty"), jwk.get("crv")
    try:
        if kty == "RSA":
            return _read_rsa(jwk)
        if kty == "OKP" and crv == "Ed25519":
            return ed25519.Ed25519PublicKey.from_public_bytes(_member(jwk, "x"))
        for name, curve in EC_CURVES.values():
            if kty == "EC" and crv == name:
                return _read_ec(jwk, curve)
    except ValueError:
        raise _unusable("its numbers are no key", "jwk_invalid", kty=kty) from None
    raise _unusable("of a kind that we don't take", "jwk_kind", kty=kty, crv=crv)


def _read_rsa(jwk: Mapping[str, Any]) -> rsa.RSAPublicKey:
    modulus = int.from_bytes(_member(jwk, "n"), "big")
    exponent = int.from_bytes(_member(jwk, "e"), "big")
    bits = modulus.bit_length()
    if bits not in _RSA_MODULUS or exponent.bit_length() > _RSA_LARGEST_EXPONENT:
        raise _unusable("too small or too large", "jwk_size", kty="RSA", bits=bits)
    return rsa.RSAPublicNumbers(exponent, modulus).public_key()


def _read_ec(jwk: Mapping[str, Any], curve: ec.EllipticCurve) -> ec.EllipticCurvePublicKey:
    x, y = _member(jwk, "x"), _member(jwk, "y")
    # Each coordinate has the full size of the field (RFC 7518, 6.2.1.2).
    if not len(x) == len(y) == (curve.key_size + 7) // 8:
        raise _unusable("a coordinate has the wrong size", "jwk_size", kty="EC", crv=curve.name)
    return ec.EllipticCurvePublicKey.from_encoded_point(curve, b"\x04" + x + y)
