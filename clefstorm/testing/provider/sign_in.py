"""The authorization endpoint of the embedded provider and its pages: sign in, agree, go on.

LAW: an answer leaves for the client only through ``answer``, and only to a registered
redirect_uri. The request travels round the forms as its own text and is judged anew each time,
so that no page depends on anything that a restart would lose.
Source: OpenID Connect Core 1.0, sections 3.1.2.1 to 3.1.2.6; RFC 9207; RFC 9700, section 4.12.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar
from urllib.parse import urlencode, urlsplit, urlunsplit

from clefstorm.errors import RequestRefused
from clefstorm.testing.provider.authorization_request import (
    AuthorizationRequest,
    ReturnAddress,
    Step,
    next_step,
    read_parameters,
    read_request,
    read_return_address,
)
from clefstorm.testing.provider.faults import Answer, tampered
from clefstorm.testing.provider.id_token_hint import read_hint
from clefstorm.testing.provider.store import ProviderSession
from clefstorm.testing.provider.web import PageHandler

FRESH = 300.0
"""Seconds after a sign-in in which the page that follows still belongs to it."""


class AuthorizationHandler(PageHandler):
    """What the authorization endpoint and its pages share."""

    form_action: ClassVar[str] = "/sign-in"
    """Where the forms of the sign-in page go."""
    _request_uri: str | None = None

    async def read(self, query: str) -> AuthorizationRequest | None:
        """Return the request; None after it was refused, to the user or to the client."""
        try:
            parameters = read_parameters(query)
            # The text that goes round the forms stays the browser's; what was pushed does not show.
            parameters = self._pushed_parameters(parameters)
            to = read_return_address(parameters, self.authority.clients)
        except RequestRefused as refusal:
            self.refuse(refusal)
            return None
        try:
            if self._request_uri is None and (
                self.authority.require_pushed_authorization_requests
                or to.client.require_pushed_authorization_requests
            ):
                raise RequestRefused("requests have to be pushed", code="invalid_request")
            return read_request(query, parameters, to)
        except RequestRefused as refusal:
            await self.answer_error(to, refusal.code, refusal.message)
            return None

    def _pushed_parameters(self, parameters: dict[str, list[str]]) -> dict[str, list[str]]:
        """Return what was pushed under a request_uri; other parameters as they are."""
        uris, clients = parameters.get("request_uri", []), parameters.get("client_id", [])
        if not (self.authority.pushed_authorization_requests and len(uris) == len(clients) == 1):
            return parameters
        self._request_uri = uris[0]
        return read_parameters(self.authority.pushed.open(uris[0], client_id=clients[0]))

    async def go_on(
        self,
        request: AuthorizationRequest,
        session: ProviderSession | None,
        *,
        fresh: bool = False,
        agreed: bool = False,
    ) -> None:
        """Show the next page of the request, or give the client its code."""
        hint = read_hint(self.authority, request.id_token_hint)
        step = next_step(
            request,
            session,
            now=self.authority.clock(),
            hinted_user=None if hint is None else hint.account.username,
            fresh=fresh,
            agreed=agreed,
        )
        if session is not None and step is Step.ANSWER:
            code = self.authority.grants.issue_code(
                session,
                client_id=request.to.client.client_id,
                redirect_uri=request.to.redirect_uri,
                code_challenge=request.code_challenge,
                nonce=request.nonce,
                scope=request.scope,
            )
            await self.answer(request.to, {"code": code})
        elif "none" in request.prompt:
            await self.answer_error(request.to, "login_required", "nobody is signed in")
        elif session is not None and step is Step.AGREE:
            account = self.authority.account(session.username)
            self.show("agree.html", request=request, account=account)
        else:
            self.show_sign_in(request, username=request.login_hint or "")

    def show_sign_in(
        self, request: AuthorizationRequest, *, username: str, failed: bool = False
    ) -> None:
        """Show the sign-in page; ``failed`` after a wrong password."""
        self.show(
            "sign_in.html",
            status=403 if failed else 200,
            request=request,
            username=username,
            failed=failed,
        )

    async def answer_error(self, to: ReturnAddress, error: str, why: str) -> None:
        """Send an error to the client (Core 1.0, section 3.1.2.6)."""
        self.error = error
        await self.answer(to, {"error": error, "error_description": why})

    async def answer(self, to: ReturnAddress, parameters: dict[str, str]) -> None:
        """Send the browser back to the client with the answer, and say who answers (RFC 9207)."""
        if self._request_uri is not None:
            self.authority.pushed.close(self._request_uri)
        if to.state is not None:
            parameters["state"] = to.state
        parameters["iss"] = self.authority.issuer
        done = await tampered(self.authority.tamper, "authorize", parameters)
        if isinstance(done, Answer):
            await self.give(done)
            return
        # A fault may want a parameter twice.
        sent = list(done.items()) if isinstance(done, Mapping) else done
        if to.response_mode == "form_post":
            self.show("form_post.html", to=to, parameters=sent, nonce=self.allow_script())
        else:
            parts = urlsplit(to.redirect_uri)
            query = "&".join(filter(None, (parts.query, urlencode(sent))))
            # 303, because the browser may come from a form whose fields go nowhere else.
            self.redirect(urlunsplit(parts._replace(query=query)), status=303)


class AuthorizeHandler(AuthorizationHandler):
    """/authorize"""

    endpoint = "authorize"

    def check_xsrf_cookie(self) -> None:
        """Not needed: the POST of a client's page only becomes the GET."""

    def check_trusted_origin(self, origin: str) -> bool:
        return True

    async def get(self) -> None:
        request = await self.read(self.request.query)
        if request is not None:
            await self.go_on(request, self.session)

    async def post(self) -> None:
        # A cross-site POST comes without the session's cookie (SameSite=Lax), its GET with it.
        self.get_instead()


class SignInHandler(AuthorizationHandler):
    """/sign-in: the form with name and password, and the buttons of the demo accounts."""

    async def post(self) -> None:
        request = await self.read(self.get_body_argument("request", ""))
        if request is None:
            return
        if self.get_body_argument("cancel", None) is not None:
            await self.answer_error(request.to, "access_denied", "the user did not sign in")
            return
        account = self.account_of_form()
        if account is None:
            username = self.get_body_argument("username", "")
            self.show_sign_in(request, username=username, failed=True)
            return
        cookie, session = await self.authority.sign_in(
            account.username,
            previous=self.session,
            user_agent=self.request.headers.get("User-Agent", ""),
        )
        self.keep_session(cookie)
        await self.go_on(request, session, fresh=True)


class AgreeHandler(AuthorizationHandler):
    """/agree: the page that asks before it goes on with the account that is signed in."""

    async def post(self) -> None:
        request = await self.read(self.get_body_argument("request", ""))
        if request is None:
            return
        decision = self.get_body_argument("decision", "")
        session = self.session
        if decision == "cancel":
            await self.answer_error(request.to, "access_denied", "the user did not agree")
        elif decision == "other" or session is None:
            self.show_sign_in(request, username="")
        else:
            fresh = self.authority.clock() - session.auth_time <= FRESH
            # Another tab may have signed in somebody else since the page was shown.
            agreed = self.get_body_argument("account", "") == session.username
            await self.go_on(request, session, fresh=fresh, agreed=agreed)
