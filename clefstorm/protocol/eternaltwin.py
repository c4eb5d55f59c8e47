"""Eternaltwin's API: where its calls are, what they send, and what their answers mean.

It is OAuth 2 but for three habits of its own: the token call has a JSON body, the client's name
and secret stand in basic auth as they are (RFC 7617, and not form-encoded first as RFC 6749,
section 2.3.1 wants), and the user has an address and a shape of the API's own.
LAW: builds requests and reads answers; the secret goes into the token call's header alone, and
no error quotes an answer. Source: Eternaltwin's API v1 as its clients speak it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from clefstorm.errors import ConfigurationError, ProtocolViolation, ProviderError
from clefstorm.protocol.authorization_header import build_basic, is_bearer_token
from clefstorm.protocol.exchange import Flow, Request, Response, fetch
from clefstorm.protocol.identity import LARGEST_PROFILE
from clefstorm.protocol.strict_json import is_unicode, read_json_object
from clefstorm.protocol.token_endpoint import LARGEST_TOKEN_ANSWER

LONGEST_QUERY = 1000
"""Characters of what is searched for."""
MOST_USERS = 100
"""Users that one search may ask for."""
LARGEST_LIST = 4 * LARGEST_PROFILE
"""Bytes of an answer."""

_LONGEST_TEXT = 255
_USER_ID = re.compile(r"(?!\.{1,2}\Z)[A-Za-z0-9._~-]{1,255}")
_REFUSALS = {401: "invalid_token", 403: "insufficient_scope", 404: "not_found"}


@dataclass(frozen=True, slots=True, kw_only=True)
class EternaltwinUser:
    """A user as Eternaltwin shows them; ``id`` names them for good.

    What the server did not say is None; ``deleted_at`` None also means that the account is there.
    """

    id: str
    display_name: str
    is_administrator: bool | None = None
    created_at: datetime | None = None
    deleted_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EternaltwinUserPage:
    """A part of what a search found: ``items`` from ``offset`` on, out of ``count`` in all."""

    items: tuple[EternaltwinUser, ...]
    count: int
    offset: int
    limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EternaltwinAPI:
    """The calls at one server; ``origin`` is scheme, host and port, without a slash at its end."""

    origin: str

    @property
    def authorization_endpoint(self) -> str:
        """Where a login sends the browser."""
        return f"{self.origin}/oauth/authorize"

    @property
    def token_endpoint(self) -> str:
        """Where a code becomes tokens."""
        return f"{self.origin}/oauth/token"

    def token_request(
        self, members: Mapping[str, str], *, client_id: str, client_secret: str
    ) -> Request:
        """Build a call of the token endpoint."""
        return Request(
            method="POST",
            url=self.token_endpoint,
            headers={
                "Accept": "application/json",
                "Authorization": build_basic(client_id, client_secret),
                "Content-Type": "application/json",
            },
            body=json.dumps(members).encode("ascii"),
            max_bytes=LARGEST_TOKEN_ANSWER,
        )

    def me(self, access_token: str | None) -> Flow[EternaltwinUser]:
        """Ask whom an access token belongs to.

        Raises ProviderError (``eternaltwin_refused``), and ProtocolViolation, with the code
        ``subject_missing`` for a token that is nobody's.
        """
        answer = yield from self._call("auth/self", access_token)
        if answer.get("user") is None:
            raise ProtocolViolation(
                "the server does not say who the user is", code="subject_missing"
            )
        return read_user(answer["user"])

    def get(self, user_id: str, access_token: str | None) -> Flow[EternaltwinUser]:
        """Ask for one user. Raises ProviderError, with the code ``user_unknown`` for none such."""
        if not isinstance(user_id, str) or not _USER_ID.fullmatch(user_id):
            raise ConfigurationError(
                "a user's id is a word of letters, digits and dashes", code="user_id_invalid"
            )
        return read_user((yield from self._call(f"users/{user_id}", access_token)))

    def search(
        self, query: str | None, *, offset: int, limit: int, access_token: str | None
    ) -> Flow[EternaltwinUserPage]:
        """Ask for the users whose name has ``query`` in it; None asks for all."""
        if query is not None and not (
            isinstance(query, str) and len(query) <= LONGEST_QUERY and is_unicode(query)
        ):
            raise ConfigurationError(
                "what is searched for is a text", code="query_invalid", longest=LONGEST_QUERY
            )
        for name, value, most in (("offset", offset, 1 << 31), ("limit", limit, MOST_USERS)):
            if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
                raise ConfigurationError(
                    f"{name} is a whole number from 0 to {most}", code=f"{name}_invalid", got=value
                )
        wanted = {"q": query, "limit": limit, "offset": offset}
        given = urlencode({name: value for name, value in wanted.items() if value is not None})
        answer = yield from self._call(f"users?{given}", access_token)
        items = answer.get("items")
        # A server that sends more than was asked for is not read on.
        if not isinstance(items, list) or len(items) > limit:
            raise _member("items")
        return EternaltwinUserPage(
            items=tuple(read_user(item) for item in items),
            count=_count(answer, "count"),
            offset=_count(answer, "offset"),
            limit=_count(answer, "limit"),
        )

    def _call(self, path: str, access_token: str | None) -> Flow[Mapping[str, Any]]:
        headers = {"Accept": "application/json"}
        if access_token is not None:
            if not is_bearer_token(access_token):
                raise ConfigurationError("not an access token", code="access_token_invalid")
            headers["Authorization"] = f"Bearer {access_token}"
        response = yield from fetch(
            Request(
                method="GET",
                url=f"{self.origin}/api/v1/{path}",
                headers=headers,
                max_bytes=LARGEST_LIST,
            )
        )
        return _read_answer(response)


def _read_answer(response: Response) -> Mapping[str, Any]:
    status = response.status
    if status in _REFUSALS:
        raise ProviderError(
            "the server knows no such user" if status == 404 else "the server refused the token",
            error=_REFUSALS[status],
            code="user_unknown" if status == 404 else "eternaltwin_refused",
            status=status,
        )
    if status != 200:
        raise ProtocolViolation(
            "the server gave no answer that could be used",
            code="eternaltwin_status",
            expected=200,
            got=status,
        )
    return read_json_object(response.body)


def read_user(value: object) -> EternaltwinUser:
    """Read a user of an answer. Raises ProtocolViolation (``eternaltwin_member``)."""
    if not isinstance(value, dict):
        raise _member("user")
    administrator = value.get("is_administrator")
    if not isinstance(administrator, bool | None):
        raise _member("is_administrator")
    name: object = value
    for part in ("display_name", "current", "value"):
        name = name.get(part) if isinstance(name, dict) else None
    return EternaltwinUser(
        id=_text(value.get("id"), "id"),
        display_name=_text(name, "display_name"),
        is_administrator=administrator,
        created_at=_moment(value, "created_at"),
        deleted_at=_moment(value, "deleted_at"),
    )


def _text(value: object, name: str) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= _LONGEST_TEXT:
        raise _member(name)
    return value


def _moment(user: Mapping[str, Any], name: str) -> datetime | None:
    if user.get(name) is None:
        return None
    try:
        moment = datetime.fromisoformat(_text(user[name], name))
        # The API's times are UTC's, whether they say so or not.
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise _member(name) from None


def _count(answer: Mapping[str, Any], name: str) -> int:
    value = answer.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise _member(name)
    return value


def _member(name: str) -> ProtocolViolation:
    return ProtocolViolation(
        "the answer lacks a member or has it in the wrong type",
        code="eternaltwin_member",
        name=name,
    )
