"""What the embedded provider's id tokens and logout tokens say.

LAW: values in, claims out; nothing is signed here.
Source: OpenID Connect Core 1.0, sections 2 and 3.1.3.6; Back-Channel Logout 1.0, section 2.4.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from typing import Any

from clefstorm.testing.provider.clients import Client
from clefstorm.testing.provider.token_grants import IssuedTokens

LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"
LOGOUT_TOKEN_LIFETIME = 120.0


def _left_half_hash(access_token: str, alg: str) -> str:
    """Return at_hash (Core 1.0, section 3.1.3.6); Ed25519 hashes with SHA-512."""
    bits = "512" if alg == "EdDSA" else alg[-3:]
    digest = hashlib.new(f"sha{bits}", access_token.encode()).digest()
    return base64.urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=").decode()


def id_token_claims(
    client: Client, issued: IssuedTokens, *, issuer: str, sub: str, now: float, lifetime: float
) -> dict[str, Any]:
    """Return the claims of the id token that goes with these tokens; times in seconds."""
    grant = issued.grant
    claims: dict[str, Any] = {
        "iss": issuer,
        "sub": sub,
        "aud": client.client_id,
        "iat": int(now),
        "exp": int(now + lifetime),
        "auth_time": int(grant.auth_time),
        "sid": grant.sid,
        "at_hash": _left_half_hash(issued.access_token, client.id_token_signed_response_alg),
    }
    return claims if issued.nonce is None else claims | {"nonce": issued.nonce}


def logout_token_claims(
    client_id: str, *, issuer: str, sub: str, sid: str | None, now: float
) -> dict[str, Any]:
    """Return the claims of a fresh logout token; ``sid`` None means all of the subject's."""
    claims: dict[str, Any] = {
        "iss": issuer,
        "sub": sub,
        "aud": client_id,
        "iat": int(now),
        "exp": int(now + LOGOUT_TOKEN_LIFETIME),
        "jti": secrets.token_urlsafe(16),
        "events": {LOGOUT_EVENT: {}},
    }
    return claims if sid is None else claims | {"sid": sid}
