"""The provider said no by its rules, or broke them."""

from __future__ import annotations

from clefstorm.errors.error import ClefStormError, printable


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
        self.error = printable(error)
        self.error_description = None if error_description is None else printable(error_description)
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
        message = printable(message)
        super().__init__(message, error=error or message, code=code)
        self.add_evidence(**({} if status is None else {"status": status}), **evidence)


class ProtocolViolation(ClefStormError):
    """The provider broke the rules: a document, an answer or a token failed a check."""

    default_code = "protocol_violation"


class DocumentViolation(ProtocolViolation):
    """The provider's metadata or keys can't be had or used; a token was not judged yet."""

    default_code = "document_violation"
