"""The embedded provider as a Clef server: the three calls, the wave's script and its page.

LAW: a code leaves only for an address registered for the application, compared as it stands but
for the ``state`` that the page added; each approval is a click of the user's.
Source: Clef API v1.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

from clefstorm.errors import ClefAPIError, RequestRefused
from clefstorm.protocol.wave_button import TYPES, add_to_query
from clefstorm.testing.provider.authorization_request import read_parameters
from clefstorm.testing.provider.clients import Client
from clefstorm.testing.provider.store import ProviderSession
from clefstorm.testing.provider.web import PAGES, PageHandler, ProviderHandler


class ClefCallHandler(ProviderHandler):
    """What the three calls share."""

    def check_xsrf_cookie(self) -> None:
        """Not needed: an application calls, with its secret and without cookies."""

    async def refuse(self, error: ClefAPIError) -> None:
        """Answer an error of the API."""
        self.error = error.message
        answer = {"success": False, "error": error.message}
        await self.give_json(answer, status=error.status or 400)

    def fields(self) -> dict[str, str]:
        """Return the form; one that can't be read has no fields, and so no app id."""
        try:
            return self.form()
        except RequestRefused:
            return {}


class ClefAuthorizeHandler(ClefCallHandler):
    """/api/v1/authorize: a code for an access token."""

    endpoint = "clef_authorize"

    async def post(self) -> None:
        given, clef = self.fields(), self.authority.clef
        try:
            client = clef.app(given.get("app_id"), given.get("app_secret"))
            token = clef.redeem_code(client, given.get("code"))
        except ClefAPIError as error:
            await self.refuse(error)
        else:
            await self.give_json({"success": True, "access_token": token})


class ClefInfoHandler(ClefCallHandler):
    """/api/v1/info: whom an access token belongs to."""

    endpoint = "clef_info"

    async def get(self) -> None:
        token = self.get_query_argument("access_token", None)
        try:
            account = self.authority.account(self.authority.clef.username_of(token))
        except ClefAPIError as error:
            await self.refuse(error)
            return
        first, _, last = (account.name or "").rpartition(" ")
        info = {
            "id": account.clef_id,
            "email": account.email,
            "first_name": first or last or None,
            "last_name": last if first else None,
            "phone_number": account.claims.get("phone_number"),
        }
        await self.give_json({"success": True, "info": info})


class ClefLogoutHandler(ClefCallHandler):
    """/api/v1/logout: who it is that a logout token speaks of."""

    endpoint = "clef_logout"

    async def post(self) -> None:
        given, clef = self.fields(), self.authority.clef
        try:
            client = clef.app(given.get("app_id"), given.get("app_secret"))
            username = clef.redeem_logout_token(client, given.get("logout_token"))
        except ClefAPIError as error:
            await self.refuse(error)
        else:
            clef_id = self.authority.account(username).clef_id
            await self.give_json({"success": True, "clef_id": clef_id})


class ClefScriptHandler(ProviderHandler):
    """/v3/clef.js: draws the wave in a page of the application's."""

    def get(self) -> None:
        self.set_header("Content-Type", "text/javascript; charset=utf-8")
        self.set_header("Cache-Control", "max-age=300")
        self.set_header("Cross-Origin-Resource-Policy", "cross-origin")
        self.finish((PAGES / "clef.js").read_bytes())


@dataclass(frozen=True, slots=True, kw_only=True)
class Wave:
    """A wave that may be answered; ``query`` is its text, to be sent round the forms."""

    query: str
    client: Client
    redirect_url: str
    typ: str


class ClefWaveHandler(PageHandler):
    """/clef/wave: where the button leads; the user approves, and goes back with a code."""

    def get(self) -> None:
        wave = self.read(self.request.query)
        if wave is not None:
            self.ask(wave)

    async def post(self) -> None:
        wave = self.read(self.get_body_argument("request", ""))
        if wave is None:
            return
        session = self.session
        if self.get_body_argument("cancel", None) is not None:
            back = add_to_query(wave.redirect_url, "error", "access_denied")
            self.redirect(back, status=303)
        elif self.get_body_argument("approve", None) is not None:
            # Another tab may have signed in somebody else since the page was shown.
            if session is None or self.get_body_argument("approve") != session.username:
                self.ask(wave)
            else:
                self.answer(wave, session)
        else:
            account = self.account_of_form()
            if account is None:
                self.ask(wave, username=self.get_body_argument("username", ""), failed=True)
                return
            cookie, session = await self.authority.sign_in(
                account.username,
                previous=session,
                user_agent=self.request.headers.get("User-Agent", ""),
            )
            self.keep_session(cookie)
            self.answer(wave, session)

    def ask(self, wave: Wave, *, username: str = "", failed: bool = False) -> None:
        """Show the page; ``failed`` after a wrong password."""
        session = self.session
        account = None if session is None else self.authority.account(session.username)
        self.show(
            "clef_wave.html",
            status=403 if failed else 200,
            wave=wave,
            known=account,
            username=username,
            failed=failed,
        )

    def answer(self, wave: Wave, session: ProviderSession) -> None:
        """Send the browser back with a code."""
        code = self.authority.clef.issue_code(session, app_id=wave.client.client_id)
        self.redirect(add_to_query(wave.redirect_url, "code", code), status=303)

    def read(self, query: str) -> Wave | None:
        """Return the wave; None after the user has been told what is wrong with it."""
        try:
            return self._read(query)
        except RequestRefused as refusal:
            self.refuse(refusal)
            return None

    def _read(self, query: str) -> Wave:
        parameters = read_parameters(query)
        if any(len(values) > 1 for values in parameters.values()):
            raise RequestRefused("A parameter stands twice.", code="invalid_request")
        given = {name: values[0] for name, values in parameters.items()}
        client = self.authority.clients.get(given.get("app_id", ""))
        if client is None or client.client_secret is None:
            raise RequestRefused(
                "The application that sent you here is not registered.", code="client_unknown"
            )
        redirect_url = given.get("redirect_url", "")
        if _without_state(redirect_url) not in client.redirect_uris:
            raise RequestRefused(
                "The application asked to send you to an address that is not registered for it.",
                code="redirect_uri_unregistered",
            )
        typ = given.get("type", "login")
        if typ not in TYPES:
            raise RequestRefused("The wave is of an unknown type.", code="invalid_request")
        return Wave(query=query, client=client, redirect_url=redirect_url, typ=typ)


def _without_state(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    kept = [pair for pair in parts.query.split("&") if not pair.startswith("state=")]
    return urlunsplit(parts._replace(query="&".join(kept)))
