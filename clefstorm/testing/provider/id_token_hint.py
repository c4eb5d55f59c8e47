"""An id token that comes back to the embedded provider as a hint.

LAW: a hint that is not ours counts as no hint; its age does not matter.
Source: OpenID Connect Core 1.0, section 3.1.2.1; RP-Initiated Logout 1.0, section 2.
"""

from __future__ import annotations

from dataclasses import dataclass

from clefstorm.errors import ProtocolViolation
from clefstorm.protocol.jwt import verify_jwt
from clefstorm.testing.provider.accounts import Account
from clefstorm.testing.provider.authority import Authority
from clefstorm.testing.provider.clients import Client


@dataclass(frozen=True, slots=True)
class Hint:
    """Whom an id token was about, and which client it was for."""

    client: Client
    account: Account


def read_hint(authority: Authority, id_token_hint: str | None) -> Hint | None:
    """Return what a hint says, None without one that we signed."""
    if id_token_hint is None:
        return None
    accounts = {account.sub: account for account in authority.accounts.values()}
    for client in authority.clients.values():
        try:
            claims = verify_jwt(
                id_token_hint,
                authority.keys.key_set_for(client),
                algorithms=frozenset({client.id_token_signed_response_alg}),
            )
        except ProtocolViolation:
            continue
        account = accounts.get(str(claims.get("sub")))
        ours = claims.get("iss") == authority.issuer and claims.get("aud") == client.client_id
        if ours and account is not None:
            return Hint(client, account)
    return None
