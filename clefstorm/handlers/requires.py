"""requires: lets a method run only for whoever is permitted, and has signed in well enough.

LAW: judges nothing; the requirement does, against the session or the access token. An answer
names no role and no claim that was missing; the audit log says which kind it was.
Source: RFC 6750, 3.1; RFC 9470, 3 and 4; OpenID Connect Core 1.0, 3.1.2.1 (acr_values, max_age).
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection, Coroutine, Mapping
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar, overload
from urllib.parse import urlencode

import tornado.web
from tornado.escape import json_encode

from clefstorm.errors import ConfigurationError
from clefstorm.handlers.bearer import refuse_token, resource_server_of
from clefstorm.handlers.origin import is_navigation
from clefstorm.handlers.pages import HEADERS, Page
from clefstorm.handlers.user import (
    ask_to_sign_in,
    authenticated,
    login_path,
    next_of,
    relying_party_of,
)
from clefstorm.protocol.access_token import AccessToken
from clefstorm.protocol.requirement import ClaimPath, Requirement, Unmet
from clefstorm.providers import OpenIDProvider
from clefstorm.relying_party import RelyingParty
from clefstorm.sessions import LoginSession

P = ParamSpec("P")
H = TypeVar("H", bound=tornado.web.RequestHandler)
R = TypeVar("R")

STEP_UP = "insufficient_user_authentication"
# Not none: a provider that declines to ask would send its user round in circles.
_PROMPTS = (None, "login", "select_account", "consent")
_SAID_BY_ID_TOKENS = frozenset({"acr", "auth_time"})


class Guard(Protocol):
    """The decorator: keeps what the method takes, and may answer None in its place."""

    @overload
    def __call__(
        self, method: Callable[Concatenate[H, P], Coroutine[Any, Any, R]]
    ) -> Callable[Concatenate[H, P], Coroutine[Any, Any, R | None]]: ...

    @overload
    def __call__(
        self, method: Callable[Concatenate[H, P], R]
    ) -> Callable[Concatenate[H, P], R | None]: ...


def requires(
    *,
    claims: Mapping[ClaimPath, Any] | None = None,
    roles: Collection[str] = (),
    roles_claim: ClaimPath = "roles",
    scopes: Collection[str] = (),
    acr: str | Collection[str] = (),
    max_age: int | None = None,
    prompt: str | None = None,
) -> Guard:
    """Let the method run only for a user, or an access token, that meets all of this.

    ``claims`` maps a claim to its value, or to a list of values of which one will do; a claim
    that is a list must hold it. ``roles`` must all stand in ``roles_claim``. ``scopes`` must
    all have been granted. A claim inside another is written "realm_access.roles"; one whose own
    name has dots, ("https://example.com/roles",). ``acr`` is one class of authentication, or
    several of which one will do, the preferred one first; ``max_age`` is how many seconds ago
    the user may have signed in at most. ``prompt`` goes along when a user is sent to sign in
    again: "login" for a provider that otherwise goes on with the session it has. What is
    missing or of another type does not pass.

    Works on handlers with UserMixin or BearerMixin, for methods with and without ``async``. Who
    is not signed in is answered as by ``authenticated``; who lacks a permission with 403; whose
    sign-in is too weak or too old is sent to sign in again. Raises ConfigurationError at once
    for what can't be meant.
    """
    requirement = Requirement(
        claims={} if claims is None else claims,
        roles=roles,
        roles_claim=roles_claim,
        scopes=scopes,
        acr=(acr,) if isinstance(acr, str) else acr,
        max_age=max_age,
    )

    if prompt not in _PROMPTS:
        raise ConfigurationError(
            "prompt is what the provider shows its user",
            code="prompt_invalid",
            expected=", ".join(filter(None, _PROMPTS)),
            got=prompt,
        )

    def guard(method: Callable[Concatenate[H, P], Any]) -> Callable[Concatenate[H, P], Any]:
        if inspect.iscoroutinefunction(method):

            @functools.wraps(method)
            async def waiting(self: H, /, *args: P.args, **kwargs: P.kwargs) -> Any:
                if not _refused(self, requirement, prompt):
                    return await method(self, *args, **kwargs)

            return authenticated(waiting)

        @functools.wraps(method)
        def plain(self: H, /, *args: P.args, **kwargs: P.kwargs) -> Any:
            if not _refused(self, requirement, prompt):
                return method(self, *args, **kwargs)

        return authenticated(plain)

    return guard


def _refused(
    handler: tornado.web.RequestHandler, requirement: Requirement, prompt: str | None
) -> bool:
    """Answer a request that does not meet the requirement; False for one that does."""
    match handler.current_user:
        case LoginSession() as session:
            return _session_refused(handler, requirement, session, prompt)
        case AccessToken() as token:
            return _token_refused(handler, requirement, token)
        case other:
            raise ConfigurationError(
                "requires judges the LoginSession or the AccessToken in current_user: leave it "
                "there, and keep what else belongs to the user in session.data",
                code="current_user_replaced",
                got=type(other).__name__,
            )


def _token_refused(
    handler: tornado.web.RequestHandler, requirement: Requirement, token: AccessToken
) -> bool:
    server = resource_server_of(handler)
    unmet = requirement.unmet(
        token.claims, scope=token.scope, now=server.clock(), leeway=server.leeway
    )
    if unmet is None:
        return False
    server.record("access_denied", code=unmet, sub=token.sub or "", client_id=token.client_id or "")
    if unmet.helped_by_sign_in:
        refuse_token(
            handler,
            401,
            STEP_UP,
            "the user has to sign in again, or in another way",
            acr_values=requirement.acr_values,
            max_age=_digits(requirement.max_age),
        )
    else:
        refuse_token(
            handler,
            403,
            "insufficient_scope",
            "the access token does not permit this",
            scope=requirement.scope if unmet is Unmet.SCOPE else None,
        )
    return True


def _session_refused(
    handler: tornado.web.RequestHandler,
    requirement: Requirement,
    session: LoginSession,
    prompt: str | None,
) -> bool:
    rp = relying_party_of(handler)
    provider = _openid_provider(rp, session)
    claims = session.claims
    if provider is None:
        # What a plain OAuth 2 server's profile says under these names proves nothing.
        claims = {name: value for name, value in claims.items() if name not in _SAID_BY_ID_TOKENS}
    granted = None if session.tokens is None else session.tokens.scope
    unmet = requirement.unmet(
        claims,
        scope=(granted or "").split(" "),
        now=rp.clock(),
        leeway=0.0 if provider is None else provider.leeway,
    )
    if unmet is None:
        return False
    rp.record(
        "access_denied", alias=session.alias, code=unmet, session=session.key[:8], sub=session.sub
    )
    if unmet.helped_by_sign_in and provider is not None:
        asked = {"provider": session.alias, "prompt": prompt}
        _ask_to_step_up(handler, requirement, login_path(rp), asked)
    else:
        _deny(handler)
    return True


def _openid_provider(rp: RelyingParty, session: LoginSession) -> OpenIDProvider | None:
    """The provider that proved how the user signed in; None when none did, or it is gone."""
    try:
        provider = rp.client_of(session).provider
    except ConfigurationError:
        return None
    return provider if isinstance(provider, OpenIDProvider) else None


def _ask_to_step_up(
    handler: tornado.web.RequestHandler,
    requirement: Requirement,
    login_page: str,
    asked: Mapping[str, str | None],
) -> None:
    wanted = _given(acr_values=requirement.acr_values, max_age=_digits(requirement.max_age))
    # The callback refuses a sign-in that is not what was asked for, so that this ends.
    login_url = f"{login_page}?{urlencode({**_given(**asked), **wanted})}"
    ask_to_sign_in(
        handler,
        login_url,
        page_url=f"{login_url}&{next_of(handler)}",
        title="Please sign in again",
        error=STEP_UP,
        **wanted,
    )


def _deny(handler: tornado.web.RequestHandler) -> None:
    handler.set_status(403)
    handler.set_header("Cache-Control", "no-store")
    if not is_navigation(handler.request):
        handler.set_header("Content-Type", "application/json; charset=utf-8")
        handler.finish(json_encode({"error": "access_denied"}))
        return
    for name, value in HEADERS.items():
        handler.set_header(name, value)
    handler.finish(
        Page(
            title="You can't go in here",
            lines=(
                "You are signed in, but this is not open to your account.",
                "If it should be, ask whoever runs this site.",
            ),
        ).html()
    )


def _given(**parameters: str | None) -> dict[str, str]:
    return {name: value for name, value in parameters.items() if value is not None}


def _digits(seconds: int | None) -> str | None:
    return None if seconds is None else str(seconds)
