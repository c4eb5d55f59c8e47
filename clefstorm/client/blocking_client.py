"""The blocking client: the same flows under the blocking driver.

LAW: decides nothing of the protocol; async_client has the same methods, and their promises.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar, Unpack

from clefstorm.client.one_alias import OneAlias
from clefstorm.client.user_calls import UserCalls
from clefstorm.keys import Key
from clefstorm.protocol.authorization import CodeGrant, PendingLogin
from clefstorm.protocol.exchange import Flow
from clefstorm.protocol.identity import Identity
from clefstorm.protocol.logout_token import LogoutNotice
from clefstorm.protocol.token_endpoint import Tokens
from clefstorm.providers import BegunLogin, LoginParameters, SignedIn
from clefstorm.transport import run_blocking

T = TypeVar("T")


class Client(OneAlias):
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

    def identify_refreshed(
        self, fresh: Tokens, identity: Identity, *, previous_id_token: str | None = None
    ) -> Identity:
        """Return the identity as a refresh left it (Core 1.0, section 12.2)."""
        return self._run(
            self.provider.identify_refreshed(
                fresh, identity, previous_id_token=previous_id_token, clock=self.clock
            )
        )

    def revoke(self, token: str, *, token_type_hint: str | None = None) -> None:
        """Revoke a token of this client at the provider (RFC 7009)."""
        self._run(self.provider.revoke(token, token_type_hint=token_type_hint, clock=self.clock))

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
        return UserCalls(self._run, self._users_api())

    def close(self) -> None:
        """Close the connections to the provider."""
        run_blocking(self._runner.close)

    def _run(self, flow: Flow[T]) -> T:
        return run_blocking(lambda: self._runner.run(self._prepared(flow), deadline=self._deadline))
