"""The signed statement by which a client proves itself: private_key_jwt and client_secret_jwt.

LAW: each assertion is made for one request and one audience, lives a minute, and carries a jti
that no other has. It is a credential: it goes into a body to the provider and nowhere else.
Source: RFC 7521, 4.2; RFC 7523, 2.2 and 3; OpenID Connect Core 1.0, section 9;
draft-ietf-oauth-rfc7523bis, section 4 (audience and typ, after the audience injection of 2025).
"""

from __future__ import annotations

import secrets

from clefstorm.keys import Key
from clefstorm.protocol.jwt import build_jwt

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
"""The value of client_assertion_type that goes with a JWT."""

ASSERTION_LIFETIME = 60
"""Seconds from iat to exp; it is sent at once, and a provider remembers its jti until then."""

ASSERTION_TYP = "client-authentication+jwt"
"""The typ that lets nobody take it for another kind of token (RFC 8725, 3.11)."""


def build_client_assertion(
    key: Key,
    *,
    client_id: str,
    audience: str,
    now: float,
    typ: str = ASSERTION_TYP,
    alg: str | None = None,
) -> str:
    """Return a fresh assertion that this client is ``client_id``, good for ``audience`` alone.

    ``now`` is in epoch seconds; ``alg`` is the name of the key's algorithm that the provider
    knows, None the usual one. Raises ConfigurationError when the key can't sign.
    """
    issued = int(now)
    claims = {
        "iss": client_id,
        "sub": client_id,
        "aud": audience,
        "jti": secrets.token_urlsafe(24),
        "iat": issued,
        "exp": issued + ASSERTION_LIFETIME,
    }
    return build_jwt(claims, key, typ=typ, alg=alg)
