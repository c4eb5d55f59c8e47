"""The user's own logout, the way back from the provider's, and the provider's word of its own.

LAW: translates and decides nothing; a page of another site can't log anybody out.
Source: OpenID Connect RP-Initiated Logout 1.0; Back-Channel Logout 1.0, sections 2.5 and 2.8;
Front-Channel Logout 1.0, section 2.
"""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urlsplit

import tornado.web
from tornado.escape import json_encode

from clefstorm.errors import ClefStormError, RequestRefused, StoreUnavailable, TransportError
from clefstorm.handlers.cookies import clear_cookie, read_cookie, read_cookies, send_cookie
from clefstorm.handlers.handler import Handler, the_one
from clefstorm.handlers.origin import refuse_foreign
from clefstorm.handlers.pages import START_AGAIN, Page
from clefstorm.handlers.problems import Problem, problem_of
from clefstorm.handlers.user import user_of
from clefstorm.protocol.return_path import local_path


class LogoutHandler(Handler):
    """GET asks whether to sign out; POST, from this site only, does it. ``next``: a local path."""

    takes_form = True

    async def get(self) -> None:
        if await user_of(self, self.relying_party) is None:
            self.finish(SIGNED_OUT.html())
            return
        fields = {"next": local_path(the_one(self.query(), "next"))}
        if self.settings.get("xsrf_cookies"):
            fields["_xsrf"] = self.xsrf_token.decode()
        # With no-referrer browsers would send the form with "Origin: null".
        self.set_header("Referrer-Policy", "same-origin")
        self.finish(
            Page(
                title="Sign out?",
                lines=("You will be signed out of this site, in all its open tabs.",),
                button="Sign out",
                links={"Stay signed in": fields["next"]},
                fields=fields,
            ).html()
        )

    async def post(self) -> None:
        form = self.form()
        names = self.relying_party.cookies
        refuse_foreign(self.request, secure=names.secure)
        if self.settings.get("xsrf_cookies"):
            self._check_xsrf_field(the_one(form, "_xsrf"))
        start = await self.relying_party.log_out(
            read_cookie(self.request.headers, names.session), return_to=the_one(form, "next")
        )
        clear_cookie(self, names.session, secure=names.secure)
        if start.cookie_name is not None and start.cookie_value is not None:
            send_cookie(
                self,
                start.cookie_name,
                start.cookie_value,
                secure=names.secure,
                lifetime=start.lifetime,
            )
        self.redirect(start.url, status=303)

    def _check_xsrf_field(self, token: str | None) -> None:
        """Tornado's own check, late: it ran when the body had not been read yet."""
        if token is not None:
            self.request.arguments["_xsrf"] = [token.encode()]
        tornado.web.RequestHandler.check_xsrf_cookie(self)


class LoggedOutHandler(Handler):
    """Where the provider sends the browser after its own logout; without ``state``, a farewell."""

    async def get(self) -> None:
        state = the_one(self.query(), "state")
        names = self.relying_party.cookies
        if state is None:
            self.finish(SIGNED_OUT.html())
            return
        cookies = read_cookies(self.request.headers, names.logout)
        path = self.relying_party.finish_logout(state, cookies)
        if names.logout in cookies:
            clear_cookie(self, names.logout, secure=names.secure)
        self.redirect(path, status=303)


class BackchannelLogoutHandler(Handler):
    """POST with one ``logout_token``: 200 when its sessions have ended, else 400 and JSON.

    503 when the store can't be reached, so that the provider may try again.
    """

    takes_form = True

    def check_trusted_origin(self, origin: str) -> bool:
        """Let any origin in: the token's signature is what is checked, no cookie is read."""
        return True

    def wants_page(self) -> bool:
        return False

    def problem_of(self, error: BaseException | None, *, status: int) -> Problem:
        problem = problem_of(error, status=status)
        if not isinstance(error, ClefStormError) or isinstance(error, StoreUnavailable):
            return problem
        # The words for people speak of signing in; here a provider's log wants the fault.
        status = problem.status if problem.status in (413, 415) else 400
        return replace(problem, status=status, text=error.message)

    def problem_json(self, problem: Problem) -> bytes:
        # The form of RFC 6749, section 5.2, with our code and reference beside it.
        answer = {
            "error": "invalid_request" if problem.status < 500 else "server_error",
            "error_description": problem.text,
            "code": problem.code,
            "reference": problem.reference,
        }
        return json_encode(answer).encode()

    async def post(self) -> None:
        token = the_one(self.form(), "logout_token")
        if token is None:
            raise RequestRefused("there is no logout_token", code="logout_token_missing")
        await self.relying_party.receive_logout(token)


class FrontchannelLogoutHandler(Handler):
    """GET with ``iss`` and ``sid``, which a frame of the provider's logout page loads.

    Needs no cookie, for browsers keep cookies from frames of other sites: whoever knows the sid
    is believed, where the alias has ``frontchannel_logout``. Answers 200 whether there was such
    a session or not, with an empty page that only a page of the issuer may frame.
    """

    async def get(self) -> None:
        pairs = self.query()
        iss, sid = the_one(pairs, "iss"), the_one(pairs, "sid")
        if iss is None or sid is None:
            raise RequestRefused(
                "register the frontchannel_logout_uri with frontchannel_logout_session_required, "
                "so that iss and sid say which session ends",
                code="frontchannel_session_missing",
            )
        await self.relying_party.receive_frontchannel_logout(iss, sid)
        issuer = urlsplit(iss)
        self.clear_header("X-Frame-Options")
        self.set_header(
            "Content-Security-Policy",
            f"default-src 'none'; frame-ancestors {issuer.scheme}://{issuer.netloc}",
        )
        self.finish()


class ClefLogoutHandler(BackchannelLogoutHandler):
    """Clef's logout webhook: POST with one ``logout_token``, 200 when its sessions have ended.

    ``?provider=alias`` in the hook's URL says which alias, where there is more than one for Clef.
    """

    def problem_of(self, error: BaseException | None, *, status: int) -> Problem:
        if isinstance(error, TransportError):  # the server that called may try again
            return problem_of(error, status=status)
        return super().problem_of(error, status=status)

    async def post(self) -> None:
        token = the_one(self.form(), "logout_token")
        if token is None:
            raise RequestRefused("there is no logout_token", code="logout_token_missing")
        await self.relying_party.receive_clef_logout(token, the_one(self.query(), "provider"))


SIGNED_OUT = Page(
    title="You are signed out",
    lines=("Thank you for your visit.",),
    links=START_AGAIN,
)
