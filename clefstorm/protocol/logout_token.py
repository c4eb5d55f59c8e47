"""What makes a good logout token, and the notice that it becomes.

LAW: the claims come from ``verify_jwt``; a token that passes here can never pass as an id token,
nor an id token here (RFC 8725, 3.12): its event is forbidden there, and a nonce here.
Source: OpenID Connect Back-Channel Logout 1.0 incorporating errata set 1, 2.4-2.6 and 4.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from clefstorm.errors import ProtocolViolation
from clefstorm.protocol.jwt import check_aud, check_iss, check_times, text_claim, typ_of

LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"

LONGEST_LIFE = 3600.0
"""Seconds from iat to exp that we accept.

The specification asks for two minutes at best (section 4); providers were seen to give one to
fifteen, and an hour leaves room. With exp it bounds the age of iat too, and how long a jti has
to be remembered.
"""

LIFE_WITHOUT_EXP = 120.0
"""Seconds that a token without exp lives from its iat, where the provider's switch permits it."""

_TYPS = (None, "jwt", "logout+jwt")


@dataclass(frozen=True, slots=True, kw_only=True)
class LogoutNotice:
    """A provider's word, checked, that sessions have ended; times in epoch seconds.

    ``sid``: that session, which is ``sub``'s where sub is given. Without sid: all of ``sub``.
    One of the two is never None. ``all_of_sub``: all of ``sub`` although a sid is named, for a
    provider that means it so. ``iat`` is by the provider's clock, None when it did not say.
    ``forget_at`` is when the token, ``jti`` of ``iss``, can be forgotten, because it would be
    refused as expired from then on.
    """

    iss: str
    sub: str | None
    sid: str | None
    jti: str
    iat: float | None
    forget_at: float
    all_of_sub: bool = False


def check_logout_token(
    claims: Mapping[str, Any],
    *,
    header: Mapping[str, Any],
    issuer: str,
    client_id: str,
    now: float,
    trusted_audiences: Collection[str] = (),
    exp_required: bool = True,
    leeway: float = 60.0,
) -> LogoutNotice:
    """Judge the claims of a logout token whose signature is good.

    ``now`` and ``leeway`` in seconds. ``exp_required`` False is for a provider that omits exp.
    Raises ProtocolViolation: ``typ_wrong``; those of ``check_iss``, ``check_aud`` and
    ``check_times``; ``logout_token_long_lived``; ``sub_and_sid_missing``; ``event_missing``,
    ``event_type``; ``nonce_prohibited``; ``claim_missing`` and ``claim_type``.
    """
    if typ_of(header) not in _TYPS:
        raise ProtocolViolation(
            "not the typ of a logout token", code="typ_wrong", got=header.get("typ")
        )
    iss = check_iss(claims, issuer=issuer)
    check_aud(claims, client_id=client_id, trusted=trusted_audiences)
    iat, exp = check_times(
        claims, now=now, leeway=leeway, without_exp=None if exp_required else LIFE_WITHOUT_EXP
    )
    if exp - iat > LONGEST_LIFE:
        raise ProtocolViolation(
            "a logout token that lives too long",
            code="logout_token_long_lived",
            expected=f"at most {LONGEST_LIFE:.0f} s",
            got=exp - iat,
        )
    sub, sid = (text_claim(claims, name, required=False) for name in ("sub", "sid"))
    if sub is None and sid is None:
        raise ProtocolViolation(
            "a logout token that names neither a subject nor a session",
            code="sub_and_sid_missing",
        )
    _check_event(claims)
    if "nonce" in claims:
        raise ProtocolViolation("a logout token with a nonce", code="nonce_prohibited")
    jti = text_claim(claims, "jti", required=True)
    return LogoutNotice(iss=iss, sub=sub, sid=sid, jti=jti, iat=iat, forget_at=exp + leeway)


def has_logout_event(claims: Mapping[str, Any]) -> bool:
    """True when the claims are those of a logout token, good or not."""
    events = claims.get("events")
    return isinstance(events, dict | list) and LOGOUT_EVENT in events


def _check_event(claims: Mapping[str, Any]) -> None:
    """The event's value is a JSON object, in practice empty, within an object (2.4)."""
    events = claims.get("events")
    if "events" not in claims:
        raise ProtocolViolation("a claim is missing", code="claim_missing", claim="events")
    if not isinstance(events, dict):
        raise ProtocolViolation(
            "a claim of the wrong type", code="claim_type", claim="events", expected="an object"
        )
    if LOGOUT_EVENT not in events:
        raise ProtocolViolation(
            "a token of other events than a logout", code="event_missing", expected=LOGOUT_EVENT
        )
    if not isinstance(events[LOGOUT_EVENT], dict):
        raise ProtocolViolation(
            "the logout event is no object", code="event_type", expected="an object"
        )
