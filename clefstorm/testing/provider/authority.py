"""What the embedded provider decides: who is signed in, what a token says, who is told of an end.

LAW: knows nothing of HTTP requests and pages; the handlers ask it, and so do tests, so that a
button of the admin page and its twin in a test are one thing.
Source: OpenID Connect Core 1.0, sections 2, 3.1.3.6 and 12; Back-Channel Logout 1.0, section 2.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

from clefstorm.errors import ConfigurationError
from clefstorm.keys import Key
from clefstorm.testing.provider.accounts import Account, demo_accounts
from clefstorm.testing.provider.back_channel import BackChannel, Delivery
from clefstorm.testing.provider.clef_grants import ClefGrants
from clefstorm.testing.provider.client_proofs import ClientProofs
from clefstorm.testing.provider.client_tokens import encrypted_for
from clefstorm.testing.provider.clients import Client, Registration
from clefstorm.testing.provider.faults import TokenDraft, tampered
from clefstorm.testing.provider.posts import Posts
from clefstorm.testing.provider.pushed_requests import PushedRequests
from clefstorm.testing.provider.signing import SigningKeys
from clefstorm.testing.provider.store import (
    SESSION_LIFETIME,
    Grant,
    ProviderSession,
    ProviderStore,
    handle_of,
)
from clefstorm.testing.provider.switchboard import Switchboard
from clefstorm.testing.provider.token_claims import id_token_claims, logout_token_claims
from clefstorm.testing.provider.token_grants import IssuedTokens, TokenGrants


@dataclass(frozen=True, slots=True)
class RequestSeen:
    """One request that the provider answered; ``path`` has no query, nothing here is secret.

    ``grant_type`` is what was asked of the token endpoint, ``error`` the OAuth error answered.
    """

    method: str
    path: str
    status: int
    grant_type: str | None = None
    error: str | None = None


class Authority:
    """The provider without its server; ``Provider`` adds that. Lifetimes are seconds."""

    def __init__(
        self,
        *,
        users: Iterable[Account] | None,
        demo_accounts_shown: bool | None,
        clock: Callable[[], float],
        path: Path | None,
        access_token_lifetime: float,
        refresh_token_lifetime: float,
        id_token_lifetime: float,
        signing_keys: Sequence[Key],
        ca_certs: str | None,
        pushed_authorization_requests: bool,
        require_pushed_authorization_requests: bool,
    ) -> None:
        people = demo_accounts() if users is None else tuple(users)
        self.accounts: dict[str, Account] = {account.username: account for account in people}
        self.demo_accounts = users is None if demo_accounts_shown is None else demo_accounts_shown
        self.clients: dict[str, Client] = {}
        self.clock = clock
        self.id_token_lifetime = id_token_lifetime
        self.store = ProviderStore(path, clock=clock)
        self.keys = SigningKeys(self.store, given=signing_keys)
        self.grants = TokenGrants(
            self.store,
            clock=clock,
            access_token_lifetime=access_token_lifetime,
            refresh_token_lifetime=refresh_token_lifetime,
        )
        self.clef = ClefGrants(
            self.store, self.clients, clock=clock, access_token_lifetime=access_token_lifetime
        )
        self.require_pushed_authorization_requests = require_pushed_authorization_requests
        self.pushed_authorization_requests = (
            pushed_authorization_requests or require_pushed_authorization_requests
        )
        self.pushed = PushedRequests(clock=clock)
        self.proofs = ClientProofs(self.clients, clock=clock)
        self.back_channel = BackChannel(clock=clock, ca_certs=ca_certs)
        self.posts = Posts(clock=clock)
        self.requests: deque[RequestSeen] = deque(maxlen=1000)
        self._faults = Switchboard()
        self.tamper = self._faults.tamper
        self.answer_instead = self._faults.answer_instead

    @property
    def issuer(self) -> str:
        """The issuer; Provider knows it once it listens."""
        raise NotImplementedError

    @property
    def deliveries(self) -> Sequence[Delivery]:
        """The logout calls made so far, oldest first."""
        return tuple(self.back_channel.deliveries)

    @property
    def sessions(self) -> Sequence[ProviderSession]:
        """The browsers that are signed in at the provider, oldest first."""
        return tuple(filter(self._is_live, self.store.sessions.values()))

    def add_client(
        self,
        client_id: str,
        client_secret: str | None = None,
        redirect_uris: Sequence[str] = (),
        *,
        post_logout_redirect_uris: Sequence[str] = (),
        backchannel_logout_uri: str | None = None,
        backchannel_logout_session_required: bool = True,
        clef_logout_uri: str | None = None,
        token_endpoint_auth_method: str | None = None,
        id_token_signed_response_alg: str = "RS256",
        client_name: str | None = None,
        api_scopes: Sequence[str] = (),
        access_token_audience: str | None = None,
        access_token_format: str = "opaque",
        **registration: Unpack[Registration],
    ) -> Client:
        """Register an application, or register it anew under the same client_id.

        ``token_endpoint_auth_method`` None is client_secret_basic, without a secret none.
        ``clef_logout_uri`` is the logout hook of one that speaks Clef, with ``client_id`` as its
        app id. ``client_name`` is shown on the pages. ``api_scopes`` are scopes beside OpenID
        Connect's that it may ask for. ``access_token_audience`` is the API that its access
        tokens are for; with ``access_token_format`` jwt they are JWTs (RFC 9068). Raises
        ConfigurationError for what can't work.
        """
        default_method = "none" if client_secret is None else "client_secret_basic"
        client = Client(
            client_id=client_id,
            client_secret=client_secret,
            redirect_uris=_listed(redirect_uris),
            post_logout_redirect_uris=_listed(post_logout_redirect_uris),
            backchannel_logout_uri=backchannel_logout_uri,
            backchannel_logout_session_required=backchannel_logout_session_required,
            clef_logout_uri=clef_logout_uri,
            token_endpoint_auth_method=token_endpoint_auth_method or default_method,
            id_token_signed_response_alg=id_token_signed_response_alg,
            client_name=client_name,
            api_scopes=_listed(api_scopes),
            access_token_audience=access_token_audience,
            access_token_format=access_token_format,
            **registration,
        )
        self.clients[client_id] = client
        return client

    def rotate_keys(self, *, forget: bool = False) -> None:
        """Sign with new keys; the old ones stay published unless ``forget``."""
        self.keys.rotate(forget=forget)

    def misbehave(self, fault: str, *, at: str | None = None) -> None:
        """Switch on a fault that has a name (FAULTS); ``at`` None is its usual place.

        Raises ConfigurationError (``fault_unknown``).
        """
        self._faults.switch_on(fault, at=at)

    def behave(self) -> None:
        """Switch off all faults, hooks and answers that a test has put in."""
        self._faults.switch_off()

    def account(self, username: str) -> Account:
        """Return the account; raises ConfigurationError (``account_unknown``)."""
        if username not in self.accounts:
            raise ConfigurationError(
                "the embedded provider has no such account", code="account_unknown", got=username
            )
        return self.accounts[username]

    def session_of(self, cookie: str | None) -> ProviderSession | None:
        """Return the live session that a browser's cookie opens, None when there is none."""
        if not cookie:
            return None
        session = self.store.sessions.get(handle_of(cookie))
        return session if session is not None and self._is_live(session) else None

    def _is_live(self, session: ProviderSession) -> bool:
        # A kept session may be of a user whom this start of the provider does not know.
        in_time = self.clock() < session.started + SESSION_LIFETIME
        return in_time and session.username in self.accounts

    async def sign_in(
        self, username: str, *, previous: ProviderSession | None, user_agent: str
    ) -> tuple[str, ProviderSession]:
        """Start the session of a browser; return its cookie's secret value and the session.

        The same user's ``previous`` session goes on under a new cookie, with its sids;
        another user's is ended, and its clients are told.
        """
        cookie = secrets.token_urlsafe(32)
        now = self.clock()
        session = ProviderSession(
            handle=handle_of(cookie),
            username=username,
            auth_time=now,
            started=now,
            user_agent=user_agent[:200],
        )
        if previous is not None and previous.username == username:
            self.store.sessions.pop(previous.handle, None)
            session.sids, session.clef_grants = previous.sids, previous.clef_grants
            for grant in self.store.grants.values():
                if grant.session == previous.handle:
                    grant.session = session.handle
        self.store.sessions[session.handle] = session
        self.store.save()
        if previous is not None and previous.username != username:
            await self.end_session(previous)
        return cookie, session

    async def end_session(self, session: ProviderSession | str) -> Sequence[Delivery]:
        """End one browser's session, named by itself or its handle, and tell its clients.

        Returns how telling them went; nothing for a session that was not there.
        """
        handle = session if isinstance(session, str) else session.handle
        ended = self.store.end_session(handle)
        return await self._tell([ended] if ended is not None else [])

    async def sign_out(self, username: str) -> Sequence[Delivery]:
        """Sign a user out everywhere: end all sessions and tell all their clients."""
        self.account(username)
        mine = [session for session in self.sessions if session.username == username]
        ended = [self.store.end_session(session.handle) for session in mine]
        return await self._tell([session for session in ended if session is not None])

    async def logout_token(self, client_id: str, *, sub: str, sid: str | None = None) -> str:
        """Return a fresh logout token for a client, signed, and delivered to nobody."""
        client = self.clients[client_id]
        claims = logout_token_claims(
            client_id, issuer=self.issuer, sub=sub, sid=sid, now=self.clock()
        )
        signed = await self.sign("logout_token", claims, client, "logout+jwt")
        return encrypted_for(client, signed, kind="id_token")

    def sub_of(self, grant: Grant) -> str:
        """Return whom a grant's tokens name: its user, else its client (RFC 9068, section 2.2)."""
        return self.account(grant.username).sub if grant.username else grant.client_id

    async def id_token(self, client: Client, issued: IssuedTokens) -> str:
        """Return the id token that goes with these tokens."""
        claims = id_token_claims(
            client,
            issued,
            issuer=self.issuer,
            sub=self.sub_of(issued.grant),
            now=self.clock(),
            lifetime=self.id_token_lifetime,
        )
        signed = await self.sign("id_token", claims, client, "JWT")
        return encrypted_for(client, signed, kind="id_token")

    async def sign(self, name: str, claims: dict[str, Any], client: Client, typ: str) -> str:
        """Return a token for a client, after the test's hook of this ``name`` has had it."""
        draft = TokenDraft(claims, self.keys.key_for(client), typ)
        draft = await tampered(self.tamper, name, draft)
        return draft if isinstance(draft, str) else draft.sign()

    async def _tell(self, ended: Sequence[ProviderSession]) -> Sequence[Delivery]:
        """Send each client its logout tokens, all at once: one a sid, or one for the subject."""
        notices: dict[tuple[str, str, str | None], None] = {}
        for session in ended:
            for client_id, sid in session.sids.items():
                client = self.clients.get(client_id)
                if client is not None and client.backchannel_logout_uri is not None:
                    named = sid if client.backchannel_logout_session_required else None
                    notices[client_id, self.account(session.username).sub, named] = None
        hooks = {(app_id, one.username) for one in ended for app_id in one.clef_grants}
        calls = [self._deliver(*notice) for notice in notices]
        calls += [
            self._call_hook(app_id, username, client.clef_logout_uri)
            for app_id, username in sorted(hooks)
            if (client := self.clients.get(app_id)) is not None and client.clef_logout_uri
        ]
        return tuple(await asyncio.gather(*calls))

    async def _call_hook(self, app_id: str, username: str, url: str) -> Delivery:
        return await self.back_channel.deliver(
            self.clef.logout_token(app_id, username),
            client_id=app_id,
            url=url,
            sub=self.account(username).sub,
            sid=None,
        )

    async def _deliver(self, client_id: str, sub: str, sid: str | None) -> Delivery:
        return await self.back_channel.deliver(
            await self.logout_token(client_id, sub=sub, sid=sid),
            client_id=client_id,
            url=self.clients[client_id].backchannel_logout_uri or "",
            sub=sub,
            sid=sid,
        )


def _listed(uris: Sequence[str]) -> tuple[str, ...]:
    """Return the tuple, or fail on the one text that would be taken for a list of letters."""
    if isinstance(uris, str):
        raise ConfigurationError("redirect URIs are a list", code="client_uris_not_list")
    return tuple(uris)
