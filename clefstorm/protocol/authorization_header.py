"""The Authorization header that we send: what a name, a secret and a token have to be for it.

LAW: values in, values or errors out; no error quotes what it judges, nor has it in its context.
Source: RFC 7617, section 2 (basic); RFC 6750, section 2.1 (bearer).
"""

from __future__ import annotations

import base64
import re
from typing import TypeGuard

from clefstorm.errors import ConfigurationError
from clefstorm.protocol.strict_json import is_unicode

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")  # CTL of RFC 5234, appendix B.1
_WORD = re.compile(r"[\x21-\x7e]+")


def is_credential(value: object) -> TypeGuard[str]:
    """Tell whether this can be a name or a secret: a text, not empty, that can be sent."""
    return isinstance(value, str) and value != "" and is_unicode(value)


def is_bearer_token(value: object) -> TypeGuard[str]:
    """Tell whether we can send this as a bearer token: visible ASCII in one word.

    RFC 6750 has less, but large providers give tokens with a bar in them. Whoever sends one to us
    is held to the letter, by ``check_bearer``.
    """
    return isinstance(value, str) and _WORD.fullmatch(value) is not None


def build_basic(user: str, password: str) -> str:
    """Return the value of the Authorization header.

    Raises ConfigurationError (``auth_invalid``) for what this header can't carry.
    """
    if ":" in user:
        raise _invalid("a user name of basic auth has no colon")
    pair = f"{user}:{password}"
    if _CONTROL.search(pair):
        # A secret read from a file often brings its newline along.
        raise _invalid("user name and password of basic auth have no control characters")
    if not is_unicode(pair):
        raise _invalid("user name and password must be Unicode text")
    return "Basic " + base64.b64encode(pair.encode()).decode()


def _invalid(reason: str) -> ConfigurationError:
    return ConfigurationError(reason, code="auth_invalid")
