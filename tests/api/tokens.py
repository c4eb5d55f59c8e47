"""Access tokens of the embedded provider, for tests that are about the API and not the login."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from tornado.httpclient import AsyncHTTPClient

from clefstorm.resource_server import ResourceServer
from clefstorm.testing import Clock, Provider

API = "https://api.example.com"
SECRET = "a secret of the API, for introspection"
_VERIFIER = "a-verifier-of-forty-three-characters-or-more"
_REDIRECT_URI = "https://app.example.com/auth/callback"


@dataclass
class Issuer:
    """Gives out tokens: ``await issuer.tokens()``. ``client_id`` says of which kind they are.

    ``signed`` gets JWTs for API, ``opaque`` others for API, ``stranger`` JWTs for another one.
    """

    provider: Provider
    http: AsyncHTTPClient

    def __post_init__(self) -> None:
        for client_id, options in {
            "signed": {"access_token_format": "jwt", "access_token_audience": API},
            "opaque": {"access_token_audience": API},
            "nowhere": {},
            "stranger": {"access_token_format": "jwt", "access_token_audience": f"{API}/v2"},
        }.items():
            self.provider.add_client(
                client_id, SECRET, [_REDIRECT_URI], api_scopes=["read", "write"], **options
            )
        self.provider.add_client("api", SECRET)

    async def tokens(
        self, client_id: str = "signed", *, scope: str = "read", username: str = "alice"
    ) -> dict[str, Any]:
        """Return the answer of the token endpoint after a login of this user."""
        _, session = await self.provider.sign_in(username, previous=None, user_agent="")
        challenge = base64.urlsafe_b64encode(hashlib.sha256(_VERIFIER.encode()).digest())
        code = self.provider.grants.issue_code(
            session,
            client_id=client_id,
            redirect_uri=_REDIRECT_URI,
            code_challenge=challenge.rstrip(b"=").decode(),
            nonce="a nonce",
            scope=["openid", "offline_access", *scope.split()],
        )
        answer = await self.http.fetch(
            f"{self.provider.issuer}/token",
            method="POST",
            auth_username=client_id,
            auth_password=SECRET.replace(" ", "+"),
            body=urlencode(
                {
                    "grant_type": "authorization_code",
                    "code": code,
                    "redirect_uri": _REDIRECT_URI,
                    "code_verifier": _VERIFIER,
                }
            ),
        )
        tokens: dict[str, Any] = json.loads(answer.body)
        return tokens

    async def access_token(self, client_id: str = "signed", **options: Any) -> str:
        return str((await self.tokens(client_id, **options))["access_token"])


def server_of(provider: Provider, clock: Clock, **options: Any) -> ResourceServer:
    """The resource server of API, which may introspect; None leaves an option out."""
    chosen = {"client_id": "api", "client_secret": SECRET, "audience": API, **options}
    return ResourceServer(
        provider.issuer,
        clock=clock,
        **{name: value for name, value in chosen.items() if value is not None},
    )


def asked(provider: Provider, path: str) -> int:
    """How often this path of the provider was asked for."""
    return sum(seen.path == path for seen in provider.requests)
