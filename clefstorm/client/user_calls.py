"""``client.user``: what Eternaltwin says of its users, under either driver.

LAW: decides nothing of the protocol; ``run`` is a client's own driver.
"""

from __future__ import annotations

from typing import Protocol, TypeVar

from clefstorm.protocol.eternaltwin import EternaltwinAPI, EternaltwinUser, EternaltwinUserPage
from clefstorm.protocol.exchange import Flow
from clefstorm.protocol.token_endpoint import Tokens

T = TypeVar("T")


class AsyncRun(Protocol):
    """Runs a flow for whoever awaits it."""

    async def __call__(self, flow: Flow[T]) -> T: ...


class Run(Protocol):
    """Runs a flow while the caller waits."""

    def __call__(self, flow: Flow[T]) -> T: ...


def _access_token(token: Tokens | str | None) -> str | None:
    return token.access_token if isinstance(token, Tokens) else token


class AsyncUserCalls:
    """``AsyncClient.user``: what Eternaltwin says of its users.

    ``token`` is a user's Tokens or access token; the calls that may do without it show what
    everybody may see. Each raises ProviderError (codes ``user_unknown``, ``eternaltwin_refused``),
    ProtocolViolation and TransportError, and ConfigurationError for a wrong argument.
    """

    def __init__(self, run: AsyncRun, api: EternaltwinAPI) -> None:
        self._run = run
        self._api = api

    async def me(self, token: Tokens | str) -> EternaltwinUser:
        """Return whom a token belongs to."""
        return await self._run(self._api.me(_access_token(token)))

    async def get(self, user_id: str, token: Tokens | str | None = None) -> EternaltwinUser:
        """Return one user."""
        return await self._run(self._api.get(user_id, _access_token(token)))

    async def search(
        self,
        query: str | None = None,
        *,
        offset: int = 0,
        limit: int = 20,
        token: Tokens | str | None = None,
    ) -> EternaltwinUserPage:
        """Return the users whose name has ``query`` in it, all for None, 100 at most at once."""
        flow = self._api.search(
            query, offset=offset, limit=limit, access_token=_access_token(token)
        )
        return await self._run(flow)


class UserCalls:
    """``Client.user``: the blocking twin of AsyncUserCalls."""

    def __init__(self, run: Run, api: EternaltwinAPI) -> None:
        self._run = run
        self._api = api

    def me(self, token: Tokens | str) -> EternaltwinUser:
        """Return whom a token belongs to."""
        return self._run(self._api.me(_access_token(token)))

    def get(self, user_id: str, token: Tokens | str | None = None) -> EternaltwinUser:
        """Return one user."""
        return self._run(self._api.get(user_id, _access_token(token)))

    def search(
        self,
        query: str | None = None,
        *,
        offset: int = 0,
        limit: int = 20,
        token: Tokens | str | None = None,
    ) -> EternaltwinUserPage:
        """Return the users whose name has ``query`` in it, all for None, 100 at most at once."""
        flow = self._api.search(
            query, offset=offset, limit=limit, access_token=_access_token(token)
        )
        return self._run(flow)
