"""The last thing that the embedded provider does to a token: encrypting it for its client.

LAW: what was registered is done, and nothing else; a token is signed before it comes here.
Source: OpenID Connect Core 1.0, section 10.2; OpenID Connect Dynamic Client Registration 1.0,
section 2.
"""

from __future__ import annotations

from clefstorm.errors import ConfigurationError
from clefstorm.jwe import encrypt_jwe
from clefstorm.testing.provider.clients import Client

DEFAULT_ENC = "A128CBC-HS256"


def encrypted_for(client: Client, token: str, *, kind: str) -> str:
    """Return the token as this client wants tokens of this kind (id_token or userinfo).

    Raises ConfigurationError (``client_jwks_missing``) when it registered no key for that.
    """
    alg = getattr(client, f"{kind}_encrypted_response_alg")
    if alg is None:
        return token
    for jwk in (client.jwks or {}).get("keys", ()):
        if jwk.get("use") == "enc" and jwk.get("alg", alg) == alg:
            enc = getattr(client, f"{kind}_encrypted_response_enc") or DEFAULT_ENC
            return encrypt_jwe(token, jwk, alg=alg, enc=enc)
    raise ConfigurationError(
        "this client's jwks has no key to encrypt to", code="client_jwks_missing", alg=alg
    )
