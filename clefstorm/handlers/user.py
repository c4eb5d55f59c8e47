"""Who is signed in, for an application's own handlers: user_of, UserMixin, authenticated.

LAW: only asks the relying party; a handler that was never told of a user fails loudly, it does
not take the visitor for a stranger. Source: DESIGN section 5; RFC 9110, section 15.5.2 (401).
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, ClassVar, Concatenate, ParamSpec, TypeVar, overload
from urllib.parse import urlencode, urljoin, urlsplit

import tornado.web
from tornado.escape import json_encode

from clefstorm.errors import ConfigurationError, RequestRefused, StoreUnavailable
from clefstorm.handlers.cookies import read_cookie
from clefstorm.handlers.origin import is_navigation
from clefstorm.handlers.pages import HEADERS, Page
from clefstorm.handlers.problems import RETRY_AFTER
from clefstorm.protocol.bearer import build_challenge
from clefstorm.protocol.return_path import local_path
from clefstorm.relying_party import RelyingParty
from clefstorm.sessions import LoginSession

P = ParamSpec("P")
H = TypeVar("H", bound=tornado.web.RequestHandler)
R = TypeVar("R")

SETTING = "clefstorm"
"""The application setting that holds the RelyingParty."""


async def user_of(
    handler: tornado.web.RequestHandler, rp: RelyingParty, *, active: bool = True
) -> LoginSession | None:
    """Return the session of whoever sent this request, None when nobody is signed in.

    Needs nothing of the handler but its request's cookies, so that any host's handler will do.
    ``active`` False: the request does not put off the session's idle end. Raises StoreUnavailable.
    """
    return await rp.session(read_cookie(handler.request.headers, rp.cookies.session), active=active)


def relying_party_of(handler: tornado.web.RequestHandler) -> RelyingParty:
    """Return the application's relying party; raises ConfigurationError when it has none."""
    rp = handler.settings.get(SETTING)
    if not isinstance(rp, RelyingParty):
        raise ConfigurationError(
            "give the application its relying party: Application([...], clefstorm=rp)",
            code="relying_party_missing",
        )
    return rp


def login_path(rp: RelyingParty) -> str:
    """Return the path of the login page, as browsers see it: beside that of the redirect_uri.

    Raises ConfigurationError when no provider is configured.
    """
    for client in rp.clients.values():
        return urljoin(urlsplit(client.provider.redirect_uri).path, "login")
    raise ConfigurationError(
        "no provider is configured: call clefstorm.configure(default={...}) when the application "
        "starts",
        code="login_url_missing",
    )


class UserMixin(tornado.web.RequestHandler):
    """Loads the signed-in user before the request's method runs:
    ``class Home(UserMixin, RequestHandler)``.

    ``current_user`` is then a LoginSession, or None. A subclass with a ``prepare`` of its own
    awaits ``super().prepare()`` first. Its pages are sent with ``Cache-Control: no-store`` unless
    the handler sets another value. ``counts_as_activity`` False is for handlers that only
    wait, such as polls: they don't put off the session's idle end.
    """

    counts_as_activity: ClassVar[bool] = True

    _clefstorm_user: Any = None
    _clefstorm_asked = False
    _clefstorm_store_down = False

    async def prepare(self) -> None:
        """Load the user, then run the next class's ``prepare``.

        When the store can't be reached nobody is let in: HTTPError 503 with Retry-After.
        """
        self._clefstorm_asked = True
        try:
            self.current_user = await user_of(
                self, relying_party_of(self), active=self.counts_as_activity
            )
        except StoreUnavailable as error:
            self._clefstorm_store_down = True
            raise tornado.web.HTTPError(503, f"code={error.code}") from error
        # A stranger's copy neither: Back would show it to the user who has signed in since.
        self.set_header("Cache-Control", "no-store")
        following = super().prepare()
        if following is not None:
            await following

    def clear(self) -> None:
        super().clear()
        # What an error page, which begins with this, has to say as well.
        if self._clefstorm_asked:
            self.set_header("Cache-Control", "no-store")
        if self._clefstorm_store_down:
            self.set_header("Retry-After", RETRY_AFTER)

    @property
    def current_user(self) -> Any:
        """The LoginSession, None when nobody is signed in, or what the application put here.

        Raises ConfigurationError when ``prepare`` has not run. (In the error page of a request
        that was refused before, there is no user.)
        """
        if not self._clefstorm_asked and self.get_status() < 400:
            raise ConfigurationError(
                f"{type(self).__name__}.prepare must be `async def` and "
                "`await super().prepare()` before current_user is known",
                code="prepare_skipped",
            )
        return self._clefstorm_user

    @current_user.setter
    def current_user(self, value: Any) -> None:
        self._clefstorm_user, self._clefstorm_asked = value, True

    def get_login_url(self) -> str:
        """The setting ``login_url`` of the application, by default the page beside the callback."""
        return str(self.settings.get("login_url") or login_path(relying_party_of(self)))


@overload
def authenticated(
    method: Callable[Concatenate[H, P], Coroutine[Any, Any, R]],
) -> Callable[Concatenate[H, P], Coroutine[Any, Any, R | None]]: ...


@overload
def authenticated(
    method: Callable[Concatenate[H, P], R],
) -> Callable[Concatenate[H, P], R | None]: ...


def authenticated(method: Callable[Concatenate[H, P], Any]) -> Callable[Concatenate[H, P], Any]:
    """Let the method run only for a signed-in user; for methods with and without ``async``.

    Everyone else: a page that is opened (GET or HEAD) goes to the login and comes back. A form
    that was sent gets a 401 page that says that nothing was done and opens the login in a new
    tab, for a redirect would silently lose what the user has typed. A script gets 401 and JSON
    with ``login_url``. Needs the mixin, or a handler with a ``current_user`` and a login URL.
    """
    if inspect.iscoroutinefunction(method):

        @functools.wraps(method)
        async def waiting(self: H, /, *args: P.args, **kwargs: P.kwargs) -> Any:
            if not self.current_user:
                return _ask_to_sign_in(self)
            return await method(self, *args, **kwargs)

        return waiting

    @functools.wraps(method)
    def plain(self: H, /, *args: P.args, **kwargs: P.kwargs) -> Any:
        if not self.current_user:
            return _ask_to_sign_in(self)
        return method(self, *args, **kwargs)

    return plain


def _ask_to_sign_in(handler: tornado.web.RequestHandler) -> None:
    login_url = handler.get_login_url()
    page_url = login_url if "?" in login_url else f"{login_url}?{next_of(handler)}"
    ask_to_sign_in(handler, login_url, page_url=page_url, title="You are signed out")


def ask_to_sign_in(
    handler: tornado.web.RequestHandler,
    login_url: str,
    *,
    page_url: str,
    title: str,
    error: str | None = None,
    **wanted: str,
) -> None:
    """Finish a request that needs a login, or another one, by whoever sent it.

    A page that is opened is redirected to ``page_url``; a script is told ``error`` (None: that
    nobody is signed in) and what is ``wanted``; a form that was sent gets a page with this
    ``title`` that leads to ``login_url``.
    """
    handler.set_header("Cache-Control", "no-store")
    if not is_navigation(handler.request):
        answer_signed_out(handler, login_url, error=error, **wanted)
    elif handler.request.method in ("GET", "HEAD"):
        handler.redirect(page_url)
    else:
        for name, value in HEADERS.items():
            handler.set_header(name, value)
        _challenge(handler, error, wanted)
        handler.finish(
            Page(
                title=title,
                lines=(
                    "So what you sent was not accepted, and nothing was changed.",
                    "Sign in in a new tab, come back here, go one page back, and send it again.",
                ),
                links={"Sign in": login_url},
                new_tab=True,
            ).html()
        )


def answer_signed_out(
    handler: tornado.web.RequestHandler,
    login_url: str,
    *,
    error: str | None = None,
    **wanted: str,
) -> None:
    """Finish a script's request: 401, and where a page can sign in."""
    _challenge(handler, error, wanted)
    handler.set_header("Content-Type", "application/json; charset=utf-8")
    handler.finish(json_encode({"error": error or "signed_out", **wanted, "login_url": login_url}))


def _challenge(
    handler: tornado.web.RequestHandler, error: str | None, wanted: Mapping[str, str]
) -> None:
    handler.set_status(401)
    # A 401 must name a scheme; one that browsers don't know opens no dialog of theirs.
    challenge = build_challenge("Cookie", realm="login", error=error, **wanted)
    handler.set_header("WWW-Authenticate", challenge)


def next_of(handler: tornado.web.RequestHandler) -> str:
    """Return the query that brings a login back to the page that was asked for."""
    try:
        path = local_path(handler.request.uri)
    except RequestRefused:
        path = "/"  # an address that no login may return to, though it was served here
    return urlencode({"next": path})
