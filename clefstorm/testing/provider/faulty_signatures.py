"""Named faults of JOSE headers, signatures and keys, in id tokens and logout tokens.

LAW: forged as an attacker without the provider's key can, or as a careless provider does; where
a key is at fault, the token is well signed by it.
Source: RFC 7515, sections 4.1, 5.2 and 7.1; RFC 7517, section 4; RFC 7518, section 3; RFC 7797;
RFC 8725, section 2 (the attacks).
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from clefstorm.keys import Key, generate_key
from clefstorm.testing.provider.faults import Fault, TokenDraft, base64url
from clefstorm.testing.provider.faulty_tokens import TOKENS, Hook
from clefstorm.testing.provider.forgery import (
    der_signature,
    public_pem,
    weak_jwk,
    weak_signature,
)

BringAlong = Callable[[Key], Mapping[str, Any]]


def _header(**members: Any) -> Hook:
    """Well signed, with these members in the header; None leaves one out."""
    return lambda draft: draft.header.update(members)


def _typ(typ: str | None) -> Hook:
    return lambda draft: setattr(draft, "typ", typ)


def _spelled(change: Callable[[str], str]) -> Hook:
    """Well signed, and then spelled otherwise."""
    return lambda draft: change(draft.sign())


def _raw_header(change: Callable[[str], str]) -> Hook:
    """Well signed, over a header whose JSON is another text."""

    def sign(draft: TokenDraft) -> str:
        good = json.dumps({"alg": draft.key.alg, "kid": draft.key.kid})
        signed = f"{base64url(change(good).encode())}.{draft.signing_input.partition('.')[2]}"
        return f"{signed}.{base64url(draft.key.sign(signed.encode()))}"

    return sign


def _signature(change: Callable[[bytes], bytes]) -> Hook:
    return lambda draft: draft.signed_with(change(draft.key.sign(draft.signing_input.encode())))


@cache
def _strangers_key(alg: str) -> Key:
    """A key that no provider ever published."""
    return generate_key(alg, kid="stranger")


def _by_a_stranger(bring_along: BringAlong, *, own_kid: bool = True) -> Hook:
    """Signed by a stranger's key, under its own kid or the provider's."""

    def sign(draft: TokenDraft) -> str:
        key = _strangers_key(draft.key.alg)
        draft.header.update(bring_along(key))
        draft.header.setdefault("kid", key.kid if own_kid else draft.key.kid)
        return draft.signed_with(key.sign(draft.signing_input.encode()))

    return sign


def _by_hmac(secret_of: Callable[[TokenDraft], bytes], alg: str = "HS256") -> Hook:
    """Signed with HMAC under what everybody knows (RFC 8725, section 2.1)."""

    def sign(draft: TokenDraft) -> str:
        draft.header["alg"] = alg
        message = draft.signing_input.encode()
        return draft.signed_with(hmac.digest(secret_of(draft), message, hashlib.sha256))

    return sign


def _unsigned(alg: str) -> Hook:
    def strip(draft: TokenDraft) -> str:
        draft.header["alg"] = alg
        return draft.signed_with(b"")

    return strip


def _by_the_weak_key(draft: TokenDraft) -> str:
    draft.header["kid"] = "weak"
    return draft.signed_with(weak_signature(draft.signing_input.encode()))


def _flip(signature: bytes) -> bytes:
    return bytes([signature[0] ^ 1]) + signature[1:]


def _spare_bits(token: str) -> str:
    """The last letter in one of its other spellings, which a lax decoder reads as the same."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return token[:-1] + letters[letters.index(token[-1]) ^ 1]


def _encrypted(draft: TokenDraft) -> str:
    head = base64url(json.dumps({"alg": "RSA-OAEP-256", "enc": "A256GCM"}).encode())
    return ".".join((head, *(base64url(b"\x00" * size) for size in (256, 12, 200, 16))))


def _pem(draft: TokenDraft) -> bytes:
    return public_pem(draft.key.to_jwk())


def _nothing(key: Key) -> Mapping[str, Any]:
    return {}


def _its_jwk(key: Key) -> Mapping[str, Any]:
    return {"jwk": key.to_jwk()}


def _json_serialization(draft: TokenDraft) -> str:
    head, payload, signature = draft.sign().split(".")
    return json.dumps({"protected": head, "payload": payload, "signature": signature})


def _jwk_text(draft: TokenDraft) -> bytes:
    return json.dumps(draft.key.to_jwk()).encode()


def _publish(jwk: Mapping[str, Any]) -> Callable[[dict[str, Any]], None]:
    return lambda jwks: jwks["keys"].append(jwk)


_ELSEWHERE = "https://evil.example/keys"
_SHARED = b"a secret that stands in the provider's published keys, for all to read"
_SYMMETRIC = {"kty": "oct", "use": "sig", "alg": "HS256", "kid": "shared", "k": base64url(_SHARED)}


def _by_the_symmetric_key(draft: TokenDraft) -> str:
    draft.header["kid"] = "shared"
    signed: str = _by_hmac(lambda _draft: _SHARED)(draft)
    return signed


_FAULTS: Mapping[str, tuple[str, Hook]] = {
    "signature_wrong": ("one bit of the signature is wrong", _signature(_flip)),
    "signature_empty": ("the signature is empty", _signature(lambda _signature: b"")),
    "signature_short": ("the signature lacks its last byte", _signature(lambda s: s[:-1])),
    "signature_long": ("the signature has a byte more", _signature(lambda s: s + b"\x00")),
    "signature_zero": ("the signature is all zeros", _signature(lambda s: bytes(len(s)))),
    "signature_der": ("an ECDSA signature is written in DER", _signature(der_signature)),
    "signature_of_a_stranger": (
        "a stranger signs under the provider's kid",
        _by_a_stranger(_nothing, own_kid=False),
    ),
    "alg_none": ("alg is none, and there is no signature", _unsigned("none")),
    "alg_none_mixed": ("alg is nOnE, and there is no signature", _unsigned("nOnE")),
    "alg_missing": ("the header names no alg", _header(alg=None)),
    "alg_number": ("alg is a number", _header(alg=256)),
    "alg_unknown": ("alg is one that nobody knows", _header(alg="XX256")),
    "alg_other_hash": ("the header says RS512, the signature is RS256's", _header(alg="RS512")),
    "alg_other_scheme": ("the header says PS256, the signature is RS256's", _header(alg="PS256")),
    "hmac_public_pem": ("HMAC under the public key's PEM", _by_hmac(_pem)),
    "hmac_public_jwk": ("HMAC under the public key's JWK", _by_hmac(_jwk_text)),
    "hmac_empty": ("HMAC under an empty secret", _by_hmac(lambda d: b"")),
    "kid_unknown": ("kid names a key that was never published", _header(kid="never-published")),
    "kid_of_a_stranger": ("a stranger signs under a kid of its own", _by_a_stranger(_nothing)),
    "kid_number": ("kid is a number", _header(kid=1)),
    "kid_path": ("kid is the path of a file", _header(kid="../../../dev/null")),
    "kid_missing": ("the header names no kid", _header(kid=None)),
    "header_jwk": (
        "a stranger signs and sends its key along (jwk)",
        _by_a_stranger(_its_jwk),
    ),
    "header_jwk_our_kid": (
        "a stranger signs under the provider's kid and sends its key along (jwk)",
        _by_a_stranger(_its_jwk, own_kid=False),
    ),
    "header_jku": (
        "a stranger signs and says where its keys are (jku)",
        _by_a_stranger(lambda key: {"jku": _ELSEWHERE}),
    ),
    "header_x5u": (
        "a stranger signs and says where its certificate is (x5u)",
        _by_a_stranger(lambda key: {"x5u": _ELSEWHERE}),
    ),
    "header_x5c": (
        "a stranger signs and sends its certificate along (x5c)",
        _by_a_stranger(lambda key: {"x5c": ["MIIB"]}),
    ),
    "header_ignored": (
        "the token is well signed, and jku and x5u point elsewhere",
        _header(jku=_ELSEWHERE, x5u=_ELSEWHERE),
    ),
    "header_crit": ("the header has a critical extension", _header(crit=["exp"], exp=1)),
    "header_crit_empty": ("crit is empty", _header(crit=[])),
    "header_b64": ("b64 is false", _header(b64=False, crit=["b64"])),
    "header_b64_uncritical": ("b64 is false and not critical", _header(b64=False)),
    "header_alg_twice": (
        "alg stands twice in the header",
        _raw_header(lambda good: f'{{"alg": "none", {good[1:]}'),
    ),
    "header_not_json": ("the header is not JSON", _raw_header(lambda good: "alg=RS256")),
    "header_array": ("the header is an array", _raw_header(lambda good: f"[{good}]")),
    "typ_at_jwt": ("typ is at+jwt, an access token's", _typ("at+jwt")),
    "typ_application_at_jwt": ("typ is application/at+jwt", _typ("application/at+jwt")),
    "typ_logout_jwt": ("typ is logout+jwt", _typ("logout+jwt")),
    "typ_logout_jwt_long": ("typ is application/Logout+JWT", _typ("application/Logout+JWT")),
    "typ_secevent": ("typ is secevent+jwt", _typ("secevent+jwt")),
    "typ_dpop": ("typ is dpop+jwt", _typ("dpop+jwt")),
    "typ_number": ("typ is a number", _header(typ=1)),
    "typ_absent": ("there is no typ", _typ(None)),
    "typ_jwt": ("typ is JWT", _typ("JWT")),
    "typ_jwt_lower": ("typ is jwt", _typ("jwt")),
    "base64_padded": ("base64url with padding", _spelled(lambda token: f"{token}==")),
    "base64_newline": ("a newline at the end", _spelled(lambda token: f"{token}\n")),
    "base64_spare_bits": ("the last letter in another spelling", _spelled(_spare_bits)),
    "base64_space": (
        "a space within the claims",
        _spelled(lambda token: token.replace(".", ". ", 1)),
    ),
    "parts_one": ("the token has no dots", _spelled(lambda token: token.replace(".", ""))),
    "parts_two": ("the token has no third part", _spelled(lambda token: token.rpartition(".")[0])),
    "parts_four": ("the token has a fourth part", _spelled(lambda token: f"{token}.AA")),
    "parts_five": ("the token is encrypted, and nobody agreed to that", _encrypted),
    "parts_json": (
        "the token is in the JSON serialization",
        _json_serialization,
    ),
    "dots_many": ("the token is 60000 dots", lambda draft: "." * 60000),
    "token_long": ("the token has 200 kB", _header(x="x" * 150000)),
}

SIGNATURE_FAULTS: Mapping[str, Fault] = {
    **{name: Fault(says, TOKENS, hook) for name, (says, hook) in _FAULTS.items()},
    "key_weak": Fault(
        "the key is RSA with 1024 bits",
        TOKENS,
        _by_the_weak_key,
        {"jwks": _publish(weak_jwk("weak"))},
    ),
    "key_symmetric": Fault(
        "the key is a secret that stands among the published keys",
        TOKENS,
        _by_the_symmetric_key,
        {"jwks": _publish(_SYMMETRIC)},
    ),
}
