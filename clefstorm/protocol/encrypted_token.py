"""An encrypted token opened, to find the signed one inside.

LAW: a header chooses among our keys and adds no algorithm: alg and enc are those agreed, and
nothing is compressed. Encryption proves nothing about who wrote it, so what is inside has to be
a signed token, and is judged as such by whoever asked.
Source: RFC 7516, 4 and 5.2; RFC 7519, 5.2 and 7.2; OpenID Connect Core 1.0, sections 10.2 and
16.14; RFC 8725, 3.2 (algorithms) and 3.6 (compression).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from clefstorm.errors import ProtocolViolation
from clefstorm.jwe import CURVES, ECDH, DecryptionKey
from clefstorm.jws import read_base64url
from clefstorm.protocol.jwt import LONGEST_TOKEN
from clefstorm.protocol.strict_json import read_json_object

LONGEST_JWE_HEADER = 1024
"""Characters of a header, as it is encoded."""

_DOTS = 4
_DOTS_OF_SIGNED = 2
_PRIVATE_MEMBERS = frozenset({"d", "k"})


def is_encrypted(token: str) -> bool:
    """Tell whether this looks like a compact JWE, which has five parts."""
    return token.count(".") == _DOTS


def decrypt_token(token: str, keys: Sequence[DecryptionKey], *, alg: str, enc: str) -> str:
    """Return the signed token inside one that was encrypted to one of our keys.

    ``alg`` and ``enc`` are what was agreed with the provider. Raises ProtocolViolation:
    ``jwt_too_long``, ``jwt_not_encrypted``, ``base64url_invalid``, json_…, ``header_type``,
    ``jwe_alg_not_allowed``, ``jwe_enc_not_allowed``, ``jwe_zip_refused``, ``crit_refused``,
    ``jwe_cty_wrong``, ``jwe_epk_wrong``, ``jwe_kid_unknown``, ``jwe_undecryptable``, and
    ``jwe_not_nested`` when what is inside isn't signed.
    """
    if len(token) > LONGEST_TOKEN:
        raise ProtocolViolation(
            "a token of absurd length", code="jwt_too_long", expected=f"at most {LONGEST_TOKEN}"
        )
    if not is_encrypted(token):
        raise ProtocolViolation(
            "the token was to be encrypted, and is not", code="jwt_not_encrypted"
        )
    header = _read_header(token.partition(".")[0])
    _check_header(header, alg=alg, enc=enc)
    kid = header.get("kid")
    # A key without a name may be known to the provider under one of its own making.
    candidates = [key for key in keys if key.alg == alg and (kid is None or key.kid in (None, kid))]
    if not candidates:
        raise ProtocolViolation(
            "the token is encrypted to a key that we don't hold", code="jwe_kid_unknown", kid=kid
        )
    return _signed(_open(token, candidates, enc=enc))


def _read_header(encoded: str) -> Mapping[str, Any]:
    if len(encoded) > LONGEST_JWE_HEADER:
        raise ProtocolViolation(
            "a header of absurd length",
            code="jwt_too_long",
            expected=f"at most {LONGEST_JWE_HEADER}",
        )
    header = read_json_object(read_base64url(encoded))
    for name in ("alg", "enc", "kid", "typ", "cty", "apu", "apv"):
        if name in header and not isinstance(header[name], str):
            raise ProtocolViolation(
                "a header of the wrong type", code="header_type", header=name, expected="a text"
            )
    return header


def _check_header(header: Mapping[str, Any], *, alg: str, enc: str) -> None:
    for name, agreed in (("alg", alg), ("enc", enc)):
        if header.get(name) != agreed:
            raise ProtocolViolation(
                "encrypted with an algorithm that was not agreed",
                code=f"jwe_{name}_not_allowed",
                expected=agreed,
                got=header.get(name),
            )
    if "zip" in header:
        # Looked at before anything is opened: a small token could become a very large one.
        raise ProtocolViolation("a compressed token", code="jwe_zip_refused")
    if "crit" in header:
        raise ProtocolViolation("a token with critical extensions", code="crit_refused")
    cty = header.get("cty", "JWT")
    if cty.lower().removeprefix("application/") != "jwt":
        raise ProtocolViolation("no token is inside this one", code="jwe_cty_wrong", got=cty)
    if alg in ECDH:
        _check_epk(header.get("epk"))


def _check_epk(epk: object) -> None:
    """The sender's half of the key agreement: a public key on a curve of ours."""
    if (
        not isinstance(epk, dict)
        or not _PRIVATE_MEMBERS.isdisjoint(epk)
        or epk.get("kty") != "EC"
        or epk.get("crv") not in CURVES
        or not all(isinstance(epk.get(name), str) for name in ("x", "y"))
    ):
        raise ProtocolViolation("the sender's half of the key can't be used", code="jwe_epk_wrong")


def _open(token: str, candidates: Sequence[DecryptionKey], *, enc: str) -> bytes:
    *others, last = candidates
    for key in others:
        try:
            return key.decrypt(token, enc=enc)
        except ProtocolViolation:
            continue
    return last.decrypt(token, enc=enc)


def _signed(content: bytes) -> str:
    """What was inside, when it has the three parts of a signed token."""
    try:
        inner = content.decode("ascii")
    except UnicodeDecodeError:
        inner = ""
    if inner.count(".") != _DOTS_OF_SIGNED:
        raise ProtocolViolation(
            "what is encrypted isn't signed, so anybody may have written it",
            code="jwe_not_nested",
        )
    return inner
