"""Logouts: the user's own, and those that a provider tells us of.

LAW: revoke first, then remember the token, then answer; the local end never waits for the
provider. Source: OpenID Connect RP-Initiated, Back-Channel and Front-Channel Logout 1.0.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Mapping
from typing import Any

from clefstorm.client import AsyncClient
from clefstorm.errors import ClefStormError, ProtocolViolation, RequestRefused
from clefstorm.protocol.encrypted_token import is_encrypted
from clefstorm.protocol.jwt import read_jwt_claims_unverified
from clefstorm.protocol.logout_token import LogoutNotice
from clefstorm.protocol.return_path import local_path
from clefstorm.providers import ClefProvider, OpenIDProvider
from clefstorm.providers.provider import LOGIN_LIFETIME
from clefstorm.relying_party.endings import Endings
from clefstorm.relying_party.outcomes import LogoutStart
from clefstorm.relying_party.pending import read_logout, write_logout
from clefstorm.relying_party.setting import CLOCKS_APART, Setting
from clefstorm.sessions import LoginSession, SessionStore, session_key

TOMBSTONE = 3 * LOGIN_LIFETIME
"""Seconds for which a logout is remembered against logins that it has overtaken; not longer, for
a provider may keep its sid when the user signs in again."""


class Logouts:
    """Ends sessions for their users and their providers; see RelyingParty for the promises."""

    def __init__(self, setting: Setting, store: SessionStore, endings: Endings) -> None:
        self._setting = setting
        self._store = store
        self._endings = endings

    async def log_out(self, session_id: str | None, *, return_to: str | None = "/") -> LogoutStart:
        """End the browser's session here, then say how to end it at the provider.

        A provider that can't be reached does not keep the user signed in: the local end stands.
        """
        path = local_path(return_to)
        if not session_id:
            return LogoutStart(url=path)
        key = session_key(session_id)
        session = await self._store.read(key)
        # The answer of a login in another tab may be on its way to this very browser.
        if session is not None or await self._endings.was_replaced(key):
            await self._endings.log_out(key, "logout")
        if session is None:
            # Nothing of the session that came after is for who holds the id of one that is over.
            return LogoutStart(url=path)
        state = secrets.token_urlsafe(16)
        id_token = session.tokens.id_token if session.tokens else None
        try:
            url = await self._setting.client_of(session).end_session_url(
                id_token=id_token, state=state
            )
        except ClefStormError as error:
            self._setting.record("provider_logout_failed", alias=session.alias, code=error.code)
            url = None
        if url is None:
            return LogoutStart(url=path)
        return LogoutStart(
            url=url,
            cookie_name=self._setting.cookies.logout,
            cookie_value=write_logout(self._setting.sealer, state, return_to=path),
            lifetime=int(LOGIN_LIFETIME),
        )

    def finish(self, state: str | None, cookies: Mapping[str, str]) -> str:
        """Return the local path to go to after the provider's logout, "/" when none is known."""
        return (
            read_logout(self._setting.sealer, cookies.get(self._setting.cookies.logout), state)
            or "/"
        )

    async def receive(self, logout_token: str) -> int:
        """Judge a logout token and end the sessions it speaks of; return how many.

        The same token again ends nothing (0). Raises ProtocolViolation or RequestRefused for one
        that is not good, TransportError when the keys can't be had, StoreUnavailable.
        """
        return await self._receive(logout_token, lambda: self._client_for(logout_token))

    async def receive_clef(self, logout_token: str, alias: str | None) -> int:
        """Exchange a Clef logout token and end the sessions of its user; return how many.

        Raises RequestRefused when ``alias`` does not say which Clef alias it is for, ClefAPIError
        when the server knows no such token, ProtocolViolation, TransportError, StoreUnavailable.
        """
        return await self._receive(logout_token, lambda: self._clef_client(alias))

    async def receive_frontchannel(self, iss: str, sid: str) -> int:
        """End the sessions of the provider's session; return how many there were.

        What a stranger makes up leaves no trace: only a session that lives is written to. Raises
        RequestRefused (``frontchannel_issuer_unknown``).
        """
        aliases = {
            alias
            for alias, client in self._setting.clients.items()
            if isinstance(client.provider, OpenIDProvider)
            and client.provider.frontchannel_logout
            and client.provider.issuer == iss
        }
        if not aliases:
            self._setting.record("logout_refused", code="frontchannel_issuer_unknown")
            raise RequestRefused(
                "no configured provider with frontchannel_logout is this issuer",
                code="frontchannel_issuer_unknown",
                got=iss,
            )
        found = await self._store.list_sid(iss, sid)
        sessions = [session for session in found if session.alias in aliases]
        for session in sessions:
            self._setting.record("logout_received", alias=session.alias)
            await self._endings.log_out(session.key, "frontchannel")
        return len(sessions)

    async def _receive(self, logout_token: str, choose: Callable[[], AsyncClient]) -> int:
        try:
            client = choose()
            notice = await client.check_logout(logout_token)
        except ClefStormError as error:
            self._setting.record("logout_refused", code=error.code)
            raise
        digest = hashlib.sha256(f"{notice.iss}\0{notice.jti}".encode()).hexdigest()
        if await self._store.peek(f"jti:{digest}") is not None:
            self._setting.record("logout_repeated", alias=client.alias)
            return 0
        self._setting.record("logout_received", alias=client.alias)
        ended = await self._endings.end(self._revoke(notice), "backchannel")
        # Remembered only now: a crash before this line leaves a token that works again.
        # By whichever of our clocks it would be refused as expired, it is remembered until then.
        await self._store.put_once(f"jti:{digest}", expires=notice.forget_at + CLOCKS_APART)
        return len(ended)

    async def _revoke(self, notice: LogoutNotice) -> list[LoginSession]:
        until = self._setting.clock() + TOMBSTONE
        ended: list[LoginSession] = []
        if notice.sid is not None:
            ended = await self._store.revoke_sid(
                notice.iss, notice.sid, sub=notice.sub, reason="backchannel", until=until
            )
        if notice.sub is not None and (notice.sid is None or notice.all_of_sub):
            ended += await self._store.revoke_sub(
                notice.iss, notice.sub, issued=notice.iat, reason="backchannel", until=until
            )
        return ended

    def _client_for(self, logout_token: str) -> AsyncClient:
        """Choose the alias that a logout token claims to be for; the check comes after."""
        if is_encrypted(logout_token):
            return self._client_that_opens(logout_token)
        claims = read_jwt_claims_unverified(logout_token)
        for client in self._clients_with_logout_tokens():
            if _is_for(client, claims):
                return client
        raise _foreign(claims)

    def _client_that_opens(self, logout_token: str) -> AsyncClient:
        """Choose the alias that an encrypted logout token is for: nobody else can read it."""
        refusals: list[ClefStormError] = []
        for client in self._clients_with_logout_tokens():
            try:
                claims = read_jwt_claims_unverified(client.provider.open_token(logout_token))
            except ProtocolViolation as refusal:
                refusals.append(refusal)
            else:
                if _is_for(client, claims):
                    return client
                refusals.append(_foreign(claims))
        # An alias that could have opened it says more than one without encryption.
        raise min(refusals, key=lambda e: e.code == "jwt_encrypted", default=_foreign({}))

    def _clients_with_logout_tokens(self) -> list[AsyncClient]:
        """Those of Clef are no JWTs, and have a webhook of their own."""
        clients = self._setting.clients.values()
        return [client for client in clients if not isinstance(client.provider, ClefProvider)]

    def _clef_client(self, alias: str | None) -> AsyncClient:
        """Choose the Clef alias of a webhook, which says nothing about whom it is for."""
        found = {
            name: client
            for name, client in self._setting.clients.items()
            if isinstance(client.provider, ClefProvider)
        }
        if alias is None and len(found) == 1:
            return next(iter(found.values()))
        if alias is None or alias not in found:
            raise RequestRefused(
                "the logout hook URL says which Clef alias it is for: ?provider=alias",
                code="clef_alias_unknown",
                got=alias,
            )
        return found[alias]


def _is_for(client: AsyncClient, claims: Mapping[str, Any]) -> bool:
    provider, audience = client.provider, claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    return provider.issuer == claims.get("iss") and provider.client_id in audiences


def _foreign(claims: Mapping[str, Any]) -> RequestRefused:
    return RequestRefused(
        "no configured provider is this token's issuer with one of our client_ids",
        code="logout_token_foreign",
        got=claims.get("iss"),
    )
