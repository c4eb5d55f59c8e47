"""An OAuth error as the endpoints answer it that only clients call.

LAW: what a provider quotes of our own request never comes into an exception.
Source: RFC 6749, section 5.2; RFC 7009, section 2.2.1; RFC 9126, section 2.3.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, unquote_plus

from clefstorm.errors import ProtocolViolation
from clefstorm.protocol.exchange import Response
from clefstorm.protocol.strict_json import read_json_object

# Narrower than RFC 6749's (appendix A.7), for it stands in exceptions as it came.
_ERROR = re.compile(r"[A-Za-z0-9_.-]{1,60}")


@dataclass(frozen=True, slots=True)
class OAuthError:
    """The provider's error code, and its text or None."""

    error: str
    description: str | None


def oauth_error_of(
    answer: Mapping[str, Any], secrets: Collection[str | None] = ()
) -> OAuthError | None:
    """Return the error that a JSON answer is, without these secrets; None when it is none.

    An ``error`` that is no short word, or holds a secret, is none.
    """
    error, description = answer.get("error"), answer.get("error_description")
    hidden = [secret for secret in secrets if secret]
    if not isinstance(error, str) or not _ERROR.fullmatch(error) or _shows(error, hidden):
        return None
    if not isinstance(description, str):
        return OAuthError(error, None)
    for secret in hidden:
        description = description.replace(secret, "…")
    # One that is quoted as a form has it can't be cut out of any spelling, so all of it goes.
    return OAuthError(error, "…" if _shows(description, hidden) else description)


def _shows(text: str, secrets: Collection[str]) -> bool:
    spellings = (text, unquote(text), unquote_plus(text))
    return any(secret in spelling for secret in secrets for spelling in spellings)


def read_oauth_error(response: Response, secrets: Collection[str | None] = ()) -> OAuthError | None:
    """Return the error in an answer's body; None when that is no strict JSON with one."""
    try:
        return oauth_error_of(read_json_object(response.body), secrets)
    except ProtocolViolation:
        return None
