"""Codes, access tokens and logout tokens of the embedded Clef API: what may become what.

LAW: a code works once, for the application it was given to; what is kept are hashes, in memory
alone. A refusal is an error of the API, with its words. Source: Clef API v1.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from clefstorm.errors import ClefAPIError
from clefstorm.testing.provider.clients import Client
from clefstorm.testing.provider.store import ProviderSession, ProviderStore, handle_of

CODE_LIFETIME = 60.0
LOGOUT_TOKEN_LIFETIME = 600.0


@dataclass(slots=True, kw_only=True)
class Issued:
    """A code, access token or logout token; ``grant`` is the approval that it comes from."""

    app_id: str
    username: str
    grant: str
    expires: float


class ClefGrants:
    """Gives and takes what the Clef API deals in. Lifetimes are seconds."""

    def __init__(
        self,
        store: ProviderStore,
        clients: Mapping[str, Client],
        *,
        clock: Callable[[], float],
        access_token_lifetime: float,
    ) -> None:
        self._store = store
        self._clients = clients
        self._clock = clock
        self._access_token_lifetime = access_token_lifetime
        self._codes: dict[str, Issued] = {}
        self._access_tokens: dict[str, Issued] = {}
        self._logout_tokens: dict[str, Issued] = {}

    def app(self, app_id: str | None, app_secret: str | None) -> Client:
        """Return the application that makes a call; raises ClefAPIError."""
        client = self._clients.get(app_id or "")
        if client is None:
            raise ClefAPIError("Invalid App ID.", 403)
        if client.client_secret is None:
            raise ClefAPIError("Invalid App.", 403)  # a public client can't speak Clef
        if not hmac.compare_digest(client.client_secret.encode(), (app_secret or "").encode()):
            raise ClefAPIError("Invalid App Secret.", 403)
        return client

    def issue_code(self, session: ProviderSession, *, app_id: str) -> str:
        """Return a fresh code, after the user approved."""
        grant = session.clef_grants.setdefault(app_id, secrets.token_urlsafe(16))
        self._store.save()
        return self._issue(
            self._codes,
            Issued(
                app_id=app_id,
                username=session.username,
                grant=grant,
                expires=self._clock() + CODE_LIFETIME,
            ),
        )

    def redeem_code(self, client: Client, code: str | None) -> str:
        """Exchange a code for an access token; it is used up by the attempt of its application."""
        issued = self._find(self._codes, code)
        if issued is None or issued.app_id != client.client_id or not self._lives(issued):
            raise ClefAPIError("Invalid OAuth Code.", 400)
        del self._codes[handle_of(code or "")]
        issued.expires = self._clock() + self._access_token_lifetime
        return self._issue(self._access_tokens, issued)

    def username_of(self, access_token: str | None) -> str:
        """Return whom an access token belongs to; it dies with the session."""
        issued = self._find(self._access_tokens, access_token)
        if issued is None or not self._lives(issued):
            raise ClefAPIError("Invalid token.", 403)
        return issued.username

    def logout_token(self, app_id: str, username: str) -> str:
        """Return a fresh token for the application's logout hook."""
        expires = self._clock() + LOGOUT_TOKEN_LIFETIME
        issued = Issued(app_id=app_id, username=username, grant="", expires=expires)
        return self._issue(self._logout_tokens, issued)

    def redeem_logout_token(self, client: Client, logout_token: str | None) -> str:
        """Return who logged out; until it expires it may be asked again, after a lost answer."""
        if client.clef_logout_uri is None:
            raise ClefAPIError("Invalid logout hook URL.", 500)
        issued = self._find(self._logout_tokens, logout_token)
        if issued is None or issued.app_id != client.client_id:
            raise ClefAPIError("Invalid Logout Token.", 400)
        return issued.username

    def _lives(self, issued: Issued) -> bool:
        sessions = self._store.sessions.values()
        return any(s.clef_grants.get(issued.app_id) == issued.grant for s in sessions)

    def _issue(self, table: dict[str, Issued], issued: Issued) -> str:
        now = self._clock()
        for name in [name for name, other in table.items() if other.expires <= now]:
            del table[name]
        secret = secrets.token_urlsafe(32)
        table[handle_of(secret)] = issued
        return secret

    def _find(self, table: Mapping[str, Issued], secret: str | None) -> Issued | None:
        issued = table.get(handle_of(secret or ""))
        return issued if issued is not None and issued.expires > self._clock() else None
