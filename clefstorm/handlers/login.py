"""The login page, which sends the browser to the provider, and the callback it comes back to.

LAW: translates and decides nothing; parameters are read only where the specification puts them.
Source: OpenID Connect Core 1.0, section 3.1.2; OAuth 2.0 Form Post Response Mode; DESIGN section 8.
"""

from __future__ import annotations

from urllib.parse import urlencode, urlsplit, urlunsplit

from clefstorm.errors import RequestRefused, UnknownAlias
from clefstorm.handlers.cookies import clear_cookie, read_cookies, send_cookie
from clefstorm.handlers.handler import Handler, Pairs, the_one
from clefstorm.handlers.origin import is_navigation, refuse_framing
from clefstorm.handlers.user import answer_signed_out, login_path
from clefstorm.relying_party import LoginDeclined

LARGEST_MAX_AGE = 10**9


class LoginHandler(Handler):
    """GET: sends a navigating browser to the provider; a script gets 401 and this URL.

    Parameters: ``next`` (a local path), ``provider`` (an alias), and for the provider
    ``prompt``, ``login_hint``, ``ui_locales`` and ``max_age`` (seconds). A login with
    ``prompt=none`` that needs the user comes back to ``next`` with ``login_error`` in its query.
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
            )
        except UnknownAlias:
            if alias is None:
                raise
            raise RequestRefused(
                "there is no sign-in service of this name", code="provider_unknown", got=alias
            ) from None
        for name in start.drop:
            clear_cookie(self, name, secure=names.secure)
        send_cookie(
            self,
            start.cookie_name,
            start.cookie_value,
            secure=names.secure,
            lifetime=start.lifetime,
            cross_site=start.cross_site,
        )
        self.redirect(start.url, status=303)


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
            parameters, cookies=read_cookies(self.request.headers, names.session)
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


def _with_error(path: str, error: str) -> str:
    """The page that asked for a silent login must see that it came back without a user."""
    parts = urlsplit(path)
    query = "&".join(filter(None, (parts.query, urlencode({"login_error": error}))))
    return urlunsplit(parts._replace(query=query))
