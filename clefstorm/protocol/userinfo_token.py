"""What makes a good userinfo answer that is a signed token.

LAW: the claims come from ``verify_jwt``; beyond what every userinfo answer has to be, a signed
one says who wrote it and for whom, and another kind of token is not taken for one.
Source: OpenID Connect Core 1.0, section 5.3.2; RFC 8725, 3.11-3.12.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from clefstorm.errors import ProtocolViolation
from clefstorm.protocol.jwt import check_aud, check_iss, check_times, typ_of
from clefstorm.protocol.logout_token import has_logout_event

_TYPS = (None, "jwt")


def check_userinfo_token(
    claims: Mapping[str, Any],
    *,
    header: Mapping[str, Any],
    issuer: str,
    client_id: str,
    now: float,
    trusted_audiences: Collection[str] = (),
    leeway: float = 60.0,
) -> None:
    """Judge the claims, but for ``sub``, which is for ``check_userinfo_sub``.

    ``now`` and ``leeway`` are in seconds; iat, exp and nbf need not be there. Raises
    ProtocolViolation: ``typ_wrong``, ``events_prohibited``, and those of ``check_iss``,
    ``check_aud`` and ``check_times``.
    """
    if typ_of(header) not in _TYPS:
        raise ProtocolViolation(
            "not the typ of a userinfo answer", code="typ_wrong", got=header.get("typ")
        )
    if has_logout_event(claims):
        raise ProtocolViolation("a logout token is no userinfo answer", code="events_prohibited")
    check_iss(claims, issuer=issuer)
    check_aud(claims, client_id=client_id, trusted=trusted_audiences)
    # Both may be left out here, and then nothing is said that could be wrong.
    check_times({"iat": now, "exp": now + 1, **claims}, now=now, leeway=leeway)
