"""Bearer tokens in HTTP: the header that brings one, and the challenge that refuses one.

LAW: a token comes in the Authorization header and nowhere else; no error quotes it.
Source: RFC 6750, 2.1 and 3; RFC 9110, 11.4 and 11.6; RFC 9470, 3; RFC 9728, 5.1.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from clefstorm.errors import ConfigurationError, RequestRefused
from clefstorm.protocol.jwt import LONGEST_TOKEN

SCOPE_TOKEN = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")
"""A word of a scope (RFC 6749, section 3.3)."""

_CREDENTIALS = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # b64token of RFC 6750, section 2.1
_QUOTABLE = re.compile(r"[\x20-\x7e]*")


def read_bearer(authorization: Sequence[str]) -> str | None:
    """Return the token of a request by its Authorization headers; None when they bring none.

    Another scheme than Bearer brings none. Raises RequestRefused: ``authorization_repeated``,
    ``bearer_malformed``, ``bearer_too_long``.
    """
    if len(authorization) > 1:
        raise RequestRefused("Authorization stands twice", code="authorization_repeated")
    scheme, _, token = (authorization[0] if authorization else "").strip(" \t").partition(" ")
    if scheme.lower() != "bearer":
        return None
    return check_bearer(token.lstrip(" "))


def check_bearer(token: str) -> str:
    """Return a token that can stand in a header, bounded.

    Raises RequestRefused: ``bearer_malformed``, ``bearer_too_long``.
    """
    if len(token) > LONGEST_TOKEN:
        raise RequestRefused(
            "an access token of absurd length",
            code="bearer_too_long",
            expected=f"at most {LONGEST_TOKEN}",
        )
    if not _CREDENTIALS.fullmatch(token):
        raise RequestRefused("Authorization: Bearer brings no token", code="bearer_malformed")
    return token


def build_challenge(scheme: str, **parameters: str | None) -> str:
    """Return the value of WWW-Authenticate, in the order given; None leaves a parameter out.

    Raises ConfigurationError (``challenge_invalid``) for what a header can't carry.
    """
    written = []
    for name, value in parameters.items():
        if value is None:
            continue
        if not _QUOTABLE.fullmatch(value):
            raise ConfigurationError(
                "a challenge has printable ASCII alone", code="challenge_invalid", name=name
            )
        quoted = value.replace("\\", "\\\\").replace('"', '\\"')
        written.append(f'{name}="{quoted}"')
    return f"{scheme} {', '.join(written)}".rstrip()
