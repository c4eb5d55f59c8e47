"""API handlers that take a bearer token instead of a cookie: BearerMixin.

LAW: reads the Authorization header and nothing else; no cookie signs anybody in here and nothing
is redirected. What a token is worth, the resource server says.
Source: RFC 6750, 2.1 and 3; RFC 9470, 3; the Fetch Standard, 3.3 (CORS: a preflight has no
credentials).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import tornado.web

from clefstorm.errors import (
    ConfigurationError,
    DocumentViolation,
    ProtocolViolation,
    ProviderError,
    RequestRefused,
    TransportError,
)
from clefstorm.handlers.audit import write_audit_line
from clefstorm.handlers.problems import RETRY_AFTER
from clefstorm.handlers.user import UserMixin
from clefstorm.protocol.access_token import AccessToken
from clefstorm.protocol.bearer import read_bearer
from clefstorm.resource_server import ResourceServer

SETTING = "clefstorm_resource_server"
"""The application setting that holds the ResourceServer."""


def resource_server_of(handler: tornado.web.RequestHandler) -> ResourceServer:
    """Return the application's resource server; raises ConfigurationError when it has none."""
    server = handler.settings.get(SETTING)
    if not isinstance(server, ResourceServer):
        raise ConfigurationError(
            "give the application its resource server: "
            f"Application([...], {SETTING}=clefstorm.ResourceServer(...))",
            code="resource_server_missing",
        )
    return server


class BearerMixin(tornado.web.RequestHandler):
    """Lets a request's method run only with a good access token:
    ``class Api(BearerMixin, RequestHandler)``.

    ``current_user`` is then an AccessToken. Every refusal is JSON with the right status and
    WWW-Authenticate; a provider that can't be asked is a 503. An OPTIONS request without a token
    passes, with no user: a browser's CORS preflight has none, and CORS is the application's
    own. Whatever ``prepare`` the handler has, and in whichever order its bases stand, it runs
    after a good token. Answers are ``Cache-Control: no-store`` unless the handler sets another
    value.
    """

    _clefstorm_token: Any = None
    _clefstorm_judged = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if issubclass(cls, UserMixin):
            # Without Tornado's protection against forged requests, a cookie must mean nothing.
            raise ConfigurationError(
                "a handler takes cookies (UserMixin) or tokens (BearerMixin), not both",
                code="mixins_exclude",
                handler=cls.__name__,
            )
        owner = next(one for one in cls.__mro__ if "prepare" in vars(one))
        if owner is cls or not issubclass(owner, BearerMixin):
            # Else a prepare that doesn't lead to ours would let everybody in.
            cls.prepare = _after_the_token(cls, cls.prepare if owner is cls else None)  # type: ignore[method-assign]

    def check_xsrf_cookie(self) -> None:
        """Pass: no browser adds a bearer token by itself, so there is nothing to forge."""

    def check_trusted_origin(self, origin: str) -> bool:
        """Let any origin in, for the same reason; what may read the answer, CORS says."""
        return True

    @property
    def current_user(self) -> Any:
        """The AccessToken, or what the application put here; None for a preflight."""
        return self._clefstorm_token

    @current_user.setter
    def current_user(self, value: Any) -> None:
        self._clefstorm_token = value

    async def prepare(self) -> None:
        """Judge the token, then run the next class's ``prepare``; a refusal ends the request."""
        await self._judge_once()
        following = super().prepare()
        if following is not None:
            await following

    def clear(self) -> None:
        super().clear()
        self.set_header("Cache-Control", "no-store")

    async def _judge_once(self) -> None:
        if self._clefstorm_judged:
            return
        server = resource_server_of(self)
        if write_audit_line not in server.listeners:
            server.listeners.append(write_audit_line)
        self.current_user = await self._judge(server)
        self._clefstorm_judged = True

    async def _judge(self, server: ResourceServer) -> AccessToken | None:
        try:
            token = read_bearer(self.request.headers.get_list("Authorization"))
            if token is not None and "access_token" in self.request.arguments:
                raise RequestRefused("the request brings two tokens", code="bearer_repeated")
        except RequestRefused as error:
            server.record_refusal(error)
            refuse_token(self, 400, "invalid_request", error.message)
            raise tornado.web.Finish from None
        if token is None and self.request.method == "OPTIONS":
            return None
        if token is None:
            refuse_token(self, 401, None, "this needs an access token")
            raise tornado.web.Finish
        try:
            return await server.check(token)
        except (DocumentViolation, TransportError, ProviderError):
            self.set_status(503)
            self.set_header("Retry-After", RETRY_AFTER)
            self.finish({"error": "temporarily_unavailable"})
        except ProtocolViolation:
            # Not why: a stranger who tries tokens learns nothing from the answer.
            refuse_token(self, 401, "invalid_token", "the access token is not good here")
        raise tornado.web.Finish


def _after_the_token(cls: type[BearerMixin], own: Callable[..., Any] | None) -> Any:
    """Return a ``prepare`` for this class: its own, or None for the one that it inherits."""

    async def prepare(self: BearerMixin) -> None:
        await self._judge_once()
        following = super(cls, self).prepare() if own is None else own(self)
        if following is not None:
            await following

    return prepare if own is None else functools.wraps(own)(prepare)


def refuse_token(
    handler: tornado.web.RequestHandler,
    status: int,
    error: str | None,
    description: str,
    **parameters: str | None,
) -> None:
    """Finish with a challenge (RFC 6750, section 3); ``error`` None when nothing was sent."""
    server = resource_server_of(handler)
    if error is None:
        challenge = server.challenge()
    else:
        challenge = server.challenge(error=error, error_description=description, **parameters)
    handler.set_status(status)
    handler.set_header("WWW-Authenticate", challenge)
    said = {"error": error, "error_description": description, **parameters}
    handler.finish({name: value for name, value in said.items() if value is not None})
