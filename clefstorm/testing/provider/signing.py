"""The embedded provider's keys: made when first needed, rotated, published, kept.

LAW: the newest key of an algorithm signs; the older ones are published until they are forgotten.
Source: OpenID Connect Core 1.0, section 10.1.1; RFC 7517.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

from clefstorm.keys import (
    EdDSAKey,
    ES256Key,
    HS256Key,
    Key,
    PS256Key,
    RS256Key,
    VerificationKey,
    generate_key,
)
from clefstorm.protocol.jwks import KeySet
from clefstorm.testing.provider.clients import Client
from clefstorm.testing.provider.store import ProviderStore

_KINDS = {"RS256": RS256Key, "PS256": PS256Key, "ES256": ES256Key, "EdDSA": EdDSAKey}


class SigningKeys:
    """Keys of every algorithm that a client was registered for, and always RS256.

    They are those of the store when it has any, else ``given`` ones, to which more are added.
    """

    def __init__(self, store: ProviderStore, *, given: Sequence[Key]) -> None:
        self._store = store
        self._keys: list[Key] = [
            _KINDS[kept["alg"]](private_key=kept["pem"], kid=kept["kid"]) for kept in store.keys
        ]
        if given and not self._keys:
            self._keys.extend(given)
            self._keep()

    def ensure(self, alg: str) -> None:
        """Make a key of this algorithm unless there is one (RSA takes a tenth of a second)."""
        if not any(key.alg == alg for key in self._keys):
            self._add(alg)

    def key_for(self, client: Client, alg: str | None = None) -> Key:
        """Return the key that signs for this client; HS256 is its own secret.

        ``alg`` None is that of its id tokens.
        """
        alg = alg or client.id_token_signed_response_alg
        if alg == "HS256":
            return HS256Key(client.client_secret or "")
        self.ensure(alg)
        return next(key for key in reversed(self._keys) if key.alg == alg)

    def rotate(self, *, forget: bool) -> None:
        """Sign with new keys from now on; ``forget`` takes the old ones out of the JWKS too."""
        algs = list(dict.fromkeys(key.alg for key in self._keys))
        if forget:
            self._keys.clear()
        for alg in algs:
            self._add(alg)

    def jwks(self) -> dict[str, Any]:
        """Return the JWKS document, newest key first."""
        return {"keys": [key.to_jwk() for key in reversed(self._keys)]}

    def key_set_for(self, client: Client) -> KeySet:
        """Return what verifies the tokens that this client was given."""
        if client.id_token_signed_response_alg == "HS256":
            return KeySet([VerificationKey.of(self.key_for(client))])
        return KeySet([VerificationKey.of(key) for key in self._keys])

    def _add(self, alg: str) -> None:
        self._keys.append(generate_key(alg, kid=f"{alg}-{secrets.token_hex(4)}"))
        self._keep()

    def _keep(self) -> None:
        self._store.keys = [
            {"alg": key.alg, "kid": key.kid or "", "pem": key.to_pem().decode()}
            for key in self._keys
        ]
        self._store.save()
