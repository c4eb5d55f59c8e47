"""The embedded provider as an Eternaltwin server, for the same people and applications.

LAW: a code leaves only for a registered address, and becomes a token only for its application,
with the verifier of its challenge if it had one; one without a challenge can't be redeemed at
/token. Source: Eternaltwin's API v1 as its clients speak it; RFC 6749; RFC 7636; RFC 6750.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from typing import Any
from urllib.parse import unquote

from tornado.web import HTTPError

from clefstorm.errors import ProtocolViolation, RequestRefused
from clefstorm.protocol.pkce import new_verifier, s256_challenge
from clefstorm.protocol.strict_json import read_json_object
from clefstorm.testing.provider.accounts import Account
from clefstorm.testing.provider.authorization_request import (
    AuthorizationRequest,
    read_parameters,
    read_return_address,
)
from clefstorm.testing.provider.clients import Client
from clefstorm.testing.provider.endpoints import ClientHandler
from clefstorm.testing.provider.sign_in import SignInHandler
from clefstorm.testing.provider.store import handle_of
from clefstorm.testing.provider.token_grants import IssuedTokens

MOST_USERS = 100
"""Users that one search answers."""

_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}\Z")
_SCOPE = ("base",)
_OFFLINE = "offline_access"
# For codes of clients without PKCE, which Eternaltwin's own clients are.
_OWN_VERIFIER = new_verifier()
_BORN = "2020-01-01T00:00:00.000Z"


class EternaltwinAuthorizeHandler(SignInHandler):
    """/oauth/authorize: the normal sign-in page, which comes back here."""

    form_action = "/oauth/authorize"

    async def get(self) -> None:
        request = await self.read(self.request.query)
        if request is not None:
            await self.go_on(request, self.session)

    async def read(self, query: str) -> AuthorizationRequest | None:
        """Return the request; None after it was refused, to the user or to the client."""
        try:
            parameters = read_parameters(query)
            to = read_return_address(parameters, self.authority.clients)
        except RequestRefused as refusal:
            self.refuse(refusal)
            return None
        error = _fault(parameters)
        if error is not None:
            await self.answer_error(to, *error)
            return None
        offline = parameters.get("access_type") == ["offline"]
        challenge = parameters.get("code_challenge", [s256_challenge(_OWN_VERIFIER)])[0]
        return AuthorizationRequest(
            query=query,
            to=to,
            scope=(*_SCOPE, _OFFLINE) if offline else _SCOPE,
            nonce=None,
            code_challenge=challenge,
            prompt=frozenset(),
            max_age=None,
            login_hint=parameters.get("login_hint", [None])[0],
            id_token_hint=None,
        )


def _fault(parameters: dict[str, list[str]]) -> tuple[str, str] | None:
    """Return the error for the client, None when all is well."""
    if any(len(values) > 1 for values in parameters.values()):
        return "invalid_request", "a parameter stands twice"
    if parameters.get("response_type") != ["code"]:
        return "unsupported_response_type", "only the code flow is served"
    if parameters.get("scope", ["base"]) != ["base"]:
        return "invalid_scope", "the one scope is base"
    if parameters.get("access_type", ["offline"])[0] not in ("offline", "online"):
        return "invalid_request", "access_type is offline or online"
    if "code_challenge" in parameters and (
        parameters.get("code_challenge_method") != ["S256"]
        or not _CHALLENGE.match(parameters["code_challenge"][0])
    ):
        return "invalid_request", "a code_challenge is of the method S256"
    return None


class EternaltwinTokenHandler(ClientHandler):
    """/oauth/token: basic auth, and a JSON body."""

    endpoint = "eternaltwin_token"

    async def post(self) -> None:
        try:
            members = self._members()
            self.grant_type = members.get("grant_type")
            issued = self._redeem(members, self._client())
        except RequestRefused as refusal:
            self.refuse(refusal)
            return
        answer: dict[str, Any] = {
            "access_token": issued.access_token,
            "token_type": "Bearer",
            "expires_in": issued.expires_in,
        }
        if issued.refresh_token is not None:
            answer["refresh_token"] = issued.refresh_token
        await self.give_json(answer)

    def _members(self) -> dict[str, str]:
        media_type = self.request.headers.get("Content-Type", "").partition(";")[0].strip()
        try:
            members = read_json_object(self.request.body)
        except ProtocolViolation:
            members = {"": None}
        if media_type.lower() != "application/json" or not all(
            isinstance(value, str) for value in members.values()
        ):
            raise RequestRefused("a JSON object of texts was expected", code="invalid_request")
        return members

    def _client(self) -> Client:
        """Read plain basic auth (RFC 7617): nothing in it is form-encoded."""
        scheme, _, encoded = self.request.headers.get("Authorization", "").partition(" ")
        try:
            pair = base64.b64decode(encoded, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            pair = ""
        name, _, secret = pair.partition(":")
        client = self.authority.clients.get(name)
        held = "" if client is None else client.client_secret or ""
        right = hmac.compare_digest(held.encode(), secret.encode())
        if scheme.lower() != "basic" or client is None or not held or not right:
            raise RequestRefused(
                "the client is unknown, or its secret wrong", code="invalid_client"
            )
        return client

    def _redeem(self, members: dict[str, str], client: Client) -> IssuedTokens:
        grants = self.authority.grants
        if members.get("grant_type") == "authorization_code":
            code = members.get("code", "")
            issued = self.authority.store.codes.get(handle_of(code))
            challenge = None if issued is None else issued.code_challenge
            plain = challenge == s256_challenge(_OWN_VERIFIER)
            return grants.redeem_code(
                code,
                client_id=client.client_id,
                # The API does not ask for it again; the code is bound to its client alone.
                redirect_uri="" if issued is None else issued.redirect_uri,
                code_verifier=_OWN_VERIFIER if plain else members.get("code_verifier", ""),
            )
        if members.get("grant_type") == "refresh_token":
            return grants.redeem_refresh_token(
                members.get("refresh_token", ""), client_id=client.client_id, scope=None
            )
        raise RequestRefused("this grant_type is not served", code="unsupported_grant_type")


class EternaltwinCallHandler(ClientHandler):
    """What the calls about users share."""

    endpoint = "eternaltwin_users"

    def caller(self) -> Account | None:
        """Return whose token came along, None when none did. Raises HTTPError 401 for a bad one."""
        authorization = self.request.headers.get("Authorization")
        if authorization is None:
            return None
        scheme, _, token = authorization.partition(" ")
        granted = self.authority.grants.grant_of(token.strip())
        if scheme.lower() != "bearer" or granted is None or "base" not in granted[1]:
            self.error = "invalid_token"
            self.set_header("WWW-Authenticate", 'Bearer realm="users", error="invalid_token"')
            raise HTTPError(401)
        return self.authority.account(granted[0].username)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Answer a refusal as JSON."""
        self.finish(
            {"error": {400: "BadRequest", 401: "Unauthorized"}.get(status_code, "NotFound")}
        )

    def number(self, name: str, default: int) -> int:
        """Return a parameter of the query. Raises HTTPError 400."""
        text = self.get_query_argument(name, str(default))
        if not (text.isascii() and text.isdigit() and len(text) <= 9):
            raise HTTPError(400)
        return int(text)


class EternaltwinSelfHandler(EternaltwinCallHandler):
    """/api/v1/auth/self: whom the token belongs to."""

    endpoint = "eternaltwin_self"

    async def get(self) -> None:
        account = self.caller()
        if account is None:
            await self.give_json({"type": "Guest"})
        else:
            await self.give_json({"type": "AccessToken", "user": user_of(account)})


class EternaltwinUserHandler(EternaltwinCallHandler):
    """/api/v1/users/ID"""

    async def get(self, user_id: str) -> None:
        self.caller()
        for account in self.authority.accounts.values():
            if account.sub == unquote(user_id):
                await self.give_json(user_of(account))
                return
        raise HTTPError(404)


class EternaltwinUsersHandler(EternaltwinCallHandler):
    """/api/v1/users: those whose shown name has the text in it, in the order of their names."""

    async def get(self) -> None:
        self.caller()
        wanted = self.get_query_argument("q", "").casefold()
        offset, limit = self.number("offset", 0), min(self.number("limit", 20), MOST_USERS)
        found = [
            account
            for account in self.authority.accounts.values()
            if wanted in account.shown_name.casefold()
        ]
        found.sort(key=lambda account: account.shown_name)
        await self.give_json(
            {
                "items": [user_of(account) for account in found[offset : offset + limit]],
                "count": len(found),
                "offset": offset,
                "limit": limit,
            }
        )


def user_of(account: Account) -> dict[str, Any]:
    """Return an account as the API shows it; its ``claims`` may say more of it."""
    return {
        "id": account.sub,
        "display_name": {"current": {"value": account.shown_name}},
        "is_administrator": account.claims.get("is_administrator", False),
        "created_at": account.claims.get("created_at", _BORN),
        "deleted_at": account.claims.get("deleted_at"),
    }
