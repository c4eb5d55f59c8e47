"""A login from its start to the open session.

LAW: nothing of a login is kept in the store before it is finished, but that its state was used;
whatever is refused, no session of anybody is touched.
Source: RFC 6749, section 4.1; OpenID Connect Core 1.0, section 3.1; RFC 9700, section 4.7.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Unpack

from clefstorm.client import AsyncClient
from clefstorm.errors import (
    AuthorizationRefused,
    ClefStormError,
    RequestRefused,
    SessionEnded,
    StoreUnavailable,
)
from clefstorm.protocol.authorization import (
    SILENT_REFUSALS,
    callback_parameter,
    check_received_at,
)
from clefstorm.protocol.return_path import local_path
from clefstorm.protocol.state import State, check_browser, check_state
from clefstorm.providers import LoginParameters, SignedIn
from clefstorm.providers.provider import LOGIN_LIFETIME
from clefstorm.registry import DEFAULT, unknown_alias
from clefstorm.relying_party.endings import Endings
from clefstorm.relying_party.login_terms import LoginTerms
from clefstorm.relying_party.outcomes import LoginDeclined, LoginDone, LoginStart
from clefstorm.relying_party.pending import LoginTicket, PendingLogins, state_name
from clefstorm.relying_party.setting import CLOCKS_APART, Setting
from clefstorm.sessions import LoginSession, SessionStore, new_session_id, session_key
from clefstorm.sessions.store import session_tombstoned


class Logins:
    """Begins and finishes logins; see RelyingParty for the promises."""

    def __init__(
        self,
        setting: Setting,
        store: SessionStore,
        endings: Endings,
        terms: LoginTerms,
    ) -> None:
        self._setting = setting
        self._store = store
        self._endings = endings
        self._terms = terms

    async def begin(
        self,
        alias: str | None = None,
        *,
        cookies: Mapping[str, str] | None = None,
        return_to: str | None = "/",
        **parameters: Unpack[LoginParameters],
    ) -> LoginStart:
        """Begin a login of the browser that holds these cookies.

        ``return_to`` is the local path to go to afterwards. Raises UnknownAlias,
        RequestRefused for a return path that leaves the site, TransportError or
        ProtocolViolation when the provider can't be used, and ProviderError when it refused a
        pushed request.
        """
        names, cookies = self._setting.cookies, cookies or {}
        path = local_path(return_to)
        alias = DEFAULT if alias is None else alias
        client = self._setting.client(alias)
        try:
            begun = await client.begin_login(self._setting.state_keys(client)[0], **parameters)
        except ClefStormError as error:
            self._setting.record("login_refused", alias=alias, code=error.code)
            raise
        held = cookies.get(names.session)
        ticket = LoginTicket(
            alias=alias,
            pending=begun.pending,
            return_to=path,
            previous=session_key(held) if held else None,
        )
        logins = self._pending_logins()
        # A button is only an offer; most who see the page never press it.
        event = "login_started" if begun.button is None else "login_offered"
        self._setting.record(event, alias=alias)
        return LoginStart(
            url=begun.url,
            cookie_name=logins.cookie_name(begun.state),
            cookie_value=logins.write(ticket, begun.state, now=self._setting.clock()),
            lifetime=int(LOGIN_LIFETIME),
            cross_site=client.provider.response_mode == "form_post",
            drop=logins.overfull(cookies),
            button=begun.button,
        )

    async def finish(
        self,
        parameters: Sequence[tuple[str, str]],
        *,
        cookies: Mapping[str, str],
        received_at: str | None = None,
    ) -> LoginDone | LoginDeclined:
        """Judge a callback, exchange its code, and open the session.

        Raises RequestRefused (also LoginDenied), AuthorizationRefused, TokenRefused,
        ProtocolViolation, TransportError, SessionEnded (a logout overtook the login) or
        StoreUnavailable; whatever it raises, no session of anybody is touched.
        """
        alias = None
        try:
            state = callback_parameter(parameters, "state")
            if state is None:
                raise RequestRefused(
                    "this answer belongs to no sign-in that was begun here", code="state_missing"
                )
            ticket = self._pending_logins().read(cookies, state)
            if ticket is None:
                return await self._without_ticket(state, cookies)
            alias = ticket.alias
            return await self._with_ticket(ticket, state, parameters, cookies, received_at)
        except ClefStormError as error:
            self._setting.record("login_refused", alias=alias, code=error.code)
            raise

    def _pending_logins(self) -> PendingLogins:
        return PendingLogins(self._setting.sealer, prefix=self._setting.cookies.login)

    async def _with_ticket(
        self,
        ticket: LoginTicket,
        state: str,
        parameters: Sequence[tuple[str, str]],
        cookies: Mapping[str, str],
        received_at: str | None,
    ) -> LoginDone | LoginDeclined:
        client = self._setting.client(ticket.alias)
        redirect_uris = {one.provider.redirect_uri for one in self._setting.clients.values()}
        check_received_at(received_at, client.provider.redirect_uri, among=redirect_uris)
        until = self._check_state(state, client, ticket).exp + CLOCKS_APART
        clear = (self._pending_logins().cookie_name(state),)
        # What is logged out from here on, while we ask the provider, ends this login too.
        mark = await self._store.mark()
        replaced = await self._alive(ticket.previous, cookies.get(self._setting.cookies.session))
        if not await self._store.put_once(state_name(state), expires=until):
            raise RequestRefused("this sign-in was finished already", code="state_used")
        try:
            grant = await client.check_callback(parameters, ticket.pending)
        except AuthorizationRefused as error:
            if ticket.pending.prompt == "none" and error.error in SILENT_REFUSALS:
                self._setting.record("login_declined", alias=ticket.alias, error=error.error)
                return LoginDeclined(error=error.error, return_to=ticket.return_to, clear=clear)
            raise
        signed_in = await client.redeem(grant)
        session_id = new_session_id()
        session = self._new_session(session_id, signed_in, ticket, state)
        try:
            session = await self._store.create(await self._terms.accept(session), mark=mark)
        except Exception:
            self._endings.abandon(session)
            raise
        try:
            for old in replaced:
                if not await self._endings.replace(old, session):
                    raise session_tombstoned()
        except (StoreUnavailable, SessionEnded):
            # The browser gets an error and no cookie, so nobody must hold the new one either.
            with suppress(StoreUnavailable):
                await self._endings.one(session.key, "login_failed")
            raise
        self._setting.record(
            "signed_in", alias=ticket.alias, session=session.key[:8], sub=session.sub
        )
        return LoginDone(
            session=session,
            session_id=session_id,
            return_to=ticket.return_to,
            max_age=int(self._terms.lifetime) if self._terms.remember else None,
            clear=clear,
        )

    async def _alive(self, previous: str | None, held: str | None) -> list[LoginSession]:
        """Return the sessions that this browser has, of which a login leaves none.

        form_post brings no session cookie, so the ticket remembers which one there was.
        """
        keys = {previous, session_key(held) if held else None}
        found = [await self._store.read(key) for key in keys if key is not None]
        return [session for session in found if session is not None]

    def _check_state(self, state: str, client: AsyncClient, ticket: LoginTicket) -> State:
        found = check_state(
            state,
            self._setting.state_keys(client),
            authorization_server=client.provider.issuer,
            now=self._setting.clock(),
        )
        check_browser(found, ticket.pending.browser_secret)
        return found

    async def _without_ticket(self, state: str, cookies: Mapping[str, str]) -> LoginDone:
        """A callback whose cookie is not there: reloaded after its login, or refused."""
        held = cookies.get(self._setting.cookies.session)
        session = await self._store.read(session_key(held)) if held else None
        if session is not None and session.login == state_name(state):
            return LoginDone(session=session, session_id=None, return_to=session.return_to)
        refusals = []
        for client in self._setting.clients.values():
            try:
                check_state(
                    state,
                    self._setting.state_keys(client),
                    authorization_server=client.provider.issuer,
                    now=self._setting.clock(),
                )
            except RequestRefused as error:
                refusals.append(error)
            else:
                if await self._store.peek(state_name(state)) is not None:
                    raise RequestRefused("this sign-in was finished already", code="state_used")
                raise RequestRefused(
                    "this sign-in was begun in another browser", code="state_other_browser"
                )
        # An expired state of ours says more than that another alias did not make it.
        raise min(
            refusals,
            key=lambda e: e.code != "state_expired",
            default=unknown_alias(DEFAULT, ()),
        )

    def _new_session(
        self, session_id: str, signed_in: SignedIn, ticket: LoginTicket, state: str
    ) -> LoginSession:
        now = self._setting.clock()
        return LoginSession(
            key=session_key(session_id),
            alias=ticket.alias,
            iss=signed_in.identity.iss,
            sub=signed_in.identity.sub,
            sid=signed_in.sid,
            claims=signed_in.identity.claims,
            tokens=signed_in.tokens,
            data={},
            created=now,
            authenticated=signed_in.issued,
            seen=now,
            idle=self._terms.idle,
            expires=now + self._terms.lifetime,
            login=state_name(state),
            return_to=ticket.return_to,
        )
