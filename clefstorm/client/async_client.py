"""The async client: each method is one flow under the async driver.

LAW: decides nothing of the protocol; blocking_client has the same methods.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar, Unpack

from clefstorm.client.one_alias import OneAlias
from clefstorm.client.user_calls import AsyncUserCalls
from clefstorm.keys import Key
from clefstorm.protocol.authorization import CodeGrant, PendingLogin
from clefstorm.protocol.exchange import Flow
from clefstorm.protocol.identity import Identity
from clefstorm.protocol.logout_token import LogoutNotice
from clefstorm.protocol.token_endpoint import Tokens
from clefstorm.providers import BegunLogin, LoginParameters, SignedIn

T = TypeVar("T")


class AsyncClient(OneAlias):
    """The async OAuth client of one provider registration."""

    async def begin_login(
        self, state_key: Key, **parameters: Unpack[LoginParameters]
    ) -> BegunLogin:
        """Return where to send the browser and what to remember until it comes back.

        ``prompt``, ``login_hint``, ``ui_locales``, ``max_age`` (seconds), ``acr_values`` (words,
        one of which must come back) and ``extra`` (a mapping of further parameters) are the
        provider's; None leaves one out. Raises TransportError or ProtocolViolation when the
        provider's metadata can't be had, and when its answer to a pushed request can't;
        ProviderError (``pushed_request_refused``) when it refused that; ConfigurationError when
        it announces that it can't go with this configuration.
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

    async def identify_refreshed(
        self, fresh: Tokens, identity: Identity, *, previous_id_token: str | None = None
    ) -> Identity:
        """Return the identity as a refresh left it (Core 1.0, section 12.2).

        What ``previous_id_token`` said and the new one leaves out is no longer a claim; None
        keeps all that isn't said anew.
        Raises ProtocolViolation when the new id token is not of this identity, TransportError
        when the keys to check it can't be had.
        """
        return await self._run(
            self.provider.identify_refreshed(
                fresh, identity, previous_id_token=previous_id_token, clock=self.clock
            )
        )

    async def revoke(self, token: str, *, token_type_hint: str | None = None) -> None:
        """Revoke a token of this client at the provider (RFC 7009).

        ``token_type_hint`` is refresh_token or access_token; None leaves it to the provider to
        find out. Many providers revoke more than the one token: all of its grant, or of the
        user. Returns also when the token was dead already. Raises ConfigurationError when the
        provider has no such endpoint, ProviderError (``revocation_refused``) when it said no,
        ProtocolViolation (``revocation_unavailable`` is worth another try) or TransportError.
        """
        await self._run(
            self.provider.revoke(token, token_type_hint=token_type_hint, clock=self.clock)
        )

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
        return AsyncUserCalls(self._run, self._users_api())

    async def close(self) -> None:
        """Close the connections to the provider."""
        await self._runner.close()

    async def _run(self, flow: Flow[T]) -> T:
        return await self._runner.run(self._prepared(flow), deadline=self._deadline)
