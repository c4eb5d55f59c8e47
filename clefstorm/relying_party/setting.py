"""What the parts of a relying party share: clients, secrets, cookie names, clock and listeners.

LAW: holds and derives; does nothing by itself.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from clefstorm.client import AsyncClient
from clefstorm.errors import ConfigurationError
from clefstorm.keys import HS256Key, Key
from clefstorm.registry import DEFAULT, async_connections, unknown_alias
from clefstorm.relying_party.outcomes import CookieNames, Happening
from clefstorm.relying_party.telling import Listener, tell
from clefstorm.sealing import Sealer, secret_file
from clefstorm.sessions import LoginSession

Secret = str | bytes | Sequence[str | bytes] | None

CLOCKS_APART = 60.0
"""Seconds by which the clocks of our own processes may differ without harm."""


class Setting:
    """The configuration of one relying party."""

    def __init__(
        self,
        clients: Mapping[str, AsyncClient] | None,
        secret: Secret,
        path: str | Path | None,
        *,
        clock: Callable[[], float],
    ) -> None:
        if clients is not None and not (
            isinstance(clients, Mapping)
            and all(isinstance(client, AsyncClient) for client in clients.values())
        ):
            raise ConfigurationError(
                "clients maps aliases to AsyncClients, as clefstorm.async_connections does; None "
                "takes those of clefstorm.configure",
                code="clients_invalid",
            )
        self._clients = clients
        self.given_clients = tuple((clients or {}).values())
        self.clock = clock
        self.listeners: list[Listener] = []
        self.folder = Path(path if path is not None else os.environ.get("CLEFSTORM_HOME", "."))
        self.sealer = Sealer(_secrets(secret, self.folder))
        # The kid says which of the rotated keys signed a state.
        self._state_keys = tuple(
            HS256Key(key, kid=hashlib.sha256(key).hexdigest()[:8])
            for key in self.sealer.derive_all("state")
        )
        self._tag = hashlib.sha256(self.sealer.derive("cookie names")).hexdigest()[:8]

    @property
    def clients(self) -> Mapping[str, AsyncClient]:
        """The clients by alias."""
        return async_connections if self._clients is None else self._clients

    def client(self, alias: str | None = None) -> AsyncClient:
        """Return the client of an alias, None meaning "default"; raises UnknownAlias."""
        wanted = DEFAULT if alias is None else alias
        if wanted not in self.clients:
            raise unknown_alias(wanted, self.clients)
        return self.clients[wanted]

    def client_of(self, session: LoginSession) -> AsyncClient:
        """Return the client of the provider that opened a session, for whom its tokens are.

        Raises UnknownAlias, and ConfigurationError (``alias_reassigned``) when the alias is
        another provider's by now.
        """
        client = self.client(session.alias)
        if client.provider.issuer != session.iss:
            raise ConfigurationError(
                f"the alias {session.alias} is another provider's now: its users have to sign in "
                "again, and a new provider is best given a new alias",
                code="alias_reassigned",
                expected=session.iss,
                got=client.provider.issuer,
            )
        return client

    @property
    def cookies(self) -> CookieNames:
        """The names of our cookies.

        On https they begin with __Host-; on http they are unique to the application, for ports
        of one host share their cookies. Raises ConfigurationError when the aliases mix the two.
        """
        schemes = {c.provider.redirect_uri.partition(":")[0] for c in self.clients.values()}
        if len(schemes) > 1:
            raise ConfigurationError(
                "all redirect_uris of one application are https, or all are http",
                code="redirect_uri_mixed",
            )
        secure = schemes == {"https"}
        stem = "__Host-clefstorm" if secure else f"clefstorm-{self._tag}"
        return CookieNames(
            session=stem, login=f"{stem}-login-", logout=f"{stem}-logout", secure=secure
        )

    def state_keys(self, client: AsyncClient) -> tuple[Key, ...]:
        """Return the keys that may have signed a client's states; the first signs."""
        return client.state_keys or self._state_keys

    def record(self, event: str, *, alias: str | None = None, **facts: object) -> None:
        """Tell the listeners (the audit log, a live view) what happened; facts are no secrets."""
        tell(
            self.listeners,
            Happening(
                at=self.clock(),
                event=event,
                alias=alias,
                facts={name: str(value) for name, value in facts.items()},
            ),
        )


def _secrets(secret: Secret, folder: Path) -> list[bytes]:
    if secret is None:
        return [secret_file(folder / "clefstorm.key")]
    held = [secret] if isinstance(secret, (str, bytes)) else list(secret)
    return [one.encode() if isinstance(one, str) else one for one in held]
