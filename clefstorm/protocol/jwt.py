"""JSON Web Tokens: the compact form, its signature, and the registered claims.

LAW: nothing in a token is believed before its signature is checked, over the very bytes that
came; a header chooses among the keys and algorithms that the caller allows and adds none. What
makes a good id token or logout token is said in their own files, whose rules exclude each other.
Source: RFC 7515 (JWS), RFC 7519 (JWT), RFC 7797 (b64, refused), RFC 8725 (best practice).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Collection, Mapping
from typing import Any, Literal, overload

from clefstorm.errors import ConfigurationError, ProtocolViolation
from clefstorm.jws import read_base64url
from clefstorm.keys import Key
from clefstorm.protocol.jwks import KeySet
from clefstorm.protocol.strict_json import read_json_object

LONGEST_TOKEN = 64 * 1024
"""Bytes of a token that we agree to look at."""

ASYMMETRIC = frozenset(
    {
        *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
        *("ES256", "ES384", "ES512", "EdDSA", "Ed25519"),
    }
)
"""Signatures that only the provider can make. Ed25519 is RFC 9864's name of EdDSA's one curve."""

HMAC = frozenset({"HS256", "HS384", "HS512"})
"""Signatures that whoever has the shared secret can make: for an alias that pins one."""

LARGEST_LEEWAY = 600.0
"""Seconds by which clocks may differ; beyond, an expiry would mean nothing."""

_LATEST = 253402300799.0  # the end of the year 9999, after which no calendar of Python's goes
_ENCRYPTED_PARTS = 5


def build_jwt(
    claims: Mapping[str, Any], key: Key, *, typ: str | None = "JWT", alg: str | None = None
) -> str:
    """Sign ``claims`` as a compact JWS, its header with alg, typ (unless None) and the kid.

    ``alg`` is another name of the key's one algorithm, None its usual one. Raises
    ConfigurationError when the key can't sign.
    """
    header = {"alg": alg or key.alg, "typ": typ, "kid": key.kid}
    parts = ({name: value for name, value in header.items() if value is not None}, claims)
    signed = ".".join(
        _base64url(json.dumps(part, separators=(",", ":"), allow_nan=False).encode())
        for part in parts
    )
    return f"{signed}.{_base64url(key.sign(signed.encode()))}"


def check_leeway(leeway: float) -> float:
    """Return a configured leeway in seconds. Raises ConfigurationError (``leeway_invalid``)."""
    if not isinstance(leeway, (int, float)) or not 0 <= leeway <= LARGEST_LEEWAY:
        raise ConfigurationError(
            "leeway is the seconds by which clocks may differ",
            code="leeway_invalid",
            expected=f"0 to {LARGEST_LEEWAY:.0f}",
            got=leeway,
        )
    return leeway


def _base64url(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def _parts(token: str) -> list[str]:
    """Header, payload and signature of a bounded token, still encoded."""
    if len(token) > LONGEST_TOKEN:
        raise ProtocolViolation(
            "a token of absurd length", code="jwt_too_long", expected=f"at most {LONGEST_TOKEN}"
        )
    dots = token.count(".")
    if dots == _ENCRYPTED_PARTS - 1:
        raise ProtocolViolation("an encrypted token, where none was agreed", code="jwt_encrypted")
    if dots != 2:
        raise ProtocolViolation("not a token of three parts", code="jwt_malformed")
    return token.split(".")


def read_jwt_header(token: str) -> Mapping[str, Any]:
    """Read the header of a token that nobody has checked yet: to find its key, no more.

    Raises ProtocolViolation: ``jwt_too_long``, ``jwt_encrypted``, ``jwt_malformed``,
    ``base64url_invalid``, json_…, ``header_type`` for an alg, kid or typ that is no text,
    ``alg_missing``, ``alg_none``, ``crit_refused``, ``b64_refused``. Source: RFC 7515, 4.1.
    """
    header = read_json_object(read_base64url(_parts(token)[0]))
    for name in ("alg", "kid", "typ"):
        if name in header and not isinstance(header[name], str):
            raise ProtocolViolation(
                "a header of the wrong type", code="header_type", header=name, expected="a text"
            )
    if "alg" not in header:
        raise ProtocolViolation("a token that names no algorithm", code="alg_missing")
    if header["alg"].lower() == "none":
        raise ProtocolViolation("a token without signature", code="alg_none")
    if "crit" in header:
        # We know no extension, so whatever is critical is not understood (RFC 7515, 4.1.11).
        raise ProtocolViolation("a token with critical extensions", code="crit_refused")
    if "b64" in header:
        raise ProtocolViolation("a token with an unencoded payload", code="b64_refused")
    return header


def typ_of(header: Mapping[str, Any]) -> str | None:
    """The media type of a token, in lower case without "application/"; None without typ.

    Source: RFC 7515, 4.1.9.
    """
    typ: str | None = header.get("typ")
    return None if typ is None else typ.lower().removeprefix("application/")


def read_jwt_claims_unverified(token: str) -> Mapping[str, Any]:
    """Read the claims of a token that ANYBODY may have written.

    Only to guess who should check it, and never after that. Raises ProtocolViolation when
    there is no JSON object inside.
    """
    return read_json_object(read_base64url(_parts(token)[1]))


def check_alg(header: Mapping[str, Any], algorithms: frozenset[str]) -> None:
    """Raise ProtocolViolation (``alg_not_allowed``) unless the header's alg was agreed."""
    if header["alg"] not in algorithms:
        raise ProtocolViolation(
            "the token is signed with an algorithm that was not agreed",
            code="alg_not_allowed",
            expected=", ".join(sorted(algorithms)),
            got=header["alg"],
        )


def verify_jwt(token: str, keys: KeySet, *, algorithms: frozenset[str]) -> Mapping[str, Any]:
    """Check the signature and return the claims, of which nothing has been judged.

    Raises ProtocolViolation: those of ``read_jwt_header``; ``alg_not_allowed``;
    ``kid_unknown``; ``key_unfit`` when the key that the token names does not permit its alg, or
    when no key does; ``kid_missing`` when the token names none of several keys (Core, 10.1);
    ``signature_invalid``; and base64url or JSON codes for the claims.
    """
    header = read_jwt_header(token)
    check_alg(header, algorithms)
    alg, kid = header["alg"], header.get("kid")
    candidates = keys.candidates(alg=alg, kid=kid)
    if not candidates:
        code = "key_unfit" if keys.knows(kid) else "kid_unknown"
        raise ProtocolViolation("no key that may check this token", code=code, alg=alg, kid=kid)
    if kid is None and len(candidates) > 1 and not keys.ours:
        raise ProtocolViolation(
            "the token does not say which of several keys it is signed with",
            code="kid_missing",
            alg=alg,
        )
    payload, signature = (read_base64url(part) for part in _parts(token)[1:])
    signed = token.rpartition(".")[0].encode()
    if not any(key.verifies(signed, signature, alg=alg) for key in candidates):
        raise ProtocolViolation("the signature is not good", code="signature_invalid", alg=alg)
    return read_json_object(payload)


def _missing(name: str) -> ProtocolViolation:
    return ProtocolViolation("a claim is missing", code="claim_missing", claim=name)


def _ill_typed(name: str, expected: str) -> ProtocolViolation:
    return ProtocolViolation(
        "a claim of the wrong type", code="claim_type", claim=name, expected=expected
    )


@overload
def text_claim(claims: Mapping[str, Any], name: str, *, required: Literal[True]) -> str: ...
@overload
def text_claim(claims: Mapping[str, Any], name: str, *, required: bool) -> str | None: ...
def text_claim(claims: Mapping[str, Any], name: str, *, required: bool) -> str | None:
    """The claim as a text that is not empty; None when it is absent and not required.

    Raises ProtocolViolation: ``claim_missing``, ``claim_type``.
    """
    if name not in claims:
        if required:
            raise _missing(name)
        return None
    value = claims[name]
    if not isinstance(value, str) or not value:
        raise _ill_typed(name, "a text, not empty")
    return value


@overload
def time_claim(claims: Mapping[str, Any], name: str, *, required: Literal[True]) -> float: ...
@overload
def time_claim(claims: Mapping[str, Any], name: str, *, required: bool) -> float | None: ...
def time_claim(claims: Mapping[str, Any], name: str, *, required: bool) -> float | None:
    """The claim as epoch seconds, with or without a fraction; None as for ``text_claim``.

    Raises ProtocolViolation: ``claim_missing``, ``claim_type`` (a boolean is no number), and
    ``time_out_of_range`` outside the years 1970 to 9999. Source: NumericDate of RFC 7519, 2.
    """
    if name not in claims:
        if required:
            raise _missing(name)
        return None
    value = claims[name]
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise _ill_typed(name, "seconds as a number")
    if not 0 <= value <= _LATEST:
        raise ProtocolViolation("no time that can be", code="time_out_of_range", claim=name)
    return float(value)


def audiences_of(claims: Mapping[str, Any]) -> tuple[str, ...]:
    """The audiences: aud is one text or an array of texts (RFC 7519, 4.1.3).

    Raises ProtocolViolation: ``claim_missing``, ``claim_type``.
    """
    if "aud" not in claims:
        raise _missing("aud")
    value = claims["aud"]
    audiences = value if isinstance(value, list) else [value]
    if not all(isinstance(audience, str) and audience for audience in audiences):
        raise _ill_typed("aud", "a text or texts, none empty")
    return tuple(audiences)


def check_iss(claims: Mapping[str, Any], *, issuer: str) -> str:
    """Return iss, which must be ``issuer`` to the letter.

    Raises ProtocolViolation: ``iss_mismatch`` and those of ``text_claim``.
    """
    iss = text_claim(claims, "iss", required=True)
    if iss != issuer:
        raise ProtocolViolation(
            "another issuer's token", code="iss_mismatch", expected=issuer, got=iss
        )
    return iss


def check_aud(
    claims: Mapping[str, Any], *, client_id: str, trusted: Collection[str]
) -> tuple[str, ...]:
    """Return the audiences: ours must be among them, and every other one trusted.

    Raises ProtocolViolation: ``aud_missing_us``, ``aud_untrusted`` and those of
    ``audiences_of``. Source: Core, 3.1.3.7, step 3.
    """
    audiences = audiences_of(claims)
    if client_id not in audiences:
        raise ProtocolViolation(
            "a token for somebody else", code="aud_missing_us", expected=client_id, got=audiences
        )
    strangers = set(audiences) - {client_id, *trusted}
    if strangers:
        raise ProtocolViolation(
            "a token that is also for an audience that we don't trust",
            code="aud_untrusted",
            got=sorted(strangers),
        )
    return audiences


def check_times(
    claims: Mapping[str, Any], *, now: float, leeway: float, without_exp: float | None = None
) -> tuple[float, float]:
    """Return (iat, exp): exp is still to come, iat and, if there is one, nbf are not.

    All in seconds; ``leeway`` is how far the clocks may be apart. ``without_exp``: for how long
    after its iat a token lives that has no exp; None refuses it. Raises ProtocolViolation:
    ``token_expired``, ``iat_in_future``, ``nbf_in_future`` and those of ``time_claim``.
    Source: RFC 7519, 4.1.4-4.1.6; Core, 3.1.3.7, steps 9 and 10.
    """
    iat = time_claim(claims, "iat", required=True)
    if "exp" in claims or without_exp is None:
        exp = time_claim(claims, "exp", required=True)
    else:
        exp = iat + without_exp
    nbf = time_claim(claims, "nbf", required=False)
    if exp <= now - leeway:
        raise ProtocolViolation("the token has expired", code="token_expired", exp=exp, now=now)
    if iat > now + leeway:
        raise ProtocolViolation(
            "the token is from the future", code="iat_in_future", iat=iat, now=now
        )
    if nbf is not None and nbf > now + leeway:
        raise ProtocolViolation(
            "the token is not valid yet", code="nbf_in_future", nbf=nbf, now=now
        )
    return iat, exp
