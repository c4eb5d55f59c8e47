"""Codes, access tokens and refresh tokens of the embedded provider: what may become what.

LAW: a code and a refresh token are used once; one that comes again takes everything of its
grant with it. Source: RFC 6749, sections 4.1.2, 4.4 and 6; RFC 7636, section 4.6; RFC 9700,
sections 2.1.1 and 4.14.2.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from clefstorm.errors import RequestRefused
from clefstorm.testing.provider.store import (
    Grant,
    IssuedCode,
    IssuedToken,
    ProviderSession,
    ProviderStore,
    handle_of,
)

CODE_LIFETIME = 60.0
"""Seconds from the authorization answer to its use."""

_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedTokens:
    """Fresh tokens; ``refresh_token`` None without offline access, ``expires_in`` in seconds."""

    grant: Grant
    scope: Sequence[str]
    access_token: str = field(repr=False)
    refresh_token: str | None = field(repr=False)
    nonce: str | None = field(repr=False)
    expires_in: int


def _refuse(why: str) -> RequestRefused:
    return RequestRefused(why, code="invalid_grant")


def _proves(verifier: str, challenge: str) -> bool:
    """Return whether the verifier is the one of an S256 challenge (RFC 7636, section 4.6)."""
    if not _VERIFIER.match(verifier):
        return False
    digest = hashlib.sha256(verifier.encode()).digest()
    made = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    return hmac.compare_digest(made, challenge)


class TokenGrants:
    """Gives and takes codes and tokens. Lifetimes are seconds.

    ``access_token_lifetime`` and ``refresh_token_lifetime`` may be changed at any time.
    """

    def __init__(
        self,
        store: ProviderStore,
        *,
        clock: Callable[[], float],
        access_token_lifetime: float,
        refresh_token_lifetime: float,
    ) -> None:
        self.access_token_lifetime = access_token_lifetime
        self.refresh_token_lifetime = refresh_token_lifetime
        self._store = store
        self._clock = clock

    def issue_code(
        self,
        session: ProviderSession,
        *,
        client_id: str,
        redirect_uri: str,
        code_challenge: str,
        nonce: str | None,
        scope: Sequence[str],
    ) -> str:
        """Return a fresh code, after the user agreed."""
        now = self._clock()
        sid = session.sids.setdefault(client_id, secrets.token_urlsafe(16))
        grant = Grant(
            grant_id=secrets.token_hex(16),
            client_id=client_id,
            username=session.username,
            sid=sid,
            session=session.handle,
            scope=list(scope),
            auth_time=session.auth_time,
            started=now,
        )
        code = secrets.token_urlsafe(32)
        self._store.grants[grant.grant_id] = grant
        self._store.codes[handle_of(code)] = IssuedCode(
            grant_id=grant.grant_id,
            redirect_uri=redirect_uri,
            code_challenge=code_challenge,
            nonce=nonce,
            expires=now + CODE_LIFETIME,
        )
        self._store.save()
        return code

    def redeem_code(
        self, code: str, *, client_id: str, redirect_uri: str, code_verifier: str
    ) -> IssuedTokens:
        """Exchange a code; raises RequestRefused (``invalid_grant``), saying why.

        Whatever its own client sends with it, the code is used up by the attempt.
        """
        issued = self._store.codes.get(handle_of(code))
        grant = None if issued is None else self._store.grants.get(issued.grant_id)
        if issued is None or grant is None or issued.expires <= self._clock():
            raise _refuse("the code is unknown or has expired")
        if grant.client_id != client_id:
            raise _refuse("the code was given to another client")
        if issued.used:
            self.revoke_grant(grant.grant_id)
            raise _refuse("the code was used before; what it gave is revoked")
        issued.used = True
        if not hmac.compare_digest(issued.redirect_uri.encode(), redirect_uri.encode()):
            raise _refuse("redirect_uri is not that of the authorization request")
        if not _proves(code_verifier, issued.code_challenge):
            raise _refuse("code_verifier is not the one of the code_challenge")
        return self._issue(grant, grant.scope, nonce=issued.nonce)

    def redeem_refresh_token(
        self, refresh_token: str, *, client_id: str, scope: Sequence[str] | None
    ) -> IssuedTokens:
        """Exchange a refresh token for new tokens; ``scope`` None: as it was granted.

        Raises RequestRefused: ``invalid_grant``, or ``invalid_scope`` for more than was granted.
        """
        issued = self._store.refresh_tokens.get(handle_of(refresh_token))
        grant = None if issued is None else self._store.grants.get(issued.grant_id)
        if issued is None or grant is None or issued.expires <= self._clock():
            raise _refuse("the refresh token is unknown, revoked or has expired")
        if grant.client_id != client_id:
            raise _refuse("the refresh token was given to another client")
        if issued.used:
            self.revoke_grant(grant.grant_id)
            raise _refuse("the refresh token was used before; its successors are revoked")
        if scope is not None and not set(scope) <= set(grant.scope):
            raise RequestRefused("this scope was not granted", code="invalid_scope")
        issued.used = True
        return self._issue(grant, grant.scope if scope is None else scope, nonce=None)

    def issue_to_client(self, client_id: str, *, scope: Sequence[str]) -> IssuedTokens:
        """Return an access token of a client that speaks for itself (RFC 6749, section 4.4)."""
        now = self._clock()
        grant = Grant(
            grant_id=secrets.token_hex(16),
            client_id=client_id,
            username="",
            sid="",
            session="",
            scope=list(scope),
            auth_time=now,
            started=now,
        )
        self._store.grants[grant.grant_id] = grant
        return self._issue(grant, scope, nonce=None)

    def grant_of(self, access_token: str) -> tuple[Grant, Sequence[str]] | None:
        """Return what a user's live access token stands for, and its scope; None for any other."""
        found = self.token_of(access_token)
        return None if found is None or not found[0].username else (found[0], found[1].scope)

    def token_of(self, access_token: str) -> tuple[Grant, IssuedToken] | None:
        """Return a live access token as it is remembered, with its grant; None for any other."""
        issued = self._store.access_tokens.get(handle_of(access_token))
        grant = None if issued is None else self._store.grants.get(issued.grant_id)
        if issued is None or grant is None or issued.expires <= self._clock():
            return None
        return grant, issued

    def rename_token(self, access_token: str, *, to: str) -> None:
        """Give an access token just issued another text, a signed one."""
        tokens = self._store.access_tokens
        tokens[handle_of(to)] = tokens.pop(handle_of(access_token))
        self._store.save()

    def revoke_token(self, token: str, *, client_id: str) -> None:
        """Revoke a token (RFC 7009, section 2.1): a refresh token takes its whole grant along.

        An unknown one is as good as revoked. Raises RequestRefused for another client's.
        """
        name = handle_of(token)
        for table in (self._store.refresh_tokens, self._store.access_tokens):
            issued = table.get(name)
            grant = None if issued is None else self._store.grants.get(issued.grant_id)
            if grant is None:
                continue
            if grant.client_id != client_id:
                raise _refuse("the token was given to another client")
            if table is self._store.refresh_tokens:
                self.revoke_grant(grant.grant_id)
            else:
                del table[name]
                self._store.save()

    def revoke_grant(self, grant_id: str) -> None:
        """End a grant and all its tokens."""
        self._store.grants.pop(grant_id, None)
        self._store.save()

    def _issue(self, grant: Grant, scope: Sequence[str], *, nonce: str | None) -> IssuedTokens:
        now = self._clock()
        access_token = secrets.token_urlsafe(32)
        self._store.access_tokens[handle_of(access_token)] = IssuedToken(
            grant_id=grant.grant_id, expires=now + self.access_token_lifetime, scope=list(scope)
        )
        refresh_token = None
        if "offline_access" in grant.scope:
            refresh_token = secrets.token_urlsafe(32)
            self._store.refresh_tokens[handle_of(refresh_token)] = IssuedToken(
                grant_id=grant.grant_id,
                expires=now + self.refresh_token_lifetime,
                scope=list(grant.scope),
            )
        self._store.save()
        return IssuedTokens(
            grant=grant,
            scope=scope,
            access_token=access_token,
            refresh_token=refresh_token,
            nonce=nonce,
            expires_in=int(self.access_token_lifetime),
        )
