"""What every handler of the embedded provider shares: headers, cookies, refusals, the log.

LAW: decides nothing about users and clients; that is the Authority's. No page of the provider
can be framed, cached, or reached under a foreign host name (DNS rebinding), and no query of a
request is logged.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlencode, urlsplit

from tornado.httputil import HTTPServerRequest
from tornado.iostream import StreamClosedError
from tornado.web import Application, Finish, HTTPError, RequestHandler

from clefstorm.errors import RequestRefused
from clefstorm.testing.provider.accounts import Account
from clefstorm.testing.provider.authority import Authority, RequestSeen
from clefstorm.testing.provider.authorization_request import read_parameters
from clefstorm.testing.provider.faults import Answer, tampered
from clefstorm.testing.provider.store import ProviderSession

PAGES = Path(__file__).with_name("pages")

_POLICY = (
    "default-src 'none'; style-src 'self'; img-src data:; base-uri 'none'; frame-ancestors 'none'"
)


class ProviderHandler(RequestHandler):
    """The base of all; ``endpoint`` is its name in the tables of faults, '' for none."""

    endpoint: ClassVar[str] = ""
    grant_type: str | None = None
    error: str | None = None

    def __init__(self, application: Application, request: HTTPServerRequest, **kwargs: Any) -> None:
        self._gone = asyncio.Event()
        super().__init__(application, request, **kwargs)

    def initialize(self, authority: Authority) -> None:
        self.authority = authority

    def set_default_headers(self) -> None:
        self.clear_header("Server")
        self.set_header("Cache-Control", "no-store")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Referrer-Policy", "strict-origin")
        self.set_header("Content-Security-Policy", _POLICY)

    async def prepare(self) -> None:
        served = urlsplit(self.authority.issuer)
        hosts = {served.hostname, "localhost", "127.0.0.1", "::1"}
        try:
            asked = urlsplit(f"//{self.request.host}").hostname
        except ValueError:
            asked = None
        if asked not in hosts:
            raise HTTPError(421)
        answer = self.authority.answer_instead.get(self.endpoint)
        if answer is not None:
            await self.give(answer)

    async def give(self, answer: Answer) -> None:
        """Send a test's answer, or keep the caller waiting until it has gone."""
        if answer.hang:
            await self._gone.wait()
            raise Finish
        self.set_status(answer.status)
        if isinstance(answer.body, Mapping):
            self.set_header("Content-Type", "application/json")
        for name, value in answer.headers.items():
            self.set_header(name, value)
        body = answer.content()
        if answer.endless:
            await self._give_for_ever(body)
        elif answer.drip is not None:
            await self._give_in_drops(body, answer.drip)
        elif answer.cut:
            self._give_but_the_end(body)
        else:
            self.finish(body)

    async def _give_for_ever(self, body: bytes) -> None:
        with suppress(StreamClosedError):
            while not self._gone.is_set():
                self.write(body)
                await self.flush()
        raise Finish

    async def _give_in_drops(self, body: bytes, seconds: float) -> None:
        self.set_header("Content-Length", len(body))
        with suppress(StreamClosedError):
            for place in range(len(body)):
                self.write(body[place : place + 1])
                await self.flush()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._gone.wait(), seconds)
                if self._gone.is_set():
                    break
        raise Finish

    def _give_but_the_end(self, body: bytes) -> None:
        stream = self.detach()
        head = f"HTTP/1.1 {self.get_status()} Cut\r\nContent-Length: {len(body)}\r\n\r\n"
        stream.write(head.encode() + body[:-1])
        stream.close()

    async def give_json(self, document: dict[str, Any], *, status: int = 200) -> None:
        """Send a JSON document, after a test's hook has had it."""
        done = await tampered(self.authority.tamper, self.endpoint, document)
        if isinstance(done, Answer):
            await self.give(done)
        else:
            self.set_status(status)
            self.finish(done)

    def on_connection_close(self) -> None:
        self._gone.set()

    def form(self) -> dict[str, str]:
        """Return the fields of a POST form, each once (RFC 6749, section 3.2)."""
        media_type = self.request.headers.get("Content-Type", "").partition(";")[0].strip()
        if media_type.lower() != "application/x-www-form-urlencoded":
            raise RequestRefused("a form was expected", code="invalid_request")
        try:
            parameters = read_parameters(self.request.body.decode("ascii"))
        except UnicodeDecodeError:
            raise RequestRefused("the form can't be read", code="invalid_request") from None
        if any(len(values) > 1 for values in parameters.values()):
            raise RequestRefused("a parameter stands twice", code="invalid_request")
        return {name: values[0] for name, values in parameters.items()}


class PageHandler(ProviderHandler):
    """A handler that a person's browser talks to."""

    @property
    def session_cookie(self) -> str:
        """The cookie's name; it has the port, because the ports of a host share cookies."""
        return f"clefstorm_provider_{urlsplit(self.authority.issuer).port}"

    @property
    def session(self) -> ProviderSession | None:
        """The provider's session of this browser, None when it has none."""
        return self.authority.session_of(self.get_cookie(self.session_cookie))

    def keep_session(self, cookie: str) -> None:
        """Give the browser the cookie of its new session."""
        self.set_cookie(self.session_cookie, cookie, httponly=True, samesite="Lax", path="/")

    def account_of_form(self) -> Account | None:
        """Return who signs in by a form, with a password or one tap; None when nobody does."""
        one_tap = self.get_body_argument("account", None)
        if one_tap is not None and self.authority.demo_accounts:
            return self.authority.accounts.get(one_tap)
        account = self.authority.accounts.get(self.get_body_argument("username", ""))
        password = self.get_body_argument("password", "", strip=False)
        return account if account is not None and account.has_password(password) else None

    def allow_script(self, *, frames: Sequence[str] = ()) -> str:
        """Let this page run one script of its own, and show ``frames`` (URLs).

        Returns the nonce that marks the script.
        """
        nonce = secrets.token_urlsafe(16)
        origins = {"{0.scheme}://{0.netloc}".format(urlsplit(url)) for url in frames}
        policy = f"{_POLICY}; script-src 'nonce-{nonce}'"
        if origins:
            policy += f"; frame-src {' '.join(sorted(origins))}"
        self.set_header("Content-Security-Policy", policy)
        return nonce

    def get_instead(self) -> None:
        """Let the browser come again by GET with the fields of its form as the query."""
        fields = parse_qsl(self.request.body.decode("latin-1"), keep_blank_values=True)
        self.redirect(f"{self.request.path}?{urlencode(fields)}", status=303)

    def show(self, page: str, *, status: int = 200, **names: Any) -> None:
        """Send a page of the folder pages."""
        self.set_status(status)
        self.render(page, authority=self.authority, **names)

    def refuse(self, refusal: RequestRefused, *, status: int = 400) -> None:
        """Send the error page; nothing is redirected."""
        self.error = refusal.code
        self.show("error.html", status=status, message=refusal.message, code=refusal.code)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        said = {
            403: "This form is too old, or came from another site. Go back and try again.",
            404: "There is nothing here.",
            421: "This provider answers only under its own name.",
        }
        message = said.get(status_code, "The provider could not answer.")
        self.show("error.html", status=status_code, message=message, code=f"http_{status_code}")


class NotFoundHandler(PageHandler):
    """Whatever has no page."""

    def check_xsrf_cookie(self) -> None:
        """Not needed: nothing is done here."""

    async def prepare(self) -> None:
        raise HTTPError(404)


class StyleHandler(ProviderHandler):
    """The one style sheet of all pages."""

    def get(self) -> None:
        self.set_header("Content-Type", "text/css; charset=utf-8")
        self.set_header("Cache-Control", "max-age=300")
        self.finish((PAGES / "style.css").read_bytes())


def record_request(handler: RequestHandler) -> None:
    """Log a request in ``Provider.requests``, in place of Tornado's access log."""
    if isinstance(handler, ProviderHandler):
        seen = RequestSeen(
            handler.request.method or "",
            handler.request.path,
            handler.get_status(),
            handler.grant_type,
            handler.error,
        )
        handler.authority.requests.append(seen)
