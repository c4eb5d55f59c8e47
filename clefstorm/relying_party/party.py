"""The relying party: begin_login, finish_login, log_out, receive_logout, refresh.

LAW: imports no web framework. This file, with logout_face, is the face: the promises stand here,
the work is done by the files beside it (logins, logouts, refreshing), and every session ends
through endings.
Source: OpenID Connect Core 1.0; RP-Initiated and Back-Channel Logout 1.0; RFC 9700.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack

from clefstorm.bus import AsyncBus, Subscription
from clefstorm.client import AsyncClient
from clefstorm.errors import (
    ClefStormError,
    ProtocolViolation,
    SessionConflict,
    SessionEnded,
    StoreUnavailable,
    TokenRefused,
    TransportError,
)
from clefstorm.providers import LoginParameters
from clefstorm.relying_party.endings import Endings
from clefstorm.relying_party.login_terms import LoginTerms, OnLogin
from clefstorm.relying_party.logins import Logins
from clefstorm.relying_party.logout_face import LogoutFace
from clefstorm.relying_party.logouts import TOMBSTONE, Logouts
from clefstorm.relying_party.outcomes import (
    CookieNames,
    Happening,
    LoginDeclined,
    LoginDone,
    LoginStart,
)
from clefstorm.relying_party.refreshing import Refresher
from clefstorm.relying_party.revoking import TokenRevoker
from clefstorm.relying_party.setting import Secret, Setting
from clefstorm.relying_party.tidying import Tidying
from clefstorm.sessions import LoginSession, SessionStore, SQLiteSessionStore, session_key

IDLE = 8 * 3600.0
LIFETIME = 7 * 86400.0
_FRESH_FOR = 30.0
_TOUCH_EVERY = 60.0


class RelyingParty(LogoutFace):
    """Signs users in with the configured providers and ends their sessions everywhere.

    ``clients`` maps aliases to clients; None takes what ``clefstorm.configure`` configured.
    ``sessions`` None is a SQLite file ``clefstorm.sqlite`` and ``secret`` None a key file
    ``clefstorm.key`` (both mode 0600) in the folder ``path``, which is by default CLEFSTORM_HOME
    or the working folder. Several machines must give the same ``secret`` (at least 32 bytes; a
    list rotates: the first seals, all open). ``on_login`` gets each new session before it is
    saved: it may raise LoginDenied, or return a mapping that becomes ``session.data``. ``idle``
    (seconds without a request, None: no such end) and ``lifetime`` (seconds) end sessions.
    ``revoke_tokens`` has the refresh token of each ended session revoked at its provider, soon
    after and without anybody waiting.
    """

    def __init__(
        self,
        clients: Mapping[str, AsyncClient] | None = None,
        sessions: SessionStore | None = None,
        bus: AsyncBus | None = None,
        secret: Secret = None,
        path: str | Path | None = None,
        *,
        clock: Callable[[], float] = time.time,
        on_login: OnLogin | None = None,
        idle: float | None = IDLE,
        lifetime: float = LIFETIME,
        remember: bool = True,
        revoke_tokens: bool = False,
    ) -> None:
        terms = LoginTerms(on_login=on_login, idle=idle, lifetime=lifetime, remember=remember)
        self._setting = Setting(clients, secret, path, clock=clock)
        self.clock = clock
        self.bus = AsyncBus() if bus is None else bus
        self.sessions: SessionStore = (
            SQLiteSessionStore(
                self._setting.folder / "clefstorm.sqlite", sealer=self._setting.sealer, clock=clock
            )
            if sessions is None
            else sessions
        )
        self._revoker = TokenRevoker(self._setting, wanted=revoke_tokens)
        self._endings = Endings(self._setting, self.sessions, self.bus, self._revoker)
        self._logins = Logins(self._setting, self.sessions, self._endings, terms)
        self._logouts = Logouts(self._setting, self.sessions, self._endings)
        self._refresher = Refresher(
            self.sessions,
            self._setting.client_of,
            self._endings.one,
            abandon=self._endings.abandon,
            clock=clock,
        )
        self._started = False
        self._tidying = Tidying(self._setting, self.sessions, self._revoker)

    # -- configuration -----------------------------------------------------------------------

    @property
    def clients(self) -> Mapping[str, AsyncClient]:
        """The clients by alias."""
        return self._setting.clients

    def client(self, alias: str | None = None) -> AsyncClient:
        """Return the client of an alias, None meaning "default"; raises UnknownAlias."""
        return self._setting.client(alias)

    def client_of(self, session: LoginSession) -> AsyncClient:
        """Return the client of the provider that opened a session, for whom its tokens are.

        Raises UnknownAlias, and ConfigurationError (``alias_reassigned``) when the alias is
        another provider's by now.
        """
        return self._setting.client_of(session)

    @property
    def cookies(self) -> CookieNames:
        """The names of our cookies; raises ConfigurationError when https and http are mixed."""
        return self._setting.cookies

    @property
    def listeners(self) -> list[Callable[[Happening], None]]:
        """Called with each Happening; add to it for an audit log or a live view."""
        return self._setting.listeners

    def record(self, event: str, *, alias: str | None = None, **facts: object) -> None:
        """Tell the listeners what happened; facts are no secrets."""
        self._setting.record(event, alias=alias, **facts)

    # -- login ------------------------------------------------------------------------------

    async def begin_login(
        self,
        alias: str | None = None,
        *,
        cookies: Mapping[str, str] | None = None,
        return_to: str | None = "/",
        **parameters: Unpack[LoginParameters],
    ) -> LoginStart:
        """Begin a login of the browser that holds these cookies.

        ``return_to`` is the local path to go to afterwards, ``parameters`` are those of
        AsyncClient.begin_login. Raises UnknownAlias, RequestRefused for a return path that leaves
        the site, TransportError or ProtocolViolation when the provider can't be used, and
        ProviderError (``pushed_request_refused``) when it said no before anybody went there.
        """
        self._start()
        return await self._logins.begin(alias, cookies=cookies, return_to=return_to, **parameters)

    async def finish_login(
        self,
        parameters: Sequence[tuple[str, str]],
        *,
        cookies: Mapping[str, str],
        received_at: str | None = None,
    ) -> LoginDone | LoginDeclined:
        """Judge a callback, exchange its code, and open the session.

        ``received_at`` is the URL to which the callback came, without its query; None skips the
        comparison with the redirect_uris of other aliases.
        Raises RequestRefused (also LoginDenied), AuthorizationRefused, TokenRefused,
        ProtocolViolation, TransportError, SessionEnded (a logout overtook the login) or
        StoreUnavailable; whatever it raises, no session of anybody is touched.
        """
        self._start()
        self._tidying.sometimes()
        return await self._logins.finish(parameters, cookies=cookies, received_at=received_at)

    # -- sessions ---------------------------------------------------------------------------

    async def session(self, session_id: str | None, *, active: bool = True) -> LoginSession | None:
        """Return the live session of a browser's cookie, None when nobody is signed in.

        ``active`` False (polls, streams, pings) does not put off the idle end. Raises
        StoreUnavailable.
        """
        self._start()
        if not session_id:
            return None
        session = await self.sessions.read(session_key(session_id))
        if session is None or not active or session.idle is None:
            return session
        now = self.clock()
        # Not at each request: a tenth of the idle time is exact enough and spares the writer.
        if now - session.seen >= min(_TOUCH_EVERY, session.idle / 10):
            try:
                await self.sessions.touch(session.key, now)
            except StoreUnavailable as error:
                # What could be read need not wait for what can't be written.
                self.record("touch_failed", code=error.code)
        return session

    async def read_session(self, key: str) -> LoginSession | None:
        """Return the live session of a key, None when it has ended; counts as no activity."""
        return await self.sessions.read(key)

    def watch(self, key: str) -> Subscription:
        """Register for the end of a session; read the store after, not before (law 1)."""
        self._start()
        return self._endings.watch(key)

    async def set_data(self, session: LoginSession, data: Mapping[str, Any]) -> LoginSession:
        """Replace the application's own data (JSON) of a session; return the session as saved.

        Raises SessionEnded when the session has ended meanwhile.
        """
        while True:
            try:
                return await self.sessions.save(replace(session, data=dict(data)))
            except SessionConflict:
                # A refresh saved its tokens meanwhile; our news is the data alone.
                current = await self.sessions.read(session.key)
                if current is None:
                    raise SessionEnded("the session has ended") from None
                session = current

    async def devices(self, session: LoginSession) -> list[LoginSession]:
        """Return all live sessions of the same user, newest first."""
        return await self.sessions.list_sub(session.iss, session.sub)

    async def revoke(self, key: str, *, reason: str = "revoked") -> bool:
        """End one session by its key; False when it was not alive.

        A login that replaces it just now ends with it.
        """
        self._start()
        return await self._endings.log_out(key, reason)

    async def revoke_user(self, iss: str, sub: str, *, reason: str = "revoked") -> int:
        """End all sessions of a user; return how many there were.

        A login whose callback is being answered ends too; one that comes back later does not.
        """
        self._start()
        # Nothing is known of the provider's clock, so none is compared.
        revoking = self.sessions.revoke_sub(
            iss, sub, issued=None, reason=reason, until=self.clock() + TOMBSTONE
        )
        return len(await self._endings.end(revoking, reason))

    # -- tokens -----------------------------------------------------------------------------

    async def access_token(self, session: LoginSession) -> str:
        """Return an access token that is good for 30 seconds more at least, for calling an API.

        Refreshes when it must; while the provider can't, the token at hand serves to its end.
        Raises SessionEnded when the session has ended or ends by this; after the token's end
        TransportError, ProtocolViolation or TokenRefused when the provider can't refresh now,
        and ConfigurationError when it never gave a refresh token or is no longer the alias's.
        """
        current = await self.sessions.read(session.key)
        if current is None or current.tokens is None:
            raise SessionEnded("the session has ended")
        tokens, left = current.tokens, current.tokens.seconds_left(self.clock())
        if left >= _FRESH_FOR or (left > 0 and tokens.refresh_token is None):
            return tokens.access_token
        try:
            fresh = (await self.refresh(current)).tokens
        except (TransportError, ProtocolViolation, TokenRefused):
            if tokens.seconds_left(self.clock()) <= 0:
                raise
            fresh = None
        return tokens.access_token if fresh is None else fresh.access_token

    async def refresh(self, session: LoginSession) -> LoginSession:
        """Refresh a session's tokens now; raises as ``access_token`` does."""
        self._start()
        try:
            fresh = await self._refresher.refresh(session)
        except ClefStormError as error:
            self.record("refresh_failed", alias=session.alias, code=error.code)
            raise
        self.record("refreshed", alias=session.alias, session=session.key[:8])
        return fresh

    # -- life -------------------------------------------------------------------------------

    def _start(self) -> None:
        # Not in __init__, where no loop need be running yet.
        if not self._started:
            self._started = True
            self.sessions.start(self._endings.elsewhere)

    async def close(self) -> None:
        """Finish the refreshes under way, then close the bus, the store and the given clients.

        Those of ``clefstorm.configure`` stay open: they belong to the registry.
        """
        await self._refresher.close()
        await self._endings.close()
        await self._revoker.close()
        await self._tidying.close()
        await self.bus.close()
        await self.sessions.close()
        for client in self._setting.given_clients:
            await client.close()
