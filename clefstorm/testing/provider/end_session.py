"""The embedded provider's logout page, to which applications send their users.

LAW: only a valid id_token_hint of the user who is signed in here ends a session without a click,
and only a registered address is gone back to. Source: OpenID Connect RP-Initiated Logout 1.0,
sections 2 to 4; Front-Channel Logout 1.0, section 3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit, urlunsplit

from clefstorm.errors import RequestRefused
from clefstorm.testing.provider.authorization_request import read_parameters
from clefstorm.testing.provider.clients import Client
from clefstorm.testing.provider.id_token_hint import Hint, read_hint
from clefstorm.testing.provider.store import ProviderSession
from clefstorm.testing.provider.web import PageHandler


@dataclass(frozen=True, slots=True, kw_only=True)
class LogoutRequest:
    """A logout request that will be served; ``query`` is its text, to be sent round the form."""

    query: str
    client: Client | None
    hint: Hint | None
    return_to: str | None


class LogoutHandler(PageHandler):
    """What the logout page and its form share."""

    def read(self, query: str) -> LogoutRequest | None:
        """Return the request; None after the user has been told what is wrong with it."""
        try:
            return self._read(query)
        except RequestRefused as refusal:
            self.refuse(refusal)
            return None

    def _read(self, query: str) -> LogoutRequest:
        parameters = read_parameters(query)
        if any(len(values) > 1 for values in parameters.values()):
            raise RequestRefused("A parameter stands twice.", code="invalid_request")
        given = {name: values[0] for name, values in parameters.items()}
        hint = read_hint(self.authority, given.get("id_token_hint"))
        client = None if hint is None else hint.client
        if "client_id" in given:
            named = self.authority.clients.get(given["client_id"])
            if named is None or client not in (None, named):
                raise RequestRefused(
                    "The application that sent you here is not the one it says it is.",
                    code="client_unknown",
                )
            client = named
        address = given.get("post_logout_redirect_uri")
        if address is not None:
            if client is None or address not in client.post_logout_redirect_uris:
                raise RequestRefused(
                    "The application asked to send you to an address not registered for it.",
                    code="post_logout_redirect_uri_unregistered",
                )
            if "state" in given:
                parts = urlsplit(address)
                state = urlencode({"state": given["state"]})
                query_back = "&".join(filter(None, (parts.query, state)))
                address = urlunsplit(parts._replace(query=query_back))
        return LogoutRequest(query=query, client=client, hint=hint, return_to=address)

    async def end(self, request: LogoutRequest) -> None:
        """End the browser's session, tell the clients, and leave."""
        session = self.session
        frames: Sequence[str] = ()
        if session is not None:
            frames = frontchannel_urls(
                session, self.authority.clients, issuer=self.authority.issuer
            )
            self.clear_cookie(self.session_cookie)
            await self.authority.end_session(session)
        if frames:
            nonce = self.allow_script(frames=frames)
            self.show("signing_out.html", frames=frames, nonce=nonce, return_to=request.return_to)
        elif request.return_to is not None:
            self.redirect(request.return_to, status=303)
        else:
            self.show("signed_out.html", stayed=False)


def frontchannel_urls(
    session: ProviderSession, clients: Mapping[str, Client], *, issuer: str
) -> Sequence[str]:
    """Return what the logout page frames: one URL of each client that this session has used.

    Source: Front-Channel Logout 1.0, sections 2 and 3.
    """
    urls = []
    for client_id, sid in session.sids.items():
        client = clients.get(client_id)
        if client is not None and client.frontchannel_logout_uri is not None:
            parts = urlsplit(client.frontchannel_logout_uri)
            named = urlencode({"iss": issuer, "sid": sid})
            query = (parts.query, named if client.frontchannel_logout_session_required else "")
            urls.append(urlunsplit(parts._replace(query="&".join(filter(None, query)))))
    return tuple(urls)


class EndSessionHandler(LogoutHandler):
    """/end_session"""

    endpoint = "end_session"

    def check_xsrf_cookie(self) -> None:
        """Not needed: the POST of a client's page only becomes the GET."""

    def check_trusted_origin(self, origin: str) -> bool:
        return True

    async def get(self) -> None:
        request = self.read(self.request.query)
        if request is None:
            return
        session = self.session
        hinted = None if request.hint is None else request.hint.account.username
        if session is None or session.username == hinted:
            await self.end(request)
        else:
            account = self.authority.account(session.username)
            self.show("confirm_logout.html", request=request, account=account)

    async def post(self) -> None:
        self.get_instead()


class ConfirmLogoutHandler(LogoutHandler):
    """/end_session/confirm: the form of the page that asks first."""

    async def post(self) -> None:
        request = self.read(self.get_body_argument("request", ""))
        if request is None:
            return
        if self.get_body_argument("decision", "") == "sign-out":
            await self.end(request)
        else:
            self.show("signed_out.html", stayed=True)
