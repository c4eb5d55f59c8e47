"""Every exception that clefstorm raises on purpose.

    ClefStormError
    ├── ConfigurationError        you: an option, a file or an alias is wrong
    │   └── UnknownAlias          (also a KeyError)
    ├── RequestRefused            the browser, or whoever called us, sent what we don't accept
    │   └── LoginDenied           the application's own on_login said no
    ├── ProviderError             the provider answered by its rules, and the answer is no
    │   ├── AuthorizationRefused  at the callback: access_denied, login_required, …
    │   ├── TokenRefused          at the token endpoint: invalid_grant, invalid_client, …
    │   └── ClefAPIError          a call of the Clef API: its message, and the HTTP status
    ├── ProtocolViolation         the provider broke the rules: a check failed
    │   └── DocumentViolation     its metadata or keys can't be used: no word about a token
    ├── TransportError            no usable answer arrived
    │   ├── ConnectFailed         refused, unresolved, TLS broken (also a ConnectionError)
    │   ├── DeadlineExceeded      too slow (also a TimeoutError)
    │   └── AnswerTooLarge        more bytes than we agreed to read
    ├── SealBroken                a sealed value was altered, is foreign, or its key was retired
    ├── SessionError
    │   ├── SessionEnded          it was revoked or expired; whoever holds it must sign in again
    │   ├── SessionConflict       somebody saved a newer version first
    │   └── StoreUnavailable      the store can't be reached; nothing is known about the session
    └── BusError
        ├── BusTimeoutError       nothing came in time (also a TimeoutError)
        ├── BusClosed             we stopped
        └── SlowSubscriber        the subscriber did not read for so long that it was cut off

LAW: an exception carries a stable ``code`` and ``evidence`` (which check, what was expected,
what was got), never a token, a code, a secret or a whole response. Tests and logs use the code;
the sentence may change. To add an error: prefer a new code on an existing class.
"""

from __future__ import annotations

from collections.abc import Mapping

_LONGEST_EVIDENCE = 200


def _one_line(text: str) -> str:
    """The text without what could forge a line of a log, or hide one."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def _printable(value: object) -> str:
    """One line of at most 200 characters."""
    text = _one_line(value if isinstance(value, str) else repr(value))
    return text if len(text) <= _LONGEST_EVIDENCE else text[: _LONGEST_EVIDENCE - 1] + "…"


class ClefStormError(Exception):
    """The root: ``except ClefStormError`` catches all that clefstorm raises on purpose.

    ``code`` is a stable snake_case word for logs and tests. ``evidence`` maps names to short
    printable texts; whoever raises must put no secret in it.
    """

    default_code = "error"

    def __init__(self, message: str, *, code: str | None = None, **evidence: object) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.evidence: Mapping[str, str] = {}
        self.add_evidence(**evidence)

    def add_evidence(self, **evidence: object) -> None:
        """Say more of where it happened; for whoever lets the error pass. No secrets here."""
        more = {name: _printable(value) for name, value in evidence.items()}
        self.evidence = {**self.evidence, **more}

    def __str__(self) -> str:
        facts = ", ".join(f"{name}: {value}" for name, value in self.evidence.items())
        # An application's own text may hold a user's name, and that name a forged line of a log.
        return f"{_one_line(self.message)} [{self.code}]" + (f" ({facts})" if facts else "")


class ConfigurationError(ClefStormError):
    """You: an option, a file or a call of the application is wrong. The text says what to do."""

    default_code = "configuration"


class UnknownAlias(ConfigurationError, KeyError):
    """No provider is configured under this alias."""

    default_code = "unknown_alias"


class RequestRefused(ClefStormError):
    """The request that reached us is not acceptable; answered with 400 (403 where said)."""

    default_code = "request_refused"


class LoginDenied(RequestRefused):
    """Raise it in ``on_login`` to refuse a user whom the provider accepted; answered with 403."""

    default_code = "login_denied"


class ProviderError(ClefStormError):
    """The provider answered with an OAuth error (RFC 6749, sections 4.1.2.1 and 5.2).

    ``error`` is its error code, ``error_description`` its text or None: the provider's words,
    to be shown as text and never as HTML. ``code`` is ours.
    """

    default_code = "provider_error"

    def __init__(
        self,
        message: str,
        *,
        error: str,
        error_description: str | None = None,
        code: str | None = None,
        **evidence: object,
    ) -> None:
        self.error = _printable(error)
        self.error_description = (
            None if error_description is None else _printable(error_description)
        )
        if error_description is not None:
            evidence = {"error_description": error_description, **evidence}
        super().__init__(message, code=code, error=error, **evidence)


class AuthorizationRefused(ProviderError):
    """The provider sent the browser back with an error instead of a code."""

    default_code = "authorization_refused"


class TokenRefused(ProviderError):
    """The token endpoint answered with an error."""

    default_code = "token_refused"


class ClefAPIError(ProviderError):
    """The Clef API answered a call with an error.

    ``message`` is its own text, such as "Invalid OAuth Code."; ``status`` the HTTP status, None
    when there was none; ``code`` ours for that text.
    """

    default_code = "clef_api_error"

    def __init__(
        self,
        message: str,
        status: int | None = None,
        *,
        error: str | None = None,
        code: str | None = None,
        **evidence: object,
    ) -> None:
        self.status = status
        message = _printable(message)
        super().__init__(message, error=error or message, code=code)
        self.add_evidence(**({} if status is None else {"status": status}), **evidence)


class ProtocolViolation(ClefStormError):
    """The provider broke the rules: a document, an answer or a token failed a check."""

    default_code = "protocol_violation"


class DocumentViolation(ProtocolViolation):
    """The provider's metadata or keys can't be had or used; a token was not judged yet."""

    default_code = "document_violation"


class TransportError(ClefStormError):
    """No usable answer arrived from the other side."""

    default_code = "transport"


class ConnectFailed(TransportError, ConnectionError):
    """No connection: refused, cut, unresolved, or TLS could not be agreed."""

    default_code = "connect_failed"


class DeadlineExceeded(TransportError, TimeoutError):
    """The step took longer than its deadline, however far it had come."""

    default_code = "deadline_exceeded"


class AnswerTooLarge(TransportError):
    """The answer, after decompression, is larger than what we agreed to read."""

    default_code = "answer_too_large"


class SealBroken(ClefStormError):
    """A sealed value was altered, belongs to another purpose, or its key is no longer held."""

    default_code = "seal_broken"


class SessionError(ClefStormError):
    """Something about a login session."""

    default_code = "session"


class SessionEnded(SessionError):
    """The session was revoked or has expired."""

    default_code = "session_ended"


class SessionConflict(SessionError):
    """A newer version of the session was saved meanwhile: read it again."""

    default_code = "session_conflict"


class StoreUnavailable(SessionError):
    """The session store can't be reached, so nothing is known; deny, and answer 503."""

    default_code = "store_unavailable"


class BusError(ClefStormError):
    """Something about the bus."""

    default_code = "bus"


class BusTimeoutError(BusError, TimeoutError):
    """Nothing was notified before the timeout."""

    default_code = "bus_timeout"

    def __init__(
        self,
        message: str = "no notification came in time",
        *,
        code: str | None = None,
        **evidence: object,
    ) -> None:
        if code is not None or evidence:
            super().__init__(message, code=code, **evidence)
            return
        # Thousands may end in one moment, so the usual one does the least.
        Exception.__init__(self, message)
        self.message, self.code, self.evidence = message, self.default_code, {}


class BusClosed(BusError):
    """The bus was closed while, or before, the call waited."""

    default_code = "bus_closed"


class SlowSubscriber(BusError):
    """The subscriber fell so far behind that it was cut off; subscribe again with ``after``."""

    default_code = "slow_subscriber"
