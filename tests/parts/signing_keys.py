"""Signing keys for tests, each made once a process: an RSA key takes a tenth of a second."""

from __future__ import annotations

from functools import cache

from clefstorm import keys
from clefstorm.keys import Key, generate_key

HMAC_ALGORITHMS = ("HS256", "HS384", "HS512")
PAIR_ALGORITHMS = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA"),
)
ALGORITHMS = (*HMAC_ALGORITHMS, *PAIR_ALGORITHMS)


@cache
def _pem(family: str, owner: str) -> bytes:
    return generate_key(family).to_pem()


@cache
def _secret(owner: str) -> bytes:
    return owner.encode().ljust(64, b".")


@cache
def signing_key(alg: str, *, kid: str | None = "k1", owner: str = "provider") -> Key:
    """The key of this owner; RS… and PS… of one owner are one key pair."""
    kind = getattr(keys, f"{alg}Key")
    if alg in HMAC_ALGORITHMS:
        key: Key = kind(_secret(owner), kid=kid)
    else:
        family = "RS256" if alg[:2] in ("RS", "PS") else alg
        key = kind(private_key=_pem(family, owner), kid=kid)
    return key
