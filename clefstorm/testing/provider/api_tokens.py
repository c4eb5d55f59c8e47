"""Access tokens of the embedded provider that are for an API: signed, where a client wants it.

LAW: a signed token lives and dies with the one that was issued; only its text differs.
Source: RFC 9068, section 2.
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import Any

from clefstorm.testing.provider.authority import Authority
from clefstorm.testing.provider.clients import Client
from clefstorm.testing.provider.token_grants import IssuedTokens


async def as_the_client_wants(
    authority: Authority, client: Client, issued: IssuedTokens
) -> IssuedTokens:
    """Return the tokens with a JWT for the access token if the client was registered for one."""
    if client.access_token_format != "jwt":
        return issued
    now = authority.clock()
    claims: dict[str, Any] = {
        "iss": authority.issuer,
        "sub": authority.sub_of(issued.grant),
        "aud": client.access_token_audience,
        "client_id": client.client_id,
        "iat": int(now),
        "exp": int(now + issued.expires_in),
        "jti": secrets.token_urlsafe(16),
        "scope": " ".join(issued.scope),
    }
    if issued.grant.username:
        claims["auth_time"] = int(issued.grant.auth_time)
    signed = await authority.sign("access_token", claims, client, "at+jwt")
    authority.grants.rename_token(issued.access_token, to=signed)
    return replace(issued, access_token=signed)
