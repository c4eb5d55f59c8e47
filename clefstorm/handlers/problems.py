"""What a browser is told of an error: a status, words a user understands, and a reference.

LAW: the one table of errors and statuses. A problem's words never come from an exception of a
foreign class, and the provider's own words are text, never HTML.
Source: RFC 9110, section 15; Back-Channel Logout 1.0, section 2.8 (400).
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from tornado.web import HTTPError

from clefstorm.errors import (
    AuthorizationRefused,
    BusClosed,
    ClefAPIError,
    ClefStormError,
    LoginDenied,
    ProtocolViolation,
    ProviderError,
    RequestRefused,
    SealBroken,
    SessionEnded,
    StoreUnavailable,
    TokenRefused,
    TransportError,
)

RETRY_AFTER = 5
"""Seconds after which a browser that met a 503 may ask again."""

_TOO_WEAK = frozenset({"acr_unmet", "auth_time_missing", "auth_time_too_old"})
"""A step-up that the provider did not take: its user may be who they are, and is not let in."""

_OUT_OF_ORDER = frozenset(
    {
        *("metadata_status", "jwks_status", "token_answer_status", "pushed_answer_status"),
        *("userinfo_status", "clef_answer_status", "eternaltwin_status"),
    }
)
"""An answer whose status is neither a success nor a refusal by the rules: nothing was judged."""

_STATUS_OF_CODE = {"body_too_large": 413, "cross_site": 403, "content_type": 415}


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """An error as the browser sees it.

    ``code`` is the error's stable code, ``reference`` a random word that the log line has too,
    ``quote`` the provider's own words or None, ``retry_after`` seconds or None.
    """

    status: int
    code: str
    title: str
    text: str
    advice: str
    reference: str
    quote: str | None = None
    retry_after: int | None = None


_AGAIN = "Start again; if it goes wrong once more, wait a few minutes."
_START_AGAIN = "Start again from the link below."


def problem_of(error: BaseException | None, *, status: int = 500) -> Problem:
    """Return what to answer to an error; ``status`` counts where there is only that."""
    reference = secrets.token_hex(4)
    if isinstance(error, HTTPError):
        status, error = error.status_code, None
    elif isinstance(error, ClefStormError):
        status, title, text, advice = _words(error)
        return Problem(
            status=status,
            code=error.code,
            title=title,
            text=text,
            advice=advice,
            reference=reference,
            quote=_quote(error),
            retry_after=RETRY_AFTER if status == 503 else None,
        )
    title, text, advice = _PLAIN.get(status, _UNKNOWN if status >= 500 else _BAD_REQUEST)
    code = "internal_error" if error is not None else f"http_{status}"
    return Problem(
        status=status, code=code, title=title, text=text, advice=advice, reference=reference
    )


def _sentence(error: ClefStormError) -> str:
    text = error.message.strip().rstrip(".")
    return f"{text[:1].upper()}{text[1:]}."


def _words(error: ClefStormError) -> tuple[int, str, str, str]:
    match error:
        case LoginDenied():
            return (
                403,
                "You can't sign in here",
                "Your account was recognised, but this application does not let it in.",
                "Sign in with another account, or ask whoever runs this site.",
            )
        case RequestRefused() if error.code.startswith("state_"):
            return (
                400,
                "This sign-in can't be finished",
                "It took too long, was finished already, or was begun in another browser.",
                _START_AGAIN,
            )
        case RequestRefused():
            status = _STATUS_OF_CODE.get(error.code, 400)
            title = "This was refused" if status != 400 else "This did not work"
            return status, title, _sentence(error), _START_AGAIN
        case AuthorizationRefused():
            return (
                403,
                "You were not signed in",
                "The sign-in service answered with a no.",
                "If you said no yourself, all is well. Otherwise start again.",
            )
        case TokenRefused(error="invalid_grant") | ClefAPIError(code="clef_code_invalid"):
            return (
                400,
                "This sign-in is no longer valid",
                "It took too long, or it was used already.",
                _START_AGAIN,
            )
        case SessionEnded():
            return 403, "You were signed out", _sentence(error), _START_AGAIN
        case SealBroken():
            return 400, "This did not work", "Something your browser sent is damaged.", _START_AGAIN
        case StoreUnavailable() | BusClosed():
            return (
                503,
                "Please try again in a moment",
                "This site can't look up who is signed in right now.",
                "Nothing is lost. Wait a few seconds and load the page again.",
            )
        case TransportError():
            return (
                502,
                "The sign-in service can't be reached",
                "It did not answer, or not in time.",
                _AGAIN,
            )
        case ProtocolViolation() if error.code in _TOO_WEAK:
            return (
                403,
                "This needs another sign-in",
                "The sign-in service did not ask you again, or not in the way that is needed here.",
                "Sign out and in again, if you can in the way that was asked for.",
            )
        case ProtocolViolation() if error.code in _OUT_OF_ORDER:
            return (
                502,
                "The sign-in service is out of order",
                "It answered with an error of its own, so you were not signed in.",
                _AGAIN,
            )
        case ProviderError():
            return (
                502,
                "The sign-in service refused this site",
                "It did not accept what this site asked of it, so you were not signed in.",
                "Tell whoever runs this site; the reference below leads to the reason.",
            )
        case ProtocolViolation():
            return (
                502,
                "The sign-in service gave a wrong answer",
                "Its answer failed a security check, so you were not signed in.",
                _AGAIN,
            )
        case _:
            return 500, *_UNKNOWN


def _quote(error: ClefStormError) -> str | None:
    if not isinstance(error, AuthorizationRefused):
        return None
    return f"{error.error}: {error.error_description}" if error.error_description else error.error


_UNKNOWN = (
    "Something went wrong here",
    "It is our fault, not yours, and it has been logged.",
    "Try again later; with the reference below, whoever runs this site can find out more.",
)
_BAD_REQUEST = ("This did not work", "The request was not understood.", _START_AGAIN)
_PLAIN = {
    403: ("This was refused", "The request did not come from a page of this site.", _START_AGAIN),
    404: ("Nothing is here", "There is no such page.", "Check the address, or start again."),
    405: ("Not this way", "This address does not take that kind of request.", _START_AGAIN),
    503: (
        "Please try again in a moment",
        "This site is restarting or busy.",
        "Wait a few seconds and load the page again.",
    ),
}
