"""One alias in use: a provider's flows, driven over the network.

LAW: decides nothing of the protocol; each method is one flow, under the async driver in
AsyncClient and under the blocking one in Client.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import TypeVar, Unpack

from clefstorm.errors import ConfigurationError
from clefstorm.keys import Key, KeyList
from clefstorm.protocol.authorization import CodeGrant, PendingLogin
from clefstorm.protocol.eternaltwin import EternaltwinAPI, EternaltwinUser, EternaltwinUserPage
from clefstorm.protocol.exchange import Flow
from clefstorm.protocol.identity import Identity
from clefstorm.protocol.logout_token import LogoutNotice
from clefstorm.protocol.redirects import follow_redirects
from clefstorm.protocol.token_endpoint import Tokens
from clefstorm.providers import (
    BegunLogin,
    EternaltwinProvider,
    LoginParameters,
    Provider,
    SignedIn,
)
from clefstorm.transport import AsyncRunner, ConnectionManager, run_blocking

T = TypeVar("T")


class _OneAlias:
    """What both clients are made of.

    ``timeout`` is in seconds, for each single request; ``deadline`` bounds each method as a
    whole. ``state_key`` signs states, the first that can of a KeyList, all of which are accepted;
    None leaves that to whoever calls ``begin_login``. ``verify`` is True, False (never in
    production) or the path of a CA file. With ``allow_redirects`` a GET of a flow follows
    redirects within its origin, five at most; nothing else ever does. ``manager`` gives the
    connections (AsyncConnections, also of a Client), asked by origin and NO_AUTH; it decides
    ``verify`` and ``timeout`` then, and stays open. None: connections of the client's own.
    """

    def __init__(
        self,
        provider: Provider,
        *,
        alias: str = "default",
        state_key: Key | KeyList | None = None,
        timeout: float | tuple[float, float] | None = None,
        deadline: float = 10.0,
        verify: bool | str = True,
        allow_redirects: bool = False,
        clock: Callable[[], float] = time.time,
        manager: ConnectionManager | None = None,
    ) -> None:
        if not isinstance(deadline, (int, float)) or not 0 < deadline < math.inf:
            raise ConfigurationError(
                "deadline is in seconds, more than 0", code="deadline_invalid", got=deadline
            )
        if not isinstance(allow_redirects, bool):
            raise ConfigurationError(
                "allow_redirects is True or False", code="allow_redirects_invalid"
            )
        self.state_keys = _rotation(state_key)
        """The keys that may have signed a state; the first signs. Empty without ``state_key``."""
        self.provider = provider
        self.alias = alias
        self.state_key = state_key
        self.clock = clock
        self._allow_redirects = allow_redirects
        self._deadline = deadline
        self._runner = AsyncRunner(verify=verify, timeout=timeout, clock=clock, manager=manager)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.alias!r} of {self.provider.issuer}>"

    def _prepared(self, flow: Flow[T]) -> Flow[T]:
        return follow_redirects(flow) if self._allow_redirects else flow

    def _users_api(self) -> EternaltwinAPI:
        if not isinstance(self.provider, EternaltwinProvider):
            raise ConfigurationError(
                "only an Eternaltwin alias has calls about users",
                code="user_calls_unsupported",
                alias=self.alias,
            )
        return self.provider.api


def _rotation(state_key: Key | KeyList | None) -> tuple[Key, ...]:
    """Return the keys of an alias, first the one that signs."""
    if state_key is None:
        return ()
    held = tuple(state_key) if isinstance(state_key, KeyList) else (state_key,)
    signing = [key for key in held if isinstance(key, Key) and key.can_sign]
    if not signing or not all(isinstance(key, Key) for key in held):
        raise ConfigurationError(
            "state_key is a key of clefstorm.keys that can sign: a secret, or a private key; or a "
            "KeyList of keys, of which the first that can sign signs",
            code="state_key_invalid",
        )
    return (signing[0], *(key for key in held if key is not signing[0]))


def _access_token(token: Tokens | str | None) -> str | None:
    return token.access_token if isinstance(token, Tokens) else token


class AsyncClient(_OneAlias):
    """The async OAuth client of one provider registration."""

    async def begin_login(
        self, state_key: Key, **parameters: Unpack[LoginParameters]
    ) -> BegunLogin:
        """Return where to send the browser and what to remember until it comes back.

        ``prompt``, ``login_hint``, ``ui_locales``, ``max_age`` (seconds) and ``extra`` (a mapping
        of further parameters) are the provider's; None leaves one out. Raises TransportError or
        ProtocolViolation when the provider's metadata can't be had.
        """
        return await self._run(self.provider.begin_login(state_key, clock=self.clock, **parameters))

    async def check_callback(
        self, parameters: Sequence[tuple[str, str]], pending: PendingLogin
    ) -> CodeGrant:
        """Judge the callback; raises RequestRefused or AuthorizationRefused."""
        return await self._run(self.provider.check_callback(parameters, pending))

    async def redeem(self, grant: CodeGrant) -> SignedIn:
        """Exchange a code for tokens and the user's identity.

        Raises TokenRefused, ProtocolViolation or TransportError.
        """
        return await self._run(self.provider.redeem(grant, clock=self.clock))

    async def refresh(self, tokens: Tokens) -> Tokens:
        """Return fresh tokens; their id token, if any, is for ``identify_refreshed`` to judge.

        Raises TokenRefused (``error`` is invalid_grant when the grant is gone for good),
        ProtocolViolation, TransportError, or ConfigurationError without a refresh token.
        """
        return await self._run(self.provider.refresh(tokens, clock=self.clock))

    async def identify_refreshed(self, fresh: Tokens, identity: Identity) -> Identity:
        """Return the identity as a refresh left it (Core 1.0, section 12.2).

        Raises ProtocolViolation when the new id token is not of this identity, TransportError
        when the keys to check it can't be had.
        """
        return await self._run(self.provider.identify_refreshed(fresh, identity, clock=self.clock))

    async def end_session_url(
        self, *, id_token: str | None = None, state: str | None = None
    ) -> str | None:
        """Return where the browser ends the provider's own session, None when it can't."""
        return await self._run(self.provider.end_session_url(id_token=id_token, state=state))

    async def check_logout(self, logout_token: str) -> LogoutNotice:
        """Judge a logout token; raises ProtocolViolation, TransportError, ConfigurationError."""
        return await self._run(self.provider.check_logout(logout_token, clock=self.clock))

    @property
    def user(self) -> AsyncUserCalls:
        """The calls about users; raises ConfigurationError for a provider without them."""
        return AsyncUserCalls(self, self._users_api())

    async def close(self) -> None:
        """Close the connections to the provider."""
        await self._runner.close()

    async def _run(self, flow: Flow[T]) -> T:
        return await self._runner.run(self._prepared(flow), deadline=self._deadline)


class Client(_OneAlias):
    """The blocking twin of AsyncClient, for scripts, workers and threads.

    Each method promises what AsyncClient's of that name does, and may be called from several
    threads at once. In a thread that runs an event loop each raises ConfigurationError (code
    ``blocking_in_loop``) instead of stopping it.
    """

    def begin_login(self, state_key: Key, **parameters: Unpack[LoginParameters]) -> BegunLogin:
        """Return where to send the browser and what to remember until it comes back."""
        return self._run(self.provider.begin_login(state_key, clock=self.clock, **parameters))

    def check_callback(
        self, parameters: Sequence[tuple[str, str]], pending: PendingLogin
    ) -> CodeGrant:
        """Judge the callback."""
        return self._run(self.provider.check_callback(parameters, pending))

    def redeem(self, grant: CodeGrant) -> SignedIn:
        """Exchange a code for tokens and the user's identity."""
        return self._run(self.provider.redeem(grant, clock=self.clock))

    def refresh(self, tokens: Tokens) -> Tokens:
        """Return fresh tokens; their id token, if any, is for ``identify_refreshed`` to judge."""
        return self._run(self.provider.refresh(tokens, clock=self.clock))

    def identify_refreshed(self, fresh: Tokens, identity: Identity) -> Identity:
        """Return the identity as a refresh left it (Core 1.0, section 12.2)."""
        return self._run(self.provider.identify_refreshed(fresh, identity, clock=self.clock))

    def end_session_url(
        self, *, id_token: str | None = None, state: str | None = None
    ) -> str | None:
        """Return where the browser ends the provider's own session, None when it can't."""
        return self._run(self.provider.end_session_url(id_token=id_token, state=state))

    def check_logout(self, logout_token: str) -> LogoutNotice:
        """Judge a logout token."""
        return self._run(self.provider.check_logout(logout_token, clock=self.clock))

    @property
    def user(self) -> UserCalls:
        """The calls about users; raises ConfigurationError for a provider without them."""
        return UserCalls(self, self._users_api())

    def close(self) -> None:
        """Close the connections to the provider."""
        run_blocking(self._runner.close)

    def _run(self, flow: Flow[T]) -> T:
        return run_blocking(lambda: self._runner.run(self._prepared(flow), deadline=self._deadline))


class AsyncUserCalls:
    """``AsyncClient.user``: what Eternaltwin says of its users.

    ``token`` is a user's Tokens or access token; the calls that may do without it show what
    everybody may see. Each raises ProviderError (codes ``user_unknown``, ``eternaltwin_refused``),
    ProtocolViolation and TransportError, and ConfigurationError for a wrong argument.
    """

    def __init__(self, client: AsyncClient, api: EternaltwinAPI) -> None:
        self._client = client
        self._api = api

    async def me(self, token: Tokens | str) -> EternaltwinUser:
        """Return whom a token belongs to."""
        return await self._client._run(self._api.me(_access_token(token)))

    async def get(self, user_id: str, token: Tokens | str | None = None) -> EternaltwinUser:
        """Return one user."""
        return await self._client._run(self._api.get(user_id, _access_token(token)))

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
        return await self._client._run(flow)


class UserCalls:
    """``Client.user``: the blocking twin of AsyncUserCalls."""

    def __init__(self, client: Client, api: EternaltwinAPI) -> None:
        self._client = client
        self._api = api

    def me(self, token: Tokens | str) -> EternaltwinUser:
        """Return whom a token belongs to."""
        return self._client._run(self._api.me(_access_token(token)))

    def get(self, user_id: str, token: Tokens | str | None = None) -> EternaltwinUser:
        """Return one user."""
        return self._client._run(self._api.get(user_id, _access_token(token)))

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
        return self._client._run(flow)
