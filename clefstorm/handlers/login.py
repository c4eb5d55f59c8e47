"""The login page, which sends the browser to the provider, and the callback it comes back to.

LAW: translates and decides nothing; parameters are read only where the specification puts them.
Source: OpenID Connect Core 1.0, section 3.1.2; OAuth 2.0 Form Post Response Mode; DESIGN section 8.
"""

from __future__ import annotations

from urllib.parse import urlencode, urlsplit, urlunsplit

import tornado.web

from clefstorm.errors import ConfigurationError, RequestRefused, UnknownAlias
from clefstorm.handlers.cookies import clear_cookie, read_cookies, send_cookie
from clefstorm.handlers.handler import Handler, Pairs, the_one
from clefstorm.handlers.origin import is_navigation, refuse_framing
from clefstorm.handlers.pages import HEADERS, Page
from clefstorm.handlers.user import answer_signed_out, login_path, relying_party_of
from clefstorm.protocol.wave_button import WaveButton
from clefstorm.relying_party import LoginDeclined, LoginStart

LARGEST_MAX_AGE = 10**9
LONGEST_ACR_VALUES = 500
"""Characters: they ride in the cookie of the pending login."""


def remember_login(handler: tornado.web.RequestHandler, start: LoginStart, *, secure: bool) -> None:
    """Set the cookie of a login that begins with this answer, and drop the oldest."""
    for name in start.drop:
        clear_cookie(handler, name, secure=secure)
    send_cookie(
        handler,
        start.cookie_name,
        start.cookie_value,
        secure=secure,
        lifetime=start.lifetime,
        cross_site=start.cross_site,
    )


async def wave_button(
    handler: tornado.web.RequestHandler, alias: str, *, return_to: str | None = "/"
) -> str:
    """Return the HTML of a wave button for a page of your own; also sets the login's cookie.

    For an application with the setting ``clefstorm``; in a template: ``{% raw button %}``. After
    the login the browser goes to ``return_to``, a local path. The page must not be cached for
    others, and its policy must allow the provider's script. Raises UnknownAlias, and
    ConfigurationError when the alias is not a Clef one.
    """
    rp = relying_party_of(handler)
    names = rp.cookies
    start = await rp.begin_login(
        alias,
        cookies=read_cookies(handler.request.headers, names.session),
        return_to=return_to,
    )
    if start.button is None:
        raise ConfigurationError(
            "only a login with Clef has a wave button; link to the login page instead",
            code="not_a_clef_alias",
            alias=alias,
        )
    remember_login(handler, start, secure=names.secure)
    handler.set_header("Cache-Control", "no-store")
    return start.button.html()


class LoginHandler(Handler):
    """GET: sends a navigating browser to the provider; a script gets 401 and this URL.

    Parameters: ``next`` (a local path), ``provider`` (an alias), and for the provider
    ``prompt``, ``login_hint``, ``ui_locales``, ``max_age`` (seconds) and ``acr_values`` (words,
    without one of which the callback is refused). A login with ``prompt=none`` that needs the
    user comes back to ``next`` with ``login_error`` in its query.
    With a Clef alias this is a page with the wave button, by which the login goes on.
    """

    async def get(self) -> None:
        if not is_navigation(self.request):
            answer_signed_out(self, login_path(self.relying_party))
            return
        refuse_framing(self.request)
        pairs = self.query()
        alias = the_one(pairs, "provider")
        names = self.relying_party.cookies
        try:
            start = await self.relying_party.begin_login(
                alias,
                cookies=read_cookies(self.request.headers, names.session),
                return_to=the_one(pairs, "next"),
                prompt=the_one(pairs, "prompt"),
                login_hint=the_one(pairs, "login_hint"),
                ui_locales=the_one(pairs, "ui_locales"),
                max_age=_seconds(the_one(pairs, "max_age")),
                acr_values=_words(the_one(pairs, "acr_values")),
            )
        except UnknownAlias:
            if alias is None:
                raise
            raise RequestRefused(
                "there is no sign-in service of this name", code="provider_unknown", got=alias
            ) from None
        remember_login(self, start, secure=names.secure)
        if start.button is None:
            self.redirect(start.url, status=303)
        else:
            self._show(start.button)

    def _show(self, button: WaveButton) -> None:
        policy = f"{HEADERS['Content-Security-Policy']}; script-src {button.origin}"
        self.set_header("Content-Security-Policy", policy)
        page = Page(
            title="Sign in",
            lines=("The button leads to the sign-in service, and from there back to this site.",),
            wave=button,
        )
        self.finish(page.html())


class CallbackHandler(Handler):
    """Where the provider sends the browser back: GET with a query, or a form_post's POST."""

    takes_form = True

    def check_trusted_origin(self, origin: str) -> bool:
        """Let any origin in: a form_post comes from the provider's page, or from "null".

        The state and the cookie that belongs to it are what is checked (by finish_login).
        """
        return True

    async def get(self) -> None:
        await self._finish_login(self.query())

    async def post(self) -> None:
        await self._finish_login(self.form())

    async def _finish_login(self, parameters: Pairs) -> None:
        names = self.relying_party.cookies
        done = await self.relying_party.finish_login(
            parameters,
            cookies=read_cookies(self.request.headers, names.session),
            received_at=f"{self.request.protocol}://{self.request.host}{self.request.path}",
        )
        for name in done.clear:
            clear_cookie(self, name, secure=names.secure)
        if isinstance(done, LoginDeclined):
            self.redirect(_with_error(done.return_to, done.error), status=303)
            return
        if done.session_id is not None:
            send_cookie(
                self, names.session, done.session_id, secure=names.secure, lifetime=done.max_age
            )
        self.redirect(done.return_to, status=303)


def _seconds(value: str | None) -> int | None:
    if value is None:
        return None
    if not (
        value.isascii()
        and value.isdigit()
        and len(value) <= len(str(LARGEST_MAX_AGE))
        and int(value) <= LARGEST_MAX_AGE
    ):
        raise RequestRefused("max_age is no number of seconds", code="max_age_malformed")
    return int(value)


def _words(value: str | None) -> str | None:
    if value is not None and not (
        value.isprintable() and value.split() and len(value) <= LONGEST_ACR_VALUES
    ):
        raise RequestRefused("acr_values has no words, or too many", code="acr_values_malformed")
    return value


def _with_error(path: str, error: str) -> str:
    """The page that asked for a silent login must see that it came back without a user."""
    parts = urlsplit(path)
    query = "&".join(filter(None, (parts.query, urlencode({"login_error": error}))))
    return urlunsplit(parts._replace(query=query))
