"""What makes a good id token, at login and after a refresh.

LAW: the claims come from ``verify_jwt``; each rule is a check of its own with a code of its own;
secrets (nonce, at_hash) are compared in constant time and stand in no error.
Source: OpenID Connect Core 1.0 incorporating errata set 2, 2, 3.1.3.6-3.1.3.8 and 12.2;
RFC 8725, 3.11-3.12.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from clefstorm.errors import ProtocolViolation
from clefstorm.protocol.jwt import (
    audiences_of,
    check_aud,
    check_iss,
    check_times,
    text_claim,
    time_claim,
    typ_of,
)
from clefstorm.protocol.logout_token import has_logout_event

LONGEST_SUB = 255
"""Characters of a subject (Core, section 2)."""

# Core gives id tokens no typ of their own; providers send JWT or none. A typ that another kind
# of token has (at+jwt, logout+jwt, secevent+jwt, …) says that this is not an id token.
_TYPS = (None, "jwt")


@dataclass(frozen=True, slots=True, kw_only=True)
class IDToken:
    """The claims of an id token, checked; times in epoch seconds, None for an absent claim.

    ``claims`` are all of them, the ones that nobody has judged included.
    """

    iss: str
    sub: str
    aud: tuple[str, ...]
    azp: str | None
    sid: str | None
    nonce: str | None = field(repr=False)
    iat: float
    exp: float
    auth_time: float | None
    acr: str | None
    claims: Mapping[str, Any] = field(repr=False)


def check_id_token(
    claims: Mapping[str, Any],
    *,
    alg: str,
    header: Mapping[str, Any],
    issuer: str,
    client_id: str,
    nonce: str | None,
    now: float,
    access_token: str | None = None,
    max_age: float | None = None,
    acr_values: str | None = None,
    trusted_audiences: Collection[str] = (),
    leeway: float = 60.0,
) -> IDToken:
    """Judge the claims of an id token of a login, whose signature by ``alg`` is good.

    ``nonce``, ``max_age`` (seconds) and ``acr_values`` (words, one of which must come back) are
    what the authorization request sent, None for nothing. ``access_token`` is the one that came
    with it. ``now`` and ``leeway`` in seconds.
    Raises ProtocolViolation: ``typ_wrong``, ``events_prohibited``; those of ``check_iss``,
    ``check_aud`` and ``check_times``; ``azp_mismatch``; ``nonce_missing``, ``nonce_mismatch``,
    ``nonce_unexpected``; ``at_hash_mismatch``; ``auth_time_missing``, ``auth_time_too_old``,
    ``auth_time_in_future``; ``acr_unmet``; ``sub_too_long``, ``claim_missing``, ``claim_type``.
    Source: Core, 3.1.3.7.
    """
    token = _check_always(
        claims,
        alg=alg,
        header=header,
        issuer=issuer,
        client_id=client_id,
        now=now,
        access_token=access_token,
        trusted_audiences=trusted_audiences,
        leeway=leeway,
    )
    _check_nonce(token, nonce)
    if max_age is not None:
        check_auth_time(token.auth_time, max_age=max_age, now=now, leeway=leeway)
    if acr_values is not None and token.acr not in acr_values.split():
        # Voluntary for the provider (Core, 3.1.2.1), but whoever asked has to know (3.1.3.7, 12).
        raise ProtocolViolation(
            "the user was signed in by other means than were asked for",
            code="acr_unmet",
            expected=acr_values,
            got=token.acr,
        )
    return token


def check_refreshed_id_token(
    claims: Mapping[str, Any],
    *,
    previous: Mapping[str, Any],
    alg: str,
    header: Mapping[str, Any],
    issuer: str,
    client_id: str,
    now: float,
    access_token: str | None = None,
    trusted_audiences: Collection[str] = (),
    leeway: float = 60.0,
) -> IDToken:
    """Judge the claims of an id token that a refresh brought.

    ``previous``: the claims of the login's id token. It must speak of the same login: iss, sub,
    azp and a nonce if it has one are the same, aud holds the same audiences (more, if trusted),
    and auth_time, if both have it, is the same second. Raises ProtocolViolation: ``sub_changed``
    and so on, otherwise as ``check_id_token``. Source: Core, 12.2.
    """
    token = _check_always(
        claims,
        alg=alg,
        header=header,
        issuer=issuer,
        client_id=client_id,
        now=now,
        access_token=access_token,
        trusted_audiences=trusted_audiences,
        leeway=leeway,
    )
    for name in ("iss", "sub", "azp"):
        if claims.get(name) != previous.get(name):
            raise _changed(name)
    if not set(audiences_of(previous)) <= set(token.aud):
        raise _changed("aud")
    if token.nonce is not None:
        first_nonce = text_claim(previous, "nonce", required=False)
        if first_nonce is None or not _same(token.nonce, first_nonce):
            raise _changed("nonce")
    first_auth_time = time_claim(previous, "auth_time", required=False)
    if token.auth_time is not None and first_auth_time is not None:
        # Some providers keep the fraction of a second in one token and drop it in another.
        same_second = abs(token.auth_time - first_auth_time) < 1
        if not same_second:
            raise _changed("auth_time")
    return token


def _check_always(
    claims: Mapping[str, Any],
    *,
    alg: str,
    header: Mapping[str, Any],
    issuer: str,
    client_id: str,
    now: float,
    access_token: str | None,
    trusted_audiences: Collection[str],
    leeway: float,
) -> IDToken:
    """The rules that hold at login and at a refresh alike."""
    if typ_of(header) not in _TYPS:
        raise ProtocolViolation(
            "not the typ of an id token", code="typ_wrong", got=header.get("typ")
        )
    if has_logout_event(claims):
        raise ProtocolViolation("a logout token is no id token", code="events_prohibited")
    iss = check_iss(claims, issuer=issuer)
    aud = check_aud(claims, client_id=client_id, trusted=trusted_audiences)
    azp = text_claim(claims, "azp", required=False)
    if azp is not None and azp != client_id:
        raise ProtocolViolation(
            "a token issued to somebody else", code="azp_mismatch", expected=client_id, got=azp
        )
    iat, exp = check_times(claims, now=now, leeway=leeway)
    at_hash = text_claim(claims, "at_hash", required=False)
    if at_hash is not None and access_token is not None:
        expected = at_hash_of(access_token, alg=alg)
        if not _same(at_hash, expected):
            raise ProtocolViolation(
                "the id token came with another access token", code="at_hash_mismatch", alg=alg
            )
    return IDToken(
        iss=iss,
        sub=_read_sub(claims),
        aud=aud,
        azp=azp,
        sid=text_claim(claims, "sid", required=False),
        nonce=text_claim(claims, "nonce", required=False),
        iat=iat,
        exp=exp,
        auth_time=time_claim(claims, "auth_time", required=False),
        acr=text_claim(claims, "acr", required=False),
        claims=claims,
    )


def _read_sub(claims: Mapping[str, Any]) -> str:
    sub = text_claim(claims, "sub", required=True)
    if len(sub) > LONGEST_SUB:
        raise ProtocolViolation(
            "a sub that is too long",
            code="sub_too_long",
            expected=f"at most {LONGEST_SUB} characters",
            got=len(sub),
        )
    return sub


def at_hash_of(access_token: str, *, alg: str) -> str:
    """The at_hash of an access token: half its hash, by the hash function of ``alg``.

    Ed25519 hashes with SHA-512 (RFC 8032). Source: Core, 3.1.3.6.
    """
    function = "sha512" if alg in ("EdDSA", "Ed25519") else f"sha{alg[-3:]}"
    digest = hashlib.new(function, access_token.encode()).digest()
    return base64.urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=").decode()


def _check_nonce(token: IDToken, sent: str | None) -> None:
    if sent is None:
        if token.nonce is not None:
            raise ProtocolViolation("a nonce that we never sent", code="nonce_unexpected")
    elif token.nonce is None:
        raise ProtocolViolation("the id token has no nonce", code="nonce_missing")
    elif not _same(token.nonce, sent):
        raise ProtocolViolation(
            "the id token answers another login's request", code="nonce_mismatch"
        )


def check_auth_time(auth_time: float | None, *, max_age: float, now: float, leeway: float) -> None:
    """Judge when the user last signed in, by step 13 of Core, 3.1.3.7; all in seconds.

    Raises ProtocolViolation: ``auth_time_missing`` for None (required once max_age was sent,
    Core, 2), ``auth_time_too_old``, ``auth_time_in_future``.
    """
    if auth_time is None:
        raise ProtocolViolation("nothing says when the user signed in", code="auth_time_missing")
    if auth_time > now + leeway:
        raise ProtocolViolation(
            "the user signs in in the future", code="auth_time_in_future", got=auth_time, now=now
        )
    if auth_time + max_age + leeway < now:
        raise ProtocolViolation(
            "the user signed in too long ago",
            code="auth_time_too_old",
            expected=f"at most {max_age} s ago",
            got=auth_time,
            now=now,
        )


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())


def _changed(name: str) -> ProtocolViolation:
    return ProtocolViolation(
        "the refreshed id token speaks of another login", code=f"{name}_changed", claim=name
    )
