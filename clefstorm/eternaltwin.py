"""Eternaltwin's users by alias, for scripts, bots and whoever keeps sessions of their own.

    User.get(user_id, using="test")          each call has an async twin that begins with "a":
    await User.aget(user_id, using="test")   aget, asearch, acount, …

``using`` is the alias, None meaning "default". With a RelyingParty mount an Eternaltwin alias in
``login_routes`` instead, which does the sign-in, the cookies and the sessions too.
LAW: a thin shell over the clients of ``connections`` and ``async_connections``; a callback is
judged by the state that this program kept for that browser, and never by what came with it.
Source: the public names of the eternaltwin package.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, Self

from clefstorm.client import AsyncClient, Client
from clefstorm.errors import ConfigurationError, RequestRefused
from clefstorm.keys import Key
from clefstorm.protocol.eternaltwin import EternaltwinUser, EternaltwinUserPage
from clefstorm.protocol.state import check_state
from clefstorm.protocol.token_endpoint import Tokens
from clefstorm.providers import BegunLogin, SignedIn
from clefstorm.registry import async_connections, connections

__all__ = ["EternaltwinUser", "EternaltwinUserPage", "User"]


@dataclass(frozen=True, slots=True, kw_only=True)
class User(EternaltwinUser):
    """A user, and their ``tokens`` where they have signed in, else None.

    Each call raises UnknownAlias; ConfigurationError for an alias of another kind, and in a
    blocking call within a running loop (``blocking_in_loop``); ProviderError, ProtocolViolation
    and TransportError as ``AsyncClient.user`` does.
    """

    tokens: Tokens | None = field(default=None, repr=False)

    @property
    def is_authenticated(self) -> bool:
        """Whether this user has signed in, and was not just looked up."""
        return self.tokens is not None

    # -- sign-in ----------------------------------------------------------------------------

    @classmethod
    def start_authorization(cls, *, using: str | None = None) -> BegunLogin:
        """Begin a sign-in: send the browser to ``url``, and keep all of it for that browser.

        The alias needs a ``state_key``: ConfigurationError (``state_key_missing``).
        """
        client = connections.get_connection(using)
        return client.begin_login(_state_key(client))

    @classmethod
    async def astart_authorization(cls, *, using: str | None = None) -> BegunLogin:
        """The async twin of ``start_authorization``."""
        client = async_connections.get_connection(using)
        return await client.begin_login(_state_key(client))

    @classmethod
    def from_authorization_code(
        cls,
        authorization_code: str,
        callback_state: str,
        begun: BegunLogin,
        *,
        using: str | None = None,
    ) -> Self:
        """Finish a sign-in with what came to the callback, and what was kept for the browser.

        Use ``begun`` once. Raises RequestRefused (``state_other_browser``, ``state_expired``,
        ``code_missing``, …) for a callback that is not its own, TokenRefused for a bad code.
        """
        client = connections.get_connection(using)
        _check_own(client, callback_state, begun)
        grant = client.check_callback([("code", authorization_code)], begun.pending)
        return cls._signed_in(client.redeem(grant))

    @classmethod
    async def afrom_authorization_code(
        cls,
        authorization_code: str,
        callback_state: str,
        begun: BegunLogin,
        *,
        using: str | None = None,
    ) -> Self:
        """The async twin of ``from_authorization_code``."""
        client = async_connections.get_connection(using)
        _check_own(client, callback_state, begun)
        grant = await client.check_callback([("code", authorization_code)], begun.pending)
        return cls._signed_in(await client.redeem(grant))

    @classmethod
    def from_token(cls, tokens: Tokens, *, using: str | None = None) -> Self:
        """Return whom tokens belong to."""
        return cls._of(connections.get_connection(using).user.me(tokens), tokens)

    @classmethod
    async def afrom_token(cls, tokens: Tokens, *, using: str | None = None) -> Self:
        """The async twin of ``from_token``."""
        return cls._of(await async_connections.get_connection(using).user.me(tokens), tokens)

    # -- looking up -------------------------------------------------------------------------

    @classmethod
    def get(cls, user_id: str, *, using: str | None = None) -> Self:
        """Return one user. Raises ProviderError (``user_unknown``)."""
        return cls._of(connections.get_connection(using).user.get(user_id))

    @classmethod
    async def aget(cls, user_id: str, *, using: str | None = None) -> Self:
        """The async twin of ``get``."""
        return cls._of(await async_connections.get_connection(using).user.get(user_id))

    @classmethod
    def search(
        cls, query: str | None = None, *, limit: int = 20, offset: int = 0, using: str | None = None
    ) -> list[Self]:
        """Return users whose name has ``query`` in it, all for None, 100 at most at once."""
        client = connections.get_connection(using)
        return cls._all_of(client.user.search(query, limit=limit, offset=offset))

    @classmethod
    async def asearch(
        cls, query: str | None = None, *, limit: int = 20, offset: int = 0, using: str | None = None
    ) -> list[Self]:
        """The async twin of ``search``."""
        client = async_connections.get_connection(using)
        return cls._all_of(await client.user.search(query, limit=limit, offset=offset))

    @classmethod
    def count(cls, query: str | None = None, *, using: str | None = None) -> int:
        """Return how many users a search would find."""
        return connections.get_connection(using).user.search(query, limit=0).count

    @classmethod
    async def acount(cls, query: str | None = None, *, using: str | None = None) -> int:
        """The async twin of ``count``."""
        page = await async_connections.get_connection(using).user.search(query, limit=0)
        return page.count

    # -- what they are made of --------------------------------------------------------------

    @classmethod
    def _of(cls, user: EternaltwinUser, tokens: Tokens | None = None) -> Self:
        shown = {each.name: getattr(user, each.name) for each in fields(EternaltwinUser)}
        return cls(**shown, tokens=tokens)

    @classmethod
    def _all_of(cls, page: EternaltwinUserPage) -> list[Self]:
        return [cls._of(user) for user in page.items]

    @classmethod
    def _signed_in(cls, signed_in: SignedIn) -> Self:
        claims = signed_in.identity.claims
        return cls(
            id=signed_in.identity.sub,
            display_name=claims["name"],
            is_administrator=claims.get("is_administrator"),
            created_at=_moment(claims, "created_at"),
            deleted_at=_moment(claims, "deleted_at"),
            tokens=signed_in.tokens,
        )


def _moment(claims: Mapping[str, Any], name: str) -> datetime | None:
    return datetime.fromisoformat(claims[name]) if name in claims else None


def _state_key(client: AsyncClient | Client) -> Key:
    if not client.state_keys:
        raise ConfigurationError(
            "a sign-in by hand needs the option state_key of the alias",
            code="state_key_missing",
            alias=client.alias,
        )
    return client.state_keys[0]


def _check_own(client: AsyncClient | Client, callback_state: str, begun: BegunLogin) -> None:
    _state_key(client)
    # The signature says that we began it, this comparison that this browser did.
    if not hmac.compare_digest(callback_state.encode("utf-8", "replace"), begun.state.encode()):
        raise RequestRefused(
            "this sign-in was begun in another browser", code="state_other_browser"
        )
    check_state(
        callback_state,
        client.state_keys,
        authorization_server=client.provider.issuer,
        now=client.clock(),
    )
