"""Requests to the token endpoint, and its answers.

LAW: a code, a refresh token and a client secret go into the body or the Authorization header,
never into a URL. Source: RFC 6749, sections 4.1.3, 4.4, 5 and 6; RFC 7636, section 4.5.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from clefstorm.errors import ProtocolViolation, TokenRefused
from clefstorm.protocol.authorization import CodeGrant
from clefstorm.protocol.authorization_header import is_bearer_token
from clefstorm.protocol.exchange import Request, Response
from clefstorm.protocol.form_request import Authentication, build_form_request
from clefstorm.protocol.oauth_error import OAuthError, oauth_error_of, read_oauth_error
from clefstorm.protocol.strict_json import read_json_object

LARGEST_TOKEN_ANSWER = 256 * 1024
"""Bytes of an answer with tokens: they are kept with the session and read at every request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """What a token endpoint gave. ``expires_at`` is in epoch seconds, None when it didn't say."""

    access_token: str = field(repr=False)
    token_type: str = "Bearer"
    expires_at: float | None = None
    refresh_token: str | None = field(default=None, repr=False)
    id_token: str | None = field(default=None, repr=False)
    scope: str | None = None

    def seconds_left(self, now: float) -> float:
        """Return for how many seconds the access token is good; infinity when nobody said."""
        return math.inf if self.expires_at is None else self.expires_at - now

    def granted(self, scope: Iterable[str]) -> Tokens:
        """Return the answer to a login that asked for ``scope``.

        All of it was granted when the answer names none (RFC 6749, section 5.1).
        """
        return self if self.scope is not None else replace(self, scope=" ".join(scope))

    def renewed_by(self, fresh: Tokens) -> Tokens:
        """Return the answer to a refresh, with what it left out because it stays as it was.

        That is the refresh token and the scope (RFC 6749, sections 5.1 and 6), and no id token.
        """
        return replace(
            fresh,
            refresh_token=fresh.refresh_token or self.refresh_token,
            scope=fresh.scope or self.scope,
        )

    def to_record(self) -> dict[str, Any]:
        """Return a JSON object that ``from_record`` reads."""
        return {
            "access_token": self.access_token,
            "token_type": self.token_type,
            "expires_at": self.expires_at,
            "refresh_token": self.refresh_token,
            "id_token": self.id_token,
            "scope": self.scope,
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Tokens:
        """Return the Tokens that ``to_record`` wrote."""
        return cls(**record)


def _token_request(
    token_endpoint: str, form: Mapping[str, str], authentication: Authentication
) -> Request:
    return build_form_request(token_endpoint, form, authentication, max_bytes=LARGEST_TOKEN_ANSWER)


def build_code_request(
    token_endpoint: str,
    grant: CodeGrant,
    authentication: Authentication,
) -> Request:
    """Build the request that exchanges a code (RFC 6749, section 4.1.3)."""
    form = {
        "grant_type": "authorization_code",
        "code": grant.code,
        "redirect_uri": grant.redirect_uri,
        "code_verifier": grant.code_verifier,
    }
    return _token_request(token_endpoint, form, authentication)


def build_refresh_request(
    token_endpoint: str,
    refresh_token: str,
    authentication: Authentication,
) -> Request:
    """Build the request that refreshes an access token (RFC 6749, section 6)."""
    form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
    return _token_request(token_endpoint, form, authentication)


def build_client_credentials_request(
    token_endpoint: str,
    scope: str | None,
    authentication: Authentication,
) -> Request:
    """Build the request of a client that speaks for itself (RFC 6749, section 4.4.2).

    ``scope`` None leaves it to the server.
    """
    form = {"grant_type": "client_credentials"} | ({} if scope is None else {"scope": scope})
    return _token_request(token_endpoint, form, authentication)


def _unusable(name: str) -> ProtocolViolation:
    return ProtocolViolation(
        "the token answer has a member of the wrong type or without a value",
        code="token_answer_member",
        name=name,
    )


def _text(answer: Mapping[str, Any], name: str) -> str | None:
    value = answer.get(name)
    if value is not None and not isinstance(value, str):
        raise _unusable(name)
    return value


def _required_text(answer: Mapping[str, Any], name: str) -> str:
    value = _text(answer, name)
    if not value:
        raise _unusable(name)
    return value


def _lifetime(answer: Mapping[str, Any]) -> float | None:
    value = answer.get("expires_in")
    if value is None:
        return None
    # Some servers send the number as a string, against RFC 6749, section 5.1.
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 12:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1e12:
        raise _unusable("expires_in")
    return float(value)


def _check_error(error: OAuthError | None) -> None:
    if error is not None:
        raise TokenRefused(
            "the token endpoint said no", error=error.error, error_description=error.description
        )


def read_token_response(
    response: Response, *, now: float, secrets: Collection[str | None] = ()
) -> Tokens:
    """Read the token endpoint's answer.

    ``secrets`` are those of the request: a provider that quotes them in its error's description
    does not bring them into an exception. Raises TokenRefused for an OAuth error, with whichever
    of 200, 400, 401 and 403 it comes, and ProtocolViolation for everything else that is not a
    token answer: another status, HTML, a missing member.
    """
    if response.status != 200:
        if response.status in (400, 401, 403):
            _check_error(read_oauth_error(response, secrets))
        raise ProtocolViolation(
            "the token endpoint gave no answer that could be used",
            code="token_answer_status",
            expected=200,
            got=response.status,
        )
    answer = read_json_object(response.body)
    _check_error(oauth_error_of(answer, secrets))
    token_type = _required_text(answer, "token_type")
    if token_type.lower() != "bearer":
        raise ProtocolViolation(
            "tokens of this type can't be used",
            code="token_type_unsupported",
            expected="Bearer",
            got=token_type,
        )
    access_token = _required_text(answer, "access_token")
    if not is_bearer_token(access_token):
        # It goes into a header, where a newline would begin another one.
        raise _unusable("access_token")
    lifetime = _lifetime(answer)
    return Tokens(
        access_token=access_token,
        token_type="Bearer",
        expires_at=None if lifetime is None else now + lifetime,
        refresh_token=_text(answer, "refresh_token") or None,
        id_token=_text(answer, "id_token") or None,
        scope=_text(answer, "scope"),
    )
