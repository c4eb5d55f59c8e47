"""What makes a good access token of the JWT profile, and the value that every kind becomes.

LAW: the claims come from ``verify_provider_jwt``; a token that passes here can never pass as an
id token or a logout token, nor one of those here (RFC 8725, 3.12): its typ is its own.
Source: RFC 9068, 2 and 4; RFC 8693, 4.2 (scope); RFC 7800, 3 (cnf).
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from clefstorm.errors import ProtocolViolation
from clefstorm.jws import read_base64url
from clefstorm.protocol.jwt import (
    audiences_of,
    check_iss,
    check_times,
    read_jwt_claims_unverified,
    read_jwt_header,
    text_claim,
    typ_of,
)
from clefstorm.protocol.strict_json import read_json_object

TYP = "at+jwt"
# What a JWT of no certain kind says of itself; its issuer may know better (introspection).
_TYPS_OF_NO_KIND = (None, "jwt")


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessToken:
    """What a good access token stands for.

    ``iss`` is who gave it, ``sub`` whom it speaks for (with a client on its own behalf, the
    client), ``client_id`` who was given it; the last two may be None for a token that was
    introspected. ``scope`` is what it permits. ``exp`` is when it ends, in epoch seconds, None
    when nobody said. ``claims`` are all claims, the ones that nobody has judged included.
    """

    iss: str
    sub: str | None
    client_id: str | None
    scope: frozenset[str]
    exp: float | None
    claims: Mapping[str, Any] = field(repr=False)


def has_jwt_profile(token: str, *, issuer: str) -> bool:
    """True for a JWT that says it is an access token; False for one that only its issuer can read.

    Raises ProtocolViolation for a JWT that says it is something else (``typ_wrong``) or another
    issuer's (``iss_mismatch``): that one is nothing to show to ours. And those of
    ``read_jwt_header``.
    """
    if token.count(".") != 2:
        return False
    try:
        read_json_object(read_base64url(token.partition(".")[0]))
    except ProtocolViolation:
        return False  # Dots mean nothing in an opaque token.
    header = read_jwt_header(token)
    typ = typ_of(header)
    claims: Mapping[str, Any] = {}
    if typ != TYP and typ not in _TYPS_OF_NO_KIND:
        raise _typ_wrong(header)
    with suppress(ProtocolViolation):
        claims = read_jwt_claims_unverified(token)
    if "iss" in claims:
        check_iss(claims, issuer=issuer)
    return typ == TYP


def check_access_token(
    claims: Mapping[str, Any],
    *,
    header: Mapping[str, Any],
    issuer: str,
    audience: str,
    now: float,
    leeway: float = 60.0,
) -> AccessToken:
    """Judge the claims of an access token whose signature is good.

    ``audience`` is what the resource server is called in tokens. ``now`` and ``leeway`` in
    seconds. Raises ProtocolViolation: ``typ_wrong``; those of ``check_iss``, ``check_audience``
    and ``check_times``; ``token_bound``; ``claim_missing`` and ``claim_type``.
    """
    if typ_of(header) != TYP:
        raise _typ_wrong(header)
    iss = check_iss(claims, issuer=issuer)
    check_audience(claims, audience=audience)
    _, exp = check_times(claims, now=now, leeway=leeway)
    check_unbound(claims)
    text_claim(claims, "jti", required=True)
    return AccessToken(
        iss=iss,
        sub=text_claim(claims, "sub", required=True),
        client_id=text_claim(claims, "client_id", required=True),
        scope=scope_of(claims),
        exp=exp,
        claims=claims,
    )


def check_audience(claims: Mapping[str, Any], *, audience: str) -> None:
    """Raise ProtocolViolation (``aud_missing_us``) unless the token is for us, maybe among others.

    Unlike an id token's, the other audiences need no trust: each is another resource of the
    same issuer (RFC 9068, 4), often its userinfo endpoint.
    """
    audiences = audiences_of(claims)
    if audience not in audiences:
        raise ProtocolViolation(
            "an access token for another API",
            code="aud_missing_us",
            expected=audience,
            got=audiences,
        )


def check_unbound(claims: Mapping[str, Any]) -> None:
    """Raise ProtocolViolation (``token_bound``) for a token that only the holder of a key may use.

    We can't check the proof (DPoP, mutual TLS), and without it such a token may be stolen.
    """
    if "cnf" in claims:
        raise ProtocolViolation("a token that is bound to a key is no bearer", code="token_bound")


def scope_of(claims: Mapping[str, Any]) -> frozenset[str]:
    """Return the words of the claim scope; none when it is absent or empty.

    Raises ProtocolViolation (``claim_type``) when it is no text.
    """
    value = claims.get("scope", "")
    if not isinstance(value, str):
        raise ProtocolViolation(
            "a claim of the wrong type",
            code="claim_type",
            claim="scope",
            expected="words in one text",
        )
    return frozenset(value.split(" ")) - {""}


def _typ_wrong(header: Mapping[str, Any]) -> ProtocolViolation:
    return ProtocolViolation(
        "not the typ of an access token", code="typ_wrong", expected=TYP, got=header.get("typ")
    )
