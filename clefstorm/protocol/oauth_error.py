"""An OAuth error as the endpoints answer it that only clients call.

LAW: what a provider quotes of our own request never comes into an exception.
Source: RFC 6749, section 5.2; RFC 7009, section 2.2.1; RFC 9126, section 2.3.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from clefstorm.errors import ProtocolViolation
from clefstorm.protocol.exchange import Response
from clefstorm.protocol.strict_json import read_json_object


@dataclass(frozen=True, slots=True)
class OAuthError:
    """The provider's error code, and its text or None."""

    error: str
    description: str | None


def oauth_error_of(
    answer: Mapping[str, Any], secrets: Collection[str | None] = ()
) -> OAuthError | None:
    """Return the error that a JSON answer is, without these secrets; None when it is none."""
    error, description = answer.get("error"), answer.get("error_description")
    if not isinstance(error, str) or not error:
        return None
    if not isinstance(description, str):
        return OAuthError(error, None)
    for secret in filter(None, secrets):
        description = description.replace(secret, "…")
    return OAuthError(error, description)


def read_oauth_error(response: Response, secrets: Collection[str | None] = ()) -> OAuthError | None:
    """Return the error in an answer's body; None when that is no strict JSON with one."""
    try:
        return oauth_error_of(read_json_object(response.body), secrets)
    except ProtocolViolation:
        return None
